/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The connection cut at every byte of an exchange, by a proxy between: both ends are told once,
 * each of their streams and calls as well, and nothing is left. */
#include "unit.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/session_internal.h"
#include "wire_world.h"

typedef struct Proxy Proxy;
typedef struct {
    Proxy *proxy;
    int fd, to;
    GwWatch *watch;
} Side;

struct Proxy {
    Side sides[2];
    gint64 left; /* bytes that still pass, both ways together */
    gint64 passed;
    gboolean reset; /* cut by RST, not by FIN */
};

static void cut(Proxy *proxy)
{
    for (int i = 0; i < 2; i++) {
        Side *side = &proxy->sides[i];
        struct linger linger = { .l_onoff = 1 };

        if (side->fd < 0)
            continue;
        g_clear_pointer(&side->watch, gw_watch_free);
        if (proxy->reset)
            setsockopt(side->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        close(side->fd);
        side->fd = -1;
    }
}

static void on_ready(gpointer user, guint32 events)
{
    Side *side = user;
    Proxy *proxy = side->proxy;
    guint8 bytes[4096];
    ssize_t n = recv(side->fd, bytes, (size_t)MIN((gint64)sizeof bytes, proxy->left), MSG_DONTWAIT);

    if (n > 0) {
        proxy->left -= n;
        proxy->passed += n;
        /* Little goes through, so the kernel takes it. */
        if (send(side->to, bytes, (size_t)n, MSG_NOSIGNAL) != n)
            proxy->left = 0;
    }
    if (n <= 0 || proxy->left == 0)
        cut(proxy);
}

static void proxy_start(Proxy *proxy, GwLoop *loop, int a, int b, gint64 left)
{
    *proxy = (Proxy){ .left = left, .reset = left % 2 == 1 };
    for (int i = 0; i < 2; i++) {
        Side *side = &proxy->sides[i];

        side->proxy = proxy;
        side->fd = i == 0 ? a : b;
        side->to = i == 0 ? b : a;
        side->watch = gw_watch_new(loop, side->fd, EPOLLIN, on_ready, side);
    }
    if (left == 0)
        cut(proxy);
}

static void on_done(GwSession *session, const json_t *result, const GError *error, gpointer user)
{
    (*(guint *)user)++;
}

/* The whole exchange, cut after @left bytes; returns how many passed. */
static gint64 exchange(World *world, gint64 left, gboolean *all_went_well)
{
    static const GwStreamShare share = { GW_CLASS_NORMAL, NULL, 0 };
    Peer *one = peer_new(world->one), *two = peer_new(world->two);
    int near[2], far[2];
    guint calls_done = 0;
    Proxy proxy;

    world_pair(near);
    world_pair(far);
    proxy_start(&proxy, world->loop, near[1], far[1], left);
    GwSessionConfig config = peer_config(world, one, "host-two");
    one->session = gw_session_new(&config, near[0], TRUE);
    config = peer_config(world, two, NULL);
    two->session = gw_session_new(&config, far[0], FALSE);

    End *end = end_open(one, &share, 700);
    gw_session_call(one->session, "echo", NULL, 60 * G_USEC_PER_SEC, on_done, &calls_done);
    gw_session_notice(one->session, "alarm", NULL);
    while ((end->gone == 0 || calls_done == 0) && one->closed == 0)
        gw_loop_turn(world->loop, 100);
    *all_went_well = end->why == NULL && end->received == end->to_send && two->notices->len == 1;
    if (one->session != NULL)
        gw_session_close(one->session, NULL);
    world_until(world, peer_is_closed, one);
    world_until(world, peer_is_closed, two);
    assert_int_equal(end->gone, 1);
    assert_int_equal(calls_done, 1);
    assert_int_equal(end->sum_received == end->sum_sent || end->received < end->to_send, TRUE);
    peer_free(one); /* sees to each end's one "gone" */
    peer_free(two);
    cut(&proxy);
    gw_loop_turn(world->loop, 0);
    return proxy.passed;
}

static void test_cut_everywhere(void **state)
{
    World *world = world_new();
    gboolean well = FALSE;
    gint64 whole = exchange(world, G_MAXINT64, &well);

    assert_true(well);
    assert_true(whole > 1500);
    for (gint64 at = 0; at < whole; at += unit_step(1)) {
        gint64 passed = exchange(world, at, &well);

        /* (A later run may take a few bytes more or less: signatures differ in length.) */
        assert_true(passed <= at);
        if (at < whole / 2)
            assert_false(well);
    }
    print_message("# cut at each of %" G_GINT64_FORMAT " bytes\n", whole);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_cut_everywhere) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
