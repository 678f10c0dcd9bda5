/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/jobs_internal.h"
#include "engine/tasks_internal.h"
#include "job/eta.h"

/* What is shown and stored of tasks: the journal, the job's history, and how far a copy is. */

#define NOTE_US (10 * G_USEC_PER_SEC) /* between two rows of how far a copy is */
#define STEPS_MAX 1000

/* The journal ------------------------------------------------------------------------------ */

void gw_task_note(GwEngine *engine, GwJob *job, const char *event, const char *why)
{
    if (job->steps == NULL)
        job->steps = gw_record_array(&gw_job_step_record);
    if (job->steps->len >= STEPS_MAX)
        return;
    GwJobStep *step = gw_job_step_new();
    step->at = gw_engine_rfc3339(engine);
    step->state = g_strdup(gw_enum_word(&gw_job_state_enum, job->state));
    step->event = g_strdup(event);
    step->why = g_strdup(why);
    g_ptr_array_add(job->steps, step);
}

/* What waits for the journal. A run that was replaced meanwhile does not go on. */
typedef struct {
    char *job_id;
    guint64 serial;
    TaskFn then;
} Deferred;

static void journaled(GwEngine *engine, gpointer data)
{
    Deferred *deferred = data;
    TaskRun *run = g_hash_table_lookup(engine->task_runs, deferred->job_id);

    if (run != NULL && run->serial == deferred->serial && gw_tasks_job(engine, run->job_id) != NULL)
        deferred->then(engine, run);
    g_free(deferred->job_id);
    g_free(deferred);
}

void gw_task_journal(GwEngine *engine, TaskRun *run, GwJob *job, GwBatch *batch, const char *event,
                     const char *why, TaskFn then)
{
    Deferred *deferred = g_new0(Deferred, 1);

    deferred->job_id = g_strdup(job->id);
    deferred->serial = run->serial;
    deferred->then = then;
    gw_batch_put(batch, GW_KIND_JOB, job->id, gw_record_to_json(&gw_job_record, job));
    gw_batch_journal(batch, job->id, gw_clock_wall_us(engine->clock),
                     gw_enum_word(&gw_job_state_enum, job->state), event, why);
    gw_jobs_show(engine, job);
    gw_engine_journal(engine, batch, journaled, NULL, deferred);
}

/* Words ------------------------------------------------------------------------------------ */

static const char *host_name(GwEngine *engine, const char *host_id)
{
    const GwHost *host = host_id != NULL ? gw_fabric_host(gw_engine_now(engine), host_id) : NULL;
    return host != NULL ? host->name : NULL;
}

char *gw_task_words_of(GwEngine *engine, const GwTask *task)
{
    const char *host = host_name(engine, task->host_id);
    return gw_task_words(task, host != NULL ? host : "a host that was removed",
                         host_name(engine, task->peer_host_id));
}

GError *gw_task_error_of(GwEngine *engine, const GwTask *task, const GError *error)
{
    g_autofree char *words = gw_task_words_of(engine, task);
    GwErrorCode code = error->domain == GW_ERROR ? (GwErrorCode)error->code : GW_ERR_INTERNAL;
    const char *remedy = gw_error_remedy(error);
    GError *whole = NULL;

    gw_error_set(&whole, code,
                 remedy != NULL ? remedy
                                : "Look at the host's storage and libvirtd, then try again.",
                 "%s: %s", words, error->message);
    return whole;
}

void gw_task_set_waiting(GwEngine *engine, GwJob *job, const char *why)
{
    if (g_strcmp0(job->waiting_for, why) == 0)
        return;
    g_free(job->waiting_for);
    job->waiting_for = g_strdup(why);
    gw_jobs_show(engine, job);
}

/* Progress --------------------------------------------------------------------------------- */

/* The rate; answers how long @left bytes take at it, in ms. */
static gint64 measure(TaskRun *run, GwProgress *shown, gint64 done, double left, gint64 now_us)
{
    if (run->rate_us != 0 && now_us > run->rate_us && done >= run->rate_bytes) {
        gint64 rate = (gint64)((double)(done - run->rate_bytes) * G_USEC_PER_SEC /
                               (double)(now_us - run->rate_us));
        shown->bandwidth_bps =
            shown->bandwidth_bps > 0 ? (shown->bandwidth_bps * 3 + rate) / 4 : rate;
    }
    run->rate_us = now_us;
    run->rate_bytes = done;
    return shown->bandwidth_bps > 0
               ? (gint64)MIN(left * 1000.0 / (double)shown->bandwidth_bps, 1e15)
               : -1;
}

/* Of the images below its disks, which go first, the VM's memory comes after. */
static double memory_after(const GwJob *job)
{
    return strcmp(job->kind, GW_JOB_KIND_MIGRATE) == 0 ? (double)job->vm_memory_kib * 1024.0 : 0;
}

/* Percent never goes back, though a running guest dirties what was copied. */
static void show_progress(GwEngine *engine, TaskRun *run, GwJob *job)
{
    gint64 now = gw_clock_now_us(engine->clock), done, total;
    int percent = gw_tasks_progress(job, &done, &total);
    double whole = (double)total + memory_after(job);
    GwProgress *shown = job->progress;

    shown->percent = CLAMP(MAX(percent, shown->percent), 0, 99);
    shown->disk_total_bytes = total;
    shown->disk_processed_bytes = done;
    shown->disk_remaining_bytes = total - done;
    shown->total_bytes = total;
    shown->processed_bytes = done;
    shown->remaining_bytes = total - done;
    shown->converging = TRUE;
    gint64 measured = measure(run, shown, done, whole - (double)done, now);
    shown->eta_ms =
        gw_eta_of_job(job, gw_clock_wall_us(engine->clock), (double)done, whole, measured);
}

void gw_task_progress(GwEngine *engine, TaskRun *run, const GwProgress *progress)
{
    GwJob *job = gw_tasks_job(engine, run->job_id);
    GwTask *task = run->task;
    gint64 now = gw_clock_now_us(engine->clock);

    if (progress->total_bytes > 0)
        task->total_bytes = progress->total_bytes;
    task->copied_bytes = CLAMP(progress->processed_bytes, 0, task->total_bytes);
    show_progress(engine, run, job);
    gw_jobs_show(engine, job);
    if (now - run->noted_us < NOTE_US)
        return;
    run->noted_us = now;
    GwBatch *batch = gw_batch_new();
    gw_batch_put(batch, GW_KIND_JOB, job->id, gw_record_to_json(&gw_job_record, job));
    gw_engine_journal(engine, batch, NULL, NULL, NULL);
}
