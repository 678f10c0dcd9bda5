/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/json.h"

/* A job record in words; pure. All strings are owned by the caller. */

/* What it is about: the VM's name, else its title. */
char *gw_progress_label(json_t *job);
/* "copying (memory)": the state, with the phase where that says more. A change of it is worth a
 * line of its own. */
char *gw_progress_phase(json_t *job);
/* "web1: copying (memory), 45 %, 3.0 s left, 110 MiB/s, …" */
char *gw_progress_line(json_t *job);
/* One line for a terminal, never wider than @columns. */
char *gw_progress_bar(json_t *job, int columns, gboolean utf8, gboolean color);
/* It is done, and its error says what did not work beside it. */
gboolean gw_progress_is_warned(json_t *job);
/* What came of a job that is done, failed, cancelled or held; several lines. */
char *gw_progress_summary(json_t *job);
