/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "hyper/libvirt_storage.h"

/* Copies: which are under way, and what becomes of them. Each has a thread and connections of its
 * own, like a migration, and is known by its id. */

#define EARLIER_PATIENCE_US (10 * G_TIME_SPAN_SECOND)

/* The copy called @id that is under way at @host, or NULL; needs the lock. */
static GwLvTask *find_copy(GwLvHost *host, const char *id)
{
    for (guint i = 0; id != NULL && i < host->running->len; i++) {
        GwLvTask *task = host->running->pdata[i];
        if (task->request->op == GW_OP_VOLUME_COPY && task->request->copy != NULL &&
            g_strcmp0(task->request->copy->id, id) == 0)
            return task;
    }
    return NULL;
}

/* Another task that writes the same copy; needs the lock. */
static GwLvTask *find_earlier(GwLvTask *task)
{
    GPtrArray *running = task->host->running;

    for (guint i = 0; i < running->len; i++) {
        GwLvTask *other = running->pdata[i];
        if (other != task && other->request->op == GW_OP_VOLUME_COPY && other->writes &&
            other->request->copy != NULL &&
            g_strcmp0(other->request->copy->id, task->request->copy->id) == 0)
            return other;
    }
    return NULL;
}

/* Two of one copy would write into each other's file. One that nobody waits for any more ends as
 * soon as it sees that. */
static gboolean claim(GwLvTask *task, GError **error)
{
    gint64 until = g_get_monotonic_time() + EARLIER_PATIENCE_US;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&task->driver->lock);

    for (GwLvTask *other = find_earlier(task); other != NULL; other = find_earlier(task)) {
        if (other->answered &&
            g_cond_wait_until(&task->driver->changed, &task->driver->lock, until))
            continue;
        gw_error_set(error, GW_ERR_CONFLICT, "Wait for it, or abort it.",
                     "the same copy is under way already");
        return FALSE;
    }
    task->writes = TRUE;
    return TRUE;
}

gboolean gw_lv_copy_wanted(GwLvTask *task, GError **error)
{
    g_mutex_lock(&task->driver->lock);
    gboolean wanted = !task->answered && !task->cancelled && !task->driver->closing;
    g_mutex_unlock(&task->driver->lock);

    if (!wanted)
        gw_error_set(error, GW_ERR_CANCELLED, NULL, "the copy was aborted");
    return wanted;
}

gboolean gw_lv_op_copy_abort(GwLvTask *task, GwReply *reply, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&task->driver->lock);
    GwLvTask *copy = find_copy(task->host, task->request->text);

    if (copy != NULL)
        copy->cancelled = TRUE;
    return TRUE;
}

gboolean gw_lv_op_copy_progress(GwLvTask *task, GwReply *reply, GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&task->driver->lock);
    GwLvTask *copy = find_copy(task->host, task->request->text);

    if (copy == NULL || copy->answered)
        return TRUE;
    reply->progress = copy->copied != NULL ? gw_progress_copy(copy->copied) : gw_progress_new();
    if (copy->copied == NULL)
        reply->progress->phase = g_strdup(copy->began ? "copying" : "waiting");
    return TRUE;
}

static gboolean check_copy(const GwLvTask *task, const GwCopy *copy, GError **error)
{
    if (copy == NULL || copy->id == NULL || copy->from == NULL || copy->to == NULL ||
        copy->from_host_id == NULL || g_strcmp0(copy->to_host_id, task->host->id) != 0) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "not said what to copy, from where, or where to");
        return FALSE;
    }
    if (copy->permit == NULL)
        return TRUE;
    gw_error_set(error, GW_ERR_UNSUPPORTED, GW_HYPER_NO_AGENT_REMEDY, "this host has no agent");
    return FALSE;
}

gboolean gw_lv_op_volume_copy(GwLvTask *task, GwReply *reply, GError **error)
{
    const GwCopy *copy = task->request->copy;
    g_autoptr(GwCopyResult) result = gw_copy_result_new();

    if (!check_copy(task, copy, error) || !claim(task, error))
        return FALSE;
    gboolean here = copy->how == GW_DISK_FAST_COPY || copy->how == GW_DISK_CONVERT;
    if (!(here ? gw_lv_copy_local(task, copy, result, error)
               : gw_lv_copy_through(task, copy, result, error)))
        return FALSE;
    reply->copied = g_steal_pointer(&result);
    return TRUE;
}
