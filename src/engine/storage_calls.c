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

GwUndoPlan *gw_engine_plan_undo(GwEngine *engine, const char *job, GError **error)
{
    return not_there(error);
}

GwJob *gw_engine_undo(GwEngine *engine, const char *job, const char *user, GError **error)
{
    return not_there(error);
}

GwJob *gw_engine_remove_kept(GwEngine *engine, const char *id, const char *user, GError **error)
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
