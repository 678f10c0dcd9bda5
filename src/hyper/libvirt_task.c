/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "hyper/libvirt_internal.h"

/* Who calls what, when, and who is answered. Requests wait in their host's queue, are handed to
 * workers, one for each line of the host, and are answered once: by the worker, by the sweep when
 * their time is over, or when the host's connection is lost. A libvirt call cannot be interrupted,
 * so a worker may come back later than its answer; then what it brings is dropped. */

/* Answers ------------------------------------------------------------------------------------- */

static void answer(GwLvTask *task, GwReply *reply)
{
    g_mutex_lock(&task->driver->lock);
    gboolean first = !task->answered;
    task->answered = TRUE;
    g_mutex_unlock(&task->driver->lock);

    if (first)
        gw_lv_deliver(task->driver, reply);
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

/* An answer to a task that may be gone by the time it is given; needs the lock. */
static void add_failure(GPtrArray *replies, GwLvTask *task, GwErrorCode code, const char *remedy,
                        const char *why)
{
    if (task->answered)
        return;
    g_autofree char *prefix = label(task);
    GwReply *reply = gw_reply_new(task->request->id);

    gw_error_set(&reply->error, code, remedy, "%s%s", prefix, why);
    task->answered = TRUE;
    g_ptr_array_add(replies, reply);
}

static void deliver_all(GwLvDriver *driver, GPtrArray *replies)
{
    for (guint i = 0; i < replies->len; i++)
        gw_lv_deliver(driver, replies->pdata[i]);
    g_ptr_array_unref(replies);
}

static GPtrArray *task_array(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)gw_lv_task_free);
}

/* Queue and lines ----------------------------------------------------------------------------- */

void gw_lv_task_free(GwLvTask *task)
{
    gw_lv_conn_unref(task->conn);
    gw_request_free(task->request);
    g_clear_error(&task->refused);
    gw_progress_free(task->copied);
    gw_lv_driver_unref(task->driver);
    g_free(task);
}

/* A line for @lane, or -1. An open one if any is free; another is opened only where all that are
 * open have been busy for a while, since most calls take less than opening does. */
static int pick_line(const GwLvHost *host, GwLvLane lane)
{
    int first = lane == GW_LV_SLOW ? GW_LV_STORAGE_LINE : 0;
    int last = lane == GW_LV_SLOW ? GW_LV_STORAGE_LINE : GW_LV_CONTROL_LINES - 1;
    gint64 now = g_get_monotonic_time();
    int closed = -1;

    for (int i = first; i <= last; i++) {
        const GwLvLine *line = &host->lines[i];
        if (!line->busy && line->conn != NULL)
            return i;
        if (!line->busy && closed < 0)
            closed = i;
    }
    for (int i = first; i <= last; i++) {
        if (host->lines[i].busy && now - host->lines[i].since_us < GW_LV_LINE_PATIENCE_US)
            return -1;
    }
    return closed;
}

static void hand_over(GwLvTask *task, int line)
{
    GwLvHost *host = task->host;

    task->line = line;
    task->epoch = host->epoch;
    if (line >= 0) {
        host->lines[line].busy = TRUE;
        host->lines[line].since_us = g_get_monotonic_time();
    }
    g_ptr_array_add(host->running, task);
    task->driver->busy++;
    g_thread_pool_push(task->driver->workers, task, NULL);
}

/* Hands over what there is a line for; needs the lock. */
static void pump(GwLvHost *host)
{
    GList *next = NULL;

    for (GList *item = host->waiting.head; item != NULL; item = next) {
        GwLvTask *task = item->data;
        next = item->next;
        int line = host->lines[0].conn != NULL ? pick_line(host, task->op->lane) : -1;
        if (line < 0)
            continue;
        g_queue_delete_link(&host->waiting, item);
        hand_over(task, line);
    }
}

void gw_lv_task_submit(GwLvTask *task)
{
    if (task->op->lane == GW_LV_OWN || task->refused != NULL) {
        hand_over(task, -1);
        return;
    }
    g_queue_push_tail(&task->host->waiting, task);
    pump(task->host);
}

void gw_lv_task_spawn(GwLvHost *host, const GwLvOp *op)
{
    GwLvTask *task = g_new0(GwLvTask, 1);

    task->driver = gw_lv_driver_ref(host->driver);
    task->host = host;
    task->request = gw_request_new(GW_OP_FACTS, host->id, NULL);
    task->op = op;
    task->line = -1;
    task->answered = TRUE;
    task->spawned = TRUE;
    gw_lv_task_submit(task);
}

/* The connection of @task's line, opened where it is not. */
static gboolean take_line(GwLvTask *task, GError **error)
{
    GwLvHost *host = task->host;

    g_mutex_lock(&task->driver->lock);
    GwLvConn *conn = task->epoch == host->epoch ? host->lines[task->line].conn : NULL;
    task->conn = conn != NULL ? gw_lv_conn_ref(conn) : NULL;
    g_autofree char *uri = g_strdup(host->uri);
    g_mutex_unlock(&task->driver->lock);
    if (task->conn != NULL)
        return TRUE;

    virConnectPtr ptr = gw_lv_dial(task, uri, error);
    if (ptr == NULL)
        return FALSE;
    conn = gw_lv_conn_new(task, ptr);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&task->driver->lock);
    task->conn = conn;
    if (task->epoch == host->epoch && !task->driver->closing && task->line > 0)
        host->lines[task->line].conn = gw_lv_conn_ref(conn);
    return TRUE;
}

static void finish(GwLvTask *task)
{
    GwLvHost *host = task->host;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&task->driver->lock);

    g_ptr_array_remove_fast(host->running, task);
    if (task->line >= 0 && task->epoch == host->epoch)
        host->lines[task->line].busy = FALSE;
    if (task->spawned) { /* done, or failed before it began */
        host->storage_busy = FALSE;
        g_cond_broadcast(&host->driver->changed);
    }
    pump(host);
}

/* Workers ------------------------------------------------------------------------------------- */

static void done(GwLvDriver *driver)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&driver->lock);

    driver->busy--;
    g_cond_broadcast(&driver->changed);
}

/* A call failed, and its connection no longer carries any: the close callback may come later, or
 * never. */
static void check_connection(GwLvTask *task, GError **error)
{
    GwLvDriver *driver = task->driver;
    GwLvConn *dead = NULL;

    if (task->conn == NULL || gw_lv_alive(task->conn->ptr))
        return;
    g_autofree char *why = g_strdup((*error)->message);
    g_clear_error(error);
    gw_error_set(error, GW_ERR_UNREACHABLE, "Check that libvirtd runs on the host.",
                 "the connection was lost: %s", why);
    if (task->line == 0) {
        gw_lv_lost(driver, task->host, task->conn->serial, why);
        return;
    }
    g_mutex_lock(&driver->lock);
    if (task->line > 0 && task->epoch == task->host->epoch)
        dead = g_steal_pointer(&task->host->lines[task->line].conn);
    g_mutex_unlock(&driver->lock);
    gw_lv_conn_unref(dead);
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

static gboolean run_on_line(GwLvTask *task, GwReply *reply, GError **error)
{
    if (!take_line(task, error))
        return FALSE;
    g_mutex_lock(&task->conn->calls);
    virResetLastError();
    gboolean well = task->op->run(task, reply, error);
    g_mutex_unlock(&task->conn->calls);
    return well;
}

void gw_lv_task_run(gpointer data, gpointer user)
{
    GwLvTask *task = data;
    GwLvDriver *driver = gw_lv_driver_ref(task->driver);
    GwReply *reply = gw_reply_new(task->request->id);
    GError *error = NULL;
    gboolean well = FALSE;

    if (task->refused != NULL)
        error = g_steal_pointer(&task->refused);
    else if (task->line >= 0)
        well = run_on_line(task, reply, &error);
    else
        well = task->op->run(task, reply, &error);
    if (!well && error == NULL)
        gw_error_set(&error, GW_ERR_INTERNAL, NULL, "failed without a reason");
    if (error != NULL)
        reply = failure(task, reply, error);
    answer(task, reply);
    finish(task);
    gw_lv_task_free(task);
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
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&task->driver->lock);

    if (task->answered || task->cancelled || task->driver->closing) {
        gw_error_set(error, GW_ERR_CANCELLED, NULL, "aborted before it began");
        return FALSE;
    }
    gint64 timeout = task->request->timeout_us;
    task->began = TRUE;
    task->deadline_us = timeout > 0 ? g_get_monotonic_time() + timeout : 0;
    return TRUE;
}

/* Time ---------------------------------------------------------------------------------------- */

static void overdue(GPtrArray *replies, GwLvTask *task, gboolean begun)
{
    GwOp op = task->request->op;
    gboolean dials = op == GW_OP_MIGRATE || op == GW_OP_VOLUME_COPY;

    if (op == GW_OP_CONNECT || (dials && !task->began))
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
    pump(host);
}

void gw_lv_sweep(GwLvDriver *driver)
{
    GPtrArray *replies = g_ptr_array_new();
    g_autoptr(GPtrArray) dropped = task_array();
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

/* Coming and going ---------------------------------------------------------------------------- */

/* Takes the lines off @host and fails what waits for them; needs the lock. @conns gets them. */
static void drop_lines(GwLvHost *host, const char *why, GPtrArray *conns, GPtrArray *replies,
                       GPtrArray *dropped)
{
    GwLvTask *task = NULL;

    host->epoch++;
    for (int i = 0; i < GW_LV_LINES; i++) {
        if (host->lines[i].conn != NULL)
            g_ptr_array_add(conns, host->lines[i].conn);
        host->lines[i] = (GwLvLine){ .conn = NULL };
    }
    while ((task = g_queue_pop_head(&host->waiting)) != NULL) {
        add_failure(replies, task, GW_ERR_UNREACHABLE, GW_LV_RECONNECT, why);
        g_ptr_array_add(dropped, task);
    }
    host->storage_busy = FALSE; /* if its task was in the queue, nobody will say so */
    g_cond_broadcast(&host->driver->changed);
}

static void retire_all(GPtrArray *conns)
{
    for (guint i = 0; i < conns->len; i++)
        gw_lv_conn_retire(conns->pdata[i]);
}

void gw_lv_lost(GwLvDriver *driver, GwLvHost *host, guint64 serial, const char *why)
{
    GPtrArray *replies = g_ptr_array_new();
    g_autoptr(GPtrArray) dropped = task_array();
    g_autoptr(GPtrArray) conns = g_ptr_array_new();
    gboolean told = FALSE;
    gint64 at_us = 0;

    g_mutex_lock(&driver->lock);
    at_us = g_get_monotonic_time(); /* before any connection that comes after this one */
    const GwLvConn *control = host->lines[0].conn;
    if (control != NULL && control->serial == serial) {
        told = control->announced;
        for (guint i = 0; i < host->running->len; i++) {
            GwLvTask *task = host->running->pdata[i];
            if (task->line >= 0 && task->op->lane != GW_LV_OWN)
                add_failure(replies, task, GW_ERR_UNREACHABLE, GW_LV_RECONNECT, why);
        }
        drop_lines(host, why, conns, replies, dropped);
    }
    g_mutex_unlock(&driver->lock);
    if (told) {
        GwHyperEvent *event = gw_hyper_event_new(GW_EVENT_HOST_LOST, host->id, NULL);
        event->text = g_strdup(why);
        event->at_us = at_us;
        gw_lv_emit(driver, event);
    }
    deliver_all(driver, replies);
    retire_all(conns);
}

void gw_lv_detach(GwLvTask *task)
{
    GPtrArray *replies = g_ptr_array_new();
    g_autoptr(GPtrArray) dropped = task_array();
    g_autoptr(GPtrArray) conns = g_ptr_array_new();

    g_mutex_lock(&task->driver->lock);
    if (task->generation == task->host->generation)
        drop_lines(task->host, "the host was disconnected", conns, replies, dropped);
    g_mutex_unlock(&task->driver->lock);
    deliver_all(task->driver, replies);
    retire_all(conns);
}

gboolean gw_lv_install(GwLvTask *task, GwLvConn *conn, GError **error)
{
    GPtrArray *replies = g_ptr_array_new();
    g_autoptr(GPtrArray) dropped = task_array();
    g_autoptr(GPtrArray) conns = g_ptr_array_new();
    GwLvHost *host = task->host;

    g_mutex_lock(&task->driver->lock);
    gboolean wanted =
        !task->answered && !task->driver->closing && task->generation == host->generation;
    if (wanted) {
        drop_lines(host, "the host was connected anew", conns, replies, dropped);
        g_free(host->uri);
        host->uri = g_strdup(task->request->text);
        host->lines[0] = (GwLvLine){ gw_lv_conn_ref(conn), TRUE, g_get_monotonic_time() };
        task->line = 0;
        task->epoch = host->epoch;
    }
    g_mutex_unlock(&task->driver->lock);
    deliver_all(task->driver, replies);
    retire_all(conns);
    if (!wanted)
        gw_error_set(error, GW_ERR_CANCELLED, NULL, "overtaken by a later request");
    return wanted;
}
