/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan_job_world.h"

GwPlannedMove *job_move(const char *vm, gint64 after)
{
    GwPlannedMove *move = gw_planned_move_new();

    move->vm_uuid = g_strdup(vm);
    move->vm_name = g_strdup_printf("vm-%s", vm);
    move->source_host_id = g_strdup("h1");
    move->source_host_name = g_strdup("kvm1");
    move->destination_host_id = g_strdup("h2");
    move->bytes = 1000;
    move->after = after;
    return move;
}

GwMigrationPlan *job_plan(guint count, ...)
{
    GwMigrationPlan *plan = gw_migration_plan_new();
    va_list args;

    plan->request = gw_plan_request_new();
    plan->moves = gw_record_array(&gw_planned_move_record);
    plan->stays = gw_record_array(&gw_planned_stay_record);
    va_start(args, count);
    for (guint i = 0; i < count; i++)
        g_ptr_array_add(plan->moves, job_move(va_arg(args, const char *), 0));
    va_end(args);
    return plan;
}

GwPlanJob *job_for(GwJobState state, GwMigrationPlan *plan)
{
    GwJob *job = gw_job_new();

    job->id = g_strdup("P");
    job->kind = g_strdup(GW_JOB_KIND_DRAIN);
    job->state = (int)state;
    job->plan = plan;
    return gw_plan_job_new(job, 1);
}

GwPlannedMove *job_move_at(const GwPlanJob *self, guint index)
{
    const GPtrArray *moves = self->job->plan->moves;

    return index < moves->len ? moves->pdata[index] : NULL;
}

GError *job_refusal(const char *words)
{
    GError *error = NULL;
    gw_error_set(&error, GW_ERR_REFUSED, "Free memory.", "%s", words);
    return error;
}
