/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/engine.h"
#include "hyper/hyper.h"
#include "wire/identity.h"

#define GW_JOB_HISTORY_DEFAULT 10000
#define GW_JOB_HISTORY_MAX 1000000

/* How a controller is put together; only the mains and tests include this. */
typedef struct {
    GwClock *clock; /* outlives the engine */
    GwStore *store; /* outlives the engine */
    /* Opens the driver over @sink. */
    GwHyper *(*open_hyper)(GwHyperSink sink, gpointer user, GError **error);
    gpointer user;
    const char *admin_token_path; /* where the first token is left, mode 0600; NULL: nowhere */
    GwAuthority *authority;       /* outlives the engine; NULL: hosts get no agents */
    gint64 job_history; /* jobs that are over which the store keeps beside those in the picture; 0:
                           GW_JOB_HISTORY_DEFAULT; negative: none */
    gint64 usage_interval_us; /* between looks at what hosts use; 0: a minute; negative: none */
} GwEngineConfig;

/* Loads the store, settles nothing yet. With a system clock its loop runs in a thread of its own;
 * with a virtual one nothing happens except in gw_engine_run_until and in calls. */
GwEngine *gw_engine_new(const GwEngineConfig *config, GError **error);
/* Stops the loop and closes the driver. Guests are left alone (I3). */
void gw_engine_free(GwEngine *engine);
/* Virtual clock only: runs everything that is due up to @until_us, advancing the clock. */
void gw_engine_run_until(GwEngine *engine, gint64 until_us);
