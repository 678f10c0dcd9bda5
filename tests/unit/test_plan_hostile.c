/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <math.h>

#include "fabric.h"
#include "plan/many.h"
#include "plan/plan.h"

/* Plans of fabrics that somebody filled to the brim, or with what no form would take: they are
 * made, they are sound, and they say what stays. */

static GwFabric *small_fabric(guint32 seed)
{
    const FabricOptions options = {
        .seed = seed, .hosts = 6, .vms = 20, .full_percent = 50, .hosts_per_rack = 3, .small = TRUE
    };
    return fabric_make(&options);
}

static GwMigrationPlan *drain_first(const GwFabric *fabric)
{
    g_autoptr(GwPlanRequest) request = gw_plan_request_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *id = fabric_host_id(0);
    char *hosts[] = { id, NULL };

    request->kind = (int)GW_PLAN_DRAIN;
    request->hosts = g_strdupv(hosts);
    GwMigrationPlan *plan = gw_plan_many(fabric, request, NULL, &error);
    if (plan == NULL)
        fail_msg("%s", error->message);
    if (!gw_plan_many_check(fabric, plan, &error))
        fail_msg("%s", error->message);
    return plan;
}

static char **many_tags(guint count, const char *last)
{
    g_autoptr(GStrvBuilder) tags = g_strv_builder_new();

    for (guint i = 0; i + 1 < count; i++) {
        g_autofree char *tag = g_strdup_printf("property-%u=%u", i, i);
        g_strv_builder_add(tags, tag);
    }
    g_strv_builder_add(tags, last);
    return g_strv_builder_end(tags);
}

static void tag_hosts(GwFabric *fabric, guint chosen)
{
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(fabric);

    for (guint i = 0; i < hosts->len; i++) {
        GwHost *host = gw_host_copy(hosts->pdata[i]);
        g_strfreev(host->tags);
        host->tags = many_tags(GW_TAGS_MAX, i == chosen ? "chosen" : "other");
        gw_fabric_put_host(fabric, host);
    }
}

/* A host with room for it all, so that only the rule decides. */
static void make_room(GwFabric *fabric, guint number)
{
    g_autofree char *id = fabric_host_id(number);
    GwHost *host = gw_host_copy(gw_fabric_host(fabric, id));

    host->facts->memory_kib = host->facts->free_memory_kib = (gint64)1 << 30;
    host->live_limit = 4;
    gw_fabric_put_host(fabric, host);
}

/* R57: of 10,000 properties of each host the last one says where VMs may go. */
static void ten_thousand_tags_decide(void **unused)
{
    g_autoptr(GwFabric) fabric = small_fabric(1);
    GwPlacementRule *rule = gw_placement_rule_new();
    g_autofree char *source = fabric_host_id(0), *chosen = fabric_host_id(4);
    g_autoptr(GPtrArray) vms = gw_fabric_list_vms(fabric, source);
    g_autoptr(GStrvBuilder) uuids = g_strv_builder_new();
    guint running = 0;
    (void)unused;

    make_room(fabric, 3);
    make_room(fabric, 4);
    tag_hosts(fabric, 4);
    for (guint i = 0; i < vms->len; i++) {
        g_strv_builder_add(uuids, ((GwVm *)vms->pdata[i])->uuid);
        running += gw_vm_is_running(vms->pdata[i]);
    }
    rule->id = g_strdup("chosen");
    rule->name = g_strdup("chosen");
    rule->kind = (int)GW_RULE_KIND_RUN_ON;
    rule->required = TRUE;
    rule->vms = g_strv_builder_end(uuids);
    rule->host_tags = g_strsplit("property-0=0 property-9998=9998 chosen", " ", -1);
    gw_fabric_put_rule(fabric, rule);
    g_autoptr(GwMigrationPlan) plan = drain_first(fabric);
    assert_true(running > 0);
    assert_int_equal(plan->moves->len, running);
    assert_int_equal(plan->stays->len, 0);
    for (guint i = 0; i < plan->moves->len; i++)
        assert_string_equal(((GwPlannedMove *)plan->moves->pdata[i])->destination_host_id, chosen);
}

static void tags_beyond_the_limit_are_refused(void **unused)
{
    g_auto(GStrv) most = many_tags(GW_TAGS_MAX, "last");
    g_auto(GStrv) more = many_tags(GW_TAGS_MAX + 1, "last");
    g_autoptr(GError) refused = NULL;
    (void)unused;

    UNIT_OK(gw_tags_check(most, error));
    assert_false(gw_tags_check(more, &refused));
    unit_assert_error(refused, GW_ERR_INVALID, "10000");
}

/* Weights that no request could set, but a damaged store, or another's, may hold. */
static void any_weight_makes_a_plan(void **unused)
{
    static const gint64 weights[] = { G_MININT64, -1, 0, 1, 100, 101, G_MAXINT64 };
    (void)unused;

    for (guint i = 0; i < G_N_ELEMENTS(weights); i++) {
        for (guint k = 0; k < G_N_ELEMENTS(weights); k++) {
            g_autoptr(GwFabric) fabric = small_fabric(2);
            const GwGroup *known = gw_fabric_find_group(fabric, GW_GROUP_ROOT);
            GwGroup *group = gw_group_copy(known);
            group->placement = gw_placement_policy_new_default();
            group->placement->memory_weight = group->placement->network_weight = weights[i];
            group->placement->cpu_weight = group->placement->disk_weight = weights[k];
            gw_fabric_put_group(fabric, group);
            g_autoptr(GwMigrationPlan) plan = drain_first(fabric);
            assert_true(plan->moves->len + plan->stays->len > 0);
        }
    }
}

/* What a person sends is refused, and not guessed at. JSON has no word for what is not a number. */
static void weights_that_are_none_are_refused(void **unused)
{
    static const char *const wrong[] = { "-1",  "101",       "0.5",   "\"50\"", "null1",
                                         "NaN", "-Infinity", "1e400", "true" };
    (void)unused;

    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *text = g_strdup_printf("{\"memory_weight\": %s}", wrong[i]);
        g_autoptr(GError) error = NULL;
        g_autoptr(GwJson) json = gw_json_parse(text, strlen(text), 1024, &error);
        g_autoptr(GwPlacementPolicy) policy =
            json != NULL ? gw_record_from_request(&gw_placement_policy_record, json, &error) : NULL;
        if (policy != NULL)
            fail_msg("a weight of %s was taken", wrong[i]);
        assert_non_null(error);
    }
}

/* A plan that somebody changed ------------------------------------------------------------------
 */

static void text(char **member, const char *value)
{
    char *copy = g_strdup(value);
    g_free(*member);
    *member = copy;
}

static void to_nowhere(GwMigrationPlan *plan, GwPlannedMove *move)
{
    text(&move->destination_host_id, "no-such-host");
}

static void of_nobody(GwMigrationPlan *plan, GwPlannedMove *move)
{
    g_clear_pointer(&move->vm_uuid, g_free);
}

static void to_where_it_is(GwMigrationPlan *plan, GwPlannedMove *move)
{
    text(&move->destination_host_id, move->source_host_id);
}

static void from_elsewhere(GwMigrationPlan *plan, GwPlannedMove *move)
{
    guint other = g_str_has_suffix(move->destination_host_id, "2") ? 3 : 2;
    g_autofree char *id = fabric_host_id(other);
    text(&move->source_host_id, id);
}

static void into_the_emptied(GwMigrationPlan *plan, GwPlannedMove *move)
{
    char *hosts[] = { move->source_host_id, move->destination_host_id, NULL };
    char **names = g_strdupv(hosts);
    g_strfreev(plan->request->hosts);
    plan->request->hosts = names;
}

static void ends_at_once(GwMigrationPlan *plan, GwPlannedMove *move)
{
    move->ends_ms = move->starts_ms;
}

static void begins_before_time(GwMigrationPlan *plan, GwPlannedMove *move)
{
    move->starts_ms = -1;
}

static void in_no_wave(GwMigrationPlan *plan, GwPlannedMove *move)
{
    move->wave = plan->waves + 1;
}

static void after_itself(GwMigrationPlan *plan, GwPlannedMove *move)
{
    move->after = 1;
}

static void after_the_last(GwMigrationPlan *plan, GwPlannedMove *move)
{
    move->after = G_MAXINT64;
}

static void takes_all_at_once(GwMigrationPlan *plan, GwPlannedMove *move)
{
    plan->request->moves_at_once = 1;
    for (guint i = 0; i < plan->moves->len; i++) {
        GwPlannedMove *each = plan->moves->pdata[i];
        each->starts_ms = each->after = 0;
        each->wave = 1;
    }
}

/* R49: what comes back from a person, or from a file, is replayed, and the first move that cannot
 * be is named with what is wrong. */
static void a_changed_plan_is_refused(void **unused)
{
    static const struct {
        void (*change)(GwMigrationPlan *plan, GwPlannedMove *first);
        const char *why;
    } rows[] = {
        { to_nowhere, "the VM, or one of the hosts, is gone" },
        { of_nobody, "the VM, or one of the hosts, is gone" },
        { to_where_it_is, "it goes nowhere" },
        { from_elsewhere, "it is not there" },
        { into_the_emptied, "the destination is to be emptied itself" },
        { ends_at_once, "it ends before it begins" },
        { begins_before_time, "it ends before it begins" },
        { in_no_wave, "it is in no wave" },
        { after_itself, "it is to wait for one that comes later" },
        { after_the_last, "it is to wait for one that comes later" },
        { takes_all_at_once, "more moves at once than the plan allows" },
    };
    (void)unused;

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GwFabric) fabric = small_fabric(3);
        make_room(fabric, 0);
        make_room(fabric, 3);
        make_room(fabric, 4);
        g_autoptr(GwMigrationPlan) plan = drain_first(fabric);
        g_autoptr(GError) error = NULL;
        assert_true(plan->moves->len > 1);
        rows[i].change(plan, plan->moves->pdata[0]);
        assert_false(gw_plan_many_check(fabric, plan, &error));
        unit_assert_error(error, GW_ERR_CONFLICT, rows[i].why);
    }
}

/* Requests --------------------------------------------------------------------------------------
 */

static void refused(const GwFabric *fabric, const GwPlanRequest *request, GwErrorCode code,
                    const char *why)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwMigrationPlan) plan = gw_plan_many(fabric, request, NULL, &error);

    assert_null(plan);
    unit_assert_error(error, code, why);
}

static void requests_that_contradict_themselves_are_refused(void **unused)
{
    g_autoptr(GwFabric) fabric = small_fabric(4);
    g_autoptr(GwPlanRequest) request = gw_plan_request_new();
    g_autofree char *id = fabric_host_id(0);
    char *hosts[] = { id, NULL };
    char *vms[] = { (char *)"some-vm", NULL };
    (void)unused;

    request->kind = (int)GW_PLAN_UNDRAIN;
    refused(fabric, request, GW_ERR_INVALID, "names neither a host nor a drain");
    request->hosts = g_strdupv(hosts);
    request->vms = g_strdupv(vms);
    refused(fabric, request, GW_ERR_INVALID, "names VMs as well");
    request->kind = (int)GW_PLAN_MOVES;
    refused(fabric, request, GW_ERR_INVALID, "a plan of moves names hosts");
}

/* R19: only a drain that is over says what to bring back. */
static void what_no_drain_took_is_not_brought_back(void **unused)
{
    g_autoptr(GwFabric) fabric = small_fabric(5);
    g_autoptr(GwPlanRequest) request = gw_plan_request_new();
    GwJob *job = gw_job_new();
    char *nowhere[] = { (char *)"no-such-host", NULL };
    (void)unused;

    job->id = g_strdup("J1");
    job->kind = g_strdup(GW_JOB_KIND_MIGRATE);
    job->state = (int)GW_JOB_DONE;
    gw_fabric_put_job(fabric, job);
    request->kind = (int)GW_PLAN_UNDRAIN;
    request->undoes = g_strdup("J1");
    refused(fabric, request, GW_ERR_INVALID, "job J1 is no drain, but vm-migrate");

    GwJob *drain = gw_job_copy(job);
    text(&drain->kind, GW_JOB_KIND_DRAIN);
    drain->state = (int)GW_JOB_COPYING;
    drain->plan = drain_first(fabric);
    gw_fabric_put_job(fabric, drain);
    refused(fabric, request, GW_ERR_CONFLICT, "drain J1 is not over yet");
    request->hosts = g_strdupv(nowhere);
    refused(fabric, request, GW_ERR_NOT_FOUND, "there is no host 'no-such-host'");
}

static void times_fit_whatever_hosts_say(void **unused)
{
    const gint64 most = 1000000000000000;

    assert_int_equal(many_ms(1500.9), 1500);
    assert_int_equal(many_ms(-1), 0);
    assert_int_equal(many_ms(1e300), most);
    assert_int_equal(many_ms(INFINITY), most);
    assert_int_equal(many_ms(-INFINITY), 0);
    assert_int_equal(many_ms(NAN), most);
}

static void dirty_all(GwVm *vm)
{
    if (vm->usage == NULL)
        vm->usage = gw_vm_usage_new_unknown();
    vm->usage->disk_allocated_bytes = vm->usage->memory_used_kib = G_MAXINT64;
    vm->usage->dirty_bps = G_MAXINT64;
}

/* All of it would take longer than a number of milliseconds can say. */
static void endless_moves_make_a_plan(void **unused)
{
    g_autoptr(GwFabric) fabric = small_fabric(5);
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(fabric);

    for (guint i = 0; i < hosts->len; i++) {
        GwHost *host = hosts->pdata[i];
        g_autoptr(GPtrArray) vms = gw_fabric_list_vms(fabric, host->id);
        host->bandwidth_mibps = 1;
        for (guint v = 0; v < vms->len; v++)
            dirty_all(vms->pdata[v]);
    }
    g_autoptr(GwPredictor) predictor = gw_predictor_new(fabric);
    g_autoptr(GwPlanRequest) request = gw_plan_request_new();
    g_autofree char *id = fabric_host_id(0);
    char *names[] = { id, NULL };
    request->kind = (int)GW_PLAN_DRAIN;
    request->hosts = g_strdupv(names);
    g_autoptr(GwMigrationPlan) plan = gw_plan_many(fabric, request, predictor, NULL);
    assert_non_null(plan);
    assert_true(plan->moves->len > 0);
    assert_true(plan->lower_bound_ms > 0 && plan->lower_bound_ms <= plan->total_ms->likely);
    assert_true(plan->total_ms->low >= 0 && plan->total_ms->low <= plan->total_ms->likely);
    assert_true(plan->total_ms->likely <= plan->total_ms->high);
    for (guint i = 0; i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        assert_true(move->starts_ms >= 0 && move->starts_ms <= move->ends_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_tags_decide),
        cmocka_unit_test(tags_beyond_the_limit_are_refused),
        cmocka_unit_test(any_weight_makes_a_plan),
        cmocka_unit_test(weights_that_are_none_are_refused),
        cmocka_unit_test(a_changed_plan_is_refused),
        cmocka_unit_test(requests_that_contradict_themselves_are_refused),
        cmocka_unit_test(what_no_drain_took_is_not_brought_back),
        cmocka_unit_test(times_fit_whatever_hosts_say),
        cmocka_unit_test(endless_moves_make_a_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
