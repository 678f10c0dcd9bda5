/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "fleet/fleet.h"
#include "transport/pump.h"
#include "wire/session.h"
#include "wire/ticket.h"

/* What the files of the fleet share.
 *
 * Everything here lives on one loop: requests, the wrapped driver's replies and events, and what
 * sessions say reach it as posts, in order, so nothing of it needs a lock. The two exceptions say
 * so. Whatever may come late (a reply of libvirt, an agent's answer, a name that was looked up)
 * names its task by a number, not by a pointer: where the task is gone, it is dropped. */

typedef struct GwFleet GwFleet;
typedef struct GwFleetHost GwFleetHost;
typedef struct GwFleetLink GwFleetLink;
typedef struct GwFleetTask GwFleetTask;
typedef struct GwFleetLookup GwFleetLookup;
typedef struct GwFleetCopy GwFleetCopy;
typedef struct GwFleetSame GwFleetSame;

#define GW_FLEET_ADDRESSES_MAX 8
#define GW_FLEET_LOOKUPS_MAX 4   /* names of one host that are still being looked up */
#define GW_FLEET_STREAMS_MAX 256 /* libvirt connections of one host, at one time */
#define GW_FLEET_CONNECT_US (15 * G_TIME_SPAN_SECOND) /* where a request names no time-out */
#define GW_FLEET_CALL_US (60 * G_TIME_SPAN_SECOND)
#define GW_FLEET_FACTS_US                                                                          \
    (5 * G_TIME_SPAN_SECOND)     /* then the host's facts go without the agent's */
#define GW_FLEET_ALARMS_MAX 60   /* of one agent in a minute */
#define GW_FLEET_CHANGES_MAX 600 /* the same */
#define GW_FLEET_SOCKET ".sock"

#define GW_FLEET_REMEDY_AGENT                                                                      \
    "Check that godwit-agent runs on the host (systemctl status godwit-agent) and that its port "  \
    "is open to the controller."

struct GwFleet {
    GwHyper base;
    GwHyper *inner;
    GwAuthority *authority;
    char *folder;
    gint64 incarnation;
    char *run; /* tells this run of the controller from another of the same incarnation */
    GwLoop *loop;
    GwTimer *timer;     /* the next deadline of a task */
    gint64 timer_us;    /* what it is set to; 0: nothing */
    GHashTable *hosts;  /* id -> GwFleetHost */
    GHashTable *tasks;  /* serial -> GwFleetTask */
    GHashTable *leaves; /* job id -> a ticket, see leave.c */
    GHashTable *copies; /* id -> GwFleetCopy, see copies.c */
    GPtrArray *lookups; /* GwFleetLookup: names being looked up */
    char **revoked;     /* serials; NULL: none were told */
    guint64 next_serial, next_socket;
    gboolean closing; /* the sink is not called any more */
    /* Links that are not over yet: close() waits for 0. */
    GMutex lock;
    GCond changed;
    guint open_links; /* (lock) */
};

struct GwFleetHost {
    GwFleet *fleet;
    char *id;
    gboolean has_agent; /* by the URI of the last CONNECT */
    char *agent_id;     /* what its certificate must say */
    char *address;
    guint16 port;
    char *reached;           /* "ip:port" where its agent was reached last */
    GwFleetLink *link;       /* NULL: none */
    GwFleetTask *connecting; /* the CONNECT under way */
    guint detaching;         /* DISCONNECTs of ours that the wrapped driver has not answered */
    gint64 inner_since_us; /* when it was asked to connect: earlier losses are of the one before */
    char *lost_early;      /* why it lost that connection before it answered */
    gboolean announced;    /* CONNECT was answered well: the loss is to be told */
    GwAgentFacts *facts;   /* what its agent said last */
};

/* A session to an agent and the local socket that leads through it. */
struct GwFleetLink {
    GwFleet *fleet;
    guint refs;        /* the session's, and one for each stream */
    GwFleetHost *host; /* NULL: given up, waits for its end */
    GwSession *session;
    gboolean ready;
    char *software;
    char *path;
    int listen_fd;
    GwWatch *watch;
    guint streams;
    GwTimer *pause;        /* until it listens again */
    gint64 minute_us;      /* when the agent's minute began */
    guint alarms, changes; /* what it said in it */
};

/* A request under way. It waits for the wrapped driver, the agent, or both; @finish answers it when
 * neither is waited for any more. */
struct GwFleetTask {
    GwFleet *fleet;
    guint64 serial;
    guint64 id; /* the engine's; of no meaning where @own */
    gboolean own;
    GwOp op;
    GwFleetHost *host;
    GwRequest *request; /* NULL: handed on */
    gint64 deadline_us; /* 0: the wrapped driver keeps it */
    gboolean wants_inner, wants_agent;
    GwReply *inner;      /* what libvirt said */
    json_t *said;        /* what the agent said */
    GError *agent_error; /* or why it did not */
    guint index;         /* VOLUME_LOOK: the volume that the agent is asked about */
    gboolean alone;      /* VOLUME_LOOK: it was asked for by itself, not with what is below it */
    GwReply *held;       /* VOLUME_LOOK: the answer, while more is asked */
    GwFleetSame *same;   /* see same.c */
    void (*finish)(GwFleetTask *task);
};

typedef GwHyper *(*GwFleetOpenInner)(GwHyperSink sink, gpointer user, GError **error);

/* fleet.c: the same as gw_fleet_open, over another driver; for tests. */
GwHyper *gw_fleet_open_over(GwHyperSink sink, const GwFleetConfig *config,
                            GwFleetOpenInner open_inner, gpointer user, GError **error);
void gw_fleet_emit(GwFleet *fleet, GwHyperEvent *event);
GwFleetHost *gw_fleet_host(GwFleet *fleet, const char *id); /* NULL: never connected */

/* task.c */
GwFleetTask *gw_fleet_task_new(GwFleetHost *host, GwRequest *request);
GwFleetTask *gw_fleet_task_find(GwFleet *fleet, guint64 serial);
/* Drops it unanswered. */
void gw_fleet_task_free(gpointer task);
void gw_fleet_task_set_deadline(GwFleetTask *task, gint64 span_us);
gint64 gw_fleet_task_left_us(const GwFleetTask *task); /* at least one millisecond */
/* Each ends @task and takes what it is given. */
void gw_fleet_task_answer(GwFleetTask *task, GwReply *reply);
void gw_fleet_task_fail(GwFleetTask *task, GError *error);
/* Asks the wrapped driver, with @request, taken, or with the task's own. */
void gw_fleet_task_ask_inner(GwFleetTask *task, GwRequest *request);
void gw_fleet_task_pass(GwFleetTask *task);
/* Asks the host's agent, which must be connected. */
void gw_fleet_task_ask_agent(GwFleetTask *task, const char *method, json_t *params_stolen,
                             gint64 timeout_us);
void gw_fleet_task_inner_came(GwFleet *fleet, GwReply *reply);
void gw_fleet_sweep(gpointer fleet);

/* connect.c */
void gw_fleet_connect(GwFleetTask *task);
void gw_fleet_disconnect(GwFleetTask *task);
/* A CONNECT whose time is over. */
void gw_fleet_connect_overdue(GwFleetTask *task);
/* The link can carry calls and streams; or it is gone, for @why. */
void gw_fleet_link_is_up(GwFleetHost *host);
void gw_fleet_link_is_down(GwFleetHost *host, const GError *why);
/* The wrapped driver says that it lost the host; takes @event. */
void gw_fleet_inner_lost(GwFleet *fleet, GwHyperEvent *event);
void gw_fleet_host_free(gpointer host);

/* link.c */
/* Dials; the end of it comes by gw_fleet_link_is_up or _down. */
gboolean gw_fleet_link_dial(GwFleetHost *host, const char *const *addresses, GError **error);
/* Gives the host's link up: nothing more is heard of it. */
void gw_fleet_link_drop(GwFleetHost *host, const GError *why);
/* The URI that libvirt reaches the host by. Free with g_free. */
char *gw_fleet_link_uri(const GwFleetLink *link);
gboolean gw_fleet_link_is_usable(const GwFleetHost *host);

/* lookup.c */
/* "ip:port" of @address at @port where it is numeric, else NULL. Free with g_strfreev. */
char **gw_fleet_numeric(const char *address, guint16 port);
/* Looks the name up in a thread of its own; gw_fleet_looked_up is called, on the loop. */
gboolean gw_fleet_lookup(GwFleetTask *task, GError **error);
void gw_fleet_lookup_abandon(gpointer lookup);
/* connect.c */
void gw_fleet_looked_up(GwFleet *fleet, guint64 serial, const char *const *addresses,
                        const GError *error);

/* ops.c: what an agent is needed for; and LOOK and FACTS of a host that has one. */
gboolean gw_fleet_op_needs_agent(GwOp op);
void gw_fleet_agent_op(GwFleetTask *task);

/* The other host of a call, {"host_id", "addresses"}, as the first can reach it; @address: where,
 * NULL: as we do. */
json_t *gw_fleet_peer(GwFleet *fleet, const char *host_id, const char *address, GError **error);

/* copies.c: files that agents copy. */
/* Whether agents do it; else the wrapped driver does. */
gboolean gw_fleet_copies_it(GwFleet *fleet, const GwRequest *request);
void gw_fleet_copy_op(GwFleetTask *task);
void gw_fleet_copy_free(gpointer copy);

/* volumes.c: libvirt's word, and what the agent says that the files belong to. */
void gw_fleet_volume_look(GwFleetTask *task);

/* same.c: files and devices by what they are, not by what they are called. */
void gw_fleet_same_free(GwFleetSame *same);
/* Refuses what a VM of the host has under another name; else the wrapped driver judges. */
void gw_fleet_volume_delete(GwFleetTask *task);
/* Answers with @reply, taken; where that is a block device, with who uses it. */
void gw_fleet_say_user(GwFleetTask *task, GwReply *reply);

/* facts.c: hostile answers, as records. */
gpointer gw_fleet_read_record(const GwRecord *record, json_t *said, GError **error);
/* A short text of @said, printable; NULL: there is none. Free with g_free. */
char *gw_fleet_read_text(const json_t *said, const char *key);
/* Puts the agent's facts into @facts: those of @said, or the last known where it is NULL. */
void gw_fleet_merge_facts(GwFleetHost *host, GwHostFacts *facts, json_t *said, const GError *why);

/* leave.c: tickets, by job. */
void gw_fleet_leave_free(gpointer leave);
/* The ticket of @permit for the host that asks, base64; the same for both of a job's hosts. */
char *gw_fleet_leave(GwFleet *fleet, const GwPermit *permit, const char *host_id, GError **error);
/* A ticket for what host @from tries with host @to in a check; nothing is kept of it. */
char *gw_fleet_trial(GwFleet *fleet, const GwPermit *permit, const char *from, const char *to,
                     GError **error);
/* The host is through with it; when both are, it is forgotten. */
void gw_fleet_leave_closed(GwFleet *fleet, const char *job_id, const char *host_id);
