/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trials.h"

/* Random trials: several hosts and VMs, moves, cancels, faults, hosts cut off or stuck, guests that
 * shut down, controllers and agents killed again and again; then peace, and the invariants as a
 * witness outside sees them. Which hosts have an agent is the trial's, from none to all; agents go
 * on committing while the controller is dead. */

#define STRIKES 40
#define TRIALS_DEFAULT 60

/* Hosts that share nothing: every move copies its VM's disk (R13). */
static json_t *lone_host_json(guint index)
{
    json_t *host = world_host_json(index);

    json_object_set_new(json_object_get(host, "facts"), "pools",
                        json_pack("[{s:s,s:s,s:s,s:b}]", "name", "images", "type", "dir",
                                  "target_path", "/images", "active", 1));
    return host;
}

static json_t *fabric_json(GRand *random, gboolean shares)
{
    json_t *hosts = json_array();

    for (guint i = 0; i < TRIAL_HOSTS; i++)
        json_array_append_new(hosts, shares ? world_host_json(i) : lone_host_json(i));
    for (guint i = 0; i < TRIAL_VMS; i++) {
        json_t *host = json_array_get(hosts, (gsize)g_rand_int_range(random, 0, TRIAL_HOSTS));
        g_autofree char *uuid = trial_uuid(i);
        g_autofree char *name = g_strdup_printf("vm%u", i);
        if (json_object_get(host, "vms") == NULL)
            json_object_set_new(host, "vms", json_array());
        json_array_append_new(json_object_get(host, "vms"), world_vm_json(uuid, name));
    }
    return json_pack("{s:o, s:i, s:i}", "hosts", hosts, "link_mibps", 500, "dirty_mibps", 10);
}

static void begin(Trial *trial)
{
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    g_autofree char *vm = trial_uuid(trial_any(trial, TRIAL_VMS));

    request->destination = g_strdup_printf("%c", (char)('a' + trial_any(trial, TRIAL_HOSTS)));
    G_GNUC_UNUSED g_autoptr(GwJob) job =
        gw_engine_migrate(trial->world.engine, vm, request, "tester", NULL, NULL);
}

static void cancel(Trial *trial)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(trial->world.engine);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);

    if (jobs->len == 0)
        return;
    const GwJob *any = jobs->pdata[trial_any(trial, jobs->len)];
    G_GNUC_UNUSED g_autoptr(GwJob) job = gw_engine_cancel_job(trial->world.engine, any->id, NULL);
}

static void plant_fault(Trial *trial)
{
    static const TrialFault more[] = {
        { "switchover", "source-down" },
        { "confirm", "source-down" },
        { "finish", "lose-finish" },
        { "copy", "kill-source" },
        { "confirm", "kill-source" },
        { "copy", "source-agent-dies" },
        { "finish", "source-agent-dies" },
        { "confirm", "source-agent-dies" },
        { "switchover", "destination-agent-dies" },
        { "finish", "destination-agent-dies" },
        { "confirm", "destination-agent-dies" },
        { "copy", "link-cut" },
        { "finish", "link-cut" },
        { "confirm", "link-cut" },
        { "confirm", "lose-notice" },
        { "confirm", "linger" },
    };
    TrialFault fault = trial_any_fault(trial->random, more, G_N_ELEMENTS(more));

    trial->any_may_stop |= strcmp(fault.what, "kill-source") == 0;
    trial_plant(trial, fault, trial_any_ms(trial), -1);
}

static void shut_down(Trial *trial)
{
    guint vm = trial_any(trial, TRIAL_VMS);
    g_autofree char *uuid = trial_uuid(vm);

    trial->may_change[vm] = TRUE;
    gw_sim_shut_down(trial->world.sim, uuid);
}

static void cut_link(Trial *trial, gint64 ms)
{
    guint first = trial_any(trial, TRIAL_HOSTS);
    g_autofree char *one = world_uri(first);
    g_autofree char *other = world_uri((first + 1) % TRIAL_HOSTS);

    gw_sim_cut_link(trial->world.sim, one, other, ms);
}

static void strike(Trial *trial)
{
    g_autofree char *uri = world_uri(trial_any(trial, TRIAL_HOSTS));
    gint64 ms = trial_any_ms(trial);
    guint dice = trial_any(trial, 100);

    if (dice < 45)
        begin(trial);
    else if (dice < 55)
        cancel(trial);
    else if (dice < 68)
        plant_fault(trial);
    else if (dice < 82)
        trial_kill_and_start(trial);
    else if (dice < 86)
        gw_sim_kill_agent(trial->world.sim, uri, ms);
    else if (dice < 89)
        cut_link(trial, ms);
    else if (dice < 90)
        gw_sim_lose_notice(trial->world.sim);
    else if (dice < 94)
        gw_sim_cut_off(trial->world.sim, uri, ms);
    else if (dice < 98)
        gw_sim_stall(trial->world.sim, uri, ms);
    else
        shut_down(trial);
}

/* What the trials came to, so that they are seen to try something. */
typedef struct {
    guint resumes;   /* by agents */
    guint moved;     /* with their disks */
    guint took_back; /* that had made a volume, and failed */
} Tally;

static void count_disk_moves(const GwFabric *fabric, Tally *tally)
{
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);

    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        gboolean copies =
            job->tasks != NULL && job->tasks->len > 0 && job->transfer == (int)GW_TRANSFER_LIVE_VSM;
        tally->moved += copies && job->state == (int)GW_JOB_DONE;
        tally->took_back += copies && job->state != (int)GW_JOB_DONE &&
                            ((GwTask *)job->tasks->pdata[0])->state == (int)GW_TASK_UNDONE;
    }
}

static void run_trial(guint32 seed, gpointer user)
{
    Trial trial;
    World *world = &trial.world;
    Tally *tally = user;

    trial_init(&trial, seed);
    trial_begin(&trial, fabric_json(trial.random, seed / (1 << TRIAL_HOSTS) % 2 == 0));
    for (guint i = 0; i < STRIKES; i++) {
        strike(&trial);
        world_run(world, (gint64)trial_any(&trial, 900) * 1000);
    }
    world_run(world, SECONDS(600));

    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    g_autoptr(GPtrArray) kept = gw_fabric_list_kept(fabric);
    trial_check_jobs(&trial, fabric);
    for (guint i = 0; i < TRIAL_VMS; i++)
        trial_check_vm(&trial, fabric, i, 1);
    trial_check_disks(&trial, kept);
    for (guint i = 0; i < TRIAL_HOSTS; i++) { /* I7 */
        g_autofree char *uri = world_uri(i);
        if (gw_sim_most_moves(world->sim, uri) > GW_LIMIT_DEFAULT)
            fail_msg("seed %u: %u moves at once on host %u", seed,
                     gw_sim_most_moves(world->sim, uri), i);
    }
    tally->resumes += gw_sim_agent_resumes(world->sim);
    count_disk_moves(fabric, tally);
    trial_end(&trial);
}

static void test_random_trials(void **unused)
{
    Tally tally = { 0 };
    guint32 count = trials_run(TRIALS_DEFAULT, run_trial, &tally);
    (void)unused;

    print_message("%u resumed by agents; %u moved with disks, %u took them back\n", tally.resumes,
                  tally.moved, tally.took_back);
    if (count < TRIALS_DEFAULT)
        return; /* they would show nothing */
    assert_true(tally.resumes > count / 10);
    assert_true(tally.moved > count / 3);
    assert_true(tally.took_back > count / 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_random_trials) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
