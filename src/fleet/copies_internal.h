/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fleet/fleet_internal.h"

/* Copies of files by agents. They copy by themselves, whether or not the controller is there; it is
 * told to begin, looks every half second, and begins again where one was lost: what is there
 * already is not sent again. */

#define GW_FLEET_COPY_POLL_US (500 * G_TIME_SPAN_MILLISECOND)
#define GW_FLEET_COPY_PAUSE_US G_TIME_SPAN_SECOND /* before something is tried again */

/* The request that is under way, by the copy's id. */
struct GwFleetCopy {
    GwFleet *fleet;
    guint64 serial; /* of its task */
    char *id;
    GwFleetHost *from, *to; /* the same: within one host */
    GwCopyResult *result;   /* as far as it is known */
    gint64 position, total, resume_bytes;
    gint64 began_us, seen_us; /* when it was begun, and an agent answered last */
    guint tries;
    guint turn; /* counts questions: a late answer finds another */
    GwTimer *timer;
    void (*then)(GwFleetCopy *copy); /* when it is due */
    gboolean to_done, from_done;
    GError *why; /* of the end that failed first, while the other is asked */
    gboolean aborted;
};

typedef void (*GwFleetAnswered)(GwFleetCopy *copy, GwFleetHost *host, const json_t *said,
                                const GError *error);

/* copies_ask.c: what agents are asked, and the end of it all. */
const GwCopy *gw_fleet_copy_wish(const GwFleetCopy *copy);
gboolean gw_fleet_copy_is_local(const GwFleetCopy *copy);
/* Whether it may get better by itself: an agent that is not there, or does not answer. */
gboolean gw_fleet_copy_is_away(const GwFleetCopy *copy, const GError *error);
/* Asks the agent of @host. @answered may be called at once; nothing that was asked before is
 * answered any more. */
void gw_fleet_copy_ask(GwFleetCopy *copy, GwFleetHost *host, const char *method,
                       json_t *params_stolen, GwFleetAnswered answered);
/* What most calls about it take. */
json_t *gw_fleet_copy_by_id(const GwFleetCopy *copy);
void gw_fleet_copy_wait(GwFleetCopy *copy, gint64 span_us, void (*then)(GwFleetCopy *copy));
/* Its timer's. */
void gw_fleet_copy_due(gpointer copy);
/* Ends the request; takes @error, NULL: it went well. */
void gw_fleet_copy_finish(GwFleetCopy *copy, GError *error);
/* Stops both ends, as far as they can be reached, and then ends the request. */
void gw_fleet_copy_fail(GwFleetCopy *copy, const GError *why);

/* copies_begin.c */
void gw_fleet_copy_begin(GwFleetCopy *copy);
/* Begins it once more, unless it has not got further often enough: then it fails for @why. */
void gw_fleet_copy_again(GwFleetCopy *copy, const GError *why);
/* After @error: does @retry in a while where that may help, else fails. */
void gw_fleet_copy_retry(GwFleetCopy *copy, const GError *error, void (*retry)(GwFleetCopy *copy));

/* copies_look.c: how far it is, until it is over. */
void gw_fleet_copy_look(GwFleetCopy *copy);
