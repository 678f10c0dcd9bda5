/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/session.h"

/* What is typed about network adapters, as fields of requests, and what is shown of them (R40). */

/* MAC=NETWORK[,port-group=GROUP][,link=down] or MAC=none as a NicChoice. "network:NAME" and
 * "bridge:NAME" say which kind is meant. */
json_t *gw_nic_choice_read(const char *text, GError **error);
/* All of --nic, as an array (empty: none was given); no adapter twice. */
json_t *gw_nic_choices(const GwArgs *args, GError **error);
/* Where each adapter goes; nothing where there is none. */
void gw_print_nic_moves(GwSession *session, const char *heading, json_t *nics);
