/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/copy_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

/* Zeros worth a hole: a page, as most file systems' blocks. */
#define GRAIN 4096

static gboolean failed(GError **error, const char *what, guint64 offset)
{
    int number = errno;
    const char *remedy =
        number == ENOSPC || number == EDQUOT
            ? "Make room there, or choose another place for the disk; nothing of the source was "
              "changed."
        : number == EFBIG ? "Choose a place whose file system can hold a file of that size."
                          : "Look at the storage below it, and at the host's kernel log.";

    gw_error_set(error, GW_ERR_OPERATION, remedy, "%s at byte %" G_GUINT64_FORMAT ": %s", what,
                 offset, g_strerror(number));
    return FALSE;
}

/* What it is ----------------------------------------------------------------------------------- */

gboolean gw_copy_file_init(GwCopyFile *file, int fd, GError **error)
{
    struct stat st;
    off_t end;

    *file = (GwCopyFile){ .fd = fd };
    if (fstat(fd, &st) != 0)
        return failed(error, "it cannot be looked at", 0);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
        gw_error_set(error, GW_ERR_INVALID, "Name an image file or a block device.",
                     "it is neither a regular file nor a block device");
        return FALSE;
    }
    file->is_device = S_ISBLK(st.st_mode);
    file->changed = st.st_mtim;
    end = file->is_device ? lseek(fd, 0, SEEK_END) : st.st_size;
    if (end < 0)
        return failed(error, "its size is not told", 0);
    file->length = (guint64)end;
    return TRUE;
}

gboolean gw_copy_file_is_same(const GwCopyFile *file, GError **error)
{
    GwCopyFile now;

    if (!gw_copy_file_init(&now, file->fd, error))
        return FALSE;
    /* A device's time says nothing of its content. */
    if (now.length == file->length &&
        (file->is_device || (now.changed.tv_sec == file->changed.tv_sec &&
                             now.changed.tv_nsec == file->changed.tv_nsec)))
        return TRUE;
    gw_error_set(error, GW_ERR_CONFLICT,
                 "Find out what writes to it (lsof), end that, and copy again.",
                 "it was changed while it was copied: %" G_GUINT64_FORMAT
                 " bytes before, %" G_GUINT64_FORMAT " now",
                 file->length, now.length);
    return FALSE;
}

/* Holes ---------------------------------------------------------------------------------------- */

guint64 gw_copy_file_run(const GwCopyFile *file, guint64 offset, guint64 limit, gboolean *hole)
{
    off_t data = file->is_device ? (off_t)offset : lseek(file->fd, (off_t)offset, SEEK_DATA);
    off_t end;

    *hole = (data < 0 && errno == ENXIO) || data > (off_t)offset;
    if (file->is_device || (data < 0 && !*hole))
        return limit;
    if (*hole)
        return data < 0 ? limit : MIN((guint64)data, limit);
    end = lseek(file->fd, (off_t)offset, SEEK_HOLE);
    return end <= (off_t)offset ? limit : MIN((guint64)end, limit);
}

static gboolean is_zero(const guint8 *bytes, gsize length)
{
    /* All are as the one before, and the first is zero. */
    return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

gsize gw_copy_same_kind(const guint8 *bytes, gsize length, gboolean *zero)
{
    gsize at = MIN(length, GRAIN);

    *zero = is_zero(bytes, at);
    while (at < length) {
        gsize piece = MIN(length - at, GRAIN);
        if (is_zero(bytes + at, piece) != *zero)
            break;
        at += piece;
    }
    return at;
}

/* Content -------------------------------------------------------------------------------------- */

gboolean gw_copy_file_read(const GwCopyFile *file, guint64 offset, guint8 *into, gsize length,
                           GError **error)
{
    while (length > 0) {
        ssize_t got = pread(file->fd, into, length, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return failed(error, "it cannot be read", offset);
        if (got == 0) {
            gw_error_set(error, GW_ERR_CONFLICT,
                         "Find out what writes to it (lsof), end that, and copy again.",
                         "it became shorter while it was read: it ends at byte %" G_GUINT64_FORMAT,
                         offset);
            return FALSE;
        }
        into += got;
        offset += (guint64)got;
        length -= (gsize)got;
    }
    return TRUE;
}

gboolean gw_copy_file_write(const GwCopyFile *file, guint64 offset, const guint8 *bytes,
                            gsize length, GError **error)
{
    while (length > 0) {
        ssize_t done = pwrite(file->fd, bytes, length, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            errno = done == 0 ? ENOSPC : errno;
            return failed(error, "it cannot be written", offset);
        }
        bytes += done;
        offset += (guint64)done;
        length -= (gsize)done;
    }
    return TRUE;
}

static gboolean punch(GwCopyFile *file, guint64 offset, guint64 length, GError **error)
{
    const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

    if (file->read_only_holes)
        return FALSE;
    while (fallocate(file->fd, mode, (off_t)offset, (off_t)length) != 0) {
        if (errno == EINTR)
            continue;
        /* A device refuses what is not of its sectors; the next may fit. */
        file->read_only_holes = errno == EOPNOTSUPP || errno == ENOSYS || errno == ENODEV;
        if (!file->read_only_holes && errno != EINVAL)
            failed(error, "zeros cannot be written", offset);
        return FALSE;
    }
    return TRUE;
}

static gboolean overwrite(const GwCopyFile *file, guint64 offset, guint64 length, guint8 *scratch,
                          GError **error)
{
    while (length > 0) {
        gsize piece = (gsize)MIN(length, GW_COPY_BLOCK);
        if (!gw_copy_file_read(file, offset, scratch, piece, error))
            return FALSE;
        if (!is_zero(scratch, piece)) {
            memset(scratch, 0, piece);
            if (!gw_copy_file_write(file, offset, scratch, piece, error))
                return FALSE;
        }
        offset += piece;
        length -= piece;
    }
    return TRUE;
}

gboolean gw_copy_file_zero(GwCopyFile *file, guint64 offset, guint64 length, guint8 *scratch,
                           GError **error)
{
    guint64 end = offset + length;

    while (offset < end) {
        gboolean hole = FALSE;
        guint64 next = gw_copy_file_run(file, offset, end, &hole);
        GError *problem = NULL;

        if (!hole && !punch(file, offset, next - offset, &problem)) {
            if (problem != NULL) {
                g_propagate_error(error, problem);
                return FALSE;
            }
            if (!overwrite(file, offset, next - offset, scratch, error))
                return FALSE;
        }
        offset = next;
    }
    return TRUE;
}

gboolean gw_copy_file_size(GwCopyFile *file, guint64 length, gboolean anew, GError **error)
{
    if (file->is_device && file->length < length) {
        gw_error_set(error, GW_ERR_REFUSED, "Choose a device that is at least as long.",
                     "the device has %" G_GUINT64_FORMAT " bytes, the source %" G_GUINT64_FORMAT,
                     file->length, length);
        return FALSE;
    }
    if (file->is_device)
        return TRUE;
    if ((anew && ftruncate(file->fd, 0) != 0) || ftruncate(file->fd, (off_t)length) != 0)
        return failed(error, "it cannot be made as long as the source", length);
    file->length = length;
    return TRUE;
}

gboolean gw_copy_file_sync(const GwCopyFile *file, GError **error)
{
    /* Not only its content: a file that is found half as long after a power cut is none. */
    if (fsync(file->fd) != 0)
        return failed(error, "it does not reach storage", 0);
    posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED);
    return TRUE;
}

/* Digests -------------------------------------------------------------------------------------- */

gboolean gw_copy_file_block_digest(const GwCopyFile *file, guint64 offset, gsize length,
                                   guint8 *scratch, guint8 digest[GW_DIGEST_BYTES], GError **error)
{
    gboolean hole = FALSE;
    guint64 end = gw_copy_file_run(file, offset, offset + length, &hole);

    if (hole && end == offset + length)
        memset(scratch, 0, length);
    else if (!gw_copy_file_read(file, offset, scratch, length, error))
        return FALSE;
    gw_digest_block(scratch, length, digest);
    return TRUE;
}

char *gw_copy_file_digest(const GwCopyFile *file, guint64 length, guint8 *scratch, GwCopyTick tick,
                          gpointer user, GError **error)
{
    g_autoptr(GwDigest) digest = gw_digest_new();

    for (guint64 at = 0; at < length;) {
        gboolean hole = FALSE;
        guint64 end = gw_copy_file_run(file, at, length, &hole);
        if (hole)
            gw_digest_zeros(digest, end - at);
        while (!hole && at < end) {
            gsize piece = (gsize)MIN(end - at, GW_COPY_BLOCK);
            if (!gw_copy_file_read(file, at, scratch, piece, error) || !tick(user, at, error))
                return NULL;
            gw_digest_update(digest, scratch, piece);
            at += piece;
        }
        at = end;
    }
    return gw_digest_finish(digest);
}
