/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine_world.h"

#include "base/error.h"

/* CPUs over simulated hosts that have some (docs/simulator.md): the common one, what could not
 * move, what a restart would change (R11). */

#define UUID(n) "6d0b6b0e-0000-4000-8000-00000000000" #n

static json_t *vm(const char *uuid, const char *name, const char *model)
{
    json_t *json = world_vm_json(uuid, name);

    json_object_set_new(json, "virt_type", json_string("kvm"));
    if (model != NULL)
        json_object_set_new(
            json, "cpu",
            json_pack("{s:s,s:s,s:b}", "mode", "custom", "model", model, "exact", TRUE));
    return json;
}

/* The same, defined anew since it was booted. */
static json_t *redefined(json_t *json, const char *mode, const char *model)
{
    json_object_set_new(json, "next",
                        json_pack("{s:s,s:{s:s,s:s*,s:b}}", "machine",
                                  json_string_value(json_object_get(json, "machine")), "cpu",
                                  "mode", mode, "model", model, "exact", TRUE));
    return json;
}

static json_t *host(guint index, const char *model)
{
    json_t *json = world_host_json(index);

    if (model != NULL)
        json_object_set_new(json, "vm_cpu", json_string(model));
    return json;
}

/* Hosts a and b with these CPUs; on a VMs of all kinds. */
static void open_world(World *world, const char *a_model, const char *b_model)
{
    json_t *a = host(0, a_model);
    json_t *off = redefined(vm(UUID(5), "off", a_model), "host-model", NULL);

    json_object_set_new(off, "state", json_string("off"));
    json_object_set_new(
        a, "vms",
        json_pack("[o,o,o,o,o]", redefined(vm(UUID(1), "stale", a_model), "custom", b_model),
                  vm(UUID(2), "above", a_model), vm(UUID(3), "within", b_model),
                  redefined(vm(UUID(4), "grows", b_model), "host-model", NULL), off));
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)),
               json_pack("{s:[o,o]}", "hosts", a, host(1, b_model)));
    world_start(world);
    world_add_host(world, 0);
    world_add_host(world, 1);
    world_run(world, SECONDS(1));
}

static GwCpuBaseline *baseline_of(World *world, const char *hosts, const char *kind, GError **error)
{
    g_autoptr(GwCpuBaselineRequest) wanted = gw_cpu_baseline_request_new();

    wanted->hosts = hosts != NULL ? g_strsplit(hosts, " ", -1) : NULL;
    wanted->virt_type = g_strdup(kind);
    return gw_engine_cpu_baseline(world->engine, wanted, error);
}

static const GwCpuBaselineVm *row_of(const GwCpuBaseline *baseline, const char *name)
{
    const GwCpuBaselineVm *row =
        gw_record_find(&gw_cpu_baseline_vm_record, baseline->vms, "vm_name", name);

    assert_non_null(row);
    return row;
}

static void assert_words(char *const *list, const char *expected)
{
    g_autofree char *joined = list != NULL ? g_strjoinv(" ", (char **)list) : g_strdup("");
    assert_string_equal(joined, expected);
}

static void test_baseline(void **unused)
{
    World world;
    g_autoptr(GwCpuBaseline) found = NULL;
    (void)unused;

    open_world(&world, "Skylake-Server", "Haswell");
    UNIT_OK((found = baseline_of(&world, NULL, NULL, error)) != NULL);
    assert_null(found->error);
    assert_string_equal(found->virt_type, "kvm");
    assert_string_equal(found->kind, "hypervisor");
    assert_string_equal(found->model, "Haswell");
    assert_string_equal(found->xml, "<cpu mode='custom' match='exact'>"
                                    "<model fallback='forbid'>Haswell</model></cpu>");
    assert_true(found->machines[0] != NULL);

    const GwCpuBaselineHost *a = found->hosts->pdata[0], *b = found->hosts->pdata[1];
    assert_words(a->loses, "avx512f clwb pku");
    assert_words(b->loses, "");
    assert_int_equal(found->pairs->len, 1);
    const GwCpuPair *pair = found->pairs->pdata[0];
    assert_string_equal(pair->source_host_id, a->host_id);
    assert_string_equal(pair->destination_host_id, b->host_id);
    assert_false(pair->unknown);
    assert_string_equal(pair->why, "it lacks avx512f, clwb, pku");
    world_free(&world);
}

static void test_what_vms_need(void **unused)
{
    World world;
    g_autoptr(GwCpuBaseline) found = NULL;
    (void)unused;

    open_world(&world, "Skylake-Server", "Haswell");
    UNIT_OK((found = baseline_of(&world, "a b", "kvm", error)) != NULL);
    assert_int_equal(found->vms->len, 4); /* one is off */
    assert_int_equal(row_of(found, "stale")->fit, GW_CPU_FIT_RESTART);
    assert_words(row_of(found, "stale")->above, "avx512f clwb pku");
    assert_int_equal(g_strv_length(row_of(found, "stale")->commands), 2);
    assert_int_equal(row_of(found, "above")->fit, GW_CPU_FIT_CHANGE);
    assert_int_equal(g_strv_length(row_of(found, "above")->commands), 3);
    assert_int_equal(row_of(found, "within")->fit, GW_CPU_FIT_FITS);
    assert_null(row_of(found, "within")->commands);
    /* It fits until it is restarted. */
    assert_int_equal(row_of(found, "grows")->fit, GW_CPU_FIT_CHANGE);
    assert_words(row_of(found, "grows")->above, "");
    assert_non_null(strstr(row_of(found, "grows")->why, "host-model"));
    const GwCpuBaselineVm *last = found->vms->pdata[3];
    assert_string_equal(last->vm_name, "within");

    /* Nothing runs of the other kind. */
    g_autoptr(GwCpuBaseline) other = NULL;
    UNIT_OK((other = baseline_of(&world, "a b", "qemu", error)) != NULL);
    assert_int_equal(other->vms->len, 0);
    world_free(&world);
}

static void test_nothing_in_common(void **unused)
{
    World world;
    g_autoptr(GwCpuBaseline) found = NULL;
    (void)unused;

    open_world(&world, "Westmere", "Opteron_G3");
    UNIT_OK((found = baseline_of(&world, NULL, "kvm", error)) != NULL);
    assert_null(found->xml);
    assert_non_null(strstr(found->error, "no model in common"));
    assert_int_equal(row_of(found, "above")->fit, GW_CPU_FIT_UNKNOWN);
    assert_int_equal(found->pairs->len, 2); /* and neither takes the other's */
    world_free(&world);
}

static void test_hosts_that_tell_nothing(void **unused)
{
    World world;
    g_autoptr(GwCpuBaseline) found = NULL;
    (void)unused;

    open_world(&world, NULL, NULL);
    UNIT_OK((found = baseline_of(&world, NULL, NULL, error)) != NULL);
    assert_string_equal(found->kind, "host");
    assert_string_equal(found->error, "no host tells what CPU it has");
    assert_non_null(((GwCpuBaselineHost *)found->hosts->pdata[0])->error);
    world_free(&world);
}

static void test_bad_requests(void **unused)
{
    World world;
    GError *why = NULL;
    (void)unused;

    open_world(&world, "Haswell", "Haswell");
    assert_null(baseline_of(&world, "a nobody", NULL, &why));
    unit_assert_error(why, GW_ERR_NOT_FOUND, "'nobody'");
    g_clear_error(&why);
    assert_null(baseline_of(&world, "a", "xen", &why));
    unit_assert_error(why, GW_ERR_INVALID, "'xen'");
    g_clear_error(&why);
    /* A group of hosts, and one host alone. */
    g_autoptr(GwCpuBaseline) all = NULL, alone = NULL;
    UNIT_OK((all = baseline_of(&world, GW_GROUP_ROOT, NULL, error)) != NULL);
    assert_int_equal(all->hosts->len, 2);
    assert_int_equal(all->pairs->len, 0);
    UNIT_OK((alone = baseline_of(&world, "b", NULL, error)) != NULL);
    assert_int_equal(alone->hosts->len, 1);
    assert_string_equal(alone->model, "Haswell");
    world_free(&world);
}

static const GwVm *seen(World *world, GwFabric *fabric, const char *uuid)
{
    const GwVm *found = NULL;

    (void)world;
    UNIT_OK((found = gw_fabric_find_vm(fabric, uuid, error)) != NULL);
    return found;
}

static void test_restart_pending(void **unused)
{
    World world;
    g_autoptr(GwRestart) restart = NULL;
    (void)unused;

    open_world(&world, "Skylake-Server", "Haswell");
    g_autoptr(GwFabric) before = gw_engine_fabric(world.engine);
    assert_int_equal(seen(&world, before, UUID(2))->restart_changes->len, 0);
    assert_int_equal(seen(&world, before, UUID(5))->restart_changes->len, 0); /* off */
    assert_int_equal(seen(&world, before, UUID(1))->restart_changes->len, 1);
    UNIT_OK((restart = gw_engine_restart(world.engine, "stale", error)) != NULL);
    const GwRestartChange *change = restart->changes->pdata[0];
    assert_string_equal(change->what, "cpu-model");
    assert_string_equal(change->now, "Skylake-Server");
    assert_string_equal(change->after, "Haswell");
    assert_words(restart->gains, "b");
    assert_words(restart->loses, "");

    /* host-model the other way round: the restart closes the way. */
    g_autoptr(GwRestart) grows = NULL;
    UNIT_OK((grows = gw_engine_restart(world.engine, "grows", error)) != NULL);
    assert_words(grows->gains, "");
    assert_words(grows->loses, "b");
    world_free(&world);
}

static void test_a_start_takes_the_definition(void **unused)
{
    World world;
    g_autoptr(GwVm) started = NULL;
    (void)unused;

    open_world(&world, "Skylake-Server", "Haswell");
    UNIT_OK((started = gw_engine_start_vm(world.engine, "off", error)) != NULL);
    assert_string_equal(started->cpu_model, "Skylake-Server");
    world_run(&world, SECONDS(1));
    g_autoptr(GwFabric) after = gw_engine_fabric(world.engine);
    assert_int_equal(seen(&world, after, UUID(5))->restart_changes->len, 0);
    world_free(&world);
}

/* A list, for which nobody is asked, and the move itself, for which the destination is, agree. */
static void test_what_cannot_move_is_told_before(void **unused)
{
    World world;
    GError *why = NULL;
    g_autoptr(GPtrArray) all = NULL;
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    g_autoptr(GwMoveOptions) options = gw_move_options_new();
    GwMovePlan *refused = NULL;
    (void)unused;

    open_world(&world, "Skylake-Server", "Haswell");
    UNIT_OK((all = gw_engine_candidates(world.engine, "stale", options, FALSE, error)) != NULL);
    const GwCandidate *b = gw_record_find(&gw_candidate_record, all, "host_name", "b");
    assert_false(b->suitable);
    const GwFinding *finding = b->findings->pdata[0];
    assert_string_equal(finding->rule, "cpu-compatible");
    assert_non_null(strstr(finding->remedy, "Restart pending"));

    request->destination = g_strdup("b");
    assert_null(gw_engine_migrate(world.engine, "above", request, "test", &refused, &why));
    unit_assert_error(why, GW_ERR_REFUSED, "it lacks avx512f, clwb, pku");
    gw_move_plan_free(refused);
    g_clear_error(&why);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_baseline),
        cmocka_unit_test(test_what_vms_need),
        cmocka_unit_test(test_nothing_in_common),
        cmocka_unit_test(test_hosts_that_tell_nothing),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_restart_pending),
        cmocka_unit_test(test_a_start_takes_the_definition),
        cmocka_unit_test(test_what_cannot_move_is_told_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
