/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "job/move_internal.h"
#include "job/tasks.h"

typedef enum {
    NOTHING,
    CHECK,
    PREPARE,
    MIGRATE,
    PROGRESS,
    ASK_PROGRESS,
    ABORT,
    ABORT_TOO_LONG,
    ABORT_STALLED,
    STOP_TOO_LONG, /* the same, before the copy began */
    APPLY_CHANGE,
    SWITCH_POST_COPY,
    LOOK,
    LOOK_FAILED, /* the event's error becomes the job's, then look */
    STEP_TAKEN,  /* look again: at once, or later where the step is being repeated */
    DECIDE,      /* what gw_reconcile says */
    KEEP_SOURCE, /* a person said so */
    KEEP_DESTINATION,
    NOTE_CANCEL, /* too late to abort, early enough to prefer the source */
    STOP,        /* the same, and what is being prepared is broken off */
    FAIL,
    CANCEL,
} Action;

#define ROW(s, e, n, a, w)                                                                         \
    {                                                                                              \
        GW_JOB_##s, GW_MOVE_##e, GW_JOB_##n, a, w                                                  \
    }

static const GwMoveRow rows[] = {
    ROW(QUEUED, SLOTS, CHECKING, CHECK, "slots are free at both ends"),
    ROW(QUEUED, CANCEL, CANCELLED, CANCEL, "nothing had begun"),
    ROW(QUEUED, RESTART, QUEUED, NOTHING, "nothing had begun"),

    ROW(CHECKING, CHECKED, PREPARING, PREPARE, "nothing forbids the move on fresh facts"),
    ROW(CHECKING, REFUSED, FAILED, FAIL, "preflight refused it"),
    ROW(CHECKING, MERGING, QUEUED, NOTHING, "a merge on a disk is to be over first"),
    ROW(CHECKING, CANCEL, CANCELLED, CANCEL, "nothing had begun"),
    ROW(CHECKING, RESTART, QUEUED, NOTHING, "nothing had begun"),

    ROW(PREPARING, PREPARED, COPYING, MIGRATE, "what recovery needs is saved"),
    ROW(PREPARING, NOT_PREPARED, SETTLING, LOOK_FAILED, "preparing failed"),
    /* What is being prepared comes to its end first: it would undo what settling restores. */
    ROW(PREPARING, CANCEL, PREPARING, STOP, "cancelled before the copy began"),
    ROW(PREPARING, TOO_LONG, PREPARING, STOP_TOO_LONG, "completion time-out"),
    ROW(PREPARING, RESTART, SETTLING, LOOK, "the controller restarted: ask the hosts"),

    ROW(COPYING, PROGRESS, COPYING, PROGRESS, "statistics"),
    ROW(COPYING, TIMER, COPYING, ASK_PROGRESS, "time to ask for statistics"),
    ROW(COPYING, NO_JOB, SETTLING, LOOK, "no migration is under way any more: ask the hosts"),
    ROW(COPYING, RETURNED, SETTLING, LOOK_FAILED, "libvirt returned: ask the hosts what is true"),
    ROW(COPYING, CANCEL, COPYING, ABORT, "asked to cancel"),
    ROW(COPYING, TOO_LONG, COPYING, ABORT_TOO_LONG, "completion time-out"),
    ROW(COPYING, STALLED, COPYING, ABORT_STALLED, "progress time-out"),
    ROW(COPYING, CHANGE, COPYING, APPLY_CHANGE, "new limits"),
    ROW(COPYING, POST_COPY, COPYING, SWITCH_POST_COPY, "asked to switch to post-copy"),
    ROW(COPYING, RESTART, SETTLING, LOOK, "the controller restarted: ask the hosts"),

    ROW(SETTLING, LOOKED, SETTLING, DECIDE, "the hosts' words decide"),
    ROW(SETTLING, ACTED, SETTLING, STEP_TAKEN, "a step was taken: ask again"),
    ROW(SETTLING, TIMER, SETTLING, LOOK, "ask again"),
    ROW(SETTLING, HOST_BACK, SETTLING, LOOK, "a host answers again"),
    ROW(SETTLING, CANCEL, SETTLING, NOTE_CANCEL, "asked to cancel"),
    ROW(SETTLING, RESTART, SETTLING, LOOK, "the controller restarted: ask the hosts"),

    ROW(COMMITTING, ACTED, SETTLING, STEP_TAKEN, "resumed: see whether it runs"),
    ROW(COMMITTING, TIMER, SETTLING, LOOK, "ask again"),
    ROW(COMMITTING, HOST_BACK, SETTLING, LOOK, "a host answers again"),
    ROW(COMMITTING, RESTART, SETTLING, LOOK, "the controller restarted: ask the hosts"),

    ROW(CLEANING, LOOKED, CLEANING, DECIDE, "the hosts' words decide"),
    ROW(CLEANING, ACTED, CLEANING, STEP_TAKEN, "a step was taken: ask again"),
    ROW(CLEANING, TIMER, CLEANING, LOOK, "ask again"),
    ROW(CLEANING, HOST_BACK, CLEANING, LOOK, "a host answers again"),
    ROW(CLEANING, RESTART, SETTLING, LOOK, "the controller restarted: ask the hosts"),

    ROW(HELD, KEEP_SOURCE, SETTLING, KEEP_SOURCE, "a person keeps the source"),
    ROW(HELD, KEEP_DESTINATION, SETTLING, KEEP_DESTINATION, "a person keeps the destination"),
    ROW(HELD, RESTART, HELD, NOTHING, "still waits for a person's answer"),
};

const GwMoveRow *gw_move_rows(guint *count)
{
    *count = G_N_ELEMENTS(rows);
    return rows;
}

GwMove *gw_move_new(GwJob *job, gint64 now_us)
{
    GwMove *move = g_new0(GwMove, 1);
    move->job = job;
    move->times.created_us = now_us;
    move->least_disk_bytes = move->least_memory_bytes = G_MAXINT64;
    return move;
}

void gw_move_free(GwMove *move)
{
    if (move == NULL)
        return;
    gw_job_free(move->job);
    g_free(move);
}

/* Small doings ---------------------------------------------------------------------------- */

static GwLifeMoment moment(const GwMoveEvent *event)
{
    return (GwLifeMoment){
        .event = gw_move_event_word(event->kind),
        .now_us = event->now_us,
        .wall_us = event->wall_us,
    };
}

void gw_move_enter(GwMove *move, GwJobState next, const GwMoveEvent *event, const char *why,
                   GwMoveOutcome *outcome)
{
    gw_life_enter(move->job, next, moment(event), why, outcome);
}

void gw_move_ask_figures(GwMove *move, GwMoveOutcome *outcome)
{
    move->figures = TRUE;
    gw_life_add_effect(outcome, GW_DO_STATS);
}

void gw_move_finish(GwMove *move, GwJobState state, const GwMoveEvent *event, const char *why,
                    GwMoveOutcome *outcome)
{
    gw_life_finish(move->job, &move->times, state, moment(event), why, outcome);
}

static gboolean has_tasks(const GwJob *job)
{
    return job->tasks != NULL && job->tasks->len > 0;
}

static void run_action(GwMove *move, const GwMoveRow *row, const GwMoveEvent *event,
                       GwMoveOutcome *outcome)
{
    GwJob *job = move->job;

    switch ((Action)row->action) {
    case NOTHING:
        break;
    case CHECK:
        gw_life_begin(job, &move->times, moment(event));
        gw_life_add_effect(outcome, GW_DO_CHECK);
        break;
    case PREPARE:
        gw_life_set_phase(move->job, "preparing");
        if (has_tasks(job))
            move->times.too_long_us = gw_life_due_after(event->now_us, job->completion_timeout_s);
        gw_life_add_effect(outcome, GW_DO_PREPARE);
        break;
    case MIGRATE:
        gw_move_begin_copy(move, event, outcome);
        move->calling = move->called = TRUE;
        gw_life_add_effect(outcome, GW_DO_MIGRATE);
        break;
    case PROGRESS:
        gw_move_take_progress(move, event, outcome);
        break;
    case ASK_PROGRESS:
        gw_move_ask_progress(move, event, outcome);
        break;
    case ABORT:
        job->cancel_requested = TRUE;
        gw_life_set_phase(move->job, "cancelling");
        gw_move_abort_copy(move, event, outcome);
        break;
    case ABORT_TOO_LONG:
        gw_move_abort_too_long(move, event, outcome);
        break;
    case ABORT_STALLED:
        gw_move_abort_stalled(move, event, outcome);
        break;
    case STOP_TOO_LONG:
        gw_move_stop_too_long(move, outcome);
        break;
    case APPLY_CHANGE:
        gw_life_add_effect(outcome, GW_DO_APPLY_CHANGE);
        break;
    case SWITCH_POST_COPY:
        gw_life_add_effect(outcome, GW_DO_POST_COPY);
        break;
    case LOOK_FAILED:
        move->calling = FALSE;
        /* A time-out's figures say more than libvirt's "aborted by user". */
        if (job->error == NULL)
            gw_life_take_error(job, event->error, NULL);
        if (event->kind == GW_MOVE_RETURNED && event->error == NULL)
            gw_move_ask_figures(move, outcome);
        gw_move_look(move, outcome);
        break;
    case LOOK:
        if (event->kind == GW_MOVE_RESTART)
            move->calling = FALSE;
        gw_move_look(move, outcome);
        break;
    case STEP_TAKEN:
        gw_move_step_taken(move, event, outcome);
        break;
    case DECIDE:
        gw_move_decide(move, event, outcome);
        break;
    case KEEP_SOURCE:
        gw_move_answered(move, GW_SETTLE_DESTROY_DESTINATION, event, outcome);
        break;
    case KEEP_DESTINATION:
        gw_move_answered(move, GW_SETTLE_DESTROY_SOURCE, event, outcome);
        break;
    case NOTE_CANCEL:
        job->cancel_requested = TRUE;
        break;
    case STOP:
        job->cancel_requested = TRUE;
        if (has_tasks(job))
            gw_life_add_effect(outcome, GW_DO_STOP);
        break;
    case FAIL:
        gw_life_take_error(job, event->error, NULL);
        gw_move_finish(move, GW_JOB_FAILED, event, row->why, outcome);
        break;
    case CANCEL:
        job->cancel_requested = TRUE;
        gw_life_set_error(job, "cancelled", "cancelled on request before it began", NULL);
        gw_move_finish(move, GW_JOB_CANCELLED, event, row->why, outcome);
        break;
    }
}

/* Steps that are worth a line of history although the state stays. */
static gboolean is_quiet(Action action)
{
    return action == STEP_TAKEN || action == PROGRESS || action == ASK_PROGRESS ||
           action == DECIDE || action == LOOK || action == FAIL || action == CANCEL;
}

gboolean gw_move_step(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome,
                      GError **error)
{
    *outcome = (GwMoveOutcome){ 0 };
    /* While our own call is out, only its return tells that the copy is over. */
    if (event->kind == GW_MOVE_NO_JOB && move->calling)
        return TRUE;

    gboolean called_off = event->kind == GW_MOVE_PREPARED &&
                          (move->job->cancel_requested || move->job->error != NULL);
    const GwMoveRow *row = gw_life_find(rows, G_N_ELEMENTS(rows), (GwJobState)move->job->state,
                                        called_off ? GW_MOVE_NOT_PREPARED : event->kind);
    if (row == NULL) {
        gw_life_refuse(move->job, gw_move_event_word(event->kind), error);
        return FALSE;
    }
    outcome->changed = TRUE;
    gboolean final = gw_job_state_is_final(row->next); /* finish() enters those */
    if (!final && ((int)row->next != move->job->state || !is_quiet(row->action)))
        gw_move_enter(move, row->next, event, row->why, outcome);
    run_action(move, row, event, outcome);
    return TRUE;
}

gint64 gw_move_next_us(const GwMove *move)
{
    return gw_life_next_us(&move->times);
}

gboolean gw_move_due(const GwMove *move, gint64 now_us, GwMoveEventKind *kind)
{
    gboolean copying = move->job->state == GW_JOB_COPYING;
    gboolean preparing = move->job->state == GW_JOB_PREPARING;

    if ((copying || preparing) && move->times.too_long_us != 0 && move->times.too_long_us <= now_us)
        *kind = GW_MOVE_TOO_LONG;
    else if (copying && move->times.stalled_us != 0 && move->times.stalled_us <= now_us)
        *kind = GW_MOVE_STALLED;
    else if (move->times.wake_us != 0 && move->times.wake_us <= now_us)
        *kind = GW_MOVE_TIMER;
    else
        return FALSE;
    return TRUE;
}

const char *gw_move_event_word(GwMoveEventKind kind)
{
    static const char *const words[GW_MOVE_EVENT_COUNT] = {
        "slots free",
        "checked",
        "refused",
        "merge running",
        "prepared",
        "not prepared",
        "call returned",
        "progress",
        "no job",
        "hosts asked",
        "step taken",
        "timer",
        "completion time-out",
        "progress time-out",
        "host back",
        "cancel",
        "change",
        "post-copy",
        "keep source",
        "keep destination",
        "restart",
    };
    return (guint)kind < GW_MOVE_EVENT_COUNT ? words[kind] : "unknown";
}
