/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/jobs_internal.h"
#include "engine/tasks_internal.h"

/* A job's tasks, one after the other: each is journaled before it is begun and when it is done; a
 * host that does not answer is waited for, since what became of the task is not known. */

#define POLL_US (G_USEC_PER_SEC / 2)
#define RETRY_MAX_US (30 * G_USEC_PER_SEC)
#define REFUSALS_MAX 12 /* of what passes by itself: some five minutes */

void gw_task_run_free(gpointer data)
{
    TaskRun *run = data;

    g_clear_error(&run->trouble);
    g_clear_pointer(&run->provers, g_ptr_array_unref);
    g_free(run->job_id);
    g_free(run);
}

GwJob *gw_tasks_job(GwEngine *engine, const char *job_id)
{
    const JobRun *run = gw_jobs_find(engine, job_id);
    return run != NULL ? run->job : NULL;
}

/* Turns ------------------------------------------------------------------------------------ */

static void next(GwEngine *engine, TaskRun *run);

/* The owner may begin the next run of the same job from within. */
static void finished(GwEngine *engine, TaskRun *run)
{
    g_autoptr(GError) error = g_steal_pointer(&run->trouble);
    g_autofree char *job_id = g_strdup(run->job_id);
    TasksDone done = run->done;

    gw_task_set_waiting(engine, gw_tasks_job(engine, job_id), NULL);
    g_hash_table_remove(engine->task_runs, job_id);
    done(engine, job_id, error);
}

/* Takes @error. */
static void finish(GwEngine *engine, TaskRun *run, GError *error)
{
    GwJob *job = gw_tasks_job(engine, run->job_id);

    run->task = NULL;
    run->asked = run->polled = 0;
    run->polling = FALSE;
    run->poll_us = run->retry_us = run->abort_us = 0;
    if (error != NULL) {
        g_clear_error(&run->trouble);
        run->trouble = error;
    }
    gw_task_journal(engine, run, job, gw_batch_new(), run->undo ? "tasks undone" : "tasks done",
                    run->trouble != NULL ? run->trouble->message : NULL, finished);
}

static void finish_stopped(GwEngine *engine, TaskRun *run)
{
    GError *error = NULL;

    gw_error_set(&error, GW_ERR_CANCELLED, NULL, "stopped on request");
    finish(engine, run, error);
}

/* Only what can be undone is stopped. */
static gboolean is_stopped(const TaskRun *run)
{
    return run->stopping && !run->undo && run->turn == GW_TASK_BEFORE;
}

/* From its first byte on, a kept copy that is written to is no old copy any more; where the copy is
 * undone it is kept again. */
static void begin_delta(GwEngine *engine, GwBatch *batch, GwTask *task)
{
    task->made = TRUE;
    gw_kept_forget(engine, batch, task->host_id, task->volume);
}

/* Its beginning is durable. Who stopped it meanwhile stopped it before it did anything; but a kept
 * copy that it was to write to is no kept copy by now, and its undo makes it one again. */
static void act(GwEngine *engine, TaskRun *run)
{
    if (!is_stopped(run)) {
        gw_task_act(engine, run);
        return;
    }
    if (!run->unsure && !run->task->made)
        run->task->state = GW_TASK_TODO;
    finish_stopped(engine, run);
}

static void next(GwEngine *engine, TaskRun *run)
{
    GwJob *job = gw_tasks_job(engine, run->job_id);

    if (is_stopped(run)) {
        finish_stopped(engine, run);
        return;
    }
    run->task = run->undo ? gw_tasks_next_undo(job) : gw_tasks_next(job, run->turn);
    if (run->task == NULL) {
        finish(engine, run, NULL);
        return;
    }
    GwTask *task = run->task;
    GwBatch *batch = gw_batch_new();
    /* What was under way when it was left: an earlier try may have done it. */
    run->unsure = task->state == GW_TASK_DOING || task->state == GW_TASK_UNDOING;
    run->tries = run->refusals = 0;
    run->from_scratch = FALSE;
    if (!run->undo && task->kind == GW_TASK_VOLUME_COPY && task->delta)
        begin_delta(engine, batch, task);
    gw_task_begin(task, run->undo);
    task->lost = task->lost || (run->unsure && !run->undo);
    g_autofree char *words = gw_task_words_of(engine, task);
    gw_task_note(engine, job, "task", words);
    if (job->progress == NULL)
        job->progress = gw_progress_new();
    g_free(job->progress->note);
    job->progress->note = g_strdup(words);
    gw_task_journal(engine, run, job, batch, "task", words, act);
}

/* Outcomes --------------------------------------------------------------------------------- */

/* Refused for now only: a VM that arrives at that moment must not leave a volume behind. */
static gboolean will_pass(TaskRun *run, const GError *error)
{
    return g_error_matches(error, GW_ERROR, GW_ERR_BUSY) && ++run->refusals < REFUSALS_MAX;
}

static void wait_for(GwEngine *engine, TaskRun *run, const char *why)
{
    gint64 span = MIN(G_USEC_PER_SEC << MIN(run->tries, 5), RETRY_MAX_US);

    run->tries++;
    run->asked = 0;
    run->poll_us = 0;
    run->retry_us = gw_clock_now_us(engine->clock) + span;
    gw_task_set_waiting(engine, gw_tasks_job(engine, run->job_id), why);
}

void gw_task_wait(GwEngine *engine, TaskRun *run, const char *why)
{
    if (is_stopped(run))
        finish_stopped(engine, run);
    else
        wait_for(engine, run, why);
}

/* What cannot be said to be left undone must not hold up what comes after it: the VM has moved. */
static gboolean is_passed(const TaskRun *run)
{
    switch ((GwTaskKind)run->task->kind) {
    case GW_TASK_START:
    case GW_TASK_AUTOSTART:
    case GW_TASK_SNAPSHOTS_REMEMBER:
    case GW_TASK_VOLUME_DELETE:
    case GW_TASK_MERGE:
    case GW_TASK_HBA_FORGET:
        return !run->undo && run->turn == GW_TASK_AFTER;
    default:
        return FALSE;
    }
}

/* What old copies there are changes with what was done to them, in one commit. Where a volume was
 * made there is none any more: of one whose removal was broken off nobody heard that it went. */
static void mind_kept(GwEngine *engine, GwBatch *batch, const TaskRun *run, const GwJob *job)
{
    const GwTask *task = run->task;

    if (!run->undo && task->kind == GW_TASK_VOLUME_KEEP)
        gw_kept_add(engine, batch, job, task);
    else if (!run->undo &&
             (task->kind == GW_TASK_VOLUME_REPLACE || task->kind == GW_TASK_VOLUME_DELETE ||
              task->kind == GW_TASK_VOLUME_CREATE))
        gw_kept_forget(engine, batch, task->host_id, task->volume);
    else if (run->undo && task->kind == GW_TASK_VOLUME_COPY && task->delta)
        gw_kept_add(engine, batch, job, task);
}

/* An old copy that could not be deleted becomes a kept one, so that somebody knows of it and tries
 * again. What another VM uses (an image below several) was never only ours. */
static gboolean is_ours_to_remove(const GwTask *task, const GError *error)
{
    return task->kind == GW_TASK_VOLUME_DELETE &&
           !g_error_matches(error, GW_ERROR, GW_ERR_CONFLICT);
}

static void go_on(GwEngine *engine, TaskRun *run, const GError *error)
{
    GwJob *job = gw_tasks_job(engine, run->job_id);
    GwBatch *batch = gw_batch_new();
    g_autofree char *words = gw_task_words_of(engine, run->task);
    g_autoptr(GError) whole = error != NULL ? gw_task_error_of(engine, run->task, error) : NULL;

    if (error == NULL) {
        mind_kept(engine, batch, run, job);
        gw_task_end(run->task, NULL);
    } else if (is_passed(run)) {
        if (is_ours_to_remove(run->task, error))
            gw_kept_add(engine, batch, job, run->task);
        gw_task_pass(run->task, whole);
    } else {
        gw_task_end(run->task, whole);
    }
    if (whole != NULL)
        gw_task_note(engine, job, "task failed", whole->message);
    if (whole != NULL && run->trouble == NULL && run->undo)
        run->trouble = g_error_copy(whole);
    gw_task_journal(engine, run, job, batch, whole == NULL ? "task done" : "task failed",
                    whole == NULL ? words : whole->message, next);
}

void gw_task_over(GwEngine *engine, TaskRun *run, const GError *error)
{
    run->asked = 0;
    run->poll_us = run->abort_us = 0;
    if (error != NULL && is_stopped(run) &&
        (gw_error_leaves_open(error) || g_error_matches(error, GW_ERROR, GW_ERR_CANCELLED))) {
        finish_stopped(engine, run); /* the undo takes it for begun */
        return;
    }
    if (error != NULL && gw_error_leaves_open(error)) {
        g_autoptr(GError) whole = gw_task_error_of(engine, run->task, error);
        run->unsure = TRUE;
        run->task->lost = run->task->lost || !run->undo;
        wait_for(engine, run, whole->message);
        return;
    }
    if (error != NULL && will_pass(run, error)) {
        g_autoptr(GError) whole = gw_task_error_of(engine, run->task, error);
        gw_task_wait(engine, run, whole->message);
        return;
    }
    gw_task_set_waiting(engine, gw_tasks_job(engine, run->job_id), NULL);
    if (error == NULL || is_passed(run) || run->undo) {
        go_on(engine, run, error);
        return;
    }
    GwJob *job = gw_tasks_job(engine, run->job_id);
    GError *whole = gw_task_error_of(engine, run->task, error);
    gw_task_end(run->task, whole);
    gw_task_note(engine, job, "task failed", whole->message);
    finish(engine, run, whole);
}

/* From outside ----------------------------------------------------------------------------- */

void gw_tasks_run(GwEngine *engine, const char *job_id, GwTaskTurn turn, gboolean undo,
                  TasksDone done)
{
    g_return_if_fail(!g_hash_table_contains(engine->task_runs, job_id));
    TaskRun *run = g_new0(TaskRun, 1);

    run->job_id = g_strdup(job_id);
    run->serial = ++engine->last_task_question;
    run->turn = turn;
    run->undo = undo;
    run->done = done;
    g_hash_table_replace(engine->task_runs, run->job_id, run);
    next(engine, run);
}

void gw_tasks_stop(GwEngine *engine, const char *job_id)
{
    TaskRun *run = g_hash_table_lookup(engine->task_runs, job_id);

    if (run == NULL || run->stopping)
        return;
    run->stopping = TRUE;
    if (!is_stopped(run) || run->task == NULL)
        return; /* goes on to its end; or is between two tasks, and sees it there */
    if (run->asked != 0 && run->task->kind == GW_TASK_VOLUME_COPY) {
        run->again = FALSE;
        gw_task_abort_copy(engine, run);
    } else if (run->asked == 0 && (run->retry_us != 0 || run->poll_us != 0)) {
        finish_stopped(engine, run);
    }
}

void gw_tasks_change(GwEngine *engine, const char *job_id)
{
    TaskRun *run = g_hash_table_lookup(engine->task_runs, job_id);

    if (run == NULL || run->task == NULL || run->undo || run->stopping)
        return;
    if (run->task->kind == GW_TASK_VOLUME_COPY && run->asked != 0) {
        run->again = TRUE;
        gw_task_abort_copy(engine, run);
    } else if (run->task->kind == GW_TASK_BLOCK_COPY && run->poll_us != 0) {
        gw_task_act(engine, run); /* of a mirror that runs, only the limit changes */
    }
}

static void retry(GwEngine *engine, TaskRun *run)
{
    run->retry_us = 0;
    gw_task_act(engine, run);
}

static GPtrArray *all_runs(GwEngine *engine)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    gpointer id;

    g_hash_table_iter_init(&iter, engine->task_runs);
    while (g_hash_table_iter_next(&iter, &id, NULL))
        g_ptr_array_add(list, g_strdup(id));
    return list;
}

void gw_tasks_host_back(GwEngine *engine, const char *host_id)
{
    g_autoptr(GPtrArray) list = all_runs(engine);

    for (guint i = 0; i < list->len; i++) {
        TaskRun *run = g_hash_table_lookup(engine->task_runs, list->pdata[i]);
        if (run != NULL && run->retry_us != 0 && run->task != NULL &&
            (g_strcmp0(run->task->host_id, host_id) == 0 ||
             g_strcmp0(run->task->peer_host_id, host_id) == 0)) {
            run->tries = 0;
            retry(engine, run);
        }
    }
}

static gint64 due_us(const TaskRun *run)
{
    return gw_earlier(run->poll_us, gw_earlier(run->retry_us, run->abort_us));
}

gint64 gw_tasks_next_us(GwEngine *engine)
{
    GHashTableIter iter;
    gpointer value;
    gint64 due = 0;

    g_hash_table_iter_init(&iter, engine->task_runs);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        due = gw_earlier(due, due_us(value));
    return due;
}

static void run_timers(GwEngine *engine, TaskRun *run, gint64 now_us)
{
    if (run->retry_us != 0 && run->retry_us <= now_us) {
        retry(engine, run);
        return;
    }
    if (run->abort_us != 0 && run->abort_us <= now_us)
        gw_task_abort_copy(engine, run);
    if (run->poll_us != 0 && run->poll_us <= now_us) {
        run->poll_us = now_us + POLL_US;
        if (!run->polling)
            gw_task_poll(engine, run);
    }
}

void gw_tasks_timers(GwEngine *engine, gint64 now_us)
{
    gint64 due = gw_tasks_next_us(engine);

    if (due == 0 || due > now_us)
        return;
    g_autoptr(GPtrArray) list = all_runs(engine);
    for (guint i = 0; i < list->len; i++) {
        TaskRun *run = g_hash_table_lookup(engine->task_runs, list->pdata[i]);
        if (run == NULL)
            continue;
        if (gw_tasks_job(engine, run->job_id) == NULL)
            g_hash_table_remove(engine->task_runs, list->pdata[i]); /* its owner is gone */
        else
            run_timers(engine, run, now_us);
    }
}
