/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt-qemu.h>

#include "base/error.h"
#include "base/text.h"
#include "hyper/libvirt_storage.h"

/* libvirt's event loop, and hosts' news. */

/* The loop ------------------------------------------------------------------------------------ */

/* libvirt has one loop for the process, on GLib's default context; nothing else may use that. */
static struct {
    GMutex lock;
    gboolean registered; /* for good: libvirt cannot be told to forget its loop */
    guint users;
    GThread *thread;
    gint quit;
} loop;

/* libvirt prints errors to stderr unless told not to; ours go to whoever asked. */
static void ignore_error(void *user, virErrorPtr error)
{
    (void)user;
    (void)error;
}

static gpointer run_loop(gpointer user)
{
    while (!g_atomic_int_get(&loop.quit)) {
        if (virEventRunDefaultImpl() < 0)
            g_usleep(100 * 1000); /* or a lasting error would spin */
    }
    return NULL;
}

static gboolean register_loop(GError **error)
{
    virSetErrorFunc(NULL, ignore_error);
    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0) {
        gw_error_set(error, GW_ERR_INTERNAL, NULL, "libvirt cannot be set up: %s",
                     virGetLastErrorMessage());
        return FALSE;
    }
    loop.registered = TRUE;
    return TRUE;
}

gboolean gw_lv_loop_ref(GError **error)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&loop.lock);

    if (!loop.registered && !register_loop(error))
        return FALSE;
    if (loop.users++ == 0) {
        g_atomic_int_set(&loop.quit, 0);
        loop.thread = g_thread_new("gw-libvirt-loop", run_loop, NULL);
    }
    return TRUE;
}

void gw_lv_loop_unref(void)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&loop.lock);

    if (--loop.users > 0)
        return;
    g_atomic_int_set(&loop.quit, 1);
    g_main_context_wakeup(NULL);
    g_thread_join(g_steal_pointer(&loop.thread));
    /* Removed watches are freed by the loop: let it. */
    for (int i = 0; i < 1000 && g_main_context_pending(NULL); i++)
        g_main_context_iteration(NULL, FALSE);
}

/* Callbacks ----------------------------------------------------------------------------------- */

/* What a callback knows. Not the connection itself: a callback that is being removed may outlive
 * it. */
typedef struct {
    GwLvDriver *driver;
    GwLvHost *host;
    guint64 serial;
} Ear;

static Ear *make_ear(const GwLvConn *conn)
{
    Ear *ear = g_new0(Ear, 1);
    ear->driver = gw_lv_driver_ref(conn->driver);
    ear->host = conn->host;
    ear->serial = conn->serial;
    return ear;
}

static void free_ear(void *data)
{
    Ear *ear = data;

    gw_lv_driver_unref(ear->driver);
    g_free(ear);
}

/* News of a connection that is not, or no longer, the host's is not news. */
static gboolean is_current(const Ear *ear)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&ear->driver->lock);

    const GwLvConn *control = ear->host->lines[0].conn;
    return control != NULL && control->serial == ear->serial && control->announced;
}

static void tell(const Ear *ear, GwHyperEventKind kind, virDomainPtr domain, const char *text,
                 const char *text2, gint64 number)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    gint64 now = g_get_monotonic_time();

    if (!is_current(ear) || (domain != NULL && virDomainGetUUIDString(domain, uuid) < 0))
        return;
    GwHyperEvent *event = gw_hyper_event_new(kind, ear->host->id, domain != NULL ? uuid : NULL);
    event->text = g_strdup(text);
    event->text2 = g_strdup(text2);
    event->number = number;
    event->at_us = now;
    gw_lv_emit(ear->driver, event);
}

static int on_lifecycle(virConnectPtr conn, virDomainPtr domain, int event, int detail, void *user)
{
    tell(user, GW_EVENT_VM_LIFECYCLE, domain, gw_lv_event_word(event),
         gw_lv_detail_word(event, detail), 0);
    return 0;
}

static void on_iteration(virConnectPtr conn, virDomainPtr domain, int iteration, void *user)
{
    tell(user, GW_EVENT_ITERATION, domain, NULL, NULL, iteration);
}

static void on_job_completed(virConnectPtr conn, virDomainPtr domain, virTypedParameterPtr params,
                             int count, void *user)
{
    tell(user, GW_EVENT_VM_CHANGED, domain, NULL, NULL, 0);
}

static void on_block_job(virConnectPtr conn, virDomainPtr domain, const char *disk, int type,
                         int status, void *user)
{
    tell(user, GW_EVENT_VM_CHANGED, domain, NULL, NULL, 0);
}

static void on_device(virConnectPtr conn, virDomainPtr domain, const char *alias, void *user)
{
    tell(user, GW_EVENT_VM_CHANGED, domain, NULL, NULL, 0);
}

static void on_tray(virConnectPtr conn, virDomainPtr domain, const char *alias, int reason,
                    void *user)
{
    tell(user, GW_EVENT_VM_CHANGED, domain, NULL, NULL, 0);
}

static void on_disk_change(virConnectPtr conn, virDomainPtr domain, const char *before,
                           const char *after, const char *alias, int reason, void *user)
{
    tell(user, GW_EVENT_VM_CHANGED, domain, NULL, NULL, 0);
}

static void on_pool(virConnectPtr conn, virStoragePoolPtr pool, int event, int detail, void *user)
{
    if (!gw_lv_pool_is_passing(virStoragePoolGetName(pool)))
        tell(user, GW_EVENT_FACTS_CHANGED, NULL, NULL, NULL, 0);
}

static void on_pool_refresh(virConnectPtr conn, virStoragePoolPtr pool, void *user)
{
    if (!gw_lv_pool_is_passing(virStoragePoolGetName(pool)))
        tell(user, GW_EVENT_FACTS_CHANGED, NULL, NULL, NULL, 0);
}

static void on_network(virConnectPtr conn, virNetworkPtr network, int event, int detail, void *user)
{
    tell(user, GW_EVENT_FACTS_CHANGED, NULL, NULL, NULL, 0);
}

static void on_close(virConnectPtr conn, int reason, void *user)
{
    static const char *const words[] = {
        [VIR_CONNECT_CLOSE_REASON_ERROR] = "the connection to libvirtd broke",
        [VIR_CONNECT_CLOSE_REASON_EOF] = "libvirtd closed the connection",
        [VIR_CONNECT_CLOSE_REASON_KEEPALIVE] = "libvirtd does not answer any more",
        [VIR_CONNECT_CLOSE_REASON_CLIENT] = "the connection was closed",
    };
    const Ear *ear = user;
    gboolean known = (guint)reason < G_N_ELEMENTS(words);

    gw_lv_lost(ear->driver, ear->host, ear->serial, known ? words[reason] : words[0]);
}

/* Only what is kept of a job's end; that something changed is told by libvirt's own event. */
static void on_monitor(virConnectPtr conn, virDomainPtr domain, const char *event,
                       long long seconds, unsigned int micros, const char *details, void *user)
{
    const Ear *ear = user;
    char uuid[VIR_UUID_STRING_BUFLEN] = "";

    if (is_current(ear) && virDomainGetUUIDString(domain, uuid) == 0)
        gw_lv_block_said(ear->host, uuid, event, details);
}

/* Subscriptions ------------------------------------------------------------------------------- */

static const struct {
    int id;
    virConnectDomainEventGenericCallback call; /* cast back by libvirt, by the id */
} domain_events[] = {
    { VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle) },
    { VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION, VIR_DOMAIN_EVENT_CALLBACK(on_iteration) },
    { VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, VIR_DOMAIN_EVENT_CALLBACK(on_job_completed) },
    { VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, VIR_DOMAIN_EVENT_CALLBACK(on_block_job) },
    { VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_device) },
    { VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device) },
    { VIR_DOMAIN_EVENT_ID_TRAY_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_tray) },
    { VIR_DOMAIN_EVENT_ID_DISK_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_disk_change) },
};
G_STATIC_ASSERT(G_N_ELEMENTS(domain_events) == G_N_ELEMENTS(((GwLvConn *)NULL)->domain_ids));

static void listen_domains(GwLvConn *conn)
{
    for (guint i = 0; i < G_N_ELEMENTS(domain_events); i++) {
        Ear *ear = make_ear(conn);
        conn->domain_ids[i] = virConnectDomainEventRegisterAny(
            conn->ptr, NULL, domain_events[i].id, domain_events[i].call, ear, free_ear);
        if (conn->domain_ids[i] < 0)
            free_ear(ear);
    }
}

static void listen_facts(GwLvConn *conn)
{
    Ear *ears[3] = { make_ear(conn), make_ear(conn), make_ear(conn) };

    conn->pool_ids[0] = virConnectStoragePoolEventRegisterAny(
        conn->ptr, NULL, VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE,
        VIR_STORAGE_POOL_EVENT_CALLBACK(on_pool), ears[0], free_ear);
    conn->pool_ids[1] = virConnectStoragePoolEventRegisterAny(
        conn->ptr, NULL, VIR_STORAGE_POOL_EVENT_ID_REFRESH,
        VIR_STORAGE_POOL_EVENT_CALLBACK(on_pool_refresh), ears[1], free_ear);
    conn->network_id = virConnectNetworkEventRegisterAny(
        conn->ptr, NULL, VIR_NETWORK_EVENT_ID_LIFECYCLE, VIR_NETWORK_EVENT_CALLBACK(on_network),
        ears[2], free_ear);
    if (conn->pool_ids[0] < 0)
        free_ear(ears[0]);
    if (conn->pool_ids[1] < 0)
        free_ear(ears[1]);
    if (conn->network_id < 0)
        free_ear(ears[2]);
}

/* QEMU's own words (libvirt_block_end.c): nothing depends on them, and a host that hands none on is
 * as good as another. */
static void listen_monitor(GwLvConn *conn)
{
    Ear *ear = make_ear(conn);

    conn->monitor_id = virConnectDomainQemuMonitorEventRegister(
        conn->ptr, NULL, "^BLOCK_JOB_(COMPLETED|CANCELLED|ERROR)$", on_monitor, ear, free_ear,
        VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX);
    if (conn->monitor_id < 0)
        free_ear(ear);
}

gboolean gw_lv_listen(GwLvConn *conn, GError **error)
{
    conn->listening = TRUE;
    listen_domains(conn);
    listen_facts(conn);
    listen_monitor(conn);
    if (conn->domain_ids[0] < 0) {
        gw_lv_error(error);
        g_prefix_error(error, "no events from this host: ");
        return FALSE;
    }
    Ear *ear = make_ear(conn);
    if (virConnectRegisterCloseCallback(conn->ptr, on_close, ear, free_ear) < 0) {
        gw_lv_error(error);
        free_ear(ear);
        return FALSE;
    }
    return TRUE;
}

void gw_lv_unlisten(GwLvConn *conn)
{
    if (!conn->listening)
        return;
    conn->listening = FALSE;
    virConnectUnregisterCloseCallback(conn->ptr, on_close);
    for (guint i = 0; i < G_N_ELEMENTS(conn->domain_ids); i++) {
        if (conn->domain_ids[i] >= 0)
            virConnectDomainEventDeregisterAny(conn->ptr, conn->domain_ids[i]);
    }
    for (guint i = 0; i < G_N_ELEMENTS(conn->pool_ids); i++) {
        if (conn->pool_ids[i] >= 0)
            virConnectStoragePoolEventDeregisterAny(conn->ptr, conn->pool_ids[i]);
    }
    if (conn->monitor_id >= 0)
        virConnectDomainQemuMonitorEventDeregister(conn->ptr, conn->monitor_id);
    if (conn->network_id >= 0)
        virConnectNetworkEventDeregisterAny(conn->ptr, conn->network_id);
}
