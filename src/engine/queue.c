/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/inventory.h"
#include "engine/plans_internal.h"

/* The queue: what waits for hosts and slots, what it is told to wait for, and in what order it
 * begins. It is nothing but the jobs that are QUEUED. */

/* Takes @why. */
static void show_waiting(GwEngine *engine, GwJob *job, char *why)
{
    if (g_strcmp0(job->waiting_for, why) == 0) {
        g_free(why);
        return;
    }
    g_free(job->waiting_for);
    job->waiting_for = why;
    gw_jobs_show(engine, job);
}

/* Whether its hosts answer: one that waited must not fail because a host restarts just then. */
static gboolean hosts_ready(GwEngine *engine, const GwJob *job, char **why)
{
    const char *const hosts[] = { job->source_host_id, job->destination_host_id };

    for (guint i = 0; i < G_N_ELEMENTS(hosts); i++) {
        const GwHost *host = gw_fabric_host(gw_engine_now(engine), hosts[i]);
        const HostRun *run = hosts[i] != NULL ? g_hash_table_lookup(engine->hosts, hosts[i]) : NULL;
        if (host != NULL && run != NULL && !run->listed) {
            *why = g_strdup_printf("host '%s' to answer", host->name);
            return FALSE;
        }
    }
    return TRUE;
}

/* A move that was accepted just before somebody paused its plan begins no more than the others. */
static gboolean is_paused(GwEngine *engine, const GwJob *job, char **why)
{
    const PlanRun *plan = job->part_of != NULL ? gw_plans_find(engine, job->part_of) : NULL;

    if (plan == NULL || !plan->self->job->pause_requested)
        return FALSE;
    *why = g_strdup("its plan, which is paused");
    return TRUE;
}

static gboolean may_begin(GwEngine *engine, JobRun *run, char **why)
{
    if (is_paused(engine, run->job, why) || !hosts_ready(engine, run->job, why))
        return FALSE;
    if (run->kind->waits != NULL && run->kind->waits(engine, run, why))
        return FALSE;
    return gw_slots_fit(gw_engine_now(engine), run->job, why);
}

/* While a move waits there is time to see what its VM dirties, once: if it begins within a minute,
 * it waits for no sample then. */
static void use_the_wait(GwEngine *engine, const GwJob *job)
{
    const GwVm *vm = g_strcmp0(job->kind, GW_JOB_KIND_MIGRATE) == 0
                         ? gw_fabric_vm(gw_engine_now(engine), job->source_host_id, job->vm_uuid)
                         : NULL;

    if (vm != NULL && job->waiting_for == NULL)
        gw_dirty_sample(engine, vm, NULL, NULL);
}

void gw_queue_schedule(GwEngine *engine)
{
    g_autoptr(GPtrArray) list = gw_jobs_list(engine);

    for (guint i = 0; i < list->len; i++) {
        JobRun *run = list->pdata[i];
        char *why = NULL;
        if (run->job->state != (int)GW_JOB_QUEUED)
            continue;
        if (may_begin(engine, run, &why)) {
            run->kind->begin(engine, run);
            continue;
        }
        use_the_wait(engine, run->job);
        show_waiting(engine, run->job, why);
    }
}
