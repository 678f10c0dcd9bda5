/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/inventory.h"
#include "engine/works_internal.h"

/* Jobs that are nothing but tasks. What such a job wants done is in work_effects.c. */

#define MERGE_LOOK_US (3 * G_USEC_PER_SEC)

/* Feeds one event and carries out what follows. */
static gboolean step(GwEngine *engine, WorkRun *run, GwWorkEvent event, GError **error)
{
    GwWorkOutcome outcome;

    event.now_us = gw_clock_now_us(engine->clock);
    event.wall_us = gw_clock_wall_us(engine->clock);
    if (!gw_work_step(run->work, &event, &outcome, error))
        return FALSE;
    gw_jobs_follow(engine, &run->base, &outcome, event.now_us, event.wall_us);
    return TRUE;
}

void gw_works_news(GwEngine *engine, WorkRun *run, GwWorkEventKind kind, const GError *error)
{
    g_autoptr(GError) late = NULL;
    if (!step(engine, run, (GwWorkEvent){ .kind = kind, .error = error }, &late))
        g_debug("job %s: %s", run->work->job->id, late->message);
}

/* News ------------------------------------------------------------------------------------- */

/* Whether the VM must not run while the job copies. */
static gboolean needs_it_off(const GwJob *job)
{
    if (g_strcmp0(job->kind, GW_JOB_KIND_TRANSFER) == 0)
        return TRUE;
    if (g_strcmp0(job->kind, GW_JOB_KIND_STORAGE) != 0)
        return FALSE;
    for (guint i = 0; job->tasks != NULL && i < job->tasks->len; i++) {
        if (((const GwTask *)job->tasks->pdata[i])->kind == (int)GW_TASK_BLOCK_COPY)
            return FALSE;
    }
    return TRUE;
}

void gw_works_lifecycle(GwEngine *engine, const GwHyperEvent *event)
{
    const GwJob *job = gw_fabric_job_of_vm(gw_engine_now(engine), event->vm_uuid);
    WorkRun *run = job != NULL ? gw_works_find(engine, job->id) : NULL;

    if (run != NULL && g_strcmp0(event->text, "started") == 0 && needs_it_off(run->work->job))
        gw_works_news(engine, run, GW_WORK_STARTED, NULL);
}

/* As a kind of job ------------------------------------------------------------------------- */

static void run_free(JobRun *base)
{
    WorkRun *run = (WorkRun *)base;

    gw_work_free(run->work);
    g_clear_error(&run->disturbed);
    g_clear_error(&run->refusal);
    g_free(run);
}

static void restart(GwEngine *engine, JobRun *run)
{
    gw_works_news(engine, (WorkRun *)run, GW_WORK_RESTART, NULL);
}

/* R31. */
static gboolean waits(GwEngine *engine, JobRun *base, char **why)
{
    WorkRun *run = (WorkRun *)base;
    const GwJob *job = base->job;
    gboolean may_wait =
        job->options != NULL && job->options->wait_for_merge && job->vm_uuid != NULL;
    const GwVm *vm =
        may_wait ? gw_fabric_vm(gw_engine_now(engine), job->source_host_id, job->vm_uuid) : NULL;

    run->merge_us = 0;
    if (vm == NULL || !gw_moves_is_merging(vm))
        return FALSE;
    run->merge_us = gw_clock_now_us(engine->clock) + MERGE_LOOK_US;
    *why = gw_moves_merge_words(vm, -1);
    return TRUE;
}

static void begin(GwEngine *engine, JobRun *run)
{
    gw_works_news(engine, (WorkRun *)run, GW_WORK_SLOTS, NULL);
}

static void host_back(GwEngine *engine, JobRun *base)
{
    WorkRun *run = (WorkRun *)base;

    if (run->look_us != 0)
        gw_works_look(engine, run);
}

static void carry_out(GwEngine *engine, JobRun *run, guint effect, JobDecision decided)
{
    (void)decided; /* what a job of tasks does looks by itself whether it may */
    gw_works_carry_out(engine, (WorkRun *)run, (GwWorkDo)effect);
}

static gint64 next_us(const JobRun *base)
{
    const WorkRun *run = (const WorkRun *)base;
    return gw_earlier(gw_work_next_us(run->work), gw_earlier(run->look_us, run->merge_us));
}

static void timers(GwEngine *engine, JobRun *base, gint64 now_us)
{
    WorkRun *run = (WorkRun *)base;
    GwWorkEventKind kind;

    if (run->merge_us != 0 && run->merge_us <= now_us) {
        run->merge_us = 0;
        gw_inventory_ask_vm(engine, base->job->source_host_id, base->job->vm_uuid);
        engine->schedule = TRUE;
    }
    if (run->look_us != 0 && run->look_us <= now_us)
        gw_works_look(engine, run);
    if (gw_work_due(run->work, now_us, &kind)) {
        if (kind == GW_WORK_TIMER)
            run->work->times.wake_us = 0;
        gw_works_news(engine, run, kind, NULL);
    }
}

static const JobKind work_kind = {
    .rank = 1,
    .free = run_free,
    .restart = restart,
    .waits = waits,
    .begin = begin,
    .host_back = host_back,
    .carry_out = carry_out,
    .next_us = next_us,
    .timers = timers,
};

WorkRun *gw_works_find(GwEngine *engine, const char *job_id)
{
    return (WorkRun *)gw_jobs_find_of(engine, job_id, &work_kind);
}

void gw_works_restore(GwEngine *engine, GwJob *job)
{
    WorkRun *run = g_new0(WorkRun, 1);

    run->work = gw_work_new(job, gw_clock_now_us(engine->clock));
    gw_jobs_add(engine, &run->base, &work_kind, job);
}

GwJob *gw_works_event(GwEngine *engine, const char *job_id, GwWorkEventKind kind,
                      const GwJobChange *change, GError **error)
{
    WorkRun *run = gw_works_find(engine, job_id);
    GwJob *job = run->work->job;

    if (change != NULL && change->bandwidth_mibps >= 0 && job->options != NULL &&
        job->state == (int)GW_JOB_COPYING)
        job->options->bandwidth_mibps = change->bandwidth_mibps;
    if (!step(engine, run, (GwWorkEvent){ .kind = kind }, error))
        return NULL;
    return gw_job_copy(job);
}
