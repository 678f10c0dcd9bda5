/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/reach.h"
#include "plan/shared.h"

/* What jobs that are under way still need of a pool. A share has its room once, through whichever
 * host and by whatever pool's name somebody copies to it. */

/* A pool of its destination to which a job copies. */
typedef struct {
    const GwJob *job;
    const char *pool;
    char *storage; /* what it is, however many hosts see it; NULL: the host's own */
} Promise;

static void promise_clear(gpointer data)
{
    g_free(((Promise *)data)->storage);
}

/* What the move of one disk still needs of @pool. What is copied already shows in the pool's own
 * free space, so only the rest counts. */
static gint64 promised_by(const GwJob *job, const GwDiskMove *move, const char *pool)
{
    const GwImageMove *top =
        move->images != NULL && move->images->len > 0 ? move->images->pdata[0] : NULL;

    if (top == NULL || top->to == NULL || g_strcmp0(top->to->pool, pool) != 0)
        return 0;
    gint64 percent = job->state >= (int)GW_JOB_COPYING && job->progress != NULL
                         ? CLAMP(job->progress->percent, 0, 100)
                         : 0;
    return CLAMP(move->need_bytes, 0, G_MAXINT64 / 1000000) * (100 - percent) / 100;
}

static gint64 promised_by_job(const GwJob *job, const char *pool, const char *job_id)
{
    gint64 sum = 0;

    if (gw_job_state_is_final((GwJobState)job->state) || gw_job_is_behind(job, job_id))
        return 0;
    for (guint i = 0; job->disks != NULL && i < job->disks->len; i++)
        sum += MIN(promised_by(job, job->disks->pdata[i], pool), G_MAXINT64 / 2 - sum);
    return sum;
}

static char *storage_of(const GwFabric *fabric, const char *host_id, const char *pool)
{
    const GwHost *host = gw_fabric_host(fabric, host_id);
    const GwPool *found =
        host != NULL ? gw_record_find(&gw_pool_record, gw_plan_facts(host)->pools, "name", pool)
                     : NULL;

    return found != NULL ? gw_share_id_of_pool(fabric, host, found) : NULL;
}

static gboolean is_there(const GArray *promises, guint first, const char *pool)
{
    for (guint i = first; i < promises->len; i++) {
        if (g_strcmp0(g_array_index(promises, Promise, i).pool, pool) == 0)
            return TRUE;
    }
    return FALSE;
}

static void add_promises(const GwFabric *fabric, const GwJob *job, GArray *promises)
{
    guint first = promises->len;

    for (guint i = 0; job->disks != NULL && i < job->disks->len; i++) {
        const GwDiskMove *move = job->disks->pdata[i];
        const GwImageMove *top =
            move->images != NULL && move->images->len > 0 ? move->images->pdata[0] : NULL;
        const char *pool = top != NULL && top->to != NULL ? top->to->pool : NULL;
        if (pool == NULL || move->need_bytes <= 0 || is_there(promises, first, pool))
            continue;
        Promise promise = { job, pool, storage_of(fabric, job->destination_host_id, pool) };
        g_array_append_val(promises, promise);
    }
}

static const GArray *promises_of(GwPlanShared *shared)
{
    const GPtrArray *jobs = gw_shared_jobs(shared);

    if (shared->promises != NULL)
        return shared->promises;
    shared->promises = g_array_new(FALSE, FALSE, sizeof(Promise));
    g_array_set_clear_func(shared->promises, promise_clear);
    for (guint i = 0; i < jobs->len; i++)
        add_promises(shared->fabric, jobs->pdata[i], shared->promises);
    return shared->promises;
}

static gint64 sum_up(GwPlanShared *shared, const char *host_id, const char *pool,
                     const char *job_id)
{
    const GArray *promises = promises_of(shared);
    gint64 sum = 0;

    if (promises->len == 0)
        return 0;
    g_autofree char *storage = storage_of(shared->fabric, host_id, pool);
    for (guint i = 0; i < promises->len; i++) {
        const Promise *promise = &g_array_index(promises, Promise, i);
        gboolean same = storage != NULL
                            ? g_strcmp0(promise->storage, storage) == 0
                            : g_strcmp0(promise->pool, pool) == 0 &&
                                  g_strcmp0(promise->job->destination_host_id, host_id) == 0;
        if (same)
            sum += MIN(promised_by_job(promise->job, promise->pool, job_id), G_MAXINT64 / 2 - sum);
    }
    return sum;
}

gint64 gw_plan_promised_bytes(const GwFabric *fabric, const char *host_id, const char *pool,
                              const char *job_id)
{
    g_autoptr(GwPlanShared) shared = gw_plan_shared_new(fabric);
    return sum_up(shared, host_id, pool, job_id);
}

gint64 gw_shared_promised_bytes(const GwPlanInput *input, const char *pool)
{
    return sum_up(input->shared, input->destination->id, pool, input->job_id);
}
