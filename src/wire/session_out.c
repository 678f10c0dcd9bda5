/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What goes out, and in which order: frames wait in queues, and streams are asked for their data
 * when nothing else is left to say. */
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "wire/session_internal.h"

gsize gw_session_queued(const GwSession *session)
{
    return session->control->len - session->control_at + session->early->len +
           (session->wire->len - session->wire_at);
}

void gw_session_want(GwSession *session)
{
    gw_session_defer(session);
}

void gw_session_send(GwSession *session, GwFrameType type, guint32 id, gconstpointer payload,
                     gsize length)
{
    guint8 header[GW_FRAME_HEADER];
    gboolean early =
        type == GW_FRAME_HELLO || (type == GW_FRAME_BYE && session->state < GW_SESSION_READY);
    GByteArray *queue = early ? session->early : session->control;

    if (session->state >= GW_SESSION_CLOSING)
        return;
    gw_frame_put(header, (GwFrame){ type, id, (guint32)length });
    g_byte_array_append(queue, header, sizeof header);
    if (length > 0)
        g_byte_array_append(queue, payload, (guint)length);
    if (gw_session_queued(session) > GW_SESSION_QUEUE_MAX) {
        GError *why = NULL;
        gw_error_set(&why, GW_ERR_UNREACHABLE, NULL, "the other side does not read");
        gw_session_end(session, why);
    }
    gw_session_want(session);
}

gboolean gw_session_send_json(GwSession *session, GwFrameType type, guint32 id, const json_t *json)
{
    gsize most = type == GW_FRAME_CALL || type == GW_FRAME_ANSWER || type == GW_FRAME_NOTICE
                     ? GW_FRAME_TEXT_MAX
                     : GW_FRAME_OPEN_MAX;
    g_autofree char *text = gw_json_text(json);
    gsize length = text != NULL ? strlen(text) : 0;

    if (length < 2 || length > most)
        return FALSE;
    gw_session_send(session, type, id, text, length);
    return TRUE;
}

static gsize fill_from(GByteArray *queue, gsize *at, guint8 *into, gsize room)
{
    gsize n = MIN(room, queue->len - *at);

    if (n == 0)
        return 0;
    memcpy(into, queue->data + *at, n);
    *at += n;
    if (*at == queue->len) {
        /* A large one is given back: sessions are many and mostly idle. */
        if (queue->len > GW_SESSION_CHUNK)
            g_free(g_byte_array_steal(queue, NULL));
        g_byte_array_set_size(queue, 0);
        *at = 0;
    }
    return n;
}

/* How much a limit leaves for streams now. */
static gint64 leave(GwSession *session)
{
    gint64 now_us = g_get_monotonic_time(), later_us = 0;
    gint64 room = gw_grant_room(&session->shared, now_us, &later_us);

    if (room == 0)
        gw_timer_set(session->limit_timer, MAX(later_us, now_us + 1000));
    return room;
}

/* Asks the stream whose turn it is for one frame; FALSE: there is nothing to ask for. */
static gboolean fill_from_streams(GwSession *session, guint8 *into, gsize *used)
{
    gint64 most = leave(session);
    gsize room = 0;
    GwTurn *turn =
        gw_scheduler_next(session->scheduler, most > 0 ? GW_CLASS_BULK : GW_CLASS_CONTROL, &room);

    if (turn == NULL)
        return FALSE;
    GwStream *stream = turn->owner;
    room = MIN(room, GW_FRAME_DATA_MAX);
    room = MIN(room, (gsize)stream->credit);
    if (gw_turn_class(turn) != GW_CLASS_CONTROL)
        room = (gsize)MIN((gint64)room, most);
    stream->kicked = FALSE;
    stream->pulling = TRUE;
    gsize n = stream->ops.pull(stream, into + GW_FRAME_HEADER, room, stream->user);
    stream->pulling = FALSE;
    if (n > room)
        g_error("a stream gave %zu bytes where it was asked for %zu", n, room);
    if (n == 0) {
        stream->wants = stream->kicked;
        gw_stream_update(stream);
        gw_stream_say_end(stream);
        if (stream->kicked)
            gw_session_defer(session);
        return !stream->kicked;
    }
    /* It may have broken itself, or the session, meanwhile. */
    if (stream->state != GW_STREAM_OPEN || session->state != GW_SESSION_READY)
        return session->state == GW_SESSION_READY;
    gw_frame_put(into, (GwFrame){ GW_FRAME_DATA, stream->id, (guint32)n });
    *used += GW_FRAME_HEADER + n;
    stream->credit -= (gint64)n;
    session->sent_bytes += n;
    gw_grant_spend(&session->shared, (gint64)n);
    gw_scheduler_sent(turn, n);
    gw_stream_update(stream);
    gw_stream_say_end(stream);
    return TRUE;
}

gsize gw_session_fill(GwSession *session, guint8 *into)
{
    gsize early_at = 0, used = 0;

    used += fill_from(session->early, &early_at, into, GW_SESSION_CHUNK);
    if (used > 0 && early_at > 0)
        g_byte_array_remove_range(session->early, 0, (guint)early_at);
    while (used < GW_SESSION_CHUNK && session->state >= GW_SESSION_READY) {
        gsize n =
            fill_from(session->control, &session->control_at, into + used, GW_SESSION_CHUNK - used);
        if (n > 0)
            session->pong_at = 0;
        used += n;
        if (session->state != GW_SESSION_READY)
            break;
        if (n == 0 && !fill_from_streams(session, into + used, &used))
            break;
    }
    return used;
}
