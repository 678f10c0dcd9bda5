/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/jobs_internal.h"
#include "engine/records_internal.h"

/* New jobs: each is journaled before anybody sees it, and then begun. */

GwJob *gw_jobs_new(GwEngine *engine, const char *kind, const char *user)
{
    GwJob *job = gw_job_new();

    job->id = gw_engine_new_id(engine);
    job->kind = g_strdup(kind);
    job->state = GW_JOB_QUEUED;
    job->user = g_strdup(user);
    job->created_at = gw_engine_rfc3339(engine);
    job->wall_created_us = gw_clock_wall_us(engine->clock);
    return job;
}

typedef struct {
    Call *call; /* NULL: nobody waits */
    GwBatch *batch;
    GwJob *job;
    guint hosts; /* how many of its hosts were managed when it was asked for */
    JobAccepted over;
    gpointer user;
} Accepting;

static void accepting_free(gpointer data)
{
    Accepting *accepting = data;

    gw_batch_free(accepting->batch);
    gw_job_free(accepting->job);
    g_free(accepting);
}

static void is_over(GwEngine *engine, const Accepting *accepting, const GwJob *job,
                    const GError *error)
{
    if (job->vm_uuid != NULL)
        g_hash_table_remove(engine->accepting, job->vm_uuid);
    if (accepting->over != NULL)
        accepting->over(engine, job, error, accepting->user);
}

/* Hosts ------------------------------------------------------------------------------------ */

/* Those that a plan was asked for, as a drain is; NULL: none. */
static const char *const *asked_hosts(const GwJob *job)
{
    return job->plan != NULL && job->plan->request != NULL
               ? (const char *const *)job->plan->request->hosts
               : NULL;
}

static guint managed_hosts(GwEngine *engine, const GwJob *job)
{
    const GwFabric *now = gw_engine_now(engine);
    const char *const *asked = asked_hosts(job);
    guint count = (gw_fabric_host(now, job->source_host_id) != NULL) +
                  (gw_fabric_host(now, job->destination_host_id) != NULL);

    for (guint i = 0; asked != NULL && asked[i] != NULL; i++)
        count += gw_fabric_host(now, asked[i]) != NULL;
    return count;
}

static gboolean is_for(const GwJob *job, const char *host_id)
{
    const char *const *asked = asked_hosts(job);

    return g_strcmp0(job->source_host_id, host_id) == 0 ||
           g_strcmp0(job->destination_host_id, host_id) == 0 ||
           (asked != NULL && g_strv_contains(asked, host_id));
}

const GwJob *gw_jobs_coming_for(const GwEngine *engine, const char *host_id)
{
    for (guint i = 0; i < engine->coming->len; i++) {
        if (is_for(engine->coming->pdata[i], host_id))
            return engine->coming->pdata[i];
    }
    return NULL;
}

/* Being stored ----------------------------------------------------------------------------- */

static gpointer accepted(GwEngine *engine, gpointer data)
{
    Accepting *accepting = data;
    GwJob *job = g_steal_pointer(&accepting->job);
    GwJob *answer = accepting->call != NULL ? gw_job_copy(job) : NULL;

    g_ptr_array_remove(engine->coming, job);
    gw_undo_show_link(engine, job);
    is_over(engine, accepting, job, NULL);
    gw_jobs_begin(engine, job);
    return answer;
}

static void not_accepted(GwEngine *engine, gpointer data);

static const CallCommit commit = {
    .what = "the job was not begun, since it",
    .done = accepted,
    .failed = not_accepted,
    .free = accepting_free,
};

static void not_accepted(GwEngine *engine, gpointer data)
{
    Accepting *accepting = data;
    g_autoptr(GError) error = gw_engine_store_error(engine, commit.what);

    g_ptr_array_remove(engine->coming, accepting->job);
    is_over(engine, accepting, accepting->job, error);
}

static void refuse(GwEngine *engine, Accepting *accepting, GError *error)
{
    is_over(engine, accepting, accepting->job, error);
    if (accepting->call != NULL)
        gw_engine_answer(accepting->call, NULL, error);
    else
        g_error_free(error);
    accepting_free(accepting);
}

static void store(GwEngine *engine, gpointer data)
{
    Accepting *accepting = data;
    const GwJob *job = accepting->job;
    GwBatch *batch = accepting->batch;

    if (managed_hosts(engine, job) < accepting->hosts) {
        GError *error = NULL;
        gw_error_set(&error, GW_ERR_NOT_FOUND, "List them: godwit host list.",
                     "a host of the job '%s' was removed just now", job->title);
        refuse(engine, accepting, error);
        return;
    }
    gw_batch_put(batch, GW_KIND_JOB, job->id, gw_record_to_json(&gw_job_record, job));
    gw_batch_journal(batch, job->id, job->wall_created_us, "queued", "accepted", job->title);
    gw_undo_put_link(engine, batch, job);
    g_ptr_array_add(engine->coming, accepting->job);
    gw_call_commit(engine, accepting->call, g_steal_pointer(&accepting->batch), &commit, accepting);
}

/* Behind another URI may be another machine. A change of a host that is being journaled is waited
 * for: the job is judged on fresh facts when it begins, which it does not before that host answers.
 * A change that comes later finds the job (gw_jobs_coming_for), and is refused. */
void gw_jobs_accept(GwEngine *engine, Call *call, GwBatch *batch, GwJob *job, JobAccepted over,
                    gpointer user)
{
    Accepting *accepting = g_new0(Accepting, 1);

    accepting->call = call;
    accepting->batch = batch;
    accepting->job = job;
    accepting->hosts = managed_hosts(engine, job);
    accepting->over = over;
    accepting->user = user;
    gw_records_in_turn(engine, store, accepting);
}
