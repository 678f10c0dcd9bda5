/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Files that are to be copied, by the path that the controller gives. All of it may block for as
 * long as a file system does. */

typedef enum {
    GW_COPY_OPEN_SOURCE,      /* read-only; nothing may write to it while it is held */
    GW_COPY_OPEN_DESTINATION, /* there already, or made with @create; nothing else may have it */
} GwCopyOpenRole;

/* Absolute, as it would be written: no empty, "." or ".." part, no control characters. */
gboolean gw_copy_check_path(const char *path, GError **error);
/* The folder's own path may have links in it (a pool's often has); the last part may not, but for
 * those of /dev that lead to a device. -1 with @error. Besides what the process table @proc says of
 * emulators, QEMU's own image locks are asked, which also tell of other hosts, and are held until
 * the descriptor and all copies of it are closed: no QEMU starts to write to a source, or opens a
 * destination. */
int gw_copy_open(const char *proc, const char *path, GwCopyOpenRole role, gboolean create,
                 GError **error);
/* The file itself, to ask and set what it belongs to (O_PATH); the same of links. */
int gw_copy_open_path(const char *path, GError **error);
