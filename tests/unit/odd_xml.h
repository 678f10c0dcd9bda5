/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Domain XML as nobody writes it: every kind of device, and everything that a definition may hold
 * beside what Godwit knows. The same seed always gives the same text; about one in eight is broken
 * on purpose. Free with g_free. */
char *odd_domain_xml(guint32 seed);
