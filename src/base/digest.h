/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* The digest of a file's content, by which both ends of a copy show that they have the same: over
 * what the file reads as, holes being zeros, however each end stores them.
 *
 * BLAKE2b-256 (RFC 7693, no key) of the BLAKE2b-256 digests, one after another, of each block of
 * GW_DIGEST_BLOCK bytes of content; the last block may be short, and an empty file has none. In
 * blocks, since the digest of a block of zeros then has to be computed once only: a hole of a
 * terabyte costs as little as 32 MiB of content. */

#define GW_DIGEST_BLOCK (1024 * 1024)
#define GW_DIGEST_BYTES 32

typedef struct GwDigest GwDigest;

/* The first in a process starts libsodium, which asks the kernel for random numbers: a process that
 * gives up its rights makes one before. */
GwDigest *gw_digest_new(void);
void gw_digest_free(GwDigest *digest);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwDigest, gw_digest_free)

/* The next @length bytes of content, in pieces of any size. */
void gw_digest_update(GwDigest *digest, gconstpointer data, gsize length);
/* The next @length bytes of content are zeros. */
void gw_digest_zeros(GwDigest *digest, guint64 length);
/* How much content it has seen. */
guint64 gw_digest_length(const GwDigest *digest);
/* "blake2b:" and 64 hexadecimal digits; nothing may be added after it. Free with g_free. */
char *gw_digest_finish(GwDigest *digest);

/* The digest of one block (at most GW_DIGEST_BLOCK bytes), to compare blocks by. */
void gw_digest_block(gconstpointer data, gsize length, guint8 digest[GW_DIGEST_BYTES]);
