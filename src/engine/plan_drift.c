/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/plans_internal.h"
#include "plan/rule.h"

/* Whether the moves of a plan that are next still hold. */

#define DRIFT_AGAIN_US (5 * G_USEC_PER_SEC)

static gboolean is_live_transfer(const GwPlannedMove *move)
{
    return move->transfer == (int)GW_TRANSFER_LIVE || move->transfer == (int)GW_TRANSFER_LIVE_VSM;
}

/* What was planned for a VM that is not there any more, or moves by another's hand, does not hold.
 * The rest (room, rules) is checked on fresh facts when the move begins. */
static GError *find_drift(GwEngine *engine, const PlanRun *run)
{
    const GwFabric *fabric = gw_engine_now(engine);
    const GPtrArray *moves = run->self->job->plan->moves;
    GError *error = NULL;

    for (guint i = 0; moves != NULL && i < moves->len && error == NULL; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        if (move->state != (int)GW_PLANNED_WAITING || move->after > 0)
            continue;
        const GwHost *destination = gw_fabric_host(fabric, move->destination_host_id);
        const GwVm *vm = gw_fabric_vm(fabric, move->source_host_id, move->vm_uuid);
        if (vm == NULL)
            gw_error_set(&error, GW_ERR_CONFLICT, NULL, "'%s' is not on %s any more", move->vm_name,
                         move->source_host_name);
        else if (gw_plan_is_live(vm) != is_live_transfer(move))
            gw_error_set(&error, GW_ERR_CONFLICT, NULL, "'%s' was %s since", move->vm_name,
                         gw_plan_is_live(vm) ? "started" : "shut down");
        else if (destination == NULL || destination->status == (int)GW_HOST_NOT_RESPONDING ||
                 destination->maintenance != (int)GW_MAINTENANCE_NONE)
            gw_error_set(&error, GW_ERR_CONFLICT, NULL, "%s takes no VMs any more",
                         move->destination_host_name);
    }
    return error;
}

/* What is found the planner heeds, so the next plan does not have it. Should that ever not be
 * so, the controller must not do nothing else any more: the same is not answered at once again. */
static gboolean is_answered(GwEngine *engine, PlanRun *run, const GError *drift)
{
    gint64 now_us = gw_clock_now_us(engine->clock);

    if (g_strcmp0(run->drift, drift->message) == 0 && now_us - run->drifted_us < DRIFT_AGAIN_US)
        return TRUE;
    g_free(run->drift);
    run->drift = g_strdup(drift->message);
    run->drifted_us = now_us;
    return FALSE;
}

gboolean gw_plans_has_drifted(GwEngine *engine, PlanRun *run)
{
    g_autoptr(GError) drift = find_drift(engine, run);

    if (drift == NULL)
        return FALSE;
    if (!is_answered(engine, run, drift))
        gw_plans_step(engine, run, (GwPlanJobEvent){ .kind = GW_PLAN_JOB_DRIFTED, .error = drift });
    return TRUE;
}
