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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_plans_for_one_host_at_once),
        cmocka_unit_test(test_two_plans_for_one_vm_at_once),
        cmocka_unit_test(test_a_vm_is_moved_by_one_plan),
        cmocka_unit_test(test_a_pause_holds_the_queue),
        cmocka_unit_test(test_no_more_begin_than_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
