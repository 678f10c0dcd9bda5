/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/plans_internal.h"

/* What people ask of plans of many moves beside carrying one out (plan_apply.c): make one, pause
 * its job, let it go on. */

#define SAMPLED_MAX 64 /* of one plan */

static void sample_moves(GwEngine *engine, gpointer data)
{
    g_autoptr(GPtrArray) moves = data;

    for (guint i = 0; i < moves->len && !g_atomic_int_get(&engine->stopping); i++) {
        const GwPlannedMove *move = moves->pdata[i];
        if (move->source_host_id != NULL && move->vm_uuid != NULL)
            gw_dirty_sample_later(engine, move->source_host_id, move->vm_uuid);
    }
}

/* For the next look at it, and for its moves: a plan waits for no host. */
static void sample_planned(GwEngine *engine, const GwMigrationPlan *plan)
{
    GPtrArray *moves = gw_record_array(&gw_planned_move_record);

    for (guint i = 0; plan->moves != NULL && i < MIN(plan->moves->len, SAMPLED_MAX); i++)
        g_ptr_array_add(moves, gw_record_ref(plan->moves->pdata[i]));
    gw_engine_post(engine, sample_moves, moves);
}

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
        sample_planned(engine, plan);
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
