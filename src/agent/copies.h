/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "agent/copier.h"
#include "agent/warden_internal.h"

/* The warden's copies of files: which are under way, and what came of them for an hour after. In
 * memory only: after a restart the controller begins again, under the same id, and what is there
 * already is not sent again. */

void gw_copies_init(GwWarden *warden);
/* Ends all. */
void gw_copies_free(GwWarden *warden);
/* The controller's calls. */
void gw_copies_expect(GwWarden *warden, guint64 id, const json_t *params);
void gw_copies_send(GwWarden *warden, guint64 id, const json_t *params);
void gw_copies_local(GwWarden *warden, guint64 id, const json_t *params);
void gw_copies_status(GwWarden *warden, guint64 id, const json_t *params);
void gw_copies_stop(GwWarden *warden, guint64 id, const json_t *params);
/* The stream of an expected copy has come from @host_id with OPEN's @what: the socket for the
 * front, the caller's. -1 with @error. */
int gw_copies_open(GwWarden *warden, const char *host_id, const json_t *what, char **vm_uuid,
                   GError **error);
/* Leave for a VM's epoch is closed: its copies end, and are forgotten. */
void gw_copies_close(GwWarden *warden, const char *vm_uuid, gint64 epoch);
/* Whether a ticket is for files alone: no move is begun by it, and nothing to commit. */
gboolean gw_copies_is_leave(const GwTicket *ticket);
/* Whether @ticket is (still) good for copies from or to here. */
gboolean gw_copies_check_ticket(const GwWarden *warden, const GwTicket *ticket, GError **error);
