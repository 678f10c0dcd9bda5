/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Files that hold keys: only their owner may read them, and they are on disk whole or not at all.
 * Not for anybody outside this room. */

/* Makes @folder (0700) where it is not there; refuses one that others may write to. */
gboolean gw_keyfile_folder(const char *folder, GError **error);
/* At most 64 KiB of text. Refuses a file that others can read, or that is no plain file. */
char *gw_keyfile_read(const char *path, GError **error);
/* Replaces @path (0600); durable when it returns TRUE. */
gboolean gw_keyfile_write(const char *path, const char *text, GError **error);
/* Overwrites and frees; NULL is fine. */
void gw_keyfile_wipe(char *text);
