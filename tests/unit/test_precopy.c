/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <math.h>

#include "plan/precopy.h"

/* The model of pre-copy: its rounds, that it is monotone, and that no figure makes it lie. */

#define MIB 1048576.0

static GwPrecopyInput ordinary(void)
{
    return (GwPrecopyInput){ .memory_bytes = 1024 * MIB,
                             .written_bytes = 1024 * MIB,
                             .dirty_bps = 20 * MIB,
                             .wire_bps = 100 * MIB,
                             .wire_first = 1,
                             .wire_again = 1,
                             .downtime_s = 0.3,
                             .cpu = 1,
                             .auto_converge = TRUE };
}

/* What fits into the downtime is left to it. */
static void an_idle_guest_is_sent_once(void **unused)
{
    GwPrecopyInput input = ordinary();

    input.dirty_bps = 0;
    GwPrecopy found = gw_precopy_run(&input);
    assert_int_equal(found.rounds, 1);
    assert_true(fabs(found.seconds + found.last_s - 10.24) < 1e-6);
    assert_true(fabs(found.first_bytes - 1024 * MIB) < 1);
    assert_true(found.converges);
    assert_true(found.last_s > 0.2 && found.last_s <= 0.3);
    assert_true(found.again_bytes == 0 && found.throttle == 0);
}

/* 10 s, then what a fifth of the rate dirties of it, and so on, until next to nothing is dirtied in
 * a round; a little less than the sum without pages that are dirtied twice. */
static void rounds_get_shorter(void **unused)
{
    GwPrecopyInput input = ordinary();
    GwPrecopy found = gw_precopy_run(&input);

    assert_int_equal(found.rounds, 4);
    assert_true(found.converges);
    assert_true(found.seconds > 12.2 && found.seconds < 12.6);
    assert_true(found.last_s > 0.2 && found.last_s <= 0.3);
    assert_true(found.throttle == 0);
}

/* Holes shrink the first round, and only that one. */
static void what_is_written_again_is_no_hole(void **unused)
{
    GwPrecopyInput input = ordinary();
    GwPrecopy full = gw_precopy_run(&input);

    input.wire_first = 0.5;
    GwPrecopy half = gw_precopy_run(&input);
    assert_true(fabs(half.first_bytes - full.first_bytes) < 1);
    assert_true(half.seconds < full.seconds * 0.6);
    assert_true(half.again_bytes > full.again_bytes * 0.4);
    input.wire_again = 0.5;
    GwPrecopy both = gw_precopy_run(&input);
    assert_true(both.seconds < half.seconds);
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

/* A guest that sleeps most of the time does not notice that it gets less of it. */
static void who_is_idle_is_hardly_slowed_down(void **unused)
{
    GwPrecopyInput input = ordinary();

    input.dirty_bps = 150 * MIB;
    GwPrecopy busy = gw_precopy_run(&input);
    input.cpu = 0.1;
    GwPrecopy idle = gw_precopy_run(&input);
    assert_true(busy.converges && idle.converges);
    assert_true(idle.throttle > 0.85 && busy.throttle < idle.throttle);
    assert_true(idle.seconds > busy.seconds * 1.5);
}

/* Who looks every five seconds slows a guest down sooner than who waits for the end of a round. */
static void who_looks_often_slows_down_soon(void **unused)
{
    GwPrecopyInput input = ordinary();

    input.memory_bytes = 16384 * MIB;
    input.written_bytes = 4096 * MIB;
    input.dirty_bps = 800 * MIB;
    GwPrecopy rarely = gw_precopy_run(&input);
    input.sync_s = 5;
    GwPrecopy often = gw_precopy_run(&input);
    assert_true(rarely.converges && often.converges);
    assert_true(often.seconds < rarely.seconds - 100);
    /* Nor does it look before the first round is over. */
    assert_true(often.seconds > 163);
}

static void it_is_monotone(void **unused)
{
    GwPrecopyInput input = ordinary();
    double last = 0;

    for (double memory = 0; memory < 65536; memory = memory * 1.3 + 1) {
        input.memory_bytes = memory * MIB;
        input.written_bytes = input.memory_bytes;
        GwPrecopy found = gw_precopy_run(&input);
        assert_true(found.seconds + found.last_s >= last);
        last = found.seconds + found.last_s;
    }
    input = ordinary();
    last = 0;
    for (double dirty = 0; dirty < 50; dirty += 0.5) { /* before it has to be slowed down */
        input.dirty_bps = dirty * MIB;
        GwPrecopy found = gw_precopy_run(&input);
        assert_true(found.first_bytes + found.again_bytes >= last);
        last = found.first_bytes + found.again_bytes;
    }
    input = ordinary();
    last = INFINITY;
    for (double link = 40; link < 10000; link *= 1.1) {
        input.wire_bps = link * MIB;
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

/* However little is gained in five seconds of a day. */
static void a_long_way_is_gone_to_its_end(void **unused)
{
    GwPrecopyInput input = ordinary();

    input.memory_bytes = input.written_bytes = 4 * 1048576 * MIB;
    input.dirty_bps = 70 * MIB;
    input.sync_s = 5;
    GwPrecopy found = gw_precopy_run(&input);
    assert_true(found.converges);
    assert_true(found.rounds < 100);
    assert_true(found.seconds > 4 * 1048576 / 100.0);
}

/* Each drawn by itself: any of them beside any other, absurd ones beside ordinary ones. */
static double any(GRand *random)
{
    static const double figures[] = { 0,        -1,        1,   1e-300, 1e9, 1e18,     1e300,
                                      INFINITY, -INFINITY, NAN, 0.5,    8,   64 * MIB, 1024 * MIB };

    return figures[g_rand_int_range(random, 0, G_N_ELEMENTS(figures))];
}

static void hostile_figures_do_no_harm(void **unused)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(11);

    for (guint i = 0; i < 100000; i++) {
        GwPrecopyInput input = { .memory_bytes = any(random),
                                 .dirty_bps = any(random),
                                 .written_bytes = any(random),
                                 .wire_bps = any(random),
                                 .wire_first = any(random),
                                 .wire_again = any(random),
                                 .cpu = any(random),
                                 .sync_s = any(random),
                                 .downtime_s = any(random),
                                 .auto_converge = g_rand_boolean(random) };
        GwPrecopy found = gw_precopy_run(&input);
        assert_true(found.seconds >= 0 && found.seconds <= 1e9);
        assert_true(found.first_bytes >= 0 && found.first_bytes <= 1e18);
        assert_true(found.again_bytes >= 0 && found.again_bytes <= 1e18);
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
        cmocka_unit_test(what_is_written_again_is_no_hole),
        cmocka_unit_test(who_is_idle_is_hardly_slowed_down),
        cmocka_unit_test(who_looks_often_slows_down_soon),
        cmocka_unit_test(what_outruns_the_link_is_slowed_down),
        cmocka_unit_test(it_is_monotone),
        cmocka_unit_test(a_sample_is_undone_where_pages_are_dirtied_twice),
        cmocka_unit_test(a_long_way_is_gone_to_its_end),
        cmocka_unit_test(hostile_figures_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
