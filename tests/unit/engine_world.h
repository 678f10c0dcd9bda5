/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "unit.h"

#include "engine/engine_config.h"
#include "engine/feed.h"
#include "hyper/sim.h"
#include "store/store.h"

/* A controller over a simulated fabric under a virtual clock, which can be killed and started. */

#define SECONDS(n) ((gint64)(n)*G_USEC_PER_SEC)

typedef struct {
    char *folder;
    GwClock *clock;
    GwSim *sim;
    GwStore *store;
    GwEngine *engine;
    GwAuthority *authority; /* NULL: hosts get no agents; the test's own */
    /* Opens what stands before the simulated fabric; NULL: nothing does. */
    GwHyper *(*open_hyper)(GwHyperSink sink, gpointer world, GError **error);
    gint64 usage_interval_us; /* as of the engine's configuration */
    gint64 job_history;       /* the same */
} World;

/* Which hosts have an agent, a bit for each; from the next world on. */
void world_set_agents(guint mask);
/* Host @index: 0 is named "a", at URI "qemu+tls://a.example.org/system", or, with an agent,
 * "godwit://a.example.org/…", and so on. */
char *world_uri(guint index);
json_t *world_host_json(guint index);
json_t *world_vm_json(const char *uuid, const char *name);

/* The fabric of @json (stolen), no controller yet. @clock: stolen. */
void world_make(World *world, GwClock *clock, json_t *json);
void world_start(World *world);
/* As abrupt as it can be within one process: nothing is told to anybody. */
void world_kill(World *world);
void world_free(World *world);

/* Time without a controller: hosts go on by themselves. */
void world_pass(World *world, gint64 span_us);
void world_run(World *world, gint64 span_us);
void world_add_host(World *world, guint index);
GwJob *world_job(World *world, const char *id);

/* Each sets all that a request may to what the record says, whatever it was before. */
GwHost *world_change_host(GwEngine *engine, const GwHost *host, GError **error);
GwGroup *world_change_group(GwEngine *engine, const GwGroup *group, GError **error);
GwPlacementRule *world_change_rule(GwEngine *engine, const GwPlacementRule *rule, GError **error);
