/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/rating.h"

#include "base/error.h"
#include "plan/rule.h"

/* What the destination would have left of each resource with the VM on it, as points.
 * Where the VM is there already (a host is compared with the others), it takes nothing more. */

/* Hosts say what they like: kept from overflowing sums and products. */
#define KIB_MAX (G_MAXINT64 / 8)
#define NETWORK_ASSUMED_MBPS 1000

gint64 gw_rating_share(gint64 part, gint64 whole)
{
    if (whole <= 0 || part <= 0)
        return 0;
    if (part >= whole)
        return GW_POINTS_MAX;
    while (whole > G_MAXINT64 / GW_POINTS_MAX) {
        part >>= 1;
        whole >>= 1;
    }
    return part * GW_POINTS_MAX / whole;
}

static void settle(GwResource *resource, GwGoal goal)
{
    if (resource->unknown)
        resource->points = GW_POINTS_NEUTRAL;
    else if (resource->left < 0 || resource->whole <= 0)
        resource->points = 0;
    else if (goal == GW_GOAL_FILL)
        resource->points = GW_POINTS_MAX - gw_rating_share(resource->left, resource->whole);
    else
        resource->points = gw_rating_share(resource->left, resource->whole);
    if (!resource->unknown && resource->reserve > 0 && resource->left < 0)
        resource->excludes = TRUE;
}

static void weigh_memory(const GwPlanInput *input, const GwResources *resources,
                         const GwArrivals *arrivals, GwResource *memory)
{
    const GwHostFacts *facts = gw_plan_facts(input->destination);
    gint64 need = gw_plan_is_within(input) ? 0 : CLAMP(gw_plan_memory_kib(input->vm), 0, KIB_MAX);

    memory->reserve = CLAMP(resources->policy->memory_reserve_kib, 0, KIB_MAX) +
                      CLAMP(input->destination->memory_reserve_kib, 0, KIB_MAX);
    memory->unknown = facts->memory_kib <= 0;
    memory->whole = CLAMP(facts->memory_kib, 0, KIB_MAX) - memory->reserve;
    memory->left = CLAMP(facts->free_memory_kib, 0, KIB_MAX) - memory->reserve - need -
                   MIN(arrivals->memory_kib, KIB_MAX);
}

static void weigh_cpu(const GwPlanInput *input, const GwResources *resources,
                      const GwArrivals *arrivals, GwResource *cpu)
{
    const GwHostFacts *facts = gw_plan_facts(input->destination);
    gint64 whole = CLAMP(facts->cpus, 0, G_MAXINT32) * 1000;
    gint64 percent = CLAMP(resources->policy->cpu_reserve_percent, 0, 100) +
                     CLAMP(input->destination->cpu_reserve_percent, 0, 100);
    gboolean known = TRUE;
    gint64 need = gw_plan_is_within(input) ? 0 : gw_plan_cpu_permille(input->vm, &known);

    cpu->unknown = whole == 0 || facts->usage == NULL || facts->usage->cpu_permille < 0;
    cpu->assumed = !known;
    if (cpu->unknown)
        return;
    cpu->reserve = whole / 100 * MIN(percent, 100);
    cpu->whole = whole - cpu->reserve;
    cpu->left = cpu->whole - need - arrivals->cpu_permille -
                whole / 1000 * MIN(facts->usage->cpu_permille, 1000);
}

static void weigh_disk(const GwPlanInput *input, const GwCandidate *candidate,
                       GwResources *resources)
{
    GwResource *disk = &resources->of[GW_RESOURCE_DISK];

    if (!gw_rating_is_copied(input, candidate)) {
        disk->free = TRUE;
        for (guint i = 0; candidate->disks != NULL && i < candidate->disks->len; i++)
            disk->chosen |= gw_plan_is_copied(candidate->disks->pdata[i]);
        return;
    }
    GwVolumeChoice choice = gw_rating_volume(input, candidate, FALSE);
    resources->volume = choice;
    disk->pool = choice.pool;
    disk->reserve = gw_rating_disk_reserve(input, resources->policy);
    disk->unknown = choice.pool != NULL && !choice.told;
    disk->assumed = choice.need == 0;
    disk->whole = choice.whole;
    disk->left = choice.left;
    disk->excludes = choice.pool == NULL || (choice.told && !choice.fits);
}

gint64 gw_rating_link_mbps(const GwHost *host, gboolean *told)
{
    const GwAgentFacts *agent = gw_plan_facts(host)->agent;
    gint64 fastest = 0;

    for (guint i = 0; agent != NULL && agent->interfaces != NULL && i < agent->interfaces->len;
         i++) {
        const GwInterface *interface = agent->interfaces->pdata[i];
        if (interface->up)
            fastest = MAX(fastest, interface->speed_mbps);
    }
    *told = fastest > 0;
    return *told ? MIN(fastest, G_MAXINT32) : NETWORK_ASSUMED_MBPS;
}

static void weigh_network(const GwPlanInput *input, const GwArrivals *arrivals, GwResource *network)
{
    const GwHostUsage *usage = gw_plan_facts(input->destination)->usage;
    const GwVmUsage *own = input->vm->usage;
    gboolean told = FALSE;
    gint64 need =
        own != NULL && !gw_plan_is_within(input) ? CLAMP(own->network_bps, 0, KIB_MAX) : 0;

    network->whole = gw_rating_link_mbps(input->destination, &told) * GW_RATING_MEGABIT;
    network->assumed = !told;
    network->unknown = usage == NULL || usage->network_bps < 0;
    if (!network->unknown)
        network->left =
            network->whole - MIN(usage->network_bps, KIB_MAX) - need - arrivals->network_bps;
}

void gw_rating_resources(const GwPlanInput *input, const GwCandidate *candidate,
                         GwResources *resources)
{
    const GwPlacementPolicy *policy = gw_plan_policy(input->fabric, input->destination);
    const gint64 weights[GW_RESOURCES] = { policy->memory_weight, policy->cpu_weight,
                                           policy->disk_weight, policy->network_weight };
    GwArrivals arrivals = gw_shared_arrivals(input);
    gint64 sum = 0;

    *resources = (GwResources){ .policy = policy };
    for (int i = 0; i < GW_RESOURCES; i++)
        sum += resources->of[i].weight = CLAMP(weights[i], 0, GW_WEIGHT_MAX);
    for (int i = 0; i < GW_RESOURCES && sum == 0; i++)
        resources->of[i].weight = 1; /* they count alike */
    weigh_memory(input, resources, &arrivals, &resources->of[GW_RESOURCE_MEMORY]);
    weigh_cpu(input, resources, &arrivals, &resources->of[GW_RESOURCE_CPU]);
    weigh_disk(input, candidate, resources);
    weigh_network(input, &arrivals, &resources->of[GW_RESOURCE_NETWORK]);
    for (int i = 0; i < GW_RESOURCES; i++)
        settle(&resources->of[i], (GwGoal)policy->goal);
    /* What is not copied takes no space: nothing is better for it. */
    if (resources->of[GW_RESOURCE_DISK].free)
        resources->of[GW_RESOURCE_DISK].points = GW_POINTS_MAX;
}

gboolean gw_plan_keeps_reserve(const GwPlanInput *input, GError **error)
{
    GwPlanInput own = *input;
    g_autoptr(GwPlanShared) shared =
        input->shared == NULL ? gw_plan_shared_new(input->fabric) : NULL;
    const GwResources resources = { .policy = gw_plan_policy(input->fabric, input->destination) };
    GwResource memory = { 0 };

    if (shared != NULL)
        own.shared = shared;
    GwArrivals arrivals = gw_shared_arrivals(&own);
    weigh_memory(&own, &resources, &arrivals, &memory);
    if (memory.unknown || memory.reserve == 0 || memory.left >= 0)
        return TRUE;
    g_autofree char *missing = gw_plan_size(-memory.left);
    g_autofree char *reserve = gw_plan_size(memory.reserve);
    gw_error_set(error, GW_ERR_REFUSED,
                 "Nothing: the plan looks for another host. Where there is none, make room, or "
                 "lower the reserve.",
                 "with '%s', and what other moves bring, %s would lack %s of its reserve of %s of "
                 "memory (R57)",
                 gw_plan_vm_name(input->vm), gw_plan_host_name(input->destination), missing,
                 reserve);
    return FALSE;
}
