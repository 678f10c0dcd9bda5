/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/jobs_internal.h"

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
    GwJob *job;
    gboolean answers; /* somebody waits */
    JobAccepted over;
    gpointer user;
} Accepting;

static void accepting_free(gpointer data)
{
    Accepting *accepting = data;

    gw_job_free(accepting->job);
    g_free(accepting);
}

static void is_over(GwEngine *engine, const Accepting *accepting, const GwJob *job, gboolean stored)
{
    if (job->vm_uuid != NULL)
        g_hash_table_remove(engine->accepting, job->vm_uuid);
    if (accepting->over != NULL)
        accepting->over(engine, job, stored, accepting->user);
}

static gpointer accepted(GwEngine *engine, gpointer data)
{
    Accepting *accepting = data;
    GwJob *job = g_steal_pointer(&accepting->job);
    GwJob *answer = accepting->answers ? gw_job_copy(job) : NULL;

    gw_undo_show_link(engine, job);
    is_over(engine, accepting, job, TRUE);
    gw_jobs_begin(engine, job);
    return answer;
}

static void not_accepted(GwEngine *engine, gpointer data)
{
    Accepting *accepting = data;
    is_over(engine, accepting, accepting->job, FALSE);
}

static const CallCommit commit = {
    .what = "the job was not begun, since it",
    .done = accepted,
    .failed = not_accepted,
    .free = accepting_free,
};

void gw_jobs_accept(GwEngine *engine, Call *call, GwBatch *batch, GwJob *job, JobAccepted over,
                    gpointer user)
{
    Accepting *accepting = g_new0(Accepting, 1);

    accepting->job = job;
    accepting->answers = call != NULL;
    accepting->over = over;
    accepting->user = user;
    gw_batch_put(batch, GW_KIND_JOB, job->id, gw_record_to_json(&gw_job_record, job));
    gw_batch_journal(batch, job->id, job->wall_created_us, "queued", "accepted", job->title);
    gw_undo_put_link(engine, batch, job);
    gw_call_commit(engine, call, batch, &commit, accepting);
}
