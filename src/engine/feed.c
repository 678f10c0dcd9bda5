/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/feed.h"

#include <string.h>

#include "base/clock.h"

#define BYTES_MAX                                                                                  \
    (16 * 1024 * 1024) /* of all items' data; the newest is held whatever its size                 \
                        */

struct GwFeed {
    GMutex lock; /* guards everything below but capacity */
    GCond arrived;
    guint capacity;
    GwFeedItem **ring; /* item N is at N % capacity */
    guint64 last;      /* id of the newest item */
    guint held;        /* items in the ring: last - held + 1 .. last */
    gsize bytes;       /* of their data */
    gboolean closed;
};

/* Numbers begin at the time of day, so that those of an earlier process lie below all of ours and
 * are recognised as lost, whatever that process counted to. They stay under 2^53 (JavaScript). */
static guint64 first_number(void)
{
    g_autoptr(GwClock) clock = gw_clock_new_system();
    return (guint64)MAX(gw_clock_wall_us(clock), 1);
}

GwFeed *gw_feed_new(guint capacity)
{
    GwFeed *feed = g_new0(GwFeed, 1);

    g_mutex_init(&feed->lock);
    g_cond_init(&feed->arrived);
    feed->capacity = MAX(capacity, 1);
    feed->ring = g_new0(GwFeedItem *, feed->capacity);
    feed->last = first_number();
    return feed;
}

static void item_unref(GwFeedItem *item)
{
    if (item == NULL || !g_atomic_ref_count_dec(&item->refs))
        return;
    g_free(item->type);
    g_free(item->data);
    g_free(item);
}

void gw_feed_free(GwFeed *feed)
{
    if (feed == NULL)
        return;
    for (guint i = 0; i < feed->capacity; i++)
        item_unref(feed->ring[i]);
    g_free(feed->ring);
    g_cond_clear(&feed->arrived);
    g_mutex_clear(&feed->lock);
    g_free(feed);
}

static void drop_oldest(GwFeed *feed)
{
    GwFeedItem **slot = &feed->ring[(feed->last - feed->held + 1) % feed->capacity];

    feed->bytes -= strlen((*slot)->data);
    feed->held--;
    g_clear_pointer(slot, item_unref);
}

void gw_feed_push(GwFeed *feed, const char *type, char *data)
{
    GwFeedItem *item = g_new0(GwFeedItem, 1);
    gsize size = strlen(data);

    g_atomic_ref_count_init(&item->refs);
    item->type = g_strdup(type);
    item->data = data;

    g_mutex_lock(&feed->lock);
    while (feed->held == feed->capacity || (feed->held > 0 && feed->bytes + size > BYTES_MAX))
        drop_oldest(feed);
    item->id = ++feed->last;
    feed->ring[item->id % feed->capacity] = item;
    feed->held++;
    feed->bytes += size;
    g_cond_broadcast(&feed->arrived);
    g_mutex_unlock(&feed->lock);
}

guint64 gw_feed_last(GwFeed *feed)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&feed->lock);
    return feed->last;
}

static GPtrArray *items_after(GwFeed *feed, guint64 after, guint max)
{
    GPtrArray *items = g_ptr_array_new_with_free_func((GDestroyNotify)item_unref);

    for (guint64 id = after + 1; id <= feed->last && items->len < max; id++) {
        GwFeedItem *item = feed->ring[id % feed->capacity];
        g_atomic_ref_count_inc(&item->refs);
        g_ptr_array_add(items, item);
    }
    return items;
}

GPtrArray *gw_feed_wait(GwFeed *feed, guint64 after, guint max, gint64 timeout_us, gboolean *lost)
{
    gint64 deadline = g_get_monotonic_time() + timeout_us;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&feed->lock);

    while (after == feed->last && !feed->closed) {
        if (!g_cond_wait_until(&feed->arrived, &feed->lock, deadline))
            break;
    }
    /* Also evaluated after waiting: a burst may have run through the whole ring meanwhile. */
    *lost = after > feed->last || feed->last - after > feed->held;
    return items_after(feed, *lost ? feed->last : after, max);
}

void gw_feed_close(GwFeed *feed)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&feed->lock);
    feed->closed = TRUE;
    g_cond_broadcast(&feed->arrived);
}
