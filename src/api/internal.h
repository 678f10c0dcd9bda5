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
    char *fingerprint; /* sha256:HEX of the certificate's public key; NULL: no TLS */
    GwHttp *http;
    gint stopping; /* atomic */
    gint streams;  /* atomic */

    GMutex joins_lock;         /* guards the two below */
    GHashTable *join_failures; /* address -> how often, since: */
    gint64 joins_since_us;

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

/* deadlines.c: hangs up on connections that miss a deadline, however busily they trickle. */
typedef struct GwDeadlines GwDeadlines;
typedef struct GwDeadline GwDeadline;
GwDeadlines *gw_deadlines_new(void);
void gw_deadlines_free(GwDeadlines *deadlines);
GwDeadline *gw_deadline_add(GwDeadlines *deadlines, int fd);
/* From now on @seconds are left; 0: no limit. */
void gw_deadline_set(GwDeadlines *deadlines, GwDeadline *deadline, guint seconds);
void gw_deadline_remove(GwDeadlines *deadlines, GwDeadline *deadline);
int gw_deadline_fd(const GwDeadline *deadline);
