/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/session.h"

/* What a move would be, for people. */

/* Everything: disks, transfer types, findings, scripts. */
void gw_print_plan(GwSession *session, json_t *plan);
/* Below the findings of a refusal, to standard error: what they do not say. */
void gw_print_refused_plan(GwSession *session, json_t *plan);
/* The parts; nothing where there is none. */
void gw_print_disk_moves(GwSession *session, const char *heading, json_t *disks);
void gw_print_transfers(GwSession *session, json_t *transfers);
/* Strings, a line each. */
void gw_print_lines(json_t *lines);
