/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job/work_internal.h"

/* The BEFORE tasks of a job of tasks: whether they get on, and how they are broken off. */

#define WATCH_US (2 * G_USEC_PER_SEC)

static guint done_tasks(const GwJob *job)
{
    guint done = 0;

    for (guint i = 0; job->tasks != NULL && i < job->tasks->len; i++)
        done += ((const GwTask *)job->tasks->pdata[i])->state == GW_TASK_DONE;
    return done;
}

void gw_work_begin_copy(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome)
{
    const GwJob *job = work->job;

    work->times.started_us = event->now_us;
    work->times.too_long_us = gw_life_due_after(event->now_us, job->completion_timeout_s);
    work->times.stalled_us = gw_life_due_after(event->now_us, job->progress_timeout_s);
    work->times.wake_us = event->now_us + WATCH_US;
    work->done_tasks = done_tasks(job);
    gw_tasks_progress(job, &work->done_bytes, NULL);
    gw_life_set_phase(work->job, "copying");
    gw_life_add_effect(outcome, GW_WORK_DO_COPY);
}

void gw_work_watch(GwWork *work, const GwWorkEvent *event)
{
    gint64 bytes;
    guint tasks = done_tasks(work->job);

    gw_tasks_progress(work->job, &bytes, NULL);
    work->times.wake_us = event->now_us + WATCH_US;
    if (bytes <= work->done_bytes && tasks <= work->done_tasks)
        return;
    work->done_bytes = MAX(bytes, work->done_bytes);
    work->done_tasks = tasks;
    if (work->times.stalled_us != 0)
        work->times.stalled_us = gw_life_due_after(event->now_us, work->job->progress_timeout_s);
}

void gw_work_stop(GwWork *work, GwWorkOutcome *outcome)
{
    work->times.too_long_us = work->times.stalled_us = 0;
    gw_life_set_phase(work->job, "cancelling");
    gw_life_add_effect(outcome, GW_WORK_DO_STOP);
}

static void stop_with(GwWork *work, const char *code, const char *message, const char *remedy,
                      GwWorkOutcome *outcome)
{
    if (!work->job->cancel_requested && work->job->error == NULL)
        gw_life_set_error(work->job, code, message, remedy);
    gw_work_stop(work, outcome);
}

void gw_work_stop_started(GwWork *work, GwWorkOutcome *outcome)
{
    g_autofree char *message =
        g_strdup_printf("'%s' was started while its disks were being copied, which must not change "
                        "meanwhile; it runs on where it is",
                        work->job->vm_name);
    stop_with(work, "conflict", message,
              "Move it as it runs (Live, or Live (VSM)), or shut it down and try again.", outcome);
}

void gw_work_stop_too_long(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome)
{
    gint64 done, total;
    gw_tasks_progress(work->job, &done, &total);
    g_autofree char *message = g_strdup_printf(
        "not complete after %" G_GINT64_FORMAT " s (completion time-out); %" G_GINT64_FORMAT
        " of %" G_GINT64_FORMAT " MiB copied",
        (event->now_us - work->times.started_us) / G_USEC_PER_SEC, done >> 20, total >> 20);
    stop_with(work, "timeout", message, "Give it more bandwidth, or a longer completion time-out.",
              outcome);
}

void gw_work_stop_stalled(GwWork *work, GwWorkOutcome *outcome)
{
    const GwJob *job = work->job;
    g_autofree char *message = g_strdup_printf(
        "no progress for %" G_GINT64_FORMAT " s (progress time-out)%s%s", job->progress_timeout_s,
        job->waiting_for != NULL ? "; it waited for: " : "",
        job->waiting_for != NULL ? job->waiting_for : "");
    stop_with(work, "timeout", message,
              "Check the hosts, their storage and the network between them.", outcome);
}
