/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "base/error.h"
#include "job/move.h"
#include "job/tasks.h"

/* A live move whose disks are copied (R13): what becomes of the volumes, at each end of the table.
 */

#define SECOND ((gint64)G_USEC_PER_SEC)

static GwTask *add_task(GwJob *job, GwTaskKind kind, GwTaskTurn turn, GwTaskState state)
{
    GwTask *task = gw_task_new();

    task->kind = (int)kind;
    task->turn = (int)turn;
    task->state = (int)state;
    task->made = kind == GW_TASK_VOLUME_CREATE && state == GW_TASK_DONE;
    task->host_id = g_strdup(turn == GW_TASK_BEFORE ? "h2" : "h1");
    task->target = g_strdup("vda");
    task->volume = gw_volume_new();
    task->volume->path = g_strdup("/pool/web1.qcow2");
    g_ptr_array_add(job->tasks, task);
    return task;
}

/* One disk, whose volume was made at the destination. */
static GwMove *move_in(GwJobState state)
{
    GwJob *job = gw_job_new();
    GwDiskMove *disk = gw_disk_move_new();

    job->id = g_strdup("01J0000000000000000000TEST");
    job->kind = g_strdup(GW_JOB_KIND_MIGRATE);
    job->title = g_strdup("Migrate web1 from kvm1 to kvm2");
    job->state = (int)state;
    job->options = gw_move_options_new();
    job->progress = gw_progress_new();
    job->vm_persistent = job->commit_by_resume = TRUE;
    job->vm_memory_kib = 1024;
    job->completion_timeout_s = 100;
    job->progress_timeout_s = 10;
    disk->target = g_strdup("vda");
    disk->how = GW_DISK_MIRROR;
    disk->copy_bytes = 3 << 20;
    job->disks = gw_record_array(&gw_disk_move_record);
    g_ptr_array_add(job->disks, disk);
    job->tasks = gw_record_array(&gw_task_record);
    add_task(job, GW_TASK_VOLUME_CREATE, GW_TASK_BEFORE, GW_TASK_DONE);
    add_task(job, GW_TASK_VOLUME_KEEP, GW_TASK_AFTER, GW_TASK_TODO);
    return gw_move_new(job, 0);
}

static GwTask *task(const GwMove *move, guint index)
{
    return move->job->tasks->pdata[index];
}

static void step(GwMove *move, GwMoveEvent event, GwMoveOutcome *outcome)
{
    assert_true(gw_move_step(move, &event, outcome, NULL));
}

static void see(GwMove *move, GwSide source, GwSide destination, GwMoveOutcome *outcome)
{
    GwMoveEvent event = {
        .kind = GW_MOVE_LOOKED,
        .now_us = SECOND,
        .source = { .side = source, .persistent = source != GW_SIDE_ABSENT },
        .destination = { .side = destination, .persistent = destination != GW_SIDE_ABSENT },
    };
    step(move, event, outcome);
}

/* What relies on the destination having nothing is said twice. */
static void see_twice(GwMove *move, GwSide source, GwSide destination, GwMoveOutcome *outcome)
{
    see(move, source, destination, outcome);
    assert_int_equal(outcome->count, 1);
    assert_int_equal(outcome->effects[0], GW_DO_LOOK);
    see(move, source, destination, outcome);
}

static void acted(GwMove *move, const GError *error, GwMoveOutcome *outcome)
{
    step(move, (GwMoveEvent){ .kind = GW_MOVE_ACTED, .now_us = SECOND, .error = error }, outcome);
}

static gboolean wants(const GwMoveOutcome *outcome, GwMoveDo effect)
{
    for (guint i = 0; i < outcome->count; i++) {
        if (outcome->effects[i] == effect)
            return TRUE;
    }
    return FALSE;
}

static void undo_one(GwMove *move, const GError *error)
{
    GwTask *next = gw_tasks_next_undo(move->job);

    assert_non_null(next);
    gw_task_begin(next, TRUE);
    gw_task_end(next, error);
}

static void test_what_was_made_goes_before_the_job_fails(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_SETTLING);
    GwMoveOutcome outcome;
    (void)unused;

    see_twice(move, GW_SIDE_RUNNING, GW_SIDE_ABSENT, &outcome);
    assert_int_equal(move->job->state, GW_JOB_SETTLING);
    assert_int_equal(move->settle, GW_SETTLE_STORAGE_BACK);
    assert_true(outcome.journal); /* I5 */
    assert_true(wants(&outcome, GW_DO_SETTLE));
    undo_one(move, NULL);
    acted(move, NULL, &outcome);
    assert_true(wants(&outcome, GW_DO_LOOK));
    see(move, GW_SIDE_RUNNING, GW_SIDE_ABSENT, &outcome);
    assert_int_equal(move->job->state, GW_JOB_FAILED);
    assert_int_equal(task(move, 1)->state, GW_TASK_TODO); /* the old copy is the live one */
}

/* The VM could be on them: as long as anything of it is there, nothing is removed. */
static void test_nothing_is_removed_while_the_vm_is_at_the_destination(void **unused)
{
    static const GwSide there[] = { GW_SIDE_UNKNOWN, GW_SIDE_OFF,       GW_SIDE_MIGRATED,
                                    GW_SIDE_RUNNING, GW_SIDE_PAUSED,    GW_SIDE_MIGRATING,
                                    GW_SIDE_OTHER,   GW_SIDE_POST_COPY, GW_SIDE_COUNT };
    static const GwSide here[] = { GW_SIDE_UNKNOWN, GW_SIDE_ABSENT, GW_SIDE_OFF,  GW_SIDE_MIGRATED,
                                   GW_SIDE_RUNNING, GW_SIDE_PAUSED, GW_SIDE_COUNT };
    (void)unused;

    for (guint i = 0; there[i] != GW_SIDE_COUNT; i++) {
        for (guint j = 0; here[j] != GW_SIDE_COUNT; j++) {
            g_autoptr(GwMove) move = move_in(GW_JOB_SETTLING);
            GwMoveOutcome outcome;
            move->job->cancel_requested = TRUE;
            see(move, here[j], there[i], &outcome);
            if (!gw_job_state_is_final((GwJobState)move->job->state) && wants(&outcome, GW_DO_LOOK))
                see(move, here[j], there[i], &outcome);
            assert_int_not_equal(move->settle, GW_SETTLE_STORAGE_BACK);
            assert_int_equal(task(move, 0)->state, GW_TASK_DONE);
        }
    }
}

static void test_a_host_that_will_not_remove_does_not_hold_the_job(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_SETTLING);
    g_autoptr(GError) refused = NULL;
    GwMoveOutcome outcome;
    guint tries = 0;
    (void)unused;

    gw_error_set(&refused, GW_ERR_OPERATION, NULL, "deleting web1.qcow2: read-only file system");
    move->job->cancel_requested = TRUE;
    see_twice(move, GW_SIDE_RUNNING, GW_SIDE_ABSENT, &outcome);
    while (move->job->state == GW_JOB_SETTLING && tries < 50) {
        tries++;
        undo_one(move, refused);
        acted(move, refused, &outcome);
        see(move, GW_SIDE_RUNNING, GW_SIDE_ABSENT, &outcome);
    }
    assert_int_equal(tries, 5);
    assert_int_equal(move->job->state, GW_JOB_CANCELLED);
    assert_non_null(strstr(move->job->error->message, "read-only file system"));
    assert_non_null(strstr(move->job->error->remedy, "godwit job undo"));
}

/* I3: another controller goes on where the journal ends. */
static void test_a_restart_goes_on_removing(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_SETTLING);
    GwMoveOutcome outcome;
    (void)unused;

    see_twice(move, GW_SIDE_RUNNING, GW_SIDE_ABSENT, &outcome);
    gw_task_begin(gw_tasks_next_undo(move->job), TRUE);
    g_autoptr(GwJson) stored = gw_record_to_json(&gw_job_record, move->job);
    g_autoptr(GwMove) again =
        gw_move_new(gw_record_from_stored(&gw_job_record, stored, NULL), SECOND);
    step(again, (GwMoveEvent){ .kind = GW_MOVE_RESTART, .now_us = SECOND }, &outcome);
    see_twice(again, GW_SIDE_RUNNING, GW_SIDE_ABSENT, &outcome);
    assert_int_equal(again->settle, GW_SETTLE_STORAGE_BACK);
    assert_non_null(gw_tasks_next_undo(again->job));
}

static void test_old_copies_are_kept_before_the_job_is_done(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_CLEANING);
    GwMoveOutcome outcome;
    (void)unused;

    see(move, GW_SIDE_ABSENT, GW_SIDE_RUNNING, &outcome);
    assert_int_equal(move->job->state, GW_JOB_CLEANING);
    assert_int_equal(move->settle, GW_SETTLE_STORAGE_ON);
    gw_task_begin(task(move, 1), FALSE);
    gw_task_end(task(move, 1), NULL);
    acted(move, NULL, &outcome);
    see(move, GW_SIDE_ABSENT, GW_SIDE_RUNNING, &outcome);
    assert_int_equal(move->job->state, GW_JOB_DONE);
    assert_int_equal(task(move, 0)->state, GW_TASK_DONE);
}

/* Moved is moved: what else did not work is a warning. */
static void test_what_did_not_work_beside_it_is_told(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_CLEANING);
    GwMoveOutcome outcome;
    g_autoptr(GError) busy = NULL;
    (void)unused;

    gw_error_set(&busy, GW_ERR_OPERATION, NULL, "the old copy of vda is in use");
    gw_task_begin(task(move, 1), FALSE);
    gw_task_pass(task(move, 1), busy);
    see(move, GW_SIDE_ABSENT, GW_SIDE_RUNNING, &outcome);
    assert_int_equal(move->job->state, GW_JOB_DONE);
    assert_string_equal(move->job->error->message, "done, but: the old copy of vda is in use");
    assert_non_null(move->job->error->remedy);
}

/* A VM that does not run says nothing of where its newest disks are. */
static void test_only_a_source_that_surely_has_the_data_lets_volumes_go(void **unused)
{
    g_autoptr(GwMove) off = move_in(GW_JOB_SETTLING);
    g_autoptr(GwMove) moved = move_in(GW_JOB_SETTLING);
    g_autoptr(GwMove) ran = move_in(GW_JOB_SETTLING);
    g_autoptr(GwMove) arrived = move_in(GW_JOB_CLEANING);
    GwMoveOutcome outcome;
    (void)unused;

    see(off, GW_SIDE_OFF, GW_SIDE_ABSENT, &outcome);
    assert_int_equal(off->settle, GW_SETTLE_STORAGE_BACK);

    see(moved, GW_SIDE_MIGRATED, GW_SIDE_ABSENT, &outcome);
    assert_int_equal(moved->job->state, GW_JOB_FAILED);
    assert_int_equal(task(moved, 0)->state, GW_TASK_DONE);
    assert_non_null(strstr(moved->job->error->remedy, "Nothing was removed"));

    ran->job->source_old = TRUE;
    see(ran, GW_SIDE_OFF, GW_SIDE_ABSENT, &outcome);
    assert_int_equal(ran->job->state, GW_JOB_FAILED);
    assert_int_equal(task(ran, 0)->state, GW_TASK_DONE);

    see(arrived, GW_SIDE_ABSENT, GW_SIDE_OFF, &outcome);
    assert_int_equal(arrived->settle, GW_SETTLE_STORAGE_ON);
}

/* The second try, driven by the controller, copies to the same volumes. */
static void test_a_second_try_keeps_the_volumes(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_PREPARING);
    g_autoptr(GError) broke = NULL;
    GwMoveOutcome outcome;
    (void)unused;

    move->job->peer_to_peer = TRUE;
    step(move, (GwMoveEvent){ .kind = GW_MOVE_PREPARED, .now_us = SECOND }, &outcome);
    gw_error_set(&broke, GW_ERR_OPERATION, NULL, "no route to host");
    step(move, (GwMoveEvent){ .kind = GW_MOVE_RETURNED, .now_us = SECOND, .error = broke },
         &outcome);
    see_twice(move, GW_SIDE_RUNNING, GW_SIDE_ABSENT, &outcome);
    assert_int_equal(move->job->state, GW_JOB_COPYING);
    assert_true(wants(&outcome, GW_DO_MIGRATE));
    assert_int_equal(task(move, 0)->state, GW_TASK_DONE);
}

/* Preparing -------------------------------------------------------------------------------- */

static void test_a_cancel_breaks_off_what_is_being_prepared(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_PREPARING);
    g_autoptr(GError) stopped = NULL;
    GwMoveOutcome outcome;
    (void)unused;

    step(move, (GwMoveEvent){ .kind = GW_MOVE_CANCEL, .now_us = SECOND }, &outcome);
    assert_int_equal(move->job->state, GW_JOB_PREPARING);
    assert_true(wants(&outcome, GW_DO_STOP));
    gw_error_set(&stopped, GW_ERR_CANCELLED, NULL, "stopped on request");
    step(move, (GwMoveEvent){ .kind = GW_MOVE_NOT_PREPARED, .now_us = SECOND, .error = stopped },
         &outcome);
    see_twice(move, GW_SIDE_RUNNING, GW_SIDE_ABSENT, &outcome);
    assert_int_equal(move->settle, GW_SETTLE_STORAGE_BACK);
    undo_one(move, NULL);
    acted(move, NULL, &outcome);
    see(move, GW_SIDE_RUNNING, GW_SIDE_ABSENT, &outcome);
    assert_int_equal(move->job->state, GW_JOB_CANCELLED);
}

/* R59: the time of the images below the disks counts, and what is prepared after it is not used. */
static void test_preparing_is_part_of_the_time(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_CHECKING);
    GwMoveOutcome outcome;
    GwMoveEventKind kind;
    (void)unused;

    step(move, (GwMoveEvent){ .kind = GW_MOVE_CHECKED, .now_us = SECOND }, &outcome);
    assert_false(gw_move_due(move, 100 * SECOND, &kind));
    assert_true(gw_move_due(move, 101 * SECOND, &kind));
    assert_int_equal(kind, GW_MOVE_TOO_LONG);
    step(move, (GwMoveEvent){ .kind = GW_MOVE_TOO_LONG, .now_us = 101 * SECOND }, &outcome);
    assert_true(wants(&outcome, GW_DO_STOP));
    step(move, (GwMoveEvent){ .kind = GW_MOVE_PREPARED, .now_us = 102 * SECOND }, &outcome);
    assert_int_equal(move->job->state, GW_JOB_SETTLING);
    assert_string_equal(move->job->error->code, "timeout");
}

static void test_what_is_left_of_the_time_is_the_copys(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_CHECKING);
    GwMoveOutcome outcome;
    (void)unused;

    step(move, (GwMoveEvent){ .kind = GW_MOVE_CHECKED, .now_us = SECOND }, &outcome);
    step(move, (GwMoveEvent){ .kind = GW_MOVE_PREPARED, .now_us = 60 * SECOND }, &outcome);
    assert_int_equal(move->times.too_long_us, 101 * SECOND);
}

/* Progress --------------------------------------------------------------------------------- */

static void feed(GwMove *move, gint64 at_s, gint64 disks_done, gint64 disks_left,
                 gint64 memory_done, gint64 memory_left)
{
    g_autoptr(GwProgress) progress = gw_progress_new();
    GwMoveOutcome outcome;

    progress->phase = g_strdup("memory");
    progress->disk_processed_bytes = disks_done;
    progress->disk_remaining_bytes = disks_left;
    progress->disk_total_bytes = disks_done + disks_left;
    progress->processed_bytes = disks_done + memory_done;
    progress->remaining_bytes = disks_left + memory_left;
    progress->converging = TRUE;
    step(move,
         (GwMoveEvent){ .kind = GW_MOVE_PROGRESS, .progress = progress, .now_us = at_s * SECOND },
         &outcome);
}

#define MIB (1 << 20)

/* The memory is not told of before the disks are there, and yet it is part of the way. */
static void test_disks_then_memory_is_one_way(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_PREPARING);
    GwMoveOutcome outcome;
    (void)unused;

    step(move, (GwMoveEvent){ .kind = GW_MOVE_PREPARED, .now_us = SECOND }, &outcome);
    feed(move, 2, MIB, 2 * MIB, 0, 0);
    assert_int_equal(move->job->progress->percent, 25);
    assert_string_equal(move->job->progress->phase, "disks");
    feed(move, 3, 3 * MIB, 0, 0, 0);
    assert_int_equal(move->job->progress->percent, 75);
    feed(move, 4, 3 * MIB, 0, 0, MIB);
    assert_int_equal(move->job->progress->percent, 75);
    assert_string_equal(move->job->progress->phase, "memory");
    feed(move, 5, 3 * MIB, MIB, MIB / 2, MIB / 2); /* the guest writes to its disk */
    assert_int_equal(move->job->progress->percent, 75);
    feed(move, 6, 4 * MIB, 0, MIB, 0);
    assert_int_equal(move->job->progress->percent, 99);
}

/* R60: less of either is progress; more of one does not hide less of the other. */
static void test_progress_is_less_of_disks_or_of_memory(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_PREPARING);
    GwMoveOutcome outcome;
    GwMoveEventKind kind;
    (void)unused;

    step(move, (GwMoveEvent){ .kind = GW_MOVE_PREPARED, .now_us = SECOND }, &outcome);
    feed(move, 2, 0, 3 * MIB, 0, 0);
    feed(move, 8, 3 * MIB, MIB / 8, 0, 0);
    feed(move, 15, 3 * MIB, MIB / 4, 0, 4 * MIB); /* memory begins: more is left than before */
    assert_int_equal(move->times.stalled_us, 25 * SECOND);
    feed(move, 20, 3 * MIB, MIB, MIB, 3 * MIB);
    assert_int_equal(move->times.stalled_us, 30 * SECOND);
    feed(move, 29, 3 * MIB, MIB, 9 * MIB, 3 * MIB); /* sent, and dirtied again */
    move->times.wake_us = 0;
    assert_true(gw_move_due(move, 30 * SECOND, &kind));
    assert_int_equal(kind, GW_MOVE_STALLED);
}

/* While the memory goes over nothing is told of the disks any more; images below a running disk
 * were counted when they were copied. */
static void test_the_result_tells_what_was_read_of_disks(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_PREPARING);
    GwMoveOutcome outcome;
    (void)unused;

    move->job->result = gw_move_result_new();
    move->job->result->disk_bytes = 2 * MIB;
    move->job->result->disk_sent_bytes = MIB;
    move->job->result->disk_same_bytes = MIB;
    step(move, (GwMoveEvent){ .kind = GW_MOVE_PREPARED, .now_us = SECOND }, &outcome);
    feed(move, 2, 3 * MIB, 0, 0, 0);
    feed(move, 3, 0, 0, 7 * MIB, 0);
    step(move, (GwMoveEvent){ .kind = GW_MOVE_RETURNED }, &outcome);
    task(move, 1)->state = GW_TASK_DONE;
    see(move, GW_SIDE_ABSENT, GW_SIDE_RUNNING, &outcome);
    assert_int_equal(move->job->state, GW_JOB_DONE);
    assert_int_equal(move->job->result->disk_bytes, 5 * MIB);
    assert_int_equal(move->job->result->disk_sent_bytes, 4 * MIB);
    assert_int_equal(move->job->result->disk_same_bytes, MIB);
    assert_int_equal(move->job->result->transferred_bytes, 7 * MIB);
}

/* What a host says of itself may be anything. */
static void test_absurd_figures_do_no_harm(void **unused)
{
    g_autoptr(GwMove) move = move_in(GW_JOB_PREPARING);
    GwMoveOutcome outcome;
    (void)unused;

    step(move, (GwMoveEvent){ .kind = GW_MOVE_PREPARED, .now_us = SECOND }, &outcome);
    task(move, 0)->kind = GW_TASK_VOLUME_COPY;
    task(move, 0)->total_bytes = G_MAXINT64;
    feed(move, 2, G_MAXINT64 / 2, G_MAXINT64 / 2, G_MAXINT64 / 2, G_MAXINT64 / 2);
    assert_in_range(move->job->progress->percent, 0, 99);
    feed(move, 3, 0, MIB, 0, -MIB);
    assert_in_range(move->job->progress->percent, 0, 99);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_made_goes_before_the_job_fails),
        cmocka_unit_test(test_nothing_is_removed_while_the_vm_is_at_the_destination),
        cmocka_unit_test(test_a_host_that_will_not_remove_does_not_hold_the_job),
        cmocka_unit_test(test_a_restart_goes_on_removing),
        cmocka_unit_test(test_old_copies_are_kept_before_the_job_is_done),
        cmocka_unit_test(test_what_did_not_work_beside_it_is_told),
        cmocka_unit_test(test_only_a_source_that_surely_has_the_data_lets_volumes_go),
        cmocka_unit_test(test_a_second_try_keeps_the_volumes),
        cmocka_unit_test(test_a_cancel_breaks_off_what_is_being_prepared),
        cmocka_unit_test(test_preparing_is_part_of_the_time),
        cmocka_unit_test(test_what_is_left_of_the_time_is_the_copys),
        cmocka_unit_test(test_disks_then_memory_is_one_way),
        cmocka_unit_test(test_progress_is_less_of_disks_or_of_memory),
        cmocka_unit_test(test_the_result_tells_what_was_read_of_disks),
        cmocka_unit_test(test_absurd_figures_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
