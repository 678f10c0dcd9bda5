/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* What can be told of an address from here, without speaking to it. All of these wait: not for the
 * engine's loop. */

/* The numeric address of @name (the first), or UNREACHABLE. Waits as long as the resolver does. */
char *gw_reachable_resolve(const char *name, GError **error);
/* Whether something accepts TCP connections there, within 3 s. */
gboolean gw_reachable_connect(const char *name, guint16 port, GError **error);
/* The port that a libvirt URI leads to: its own, or its transport's; 0: none. */
guint16 gw_reachable_port_of_uri(const char *uri);
