/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* The header of a qcow2 image (QEMU, docs/interop/qcow2.txt). libvirt tells most of what is in it,
 * but where an image does not say its backing file's format libvirt probes that file and tells what
 * it found as if it had been said; and it tells neither how many snapshots are inside, nor that
 * the data is in another file. A pure function of hostile bytes. */

#define GW_QCOW2_HEAD_BYTES (64 * 1024)     /* enough of nearly any image */
#define GW_QCOW2_HEAD_MAX (2 * 1024 * 1024) /* the header ends within the first cluster */
#define GW_QCOW2_BACKING_MAX 1023           /* bytes of a backing file's name */

typedef struct {
    int version;
    gint64 capacity_bytes;
    gint64 cluster_bytes;
    gint64 snapshots;
    gboolean encrypted;
    gboolean lazy_refcounts;
    gboolean extended_l2;
    gboolean corrupt;     /* QEMU marked it so */
    gboolean data_file;   /* guest data is in another file */
    char *backing;        /* as it is written there; NULL: none */
    char *backing_format; /* NULL: not stated */
} GwQcow2;

void gw_qcow2_clear(GwQcow2 *head);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GwQcow2, gw_qcow2_clear)

/* Reads @head of the first @length bytes of an image. FALSE: it is none, or @length does not reach
 * to where its header ends; then *@need (which may be NULL) says how much would. */
gboolean gw_qcow2_read(const guint8 *bytes, gsize length, GwQcow2 *head, gsize *need,
                       GError **error);
