/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan_world.h"

#include <string.h>

/* Drains that are struck and interfered with (R49): hosts that die or are away, VMs that come, go,
 * stop or are moved by another's hand, other jobs, rules. */

static void cut_off(PlanWorld *world, char host, gint64 ms)
{
    g_autofree char *uri = world_uri((guint)(host - 'a'));
    gw_sim_cut_off(world->world.sim, uri, ms);
}

static void test_a_destination_dies_before_its_turn(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open_default(&world);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    const char *last = plan_move_at(plan, 2)->destination_host_name;
    g_autoptr(GwJob) job = plan_apply(&world, plan);
    plan_run(&world, SECONDS(1) / 5);
    cut_off(&world, *last, 3600 * 1000);
    plan_end_done(&world, job->id);
    assert_int_equal(plan_running_at(&world, 'a'), 0);
    assert_int_equal(plan_running_at(&world, *last), 1);
    plan_check_vms(&world);
    plan_close(&world);
}

/* R57: what a plan was proven to leave alone is looked at again when a move begins, since somebody
 * may have taken the room, or asked for more of it. The memory itself would do for the VM. */
static void test_a_reserve_is_raised_meanwhile(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open_default(&world);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, plan_request(GW_PLAN_DRAIN, "a"));
    const GwPlannedMove *last = plan_move_at(plan, 2);
    char letter = *last->destination_host_name;
    guint before = plan_running_at(&world, letter);
    g_autoptr(GwJob) job = plan_apply(&world, plan);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.world.engine);
    g_autoptr(GwHost) host = gw_host_copy(gw_fabric_host(fabric, last->destination_host_id));
    host->memory_reserve_kib = host->facts->memory_kib - 1024;
    g_autoptr(GError) error = NULL;
    g_autoptr(GwHost) changed = world_change_host(world.world.engine, host, &error);
    if (changed == NULL)
        fail_msg("%s", error->message);
    plan_end_done(&world, job->id);
    assert_int_equal(plan_running_at(&world, 'a'), 0);
    assert_int_equal(plan_running_at(&world, letter), before);
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

    g_autofree char *id = plan_open_draining(&world);
    cut_off(&world, copies_to(&world), 300 * 1000);
    plan_run(&world, SECONDS(200));
    g_autoptr(GwJob) waits = world_job(&world.world, id);
    assert_int_equal(plan_count(waits, GW_PLANNED_DONE), 4);
    assert_int_equal(plan_count(waits, GW_PLANNED_RUNNING), 1);
    plan_end_done(&world, id);
    plan_close_drained(&world);
}

static void test_the_source_is_away_for_a_while(void **unused)
{
    PlanWorld world;
    (void)unused;

    g_autofree char *id = plan_open_draining(&world);
    cut_off(&world, 'a', 120 * 1000);
    plan_run(&world, SECONDS(100));
    g_autoptr(GwJob) waits = world_job(&world.world, id);
    assert_false(gw_job_state_is_final((GwJobState)waits->state));
    world_kill(&world.world); /* what a holds is not even known now */
    world_start(&world.world);
    plan_run(&world, SECONDS(10));
    g_autoptr(GwJob) asks = world_job(&world.world, id);
    assert_string_equal(asks->waiting_for, "host 'a' to answer");
    g_autoptr(GwJob) over = plan_run_done(&world, id);
    assert_null(over->waiting_for);
    plan_close_drained(&world);
}

static void test_a_vm_is_started_meanwhile(void **unused)
{
    PlanWorld world;
    json_t *fabric = plan_fabric(4, PLAN_PLACES);
    (void)unused;

    json_object_set_new(plan_vm_json(fabric, 4), "state", json_string("off"));
    plan_open(&world, fabric, 4, 8);
    g_autofree char *id = plan_drain(&world, "a");
    g_autofree char *uri = world_uri(0), *uuid = trial_uuid(4);
    plan_run(&world, SECONDS(1) / 2);
    gw_sim_boot(world.world.sim, uri, uuid);
    g_autoptr(GwJob) over = plan_run_done(&world, id);
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), 5);
    plan_close_drained(&world);
}

/* A drain of a whose last VM's guest shuts down under it, and which is removed then, or stays. */
static void drain_without_last(PlanWorld *world, gboolean is_removed)
{
    plan_open_default(world);
    g_autoptr(GwMigrationPlan) plan = plan_make(world, plan_request(GW_PLAN_DRAIN, "a"));
    g_autofree char *uri = world_uri(0);
    g_autofree char *last = g_strdup(plan_move_at(plan, 4)->vm_uuid);
    g_autoptr(GwJob) job = plan_apply(world, plan);
    plan_run(world, SECONDS(1) / 2);
    gw_sim_shut_down(world->world.sim, last);
    if (is_removed)
        gw_sim_undefine_by_hand(world->world.sim, uri, last);
    g_autoptr(GwJob) over = plan_run_done(world, job->id);
    assert_int_equal(plan_count(over, GW_PLANNED_DONE), 4);
    assert_int_equal(plan_running_at(world, 'a'), 0);
    /* --cold was not asked for: one that is off stays, and is as it was. */
    g_autoptr(GwLook) look = gw_sim_look(world->world.sim, uri, last);
    assert_true((look == NULL) == is_removed);
}

static void test_a_vm_is_removed_meanwhile(void **unused)
{
    PlanWorld world;
    (void)unused;

    drain_without_last(&world, TRUE);
    plan_close(&world);
}

static void test_a_vm_is_shut_down_meanwhile(void **unused)
{
    PlanWorld world;
    (void)unused;

    drain_without_last(&world, FALSE);
    plan_run(&world, SECONDS(1));
    assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_IN);
    plan_close(&world);
}

/* What its move needs so that it could copy a disk there. */
static void keep_disks_at(PlanWorld *world, const char *name, const char *pool)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->world.engine);
    g_autoptr(GwHost) host = gw_host_copy(gw_fabric_find_host(fabric, name));

    g_strfreev(host->default_storage);
    host->default_storage = g_new0(char *, 2);
    host->default_storage[0] = g_strdup(pool);
    g_autoptr(GwHost) changed = NULL;
    UNIT_OK(changed = world_change_host(world->world.engine, host, error));
}

/* Copying disks was not asked for, so one that only a has keeps the VM there, though the plan meant
 * it to go, and its move could copy it (R13). */
static void test_a_vm_gets_a_disk_meanwhile(void **unused)
{
    PlanWorld world;
    json_t *fabric = plan_fabric(3, "aaa");
    json_t *host = NULL;
    size_t i = 0;
    (void)unused;

    json_array_foreach (json_object_get(fabric, "hosts"), i, host)
        json_array_append_new(json_object_get(json_object_get(host, "facts"), "pools"),
                              json_pack("{s:s, s:s, s:s, s:b}", "name", "local", "type", "dir",
                                        "target_path", "/local", "active", 1));
    plan_open(&world, fabric, 3, 3);
    keep_disks_at(&world, "b", "local");
    keep_disks_at(&world, "c", "local");
    g_autofree char *id = plan_drain(&world, "a");
    plan_run(&world, SECONDS(1) / 5);
    g_autoptr(GwJob) begun = world_job(&world.world, id);
    const GwPlannedMove *last = plan_move_at(begun->plan, 2);
    assert_int_equal(last->state, GW_PLANNED_WAITING);
    g_autoptr(GwDisk) disk = gw_disk_new();
    disk->target = g_strdup("vdb");
    disk->device = g_strdup("disk");
    disk->type = g_strdup("file");
    disk->source = g_strdup("/local/more.raw");
    disk->format = g_strdup("raw");
    assert_true(gw_sim_attach_by_hand(world.world.sim, last->vm_uuid, disk));
    g_autoptr(GwJob) over = plan_run_job(&world, id);
    assert_int_equal(over->state, GW_JOB_FAILED);
    assert_int_equal(plan_running_at(&world, 'a'), 1);
    assert_int_equal(over->plan->stays->len, 1);
    const GwPlannedStay *stay = over->plan->stays->pdata[0];
    assert_string_equal(stay->vm_uuid, last->vm_uuid);
    assert_non_null(strstr(stay->why, "copying was not asked for"));
    plan_close(&world);
}

/* @ms: when, from the drain's begin. */
static void move_by_hand(gint64 ms, guint vm)
{
    PlanWorld world;
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    g_autofree char *name = g_strdup_printf("vm%u", vm);

    plan_open_default(&world);
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
    for (gint64 ms = 0; ms < 5000; ms += unit_step(240)) {
        for (guint vm = 0; vm < 5; vm += 2)
            move_by_hand(ms, vm);
    }
}

/* By virsh, past the controller: the source's definition goes a moment after all that is heard. */
static void test_a_vm_moved_past_the_controller_is_seen_once(void **unused)
{
    PlanWorld world;
    g_autofree char *uri = world_uri(3);
    g_autofree char *uuid = trial_uuid(0);
    guint seen = 0;
    (void)unused;

    plan_open_default(&world);
    assert_true(gw_sim_move_by_hand(world.world.sim, uuid, uri));
    plan_run(&world, SECONDS(10));
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.world.engine);
    g_autoptr(GPtrArray) vms = gw_fabric_list_vms(fabric, NULL);
    for (guint i = 0; i < vms->len; i++) {
        const GwVm *vm = vms->pdata[i];
        seen += strcmp(vm->uuid, uuid) == 0;
        if (strcmp(vm->uuid, uuid) == 0)
            assert_int_equal(vm->state, GW_VM_RUNNING);
    }
    assert_int_equal(seen, 1);
    assert_int_equal(plan_where(&world, 0), 'd');
    plan_check_vms(&world);
    plan_close(&world);
}

/* vm1, which is large, has been on its way by hand for 2 s when its host, or where it goes, is
 * drained; answers the drain's job. */
static char *drain_a_beside(PlanWorld *world, const char *places, const char *to, GwJob **by_hand)
{
    json_t *fabric = plan_fabric(3, places);
    g_autoptr(GwMoveRequest) request = gw_move_request_new();

    json_object_set_new(plan_vm_json(fabric, 1), "memory_kib", json_integer(8388608));
    json_object_set_new(plan_vm_json(fabric, 1), "max_memory_kib", json_integer(8388608));
    plan_open(world, fabric, 3, 2);
    request->destination = g_strdup(to);
    UNIT_OK(*by_hand =
                gw_engine_migrate(world->world.engine, "vm1", request, "tester", NULL, error));
    plan_run(world, SECONDS(2));
    return plan_drain(world, "a");
}

/* The drain ends when that job has, not before. */
static void test_a_vm_that_another_job_holds(void **unused)
{
    PlanWorld world;
    g_autoptr(GwJob) by_hand = NULL;
    (void)unused;

    g_autofree char *id = drain_a_beside(&world, "aa", "c", &by_hand);
    plan_run(&world, SECONDS(10));
    assert_int_equal(plan_where(&world, 0) != 'a', TRUE);
    g_autoptr(GwJob) waits = world_job(&world.world, id);
    assert_false(gw_job_state_is_final((GwJobState)waits->state));
    plan_end_done(&world, id);
    assert_int_equal(plan_where(&world, 1), 'c');
    plan_close(&world);
}

static void test_a_vm_that_another_job_brings(void **unused)
{
    PlanWorld world;
    g_autoptr(GwJob) by_hand = NULL;
    (void)unused;

    g_autofree char *id = drain_a_beside(&world, "ab", "a", &by_hand);
    plan_end_done(&world, id);
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
    plan_kill_at(&world, 0, 100); /* all is planned anew */
    plan_run(&world, SECONDS(2));
    g_autoptr(GwJob) now = world_job(&world.world, id);
    assert_int_equal(now->plan->stays->len, 0);
    assert_int_equal(now->plan->moves->len, 4);
    plan_close(&world);
}

static void test_a_vm_that_cannot_leave(void **unused)
{
    PlanWorld world;
    json_t *fabric = plan_fabric(4, PLAN_PLACES);
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
    plan_end_done(&world, id);
    g_autofree char *back = plan_undrain(&world, "a b");
    plan_end_done(&world, back);
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

    plan_open_default(&world);
    g_autofree char *id = plan_drain(&world, "a");
    plan_end_done(&world, id);
    plan_run(&world, SECONDS(1));
    GwPlanRequest *request = plan_request(GW_PLAN_UNDRAIN, NULL);
    request->undoes = g_strdup(id);
    g_autoptr(GwMigrationPlan) plan = plan_make(&world, request);
    assert_int_equal(plan->moves->len, 5);
    g_autoptr(GwJob) job = plan_apply(&world, plan);
    plan_end_done(&world, job->id);
    assert_int_equal(plan_maintenance(&world, 'a'), GW_MAINTENANCE_NONE);
    assert_int_equal(plan_running_at(&world, 'a'), 5);
    plan_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_destination_dies_before_its_turn),
        cmocka_unit_test(test_a_reserve_is_raised_meanwhile),
        cmocka_unit_test(test_a_destination_dies_under_a_move),
        cmocka_unit_test(test_the_source_is_away_for_a_while),
        cmocka_unit_test(test_a_vm_is_started_meanwhile),
        cmocka_unit_test(test_a_vm_is_removed_meanwhile),
        cmocka_unit_test(test_a_vm_is_shut_down_meanwhile),
        cmocka_unit_test(test_a_vm_gets_a_disk_meanwhile),
        cmocka_unit_test(test_a_vm_is_moved_by_hand_meanwhile),
        cmocka_unit_test(test_a_vm_moved_past_the_controller_is_seen_once),
        cmocka_unit_test(test_a_vm_that_another_job_holds),
        cmocka_unit_test(test_a_vm_that_another_job_brings),
        cmocka_unit_test(test_room_is_counted_once),
        cmocka_unit_test(test_a_vm_that_cannot_leave),
        cmocka_unit_test(test_a_rule_is_kept_at_every_instant),
        cmocka_unit_test(test_undrain_by_the_drains_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
