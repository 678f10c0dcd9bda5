/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "agent/ipc.h"
#include "transport/pump.h"
#include "wire/session.h"

/* The front's parts. Its sessions are dealt among lanes, each a loop; lane 0 is home, where the
 * talk with the warden and all tables are. What crosses from one to the other is posted, so nothing
 * needs a lock. A field's comment says whose it is. */

typedef struct Front Front;
typedef struct Lane Lane;
typedef struct Link Link;
typedef struct Peer Peer;

struct Lane {
    Front *front;
    GwLoop *loop;
    GHashTable *links; /* the lane's: GwSession to Link, one reference each */
};

struct Front {
    Lane *lanes;
    guint n_lanes;
    guint next_lane; /* home's: where the next dialled session goes */
    GwIpc *ipc;      /* home's */
    GwBucket *bucket;
    int memory_fd; /* /proc/self/statm, opened before there was no /proc */
    int *listen_fds;
    guint n_listen_fds;
    /* Home's: */
    GwCredentials *credentials; /* NULL until the warden gave them: nothing is accepted before */
    char *certificate;          /* of them, PEM */
    GPtrArray *acceptors;       /* GwListener */
    GHashTable *controllers;    /* Link, one reference each */
    GHashTable *peers;          /* host id to Peer */
    GHashTable *listeners;      /* id to Listener */
    GHashTable *tickets;        /* GBytes to how many streams */
    GwTimer *idle;
    guint64 last_link;
    guint controllers_refused;
    GHashTable *asking;        /* host id to how many of its questions the warden has */
    guint carries;             /* streams of the warden's own: copies of files */
    gboolean measuring;        /* one at a time, from here */
    char *measured_by;         /* the host that may measure to here (NULL: none) … */
    gint64 measured_until_us;  /* … until then */
    char *measured_last;       /* who had the last turn */
    gint64 measured_wanted_us; /* when another was last refused since; 0: never */
    /* All lanes': */
    gint sessions, streams; /* atomic */
};

#define GW_FRONT_HOME(front) ((front)->lanes[0].loop)

/* A session. It outlives it: what was posted with it finds @session NULL. */
struct Link {
    gatomicrefcount refs;
    Lane *lane;
    GwSession *session; /* the lane's; NULL once it is closed */
    GwPeer *peer;       /* from before it is ready; never changed after */
    guint64 number;     /* home's; 0 until it is ready */
    gint64 incarnation; /* a controller's, and its run; never changed after ready */
    char *run;
    gint64 wall_us;
    gboolean dialled, ready; /* the lane's */
    gint users;              /* atomic: streams */
    gint notices;            /* atomic: on their way to the warden */
    guint refusals;          /* home's: of its streams */
};

Link *gw_front_link_new(Lane *lane, gboolean dialled);
Link *gw_front_link_ref(Link *link);
void gw_front_link_unref(Link *link);

typedef void (*LinkFn)(Link *link, gpointer data);
/* Runs @fn on the link's loop, or at home; always, so it frees @data. */
void gw_front_on_lane(Link *link, LinkFn fn, gpointer data);
void gw_front_at_home(Link *link, LinkFn fn, gpointer data);

/* front_sessions.c ---------------------------------------------------------------------------- */

extern const GwSessionOps gw_front_session_ops; /* but for user, the Front */
/* {"role", "host_id", "fabric_id"}, and of a controller "session", "incarnation", "run". */
json_t *gw_front_peer_json(const Link *link);
void gw_front_answer(Link *link, guint32 id, json_t *result_stolen, const GError *error);

/* At home: one more question of the link's peer is to go to the warden. A host has only so many of
 * all that the two processes can have open, so that the others and the controller are heard. */
gboolean gw_front_ask_begin(Link *link, GError **error);
void gw_front_ask_end(Link *link);

/* front_peers.c: at home ---------------------------------------------------------------------- */

/* @link is lent; NULL with @error. */
typedef void (*PeerDone)(Link *link, const GError *error, gpointer user);
/* A session to the host of @peer ({"host_id", "addresses"}), dialled where there is none. With
 * @any, one that the other side dialled serves as well. */
void gw_front_peer_need(Front *front, const json_t *peer, gboolean any, PeerDone done,
                        gpointer user);
void gw_front_peer_up(Link *link, gpointer unused);
void gw_front_peer_down(Link *link, GError *why_stolen);
void gw_front_peer_free(gpointer peer);
void gw_front_peers_sweep(Front *front); /* closes those that nobody has used for long */

/* front_streams.c ----------------------------------------------------------------------------- */

void gw_front_stream_asked(GwSession *session, GwStream *stream, const json_t *what, gpointer user);
void gw_front_stream_counted(Link *link, gint by);

/* front_listen.c: at home --------------------------------------------------------------------- */

void gw_front_listen(Front *front, guint64 id, const json_t *params, int fd);
void gw_front_unlisten(Front *front, guint64 id, const json_t *params);
void gw_front_listener_free(gpointer listener);
gboolean gw_front_listens_to(Front *front, const char *host_id);

/* front_carry.c: at home ---------------------------------------------------------------------- */

void gw_front_carry(Front *front, guint64 id, const json_t *params, int fd);

/* front_measure.c: at home -------------------------------------------------------------------- */

void gw_front_measure(Front *front, guint64 id, const json_t *params);
void gw_front_measure_target(Link *link, gpointer call_id);
void gw_front_measure_over(Link *link);

/* front_calls.c: at home, what the warden asks ------------------------------------------------ */

void gw_front_warden_call(GwIpc *ipc, guint64 id, const char *method, const json_t *params, int fd,
                          gpointer user);
void gw_front_warden_notice(GwIpc *ipc, const char *method, const json_t *params, gpointer user);
