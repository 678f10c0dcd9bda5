/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/day.h"
#include "trials.h"

/* A day of a small data centre, with all that happens in one (bench/day.h): what must hold did, all
 * along. A day is its seed: GODWIT_SEED, GODWIT_TRIALS; bench/run day shows one by itself. */

#define DAYS_DEFAULT 1

static gint64 number_of(json_t *report, const char *key)
{
    json_t *value = json_object_get(report, key);

    if (value == NULL)
        fail_msg("no '%s' in the report", key);
    return (gint64)json_number_value(value);
}

static void run_day(guint32 seed, gpointer user)
{
    const DayOptions options = { .seed = seed,
                                 .hosts = 20,
                                 .vms = 200,
                                 .minutes = DAY_MINUTES,
                                 .step_s = 30,
                                 .pause_minutes = 400 };
    g_autoptr(GPtrArray) broken = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GwJson) report = day_run(&options, broken);
    guint *drained = user;

    for (guint i = 0; i < broken->len; i++)
        print_error("%s\n", (char *)broken->pdata[i]);
    if (broken->len > 0)
        fail_msg("%u things that must hold did not; the first: %s", broken->len,
                 (char *)broken->pdata[0]);
    json_t *happened = json_object_get(report, "happened");
    assert_true(number_of(report, "moves_of_plans") > 0);
    assert_true(number_of(report, "undrained") > 0);
    assert_true(number_of(happened, "created") > 0);
    assert_true(number_of(happened, "stopped") > 0);
    *drained += (guint)number_of(report, "drained");
}

static void a_day_goes_by(void **unused)
{
    guint drained = 0;
    guint32 days = trials_run(DAYS_DEFAULT, run_day, &drained);
    (void)unused;

    if (days >= DAYS_DEFAULT)
        assert_true(drained > 0); /* not each one failed for a good reason */
}

/* The same seed is the same day, whatever the machine does meanwhile. */
static void a_day_can_be_repeated(void **unused)
{
    const DayOptions options = {
        .seed = 2, .hosts = 10, .vms = 60, .minutes = 90, .step_s = 30, .pause_minutes = 60
    };
    g_autofree char *first = NULL;
    (void)unused;

    for (guint i = 0; i < 2; i++) {
        g_autoptr(GPtrArray) broken = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GwJson) report = day_run(&options, broken);
        assert_int_equal(broken->len, 0);
        assert_true(number_of(report, "moves") > 0);
        json_object_del(report, "plan_cpu_ms_sum"); /* which are this machine's */
        json_object_del(report, "plan_cpu_ms_most");
        json_object_del(report, "most_mib");
        json_object_del(report, "cpu_s");
        g_autofree char *text = gw_json_text(report);
        if (first == NULL)
            first = g_steal_pointer(&text);
        else
            assert_string_equal(first, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_day_goes_by),
        cmocka_unit_test(a_day_can_be_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
