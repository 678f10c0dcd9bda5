/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job/move_internal.h"

/* Settling: what the hosts say now decides what is done, and then they are asked again, until they
 * say that it is over. */

#define WAIT_HOLD_US SECONDS(120) /* both answer, yet nothing can be decided: ask a person */
#define FENCE_TRIES 5
#define REPEATS_MAX 20 /* a step that changes nothing, so often: ask a person */

/* How long until the hosts are asked again: soon at first, then every 5 s. */
static gint64 wait_span(guint waits)
{
    static const gint64 spans[] = { MS(200), MS(500), SECONDS(1), SECONDS(2), SECONDS(5) };
    return spans[MIN(waits, G_N_ELEMENTS(spans) - 1)];
}

static void hold(GwMove *move, const GwMoveEvent *event, const char *why, GwMoveOutcome *outcome)
{
    g_autofree char *source = gw_seen_words(move->source);
    g_autofree char *destination = gw_seen_words(move->destination);

    g_free(move->job->waiting_for);
    move->job->waiting_for =
        g_strdup_printf("your answer: %s (source: %s, destination: %s). Keep which one? godwit job "
                        "settle %s --keep source|destination",
                        why, source, destination, move->job->id);
    move->times.wake_us = 0;
    gw_move_enter(move, GW_JOB_HELD, event, why, outcome);
    gw_life_set_phase(move->job, "held");
}

static void settle_wait(GwMove *move, const GwMoveEvent *event, const char *why,
                        GwMoveOutcome *outcome)
{
    gboolean silent =
        move->source.side == GW_SIDE_UNKNOWN || move->destination.side == GW_SIDE_UNKNOWN;

    if (move->waits == 0)
        move->waiting_since_us = event->now_us;
    if (!silent && event->now_us - move->waiting_since_us > WAIT_HOLD_US) {
        hold(move, event, why, outcome);
        return;
    }
    move->times.wake_us = event->now_us + wait_span(move->waits++);
    if (g_strcmp0(move->job->waiting_for, why) != 0) {
        gw_life_replace(&move->job->waiting_for, why);
        gw_move_enter(move, move->job->state, event, why, outcome);
    }
}

static void settle_watch(GwMove *move, const GwMoveEvent *event, const char *why,
                         GwMoveOutcome *outcome)
{
    if (move->calling) {
        /* Our own call is still out: it will say when to look again. */
        move->times.wake_us = event->now_us + SECONDS(1);
        return;
    }
    gw_move_enter(move, GW_JOB_COPYING, event, why, outcome);
    gw_move_begin_copy(move, event, outcome);
    gw_life_add_effect(outcome, GW_DO_PROGRESS);
    if (move->job->cancel_requested || move->job->error != NULL)
        move->abort_again_us = event->now_us;
}

void gw_move_act(GwMove *move, GwSettle settle, GwJobState state, const GwMoveEvent *event,
                 const char *why, GwMoveOutcome *outcome)
{
    move->repeats = move->settle == settle ? move->repeats + 1 : 0;
    move->settle = settle;
    if (settle == GW_SETTLE_DESTROY_SOURCE)
        move->job->source_gives_way = TRUE;
    if (move->repeats >= REPEATS_MAX) {
        hold(move, event, "the same step was taken many times without effect", outcome);
        return;
    }
    gw_move_enter(move, state, event, why, outcome);
    gw_life_add_effect(outcome, GW_DO_SETTLE);
}

static void carry_out(GwMove *move, GwSettle settle, const GwMoveEvent *event, const char *why,
                      GwMoveOutcome *outcome)
{
    if (settle != GW_SETTLE_WAIT) {
        move->waits = 0;
        g_clear_pointer(&move->job->waiting_for, g_free);
    }
    switch (settle) {
    case GW_SETTLE_WAIT:
        settle_wait(move, event, why, outcome);
        break;
    case GW_SETTLE_WATCH:
        settle_watch(move, event, why, outcome);
        break;
    case GW_SETTLE_KEEP_SOURCE:
        gw_move_settle_kept(move, event, why, outcome);
        break;
    case GW_SETTLE_COMMITTED:
        gw_move_settle_committed(move, event, why, outcome);
        break;
    case GW_SETTLE_STOPPED:
        gw_move_settle_stopped(move, event, why, outcome);
        break;
    case GW_SETTLE_RESUME_DESTINATION:
        gw_move_act(move, settle, GW_JOB_COMMITTING, event, why, outcome);
        break;
    case GW_SETTLE_UNDEFINE_SOURCE:
    case GW_SETTLE_DEFINE_DESTINATION:
        gw_move_act(move, settle, GW_JOB_CLEANING, event, why, outcome);
        break;
    case GW_SETTLE_PAUSE_SOURCE:
        gw_life_add_effect(outcome, GW_DO_ALARM);
        if (move->job->through_agents) /* from here on nobody but a person decides */
            gw_life_add_effect(outcome, GW_DO_CLOSE);
        gw_move_act(move, settle, GW_JOB_SETTLING, event, why, outcome);
        break;
    case GW_SETTLE_HOLD:
    case GW_SETTLE_COUNT:
        hold(move, event, why, outcome);
        break;
    case GW_SETTLE_FENCE:            /* only fence() says so */
    case GW_SETTLE_AUTOSTART_SOURCE: /* only restore_autostart() says so */
    case GW_SETTLE_AUTOSTART_DESTINATION:
    case GW_SETTLE_STORAGE_BACK: /* only settle_storage() says so */
    case GW_SETTLE_STORAGE_ON:
    case GW_SETTLE_RESUME_SOURCE:
    case GW_SETTLE_DESTROY_SOURCE:
    case GW_SETTLE_DESTROY_DESTINATION:
    case GW_SETTLE_UNDEFINE_DESTINATION:
    case GW_SETTLE_DEFINE_SOURCE:
        gw_move_act(move, settle, GW_JOB_SETTLING, event, why, outcome);
        break;
    }
}

static gboolean has_process(GwSeen seen)
{
    return seen.side >= GW_SIDE_RUNNING && seen.side < GW_SIDE_COUNT;
}

/* Remembers what makes one side's memory old, before anything else can happen to the other: a VM
 * that ran on and was shut down, or that nobody could see for a while, looks like one that never
 * ran. */
static void learn(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome)
{
    GwJob *job = move->job;
    GwSeen source = move->source, destination = move->destination;
    gboolean runs = (source.side == GW_SIDE_RUNNING && !source.job_active) || source.by_guest;
    gboolean both = source.side == GW_SIDE_RUNNING && destination.side == GW_SIDE_RUNNING;

    if (job->keep_source || job->keep_destination || both)
        return; /* a person says, or will, which of them is old */
    if (runs && destination.side != GW_SIDE_ABSENT && !job->destination_old && !job->source_old) {
        job->destination_old = TRUE;
        gw_move_enter(move, job->state, event, "the VM ran on at the source", outcome);
    }
    if (destination.side == GW_SIDE_RUNNING && !job->source_old && !job->destination_old &&
        (has_process(source) || source.side == GW_SIDE_UNKNOWN)) {
        job->source_old = TRUE;
        gw_move_enter(move, job->state, event, "the VM ran at the destination", outcome);
    }
}

/* A person's answer stands until it is carried out, also over a restart. */
static GwSettle answer_first(const GwMove *move, GwSettle settle, const char **why)
{
    if (settle == GW_SETTLE_WAIT)
        return settle;
    *why = "a person said which one to keep";
    if (move->job->keep_source && has_process(move->destination))
        return GW_SETTLE_DESTROY_DESTINATION;
    if (move->job->keep_destination && has_process(move->source))
        return GW_SETTLE_DESTROY_SOURCE;
    return settle;
}

/* The hosts answer one after the other, and a whole move fits between a destination that was asked
 * before it and a source that was asked after it. So what relies on the destination having nothing
 * must be said by two looks in a row. */
static gboolean must_look_again(GwMove *move, GwSettle settle)
{
    gboolean first = move->said != settle;

    move->said = settle;
    return first && (settle == GW_SETTLE_RESUME_SOURCE || settle == GW_SETTLE_KEEP_SOURCE);
}

static gboolean is_over(GwSettle settle)
{
    return settle == GW_SETTLE_KEEP_SOURCE || settle == GW_SETTLE_COMMITTED ||
           settle == GW_SETTLE_STOPPED;
}

/* Agents commit by themselves, and may do so between our look and our step. Two steps at once by
 * both come to the same, but for one: a source that is to be destroyed because the destination is
 * whole may be resumed by its agent when the destination dies just then. So before anything is
 * destroyed both agents end the move's leave, after which neither acts by itself; then the hosts
 * are asked anew.
 *
 * Leave also ends before the job does, so that no death of the controller leaves it behind. An
 * agent that cannot end it (its disk is full) is asked a few times and no more: the next move of
 * the VM has a higher epoch, which makes this one's leave worthless, and it expires. */
static gboolean must_fence(const GwMove *move, GwSettle settle)
{
    gboolean destroys =
        settle == GW_SETTLE_DESTROY_SOURCE || settle == GW_SETTLE_DESTROY_DESTINATION;

    return move->job->through_agents && !move->fenced &&
           (destroys || (is_over(settle) && move->fences < FENCE_TRIES));
}

static void fence(GwMove *move, GwSettle before, const GwMoveEvent *event, GwMoveOutcome *outcome)
{
    gboolean cleaning = before == GW_SETTLE_COMMITTED;

    move->fences++;
    move->waits = 0;
    g_clear_pointer(&move->job->waiting_for, g_free);
    gw_move_act(move, GW_SETTLE_FENCE, cleaning ? GW_JOB_CLEANING : GW_JOB_SETTLING, event,
                is_over(before)
                    ? "the agents' leave for this move ends with it"
                    : "before anything is destroyed, the agents stop acting by themselves",
                outcome);
}

/* A restarted controller has not been told that the call returned. */
static gboolean lacks_figures(const GwMove *move, GwSettle settle)
{
    return settle == GW_SETTLE_UNDEFINE_SOURCE && !move->figures &&
           move->destination.side == GW_SIDE_RUNNING;
}

/* Says in the job's history who committed, where it was not a controller. */
static void credit_agents(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome)
{
    GwJob *job = move->job;
    gboolean was_left_paused = move->source.side == GW_SIDE_MIGRATING && !move->source.job_active;

    if (!job->through_agents || !job->commit_by_resume)
        return;
    if (event->destination.side == GW_SIDE_RUNNING && event->source.side != GW_SIDE_RUNNING &&
        !gw_move_was_committed(job))
        gw_move_enter(move, job->state, event, GW_MOVE_BY_DESTINATIONS_AGENT, outcome);
    if (event->source.side == GW_SIDE_RUNNING && was_left_paused &&
        move->settle != GW_SETTLE_RESUME_SOURCE)
        gw_move_enter(move, job->state, event,
                      "the source was resumed by its agent: the destination had nothing", outcome);
}

void gw_move_decide(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome)
{
    GwJob *job = move->job;
    const char *why = NULL;

    credit_agents(move, event, outcome);
    move->source = event->source;
    move->destination = event->destination;
    learn(move, event, outcome);
    GwIntent intent = {
        .rolling_back = !job->source_gives_way && (job->cancel_requested || job->error != NULL),
        .vm_persistent = job->vm_persistent,
        .source_old = job->source_old,
        .destination_old = job->destination_old,
        .unwatched = !job->commit_by_resume && !job->keep_source,
    };
    GwSettle settle = gw_reconcile(event->source, event->destination, intent, &why);
    if (job->keep_source || job->keep_destination)
        settle = answer_first(move, settle, &why);
    if (must_look_again(move, settle)) {
        gw_move_look(move, outcome);
        return;
    }
    if (job->doubled && settle != GW_SETTLE_WAIT && settle != GW_SETTLE_PAUSE_SOURCE)
        settle = GW_SETTLE_HOLD;
    if (settle == GW_SETTLE_PAUSE_SOURCE)
        job->doubled = TRUE;
    if (must_fence(move, settle)) {
        fence(move, settle, event, outcome);
        return;
    }
    if (lacks_figures(move, settle)) {
        gw_move_ask_figures(move, outcome);
        gw_move_look(move, outcome);
        return;
    }
    carry_out(move, settle, event, why, outcome);
}

void gw_move_answered(GwMove *move, GwSettle settle, const GwMoveEvent *event,
                      GwMoveOutcome *outcome)
{
    GwJob *job = move->job;

    job->doubled = FALSE;
    job->keep_source = settle == GW_SETTLE_DESTROY_DESTINATION;
    job->keep_destination = !job->keep_source;
    job->source_old = job->destination_old = job->source_gives_way = FALSE;
    job->cancel_requested = job->keep_source;
    g_clear_pointer(&job->waiting_for, g_free);
    move->settle = must_fence(move, settle) ? GW_SETTLE_FENCE : settle;
    move->repeats = 0;
    gw_life_add_effect(outcome, GW_DO_SETTLE);
    (void)event;
}

void gw_move_step_taken(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome)
{
    if (event->error != NULL)
        gw_life_replace(&move->job->waiting_for, event->error->message);
    else if (move->settle == GW_SETTLE_FENCE)
        move->fenced = TRUE;
    if (event->error == NULL && move->repeats == 0)
        gw_move_look(move, outcome);
    else
        move->times.wake_us = event->now_us + wait_span(move->repeats);
}
