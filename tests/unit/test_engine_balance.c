/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan_world.h"

#include <string.h>

/* Host groups that are balanced by themselves, over virtual days in the simulated fabric: when a
 * round begins and when not, that it says what it waits for, and that nothing goes back and forth,
 * whatever the load does. */

#define MINUTES(n) SECONDS((n)*60)
#define HOURS(n) MINUTES((n)*60)
#define HOSTS 3
#define VMS 9
#define HOST_CPUS 8

typedef struct {
    PlanWorld plan;
    gint64 demand[VMS]; /* permille of one CPU */
} BalanceWorld;

/* What hosts use follows from what runs there. */
static void load(BalanceWorld *world)
{
    World *inner = &world->plan.world;
    gint64 sums[HOSTS] = { 0 };

    for (guint vm = 0; vm < VMS; vm++) {
        g_autofree char *uuid = trial_uuid(vm);
        gw_sim_set_cpu(inner->sim, NULL, uuid, world->demand[vm]);
        for (guint host = 0; host < HOSTS; host++) {
            g_autofree char *uri = world_uri(host);
            g_autoptr(GwLook) look = gw_sim_look(inner->sim, uri, uuid);
            if (look != NULL && look->state == (int)GW_VM_RUNNING)
                sums[host] += world->demand[vm];
        }
    }
    for (guint host = 0; host < HOSTS; host++) {
        g_autofree char *uri = world_uri(host);
        gw_sim_set_cpu(inner->sim, uri, NULL, 10 + sums[host] / HOST_CPUS);
    }
}

static void run(BalanceWorld *world, gint64 span_us)
{
    for (gint64 passed = 0; passed < span_us; passed += MINUTES(1)) {
        load(world);
        world_run(&world->plan.world, MINUTES(1));
    }
}

static GwBalanceSettings *settings_of(GwBalanceMode mode)
{
    GwBalanceSettings *settings = gw_balance_settings_new_default();

    settings->mode = (int)mode;
    return settings;
}

/* Takes @settings; NULL: none. */
static void set_balance(BalanceWorld *world, GwBalanceSettings *settings)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->plan.world.engine);
    g_autoptr(GwGroup) group = gw_group_copy(gw_fabric_find_group(fabric, GW_GROUP_ROOT));
    g_autoptr(GError) error = NULL;

    gw_balance_settings_free(group->balance);
    group->balance = settings;
    gw_placement_policy_free(group->placement);
    group->placement = gw_placement_policy_new_default();
    group->placement->memory_weight = 0;
    group->placement->network_weight = 0;
    g_autoptr(GwGroup) changed = world_change_group(world->plan.world.engine, group, &error);
    if (changed == NULL)
        fail_msg("%s", error->message);
}

/* All on a, which is busy with them. */
static void open_world(BalanceWorld *world, const char *places, gint64 demand)
{
    plan_open(&world->plan, plan_fabric(HOSTS, places), HOSTS, VMS);
    for (guint i = 0; i < VMS; i++)
        world->demand[i] = demand;
    run(world, MINUTES(3));
}

static void close_world(BalanceWorld *world)
{
    plan_check_vms(&world->plan);
    plan_close(&world->plan);
}

static GwBalanceStatus *status_of(BalanceWorld *world)
{
    g_autoptr(GError) error = NULL;
    GwBalanceStatus *status = gw_engine_balance(world->plan.world.engine, "All Hosts", &error);

    if (status == NULL)
        fail_msg("%s", error->message);
    return status;
}

/* Jobs that balance, the newest first; borrowed from @fabric. */
static GPtrArray *rounds_in(const GwFabric *fabric)
{
    GPtrArray *jobs = gw_fabric_list_jobs(fabric);

    for (guint i = jobs->len; i > 0; i--) {
        if (strcmp(((GwJob *)jobs->pdata[i - 1])->kind, GW_JOB_KIND_BALANCE) != 0)
            g_ptr_array_remove_index(jobs, i - 1);
    }
    return jobs;
}

static guint count_rounds(BalanceWorld *world)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->plan.world.engine);
    g_autoptr(GPtrArray) jobs = rounds_in(fabric);
    return jobs->len;
}

static void assert_waits(BalanceWorld *world, const char *words)
{
    g_autoptr(GwBalanceStatus) status = status_of(world);

    if (status->waiting_for == NULL || strstr(status->waiting_for, words) == NULL)
        fail_msg("it waits for '%s', not for '%s'",
                 status->waiting_for != NULL ? status->waiting_for : "nothing", words);
}

/* Recommendations -------------------------------------------------------------------------------
 */

static void test_a_recommendation_stands(void **unused)
{
    BalanceWorld world;
    (void)unused;

    open_world(&world, "aaaaaaaaa", 800);
    g_autoptr(GwBalanceStatus) off = status_of(&world);
    assert_int_equal(off->mode, GW_BALANCE_OFF);
    assert_null(off->waiting_for);
    set_balance(&world, settings_of(GW_BALANCE_RECOMMEND));
    assert_waits(&world, "first look");
    run(&world, MINUTES(4));
    g_autoptr(GwBalanceStatus) status = status_of(&world);
    assert_null(status->waiting_for);
    assert_non_null(status->recommendation);
    assert_true(status->recommendation->moves->len >= 4);
    assert_true(status->figures->imbalance_before > 40);
    assert_true(status->figures->imbalance_after < 10);
    run(&world, HOURS(2));
    g_autoptr(GwBalanceStatus) later = status_of(&world);
    /* The same is recommended still, since then; it was looked at again. */
    assert_string_equal(later->recommendation->made_at, status->recommendation->made_at);
    assert_string_not_equal(later->looked_at, status->looked_at);
    assert_int_equal(count_rounds(&world), 0);

    /* What it rests on changes: it is not shown any more, until it is made anew. */
    g_autofree char *uuid =
        g_strdup(((GwPlannedMove *)later->recommendation->moves->pdata[0])->vm_uuid);
    gw_sim_shut_down(world.plan.world.sim, uuid);
    world_run(&world.plan.world, SECONDS(5));
    g_autoptr(GwBalanceStatus) drifted = status_of(&world);
    assert_null(drifted->recommendation);
    run(&world, MINUTES(6));
    g_autoptr(GwBalanceStatus) anew = status_of(&world);
    assert_non_null(anew->recommendation);
    assert_string_not_equal(anew->recommendation->made_at, status->recommendation->made_at);
    assert_null(
        gw_record_find(&gw_planned_move_record, anew->recommendation->moves, "vm_uuid", uuid));
    plan_close(&world.plan);
}

/* It is applied by hand, as any plan. */
static void test_a_recommendation_is_applied(void **unused)
{
    BalanceWorld world;
    (void)unused;

    open_world(&world, "aaaaaaaaa", 800);
    set_balance(&world, settings_of(GW_BALANCE_RECOMMEND));
    run(&world, MINUTES(4));
    g_autoptr(GwBalanceStatus) status = status_of(&world);
    g_autoptr(GwJob) job = plan_apply(&world.plan, status->recommendation);
    assert_string_equal(job->title, "Balance All Hosts");
    g_autoptr(GError) error = NULL;
    assert_null(
        gw_engine_apply_plan(world.plan.world.engine, status->recommendation, "tester", &error));
    unit_assert_error(error, GW_ERR_CONFLICT, "All Hosts");
    g_autoptr(GwJob) over = plan_run_job(&world.plan, job->id);
    assert_int_equal(over->state, GW_JOB_DONE);
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), over->plan->moves->len);
    assert_int_equal(over->plan->moves->len, status->recommendation->moves->len);
    run(&world, HOURS(1));
    g_autoptr(GwBalanceStatus) after = status_of(&world);
    assert_null(after->recommendation);
    assert_true(after->figures->imbalance_before < 10);
    close_world(&world);
}

/* Rounds ----------------------------------------------------------------------------------------
 */

static void test_a_round_begins_by_itself_and_once(void **unused)
{
    BalanceWorld world;
    (void)unused;

    open_world(&world, "aaaaaaaaa", 800);
    set_balance(&world, settings_of(GW_BALANCE_AUTOMATIC));
    run(&world, MINUTES(4));
    assert_int_equal(count_rounds(&world), 0);
    assert_waits(&world, "no peak");
    run(&world, MINUTES(30));
    assert_int_equal(count_rounds(&world), 1);
    run(&world, HOURS(48));
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.plan.world.engine);
    g_autoptr(GPtrArray) rounds = rounds_in(fabric);
    assert_int_equal(rounds->len, 1); /* the load is as it was, and even: nothing more */
    const GwJob *job = rounds->pdata[0];
    assert_int_equal(job->state, GW_JOB_DONE);
    assert_string_equal(job->user, "balance");
    g_autoptr(GwBalanceStatus) status = status_of(&world);
    assert_string_equal(status->job_id, job->id);
    assert_true(status->figures->imbalance_before < 10);
    for (guint i = 0; i < HOSTS; i++)
        assert_int_equal(plan_running_at(&world.plan, (char)('a' + i)), 3);
    close_world(&world);
}

static void test_below_the_threshold_nothing_begins(void **unused)
{
    BalanceWorld world;
    GwBalanceSettings *settings = settings_of(GW_BALANCE_AUTOMATIC);
    (void)unused;

    settings->threshold = 60;
    open_world(&world, "aaaaaaaaa", 800);
    set_balance(&world, settings);
    run(&world, HOURS(3));
    assert_int_equal(count_rounds(&world), 0);
    assert_waits(&world, "threshold of 60");
    close_world(&world);
}

/* The world begins on Tuesday, 2023-11-14, at 22:13 UTC. */
static void test_rounds_keep_the_schedule(void **unused)
{
    BalanceWorld world;
    GwBalanceSettings *settings = settings_of(GW_BALANCE_AUTOMATIC);
    (void)unused;

    settings->schedule = g_strdup("wed 03:00-04:00 UTC");
    open_world(&world, "aaaaaaaaa", 800);
    set_balance(&world, settings);
    run(&world, HOURS(4) + MINUTES(30));
    assert_int_equal(count_rounds(&world), 0);
    assert_waits(&world, "the schedule (wed 03:00-04:00 UTC)");
    run(&world, HOURS(1));
    assert_int_equal(count_rounds(&world), 1);
    close_world(&world);
}

static void test_a_schedule_of_nonsense_is_refused(void **unused)
{
    BalanceWorld world;
    g_autoptr(GError) error = NULL;
    (void)unused;

    open_world(&world, "aaaaaaaaa", 800);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.plan.world.engine);
    g_autoptr(GwGroup) group = gw_group_copy(gw_fabric_find_group(fabric, GW_GROUP_ROOT));
    group->balance = settings_of(GW_BALANCE_AUTOMATIC);
    group->balance->schedule = g_strdup("at night");
    assert_null(world_change_group(world.plan.world.engine, group, &error));
    unit_assert_error(error, GW_ERR_INVALID, "no time of the week");
    close_world(&world);
}

/* Switched off, no further round begins; the one under way is cancelled as any job. */
static void test_off_is_off(void **unused)
{
    BalanceWorld world;
    g_autoptr(GError) error = NULL;
    (void)unused;

    open_world(&world, "aaaaaaaaa", 800);
    set_balance(&world, settings_of(GW_BALANCE_AUTOMATIC));
    while (count_rounds(&world) == 0) {
        load(&world);
        world_run(&world.plan.world, SECONDS(1));
    }
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.plan.world.engine);
    g_autoptr(GPtrArray) rounds = rounds_in(fabric);
    g_autofree char *id = g_strdup(((GwJob *)rounds->pdata[0])->id);
    set_balance(&world, settings_of(GW_BALANCE_OFF));
    g_autoptr(GwJob) asked = gw_engine_cancel_job(world.plan.world.engine, id, &error);
    assert_non_null(asked);
    g_autoptr(GwJob) over = plan_run_job(&world.plan, id);
    assert_int_equal(over->state, GW_JOB_CANCELLED);
    run(&world, HOURS(24));
    assert_int_equal(count_rounds(&world), 1);
    g_autoptr(GwBalanceStatus) status = status_of(&world);
    assert_int_equal(status->mode, GW_BALANCE_OFF);
    assert_null(status->recommendation);
    close_world(&world);
}

/* Beside others ---------------------------------------------------------------------------------
 */

static void test_a_drain_is_waited_for(void **unused)
{
    BalanceWorld world;
    g_autoptr(GError) error = NULL;
    (void)unused;

    open_world(&world, "aaaaaaaaa", 800);
    set_balance(&world, settings_of(GW_BALANCE_AUTOMATIC));
    run(&world, MINUTES(4));
    g_autoptr(GwBalanceStatus) before = status_of(&world);
    g_autofree char *drain = plan_drain(&world.plan, "b a");
    g_autoptr(GwJob) paused = gw_engine_pause_job(world.plan.world.engine, drain, TRUE, &error);
    assert_non_null(paused);
    run(&world, HOURS(5));
    assert_int_equal(count_rounds(&world), 0);
    assert_waits(&world, "the job 'Drain");
    /* Nor by hand. */
    assert_null(
        gw_engine_apply_plan(world.plan.world.engine, before->recommendation, "tester", &error));
    assert_non_null(error);
    assert_int_equal(error->code, GW_ERR_CONFLICT);
    close_world(&world);
}

static void test_a_host_that_is_away_is_waited_for(void **unused)
{
    BalanceWorld world;
    g_autofree char *uri = world_uri(2);
    (void)unused;

    open_world(&world, "aaaaaaaaa", 800);
    set_balance(&world, settings_of(GW_BALANCE_AUTOMATIC));
    gw_sim_cut_off(world.plan.world.sim, uri, 2 * 3600 * 1000);
    run(&world, HOURS(1));
    assert_int_equal(count_rounds(&world), 0);
    assert_waits(&world, "host 'c' to answer");
    run(&world, HOURS(2));
    assert_int_equal(count_rounds(&world), 1);
    close_world(&world);
}

/* A load that goes back and forth ---------------------------------------------------------------
 */

static gint64 unix_of(const char *time)
{
    g_autoptr(GDateTime) parsed = g_date_time_new_from_iso8601(time, NULL);
    return g_date_time_to_unix(parsed);
}

static gint compare_times(gconstpointer pa, gconstpointer pb)
{
    return strcmp((*(GwJob *const *)pa)->created_at, (*(GwJob *const *)pb)->created_at);
}

/* @least_s apart: each from the end of the one before. */
static void assert_apart(GPtrArray *jobs, gint64 least_s, const char *what)
{
    g_ptr_array_sort(jobs, compare_times);
    for (guint i = 1; i < jobs->len; i++) {
        const GwJob *before = jobs->pdata[i - 1], *job = jobs->pdata[i];
        gint64 apart = unix_of(job->created_at) - unix_of(before->finished_at);
        if (apart < least_s)
            fail_msg("%s: %s and %s are %" G_GINT64_FORMAT " s apart", what, before->created_at,
                     job->created_at, apart);
    }
}

static void assert_cool_downs(const GwFabric *fabric, const GwBalanceSettings *settings)
{
    g_autoptr(GPtrArray) rounds = rounds_in(fabric);

    assert_apart(rounds, settings->cool_down_s, "rounds");
    for (guint vm = 0; vm < VMS; vm++) {
        g_autofree char *uuid = trial_uuid(vm);
        g_autoptr(GPtrArray) moves = gw_fabric_list_jobs(fabric);
        for (guint i = moves->len; i > 0; i--) {
            if (g_strcmp0(((GwJob *)moves->pdata[i - 1])->vm_uuid, uuid) != 0)
                g_ptr_array_remove_index(moves, i - 1);
        }
        assert_apart(moves, settings->vm_cool_down_s, uuid);
    }
}

/* Half of the VMs are busy while the others are idle, and the other way round, every two hours, for
 * days; in between the controller dies, once in the cool-down. */
static void test_an_oscillating_load_moves_little(void **unused)
{
    BalanceWorld world;
    GwBalanceSettings *settings = settings_of(GW_BALANCE_AUTOMATIC);
    g_autoptr(GwBalanceSettings) kept = gw_balance_settings_copy(settings);
    (void)unused;

    open_world(&world, "aaabbbccc", 400);
    set_balance(&world, settings);
    for (guint hour = 0; hour < 4 * 24; hour++) {
        for (guint vm = 0; vm < VMS; vm++)
            world.demand[vm] = (hour / 2 + (vm < 3 ? 0 : 1)) % 2 == 0 ? 2200 : 100;
        run(&world, HOURS(1));
        if (hour % 10 == 9) {
            world_kill(&world.plan.world);
            world_pass(&world.plan.world, SECONDS(20));
            world_start(&world.plan.world);
        }
    }
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.plan.world.engine);
    g_autoptr(GPtrArray) rounds = rounds_in(fabric);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);
    assert_true(rounds->len > 0);
    assert_cool_downs(fabric, kept);
    /* Once they are spread over the hosts, the waves even out by themselves. */
    assert_true(jobs->len - rounds->len <= 2 * VMS);
    close_world(&world);
}

/* Moved by hand, a VM rests as well, and its cool-down outlives the controller: of two that are
 * alike the other one goes, although it would be the first to be chosen. */
static void test_a_move_by_hand_is_respected(void **unused)
{
    BalanceWorld world;
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    g_autofree char *uuid = trial_uuid(0);
    g_autoptr(GError) error = NULL;
    (void)unused;

    open_world(&world, "baabbbccc", 50);
    request->destination = g_strdup("a");
    request->options = gw_move_options_new();
    g_autoptr(GwJob) job =
        gw_engine_migrate(world.plan.world.engine, uuid, request, "tester", NULL, &error);
    if (job == NULL)
        fail_msg("%s", error->message);
    g_autoptr(GwJob) over = plan_run_job(&world.plan, job->id);
    assert_int_equal(over->state, GW_JOB_DONE);
    world_kill(&world.plan.world);
    world_start(&world.plan.world);
    world.demand[0] = world.demand[1] = 2800;
    set_balance(&world, settings_of(GW_BALANCE_AUTOMATIC));
    run(&world, HOURS(2));
    assert_int_equal(plan_where(&world.plan, 0), 'a');
    assert_int_not_equal(plan_where(&world.plan, 1), 'a');
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_recommendation_stands),
        cmocka_unit_test(test_a_recommendation_is_applied),
        cmocka_unit_test(test_a_round_begins_by_itself_and_once),
        cmocka_unit_test(test_below_the_threshold_nothing_begins),
        cmocka_unit_test(test_rounds_keep_the_schedule),
        cmocka_unit_test(test_a_schedule_of_nonsense_is_refused),
        cmocka_unit_test(test_off_is_off),
        cmocka_unit_test(test_a_drain_is_waited_for),
        cmocka_unit_test(test_a_host_that_is_away_is_waited_for),
        cmocka_unit_test(test_an_oscillating_load_moves_little),
        cmocka_unit_test(test_a_move_by_hand_is_respected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
