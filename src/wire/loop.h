/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* One thread that waits on file descriptors (epoll) and carries sessions and their streams. A
 * session lives on one loop from its first byte to its last, so nothing of it needs a lock; a host
 * with many cores runs several loops and deals its sessions among them. Everything below but
 * gw_loop_post is called on the loop's own thread, or before it runs. */
typedef struct GwLoop GwLoop;
typedef struct GwWatch GwWatch; /* a descriptor that is waited on */
typedef struct GwTimer GwTimer;

/* Starts the thread. */
GwLoop *gw_loop_new(const char *name);
/* Ends the thread after what was posted has run. Watches and timers must be gone by then. */
void gw_loop_free(GwLoop *loop);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwLoop, gw_loop_free)

/* From any thread: runs @fn on the loop, in the order of posting. */
void gw_loop_post(GwLoop *loop, void (*fn)(gpointer data), gpointer data);
/* The same, and waits until it has run; not from the loop itself. */
void gw_loop_run(GwLoop *loop, void (*fn)(gpointer data), gpointer data);
gboolean gw_loop_is_current(const GwLoop *loop);

/* @events and what @ready gets: EPOLLIN, EPOLLOUT, … level-triggered. @fd stays the caller's. A
 * watch may be removed from within any callback, its own included. */
typedef void (*GwReady)(gpointer user, guint32 events);
GwWatch *gw_watch_new(GwLoop *loop, int fd, guint32 events, GwReady ready, gpointer user);
void gw_watch_set(GwWatch *watch, guint32 events); /* cheap where nothing changes */
void gw_watch_free(GwWatch *watch);

/* Once, at @at_us (monotonic); gw_timer_set moves it, 0 stops it. */
GwTimer *gw_timer_new(GwLoop *loop, void (*due)(gpointer user), gpointer user);
void gw_timer_set(GwTimer *timer, gint64 at_us);
void gw_timer_free(GwTimer *timer);
