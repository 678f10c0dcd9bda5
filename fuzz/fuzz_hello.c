/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The greeting: a HELLO of any text makes a session ready with a version that both have, or ends it
 * with a reason, never anything else. */
#include <stdint.h>
#include <stdlib.h>

#include "wire/loop_internal.h"
#include "wire/session_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    guint ready, closed;
    gboolean reason;
} Seen;

static void on_ready(GwSession *session, const json_t *hello, gpointer user)
{
    const json_t *versions = json_object_get(hello, "versions");
    int version = gw_session_version(session);

    ((Seen *)user)->ready++;
    if (version < GW_WIRE_VERSION_MIN || version > GW_WIRE_VERSION ||
        version < json_integer_value(json_array_get(versions, 0)) ||
        version > json_integer_value(json_array_get(versions, 1)))
        abort();
}

static void on_closed(GwSession *session, const GError *why, gpointer user)
{
    ((Seen *)user)->closed++;
    ((Seen *)user)->reason = why != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static GwLoop *loop;
    static GwPeer peer = { .role = GW_PEER_CONTROLLER, .fabric_id = "F", .serial = "1" };
    Seen seen = { 0 };
    const GwSessionOps ops = { .user = &seen, .ready = on_ready, .closed = on_closed };
    guint8 header[GW_FRAME_HEADER];
    g_autoptr(GByteArray) out = g_byte_array_new();

    if (loop == NULL)
        loop = gw_loop_new_manual();
    const GwSessionConfig config = { .ops = &ops, .loop = loop };
    GwSession *session = gw_session_new_plain(&config, &peer, FALSE);
    gw_frame_put(header, (GwFrame){ GW_FRAME_HELLO, 0, (guint32)size });
    gw_session_feed(session, header, sizeof header);
    gw_session_feed(session, data, size);
    gw_session_take_plain(session, out);
    gw_loop_turn(loop, 0);
    if (seen.closed == 0 && seen.ready == 0 && session->state != GW_SESSION_HELLO)
        abort();
    if (seen.closed > 0 && (seen.ready > 0 || !seen.reason))
        abort();
    if (seen.closed == 0) {
        gw_session_close(session, NULL);
        gw_session_take_plain(session, out);
    }
    for (guint i = 0; i < 4 && seen.closed == 0; i++)
        gw_loop_turn(loop, 0);
    if (seen.closed != 1)
        abort();
    gw_loop_turn(loop, 0);
    return 0;
}
