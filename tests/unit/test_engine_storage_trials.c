/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trials.h"

/* Random trials of moves with disks: hosts with local pools, VMs that run and VMs that are off;
 * live and cold moves, moves of storage, Undo, cancels, removals of kept copies, full pools, hosts
 * and agents that die, controllers killed again and again; then peace, and what a witness outside
 * sees of the images.
 * What lies below a disk that is flattened stays behind, since others may need it: that is not
 * tried. */

#define OFF_VMS 3 /* the last ones */
#define STRIKES 60
#define TRIALS_DEFAULT 40
#define PAUSE_MS_MAX 2500
#define ROUNDS_OF_REPAIR 3
#define MIB ((gint64)1 << 20)

static const char *const pools[] = { "local", "fast" };

static gboolean has_chain(guint vm)
{
    return vm % 3 == 0;
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
    gboolean raw = strcmp(target, "vdb") == 0; /* what can go back as a delta */
    g_autofree char *path =
        g_strdup_printf("/%s/%s-%s.%s", pool, name, target, raw ? "raw" : "qcow2");
    g_autofree char *base = g_strdup_printf("/%s/%s-base.qcow2", pool, name);
    json_t *disk = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:I}", "target", target, "device", "disk",
                             "type", "file", "source", path, "format", raw ? "raw" : "qcow2",
                             "cache", "none", "capacity_bytes", (json_int_t)(2048 * MIB));

    if (chain) {
        json_object_set_new(disk, "backing_path", json_string(base));
        json_object_set_new(disk, "backing_depth", json_integer(1));
    }
    return disk;
}

/* One in three has a chain, one in three a second disk, one in three NVRAM and a TPM. */
static json_t *vm_json(GRand *random, guint index)
{
    g_autofree char *uuid = trial_uuid(index);
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
    if (index >= TRIAL_VMS - OFF_VMS)
        json_object_set_new(vm, "state", json_string("off"));
    return vm;
}

static json_t *fabric_json(GRand *random)
{
    json_t *hosts = json_array();

    for (guint i = 0; i < TRIAL_HOSTS; i++)
        json_array_append_new(hosts, host_json(i));
    for (guint i = 0; i < TRIAL_VMS; i++) {
        json_t *host = json_array_get(hosts, (gsize)g_rand_int_range(random, 0, TRIAL_HOSTS));
        json_array_append_new(json_object_get(host, "vms"), vm_json(random, i));
    }
    return json_pack("{s:o, s:i, s:i, s:i}", "hosts", hosts, "link_mibps", 500, "disk_mibps", 800,
                     "dirty_mibps", 10);
}

/* Strikes ----------------------------------------------------------------------------------- */

static void begin_move(Trial *trial)
{
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    guint index = trial_any(trial, TRIAL_VMS);
    g_autofree char *vm = trial_uuid(index);

    request->destination = g_strdup_printf("%c", (char)('a' + trial_any(trial, TRIAL_HOSTS)));
    request->options = gw_move_options_new();
    request->options->storage =
        g_strdup(trial_any(trial, 2) == 0 ? pools[trial_any(trial, 2)] : NULL);
    request->options->flatten = trial_any(trial, 4) == 0 && !has_chain(index);
    request->options->keep_source_s = trial_any(trial, 3) == 0 ? -1 : 0;
    G_GNUC_UNUSED g_autoptr(GwJob) job =
        gw_engine_migrate(trial->world.engine, vm, request, "tester", NULL, NULL);
}

static void begin_storage(Trial *trial)
{
    g_autoptr(GwStorageRequest) request = gw_storage_request_new();
    guint index = trial_any(trial, TRIAL_VMS);
    g_autofree char *vm = trial_uuid(index);

    request->storage = g_strdup(pools[trial_any(trial, G_N_ELEMENTS(pools))]);
    request->flatten = trial_any(trial, 4) == 0 && !has_chain(index);
    request->format = g_strdup(trial_any(trial, 4) == 0 && !has_chain(index) ? "raw" : NULL);
    request->keep_source_s = trial_any(trial, 3) == 0 ? -1 : 0;
    G_GNUC_UNUSED g_autoptr(GwJob) job =
        gw_engine_migrate_storage(trial->world.engine, vm, request, "tester", NULL, NULL);
}

static char *any_job(Trial *trial)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(trial->world.engine);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);
    const GwJob *job = jobs->len > 0 ? jobs->pdata[trial_any(trial, jobs->len)] : NULL;

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
    const GwKeptVolume *one = kept->pdata[trial_any(trial, kept->len)];
    G_GNUC_UNUSED g_autoptr(GwJob) job =
        gw_engine_remove_kept(trial->world.engine, one->id, "tester", NULL);
}

static void plant_fault(Trial *trial)
{
    static const TrialFault faults[] = {
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
        { "overlay", "fail" },
        { "overlay", "lose-reply" },
        { "overlay", "host-down" },
        { "merge", "lose-reply" },
        { "merge", "host-down" },
        { "merge", "power-loss" },
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
    TrialFault fault = faults[trial_any(trial, G_N_ELEMENTS(faults))];
    gint64 ms = trial_any_ms(trial);

    trial->any_may_stop |= strstr(fault.what, "power-loss") != NULL;
    trial_plant(trial, fault, ms, (int)trial_any(trial, 100));
}

static void start_or_stop(Trial *trial, gboolean start)
{
    guint vm = trial_any(trial, TRIAL_VMS);
    g_autofree char *uuid = trial_uuid(vm);

    trial->may_change[vm] = TRUE;
    if (!start) {
        gw_sim_shut_down(trial->world.sim, uuid);
        return;
    }
    G_GNUC_UNUSED g_autoptr(GwVm) started = gw_engine_start_vm(trial->world.engine, uuid, NULL);
}

static void strike_host(Trial *trial)
{
    guint host = trial_any(trial, TRIAL_HOSTS);
    g_autofree char *uri = world_uri(host);
    g_autofree char *other = world_uri((host + 1) % TRIAL_HOSTS);
    gint64 ms = trial_any_ms(trial);
    GwSim *sim = trial->world.sim;

    switch (trial_any(trial, 6)) {
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
        gw_sim_fill_pool(sim, uri, pools[trial_any(trial, G_N_ELEMENTS(pools))], ms);
        break;
    default:
        if (trial_any(trial, 4) != 0)
            break;
        trial->any_may_stop = TRUE;
        gw_sim_cut_power(sim, uri, ms);
        break;
    }
}

static void strike(Trial *trial)
{
    guint dice = trial_any(trial, 100);

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
        trial_kill_and_start(trial);
    else if (dice < 96)
        strike_host(trial);
    else
        start_or_stop(trial, dice < 98);
}

/* Checks ----------------------------------------------------------------------------------- */

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

/* What a job says that it could not remove is known to people. */
static void add_told(const GwFabric *fabric, GPtrArray *known)
{
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);

    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        for (guint k = 0; job->tasks != NULL && k < job->tasks->len; k++) {
            const GwTask *task = job->tasks->pdata[k];
            gboolean refused =
                task->kind == GW_TASK_VOLUME_DELETE ||
                (task->kind == GW_TASK_VOLUME_CREATE && task->state == GW_TASK_UNDOING);
            if (!refused || task->why == NULL || job->error == NULL)
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
    g_autoptr(GPtrArray) known = gw_record_array(&gw_kept_volume_record);

    for (guint i = 0; i < listed->len; i++)
        g_ptr_array_add(known, gw_kept_volume_copy(listed->pdata[i]));
    add_told(fabric, known);
    trial_check_disks(trial, known);
}

static guint count_done(const GwFabric *fabric)
{
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);
    guint done = 0;

    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        done += job->state == GW_JOB_DONE && job->disks != NULL && job->disks->len > 0;
    }
    return done;
}

/* @user: how many jobs that moved disks went well. */
static void run_trial(guint32 seed, gpointer user)
{
    Trial trial;
    World *world = &trial.world;
    guint *done = user;

    trial_init(&trial, seed);
    trial_begin(&trial, fabric_json(trial.random));
    for (guint i = 0; i < STRIKES; i++) {
        strike(&trial);
        world_run(world, (gint64)trial_any(&trial, PAUSE_MS_MAX) * 1000);
    }
    world_run(world, SECONDS(900));
    for (guint i = 0; i < ROUNDS_OF_REPAIR && repair(&trial) > 0; i++)
        world_run(world, SECONDS(300));

    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    trial_check_jobs(&trial, fabric);
    for (guint i = 0; i < TRIAL_VMS; i++)
        trial_check_vm(&trial, fabric, i, i < TRIAL_VMS - OFF_VMS ? 1 : 0);
    check_storage(&trial, fabric);
    *done += count_done(fabric);
    trial_end(&trial);
}

static void test_random_trials(void **unused)
{
    guint done = 0;
    guint32 count = trials_run(TRIALS_DEFAULT, run_trial, &done);
    (void)unused;

    if (count >= TRIALS_DEFAULT) /* else they would show nothing about disks */
        assert_true(done > count);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_random_trials) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
