/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/jobs_internal.h"
#include "job/plan_job.h"

typedef struct {
    JobRun base;
    GwPlanJob *self;
    GHashTable *beginning; /* UUIDs of VMs whose move is being checked and journaled */
    gboolean wants_plan;   /* as soon as a picture is published in which hosts are known */
    gint64 drifted_us;     /* when the plan was last seen not to hold; 0: never */
    gint64 restarted_us;   /* monotonic; 0: this controller began it */
} PlanRun;

/* plans.c */
/* NULL: the job is over, or is none of these. */
PlanRun *gw_plans_find(GwEngine *engine, const char *job_id);
/* The oldest first; borrowed. */
GPtrArray *gw_plans_list(GwEngine *engine);
/* An event that the job does not know any more comes too late, and is none. */
void gw_plans_step(GwEngine *engine, PlanRun *run, GwPlanJobEvent event);
/* Whether what the host holds is known just now; one that is not managed has nothing to say. */
gboolean gw_plans_is_answering(GwEngine *engine, const char *host_id);
/* A person's event (PAUSE, RESUME, CANCEL); a copy of the job, or an error. */
GwJob *gw_plans_event(GwEngine *engine, const char *job_id, GwPlanJobEventKind kind,
                      GError **error);

/* plan_calls.c. The loop only: what gw_engine_apply_plan does; @over gets the job (its own), or the
 * error. */
void gw_plans_apply(GwEngine *engine, const GwMigrationPlan *plan, const char *user, CallOver over,
                    gpointer data);

/* balance_plan.c */
/* What has to be over before the group's hosts are balanced, in words (owned); NULL: nothing. */
char *gw_balance_waits(GwEngine *engine, const GwFabric *fabric, const GwGroup *group);
/* When the last balance of the group ended, RFC 3339; NULL: none is known. Borrowed. */
const char *gw_balance_last(const GwFabric *fabric, const GwGroup *group);
/* Whether a plan that balances a group may begin beside what is under way. */
gboolean gw_balance_may_begin(const GwFabric *fabric, const GwMigrationPlan *plan, GError **error);
/* Of the plan of a job that balances, what is left: @request, a copy of its own, gets the VMs that
 * have not moved. FALSE: there is none. */
gboolean gw_balance_leave_rest(const GwMigrationPlan *plan, GwPlanRequest *request);
