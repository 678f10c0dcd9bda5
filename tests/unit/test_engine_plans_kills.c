/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan_world.h"

/* The controller is killed under drains (R49), at any moment, again and again. */

static void test_killed_at_any_moment(void **unused)
{
    (void)unused;
    for (gint64 ms = 0; ms < 6000; ms += unit_step(ms < 100 ? 7 : 133)) {
        PlanWorld world;
        plan_open_default(&world);
        g_autofree char *id = plan_drain(&world, "a");
        plan_kill_at(&world, ms, ms % 5 * 700);
        g_autoptr(GwJob) over = plan_run_job(&world, id);
        if (over->state != (int)GW_JOB_DONE)
            fail_msg("killed after %d ms: %s", (int)ms, over->error->message);
        assert_int_equal(plan_count(over, GW_PLANNED_DONE), 5);
        assert_int_equal(over->progress->percent, 100);
        for (guint i = 0; i < over->plan->moves->len; i++)
            assert_string_equal(plan_move_at(over->plan, i)->source_host_name, "a");
        assert_int_equal(plan_running_at(&world, 'a'), 0);
        plan_check_vms(&world);
        plan_run(&world, SECONDS(1));
        assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_IN);
        g_autofree char *back = plan_undrain(&world, "a");
        plan_kill_at(&world, ms, 300);
        g_autoptr(GwJob) home = plan_run_job(&world, back);
        if (home->state != (int)GW_JOB_DONE)
            fail_msg("killed after %d ms on the way back: %s", (int)ms, home->error->message);
        plan_check_places(&world, PLAN_PLACES);
        plan_close(&world);
    }
}

static void test_killed_again_and_again(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open_default(&world);
    g_autofree char *id = plan_drain(&world, "a");
    for (guint i = 0; i < 40; i++)
        plan_kill_at(&world, 40 + i * 13 % 250, i % 3 * 200);
    plan_end_done(&world, id);
    plan_close_drained(&world);
}

/* What was tried before the controller died is not in the plan that it had written: it is known by
 * the moves' own jobs, which come to the plan with all that people look at. */
static void test_what_was_tried_is_remembered(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open_default(&world);
    g_autoptr(GwJson) fault = json_pack("{s:s,s:s}", "at", "copy", "do", "fail");
    g_autofree char *id = plan_drain(&world, "a");
    UNIT_OK(gw_sim_fault(world.world.sim, fault, error));
    plan_run(&world, SECONDS(30)); /* it failed once, and went well then */
    plan_kill_at(&world, 0, 100);
    g_autoptr(GwJob) over = plan_run_done(&world, id);
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), 5);
    assert_int_equal(plan_count(over, GW_PLANNED_FAILED), 1);
    for (guint i = 0; i < over->plan->moves->len; i++) {
        assert_string_equal(plan_move_at(over->plan, i)->source_host_name, "a");
        assert_non_null(plan_move_at(over->plan, i)->destination_host_name);
        assert_non_null(plan_move_at(over->plan, i)->vm_name);
    }
    plan_close(&world);
}

static void test_killed_while_it_is_cancelled(void **unused)
{
    (void)unused;
    for (gint64 ms = 0; ms < 1000; ms += unit_step(50)) {
        PlanWorld world;
        g_autofree char *id = plan_open_draining(&world);
        g_autoptr(GwJob) asked = NULL;
        UNIT_OK(asked = gw_engine_cancel_job(world.world.engine, id, error));
        plan_kill_at(&world, ms, 300);
        g_autoptr(GwJob) over = plan_run_job(&world, id);
        assert_int_equal(over->state, GW_JOB_CANCELLED);
        assert_int_equal(plan_unfinished(&world), 0);
        assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_NONE);
        plan_check_vms(&world);
        plan_close(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_at_any_moment),
        cmocka_unit_test(test_killed_again_and_again),
        cmocka_unit_test(test_what_was_tried_is_remembered),
        cmocka_unit_test(test_killed_while_it_is_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
