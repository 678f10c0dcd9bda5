/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "client/client.h"

/* What the controller says has changed (GET /events), over connections that are made again as often
 * as needed; each new one goes on after the last event seen (Last-Event-ID). */
typedef struct GwEventStream GwEventStream;

typedef enum {
    GW_STREAM_OPENED, /* connected: what happened before is unknown, read the state anew */
    GW_STREAM_EVENT,
    GW_STREAM_IDLE, /* nothing within the time given */
    GW_STREAM_DOWN, /* no connection, error says why; the next call waits, then connects again */
} GwStreamWord;

typedef struct {
    char *id;
    char *type; /* "job", "vm", … */
    char *data; /* usually one JSON object */
} GwStreamEvent;

void gw_stream_event_free(GwStreamEvent *event);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwStreamEvent, gw_stream_event_free)

/* Borrows @client, which must outlive it. */
GwEventStream *gw_event_stream_new(GwClient *client);
void gw_event_stream_free(GwEventStream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwEventStream, gw_event_stream_free)

/* Waits at most @timeout_ms. *@event (the caller's) is set for GW_STREAM_EVENT only, @error for
 * GW_STREAM_DOWN only; GW_ERR_CANCELLED: the client's interrupt. */
GwStreamWord gw_event_stream_next(GwEventStream *stream, int timeout_ms, GwStreamEvent **event,
                                  GError **error);
