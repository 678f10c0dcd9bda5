/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan_world.h"

/* Jobs that carry out plans of many moves (R49), in the simulated fabric: drains that go well, and
 * that persons pause, cancel and limit. */

static void test_a_drain_and_back(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open_default(&world);
    g_autofree char *id = plan_drain(&world, "a");
    plan_run(&world, SECONDS(1) / 10);
    assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_ENTERING);
    g_autoptr(GwJob) over = plan_run_done(&world, id);
    assert_int_equal(over->progress->percent, 100);
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), 5);
    assert_int_equal(plan_running_at(&world, 'a'), 0);
    assert_int_equal(plan_running_at(&world, 'b') + plan_running_at(&world, 'c') +
                         plan_running_at(&world, 'd'),
                     8);
    plan_run(&world, SECONDS(1));
    assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_IN);

    g_autofree char *back = plan_undrain(&world, "a");
    plan_end_done(&world, back);
    plan_check_places(&world, PLAN_PLACES);
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

    plan_open_default(&world);
    request->kind = GW_PLAN_MOVES;
    request->vms = g_strsplit("vm0 vm1", " ", -1);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, request);
    assert_int_equal(plan->moves->len, 2);
    g_autoptr(GwJob) job = plan_apply(&world, plan);
    g_autoptr(GwJob) over = plan_run_done(&world, job->id);
    assert_int_equal(over->plan->moves->len, 2);
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), 2);
    for (guint i = 0; i < 8; i++)
        assert_true((plan_where(&world, i) == PLAN_PLACES[i]) == (i > 1));
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

static void set_text(char **field, const char *text)
{
    g_free(*field);
    *field = g_strdup(text);
}

static void test_hostile_plans_are_refused(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open_default(&world);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    assert_int_equal(plan->moves->len, 5);

    g_autoptr(GwMigrationPlan) stranger = gw_migration_plan_copy(plan);
    set_text(&plan_move_at(stranger, 0)->destination_host_id, "nobody");
    refuse(&world, stranger, GW_ERR_INVALID, "not managed");
    set_text(&plan_move_at(stranger, 0)->destination_host_id, NULL);
    refuse(&world, stranger, GW_ERR_INVALID, "not managed");

    g_autoptr(GwMigrationPlan) circle = gw_migration_plan_copy(plan);
    plan_move_at(circle, 2)->after = 3;
    refuse(&world, circle, GW_ERR_INVALID, "move 3 comes after");
    plan_move_at(circle, 2)->after = G_MAXINT64;
    refuse(&world, circle, GW_ERR_INVALID, "move 3 comes after");
    plan_move_at(circle, 2)->after = -1;
    refuse(&world, circle, GW_ERR_INVALID, "move 3 comes after");

    g_autoptr(GwMigrationPlan) home = gw_migration_plan_copy(plan);
    set_text(&plan_move_at(home, 1)->destination_host_id, plan_move_at(home, 1)->source_host_id);
    refuse(&world, home, GW_ERR_INVALID, "goes to the host that it is on");

    g_autoptr(GwMigrationPlan) nameless = gw_migration_plan_copy(plan);
    plan_move_at(nameless, 1)->after = 1;
    set_text(&plan_move_at(nameless, 1)->vm_uuid, NULL);
    refuse(&world, nameless, GW_ERR_INVALID, "move 2 names no VM");
    set_text(&plan_move_at(nameless, 1)->vm_uuid, "6d0b6b0e-0000-4000-8000-00000000ffff");
    refuse(&world, nameless, GW_ERR_CONFLICT, "move 2: ");
    plan_close(&world);
}

static void test_plans_that_are_no_plans(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open_default(&world);
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
        g_ptr_array_add(large->moves, gw_record_ref(plan_move_at(plan, 0)));
    refuse(&world, large, GW_ERR_INVALID, "too many moves");
    plan_check_vms(&world);
    plan_close(&world);
}

static void test_a_plan_that_is_old_is_refused(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open_default(&world);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    request->destination = g_strdup("c");
    g_autoptr(GwJob) by_hand = NULL;
    UNIT_OK(by_hand = gw_engine_migrate(world.world.engine, "vm0", request, "tester", NULL, error));
    plan_end_done(&world, by_hand->id);
    refuse(&world, plan, GW_ERR_CONFLICT, "any more");

    /* A host that takes nothing any more is nothing that a look at its VMs shows. */
    g_autoptr(GwMigrationPlan) second = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    const char *destination = plan_move_at(second, 0)->destination_host_name;
    g_autoptr(GwHost) closed = NULL;
    UNIT_OK(closed = gw_engine_set_maintenance(world.world.engine, destination, TRUE, error));
    refuse(&world, second, GW_ERR_CONFLICT, "changed since");
    plan_close(&world);
}

static void test_one_plan_for_a_host(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open_default(&world);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    g_autofree char *source = g_strdup(plan_move_at(plan, 0)->source_host_id);
    g_autoptr(GwMigrationPlan) by_id = plan_make(&world, plan_request(GW_PLAN_DRAIN, source));
    g_autoptr(GwJob) job = plan_apply(&world, plan);
    refuse(&world, plan, GW_ERR_CONFLICT, "is under way for that host");
    refuse(&world, by_id, GW_ERR_CONFLICT, "is under way for that host");
    plan_end_done(&world, job->id);
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

    g_autofree char *id = plan_open_draining(&world);
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
    plan_end_done(&world, id);
    plan_close_drained(&world);
}

/* A job is as large as its plan: it is told when it has changed, not at every look (5 s). */
static void test_nothing_new_is_not_told(void **unused)
{
    PlanWorld world;
    gboolean lost = FALSE;
    (void)unused;

    plan_open_default(&world);
    GwFeed *feed = gw_engine_feed(world.world.engine);
    g_autofree char *id = plan_drain(&world, "a");
    plan_run(&world, SECONDS(1) / 2);
    G_GNUC_UNUSED g_autoptr(GwJob) paused = pause_job(&world, id, TRUE);
    plan_run(&world, SECONDS(60));
    guint64 after = gw_feed_last(feed);
    plan_run(&world, SECONDS(60));
    g_autoptr(GPtrArray) items = gw_feed_wait(feed, after, 1000, 0, &lost);
    assert_false(lost);
    for (guint i = 0; i < items->len; i++)
        assert_string_not_equal(((GwFeedItem *)items->pdata[i])->type, "job");
    G_GNUC_UNUSED g_autoptr(GwJob) resumed = pause_job(&world, id, FALSE);
    plan_end_done(&world, id);
    plan_close(&world);
}

static gint64 int_at(json_t *job, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(job, "plan_progress"), key));
}

/* However many moves the plan has, an event says how far it is, and each move that begins is told
 * by its own job. */
static void test_events_have_no_plan(void **unused)
{
    PlanWorld world;
    gboolean lost = FALSE;
    guint told = 0, moves = 0;
    gint64 moved = 0, running = 0;
    (void)unused;

    plan_open_default(&world);
    GwFeed *feed = gw_engine_feed(world.world.engine);
    guint64 after = gw_feed_last(feed);
    g_autofree char *id = plan_drain(&world, "a");
    g_autoptr(GwJob) over = plan_run_done(&world, id);
    g_autoptr(GPtrArray) items = gw_feed_wait(feed, after, 10000, 0, &lost);
    assert_false(lost);
    for (guint i = 0; i < items->len; i++) {
        const GwFeedItem *item = items->pdata[i];
        if (strcmp(item->type, "job") != 0)
            continue;
        g_autoptr(GwJson) job = gw_json_parse(item->data, strlen(item->data), 1 << 20, NULL);
        const char *part_of = json_string_value(json_object_get(job, "part_of"));
        moves += g_strcmp0(part_of, id) == 0;
        if (g_strcmp0(json_string_value(json_object_get(job, "id")), id) != 0)
            continue;
        told++;
        assert_null(json_object_get(job, "plan"));
        assert_int_equal(int_at(job, "vms"), 5);
        assert_true(int_at(job, "vms_moved") >= moved);
        moved = int_at(job, "vms_moved");
        running = MAX(running, int_at(job, "running"));
    }
    assert_true(told >= 7 && moves >= 15);
    assert_int_equal(moved, 5);
    assert_true(running >= 2);
    assert_int_equal(over->plan->moves->len, 5); /* who asks for the job gets it */
    assert_int_equal(over->plan_progress->vms_moved, 5);
    assert_int_equal(over->plan_progress->planned_again, 1); /* the last look */
    plan_close_drained(&world);
}

/* At every moment of a drain, also between a move's check and its beginning. */
static void test_cancel_at_any_moment(void **unused)
{
    (void)unused;
    for (gint64 ms = 0; ms < 3000; ms = ms < 60 ? ms + 1 : ms + 97) {
        PlanWorld world;
        plan_open_default(&world);
        g_autofree char *id = plan_drain(&world, "a");
        world_run(&world.world, ms * 1000);
        g_autoptr(GwJob) asked = NULL;
        UNIT_OK(asked = gw_engine_cancel_job(world.world.engine, id, error));
        g_autoptr(GwJob) over = plan_run_job(&world, id);
        assert_int_equal(over->state, GW_JOB_CANCELLED);
        assert_non_null(over->error);
        if (plan_unfinished(&world) > 0)
            fail_msg("cancelled after %d ms, a move goes on", (int)ms);
        plan_run(&world, SECONDS(30));
        assert_int_equal(plan_unfinished(&world), 0);
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
        assert_true(plan_unfinished(&world) <= 2); /* the plan and a move */
    }
    g_autoptr(GwJob) over = world_job(&world.world, job->id);
    assert_int_equal(over->state, GW_JOB_DONE);
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), 6);
    plan_close(&world);
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
    g_autoptr(GwJob) over = plan_run_done(&world, job->id);
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), 6);
    assert_int_equal(plan_count(over, GW_PLANNED_FAILED), 1);
    plan_close(&world);
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
        cmocka_unit_test(test_events_have_no_plan),
        cmocka_unit_test(test_cancel_at_any_moment),
        cmocka_unit_test(test_not_more_at_once_than_asked_for),
        cmocka_unit_test(test_one_host_after_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
