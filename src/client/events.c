/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/events.h"

#include <string.h>

#include "base/error.h"
#include "client/sse.h"
#include "client/transfer.h"

#define SILENCE_US (60 * G_USEC_PER_SEC) /* a stream without a byte for so long is dead */
#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS 5000
#define REFUSAL_MAX (64 * 1024) /* bytes kept of an answer that is no stream */

struct GwEventStream {
    GwClient *client;
    Transfer *transfer; /* NULL while there is no connection */
    GwSse sse;
    GString *refusal; /* the body where the answer is no stream */
    gboolean opened;  /* GW_STREAM_OPENED was said for this connection */
    guint backoff_ms;
    gint64 connect_at_us; /* not before */
    gint64 last_byte_us;
};

GwEventStream *gw_event_stream_new(GwClient *client)
{
    GwEventStream *stream = g_new0(GwEventStream, 1);

    stream->client = client;
    stream->refusal = g_string_new(NULL);
    stream->backoff_ms = BACKOFF_FIRST_MS;
    gw_sse_init(&stream->sse);
    return stream;
}

void gw_event_stream_free(GwEventStream *stream)
{
    if (stream == NULL)
        return;
    gw_transfer_free(stream->client, stream->transfer);
    gw_sse_clear(&stream->sse);
    g_string_free(stream->refusal, TRUE);
    g_free(stream);
}

static gint64 now_us(const GwEventStream *stream)
{
    return gw_clock_now_us(stream->client->clock);
}

static gboolean is_stream(const Transfer *transfer)
{
    g_autofree char *type = gw_transfer_content_type(transfer);
    return gw_transfer_status(transfer) == 200 && strcmp(type, "text/event-stream") == 0;
}

static gboolean on_bytes(gpointer user, const char *bytes, gsize length)
{
    GwEventStream *stream = user;

    stream->last_byte_us = now_us(stream);
    if (is_stream(stream->transfer))
        return gw_sse_feed(&stream->sse, bytes, length);
    if (stream->refusal->len + length > REFUSAL_MAX)
        return FALSE;
    g_string_append_len(stream->refusal, bytes, (gssize)length);
    return TRUE;
}

static void connect_now(GwEventStream *stream)
{
    stream->transfer = gw_transfer_new(stream->client, "GET", "/events", on_bytes, stream);
    stream->opened = FALSE;
    stream->last_byte_us = now_us(stream);
    gw_sse_restart(&stream->sse);
    g_string_truncate(stream->refusal, 0);
    gw_transfer_header(stream->transfer, "Accept", "text/event-stream");
    if (stream->sse.id != NULL)
        gw_transfer_header(stream->transfer, "Last-Event-ID", stream->sse.id);
    gw_transfer_start(stream->client, stream->transfer);
}

static void set_down_error(GwEventStream *stream, GError **error)
{
    const Transfer *transfer = stream->transfer;

    if (!transfer->done) {
        gw_error_set(error, GW_ERR_UNREACHABLE, NULL, "%s has been silent for %d s",
                     gw_client_server(stream->client), (int)(SILENCE_US / G_USEC_PER_SEC));
    } else if (transfer->result != CURLE_OK) {
        gw_transfer_error(stream->client, transfer, error);
    } else if (gw_transfer_status(transfer) >= 400) {
        g_autofree char *type = gw_transfer_content_type(transfer);
        json_decref(gw_problem_read(gw_transfer_status(transfer), type, stream->refusal->str,
                                    stream->refusal->len, error));
    } else {
        gw_error_set(error, GW_ERR_UNREACHABLE, NULL, "%s ended the stream of events",
                     gw_client_server(stream->client));
    }
}

static GwStreamWord go_down(GwEventStream *stream, GError **error)
{
    guint wait_ms = MAX(stream->backoff_ms, MIN(stream->sse.retry_ms, BACKOFF_MAX_MS));

    set_down_error(stream, error);
    gw_transfer_free(stream->client, stream->transfer);
    stream->transfer = NULL;
    stream->connect_at_us = now_us(stream) + (gint64)wait_ms * 1000;
    stream->backoff_ms = MIN(stream->backoff_ms * 2, BACKOFF_MAX_MS);
    return GW_STREAM_DOWN;
}

/* Whether there is something to say now; *@word is it. */
static gboolean ready(GwEventStream *stream, GwStreamWord *word, GwStreamEvent **event,
                      GError **error)
{
    gint64 now = now_us(stream);

    if (stream->transfer != NULL && !stream->opened && is_stream(stream->transfer)) {
        stream->opened = TRUE;
        stream->backoff_ms = BACKOFF_FIRST_MS;
        *word = GW_STREAM_OPENED;
        return TRUE;
    }
    if (!g_queue_is_empty(&stream->sse.events)) {
        *event = g_queue_pop_head(&stream->sse.events);
        *word = GW_STREAM_EVENT;
        return TRUE;
    }
    if (stream->transfer != NULL &&
        (stream->transfer->done || now - stream->last_byte_us > SILENCE_US)) {
        *word = go_down(stream, error);
        return TRUE;
    }
    if (stream->transfer == NULL && now >= stream->connect_at_us)
        connect_now(stream);
    return FALSE;
}

GwStreamWord gw_event_stream_next(GwEventStream *stream, int timeout_ms, GwStreamEvent **event,
                                  GError **error)
{
    gint64 deadline = now_us(stream) + (gint64)timeout_ms * 1000;
    GwStreamWord word = GW_STREAM_IDLE;

    while (!ready(stream, &word, event, error)) {
        gint64 left_us = deadline - now_us(stream);
        if (stream->transfer == NULL)
            left_us = MIN(left_us, stream->connect_at_us - now_us(stream) + 1000);
        if (deadline <= now_us(stream))
            return GW_STREAM_IDLE;
        if (!gw_client_pump(stream->client, (int)MAX(left_us / 1000, 1), error))
            return GW_STREAM_DOWN;
    }
    return word;
}
