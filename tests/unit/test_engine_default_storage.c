/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage_world.h"

#include "engine/jobs_internal.h"
#include "engine/records_internal.h"

/* R18: a move adds where its disks went to its host's default storage. That and the job's end are
 * one commit: whenever the controller dies, there is both or neither. */

#define VM "6d0b6b0e-0000-4000-8000-000000000001"

static json_t *host_json(guint index)
{
    json_t *host = world_host_json(index);

    json_object_set_new(json_object_get(host, "facts"), "pools",
                        json_pack("[{s:s,s:s,s:s,s:b}]", "name", "local", "type", "dir",
                                  "target_path", "/vms", "active", 1));
    return host;
}

/* A VM with a disk of its own is on its way from a to b. */
static char *open_moving(World *world)
{
    json_t *vm = world_vm_json(VM, "db1");
    json_t *disk = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:I}", "target", "vda", "device", "disk",
                             "type", "file", "source", "/vms/db1.qcow2", "format", "qcow2", "cache",
                             "none", "capacity_bytes", (json_int_t)4 << 30);
    json_t *hosts = json_pack("[o,o]", host_json(0), host_json(1));
    g_autoptr(GwMoveRequest) request = storage_request_to("b");

    json_object_set_new(vm, "disks", json_pack("[o]", disk));
    json_object_set_new(json_array_get(hosts, 0), "vms", json_pack("[o]", vm));
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)),
               json_pack("{s:o,s:i,s:i}", "hosts", hosts, "link_mibps", 500, "dirty_mibps", 10));
    world_start(world);
    for (guint i = 0; i < 2; i++)
        world_add_host(world, i);
    request->options->add_default_storage = TRUE;
    return storage_begin(world, VM, request);
}

static GwHost *host_b(World *world)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    return gw_host_copy(gw_fabric_find_host(fabric, "b"));
}

static void assert_added(World *world, const char *id, const char *when)
{
    g_autoptr(GwHost) host = host_b(world);
    G_GNUC_UNUSED g_autoptr(GwJob) job = storage_job_in(world, id, GW_JOB_DONE, when);

    if (host->default_storage == NULL)
        fail_msg("%s: the job is done, and its place was not added", when);
    assert_int_equal(g_strv_length(host->default_storage), 1);
    assert_string_equal(host->default_storage[0], "local");
    storage_check_witness(world, when);
    storage_check_vm(world, VM, when);
}

/* A change of that host which is being journaled, and takes its time. */
static char *changing;

static void begin_change(GwEngine *engine, gpointer unused)
{
    (void)unused;
    changing = g_strdup(gw_fabric_find_host(gw_engine_now(engine), "b")->id);
    gw_records_begin_change(engine, changing);
}

static void end_change(GwEngine *engine, gpointer unused)
{
    (void)unused;
    gw_records_end_change(engine, changing);
    g_clear_pointer(&changing, g_free);
}

/* The move is over, but for the change that its end waits for. */
static char *open_waiting(World *world)
{
    char *id = open_moving(world);

    world_run(world, SECONDS(1));
    gw_engine_post(world->engine, begin_change, NULL);
    world_run(world, SECONDS(120));
    assert_true(storage_runs_at(world, 1, VM));
    g_autoptr(GwHost) host = host_b(world);
    assert_null(host->default_storage);
    return id;
}

static void the_end_waits_for_a_change_of_the_host(void **unused)
{
    World world;
    (void)unused;

    g_autofree char *id = open_waiting(&world);
    gw_engine_post(world.engine, end_change, NULL);
    world_run(&world, SECONDS(1));
    assert_added(&world, id, "after the change");
    world_kill(&world);
    world_start(&world);
    assert_added(&world, id, "as it is stored");
    world_free(&world);
}

static void who_dies_before_has_the_end_still_to_come(void **unused)
{
    World world;
    (void)unused;

    g_autofree char *id = open_waiting(&world);
    gw_engine_post(world.engine, end_change, NULL); /* which the store never heard of */
    world_kill(&world);
    world_start(&world);
    world_run(&world, SECONDS(120));
    assert_added(&world, id, "with the next controller");
    world_free(&world);
}

/* A step of before the end without effects, whose commit took until now. */
static void store_an_earlier_step(GwEngine *engine, gpointer job_id)
{
    JobRun *run = gw_jobs_find(engine, job_id);
    const GwLifeOutcome outcome = { .journal = TRUE };

    assert_non_null(run);
    assert_int_equal(run->job->state, GW_JOB_DONE);
    run->job->state = GW_JOB_CLEANING;
    gw_jobs_follow(engine, run, &outcome, 0, 0);
    run->job->state = GW_JOB_DONE;
    gw_jobs_show(engine, run->job);
}

static void the_end_outlives_an_earlier_step(void **unused)
{
    World world;
    (void)unused;

    g_autofree char *id = open_waiting(&world);
    gw_engine_post(world.engine, store_an_earlier_step, id);
    world_run(&world, SECONDS(1));
    gw_engine_post(world.engine, end_change, NULL);
    world_run(&world, SECONDS(1));
    assert_added(&world, id, "after the earlier step");
    world_kill(&world);
    world_start(&world);
    assert_added(&world, id, "as it is stored");
    world_free(&world);
}

static void check_over(World *world, const char *id, gboolean called_off, const char *when)
{
    (void)called_off;
    world_run(world, SECONDS(300));
    assert_added(world, id, when);
}

static void a_controller_that_dies_at_every_moment(void **unused)
{
    static const StorageMoments moments = {
        .moments = 60,
        .moment_us = 500000,
        .begin = open_moving,
        .check_over = check_over,
    };
    (void)unused;

    storage_kill_at_every_moment(&moments);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_waits_for_a_change_of_the_host),
        cmocka_unit_test(the_end_outlives_an_earlier_step),
        cmocka_unit_test(who_dies_before_has_the_end_still_to_come),
        cmocka_unit_test(a_controller_that_dies_at_every_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
