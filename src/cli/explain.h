/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/session.h"

/* Why a VM can, or cannot, go somewhere: godwit explain. */
int gw_explain_vm(GwSession *session, const GwArgs *args, GError **error);
/* What could not leave a host now: godwit host explain. */
int gw_explain_host(GwSession *session, const GwArgs *args, GError **error);
/* All that is known of a candidate, under @heading: findings, rating, what its
 * prediction rests on, disks, transfer types. */
void gw_print_candidate(GwSession *session, const char *heading, json_t *candidate);
