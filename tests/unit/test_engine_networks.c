/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage_world.h"

#include <string.h>

#include "base/error.h"

/* Moves to a host whose networks are called otherwise (R40), and back. The simulated hosts refuse,
 * as libvirt does, what they have no bridge for. */

#define RUN "6d0b6b0e-0000-4000-8000-000000000002" /* runs at a */
#define OFF "6d0b6b0e-0000-4000-8000-000000000001"
#define MAC "52:54:00:00:00:01"

static json_t *vm_json(const char *uuid, const char *name, gboolean off)
{
    json_t *vm = world_vm_json(uuid, name);

    json_object_set_new(vm, "nics",
                        json_pack("[{s:s,s:s,s:s,s:s,s:s}]", "mac", MAC, "type", "bridge", "source",
                                  "br0", "model", "virtio", "target", "vnet0"));
    if (off)
        json_object_set_new(vm, "state", json_string("off"));
    return vm;
}

static json_t *host_json(guint index, const char *bridge)
{
    json_t *host = world_host_json(index);
    json_t *facts = json_object_get(host, "facts");

    json_object_set_new(facts, "bridges", json_pack("[s]", bridge));
    json_array_append_new(json_object_get(facts, "networks"),
                          json_pack("{s:s,s:s,s:s,s:b}", "name", bridge, "kind", "bridge", "bridge",
                                    bridge, "active", 1));
    return host;
}

static GwHost *set_tag(World *world, const char *name, const char *tag, GError **error)
{
    const char *const tags[] = { tag, NULL };
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    g_autoptr(GwHost) host = gw_host_copy(gw_fabric_find_host(fabric, name));

    g_strfreev(host->network_tags);
    host->network_tags = g_strdupv((char **)tags);
    return world_change_host(world->engine, host, error);
}

/* @tags: both bridges are declared to lead to one physical network. @told: a tells its bridge. */
static void open_world_of(World *world, gboolean tags, gboolean told)
{
    static const char *const bridges[] = { "br0", "public" };
    static const char *const names[] = { "a", "b" };
    json_t *hosts = json_array();

    for (guint i = 0; i < 2; i++)
        json_array_append_new(hosts, i > 0 || told ? host_json(i, bridges[i]) : world_host_json(i));
    json_object_set_new(json_array_get(hosts, 0), "vms",
                        json_pack("[o,o]", vm_json(RUN, "run", FALSE), vm_json(OFF, "off", TRUE)));
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)),
               json_pack("{s:o,s:i,s:i}", "hosts", hosts, "link_mibps", 100, "dirty_mibps", 0));
    world_start(world);
    for (guint i = 0; i < 2; i++)
        world_add_host(world, i);
    world_run(world, SECONDS(2));
    for (guint i = 0; tags && i < 2; i++) {
        g_autofree char *tag = g_strdup_printf("%s=dmz", bridges[i]);
        g_autoptr(GError) error = NULL;
        g_autoptr(GwHost) host = set_tag(world, names[i], tag, &error);
        assert_null(error);
        assert_string_equal(host->network_tags[0], tag);
    }
}

static void open_world(World *world, gboolean tags)
{
    open_world_of(world, tags, TRUE);
}

static void choose(GwMoveRequest *request, const char *network)
{
    GwNicChoice *choice = gw_nic_choice_new();

    choice->mac = g_strdup(MAC);
    choice->network = g_strdup(network);
    choice->none = network == NULL;
    request->options->nics = gw_record_array(&gw_nic_choice_record);
    g_ptr_array_add(request->options->nics, choice);
}

static GwJob *ends_done(World *world, const char *id)
{
    for (int i = 0; i < 600; i++) {
        g_autoptr(GwJob) job = world_job(world, id);
        if (!gw_job_state_is_final((GwJobState)job->state)) {
            world_run(world, SECONDS(1));
            continue;
        }
        if (job->state != (int)GW_JOB_DONE)
            fail_msg("'%s': %s", job->title, job->error != NULL ? job->error->message : "?");
        return g_steal_pointer(&job);
    }
    fail_msg("it does not end");
    return NULL;
}

/* The adapter of the VM as @host has it. */
static void assert_nic(World *world, const char *host, const char *uuid, const char *type,
                       const char *source, gboolean down)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    const GwHost *at = gw_fabric_find_host(fabric, host);
    const GwVm *vm = gw_fabric_vm(fabric, at->id, uuid);

    assert_non_null(vm);
    assert_int_equal(vm->nics->len, 1);
    const GwNic *nic = vm->nics->pdata[0];
    assert_string_equal(nic->mac, MAC);
    assert_string_equal(nic->type, type);
    if (source != NULL)
        assert_string_equal(nic->source, source);
    assert_int_equal(!nic->link_down, !down);
}

static void undo(World *world, const char *id)
{
    GError *error = NULL;
    g_autoptr(GwJob) job = gw_engine_undo(world->engine, id, "tester", NULL, &error);

    if (job == NULL)
        fail_msg("not undone: %s", error->message);
    G_GNUC_UNUSED g_autoptr(GwJob) over = ends_done(world, job->id);
    world_run(world, SECONDS(5));
}

/* There by the declared physical network, back to the very bridge it was on. */
static void there_and_back(const char *vm, const char *uuid)
{
    World world;

    open_world(&world, TRUE);
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    g_autofree char *id = storage_begin(&world, vm, request);
    g_autoptr(GwJob) job = ends_done(&world, id);
    world_run(&world, SECONDS(5));
    assert_int_equal(job->nics->len, 1);
    const GwNicMove *move = job->nics->pdata[0];
    assert_int_equal(move->match, GW_NIC_TAG);
    assert_true(move->changes);
    assert_string_equal(move->from->source, "br0");
    assert_string_equal(move->to->source, "public");
    assert_nic(&world, "b", uuid, "bridge", "public", FALSE);
    undo(&world, id);
    assert_nic(&world, "a", uuid, "bridge", "br0", FALSE);
    world_free(&world);
}

static void live(void)
{
    there_and_back("run", RUN);
}

static void a_running_vm_there_and_back(void **state)
{
    storage_for_both_ways(live);
}

static void off(void)
{
    there_and_back("off", OFF);
}

static void a_vm_that_is_off_there_and_back(void **state)
{
    storage_for_both_ways(off);
}

/* A host that tells no bridges: Undo finds the one that the adapter was on all the same. */
static void back_to_a_bridge_that_nobody_tells(void **state)
{
    World world;

    open_world_of(&world, TRUE, FALSE);
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    g_autofree char *id = storage_begin(&world, "run", request);
    G_GNUC_UNUSED g_autoptr(GwJob) job = ends_done(&world, id);
    world_run(&world, SECONDS(5));
    assert_nic(&world, "b", RUN, "bridge", "public", FALSE);
    undo(&world, id);
    assert_nic(&world, "a", RUN, "bridge", "br0", FALSE);
    world_free(&world);
}

static void none_for_a_running_vm(void **state)
{
    World world;

    open_world(&world, FALSE);
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    choose(request, NULL);
    g_autofree char *id = storage_begin(&world, "run", request);
    G_GNUC_UNUSED g_autoptr(GwJob) job = ends_done(&world, id);
    world_run(&world, SECONDS(5));
    assert_nic(&world, "b", RUN, "ethernet", NULL, TRUE);
    undo(&world, id);
    assert_nic(&world, "a", RUN, "bridge", "br0", FALSE);
    world_free(&world);
}

static void nothing_matches(void **state)
{
    World world;
    g_autoptr(GError) error = NULL, bad = NULL;
    g_autoptr(GwMovePlan) plan = NULL;

    open_world(&world, FALSE);
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    assert_null(gw_engine_migrate(world.engine, "run", request, "tester", &plan, &error));
    unit_assert_error(error, GW_ERR_REFUSED, "is on bridge 'br0', which does not exist on b");
    assert_non_null(strstr(gw_error_remedy(error), "--nic " MAC "=none"));
    choose(request, "nowhere");
    assert_null(gw_engine_migrate(world.engine, "run", request, "tester", NULL, &bad));
    unit_assert_error(bad, GW_ERR_REFUSED, "b has no network or bridge 'nowhere'");
    choose(request, "public");
    g_autofree char *id = storage_begin(&world, "run", request);
    g_autoptr(GwJob) job = ends_done(&world, id);
    assert_int_equal(((GwNicMove *)job->nics->pdata[0])->match, GW_NIC_CHOSEN);
    world_free(&world);
}

static void tags_are_checked(void **state)
{
    World world;
    g_autoptr(GError) error = NULL;

    open_world(&world, FALSE);
    assert_null(set_tag(&world, "a", "br0", &error));
    unit_assert_error(error, GW_ERR_INVALID, "physical network tag 1");
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_running_vm_there_and_back),
        cmocka_unit_test(a_vm_that_is_off_there_and_back),
        cmocka_unit_test(back_to_a_bridge_that_nobody_tells),
        cmocka_unit_test(none_for_a_running_vm),
        cmocka_unit_test(nothing_matches),
        cmocka_unit_test(tags_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
