/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job/plan_job_internal.h"

#include <string.h>

#include "base/error.h"

#define SECONDS(n) ((gint64)(n)*G_USEC_PER_SEC)
#define LOOK_US SECONDS(5)   /* between looks at whether the plan still holds */
#define AGAIN_US SECONDS(10) /* after a move that failed, before what is left is planned anew */
#define AGAIN_MAX_US SECONDS(120)
/* A plan from a file says what it likes. */
#define LEFT_MAX_MS G_GINT64_CONSTANT(3600000000000)
#define BYTES_MAX ((gint64)1 << 48) /* of a move; those of all moves still can be added up */

typedef enum {
    NOTHING,
    BEGIN, /* the moves whose turn has come */
    NOTE_JOB,
    NOTE_END,
    NOTE_REFUSAL,
    PLAN, /* what is left, anew */
    TAKE, /* the new plan */
    LOOK, /* the timer: begin what may begin, plan anew where it is time */
    PAUSE,
    RESUME,
    STOP,   /* a cancel: the moves under way end first */
    CANCEL, /* nothing had begun */
} Action;

#define ROW(s, e, n, a, w)                                                                         \
    {                                                                                              \
        GW_JOB_##s, GW_PLAN_JOB_##e, GW_JOB_##n, a, w                                              \
    }

static const GwPlanJobRow rows[] = {
    ROW(QUEUED, BEGIN, COPYING, BEGIN, "the plan begins"),
    ROW(QUEUED, RESTART, COPYING, PLAN, "the controller restarted: see what is left"),
    ROW(QUEUED, PAUSE, QUEUED, PAUSE, "asked to pause before it began"),
    ROW(QUEUED, RESUME, QUEUED, RESUME, "asked to go on"),
    ROW(QUEUED, CANCEL, CANCELLED, CANCEL, "nothing had begun"),

    ROW(COPYING, BEGUN, COPYING, NOTE_JOB, "a move begins"),
    ROW(COPYING, ENDED, COPYING, NOTE_END, "a move is over"),
    ROW(COPYING, REFUSED, COPYING, NOTE_REFUSAL, "a move is refused"),
    ROW(COPYING, DRIFTED, COPYING, PLAN, "the plan does not hold any more"),
    ROW(COPYING, PLANNED, COPYING, TAKE, "what is left is planned anew"),
    ROW(COPYING, TIMER, COPYING, LOOK, "see what may begin"),
    ROW(COPYING, PAUSE, COPYING, PAUSE, "asked to pause: no further move begins"),
    ROW(COPYING, RESUME, COPYING, RESUME, "asked to go on"),
    ROW(COPYING, CANCEL, COPYING, STOP, "asked to cancel"),
    ROW(COPYING, RESTART, COPYING, PLAN, "the controller restarted: see what is left"),
};

const GwPlanJobRow *gw_plan_job_rows(guint *count)
{
    *count = G_N_ELEMENTS(rows);
    return rows;
}

static const char *const event_words[GW_PLAN_JOB_EVENT_COUNT] = {
    [GW_PLAN_JOB_BEGIN] = "begin",     [GW_PLAN_JOB_BEGUN] = "begun",
    [GW_PLAN_JOB_ENDED] = "ended",     [GW_PLAN_JOB_REFUSED] = "refused",
    [GW_PLAN_JOB_DRIFTED] = "drifted", [GW_PLAN_JOB_PLANNED] = "planned",
    [GW_PLAN_JOB_TIMER] = "timer",     [GW_PLAN_JOB_PAUSE] = "pause",
    [GW_PLAN_JOB_RESUME] = "resume",   [GW_PLAN_JOB_CANCEL] = "cancel",
    [GW_PLAN_JOB_RESTART] = "restart",
};

const char *gw_plan_job_event_word(GwPlanJobEventKind kind)
{
    return (guint)kind < GW_PLAN_JOB_EVENT_COUNT ? event_words[kind] : "?";
}

const char *gw_plan_job_do_word(GwPlanJobDo effect)
{
    static const char *const words[GW_PLAN_JOB_DO_COUNT] = {
        [GW_PLAN_JOB_DO_BEGIN] = "begin",
        [GW_PLAN_JOB_DO_PLAN] = "plan",
        [GW_PLAN_JOB_DO_CANCEL] = "cancel",
        [GW_PLAN_JOB_DO_FINISH] = "finish",
    };
    return (guint)effect < GW_PLAN_JOB_DO_COUNT ? words[effect] : "?";
}

GwPlanJob *gw_plan_job_new(GwJob *job, gint64 now_us)
{
    GwPlanJob *self = g_new0(GwPlanJob, 1);

    self->job = job;
    self->times.created_us = now_us;
    gw_plan_job_tally(job);
    return self;
}

void gw_plan_job_free(GwPlanJob *self)
{
    if (self == NULL)
        return;
    gw_job_free(self->job);
    g_free(self);
}

gint64 gw_plan_job_next_us(const GwPlanJob *self)
{
    return gw_life_next_us(&self->times);
}

/* The plan ------------------------------------------------------------------------------------ */

/* One that is being begun may have a job any moment: nothing ends before it is known. */
static guint under_way(const GwPlanJob *self)
{
    return gw_plan_job_count(self, GW_PLANNED_RUNNING) + self->beginning;
}

gboolean gw_plan_job_is_ready(const GwPlanJob *self, guint index)
{
    const GwPlannedMove *move = gw_plan_job_move(self, index);
    const GwPlanRequest *request = self->job->plan->request;
    gint64 limit = request != NULL ? request->moves_at_once : 0;

    if (move == NULL || move->state != (int)GW_PLANNED_WAITING || self->planning ||
        self->job->pause_requested || self->job->cancel_requested)
        return FALSE;
    if (limit > 0 && under_way(self) >= limit)
        return FALSE;
    if (move->after <= 0)
        return TRUE;
    const GwPlannedMove *before = gw_plan_job_move(self, (guint)(move->after - 1));
    return before != NULL && before->state == (int)GW_PLANNED_DONE;
}

/* Small doings -------------------------------------------------------------------------------- */

static GwLifeMoment moment(const GwPlanJobEvent *event)
{
    return (GwLifeMoment){
        .event = gw_plan_job_event_word(event->kind),
        .now_us = event->now_us,
        .wall_us = event->wall_us,
    };
}

/* What the history says of it: with what was wrong. */
static char *words(const GwPlanJobEvent *event, const char *why)
{
    return event->error != NULL ? g_strdup_printf("%s: %s", why, event->error->message)
                                : g_strdup(why);
}

static void enter(GwPlanJob *self, GwJobState next, const GwPlanJobEvent *event, const char *why,
                  GwPlanJobOutcome *outcome)
{
    g_autofree char *whole = words(event, why);
    gw_life_enter(self->job, next, moment(event), whole, outcome);
}

/* By the plan's own prediction of the whole; 0: nothing is predicted. */
static gint64 time_left(const GwMigrationPlan *plan, gint64 total, gint64 left)
{
    if (plan->total_ms == NULL || total <= 0)
        return 0;
    gint64 likely = CLAMP(plan->total_ms->likely, 0, LEFT_MAX_MS);
    return (gint64)((double)likely * (double)left / (double)total);
}

/* How far it all is: by bytes, since VMs differ. */
static void show_progress(GwPlanJob *self, const char *phase)
{
    GwJob *job = self->job;
    gint64 total = 0, done = 0;
    guint all = 0;

    if (job->progress == NULL)
        job->progress = gw_progress_new();
    const GwPlannedMove *move = NULL;
    for (guint i = 0; (move = gw_plan_job_move(self, i)) != NULL; i++) {
        gint64 bytes = CLAMP(move->bytes, 1, BYTES_MAX);
        if (move->state == (int)GW_PLANNED_FAILED || move->state == (int)GW_PLANNED_SKIPPED)
            continue;
        all++;
        total += bytes;
        done += move->state == (int)GW_PLANNED_DONE ? bytes : 0;
    }
    /* A guest that dirties its memory sends more than was planned; the end is the move's to say. */
    done += CLAMP(self->sent_bytes, 0,
                  gw_plan_job_count(self, GW_PLANNED_RUNNING) > 0 ? total - done : 0);
    job->progress->total_bytes = total;
    job->progress->processed_bytes = done;
    job->progress->remaining_bytes = total - done;
    job->progress->percent = total > 0 ? (gint64)(100.0 * (double)done / (double)total) : 0;
    job->progress->converging = TRUE;
    job->progress->eta_ms = time_left(job->plan, total, total - done);
    g_autofree char *note = g_strdup_printf("%u of %u moves done, %u under way",
                                            gw_plan_job_count(self, GW_PLANNED_DONE), all,
                                            gw_plan_job_count(self, GW_PLANNED_RUNNING));
    gw_life_set_phase(job, phase);
    gw_life_replace(&job->progress->note, note);
    gw_plan_job_tally(job);
}

/* Its ends ------------------------------------------------------------------------------------ */

static void finish(GwPlanJob *self, GwJobState state, const GwPlanJobEvent *event, const char *why,
                   GwPlanJobOutcome *outcome)
{
    GwJob *job = self->job;

    gw_plan_job_settle(self);
    if (job->result == NULL) {
        job->result = gw_move_result_new();
        job->result->downtime_ms = job->result->downtime_libvirt_ms = -1;
    }
    show_progress(self, gw_enum_word(&gw_job_state_enum, (int)state));
    if (state == GW_JOB_DONE)
        job->progress->percent = 100;
    g_autofree char *whole = words(event, why);
    gw_life_finish(job, &self->times, state, moment(event), whole, outcome);
    gw_life_add_effect(outcome, GW_PLAN_JOB_DO_FINISH);
}

static void fail_incomplete(GwPlanJob *self)
{
    const GPtrArray *stays = self->job->plan->stays;
    const GwPlannedStay *first = stays->pdata[0];
    g_autofree char *others = stays->len > 1 ? g_strdup_printf("; and %u other%s", stays->len - 1,
                                                               stays->len > 2 ? "s" : "")
                                             : g_strdup("");
    g_autofree char *message =
        g_strdup_printf("%u VMs moved, %u could not: '%s' stays on %s: %s%s",
                        gw_plan_job_count(self, GW_PLANNED_DONE), stays->len, first->vm_name,
                        first->host_name, first->why, others);

    gw_life_set_error(
        self->job, "operation-failed", message,
        "Look at each: godwit job show. Put right what stands in their way, then ask again: "
        "what has moved stays where it is.");
}

static void end(GwPlanJob *self, const GwPlanJobEvent *event, GwPlanJobOutcome *outcome)
{
    GwJob *job = self->job;

    if (job->cancel_requested) {
        gw_life_set_error(job, "cancelled",
                          "cancelled on request; what had moved stays where it is", NULL);
        finish(self, GW_JOB_CANCELLED, event, "no move is under way any more", outcome);
    } else if (job->plan->stays != NULL && job->plan->stays->len > 0) {
        fail_incomplete(self);
        finish(self, GW_JOB_FAILED, event, job->error->message, outcome);
    } else {
        finish(self, GW_JOB_DONE, event, "all have moved", outcome);
    }
}

/* What follows -------------------------------------------------------------------------------- */

static void plan_again(GwPlanJob *self, GwPlanJobOutcome *outcome)
{
    if (self->planning)
        return;
    self->planning = TRUE;
    self->again_us = 0;
    gw_life_add_effect(outcome, GW_PLAN_JOB_DO_PLAN);
}

/* After whatever happened: begin, plan, wait or end. */
static void go_on(GwPlanJob *self, const GwPlanJobEvent *event, GwPlanJobOutcome *outcome)
{
    GwJob *job = self->job;
    guint running = under_way(self);
    g_autoptr(GwProgress) before = job->progress != NULL ? gw_progress_copy(job->progress) : NULL;

    show_progress(self, job->cancel_requested  ? "cancelling"
                        : job->pause_requested ? "paused"
                                               : "moving VMs");
    /* A look that finds nothing new is no news: the job is as large as its plan. */
    outcome->changed = event->kind != GW_PLAN_JOB_TIMER ||
                       !gw_record_equal(&gw_progress_record, before, job->progress);
    self->times.wake_us = event->now_us + LOOK_US;
    if (job->cancel_requested) {
        if (running == 0 && !self->must_wait)
            end(self, event, outcome);
    } else if (job->pause_requested || self->planning) {
        return;
    } else if (self->again_us != 0 && self->again_us <= event->now_us) {
        plan_again(self, outcome);
    } else if (gw_plan_job_count(self, GW_PLANNED_WAITING) > 0) {
        gw_life_add_effect(outcome, GW_PLAN_JOB_DO_BEGIN);
    } else if (running == 0 && self->again_us == 0) {
        if (self->last_look)
            end(self, event, outcome);
        else
            plan_again(self, outcome);
    }
}

/* Planned anew, but not at once: hosts and other jobs need a moment. */
static void plan_later(GwPlanJob *self, gint64 now_us)
{
    self->failures++;
    self->again_us = now_us + MIN(AGAIN_US * (gint64)self->failures, AGAIN_MAX_US);
}

static void note_end(GwPlanJob *self, const GwPlanJobEvent *event)
{
    GwPlannedMove *move = gw_plan_job_move(self, event->move);

    self->last_look = FALSE;
    if (event->error == NULL) {
        move->state = GW_PLANNED_DONE;
        self->failures = 0;
        return;
    }
    move->state = GW_PLANNED_FAILED;
    move->tries++;
    gw_life_replace(&move->error, event->error->message);
    move->timed_out = g_error_matches(event->error, GW_ERROR, GW_ERR_TIMEOUT);
    plan_later(self, event->now_us); /* where it goes next, with the others */
}

static void take(GwPlanJob *self, const GwPlanJobEvent *event)
{
    self->planning = FALSE;
    self->job->plan_progress->planned_again++;
    self->last_look = gw_plan_job_take(self, event->plan) == 0 && !event->held;
    if (event->held)
        plan_later(self, event->now_us); /* it may leave yet, or be gone then */
}

/* Dispatch ------------------------------------------------------------------------------------ */

static void run_action(GwPlanJob *self, const GwPlanJobRow *row, const GwPlanJobEvent *event,
                       GwPlanJobOutcome *outcome)
{
    GwJob *job = self->job;
    GwPlannedMove *move = gw_plan_job_move(self, event->move);

    switch ((Action)row->action) {
    case NOTHING:
        break;
    case BEGIN:
        gw_life_start(job, moment(event));
        break;
    case NOTE_JOB:
        move->state = GW_PLANNED_RUNNING;
        gw_life_replace(&move->job_id, event->job_id);
        break;
    case NOTE_END:
    case NOTE_REFUSAL:
        note_end(self, event);
        break;
    case PLAN:
        self->last_look = FALSE;
        if (job->cancel_requested)
            gw_life_add_effect(outcome, GW_PLAN_JOB_DO_CANCEL);
        else
            plan_again(self, outcome);
        break;
    case TAKE:
        take(self, event);
        break;
    case LOOK:
        break;
    case PAUSE:
        job->pause_requested = TRUE;
        break;
    case RESUME:
        job->pause_requested = FALSE;
        self->last_look = FALSE; /* which may be long ago */
        break;
    case STOP:
        job->cancel_requested = TRUE;
        gw_life_add_effect(outcome, GW_PLAN_JOB_DO_CANCEL);
        break;
    case CANCEL:
        job->cancel_requested = TRUE;
        gw_life_set_error(job, "cancelled", "cancelled on request before it began", NULL);
        finish(self, GW_JOB_CANCELLED, event, row->why, outcome);
        return;
    }
    if (job->state == (int)GW_JOB_QUEUED)
        outcome->changed = TRUE; /* it begins by its turn in the queue */
    else
        go_on(self, event, outcome);
}

/* An event about a move that is not in the state that it speaks of comes too late. */
static gboolean is_about_a_move(const GwPlanJob *self, const GwPlanJobEvent *event)
{
    const GwPlannedMove *move = gw_plan_job_move(self, event->move);

    switch (event->kind) {
    case GW_PLAN_JOB_BEGUN:
    case GW_PLAN_JOB_REFUSED:
        return move != NULL && move->state == (int)GW_PLANNED_WAITING;
    case GW_PLAN_JOB_ENDED:
        return move != NULL && move->state == (int)GW_PLANNED_RUNNING;
    default:
        return TRUE;
    }
}

/* Moves that begin and end are told by their own jobs, which are durable: they are no steps of this
 * one's history, and cost no write of a plan that may have thousands of moves. */
static gboolean is_quiet(Action action)
{
    return action == NOTE_JOB || action == NOTE_END || action == LOOK;
}

/* What was asked for before is no step of its history, and begins nothing. */
static gboolean is_said_again(const GwJob *job, GwPlanJobEventKind kind)
{
    return (kind == GW_PLAN_JOB_PAUSE && job->pause_requested) ||
           (kind == GW_PLAN_JOB_RESUME && !job->pause_requested) ||
           (kind == GW_PLAN_JOB_CANCEL && job->cancel_requested);
}

/* What is being cancelled neither pauses nor goes on. */
static gboolean is_too_late(const GwJob *job, GwPlanJobEventKind kind)
{
    return (kind == GW_PLAN_JOB_PAUSE || kind == GW_PLAN_JOB_RESUME) && job->cancel_requested;
}

gboolean gw_plan_job_step(GwPlanJob *self, const GwPlanJobEvent *event, GwPlanJobOutcome *outcome,
                          GError **error)
{
    GwJobState state = (GwJobState)self->job->state;
    const GwPlanJobRow *row = gw_life_find(rows, G_N_ELEMENTS(rows), state, event->kind);

    *outcome = (GwPlanJobOutcome){ .count = 0 };
    if (row == NULL || !is_about_a_move(self, event) || is_too_late(self->job, event->kind)) {
        gw_error_set(error, GW_ERR_CONFLICT, "Look at it: godwit job show.",
                     "'%s' does not fit a plan that is %s", gw_plan_job_event_word(event->kind),
                     self->job->cancel_requested && !gw_job_state_is_final(state)
                         ? "being cancelled"
                         : gw_enum_word(&gw_job_state_enum, (int)state));
        return FALSE;
    }
    if (is_said_again(self->job, event->kind))
        return TRUE;
    self->job->state = (int)row->next;
    if (!is_quiet((Action)row->action) && !gw_job_state_is_final(row->next))
        enter(self, row->next, event, row->why, outcome);
    run_action(self, row, event, outcome);
    return TRUE;
}
