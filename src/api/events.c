/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/events.h"

#include <string.h>

#include "api/internal.h"
#include "base/error.h"
#include "engine/feed.h"

/* Server-sent events. A client opens the stream first, reads the lists next, and then applies what
 * comes; after "reset" it reads the lists again. */

#define PART_ITEMS 100
#define SLICE_US G_USEC_PER_SEC /* how late a client that hung up is noticed */

typedef struct {
    GwCall *call; /* outlives the stream */
    GwFeed *feed;
    guint64 after;
    gboolean greeted;
} Events;

static void events_free(gpointer data)
{
    Events *events = data;

    g_atomic_int_add(&events->call->api->streams, -1);
    g_free(events);
}

static void write_event(GString *out, const char *type, guint64 id, const char *data)
{
    g_string_append_printf(out, "event: %s\nid: %" G_GUINT64_FORMAT "\ndata: ", type, id);
    /* One line by contract; a line break would let data pose as fields. */
    for (const char *p = data; *p != '\0';) {
        gsize run = strcspn(p, "\r\n");
        g_string_append_len(out, p, (gssize)run);
        p += run;
        if (*p != '\0') {
            g_string_append_c(out, ' ');
            p++;
        }
    }
    g_string_append(out, "\n\n");
}

static gboolean write_news(Events *events, GString *out, gint64 timeout_us)
{
    gboolean lost = FALSE;
    g_autoptr(GPtrArray) items =
        gw_feed_wait(events->feed, events->after, PART_ITEMS, timeout_us, &lost);

    if (lost) {
        events->after = gw_feed_last(events->feed);
        write_event(out, "reset", events->after, "{\"reason\":\"events were missed\"}");
    }
    for (guint i = 0; i < items->len; i++) {
        const GwFeedItem *item = items->pdata[i];
        write_event(out, item->type, item->id, item->data);
        events->after = item->id;
    }
    return lost || items->len > 0;
}

static gboolean events_next(gpointer data, GString *out)
{
    Events *events = data;
    gint64 quiet_until =
        g_get_monotonic_time() + (gint64)events->call->api->config.keep_alive_s * G_USEC_PER_SEC;

    if (!events->greeted) {
        events->greeted = TRUE;
        g_string_append(out, "retry: 2000\n\n");
        write_news(events, out, 0);
        write_event(out, "ready", events->after, "{}");
        return TRUE;
    }
    while (!gw_call_gone(events->call)) {
        gint64 left = quiet_until - g_get_monotonic_time();
        if (left <= 0) {
            g_string_append(out, ": still here\n\n");
            return TRUE;
        }
        gint64 began = g_get_monotonic_time();
        if (write_news(events, out, MIN(left, SLICE_US)))
            return TRUE;
        /* A closed feed answers at once: the engine goes, and so does the stream. */
        if (g_get_monotonic_time() - began < MIN(left, SLICE_US) / 2)
            return FALSE;
    }
    return FALSE;
}

static gboolean read_last_id(const GwCall *call, guint64 *after, GError **error)
{
    const char *text = call->headers[GW_HEADER_LAST_EVENT_ID];

    if (text == NULL || *text == '\0')
        return TRUE;
    if (g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, after, NULL))
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID, "Send the id of the last event, or nothing.",
                 "Last-Event-ID is not a number");
    return FALSE;
}

gboolean gw_events_answer(GwCall *call, GError **error)
{
    GwApi *api = call->api;
    GwFeed *feed = gw_engine_feed(call->engine);
    guint64 after = gw_feed_last(feed);

    if (!read_last_id(call, &after, error))
        return FALSE;
    if ((guint)g_atomic_int_add(&api->streams, 1) >= api->config.streams_max) {
        g_atomic_int_add(&api->streams, -1);
        call->problem_status = 503;
        call->reply.retry_after_s = 5;
        gw_error_set(error, GW_ERR_CONFLICT, "Close other consoles, or try again later.",
                     "%u clients follow the events already, which is the limit",
                     api->config.streams_max);
        return FALSE;
    }
    Events *events = g_new0(Events, 1);
    events->call = call;
    events->feed = feed;
    events->after = after;
    call->reply.status = 200;
    call->reply.content_type = "text/event-stream";
    call->reply.stream =
        (GwStream){ .endless = TRUE, .self = events, .next = events_next, .free = events_free };
    return TRUE;
}
