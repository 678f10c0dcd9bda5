/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/session.h"

/* A picture of where VMs can move: a row for the host they are on, a column for each that they go
 * to. @hosts and @pairs: of a CpuBaseline. Where there are too many hosts for a terminal only the
 * pairs that cannot are listed. */
void gw_print_cpu_matrix(GwSession *session, json_t *hosts, json_t *pairs);
