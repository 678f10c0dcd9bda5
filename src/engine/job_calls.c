/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/moves_internal.h"
#include "engine/plans_internal.h"
#include "engine/works_internal.h"

/* What persons say to jobs that are under way: cancel, change, settle. */

static MoveRun *find_move(GwEngine *engine, const char *which, GError **error)
{
    const GwJob *job = gw_fabric_find_job(gw_engine_now(engine), which, error);
    if (job == NULL)
        return NULL;

    MoveRun *run = gw_moves_find(engine, job->id);
    if (run == NULL)
        gw_error_set(error, GW_ERR_CONFLICT, "Nothing is left to do.", "the job is already %s",
                     gw_enum_word(&gw_job_state_enum, job->state));
    return run;
}

static void take_change(GwMoveOptions *options, const GwJobChange *change)
{
    if (change->bandwidth_mibps >= 0)
        options->bandwidth_mibps = change->bandwidth_mibps;
    if (change->max_downtime_ms >= 0)
        options->max_downtime_ms = change->max_downtime_ms;
}

/* A job of tasks knows fewer of them. */
static void work_event(GwEngine *engine, Call *call, const char *job_id)
{
    GwMoveEventKind kind = (GwMoveEventKind)GPOINTER_TO_INT(call->in[1]);
    GError *error = NULL;
    GwJob *job = NULL;

    if (kind == GW_MOVE_CANCEL || kind == GW_MOVE_CHANGE)
        job =
            gw_works_event(engine, job_id, kind == GW_MOVE_CANCEL ? GW_WORK_CANCEL : GW_WORK_CHANGE,
                           call->in[2], &error);
    else
        gw_error_set(&error, GW_ERR_CONFLICT, "Look at it: godwit job show.",
                     "'%s' is for live moves; this job's VM is not one", gw_move_event_word(kind));
    gw_engine_answer(call, job, error);
}

/* One that carries out a plan can only be cancelled so; it is paused by a call of its own. */
static void plan_event(GwEngine *engine, Call *call, const char *job_id)
{
    GwMoveEventKind kind = (GwMoveEventKind)GPOINTER_TO_INT(call->in[1]);
    GError *error = NULL;
    GwJob *job = NULL;

    if (kind == GW_MOVE_CANCEL)
        job = gw_plans_event(engine, job_id, GW_PLAN_JOB_CANCEL, &error);
    else
        gw_error_set(&error, GW_ERR_CONFLICT, "Say it to its moves: godwit job list.",
                     "'%s' is for a single move; this job carries out a plan of many",
                     gw_move_event_word(kind));
    gw_engine_answer(call, job, error);
}

static void call_event(GwEngine *engine, Call *call)
{
    GwMoveEventKind kind = (GwMoveEventKind)GPOINTER_TO_INT(call->in[1]);
    const GwJobChange *change = call->in[2];
    GError *error = NULL;
    const GwJob *named = gw_fabric_find_job(gw_engine_now(engine), call->in[0], NULL);
    if (named != NULL && gw_works_find(engine, named->id) != NULL) {
        work_event(engine, call, named->id);
        return;
    }
    if (named != NULL && gw_plans_is_kind(named->kind)) {
        plan_event(engine, call, named->id);
        return;
    }
    MoveRun *run = find_move(engine, call->in[0], &error);

    if (run != NULL && kind == GW_MOVE_POST_COPY && !run->move->job->options->post_copy) {
        gw_error_set(&error, GW_ERR_CONFLICT, "Begin the move with --post-copy.",
                     "this move was not begun with post-copy allowed");
        run = NULL;
    }
    /* In no other state will the table take it. */
    if (run != NULL && change != NULL && run->move->job->state == GW_JOB_COPYING)
        take_change(run->move->job->options, change);
    if (run == NULL || !gw_moves_step(engine, run, (GwMoveEvent){ .kind = kind }, &error))
        gw_engine_answer(call, NULL, error);
    else
        gw_engine_answer(call, gw_job_copy(run->move->job), NULL);
}

static GwJob *send_event(GwEngine *engine, const char *job, GwMoveEventKind kind,
                         const GwJobChange *change, GError **error)
{
    return gw_engine_call(engine, call_event, job, GINT_TO_POINTER(kind), change, NULL, error);
}

GwJob *gw_engine_cancel_job(GwEngine *engine, const char *job, GError **error)
{
    return send_event(engine, job, GW_MOVE_CANCEL, NULL, error);
}

GwJob *gw_engine_change_job(GwEngine *engine, const char *job, const GwJobChange *change,
                            GError **error)
{
    return send_event(engine, job, GW_MOVE_CHANGE, change, error);
}

GwJob *gw_engine_post_copy(GwEngine *engine, const char *job, GError **error)
{
    return send_event(engine, job, GW_MOVE_POST_COPY, NULL, error);
}

GwJob *gw_engine_settle_job(GwEngine *engine, const char *job, GwKeep keep, GError **error)
{
    return send_event(engine, job,
                      keep == GW_KEEP_SOURCE ? GW_MOVE_KEEP_SOURCE : GW_MOVE_KEEP_DESTINATION, NULL,
                      error);
}

void gw_moves_cancel(GwEngine *engine, const char *job_id)
{
    MoveRun *run = gw_moves_find(engine, job_id);
    g_autoptr(GError) late = NULL;
    g_autoptr(GwJob) changed = NULL;

    if (run != NULL)
        gw_moves_step(engine, run, (GwMoveEvent){ .kind = GW_MOVE_CANCEL }, &late);
    else if (gw_works_find(engine, job_id) != NULL)
        changed = gw_works_event(engine, job_id, GW_WORK_CANCEL, NULL, &late);
    if (late != NULL)
        g_debug("job %s: %s", job_id, late->message);
}
