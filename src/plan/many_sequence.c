/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/many.h"

/* The moves, one after another, each sound when it begins. Where all find room without waiting for
 * what others leave, any order will do. Else: whatever can go goes, the big ones first; where
 * nothing can, one that stands in others' way makes a detour; and where that does not help either
 * and the fabric is small, every sequence is looked at. */

#define DETOURS_MAX 200 /* that are tried */

static guint at_of(const Many *many, const ManyBooks *books, guint unit)
{
    return books->at[g_array_index(many_unit(many, unit)->vms, guint, 0)];
}

/* All of it at an end of its way. */
static gboolean is_done(const Many *many, const ManyBooks *books, guint unit)
{
    const GArray *vms = many_unit(many, unit)->vms;

    for (guint i = 0; i < vms->len; i++) {
        guint vm = g_array_index(vms, guint, i);
        if (!many_is_end(many, vm, books->at[vm]))
            return FALSE;
    }
    return TRUE;
}

void many_hop(ManyBooks *books, GArray *hops, guint unit, guint to)
{
    const Many *many = books->many;
    const GArray *vms = many_unit(many, unit)->vms;
    ManyHop item = { unit, to };

    for (guint i = 0; i < vms->len; i++) {
        guint vm = g_array_index(vms, guint, i);
        guint from = books->at[vm];
        if (from == to)
            continue;
        many_arrive(books, vm, to);
        many_depart(books, vm, from);
    }
    g_array_append_val(hops, item);
}

/* The best end of its way that has room now. */
static guint find_end(ManyBooks *books, guint unit)
{
    const Many *many = books->many;
    gint64 best = -1;
    guint found = MANY_NONE;

    for (guint h = 0; h < many->hosts->len; h++) {
        if (!many_unit_ends(many, unit, h) || h == at_of(many, books, unit))
            continue;
        gint64 points = many_points(books, h, many_unit(many, unit)->memory_kib, 0);
        if (points > best && many_unit_fits(books, unit, h)) {
            best = points;
            found = h;
        }
    }
    return found;
}

/* Whatever can go goes, until nothing can. */
static void go_on(ManyBooks *books, GArray *hops, const guint *order)
{
    const Many *many = books->many;
    gboolean moved = TRUE;

    while (moved) {
        moved = FALSE;
        for (guint i = 0; i < many->units->len; i++) {
            guint to = is_done(many, books, order[i]) ? MANY_NONE : find_end(books, order[i]);
            if (to == MANY_NONE)
                continue;
            many_hop(books, hops, order[i], to);
            moved = TRUE;
        }
    }
}

static guint count_done(const Many *many, const ManyBooks *books)
{
    guint count = 0;

    for (guint u = 0; u < many->units->len; u++)
        count += is_done(many, books, u) ? many_unit(many, u)->vms->len : 0;
    return count;
}

/* @unit steps aside to @host; kept only if it gets to its own end by that. */
static gboolean try_detour(const Many *many, GArray *hops, const guint *order, guint unit,
                           guint host)
{
    guint length = hops->len;
    g_autoptr(ManyBooks) books = many_books_after(many, hops);
    guint vm = g_array_index(many_unit(many, unit)->vms, guint, 0);

    if (host == books->at[vm] || !many_unit_fits(books, unit, host) ||
        many_cell(many, vm, books->at[vm], host)->copies)
        return FALSE;
    many_hop(books, hops, unit, host);
    go_on(books, hops, order);
    if (is_done(many, books, unit))
        return TRUE;
    g_array_set_size(hops, length);
    return FALSE;
}

static gboolean any_detour(const Many *many, GArray *hops, const guint *order, guint *tries)
{
    g_autoptr(ManyBooks) books = many_books_after(many, hops);

    for (guint i = 0; i < many->units->len; i++) {
        if (is_done(many, books, order[i]))
            continue;
        for (guint h = 0; h < many->hosts->len && *tries < DETOURS_MAX; h++) {
            if (many_unit_ends(many, order[i], h) ||
                many_fits(books, g_array_index(many_unit(many, order[i])->vms, guint, 0), h,
                          FALSE) != MANY_FITS)
                continue;
            (*tries)++;
            if (try_detour(many, hops, order, order[i], h))
                return TRUE;
        }
    }
    return FALSE;
}

static int compare_units(gconstpointer pa, gconstpointer pb, gpointer data)
{
    const ManyUnit *a = many_unit(data, *(const guint *)pa);
    const ManyUnit *b = many_unit(data, *(const guint *)pb);

    if (a->memory_kib != b->memory_kib)
        return a->memory_kib > b->memory_kib ? -1 : 1;
    return *(const guint *)pa < *(const guint *)pb ? -1 : 1;
}

static guint by_hand(Many *many, GArray *hops)
{
    g_autofree guint *order = g_new(guint, MAX(many->units->len, 1));
    g_autoptr(ManyBooks) books = many_books_new(many);
    guint tries = 0;

    for (guint u = 0; u < many->units->len; u++)
        order[u] = u;
    g_qsort_with_data(order, (int)many->units->len, sizeof(*order), compare_units, many);
    go_on(books, hops, order);
    while (any_detour(many, hops, order, &tries)) {
    }
    g_autoptr(ManyBooks) after = many_books_after(many, hops);
    return count_done(many, after);
}

/* ------------------------------------------------------------------------------------------ */

static void add_steps(Many *many, ManyBooks *books, guint unit, guint to, gboolean loose)
{
    const GArray *vms = many_unit(many, unit)->vms;

    for (guint i = 0; i < vms->len; i++) {
        guint vm = g_array_index(vms, guint, i);
        ManyStep step = {
            .vm = vm, .from = books->at[vm], .to = to, .loose = loose, .after = MANY_NONE
        };
        if (step.from == to)
            continue;
        many_estimate(many, &step);
        g_array_append_val(many->steps, step);
        many_arrive(books, vm, to);
        many_depart(books, vm, step.from);
    }
}

static void from_places(Many *many, const guint *to)
{
    g_autoptr(ManyBooks) books = many_books_new(many);

    for (guint u = 0; u < many->units->len; u++) {
        if (to[u] != MANY_NONE)
            add_steps(many, books, u, to[u], TRUE);
    }
}

/* All but a VM's last step. */
static void mark_detours(Many *many)
{
    g_autofree gboolean *later = g_new0(gboolean, MAX(many->vms->len, 1));

    for (guint i = many->steps->len; i-- > 0;) {
        ManyStep *step = many_step(many, i);
        step->detour = later[step->vm];
        later[step->vm] = TRUE;
    }
}

void many_take_hops(Many *many, const GArray *hops)
{
    g_autoptr(ManyBooks) books = many_books_new(many);

    for (guint i = 0; i < hops->len; i++) {
        const ManyHop *item = &g_array_index(hops, ManyHop, i);
        add_steps(many, books, item->unit, item->to, FALSE);
    }
    mark_detours(many);
}

void many_sequence(Many *many)
{
    g_autofree guint *to = g_new(guint, MAX(many->units->len, 1));
    g_autoptr(GArray) hops = g_array_new(FALSE, FALSE, sizeof(ManyHop));
    g_autoptr(GArray) searched = g_array_new(FALSE, FALSE, sizeof(ManyHop));
    guint placed = many_assign(many, to);
    guint found = 0;

    /* From hosts that only lose VMs nobody gains room. */
    if (placed == many->vms->len || many->request->kind == (int)GW_PLAN_DRAIN) {
        from_places(many, to);
        return;
    }
    guint moved = by_hand(many, hops);
    if (MAX(moved, placed) < many->vms->len && many_search(many, searched, &found) &&
        found > MAX(moved, placed))
        many_take_hops(many, searched);
    else if (moved > placed)
        many_take_hops(many, hops);
    else
        from_places(many, to);
}
