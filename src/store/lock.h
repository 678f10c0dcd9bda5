/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Takes the lock "PATH.lock" for this process, at once or not at all, and writes its process id
 * into the file. It holds while the returned descriptor is open; close() releases it, and so does
 * the process's death. -1 with GW_ERR_STORE where another process holds it (named, if it can be) or
 * the directory does not let us write. */
int gw_store_lock(const char *path, GError **error);
