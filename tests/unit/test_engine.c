/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <glib/gstdio.h>

#include "base/error.h"
#include "engine/engine_config.h"
#include "hyper/sim.h"
#include "store/store.h"

/* The whole engine over the simulated fabric and a virtual clock: every move is tried with every
 * fault at every phase, and with the controller's death at every moment. After each trial the
 * invariants I1 to I5 must hold, as a witness outside the engine sees them. */

#define VM "6d0b6b0e-0000-4000-8000-000000000001"
#define URI_A "qemu+tls://a.example.org/system"
#define URI_B "qemu+tls://b.example.org/system"
#define SECONDS(n) ((gint64)(n)*G_USEC_PER_SEC)

typedef struct {
    char *folder;
    GwClock *clock;
    GwSim *sim;
    GwStore *store;
    GwEngine *engine;
} World;

/* In memory where there is such a place: hundreds of trials commit thousands of times. */
static char *make_folder(void)
{
    const char *base = g_file_test("/dev/shm", G_FILE_TEST_IS_DIR) ? "/dev/shm" : g_get_tmp_dir();
    char *path = g_build_filename(base, "godwit-engine-XXXXXX", NULL);
    assert_non_null(g_mkdtemp(path));
    return path;
}

static json_t *host_json(const char *uri, const char *uuid, const char *disk_pool)
{
    return json_pack("{s:s, s:{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:[s], s:[{s:s,s:s,s:b}],"
                     " s:[{s:s,s:s,s:s,s:s,s:b}]}}",
                     "uri", uri, "facts", "host_uuid", uuid, "hostname", uri + 11, "arch", "x86_64",
                     "cpus", 8, "memory_kib", 33554432, "free_memory_kib", 30000000,
                     "libvirt_version", 11003000, "qemu_version", 10000002, "machines",
                     "pc-q35-7.2", "networks", "name", "lab", "kind", "libvirt", "active", 1,
                     "pools", "name", "images", "type", "netfs", "target_path", "/images", "source",
                     disk_pool, "active", 1);
}

static json_t *vm_json(void)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:b,s:b,s:i,s:i,s:i,s:s,s:s,s:s,"
                     " s:[{s:s,s:s,s:s,s:s,s:s,s:s}], s:[{s:s,s:s}]}",
                     "uuid", VM, "name", "web1", "state", "running", "state_reason", "booted",
                     "persistent", 1, "autostart", 1, "vcpus", 1, "memory_kib", 262144,
                     "max_memory_kib", 262144, "virt_type", "qemu", "arch", "x86_64", "machine",
                     "pc-q35-7.2", "disks", "target", "vda", "device", "disk", "type", "file",
                     "source", "/images/web1.raw", "format", "raw", "cache", "none", "nics", "type",
                     "network", "source", "lab");
}

static json_t *fabric_json(void)
{
    json_t *a = host_json(URI_A, "aaaaaaaa-0000-4000-8000-000000000000", "nas:/images");
    json_t *b = host_json(URI_B, "bbbbbbbb-0000-4000-8000-000000000000", "nas:/images");
    json_object_set_new(a, "vms", json_pack("[o]", vm_json()));
    return json_pack("{s:[o,o], s:i, s:i}", "hosts", a, b, "link_mibps", 500, "dirty_mibps", 10);
}

static GwHyper *open_sim(GwHyperSink sink, gpointer user, GError **error)
{
    (void)error;
    return gw_sim_attach(user, sink);
}

static void start_controller(World *world)
{
    GError *error = NULL;
    g_autofree char *path = g_build_filename(world->folder, "godwit.db", NULL);

    world->store = gw_store_open(path, &error);
    assert_null(error);
    GwEngineConfig config = { world->clock, world->store, open_sim, world->sim, NULL };
    world->engine = gw_engine_new(&config, &error);
    assert_null(error);
}

/* As abrupt as it can be within one process: nothing is told to anybody. */
static void kill_controller(World *world)
{
    gw_engine_free(world->engine);
    gw_store_close(world->store);
}

static void run_for(World *world, gint64 span_us)
{
    gw_engine_run_until(world->engine, gw_clock_now_us(world->clock) + span_us);
}

static void add_host(World *world, const char *name, const char *uri)
{
    g_autoptr(GwHost) host = gw_host_new_default();
    GError *error = NULL;

    host->name = g_strdup(name);
    host->uri = g_strdup(uri);
    host->method = GW_METHOD_STANDARD;
    g_autoptr(GwHost) added = gw_engine_add_host(world->engine, host, &error);
    assert_null(error);
    assert_non_null(added);
}

static void open_world(World *world)
{
    GError *error = NULL;
    g_autoptr(GwJson) fabric = fabric_json();

    world->folder = make_folder();
    world->clock = gw_clock_new_virtual(SECONDS(1700000000));
    world->sim = gw_sim_new(world->clock, fabric, &error);
    assert_null(error);
    start_controller(world);
    add_host(world, "a", URI_A);
    add_host(world, "b", URI_B);
    run_for(world, SECONDS(1));
}

static void close_world(World *world)
{
    kill_controller(world);
    gw_sim_free(world->sim);
    gw_clock_free(world->clock);
    g_autoptr(GDir) dir = g_dir_open(world->folder, 0, NULL);
    const char *name;
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(world->folder, name, NULL);
        g_unlink(path);
    }
    g_rmdir(world->folder);
    g_free(world->folder);
}

static char *begin_move(World *world)
{
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    GError *error = NULL;

    request->destination = g_strdup("b");
    g_autoptr(GwJob) job =
        gw_engine_migrate(world->engine, "web1", request, "tester", NULL, &error);
    if (error != NULL)
        fail_msg("%s", error->message);
    assert_int_equal(job->state, GW_JOB_QUEUED);
    return g_strdup(job->id);
}

static GwJob *job_now(World *world, const char *id)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    const GwJob *job = gw_fabric_find_job(fabric, id, NULL);
    assert_non_null(job);
    return gw_job_copy(job);
}

/* I1, I2 and I3 after the dust has settled, and that the job and the lists tell the truth. */
static void check_settled(World *world, const char *id, const char *trial)
{
    g_autoptr(GwJob) job = job_now(world, id);
    g_autoptr(GwLook) a = gw_sim_look(world->sim, URI_A, VM);
    g_autoptr(GwLook) b = gw_sim_look(world->sim, URI_B, VM);
    const char *state = gw_enum_word(&gw_job_state_enum, job->state);
    gboolean at_b = b != NULL && b->state == GW_VM_RUNNING;

    if (gw_sim_most_running(world->sim, VM) > 1)
        fail_msg("%s: the VM ran twice (job %s)", trial, state);
    if (!gw_job_state_is_final(job->state))
        fail_msg("%s: the job is still %s: %s", trial, state, job->waiting_for);
    if (gw_sim_definitions(world->sim, VM) != 1)
        fail_msg("%s: %u hosts hold a definition (job %s)", trial,
                 gw_sim_definitions(world->sim, VM), state);
    if (job->state == GW_JOB_DONE && !at_b)
        fail_msg("%s: done, but it does not run at the destination", trial);
    if (job->state != GW_JOB_DONE && at_b)
        fail_msg("%s: %s, but it runs at the destination", trial, state);
    if (strstr(trial, "kill-source") == NULL) {
        if (gw_sim_running(world->sim, VM) != 1)
            fail_msg("%s: %u run (job %s)", trial, gw_sim_running(world->sim, VM), state);
        const GwLook *here = at_b ? b : a;
        if (!here->autostart)
            fail_msg("%s: autostart was lost (job %s)", trial, state);
    }
    if (job->state != GW_JOB_DONE)
        assert_non_null(job->error);
}

/* Tests ------------------------------------------------------------------------------------ */

static void test_plain_move(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    g_autofree char *id = begin_move(&world);
    run_for(&world, SECONDS(20));
    check_settled(&world, id, "plain");
    g_autoptr(GwJob) job = job_now(&world, id);
    assert_int_equal(job->state, GW_JOB_DONE);
    assert_int_equal(job->progress->percent, 100);
    assert_true(job->commit_by_resume);
    /* 5 ms to finish, 200 ms for the source to end, two requests: the commit costs that much. */
    assert_in_range(job->result->downtime_ms, 200, 260);

    /* R7: listed as running there, and nowhere else. */
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    g_autoptr(GPtrArray) vms = gw_fabric_list_vms(fabric, NULL);
    assert_int_equal(vms->len, 1);
    const GwVm *vm = vms->pdata[0];
    assert_int_equal(vm->state, GW_VM_RUNNING);
    assert_string_equal(gw_fabric_host(fabric, vm->host_id)->name, "b");
    assert_null(vm->job_id);
    close_world(&world);
}

static void strike(const char *phase, const char *what, gint64 ms)
{
    World world;
    GError *error = NULL;
    g_autofree char *trial = g_strdup_printf("%s at %s", what, phase);
    g_autoptr(GwJson) fault =
        json_pack("{s:s,s:s,s:I}", "at", phase, "do", what, "ms", (json_int_t)ms);

    open_world(&world);
    assert_true(gw_sim_fault(world.sim, fault, &error));
    g_autofree char *id = begin_move(&world);
    run_for(&world, SECONDS(300));
    check_settled(&world, id, trial);
    close_world(&world);
}

static void test_every_fault_at_every_phase(void **unused)
{
    static const char *const phases[] = { "setup", "copy", "switchover", "finish", "confirm" };
    static const char *const faults[] = { "fail",        "kill-source",      "kill-destination",
                                          "source-down", "destination-down", "lose-finish",
                                          "lose-reply" };
    (void)unused;

    for (guint p = 0; p < G_N_ELEMENTS(phases); p++) {
        for (guint f = 0; f < G_N_ELEMENTS(faults); f++) {
            gboolean finishing = p == 3;
            gboolean late = p >= 3;
            if (strcmp(faults[f], "lose-finish") == 0 && !finishing)
                continue;
            if (strcmp(faults[f], "lose-reply") == 0 && !late)
                continue;
            if (strcmp(phases[p], "confirm") == 0 &&
                (strcmp(faults[f], "fail") == 0 || strcmp(faults[f], "kill-destination") == 0))
                continue; /* libvirt has no way back from there */
            strike(phases[p], faults[f], 3000);
            strike(phases[p], faults[f], 60000);
        }
    }
}

/* kill -9 of the controller at every 20 ms of the move; on restart the job settles (I3). */
static void kill_at(gint64 at_us, gboolean direct)
{
    World world;
    g_autofree char *trial =
        g_strdup_printf("controller killed after %d ms, %s", (int)(at_us / 1000),
                        direct ? "controller-driven" : "peer-to-peer");

    open_world(&world);
    if (direct) {
        json_t *fault = json_pack("{s:s,s:s}", "at", "setup", "do", "fail");
        gw_sim_fault(world.sim, fault, NULL);
        json_decref(fault);
    }
    g_autofree char *id = begin_move(&world);
    run_for(&world, at_us);
    kill_controller(&world);
    gw_clock_advance_to(world.clock, gw_clock_now_us(world.clock) + SECONDS(2));
    start_controller(&world);
    run_for(&world, SECONDS(200));
    check_settled(&world, id, trial);
    close_world(&world);
}

static void test_controller_killed_at_any_moment(void **unused)
{
    (void)unused;
    for (gint64 ms = 0; ms < 1600; ms += 20) {
        kill_at(ms * 1000, FALSE);
        kill_at(ms * 1000 + 500, TRUE);
    }
}

static void cancel_at(gint64 at_us)
{
    World world;
    GError *error = NULL;
    g_autofree char *trial = g_strdup_printf("cancelled after %d ms", (int)(at_us / 1000));

    open_world(&world);
    g_autofree char *id = begin_move(&world);
    run_for(&world, at_us);
    g_autoptr(GwJob) before = job_now(&world, id);
    g_autoptr(GwJob) job = gw_engine_cancel_job(world.engine, id, &error);
    /* R58: refused only where the destination has it already, and then with the reason. */
    if (job == NULL) {
        assert_true(strstr(error->message, "not possible") != NULL ||
                    strstr(error->message, "already") != NULL);
        g_clear_error(&error);
    }
    run_for(&world, SECONDS(60));
    check_settled(&world, id, trial);
    g_autoptr(GwJob) after = job_now(&world, id);
    if (before->state == GW_JOB_QUEUED || before->state == GW_JOB_CHECKING ||
        before->state == GW_JOB_PREPARING)
        assert_int_equal(after->state, GW_JOB_CANCELLED);
    close_world(&world);
}

static void test_cancel_at_any_moment(void **unused)
{
    (void)unused;
    for (gint64 ms = 0; ms < 1400; ms += 10)
        cancel_at(ms * 1000);
}

static int state_after(const char *change, gint64 dirty_mibps, gint64 span_us, char **message)
{
    World world;
    GError *error = NULL;
    g_autoptr(GwMoveRequest) request = gw_move_request_new();

    world.folder = make_folder();
    world.clock = gw_clock_new_virtual(SECONDS(1700000000));
    g_autoptr(GwJson) fabric = fabric_json();
    json_object_set_new(fabric, "dirty_mibps", json_integer(dirty_mibps));
    world.sim = gw_sim_new(world.clock, fabric, &error);
    start_controller(&world);
    add_host(&world, "a", URI_A);
    add_host(&world, "b", URI_B);
    run_for(&world, SECONDS(1));

    request->destination = g_strdup("b");
    request->options = gw_move_options_new();
    if (strcmp(change, "completion") == 0)
        request->options->completion_timeout_s_per_gib = 40;
    else
        request->options->progress_timeout_s = 15;
    g_autoptr(GwJob) begun =
        gw_engine_migrate(world.engine, "web1", request, "tester", NULL, &error);
    assert_null(error);
    run_for(&world, span_us);
    check_settled(&world, begun->id, change);
    g_autoptr(GwJob) job = job_now(&world, begun->id);
    *message = g_strdup(job->error->message);
    int state = job->state;
    close_world(&world);
    return state;
}

static void test_timeouts_abort_with_the_numbers(void **unused)
{
    g_autofree char *message = NULL;
    (void)unused;

    /* 256 MiB at 40 s per GiB: 10 s (R59). */
    assert_int_equal(state_after("completion", 600, SECONDS(30), &message), GW_JOB_FAILED);
    assert_non_null(strstr(message, "completion time-out"));
    assert_non_null(strstr(message, "dirties 600 MiB/s"));
    g_clear_pointer(&message, g_free);
    assert_int_equal(state_after("progress", 600, SECONDS(60), &message), GW_JOB_FAILED);
    assert_non_null(strstr(message, "no progress for 15 s"));
}

static void test_refusals(void **unused)
{
    World world;
    GError *error = NULL;
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    g_autoptr(GwMovePlan) plan = NULL;
    (void)unused;

    open_world(&world);
    request->destination = g_strdup("a");
    assert_null(gw_engine_migrate(world.engine, "web1", request, "tester", &plan, &error));
    assert_true(g_error_matches(error, GW_ERROR, GW_ERR_REFUSED));
    assert_non_null(plan);
    assert_false(plan->candidate->suitable);
    g_clear_error(&error);

    g_free(request->destination);
    request->destination = g_strdup("nowhere");
    assert_null(gw_engine_migrate(world.engine, "web1", request, "tester", NULL, &error));
    assert_true(g_error_matches(error, GW_ERROR, GW_ERR_NOT_FOUND));
    g_clear_error(&error);

    g_free(request->destination);
    request->destination = g_strdup("b");
    g_autofree char *id = begin_move(&world);
    assert_null(gw_engine_migrate(world.engine, "web1", request, "tester", NULL, &error));
    assert_non_null(error);
    g_clear_error(&error);
    run_for(&world, SECONDS(20));
    check_settled(&world, id, "the first of two");
    close_world(&world);
}

static void test_hosts_are_refused_before_anything_is_stored(void **unused)
{
    static const struct {
        const char *name, *uri;
        GwErrorCode code;
    } bad[] = {
        { "c", "http://c/system", GW_ERR_INVALID },
        { "c", "qemu+ext://c/system?command=/bin/sh", GW_ERR_INVALID },
        { "c", "qemu+tls://nobody.example.org/system", GW_ERR_UNREACHABLE },
        { "c", URI_A, GW_ERR_CONFLICT },
        { "c\x1b[2J", "qemu+tls://c.example.org/system", GW_ERR_INVALID },
    };
    World world;
    (void)unused;

    open_world(&world);
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GwHost) host = gw_host_new_default();
        g_autoptr(GError) error = NULL;
        host->name = g_strdup(bad[i].name);
        host->uri = g_strdup(bad[i].uri);
        assert_null(gw_engine_add_host(world.engine, host, &error));
        if (!g_error_matches(error, GW_ERROR, (int)bad[i].code))
            fail_msg("%s: %s", bad[i].uri, error->message);
    }
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    assert_int_equal(g_hash_table_size(fabric->hosts), 2);
    close_world(&world);
}

/* R20: two at once at each end, the third waits and says for what; the order is kept. */
static void test_queue_obeys_the_limit(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    open_world(&world);
    g_autoptr(GwFabric) before = gw_engine_fabric(world.engine);
    g_autoptr(GwHost) host = gw_host_copy(gw_fabric_find_host(before, "b"));
    host->live_limit = 0;
    g_autoptr(GwHost) none = gw_engine_change_host(world.engine, host, &error);
    assert_non_null(none);
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    request->destination = g_strdup("b");
    assert_null(gw_engine_migrate(world.engine, "web1", request, "tester", NULL, &error));
    assert_non_null(error);
    g_clear_error(&error);
    close_world(&world);
}

/* In real time, with the loop on a thread of its own: who was answered reads what was answered. */
static void test_answers_come_after_the_picture(void **unused)
{
    World world = { .folder = make_folder(), .clock = gw_clock_new_system() };
    g_autoptr(GwJson) fabric = fabric_json();
    (void)unused;

    world.sim = gw_sim_new(world.clock, fabric, NULL);
    start_controller(&world);
    for (int i = 0; i < 300; i++) {
        g_autoptr(GwGroup) wanted = gw_group_new();
        wanted->name = g_strdup_printf("group %d", i);
        g_autoptr(GwGroup) added = gw_engine_add_group(world.engine, wanted, NULL);
        g_autoptr(GwFabric) seen = gw_engine_fabric(world.engine);
        if (gw_fabric_find_group(seen, added->id) == NULL)
            fail_msg("%s was answered before it could be seen", added->name);
    }
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_come_after_the_picture),
        cmocka_unit_test(test_plain_move),
        cmocka_unit_test(test_every_fault_at_every_phase),
        cmocka_unit_test(test_controller_killed_at_any_moment),
        cmocka_unit_test(test_cancel_at_any_moment),
        cmocka_unit_test(test_timeouts_abort_with_the_numbers),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_hosts_are_refused_before_anything_is_stored),
        cmocka_unit_test(test_queue_obeys_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
