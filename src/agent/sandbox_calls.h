/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Leaves the process the system calls that a network forwarder needs, for good. Those that
 * libraries try and can do without (files, terminals) fail; any other kills the process. Needs "no
 * new privileges", and to be called before any thread is made. */
gboolean gw_sandbox_filter_calls(GError **error);
