/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job/plan_job_internal.h"

/* The moves of a job that carries out a plan: what has begun of them stays in its list as history,
 * what has not is replaced when the rest is planned anew. */

GwPlannedMove *gw_plan_job_move(const GwPlanJob *self, guint index)
{
    GPtrArray *moves = self->job->plan->moves;
    return moves != NULL && index < moves->len ? moves->pdata[index] : NULL;
}

guint gw_plan_job_count(const GwPlanJob *self, GwPlannedState state)
{
    guint n = 0;

    for (guint i = 0; gw_plan_job_move(self, i) != NULL; i++)
        n += gw_plan_job_move(self, i)->state == (int)state;
    return n;
}

/* How often a move of that VM failed, and the last time's words. */
static guint failures_of(const GwPlanJob *self, const char *uuid, const char **error)
{
    guint n = 0;

    for (guint i = 0; gw_plan_job_move(self, i) != NULL; i++) {
        const GwPlannedMove *move = gw_plan_job_move(self, i);
        if (move->state != (int)GW_PLANNED_FAILED || g_strcmp0(move->vm_uuid, uuid) != 0)
            continue;
        n++;
        *error = move->error;
    }
    return n;
}

static void add_stay(GPtrArray *stays, const GwPlannedMove *move, const char *why)
{
    GwPlannedStay *stay = gw_planned_stay_new();

    stay->vm_uuid = g_strdup(move->vm_uuid);
    stay->vm_name = g_strdup(move->vm_name);
    stay->host_id = g_strdup(move->source_host_id);
    stay->host_name = g_strdup(move->source_host_name);
    stay->why = g_strdup(why);
    g_ptr_array_add(stays, stay);
}

/* The moves of @plan that are still tried go behind those of the job's that have begun; numbers in
 * @after move along. Returns how many were taken. */
static guint append(const GwPlanJob *self, GPtrArray *moves, const GwMigrationPlan *plan,
                    GPtrArray *stays)
{
    guint len = plan->moves != NULL ? plan->moves->len : 0, taken = 0;
    g_autofree gint64 *place = g_new0(gint64, len + 1); /* number in @plan -> number in @moves */

    for (guint i = 0; i < len; i++) {
        const GwPlannedMove *planned = plan->moves->pdata[i];
        const char *error = NULL;
        guint failures = failures_of(self, planned->vm_uuid, &error);
        gboolean orphan = planned->after > 0 && place[MIN(planned->after, len)] == 0;
        if (failures >= GW_PLAN_JOB_TRIES) {
            add_stay(stays, planned, error);
            continue;
        }
        if (orphan)
            continue; /* what it waits for is given up; planned anew once more at the end */
        GwPlannedMove *move = gw_planned_move_copy(planned);
        move->state = GW_PLANNED_WAITING;
        move->tries = failures;
        move->after = planned->after > 0 ? place[MIN(planned->after, len)] : 0;
        g_ptr_array_add(moves, move);
        place[i + 1] = moves->len;
        taken++;
    }
    return taken;
}

/* What is on its way stays for the planner, not for who looks at the job. */
static gboolean is_moving(const GwPlanJob *self, const char *vm_uuid)
{
    for (guint i = 0; gw_plan_job_move(self, i) != NULL; i++) {
        if (gw_plan_job_move(self, i)->state == (int)GW_PLANNED_RUNNING &&
            g_strcmp0(gw_plan_job_move(self, i)->vm_uuid, vm_uuid) == 0)
            return TRUE;
    }
    return FALSE;
}

guint gw_plan_job_take(GwPlanJob *self, const GwMigrationPlan *plan)
{
    GwMigrationPlan *own = self->job->plan;
    GPtrArray *moves = gw_record_array(&gw_planned_move_record);
    GPtrArray *stays = gw_record_array(&gw_planned_stay_record);

    /* What never began is gone from the plan: only what was done, or tried, is history. */
    for (guint i = 0; gw_plan_job_move(self, i) != NULL; i++) {
        GwPlannedMove *move = gw_plan_job_move(self, i);
        if (move->state == (int)GW_PLANNED_WAITING)
            continue;
        GwPlannedMove *kept = gw_planned_move_copy(move);
        kept->after = 0; /* it has begun */
        g_ptr_array_add(moves, kept);
    }
    self->history = moves->len;
    guint taken = append(self, moves, plan, stays);
    for (guint i = 0; plan->stays != NULL && i < plan->stays->len; i++) {
        const GwPlannedStay *stay = plan->stays->pdata[i];
        if (!is_moving(self, stay->vm_uuid))
            g_ptr_array_add(stays, gw_planned_stay_copy(stay));
    }
    g_clear_pointer(&own->moves, g_ptr_array_unref);
    g_clear_pointer(&own->stays, g_ptr_array_unref);
    own->moves = moves;
    own->stays = stays;
    g_free(own->fingerprint);
    own->fingerprint = g_strdup(plan->fingerprint);
    return taken;
}

/* What became of the move, by its own job. */
static void take_state(GwPlannedMove *move, const GwJob *child)
{
    if (!gw_job_state_is_final(child->state)) {
        move->state = GW_PLANNED_RUNNING;
    } else if (child->state == (int)GW_JOB_DONE) {
        move->state = GW_PLANNED_DONE;
    } else {
        move->state = GW_PLANNED_FAILED;
        g_free(move->error);
        move->error = g_strdup(child->error != NULL ? child->error->message : "it failed");
    }
}

static GwPlannedMove *move_of(GwPlanJob *self, const GwJob *child)
{
    GwPlannedMove *found = NULL;

    for (guint i = 0; gw_plan_job_move(self, i) != NULL; i++) {
        GwPlannedMove *move = gw_plan_job_move(self, i);
        if (g_strcmp0(move->job_id, child->id) == 0)
            return move;
        if (found == NULL && move->job_id == NULL &&
            g_strcmp0(move->vm_uuid, child->vm_uuid) == 0 &&
            g_strcmp0(move->destination_host_id, child->destination_host_id) == 0)
            found = move;
    }
    return found;
}

void gw_plan_job_adopt(GwPlanJob *self, const GwJob *child)
{
    GwMigrationPlan *plan = self->job->plan;
    GwPlannedMove *move = move_of(self, child);

    if (move == NULL) {
        move = gw_planned_move_new();
        move->vm_uuid = g_strdup(child->vm_uuid);
        move->vm_name = g_strdup(child->vm_name);
        move->source_host_id = g_strdup(child->source_host_id);
        move->destination_host_id = g_strdup(child->destination_host_id);
        move->transfer = child->transfer;
        move->memory_kib = child->vm_memory_kib;
        if (plan->moves == NULL)
            plan->moves = gw_record_array(&gw_planned_move_record);
        g_ptr_array_add(plan->moves, move);
    }
    if (move->job_id == NULL)
        move->job_id = g_strdup(child->id);
    take_state(move, child);
}
