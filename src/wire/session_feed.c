/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What comes in: hostile bytes, cut into frames and dealt out. */
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "wire/session_internal.h"

#define CREDIT_MAX (1024 * 1024 * 1024) /* bytes; far above any window */

static void on_json(GwSession *session, const GwFrame *frame, const json_t *json)
{
    switch (frame->type) {
    case GW_FRAME_HELLO:
        gw_session_hello(session, json);
        break;
    case GW_FRAME_REFUSED:
        gw_stream_on_refused(session, frame->id, json);
        break;
    case GW_FRAME_RESET:
        gw_stream_on_reset(session, frame->id, json);
        break;
    case GW_FRAME_CALL:
        gw_session_on_call(session, frame->id, json);
        break;
    case GW_FRAME_ANSWER:
        gw_session_on_answer(session, frame->id, json);
        break;
    case GW_FRAME_NOTICE:
        gw_session_on_notice(session, json);
        break;
    default: /* BYE */
        gw_session_end(session, gw_session_error_from_json(json));
        break;
    }
}

static json_t *parse(GwSession *session, const GwFrame *frame, const guint8 *text, gsize length)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwJson) json = gw_json_parse((const char *)text, length, GW_FRAME_TEXT_MAX, &error);

    if (json == NULL)
        gw_session_violation(session, "a %s frame: %s", gw_frame_word(frame->type), error->message);
    else if (!json_is_object(json))
        gw_session_violation(session, "a %s frame that is no JSON object",
                             gw_frame_word(frame->type));
    else
        return g_steal_pointer(&json);
    return NULL;
}

static void on_open(GwSession *session, const GwFrame *frame, const guint8 *payload)
{
    guint32 window = gw_get_u32(payload);

    if (window > CREDIT_MAX) {
        gw_session_violation(session, "an OPEN with a window of %u bytes", window);
        return;
    }
    g_autoptr(GwJson) what = parse(session, frame, payload + 4, frame->length - 4);
    if (what != NULL)
        gw_stream_on_open(session, frame->id, window, what);
}

/* A whole frame but DATA. */
static void on_frame(GwSession *session, const guint8 *payload)
{
    const GwFrame frame = session->frame;

    switch (frame.type) {
    case GW_FRAME_OPEN:
        on_open(session, &frame, payload);
        return;
    case GW_FRAME_OPENED:
        gw_stream_on_opened(session, frame.id, gw_get_u32(payload));
        return;
    case GW_FRAME_CREDIT:
        gw_stream_on_credit(session, frame.id, gw_get_u32(payload));
        return;
    case GW_FRAME_END:
        gw_stream_on_end(session, frame.id);
        return;
    case GW_FRAME_PING:
        gw_session_on_ping(session, payload);
        return;
    case GW_FRAME_PONG:
        gw_session_on_pong(session, payload);
        return;
    default:
        break;
    }
    g_autoptr(GwJson) json = parse(session, &frame, payload, frame.length);
    if (json != NULL)
        on_json(session, &frame, json);
}

/* A header is there: may such a frame come now? */
static gboolean begin_frame(GwSession *session)
{
    g_autoptr(GError) error = NULL;
    GwFrame *frame = &session->frame;
    gboolean greeted = session->state == GW_SESSION_READY;

    if (!gw_frame_get(session->header, frame, &error)) {
        gw_session_violation(session, "%s", error->message);
        return FALSE;
    }
    session->payload_left = frame->length;
    if (frame->type != GW_FRAME_BYE && greeted == (frame->type == GW_FRAME_HELLO)) {
        gw_session_violation(session, "a %s frame %s the greeting", gw_frame_word(frame->type),
                             greeted ? "after" : "before");
        return FALSE;
    }
    return frame->type != GW_FRAME_DATA || gw_stream_on_data(session, frame->id, frame->length);
}

/* The next bytes of a frame's payload; all of DATA goes on as it comes, other frames are put
 * together first. What is held grows with what came, not with what was announced. */
static gsize take_payload(GwSession *session, const guint8 *bytes, gsize length)
{
    gsize n = MIN(length, session->payload_left);
    gboolean whole = n == session->payload_left;

    session->payload_left -= (guint32)n;
    if (whole)
        session->header_have = 0;
    if (session->frame.type == GW_FRAME_DATA) {
        if (n > 0)
            gw_stream_on_piece(session, session->frame.id, bytes, n);
    } else if (whole && session->payload->len == 0) {
        on_frame(session, bytes);
    } else {
        g_byte_array_append(session->payload, bytes, (guint)n);
        if (whole) {
            /* Not session->payload: a callback may feed us the next frame. */
            g_autoptr(GByteArray) payload = session->payload;
            session->payload = g_byte_array_new();
            on_frame(session, payload->data);
        }
    }
    return n;
}

void gw_session_feed(GwSession *session, const guint8 *bytes, gsize length)
{
    while (gw_session_hears(session)) {
        gsize n = MIN(length, GW_FRAME_HEADER - session->header_have);

        if (n > 0) {
            memcpy(session->header + session->header_have, bytes, n);
            session->header_have += n;
            bytes += n;
            length -= n;
            if (session->header_have < GW_FRAME_HEADER)
                return;
            if (!begin_frame(session))
                return;
        } else if (session->header_have < GW_FRAME_HEADER) {
            return;
        }
        if (length == 0 && session->payload_left > 0)
            return;
        n = take_payload(session, bytes, length);
        bytes += n;
        length -= n;
    }
}
