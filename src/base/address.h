/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* The subnet that ADDRESS/PREFIX is in, in its shortest form ("10.1.2.3/16" -> "10.1.0.0/16"). NULL
 * where it is no address, or in no subnet that says anything: a link-local, a loopback or a single
 * address. Free with g_free. */
char *gw_subnet_of(const char *address, guint prefix);
/* The prefix that an IPv4 netmask is: 255.255.255.0 is 24; 0 where it is none. */
guint gw_prefix_of(const char *netmask);
