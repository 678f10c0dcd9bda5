/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/json.h"
#include "wire/identity.h"
#include "wire/loop.h"

/* A session: two programs of a fabric over one TLS 1.3 connection that carries any number of
 * streams, calls and notices. All functions and callbacks run on the session's loop.
 *
 * Sending is by turns (deficit round robin), weighed by bytes: first among classes, then among the
 * groups of a class (a VM is one group, however many streams it has), then among a group's streams.
 * A stream is asked for bytes only when the connection can take them, so nothing is buffered on the
 * way out. Each stream has a window: the other end sends no more than it was given credit for, so a
 * consumer that stops holds up its own stream and no other (R48). */
typedef struct GwSession GwSession;
typedef struct GwStream GwStream;

#define GW_SESSION_HANDSHAKE_US (10 * G_USEC_PER_SEC) /* TLS and HELLO together */
#define GW_SESSION_QUIET_US (20 * G_USEC_PER_SEC)     /* without a byte: the other is gone */
#define GW_SESSION_STREAMS_MAX 4096
#define GW_SESSION_CALLS_MAX 256      /* unanswered, each way */
#define GW_STREAM_WINDOW (256 * 1024) /* at first; grows with the measured rate and delay */
#define GW_STREAM_WINDOW_MAX (8 * 1024 * 1024)

/* Versions of the protocol this program speaks; a session uses the highest both have, and ends with
 * the reason (UNSUPPORTED) where there is none. */
#define GW_WIRE_VERSION 1
#define GW_WIRE_VERSION_MIN 1

/* Order of sending; a later class waits for an earlier one. */
typedef enum {
    GW_CLASS_CONTROL, /* calls, credit, and streams that are all latency: RPC */
    GW_CLASS_URGENT,  /* return path, post-copy's requested pages */
    GW_CLASS_NORMAL,  /* memory and disks of a move */
    GW_CLASS_BULK,    /* file copies, measurements: what the others leave */
    GW_CLASS_COUNT
} GwClass;

typedef struct {
    gpointer user;
    /* Both sides said HELLO; @hello is the other's, lent. */
    void (*ready)(GwSession *session, const json_t *hello, gpointer user);
    /* The other asks for a stream; @what is lent. Answer, now or later, by gw_stream_accept or
     * gw_stream_refuse; until then the stream counts, and may be gone (see GwStreamOps), but it
     * stays valid until it is answered or the session has closed. NULL: every stream is
     * refused. */
    void (*open)(GwSession *session, GwStream *stream, const json_t *what, gpointer user);
    /* Answer by gw_session_answer, now or later. @params is lent. NULL: every call is refused. */
    void (*call)(GwSession *session, guint32 id, const char *method, const json_t *params,
                 gpointer user);
    void (*notice)(GwSession *session, const char *method, const json_t *params, gpointer user);
    /* The last callback, once, also where it never became ready: every stream has been told
     * (gone), every call answered. The session frees itself after it. */
    void (*closed)(GwSession *session, const GError *why, gpointer user);
} GwSessionOps;

typedef struct {
    GwLoop *loop;
    GwCredentials *credentials; /* referenced */
    json_t *hello;              /* what this side says of itself besides versions; lent */
    const GwSessionOps *ops;    /* copied */
    const char *expect_host_id; /* dialling: who must answer; NULL: the controller. Ignored where
                                   accepting */
} GwSessionConfig;

/* Over @fd, a connected (or connecting) non-blocking stream socket, which it takes. */
GwSession *gw_session_new(const GwSessionConfig *config, int fd, gboolean dialling);
/* Dials one of @addresses ("192.0.2.1:8447", "[2001:db8::1]:8447"; numeric, at most 8), in order,
 * each for a few seconds. Never NULL: what fails comes as closed. */
GwSession *gw_session_dial(const GwSessionConfig *config, const char *const *addresses);
/* Sends BYE with @why (NULL: none) and ends; closed is called from the loop, not from here. */
void gw_session_close(GwSession *session, const GError *why);

GwLoop *gw_session_loop(const GwSession *session);
const GwPeer *gw_session_peer(const GwSession *session); /* NULL before ready */
int gw_session_version(const GwSession *session);
const char *gw_session_address(const GwSession *session); /* the other's, "ip:port" */

/* Bytes per second of stream data (0: no limit) of all sessions that share @bucket, whatever their
 * loops (a host's limit). */
typedef struct GwBucket GwBucket;
GwBucket *gw_bucket_new(void);
void gw_bucket_unref(GwBucket *bucket);
void gw_bucket_set_rate(GwBucket *bucket, gint64 bytes_per_s); /* any thread */
void gw_session_set_bucket(GwSession *session, GwBucket *bucket);

typedef struct {
    guint64 sent_bytes, received_bytes; /* of stream data */
    guint streams;
    gint64 rtt_us;     /* of the last PING; -1: none yet */
    gint64 tcp_rtt_us; /* the kernel's; -1: not told */
    guint64 retransmits;
} GwSessionCounts;
void gw_session_counts(GwSession *session, GwSessionCounts *counts);
/* Sends a PING at once; its time is in the counts. */
void gw_session_ping(GwSession *session);

/* Calls: @done is called exactly once, with @result (lent) or @error. */
typedef void (*GwCallDone)(GwSession *session, const json_t *result, const GError *error,
                           gpointer user);
void gw_session_call(GwSession *session, const char *method, json_t *params_stolen,
                     gint64 timeout_us, GwCallDone done, gpointer user);
/* Takes @result_stolen; where @error is set, that is sent instead (not taken). */
void gw_session_answer(GwSession *session, guint32 id, json_t *result_stolen, const GError *error);
void gw_session_notice(GwSession *session, const char *method, json_t *params_stolen);

/* Streams ------------------------------------------------------------------------------------- */

/* A stream's end. Coders that reduce the bytes (TRANSPORT.md) sit between these and a socket. */
typedef struct {
    /* The other accepted (of streams opened here). */
    void (*opened)(GwStream *stream, gpointer user);
    /* Asked only after gw_stream_ready, when it is this stream's turn: writes at most @room bytes
     * to @into, returns how many. 0: nothing for now; not asked again until gw_stream_ready. After
     * gw_stream_end it is not asked. */
    gsize (*pull)(GwStream *stream, guint8 *into, gsize room, gpointer user);
    /* Data came; @bytes are lent. The end keeps what it cannot use at once (never more than the
     * window) and says gw_stream_consumed as it gets rid of it. */
    void (*push)(GwStream *stream, const guint8 *bytes, gsize length, gpointer user);
    /* The other sends no more. The stream is over when both have ended. */
    void (*ended)(GwStream *stream, gpointer user);
    /* The last callback, once: over (error NULL), refused, reset, or the session closed. */
    void (*gone)(GwStream *stream, const GError *why, gpointer user);
} GwStreamOps;

typedef struct {
    GwClass class;
    const char *group; /* whose turn it counts for: a VM's UUID; NULL: the stream alone */
    guint weight;      /* of the group, 1 to 100; 0: 10 */
} GwStreamShare;

/* Opens a stream; @what is told to the other's open (with the ticket, docs/agent-protocol.md). */
GwStream *gw_stream_open(GwSession *session, json_t *what_stolen, const GwStreamShare *share,
                         const GwStreamOps *ops, gpointer user);
void gw_stream_accept(GwStream *stream, const GwStreamShare *share, const GwStreamOps *ops,
                      gpointer user);
void gw_stream_refuse(GwStream *stream, const GError *why);
GwSession *gw_stream_session(const GwStream *stream);
guint32 gw_stream_id(const GwStream *stream);
void gw_stream_ready(GwStream *stream); /* there is something to pull */
void gw_stream_end(GwStream *stream);   /* after what was pulled, no more will come */
void gw_stream_consumed(GwStream *stream, gsize bytes);
/* Breaks it; gone is called from the loop, not from here. */
void gw_stream_reset(GwStream *stream, const GError *why);

/* Listening ----------------------------------------------------------------------------------- */

/* Accepts connections and makes sessions of them, dealt among @loops. Bounded: so many that have
 * not yet proved who they are (in all, and of one address: the oldest is dropped for a new one), so
 * many in all. */
typedef struct GwListener GwListener;
typedef struct {
    guint unproved_max, unproved_per_address_max, sessions_max;
} GwListenerLimits;
#define GW_LISTENER_LIMITS                                                                         \
    {                                                                                              \
        256, 32, 2048                                                                              \
    }
/* @fd: a listening TCP socket, taken. @config->loop is where it accepts. */
GwListener *gw_listener_new(const GwSessionConfig *config, int fd, GwLoop *const *loops,
                            guint n_loops, const GwListenerLimits *limits);
/* New sessions get these from now on. Any thread. */
void gw_listener_set_credentials(GwListener *listener, GwCredentials *credentials);
guint gw_listener_unproved(GwListener *listener);
void gw_listener_free(GwListener *listener); /* on its loop; sessions stay */
