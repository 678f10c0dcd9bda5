/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/loop.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent/state.h"
#include "wire/ticket.h"
#include "wire_world.h"

/* Two agents, the programs themselves, without a libvirt: files go from one to the other, over TLS,
 * as the controller (this test) asks. */

#define MIB ((guint64)1024 * 1024)
#define VM "6d0b6b0e-0000-4000-8000-000000000001"
#define JOB "01HXJ0B0000000000000000001"

typedef struct {
    const char *id;
    char *state, *run, *address, *port;
    pid_t pid;
    Peer *peer; /* the controller's session to it */
} Agent;

typedef struct {
    World *world;
    char *folder, *empty, *from, *to;
    Agent one, two;
} Stage;

/* Agents --------------------------------------------------------------------------------------- */

static void save_state(Stage *stage, Agent *agent)
{
    GwAuthority *authority = stage->world->authority;
    g_autoptr(GwAgentState) state = g_new0(GwAgentState, 1);
    g_autofree char *request = NULL;

    UNIT_OK(gw_identity_request(&state->key_pem, &request, error));
    state->host_id = g_strdup(agent->id);
    state->fabric_id = g_strdup(gw_authority_fabric_id(authority));
    state->certificate_pem = gw_authority_issue(authority, request, agent->id, 30,
                                                g_get_real_time() / G_USEC_PER_SEC, NULL, NULL);
    state->ca_pem = g_strdup(gw_authority_ca_pem(authority));
    memcpy(state->ticket_public, gw_authority_ticket_public(authority), 32);
    UNIT_OK(gw_agent_state_save(agent->state, state, error));
}

static void start(Stage *stage, Agent *agent)
{
    g_autofree char *no_libvirt = g_build_filename(stage->folder, "libvirt-sock", NULL);

    agent->pid = fork();
    assert_true(agent->pid >= 0);
    if (agent->pid != 0)
        return;
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    execl(GW_AGENT, GW_AGENT, "run", "--listen", "127.0.0.1", "--port", agent->port, "--user",
          "nobody", "--threads", "1", "--state-dir", agent->state, "--run-dir", agent->run,
          "--empty-dir", stage->empty, "--libvirt-socket", no_libvirt, "--emulator-group", "root",
          NULL);
    _exit(127);
}

static gboolean is_over(gconstpointer data)
{
    const Peer *peer = data;
    return peer->ready > 0 || peer->closed > 0;
}

static void join(Stage *stage, Agent *agent)
{
    const char *const addresses[] = { agent->address, NULL };
    g_autoptr(GwJson) hello = json_pack("{s:i, s:s, s:I}", "incarnation", 7, "run", "run-7",
                                        "wall_us", (json_int_t)g_get_real_time());

    for (guint i = 0; i < 400; i++) {
        Peer *peer = peer_new(stage->world->controller);
        GwSessionConfig config = peer_config(stage->world, peer, agent->id);
        config.hello = hello;
        peer->dialling = TRUE;
        peer->session = gw_session_dial(&config, addresses);
        world_until(stage->world, is_over, peer);
        agent->peer = peer;
        if (peer->ready > 0)
            return;
        peer_free(peer);
        g_usleep(20000);
    }
    fail_msg("the agent does not answer");
}

static void stop(Stage *stage, Agent *agent)
{
    if (agent->pid == 0)
        return;
    kill(agent->pid, SIGKILL);
    waitpid(agent->pid, NULL, 0);
    agent->pid = 0;
    world_until(stage->world, peer_is_closed, agent->peer);
    peer_free(agent->peer);
}

static void new_agent(Stage *stage, Agent *agent, const char *id)
{
    g_autofree char *state = g_strconcat(id, "-state", NULL), *run = g_strconcat(id, "-run", NULL);

    agent->id = id;
    agent->state = g_build_filename(stage->folder, state, NULL);
    agent->run = g_build_filename(stage->folder, run, NULL);
    assert_int_equal(g_mkdir(agent->state, 0700), 0);
    close(world_listen(&agent->address));
    agent->port = g_strdup(strrchr(agent->address, ':') + 1);
    save_state(stage, agent);
    start(stage, agent);
    join(stage, agent);
}

static int set_up(void **state)
{
    Stage *stage = g_new0(Stage, 1);

    stage->world = world_new();
    stage->folder = g_dir_make_tmp("godwit-copy-XXXXXX", NULL);
    g_chmod(stage->folder, 0755);
    stage->empty = g_build_filename(stage->folder, "empty", NULL);
    stage->from = g_build_filename(stage->folder, "from.raw", NULL);
    stage->to = g_build_filename(stage->folder, "to.raw", NULL);
    new_agent(stage, &stage->one, "host-one");
    new_agent(stage, &stage->two, "host-two");
    *state = stage;
    return 0;
}

static void free_agent(Agent *agent)
{
    g_free(agent->state);
    g_free(agent->run);
    g_free(agent->address);
    g_free(agent->port);
}

static int tear_down(void **state)
{
    Stage *stage = *state;
    const char *const argv[] = { "rm", "-rf", stage->folder, NULL };

    stop(stage, &stage->one);
    stop(stage, &stage->two);
    assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL,
                             NULL, NULL));
    world_turns(stage->world, 10);
    world_free(stage->world);
    free_agent(&stage->one);
    free_agent(&stage->two);
    g_free(stage->folder);
    g_free(stage->empty);
    g_free(stage->from);
    g_free(stage->to);
    g_free(stage);
    return 0;
}

/* Calls ---------------------------------------------------------------------------------------- */

typedef struct {
    gboolean done;
    json_t *result;
    GError *error;
} Outcome;

static void on_done(GwSession *session, const json_t *result, const GError *error, gpointer user)
{
    Outcome *outcome = user;

    outcome->done = TRUE;
    outcome->result = json_deep_copy(result);
    outcome->error = error != NULL ? g_error_copy(error) : NULL;
}

static gboolean is_done(gconstpointer data)
{
    return ((const Outcome *)data)->done;
}

static json_t *try(Stage *stage, Agent *agent, const char *method, json_t *params, GError **error)
{
    Outcome outcome = { 0 };

    gw_session_call(agent->peer->session, method, params, 30 * G_USEC_PER_SEC, on_done, &outcome);
    world_until(stage->world, is_done, &outcome);
    if (outcome.error != NULL)
        g_propagate_error(error, outcome.error);
    return outcome.result;
}

static json_t *ask(Stage *stage, Agent *agent, const char *method, json_t *params)
{
    g_autoptr(GError) error = NULL;
    json_t *result = try(stage, agent, method, params, &error);

    if (result == NULL)
        fail_msg("%s: %s", method, error->message);
    return result;
}

static void refused(Stage *stage, Agent *agent, const char *method, json_t *params,
                    GwErrorCode code, const char *part)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwJson) result = try(stage, agent, method, params, &error);

    if (result != NULL)
        fail_msg("%s is not refused", method);
    if (error->code != (int)code || strstr(error->message, part) == NULL)
        fail_msg("%s: '%s' was wanted: %s", method, part, error->message);
    /* What is no more than wrong needs no advice. */
    assert_true(code == GW_ERR_INVALID || gw_error_remedy(error) != NULL);
}

static char *ticket_of(Stage *stage, guint kinds, gint64 epoch)
{
    gint64 now = g_get_real_time() / G_USEC_PER_SEC;
    GwTicket ticket = { .fabric_id = (char *)gw_authority_fabric_id(stage->world->authority),
                        .job_id = (char *)JOB,
                        .vm_uuid = (char *)VM,
                        .vm_name = (char *)"web1",
                        .epoch = epoch,
                        .source_id = (char *)"host-one",
                        .destination_id = (char *)"host-two",
                        .not_before_s = now - 60,
                        .expires_s = now + 600,
                        .kinds = kinds,
                        .streams_max = 16 };
    g_autoptr(GBytes) bytes =
        gw_ticket_sign(&ticket, gw_authority_ticket_secret(stage->world->authority), NULL);
    gsize length = 0;
    const guint8 *data = g_bytes_get_data(bytes, &length);

    return g_base64_encode(data, length);
}

/* With what @more says as well. */
static json_t *with(json_t *params, json_t *more)
{
    if (more != NULL)
        json_object_update(params, more);
    json_decref(more);
    return params;
}

static json_t *expect_params(Stage *stage, json_t *more)
{
    g_autofree char *ticket = ticket_of(stage, GW_STREAM_FILE, 3);

    return with(json_pack("{s:s, s:s, s:s}", "ticket", ticket, "copy", "c1", "path", stage->to),
                more);
}

static json_t *send_params(Stage *stage, json_t *more)
{
    g_autofree char *ticket = ticket_of(stage, GW_STREAM_FILE, 3);

    return with(json_pack("{s:s, s:s, s:s, s:{s:s, s:[s]}}", "ticket", ticket, "copy", "c1", "path",
                          stage->from, "peer", "host_id", "host-two", "addresses",
                          stage->two.address),
                more);
}

static void do_it(Stage *stage, Agent *agent, const char *method, json_t *params)
{
    json_decref(ask(stage, agent, method, params));
}

/* The status once it is over. */
static json_t *await(Stage *stage, Agent *agent, const char *copy)
{
    for (guint i = 0; i < 600; i++) {
        json_t *status = ask(stage, agent, "copy-status", json_pack("{s:s}", "copy", copy));
        const char *state = json_string_value(json_object_get(status, "state"));
        if (strcmp(state, "running") != 0)
            return status;
        json_decref(status);
        g_usleep(50000);
    }
    fail_msg("the copy does not end");
    return NULL;
}

static gint64 number(const json_t *status, const char *key)
{
    return json_integer_value(json_object_get(status, key));
}

static const char *text(const json_t *status, const char *key)
{
    return json_string_value(json_object_get(status, key));
}

static void assert_state(const json_t *status, const char *wanted)
{
    g_autofree char *all = gw_json_text(status);

    if (g_strcmp0(text(status, "state"), wanted) != 0)
        fail_msg("%s was wanted: %s", wanted, all);
}

/* Files ---------------------------------------------------------------------------------------- */

static void put(const char *path, guint64 length, guint64 at, gsize size, char byte)
{
    g_autofree char *bytes = g_malloc(size);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    memset(bytes, byte, size);
    assert_true(fd >= 0);
    if (length > 0)
        assert_int_equal(ftruncate(fd, (off_t)length), 0);
    assert_int_equal(pwrite(fd, bytes, size, (off_t)at), size);
    assert_int_equal(fsync(fd), 0);
    close(fd);
}

static guint64 allocated(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return (guint64)st.st_blocks * 512;
}

static void assert_same(const Stage *stage)
{
    const char *const argv[] = { "cmp", stage->from, stage->to, NULL };
    int status = -1;

    assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL,
                             &status, NULL));
    assert_int_equal(status, 0);
}

/* The copy itself ------------------------------------------------------------------------------ */

static void copies(void **state)
{
    Stage *stage = *state;

    put(stage->from, 512 * MIB, 100 * MIB, 3 * MIB, 'a');
    put(stage->from, 0, 400 * MIB + 5, 3 * MIB, 'b');
    put(stage->to, 0, 0, 7, 'x');
    g_autofree char *ticket = ticket_of(stage, GW_STREAM_FILE, 3);
    for (guint i = 0; i < 2; i++) /* leave is in the ticket; asked for, it is good */
        do_it(stage, i == 0 ? &stage->one : &stage->two, "permit",
              json_pack("{s:s, s:{s:s, s:[s]}}", "ticket", ticket, "peer", "host_id",
                        i == 0 ? "host-two" : "host-one", "addresses", stage->two.address));
    do_it(stage, &stage->two, "copy-expect",
          expect_params(stage, json_pack("{s:I}", "length", (json_int_t)(512 * MIB))));
    do_it(stage, &stage->one, "copy-send", send_params(stage, NULL));
    g_autoptr(GwJson) sent = await(stage, &stage->one, "c1");
    g_autoptr(GwJson) received = await(stage, &stage->two, "c1");
    assert_state(sent, "done");
    assert_state(received, "done");
    assert_same(stage);
    assert_string_equal(text(sent, "digest"), text(received, "digest"));
    assert_true(json_is_true(json_object_get(received, "verified")));
    assert_int_equal(number(received, "total"), 512 * MIB);
    assert_in_range(number(received, "written"), 6 * MIB, 6 * MIB + 8192); /* whole pages */
    assert_true(number(sent, "sent") < 7 * (gint64)MIB);
    assert_true(allocated(stage->to) <= allocated(stage->from) * 105 / 100);

    /* Again, against what is there: nothing but what changed is sent. */
    put(stage->from, 0, 100 * MIB + 9, 1, 'z');
    do_it(stage, &stage->two, "copy-expect",
          expect_params(stage, json_pack("{s:b}", "delta", TRUE)));
    do_it(stage, &stage->one, "copy-send", send_params(stage, NULL));
    g_autoptr(GwJson) delta = await(stage, &stage->one, "c1");
    g_autoptr(GwJson) taken = await(stage, &stage->two, "c1");
    assert_state(delta, "done");
    assert_state(taken, "done");
    assert_same(stage);
    assert_int_equal(number(taken, "written"), MIB);
    assert_true(number(delta, "sent") < 2 * (gint64)MIB);
}

/* The source's agent dies half-way: the other end ends as well, and what is there is worth
 * something when it is begun again. */
static void goes_on_after_a_death(void **state)
{
    Stage *stage = *state;
    gint64 position = 0;

    put(stage->from, 0, 0, 96 * MIB, 'a');
    put(stage->to, 0, 0, 1, 'x');
    do_it(stage, &stage->two, "copy-expect", expect_params(stage, NULL));
    do_it(stage, &stage->one, "copy-send",
          send_params(stage, json_pack("{s:I}", "bytes_per_s", (json_int_t)(48 * MIB))));
    while (position < 20 * (gint64)MIB) {
        g_autoptr(GwJson) status =
            ask(stage, &stage->two, "copy-status", json_pack("{s:s}", "copy", "c1"));
        assert_state(status, "running");
        position = number(status, "position");
        g_usleep(20000);
    }
    stop(stage, &stage->one);
    g_autoptr(GwJson) cut = await(stage, &stage->two, "c1");
    assert_state(cut, "failed");
    assert_string_equal(text(json_object_get(cut, "error"), "code"), "unreachable");
    start(stage, &stage->one);
    join(stage, &stage->one);
    refused(stage, &stage->one, "copy-status", json_pack("{s:s}", "copy", "c1"), GW_ERR_NOT_FOUND,
            "unknown copy");
    do_it(stage, &stage->two, "copy-expect",
          expect_params(stage,
                        json_pack("{s:I}", "resume_bytes", (json_int_t)number(cut, "position"))));
    do_it(stage, &stage->one, "copy-send", send_params(stage, NULL));
    g_autoptr(GwJson) sent = await(stage, &stage->one, "c1");
    assert_state(sent, "done");
    g_autoptr(GwJson) received = await(stage, &stage->two, "c1");
    assert_state(received, "done");
    assert_same(stage);
    assert_true(number(sent, "same") >= 16 * (gint64)MIB);
}

static void can_be_stopped(void **state)
{
    Stage *stage = *state;

    put(stage->from, 0, 0, 96 * MIB, 'a');
    put(stage->to, 0, 0, 1, 'x');
    do_it(stage, &stage->two, "copy-expect", expect_params(stage, NULL));
    /* Nobody else writes there meanwhile, nor twice of one name. */
    refused(stage, &stage->two, "copy-expect", expect_params(stage, NULL), GW_ERR_CONFLICT,
            "under way here");
    refused(stage, &stage->two, "copy-expect",
            expect_params(stage, json_pack("{s:s}", "copy", "c2")), GW_ERR_CONFLICT, "is in use");
    do_it(stage, &stage->one, "copy-send",
          send_params(stage, json_pack("{s:I}", "bytes_per_s", (json_int_t)MIB)));
    do_it(stage, &stage->two, "copy-stop", json_pack("{s:s}", "copy", "c1"));
    g_autoptr(GwJson) stopped = await(stage, &stage->two, "c1");
    assert_state(stopped, "failed");
    assert_string_equal(text(json_object_get(stopped, "error"), "code"), "cancelled");
    g_autoptr(GwJson) sent = await(stage, &stage->one, "c1");
    assert_state(sent, "failed");
    /* And once more, where there is nothing. */
    do_it(stage, &stage->two, "copy-stop", json_pack("{s:s}", "copy", "c1"));
    do_it(stage, &stage->two, "copy-stop", json_pack("{s:s}", "copy", "never"));
    /* When leave is closed, what ran by it ends. */
    do_it(stage, &stage->two, "copy-expect", expect_params(stage, NULL));
    do_it(stage, &stage->two, "close",
          json_pack("{s:s, s:s, s:i}", "job", JOB, "vm_uuid", VM, "epoch", 3));
    refused(stage, &stage->two, "copy-status", json_pack("{s:s}", "copy", "c1"), GW_ERR_NOT_FOUND,
            "unknown copy");
    refused(stage, &stage->two, "copy-expect", expect_params(stage, NULL), GW_ERR_CONFLICT,
            "closed");
}

/* What the destination says is what the source is told, and the other way round. */
static void says_why_not(void **state)
{
    Stage *stage = *state;

    put(stage->from, 0, 0, 5000, 'a');
    put(stage->to, 0, 0, 1, 'x');
    do_it(stage, &stage->two, "copy-expect",
          expect_params(stage, json_pack("{s:i}", "length", 6000)));
    do_it(stage, &stage->one, "copy-send", send_params(stage, NULL));
    g_autoptr(GwJson) sent = await(stage, &stage->one, "c1");
    assert_state(sent, "failed");
    assert_non_null(strstr(text(json_object_get(sent, "error"), "message"), "6000 were expected"));
    /* A stream that the other refuses: nothing was expected. */
    do_it(stage, &stage->one, "copy-send", send_params(stage, json_pack("{s:s}", "copy", "c2")));
    g_autoptr(GwJson) alone = await(stage, &stage->one, "c2");
    assert_state(alone, "failed");
    assert_non_null(strstr(text(json_object_get(alone, "error"), "message"), "expects no such"));
}

/* Bad input ------------------------------------------------------------------------------------ */

static void bad_paths(void **state)
{
    static const char *const bad[] = { "",         "to.raw",      "/",
                                       "/tmp/",    "/tmp//x",     "/tmp/../etc/passwd",
                                       "/tmp/./x", "/tmp/\033[2J" };
    Stage *stage = *state;

    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        refused(stage, &stage->two, "copy-expect",
                expect_params(stage, json_pack("{s:s}", "path", bad[i])), GW_ERR_INVALID,
                "cannot be taken");
    }
    refused(stage, &stage->two, "copy-expect", expect_params(stage, NULL), GW_ERR_NOT_FOUND,
            "cannot be opened");
    refused(stage, &stage->two, "copy-expect",
            expect_params(stage, json_pack("{s:s}", "path", stage->folder)), GW_ERR_OPERATION,
            "cannot be opened");
    refused(stage, &stage->two, "copy-expect",
            expect_params(stage, json_pack("{s:s}", "path", "/dev/null")), GW_ERR_INVALID,
            "neither a regular file");
    /* A link is refused, one in the way to it is not: a pool's path may have one. */
    g_autofree char *other = g_build_filename(stage->folder, "link", NULL);
    g_autofree char *beyond = g_build_filename(stage->folder, "link", "to.raw", NULL);
    put(stage->to, 0, 0, 1, 'x');
    assert_int_equal(symlink(stage->to, other), 0);
    refused(stage, &stage->two, "copy-expect",
            expect_params(stage, json_pack("{s:s}", "path", other)), GW_ERR_REFUSED,
            "symbolic link");
    assert_int_equal(unlink(other), 0);
    assert_int_equal(symlink(stage->folder, other), 0);
    do_it(stage, &stage->two, "copy-expect",
          expect_params(stage, json_pack("{s:s}", "path", beyond)));
    do_it(stage, &stage->two, "copy-stop", json_pack("{s:s}", "copy", "c1"));
    /* Made where that is wanted, and only then. */
    g_autofree char *fresh = g_build_filename(stage->folder, "nvram", "VARS.fd", NULL);
    do_it(stage, &stage->two, "copy-expect",
          expect_params(stage, json_pack("{s:s, s:b}", "path", fresh, "create", TRUE)));
    do_it(stage, &stage->two, "copy-stop", json_pack("{s:s}", "copy", "c1"));
    assert_true(g_file_test(fresh, G_FILE_TEST_IS_REGULAR));
}

/* /dev/loopN over a file of the stage, until it is closed; -1: none can be had here. */
static int loop_device(Stage *stage, char **path)
{
    g_autofree char *below = g_build_filename(stage->folder, "below", NULL);
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), loop = -1;
    int number = control >= 0 ? ioctl(control, LOOP_CTL_GET_FREE) : -1;

    put(below, MIB, 0, 1, 'x');
    int file = open(below, O_RDWR | O_CLOEXEC);
    *path = g_strdup_printf("/dev/loop%d", number);
    if (number >= 0)
        loop = open(*path, O_RDWR | O_CLOEXEC);
    const struct loop_info64 goes = { .lo_flags = LO_FLAGS_AUTOCLEAR };
    if (loop >= 0 &&
        (ioctl(loop, LOOP_SET_FD, file) != 0 || ioctl(loop, LOOP_SET_STATUS64, &goes) != 0)) {
        close(loop);
        loop = -1;
    }
    if (control >= 0)
        close(control);
    close(file);
    return loop;
}

/* A device that is mounted, or below a volume group, is in use although no VM has it. */
static void a_device_of_the_kernels_is_not_written_to(void **state)
{
    Stage *stage = *state;
    g_autofree char *path = NULL;
    int loop = loop_device(stage, &path);

    if (loop < 0)
        skip();
    int holder = open(path, O_RDONLY | O_EXCL | O_CLOEXEC); /* as a mount would */
    assert_true(holder >= 0);
    refused(stage, &stage->two, "copy-expect",
            expect_params(stage, json_pack("{s:s}", "path", path)), GW_ERR_CONFLICT,
            "the kernel has it");
    close(holder);
    do_it(stage, &stage->two, "copy-expect",
          expect_params(stage, json_pack("{s:s}", "path", path)));
    do_it(stage, &stage->two, "copy-stop", json_pack("{s:s}", "copy", "c1"));
    close(loop);
}

static void bad_leave(void **state)
{
    Stage *stage = *state;
    g_autofree char *move = ticket_of(stage, GW_STREAM_DISK, 3);
    g_autofree char *ticket = ticket_of(stage, GW_STREAM_FILE, 3);

    put(stage->to, 0, 0, 1, 'x');
    refused(stage, &stage->two, "copy-expect",
            expect_params(stage, json_pack("{s:s}", "ticket", "bm9uZQ==")), GW_ERR_INVALID,
            "ticket");
    refused(stage, &stage->two, "copy-expect",
            expect_params(stage, json_pack("{s:s}", "ticket", move)), GW_ERR_UNAUTHORIZED, "file");
    refused(stage, &stage->one, "copy-expect",
            expect_params(stage, json_pack("{s:s}", "ticket", ticket)), GW_ERR_UNAUTHORIZED,
            "this is host-one");
    refused(stage, &stage->two, "copy-expect", expect_params(stage, json_pack("{s:s}", "copy", "")),
            GW_ERR_INVALID, "id");
    refused(stage, &stage->two, "copy-expect",
            expect_params(stage, json_pack("{s:i}", "length", -1)), GW_ERR_INVALID, "length");
    /* A newer move of the VM has begun. */
    do_it(stage, &stage->two, "close",
          json_pack("{s:s, s:s, s:i}", "job", JOB, "vm_uuid", VM, "epoch", 9));
    refused(stage, &stage->two, "copy-expect", expect_params(stage, NULL), GW_ERR_CONFLICT,
            "is over");
}

/* A program whose file is called like an emulator's, with the image open. */
static pid_t emulator(const Stage *stage, const char *path, int flags)
{
    g_autofree char *program = g_build_filename(stage->folder, "qemu-system-test", NULL);
    const char *const argv[] = { "cp", "/bin/sleep", program, NULL };
    int fd = open(path, flags);

    assert_true(fd >= 0);
    assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL,
                             NULL, NULL));
    int gate[2];
    char byte;
    assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        execl(program, program, "1000", NULL);
        _exit(127);
    }
    close(gate[1]);
    assert_int_equal(read(gate[0], &byte, 1), 0); /* it has been executed */
    close(gate[0]);
    close(fd);
    return pid;
}

static void images_in_use(void **state)
{
    Stage *stage = *state;
    struct flock writes = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 101, .l_len = 1 };

    put(stage->from, 0, 0, 4096, 'a');
    put(stage->to, 0, 0, 4096, 'b');
    pid_t reader = emulator(stage, stage->from, O_RDONLY);
    do_it(stage, &stage->one, "copy-send", send_params(stage, NULL)); /* below a running VM's */
    json_decref(await(stage, &stage->one, "c1"));
    refused(stage, &stage->two, "copy-expect",
            expect_params(stage, json_pack("{s:s}", "path", stage->from)), GW_ERR_CONFLICT,
            "an emulator");
    kill(reader, SIGKILL);
    waitpid(reader, NULL, 0);
    pid_t writer = emulator(stage, stage->from, O_RDWR);
    refused(stage, &stage->one, "copy-send", send_params(stage, NULL), GW_ERR_CONFLICT,
            "an emulator");
    kill(writer, SIGKILL);
    waitpid(writer, NULL, 0);
    /* By QEMU's locks, which another host that shares the storage takes as well. */
    int fd = open(stage->from, O_RDWR | O_CLOEXEC);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &writes), 0);
    refused(stage, &stage->one, "copy-send", send_params(stage, NULL), GW_ERR_CONFLICT,
            "image lock");
    close(fd);
    /* And a source that is held is not written to: QEMU would ask for this lock. */
    do_it(stage, &stage->two, "copy-expect", expect_params(stage, NULL));
    fd = open(stage->to, O_RDWR | O_CLOEXEC);
    writes = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 201, .l_len = 1 };
    assert_int_equal(fcntl(fd, F_OFD_GETLK, &writes), 0);
    assert_int_equal(writes.l_type, F_RDLCK);
    close(fd);
}

/* Within one host, and what files belong to ---------------------------------------------------- */

static void within_one(void **state)
{
    Stage *stage = *state;
    static const char *const hows[] = { "fast", "copy" };

    put(stage->from, 64 * MIB, 10 * MIB, MIB, 'a');
    put(stage->to, 0, 0, 1, 'x');
    for (guint i = 0; i < G_N_ELEMENTS(hows); i++) {
        do_it(stage, &stage->one, "copy-local",
              json_pack("{s:s, s:s, s:s, s:s}", "copy", "l1", "from", stage->from, "to", stage->to,
                        "how", hows[i]));
        g_autoptr(GwJson) status = await(stage, &stage->one, "l1");
        assert_state(status, "done");
        assert_same(stage);
        assert_non_null(text(status, "how"));
        assert_true(allocated(stage->to) <= allocated(stage->from) * 105 / 100);
    }
    refused(stage, &stage->one, "copy-local",
            json_pack("{s:s, s:s, s:s, s:s}", "copy", "l1", "from", stage->from, "to", stage->to,
                      "how", "somehow"),
            GW_ERR_INVALID, "how");
    refused(stage, &stage->one, "copy-local",
            json_pack("{s:s, s:s, s:s, s:s}", "copy", "l1", "from", stage->from, "to", stage->from,
                      "how", "copy"),
            GW_ERR_CONFLICT, "in use");
}

static void access_is_set(void **state)
{
    Stage *stage = *state;

    put(stage->to, 0, 0, 1, 'x');
    g_autoptr(GwJson) before =
        ask(stage, &stage->two, "volume-access", json_pack("{s:s}", "path", stage->to));
    assert_string_equal(text(before, "owner"), "0");
    assert_string_equal(text(before, "mode"), "0600");
    assert_true(json_is_null(json_object_get(before, "acl")));
    g_autoptr(GwJson) after =
        ask(stage, &stage->two, "volume-access",
            json_pack("{s:s, s:{s:s, s:s, s:s, s:n}}", "path", stage->to, "set", "owner", "64055",
                      "group", "107", "mode", "0640", "label"));
    struct stat st;
    assert_int_equal(stat(stage->to, &st), 0);
    assert_int_equal(st.st_uid, 64055);
    assert_int_equal(st.st_gid, 107);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_string_equal(text(after, "mode"), "0640");
    g_autoptr(GError) error = NULL;
    g_autoptr(GwJson) listed =
        try(stage, &stage->two, "volume-access",
            json_pack("{s:s, s:{s:s}}", "path", stage->to, "set", "acl",
                      "user::rw-,user:1234:r--,group::r--,mask::r--,other::---"),
            &error);
    if (listed != NULL) /* the file system may have none */
        assert_non_null(strstr(text(listed, "acl"), "user:1234:r--"));
    else
        unit_assert_error(error, GW_ERR_OPERATION, "access list");
    static const char *const bad[][2] = {
        { "owner", "root" }, { "mode", "4755" }, { "mode", "9" }, { "group", "-1" }
    };
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) why = NULL;
        g_autoptr(GwJson) taken =
            try(stage, &stage->two, "volume-access",
                json_pack("{s:s, s:{s:s}}", "path", stage->to, "set", bad[i][0], bad[i][1]), &why);
        assert_null(taken);
        assert_int_equal(why->code, GW_ERR_INVALID);
    }
    refused(stage, &stage->two, "volume-access", json_pack("{s:s}", "path", "/etc/../etc/shadow"),
            GW_ERR_INVALID, "cannot be taken");
}

/* Whatever they are called: a link to it, another name of it, and of a device another node. */
static void same_files_are_found(void **state)
{
    Stage *stage = *state;
    g_autofree char *link_path = g_strconcat(stage->to, ".link", NULL);
    g_autofree char *name_path = g_strconcat(stage->to, ".name", NULL);

    put(stage->from, 0, 0, 1, 'x');
    put(stage->to, 0, 0, 1, 'x');
    assert_int_equal(symlink(stage->to, link_path), 0);
    assert_int_equal(link(stage->to, name_path), 0);
    g_autoptr(GwJson) said =
        ask(stage, &stage->two, "volume-access",
            json_pack("{s:s, s:[s, s, s, s, s, i, n]}", "path", stage->to, "others", stage->from,
                      link_path, "/no/such/file", name_path, "relative", 7));
    const json_t *same = json_object_get(said, "same");
    assert_int_equal(json_array_size(same), 2);
    assert_string_equal(json_string_value(json_array_get(same, 0)), link_path);
    assert_string_equal(json_string_value(json_array_get(same, 1)), name_path);
    g_autoptr(GwJson) without =
        ask(stage, &stage->two, "volume-access", json_pack("{s:s}", "path", stage->to));
    assert_null(json_object_get(without, "same"));
    refused(stage, &stage->two, "volume-access",
            json_pack("{s:s, s:[s]}", "path", "/no/such/file", "others", stage->to),
            GW_ERR_NOT_FOUND, "/no/such/file");
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(copies),
        CASE(goes_on_after_a_death),
        CASE(can_be_stopped),
        CASE(says_why_not),
        CASE(a_device_of_the_kernels_is_not_written_to),
        CASE(bad_paths),
        CASE(bad_leave),
        CASE(images_in_use),
        CASE(within_one),
        CASE(access_is_set),
        CASE(same_files_are_found),
    };

    if (geteuid() != 0) {
        g_print("1..0 # SKIP the agent is started by root\n");
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
