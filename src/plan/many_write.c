/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/text.h"
#include "plan/many.h"
#include "plan/rule.h"

/* A finished plan in the words of its record. */

#define NAMES_MAX 3
#define NOTES_MAX 100

/* Points as stars, in half steps. */
static double stars_of(gint64 points)
{
    return (double)((CLAMP(points, 0, 1000000) + 50000) / 100000) / 2;
}

static char *count_words(guint count, const char *one)
{
    return g_strdup_printf("%u %s%s", count, one, count == 1 ? "" : "s");
}

static const char *pool_of(const Many *many, const ManyStep *step)
{
    const GwMatrixCell *cell = many_cell(many, step->vm, step->from, step->to);

    for (guint i = 0; cell->copies && i < cell->candidate->disks->len; i++) {
        const GwDiskMove *move = cell->candidate->disks->pdata[i];
        const GwImageMove *top =
            gw_plan_is_copied(move) && move->images->len > 0 ? move->images->pdata[0] : NULL;
        if (top != NULL && top->to != NULL && top->to->pool != NULL)
            return top->to->pool;
    }
    return NULL;
}

/* Why there, and why then. */
static char *why_of(const Many *many, const ManyStep *step)
{
    const ManyVm *item = many_vm(many, step->vm);
    const char *to = gw_plan_host_name(many_host(many, step->to)->host);
    const ManyUnit *unit = many_unit(many, item->unit);
    g_autofree char *left = gw_plan_size(MAX(step->left_kib, 0));
    GString *out = g_string_new(NULL);

    if (item->why != NULL)
        g_string_append_printf(out, "%s; ", item->why);
    else if (step->detour)
        g_string_append_printf(out, "Steps aside to %s, which has room, so that others can pass; ",
                               to);
    else if (item->target == step->to)
        g_string_append_printf(out, "Back to %s; ", to);
    else if (unit->must == step->to)
        g_string_append_printf(out, "A rule keeps it together with a VM of %s; ", to);
    else if (unit->vms->len > 1)
        g_string_append_printf(out, "Together with %u other%s by a rule; ", unit->vms->len - 1,
                               unit->vms->len == 2 ? "" : "s");
    g_string_append_printf(out, "%s has %s of memory left then", to, left);
    if (step->after != MANY_NONE) {
        const ManyStep *before = many_step(many, step->after);
        gboolean room = before->from == step->to || before->vm == step->vm;
        g_string_append_printf(out, "; after %s, %s",
                               gw_plan_vm_name(many_vm(many, before->vm)->vm),
                               room ? "which makes room" : "the last of its host");
    }
    g_string_append_c(out, '.');
    g_autofree char *text = g_string_free(out, FALSE);
    return gw_text_printable(text, GW_TEXT_MESSAGE_MAX);
}

static GwPlannedMove *write_move(const Many *many, const ManyStep *step)
{
    const ManyVm *item = many_vm(many, step->vm);
    const GwHost *from = many_host(many, step->from)->host;
    const GwHost *to = many_host(many, step->to)->host;
    const GwMatrixCell *cell = many_cell(many, step->vm, step->from, step->to);
    GwPlannedMove *move = gw_planned_move_new();

    move->wave = step->wave;
    move->after = step->after != MANY_NONE ? (gint64)step->after + 1 : 0;
    move->vm_uuid = g_strdup(item->vm->uuid);
    move->vm_name = gw_text_printable(gw_plan_vm_name(item->vm), GW_TEXT_NAME_MAX);
    move->source_host_id = g_strdup(from->id);
    move->source_host_name = g_strdup(gw_plan_host_name(from));
    move->destination_host_id = g_strdup(to->id);
    move->destination_host_name = g_strdup(gw_plan_host_name(to));
    move->transfer = cell->candidate->transfer;
    move->storage = g_strdup(pool_of(many, step));
    move->starts_ms = many_ms(step->starts_ms + 0.5);
    move->ends_ms = many_ms(step->ends_ms + 0.5);
    move->memory_kib = item->memory_kib;
    move->bytes = (gint64)step->bytes;
    move->detour = step->detour;
    move->stars = stars_of(step->points);
    move->why = why_of(many, step);
    move->gain = item->gain;
    move->downtime_ms = step->downtime_ms;
    move->doubt = many_doubt(many, step);
    return move;
}

static GwInterval *total_of(const Many *many)
{
    GwInterval *total = gw_interval_new();
    double sum = 0, low = 0, high = 0;

    for (guint i = 0; i < many->steps->len; i++) {
        const ManyStep *step = many_step(many, i);
        double ms = step->ends_ms - step->starts_ms;
        sum += ms;
        low += ms * step->low;
        high += ms * step->high;
    }
    /* What is wrong with one prediction is mostly wrong with all: nothing evens out. */
    total->likely = many->total_ms;
    total->low = sum > 0 ? many_ms((double)many->total_ms * low / sum) : 0;
    total->high = sum > 0 ? many_ms((double)many->total_ms * high / sum) : 0;
    return total;
}

static void note_hosts(Many *many)
{
    guint emptied = 0, others = 0;

    for (guint h = 0; h < many->hosts->len; h++) {
        emptied += many_host(many, h)->emptied;
        others += many_host(many, h)->allowed;
    }
    gboolean chosen = many->request->group != NULL || many->request->destinations != NULL;
    if (emptied > 0 && others == 0)
        many_note(many, "There is no destination: %s.",
                  chosen ? "none of the hosts that were asked for may take a VM"
                         : "every host that may be one is to be emptied");
}

static void note_slots(Many *many)
{
    for (guint h = 0; h < many->hosts->len; h++) {
        const GwHost *host = many_host(many, h)->host;
        if (!many_host(many, h)->emptied ||
            (host->live_limit <= many_host(many, h)->slots.live &&
             host->storage_limit <= many_host(many, h)->slots.storage))
            continue;
        many_note(many, "Other jobs hold slots of %s: the plan counts on the rest (R20).",
                  gw_plan_host_name(host));
    }
}

/* Of predictions each says what it takes its link for; the plan says it once, with how many moves
 * that is about. */
static void note_guessed_links(Many *many)
{
    guint guessed = 0;
    double bps = 0;

    for (guint i = 0; i < many->steps->len; i++) {
        const ManyStep *step = many_step(many, i);
        guessed += step->guessed_bps > 0;
        bps = MAX(bps, step->guessed_bps);
    }
    if (guessed == 0)
        return;
    g_autofree char *moves = count_words(guessed, "move");
    many_note(many,
              "How fast the network carries %s is not known: nobody measured these links, and no "
              "move of the kind has shown it without a bandwidth limit. Times, also the least that "
              "any order needs, take it for %.0f MiB/s.",
              moves, bps / 1048576);
}

static void note_steps(Many *many)
{
    guint detours = 0, copies = 0;

    for (guint i = 0; i < many->steps->len; i++) {
        detours += many_step(many, i)->detour;
        copies += many_step(many, i)->takes.storage > 0;
    }
    g_autofree char *detour_words = count_words(detours, "VM");
    g_autofree char *copy_words = count_words(copies, "VM");
    if (detours > 0)
        many_note(many,
                  "%s make%s a detour: those that go to each other's place have no room "
                  "otherwise.",
                  detour_words, detours == 1 ? "s" : "");
    if (copies > 0)
        many_note(many,
                  "The disks of %s are copied, and begin first: what is copied last ends "
                  "the plan.",
                  copy_words);
    if (many->steps->len > 0 && !many->measured && many->predictor == NULL)
        many_note(many, "How fast the links are has not been measured: times are by 1 Gbit/s.");
    note_guessed_links(many);
}

static gboolean is_throttled(const Many *many, const ManyStep *step)
{
    (void)many;
    return step->converges == (int)GW_CONVERGES_THROTTLED;
}

static gboolean is_warned_of(const Many *many, const ManyStep *step)
{
    return many_cell(many, step->vm, step->from, step->to)->warnings > 0;
}

/* The names of a few, and how many more there are; NULL: none. A detour is of a VM that comes
 * again.
 */
static char *names_of(const Many *many, gboolean (*is)(const Many *many, const ManyStep *step))
{
    g_autoptr(GString) out = g_string_new(NULL);
    guint count = 0;

    for (guint i = 0; i < many->steps->len; i++) {
        const ManyStep *step = many_step(many, i);
        if (step->detour || !is(many, step) || ++count > NAMES_MAX)
            continue;
        g_string_append_printf(out, "%s%s", count > 1 ? ", " : "",
                               gw_plan_vm_name(many_vm(many, step->vm)->vm));
    }
    if (count > NAMES_MAX)
        g_string_append_printf(out, " and %u more", count - NAMES_MAX);
    return count > 0 ? g_strdup(out->str) : NULL;
}

static void note_slow(Many *many)
{
    g_autofree char *throttled = names_of(many, is_throttled);

    if (throttled != NULL)
        many_note(many, "Predicted to converge only slowed down: %s (R66).", throttled);
}

/* A guest of which nothing is known is taken to dirty little: a busy one takes far longer, or does
 * not arrive at all. */
static void note_unsampled(Many *many)
{
    guint count = 0;

    for (guint i = 0; many->predictor != NULL && i < many->steps->len; i++) {
        const ManyStep *step = many_step(many, i);
        count += !step->detour && step->converges == (int)GW_CONVERGES_UNKNOWN &&
                 gw_vm_is_running(many_vm(many, step->vm)->vm);
    }
    g_autofree char *words = count_words(count, "running VM");
    if (count > 0)
        many_note(many,
                  "How fast %s dirt%s memory is not known, and taken as little: the times are "
                  "guesses. It is sampled after a plan was asked for, where the host can do that: "
                  "ask again in a moment (R66).",
                  words, count == 1 ? "ies its" : "y their");
}

static void note_warnings(Many *many)
{
    g_autofree char *names = names_of(many, is_warned_of);

    if (names != NULL)
        many_note(many, "Preflight has warnings for %s (godwit vm migrate --dry-run).", names);
}

static char **take_notes(Many *many)
{
    GPtrArray *out = g_ptr_array_new();

    for (guint i = 0; i < MIN(many->notes->len, NOTES_MAX); i++)
        g_ptr_array_add(out, gw_text_printable(many->notes->pdata[i], GW_TEXT_MESSAGE_MAX));
    g_ptr_array_add(out, NULL);
    return (char **)g_ptr_array_free(out, FALSE);
}

GwMigrationPlan *many_write(Many *many)
{
    GwMigrationPlan *plan = gw_migration_plan_new();

    plan->kind = many->request->kind;
    plan->request = gw_plan_request_copy(many->request);
    plan->moves = gw_record_array(&gw_planned_move_record);
    plan->stays = gw_record_array(&gw_planned_stay_record);
    for (guint i = 0; i < many->steps->len; i++) {
        g_ptr_array_add(plan->moves, write_move(many, many_step(many, i)));
        plan->waves = MAX(plan->waves, (gint64)many_step(many, i)->wave);
    }
    if (many->request->kind != (int)GW_PLAN_BALANCE) /* which moves what is worth it */
        many_write_stays(many, plan);
    plan->balance = g_steal_pointer(&many->figures);
    plan->total_ms = total_of(many);
    plan->lower_bound_ms = many->lower_bound_ms;
    note_hosts(many);
    note_slots(many);
    note_steps(many);
    note_slow(many);
    note_unsampled(many);
    note_warnings(many);
    plan->notes = take_notes(many);
    plan->rests_on = gw_plan_rests_on(many->fabric, plan);
    plan->fingerprint = gw_plan_fingerprint(many->fabric, plan);
    return plan;
}
