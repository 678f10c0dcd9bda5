/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/many.h"
#include "plan/rule.h"

/* Where each VM goes, so that all of them fit at the end without any room that one of them leaves:
 * then they may go in any order. First by the ratings; where that leaves some behind, the tightest
 * fit first; where that does too, and the plan is small enough, every way there is. */

#define TRIES_MAX 20000 /* partial placements looked at, at most */
#define BAND 100000     /* hosts within half a star are as good as each other */
#define SIMILAR 50000   /* a quarter of a star: to where alike ones go, their pages are there */
#define SIMILAR_WAITS 4 /* and it may take so many times its own time longer to get there */

typedef struct {
    ManyBooks *books;
    guint *to;
    GHashTable *similar; /* base image and host -> itself: where alike ones go already */
    gboolean tight;
} Assign;

static gpointer similar_key(guint similar, guint host)
{
    return GSIZE_TO_POINTER((((gsize)similar + 1) << 32) | host);
}

static const ManyVm *first_of(const Many *many, guint unit)
{
    return many_vm(many, g_array_index(many_unit(many, unit)->vms, guint, 0));
}

/* -1: it does not fit there, as far as is cheap to see. */
static gint64 points_of(const Assign *as, guint unit, guint host)
{
    const Many *many = as->books->many;
    const ManyUnit *item = many_unit(many, unit);
    const ManyVm *first = first_of(many, unit);

    if (!many_unit_ends(many, unit, host) || as->books->memory_kib[host] < item->memory_kib ||
        many_fits(as->books, g_array_index(item->vms, guint, 0), host, FALSE) != MANY_FITS)
        return -1;
    if (as->tight)
        return G_MAXINT64 / 2 - (as->books->memory_kib[host] - item->memory_kib);
    gint64 points = many_points(as->books, host, item->memory_kib, first->cpu);
    if (first->similar != MANY_NONE &&
        g_hash_table_contains(as->similar, similar_key(first->similar, host)))
        points += SIMILAR;
    return points;
}

static double bytes_of(const Assign *as, guint unit, guint host)
{
    const Many *many = as->books->many;
    const ManyUnit *item = many_unit(many, unit);
    guint vm = g_array_index(item->vms, guint, 0);

    return (double)item->memory_kib * 1024 +
           (double)many_copy_bytes(many, vm, as->books->at[vm], host);
}

/* How long its link is taken already. */
static double busy_ms(const Assign *as, guint unit, guint host)
{
    const Many *many = as->books->many;
    guint similar = first_of(many, unit)->similar;
    double own =
        (double)many_unit(many, unit)->memory_kib * 1024 / many_host(many, host)->link_bps * 1000;

    if (similar == MANY_NONE || !g_hash_table_contains(as->similar, similar_key(similar, host)))
        return as->books->incoming_ms[host];
    return MAX(as->books->incoming_ms[host] - SIMILAR_WAITS * own, 0);
}

/* What preflight warns of, as ratings have it: it decides between hosts that are alike. */
static guint warnings_of(const Assign *as, guint unit, guint host)
{
    const Many *many = as->books->many;
    guint vm = g_array_index(many_unit(many, unit)->vms, guint, 0);
    const GwMatrixCell *cell = many_cell(many, vm, as->books->at[vm], host);

    return cell != NULL ? cell->warnings : 0;
}

/* Of those nearly as good as the best, the one with the fewest warnings; of these, the one that has
 * least to receive. */
static guint pick(const Assign *as, guint unit, const gint64 *points, guint count)
{
    gint64 best = -1;
    guint found = MANY_NONE, fewest = 0;
    double least = 0;

    for (guint h = 0; h < count; h++)
        best = MAX(best, points[h]);
    if (best < 0)
        return MANY_NONE;
    for (guint h = 0; h < count; h++) {
        if (points[h] < 0 || points[h] < best - (as->tight ? 0 : BAND))
            continue;
        double ms = busy_ms(as, unit, h);
        guint warnings = warnings_of(as, unit, h);
        if (found != MANY_NONE &&
            (warnings > fewest ||
             (warnings == fewest && (ms > least || (ms >= least && points[h] <= points[found])))))
            continue;
        found = h;
        fewest = warnings;
        least = ms;
    }
    return found;
}

static guint choose(const Assign *as, guint unit, gint64 *points)
{
    guint count = as->books->many->hosts->len;
    guint host = MANY_NONE;

    for (guint h = 0; h < count; h++)
        points[h] = points_of(as, unit, h);
    while ((host = pick(as, unit, points, count)) != MANY_NONE) {
        if (many_unit_fits(as->books, unit, host))
            return host;
        points[host] = -1;
    }
    return MANY_NONE;
}

static void place(Assign *as, guint unit, guint host)
{
    const Many *many = as->books->many;
    const ManyVm *first = first_of(many, unit);

    as->books->incoming_ms[host] +=
        bytes_of(as, unit, host) / many_host(many, host)->link_bps * 1000;
    many_unit_arrive(as->books, unit, host);
    as->to[unit] = host;
    if (first->similar != MANY_NONE)
        g_hash_table_add(as->similar, similar_key(first->similar, host));
}

/* Big ones first: what is left for them gets less with each small one. */
typedef struct {
    guint unit;
    gint64 memory_kib;
    guint hosts; /* that may take it at all */
    guint similar;
} Order;

static int compare_memory(gconstpointer pa, gconstpointer pb)
{
    const Order *a = pa, *b = pb;

    if (a->memory_kib != b->memory_kib)
        return a->memory_kib > b->memory_kib ? -1 : 1;
    if (a->similar != b->similar)
        return a->similar < b->similar ? -1 : 1;
    return a->unit < b->unit ? -1 : 1;
}

static int compare_choice(gconstpointer pa, gconstpointer pb)
{
    const Order *a = pa, *b = pb;

    if (a->hosts != b->hosts)
        return a->hosts < b->hosts ? -1 : 1;
    return compare_memory(pa, pb);
}

static guint count_hosts(const Many *many, guint unit)
{
    guint vm = g_array_index(many_unit(many, unit)->vms, guint, 0);
    guint count = 0;

    for (guint h = 0; h < many->hosts->len; h++)
        count += many_unit_ends(many, unit, h) &&
                 many_may(many, vm, many_vm(many, vm)->home, h) == MANY_FITS;
    return count;
}

static GArray *in_order(const Many *many, gboolean by_choice)
{
    GArray *order = g_array_new(FALSE, FALSE, sizeof(Order));

    for (guint u = 0; u < many->units->len; u++) {
        Order item = { .unit = u,
                       .memory_kib = many_unit(many, u)->memory_kib,
                       .hosts = by_choice ? count_hosts(many, u) : 0,
                       .similar = first_of(many, u)->similar };
        g_array_append_val(order, item);
    }
    g_array_sort(order, by_choice ? compare_choice : compare_memory);
    return order;
}

static guint assign_once(const Many *many, guint *to, gboolean tight)
{
    g_autoptr(ManyBooks) books = many_books_new(many);
    g_autoptr(GHashTable) similar = g_hash_table_new(NULL, NULL);
    g_autoptr(GArray) order = in_order(many, tight);
    g_autofree gint64 *points = g_new(gint64, MAX(many->hosts->len, 1));
    Assign as = { books, to, similar, tight };
    guint placed = 0;

    for (guint i = 0; i < order->len; i++) {
        guint unit = g_array_index(order, Order, i).unit;
        guint host =
            many_unit(many, unit)->impossible == NULL ? choose(&as, unit, points) : MANY_NONE;
        to[unit] = MANY_NONE;
        if (host == MANY_NONE)
            continue;
        place(&as, unit, host);
        placed += many_unit(many, unit)->vms->len;
    }
    return placed;
}

/* Every way there is ------------------------------------------------------------------------ */

typedef struct {
    const Many *many;
    const GArray *order;
    guint *at; /* by unit: what is being tried */
    guint *best;
    guint best_count;
    guint tries;
    guint all; /* VMs */
} Deep;

/* The books as they are with the first @count of the order placed. */
static ManyBooks *books_of(const Deep *deep, guint count)
{
    ManyBooks *books = many_books_new(deep->many);

    for (guint i = 0; i < count; i++) {
        guint unit = g_array_index(deep->order, Order, i).unit;
        if (deep->at[unit] != MANY_NONE)
            many_unit_arrive(books, unit, deep->at[unit]);
    }
    return books;
}

static void note_best(Deep *deep, guint placed)
{
    if (placed <= deep->best_count)
        return;
    deep->best_count = placed;
    for (guint u = 0; u < deep->many->units->len; u++)
        deep->best[u] = deep->at[u];
}

static void descend(Deep *deep, guint depth, guint placed, guint left)
{
    if (depth == deep->order->len) {
        note_best(deep, placed);
        return;
    }
    if (placed + left <= deep->best_count || deep->best_count == deep->all)
        return;
    guint unit = g_array_index(deep->order, Order, depth).unit;
    guint size = many_unit(deep->many, unit)->vms->len;
    g_autoptr(ManyBooks) books = books_of(deep, depth);

    for (guint h = 0; h < deep->many->hosts->len && deep->tries < TRIES_MAX; h++) {
        deep->tries++;
        if (!many_unit_ends(deep->many, unit, h) || !many_unit_fits(books, unit, h))
            continue;
        deep->at[unit] = h;
        descend(deep, depth + 1, placed + size, left - size);
    }
    deep->at[unit] = MANY_NONE;
    descend(deep, depth + 1, placed, left - size);
}

/* With books made anew at each step it is worth the while for few VMs and hosts only. */
static guint assign_deep(const Many *many, guint *to, guint found)
{
    g_autoptr(GArray) order = in_order(many, TRUE);
    g_autofree guint *at = g_new(guint, many->units->len);
    Deep deep = { many, order, at, to, found, 0, many->vms->len };

    for (guint u = 0; u < many->units->len; u++)
        at[u] = MANY_NONE;
    if ((guint64)many->hosts->len * many->units->len <= 400)
        descend(&deep, 0, 0, many->vms->len);
    return deep.best_count;
}

guint many_assign(const Many *many, guint *to)
{
    g_autofree guint *other = g_new(guint, MAX(many->units->len, 1));
    guint found = assign_once(many, to, FALSE);

    if (found == many->vms->len)
        return found;
    guint tight = assign_once(many, other, TRUE);
    if (tight > found) {
        memcpy(to, other, many->units->len * sizeof(*to));
        found = tight;
    }
    return found == many->vms->len ? found : assign_deep(many, to, found);
}
