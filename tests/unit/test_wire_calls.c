/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls, notices, greetings and keeping alive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/session_internal.h"
#include "wire_world.h"

typedef struct {
    guint done;
    json_t *result;
    GError *error;
} Reply;

static void reply_clear(Reply *reply)
{
    json_decref(reply->result);
    g_clear_error(&reply->error);
    memset(reply, 0, sizeof *reply);
}

static void on_done(GwSession *session, const json_t *result, const GError *error, gpointer user)
{
    Reply *reply = user;

    assert_true((result == NULL) != (error == NULL));
    reply->done++;
    reply->result = result != NULL ? json_deep_copy(result) : NULL;
    reply->error = error != NULL ? g_error_copy(error) : NULL;
}

static gboolean is_done(gconstpointer reply)
{
    return ((const Reply *)reply)->done > 0;
}

static int setup(void **state)
{
    *state = world_new();
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

static void test_calls(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);
    Reply reply = { 0 };

    world_join(world, one, two);
    gw_session_call(one->session, "echo", json_pack("{s:i}", "n", 42), G_USEC_PER_SEC * 60, on_done,
                    &reply);
    world_until(world, is_done, &reply);
    assert_int_equal(json_integer_value(json_object_get(reply.result, "n")), 42);
    reply_clear(&reply);

    gw_session_call(two->session, "fail", NULL, G_USEC_PER_SEC * 60, on_done, &reply);
    world_until(world, is_done, &reply);
    assert_int_equal(reply.error->code, GW_ERR_CONFLICT);
    assert_string_equal(reply.error->message, "not now");
    assert_string_equal(gw_error_remedy(reply.error), "Try tomorrow.");
    reply_clear(&reply);

    gw_session_notice(one->session, "source-gone", NULL);
    gw_session_notice(one->session, "alarm", NULL);
    while (two->notices->len < 2)
        gw_loop_turn(world->loop, 100);
    assert_string_equal(two->notices->pdata[0], "source-gone");
    assert_string_equal(two->notices->pdata[1], "alarm");
    world_part(world, one, two);
}

static json_t *text_of(gsize length)
{
    g_autofree char *text = g_strnfill(length, 'x');

    return json_pack("{s:s}", "text", text);
}

/* The largest that fits goes over; one that does not is an error here, not a broken session. */
static void test_large_calls(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);
    Reply reply = { 0 };

    world_join(world, one, two);
    gw_session_call(one->session, "echo", text_of(GW_FRAME_TEXT_MAX - 100), G_USEC_PER_SEC * 60,
                    on_done, &reply);
    world_until(world, is_done, &reply);
    assert_null(reply.error);
    reply_clear(&reply);
    gw_session_call(one->session, "echo", text_of(GW_FRAME_TEXT_MAX), G_USEC_PER_SEC * 60, on_done,
                    &reply);
    assert_int_equal(reply.done, 0); /* never from within the call */
    world_until(world, is_done, &reply);
    assert_int_equal(reply.error->code, GW_ERR_TOO_LARGE);
    reply_clear(&reply);
    world_part(world, one, two);
}

/* A time-out is told once; the answer that comes after it is nobody's, and no violation. */
static void test_time_out(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);
    Reply reply = { 0 };

    world_join(world, one, two);
    two->silent = TRUE;
    gw_session_call(one->session, "echo", NULL, 1000, on_done, &reply);
    world_until(world, is_done, &reply);
    assert_int_equal(reply.error->code, GW_ERR_TIMEOUT);
    reply_clear(&reply);
    while (two->asked->len == 0)
        gw_loop_turn(world->loop, 100);
    gw_session_answer(two->session, g_array_index(two->asked, guint32, 0), NULL, NULL);
    /* Again: not asked any more, so nothing is sent. */
    gw_session_answer(two->session, g_array_index(two->asked, guint32, 0), NULL, NULL);
    two->silent = FALSE;
    gw_session_call(one->session, "echo", NULL, G_USEC_PER_SEC * 60, on_done, &reply);
    world_until(world, is_done, &reply);
    assert_non_null(reply.result);
    reply_clear(&reply);
    assert_int_equal(g_hash_table_size(one->session->calls), 0);
    world_part(world, one, two);
}

/* Those beyond the ceiling fail here; the others are answered when the session ends. */
static void test_calls_ceiling(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);
    Reply replies[GW_SESSION_CALLS_MAX + 3] = { 0 };

    world_join(world, one, two);
    two->silent = TRUE;
    for (guint i = 0; i < G_N_ELEMENTS(replies); i++)
        gw_session_call(one->session, "echo", NULL, G_USEC_PER_SEC * 60, on_done, &replies[i]);
    world_until(world, is_done, &replies[GW_SESSION_CALLS_MAX + 2]);
    while (two->asked->len < GW_SESSION_CALLS_MAX)
        gw_loop_turn(world->loop, 100);
    for (guint i = 0; i < G_N_ELEMENTS(replies); i++)
        assert_int_equal(replies[i].done, i >= GW_SESSION_CALLS_MAX);
    gw_session_close(two->session, NULL);
    world_until(world, peer_is_closed, one);
    for (guint i = 0; i < G_N_ELEMENTS(replies); i++) {
        assert_int_equal(replies[i].done, 1);
        assert_non_null(replies[i].error);
        reply_clear(&replies[i]);
    }
    world_part(world, one, two);
}

static void call_again(GwSession *session, const json_t *result, const GError *error, gpointer user)
{
    guint *left = user;

    if ((*left)-- > 0)
        gw_session_call(session, "echo", NULL, G_USEC_PER_SEC * 60, call_again, left);
    if (*left == 5)
        gw_session_close(session, NULL);
}

/* A caller that calls again from within its callback, through the session's end. */
static void test_call_from_callback(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);
    guint left = 10;

    world_join(world, one, two);
    gw_session_call(one->session, "echo", NULL, G_USEC_PER_SEC * 60, call_again, &left);
    world_until(world, peer_is_closed, one);
    assert_true(left <= 5);
    world_part(world, one, two);
}

/* Calls made before the other said HELLO wait for it. */
static void test_early_calls(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);
    Reply reply = { 0 };
    int fds[2];

    world_pair(fds);
    GwSessionConfig config = peer_config(world, one, "host-two");
    one->session = gw_session_new(&config, fds[0], TRUE);
    config = peer_config(world, two, NULL);
    two->session = gw_session_new(&config, fds[1], FALSE);
    gw_session_call(one->session, "echo", NULL, G_USEC_PER_SEC * 60, on_done, &reply);
    End *end = end_open(two, &(GwStreamShare){ GW_CLASS_BULK, NULL, 0 }, 5000);
    world_until(world, is_done, &reply);
    assert_non_null(reply.result);
    reply_clear(&reply);
    world_until(world, end_is_gone, end);
    assert_int_equal(end->received, 5000);
    world_part(world, one, two);
}

/* Alive ---------------------------------------------------------------------------------------- */

static void test_quiet_peer_is_gone(void **state)
{
    World *world = *state;
    GwSessionTimes times = gw_session_times;
    int fds[2], proxied[2];
    Peer *one = peer_new(world->one), *two = peer_new(world->two);

    /* The second has a loop of its own that nobody turns: it is there, and says nothing. */
    GwLoop *still = gw_loop_new_manual(), *loop = world->loop;
    gw_session_times.quiet_us = 300 * 1000;
    gw_session_times.ping_us = 50 * 1000;
    world_pair(fds);
    proxied[0] = fds[0];
    GwSessionConfig config = peer_config(world, one, "host-two");
    one->session = gw_session_new(&config, proxied[0], TRUE);
    config = peer_config(world, two, NULL);
    config.loop = still;
    two->session = gw_session_new(&config, fds[1], FALSE);
    while (one->ready == 0 || two->ready == 0 || one->session->rtt_us < 0) {
        gw_loop_turn(loop, 1);
        gw_loop_turn(still, 1);
    }
    /* While both turn, pings keep it alive beyond the limit. */
    gint64 until_us = g_get_monotonic_time() + 700 * 1000;
    while (g_get_monotonic_time() < until_us) {
        gw_loop_turn(loop, 5);
        gw_loop_turn(still, 5);
    }
    assert_int_equal(one->closed + two->closed, 0);
    world_until(world, peer_is_closed, one);
    assert_int_equal(one->why->code, GW_ERR_UNREACHABLE);
    while (two->closed == 0)
        gw_loop_turn(still, 100);
    gw_session_times = times;
    peer_free(one);
    peer_free(two);
    gw_loop_turn(still, 0);
    gw_loop_free(still);
}

/* Versions --------------------------------------------------------------------------------------
 */

static void put_json(GByteArray *out, GwFrameType type, guint32 id, const char *text)
{
    guint8 header[GW_FRAME_HEADER];

    gw_frame_put(header, (GwFrame){ type, id, (guint32)strlen(text) });
    g_byte_array_append(out, header, sizeof header);
    g_byte_array_append(out, (const guint8 *)text, (guint)strlen(text));
}

static void try_versions(World *world, const char *hello, int version, int code)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    Peer *one = peer_new(world->one);
    GwSessionConfig config = peer_config(world, one, NULL);

    one->session = gw_session_new_plain(&config, gw_credentials_self(world->two), FALSE);
    put_json(bytes, GW_FRAME_HELLO, 0, hello);
    gw_session_feed(one->session, bytes->data, bytes->len);
    assert_int_equal(one->ready, version > 0);
    if (version > 0) {
        assert_int_equal(gw_session_version(one->session), version);
        gw_session_close(one->session, NULL);
    }
    g_byte_array_set_size(bytes, 0);
    gw_session_take_plain(one->session, bytes);
    world_until(world, peer_is_closed, one);
    if (version == 0) {
        /* Its HELLO, then BYE with the reason. */
        assert_int_equal(one->why->code, code);
        const char *word = gw_error_code_word(code);
        assert_non_null(memmem(bytes->data, bytes->len, word, strlen(word)));
    }
    peer_free(one);
}

static void test_versions(void **state)
{
    World *world = *state;

    try_versions(world, "{\"versions\":[1,1],\"software\":\"a\",\"wall_us\":1}", 1, 0);
    try_versions(world, "{\"versions\":[1,9],\"software\":\"a\",\"wall_us\":1,\"x\":[]}", 1, 0);
    try_versions(world, "{\"versions\":[2,9],\"software\":\"a\",\"wall_us\":1}", 0,
                 GW_ERR_UNSUPPORTED);
    try_versions(world, "{\"versions\":[2,1],\"software\":\"a\",\"wall_us\":1}", 0, GW_ERR_INVALID);
    try_versions(world, "{\"versions\":[0,1],\"software\":\"a\",\"wall_us\":1}", 0, GW_ERR_INVALID);
    try_versions(world, "{\"versions\":[1],\"software\":\"a\",\"wall_us\":1}", 0, GW_ERR_INVALID);
    try_versions(world, "{\"versions\":[1,99999999999],\"software\":\"a\",\"wall_us\":1}", 0,
                 GW_ERR_INVALID);
    try_versions(world, "{\"versions\":\"1\",\"software\":\"a\",\"wall_us\":1}", 0, GW_ERR_INVALID);
    try_versions(world, "{\"versions\":[1,1],\"wall_us\":1}", 0, GW_ERR_INVALID);
    try_versions(world, "{\"versions\":[1,1],\"software\":\"a\"}", 0, GW_ERR_INVALID);
    try_versions(world, "[1,1]", 0, GW_ERR_INVALID);
    try_versions(world, "{\"versions\"", 0, GW_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_large_calls),
        cmocka_unit_test(test_time_out),
        cmocka_unit_test(test_calls_ceiling),
        cmocka_unit_test(test_call_from_callback),
        cmocka_unit_test(test_early_calls),
        cmocka_unit_test(test_quiet_peer_is_gone),
        cmocka_unit_test(test_versions),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
