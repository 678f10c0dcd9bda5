/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include "base/error.h"
#include "job/work.h"

/* The table of a job that is nothing but tasks: every row of it, what it refuses, and its ends. */

#define SECOND ((gint64)G_USEC_PER_SEC)

static GwWork *work_in(GwJobState state)
{
    GwJob *job = gw_job_new();
    GwTask *copy = gw_task_new(), *undefine = gw_task_new();

    job->id = g_strdup("J");
    job->kind = g_strdup(GW_JOB_KIND_TRANSFER);
    job->vm_name = g_strdup("web1");
    job->state = (int)state;
    job->completion_timeout_s = 800;
    job->progress_timeout_s = 150;
    job->tasks = gw_record_array(&gw_task_record);
    copy->kind = GW_TASK_VOLUME_COPY;
    copy->total_bytes = 1000;
    copy->target = g_strdup("vda");
    undefine->kind = GW_TASK_UNDEFINE;
    undefine->turn = GW_TASK_AFTER;
    g_ptr_array_add(job->tasks, copy);
    g_ptr_array_add(job->tasks, undefine);
    return gw_work_new(job, 1);
}

static GwWorkOutcome step_at(GwWork *work, GwWorkEventKind kind, const GError *why, gint64 now_us)
{
    GwWorkOutcome outcome;
    GwWorkEvent event = { .kind = kind, .error = why, .now_us = now_us, .wall_us = now_us };
    UNIT_OK(gw_work_step(work, &event, &outcome, error));
    return outcome;
}

static GwWorkOutcome step(GwWork *work, GwWorkEventKind kind)
{
    return step_at(work, kind, NULL, 5 * SECOND);
}

static GError *refusal(const char *words)
{
    GError *error = NULL;
    gw_error_set(&error, GW_ERR_OPERATION, "Free space.", "%s", words);
    return error;
}

static void is_effect(const GwWorkOutcome *outcome, GwWorkDo effect)
{
    assert_int_equal(outcome->count, 1);
    assert_string_equal(gw_work_do_word(outcome->effects[0]), gw_work_do_word(effect));
}

/* Each row is walked: it goes where it says, and what changes the state is journaled with a line of
 * history. Any other pair is refused and changes nothing. */
static void every_row_and_every_gap(void **state)
{
    guint count, walked = 0;
    const GwWorkRow *rows = gw_work_rows(&count);

    for (int from = GW_JOB_CHECKING; from <= GW_JOB_CANCELLED; from++) {
        for (int kind = 0; kind < GW_WORK_EVENT_COUNT; kind++) {
            const GwWorkRow *row = NULL;
            for (guint i = 0; i < count; i++) {
                if (rows[i].state == (GwJobState)from && rows[i].event == (GwWorkEventKind)kind) {
                    assert_null(row); /* one row for each pair */
                    row = &rows[i];
                }
            }
            g_autoptr(GwWork) work = work_in((GwJobState)from);
            g_autoptr(GError) why = refusal("disk full");
            g_autoptr(GError) refused = NULL;
            GwWorkOutcome outcome;
            GwWorkEvent event = {
                .kind = (GwWorkEventKind)kind, .error = why, .now_us = SECOND, .wall_us = SECOND
            };
            gboolean taken = gw_work_step(work, &event, &outcome, &refused);
            assert_int_equal(taken, row != NULL);
            if (row == NULL) {
                assert_true(g_error_matches(refused, GW_ERROR, GW_ERR_CONFLICT));
                assert_int_equal(work->job->state, from);
                assert_int_equal(outcome.count, 0);
                assert_null(work->job->steps);
                continue;
            }
            assert_int_equal(work->job->state, row->next);
            assert_true(strlen(row->why) > 0);
            if ((int)row->next != from) {
                assert_true(outcome.journal);
                assert_non_null(work->job->steps);
            }
            if (gw_job_state_is_final(row->next)) {
                assert_non_null(work->job->finished_at);
                assert_int_equal(gw_work_next_us(work), 0);
            }
            walked++;
        }
    }
    assert_int_equal(walked, count);
    (void)state;
}

/* No state but the final ones is without a way on after a restart. */
static void every_state_survives_a_restart(void **state)
{
    static const GwJobState states[] = { GW_JOB_QUEUED, GW_JOB_CHECKING, GW_JOB_COPYING,
                                         GW_JOB_COMMITTING, GW_JOB_SETTLING };
    for (guint i = 0; i < G_N_ELEMENTS(states); i++) {
        g_autoptr(GwWork) work = work_in(states[i]);
        step(work, GW_WORK_RESTART);
        assert_false(gw_job_state_is_final((GwJobState)work->job->state));
    }
    (void)state;
}

static void its_life(void **state)
{
    g_autoptr(GwWork) work = work_in(GW_JOB_QUEUED);
    GwWorkOutcome outcome = step(work, GW_WORK_SLOTS);
    is_effect(&outcome, GW_WORK_DO_CHECK);
    outcome = step(work, GW_WORK_CHECKED);
    is_effect(&outcome, GW_WORK_DO_COPY);
    assert_int_not_equal(gw_work_next_us(work), 0);
    outcome = step(work, GW_WORK_COPIED);
    is_effect(&outcome, GW_WORK_DO_LOOK);
    outcome = step(work, GW_WORK_UNCHANGED);
    is_effect(&outcome, GW_WORK_DO_COMMIT);
    outcome = step(work, GW_WORK_COMMITTED);
    assert_int_equal(outcome.count, 0); /* there was no leave */
    assert_int_equal(work->job->state, GW_JOB_DONE);
    assert_int_equal(work->job->progress->percent, 100);
    assert_null(work->job->error);
    assert_non_null(work->job->result);
    (void)state;
}

static void a_remark_stands_beside_done(void **state)
{
    g_autoptr(GwWork) work = work_in(GW_JOB_COMMITTING);
    g_autoptr(GError) why = refusal("starting the VM at kvm2: no KVM");
    gw_task_begin(work->job->tasks->pdata[1], FALSE);
    gw_task_pass(work->job->tasks->pdata[1], why);
    step(work, GW_WORK_COMMITTED);
    assert_int_equal(work->job->state, GW_JOB_DONE);
    assert_string_equal(work->job->error->message, "done, but: starting the VM at kvm2: no KVM");
    (void)state;
}

/* As often as it is tried, with growing pauses. */
static void refuse_undo(GwWork *work, const GError *why)
{
    gint64 now = SECOND;
    guint tries = 1;

    step_at(work, GW_WORK_NOT_UNDONE, why, now);
    for (; work->times.wake_us != 0 && tries < 100; tries++) {
        assert_int_equal(work->job->state, GW_JOB_SETTLING);
        assert_string_equal(work->job->waiting_for, why->message);
        now = work->times.wake_us;
        GwWorkOutcome outcome = step_at(work, GW_WORK_TIMER, NULL, now);
        is_effect(&outcome, GW_WORK_DO_UNDO);
        assert_int_equal(work->times.wake_us, 0);
        step_at(work, GW_WORK_NOT_UNDONE, why, now);
    }
    assert_int_equal(tries, 5);
}

static void what_failed_is_undone_and_told(void **state)
{
    g_autoptr(GwWork) work = work_in(GW_JOB_COPYING);
    g_autoptr(GError) full = refusal("disk full");
    g_autoptr(GError) left = refusal("the volume is in use");
    GwWorkOutcome outcome = step_at(work, GW_WORK_NOT_COPIED, full, SECOND);
    is_effect(&outcome, GW_WORK_DO_UNDO);
    assert_int_equal(work->job->state, GW_JOB_SETTLING);
    refuse_undo(work, left);
    assert_int_equal(work->job->state, GW_JOB_FAILED);
    assert_string_equal(work->job->error->message,
                        "disk full; something is left: the volume is in use");
    assert_string_equal(work->job->error->remedy, "Remove what is left: godwit job undo.");
    (void)state;
}

/* It was in the way for a moment only. */
static void what_was_refused_is_undone_later(void **state)
{
    g_autoptr(GwWork) work = work_in(GW_JOB_COPYING);
    g_autoptr(GError) full = refusal("disk full");
    g_autoptr(GError) used = refusal("the volume is in use");
    GwTask *copy = work->job->tasks->pdata[0];
    step_at(work, GW_WORK_NOT_COPIED, full, SECOND);
    gw_task_begin(copy, TRUE);
    gw_task_end(copy, used);
    step_at(work, GW_WORK_NOT_UNDONE, used, SECOND);
    step(work, GW_WORK_TIMER);
    assert_null(copy->why); /* so that it is undone again */
    step(work, GW_WORK_UNDONE);
    assert_int_equal(work->job->state, GW_JOB_FAILED);
    assert_string_equal(work->job->error->message, "disk full");
    assert_null(work->job->waiting_for);
    (void)state;
}

static void cancelled_while_it_copies(void **state)
{
    g_autoptr(GwWork) work = work_in(GW_JOB_COPYING);
    g_autoptr(GError) stopped = refusal("stopped on request");
    GwWorkOutcome outcome = step(work, GW_WORK_CANCEL);
    is_effect(&outcome, GW_WORK_DO_STOP);
    step_at(work, GW_WORK_NOT_COPIED, stopped, SECOND);
    step(work, GW_WORK_UNDONE);
    assert_int_equal(work->job->state, GW_JOB_CANCELLED);
    assert_string_equal(work->job->error->code, "cancelled");
    (void)state;
}

/* The last task ended before it could be stopped; the controller died before it was. */
static void a_cancel_is_heeded_by_what_comes_next(void **state)
{
    static const GwWorkEventKind next[] = { GW_WORK_COPIED, GW_WORK_UNCHANGED, GW_WORK_RESTART };

    for (guint i = 0; i < G_N_ELEMENTS(next); i++) {
        g_autoptr(GwWork) work = work_in(GW_JOB_COPYING);
        step(work, GW_WORK_CANCEL);
        GwWorkOutcome outcome = step(work, next[i]);
        is_effect(&outcome, GW_WORK_DO_UNDO);
        step(work, GW_WORK_UNDONE);
        assert_int_equal(work->job->state, GW_JOB_CANCELLED);
    }
    (void)state;
}

static void started_under_us(void **state)
{
    g_autoptr(GwWork) work = work_in(GW_JOB_COPYING);
    GwWorkOutcome outcome = step(work, GW_WORK_STARTED);
    is_effect(&outcome, GW_WORK_DO_STOP);
    step(work, GW_WORK_NOT_COPIED);
    step(work, GW_WORK_UNDONE);
    assert_int_equal(work->job->state, GW_JOB_FAILED);
    assert_non_null(strstr(work->job->error->message, "'web1' was started"));
    assert_non_null(work->job->error->remedy);
    (void)state;
}

/* R60: bytes and tasks both count as progress; waiting does not. */
static void it_stalls(void **state)
{
    g_autoptr(GwWork) work = work_in(GW_JOB_CHECKING);
    GwTask *copy = work->job->tasks->pdata[0];
    GwWorkEventKind kind;
    gint64 now = 10 * SECOND;

    step_at(work, GW_WORK_CHECKED, NULL, now);
    gw_task_begin(copy, FALSE);
    for (int i = 1; i <= 4; i++) {
        copy->copied_bytes = i * 100;
        now += 100 * SECOND;
        assert_true(gw_work_due(work, now, &kind));
        assert_int_equal(kind, GW_WORK_TIMER);
        GwWorkOutcome outcome = step_at(work, kind, NULL, now);
        assert_false(outcome.journal);
    }
    now += 149 * SECOND;
    step_at(work, GW_WORK_TIMER, NULL, now);
    assert_false(gw_work_due(work, now, &kind));
    now += SECOND;
    assert_true(gw_work_due(work, now, &kind));
    assert_int_equal(kind, GW_WORK_STALLED);
    g_free(work->job->waiting_for);
    work->job->waiting_for = g_strdup("host 'kvm2' to answer");
    GwWorkOutcome outcome = step_at(work, kind, NULL, now);
    is_effect(&outcome, GW_WORK_DO_STOP);
    assert_string_equal(work->job->error->code, "timeout");
    assert_string_equal(work->job->error->message,
                        "no progress for 150 s (progress time-out); it waited for: host 'kvm2' to "
                        "answer");
    (void)state;
}

static void it_takes_too_long(void **state)
{
    g_autoptr(GwWork) work = work_in(GW_JOB_CHECKING);
    GwWorkEventKind kind;

    work->job->progress_timeout_s = 0;
    step_at(work, GW_WORK_CHECKED, NULL, SECOND);
    work->times.wake_us = 0;
    assert_false(gw_work_due(work, 800 * SECOND, &kind));
    assert_true(gw_work_due(work, 801 * SECOND, &kind));
    assert_int_equal(kind, GW_WORK_TOO_LONG);
    step_at(work, kind, NULL, 801 * SECOND);
    assert_non_null(strstr(work->job->error->message, "not complete after 800 s"));
    (void)state;
}

/* From the commit on it is tried again with growing pauses, never undone, and given up in the end
 * with the truth. */
static void a_commit_that_is_refused(void **state)
{
    g_autoptr(GwWork) work = work_in(GW_JOB_COMMITTING);
    g_autoptr(GError) why = refusal("definition is locked");
    gint64 now = SECOND, pause = 0;
    guint tries = 0;

    while (!gw_job_state_is_final((GwJobState)work->job->state) && tries++ < 100) {
        step_at(work, GW_WORK_NOT_COMMITTED, why, now);
        if (work->job->state != (int)GW_JOB_COMMITTING)
            break;
        assert_string_equal(work->job->waiting_for, "definition is locked");
        assert_true(work->times.wake_us - now >= pause);
        pause = work->times.wake_us - now;
        now = work->times.wake_us;
        GwWorkOutcome outcome = step_at(work, GW_WORK_TIMER, NULL, now);
        is_effect(&outcome, GW_WORK_DO_COMMIT);
    }
    assert_int_equal(work->job->state, GW_JOB_FAILED);
    assert_int_equal(tries, 12);
    assert_true(now > 240 * SECOND);
    assert_non_null(strstr(work->job->error->message, "definition is locked; what was done"));
    (void)state;
}

static void a_commit_is_not_cancelled(void **state)
{
    g_autoptr(GwWork) work = work_in(GW_JOB_COMMITTING);
    g_autoptr(GError) late = NULL;
    GwWorkOutcome outcome;
    GwWorkEvent event = { .kind = GW_WORK_CANCEL };

    assert_false(gw_work_step(work, &event, &outcome, &late));
    assert_string_equal(late->message, "'cancel' is not possible while the job is committing");
    (void)state;
}

/* The agents' leave ends before the job, so that nobody forgets it: a refusal is tried again, but
 * does not hold up for ever what is over. */
static void the_leave_ends_first(void **state)
{
    g_autoptr(GError) refused = refusal("the agent's disk is full");
    g_autoptr(GError) left = refusal("the volume is in use");
    g_autoptr(GwWork) work = work_in(GW_JOB_SETTLING);

    work->job->through_agents = work->job->cancel_requested = TRUE;
    work->undos = 4; /* the last try */
    GwWorkOutcome outcome = step_at(work, GW_WORK_NOT_UNDONE, left, SECOND);
    is_effect(&outcome, GW_WORK_DO_CLOSE);
    assert_int_equal(work->job->state, GW_JOB_SETTLING);
    outcome = step_at(work, GW_WORK_CLOSED, refused, 2 * SECOND);
    assert_int_equal(outcome.count, 0);
    assert_int_equal(gw_work_next_us(work), 3 * SECOND);
    outcome = step_at(work, GW_WORK_TIMER, NULL, 3 * SECOND);
    is_effect(&outcome, GW_WORK_DO_CLOSE);
    assert_int_equal(gw_work_next_us(work), 0);
    outcome = step_at(work, GW_WORK_CLOSED, NULL, 4 * SECOND);
    assert_int_equal(outcome.count, 0);
    assert_int_equal(work->job->state, GW_JOB_CANCELLED);
    assert_non_null(strstr(work->job->error->message, "something is left: the volume is in use"));
    assert_null(work->job->waiting_for);
    (void)state;
}

static void an_agent_does_not_hold_up_what_is_over(void **state)
{
    g_autoptr(GError) refused = refusal("the agent's disk is full");
    g_autoptr(GwWork) work = work_in(GW_JOB_COMMITTING);
    guint asked;

    work->job->through_agents = TRUE;
    GwWorkOutcome outcome = step(work, GW_WORK_COMMITTED);
    for (asked = 0; work->job->state == (int)GW_JOB_COMMITTING && asked < 100; asked++) {
        is_effect(&outcome, GW_WORK_DO_CLOSE);
        step_at(work, GW_WORK_CLOSED, refused, SECOND);
        if (work->job->state == (int)GW_JOB_COMMITTING)
            outcome = step(work, GW_WORK_TIMER);
    }
    assert_int_equal(work->job->state, GW_JOB_DONE);
    assert_in_range(asked, 2, 10);
    assert_null(work->job->error);
    (void)state;
}

static void words_are_told_apart(void **state)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (int kind = 0; kind < GW_WORK_EVENT_COUNT; kind++)
        assert_true(g_hash_table_add(seen, (gpointer)gw_work_event_word((GwWorkEventKind)kind)));
    for (int effect = 0; effect < GW_WORK_DO_COUNT; effect++)
        assert_string_not_equal(gw_work_do_word((GwWorkDo)effect), "unknown");
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_and_every_gap),
        cmocka_unit_test(every_state_survives_a_restart),
        cmocka_unit_test(its_life),
        cmocka_unit_test(a_remark_stands_beside_done),
        cmocka_unit_test(what_failed_is_undone_and_told),
        cmocka_unit_test(what_was_refused_is_undone_later),
        cmocka_unit_test(cancelled_while_it_copies),
        cmocka_unit_test(a_cancel_is_heeded_by_what_comes_next),
        cmocka_unit_test(started_under_us),
        cmocka_unit_test(it_stalls),
        cmocka_unit_test(it_takes_too_long),
        cmocka_unit_test(a_commit_that_is_refused),
        cmocka_unit_test(a_commit_is_not_cancelled),
        cmocka_unit_test(the_leave_ends_first),
        cmocka_unit_test(an_agent_does_not_hold_up_what_is_over),
        cmocka_unit_test(words_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
