/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "agent/warden_internal.h"
#include "wire/identity.h"

/* What check.c and check_peer.c share. */

typedef struct {
    GwWarden *warden;
    guint64 id;
    json_t *lines;
    json_t *peer; /* NULL: only this host */
    char *peer_id;
    char *ticket_text; /* NULL: none */
    GwTicket *ticket;
} Check;

/* One finding; @host_id: of the host that it is about, NULL: this one. */
void gw_check_add(Check *check, const char *name, const char *host_id, GwCheckOutcome outcome,
                  const char *observed, const char *required, const char *remedy);
/* Answers, and frees it. */
void gw_check_finish(Check *check);
/* The path to the peer; gw_check_finish follows. */
void gw_check_peer(Check *check);
