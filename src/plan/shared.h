/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/placement_index.h"
#include "plan/rule.h"

/* What all candidates of one picture have in common, worked out once: a list of 1,000 hosts must
 * not read all jobs and all rules 1,000 times. Not for several threads at once: it fills itself
 * while it is read. */
struct GwPlanShared {
    const GwFabric *fabric;
    /* Each is made when it is first asked for. */
    GPtrArray *jobs;             /* GwJob, not over, by id */
    GHashTable *jobs_to;         /* host id -> GPtrArray of those whose destination it is */
    GHashTable *jobs_of;         /* VM's UUID -> GPtrArray of those that hold it */
    GArray *promises;            /* what jobs copy to, see storage_promised.c */
    GArray *vports;              /* that jobs hand virtual HBAs over to, see vports.c */
    GwPlacementIndex *placement; /* rules; placement_index.c's */
    GHashTable *shares;          /* host id -> GArray of its memberships */
    GHashTable *pool_ids;        /* type and source of a pool -> the identity that it has */
    GHashTable *paths;           /* path -> GwSourcePath, of @paths_of */
    const GwHost *paths_of;
    GwVm *explained;         /* whose explanations these are; a reference */
    GPtrArray *explanations; /* GwTransferOption */
};

/* All jobs that are not over; borrowed. */
const GPtrArray *gw_shared_jobs(GwPlanShared *shared);
/* Whether what @job is to take does not count for the job @job_id (NULL: for none): its own, and
 * that of jobs which wait behind it. Of two that wait only the earlier counts against the later, or
 * both would be refused. */
gboolean gw_job_is_behind(const GwJob *job, const char *job_id);
/* @input has a shared part in all of these: gw_plan_candidate and gw_plan_rate see to it. The lists
 * are borrowed, by id, and NULL where there is no such job. */
const GPtrArray *gw_shared_jobs_to(const GwPlanInput *input, const char *host_id);
const GPtrArray *gw_shared_jobs_of(const GwPlanInput *input, const char *vm_uuid);

/* What moves to the destination that are under way will still take there: all of it while they
 * wait, what is left to copy while they copy. */
typedef struct {
    guint jobs;
    gint64 memory_kib;
    gint64 cpu_permille; /* of one CPU */
    gint64 network_bps;
} GwArrivals;

/* What of a VM's memory its destination does not hold yet. The percent of progress are of what the
 * guest uses, so they say nothing of the rest, which it may use there at once (R45). */
gint64 gw_job_arriving_kib(const GwJob *job);
GwArrivals gw_shared_arrivals(const GwPlanInput *input);
/* What @vm takes of CPU where it runs, permille of one CPU. @known gets whether it was seen; else
 * it is half of its virtual CPUs. */
gint64 gw_plan_cpu_permille(const GwVm *vm, gboolean *known);
/* Of @pool of the destination, what jobs that are under way still need: as gw_plan_promised_bytes.
 */
gint64 gw_shared_promised_bytes(const GwPlanInput *input, const char *pool);

/* shared_storage.c. The identity that @pool has by itself (gw_share_own_id), borrowed. */
const char *gw_shared_pool_id(GwPlanShared *shared, const GwPool *pool);
/* The share that both are members of, as gw_share_common finds it. */
const GwShare *gw_shared_share(GwPlanShared *shared, gboolean proved, const GwHost *source,
                               const GwPool *source_pool, const GwHost *destination,
                               const GwPool *destination_pool);

/* A path of the source, seen from its pools. */
typedef struct {
    char *clean;
    gssize depth;       /* of the deepest pool that holds it; -1: none */
    const GwPool *home; /* the first of them; NULL: none */
    GPtrArray *pools;   /* all of that depth */
} GwSourcePath;

const GwSourcePath *gw_shared_path(GwPlanShared *shared, const GwHost *source, const char *path);

/* A list by @vm, filled once, which begins empty for another VM. Borrowed. */
GPtrArray *gw_shared_explanations(GwPlanShared *shared, const GwVm *vm);

void gw_shared_storage_clear(GwPlanShared *shared);
