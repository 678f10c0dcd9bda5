/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* Gives up, for good: root (to @user, with no other group), the file system (an empty folder as
 * root), all capabilities, new privileges by exec, and the system calls that a network forwarder
 * does not need (seccomp; a forbidden call kills the process). Where one of them cannot be given
 * up, that is an error and the caller must not go on. */
gboolean gw_sandbox_enter(const char *user, const char *empty_folder, GError **error);
/* The same for a copier, which needs the calls on files that it has already; and it ends with its
 * parent, @parent. */
gboolean gw_sandbox_copier(const char *user, const char *empty_folder, pid_t parent,
                           GError **error);
/* What starts copiers: keeps the capabilities that entering a sandbox needs, and ends with @parent.
 */
gboolean gw_sandbox_starter(pid_t parent, GError **error);
/* The warden's: keeps only the capabilities it needs, no new privileges by exec. */
gboolean gw_sandbox_warden(GError **error);
