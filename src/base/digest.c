/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/digest.h"

#include <sodium.h>

G_STATIC_ASSERT(GW_DIGEST_BYTES == crypto_generichash_BYTES);

struct GwDigest {
    crypto_generichash_state whole; /* of the blocks' digests */
    crypto_generichash_state block; /* of the block that is being filled */
    gsize filled;                   /* of that */
    guint64 length;
};

static const guint8 zeros[64 * 1024];

static void begin(crypto_generichash_state *state)
{
    crypto_generichash_init(state, NULL, 0, GW_DIGEST_BYTES);
}

void gw_digest_block(gconstpointer data, gsize length, guint8 digest[GW_DIGEST_BYTES])
{
    crypto_generichash(digest, GW_DIGEST_BYTES, data, length, NULL, 0);
}

/* The digest of a whole block of zeros. */
static const guint8 *zero_block(void)
{
    static guint8 digest[GW_DIGEST_BYTES];
    static gsize made = 0;

    if (g_once_init_enter(&made)) {
        g_autofree guint8 *block = g_malloc0(GW_DIGEST_BLOCK);
        gw_digest_block(block, GW_DIGEST_BLOCK, digest);
        g_once_init_leave(&made, 1);
    }
    return digest;
}

GwDigest *gw_digest_new(void)
{
    /* It picks the fastest of what the processor can do. */
    if (sodium_init() < 0)
        g_error("libsodium does not start");

    GwDigest *digest = g_aligned_alloc0(1, sizeof *digest, G_ALIGNOF(GwDigest));
    begin(&digest->whole);
    begin(&digest->block);
    return digest;
}

void gw_digest_free(GwDigest *digest)
{
    g_aligned_free(digest);
}

static void end_block(GwDigest *digest)
{
    guint8 sum[GW_DIGEST_BYTES];

    crypto_generichash_final(&digest->block, sum, sizeof sum);
    crypto_generichash_update(&digest->whole, sum, sizeof sum);
    begin(&digest->block);
    digest->filled = 0;
}

void gw_digest_update(GwDigest *digest, gconstpointer data, gsize length)
{
    const guint8 *next = data;

    digest->length += length;
    while (length > 0) {
        gsize piece = MIN(length, GW_DIGEST_BLOCK - digest->filled);
        crypto_generichash_update(&digest->block, next, piece);
        digest->filled += piece;
        next += piece;
        length -= piece;
        if (digest->filled == GW_DIGEST_BLOCK)
            end_block(digest);
    }
}

void gw_digest_zeros(GwDigest *digest, guint64 length)
{
    while (length > 0) {
        guint64 piece = MIN(length, sizeof zeros);
        if (digest->filled == 0 && length >= GW_DIGEST_BLOCK) {
            piece = GW_DIGEST_BLOCK;
            crypto_generichash_update(&digest->whole, zero_block(), GW_DIGEST_BYTES);
            digest->length += piece;
        } else {
            /* Not over the end of the block, so that whole ones can follow. */
            piece = MIN(piece, GW_DIGEST_BLOCK - digest->filled);
            gw_digest_update(digest, zeros, piece);
        }
        length -= piece;
    }
}

guint64 gw_digest_length(const GwDigest *digest)
{
    return digest->length;
}

char *gw_digest_finish(GwDigest *digest)
{
    guint8 sum[GW_DIGEST_BYTES];
    char hex[2 * GW_DIGEST_BYTES + 1];

    if (digest->filled > 0)
        end_block(digest);
    crypto_generichash_final(&digest->whole, sum, sizeof sum);
    sodium_bin2hex(hex, sizeof hex, sum, sizeof sum);
    return g_strconcat("blake2b:", hex, NULL);
}
