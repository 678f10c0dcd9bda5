/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine_world.h"

#include "base/error.h"

/* The whole engine over the simulated fabric and a virtual clock: every move is tried with every
 * fault at every phase, and with the controller's death at every moment. After each trial the
 * invariants I1 to I5 must hold, as a witness outside the engine sees them. */

#define VM "6d0b6b0e-0000-4000-8000-000000000001"
#define URI_A "qemu+tls://a.example.org/system"
#define URI_B "qemu+tls://b.example.org/system"

static json_t *fabric_json(gint64 dirty_mibps)
{
    json_t *a = world_host_json(0);
    json_object_set_new(a, "vms", json_pack("[o]", world_vm_json(VM, "web1")));
    return json_pack("{s:[o,o], s:i, s:I}", "hosts", a, world_host_json(1), "link_mibps", 500,
                     "dirty_mibps", (json_int_t)dirty_mibps);
}

static void open_world_that_dirties(World *world, gint64 mibps)
{
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)), fabric_json(mibps));
    world_start(world);
    world_add_host(world, 0);
    world_add_host(world, 1);
    world_run(world, SECONDS(1));
}

static void open_world(World *world)
{
    open_world_that_dirties(world, 10);
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

/* I1, I2 and I3 after the dust has settled, and that the job and the lists tell the truth. */
static void check_settled(World *world, const char *id, const char *trial)
{
    g_autoptr(GwJob) job = world_job(world, id);
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
    world_run(&world, SECONDS(20));
    check_settled(&world, id, "plain");
    g_autoptr(GwJob) job = world_job(&world, id);
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
    world_free(&world);
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
    world_run(&world, SECONDS(300));
    check_settled(&world, id, trial);
    world_free(&world);
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
    world_run(&world, at_us);
    world_kill(&world);
    gw_clock_advance_to(world.clock, gw_clock_now_us(world.clock) + SECONDS(2));
    world_start(&world);
    world_run(&world, SECONDS(200));
    check_settled(&world, id, trial);
    world_free(&world);
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
    world_run(&world, at_us);
    g_autoptr(GwJob) before = world_job(&world, id);
    g_autoptr(GwJob) job = gw_engine_cancel_job(world.engine, id, &error);
    /* R58: refused only where the destination has it already, and then with the reason. */
    if (job == NULL) {
        assert_true(strstr(error->message, "not possible") != NULL ||
                    strstr(error->message, "already") != NULL);
        g_clear_error(&error);
    }
    world_run(&world, SECONDS(60));
    check_settled(&world, id, trial);
    g_autoptr(GwJob) after = world_job(&world, id);
    if (before->state == GW_JOB_QUEUED || before->state == GW_JOB_CHECKING ||
        before->state == GW_JOB_PREPARING)
        assert_int_equal(after->state, GW_JOB_CANCELLED);
    world_free(&world);
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

    open_world_that_dirties(&world, dirty_mibps);
    request->destination = g_strdup("b");
    request->options = gw_move_options_new();
    if (strcmp(change, "completion") == 0)
        request->options->completion_timeout_s_per_gib = 40;
    else
        request->options->progress_timeout_s = 15;
    g_autoptr(GwJob) begun =
        gw_engine_migrate(world.engine, "web1", request, "tester", NULL, &error);
    assert_null(error);
    world_run(&world, span_us);
    check_settled(&world, begun->id, change);
    g_autoptr(GwJob) job = world_job(&world, begun->id);
    *message = g_strdup(job->error->message);
    int state = job->state;
    world_free(&world);
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
    world_run(&world, SECONDS(20));
    check_settled(&world, id, "the first of two");
    world_free(&world);
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
    world_free(&world);
}

/* R3, and never a second copy: not while the other one runs or cannot be seen. */
static void test_start_never_makes_a_second_copy(void **unused)
{
    static const char *const twin = "b/web1";
    World world;
    GError *error = NULL;
    (void)unused;

    open_world(&world);
    gw_sim_plant(world.sim, URI_B, VM, GW_VM_OFF);
    GError *none = NULL;
    assert_true(gw_engine_refresh_host(world.engine, "b", &none));
    world_run(&world, SECONDS(1));
    assert_null(gw_engine_start_vm(world.engine, twin, &error));
    assert_true(g_error_matches(error, GW_ERROR, GW_ERR_CONFLICT));
    g_clear_error(&error);
    assert_int_equal(gw_sim_running(world.sim, VM), 1);

    gw_sim_cut_off(world.sim, URI_A, 60000);
    world_run(&world, SECONDS(1));
    assert_null(gw_engine_start_vm(world.engine, twin, &error));
    assert_non_null(strstr(error->message, "does not answer"));
    g_clear_error(&error);
    assert_int_equal(gw_sim_most_running(world.sim, VM), 1);
    world_free(&world);
}

/* Another machine that does not have the VM must not decide a move (I1). */
static void test_a_host_in_use_keeps_its_uri(void **unused)
{
    World world;
    g_autoptr(GError) error = NULL;
    (void)unused;

    open_world(&world);
    g_autofree char *id = begin_move(&world);
    world_run(&world, SECONDS(1) / 10);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    g_autoptr(GwHost) host = gw_host_copy(gw_fabric_find_host(fabric, "a"));
    g_free(host->uri);
    host->uri = g_strdup("qemu+tls://elsewhere.example.org/system");
    assert_null(world_change_host(world.engine, host, &error));
    unit_assert_error(error, GW_ERR_CONFLICT, "uses host 'a'");
    world_run(&world, SECONDS(20));
    check_settled(&world, id, "a change of URI");
    world_free(&world);
}

static GwHost *set_storage(World *world, const char *location, GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    g_autoptr(GwHost) host = gw_host_copy(gw_fabric_find_host(fabric, "a"));
    g_autoptr(GPtrArray) all = g_ptr_array_new();

    for (guint i = 0; host->default_storage != NULL && host->default_storage[i] != NULL; i++)
        g_ptr_array_add(all, host->default_storage[i]);
    g_ptr_array_add(all, (gpointer)location);
    g_ptr_array_add(all, NULL);
    char **old = host->default_storage;
    host->default_storage = g_strdupv((char **)all->pdata);
    g_strfreev(old);
    host->keep_source_s = 7;
    return world_change_host(world->engine, host, error);
}

/* R16: default storage locations are pools of the host, or their paths. */
static void test_default_storage_is_of_the_host(void **unused)
{
    static const char *const others[] = { "nonsense", "/nowhere", "", "/images/..", "images/" };
    World world;
    (void)unused;

    open_world(&world);
    g_autoptr(GwHost) named = set_storage(&world, "images", NULL);
    assert_non_null(named);
    g_autoptr(GwHost) both = set_storage(&world, "/images/", NULL);
    assert_int_equal(g_strv_length(both->default_storage), 2);
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(set_storage(&world, others[i], &error));
        assert_true(g_error_matches(error, GW_ERROR, GW_ERR_INVALID));
        assert_non_null(strstr(gw_error_remedy(error), "images"));
    }
    g_autoptr(GError) twice = NULL;
    assert_null(set_storage(&world, "images", &twice));
    assert_non_null(strstr(twice->message, "twice"));

    /* What a person set outlives what the host says of itself, and the controller's death. */
    world_run(&world, SECONDS(120));
    world_kill(&world);
    world_start(&world);
    world_run(&world, SECONDS(20));
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    const GwHost *host = gw_fabric_find_host(fabric, "a");
    assert_int_equal(g_strv_length(host->default_storage), 2);
    assert_int_equal(host->keep_source_s, 7);
    world_free(&world);
}

static gint64 live_in_use(World *world, const char *name)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    return gw_fabric_find_host(fabric, name)->live_in_use;
}

/* R23: a host that was stored while a move held one of its slots holds none after a restart. */
static void test_slots_in_use_are_counted_anew_at_start(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    g_autofree char *id G_GNUC_UNUSED = begin_move(&world);
    world_run(&world, SECONDS(1) / 10);
    assert_int_equal(live_in_use(&world, "a"), 1);
    g_autoptr(GwHost) stored = set_storage(&world, "images", NULL);
    assert_non_null(stored);
    world_run(&world, SECONDS(200));
    assert_int_equal(live_in_use(&world, "a"), 0);
    world_kill(&world);
    world_start(&world);
    world_run(&world, SECONDS(1));
    assert_int_equal(live_in_use(&world, "a"), 0);
    world_free(&world);
}

/* Also of one that is added with them: it is connected to first. */
static void test_default_storage_of_a_new_host(void **unused)
{
    static const char *const rows[] = { "nonsense", "images" };
    World world;
    (void)unused;

    open_world(&world);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    const GwHost *b = gw_fabric_find_host(fabric, "b");
    assert_true(gw_engine_remove_host(world.engine, b->id, NULL));
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GwHost) host = gw_host_new_default();
        host->uri = world_uri(1);
        host->default_storage = g_strsplit(rows[i], ",", 0);
        g_autoptr(GwHost) added = gw_engine_add_host(world.engine, host, &error);
        assert_int_equal(added != NULL, i == 1);
        assert_int_equal(error != NULL, i == 0);
    }
    world_free(&world);
}

static void test_another_machine_is_not_taken_for_the_host(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    gw_sim_exchange(world.sim, URI_B, "bbbbbbbb-0000-4000-8000-000000000009");
    world_kill(&world);
    world_start(&world);
    world_run(&world, SECONDS(5));
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    const GwHost *host = gw_fabric_find_host(fabric, "b");
    assert_int_equal(host->status, GW_HOST_NOT_RESPONDING);
    assert_non_null(strstr(host->status_reason, "another machine"));
    world_free(&world);
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
    g_autoptr(GwHost) none = world_change_host(world.engine, host, &error);
    assert_non_null(none);
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    request->destination = g_strdup("b");
    assert_null(gw_engine_migrate(world.engine, "web1", request, "tester", NULL, &error));
    assert_non_null(error);
    g_clear_error(&error);
    world_free(&world);
}

/* In real time, with the loop on a thread of its own: who was answered reads what was answered. */
static void test_answers_come_after_the_picture(void **unused)
{
    World world;
    (void)unused;

    world_make(&world, gw_clock_new_system(),
               json_pack("{s:[o,o]}", "hosts", world_host_json(0), world_host_json(1)));
    world_start(&world);
    for (int i = 0; i < 300; i++) {
        g_autoptr(GwGroup) wanted = gw_group_new();
        wanted->name = g_strdup_printf("group %d", i);
        g_autoptr(GwGroup) added = gw_engine_add_group(world.engine, wanted, NULL);
        g_autoptr(GwFabric) seen = gw_engine_fabric(world.engine);
        if (gw_fabric_find_group(seen, added->id) == NULL)
            fail_msg("%s was answered before it could be seen", added->name);
    }
    world_free(&world);
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
        cmocka_unit_test(test_start_never_makes_a_second_copy),
        cmocka_unit_test(test_a_host_in_use_keeps_its_uri),
        cmocka_unit_test(test_default_storage_is_of_the_host),
        cmocka_unit_test(test_default_storage_of_a_new_host),
        cmocka_unit_test(test_slots_in_use_are_counted_anew_at_start),
        cmocka_unit_test(test_another_machine_is_not_taken_for_the_host),
        cmocka_unit_test(test_queue_obeys_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
