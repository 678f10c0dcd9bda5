/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A fabric for the tests of sessions: an authority in a folder of its own, two hosts and the
 * controller, and ends that record what they are told. Everything runs on loops that the test turns
 * by hand, so that "until" never waits for a clock. */

#include "base/error.h"
#include "wire/loop_internal.h"
#include "wire/session.h"

typedef struct {
    char *folder;
    GwAuthority *authority;
    GwCredentials *controller, *one, *two;
    GwLoop *loop;
} World;

World *world_new(void);
void world_free(World *world);
GwCredentials *world_host(GwAuthority *authority, const char *host_id);

/* Turns the loop until @done says so; fails the test after a minute. */
typedef gboolean (*Until)(gconstpointer data);
void world_until(World *world, Until done, gconstpointer data);
void world_turns(World *world, guint n);

typedef struct Peer Peer;

/* One end of a stream: sends @to_send bytes of a pattern that depends on the stream, sums up what
 * it gets. */
typedef struct {
    GwStream *stream; /* NULL once gone */
    Peer *peer;
    guint64 to_send, sent, received;
    gboolean echo;      /* sends back what comes */
    gboolean stalled;   /* keeps what comes */
    gboolean keep_open; /* does not end after what it has to send */
    GByteArray *kept;
    guint64 sum_sent, sum_received, seed;
    guint opened, ended, gone, pulls;
    gboolean end_said;
    GError *why;
    gsize piece; /* most bytes in one pull; 0: any */
} End;

struct Peer {
    GwSession *session; /* NULL once closed */
    GwCredentials *credentials;
    gboolean dialling;
    guint ready, closed;
    GError *why;
    json_t *hello;
    GPtrArray *ends; /* of streams, in the order of opening */
    GPtrArray *notices;
    /* What it does with the other's streams and calls. */
    enum { TAKE_ECHO, TAKE_COUNT, TAKE_STALL, TAKE_REFUSE, TAKE_NOTHING, TAKE_RESET } take;
    GPtrArray *pending; /* streams not answered, of TAKE_NOTHING */
    gboolean silent;    /* answers no calls */
    GArray *asked;      /* ids of calls not answered */
    guint64 received;
};

extern const GwSessionOps peer_ops;
Peer *peer_new(GwCredentials *credentials);
void peer_free(Peer *peer);
GwSessionConfig peer_config(World *world, Peer *peer, const char *expect_host_id);
/* A session each over a pair of connected TCP sockets. */
void world_join(World *world, Peer *dialling, Peer *accepting);
void world_pair(int fds[2]);
int world_listen(char **address);
/* Closes both and waits for it. */
void world_part(World *world, Peer *a, Peer *b);
gboolean peer_is_ready(gconstpointer peer);
gboolean peer_is_closed(gconstpointer peer);
gboolean peer_has_ends(gconstpointer peer);
End *peer_accept(Peer *peer, GwStream *stream);
gboolean end_is_gone(gconstpointer end);
gboolean end_has_ended(gconstpointer end);

End *end_open(Peer *peer, const GwStreamShare *share, guint64 to_send);
void end_resume(End *end);
