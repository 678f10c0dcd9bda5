/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sim_world.h"

/* The simulator as a driver: what hyper.h promises of every driver, and what docs/simulator.md
 * promises of this one. */

static const char *const fabric_text =
    "{'link_mibps': 100, 'dirty_mibps': 20, 'confirm_ms': 150, 'hosts': ["
    " {'uri': '" URI_A
    "', 'latency_ms': 3, 'facts': {'hostname': 'a', 'usage': {'cpu_permille': 250}, 'pools': ["
    "   {'name': 'vms', 'type': 'netfs', 'source': 'nas:/vms', 'active': true}]},"
    "  'vms': [{'uuid': '" VM "', 'name': 'web1', 'state': 'running', 'persistent': true,"
    "           'memory_kib': 262144, 'max_memory_kib': 262144,"
    "           'usage': {'cpu_permille': 700, 'memory_used_kib': 262144}}]},"
    " {'uri': '" URI_B "', 'latency_ms': 7, 'facts': {'hostname': 'b', 'pools': ["
    "   {'name': 'vms', 'type': 'netfs', 'source': 'nas:/vms', 'active': true}]}}]}";

static guint64 submit_op(World *world, GwOp op, const char *host_id)
{
    return world_submit(world, gw_request_new(op, host_id, VM));
}

static guint64 submit_migrate(World *world, const char *from, const char *to)
{
    GwRequest *request = gw_request_new(GW_OP_MIGRATE, from, VM);
    request->migrate = g_new0(GwMigrate, 1);
    request->migrate->destination_host_id = g_strdup(to);
    request->migrate->peer_to_peer = TRUE;
    request->migrate->persist = TRUE;
    return world_submit(world, request);
}

/* The one reply to @id. */
static const GwReply *reply_to(const World *world, guint64 id)
{
    const GwReply *found = world_reply(world, id);

    assert_non_null(found);
    return found;
}

static const GwReply *ask(World *world, guint64 id)
{
    world_run_for(world, SECOND);
    return reply_to(world, id);
}

static void open_connected(World *world)
{
    world_open(world, world_clock(), fabric_text, FALSE);
    assert_null(ask(world, world_connect(world, "A", URI_A))->error);
    assert_null(ask(world, world_connect(world, "B", URI_B))->error);
}

/* Tests ------------------------------------------------------------------------------------ */

/* A request that is complete, whatever it asks for. */
static guint64 submit_any(World *world, GwOp op, const char *host_id, const char *uri,
                          const char *other_id)
{
    if (op == GW_OP_MIGRATE)
        return submit_migrate(world, host_id, other_id);
    if (op == GW_OP_CONNECT)
        return world_connect(world, host_id, uri);
    GwRequest *request = gw_request_new(op, host_id, VM);
    request->text = g_strdup("vms");
    request->text2 = g_strdup("marker");
    return world_submit(world, request);
}

/* Whatever is asked of a host, of the other one, or of one that nobody knows: one answer. */
static void each_request_is_answered_once(void **unused)
{
    static const char *const hosts[][3] = {
        { "A", URI_A, "B" },
        { "B", URI_B, "A" },
        { "nobody", "qemu+tls://c.example.org/system", "A" },
    };
    World world;

    open_connected(&world);
    for (guint h = 0; h < G_N_ELEMENTS(hosts); h++) {
        for (GwOp op = 0; op < GW_OP_COUNT; op++) {
            guint64 id = submit_any(&world, op, hosts[h][0], hosts[h][1], hosts[h][2]);
            world_run_for(&world, 60 * SECOND);
            const GwReply *reply = reply_to(&world, id);
            if (h == 2 && op != GW_OP_DISCONNECT)
                assert_int_equal(reply->error->code, GW_ERR_UNREACHABLE);
            if (h == 0 && op == GW_OP_MIGRATE)
                assert_null(reply->error);
            if (h == 1 && op == GW_OP_MIGRATE) /* START has made a twin: no move comes onto it */
                assert_int_equal(reply->error->code, GW_ERR_OPERATION);
            if (op == GW_OP_DISCONNECT && h < 2) /* what follows finds it connected again */
                ask(&world, world_connect(&world, hosts[h][0], hosts[h][1]));
        }
    }
    assert_int_equal(world.replies->len, world.last_id);
    world_close(&world);
}

static void a_move_to_nowhere_fails(void **unused)
{
    static const char *const wrong[] = { "A", "nobody" };
    World world;

    open_connected(&world);
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        const GwReply *reply = ask(&world, submit_migrate(&world, "A", wrong[i]));
        assert_int_equal(reply->error->code, GW_ERR_OPERATION);
        assert_int_equal(gw_sim_running(world.sim, VM), 1);
        assert_int_equal(gw_sim_definitions(world.sim, VM), 1);
    }
    world_close(&world);
}

static void answers_take_the_hosts_latency(void **unused)
{
    World world;

    open_connected(&world);
    gint64 now = gw_clock_now_us(world.clock);
    guint64 from_b = submit_op(&world, GW_OP_FACTS, "B");
    guint64 from_a = submit_op(&world, GW_OP_FACTS, "A");
    world_run_for(&world, SECOND);
    assert_int_equal(reply_to(&world, from_a)->at_us - now, 3000);
    assert_int_equal(reply_to(&world, from_b)->at_us - now, 7000);
    assert_string_equal(reply_to(&world, from_a)->facts->hostname, "a");
    world_close(&world);
}

/* 256 MiB at 100 MiB/s, dirtied at 20 MiB/s: rounds of 2.56, 0.512 and 0.1024 s are sent, of which
 * the last fits into the downtime of 0.3 s. */
static void a_move_takes_what_memory_and_link_say(void **unused)
{
    World world;

    open_connected(&world);
    gint64 begun = gw_clock_now_us(world.clock);
    guint64 id = submit_migrate(&world, "A", "B");
    world_run_for(&world, SECOND);
    const GwReply *progress = ask(&world, submit_op(&world, GW_OP_PROGRESS, "A"));
    assert_non_null(progress->progress);
    assert_true(progress->progress->converging);
    world_run_for(&world, 20 * SECOND);

    const GwReply *reply = reply_to(&world, id);
    assert_null(reply->error);
    gint64 copied = 2560000 + 512000 + 102400;
    gint64 fixed = 3000 + 20000 + 5000 + 150000; /* latency, set-up, finish, confirm_ms */
    assert_in_range(reply->at_us - begun, copied + fixed - 1000, copied + fixed + 1000);
    assert_int_equal(gw_sim_running(world.sim, VM), 1);
    assert_int_equal(gw_sim_most_running(world.sim, VM), 1);
    GwLook *look = gw_sim_look(world.sim, URI_B, VM);
    assert_int_equal(look->state, GW_VM_RUNNING);
    assert_true(look->persistent);
    gw_look_free(look);
    world_close(&world);
}

static void a_host_that_is_down_is_unreachable(void **unused)
{
    World world;

    open_connected(&world);
    world_add_fault(&world, "copy", "destination-down", 5000, 0);
    guint64 move = submit_migrate(&world, "A", "B");
    world_run_for(&world, 3 * SECOND); /* the first round takes 2.56 s */
    assert_non_null(reply_to(&world, move)->error);
    assert_non_null(strstr(world.diary->str, "event 0 B - connection lost"));
    const GwReply *away = ask(&world, submit_op(&world, GW_OP_FACTS, "B"));
    assert_int_equal(away->error->code, GW_ERR_UNREACHABLE);
    world_run_for(&world, 10 * SECOND);
    assert_null(ask(&world, world_connect(&world, "B", URI_B))->error);
    assert_null(ask(&world, submit_op(&world, GW_OP_FACTS, "B"))->error);
    world_close(&world);
}

/* A word for word list of what was answered and told, and when. */
static char *diary_of(const char *at, const char *what)
{
    World world;

    open_connected(&world);
    if (at != NULL)
        world_add_fault(&world, at, what, 2000, 0);
    submit_migrate(&world, "A", "B");
    for (int i = 0; i < 40; i++) {
        submit_op(&world, i % 2 == 0 ? GW_OP_PROGRESS : GW_OP_LOOK, i % 3 == 0 ? "A" : "B");
        world_run_for(&world, SECOND / 4);
        if (i == 9)
            submit_op(&world, GW_OP_ABORT, "A");
    }
    world_run_for(&world, 60 * SECOND);
    char *diary = g_strdup(world.diary->str);
    world_close(&world);
    return diary;
}

static void two_runs_are_the_same(void **unused)
{
    static const char *const trials[][2] = {
        { NULL, NULL },
        { "setup", "fail" },
        { "copy", "kill-source" },
        { "copy", "kill-destination" },
        { "switchover", "source-down" },
        { "copy", "destination-down" },
        { "finish", "lose-finish" },
        { "confirm", "lose-reply" },
    };

    for (guint i = 0; i < G_N_ELEMENTS(trials); i++) {
        g_autofree char *first = diary_of(trials[i][0], trials[i][1]);
        g_autofree char *second = diary_of(trials[i][0], trials[i][1]);
        assert_string_equal(first, second);
        assert_non_null(strstr(first, " reply 3 ")); /* the move's */
    }
}

/* What a closing driver still owes is dropped, and its sink is not called again. */
static void a_closed_driver_is_silent(void **unused)
{
    World world;

    open_connected(&world);
    submit_migrate(&world, "A", "B");
    world_run_for(&world, SECOND);
    submit_op(&world, GW_OP_FACTS, "A");
    guint before = world.replies->len;
    gw_hyper_close(g_steal_pointer(&world.hyper));
    assert_int_equal(world.replies->len, before);

    /* The hosts go on by themselves (peer to peer), and the next driver finds what they did. */
    world_attach(&world);
    world_run_for(&world, 20 * SECOND);
    assert_int_equal(world.replies->len, before);
    assert_int_equal(gw_sim_running(world.sim, VM), 1);
    GwLook *look = gw_sim_look(world.sim, URI_B, VM);
    assert_int_equal(look->state, GW_VM_RUNNING);
    gw_look_free(look);
    world_close(&world);
}

static void real_time_works(void **unused)
{
    World world;

    world_open(&world, gw_clock_new_system(), fabric_text, FALSE);
    gint64 begun = gw_clock_now_us(world.clock);
    world_connect(&world, "A", URI_A);
    world_connect(&world, "B", URI_B);
    submit_op(&world, GW_OP_LIST_VMS, "A");
    submit_op(&world, GW_OP_LIST_VMS, "B");

    g_mutex_lock(&world.lock);
    while (world.replies->len < 4)
        assert_true(
            g_cond_wait_until(&world.came, &world.lock, g_get_monotonic_time() + 20 * SECOND));
    g_mutex_unlock(&world.lock);
    assert_null(reply_to(&world, 2)->error);
    assert_true(reply_to(&world, 2)->at_us - begun >= 1000);
    assert_int_equal(world.replies->len, 4);
    world_close(&world);
}

/* Agents ----------------------------------------------------------------------------------- */

static void open_with_agents(World *world)
{
    world_open(world, world_clock(), fabric_text, TRUE);
    assert_null(ask(world, world_connect(world, "A", AGENT_A))->error);
    const GwReply *connected = ask(world, world_connect(world, "B", AGENT_B));
    assert_null(connected->error);
    assert_non_null(connected->facts->agent);
}

static const GwReply *ask_permit(World *world, const char *host, const char *job, gint64 epoch)
{
    GwRequest *request = gw_request_new(GW_OP_PERMIT, host, VM);
    GwPermit *permit = request->permit = g_new0(GwPermit, 1);

    permit->job_id = g_strdup(job);
    permit->vm_uuid = g_strdup(VM);
    permit->vm_name = g_strdup("web1");
    permit->epoch = epoch;
    permit->source_host_id = g_strdup("A");
    permit->destination_host_id = g_strdup("B");
    permit->lifetime_s = 3600;
    permit->commit_by_resume = TRUE;
    return ask(world, world_submit(world, request));
}

static const GwReply *ask_close(World *world, const char *host, const char *job, gint64 epoch)
{
    GwRequest *request = gw_request_new(GW_OP_CLOSE, host, VM);
    request->text = g_strdup(job);
    request->number = epoch;
    return ask(world, world_submit(world, request));
}

static void leave_is_given_renewed_and_closed(void **unused)
{
    World world;

    open_with_agents(&world);
    assert_null(ask_close(&world, "A", "J0", 1)->error); /* succeeds where there is none */
    const GwReply *at_b = ask_permit(&world, "B", "J1", 2);
    assert_null(at_b->error);
    assert_null(at_b->paths);
    const GwReply *at_a = ask_permit(&world, "A", "J1", 2);
    assert_null(at_a->error);
    assert_string_equal(at_a->paths->peer_uri,
                        "qemu+unix:///system?socket=/run/libvirt/godwit/J1.rpc");
    assert_string_equal(at_a->paths->migration_uri,
                        "unix:///run/libvirt/godwit/J1.tunnelmigrate.dest.web1");
    assert_string_equal(at_a->paths->disks_uri,
                        "unix:///run/libvirt/godwit/J1.disk.tunnelmigrate.dest.web1");
    assert_null(ask_permit(&world, "A", "J1", 2)->error);
    unit_assert_error(ask_permit(&world, "A", "J2", 2)->error, GW_ERR_CONFLICT, "epoch 2");
    unit_assert_error(ask_permit(&world, "A", "J2", 1)->error, GW_ERR_CONFLICT, "epoch 1");
    assert_true(gw_sim_has_leave(world.sim, AGENT_A, VM));
    assert_null(ask_close(&world, "A", "J1", 2)->error);
    assert_null(ask_close(&world, "A", "J1", 2)->error);
    assert_false(gw_sim_has_leave(world.sim, AGENT_A, VM));
    unit_assert_error(ask_permit(&world, "A", "J1", 2)->error, GW_ERR_CONFLICT, "closed");
    assert_null(ask_permit(&world, "A", "J3", 3)->error);
    world_close(&world);
}

static guint64 submit_through_agents(World *world, const char *job)
{
    GwRequest *request = gw_request_new(GW_OP_MIGRATE, "A", VM);
    GwMigrate *how = request->migrate = g_new0(GwMigrate, 1);

    how->destination_host_id = g_strdup("B");
    how->peer_to_peer = how->persist = how->paused = TRUE;
    how->peer_uri = g_strdup_printf("qemu+unix:///system?socket=/run/libvirt/godwit/%s.rpc", job);
    return world_submit(world, request);
}

static void agents_carry_only_what_they_have_leave_for(void **unused)
{
    World world;

    open_with_agents(&world);
    assert_non_null(ask(&world, submit_through_agents(&world, "J1"))->error);
    assert_null(ask_permit(&world, "A", "J1", 1)->error);
    assert_non_null(ask(&world, submit_through_agents(&world, "J1"))->error);
    assert_null(ask_permit(&world, "B", "J1", 1)->error);
    assert_non_null(ask(&world, submit_through_agents(&world, "J2"))->error);
    gw_sim_cut_link(world.sim, AGENT_B, AGENT_A, 1000);
    assert_non_null(ask(&world, submit_through_agents(&world, "J1"))->error);
    world_run_for(&world, SECOND);

    guint64 move = submit_through_agents(&world, "J1");
    world_run_for(&world, SECOND);
    gw_sim_kill_agent(world.sim, AGENT_B, 1000); /* before the handover: the VM stays */
    world_run_for(&world, 2 * SECOND);
    assert_non_null(reply_to(&world, move)->error);
    assert_non_null(strstr(world.diary->str, "event 0 B - connection lost"));
    assert_null(ask(&world, world_connect(&world, "B", AGENT_B))->error);
    assert_int_equal(gw_sim_running(world.sim, VM), 1);

    /* Leave survives an agent's death. Nobody asks for a resume: the destination's agent commits.
     */
    move = submit_through_agents(&world, "J1");
    world_run_for(&world, 20 * SECOND);
    assert_null(reply_to(&world, move)->error);
    GwLook *look = gw_sim_look(world.sim, AGENT_B, VM);
    assert_int_equal(look->state, GW_VM_RUNNING);
    assert_true(look->attested);
    assert_int_equal(look->processes, 1);
    gw_look_free(look);
    assert_int_equal(gw_sim_agent_resumes(world.sim), 1);
    assert_int_equal(gw_sim_most_running(world.sim, VM), 1);
    world_close(&world);
}

static void a_lost_notice_is_made_up_for_by_asking(void **unused)
{
    World world;

    open_with_agents(&world);
    assert_null(ask_permit(&world, "B", "J1", 1)->error);
    assert_null(ask_permit(&world, "A", "J1", 1)->error);
    gw_sim_lose_notice(world.sim);
    submit_through_agents(&world, "J1");
    world_run_for(&world, 20 * SECOND);
    assert_int_equal(gw_sim_running(world.sim, VM), 1);
    assert_int_equal(gw_sim_agent_resumes(world.sim), 1);
    world_close(&world);
}

static const GwReply *ask_about(World *world, GwOp op, const char *host, const char *other)
{
    GwRequest *request = gw_request_new(op, host, NULL);
    request->text = g_strdup(other);
    return ask(world, world_submit(world, request));
}

static void agents_measure_and_check(void **unused)
{
    World world;

    open_with_agents(&world);
    const GwReply *measured = ask_about(&world, GW_OP_MEASURE, "A", "B");
    assert_null(measured->error);
    assert_string_equal(measured->link->host_id, "B");
    assert_int_equal(measured->link->bytes_per_s, 100 * 1024 * 1024);
    assert_int_equal(ask_about(&world, GW_OP_CHECK, "A", NULL)->lines->len, 2);
    assert_null(ask_about(&world, GW_OP_REVOKED, "A", "01\n02")->error);
    assert_non_null(ask_about(&world, GW_OP_RENEW, "A", NULL)->text);

    gw_sim_cut_link(world.sim, AGENT_A, AGENT_B, 60000);
    unit_assert_error(ask_about(&world, GW_OP_MEASURE, "A", "B")->error, GW_ERR_UNREACHABLE,
                      "does not answer");
    const GPtrArray *lines = ask_about(&world, GW_OP_CHECK, "A", "B")->lines;
    const GwCheckLine *peer = lines->pdata[2];
    assert_int_equal(peer->outcome, GW_CHECK_FAILED);
    assert_non_null(peer->remedy);
    world_close(&world);

    open_connected(&world); /* without agents */
    unit_assert_error(ask_about(&world, GW_OP_MEASURE, "A", "B")->error, GW_ERR_UNSUPPORTED,
                      "no agent");
    unit_assert_error(ask_permit(&world, "A", "J1", 1)->error, GW_ERR_UNSUPPORTED, "no agent");
    world_close(&world);
}

/* What is not said of it is unknown, not zero; and only who asks for usage is told it. */
static void usage_is_what_the_file_says(void **unused)
{
    World world;

    open_connected(&world);
    const GwReply *used = ask(&world, submit_op(&world, GW_OP_USAGE, "A"));
    assert_int_equal(used->usage->cpu_permille, 250);
    assert_int_equal(used->usage->memory_used_kib, -1);
    assert_int_equal(used->vms->len, 1);
    const GwVm *vm = used->vms->pdata[0];
    assert_string_equal(vm->uuid, VM);
    assert_int_equal(vm->usage->cpu_permille, 700);
    assert_int_equal(vm->usage->memory_used_kib, 262144);
    assert_int_equal(vm->usage->disk_read_bps, -1);

    const GwReply *untold = ask(&world, submit_op(&world, GW_OP_USAGE, "B"));
    assert_int_equal(untold->usage->cpu_permille, -1);
    assert_int_equal(untold->vms->len, 0);
    const GwReply *listed = ask(&world, submit_op(&world, GW_OP_LIST_VMS, "A"));
    assert_null(((const GwVm *)listed->vms->pdata[0])->usage);
    assert_null(ask(&world, submit_op(&world, GW_OP_FACTS, "A"))->facts->usage);
    world_close(&world);
}

static void dirtying_is_sampled_but_not_of_a_vm_that_moves(void **unused)
{
    World world;

    open_connected(&world);
    assert_null(ask(&world, submit_op(&world, GW_OP_DIRTY_START, "A"))->error);
    const GwReply *read = ask(&world, submit_op(&world, GW_OP_DIRTY_READ, "A"));
    assert_int_equal(read->dirty_bps, 20 * 1024 * 1024);
    assert_int_equal(ask(&world, submit_op(&world, GW_OP_DIRTY_READ, "B"))->error->code,
                     GW_ERR_NOT_FOUND);
    submit_migrate(&world, "A", "B");
    world_run_for(&world, SECOND);
    assert_int_equal(ask(&world, submit_op(&world, GW_OP_DIRTY_START, "A"))->error->code,
                     GW_ERR_CONFLICT);
    world_close(&world);
}

static void bad_fabrics_are_refused(void **unused)
{
    static const char *const bad[] = {
        "{}",
        "{'hosts': {}}",
        "{'hosts': [], 'link_mibps': 0}",
        "{'hosts': [], 'link_mibps': 'fast'}",
        "{'hosts': [], 'dirty_mibps': -1}",
        "{'hosts': [], 'confirm_ms': 1e3}",
        "{'hosts': [{'uri': 'qemu:///system', 'facts': {}, 'latency_ms': -1}]}",
        "{'hosts': [], 'faults': [{'at': 'copy', 'do': 'fail', 'ms': -1}]}",
        "{'hosts': [{'facts': {}}]}",
        "{'hosts': [{'uri': 'qemu:///system'}]}",
        "{'hosts': [{'uri': 'qemu:///system', 'facts': {'cpus': 'many'}}]}",
        "{'hosts': [{'uri': 'qemu:///system', 'facts': {'usage': {'cpu_permille': 4000}}}]}",
        "{'hosts': [{'uri': 'qemu:///system', 'facts': {}, 'vms': [{'name': 'no uuid'}]}]}",
        "{'hosts': [], 'faults': [{'at': 'copy'}]}",
        "{'hosts': [], 'faults': [{'at': 'lunch', 'do': 'fail'}]}",
        "{'hosts': [], 'faults': [{'at': 'copy', 'do': 'explode'}]}",
        "{'hosts': [{'uri': 'qemu:///system', 'facts': {}, 'agent': true}]}",
        "{'hosts': [{'uri': '" AGENT_A "', 'facts': {}, 'agent': false}]}",
    };

    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *text = g_strdelimit(g_strdup(bad[i]), "'", '"');
        g_autoptr(GwJson) json = gw_json_parse(text, strlen(text), GW_JSON_TEXT_MAX, NULL);
        g_autoptr(GwClock) clock = gw_clock_new_virtual(0);
        g_autoptr(GError) error = NULL;
        g_autoptr(GwSim) sim = gw_sim_new(clock, json, &error);
        if (sim != NULL)
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(error->code, GW_ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_is_answered_once),
        cmocka_unit_test(a_move_to_nowhere_fails),
        cmocka_unit_test(answers_take_the_hosts_latency),
        cmocka_unit_test(a_move_takes_what_memory_and_link_say),
        cmocka_unit_test(a_host_that_is_down_is_unreachable),
        cmocka_unit_test(two_runs_are_the_same),
        cmocka_unit_test(a_closed_driver_is_silent),
        cmocka_unit_test(real_time_works),
        cmocka_unit_test(leave_is_given_renewed_and_closed),
        cmocka_unit_test(agents_carry_only_what_they_have_leave_for),
        cmocka_unit_test(a_lost_notice_is_made_up_for_by_asking),
        cmocka_unit_test(agents_measure_and_check),
        cmocka_unit_test(usage_is_what_the_file_says),
        cmocka_unit_test(dirtying_is_sampled_but_not_of_a_vm_that_moves),
        cmocka_unit_test(bad_fabrics_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
