/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include "hyper/usage.h"

/* Rates from two readings of a host's counters, whatever these hold. */

#define SECOND G_USEC_PER_SEC

static GwUsageCounts counts(gint64 at_us, GwCount which, guint64 amount)
{
    GwUsageCounts made;

    gw_usage_counts_init(&made, at_us);
    gw_usage_count(&made, which, amount);
    return made;
}

static void two_readings_make_a_rate(void **unused)
{
    GwUsageCounts before = counts(10 * SECOND, GW_COUNT_READ, 1000);
    GwUsageCounts now = counts(14 * SECOND, GW_COUNT_READ, 5000);

    assert_int_equal(gw_usage_rate(&before, &now, GW_COUNT_READ), 1000);
    before = counts(0, GW_COUNT_CPU_NS, 0);
    now = counts(2 * SECOND, GW_COUNT_CPU_NS, 3000000000);
    assert_int_equal(gw_usage_cpu_permille(&before, &now), 1500);
}

static void sums_are_of_all_devices(void **unused)
{
    GwUsageCounts before = counts(0, GW_COUNT_NETWORK, 10);
    GwUsageCounts now = counts(SECOND, GW_COUNT_NETWORK, 20);

    gw_usage_count(&now, GW_COUNT_NETWORK, 5);
    assert_int_equal(gw_usage_rate(&before, &now, GW_COUNT_NETWORK), 15);
}

static void what_cannot_be_said_is_unknown(void **unused)
{
    GwUsageCounts before = counts(SECOND, GW_COUNT_READ, 1000);
    GwUsageCounts now = counts(2 * SECOND, GW_COUNT_READ, 999);

    assert_int_equal(gw_usage_rate(NULL, &now, GW_COUNT_READ), -1);
    assert_int_equal(gw_usage_rate(&before, &now, GW_COUNT_READ), -1);    /* started anew */
    assert_int_equal(gw_usage_rate(&before, &now, GW_COUNT_WRITTEN), -1); /* not told */
    assert_int_equal(gw_usage_rate(&before, &before, GW_COUNT_READ), -1); /* no time between */
    assert_int_equal(gw_usage_cpu_permille(&before, &now), -1);
    assert_int_equal(gw_usage_busy_permille(&before, &now), -1);
}

static void a_host_is_busy_by_its_idle_time(void **unused)
{
    GwUsageCounts before = counts(0, GW_COUNT_CPU_NS, 0);
    GwUsageCounts now = counts(SECOND, GW_COUNT_CPU_NS, 250);

    assert_int_equal(gw_usage_busy_permille(&before, &now), -1);
    gw_usage_count(&before, GW_COUNT_IDLE_NS, 100);
    gw_usage_count(&now, GW_COUNT_IDLE_NS, 850);
    assert_int_equal(gw_usage_busy_permille(&before, &now), 250);
}

static void hostile_counters_do_no_harm(void **unused)
{
    GwUsageCounts before = counts(0, GW_COUNT_READ, 0);
    GwUsageCounts now = counts(1, GW_COUNT_READ, G_MAXUINT64);

    gw_usage_count(&now, GW_COUNT_READ, G_MAXUINT64);
    gw_usage_count(&now, GW_COUNT_CPU_NS, G_MAXUINT64);
    gw_usage_count(&now, GW_COUNT_IDLE_NS, G_MAXUINT64);
    gw_usage_count(&before, GW_COUNT_CPU_NS, 0);
    gw_usage_count(&before, GW_COUNT_IDLE_NS, 0);
    assert_int_equal(gw_usage_rate(&before, &now, GW_COUNT_READ), (gint64)1e18);
    assert_int_equal(gw_usage_cpu_permille(&before, &now), (gint64)1e18);
    assert_int_equal(gw_usage_busy_permille(&before, &now), 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_readings_make_a_rate),
        cmocka_unit_test(sums_are_of_all_devices),
        cmocka_unit_test(what_cannot_be_said_is_unknown),
        cmocka_unit_test(a_host_is_busy_by_its_idle_time),
        cmocka_unit_test(hostile_counters_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
