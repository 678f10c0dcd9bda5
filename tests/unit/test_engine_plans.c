/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan_world.h"

#include <string.h>

/* Jobs that carry out plans of many moves (R49), in the simulated fabric: drains that go well, and
 * that are paused, cancelled, struck and interfered with. */

#define PLACES "aaaaabcd" /* 8 VMs on 4 hosts, 5 of them on a */

static void open_default(PlanWorld *world)
{
    plan_open(world, plan_fabric(4, PLACES), 4, 8);
}

static void test_a_drain_and_back(void **unused)
{
    PlanWorld world;
    (void)unused;

    open_default(&world);
    g_autofree char *id = plan_drain(&world, "a");
    plan_run(&world, SECONDS(1) / 10);
    assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_ENTERING);
    g_autoptr(GwJob) over = plan_run_job(&world, id);
    assert_int_equal(over->state, GW_JOB_DONE);
    assert_int_equal(over->progress->percent, 100);
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), 5);
    assert_int_equal(plan_running_at(&world, 'a'), 0);
    assert_int_equal(plan_running_at(&world, 'b') + plan_running_at(&world, 'c') +
                         plan_running_at(&world, 'd'),
                     8);
    plan_run(&world, SECONDS(1));
    assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_IN);

    g_autofree char *back = plan_undrain(&world, "a");
    g_autoptr(GwJob) home = plan_run_job(&world, back);
    assert_int_equal(home->state, GW_JOB_DONE);
    for (guint i = 0; i < 8; i++)
        assert_int_equal(plan_where(&world, i), PLACES[i]);
    assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_NONE);
    plan_check_vms(&world);
    plan_close(&world);
}

/* VMs chosen by hand (R19): each moves once, and the look after the last finds nothing left. */
static void test_several_vms_are_moved_once(void **unused)
{
    PlanWorld world;
    GwPlanRequest *request = gw_plan_request_new();
    (void)unused;

    open_default(&world);
    request->kind = GW_PLAN_MOVES;
    request->vms = g_strsplit("vm0 vm1", " ", -1);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, request);
    assert_int_equal(plan->moves->len, 2);
    g_autoptr(GwJob) job = plan_apply(&world, plan);
    g_autoptr(GwJob) over = plan_run_job(&world, job->id);
    assert_int_equal(over->state, GW_JOB_DONE);
    assert_int_equal(over->plan->moves->len, 2);
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), 2);
    for (guint i = 0; i < 8; i++)
        assert_true((plan_where(&world, i) == PLACES[i]) == (i > 1));
    plan_check_vms(&world);
    plan_close(&world);
}

/* Plans that are refused ------------------------------------------------------------------------
 */

static void refuse(PlanWorld *world, const GwMigrationPlan *plan, GwErrorCode code,
                   const char *part)
{
    g_autoptr(GError) error = NULL;

    assert_null(gw_engine_apply_plan(world->world.engine, plan, "tester", &error));
    unit_assert_error(error, code, part);
}

static GwPlannedMove *move_at(const GwMigrationPlan *plan, guint index)
{
    return plan->moves->pdata[index];
}

static void set_text(char **field, const char *text)
{
    g_free(*field);
    *field = g_strdup(text);
}

static void test_hostile_plans_are_refused(void **unused)
{
    PlanWorld world;
    (void)unused;

    open_default(&world);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    assert_int_equal(plan->moves->len, 5);

    g_autoptr(GwMigrationPlan) stranger = gw_migration_plan_copy(plan);
    set_text(&move_at(stranger, 0)->destination_host_id, "nobody");
    refuse(&world, stranger, GW_ERR_INVALID, "not managed");
    set_text(&move_at(stranger, 0)->destination_host_id, NULL);
    refuse(&world, stranger, GW_ERR_INVALID, "not managed");

    g_autoptr(GwMigrationPlan) circle = gw_migration_plan_copy(plan);
    move_at(circle, 2)->after = 3;
    refuse(&world, circle, GW_ERR_INVALID, "move 3 comes after");
    move_at(circle, 2)->after = G_MAXINT64;
    refuse(&world, circle, GW_ERR_INVALID, "move 3 comes after");
    move_at(circle, 2)->after = -1;
    refuse(&world, circle, GW_ERR_INVALID, "move 3 comes after");

    g_autoptr(GwMigrationPlan) home = gw_migration_plan_copy(plan);
    set_text(&move_at(home, 1)->destination_host_id, move_at(home, 1)->source_host_id);
    refuse(&world, home, GW_ERR_INVALID, "goes to the host that it is on");

    g_autoptr(GwMigrationPlan) nameless = gw_migration_plan_copy(plan);
    move_at(nameless, 1)->after = 1;
    set_text(&move_at(nameless, 1)->vm_uuid, NULL);
    refuse(&world, nameless, GW_ERR_INVALID, "move 2 names no VM");
    set_text(&move_at(nameless, 1)->vm_uuid, "6d0b6b0e-0000-4000-8000-00000000ffff");
    refuse(&world, nameless, GW_ERR_CONFLICT, "move 2: ");
    plan_close(&world);
}

static void test_plans_that_are_no_plans(void **unused)
{
    PlanWorld world;
    (void)unused;

    open_default(&world);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));

    g_autoptr(GwMigrationPlan) bare = gw_migration_plan_copy(plan);
    g_clear_pointer(&bare->request, gw_plan_request_free);
    refuse(&world, bare, GW_ERR_INVALID, "what was asked for");

    g_autoptr(GwMigrationPlan) kind = gw_migration_plan_copy(plan);
    kind->kind = kind->request->kind = 99;
    refuse(&world, kind, GW_ERR_INVALID, "kind");
    kind->kind = GW_PLAN_UNDRAIN; /* is not what was asked for */
    kind->request->kind = GW_PLAN_DRAIN;
    refuse(&world, kind, GW_ERR_INVALID, "kind");

    g_autoptr(GwMigrationPlan) empty = gw_migration_plan_copy(plan);
    g_clear_pointer(&empty->moves, g_ptr_array_unref);
    refuse(&world, empty, GW_ERR_INVALID, "no list of moves");

    g_autoptr(GwMigrationPlan) strange = gw_migration_plan_copy(plan);
    g_strfreev(strange->request->hosts);
    strange->request->hosts = g_strsplit("a nobody", " ", -1);
    refuse(&world, strange, GW_ERR_NOT_FOUND, "nobody");

    g_autoptr(GwMigrationPlan) large = gw_migration_plan_copy(plan);
    while (large->moves->len <= GW_PLAN_VMS_MAX)
        g_ptr_array_add(large->moves, gw_record_ref(move_at(plan, 0)));
    refuse(&world, large, GW_ERR_INVALID, "too many moves");
    plan_check_vms(&world);
    plan_close(&world);
}

static void test_a_plan_that_is_old_is_refused(void **unused)
{
    PlanWorld world;
    (void)unused;

    open_default(&world);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    request->destination = g_strdup("c");
    g_autoptr(GwJob) by_hand = NULL;
    UNIT_OK(by_hand = gw_engine_migrate(world.world.engine, "vm0", request, "tester", NULL, error));
    g_autoptr(GwJob) moved = plan_run_job(&world, by_hand->id);
    assert_int_equal(moved->state, GW_JOB_DONE);
    refuse(&world, plan, GW_ERR_CONFLICT, "any more");

    /* A host that takes nothing any more is nothing that a look at its VMs shows. */
    g_autoptr(GwMigrationPlan) second = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    const char *destination = move_at(second, 0)->destination_host_name;
    g_autoptr(GwHost) closed = NULL;
    UNIT_OK(closed = gw_engine_set_maintenance(world.world.engine, destination, TRUE, error));
    refuse(&world, second, GW_ERR_CONFLICT, "changed since");
    plan_close(&world);
}

static void test_one_plan_for_a_host(void **unused)
{
    PlanWorld world;
    (void)unused;

    open_default(&world);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    g_autofree char *source = g_strdup(move_at(plan, 0)->source_host_id);
    g_autoptr(GwMigrationPlan) by_id = plan_make(&world, plan_request(GW_PLAN_DRAIN, source));
    g_autoptr(GwJob) job = plan_apply(&world, plan);
    refuse(&world, plan, GW_ERR_CONFLICT, "is under way for that host");
    refuse(&world, by_id, GW_ERR_CONFLICT, "is under way for that host");
    g_autoptr(GwJob) over = plan_run_job(&world, job->id);
    assert_int_equal(over->state, GW_JOB_DONE);
    plan_close(&world);
}

/* What persons say ------------------------------------------------------------------------------
 */

static GwJob *pause_job(PlanWorld *world, const char *id, gboolean on)
{
    GwJob *job = NULL;

    UNIT_OK(job = gw_engine_pause_job(world->world.engine, id, on, error));
    return job;
}

static void test_pause_and_resume(void **unused)
{
    PlanWorld world;
    (void)unused;

    open_default(&world);
    g_autofree char *id = plan_drain(&world, "a");
    plan_run(&world, SECONDS(1) / 2);
    g_autoptr(GwJob) paused = pause_job(&world, id, TRUE);
    assert_true(paused->pause_requested);
    plan_run(&world, SECONDS(60)); /* what had begun ends */
    g_autoptr(GwJob) waits = world_job(&world.world, id);
    guint done = plan_count(waits, GW_PLANNED_DONE);
    assert_true(done > 0 && done < 5);
    assert_int_equal(plan_count(waits, GW_PLANNED_RUNNING), 0);
    assert_int_equal(plan_running_at(&world, 'a'), 5 - done);

    world_kill(&world.world); /* which is remembered */
    world_start(&world.world);
    plan_run(&world, SECONDS(60));
    assert_int_equal(plan_running_at(&world, 'a'), 5 - done);
    g_autoptr(GwJob) resumed = pause_job(&world, id, FALSE);
    assert_false(resumed->pause_requested);
    g_autoptr(GwJob) over = plan_run_job(&world, id);
    assert_int_equal(over->state, GW_JOB_DONE);
    assert_int_equal(plan_running_at(&world, 'a'), 0);
    plan_check_vms(&world);
    plan_close(&world);
}

/* A job is as large as its plan: it is told when it has changed, not at every look (5 s). */
static void test_nothing_new_is_not_told(void **unused)
{
    PlanWorld world;
    gboolean lost = FALSE;
    (void)unused;

    open_default(&world);
    GwFeed *feed = gw_engine_feed(world.world.engine);
    g_autofree char *id = plan_drain(&world, "a");
    plan_run(&world, SECONDS(1) / 2);
    g_autoptr(GwJob) paused = pause_job(&world, id, TRUE);
    plan_run(&world, SECONDS(60));
    guint64 after = gw_feed_last(feed);
    plan_run(&world, SECONDS(60));
    g_autoptr(GPtrArray) items = gw_feed_wait(feed, after, 1000, 0, &lost);
    assert_false(lost);
    for (guint i = 0; i < items->len; i++)
        assert_string_not_equal(((GwFeedItem *)items->pdata[i])->type, "job");
    g_autoptr(GwJob) resumed = pause_job(&world, id, FALSE);
    g_autoptr(GwJob) over = plan_run_job(&world, id);
    assert_int_equal(over->state, GW_JOB_DONE);
    plan_close(&world);
}

static guint unfinished(PlanWorld *world)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->world.engine);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);
    guint n = 0;

    for (guint i = 0; i < jobs->len; i++)
        n += !gw_job_state_is_final((GwJobState)((GwJob *)jobs->pdata[i])->state);
    return n;
}

/* At every moment of a drain, also between a move's check and its beginning. */
static void test_cancel_at_any_moment(void **unused)
{
    (void)unused;
    for (gint64 ms = 0; ms < 3000; ms = ms < 60 ? ms + 1 : ms + 97) {
        PlanWorld world;
        open_default(&world);
        g_autofree char *id = plan_drain(&world, "a");
        world_run(&world.world, ms * 1000);
        g_autoptr(GwJob) asked = NULL;
        UNIT_OK(asked = gw_engine_cancel_job(world.world.engine, id, error));
        g_autoptr(GwJob) over = plan_run_job(&world, id);
        assert_int_equal(over->state, GW_JOB_CANCELLED);
        assert_non_null(over->error);
        if (unfinished(&world) > 0)
            fail_msg("cancelled after %d ms, a move goes on", (int)ms);
        plan_run(&world, SECONDS(30));
        assert_int_equal(unfinished(&world), 0);
        assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_NONE);
        assert_int_equal(plan_running_at(&world, 'a'), 5 - plan_count(over, GW_PLANNED_DONE));
        plan_check_vms(&world);
        plan_close(&world);
    }
}

static void test_not_more_at_once_than_asked_for(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open(&world, plan_fabric(4, "aaabbb"), 4, 6);
    GwPlanRequest *request = plan_request(GW_PLAN_DRAIN, "a b");
    request->moves_at_once = 1;
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, request);
    g_autoptr(GwJob) job = plan_apply(&world, plan);
    gboolean is_over = FALSE;
    for (guint i = 0; i < 6000 && !is_over; i++) {
        world_run(&world.world, 5000);
        g_autoptr(GwJob) now = world_job(&world.world, job->id);
        is_over = gw_job_state_is_final((GwJobState)now->state);
        assert_true(unfinished(&world) <= 2); /* the plan and a move */
    }
    g_autoptr(GwJob) over = world_job(&world.world, job->id);
    assert_int_equal(over->state, GW_JOB_DONE);
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), 6);
    plan_close(&world);
}

static void kill_at(PlanWorld *world, gint64 ms, gint64 away_ms)
{
    plan_run(world, ms * 1000);
    world_kill(&world->world);
    world_pass(&world->world, away_ms * 1000);
    world_start(&world->world);
}

/* How many hosts VMs leave just now. */
static guint sources(PlanWorld *world)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->world.engine);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        if (job->vm_uuid != NULL && !gw_job_state_is_final((GwJobState)job->state))
            g_hash_table_add(seen, job->source_host_id);
    }
    return g_hash_table_size(seen);
}

/* Also where a move fails, and its VM leaves later than was planned. */
static void test_one_host_after_another(void **unused)
{
    PlanWorld world;
    g_autoptr(GwJson) fault = json_pack("{s:s,s:s}", "at", "copy", "do", "fail");
    (void)unused;

    plan_open(&world, plan_fabric(4, "aaabbb"), 4, 6);
    GwPlanRequest *request = plan_request(GW_PLAN_DRAIN, "a b");
    request->hosts_at_once = 1;
    UNIT_OK(gw_sim_fault(world.world.sim, fault, error));
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, request);
    g_autoptr(GwJob) job = plan_apply(&world, plan);
    for (guint i = 0; i < 200; i++) {
        plan_run(&world, SECONDS(1) / 10);
        assert_true(sources(&world) <= 1);
    }
    g_autoptr(GwJob) over = plan_run_job(&world, job->id);
    assert_int_equal(over->state, GW_JOB_DONE);
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), 6);
    assert_int_equal(plan_count(over, GW_PLANNED_FAILED), 1);
    plan_close(&world);
}

/* What happens meanwhile ------------------------------------------------------------------------
 */

static void cut_off(PlanWorld *world, char host, gint64 ms)
{
    g_autofree char *uri = world_uri((guint)(host - 'a'));
    gw_sim_cut_off(world->world.sim, uri, ms);
}

static void test_a_destination_dies_before_its_turn(void **unused)
{
    PlanWorld world;
    (void)unused;

    open_default(&world);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    const char *last = move_at(plan, 2)->destination_host_name;
    g_autoptr(GwJob) job = plan_apply(&world, plan);
    plan_run(&world, SECONDS(1) / 5);
    cut_off(&world, *last, 3600 * 1000);
    g_autoptr(GwJob) over = plan_run_job(&world, job->id);
    assert_int_equal(over->state, GW_JOB_DONE);
    assert_int_equal(plan_running_at(&world, 'a'), 0);
    assert_int_equal(plan_running_at(&world, *last), 1);
    plan_check_vms(&world);
    plan_close(&world);
}

/* The letter of a host that a VM is copied to just now. */
static char copies_to(PlanWorld *world)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->world.engine);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);

    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        if (job->vm_uuid != NULL && job->state == (int)GW_JOB_COPYING)
            return *gw_fabric_host(fabric, job->destination_host_id)->name;
    }
    fail_msg("nothing is copied");
    return '\0';
}

/* Of a VM that was on its way there nobody knows whether it came to be there: it is left alone
 * until that is known (I1), and the others do not wait for it. */
static void test_a_destination_dies_under_a_move(void **unused)
{
    PlanWorld world;
    (void)unused;

    open_default(&world);
    g_autofree char *id = plan_drain(&world, "a");
    plan_run(&world, SECONDS(1) / 2);
    cut_off(&world, copies_to(&world), 300 * 1000);
    plan_run(&world, SECONDS(200));
    g_autoptr(GwJob) waits = world_job(&world.world, id);
    assert_int_equal(plan_count(waits, GW_PLANNED_DONE), 4);
    assert_int_equal(plan_count(waits, GW_PLANNED_RUNNING), 1);
    g_autoptr(GwJob) over = plan_run_job(&world, id);
    assert_int_equal(over->state, GW_JOB_DONE);
    assert_int_equal(plan_running_at(&world, 'a'), 0);
    plan_check_vms(&world);
    plan_close(&world);
}

static void test_the_source_is_away_for_a_while(void **unused)
{
    PlanWorld world;
    (void)unused;

    open_default(&world);
    g_autofree char *id = plan_drain(&world, "a");
    plan_run(&world, SECONDS(1) / 2);
    cut_off(&world, 'a', 120 * 1000);
    plan_run(&world, SECONDS(100));
    g_autoptr(GwJob) waits = world_job(&world.world, id);
    assert_false(gw_job_state_is_final((GwJobState)waits->state));
    world_kill(&world.world); /* what a holds is not even known now */
    world_start(&world.world);
    plan_run(&world, SECONDS(10));
    g_autoptr(GwJob) asks = world_job(&world.world, id);
    assert_string_equal(asks->waiting_for, "host 'a' to answer");
    g_autoptr(GwJob) over = plan_run_job(&world, id);
    assert_int_equal(over->state, GW_JOB_DONE);
    assert_null(over->waiting_for);
    assert_int_equal(plan_running_at(&world, 'a'), 0);
    plan_check_vms(&world);
    plan_close(&world);
}

static void test_a_vm_is_started_meanwhile(void **unused)
{
    PlanWorld world;
    json_t *fabric = plan_fabric(4, PLACES);
    (void)unused;

    json_object_set_new(plan_vm_json(fabric, 4), "state", json_string("off"));
    plan_open(&world, fabric, 4, 8);
    g_autofree char *id = plan_drain(&world, "a");
    g_autofree char *uri = world_uri(0), *uuid = trial_uuid(4);
    plan_run(&world, SECONDS(1) / 2);
    gw_sim_boot(world.world.sim, uri, uuid);
    g_autoptr(GwJob) over = plan_run_job(&world, id);
    assert_int_equal(over->state, GW_JOB_DONE);
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), 5);
    assert_int_equal(plan_running_at(&world, 'a'), 0);
    plan_check_vms(&world);
    plan_close(&world);
}

static void test_a_vm_is_removed_meanwhile(void **unused)
{
    PlanWorld world;
    (void)unused;

    open_default(&world);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    g_autofree char *uri = world_uri(0);
    g_autofree char *last = g_strdup(move_at(plan, 4)->vm_uuid);
    g_autoptr(GwJob) job = plan_apply(&world, plan);
    plan_run(&world, SECONDS(1) / 2);
    gw_sim_shut_down(world.world.sim, last);
    gw_sim_undefine_by_hand(world.world.sim, uri, last);
    g_autoptr(GwJob) over = plan_run_job(&world, job->id);
    assert_int_equal(over->state, GW_JOB_DONE);
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), 4);
    assert_int_equal(plan_running_at(&world, 'a'), 0);
    plan_close(&world);
}

static void test_a_vm_is_shut_down_meanwhile(void **unused)
{
    PlanWorld world;
    (void)unused;

    open_default(&world);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    g_autofree char *uri = world_uri(0);
    g_autofree char *last = g_strdup(move_at(plan, 4)->vm_uuid);
    g_autoptr(GwJob) job = plan_apply(&world, plan);
    plan_run(&world, SECONDS(1) / 2);
    gw_sim_shut_down(world.world.sim, last);
    g_autoptr(GwJob) over = plan_run_job(&world, job->id);
    assert_int_equal(over->state, GW_JOB_DONE);
    /* --cold was not asked for: one that is off stays, and is as it was. */
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), 4);
    g_autoptr(GwLook) look = gw_sim_look(world.world.sim, uri, last);
    assert_non_null(look);
    assert_int_equal(plan_running_at(&world, 'a'), 0);
    plan_run(&world, SECONDS(1));
    assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_IN);
    plan_close(&world);
}

/* @ms: when, from the drain's begin. */
static void move_by_hand(gint64 ms, guint vm)
{
    PlanWorld world;
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    g_autofree char *name = g_strdup_printf("vm%u", vm);

    open_default(&world);
    g_autofree char *id = plan_drain(&world, "a");
    world_run(&world.world, ms * 1000);
    request->destination = g_strdup("d");
    g_autoptr(GwJob) by_hand =
        gw_engine_migrate(world.world.engine, name, request, "tester", NULL, NULL);
    g_autoptr(GwJob) over = plan_run_job(&world, id);
    if (over->state != (int)GW_JOB_DONE)
        fail_msg("vm%u by hand after %d ms: %s", vm, (int)ms, over->error->message);
    assert_int_equal(plan_running_at(&world, 'a'), 0);
    plan_run(&world, SECONDS(10));
    if (by_hand != NULL)
        assert_int_equal(plan_where(&world, vm), 'd');
    plan_check_vms(&world);
    plan_close(&world);
}

static void test_a_vm_is_moved_by_hand_meanwhile(void **unused)
{
    (void)unused;
    for (gint64 ms = 0; ms < 5000; ms += 240) {
        for (guint vm = 0; vm < 5; vm += 2)
            move_by_hand(ms, vm);
    }
}

/* The drain ends when that job has, not before. */
static void test_a_vm_that_another_job_holds(void **unused)
{
    PlanWorld world;
    json_t *fabric = plan_fabric(3, "aa");
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    (void)unused;

    json_object_set_new(plan_vm_json(fabric, 1), "memory_kib", json_integer(8388608));
    json_object_set_new(plan_vm_json(fabric, 1), "max_memory_kib", json_integer(8388608));
    plan_open(&world, fabric, 3, 2);
    request->destination = g_strdup("c");
    g_autoptr(GwJob) by_hand = NULL;
    UNIT_OK(by_hand = gw_engine_migrate(world.world.engine, "vm1", request, "tester", NULL, error));
    plan_run(&world, SECONDS(2));
    g_autofree char *id = plan_drain(&world, "a");
    plan_run(&world, SECONDS(10));
    assert_int_equal(plan_where(&world, 0) != 'a', TRUE);
    g_autoptr(GwJob) waits = world_job(&world.world, id);
    assert_false(gw_job_state_is_final((GwJobState)waits->state));
    g_autoptr(GwJob) over = plan_run_job(&world, id);
    if (over->state != (int)GW_JOB_DONE)
        fail_msg("%s", over->error->message);
    assert_int_equal(plan_where(&world, 1), 'c');
    plan_close(&world);
}

static void test_a_vm_that_another_job_brings(void **unused)
{
    PlanWorld world;
    json_t *fabric = plan_fabric(3, "ab");
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    (void)unused;

    json_object_set_new(plan_vm_json(fabric, 1), "memory_kib", json_integer(8388608));
    json_object_set_new(plan_vm_json(fabric, 1), "max_memory_kib", json_integer(8388608));
    plan_open(&world, fabric, 3, 2);
    request->destination = g_strdup("a");
    g_autoptr(GwJob) by_hand = NULL;
    UNIT_OK(by_hand = gw_engine_migrate(world.world.engine, "vm1", request, "tester", NULL, error));
    plan_run(&world, SECONDS(2));
    g_autofree char *id = plan_drain(&world, "a");
    g_autoptr(GwJob) over = plan_run_job(&world, id);
    if (over->state != (int)GW_JOB_DONE)
        fail_msg("%s", over->error->message);
    g_autoptr(GwJob) brought = world_job(&world.world, by_hand->id);
    assert_int_equal(brought->state, GW_JOB_DONE);
    assert_int_equal(plan_running_at(&world, 'a'), 0);
    plan_close(&world);
}

/* What the plan itself still has to move takes no room of what is planned anew. */
static void test_room_is_counted_once(void **unused)
{
    PlanWorld world;
    json_t *fabric = plan_fabric(2, "aaaa");
    json_t *b = json_array_get(json_object_get(fabric, "hosts"), 1);
    (void)unused;

    json_object_set_new(json_object_get(b, "facts"), "free_memory_kib",
                        json_integer(4 * 262144 + 200000));
    plan_open(&world, fabric, 2, 4);
    g_autofree char *id = plan_drain(&world, "a");
    kill_at(&world, 0, 100); /* all is planned anew */
    plan_run(&world, SECONDS(2));
    g_autoptr(GwJob) now = world_job(&world.world, id);
    assert_int_equal(now->plan->stays->len, 0);
    assert_int_equal(now->plan->moves->len, 4);
    plan_close(&world);
}

static void test_a_vm_that_cannot_leave(void **unused)
{
    PlanWorld world;
    json_t *fabric = plan_fabric(4, PLACES);
    (void)unused;

    json_object_set_new(plan_vm_json(fabric, 2), "hostdevs",
                        json_pack("[{s:s,s:s}]", "type", "pci", "address", "0000:3b:00.0"));
    plan_open(&world, fabric, 4, 8);
    g_autofree char *id = plan_drain(&world, "a");
    g_autoptr(GwJob) over = plan_run_job(&world, id);
    assert_int_equal(over->state, GW_JOB_FAILED);
    assert_non_null(strstr(over->error->message, "'vm2'"));
    assert_non_null(over->error->remedy);
    assert_int_equal(over->plan->stays->len, 1);
    assert_int_equal(plan_where(&world, 2), 'a');
    assert_int_equal(plan_running_at(&world, 'a'), 1);
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), 4);
    plan_check_vms(&world);
    /* Somebody wants it empty: it gets no VM, until it is brought back or opened by hand. */
    assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_ENTERING);
    plan_close(&world);
}

static void test_a_rule_is_kept_at_every_instant(void **unused)
{
    PlanWorld world;
    g_autoptr(GwPlacementRule) rule = gw_placement_rule_new();
    g_autofree char *one = trial_uuid(0), *other = trial_uuid(3);
    (void)unused;

    /* Room for both is only on the other two hosts, one each; b is full of its own. */
    plan_open(&world, plan_fabric(4, "aaabcd"), 4, 6);
    world.apart[0] = 0;
    world.apart[1] = 3;
    rule->name = g_strdup("apart");
    rule->kind = GW_RULE_KIND_APART;
    rule->required = TRUE;
    rule->vms = g_new0(char *, 3);
    rule->vms[0] = g_strdup(one);
    rule->vms[1] = g_strdup(other);
    g_autoptr(GwPlacementRule) added = NULL;
    UNIT_OK(added = gw_engine_add_rule(world.world.engine, rule, error));
    g_autofree char *id = plan_drain(&world, "a b");
    g_autoptr(GwJob) over = plan_run_job(&world, id);
    assert_int_equal(over->state, GW_JOB_DONE);
    g_autofree char *back = plan_undrain(&world, "a b");
    g_autoptr(GwJob) home = plan_run_job(&world, back);
    assert_int_equal(home->state, GW_JOB_DONE);
    assert_int_equal(plan_where(&world, 0), 'a');
    assert_int_equal(plan_where(&world, 3), 'b');
    plan_check_vms(&world);
    plan_close(&world);
}

/* What an administrator brings back by the drain's job alone. */
static void test_undrain_by_the_drains_job(void **unused)
{
    PlanWorld world;
    (void)unused;

    open_default(&world);
    g_autofree char *id = plan_drain(&world, "a");
    g_autoptr(GwJob) over = plan_run_job(&world, id);
    assert_int_equal(over->state, GW_JOB_DONE);
    plan_run(&world, SECONDS(1));
    GwPlanRequest *request = plan_request(GW_PLAN_UNDRAIN, NULL);
    request->undoes = g_strdup(id);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, request);
    assert_int_equal(plan->moves->len, 5);
    g_autoptr(GwJob) job = plan_apply(&world, plan);
    g_autoptr(GwJob) home = plan_run_job(&world, job->id);
    if (home->state != (int)GW_JOB_DONE)
        fail_msg("%s", home->error->message);
    assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_NONE);
    assert_int_equal(plan_running_at(&world, 'a'), 5);
    plan_close(&world);
}

/* The controller dies ---------------------------------------------------------------------------
 */

static void test_killed_at_any_moment(void **unused)
{
    (void)unused;
    for (gint64 ms = 0; ms < 6000; ms = ms < 100 ? ms + 7 : ms + 133) {
        PlanWorld world;
        open_default(&world);
        g_autofree char *id = plan_drain(&world, "a");
        kill_at(&world, ms, ms % 5 * 700);
        g_autoptr(GwJob) over = plan_run_job(&world, id);
        if (over->state != (int)GW_JOB_DONE)
            fail_msg("killed after %d ms: %s", (int)ms, over->error->message);
        assert_int_equal(plan_count(over, GW_PLANNED_DONE), 5);
        assert_int_equal(over->progress->percent, 100);
        for (guint i = 0; i < over->plan->moves->len; i++)
            assert_string_equal(move_at(over->plan, i)->source_host_name, "a");
        assert_int_equal(plan_running_at(&world, 'a'), 0);
        plan_check_vms(&world);
        plan_run(&world, SECONDS(1));
        assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_IN);
        g_autofree char *back = plan_undrain(&world, "a");
        kill_at(&world, ms, 300);
        g_autoptr(GwJob) home = plan_run_job(&world, back);
        if (home->state != (int)GW_JOB_DONE)
            fail_msg("killed after %d ms on the way back: %s", (int)ms, home->error->message);
        for (guint i = 0; i < 8; i++)
            assert_int_equal(plan_where(&world, i), PLACES[i]);
        plan_close(&world);
    }
}

static void test_killed_again_and_again(void **unused)
{
    PlanWorld world;
    (void)unused;

    open_default(&world);
    g_autofree char *id = plan_drain(&world, "a");
    for (guint i = 0; i < 40; i++)
        kill_at(&world, 40 + i * 13 % 250, i % 3 * 200);
    g_autoptr(GwJob) over = plan_run_job(&world, id);
    assert_int_equal(over->state, GW_JOB_DONE);
    assert_int_equal(plan_running_at(&world, 'a'), 0);
    plan_check_vms(&world);
    plan_close(&world);
}

/* What was tried before the controller died is not in the plan that it had written: it is known by
 * the moves' own jobs, which come to the plan with all that people look at. */
static void test_what_was_tried_is_remembered(void **unused)
{
    PlanWorld world;
    (void)unused;

    open_default(&world);
    g_autoptr(GwJson) fault = json_pack("{s:s,s:s}", "at", "copy", "do", "fail");
    g_autofree char *id = plan_drain(&world, "a");
    UNIT_OK(gw_sim_fault(world.world.sim, fault, error));
    plan_run(&world, SECONDS(30)); /* it failed once, and went well then */
    kill_at(&world, 0, 100);
    g_autoptr(GwJob) over = plan_run_job(&world, id);
    assert_int_equal(over->state, GW_JOB_DONE);
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), 5);
    assert_int_equal(plan_count(over, GW_PLANNED_FAILED), 1);
    for (guint i = 0; i < over->plan->moves->len; i++) {
        assert_string_equal(move_at(over->plan, i)->source_host_name, "a");
        assert_non_null(move_at(over->plan, i)->destination_host_name);
        assert_non_null(move_at(over->plan, i)->vm_name);
    }
    plan_close(&world);
}

static void test_killed_while_it_is_cancelled(void **unused)
{
    (void)unused;
    for (gint64 ms = 0; ms < 1000; ms += 50) {
        PlanWorld world;
        open_default(&world);
        g_autofree char *id = plan_drain(&world, "a");
        plan_run(&world, SECONDS(1) / 2);
        g_autoptr(GwJob) asked = NULL;
        UNIT_OK(asked = gw_engine_cancel_job(world.world.engine, id, error));
        kill_at(&world, ms, 300);
        g_autoptr(GwJob) over = plan_run_job(&world, id);
        assert_int_equal(over->state, GW_JOB_CANCELLED);
        assert_int_equal(unfinished(&world), 0);
        assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_NONE);
        plan_check_vms(&world);
        plan_close(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_drain_and_back),
        cmocka_unit_test(test_several_vms_are_moved_once),
        cmocka_unit_test(test_hostile_plans_are_refused),
        cmocka_unit_test(test_plans_that_are_no_plans),
        cmocka_unit_test(test_a_plan_that_is_old_is_refused),
        cmocka_unit_test(test_one_plan_for_a_host),
        cmocka_unit_test(test_pause_and_resume),
        cmocka_unit_test(test_nothing_new_is_not_told),
        cmocka_unit_test(test_cancel_at_any_moment),
        cmocka_unit_test(test_not_more_at_once_than_asked_for),
        cmocka_unit_test(test_one_host_after_another),
        cmocka_unit_test(test_a_destination_dies_before_its_turn),
        cmocka_unit_test(test_a_destination_dies_under_a_move),
        cmocka_unit_test(test_the_source_is_away_for_a_while),
        cmocka_unit_test(test_a_vm_that_another_job_holds),
        cmocka_unit_test(test_a_vm_that_another_job_brings),
        cmocka_unit_test(test_room_is_counted_once),
        cmocka_unit_test(test_a_vm_is_started_meanwhile),
        cmocka_unit_test(test_a_vm_is_removed_meanwhile),
        cmocka_unit_test(test_a_vm_is_shut_down_meanwhile),
        cmocka_unit_test(test_a_vm_is_moved_by_hand_meanwhile),
        cmocka_unit_test(test_a_vm_that_cannot_leave),
        cmocka_unit_test(test_a_rule_is_kept_at_every_instant),
        cmocka_unit_test(test_undrain_by_the_drains_job),
        cmocka_unit_test(test_killed_at_any_moment),
        cmocka_unit_test(test_killed_again_and_again),
        cmocka_unit_test(test_what_was_tried_is_remembered),
        cmocka_unit_test(test_killed_while_it_is_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
