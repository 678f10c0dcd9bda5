/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/plans_internal.h"

/* What people ask of plans of many moves beside carrying one out (plan_apply.c): make one, pause
 * its job, let it go on. */

/* Any thread: a picture is all that it needs, so it never holds the loop up. */
GwMigrationPlan *gw_engine_plan(GwEngine *engine, const GwPlanRequest *request, GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    g_autoptr(GwPredictor) predictor = gw_predictor_new(fabric);
    g_autoptr(GwPlanRequest) own = gw_plan_request_copy(request);
    g_free(own->as_of);
    own->as_of = own->kind == (int)GW_PLAN_BALANCE ? gw_engine_rfc3339(engine) : NULL;
    GwMigrationPlan *plan = gw_plan_many(fabric, own, predictor, error);

    if (plan != NULL) {
        g_free(plan->made_at);
        plan->made_at = gw_engine_rfc3339(engine);
    }
    return plan;
}

static void call_pause(GwEngine *engine, Call *call)
{
    GError *error = NULL;
    const GwJob *job = gw_fabric_find_job(gw_engine_now(engine), call->in[0], &error);
    GwJob *answer = NULL;

    if (job != NULL)
        answer = gw_plans_event(
            engine, job->id, call->in[1] != NULL ? GW_PLAN_JOB_PAUSE : GW_PLAN_JOB_RESUME, &error);
    gw_engine_answer(call, answer, error);
}

GwJob *gw_engine_pause_job(GwEngine *engine, const char *job, gboolean on, GError **error)
{
    return gw_engine_call(engine, call_pause, job, GINT_TO_POINTER(on ? 1 : 0), NULL, NULL, error);
}
