/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job/work.h"

#include "base/error.h"

#define SECONDS(n) ((gint64)(n)*G_USEC_PER_SEC)
#define WATCH_US SECONDS(2)
#define COMMIT_TRIES 12 /* some five minutes */
#define UNDO_TRIES 5
#define PAUSE_MAX_US SECONDS(60)
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
    work->created_us = now_us;
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

/* Small doings ------------------------------------------------------------------------------ */

static char *rfc3339(gint64 wall_us)
{
    g_autoptr(GDateTime) seconds = g_date_time_new_from_unix_utc(wall_us / G_USEC_PER_SEC);
    g_autofree char *text = g_date_time_format(seconds, "%Y-%m-%dT%H:%M:%S");
    return g_strdup_printf("%s.%03dZ", text, (int)(wall_us % G_USEC_PER_SEC / 1000));
}

static void add_effect(GwWorkOutcome *outcome, GwWorkDo effect)
{
    g_assert(outcome->count < GW_WORK_EFFECTS_MAX);
    outcome->effects[outcome->count++] = effect;
}

static void replace_string(char **slot, char *text)
{
    g_free(*slot);
    *slot = text;
}

static void set_phase(GwWork *work, const char *phase)
{
    if (work->job->progress == NULL)
        work->job->progress = gw_progress_new();
    replace_string(&work->job->progress->phase, g_strdup(phase));
}

static void set_error(GwJob *job, const char *code, const char *message, const char *remedy)
{
    gw_job_error_free(job->error);
    job->error = gw_job_error_new();
    job->error->code = g_strdup(code);
    job->error->message = g_strdup(message);
    job->error->remedy = g_strdup(remedy);
}

/* What was said first stays: the rest follows from it. */
static void take_error(GwJob *job, const GError *error)
{
    if (error == NULL || job->error != NULL)
        return;
    GwErrorCode code = error->domain == GW_ERROR ? (GwErrorCode)error->code : GW_ERR_INTERNAL;
    const char *remedy = gw_error_remedy(error);
    set_error(job, gw_error_code_word(code), error->message,
              remedy != NULL ? remedy : "Look at the hosts and their libvirtd, then try again.");
}

static void enter(GwWork *work, GwJobState next, const GwWorkEvent *event, const char *why,
                  GwWorkOutcome *outcome)
{
    GwJob *job = work->job;
    GwJobStep *step = gw_job_step_new();

    job->state = (int)next;
    step->at = rfc3339(event->wall_us);
    step->state = g_strdup(gw_enum_word(&gw_job_state_enum, (int)next));
    step->event = g_strdup(gw_work_event_word(event->kind));
    step->why = g_strdup(why);
    if (job->steps == NULL)
        job->steps = gw_record_array(&gw_job_step_record);
    g_ptr_array_add(job->steps, step);
    outcome->journal = TRUE;
}

static GwMoveResult *result_of(GwJob *job)
{
    if (job->result == NULL) {
        job->result = gw_move_result_new();
        job->result->downtime_ms = job->result->downtime_libvirt_ms = -1;
    }
    return job->result;
}

static void finish(GwWork *work, GwJobState state, const GwWorkEvent *event, const char *why,
                   GwWorkOutcome *outcome)
{
    GwJob *job = work->job;

    result_of(job)->total_ms = (event->now_us - work->created_us) / 1000;
    replace_string(&job->finished_at, rfc3339(event->wall_us));
    g_clear_pointer(&job->waiting_for, g_free);
    work->wake_us = work->too_long_us = work->stalled_us = 0;
    enter(work, state, event, why, outcome);
    set_phase(work, gw_enum_word(&gw_job_state_enum, (int)state));
    if (state == GW_JOB_DONE)
        job->progress->percent = 100;
    replace_string(&job->progress->note, NULL);
}

/* Copying ----------------------------------------------------------------------------------- */

static gint64 due_after(gint64 now_us, gint64 span_s)
{
    return span_s > 0 ? now_us + SECONDS(span_s) : 0;
}

static guint done_tasks(const GwJob *job)
{
    guint done = 0;

    for (guint i = 0; job->tasks != NULL && i < job->tasks->len; i++)
        done += ((const GwTask *)job->tasks->pdata[i])->state == GW_TASK_DONE;
    return done;
}

static void begin_copy(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome)
{
    const GwJob *job = work->job;

    work->started_us = event->now_us;
    work->too_long_us = due_after(event->now_us, job->completion_timeout_s);
    work->stalled_us = due_after(event->now_us, job->progress_timeout_s);
    work->wake_us = event->now_us + WATCH_US;
    work->done_tasks = done_tasks(job);
    gw_tasks_progress(job, &work->done_bytes, NULL);
    set_phase(work, "copying");
    add_effect(outcome, GW_WORK_DO_COPY);
}

static void watch(GwWork *work, const GwWorkEvent *event)
{
    gint64 bytes;
    guint tasks = done_tasks(work->job);

    gw_tasks_progress(work->job, &bytes, NULL);
    work->wake_us = event->now_us + WATCH_US;
    if (bytes <= work->done_bytes && tasks <= work->done_tasks)
        return;
    work->done_bytes = MAX(bytes, work->done_bytes);
    work->done_tasks = tasks;
    if (work->stalled_us != 0)
        work->stalled_us = due_after(event->now_us, work->job->progress_timeout_s);
}

static void stop(GwWork *work, GwWorkOutcome *outcome)
{
    work->too_long_us = work->stalled_us = 0;
    set_phase(work, "cancelling");
    add_effect(outcome, GW_WORK_DO_STOP);
}

static void stop_with(GwWork *work, const char *code, const char *message, const char *remedy,
                      GwWorkOutcome *outcome)
{
    if (!work->job->cancel_requested && work->job->error == NULL)
        set_error(work->job, code, message, remedy);
    stop(work, outcome);
}

static void stop_started(GwWork *work, GwWorkOutcome *outcome)
{
    g_autofree char *message =
        g_strdup_printf("'%s' was started while its disks were being copied, which must not change "
                        "meanwhile; it runs on where it is",
                        work->job->vm_name);
    stop_with(work, "conflict", message,
              "Move it as it runs (Live, or Live (VSM)), or shut it down and try again.", outcome);
}

static void stop_too_long(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome)
{
    gint64 done, total;
    gw_tasks_progress(work->job, &done, &total);
    g_autofree char *message = g_strdup_printf(
        "not complete after %" G_GINT64_FORMAT " s (completion time-out); %" G_GINT64_FORMAT
        " of %" G_GINT64_FORMAT " MiB copied",
        (event->now_us - work->started_us) / G_USEC_PER_SEC, done >> 20, total >> 20);
    stop_with(work, "timeout", message, "Give it more bandwidth, or a longer completion time-out.",
              outcome);
}

static void stop_stalled(GwWork *work, GwWorkOutcome *outcome)
{
    const GwJob *job = work->job;
    g_autofree char *message = g_strdup_printf(
        "no progress for %" G_GINT64_FORMAT " s (progress time-out)%s%s", job->progress_timeout_s,
        job->waiting_for != NULL ? "; it waited for: " : "",
        job->waiting_for != NULL ? job->waiting_for : "");
    stop_with(work, "timeout", message,
              "Check the hosts, their storage and the network between them.", outcome);
}

/* Its ends ---------------------------------------------------------------------------------- */

static void undo(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome)
{
    if (!work->job->cancel_requested)
        take_error(work->job, event->error);
    work->wake_us = work->too_long_us = work->stalled_us = 0;
    work->looking = FALSE;
    set_phase(work, "undoing");
    add_effect(outcome, GW_WORK_DO_UNDO);
}

static void undo_again(GwWork *work, GwWorkOutcome *outcome)
{
    work->wake_us = 0;
    gw_tasks_undo_again(work->job);
    set_phase(work, "undoing");
    add_effect(outcome, GW_WORK_DO_UNDO);
}

/* What was cancelled but could not be undone is cancelled all the same; what is left is said. */
static void end_undone(GwWork *work, const GwWorkEvent *event, const char *why,
                       GwWorkOutcome *outcome)
{
    GwJob *job = work->job;
    gboolean cancelled = job->cancel_requested;

    if (cancelled && job->error == NULL)
        set_error(job, "cancelled", "cancelled on request", NULL);
    if (job->error == NULL)
        set_error(job, "internal", "it failed without a reason", NULL);
    if (event->error != NULL) {
        replace_string(&job->error->message,
                       g_strdup_printf("%s; something is left: %s", job->error->message,
                                       event->error->message));
        replace_string(&job->error->remedy, g_strdup("Remove what is left: godwit job undo."));
    }
    finish(work, cancelled ? GW_JOB_CANCELLED : GW_JOB_FAILED, event, why, outcome);
}

static void pause_undo(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome)
{
    if (++work->undos >= UNDO_TRIES) {
        end_undone(work, event, "what is left was refused too often", outcome);
        return;
    }
    work->wake_us = event->now_us + (G_USEC_PER_SEC << (work->undos - 1));
    replace_string(&work->job->waiting_for,
                   g_strdup(event->error != NULL ? event->error->message : "a host"));
}

static void commit(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome)
{
    if (work->started_us != 0 && work->job->state == GW_JOB_COMMITTING && work->tries == 0)
        result_of(work->job)->copy_ms = (event->now_us - work->started_us) / 1000;
    work->wake_us = work->too_long_us = work->stalled_us = 0;
    work->looking = FALSE;
    set_phase(work, "committing");
    add_effect(outcome, GW_WORK_DO_COMMIT);
}

static void pause_or_give_up(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome)
{
    GwJob *job = work->job;

    if (++work->tries < COMMIT_TRIES) {
        gint64 span = MIN(G_USEC_PER_SEC << work->tries, PAUSE_MAX_US);
        work->wake_us = event->now_us + span;
        replace_string(&job->waiting_for,
                       g_strdup(event->error != NULL ? event->error->message : "a host"));
        return;
    }
    take_error(job, event->error);
    if (job->error != NULL) {
        replace_string(&job->error->message,
                       g_strdup_printf("%s; what was done before that stands, and both copies of "
                                       "what was copied are there",
                                       job->error->message));
    }
    finish(work, GW_JOB_FAILED, event, "refused too often", outcome);
}

/* Moved is moved: what else did not work is told beside it. */
static void end_done(GwWork *work, const GwWorkEvent *event, const char *why,
                     GwWorkOutcome *outcome)
{
    GwJob *job = work->job;
    g_autofree char *remarks = gw_tasks_remarks(job);

    g_clear_pointer(&job->error, gw_job_error_free);
    if (remarks != NULL) {
        g_autofree char *message = g_strdup_printf("done, but: %s", remarks);
        set_error(job, "operation-failed", message, GW_TASKS_REMARKS_REMEDY);
    }
    finish(work, GW_JOB_DONE, event, remarks != NULL ? job->error->message : why, outcome);
}

/* Dispatch ---------------------------------------------------------------------------------- */

static void check(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome)
{
    GwJob *job = work->job;

    replace_string(&job->started_at, rfc3339(event->wall_us));
    g_clear_pointer(&job->waiting_for, g_free);
    result_of(job)->queued_ms = (event->now_us - work->created_us) / 1000;
    set_phase(work, "checking");
    add_effect(outcome, GW_WORK_DO_CHECK);
}

static void run_action(GwWork *work, const GwWorkRow *row, const GwWorkEvent *event,
                       GwWorkOutcome *outcome)
{
    GwJob *job = work->job;

    switch ((Action)row->action) {
    case NOTHING:
        break;
    case CHECK:
        check(work, event, outcome);
        break;
    case BEGIN:
    case GO_ON:
        begin_copy(work, event, outcome);
        break;
    case LOOK:
        work->looking = TRUE;
        work->wake_us = work->too_long_us = work->stalled_us = 0;
        add_effect(outcome, GW_WORK_DO_LOOK);
        break;
    case COMMIT:
        commit(work, event, outcome);
        break;
    case UNDO:
        undo(work, event, outcome);
        break;
    case UNDO_AGAIN:
        undo_again(work, outcome);
        break;
    case PAUSE_UNDO:
        pause_undo(work, event, outcome);
        break;
    case STOP_CANCEL:
        job->cancel_requested = TRUE;
        stop(work, outcome);
        break;
    case STOP_STARTED:
        stop_started(work, outcome);
        break;
    case STOP_TOO_LONG:
        stop_too_long(work, event, outcome);
        break;
    case STOP_STALLED:
        stop_stalled(work, outcome);
        break;
    case WATCH:
        watch(work, event);
        break;
    case CHANGE:
        add_effect(outcome, GW_WORK_DO_CHANGE);
        break;
    case PAUSE:
        pause_or_give_up(work, event, outcome);
        break;
    case DONE:
        end_done(work, event, row->why, outcome);
        break;
    case END_UNDONE:
        end_undone(work, event, row->why, outcome);
        break;
    case FAIL:
        take_error(job, event->error);
        finish(work, GW_JOB_FAILED, event, row->why, outcome);
        break;
    case CANCEL:
        job->cancel_requested = TRUE;
        set_error(job, "cancelled", "cancelled on request before it began", NULL);
        finish(work, GW_JOB_CANCELLED, event, row->why, outcome);
        break;
    }
}

static const GwWorkRow *find_row(GwJobState state, GwWorkEventKind kind)
{
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (rows[i].state == state && rows[i].event == kind)
            return &rows[i];
    }
    return NULL;
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
           (action == PAUSE && work->tries + 1 >= COMMIT_TRIES) ||
           (action == PAUSE_UNDO && work->undos + 1 >= UNDO_TRIES);
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
    work->wake_us = work->too_long_us = work->stalled_us = 0;
    add_effect(outcome, GW_WORK_DO_CLOSE);
}

/* Asked a few times, and then it does not hold up a job that is over. */
static gboolean go_on_closing(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome,
                              GError **error)
{
    work->wake_us = 0;
    if (event->kind == GW_WORK_TIMER) {
        add_effect(outcome, GW_WORK_DO_CLOSE);
        return TRUE;
    }
    if (event->error != NULL && ++work->closes < CLOSE_TRIES) {
        work->wake_us = event->now_us + (G_USEC_PER_SEC << (work->closes - 1));
        replace_string(&work->job->waiting_for, g_strdup(event->error->message));
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
    const GwWorkRow *row = find_row(state, as_called_off(work, event->kind));
    if (row == NULL) {
        gw_error_set(error, GW_ERR_CONFLICT, "Look at the job's state: godwit job show.",
                     "'%s' is not possible while the job is %s", gw_work_event_word(event->kind),
                     gw_enum_word(&gw_job_state_enum, (int)state));
        return FALSE;
    }
    if (must_close(work, (Action)row->action)) {
        close_leave(work, event, outcome);
        return TRUE;
    }
    outcome->changed = row->action != WATCH;
    if (row->next != state || !is_quiet((Action)row->action)) {
        if (!gw_job_state_is_final(row->next)) /* finish() enters those */
            enter(work, row->next, event, row->why, outcome);
    }
    run_action(work, row, event, outcome);
    return TRUE;
}

gint64 gw_work_next_us(const GwWork *work)
{
    const gint64 times[] = { work->wake_us, work->too_long_us, work->stalled_us };
    gint64 next = 0;

    for (guint i = 0; i < G_N_ELEMENTS(times); i++) {
        if (times[i] != 0 && (next == 0 || times[i] < next))
            next = times[i];
    }
    return next;
}

gboolean gw_work_due(const GwWork *work, gint64 now_us, GwWorkEventKind *kind)
{
    if (work->wake_us != 0 && work->wake_us <= now_us)
        *kind = GW_WORK_TIMER;
    else if (work->too_long_us != 0 && work->too_long_us <= now_us)
        *kind = GW_WORK_TOO_LONG;
    else if (work->stalled_us != 0 && work->stalled_us <= now_us)
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
