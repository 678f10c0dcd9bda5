/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Those who connect and have not, or cannot, prove who they are; and dialling. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "wire/session_internal.h"
#include "wire_world.h"

#define HALF_OPEN 10000
/* An address sanitizer keeps what was freed, so that counting says nothing. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define KEEPS_FREED_MEMORY
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define KEEPS_FREED_MEMORY
#endif

/* A listener and the sessions that it makes; each has a Peer of its own. */
typedef struct {
    World *world;
    GwListener *listener;
    char *address;
    guint16 port;
    guint ready, closed;
    GError *why; /* of the last that closed */
} House;

static void house_ready(GwSession *session, const json_t *hello, gpointer user)
{
    ((House *)user)->ready++;
}

static void house_closed(GwSession *session, const GError *why, gpointer user)
{
    House *house = user;

    house->closed++;
    g_clear_error(&house->why);
    house->why = why != NULL ? g_error_copy(why) : NULL;
}

static House *house_new(World *world, const GwListenerLimits *limits)
{
    House *house = g_new0(House, 1);
    const GwSessionOps ops = { .user = house, .ready = house_ready, .closed = house_closed };
    const GwSessionConfig config = { .loop = world->loop, .credentials = world->two, .ops = &ops };

    house->world = world;
    int fd = world_listen(&house->address);
    house->port = (guint16)g_ascii_strtoull(strrchr(house->address, ':') + 1, NULL, 10);
    house->listener = gw_listener_new(&config, fd, &world->loop, 1, limits);
    return house;
}

static void house_free(House *house)
{
    gw_listener_free(house->listener);
    g_clear_error(&house->why);
    g_free(house->address);
    g_free(house);
}

static int connect_from(House *house, const char *from)
{
    struct sockaddr_in mine = { .sin_family = AF_INET, .sin_addr.s_addr = inet_addr(from) };
    struct sockaddr_in theirs = { .sin_family = AF_INET,
                                  .sin_port = htons(house->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

    assert_true(fd >= 0);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    assert_int_equal(bind(fd, (struct sockaddr *)&mine, sizeof mine), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&theirs, sizeof theirs), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
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

static Peer *visit(House *house, int fd)
{
    Peer *peer = peer_new(house->world->one);
    GwSessionConfig config = peer_config(house->world, peer, "host-two");

    peer->session = gw_session_new(&config, fd, TRUE);
    return peer;
}

static void leave(House *house, Peer *peer)
{
    guint before = house->closed;

    gw_session_close(peer->session, NULL);
    world_until(house->world, peer_is_closed, peer);
    while (house->closed == before)
        gw_loop_turn(house->world->loop, 100);
    world_turns(house->world, 2);
    peer_free(peer);
}

static guint open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    guint n = 0;

    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n - 3;
}

static gint64 resident_bytes(void)
{
    g_autofree char *text = NULL;

    assert_true(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
    return g_ascii_strtoll(strchr(text, ' '), NULL, 10) * sysconf(_SC_PAGESIZE);
}

/* Half-open by the thousand, of one address and of many: few are kept, an honest peer gets in
 * before, between and after. */
static void test_half_open(void **state)
{
    static const GwListenerLimits limits = GW_LISTENER_LIMITS;
    struct rlimit many = { 0 };
    g_autofree int *fds = g_new(int, HALF_OPEN);
    House *house = house_new(*state, &limits);
    guint base = open_descriptors(), honest = 0;
    gint64 resident G_GNUC_UNUSED = resident_bytes();

    getrlimit(RLIMIT_NOFILE, &many);
    if (many.rlim_max < HALF_OPEN + 2000) {
        house_free(house);
        world_turns(*state, 2);
        print_message("# needs %d descriptors, %lu are allowed\n", HALF_OPEN + 2000,
                      (unsigned long)many.rlim_max);
        skip();
    }
    many.rlim_cur = MAX(many.rlim_cur, HALF_OPEN + 2000);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &many), 0);
    for (guint i = 0; i < HALF_OPEN; i++) {
        /* The first half from one address, the second from a thousand. */
        g_autofree char *from = i < HALF_OPEN / 2
                                    ? g_strdup("127.0.0.1")
                                    : g_strdup_printf("127.0.%u.%u", i % 4 + 1, i % 250 + 1);

        fds[i] = connect_from(house, from);
        if (i % 16 == 0)
            world_turns(*state, 2);
        assert_true(gw_listener_unproved(house->listener) <=
                    (i < HALF_OPEN / 2 ? limits.unproved_per_address_max : limits.unproved_max));
        if (i % 2500 == 100) {
            Peer *peer = visit(house, connect_from(house, "127.9.9.9"));
            world_until(*state, peer_is_ready, peer);
            leave(house, peer);
            honest++;
        }
    }
    world_turns(*state, 300);
    assert_int_equal(honest, 4);
    assert_int_equal(house->ready, honest);
    assert_true(gw_listener_unproved(house->listener) <= limits.unproved_max);
    /* Ours, and those that are kept. */
    assert_true(open_descriptors() <= base + HALF_OPEN + limits.unproved_max + 8);
#ifndef KEEPS_FREED_MEMORY
    assert_true(resident_bytes() - resident < 96 * 1024 * 1024);
#endif
    Peer *peer = visit(house, connect_from(house, "127.0.0.1"));
    world_until(*state, peer_is_ready, peer);
    leave(house, peer);
    for (guint i = 0; i < HALF_OPEN; i++)
        close(fds[i]);
    while (gw_listener_unproved(house->listener) > 0)
        gw_loop_turn(house->world->loop, 100);
    world_turns(*state, 10);
    house_free(house);
    world_turns(*state, 2);
}

/* The ceiling of all sessions: those that are proved stay, who comes then is turned away. */
static void test_sessions_ceiling(void **state)
{
    static const GwListenerLimits limits = { 4, 4, 3 };
    House *house = house_new(*state, &limits);
    Peer *peers[3], *late;

    for (guint i = 0; i < 3; i++) {
        peers[i] = visit(house, connect_from(house, "127.0.0.1"));
        world_until(*state, peer_is_ready, peers[i]);
    }
    assert_int_equal(house->ready, 3);
    late = visit(house, connect_from(house, "127.0.0.1"));
    world_until(*state, peer_is_closed, late);
    assert_int_equal(late->ready, 0);
    peer_free(late);
    leave(house, peers[0]);
    late = visit(house, connect_from(house, "127.0.0.1"));
    world_until(*state, peer_is_ready, late);
    leave(house, late);
    leave(house, peers[1]);
    leave(house, peers[2]);
    house_free(house);
    world_turns(*state, 2);
}

/* Nothing, or a byte now and then: dropped at the deadline, not kept alive by trickling. */
static void test_slow_loris(void **state)
{
    static const GwListenerLimits limits = GW_LISTENER_LIMITS;
    static const guint8 hello[] = { 22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3 };
    GwSessionTimes times = gw_session_times;

    gw_session_times.handshake_us = 150 * 1000;
    House *house = house_new(*state, &limits);
    int quiet = connect_from(house, "127.0.0.1"), slow = connect_from(house, "127.0.0.1");
    for (guint i = 0; house->closed < 2; i++) {
        if (i < sizeof hello && send(slow, hello + i, 1, MSG_NOSIGNAL) < 0)
            break;
        gw_loop_turn(house->world->loop, 20);
        assert_true(i < 3000);
    }
    assert_int_equal(house->why->code, GW_ERR_TIMEOUT);
    assert_int_equal(house->ready, 0);
    gw_session_times = times;
    close(quiet);
    close(slow);
    world_turns(*state, 2);
    house_free(house);
    world_turns(*state, 2);
}

static void test_garbage(void **state)
{
    static const char *const garbage[] = {
        "GET / HTTP/1.1\r\nHost: kvm1\r\n\r\n",
        "\x16\x03\x01\xff\xff\x01\x01\x01\x01",
        "\x16\x03\x01\x00\x02\x01\x00",
        "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    };
    static const GwListenerLimits limits = GW_LISTENER_LIMITS;
    House *house = house_new(*state, &limits);

    for (guint i = 0; i < G_N_ELEMENTS(garbage); i++) {
        gsize length = i == 2 ? 7 : strlen(garbage[i]);
        int fd = connect_from(house, "127.0.0.1");

        assert_int_equal(send(fd, garbage[i], length, 0), length);
        shutdown(fd, SHUT_WR);
        while (house->closed == i)
            gw_loop_turn(house->world->loop, 100);
        assert_non_null(house->why);
        close(fd);
    }
    assert_int_equal(house->ready, 0);
    world_turns(*state, 2);
    house_free(house);
    world_turns(*state, 2);
}

/* Somebody of another fabric, whose certificate is as good as ours, there. */
static void test_foreign_peer(void **state)
{
    static const GwListenerLimits limits = GW_LISTENER_LIMITS;
    World *foreign = world_new();
    House *house = house_new(*state, &limits);
    Peer *peer = peer_new(foreign->one);
    GwSessionConfig config = peer_config(house->world, peer, "host-two");

    peer->session = gw_session_new(&config, connect_from(house, "127.0.0.1"), TRUE);
    world_until(*state, peer_is_closed, peer);
    while (house->closed == 0)
        gw_loop_turn(house->world->loop, 100);
    assert_int_equal(house->ready + peer->ready, 0);
    assert_int_equal(peer->why->code, GW_ERR_UNAUTHORIZED);
    peer_free(peer);
    world_turns(*state, 2);
    house_free(house);
    world_turns(*state, 2);
    world_free(foreign);
}

/* A member that speaks TLS itself and lies about lengths inside of it. */
static void test_raw_member(void **state)
{
    static const GwListenerLimits limits = GW_LISTENER_LIMITS;
    static const char hello[] = "{\"versions\":[1,1],\"software\":\"raw\",\"wall_us\":1}";
    House *house = house_new(*state, &limits);
    int fd = connect_from(house, "127.0.0.1");
    gnutls_session_t tls = gw_credentials_tls(house->world->one, TRUE, NULL);
    guint8 header[GW_FRAME_HEADER];
    char got[9000];
    int status;

    gnutls_transport_set_int(tls, fd);
    while ((status = gnutls_handshake(tls)) == GNUTLS_E_AGAIN)
        gw_loop_turn(house->world->loop, 1);
    assert_int_equal(status, 0);
    gw_frame_put(header, (GwFrame){ GW_FRAME_HELLO, 0, sizeof hello - 1 });
    assert_int_equal(gnutls_record_send(tls, header, sizeof header), sizeof header);
    assert_int_equal(gnutls_record_send(tls, hello, sizeof hello - 1), sizeof hello - 1);
    while (house->ready == 0)
        gw_loop_turn(house->world->loop, 100);
    /* A payload announced longer than any: cut off at the header, before anything is held. */
    gw_frame_put(header, (GwFrame){ GW_FRAME_NOTICE, 0, GW_FRAME_TEXT_MAX + 1 });
    assert_int_equal(gnutls_record_send(tls, header, sizeof header), sizeof header);
    g_autoptr(GByteArray) all = g_byte_array_new();
    for (ssize_t n; (n = gnutls_record_recv(tls, got, sizeof got)) != 0;) {
        if (n == GNUTLS_E_AGAIN)
            gw_loop_turn(house->world->loop, 1);
        else if (n > 0)
            g_byte_array_append(all, (guint8 *)got, (guint)n);
        else
            fail_msg("%s", gnutls_strerror((int)n));
    }
    assert_non_null(memmem(all->data, all->len, "262145 bytes", 12));
    assert_non_null(memmem(all->data, all->len, "invalid", 7));
    gnutls_deinit(tls);
    close(fd);
    while (house->closed == 0)
        gw_loop_turn(house->world->loop, 100);
    assert_non_null(strstr(house->why->message, "262145 bytes"));
    world_turns(*state, 2);
    house_free(house);
    world_turns(*state, 2);
}

/* Dialling ---------------------------------------------------------------------------------------
 */

/* One of @addresses is the house's. */
static void dial_home(House *house, const char *const *addresses)
{
    Peer *peer = peer_new(house->world->one);
    GwSessionConfig config = peer_config(house->world, peer, "host-two");

    peer->session = gw_session_dial(&config, addresses);
    world_until(house->world, peer_is_ready, peer);
    assert_string_equal(gw_session_address(peer->session), house->address);
    leave(house, peer);
}

static void test_dials_in_order(void **state)
{
    static const GwListenerLimits limits = GW_LISTENER_LIMITS;
    House *house = house_new(*state, &limits);
    const char *const addresses[] = { "nonsense", "host.example:1", "127.0.0.1:1", house->address,
                                      NULL };

    dial_home(house, addresses);

    const char *const none[] = { "nonsense", "127.0.0.1:1", "[::1]:1", NULL };
    Peer *peer = peer_new(house->world->one);
    GwSessionConfig config = peer_config(house->world, peer, "host-two");
    peer->session = gw_session_dial(&config, none);
    assert_int_equal(peer->closed, 0); /* never from within the call */
    world_until(*state, peer_is_closed, peer);
    assert_int_equal(peer->why->code, GW_ERR_UNREACHABLE);
    for (guint i = 0; none[i] != NULL; i++)
        assert_non_null(strstr(peer->why->message, none[i]));
    peer_free(peer);

    /* Closed while it dials. */
    peer = peer_new(house->world->one);
    config = peer_config(house->world, peer, "host-two");
    peer->session = gw_session_dial(&config, addresses);
    gw_session_close(peer->session, NULL);
    world_until(*state, peer_is_closed, peer);
    peer_free(peer);
    world_turns(*state, 5);
    house_free(house);
    world_turns(*state, 2);
}

/* An address that never answers costs its time, not the call. */
static void test_dials_on(void **state)
{
    static const GwListenerLimits limits = GW_LISTENER_LIMITS;
    GwSessionTimes times = gw_session_times;
    House *house = house_new(*state, &limits);
    struct sockaddr_in mine = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof mine;
    int full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fillers[8];

    /* A queue of none that is full: who comes after is not answered. */
    assert_int_equal(bind(full, (struct sockaddr *)&mine, sizeof mine), 0);
    assert_int_equal(listen(full, 0), 0);
    getsockname(full, (struct sockaddr *)&mine, &length);
    for (guint i = 0; i < G_N_ELEMENTS(fillers); i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(connect(fillers[i], (struct sockaddr *)&mine, sizeof mine) == 0 ||
                    errno == EINPROGRESS);
    }
    g_autofree char *silent = g_strdup_printf("127.0.0.1:%u", ntohs(mine.sin_port));
    const char *const addresses[] = { silent, house->address, NULL };
    gw_session_times.connect_us = 100 * 1000;
    dial_home(house, addresses);
    gw_session_times = times;
    for (guint i = 0; i < G_N_ELEMENTS(fillers); i++)
        close(fillers[i]);
    close(full);
    house_free(house);
    world_turns(*state, 2);
}

/* Sessions dealt among threads: a listener on one loop, its sessions on others. */
static gint busy_ready, busy_closed;

static void on_busy_ready(GwSession *session, const json_t *hello, gpointer user)
{
    g_assert_true(gw_loop_is_current(gw_session_loop(session)));
    g_atomic_int_inc(&busy_ready);
}

static void on_busy_closed(GwSession *session, const GError *why, gpointer user)
{
    g_assert_true(gw_loop_is_current(gw_session_loop(session)));
    g_atomic_int_inc(&busy_closed);
}

typedef struct {
    const GwSessionConfig *config;
    int fd;
    GwLoop **loops;
    GwListener *listener;
} Opening;

static void make_listener(gpointer data)
{
    static const GwListenerLimits limits = GW_LISTENER_LIMITS;
    Opening *opening = data;

    opening->listener = gw_listener_new(opening->config, opening->fd, opening->loops, 3, &limits);
}

static void free_listener(gpointer listener)
{
    gw_listener_free(listener);
}

static void test_loops_of_threads(void **state)
{
    static const GwSessionOps ops = { .ready = on_busy_ready, .closed = on_busy_closed };
    World *world = *state;
    GwLoop *loops[3] = { gw_loop_new("one"), gw_loop_new("two"), gw_loop_new("three") };
    GwSessionConfig config = { .loop = loops[0], .credentials = world->two, .ops = &ops };
    g_autofree char *address = NULL;
    int fd = world_listen(&address);
    Opening opening = { .config = &config, .fd = fd, .loops = loops };
    const char *const addresses[] = { address, NULL };
    Peer *peers[60];

    gw_loop_run(loops[0], make_listener, &opening);
    GwListener *listener = opening.listener;
    for (guint i = 0; i < G_N_ELEMENTS(peers); i++) {
        peers[i] = peer_new(world->one);
        config = peer_config(world, peers[i], "host-two");
        if (i == 30)
            gw_listener_set_credentials(listener, world->two);
        peers[i]->session = gw_session_dial(&config, addresses);
        if (i % 20 == 19)
            world_until(world, peer_is_ready, peers[i - 10]);
    }
    for (guint i = 0; i < G_N_ELEMENTS(peers); i++) {
        world_until(world, peer_is_ready, peers[i]);
        gw_session_close(peers[i]->session, NULL);
        world_until(world, peer_is_closed, peers[i]);
        peer_free(peers[i]);
    }
    gw_loop_run(loops[0], free_listener, listener);
    while (g_atomic_int_get(&busy_closed) < (gint)G_N_ELEMENTS(peers))
        g_usleep(1000);
    assert_int_equal(busy_ready, G_N_ELEMENTS(peers));
    for (guint i = 0; i < 3; i++)
        gw_loop_free(loops[i]);
    world_turns(world, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_open),        cmocka_unit_test(test_sessions_ceiling),
        cmocka_unit_test(test_slow_loris),       cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_foreign_peer),     cmocka_unit_test(test_raw_member),
        cmocka_unit_test(test_dials_in_order),   cmocka_unit_test(test_dials_on),
        cmocka_unit_test(test_loops_of_threads),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
