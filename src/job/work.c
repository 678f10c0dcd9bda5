/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job/work_internal.h"

#include "base/error.h"

/* An agent that cannot end the leave: it expires, or the next epoch ends it. */
#define CLOSE_TRIES 5

typedef enum {
    NOTHING,
    CHECK,
    BEGIN,  /* the first BEFORE task */
    GO_ON,  /* after a restart: with the task that was under way */
    LOOK,   /* before the point of no return */
    COMMIT, /* from here on only forward */
    UNDO,   /* the event's error becomes the job's */
    UNDO_AGAIN,
    PAUSE_UNDO,  /* try again later, or say what is left */
    STOP_CANCEL, /* the tasks break off; NOT_COPIED follows */
    STOP_STARTED,
    STOP_TOO_LONG,
    STOP_STALLED,
    WATCH, /* whether anything moves */
    CHANGE,
    PAUSE, /* try again later, or give up */
    DONE,
    END_UNDONE,
    FAIL,
    CANCEL,
} Action;

#define ROW(s, e, n, a, w)                                                                         \
    {                                                                                              \
        GW_JOB_##s, GW_WORK_##e, GW_JOB_##n, a, w                                                  \
    }

static const GwWorkRow rows[] = {
    ROW(QUEUED, SLOTS, CHECKING, CHECK, "slots are free"),
    ROW(QUEUED, CANCEL, CANCELLED, CANCEL, "nothing had begun"),
    ROW(QUEUED, RESTART, QUEUED, NOTHING, "nothing had begun"),

    ROW(CHECKING, CHECKED, COPYING, BEGIN, "nothing forbids it on fresh facts"),
    ROW(CHECKING, REFUSED, FAILED, FAIL, "preflight refused it"),
    ROW(CHECKING, CANCEL, CANCELLED, CANCEL, "nothing had begun"),
    ROW(CHECKING, RESTART, QUEUED, NOTHING, "nothing had begun"),

    ROW(COPYING, COPIED, COPYING, LOOK, "all is copied: see whether all is as it was"),
    ROW(COPYING, UNCHANGED, COMMITTING, COMMIT, "all is as it was: from here on only forward"),
    ROW(COPYING, DISTURBED, SETTLING, UNDO, "it is not as it was: what was made is undone"),
    ROW(COPYING, NOT_COPIED, SETTLING, UNDO, "what was made is undone"),
    ROW(COPYING, STARTED, COPYING, STOP_STARTED, "the VM was started meanwhile"),
    ROW(COPYING, CANCEL, COPYING, STOP_CANCEL, "asked to cancel"),
    ROW(COPYING, TOO_LONG, COPYING, STOP_TOO_LONG, "completion time-out"),
    ROW(COPYING, STALLED, COPYING, STOP_STALLED, "progress time-out"),
    ROW(COPYING, TIMER, COPYING, WATCH, "see whether anything moves"),
    ROW(COPYING, CHANGE, COPYING, CHANGE, "new limits"),
    ROW(COPYING, RESTART, COPYING, GO_ON, "the controller restarted: go on where it was"),

    ROW(COMMITTING, COMMITTED, DONE, DONE, "all is where it belongs"),
    ROW(COMMITTING, NOT_COMMITTED, COMMITTING, PAUSE, "refused: try again later"),
    ROW(COMMITTING, TAKEN_BACK, SETTLING, UNDO, "refused, and nothing was done: undo the rest"),
    ROW(COMMITTING, TIMER, COMMITTING, COMMIT, "try again"),
    ROW(COMMITTING, RESTART, COMMITTING, COMMIT, "the controller restarted: go on where it was"),

    ROW(SETTLING, UNDONE, FAILED, END_UNDONE, "what was made is undone"),
    ROW(SETTLING, NOT_UNDONE, SETTLING, PAUSE_UNDO, "refused: try again later"),
    ROW(SETTLING, TIMER, SETTLING, UNDO_AGAIN, "try again"),
    ROW(SETTLING, CANCEL, SETTLING, NOTHING, "it is being undone already"),
    ROW(SETTLING, RESTART, SETTLING, UNDO_AGAIN, "the controller restarted: undo the rest"),
};

const GwWorkRow *gw_work_rows(guint *count)
{
    *count = G_N_ELEMENTS(rows);
    return rows;
}

GwWork *gw_work_new(GwJob *job, gint64 now_us)
{
    GwWork *work = g_new0(GwWork, 1);
    work->job = job;
    work->times.created_us = now_us;
    return work;
}

void gw_work_free(GwWork *work)
{
    if (work == NULL)
        return;
    gw_job_free(work->job);
    g_clear_error(&work->last_error);
    g_free(work);
}

/* Dispatch ---------------------------------------------------------------------------------- */

static void run_action(GwWork *work, const GwWorkRow *row, const GwWorkEvent *event,
                       GwWorkOutcome *outcome)
{
    GwJob *job = work->job;

    switch ((Action)row->action) {
    case NOTHING:
        break;
    case CHECK:
        gw_work_result(job);
        gw_life_begin(job, &work->times, gw_work_moment(event));
        gw_life_add_effect(outcome, GW_WORK_DO_CHECK);
        break;
    case BEGIN:
    case GO_ON:
        gw_work_begin_copy(work, event, outcome);
        break;
    case LOOK:
        work->looking = TRUE;
        gw_life_disarm(&work->times);
        gw_life_add_effect(outcome, GW_WORK_DO_LOOK);
        break;
    case COMMIT:
        gw_work_commit(work, event, outcome);
        break;
    case UNDO:
        gw_work_undo(work, event, outcome);
        break;
    case UNDO_AGAIN:
        gw_work_undo_again(work, outcome);
        break;
    case PAUSE_UNDO:
        gw_work_pause_undo(work, event, outcome);
        break;
    case STOP_CANCEL:
        job->cancel_requested = TRUE;
        gw_work_stop(work, outcome);
        break;
    case STOP_STARTED:
        gw_work_stop_started(work, outcome);
        break;
    case STOP_TOO_LONG:
        gw_work_stop_too_long(work, event, outcome);
        break;
    case STOP_STALLED:
        gw_work_stop_stalled(work, outcome);
        break;
    case WATCH:
        gw_work_watch(work, event);
        break;
    case CHANGE:
        gw_life_add_effect(outcome, GW_WORK_DO_CHANGE);
        break;
    case PAUSE:
        gw_work_pause_or_give_up(work, event, outcome);
        break;
    case DONE:
        gw_work_end_done(work, event, row->why, outcome);
        break;
    case END_UNDONE:
        gw_work_end_undone(work, event, row->why, outcome);
        break;
    case FAIL:
        gw_work_take_error(job, event->error);
        gw_work_finish(work, GW_JOB_FAILED, event, row->why, outcome);
        break;
    case CANCEL:
        job->cancel_requested = TRUE;
        gw_life_set_error(job, "cancelled", "cancelled on request before it began", NULL);
        gw_work_finish(work, GW_JOB_CANCELLED, event, row->why, outcome);
        break;
    }
}

/* Who called it off while the last copy ended, or before a restart, is heeded at the next step. */
static GwWorkEventKind as_called_off(const GwWork *work, GwWorkEventKind kind)
{
    const GwJob *job = work->job;
    gboolean off = job->state == GW_JOB_COPYING && (job->cancel_requested || job->error != NULL);

    if (off && (kind == GW_WORK_COPIED || kind == GW_WORK_RESTART || kind == GW_WORK_UNCHANGED))
        return GW_WORK_NOT_COPIED;
    return kind;
}

static gboolean is_quiet(Action action)
{
    return action == WATCH || action == FAIL || action == CANCEL || action == DONE ||
           action == END_UNDONE;
}

/* The end of the leave ---------------------------------------------------------------------- */

static gboolean is_end(const GwWork *work, Action action)
{
    return action == DONE || action == END_UNDONE ||
           (action == PAUSE && work->tries + 1 >= GW_WORK_COMMIT_TRIES) ||
           (action == PAUSE_UNDO && work->undos + 1 >= GW_WORK_UNDO_TRIES);
}

/* The agents' leave for copies of files ends before the job does, so that no death of the
 * controller leaves it behind. */
static gboolean must_close(const GwWork *work, Action action)
{
    const GwJob *job = work->job;

    return is_end(work, action) && !work->closed && job->through_agents &&
           g_strcmp0(job->kind, GW_JOB_KIND_TRANSFER) == 0;
}

static void close_leave(GwWork *work, const GwWorkEvent *last, GwWorkOutcome *outcome)
{
    work->closing = TRUE;
    work->last = last->kind;
    g_clear_error(&work->last_error);
    work->last_error = last->error != NULL ? g_error_copy(last->error) : NULL;
    gw_life_disarm(&work->times);
    gw_life_add_effect(outcome, GW_WORK_DO_CLOSE);
}

/* Asked a few times, and then it does not hold up a job that is over. */
static gboolean go_on_closing(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome,
                              GError **error)
{
    work->times.wake_us = 0;
    if (event->kind == GW_WORK_TIMER) {
        gw_life_add_effect(outcome, GW_WORK_DO_CLOSE);
        return TRUE;
    }
    if (event->error != NULL && ++work->closes < CLOSE_TRIES) {
        work->times.wake_us = event->now_us + (G_USEC_PER_SEC << (work->closes - 1));
        gw_life_replace(&work->job->waiting_for, event->error->message);
        outcome->changed = TRUE;
        return TRUE;
    }
    work->closing = FALSE;
    work->closed = TRUE;
    g_autoptr(GError) last_error = g_steal_pointer(&work->last_error);
    GwWorkEvent last = *event;
    last.kind = work->last;
    last.error = last_error;
    return gw_work_step(work, &last, outcome, error);
}

gboolean gw_work_step(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome,
                      GError **error)
{
    GwJobState state = (GwJobState)work->job->state;

    *outcome = (GwWorkOutcome){ 0 };
    if (work->closing && (event->kind == GW_WORK_CLOSED || event->kind == GW_WORK_TIMER))
        return go_on_closing(work, event, outcome, error);
    const GwWorkRow *row =
        gw_life_find(rows, G_N_ELEMENTS(rows), state, as_called_off(work, event->kind));
    if (row == NULL) {
        gw_life_refuse(work->job, gw_work_event_word(event->kind), error);
        return FALSE;
    }
    if (must_close(work, (Action)row->action)) {
        close_leave(work, event, outcome);
        return TRUE;
    }
    outcome->changed = row->action != WATCH;
    if (row->next != state || !is_quiet((Action)row->action)) {
        if (!gw_job_state_is_final(row->next)) /* gw_work_finish() enters those */
            gw_life_enter(work->job, row->next, gw_work_moment(event), row->why, outcome);
    }
    run_action(work, row, event, outcome);
    return TRUE;
}

gint64 gw_work_next_us(const GwWork *work)
{
    return gw_life_next_us(&work->times);
}

gboolean gw_work_due(const GwWork *work, gint64 now_us, GwWorkEventKind *kind)
{
    if (work->times.wake_us != 0 && work->times.wake_us <= now_us)
        *kind = GW_WORK_TIMER;
    else if (work->times.too_long_us != 0 && work->times.too_long_us <= now_us)
        *kind = GW_WORK_TOO_LONG;
    else if (work->times.stalled_us != 0 && work->times.stalled_us <= now_us)
        *kind = GW_WORK_STALLED;
    else
        return FALSE;
    return TRUE;
}

const char *gw_work_event_word(GwWorkEventKind kind)
{
    static const char *const words[GW_WORK_EVENT_COUNT] = {
        "slots free",        "checked",       "refused",    "copied",
        "not copied",        "unchanged",     "disturbed",  "started",
        "committed",         "not committed", "taken back", "undone",
        "not undone",        "leave ended",   "timer",      "completion time-out",
        "progress time-out", "cancel",        "change",     "restart",
    };
    return (guint)kind < GW_WORK_EVENT_COUNT ? words[kind] : "unknown";
}

const char *gw_work_do_word(GwWorkDo effect)
{
    static const char *const words[GW_WORK_DO_COUNT] = {
        "check", "copy", "look", "commit", "undo", "stop", "change", "close",
    };
    return (guint)effect < GW_WORK_DO_COUNT ? words[effect] : "unknown";
}
