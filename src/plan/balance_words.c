/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>

#include "plan/balance.h"
#include "plan/rule.h"

/* Why VMs move, and what comes of it, in figures that a person can check. */

static const char *const whats[BALANCE_RESOURCES] = { "memory", "CPU", "network" };

static const char *name_of(const Balance *balance, guint host)
{
    return gw_plan_host_name(many_host(balance->many, host)->host);
}

char *balance_why(const Balance *balance, const BalanceChoice *choice, BalanceResource by,
                  const BalanceNeed *need, const BalanceNeed *back)
{
    g_autoptr(BalanceLoads) after = balance_loads_copy(balance->loads);
    g_autofree char *with = NULL;

    balance_move(after, choice->from, choice->to, need);
    if (back != NULL) {
        const GArray *vms = many_unit(balance->many, choice->unit)->vms;
        balance_move(after, choice->to, choice->from, back);
        with = g_strdup_printf(
            ", with %s the other way,",
            gw_plan_vm_name(many_vm(balance->many, g_array_index(vms, guint, 0))->vm));
    }
    return g_strdup_printf(
        "%s uses %.0f %% of its %s, %s %.0f %%; this%s evens them to %.0f and "
        "%.0f",
        name_of(balance, choice->from), balance_load(balance->loads, choice->from, by), whats[by],
        name_of(balance, choice->to), balance_load(balance->loads, choice->to, by),
        with != NULL ? with : "", balance_load(after, choice->from, by),
        balance_load(after, choice->to, by));
}

char *balance_why_pressure(const Balance *balance, const BalanceChoice *choice)
{
    g_autoptr(BalanceLoads) after = balance_loads_copy(balance->loads);
    BalanceNeed need = balance_need(balance->many, choice->unit);

    balance_move(after, choice->from, choice->to, &need);
    return g_strdup_printf("%s is short of memory: it uses %.0f %% of it, and %.0f %% without this",
                           name_of(balance, choice->from),
                           balance_load(balance->loads, choice->from, BALANCE_MEMORY),
                           balance_load(after, choice->from, BALANCE_MEMORY));
}

char *balance_why_fill(const Balance *balance, guint from, guint to, guint count)
{
    g_autofree char *others =
        count > 1 ? g_strdup_printf(" with %u other%s", count - 1, count == 2 ? "" : "s")
                  : g_strdup("");

    return g_strdup_printf("Leaves %s empty%s: it was the least used; %s uses %.0f %% of its "
                           "memory before",
                           name_of(balance, from), others, name_of(balance, to),
                           balance_load(balance->loads, to, BALANCE_MEMORY));
}

/* Figures ------------------------------------------------------------------------------------- */

static double tenths(double value)
{
    return value < 0 ? -1 : floor(value * 10 + 0.5) / 10;
}

static gint64 count_live(const Many *many, const GwHost *host)
{
    g_autoptr(GPtrArray) vms = gw_fabric_list_vms(many->fabric, host->id);
    gint64 count = 0;

    for (guint i = 0; i < vms->len; i++)
        count += gw_plan_is_live(vms->pdata[i]);
    return count;
}

static GwBalanceHost *host_figures(const Balance *balance, const BalanceLoads *before, guint host)
{
    const Many *many = balance->many;
    GwBalanceHost *figures = gw_balance_host_new();

    figures->host_id = g_strdup(many_host(many, host)->host->id);
    figures->host_name = g_strdup(name_of(balance, host));
    figures->memory_before = tenths(balance_load(before, host, BALANCE_MEMORY));
    figures->memory_after = tenths(balance_load(balance->loads, host, BALANCE_MEMORY));
    figures->cpu_before = tenths(balance_load(before, host, BALANCE_CPU));
    figures->cpu_after = tenths(balance_load(balance->loads, host, BALANCE_CPU));
    figures->network_before = tenths(balance_load(before, host, BALANCE_NETWORK));
    figures->network_after = tenths(balance_load(balance->loads, host, BALANCE_NETWORK));
    figures->vms_before = count_live(many, many_host(many, host)->host);
    figures->vms_after = figures->vms_before;
    for (guint v = 0; v < many->vms->len; v++) {
        figures->vms_after -= many_vm(many, v)->home == host;
        figures->vms_after += balance->books->at[v] == host;
    }
    return figures;
}

GwBalanceFigures *balance_figures(const Balance *balance, const BalanceLoads *before)
{
    const Many *many = balance->many;
    const GwGroup *group = gw_fabric_find_group(many->fabric, many->request->group);
    GwBalanceFigures *figures = gw_balance_figures_new();

    figures->group_id = g_strdup(group->id);
    figures->group_name = g_strdup(group->name);
    figures->goal = balance->policy->goal;
    figures->imbalance_before = tenths(balance_imbalance(before));
    figures->imbalance_after = tenths(balance_imbalance(balance->loads));
    figures->pressure_before = tenths(balance_pressure(before));
    figures->pressure_after = tenths(balance_pressure(balance->loads));
    figures->hosts = gw_record_array(&gw_balance_host_record);
    for (guint h = 0; h < before->count; h++) {
        if (before->hosts[h].in)
            g_ptr_array_add(figures->hosts, host_figures(balance, before, h));
    }
    return figures;
}

static void note_emptied(const Balance *balance)
{
    const GPtrArray *hosts = balance->many->figures->hosts;

    for (guint i = 0; i < hosts->len; i++) {
        const GwBalanceHost *host = hosts->pdata[i];
        if (host->vms_before > 0 && host->vms_after == 0)
            many_note(balance->many,
                      "Nothing runs on %s then. Its power is not switched: that is yours to do.",
                      host->host_name);
    }
}

static void note_pressure(const Balance *balance)
{
    for (guint h = 0; h < balance->loads->count; h++) {
        if (balance_pressure_of(balance->loads, h) > 0.05)
            many_note(balance->many,
                      "%s stays short of memory (%.0f %% in use): no VM of it may, or can, go to "
                      "another host of the group.",
                      name_of(balance, h), balance_load(balance->loads, h, BALANCE_MEMORY));
    }
}

void balance_notes(const Balance *balance)
{
    Many *many = balance->many;
    const GwBalanceFigures *figures = many->figures;
    gint64 least = CLAMP(balance->settings->minimum_gain, 0, 100);

    note_emptied(balance);
    note_pressure(balance);
    if (balance->left == 0)
        many_note(many,
                  "One round moves %" G_GINT64_FORMAT
                  " VMs at most: there may be more to gain in the next.",
                  balance->settings->moves_at_most);
    else if (balance->hops->len == 0 && figures->goal == (int)GW_GOAL_FILL)
        many_note(many, "There is no host that can be emptied and is worth it.");
    else if (balance->hops->len == 0 && figures->hosts->len > 1)
        many_note(many,
                  "The hosts are %.1f points from an even load, and no move is worth it: it would "
                  "have to gain %" G_GINT64_FORMAT " points for each ten minutes that it takes.",
                  figures->imbalance_before, least);
}
