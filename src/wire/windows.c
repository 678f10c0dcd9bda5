/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much the other may make us hold: of each stream by its measured need, of all together by a
 * ceiling. Every stream has GW_STREAM_WINDOW_MIN to itself; what is above comes out of one purse,
 * of which no single stream takes more than a part. */
#include "wire/session_internal.h"

#define SLACK_US (30 * 1000) /* for scheduling at both ends */
#define FIRST_PART 128       /* of the purse for a new stream */
#define GROW_PART 4          /* of the purse for one that grows */

static gint64 purse(const GwSession *session)
{
    gint64 kept = (gint64)GW_SESSION_STREAMS_MAX * GW_STREAM_WINDOW_MIN;

    return MAX(GW_SESSION_HELD_MAX - kept - session->windows, 0);
}

gint64 gw_window_first(const GwSession *session)
{
    return MIN(GW_STREAM_WINDOW, GW_STREAM_WINDOW_MIN + purse(session) / FIRST_PART);
}

void gw_window_release(GwStream *stream)
{
    if (stream->window > 0)
        stream->session->windows -= stream->window - GW_STREAM_WINDOW_MIN;
    stream->window = 0;
}

/* What was consumed since the last credit, as a rate, times the time a byte of credit needs to come
 * back as a byte of data. */
static gint64 wanted(const GwStream *stream, gint64 now_us)
{
    gint64 elapsed_us = MAX(now_us - stream->credited_us, 1);
    gint64 delay_us = MAX(stream->session->rtt_us, 0) + SLACK_US;
    double bytes = (double)stream->owed * (double)delay_us / (double)elapsed_us;

    return (gint64)MIN(bytes, (double)GW_STREAM_WINDOW_MAX);
}

void gw_window_give(GwStream *stream)
{
    GwSession *session = stream->session;
    guint8 payload[4];

    if (stream->owed < stream->window / 2 || stream->state != GW_STREAM_OPEN ||
        stream->end_received)
        return;
    gint64 now_us = g_get_monotonic_time();
    gint64 target = MIN(wanted(stream, now_us), 2 * stream->window);
    gint64 more = MIN(target - stream->window, purse(session) / GROW_PART);
    if (more > 0) {
        stream->window += more;
        session->windows += more;
        stream->owed += more;
    }
    gw_put_u32(payload, (guint32)stream->owed);
    gw_session_send(session, GW_FRAME_CREDIT, stream->id, payload, sizeof payload);
    stream->allowed += stream->owed;
    stream->owed = 0;
    stream->credited_us = now_us;
}
