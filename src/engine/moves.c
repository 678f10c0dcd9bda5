/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "base/text.h"
#include "engine/moves_internal.h"

/* Jobs of the kind vm-migrate: what becomes of a move beside its effects. What a move wants done is
 * in move_effects.c, move_prepare.c and move_settle.c, what persons ask for in move_calls.c. */

#define DECISION_FRESH_US (5 * G_USEC_PER_SEC)
#define STEPS_MAX 1000 /* of a job's history, before a host's alarms no longer count */

/* Steps ------------------------------------------------------------------------------------ */

gboolean gw_moves_step(GwEngine *engine, MoveRun *run, GwMoveEvent event, GError **error)
{
    GwMove *move = run->move;
    GwMoveOutcome outcome;

    if (run->storing && (event.kind == GW_MOVE_LOOKED || event.kind == GW_MOVE_TIMER ||
                         event.kind == GW_MOVE_HOST_BACK))
        return TRUE;
    event.now_us = gw_clock_now_us(engine->clock);
    event.wall_us = gw_clock_wall_us(engine->clock);
    if (!gw_move_step(move, &event, &outcome, error))
        return FALSE;

    run->base.decisions += event.kind != GW_MOVE_CANCEL;
    gw_jobs_follow(engine, &run->base, &outcome, event.now_us, event.wall_us);
    return TRUE;
}

void gw_moves_news(GwEngine *engine, MoveRun *run, GwMoveEvent event)
{
    g_autoptr(GError) late = NULL;
    if (!gw_moves_step(engine, run, event, &late))
        g_debug("job %s: %s", run->move->job->id, late->message);
}

static void step_kind(GwEngine *engine, MoveRun *run, GwMoveEventKind kind)
{
    gw_moves_news(engine, run, (GwMoveEvent){ .kind = kind });
}

/* News ------------------------------------------------------------------------------------- */

/* The pause and the resume that downtime is measured between (R48): the first of each, since with
 * post-copy both come again when the last page is over. A source that runs again was not the one.
 * Where an agent was faster than our own resume, the answer to ours may be in before the event of
 * its. */
void gw_moves_lifecycle(GwEngine *engine, const GwHyperEvent *event)
{
    const GwJob *job = gw_fabric_job_of_vm(gw_engine_now(engine), event->vm_uuid);
    MoveRun *run = job != NULL ? gw_moves_find(engine, job->id) : NULL;

    if (run == NULL)
        return;
    GwMove *move = run->move;
    gboolean at_source = g_strcmp0(event->host_id, move->job->source_host_id) == 0;
    gboolean paused = g_strcmp0(event->text, "suspended") == 0;
    gboolean resumed = g_strcmp0(event->text, "resumed") == 0;
    if (at_source && resumed)
        move->paused_us = 0;
    else if (at_source && paused && move->paused_us == 0)
        move->paused_us = event->at_us;
    else if (!at_source && resumed && event->at_us >= move->paused_us &&
             (move->resumed_us == 0 || event->at_us < move->resumed_us))
        move->resumed_us = event->at_us;
}

/* What an agent says of a VM while it is moved belongs into the move's history. It is stored with
 * the next step. */
void gw_moves_alarm(GwEngine *engine, const GwHyperEvent *event)
{
    const GwJob *job =
        event->vm_uuid != NULL ? gw_fabric_job_of_vm(gw_engine_now(engine), event->vm_uuid) : NULL;
    MoveRun *run = job != NULL ? gw_moves_find(engine, job->id) : NULL;

    if (run == NULL || run->move->job->steps == NULL || run->move->job->steps->len > STEPS_MAX)
        return;
    const GwHost *host = gw_fabric_host(gw_engine_now(engine), event->host_id);
    g_autofree char *text = gw_text_printable(event->text, GW_TEXT_MESSAGE_MAX);
    GwJobStep *step = gw_job_step_new();
    step->at = gw_engine_rfc3339(engine);
    step->state = g_strdup(gw_enum_word(&gw_job_state_enum, run->move->job->state));
    step->event = g_strdup("alarm");
    step->why = g_strdup_printf("the agent of '%s': %s", host != NULL ? host->name : "?", text);
    g_ptr_array_add(run->move->job->steps, step);
    gw_jobs_show(engine, run->move->job);
}

/* As a kind of job ------------------------------------------------------------------------- */

static void run_free(JobRun *base)
{
    MoveRun *run = (MoveRun *)base;

    gw_move_free(run->move);
    gw_move_decision_free(run->decision);
    gw_paths_free(run->paths);
    g_free(run);
}

static void restart(GwEngine *engine, JobRun *run)
{
    step_kind(engine, (MoveRun *)run, GW_MOVE_RESTART);
}

static gboolean waits(GwEngine *engine, JobRun *run, char **why)
{
    return gw_moves_wait_for_merge(engine, (MoveRun *)run, why);
}

static void begin(GwEngine *engine, JobRun *run)
{
    step_kind(engine, (MoveRun *)run, GW_MOVE_SLOTS);
}

static void host_back(GwEngine *engine, JobRun *run)
{
    step_kind(engine, (MoveRun *)run, GW_MOVE_HOST_BACK);
}

/* The store may take long (a full disk: hours), and others may have acted meanwhile. What was
 * decided from a look that is old by now, or was overtaken by a later one, is not done: the hosts
 * are asked anew. */
static gboolean is_stale(GwEngine *engine, const JobRun *run, JobDecision decided)
{
    return decided.number != run->decisions ||
           gw_clock_now_us(engine->clock) - decided.at_us > DECISION_FRESH_US;
}

static void carry_out(GwEngine *engine, JobRun *run, guint effect, JobDecision decided)
{
    if (effect == GW_DO_SETTLE && is_stale(engine, run, decided))
        step_kind(engine, (MoveRun *)run, GW_MOVE_TIMER);
    else
        gw_moves_carry_out(engine, (MoveRun *)run, (GwMoveDo)effect);
}

static gint64 next_us(const JobRun *base)
{
    const MoveRun *run = (const MoveRun *)base;
    return gw_earlier(gw_move_next_us(run->move), run->merge_us);
}

static void timers(GwEngine *engine, JobRun *base, gint64 now_us)
{
    MoveRun *run = (MoveRun *)base;
    GwMoveEventKind kind;

    if (run->merge_us != 0 && run->merge_us <= now_us)
        gw_moves_look_at_merge(engine, run);
    if (gw_move_due(run->move, now_us, &kind)) {
        if (kind == GW_MOVE_TIMER)
            run->move->times.wake_us = 0;
        step_kind(engine, run, kind);
    }
}

static const JobKind move_kind = {
    .rank = 0,
    .free = run_free,
    .restart = restart,
    .waits = waits,
    .begin = begin,
    .host_back = host_back,
    .carry_out = carry_out,
    .next_us = next_us,
    .timers = timers,
};

MoveRun *gw_moves_find(GwEngine *engine, const char *job_id)
{
    return (MoveRun *)gw_jobs_find_of(engine, job_id, &move_kind);
}

void gw_moves_restore(GwEngine *engine, GwJob *job)
{
    MoveRun *run = g_new0(MoveRun, 1);

    run->move = gw_move_new(job, gw_clock_now_us(engine->clock));
    run->merge_percent = -1;
    gw_jobs_add(engine, &run->base, &move_kind, job);
}

gint64 gw_moves_next_epoch(GwEngine *engine, const char *uuid, GwBatch *batch)
{
    gint64 *known = g_hash_table_lookup(engine->epochs, uuid);
    gint64 epoch = known != NULL ? *known + 1 : 1;
    gint64 *kept = g_new(gint64, 1);

    *kept = epoch;
    g_hash_table_replace(engine->epochs, g_strdup(uuid), kept);
    gw_batch_put(batch, GW_KIND_EPOCH, uuid, json_pack("{s:I}", "epoch", (json_int_t)epoch));
    return epoch;
}
