/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/inventory.h"
#include "engine/jobs_internal.h"
#include "engine/records_internal.h"

#include <string.h>

/* Jobs that have a table, of whatever kind: what is under way, and the way between the pure tables
 * (job/) and the world. What one kind alone does is in its own files (moves.c, works.c). */

void gw_job_run_free(gpointer data)
{
    JobRun *run = data;
    run->kind->free(run);
}

JobRun *gw_jobs_find(GwEngine *engine, const char *job_id)
{
    return g_hash_table_lookup(engine->runs, job_id);
}

JobRun *gw_jobs_find_of(GwEngine *engine, const char *job_id, const JobKind *kind)
{
    JobRun *run = gw_jobs_find(engine, job_id);
    return run != NULL && run->kind == kind ? run : NULL;
}

void gw_jobs_add(GwEngine *engine, JobRun *run, const JobKind *kind, GwJob *job)
{
    run->kind = kind;
    run->job = job;
    g_hash_table_replace(engine->runs, job->id, run);
}

void gw_jobs_restore(GwEngine *engine, GwJob *job)
{
    if (g_strcmp0(job->kind, GW_JOB_KIND_MIGRATE) == 0)
        gw_moves_restore(engine, job);
    else if (gw_plans_is_kind(job->kind))
        gw_plans_restore(engine, job);
    else
        gw_works_restore(engine, job);
}

/* The VM's rows in lists name the job that has it: it is asked for anew. */
static void mark_vm(GwEngine *engine, const GwJob *job)
{
    const char *const hosts[] = { job->source_host_id, job->destination_host_id };

    for (guint i = 0; job->vm_uuid != NULL && i < G_N_ELEMENTS(hosts); i++)
        gw_inventory_ask_vm(engine, hosts[i], job->vm_uuid);
}

void gw_jobs_begin(GwEngine *engine, GwJob *job)
{
    gw_jobs_restore(engine, job);
    gw_jobs_show(engine, job);
    mark_vm(engine, job);
    engine->schedule = TRUE;
}

static int by_rank_and_age(gconstpointer a, gconstpointer b)
{
    const JobRun *left = *(JobRun *const *)a;
    const JobRun *right = *(JobRun *const *)b;

    if (left->kind->rank != right->kind->rank)
        return left->kind->rank < right->kind->rank ? -1 : 1;
    return strcmp(left->job->id, right->job->id);
}

GPtrArray *gw_jobs_list(GwEngine *engine)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter iter;
    gpointer run;

    g_hash_table_iter_init(&iter, engine->runs);
    while (g_hash_table_iter_next(&iter, NULL, &run))
        g_ptr_array_add(list, run);
    g_ptr_array_sort(list, by_rank_and_age);
    return list;
}

void gw_jobs_show(GwEngine *engine, const GwJob *job)
{
    gw_fabric_put_job(gw_engine_change(engine), gw_job_copy(job));
    gw_engine_tell(engine, "job", job->id, NULL);
}

gint64 gw_jobs_keep_source_s(GwEngine *engine, const GwJob *job)
{
    const GwHost *source = gw_fabric_host(gw_engine_now(engine), job->source_host_id);

    if (job->options->keep_source_s != 0)
        return MAX(job->options->keep_source_s, 0); /* -1: not at all */
    return source != NULL ? source->keep_source_s : 0;
}

/* Steps ------------------------------------------------------------------------------------ */

/* A step and its effects, which wait for the journal. */
typedef struct {
    char *job_id;
    GwBatch *batch; /* NULL once the journal has it */
    gint64 wall_us;
    GwLifeOutcome outcome;
    JobDecision decided;
    gboolean last; /* the job ends with it */
} Deferred;

static void deferred_free(Deferred *deferred)
{
    gw_batch_free(deferred->batch);
    g_free(deferred->job_id);
    g_free(deferred);
}

static void journaled(GwEngine *engine, gpointer data)
{
    Deferred *deferred = data;
    JobRun *run = gw_jobs_find(engine, deferred->job_id);

    for (guint i = 0; run != NULL && i < deferred->outcome.count; i++) {
        run->kind->carry_out(engine, run, deferred->outcome.effects[i], deferred->decided);
        run = gw_jobs_find(engine, deferred->job_id);
    }
    /* An earlier step may be stored when the job is over already: what ends it is still to come. */
    if (run != NULL && deferred->last)
        g_hash_table_remove(engine->runs, deferred->job_id);
    deferred_free(deferred);
}

static void put_step(GwEngine *engine, GwBatch *batch, const GwJob *job, gint64 wall_us)
{
    const GwJobStep *step = job->steps->pdata[job->steps->len - 1];

    if (job->state == (int)GW_JOB_DONE) {
        gw_kept_forget_live(engine, batch, job);
        gw_default_storage_add(engine, batch, job);
    }
    gw_batch_put(batch, GW_KIND_JOB, job->id, gw_record_to_json(&gw_job_record, job));
    gw_batch_journal(batch, job->id, wall_us, step->state, step->event, step->why);
}

static void journal_step(GwEngine *engine, gpointer data)
{
    Deferred *deferred = data;
    const JobRun *run = gw_jobs_find(engine, deferred->job_id);

    if (run == NULL) { /* the controller is stopping */
        if (!g_atomic_int_get(&engine->stopping))
            g_warning("job %s: a step is not stored, since the job is gone", deferred->job_id);
        deferred_free(deferred);
        return;
    }
    put_step(engine, deferred->batch, run->job, deferred->wall_us);
    gw_engine_journal(engine, g_steal_pointer(&deferred->batch), journaled, NULL, deferred);
}

/* R18: a job that adds to its host's default storage ends and adds in one commit. That comes after
 * a change of records that is being journaled; who dies before has the job's end still to come. */
static gboolean ends_in_turn(const GwJob *job)
{
    return job->state == (int)GW_JOB_DONE && gw_default_storage_is_wanted(job);
}

void gw_jobs_follow(GwEngine *engine, JobRun *run, const GwLifeOutcome *outcome, gint64 now_us,
                    gint64 wall_us)
{
    JobDecision decided = { .number = run->decisions, .at_us = now_us };
    const GwJob *job = run->job;
    GwBatch *batch = outcome->journal ? gw_batch_new() : NULL;

    if (batch != NULL && run->kind->record != NULL)
        run->kind->record(engine, run, batch);
    if (outcome->changed || outcome->journal)
        gw_jobs_show(engine, job);
    if (batch == NULL) {
        for (guint i = 0; i < outcome->count; i++)
            run->kind->carry_out(engine, run, outcome->effects[i], decided);
        return;
    }
    Deferred *deferred = g_new0(Deferred, 1);
    deferred->job_id = g_strdup(job->id);
    deferred->batch = batch;
    deferred->wall_us = wall_us;
    deferred->outcome = *outcome;
    deferred->decided = decided;
    deferred->last = gw_job_state_is_final((GwJobState)job->state);
    engine->schedule = TRUE;
    if (deferred->last)
        mark_vm(engine, job);
    if (ends_in_turn(job))
        gw_records_in_turn(engine, journal_step, deferred);
    else
        journal_step(engine, deferred);
}

/* Timers and news -------------------------------------------------------------------------- */

gint64 gw_jobs_next_us(GwEngine *engine)
{
    GHashTableIter iter;
    gpointer value;
    gint64 next = 0;

    g_hash_table_iter_init(&iter, engine->runs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const JobRun *run = value;
        next = gw_earlier(next, run->kind->next_us(run));
    }
    return next;
}

void gw_jobs_timers(GwEngine *engine, gint64 now_us)
{
    gint64 next = gw_jobs_next_us(engine);

    if (next == 0 || next > now_us)
        return;
    g_autoptr(GPtrArray) list = gw_jobs_list(engine);
    for (guint i = 0; i < list->len; i++) {
        JobRun *run = list->pdata[i];
        run->kind->timers(engine, run, now_us);
    }
}

void gw_jobs_host_back(GwEngine *engine, const char *host_id)
{
    g_autoptr(GPtrArray) list = gw_jobs_list(engine);

    for (guint i = 0; i < list->len; i++) {
        JobRun *run = list->pdata[i];
        if (g_strcmp0(run->job->source_host_id, host_id) == 0 ||
            g_strcmp0(run->job->destination_host_id, host_id) == 0)
            run->kind->host_back(engine, run);
    }
    engine->schedule = TRUE;
}

void gw_jobs_start_restored(GwEngine *engine)
{
    g_autoptr(GPtrArray) list = gw_jobs_list(engine);

    for (guint i = 0; i < list->len; i++) {
        JobRun *run = list->pdata[i];
        run->kind->restart(engine, run);
    }
}

const char *gw_jobs_nics_xml(GwEngine *engine, const GwJob *job)
{
    const GwJob *undone = job->undoes != NULL && gw_nic_moves_change(job->nics)
                              ? g_hash_table_lookup(gw_engine_now(engine)->jobs, job->undoes)
                              : NULL;

    return undone != NULL ? undone->saved_xml : NULL;
}
