/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

#define KEYFILE_MAX (64 * 1024)

static gboolean failed(const char *what, const char *path, GError **error)
{
    gw_error_set(error, GW_ERR_STORE, "Look to the folder's rights and its free space.",
                 "cannot %s %s: %s", what, path, g_strerror(errno));
    return FALSE;
}

static gboolean is_foreign(const struct stat *st)
{
    return st->st_uid != geteuid() && st->st_uid != 0;
}

gboolean gw_keyfile_folder(const char *folder, GError **error)
{
    struct stat st;

    if (g_mkdir_with_parents(folder, 0700) < 0 || stat(folder, &st) < 0)
        return failed("make the folder", folder, error);
    if (is_foreign(&st) || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        gw_error_set(error, GW_ERR_INVALID, "Give it to the service's user, chmod 0700.",
                     "the folder %s of keys can be changed by others (mode %04o, user %u)", folder,
                     st.st_mode & 07777, st.st_uid);
        return FALSE;
    }
    return TRUE;
}

static gboolean check_file(int fd, const char *path, gsize *size, GError **error)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return failed("look at", path, error);
    if (!S_ISREG(st.st_mode) || st.st_size > KEYFILE_MAX) {
        gw_error_set(error, GW_ERR_INVALID, "Restore the file from a backup.",
                     "%s is no key file: a plain file of at most %d bytes is required", path,
                     KEYFILE_MAX);
        return FALSE;
    }
    if (is_foreign(&st) || (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        gw_error_set(error, GW_ERR_INVALID,
                     "Find out who could read it and whether the key must be replaced; "
                     "then chmod 0600.",
                     "the key %s is open to others (mode %04o, user %u), required is mode 0600",
                     path, st.st_mode & 07777, st.st_uid);
        return FALSE;
    }
    *size = (gsize)st.st_size;
    return TRUE;
}

static gssize read_whole(int fd, char *at, gsize size)
{
    gsize done = 0;

    while (done < size) {
        gssize n = read(fd, at + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -1 : (gssize)done;
        done += (gsize)n;
    }
    return (gssize)done;
}

char *gw_keyfile_read(const char *path, GError **error)
{
    gsize size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0) {
        failed("open", path, error);
        return NULL;
    }
    char *text = check_file(fd, path, &size, error) ? g_malloc0(size + 1) : NULL;
    if (text != NULL && read_whole(fd, text, size) < 0) {
        failed("read", path, error);
        g_clear_pointer(&text, g_free);
    }
    close(fd);
    return text;
}

static gboolean write_whole(int fd, const char *at, gsize size)
{
    while (size > 0) {
        gssize n = write(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return FALSE;
        at += n;
        size -= (gsize)n;
    }
    return fsync(fd) == 0;
}

/* Without it the rename may be lost with the power. */
static gboolean sync_folder_of(const char *path)
{
    g_autofree char *folder = g_path_get_dirname(path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    gboolean synced = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return synced;
}

gboolean gw_keyfile_write(const char *path, const char *text, GError **error)
{
    g_autofree char *half = g_strconcat(path, ".new", NULL);

    unlink(half); /* of a start that a crash ended */
    int fd = open(half, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return failed("make", half, error);
    gboolean written = write_whole(fd, text, strlen(text));
    if (!written)
        failed("write", half, error);
    if (close(fd) < 0 && written)
        written = failed("write", half, error);
    if (written && (rename(half, path) < 0 || !sync_folder_of(path)))
        written = failed("put in place", path, error);
    if (!written)
        unlink(half);
    return written;
}

void gw_keyfile_wipe(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    g_free(text);
}
