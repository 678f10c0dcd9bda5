/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

typedef enum {
    GW_SANDBOX_FRONT,  /* forwards between sockets */
    GW_SANDBOX_COPIER, /* has a file or two and a socket, and opens no other */
} GwSandboxKind;

/* Leaves the process the system calls that it needs as that, for good. Those that libraries try and
 * can do without (files, terminals) fail; any other kills the process. Needs "no new privileges",
 * and to be called before any thread is made. */
gboolean gw_sandbox_filter_calls(GwSandboxKind kind, GError **error);
