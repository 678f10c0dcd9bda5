/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage_world.h"

GwMoveRequest *storage_request_to(const char *host)
{
    GwMoveRequest *request = gw_move_request_new();

    request->destination = g_strdup(host);
    request->options = gw_move_options_new();
    return request;
}

char *storage_begin(World *world, const char *vm, const GwMoveRequest *request)
{
    GError *error = NULL;
    g_autoptr(GwJob) job = gw_engine_migrate(world->engine, vm, request, "tester", NULL, &error);

    if (job == NULL)
        fail_msg("not begun: %s", error->message);
    return g_strdup(job->id);
}

void storage_plant(World *world, const char *at, const char *what, int percent, int ms)
{
    g_autoptr(GwJson) fault =
        json_pack("{s:s,s:s,s:i,s:i}", "at", at, "do", what, "percent", percent, "ms", ms);
    UNIT_OK(gw_sim_fault(world->sim, fault, error));
}

/* Checks ----------------------------------------------------------------------------------- */

void storage_none_of(char **words, const char *what, const char *when)
{
    if (words[0] != NULL)
        fail_msg("%s: %s: %s", when, what, words[0]);
    g_strfreev(words);
}

void storage_check_witness(World *world, const char *when)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    g_autoptr(GPtrArray) kept = gw_fabric_list_kept(fabric);

    storage_none_of(gw_sim_violations(world->sim), "violated", when);
    storage_none_of(gw_sim_check_disks(world->sim), "wrong", when);
    storage_none_of(gw_sim_leaks(world->sim, kept), "left behind", when);
    assert_int_equal(gw_sim_stale_runs(world->sim), 0);
}

void storage_check_vm(World *world, const char *vm, const char *when)
{
    if (gw_sim_running(world->sim, vm) != 1 || gw_sim_most_running(world->sim, vm) != 1)
        fail_msg("%s: it runs %u times", when, gw_sim_running(world->sim, vm));
    assert_int_equal(gw_sim_definitions(world->sim, vm), 1);
}

gboolean storage_runs_at(World *world, guint host, const char *vm)
{
    g_autofree char *uri = world_uri(host);
    g_autoptr(GwLook) look = gw_sim_look(world->sim, uri, vm);
    return look != NULL && look->state == (int)GW_VM_RUNNING;
}

GwJob *storage_job_in(World *world, const char *id, GwJobState state, const char *when)
{
    GwJob *job = world_job(world, id);

    if (job->state != (int)state)
        fail_msg("%s: the job is %s (%s; %s)", when, gw_enum_word(&gw_job_state_enum, job->state),
                 job->error != NULL ? job->error->message : "no error",
                 job->waiting_for != NULL ? job->waiting_for : "waits for nothing");
    return job;
}

void storage_for_both_ways(void (*test)(void))
{
    for (guint mask = 0; mask <= 3; mask += 3) {
        world_set_agents(mask);
        test();
    }
    world_set_agents(0);
}

/* At every moment -------------------------------------------------------------------------- */

/* Takes @what: what happened then. */
static void is_over(const StorageMoments *moments, World *world, const char *id,
                    gboolean called_off, char *what)
{
    moments->check_over(world, id, called_off, what);
    g_free(what);
    world_free(world);
}

static void cancel_at(const StorageMoments *moments, guint moment)
{
    World world;
    g_autofree char *id = moments->begin(&world);

    world_run(&world, moment * moments->moment_us);
    G_GNUC_UNUSED g_autoptr(GwJob) answer = gw_engine_cancel_job(world.engine, id, NULL);
    is_over(moments, &world, id, TRUE,
            g_strdup_printf("cancelled after %d ms", (int)(moment * moments->moment_us / 1000)));
}

static void kill_at(const StorageMoments *moments, guint moment)
{
    World world;
    g_autofree char *id = moments->begin(&world);

    world_run(&world, moment * moments->moment_us);
    world_kill(&world);
    world_pass(&world, SECONDS(moment % 7));
    world_start(&world);
    is_over(moments, &world, id, FALSE,
            g_strdup_printf("the controller died after %d ms",
                            (int)(moment * moments->moment_us / 1000)));
}

static void cut_host_at(const StorageMoments *moments, guint moment, guint host)
{
    World world;
    g_autofree char *id = moments->begin(&world);
    g_autofree char *uri = world_uri(host);

    world_run(&world, moment * moments->moment_us);
    gw_sim_cut_off(world.sim, uri, 20000);
    is_over(moments, &world, id, FALSE,
            g_strdup_printf("host %u was cut off after %d ms", host,
                            (int)(moment * moments->moment_us / 1000)));
}

static void cut_at(const StorageMoments *moments, guint moment)
{
    cut_host_at(moments, moment, 0);
    cut_host_at(moments, moment, 1);
}

static void at_every_moment(const StorageMoments *moments, guint step,
                            void (*strike)(const StorageMoments *moments, guint moment))
{
    for (guint mask = 0; mask <= 3; mask += 3) {
        world_set_agents(mask);
        for (guint moment = 0; moment < moments->moments; moment += (guint)unit_step(step))
            strike(moments, moment);
    }
    world_set_agents(0);
}

void storage_cancel_at_every_moment(const StorageMoments *moments)
{
    at_every_moment(moments, 1, cancel_at);
}

void storage_kill_at_every_moment(const StorageMoments *moments)
{
    at_every_moment(moments, 1, kill_at);
}

void storage_cut_at_every_moment(const StorageMoments *moments)
{
    at_every_moment(moments, 3, cut_at);
}
