/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "hyper/libvirt_storage.h"

/* The libvirt driver: who calls what, when, and who is answered. Requests wait in their host's
 * queue, are handed to workers, a few at a time for each host, and are answered once: by the
 * worker, by the sweep when their time is over, or when the host's connection is lost. A libvirt
 * call cannot be interrupted, so a worker may come back later than its answer; then what it brings
 * is dropped. */

#define CLOSE_PATIENCE_US (5 * G_TIME_SPAN_SECOND)

/* libvirt alone cannot do these. */
static gboolean needs_agent(GwLvTask *task, GwReply *reply, GError **error)
{
    gw_error_set(error, GW_ERR_UNSUPPORTED, GW_HYPER_NO_AGENT_REMEDY, "this host has no agent");
    return FALSE;
}

static const GwLvOp ops[GW_OP_COUNT] = {
    [GW_OP_CONNECT] = { gw_lv_op_connect, GW_LV_OWN },
    [GW_OP_DISCONNECT] = { gw_lv_op_disconnect, GW_LV_OWN },
    [GW_OP_FACTS] = { gw_lv_op_facts, GW_LV_CONTROL },
    [GW_OP_LIST_VMS] = { gw_lv_op_list, GW_LV_CONTROL },
    [GW_OP_GET_VM] = { gw_lv_op_get, GW_LV_CONTROL },
    [GW_OP_USAGE] = { gw_lv_op_usage, GW_LV_CONTROL },
    [GW_OP_DIRTY_START] = { gw_lv_op_dirty_start, GW_LV_CONTROL },
    [GW_OP_DIRTY_READ] = { gw_lv_op_dirty_read, GW_LV_CONTROL },
    [GW_OP_GET_XML] = { gw_lv_op_xml, GW_LV_CONTROL },
    [GW_OP_LOOK] = { gw_lv_op_look, GW_LV_CONTROL },
    [GW_OP_CPU_COMPARE] = { gw_lv_op_cpu_compare, GW_LV_CONTROL },
    [GW_OP_CPU_BASELINE] = { gw_lv_op_cpu_baseline, GW_LV_CONTROL },
    [GW_OP_MIGRATE] = { gw_lv_op_migrate, GW_LV_OWN },
    [GW_OP_PROGRESS] = { gw_lv_op_progress, GW_LV_CONTROL },
    [GW_OP_STATS] = { gw_lv_op_stats, GW_LV_CONTROL },
    [GW_OP_ABORT] = { gw_lv_op_abort, GW_LV_CONTROL },
    [GW_OP_SET_BANDWIDTH] = { gw_lv_op_set_bandwidth, GW_LV_CONTROL },
    [GW_OP_SET_DOWNTIME] = { gw_lv_op_set_downtime, GW_LV_CONTROL },
    [GW_OP_POST_COPY] = { gw_lv_op_post_copy, GW_LV_CONTROL },
    [GW_OP_RESUME] = { gw_lv_op_resume, GW_LV_CONTROL },
    [GW_OP_PAUSE] = { gw_lv_op_pause, GW_LV_CONTROL },
    [GW_OP_DESTROY] = { gw_lv_op_destroy, GW_LV_CONTROL },
    [GW_OP_UNDEFINE] = { gw_lv_op_undefine, GW_LV_CONTROL },
    [GW_OP_DEFINE] = { gw_lv_op_define, GW_LV_CONTROL },
    [GW_OP_AUTOSTART] = { gw_lv_op_autostart, GW_LV_CONTROL },
    [GW_OP_START] = { gw_lv_op_start, GW_LV_CONTROL },
    [GW_OP_MARKER_WRITE] = { gw_lv_op_marker_write, GW_LV_SLOW },
    [GW_OP_MARKER_READ] = { gw_lv_op_marker_read, GW_LV_SLOW },
    [GW_OP_MARKER_REMOVE] = { gw_lv_op_marker_remove, GW_LV_SLOW },
    [GW_OP_LOCK_HOLD] = { gw_lv_op_lock_hold, GW_LV_SLOW },
    [GW_OP_LOCK_DROP] = { gw_lv_op_lock_drop, GW_LV_CONTROL },
    [GW_OP_POOL_LOOK] = { gw_lv_op_pool_look, GW_LV_SLOW },
    [GW_OP_VOLUME_LOOK] = { gw_lv_op_volume_look, GW_LV_SLOW },
    [GW_OP_VOLUME_CREATE] = { gw_lv_op_volume_create, GW_LV_SLOW },
    [GW_OP_VOLUME_DELETE] = { gw_lv_op_volume_delete, GW_LV_SLOW },
    [GW_OP_VOLUME_PROVE] = { gw_lv_op_volume_prove, GW_LV_SLOW },
    [GW_OP_VOLUME_COPY] = { gw_lv_op_volume_copy, GW_LV_OWN },
    [GW_OP_COPY_PROGRESS] = { gw_lv_op_copy_progress, GW_LV_OWN },
    [GW_OP_COPY_ABORT] = { gw_lv_op_copy_abort, GW_LV_OWN },
    [GW_OP_REACH] = { gw_lv_op_reach, GW_LV_SLOW },
    [GW_OP_HBA_LOOK] = { gw_lv_op_hba_look, GW_LV_SLOW },
    [GW_OP_HBA_STOP] = { gw_lv_op_hba_stop, GW_LV_SLOW },
    [GW_OP_HBA_START] = { gw_lv_op_hba_start, GW_LV_SLOW },
    [GW_OP_BLOCK_COPY] = { gw_lv_op_block_copy, GW_LV_CONTROL },
    [GW_OP_BLOCK_PROGRESS] = { gw_lv_op_block_progress, GW_LV_CONTROL },
    [GW_OP_BLOCK_PIVOT] = { gw_lv_op_block_pivot, GW_LV_CONTROL },
    [GW_OP_BLOCK_ABORT] = { gw_lv_op_block_abort, GW_LV_CONTROL },
    [GW_OP_DEFINE_FROM] = { gw_lv_op_define_from, GW_LV_OWN },
    [GW_OP_SNAPSHOTS] = { gw_lv_op_snapshots, GW_LV_CONTROL },
    [GW_OP_SNAPSHOTS_FORGET] = { gw_lv_op_snapshots_forget, GW_LV_CONTROL },
    [GW_OP_SNAPSHOTS_REMEMBER] = { gw_lv_op_snapshots_remember, GW_LV_CONTROL },
    [GW_OP_OVERLAY] = { gw_lv_op_overlay, GW_LV_CONTROL },
    [GW_OP_MERGE] = { gw_lv_op_merge, GW_LV_CONTROL },
    [GW_OP_PERMIT] = { needs_agent, GW_LV_OWN },
    [GW_OP_CLOSE] = { needs_agent, GW_LV_OWN },
    [GW_OP_MEASURE] = { needs_agent, GW_LV_OWN },
    [GW_OP_CHECK] = { needs_agent, GW_LV_OWN },
    [GW_OP_REVOKED] = { needs_agent, GW_LV_OWN },
    [GW_OP_RENEW] = { needs_agent, GW_LV_OWN },
};

/* Hosts --------------------------------------------------------------------------------------- */

GwLvHost *gw_lv_host(GwLvDriver *driver, const char *id)
{
    return g_hash_table_lookup(driver->hosts, id);
}

static GwLvHost *make_host(GwLvDriver *driver, const char *id)
{
    GwLvHost *host = gw_lv_host(driver, id);

    if (host != NULL)
        return host;
    host = g_new0(GwLvHost, 1);
    host->driver = driver;
    host->id = g_strdup(id);
    g_queue_init(&host->waiting);
    host->running = g_ptr_array_new();
    host->block_ends = gw_lv_block_ends_new();
    g_mutex_init(&host->folders_lock);
    host->folders = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_insert(driver->hosts, host->id, host);
    return host;
}

static void free_host(gpointer data)
{
    GwLvHost *host = data;

    g_free(host->id);
    g_free(host->uri);
    g_ptr_array_unref(host->running);
    g_clear_pointer(&host->sizes, g_hash_table_unref);
    g_hash_table_unref(host->block_ends);
    g_clear_pointer(&host->pools, g_ptr_array_unref);
    g_clear_pointer(&host->counts, g_hash_table_unref);
    g_hash_table_unref(host->folders);
    g_mutex_clear(&host->folders_lock);
    g_free(host);
}

/* The sink ------------------------------------------------------------------------------------ */

/* Whether the sink may be called; pairs with leave_sink. */
static gboolean enter_sink(GwLvDriver *driver)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&driver->lock);

    if (driver->closing)
        return FALSE;
    driver->in_sink++;
    return TRUE;
}

static void leave_sink(GwLvDriver *driver)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&driver->lock);

    driver->in_sink--;
    g_cond_broadcast(&driver->changed);
}

void gw_lv_emit(GwLvDriver *driver, GwHyperEvent *event)
{
    if (event->at_us == 0)
        event->at_us = g_get_monotonic_time();
    if (!enter_sink(driver)) {
        gw_hyper_event_free(event);
        return;
    }
    driver->base.sink.event(event, driver->base.sink.user);
    leave_sink(driver);
}

void gw_lv_deliver(GwLvDriver *driver, GwReply *reply)
{
    reply->at_us = g_get_monotonic_time();
    if (!enter_sink(driver)) {
        gw_reply_free(reply);
        return;
    }
    driver->base.sink.reply(reply, driver->base.sink.user);
    leave_sink(driver);
}

/* The driver ---------------------------------------------------------------------------------- */

static gint64 deadline_of(const GwRequest *request)
{
    gint64 timeout = request->timeout_us > 0 ? request->timeout_us : GW_LV_CALL_US;

    /* These have this long to connect; their own time begins after that (gw_lv_begin). */
    if (request->op == GW_OP_CONNECT || request->op == GW_OP_MIGRATE ||
        request->op == GW_OP_VOLUME_COPY)
        timeout = request->timeout_us > 0 ? MIN(timeout, GW_LV_DIAL_US) : GW_LV_DIAL_US;
    return g_get_monotonic_time() + timeout;
}

static void refuse(GwLvTask *task)
{
    if ((guint)task->request->op >= GW_OP_COUNT || task->op->run == NULL)
        gw_error_set(&task->refused, GW_ERR_INTERNAL, NULL, "no such operation");
    else if (task->op->lane != GW_LV_OWN && task->host->lines[0].conn == NULL)
        gw_error_set(&task->refused, GW_ERR_UNREACHABLE, GW_LV_RECONNECT,
                     "the host is not connected");
}

static void submit(GwHyper *hyper, GwRequest *request)
{
    static const GwLvOp none = { NULL, GW_LV_OWN };
    GwLvDriver *driver = (GwLvDriver *)hyper;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&driver->lock);

    if (driver->closing) {
        gw_request_free(request);
        return;
    }
    GwLvTask *task = g_new0(GwLvTask, 1);
    task->driver = gw_lv_driver_ref(driver);
    task->request = request;
    task->host = make_host(driver, request->host_id != NULL ? request->host_id : "");
    task->op = (guint)request->op < GW_OP_COUNT ? &ops[request->op] : &none;
    task->deadline_us = deadline_of(request);
    task->line = -1;
    if (request->op == GW_OP_CONNECT || request->op == GW_OP_DISCONNECT)
        task->host->generation++;
    task->generation = task->host->generation;
    refuse(task);
    gw_lv_task_submit(task);
}

GwLvDriver *gw_lv_driver_ref(GwLvDriver *driver)
{
    g_atomic_ref_count_inc(&driver->refs);
    return driver;
}

void gw_lv_driver_unref(GwLvDriver *driver)
{
    if (!g_atomic_ref_count_dec(&driver->refs))
        return;
    g_thread_pool_free(driver->workers, FALSE, FALSE);
    g_hash_table_unref(driver->hosts);
    g_mutex_clear(&driver->lock);
    g_cond_clear(&driver->changed);
    g_free(driver);
}

/* Takes all tasks and connections off their hosts; needs the lock. */
static void strip_hosts(GwLvDriver *driver, GPtrArray *conns, GPtrArray *dropped)
{
    GHashTableIter iter;
    gpointer value = NULL;

    g_hash_table_iter_init(&iter, driver->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        GwLvHost *host = value;
        GwLvTask *task = NULL;
        host->generation++;
        host->epoch++;
        while ((task = g_queue_pop_head(&host->waiting)) != NULL)
            g_ptr_array_add(dropped, task);
        for (int i = 0; i < GW_LV_LINES; i++) {
            if (host->lines[i].conn != NULL)
                g_ptr_array_add(conns, g_steal_pointer(&host->lines[i].conn));
        }
    }
}

/* Waits for the workers. One that is stuck in libvirt, which nothing can interrupt, is left behind
 * with all it needs: it touches neither the sink nor a host any more, and a migration that it
 * drives goes on as long as the process. */
static gboolean wait_idle(GwLvDriver *driver)
{
    gint64 until = g_get_monotonic_time() + CLOSE_PATIENCE_US;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&driver->lock);

    while (driver->busy > 0) {
        if (!g_cond_wait_until(&driver->changed, &driver->lock, until))
            return FALSE;
    }
    return TRUE;
}

static void close_driver(GwHyper *hyper)
{
    GwLvDriver *driver = (GwLvDriver *)hyper;
    g_autoptr(GPtrArray) conns = g_ptr_array_new();
    g_autoptr(GPtrArray) dropped = g_ptr_array_new_with_free_func((GDestroyNotify)gw_lv_task_free);

    g_mutex_lock(&driver->lock);
    driver->closing = TRUE;
    g_cond_broadcast(&driver->changed);
    while (driver->in_sink > 0)
        g_cond_wait(&driver->changed, &driver->lock);
    strip_hosts(driver, conns, dropped);
    g_mutex_unlock(&driver->lock);

    for (guint i = 0; i < conns->len; i++)
        gw_lv_conn_retire(conns->pdata[i]);
    virEventRemoveTimeout(driver->timer);
    /* The loop carries the pings that end a stuck call when its host is dead, so it stays for them.
     */
    if (wait_idle(driver))
        gw_lv_loop_unref();
    g_ptr_array_set_size(dropped, 0);
    gw_lv_driver_unref(driver);
}

static const GwHyperDriver libvirt_driver = {
    .name = "libvirt",
    .submit = submit,
    .close = close_driver,
};

static void on_timer(int timer, void *user)
{
    gw_lv_sweep(user);
}

static void free_timer(void *user)
{
    gw_lv_driver_unref(user);
}

GwHyper *gw_libvirt_open(GwHyperSink sink, GError **error)
{
    if (!gw_lv_loop_ref(error))
        return NULL;

    GwLvDriver *driver = g_new0(GwLvDriver, 1);
    driver->base.driver = &libvirt_driver;
    driver->base.sink = sink;
    g_atomic_ref_count_init(&driver->refs);
    g_mutex_init(&driver->lock);
    g_cond_init(&driver->changed);
    driver->hosts = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_host);
    /* Not exclusive: threads come as needed, and idle ones serve every host before they end. */
    driver->workers = g_thread_pool_new(gw_lv_task_run, driver, -1, FALSE, NULL);
    driver->timer = virEventAddTimeout(500, on_timer, gw_lv_driver_ref(driver), free_timer);
    return &driver->base;
}
