/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Gives up, for good: root (to @user, with no other group), the file system (an empty folder as
 * root), all capabilities, new privileges by exec, and the system calls that a network forwarder
 * does not need (seccomp; a forbidden call kills the process). Where one of them cannot be given
 * up, that is an error and the caller must not go on. */
gboolean gw_sandbox_enter(const char *user, const char *empty_folder, GError **error);
/* The warden's: keeps only the capabilities it needs, no new privileges by exec. */
gboolean gw_sandbox_warden(GError **error);
