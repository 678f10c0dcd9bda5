/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/socket.h>

#include "api/internal.h"

/* The HTTP library's own time-out counts silence, so a client that sends a byte now and then keeps
 * its connection for ever. Here the whole of a request, or of a reply, has a deadline. */

struct GwDeadline {
    int fd;
    gint64 deadline_us; /* monotonic; 0: none */
};

struct GwDeadlines {
    GMutex lock; /* guards all below, and that no fd is shut down after it was removed */
    GCond wake;
    GHashTable *all; /* set of GwDeadline */
    gboolean ending;
    GThread *thread;
};

static void hang_up_late(GwDeadlines *deadlines, gint64 now)
{
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, deadlines->all);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        GwDeadline *deadline = key;
        if (deadline->deadline_us != 0 && now > deadline->deadline_us) {
            deadline->deadline_us = 0;
            shutdown(deadline->fd, SHUT_RDWR); /* its thread wakes, and closes it */
        }
    }
}

static gpointer run(gpointer data)
{
    GwDeadlines *deadlines = data;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&deadlines->lock);

    while (!deadlines->ending) {
        gint64 now = g_get_monotonic_time();
        hang_up_late(deadlines, now);
        g_cond_wait_until(&deadlines->wake, &deadlines->lock, now + G_USEC_PER_SEC);
    }
    return NULL;
}

GwDeadlines *gw_deadlines_new(void)
{
    GwDeadlines *deadlines = g_new0(GwDeadlines, 1);

    g_mutex_init(&deadlines->lock);
    g_cond_init(&deadlines->wake);
    deadlines->all = g_hash_table_new_full(g_direct_hash, g_direct_equal, g_free, NULL);
    deadlines->thread = g_thread_new("api-deadlines", run, deadlines);
    return deadlines;
}

void gw_deadlines_free(GwDeadlines *deadlines)
{
    if (deadlines == NULL)
        return;
    g_mutex_lock(&deadlines->lock);
    deadlines->ending = TRUE;
    g_cond_signal(&deadlines->wake);
    g_mutex_unlock(&deadlines->lock);
    g_thread_join(deadlines->thread);
    g_hash_table_unref(deadlines->all);
    g_cond_clear(&deadlines->wake);
    g_mutex_clear(&deadlines->lock);
    g_free(deadlines);
}

GwDeadline *gw_deadline_add(GwDeadlines *deadlines, int fd)
{
    GwDeadline *deadline = g_new0(GwDeadline, 1);
    deadline->fd = fd;

    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&deadlines->lock);
    g_hash_table_add(deadlines->all, deadline);
    return deadline;
}

void gw_deadline_set(GwDeadlines *deadlines, GwDeadline *deadline, guint seconds)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&deadlines->lock);
    deadline->deadline_us =
        seconds == 0 ? 0 : g_get_monotonic_time() + (gint64)seconds * G_USEC_PER_SEC;
}

void gw_deadline_remove(GwDeadlines *deadlines, GwDeadline *deadline)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&deadlines->lock);
    g_hash_table_remove(deadlines->all, deadline);
}

int gw_deadline_fd(const GwDeadline *deadline)
{
    return deadline->fd;
}
