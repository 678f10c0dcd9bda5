/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/state.h"
#include "wire_world.h"

/* The program itself, on folders of the test's own and without a libvirt: its two processes, what
 * each has left, what a controller hears, and how it ends. */

typedef struct {
    World *world;
    char *folder, *state, *run, *empty, *address, *port;
    pid_t warden; /* 0: ended */
    Peer *peer;
} Stage;

static char *folder_in(const char *folder, const char *name)
{
    char *path = g_build_filename(folder, name, NULL);

    assert_int_equal(g_mkdir(path, 0700), 0);
    return path;
}

/* A port that was free a moment ago. */
static void choose_port(Stage *stage)
{
    close(world_listen(&stage->address));
    stage->port = g_strdup(strrchr(stage->address, ':') + 1);
}

static void save_state(Stage *stage)
{
    GwAuthority *authority = stage->world->authority;
    g_autoptr(GwAgentState) state = g_new0(GwAgentState, 1);
    g_autofree char *request = NULL;
    g_autoptr(GError) error = NULL;

    assert_true(gw_identity_request(&state->key_pem, &request, NULL));
    state->host_id = g_strdup("host-one");
    state->fabric_id = g_strdup(gw_authority_fabric_id(authority));
    state->certificate_pem = gw_authority_issue(authority, request, "host-one", 30,
                                                g_get_real_time() / G_USEC_PER_SEC, NULL, NULL);
    state->ca_pem = g_strdup(gw_authority_ca_pem(authority));
    memcpy(state->ticket_public, gw_authority_ticket_public(authority), 32);
    if (!gw_agent_state_save(stage->state, state, &error))
        fail_msg("%s", error->message);
}

static void start(Stage *stage)
{
    g_autofree char *no_libvirt = g_build_filename(stage->folder, "libvirt-sock", NULL);

    stage->warden = fork();
    assert_true(stage->warden >= 0);
    if (stage->warden != 0)
        return;
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    execl(GW_AGENT, GW_AGENT, "run", "--listen", "127.0.0.1", "--port", stage->port, "--user",
          "nobody", "--threads", "2", "--state-dir", stage->state, "--run-dir", stage->run,
          "--empty-dir", stage->empty, "--libvirt-socket", no_libvirt, "--emulator-group", "root",
          NULL);
    _exit(127);
}

static int set_up(void **state)
{
    Stage *stage = g_new0(Stage, 1);

    stage->world = world_new();
    stage->folder = g_dir_make_tmp("godwit-run-XXXXXX", NULL);
    g_chmod(stage->folder, 0755);
    stage->state = folder_in(stage->folder, "state");
    stage->run = g_build_filename(stage->folder, "run", NULL);
    stage->empty = g_build_filename(stage->folder, "empty", NULL);
    choose_port(stage);
    save_state(stage);
    *state = stage;
    return 0;
}

static gboolean has_ended(gconstpointer data)
{
    return waitpid(*(const pid_t *)data, NULL, WNOHANG | WNOWAIT) != 0;
}

static int end(Stage *stage, int number)
{
    int status = 0;

    assert_int_equal(kill(stage->warden, number), 0);
    assert_int_equal(waitpid(stage->warden, &status, 0), stage->warden);
    stage->warden = 0;
    return status;
}

static int tear_down(void **state)
{
    Stage *stage = *state;

    if (stage->warden != 0)
        end(stage, SIGKILL);
    if (stage->peer != NULL) {
        world_until(stage->world, peer_is_closed, stage->peer);
        peer_free(stage->peer);
    }
    const char *const argv[] = { "rm", "-rf", stage->folder, NULL };
    assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL,
                             NULL, NULL));
    world_turns(stage->world, 10);
    world_free(stage->world);
    g_free(stage->folder);
    g_free(stage->state);
    g_free(stage->run);
    g_free(stage->empty);
    g_free(stage->address);
    g_free(stage->port);
    g_free(stage);
    return 0;
}

static gboolean is_over(gconstpointer data)
{
    const Peer *peer = data;

    return peer->ready > 0 || peer->closed > 0;
}

/* The agent may take a moment until it listens. */
static Peer *join(Stage *stage)
{
    const char *const addresses[] = { stage->address, NULL };
    g_autoptr(GwJson) hello = json_pack("{s:i, s:s, s:I}", "incarnation", 7, "run", "run-7",
                                        "wall_us", (json_int_t)g_get_real_time());

    for (guint i = 0; i < 200; i++) {
        Peer *peer = peer_new(stage->world->controller);
        GwSessionConfig config = peer_config(stage->world, peer, "host-one");
        config.hello = hello;
        peer->dialling = TRUE;
        peer->session = gw_session_dial(&config, addresses);
        stage->peer = peer;
        world_until(stage->world, is_over, peer);
        if (peer->ready > 0)
            return peer;
        g_assert_no_error(peer->why->code == GW_ERR_UNREACHABLE ? NULL : peer->why);
        stage->peer = NULL;
        peer_free(peer);
        g_usleep(20000);
    }
    fail_msg("the agent does not answer");
    return NULL;
}

typedef struct {
    guint done;
    int code;
    json_t *result;
} Outcome;

static void on_done(GwSession *session, const json_t *result, const GError *error, gpointer user)
{
    Outcome *outcome = user;

    outcome->done++;
    outcome->code = error != NULL ? error->code : -1;
    outcome->result = json_deep_copy(result);
}

static gboolean is_done(gconstpointer data)
{
    return ((const Outcome *)data)->done > 0;
}

/* 0: none. */
static pid_t child_of(pid_t parent)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/children", parent, parent);
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? atoi(text) : 0;
}

static char *status_of(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", pid);
    char *text = NULL;

    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

static void test_two_processes(void **state)
{
    Stage *stage = *state;
    Outcome facts = { 0 };

    start(stage);
    Peer *peer = join(stage);
    pid_t front = child_of(stage->warden);
    assert_true(front > 0);
    g_autofree char *warden_status = status_of(stage->warden);
    g_autofree char *front_status = status_of(front);
    assert_non_null(strstr(front_status, "\nCapBnd:\t0000000000000000\n"));
    assert_non_null(strstr(front_status, "\nCapPrm:\t0000000000000000\n"));
    assert_non_null(strstr(front_status, "\nSeccomp:\t2\n"));
    assert_null(strstr(front_status, "\nUid:\t0"));
    assert_non_null(strstr(warden_status, "\nNoNewPrivs:\t1\n"));
    assert_non_null(strstr(warden_status, "\nCapInh:\t0000000000000000\n"));
    assert_null(strstr(warden_status, "\nCapPrm:\t000001ffffffffff\n"));
    gw_session_call(peer->session, "facts", json_object(), 30 * G_USEC_PER_SEC, on_done, &facts);
    world_until(stage->world, is_done, &facts);
    assert_int_equal(facts.code, -1);
    assert_string_equal(json_string_value(json_object_get(facts.result, "version")), GW_VERSION);
    assert_int_equal(json_integer_value(json_object_get(facts.result, "sessions")), 1);
    assert_true(json_integer_value(json_object_get(facts.result, "resident_bytes")) > 0);
    json_decref(facts.result);
}

static void test_ends_when_told(void **state)
{
    Stage *stage = *state;

    start(stage);
    Peer *peer = join(stage);
    pid_t front = child_of(stage->warden);
    int status = end(stage, SIGTERM);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    world_until(stage->world, peer_is_closed, peer);
    assert_int_equal(kill(front, 0), -1);
}

/* Whichever dies, the other does. */
static void test_warden_killed(void **state)
{
    Stage *stage = *state;

    start(stage);
    Peer *peer = join(stage);
    end(stage, SIGKILL);
    world_until(stage->world, peer_is_closed, peer);
}

static void test_front_killed(void **state)
{
    Stage *stage = *state;
    int status = 0;

    start(stage);
    join(stage);
    assert_int_equal(kill(child_of(stage->warden), SIGKILL), 0);
    world_until(stage->world, has_ended, &stage->warden);
    assert_int_equal(waitpid(stage->warden, &status, 0), stage->warden);
    stage->warden = 0;
    assert_true(WIFEXITED(status));
    assert_int_not_equal(WEXITSTATUS(status), 0); /* a service manager starts it anew */
}

/* An older controller, and a second of the same number. */
static void test_other_controllers(void **state)
{
    static const struct {
        int incarnation;
        const char *run;
    } others[] = { { 6, "run-6" }, { 7, "another" } };
    Stage *stage = *state;
    const char *const addresses[] = { stage->address, NULL };

    start(stage);
    join(stage);
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        g_autoptr(GwJson) hello =
            json_pack("{s:i, s:s}", "incarnation", others[i].incarnation, "run", others[i].run);
        Peer *peer = peer_new(stage->world->controller);
        GwSessionConfig config = peer_config(stage->world, peer, "host-one");
        config.hello = hello;
        peer->dialling = TRUE;
        peer->session = gw_session_dial(&config, addresses);
        world_until(stage->world, peer_is_closed, peer);
        assert_int_equal(peer->why->code, GW_ERR_FORBIDDEN);
        peer_free(peer);
    }
    assert_int_equal(stage->peer->closed, 0);
}

static void test_not_joined(void **state)
{
    Stage *stage = *state;
    g_autofree char *path = g_build_filename(stage->state, "host.json", NULL);
    int status = 0;

    assert_int_equal(g_unlink(path), 0);
    start(stage);
    assert_int_equal(waitpid(stage->warden, &status, 0), stage->warden);
    stage->warden = 0;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_two_processes), CASE(test_ends_when_told),    CASE(test_warden_killed),
        CASE(test_front_killed),  CASE(test_other_controllers), CASE(test_not_joined),
    };

    if (geteuid() != 0) {
        g_print("1..0 # SKIP the agent is started by root\n");
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
