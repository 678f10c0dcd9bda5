/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/jobs_internal.h"

/* Which jobs that are over stay in the picture: it is copied with each change, and a controller
 * runs for months. The store has them all. */

#define FINAL_JOBS_KEPT 1000
#define FINAL_PLANS_KEPT 100 /* by which VMs find back; their moves are many, and push none out */
#define SLACK 250            /* so that not every end of a job looks at all of them */

/* Whether the plan that it is a part of still goes on, and looks at it. */
static gboolean is_needed(const GwFabric *fabric, const GwJob *job)
{
    const GwJob *plan =
        job->part_of != NULL ? g_hash_table_lookup(fabric->jobs, job->part_of) : NULL;
    return plan != NULL && !gw_job_state_is_final((GwJobState)plan->state);
}

void gw_jobs_trim(GwEngine *engine)
{
    const GwFabric *now = gw_engine_now(engine);
    guint finished = 0, plans = 0;

    if (g_hash_table_size(now->jobs) <= MAX(engine->jobs_kept, FINAL_JOBS_KEPT) + SLACK)
        return;
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(now); /* the newest first */
    GwFabric *fabric = gw_engine_change(engine);
    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        if (!gw_job_state_is_final((GwJobState)job->state))
            continue;
        gboolean fits =
            job->plan != NULL ? ++plans <= FINAL_PLANS_KEPT : ++finished <= FINAL_JOBS_KEPT;
        if (!fits && !is_needed(fabric, job))
            gw_fabric_remove_job(fabric, job->id);
    }
    engine->jobs_kept = g_hash_table_size(fabric->jobs);
}
