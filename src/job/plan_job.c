/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job/plan_job.h"

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

static GwPlannedMove *move_at(const GwPlanJob *self, guint index)
{
    GPtrArray *moves = self->job->plan->moves;
    return moves != NULL && index < moves->len ? moves->pdata[index] : NULL;
}

static guint count(const GwPlanJob *self, GwPlannedState state)
{
    guint n = 0;

    for (guint i = 0; move_at(self, i) != NULL; i++)
        n += move_at(self, i)->state == (int)state;
    return n;
}

/* One that is being begun may have a job any moment: nothing ends before it is known. */
static guint under_way(const GwPlanJob *self)
{
    return count(self, GW_PLANNED_RUNNING) + self->beginning;
}

gboolean gw_plan_job_is_ready(const GwPlanJob *self, guint index)
{
    const GwPlannedMove *move = move_at(self, index);
    const GwPlanRequest *request = self->job->plan->request;
    gint64 limit = request != NULL ? request->moves_at_once : 0;

    if (move == NULL || move->state != (int)GW_PLANNED_WAITING || self->planning ||
        self->job->pause_requested || self->job->cancel_requested)
        return FALSE;
    if (limit > 0 && under_way(self) >= limit)
        return FALSE;
    if (move->after <= 0)
        return TRUE;
    const GwPlannedMove *before = move_at(self, (guint)(move->after - 1));
    return before != NULL && before->state == (int)GW_PLANNED_DONE;
}

/* How often a move of that VM failed, and the last time's words. */
static guint failures_of(const GwPlanJob *self, const char *uuid, const char **error)
{
    guint n = 0;

    for (guint i = 0; move_at(self, i) != NULL; i++) {
        const GwPlannedMove *move = move_at(self, i);
        if (move->state != (int)GW_PLANNED_FAILED || g_strcmp0(move->vm_uuid, uuid) != 0)
            continue;
        n++;
        *error = move->error;
    }
    return n;
}

static void add_stay(GPtrArray *stays, const GwPlannedMove *move, const char *why)
{
    GwPlannedStay *stay = gw_planned_stay_new();

    stay->vm_uuid = g_strdup(move->vm_uuid);
    stay->vm_name = g_strdup(move->vm_name);
    stay->host_id = g_strdup(move->source_host_id);
    stay->host_name = g_strdup(move->source_host_name);
    stay->why = g_strdup(why);
    g_ptr_array_add(stays, stay);
}

/* The moves of @plan that are still tried go behind those of the job's that have begun; numbers in
 * @after move along. Returns how many were taken. */
static guint append(const GwPlanJob *self, GPtrArray *moves, const GwMigrationPlan *plan,
                    GPtrArray *stays)
{
    guint len = plan->moves != NULL ? plan->moves->len : 0, taken = 0;
    g_autofree gint64 *place = g_new0(gint64, len + 1); /* number in @plan -> number in @moves */

    for (guint i = 0; i < len; i++) {
        const GwPlannedMove *planned = plan->moves->pdata[i];
        const char *error = NULL;
        guint failures = failures_of(self, planned->vm_uuid, &error);
        gboolean orphan = planned->after > 0 && place[MIN(planned->after, len)] == 0;
        if (failures >= GW_PLAN_JOB_TRIES) {
            add_stay(stays, planned, error);
            continue;
        }
        if (orphan)
            continue; /* what it waits for is given up; planned anew once more at the end */
        GwPlannedMove *move = gw_planned_move_copy(planned);
        move->state = GW_PLANNED_WAITING;
        move->tries = failures;
        move->after = planned->after > 0 ? place[MIN(planned->after, len)] : 0;
        g_ptr_array_add(moves, move);
        place[i + 1] = moves->len;
        taken++;
    }
    return taken;
}

/* What is on its way stays for the planner, not for who looks at the job. */
static gboolean is_moving(const GwPlanJob *self, const char *vm_uuid)
{
    for (guint i = 0; move_at(self, i) != NULL; i++) {
        if (move_at(self, i)->state == (int)GW_PLANNED_RUNNING &&
            g_strcmp0(move_at(self, i)->vm_uuid, vm_uuid) == 0)
            return TRUE;
    }
    return FALSE;
}

static guint take_plan(GwPlanJob *self, const GwMigrationPlan *plan)
{
    GwMigrationPlan *own = self->job->plan;
    GPtrArray *moves = gw_record_array(&gw_planned_move_record);
    GPtrArray *stays = gw_record_array(&gw_planned_stay_record);

    /* What never began is gone from the plan: only what was done, or tried, is history. */
    for (guint i = 0; move_at(self, i) != NULL; i++) {
        GwPlannedMove *move = move_at(self, i);
        if (move->state == (int)GW_PLANNED_WAITING)
            continue;
        GwPlannedMove *kept = gw_planned_move_copy(move);
        kept->after = 0; /* it has begun */
        g_ptr_array_add(moves, kept);
    }
    self->history = moves->len;
    guint taken = append(self, moves, plan, stays);
    for (guint i = 0; plan->stays != NULL && i < plan->stays->len; i++) {
        const GwPlannedStay *stay = plan->stays->pdata[i];
        if (!is_moving(self, stay->vm_uuid))
            g_ptr_array_add(stays, gw_planned_stay_copy(stay));
    }
    g_clear_pointer(&own->moves, g_ptr_array_unref);
    g_clear_pointer(&own->stays, g_ptr_array_unref);
    own->moves = moves;
    own->stays = stays;
    g_free(own->fingerprint);
    own->fingerprint = g_strdup(plan->fingerprint);
    return taken;
}

/* What became of the move, by its own job. */
static void take_state(GwPlannedMove *move, const GwJob *child)
{
    if (!gw_job_state_is_final(child->state)) {
        move->state = GW_PLANNED_RUNNING;
    } else if (child->state == (int)GW_JOB_DONE) {
        move->state = GW_PLANNED_DONE;
    } else {
        move->state = GW_PLANNED_FAILED;
        g_free(move->error);
        move->error = g_strdup(child->error != NULL ? child->error->message : "it failed");
    }
}

static GwPlannedMove *move_of(GwPlanJob *self, const GwJob *child)
{
    GwPlannedMove *found = NULL;

    for (guint i = 0; move_at(self, i) != NULL; i++) {
        GwPlannedMove *move = move_at(self, i);
        if (g_strcmp0(move->job_id, child->id) == 0)
            return move;
        if (found == NULL && move->job_id == NULL &&
            g_strcmp0(move->vm_uuid, child->vm_uuid) == 0 &&
            g_strcmp0(move->destination_host_id, child->destination_host_id) == 0)
            found = move;
    }
    return found;
}

void gw_plan_job_adopt(GwPlanJob *self, const GwJob *child)
{
    GwMigrationPlan *plan = self->job->plan;
    GwPlannedMove *move = move_of(self, child);

    if (move == NULL) {
        move = gw_planned_move_new();
        move->vm_uuid = g_strdup(child->vm_uuid);
        move->vm_name = g_strdup(child->vm_name);
        move->source_host_id = g_strdup(child->source_host_id);
        move->destination_host_id = g_strdup(child->destination_host_id);
        move->transfer = child->transfer;
        move->memory_kib = child->vm_memory_kib;
        if (plan->moves == NULL)
            plan->moves = gw_record_array(&gw_planned_move_record);
        g_ptr_array_add(plan->moves, move);
    }
    if (move->job_id == NULL)
        move->job_id = g_strdup(child->id);
    take_state(move, child);
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
    for (guint i = 0; move_at(self, i) != NULL; i++) {
        const GwPlannedMove *move = move_at(self, i);
        gint64 bytes = CLAMP(move->bytes, 1, BYTES_MAX);
        if (move->state == (int)GW_PLANNED_FAILED || move->state == (int)GW_PLANNED_SKIPPED)
            continue;
        all++;
        total += bytes;
        done += move->state == (int)GW_PLANNED_DONE ? bytes : 0;
    }
    /* A guest that dirties its memory sends more than was planned; the end is the move's to say. */
    done += CLAMP(self->sent_bytes, 0, count(self, GW_PLANNED_RUNNING) > 0 ? total - done : 0);
    job->progress->total_bytes = total;
    job->progress->processed_bytes = done;
    job->progress->remaining_bytes = total - done;
    job->progress->percent = total > 0 ? (gint64)(100.0 * (double)done / (double)total) : 0;
    job->progress->converging = TRUE;
    job->progress->eta_ms = time_left(job->plan, total, total - done);
    g_autofree char *note =
        g_strdup_printf("%u of %u moves done, %u under way", count(self, GW_PLANNED_DONE), all,
                        count(self, GW_PLANNED_RUNNING));
    gw_life_set_phase(job, phase);
    gw_life_replace(&job->progress->note, note);
}

/* Its ends ------------------------------------------------------------------------------------ */

static void finish(GwPlanJob *self, GwJobState state, const GwPlanJobEvent *event, const char *why,
                   GwPlanJobOutcome *outcome)
{
    GwJob *job = self->job;

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
    g_autofree char *others =
        stays->len > 1 ? g_strdup_printf("; and %u others", stays->len - 1) : g_strdup("");
    g_autofree char *message = g_strdup_printf(
        "%u VMs moved, %u could not: '%s' stays on %s: %s%s", count(self, GW_PLANNED_DONE),
        stays->len, first->vm_name, first->host_name, first->why, others);

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
    } else if (count(self, GW_PLANNED_WAITING) > 0) {
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
    GwPlannedMove *move = move_at(self, event->move);

    self->last_look = FALSE;
    if (event->error == NULL) {
        move->state = GW_PLANNED_DONE;
        self->failures = 0;
        return;
    }
    move->state = GW_PLANNED_FAILED;
    move->tries++;
    gw_life_replace(&move->error, event->error->message);
    plan_later(self, event->now_us); /* where it goes next, with the others */
}

static void take(GwPlanJob *self, const GwPlanJobEvent *event)
{
    self->planning = FALSE;
    self->last_look = take_plan(self, event->plan) == 0 && !event->held;
    if (event->held)
        plan_later(self, event->now_us); /* it may leave yet, or be gone then */
}

/* Dispatch ------------------------------------------------------------------------------------ */

static void run_action(GwPlanJob *self, const GwPlanJobRow *row, const GwPlanJobEvent *event,
                       GwPlanJobOutcome *outcome)
{
    GwJob *job = self->job;
    GwPlannedMove *move = move_at(self, event->move);

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
    go_on(self, event, outcome);
}

/* An event about a move that is not in the state that it speaks of comes too late. */
static gboolean is_about_a_move(const GwPlanJob *self, const GwPlanJobEvent *event)
{
    const GwPlannedMove *move = move_at(self, event->move);

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

gboolean gw_plan_job_step(GwPlanJob *self, const GwPlanJobEvent *event, GwPlanJobOutcome *outcome,
                          GError **error)
{
    GwJobState state = (GwJobState)self->job->state;
    const GwPlanJobRow *row = gw_life_find(rows, G_N_ELEMENTS(rows), state, event->kind);

    *outcome = (GwPlanJobOutcome){ .count = 0 };
    if (row == NULL || !is_about_a_move(self, event)) {
        gw_error_set(error, GW_ERR_CONFLICT, "Look at it: godwit job show.",
                     "'%s' does not fit a plan that is %s", gw_plan_job_event_word(event->kind),
                     gw_enum_word(&gw_job_state_enum, (int)state));
        return FALSE;
    }
    self->job->state = (int)row->next;
    if (!is_quiet((Action)row->action) && !gw_job_state_is_final(row->next))
        enter(self, row->next, event, row->why, outcome);
    run_action(self, row, event, outcome);
    return TRUE;
}
