/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage_world.h"

#include <string.h>

#include "base/error.h"

/* Live moves between hosts that share nothing (R13), over the simulated fabric: what of storage is
 * there afterwards, whatever dies at whatever moment. */

#define VM "6d0b6b0e-0000-4000-8000-000000000001"
#define GIB ((gint64)1 << 30)

typedef struct {
    gboolean chain; /* the disk lies above another image */
    gint64 room;    /* of the destination's pool, bytes; 0: plenty */
    gboolean other; /* the destination has another pool beside it, with plenty */
} Shape;

static json_t *host_json(guint index, const Shape *shape)
{
    json_t *host = world_host_json(index);
    json_t *pools = json_pack("[{s:s,s:s,s:s,s:b}]", "name", "local", "type", "dir", "target_path",
                              "/vms", "active", 1);

    if (index == 1 && shape->room > 0)
        json_object_set_new(json_array_get(pools, 0), "capacity_bytes",
                            json_integer((json_int_t)shape->room));
    if (index == 1 && shape->other)
        json_array_append_new(pools, json_pack("{s:s,s:s,s:s,s:b,s:I}", "name", "large", "type",
                                               "dir", "target_path", "/large", "active", 1,
                                               "capacity_bytes", (json_int_t)(400 * GIB)));
    json_object_set_new(json_object_get(host, "facts"), "pools", pools);
    return host;
}

static json_t *vm_json(const Shape *shape)
{
    json_t *vm = world_vm_json(VM, "db1");
    json_t *disk = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:I}", "target", "vda", "device", "disk",
                             "type", "file", "source", "/vms/db1.qcow2", "format", "qcow2", "cache",
                             "none", "capacity_bytes", (json_int_t)(4 * GIB));

    if (shape->chain) {
        json_object_set_new(disk, "backing_depth", json_integer(1));
        json_object_set_new(disk, "backing_path", json_string("/vms/base.qcow2"));
    }
    json_object_set_new(vm, "disks", json_pack("[o]", disk));
    return vm;
}

static void open_world(World *world, Shape shape)
{
    json_t *hosts = json_array();

    for (guint i = 0; i < 2; i++)
        json_array_append_new(hosts, host_json(i, &shape));
    json_object_set_new(json_array_get(hosts, 0), "vms", json_pack("[o]", vm_json(&shape)));
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)),
               json_pack("{s:o,s:i,s:i}", "hosts", hosts, "link_mibps", 500, "dirty_mibps", 10));
    world_start(world);
    for (guint i = 0; i < 2; i++)
        world_add_host(world, i);
}

static char *begin(World *world)
{
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    return storage_begin(world, VM, request);
}

/* Checks ----------------------------------------------------------------------------------- */

/* I1, I2, I4, I9, and that nothing is left which nobody knows of. */
static void check_storage(World *world, const char *when)
{
    storage_check_witness(world, when);
    storage_check_vm(world, VM, when);
    for (guint i = 0; i < 2; i++) {
        g_autofree char *uri = world_uri(i);
        assert_false(gw_sim_has_leave(world->sim, uri, VM));
    }
}

static void check_final(World *world, const char *id, GwJobState state, const char *when)
{
    G_GNUC_UNUSED g_autoptr(GwJob) job = storage_job_in(world, id, state, when);

    assert_true(storage_runs_at(world, state == GW_JOB_DONE ? 1 : 0, VM));
    check_storage(world, when);
}

/* Success ---------------------------------------------------------------------------------- */

static void move_and_keep(void)
{
    World world;
    gint64 percent = 0;
    gboolean disks = FALSE, memory = FALSE;

    open_world(&world, (Shape){ 0 });
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    request->options->add_default_storage = TRUE;
    g_autofree char *id = storage_begin(&world, VM, request);
    for (int i = 0; i < 600; i++) {
        world_run(&world, 100000);
        g_autoptr(GwJob) now = world_job(&world, id);
        assert_true(now->progress == NULL || now->progress->percent >= percent);
        percent = now->progress != NULL ? now->progress->percent : 0;
        disks |= now->progress != NULL && g_strcmp0(now->progress->phase, "disks") == 0;
        memory |= now->progress != NULL && g_strcmp0(now->progress->phase, "memory") == 0;
    }
    check_final(&world, id, GW_JOB_DONE, "an ordinary move");
    assert_true(disks);
    assert_true(memory);
    assert_int_equal(percent, 100);

    g_autoptr(GwJob) job = world_job(&world, id);
    assert_int_equal(job->transfer, GW_TRANSFER_LIVE_VSM);
    assert_true(job->commit_by_resume);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    g_autoptr(GPtrArray) kept = gw_fabric_list_kept(fabric);
    assert_int_equal(kept->len, 1);
    const GwKeptVolume *copy = kept->pdata[0];
    assert_string_equal(copy->job_id, id);
    assert_string_equal(copy->host_id, job->source_host_id);
    assert_string_equal(copy->volume->path, "/vms/db1.qcow2");
    const GwHost *host = gw_fabric_find_host(fabric, "b"); /* R18 */
    assert_non_null(host->default_storage);
    assert_string_equal(host->default_storage[0], "local");
    world_free(&world);
}

static void test_a_move_takes_its_disks_along(void **unused)
{
    (void)unused;
    storage_for_both_ways(move_and_keep);
}

/* Where its disk was copied to, of a move to the destination. */
static char *pool_of_move(World *world, gboolean best)
{
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    request->best_storage = best;
    g_autofree char *id = storage_begin(world, VM, request);
    world_run(world, SECONDS(120));
    check_final(world, id, GW_JOB_DONE, "a move onto a host");
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    const GwVm *vm = gw_fabric_find_vm(fabric, VM, NULL);
    return g_path_get_dirname(((const GwDisk *)vm->disks->pdata[0])->source);
}

/* R26: the pool of the same name, unless the one with the most space is asked for. R45: where the
 * host has no stars for it, placement is refused, and a person who names the host gets it. */
static void test_the_best_storage_of_a_host(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    for (guint best = 0; best < 2; best++) {
        open_world(&world, (Shape){ .room = 100 * GIB, .other = TRUE });
        g_autofree char *folder = pool_of_move(&world, best > 0);
        assert_string_equal(folder, best > 0 ? "/large" : "/vms");
        world_free(&world);
    }
    open_world(&world, (Shape){ .room = 100 * GIB });
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    g_autoptr(GwHost) host = gw_host_copy(gw_fabric_find_host(fabric, "b"));
    host->disk_reserve_bytes = 99 * GIB;
    G_GNUC_UNUSED g_autoptr(GwHost) changed = world_change_host(world.engine, host, &error);
    assert_null(error);
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    request->best_storage = TRUE;
    assert_null(gw_engine_migrate(world.engine, VM, request, "tester", NULL, &error));
    assert_true(g_error_matches(error, GW_ERROR, GW_ERR_REFUSED));
    assert_non_null(gw_error_remedy(error));
    g_clear_error(&error);
    g_autofree char *folder = pool_of_move(&world, FALSE);
    assert_string_equal(folder, "/vms");
    world_free(&world);
}

static void test_not_keeping_is_asked_for(void **unused)
{
    World world;
    (void)unused;

    open_world(&world, (Shape){ .chain = TRUE });
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    request->options->keep_source_s = -1;
    g_autofree char *id = storage_begin(&world, VM, request);
    world_run(&world, SECONDS(120));
    check_final(&world, id, GW_JOB_DONE, "a move that keeps nothing");
    g_autofree char *uri = world_uri(0);
    assert_int_equal(gw_sim_content(world.sim, uri, "/vms/db1.qcow2"), 0);
    world_free(&world);
}

/* What could not be deleted at once is not forgotten. */
static void test_what_is_not_kept_is_removed_in_the_end(void **unused)
{
    World world;
    (void)unused;

    open_world(&world, (Shape){ 0 });
    storage_plant(&world, "volume-delete", "fail", 0, 1000);
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    request->options->keep_source_s = -1;
    g_autofree char *id = storage_begin(&world, VM, request);
    g_autofree char *uri = world_uri(0);
    world_run(&world, SECONDS(120));
    check_final(&world, id, GW_JOB_DONE, "an old copy could not be deleted at once");
    assert_int_equal(gw_sim_content(world.sim, uri, "/vms/db1.qcow2"), 0);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    assert_int_equal(g_hash_table_size(fabric->kept), 0);
    world_free(&world);
}

/* The guest's memory goes to a host where its only copied disk, which it cannot write to, is at
 * another path: QEMU mirrors no such disk, and is told of the other path all the same. */
static void move_with_a_readonly_disk(void)
{
    World world;
    json_t *hosts = json_array();

    for (guint i = 0; i < 2; i++) {
        json_t *host = world_host_json(i);
        json_array_append_new(json_object_get(json_object_get(host, "facts"), "pools"),
                              json_pack("{s:s,s:s,s:s,s:b}", "name", "local", "type", "dir",
                                        "target_path", i == 0 ? "/vms" : "/srv/vms", "active", 1));
        json_array_append_new(hosts, host);
    }
    json_t *vm = world_vm_json(VM, "db1");
    json_array_append_new(json_object_get(vm, "disks"),
                          json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:b}", "target", "vdb", "device",
                                    "disk", "type", "file", "source", "/vms/tools.raw", "format",
                                    "raw", "cache", "none", "readonly", 1));
    json_object_set_new(json_array_get(hosts, 0), "vms", json_pack("[o]", vm));
    world_make(&world, gw_clock_new_virtual(SECONDS(1700000000)),
               json_pack("{s:o,s:i}", "hosts", hosts, "link_mibps", 500));
    world_start(&world);
    for (guint i = 0; i < 2; i++)
        world_add_host(&world, i);
    g_autofree char *id = begin(&world);
    world_run(&world, SECONDS(60));
    check_final(&world, id, GW_JOB_DONE, "a read-only disk alone is copied");
    g_autoptr(GwJob) job = world_job(&world, id);
    assert_int_equal(job->transfer, GW_TRANSFER_LIVE_VSM);
    assert_true(job->commit_by_resume);
    g_autofree char *uri = world_uri(1);
    g_autoptr(GwDisk) disk = gw_sim_disk(world.sim, uri, VM, "vdb");
    assert_string_equal(disk->source, "/srv/vms/tools.raw");
    world_free(&world);
}

static void test_a_readonly_disk_goes_to_its_new_path(void **unused)
{
    (void)unused;
    storage_for_both_ways(move_with_a_readonly_disk);
}

/* Failures --------------------------------------------------------------------------------- */

static void fill_in_mid_copy(void)
{
    World world;

    open_world(&world, (Shape){ 0 });
    g_autofree char *id = begin(&world);
    world_run(&world, SECONDS(1));
    g_autofree char *uri = world_uri(1);
    gw_sim_fill_pool(world.sim, uri, "local", 60000);
    world_run(&world, SECONDS(120));
    check_final(&world, id, GW_JOB_FAILED, "the destination was full in mid-copy");
    g_autoptr(GwJob) job = world_job(&world, id);
    assert_non_null(strstr(job->error->message, "no space left"));
    world_free(&world);
}

static void test_a_destination_that_fills_up_leaves_nothing(void **unused)
{
    (void)unused;
    storage_for_both_ways(fill_in_mid_copy);
}

/* The host is away when its volumes are to go: the job waits for it, and says so. */
static void destination_dies(void)
{
    World world;

    open_world(&world, (Shape){ .chain = TRUE });
    g_autofree char *id = begin(&world);
    world_run(&world, SECONDS(3));
    g_autofree char *uri = world_uri(1);
    gw_sim_cut_power(world.sim, uri, 90000);
    world_run(&world, SECONDS(60));
    g_autoptr(GwJob) waiting = world_job(&world, id);
    assert_false(gw_job_state_is_final((GwJobState)waiting->state));
    assert_non_null(waiting->waiting_for);
    assert_true(storage_runs_at(&world, 0, VM));
    world_run(&world, SECONDS(120));
    check_final(&world, id, GW_JOB_FAILED, "the destination lost power");
    world_free(&world);
}

static void test_a_destination_that_dies_is_waited_for(void **unused)
{
    (void)unused;
    storage_for_both_ways(destination_dies);
}

/* A name that is taken is never written to, nor removed. */
static void test_what_is_there_already_stays(void **unused)
{
    World world;
    json_t *hosts = json_array();
    Shape shape = { 0 };
    g_autofree char *uri = NULL;
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    GwMovePlan *plan = NULL;
    GError *error = NULL;
    (void)unused;

    for (guint i = 0; i < 2; i++)
        json_array_append_new(hosts, host_json(i, &shape));
    json_object_set_new(json_array_get(hosts, 0), "vms", json_pack("[o]", vm_json(&shape)));
    json_t *facts = json_object_get(json_array_get(hosts, 1), "facts");
    json_object_set_new(json_array_get(json_object_get(facts, "pools"), 0), "volumes",
                        json_pack("[{s:s,s:s}]", "name", "db1.qcow2", "format", "qcow2"));
    world_make(&world, gw_clock_new_virtual(SECONDS(1700000000)),
               json_pack("{s:o}", "hosts", hosts));
    world_start(&world);
    for (guint i = 0; i < 2; i++)
        world_add_host(&world, i);
    uri = world_uri(1);
    guint content = gw_sim_content(world.sim, uri, "/vms/db1.qcow2");
    assert_int_not_equal(content, 0);
    assert_null(gw_engine_migrate(world.engine, VM, request, "tester", &plan, &error));
    unit_assert_error(error, GW_ERR_REFUSED, "db1.qcow2");
    gw_move_plan_free(plan);
    g_clear_error(&error);
    assert_int_equal(gw_sim_content(world.sim, uri, "/vms/db1.qcow2"), content);
    world_free(&world);
}

/* At every moment -------------------------------------------------------------------------- */

static char *begin_with_chain(World *world)
{
    open_world(world, (Shape){ .chain = TRUE });
    return begin(world);
}

/* Too late to cancel is not too late for the VM. */
static void check_over(World *world, const char *id, gboolean called_off, const char *when)
{
    world_run(world, SECONDS(240));
    g_autoptr(GwJob) job = world_job(world, id);
    GwJobState otherwise = called_off ? GW_JOB_CANCELLED : GW_JOB_FAILED;

    check_final(world, id, job->state == GW_JOB_DONE ? GW_JOB_DONE : otherwise, when);
}

static const StorageMoments moments = {
    .moments = 60,
    .moment_us = 250000,
    .begin = begin_with_chain,
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

/* A request fails, or its answer is lost. */
static void test_every_request_about_volumes_may_fail(void **unused)
{
    static const struct {
        const char *at, *what;
        gboolean moves; /* all the same */
    } faults[] = {
        { "volume-create", "fail", FALSE },     { "volume-create", "lose-reply", TRUE },
        { "volume-create", "host-down", TRUE }, { "volume-create", "full", FALSE },
        { "volume-copy", "fail", FALSE },       { "volume-copy", "break", TRUE },
        { "volume-copy", "full", FALSE },
    };
    (void)unused;

    for (guint i = 0; i < G_N_ELEMENTS(faults); i++) {
        World world;
        g_autofree char *when = g_strdup_printf("%s: %s", faults[i].at, faults[i].what);
        open_world(&world, (Shape){ .chain = TRUE });
        storage_plant(&world, faults[i].at, faults[i].what, 50, 5000);
        g_autofree char *id = begin(&world);
        world_run(&world, SECONDS(240));
        check_final(&world, id, faults[i].moves ? GW_JOB_DONE : GW_JOB_FAILED, when);
        world_free(&world);
    }
}

/* Kept copies ------------------------------------------------------------------------------ */

static guint count_kept(World *world)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    return g_hash_table_size(fabric->kept);
}

static GwKeptVolume *one_kept(World *world)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    g_autoptr(GPtrArray) all = gw_fabric_list_kept(fabric);

    assert_int_equal(all->len, 1);
    return gw_kept_volume_copy(all->pdata[0]);
}

static guint count_removals(World *world, GwJobState state)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);
    guint count = 0;

    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        count += g_strcmp0(job->kind, GW_JOB_KIND_VOLUME_REMOVE) == 0 && job->state == (int)state;
    }
    return count;
}

static guint old_content(World *world)
{
    g_autofree char *uri = world_uri(0);
    return gw_sim_content(world->sim, uri, "/vms/db1.qcow2");
}

/* Moved to b; its old copy is kept at a for ten minutes. */
static void move_for_ten_minutes(World *world)
{
    open_world(world, (Shape){ 0 });
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    request->options->keep_source_s = 600;
    g_autofree char *id = storage_begin(world, VM, request);
    world_run(world, SECONDS(60));
    check_final(world, id, GW_JOB_DONE, "the move before");
    assert_int_equal(count_kept(world), 1);
    assert_int_not_equal(old_content(world), 0);
}

static void test_a_kept_copy_goes_when_its_time_is_over(void **unused)
{
    World world;
    (void)unused;

    move_for_ten_minutes(&world);
    world_run(&world, SECONDS(500));
    assert_int_equal(count_kept(&world), 1);
    assert_int_equal(count_removals(&world, GW_JOB_DONE), 0);
    world_run(&world, SECONDS(120));
    assert_int_equal(count_kept(&world), 0);
    assert_int_equal(count_removals(&world, GW_JOB_DONE), 1);
    assert_int_equal(old_content(&world), 0);
    check_storage(&world, "a kept copy's time was over");
    world_free(&world);
}

/* An image goes only after the one that stands on it; both of their times are over at once. */
static void test_a_kept_chain_goes_whole(void **unused)
{
    World world;
    (void)unused;

    open_world(&world, (Shape){ .chain = TRUE });
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    request->options->keep_source_s = 600;
    g_autofree char *id = storage_begin(&world, VM, request);
    world_run(&world, SECONDS(60));
    check_final(&world, id, GW_JOB_DONE, "the move before");
    assert_int_equal(count_kept(&world), 2);
    world_run(&world, SECONDS(700));
    assert_int_equal(count_kept(&world), 0);
    assert_int_equal(count_removals(&world, GW_JOB_DONE), 2);
    assert_int_equal(old_content(&world), 0);
    check_storage(&world, "a kept chain's time was over");
    world_free(&world);
}

/* Its time goes on while no controller runs, and the wall's clock says so. */
static void test_a_kept_copy_outlives_controllers(void **unused)
{
    World world;
    (void)unused;

    move_for_ten_minutes(&world);
    world_kill(&world);
    world_pass(&world, SECONDS(300));
    world_start(&world);
    world_run(&world, SECONDS(30));
    assert_int_equal(count_kept(&world), 1);
    world_kill(&world);
    world_pass(&world, SECONDS(3000));
    world_start(&world);
    world_run(&world, SECONDS(60));
    assert_int_equal(count_kept(&world), 0);
    assert_int_equal(old_content(&world), 0);
    check_storage(&world, "a kept copy's time was over while nobody looked");
    world_free(&world);
}

/* Removed or not, it is never forgotten halfway. */
static void test_a_controller_that_dies_while_it_removes(void **unused)
{
    (void)unused;
    for (guint i = 0; i < 40; i++) {
        World world;
        move_for_ten_minutes(&world);
        world_run(&world, SECONDS(530) + (gint64)i * SECONDS(1) / 4);
        world_kill(&world);
        world_pass(&world, SECONDS(1));
        world_start(&world);
        world_run(&world, SECONDS(180));
        assert_int_equal(count_kept(&world), 0);
        assert_int_equal(old_content(&world), 0);
        check_storage(&world, "killed while it removed");
        world_free(&world);
    }
}

static void test_a_copy_that_cannot_be_removed_is_tried_each_hour(void **unused)
{
    World world;
    (void)unused;

    move_for_ten_minutes(&world);
    storage_plant(&world, "volume-delete", "fail", 0, 1000);
    world_run(&world, SECONDS(700));
    g_autoptr(GwKeptVolume) kept = one_kept(&world);
    assert_non_null(strstr(kept->trouble, "simulated failure"));
    assert_int_equal(count_removals(&world, GW_JOB_FAILED), 1);
    world_run(&world, SECONDS(2400));
    assert_int_equal(count_removals(&world, GW_JOB_FAILED), 1);
    assert_int_equal(count_kept(&world), 1);
    world_run(&world, SECONDS(1300));
    assert_int_equal(count_kept(&world), 0);
    assert_int_equal(old_content(&world), 0);
    world_free(&world);
}

static void test_a_host_that_is_away_keeps_its_copies(void **unused)
{
    World world;
    (void)unused;

    move_for_ten_minutes(&world);
    g_autofree char *uri = world_uri(0);
    gw_sim_cut_off(world.sim, uri, 1200000);
    world_run(&world, SECONDS(900));
    g_autoptr(GwKeptVolume) kept = one_kept(&world);
    assert_non_null(strstr(kept->trouble, "'a' does not answer"));
    assert_int_equal(count_removals(&world, GW_JOB_FAILED), 0);
    world_run(&world, SECONDS(600));
    assert_int_equal(count_kept(&world), 0);
    assert_int_equal(old_content(&world), 0);
    world_free(&world);
}

static void test_a_person_removes_a_copy(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    move_for_ten_minutes(&world);
    g_autoptr(GwKeptVolume) kept = one_kept(&world);
    g_autoptr(GwJob) job = gw_engine_remove_kept(world.engine, kept->id, "tester", &error);
    assert_null(error);
    assert_string_equal(job->kind, GW_JOB_KIND_VOLUME_REMOVE);
    assert_string_equal(job->user, "tester");
    assert_null(gw_engine_remove_kept(world.engine, kept->id, "tester", &error));
    unit_assert_error(error, GW_ERR_CONFLICT, "being removed already");
    g_clear_error(&error);
    world_run(&world, SECONDS(30));
    assert_int_equal(count_kept(&world), 0);
    assert_int_equal(old_content(&world), 0);
    assert_null(gw_engine_remove_kept(world.engine, kept->id, "tester", &error));
    unit_assert_error(error, GW_ERR_NOT_FOUND, "no kept copy");
    g_clear_error(&error);
    world_free(&world);
}

/* The answer is late: what takes the copy's name meanwhile would be deleted in its place. */
static void test_nothing_takes_the_place_of_a_copy_that_goes(void **unused)
{
    World world;
    (void)unused;

    move_for_ten_minutes(&world);
    g_autoptr(GwKeptVolume) kept = one_kept(&world);
    storage_plant(&world, "volume-delete", "slow", 0, 20000);
    GError *error = NULL;
    G_GNUC_UNUSED g_autoptr(GwJob) removal =
        gw_engine_remove_kept(world.engine, kept->id, "tester", &error);
    assert_null(error);
    world_run(&world, SECONDS(2));
    g_autoptr(GwMoveRequest) request = storage_request_to("a");
    g_autofree char *id = storage_begin(&world, VM, request);
    world_run(&world, SECONDS(10));
    g_autoptr(GwJob) waiting = world_job(&world, id);
    assert_non_null(waiting->waiting_for);
    assert_non_null(strstr(waiting->waiting_for, "the removal of the old copy"));
    world_run(&world, SECONDS(120));
    g_autoptr(GwJob) job = world_job(&world, id);
    assert_int_equal(job->state, GW_JOB_FAILED);
    assert_non_null(strstr(job->error->message, "no longer, a kept copy"));
    assert_true(storage_runs_at(&world, 1, VM));
    check_storage(&world, "back where a copy was being removed");
    G_GNUC_UNUSED g_autofree char *again =
        storage_begin(&world, VM, request); /* now the name is free */
    world_run(&world, SECONDS(60));
    assert_true(storage_runs_at(&world, 0, VM));
    check_storage(&world, "back where a copy was removed");
    world_free(&world);
}

/* It is repeated only as long as it is still an old copy that nobody needs. */
static void test_a_removal_gives_way_to_a_job_of_the_vm(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    move_for_ten_minutes(&world);
    g_autoptr(GwKeptVolume) kept = one_kept(&world);
    storage_plant(&world, "volume-delete", "break", 0, 0);
    g_autoptr(GwJob) removal = gw_engine_remove_kept(world.engine, kept->id, "tester", &error);
    assert_null(error);
    world_run(&world, SECONDS(1) / 2);
    g_autoptr(GwMoveRequest) request = storage_request_to("a");
    g_autofree char *id = storage_begin(&world, VM, request);
    world_run(&world, SECONDS(120));
    g_autoptr(GwJob) over = world_job(&world, removal->id);
    assert_int_equal(over->state, GW_JOB_FAILED);
    assert_non_null(strstr(over->error->message, "a job of 'db1' is under way"));
    g_autoptr(GwJob) job = world_job(&world, id);
    assert_int_equal(job->state, GW_JOB_DONE);
    check_storage(&world, "back where a copy was to be removed");
    world_free(&world);
}

static void test_a_removed_host_takes_its_records_along(void **unused)
{
    World world;
    (void)unused;

    move_for_ten_minutes(&world);
    g_autoptr(GwKeptVolume) kept = one_kept(&world);
    UNIT_OK(gw_engine_remove_host(world.engine, kept->host_id, error));
    assert_int_equal(count_kept(&world), 0);
    world_kill(&world);
    world_start(&world);
    world_run(&world, SECONDS(10));
    assert_int_equal(count_kept(&world), 0);
    assert_int_not_equal(old_content(&world), 0); /* nobody's any more, and untouched */
    world_free(&world);
}

/* Undo ------------------------------------------------------------------------------------- */

static void undo_a_move(void)
{
    World world;
    GError *error = NULL;

    open_world(&world, (Shape){ .chain = TRUE });
    g_autofree char *id = begin(&world);
    world_run(&world, SECONDS(60));
    check_final(&world, id, GW_JOB_DONE, "the move before");

    g_autoptr(GwUndoPlan) plan = gw_engine_plan_undo(world.engine, id, &error);
    assert_null(error);
    assert_true(plan->possible);
    assert_string_equal(plan->kind, GW_JOB_KIND_MIGRATE);
    assert_non_null(plan->steps);
    g_autoptr(GwJob) undo = gw_engine_undo(world.engine, id, "tester", NULL, &error);
    assert_null(error);
    assert_string_equal(undo->undoes, id);
    assert_null(gw_engine_undo(world.engine, id, "tester", NULL, &error));
    unit_assert_error(error, GW_ERR_CONFLICT, "undone");
    g_clear_error(&error);
    world_run(&world, SECONDS(60));

    g_autoptr(GwJob) done = world_job(&world, undo->id);
    g_autoptr(GwJob) undone = world_job(&world, id);
    if (done->state != GW_JOB_DONE)
        fail_msg("the undo failed: %s", done->error->message);
    assert_string_equal(undone->undone_by, undo->id);
    assert_true(storage_runs_at(&world, 0, VM));
    check_storage(&world, "undone");
    /* What was kept at a is the live disk again; b's is what is kept now. */
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    g_autoptr(GPtrArray) all = gw_fabric_list_kept(fabric);
    assert_int_equal(all->len, 2);
    for (guint i = 0; i < all->len; i++)
        assert_string_equal(((GwKeptVolume *)all->pdata[i])->host_id, done->source_host_id);

    world_kill(&world); /* the link is durable */
    world_start(&world);
    g_autoptr(GwJob) again = world_job(&world, id);
    assert_string_equal(again->undone_by, undo->id);
    world_free(&world);
}

static void test_a_move_is_undone(void **unused)
{
    (void)unused;
    storage_for_both_ways(undo_a_move);
}

/* Undoing it makes room of the old copy, and then fails: that copy is gone, the half of a new one
 * too, nothing remembers either, and the next try comes through. */
static void replace_and_fail(const char *at, const char *what, gboolean cancels)
{
    World world;
    GError *error = NULL;
    g_autofree char *when = g_strdup_printf("%s at %s", what, at);

    open_world(&world, (Shape){ 0 });
    g_autofree char *id = begin(&world);
    world_run(&world, SECONDS(60));
    check_final(&world, id, GW_JOB_DONE, when);
    g_autofree char *uri = world_uri(0);
    guint old = gw_sim_content(world.sim, uri, "/vms/db1.qcow2");
    if (!cancels)
        storage_plant(&world, at, what, 50, 3000);
    g_autoptr(GwJob) undo = gw_engine_undo(world.engine, id, "tester", NULL, &error);
    assert_null(error);
    world_run(&world, SECONDS(cancels ? 2 : 120));
    g_autoptr(GwJob) asked = cancels ? gw_engine_cancel_job(world.engine, undo->id, &error) : NULL;
    assert_int_equal(asked != NULL, cancels);
    world_run(&world, SECONDS(60));
    g_autoptr(GwJob) over = world_job(&world, undo->id);
    assert_int_equal(over->state, cancels ? GW_JOB_CANCELLED : GW_JOB_FAILED);
    if (strstr(over->error->message, "the kept copy db1.qcow2 of vda, which was in its place, is "
                                     "gone") == NULL)
        fail_msg("%s: %s", when, over->error->message);
    assert_true(storage_runs_at(&world, 1, VM));
    check_storage(&world, when);
    assert_int_not_equal(gw_sim_content(world.sim, uri, "/vms/db1.qcow2"), old);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    assert_int_equal(g_hash_table_size(fabric->kept), 0);

    g_autoptr(GwUndoPlan) plan = gw_engine_plan_undo(world.engine, id, &error);
    assert_null(error);
    assert_non_null(strstr(plan->steps[0], "made anew: no copy was kept there"));
    g_autoptr(GwJob) again = gw_engine_undo(world.engine, id, "tester", NULL, &error);
    assert_null(error);
    world_run(&world, SECONDS(60));
    g_autoptr(GwJob) done = world_job(&world, again->id);
    assert_int_equal(done->state, GW_JOB_DONE);
    assert_true(storage_runs_at(&world, 0, VM));
    check_storage(&world, when);
    world_free(&world);
}

static void replace_every_way(void)
{
    replace_and_fail("volume-create", "fail", FALSE);
    replace_and_fail("volume-create", "full", FALSE);
    replace_and_fail("disks", "fail", FALSE);
    replace_and_fail("copy", "fail", FALSE);
    replace_and_fail("a moment", "cancel", TRUE);
}

static void test_an_undo_that_fails_after_it_replaced_the_copy(void **unused)
{
    (void)unused;
    storage_for_both_ways(replace_every_way);
}

/* The answer to the removal is lost and the job is called off: the list of old copies may name one
 * that is gone, until something else is made there, which no removal of it may touch. */
static void test_a_replacement_that_nobody_heard_of(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    open_world(&world, (Shape){ 0 });
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    request->options->keep_source_s = 600;
    g_autofree char *id = storage_begin(&world, VM, request);
    world_run(&world, SECONDS(60));
    check_final(&world, id, GW_JOB_DONE, "the move before");
    g_autofree char *uri = world_uri(0);
    storage_plant(&world, "volume-delete", "lose-reply", 0, 0);
    storage_plant(&world, "volume-delete", "break", 0, 0);
    storage_plant(&world, "volume-delete", "break", 0, 0);
    g_autoptr(GwJob) undo = gw_engine_undo(world.engine, id, "tester", NULL, &error);
    assert_null(error);
    for (int i = 0; i < 200 && gw_sim_content(world.sim, uri, "/vms/db1.qcow2") != 0; i++)
        world_run(&world, G_USEC_PER_SEC / 50);
    G_GNUC_UNUSED g_autoptr(GwJob) asked = gw_engine_cancel_job(world.engine, undo->id, &error);
    assert_null(error);
    world_run(&world, SECONDS(30));
    g_autoptr(GwJob) over = world_job(&world, undo->id);
    assert_int_equal(over->state, GW_JOB_CANCELLED);
    assert_int_equal(count_kept(&world), 1);
    g_autoptr(GwJob) again = gw_engine_undo(world.engine, id, "tester", NULL, &error);
    assert_null(error);
    world_run(&world, SECONDS(60));
    g_autoptr(GwJob) done = world_job(&world, again->id);
    assert_int_equal(done->state, GW_JOB_DONE);
    world_run(&world, SECONDS(1200));
    assert_true(storage_runs_at(&world, 0, VM));
    check_storage(&world, "a replacement that nobody heard of");
    world_free(&world);
}

/* Who asks for it is told why not, as for any move. */
static void test_an_undo_that_is_refused_says_what_was_found(void **unused)
{
    World world;
    GError *error = NULL;
    g_autoptr(GwMovePlan) refused = NULL;
    (void)unused;

    open_world(&world, (Shape){ 0 });
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    request->options->keep_source_s = -1; /* nothing there gives way to what comes back */
    g_autofree char *id = storage_begin(&world, VM, request);
    world_run(&world, SECONDS(60));
    check_final(&world, id, GW_JOB_DONE, "the move before");
    g_autofree char *uri = world_uri(0);
    gw_sim_fill_pool(world.sim, uri, "local", 600000);
    assert_null(gw_engine_undo(world.engine, id, "tester", &refused, &error));
    unit_assert_error(error, GW_ERR_REFUSED, "local");
    g_clear_error(&error);
    assert_non_null(refused);
    assert_true(refused->candidate->findings->len > 0);
    assert_true(storage_runs_at(&world, 1, VM));
    world_free(&world);
}

/* Its volume could not be removed: the job is over, and says so. */
static char *leave_something(World *world)
{
    open_world(world, (Shape){ 0 });
    for (guint i = 0; i < 5; i++)
        storage_plant(world, "volume-delete", "fail", 0, 1000);
    g_autofree char *id = begin(world);
    world_run(world, SECONDS(1));
    G_GNUC_UNUSED g_autoptr(GwJob) answer = gw_engine_cancel_job(world->engine, id, NULL);
    world_run(world, SECONDS(60));
    g_autoptr(GwJob) job = world_job(world, id);
    assert_int_equal(job->state, GW_JOB_CANCELLED);
    assert_non_null(strstr(job->error->message, "simulated failure"));
    assert_non_null(strstr(job->error->remedy, "godwit job undo"));
    char **leaks = gw_sim_leaks(world->sim, NULL);
    assert_non_null(leaks[0]);
    g_strfreev(leaks);
    return g_steal_pointer(&id);
}

static void test_what_a_job_left_is_removed(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    g_autofree char *id = leave_something(&world);
    g_autoptr(GwUndoPlan) plan = gw_engine_plan_undo(world.engine, id, &error);
    assert_null(error);
    assert_true(plan->possible);
    assert_string_equal(plan->kind, GW_JOB_KIND_REPAIR);
    g_autoptr(GwJob) repair = gw_engine_undo(world.engine, id, "tester", NULL, &error);
    assert_null(error);
    assert_string_equal(repair->kind, GW_JOB_KIND_REPAIR);
    world_run(&world, SECONDS(30));
    g_autoptr(GwJob) done = world_job(&world, repair->id);
    assert_int_equal(done->state, GW_JOB_DONE);
    assert_true(storage_runs_at(&world, 0, VM));
    check_storage(&world, "repaired");
    assert_null(gw_engine_undo(world.engine, id, "tester", NULL, &error));
    assert_non_null(error);
    g_clear_error(&error);
    world_free(&world);
}

/* What it would remove is another job's by now. */
static void test_a_repair_leaves_what_was_made_since(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    g_autofree char *id = leave_something(&world);
    g_autofree char *uri = world_uri(1);
    gw_sim_remove_by_hand(world.sim, uri, "/vms/db1.qcow2");
    g_autofree char *there = begin(&world);
    world_run(&world, SECONDS(60));
    check_final(&world, there, GW_JOB_DONE, "the next move");
    g_autoptr(GwMoveRequest) request = storage_request_to("a");
    G_GNUC_UNUSED g_autofree char *back = storage_begin(&world, VM, request);
    world_run(&world, SECONDS(60));
    assert_true(storage_runs_at(&world, 0, VM));
    assert_int_not_equal(gw_sim_content(world.sim, uri, "/vms/db1.qcow2"), 0);
    assert_null(gw_engine_undo(world.engine, id, "tester", NULL, &error));
    unit_assert_error(error, GW_ERR_CONFLICT, "left nothing behind");
    g_clear_error(&error);
    world_run(&world, SECONDS(30));
    assert_int_not_equal(gw_sim_content(world.sim, uri, "/vms/db1.qcow2"), 0);
    check_storage(&world, "not repaired long after");
    world_free(&world);
}

/* What nobody saw yet is asked for: a VM that is there may use what was left. */
static void test_nothing_is_removed_under_a_vm(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    g_autofree char *id = leave_something(&world);
    g_autofree char *uri = world_uri(1);
    gw_sim_plant(world.sim, uri, VM, GW_VM_OFF);
    assert_null(gw_engine_undo(world.engine, id, "tester", NULL, &error));
    assert_non_null(error);
    assert_non_null(gw_error_remedy(error));
    g_clear_error(&error);
    world_run(&world, SECONDS(30));
    assert_int_not_equal(gw_sim_content(world.sim, uri, "/vms/db1.qcow2"), 0);
    world_free(&world);
}

static void test_a_repair_outlives_the_controller(void **unused)
{
    (void)unused;
    for (guint i = 0; i < 10; i++) {
        World world;
        GError *error = NULL;
        g_autofree char *id = leave_something(&world);
        g_autoptr(GwJob) repair = gw_engine_undo(world.engine, id, "tester", NULL, &error);
        assert_null(error);
        world_run(&world, (gint64)i * 1000);
        world_kill(&world);
        world_start(&world);
        world_run(&world, SECONDS(60));
        g_autoptr(GwJob) done = world_job(&world, repair->id);
        assert_int_equal(done->state, GW_JOB_DONE);
        check_storage(&world, "repaired by the next controller");
        world_free(&world);
    }
}

static void test_what_is_under_way_is_not_undone(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    open_world(&world, (Shape){ 0 });
    g_autofree char *id = begin(&world);
    world_run(&world, SECONDS(1));
    assert_null(gw_engine_undo(world.engine, id, "tester", NULL, &error));
    unit_assert_error(error, GW_ERR_CONFLICT, "not over");
    g_clear_error(&error);
    assert_null(gw_engine_plan_undo(world.engine, "01J00000NONE", &error));
    unit_assert_error(error, GW_ERR_NOT_FOUND, "01J00000NONE");
    g_clear_error(&error);
    world_free(&world);
}

static void move_a_chain(void)
{
    World world;

    open_world(&world, (Shape){ .chain = TRUE });
    g_autofree char *id = begin(&world);
    world_run(&world, SECONDS(60));
    check_final(&world, id, GW_JOB_DONE, "a chain");
    assert_int_equal(count_kept(&world), 2);
    world_free(&world);
}

static void test_a_chain_is_moved_image_by_image(void **unused)
{
    (void)unused;
    storage_for_both_ways(move_a_chain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_move_takes_its_disks_along),
        cmocka_unit_test(test_the_best_storage_of_a_host),
        cmocka_unit_test(test_not_keeping_is_asked_for),
        cmocka_unit_test(test_a_readonly_disk_goes_to_its_new_path),
        cmocka_unit_test(test_what_is_not_kept_is_removed_in_the_end),
        cmocka_unit_test(test_a_destination_that_fills_up_leaves_nothing),
        cmocka_unit_test(test_a_destination_that_dies_is_waited_for),
        cmocka_unit_test(test_what_is_there_already_stays),
        cmocka_unit_test(test_every_request_about_volumes_may_fail),
        cmocka_unit_test(test_a_kept_copy_goes_when_its_time_is_over),
        cmocka_unit_test(test_a_kept_chain_goes_whole),
        cmocka_unit_test(test_a_kept_copy_outlives_controllers),
        cmocka_unit_test(test_a_controller_that_dies_while_it_removes),
        cmocka_unit_test(test_a_copy_that_cannot_be_removed_is_tried_each_hour),
        cmocka_unit_test(test_a_host_that_is_away_keeps_its_copies),
        cmocka_unit_test(test_a_person_removes_a_copy),
        cmocka_unit_test(test_nothing_takes_the_place_of_a_copy_that_goes),
        cmocka_unit_test(test_a_removal_gives_way_to_a_job_of_the_vm),
        cmocka_unit_test(test_a_removed_host_takes_its_records_along),
        cmocka_unit_test(test_a_move_is_undone),
        cmocka_unit_test(test_an_undo_that_fails_after_it_replaced_the_copy),
        cmocka_unit_test(test_a_replacement_that_nobody_heard_of),
        cmocka_unit_test(test_an_undo_that_is_refused_says_what_was_found),
        cmocka_unit_test(test_what_a_job_left_is_removed),
        cmocka_unit_test(test_a_repair_leaves_what_was_made_since),
        cmocka_unit_test(test_nothing_is_removed_under_a_vm),
        cmocka_unit_test(test_a_repair_outlives_the_controller),
        cmocka_unit_test(test_what_is_under_way_is_not_undone),
        cmocka_unit_test(test_a_chain_is_moved_image_by_image),
        cmocka_unit_test(test_a_cancel_at_every_moment),
        cmocka_unit_test(test_a_controller_that_dies_at_every_moment),
        cmocka_unit_test(test_a_host_that_is_cut_off_at_every_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
