/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/placement_index.h"
#include "plan/rule.h"

/* What all candidates of one picture have in common, worked out once: a list of 1,000 hosts must
 * not read all jobs and all rules 1,000 times. Not for several threads at once: it fills itself
 * while it is read. */
struct GwPlanShared {
    const GwFabric *fabric;
    GPtrArray *jobs;             /* GwJob, not over, by id */
    GHashTable *jobs_to;         /* host id -> GPtrArray of those whose destination it is */
    GHashTable *jobs_of;         /* VM's UUID -> GPtrArray of those that hold it */
    GwPlacementIndex *placement; /* made when the first rule asks */
};

/* @input has a shared part in all of these: gw_plan_candidate and gw_plan_rate see to it. The lists
 * are borrowed, by id, and NULL where there is no such job. */
const GPtrArray *gw_shared_jobs_to(const GwPlanInput *input, const char *host_id);
const GPtrArray *gw_shared_jobs_of(const GwPlanInput *input, const char *vm_uuid);
GwPlacementIndex *gw_shared_placement(const GwPlanInput *input);

/* What moves to the destination that are under way will still take there: all of it while they
 * wait, what is left to copy while they copy. */
typedef struct {
    guint jobs;
    gint64 memory_kib;
    gint64 cpu_permille; /* of one CPU */
    gint64 network_bps;
} GwArrivals;

GwArrivals gw_shared_arrivals(const GwPlanInput *input);
/* What @vm takes of CPU where it runs, permille of one CPU. @known gets whether it was seen; else
 * it is half of its virtual CPUs. */
gint64 gw_plan_cpu_permille(const GwVm *vm, gboolean *known);
/* Of @pool of the destination, what jobs that are under way still need. */
gint64 gw_shared_promised_bytes(const GwPlanInput *input, const char *pool);
