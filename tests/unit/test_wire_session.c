/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sessions over real TCP and TLS between members of a fabric. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greets),
        cmocka_unit_test(test_echoes_megabytes),
        cmocka_unit_test(test_many_streams),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
