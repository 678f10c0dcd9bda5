/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/session.h"

/* What is typed about virtual HBAs, as fields of requests, and what is shown of them (R41). */

/* WWPN=HBA or WWPN=none as an HbaChoice. */
json_t *gw_hba_choice_read(const char *text, GError **error);
/* All of --hba, as an array (empty: none was given); no virtual HBA twice. */
json_t *gw_hba_choices(const GwArgs *args, GError **error);
/* Where each goes; nothing where there is none. */
void gw_print_hba_moves(GwSession *session, const char *heading, json_t *hbas);
