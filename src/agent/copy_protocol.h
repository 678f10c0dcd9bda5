/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/digest.h"

/* What the two copiers of one file say to each other, over a stream between their hosts. Frames of
 * a fixed header and a payload, integers big-endian:
 *
 *   u8 type, u8 zero, u16 zero, u32 payload length
 *
 *   sender                                   receiver
 *   BEGIN   version, block, length     ->
 *                                      <-    READY   so much of what I have I will tell digests of
 *                                      <-    DIGESTS of a window's blocks, some windows ahead
 *   DATA, ZERO, SAME in order, without a gap ->
 *   END     digest of the whole        ->
 *                                      <-    BUSY    (I am still at it)
 *                                      <-    DONE    digest of what storage gave back
 *
 * FAIL is the last word of either, at any time: why.
 *
 * A resumed copy and one against an old copy (delta) are the same thing: the receiver tells the
 * digests of the blocks that it has, so a wrong idea of how far a copy got costs bytes on the wire
 * and never the content. Digests go a few windows ahead, so that a round trip is waited for once;
 * and no more than those, so that they always fit into what lies between the two, and neither waits
 * for the other to read. */

#define GW_COPY_VERSION 1
#define GW_COPY_HEADER 8
#define GW_COPY_BLOCK GW_DIGEST_BLOCK
#define GW_COPY_WINDOW 64 /* blocks in one DIGESTS */
#define GW_COPY_AHEAD 4   /* windows */
#define GW_COPY_WINDOW_BYTES ((guint64)GW_COPY_WINDOW * GW_COPY_BLOCK)
#define GW_COPY_LENGTH_MAX ((guint64)1 << 60) /* bytes of one file */
#define GW_COPY_TEXT_MAX 1024                 /* of FAIL, either text */
#define GW_COPY_DIGEST_TEXT 72                /* "blake2b:" and 64 digits */
#define GW_COPY_PAYLOAD_MAX (GW_COPY_BLOCK + 8)

typedef enum {
    GW_COPY_BEGIN = 1, /* u16 version, u16 zero, u32 block, u64 length */
    GW_COPY_READY,     /* u64 known: whole blocks, or the whole length */
    GW_COPY_DIGESTS,   /* u64 offset, 1 to GW_COPY_WINDOW digests */
    GW_COPY_DATA,      /* u64 offset, 1 to GW_COPY_BLOCK bytes */
    GW_COPY_ZERO,      /* u64 offset, u64 length */
    GW_COPY_SAME,      /* u64 offset, u64 length: whole blocks whose digests were told */
    GW_COPY_END,       /* u64 length, digest as text */
    GW_COPY_BUSY,      /* u64 how far */
    GW_COPY_DONE,      /* u64 length, digest as text */
    GW_COPY_FAIL,      /* u8 error code, message, NUL, remedy */
    GW_COPY_TYPES
} GwCopyType;

/* One frame, decoded. What it points to lies in the buffer it was decoded from. */
typedef struct {
    GwCopyType type;
    guint64 offset;      /* DIGESTS, DATA, ZERO, SAME; BUSY: how far */
    guint64 length;      /* BEGIN, END, DONE; ZERO, SAME; DATA: of @bytes; READY: known */
    const guint8 *bytes; /* DATA; DIGESTS: n_digests of GW_DIGEST_BYTES each */
    guint n_digests;
    char digest[GW_COPY_DIGEST_TEXT + 1]; /* END, DONE */
    GError *error;                        /* FAIL; free with gw_copy_frame_clear */
} GwCopyFrame;
void gw_copy_frame_clear(GwCopyFrame *frame);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GwCopyFrame, gw_copy_frame_clear)

/* Hostile bytes: an unknown type, zeros that are none, a length the type cannot have. */
gboolean gw_copy_header_get(const guint8 header[GW_COPY_HEADER], GwCopyType *type, guint32 *length,
                            GError **error);
/* Hostile bytes, @length of them as the header said. */
gboolean gw_copy_payload_get(GwCopyType type, const guint8 *payload, guint32 length,
                             GwCopyFrame *frame, GError **error);

/* Each writes header and payload (but for DATA's bytes and DIGESTS' digests, which follow) to
 * @into; returns how many bytes. */
#define GW_COPY_PUT_MAX (GW_COPY_HEADER + 1 + 2 * GW_COPY_TEXT_MAX + 1)
gsize gw_copy_put_begin(guint8 *into, guint64 length);
gsize gw_copy_put_number(guint8 *into, GwCopyType type, guint64 number); /* READY, BUSY */
gsize gw_copy_put_run(guint8 *into, GwCopyType type, guint64 offset, guint64 length);
gsize gw_copy_put_bytes(guint8 *into, GwCopyType type, guint64 offset, gsize length);
gsize gw_copy_put_digest(guint8 *into, GwCopyType type, guint64 length, const char *digest);
gsize gw_copy_put_fail(guint8 *into, const GError *error);

/* Whether @offset and @length may follow what has come so far: no gap, nothing twice, nothing
 * behind the end. */
gboolean gw_copy_check_run(guint64 position, guint64 total, guint64 offset, guint64 length,
                           GError **error);
