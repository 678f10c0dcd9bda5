/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/ipc.h"
#include "base/error.h"
#include "wire/loop_internal.h"

/* Two ends on one loop whose turns the test takes; or one end, and a raw socket that lies. */

typedef struct {
    GwIpc *ipc;
    guint64 call_id; /* of the last call that came */
    char *method;
    json_t *params;
    int fd;
    guint calls, notices, closed;
    int why;
    gboolean answer_at_once, free_in_callback;
} End;

typedef struct {
    GwLoop *loop;
    End a, b;
    int raw; /* instead of b */
} World;

typedef struct {
    guint done;
    json_t *result;
    int fd;
    int code; /* -1: none */
    char *message, *remedy;
} Outcome;

static void keep(End *end, const char *method, const json_t *params)
{
    g_free(end->method);
    json_decref(end->params);
    end->method = g_strdup(method);
    end->params = json_deep_copy(params);
}

static void on_call(GwIpc *ipc, guint64 id, const char *method, const json_t *params, int fd,
                    gpointer user)
{
    End *end = user;

    end->calls++;
    end->call_id = id;
    end->fd = fd;
    keep(end, method, params);
    if (end->answer_at_once)
        gw_ipc_answer(ipc, id, json_deep_copy(params), -1, NULL);
    if (end->free_in_callback)
        g_clear_pointer(&end->ipc, gw_ipc_free);
}

static void on_notice(GwIpc *ipc, const char *method, const json_t *params, gpointer user)
{
    End *end = user;

    end->notices++;
    keep(end, method, params);
}

static void on_closed(GwIpc *ipc, const GError *why, gpointer user)
{
    End *end = user;

    end->closed++;
    end->why = why->code;
}

static void on_done(const json_t *result, int fd, const GError *error, gpointer user)
{
    Outcome *outcome = user;

    outcome->done++;
    outcome->result = result != NULL ? json_deep_copy(result) : NULL;
    outcome->fd = fd;
    outcome->code = error != NULL ? error->code : -1;
    outcome->message = error != NULL ? g_strdup(error->message) : NULL;
    outcome->remedy = g_strdup(gw_error_remedy(error));
}

static void outcome_clear(Outcome *outcome)
{
    json_decref(outcome->result);
    g_free(outcome->message);
    g_free(outcome->remedy);
    *outcome = (Outcome){ .fd = -1 };
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Outcome, outcome_clear)

static void turn(World *world)
{
    for (guint i = 0; i < 50; i++)
        gw_loop_turn(world->loop, 0);
}

static GwIpc *make_end(World *world, int fd, End *end)
{
    const GwIpcOps ops = { end, on_call, on_notice, on_closed };

    end->fd = -1;
    return gw_ipc_new(world->loop, fd, &ops);
}

static int set_up(void **state)
{
    World *world = g_new0(World, 1);
    int pair[2];

    world->loop = gw_loop_new_manual();
    world->raw = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    world->a.ipc = make_end(world, pair[0], &world->a);
    world->b.ipc = make_end(world, pair[1], &world->b);
    *state = world;
    return 0;
}

static int set_up_raw(void **state)
{
    World *world = g_new0(World, 1);
    int pair[2];

    world->loop = gw_loop_new_manual();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    world->a.ipc = make_end(world, pair[0], &world->a);
    world->raw = pair[1];
    *state = world;
    return 0;
}

static void end_clear(End *end)
{
    gw_ipc_free(end->ipc);
    g_free(end->method);
    json_decref(end->params);
    if (end->fd >= 0)
        close(end->fd);
}

static int tear_down(void **state)
{
    World *world = *state;

    end_clear(&world->a);
    end_clear(&world->b);
    if (world->raw >= 0)
        close(world->raw);
    turn(world);
    gw_loop_free(world->loop);
    g_free(world);
    return 0;
}

static void lie(World *world, const char *text)
{
    ssize_t sent = send(world->raw, text, strlen(text), MSG_NOSIGNAL);

    assert_int_equal(sent, (ssize_t)strlen(text));
    turn(world);
}

static void test_call_and_answer(void **state)
{
    World *world = *state;
    g_auto(Outcome) outcome = { .fd = -1 };

    gw_ipc_call(world->a.ipc, "open", json_pack("{s:i}", "streams", 7), -1, on_done, &outcome);
    turn(world);
    assert_string_equal(world->b.method, "open");
    assert_int_equal(json_integer_value(json_object_get(world->b.params, "streams")), 7);
    assert_int_equal(world->b.fd, -1);
    assert_int_equal(outcome.done, 0);
    gw_ipc_answer(world->b.ipc, world->b.call_id, json_pack("{s:s}", "vm_uuid", "u"), -1, NULL);
    turn(world);
    assert_int_equal(outcome.done, 1);
    assert_int_equal(outcome.code, -1);
    assert_string_equal(json_string_value(json_object_get(outcome.result, "vm_uuid")), "u");
}

static void test_error_arrives_whole(void **state)
{
    World *world = *state;
    g_auto(Outcome) outcome = { .fd = -1 };
    g_autoptr(GError) error = NULL;

    gw_error_set(&error, GW_ERR_UNAUTHORIZED, "Ask again.", "the ticket ran out");
    gw_ipc_call(world->a.ipc, "open", json_object(), -1, on_done, &outcome);
    turn(world);
    gw_ipc_answer(world->b.ipc, world->b.call_id, NULL, -1, error);
    turn(world);
    assert_int_equal(outcome.done, 1);
    assert_int_equal(outcome.code, GW_ERR_UNAUTHORIZED);
    assert_string_equal(outcome.message, "the ticket ran out");
    assert_string_equal(outcome.remedy, "Ask again.");
    assert_null(outcome.result);
}

static void test_answers_in_another_order(void **state)
{
    World *world = *state;
    g_auto(Outcome) first = { .fd = -1 }, second = { .fd = -1 };
    guint64 id;

    gw_ipc_call(world->a.ipc, "first", json_object(), -1, on_done, &first);
    turn(world);
    id = world->b.call_id;
    gw_ipc_call(world->a.ipc, "second", json_object(), -1, on_done, &second);
    turn(world);
    assert_int_not_equal(id, world->b.call_id);
    gw_ipc_answer(world->b.ipc, world->b.call_id, json_integer(2), -1, NULL);
    gw_ipc_answer(world->b.ipc, id, json_integer(1), -1, NULL);
    turn(world);
    assert_int_equal(json_integer_value(first.result), 1);
    assert_int_equal(json_integer_value(second.result), 2);
}

/* A descriptor goes along, both ways, and is the receiver's own. */
static void test_descriptors(void **state)
{
    World *world = *state;
    g_auto(Outcome) outcome = { .fd = -1 };
    int pipes[2], back[2];
    char byte = 0;

    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(pipe(back), 0);
    gw_ipc_call(world->a.ipc, "listen", json_object(), pipes[0], on_done, &outcome);
    close(pipes[0]);
    turn(world);
    assert_true(world->b.fd >= 0);
    assert_int_equal(fcntl(world->b.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(write(pipes[1], "x", 1), 1);
    assert_int_equal(read(world->b.fd, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    gw_ipc_answer(world->b.ipc, world->b.call_id, json_object(), back[1], NULL);
    close(back[1]);
    turn(world);
    assert_int_equal(outcome.code, -1);
    assert_true(outcome.fd >= 0);
    assert_int_equal(write(outcome.fd, "y", 1), 1);
    assert_int_equal(read(back[0], &byte, 1), 1);
    close(outcome.fd);
    close(pipes[1]);
    close(back[0]);
}

static void test_notices_in_order(void **state)
{
    World *world = *state;

    for (int i = 0; i < 5000; i++)
        gw_ipc_notice(world->a.ipc, "notice", json_pack("{s:i}", "i", i));
    for (int i = 0; i < 20; i++)
        turn(world);
    assert_int_equal(world->b.notices, 5000);
    assert_int_equal(json_integer_value(json_object_get(world->b.params, "i")), 4999);
    assert_int_equal(world->b.closed, 0);
}

static void test_large(void **state)
{
    World *world = *state;
    g_auto(Outcome) outcome = { .fd = -1 }, too_large = { .fd = -1 }, reply = { .fd = -1 };
    g_autofree char *text = g_strnfill(GW_IPC_PACKET_MAX - 200, 'a');
    g_autofree char *more = g_strnfill(GW_IPC_PACKET_MAX, 'a');

    world->b.answer_at_once = TRUE;
    gw_ipc_call(world->a.ipc, "call", json_pack("{s:s}", "t", text), -1, on_done, &outcome);
    gw_ipc_call(world->a.ipc, "call", json_pack("{s:s}", "t", more), -1, on_done, &too_large);
    assert_int_equal(too_large.code, GW_ERR_TOO_LARGE);
    turn(world);
    assert_int_equal(outcome.code, -1);
    assert_string_equal(json_string_value(json_object_get(outcome.result, "t")), text);
    world->b.answer_at_once = FALSE;
    gw_ipc_call(world->a.ipc, "call", json_object(), -1, on_done, &reply);
    turn(world);
    gw_ipc_answer(world->b.ipc, world->b.call_id, json_string(more), -1, NULL);
    turn(world);
    assert_int_equal(reply.code, GW_ERR_TOO_LARGE);
    assert_int_equal(world->a.closed + world->b.closed, 0);
}

static void test_the_other_goes(void **state)
{
    World *world = *state;
    g_auto(Outcome) outcome = { .fd = -1 }, later = { .fd = -1 };

    gw_ipc_call(world->a.ipc, "open", json_object(), -1, on_done, &outcome);
    turn(world);
    g_clear_pointer(&world->b.ipc, gw_ipc_free);
    turn(world);
    assert_int_equal(outcome.done, 1);
    assert_int_equal(outcome.code, GW_ERR_UNREACHABLE);
    assert_int_equal(world->a.closed, 1);
    gw_ipc_call(world->a.ipc, "open", json_object(), -1, on_done, &later);
    assert_int_equal(later.code, GW_ERR_UNREACHABLE);
    gw_ipc_notice(world->a.ipc, "notice", json_object());
    turn(world);
    assert_int_equal(world->a.closed, 1);
}

static void test_freed_inside(void **state)
{
    World *world = *state;
    g_auto(Outcome) outcome = { .fd = -1 };

    world->b.free_in_callback = TRUE;
    gw_ipc_call(world->a.ipc, "one", json_object(), -1, on_done, &outcome);
    gw_ipc_notice(world->a.ipc, "two", json_object());
    turn(world);
    assert_int_equal(world->b.calls, 1);
    assert_int_equal(world->b.notices, 0);
    assert_int_equal(outcome.code, GW_ERR_UNREACHABLE);
}

/* One that never reads: what others make us say to it is dropped or refused, so that they cannot
 * end us; where it does not even take its answers, it is given up. Both hold so much and no more.
 */
static void test_reader_that_does_not_read(void **state)
{
    World *world = *state;
    g_autofree char *text = g_strnfill(100000, 'a');
    g_auto(Outcome) outcome = { .fd = -1 };

    for (guint i = 0; i < 200; i++)
        gw_ipc_notice(world->a.ipc, "notice", json_pack("{s:s}", "t", text));
    gw_ipc_call(world->a.ipc, "open", json_object(), -1, on_done, &outcome);
    assert_int_equal(outcome.code, GW_ERR_CONFLICT);
    turn(world);
    assert_int_equal(world->a.closed, 0);
    for (guint i = 1; i <= 100 && world->a.closed == 0; i++) {
        g_autofree char *call =
            g_strdup_printf("{\"id\": %u, \"method\": \"open\", \"params\": {}}", i);
        lie(world, call);
        assert_int_equal(world->a.call_id, i);
        gw_ipc_answer(world->a.ipc, i, json_string(text), -1, NULL);
        turn(world);
    }
    assert_int_equal(world->a.closed, 1);
}

static void test_too_many_calls(void **state)
{
    World *world = *state;
    g_autofree Outcome *outcomes = g_new0(Outcome, GW_IPC_CALLS_MAX + 1);

    for (guint i = 0; i <= GW_IPC_CALLS_MAX; i++)
        gw_ipc_call(world->a.ipc, "open", json_object(), -1, on_done, &outcomes[i]);
    assert_int_equal(outcomes[GW_IPC_CALLS_MAX].code, GW_ERR_CONFLICT);
    assert_int_equal(outcomes[0].done, 0);
    g_clear_pointer(&world->a.ipc, gw_ipc_free);
    for (guint i = 0; i <= GW_IPC_CALLS_MAX; i++) {
        assert_int_equal(outcomes[i].done, 1);
        outcome_clear(&outcomes[i]);
    }
}

/* Lies ---------------------------------------------------------------------------------------- */

static void again(void **state)
{
    tear_down(state);
    assert_int_equal(set_up_raw(state), 0);
}

#define LONG_WORD "a-method-of-a-name-that-nobody-has"

static void test_lies(void **state)
{
    const char *const lies[] = {
        "x",
        "[]",
        "17",
        "\"method\"",
        "{}",
        "{\"id\": 1}",
        "{\"id\": 0, \"method\": \"open\", \"params\": {}}",
        "{\"id\": -1, \"method\": \"open\", \"params\": {}}",
        "{\"id\": \"1\", \"method\": \"open\", \"params\": {}}",
        "{\"id\": 1.5, \"method\": \"open\", \"params\": {}}",
        "{\"id\": 1, \"method\": \"open\"}",
        "{\"id\": 1, \"method\": \"open\", \"params\": []}",
        "{\"id\": 1, \"method\": 3, \"params\": {}}",
        "{\"id\": 1, \"result\": {}}",
        "{\"id\": 1, \"result\": {}, \"error\": {}}",
        "{\"method\": \"a\", \"method\": \"a\", \"params\": {}}",
        "{\"params\": {}, \"method\": \"" LONG_WORD LONG_WORD LONG_WORD "\"}",
    };

    for (guint i = 0; i < G_N_ELEMENTS(lies); i++) {
        World *world = *state;
        lie(world, lies[i]);
        if (world->a.closed != 1 || world->a.why != GW_ERR_INVALID || world->a.calls != 0)
            fail_msg("taken: %s", lies[i]);
        again(state);
    }
}

static void test_answer_twice(void **state)
{
    World *world = *state;
    g_auto(Outcome) outcome = { .fd = -1 };

    gw_ipc_call(world->a.ipc, "open", json_object(), -1, on_done, &outcome);
    lie(world, "{\"id\": 1, \"result\": {}}");
    assert_int_equal(outcome.done, 1);
    assert_int_equal(world->a.closed, 0);
    lie(world, "{\"id\": 1, \"result\": {}}");
    assert_int_equal(outcome.done, 1);
    assert_int_equal(world->a.closed, 1);
}

static void test_call_twice(void **state)
{
    World *world = *state;

    lie(world, "{\"id\": 1, \"method\": \"open\", \"params\": {}}");
    assert_int_equal(world->a.calls, 1);
    lie(world, "{\"id\": 1, \"method\": \"open\", \"params\": {}}");
    assert_int_equal(world->a.calls, 1);
    assert_int_equal(world->a.closed, 1);
}

static void test_packet_too_large(void **state)
{
    World *world = *state;
    gsize length = GW_IPC_PACKET_MAX + 1;
    g_autofree char *text = g_strnfill(length, ' ');
    int size = 1024 * 1024;

    memcpy(text, "{\"method\": \"a\", \"params\": {}}", 29);
    setsockopt(world->raw, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    assert_int_equal(send(world->raw, text, length, MSG_NOSIGNAL), (ssize_t)length);
    turn(world);
    assert_int_equal(world->a.notices, 0);
    assert_int_equal(world->a.closed, 1);
}

static void send_notice_with(World *world, const int *fds, guint count)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * 3)];
        struct cmsghdr align;
    } control = { { 0 } };
    char text[] = "{\"method\": \"a\", \"params\": {}}";
    struct iovec part = { text, sizeof text - 1 };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = CMSG_SPACE(sizeof(int) * count) };
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);

    assert_in_range(count, 1, 3);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(head), fds, sizeof(int) * count);
    assert_true(sendmsg(world->raw, &message, MSG_NOSIGNAL) > 0);
}

static void test_too_many_descriptors(void **state)
{
    World *world = *state;
    int pipes[2];

    assert_int_equal(pipe(pipes), 0);
    const int three[3] = { pipes[1], pipes[1], pipes[1] };
    send_notice_with(world, three, 3);
    close(pipes[1]);
    turn(world);
    assert_int_equal(world->a.closed, 1);
    char byte;
    assert_int_equal(read(pipes[0], &byte, 1), 0); /* every copy was closed */
    close(pipes[0]);
}

/* One beside a notice is nobody's: closed. */
static void test_unwanted_descriptor(void **state)
{
    World *world = *state;
    int pipes[2];
    char byte;

    assert_int_equal(pipe(pipes), 0);
    send_notice_with(world, &pipes[1], 1);
    close(pipes[1]);
    turn(world);
    assert_int_equal(world->a.notices, 1);
    assert_int_equal(read(pipes[0], &byte, 1), 0);
    close(pipes[0]);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define RAW(test) cmocka_unit_test_setup_teardown(test, set_up_raw, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_call_and_answer),
        CASE(test_error_arrives_whole),
        CASE(test_answers_in_another_order),
        CASE(test_descriptors),
        CASE(test_notices_in_order),
        CASE(test_large),
        CASE(test_the_other_goes),
        CASE(test_freed_inside),
        RAW(test_reader_that_does_not_read),
        CASE(test_too_many_calls),
        RAW(test_lies),
        RAW(test_answer_twice),
        RAW(test_call_twice),
        RAW(test_packet_too_large),
        RAW(test_too_many_descriptors),
        RAW(test_unwanted_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
