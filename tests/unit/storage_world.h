/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine_world.h"

/* What tests of moves with disks share: beginning a job, planting a fault, what a witness outside
 * sees, and deaths at every moment of a job. */

GwMoveRequest *storage_request_to(const char *host);
/* Begins a move, and returns its job's id; owned. */
char *storage_begin(World *world, const char *vm, const GwMoveRequest *request);
void storage_plant(World *world, const char *at, const char *what, int percent, int ms);

/* @words are freed. */
void storage_none_of(char **words, const char *what, const char *when);
/* I4, I9, and that nothing is left which nobody knows of. */
void storage_check_witness(World *world, const char *when);
/* I1, I2: it runs at one host, and never ran at two. */
void storage_check_vm(World *world, const char *vm, const char *when);
gboolean storage_runs_at(World *world, guint host, const char *vm);
/* The job, which must be in that state; owned. */
GwJob *storage_job_in(World *world, const char *id, GwJobState state, const char *when);

/* Without agents, and with one on each host. */
void storage_for_both_ways(void (*test)(void));

/* A job to which things happen at every moment, each time in a world of its own; both without
 * agents and with one on each host. */
typedef struct {
    guint moments;
    gint64 moment_us;
    char *(*begin)(World *world); /* makes the world; the job's id, owned */
    /* Whatever happened is over: @called_off: it may have been cancelled. */
    void (*check_over)(World *world, const char *id, gboolean called_off, const char *when);
} StorageMoments;
void storage_cancel_at_every_moment(const StorageMoments *moments);
/* The controller dies, and another comes. */
void storage_kill_at_every_moment(const StorageMoments *moments);
/* A host's connection is cut; what it does then, nobody sees. */
void storage_cut_at_every_moment(const StorageMoments *moments);
