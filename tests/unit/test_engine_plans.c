/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan_world.h"

#include <string.h>

/* Jobs that carry out plans of many moves (R49), in the simulated fabric: drains that go well, and
 * that are paused, cancelled, struck and interfered with. */

#define PLACES "aaaaabcd" /* 8 VMs on 4 hosts, 5 of them on a */

static void open_default(PlanWorld *world)
{
    plan_open(world, plan_fabric(4, PLACES), 4, 8);
}

static void test_a_drain_and_back(void **unused)
{
    PlanWorld world;
    (void)unused;

    open_default(&world);
    g_autofree char *id = plan_drain(&world, "a");
    plan_run(&world, SECONDS(1) / 10);
    assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_ENTERING);
    g_autoptr(GwJob) over = plan_run_job(&world, id);
    assert_int_equal(over->state, GW_JOB_DONE);
    assert_int_equal(over->progress->percent, 100);
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), 5);
    assert_int_equal(plan_running_at(&world, 'a'), 0);
    assert_int_equal(plan_running_at(&world, 'b') + plan_running_at(&world, 'c') +
                         plan_running_at(&world, 'd'),
                     8);
    plan_run(&world, SECONDS(1));
    assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_IN);

    g_autofree char *back = plan_undrain(&world, "a");
    g_autoptr(GwJob) home = plan_run_job(&world, back);
    assert_int_equal(home->state, GW_JOB_DONE);
    for (guint i = 0; i < 8; i++)
        assert_int_equal(plan_where(&world, i), PLACES[i]);
    assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_NONE);
    plan_check_vms(&world);
    plan_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_drain_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
