/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What flows in an open stream, in both directions, within the credit that each side has given. */
#include "wire/session.h"
#include "wire/session_internal.h"

void gw_stream_update(GwStream *stream)
{
    gw_scheduler_set(&stream->turn, stream->wants && stream->credit > 0 && !stream->end_wanted &&
                                        stream->state == GW_STREAM_OPEN);
}

void gw_stream_on_credit(GwSession *session, guint32 id, guint32 bytes)
{
    GwStream *stream = gw_stream_find(session, id);

    if (stream == NULL && gw_stream_is_past(session, id))
        return;
    if (stream == NULL || bytes == 0 || stream->state == GW_STREAM_OPENING ||
        stream->credit + bytes > GW_STREAM_CREDIT_MAX) {
        gw_session_violation(session, "CREDIT of %u bytes for the stream %u", bytes, id);
        return;
    }
    stream->credit += bytes;
    gw_stream_update(stream);
    gw_session_want(session);
}

gboolean gw_stream_on_data(GwSession *session, guint32 id, guint32 length)
{
    GwStream *stream = gw_stream_find_speaking(session, id, "DATA");

    if (stream == NULL)
        return FALSE;
    if (length > stream->allowed) {
        gw_session_violation(session,
                             "DATA of %u bytes for the stream %u, which has a window of "
                             "%" G_GINT64_FORMAT,
                             length, id, stream->allowed);
        return FALSE;
    }
    stream->allowed -= length;
    return TRUE;
}

void gw_stream_on_piece(GwSession *session, guint32 id, const guint8 *bytes, gsize length)
{
    GwStream *stream = gw_stream_find(session, id);

    session->received_bytes += length;
    if (stream == NULL || stream->state != GW_STREAM_OPEN)
        return;
    stream->held += (gint64)length;
    stream->ops.push(stream, bytes, length, stream->user);
}

void gw_stream_consumed(GwStream *stream, gsize bytes)
{
    g_return_if_fail((gint64)bytes <= stream->held);
    stream->held -= (gint64)bytes;
    stream->owed += (gint64)bytes;
    gw_window_give(stream);
}

void gw_stream_ready(GwStream *stream)
{
    stream->wants = stream->kicked = TRUE;
    if (stream->state != GW_STREAM_OPEN)
        return;
    gw_stream_update(stream);
    gw_session_want(stream->session);
}
