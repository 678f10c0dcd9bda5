/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A member of the fabric that breaks the protocol: frames fed to a session in the clear. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/session_internal.h"
#include "wire_world.h"

#define HELLO "{\"versions\":[1,1],\"software\":\"test\",\"wall_us\":1}"

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

/* The other is played by the test: it dialled, so its streams are odd. */
typedef struct {
    World *world;
    Peer *peer;
    GByteArray *out; /* what the session said */
} Victim;

static void feed(Victim *victim, GwFrameType type, guint32 id, gconstpointer payload, gsize length)
{
    guint8 header[GW_FRAME_HEADER];

    gw_frame_put(header, (GwFrame){ type, id, (guint32)length });
    gw_session_feed(victim->peer->session, header, sizeof header);
    if (length > 0)
        gw_session_feed(victim->peer->session, payload, length);
}

static void feed_text(Victim *victim, GwFrameType type, guint32 id, const char *text)
{
    feed(victim, type, id, text, strlen(text));
}

static void feed_u32(Victim *victim, GwFrameType type, guint32 id, guint32 value)
{
    guint8 payload[4];

    gw_put_u32(payload, value);
    feed(victim, type, id, payload, sizeof payload);
}

static void feed_open(Victim *victim, guint32 id)
{
    static const char payload[] = "\0\1\0\0{\"kind\":\"echo\"}";

    feed(victim, GW_FRAME_OPEN, id, payload, sizeof payload - 1);
}

static void feed_data(Victim *victim, guint32 id, guint32 length)
{
    g_autofree guint8 *payload = g_malloc0(length);

    feed(victim, GW_FRAME_DATA, id, payload, length);
}

static Victim victim_new(World *world, gboolean greeted)
{
    Victim victim = { .world = world, .peer = peer_new(world->one), .out = g_byte_array_new() };
    GwSessionConfig config = peer_config(world, victim.peer, NULL);

    victim.peer->session = gw_session_new_plain(&config, gw_credentials_self(world->two), FALSE);
    if (greeted)
        feed_text(&victim, GW_FRAME_HELLO, 0, HELLO);
    return victim;
}

static void drain(Victim *victim)
{
    if (victim->peer->session != NULL)
        gw_session_take_plain(victim->peer->session, victim->out);
    world_turns(victim->world, 3);
}

/* How many frames of a type the session has sent. */
static guint said(const Victim *victim, GwFrameType type)
{
    guint count = 0;

    for (gsize at = 0; at < victim->out->len;) {
        GwFrame frame = { 0 };

        assert_true(gw_frame_get(victim->out->data + at, &frame, NULL));
        count += frame.type == type;
        at += GW_FRAME_HEADER + frame.length;
    }
    return count;
}

static void victim_clear(Victim *victim)
{
    if (victim->peer->session != NULL)
        gw_session_close(victim->peer->session, NULL);
    drain(victim);
    world_until(victim->world, peer_is_closed, victim->peer);
    peer_free(victim->peer);
    g_byte_array_unref(victim->out);
}

/* Violations ------------------------------------------------------------------------------------
 */

static void unknown_type(Victim *victim)
{
    static const guint8 header[GW_FRAME_HEADER] = { 99 };

    gw_session_feed(victim->peer->session, header, sizeof header);
}

static void lying_length(Victim *victim)
{
    guint8 header[GW_FRAME_HEADER];

    gw_frame_put(header, (GwFrame){ GW_FRAME_CALL, 1, 0xffffffff });
    gw_session_feed(victim->peer->session, header, sizeof header);
}

static void second_hello(Victim *victim)
{
    feed_text(victim, GW_FRAME_HELLO, 0, HELLO);
}

static void not_json(Victim *victim)
{
    feed_text(victim, GW_FRAME_CALL, 1, "{\"method\":");
}

static void not_object(Victim *victim)
{
    feed_text(victim, GW_FRAME_NOTICE, 0, "[1,2,3]");
}

static void not_utf8(Victim *victim)
{
    feed_text(victim, GW_FRAME_CALL, 1, "{\"method\":\"\xff\xfe\",\"params\":{}}");
}

static void call_without_method(Victim *victim)
{
    feed_text(victim, GW_FRAME_CALL, 1, "{\"params\":{}}");
}

static void call_without_params(Victim *victim)
{
    feed_text(victim, GW_FRAME_CALL, 1, "{\"method\":\"facts\"}");
}

static void call_twice(Victim *victim)
{
    victim->peer->silent = TRUE;
    feed_text(victim, GW_FRAME_CALL, 7, "{\"method\":\"a\",\"params\":{}}");
    feed_text(victim, GW_FRAME_CALL, 7, "{\"method\":\"a\",\"params\":{}}");
}

static void too_many_calls(Victim *victim)
{
    victim->peer->silent = TRUE;
    for (guint i = 1; i <= GW_SESSION_CALLS_MAX + 1 && victim->peer->session != NULL; i++)
        feed_text(victim, GW_FRAME_CALL, i, "{\"method\":\"a\",\"params\":{}}");
}

static void answer_to_nothing(Victim *victim)
{
    feed_text(victim, GW_FRAME_ANSWER, 1, "{\"result\":{}}");
}

static void ignore_done(GwSession *session, const json_t *result, const GError *error,
                        gpointer user)
{
    (*(guint *)user)++;
}

static guint calls_done;

static void answer_both(Victim *victim)
{
    gw_session_call(victim->peer->session, "x", NULL, G_USEC_PER_SEC, ignore_done, &calls_done);
    feed_text(victim, GW_FRAME_ANSWER, 1, "{\"result\":{},\"error\":{\"message\":\"x\"}}");
}

static void answer_twice(Victim *victim)
{
    gw_session_call(victim->peer->session, "x", NULL, G_USEC_PER_SEC, ignore_done, &calls_done);
    feed_text(victim, GW_FRAME_ANSWER, 1, "{\"result\":1}");
    feed_text(victim, GW_FRAME_ANSWER, 1, "{\"result\":1}");
}

static void wrong_parity(Victim *victim)
{
    feed_open(victim, 2);
}

static void open_twice(Victim *victim)
{
    feed_open(victim, 1);
    feed_open(victim, 1);
}

static void open_backwards(Victim *victim)
{
    feed_open(victim, 5);
    feed_open(victim, 3);
}

static void open_huge_window(Victim *victim)
{
    feed(victim, GW_FRAME_OPEN, 1, "\xff\xff\xff\xff{}", 6);
}

static void open_not_json(Victim *victim)
{
    feed(victim, GW_FRAME_OPEN, 1, "\0\0\0\0{\"", 6);
}

static void data_unknown(Victim *victim)
{
    feed_data(victim, 9, 1);
}

static void data_before_opened(Victim *victim)
{
    victim->peer->take = TAKE_NOTHING;
    feed_open(victim, 1);
    feed_data(victim, 1, 1);
}

static void data_on_ours_unanswered(Victim *victim)
{
    end_open(victim->peer, &(GwStreamShare){ GW_CLASS_NORMAL, NULL, 0 }, 10);
    feed_data(victim, 2, 1);
}

static void data_after_end(Victim *victim)
{
    victim->peer->take = TAKE_STALL;
    feed_open(victim, 1);
    feed(victim, GW_FRAME_END, 1, NULL, 0);
    feed_data(victim, 1, 1);
}

static void end_twice(Victim *victim)
{
    victim->peer->take = TAKE_STALL;
    feed_open(victim, 1);
    feed(victim, GW_FRAME_END, 1, NULL, 0);
    feed(victim, GW_FRAME_END, 1, NULL, 0);
}

/* The window, and one byte. */
static void data_over_window(Victim *victim)
{
    victim->peer->take = TAKE_STALL;
    feed_open(victim, 1);
    for (guint i = 0; i < GW_STREAM_WINDOW / GW_FRAME_DATA_MAX; i++)
        feed_data(victim, 1, GW_FRAME_DATA_MAX);
    assert_int_equal(victim->peer->closed, 0);
    assert_int_equal(victim->peer->received, GW_STREAM_WINDOW);
    feed_data(victim, 1, 1);
    assert_int_equal(victim->peer->received, GW_STREAM_WINDOW);
}

/* What is dropped counts as well. */
static void data_over_window_of_broken(Victim *victim)
{
    victim->peer->take = TAKE_STALL;
    feed_open(victim, 1);
    gw_stream_reset(((End *)victim->peer->ends->pdata[0])->stream, NULL);
    for (guint i = 0; i <= GW_STREAM_WINDOW / GW_FRAME_DATA_MAX; i++)
        feed_data(victim, 1, GW_FRAME_DATA_MAX);
}

static void credit_overflow(Victim *victim)
{
    feed_open(victim, 1);
    feed_u32(victim, GW_FRAME_CREDIT, 1, 0x7fffffff);
    feed_u32(victim, GW_FRAME_CREDIT, 1, 0x7fffffff);
}

static void credit_nothing(Victim *victim)
{
    feed_open(victim, 1);
    feed_u32(victim, GW_FRAME_CREDIT, 1, 0);
}

static void credit_unknown(Victim *victim)
{
    feed_u32(victim, GW_FRAME_CREDIT, 77, 1);
}

static void opened_unknown(Victim *victim)
{
    feed_u32(victim, GW_FRAME_OPENED, 2, 100);
}

static void opened_their_own(Victim *victim)
{
    victim->peer->take = TAKE_NOTHING;
    feed_open(victim, 1);
    feed_u32(victim, GW_FRAME_OPENED, 1, 100);
}

static void opened_twice(Victim *victim)
{
    end_open(victim->peer, &(GwStreamShare){ GW_CLASS_NORMAL, NULL, 0 }, 10)->keep_open = TRUE;
    feed_u32(victim, GW_FRAME_OPENED, 2, 100);
    feed_u32(victim, GW_FRAME_OPENED, 2, 100);
}

static void refused_after_opened(Victim *victim)
{
    end_open(victim->peer, &(GwStreamShare){ GW_CLASS_NORMAL, NULL, 0 }, 10)->keep_open = TRUE;
    feed_u32(victim, GW_FRAME_OPENED, 2, 100);
    feed_text(victim, GW_FRAME_REFUSED, 2, "{}");
}

static void reset_unknown(Victim *victim)
{
    feed_text(victim, GW_FRAME_RESET, 41, "{}");
}

static void pong_unasked(Victim *victim)
{
    feed(victim, GW_FRAME_PONG, 0, "12345678", 8);
}

static void too_many_streams(Victim *victim)
{
    victim->peer->take = TAKE_NOTHING;
    for (guint i = 0; i < 8000; i++)
        feed_open(victim, 2 * i + 1);
    assert_int_equal(victim->peer->pending->len, GW_SESSION_STREAMS_MAX);
}

/* Opened and taken back without end: those asked still hold them, so they count. */
static void open_and_take_back(Victim *victim)
{
    victim->peer->take = TAKE_NOTHING;
    for (guint i = 0; i < 8000; i++) {
        feed_open(victim, 2 * i + 1);
        feed_text(victim, GW_FRAME_RESET, 2 * i + 1, "{}");
    }
    assert_int_equal(victim->peer->pending->len, GW_SESSION_STREAMS_MAX);
}

static const struct {
    void (*act)(Victim *victim);
    const char *says;
} violations[] = {
    { unknown_type, "unknown type 99" },
    { lying_length, "4294967295 bytes" },
    { second_hello, "HELLO frame after the greeting" },
    { not_json, "CALL frame: " },
    { not_object, "NOTICE frame that is no JSON object" },
    { not_utf8, "CALL frame: " },
    { call_without_method, "without a method" },
    { call_without_params, "without a method and params" },
    { call_twice, "second CALL 7" },
    { too_many_calls, "more than 256 calls" },
    { answer_to_nothing, "which was not made" },
    { answer_both, "without either" },
    { answer_twice, "which was not made" },
    { wrong_parity, "id 2, which is ours to give" },
    { open_twice, "id 1 after 1" },
    { open_backwards, "id 3 after 5" },
    { open_huge_window, "a window of 4294967295" },
    { open_not_json, "OPEN frame: " },
    { data_unknown, "stream 9, which is not open" },
    { data_before_opened, "stream 1, which is not open" },
    { data_on_ours_unanswered, "stream 2, which is not open" },
    { data_after_end, "after its end" },
    { end_twice, "after its end" },
    { data_over_window, "which has a window of 0" },
    { data_over_window_of_broken, "which has a window of 0" },
    { credit_overflow, "CREDIT of 2147483647" },
    { credit_nothing, "CREDIT of 0" },
    { credit_unknown, "stream 77" },
    { opened_unknown, "does not wait for it" },
    { opened_their_own, "does not wait for it" },
    { opened_twice, "does not wait for it" },
    { refused_after_opened, "does not wait for it" },
    { reset_unknown, "stream 41, which does not exist" },
    { pong_unasked, "no PING asked for" },
    { too_many_streams, "more than 4096 streams" },
};

static void test_violations(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(violations); i++) {
        Victim victim = victim_new(*state, TRUE);

        violations[i].act(&victim);
        drain(&victim);
        world_until(victim.world, peer_is_closed, victim.peer);
        if (victim.peer->why == NULL ||
            strstr(victim.peer->why->message, violations[i].says) == NULL)
            print_error("%u: '%s' is not in '%s'\n", i, violations[i].says,
                        victim.peer->why != NULL ? victim.peer->why->message : "(none)");
        assert_non_null(victim.peer->why);
        assert_non_null(strstr(victim.peer->why->message, violations[i].says));
        assert_int_equal(said(&victim, GW_FRAME_BYE), 1);
        /* And the reason is what BYE says. */
        assert_non_null(memmem(victim.out->data, victim.out->len, violations[i].says,
                               strlen(violations[i].says)));
        victim_clear(&victim);
    }
}

static void test_before_greeting(void **state)
{
    for (GwFrameType type = GW_FRAME_OPEN; type < GW_FRAME_BYE; type++) {
        Victim victim = victim_new(*state, FALSE);

        feed(&victim, type,
             type == GW_FRAME_PING || type == GW_FRAME_PONG || type == GW_FRAME_NOTICE ? 0 : 1,
             "{\"a\":1}.",
             type == GW_FRAME_END                                 ? 0
             : type == GW_FRAME_OPENED || type == GW_FRAME_CREDIT ? 4
                                                                  : 8);
        drain(&victim);
        assert_int_equal(victim.peer->closed, 1);
        assert_int_equal(victim.peer->ready, 0);
        assert_non_null(strstr(victim.peer->why->message, "before the greeting"));
        victim_clear(&victim);
    }
}

/* What may cross a stream's end is no violation. -------------------------------------------------
 */

static void test_crossing(void **state)
{
    Victim victim = victim_new(*state, TRUE);
    Peer *peer = victim.peer;

    peer->take = TAKE_COUNT;
    feed_open(&victim, 1);
    End *end = peer->ends->pdata[0];
    gw_stream_reset(end->stream, NULL);
    feed_data(&victim, 1, 1000);
    feed_u32(&victim, GW_FRAME_CREDIT, 1, 1000);
    drain(&victim);
    assert_int_equal(end->gone, 1);
    feed_data(&victim, 1, 1000);
    assert_int_equal(end->received, 0);
    feed(&victim, GW_FRAME_END, 1, NULL, 0);
    feed_u32(&victim, GW_FRAME_CREDIT, 1, 1000);
    feed_text(&victim, GW_FRAME_RESET, 1, "{}");
    assert_int_equal(g_hash_table_size(peer->session->streams), 0);

    /* Ours, taken back before the other answered. */
    for (guint i = 0; i < 3; i++) {
        End *ours = end_open(peer, &(GwStreamShare){ GW_CLASS_NORMAL, NULL, 0 }, 10);
        guint32 id = gw_stream_id(ours->stream);

        gw_stream_reset(ours->stream, NULL);
        if (i == 0) {
            feed_text(&victim, GW_FRAME_REFUSED, id, "{}");
        } else {
            feed_u32(&victim, GW_FRAME_OPENED, id, 1000);
            feed_data(&victim, id, 500);
            feed_text(&victim, GW_FRAME_RESET, id, "{}");
        }
        drain(&victim);
        assert_int_equal(ours->gone, 1);
    }
    assert_int_equal(g_hash_table_size(peer->session->streams), 0);
    assert_int_equal(peer->session->windows, 0);
    assert_int_equal(peer->closed, 0);
    /* Each of the streams had exactly one last word. */
    assert_int_equal(said(&victim, GW_FRAME_RESET) + said(&victim, GW_FRAME_END), 4);
    victim_clear(&victim);
}

/* Floods of what is small ------------------------------------------------------------------------
 */

static void test_floods(void **state)
{
    Victim victim = victim_new(*state, TRUE);

    /* A million pings, nothing read: one answer waits. */
    drain(&victim);
    for (guint i = 0; i < 1000 * 1000; i++)
        feed(&victim, GW_FRAME_PING, 0, "12345678", 8);
    assert_true(gw_session_queued(victim.peer->session) < 1000);
    drain(&victim);
    assert_int_equal(said(&victim, GW_FRAME_PONG), 1);
    victim_clear(&victim);

    victim = victim_new(*state, TRUE);
    open_and_take_back(&victim);
    victim_clear(&victim);
}

/* Frames in pieces of every size give what whole ones give. */
static void test_pieces(void **state)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    static const char call[] = "{\"method\":\"echo\",\"params\":{\"n\":1}}";
    guint8 header[GW_FRAME_HEADER], data[300] = { 1, 2, 3 };

    for (guint32 i = 0; i < 3; i++) {
        gw_frame_put(header, (GwFrame){ GW_FRAME_OPEN, 2 * i + 1, 6 });
        g_byte_array_append(bytes, header, sizeof header);
        g_byte_array_append(bytes, (const guint8 *)"\0\1\0\0{}", 6);
        gw_frame_put(header, (GwFrame){ GW_FRAME_DATA, 2 * i + 1, sizeof data });
        g_byte_array_append(bytes, header, sizeof header);
        g_byte_array_append(bytes, data, sizeof data);
        gw_frame_put(header, (GwFrame){ GW_FRAME_CALL, i + 1, sizeof call - 1 });
        g_byte_array_append(bytes, header, sizeof header);
        g_byte_array_append(bytes, (const guint8 *)call, sizeof call - 1);
        gw_frame_put(header, (GwFrame){ GW_FRAME_END, 2 * i + 1, 0 });
        g_byte_array_append(bytes, header, sizeof header);
    }
    for (guint piece = 1; piece <= bytes->len; piece++) {
        Victim victim = victim_new(*state, TRUE);

        for (guint at = 0; at < bytes->len; at += piece)
            gw_session_feed(victim.peer->session, bytes->data + at, MIN(piece, bytes->len - at));
        drain(&victim);
        assert_int_equal(victim.peer->closed, 0);
        assert_int_equal(victim.peer->received, 3 * sizeof data);
        assert_int_equal(said(&victim, GW_FRAME_ANSWER), 3);
        assert_int_equal(said(&victim, GW_FRAME_END), 3);
        assert_int_equal(g_hash_table_size(victim.peer->session->streams), 0);
        victim_clear(&victim);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_violations), cmocka_unit_test(test_before_greeting),
        cmocka_unit_test(test_crossing),   cmocka_unit_test(test_floods),
        cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
