/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/balance.h"

#include <math.h>
#include <string.h>

#include "plan/rule.h"

/* Which VMs move to make a group even (R46), one after another, each sound when it begins: first
 * what relieves hosts that are short of memory, whatever it does to the balance; then, as long as
 * it is worth it, what evens the most for what it costs; where no single move does, two that change
 * places. No VM moves twice, and each move brings its two hosts closer to the level, so this ends
 * and never goes back and forth. */

#define NEAR 64         /* of a large group: hosts looked at first, from either end */
#define CHOICES_MAX 500 /* of which the best are looked at closely */
#define SWAP_HOSTS 8
#define SWAP_UNITS 64
#define SWAPS_MAX 200
#define TEN_MINUTES_MS 600000.0
#define GAIN_LEAST 0.1 /* points: without it a minimum gain of 0 would never end */

guint balance_size(const Balance *balance, guint unit)
{
    return many_unit(balance->many, unit)->vms->len;
}

static guint at_of(const Balance *balance, guint unit)
{
    const Many *many = balance->many;
    return balance->books->at[g_array_index(many_unit(many, unit)->vms, guint, 0)];
}

double balance_cost(const Balance *balance, guint unit, guint from, guint to)
{
    Many *many = balance->many;
    const GArray *vms = many_unit(many, unit)->vms;
    double ms = 0, least = (double)CLAMP(balance->settings->minimum_gain, 0, 100);

    for (guint i = 0; i < vms->len; i++) {
        ManyStep step = { .vm = g_array_index(vms, guint, i), .from = from, .to = to };
        many->trying = TRUE;
        many_estimate(many, &step);
        many->trying = FALSE;
        double link = MIN(many_host(many, from)->link_bps, many_host(many, to)->link_bps);
        if (step.cap_bps > 0)
            link = MIN(link, step.cap_bps);
        ms += step.fixed_ms + step.bytes / link * 1000;
    }
    return MAX(least, GAIN_LEAST) * MAX(ceil(ms / TEN_MINUTES_MS), 1);
}

static gboolean can_go(const Balance *balance, guint unit, guint to, gboolean thorough)
{
    guint vm = g_array_index(many_unit(balance->many, unit)->vms, guint, 0);

    return balance_size(balance, unit) <= balance->left &&
           many_fits(balance->books, vm, to, FALSE) == MANY_FITS &&
           (!thorough || many_unit_fits(balance->books, unit, to));
}

static GArray *units_at(const Balance *balance, guint host)
{
    return balance->units->pdata[host];
}

void balance_take(Balance *balance, guint unit, guint to, double gain, char *why)
{
    Many *many = balance->many;
    const GArray *vms = many_unit(many, unit)->vms;
    BalanceNeed need = balance_need(many, unit);
    guint from = at_of(balance, unit);
    GArray *there = units_at(balance, from);

    balance_move(balance->loads, from, to, &need);
    many_hop(balance->books, balance->hops, unit, to);
    balance->left -= vms->len;
    for (guint i = 0; i < there->len; i++) {
        if (g_array_index(there, guint, i) == unit)
            g_array_remove_index(there, i--);
    }
    for (guint i = 0; i < vms->len; i++) {
        ManyVm *item = many_vm(many, g_array_index(vms, guint, i));
        g_free(item->why);
        item->why = g_strdup(why);
        item->gain = floor(gain / vms->len * 10 + 0.5) / 10;
    }
    g_free(why);
}

/* Memory that is short ------------------------------------------------------------------------ */

/* How much of the host's pressure goes with the unit; below 0: none, or the other would be under
 * pressure instead. */
static double relief(const Balance *balance, guint from, guint to, const BalanceNeed *need)
{
    BalanceLoads *loads = balance->loads;
    const BalanceHost source = loads->hosts[from], destination = loads->hosts[to];
    double before = balance_pressure_of(loads, from);

    balance_move(loads, from, to, need);
    gboolean full = balance_load(loads, to, BALANCE_MEMORY) > BALANCE_FULL;
    double after = balance_pressure_of(loads, from);
    loads->hosts[from] = source;
    loads->hosts[to] = destination;
    return full ? -1 : before - after;
}

static gboolean is_relief_better(const BalanceChoice *a, const BalanceChoice *b, const Many *many)
{
    if (b->unit == MANY_NONE || fabs(a->worth - b->worth) > 0.05)
        return b->unit == MANY_NONE || a->worth > b->worth;
    gint64 kib = many_unit(many, a->unit)->memory_kib, other = many_unit(many, b->unit)->memory_kib;
    return kib != other ? kib < other : a->gain > b->gain;
}

/* The most relief; of as much, the smallest VM: it costs least. */
static gboolean relieve_host(Balance *balance, guint from)
{
    const GArray *units = units_at(balance, from);
    BalanceChoice best = { .unit = MANY_NONE };

    for (guint i = 0; i < units->len; i++) {
        guint unit = g_array_index(units, guint, i);
        BalanceNeed need = balance_need(balance->many, unit);
        for (guint h = 0; h < balance->loads->count; h++) {
            BalanceChoice choice = { .unit = unit, .from = from, .to = h };
            if (h == from || !balance->loads->hosts[h].in || !can_go(balance, unit, h, FALSE))
                continue;
            choice.worth = relief(balance, from, h, &need);
            choice.gain = balance_gain(balance->loads, from, h, &need, NULL, NULL);
            if (choice.worth > 0.05 && is_relief_better(&choice, &best, balance->many) &&
                can_go(balance, unit, h, TRUE))
                best = choice;
        }
    }
    if (best.unit == MANY_NONE)
        return FALSE;
    balance_take(balance, best.unit, best.to, best.gain, balance_why_pressure(balance, &best));
    return TRUE;
}

static void relieve(Balance *balance)
{
    g_autofree gboolean *given_up = g_new0(gboolean, MAX(balance->loads->count, 1));

    for (;;) {
        guint worst = MANY_NONE;
        for (guint h = 0; h < balance->loads->count; h++) {
            double pressure = given_up[h] ? 0 : balance_pressure_of(balance->loads, h);
            if (pressure > 0.05 &&
                (worst == MANY_NONE || pressure > balance_pressure_of(balance->loads, worst)))
                worst = h;
        }
        if (worst == MANY_NONE)
            return;
        given_up[worst] = !relieve_host(balance, worst);
    }
}

/* What evens the most ------------------------------------------------------------------------- */

static int compare_choices(gconstpointer pa, gconstpointer pb)
{
    const BalanceChoice *a = pa, *b = pb;

    if (a->gain > b->gain || a->gain < b->gain)
        return a->gain > b->gain ? -1 : 1;
    if (a->unit != b->unit)
        return a->unit < b->unit ? -1 : 1;
    return (a->to > b->to) - (a->to < b->to);
}

typedef struct {
    guint host;
    double excess;
} Rank;

static int compare_ranks(gconstpointer pa, gconstpointer pb)
{
    const Rank *a = pa, *b = pb;

    if (a->excess > b->excess || a->excess < b->excess)
        return a->excess > b->excess ? -1 : 1;
    return a->host < b->host ? -1 : 1;
}

/* Hosts that take part, the busiest first. */
static GArray *rank_hosts(const Balance *balance)
{
    GArray *ranks = g_array_new(FALSE, FALSE, sizeof(Rank));

    for (guint h = 0; h < balance->loads->count; h++) {
        Rank rank = { h, balance_excess(balance->loads, h) };
        if (balance->loads->hosts[h].in)
            g_array_append_val(ranks, rank);
    }
    g_array_sort(ranks, compare_ranks);
    return ranks;
}

static void keep_best(GArray *choices)
{
    g_array_sort(choices, compare_choices);
    if (choices->len > CHOICES_MAX)
        g_array_set_size(choices, CHOICES_MAX);
}

static double least_gain(const Balance *balance)
{
    return MAX((double)CLAMP(balance->settings->minimum_gain, 0, 100), GAIN_LEAST);
}

static void list_of_host(const Balance *balance, const GArray *ranks, guint span, guint from,
                         GArray *choices)
{
    const GArray *units = units_at(balance, from);
    double least = least_gain(balance);

    for (guint i = 0; i < units->len; i++) {
        guint unit = g_array_index(units, guint, i);
        BalanceNeed need = balance_need(balance->many, unit);
        for (guint k = ranks->len - span; k < ranks->len; k++) {
            BalanceChoice choice = { .unit = unit,
                                     .from = from,
                                     .to = g_array_index(ranks, Rank, k).host };
            if (choice.to == from)
                continue;
            choice.gain = balance_gain(balance->loads, from, choice.to, &need, NULL, NULL);
            if (choice.gain < least || !can_go(balance, unit, choice.to, FALSE))
                continue;
            if (balance_pressure_of(balance->loads, choice.to) > 0)
                continue;
            g_array_append_val(choices, choice);
            if (choices->len > 40 * CHOICES_MAX)
                keep_best(choices);
        }
    }
}

/* What evens the load must bring no host under pressure, of memory or, with what was not seen, of
 * CPU. @back may be NULL. */
static gboolean is_healthy(const Balance *balance, guint from, guint to, const BalanceNeed *need,
                           const BalanceNeed *back)
{
    g_autoptr(BalanceLoads) after = balance_loads_copy(balance->loads);
    BalanceNeed whole = *need;

    memset(whole.assumed, 0, sizeof(whole.assumed));
    balance_move(after, from, to, &whole);
    if (back != NULL)
        balance_move(after, to, from, back);
    return balance_pressure(after) <= balance_pressure(balance->loads) + 1e-9 &&
           balance_load(after, to, BALANCE_CPU) <= 100;
}

static gboolean pick(Balance *balance, const GArray *choices, BalanceChoice *best)
{
    gboolean found = FALSE;

    for (guint i = 0; i < choices->len; i++) {
        BalanceChoice choice = g_array_index(choices, BalanceChoice, i);
        if (found && choice.gain - least_gain(balance) <= best->worth)
            break; /* none of those that follow can be worth more */
        BalanceNeed need = balance_need(balance->many, choice.unit);
        if (!can_go(balance, choice.unit, choice.to, TRUE) ||
            !is_healthy(balance, choice.from, choice.to, &need, NULL))
            continue;
        choice.worth = choice.gain - balance_cost(balance, choice.unit, choice.from, choice.to);
        if (choice.worth >= 0 && (!found || choice.worth > best->worth)) {
            *best = choice;
            found = TRUE;
        }
    }
    return found;
}

static gboolean even_once(Balance *balance, gboolean wide)
{
    g_autoptr(GArray) ranks = rank_hosts(balance);
    g_autoptr(GArray) choices = g_array_new(FALSE, FALSE, sizeof(BalanceChoice));
    guint span = wide ? ranks->len : MIN(ranks->len, NEAR);
    BalanceChoice best;
    BalanceResource by = BALANCE_MEMORY;

    for (guint i = 0; i < span; i++)
        list_of_host(balance, ranks, span, g_array_index(ranks, Rank, i).host, choices);
    keep_best(choices);
    if (!pick(balance, choices, &best))
        return !wide && ranks->len > NEAR ? even_once(balance, TRUE) : FALSE;
    BalanceNeed need = balance_need(balance->many, best.unit);
    balance_gain(balance->loads, best.from, best.to, &need, NULL, &by);
    balance_take(balance, best.unit, best.to, best.gain,
                 balance_why(balance, &best, by, &need, NULL));
    return TRUE;
}

/* Two that change places ---------------------------------------------------------------------- */

typedef struct {
    guint out, back; /* units */
    guint from, to;
    double gain;
} Swap;

static int compare_swaps(gconstpointer pa, gconstpointer pb)
{
    const Swap *a = pa, *b = pb;

    if (a->gain > b->gain || a->gain < b->gain)
        return a->gain > b->gain ? -1 : 1;
    if (a->out != b->out)
        return a->out < b->out ? -1 : 1;
    return (a->back > b->back) - (a->back < b->back);
}

static void list_swaps(const Balance *balance, guint from, guint to, GArray *swaps)
{
    const GArray *outs = units_at(balance, from), *backs = units_at(balance, to);

    for (guint i = 0; i < MIN(outs->len, SWAP_UNITS); i++) {
        guint out = g_array_index(outs, guint, i);
        BalanceNeed need = balance_need(balance->many, out);
        for (guint k = 0; k < MIN(backs->len, SWAP_UNITS); k++) {
            Swap swap = { out, g_array_index(backs, guint, k), from, to, 0 };
            BalanceNeed back = balance_need(balance->many, swap.back);
            swap.gain = balance_gain(balance->loads, from, to, &need, &back, NULL);
            if (swap.gain >= 2 * least_gain(balance))
                g_array_append_val(swaps, swap);
        }
    }
}

/* Whether the second can go once the first has. */
static gboolean fits_after(const Balance *balance, guint first, guint there, guint second,
                           guint then)
{
    g_autoptr(GArray) hops = g_array_new(FALSE, FALSE, sizeof(ManyHop));

    if (!can_go(balance, first, there, TRUE))
        return FALSE;
    g_array_append_vals(hops, balance->hops->data, balance->hops->len);
    g_autoptr(ManyBooks) books = many_books_after(balance->many, hops);
    many_hop(books, hops, first, there);
    return many_unit_fits(books, second, then);
}

static gboolean is_swap_healthy(const Balance *balance, const Swap *swap)
{
    BalanceNeed need = balance_need(balance->many, swap->out);
    BalanceNeed back = balance_need(balance->many, swap->back);

    return is_healthy(balance, swap->from, swap->to, &need, &back) &&
           is_healthy(balance, swap->to, swap->from, &back, &need);
}

static void take_swap(Balance *balance, const Swap *swap, gboolean out_first)
{
    BalanceNeed need = balance_need(balance->many, swap->out);
    BalanceNeed back = balance_need(balance->many, swap->back);
    BalanceChoice choice = { .unit = swap->back, .from = swap->from, .to = swap->to };
    BalanceResource by = BALANCE_MEMORY;

    balance_gain(balance->loads, swap->from, swap->to, &need, &back, &by);
    char *why = balance_why(balance, &choice, by, &need, &back);
    choice.unit = swap->out;
    char *why_back = balance_why(balance, &choice, by, &need, &back);
    if (out_first)
        balance_take(balance, swap->out, swap->to, swap->gain / 2, why);
    balance_take(balance, swap->back, swap->from, swap->gain / 2, why_back);
    if (!out_first)
        balance_take(balance, swap->out, swap->to, swap->gain / 2, why);
}

static gboolean try_swap(Balance *balance, const Swap *swap)
{
    if (balance_size(balance, swap->out) + balance_size(balance, swap->back) > balance->left ||
        !is_swap_healthy(balance, swap) ||
        swap->gain < balance_cost(balance, swap->out, swap->from, swap->to) +
                         balance_cost(balance, swap->back, swap->to, swap->from))
        return FALSE;
    gboolean out_first = fits_after(balance, swap->out, swap->to, swap->back, swap->from);
    if (!out_first && !fits_after(balance, swap->back, swap->from, swap->out, swap->to))
        return FALSE;
    take_swap(balance, swap, out_first);
    return TRUE;
}

static gboolean swap_once(Balance *balance)
{
    g_autoptr(GArray) ranks = rank_hosts(balance);
    g_autoptr(GArray) swaps = g_array_new(FALSE, FALSE, sizeof(Swap));
    guint most = MIN(ranks->len, SWAP_HOSTS);

    for (guint i = 0; i < most; i++) {
        guint from = g_array_index(ranks, Rank, i).host;
        for (guint k = 0; k < most; k++) {
            guint to = g_array_index(ranks, Rank, ranks->len - 1 - k).host;
            if (from != to)
                list_swaps(balance, from, to, swaps);
        }
    }
    g_array_sort(swaps, compare_swaps);
    for (guint i = 0; i < MIN(swaps->len, SWAPS_MAX); i++) {
        if (try_swap(balance, &g_array_index(swaps, Swap, i)))
            return TRUE;
    }
    return FALSE;
}

/* The whole ----------------------------------------------------------------------------------- */

/* Those that are in one place and may leave it. */
static void list_units(Balance *balance)
{
    const Many *many = balance->many;

    balance->units = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
    for (guint h = 0; h < many->hosts->len; h++)
        g_ptr_array_add(balance->units, g_array_new(FALSE, FALSE, sizeof(guint)));
    for (guint u = 0; u < many->units->len; u++) {
        const GArray *vms = many_unit(many, u)->vms;
        gboolean whole = many_unit(many, u)->impossible == NULL;
        guint home = at_of(balance, u);
        for (guint i = 1; i < vms->len; i++)
            whole = whole && balance->books->at[g_array_index(vms, guint, i)] == home;
        if (whole)
            g_array_append_val(units_at(balance, home), u);
    }
}

/* What is evened may make room for what was short of memory before. */
static void choose(Balance *balance)
{
    guint before;

    do {
        before = balance->hops->len;
        relieve(balance);
        if (balance->policy->goal == (int)GW_GOAL_FILL)
            balance_fill(balance);
        else
            while (balance->left > 0 && (even_once(balance, FALSE) || swap_once(balance))) {
            }
    } while (balance->hops->len > before);
}

void many_balance(Many *many)
{
    const GwGroup *group = gw_fabric_find_group(many->fabric, many->request->group);
    g_autoptr(ManyBooks) books = many_books_new(many);
    g_autoptr(GArray) hops = g_array_new(FALSE, FALSE, sizeof(ManyHop));
    Balance balance = { .many = many,
                        .settings = gw_plan_balance_settings(many->fabric, group),
                        .policy = gw_plan_policy_of_group(many->fabric, group->id),
                        .books = books,
                        .hops = hops };
    g_autoptr(BalanceLoads) loads = balance_loads_new(many, balance.policy);
    g_autoptr(BalanceLoads) before = balance_loads_copy(loads);

    balance.loads = loads;
    balance.left = (guint)CLAMP(balance.settings->moves_at_most, 1, GW_BALANCE_MOVES_MAX);
    list_units(&balance);
    choose(&balance);
    many->figures = balance_figures(&balance, before);
    balance_notes(&balance);
    many_take_hops(many, hops);
    g_ptr_array_unref(balance.units);
}
