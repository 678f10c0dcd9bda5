/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/jobs_internal.h"
#include "job/plan_job.h"

/* Which jobs that are over stay in the picture: it is copied with each change, and a controller
 * runs for months. The store has more of them, and not all either: it is read whole at each start,
 * and a drain of thousands of VMs is megabytes. */

#define FINAL_JOBS_KEPT 1000
#define FINAL_DRAINS_KEPT 100 /* by which VMs find back: nothing pushes them out but each other */
#define SLACK 250             /* so that not every end of a job looks at all of them */
#define REMOVED_AT_ONCE 500   /* from the store */

static gboolean is_final(const GwJob *job)
{
    return gw_job_state_is_final((GwJobState)job->state);
}

/* Where a plan's list is not complete any more, it names which of its moves it looks at. */
static void need(GHashTable *needed, const GwFabric *fabric, const char *id)
{
    const GwJob *job = g_hash_table_lookup(fabric->jobs, id);

    g_hash_table_add(needed, (gpointer)id);
    for (guint i = 0; job != NULL && gw_plan_job_may_be_trimmed(job) && i < job->plan->moves->len;
         i++) {
        const GwPlannedMove *move = job->plan->moves->pdata[i];
        if (move->job_id != NULL)
            g_hash_table_add(needed, move->job_id);
    }
}

/* Jobs that others look at: plans that go on, and what is being undone. Borrowed ids. */
static GHashTable *list_needed(const GwFabric *fabric)
{
    GHashTable *needed = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (is_final(job))
            continue;
        need(needed, fabric, job->id);
        if (job->undoes != NULL)
            need(needed, fabric, job->undoes);
    }
    return needed;
}

static gboolean is_needed(GHashTable *needed, const GwFabric *fabric, const GwJob *job)
{
    if (g_hash_table_contains(needed, job->id))
        return TRUE;
    if (job->part_of == NULL || !g_hash_table_contains(needed, job->part_of))
        return FALSE;
    const GwJob *plan = g_hash_table_lookup(fabric->jobs, job->part_of);
    return plan == NULL || job->state != (int)GW_JOB_DONE || !gw_plan_job_may_be_trimmed(plan);
}

/* Nobody has been told yet that it is over. */
static gboolean is_news(const GwEngine *engine, const GwJob *job)
{
    const GwJob *known =
        engine->published != NULL ? g_hash_table_lookup(engine->published->jobs, job->id) : NULL;
    return known != NULL && !is_final(known);
}

static gboolean is_drain(const GwJob *job)
{
    return g_strcmp0(job->kind, GW_JOB_KIND_DRAIN) == 0 ||
           g_strcmp0(job->kind, GW_JOB_KIND_UNDRAIN) == 0;
}

/* The last that ended first; of those that ended together, the last that began. */
static int by_end(gconstpointer pa, gconstpointer pb)
{
    const GwJob *a = *(GwJob *const *)pa, *b = *(GwJob *const *)pb;
    int ended = g_strcmp0(b->finished_at, a->finished_at);
    return ended != 0 ? ended : g_strcmp0(b->id, a->id);
}

/* In the store ---------------------------------------------------------------------------------
 */

static void removed(GwEngine *engine, gpointer data)
{
    (void)engine;
    g_ptr_array_unref(data);
}

/* They are still there, and still the first to go. */
static void not_removed(GwEngine *engine, gpointer data)
{
    g_autoptr(GPtrArray) ids = data;

    for (guint i = ids->len; i > 0; i--)
        g_queue_push_head(engine->jobs_stored, g_strdup(ids->pdata[i - 1]));
}

static void remove_some(GwEngine *engine, guint count)
{
    GPtrArray *ids = g_ptr_array_new_with_free_func(g_free);
    GwBatch *batch = gw_batch_new();

    for (guint i = 0; i < count; i++) {
        char *id = g_queue_pop_head(engine->jobs_stored);
        gw_batch_remove(batch, GW_KIND_JOB, id); /* its journal goes with it */
        g_ptr_array_add(ids, id);
    }
    gw_engine_journal(engine, batch, removed, not_removed, ids);
}

/* @forgotten: ids, the last to end first. Nothing in the picture looks at them any more. */
static void keep_in_store(GwEngine *engine, const GPtrArray *forgotten)
{
    for (guint i = forgotten->len; i > 0; i--)
        g_queue_push_tail(engine->jobs_stored, g_strdup(forgotten->pdata[i - 1]));
    guint len = g_queue_get_length(engine->jobs_stored);
    for (guint over = len > engine->jobs_stored_max ? len - engine->jobs_stored_max : 0;
         over > 0;) {
        guint count = MIN(over, REMOVED_AT_ONCE);
        remove_some(engine, count);
        over -= count;
    }
}

/* In the picture -------------------------------------------------------------------------------
 */

void gw_jobs_trim(GwEngine *engine)
{
    const GwFabric *now = gw_engine_now(engine);
    guint finished = 0, drains = 0;

    if (g_hash_table_size(now->jobs) <= MAX(engine->jobs_kept, FINAL_JOBS_KEPT) + SLACK)
        return;
    g_autoptr(GHashTable) needed = list_needed(now);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(now);
    g_autoptr(GPtrArray) forgotten = g_ptr_array_new_with_free_func(g_free);
    GwFabric *fabric = gw_engine_change(engine);

    g_ptr_array_sort(jobs, by_end);
    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        if (!is_final(job) || is_news(engine, job))
            continue;
        /* A plan ended after its moves, and without it they would seem to be made by hand. */
        gboolean orphan =
            job->part_of != NULL && g_hash_table_lookup(fabric->jobs, job->part_of) == NULL;
        gboolean fits =
            is_drain(job) ? ++drains <= FINAL_DRAINS_KEPT : ++finished <= FINAL_JOBS_KEPT;
        if ((fits && !orphan) || is_needed(needed, fabric, job))
            continue;
        g_ptr_array_add(forgotten, g_strdup(job->id));
        gw_fabric_remove_job(fabric, job->id);
    }
    engine->jobs_kept = g_hash_table_size(fabric->jobs);
    keep_in_store(engine, forgotten);
}
