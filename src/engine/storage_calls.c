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

/* Until the planner knows storage: nothing is moved. */
#define STAND_IN __attribute__((weak))

STAND_IN GwStoragePlan *gw_plan_storage(const GwPlanInput *input)
{
    GwStoragePlan *plan = g_new0(GwStoragePlan, 1);
    (void)input;
    plan->disks = gw_record_array(&gw_disk_move_record);
    return plan;
}

STAND_IN void gw_storage_plan_free(GwStoragePlan *plan)
{
    if (plan != NULL)
        g_ptr_array_unref(plan->disks);
    g_free(plan);
}

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
    (void)engine;
    gw_job_free(job);
}
