/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "unit.h"

#include "fleet/fleet_internal.h"

/* A fleet between a libvirt that does as it is told and agents that do as they are told: real
 * sessions over loopback, with certificates of a real authority. */

#define HOST_1 "01HXAGENT0000000000000000A"
#define HOST_2 "01HXAGENT0000000000000000B"
#define VM "6d0b6b0e-0000-4000-8000-000000000001"
#define JOB "01HXJ0B0000000000000000001"

typedef struct World World;

/* What an agent says to a call: the answer, or what is wrong; MUTE: nothing, ever. */
typedef enum { SAY, FAIL, MUTE } Manner;

typedef struct {
    World *world;
    char *id;
    char *serial; /* of its certificate */
    guint16 port;
    GwLoop *loop;
    GwListener *listener; /* on its loop */
    GwSession *session;   /* (lock of the world) the last that became ready */
    GPtrArray *open;      /* (lock) GwSession: those that became ready and have not ended */
    guint ready;          /* (lock) how many became so */
    Manner manner;        /* (lock) of every call, but for: */
    const char *except;   /* (lock) this one, which is answered */
    json_t *answer;       /* (lock) instead of the usual; NULL: none */
    json_t *script;   /* (lock) before all that: {method: [{"result"} or {"error": code, "message"},
                         …]}, each once but for the last; NULL: none */
    json_t *hello;    /* (lock) what the controller said of itself */
    GPtrArray *calls; /* (lock) json_t: {"method", "params"} */
} Agent;

typedef struct {
    GwHyper base;
    World *world;
} FakeLibvirt;

struct World {
    char *folder;
    GwAuthority *authority;
    GwHyper *fleet;
    FakeLibvirt libvirt;
    GMutex lock;
    GCond changed;
    guint64 last_id;
    gboolean holds;      /* (lock) libvirt keeps requests back */
    GPtrArray *requests; /* (lock) GwRequest: all that libvirt was asked */
    GPtrArray *replies;  /* (lock) GwReply that the fleet gave */
    GPtrArray *events;   /* (lock) GwHyperEvent that the fleet gave */
    gboolean follows;    /* checks that the one host is lost no more often than connected */
    gboolean connected;  /* (lock) as far as the sink was told */
    gboolean closed;     /* (lock) nothing may come any more */
    gboolean fails;      /* (lock) libvirt fails everything */
    GwVm *vm;            /* what libvirt lists; NULL: nothing; set before it is asked */
    gint64 processes;    /* (lock) what agents count */
};

void world_open(World *world);
void world_close_fleet(World *world); /* earlier than the rest */
void world_free(World *world);

Agent *agent_new(World *world, const char *id, const char *certified_as);
/* Ends its sessions and stops listening. */
void agent_kill(Agent *agent);
void agent_hang_up(Agent *agent); /* ends its sessions, and goes on listening */
void agent_free(Agent *agent);
void agent_notice(Agent *agent, const char *method, json_t *params);
/* The last call of @method, NULL where there was none; new reference. */
json_t *agent_called(Agent *agent, const char *method);
void agent_manner(Agent *agent, Manner manner, const char *except);
void agent_answer(Agent *agent, json_t *answer_stolen);
/* To calls of @method, from now on, one after another; the last again and again. */
void agent_script(Agent *agent, const char *method, json_t *says_stolen);
guint count_calls(Agent *agent, const char *method);

/* Submits; the id. */
guint64 submit(World *world, GwRequest *request);
/* The reply to that, waited for; the caller's. Fails the test after 10 s. */
GwReply *await(World *world, guint64 id);
GwReply *ask(World *world, GwRequest *request);
void await_all(World *world, guint count); /* so many replies lie there */
guint count_replies(World *world, guint64 id);
/* How many events of @kind came so far. */
guint count_events(World *world, GwHyperEventKind kind);
void await_events(World *world, GwHyperEventKind kind, guint count);
/* How often libvirt was asked for @op so far, and the last time (belongs to the world). */
guint count_requests(World *world, GwOp op);
const GwRequest *last_request(World *world, GwOp op);
void await_requests(World *world, GwOp op, guint count);
/* libvirt answers what it kept back. */
void release(World *world);
/* libvirt loses a host, as it knew @at_us. */
void libvirt_loses(World *world, const char *host_id, gint64 at_us);

GwRequest *connect_request(const char *host_id, const Agent *agent);
void connect_well(World *world, const char *host_id, const Agent *agent);
