/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper/qcow2.h"

#include <string.h>

#include "base/error.h"

#define MAGIC 0x514649fbu
#define HEADER_V2_BYTES 72
#define HEADER_V3_BYTES 104
#define CLUSTER_BITS_MIN 9
#define CLUSTER_BITS_MAX 21
#define EXTENSION_END 0
#define EXTENSION_BACKING_FORMAT 0xe2792acau
#define EXTENSIONS_MAX 64
#define FORMAT_NAME_MAX 32

#define INCOMPATIBLE_CORRUPT (1 << 1)
#define INCOMPATIBLE_DATA_FILE (1 << 2)
#define INCOMPATIBLE_EXTENDED_L2 (1 << 4)
#define COMPATIBLE_LAZY_REFCOUNTS (1 << 0)

static guint32 be32(const guint8 *at)
{
    return (guint32)at[0] << 24 | (guint32)at[1] << 16 | (guint32)at[2] << 8 | at[3];
}

static guint64 be64(const guint8 *at)
{
    return (guint64)be32(at) << 32 | be32(at + 4);
}

void gw_qcow2_clear(GwQcow2 *head)
{
    g_clear_pointer(&head->backing, g_free);
    g_clear_pointer(&head->backing_format, g_free);
}

static gboolean refuse(GError **error, const char *why)
{
    gw_error_set(error, GW_ERR_INVALID, "Check the image on its host with qemu-img check.",
                 "not a sound qcow2 image: %s", why);
    return FALSE;
}

static gboolean too_short(gsize *need, gsize wanted, GError **error)
{
    if (need != NULL)
        *need = wanted;
    return refuse(error, "it ends within its header");
}

/* @length bytes as text without NUL. */
static char *text(const guint8 *at, gsize length)
{
    return memchr(at, 0, length) == NULL ? g_strndup((const char *)at, length) : NULL;
}

static gboolean read_fixed(const guint8 *bytes, GwQcow2 *head, GError **error)
{
    guint32 cluster_bits = be32(bytes + 20);
    guint64 capacity = be64(bytes + 24);

    if (cluster_bits < CLUSTER_BITS_MIN || cluster_bits > CLUSTER_BITS_MAX)
        return refuse(error, "its cluster size is out of bounds");
    if (capacity > G_MAXINT64)
        return refuse(error, "its size is out of bounds");
    head->cluster_bytes = (gint64)1 << cluster_bits;
    head->capacity_bytes = (gint64)capacity;
    head->encrypted = be32(bytes + 32) != 0;
    head->snapshots = be32(bytes + 60);
    return TRUE;
}

static void read_features(const guint8 *bytes, GwQcow2 *head)
{
    guint64 incompatible = be64(bytes + 72);

    head->corrupt = (incompatible & INCOMPATIBLE_CORRUPT) != 0;
    head->data_file = (incompatible & INCOMPATIBLE_DATA_FILE) != 0;
    head->extended_l2 = (incompatible & INCOMPATIBLE_EXTENDED_L2) != 0;
    head->lazy_refcounts = (be64(bytes + 80) & COMPATIBLE_LAZY_REFCOUNTS) != 0;
}

static gboolean read_extensions(const guint8 *bytes, gsize length, gsize at, GwQcow2 *head,
                                gsize *need, GError **error)
{
    for (int i = 0; i < EXTENSIONS_MAX && (gint64)at + 8 <= head->cluster_bytes; i++) {
        if (at + 8 > length)
            return too_short(need, (gsize)head->cluster_bytes, error);
        guint32 type = be32(bytes + at);
        gsize size = be32(bytes + at + 4);
        at += 8;
        if (type == EXTENSION_END)
            return TRUE;
        if (size > (gsize)head->cluster_bytes || at + size > (gsize)head->cluster_bytes)
            return refuse(error, "a header extension is too long");
        if (at + size > length)
            return too_short(need, (gsize)head->cluster_bytes, error);
        if (type == EXTENSION_BACKING_FORMAT) {
            g_free(head->backing_format);
            head->backing_format = size <= FORMAT_NAME_MAX ? text(bytes + at, size) : NULL;
            if (head->backing_format == NULL)
                return refuse(error, "its backing file's format cannot be read");
        }
        at += (size + 7) & ~(gsize)7;
    }
    return TRUE;
}

static gboolean read_backing(const guint8 *bytes, gsize length, GwQcow2 *head, gsize *need,
                             GError **error)
{
    guint64 at = be64(bytes + 8);
    gsize size = be32(bytes + 16);

    if (at == 0 || size == 0)
        return TRUE;
    if (size > GW_QCOW2_BACKING_MAX || at > (guint64)head->cluster_bytes ||
        at + size > (guint64)head->cluster_bytes)
        return refuse(error, "its backing file's name is out of bounds");
    if (at + size > length)
        return too_short(need, (gsize)head->cluster_bytes, error);
    head->backing = text(bytes + at, size);
    return head->backing != NULL || refuse(error, "its backing file's name cannot be read");
}

static gboolean read_head(const guint8 *bytes, gsize length, GwQcow2 *head, gsize *need,
                          GError **error)
{
    if (length < HEADER_V2_BYTES || be32(bytes) != MAGIC)
        return refuse(error, "it does not begin as one");
    head->version = (int)MIN(be32(bytes + 4), 1000);
    if (head->version != 2 && head->version != 3)
        return refuse(error, "its version is not known");
    if (!read_fixed(bytes, head, error))
        return FALSE;
    gsize header = HEADER_V2_BYTES;
    if (head->version == 3) {
        if (length < HEADER_V3_BYTES)
            return refuse(error, "it ends within its header");
        header = be32(bytes + 100);
        if (header < HEADER_V3_BYTES || (gint64)header > head->cluster_bytes)
            return refuse(error, "its header's length is out of bounds");
        read_features(bytes, head);
    }
    return read_extensions(bytes, length, header, head, need, error) &&
           read_backing(bytes, length, head, need, error);
}

gboolean gw_qcow2_read(const guint8 *bytes, gsize length, GwQcow2 *head, gsize *need,
                       GError **error)
{
    g_auto(GwQcow2) found = { .version = 0 };

    if (need != NULL)
        *need = 0;
    if (!read_head(bytes, length, &found, need, error))
        return FALSE;
    *head = found;
    found.backing = found.backing_format = NULL;
    return TRUE;
}
