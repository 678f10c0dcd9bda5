/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/plan.h"

/* A fabric and a question, read from a scenario's in.json on top of scenarios/base.json, which
 * holds what an ordinary host, VM, disk, … is: a scenario says only what is different. */
typedef struct {
    GwFabric *fabric;
    const GwVm *vm;
    const GwHost *destination; /* NULL: all hosts are asked about */
    GwMoveOptions *options;    /* may be NULL */
    GwCpuVerdict cpu;
    char *cpu_why;
    char *job_id;
    gboolean peer_to_peer;
    gboolean predict; /* so are predictions */
    gboolean rate;    /* ratings are part of what is to come of it */
    gboolean place;   /* "place": where; NULL: everywhere */
    char *where;
    GPtrArray *images, *there, *reached; /* as GwPlanInput's; NULL: not asked */
} Scenario;

Scenario *scenario_new(json_t *base, json_t *in, GError **error);
void scenario_free(Scenario *scenario);
GwPlanInput scenario_input(const Scenario *scenario);
/* The input of tests/plans: a VM is told by its name there, which is its UUID and its disk's as
 * well. */
void scenario_complete_plan(json_t *in);
/* The folders in @root, by name; owned. */
GPtrArray *scenario_folders(const char *root);
