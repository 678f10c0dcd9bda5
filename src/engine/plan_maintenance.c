/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "engine/plans_internal.h"
#include "engine/records_internal.h"

/* What jobs that drain hosts, or bring VMs back, do to the hosts' maintenance (R49): once, and
 * durable with the job's own begin and end, so that no restart comes between. Those to be drained
 * take no VM any more where that was asked for, and those that get theirs back take some again. A
 * drain that is called off gives back the hosts that it closed itself, and that are not empty yet:
 * with an empty one somebody may be busy already. One that failed leaves them closed, so that
 * nothing comes to a host that somebody wants empty. Whatever a person says meanwhile holds. */

static gboolean lists(char **ids, const char *id)
{
    return ids != NULL && id != NULL && g_strv_contains((const char *const *)ids, id);
}

gboolean gw_plans_waits(GwEngine *engine, JobRun *base, char **why)
{
    char **hosts = base->job->plan->request->hosts;

    for (guint i = 0; hosts != NULL && hosts[i] != NULL; i++) {
        if (!gw_records_is_changing(engine, hosts[i]))
            continue;
        *why = g_strdup_printf("a change of host '%s' to be recorded",
                               gw_engine_host_name(engine, hosts[i]));
        return TRUE;
    }
    return FALSE;
}

gboolean gw_plans_is_closing_changed(GwEngine *engine, const PlanRun *run)
{
    char **closed = run->self->job->plan->closed;

    for (guint i = 0; closed != NULL && closed[i] != NULL; i++) {
        if (gw_records_is_changing(engine, closed[i]))
            return TRUE;
    }
    return FALSE;
}

/* What was closed before is not the job's to open. */
static void close_hosts(GwEngine *engine, GwMigrationPlan *plan, GwBatch *batch)
{
    g_autoptr(GStrvBuilder) closed = g_strv_builder_new();
    char **hosts = plan->request->hosts;

    for (guint i = 0; hosts != NULL && hosts[i] != NULL; i++) {
        const GwHost *host = gw_fabric_host(gw_engine_now(engine), hosts[i]);
        if (host == NULL || host->maintenance != (int)GW_MAINTENANCE_NONE)
            continue;
        g_strv_builder_add(closed, host->id);
        gw_maintenance_put(engine, batch, host, gw_maintenance_on(engine, host));
    }
    g_strfreev(plan->closed);
    plan->closed = g_strv_builder_end(closed);
}

static void open_hosts(GwEngine *engine, char **hosts, gboolean unless_empty, GwBatch *batch)
{
    for (guint i = 0; hosts != NULL && hosts[i] != NULL; i++) {
        const GwHost *host = gw_fabric_host(gw_engine_now(engine), hosts[i]);
        if (host != NULL && host->maintenance != (int)GW_MAINTENANCE_NONE &&
            !(unless_empty && host->maintenance == (int)GW_MAINTENANCE_IN))
            gw_maintenance_put(engine, batch, host, GW_MAINTENANCE_NONE);
    }
}

void gw_plans_record(GwEngine *engine, JobRun *base, GwBatch *batch)
{
    PlanRun *run = (PlanRun *)base;
    GwMigrationPlan *plan = base->job->plan;

    if (base->job->state == (int)GW_JOB_CANCELLED) {
        open_hosts(engine, plan->closed, TRUE, batch);
        return;
    }
    if (run->maintained)
        return;
    run->maintained = TRUE;
    if (plan->request->kind == (int)GW_PLAN_UNDRAIN)
        open_hosts(engine, plan->request->hosts, FALSE, batch);
    else if (plan->request->kind == (int)GW_PLAN_DRAIN && plan->request->maintenance)
        close_hosts(engine, plan, batch);
}

static void forget_closed(GwEngine *engine, GwJob *job, const char *host_id)
{
    char **closed = job->plan->closed;
    GwBatch *batch = gw_batch_new();
    guint left = 0;

    for (guint i = 0; closed[i] != NULL; i++) {
        char *id = g_steal_pointer(&closed[i]);
        if (strcmp(id, host_id) == 0)
            g_free(id);
        else
            closed[left++] = id;
    }
    gw_batch_put(batch, GW_KIND_JOB, job->id, gw_record_to_json(&gw_job_record, job));
    gw_engine_journal(engine, batch, NULL, NULL, NULL);
}

void gw_plans_maintenance_said(GwEngine *engine, gpointer host_id)
{
    g_autoptr(GPtrArray) runs = gw_plans_list(engine);

    for (guint i = 0; i < runs->len; i++) {
        GwJob *job = ((PlanRun *)runs->pdata[i])->self->job;
        if (!gw_job_state_is_final((GwJobState)job->state) && lists(job->plan->closed, host_id))
            forget_closed(engine, job, host_id);
    }
}
