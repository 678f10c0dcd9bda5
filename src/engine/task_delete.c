/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/tasks_internal.h"
#include "plan/reach.h"

/* Removing a volume that somebody may use by now. Its host proves that none of its own VMs does,
 * and knows of no others; so where the storage is a share, each host that reaches it is asked
 * first (I4). No answer is never "unused". */

#define DELETE_TIMEOUT_US (120 * G_USEC_PER_SEC) /* a large file takes its time */

static const GwPool *pool_of(const GwHost *host, const GwVolume *volume)
{
    const GPtrArray *pools = host->facts != NULL ? host->facts->pools : NULL;

    if (volume->pool == NULL)
        return gw_share_pool_of_path(host, volume->path);
    return pools != NULL ? gw_record_find(&gw_pool_record, pools, "name", volume->pool) : NULL;
}

/* The pool of @host that shows the storage known as @share; NULL: none does. */
static const GwPool *pool_of_share(const GwFabric *fabric, const GwHost *host, const char *share)
{
    const GPtrArray *pools = host->facts != NULL ? host->facts->pools : NULL;

    for (guint i = 0; pools != NULL && i < pools->len; i++) {
        g_autofree char *its = gw_share_id_of_pool(fabric, host, pools->pdata[i]);
        if (g_strcmp0(its, share) == 0)
            return pools->pdata[i];
    }
    return NULL;
}

/* What identifies the storage of @volume on every host; NULL: it is its host's own, as far as can
 * be told. */
static char *share_of(const GwFabric *fabric, const GwHost *host, const GwVolume *volume)
{
    const GwPool *pool = pool_of(host, volume);
    return pool != NULL ? gw_share_id_of_pool(fabric, host, pool) : NULL;
}

static int by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Host ids; the task's own is not among them. */
static GPtrArray *list_provers(const GwFabric *fabric, const GwTask *task)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    const GwHost *own = gw_fabric_host(fabric, task->host_id);
    g_autofree char *share = own != NULL ? share_of(fabric, own, task->volume) : NULL;
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->hosts);
    while (share != NULL && g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwHost *host = value;
        if (host != own && pool_of_share(fabric, host, share) != NULL)
            g_ptr_array_add(list, g_strdup(host->id));
    }
    g_ptr_array_sort(list, by_text);
    return list;
}

/* Where it is below @root; NULL: it is not. */
static const char *below(const char *path, const char *root)
{
    gsize length = root != NULL ? strlen(root) : 0;

    while (length > 0 && root[length - 1] == '/')
        length--;
    return length > 0 && path != NULL && strncmp(path, root, length) == 0 && path[length] == '/'
               ? path + length + 1
               : NULL;
}

/* @volume of @own as the pool @pool of another host shows it. */
static GwVolume *as_seen(const GwVolume *volume, const GwPool *own, const GwPool *pool)
{
    GwVolume *seen = gw_volume_new();
    const char *rest = below(volume->path, own->target_path);

    seen->pool = g_strdup(pool->name);
    seen->name = g_strdup(volume->name);
    seen->path = rest != NULL && pool->target_path != NULL
                     ? g_build_filename(pool->target_path, rest, NULL)
                     : g_strdup(volume->path);
    seen->server = g_strdup(volume->server);
    seen->format = g_strdup(volume->format);
    return seen;
}

static void ask_next(GwEngine *engine, TaskRun *run);

static void say_unproved(GwEngine *engine, TaskRun *run, const GwHost *prover, const char *why)
{
    g_autoptr(GError) error = NULL;

    gw_error_set(&error, GW_ERR_BUSY,
                 "See to that host, or remove it from the fabric if it is gone; then try again.",
                 "whether a VM of '%s', which reaches it too, uses it cannot be told: %s",
                 prover->name, why);
    gw_task_over(engine, run, error);
}

static void proved(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    const char *id = run->provers->pdata[run->proved];
    const GwHost *prover = gw_fabric_host(gw_engine_now(engine), id);
    gboolean used = g_error_matches(reply->error, GW_ERROR, GW_ERR_CONFLICT);

    if (reply->error == NULL || prover == NULL) {
        run->proved++;
        ask_next(engine, run);
    } else if (used) {
        g_autoptr(GError) error = NULL;
        gw_error_set(&error, GW_ERR_CONFLICT, gw_error_remedy(reply->error), "on '%s', %s",
                     prover->name, reply->error->message);
        gw_task_over(engine, run, error);
    } else {
        say_unproved(engine, run, prover, reply->error->message);
    }
}

static GwRequest *question(GwEngine *engine, const TaskRun *run, const GwHost *prover)
{
    const GwFabric *fabric = gw_engine_now(engine);
    const GwTask *task = run->task;
    const GwHost *own = gw_fabric_host(fabric, task->host_id);
    g_autofree char *share = own != NULL ? share_of(fabric, own, task->volume) : NULL;
    const GwPool *pool = share != NULL ? pool_of_share(fabric, prover, share) : NULL;

    if (pool == NULL)
        return NULL;
    GwRequest *request = gw_request_new(GW_OP_VOLUME_PROVE, prover->id, NULL);
    request->volume = as_seen(task->volume, pool_of(own, task->volume), pool);
    return request;
}

static void deleted(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    gw_task_over(engine, run, reply->error);
}

static void delete_it(GwEngine *engine, TaskRun *run)
{
    const GwTask *task = run->task;
    GwRequest *request = gw_request_new(GW_OP_VOLUME_DELETE, task->host_id,
                                        gw_tasks_job(engine, run->job_id)->vm_uuid);

    request->volume = gw_volume_copy(task->volume);
    request->timeout_us = DELETE_TIMEOUT_US;
    gw_task_ask(engine, run, request, deleted);
}

/* A host that went meanwhile, or shows the share no more, has nothing to say. */
static void ask_next(GwEngine *engine, TaskRun *run)
{
    for (; run->proved < run->provers->len; run->proved++) {
        const char *id = run->provers->pdata[run->proved];
        const GwHost *prover = gw_fabric_host(gw_engine_now(engine), id);
        const HostRun *host = g_hash_table_lookup(engine->hosts, id);
        GwRequest *request = prover != NULL ? question(engine, run, prover) : NULL;
        if (request == NULL)
            continue;
        if (host != NULL && host->listed) {
            gw_task_ask(engine, run, request, proved);
            return;
        }
        gw_request_free(request);
        say_unproved(engine, run, prover, "it does not answer");
        return;
    }
    delete_it(engine, run);
}

void gw_task_delete(GwEngine *engine, TaskRun *run)
{
    g_clear_pointer(&run->provers, g_ptr_array_unref);
    run->provers = list_provers(gw_engine_now(engine), run->task);
    run->proved = 0;
    ask_next(engine, run);
}
