/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Commands on another machine over ssh, or over whatever stands for it. Nothing here goes through
 * a shell on this side. */

typedef struct {
    char **prefix; /* "ssh", "-o", "BatchMode=yes", "root@kvm1" */
    gboolean sudo; /* the far end's user is not root */
} Remote;

/* @command: a whole command that leads there (split as a shell would, but run without one); NULL:
 * ssh to @host as @user. INVALID. */
gboolean remote_set(Remote *remote, const char *command, const char *host, const char *user,
                    GError **error);
void remote_clear(Remote *remote);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Remote, remote_clear)
/* "ssh -o BatchMode=yes root@kvm1", for messages. Free with g_free. */
char *remote_words(const Remote *remote);

/* Runs @script, in sh and as root, with @input (may be NULL) as its standard input; *@out gets what
 * it printed (at most 64 KiB). OPERATION where it cannot be run or fails, with what it wrote to its
 * standard error. */
gboolean remote_run(const Remote *remote, const char *script, const GString *input, char **out,
                    GError **error);
