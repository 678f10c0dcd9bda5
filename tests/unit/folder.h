/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib/gstdio.h>
#include <signal.h>
#include <sys/resource.h>

/* Removes @path with all that is in it; of a link, the link. */
static inline void folder_remove(const char *path)
{
    g_autoptr(GDir) dir =
        g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
    const char *name = NULL;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *inner = g_build_filename(path, name, NULL);
        folder_remove(inner);
    }
    g_remove(path);
}

/* The teardown of a test whose state is the path of its folder. */
static inline int folder_teardown(void **state)
{
    folder_remove(*state);
    g_free(*state);
    return 0;
}

/* Whether every write of more than nothing fails, as on a full disk. */
static inline void folder_set_full(gboolean full)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = full ? 0 : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}
