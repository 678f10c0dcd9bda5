/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* What goes over a session, inside TLS: frames of a fixed header and a payload, integers
 * big-endian. docs/agent-protocol.md is the reference.
 *
 *   u8 type, u8 zero, u16 zero, u32 id, u32 payload length
 *
 * @id is the stream's (odd: opened by who dialled; even: by who accepted; 0: the session) or, of
 * CALL and ANSWER, the call's, numbered by who calls. */

#define GW_FRAME_HEADER 12
#define GW_FRAME_DATA_MAX (64 * 1024)  /* payload of DATA */
#define GW_FRAME_TEXT_MAX (256 * 1024) /* payload of CALL, ANSWER, NOTICE */
#define GW_FRAME_OPEN_MAX (8 * 1024)   /* payload of HELLO, OPEN, REFUSED, RESET, BYE */

typedef enum {
    GW_FRAME_HELLO = 1, /* JSON; the first frame of each side */
    GW_FRAME_OPEN,      /* JSON: what the stream is, with its ticket; u32 window before it */
    GW_FRAME_OPENED,    /* u32: the window of who accepted */
    GW_FRAME_REFUSED,   /* JSON: code, message, remedy */
    GW_FRAME_DATA,
    GW_FRAME_CREDIT, /* u32: so many more bytes may be sent */
    GW_FRAME_END,    /* no more data from this side */
    GW_FRAME_RESET,  /* JSON as of REFUSED: the stream is broken */
    GW_FRAME_CALL,   /* JSON: {"method", "params"} */
    GW_FRAME_ANSWER, /* JSON: {"result"} or {"error": {"code", "message", "remedy"}} */
    GW_FRAME_NOTICE, /* JSON as of CALL; nobody answers */
    GW_FRAME_PING,   /* u64, echoed */
    GW_FRAME_PONG,
    GW_FRAME_BYE, /* JSON as of REFUSED: the session ends, and why */
    GW_FRAME_TYPES
} GwFrameType;

typedef struct {
    GwFrameType type;
    guint32 id;
    guint32 length;
} GwFrame;

void gw_frame_put(guint8 header[GW_FRAME_HEADER], GwFrame frame);
/* Hostile bytes: unknown type, zero bytes that are not, a length over the type's ceiling or not its
 * fixed one (GW_ERR_INVALID, GW_ERR_TOO_LARGE). */
gboolean gw_frame_get(const guint8 header[GW_FRAME_HEADER], GwFrame *frame, GError **error);
const char *gw_frame_word(GwFrameType type);

static inline void gw_put_u32(guint8 *at, guint32 value)
{
    at[0] = (guint8)(value >> 24);
    at[1] = (guint8)(value >> 16);
    at[2] = (guint8)(value >> 8);
    at[3] = (guint8)value;
}
static inline guint32 gw_get_u32(const guint8 *at)
{
    return (guint32)at[0] << 24 | (guint32)at[1] << 16 | (guint32)at[2] << 8 | at[3];
}
