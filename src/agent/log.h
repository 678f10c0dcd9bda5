/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* What GLib logs goes to standard error: in the journal's form where that is the journal, else as
 * "godwit-agent NAME: …". The journal's own socket serves where it can be reached; the front, shut
 * into an empty folder, writes lines that begin with their level (sd-daemon(3)). */
void agent_log_init(const char *name, gboolean own_socket);
