/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent/copier_internal.h"
#include "base/error.h"

/* Within one host: by sharing blocks, by the file server, or by reading and writing. */

#define CHUNK ((gsize)64 * 1024 * 1024) /* of what the server copies, between two looks */

typedef struct {
    GwCopier *copier;
    GwCopyFile from, to;
    guint8 *old; /* a block of @to, to compare with */
} Local;

/* Reflink -------------------------------------------------------------------------------------- */

static gboolean reflink(Local *self, GError **error)
{
    /* What was in it goes: a clone leaves what lies behind its end. */
    if (!self->to.is_device && !gw_copy_file_size(&self->to, 0, TRUE, error))
        return FALSE;
    if (self->to.is_device || self->from.is_device || ioctl(self->to.fd, FICLONE, self->from.fd)) {
        const char *why =
            self->to.is_device || self->from.is_device ? "devices have none" : g_strerror(errno);
        gw_error_set(error, GW_ERR_UNSUPPORTED,
                     "Choose a place on the same file system, and one that can share blocks (XFS, "
                     "btrfs), or let it be copied.",
                     "no reflink: %s", why);
        return FALSE;
    }
    if (!gw_copy_file_sync(&self->to, error))
        return FALSE;
    self->copier->figures->position = self->from.length;
    self->copier->figures->how = g_strdup("reflink");
    return TRUE;
}

/* The server's copy ---------------------------------------------------------------------------- */

/* Elsewhere copy_file_range copies page by page, which we do better ourselves: compared. */
static const char *server_of(const Local *self)
{
    static const struct {
        guint32 magic;
        const char *name;
    } servers[] = {
        { NFS_SUPER_MAGIC, "nfs" },   { 0xff534d42, "cifs" },       { 0xfe534d42, "smb" },
        { CEPH_SUPER_MAGIC, "ceph" }, { FUSE_SUPER_MAGIC, "fuse" },
    };
    struct statfs there;
    struct stat from, to;

    if (fstatfs(self->to.fd, &there) != 0 || fstat(self->from.fd, &from) != 0 ||
        fstat(self->to.fd, &to) != 0 || from.st_dev != to.st_dev)
        return NULL;
    for (guint i = 0; i < G_N_ELEMENTS(servers); i++) {
        if ((guint32)there.f_type == servers[i].magic)
            return servers[i].name;
    }
    return NULL;
}

static gboolean is_refusal(int number)
{
    return number == EOPNOTSUPP || number == ENOSYS || number == EXDEV || number == EINVAL;
}

/* *@refused: the server does not, and nothing of it is an error. */
static gboolean copy_range(Local *self, guint64 at, guint64 end, gboolean *refused, GError **error)
{
    while (at < end) {
        off_t from = (off_t)at, to = (off_t)at;
        ssize_t done =
            copy_file_range(self->from.fd, &from, self->to.fd, &to, (gsize)MIN(end - at, CHUNK), 0);
        if (done < 0 && errno == EINTR)
            continue;
        *refused = done == 0 || (done < 0 && is_refusal(errno));
        if (*refused)
            return FALSE;
        if (done < 0) {
            gw_error_set(error, GW_ERR_OPERATION, "Look at the file server, and at its room.",
                         "the server's copy fails at byte %" G_GUINT64_FORMAT ": %s", at,
                         g_strerror(errno));
            return FALSE;
        }
        at += (guint64)done;
        self->copier->figures->written += (guint64)done;
        self->copier->figures->position = at;
        gw_copier_tick(self->copier);
    }
    return TRUE;
}

static gboolean server_copy(Local *self, const char *server, gboolean *refused, GError **error)
{
    if (!gw_copy_file_size(&self->to, self->from.length, TRUE, error))
        return FALSE;
    for (guint64 at = 0; at < self->from.length;) {
        gboolean hole = FALSE;
        guint64 end = gw_copy_file_run(&self->from, at, self->from.length, &hole);
        if (!hole && !copy_range(self, at, end, refused, error))
            return FALSE;
        at = end;
    }
    self->copier->figures->position = self->from.length;
    self->copier->figures->how =
        g_strdup_printf("copy_file_range on %s: by its server where that can", server);
    return gw_copy_file_sync(&self->to, error) && gw_copy_file_is_same(&self->from, error);
}

/* Reading and writing -------------------------------------------------------------------------- */

static gboolean write_parts(Local *self, guint64 offset, gsize length, GError **error)
{
    const guint8 *bytes = self->copier->block;

    while (length > 0) {
        gboolean zero = FALSE;
        gsize part = gw_copy_same_kind(bytes, length, &zero);
        if (zero ? !gw_copy_file_zero(&self->to, offset, part, self->old, error)
                 : !gw_copy_file_write(&self->to, offset, bytes, part, error))
            return FALSE;
        self->copier->figures->written += zero ? 0 : part;
        bytes += part;
        offset += part;
        length -= part;
    }
    return TRUE;
}

static gboolean copy_block(Local *self, GwDigest *digest, guint64 offset, gsize length,
                           guint64 known, GError **error)
{
    GwCopierFigures *figures = self->copier->figures;
    guint8 *block = self->copier->block;

    if (!gw_copy_file_read(&self->from, offset, block, length, error))
        return FALSE;
    figures->read += length;
    gw_digest_update(digest, block, length);
    if (offset + length <= known) {
        if (!gw_copy_file_read(&self->to, offset, self->old, length, error))
            return FALSE;
        if (memcmp(self->old, block, length) == 0) {
            figures->same += length;
            return TRUE;
        }
    }
    return write_parts(self, offset, length, error);
}

static gboolean copy_all(Local *self, GwDigest *digest, guint64 known, GError **error)
{
    for (guint64 at = 0; at < self->from.length;) {
        gboolean hole = FALSE;
        guint64 end = gw_copy_file_run(&self->from, at, self->from.length, &hole);
        if (hole && !gw_copy_file_zero(&self->to, at, end - at, self->old, error))
            return FALSE;
        if (hole)
            gw_digest_zeros(digest, end - at);
        while (!hole && at < end) {
            gsize piece = (gsize)MIN(end - at, GW_COPY_BLOCK);
            if (!copy_block(self, digest, at, piece, known, error))
                return FALSE;
            at += piece;
            self->copier->figures->position = at;
            gw_copier_tick(self->copier);
        }
        at = end;
    }
    self->copier->figures->position = self->from.length;
    return TRUE;
}

static gboolean tick(gpointer user, guint64 position, GError **error)
{
    GwCopier *copier = user;

    copier->told_us = MIN(copier->told_us, g_get_monotonic_time() - G_USEC_PER_SEC);
    gw_copier_tick(copier);
    return TRUE;
}

static gboolean read_and_write(Local *self, GError **error)
{
    const GwCopierTask *task = self->copier->task;
    GwCopierFigures *figures = self->copier->figures;
    g_autoptr(GwDigest) digest = gw_digest_new();
    guint64 known = task->delta ? self->from.length : task->resume_bytes;
    guint64 had = self->to.length;

    known = MIN(known, MIN(had, self->from.length));
    if (!gw_copy_file_size(&self->to, self->from.length, known == 0, error) ||
        !copy_all(self, digest, known, error) || !gw_copy_file_is_same(&self->from, error) ||
        !gw_copy_file_sync(&self->to, error))
        return FALSE;
    g_autofree char *expected = gw_digest_finish(digest);
    figures->digest = gw_copy_file_digest(&self->to, self->from.length, self->copier->block, tick,
                                          self->copier, error);
    if (figures->digest == NULL)
        return FALSE;
    if (strcmp(figures->digest, expected) != 0) {
        gw_error_set(error, GW_ERR_OPERATION, "Look at the host's storage and memory.",
                     "what storage gives back is not what was written: digest %s, expected %s",
                     figures->digest, expected);
        return FALSE;
    }
    figures->verified = TRUE;
    g_free(figures->how);
    figures->how = g_strdup("read and written on the host");
    return TRUE;
}

static gboolean copy_fast(Local *self, GError **error)
{
    g_autoptr(GError) why = NULL;
    gboolean refused = FALSE;

    if (reflink(self, &why))
        return TRUE;
    if (!g_error_matches(why, GW_ERROR, GW_ERR_UNSUPPORTED)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    const char *server = server_of(self);
    if (server != NULL && server_copy(self, server, &refused, error))
        return TRUE;
    if (server != NULL && !refused)
        return FALSE;
    self->copier->figures->written = 0;
    return read_and_write(self, error);
}

gboolean gw_copier_local(GwCopier *copier, int from, int to, GError **error)
{
    g_autofree guint8 *old = g_malloc(GW_COPY_BLOCK);
    Local self = { .copier = copier, .old = old };
    const GwCopierTask *task = copier->task;

    if (!gw_copy_file_init(&self.from, from, error) || !gw_copy_file_init(&self.to, to, error))
        return FALSE;
    copier->figures->total = self.from.length;
    if (task->how == GW_COPIER_REFLINK)
        return reflink(&self, error);
    /* What is there already is worth more than a fresh copy by blocks that may not be shared. */
    if (task->how == GW_COPIER_FAST && !task->delta && task->resume_bytes == 0)
        return copy_fast(&self, error);
    return read_and_write(&self, error);
}
