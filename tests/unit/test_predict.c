/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <math.h>
#include <string.h>

#include "plan/predict.h"
#include "scenario.h"

/* Predictions as a whole: that they are monotone, learn, and survive any figure. What they say of
 * moves that were really made is in test_predict_replay.c. */

#define MIB ((gint64)1048576)

static Scenario *ask(const char *json)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(GW_SCENARIOS, "base.json", NULL);
    g_autoptr(GwJson) base = gw_json_load(path, &error);
    g_autofree char *text = g_strdelimit(g_strdup(json), "'", '"');
    g_autoptr(GwJson) in = gw_json_parse(text, strlen(text), GW_JSON_TEXT_MAX, &error);
    Scenario *s = base != NULL && in != NULL ? scenario_new(base, in, &error) : NULL;

    if (s == NULL)
        fail_msg("%s", error->message);
    return s;
}

/* One whose figures a test may set. */
static Scenario *ordinary(void)
{
    Scenario *s = ask("{'destination': 'kvm2', 'options': {}}");
    GwVm *vm = (GwVm *)s->vm;

    vm->usage = gw_vm_usage_new_unknown();
    vm->usage->memory_used_kib = 2 * 1024 * 1024;
    vm->usage->dirty_bps = 10 * MIB;
    return s;
}

static GwPrediction *predict(const Scenario *s)
{
    GwPlanInput input = scenario_input(s);
    g_autoptr(GwPredictor) predictor = gw_predictor_new(s->fabric);
    g_autoptr(GwCandidate) candidate = gw_plan_candidate(&input);

    return gw_predict(predictor, &input, candidate);
}

static void assert_interval(const GwInterval *interval)
{
    assert_non_null(interval);
    assert_true(interval->low >= 0);
    assert_true(interval->low <= interval->likely);
    assert_true(interval->likely <= interval->high);
}

static void assert_sane(const GwPrediction *said)
{
    assert_interval(said->total_ms);
    assert_interval(said->bytes);
    if (said->downtime_ms != NULL)
        assert_interval(said->downtime_ms);
    assert_true(said->link_bps >= 0);
    assert_true(said->dirty_bps >= -1);
    assert_true(said->memory_bytes >= 0 && said->disk_bytes >= 0);
    assert_true(g_strv_length(said->basis) > 0);
}

/* A finished move of that many MiB in that many ms, number @n of the fabric. */
static void add_move(GwFabric *fabric, guint n, gint64 ms, gint64 mib)
{
    GwJob *job = gw_job_new();

    job->id = g_strdup_printf("J%06u", n);
    job->kind = g_strdup(GW_JOB_KIND_MIGRATE);
    job->state = GW_JOB_DONE;
    job->transfer = GW_TRANSFER_LIVE;
    job->source_host_id = g_strdup(n % 2 == 0 ? "kvm1" : "kvm2");
    job->destination_host_id = g_strdup(n % 2 == 0 ? "kvm2" : "kvm1");
    job->commit_by_resume = TRUE;
    job->options = gw_move_options_new();
    job->result = gw_move_result_new();
    job->result->total_ms = ms;
    job->result->copy_ms = MAX(ms - 400, 0);
    job->result->downtime_ms = 250;
    job->result->transferred_bytes = mib * MIB;
    job->result->method = g_strdup("Standard");
    job->prediction = gw_prediction_new();
    job->prediction->memory_bytes = mib * MIB;
    gw_fabric_put_job(fabric, job);
}

static void it_is_monotone_in_memory(void **unused)
{
    gint64 time = 0, bytes = 0;

    for (gint64 mib = 64; mib <= 4096; mib += 64) {
        Scenario *s = ordinary();
        s->vm->usage->memory_used_kib = mib * 1024;
        g_autoptr(GwPrediction) said = predict(s);
        assert_sane(said);
        assert_true(said->total_ms->likely >= time);
        assert_true(said->bytes->likely >= bytes);
        time = said->total_ms->likely;
        bytes = said->bytes->likely;
        scenario_free(s);
    }
    assert_true(bytes > 1000 * MIB);
}

static void it_is_monotone_in_dirtying(void **unused)
{
    gint64 bytes = 0;

    for (gint64 mibps = 0; mibps <= 80; mibps += 2) {
        Scenario *s = ordinary();
        s->vm->usage->dirty_bps = mibps * MIB;
        g_autoptr(GwPrediction) said = predict(s);
        assert_sane(said);
        assert_true(said->bytes->likely >= bytes);
        bytes = said->bytes->likely;
        scenario_free(s);
    }
}

static void it_is_monotone_in_the_link(void **unused)
{
    gint64 time = G_MAXINT64;

    for (gint64 mibps = 10; mibps <= 5000; mibps = mibps * 5 / 4) {
        Scenario *s = ordinary();
        for (guint n = 0; n < 6; n++)
            add_move(s->fabric, n, 1000 + 1024 * 1000 / mibps, 1024);
        g_autoptr(GwPrediction) said = predict(s);
        assert_sane(said);
        assert_int_equal(said->samples, 6);
        assert_true(said->total_ms->likely <= time);
        time = said->total_ms->likely;
        scenario_free(s);
    }
    assert_true(time < 3000);
}

static double width(const GwInterval *interval)
{
    return (double)interval->high / (double)MAX(interval->low, 1);
}

static void each_move_makes_it_surer(void **unused)
{
    double last = INFINITY;

    for (guint moves = 0; moves <= 12; moves += 3) {
        Scenario *s = ordinary();
        for (guint n = 0; n < moves; n++)
            add_move(s->fabric, n, 11000 + n % 3 * 200, 1024);
        g_autoptr(GwPrediction) said = predict(s);
        assert_int_equal(said->samples, moves);
        assert_true(width(said->total_ms) < last);
        last = width(said->total_ms);
        scenario_free(s);
    }
    assert_true(last <= 2);
}

static void a_new_link_is_noticed_after_two_moves(void **unused)
{
    Scenario *s = ordinary();

    for (guint n = 0; n < 10; n++)
        add_move(s->fabric, n, 11000, 1024);
    g_autoptr(GwPrediction) before = predict(s);
    for (guint n = 10; n < 12; n++)
        add_move(s->fabric, n, 52000, 1024);
    g_autoptr(GwPrediction) after = predict(s);
    assert_true(after->total_ms->likely > before->total_ms->likely * 3);
    assert_true(after->link_bps < before->link_bps / 3);
    scenario_free(s);
}

static gboolean rests_on(const GwPrediction *said, const char *words)
{
    for (guint i = 0; said->basis[i] != NULL; i++) {
        if (strstr(said->basis[i], words) != NULL)
            return TRUE;
    }
    return FALSE;
}

static void measure_link(Scenario *s, gint64 bytes_per_s)
{
    GwHost *host = (GwHost *)scenario_input(s).source;
    GwLinkFacts *link = gw_link_facts_new();

    link->host_id = g_strdup(s->destination->id);
    link->bytes_per_s = bytes_per_s;
    if (host->facts->agent == NULL)
        host->facts->agent = gw_agent_facts_new();
    if (host->facts->agent->links == NULL)
        host->facts->agent->links = gw_record_array(&gw_link_facts_record);
    g_ptr_array_add(host->facts->agent->links, link);
}

/* How fast they were is what a person chose. */
static void limited_moves_show_no_link(void **unused)
{
    Scenario *s = ordinary();
    g_autoptr(GwPrediction) before = predict(s);

    for (guint n = 0; n < 6; n++) {
        add_move(s->fabric, n, 51600, 1024);
        g_autofree char *id = g_strdup_printf("J%06u", n);
        GwJob *job = g_hash_table_lookup(s->fabric->jobs, id);
        job->options->bandwidth_mibps = 20;
    }
    g_autoptr(GwPrediction) guessed = predict(s);
    assert_int_equal(guessed->samples, 6);
    assert_int_equal(guessed->link_bps, before->link_bps);
    assert_true(rests_on(guessed, "rate: not known"));
    measure_link(s, 30 * MIB);
    g_autoptr(GwPrediction) measured = predict(s);
    assert_int_equal(measured->link_bps / MIB, 30);
    assert_true(rests_on(measured, "as the agents measured"));
    assert_true(width(guessed->total_ms) > width(measured->total_ms));
    for (guint n = 6; n < 8; n++) /* one that nobody limits is better than either */
        add_move(s->fabric, n, 11000, 1024);
    g_autoptr(GwPrediction) shown = predict(s);
    assert_true(rests_on(shown, "as 2 moves between these two hosts showed"));
    scenario_free(s);
}

/* A link that became another one: what was before it is neither counted nor relied upon. */
static void moves_before_a_new_link_do_not_count(void **unused)
{
    Scenario *s = ordinary();

    for (guint n = 0; n < 10; n++)
        add_move(s->fabric, n, 11000, 1024);
    for (guint n = 10; n < 12; n++)
        add_move(s->fabric, n, 52000, 1024);
    g_autoptr(GwPrediction) said = predict(s);
    assert_int_equal(said->samples, 2);
    assert_true(rests_on(said, "as 2 moves between these two hosts showed"));
    scenario_free(s);
}

/* Plans share the links out themselves. */
static void alone_it_shares_with_nobody(void **unused)
{
    Scenario *s = ordinary();
    GwHost *host = (GwHost *)s->destination;
    GwPlanInput input = scenario_input(s);
    g_autoptr(GwPredictor) predictor = gw_predictor_new(s->fabric);
    g_autoptr(GwCandidate) candidate = gw_plan_candidate(&input);
    GwPredictedPath path, limited;
    g_autoptr(GwPrediction) idle = gw_predict(predictor, &input, candidate);

    host->live_in_use = 3;
    g_autoptr(GwPrediction) shared = gw_predict(predictor, &input, candidate);
    g_autoptr(GwPrediction) alone = gw_predict_alone(predictor, &input, candidate, &path);
    assert_int_equal(shared->link_bps, idle->link_bps / 4);
    assert_int_equal(alone->link_bps, idle->link_bps);
    assert_int_equal(alone->total_ms->likely, idle->total_ms->likely);
    assert_int_equal(path.link, GW_LINK_GUESSED);
    s->options->bandwidth_mibps = 20;
    g_autoptr(GwPrediction) slow = gw_predict_alone(predictor, &input, candidate, &limited);
    assert_int_equal(slow->link_bps, 20 * MIB);
    assert_true(limited.bps >= path.bps && limited.bps <= path.bps);
    scenario_free(s);
}

static void what_is_not_known_widens_it(void **unused)
{
    Scenario *s = ordinary();
    g_autoptr(GwPrediction) known = predict(s);

    for (guint n = 0; n < 6; n++)
        add_move(s->fabric, n, 11000, 1024);
    g_autoptr(GwPrediction) learned = predict(s);
    s->vm->usage->dirty_bps = -1;
    g_autoptr(GwPrediction) unsampled = predict(s);
    assert_true(width(unsampled->total_ms) > width(learned->total_ms));
    assert_int_equal(unsampled->converges, GW_CONVERGES_UNKNOWN);
    assert_int_equal(unsampled->dirty_bps, -1);
    assert_true(width(known->total_ms) > width(unsampled->total_ms));
    scenario_free(s);
}

static gint64 any(GRand *random)
{
    static const gint64 figures[] = { -1, 0, 1, 1000, G_MAXINT32, G_MAXINT64, G_MININT64 };
    guint which = (guint)g_rand_int_range(random, 0, G_N_ELEMENTS(figures) + 1);

    return which < G_N_ELEMENTS(figures)
               ? figures[which]
               : (gint64)(g_rand_int(random) >> 1) * (g_rand_int(random) >> 1);
}

static void add_hostile_move(GwFabric *fabric, guint n, GRand *random)
{
    static const char *const times[] = { NULL,
                                         "",
                                         "yesterday",
                                         "2026-03-01T10:00:00Z",
                                         "9999-12-31T23:59:59Z",
                                         "0001-01-01T00:00:00Z" };
    add_move(fabric, n, 1000, 10);
    g_autofree char *id = g_strdup_printf("J%06u", n);
    GwJob *job = g_hash_table_lookup(fabric->jobs, id);

    job->transfer = g_rand_int_range(random, 0, GW_TRANSFER_STORAGE + 1);
    job->result->total_ms = any(random);
    job->result->queued_ms = any(random);
    job->result->copy_ms = any(random);
    job->result->downtime_ms = any(random);
    job->result->transferred_bytes = any(random);
    job->result->disk_sent_bytes = any(random);
    job->prediction->memory_bytes = any(random);
    job->prediction->disk_bytes = any(random);
    job->prediction->dirty_bps = any(random);
    job->options->bandwidth_mibps = any(random);
    job->options->max_downtime_ms = any(random);
    job->started_at = g_strdup(times[g_rand_int_range(random, 0, G_N_ELEMENTS(times))]);
    job->finished_at = g_strdup(times[g_rand_int_range(random, 0, G_N_ELEMENTS(times))]);
}

static void hostile_figures_do_no_harm(void **unused)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(7);

    for (guint trial = 0; trial < 300; trial++) {
        Scenario *s = ordinary();
        GwVm *vm = (GwVm *)s->vm;
        GwHost *host = (GwHost *)s->destination;
        for (guint n = 0; n < trial % 12; n++)
            add_hostile_move(s->fabric, n, random);
        vm->memory_kib = vm->max_memory_kib = any(random);
        vm->usage->memory_used_kib = any(random);
        vm->usage->dirty_bps = any(random);
        vm->usage->disk_allocated_bytes = any(random);
        host->live_in_use = any(random);
        host->bandwidth_mibps = any(random);
        s->options->max_downtime_ms = any(random);
        g_autoptr(GwPrediction) said = predict(s);
        assert_sane(said);
        scenario_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_monotone_in_memory),
        cmocka_unit_test(it_is_monotone_in_dirtying),
        cmocka_unit_test(it_is_monotone_in_the_link),
        cmocka_unit_test(each_move_makes_it_surer),
        cmocka_unit_test(a_new_link_is_noticed_after_two_moves),
        cmocka_unit_test(limited_moves_show_no_link),
        cmocka_unit_test(moves_before_a_new_link_do_not_count),
        cmocka_unit_test(alone_it_shares_with_nobody),
        cmocka_unit_test(what_is_not_known_widens_it),
        cmocka_unit_test(hostile_figures_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
