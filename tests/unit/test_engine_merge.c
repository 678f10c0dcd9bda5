/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine_world.h"

#include <string.h>

/* R31: a move that is to wait for a merge, over hosts whose answers are made to tell of one. */

#define VM "6d0b6b0e-0000-4000-8000-000000000001"

typedef struct {
    GwHyper hyper;
    GwHyper *inner;
} Merging;

/* What the hosts say from now on. */
static gboolean merge_runs;
static int merge_percent;

static void reply(GwReply *answer, gpointer user)
{
    Merging *merging = user;

    for (guint i = 0; answer->vms != NULL && i < answer->vms->len; i++) {
        const GwVm *vm = answer->vms->pdata[i];
        for (guint j = 0; merge_runs && vm->disks != NULL && j < vm->disks->len; j++) {
            GwDisk *disk = vm->disks->pdata[j];
            disk->block_job = TRUE;
            g_free(disk->block_job_kind);
            disk->block_job_kind = g_strdup("active-commit");
        }
    }
    merging->hyper.sink.reply(answer, merging->hyper.sink.user);
}

static void event(GwHyperEvent *news, gpointer user)
{
    Merging *merging = user;
    merging->hyper.sink.event(news, merging->hyper.sink.user);
}

static void submit(GwHyper *hyper, GwRequest *request)
{
    Merging *merging = (Merging *)hyper;

    if (request->op == GW_OP_BLOCK_PROGRESS) {
        GwReply *answer = gw_reply_new(request->id);
        answer->progress = gw_progress_new();
        answer->progress->percent = merge_percent;
        gw_request_free(request);
        hyper->sink.reply(answer, hyper->sink.user);
        return;
    }
    gw_hyper_submit(merging->inner, request);
}

static void close_hyper(GwHyper *hyper)
{
    Merging *merging = (Merging *)hyper;
    gw_hyper_close(merging->inner);
    g_free(merging);
}

static gint64 next_us(GwHyper *hyper)
{
    GwHyper *inner = ((Merging *)hyper)->inner;
    return inner->driver->next_us(inner);
}

static void run(GwHyper *hyper, gint64 now_us)
{
    GwHyper *inner = ((Merging *)hyper)->inner;
    inner->driver->run(inner, now_us);
}

static const GwHyperDriver merging_driver = {
    .name = "merging",
    .submit = submit,
    .close = close_hyper,
    .next_us = next_us,
    .run = run,
};

static GwHyper *open_merging(GwHyperSink sink, gpointer user, GError **error)
{
    World *world = user;
    Merging *merging = g_new0(Merging, 1);

    (void)error;
    merging->hyper.driver = &merging_driver;
    merging->hyper.sink = sink;
    merging->inner = gw_sim_attach(world->sim, (GwHyperSink){ reply, event, merging });
    return &merging->hyper;
}

static void open_world(World *world)
{
    json_t *hosts = json_pack("[o,o]", world_host_json(0), world_host_json(1));

    json_object_set_new(json_array_get(hosts, 0), "vms",
                        json_pack("[o]", world_vm_json(VM, "web1")));
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)),
               json_pack("{s:o}", "hosts", hosts));
    world->open_hyper = open_merging;
    world_start(world);
    for (guint i = 0; i < 2; i++)
        world_add_host(world, i);
}

static GwJob *begin(World *world, gboolean wait, GError **error)
{
    g_autoptr(GwMoveRequest) request = gw_move_request_new();

    request->destination = g_strdup("b");
    request->options = gw_move_options_new();
    request->options->wait_for_merge = wait;
    return gw_engine_migrate(world->engine, VM, request, "tester", NULL, error);
}

static void assert_waits(World *world, const char *id, const char *for_what)
{
    g_autoptr(GwJob) job = world_job(world, id);

    assert_int_equal(job->state, GW_JOB_QUEUED);
    assert_string_equal(job->waiting_for, for_what);
}

static void test_a_move_waits_for_a_merge(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    merge_runs = TRUE;
    merge_percent = 43;
    open_world(&world);
    assert_null(begin(&world, FALSE, &error));
    unit_assert_error(error, GW_ERR_REFUSED, "vda");
    g_clear_error(&error);

    g_autoptr(GwJob) begun = begin(&world, TRUE, &error);
    assert_null(error);
    world_run(&world, SECONDS(1));
    assert_waits(&world, begun->id, "a merge on vda");
    world_run(&world, SECONDS(5));
    assert_waits(&world, begun->id, "a merge on vda, 43 %");
    merge_percent = 90;
    world_run(&world, SECONDS(60));
    assert_waits(&world, begun->id, "a merge on vda, 90 %");
    world_kill(&world);
    world_start(&world);
    world_run(&world, SECONDS(10));
    assert_waits(&world, begun->id, "a merge on vda, 90 %");

    merge_runs = FALSE;
    world_run(&world, SECONDS(60));
    g_autoptr(GwJob) done = world_job(&world, begun->id);
    assert_int_equal(done->state, GW_JOB_DONE);
    world_free(&world);
}

static void test_a_move_that_waits_can_be_cancelled(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    merge_runs = TRUE;
    open_world(&world);
    g_autoptr(GwJob) begun = begin(&world, TRUE, &error);
    assert_null(error);
    world_run(&world, SECONDS(10));
    g_autoptr(GwJob) cancelled = gw_engine_cancel_job(world.engine, begun->id, &error);
    assert_null(error);
    assert_int_equal(cancelled->state, GW_JOB_CANCELLED);
    world_run(&world, SECONDS(10));
    merge_runs = FALSE;
    world_free(&world);
}

/* It begins when the queue has let the move go, and preflight asks for the VM as it is. */
static void test_a_merge_that_begins_late_is_waited_for(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    merge_runs = FALSE;
    open_world(&world);
    g_autoptr(GwJob) begun = begin(&world, TRUE, &error);
    assert_null(error);
    merge_runs = TRUE;
    world_run(&world, SECONDS(2));
    g_autoptr(GwJob) waits = world_job(&world, begun->id);
    assert_int_equal(waits->state, GW_JOB_QUEUED);
    assert_non_null(strstr(waits->waiting_for, "a merge on vda"));
    const GwJobStep *last = waits->steps->pdata[waits->steps->len - 1];
    assert_string_equal(last->event, "merge running");
    merge_runs = FALSE;
    world_run(&world, SECONDS(60));
    g_autoptr(GwJob) done = world_job(&world, begun->id);
    assert_int_equal(done->state, GW_JOB_DONE);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_move_waits_for_a_merge),
        cmocka_unit_test(test_a_move_that_waits_can_be_cancelled),
        cmocka_unit_test(test_a_merge_that_begins_late_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
