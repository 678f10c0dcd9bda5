/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Who this host is in its fabric: FOLDER/host.json (0600, in a folder of 0700), written whole or
 * not at all. It holds the host's key: never print it. */

#define GW_STATE_REVOKED_MAX 4096 /* serials */

typedef struct {
    char *host_id;
    char *fabric_id;
    char *certificate_pem;
    char *key_pem;
    char *ca_pem;
    guint8 ticket_public[32]; /* what tickets are checked with */
    /* The controller that was last obeyed: lower ones, and others of the same number, are not. */
    gint64 incarnation; /* 0: none yet */
    char *run;          /* NULL: none yet */
    gint64 offset_s;    /* how far the controller's clock is ahead of this host's */
    char **revoked;     /* serials of certificates that are no longer taken; NULL: none */
} GwAgentState;

void gw_agent_state_free(GwAgentState *state); /* wipes the key */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwAgentState, gw_agent_state_free)

/* NOT_FOUND where this host has not joined a fabric; STORE where the file is damaged, or may be
 * read or written by others. */
GwAgentState *gw_agent_state_load(const char *folder, GError **error);
/* Makes the folder where it is missing. Durable when it returns TRUE; else what was there stays.
 * INVALID where a field is missing or too long, STORE where the disk refuses. */
gboolean gw_agent_state_save(const char *folder, const GwAgentState *state, GError **error);
/* The host's clock is @apart_us from one that is never set, and was *@was_us (changed) from it when
 * offset_s was learnt: offset_s makes up for the difference. FALSE: nothing worth it. */
gboolean gw_agent_state_clock_set(GwAgentState *state, gint64 *was_us, gint64 apart_us);
