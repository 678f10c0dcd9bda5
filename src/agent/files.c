/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

static const char room_remedy[] = "Make room on the file system of the agent's state folder.";
static const char foreign_remedy[] =
    "Look at who put it there; the agent's state belongs to root alone, with mode 0700 and 0600.";

static void fail(GError **error, const char *what, const char *folder, const char *name, int number)
{
    gw_error_set(error, number == ENOENT ? GW_ERR_NOT_FOUND : GW_ERR_STORE, room_remedy,
                 "%s %s/%s: %s", what, folder, name, g_strerror(number));
}

static gboolean is_ours(const struct stat *st)
{
    return st->st_uid == geteuid() && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static int open_folder(const char *folder, GError **error)
{
    struct stat st;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0) {
        fail(error, "cannot open", folder, ".", errno);
        return -1;
    }
    if (fstat(fd, &st) < 0 || !is_ours(&st)) {
        gw_error_set(error, GW_ERR_STORE, foreign_remedy,
                     "%s is not a folder that only this user may write to", folder);
        close(fd);
        return -1;
    }
    return fd;
}

gboolean gw_files_folder(const char *folder, GError **error)
{
    if (g_mkdir_with_parents(folder, 0700) < 0) {
        fail(error, "cannot make", folder, ".", errno);
        return FALSE;
    }
    GW_AUTO_FD fd = open_folder(folder, error);
    return fd >= 0;
}

static gboolean write_all(int fd, const char *text, gsize length)
{
    while (length > 0) {
        gssize done = write(fd, text, length);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            errno = done < 0 ? errno : ENOSPC;
            return FALSE;
        }
        text += done;
        length -= (gsize)done;
    }
    return TRUE;
}

/* Beside its place first, so that a full disk or a power cut leaves the old one as it was. */
static gboolean write_beside(int folder, const char *beside, const char *text, gsize length)
{
    GW_AUTO_FD fd = -1;

    if (unlinkat(folder, beside, 0) < 0 && errno != ENOENT)
        return FALSE;
    fd = openat(folder, beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd >= 0 && write_all(fd, text, length) && fsync(fd) == 0;
}

gboolean gw_files_write(const char *folder, const char *name, const char *text, gsize length,
                        GError **error)
{
    g_autofree char *beside = g_strconcat(".", name, ".new", NULL);
    GW_AUTO_FD at = open_folder(folder, error);

    if (at < 0)
        return FALSE;
    if (!write_beside(at, beside, text, length) || renameat(at, beside, at, name) < 0) {
        int number = errno;
        unlinkat(at, beside, 0);
        fail(error, "cannot write", folder, name, number == ENOENT ? EIO : number);
        return FALSE;
    }
    if (fsync(at) < 0) {
        fail(error, "cannot write", folder, name, EIO);
        return FALSE;
    }
    return TRUE;
}

static char *read_all(int fd, gsize max, gsize *length)
{
    g_autoptr(GString) text = g_string_new(NULL);
    char chunk[16384];

    for (;;) {
        gssize got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return NULL;
        if (got == 0)
            break;
        g_string_append_len(text, chunk, got);
        if (text->len > max) {
            errno = EFBIG;
            return NULL;
        }
    }
    *length = text->len;
    return g_string_free(g_steal_pointer(&text), FALSE);
}

char *gw_files_read(const char *folder, const char *name, gsize max, gsize *length, GError **error)
{
    struct stat st;
    GW_AUTO_FD at = open_folder(folder, error);

    if (at < 0)
        return NULL;
    /* Without O_NONBLOCK a planted FIFO would hold us up for ever. */
    GW_AUTO_FD fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        fail(error, "cannot read", folder, name, errno);
        return NULL;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !is_ours(&st)) {
        gw_error_set(error, GW_ERR_STORE, foreign_remedy,
                     "%s/%s is not a plain file that only this user may write to", folder, name);
        return NULL;
    }
    char *text = read_all(fd, max, length);
    if (text == NULL)
        fail(error, "cannot read", folder, name, errno);
    return text;
}

gboolean gw_files_remove(const char *folder, const char *name, GError **error)
{
    GW_AUTO_FD at = open_folder(folder, error);

    if (at < 0)
        return FALSE;
    if (unlinkat(at, name, 0) < 0) {
        if (errno == ENOENT)
            return TRUE;
        fail(error, "cannot remove", folder, name, errno);
        return FALSE;
    }
    if (fsync(at) < 0) {
        fail(error, "cannot remove", folder, name, EIO);
        return FALSE;
    }
    return TRUE;
}
