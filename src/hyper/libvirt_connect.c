/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/libvirt_internal.h"

/* Connections. Every one has keep-alive, so that a host that stops answering turns its calls into
 * errors after KEEPALIVE_S * (KEEPALIVE_COUNT + 1) seconds. */

#define KEEPALIVE_S 5
#define KEEPALIVE_COUNT 3

char *gw_lv_quiet_uri(const char *uri)
{
    static const char ssh[] = "qemu+ssh:";

    /* The ssh program would ask on a terminal; with no_tty it runs in batch mode. Of several, the
     * last counts. The other transports only ask through callbacks, and none are given. */
    if (g_ascii_strncasecmp(uri, ssh, strlen(ssh)) != 0)
        return g_strdup(uri);
    g_autofree char *bare = g_strndup(uri, strcspn(uri, "#"));
    return g_strconcat(bare, strchr(bare, '?') != NULL ? "&" : "?", "no_tty=1", NULL);
}

gboolean gw_lv_alive(virConnectPtr ptr)
{
    /* -1: the driver cannot tell; then its calls' own errors will. */
    return virConnectIsAlive(ptr) != 0;
}

static virConnectPtr open_quietly(const char *uri, GError **error)
{
    g_autofree char *quiet = gw_lv_quiet_uri(uri);
    virConnectPtr ptr = virConnectOpenAuth(quiet, NULL, 0);

    if (ptr == NULL) {
        g_autoptr(GError) why = NULL;
        gw_lv_error(&why);
        /* Whatever the reason, what it comes to is that the host cannot be reached. */
        gw_error_set(error, why->code == GW_ERR_INVALID ? GW_ERR_INVALID : GW_ERR_UNREACHABLE,
                     gw_error_remedy(why), "%s", why->message);
        return NULL;
    }
    if (virConnectSetKeepAlive(ptr, KEEPALIVE_S, KEEPALIVE_COUNT) < 0) {
        gw_lv_error(error);
        virConnectClose(ptr);
        return NULL;
    }
    return ptr;
}

/* Opening hangs as long as TCP, ssh or a stopped daemon please; the caller's deadline is kept by
 * the sweep, and what comes late is closed by the caller. Here only their number is bounded. */
virConnectPtr gw_lv_dial(GwLvTask *task, const char *uri, GError **error)
{
    GwLvDriver *driver = task->driver;

    g_mutex_lock(&driver->lock);
    gboolean many = task->host->dials >= GW_LV_DIALS_MAX;
    task->host->dials += many ? 0 : 1;
    g_mutex_unlock(&driver->lock);
    if (many) {
        gw_error_set(error, GW_ERR_UNREACHABLE,
                     "Check the address, that the host is up, and that no firewall drops the "
                     "connection.",
                     "%d earlier attempts to connect to this host still hang", GW_LV_DIALS_MAX);
        return NULL;
    }

    virConnectPtr ptr = open_quietly(uri, error);
    g_mutex_lock(&driver->lock);
    task->host->dials--;
    g_mutex_unlock(&driver->lock);
    return ptr;
}

/* Control connections ------------------------------------------------------------------------- */

GwLvConn *gw_lv_conn_ref(GwLvConn *conn)
{
    g_atomic_ref_count_inc(&conn->refs);
    return conn;
}

void gw_lv_conn_unref(GwLvConn *conn)
{
    if (conn == NULL || !g_atomic_ref_count_dec(&conn->refs))
        return;
    virConnectClose(conn->ptr);
    g_mutex_clear(&conn->calls);
    gw_lv_driver_unref(conn->driver);
    g_free(conn);
}

static void retire(gpointer data, gpointer user)
{
    GwLvConn *conn = data;

    g_mutex_lock(&conn->calls);
    gw_lv_unlisten(conn);
    g_mutex_unlock(&conn->calls);
    gw_lv_conn_unref(conn);
}

void gw_lv_conn_retire(GwLvConn *conn)
{
    /* In a thread of its own: to a host that does not answer this takes until keep-alive gives up,
     * and the event loop, where losses are noticed, is what keep-alive runs in. */
    gw_lv_work(conn->driver, retire, conn);
}

GwLvConn *gw_lv_conn_new(GwLvTask *task, virConnectPtr ptr)
{
    GwLvConn *conn = g_new0(GwLvConn, 1);

    g_atomic_ref_count_init(&conn->refs);
    conn->driver = gw_lv_driver_ref(task->driver);
    conn->host = task->host;
    conn->ptr = ptr;
    g_mutex_init(&conn->calls);
    g_mutex_lock(&task->driver->lock);
    conn->serial = ++task->driver->next_serial;
    g_mutex_unlock(&task->driver->lock);
    return conn;
}

/* From here on the host's events and its loss are told. FALSE: it is lost already. */
static gboolean announce(GwLvTask *task, GwLvConn *conn, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&task->driver->lock);

    conn->announced = task->host->lines[0].conn == conn && !task->answered;
    if (!conn->announced)
        gw_error_set(error, GW_ERR_UNREACHABLE, "Check that libvirtd runs on the host.",
                     "the connection broke at once");
    return conn->announced;
}

static gboolean settle(GwLvTask *task, GwLvConn *conn, GwReply *reply, GError **error)
{
    if (!gw_lv_listen(conn, error) || !gw_lv_install(task, conn, error))
        return FALSE;
    reply->facts = gw_lv_facts(task->host, conn->ptr, error);
    return reply->facts != NULL && announce(task, conn, error);
}

gboolean gw_lv_op_connect(GwLvTask *task, GwReply *reply, GError **error)
{
    const char *uri = task->request->text;

    if (uri == NULL || !gw_host_check_uri(uri, error)) {
        if (uri == NULL)
            gw_error_set(error, GW_ERR_INVALID, NULL, "no URI");
        return FALSE;
    }
    virConnectPtr ptr = gw_lv_dial(task, uri, error);
    if (ptr == NULL)
        return FALSE;

    GwLvConn *conn = gw_lv_conn_new(task, ptr);
    task->conn = conn;
    g_mutex_lock(&conn->calls);
    gboolean well = settle(task, conn, reply, error);
    g_mutex_unlock(&conn->calls);
    if (well)
        return TRUE;
    /* Not announced, so nobody is told; where it was not installed, its callbacks still go. */
    gw_lv_lost(task->driver, task->host, conn->serial, "connecting failed");
    gw_lv_conn_retire(gw_lv_conn_ref(conn));
    return FALSE;
}

gboolean gw_lv_op_disconnect(GwLvTask *task, GwReply *reply, GError **error)
{
    gw_lv_detach(task);
    return TRUE;
}
