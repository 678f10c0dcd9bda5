/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/moves_internal.h"
#include "engine/plans_internal.h"

/* The moves of a plan that have begun, each a job of its own: how far they are, what became of
 * them, and calling them off. */

static GPtrArray *moves_of(const PlanRun *run)
{
    return run->self->job->plan->moves;
}

gint64 gw_plans_sent_bytes(GwEngine *engine, const PlanRun *run)
{
    const GPtrArray *moves = moves_of(run);
    gint64 sum = 0;

    for (guint i = 0; moves != NULL && i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        if (move->state != (int)GW_PLANNED_RUNNING || move->job_id == NULL)
            continue;
        const GwJob *child = gw_fabric_find_job(gw_engine_now(engine), move->job_id, NULL);
        if (child != NULL && child->progress != NULL &&
            !gw_job_state_is_final((GwJobState)child->state))
            sum += MIN(MAX(child->progress->processed_bytes, 0), MAX(move->bytes, 0));
    }
    return sum;
}

static GError *error_of(const GwJob *child)
{
    GError *error = NULL;
    const GwJobError *said = child->error;

    gw_error_set(&error, said != NULL ? gw_error_code_from_word(said->code) : GW_ERR_OPERATION,
                 said != NULL ? said->remedy : NULL, "%s",
                 said != NULL ? said->message : "it was cancelled");
    return error;
}

/* Whether the move with that index is over by its own job; *@error: how it failed. */
static gboolean is_over(GwEngine *engine, const GwPlannedMove *move, GError **error)
{
    if (move->state != (int)GW_PLANNED_RUNNING)
        return FALSE;
    const GwJob *child = gw_fabric_find_job(gw_engine_now(engine), move->job_id, NULL);
    if (child == NULL) { /* so old that it is not remembered */
        gw_error_set(error, GW_ERR_NOT_FOUND, NULL, "its job is not remembered");
        return TRUE;
    }
    if (!gw_job_state_is_final((GwJobState)child->state))
        return FALSE;
    if (child->state != (int)GW_JOB_DONE)
        *error = error_of(child);
    return TRUE;
}

void gw_plans_look_at_moves(GwEngine *engine, PlanRun *run)
{
    /* A step may make another list of moves. */
    for (guint i = 0; moves_of(run) != NULL && i < moves_of(run)->len; i++) {
        g_autoptr(GError) error = NULL;
        if (is_over(engine, moves_of(run)->pdata[i], &error))
            gw_plans_step(engine, run,
                          (GwPlanJobEvent){ .kind = GW_PLAN_JOB_ENDED, .move = i, .error = error });
    }
}

void gw_plans_cancel_stranded(GwEngine *engine, const PlanRun *run)
{
    const GwFabric *fabric = gw_engine_now(engine);
    const GPtrArray *moves = moves_of(run);

    for (guint i = 0; moves != NULL && i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        const GwHost *to = gw_fabric_host(fabric, move->destination_host_id);
        if (move->state != (int)GW_PLANNED_RUNNING || to == NULL ||
            to->status != (int)GW_HOST_NOT_RESPONDING)
            continue;
        const GwJob *child = gw_fabric_find_job(fabric, move->job_id, NULL);
        if (child != NULL && child->state == (int)GW_JOB_QUEUED)
            gw_moves_cancel(engine, child->id);
    }
}

void gw_plans_cancel_moves(GwEngine *engine, PlanRun *run)
{
    const GPtrArray *moves = moves_of(run);

    for (guint i = 0; moves != NULL && i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        const GwJob *child = gw_fabric_find_job(gw_engine_now(engine), move->job_id, NULL);
        if (move->state == (int)GW_PLANNED_RUNNING && child != NULL && !child->cancel_requested)
            gw_moves_cancel(engine, move->job_id);
    }
}

static int by_id(gconstpointer a, gconstpointer b)
{
    return strcmp((*(GwJob *const *)a)->id, (*(GwJob *const *)b)->id);
}

/* Its moves' jobs that are remembered, the oldest first: of a VM that made a detour the first move
 * says where it came from. Borrowed. */
static GPtrArray *list_children(GwEngine *engine, const char *job_id)
{
    GPtrArray *children = g_ptr_array_new();
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, gw_engine_now(engine)->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (g_strcmp0(((GwJob *)value)->part_of, job_id) == 0)
            g_ptr_array_add(children, value);
    }
    g_ptr_array_sort(children, by_id);
    return children;
}

static void name_host(GwEngine *engine, char **name, const char *host_id)
{
    const GwHost *host = gw_fabric_host(gw_engine_now(engine), host_id);

    if (*name == NULL && host != NULL)
        *name = g_strdup(host->name);
}

void gw_plans_adopt_moves(GwEngine *engine, PlanRun *run)
{
    g_autoptr(GPtrArray) children = list_children(engine, run->self->job->id);

    for (guint i = 0; i < children->len; i++)
        gw_plan_job_adopt(run->self, children->pdata[i]);
    for (guint i = 0; moves_of(run) != NULL && i < moves_of(run)->len; i++) {
        GwPlannedMove *move = moves_of(run)->pdata[i]; /* a job knows no names */
        name_host(engine, &move->source_host_name, move->source_host_id);
        name_host(engine, &move->destination_host_name, move->destination_host_id);
    }
}
