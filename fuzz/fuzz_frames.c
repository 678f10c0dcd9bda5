/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A session's whole handling of frames, after TLS: hostile bytes as they are, or as frames whose
 * headers are right (to get far), mixed with what this side does meanwhile. Whatever comes, each
 * stream and the session are told their end once, and what is held stays below the ceilings. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "wire/loop_internal.h"
#include "wire/session_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ENDS 32
#define REQUIRE(what)                                                                              \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

typedef struct {
    GwStream *stream;
    gboolean pending; /* asked, not answered */
    gsize held;
    gsize sent;
    guint gone;
} End;

typedef struct {
    GwSession *session;
    End ends[ENDS];
    guint32 asked[ENDS];
    guint n_ends, n_asked, closed, calls, calls_done;
    guint8 manner; /* how the other's streams are met */
} World;

typedef struct {
    const uint8_t *at;
    size_t left;
} Input;

static guint8 next_u8(Input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->at++;
}

/* This side -------------------------------------------------------------------------------------
 */

static gsize on_pull(GwStream *stream, guint8 *into, gsize room, gpointer user)
{
    End *end = user;
    gsize n = MIN(room, 500);

    REQUIRE(room > 0);
    /* The other may give credit for gigabytes; that costs time and shows nothing new. */
    if ((end->sent += n) > 3000)
        return 0;
    memset(into, 'p', n);
    if (end->held % 7 == 3)
        gw_stream_end(stream);
    return end->held % 5 == 4 ? 0 : n;
}

static void on_push(GwStream *stream, const guint8 *bytes, gsize length, gpointer user)
{
    End *end = user;

    REQUIRE(length > 0 && end->stream == stream);
    end->held += length;
    REQUIRE(end->held <= GW_STREAM_WINDOW_MAX);
    if (length % 3 == 0) {
        gw_stream_consumed(stream, end->held);
        end->held = 0;
    } else if (length % 31 == 1) {
        gw_stream_reset(stream, NULL);
    }
    gw_stream_ready(stream);
}

static void on_ended(GwStream *stream, gpointer user)
{
    if (((End *)user)->held % 2 == 0)
        gw_stream_end(stream);
}

static void on_gone(GwStream *stream, const GError *why, gpointer user)
{
    End *end = user;

    REQUIRE(end->stream == stream && ++end->gone == 1);
    end->stream = NULL;
}

static const GwStreamOps end_ops = {
    .pull = on_pull, .push = on_push, .ended = on_ended, .gone = on_gone
};
static const GwStreamShare share = { GW_CLASS_NORMAL, "vm", 0 };

static void on_open(GwSession *session, GwStream *stream, const json_t *what, gpointer user)
{
    World *world = user;

    REQUIRE(json_is_object(what));
    if (world->n_ends == ENDS || world->manner % 4 == 0) {
        gw_stream_refuse(stream, NULL);
        return;
    }
    End *end = &world->ends[world->n_ends++];
    end->stream = stream;
    end->pending = world->manner % 4 == 1;
    if (!end->pending)
        gw_stream_accept(stream, &share, &end_ops, end);
    if (world->manner % 4 == 2)
        gw_stream_ready(stream);
}

static void on_call(GwSession *session, guint32 id, const char *method, const json_t *params,
                    gpointer user)
{
    World *world = user;

    REQUIRE(method != NULL && json_is_object(params));
    if (world->n_asked < ENDS && world->manner % 3 == 0)
        world->asked[world->n_asked++] = id;
    else
        gw_session_answer(session, id, NULL, NULL);
}

static void on_done(GwSession *session, const json_t *result, const GError *error, gpointer user)
{
    REQUIRE((result == NULL) != (error == NULL));
    ((World *)user)->calls_done++;
}

static void on_closed(GwSession *session, const GError *why, gpointer user)
{
    World *world = user;

    REQUIRE(++world->closed == 1 && world->calls == world->calls_done);
    world->session = NULL;
    for (guint i = 0; i < world->n_ends; i++)
        REQUIRE(world->ends[i].pending || world->ends[i].gone == 1);
}

/* What this side does of itself. */
static void act(World *world, guint8 what, guint8 which)
{
    End *end = &world->ends[which % ENDS];

    if (what % 8 == 0 && world->n_ends < ENDS) {
        end = &world->ends[world->n_ends++];
        end->stream = gw_stream_open(world->session, json_object(), &share, &end_ops, end);
        gw_stream_ready(end->stream);
    } else if (what % 8 == 1) {
        world->calls++;
        gw_session_call(world->session, "x", NULL, 60 * G_USEC_PER_SEC, on_done, world);
    } else if (what % 8 == 2 && world->n_asked > 0) {
        gw_session_answer(world->session, world->asked[--world->n_asked], NULL, NULL);
    }
    if (end->stream == NULL)
        return;
    if (end->pending) {
        end->pending = FALSE;
        if (what % 8 == 3) {
            GwStream *stream = g_steal_pointer(&end->stream);
            end->gone = 1;
            gw_stream_refuse(stream, NULL);
        } else {
            gw_stream_accept(end->stream, &share, &end_ops, end);
        }
    } else if (what % 8 == 4) {
        gw_stream_reset(end->stream, NULL);
    } else if (what % 8 == 5) {
        gw_stream_end(end->stream);
    } else if (what % 8 == 6) {
        gw_stream_consumed(end->stream, end->held);
        end->held = 0;
    }
}

/* The other ---------------------------------------------------------------------------------------
 */

/* Payloads that get past the parser, so that the rest is reached. */
static const char *const texts[] = {
    "{}",
    "{\"method\":\"m\",\"params\":{}}",
    "{\"result\":{}}",
    "{\"error\":{\"code\":\"invalid\",\"message\":\"no\",\"remedy\":\"r\"}}",
    "{\"code\":\"refused\",\"message\":\"no\"}",
    "{\"versions\":[1,1],\"software\":\"f\",\"wall_us\":1}",
};

static gsize make_payload(GwFrameType type, Input *input, guint8 *payload)
{
    guint8 kind = next_u8(input);

    switch (type) {
    case GW_FRAME_DATA:
        return kind < 0xf0 ? (gsize)kind * 9 + 1 : (gsize)kind * 257;
    case GW_FRAME_END:
        return 0;
    case GW_FRAME_OPENED:
    case GW_FRAME_CREDIT:
        gw_put_u32(payload, (guint32)kind << (next_u8(input) % 25));
        return 4;
    case GW_FRAME_PING:
    case GW_FRAME_PONG:
        memset(payload, 0, 8);
        payload[7] = kind;
        return 8;
    default:
        break;
    }
    gsize skip = type == GW_FRAME_OPEN ? 4 : 0;
    gw_put_u32(payload, (guint32)kind << 10);
    if (kind % 8 == 7) {
        gsize n = MIN(input->left, (gsize)kind);
        memcpy(payload + skip, input->at, n);
        input->at += n;
        input->left -= n;
        return skip + n;
    }
    const char *text = texts[kind % G_N_ELEMENTS(texts)];
    memcpy(payload + skip, text, strlen(text));
    return skip + strlen(text);
}

static void feed_frame(World *world, guint8 type, Input *input)
{
    static guint8 payload[GW_FRAME_DATA_MAX];
    guint8 header[GW_FRAME_HEADER];
    gboolean of_session = type == GW_FRAME_HELLO || type == GW_FRAME_NOTICE ||
                          type == GW_FRAME_PING || type == GW_FRAME_PONG || type == GW_FRAME_BYE;
    guint32 id = of_session ? 0 : next_u8(input) % 48;
    gsize length = make_payload(type, input, payload);

    gw_frame_put(header, (GwFrame){ type, id, (guint32)length });
    gw_session_feed(world->session, header, sizeof header);
    if (world->session != NULL)
        gw_session_feed(world->session, payload, length);
}

static void drain(World *world, GwLoop *loop)
{
    static GByteArray *out;

    if (out == NULL)
        out = g_byte_array_new();
    if (world->session != NULL)
        gw_session_take_plain(world->session, out);
    /* What goes out is whole frames, always. */
    for (gsize at = 0; at < out->len;) {
        GwFrame frame;

        REQUIRE(out->len - at >= GW_FRAME_HEADER && gw_frame_get(out->data + at, &frame, NULL));
        at += GW_FRAME_HEADER + frame.length;
        REQUIRE(at <= out->len);
    }
    g_byte_array_set_size(out, 0);
    gw_loop_turn(loop, 0);
}

static void run_frames(World *world, GwLoop *loop, Input *input)
{
    while (input->left > 0 && world->session != NULL) {
        guint8 op = next_u8(input) % 20;

        if (op > 0 && op < GW_FRAME_TYPES)
            feed_frame(world, op, input);
        else if (op < 18)
            act(world, next_u8(input), next_u8(input));
        else
            drain(world, loop);
        if (world->session != NULL)
            REQUIRE(world->session->windows >= 0 && world->session->windows <= GW_SESSION_HELD_MAX);
    }
}

static void run_bytes(World *world, GwLoop *loop, Input *input)
{
    gsize piece = (gsize)next_u8(input) + 1;

    while (input->left > 0 && world->session != NULL) {
        gsize n = MIN(input->left, piece == 256 ? input->left : piece);

        gw_session_feed(world->session, input->at, n);
        input->at += n;
        input->left -= n;
        if (piece % 4 == 1)
            drain(world, loop);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static GwLoop *loop;
    static GwPeer peer = { .role = GW_PEER_HOST, .fabric_id = "F", .host_id = "h", .serial = "1" };
    Input input = { data, size };
    World world = { 0 };
    guint8 flags = next_u8(&input);
    const GwSessionOps ops = {
        .user = &world, .open = on_open, .call = on_call, .closed = on_closed
    };
    const GwSessionConfig config = { .ops = &ops,
                                     .loop = loop != NULL ? loop : (loop = gw_loop_new_manual()) };

    world.manner = flags >> 3;
    world.session = gw_session_new_plain(&config, &peer, (flags & 1) != 0);
    if ((flags & 2) != 0) {
        Input hello = { (const uint8_t[]){ 5 }, 1 };
        feed_frame(&world, GW_FRAME_HELLO, &hello);
    }
    if ((flags & 4) != 0)
        run_bytes(&world, loop, &input);
    else
        run_frames(&world, loop, &input);
    drain(&world, loop);
    if (world.session != NULL)
        gw_session_close(world.session, NULL);
    for (guint i = 0; i < 8 && world.closed == 0; i++)
        drain(&world, loop);
    REQUIRE(world.closed == 1);
    gw_loop_turn(loop, 0);
    return 0;
}
