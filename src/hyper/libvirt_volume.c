/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "hyper/libvirt_storage.h"
#include "hyper/libvirt_volume_xml.h"
#include "hyper/qcow2.h"

/* Looking at pools and volumes.
 *
 * What format an image has is what its VM's definition, or the image above it, says. A guest can
 * write into a raw disk whatever looks like another format, with any file of the host as its
 * backing file (CVE-2022-47951), so a content is never asked what it is where somebody can say. */

#define CHAIN_MAX 64

/* Pools --------------------------------------------------------------------------------------- */

gboolean gw_lv_op_pool_look(GwLvTask *task, GwReply *reply, GError **error)
{
    const char *name = task->request->text;
    g_autoptr(virStoragePool) pool =
        name != NULL ? virStoragePoolLookupByName(task->conn->ptr, name) : NULL;

    if (name == NULL)
        gw_error_set(error, GW_ERR_INVALID, NULL, "no pool is named");
    else if (pool == NULL)
        gw_lv_error(error);
    if (pool == NULL)
        return FALSE;
    if (virStoragePoolIsActive(pool) == 1 && !gw_lv_refresh(pool, error))
        return FALSE;
    reply->pool = gw_lv_read_pool(pool);
    if (reply->pool == NULL)
        gw_error_set(error, GW_ERR_OPERATION, NULL, "the pool '%s' cannot be read", name);
    return reply->pool != NULL;
}

/* Volumes ------------------------------------------------------------------------------------- */

char *gw_lv_volume_words(const GwVolume *volume)
{
    if (volume->pool != NULL)
        return g_strdup_printf("the volume '%s' of pool '%s'",
                               volume->name != NULL ? volume->name : "", volume->pool);
    return g_strdup_printf("'%s'", volume->path != NULL ? volume->path : "");
}

static gboolean collect_head(gpointer user, const guint8 *data, guint64 length, GError **error)
{
    GByteArray *bytes = user;
    guint at = bytes->len;

    g_byte_array_set_size(bytes, at + (guint)length);
    if (data != NULL)
        memcpy(bytes->data + at, data, length);
    else
        memset(bytes->data + at, 0, length);
    return TRUE;
}

static gboolean read_head(const GwLvPlace *place, gint64 file_bytes, GwQcow2 *head, GError **error)
{
    gsize need = GW_QCOW2_HEAD_BYTES;
    g_autoptr(GError) why = NULL;

    while (need > 0) {
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        gsize length = MIN(need, (gsize)file_bytes);
        gboolean all = length == (gsize)file_bytes || length >= GW_QCOW2_HEAD_MAX;
        g_clear_error(&why);
        if (length > 0 &&
            !gw_lv_read(place->ptr, place->volume, 0, length, collect_head, bytes, error))
            return FALSE;
        if (gw_qcow2_read(bytes->data, bytes->len, head, &need, &why))
            return TRUE;
        need = all ? 0 : MIN(need, GW_QCOW2_HEAD_MAX);
    }
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

static void take_head(GwVolume *volume, const GwQcow2 *head)
{
    g_free(volume->compat);
    g_free(volume->backing_path);
    g_free(volume->backing_format);
    volume->compat = g_strdup(head->version == 2 ? "0.10" : "1.1");
    volume->backing_path = g_strdup(head->backing);
    volume->backing_format = g_strdup(head->backing_format);
    volume->capacity_bytes = head->capacity_bytes;
    volume->cluster_bytes = head->cluster_bytes;
    volume->lazy_refcounts = head->lazy_refcounts;
    volume->extended_l2 = head->extended_l2;
    volume->encrypted = head->encrypted;
    volume->internal_snapshots = head->snapshots;
}

static gboolean unsupported(const GwVolume *volume, const char *why, GError **error)
{
    g_autofree char *words = gw_lv_volume_words(volume);

    gw_error_set(error, GW_ERR_UNSUPPORTED, "Convert the image to qcow2 or raw with qemu-img.",
                 "%s %s", words, why);
    return FALSE;
}

/* Takes the header's word, and makes the backing file's name a path. */
static gboolean read_qcow2(const GwLvPlace *place, GwVolume *volume, GError **error)
{
    g_auto(GwQcow2) head = { .version = 0 };

    if (!read_head(place, volume->length_bytes, &head, error))
        return FALSE;
    if (head.data_file)
        return unsupported(volume, "keeps its data in another file", error);
    take_head(volume, &head);
    if (head.backing != NULL) {
        char *path = gw_libvirt_backing_path(volume->path, head.backing, NULL);
        g_free(volume->backing_path); /* what is no file of the host stays as it is written */
        volume->backing_path =
            path != NULL ? path : gw_text_printable(head.backing, GW_TEXT_MESSAGE_MAX);
    }
    return TRUE;
}

/* What libvirt saw in a raw image's content does not count. */
static void be_raw(GwVolume *volume)
{
    g_clear_pointer(&volume->compat, g_free);
    g_clear_pointer(&volume->backing_path, g_free);
    g_clear_pointer(&volume->backing_format, g_free);
    volume->cluster_bytes = 0;
    volume->lazy_refcounts = volume->extended_l2 = FALSE;
    volume->internal_snapshots = 0;
    if (volume->length_bytes > 0)
        volume->capacity_bytes = volume->length_bytes;
}

static gboolean read_as(const GwLvPlace *place, GwVolume *volume, const char *format,
                        GError **error)
{
    if (format != NULL && g_strcmp0(format, volume->format) != 0) {
        g_free(volume->format);
        volume->format = g_strdup(format);
        if (strcmp(format, "raw") == 0)
            volume->encrypted = FALSE; /* what libvirt saw is the content's, not the VM's */
    }
    if (g_strcmp0(volume->kind, "file") != 0 && g_strcmp0(volume->kind, "block") != 0)
        return TRUE; /* nothing to be read */
    if (g_strcmp0(volume->format, "qcow2") == 0)
        return read_qcow2(place, volume, error);
    if (g_strcmp0(volume->format, "raw") == 0)
        be_raw(volume);
    else if (volume->backing_path != NULL)
        return unsupported(volume, "is an image of a format whose backing file is not understood",
                           error);
    return TRUE;
}

GwVolume *gw_lv_volume_read(const GwLvPlace *place, const char *format, GError **error)
{
    char *xml = virStorageVolGetXMLDesc(place->volume, 0);
    if (xml == NULL) {
        gw_lv_error(error);
        return NULL;
    }
    g_autoptr(GwVolume) volume = gw_libvirt_volume_from_xml(xml, error);
    free(xml);
    if (volume == NULL)
        return NULL;
    volume->pool = g_strdup(place->pool_name);
    if (g_str_has_prefix(volume->path, "/dev/") && !g_str_has_prefix(volume->path, "/dev/shm/") &&
        g_strcmp0(volume->kind, "file") == 0) { /* what libvirt calls all that a folder shows */
        g_free(volume->kind);
        volume->kind = g_strdup("block");
    }
    if (volume->format == NULL || strcmp(volume->format, "unknown") == 0) {
        g_free(volume->format); /* of a block device libvirt says nothing */
        volume->format = g_strdup(format != NULL ? format : "raw");
    }
    if (read_as(place, volume, format, error))
        return g_steal_pointer(&volume);
    g_prefix_error(error, "'%s': ", volume->path);
    return NULL;
}

/* Chains -------------------------------------------------------------------------------------- */

static GwVolume *look(GwLvHost *host, virConnectPtr ptr, const GwVolume *wanted, GError **error)
{
    g_auto(GwLvPlace) place = { .host = NULL };

    if (!gw_lv_place_open(host, ptr, wanted, 0, &place, error) || place.volume == NULL)
        return NULL;
    return gw_lv_volume_read(&place, wanted->format, error);
}

/* Whether it is said of what kind the image below @volume is. */
static gboolean check_below(const GwVolume *volume, GError **error)
{
    g_autofree char *path = gw_libvirt_backing_path(volume->path, volume->backing_path, error);

    if (path == NULL)
        return FALSE;
    if (volume->backing_format != NULL)
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID,
                 "Write it down, with the VM off: qemu-img rebase -u -F FORMAT -b BACKING IMAGE.",
                 "'%s' does not say which format its backing file '%s' has, and it is not guessed",
                 volume->path, volume->backing_path);
    return FALSE;
}

/* The image below @volume. */
static GwVolume *look_below(GwLvHost *host, virConnectPtr ptr, const GwVolume *volume,
                            GError **error)
{
    g_autoptr(GwVolume) wanted = gw_volume_new();
    GError *why = NULL;

    if (!check_below(volume, error))
        return NULL;
    wanted->path = g_strdup(volume->backing_path);
    wanted->format = g_strdup(volume->backing_format);
    GwVolume *below = look(host, ptr, wanted, &why);
    if (below == NULL && why == NULL)
        gw_error_set(&why, GW_ERR_NOT_FOUND,
                     "Put the file back, or restore the disk: without it the disk cannot be read.",
                     "the backing file '%s' of '%s' is missing", volume->backing_path,
                     volume->path);
    if (why != NULL)
        g_propagate_error(error, why);
    return below;
}

/* FALSE: @below is in @chain already, or it is too long. */
static gboolean can_follow(const GPtrArray *chain, const GwVolume *below, GError **error)
{
    for (guint i = 0; i < chain->len; i++) {
        const GwVolume *above = chain->pdata[i];
        if (strcmp(above->path, below->path) != 0)
            continue;
        gw_error_set(error, GW_ERR_INVALID, "Restore the disk: it cannot be read.",
                     "'%s' is below itself: its backing files make a loop", below->path);
        return FALSE;
    }
    if (chain->len < CHAIN_MAX)
        return TRUE;
    gw_error_set(error, GW_ERR_TOO_LARGE, "Merge some of the images (virsh blockcommit).",
                 "more than %d images below one another", CHAIN_MAX);
    return FALSE;
}

GPtrArray *gw_lv_chain(GwLvHost *host, virConnectPtr ptr, const GwVolume *volume, GError **error)
{
    g_autoptr(GPtrArray) chain = gw_record_array(&gw_volume_record);
    GError *why = NULL;
    GwVolume *image = look(host, ptr, volume, &why);

    while (image != NULL) {
        g_ptr_array_add(chain, image);
        if (image->backing_path == NULL)
            break;
        g_autoptr(GwVolume) below = look_below(host, ptr, image, &why);
        image = below != NULL && can_follow(chain, below, &why) ? g_steal_pointer(&below) : NULL;
    }
    if (why == NULL)
        return g_steal_pointer(&chain);
    g_propagate_error(error, why);
    return NULL;
}

gboolean gw_lv_op_volume_look(GwLvTask *task, GwReply *reply, GError **error)
{
    const GwRequest *request = task->request;
    GError *why = NULL;

    if (request->number == 1 && request->volume != NULL) {
        reply->volumes = gw_lv_chain(task->host, task->conn->ptr, request->volume, error);
        return reply->volumes != NULL;
    }
    GwVolume *volume = NULL;
    g_auto(GwLvPlace) place = { .host = NULL };
    if (!gw_lv_place_open(task->host, task->conn->ptr, request->volume, 0, &place, error))
        return FALSE;
    if (place.volume != NULL)
        volume = gw_lv_volume_read(&place, request->volume->format, &why);
    if (why != NULL) {
        g_propagate_error(error, why);
        return FALSE;
    }
    if (volume != NULL && g_strcmp0(volume->kind, "block") == 0)
        volume->used_by = gw_lv_device_user(&place);
    reply->volumes = gw_record_array(&gw_volume_record);
    if (volume != NULL)
        g_ptr_array_add(reply->volumes, volume);
    return TRUE;
}
