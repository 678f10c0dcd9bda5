/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan_world.h"

#include <string.h>

#include "engine/jobs_internal.h"
#include "engine/records_internal.h"

/* Whose word on a host's maintenance holds (R49): a drain closes its hosts and, called off, gives
 * back those that it closed itself; what a person says meanwhile is not overruled, and neither
 * loses what the other writes of the host. */

static GwHost *host_of(PlanWorld *world, char letter)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->world.engine);
    char name[] = { letter, '\0' };

    return gw_host_copy(gw_fabric_find_host(fabric, name));
}

/* A person's word. */
static void say_maintenance(PlanWorld *world, const char *host, gboolean on)
{
    g_autoptr(GwHost) changed = NULL;
    UNIT_OK(changed = gw_engine_set_maintenance(world->world.engine, host, on, error));
}

static GwJob *cancel(PlanWorld *world, const char *id)
{
    g_autoptr(GwJob) asked = NULL;
    UNIT_OK(asked = gw_engine_cancel_job(world->world.engine, id, error));
    return plan_run_job(world, id);
}

static void restart(PlanWorld *world)
{
    world_kill(&world->world);
    world_pass(&world->world, SECONDS(1));
    world_start(&world->world);
}

static void pause_until_idle(PlanWorld *world, const char *id)
{
    g_autoptr(GwJob) paused = NULL;
    UNIT_OK(paused = gw_engine_pause_job(world->world.engine, id, TRUE, error));
    plan_run(world, SECONDS(60));
}

/* Somebody's change of a host's settings that is being journaled --------------------------------
 */

#define LIMIT_SET 7

typedef struct {
    char letter;
    gboolean at_begin; /* once the drain's job is in the queue, before it begins */
} PersonsChange;

static gboolean is_drain_queued(GwEngine *engine)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, gw_engine_now(engine)->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (((GwJob *)value)->plan != NULL && ((GwJob *)value)->state == (int)GW_JOB_QUEUED)
            return TRUE;
    }
    return FALSE;
}

static void commit_change(GwEngine *engine, Call *call)
{
    GwHost *host = gw_host_copy(gw_fabric_find_host(gw_engine_now(engine), call->in[0]));

    host->storage_limit = LIMIT_SET;
    gw_records_commit(engine, call, GW_KIND_HOST, host, host->id, NULL);
}

static void committed(GwEngine *engine, gpointer host, const GError *error, gpointer user)
{
    (void)engine;
    (void)user;
    assert_null(error);
    gw_host_free(host);
}

static void change_settings(GwEngine *engine, gpointer data)
{
    PersonsChange *change = data;
    const char name[] = { change->letter, '\0' };

    if (change->at_begin && !is_drain_queued(engine)) {
        gw_engine_post(engine, change_settings, change);
        return;
    }
    gw_call_from_loop(engine, commit_change, name, committed, NULL);
    if (change->at_begin)
        gw_queue_schedule(engine);
}

static void assert_both_kept(PlanWorld *world, char letter, GwMaintenance maintenance)
{
    g_autoptr(GwHost) host = host_of(world, letter);

    assert_int_equal(host->storage_limit, LIMIT_SET);
    assert_int_equal(host->maintenance, maintenance);
}

static void test_a_change_of_settings_while_a_drain_begins(void **unused)
{
    PlanWorld world;
    PersonsChange change = { .letter = 'a', .at_begin = TRUE };
    (void)unused;

    plan_open_default(&world);
    gw_engine_post(world.world.engine, change_settings, &change);
    g_autofree char *id = plan_drain(&world, "a");
    plan_run(&world, SECONDS(1) / 2);
    assert_both_kept(&world, 'a', GW_MAINTENANCE_ENTERING);
    restart(&world);
    assert_both_kept(&world, 'a', GW_MAINTENANCE_ENTERING);
    plan_end_done(&world, id);
    plan_close(&world);
}

static void test_a_change_of_settings_while_a_drain_is_cancelled(void **unused)
{
    PlanWorld world;
    PersonsChange change = { .letter = 'a' };
    (void)unused;

    g_autofree char *id = plan_open_draining(&world);
    pause_until_idle(&world, id);
    gw_engine_post(world.world.engine, change_settings, &change);
    g_autoptr(GwJob) over = cancel(&world, id);
    assert_int_equal(over->state, GW_JOB_CANCELLED);
    assert_both_kept(&world, 'a', GW_MAINTENANCE_NONE);
    restart(&world);
    assert_both_kept(&world, 'a', GW_MAINTENANCE_NONE);
    plan_close(&world);
}

/* Two persons: who comes second is told, and nothing is lost. */
static void test_maintenance_of_a_host_that_is_being_changed(void **unused)
{
    PlanWorld world;
    PersonsChange change = { .letter = 'a' };
    g_autoptr(GError) error = NULL;
    (void)unused;

    plan_open_default(&world);
    gw_engine_post(world.world.engine, change_settings, &change);
    assert_null(gw_engine_set_maintenance(world.world.engine, "a", TRUE, &error));
    unit_assert_error(error, GW_ERR_CONFLICT, "being changed");
    assert_both_kept(&world, 'a', GW_MAINTENANCE_NONE);
    say_maintenance(&world, "a", TRUE);
    assert_both_kept(&world, 'a', GW_MAINTENANCE_ENTERING);
    plan_close(&world);
}

/* A new URI is tried before it is stored; the host may be closed meanwhile. */
static void close_host(GwEngine *engine, gpointer letter)
{
    char name[] = { (char)GPOINTER_TO_INT(letter), '\0' };
    GwHost *host = gw_host_copy(gw_fabric_find_host(gw_engine_now(engine), name));

    host->maintenance = GW_MAINTENANCE_ENTERING;
    gw_fabric_put_host(gw_engine_change(engine), host);
}

static void close_in_a_while(GwEngine *engine, gpointer left)
{
    guint turns = GPOINTER_TO_UINT(left);

    if (turns > 0)
        gw_engine_post(engine, close_in_a_while, GUINT_TO_POINTER(turns - 1));
    else
        close_host(engine, GINT_TO_POINTER('b'));
}

static void test_maintenance_while_a_new_uri_is_tried(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open(&world, plan_fabric(5, PLAN_PLACES), 4, 8); /* the fifth is managed by nobody yet */
    g_autoptr(GwHost) wanted = host_of(&world, 'b');
    g_autofree char *other = world_uri(4);
    g_free(wanted->uri);
    wanted->uri = g_strdup(other);
    gw_engine_post(world.world.engine, close_in_a_while, GUINT_TO_POINTER(1));
    g_autoptr(GwHost) changed = NULL;
    UNIT_OK(changed = world_change_host(world.world.engine, wanted, error));
    assert_string_equal(changed->uri, other);
    assert_int_equal(changed->maintenance, GW_MAINTENANCE_ENTERING);
    plan_close(&world);
}

/* What a person says while a drain is under way --------------------------------------------------
 */

static void test_a_restart_leaves_open_what_a_person_opened(void **unused)
{
    PlanWorld world;
    (void)unused;

    g_autofree char *id = plan_open_draining(&world);
    say_maintenance(&world, "a", FALSE);
    restart(&world);
    plan_run(&world, SECONDS(1));
    assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_NONE);
    plan_end_done(&world, id);
    assert_int_equal(plan_running_at(&world, 'a'), 0);
    assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_NONE);
    plan_close(&world);
}

static void test_a_restart_leaves_closed_what_a_person_closed(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open_default(&world);
    g_autofree char *id = plan_drain(&world, "a");
    plan_end_done(&world, id);
    plan_run(&world, SECONDS(1));
    G_GNUC_UNUSED g_autofree char *back = plan_undrain(&world, "a");
    plan_run(&world, SECONDS(1) / 2);
    assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_NONE);
    say_maintenance(&world, "a", TRUE);
    int said = plan_maintenance(&world, 'a');
    assert_int_not_equal(said, GW_MAINTENANCE_NONE);
    restart(&world);
    plan_run(&world, SECONDS(1));
    assert_int_not_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_NONE);
    plan_close(&world);
}

/* Hosts that were closed before, and a person's later word, outlast the drain. */
static void test_a_cancelled_drain_gives_back_what_it_closed(void **unused)
{
    PlanWorld world;
    (void)unused;

    for (guint restarts = 0; restarts < 2; restarts++) {
        plan_open(&world, plan_fabric(4, "aaabbbccd"), 4, 9);
        say_maintenance(&world, "a", TRUE);
        g_autofree char *id = plan_drain(&world, "a b c");
        plan_run(&world, SECONDS(1) / 2);
        say_maintenance(&world, "c", FALSE);
        say_maintenance(&world, "c", TRUE);
        if (restarts > 0)
            restart(&world);
        g_autoptr(GwJob) over = cancel(&world, id);
        assert_int_equal(over->state, GW_JOB_CANCELLED);
        assert_int_not_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_NONE);
        assert_int_equal(plan_maintenance(&world, 'b'), GW_MAINTENANCE_NONE);
        assert_int_not_equal(plan_maintenance(&world, 'c'), GW_MAINTENANCE_NONE);
        plan_check_vms(&world);
        plan_close(&world);
    }
}

/* What is closed again while VMs come back to it gets no more of them, and that is said at once: no
 * move is tried in vain, and none is planned again and again. */
static void test_an_undrain_of_what_is_closed_again(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open_default(&world);
    g_autofree char *id = plan_drain(&world, "a");
    plan_end_done(&world, id);
    plan_run(&world, SECONDS(1));
    g_autofree char *back = plan_undrain(&world, "a");
    plan_run(&world, SECONDS(1) / 2);
    pause_until_idle(&world, back);
    guint home = plan_running_at(&world, 'a');
    assert_in_range(home, 1, 4);
    say_maintenance(&world, "a", TRUE);
    g_autoptr(GwJob) resumed = NULL;
    UNIT_OK(resumed = gw_engine_pause_job(world.world.engine, back, FALSE, error));
    plan_run(&world, SECONDS(2));
    g_autoptr(GwJob) over = world_job(&world.world, back);
    assert_int_equal(over->state, GW_JOB_FAILED);
    assert_non_null(strstr(over->error->message, "a is entering maintenance"));
    assert_int_equal(plan_count(over, GW_PLANNED_FAILED), 0);
    assert_int_equal(over->plan->stays->len, 5 - home);
    assert_int_equal(plan_running_at(&world, 'a'), home);

    /* Once more, which opens it: the rest comes back. */
    g_autofree char *again = plan_undrain(&world, "a");
    g_autoptr(GwJob) whole = plan_run_done(&world, again);
    assert_int_equal(plan_count(whole, GW_PLANNED_DONE), 5 - home);
    assert_int_equal(plan_running_at(&world, 'a'), 5);
    plan_close(&world);
}

/* Two drains, the second of which moved nothing: all that the first took comes back. */
static void test_an_undrain_after_a_drain_that_moved_nothing(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open_default(&world);
    for (guint i = 0; i < 2; i++) {
        g_autofree char *id = plan_drain(&world, "a");
        g_autoptr(GwJob) over = plan_run_done(&world, id);
        assert_int_equal(plan_count(over, GW_PLANNED_DONE), i == 0 ? 5 : 0);
    }
    g_autofree char *back = plan_undrain(&world, "a");
    plan_end_done(&world, back);
    plan_check_places(&world, PLAN_PLACES);
    plan_close(&world);
}

/* A host stays managed while a plan is for it, also where nothing moves just then; a destination
 * may go, and its VMs get another. */
static void test_hosts_removed_under_a_drain(void **unused)
{
    PlanWorld world;
    g_autoptr(GError) refused = NULL;
    (void)unused;

    g_autofree char *id = plan_open_draining(&world);
    pause_until_idle(&world, id);
    g_autoptr(GwHost) a = host_of(&world, 'a');
    assert_false(gw_engine_remove_host(world.world.engine, a->id, &refused));
    unit_assert_error(refused, GW_ERR_CONFLICT, "'Drain a' uses host 'a'");

    g_autoptr(GwJob) waits = world_job(&world.world, id);
    const GwPlannedMove *last = waits->plan->moves->pdata[waits->plan->moves->len - 1];
    assert_int_equal(last->state, GW_PLANNED_WAITING);
    char gone = *last->destination_host_name;
    guint left_there = plan_running_at(&world, gone);
    UNIT_OK(gw_engine_remove_host(world.world.engine, last->destination_host_id, error));
    g_autoptr(GwJob) resumed = NULL;
    UNIT_OK(resumed = gw_engine_pause_job(world.world.engine, id, FALSE, error));
    plan_end_done(&world, id);
    assert_int_equal(plan_running_at(&world, 'a'), 0);
    assert_int_equal(plan_running_at(&world, gone), left_there);
    plan_check_vms(&world);
    UNIT_OK(gw_engine_remove_host(world.world.engine, a->id, error)); /* now it may go */
    plan_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_change_of_settings_while_a_drain_begins),
        cmocka_unit_test(test_a_change_of_settings_while_a_drain_is_cancelled),
        cmocka_unit_test(test_maintenance_of_a_host_that_is_being_changed),
        cmocka_unit_test(test_maintenance_while_a_new_uri_is_tried),
        cmocka_unit_test(test_a_restart_leaves_open_what_a_person_opened),
        cmocka_unit_test(test_a_restart_leaves_closed_what_a_person_closed),
        cmocka_unit_test(test_a_cancelled_drain_gives_back_what_it_closed),
        cmocka_unit_test(test_an_undrain_of_what_is_closed_again),
        cmocka_unit_test(test_hosts_removed_under_a_drain),
        cmocka_unit_test(test_an_undrain_after_a_drain_that_moved_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
