/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/engine_internal.h"

/* Jobs that are nothing but tasks: the queue, the timers, and the way between the pure table
 * (job/work) and the world. What such a job wants done is in work_effects.c. */

#define MERGE_LOOK_US (3 * G_USEC_PER_SEC)

void gw_work_run_free(gpointer data)
{
    WorkRun *run = data;

    gw_work_free(run->work);
    g_clear_error(&run->disturbed);
    g_clear_error(&run->refusal);
    g_free(run);
}

static void show_job(GwEngine *engine, const GwJob *job)
{
    gw_fabric_put_job(gw_engine_change(engine), gw_job_copy(job));
    gw_engine_tell(engine, "job", job->id, NULL);
}

static void mark_vm(GwEngine *engine, const GwJob *job)
{
    const char *const hosts[] = { job->source_host_id, job->destination_host_id };

    for (guint i = 0; job->vm_uuid != NULL && i < G_N_ELEMENTS(hosts); i++)
        gw_inventory_ask_vm(engine, hosts[i], job->vm_uuid);
}

/* Steps ------------------------------------------------------------------------------------ */

typedef struct {
    char *job_id;
    GwWorkOutcome outcome;
} Deferred;

static void journaled(GwEngine *engine, gpointer data)
{
    Deferred *deferred = data;
    WorkRun *run = g_hash_table_lookup(engine->works, deferred->job_id);

    for (guint i = 0; run != NULL && i < deferred->outcome.count; i++) {
        gw_works_carry_out(engine, run, deferred->outcome.effects[i]);
        run = g_hash_table_lookup(engine->works, deferred->job_id);
    }
    if (run != NULL && gw_job_state_is_final((GwJobState)run->work->job->state))
        g_hash_table_remove(engine->works, deferred->job_id);
    g_free(deferred->job_id);
    g_free(deferred);
}

static GwBatch *job_batch(GwEngine *engine, const GwJob *job, gint64 wall_us)
{
    GwBatch *batch = gw_batch_new();
    const GwJobStep *step = job->steps->pdata[job->steps->len - 1];

    if (job->state == (int)GW_JOB_DONE && job->disks != NULL) {
        gw_kept_forget_live(engine, batch, job);
        gw_default_storage_add(engine, batch, job);
    }
    gw_batch_put(batch, GW_KIND_JOB, job->id, gw_record_to_json(&gw_job_record, job));
    gw_batch_journal(batch, job->id, wall_us, step->state, step->event, step->why);
    return batch;
}

gboolean gw_works_step(GwEngine *engine, WorkRun *run, GwWorkEvent event, GError **error)
{
    GwJob *job = run->work->job;
    GwWorkOutcome outcome;

    event.now_us = gw_clock_now_us(engine->clock);
    event.wall_us = gw_clock_wall_us(engine->clock);
    if (!gw_work_step(run->work, &event, &outcome, error))
        return FALSE;
    if (outcome.changed)
        show_job(engine, job);
    if (outcome.journal) {
        Deferred *deferred = g_new0(Deferred, 1);
        deferred->job_id = g_strdup(job->id);
        deferred->outcome = outcome;
        engine->schedule = TRUE;
        if (gw_job_state_is_final((GwJobState)job->state))
            mark_vm(engine, job);
        gw_engine_journal(engine, job_batch(engine, job, event.wall_us), journaled, NULL, deferred);
        return TRUE;
    }
    for (guint i = 0; i < outcome.count; i++)
        gw_works_carry_out(engine, run, outcome.effects[i]);
    return TRUE;
}

static void step_kind(GwEngine *engine, WorkRun *run, GwWorkEventKind kind)
{
    g_autoptr(GError) late = NULL;
    if (!gw_works_step(engine, run, (GwWorkEvent){ .kind = kind }, &late))
        g_debug("job %s: %s", run->work->job->id, late->message);
}

/* The queue -------------------------------------------------------------------------------- */

static void show_waiting(GwEngine *engine, WorkRun *run, char *why)
{
    GwJob *job = run->work->job;

    if (g_strcmp0(job->waiting_for, why) == 0) {
        g_free(why);
        return;
    }
    g_free(job->waiting_for);
    job->waiting_for = why;
    show_job(engine, job);
}

static int by_age(gconstpointer a, gconstpointer b)
{
    const WorkRun *left = *(WorkRun *const *)a;
    const WorkRun *right = *(WorkRun *const *)b;
    return strcmp(left->work->job->id, right->work->job->id);
}

static GPtrArray *runs(GwEngine *engine)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter iter;
    gpointer run;

    g_hash_table_iter_init(&iter, engine->works);
    while (g_hash_table_iter_next(&iter, NULL, &run))
        g_ptr_array_add(list, run);
    g_ptr_array_sort(list, by_age);
    return list;
}

static gboolean hosts_ready(GwEngine *engine, const GwJob *job, char **why)
{
    const char *const hosts[] = { job->source_host_id, job->destination_host_id };

    for (guint i = 0; i < G_N_ELEMENTS(hosts); i++) {
        const GwHost *host = gw_fabric_host(gw_engine_now(engine), hosts[i]);
        const HostRun *run = hosts[i] != NULL ? g_hash_table_lookup(engine->hosts, hosts[i]) : NULL;
        if (host != NULL && run != NULL && !run->listed) {
            *why = g_strdup_printf("host '%s' to answer", host->name);
            return FALSE;
        }
    }
    return TRUE;
}

/* R31. */
static gboolean waits_for_merge(GwEngine *engine, WorkRun *run, char **why)
{
    const GwJob *job = run->work->job;
    gboolean waits = job->options != NULL && job->options->wait_for_merge && job->vm_uuid != NULL;
    const GwVm *vm =
        waits ? gw_fabric_vm(gw_engine_now(engine), job->source_host_id, job->vm_uuid) : NULL;

    run->merge_us = 0;
    if (vm == NULL || !gw_moves_is_merging(vm))
        return FALSE;
    run->merge_us = gw_clock_now_us(engine->clock) + MERGE_LOOK_US;
    *why = gw_moves_merge_words(vm, -1);
    return TRUE;
}

void gw_works_schedule(GwEngine *engine)
{
    g_autoptr(GPtrArray) list = runs(engine);

    for (guint i = 0; i < list->len; i++) {
        WorkRun *run = list->pdata[i];
        char *why = NULL;
        if (run->work->job->state != (int)GW_JOB_QUEUED)
            continue;
        if (hosts_ready(engine, run->work->job, &why) && !waits_for_merge(engine, run, &why) &&
            gw_slots_fit(gw_engine_now(engine), run->work->job, &why))
            step_kind(engine, run, GW_WORK_SLOTS);
        else
            show_waiting(engine, run, why);
    }
}

/* News ------------------------------------------------------------------------------------- */

void gw_works_host_back(GwEngine *engine, const char *host_id)
{
    g_autoptr(GPtrArray) list = runs(engine);

    for (guint i = 0; i < list->len; i++) {
        WorkRun *run = list->pdata[i];
        const GwJob *job = run->work->job;
        if (run->look_us != 0 && (g_strcmp0(job->source_host_id, host_id) == 0 ||
                                  g_strcmp0(job->destination_host_id, host_id) == 0))
            gw_works_look(engine, run);
    }
    engine->schedule = TRUE;
}

/* Whether the VM must not run while the job copies. */
static gboolean needs_it_off(const GwJob *job)
{
    if (g_strcmp0(job->kind, GW_JOB_KIND_TRANSFER) == 0)
        return TRUE;
    if (g_strcmp0(job->kind, GW_JOB_KIND_STORAGE) != 0)
        return FALSE;
    for (guint i = 0; job->tasks != NULL && i < job->tasks->len; i++) {
        if (((const GwTask *)job->tasks->pdata[i])->kind == (int)GW_TASK_BLOCK_COPY)
            return FALSE;
    }
    return TRUE;
}

void gw_works_lifecycle(GwEngine *engine, const GwHyperEvent *event)
{
    const GwJob *job = gw_fabric_job_of_vm(gw_engine_now(engine), event->vm_uuid);
    WorkRun *run = job != NULL ? g_hash_table_lookup(engine->works, job->id) : NULL;

    if (run != NULL && g_strcmp0(event->text, "started") == 0 && needs_it_off(run->work->job))
        step_kind(engine, run, GW_WORK_STARTED);
}

static gint64 due_us(const WorkRun *run)
{
    const gint64 times[] = { gw_work_next_us(run->work), run->look_us, run->merge_us };
    gint64 due = 0;

    for (guint i = 0; i < G_N_ELEMENTS(times); i++) {
        if (times[i] != 0 && (due == 0 || times[i] < due))
            due = times[i];
    }
    return due;
}

gint64 gw_works_next_us(GwEngine *engine)
{
    GHashTableIter iter;
    gpointer value;
    gint64 next = 0;

    g_hash_table_iter_init(&iter, engine->works);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        gint64 due = due_us(value);
        if (due != 0 && (next == 0 || due < next))
            next = due;
    }
    return next;
}

static void run_timers(GwEngine *engine, WorkRun *run, gint64 now_us)
{
    GwWorkEventKind kind;

    if (run->merge_us != 0 && run->merge_us <= now_us) {
        run->merge_us = 0;
        gw_inventory_ask_vm(engine, run->work->job->source_host_id, run->work->job->vm_uuid);
        engine->schedule = TRUE;
    }
    if (run->look_us != 0 && run->look_us <= now_us)
        gw_works_look(engine, run);
    if (gw_work_due(run->work, now_us, &kind)) {
        if (kind == GW_WORK_TIMER)
            run->work->times.wake_us = 0;
        step_kind(engine, run, kind);
    }
}

void gw_works_timers(GwEngine *engine, gint64 now_us)
{
    gint64 next = gw_works_next_us(engine);

    if (next == 0 || next > now_us)
        return;
    g_autoptr(GPtrArray) list = runs(engine);
    for (guint i = 0; i < list->len; i++)
        run_timers(engine, list->pdata[i], now_us);
}

/* Restart ---------------------------------------------------------------------------------- */

void gw_works_restore(GwEngine *engine, GwJob *job)
{
    WorkRun *run = g_new0(WorkRun, 1);

    run->work = gw_work_new(job, gw_clock_now_us(engine->clock));
    g_hash_table_replace(engine->works, job->id, run);
}

void gw_works_start_restored(GwEngine *engine)
{
    g_autoptr(GPtrArray) list = runs(engine);

    for (guint i = 0; i < list->len; i++)
        step_kind(engine, list->pdata[i], GW_WORK_RESTART);
}

/* Calls ------------------------------------------------------------------------------------ */

void gw_works_add(GwEngine *engine, GwJob *job)
{
    gw_works_restore(engine, job);
    show_job(engine, job);
    mark_vm(engine, job);
    engine->schedule = TRUE;
}

GwJob *gw_works_event(GwEngine *engine, const char *job_id, GwWorkEventKind kind,
                      const GwJobChange *change, GError **error)
{
    WorkRun *run = g_hash_table_lookup(engine->works, job_id);
    GwJob *job = run->work->job;

    if (change != NULL && change->bandwidth_mibps >= 0 && job->options != NULL &&
        job->state == (int)GW_JOB_COPYING)
        job->options->bandwidth_mibps = change->bandwidth_mibps;
    if (!gw_works_step(engine, run, (GwWorkEvent){ .kind = kind }, error))
        return NULL;
    return gw_job_copy(job);
}
