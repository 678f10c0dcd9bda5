/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/many_check.h"
#include "plan/shared.h"

/* Who is where when a plan is replayed, and what is left on each host. */

void check_place_free(gpointer data)
{
    CheckPlace *place = data;

    g_hash_table_unref(place->vms);
    g_free(place);
}

/* What others bring there: jobs, and plans but for @plan. */
static gint64 other_jobs_kib(const GwFabric *fabric, const GwMigrationPlan *plan,
                             const char *host_id)
{
    gint64 sum = 0;
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (job->state <= (int)GW_JOB_COPYING && g_strcmp0(job->destination_host_id, host_id) == 0)
            sum += MIN(gw_job_arriving_kib(job), (gint64)1 << 40);
    }
    return sum;
}

static gint64 cpu_left(const GwHost *host, const GwPlacementPolicy *policy)
{
    const GwHostFacts *facts = gw_plan_facts(host);
    gint64 reserve = MIN(
        CLAMP(host->cpu_reserve_percent, 0, 100) + CLAMP(policy->cpu_reserve_percent, 0, 100), 100);

    if (reserve == 0 || facts->usage == NULL || facts->usage->cpu_permille < 0 || facts->cpus <= 0)
        return G_MAXINT64;
    return MIN(facts->cpus, 1000000) *
           (1000 - MIN(facts->usage->cpu_permille, 1000) - 10 * reserve);
}

static CheckPlace *place_new(const GwFabric *fabric, const GwMigrationPlan *plan,
                             const GwHost *host)
{
    CheckPlace *place = g_new0(CheckPlace, 1);
    const GwHostFacts *facts = gw_plan_facts(host);
    GHashTable *vms = g_hash_table_lookup(fabric->vms, host->id);
    GHashTableIter iter;
    gpointer value;

    place->host = host;
    const GwPlacementPolicy *policy = gw_plan_policy(fabric, host);
    gint64 most = (gint64)1 << 50;
    place->memory_kib =
        CLAMP(facts->free_memory_kib, 0, most) - CLAMP(host->memory_reserve_kib, 0, most) -
        CLAMP(policy->memory_reserve_kib, 0, most) - other_jobs_kib(fabric, plan, host->id);
    place->cpu = cpu_left(host, policy);
    place->vms = g_hash_table_new(g_str_hash, g_str_equal);
    if (vms == NULL)
        return place;
    g_hash_table_iter_init(&iter, vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        GwVm *vm = value;
        if (vm->uuid != NULL)
            g_hash_table_insert(place->vms, vm->uuid, vm);
    }
    return place;
}

void check_read(Check *r)
{
    GHashTableIter iter, vms;
    gpointer value, vm;

    g_hash_table_iter_init(&iter, r->fabric->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        GwHost *host = value;
        CheckPlace *place = place_new(r->fabric, r->plan, host);
        g_hash_table_insert(r->places, host->id, place);
        g_hash_table_iter_init(&vms, place->vms);
        while (g_hash_table_iter_next(&vms, NULL, &vm)) {
            GwVm *one = vm;
            if (gw_vm_is_active(one) || !g_hash_table_contains(r->vms, one->uuid)) {
                g_hash_table_insert(r->vms, one->uuid, one);
                g_hash_table_insert(r->at, one->uuid, host->id);
            }
        }
    }
}

gint64 check_memory(const Check *r, const GwVm *vm)
{
    const GwMoveOptions *options = r->plan->request != NULL ? r->plan->request->options : NULL;

    if (gw_plan_is_live(vm) || (options != NULL && options->start))
        return CLAMP(gw_plan_memory_kib(vm), 0, (gint64)1 << 50);
    return 0;
}

/* What the host that it is on in the fabric gets back. */
gint64 check_freed(const Check *r, const GwVm *vm, const char *host_id)
{
    if (g_strcmp0(vm->host_id, host_id) != 0)
        return check_memory(r, vm);
    if (!gw_plan_is_live(vm))
        return 0;
    gint64 freed = CLAMP(vm->memory_kib, 0, check_memory(r, vm));
    return vm->usage != NULL && vm->usage->memory_used_kib >= 0
               ? MIN(freed, vm->usage->memory_used_kib)
               : freed;
}

gint64 check_cpu(const GwVm *vm)
{
    return gw_plan_is_live(vm) ? MIN(gw_plan_cpu_permille(vm, NULL), 1000000) : 0;
}
