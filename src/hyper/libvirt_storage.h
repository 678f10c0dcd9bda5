/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "hyper/libvirt_internal.h"

/* What the driver's files about volumes share. */

/* Where a volume is, or would be: a pool of the host's, or one that we made to pass, to show the
 * folder of a path. */
typedef struct {
    GwLvHost *host;
    virConnectPtr ptr;
    virStoragePoolPtr pool;
    virStorageVolPtr volume; /* NULL: there is none */
    char *pool_name;         /* NULL: it is in no pool of the host's */
    char *pool_type;
    char *name;    /* of the volume */
    char *path;    /* NULL: not known, since there is none */
    char *passing; /* the name of the pool that we made */
} GwLvPlace;

typedef enum {
    GW_LV_PLACE_MAKE_FOLDER = 1 << 0, /* make the folder of a path where it is missing */
} GwLvPlaceFlags;

/* libvirt_place.c */
/* Reads the pool anew. A folder that is not there is a place without a pool. */
gboolean gw_lv_place_open(GwLvHost *host, virConnectPtr ptr, const GwVolume *volume, guint flags,
                          GwLvPlace *place, GError **error);
void gw_lv_place_close(GwLvPlace *place);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GwLvPlace, gw_lv_place_close)
/* Looks for the volume again, after it was made or written. */
gboolean gw_lv_place_refresh(GwLvPlace *place, GError **error);
/* Whether a pool of this name is one that we make to pass. */
gboolean gw_lv_pool_is_passing(const char *name);
/* A pool with a job running refuses to be refreshed; that passes, so it is tried for a while. */
gboolean gw_lv_refresh(virStoragePoolPtr pool, GError **error);

/* libvirt_volume.c */
/* The volume at @place (there is one) as libvirt has it, or, where @format is told, as that format
 * says: never by what its content looks like. */
GwVolume *gw_lv_volume_read(const GwLvPlace *place, const char *format, GError **error);
/* "the volume 'web1.qcow2' of pool 'default'": for messages. Free with g_free. */
char *gw_lv_volume_words(const GwVolume *volume);
/* @volume and every image below it, of which nothing is probed. */
GPtrArray *gw_lv_chain(GwLvHost *host, virConnectPtr ptr, const GwVolume *volume, GError **error);
gboolean gw_lv_op_pool_look(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_volume_look(GwLvTask *task, GwReply *reply, GError **error);

/* libvirt_in_use.c */
/* FALSE, with a CONFLICT that says by whom, where what is at @place is used on its host; BUSY where
 * a VM of it cannot be asked just now. */
gboolean gw_lv_unused(const GwLvPlace *place, GError **error);
/* The VM of the host whose definition, live or stored, names the block device at @place, by any
 * path that libvirt knows, in words; NULL: none that can be read. Free with g_free. */
char *gw_lv_device_user(const GwLvPlace *place);

/* Whether no VM uses it; its pool is not looked into. */
gboolean gw_lv_op_volume_prove(GwLvTask *task, GwReply *reply, GError **error);

/* libvirt_volume_make.c */
/* Removes what is at @place, unless it is used. */
gboolean gw_lv_volume_remove(GwLvPlace *place, GError **error);
gboolean gw_lv_op_volume_create(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_volume_delete(GwLvTask *task, GwReply *reply, GError **error);

/* libvirt_stream.c */
/* Takes the next @length bytes of content; @data NULL: they are zeros. */
typedef gboolean (*GwLvContent)(gpointer user, const guint8 *data, guint64 length, GError **error);
/* @length bytes of content from @offset on, in order; an error where it is shorter. */
gboolean gw_lv_read(virConnectPtr ptr, virStorageVolPtr volume, guint64 offset, guint64 length,
                    GwLvContent each, gpointer user, GError **error);

#define GW_LV_WRITE_PIECE_BYTES (64 * 1024 * 1024) /* of data, written by one stream */

/* Content being written, in order, from an offset on. */
typedef struct {
    virConnectPtr ptr;
    virStorageVolPtr volume;
    virStreamPtr stream; /* NULL: none is open */
    guint64 at;          /* the next byte */
    guint64 unproved;    /* bytes handed over since libvirtd last said that it wrote all */
} GwLvWriter;
void gw_lv_writer_clear(GwLvWriter *writer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GwLvWriter, gw_lv_writer_clear)
gboolean gw_lv_write(GwLvWriter *writer, const guint8 *data, guint64 length, GError **error);
/* Until libvirtd said that it has it all. */
gboolean gw_lv_write_end(GwLvWriter *writer, GError **error);
/* Makes a file @length bytes long (1 at least); what it has up to there stays. */
gboolean gw_lv_cut(virConnectPtr ptr, virStorageVolPtr volume, guint64 length, GError **error);

/* libvirt_copy.c */
gboolean gw_lv_op_volume_copy(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_copy_progress(GwLvTask *task, GwReply *reply, GError **error);
gboolean gw_lv_op_copy_abort(GwLvTask *task, GwReply *reply, GError **error);
/* FALSE, with CANCELLED: nobody waits for the copy any more, or it was aborted. */
gboolean gw_lv_copy_wanted(GwLvTask *task, GError **error);

/* libvirt_copy_through.c */
/* NETWORK, also within one host: fills @copy->to, and fills in @result. */
gboolean gw_lv_copy_through(GwLvTask *task, const GwCopy *copy, GwCopyResult *result,
                            GError **error);

/* libvirt_copy_local.c */
/* FAST_COPY and CONVERT, by libvirt itself: makes @copy->to anew of @copy->from. */
gboolean gw_lv_copy_local(GwLvTask *task, const GwCopy *copy, GwCopyResult *result, GError **error);

/* libvirt_reach.c */
gboolean gw_lv_op_reach(GwLvTask *task, GwReply *reply, GError **error);
