/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan_world.h"

#include <string.h>

/* Random trials of drains and of bringing back (R49): several at once, with moves by hand, pauses,
 * cancels, faults in moves, hosts away, controllers killed; then peace, in which every job ends and
 * every VM runs in exactly one place. */

#define HOSTS 4
#define VMS 9
#define STRIKES 25
#define TRIALS_DEFAULT 60

typedef struct {
    guint drains, done, failed, cancelled, kills;
} Tally;

typedef struct {
    PlanWorld plans;
    GRand *random;
    guint32 seed;
    Tally *tally;
} PlanTrial;

static guint any(PlanTrial *trial, guint count)
{
    return (guint)g_rand_int_range(trial->random, 0, (gint32)count);
}

static char *any_host(PlanTrial *trial)
{
    return g_strdup_printf("%c", (char)('a' + any(trial, HOSTS)));
}

static void apply_any(PlanTrial *trial)
{
    GwEngine *engine = trial->plans.world.engine;
    g_autofree char *one = any_host(trial), *other = any_host(trial);
    g_autofree char *both = g_strdup_printf("%s %s", one, other);
    GwPlanKind kind = any(trial, 3) == 0 ? GW_PLAN_UNDRAIN : GW_PLAN_DRAIN;
    g_autoptr(GwPlanRequest) request = plan_request(kind, any(trial, 4) == 0 ? both : one);
    request->moves_at_once = any(trial, 3);
    request->hosts_at_once = any(trial, 2);
    g_autoptr(GwMigrationPlan) plan = gw_engine_plan(engine, request, NULL);
    if (plan == NULL)
        return;
    if (any(trial, 4) == 0) /* somebody reviews it */
        plan_run(&trial->plans, (gint64)any(trial, 1000) * 1000);
    g_autoptr(GwJob) job = gw_engine_apply_plan(engine, plan, "tester", NULL);
    trial->tally->drains += job != NULL;
}

static void move_any(PlanTrial *trial)
{
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    g_autofree char *vm = trial_uuid(any(trial, VMS));

    request->destination = any_host(trial);
    G_GNUC_UNUSED g_autoptr(GwJob) job =
        gw_engine_migrate(trial->plans.world.engine, vm, request, "tester", NULL, NULL);
}

/* Of any job; or NULL. */
static char *any_job(PlanTrial *trial)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(trial->plans.world.engine);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);

    if (jobs->len == 0)
        return NULL;
    return g_strdup(((GwJob *)jobs->pdata[any(trial, jobs->len)])->id);
}

static void cancel_any(PlanTrial *trial)
{
    g_autofree char *id = any_job(trial);

    if (id == NULL)
        return;
    G_GNUC_UNUSED g_autoptr(GwJob) job = gw_engine_cancel_job(trial->plans.world.engine, id, NULL);
}

static void pause_any(PlanTrial *trial, gboolean on)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(trial->plans.world.engine);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);

    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        if (job->plan == NULL || gw_job_state_is_final((GwJobState)job->state))
            continue;
        G_GNUC_UNUSED g_autoptr(GwJob) changed =
            gw_engine_pause_job(trial->plans.world.engine, job->id, on, NULL);
    }
}

static void open_or_close_host(PlanTrial *trial)
{
    g_autofree char *host = any_host(trial);
    gboolean on = any(trial, 3) == 0;
    G_GNUC_UNUSED g_autoptr(GwHost) changed =
        gw_engine_set_maintenance(trial->plans.world.engine, host, on, NULL);
}

static void plant_fault(PlanTrial *trial)
{
    TrialFault fault = trial_any_fault(trial->random, NULL, 0);
    g_autoptr(GwJson) json = json_pack("{s:s,s:s,s:i}", "at", fault.at, "do", fault.what, "ms",
                                       (int)any(trial, 30000) + 100);

    UNIT_OK(gw_sim_fault(trial->plans.world.sim, json, error));
}

static void kill_and_start(PlanTrial *trial)
{
    World *world = &trial->plans.world;

    world_kill(world);
    world_pass(world, (gint64)any(trial, 5000) * 1000);
    world_start(world);
    trial->tally->kills++;
}

static void strike(PlanTrial *trial)
{
    g_autofree char *uri = world_uri(any(trial, HOSTS));
    gint64 ms = any(trial, 30000) + 100;
    guint dice = any(trial, 100);

    if (dice < 35)
        apply_any(trial);
    else if (dice < 42)
        move_any(trial);
    else if (dice < 48)
        cancel_any(trial);
    else if (dice < 55)
        pause_any(trial, dice % 2 == 0);
    else if (dice < 60)
        open_or_close_host(trial);
    else if (dice < 72)
        plant_fault(trial);
    else if (dice < 88)
        kill_and_start(trial);
    else if (dice < 94)
        gw_sim_cut_off(trial->plans.world.sim, uri, ms);
    else
        gw_sim_stall(trial->plans.world.sim, uri, ms);
}

static void check_jobs(PlanTrial *trial, const GwFabric *fabric)
{
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);

    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        const char *state = gw_enum_word(&gw_job_state_enum, job->state);
        if (!gw_job_state_is_final((GwJobState)job->state))
            fail_msg("seed %u: '%s' is still %s: %s; waiting for %s", trial->seed, job->title,
                     state, job->progress != NULL ? job->progress->note : NULL, job->waiting_for);
        if (job->state != (int)GW_JOB_DONE && job->error == NULL)
            fail_msg("seed %u: '%s' is %s and does not say why", trial->seed, job->title, state);
        if (job->plan == NULL)
            continue;
        trial->tally->done += job->state == (int)GW_JOB_DONE;
        trial->tally->failed += job->state == (int)GW_JOB_FAILED;
        trial->tally->cancelled += job->state == (int)GW_JOB_CANCELLED;
        if (plan_count(job, GW_PLANNED_RUNNING) > 0)
            fail_msg("seed %u: '%s' is over and still moves something", trial->seed, job->title);
        if (job->state == (int)GW_JOB_DONE && plan_count(job, GW_PLANNED_WAITING) > 0)
            fail_msg("seed %u: '%s' is done and has moves left", trial->seed, job->title);
        if (job->state == (int)GW_JOB_DONE && job->progress->percent != 100)
            fail_msg("seed %u: '%s' is done by %d %%", trial->seed, job->title,
                     (int)job->progress->percent);
    }
}

static void run_trial(guint32 seed, gpointer user)
{
    PlanTrial trial = { .random = g_rand_new_with_seed(seed), .seed = seed, .tally = user };
    char places[VMS + 1] = { 0 };

    world_set_agents(seed % (1 << HOSTS));
    for (guint i = 0; i < VMS; i++)
        places[i] = (char)('a' + any(&trial, HOSTS));
    plan_open(&trial.plans, plan_fabric(HOSTS, places), HOSTS, VMS);
    for (guint i = 0; i < STRIKES; i++) {
        strike(&trial);
        plan_run(&trial.plans, (gint64)any(&trial, 1500) * 1000);
    }
    world_run(&trial.plans.world, SECONDS(90)); /* what waits may go on */
    pause_any(&trial, FALSE);
    world_run(&trial.plans.world, SECONDS(900));

    g_autoptr(GwFabric) fabric = gw_engine_fabric(trial.plans.world.engine);
    check_jobs(&trial, fabric);
    for (guint i = 0; i < VMS; i++)
        plan_where(&trial.plans, i);
    plan_check_vms(&trial.plans);
    plan_close(&trial.plans);
    g_rand_free(trial.random);
}

static void test_random_drains(void **unused)
{
    Tally tally = { 0 };
    guint32 count = trials_run(TRIALS_DEFAULT, run_trial, &tally);
    (void)unused;

    print_message("%u plans: %u done, %u failed, %u cancelled; %u kills\n", tally.drains,
                  tally.done, tally.failed, tally.cancelled, tally.kills);
    if (count < TRIALS_DEFAULT)
        return; /* they would show nothing */
    assert_true(tally.done > count);
    assert_true(tally.failed > 0);
    assert_true(tally.cancelled > 0);
    assert_true(tally.kills > count);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_random_drains) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
