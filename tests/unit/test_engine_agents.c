/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine_world.h"

#include "base/error.h"

/* Moves between two hosts with agents: every stream goes through them, they commit by themselves,
 * and the engine finds what they did. After each trial the invariants must hold, as a witness
 * outside sees them, and no leave may be left. */

#define VM "6d0b6b0e-0000-4000-8000-000000000001"
#define BOTH 3
#define SOURCE_ONLY 1
#define DESTINATION_ONLY 2

typedef struct {
    World world;
    char *a, *b; /* URIs */
} Pair;

static void open_slow_pair(Pair *pair, guint agents, int latency_ms)
{
    world_set_agents(agents);
    json_t *a = world_host_json(0), *b = world_host_json(1);
    json_object_set_new(a, "latency_ms", json_integer(latency_ms));
    json_object_set_new(b, "latency_ms", json_integer(latency_ms));
    json_object_set_new(a, "vms", json_pack("[o]", world_vm_json(VM, "web1")));
    world_make(
        &pair->world, gw_clock_new_virtual(SECONDS(1700000000)),
        json_pack("{s:[o,o], s:i, s:i}", "hosts", a, b, "link_mibps", 500, "dirty_mibps", 10));
    pair->a = world_uri(0);
    pair->b = world_uri(1);
    world_start(&pair->world);
    world_add_host(&pair->world, 0);
    world_add_host(&pair->world, 1);
    world_run(&pair->world, SECONDS(1));
}

static void open_pair(Pair *pair, guint agents)
{
    open_slow_pair(pair, agents, 1);
}

static void close_pair(Pair *pair)
{
    world_free(&pair->world);
    g_free(pair->a);
    g_free(pair->b);
    world_set_agents(0);
}

static char *begin_move_to(Pair *pair, const char *destination, const GwMoveOptions *options)
{
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    g_autoptr(GError) error = NULL;

    request->destination = g_strdup(destination);
    request->options = options != NULL ? gw_move_options_copy(options) : NULL;
    g_autoptr(GwJob) job =
        gw_engine_migrate(pair->world.engine, "web1", request, "tester", NULL, &error);
    if (error != NULL)
        fail_msg("%s", error->message);
    return g_strdup(job->id);
}

static char *begin_move(Pair *pair, const GwMoveOptions *options)
{
    return begin_move_to(pair, "b", options);
}

static void plant(Pair *pair, const char *at, const char *what, gint64 ms)
{
    g_autoptr(GwJson) fault =
        json_pack("{s:s,s:s,s:I}", "at", at, "do", what, "ms", (json_int_t)ms);
    assert_true(gw_sim_fault(pair->world.sim, fault, NULL));
}

static gboolean has_step(const GwJob *job, const char *part)
{
    for (guint i = 0; job->steps != NULL && i < job->steps->len; i++) {
        if (strstr(((const GwJobStep *)job->steps->pdata[i])->why, part) != NULL)
            return TRUE;
    }
    return FALSE;
}

static gboolean runs_at(Pair *pair, const char *uri)
{
    g_autoptr(GwLook) look = gw_sim_look(pair->world.sim, uri, VM);
    return look != NULL && look->state == GW_VM_RUNNING;
}

/* I1, I2, I3, I9; and that the job tells the truth. */
static GwJob *check_settled(Pair *pair, const char *id, const char *trial)
{
    GwSim *sim = pair->world.sim;
    GwJob *job = world_job(&pair->world, id);
    const char *state = gw_enum_word(&gw_job_state_enum, job->state);
    gboolean at_b = runs_at(pair, pair->b);

    if (!gw_job_state_is_final(job->state))
        fail_msg("%s: the job is still %s: %s", trial, state, job->waiting_for);
    if (gw_sim_most_running(sim, VM) > 1)
        fail_msg("%s: the VM ran twice (job %s)", trial, state);
    if (gw_sim_stale_runs(sim) > 0)
        fail_msg("%s: the VM ran with old memory (job %s)", trial, state);
    if (gw_sim_definitions(sim, VM) != 1)
        fail_msg("%s: %u hosts hold a definition", trial, gw_sim_definitions(sim, VM));
    if (at_b != (job->state == GW_JOB_DONE))
        fail_msg("%s: the job is %s, but the VM %s", trial, state, at_b ? "moved" : "did not");
    if (strstr(trial, "kill-source") == NULL && gw_sim_running(sim, VM) != 1)
        fail_msg("%s: %u run (job %s)", trial, gw_sim_running(sim, VM), state);
    if (gw_sim_has_leave(sim, pair->a, VM) || gw_sim_has_leave(sim, pair->b, VM))
        fail_msg("%s: leave was left behind (job %s)", trial, state);
    if (job->state != GW_JOB_DONE)
        assert_non_null(job->error);
    return job;
}

/* Tests ------------------------------------------------------------------------------------ */

static void the_agents_commit_and_the_figures_are_right(void **unused)
{
    Pair pair;

    open_pair(&pair, BOTH);
    g_autofree char *id = begin_move(&pair, NULL);
    world_run(&pair.world, SECONDS(20));
    g_autoptr(GwJob) job = check_settled(&pair, id, "plain");
    assert_int_equal(job->state, GW_JOB_DONE);
    assert_true(job->through_agents);
    assert_true(job->peer_to_peer);
    assert_true(job->commit_by_resume);
    assert_string_equal(job->result->drive, "peer-to-peer");
    assert_non_null(strstr(job->result->method, "through the agents, encrypted"));
    /* 5 ms to finish, 200 ms for the source to end; then whoever is first: one way between the
     * agents and one call, or the controller's look and its call. */
    assert_in_range(job->result->downtime_ms, 205, 225);
    close_pair(&pair);
}

/* The controller is far away, its agents are near to each other: downtime is theirs. */
static void a_faster_agent_makes_the_downtime(void **unused)
{
    Pair pair;

    open_slow_pair(&pair, BOTH, 60);
    g_autofree char *id = begin_move(&pair, NULL);
    world_run(&pair.world, SECONDS(20));
    g_autoptr(GwJob) job = check_settled(&pair, id, "far away");
    assert_int_equal(job->state, GW_JOB_DONE);
    assert_in_range(job->result->downtime_ms, 205, 225);
    assert_true(has_step(job, "the destination was resumed by its agent"));
    assert_int_equal(gw_sim_agent_resumes(pair.world.sim), 1);
    close_pair(&pair);

    open_slow_pair(&pair, 0, 60); /* without agents it pays for the distance, twice */
    g_autofree char *plain = begin_move(&pair, NULL);
    world_run(&pair.world, SECONDS(20));
    g_autoptr(GwJob) other = check_settled(&pair, plain, "without agents");
    assert_in_range(other->result->downtime_ms, 320, 350);
    close_pair(&pair);
}

/* From when the call is made, the controller is not needed any more (I3). */
static void the_controller_may_die_for_good(void **unused)
{
    for (gint64 ms = 0; ms < 1400; ms += 10) {
        Pair pair;
        g_autofree char *trial = g_strdup_printf("controller dead after %d ms", (int)ms);

        open_pair(&pair, BOTH);
        g_autofree char *id = begin_move(&pair, NULL);
        world_run(&pair.world, ms * 1000);
        g_autoptr(GwJob) before = world_job(&pair.world, id);
        world_kill(&pair.world);
        world_pass(&pair.world, SECONDS(60));
        if (gw_sim_running(pair.world.sim, VM) != 1)
            fail_msg("%s: %u run without it", trial, gw_sim_running(pair.world.sim, VM));
        if (before->state == GW_JOB_COPYING && before->progress != NULL &&
            before->progress->processed_bytes > 0)
            assert_true(runs_at(&pair, pair.b));
        gboolean moved = runs_at(&pair, pair.b);

        world_start(&pair.world);
        world_run(&pair.world, SECONDS(30));
        g_autoptr(GwJob) job = check_settled(&pair, id, trial);
        if (moved) {
            assert_int_equal(job->state, GW_JOB_DONE);
            assert_int_equal(job->progress->percent, 100);
            if (before->state == GW_JOB_COPYING) {
                assert_true(has_step(job, "the destination was resumed by its agent"));
                assert_int_equal(job->result->downtime_ms, -1); /* nobody of ours saw it */
            }
        }
        close_pair(&pair);
    }
}

static void strike(const char *phase, const char *what, gint64 ms, gboolean controller_dies)
{
    Pair pair;
    g_autofree char *trial = g_strdup_printf("%s at %s for %d ms%s", what, phase, (int)ms,
                                             controller_dies ? ", controller dead meanwhile" : "");

    open_pair(&pair, BOTH);
    plant(&pair, phase, what, ms);
    g_autofree char *id = begin_move(&pair, NULL);
    if (controller_dies) {
        world_run(&pair.world, SECONDS(1) / 5);
        world_kill(&pair.world);
        world_pass(&pair.world, SECONDS(90));
        world_start(&pair.world);
    }
    world_run(&pair.world, SECONDS(300));
    g_autoptr(GwJob) job = check_settled(&pair, id, trial);
    gboolean agents = strstr(what, "agent") != NULL || strcmp(what, "link-cut") == 0;
    /* An agent's death before the handover: the VM stays; after it, it moved. */
    if (agents && strcmp(phase, "confirm") != 0 && job->state == GW_JOB_DONE)
        fail_msg("%s: the VM moved", trial);
    if (agents && strcmp(phase, "confirm") == 0 && job->state != GW_JOB_DONE)
        fail_msg("%s: the VM stayed", trial);
    close_pair(&pair);
}

static void every_fault_at_every_phase(void **unused)
{
    static const char *const phases[] = { "setup", "copy", "switchover", "finish", "confirm" };
    static const struct {
        const char *what;
        guint first, last; /* phases */
    } faults[] = {
        { "fail", 0, 3 },        { "kill-source", 0, 4 },       { "kill-destination", 0, 3 },
        { "source-down", 0, 4 }, { "destination-down", 0, 4 },  { "lose-finish", 3, 3 },
        { "lose-reply", 3, 4 },  { "source-agent-dies", 0, 4 }, { "destination-agent-dies", 0, 4 },
        { "link-cut", 0, 4 },    { "lose-notice", 0, 4 },       { "linger", 4, 4 },
    };

    for (guint f = 0; f < G_N_ELEMENTS(faults); f++) {
        for (guint p = faults[f].first; p <= faults[f].last; p++) {
            for (int dead = 0; dead <= 1; dead++) {
                strike(phases[p], faults[f].what, 3000, dead);
                strike(phases[p], faults[f].what, 60000, dead);
            }
        }
    }
}

static void cancel_at_any_moment(void **unused)
{
    for (gint64 ms = 0; ms < 1400; ms += 10) {
        Pair pair;
        g_autofree char *trial = g_strdup_printf("cancelled after %d ms", (int)ms);

        open_pair(&pair, BOTH);
        g_autofree char *id = begin_move(&pair, NULL);
        world_run(&pair.world, ms * 1000);
        G_GNUC_UNUSED g_autoptr(GwJob) asked = gw_engine_cancel_job(pair.world.engine, id, NULL);
        world_run(&pair.world, SECONDS(60));
        g_autoptr(GwJob) job = check_settled(&pair, id, trial);
        if (ms < 500)
            assert_int_equal(job->state, GW_JOB_CANCELLED);
        close_pair(&pair);
    }
}

/* A lower epoch than an agent has seen: a controller from an older copy of its state. Nothing was
 * begun, and what preparing took away is back. */
static void an_old_epoch_is_refused_with_reason_and_remedy(void **unused)
{
    for (int end = 0; end <= 1; end++) {
        Pair pair;

        open_pair(&pair, BOTH);
        gw_sim_raise_epoch(pair.world.sim, end == 0 ? pair.a : pair.b, VM, 7);
        g_autofree char *id = begin_move(&pair, NULL);
        world_run(&pair.world, SECONDS(20));
        g_autoptr(GwJob) job = world_job(&pair.world, id);
        g_autoptr(GwLook) look = gw_sim_look(pair.world.sim, pair.a, VM);
        assert_int_equal(job->state, GW_JOB_FAILED);
        assert_string_equal(job->error->code, "conflict");
        assert_non_null(strstr(job->error->message, end == 0 ? "agent of 'a'" : "agent of 'b'"));
        assert_non_null(strstr(job->error->message, "epoch 1 of the VM is not above 7"));
        assert_non_null(strstr(job->error->remedy, "controller"));
        assert_int_equal(look->state, GW_VM_RUNNING);
        assert_true(look->autostart);
        assert_false(gw_sim_has_leave(pair.world.sim, end == 0 ? pair.b : pair.a, VM));
        close_pair(&pair);
    }
}

/* Each move has a higher epoch, also one after a move that failed, and after a restart. */
static void it_moves_there_and_back_again(void **unused)
{
    static const char *const way[] = { "b", "a", "b" };
    Pair pair;

    open_pair(&pair, BOTH);
    for (guint i = 0; i < G_N_ELEMENTS(way); i++) {
        if (i == 2)
            plant(&pair, "copy", "fail", 0);
        g_autofree char *id = begin_move_to(&pair, way[i], NULL);
        world_run(&pair.world, SECONDS(20));
        g_autoptr(GwJob) job = world_job(&pair.world, id);
        assert_int_equal(job->epoch, i + 1);
        assert_int_equal(job->state, i < 2 ? GW_JOB_DONE : GW_JOB_FAILED);
        assert_true(runs_at(&pair, i == 0 ? pair.b : pair.a));
    }
    world_kill(&pair.world);
    world_start(&pair.world);
    world_run(&pair.world, SECONDS(2));
    g_autofree char *last = begin_move(&pair, NULL);
    world_run(&pair.world, SECONDS(20));
    g_autoptr(GwJob) job = check_settled(&pair, last, "after a failure and a restart");
    assert_int_equal(job->state, GW_JOB_DONE);
    assert_int_equal(job->epoch, 4);
    close_pair(&pair);
}

/* The controller reaches both agents, they do not reach each other: there is no second way. */
static void agents_that_do_not_reach_each_other(void **unused)
{
    Pair pair;

    open_pair(&pair, BOTH);
    gw_sim_cut_link(pair.world.sim, pair.a, pair.b, 600000);
    g_autofree char *id = begin_move(&pair, NULL);
    world_run(&pair.world, SECONDS(60));
    g_autoptr(GwJob) job = check_settled(&pair, id, "no link");
    assert_int_equal(job->state, GW_JOB_FAILED);
    assert_string_equal(job->error->code, "unreachable");
    assert_non_null(strstr(job->error->remedy, "godwit host check"));
    assert_false(has_step(job, "driven by the controller"));
    close_pair(&pair);
}

/* libvirt says that the source's process ended, the process table says otherwise: nobody resumes
 * the destination before it is gone. */
static void a_process_that_lingers_is_waited_for(void **unused)
{
    Pair pair;

    open_pair(&pair, BOTH);
    plant(&pair, "confirm", "linger", 8000);
    g_autofree char *id = begin_move(&pair, NULL);
    world_run(&pair.world, SECONDS(5));
    g_autoptr(GwJob) waiting = world_job(&pair.world, id);
    assert_int_equal(waiting->state, GW_JOB_SETTLING);
    assert_non_null(strstr(waiting->waiting_for, "process table"));
    assert_int_equal(gw_sim_running(pair.world.sim, VM), 0);
    world_run(&pair.world, SECONDS(20));
    g_autoptr(GwJob) job = check_settled(&pair, id, "lingering");
    assert_int_equal(job->state, GW_JOB_DONE);
    close_pair(&pair);
}

/* A source left paused by a failed move runs again within 5 s of attestation, without the
 * controller. */
static void a_paused_source_is_resumed_by_its_agent(void **unused)
{
    Pair pair;

    open_pair(&pair, BOTH);
    plant(&pair, "switchover", "source-down", 2000);
    g_autofree char *id = begin_move(&pair, NULL);
    world_run(&pair.world, SECONDS(1) / 5);
    world_kill(&pair.world);
    world_pass(&pair.world, SECONDS(1)); /* struck: paused, its libvirtd away for 2 s */
    assert_int_equal(gw_sim_running(pair.world.sim, VM), 0);
    world_pass(&pair.world, SECONDS(2) + SECONDS(5));
    assert_true(runs_at(&pair, pair.a));
    assert_int_equal(gw_sim_agent_resumes(pair.world.sim), 1);
    world_start(&pair.world);
    world_run(&pair.world, SECONDS(30));
    g_autoptr(GwJob) job = check_settled(&pair, id, "paused source");
    assert_int_equal(job->state, GW_JOB_FAILED);
    close_pair(&pair);
}

/* With one agent only it goes as without: by the controller, since nobody can name the libvirt of
 * the host with the agent to the other. */
static void a_mixed_pair_goes_as_before(void **unused)
{
    for (guint agents = SOURCE_ONLY; agents <= DESTINATION_ONLY; agents++) {
        Pair pair;

        open_pair(&pair, agents);
        g_autofree char *id = begin_move(&pair, NULL);
        world_run(&pair.world, SECONDS(20));
        g_autoptr(GwJob) job = check_settled(&pair, id, "mixed");
        assert_int_equal(job->state, GW_JOB_DONE);
        assert_false(job->through_agents);
        assert_true(!job->peer_to_peer == (agents == DESTINATION_ONLY));
        assert_non_null(strstr(job->result->method, "directly between the hosts"));
        assert_int_equal(gw_sim_agent_resumes(pair.world.sim), 0);
        close_pair(&pair);
    }
}

static void qemus_own_encryption_is_left_out(void **unused)
{
    Pair pair;
    g_autoptr(GwMoveOptions) options = gw_move_options_new();
    g_autoptr(GwMoveRequest) request = gw_move_request_new();

    open_pair(&pair, BOTH);
    options->tls = TRUE;
    request->destination = g_strdup("b");
    request->options = gw_move_options_copy(options);
    g_autoptr(GwMovePlan) plan = gw_engine_plan_move(pair.world.engine, "web1", request, NULL);
    assert_true(plan->candidate->suitable);
    const GwFinding *finding =
        gw_record_find(&gw_finding_record, plan->candidate->findings, "rule", "option-conflict");
    assert_non_null(finding);
    assert_int_equal(finding->severity, GW_SEVERITY_WARNING);
    g_autofree char *id = begin_move(&pair, options);
    world_run(&pair.world, SECONDS(20));
    g_autoptr(GwJob) job = check_settled(&pair, id, "tls");
    assert_int_equal(job->state, GW_JOB_DONE);
    close_pair(&pair);
}

/* People see what an agent did or prevented: at its host, and in the history of the move. */
static void an_alarm_is_seen(void **unused)
{
    Pair pair;

    open_pair(&pair, BOTH);
    g_autofree char *id = begin_move(&pair, NULL);
    world_run(&pair.world, SECONDS(1) / 5);
    gw_sim_alarm(pair.world.sim, pair.a, VM, "kept it from\x1b[2J starting");
    world_run(&pair.world, SECONDS(1) / 5);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(pair.world.engine);
    const GwHost *host = gw_fabric_find_host(fabric, "a");
    assert_non_null(strstr(host->status_reason, "alarm"));
    assert_non_null(strstr(host->status_reason, "web1"));
    assert_non_null(strstr(host->status_reason, "kept it from"));
    assert_null(strchr(host->status_reason, '\x1b'));
    assert_non_null(host->status_remedy);
    assert_int_equal(host->status, GW_HOST_OK);
    world_run(&pair.world, SECONDS(20));
    g_autoptr(GwJob) job = check_settled(&pair, id, "alarm");
    assert_true(has_step(job, "the agent of 'a': kept it from"));
    close_pair(&pair);
}

static GPtrArray *links_of(Pair *pair, const char *host_name)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(pair->world.engine);
    const GwHost *host = gw_fabric_find_host(fabric, host_name);

    return host->facts->agent->links != NULL ? g_ptr_array_ref(host->facts->agent->links) : NULL;
}

/* Each pair once, from one of the two, and only when neither has anything better to do. */
static void paths_between_agents_are_measured(void **unused)
{
    Pair pair = { 0 };

    open_pair(&pair, BOTH);
    G_GNUC_UNUSED g_autofree char *job = begin_move(&pair, NULL);
    world_run(&pair.world, SECONDS(1));
    assert_null(links_of(&pair, "a"));
    world_run(&pair.world, SECONDS(60));
    g_autoptr(GPtrArray) a = links_of(&pair, "a");
    g_autoptr(GPtrArray) b = links_of(&pair, "b");
    assert_int_equal((a != NULL ? a->len : 0) + (b != NULL ? b->len : 0), 1);
    const GwLinkFacts *link = (a != NULL ? a : b)->pdata[0];
    assert_int_equal(link->bytes_per_s, 500 * 1024 * 1024);
    assert_true(link->round_trip_us > 0);
    close_pair(&pair);
}

static void hosts_without_agents_are_left_alone(void **unused)
{
    Pair pair = { 0 };

    open_pair(&pair, SOURCE_ONLY);
    world_run(&pair.world, SECONDS(60));
    assert_null(links_of(&pair, "a"));
    close_pair(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_agents_commit_and_the_figures_are_right),
        cmocka_unit_test(a_faster_agent_makes_the_downtime),
        cmocka_unit_test(the_controller_may_die_for_good),
        cmocka_unit_test(every_fault_at_every_phase),
        cmocka_unit_test(cancel_at_any_moment),
        cmocka_unit_test(an_old_epoch_is_refused_with_reason_and_remedy),
        cmocka_unit_test(it_moves_there_and_back_again),
        cmocka_unit_test(agents_that_do_not_reach_each_other),
        cmocka_unit_test(a_process_that_lingers_is_waited_for),
        cmocka_unit_test(a_paused_source_is_resumed_by_its_agent),
        cmocka_unit_test(a_mixed_pair_goes_as_before),
        cmocka_unit_test(qemus_own_encryption_is_left_out),
        cmocka_unit_test(an_alarm_is_seen),
        cmocka_unit_test(paths_between_agents_are_measured),
        cmocka_unit_test(hosts_without_agents_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
