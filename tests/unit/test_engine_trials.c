/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine_world.h"

#include <stdlib.h>

#include "base/error.h"

/* Random trials: several hosts and VMs, moves, cancels, faults, hosts cut off or stuck, guests that
 * shut down, controllers and agents killed again and again; then peace, and the invariants as a
 * witness outside sees them. Which hosts have an agent is the trial's, from none to all; agents go
 * on committing while the controller is dead. A trial is its seed. GODWIT_TRIALS: how many;
 * GODWIT_SEED: the first. */

#define HOSTS 3
#define VMS 9
#define STRIKES 40
#define TRIALS_DEFAULT 60
#define DOWN_MS_MAX 45000

typedef struct {
    World world;
    GRand *random;
    guint32 seed;
    gboolean may_stop[VMS]; /* its guest was shut down, or a fault may have killed it */
    gboolean killed_source; /* a fault kills whichever VM comes by */
} Trial;

static char *uuid_of(guint vm)
{
    return g_strdup_printf("6d0b6b0e-0000-4000-8000-%012u", vm + 1);
}

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

    for (guint i = 0; i < HOSTS; i++)
        json_array_append_new(hosts, shares ? world_host_json(i) : lone_host_json(i));
    for (guint i = 0; i < VMS; i++) {
        json_t *host = json_array_get(hosts, (gsize)g_rand_int_range(random, 0, HOSTS));
        g_autofree char *uuid = uuid_of(i);
        g_autofree char *name = g_strdup_printf("vm%u", i);
        if (json_object_get(host, "vms") == NULL)
            json_object_set_new(host, "vms", json_array());
        json_array_append_new(json_object_get(host, "vms"), world_vm_json(uuid, name));
    }
    return json_pack("{s:o, s:i, s:i}", "hosts", hosts, "link_mibps", 500, "dirty_mibps", 10);
}

static void begin(Trial *trial)
{
    GRand *random = trial->random;
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    g_autofree char *vm = uuid_of((guint)g_rand_int_range(random, 0, VMS));

    request->destination = g_strdup_printf("%c", (char)('a' + g_rand_int_range(random, 0, HOSTS)));
    G_GNUC_UNUSED g_autoptr(GwJob) job =
        gw_engine_migrate(trial->world.engine, vm, request, "tester", NULL, NULL);
}

static void cancel(Trial *trial)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(trial->world.engine);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);

    if (jobs->len == 0)
        return;
    const GwJob *any = jobs->pdata[g_rand_int_range(trial->random, 0, (gint32)jobs->len)];
    G_GNUC_UNUSED g_autoptr(GwJob) job = gw_engine_cancel_job(trial->world.engine, any->id, NULL);
}

static void plant_fault(Trial *trial)
{
    static const struct {
        const char *at, *what;
    } faults[] = {
        { "setup", "fail" },
        { "copy", "fail" },
        { "switchover", "fail" },
        { "finish", "fail" },
        { "copy", "kill-destination" },
        { "finish", "kill-destination" },
        { "copy", "source-down" },
        { "switchover", "source-down" },
        { "finish", "source-down" },
        { "confirm", "source-down" },
        { "copy", "destination-down" },
        { "finish", "destination-down" },
        { "finish", "lose-finish" },
        { "finish", "lose-reply" },
        { "confirm", "lose-reply" },
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
    guint which = (guint)g_rand_int_range(trial->random, 0, G_N_ELEMENTS(faults));
    gint64 ms = g_rand_int_range(trial->random, 100, DOWN_MS_MAX);
    g_autoptr(GwJson) fault = json_pack("{s:s,s:s,s:I}", "at", faults[which].at, "do",
                                        faults[which].what, "ms", (json_int_t)ms);

    trial->killed_source |= strcmp(faults[which].what, "kill-source") == 0;
    assert_true(gw_sim_fault(trial->world.sim, fault, NULL));
}

static void kill_and_start(Trial *trial)
{
    World *world = &trial->world;
    gint64 span = g_rand_int_range(trial->random, 0, 5000) * 1000;

    world_kill(world);
    world_pass(world, span);
    world_start(world);
}

static void shut_down(Trial *trial)
{
    guint vm = (guint)g_rand_int_range(trial->random, 0, VMS);
    g_autofree char *uuid = uuid_of(vm);

    trial->may_stop[vm] = TRUE;
    gw_sim_shut_down(trial->world.sim, uuid);
}

static void cut_link(Trial *trial, gint64 ms)
{
    guint first = (guint)g_rand_int_range(trial->random, 0, HOSTS);
    g_autofree char *one = world_uri(first);
    g_autofree char *other = world_uri((first + 1) % HOSTS);

    gw_sim_cut_link(trial->world.sim, one, other, ms);
}

static void strike(Trial *trial)
{
    g_autofree char *uri = world_uri((guint)g_rand_int_range(trial->random, 0, HOSTS));
    gint64 ms = g_rand_int_range(trial->random, 100, DOWN_MS_MAX);
    int dice = g_rand_int_range(trial->random, 0, 100);

    if (dice < 45)
        begin(trial);
    else if (dice < 55)
        cancel(trial);
    else if (dice < 68)
        plant_fault(trial);
    else if (dice < 82)
        kill_and_start(trial);
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

/* Checks ----------------------------------------------------------------------------------- */

static void check_jobs(Trial *trial, const GwFabric *fabric)
{
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);

    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        const char *state = gw_enum_word(&gw_job_state_enum, job->state);
        if (!gw_job_state_is_final(job->state))
            fail_msg("seed %u: '%s' is still %s: %s", trial->seed, job->title, state,
                     job->waiting_for);
        if (job->state != GW_JOB_DONE && job->error == NULL)
            fail_msg("seed %u: '%s' is %s and does not say why", trial->seed, job->title, state);
    }
}

/* I1, I2, and that nothing of a move is left behind. */
static void check_vm(Trial *trial, const GwFabric *fabric, guint vm)
{
    g_autofree char *uuid = uuid_of(vm);
    GwSim *sim = trial->world.sim;
    gboolean may_stop = trial->may_stop[vm] || trial->killed_source;
    guint runs = gw_sim_running(sim, uuid), listed = 0;

    if (gw_sim_most_running(sim, uuid) > 1)
        fail_msg("seed %u: vm%u ran twice", trial->seed, vm);
    if (gw_sim_definitions(sim, uuid) != 1)
        fail_msg("seed %u: vm%u: %u definitions", trial->seed, vm, gw_sim_definitions(sim, uuid));
    if (runs > 1 || (runs == 0 && !may_stop))
        fail_msg("seed %u: vm%u runs %u times", trial->seed, vm, runs);
    for (guint i = 0; i < HOSTS; i++) {
        g_autofree char *uri = world_uri(i);
        g_autofree char *name = g_strdup_printf("%c", (char)('a' + i));
        g_autoptr(GwLook) look = gw_sim_look(sim, uri, uuid);
        const GwVm *known = gw_fabric_vm(fabric, gw_fabric_find_host(fabric, name)->id, uuid);
        if (look != NULL && !look->autostart)
            fail_msg("seed %u: vm%u lost its autostart", trial->seed, vm);
        if ((look != NULL) != (known != NULL) || (look != NULL && look->state != known->state))
            fail_msg("seed %u: vm%u is not shown as host %s has it", trial->seed, vm, name);
        if (known != NULL && known->job_id != NULL)
            fail_msg("seed %u: vm%u is shown as moving", trial->seed, vm);
        listed += look != NULL;
        if (gw_sim_has_leave(sim, uri, uuid))
            fail_msg("seed %u: leave for vm%u is still open on host %s", trial->seed, vm, name);
    }
    assert_int_equal(listed, 1);
}

static void none_of(const Trial *trial, char **words, const char *what)
{
    if (words[0] != NULL)
        fail_msg("seed %u: %s: %s", trial->seed, what, words[0]);
    g_strfreev(words);
}

/* Nothing stale was run, nothing in use removed, nothing left that nobody knows of. */
static void check_disks(Trial *trial, const GwFabric *fabric)
{
    g_autoptr(GPtrArray) kept = gw_fabric_list_kept(fabric);

    none_of(trial, gw_sim_violations(trial->world.sim), "violated");
    none_of(trial, gw_sim_check_disks(trial->world.sim), "wrong");
    none_of(trial, gw_sim_leaks(trial->world.sim, kept), "left behind");
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

static void run_trial(guint32 seed, Tally *tally)
{
    Trial trial = { .random = g_rand_new_with_seed(seed), .seed = seed };
    World *world = &trial.world;

    world_set_agents(seed % (1 << HOSTS));
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)),
               fabric_json(trial.random, seed / (1 << HOSTS) % 2 == 0));
    world_start(world);
    for (guint i = 0; i < HOSTS; i++)
        world_add_host(world, i);
    for (guint i = 0; i < STRIKES; i++) {
        strike(&trial);
        world_run(world, g_rand_int_range(trial.random, 0, 900) * 1000);
    }
    world_run(world, SECONDS(600));

    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    check_jobs(&trial, fabric);
    for (guint i = 0; i < VMS; i++)
        check_vm(&trial, fabric, i);
    check_disks(&trial, fabric);
    if (gw_sim_stale_runs(world->sim) > 0) /* I9 */
        fail_msg("seed %u: a VM ran with memory older than its disk", seed);
    for (guint i = 0; i < HOSTS; i++) { /* I7 */
        g_autofree char *uri = world_uri(i);
        if (gw_sim_most_moves(world->sim, uri) > GW_LIMIT_DEFAULT)
            fail_msg("seed %u: %u moves at once on host %u", seed,
                     gw_sim_most_moves(world->sim, uri), i);
    }
    tally->resumes += gw_sim_agent_resumes(world->sim);
    count_disk_moves(fabric, tally);
    world_free(world);
    g_rand_free(trial.random);
}

static guint32 number_from(const char *variable, guint32 fallback)
{
    const char *text = g_getenv(variable);
    return text != NULL ? (guint32)strtoul(text, NULL, 10) : fallback;
}

static void test_random_trials(void **unused)
{
    guint32 first = number_from("GODWIT_SEED", 1);
    guint32 count = number_from("GODWIT_TRIALS", TRIALS_DEFAULT);
    (void)unused;

    Tally tally = { 0 };
    for (guint32 i = 0; i < count; i++)
        run_trial(first + i, &tally);
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
