/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "hyper/libvirt_internal.h"

/* The libvirt driver: who calls what, when, and who is answered. Requests wait in their host's
 * queue, are handed to workers, a few at a time for each host, and are answered once: by the
 * worker, by the sweep when their time is over, or when the host's connection is lost. A libvirt
 * call cannot be interrupted, so a worker may come back later than its answer; then what it brings
 * is dropped. */

#define CLOSE_PATIENCE_US (5 * G_TIME_SPAN_SECOND)

static const GwLvOp ops[GW_OP_COUNT] = {
    [GW_OP_CONNECT] = { gw_lv_op_connect, GW_LV_OWN },
    [GW_OP_DISCONNECT] = { gw_lv_op_disconnect, GW_LV_OWN },
    [GW_OP_FACTS] = { gw_lv_op_facts, GW_LV_SLOW },
    [GW_OP_LIST_VMS] = { gw_lv_op_list, GW_LV_CONTROL },
    [GW_OP_GET_VM] = { gw_lv_op_get, GW_LV_CONTROL },
    [GW_OP_GET_XML] = { gw_lv_op_xml, GW_LV_CONTROL },
    [GW_OP_LOOK] = { gw_lv_op_look, GW_LV_CONTROL },
    [GW_OP_CPU_COMPARE] = { gw_lv_op_cpu_compare, GW_LV_CONTROL },
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
    g_clear_pointer(&host->pools, g_ptr_array_unref);
    g_free(host);
}

/* The sink ------------------------------------------------------------------------------------ */

/* Whether the sink may be called; pairs with leave_sink. */
static gboolean enter_sink(GwLvDriver *driver)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&driver->lock);

    if (driver->closing)
        return FALSE;
    driver->in_sink++;
    return TRUE;
}

static void leave_sink(GwLvDriver *driver)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&driver->lock);

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

static void deliver(GwLvDriver *driver, GwReply *reply)
{
    reply->at_us = g_get_monotonic_time();
    if (!enter_sink(driver)) {
        gw_reply_free(reply);
        return;
    }
    driver->base.sink.reply(reply, driver->base.sink.user);
    leave_sink(driver);
}

void gw_lv_answer(GwLvTask *task, GwReply *reply)
{
    g_mutex_lock(&task->driver->lock);
    gboolean first = !task->answered;
    task->answered = TRUE;
    g_mutex_unlock(&task->driver->lock);

    if (first)
        deliver(task->driver, reply);
    else
        gw_reply_free(reply);
}

/* "192.0.2.1: migrate: "; needs the lock. */
static char *label(const GwLvTask *task)
{
    const GwRequest *request = task->request;
    const char *uri = request->op == GW_OP_CONNECT ? request->text : task->host->uri;
    g_autofree char *address = uri != NULL ? gw_host_uri_address(uri) : NULL;

    return g_strconcat(address != NULL ? address : "", address != NULL ? ": " : "",
                       gw_op_word(request->op), ": ", NULL);
}

/* Answers to tasks that may be gone by the time they are given. */
static void add_failure(GPtrArray *replies, GwLvTask *task, GwErrorCode code, const char *remedy,
                        const char *why)
{
    g_autofree char *prefix = label(task);
    GwReply *reply = gw_reply_new(task->request->id);

    gw_error_set(&reply->error, code, remedy, "%s%s", prefix, why);
    task->answered = TRUE;
    g_ptr_array_add(replies, reply);
}

static void deliver_all(GwLvDriver *driver, GPtrArray *replies)
{
    for (guint i = 0; i < replies->len; i++)
        deliver(driver, replies->pdata[i]);
    g_ptr_array_unref(replies);
}

/* Tasks --------------------------------------------------------------------------------------- */

static void free_task(GwLvTask *task)
{
    gw_lv_conn_unref(task->conn);
    gw_request_free(task->request);
    g_clear_error(&task->refused);
    gw_lv_driver_unref(task->driver);
    g_free(task);
}

static gboolean fits(const GwLvHost *host, const GwLvTask *task)
{
    return host->control < GW_LV_CONTROL_MAX &&
           (task->op->lane != GW_LV_SLOW || host->slow < GW_LV_SLOW_MAX);
}

static void hand_over(GwLvTask *task)
{
    GwLvHost *host = task->host;

    if (task->op->lane != GW_LV_OWN && task->refused == NULL) {
        task->conn = gw_lv_conn_ref(host->conn);
        host->control++;
        host->slow += task->op->lane == GW_LV_SLOW ? 1 : 0;
    }
    g_ptr_array_add(host->running, task);
    task->driver->busy++;
    g_thread_pool_push(task->driver->workers, task, NULL);
}

/* Hands over what fits; needs the lock. A stalled slow call holds up only its own kind. */
static void pump(GwLvHost *host)
{
    GList *next = NULL;

    for (GList *item = host->waiting.head; item != NULL && host->conn != NULL; item = next) {
        GwLvTask *task = item->data;
        next = item->next;
        if (!fits(host, task))
            continue;
        g_queue_delete_link(&host->waiting, item);
        hand_over(task);
    }
}

static void finish(GwLvTask *task)
{
    GwLvHost *host = task->host;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&task->driver->lock);

    g_ptr_array_remove_fast(host->running, task);
    if (task->conn != NULL) {
        host->control--;
        host->slow -= task->op->lane == GW_LV_SLOW ? 1 : 0;
        pump(host);
    }
}

static void done(GwLvDriver *driver)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&driver->lock);

    driver->busy--;
    g_cond_broadcast(&driver->changed);
}

/* A call failed, and its connection no longer carries any: the close callback may come later, or
 * never. */
static void check_connection(GwLvTask *task, GError **error)
{
    if (task->conn == NULL || gw_lv_alive(task->conn->ptr))
        return;
    g_autofree char *why = g_strdup((*error)->message);
    g_clear_error(error);
    gw_error_set(error, GW_ERR_UNREACHABLE, "Check that libvirtd runs on the host.",
                 "the connection was lost: %s", why);
    gw_lv_lost(task->driver, task->host, task->conn->serial, why);
}

/* @reply becomes only the error, told from where it comes. */
static GwReply *failure(GwLvTask *task, GwReply *reply, GError *error)
{
    guint64 id = reply->id;

    check_connection(task, &error);
    g_mutex_lock(&task->driver->lock);
    g_autofree char *prefix = label(task);
    g_mutex_unlock(&task->driver->lock);
    g_prefix_error(&error, "%s", prefix);
    gw_reply_free(reply);
    reply = gw_reply_new(id);
    reply->error = error;
    return reply;
}

static void run_task(gpointer data, gpointer user)
{
    GwLvTask *task = data;
    GwLvDriver *driver = gw_lv_driver_ref(task->driver);
    GwReply *reply = gw_reply_new(task->request->id);
    GError *error = NULL;

    if (task->refused != NULL) {
        error = g_steal_pointer(&task->refused);
    } else {
        virResetLastError();
        gboolean well = task->op->run(task, reply, &error);
        if (!well && error == NULL)
            gw_error_set(&error, GW_ERR_INTERNAL, NULL, "failed without a reason");
    }
    if (error != NULL)
        reply = failure(task, reply, error);
    gw_lv_answer(task, reply);
    finish(task);
    free_task(task);
    done(driver);
    gw_lv_driver_unref(driver);
}

typedef struct {
    GwLvDriver *driver;
    GFunc run;
    gpointer data;
} Work;

static gpointer run_work(gpointer data)
{
    g_autofree Work *work = data;

    work->run(work->data, work->driver);
    done(work->driver);
    gw_lv_driver_unref(work->driver);
    return NULL;
}

void gw_lv_work(GwLvDriver *driver, GFunc run, gpointer data)
{
    Work *work = g_new0(Work, 1);

    work->driver = gw_lv_driver_ref(driver);
    work->run = run;
    work->data = data;
    g_mutex_lock(&driver->lock);
    driver->busy++;
    g_mutex_unlock(&driver->lock);
    g_thread_unref(g_thread_new("gw-libvirt", run_work, work));
}

gboolean gw_lv_begin(GwLvTask *task, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&task->driver->lock);

    if (task->answered || task->cancelled || task->driver->closing) {
        gw_error_set(error, GW_ERR_CANCELLED, NULL, "aborted before it began");
        return FALSE;
    }
    gint64 timeout = task->request->timeout_us;
    task->began = TRUE;
    task->deadline_us = timeout > 0 ? g_get_monotonic_time() + timeout : 0;
    return TRUE;
}

/* Time and loss ------------------------------------------------------------------------------- */

static void overdue(GPtrArray *replies, GwLvTask *task, gboolean begun)
{
    if (task->request->op == GW_OP_CONNECT || (task->request->op == GW_OP_MIGRATE && !task->began))
        add_failure(replies, task, GW_ERR_TIMEOUT,
                    "Check the address, that the host is up, and that no firewall drops the "
                    "connection (ssh: port 22, tls: port 16514).",
                    "the host did not accept a connection in time");
    else if (begun)
        add_failure(replies, task, GW_ERR_TIMEOUT,
                    "Check libvirtd and the storage of the host; a call of libvirt hangs there.",
                    "libvirt did not answer in time; whether it was done is unknown");
    else
        add_failure(replies, task, GW_ERR_TIMEOUT,
                    "Check libvirtd and the storage of the host; earlier calls hang there.",
                    "not begun in time: earlier calls to this host have not returned");
}

static gboolean is_late(const GwLvTask *task, gint64 now)
{
    return !task->answered && task->deadline_us != 0 && now >= task->deadline_us;
}

static void sweep_host(GwLvHost *host, gint64 now, GPtrArray *replies, GPtrArray *dropped)
{
    GList *next = NULL;

    for (guint i = 0; i < host->running->len; i++) {
        if (is_late(host->running->pdata[i], now))
            overdue(replies, host->running->pdata[i], TRUE);
    }
    for (GList *item = host->waiting.head; item != NULL; item = next) {
        GwLvTask *task = item->data;
        next = item->next;
        if (!is_late(task, now))
            continue;
        overdue(replies, task, FALSE);
        g_queue_delete_link(&host->waiting, item);
        g_ptr_array_add(dropped, task);
    }
}

void gw_lv_sweep(GwLvDriver *driver)
{
    GPtrArray *replies = g_ptr_array_new();
    g_autoptr(GPtrArray) dropped = g_ptr_array_new_with_free_func((GDestroyNotify)free_task);
    gint64 now = g_get_monotonic_time();
    GHashTableIter iter;
    gpointer host = NULL;

    g_mutex_lock(&driver->lock);
    g_hash_table_iter_init(&iter, driver->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &host))
        sweep_host(host, now, replies, dropped);
    g_mutex_unlock(&driver->lock);
    deliver_all(driver, replies);
}

static const char reconnect_remedy[] = "The controller connects again by itself; check the host.";

/* Fails the tasks that wait for the host's control connection; needs the lock. */
static void fail_waiting(GwLvHost *host, const char *why, GPtrArray *replies, GPtrArray *dropped)
{
    GwLvTask *task = NULL;

    while ((task = g_queue_pop_head(&host->waiting)) != NULL) {
        add_failure(replies, task, GW_ERR_UNREACHABLE, reconnect_remedy, why);
        g_ptr_array_add(dropped, task);
    }
}

/* And those that use @conn; needs the lock. */
static void fail_running(GwLvHost *host, const GwLvConn *conn, const char *why, GPtrArray *replies)
{
    for (guint i = 0; i < host->running->len; i++) {
        GwLvTask *task = host->running->pdata[i];
        if (task->conn == conn && !task->answered)
            add_failure(replies, task, GW_ERR_UNREACHABLE, reconnect_remedy, why);
    }
}

GwLvConn *gw_lv_detach(GwLvTask *task)
{
    GPtrArray *replies = g_ptr_array_new();
    g_autoptr(GPtrArray) dropped = g_ptr_array_new_with_free_func((GDestroyNotify)free_task);
    GwLvConn *conn = NULL;

    g_mutex_lock(&task->driver->lock);
    if (task->generation == task->host->generation) {
        conn = g_steal_pointer(&task->host->conn);
        fail_waiting(task->host, "the host was disconnected", replies, dropped);
    }
    g_mutex_unlock(&task->driver->lock);
    deliver_all(task->driver, replies);
    return conn;
}

void gw_lv_lost(GwLvDriver *driver, GwLvHost *host, guint64 serial, const char *why)
{
    GPtrArray *replies = g_ptr_array_new();
    g_autoptr(GPtrArray) dropped = g_ptr_array_new_with_free_func((GDestroyNotify)free_task);
    GwLvConn *conn = NULL;

    g_mutex_lock(&driver->lock);
    if (host->conn != NULL && host->conn->serial == serial) {
        conn = g_steal_pointer(&host->conn);
        conn->lost = TRUE;
        fail_waiting(host, why, replies, dropped);
        fail_running(host, conn, why, replies);
    }
    g_mutex_unlock(&driver->lock);
    if (conn != NULL) {
        GwHyperEvent *event = gw_hyper_event_new(GW_EVENT_HOST_LOST, host->id, NULL);
        event->text = g_strdup(why);
        gw_lv_emit(driver, event);
        gw_lv_conn_retire(conn);
    }
    deliver_all(driver, replies);
}

/* The driver ---------------------------------------------------------------------------------- */

static gint64 deadline_of(const GwRequest *request)
{
    gint64 timeout = request->timeout_us > 0 ? request->timeout_us : GW_LV_CALL_US;

    /* A migration has this long to connect; its own time begins after that (gw_lv_begin). */
    if (request->op == GW_OP_CONNECT || request->op == GW_OP_MIGRATE)
        timeout = request->timeout_us > 0 ? MIN(timeout, GW_LV_DIAL_US) : GW_LV_DIAL_US;
    return g_get_monotonic_time() + timeout;
}

static void refuse(GwLvTask *task)
{
    if ((guint)task->request->op >= GW_OP_COUNT || task->op->run == NULL)
        gw_error_set(&task->refused, GW_ERR_INTERNAL, NULL, "no such operation");
    else if (task->op->lane != GW_LV_OWN && task->host->conn == NULL)
        gw_error_set(&task->refused, GW_ERR_UNREACHABLE, reconnect_remedy,
                     "the host is not connected");
}

static void submit(GwHyper *hyper, GwRequest *request)
{
    static const GwLvOp none = { NULL, GW_LV_OWN };
    GwLvDriver *driver = (GwLvDriver *)hyper;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&driver->lock);

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
    if (request->op == GW_OP_CONNECT || request->op == GW_OP_DISCONNECT)
        task->host->generation++;
    task->generation = task->host->generation;
    refuse(task);

    if (task->op->lane == GW_LV_OWN || task->refused != NULL) {
        hand_over(task);
    } else {
        g_queue_push_tail(&task->host->waiting, task);
        pump(task->host);
    }
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
        while ((task = g_queue_pop_head(&host->waiting)) != NULL)
            g_ptr_array_add(dropped, task);
        if (host->conn != NULL)
            g_ptr_array_add(conns, g_steal_pointer(&host->conn));
    }
}

/* Waits for the workers. One that is stuck in libvirt, which nothing can interrupt, is left behind
 * with all it needs: it touches neither the sink nor a host any more, and a migration that it
 * drives goes on as long as the process. */
static gboolean wait_idle(GwLvDriver *driver)
{
    gint64 until = g_get_monotonic_time() + CLOSE_PATIENCE_US;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&driver->lock);

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
    g_autoptr(GPtrArray) dropped = g_ptr_array_new_with_free_func((GDestroyNotify)free_task);

    g_mutex_lock(&driver->lock);
    driver->closing = TRUE;
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

static const GwHyperDriver libvirt_driver = { .name = "libvirt", .submit = submit, .close = close_driver };

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
    driver->workers = g_thread_pool_new(run_task, driver, -1, FALSE, NULL);
    driver->timer = virEventAddTimeout(500, on_timer, gw_lv_driver_ref(driver), free_timer);
    return &driver->base;
}
