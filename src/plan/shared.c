/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/shared.h"

static int compare_jobs(gconstpointer pa, gconstpointer pb)
{
    const GwJob *a = *(GwJob *const *)pa;
    const GwJob *b = *(GwJob *const *)pb;
    return g_strcmp0(a->id, b->id);
}

static GHashTable *table_of_lists(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_ptr_array_unref);
}

static void add_to_list(GHashTable *table, char *key, gpointer item)
{
    if (key == NULL)
        return;
    GPtrArray *list = g_hash_table_lookup(table, key);
    if (list == NULL) {
        list = g_ptr_array_new();
        g_hash_table_insert(table, key, list);
    }
    g_ptr_array_add(list, item);
}

GwPlanShared *gw_plan_shared_new(const GwFabric *fabric)
{
    GwPlanShared *shared = g_new0(GwPlanShared, 1);
    shared->fabric = fabric;
    return shared;
}

void gw_plan_shared_free(GwPlanShared *shared)
{
    if (shared == NULL)
        return;
    gw_placement_index_free(shared->placement);
    gw_shared_storage_clear(shared);
    g_clear_pointer(&shared->promises, g_array_unref);
    g_clear_pointer(&shared->vports, g_array_unref);
    g_clear_pointer(&shared->jobs_to, g_hash_table_unref);
    g_clear_pointer(&shared->jobs_of, g_hash_table_unref);
    g_clear_pointer(&shared->jobs, g_ptr_array_unref);
    g_free(shared);
}

static void find_jobs(GwPlanShared *shared)
{
    GHashTableIter iter;
    gpointer value;

    shared->jobs = g_ptr_array_new();
    shared->jobs_to = table_of_lists();
    shared->jobs_of = table_of_lists();
    g_hash_table_iter_init(&iter, shared->fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (!gw_job_state_is_final((GwJobState)((GwJob *)value)->state))
            g_ptr_array_add(shared->jobs, value);
    }
    g_ptr_array_sort(shared->jobs, compare_jobs);
    for (guint i = 0; i < shared->jobs->len; i++) {
        GwJob *job = shared->jobs->pdata[i];
        add_to_list(shared->jobs_to, job->destination_host_id, job);
        add_to_list(shared->jobs_of, job->vm_uuid, job);
    }
}

const GPtrArray *gw_shared_jobs(GwPlanShared *shared)
{
    if (shared->jobs == NULL)
        find_jobs(shared);
    return shared->jobs;
}

gboolean gw_job_is_behind(const GwJob *job, const char *job_id)
{
    if (job_id == NULL || g_strcmp0(job->id, job_id) < 0)
        return FALSE;
    return job->state <= (int)GW_JOB_QUEUED || g_strcmp0(job->id, job_id) == 0;
}

const GPtrArray *gw_shared_jobs_to(const GwPlanInput *input, const char *host_id)
{
    if (gw_shared_jobs(input->shared)->len == 0 || host_id == NULL)
        return NULL;
    return g_hash_table_lookup(input->shared->jobs_to, host_id);
}

const GPtrArray *gw_shared_jobs_of(const GwPlanInput *input, const char *vm_uuid)
{
    if (gw_shared_jobs(input->shared)->len == 0 || vm_uuid == NULL)
        return NULL;
    return g_hash_table_lookup(input->shared->jobs_of, vm_uuid);
}

gint64 gw_plan_cpu_permille(const GwVm *vm, gboolean *known)
{
    gboolean seen = vm->usage != NULL && vm->usage->cpu_permille >= 0 && gw_vm_is_active(vm);

    if (known != NULL)
        *known = seen;
    /* Hosts' own numbers: kept from overflowing. */
    return seen ? MIN(vm->usage->cpu_permille, G_MAXINT32)
                : CLAMP(vm->vcpus, 0, G_MAXINT32 / 1000) * 500;
}

/* Of two that wait, only the earlier counts against the later, or both would be refused. */
static gboolean counts(const GwPlanInput *input, const GwJob *job)
{
    return job->state <= (int)GW_JOB_COPYING && gw_plan_is_other_job(input, job) &&
           (input->job_id == NULL || g_strcmp0(job->id, input->job_id) <= 0);
}

gint64 gw_job_arriving_kib(const GwJob *job)
{
    /* Hosts' own numbers: kept from overflowing. */
    gint64 memory_kib = CLAMP(job->vm_memory_kib, 0, G_MAXINT64 / 1000000);
    gint64 sent_kib = 0;

    if (job->state == (int)GW_JOB_COPYING && job->progress != NULL)
        sent_kib =
            (MAX(job->progress->processed_bytes, 0) - MAX(job->progress->disk_processed_bytes, 0)) /
            1024;
    return memory_kib - CLAMP(sent_kib, 0, memory_kib);
}

GwArrivals gw_shared_arrivals(const GwPlanInput *input)
{
    const GPtrArray *jobs = gw_shared_jobs_to(input, input->destination->id);
    GwArrivals sum = { 0 };

    for (guint i = 0; jobs != NULL && i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        if (!counts(input, job))
            continue;
        sum.memory_kib += gw_job_arriving_kib(job);
        sum.jobs++;
        const GwVm *vm = gw_fabric_vm(input->fabric, job->source_host_id, job->vm_uuid);
        if (vm == NULL || g_strcmp0(job->source_host_id, job->destination_host_id) == 0)
            continue;
        sum.cpu_permille += gw_plan_cpu_permille(vm, NULL);
        if (vm->usage != NULL)
            sum.network_bps += CLAMP(vm->usage->network_bps, 0, G_MAXINT32);
    }
    return sum;
}
