/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <sys/stat.h>

#include "agent/copy_protocol.h"

/* A file or block device as a copy sees it: bytes and holes. All of it blocks, and is done by a
 * copier, whose end is the end of whatever hangs. */

typedef struct {
    int fd;
    gboolean is_device;
    gboolean read_only_holes; /* it was found that holes cannot be made in it */
    guint64 length;           /* of a file as it was when it was taken */
    struct timespec changed;
} GwCopyFile;

/* Takes a look at what @fd, lent, is. */
gboolean gw_copy_file_init(GwCopyFile *file, int fd, GError **error);
/* Whether it is as it was then; CONFLICT where something else writes to it. */
gboolean gw_copy_file_is_same(const GwCopyFile *file, GError **error);

/* Where what begins at @offset ends (at most @limit), and whether it is a hole. Where the file
 * system cannot tell, all is data. */
guint64 gw_copy_file_run(const GwCopyFile *file, guint64 offset, guint64 limit, gboolean *hole);
/* How much of @bytes, from its beginning, is zeros (*@zero) or is not, in steps that are worth a
 * hole. */
gsize gw_copy_same_kind(const guint8 *bytes, gsize length, gboolean *zero);

/* Whole or not at all, but for what is said in @error. */
gboolean gw_copy_file_read(const GwCopyFile *file, guint64 offset, guint8 *into, gsize length,
                           GError **error);
gboolean gw_copy_file_write(const GwCopyFile *file, guint64 offset, const guint8 *bytes,
                            gsize length, GError **error);
/* Reads as zeros from now on: as a hole where there can be one, else zeros are written where there
 * are others. @scratch: GW_COPY_BLOCK bytes. */
gboolean gw_copy_file_zero(GwCopyFile *file, guint64 offset, guint64 length, guint8 *scratch,
                           GError **error);
/* A file becomes as long as that, and empty before where @anew; a device must be as long. */
gboolean gw_copy_file_size(GwCopyFile *file, guint64 length, gboolean anew, GError **error);
/* Durable, and out of memory where the kernel lets go of it. */
gboolean gw_copy_file_sync(const GwCopyFile *file, GError **error);

/* The digest of a block as it reads; @scratch: GW_COPY_BLOCK bytes. */
gboolean gw_copy_file_block_digest(const GwCopyFile *file, guint64 offset, gsize length,
                                   guint8 *scratch, guint8 digest[GW_DIGEST_BYTES], GError **error);
/* Told how far it is; FALSE with @error: give up. */
typedef gboolean (*GwCopyTick)(gpointer user, guint64 position, GError **error);
/* The digest of the first @length bytes, as storage gives them; free with g_free. */
char *gw_copy_file_digest(const GwCopyFile *file, guint64 length, guint8 *scratch, GwCopyTick tick,
                          gpointer user, GError **error);
