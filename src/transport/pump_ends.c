/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "transport/pump.h"

/* Streams that lead to no socket: checks and measurements. */

typedef struct {
    GwPumpConfig config;
    guint64 came, went;
    /* Echo: what came and was not given back yet; its credit is only given then, so it is never
     * more than the window. */
    GByteArray *bytes;
    gsize at;
    gboolean ended;
} End;

static void end_accept(GwStream *stream, const GwStreamOps *ops, const GwPumpConfig *config)
{
    End *end = g_new0(End, 1);

    end->config = *config;
    end->bytes = g_byte_array_new();
    gw_stream_accept(stream, &config->share, ops, end);
}

static void on_gone(GwStream *stream, const GError *why, gpointer user)
{
    End *end = user;

    if (end->config.done != NULL)
        end->config.done(end->config.user, end->went, end->came, why);
    g_byte_array_unref(end->bytes);
    g_free(end);
}

static gsize echo_pull(GwStream *stream, guint8 *into, gsize room, gpointer user)
{
    End *end = user;
    gsize length = MIN(room, end->bytes->len - end->at);

    if (length > 0) {
        memcpy(into, end->bytes->data + end->at, length);
        end->at += length;
        end->went += length;
        gw_stream_consumed(stream, length);
    }
    if (end->at < end->bytes->len)
        return length;
    g_byte_array_set_size(end->bytes, 0);
    end->at = 0;
    if (end->ended && length == 0)
        gw_stream_end(stream);
    return length;
}

static void echo_push(GwStream *stream, const guint8 *bytes, gsize length, gpointer user)
{
    End *end = user;

    if (end->at > end->bytes->len / 2) {
        g_byte_array_remove_range(end->bytes, 0, (guint)end->at);
        end->at = 0;
    }
    end->came += length;
    g_byte_array_append(end->bytes, bytes, (guint)length);
    gw_stream_ready(stream);
}

static void echo_ended(GwStream *stream, gpointer user)
{
    End *end = user;

    end->ended = TRUE;
    if (end->bytes->len == end->at)
        gw_stream_end(stream);
}

static gsize discard_pull(GwStream *stream, guint8 *into, gsize room, gpointer user)
{
    return 0;
}

static void discard_push(GwStream *stream, const guint8 *bytes, gsize length, gpointer user)
{
    ((End *)user)->came += length;
    gw_stream_consumed(stream, length);
}

static void discard_ended(GwStream *stream, gpointer user)
{
    gw_stream_end(stream);
}

void gw_pump_accept_echo(GwStream *stream, const GwPumpConfig *config)
{
    static const GwStreamOps ops = { NULL, echo_pull, echo_push, echo_ended, on_gone };

    end_accept(stream, &ops, config);
}

void gw_pump_accept_discard(GwStream *stream, const GwPumpConfig *config)
{
    static const GwStreamOps ops = { NULL, discard_pull, discard_push, discard_ended, on_gone };

    end_accept(stream, &ops, config);
}
