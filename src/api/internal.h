/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "api/api.h"

typedef struct GwHttp GwHttp;

struct GwApi {
    GwEngine *engine;
    GwApiConfig config; /* its strings are owned */
    char **names;       /* lower case: what Host may say where a browser asks */
    char *instance;     /* tells this process's list ETags from another's */
    char *started_at;
    char *openapi;
    GwHttp *http;
    gint stopping; /* atomic */
    gint streams;  /* atomic */

    GMutex claims_lock; /* guards claims */
    GCond claims_freed;
    GHashTable *claims; /* set of what is being changed */
};

/* http.c: the only door to the HTTP library. */
GwHttp *gw_http_start(GwApi *api, GError **error);
void gw_http_stop(GwHttp *http);
guint16 gw_http_port(const GwHttp *http);

/* listen.c */
/* A listening socket on @address and @port (0: any), close-on-exec; -1 on error. */
int gw_listen(const char *address, guint16 port, GError **error);
guint16 gw_listen_port(int fd);
gboolean gw_listen_is_loopback(const char *address);

/* watch.c: hangs up on connections that miss a deadline, however busily they trickle. */
typedef struct GwWatch GwWatch;
typedef struct GwWatched GwWatched;
GwWatch *gw_watch_new(void);
void gw_watch_free(GwWatch *watch);
GwWatched *gw_watch_add(GwWatch *watch, int fd);
/* From now on @seconds are left; 0: no limit. */
void gw_watch_set(GwWatch *watch, GwWatched *watched, guint seconds);
void gw_watch_remove(GwWatch *watch, GwWatched *watched);
int gw_watched_fd(const GwWatched *watched);
