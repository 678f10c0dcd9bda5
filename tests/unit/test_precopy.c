/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <math.h>

#include "plan/precopy.h"

/* The model of pre-copy: its rounds, that it is monotone, and that no figure makes it lie. */

#define MIB 1048576.0

static GwPrecopyInput ordinary(void)
{
    return (GwPrecopyInput){ .memory_bytes = 1024 * MIB,
                             .dirty_bps = 20 * MIB,
                             .guest_bps = 100 * MIB,
                             .downtime_s = 0.3,
                             .auto_converge = TRUE };
}

static void an_idle_guest_is_sent_once(void **unused)
{
    GwPrecopyInput input = ordinary();

    input.dirty_bps = 0;
    GwPrecopy found = gw_precopy_run(&input);
    assert_int_equal(found.rounds, 1);
    assert_true(fabs(found.seconds - 10.24) < 1e-6);
    assert_true(fabs(found.bytes - 1024 * MIB) < 1);
    assert_true(found.converges);
    assert_true(found.last_s == 0 && found.throttle == 0);
}

/* 10.24 s, then what a fifth of the rate dirties of it, and so on, until 0.3 s are left; a little
 * less than the sum without pages that are dirtied twice. */
static void rounds_get_shorter(void **unused)
{
    GwPrecopyInput input = ordinary();
    GwPrecopy found = gw_precopy_run(&input);

    assert_int_equal(found.rounds, 3);
    assert_true(found.converges);
    assert_true(found.seconds > 12.2 && found.seconds < 12.71);
    assert_true(found.last_s > 0.05 && found.last_s <= 0.3);
    assert_true(found.throttle == 0);
}

static void what_outruns_the_link_is_slowed_down(void **unused)
{
    GwPrecopyInput input = ordinary();

    input.dirty_bps = 400 * MIB;
    GwPrecopy slowed = gw_precopy_run(&input);
    assert_true(slowed.converges);
    assert_true(slowed.throttle > 0.5);
    assert_true(slowed.last_s <= 0.3);

    input.auto_converge = FALSE;
    GwPrecopy endless = gw_precopy_run(&input);
    assert_false(endless.converges);
    assert_true(endless.throttle == 0);
    assert_true(endless.rounds < 100);
    input.downtime_s = 20; /* all of it fits */
    assert_true(gw_precopy_run(&input).converges);
}

static void it_is_monotone(void **unused)
{
    GwPrecopyInput input = ordinary();
    double last = 0;

    for (double memory = 0; memory < 65536; memory = memory * 1.3 + 1) {
        input.memory_bytes = memory * MIB;
        double seconds = gw_precopy_run(&input).seconds;
        assert_true(seconds >= last);
        last = seconds;
    }
    input = ordinary();
    last = 0;
    for (double dirty = 0; dirty < 50; dirty += 0.5) { /* before it has to be slowed down */
        input.dirty_bps = dirty * MIB;
        double bytes = gw_precopy_run(&input).bytes;
        assert_true(bytes >= last);
        last = bytes;
    }
    input = ordinary();
    last = INFINITY;
    for (double link = 40; link < 10000; link *= 1.1) {
        input.guest_bps = link * MIB;
        double seconds = gw_precopy_run(&input).seconds;
        assert_true(seconds <= last);
        last = seconds;
    }
}

static void a_sample_is_undone_where_pages_are_dirtied_twice(void **unused)
{
    double found = gw_precopy_dirtied(50 * MIB, 100 * MIB, 2) / 2;

    assert_true(found < 50 * MIB);
    assert_true(fabs(gw_precopy_unsaturate(found, 100 * MIB, 2) - 50 * MIB) < 1);
    assert_true(gw_precopy_dirtied(1e9, 100 * MIB, 1e6) <= 100 * MIB);
    assert_true(gw_precopy_unsaturate(1e18, 100 * MIB, 2) < 400 * MIB);
}

static void hostile_figures_do_no_harm(void **unused)
{
    static const double figures[] = { 0, -1, 1, 1e-300, 1e9, 1e18, 1e300, INFINITY, -INFINITY, NAN };
    const guint count = G_N_ELEMENTS(figures);

    for (guint i = 0; i < count * count * count * count; i++) {
        GwPrecopyInput input = { .memory_bytes = figures[i % count],
                                 .dirty_bps = figures[i / count % count],
                                 .guest_bps = figures[i / count / count % count],
                                 .downtime_s = figures[i / count / count / count],
                                 .auto_converge = (i & 1) != 0 };
        GwPrecopy found = gw_precopy_run(&input);
        assert_true(found.seconds >= 0 && found.seconds <= 1e9);
        assert_true(found.bytes >= 0 && found.bytes <= 1e18);
        assert_true(found.last_s >= 0 && found.last_s <= 1e9);
        assert_true(found.throttle >= 0 && found.throttle <= 0.99);
        double rate = gw_precopy_unsaturate(input.dirty_bps, input.memory_bytes, input.downtime_s);
        assert_true(isfinite(rate) && rate >= 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_guest_is_sent_once),
        cmocka_unit_test(rounds_get_shorter),
        cmocka_unit_test(what_outruns_the_link_is_slowed_down),
        cmocka_unit_test(it_is_monotone),
        cmocka_unit_test(a_sample_is_undone_where_pages_are_dirtied_twice),
        cmocka_unit_test(hostile_figures_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
