/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/jobs_internal.h"
#include "job/plan_job.h"

typedef struct {
    JobRun base;
    GwPlanJob *self;
    GHashTable *beginning; /* UUID of a VM -> its move that is being checked and journaled */
    gboolean wants_plan;   /* as soon as a picture is published in which hosts are known */
    char *drift;           /* why the plan was last seen not to hold */
    gint64 drifted_us;     /* when */
    gint64 restarted_us;   /* monotonic; 0: this controller began it */
    gboolean maintained;   /* its hosts were closed, or opened, when it began */
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

/* plan_begin.c: begins what may begin, as long as the plan holds. */
void gw_plans_begin_moves(GwEngine *engine, PlanRun *run);

/* plan_children.c: the moves that have begun, by their own jobs. */
/* What those under way have sent, so that the whole shows progress while large VMs move. */
gint64 gw_plans_sent_bytes(GwEngine *engine, const PlanRun *run);
/* Notes which are over. */
void gw_plans_look_at_moves(GwEngine *engine, PlanRun *run);
void gw_plans_cancel_moves(GwEngine *engine, PlanRun *run);
/* A move that waits in the queue for a host which is gone would wait as long as that is: another
 * host may take its VM. */
void gw_plans_cancel_stranded(GwEngine *engine, const PlanRun *run);
/* After a restart: how far each is. */
void gw_plans_adopt_moves(GwEngine *engine, PlanRun *run);

/* plan_drift.c: TRUE: the plan does not hold any more, and the job knows. */
gboolean gw_plans_has_drifted(GwEngine *engine, PlanRun *run);

/* plan_maintenance.c */
/* JobKind.waits: somebody's change of one of its hosts is being journaled. */
gboolean gw_plans_waits(GwEngine *engine, JobRun *base, char **why);
/* JobKind.record: the maintenance of its hosts, with its begin and its end. */
void gw_plans_record(GwEngine *engine, JobRun *base, GwBatch *batch);
/* Whether somebody's change of a host that it closed is being journaled: its end would write the
 * same record. */
gboolean gw_plans_is_closing_changed(GwEngine *engine, const PlanRun *run);

/* plan_apply.c. Any thread: makes @plan one of which nothing has begun, and shows that it holds in
 * @fabric; it may take a second. */
gboolean gw_plans_prove(const GwFabric *fabric, GwMigrationPlan *plan, GError **error);
/* The loop only: what gw_engine_apply_plan does with a plan that was just proven; @over gets the
 * job (its own), or the error. */
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
gboolean gw_balance_leave_rest(const GwFabric *fabric, const GwMigrationPlan *plan,
                               GwPlanRequest *request);
