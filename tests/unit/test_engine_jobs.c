/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine_world.h"

/* Jobs that are over: the picture keeps the newest, the store keeps all. */

#define VM "6d0b6b0e-0000-4000-8000-000000000001"
#define KEPT 1000 /* and so many more before the oldest are forgotten: */
#define SLACK 250

static char *job_id(guint number)
{
    return g_strdup_printf("01H0000000000000000000%04u", number);
}

/* As another controller left it. */
static GwJob *finished_job(guint number, const char *kind)
{
    GwJob *job = gw_job_new();

    job->id = job_id(number);
    job->kind = g_strdup(kind);
    job->title = g_strdup("long over");
    job->state = (int)GW_JOB_DONE;
    job->vm_uuid = g_strdup("99999999-0000-4000-8000-000000000001");
    return job;
}

static void put_jobs(World *world, guint first, guint count, const char *kind)
{
    GwBatch *batch = gw_batch_new();

    for (guint i = 0; i < count; i++) {
        g_autoptr(GwJob) job = finished_job(first + i, kind);
        if (strcmp(kind, GW_JOB_KIND_DRAIN) == 0)
            job->plan = gw_migration_plan_new();
        gw_batch_put(batch, GW_KIND_JOB, job->id, gw_record_to_json(&gw_job_record, job));
    }
    UNIT_OK(gw_store_commit(world->store, batch, error));
    gw_batch_free(batch);
}

/* A world whose store holds a drain, the oldest, and @moves that followed it. */
static void open_with(World *world, guint moves)
{
    json_t *a = world_host_json(0);

    json_object_set_new(a, "vms", json_pack("[o]", world_vm_json(VM, "web1")));
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)),
               json_pack("{s:[o,o]}", "hosts", a, world_host_json(1)));
    world_start(world);
    world_add_host(world, 0);
    world_add_host(world, 1);
    put_jobs(world, 0, 1, GW_JOB_KIND_DRAIN);
    put_jobs(world, 1, moves, GW_JOB_KIND_MIGRATE);
    world_kill(world);
    world_start(world);
    world_run(world, SECONDS(2));
}

static guint count_known(World *world)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    return g_hash_table_size(fabric->jobs);
}

static gboolean is_known(World *world, guint number)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    g_autofree char *id = job_id(number);
    return gw_fabric_find_job(fabric, id, NULL) != NULL;
}

static gboolean count_one(const char *id, json_t *body, gpointer user, GError **error)
{
    (void)id;
    (void)body;
    (void)error;
    ++*(guint *)user;
    return TRUE;
}

static void the_oldest_are_forgotten_at_the_start(void **unused)
{
    World world;
    guint stored = 0;
    (void)unused;

    open_with(&world, KEPT + SLACK + 50);
    assert_int_equal(count_known(&world), KEPT + 1);
    assert_true(is_known(&world, 0)); /* by which VMs find back */
    assert_false(is_known(&world, 1));
    assert_true(is_known(&world, KEPT + SLACK + 50));
    UNIT_OK(gw_store_each(world.store, GW_KIND_JOB, count_one, &stored, error));
    assert_int_equal(stored, KEPT + SLACK + 51);
    world_free(&world);
}

static void move_to(World *world, const char *host)
{
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    g_autoptr(GwJob) job = NULL;

    request->destination = g_strdup(host);
    UNIT_OK((job = gw_engine_migrate(world->engine, VM, request, "tester", NULL, error)) != NULL);
    world_run(world, SECONDS(10));
    g_autoptr(GwJob) over = world_job(world, job->id);
    assert_int_equal(over->state, GW_JOB_DONE);
}

static void the_oldest_are_forgotten_while_it_runs(void **unused)
{
    World world;
    (void)unused;

    open_with(&world, KEPT + SLACK - 4);
    assert_true(is_known(&world, 1)); /* there is room for a few more */
    for (guint i = 0; i < 8; i++)
        move_to(&world, i % 2 == 0 ? "b" : "a");
    assert_in_range(count_known(&world), KEPT + 1, KEPT + 8);
    assert_true(is_known(&world, 0));
    assert_false(is_known(&world, 1));
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_are_forgotten_at_the_start),
        cmocka_unit_test(the_oldest_are_forgotten_while_it_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
