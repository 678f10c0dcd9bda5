/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine_world.h"

#include <stdlib.h>

#include "base/error.h"

/* Random trials of moves with disks: hosts with local pools, VMs that run and VMs that are off;
 * live and cold moves, moves of storage, Undo, cancels, removals of kept copies, full pools, hosts
 * and agents that die, controllers killed again and again; then peace, and what a witness outside
 * sees of the images. A trial is its seed. GODWIT_TRIALS: how many; GODWIT_SEED: the first.
 * What lies below a disk that is flattened stays behind, since others may need it: that is not
 * tried. */

#define HOSTS 3
#define VMS 9
#define OFF_VMS 3 /* the last ones */
#define STRIKES 60
#define TRIALS_DEFAULT 40
#define DOWN_MS_MAX 45000
#define PAUSE_MS_MAX 2500
#define ROUNDS_OF_REPAIR 3
#define MIB ((gint64)1 << 20)

static const char *const pools[] = { "local", "fast" };

typedef struct {
    World world;
    GRand *random;
    guint32 seed;
    gboolean may_change[VMS]; /* its guest was shut down, or it was started */
    gboolean power_lost;      /* whoever ran there does not any more */
    guint done;               /* jobs that moved disks and went well */
} Trial;

static char *uuid_of(guint vm)
{
    return g_strdup_printf("6d0b6b0e-0000-4000-8000-%012u", vm + 1);
}

static gboolean has_chain(guint vm)
{
    return vm % 3 == 0;
}

static guint any(Trial *trial, guint count)
{
    return (guint)g_rand_int_range(trial->random, 0, (gint32)count);
}

/* The fabric -------------------------------------------------------------------------------- */

static json_t *host_json(guint index)
{
    json_t *host = world_host_json(index);
    json_t *list = json_array();

    for (guint i = 0; i < G_N_ELEMENTS(pools); i++) {
        g_autofree char *path = g_strconcat("/", pools[i], NULL);
        json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:b,s:I}", "name", pools[i], "type",
                                              "dir", "target_path", path, "active", 1,
                                              "capacity_bytes", (json_int_t)(40960 * MIB)));
    }
    json_object_set_new(json_object_get(host, "facts"), "pools", list);
    json_object_set_new(host, "vms", json_array());
    return host;
}

static json_t *disk_json(const char *name, const char *target, const char *pool, gboolean chain)
{
    g_autofree char *path = g_strdup_printf("/%s/%s-%s.qcow2", pool, name, target);
    g_autofree char *base = g_strdup_printf("/%s/%s-base.qcow2", pool, name);
    json_t *disk = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:I}", "target", target, "device", "disk",
                             "type", "file", "source", path, "format", "qcow2", "cache", "none",
                             "capacity_bytes", (json_int_t)(2048 * MIB));

    if (chain) {
        json_object_set_new(disk, "backing_path", json_string(base));
        json_object_set_new(disk, "backing_depth", json_integer(1));
    }
    return disk;
}

/* One in three has a chain, one in three a second disk, one in three NVRAM and a TPM. */
static json_t *vm_json(GRand *random, guint index)
{
    g_autofree char *uuid = uuid_of(index);
    g_autofree char *name = g_strdup_printf("vm%u", index);
    g_autofree char *nvram = g_strdup_printf("/var/lib/libvirt/qemu/nvram/%s.fd", name);
    json_t *vm = world_vm_json(uuid, name);
    const char *pool = pools[g_rand_int_range(random, 0, G_N_ELEMENTS(pools))];
    json_t *disks = json_pack("[o]", disk_json(name, "vda", pool, has_chain(index)));

    if (index % 3 == 1)
        json_array_append_new(disks, disk_json(name, "vdb", pool, FALSE));
    if (index % 3 == 2) {
        json_object_set_new(vm, "nvram", json_string(nvram));
        json_object_set_new(vm, "tpm", json_string("emulator"));
    }
    json_object_set_new(vm, "disks", disks);
    if (index >= VMS - OFF_VMS)
        json_object_set_new(vm, "state", json_string("off"));
    return vm;
}

static json_t *fabric_json(GRand *random)
{
    json_t *hosts = json_array();

    for (guint i = 0; i < HOSTS; i++)
        json_array_append_new(hosts, host_json(i));
    for (guint i = 0; i < VMS; i++) {
        json_t *host = json_array_get(hosts, (gsize)g_rand_int_range(random, 0, HOSTS));
        json_array_append_new(json_object_get(host, "vms"), vm_json(random, i));
    }
    return json_pack("{s:o, s:i, s:i, s:i}", "hosts", hosts, "link_mibps", 500, "disk_mibps", 800,
                     "dirty_mibps", 10);
}

/* Strikes ----------------------------------------------------------------------------------- */

static void begin_move(Trial *trial)
{
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    guint index = any(trial, VMS);
    g_autofree char *vm = uuid_of(index);

    request->destination = g_strdup_printf("%c", (char)('a' + any(trial, HOSTS)));
    request->options = gw_move_options_new();
    request->options->storage = g_strdup(any(trial, 2) == 0 ? pools[any(trial, 2)] : NULL);
    request->options->flatten = any(trial, 4) == 0 && !has_chain(index);
    request->options->keep_source_s = any(trial, 3) == 0 ? -1 : 0;
    G_GNUC_UNUSED g_autoptr(GwJob) job =
        gw_engine_migrate(trial->world.engine, vm, request, "tester", NULL, NULL);
}

static void begin_storage(Trial *trial)
{
    g_autoptr(GwStorageRequest) request = gw_storage_request_new();
    guint index = any(trial, VMS);
    g_autofree char *vm = uuid_of(index);

    request->storage = g_strdup(pools[any(trial, G_N_ELEMENTS(pools))]);
    request->flatten = any(trial, 4) == 0 && !has_chain(index);
    request->format = g_strdup(any(trial, 4) == 0 && !has_chain(index) ? "raw" : NULL);
    request->keep_source_s = any(trial, 3) == 0 ? -1 : 0;
    G_GNUC_UNUSED g_autoptr(GwJob) job =
        gw_engine_migrate_storage(trial->world.engine, vm, request, "tester", NULL, NULL);
}

static char *any_job(Trial *trial)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(trial->world.engine);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);
    const GwJob *job = jobs->len > 0 ? jobs->pdata[any(trial, jobs->len)] : NULL;

    return job != NULL ? g_strdup(job->id) : NULL;
}

static void cancel_or_undo(Trial *trial, gboolean undo)
{
    g_autofree char *id = any_job(trial);

    if (id == NULL)
        return;
    G_GNUC_UNUSED g_autoptr(GwJob) job =
        undo ? gw_engine_undo(trial->world.engine, id, "tester", NULL, NULL)
             : gw_engine_cancel_job(trial->world.engine, id, NULL);
}

static void remove_kept(Trial *trial)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(trial->world.engine);
    g_autoptr(GPtrArray) kept = gw_fabric_list_kept(fabric);

    if (kept->len == 0)
        return;
    const GwKeptVolume *one = kept->pdata[any(trial, kept->len)];
    G_GNUC_UNUSED g_autoptr(GwJob) job =
        gw_engine_remove_kept(trial->world.engine, one->id, "tester", NULL);
}

static void plant_fault(Trial *trial)
{
    static const struct {
        const char *at, *what;
    } faults[] = {
        { "volume-create", "fail" },
        { "volume-create", "full" },
        { "volume-create", "lose-reply" },
        { "volume-create", "host-down" },
        { "volume-copy", "fail" },
        { "volume-copy", "full" },
        { "volume-copy", "break" },
        { "volume-copy", "lose-reply" },
        { "volume-copy", "host-down" },
        { "volume-copy", "peer-down" },
        { "volume-copy", "slow" },
        { "block-copy", "fail" },
        { "block-copy", "full" },
        { "block-copy", "host-down" },
        { "block-copy", "lose-reply" },
        { "block-ready", "fail" },
        { "block-ready", "host-down" },
        { "block-pivot", "fail" },
        { "block-pivot", "lose-reply" },
        { "block-pivot", "host-down" },
        { "block-abort", "lose-reply" },
        { "define-from", "fail" },
        { "define-from", "lose-reply" },
        { "define-from", "peer-down" },
        { "undefine", "lose-reply" },
        { "undefine", "fail" },
        { "volume-delete", "fail" },
        { "volume-delete", "lose-reply" },
        { "volume-look", "fail" },
        { "snapshots", "lose-reply" },
        { "disks", "fail" },
        { "disks", "full" },
        { "disks", "source-down" },
        { "disks", "destination-down" },
        { "disks", "kill-destination" },
        { "disks", "link-cut" },
        { "disks", "source-agent-dies" },
        { "disks", "destination-agent-dies" },
        { "copy", "fail" },
        { "finish", "fail" },
        { "finish", "lose-reply" },
        { "finish", "destination-down" },
        { "confirm", "source-down" },
        { "confirm", "lose-reply" },
        { "volume-copy", "power-loss" },
        { "block-copy", "power-loss" },
        { "disks", "source-power-loss" },
        { "disks", "destination-power-loss" },
    };
    guint which = any(trial, G_N_ELEMENTS(faults));
    gint64 ms = g_rand_int_range(trial->random, 100, DOWN_MS_MAX);
    g_autoptr(GwJson) fault =
        json_pack("{s:s,s:s,s:I,s:i}", "at", faults[which].at, "do", faults[which].what, "ms",
                  (json_int_t)ms, "percent", (int)any(trial, 100));

    trial->power_lost |= strstr(faults[which].what, "power-loss") != NULL;
    UNIT_OK(gw_sim_fault(trial->world.sim, fault, error));
}

static void kill_and_start(Trial *trial)
{
    World *world = &trial->world;
    gint64 span = g_rand_int_range(trial->random, 0, 5000) * 1000;

    world_kill(world);
    world_pass(world, span);
    world_start(world);
}

static void start_or_stop(Trial *trial, gboolean start)
{
    guint vm = any(trial, VMS);
    g_autofree char *uuid = uuid_of(vm);

    trial->may_change[vm] = TRUE;
    if (!start) {
        gw_sim_shut_down(trial->world.sim, uuid);
        return;
    }
    G_GNUC_UNUSED g_autoptr(GwVm) started = gw_engine_start_vm(trial->world.engine, uuid, NULL);
}

static void strike_host(Trial *trial)
{
    guint host = any(trial, HOSTS);
    g_autofree char *uri = world_uri(host);
    g_autofree char *other = world_uri((host + 1) % HOSTS);
    gint64 ms = g_rand_int_range(trial->random, 100, DOWN_MS_MAX);
    GwSim *sim = trial->world.sim;

    switch (any(trial, 6)) {
    case 0:
        gw_sim_kill_agent(sim, uri, ms);
        break;
    case 1:
        gw_sim_cut_link(sim, uri, other, ms);
        break;
    case 2:
        gw_sim_cut_off(sim, uri, ms);
        break;
    case 3:
        gw_sim_stall(sim, uri, ms);
        break;
    case 4:
        gw_sim_fill_pool(sim, uri, pools[any(trial, G_N_ELEMENTS(pools))], ms);
        break;
    default:
        if (any(trial, 4) != 0)
            break;
        trial->power_lost = TRUE;
        gw_sim_cut_power(sim, uri, ms);
        break;
    }
}

static void strike(Trial *trial)
{
    guint dice = any(trial, 100);

    if (dice < 28)
        begin_move(trial);
    else if (dice < 42)
        begin_storage(trial);
    else if (dice < 50)
        cancel_or_undo(trial, TRUE);
    else if (dice < 57)
        cancel_or_undo(trial, FALSE);
    else if (dice < 60)
        remove_kept(trial);
    else if (dice < 74)
        plant_fault(trial);
    else if (dice < 86)
        kill_and_start(trial);
    else if (dice < 96)
        strike_host(trial);
    else
        start_or_stop(trial, dice < 98);
}

/* Checks ----------------------------------------------------------------------------------- */

static void none_of(const Trial *trial, char **words, const char *what)
{
    if (words[0] != NULL)
        fail_msg("seed %u: %s: %s", trial->seed, what, words[0]);
    g_strfreev(words);
}

/* What a failed job could not take back is left to a person, and said. */
static guint repair(Trial *trial)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(trial->world.engine);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);
    guint begun = 0;

    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        if (job->state != GW_JOB_FAILED && job->state != GW_JOB_CANCELLED)
            continue;
        g_autoptr(GwUndoPlan) plan = gw_engine_plan_undo(trial->world.engine, job->id, NULL);
        if (plan == NULL || !plan->possible || g_strcmp0(plan->kind, GW_JOB_KIND_REPAIR) != 0)
            continue;
        g_autoptr(GwJob) repairs =
            gw_engine_undo(trial->world.engine, job->id, "tester", NULL, NULL);
        begun += repairs != NULL;
    }
    return begun;
}

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
        trial->done += job->state == GW_JOB_DONE && job->disks != NULL && job->disks->len > 0;
    }
}

/* I1, I2, as in the trials without disks; a VM that was off stays so. */
static void check_vm(Trial *trial, const GwFabric *fabric, guint vm)
{
    g_autofree char *uuid = uuid_of(vm);
    GwSim *sim = trial->world.sim;
    guint runs = gw_sim_running(sim, uuid);
    gboolean free_choice = trial->may_change[vm] || trial->power_lost;

    if (gw_sim_most_running(sim, uuid) > 1)
        fail_msg("seed %u: vm%u ran twice", trial->seed, vm);
    if (gw_sim_definitions(sim, uuid) != 1)
        fail_msg("seed %u: vm%u: %u definitions", trial->seed, vm, gw_sim_definitions(sim, uuid));
    if (!free_choice && runs != (vm < VMS - OFF_VMS ? 1u : 0u))
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
        if (gw_sim_has_leave(sim, uri, uuid))
            fail_msg("seed %u: leave for vm%u is still open on host %s", trial->seed, vm, name);
    }
}

/* What a job says that it could not remove is known to people. */
static void add_told(const GwFabric *fabric, GPtrArray *known)
{
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);

    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        for (guint k = 0; job->tasks != NULL && k < job->tasks->len; k++) {
            const GwTask *task = job->tasks->pdata[k];
            if (task->kind != GW_TASK_VOLUME_DELETE || task->why == NULL || job->error == NULL)
                continue;
            GwKeptVolume *told = gw_kept_volume_new();
            told->host_id = g_strdup(task->host_id);
            told->volume = gw_volume_copy(task->volume);
            g_ptr_array_add(known, told);
        }
    }
}

static void check_storage(Trial *trial, const GwFabric *fabric)
{
    g_autoptr(GPtrArray) listed = gw_fabric_list_kept(fabric);
    g_autoptr(GPtrArray) kept = gw_record_array(&gw_kept_volume_record);
    GwSim *sim = trial->world.sim;

    for (guint i = 0; i < listed->len; i++)
        g_ptr_array_add(kept, gw_kept_volume_copy(listed->pdata[i]));
    add_told(fabric, kept);

    none_of(trial, gw_sim_violations(sim), "it happened");
    none_of(trial, gw_sim_check_disks(sim), "at the end");
    none_of(trial, gw_sim_leaks(sim, kept), "left behind");
}

/* Returns how many jobs that moved disks went well. */
static guint run_trial(guint32 seed)
{
    Trial trial = { .random = g_rand_new_with_seed(seed), .seed = seed };
    World *world = &trial.world;

    world_set_agents(seed % (1 << HOSTS));
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)), fabric_json(trial.random));
    world_start(world);
    for (guint i = 0; i < HOSTS; i++)
        world_add_host(world, i);
    for (guint i = 0; i < STRIKES; i++) {
        strike(&trial);
        world_run(world, (gint64)any(&trial, PAUSE_MS_MAX) * 1000);
    }
    world_run(world, SECONDS(900));
    for (guint i = 0; i < ROUNDS_OF_REPAIR && repair(&trial) > 0; i++)
        world_run(world, SECONDS(300));

    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    check_jobs(&trial, fabric);
    for (guint i = 0; i < VMS; i++)
        check_vm(&trial, fabric, i);
    check_storage(&trial, fabric);
    if (gw_sim_stale_runs(world->sim) > 0) /* I9 */
        fail_msg("seed %u: a VM ran with memory older than its disk", seed);
    world_free(world);
    g_rand_free(trial.random);
    return trial.done;
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
    guint done = 0;
    (void)unused;

    for (guint32 i = 0; i < count; i++)
        done += run_trial(first + i);
    if (count >= TRIALS_DEFAULT) /* else they would show nothing about disks */
        assert_true(done > count);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_random_trials) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
