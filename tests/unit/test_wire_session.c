/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sessions over real TCP and TLS between members of a fabric. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/session_internal.h"
#include "wire_world.h"

#define MIB (1024 * 1024)

static const GwStreamShare normal = { GW_CLASS_NORMAL, NULL, 0 };

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

static void test_greets(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);

    world_join(world, one, two);
    assert_string_equal(gw_session_peer(one->session)->host_id, "host-two");
    assert_string_equal(gw_session_peer(two->session)->host_id, "host-one");
    assert_string_equal(json_string_value(json_object_get(one->hello, "software")), GW_VERSION);
    assert_true(json_integer_value(json_object_get(two->hello, "wall_us")) > 0);
    assert_true(g_str_has_prefix(gw_session_address(one->session), "127.0.0.1:"));
    world_part(world, one, two);
}

static void test_echoes_megabytes(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);

    world_join(world, one, two);
    End *end = end_open(one, &normal, 20 * MIB + 12345);
    world_until(world, end_is_gone, end);
    assert_null(end->why);
    assert_int_equal(end->opened, 1);
    assert_int_equal(end->ended, 1);
    assert_int_equal(end->sent, end->to_send);
    assert_int_equal(end->received, end->to_send);
    assert_int_equal(end->sum_sent, end->sum_received);
    world_part(world, one, two);
}

static void test_many_streams(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);

    world_join(world, one, two);
    for (guint i = 0; i < 600; i++)
        end_open(i % 2 == 0 ? one : two, &normal, 1000 + i * 97);
    for (guint i = 0; i < 300; i++) {
        world_until(world, end_is_gone, one->ends->pdata[i]);
        world_until(world, end_is_gone, two->ends->pdata[i]);
    }
    for (guint i = 0; i < 600; i++) {
        End *end = one->ends->pdata[i];

        world_until(world, end_is_gone, end);
        assert_null(end->why);
        assert_true(end->received > 0 && end->received == end->sent);
        assert_int_equal(end->sum_sent, end->sum_received);
    }
    world_part(world, one, two);
}

/* What one consumer does not take holds up its own stream, as far as its window, and no other. */
static void test_stalled_consumer(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);

    world_join(world, one, two);
    two->take = TAKE_STALL;
    End *stalled = end_open(one, &normal, 4 * MIB);
    world_until(world, peer_has_ends, two);
    two->take = TAKE_ECHO;
    End *free_one = end_open(one, &normal, 8 * MIB);
    world_until(world, end_is_gone, free_one);
    assert_int_equal(free_one->sum_sent, free_one->sum_received);

    End *holder = two->ends->pdata[0];
    assert_int_equal(holder->received, GW_STREAM_WINDOW);
    assert_int_equal(stalled->sent, GW_STREAM_WINDOW);
    end_resume(holder);
    world_until(world, end_is_gone, stalled);
    world_until(world, end_is_gone, holder);
    assert_int_equal(holder->received, stalled->to_send);
    assert_int_equal(holder->sum_received, stalled->sum_sent);
    world_part(world, one, two);
}

/* However many streams are stalled, what we hold of one session is bounded. */
static void test_memory_is_bounded(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);

    world_join(world, one, two);
    two->take = TAKE_STALL;
    for (guint i = 0; i < 1500; i++)
        end_open(one, &normal, 300 * 1000);
    guint64 before;
    do {
        before = two->received;
        world_turns(world, 200);
    } while (two->received != before || two->ends->len < 1500);
    assert_true(two->received <= GW_SESSION_HELD_MAX);
    /* Every one of them got something, the first ones their full window. */
    for (guint i = 0; i < 1500; i++)
        assert_true(((End *)two->ends->pdata[i])->received >= GW_STREAM_WINDOW_MIN);
    assert_int_equal(((End *)two->ends->pdata[0])->received, GW_STREAM_WINDOW);
    for (guint i = 0; i < 1500; i++)
        end_resume(two->ends->pdata[i]);
    for (guint i = 0; i < 1500; i++)
        world_until(world, end_is_gone, one->ends->pdata[i]);
    for (guint i = 0; i < 1500; i++) {
        world_until(world, end_is_gone, two->ends->pdata[i]);
        assert_int_equal(((End *)two->ends->pdata[i])->received, 300 * 1000);
    }
    world_part(world, one, two);
}

/* A window grows where it is used, and gives back what it took when its stream is over. */
static void test_window_grows(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);

    world_join(world, one, two);
    two->take = TAKE_COUNT;
    End *end = end_open(one, &normal, 64 * MIB);
    gint64 most = 0;
    while (!end_is_gone(end)) {
        gw_loop_turn(world->loop, 100);
        GwStream *other = two->ends->len > 0 ? ((End *)two->ends->pdata[0])->stream : NULL;
        most = MAX(most, other != NULL ? other->window : 0);
    }
    assert_true(most > GW_STREAM_WINDOW);
    assert_true(most <= GW_STREAM_WINDOW_MAX);
    world_until(world, end_is_gone, two->ends->pdata[0]);
    assert_int_equal(one->session->windows, 0);
    assert_int_equal(two->session->windows, 0);
    world_part(world, one, two);
}

static void test_half_close(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);

    world_join(world, one, two);
    two->take = TAKE_STALL;
    End *end = end_open(one, &normal, 1000);
    world_until(world, peer_has_ends, two);
    End *other = two->ends->pdata[0];
    world_until(world, end_has_ended, other);
    /* One direction is closed, the other carries on. */
    assert_int_equal(end->gone + other->gone, 0);
    other->to_send = 100 * 1000;
    gw_stream_ready(other->stream);
    world_until(world, end_is_gone, end);
    assert_int_equal(end->received, 100 * 1000);
    assert_int_equal(end->sum_received, other->sum_sent);
    assert_null(end->why);
    world_until(world, end_is_gone, other);
    assert_null(other->why);
    world_part(world, one, two);
}

static void test_refused_and_reset(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);
    g_autoptr(GError) why = NULL;

    world_join(world, one, two);
    two->take = TAKE_REFUSE;
    End *refused = end_open(one, &normal, 1000);
    world_until(world, end_is_gone, refused);
    assert_int_equal(refused->why->code, GW_ERR_FORBIDDEN);
    assert_string_equal(refused->why->message, "not this one");
    assert_int_equal(refused->opened, 0);

    two->take = TAKE_RESET;
    End *reset = end_open(one, &normal, 8 * MIB);
    world_until(world, end_is_gone, reset);
    assert_int_equal(reset->why->code, GW_ERR_CANCELLED);

    /* In full flow: what is under way is dropped, the session lives. */
    two->take = TAKE_ECHO;
    gw_error_set(&why, GW_ERR_CONFLICT, "Wait.", "changed my mind");
    for (guint i = 0; i < 50; i++) {
        End *end = end_open(one, &normal, 256 * MIB);
        world_turns(world, i);
        gw_stream_reset(end->stream, why);
        assert_int_equal(end->gone, 0); /* not from within the call */
        gw_stream_reset(end->stream, why);
        world_until(world, end_is_gone, end);
        assert_int_equal(end->why->code, GW_ERR_CONFLICT);
    }
    for (guint i = 1; i < two->ends->len; i++) {
        End *end = two->ends->pdata[i];
        world_until(world, end_is_gone, end);
        assert_string_equal(end->why->message, "changed my mind");
        assert_string_equal(gw_error_remedy(end->why), "Wait.");
    }
    while (g_hash_table_size(one->session->streams) + g_hash_table_size(two->session->streams) > 0)
        gw_loop_turn(world->loop, 100);
    End *after = end_open(one, &normal, 1000);
    world_until(world, end_is_gone, after);
    assert_null(after->why);
    world_part(world, one, two);
}

/* Who was asked may take its time, and may find the stream, or the session, gone. */
static void test_answered_late(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);

    world_join(world, one, two);
    two->take = TAKE_NOTHING;
    for (guint i = 0; i < 4; i++)
        end_open(one, &normal, 5000);
    while (two->pending->len < 4)
        gw_loop_turn(world->loop, 100);
    gw_stream_reset(((End *)one->ends->pdata[0])->stream, NULL);
    gw_stream_reset(((End *)one->ends->pdata[1])->stream, NULL);
    world_until(world, end_is_gone, one->ends->pdata[1]);
    while (g_hash_table_size(two->session->streams) > 2)
        gw_loop_turn(world->loop, 100);
    assert_int_equal(two->session->zombies, 2);
    /* [0] is accepted though it is gone, [1] refused; [2] accepted; [3] never answered. */
    End *zombie = peer_accept(two, two->pending->pdata[0]);
    gw_stream_refuse(two->pending->pdata[1], NULL);
    peer_accept(two, two->pending->pdata[2]);
    world_until(world, end_is_gone, zombie);
    assert_int_equal(zombie->why->code, GW_ERR_CANCELLED);
    assert_int_equal(two->session->zombies, 0);
    world_until(world, end_is_gone, one->ends->pdata[2]);
    assert_null(((End *)one->ends->pdata[2])->why);
    world_part(world, one, two);
}

static void set_limit(Peer *peer, gint64 bytes_per_s)
{
    GwBucket *bucket = gw_bucket_new();

    gw_bucket_set_rate(bucket, bytes_per_s);
    gw_session_set_bucket(peer->session, bucket);
    gw_bucket_unref(bucket);
}

/* Fairness over the real thing: by bytes, whatever the number of streams. */
static void test_groups_share(void **state)
{
    static const GwStreamShare a = { GW_CLASS_NORMAL, "vm-a", 0 };
    static const GwStreamShare b = { GW_CLASS_NORMAL, "vm-b", 0 };
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);
    GwSessionCounts counts;
    double shares[2] = { 0 };

    world_join(world, one, two);
    two->take = TAKE_COUNT;
    set_limit(one, 40 * MIB);
    for (guint i = 0; i < 9; i++)
        end_open(one, i == 0 ? &a : &b, 100 * MIB);
    do {
        gw_loop_turn(world->loop, 100);
        gw_session_counts(one->session, &counts);
    } while (counts.sent_bytes < 12 * MIB);
    for (guint i = 0; i < 9; i++)
        shares[i > 0] += (double)((End *)one->ends->pdata[i])->sent;
    double total = shares[0] + shares[1];
    assert_true(total * total / (2 * (shares[0] * shares[0] + shares[1] * shares[1])) >= 0.95);
    assert_int_equal(counts.streams, 9);
    world_part(world, one, two);
}

/* A later class is not asked while an earlier one has bytes and credit. */
static void test_classes_in_order(void **state)
{
    static const GwStreamShare urgent = { GW_CLASS_URGENT, "vm", 0 };
    static const GwStreamShare bulk = { GW_CLASS_BULK, "vm", 0 };
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);

    world_join(world, one, two);
    two->take = TAKE_COUNT;
    set_limit(one, 20 * MIB);
    End *late = end_open(one, &bulk, 2 * MIB);
    while (late->sent < 100 * 1000)
        gw_loop_turn(world->loop, 100);
    End *first = end_open(one, &urgent, 128 * 1024); /* within its first window */
    while (first->opened == 0)
        gw_loop_turn(world->loop, 100);
    guint64 before = late->sent;
    while (first->sent < first->to_send)
        gw_loop_turn(world->loop, 100);
    /* At most what was asked for in the turns between. */
    assert_true(late->sent - before <= 64 * 1024);
    world_until(world, end_is_gone, late);
    world_part(world, one, two);
}

/* A limit counts: at 1 MiB/s, no more than a burst goes out at once, whatever the turns. */
static void test_limit(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);
    GwBucket *bucket = gw_bucket_new();

    world_join(world, one, two);
    two->take = TAKE_COUNT;
    gw_bucket_set_rate(bucket, MIB);
    gw_session_set_bucket(one->session, bucket);
    gint64 from_us = g_get_monotonic_time();
    End *end = end_open(one, &normal, 600 * 1000);
    while (end->sent < 300 * 1000)
        gw_loop_turn(world->loop, 100);
    gint64 took_us = g_get_monotonic_time() - from_us;
    assert_true((gint64)end->sent <= took_us * MIB / G_USEC_PER_SEC + 128 * 1024);
    gw_bucket_set_rate(bucket, 0);
    world_until(world, end_is_gone, end);
    gw_bucket_unref(bucket);
    world_part(world, one, two);
}

/* Closing with everything under way: each thing is told once, in whatever order. */
static void test_close_under_way(void **state)
{
    World *world = *state;

    for (guint i = 0; i < 24; i++) {
        Peer *one = peer_new(world->one), *two = peer_new(world->two);
        g_autoptr(GError) why = NULL;

        world_join(world, one, two);
        for (guint j = 0; j < 20; j++)
            end_open(j % 2 == 0 ? one : two, &normal, 8 * MIB);
        world_turns(world, i);
        gw_error_set(&why, GW_ERR_CONFLICT, "Look there.", "enough of it");
        gw_session_close(one->session, i % 2 == 0 ? why : NULL);
        End *late = end_open(one, &normal, 10);
        world_until(world, peer_is_closed, two);
        world_until(world, peer_is_closed, one);
        assert_int_equal(late->gone, 1);
        if (i % 2 == 0) {
            assert_string_equal(one->why->message, "enough of it");
            assert_string_equal(two->why->message, "enough of it");
            assert_int_equal(two->why->code, GW_ERR_CONFLICT);
        } else {
            assert_null(one->why);
            assert_null(two->why);
        }
        world_part(world, one, two);
    }
}

/* Streams beyond the ceiling are refused here; the session and the others live. */
static void test_streams_ceiling(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);

    world_join(world, one, two);
    for (guint i = 0; i < GW_SESSION_STREAMS_MAX + 5; i++)
        end_open(one, &normal, 0)->keep_open = TRUE;
    for (guint i = 0; i < 5; i++) {
        End *end = one->ends->pdata[GW_SESSION_STREAMS_MAX + i];
        world_until(world, end_is_gone, end);
        assert_int_equal(end->why->code, GW_ERR_TOO_LARGE);
    }
    while (two->ends->len < GW_SESSION_STREAMS_MAX)
        gw_loop_turn(world->loop, 100);
    assert_true(two->session->windows <= GW_SESSION_HELD_MAX);
    world_part(world, one, two);
}

/* New keys in mid-stream, asked for by either side. */
static void test_key_updates(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);

    world_join(world, one, two);
    End *end = end_open(one, &normal, 8 * MIB);
    for (guint i = 0; i < 6; i++) {
        Peer *peer = i % 2 == 0 ? one : two;

        while (end->received < i * MIB + 1) {
            gw_loop_turn(world->loop, 100);
            assert_int_equal(one->closed + two->closed, 0);
        }
        assert_int_equal(gnutls_session_key_update(peer->session->tls, GNUTLS_KU_PEER), 0);
    }
    world_until(world, end_is_gone, end);
    assert_null(end->why);
    assert_int_equal(end->received, 8 * MIB);
    assert_int_equal(end->sum_sent, end->sum_received);
    world_part(world, one, two);
}

/* Somebody who calls without reading the answers is no longer read, and then cut off. */
static void test_calls_without_reading(void **state)
{
    World *world = *state;
    GwSessionTimes times = gw_session_times;
    GwLoop *still = gw_loop_new_manual();
    Peer *one = peer_new(world->one), *two = peer_new(world->two);
    int fds[2];

    gw_session_times.quiet_us = 500 * 1000;
    world_pair(fds);
    GwSessionConfig config = peer_config(world, one, "host-two");
    one->session = gw_session_new(&config, fds[0], TRUE);
    config = peer_config(world, two, NULL);
    config.loop = still;
    two->session = gw_session_new(&config, fds[1], FALSE);
    while (one->ready == 0 || two->ready == 0) {
        gw_loop_turn(world->loop, 1);
        gw_loop_turn(still, 1);
    }
    /* What the second says goes nowhere now, and it is not read either. */
    gw_watch_set(one->session->watch, 0);
    g_autofree char *text = g_strnfill(200 * 1000, 'x');
    gsize most = 0;
    for (guint i = 0; i < 400 && two->closed == 0; i++) {
        gw_session_notice(two->session, "alarm", json_pack("{s:s}", "text", text));
        gw_loop_turn(still, 0);
        most = two->session != NULL ? MAX(most, gw_session_queued(two->session)) : most;
    }
    assert_true(most >= GW_SESSION_QUEUE_PAUSE && most <= GW_SESSION_QUEUE_MAX);
    while (two->closed == 0)
        gw_loop_turn(still, 100);
    assert_int_equal(two->why->code, GW_ERR_UNREACHABLE);
    gw_session_times = times;
    gw_session_close(one->session, NULL);
    world_until(world, peer_is_closed, one);
    peer_free(one);
    peer_free(two);
    gw_loop_turn(still, 0);
    gw_loop_free(still);
}

static void test_wrong_host_answers(void **state)
{
    World *world = *state;
    Peer *one = peer_new(world->one), *two = peer_new(world->two);
    int fds[2];

    world_pair(fds);
    GwSessionConfig config = peer_config(world, one, "host-three");
    one->session = gw_session_new(&config, fds[0], TRUE);
    config = peer_config(world, two, NULL);
    two->session = gw_session_new(&config, fds[1], FALSE);
    world_until(world, peer_is_closed, one);
    world_until(world, peer_is_closed, two);
    assert_int_equal(one->ready + two->ready, 0);
    assert_int_equal(one->why->code, GW_ERR_UNAUTHORIZED);
    assert_non_null(strstr(two->why->message, "host-three"));
    world_part(world, one, two);
}

static void test_controller_dials(void **state)
{
    World *world = *state;
    Peer *controller = peer_new(world->controller), *two = peer_new(world->two);

    world_join(world, controller, two);
    assert_int_equal(gw_session_peer(two->session)->role, GW_PEER_CONTROLLER);
    world_part(world, controller, two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greets),
        cmocka_unit_test(test_echoes_megabytes),
        cmocka_unit_test(test_many_streams),
        cmocka_unit_test(test_stalled_consumer),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_window_grows),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_refused_and_reset),
        cmocka_unit_test(test_answered_late),
        cmocka_unit_test(test_groups_share),
        cmocka_unit_test(test_classes_in_order),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_close_under_way),
        cmocka_unit_test(test_streams_ceiling),
        cmocka_unit_test(test_key_updates),
        cmocka_unit_test(test_calls_without_reading),
        cmocka_unit_test(test_wrong_host_answers),
        cmocka_unit_test(test_controller_dials),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
