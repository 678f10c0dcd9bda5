/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine_world.h"

#include "model/job.h"

/* How many jobs that are over a controller keeps: some in the picture, some more in the store, and
 * nothing without a ceiling. */

#define LISTED 1000 /* as of jobs_kept.c */
#define DRAINS 100
#define HISTORY 300

/* @number: the higher, the later it ended; its id is by that, too. */
static GwJob *a_job(guint number, const char *kind, GwJobState state)
{
    GwJob *job = gw_job_new();

    job->id = g_strdup_printf("JOB%08u", number);
    job->kind = g_strdup(kind);
    job->title = g_strdup("A job");
    job->state = (int)state;
    job->created_at = g_strdup("2023-01-01T00:00:00Z");
    job->finished_at = gw_job_state_is_final(state)
                           ? g_strdup_printf("2023-01-02T%02u:%02u:%02uZ", number / 3600,
                                             number / 60 % 60, number % 60)
                           : NULL;
    return job;
}

/* Takes @job. */
static void put(GwBatch *batch, GwJob *job)
{
    gw_batch_put(batch, GW_KIND_JOB, job->id, gw_record_to_json(&gw_job_record, job));
    gw_batch_journal(batch, job->id, 1, "done", "ended", "it is over");
    gw_job_free(job);
}

static gboolean count_one(const char *id, json_t *body, gpointer user, GError **error)
{
    (void)body;
    (void)error;
    g_ptr_array_add(user, g_strdup(id));
    return TRUE;
}

/* Ids, in order. */
static GPtrArray *stored(World *world)
{
    GPtrArray *ids = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;

    assert_true(gw_store_each(world->store, GW_KIND_JOB, count_one, ids, &error));
    return ids;
}

static guint journal_of(World *world, guint number)
{
    g_autofree char *id = g_strdup_printf("JOB%08u", number);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) rows = gw_store_journal(world->store, id, &error);

    assert_non_null(rows);
    return rows->len;
}

static guint listed(World *world)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    return g_hash_table_size(fabric->jobs);
}

/* A controller that has carried out @count moves, and @drains drains before them. */
static void open_world(World *world, guint count, guint drains)
{
    g_autoptr(GError) error = NULL;
    GwBatch *batch = gw_batch_new();

    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)), json_pack("{s:[]}", "hosts"));
    world_start(world);
    for (guint i = 0; i < drains; i++)
        put(batch, a_job(i, GW_JOB_KIND_DRAIN, GW_JOB_DONE));
    for (guint i = drains; i < drains + count; i++)
        put(batch, a_job(i, GW_JOB_KIND_MIGRATE, i % 2 > 0 ? GW_JOB_DONE : GW_JOB_FAILED));
    assert_true(gw_store_commit(world->store, batch, &error));
    gw_batch_free(batch);
}

static void start_again(World *world, gint64 history)
{
    world_kill(world);
    world->job_history = history;
    world_start(world);
    world_run(world, SECONDS(1));
}

static void test_the_store_keeps_the_last(void **unused)
{
    World world;
    (void)unused;

    open_world(&world, 3000, 0);
    start_again(&world, HISTORY);
    assert_int_equal(listed(&world), LISTED);
    g_autoptr(GPtrArray) ids = stored(&world);
    assert_int_equal(ids->len, LISTED + HISTORY);
    assert_string_equal(ids->pdata[0], "JOB00001700"); /* 3000 - 1000 - 300 */
    assert_int_equal(journal_of(&world, 1699), 0);
    assert_int_equal(journal_of(&world, 1700), 1);
    /* Once more: what is there stays. */
    start_again(&world, HISTORY);
    g_autoptr(GPtrArray) again = stored(&world);
    assert_int_equal(again->len, ids->len);
    world_free(&world);
}

static void test_none_beside_those_that_are_listed(void **unused)
{
    World world;
    (void)unused;

    open_world(&world, 2000, 0);
    start_again(&world, -1);
    g_autoptr(GPtrArray) ids = stored(&world);
    assert_int_equal(ids->len, LISTED);
    world_free(&world);
}

static void test_by_default_thousands_stay(void **unused)
{
    World world;
    (void)unused;

    open_world(&world, 3000, 0);
    start_again(&world, 0);
    assert_int_equal(listed(&world), LISTED);
    g_autoptr(GPtrArray) ids = stored(&world);
    assert_int_equal(ids->len, 3000);
    world_free(&world);
}

/* By drains VMs find back, and what is not over is nobody's history, however old. */
static void test_what_is_needed_stays(void **unused)
{
    World world;
    GwBatch *batch = gw_batch_new();
    g_autoptr(GError) error = NULL;
    (void)unused;

    open_world(&world, 2000, 150);
    GwJob *held = a_job(0, GW_JOB_KIND_MIGRATE, GW_JOB_HELD);
    g_free(held->id);
    held->id = g_strdup("AAAA");
    held->undoes = g_strdup("JOB00000160"); /* which ended before thousands of others */
    held->options = gw_move_options_new();
    put(batch, held);
    assert_true(gw_store_commit(world.store, batch, &error));
    gw_batch_free(batch);
    start_again(&world, -1);
    g_autoptr(GPtrArray) ids = stored(&world);
    assert_int_equal(ids->len, LISTED + DRAINS + 2);
    assert_string_equal(ids->pdata[0], "AAAA");
    assert_string_equal(ids->pdata[1], "JOB00000050"); /* the last hundred drains */
    assert_string_equal(ids->pdata[DRAINS + 1], "JOB00000160");
    world_free(&world);
}

/* A plan's job that ended before there was such a count. */
static void test_an_old_plan_is_counted(void **unused)
{
    World world;
    GwBatch *batch = gw_batch_new();
    GwJob *old = a_job(0, GW_JOB_KIND_DRAIN, GW_JOB_DONE);
    GwPlannedMove *move = gw_planned_move_new();
    g_autoptr(GError) error = NULL;
    (void)unused;

    open_world(&world, 1, 0);
    move->vm_uuid = g_strdup("6d0b6b0e-0000-4000-8000-000000000001");
    move->source_host_id = g_strdup("h1");
    move->destination_host_id = g_strdup("h2");
    move->state = GW_PLANNED_DONE;
    old->options = gw_move_options_new();
    old->plan = gw_migration_plan_new();
    old->plan->request = gw_plan_request_new();
    old->plan->moves = gw_record_array(&gw_planned_move_record);
    g_ptr_array_add(old->plan->moves, move);
    put(batch, old);
    assert_true(gw_store_commit(world.store, batch, &error));
    gw_batch_free(batch);
    start_again(&world, 0);
    g_autoptr(GwJob) job = world_job(&world, "JOB00000000");
    assert_non_null(job->plan_progress);
    assert_int_equal(job->plan_progress->done, 1);
    assert_int_equal(job->plan_progress->vms_moved, 1);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_store_keeps_the_last),
        cmocka_unit_test(test_none_beside_those_that_are_listed),
        cmocka_unit_test(test_by_default_thousands_stay),
        cmocka_unit_test(test_what_is_needed_stays),
        cmocka_unit_test(test_an_old_plan_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
