/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/front.h"
#include "agent/ipc.h"
#include "transport/pump.h"
#include "wire/frame.h"
#include "wire_world.h"

/* Real fronts, in processes of their own and, as root, in their sandbox; their wardens are played
 * here, and so are a controller and a peer that speak to one of them. */

#define MIB (1024 * 1024)
#define VM "8e490cda-b7f1-54a3-b7ec-4364c3ce5b90"
#define TICKET "dGlja2V0IG9uZQ=="

/* Calls that came to a warden. */
typedef struct {
    guint64 id;
    char *method;
    json_t *params;
    int fd;
} Asked;

typedef struct {
    World *world;
    const char *host_id;
    pid_t pid; /* 0 once it has ended */
    GwIpc *ipc;
    char *address;
    char *certificate, *key;
    GPtrArray *asked;   /* Asked, of methods that are not answered by themselves */
    GPtrArray *notices; /* json_t */
    guint controllers;  /* that came */
    gboolean refuse_controllers;
    json_t *controller; /* the last one's params */
} Warden;

typedef struct {
    World *world;
    char *empty;
    Warden *one, *two;
    Peer *peer; /* host-one or the controller, played */
    int listen_fd;
} Stage;

typedef struct {
    guint done;
    json_t *result;
    int code; /* -1: none */
    char *message;
} Outcome;

/* Wardens ------------------------------------------------------------------------------------- */

/* Most of what is waited for happens in other processes, and does not wake the loop. */
static void until(World *world, Until done, gconstpointer data)
{
    gint64 late_us = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

    while (!done(data)) {
        assert_true(g_get_monotonic_time() < late_us);
        gw_loop_turn(world->loop, 2);
    }
}

static void asked_free(gpointer data)
{
    Asked *asked = data;

    if (asked->fd >= 0)
        close(asked->fd);
    g_free(asked->method);
    json_decref(asked->params);
    g_free(asked);
}

static void on_ipc_call(GwIpc *ipc, guint64 id, const char *method, const json_t *params, int fd,
                        gpointer user)
{
    Warden *warden = user;
    g_autoptr(GError) error = NULL;

    if (!g_str_equal(method, "controller")) {
        Asked *asked = g_new(Asked, 1);
        *asked = (Asked){ id, g_strdup(method), json_deep_copy(params), fd };
        g_ptr_array_add(warden->asked, asked);
        return;
    }
    warden->controllers++;
    json_decref(warden->controller);
    warden->controller = json_deep_copy(params);
    gw_error_set(&error, GW_ERR_FORBIDDEN, NULL, "an older controller");
    gw_ipc_answer(ipc, id, NULL, -1, warden->refuse_controllers ? error : NULL);
}

static void on_ipc_notice(GwIpc *ipc, const char *method, const json_t *params, gpointer user)
{
    g_ptr_array_add(((Warden *)user)->notices,
                    json_pack("{s:s, s:o}", "method", method, "params", json_deep_copy(params)));
}

static void on_ipc_closed(GwIpc *ipc, const GError *why, gpointer user)
{
}

static void on_outcome(const json_t *result, int fd, const GError *error, gpointer user)
{
    Outcome *outcome = user;

    outcome->done++;
    outcome->result = json_deep_copy(result);
    outcome->code = error != NULL ? error->code : -1;
    outcome->message = error != NULL ? g_strdup(error->message) : NULL;
}

static void outcome_clear(Outcome *outcome)
{
    json_decref(outcome->result);
    g_free(outcome->message);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Outcome, outcome_clear)

static gboolean is_done(gconstpointer data)
{
    return ((const Outcome *)data)->done > 0;
}

static json_t *ask_front(Warden *warden, const char *method, json_t *params, int fd, int wanted)
{
    g_auto(Outcome) outcome = { 0 };

    gw_ipc_call(warden->ipc, method, params, fd, on_outcome, &outcome);
    until(warden->world, is_done, &outcome);
    if (outcome.code != wanted)
        fail_msg("%s: %s (%d)", method, outcome.message, outcome.code);
    return g_steal_pointer(&outcome.result);
}

static void tell_front(Warden *warden, const char *method, json_t *params, int fd)
{
    json_decref(ask_front(warden, method, params, fd, -1));
}

static void make_certificate(Warden *warden)
{
    g_autofree char *request = NULL;

    assert_true(gw_identity_request(&warden->key, &request, NULL));
    warden->certificate = gw_authority_issue(warden->world->authority, request, warden->host_id, 30,
                                             g_get_real_time() / G_USEC_PER_SEC, NULL, NULL);
    assert_non_null(warden->certificate);
}

static void give_credentials(Warden *warden, const char *revoked)
{
    json_t *serials = json_array();

    if (revoked != NULL)
        json_array_append_new(serials, json_string(revoked));
    tell_front(warden, "credentials",
               json_pack("{s:s, s:s, s:s, s:o, s:i, s:i, s:s}", "certificate", warden->certificate,
                         "key", warden->key, "ca", gw_authority_ca_pem(warden->world->authority),
                         "revoked", serials, "offset_s", 0, "incarnation", 1, "run", "r"),
               -1);
}

static G_NORETURN void be_front(int ipc_fd, int listen_fd, const char *empty)
{
    const GwFrontConfig config = { .ipc_fd = ipc_fd,
                                   .listen_fds = &listen_fd,
                                   .n_listen_fds = 1,
                                   .threads = 2,
                                   .user = "nobody",
                                   .empty_folder = empty };

    _exit(geteuid() == 0 ? gw_front_main(&config) : gw_front_serve(&config));
}

static Warden *warden_new(Stage *stage, const char *host_id)
{
    Warden *warden = g_new0(Warden, 1);
    const GwIpcOps ops = { warden, on_ipc_call, on_ipc_notice, on_ipc_closed };
    int pair[2];

    warden->world = stage->world;
    warden->host_id = host_id;
    warden->asked = g_ptr_array_new_with_free_func(asked_free);
    warden->notices = g_ptr_array_new_with_free_func((GDestroyNotify)gw_json_unref);
    int listen_fd = world_listen(&warden->address);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    warden->pid = fork();
    assert_true(warden->pid >= 0);
    if (warden->pid == 0) {
        /* Another front must see its warden go. */
        for (int fd = 3; fd < 1024; fd++) {
            if (fd != pair[1] && fd != listen_fd)
                close(fd);
        }
        be_front(pair[1], listen_fd, stage->empty);
    }
    close(pair[1]);
    close(listen_fd);
    warden->ipc = gw_ipc_new(stage->world->loop, pair[0], &ops);
    make_certificate(warden);
    return warden;
}

static int warden_end(Warden *warden)
{
    int status = 0;

    g_clear_pointer(&warden->ipc, gw_ipc_free);
    if (warden->pid != 0)
        assert_int_equal(waitpid(warden->pid, &status, 0), warden->pid);
    warden->pid = 0;
    return status;
}

static void warden_free(Warden *warden)
{
    int status = warden_end(warden);

    g_ptr_array_unref(warden->asked);
    g_ptr_array_unref(warden->notices);
    json_decref(warden->controller);
    g_free(warden->address);
    g_free(warden->certificate);
    g_free(warden->key);
    g_free(warden);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static gboolean was_asked(gconstpointer data)
{
    return ((const Warden *)data)->asked->len > 0;
}

/* The next call that came; the caller frees. */
static Asked *next_asked(Warden *warden, const char *method)
{
    until(warden->world, was_asked, warden);
    Asked *asked = g_ptr_array_steal_index(warden->asked, 0);
    assert_string_equal(asked->method, method);
    return asked;
}

/* Answers @asked, and takes it, with an end of a new pair of sockets; the other is returned. */
static int answer_with_socket(Warden *warden, Asked *asked, json_t *result)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    gw_ipc_answer(warden->ipc, asked->id, result, pair[1], NULL);
    close(pair[1]);
    asked_free(asked);
    return pair[0];
}

static int answer_open(Warden *warden, json_t *result)
{
    return answer_with_socket(warden, next_asked(warden, "open"), result);
}

static const char *text_at(const json_t *json, const char *one, const char *two)
{
    const json_t *at = json_object_get(json, one);

    return json_string_value(two != NULL ? json_object_get(at, two) : at);
}

/* The stage ----------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    Stage *stage = g_new0(Stage, 1);

    stage->world = world_new();
    stage->empty = g_dir_make_tmp("godwit-empty-XXXXXX", NULL);
    g_chmod(stage->empty, 0755);
    stage->one = warden_new(stage, "host-one");
    give_credentials(stage->one, NULL);
    *state = stage;
    return 0;
}

static void part(Stage *stage)
{
    if (stage->peer == NULL)
        return;
    if (stage->peer->closed == 0)
        gw_session_close(stage->peer->session, NULL);
    until(stage->world, peer_is_closed, stage->peer);
    peer_free(stage->peer);
    stage->peer = NULL;
}

static int tear_down(void **state)
{
    Stage *stage = *state;

    part(stage);
    if (stage->one != NULL)
        warden_free(stage->one);
    if (stage->two != NULL)
        warden_free(stage->two);
    world_turns(stage->world, 10);
    g_rmdir(stage->empty);
    g_free(stage->empty);
    world_free(stage->world);
    g_free(stage);
    return 0;
}

static Peer *dial(Stage *stage, GwCredentials *as)
{
    const char *const addresses[] = { stage->one->address, NULL };
    g_autoptr(GwJson) hello = json_pack("{s:i, s:s, s:I}", "incarnation", 7, "run", "run-7",
                                        "wall_us", (json_int_t)g_get_real_time());
    Peer *peer = peer_new(as);
    GwSessionConfig config = peer_config(stage->world, peer, stage->one->host_id);

    config.hello = hello;
    peer->dialling = TRUE;
    peer->session = gw_session_dial(&config, addresses);
    stage->peer = peer;
    return peer;
}

static Peer *join(Stage *stage, GwCredentials *as)
{
    Peer *peer = dial(stage, as);

    until(stage->world, peer_is_ready, peer);
    return peer;
}

/* A stream of the played peer that leads to a socket of the test. */
typedef struct {
    int program; /* the peer's side */
    guint done;
    int code;
    char *message;
} Carried;

static void on_carried(gpointer user, guint64 read_bytes, guint64 written_bytes, const GError *why)
{
    Carried *carried = user;

    carried->done++;
    carried->code = why != NULL ? why->code : -1;
    carried->message = why != NULL ? g_strdup(why->message) : NULL;
}

static void open_stream(Peer *peer, Carried *carried, const char *kind, const char *ticket)
{
    const GwPumpConfig config = { .share = { GW_CLASS_NORMAL, NULL, 0 },
                                  .done = on_carried,
                                  .user = carried };
    json_t *what = json_pack("{s:s, s:s*}", "kind", kind, "ticket", ticket);
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    *carried = (Carried){ .program = pair[0] };
    gw_pump_open(peer->session, what, pair[1], &config);
}

static gboolean carried_is_done(gconstpointer data)
{
    return ((const Carried *)data)->done > 0;
}

static void carried_end(Stage *stage, Carried *carried)
{
    if (carried->program >= 0)
        close(carried->program);
    carried->program = -1;
    until(stage->world, carried_is_done, carried);
    g_clear_pointer(&carried->message, g_free);
}

static gboolean has_bytes(gconstpointer fd)
{
    char byte;
    ssize_t got = recv(*(const int *)fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return got >= 0 || errno != EAGAIN;
}

static void expect_text(Stage *stage, int fd, const char *wanted)
{
    char text[256] = "";

    until(stage->world, has_bytes, &fd);
    assert_int_equal(recv(fd, text, sizeof text - 1, MSG_DONTWAIT), (ssize_t)strlen(wanted));
    assert_string_equal(text, wanted);
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Credentials --------------------------------------------------------------------------------- */

static void turn_for(Stage *stage, gint64 ms)
{
    gint64 until_us = g_get_monotonic_time() + ms * 1000;

    while (g_get_monotonic_time() < until_us)
        gw_loop_turn(stage->world->loop, 10);
}

static void test_nothing_before_credentials(void **state)
{
    Stage *stage = *state;

    warden_free(g_steal_pointer(&stage->one));
    stage->one = warden_new(stage, "host-one");
    Peer *peer = dial(stage, stage->world->two);
    turn_for(stage, 300);
    assert_int_equal(peer->ready + peer->closed, 0);
    json_decref(
        ask_front(stage->one, "credentials", json_pack("{s:s}", "ca", "x"), -1, GW_ERR_INVALID));
    assert_int_equal(peer->ready + peer->closed, 0);
    give_credentials(stage->one, NULL);
    until(stage->world, peer_is_ready, peer);
}

static void test_foreign(void **state)
{
    Stage *stage = *state;
    World *foreign = world_new();
    Peer *peer = dial(stage, foreign->two);

    until(stage->world, peer_is_closed, peer);
    assert_int_equal(peer->ready, 0);
    part(stage);
    world_free(foreign);
}

static void test_revoked_while_it_is_there(void **state)
{
    Stage *stage = *state;
    Peer *peer = join(stage, stage->world->two);

    give_credentials(stage->one, gw_credentials_self(stage->world->two)->serial);
    until(stage->world, peer_is_closed, peer);
    assert_int_equal(peer->why->code, GW_ERR_UNAUTHORIZED);
}

static void test_new_certificate(void **state)
{
    Stage *stage = *state;

    g_free(stage->one->certificate);
    g_free(stage->one->key);
    make_certificate(stage->one);
    give_credentials(stage->one, NULL);
    Peer *peer = join(stage, stage->world->two);
    g_autoptr(GwPeer) wanted = gw_identity_read(stage->one->certificate, NULL);
    assert_string_equal(gw_session_peer(peer->session)->serial, wanted->serial);
}

static void test_ends_with_its_warden(void **state)
{
    Stage *stage = *state;
    int status = warden_end(stage->one);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Streams of others --------------------------------------------------------------------------- */

static void test_open(void **state)
{
    Stage *stage = *state;
    Peer *peer = join(stage, stage->world->two);
    Carried first, second;

    open_stream(peer, &first, "migration", TICKET);
    Asked *asked = next_asked(stage->one, "open");
    assert_string_equal(text_at(asked->params, "peer", "role"), "host");
    assert_string_equal(text_at(asked->params, "peer", "host_id"), "host-two");
    assert_string_equal(text_at(asked->params, "peer", "fabric_id"),
                        gw_authority_fabric_id(stage->world->authority));
    assert_string_equal(text_at(asked->params, "what", "kind"), "migration");
    assert_string_equal(text_at(asked->params, "what", "ticket"), TICKET);
    assert_int_equal(json_integer_value(json_object_get(asked->params, "streams")), 0);
    int socket_fd = answer_with_socket(stage->one, asked, json_pack("{s:s}", "vm_uuid", VM));
    say(first.program, "to the destination");
    expect_text(stage, socket_fd, "to the destination");
    say(socket_fd, "and back");
    expect_text(stage, first.program, "and back");
    /* The same ticket in other letters is the same ticket. */
    open_stream(peer, &second, "migration", "dGlj a2V0IG9uZQ==");
    asked = next_asked(stage->one, "open");
    assert_int_equal(json_integer_value(json_object_get(asked->params, "streams")), 1);
    int more_fd = answer_with_socket(stage->one, asked, json_pack("{s:s}", "vm_uuid", VM));
    close(socket_fd);
    close(more_fd);
    carried_end(stage, &first);
    carried_end(stage, &second);
    g_autoptr(GwJson) counts = ask_front(stage->one, "counts", json_object(), -1, -1);
    assert_int_equal(json_integer_value(json_object_get(counts, "sessions")), 1);
    assert_true(json_integer_value(json_object_get(counts, "resident_bytes")) > MIB);
}

static gboolean carries_none(gconstpointer data)
{
    Warden *warden = (Warden *)data;
    g_autoptr(GwJson) counts = ask_front(warden, "counts", json_object(), -1, -1);

    return json_integer_value(json_object_get(counts, "streams")) == 0;
}

static void test_ticket_count_goes_down(void **state)
{
    Stage *stage = *state;
    Peer *peer = join(stage, stage->world->two);
    Carried carried;

    for (guint i = 0; i < 3; i++) {
        open_stream(peer, &carried, "disk", TICKET);
        Asked *asked = next_asked(stage->one, "open");
        assert_int_equal(json_integer_value(json_object_get(asked->params, "streams")), 0);
        int socket_fd = answer_with_socket(stage->one, asked, json_pack("{s:s}", "vm_uuid", VM));
        say(carried.program, "x");
        expect_text(stage, socket_fd, "x");
        close(socket_fd);
        carried_end(stage, &carried);
        until(stage->world, carries_none, stage->one);
    }
}

static void test_refused(void **state)
{
    Stage *stage = *state;
    Peer *peer = join(stage, stage->world->two);
    g_autoptr(GError) error = NULL;
    Carried carried;
    char byte;

    gw_error_set(&error, GW_ERR_UNAUTHORIZED, "Ask the controller.", "the ticket ran out");
    open_stream(peer, &carried, "migration", TICKET);
    Asked *asked = next_asked(stage->one, "open");
    gw_ipc_answer(stage->one->ipc, asked->id, NULL, -1, error);
    asked_free(asked);
    until(stage->world, carried_is_done, &carried);
    assert_int_equal(carried.code, GW_ERR_UNAUTHORIZED);
    assert_string_equal(carried.message, "the ticket ran out");
    assert_int_equal(recv(carried.program, &byte, 1, 0), 0);
    carried_end(stage, &carried);
}

/* Each side of the network has its own kinds, whatever the warden would say. */
static void test_kinds(void **state)
{
    static const struct {
        gboolean controller;
        const char *kind;
        int code;
    } cases[] = {
        { FALSE, "libvirt", GW_ERR_FORBIDDEN },  { TRUE, "rpc", GW_ERR_FORBIDDEN },
        { TRUE, "migration", GW_ERR_FORBIDDEN }, { TRUE, "disk", GW_ERR_FORBIDDEN },
        { FALSE, "root", GW_ERR_UNSUPPORTED },   { TRUE, "root", GW_ERR_UNSUPPORTED },
        { TRUE, "file", GW_ERR_FORBIDDEN },
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Stage *stage = *state;
        Peer *peer =
            join(stage, cases[i].controller ? stage->world->controller : stage->world->two);
        Carried carried;
        open_stream(peer, &carried, cases[i].kind, TICKET);
        until(stage->world, carried_is_done, &carried);
        if (carried.code != cases[i].code)
            fail_msg("%s: %d", cases[i].kind, carried.code);
        assert_int_equal(stage->one->asked->len, 0);
        carried_end(stage, &carried);
        part(stage);
    }
}

static void test_controller_libvirt(void **state)
{
    Stage *stage = *state;
    Peer *peer = join(stage, stage->world->controller);
    Carried carried;

    open_stream(peer, &carried, "libvirt", NULL);
    Asked *asked = next_asked(stage->one, "open");
    assert_string_equal(text_at(asked->params, "peer", "role"), "controller");
    assert_string_equal(text_at(asked->params, "peer", "run"), "run-7");
    assert_null(json_object_get(json_object_get(asked->params, "what"), "ticket"));
    int socket_fd = answer_with_socket(stage->one, asked, json_object());
    say(carried.program, "no packet of libvirt's, and no filter");
    expect_text(stage, socket_fd, "no packet of libvirt's, and no filter");
    close(socket_fd);
    carried_end(stage, &carried);
}

static void test_stream_gone_before_the_answer(void **state)
{
    Stage *stage = *state;
    Peer *peer = join(stage, stage->world->two);
    Carried carried;
    char byte;

    open_stream(peer, &carried, "migration", TICKET);
    Asked *asked = next_asked(stage->one, "open");
    part(stage);
    turn_for(stage, 100);
    int socket_fd = answer_with_socket(stage->one, asked, json_object());
    until(stage->world, has_bytes, &socket_fd);
    assert_int_equal(recv(socket_fd, &byte, 1, MSG_DONTWAIT), 0); /* closed, unused */
    close(socket_fd);
    carried_end(stage, &carried);
}

/* The filter ---------------------------------------------------------------------------------- */

static json_t *rpc_result(void)
{
    return json_pack("{s:s, s:s, s:s}", "vm_uuid", VM, "vm_name", "web1", "migration_uri",
                     "unix:///run/libvirt/godwit/j.tunnelmigrate.dest.web1");
}

/* A call of libvirt's without arguments. */
static gsize rpc_call(guint8 bytes[28], guint32 procedure)
{
    const guint32 words[7] = { 28, 0x20008086, 1, procedure, 0, 1, 0 };

    for (guint i = 0; i < 7; i++)
        gw_put_u32(bytes + 4 * i, words[i]);
    return 28;
}

static void test_rpc_filter(void **state)
{
    Stage *stage = *state;
    Peer *peer = join(stage, stage->world->two);
    guint8 allowed[28], forbidden[28], got[64];
    Carried carried;

    rpc_call(allowed, 66);   /* AUTH_LIST */
    rpc_call(forbidden, 16); /* DOMAIN_GET_INFO */
    open_stream(peer, &carried, "rpc", TICKET);
    int socket_fd = answer_open(stage->one, rpc_result());
    assert_int_equal(send(carried.program, allowed, 10, 0), 10);
    turn_for(stage, 50);
    assert_false(has_bytes(&socket_fd)); /* not whole */
    assert_int_equal(send(carried.program, allowed + 10, 18, 0), 18);
    until(stage->world, has_bytes, &socket_fd);
    assert_int_equal(recv(socket_fd, got, sizeof got, MSG_DONTWAIT), 28);
    assert_memory_equal(got, allowed, 28);
    say(socket_fd, "any answer comes back as it is");
    expect_text(stage, carried.program, "any answer comes back as it is");
    assert_int_equal(send(carried.program, forbidden, 28, 0), 28);
    until(stage->world, carried_is_done, &carried);
    assert_int_equal(carried.code, GW_ERR_FORBIDDEN);
    until(stage->world, has_bytes, &socket_fd);
    assert_int_equal(recv(socket_fd, got, sizeof got, MSG_DONTWAIT), 0);
    close(socket_fd);
    carried_end(stage, &carried);
}

/* Calls and notices --------------------------------------------------------------------------- */

static void on_call_done(GwSession *session, const json_t *result, const GError *error,
                         gpointer user)
{
    on_outcome(result, -1, error, user);
}

static gboolean was_told(gconstpointer data)
{
    return ((const Warden *)data)->notices->len > 0;
}

static void test_controller_calls(void **state)
{
    Stage *stage = *state;
    Peer *peer = join(stage, stage->world->controller);
    g_auto(Outcome) outcome = { 0 };

    gw_session_call(peer->session, "facts", json_pack("{s:i}", "a", 1), 10 * G_USEC_PER_SEC,
                    on_call_done, &outcome);
    Asked *asked = next_asked(stage->one, "call");
    const json_t *who = json_object_get(asked->params, "peer");
    assert_int_equal(stage->one->controllers, 1); /* told before the first call */
    assert_int_equal(json_integer_value(json_object_get(stage->one->controller, "incarnation")), 7);
    assert_true(json_integer_value(json_object_get(stage->one->controller, "wall_us")) > 0);
    assert_string_equal(text_at(stage->one->controller, "run", NULL), "run-7");
    assert_string_equal(text_at(asked->params, "method", NULL), "facts");
    assert_int_equal(json_integer_value(json_object_get(who, "incarnation")), 7);
    assert_true(json_equal(json_object_get(who, "session"),
                           json_object_get(stage->one->controller, "session")));
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(asked->params, "params"), "a")), 1);
    gw_ipc_answer(stage->one->ipc, asked->id, json_pack("{s:i}", "b", 2), -1, NULL);
    asked_free(asked);
    until(stage->world, is_done, &outcome);
    assert_int_equal(json_integer_value(json_object_get(outcome.result, "b")), 2);
    gw_ipc_notice(stage->one->ipc, "controller-notice",
                  json_pack("{s:s, s:{}}", "method", "facts-changed", "params"));
    while (peer->notices->len == 0)
        gw_loop_turn(stage->world->loop, 10);
    assert_string_equal(g_ptr_array_index(peer->notices, 0), "facts-changed");
    part(stage);
    until(stage->world, was_told, stage->one);
    const json_t *notice = g_ptr_array_index(stage->one->notices, 0);
    assert_string_equal(text_at(notice, "method", NULL), "controller");
    assert_false(
        json_boolean_value(json_object_get(json_object_get(notice, "params"), "connected")));
}

static void test_refused_controller(void **state)
{
    Stage *stage = *state;

    stage->one->refuse_controllers = TRUE;
    Peer *peer = join(stage, stage->world->controller);
    until(stage->world, peer_is_closed, peer);
    assert_int_equal(peer->why->code, GW_ERR_FORBIDDEN);
    assert_string_equal(peer->why->message, "an older controller");
}

static void test_host_calls(void **state)
{
    Stage *stage = *state;
    Peer *peer = join(stage, stage->world->two);
    g_auto(Outcome) forbidden = { 0 }, attest = { 0 };

    gw_session_call(peer->session, "facts", json_object(), 10 * G_USEC_PER_SEC, on_call_done,
                    &forbidden);
    until(stage->world, is_done, &forbidden);
    assert_int_equal(forbidden.code, GW_ERR_FORBIDDEN);
    assert_int_equal(stage->one->asked->len, 0);
    gw_session_call(peer->session, "attest", json_pack("{s:s}", "ticket", TICKET),
                    10 * G_USEC_PER_SEC, on_call_done, &attest);
    Asked *asked = next_asked(stage->one, "call");
    assert_string_equal(text_at(asked->params, "peer", "host_id"), "host-two");
    gw_ipc_answer(stage->one->ipc, asked->id, json_pack("{s:i}", "processes", 0), -1, NULL);
    asked_free(asked);
    until(stage->world, is_done, &attest);
    assert_int_equal(attest.code, -1);
    gw_session_notice(peer->session, "alarm", json_object()); /* not a host's to say */
    gw_session_notice(peer->session, "source-gone", json_pack("{s:s}", "ticket", TICKET));
    until(stage->world, was_told, stage->one);
    const json_t *notice = g_ptr_array_index(stage->one->notices, 0);
    assert_string_equal(text_at(notice, "method", NULL), "notice");
    assert_string_equal(text_at(json_object_get(notice, "params"), "method", NULL), "source-gone");
}

/* One of several peers at one time; given back by leave. */
static Peer *come(Stage *stage, GwCredentials *as)
{
    Peer *peer = join(stage, as);

    stage->peer = NULL;
    return peer;
}

static void leave(Stage *stage, Peer *peer)
{
    stage->peer = peer;
    part(stage);
}

static int ask_to_measure(Stage *stage, Peer *peer)
{
    g_auto(Outcome) outcome = { 0 };

    gw_session_call(peer->session, "measure-target", json_object(), 10 * G_USEC_PER_SEC,
                    on_call_done, &outcome);
    until(stage->world, is_done, &outcome);
    return outcome.code;
}

/* One that always asks again does not keep the others from it. */
static void test_measuring_by_turns(void **state)
{
    Stage *stage = *state;
    GwCredentials *three = world_host(stage->world->authority, "host-three");
    Peer *greedy = come(stage, stage->world->two), *other = come(stage, three);

    assert_int_equal(ask_to_measure(stage, greedy), -1);
    assert_int_equal(ask_to_measure(stage, greedy), -1);
    assert_int_equal(ask_to_measure(stage, other), GW_ERR_CONFLICT);
    assert_int_equal(ask_to_measure(stage, greedy), GW_ERR_CONFLICT);
    leave(stage, greedy); /* which ends what it had */
    greedy = come(stage, stage->world->two);
    assert_int_equal(ask_to_measure(stage, greedy), GW_ERR_CONFLICT);
    assert_int_equal(ask_to_measure(stage, other), -1);
    leave(stage, other);
    assert_int_equal(ask_to_measure(stage, greedy), -1);
    leave(stage, greedy);
    gw_credentials_unref(three);
}

/* A host with a good certificate takes neither all sessions nor all that the warden can be asked
 * at one time. */
static void test_one_host_is_not_all(void **state)
{
    Stage *stage = *state;
    Peer *peers[7];
    g_auto(Outcome) last = { 0 };
    static Outcome outcomes[2][250];
    guint refused = 0;

    for (guint i = 0; i < G_N_ELEMENTS(peers); i++)
        peers[i] = come(stage, stage->world->two);
    for (guint i = 0; i + 4 < G_N_ELEMENTS(peers); i++) {
        until(stage->world, peer_is_closed, peers[i]);
        assert_int_equal(peers[i]->why->code, GW_ERR_CONFLICT);
        leave(stage, peers[i]);
    }
    for (guint i = 0; i < 2; i++) {
        for (guint j = 0; j < G_N_ELEMENTS(outcomes[0]); j++)
            gw_session_call(peers[5 + i]->session, "attest", json_pack("{s:s}", "ticket", TICKET),
                            60 * G_USEC_PER_SEC, on_call_done, &outcomes[i][j]);
    }
    while (stage->one->asked->len < GW_IPC_CALLS_MAX / 4)
        gw_loop_turn(stage->world->loop, 2);
    Peer *boss = come(stage, stage->world->controller);
    gw_session_call(boss->session, "facts", json_object(), 10 * G_USEC_PER_SEC, on_call_done,
                    &last);
    while (stage->one->asked->len == GW_IPC_CALLS_MAX / 4)
        gw_loop_turn(stage->world->loop, 2);
    Asked *facts = g_ptr_array_index(stage->one->asked, GW_IPC_CALLS_MAX / 4);
    assert_string_equal(text_at(facts->params, "method", NULL), "facts");
    gw_ipc_answer(stage->one->ipc, facts->id, json_object(), -1, NULL);
    until(stage->world, is_done, &last);
    assert_int_equal(last.code, -1);
    for (guint turn = 0; turn < 5000 && refused < 500 - GW_IPC_CALLS_MAX / 4; turn++) {
        gw_loop_turn(stage->world->loop, 2);
        refused = 0;
        for (guint i = 0; i < 500; i++)
            refused += outcomes[i / 250][i % 250].code == GW_ERR_CONFLICT;
    }
    assert_int_equal(refused, 500 - GW_IPC_CALLS_MAX / 4);
    leave(stage, boss);
    for (guint i = 3; i < G_N_ELEMENTS(peers); i++)
        leave(stage, peers[i]);
    for (guint i = 0; i < 500; i++)
        outcome_clear(&outcomes[i / 250][i % 250]);
}

/* Two fronts ---------------------------------------------------------------------------------- */

static void start_two(Stage *stage)
{
    stage->two = warden_new(stage, "host-two");
    give_credentials(stage->two, NULL);
}

static json_t *peer_two(Stage *stage)
{
    return json_pack("{s:s, s:[s]}", "host_id", "host-two", "addresses", stage->two->address);
}

static int connect_local(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (const struct sockaddr *)address, sizeof *address), 0);
    return fd;
}

/* A unix socket in no folder. */
static int listen_local(struct sockaddr_un *address)
{
    static guint number;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    g_snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "godwit-front-%d-%u", getpid(),
               ++number);
    assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
    assert_int_equal(listen(fd, 64), 0);
    return fd;
}

static void front_listens(Stage *stage, const char *id, const char *kind,
                          struct sockaddr_un *address, json_t *peer)
{
    int fd = listen_local(address);

    tell_front(stage->one, "listen",
               json_pack("{s:s, s:s, s:s, s:s, s:o}", "listener", id, "kind", kind, "ticket",
                         TICKET, "group", VM, "peer", peer),
               fd);
    close(fd);
}

static void test_listen(void **state)
{
    Stage *stage = *state;
    struct sockaddr_un address;
    int programs[4], sockets[4];

    start_two(stage);
    front_listens(stage, "1", "migration", &address, peer_two(stage));
    for (guint i = 0; i < 4; i++) {
        programs[i] = connect_local(&address);
        say(programs[i], (const char *[]){ "one", "two", "three", "four" }[i]);
    }
    /* They come in the order they were made in: QEMU takes the first for the main one. */
    for (guint i = 0; i < 4; i++) {
        int socket_fd = answer_open(stage->two, json_pack("{s:s}", "vm_uuid", VM));
        sockets[i] = socket_fd;
        expect_text(stage, sockets[i], (const char *[]){ "one", "two", "three", "four" }[i]);
    }
    for (guint i = 0; i < 4; i++) {
        say(sockets[i], "back");
        expect_text(stage, programs[i], "back");
        close(programs[i]);
        close(sockets[i]);
    }
    until(stage->world, carries_none, stage->one);
    until(stage->world, carries_none, stage->two);
    /* One session carried them all. */
    g_autoptr(GwJson) counts = ask_front(stage->two, "counts", json_object(), -1, -1);
    assert_int_equal(json_integer_value(json_object_get(counts, "sessions")), 1);
    tell_front(stage->one, "unlisten", json_pack("{s:s}", "listener", "1"), -1);
    int late = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(late, (struct sockaddr *)&address, sizeof address), -1);
    close(late);
}

static void test_listen_large(void **state)
{
    Stage *stage = *state;
    struct sockaddr_un address;
    g_autofree guint8 *out = g_malloc(MIB), *in = g_malloc(MIB);
    guint64 sent = 0, received = 0, total = 64 * (guint64)MIB;

    start_two(stage);
    front_listens(stage, "1", "disk", &address, peer_two(stage));
    int program = connect_local(&address);
    int socket_fd = answer_open(stage->two, json_pack("{s:s}", "vm_uuid", VM));
    for (guint i = 0; i < MIB; i++)
        out[i] = (guint8)(i * 2654435761u >> 13);
    gint64 late_us = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    while (received < total) {
        guint64 at = sent % MIB;
        ssize_t put = sent < total ? send(program, out + at, MIB - at, MSG_DONTWAIT) : 0;
        sent += put > 0 ? (guint64)put : 0;
        ssize_t got = recv(socket_fd, in, MIB - received % MIB, MSG_DONTWAIT);
        if (got > 0)
            assert_memory_equal(in, out + received % MIB, (gsize)got);
        received += got > 0 ? (guint64)got : 0;
        gw_loop_turn(stage->world->loop, put > 0 || got > 0 ? 0 : 1);
        assert_true(g_get_monotonic_time() < late_us);
    }
    close(program);
    close(socket_fd);
}

static void test_peer_refuses(void **state)
{
    Stage *stage = *state;
    struct sockaddr_un address;
    g_autoptr(GError) error = NULL;
    char byte;

    start_two(stage);
    gw_error_set(&error, GW_ERR_UNAUTHORIZED, NULL, "no");
    front_listens(stage, "1", "rpc", &address, peer_two(stage));
    int program = connect_local(&address);
    Asked *asked = next_asked(stage->two, "open");
    gw_ipc_answer(stage->two->ipc, asked->id, NULL, -1, error);
    asked_free(asked);
    until(stage->world, has_bytes, &program);
    assert_int_equal(recv(program, &byte, 1, MSG_DONTWAIT), 0);
    close(program);
}

static void test_peer_not_there(void **state)
{
    Stage *stage = *state;
    struct sockaddr_un address;
    g_autofree char *nobody = NULL;
    int unused = world_listen(&nobody);
    char byte;

    close(unused);
    front_listens(stage, "1", "migration", &address,
                  json_pack("{s:s, s:[s]}", "host_id", "host-two", "addresses", nobody));
    int program = connect_local(&address);
    until(stage->world, has_bytes, &program);
    assert_int_equal(recv(program, &byte, 1, MSG_DONTWAIT), 0);
    close(program);
    json_decref(
        ask_front(stage->one, "connect",
                  json_pack("{s:{s:s, s:[s]}}", "peer", "host_id", "host-two", "addresses", nobody),
                  -1, GW_ERR_UNREACHABLE));
}

/* Somebody else answers at the peer's address. */
static void test_not_the_peer(void **state)
{
    Stage *stage = *state;

    start_two(stage);
    json_decref(ask_front(stage->one, "connect",
                          json_pack("{s:{s:s, s:[s]}}", "peer", "host_id", "host-three",
                                    "addresses", stage->two->address),
                          -1, GW_ERR_UNAUTHORIZED));
}

static void test_peer_call(void **state)
{
    Stage *stage = *state;
    g_auto(Outcome) outcome = { 0 }, back = { 0 }, late = { 0 };

    start_two(stage);
    gw_ipc_call(stage->one->ipc, "peer-call",
                json_pack("{s:o, s:s, s:{s:s}, s:i}", "peer", peer_two(stage), "method", "attest",
                          "params", "ticket", TICKET, "timeout_ms", 10000),
                -1, on_outcome, &outcome);
    Asked *asked = next_asked(stage->two, "call");
    assert_string_equal(text_at(asked->params, "peer", "host_id"), "host-one");
    assert_string_equal(text_at(asked->params, "params", "ticket"), TICKET);
    gw_ipc_answer(stage->two->ipc, asked->id, json_pack("{s:b}", "closed", 1), -1, NULL);
    asked_free(asked);
    until(stage->world, is_done, &outcome);
    assert_int_equal(outcome.code, -1);
    /* The way back needs no address: the session that is there serves. */
    gw_ipc_call(stage->two->ipc, "peer-call",
                json_pack("{s:{s:s, s:[]}, s:s, s:{}, s:i}", "peer", "host_id", "host-one",
                          "addresses", "method", "attest", "params", "timeout_ms", 10000),
                -1, on_outcome, &back);
    asked = next_asked(stage->one, "call");
    gw_ipc_answer(stage->one->ipc, asked->id, json_object(), -1, NULL);
    asked_free(asked);
    until(stage->world, is_done, &back);
    assert_int_equal(back.code, -1);
    gw_ipc_notice(
        stage->one->ipc, "peer-notice",
        json_pack("{s:o, s:s, s:{}}", "peer", peer_two(stage), "method", "source-gone", "params"));
    until(stage->world, was_told, stage->two);
    gw_ipc_call(stage->one->ipc, "peer-call",
                json_pack("{s:o, s:s, s:{}, s:i}", "peer", peer_two(stage), "method", "attest",
                          "params", "timeout_ms", 200),
                -1, on_outcome, &late);
    asked_free(next_asked(stage->two, "call")); /* and no answer */
    until(stage->world, is_done, &late);
    assert_int_equal(late.code, GW_ERR_TIMEOUT);
}

static void answer_discard(Stage *stage, Outcome *outcome)
{
    while (outcome->done == 0) {
        gw_loop_turn(stage->world->loop, 10);
        if (stage->two->asked->len == 0)
            continue;
        Asked *asked = next_asked(stage->two, "open");
        gw_ipc_answer(stage->two->ipc, asked->id, json_object(), -1, NULL);
        asked_free(asked);
    }
}

static void test_measure(void **state)
{
    Stage *stage = *state;
    g_auto(Outcome) outcome = { 0 };

    start_two(stage);
    gw_ipc_call(
        stage->one->ipc, "measure",
        json_pack("{s:o, s:i, s:i}", "peer", peer_two(stage), "bytes_max", 4 * MIB, "ms_max", 5000),
        -1, on_outcome, &outcome);
    json_decref(ask_front(
        stage->one, "measure",
        json_pack("{s:o, s:i, s:i}", "peer", peer_two(stage), "bytes_max", 1, "ms_max", 1), -1,
        GW_ERR_CONFLICT));
    answer_discard(stage, &outcome);
    if (outcome.code != -1)
        fail_msg("%s", outcome.message);
    assert_string_equal(text_at(outcome.result, "host_id", NULL), "host-two");
    assert_int_equal(json_integer_value(json_object_get(outcome.result, "measured_bytes")),
                     4 * MIB);
    gint64 median = json_integer_value(json_object_get(outcome.result, "round_trip_us"));
    gint64 most = json_integer_value(json_object_get(outcome.result, "round_trip_max_us"));
    assert_true(median > 0 && median <= most && most < 5 * G_USEC_PER_SEC);
    assert_true(json_integer_value(json_object_get(outcome.result, "bytes_per_s")) > MIB);
    double again = json_real_value(json_object_get(outcome.result, "retransmitted"));
    assert_true(again >= 0 && again < 1);
}

/* A limit of the host holds for what it measures as well. */
static void test_limits(void **state)
{
    Stage *stage = *state;
    g_auto(Outcome) outcome = { 0 };

    start_two(stage);
    tell_front(stage->one, "limits", json_pack("{s:i}", "bytes_per_s", 2 * MIB), -1);
    gw_ipc_call(stage->one->ipc, "measure",
                json_pack("{s:o, s:i, s:i}", "peer", peer_two(stage), "bytes_max", 64 * MIB,
                          "ms_max", 1000),
                -1, on_outcome, &outcome);
    answer_discard(stage, &outcome);
    assert_int_equal(outcome.code, -1);
    gint64 rate = json_integer_value(json_object_get(outcome.result, "bytes_per_s"));
    assert_true(rate > MIB / 2 && rate < 4 * MIB);
    assert_true(json_integer_value(json_object_get(outcome.result, "measured_bytes")) < 8 * MIB);
}

static void test_the_other_front_dies(void **state)
{
    Stage *stage = *state;
    struct sockaddr_un address;
    char byte;

    start_two(stage);
    front_listens(stage, "1", "migration", &address, peer_two(stage));
    int program = connect_local(&address);
    int socket_fd = answer_open(stage->two, json_pack("{s:s}", "vm_uuid", VM));
    say(program, "x");
    expect_text(stage, socket_fd, "x");
    assert_int_equal(kill(stage->two->pid, SIGKILL), 0);
    until(stage->world, has_bytes, &program);
    assert_true(recv(program, &byte, 1, MSG_DONTWAIT) <= 0);
    until(stage->world, has_bytes, &socket_fd);
    assert_int_equal(recv(socket_fd, &byte, 1, MSG_DONTWAIT), 0);
    close(program);
    close(socket_fd);
    int status = warden_end(stage->two);
    assert_true(WIFSIGNALED(status));
    warden_free(g_steal_pointer(&stage->two));
    /* Another takes its place: the next one is dialled anew. */
    start_two(stage);
    tell_front(stage->one, "connect", json_pack("{s:o}", "peer", peer_two(stage)), -1);
}

/* Whatever the warden says, the front stands. */
static void test_warden_talks_nonsense(void **state)
{
    static const char *const methods[] = { "credentials", "listen",  "connect",
                                           "peer-call",   "measure", "no-such-call" };
    Stage *stage = *state;

    for (guint i = 0; i < G_N_ELEMENTS(methods); i++) {
        g_auto(Outcome) outcome = { 0 };
        gw_ipc_call(stage->one->ipc, methods[i], json_pack("{s:[], s:i}", "peer", "kind", 3), -1,
                    on_outcome, &outcome);
        until(stage->world, is_done, &outcome);
        if (outcome.code < 0)
            fail_msg("%s was answered", methods[i]);
    }
    gw_ipc_notice(stage->one->ipc, "peer-notice", json_object());
    gw_ipc_notice(stage->one->ipc, "no-such-notice", json_object());
    tell_front(stage->one, "counts", json_object(), 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_nothing_before_credentials),
        CASE(test_foreign),
        CASE(test_revoked_while_it_is_there),
        CASE(test_new_certificate),
        CASE(test_ends_with_its_warden),
        CASE(test_open),
        CASE(test_ticket_count_goes_down),
        CASE(test_refused),
        CASE(test_kinds),
        CASE(test_controller_libvirt),
        CASE(test_stream_gone_before_the_answer),
        CASE(test_rpc_filter),
        CASE(test_controller_calls),
        CASE(test_refused_controller),
        CASE(test_host_calls),
        CASE(test_measuring_by_turns),
        CASE(test_one_host_is_not_all),
        CASE(test_listen),
        CASE(test_listen_large),
        CASE(test_peer_refuses),
        CASE(test_peer_not_there),
        CASE(test_not_the_peer),
        CASE(test_peer_call),
        CASE(test_measure),
        CASE(test_limits),
        CASE(test_the_other_front_dies),
        CASE(test_warden_talks_nonsense),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
