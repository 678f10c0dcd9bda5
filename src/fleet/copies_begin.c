/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "fleet/copies_internal.h"

/* Has a copy begun at both of its ends, as often as that is worth it. */

#define TRIES_MAX 10 /* that got no further than the one before */
#define MIB ((gint64)1024 * 1024)

void gw_fleet_copy_again(GwFleetCopy *copy, const GError *why)
{
    /* It got further: the count begins anew. */
    copy->tries = copy->position > copy->resume_bytes ? 1 : copy->tries + 1;
    copy->resume_bytes = MAX(copy->resume_bytes, copy->position);
    if (copy->tries > TRIES_MAX)
        gw_fleet_copy_fail(copy, why);
    else
        gw_fleet_copy_wait(copy, GW_FLEET_COPY_PAUSE_US, gw_fleet_copy_begin);
}

void gw_fleet_copy_retry(GwFleetCopy *copy, const GError *error, void (*retry)(GwFleetCopy *copy))
{
    if (gw_fleet_copy_is_away(copy, error))
        gw_fleet_copy_wait(copy, GW_FLEET_COPY_PAUSE_US, retry);
    else
        gw_fleet_copy_fail(copy, error);
}

static void begun(GwFleetCopy *copy, GwFleetHost *host, const json_t *said, const GError *error)
{
    copy->to_done = copy->from_done = FALSE;
    if (error != NULL)
        gw_fleet_copy_retry(copy, error, gw_fleet_copy_begin);
    else
        gw_fleet_copy_wait(copy, GW_FLEET_COPY_POLL_US, gw_fleet_copy_look);
}

static char *ticket_for(GwFleetCopy *copy, GwFleetHost *host)
{
    GError *error = NULL;
    char *ticket = gw_fleet_leave(copy->fleet, gw_fleet_copy_wish(copy)->permit, host->id, &error);

    if (ticket == NULL) {
        gw_fleet_copy_fail(copy, error);
        g_clear_error(&error);
    }
    return ticket;
}

static void expected(GwFleetCopy *copy, GwFleetHost *host, const json_t *said, const GError *error)
{
    const GwCopy *wish = gw_fleet_copy_wish(copy);
    g_autoptr(GError) problem = NULL;

    if (error != NULL) {
        gw_fleet_copy_retry(copy, error, gw_fleet_copy_begin);
        return;
    }
    g_autoptr(GwJson) peer =
        gw_fleet_peer(copy->fleet, copy->to->id, wish->permit->destination_address, &problem);
    g_autofree char *ticket = peer != NULL ? ticket_for(copy, copy->from) : NULL;
    if (peer == NULL)
        gw_fleet_copy_fail(copy, problem);
    if (ticket != NULL)
        gw_fleet_copy_ask(copy, copy->from, "copy-send",
                          json_pack("{s:s, s:s, s:s, s:I, s:O}", "ticket", ticket, "copy", copy->id,
                                    "path", wish->from->path, "bytes_per_s",
                                    (json_int_t)(wish->bandwidth_mibps * MIB), "peer", peer),
                          begun);
}

static void expect(GwFleetCopy *copy)
{
    const GwCopy *wish = gw_fleet_copy_wish(copy);
    g_autofree char *ticket = ticket_for(copy, copy->to);
    /* Outside of pools nobody else makes it: NVRAM, TPM state. */
    gboolean create = wish->to->pool == NULL && g_strcmp0(wish->to->kind, "block") != 0;

    /* There is room for what was looked at; what the source sends is its own word. */
    if (ticket != NULL)
        gw_fleet_copy_ask(copy, copy->to, "copy-expect",
                          json_pack("{s:s, s:s, s:s, s:b, s:b, s:I, s:I}", "ticket", ticket, "copy",
                                    copy->id, "path", wish->to->path, "create", create, "delta",
                                    wish->delta, "resume_bytes", (json_int_t)copy->resume_bytes,
                                    "length", (json_int_t)MAX(wish->from->length_bytes, 0)),
                          expected);
}

static void begin_local(GwFleetCopy *copy)
{
    const GwCopy *wish = gw_fleet_copy_wish(copy);

    gw_fleet_copy_ask(copy, copy->to, "copy-local",
                      json_pack("{s:s, s:s, s:s, s:s, s:b, s:I}", "copy", copy->id, "from",
                                wish->from->path, "to", wish->to->path, "how", "fast", "delta",
                                wish->delta, "resume_bytes", (json_int_t)copy->resume_bytes),
                      begun);
}

static void cleared_to(GwFleetCopy *copy, GwFleetHost *host, const json_t *said,
                       const GError *error)
{
    if (error != NULL)
        gw_fleet_copy_retry(copy, error, gw_fleet_copy_begin);
    else if (gw_fleet_copy_is_local(copy))
        begin_local(copy);
    else
        expect(copy);
}

static void cleared_from(GwFleetCopy *copy, GwFleetHost *host, const json_t *said,
                         const GError *error)
{
    if (error != NULL)
        gw_fleet_copy_retry(copy, error, gw_fleet_copy_begin);
    else
        gw_fleet_copy_ask(copy, copy->to, "copy-stop", gw_fleet_copy_by_id(copy), cleared_to);
}

/* What an earlier start of ours, or of this controller, left under way is ended first. */
void gw_fleet_copy_begin(GwFleetCopy *copy)
{
    gw_fleet_copy_ask(copy, copy->from, "copy-stop", gw_fleet_copy_by_id(copy),
                      gw_fleet_copy_is_local(copy) ? cleared_to : cleared_from);
}
