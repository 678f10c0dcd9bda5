/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <string.h>

#include "plan/many.h"

/* When each move begins and ends: all that can run at one time do, within both ends' slots
 * (R20-R22) and what the plan allows; those that run share their hosts' links. The books are kept
 * in that time, both ends holding a VM on its way, so that what begins has been proven to fit just
 * then.
 *
 * On a host that moves both leave and enter, those that enter keep the sequence's order, and wait
 * for whoever left before them in it: then the host never holds more than it did in the sequence,
 * where each step was sound, and nobody waits in a circle. Where VMs only enter, the order is free:
 * all of them fit together. */

typedef enum { WAITING, RUNNING, ENDED } StepState;

typedef struct {
    Many *many;
    ManyBooks *books;
    guint *order;     /* of waiting, by priority */
    guint8 *state;    /* StepState, of each step */
    double *fixed_ms; /* what is left of it */
    double *bytes;
    GArray *running;               /* guint */
    guint *live, *storage, *links; /* of each host: slots used, moves on its link */
    guint *previous;               /* the VM's step before; MANY_NONE */
    gboolean *mixed;               /* of each host: moves both leave and enter it in a sequence */
    guint *begun, *ended, *total;  /* of each emptied host: its moves */
    guint *gate;                   /* of each emptied host: the step after which it could begin */
    gint64 open;                   /* hosts that moves have begun to leave, and not all ended */
    guint last_host_end;           /* the step that ended a host last */
    double now;
} Clock;

static double rate_of(const Clock *c, guint index)
{
    const ManyStep *step = many_step(c->many, index);
    double out = many_host(c->many, step->from)->link_bps / MAX(c->links[step->from], 1);
    double in = many_host(c->many, step->to)->link_bps / MAX(c->links[step->to], 1);
    double rate = MIN(out, in);

    return step->cap_bps > 0 ? MIN(rate, step->cap_bps) : rate;
}

static gboolean has_slots(const Clock *c, const ManyStep *step)
{
    const guint ends[] = { step->from, step->to };
    gint64 most = c->many->request->moves_at_once;

    if (most > 0 && c->running->len >= (guint)most)
        return FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(ends); i++) {
        GwSlots slots = many_host(c->many, ends[i])->slots;
        if (c->live[ends[i]] + step->takes.live > slots.live && step->takes.live > 0)
            return FALSE;
        if (c->storage[ends[i]] + step->takes.storage > slots.storage && step->takes.storage > 0)
            return FALSE;
    }
    return TRUE;
}

static void wait_for(const Clock *c, ManyStep *step, guint other)
{
    const ManyStep *before = many_step(c->many, other);

    step->wave = MAX(step->wave, before->wave + 1);
    if (step->after == MANY_NONE || many_step(c->many, step->after)->ends_ms < before->ends_ms)
        step->after = other;
}

/* Hosts emptied at one time: one that has begun goes on; another begins when there is leave. */
static gboolean may_open(const Clock *c, const ManyStep *step)
{
    gint64 most = c->many->request->hosts_at_once;

    return most <= 0 || !many_host(c->many, step->from)->emptied || c->begun[step->from] > 0 ||
           c->open < most;
}

/* Whether those before it in the sequence that it needs have gone. */
static gboolean in_turn(const Clock *c, guint index)
{
    const ManyStep *step = many_step(c->many, index);

    if (c->previous[index] != MANY_NONE && c->state[c->previous[index]] != ENDED)
        return FALSE;
    if (step->loose || !c->mixed[step->to])
        return TRUE;
    for (guint i = 0; i < index; i++) {
        const ManyStep *other = many_step(c->many, i);
        if ((other->from == step->to && c->state[i] != ENDED) ||
            (other->to == step->to && c->state[i] == WAITING))
            return FALSE;
    }
    return TRUE;
}

static void note_waits(const Clock *c, guint index)
{
    ManyStep *step = many_step(c->many, index);

    step->wave = 1;
    if (c->previous[index] != MANY_NONE)
        wait_for(c, step, c->previous[index]);
    for (guint i = 0; !step->loose && c->mixed[step->to] && i < index; i++) {
        const ManyStep *other = many_step(c->many, i);
        if (other->from == step->to)
            wait_for(c, step, i);
        else if (other->to == step->to)
            step->wave = MAX(step->wave, other->wave);
    }
    if (many_host(c->many, step->from)->emptied && c->gate[step->from] != MANY_NONE)
        wait_for(c, step, c->gate[step->from]);
}

static void begin(Clock *c, guint index)
{
    ManyStep *step = many_step(c->many, index);
    const ManyVm *item = many_vm(c->many, step->vm);

    if (c->begun[step->from]++ == 0) {
        c->open++;
        c->gate[step->from] = c->many->request->hosts_at_once > 0 ? c->last_host_end : MANY_NONE;
    }
    note_waits(c, index);
    step->starts_ms = c->now;
    step->points = many_points(c->books, step->to, item->memory_kib, item->cpu);
    many_arrive(c->books, step->vm, step->to);
    step->left_kib = c->books->memory_kib[step->to];
    c->state[index] = RUNNING;
    c->fixed_ms[index] = step->fixed_ms;
    c->bytes[index] = step->bytes;
    for (guint i = 0; i < 2; i++) {
        guint end = i == 0 ? step->from : step->to;
        c->live[end] += (guint)step->takes.live;
        c->storage[end] += (guint)step->takes.storage;
        c->links[end]++;
    }
    g_array_append_val(c->running, index);
}

static void finish(Clock *c, guint position)
{
    guint index = g_array_index(c->running, guint, position);
    ManyStep *step = many_step(c->many, index);

    g_array_remove_index(c->running, position);
    step->ends_ms = c->now;
    c->state[index] = ENDED;
    many_depart(c->books, step->vm, step->from);
    for (guint i = 0; i < 2; i++) {
        guint end = i == 0 ? step->from : step->to;
        c->live[end] -= (guint)step->takes.live;
        c->storage[end] -= (guint)step->takes.storage;
        c->links[end]--;
    }
    if (++c->ended[step->from] == c->total[step->from]) {
        c->open--;
        c->last_host_end = index;
    }
}

static gboolean may_begin(Clock *c, guint index)
{
    const ManyStep *step = many_step(c->many, index);

    return has_slots(c, step) && may_open(c, step) && in_turn(c, index) &&
           many_fits(c->books, step->vm, step->to, TRUE) == MANY_FITS;
}

/* Of a unit of several the rest follows at once: they are apart no longer than they must. */
static gboolean is_urgent(const Clock *c, guint index)
{
    const ManyStep *step = many_step(c->many, index);
    const GArray *vms = many_unit(c->many, many_vm(c->many, step->vm)->unit)->vms;

    for (guint i = 0; vms->len > 1 && i < vms->len; i++) {
        if (c->books->at[g_array_index(vms, guint, i)] == step->to)
            return TRUE;
    }
    return FALSE;
}

static void begin_all(Clock *c, guint count)
{
    for (int urgent = 1; urgent >= 0; urgent--) {
        for (guint i = 0; i < count; i++) {
            guint index = c->order[i];
            if (c->state[index] == WAITING && (!urgent || is_urgent(c, index)) &&
                may_begin(c, index))
                begin(c, index);
        }
    }
}

/* To the next moment at which something changes. */
static void go_on(Clock *c)
{
    double least = INFINITY;

    for (guint i = 0; i < c->running->len; i++) {
        guint index = g_array_index(c->running, guint, i);
        double left = c->fixed_ms[index] > 0 ? c->fixed_ms[index]
                                             : c->bytes[index] / rate_of(c, index) * 1000;
        least = MIN(least, left);
    }
    for (guint i = 0; i < c->running->len; i++) {
        guint index = g_array_index(c->running, guint, i);
        if (c->fixed_ms[index] > 0)
            c->fixed_ms[index] -= least;
        else
            c->bytes[index] -= rate_of(c, index) * least / 1000;
    }
    c->now += least;
    for (guint i = c->running->len; i-- > 0;) {
        guint index = g_array_index(c->running, guint, i);
        /* Less than a byte is the rounding's. */
        if (c->fixed_ms[index] < 1e-6)
            c->fixed_ms[index] = 0;
        if (c->fixed_ms[index] <= 0 && c->bytes[index] < 1)
            finish(c, i);
    }
}

/* Hosts that a drain has begun to empty, whose rest this is, go on before another begins
 * (gw_plan_turns_ready has the same rule). */
static void note_begun(Clock *c, const GwJob *job)
{
    const GPtrArray *moves = job->plan->moves;

    for (guint i = 0; moves != NULL && i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        guint host = move->source_host_id != NULL ? many_host_index(c->many, move->source_host_id)
                                                  : MANY_NONE;
        if ((move->state != (int)GW_PLANNED_DONE && move->state != (int)GW_PLANNED_RUNNING) ||
            host == MANY_NONE || !many_host(c->many, host)->emptied || c->total[host] == 0 ||
            c->begun[host] > 0)
            continue;
        c->begun[host]++;
        c->open++;
    }
}

static void read_begun(Clock *c)
{
    GHashTableIter iter;
    gpointer value;

    if (c->many->request->hosts_at_once <= 0)
        return;
    g_hash_table_iter_init(&iter, c->many->fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (job->plan != NULL && job->plan->kind == (int)GW_PLAN_DRAIN &&
            !gw_job_state_is_final((GwJobState)job->state))
            note_begun(c, job);
    }
}

static void prepare(Clock *c, Many *many)
{
    guint hosts = MAX(many->hosts->len, 1);
    guint steps = MAX(many->steps->len, 1);
    g_autofree gboolean *left = g_new0(gboolean, hosts);
    g_autofree guint *last = g_new(guint, MAX(many->vms->len, 1));

    *c = (Clock){ .many = many,
                  .books = many_books_new(many),
                  .state = g_new0(guint8, steps),
                  .fixed_ms = g_new0(double, steps),
                  .bytes = g_new0(double, steps),
                  .running = g_array_new(FALSE, FALSE, sizeof(guint)),
                  .live = g_new0(guint, hosts),
                  .storage = g_new0(guint, hosts),
                  .links = g_new0(guint, hosts),
                  .previous = g_new(guint, steps),
                  .mixed = g_new0(gboolean, hosts),
                  .begun = g_new0(guint, hosts),
                  .ended = g_new0(guint, hosts),
                  .total = g_new0(guint, hosts),
                  .gate = g_new(guint, hosts),
                  .last_host_end = MANY_NONE };
    for (guint v = 0; v < many->vms->len; v++)
        last[v] = MANY_NONE;
    for (guint h = 0; h < many->hosts->len; h++)
        c->gate[h] = MANY_NONE;
    for (guint i = 0; i < many->steps->len; i++) {
        const ManyStep *step = many_step(many, i);
        c->previous[i] = last[step->vm];
        last[step->vm] = i;
        c->total[step->from]++;
        left[step->from] = TRUE;
    }
    for (guint i = 0; i < many->steps->len; i++)
        c->mixed[many_step(many, i)->to] = left[many_step(many, i)->to];
    read_begun(c);
}

static void clear(Clock *c)
{
    many_books_free(c->books);
    g_free(c->state);
    g_free(c->fixed_ms);
    g_free(c->bytes);
    g_array_unref(c->running);
    g_free(c->live);
    g_free(c->storage);
    g_free(c->links);
    g_free(c->previous);
    g_free(c->mixed);
    g_free(c->begun);
    g_free(c->ended);
    g_free(c->total);
    g_free(c->gate);
}

/* The time of the last end, ms; the steps get their times. Steps that never could begin, which
 * would be our defect, have none: they are dropped, and their VMs stay. */
static double run(Many *many, guint *order)
{
    Clock c;

    prepare(&c, many);
    c.order = order;
    for (guint i = 0; i < many->steps->len; i++) {
        many_step(many, i)->after = MANY_NONE;
        many_step(many, i)->ends_ms = -1;
    }
    begin_all(&c, many->steps->len);
    while (c.running->len > 0) {
        go_on(&c);
        begin_all(&c, many->steps->len);
    }
    double now = c.now;
    clear(&c);
    return now;
}

/* Priority ----------------------------------------------------------------------------------- */

typedef struct {
    guint index;
    gboolean disks;
    double ms, first_ms; /* its own, and the longest of those like it */
    guint unit, similar, from;
} Rank;

/* Those that take longest first: what is left at the end is short, and no host waits for it. */
static int compare_longest(gconstpointer pa, gconstpointer pb)
{
    const Rank *a = pa, *b = pb;

    if (!a->disks != !b->disks)
        return a->disks ? -1 : 1;
    if (fabs(a->ms - b->ms) > 0.5)
        return a->ms > b->ms ? -1 : 1;
    if (a->similar != b->similar)
        return a->similar < b->similar ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

/* The same, those from one image on one host right after each other. */
static int compare_similar(gconstpointer pa, gconstpointer pb)
{
    const Rank *a = pa, *b = pb;
    gboolean alike = a->similar != MANY_NONE && a->similar == b->similar && a->from == b->from;

    if (alike)
        return compare_longest(pa, pb);
    if (!a->disks != !b->disks)
        return a->disks ? -1 : 1;
    if (fabs(a->first_ms - b->first_ms) > 0.5)
        return a->first_ms > b->first_ms ? -1 : 1;
    if (a->from != b->from)
        return a->from < b->from ? -1 : 1;
    if (a->similar != b->similar)
        return a->similar < b->similar ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

static GArray *rank(const Many *many)
{
    GArray *ranks = g_array_new(FALSE, FALSE, sizeof(Rank));
    g_autoptr(GHashTable) longest = g_hash_table_new_full(NULL, NULL, NULL, g_free);

    for (guint i = 0; i < many->steps->len; i++) {
        const ManyStep *step = many_step(many, i);
        const ManyVm *item = many_vm(many, step->vm);
        double link =
            MIN(many_host(many, step->from)->link_bps, many_host(many, step->to)->link_bps);
        Rank r = { .index = i,
                   .disks = step->takes.storage > 0,
                   .ms = step->fixed_ms + step->bytes / link * 1000,
                   .similar = item->similar,
                   .unit = item->unit,
                   .from = step->from };
        gpointer key = GSIZE_TO_POINTER((((gsize)item->similar + 1) << 32) | step->from);
        double *most = g_hash_table_lookup(longest, key);
        if (most == NULL) {
            most = g_new0(double, 1);
            g_hash_table_insert(longest, key, most);
        }
        *most = MAX(*most, r.ms);
        g_array_append_val(ranks, r);
    }
    for (guint i = 0; i < ranks->len; i++) {
        Rank *r = &g_array_index(ranks, Rank, i);
        double *most = g_hash_table_lookup(
            longest, GSIZE_TO_POINTER((((gsize)r->similar + 1) << 32) | r->from));
        r->first_ms = r->similar != MANY_NONE ? *most : r->ms;
    }
    return ranks;
}

static void order_by(GArray *ranks, GCompareFunc compare, guint *order)
{
    g_array_sort(ranks, compare);
    for (guint i = 0; i < ranks->len; i++)
        order[i] = g_array_index(ranks, Rank, i).index;
}

static int compare_starts(gconstpointer pa, gconstpointer pb, gpointer data)
{
    const Many *many = data;
    const ManyStep *a = many_step(many, *(const guint *)pa);
    const ManyStep *b = many_step(many, *(const guint *)pb);

    if (a->starts_ms < b->starts_ms || a->starts_ms > b->starts_ms)
        return a->starts_ms < b->starts_ms ? -1 : 1;
    return 0;
}

/* Into the order in which they begin: by time, and at one time as they were begun. */
static void sort_steps(Many *many, guint *order)
{
    guint count = many->steps->len;
    g_autoptr(GArray) old = g_steal_pointer(&many->steps);
    g_autofree guint *now_at = g_new(guint, MAX(count, 1));
    guint kept = 0;

    many->steps = old;
    g_qsort_with_data(order, (int)count, sizeof(*order), compare_starts, many);
    many->steps = g_array_new(FALSE, FALSE, sizeof(ManyStep));
    for (guint i = 0; i < count; i++)
        now_at[order[i]] = g_array_index(old, ManyStep, order[i]).ends_ms >= 0 ? kept++ : MANY_NONE;
    for (guint i = 0; i < count; i++) {
        ManyStep step = g_array_index(old, ManyStep, order[i]);
        if (step.ends_ms < 0)
            continue;
        if (step.after != MANY_NONE)
            step.after = now_at[step.after];
        g_array_append_val(many->steps, step);
    }
}

void many_schedule(Many *many)
{
    g_autoptr(GArray) ranks = rank(many);
    g_autofree guint *order = g_new(guint, MAX(ranks->len, 1));
    g_autofree guint *similar = g_new(guint, MAX(ranks->len, 1));

    order_by(ranks, compare_longest, order);
    order_by(ranks, compare_similar, similar);
    double longest_first = run(many, order);
    if (memcmp(order, similar, ranks->len * sizeof(*order)) != 0) {
        /* Alike ones beside each other save bytes that no prediction counts: a little time may be
         * given for it. */
        if (run(many, similar) <= longest_first * 1.02)
            memcpy(order, similar, ranks->len * sizeof(*order));
        else
            run(many, order);
    }
    sort_steps(many, order);
    for (guint i = 0; i < many->steps->len; i++)
        many->total_ms = MAX(many->total_ms, many_ms(many_step(many, i)->ends_ms + 0.5));
    many->lower_bound_ms = many_lower_bound(many);
}
