/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "unit.h"

#include "hyper/sim.h"

/* A simulated fabric and the driver that is attached to it, asked request by request. */

#define VM "6d0b6b0e-0000-4000-8000-000000000001"
#define URI_A "qemu+tls://a.example.org/system"
#define URI_B "qemu+tls://b.example.org/system"
#define AGENT_A "godwit://a.example.org/01J0000000000000000000000A"
#define AGENT_B "godwit://b.example.org/01J0000000000000000000000B"
#define SECOND ((gint64)G_USEC_PER_SEC)

/* A driver with its world, and everything it said, in its order. */
typedef struct {
    GwClock *clock;
    GwSim *sim;
    GwHyper *hyper;
    GMutex lock; /* guards what follows: in real time the driver has a thread */
    GCond came;
    GPtrArray *replies; /* GwReply */
    GString *diary;     /* a line for each reply and event, with its time */
    guint64 last_id;
} World;

GwClock *world_clock(void); /* a virtual one */
/* Of @fabric, JSON with ' for "; with @agents, A and B are AGENT_A and AGENT_B in it. Takes @clock.
 */
void world_open(World *world, GwClock *clock, const char *fabric, gboolean agents);
void world_close(World *world);
/* Another driver, where the one before was closed. */
void world_attach(World *world);
void world_run_for(World *world, gint64 span_us);
/* Hands a request over; returns its number. */
guint64 world_submit(World *world, GwRequest *request);
guint64 world_connect(World *world, const char *host_id, const char *uri);
/* The reply to @id; NULL: it has not come. Fails where there are several. */
const GwReply *world_reply(const World *world, guint64 id);
void world_add_fault(World *world, const char *at, const char *what, int ms, int percent);
