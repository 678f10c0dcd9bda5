/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `godwit-agent run`: binds the port, starts the front, is the warden. Returns the exit status. */
int agent_run(int argc, char **argv);
