/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* What changed, in order, for as many readers as like (the SSE stream). A ring, also bounded
 * by 16 MiB of data: a reader that fell behind, or asks for what an earlier process numbered, is
 * told to start over. */
typedef struct GwFeed GwFeed;

typedef struct {
    gatomicrefcount refs;
    guint64 id;
    char *type; /* "host", "group", "vm", "share", "job", "kept", "rule" */
    char *data; /* one line of JSON: {"id": …, "removed": true} or the record's public form (of a
                   job without its plan) */
} GwFeedItem;

GwFeed *gw_feed_new(guint capacity);
void gw_feed_free(GwFeed *feed);

/* Takes ownership of @data. Wakes the readers. */
void gw_feed_push(GwFeed *feed, const char *type, char *data);
guint64 gw_feed_last(GwFeed *feed);
/* Waits up to @timeout_us (real time) for items after @after; returns those there are (GwFeedItem,
 * at most @max, unref'd with the array), perhaps none. *@lost: items after @after are no longer
 * held, read everything anew and go on from gw_feed_last. */
GPtrArray *gw_feed_wait(GwFeed *feed, guint64 after, guint max, gint64 timeout_us, gboolean *lost);
/* Makes all waiting calls return at once, now and later (shutdown). */
void gw_feed_close(GwFeed *feed);
