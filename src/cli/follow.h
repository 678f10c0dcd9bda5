/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/session.h"

/* Follows @jobs (an array of job records) until each is final or held, showing progress as the
 * output asks for, and returns the exit status of the worst. Ctrl-C ends the following, not the
 * jobs. Where the controller goes away it is tried again for settings->retry_s. */
int gw_follow_jobs(GwSession *session, json_t *jobs, GError **error);
