/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "client/events.h"

/* The text/event-stream format (HTML standard, 9.2.6), fed in pieces as they arrive. */

#define GW_SSE_EVENT_MAX (1024 * 1024) /* bytes of one event, and of one line */
#define GW_SSE_QUEUE_MAX 4096          /* events parsed and not taken yet */

typedef struct {
    GString *line;
    GString *data;
    char *type;
    char *id; /* the last one seen: what a new connection resumes after */
    gboolean after_cr;
    gboolean first_line;
    guint retry_ms; /* as the server wishes, 0: no wish */
    GQueue events;  /* GwStreamEvent, oldest first */
} GwSse;

void gw_sse_init(GwSse *sse);
/* Forgets a half-received event, as for a new connection; keeps the id and the queue. */
void gw_sse_restart(GwSse *sse);
void gw_sse_clear(GwSse *sse);
/* FALSE: a ceiling was passed; the connection must end. */
gboolean gw_sse_feed(GwSse *sse, const char *bytes, gsize length);
