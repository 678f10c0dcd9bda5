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

/* Until other jobs than live moves are run. */
#define STAND_IN __attribute__((weak))

STAND_IN void gw_works_add(GwEngine *engine, GwJob *job)
{
    (void)engine;
    gw_job_free(job);
}
