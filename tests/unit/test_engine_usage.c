/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine_world.h"

#include <string.h>

#include "base/error.h"

/* What hosts and VMs use is read from time to time, what a VM dirties when somebody wants to know
 * what its move would be, and a job keeps what was predicted of it beside what came of it. */

#define VM "6d0b6b0e-0000-4000-8000-000000000001"
#define MIB 1048576

static json_t *fabric_json(gboolean with_usage)
{
    json_t *a = world_host_json(0);
    json_t *vm = world_vm_json(VM, "web1");

    if (with_usage) {
        json_object_set_new(vm, "usage",
                            json_pack("{s:i, s:i, s:i}", "cpu_permille", 500, "memory_used_kib",
                                      131072, "dirty_bps", 30 * MIB));
        json_object_set_new(json_object_get(a, "facts"), "usage",
                            json_pack("{s:i}", "cpu_permille", 250));
    }
    json_object_set_new(a, "vms", json_pack("[o]", vm));
    return json_pack("{s:[o,o], s:i}", "hosts", a, world_host_json(1), "link_mibps", 100);
}

static void open_world(World *world, gboolean with_usage)
{
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)), fabric_json(with_usage));
    world_start(world);
    world_add_host(world, 0);
    world_add_host(world, 1);
}

static const GwVm *vm_of(const GwFabric *fabric)
{
    const GwHost *host = gw_fabric_find_host(fabric, "a");
    return gw_fabric_vm(fabric, host->id, VM);
}

static void usage_is_read_and_shown(void **unused)
{
    World world;

    open_world(&world, TRUE);
    world_run(&world, SECONDS(5));
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    const GwVm *vm = vm_of(fabric);
    assert_non_null(vm->usage);
    assert_int_equal(vm->usage->cpu_permille, 500);
    assert_int_equal(vm->usage->memory_used_kib, 131072);
    assert_int_equal(vm->usage->dirty_bps, -1); /* nobody asked for it */
    assert_non_null(vm->usage->sampled_at);
    const GwHost *host = gw_fabric_find_host(fabric, "a");
    assert_int_equal(host->facts->usage->cpu_permille, 250);
    assert_null(gw_fabric_find_host(fabric, "b")->facts->usage);
    world_free(&world);
}

/* A thousand hosts must stay idle: what does not change makes no picture. */
static void nothing_new_makes_no_picture(void **unused)
{
    World world;

    open_world(&world, TRUE);
    world_run(&world, SECONDS(200));
    g_autoptr(GwFabric) before = gw_engine_fabric(world.engine);
    world_run(&world, SECONDS(3600));
    g_autoptr(GwFabric) after = gw_engine_fabric(world.engine);
    assert_true(before == after);
    world_free(&world);
}

static GwMovePlan *plan(World *world)
{
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    g_autoptr(GError) error = NULL;

    request->destination = g_strdup("b");
    GwMovePlan *made = gw_engine_plan_move(world->engine, "web1", request, &error);
    if (error != NULL)
        fail_msg("%s", error->message);
    return made;
}

static void a_plan_samples_what_the_vm_dirties(void **unused)
{
    World world;

    open_world(&world, TRUE);
    g_autoptr(GwMovePlan) made = plan(&world);
    const GwPrediction *said = made->candidate->prediction;
    assert_non_null(said);
    assert_true(said->dirty_bps >= 30 * MIB);
    assert_int_equal(said->converges, GW_CONVERGES_YES);
    assert_true(said->total_ms->low < said->total_ms->high);
    assert_true(said->memory_bytes < 131072 * 1024);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    g_autofree char *at = g_strdup(vm_of(fabric)->usage->dirty_sampled_at);
    assert_int_equal(vm_of(fabric)->usage->dirty_bps, 30 * MIB);

    world_run(&world, SECONDS(30)); /* fresh enough */
    G_GNUC_UNUSED g_autoptr(GwMovePlan) again = plan(&world);
    g_autoptr(GwFabric) same = gw_engine_fabric(world.engine);
    assert_string_equal(vm_of(same)->usage->dirty_sampled_at, at);
    world_run(&world, SECONDS(60));
    G_GNUC_UNUSED g_autoptr(GwMovePlan) later = plan(&world);
    g_autoptr(GwFabric) anew = gw_engine_fabric(world.engine);
    assert_string_not_equal(vm_of(anew)->usage->dirty_sampled_at, at);
    world_free(&world);
}

/* A host that does not answer costs the plan its sample, and no more. */
static void a_sample_that_fails_is_unknown(void **unused)
{
    static const char *const at[] = { "dirty-start", "dirty-read" };

    for (guint i = 0; i < G_N_ELEMENTS(at); i++) {
        World world;
        json_t *json = fabric_json(TRUE);
        json_object_set_new(json, "faults", json_pack("[{s:s,s:s}]", "at", at[i], "do", "fail"));
        world_make(&world, gw_clock_new_virtual(SECONDS(1700000000)), json);
        world_start(&world);
        world_add_host(&world, 0);
        world_add_host(&world, 1);
        g_autoptr(GwMovePlan) made = plan(&world);
        assert_int_equal(made->candidate->prediction->dirty_bps, -1);
        assert_int_equal(made->candidate->prediction->converges, GW_CONVERGES_UNKNOWN);
        world_free(&world);
    }
}

static char *move_vm(World *world, const char *vm)
{
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    g_autoptr(GError) error = NULL;

    request->destination = g_strdup("b");
    g_autoptr(GwJob) job = gw_engine_migrate(world->engine, vm, request, "tester", NULL, &error);
    if (error != NULL)
        fail_msg("%s", error->message);
    return g_strdup(job->id);
}

static char *move(World *world)
{
    return move_vm(world, "web1");
}

static void a_job_keeps_what_was_predicted_of_it(void **unused)
{
    World world;

    open_world(&world, TRUE);
    world_run(&world, SECONDS(5));
    g_autofree char *id = move(&world);
    world_run(&world, SECONDS(60));
    world_kill(&world); /* it is durable */
    world_start(&world);
    world_run(&world, SECONDS(5));
    g_autoptr(GwJob) job = world_job(&world, id);
    assert_int_equal(job->state, GW_JOB_DONE);
    assert_non_null(job->prediction);
    assert_int_equal(job->prediction->samples, 0);
    assert_true(job->prediction->total_ms->likely > 0);
    assert_true(job->prediction->bytes->likely > 0);
    assert_true(job->result->total_ms > 0);
    world_free(&world);
}

/* What is left is the prediction first, and what the copy shows at its end. */
static void a_job_says_what_is_left(void **unused)
{
    World world;
    guint told = 0;

    open_world(&world, TRUE);
    world_run(&world, SECONDS(5));
    g_autofree char *id = move(&world);
    for (guint i = 0; i < 600; i++) {
        world_run(&world, G_USEC_PER_SEC / 10);
        g_autoptr(GwJob) job = world_job(&world, id);
        if (job->state == (int)GW_JOB_COPYING) {
            gint64 all = job->prediction->total_ms->likely;
            assert_in_range(job->progress->eta_ms, 0, 2 * all);
            if (told++ == 0)
                assert_in_range(job->progress->eta_ms, all / 2, all);
        }
    }
    assert_true(told > 5);
    g_autoptr(GwJob) done = world_job(&world, id);
    assert_int_equal(done->state, GW_JOB_DONE);
    assert_int_equal(done->progress->eta_ms, 0);
    world_free(&world);
}

/* With another VM at the same host, and a slot for one. */
static void open_world_of_two(World *world)
{
    json_t *json = fabric_json(TRUE);
    json_t *a = json_array_get(json_object_get(json, "hosts"), 0);
    json_t *other = world_vm_json("6d0b6b0e-0000-4000-8000-000000000002", "web2");

    json_object_set_new(other, "memory_kib", json_integer(4194304));
    json_object_set_new(other, "max_memory_kib", json_integer(4194304));
    json_array_append_new(json_object_get(a, "vms"), other);
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)), json);
    world_start(world);
    world_add_host(world, 0);
    world_add_host(world, 1);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    g_autoptr(GwHost) host = gw_host_copy(gw_fabric_find_host(fabric, "a"));
    host->live_limit = 1;
    g_autoptr(GwHost) changed = world_change_host(world->engine, host, NULL);
    assert_non_null(changed);
    world_run(world, SECONDS(5));
}

/* Whether it waits for a slot or begins at once: what its VM dirties has been seen. */
static void a_move_is_sampled_before_it_begins(void **unused)
{
    for (guint waits = 0; waits < 2; waits++) {
        World world;
        open_world_of_two(&world);
        G_GNUC_UNUSED g_autofree char *first = waits == 1 ? move_vm(&world, "web2") : NULL;
        world_run(&world, SECONDS(1));
        g_autofree char *id = move(&world);
        world_run(&world, SECONDS(1));
        g_autoptr(GwJob) queued = world_job(&world, id);
        assert_int_equal(queued->state == (int)GW_JOB_QUEUED, waits);
        world_run(&world, SECONDS(300));
        g_autoptr(GwJob) job = world_job(&world, id);
        assert_int_equal(job->state, GW_JOB_DONE);
        assert_true(job->prediction->dirty_bps >= 30 * MIB);
        world_free(&world);
    }
}

/* Two hosts, of which this question is answered after a minute. */
static void open_slow(World *world, const char *at)
{
    json_t *json = fabric_json(TRUE);

    json_object_set_new(json, "faults",
                        json_pack("[{s:s,s:s,s:i}]", "at", at, "do", "slow", "ms", 60000));
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)), json);
    world_start(world);
    world_add_host(world, 0);
    world_add_host(world, 1);
    world_run(world, SECONDS(5));
}

/* A host that says nothing of its VM costs the move the sample's second, and half of another. */
static void a_move_waits_for_no_late_sample(void **unused)
{
    static const char *const at[] = { "dirty-start", "dirty-read" };

    for (guint i = 0; i < G_N_ELEMENTS(at); i++) {
        World world;
        open_slow(&world, at[i]);
        g_autofree char *id = move(&world);
        world_run(&world, SECONDS(1));
        g_autoptr(GwJob) waiting = world_job(&world, id);
        assert_int_equal(waiting->state, GW_JOB_CHECKING);
        world_run(&world, SECONDS(1));
        g_autoptr(GwJob) begun = world_job(&world, id);
        assert_int_equal(begun->state, GW_JOB_COPYING);
        assert_int_equal(begun->prediction->dirty_bps, -1);
        world_run(&world, SECONDS(300));
        g_autoptr(GwJob) job = world_job(&world, id);
        assert_int_equal(job->state, GW_JOB_DONE);
        world_free(&world);
    }
}

/* While it waits for the sample nothing has begun, and nothing begins afterwards. */
static void a_move_is_cancelled_while_it_is_sampled(void **unused)
{
    World world;
    g_autoptr(GError) error = NULL;

    open_slow(&world, "dirty-start");
    g_autofree char *id = move(&world);
    G_GNUC_UNUSED g_autoptr(GwJob) said = gw_engine_cancel_job(world.engine, id, &error);
    assert_null(error);
    world_run(&world, SECONDS(60));
    g_autoptr(GwJob) job = world_job(&world, id);
    assert_int_equal(job->state, GW_JOB_CANCELLED);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    assert_string_equal(vm_of(fabric)->host_id, gw_fabric_find_host(fabric, "a")->id);
    world_free(&world);
}

/* There and back: the second is told by the first. The VM's figures go with it. */
static void the_next_move_has_learned(void **unused)
{
    World world;

    open_world(&world, TRUE);
    world_run(&world, SECONDS(5));
    g_autofree char *id = move(&world);
    world_run(&world, SECONDS(60));
    g_autoptr(GwMoveRequest) back = gw_move_request_new();
    g_autoptr(GError) error = NULL;
    back->destination = g_strdup("a");
    g_autoptr(GwMovePlan) made = gw_engine_plan_move(world.engine, "web1", back, &error);
    assert_null(error);
    g_autoptr(GwJob) job = world_job(&world, id);
    assert_int_equal(job->state, GW_JOB_DONE);
    assert_int_equal(made->candidate->prediction->samples, 1);
    assert_int_equal(made->candidate->prediction->memory_bytes, job->prediction->memory_bytes);
    world_free(&world);
}

static void candidates_tell_it_without_waiting(void **unused)
{
    World world;
    g_autoptr(GError) error = NULL;

    open_world(&world, TRUE);
    world_run(&world, SECONDS(5));
    gint64 before = gw_clock_now_us(world.clock);
    g_autoptr(GPtrArray) first = gw_engine_candidates(world.engine, "web1", NULL, FALSE, &error);
    assert_null(error);
    assert_int_equal(gw_clock_now_us(world.clock), before);
    const GwCandidate *best = first->pdata[0];
    assert_non_null(best->prediction);
    assert_int_equal(best->prediction->dirty_bps, -1);
    for (guint i = 0; i < first->len; i++) {
        const GwCandidate *candidate = first->pdata[i];
        assert_true((candidate->prediction != NULL) == candidate->suitable);
    }
    world_run(&world, SECONDS(5)); /* it was sampled for who asks next */
    g_autoptr(GPtrArray) next = gw_engine_candidates(world.engine, "web1", NULL, FALSE, &error);
    assert_true(((const GwCandidate *)next->pdata[0])->prediction->dirty_bps > 0);
    world_free(&world);
}

#define MANY 7

/* With as many VMs at a, which dirty memory all the time. */
static void open_many(World *world)
{
    json_t *json = fabric_json(TRUE);
    json_t *a = json_array_get(json_object_get(json, "hosts"), 0);

    for (guint i = 1; i < MANY; i++) {
        g_autofree char *uuid = g_strdup_printf("6d0b6b0e-0000-4000-8000-0000000001%02u", i);
        g_autofree char *name = g_strdup_printf("many%u", i);
        json_t *vm = world_vm_json(uuid, name);
        json_object_set_new(vm, "usage", json_pack("{s:i}", "dirty_bps", 30 * MIB));
        json_array_append_new(json_object_get(a, "vms"), vm);
    }
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)), json);
    world_start(world);
    world_add_host(world, 0);
    world_add_host(world, 1);
    world_run(world, SECONDS(5));
}

static void plan_drain_of_a(World *world)
{
    g_autoptr(GwPlanRequest) request = gw_plan_request_new();
    request->kind = (int)GW_PLAN_DRAIN;
    request->hosts = g_strsplit("a", ",", 0);
    gint64 before = gw_clock_now_us(world->clock);
    g_autoptr(GwMigrationPlan) made = NULL;
    UNIT_OK((made = gw_engine_plan(world->engine, request, error)) != NULL);
    assert_int_equal(made->moves->len, MANY);
    assert_int_equal(gw_clock_now_us(world->clock), before);
}

/* A plan of many waits for no host either, and has its VMs sampled as there is room for it: one at
 * a time at one host. */
static void a_plan_of_many_has_its_vms_sampled(void **unused)
{
    World world;

    open_many(&world);
    plan_drain_of_a(&world);
    world_run(&world, SECONDS(30));
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    g_autoptr(GPtrArray) vms = gw_fabric_list_vms(fabric, gw_fabric_find_host(fabric, "a")->id);
    assert_int_equal(vms->len, MANY);
    for (guint i = 0; i < vms->len; i++) {
        const GwVm *vm = vms->pdata[i];
        assert_non_null(vm->usage);
        assert_non_null(vm->usage->dirty_sampled_at);
    }
    world_free(&world);
}

/* What is sampled for who asks next leaves room for a move that begins meanwhile. */
static void a_move_is_sampled_beside_a_plan_of_many(void **unused)
{
    World world;

    open_many(&world);
    plan_drain_of_a(&world);
    world_run(&world, SECONDS(1) / 5);
    g_autofree char *id = move_vm(&world, "many6");
    world_run(&world, SECONDS(300));
    g_autoptr(GwJob) job = world_job(&world, id);
    assert_int_equal(job->state, GW_JOB_DONE);
    assert_true(job->prediction->dirty_bps >= 30 * MIB);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_is_read_and_shown),
        cmocka_unit_test(nothing_new_makes_no_picture),
        cmocka_unit_test(a_plan_samples_what_the_vm_dirties),
        cmocka_unit_test(a_sample_that_fails_is_unknown),
        cmocka_unit_test(a_job_keeps_what_was_predicted_of_it),
        cmocka_unit_test(a_job_says_what_is_left),
        cmocka_unit_test(a_move_is_sampled_before_it_begins),
        cmocka_unit_test(a_move_waits_for_no_late_sample),
        cmocka_unit_test(a_move_is_cancelled_while_it_is_sampled),
        cmocka_unit_test(the_next_move_has_learned),
        cmocka_unit_test(candidates_tell_it_without_waiting),
        cmocka_unit_test(a_plan_of_many_has_its_vms_sampled),
        cmocka_unit_test(a_move_is_sampled_beside_a_plan_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
