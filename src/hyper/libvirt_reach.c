/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "hyper/libvirt_storage.h"
#include "hyper/libvirt_volume_xml.h"

/* Whether a host gets to what a disk lives on, tried from that host (R28): a target of iSCSI is
 * looked for at its server as QEMU would open it, its LUN in a pool that passes; a block device is
 * looked for by its path. What only the host can try by opening it is the agent's to try. */

/* What libiscsi in QEMU calls itself where nobody says otherwise. */
#define INITIATOR "iqn.2008-11.org.linux-kvm"
#define LUN_POOL "godwit-folder-lun"
#define IQN_MAX 223
#define LOGIN_TRIES 5

static void not_reached(GwReply *reply, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void not_reached(GwReply *reply, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    reply->verdict = FALSE;
    reply->text = gw_text_printable(g_strchomp(text), GW_TEXT_MESSAGE_MAX);
}

static gboolean untold(GError **error, const char *why)
{
    gw_error_set(error, GW_ERR_UNSUPPORTED,
                 "Install the agent on the host, or see there that the disk can be opened.", "%s",
                 why);
    return FALSE;
}

/* iSCSI --------------------------------------------------------------------------------------- */

typedef struct {
    char *server; /* host and port of the first portal */
    char *port;
    char *target;
    char *lun;
} Lun;

static void clear_lun(Lun *lun)
{
    g_free(lun->server);
    g_free(lun->port);
    g_free(lun->target);
    g_free(lun->lun);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Lun, clear_lun)

/* "iscsi:iqn.2026-01.org.example:disks/1" at "192.0.2.1:3260". */
static gboolean parse_lun(const GwDisk *disk, Lun *lun, GError **error)
{
    g_auto(GStrv) hosts = g_strsplit(disk->source_host != NULL ? disk->source_host : "", ",", 2);
    const char *name = disk->source + strlen("iscsi:");
    const char *slash = strrchr(name, '/');
    const char *host = hosts[0] != NULL ? hosts[0] : "";
    const char *colon = strrchr(host, ':');

    if (*host == '\0' || *host == '/' || *name == '\0' || strlen(name) > IQN_MAX + 8)
        return untold(error, "the disk names no iSCSI target of a server");
    /* An address of IPv6 has colons, and a port only after its bracket. */
    if (colon != NULL && (strchr(host, ':') == colon || strchr(host, ']') != NULL)) {
        lun->server = g_strndup(host, (gsize)(colon - host));
        lun->port = g_strdup(colon + 1);
    } else {
        lun->server = g_strdup(host);
    }
    lun->target = slash != NULL ? g_strndup(name, (gsize)(slash - name)) : g_strdup(name);
    lun->lun = g_strdup(slash != NULL ? slash + 1 : "0");
    return TRUE;
}

static char *source_xml(const Lun *lun, gboolean target)
{
    g_autofree char *port =
        lun->port != NULL ? g_markup_printf_escaped(" port='%s'", lun->port) : g_strdup("");
    g_autofree char *host = g_markup_printf_escaped("<host name='%s'", lun->server);
    g_autofree char *device =
        target ? g_markup_printf_escaped("<device path='%s'/>", lun->target) : g_strdup("");

    return g_strconcat("<source>", host, port, "/>", device,
                       "<initiator><iqn name='" INITIATOR "'/></initiator></source>", NULL);
}

/* libvirt has no such backend, in its words: an unknown or a missing pool type. */
static gboolean lacks_backend(void)
{
    int code = gw_lv_last_code();

    return code == VIR_ERR_NO_SUPPORT || code == VIR_ERR_CONFIG_UNSUPPORTED ||
           strstr(virGetLastErrorMessage(), "missing backend for pool type") != NULL ||
           strstr(virGetLastErrorMessage(), "unknown storage pool type") != NULL;
}

static gboolean no_backend(GError **error)
{
    gw_error_set(error, GW_ERR_UNSUPPORTED,
                 "Install libvirt-daemon-driver-storage-iscsi-direct on the host, or the agent.",
                 "the host's libvirt cannot look for iSCSI targets: %s", virGetLastErrorMessage());
    return FALSE;
}

/* Whether @server offers the target. */
static gboolean find_target(virConnectPtr ptr, const Lun *lun, GwReply *reply, GError **error)
{
    g_autofree char *spec = source_xml(lun, FALSE);
    char *found = virConnectFindStoragePoolSources(ptr, "iscsi-direct", spec, 0);

    if (found == NULL && lacks_backend())
        return no_backend(error);
    if (found == NULL) {
        not_reached(reply, "the iSCSI server %s does not answer: %s", lun->server,
                    virGetLastErrorMessage());
        return TRUE;
    }
    g_autoptr(GPtrArray) targets = gw_libvirt_sources_targets(found);
    free(found);
    reply->verdict = g_ptr_array_find_with_equal_func(targets, lun->target, g_str_equal, NULL);
    if (!reply->verdict)
        not_reached(reply, "the iSCSI server %s does not show this host the target %s", lun->server,
                    lun->target);
    return TRUE;
}

static gboolean has_lun(virStoragePoolPtr pool, const Lun *lun)
{
    virStorageVolPtr *volumes = NULL;
    int count = virStoragePoolListAllVolumes(pool, &volumes, 0);
    g_autofree char *suffix = g_strconcat(":", lun->lun, NULL);
    gboolean found = FALSE;

    for (int i = 0; i < count; i++) {
        const char *name = virStorageVolGetName(volumes[i]); /* unit:0:0:LUN */
        found = found || (name != NULL && g_str_has_suffix(name, suffix));
        virStorageVolFree(volumes[i]);
    }
    if (count >= 0)
        free(volumes);
    return found;
}

static char *lun_pool_name(const Lun *lun)
{
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, lun->target, -1);

    return g_strdup_printf(LUN_POOL "-%.16s", sum);
}

/* A target says UNIT ATTENTION once to each initiator when something about it changed (a LUN was
 * added, another initiator reset it): it lets the host in. libvirt asks no second time. */
static virStoragePoolPtr log_in(virConnectPtr ptr, const char *xml)
{
    virStoragePoolPtr pool = NULL;

    for (int i = 0; pool == NULL && i < LOGIN_TRIES; i++) {
        pool = virStoragePoolCreateXML(ptr, xml, 0);
        if (pool == NULL && strstr(virGetLastErrorMessage(), "UNIT_ATTENTION") == NULL)
            break;
    }
    return pool;
}

/* Logs in to the target and lists its LUNs. No sweep of passing pools ends this one meanwhile. */
static void find_lun(GwLvTask *task, const Lun *lun, GwReply *reply)
{
    g_autofree char *name = lun_pool_name(lun);
    g_autofree char *source = source_xml(lun, TRUE);
    g_autofree char *xml =
        g_strdup_printf("<pool type='iscsi-direct'><name>%s</name>%s</pool>", name, source);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&task->host->folders_lock);
    g_autoptr(virStoragePool) left = virStoragePoolLookupByName(task->conn->ptr, name);

    if (left != NULL)
        virStoragePoolDestroy(left);
    g_autoptr(virStoragePool) pool = log_in(task->conn->ptr, xml);
    if (pool == NULL) {
        not_reached(reply, "the target %s of %s does not let this host in: %s", lun->target,
                    lun->server, virGetLastErrorMessage());
        return;
    }
    if (!has_lun(pool, lun))
        not_reached(reply, "the target %s of %s shows this host no LUN %s", lun->target,
                    lun->server, lun->lun);
    virStoragePoolDestroy(pool);
}

static gboolean reach_iscsi(GwLvTask *task, GwReply *reply, GError **error)
{
    g_auto(Lun) lun = { .server = NULL };

    if (!parse_lun(task->request->disk, &lun, error) ||
        !find_target(task->conn->ptr, &lun, reply, error))
        return FALSE;
    if (reply->verdict)
        find_lun(task, &lun, reply);
    return TRUE;
}

/* Paths --------------------------------------------------------------------------------------- */

static gboolean reach_path(GwLvTask *task, const char *path, GwReply *reply, GError **error)
{
    g_autoptr(GwVolume) volume = gw_volume_new();
    g_auto(GwLvPlace) place = { .host = NULL };

    volume->path = g_strdup(path);
    if (!gw_lv_place_open(task->host, task->conn->ptr, volume, 0, &place, error))
        return FALSE;
    reply->verdict = place.volume != NULL;
    if (!reply->verdict)
        not_reached(reply, "'%s' is not there", path);
    return TRUE;
}

gboolean gw_lv_op_reach(GwLvTask *task, GwReply *reply, GError **error)
{
    const GwDisk *disk = task->request->disk;

    if (disk == NULL || disk->source == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "no disk is named, or it has no source");
        return FALSE;
    }
    if (g_strcmp0(disk->type, "block") == 0 || g_strcmp0(disk->type, "file") == 0)
        return reach_path(task, disk->source, reply, error);
    if (g_strcmp0(disk->type, "network") == 0 && g_str_has_prefix(disk->source, "iscsi:"))
        return reach_iscsi(task, reply, error);
    g_autofree char *why =
        g_strdup_printf("libvirt cannot try to reach a disk of type %s (%s)",
                        disk->type != NULL ? disk->type : "unknown", disk->source);
    return untold(error, why);
}
