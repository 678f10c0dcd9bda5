/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs every folder of tests/plans: input.json is a fabric (on top of tests/scenarios/base.json)
 * and the request, with what it is about ("predict": by predictions, not by sizes); plan.txt is the
 * plan that is to come of it, in words. GODWIT_REGENERATE=1 writes that anew; read it before it is
 * committed. Each plan is also replayed by the checker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "plan_words.h"
#include "scenario.h"

static json_t *base;

static void compare(const char *folder, const char *got)
{
    g_autofree char *path = g_build_filename(folder, "plan.txt", NULL);
    g_autofree char *wanted = NULL;
    g_autoptr(GError) error = NULL;

    if (g_strcmp0(g_getenv("GODWIT_REGENERATE"), "1") == 0) {
        assert_true(g_file_set_contents(path, got, -1, &error));
        return;
    }
    if (!g_file_get_contents(path, &wanted, NULL, &error))
        fail_msg("%s", error->message);
    if (strcmp(wanted, got) != 0) {
        print_message("# %s would be:\n%s", path, got);
        fail_msg("%s differs", path);
    }
}

static void run_plan(void **state)
{
    const char *folder = *state;
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(folder, "input.json", NULL);
    g_autoptr(GwJson) in = gw_json_load(path, &error);

    if (in == NULL)
        fail_msg("%s: %s", path, error->message);
    scenario_complete_plan(in);
    Scenario *s = scenario_new(base, in, &error);
    if (s == NULL)
        fail_msg("%s: %s", path, error->message);
    g_autoptr(GwPlanRequest) request =
        gw_record_from_request(&gw_plan_request_record, json_object_get(in, "request"), &error);
    if (request == NULL)
        fail_msg("%s: %s", path, error->message);
    gboolean predict = json_is_true(json_object_get(in, "predict"));
    g_autoptr(GwPredictor) predictor = predict ? gw_predictor_new(s->fabric) : NULL;
    g_autoptr(GwMigrationPlan) plan = gw_plan_many(s->fabric, request, predictor, &error);
    if (plan == NULL)
        fail_msg("%s: %s", path, error->message);
    if (!gw_plan_many_check(s->fabric, plan, &error))
        fail_msg("%s: %s", path, error->message);
    g_autofree char *words = plan_words(plan);
    g_autofree char *text =
        g_strdup_printf("%s\n\n%s", json_string_value(json_object_get(in, "about")), words);
    compare(folder, text);
    scenario_free(s);
}

int main(void)
{
    g_autoptr(GPtrArray) folders = scenario_folders(GW_PLANS);
    g_autoptr(GArray) tests = g_array_new(FALSE, TRUE, sizeof(struct CMUnitTest));
    g_autofree char *path = g_build_filename(GW_SCENARIOS, "base.json", NULL);
    g_autoptr(GError) error = NULL;

    base = gw_json_load(path, &error);
    if (base == NULL)
        g_error("%s", error->message);
    for (guint i = 0; i < folders->len; i++) {
        struct CMUnitTest test = cmocka_unit_test_prestate(run_plan, folders->pdata[i]);
        test.name = strrchr(folders->pdata[i], '/') + 1;
        g_array_append_val(tests, test);
    }
    return _cmocka_run_group_tests("plans", (struct CMUnitTest *)(void *)tests->data, tests->len,
                                   NULL, NULL);
}
