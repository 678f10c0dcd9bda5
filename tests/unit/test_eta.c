/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include "job/eta.h"
#include "model/migration_plan.h"

/* The time that is left: the prediction at first, what is measured later, nothing absurd ever. */

#define WALL ((gint64)1700000000 * G_USEC_PER_SEC)
#define MIB ((gint64)1 << 20)

static gint64 left(gint64 predicted_ms, gint64 elapsed_ms, double done, gint64 measured_ms)
{
    const GwEta eta = { .predicted_ms = predicted_ms,
                        .elapsed_ms = elapsed_ms,
                        .done = done,
                        .measured_ms = measured_ms };
    return gw_eta_left_ms(&eta);
}

static void at_first_it_is_the_prediction(void **state)
{
    (void)state;
    assert_int_equal(left(60000, 0, 0, -1), 60000);
    assert_int_equal(left(60000, 10000, 0, -1), 50000);
    /* The rate of the first moment is no rate. */
    assert_int_equal(left(60000, 0, 0, 0), 60000);
    assert_int_equal(left(60000, 0, 0, G_MAXINT64), 60000);
    assert_int_equal(left(60000, 0, 0, 86400000), 60000);
}

static void later_it_is_what_is_measured(void **state)
{
    (void)state;
    assert_int_equal(left(60000, 0, 0.25, 100000), 80000);
    assert_int_equal(left(60000, 0, 0.5, 100000), 100000);
    assert_int_equal(left(60000, 0, 1, 0), 0);
    /* Half of the predicted time is over, and little is copied: half of each counts. */
    assert_int_equal(left(60000, 30000, 0.01, 200000), 115000);
    /* More time is over than was predicted. */
    assert_int_equal(left(60000, 90000, 0.1, 200000), 200000);
}

static void what_is_unknown_is_said_so(void **state)
{
    (void)state;
    assert_int_equal(left(0, 0, 0, -1), -1);
    assert_int_equal(left(0, 5000, 0.5, -1), -1);
    assert_int_equal(left(60000, 70000, 0.5, -1), -1);
    /* No prediction: what is measured, but not before anything is copied. */
    assert_int_equal(left(0, 0, 0, 12345), -1);
    assert_int_equal(left(0, 0, 0.001, 12345), 12345);
    /* A copy that hardly moves. */
    assert_int_equal(left(0, 0, 0.001, G_MAXINT64), -1);
    assert_int_equal(left(60000, 0, 0.9, G_MAXINT64), -1);
}

static void it_is_never_negative_nor_absurd(void **state)
{
    static const gint64 times[] = { G_MININT64, -1,       0,         1,
                                    999,        60000,    86400000,  (gint64)1 << 40,
                                    1 << 30,    G_MAXINT, G_MAXINT64 };
    static const double shares[] = { -1e300, -1, 0, 1e-9, 0.3, 0.5, 0.999, 1, 7, 1e300 };
    (void)state;

    for (guint i = 0; i < G_N_ELEMENTS(times); i++) {
        for (guint j = 0; j < G_N_ELEMENTS(times); j++) {
            for (guint k = 0; k < G_N_ELEMENTS(times) * G_N_ELEMENTS(shares); k++) {
                gint64 ms = left(MAX(times[i], 0), times[j], shares[k % G_N_ELEMENTS(shares)],
                                 times[k / G_N_ELEMENTS(shares)]);
                assert_true(ms >= -1 && ms <= (gint64)30 * 86400 * 1000);
            }
        }
    }
}

static void a_limit_makes_it_longer(void **state)
{
    GwEta eta = { .predicted_ms = 60000, .measured_ms = -1, .link_bps = 100 * MIB };
    (void)state;

    eta.limit_bps = 200 * MIB;
    assert_int_equal(gw_eta_left_ms(&eta), 60000);
    eta.limit_bps = 50 * MIB;
    assert_int_equal(gw_eta_left_ms(&eta), 120000);
    eta.link_bps = 0;
    assert_int_equal(gw_eta_left_ms(&eta), 60000);
}

static void a_job_says_it(void **state)
{
    g_autoptr(GwJob) job = gw_job_new();
    (void)state;

    assert_int_equal(gw_eta_of_job(job, WALL, 0, 0, -1), -1);
    assert_int_equal(gw_eta_of_job(job, WALL, 1, 2, 4000), 4000);
    job->prediction = gw_prediction_new();
    job->prediction->total_ms = gw_interval_new();
    job->prediction->total_ms->likely = 20000;
    job->prediction->link_bps = 100 * MIB;
    job->started_at = g_strdup("2023-11-14T22:13:15Z"); /* 5 s before */
    assert_int_equal(gw_eta_of_job(job, WALL, 0, 100, -1), 15000);
    /* The clock was set back. */
    assert_int_equal(gw_eta_of_job(job, WALL - (gint64)3600 * G_USEC_PER_SEC, 0, 100, -1), 20000);
    job->options = gw_move_options_new();
    job->options->bandwidth_mibps = 25;
    assert_int_equal(gw_eta_of_job(job, WALL, 0, 100, -1), 60000);
    job->options->bandwidth_mibps = G_MAXINT64;
    assert_int_equal(gw_eta_of_job(job, WALL, 0, 100, -1), 15000);
    assert_int_equal(gw_eta_of_job(job, WALL, 90, 100, 1500), 1500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_first_it_is_the_prediction),
        cmocka_unit_test(later_it_is_what_is_measured),
        cmocka_unit_test(what_is_unknown_is_said_so),
        cmocka_unit_test(it_is_never_negative_nor_absurd),
        cmocka_unit_test(a_limit_makes_it_longer),
        cmocka_unit_test(a_job_says_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
