/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gnutls/gnutls.h>

#include "wire/bucket.h"
#include "wire/frame.h"
#include "wire/scheduler.h"
#include "wire/session.h"

/* How the files of a session see it. session.c: its life; session_io.c: the connection and
 * TLS; session_out.c: what goes out in which order; session_feed.c: what comes in; session_calls.c:
 * calls and notices; stream.c: how streams begin and end; stream_flow.c: what flows in them;
 * windows.c: the credit that the other has; dial.c: reaching the other.
 *
 * Nothing is freed, and no gone, done or closed is called, but from the session's own turn
 * (gw_session_defer): so callbacks may call anything. */

/* Deadlines; tests shorten them before they make sessions. */
typedef struct {
    gint64 handshake_us; /* TLS and HELLO together */
    gint64 quiet_us;     /* without a byte: gone */
    gint64 ping_us;      /* without a byte: asked */
    gint64 linger_us;    /* for BYE to arrive */
    gint64 connect_us;   /* for each address */
} GwSessionTimes;
extern GwSessionTimes gw_session_times;

#define GW_SESSION_HELD_MAX (64 * 1024 * 1024) /* the sum of the windows given to the other */
#define GW_STREAM_WINDOW_MIN (8 * 1024)        /* every stream has this much of it */
/* So much waits to go out that the other seems to send without reading: nothing more is read, until
 * it goes down or the quiet is noticed. Far above what two that do read have under way, since two
 * that both wait for the other to read would wait in vain. */
#define GW_SESSION_QUEUE_PAUSE (16 * 1024 * 1024)
#define GW_SESSION_QUEUE_MAX (96 * 1024 * 1024) /* the end of the session */
#define GW_SESSION_ADDRESSES_MAX 8

typedef enum {
    GW_SESSION_CONNECTING,
    GW_SESSION_HANDSHAKE,
    GW_SESSION_HELLO,
    GW_SESSION_READY,
    GW_SESSION_CLOSING, /* BYE goes out, nothing more is heard */
    GW_SESSION_ENDED,   /* the connection is over; closed follows */
    GW_SESSION_FINISHED,
} GwSessionState;

typedef enum {
    GW_STREAM_OPENING, /* ours, not answered */
    GW_STREAM_PENDING, /* the other's, not answered */
    GW_STREAM_OPEN,
    GW_STREAM_BROKEN, /* reset or refused here; what the other had under way is dropped */
    GW_STREAM_OVER,   /* out of the table */
} GwStreamState;

struct GwStream {
    GwSession *session;
    guint32 id;
    GwStreamState state;
    GwStreamOps ops;
    gpointer user;
    GwTurn turn;
    gboolean ours;
    gboolean told;     /* gone is under way or was called */
    gboolean tomb;     /* gone was called: only the table still has it */
    gboolean answered; /* accepted or refused, or ours */
    GError *why;

    gboolean wants, kicked; /* to be asked; asked to be asked while it was asked */
    gboolean pulling;
    gboolean end_wanted;             /* gw_stream_end was called */
    gboolean end_sent, end_received; /* END, RESET or REFUSED: the last of that direction */
    gint64 credit;                   /* bytes the other lets us send */

    gint64 window;  /* bytes the other may make us hold */
    gint64 allowed; /* of it: may still be sent to us */
    gint64 held;    /* of it: pushed and not consumed */
    gint64 owed;    /* of it: consumed and not credited */
    gint64 credited_us;
};

typedef struct GwDial GwDial;

struct GwSession {
    GwLoop *loop;
    GwCredentials *credentials;
    json_t *hello;
    GwSessionOps ops;
    char *expect_host_id;
    gboolean dialling;
    GwSessionTimes times;
    GwSessionState state;
    GwPeer *peer;
    char *address;
    int version;
    GError *why;
    gboolean streams_told; /* of the end */
    gboolean turn_posted;
    GwTimer *deadline, *alive, *limit_timer;
    gint64 heard_us;
    GwDial *dial;

    /* The listener's part. */
    void (*proved)(gpointer hook);
    void (*finished)(gpointer hook);
    gpointer hook;

    /* The connection */
    int fd; /* -1: none (yet), or in memory */
    GwWatch *watch;
    gnutls_session_t tls; /* NULL: in memory, in the clear */
    const guint8 *in;     /* ciphertext of this turn, lent */
    gsize in_length;
    GByteArray *wire; /* ciphertext that the kernel did not take yet */
    gsize wire_at;
    gboolean write_broken, shut;
    GByteArray *early;   /* frames that may go before the other said HELLO */
    GByteArray *control; /* frames that go before streams' data */
    gsize control_at;

    /* What comes in */
    guint8 header[GW_FRAME_HEADER];
    gsize header_have;
    GwFrame frame;
    guint32 payload_left;
    GByteArray *payload; /* of frames but DATA, as it comes */

    /* Streams */
    GHashTable *streams;    /* id -> stream */
    GHashTable *unanswered; /* the other's, which hold even where they left the table */
    GQueue gone;            /* to be told, then freed */
    guint zombies;          /* out of the table, but not yet answered by who was asked */
    guint32 next_id, last_id;
    gint64 windows;
    GwScheduler *scheduler;
    GwGrant shared; /* of the limit */
    guint64 sent_bytes, received_bytes, received_before;

    /* Calls */
    GHashTable *calls;   /* ours: id -> call */
    GHashTable *asked;   /* the other's: ids that are not answered */
    GQueue failed_calls; /* to be told */
    guint32 next_call_id;
    guint64 ping; /* the last that was sent, 0: none under way */
    gint64 ping_us, rtt_us;
    gsize pong_at; /* where in control a PONG waits, plus one */
};

/* session.c */
GwSession *gw_session_new_unconnected(const GwSessionConfig *config, gboolean dialling);
void gw_session_defer(GwSession *session);
void gw_session_start(GwSession *session, int fd);
/* The connection is over, without a word. */
void gw_session_end(GwSession *session, GError *why_stolen);
/* The other broke the protocol: BYE says what. */
void gw_session_violation(GwSession *session, const char *format, ...) G_GNUC_PRINTF(2, 3);
void gw_session_greet(GwSession *session);
void gw_session_hello(GwSession *session, const json_t *hello);
gboolean gw_session_hears(const GwSession *session);
gboolean gw_session_is_up(const GwSession *session);
json_t *gw_session_error_json(const GError *error);
/* NULL where the other gave no reason. */
GError *gw_session_error_from_json(const json_t *json);

/* In memory, in the clear, after the handshake: for fuzzers and tests. What it would send is taken
 * by gw_session_take_plain. */
GwSession *gw_session_new_plain(const GwSessionConfig *config, const GwPeer *peer,
                                gboolean dialling);
void gw_session_take_plain(GwSession *session, GByteArray *out);

/* session_io.c */
void gw_session_io_start(GwSession *session);
void gw_session_io_stop(GwSession *session);
void gw_session_io_trim(GwSession *session);
/* Sends what there is to send, as far as it goes. */
void gw_session_flush(GwSession *session);

/* session_out.c */
#define GW_SESSION_CHUNK (64 * 1024) /* of ciphertext read, of plaintext sent at a time */
/* The largest frame may begin right before the end of a chunk. */
#define GW_SESSION_FILL_MAX (GW_SESSION_CHUNK + GW_FRAME_HEADER + GW_FRAME_DATA_MAX)
/* Fills with about a chunk of plaintext, what goes first first; @into has room for
 * GW_SESSION_FILL_MAX bytes. */
gsize gw_session_fill(GwSession *session, guint8 *into);
void gw_session_want(GwSession *session);
void gw_session_send(GwSession *session, GwFrameType type, guint32 id, gconstpointer payload,
                     gsize length);
gboolean gw_session_send_json(GwSession *session, GwFrameType type, guint32 id, const json_t *json);
gsize gw_session_queued(const GwSession *session);

/* session_feed.c */
void gw_session_feed(GwSession *session, const guint8 *bytes, gsize length);

/* session_calls.c */
void gw_session_on_call(GwSession *session, guint32 id, const json_t *json);
void gw_session_on_answer(GwSession *session, guint32 id, const json_t *json);
void gw_session_on_notice(GwSession *session, const json_t *json);
void gw_session_on_ping(GwSession *session, const guint8 *payload);
void gw_session_on_pong(GwSession *session, const guint8 *payload);
void gw_session_tell_calls(GwSession *session);
void gw_session_free_calls(GwSession *session);
void gw_session_fail_calls(GwSession *session, const GError *why);

/* stream.c */
GwStream *gw_stream_find(GwSession *session, guint32 id);
/* An id that was in use: what crossed a stream's end is no violation. */
gboolean gw_stream_is_past(const GwSession *session, guint32 id);
/* A stream that may say something now; else a violation. */
GwStream *gw_stream_find_speaking(GwSession *session, guint32 id, const char *word);
void gw_stream_on_open(GwSession *session, guint32 id, guint32 window, const json_t *what);
void gw_stream_on_opened(GwSession *session, guint32 id, guint32 window);
void gw_stream_on_refused(GwSession *session, guint32 id, const json_t *why);
void gw_stream_on_reset(GwSession *session, guint32 id, const json_t *why);
void gw_stream_on_end(GwSession *session, guint32 id);
void gw_stream_say_end(GwStream *stream);
void gw_stream_tell_gone(GwSession *session);
void gw_stream_end_all(GwSession *session, const GError *why);
void gw_stream_free_all(GwSession *session);

/* stream_flow.c */
#define GW_STREAM_CREDIT_MAX ((gint64)1 << 31)
void gw_stream_on_credit(GwSession *session, guint32 id, guint32 bytes);
/* Whether a DATA frame of so many bytes may come now; breaks the session where not. */
gboolean gw_stream_on_data(GwSession *session, guint32 id, guint32 length);
void gw_stream_on_piece(GwSession *session, guint32 id, const guint8 *bytes, gsize length);
void gw_stream_update(GwStream *stream);

/* windows.c */
gint64 gw_window_first(const GwSession *session);
void gw_window_give(GwStream *stream);
void gw_window_release(GwStream *stream);

/* dial.c */
void gw_dial_free(GwDial *dial);
