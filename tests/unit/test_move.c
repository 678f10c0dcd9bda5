/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "base/error.h"
#include "job/move.h"

/* The state table itself: each of its rows, and that nothing else is let in. */

static GwMove *move_in(GwJobState state)
{
    GwJob *job = gw_job_new();

    job->id = g_strdup("01J0000000000000000000TEST");
    job->kind = g_strdup("vm-migrate");
    job->title = g_strdup("Migrate web1 from kvm1 to kvm2");
    job->state = state;
    job->options = gw_move_options_new();
    job->vm_persistent = TRUE;
    job->completion_timeout_s = 100;
    job->progress_timeout_s = 10;
    return gw_move_new(job, 0);
}

static GwMoveEvent event_of(GwMoveEventKind kind, const GwProgress *progress, const GError *error)
{
    gboolean wrong = kind == GW_MOVE_REFUSED || kind == GW_MOVE_NOT_PREPARED;
    return (GwMoveEvent){
        .kind = kind,
        .now_us = G_USEC_PER_SEC,
        .wall_us = (gint64)1700000000 * G_USEC_PER_SEC,
        .progress = progress,
        .error = wrong ? error : NULL,
        .source = { .side = GW_SIDE_UNKNOWN },
        .destination = { .side = GW_SIDE_UNKNOWN },
    };
}

static const GwMoveRow *row_of(GwJobState state, GwMoveEventKind kind)
{
    guint count = 0;
    const GwMoveRow *rows = gw_move_rows(&count);

    for (guint i = 0; i < count; i++) {
        if (rows[i].state == state && rows[i].event == kind)
            return &rows[i];
    }
    return NULL;
}

static void try_pair(GwJobState state, GwMoveEventKind kind)
{
    g_autoptr(GwProgress) progress = gw_progress_new();
    g_autoptr(GError) cause = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GwMove) move = move_in(state);
    const GwMoveRow *row = row_of(state, kind);
    GwMoveOutcome outcome;

    gw_error_set(&cause, GW_ERR_REFUSED, "do this", "it does not fit");
    move->job->progress = gw_progress_new();
    GwMoveEvent event = event_of(kind, progress, cause);
    gboolean taken = gw_move_step(move, &event, &outcome, &error);

    if (row == NULL) {
        assert_false(taken);
        assert_true(g_error_matches(error, GW_ERROR, GW_ERR_CONFLICT));
        assert_non_null(gw_error_remedy(error));
        assert_int_equal(move->job->state, state);
        assert_int_equal(outcome.count, 0);
        return;
    }
    assert_true(taken);
    assert_int_equal(move->job->state, row->next);
    /* I5: a new state is journaled, with its line of history. */
    if (row->next != state) {
        assert_true(outcome.journal);
        const GwJobStep *step = move->job->steps->pdata[move->job->steps->len - 1];
        assert_string_equal(step->state, gw_enum_word(&gw_job_state_enum, (int)row->next));
        assert_true(strlen(step->why) > 0);
    }
    if (gw_job_state_is_final(move->job->state)) {
        assert_non_null(move->job->finished_at);
        assert_non_null(move->job->error);
        assert_int_equal(gw_move_next_us(move), 0);
    }
}

static void test_every_pair_of_state_and_event(void **unused)
{
    (void)unused;
    for (int state = 0; state <= GW_JOB_CANCELLED; state++) {
        for (int kind = 0; kind < GW_MOVE_EVENT_COUNT; kind++)
            try_pair((GwJobState)state, (GwMoveEventKind)kind);
    }
}

static void test_rows_are_unique_and_final_states_have_none(void **unused)
{
    guint count = 0;
    const GwMoveRow *rows = gw_move_rows(&count);
    (void)unused;

    for (guint i = 0; i < count; i++) {
        assert_ptr_equal(row_of(rows[i].state, rows[i].event), &rows[i]);
        assert_false(gw_job_state_is_final(rows[i].state));
        assert_true(strlen(rows[i].why) > 0);
    }
    for (int state = 0; state <= GW_JOB_HELD; state++)
        assert_non_null(row_of((GwJobState)state, GW_MOVE_RESTART));
}

static gboolean step(GwMove *move, GwMoveEvent event, GwMoveOutcome *outcome)
{
    return gw_move_step(move, &event, outcome, NULL);
}

static void feed(GwMove *move, gint64 now_us, gint64 processed, gint64 remaining)
{
    g_autoptr(GwProgress) progress = gw_progress_new();
    GwMoveOutcome outcome;

    progress->processed_bytes = processed;
    progress->remaining_bytes = remaining;
    progress->converging = TRUE;
    assert_true(step(
        move, (GwMoveEvent){ .kind = GW_MOVE_PROGRESS, .progress = progress, .now_us = now_us },
        &outcome));
    assert_false(outcome.journal);
}

static void test_percent_never_goes_back(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_PREPARING);
    GwMoveOutcome outcome;
    (void)unused;

    assert_true(step(move, (GwMoveEvent){ .kind = GW_MOVE_PREPARED, .now_us = 1 }, &outcome));
    feed(move, 2, 80, 20);
    assert_int_equal(move->job->progress->percent, 80);
    feed(move, 3, 90, 90); /* the guest dirtied what had been sent */
    assert_int_equal(move->job->progress->percent, 80);
    feed(move, 4, 500, 0);
    assert_int_equal(move->job->progress->percent, 99); /* 100 is for the far end to say (I6) */
}

/* R60: less left than ever before is progress; more sent is not. */
static void test_progress_timeout_counts_from_the_low_water_mark(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_PREPARING);
    const gint64 second = G_USEC_PER_SEC;
    GwMoveEventKind kind;
    GwMoveOutcome outcome;
    (void)unused;

    assert_true(step(move, (GwMoveEvent){ .kind = GW_MOVE_PREPARED, .now_us = second }, &outcome));
    feed(move, 2 * second, 10, 1000);
    feed(move, 8 * second, 2000, 900);
    for (gint64 at = 9; at < 18; at++)
        feed(move, at * second, 2000 + at * 100, 950);
    move->times.wake_us = 0;
    assert_false(gw_move_due(move, 17 * second, &kind));
    assert_true(gw_move_due(move, 18 * second, &kind));
    assert_int_equal(kind, GW_MOVE_STALLED);
}

static void test_cancel_is_repeated_until_it_has_its_effect(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_PREPARING);
    const gint64 second = G_USEC_PER_SEC;
    GwMoveOutcome outcome;
    guint aborts = 0;
    (void)unused;

    assert_true(step(move, (GwMoveEvent){ .kind = GW_MOVE_PREPARED, .now_us = second }, &outcome));
    assert_true(step(move, (GwMoveEvent){ .kind = GW_MOVE_CANCEL, .now_us = second }, &outcome));
    for (gint64 at = 2; at < 10; at++) {
        assert_true(
            step(move, (GwMoveEvent){ .kind = GW_MOVE_TIMER, .now_us = at * second }, &outcome));
        for (guint i = 0; i < outcome.count; i++)
            aborts += outcome.effects[i] == GW_DO_ABORT;
    }
    assert_in_range(aborts, 3, 5);
}

static void look(GwMove *move, gint64 now_us, GwSide source, GwSide destination,
                 GwMoveOutcome *outcome)
{
    assert_true(step(move,
                     (GwMoveEvent){ .kind = GW_MOVE_LOOKED,
                                    .now_us = now_us,
                                    .source = { .side = source },
                                    .destination = { .side = destination, .persistent = TRUE } },
                     outcome));
}

static void test_a_double_run_is_paused_and_held(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_SETTLING);
    GwMoveOutcome outcome;
    (void)unused;

    look(move, 1, GW_SIDE_RUNNING, GW_SIDE_RUNNING, &outcome);
    assert_int_equal(outcome.count, 2);
    assert_int_equal(outcome.effects[0], GW_DO_ALARM);
    assert_int_equal(outcome.effects[1], GW_DO_SETTLE);
    assert_int_equal(move->settle, GW_SETTLE_PAUSE_SOURCE);
    assert_true(step(move, (GwMoveEvent){ .kind = GW_MOVE_ACTED, .now_us = 2 }, &outcome));
    look(move, 3, GW_SIDE_PAUSED, GW_SIDE_RUNNING, &outcome);
    assert_int_equal(move->job->state, GW_JOB_HELD);
    assert_non_null(strstr(move->job->waiting_for, "job settle"));

    /* A person answers; only then is the source's copy destroyed. */
    assert_true(
        step(move, (GwMoveEvent){ .kind = GW_MOVE_KEEP_DESTINATION, .now_us = 4 }, &outcome));
    assert_int_equal(move->settle, GW_SETTLE_DESTROY_SOURCE);
}

static void test_a_step_without_effect_ends_in_a_question(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_SETTLING);
    GwMoveOutcome outcome;
    gint64 now = 1;
    (void)unused;

    for (int i = 0; i < 40 && move->job->state != GW_JOB_HELD; i++) {
        look(move, now++, GW_SIDE_ABSENT, GW_SIDE_PAUSED, &outcome);
        if (move->job->state == GW_JOB_HELD)
            break;
        assert_int_equal(move->settle, GW_SETTLE_RESUME_DESTINATION);
        assert_true(step(move, (GwMoveEvent){ .kind = GW_MOVE_ACTED, .now_us = now }, &outcome));
        if (move->times.wake_us != 0) {
            now = move->times.wake_us;
            move->times.wake_us = 0;
            assert_true(
                step(move, (GwMoveEvent){ .kind = GW_MOVE_TIMER, .now_us = now }, &outcome));
        }
    }
    assert_int_equal(move->job->state, GW_JOB_HELD);
    assert_true(now > 60 * G_USEC_PER_SEC); /* with pauses between, not in a rush */
}

/* Ordered to end, the source may be gone any moment: then the other one must still be there. */
static void test_a_late_cancel_does_not_end_both(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_SETTLING);
    GwMoveOutcome outcome;
    (void)unused;

    move->job->commit_by_resume = TRUE;
    look(move, 1, GW_SIDE_MIGRATING, GW_SIDE_PAUSED, &outcome);
    assert_int_equal(move->settle, GW_SETTLE_DESTROY_SOURCE);
    assert_true(step(move, (GwMoveEvent){ .kind = GW_MOVE_CANCEL, .now_us = 2 }, &outcome));
    look(move, 3, GW_SIDE_MIGRATING, GW_SIDE_PAUSED, &outcome);
    assert_int_equal(move->settle, GW_SETTLE_DESTROY_SOURCE);
    look(move, 4, GW_SIDE_OFF, GW_SIDE_PAUSED, &outcome);
    assert_int_equal(move->settle, GW_SETTLE_RESUME_DESTINATION);
}

/* I9: the source went on, wrote to its disk and stopped; the copy that waits is from before. */
static void test_old_memory_is_never_run(void **unused)
{
    g_autoptr(GwMove) at_source = move_in(GW_JOB_SETTLING);
    g_autoptr(GwMove) at_destination = move_in(GW_JOB_SETTLING);
    GwMoveOutcome outcome;
    (void)unused;

    at_source->job->commit_by_resume = TRUE;
    look(at_source, 1, GW_SIDE_RUNNING, GW_SIDE_UNKNOWN, &outcome);
    assert_true(outcome.journal);
    assert_true(at_source->job->destination_old);
    look(at_source, 2, GW_SIDE_OFF, GW_SIDE_PAUSED, &outcome);
    assert_int_equal(at_source->settle, GW_SETTLE_DESTROY_DESTINATION);

    look(at_destination, 1, GW_SIDE_UNKNOWN, GW_SIDE_RUNNING, &outcome);
    assert_true(at_destination->job->source_old);
    look(at_destination, 2, GW_SIDE_MIGRATING, GW_SIDE_OFF, &outcome);
    assert_int_equal(at_destination->settle, GW_SETTLE_DESTROY_SOURCE);
}

/* The answer outlives a controller that dies before it is carried out. */
static void test_a_persons_answer_stands(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_HELD);
    GwMoveOutcome outcome;
    (void)unused;

    move->job->doubled = TRUE;
    assert_true(step(move, (GwMoveEvent){ .kind = GW_MOVE_KEEP_SOURCE }, &outcome));
    assert_true(outcome.journal);
    g_autoptr(GwJson) stored = gw_record_to_json(&gw_job_record, move->job);
    g_autoptr(GwMove) again =
        gw_move_new(gw_record_from_stored(&gw_job_record, stored, NULL), G_USEC_PER_SEC);
    assert_true(step(again, (GwMoveEvent){ .kind = GW_MOVE_RESTART, .now_us = 2 }, &outcome));
    look(again, 3, GW_SIDE_PAUSED, GW_SIDE_RUNNING, &outcome);
    assert_int_equal(again->settle, GW_SETTLE_DESTROY_DESTINATION);
    look(again, 4, GW_SIDE_PAUSED, GW_SIDE_ABSENT, &outcome);
    look(again, 5, GW_SIDE_PAUSED, GW_SIDE_ABSENT, &outcome);
    assert_int_equal(again->settle, GW_SETTLE_RESUME_SOURCE);
}

/* I3: nothing is left to do when the job is over, whenever the controller dies. */
static void test_autostart_is_back_before_the_job_is_over(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_SETTLING);
    GwMoveOutcome outcome;
    GwMoveEvent event = { .kind = GW_MOVE_LOOKED,
                          .source = { .side = GW_SIDE_RUNNING, .persistent = TRUE },
                          .destination = { .side = GW_SIDE_ABSENT } };
    (void)unused;

    move->job->vm_autostart = TRUE;
    assert_true(step(move, event, &outcome));
    assert_int_equal(outcome.effects[0], GW_DO_LOOK); /* said twice, then believed */
    assert_true(step(move, event, &outcome));
    assert_int_equal(move->job->state, GW_JOB_SETTLING);
    assert_int_equal(move->settle, GW_SETTLE_AUTOSTART_SOURCE);
    event.source.autostart = TRUE;
    assert_true(step(move, event, &outcome));
    assert_int_equal(move->job->state, GW_JOB_FAILED);
    assert_int_equal(outcome.count, 0);
}

static void test_a_cancel_waits_for_what_is_being_prepared(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_PREPARING);
    GwMoveOutcome outcome;
    (void)unused;

    assert_true(step(move, (GwMoveEvent){ .kind = GW_MOVE_CANCEL }, &outcome));
    assert_true(outcome.journal);
    assert_int_equal(outcome.count, 0);
    assert_true(step(move, (GwMoveEvent){ .kind = GW_MOVE_PREPARED }, &outcome));
    assert_int_equal(move->job->state, GW_JOB_SETTLING);
    assert_int_equal(outcome.effects[0], GW_DO_LOOK);
}

/* Through agents ---------------------------------------------------------------------------- */

static GwMove *move_through_agents(void)
{
    GwMove *move = move_in(GW_JOB_SETTLING);
    move->job->through_agents = move->job->peer_to_peer = move->job->commit_by_resume = TRUE;
    move->job->progress = gw_progress_new();
    return move;
}

static void see(GwMove *move, gint64 now_us, GwSide source, GwSide destination,
                GwMoveOutcome *outcome)
{
    GwMoveEvent event = { .kind = GW_MOVE_LOOKED,
                          .now_us = now_us,
                          .source = { .side = source, .persistent = source != GW_SIDE_ABSENT },
                          .destination = { .side = destination,
                                           .persistent = destination != GW_SIDE_ABSENT } };
    assert_true(step(move, event, outcome));
}

static gboolean wants(const GwMoveOutcome *outcome, GwMoveDo effect)
{
    for (guint i = 0; i < outcome->count; i++) {
        if (outcome->effects[i] == effect)
            return TRUE;
    }
    return FALSE;
}

static gboolean has_step(const GwMove *move, const char *part)
{
    const GPtrArray *steps = move->job->steps;

    for (guint i = 0; steps != NULL && i < steps->len; i++) {
        if (strstr(((const GwJobStep *)steps->pdata[i])->why, part) != NULL)
            return TRUE;
    }
    return FALSE;
}

static void acted(GwMove *move, gint64 now_us, const GError *error, GwMoveOutcome *outcome)
{
    assert_true(step(move, (GwMoveEvent){ .kind = GW_MOVE_ACTED, .now_us = now_us, .error = error },
                     outcome));
}

/* Its agent may resume the source between our look and our step: both agents stop first. */
static void test_nothing_is_destroyed_before_the_agents_stopped(void **unused)
{
    g_autoptr(GwMove) move = move_through_agents();
    g_autoptr(GwMove) without = move_in(GW_JOB_SETTLING);
    g_autoptr(GError) refused = NULL;
    GwMoveOutcome outcome;
    (void)unused;

    without->job->commit_by_resume = TRUE;
    look(without, 1, GW_SIDE_MIGRATING, GW_SIDE_PAUSED, &outcome);
    assert_int_equal(without->settle, GW_SETTLE_DESTROY_SOURCE);

    gw_error_set(&refused, GW_ERR_TIMEOUT, "wait", "no answer");
    look(move, 1, GW_SIDE_MIGRATING, GW_SIDE_PAUSED, &outcome);
    assert_int_equal(move->settle, GW_SETTLE_FENCE);
    assert_true(outcome.journal);
    assert_true(wants(&outcome, GW_DO_SETTLE));
    for (gint64 now = 2; now < 30; now++) { /* however often one of them does not answer */
        acted(move, now * G_USEC_PER_SEC, refused, &outcome);
        look(move, now * G_USEC_PER_SEC, GW_SIDE_MIGRATING, GW_SIDE_PAUSED, &outcome);
        if (move->job->state == GW_JOB_HELD)
            break;
        assert_int_equal(move->settle, GW_SETTLE_FENCE);
    }
    assert_int_equal(move->job->state, GW_JOB_HELD);

    g_autoptr(GwMove) fenced = move_through_agents();
    look(fenced, 1, GW_SIDE_MIGRATING, GW_SIDE_PAUSED, &outcome);
    acted(fenced, 2, NULL, &outcome);
    assert_true(wants(&outcome, GW_DO_LOOK)); /* asked anew: the agent may have been faster */
    look(fenced, 3, GW_SIDE_MIGRATING, GW_SIDE_PAUSED, &outcome);
    assert_int_equal(fenced->settle, GW_SETTLE_DESTROY_SOURCE);
}

/* A person's answer is carried out by the same way. */
static void test_an_answer_waits_for_the_agents_too(void **unused)
{
    g_autoptr(GwMove) move = move_through_agents();
    GwMoveOutcome outcome;
    (void)unused;

    move->job->state = GW_JOB_HELD;
    assert_true(step(move, (GwMoveEvent){ .kind = GW_MOVE_KEEP_DESTINATION }, &outcome));
    assert_int_equal(move->settle, GW_SETTLE_FENCE);
    acted(move, 2, NULL, &outcome);
    look(move, 3, GW_SIDE_PAUSED, GW_SIDE_PAUSED, &outcome);
    assert_int_equal(move->settle, GW_SETTLE_DESTROY_SOURCE);
}

static void test_the_leave_ends_before_the_job(void **unused)
{
    g_autoptr(GwMove) move = move_through_agents();
    g_autoptr(GwMove) stubborn = move_through_agents();
    g_autoptr(GError) full = NULL;
    GwMoveOutcome outcome;
    (void)unused;

    look(move, 1, GW_SIDE_ABSENT, GW_SIDE_RUNNING, &outcome);
    assert_int_equal(move->settle, GW_SETTLE_FENCE);
    assert_int_equal(move->job->state, GW_JOB_CLEANING);
    acted(move, 2, NULL, &outcome);
    look(move, 3, GW_SIDE_ABSENT, GW_SIDE_RUNNING, &outcome);
    assert_int_equal(move->job->state, GW_JOB_DONE);
    assert_true(has_step(move, "the destination was resumed by its agent"));

    /* An agent that cannot write does not hold a move that is over. */
    gw_error_set(&full, GW_ERR_STORE, "make room", "disk full");
    for (gint64 now = 1; now < 10 && stubborn->job->state != GW_JOB_DONE; now++) {
        look(stubborn, now, GW_SIDE_ABSENT, GW_SIDE_RUNNING, &outcome);
        if (stubborn->job->state == GW_JOB_CLEANING)
            acted(stubborn, now, full, &outcome);
    }
    assert_int_equal(stubborn->job->state, GW_JOB_DONE);
    assert_int_equal(stubborn->fences, 5);
}

/* Who committed is said only where it is known. */
static void test_a_controllers_commit_is_not_the_agents(void **unused)
{
    g_autoptr(GwMove) move = move_through_agents();
    GwMoveOutcome outcome;
    (void)unused;

    look(move, 1, GW_SIDE_MIGRATED, GW_SIDE_PAUSED, &outcome);
    assert_int_equal(move->settle, GW_SETTLE_RESUME_DESTINATION);
    acted(move, 2, NULL, &outcome);
    g_autoptr(GwJson) stored = gw_record_to_json(&gw_job_record, move->job);
    g_autoptr(GwMove) again =
        gw_move_new(gw_record_from_stored(&gw_job_record, stored, NULL), G_USEC_PER_SEC);
    assert_true(step(again, (GwMoveEvent){ .kind = GW_MOVE_RESTART, .now_us = 3 }, &outcome));
    look(again, 4, GW_SIDE_MIGRATED, GW_SIDE_RUNNING, &outcome);
    assert_false(has_step(again, "by its agent"));
}

static void test_a_source_that_its_agent_resumed(void **unused)
{
    g_autoptr(GwMove) move = move_through_agents();
    GwMoveOutcome outcome;
    (void)unused;

    see(move, 1, GW_SIDE_MIGRATING, GW_SIDE_ABSENT, &outcome); /* to be said twice */
    see(move, 2, GW_SIDE_RUNNING, GW_SIDE_ABSENT, &outcome);
    assert_true(has_step(move, "the source was resumed by its agent"));
    see(move, 3, GW_SIDE_RUNNING, GW_SIDE_ABSENT, &outcome);
    acted(move, 4, NULL, &outcome); /* the leave has ended */
    see(move, 5, GW_SIDE_RUNNING, GW_SIDE_ABSENT, &outcome);
    assert_int_equal(move->job->state, GW_JOB_FAILED);
}

/* The hypervisor's figures go with the source's definition; a controller that was dead when the
 * call returned asks for them before. */
static void test_figures_are_asked_for_after_a_restart(void **unused)
{
    g_autoptr(GwMove) move = move_through_agents();
    GwMoveOutcome outcome;
    (void)unused;

    assert_true(step(move, (GwMoveEvent){ .kind = GW_MOVE_RESTART, .now_us = 1 }, &outcome));
    look(move, 2, GW_SIDE_MIGRATED, GW_SIDE_RUNNING, &outcome);
    assert_true(wants(&outcome, GW_DO_STATS));
    assert_true(wants(&outcome, GW_DO_LOOK));
    assert_false(wants(&outcome, GW_DO_SETTLE));
    look(move, 3, GW_SIDE_MIGRATED, GW_SIDE_RUNNING, &outcome);
    assert_false(wants(&outcome, GW_DO_STATS));
    assert_int_equal(move->settle, GW_SETTLE_UNDEFINE_SOURCE);
}

/* Nothing else than the agents leads from one host to the other. */
static void test_there_is_no_second_way_around_agents(void **unused)
{
    g_autoptr(GwMove) move = move_through_agents();
    g_autoptr(GError) broke = NULL;
    GwMoveOutcome outcome;
    (void)unused;

    move->job->state = GW_JOB_PREPARING;
    assert_true(step(move, (GwMoveEvent){ .kind = GW_MOVE_PREPARED, .now_us = 1 }, &outcome));
    gw_error_set(&broke, GW_ERR_OPERATION, NULL, "stream broke");
    assert_true(step(move, (GwMoveEvent){ .kind = GW_MOVE_RETURNED, .now_us = 2, .error = broke },
                     &outcome));
    for (gint64 now = 3; now < 8 && move->job->state == GW_JOB_SETTLING; now++) {
        see(move, now, GW_SIDE_RUNNING, GW_SIDE_ABSENT, &outcome);
        if (move->settle == GW_SETTLE_FENCE && !move->fenced)
            acted(move, now, NULL, &outcome);
    }
    assert_int_equal(move->job->state, GW_JOB_FAILED);
    assert_true(move->job->peer_to_peer);
    assert_non_null(strstr(move->job->error->message, "stream broke"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair_of_state_and_event),
        cmocka_unit_test(test_rows_are_unique_and_final_states_have_none),
        cmocka_unit_test(test_percent_never_goes_back),
        cmocka_unit_test(test_progress_timeout_counts_from_the_low_water_mark),
        cmocka_unit_test(test_cancel_is_repeated_until_it_has_its_effect),
        cmocka_unit_test(test_a_double_run_is_paused_and_held),
        cmocka_unit_test(test_a_step_without_effect_ends_in_a_question),
        cmocka_unit_test(test_a_late_cancel_does_not_end_both),
        cmocka_unit_test(test_old_memory_is_never_run),
        cmocka_unit_test(test_a_persons_answer_stands),
        cmocka_unit_test(test_autostart_is_back_before_the_job_is_over),
        cmocka_unit_test(test_a_cancel_waits_for_what_is_being_prepared),
        cmocka_unit_test(test_nothing_is_destroyed_before_the_agents_stopped),
        cmocka_unit_test(test_an_answer_waits_for_the_agents_too),
        cmocka_unit_test(test_the_leave_ends_before_the_job),
        cmocka_unit_test(test_a_controllers_commit_is_not_the_agents),
        cmocka_unit_test(test_a_source_that_its_agent_resumed),
        cmocka_unit_test(test_figures_are_asked_for_after_a_restart),
        cmocka_unit_test(test_there_is_no_second_way_around_agents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
