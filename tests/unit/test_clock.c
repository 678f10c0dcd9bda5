/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include "base/clock.h"

static void test_virtual_clock_stands_still(void **state)
{
    g_autoptr(GwClock) clock = gw_clock_new_virtual(1000);
    assert_true(gw_clock_is_virtual(clock));
    assert_int_equal(gw_clock_now_us(clock), 0);
    assert_int_equal(gw_clock_wall_us(clock), 1000);
    gw_clock_advance_to(clock, 250);
    assert_int_equal(gw_clock_now_us(clock), 250);
    assert_int_equal(gw_clock_wall_us(clock), 1250);
}

static void test_virtual_clock_never_goes_back(void **state)
{
    g_autoptr(GwClock) clock = gw_clock_new_virtual(0);
    gw_clock_advance_to(clock, 500);
    gw_clock_advance_to(clock, 100);
    assert_int_equal(gw_clock_now_us(clock), 500);
}

static void test_system_clock_goes_on(void **state)
{
    g_autoptr(GwClock) clock = gw_clock_new_system();
    assert_false(gw_clock_is_virtual(clock));
    gint64 before = gw_clock_now_us(clock);
    g_usleep(2000);
    assert_true(gw_clock_now_us(clock) >= before + 2000);
    assert_true(ABS(gw_clock_wall_us(clock) - g_get_real_time()) < G_USEC_PER_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_virtual_clock_stands_still),
        cmocka_unit_test(test_virtual_clock_never_goes_back),
        cmocka_unit_test(test_system_clock_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
