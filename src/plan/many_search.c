/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/many.h"

/* Every placement that can be reached by one sound move after another, breadth first: the way with
 * the fewest moves by which the most VMs get where they are to go. For cycles that no rule of thumb
 * breaks, in fabrics that are small enough. */

#define STATES_MAX 20000

typedef struct {
    guint64 code; /* the placement: the units' hosts, as digits */
    guint parent;
    ManyHop hop; /* that led here */
} State;

typedef struct {
    const Many *many;
    GArray *states;
    GHashTable *seen; /* code -> itself */
    guint best, best_count;
} Search;

ManyBooks *many_books_after(const Many *many, const GArray *hops)
{
    ManyBooks *books = many_books_new(many);

    for (guint i = 0; i < hops->len; i++) {
        const ManyHop *hop = &g_array_index(hops, ManyHop, i);
        const GArray *vms = many_unit(many, hop->unit)->vms;
        for (guint k = 0; k < vms->len; k++) {
            guint vm = g_array_index(vms, guint, k);
            guint from = books->at[vm];
            if (from == hop->to)
                continue;
            many_arrive(books, vm, hop->to);
            many_depart(books, vm, from);
        }
    }
    return books;
}

static guint first_vm(const Many *many, guint unit)
{
    return g_array_index(many_unit(many, unit)->vms, guint, 0);
}

/* Where each unit is: its VMs are together only after their first move. */
static guint64 code_of(const Many *many, const ManyBooks *books)
{
    guint64 code = 0;

    for (guint u = 0; u < many->units->len; u++)
        code = code * many->hosts->len + books->at[first_vm(many, u)];
    return code;
}

/* How many VMs are at an end; 0 where one is neither there nor at home: no plan stops there. */
static guint count_ends(const Many *many, const ManyBooks *books)
{
    guint count = 0;

    for (guint v = 0; v < many->vms->len; v++) {
        if (many_is_end(many, v, books->at[v]))
            count++;
        else if (books->at[v] != many_vm(many, v)->home)
            return 0;
    }
    return count;
}

static GArray *way_to(const Search *search, guint index)
{
    GArray *hops = g_array_new(FALSE, FALSE, sizeof(ManyHop));

    while (index != 0) {
        const State *state = &g_array_index(search->states, State, index);
        g_array_prepend_val(hops, state->hop);
        index = state->parent;
    }
    return hops;
}

/* What is copied on the way would have to be copied again, and be kept twice. */
static gboolean may_pass(const Many *many, const ManyBooks *books, guint unit, guint host)
{
    guint vm = first_vm(many, unit);

    return many_is_end(many, vm, host) || !many_cell(many, vm, books->at[vm], host)->copies;
}

static void expand(Search *search, guint index, ManyBooks *books)
{
    const Many *many = search->many;

    for (guint u = 0; u < many->units->len; u++) {
        guint at = books->at[first_vm(many, u)];
        guint64 scale = 1;
        for (guint k = u + 1; k < many->units->len; k++)
            scale *= many->hosts->len;
        for (guint h = 0; h < many->hosts->len; h++) {
            guint64 code =
                g_array_index(search->states, State, index).code - scale * at + scale * h;
            if (h == at || g_hash_table_contains(search->seen, &code) ||
                !many_unit_fits(books, u, h) || !may_pass(many, books, u, h))
                continue;
            State next = { code, index, { u, h } };
            guint64 *key = g_new(guint64, 1);
            *key = code;
            g_hash_table_add(search->seen, key);
            g_array_append_val(search->states, next);
        }
    }
}

static gboolean is_small(const Many *many)
{
    guint64 states = 1;

    for (guint u = 0; u < many->units->len; u++) {
        states *= MAX(many->hosts->len, 2);
        if (states > STATES_MAX)
            return FALSE;
    }
    return TRUE;
}

gboolean many_search(const Many *many, GArray *hops, guint *count)
{
    if (!is_small(many))
        return FALSE;
    g_autoptr(GArray) states = g_array_new(FALSE, FALSE, sizeof(State));
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    g_autoptr(ManyBooks) start = many_books_new(many);
    Search search = { many, states, seen, 0, 0 };
    State first = { code_of(many, start), 0, { 0, 0 } };
    guint64 *key = g_new(guint64, 1);

    *key = first.code;
    g_hash_table_add(seen, key);
    g_array_append_val(states, first);
    for (guint i = 0; i < states->len && search.best_count < many->vms->len; i++) {
        g_autoptr(GArray) way = way_to(&search, i);
        g_autoptr(ManyBooks) books = many_books_after(many, way);
        guint ends = count_ends(many, books);
        if (ends > search.best_count) {
            search.best = i;
            search.best_count = ends;
        }
        expand(&search, i, books);
    }
    g_autoptr(GArray) way = way_to(&search, search.best);
    g_array_set_size(hops, 0);
    g_array_append_vals(hops, way->data, way->len);
    *count = search.best_count;
    return TRUE;
}
