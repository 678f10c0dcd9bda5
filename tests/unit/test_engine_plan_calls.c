/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan_world.h"

#include <string.h>

#include "engine/engine_internal.h"

/* What people ask of plans at one time, and plans that people changed (R49). */

/* Two plans at once ---------------------------------------------------------------------------- */

typedef struct {
    PlanWorld *world;
    const GwMigrationPlan *plan;
    GwJob *job;
    GError *error;
} Asked;

static gpointer ask(gpointer data)
{
    Asked *asked = data;

    asked->job =
        gw_engine_apply_plan(asked->world->world.engine, asked->plan, "tester", &asked->error);
    return NULL;
}

/* Both are asked for in one turn of the loop: before the store has either of them. */
static void apply_both(PlanWorld *world, Asked *asked)
{
    GwEngine *engine = world->world.engine;
    GThread *threads[2];

    world_run(&world->world, 0);    /* what the plans themselves left to do */
    engine->loop = g_thread_self(); /* who asks waits, as for a controller's loop; this is it */
    for (guint i = 0; i < 2; i++)
        threads[i] = g_thread_new("asks", ask, &asked[i]);
    while (g_async_queue_length(engine->inbox) < 2)
        g_usleep(1000);
    world_run(&world->world, SECONDS(1) / 10);
    for (guint i = 0; i < 2; i++)
        g_thread_join(threads[i]);
    engine->loop = NULL;
}

static gpointer remove_host(gpointer data)
{
    Asked *asked = data;
    GwEngine *engine = asked->world->world.engine;
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);

    gw_engine_remove_host(engine, gw_fabric_find_host(fabric, "a")->id, &asked->error);
    return NULL;
}

/* The host's removal is being stored when its drain is asked for. */
static void test_a_host_is_removed_under_its_drain(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open_default(&world);
    GwEngine *engine = world.world.engine;
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    Asked removal = { .world = &world }, drain = { .world = &world, .plan = plan };
    world_run(&world.world, 0);
    engine->loop = g_thread_self();
    GThread *removes = g_thread_new("removes", remove_host, &removal);
    while (g_async_queue_length(engine->inbox) < 1)
        g_usleep(1000);
    GThread *asks = g_thread_new("asks", ask, &drain);
    while (g_async_queue_length(engine->inbox) < 2)
        g_usleep(1000);
    world_run(&world.world, SECONDS(1) / 10);
    g_thread_join(removes);
    g_thread_join(asks);
    engine->loop = NULL;
    assert_null(removal.error);
    assert_null(drain.job);
    unit_assert_error(drain.error, GW_ERR_NOT_FOUND, "was removed just now");
    assert_int_equal(plan_unfinished(&world), 0);
    g_clear_error(&drain.error);
    plan_close(&world);
}

/* Whichever comes second is refused, with what is under way. */
static void assert_one_of(PlanWorld *world, const GwMigrationPlan *first,
                          const GwMigrationPlan *second, const char *words)
{
    Asked asked[] = { { .world = world, .plan = first }, { .world = world, .plan = second } };

    apply_both(world, asked);
    guint begun = asked[0].job != NULL ? 0 : 1;
    assert_non_null(asked[begun].job);
    assert_null(asked[1 - begun].job);
    unit_assert_error(asked[1 - begun].error, GW_ERR_CONFLICT, words);
    g_autoptr(GwJob) over = plan_run_job(world, asked[begun].job->id);
    assert_int_equal(over->state, GW_JOB_DONE);
    gw_job_free(asked[begun].job);
    g_clear_error(&asked[1 - begun].error);
}

/* @to: the only destination; NULL: any. */
static GwMigrationPlan *plan_moves(PlanWorld *world, const char *vms, const char *to)
{
    GwPlanRequest *request = plan_request(GW_PLAN_MOVES, NULL);

    request->vms = g_strsplit(vms, " ", -1);
    request->destinations = to != NULL ? g_strsplit(to, " ", -1) : NULL;
    return plan_make(world, request);
}

static void test_two_plans_for_one_host_at_once(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open(&world, plan_fabric(3, "aab"), 3, 3);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    assert_one_of(&world, plan, plan, "for that host");
    /* It is let go of then: the next plan for it finds nobody in its way. */
    g_autofree char *back = plan_undrain(&world, "a");
    g_autoptr(GwJob) home = plan_run_job(&world, back);
    assert_int_equal(home->state, GW_JOB_DONE);
    plan_check_vms(&world);
    plan_close(&world);
}

static void test_two_plans_for_one_vm_at_once(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open(&world, plan_fabric(3, "aab"), 3, 3);
    g_autoptr(GwMigrationPlan) first = plan_moves(&world, "vm0 vm1", "c");
    g_autoptr(GwMigrationPlan) second = plan_moves(&world, "vm1 vm2", "c");
    assert_one_of(&world, first, second, "'vm1'");
    plan_check_vms(&world);
    plan_close(&world);
}

/* One after the other: also while the first is under way. */
static void test_a_vm_is_moved_by_one_plan(void **unused)
{
    PlanWorld world;
    g_autoptr(GError) error = NULL;
    (void)unused;

    plan_open(&world, plan_fabric(3, "aab"), 3, 3);
    g_autoptr(GwMigrationPlan) drain = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    g_autoptr(GwMigrationPlan) moves = plan_moves(&world, "vm1 vm2", "c");
    g_autoptr(GwMigrationPlan) other = plan_moves(&world, "vm2", "c");
    g_autoptr(GwJob) job = plan_apply(&world, drain);
    assert_null(gw_engine_apply_plan(world.world.engine, moves, "tester", &error));
    unit_assert_error(error, GW_ERR_CONFLICT, "moves 'vm1'");
    assert_non_null(strstr(error->message, job->title));
    g_autoptr(GwJob) beside = plan_apply(&world, other);
    g_autoptr(GwJob) over = plan_run_job(&world, job->id);
    assert_int_equal(over->state, GW_JOB_DONE);
    g_autoptr(GwJob) moved = plan_run_job(&world, beside->id);
    assert_int_equal(moved->state, GW_JOB_DONE);
    plan_check_vms(&world);
    plan_close(&world);
}

/* What begins -------------------------------------------------------------------------------- */

/* The plan's moves that are in one of @states, a bit for each. */
static guint count_parts(PlanWorld *world, const char *job_id, guint states)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->world.engine);
    GHashTableIter iter;
    gpointer value;
    guint n = 0;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        n += g_strcmp0(job->part_of, job_id) == 0 && (states >> job->state & 1) != 0;
    }
    return n;
}

#define QUEUED (1U << GW_JOB_QUEUED)
#define DONE (1U << GW_JOB_DONE)
#define UNDER_WAY ((DONE - 1) & ~QUEUED) /* it has its slots, from its last check on */

/* Whenever somebody pauses, also between a move's check and its turn in the queue (R49). */
static void test_a_pause_holds_the_queue(void **unused)
{
    guint held = 0;
    (void)unused;

    for (gint64 at_ms = 0; at_ms < 60; at_ms++) {
        PlanWorld world;
        plan_open(&world, plan_fabric(3, "aaab"), 3, 4);
        g_autofree char *id = plan_drain(&world, "a");
        world_run(&world.world, at_ms * 100);
        g_autoptr(GwJob) paused = NULL;
        UNIT_OK(paused = gw_engine_pause_job(world.world.engine, id, TRUE, error));
        guint begun = count_parts(&world, id, UNDER_WAY | DONE);
        plan_run(&world, SECONDS(30));
        assert_int_equal(count_parts(&world, id, UNDER_WAY | DONE), begun);
        assert_int_equal(plan_running_at(&world, 'a'), 3 - begun);
        held += count_parts(&world, id, QUEUED);
        g_autoptr(GwJob) resumed = NULL;
        UNIT_OK(resumed = gw_engine_pause_job(world.world.engine, id, FALSE, error));
        g_autoptr(GwJob) over = plan_run_job(&world, id);
        assert_int_equal(over->state, GW_JOB_DONE);
        plan_check_vms(&world);
        plan_close(&world);
    }
    assert_true(held > 0); /* or this shows nothing */
}

/* No more stand in the queue than there are slots: whoever looks at it sees what begins next, and
 * what is planned anew takes nobody's place. */
static void test_no_more_begin_than_slots(void **unused)
{
    PlanWorld world;
    json_t *fabric = plan_fabric(4, "aaaaaa");
    guint most = 0;
    (void)unused;

    plan_open(&world, fabric, 4, 6);
    g_autofree char *id = plan_drain(&world, "a");
    for (guint i = 0; i < 4000; i++) {
        world_run(&world.world, 250);
        guint parts = count_parts(&world, id, QUEUED | UNDER_WAY);
        assert_true(parts <= GW_LIMIT_DEFAULT);
        most = MAX(most, parts);
    }
    assert_int_equal(most, GW_LIMIT_DEFAULT);
    g_autoptr(GwJob) over = plan_run_job(&world, id);
    assert_int_equal(over->state, GW_JOB_DONE);
    plan_check_vms(&world);
    plan_close(&world);
}

/* Plans that somebody changed ---------------------------------------------------------------- */

static GwPlannedMove *move_at(const GwMigrationPlan *plan, guint index)
{
    return plan->moves->pdata[index];
}

static void send_to(PlanWorld *world, GwPlannedMove *move, const char *host)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->world.engine);

    g_free(move->destination_host_id);
    move->destination_host_id = g_strdup(gw_fabric_find_host(fabric, host)->id);
    g_free(move->destination_host_name);
    move->destination_host_name = g_strdup(host);
}

static void refuse(PlanWorld *world, const GwMigrationPlan *plan, GwErrorCode code,
                   const char *part)
{
    g_autoptr(GError) error = NULL;

    assert_null(gw_engine_apply_plan(world->world.engine, plan, "tester", &error));
    unit_assert_error(error, code, part);
}

/* The order and a destination are a person's to choose, where what they choose is sound. */
static void test_an_order_and_a_destination_by_hand(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open(&world, plan_fabric(4, "aaabcd"), 4, 6);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    assert_int_equal(plan->moves->len, 3);
    g_autofree char *first = g_strdup(move_at(plan, 0)->vm_uuid);
    g_autofree char *last = g_strdup(move_at(plan, 2)->vm_uuid);
    gpointer moved = plan->moves->pdata[0];
    plan->moves->pdata[0] = plan->moves->pdata[2];
    plan->moves->pdata[2] = moved;
    for (guint i = 0; i < 3; i++)
        send_to(&world, move_at(plan, i), "d");
    plan->request->moves_at_once = 1;
    g_autoptr(GwJob) job = plan_apply(&world, plan);
    assert_string_equal(move_at(job->plan, 0)->vm_uuid, last);
    assert_null(job->plan->rests_on);
    g_autoptr(GwJob) over = plan_run_job(&world, job->id);
    assert_int_equal(over->state, GW_JOB_DONE);
    assert_int_equal(plan_running_at(&world, 'd'), 4);
    /* One after the other, in that order. */
    g_autoptr(GwJob) one = world_job(&world.world, move_at(over->plan, 0)->job_id);
    g_autoptr(GwJob) three = world_job(&world.world, move_at(over->plan, 2)->job_id);
    assert_string_equal(one->vm_uuid, last);
    assert_string_equal(three->vm_uuid, first);
    assert_true(strcmp(one->finished_at, three->started_at) <= 0);
    plan_check_vms(&world);
    plan_close(&world);
}

/* What is left out is not made by the back door, when the rest is planned anew. */
static void test_a_move_left_out_by_hand(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open(&world, plan_fabric(3, "aaab"), 3, 4);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    g_autofree char *left = g_strdup(move_at(plan, 2)->vm_uuid);
    g_ptr_array_remove_index(plan->moves, 2);
    g_autoptr(GwJob) job = plan_apply(&world, plan);
    g_autoptr(GwJob) over = plan_run_job(&world, job->id);
    assert_int_equal(over->state, GW_JOB_FAILED); /* the host is not empty */
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), 2);
    const GwPlannedStay *stay =
        gw_record_find(&gw_planned_stay_record, over->plan->stays, "vm_uuid", left);
    assert_non_null(stay);
    assert_non_null(strstr(stay->why, "left out by hand"));
    assert_int_equal(plan_running_at(&world, 'a'), 1);

    /* Of VMs that were chosen it is one less, and nothing is missing. */
    g_autoptr(GwMigrationPlan) two = plan_moves(&world, "vm3 vm0", "a c");
    assert_int_equal(two->moves->len, 2);
    g_autofree char *stays = g_strdup(move_at(two, 1)->vm_uuid);
    g_ptr_array_remove_index(two->moves, 1);
    g_autoptr(GwJob) chosen = plan_apply(&world, two);
    g_autoptr(GwJob) done = plan_run_job(&world, chosen->id);
    assert_int_equal(done->state, GW_JOB_DONE);
    assert_int_equal(done->plan->moves->len, 1);
    assert_null(gw_record_find(&gw_planned_move_record, done->plan->moves, "vm_uuid", stays));
    plan_check_vms(&world);
    plan_close(&world);
}

/* A client says what it likes: each is refused with the move that it is about, or what is wrong. */
static void test_changes_that_are_not_sound(void **unused)
{
    PlanWorld world;
    g_autoptr(GwMigrationPlan) plan = NULL;
    (void)unused;

    plan_open(&world, plan_fabric(3, "aaab"), 3, 4);
    plan = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));

    g_autoptr(GwMigrationPlan) transfer = gw_migration_plan_copy(plan);
    move_at(transfer, 1)->transfer = GW_TRANSFER_REGISTER;
    refuse(&world, transfer, GW_ERR_CONFLICT, "move 2");
    g_autoptr(GwMigrationPlan) storage = gw_migration_plan_copy(plan);
    g_clear_pointer(&storage->request->options, gw_move_options_free);
    storage->request->options = gw_move_options_new();
    storage->request->options->copy_all = TRUE; /* disks were not to be copied */
    refuse(&world, storage, GW_ERR_CONFLICT, "move 1");

    /* A VM of another host, which the drain does not ask for. */
    g_autoptr(GwMigrationPlan) stranger = gw_migration_plan_copy(plan);
    g_autoptr(GwMigrationPlan) other = plan_moves(&world, "vm3", "c");
    g_ptr_array_add(stranger->moves, gw_planned_move_copy(move_at(other, 0)));
    refuse(&world, stranger, GW_ERR_INVALID, "move 4");
    /* The same VM twice. */
    g_autoptr(GwMigrationPlan) twice = gw_migration_plan_copy(plan);
    g_ptr_array_add(twice->moves, gw_planned_move_copy(move_at(plan, 0)));
    refuse(&world, twice, GW_ERR_CONFLICT, "move 4");
    g_autoptr(GwMigrationPlan) detour = gw_migration_plan_copy(plan);
    move_at(detour, 0)->detour = TRUE;
    refuse(&world, detour, GW_ERR_CONFLICT, "detour leads nowhere");

    /* The request. */
    g_autoptr(GwMigrationPlan) only = gw_migration_plan_copy(plan);
    g_autofree char *destination = g_strdup(move_at(plan, 0)->destination_host_name);
    only->request->destinations = g_strsplit(*destination == 'b' ? "c" : "b", " ", -1);
    refuse(&world, only, GW_ERR_INVALID, "move 1");
    g_autoptr(GwMigrationPlan) group = gw_migration_plan_copy(plan);
    group->request->group = g_strdup("no such group");
    refuse(&world, group, GW_ERR_NOT_FOUND, "no such group");
    g_autoptr(GwMigrationPlan) negative = gw_migration_plan_copy(plan);
    negative->request->moves_at_once = -1;
    refuse(&world, negative, GW_ERR_INVALID, "negative");
    g_autoptr(GwMigrationPlan) both = gw_migration_plan_copy(plan);
    g_strfreev(both->request->hosts);
    both->request->hosts = g_strsplit("a b c", " ", -1); /* nothing is left to go to */
    refuse(&world, both, GW_ERR_INVALID, "is to be emptied itself");
    assert_int_equal(plan_running_at(&world, 'a'), 3);
    plan_close(&world);
}

/* What a plan rests on is text as well. */
static void test_what_it_rests_on_is_forged(void **unused)
{
    static const char *const lines[] = { "",       " ",         "vm",         "vm x",
                                         "host  ", "drain a b", "host a b c", "rules 0",
                                         "stays",  "\xc3\xa4",  "vm a b c d", "vm %s %s %s" };
    PlanWorld world;
    (void)unused;

    plan_open(&world, plan_fabric(3, "aaab"), 3, 4);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    assert_true(g_strv_length(plan->rests_on) >= 5); /* rules, VMs, a and where they go */
    g_autoptr(GwMigrationPlan) bare = gw_migration_plan_copy(plan);
    g_clear_pointer(&bare->rests_on, g_strfreev);
    refuse(&world, bare, GW_ERR_CONFLICT, "fingerprint");
    for (guint i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_autoptr(GwMigrationPlan) forged = gw_migration_plan_copy(plan);
        g_free(forged->rests_on[1]);
        forged->rests_on[1] = g_strdup(lines[i]);
        refuse(&world, forged, GW_ERR_CONFLICT, "changed since");
    }
    g_autoptr(GwJob) job = plan_apply(&world, plan);
    g_autoptr(GwJob) over = plan_run_job(&world, job->id);
    assert_int_equal(over->state, GW_JOB_DONE);
    plan_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_host_is_removed_under_its_drain),
        cmocka_unit_test(test_two_plans_for_one_host_at_once),
        cmocka_unit_test(test_two_plans_for_one_vm_at_once),
        cmocka_unit_test(test_a_vm_is_moved_by_one_plan),
        cmocka_unit_test(test_a_pause_holds_the_queue),
        cmocka_unit_test(test_no_more_begin_than_slots),
        cmocka_unit_test(test_an_order_and_a_destination_by_hand),
        cmocka_unit_test(test_a_move_left_out_by_hand),
        cmocka_unit_test(test_changes_that_are_not_sound),
        cmocka_unit_test(test_what_it_rests_on_is_forged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
