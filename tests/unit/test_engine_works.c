/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine_world.h"

#include "base/error.h"

/* Moves of VMs that are off, and of storage within a host, over simulated hosts that have storage.
 * What must never happen is the witness's to say: no VM runs on a missing or stale image, nothing
 * that is a VM's is deleted or overwritten, and nothing is left behind. */

#define WEB "6d0b6b0e-0000-4000-8000-000000000001" /* off, local disks */
#define RUN "6d0b6b0e-0000-4000-8000-000000000002" /* runs, local disks */
#define NAS "6d0b6b0e-0000-4000-8000-000000000003" /* off, on a share */
#define LUN "6d0b6b0e-0000-4000-8000-000000000004" /* off, on a LUN */
#define GIB ((gint64)1 << 30)

/* The tests of the second group run with an agent on each host. */
static gboolean agents;

static const char *uri_a(void)
{
    return agents ? "godwit://a.example.org/01J0000000000000000000000A"
                  : "qemu+tls://a.example.org/system";
}

static const char *uri_b(void)
{
    return agents ? "godwit://b.example.org/01J0000000000000000000000B"
                  : "qemu+tls://b.example.org/system";
}

static const char pools[] =
    "\"pools\": ["
    " {\"name\": \"images\", \"type\": \"dir\", \"target_path\": \"/images\", \"active\": true,"
    "  \"capacity_bytes\": 107374182400},"
    " {\"name\": \"fast\", \"type\": \"dir\", \"target_path\": \"/fast\", \"active\": true,"
    "  \"capacity_bytes\": 107374182400},"
    " {\"name\": \"nas\", \"type\": \"netfs\", \"target_path\": \"/nas\", \"active\": true,"
    "  \"source\": \"nas.example.org:/export\"}]";

static json_t *disk(const char *target, const char *type, const char *format, const char *source)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "target", target, "device", "disk", "type", type,
                     "source", source, "format", format, "cache", "none");
}

/* Takes @disks. */
static json_t *vm(const char *uuid, const char *name, const char *state, json_t *disks)
{
    json_t *json = world_vm_json(uuid, name);

    json_object_set_new(json, "state", json_string(state));
    json_object_set_new(json, "state_reason",
                        json_string(strcmp(state, "off") == 0 ? "shutdown" : "booted"));
    json_object_set_new(json, "disks", disks);
    return json;
}

static json_t *host(guint index, json_t *vms)
{
    g_autofree char *text = g_strdup_printf("{%s}", pools);
    g_autoptr(GwJson) facts = json_loads(text, 0, NULL);
    json_t *json = world_host_json(index);

    assert_non_null(facts);
    json_object_set(json_object_get(json, "facts"), "pools", json_object_get(facts, "pools"));
    if (vms != NULL)
        json_object_set_new(json, "vms", vms);
    json_object_set_new(json, "files",
                        json_pack("[{s:s,s:s,s:s,s:I}]", "path", "/dev/disk/by-path/lun1",
                                  "storage", "lun1", "kind", "block", "capacity_bytes",
                                  (json_int_t)(4 * GIB)));
    return json;
}

static void open_world(World *world)
{
    json_t *overlay = disk("vda", "file", "qcow2", "/images/web.qcow2");
    json_object_set_new(overlay, "backing_path", json_string("/images/base.qcow2"));
    json_t *vms = json_array();
    json_array_append_new(
        vms, vm(WEB, "web", "off",
                json_pack("[o,o]", overlay, disk("vdb", "file", "raw", "/images/data.raw"))));
    json_array_append_new(vms,
                          vm(RUN, "run", "running",
                             json_pack("[o,o]", disk("vda", "file", "qcow2", "/images/run.qcow2"),
                                       disk("vdb", "file", "raw", "/images/run.raw"))));
    json_array_append_new(
        vms, vm(NAS, "nas", "off", json_pack("[o]", disk("vda", "file", "raw", "/nas/n.raw"))));
    json_t *fabric = json_pack("{s:i,s:i,s:[o,o]}", "link_mibps", 100, "disk_mibps", 200, "hosts",
                               host(0, vms), host(1, NULL));
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)), fabric);
    world_start(world);
    world_run(world, SECONDS(1));
    world_add_host(world, 0);
    world_add_host(world, 1);
    world_run(world, SECONDS(2));
}

/* All has come to rest: nothing was lost on the way, and every image is a VM's, a
 * kept copy or was there from the start. */
static void check_but(World *world, const char *what, const char *forgiven)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    g_autoptr(GPtrArray) kept = gw_fabric_list_kept(fabric);
    g_auto(GStrv) violations = gw_sim_violations(world->sim);
    g_auto(GStrv) wrong = gw_sim_check_disks(world->sim);
    g_auto(GStrv) leaks = gw_sim_leaks(world->sim, kept);

    for (guint i = 0; violations[i] != NULL; i++) {
        if (forgiven == NULL || strstr(violations[i], forgiven) == NULL)
            fail_msg("%s: the witness saw: %s", what, violations[i]);
    }
    if (wrong[0] != NULL)
        fail_msg("%s: at the end: %s", what, wrong[0]);
    if (leaks[0] != NULL)
        fail_msg("%s: left behind: %s", what, leaks[0]);
    assert_true(gw_sim_most_running(world->sim, WEB) <= 1);
    assert_true(gw_sim_most_running(world->sim, RUN) <= 1);
    assert_int_equal(gw_sim_definitions(world->sim, WEB), 1);
    assert_int_equal(gw_sim_definitions(world->sim, RUN), 1);
    assert_int_equal(gw_sim_definitions(world->sim, NAS), 1);
}

static void check(World *world, const char *what)
{
    check_but(world, what, NULL);
}

static void close_world(World *world, const char *what)
{
    static const char *const uuids[] = { WEB, RUN, NAS };

    /* No leave outlives its job. */
    for (guint i = 0; i < G_N_ELEMENTS(uuids); i++) {
        assert_false(gw_sim_has_leave(world->sim, uri_a(), uuids[i]));
        assert_false(gw_sim_has_leave(world->sim, uri_b(), uuids[i]));
    }
    check(world, what);
    world_free(world);
}

static GwMoveRequest *to_b(void)
{
    GwMoveRequest *request = gw_move_request_new();
    request->destination = g_strdup("b");
    request->options = gw_move_options_new();
    return request;
}

static char *move(World *world, const char *name, const GwMoveRequest *request)
{
    GError *error = NULL;
    g_autoptr(GwJob) job = gw_engine_migrate(world->engine, name, request, "tester", NULL, &error);
    if (error != NULL)
        fail_msg("%s", error->message);
    return g_strdup(job->id);
}

static char *move_web(World *world)
{
    g_autoptr(GwMoveRequest) request = to_b();
    return move(world, "web", request);
}

static char *move_storage(World *world, const char *name, const char *pool)
{
    g_autoptr(GwStorageRequest) request = gw_storage_request_new();
    GError *error = NULL;

    request->storage = g_strdup(pool);
    /* Its overlay names in itself where its base is: elsewhere the two become one (R14). */
    request->flatten = strcmp(name, "web") == 0;
    g_autoptr(GwJob) job =
        gw_engine_migrate_storage(world->engine, name, request, "tester", NULL, &error);
    if (error != NULL)
        fail_msg("%s", error->message);
    return g_strdup(job->id);
}

static GwJob *await_end(World *world, const char *id)
{
    for (int i = 0; i < 3600; i++) {
        g_autoptr(GwJob) job = world_job(world, id);
        if (gw_job_state_is_final((GwJobState)job->state))
            return g_steal_pointer(&job);
        world_run(world, SECONDS(1));
    }
    g_autoptr(GwJob) job = world_job(world, id);
    fail_msg("the job does not end: %s, %s", gw_enum_word(&gw_job_state_enum, job->state),
             job->waiting_for != NULL ? job->waiting_for : "");
    return NULL;
}

static void await_state(World *world, const char *id, GwJobState state)
{
    for (int i = 0; i < 36000; i++) {
        g_autoptr(GwJob) job = world_job(world, id);
        if (job->state == (int)state)
            return;
        world_run(world, G_USEC_PER_SEC / 20);
    }
    fail_msg("it never is %s", gw_enum_word(&gw_job_state_enum, (int)state));
}

static void is_state(const GwJob *job, GwJobState state)
{
    if (job->state != (int)state)
        fail_msg("%s: %s", gw_enum_word(&gw_job_state_enum, job->state),
                 job->error != NULL ? job->error->message : "");
}

static void ends(World *world, const char *id, GwJobState state)
{
    g_autoptr(GwJob) job = await_end(world, id);
    is_state(job, state);
}

static gboolean is_at(World *world, const char *uri, const char *uuid, GwVmState state)
{
    GwLook *look = gw_sim_look(world->sim, uri, uuid);
    gboolean there = look != NULL && look->present && look->state == (int)state;
    gw_look_free(look);
    return there;
}

static char *source_of(World *world, const char *uri, const char *uuid, const char *target)
{
    g_autoptr(GwDisk) at = gw_sim_disk(world->sim, uri, uuid, target);
    return at != NULL ? g_strdup(at->source) : NULL;
}

static void fault(World *world, const char *at, const char *what, int ms, int percent)
{
    g_autoptr(GwJson) json =
        json_pack("{s:s,s:s,s:i,s:i}", "at", at, "do", what, "ms", ms, "percent", percent);
    UNIT_OK(gw_sim_fault(world->sim, json, error));
}

/* Cold moves ------------------------------------------------------------------------------- */

static void a_vm_that_is_off_moves_over_the_network(void **state)
{
    World world;
    open_world(&world);
    guint vda = gw_sim_content(world.sim, uri_a(), "/images/web.qcow2");
    guint vdb = gw_sim_content(world.sim, uri_a(), "/images/data.raw");

    g_autofree char *id = move_web(&world);
    g_autoptr(GwJob) job = await_end(&world, id);
    is_state(job, GW_JOB_DONE);
    assert_string_equal(job->kind, GW_JOB_KIND_TRANSFER);
    assert_int_equal(job->transfer, GW_TRANSFER_NETWORK);
    assert_null(job->error);
    assert_int_equal(job->progress->percent, 100);
    assert_true(job->result->disk_bytes > 0);
    assert_true(is_at(&world, uri_b(), WEB, GW_VM_OFF));
    assert_int_equal(gw_sim_content(world.sim, uri_b(), "/images/web.qcow2"), vda);
    assert_int_equal(gw_sim_content(world.sim, uri_b(), "/images/data.raw"), vdb);
    /* Autostart goes where the VM goes. */
    GwLook *look = gw_sim_look(world.sim, uri_b(), WEB);
    assert_true(look->autostart);
    gw_look_free(look);
    /* Three images are kept for Undo. */
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    assert_int_equal(g_hash_table_size(fabric->kept), 3);
    close_world(&world, "cold move");
    (void)state;
}

static void it_is_started_where_it_went(void **state)
{
    World world;
    open_world(&world);
    g_autoptr(GwMoveRequest) request = to_b();
    request->options->start = TRUE;
    request->options->keep_source_s = -1;

    g_autofree char *id = move(&world, "web", request);
    ends(&world, id, GW_JOB_DONE);
    assert_true(is_at(&world, uri_b(), WEB, GW_VM_RUNNING));
    /* Nothing was to be kept, so nothing is there. */
    assert_int_equal(gw_sim_content(world.sim, uri_a(), "/images/data.raw"), 0);
    close_world(&world, "start after the move");
    (void)state;
}

/* Moved is moved. */
static void a_vm_that_does_not_start_has_moved(void **state)
{
    World world;
    open_world(&world);
    g_autoptr(GwMoveRequest) request = to_b();
    request->options->start = TRUE;
    fault(&world, "start", "fail", 0, 0);

    g_autofree char *id = move(&world, "web", request);
    g_autoptr(GwJob) job = await_end(&world, id);
    is_state(job, GW_JOB_DONE);
    assert_non_null(job->error);
    assert_non_null(strstr(job->error->message, "done, but: starting the VM at b"));
    assert_true(is_at(&world, uri_b(), WEB, GW_VM_OFF));
    close_world(&world, "a start that fails");
    (void)state;
}

static void on_a_share_only_the_definition_moves(void **state)
{
    World world;
    open_world(&world);
    g_autoptr(GwMoveRequest) request = to_b();

    g_autofree char *id = move(&world, "nas", request);
    g_autoptr(GwJob) job = await_end(&world, id);
    is_state(job, GW_JOB_DONE);
    assert_int_equal(job->transfer, GW_TRANSFER_REGISTER);
    assert_true(is_at(&world, uri_b(), NAS, GW_VM_OFF));
    g_autofree char *source = source_of(&world, uri_b(), NAS, "vda");
    assert_string_equal(source, "/nas/n.raw");
    close_world(&world, "register");
    (void)state;
}

/* Storage ---------------------------------------------------------------------------------- */

static void storage_of_a_running_vm_moves(void **state)
{
    World world;
    open_world(&world);

    g_autofree char *id = move_storage(&world, "run", "fast");
    g_autoptr(GwJob) job = await_end(&world, id);
    is_state(job, GW_JOB_DONE);
    assert_string_equal(job->kind, GW_JOB_KIND_STORAGE);
    assert_int_equal(job->transfer, GW_TRANSFER_STORAGE);
    assert_true(job->result->disk_bytes > 0);
    assert_int_equal(job->result->disk_sent_bytes, 0); /* it stayed on its host */
    assert_true(is_at(&world, uri_a(), RUN, GW_VM_RUNNING));
    g_autofree char *vda = source_of(&world, uri_a(), RUN, "vda");
    g_autofree char *vdb = source_of(&world, uri_a(), RUN, "vdb");
    assert_string_equal(vda, "/fast/run.qcow2");
    assert_string_equal(vdb, "/fast/run.raw");
    close_world(&world, "storage, running");
    (void)state;
}

static void storage_of_a_vm_that_is_off_moves(void **state)
{
    World world;
    open_world(&world);

    g_autofree char *id = move_storage(&world, "web", "fast");
    ends(&world, id, GW_JOB_DONE);
    g_autofree char *vda = source_of(&world, uri_a(), WEB, "vda");
    assert_string_equal(vda, "/fast/web.qcow2");
    assert_true(is_at(&world, uri_a(), WEB, GW_VM_OFF));
    close_world(&world, "storage, off");
    (void)state;
}

/* Cancelling ------------------------------------------------------------------------------- */

/* At every moment of a job: what was not over is taken back, what was is done. */
static void cancel_after(gint64 span_us, gboolean storage)
{
    World world;
    g_autoptr(GError) late = NULL;
    open_world(&world);
    g_autofree char *id = storage ? move_storage(&world, "run", "fast") : move_web(&world);
    g_autofree char *what =
        g_strdup_printf("cancelled after %" G_GINT64_FORMAT " ms", span_us / 1000);

    world_run(&world, span_us);
    g_autoptr(GwJob) asked = gw_engine_cancel_job(world.engine, id, &late);
    g_autoptr(GwJob) job = await_end(&world, id);
    if (asked != NULL) {
        is_state(job, GW_JOB_CANCELLED);
        assert_string_equal(job->error->code, "cancelled");
        g_autofree char *vda = source_of(&world, uri_a(), storage ? RUN : WEB, "vda");
        assert_string_equal(vda, storage ? "/images/run.qcow2" : "/images/web.qcow2");
    } else {
        assert_true(g_error_matches(late, GW_ERROR, GW_ERR_CONFLICT));
        is_state(job, GW_JOB_DONE);
    }
    close_world(&world, what);
}

static void it_can_be_cancelled_at_every_moment(void **state)
{
    guint count = 0;

    for (gint64 span = 0; span < SECONDS(80); span += unit_step(span / 6 + 1000), count++) {
        cancel_after(span, FALSE);
        cancel_after(span, TRUE);
    }
    assert_true(count > unit_trials(40) / 2);
    (void)state;
}

/* Death ------------------------------------------------------------------------------------ */

static void kill_after(gint64 span_us, gint64 away_us, gboolean storage)
{
    World world;
    open_world(&world);
    g_autofree char *id = storage ? move_storage(&world, "run", "fast") : move_web(&world);
    g_autofree char *what =
        g_strdup_printf("controller killed after %" G_GINT64_FORMAT " ms", span_us / 1000);

    world_run(&world, span_us);
    world_kill(&world);
    world_pass(&world, away_us);
    world_start(&world);
    world_run(&world, SECONDS(2));
    ends(&world, id, GW_JOB_DONE);
    assert_true(is_at(&world, storage ? uri_a() : uri_b(), storage ? RUN : WEB,
                      storage ? GW_VM_RUNNING : GW_VM_OFF));
    close_world(&world, what);
}

static void the_controller_may_die_at_every_moment(void **state)
{
    for (gint64 span = 1000; span < SECONDS(80); span += unit_step(span / 6 + 1000)) {
        kill_after(span, SECONDS(1), FALSE);
        kill_after(span, SECONDS(1), TRUE);
    }
    kill_after(SECONDS(3), SECONDS(600), FALSE);
    (void)state;
}

static void the_destination_may_die_half_way(void **state)
{
    static const char *const faults[] = { "host-down", "peer-down", "power-loss", "break" };

    for (guint i = 0; i < G_N_ELEMENTS(faults); i++) {
        World world;
        open_world(&world);
        fault(&world, "volume-copy", faults[i], 20000, 50);
        g_autofree char *id = move_web(&world);
        g_autoptr(GwJob) job = await_end(&world, id);
        /* One that comes back in time goes on where it was. */
        if (strcmp(faults[i], "break") != 0)
            is_state(job, GW_JOB_DONE);
        world_run(&world, SECONDS(60));
        close_world(&world, faults[i]);
    }
    (void)state;
}

/* R60: for one that stays away there is the progress time-out; what was made there is removed once
 * it is back. */
static void a_destination_that_stays_away_is_given_up(void **state)
{
    World world;
    open_world(&world);
    fault(&world, "volume-copy", "host-down", 3600 * 1000, 50);
    g_autofree char *id = move_web(&world);

    await_state(&world, id, GW_JOB_COPYING);
    world_run(&world, SECONDS(400));
    g_autoptr(GwJob) waiting = world_job(&world, id);
    is_state(waiting, GW_JOB_SETTLING);
    assert_non_null(waiting->waiting_for);
    g_autoptr(GwJob) job = await_end(&world, id);
    is_state(job, GW_JOB_FAILED);
    assert_string_equal(job->error->code, "timeout");
    assert_true(is_at(&world, uri_a(), WEB, GW_VM_OFF));
    close_world(&world, "a host that stays away");
    (void)state;
}

static void every_request_may_fail_or_be_lost(void **state)
{
    static const char *const ops[] = {
        "volume-create", "volume-copy", "define-from",   "undefine",  "autostart",     "look",
        "volume-look",   "get-xml",     "volume-delete", "pool-look", "copy-progress", "snapshots"
    };
    static const char *const whats[] = { "fail", "lose-reply", "slow" };

    for (guint i = 0; i < G_N_ELEMENTS(ops); i++) {
        for (guint j = 0; j < G_N_ELEMENTS(whats); j++) {
            World world;
            g_autofree char *what = g_strdup_printf("%s at %s", whats[j], ops[i]);
            open_world(&world);
            g_autoptr(GwMoveRequest) request = to_b();
            request->options->keep_source_s = -1;
            GError *error = NULL;
            g_autoptr(GwJob) begun =
                gw_engine_migrate(world.engine, "web", request, "tester", NULL, &error);
            assert_null(error);
            fault(&world, ops[i], whats[j], 40000, 0);
            g_autoptr(GwJob) job = await_end(&world, begun->id);
            /* Preflight that was not answered refuses, and nothing was begun. */
            gboolean asks = g_str_has_suffix(ops[i], "-look") || strcmp(ops[i], "get-xml") == 0;
            if (strcmp(whats[j], "fail") != 0 && !asks)
                is_state(job, GW_JOB_DONE);
            if (job->state == (int)GW_JOB_FAILED)
                assert_non_null(job->error->remedy);
            world_run(&world, SECONDS(60));
            /* What could not be deleted although it is old is said, and is there. */
            if (strcmp(what, "fail at volume-delete") == 0)
                assert_non_null(strstr(job->error->message, "deleting"));
            else
                check(&world, what);
            world_free(&world);
        }
    }
    (void)state;
}

static void every_request_of_a_mirror_may_fail_or_be_lost(void **state)
{
    static const char *const ops[] = { "volume-create", "block-copy",  "block-progress",
                                       "block-ready",   "block-pivot", "block-abort",
                                       "volume-delete" };
    static const char *const whats[] = { "fail", "lose-reply", "slow", "break" };

    for (guint i = 0; i < G_N_ELEMENTS(ops); i++) {
        for (guint j = 0; j < G_N_ELEMENTS(whats); j++) {
            World world;
            g_autofree char *what = g_strdup_printf("%s at %s", whats[j], ops[i]);
            open_world(&world);
            g_autofree char *id = move_storage(&world, "run", "fast");
            fault(&world, ops[i], whats[j], 40000, 0);
            g_autoptr(GwJob) job = await_end(&world, id);
            if (strcmp(whats[j], "lose-reply") == 0 || strcmp(whats[j], "slow") == 0)
                is_state(job, GW_JOB_DONE);
            assert_true(is_at(&world, uri_a(), RUN, GW_VM_RUNNING));
            world_run(&world, SECONDS(60));
            close_world(&world, what);
        }
    }
    (void)state;
}

static void a_pool_that_fills_up(void **state)
{
    static const char *const names[] = { "run", "web" };

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        World world;
        open_world(&world);
        g_autofree char *id = move_storage(&world, names[i], "fast");
        await_state(&world, id, GW_JOB_COPYING);
        world_run(&world, SECONDS(1));
        gw_sim_fill_pool(world.sim, uri_a(), "fast", 600000);
        g_autoptr(GwJob) job = await_end(&world, id);
        is_state(job, GW_JOB_FAILED);
        assert_non_null(job->error->remedy);
        assert_non_null(strstr(job->error->message, "fast of a"));
        close_world(&world, "a full pool");
    }
    (void)state;
}

/* A template on a share, with a VM's overlay on it on either host; the other host's is its own. */
static void open_template(World *world)
{
    json_t *here = disk("vda", "file", "qcow2", "/nas/web.qcow2");
    json_t *there = disk("vda", "file", "qcow2", "/images/run.qcow2");

    json_object_set_new(here, "backing_path", json_string("/nas/base.qcow2"));
    json_object_set_new(there, "backing_path", json_string("/nas/base.qcow2"));
    world_make(
        world, gw_clock_new_virtual(SECONDS(1700000000)),
        json_pack("{s:i,s:i,s:[o,o]}", "link_mibps", 100, "disk_mibps", 200, "hosts",
                  host(0, json_pack("[o]", vm(WEB, "web", "off", json_pack("[o]", here)))),
                  host(1, json_pack("[o]", vm(RUN, "run", "off", json_pack("[o]", there))))));
    world_start(world);
    world_run(world, SECONDS(1));
    world_add_host(world, 0);
    world_add_host(world, 1);
    world_run(world, SECONDS(2));
}

/* Its host does not know what other hosts have on it. */
static void an_image_below_a_disk_on_a_share_stays(void **state)
{
    World world;
    GError *error = NULL;
    open_template(&world);
    g_autoptr(GwStorageRequest) request = gw_storage_request_new();
    request->storage = g_strdup("fast");
    request->flatten = TRUE;
    request->keep_source_s = -1;
    g_autoptr(GwJob) job =
        gw_engine_migrate_storage(world.engine, "web", request, "tester", NULL, &error);
    assert_null(error);
    ends(&world, job->id, GW_JOB_DONE);
    world_run(&world, SECONDS(60));
    assert_int_equal(gw_sim_content(world.sim, uri_a(), "/nas/web.qcow2"), 0);
    assert_int_not_equal(gw_sim_content(world.sim, uri_b(), "/nas/base.qcow2"), 0);
    g_auto(GStrv) violations = gw_sim_violations(world.sim);
    if (violations[0] != NULL)
        fail_msg("the witness saw: %s", violations[0]);
    world_free(&world);
    (void)state;
}

/* R14, I8: that it ended is half of what a person needs to know. */
static void a_mirror_that_breaks_off_says_why(void **state)
{
    World world;
    open_world(&world);
    fault(&world, "block-copy", "fail", 0, 50);
    g_autofree char *id = move_storage(&world, "run", "fast");
    g_autoptr(GwJob) job = await_end(&world, id);
    assert_int_equal(job->state, GW_JOB_FAILED);
    assert_non_null(strstr(job->error->message, "QEMU says: Input/output error (write)"));
    assert_non_null(strstr(job->error->message, "goes on with /images/run.qcow2"));
    close_world(&world, "a mirror that broke off");
    (void)state;
}

static char *move_vdb_to(World *world, const char *name, const char *volume)
{
    g_autoptr(GwMoveRequest) request = to_b();
    GwDiskChoice *choice = gw_disk_choice_new();

    choice->target = g_strdup("vdb");
    choice->storage = g_strdup("fast");
    choice->name = g_strdup(volume);
    request->options->disks = gw_record_array(&gw_disk_choice_record);
    g_ptr_array_add(request->options->disks, choice);
    return move(world, name, request);
}

/* Each would take what the other made for its own where an answer is lost. */
static void two_jobs_do_not_make_one_volume(void **state)
{
    World world;
    open_world(&world);
    fault(&world, "volume-create", "slow", 10000, 0);
    g_autofree char *first = move_vdb_to(&world, "web", "same.raw");
    g_autofree char *second = move_vdb_to(&world, "run", "same.raw");
    g_autoptr(GwJob) refused = await_end(&world, second);

    is_state(refused, GW_JOB_FAILED);
    assert_non_null(strstr(refused->error->message, "another job makes a volume of that name"));
    assert_non_null(refused->error->remedy);
    ends(&world, first, GW_JOB_DONE);
    close_world(&world, "two of one name");
    (void)state;
}

/* Under us --------------------------------------------------------------------------------- */

static void power_on(World *world, const char *uri, const char *uuid)
{
    /* As a person would, by virsh. */
    gw_sim_boot(world->sim, uri, uuid);
}

static void a_vm_that_is_started_under_us_runs_on(void **state)
{
    for (gint64 span = 1000; span < SECONDS(60); span += unit_step(span / 3 + 1000)) {
        World world;
        open_world(&world);
        g_autofree char *id = move_web(&world);
        g_autofree char *what =
            g_strdup_printf("started after %" G_GINT64_FORMAT " ms", span / 1000);

        world_run(&world, span);
        gboolean there = is_at(&world, uri_a(), WEB, GW_VM_OFF);
        if (there)
            power_on(&world, uri_a(), WEB);
        g_autoptr(GwJob) job = await_end(&world, id);
        is_state(job, there ? GW_JOB_FAILED : GW_JOB_DONE);
        if (there) {
            assert_true(is_at(&world, uri_a(), WEB, GW_VM_RUNNING));
            /* Preflight says so in its own words, and so does a copy. */
            if (strstr(job->error->message, "was started") == NULL &&
                strstr(job->error->message, "changed while") == NULL &&
                strstr(job->error->message, "runs now") == NULL)
                fail_msg("%s: %s", what, job->error->message);
        }
        /* That a person did; what was copied of it is thrown away. */
        check_but(&world, what, "written to while it was copied");
        world_free(&world);
    }
    (void)state;
}

/* The request may be lost on its way to the host, and be repeated long after the last look: a VM
 * that runs on its old disks must not start from the copies next. */
static void a_vm_that_was_started_is_not_defined_with_old_copies(void **state)
{
    World world;
    open_world(&world);
    fault(&world, "define-from", "host-down", 60000, 0);
    g_autofree char *id = move_storage(&world, "web", "fast");

    await_state(&world, id, GW_JOB_COMMITTING);
    world_run(&world, SECONDS(5));
    power_on(&world, uri_a(), WEB);
    g_autoptr(GwJob) job = await_end(&world, id);
    is_state(job, GW_JOB_FAILED);
    assert_non_null(strstr(job->error->message, "was started"));
    gw_sim_shut_down(world.sim, WEB);
    world_run(&world, SECONDS(60));
    power_on(&world, uri_a(), WEB);
    g_autofree char *source = source_of(&world, uri_a(), WEB, "vdb");
    assert_string_equal(source, "/images/data.raw");
    close_world(&world, "started before it was defined anew");
    (void)state;
}

/* The answer alone was lost: it runs on its copies, and there is nothing to do. */
static void a_vm_that_was_started_from_its_copies_is_defined_already(void **state)
{
    World world;
    open_world(&world);
    fault(&world, "define-from", "lose-reply", 0, 0);
    g_autofree char *id = move_storage(&world, "web", "fast");

    await_state(&world, id, GW_JOB_COMMITTING);
    gw_sim_cut_off(world.sim, uri_a(), 30000);
    power_on(&world, uri_a(), WEB);
    ends(&world, id, GW_JOB_DONE);
    g_autofree char *source = source_of(&world, uri_a(), WEB, "vdb");
    assert_string_equal(source, "/fast/data.raw");
    close_world(&world, "started after it was defined anew");
    (void)state;
}

/* The controller was away, and saw nothing of it. */
static void what_was_written_while_nobody_looked_is_noticed(void **state)
{
    World world;
    open_world(&world);
    g_autofree char *id = move_web(&world);

    await_state(&world, id, GW_JOB_COPYING);
    world_run(&world, SECONDS(15));
    world_kill(&world);
    power_on(&world, uri_a(), WEB);
    world_pass(&world, SECONDS(5));
    gw_sim_shut_down(world.sim, WEB);
    world_pass(&world, SECONDS(5));
    world_start(&world);
    world_run(&world, SECONDS(2));
    g_autoptr(GwJob) job = await_end(&world, id);
    is_state(job, GW_JOB_FAILED);
    assert_non_null(strstr(job->error->message, "written to"));
    close_world(&world, "written to while nobody looked");
    (void)state;
}

static void a_held_vm_is_not_started(void **state)
{
    World world;
    GError *error = NULL;
    open_world(&world);
    g_autofree char *id = move_web(&world);

    await_state(&world, id, GW_JOB_COPYING);
    assert_null(gw_engine_start_vm(world.engine, "web", &error));
    assert_true(g_error_matches(error, GW_ERROR, GW_ERR_CONFLICT));
    g_clear_error(&error);
    ends(&world, id, GW_JOB_DONE);
    close_world(&world, "held");
    (void)state;
}

/* Slots and limits ------------------------------------------------------------------------- */

static void storage_slots_are_shared_with_moves(void **state)
{
    World world;
    open_world(&world);
    g_autofree char *first = move_web(&world);
    g_autofree char *second = move_storage(&world, "run", "fast");
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    const GwHost *a = gw_fabric_find_host(fabric, "a");
    GError *error = NULL;

    /* The default is two at once: with one of three allowed, the second waits. */
    g_autoptr(GwHost) changed = gw_host_copy(a);
    changed->storage_limit = 1;
    G_GNUC_UNUSED g_autoptr(GwHost) stored = world_change_host(world.engine, changed, &error);
    assert_null(error);
    ends(&world, first, GW_JOB_DONE);
    ends(&world, second, GW_JOB_DONE);

    g_autofree char *third = move_storage(&world, "run", "images");
    g_autoptr(GwMoveRequest) request = to_b();
    request->options->copy_all = TRUE;
    request->options->storage = g_strdup("fast");
    g_autofree char *fourth = move(&world, "nas", request);
    await_state(&world, third, GW_JOB_COPYING);
    g_autoptr(GwJob) waits = world_job(&world, fourth);
    is_state(waits, GW_JOB_QUEUED);
    assert_non_null(strstr(waits->waiting_for, "1 of 1 storage migrations"));
    ends(&world, third, GW_JOB_DONE);
    ends(&world, fourth, GW_JOB_DONE);
    close_world(&world, "slots");
    (void)state;
}

static void the_limit_can_be_changed_while_it_copies(void **state)
{
    World world;
    GError *error = NULL;
    open_world(&world);
    g_autoptr(GwMoveRequest) request = to_b();
    request->options->bandwidth_mibps = 1;
    g_autofree char *id = move(&world, "web", request);

    await_state(&world, id, GW_JOB_COPYING);
    world_run(&world, SECONDS(10));
    g_autoptr(GwJob) slow = world_job(&world, id);
    assert_true(slow->progress->percent < 5);
    GwJobChange change = { .bandwidth_mibps = 0, .max_downtime_ms = -1 };
    G_GNUC_UNUSED g_autoptr(GwJob) changed =
        gw_engine_change_job(world.engine, id, &change, &error);
    assert_null(error);
    world_run(&world, SECONDS(60));
    ends(&world, id, GW_JOB_DONE);
    g_autoptr(GwJob) job = world_job(&world, id);
    assert_true(job->result->total_ms < 90000);
    close_world(&world, "another limit");
    (void)state;
}

static void percent_never_goes_back(void **state)
{
    World world;
    gint64 seen = 0, middle = 0;
    open_world(&world);
    g_autofree char *id = move_web(&world);

    for (;;) {
        g_autoptr(GwJob) job = world_job(&world, id);
        gint64 percent = job->progress != NULL ? job->progress->percent : 0;
        assert_true(percent >= seen);
        seen = percent;
        middle += percent > 10 && percent < 90;
        if (gw_job_state_is_final((GwJobState)job->state))
            break;
        world_run(&world, G_USEC_PER_SEC / 2);
    }
    assert_int_equal(seen, 100);
    assert_true(middle > 5);
    close_world(&world, "progress");
    (void)state;
}

/* Agents ----------------------------------------------------------------------------------- */

static int with_agents(void **state)
{
    agents = TRUE;
    world_set_agents(3);
    (void)state;
    return 0;
}

static int without_agents(void **state)
{
    agents = FALSE;
    world_set_agents(0);
    (void)state;
    return 0;
}

/* A person's word, and then every way in which agents and the link between them fail. */
static void agents_that_die_or_do_not_reach_each_other(void **state)
{
    for (gint64 span = 1000; span < SECONDS(60); span += unit_step(span / 2 + 1000)) {
        for (int who = 0; who < 3; who++) {
            World world;
            g_autofree char *what =
                g_strdup_printf("%s after %" G_GINT64_FORMAT " ms",
                                who == 2 ? "link cut" : "agent killed", span / 1000);
            open_world(&world);
            g_autofree char *id = move_web(&world);
            world_run(&world, span);
            if (who == 2)
                gw_sim_cut_link(world.sim, uri_a(), uri_b(), 20000);
            else
                gw_sim_kill_agent(world.sim, who == 0 ? uri_a() : uri_b(), 20000);
            g_autoptr(GwJob) job = await_end(&world, id);
            /* Of what was being asked of it only preflight takes silence for a refusal. */
            if (job->tasks != NULL && job->tasks->len > 0)
                is_state(job, GW_JOB_DONE);
            world_run(&world, SECONDS(60));
            close_world(&world, what);
        }
    }
    (void)state;
}

/* The agents' leave ends with the job also where an agent refused to end it at first. */
static void a_leave_that_an_agent_would_not_end(void **state)
{
    World world;
    open_world(&world);

    g_autofree char *id = move_web(&world);
    await_state(&world, id, GW_JOB_COPYING);
    world_run(&world, SECONDS(1));
    fault(&world, "close", "fail", 0, 0);
    fault(&world, "close", "fail", 0, 0);
    g_autoptr(GwJob) asked = gw_engine_cancel_job(world.engine, id, NULL);
    assert_non_null(asked);
    g_autoptr(GwJob) job = await_end(&world, id);
    is_state(job, GW_JOB_CANCELLED);
    close_world(&world, "a leave that did not end at first"); /* sees whether it did */
    (void)state;
}

#define WITH_AGENTS(test) cmocka_unit_test_setup_teardown(test, with_agents, without_agents)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vm_that_is_off_moves_over_the_network),
        cmocka_unit_test(it_is_started_where_it_went),
        cmocka_unit_test(a_vm_that_does_not_start_has_moved),
        cmocka_unit_test(on_a_share_only_the_definition_moves),
        cmocka_unit_test(storage_of_a_running_vm_moves),
        cmocka_unit_test(storage_of_a_vm_that_is_off_moves),
        cmocka_unit_test(it_can_be_cancelled_at_every_moment),
        cmocka_unit_test(the_controller_may_die_at_every_moment),
        cmocka_unit_test(the_destination_may_die_half_way),
        cmocka_unit_test(a_destination_that_stays_away_is_given_up),
        cmocka_unit_test(every_request_may_fail_or_be_lost),
        cmocka_unit_test(every_request_of_a_mirror_may_fail_or_be_lost),
        cmocka_unit_test(a_pool_that_fills_up),
        cmocka_unit_test(a_vm_that_is_started_under_us_runs_on),
        cmocka_unit_test(an_image_below_a_disk_on_a_share_stays),
        cmocka_unit_test(two_jobs_do_not_make_one_volume),
        cmocka_unit_test(a_vm_that_was_started_is_not_defined_with_old_copies),
        cmocka_unit_test(a_vm_that_was_started_from_its_copies_is_defined_already),
        cmocka_unit_test(what_was_written_while_nobody_looked_is_noticed),
        cmocka_unit_test(a_held_vm_is_not_started),
        cmocka_unit_test(storage_slots_are_shared_with_moves),
        cmocka_unit_test(the_limit_can_be_changed_while_it_copies),
        cmocka_unit_test(percent_never_goes_back),
        cmocka_unit_test(a_mirror_that_breaks_off_says_why),
        WITH_AGENTS(a_vm_that_is_off_moves_over_the_network),
        WITH_AGENTS(storage_of_a_running_vm_moves),
        WITH_AGENTS(storage_of_a_vm_that_is_off_moves),
        WITH_AGENTS(it_can_be_cancelled_at_every_moment),
        WITH_AGENTS(the_controller_may_die_at_every_moment),
        WITH_AGENTS(the_destination_may_die_half_way),
        WITH_AGENTS(every_request_may_fail_or_be_lost),
        WITH_AGENTS(a_vm_that_is_started_under_us_runs_on),
        WITH_AGENTS(agents_that_die_or_do_not_reach_each_other),
        WITH_AGENTS(a_leave_that_an_agent_would_not_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
