/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "job/work_internal.h"

/* How a job of tasks ends: committed, or undone. */

#define PAUSE_MAX_US (60 * G_USEC_PER_SEC)

GwLifeMoment gw_work_moment(const GwWorkEvent *event)
{
    return (GwLifeMoment){
        .event = gw_work_event_word(event->kind),
        .now_us = event->now_us,
        .wall_us = event->wall_us,
    };
}

void gw_work_take_error(GwJob *job, const GError *error)
{
    if (job->error == NULL)
        gw_life_take_error(job, error, "Look at the hosts and their libvirtd, then try again.");
}

GwMoveResult *gw_work_result(GwJob *job)
{
    if (job->result == NULL) {
        job->result = gw_move_result_new();
        job->result->downtime_ms = job->result->downtime_libvirt_ms = -1;
    }
    return job->result;
}

void gw_work_finish(GwWork *work, GwJobState state, const GwWorkEvent *event, const char *why,
                    GwWorkOutcome *outcome)
{
    GwJob *job = work->job;

    gw_work_result(job);
    gw_life_finish(job, &work->times, state, gw_work_moment(event), why, outcome);
    if (state == GW_JOB_DONE)
        job->progress->percent = 100;
    g_clear_pointer(&job->progress->note, g_free);
}

void gw_work_undo(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome)
{
    if (!work->job->cancel_requested)
        gw_work_take_error(work->job, event->error);
    gw_life_disarm(&work->times);
    work->looking = FALSE;
    gw_life_set_phase(work->job, "undoing");
    gw_life_add_effect(outcome, GW_WORK_DO_UNDO);
}

void gw_work_undo_again(GwWork *work, GwWorkOutcome *outcome)
{
    work->times.wake_us = 0;
    gw_tasks_undo_again(work->job);
    gw_life_set_phase(work->job, "undoing");
    gw_life_add_effect(outcome, GW_WORK_DO_UNDO);
}

void gw_work_pause_undo(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome)
{
    if (++work->undos >= GW_WORK_UNDO_TRIES) {
        gw_work_end_undone(work, event, "what is left was refused too often", outcome);
        return;
    }
    work->times.wake_us = event->now_us + (G_USEC_PER_SEC << (work->undos - 1));
    gw_life_replace(&work->job->waiting_for,
                    event->error != NULL ? event->error->message : "a host");
}

/* What was cancelled but could not be undone is cancelled all the same; what is left is said. */
void gw_work_end_undone(GwWork *work, const GwWorkEvent *event, const char *why,
                        GwWorkOutcome *outcome)
{
    GwJob *job = work->job;
    gboolean cancelled = job->cancel_requested;

    if (cancelled && job->error == NULL)
        gw_life_set_error(job, "cancelled", "cancelled on request", NULL);
    if (job->error == NULL)
        gw_life_set_error(job, "internal", "it failed without a reason", NULL);
    gw_tasks_say_replaced(job);
    if (event->error != NULL) {
        g_autofree char *message = g_strdup_printf("%s; something is left: %s", job->error->message,
                                                   event->error->message);
        gw_life_replace(&job->error->message, message);
        gw_life_replace(&job->error->remedy, "Remove what is left: godwit job undo.");
    }
    gw_work_finish(work, cancelled ? GW_JOB_CANCELLED : GW_JOB_FAILED, event, why, outcome);
}

void gw_work_commit(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome)
{
    if (work->times.started_us != 0 && work->job->state == GW_JOB_COMMITTING && work->tries == 0)
        gw_work_result(work->job)->copy_ms = (event->now_us - work->times.started_us) / 1000;
    gw_life_disarm(&work->times);
    work->looking = FALSE;
    gw_life_set_phase(work->job, "committing");
    gw_life_add_effect(outcome, GW_WORK_DO_COMMIT);
}

void gw_work_pause_or_give_up(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome)
{
    GwJob *job = work->job;

    if (++work->tries < GW_WORK_COMMIT_TRIES) {
        gint64 span = MIN(G_USEC_PER_SEC << work->tries, PAUSE_MAX_US);
        work->times.wake_us = event->now_us + span;
        gw_life_replace(&job->waiting_for, event->error != NULL ? event->error->message : "a host");
        return;
    }
    gw_work_take_error(job, event->error);
    if (job->error != NULL) {
        g_autofree char *message =
            g_strdup_printf("%s; what was done before that stands, and both copies of what was "
                            "copied are there",
                            job->error->message);
        gw_life_replace(&job->error->message, message);
    }
    gw_work_finish(work, GW_JOB_FAILED, event, "refused too often", outcome);
}

/* Moved is moved: what else did not work is told beside it. */
void gw_work_end_done(GwWork *work, const GwWorkEvent *event, const char *why,
                      GwWorkOutcome *outcome)
{
    GwJob *job = work->job;
    g_autofree char *remarks = gw_tasks_remarks(job);

    g_clear_pointer(&job->error, gw_job_error_free);
    if (remarks != NULL) {
        g_autofree char *message = g_strdup_printf("done, but: %s", remarks);
        gw_life_set_error(job, "operation-failed", message, GW_TASKS_REMARKS_REMEDY);
    }
    gw_work_finish(work, GW_JOB_DONE, event, remarks != NULL ? job->error->message : why, outcome);
}
