/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/engine_internal.h"

static gpointer not_there(GError **error)
{
    gw_error_set(error, GW_ERR_UNSUPPORTED, NULL, "not in this version");
    return NULL;
}

GwMovePlan *gw_engine_plan_storage(GwEngine *engine, const char *vm,
                                   const GwStorageRequest *request, GError **error)
{
    return not_there(error);
}

GwJob *gw_engine_migrate_storage(GwEngine *engine, const char *vm, const GwStorageRequest *request,
                                 const char *user, GwMovePlan **plan, GError **error)
{
    return not_there(error);
}

GPtrArray *gw_engine_locations(GwEngine *engine, const char *host, GError **error)
{
    return not_there(error);
}

/* Until the planner knows Undo, and other jobs than live moves are run. */
#define STAND_IN __attribute__((weak))

STAND_IN GwUndoPlan *gw_plan_undo(const GwFabric *fabric, const GwJob *job, GwMoveRequest **move,
                                  GwStorageRequest **storage)
{
    GwUndoPlan *plan = gw_undo_plan_new();
    (void)fabric;
    (void)job;
    (void)move;
    (void)storage;
    plan->why_not = g_strdup("not in this version");
    return plan;
}

STAND_IN void gw_works_add(GwEngine *engine, GwJob *job)
{
    GwBatch *batch = gw_batch_new();

    job->state = GW_JOB_FAILED;
    job->error = gw_job_error_new();
    job->error->code = g_strdup("unsupported");
    job->error->message = g_strdup("not in this version");
    job->finished_at = gw_engine_rfc3339(engine);
    gw_batch_put(batch, GW_KIND_JOB, job->id, gw_record_to_json(&gw_job_record, job));
    gw_batch_journal(batch, job->id, gw_clock_wall_us(engine->clock), "failed", "refused", NULL);
    gw_engine_journal(engine, batch, NULL, NULL, NULL);
    gw_fabric_put_job(gw_engine_change(engine), job);
    gw_engine_tell(engine, "job", job->id, NULL);
}
