/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/error.h"

/* The process id the holder wrote; 0 where it cannot be told. */
static int read_holder(int fd)
{
    char text[16] = { 0 };
    ssize_t got = pread(fd, text, sizeof text - 1, 0);

    return got > 0 ? atoi(text) : 0;
}

static void in_use(const char *path, int fd, GError **error)
{
    static const char remedy[] =
        "Stop the other controller first, or give this one a database of its own.";
    int holder = read_holder(fd);

    if (holder > 0)
        gw_error_set(error, GW_ERR_STORE, remedy, "database '%s' is in use by process %d", path,
                     holder);
    else
        gw_error_set(error, GW_ERR_STORE, remedy, "database '%s' is in use by another process",
                     path);
}

int gw_store_lock(const char *path, GError **error)
{
    g_autofree char *name = g_strconcat(path, ".lock", NULL);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        gw_error_set(error, GW_ERR_STORE,
                     "Create the database's directory and let the controller's user write there.",
                     "cannot open '%s': %s", name, g_strerror(errno));
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            in_use(path, fd, error);
        else
            gw_error_set(error, GW_ERR_STORE,
                         "Put the database on a local file system that knows file locks.",
                         "cannot lock '%s': %s", name, g_strerror(errno));
        close(fd);
        return -1;
    }
    /* Only a courtesy to whoever is refused: the lock holds without it, also on a full disk. */
    g_autofree char *pid = g_strdup_printf("%-10d\n", (int)getpid());
    if (pwrite(fd, pid, strlen(pid), 0) < 0)
        g_debug("cannot write '%s': %s", name, g_strerror(errno));
    return fd;
}
