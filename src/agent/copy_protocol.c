/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/copy_protocol.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"

/* What may come, by type: the payload's length. */
static const struct {
    guint32 min, max;
} payloads[GW_COPY_TYPES] = {
    [GW_COPY_BEGIN] = { 16, 16 },
    [GW_COPY_READY] = { 8, 8 },
    [GW_COPY_DIGESTS] = { 8 + GW_DIGEST_BYTES, 8 + GW_COPY_WINDOW *GW_DIGEST_BYTES },
    [GW_COPY_DATA] = { 9, 8 + GW_COPY_BLOCK },
    [GW_COPY_ZERO] = { 16, 16 },
    [GW_COPY_SAME] = { 16, 16 },
    [GW_COPY_END] = { 8 + GW_COPY_DIGEST_TEXT, 8 + GW_COPY_DIGEST_TEXT },
    [GW_COPY_BUSY] = { 8, 8 },
    [GW_COPY_DONE] = { 8 + GW_COPY_DIGEST_TEXT, 8 + GW_COPY_DIGEST_TEXT },
    [GW_COPY_FAIL] = { 2, 2 + 2 * GW_COPY_TEXT_MAX },
};

static gboolean bad(GError **error, const char *what)
{
    gw_error_set(error, GW_ERR_INVALID, "Install the same version of the agent on both hosts.",
                 "the other end of the copy breaks the protocol: %s", what);
    return FALSE;
}

static guint64 get_u64(const guint8 *at)
{
    guint64 value = 0;

    for (guint i = 0; i < 8; i++)
        value = value << 8 | at[i];
    return value;
}

static void put_u64(guint8 *at, guint64 value)
{
    for (guint i = 0; i < 8; i++)
        at[i] = (guint8)(value >> (56 - 8 * i));
}

static guint32 get_u32(const guint8 *at)
{
    return (guint32)at[0] << 24 | (guint32)at[1] << 16 | (guint32)at[2] << 8 | at[3];
}

static void put_u32(guint8 *at, guint32 value)
{
    for (guint i = 0; i < 4; i++)
        at[i] = (guint8)(value >> (24 - 8 * i));
}

/* Decoding ------------------------------------------------------------------------------------- */

void gw_copy_frame_clear(GwCopyFrame *frame)
{
    g_clear_error(&frame->error);
}

gboolean gw_copy_header_get(const guint8 header[GW_COPY_HEADER], GwCopyType *type, guint32 *length,
                            GError **error)
{
    guint32 size = get_u32(header + 4);

    if (header[0] == 0 || header[0] >= GW_COPY_TYPES)
        return bad(error, "a frame of an unknown type");
    if (header[1] != 0 || header[2] != 0 || header[3] != 0)
        return bad(error, "a frame's reserved bytes are used");
    if (size < payloads[header[0]].min || size > payloads[header[0]].max)
        return bad(error, "a frame of a length that it cannot have");
    *type = header[0];
    *length = size;
    return TRUE;
}

static gboolean get_begin(const guint8 *payload, GwCopyFrame *frame, GError **error)
{
    guint version = (guint)payload[0] << 8 | payload[1];

    if (version != GW_COPY_VERSION || payload[2] != 0 || payload[3] != 0 ||
        get_u32(payload + 4) != GW_COPY_BLOCK) {
        gw_error_set(error, GW_ERR_UNSUPPORTED,
                     "Install the same version of the agent on both hosts.",
                     "the other host copies by version %u in blocks of %u bytes; this one by "
                     "version %d in blocks of %d",
                     version, get_u32(payload + 4), GW_COPY_VERSION, GW_COPY_BLOCK);
        return FALSE;
    }
    frame->length = get_u64(payload + 8);
    return frame->length <= GW_COPY_LENGTH_MAX || bad(error, "a file too long to be one");
}

static gboolean get_run(const guint8 *payload, GwCopyFrame *frame, GError **error)
{
    frame->offset = get_u64(payload);
    frame->length = get_u64(payload + 8);
    return (frame->length > 0 && frame->offset <= GW_COPY_LENGTH_MAX &&
            frame->length <= GW_COPY_LENGTH_MAX - frame->offset) ||
           bad(error, "a run outside of any file");
}

static gboolean get_digests(const guint8 *payload, guint32 length, GwCopyFrame *frame,
                            GError **error)
{
    if ((length - 8) % GW_DIGEST_BYTES != 0)
        return bad(error, "a part of a digest");
    frame->offset = get_u64(payload);
    frame->bytes = payload + 8;
    frame->n_digests = (length - 8) / GW_DIGEST_BYTES;
    return frame->offset <= GW_COPY_LENGTH_MAX || bad(error, "digests from outside of any file");
}

static gboolean get_whole(const guint8 *payload, GwCopyFrame *frame, GError **error)
{
    static const char prefix[] = "blake2b:";

    frame->length = get_u64(payload);
    memcpy(frame->digest, payload + 8, GW_COPY_DIGEST_TEXT);
    frame->digest[GW_COPY_DIGEST_TEXT] = '\0';
    if (!g_str_has_prefix(frame->digest, prefix) ||
        strspn(frame->digest + strlen(prefix), "0123456789abcdef") !=
            GW_COPY_DIGEST_TEXT - strlen(prefix))
        return bad(error, "a digest that is none");
    return TRUE;
}

static void get_fail(const guint8 *payload, guint32 length, GwCopyFrame *frame)
{
    const char *text = (const char *)payload + 1;
    gsize left = length - 1;
    gsize end = strnlen(text, left);
    g_autofree char *message = g_strndup(text, end);
    g_autofree char *remedy = end < left ? g_strndup(text + end + 1, left - end - 1) : NULL;
    g_autofree char *clean = gw_text_printable(message, GW_COPY_TEXT_MAX);
    g_autofree char *clean_remedy =
        remedy != NULL ? gw_text_printable(remedy, GW_COPY_TEXT_MAX) : NULL;

    gw_error_set(&frame->error, payload[0] <= GW_ERR_OPERATION ? payload[0] : GW_ERR_OPERATION,
                 clean_remedy != NULL && *clean_remedy != '\0' ? clean_remedy : NULL,
                 "the other host: %s", clean);
}

gboolean gw_copy_payload_get(GwCopyType type, const guint8 *payload, guint32 length,
                             GwCopyFrame *frame, GError **error)
{
    *frame = (GwCopyFrame){ .type = type };
    switch (type) {
    case GW_COPY_BEGIN:
        return get_begin(payload, frame, error);
    case GW_COPY_READY:
        frame->length = get_u64(payload);
        return TRUE;
    case GW_COPY_DIGESTS:
        return get_digests(payload, length, frame, error);
    case GW_COPY_DATA:
        frame->offset = get_u64(payload);
        frame->length = length - 8;
        frame->bytes = payload + 8;
        return frame->offset <= GW_COPY_LENGTH_MAX || bad(error, "data outside of any file");
    case GW_COPY_ZERO:
    case GW_COPY_SAME:
        return get_run(payload, frame, error);
    case GW_COPY_END:
    case GW_COPY_DONE:
        return get_whole(payload, frame, error);
    case GW_COPY_BUSY:
        frame->offset = get_u64(payload);
        return TRUE;
    case GW_COPY_FAIL:
        get_fail(payload, length, frame);
        return TRUE;
    default:
        return bad(error, "a frame of an unknown type");
    }
}

gboolean gw_copy_check_run(guint64 position, guint64 total, guint64 offset, guint64 length,
                           GError **error)
{
    if (offset != position)
        return bad(error, "a gap, or something twice");
    if (length > total - position)
        return bad(error, "more than the file is long");
    return TRUE;
}

/* Encoding ------------------------------------------------------------------------------------- */

static guint8 *put_header(guint8 *into, GwCopyType type, gsize length)
{
    memset(into, 0, GW_COPY_HEADER);
    into[0] = (guint8)type;
    put_u32(into + 4, (guint32)length);
    return into + GW_COPY_HEADER;
}

gsize gw_copy_put_begin(guint8 *into, guint64 length)
{
    guint8 *at = put_header(into, GW_COPY_BEGIN, 16);

    put_u32(at, (guint32)GW_COPY_VERSION << 16);
    put_u32(at + 4, GW_COPY_BLOCK);
    put_u64(at + 8, length);
    return GW_COPY_HEADER + 16;
}

gsize gw_copy_put_number(guint8 *into, GwCopyType type, guint64 number)
{
    put_u64(put_header(into, type, 8), number);
    return GW_COPY_HEADER + 8;
}

gsize gw_copy_put_run(guint8 *into, GwCopyType type, guint64 offset, guint64 length)
{
    guint8 *at = put_header(into, type, 16);

    put_u64(at, offset);
    put_u64(at + 8, length);
    return GW_COPY_HEADER + 16;
}

gsize gw_copy_put_bytes(guint8 *into, GwCopyType type, guint64 offset, gsize length)
{
    put_u64(put_header(into, type, 8 + length), offset);
    return GW_COPY_HEADER + 8;
}

gsize gw_copy_put_digest(guint8 *into, GwCopyType type, guint64 length, const char *digest)
{
    guint8 *at = put_header(into, type, 8 + GW_COPY_DIGEST_TEXT);

    put_u64(at, length);
    memcpy(at + 8, digest, GW_COPY_DIGEST_TEXT);
    return GW_COPY_HEADER + 8 + GW_COPY_DIGEST_TEXT;
}

gsize gw_copy_put_fail(guint8 *into, const GError *error)
{
    const char *remedy = gw_error_remedy(error);
    gsize message_length = CLAMP(strlen(error->message), 1, GW_COPY_TEXT_MAX);
    gsize remedy_length = remedy != NULL ? MIN(strlen(remedy), GW_COPY_TEXT_MAX) : 0;
    guint8 *at = put_header(into, GW_COPY_FAIL, 2 + message_length + remedy_length);

    at[0] = (guint8)(error->domain == GW_ERROR ? error->code : GW_ERR_OPERATION);
    memcpy(at + 1, *error->message != '\0' ? error->message : "?", message_length);
    at[1 + message_length] = '\0';
    memcpy(at + 2 + message_length, remedy != NULL ? remedy : "", remedy_length);
    return GW_COPY_HEADER + 2 + message_length + remedy_length;
}
