/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs every folder of tests/scenarios: in.json is the fabric and the question, plan.json what is
 * to come of it, why.txt the same for people. GODWIT_REGENERATE=1 writes the two anew; read them
 * before they are committed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "ranking_check.h"
#include "scenario.h"
#include "scenario_hbas.h"

static GHashTable *fired;  /* rule -> itself: rules that found something somewhere */
static GHashTable *silent; /* rule -> itself: rules that found nothing somewhere */
static json_t *base;

static Scenario *load_scenario(const char *folder)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(folder, "in.json", NULL);
    g_autoptr(GwJson) in = gw_json_load(path, &error);
    Scenario *s = in != NULL ? scenario_new(base, in, &error) : NULL;

    if (s == NULL)
        fail_msg("%s: %s", path, error->message);
    return s;
}

static GPtrArray *candidates_of(const Scenario *s)
{
    if (s->destination == NULL)
        return gw_plan_candidates(s->fabric, s->vm, s->options);
    GwPlanInput input = scenario_input(s);
    GPtrArray *one = gw_record_array(&gw_candidate_record);
    GwCandidate *candidate = gw_plan_candidate(&input);
    if (s->rate)
        gw_plan_rate(&input, candidate);
    if (s->predict && candidate->suitable) {
        g_autoptr(GwPredictor) predictor = gw_predictor_new(s->fabric);
        candidate->prediction = gw_predict(predictor, &input, candidate);
    }
    g_ptr_array_add(one, candidate);
    return one;
}

static void note_rules(const GwCandidate *candidate)
{
    for (guint i = 0; gw_rules[i] != NULL; i++) {
        const char *name = gw_rules[i]->name;
        gboolean found =
            gw_record_find(&gw_finding_record, candidate->findings, "rule", name) != NULL;
        g_hash_table_add(found ? fired : silent, (gpointer)name);
    }
}

/* Where anything of the VM goes elsewhere, or a type was asked for: the rest says nothing. */
static gboolean shows_storage(const Scenario *s, const GwCandidate *candidate)
{
    if (s->options != NULL && s->options->transfer != (int)GW_TRANSFER_NONE)
        return TRUE;
    for (guint i = 0; candidate->disks != NULL && i < candidate->disks->len; i++) {
        const GwDiskMove *move = candidate->disks->pdata[i];
        if (move->how != (int)GW_DISK_STAYS && move->how != (int)GW_DISK_LEFT)
            return TRUE;
    }
    return candidate->transfer > (int)GW_TRANSFER_LIVE_VSM;
}

/* "images/web1.qcow2 qcow2, backed by /x; made" */
static char *image_words(const GwImageMove *image)
{
    const GwVolume *to = image->to;
    GString *out = g_string_new(NULL);

    if (to->pool != NULL)
        g_string_append_printf(out, "%s/%s at ", to->pool, to->name);
    g_string_append_printf(out, "%s%s%s (%s, %s)", to->server != NULL ? to->server : "",
                           to->server != NULL ? " " : "", to->path, to->kind,
                           to->format != NULL ? to->format : "?");
    if (to->backing_path != NULL)
        g_string_append_printf(out, " on %s", to->backing_path);
    if (to->owner != NULL)
        g_string_append_printf(out, " %s:%s %s", to->owner, to->group, to->mode);
    if (to->cluster_bytes > 0)
        g_string_append_printf(out, " clusters of %" G_GINT64_FORMAT, to->cluster_bytes);
    g_string_append_printf(out, "%s%s%s%s", image->create ? "; made" : "; there",
                           image->replace ? "; replaced" : "", image->delta ? "; delta" : "",
                           image->flatten ? "; flattened" : "");
    return g_string_free(out, FALSE);
}

static json_t *disks_json(const GwCandidate *candidate)
{
    json_t *disks = json_array();

    for (guint i = 0; i < candidate->disks->len; i++) {
        const GwDiskMove *move = candidate->disks->pdata[i];
        json_t *images = json_array();
        for (guint k = 0; k < move->images->len; k++) {
            g_autofree char *words = image_words(move->images->pdata[k]);
            json_array_append_new(images, json_string(words));
        }
        for (guint k = 0; move->left != NULL && k < move->left->len; k++) {
            const GwVolume *left = move->left->pdata[k];
            g_autofree char *words = g_strdup_printf("left: %s", left->path);
            json_array_append_new(images, json_string(words));
        }
        json_array_append_new(disks, json_pack("{s:s, s:s, s:I, s:I, s:o}", "target", move->target,
                                               "how", gw_enum_word(&gw_disk_how_enum, move->how),
                                               "need", (json_int_t)move->need_bytes, "copy",
                                               (json_int_t)move->copy_bytes, "images", images));
    }
    return disks;
}

/* Where an adapter is not on what it is on by the same words, or one was chosen. */
static gboolean shows_networks(const Scenario *s, const GwCandidate *candidate)
{
    if (s->options != NULL && s->options->nics != NULL && s->options->nics->len > 0)
        return candidate->nics != NULL;
    for (guint i = 0; candidate->nics != NULL && i < candidate->nics->len; i++) {
        const GwNicMove *move = candidate->nics->pdata[i];
        if (move->changes || move->match > (int)GW_NIC_NAME || move->match == (int)GW_NIC_NONE)
            return TRUE;
    }
    return FALSE;
}

/* "52:54:00:00:00:01 bridge br0 to network lan (fast), link down; by subnet; changes" */
static char *nic_words(const GwNicMove *move)
{
    GString *out = g_string_new(NULL);
    const GwNic *ends[] = { move->from, move->to };

    g_string_append(out, move->mac);
    for (guint i = 0; i < G_N_ELEMENTS(ends); i++) {
        const GwNic *nic = ends[i];
        g_autofree char *vlans =
            nic != NULL && nic->vlans != NULL ? g_strjoinv("+", nic->vlans) : NULL;
        if (nic == NULL) {
            g_string_append(out, " to nothing");
            continue;
        }
        g_string_append_printf(out, "%s %s %s", i > 0 ? " to" : "", nic->type,
                               nic->source != NULL ? nic->source : "-");
        if (nic->port_group != NULL)
            g_string_append_printf(out, " (%s)", nic->port_group);
        if (vlans != NULL && *vlans != '\0')
            g_string_append_printf(out, " VLAN %s", vlans);
        g_string_append_printf(out, "%s%s%s", nic->virtual_port != NULL ? " " : "",
                               nic->virtual_port != NULL ? nic->virtual_port : "",
                               nic->link_down ? ", link down" : "");
    }
    g_string_append_printf(out, "; by %s%s", gw_enum_word(&gw_nic_match_enum, move->match),
                           move->changes ? "; changes" : "");
    return g_string_free(out, FALSE);
}

static json_t *nics_json(const GwCandidate *candidate)
{
    json_t *nics = json_array();

    for (guint i = 0; i < candidate->nics->len; i++) {
        g_autofree char *words = nic_words(candidate->nics->pdata[i]);
        json_array_append_new(nics, json_string(words));
    }
    return nics;
}

static void why_networks(GString *out, const GwCandidate *candidate)
{
    for (guint i = 0; i < candidate->nics->len; i++) {
        const GwNicMove *move = candidate->nics->pdata[i];
        g_autofree char *words = nic_words(move);
        g_string_append_printf(out, "  adapter %s\n    %s\n", words, move->why);
    }
}

/* "memory 3.5 of 50", "maintenance 0 excludes" */
static json_t *rating_json(const GwRating *rating)
{
    json_t *factors = json_array();

    for (guint i = 0; i < rating->factors->len; i++) {
        const GwRatingFactor *f = rating->factors->pdata[i];
        g_autofree char *line =
            g_strdup_printf("%s %g of %" G_GINT64_FORMAT "%s", f->name, f->stars, f->weight,
                            f->excludes ? " excludes"
                            : f->lowers ? " lowers"
                                        : "");
        json_array_append_new(factors, json_string(line));
    }
    return json_pack("{s:f, s:I, s:s?, s:o}", "stars", rating->stars, "points",
                     (json_int_t)rating->points, "storage", rating->storage, "factors", factors);
}

static json_t *candidate_json(const Scenario *s, const GwCandidate *candidate)
{
    json_t *findings = json_array();

    for (guint i = 0; i < candidate->findings->len; i++) {
        const GwFinding *f = candidate->findings->pdata[i];
        g_autofree char *line = g_strdup_printf(
            "%s %s %s", gw_enum_word(&gw_severity_enum, f->severity), f->rule, f->requirement);
        json_array_append_new(findings, json_string(line));
    }
    json_t *json = json_pack("{s:s, s:s, s:b, s:o}", "host", candidate->host_name, "transfer",
                             gw_enum_word(&gw_transfer_enum, candidate->transfer), "suitable",
                             candidate->suitable, "findings", findings);
    if (shows_storage(s, candidate))
        json_object_set_new(json, "disks", disks_json(candidate));
    if (shows_networks(s, candidate))
        json_object_set_new(json, "nics", nics_json(candidate));
    if (scenario_has_hbas(candidate))
        json_object_set_new(json, "hbas", scenario_hbas_json(candidate));
    if (s->rate)
        json_object_set_new(json, "rating", rating_json(candidate->rating));
    if (candidate->prediction != NULL)
        json_object_set_new(json, "prediction",
                            gw_record_to_json(&gw_prediction_record, candidate->prediction));
    return json;
}

static json_t *decision_json(const GwMoveDecision *d)
{
    return json_pack("{s:b, s:b, s:b, s:b, s:b, s:b, s:s?, s:I, s:I, s:I, s:I, s:I, s:s}",
                     "commit_by_resume", d->commit_by_resume, "through_agents", d->through_agents,
                     "unsafe", d->unsafe, "auto_converge", d->auto_converge, "post_copy",
                     d->post_copy, "tls", d->tls, "compression", d->compression, "channels",
                     (json_int_t)d->channels, "bandwidth_mibps", (json_int_t)d->bandwidth_mibps,
                     "max_downtime_ms", (json_int_t)d->max_downtime_ms, "completion_timeout_us",
                     (json_int_t)d->completion_timeout_us, "progress_timeout_us",
                     (json_int_t)d->progress_timeout_us, "method", d->method_words);
}

static json_t *lines_json(char **lines)
{
    json_t *list = json_array();

    for (guint i = 0; lines[i] != NULL; i++)
        json_array_append_new(list, json_string(lines[i]));
    g_strfreev(lines);
    return list;
}

/* Each type is explained, in order, whatever is asked. */
static void check_transfers(const GwCandidate *candidate)
{
    assert_int_equal(candidate->transfers->len, GW_TRANSFER_STORAGE);
    for (guint i = 0; i < candidate->transfers->len; i++) {
        const GwTransferOption *option = candidate->transfers->pdata[i];
        assert_int_equal(option->transfer, i + 1);
        assert_non_null(option->explanation);
        if (candidate->suitable && option->transfer == candidate->transfer)
            assert_true(option->available);
    }
}

static json_t *plan_json(const Scenario *s, const GPtrArray *candidates)
{
    json_t *plan = json_object();
    json_t *list = json_array();

    for (guint i = 0; i < candidates->len; i++)
        json_array_append_new(list, candidate_json(s, candidates->pdata[i]));
    json_object_set_new(plan, "candidates", list);
    if (s->destination == NULL)
        return plan;

    GwPlanInput input = scenario_input(s);
    g_autoptr(GwMoveDecision) decision = gw_plan_decide(&input);
    json_object_set_new(plan, "decision", decision_json(decision));
    json_object_set_new(plan, "script_cli", lines_json(gw_plan_script_cli(&input)));
    json_object_set_new(plan, "script_virsh",
                        lines_json(gw_plan_script_virsh(&input, decision, s->peer_to_peer)));
    return plan;
}

static void why_storage(GString *out, const GwCandidate *candidate)
{
    for (guint i = 0; i < candidate->disks->len; i++) {
        const GwDiskMove *move = candidate->disks->pdata[i];
        g_string_append_printf(out, "  disk %s: %s, %s\n", move->target,
                               gw_enum_word(&gw_disk_how_enum, move->how), move->why);
    }
    for (guint i = 0; i < candidate->transfers->len; i++) {
        const GwTransferOption *option = candidate->transfers->pdata[i];
        g_string_append_printf(
            out, "  type %s: %s. %s\n", gw_enum_word(&gw_transfer_enum, option->transfer),
            option->available ? "available" : "not available", option->explanation);
    }
}

static void why_rating(GString *out, const GwRating *rating)
{
    g_string_append_printf(out, "  rating: %.1f stars\n", rating->stars);
    if (rating->storage_why != NULL)
        g_string_append_printf(out, "    storage: %s, %s\n",
                               rating->storage != NULL ? rating->storage : "none",
                               rating->storage_why);
    for (guint i = 0; i < rating->factors->len; i++) {
        const GwRatingFactor *f = rating->factors->pdata[i];
        g_string_append_printf(out,
                               "    %s (%s): %g stars%s\n      observed: %s\n"
                               "      required: %s\n",
                               f->name, f->requirement, f->stars,
                               f->excludes ? ", excludes"
                               : f->lowers ? ", lowers"
                                           : "",
                               f->observed, f->required);
        if (f->remedy != NULL)
            g_string_append_printf(out, "      remedy:   %s\n", f->remedy);
    }
}

static void why_interval(GString *out, const char *name, const GwInterval *interval,
                         const char *unit)
{
    if (interval != NULL)
        g_string_append_printf(
            out, "  %s: %" G_GINT64_FORMAT " %s (%" G_GINT64_FORMAT " to %" G_GINT64_FORMAT ")\n",
            name, interval->likely, unit, interval->low, interval->high);
}

static void why_prediction(GString *out, const GwPrediction *prediction)
{
    why_interval(out, "time", prediction->total_ms, "ms");
    why_interval(out, "downtime", prediction->downtime_ms, "ms");
    why_interval(out, "to send", prediction->bytes, "bytes");
    g_string_append_printf(out, "  converges: %s\n",
                           gw_enum_word(&gw_converges_enum, prediction->converges));
    if (prediction->remedy != NULL)
        g_string_append_printf(out, "    remedy:   %s\n", prediction->remedy);
    for (guint i = 0; prediction->basis[i] != NULL; i++)
        g_string_append_printf(out, "  %s\n", prediction->basis[i]);
}

static void why_candidate(GString *out, const Scenario *s, const GwCandidate *candidate)
{
    g_string_append_printf(out, "%s from %s to %s: %s, %s\n", s->vm->name,
                           gw_fabric_host(s->fabric, s->vm->host_id)->name, candidate->host_name,
                           gw_enum_word(&gw_transfer_enum, candidate->transfer),
                           candidate->suitable ? "suitable" : "not suitable");
    for (guint i = 0; i < candidate->findings->len; i++) {
        const GwFinding *f = candidate->findings->pdata[i];
        g_string_append_printf(out,
                               "  %s: %s (%s)\n    observed: %s\n    required: %s\n"
                               "    remedy:   %s\n",
                               gw_enum_word(&gw_severity_enum, f->severity), f->rule,
                               f->requirement, f->observed, f->required, f->remedy);
    }
    if (shows_storage(s, candidate))
        why_storage(out, candidate);
    if (shows_networks(s, candidate))
        why_networks(out, candidate);
    scenario_why_hbas(out, candidate);
    if (s->rate)
        why_rating(out, candidate->rating);
    if (candidate->prediction != NULL)
        why_prediction(out, candidate->prediction);
}

static void compare(const char *folder, const char *name, const char *got)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *wanted = NULL;
    g_autoptr(GError) error = NULL;

    if (g_strcmp0(g_getenv("GODWIT_REGENERATE"), "1") == 0) {
        assert_true(g_file_set_contents(path, got, -1, &error));
        return;
    }
    if (!g_file_get_contents(path, &wanted, NULL, &error))
        fail_msg("%s", error->message);
    if (strcmp(wanted, got) != 0)
        fail_msg("%s differs; it would be:\n%s", path, got);
}

static json_t *refusal_json(const GError *error)
{
    return json_pack("{s:s, s:s, s:s?}", "code", gw_error_code_word((GwErrorCode)error->code),
                     "message", error->message, "remedy", gw_error_remedy(error));
}

/* Automatic placement: where to, with which pool, or why not. */
static void run_placement(const char *folder, Scenario *s)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwMoveOptions) chosen = NULL;
    g_autoptr(GString) why = g_string_new(NULL);
    g_autoptr(GwCandidate) best =
        gw_plan_place(s->fabric, s->vm, s->where, s->options, &chosen, &error);
    g_autoptr(GwJson) plan = json_object();

    assert_true((best != NULL) == (error == NULL) && (best != NULL) == (chosen != NULL));
    if (best != NULL) {
        s->rate = TRUE;
        json_object_set_new(plan, "place", candidate_json(s, best));
        json_object_set_new(plan, "storage",
                            chosen->storage != NULL ? json_string(chosen->storage) : json_null());
        why_candidate(why, s, best);
    } else {
        json_object_set_new(plan, "refused", refusal_json(error));
        g_string_append_printf(why, "%s\n%s\n", error->message, gw_error_remedy(error));
    }
    g_autofree char *text = gw_json_pretty(plan);
    compare(folder, "plan.json", text);
    compare(folder, "why.txt", why->str);
    ranking_check_alike(s->fabric, s->vm, s->options);
    scenario_free(s);
}

static void run_scenario(void **state)
{
    const char *folder = *state;
    Scenario *s = load_scenario(folder);

    if (s->place) {
        run_placement(folder, s);
        return;
    }
    g_autoptr(GPtrArray) candidates = candidates_of(s);
    g_autoptr(GString) why = g_string_new(NULL);

    for (guint i = 0; i < candidates->len; i++) {
        note_rules(candidates->pdata[i]);
        check_transfers(candidates->pdata[i]);
        why_candidate(why, s, candidates->pdata[i]);
    }
    g_ptr_array_unref(ranking_check(s->fabric, s->vm, s->options, G_MAXUINT, NULL));
    g_ptr_array_unref(ranking_check(s->fabric, s->vm, s->options, 0, NULL));
    g_autoptr(GwJson) plan = plan_json(s, candidates);
    g_autofree char *text = gw_json_pretty(plan);
    compare(folder, "plan.json", text);
    compare(folder, "why.txt", why->str);
    ranking_check_alike(s->fabric, s->vm, s->options);
    scenario_free(s);
}

/* Each rule must be seen to find something, and to find nothing. */
static void every_rule_is_shown(void **state)
{
    for (guint i = 0; gw_rules[i] != NULL; i++) {
        const GwRule *rule = gw_rules[i];
        if (!g_hash_table_contains(fired, rule->name))
            fail_msg("no scenario in which rule '%s' finds anything", rule->name);
        if (!g_hash_table_contains(silent, rule->name))
            fail_msg("no scenario in which rule '%s' finds nothing", rule->name);
    }
}

static void rules_are_well_formed(void **state)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; gw_rules[i] != NULL; i++) {
        const GwRule *rule = gw_rules[i];
        assert_true(g_hash_table_add(names, (gpointer)rule->name));
        assert_true(g_regex_match_simple("^[a-z]+(-[a-z]+)*$", rule->name, 0, 0));
        assert_true(g_regex_match_simple("^[RI][1-9][0-9]?$", rule->requirement, 0, 0));
        assert_true(g_str_has_suffix(rule->summary, "."));
    }
    assert_int_equal(g_hash_table_size(names), 75);
}

int main(void)
{
    const char *root = GW_SCENARIOS;
    g_autoptr(GPtrArray) folders = scenario_folders(root);
    g_autoptr(GArray) tests = g_array_new(FALSE, TRUE, sizeof(struct CMUnitTest));
    g_autofree char *base_path = g_build_filename(root, "base.json", NULL);
    g_autoptr(GError) error = NULL;

    base = gw_json_load(base_path, &error);
    if (base == NULL)
        g_error("%s", error->message);
    fired = g_hash_table_new(g_str_hash, g_str_equal);
    silent = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < folders->len; i++) {
        struct CMUnitTest test = cmocka_unit_test_prestate(run_scenario, folders->pdata[i]);
        test.name = strrchr(folders->pdata[i], '/') + 1;
        g_array_append_val(tests, test);
    }
    struct CMUnitTest last[] = { cmocka_unit_test(every_rule_is_shown),
                                 cmocka_unit_test(rules_are_well_formed) };
    g_array_append_vals(tests, last, G_N_ELEMENTS(last));
    return _cmocka_run_group_tests("scenarios", (struct CMUnitTest *)(void *)tests->data,
                                   tests->len, NULL, NULL);
}
