/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/inventory.h"
#include "engine/plans_internal.h"

/* Jobs that carry out a plan of many moves, as a kind of job: their steps, and when they are looked
 * at. What is decided is in job/plan_job; what is done about it in plan_begin.c, plan_children.c,
 * plan_drift.c, plan_maintenance.c and plan_anew.c. */

static gboolean step(GwEngine *engine, PlanRun *run, GwPlanJobEvent event, GError **error)
{
    GwLifeOutcome outcome;

    run->self->sent_bytes = gw_plans_sent_bytes(engine, run);
    run->self->must_wait = gw_plans_is_closing_changed(engine, run);
    event.now_us = gw_clock_now_us(engine->clock);
    event.wall_us = gw_clock_wall_us(engine->clock);
    if (!gw_plan_job_step(run->self, &event, &outcome, error))
        return FALSE;
    gw_jobs_follow(engine, &run->base, &outcome, event.now_us, event.wall_us);
    return TRUE;
}

void gw_plans_step(GwEngine *engine, PlanRun *run, GwPlanJobEvent event)
{
    g_autoptr(GError) late = NULL;

    if (!step(engine, run, event, &late))
        g_debug("job %s: %s", run->self->job->id, late->message);
}

gboolean gw_plans_is_answering(GwEngine *engine, const char *host_id)
{
    const HostRun *host = g_hash_table_lookup(engine->hosts, host_id);
    return host == NULL || host->listed;
}

static void carry_out(GwEngine *engine, JobRun *base, guint effect, JobDecision decided)
{
    PlanRun *run = (PlanRun *)base;

    (void)decided; /* what begins is checked on fresh facts anyway */
    switch ((GwPlanJobDo)effect) {
    case GW_PLAN_JOB_DO_BEGIN: /* by gw_plans_schedule, after a look at whether the plan holds */
        engine->schedule = TRUE;
        break;
    case GW_PLAN_JOB_DO_PLAN:
        run->wants_plan = TRUE;
        break;
    case GW_PLAN_JOB_DO_CANCEL:
        gw_plans_cancel_moves(engine, run);
        break;
    case GW_PLAN_JOB_DO_FINISH: /* what it was to leave is durable with its end */
        break;
    case GW_PLAN_JOB_DO_COUNT:
        break;
    }
}

void gw_plans_schedule(GwEngine *engine)
{
    g_autoptr(GPtrArray) runs = gw_plans_list(engine);

    for (guint i = 0; i < runs->len; i++) {
        PlanRun *run = runs->pdata[i];
        if (run->self->job->state != (int)GW_JOB_COPYING)
            continue;
        gw_plans_look_at_moves(engine, run);
        if (run->self->job->cancel_requested) {
            gw_plans_cancel_moves(engine, run); /* also what was being begun when that was asked */
            if (run->self->must_wait && !gw_plans_is_closing_changed(engine, run))
                gw_plans_step(engine, run, (GwPlanJobEvent){ .kind = GW_PLAN_JOB_TIMER });
            continue;
        }
        gw_plans_cancel_stranded(engine, run);
        if (run->self->planning || run->self->job->pause_requested)
            continue;
        if (!gw_plans_has_drifted(engine, run))
            gw_plans_begin_moves(engine, run);
    }
}

/* As a kind of job ------------------------------------------------------------------------------
 */

static void run_free(JobRun *base)
{
    PlanRun *run = (PlanRun *)base;

    gw_plan_job_free(run->self);
    g_hash_table_unref(run->beginning);
    g_free(run->drift);
    g_free(run);
}

static void begin_plan(GwEngine *engine, JobRun *base)
{
    PlanRun *run = (PlanRun *)base;

    g_clear_pointer(&run->self->job->waiting_for, g_free);
    gw_plans_step(engine, run, (GwPlanJobEvent){ .kind = GW_PLAN_JOB_BEGIN });
}

static void restart(GwEngine *engine, JobRun *base)
{
    PlanRun *run = (PlanRun *)base;

    gw_plans_adopt_moves(engine, run);
    /* What is durable with its begin is so already, and a person may have said otherwise since. */
    run->maintained = run->self->job->state != (int)GW_JOB_QUEUED;
    run->restarted_us = gw_clock_now_us(engine->clock);
    gw_plans_step(engine, run, (GwPlanJobEvent){ .kind = GW_PLAN_JOB_RESTART });
}

static void host_back(GwEngine *engine, JobRun *run)
{
    (void)run;
    engine->schedule = TRUE;
}

static gint64 next_us(const JobRun *run)
{
    return gw_plan_job_next_us(((const PlanRun *)run)->self);
}

static void timers(GwEngine *engine, JobRun *base, gint64 now_us)
{
    PlanRun *run = (PlanRun *)base;
    gint64 due = next_us(base);

    if (due == 0 || due > now_us)
        return;
    gw_plans_step(engine, run, (GwPlanJobEvent){ .kind = GW_PLAN_JOB_TIMER });
    engine->schedule = TRUE;
}

static const JobKind plan_kind = {
    .rank = 2,
    .free = run_free,
    .restart = restart,
    .waits = gw_plans_waits,
    .begin = begin_plan,
    .host_back = host_back,
    .record = gw_plans_record,
    .carry_out = carry_out,
    .next_us = next_us,
    .timers = timers,
};

PlanRun *gw_plans_find(GwEngine *engine, const char *job_id)
{
    return (PlanRun *)gw_jobs_find_of(engine, job_id, &plan_kind);
}

GPtrArray *gw_plans_list(GwEngine *engine)
{
    GPtrArray *list = gw_jobs_list(engine);

    for (guint i = list->len; i > 0; i--) {
        if (((JobRun *)list->pdata[i - 1])->kind != &plan_kind)
            g_ptr_array_remove_index(list, i - 1);
    }
    return list;
}

const GwJob *gw_plans_job_for(GwEngine *engine, const char *host_id)
{
    g_autoptr(GPtrArray) runs = gw_plans_list(engine);

    for (guint i = 0; i < runs->len; i++) {
        const GwJob *job = ((PlanRun *)runs->pdata[i])->self->job;
        char **hosts = job->plan->request->hosts;
        if (!gw_job_state_is_final((GwJobState)job->state) && hosts != NULL &&
            g_strv_contains((const char *const *)hosts, host_id))
            return job;
    }
    return NULL;
}

gboolean gw_plans_is_kind(const char *kind)
{
    static const char *const kinds[] = { GW_JOB_KIND_DRAIN, GW_JOB_KIND_UNDRAIN, GW_JOB_KIND_MOVES,
                                         GW_JOB_KIND_BALANCE, NULL };
    return kind != NULL && g_strv_contains(kinds, kind);
}

void gw_plans_restore(GwEngine *engine, GwJob *job)
{
    PlanRun *run = g_new0(PlanRun, 1);

    if (job->plan == NULL)
        job->plan = gw_migration_plan_new();
    if (job->plan->request == NULL)
        job->plan->request = gw_plan_request_new();
    run->self = gw_plan_job_new(job, gw_clock_now_us(engine->clock));
    run->beginning = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    gw_jobs_add(engine, &run->base, &plan_kind, job);
}

GwJob *gw_plans_event(GwEngine *engine, const char *job_id, GwPlanJobEventKind kind, GError **error)
{
    PlanRun *run = gw_plans_find(engine, job_id);

    if (run == NULL) {
        gw_error_set(error, GW_ERR_CONFLICT, "Look at it: godwit job show.",
                     "the job is over, or carries out no plan");
        return NULL;
    }
    if (!step(engine, run, (GwPlanJobEvent){ .kind = kind }, error))
        return NULL;
    engine->schedule = TRUE;
    return gw_job_copy(run->self->job);
}
