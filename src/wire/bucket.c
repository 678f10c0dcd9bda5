/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire/bucket.h"

#define SLICE_MIN 1024
#define SLICE_MAX (256 * 1024)
#define SLICES_PER_SECOND 100
#define BURST_US (50 * 1000)
/* A new rate reaches those that wait for an old one within this. */
#define LOOK_AGAIN_US (50 * 1000)

struct GwBucket {
    gint refs;
    GMutex mutex;       /* everything below */
    gint64 bytes_per_s; /* 0: no limit */
    gint64 free_at_us;  /* when what was dealt so far will have been sent */
    guint version;
};

GwBucket *gw_bucket_new(void)
{
    GwBucket *bucket = g_new0(GwBucket, 1);

    bucket->refs = 1;
    g_mutex_init(&bucket->mutex);
    return bucket;
}

static GwBucket *bucket_ref(GwBucket *bucket)
{
    g_atomic_int_inc(&bucket->refs);
    return bucket;
}

void gw_bucket_unref(GwBucket *bucket)
{
    if (bucket == NULL || !g_atomic_int_dec_and_test(&bucket->refs))
        return;
    g_mutex_clear(&bucket->mutex);
    g_free(bucket);
}

void gw_bucket_set_rate(GwBucket *bucket, gint64 bytes_per_s)
{
    g_mutex_lock(&bucket->mutex);
    if (bucket->bytes_per_s != MAX(bytes_per_s, 0)) {
        bucket->bytes_per_s = MAX(bytes_per_s, 0);
        bucket->free_at_us = 0;
        bucket->version++;
    }
    g_mutex_unlock(&bucket->mutex);
}

static gint64 cost_us(const GwBucket *bucket, gint64 bytes)
{
    return (gint64)((double)bytes * G_USEC_PER_SEC / (double)bucket->bytes_per_s);
}

static void take_slice(GwGrant *grant, gint64 now_us)
{
    GwBucket *bucket = grant->bucket;
    gint64 slice = CLAMP(bucket->bytes_per_s / SLICES_PER_SECOND, SLICE_MIN, SLICE_MAX);

    /* What was not used in the last moments may be made up for, what was not used for long may
     * not: that would be a burst. */
    bucket->free_at_us = MAX(bucket->free_at_us, now_us - BURST_US);
    grant->at_us = bucket->free_at_us;
    grant->left += slice;
    bucket->free_at_us += cost_us(bucket, slice);
}

gint64 gw_grant_room(GwGrant *grant, gint64 now_us, gint64 *when_us)
{
    GwBucket *bucket = grant->bucket;

    if (bucket == NULL)
        return G_MAXINT64;
    g_mutex_lock(&bucket->mutex);
    gint64 room = G_MAXINT64;
    if (bucket->bytes_per_s > 0) {
        if (grant->version != bucket->version) {
            grant->version = bucket->version;
            grant->left = 0;
            grant->at_us = 0;
        }
        while (grant->left <= 0 && grant->at_us <= now_us)
            take_slice(grant, now_us);
        room = grant->at_us <= now_us ? grant->left : 0;
        if (room == 0)
            *when_us = MIN(grant->at_us, now_us + LOOK_AGAIN_US);
    }
    g_mutex_unlock(&bucket->mutex);
    return room;
}

void gw_grant_spend(GwGrant *grant, gint64 bytes)
{
    /* May go below nothing: the next slices pay for it. */
    if (grant->bucket != NULL)
        grant->left -= bytes;
}

void gw_grant_set(GwGrant *grant, GwBucket *bucket)
{
    GwBucket *old = grant->bucket;

    *grant = (GwGrant){ .bucket = bucket != NULL ? bucket_ref(bucket) : NULL };
    gw_bucket_unref(old);
}
