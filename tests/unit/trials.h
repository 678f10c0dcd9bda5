/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine_world.h"

/* What random trials share: hosts and VMs, a random source, strikes of any kind, and what must hold
 * afterwards. A trial is its seed. GODWIT_TRIALS: how many; GODWIT_SEED: the first. */

#define TRIAL_HOSTS 3
#define TRIAL_VMS 9
#define TRIAL_DOWN_MS_MAX 45000

typedef struct {
    World world;
    GRand *random;
    guint32 seed;
    gboolean may_change[TRIAL_VMS]; /* its guest was shut down, or it was started */
    gboolean any_may_stop;          /* a fault ends whichever VM comes by */
} Trial;

typedef struct {
    const char *at, *what;
} TrialFault;

/* One of those that any move may meet, or of @more; each is as likely. */
TrialFault trial_any_fault(GRand *random, const TrialFault *more, guint more_count);

char *trial_uuid(guint vm);
guint trial_any(Trial *trial, guint count);
/* How long something is down. */
gint64 trial_any_ms(Trial *trial);

/* Which hosts have an agent is the seed's, from none to all: before the fabric is made. */
void trial_init(Trial *trial, guint32 seed);
/* @fabric is stolen. */
void trial_begin(Trial *trial, json_t *fabric);
void trial_end(Trial *trial);
/* The controller dies, and comes back some seconds later. */
void trial_kill_and_start(Trial *trial);
/* @percent: how far what it hits is by then; negative: it is not told. */
void trial_plant(Trial *trial, TrialFault fault, gint64 ms, int percent);

/* Every job is over, and says why where it is not done. */
void trial_check_jobs(Trial *trial, const GwFabric *fabric);
/* I1, I2, that it is shown as it is, and that nothing of a move is left behind. @runs: at how many
 * hosts, unless something may have changed that. */
void trial_check_vm(Trial *trial, const GwFabric *fabric, guint vm, guint runs);
/* Nothing stale was run, nothing in use removed, nothing left that is not in @known. */
void trial_check_disks(Trial *trial, const GPtrArray *known);

/* As many trials as are asked for; returns how many. */
guint32 trials_run(guint32 count, void (*run)(guint32 seed, gpointer user), gpointer user);
