/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Small files that must survive a power cut, in a folder of ours alone. What is on disk may have
 * been damaged or planted, so reading trusts nothing of it. */

/* Makes @folder (0700) where it is missing; refuses one that is a link, of somebody else, or that
 * others may write to (STORE). */
gboolean gw_files_folder(const char *folder, GError **error);
/* FOLDER/NAME holds @text whole, durably, or what it held before (STORE). 0600. */
gboolean gw_files_write(const char *folder, const char *name, const char *text, gsize length,
                        GError **error);
/* The text, terminated, free with g_free. NOT_FOUND; STORE where it is no plain file of ours,
 * others may write to it, or it is longer than @max. */
char *gw_files_read(const char *folder, const char *name, gsize max, gsize *length, GError **error);
/* TRUE also where there is none. Durable. */
gboolean gw_files_remove(const char *folder, const char *name, GError **error);
