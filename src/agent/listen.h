/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* The agent's TCP sockets, bound and listening, on @addresses (numeric; NULL: all of the machine),
 * int each. Free with g_array_unref, which does not close them. */
GArray *agent_listen(const char *const *addresses, guint16 port, GError **error);
