/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* A tar stream (POSIX ustar) of plain files, in memory. Owned by root, of no particular time. */

#define GW_TAR_FILE_MAX ((gsize)64 * 1024 * 1024) /* bytes */

/* Appends the file @path as @name (at most 99 characters), of @mode. NOT_FOUND, TOO_LARGE. */
gboolean gw_tar_add(GString *tar, const char *name, const char *path, guint mode, GError **error);
void gw_tar_end(GString *tar);
