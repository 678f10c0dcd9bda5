/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `godwit-agent join`, `leave` and `status`: this host's place in a fabric. They return the exit
 * status: 0; 1 for an error; 2 for a command line that cannot be right; 3 (status alone) where the
 * host has not joined. */
int agent_join(int argc, char **argv);
int agent_leave(int argc, char **argv);
int agent_status(int argc, char **argv);
