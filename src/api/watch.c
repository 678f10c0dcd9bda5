/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/socket.h>

#include "api/internal.h"

/* The HTTP library's own time-out counts silence, so a client that sends a byte now and then keeps
 * its connection for ever. Here the whole of a request, or of a reply, has a deadline. */

struct GwWatched {
    int fd;
    gint64 deadline_us; /* monotonic; 0: none */
};

struct GwWatch {
    GMutex lock; /* guards all below, and that no fd is shut down after it was removed */
    GCond wake;
    GHashTable *all; /* set of GwWatched */
    gboolean ending;
    GThread *thread;
};

static void hang_up_late(GwWatch *watch, gint64 now)
{
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, watch->all);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        GwWatched *watched = key;
        if (watched->deadline_us != 0 && now > watched->deadline_us) {
            watched->deadline_us = 0;
            shutdown(watched->fd, SHUT_RDWR); /* its thread wakes, and closes it */
        }
    }
}

static gpointer run(gpointer data)
{
    GwWatch *watch = data;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&watch->lock);

    while (!watch->ending) {
        gint64 now = g_get_monotonic_time();
        hang_up_late(watch, now);
        g_cond_wait_until(&watch->wake, &watch->lock, now + G_USEC_PER_SEC);
    }
    return NULL;
}

GwWatch *gw_watch_new(void)
{
    GwWatch *watch = g_new0(GwWatch, 1);

    g_mutex_init(&watch->lock);
    g_cond_init(&watch->wake);
    watch->all = g_hash_table_new_full(g_direct_hash, g_direct_equal, g_free, NULL);
    watch->thread = g_thread_new("api-watch", run, watch);
    return watch;
}

void gw_watch_free(GwWatch *watch)
{
    if (watch == NULL)
        return;
    g_mutex_lock(&watch->lock);
    watch->ending = TRUE;
    g_cond_signal(&watch->wake);
    g_mutex_unlock(&watch->lock);
    g_thread_join(watch->thread);
    g_hash_table_unref(watch->all);
    g_cond_clear(&watch->wake);
    g_mutex_clear(&watch->lock);
    g_free(watch);
}

GwWatched *gw_watch_add(GwWatch *watch, int fd)
{
    GwWatched *watched = g_new0(GwWatched, 1);
    watched->fd = fd;

    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&watch->lock);
    g_hash_table_add(watch->all, watched);
    return watched;
}

void gw_watch_set(GwWatch *watch, GwWatched *watched, guint seconds)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&watch->lock);
    watched->deadline_us =
        seconds == 0 ? 0 : g_get_monotonic_time() + (gint64)seconds * G_USEC_PER_SEC;
}

void gw_watch_remove(GwWatch *watch, GwWatched *watched)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&watch->lock);
    g_hash_table_remove(watch->all, watched);
}

int gw_watched_fd(const GwWatched *watched)
{
    return watched->fd;
}
