/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Balancing a host group: the figure, times of the week, hostile settings; and what holds for every
 * balance of fabrics made by chance: no rule is broken, no host comes under pressure, the imbalance
 * never grows, a second round finds nothing, and rounds come to an end. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "fabric.h"
#include "plan/plan.h"
#include "plan_words.h"

#define GIB 1048576

/* The figure ------------------------------------------------------------------------------------
 */

/* Hosts of 100 GiB and 10 CPUs; a VM on each that is half of it. */
static GwFabric *even_fabric(const gint64 *memory_percent, const gint64 *cpu_percent, guint count)
{
    GwFabric *fabric = gw_fabric_new();
    GwGroup *group = gw_group_new();

    group->id = g_strdup(GW_GROUP_ROOT);
    group->name = g_strdup("All Hosts");
    group->placement = gw_placement_policy_new_default();
    gw_fabric_put_group(fabric, group);
    for (guint i = 0; i < count; i++) {
        GwHost *host = gw_host_new_default();
        host->id = g_strdup_printf("h%u", i);
        host->name = g_strdup(host->id);
        host->status = GW_HOST_OK;
        host->facts = gw_host_facts_new();
        host->facts->cpus = 10;
        host->facts->memory_kib = 100 * GIB;
        host->facts->free_memory_kib = (100 - memory_percent[i]) * GIB;
        host->facts->usage = gw_host_usage_new_unknown();
        host->facts->usage->cpu_permille = cpu_percent[i] < 0 ? -1 : cpu_percent[i] * 10;
        gw_fabric_put_host(fabric, host);
    }
    return fabric;
}

static GwGroup *root_of(GwFabric *fabric)
{
    return g_hash_table_lookup(fabric->groups, GW_GROUP_ROOT);
}

static GwMigrationPlan *balance(const GwFabric *fabric, const char *as_of)
{
    g_autoptr(GwPlanRequest) request = gw_plan_request_new();
    g_autoptr(GError) error = NULL;

    request->kind = GW_PLAN_BALANCE;
    request->group = g_strdup(GW_GROUP_ROOT);
    request->as_of = g_strdup(as_of);
    GwMigrationPlan *plan = gw_plan_many(fabric, request, NULL, &error);
    if (plan == NULL)
        fail_msg("%s", error->message);
    return plan;
}

static void assert_near(double got, double wanted)
{
    if (fabs(got - wanted) > 0.051)
        fail_msg("%.3f is not %.3f", got, wanted);
}

static double imbalance_of(const gint64 *memory, const gint64 *cpu, guint count)
{
    g_autoptr(GwFabric) fabric = even_fabric(memory, cpu, count);
    g_autoptr(GwMigrationPlan) plan = balance(fabric, NULL);

    return plan->balance->imbalance_before;
}

static void figure_is_the_deviation(void **state)
{
    const gint64 half[] = { 50, 50, 50, 50 };
    const gint64 spread[] = { 91, 23 };
    const gint64 four[] = { 20, 40, 60, 80 };
    const gint64 unknown[] = { 91, 23, -1 };

    /* One resource alone: the standard deviation. */
    assert_near(imbalance_of(half, half, 4), 0);
    assert_near(imbalance_of(spread, spread, 2), 34);
    assert_near(imbalance_of(four, four, 4), sqrt(500));
    /* Two that count alike: the root of the mean of squares. */
    assert_near(imbalance_of(half, spread, 2), sqrt(34.0 * 34 / 2));
    /* A host whose CPU nobody has seen counts as even in it. */
    assert_near(imbalance_of(half, unknown, 3), sqrt(2 * 34.0 * 34 / 2 / 3));
    (void)state;
}

static void figure_goes_by_weights(void **state)
{
    const gint64 memory[] = { 50, 50 }, cpu[] = { 91, 23 };
    const struct {
        gint64 memory, cpu;
        double imbalance;
    } cases[] = { { 0, 100, 34 },
                  { 100, 0, 0 },
                  { 0, 0, 34 / sqrt(2) }, /* all alike */
                  { -7, 100, 34 },
                  { G_MININT64, G_MAXINT64, 34 },
                  { G_MAXINT64, G_MAXINT64, 34 / sqrt(2) } };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GwFabric) fabric = even_fabric(memory, cpu, 2);
        GwPlacementPolicy *policy = root_of(fabric)->placement;
        policy->memory_weight = cases[i].memory;
        policy->cpu_weight = cases[i].cpu;
        policy->network_weight = 0;
        g_autoptr(GwMigrationPlan) plan = balance(fabric, NULL);
        assert_near(plan->balance->imbalance_before, cases[i].imbalance);
    }
    (void)state;
}

static void reserves_are_no_capacity(void **state)
{
    const gint64 memory[] = { 40, 40 }, cpu[] = { 50, 50 };
    g_autoptr(GwFabric) fabric = even_fabric(memory, cpu, 2);
    GwHost *host = gw_host_copy(gw_fabric_host(fabric, "h1"));

    host->memory_reserve_kib = 20 * GIB; /* of the other 80, 40 are in use */
    gw_fabric_put_host(fabric, host);
    g_autoptr(GwMigrationPlan) plan = balance(fabric, NULL);
    const GwBalanceHost *figures = plan->balance->hosts->pdata[1];
    assert_near(figures->memory_before, 50);
    (void)state;
}

/* Hostile settings ------------------------------------------------------------------------------
 */

static void settings_of_any_kind_are_survived(void **state)
{
    const gint64 wild[] = { G_MININT64, -1, 0, 1, 101, G_MAXINT64 };

    for (guint i = 0; i < G_N_ELEMENTS(wild); i++) {
        const gint64 memory[] = { 95, 10, 10 }, cpu[] = { 90, 10, 50 };
        g_autoptr(GwFabric) fabric = even_fabric(memory, cpu, 3);
        GwBalanceSettings *settings = gw_balance_settings_new_default();
        settings->minimum_gain = wild[i];
        settings->moves_at_most = wild[i];
        settings->vm_cool_down_s = wild[i];
        settings->cool_down_s = wild[i];
        settings->threshold = wild[i];
        root_of(fabric)->balance = settings;
        g_autoptr(GwMigrationPlan) plan = balance(fabric, "2026-03-01T10:00:00Z");
        assert_near(plan->balance->pressure_before, 5);
        g_autoptr(GwMigrationPlan) again = balance(fabric, "no time at all");
        assert_int_equal(again->moves->len, plan->moves->len);
    }
    (void)state;
}

static void settings_in_json_are_strict(void **state)
{
    const char *const refused[] = { "{\"mode\":\"sometimes\"}",      "{\"threshold\":-1}",
                                    "{\"threshold\":101}",           "{\"minimum_gain\":\"NaN\"}",
                                    "{\"minimum_gain\":1.5}",        "{\"moves_at_most\":0}",
                                    "{\"vm_cool_down_s\":99999999}", "{\"weights\":1}" };

    for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autoptr(GwJson) json = json_loads(refused[i], 0, NULL);
        g_autoptr(GError) error = NULL;
        assert_non_null(json);
        assert_null(gw_record_from_request(&gw_balance_settings_record, json, &error));
        assert_non_null(error);
    }
    (void)state;
}

static void a_group_of_a_ring_ends(void **state)
{
    const gint64 memory[] = { 50, 50 }, cpu[] = { 50, 50 };
    g_autoptr(GwFabric) fabric = even_fabric(memory, cpu, 2);
    GwGroup *ring = gw_group_new();

    ring->id = g_strdup("ring");
    ring->name = g_strdup("ring");
    ring->parent_id = g_strdup("ring");
    gw_fabric_put_group(fabric, ring);
    assert_int_equal(gw_plan_balance_settings(fabric, ring)->mode, GW_BALANCE_OFF);
    GwHost *host = gw_host_copy(gw_fabric_host(fabric, "h1"));
    g_free(host->group_id);
    host->group_id = g_strdup("ring");
    gw_fabric_put_host(fabric, host);
    assert_false(gw_plan_is_balanced_with(fabric, host, root_of(fabric)));
    (void)state;
}

static void requests_are_checked(void **state)
{
    const gint64 memory[] = { 50, 50 }, cpu[] = { 50, 50 };
    g_autoptr(GwFabric) fabric = even_fabric(memory, cpu, 2);
    const char *const refused[] = { "{\"kind\":\"balance\"}",
                                    "{\"kind\":\"balance\",\"group\":\"nowhere\"}",
                                    "{\"kind\":\"balance\",\"group\":\"All Hosts\","
                                    "\"hosts\":[\"h0\"]}",
                                    "{\"kind\":\"balance\",\"group\":\"All Hosts\","
                                    "\"destinations\":[\"h0\"]}",
                                    "{\"kind\":\"balance\",\"group\":\"All Hosts\","
                                    "\"cold\":true}",
                                    "{\"kind\":\"balance\",\"group\":\"All Hosts\","
                                    "\"vms\":[\"nobody\"]}" };

    for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autoptr(GwJson) json = json_loads(refused[i], 0, NULL);
        g_autoptr(GError) error = NULL;
        g_autoptr(GwPlanRequest) request =
            gw_record_from_request(&gw_plan_request_record, json, &error);
        assert_non_null(request);
        assert_null(gw_plan_many(fabric, request, NULL, &error));
        assert_non_null(error);
    }
    (void)state;
}

/* Times of the week -----------------------------------------------------------------------------
 */

static gboolean open_at(const char *schedule, const char *when, GTimeZone *zone)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(when, NULL);

    assert_non_null(time);
    return gw_schedule_is_open(schedule, g_date_time_to_unix(time) * G_USEC_PER_SEC, zone);
}

static void schedules_open_and_close(void **state)
{
    /* 2026-03-02 is a Monday. */
    static const struct {
        const char *schedule, *when;
        gboolean open;
    } cases[] = {
        { NULL, "2026-03-02T12:00:00Z", TRUE },
        { "always", "2026-03-02T12:00:00Z", TRUE },
        { "mon-fri 20:00-06:00", "2026-03-02T19:59:59Z", FALSE },
        { "mon-fri 20:00-06:00", "2026-03-02T20:00:00Z", TRUE },
        { "mon-fri 20:00-06:00", "2026-03-03T05:59:00Z", TRUE },
        { "mon-fri 20:00-06:00", "2026-03-03T06:00:00Z", FALSE },
        { "mon-fri 20:00-06:00", "2026-03-02T05:00:00Z", FALSE }, /* Sunday's night */
        { "mon-fri 20:00-06:00", "2026-03-07T05:00:00Z", TRUE },  /* Friday's */
        { "mon-fri 20:00-06:00", "2026-03-07T21:00:00Z", FALSE },
        { "sat sun 00:00-24:00", "2026-03-08T23:59:00Z", TRUE },
        { "sat sun 00:00-24:00", "2026-03-09T00:00:00Z", FALSE },
        { "fri-mon 01:00-02:00", "2026-03-02T01:30:00Z", TRUE }, /* over the end of the week */
        { "fri-mon 01:00-02:00", "2026-03-03T01:30:00Z", FALSE },
        { "12:00-13:00", "2026-03-05T12:30:00Z", TRUE },
        { "MON 01:00-02:00,tue 03:00-04:00", "2026-03-03T03:30:00Z", TRUE },
        { "not a time", "2026-03-03T03:30:00Z", FALSE },
    };
    g_autoptr(GTimeZone) east = g_time_zone_new_offset(7200);

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        assert_int_equal(open_at(cases[i].schedule, cases[i].when, NULL), cases[i].open);
    assert_true(open_at("mon 12:00-13:00", "2026-03-02T10:30:00Z", east));
    assert_false(open_at("mon 12:00-13:00 UTC", "2026-03-02T10:30:00Z", east));
    assert_true(open_at("mon 12:00-13:00 utc", "2026-03-02T12:30:00Z", east));
    assert_true(open_at("tue 00:00-01:00", "2026-03-02T22:30:00Z", east));
    assert_false(gw_schedule_is_open("00:00-24:00", G_MAXINT64, east));
    (void)state;
}

static void nonsense_is_no_schedule(void **state)
{
    static const char *const refused[] = {
        "",
        " ",
        ",",
        "mon",
        "mon-fri",
        "20:00",
        "20:00-",
        "25:00-26:00",
        "20:60-21:00",
        "20:00-20:00",
        "24:00-01:00",
        "2:00-03:00",
        "mon-xyz 01:00-02:00",
        "noday 01:00-02:00",
        "01:00-02:00 CET",
        "01:00-02:00 UTC UTC",
        "01:00-02:00 mon",
        "01:00-02:00,",
        "mon 01:00-02:00 03:00-04:00",
        "20:00-06:00x",
        "mon\n01:00-02:00",
        "-1:00-02:00",
        "mon--fri 01:00-02:00",
        "00:00-24:01",
    };
    g_autofree char *long_one = g_strnfill(GW_SCHEDULE_LENGTH_MAX + 1, ' ');
    g_autoptr(GString) many_words = g_string_new(NULL);
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autoptr(GError) trouble = NULL;
        if (gw_schedule_check(refused[i], &trouble))
            fail_msg("'%s' is taken", refused[i]);
        assert_int_equal(trouble->code, GW_ERR_INVALID);
    }
    assert_false(gw_schedule_check(long_one, &error));
    for (guint i = 0; i < 100; i++)
        g_string_append(many_words, "mon ");
    g_string_append(many_words, "01:00-02:00");
    assert_false(gw_schedule_check(many_words->str, NULL));
    assert_true(gw_schedule_check("mon-fri 20:00-06:00, sat sun 00:00-24:00 UTC", NULL));
    assert_true(gw_schedule_check(NULL, NULL));
    (void)state;
}

/* Fabrics made by chance ------------------------------------------------------------------------
 */

#define SEEDS 120
#define ROUNDS 40

static const GwHost *host_of(const GwFabric *fabric, const GwVm *vm)
{
    return gw_fabric_host(fabric, vm->host_id);
}

/* What VMs use is known of all but a few, is all the memory that they may use, and comes to what
 * their host says: then a plan's books and the hosts agree afterwards. */
static void settle_vm(GwFabric *fabric, GwVm *vm, guint32 seed)
{
    const GwHost *host = host_of(fabric, vm);
    guint number = (guint)g_str_hash(vm->uuid) + seed;

    if (!gw_vm_is_active(vm))
        return;
    if (host->facts != NULL) {
        vm->max_memory_kib = MIN(vm->max_memory_kib, MAX(host->facts->free_memory_kib, 1));
        host->facts->free_memory_kib = MAX(host->facts->free_memory_kib - vm->max_memory_kib, 0);
    }
    vm->memory_kib = vm->max_memory_kib;
    if (vm->usage == NULL)
        return;
    vm->usage->memory_used_kib = vm->max_memory_kib;
    vm->usage->cpu_permille = -1;
    if (number % 13 == 0 || host->facts == NULL || host->facts->usage == NULL)
        return;
    vm->usage->cpu_permille = number % 20 * 100;
    host->facts->usage->cpu_permille += vm->usage->cpu_permille / MAX(host->facts->cpus, 1);
}

static void settle(GwFabric *fabric, guint32 seed)
{
    GHashTableIter hosts, iter;
    gpointer vms, value;

    g_hash_table_iter_init(&hosts, fabric->hosts);
    while (g_hash_table_iter_next(&hosts, NULL, &value)) {
        GwHost *host = value;
        if (host->facts != NULL) {
            if (host->facts->usage == NULL && g_str_hash(host->id) % 5 > 0)
                host->facts->usage = gw_host_usage_new_unknown();
            if (host->facts->usage != NULL)
                host->facts->usage->cpu_permille = 20;
            host->facts->cpus = 20;
            host->facts->free_memory_kib = host->facts->memory_kib / 16 * 15;
        }
    }
    g_hash_table_iter_init(&hosts, fabric->vms);
    while (g_hash_table_iter_next(&hosts, NULL, &vms)) {
        g_hash_table_iter_init(&iter, vms);
        while (g_hash_table_iter_next(&iter, NULL, &value))
            settle_vm(fabric, value, seed);
    }
}

static GwFabric *make(guint32 seed, GwGoal goal, gint64 moves)
{
    FabricOptions options = { .seed = seed,
                              .hosts = 2 + seed % 11,
                              .vms = 4 + seed % 60,
                              .hosts_per_share = seed % 3 == 0 ? 4 : 0,
                              .rules = seed % 6,
                              .full_percent = 30 + seed % 66,
                              .local_percent = seed % 4 == 0 ? 20 : 0,
                              .off_percent = 10,
                              .odd_percent = seed % 5 == 0 ? 15 : 0,
                              .small = TRUE };
    g_autoptr(GwFabric) made = fabric_make(&options);
    GwFabric *fabric = gw_fabric_next(made);
    GwGroup *group = gw_group_copy(root_of(fabric));

    group->balance = gw_balance_settings_new_default();
    group->balance->moves_at_most = moves;
    group->balance->minimum_gain = seed % 4;
    if (group->placement == NULL)
        group->placement = gw_placement_policy_new_default();
    group->placement->goal = (int)goal;
    group->placement->cpu_weight = seed % 7 * 16;
    gw_fabric_put_group(fabric, group);
    settle(fabric, seed);
    return fabric;
}

static gboolean tells_cpu(const GwFabric *fabric, const char *host_id)
{
    const GwHostUsage *usage = gw_fabric_host(fabric, host_id)->facts->usage;
    return usage != NULL && usage->cpu_permille >= 0;
}

static void shift(GwFabric *fabric, const char *host_id, const GwVm *vm, gint64 by, gboolean cpu)
{
    GwHost *host = gw_host_copy(gw_fabric_host(fabric, host_id));
    GwHostFacts *facts = host->facts;

    facts->free_memory_kib -= by * vm->max_memory_kib;
    if (cpu && vm->usage != NULL && vm->usage->cpu_permille >= 0)
        facts->usage->cpu_permille += by * vm->usage->cpu_permille / facts->cpus;
    gw_fabric_put_host(fabric, host);
}

static void add_job(GwFabric *fabric, const GwPlannedMove *move, guint number)
{
    GwJob *job = gw_job_new();

    job->id = g_strdup_printf("J%05u", number);
    job->kind = g_strdup(GW_JOB_KIND_MIGRATE);
    job->state = GW_JOB_DONE;
    job->vm_uuid = g_strdup(move->vm_uuid);
    job->source_host_id = g_strdup(move->source_host_id);
    job->destination_host_id = g_strdup(move->destination_host_id);
    job->finished_at = g_strdup("2026-03-01T10:00:00Z");
    gw_fabric_put_job(fabric, job);
}

/* The fabric with all that the plan moves at its ends. */
static GwFabric *carried_out(const GwFabric *before, const GwMigrationPlan *plan)
{
    GwFabric *fabric = gw_fabric_next(before);
    guint jobs = g_hash_table_size(before->jobs);

    for (guint i = 0; i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        GwVm *vm = gw_vm_copy(gw_fabric_vm(fabric, move->source_host_id, move->vm_uuid));
        /* Where one of the two does not say what its CPUs do, no figure follows them. */
        gboolean cpu =
            tells_cpu(fabric, move->source_host_id) && tells_cpu(fabric, move->destination_host_id);
        g_free(vm->host_id);
        vm->host_id = g_strdup(move->destination_host_id);
        shift(fabric, move->source_host_id, vm, -1, cpu);
        shift(fabric, move->destination_host_id, vm, 1, cpu);
        gw_fabric_remove_vm(fabric, move->source_host_id, move->vm_uuid);
        gw_fabric_put_vm(fabric, vm);
        add_job(fabric, move, jobs + i);
    }
    return fabric;
}

static void show(const GwMigrationPlan *plan)
{
    g_autofree char *words = plan_words(plan);
    g_auto(GStrv) lines = g_strsplit(words, "\n", -1);

    for (guint i = 0; lines[i] != NULL; i++)
        print_message("# %s\n", lines[i]);
}

static void assert_sound(const GwFabric *fabric, const GwMigrationPlan *plan, guint32 seed)
{
    const GwBalanceFigures *figures = plan->balance;
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) error = NULL;

    if (!gw_plan_many_check(fabric, plan, &error)) {
        show(plan);
        fail_msg("seed %u: %s", seed, error->message);
    }
    assert_int_equal(plan->stays->len, 0);
    assert_true(figures->pressure_after <= figures->pressure_before);
    if (figures->pressure_before <= figures->pressure_after && figures->goal == GW_GOAL_BALANCE)
        assert_true(figures->imbalance_after <= figures->imbalance_before);
    for (guint i = 0; i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        assert_true(g_hash_table_add(seen, move->vm_uuid)); /* none moves twice */
        assert_non_null(move->why);
        assert_false(move->detour);
    }
}

/* What was promised is what is found. */
static void assert_kept(const GwMigrationPlan *plan, const GwMigrationPlan *after, guint32 seed)
{
    for (guint i = 0; i < plan->balance->hosts->len; i++) {
        if (((GwBalanceHost *)plan->balance->hosts->pdata[i])->cpu_after > 95)
            return; /* more than all is all: short of memory comes first */
    }
    double off = fabs(plan->balance->imbalance_after - after->balance->imbalance_before);

    if (off > 0.5 || fabs(plan->balance->pressure_after - after->balance->pressure_before) > 0.11) {
        show(plan);
        show(after);
        fail_msg("seed %u: the plan does not come to what it says", seed);
    }
}

static guint rounds_that_end(guint32 seed, GwGoal goal, gint64 most, const char *as_of)
{
    g_autoptr(GwFabric) fabric = make(seed, goal, most);
    g_autoptr(GwMigrationPlan) plan = balance(fabric, as_of);
    guint rounds = 0;

    for (; plan->moves->len > 0; rounds++) {
        assert_sound(fabric, plan, seed);
        assert_true(plan->moves->len <= most);
        GwFabric *next = carried_out(fabric, plan);
        GwMigrationPlan *again = balance(next, as_of);
        assert_kept(plan, again, seed);
        gw_migration_plan_free(plan);
        gw_fabric_unref(fabric);
        plan = again;
        fabric = next;
        if (rounds > ROUNDS) {
            show(plan);
            fail_msg("seed %u: no end", seed);
        }
    }
    return rounds;
}

static void balances_are_sound_and_end(void **state)
{
    guint moved = 0;

    for (guint32 seed = 1; seed <= SEEDS; seed++)
        moved += rounds_that_end(seed, GW_GOAL_BALANCE, 1 + seed % 9, NULL) > 0;
    assert_true(moved > SEEDS / 3);
    (void)state;
}

/* With no ceiling, and with what has moved at rest, one round is all. */
static void second_round_is_empty(void **state)
{
    guint moved = 0;

    for (guint32 seed = 1; seed <= SEEDS; seed++) {
        guint rounds = rounds_that_end(seed, GW_GOAL_BALANCE, 1000, "2026-03-01T10:05:00Z");
        if (rounds > 1)
            fail_msg("seed %u: a second round moves what the first did not", seed);
        moved += rounds;
    }
    assert_true(moved > SEEDS / 3);
    (void)state;
}

static void fills_are_sound_and_end(void **state)
{
    guint moved = 0;

    for (guint32 seed = 1; seed <= SEEDS; seed++)
        moved += rounds_that_end(seed, GW_GOAL_FILL, 30, NULL) > 0;
    assert_true(moved > SEEDS / 10);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figure_is_the_deviation),
        cmocka_unit_test(figure_goes_by_weights),
        cmocka_unit_test(reserves_are_no_capacity),
        cmocka_unit_test(settings_of_any_kind_are_survived),
        cmocka_unit_test(settings_in_json_are_strict),
        cmocka_unit_test(a_group_of_a_ring_ends),
        cmocka_unit_test(requests_are_checked),
        cmocka_unit_test(schedules_open_and_close),
        cmocka_unit_test(nonsense_is_no_schedule),
        cmocka_unit_test(balances_are_sound_and_end),
        cmocka_unit_test(second_round_is_empty),
        cmocka_unit_test(fills_are_sound_and_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
