/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "job/life.h"
#include "model/migration_plan.h"

/* The life of a job that carries out a plan of many moves (host-drain, host-undrain, vms-migrate,
 * group-balance) as a table (job/life.h). Each move of the plan is a job of its own (job->part_of),
 * with its own checks and its own undo; this one only says which begins when, and what comes of it
 * all.
 *
 *   queued -> copying (moves begin as their turn comes) -> done / failed / cancelled
 *
 * Where the world is no more as the plan has it (a VM came, went, grew; a host is gone; a move was
 * refused or failed), what is left is planned anew. Nothing is ever powered off: a VM that cannot
 * leave stays, is named with its reason, and the job ends as failed. */

typedef enum {
    GW_PLAN_JOB_BEGIN,   /* it is durable */
    GW_PLAN_JOB_BEGUN,   /* a move has its job */
    GW_PLAN_JOB_ENDED,   /* a move's job is over; error: how it failed */
    GW_PLAN_JOB_REFUSED, /* a move could not be begun; error: why */
    GW_PLAN_JOB_DRIFTED, /* the plan does not hold any more; error: what changed */
    GW_PLAN_JOB_PLANNED, /* planned anew: plan */
    GW_PLAN_JOB_TIMER,
    GW_PLAN_JOB_PAUSE,
    GW_PLAN_JOB_RESUME,
    GW_PLAN_JOB_CANCEL, /* R58 */
    GW_PLAN_JOB_RESTART,
    GW_PLAN_JOB_EVENT_COUNT
} GwPlanJobEventKind;

typedef struct {
    GwPlanJobEventKind kind;
    guint move;            /* index into plan->moves: BEGUN, ENDED, REFUSED */
    const char *job_id;    /* BEGUN */
    const GError *error;   /* ENDED (NULL: it went well), REFUSED, DRIFTED */
    GwMigrationPlan *plan; /* PLANNED; borrowed */
    gboolean held;         /* PLANNED: another job holds one of the VMs that stay */
    gint64 now_us;         /* monotonic */
    gint64 wall_us;
} GwPlanJobEvent;

typedef enum {
    GW_PLAN_JOB_DO_BEGIN,  /* the moves whose turn has come -> BEGUN or REFUSED each */
    GW_PLAN_JOB_DO_PLAN,   /* what is left, anew -> PLANNED */
    GW_PLAN_JOB_DO_CANCEL, /* the moves under way -> ENDED each */
    GW_PLAN_JOB_DO_FINISH, /* maintenance is entered, or given up */
    GW_PLAN_JOB_DO_COUNT
} GwPlanJobDo;

#define GW_PLAN_JOB_TRIES 3 /* of one VM */
/* Moves that have begun, in the list of a job: beyond that, what VMs did between their first and
 * their last move goes when the rest is planned anew. */
#define GW_PLAN_HISTORY_MAX GW_PLAN_VMS_MAX

typedef GwLifeOutcome GwPlanJobOutcome; /* its effects: GwPlanJobDo */

typedef struct {
    GwJob *job; /* the durable part; owned; job->plan says how far it is */
    GwLifeTimes times;
    /* Volatile, like those. */
    gint64 again_us;    /* not planned anew before, after a failure */
    gboolean planning;  /* PLANNED is due */
    gboolean last_look; /* all moves are over, and it was planned anew since: nothing is left */
    guint failures;     /* in a row */
    guint history;      /* moves that had begun when it was planned anew, the first in the list */
    gint64 sent_bytes;  /* by the moves under way; the caller's to say, for the progress */
    /* Moves that are being checked and journaled: BEGUN or REFUSED is due. The caller's count. */
    guint beginning;
    /* Records that its end writes are being changed: it does not end just now. The caller's. */
    gboolean must_wait;
} GwPlanJob;

/* plan_job_moves.c. Says in the job, which has a plan, how far that is (job->plan_progress); each
 * step does so. */
void gw_plan_job_tally(GwJob *job);
/* Takes ownership of @job, which has a plan. */
GwPlanJob *gw_plan_job_new(GwJob *job, gint64 now_us);
void gw_plan_job_free(GwPlanJob *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwPlanJob, gw_plan_job_free)

/* Carries one event in; one that the state does not know is refused (GW_ERR_CONFLICT) and changes
 * nothing. */
gboolean gw_plan_job_step(GwPlanJob *self, const GwPlanJobEvent *event, GwPlanJobOutcome *outcome,
                          GError **error);
/* Whether the move with that index may begin as far as the plan goes: what it comes after is done,
 * and no more than the request allows are under way. Slots are the caller's. */
gboolean gw_plan_job_is_ready(const GwPlanJob *self, guint move);
/* Whether moves of that job that are done may have gone from its list, for there were too many. */
gboolean gw_plan_job_may_be_trimmed(const GwJob *job);
/* After a restart: @child is a job of this plan (part_of). Finds its move, and says how far that
 * is; one that is not in the plan is added to it, unless it is done and its move was trimmed. */
void gw_plan_job_adopt(GwPlanJob *self, const GwJob *child);
gint64 gw_plan_job_next_us(const GwPlanJob *self);

const char *gw_plan_job_event_word(GwPlanJobEventKind kind);
const char *gw_plan_job_do_word(GwPlanJobDo effect);

typedef GwLifeRow GwPlanJobRow; /* its events: GwPlanJobEventKind */
const GwPlanJobRow *gw_plan_job_rows(guint *count);
