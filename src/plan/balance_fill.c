/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/balance.h"
#include "plan/rule.h"

/* The goal "fill": the least used host is emptied, if all that runs there fits on others that run
 * something already, above their reserves and with some headroom. All of a host or nothing: half an
 * empty host is worth nothing. */

typedef struct {
    Balance *balance;
    GHashTable *given_up; /* hosts that cannot be emptied, or that got something */
    guint *running;       /* of each host, as the plan leaves it so far */
} Fill;

/* Of each host the VMs that run there and are not on their way from it. Free with g_free. */
static guint *count_running(const Balance *balance)
{
    const Many *many = balance->many;
    guint *counts = g_new0(guint, MAX(many->hosts->len, 1));

    for (guint h = 0; h < many->hosts->len; h++) {
        GHashTable *vms = g_hash_table_lookup(many->fabric->vms, many_host(many, h)->host->id);
        GHashTableIter iter;
        gpointer vm;
        if (vms == NULL)
            continue;
        g_hash_table_iter_init(&iter, vms);
        while (g_hash_table_iter_next(&iter, NULL, &vm))
            counts[h] += gw_plan_is_live(vm);
    }
    for (guint v = 0; v < many->vms->len; v++) {
        guint home = many_vm(many, v)->home, at = balance->books->at[v];
        if (home == at)
            continue;
        counts[home]--;
        counts[at]++;
    }
    return counts;
}

static guint count_units(const Balance *balance, guint host)
{
    const GArray *units = balance->units->pdata[host];
    guint count = 0;

    for (guint i = 0; i < units->len; i++)
        count += balance_size(balance, g_array_index(units, guint, i));
    return count;
}

/* The least used of those that run something, all of which may move. */
static guint find_source(const Fill *fill)
{
    const BalanceLoads *loads = fill->balance->loads;
    guint found = MANY_NONE;

    for (guint h = 0; h < loads->count; h++) {
        guint running = loads->hosts[h].in ? fill->running[h] : 0;
        if (running == 0 || g_hash_table_contains(fill->given_up, GUINT_TO_POINTER(h + 1)) ||
            count_units(fill->balance, h) != running || running > fill->balance->left)
            continue;
        if (found == MANY_NONE || balance_excess(loads, h) < balance_excess(loads, found))
            found = h;
    }
    return found;
}

/* What was not seen counts here: a host that is filled must bear it. */
static gboolean has_headroom(const BalanceLoads *loads, guint from, guint to,
                             const BalanceNeed *need)
{
    g_autoptr(BalanceLoads) after = balance_loads_copy(loads);
    BalanceNeed whole = *need;

    for (guint r = 0; r < BALANCE_RESOURCES; r++)
        whole.assumed[r] = FALSE;
    balance_move(after, from, to, &whole);
    return balance_load(after, to, BALANCE_MEMORY) <= BALANCE_FILL_TO &&
           balance_load(after, to, BALANCE_CPU) <= BALANCE_FILL_TO;
}

static guint find_place(const Fill *fill, ManyBooks *books, const BalanceLoads *loads, guint from,
                        guint unit)
{
    const Many *many = fill->balance->many;
    const ManyUnit *item = many_unit(many, unit);
    guint vm = g_array_index(item->vms, guint, 0);
    BalanceNeed need = balance_need(many, unit);
    guint found = MANY_NONE;
    gint64 best = -1;

    for (guint h = 0; h < loads->count; h++) {
        gint64 points = many_points(books, h, item->memory_kib, (gint64)need.need[BALANCE_CPU]);
        if (h == from || !loads->hosts[h].in || points <= best || fill->running[h] == 0 ||
            !has_headroom(loads, from, h, &need) || many_fits(books, vm, h, FALSE) != MANY_FITS ||
            !many_unit_fits(books, unit, h))
            continue;
        best = points;
        found = h;
    }
    return found;
}

/* The largest first; NULL: not all of them fit. */
static GArray *empty_host(const Fill *fill, guint from)
{
    const Balance *balance = fill->balance;
    g_autoptr(GArray) hops = g_array_new(FALSE, FALSE, sizeof(ManyHop));
    g_autoptr(GArray) order = g_array_copy(balance->units->pdata[from]);
    g_autoptr(BalanceLoads) loads = balance_loads_copy(balance->loads);
    g_autoptr(ManyBooks) books = many_books_after(balance->many, balance->hops);
    double cost = 0, gain = 100 - balance_load(loads, from, BALANCE_MEMORY);

    while (order->len > 0) {
        guint largest = 0;
        for (guint i = 1; i < order->len; i++) {
            if (many_unit(balance->many, g_array_index(order, guint, i))->memory_kib >
                many_unit(balance->many, g_array_index(order, guint, largest))->memory_kib)
                largest = i;
        }
        guint unit = g_array_index(order, guint, largest);
        guint to = find_place(fill, books, loads, from, unit);
        if (to == MANY_NONE)
            return NULL;
        BalanceNeed need = balance_need(balance->many, unit);
        cost += balance_cost(balance, unit, from, to);
        many_hop(books, hops, unit, to);
        balance_move(loads, from, to, &need);
        g_array_remove_index(order, largest);
    }
    return gain >= cost ? g_steal_pointer(&hops) : NULL;
}

void balance_fill(Balance *balance)
{
    g_autoptr(GHashTable) given_up = g_hash_table_new(NULL, NULL);
    Fill fill = { balance, given_up, count_running(balance) };
    guint from = MANY_NONE;

    for (guint i = 0; i < balance->hops->len; i++) /* what was relieved is not to be filled */
        g_hash_table_add(given_up,
                         GUINT_TO_POINTER(g_array_index(balance->hops, ManyHop, i).to + 1));
    while ((from = find_source(&fill)) != MANY_NONE) {
        g_autoptr(GArray) hops = empty_host(&fill, from);
        guint count = fill.running[from];
        g_hash_table_add(given_up, GUINT_TO_POINTER(from + 1));
        for (guint i = 0; hops != NULL && i < hops->len; i++) {
            const ManyHop *hop = &g_array_index(hops, ManyHop, i);
            g_hash_table_add(given_up, GUINT_TO_POINTER(hop->to + 1));
            balance_take(balance, hop->unit, hop->to, 0,
                         balance_why_fill(balance, from, hop->to, count));
        }
        g_free(fill.running);
        fill.running = count_running(balance);
    }
    g_free(fill.running);
}
