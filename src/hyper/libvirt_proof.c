/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "hyper/libvirt_storage.h"

/* What a share is proved with: a marker written through one host and read through another shows
 * that both see one storage; a lock on it, taken by a QEMU through one host and refused through
 * another, shows that QEMU's image locks hold between them. */

#define MARKER_BYTES                                                                               \
    65536 /* enough for any pool type; QEMU locks bytes 100 to 204 of the image                    \
           */
#define MARKER_NAME_MAX 128
#define READ_TRIES 3
#define LOCK_MEMORY_KIB (32 * 1024)

/* The marker's name becomes a file name and part of XML, so it is of few letters. */
static gboolean check_names(const GwRequest *request, GError **error)
{
    const char *name = request->text2;
    gboolean well = request->text != NULL && name != NULL && g_ascii_isalnum(*name) &&
                    strlen(name) <= MARKER_NAME_MAX;

    for (const char *p = name; well && *p != '\0'; p++)
        well = g_ascii_isalnum(*p) || strchr("._-", *p) != NULL;
    if (!well)
        gw_error_set(error, GW_ERR_INVALID, NULL, "no pool, or no plain marker name");
    return well;
}

static virStoragePoolPtr find_pool(GwLvTask *task, GError **error)
{
    virStoragePoolPtr pool = NULL;

    if (!check_names(task->request, error))
        return NULL;
    pool = virStoragePoolLookupByName(task->conn->ptr, task->request->text);
    if (pool == NULL) {
        gw_lv_error(error);
    } else if (virStoragePoolIsActive(pool) == 0) {
        gw_error_set(error, GW_ERR_CONFLICT, "Start the pool on its host.",
                     "the pool '%s' is not active", task->request->text);
        g_clear_pointer(&pool, virStoragePoolFree);
    }
    return pool;
}

/* NULL with @error unset: no such volume. */
static virStorageVolPtr find_volume(virStoragePoolPtr pool, const char *name, GError **error)
{
    virStorageVolPtr volume = virStorageVolLookupByName(pool, name);

    if (volume == NULL && gw_lv_last_code() != VIR_ERR_NO_STORAGE_VOL)
        gw_lv_error(error);
    return volume;
}

/* Markers ------------------------------------------------------------------------------------- */

/* What the marker holds: the number and the name, so that neither a stale file of this name nor
 * one of another proof passes. */
static char *content_of(const GwRequest *request)
{
    return g_strdup_printf("godwit %016" G_GINT64_MODIFIER "x %s\n", (guint64)request->number,
                           request->text2);
}

static gboolean upload(virConnectPtr ptr, virStorageVolPtr volume, const char *content,
                       GError **error)
{
    g_autoptr(virStream) stream = virStreamNew(ptr, 0);
    gsize length = strlen(content);
    gsize sent = 0;

    if (stream == NULL || virStorageVolUpload(volume, stream, 0, length, 0) < 0) {
        gw_lv_error(error);
        return FALSE;
    }
    while (sent < length) {
        int n = virStreamSend(stream, content + sent, length - sent);
        if (n < 0) {
            gw_lv_error(error);
            virStreamAbort(stream);
            return FALSE;
        }
        sent += (gsize)n;
    }
    if (virStreamFinish(stream) < 0) {
        gw_lv_error(error);
        return FALSE;
    }
    return TRUE;
}

static virStorageVolPtr create_volume(virStoragePoolPtr pool, const char *name, GError **error)
{
    g_autofree char *xml = g_strdup_printf("<volume><name>%s</name><capacity>%d</capacity>"
                                           "<target><format type='raw'/></target></volume>",
                                           name, MARKER_BYTES);
    virStorageVolPtr volume = virStorageVolCreateXML(pool, xml, 0);

    /* A marker that is left from an answer that was lost is as good. */
    if (volume == NULL && gw_lv_last_code() == VIR_ERR_STORAGE_VOL_EXIST)
        volume = virStorageVolLookupByName(pool, name);
    if (volume == NULL)
        gw_lv_error(error);
    return volume;
}

gboolean gw_lv_op_marker_write(GwLvTask *task, GwReply *reply, GError **error)
{
    g_autoptr(virStoragePool) pool = find_pool(task, error);
    if (pool == NULL)
        return FALSE;
    g_autoptr(virStorageVol) volume = create_volume(pool, task->request->text2, error);
    if (volume == NULL)
        return FALSE;

    g_autofree char *content = content_of(task->request);
    if (upload(task->conn->ptr, volume, content, error))
        return TRUE;
    virStorageVolDelete(volume, 0);
    return FALSE;
}

/* Reads exactly @length bytes into @buffer. */
static gboolean download(virConnectPtr ptr, virStorageVolPtr volume, char *buffer, gsize length,
                         GError **error)
{
    g_autoptr(virStream) stream = virStreamNew(ptr, 0);
    gsize got = 0;

    if (stream == NULL || virStorageVolDownload(volume, stream, 0, length, 0) < 0) {
        gw_lv_error(error);
        return FALSE;
    }
    while (got < length) {
        int n = virStreamRecv(stream, buffer + got, length - got);
        if (n < 0) {
            gw_lv_error(error);
            virStreamAbort(stream);
            return FALSE;
        }
        if (n == 0)
            break;
        got += (gsize)n;
    }
    if (virStreamFinish(stream) < 0 && got == length) {
        gw_lv_error(error);
        return FALSE;
    }
    memset(buffer + got, 0, length - got);
    return TRUE;
}

/* Whether the marker is seen, with its content; FALSE with @error unset: it is not. */
static gboolean see_marker(GwLvTask *task, virStoragePoolPtr pool, GError **error)
{
    g_autofree char *expected = content_of(task->request);
    gsize length = strlen(expected);
    g_autofree char *found = g_malloc0(length + 1);

    if (!gw_lv_refresh(pool, error))
        return FALSE;
    g_autoptr(virStorageVol) volume = find_volume(pool, task->request->text2, error);
    return volume != NULL && download(task->conn->ptr, volume, found, length, error) &&
           memcmp(found, expected, length) == 0;
}

gboolean gw_lv_op_marker_read(GwLvTask *task, GwReply *reply, GError **error)
{
    g_autoptr(virStoragePool) pool = find_pool(task, error);
    if (pool == NULL)
        return FALSE;

    /* A network file system may show another host's file a moment later. */
    for (int i = 0; i < READ_TRIES && !reply->verdict; i++) {
        GError *why = NULL;
        if (i > 0)
            g_usleep(G_USEC_PER_SEC);
        reply->verdict = see_marker(task, pool, &why);
        if (why != NULL) {
            g_propagate_error(error, why);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean gw_lv_op_marker_remove(GwLvTask *task, GwReply *reply, GError **error)
{
    GError *why = NULL;
    g_autoptr(virStoragePool) pool = find_pool(task, error);
    if (pool == NULL || !gw_lv_refresh(pool, error))
        return FALSE;

    g_autoptr(virStorageVol) volume = find_volume(pool, task->request->text2, &why);
    if (volume != NULL && virStorageVolDelete(volume, 0) < 0 &&
        gw_lv_last_code() != VIR_ERR_NO_STORAGE_VOL)
        gw_lv_error(&why);
    if (why != NULL)
        g_propagate_error(error, why);
    return why == NULL;
}

/* Locks --------------------------------------------------------------------------------------- */

static char *lock_name(const GwRequest *request)
{
    return g_strconcat(GW_LOCK_VM_PREFIX, request->text2, NULL);
}

/* A VM with nothing in it but the marker. It is never started to run: QEMU takes its locks when it
 * opens the disk. Emulated, so that it needs nothing of the host but QEMU. */
static char *lock_xml(const GwRequest *request, gboolean block, const char *path)
{
    g_autofree char *name = lock_name(request);

    return g_markup_printf_escaped(
        "<domain type='qemu'><name>%s</name><memory unit='KiB'>%d</memory><vcpu>1</vcpu>"
        "<os><type>hvm</type></os><on_crash>destroy</on_crash><devices>"
        "<disk type='%s' device='disk'><driver name='qemu' type='raw' cache='none'/>"
        "<source %s='%s'/><target dev='vda' bus='virtio'/></disk>"
        "<controller type='usb' model='none'/><memballoon model='none'/>"
        "<video><model type='none'/></video></devices></domain>",
        name, LOCK_MEMORY_KIB, block ? "block" : "file", block ? "dev" : "file", path);
}

/* QEMU's words, and those of libvirt's lock managers. */
static gboolean is_lock_refusal(void)
{
    static const char *const words[] = { "Failed to get \"write\" lock",
                                         "Failed to get shared \"write\" lock",
                                         "Is another process using the image",
                                         "Failed to acquire lock", "resource busy" };
    const char *message = virGetLastErrorMessage();

    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        if (strstr(message, words[i]) != NULL)
            return TRUE;
    }
    return gw_lv_last_code() == VIR_ERR_RESOURCE_BUSY;
}

static char *lock_definition(GwLvTask *task, GError **error)
{
    g_autoptr(virStoragePool) pool = find_pool(task, error);
    if (pool == NULL || !gw_lv_refresh(pool, error))
        return NULL;
    g_autoptr(virStorageVol) volume = virStorageVolLookupByName(pool, task->request->text2);
    virStorageVolInfo info = { 0 };
    if (volume == NULL || virStorageVolGetInfo(volume, &info) < 0) {
        gw_lv_error(error);
        return NULL;
    }
    if (info.type != VIR_STORAGE_VOL_FILE && info.type != VIR_STORAGE_VOL_BLOCK) {
        gw_error_set(error, GW_ERR_UNSUPPORTED, NULL,
                     "locks are tried on files and block devices only");
        return NULL;
    }
    char *path = virStorageVolGetPath(volume);
    if (path == NULL) {
        gw_lv_error(error);
        return NULL;
    }
    char *xml = lock_xml(task->request, info.type == VIR_STORAGE_VOL_BLOCK, path);
    free(path);
    return xml;
}

gboolean gw_lv_op_lock_hold(GwLvTask *task, GwReply *reply, GError **error)
{
    if (!check_names(task->request, error))
        return FALSE;
    g_autofree char *name = lock_name(task->request);
    g_autoptr(virDomain) there = virDomainLookupByName(task->conn->ptr, name);
    if (there != NULL && virDomainIsActive(there) == 1) {
        reply->verdict = TRUE;
        return TRUE;
    }
    g_autofree char *xml = lock_definition(task, error);
    if (xml == NULL)
        return FALSE;

    /* It ends with the connection, should nobody drop it. */
    g_autoptr(virDomain) domain = virDomainCreateXML(
        task->conn->ptr, xml, VIR_DOMAIN_START_PAUSED | VIR_DOMAIN_START_AUTODESTROY);
    reply->verdict = domain != NULL;
    if (domain != NULL)
        return TRUE;
    if (is_lock_refusal()) {
        reply->text = gw_text_printable(virGetLastErrorMessage(), GW_TEXT_MESSAGE_MAX);
        return TRUE;
    }
    gw_lv_error(error);
    return FALSE;
}

gboolean gw_lv_op_lock_drop(GwLvTask *task, GwReply *reply, GError **error)
{
    if (!check_names(task->request, error))
        return FALSE;
    g_autofree char *name = lock_name(task->request);
    g_autoptr(virDomain) domain = virDomainLookupByName(task->conn->ptr, name);

    if (domain == NULL && gw_lv_last_code() == VIR_ERR_NO_DOMAIN)
        return TRUE;
    if (domain != NULL && (virDomainIsActive(domain) == 0 || virDomainDestroy(domain) == 0))
        return TRUE;
    if (gw_lv_last_code() == VIR_ERR_NO_DOMAIN)
        return TRUE;
    gw_lv_error(error);
    return FALSE;
}
