/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/jobs_internal.h"

/* Which jobs that are over stay in the picture: it is copied with each change, and a controller
 * runs for months. The store has them all. */

#define FINAL_JOBS_KEPT 1000
#define FINAL_DRAINS_KEPT 100 /* by which VMs find back: nothing pushes them out but each other */
#define SLACK 250             /* so that not every end of a job looks at all of them */

static gboolean is_final(const GwJob *job)
{
    return gw_job_state_is_final((GwJobState)job->state);
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
        g_hash_table_add(needed, job->id);
        if (job->undoes != NULL)
            g_hash_table_add(needed, job->undoes);
    }
    return needed;
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

void gw_jobs_trim(GwEngine *engine)
{
    const GwFabric *now = gw_engine_now(engine);
    guint finished = 0, drains = 0;

    if (g_hash_table_size(now->jobs) <= MAX(engine->jobs_kept, FINAL_JOBS_KEPT) + SLACK)
        return;
    g_autoptr(GHashTable) needed = list_needed(now);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(now);
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
        if ((!fits || orphan) && !g_hash_table_contains(needed, job->id) &&
            (job->part_of == NULL || !g_hash_table_contains(needed, job->part_of)))
            gw_fabric_remove_job(fabric, job->id);
    }
    engine->jobs_kept = g_hash_table_size(fabric->jobs);
}
