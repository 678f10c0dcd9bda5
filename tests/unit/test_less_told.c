/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "less_told.h"
#include "plan/rule.h"
#include "ranking_check.h"
#include "unit.h"

/* Every scenario and every plan again, of which less is known: hosts, VMs and jobs without this or
 * that. What is not told forbids nothing by itself, but the planner answers, the same each time;
 * what it finds is said in full (I8), and what it plans holds. */

#define ROUNDS 8

static json_t *base;

static LessTold random_way(guint32 seed)
{
    static const guint percents[] = { 2, 10, 30, 60 };

    return (LessTold){ .random = g_rand_new_with_seed(seed),
                       .percent = percents[seed % G_N_ELEMENTS(percents)],
                       .extremes = seed % 3 == 0 ? 5 : 0 };
}

static char *text_of(const GwRecord *record, gconstpointer item)
{
    GString *text = g_string_new(NULL);

    gw_record_write(record, item, 0, text);
    return g_string_free(text, FALSE);
}

static void same(const GwRecord *record, gconstpointer a, gconstpointer b)
{
    g_autofree char *one = text_of(record, a), *other = text_of(record, b);
    assert_string_equal(one, other);
}

/* Findings ---------------------------------------------------------------------------------- */

static gboolean is_rule(const char *name)
{
    for (guint i = 0; gw_rules[i] != NULL; i++) {
        if (g_strcmp0(gw_rules[i]->name, name) == 0)
            return TRUE;
    }
    return FALSE;
}

static gboolean says(const char *text)
{
    return text != NULL && *text != '\0' && strstr(text, "(null)") == NULL;
}

static void check_findings(const GwCandidate *candidate)
{
    gboolean refused = FALSE;

    for (guint i = 0; i < candidate->findings->len; i++) {
        const GwFinding *finding = candidate->findings->pdata[i];
        if (!is_rule(finding->rule) || !says(finding->observed) || !says(finding->required) ||
            !says(finding->remedy))
            fail_msg("a finding of '%s' does not say what, whereto and how: %s / %s / %s",
                     finding->rule, finding->observed, finding->required, finding->remedy);
        refused = refused || finding->severity == (int)GW_SEVERITY_ERROR;
    }
    assert_int_equal(!candidate->suitable, refused);
}

/* Of a shell: a line each, that begins with a command or is a comment. */
static void check_script(char **lines)
{
    for (guint i = 0; lines[i] != NULL; i++) {
        assert_null(strpbrk(lines[i], "\r\n"));
        if (!g_regex_match_simple("^(#|virsh |godwit |umask )", lines[i], 0, 0))
            fail_msg("no command: %s", lines[i]);
        if (!says(lines[i]))
            fail_msg("a line without a word: %s", lines[i]);
    }
    g_strfreev(lines);
}

static void check_move(Scenario *s)
{
    GwPlanInput input = scenario_input(s);
    g_autoptr(GwCandidate) candidate = gw_plan_candidate(&input);
    g_autoptr(GwCandidate) again = gw_plan_candidate(&input);
    g_autoptr(GwPredictor) predictor = gw_predictor_new(s->fabric);

    check_findings(candidate);
    same(&gw_candidate_record, candidate, again);
    gw_plan_rate(&input, candidate);
    assert_in_range(candidate->rating->stars, 0, 5);
    if (!candidate->suitable)
        return;
    g_autoptr(GwPrediction) prediction = gw_predict(predictor, &input, candidate);
    assert_non_null(prediction);
    g_autoptr(GwMoveDecision) decision = gw_plan_decide(&input);
    check_script(gw_plan_script_cli(&input));
    check_script(gw_plan_script_virsh(&input, decision, s->peer_to_peer));
}

/* Everywhere --------------------------------------------------------------------------------- */

static void check_place(Scenario *s)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwMoveOptions) chosen = NULL;
    g_autoptr(GwCandidate) best =
        gw_plan_place(s->fabric, s->vm, s->where, s->options, &chosen, &error);

    assert_int_equal(best != NULL, error == NULL);
    assert_int_equal(best != NULL, chosen != NULL);
    if (best == NULL)
        assert_true(says(error->message));
    else
        assert_true(best->suitable);
}

static void check_undo(Scenario *s)
{
    GHashTableIter iter;
    gpointer job = NULL;

    g_hash_table_iter_init(&iter, s->fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &job)) {
        g_autoptr(GwMoveRequest) move = NULL;
        g_autoptr(GwStorageRequest) storage = NULL;
        g_autoptr(GwUndoPlan) plan = gw_plan_undo(s->fabric, job, &move, &storage);
        assert_int_equal(plan->possible, plan->why_not == NULL);
        assert_true(move == NULL || storage == NULL);
        if (!plan->possible)
            assert_true(says(plan->why_not) && says(plan->remedy));
    }
}

static void check_everywhere(Scenario *s)
{
    g_autoptr(GPtrArray) all = ranking_check(s->fabric, s->vm, s->options, 1, NULL);

    for (guint i = 0; i < all->len; i++)
        check_findings(all->pdata[i]);
    check_place(s);
    check_undo(s);
}

static json_t *load_json(const char *folder, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(folder, name, NULL);
    json_t *in = gw_json_load(path, &error);

    if (in == NULL)
        fail_msg("%s: %s", path, error->message);
    return in;
}

static Scenario *load(json_t *in)
{
    g_autoptr(GError) error = NULL;
    Scenario *s = scenario_new(base, in, &error);

    if (s == NULL)
        fail_msg("%s", error->message);
    return s;
}

static void scenarios(void **state)
{
    g_autoptr(GPtrArray) folders = scenario_folders(GW_SCENARIOS);
    guint rounds = unit_trials(ROUNDS);

    for (guint i = 0; i < folders->len; i++) {
        g_autoptr(GwJson) in = load_json(folders->pdata[i], "in.json");
        for (guint k = 0; k < rounds; k++) {
            LessTold how = random_way(i * ROUNDS + k);
            Scenario *s = load(in);
            less_told(s, &how);
            if (s->destination != NULL)
                check_move(s);
            check_everywhere(s);
            scenario_free(s);
            g_rand_free(how.random);
        }
    }
}

/* Plans -------------------------------------------------------------------------------------- */

static void check_plan(Scenario *s, const GwPlanRequest *request, const char *folder)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwMigrationPlan) plan = gw_plan_many(s->fabric, request, NULL, &error);
    g_autoptr(GwMigrationPlan) again = gw_plan_many(s->fabric, request, NULL, NULL);

    assert_int_equal(plan != NULL, again != NULL);
    if (plan == NULL) {
        assert_true(says(error->message));
        return;
    }
    same(&gw_migration_plan_record, plan, again);
    if (!gw_plan_many_check(s->fabric, plan, &error) ||
        !gw_plan_many_asked(s->fabric, plan, &error) ||
        !gw_plan_check_drift(s->fabric, plan, &error))
        fail_msg("%s: %s", folder, error->message);
    gw_plan_many_retime(s->fabric, plan);
    if (!gw_plan_many_check(s->fabric, plan, &error))
        fail_msg("%s, with times anew: %s", folder, error->message);
    for (guint i = 0; i < plan->stays->len; i++)
        assert_true(says(((GwPlannedStay *)plan->stays->pdata[i])->why));
}

static void plans(void **state)
{
    g_autoptr(GPtrArray) folders = scenario_folders(GW_PLANS);
    guint rounds = unit_trials(ROUNDS);

    for (guint i = 0; i < folders->len; i++) {
        g_autoptr(GwJson) in = load_json(folders->pdata[i], "input.json");
        scenario_complete_plan(in);
        g_autoptr(GwPlanRequest) request =
            gw_record_from_request(&gw_plan_request_record, json_object_get(in, "request"), NULL);
        assert_non_null(request);
        for (guint k = 0; k < rounds; k++) {
            LessTold how = random_way(i * ROUNDS + k);
            Scenario *s = load(in);
            less_told(s, &how);
            check_plan(s, request, folders->pdata[i]);
            scenario_free(s);
            g_rand_free(how.random);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(scenarios), cmocka_unit_test(plans) };
    g_autofree char *path = g_build_filename(GW_SCENARIOS, "base.json", NULL);

    base = gw_json_load(path, NULL);
    g_assert(base != NULL);
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(base);
    return failures;
}
