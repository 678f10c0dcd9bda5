/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage_world.h"

#include <string.h>

#include "base/error.h"

/* A running VM that goes back onto the copy that was kept of its disk: only what differs is sent,
 * whatever dies at whatever moment; nothing is lost, and nothing is left that nobody knows of. */

#define VM "6d0b6b0e-0000-4000-8000-000000000001"
#define GIB ((gint64)1 << 30)
#define PATH "/vms/db1.img"

static json_t *vm_json(const char *format)
{
    json_t *vm = world_vm_json(VM, "db1");

    json_object_set_new(vm, "disks",
                        json_pack("[{s:s,s:s,s:s,s:s,s:s,s:s,s:I}]", "target", "vda", "device",
                                  "disk", "type", "file", "source", PATH, "format", format, "cache",
                                  "none", "capacity_bytes", (json_int_t)(4 * GIB)));
    return vm;
}

static json_t *fabric_json(const char *format)
{
    json_t *hosts = json_array();

    for (guint i = 0; i < 2; i++) {
        json_t *host = world_host_json(i);
        json_object_set_new(json_object_get(host, "facts"), "pools",
                            json_pack("[{s:s,s:s,s:s,s:b}]", "name", "local", "type", "dir",
                                      "target_path", "/vms", "active", 1));
        json_array_append_new(hosts, host);
    }
    json_object_set_new(json_array_get(hosts, 0), "vms", json_pack("[o]", vm_json(format)));
    return json_pack("{s:o,s:i,s:i}", "hosts", hosts, "link_mibps", 500, "dirty_mibps", 10);
}

/* The VM is on one image again, of the name that it had. */
static void check_disk(World *world, const char *when)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    const GwHost *host = gw_fabric_find_host(fabric, storage_runs_at(world, 0, VM) ? "a" : "b");
    const GwVm *vm = gw_fabric_vm(fabric, host->id, VM);
    const GwDisk *disk = vm != NULL ? vm->disks->pdata[0] : NULL;

    if (disk == NULL || strcmp(disk->source, PATH) != 0 || disk->backing_path != NULL)
        fail_msg("%s: the disk is on %s", when, disk != NULL ? disk->source : "nothing");
}

static void check_storage(World *world, const char *when)
{
    storage_check_witness(world, when);
    storage_check_vm(world, VM, when);
    check_disk(world, when);
}

static GwJob *wait_for(World *world, const char *id, GwJobState state, const char *when)
{
    world_run(world, SECONDS(300));
    return storage_job_in(world, id, state, when);
}

static char *go(World *world, const char *host)
{
    g_autoptr(GwMoveRequest) request = storage_request_to(host);
    return storage_begin(world, VM, request);
}

/* At b, with a copy kept at a; then its undoing is begun. */
static char *begin_undo(World *world, const char *format)
{
    GError *error = NULL;

    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)), fabric_json(format));
    world_start(world);
    for (guint i = 0; i < 2; i++)
        world_add_host(world, i);
    g_autofree char *there = go(world, "b");
    G_GNUC_UNUSED g_autoptr(GwJob) first = wait_for(world, there, GW_JOB_DONE, "the way there");
    check_storage(world, "the way there");
    g_autoptr(GwJob) back = gw_engine_undo(world->engine, there, "tester", NULL, &error);
    if (back == NULL)
        fail_msg("not undone: %s", error->message);
    return g_strdup(back->id);
}

static gboolean is_delta(const GwJob *job)
{
    return job->disks != NULL && job->disks->len == 1 &&
           gw_disk_move_is_delta(job->disks->pdata[0]);
}

/* Over, one way or the other; what could not be done is repaired. */
static void check_over(World *world, const char *id, gboolean called_off, const char *when)
{
    world_run(world, SECONDS(300));
    g_autoptr(GwJob) job = world_job(world, id);

    (void)called_off;
    if (!gw_job_state_is_final((GwJobState)job->state))
        fail_msg("%s: the job is %s (%s)", when, gw_enum_word(&gw_job_state_enum, job->state),
                 job->waiting_for);
    if (storage_runs_at(world, 0, VM) != (job->state == GW_JOB_DONE))
        fail_msg("%s: it is %s, and the VM is not there", when,
                 gw_enum_word(&gw_job_state_enum, job->state));
    check_storage(world, when);
}

static void undo(void)
{
    World world;
    g_autofree char *id = begin_undo(&world, "raw");
    g_autoptr(GwJob) job = wait_for(&world, id, GW_JOB_DONE, "an undo");

    assert_true(is_delta(job));
    assert_true(storage_runs_at(&world, 0, VM));
    check_storage(&world, "an undo");
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    g_autoptr(GPtrArray) kept = gw_fabric_list_kept(fabric);
    assert_int_equal(kept->len, 1); /* that of b; the one of a is the disk again */
    assert_string_equal(((GwKeptVolume *)kept->pdata[0])->volume->path, PATH);
    assert_string_not_equal(((GwKeptVolume *)kept->pdata[0])->host_id, job->destination_host_id);

    /* And there again, and back: each time onto what was kept. */
    for (guint i = 0; i < 2; i++) {
        g_autofree char *next = go(&world, i == 0 ? "b" : "a");
        g_autoptr(GwJob) again = wait_for(&world, next, GW_JOB_DONE, "another way");
        assert_true(is_delta(again));
        check_storage(&world, "another way");
    }
    world_free(&world);
}

static void test_an_undo_sends_what_differs(void **unused)
{
    (void)unused;
    storage_for_both_ways(undo);
}

/* Of a qcow2 that QEMU wrote anew nothing is where it was. */
static void test_a_mirrored_qcow2_is_mirrored_whole(void **unused)
{
    World world;
    g_autofree char *id = begin_undo(&world, "qcow2");
    g_autoptr(GwJob) job = wait_for(&world, id, GW_JOB_DONE, "an undo");
    (void)unused;

    assert_false(is_delta(job));
    check_storage(&world, "an undo of a qcow2");
    world_free(&world);
}

static char *begin_raw(World *world)
{
    return begin_undo(world, "raw");
}

static const StorageMoments moments = {
    .moments = 40,
    .moment_us = 350000,
    .begin = begin_raw,
    .check_over = check_over,
};

static void test_a_cancel_at_every_moment(void **unused)
{
    (void)unused;
    storage_cancel_at_every_moment(&moments);
}

static void test_a_controller_that_dies_at_every_moment(void **unused)
{
    (void)unused;
    storage_kill_at_every_moment(&moments);
}

static void test_a_host_that_is_cut_off_at_every_moment(void **unused)
{
    (void)unused;
    storage_cut_at_every_moment(&moments);
}

/* A request fails, or its answer is lost. Only what comes before the VM is over fails the job. */
static void test_every_request_may_fail(void **unused)
{
    static const struct {
        const char *at, *what;
        gboolean moves;
    } faults[] = {
        { "volume-create", "fail", FALSE },
        { "volume-create", "lose-reply", TRUE },
        { "overlay", "fail", FALSE },
        { "overlay", "lose-reply", TRUE },
        { "volume-copy", "fail", FALSE },
        { "volume-copy", "break", TRUE },
        { "copy", "fail", FALSE },
        { "merge", "lose-reply", TRUE },
        { "block-pivot", "lose-reply", TRUE },
        { "volume-delete", "lose-reply", TRUE },
    };
    (void)unused;

    for (guint i = 0; i < G_N_ELEMENTS(faults); i++) {
        World world;
        g_autofree char *when = g_strdup_printf("%s: %s", faults[i].at, faults[i].what);
        g_autofree char *id = begin_undo(&world, "raw");
        g_autoptr(GwJson) fault = json_pack("{s:s,s:s,s:i,s:i}", "at", faults[i].at, "do",
                                            faults[i].what, "percent", 0, "ms", 5000);
        UNIT_OK(gw_sim_fault(world.sim, fault, error));
        check_over(&world, id, FALSE, when);
        G_GNUC_UNUSED g_autoptr(GwJob) job =
            wait_for(&world, id, faults[i].moves ? GW_JOB_DONE : GW_JOB_FAILED, when);
        world_free(&world);
    }
}

/* It moved all the same: the VM is on two images, of which none is removed, and the job says so. */
static void test_a_merge_that_fails_leaves_both_images(void **unused)
{
    World world;
    g_autofree char *id = begin_undo(&world, "raw");
    g_autoptr(GwJson) fault = json_pack("{s:s,s:s}", "at", "merge", "do", "fail");
    g_autofree char *uri = world_uri(0);
    (void)unused;

    UNIT_OK(gw_sim_fault(world.sim, fault, error));
    g_autoptr(GwJob) job = wait_for(&world, id, GW_JOB_DONE, "a merge that fails");
    assert_true(storage_runs_at(&world, 0, VM));
    assert_int_not_equal(gw_sim_content(world.sim, uri, PATH), 0);
    assert_int_not_equal(gw_sim_content(world.sim, uri, PATH ".delta"), 0);
    assert_non_null(job->error);
    assert_non_null(strstr(job->error->message, "merging vda"));
    storage_none_of(gw_sim_violations(world.sim), "violated", "a merge that fails");
    storage_none_of(gw_sim_check_disks(world.sim), "wrong", "a merge that fails");
    world_free(&world);
}

static const GwDisk *disk_at(const GwFabric *fabric, const char *name)
{
    const GwVm *vm = gw_fabric_vm(fabric, gw_fabric_find_host(fabric, name)->id, VM);
    return vm != NULL ? vm->disks->pdata[0] : NULL;
}

/* The guest shuts down in mid-copy: only a running VM's images are merged, so it stays on both, and
 * starts from both; what is left is merged once it runs. */
static void shut_down(void)
{
    World world;
    GError *error = NULL;
    g_autofree char *id = begin_undo(&world, "raw");

    for (guint i = 0; i < 200; i++) {
        g_autoptr(GwJob) now = world_job(&world, id);
        const GwTask *copy =
            now->tasks != NULL && now->tasks->len > 3 ? now->tasks->pdata[3] : NULL;
        if (copy != NULL && copy->state == (int)GW_TASK_DOING)
            break;
        world_run(&world, 50000);
    }
    gw_sim_shut_down(world.sim, VM);
    G_GNUC_UNUSED g_autoptr(GwJob) job =
        wait_for(&world, id, GW_JOB_FAILED, "a guest that shut down");
    g_autoptr(GwFabric) off = gw_engine_fabric(world.engine);
    assert_non_null(disk_at(off, "b"));
    assert_string_equal(disk_at(off, "b")->source, PATH ".delta");
    assert_string_equal(disk_at(off, "b")->backing_path, PATH);
    storage_none_of(gw_sim_check_disks(world.sim), "wrong", "a guest that shut down");

    g_autoptr(GwJob) early = gw_engine_undo(world.engine, id, "tester", NULL, &error);
    assert_non_null(early);
    G_GNUC_UNUSED g_autoptr(GwJob) failed =
        wait_for(&world, early->id, GW_JOB_FAILED, "a repair while it is off");
    storage_none_of(gw_sim_check_disks(world.sim), "wrong", "a repair while it is off");

    g_autoptr(GwVm) vm = gw_engine_start_vm(world.engine, VM, &error);
    assert_non_null(vm);
    world_run(&world, SECONDS(10));
    g_autoptr(GwJob) repair = gw_engine_undo(world.engine, id, "tester", NULL, &error);
    if (repair == NULL)
        fail_msg("not repaired: %s", error->message);
    G_GNUC_UNUSED g_autoptr(GwJob) repaired = wait_for(&world, repair->id, GW_JOB_DONE, "a repair");
    check_storage(&world, "a repair");
    world_free(&world);
}

static void test_a_guest_that_shuts_down_loses_nothing(void **unused)
{
    (void)unused;
    storage_for_both_ways(shut_down);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_undo_sends_what_differs),
        cmocka_unit_test(test_a_mirrored_qcow2_is_mirrored_whole),
        cmocka_unit_test(test_a_cancel_at_every_moment),
        cmocka_unit_test(test_a_controller_that_dies_at_every_moment),
        cmocka_unit_test(test_a_host_that_is_cut_off_at_every_moment),
        cmocka_unit_test(test_every_request_may_fail),
        cmocka_unit_test(test_a_merge_that_fails_leaves_both_images),
        cmocka_unit_test(test_a_guest_that_shuts_down_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
