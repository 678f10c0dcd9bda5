/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/frame.h"

#include "base/error.h"

typedef enum { ID_SESSION, ID_OTHER } IdKind;

/* What a type's frames may look like. */
static const struct {
    const char *word;
    guint32 shortest, longest;
    IdKind id;
} shapes[GW_FRAME_TYPES] = {
    [GW_FRAME_HELLO] = { "HELLO", 2, GW_FRAME_OPEN_MAX, ID_SESSION },
    [GW_FRAME_OPEN] = { "OPEN", 6, GW_FRAME_OPEN_MAX, ID_OTHER },
    [GW_FRAME_OPENED] = { "OPENED", 4, 4, ID_OTHER },
    [GW_FRAME_REFUSED] = { "REFUSED", 2, GW_FRAME_OPEN_MAX, ID_OTHER },
    [GW_FRAME_DATA] = { "DATA", 1, GW_FRAME_DATA_MAX, ID_OTHER },
    [GW_FRAME_CREDIT] = { "CREDIT", 4, 4, ID_OTHER },
    [GW_FRAME_END] = { "END", 0, 0, ID_OTHER },
    [GW_FRAME_RESET] = { "RESET", 2, GW_FRAME_OPEN_MAX, ID_OTHER },
    [GW_FRAME_CALL] = { "CALL", 2, GW_FRAME_TEXT_MAX, ID_OTHER },
    [GW_FRAME_ANSWER] = { "ANSWER", 2, GW_FRAME_TEXT_MAX, ID_OTHER },
    [GW_FRAME_NOTICE] = { "NOTICE", 2, GW_FRAME_TEXT_MAX, ID_SESSION },
    [GW_FRAME_PING] = { "PING", 8, 8, ID_SESSION },
    [GW_FRAME_PONG] = { "PONG", 8, 8, ID_SESSION },
    [GW_FRAME_BYE] = { "BYE", 2, GW_FRAME_OPEN_MAX, ID_SESSION },
};

const char *gw_frame_word(GwFrameType type)
{
    return type >= GW_FRAME_HELLO && type < GW_FRAME_TYPES ? shapes[type].word : "unknown";
}

void gw_frame_put(guint8 header[GW_FRAME_HEADER], GwFrame frame)
{
    header[0] = (guint8)frame.type;
    header[1] = header[2] = header[3] = 0;
    gw_put_u32(header + 4, frame.id);
    gw_put_u32(header + 8, frame.length);
}

static gboolean check_length(const GwFrame *frame, GError **error)
{
    guint32 shortest = shapes[frame->type].shortest, longest = shapes[frame->type].longest;

    if (frame->length > longest && shortest != longest) {
        gw_error_set(error, GW_ERR_TOO_LARGE, NULL,
                     "a %s frame of %u bytes; at most %u are allowed", shapes[frame->type].word,
                     frame->length, longest);
        return FALSE;
    }
    if (frame->length < shortest || frame->length > longest) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "a %s frame of %u bytes; it has %s%u",
                     shapes[frame->type].word, frame->length,
                     shortest == longest ? "" : "at least ", shortest);
        return FALSE;
    }
    return TRUE;
}

gboolean gw_frame_get(const guint8 header[GW_FRAME_HEADER], GwFrame *frame, GError **error)
{
    GwFrame got = { .type = header[0],
                    .id = gw_get_u32(header + 4),
                    .length = gw_get_u32(header + 8) };

    if (header[0] < GW_FRAME_HELLO || header[0] >= GW_FRAME_TYPES) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "a frame of the unknown type %u", header[0]);
        return FALSE;
    }
    if (header[1] != 0 || header[2] != 0 || header[3] != 0) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "a %s frame whose reserved bytes are not zero",
                     shapes[got.type].word);
        return FALSE;
    }
    if ((got.id == 0) != (shapes[got.type].id == ID_SESSION)) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "a %s frame with the id %u",
                     shapes[got.type].word, got.id);
        return FALSE;
    }
    if (!check_length(&got, error))
        return FALSE;
    *frame = got;
    return TRUE;
}
