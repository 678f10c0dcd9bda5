/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/inventory.h"
#include "engine/tasks_internal.h"
#include "plan/reach.h"

/* Removing a volume that somebody may use by now. Its host proves that none of its own VMs does,
 * and knows of no others; so where the storage is a share, each host that may reach it is asked
 * first (I4). No answer is never "unused"; nor is what a host had when it answered last, be that
 * stored or seen: it may have got that storage since. */

#define DELETE_TIMEOUT_US (120 * G_USEC_PER_SEC) /* a large file takes its time */
#define NAMED_MAX 3                              /* hosts that a message names */

/* Where the volume is; valid within this turn. */
typedef struct {
    const GwHost *host;
    const GwPool *pool; /* NULL: in none */
    char *share;        /* what identifies its storage on every host; NULL: it is the host's own */
} Place;

/* The pool that holds @volume; NULL: none does, or (where one is named) it is not known. */
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

    for (guint i = 0; share != NULL && pools != NULL && i < pools->len; i++) {
        g_autofree char *its = gw_share_id_of_pool(fabric, host, pools->pdata[i]);
        if (g_strcmp0(its, share) == 0)
            return pools->pdata[i];
    }
    return NULL;
}

static gboolean is_seen(const GwEngine *engine, const char *host_id)
{
    const HostRun *host = g_hash_table_lookup(engine->hosts, host_id);
    return host != NULL && host->seen;
}

static gboolean is_listed(const GwEngine *engine, const char *host_id)
{
    const HostRun *host = g_hash_table_lookup(engine->hosts, host_id);
    return host != NULL && host->listed;
}

static int by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Ids of all other hosts that reach it or may, because they do not say what they have by now. */
static GPtrArray *list_provers(GwEngine *engine, const Place *place)
{
    const GwFabric *fabric = gw_engine_now(engine);
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->hosts);
    while (place->share != NULL && g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwHost *host = value;
        if (host != place->host &&
            (!is_listed(engine, host->id) || pool_of_share(fabric, host, place->share) != NULL))
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

#define REMEDY "See to that host, or remove it from the fabric if it is gone; then try again."

static void say_unproved(GwEngine *engine, TaskRun *run, const GwHost *prover, gboolean reaches,
                         const char *why)
{
    g_autoptr(GError) error = NULL;

    gw_error_set(&error, GW_ERR_BUSY, REMEDY,
                 "whether a VM of '%s', which %s it too, uses it cannot be told: %s", prover->name,
                 reaches ? "reaches" : "may reach", why);
    gw_task_over(engine, run, error);
}

/* Whether it can be told who reaches @volume. A declared share that is not proved just now may be
 * one all the same: a member that was away while it was to be proved is enough for that. */
static gboolean can_be_told(const GwFabric *fabric, const Place *place, const GwVolume *volume,
                            GError **error)
{
    const GwHost *host = place->host;
    const GwPool *pool = place->pool;
    gboolean missing = pool == NULL && (host->facts == NULL || volume->pool != NULL);
    const GwShare *unproved = pool != NULL && place->share == NULL
                                  ? gw_share_common(fabric, FALSE, host, pool, host, pool)
                                  : NULL;

    if (missing)
        gw_error_set(error, GW_ERR_BUSY,
                     "Define and start that pool there, or remove the file by hand.",
                     "which other hosts reach it cannot be told: '%s' does not tell of a pool '%s'",
                     host->name, volume->pool != NULL ? volume->pool : "");
    else if (unproved != NULL)
        gw_error_set(error, GW_ERR_BUSY,
                     "Prove it: godwit share prove. Or remove the share, if it is none.",
                     "which other hosts reach it cannot be told: pool '%s' is in share '%s', which "
                     "is not proved",
                     pool->name, unproved->name);
    return !missing && unproved == NULL;
}

/* FALSE: it cannot be told who reaches it, and the task is over. */
static gboolean find_place(GwEngine *engine, TaskRun *run, Place *place)
{
    const GwFabric *fabric = gw_engine_now(engine);
    const GwVolume *volume = run->task->volume;
    g_autoptr(GError) error = NULL;

    place->host = gw_fabric_host(fabric, run->task->host_id);
    place->pool = place->host != NULL ? pool_of(place->host, volume) : NULL;
    place->share =
        place->pool != NULL ? gw_share_id_of_pool(fabric, place->host, place->pool) : NULL;
    if (place->host == NULL)
        gw_error_set(&error, GW_ERR_NOT_FOUND, "Add the host again, then repair the job.",
                     "the host is no longer managed");
    else if (can_be_told(fabric, place, volume, &error))
        return TRUE;
    gw_task_over(engine, run, error);
    return FALSE;
}

/* Refuses while one of them does not answer; the task is over then. */
static gboolean all_answer(GwEngine *engine, TaskRun *run, const Place *place)
{
    const GwHost *first = NULL;
    g_autoptr(GString) names = g_string_new(NULL);
    guint away = 0;

    for (guint i = run->proved; i < run->provers->len; i++) {
        const char *id = run->provers->pdata[i];
        const GwHost *prover = gw_fabric_host(gw_engine_now(engine), id);
        if (prover == NULL || is_listed(engine, id))
            continue;
        if (first == NULL)
            first = prover;
        else if (away < NAMED_MAX)
            g_string_append_printf(names, ", nor does '%s'", prover->name);
        away++;
    }
    if (away == 0)
        return TRUE;
    if (away > NAMED_MAX)
        g_string_append_printf(names, ", nor do %u more", away - NAMED_MAX);
    g_autofree char *why = g_strconcat(
        "it does not answer",
        is_seen(engine, first->id) ? "" : ", and has not been seen since this controller began",
        names->str, NULL);
    gboolean reaches = is_seen(engine, first->id) &&
                       pool_of_share(gw_engine_now(engine), first, place->share) != NULL;
    say_unproved(engine, run, first, reaches, why);
    return FALSE;
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
        say_unproved(engine, run, prover, TRUE, reply->error->message);
    }
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

/* Those that came while others were asked; TRUE: there are any. */
static gboolean add_newcomers(GwEngine *engine, TaskRun *run, const Place *place)
{
    g_autoptr(GPtrArray) all = list_provers(engine, place);
    guint before = run->provers->len;

    for (guint i = 0; i < all->len; i++) {
        if (!g_ptr_array_find_with_equal_func(run->provers, all->pdata[i], g_str_equal, NULL))
            g_ptr_array_add(run->provers, g_strdup(all->pdata[i]));
    }
    return run->provers->len > before;
}

/* Asks the next of them. FALSE: there is none; one that was removed from the fabric meanwhile, or
 * is listed and does not show the share, has nothing to say. */
static gboolean ask_one(GwEngine *engine, TaskRun *run, const Place *place)
{
    const GwFabric *fabric = gw_engine_now(engine);

    for (; run->proved < run->provers->len; run->proved++) {
        const GwHost *prover = gw_fabric_host(fabric, run->provers->pdata[run->proved]);
        const GwPool *pool = prover != NULL ? pool_of_share(fabric, prover, place->share) : NULL;
        if (pool == NULL)
            continue;
        GwRequest *request = gw_request_new(GW_OP_VOLUME_PROVE, prover->id, NULL);
        request->volume = as_seen(run->task->volume, place->pool, pool);
        gw_task_ask(engine, run, request, proved);
        return TRUE;
    }
    return FALSE;
}

static void ask_next(GwEngine *engine, TaskRun *run)
{
    Place place = { 0 };
    gboolean over = !find_place(engine, run, &place);
    gboolean all = FALSE;

    while (!over && !all) {
        over = !all_answer(engine, run, &place) || ask_one(engine, run, &place);
        all = !over && !add_newcomers(engine, run, &place);
    }
    g_free(place.share);
    if (all)
        delete_it(engine, run);
}

void gw_task_delete(GwEngine *engine, TaskRun *run)
{
    g_clear_pointer(&run->provers, g_ptr_array_unref);
    run->provers = g_ptr_array_new_with_free_func(g_free);
    run->proved = 0;
    ask_next(engine, run);
}
