/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <string.h>

#include "plan/balance.h"
#include "plan/rating.h"
#include "plan/rule.h"

/* How uneven hosts are. A host's load is what is in use of what it has without its reserves; the
 * level of a resource is the load that all hosts would have, were it spread evenly. All in percent,
 * so that a difference is in percentage points. Moving a VM changes no level. */

#define BPS_MAX 1e12

static void read_host(BalanceHost *load, const ManyHost *item)
{
    const GwHostFacts *facts = gw_plan_facts(item->host);
    const GwHostUsage *usage = facts->usage;
    double reserve = (double)(CLAMP(item->host->memory_reserve_kib, 0, (gint64)1 << 50) +
                              CLAMP(item->policy->memory_reserve_kib, 0, (gint64)1 << 50));
    double memory = (double)CLAMP(facts->memory_kib, 0, (gint64)1 << 50) - reserve;
    gboolean told = FALSE;

    if (memory > 0) {
        load->whole[BALANCE_MEMORY] = memory;
        load->used[BALANCE_MEMORY] = MAX(memory - (double)item->free_kib, 0);
    }
    if (item->cpu_free != MANY_UNKNOWN) {
        gint64 cpus = CLAMP(facts->cpus, 0, 1000000);
        double used = (double)(cpus * MIN(usage->cpu_permille, 1000));
        load->whole[BALANCE_CPU] = (double)item->cpu_free + used;
        load->used[BALANCE_CPU] = used;
    }
    if (usage != NULL && usage->network_bps >= 0) {
        load->whole[BALANCE_NETWORK] = (double)gw_rating_link_mbps(item->host, &told) * 125000;
        load->used[BALANCE_NETWORK] = MIN((double)usage->network_bps, BPS_MAX);
    }
    for (guint r = 0; r < BALANCE_RESOURCES; r++)
        load->whole[r] = MAX(load->whole[r], 0);
}

static void find_levels(BalanceLoads *loads)
{
    for (guint r = 0; r < BALANCE_RESOURCES; r++) {
        double used = 0, whole = 0;
        for (guint h = 0; h < loads->count; h++) {
            used += loads->hosts[h].in ? loads->hosts[h].used[r] : 0;
            whole += loads->hosts[h].in ? loads->hosts[h].whole[r] : 0;
        }
        loads->level[r] = whole > 0 ? 100 * used / whole : -1;
    }
}

/* Of what is known of any host; disk space stays where it is. Where nothing of it has a weight, all
 * count alike. */
static void read_weights(BalanceLoads *loads, const GwPlacementPolicy *policy)
{
    const gint64 weights[BALANCE_RESOURCES] = { policy->memory_weight, policy->cpu_weight,
                                                policy->network_weight };
    double sum = 0;
    guint known = 0;

    for (guint r = 0; r < BALANCE_RESOURCES; r++) {
        loads->weights[r] = loads->level[r] >= 0 ? (double)CLAMP(weights[r], 0, GW_WEIGHT_MAX) : 0;
        sum += loads->weights[r];
        known += loads->level[r] >= 0;
    }
    for (guint r = 0; r < BALANCE_RESOURCES && known > 0; r++) {
        double alike = loads->level[r] >= 0 ? 1.0 / known : 0;
        loads->weights[r] = sum > 0 ? loads->weights[r] / sum : alike;
    }
}

BalanceLoads *balance_loads_new(const Many *many, const GwPlacementPolicy *policy)
{
    BalanceLoads *loads = g_new0(BalanceLoads, 1);

    loads->count = many->hosts->len;
    loads->hosts = g_new0(BalanceHost, MAX(loads->count, 1));
    for (guint h = 0; h < loads->count; h++) {
        loads->hosts[h].in = many_host(many, h)->allowed;
        if (loads->hosts[h].in)
            read_host(&loads->hosts[h], many_host(many, h));
    }
    find_levels(loads);
    read_weights(loads, policy);
    return loads;
}

BalanceLoads *balance_loads_copy(const BalanceLoads *loads)
{
    BalanceLoads *copy = g_memdup2(loads, sizeof(*loads));

    copy->hosts = g_memdup2(loads->hosts, MAX(loads->count, 1) * sizeof(*loads->hosts));
    return copy;
}

void balance_loads_free(BalanceLoads *loads)
{
    if (loads == NULL)
        return;
    g_free(loads->hosts);
    g_free(loads);
}

BalanceNeed balance_need(const Many *many, guint unit)
{
    const GArray *vms = many_unit(many, unit)->vms;
    BalanceNeed need = { .need = { 0 } };

    for (guint i = 0; i < vms->len; i++) {
        const ManyVm *item = many_vm(many, g_array_index(vms, guint, i));
        const GwVmUsage *usage = item->vm->usage;
        gboolean known = FALSE;
        gw_plan_cpu_permille(item->vm, &known);
        need.need[BALANCE_MEMORY] += (double)item->frees_kib;
        need.need[BALANCE_CPU] += (double)item->cpu;
        need.assumed[BALANCE_CPU] |= !known;
        if (usage != NULL && usage->network_bps >= 0)
            need.need[BALANCE_NETWORK] += MIN((double)usage->network_bps, BPS_MAX);
        else
            need.assumed[BALANCE_NETWORK] = TRUE;
    }
    return need;
}

double balance_load(const BalanceLoads *loads, guint host, BalanceResource resource)
{
    const BalanceHost *item = &loads->hosts[host];

    return item->whole[resource] > 0 ? 100 * MAX(item->used[resource], 0) / item->whole[resource]
                                     : -1;
}

/* Of one resource, with so much more in use; nothing where it is not known. */
static double off_level(const BalanceLoads *loads, guint host, guint resource, double more)
{
    const BalanceHost *item = &loads->hosts[host];

    if (item->whole[resource] <= 0)
        return 0;
    /* Hosts may say less than their VMs. */
    return 100 * MAX(item->used[resource] + more, 0) / item->whole[resource] -
           loads->level[resource];
}

double balance_imbalance(const BalanceLoads *loads)
{
    double sum = 0;
    guint count = 0;

    for (guint h = 0; h < loads->count; h++) {
        if (!loads->hosts[h].in)
            continue;
        count++;
        for (guint r = 0; r < BALANCE_RESOURCES; r++) {
            double off = off_level(loads, h, r, 0);
            sum += loads->weights[r] * off * off;
        }
    }
    return count > 0 ? sqrt(sum / count) : 0;
}

double balance_excess(const BalanceLoads *loads, guint host)
{
    double sum = 0;

    for (guint r = 0; r < BALANCE_RESOURCES; r++)
        sum += loads->weights[r] * off_level(loads, host, r, 0);
    return sum;
}

static double shift_of(const BalanceNeed *need, guint resource, gboolean assumed)
{
    return need != NULL && (assumed || !need->assumed[resource]) ? need->need[resource] : 0;
}

/* The squares of both hosts, without and with what moves; @by_resource gets what each saves. */
static double gain_of(const BalanceLoads *loads, guint from, guint to, const BalanceNeed *need,
                      const BalanceNeed *back, gboolean assumed, double *by_resource)
{
    double before = 0, after = 0;

    for (guint r = 0; r < BALANCE_RESOURCES; r++) {
        double shift = shift_of(need, r, assumed) - shift_of(back, r, assumed);
        if (loads->hosts[from].whole[r] <= 0 || loads->hosts[to].whole[r] <= 0)
            shift = 0; /* what comes of it would not be seen */
        double a = off_level(loads, from, r, 0), b = off_level(loads, to, r, 0);
        double c = off_level(loads, from, r, -shift), d = off_level(loads, to, r, shift);
        before += loads->weights[r] * (a * a + b * b);
        after += loads->weights[r] * (c * c + d * d);
        by_resource[r] = loads->weights[r] * (a * a + b * b - c * c - d * d);
    }
    return sqrt(before / 2) - sqrt(after / 2);
}

static gboolean is_assumed(const BalanceNeed *need)
{
    for (guint r = 0; need != NULL && r < BALANCE_RESOURCES; r++) {
        if (need->assumed[r])
            return TRUE;
    }
    return FALSE;
}

double balance_gain(const BalanceLoads *loads, guint from, guint to, const BalanceNeed *need,
                    const BalanceNeed *back, BalanceResource *by)
{
    double saved[BALANCE_RESOURCES], unused[BALANCE_RESOURCES];
    double gain = gain_of(loads, from, to, need, back, FALSE, saved);

    if (is_assumed(need) || is_assumed(back))
        gain = MIN(gain, gain_of(loads, from, to, need, back, TRUE, unused));
    if (by == NULL)
        return gain;
    *by = BALANCE_MEMORY;
    for (guint r = 0; r < BALANCE_RESOURCES; r++)
        *by = saved[r] > saved[*by] ? (BalanceResource)r : *by;
    return gain;
}

double balance_pressure_of(const BalanceLoads *loads, guint host)
{
    return loads->hosts[host].in ? MAX(balance_load(loads, host, BALANCE_MEMORY) - BALANCE_FULL, 0)
                                 : 0;
}

double balance_pressure(const BalanceLoads *loads)
{
    double sum = 0;

    for (guint h = 0; h < loads->count; h++)
        sum += balance_pressure_of(loads, h);
    return sum;
}

void balance_move(BalanceLoads *loads, guint from, guint to, const BalanceNeed *need)
{
    BalanceHost *a = &loads->hosts[from], *b = &loads->hosts[to];

    for (guint r = 0; r < BALANCE_RESOURCES; r++) {
        if (need->assumed[r] || a->whole[r] <= 0 || b->whole[r] <= 0)
            continue;
        a->used[r] -= need->need[r];
        b->used[r] += need->need[r];
    }
}
