/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "transport/pump.h"
#include "wire_world.h"

/* program A – socket – pump – session over TCP – pump – socket – program B. The test plays both
 * programs, on the same thread as the loop. */

#define MIB (1024 * 1024)

typedef struct {
    guint done;
    guint64 read_bytes, written_bytes;
    int code; /* -1: none */
    char *message;
} Seen;

typedef struct Bench Bench;

/* How one stream's far end is taken, in the order of opening. */
typedef struct {
    Bench *bench;
    int program; /* B's socket; -1 once it was closed */
    int socket;  /* for the pump */
    Seen seen;
    GwPumpFilter to_stream, to_socket;
    gboolean refuse, echo, discard;
    int near; /* A's socket */
    Seen near_seen;
    GwPumpFilter near_to_stream;
} Pipe;

struct Bench {
    World *world;
    GwSession *near, *far;
    guint ready, closed, taken;
    GPtrArray *pipes;
};

/* The bench ----------------------------------------------------------------------------------- */

static void on_done(gpointer user, guint64 read_bytes, guint64 written_bytes, const GError *why)
{
    Seen *seen = user;

    seen->done++;
    seen->read_bytes = read_bytes;
    seen->written_bytes = written_bytes;
    seen->code = why != NULL ? why->code : -1;
    seen->message = why != NULL ? g_strdup(why->message) : NULL;
}

static void on_ready(GwSession *session, const json_t *hello, gpointer user)
{
    ((Bench *)user)->ready++;
}

static void on_open(GwSession *session, GwStream *stream, const json_t *what, gpointer user)
{
    Bench *bench = user;
    Pipe *pipe = g_ptr_array_index(bench->pipes, bench->taken++);
    const GwPumpConfig config = { .share = { GW_CLASS_URGENT, "vm", 0 },
                                  .to_stream = pipe->to_stream,
                                  .to_socket = pipe->to_socket,
                                  .done = on_done,
                                  .user = &pipe->seen };
    g_autoptr(GError) error = NULL;

    gw_error_set(&error, GW_ERR_UNAUTHORIZED, NULL, "no ticket");
    if (pipe->refuse)
        gw_stream_refuse(stream, error);
    else if (pipe->echo)
        gw_pump_accept_echo(stream, &config);
    else if (pipe->discard)
        gw_pump_accept_discard(stream, &config);
    else
        gw_pump_accept(stream, pipe->socket, &config);
}

static void on_closed(GwSession *session, const GError *why, gpointer user)
{
    Bench *bench = user;

    bench->closed++;
    if (session == bench->near)
        bench->near = NULL;
    else
        bench->far = NULL;
}

static gboolean both_ready(gconstpointer data)
{
    return ((const Bench *)data)->ready == 2;
}

static gboolean both_closed(gconstpointer data)
{
    return ((const Bench *)data)->closed == 2;
}

static gboolean is_done(gconstpointer data)
{
    return ((const Seen *)data)->done > 0;
}

static int set_up(void **state)
{
    Bench *bench = g_new0(Bench, 1);
    const GwSessionOps ops = { bench, on_ready, on_open, NULL, NULL, on_closed };
    g_autoptr(GwJson) hello = json_object();
    int fds[2];

    bench->world = world_new();
    bench->pipes = g_ptr_array_new();
    GwSessionConfig config = { .loop = bench->world->loop, .hello = hello, .ops = &ops };
    world_pair(fds);
    config.credentials = bench->world->one;
    config.expect_host_id = "host-two";
    bench->near = gw_session_new(&config, fds[0], TRUE);
    config.credentials = bench->world->two;
    bench->far = gw_session_new(&config, fds[1], FALSE);
    world_until(bench->world, both_ready, bench);
    *state = bench;
    return 0;
}

static void close_program(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int tear_down(void **state)
{
    Bench *bench = *state;

    if (bench->near != NULL)
        gw_session_close(bench->near, NULL);
    if (bench->far != NULL)
        gw_session_close(bench->far, NULL);
    world_until(bench->world, both_closed, bench);
    world_turns(bench->world, 20);
    for (guint i = 0; i < bench->pipes->len; i++) {
        Pipe *pipe = g_ptr_array_index(bench->pipes, i);
        close_program(&pipe->program);
        close_program(&pipe->near);
        world_turns(bench->world, 5);
        assert_int_equal(pipe->near_seen.done, 1);
        g_free(pipe->near_seen.message);
        g_free(pipe->seen.message);
        g_free(pipe);
    }
    g_ptr_array_unref(bench->pipes);
    world_free(bench->world);
    g_free(bench);
    return 0;
}

static Pipe *pipe_new(Bench *bench)
{
    Pipe *pipe = g_new0(Pipe, 1);
    int far[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, far), 0);
    *pipe = (Pipe){ .bench = bench, .program = far[0], .socket = far[1], .near = -1 };
    pipe->seen.code = pipe->near_seen.code = -2;
    g_ptr_array_add(bench->pipes, pipe);
    return pipe;
}

static void pipe_open(Pipe *pipe, const char *group)
{
    Bench *bench = pipe->bench;
    const GwPumpConfig config = { .share = { GW_CLASS_NORMAL, group, 0 },
                                  .to_stream = pipe->near_to_stream,
                                  .done = on_done,
                                  .user = &pipe->near_seen };
    int near[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, near), 0);
    pipe->near = near[0];
    gw_pump_open(bench->near, json_pack("{s:s}", "kind", "migration"), near[1], &config);
    if (pipe->refuse || pipe->echo || pipe->discard)
        close(pipe->socket);
}

static Pipe *pipe_plain(Bench *bench, const char *group)
{
    Pipe *pipe = pipe_new(bench);

    pipe_open(pipe, group);
    return pipe;
}

/* Programs: one writes a pattern, one reads and checks it -------------------------------------- */

typedef struct {
    int *fd;
    guint64 seed, total, at;
    gboolean ended, broken;
} Half;
#define WRITES(fd_at, from_seed, bytes)                                                            \
    {                                                                                              \
        .fd = fd_at, .seed = from_seed, .total = bytes                                             \
    }
#define READS(fd_at, from_seed)                                                                    \
    {                                                                                              \
        .fd = fd_at, .seed = from_seed                                                             \
    }

static guint8 pattern(guint64 seed, guint64 at)
{
    guint64 word = (at / 8 + seed) * 0x9e3779b97f4a7c15u;

    return (guint8)(word >> (at % 8 * 8));
}

/* TRUE where something was written. */
static gboolean half_write(Half *half)
{
    guint8 bytes[65536];
    gsize length = (gsize)MIN(half->total - half->at, sizeof bytes);

    for (gsize i = 0; i < length; i++)
        bytes[i] = pattern(half->seed, half->at + i);
    ssize_t put = length > 0 ? send(*half->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    if (put < 0 && errno != EAGAIN)
        half->broken = TRUE;
    if (put > 0)
        half->at += (guint64)put;
    if (half->at == half->total && !half->ended) {
        half->ended = TRUE;
        shutdown(*half->fd, SHUT_WR);
    }
    return put > 0;
}

static gboolean half_read(Half *half)
{
    guint8 bytes[65536];
    ssize_t got = recv(*half->fd, bytes, sizeof bytes, MSG_DONTWAIT);

    if (got < 0)
        half->broken = errno != EAGAIN;
    if (got == 0)
        half->ended = TRUE;
    for (ssize_t i = 0; i < got; i++)
        assert_int_equal(bytes[i], pattern(half->seed, half->at + (guint64)i));
    half->at += got > 0 ? (guint64)got : 0;
    return got > 0;
}

static void run(Bench *bench, Half *writers, guint n_writers, Half *readers, guint n_readers)
{
    gint64 late_us = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    gboolean all = FALSE;

    while (!all) {
        all = TRUE;
        for (guint i = 0; i < n_writers; i++) {
            half_write(&writers[i]);
            all = all && (writers[i].ended || writers[i].broken);
        }
        for (guint i = 0; i < n_readers; i++) {
            while (half_read(&readers[i]))
                ;
            all = all && (readers[i].ended || readers[i].broken);
        }
        gw_loop_turn(bench->world->loop, 1);
        assert_true(g_get_monotonic_time() < late_us);
    }
}

/* Tests --------------------------------------------------------------------------------------- */

static void test_both_ways(void **state)
{
    Bench *bench = *state;
    Pipe *pipe = pipe_plain(bench, "vm");
    Half writers[] = { WRITES(&pipe->near, 1, 16 * MIB + 17),
                       WRITES(&pipe->program, 2, 3 * MIB + 1) };
    Half readers[] = { READS(&pipe->program, 1), READS(&pipe->near, 2) };

    run(bench, writers, 2, readers, 2);
    assert_int_equal(readers[0].at, 16 * MIB + 17);
    assert_int_equal(readers[1].at, 3 * MIB + 1);
    world_until(bench->world, is_done, &pipe->near_seen);
    world_until(bench->world, is_done, &pipe->seen);
    assert_int_equal(pipe->near_seen.code, -1);
    assert_int_equal(pipe->near_seen.read_bytes, 16 * MIB + 17);
    assert_int_equal(pipe->near_seen.written_bytes, 3 * MIB + 1);
    assert_int_equal(pipe->seen.code, -1);
    assert_int_equal(pipe->seen.read_bytes, 3 * MIB + 1);
    assert_int_equal(pipe->seen.written_bytes, 16 * MIB + 17);
}

/* One way is over, the other goes on: QEMU's return path. */
static void test_half_close(void **state)
{
    Bench *bench = *state;
    Pipe *pipe = pipe_plain(bench, "vm");
    Half first = WRITES(&pipe->near, 1, 100000), first_read = READS(&pipe->program, 1);
    Half back = WRITES(&pipe->program, 2, 2 * MIB), back_read = READS(&pipe->near, 2);

    run(bench, &first, 1, &first_read, 1);
    assert_int_equal(first_read.at, 100000);
    world_turns(bench->world, 50);
    assert_int_equal(pipe->near_seen.done + pipe->seen.done, 0);
    run(bench, &back, 1, &back_read, 1);
    assert_int_equal(back_read.at, 2 * MIB);
    assert_false(back_read.broken);
    world_until(bench->world, is_done, &pipe->near_seen);
    assert_int_equal(pipe->near_seen.code, -1);
}

static void test_nothing_at_all(void **state)
{
    Bench *bench = *state;
    Pipe *pipe = pipe_plain(bench, "vm");
    Half writers[] = { WRITES(&pipe->near, 1, 0), WRITES(&pipe->program, 2, 0) };
    Half readers[] = { READS(&pipe->program, 1), READS(&pipe->near, 2) };

    run(bench, writers, 2, readers, 2);
    world_until(bench->world, is_done, &pipe->near_seen);
    assert_int_equal(pipe->near_seen.code, -1);
    assert_int_equal(readers[0].at + readers[1].at, 0);
}

/* A program writes and is gone at once, both ways: every byte still arrives. */
static void test_written_and_gone(void **state)
{
    Bench *bench = *state;
    Pipe *pipe = pipe_plain(bench, "vm");
    Half writer = WRITES(&pipe->near, 1, 150000), reader = READS(&pipe->program, 1);

    while (writer.at < writer.total && half_write(&writer))
        ;
    assert_int_equal(writer.at, writer.total);
    close_program(&pipe->near);
    run(bench, NULL, 0, &reader, 1);
    assert_int_equal(reader.at, 150000);
    close_program(&pipe->program);
    world_until(bench->world, is_done, &pipe->near_seen);
    world_until(bench->world, is_done, &pipe->seen);
}

/* Until @reader has read so much. */
static void run_until(Bench *bench, Half *writer, Half *reader, gsize bytes)
{
    while (reader->at < bytes) {
        half_write(writer);
        half_read(reader);
        gw_loop_turn(bench->world->loop, 1);
    }
}

/* Killed in the middle of a large one: the other program learns it, nothing lingers. */
static void test_killed(void **state)
{
    Bench *bench = *state;
    Pipe *pipe = pipe_plain(bench, "vm");
    Half writer = WRITES(&pipe->near, 1, 64 * MIB), reader = READS(&pipe->program, 1);

    run_until(bench, &writer, &reader, 4 * MIB);
    close_program(&pipe->near);
    run(bench, NULL, 0, &reader, 1);
    assert_true(reader.at < 64 * MIB);
    close_program(&pipe->program);
    world_until(bench->world, is_done, &pipe->near_seen);
    world_until(bench->world, is_done, &pipe->seen);
}

/* The reading program is killed: the writer's socket breaks. */
static void test_reader_killed(void **state)
{
    Bench *bench = *state;
    Pipe *pipe = pipe_plain(bench, "vm");
    Half writer = WRITES(&pipe->near, 1, 64 * MIB), reader = READS(&pipe->program, 1);

    run_until(bench, &writer, &reader, 4 * MIB);
    close_program(&pipe->program);
    run(bench, &writer, 1, NULL, 0);
    assert_true(writer.broken);
    world_until(bench->world, is_done, &pipe->seen);
    world_until(bench->world, is_done, &pipe->near_seen);
    assert_int_equal(pipe->seen.code, GW_ERR_UNREACHABLE);
    assert_int_not_equal(pipe->near_seen.code, -1);
}

/* Whoever keeps a copy of the socket, as the agent's other process does, sees the end, and holds
 * nothing open. */
static void test_copy_sees_the_end(void **state)
{
    Bench *bench = *state;
    Pipe *pipe = pipe_new(bench);
    char byte = 0;

    int copy = fcntl(pipe->socket, F_DUPFD_CLOEXEC, 3);
    assert_true(copy >= 0);
    pipe_open(pipe, "vm");
    while (bench->taken == 0)
        gw_loop_turn(bench->world->loop, 1);
    gw_session_close(bench->near, NULL);
    world_until(bench->world, is_done, &pipe->seen);
    struct pollfd look = { copy, 0, 0 };
    assert_int_equal(poll(&look, 1, 1000), 1);
    assert_true(look.revents & POLLHUP);
    assert_int_equal(recv(pipe->program, &byte, 1, 0), 0);
    close(copy);
    world_until(bench->world, is_done, &pipe->near_seen);
}

static void test_refused(void **state)
{
    Bench *bench = *state;
    Pipe *pipe = pipe_new(bench);
    char byte;

    pipe->refuse = TRUE;
    pipe_open(pipe, "vm");
    world_until(bench->world, is_done, &pipe->near_seen);
    assert_int_equal(pipe->near_seen.code, GW_ERR_UNAUTHORIZED);
    assert_string_equal(pipe->near_seen.message, "no ticket");
    assert_int_equal(recv(pipe->near, &byte, 1, 0), 0);
}

static void test_session_ends(void **state)
{
    Bench *bench = *state;
    Pipe *pipe = pipe_plain(bench, "vm");
    Half writer = WRITES(&pipe->near, 1, 64 * MIB), reader = READS(&pipe->program, 1);

    while (reader.at < MIB) {
        half_write(&writer);
        half_read(&reader);
        gw_loop_turn(bench->world->loop, 1);
    }
    gw_session_close(bench->near, NULL);
    world_until(bench->world, is_done, &pipe->near_seen);
    world_until(bench->world, is_done, &pipe->seen);
    assert_int_not_equal(pipe->near_seen.code, -1);
    assert_int_not_equal(pipe->seen.code, -1);
    run(bench, NULL, 0, &reader, 1);
    assert_true(reader.ended);
}

/* Whoever does not read holds up his own, by so much memory and no more. */
static void test_stalled_reader(void **state)
{
    Bench *bench = *state;
    Pipe *stalled = pipe_plain(bench, "slow");
    Pipe *other = pipe_plain(bench, "fast");
    Half slow = WRITES(&stalled->near, 1, 512 * MIB);
    Half fast = WRITES(&other->near, 2, 64 * MIB), fast_read = READS(&other->program, 2);
    gint64 began_us = g_get_monotonic_time();

    while (!fast_read.ended) {
        half_write(&slow);
        half_write(&fast);
        while (half_read(&fast_read))
            ;
        gw_loop_turn(bench->world->loop, 1);
        assert_true(g_get_monotonic_time() - began_us < 60 * G_USEC_PER_SEC);
    }
    assert_int_equal(fast_read.at, 64 * MIB);
    assert_false(fast_read.broken);
    for (guint i = 0; i < 200; i++) {
        half_write(&slow);
        gw_loop_turn(bench->world->loop, 0);
    }
    /* A window, and what the kernel's sockets hold. */
    assert_true(slow.at > 0);
    assert_true(slow.at < GW_STREAM_WINDOW_MAX + 8 * MIB);
    Half rest = READS(&stalled->program, 1);
    while (rest.at < slow.at) {
        half_read(&rest);
        gw_loop_turn(bench->world->loop, 1);
    }
    close_program(&stalled->near);
}

/* Idle pumps, half-closed and not, cost no turns. */
static void test_no_busy_loop(void **state)
{
    Bench *bench = *state;
    Pipe *idle = pipe_plain(bench, "idle");
    Pipe *half = pipe_plain(bench, "half");
    Pipe *gone = pipe_plain(bench, "gone");
    struct rusage before, after;

    world_turns(bench->world, 50);
    shutdown(half->near, SHUT_WR);
    close_program(&gone->near); /* the other program does not care, and stays */
    world_turns(bench->world, 50);
    getrusage(RUSAGE_SELF, &before);
    gint64 until_us = g_get_monotonic_time() + 500 * 1000;
    guint turns = 0;
    while (g_get_monotonic_time() < until_us) {
        gw_loop_turn(bench->world->loop, 100);
        turns++;
    }
    getrusage(RUSAGE_SELF, &after);
    assert_true(turns < 100);
    assert_int_equal(idle->near_seen.done + half->near_seen.done, 0);
}

/* Filters ------------------------------------------------------------------------------------- */

/* Passes whole lines on, holds the rest back, refuses one that says "bad". */
typedef struct {
    GString *held;
    guint *freed;
} Lines;

static gboolean lines_pass(gpointer filter, const guint8 *bytes, gsize length, GByteArray *out,
                           GError **error)
{
    Lines *lines = filter;
    char *end;

    g_string_append_len(lines->held, (const char *)bytes, (gssize)length);
    while ((end = memchr(lines->held->str, '\n', lines->held->len)) != NULL) {
        gsize line = (gsize)(end + 1 - lines->held->str);
        if (line == 4 && memcmp(lines->held->str, "bad\n", 4) == 0) {
            gw_error_set(error, GW_ERR_FORBIDDEN, NULL, "a bad line");
            return FALSE;
        }
        g_byte_array_append(out, (const guint8 *)lines->held->str, (guint)line);
        g_string_erase(lines->held, 0, (gssize)line);
    }
    return TRUE;
}

static void lines_free(gpointer filter)
{
    Lines *lines = filter;

    ++*lines->freed;
    g_string_free(lines->held, TRUE);
    g_free(lines);
}

static GwPumpFilter lines_filter(guint *freed)
{
    Lines *lines = g_new(Lines, 1);

    *lines = (Lines){ g_string_new(NULL), freed };
    return (GwPumpFilter){ lines_pass, lines_free, lines };
}

static char *read_what_is_there(Bench *bench, int fd)
{
    char text[256];

    world_turns(bench->world, 50);
    ssize_t got = recv(fd, text, sizeof text, MSG_DONTWAIT);
    return g_strndup(text, got > 0 ? (gsize)got : 0);
}

static void test_filter_holds_back_and_refuses(void **state)
{
    Bench *bench = *state;
    Pipe *pipe = pipe_new(bench);
    guint freed = 0;

    pipe->to_socket = lines_filter(&freed);
    pipe_open(pipe, "vm");
    assert_int_equal(send(pipe->near, "go", 2, 0), 2);
    g_autofree char *nothing = read_what_is_there(bench, pipe->program);
    assert_string_equal(nothing, "");
    assert_int_equal(send(pipe->near, "od\nmo", 5, 0), 5);
    g_autofree char *line = read_what_is_there(bench, pipe->program);
    assert_string_equal(line, "good\n");
    assert_int_equal(send(pipe->near, "re\nbad\nlater\n", 13, 0), 13);
    world_until(bench->world, is_done, &pipe->seen);
    g_autofree char *after = read_what_is_there(bench, pipe->program);
    assert_string_equal(after, ""); /* nothing of what came together with it */
    assert_int_equal(pipe->seen.code, GW_ERR_FORBIDDEN);
    world_until(bench->world, is_done, &pipe->near_seen);
    assert_int_equal(pipe->near_seen.code, GW_ERR_FORBIDDEN);
    assert_string_equal(pipe->near_seen.message, "a bad line");
    assert_int_equal(freed, 1);
}

static void test_filter_on_the_way_out(void **state)
{
    Bench *bench = *state;
    Pipe *pipe = pipe_new(bench);
    guint freed = 0;

    pipe->near_to_stream = lines_filter(&freed);
    pipe_open(pipe, "vm");
    assert_int_equal(send(pipe->near, "one\ntw", 6, 0), 6);
    g_autofree char *first = read_what_is_there(bench, pipe->program);
    assert_string_equal(first, "one\n");
    assert_int_equal(send(pipe->near, "o\n", 2, 0), 2);
    g_autofree char *second = read_what_is_there(bench, pipe->program);
    assert_string_equal(second, "two\n");
    assert_int_equal(send(pipe->near, "bad\n", 4, 0), 4);
    world_until(bench->world, is_done, &pipe->near_seen);
    assert_int_equal(pipe->near_seen.code, GW_ERR_FORBIDDEN);
    assert_int_equal(freed, 1);
}

/* A packet larger than the window, held back until it is whole, does not stand still. */
static void test_filter_larger_than_window(void **state)
{
    Bench *bench = *state;
    Pipe *pipe = pipe_new(bench);
    static guint freed; /* the filter goes with the pump, after this has returned */
    gsize length = 3 * MIB, at = 0, came = 0;
    g_autofree char *text = g_strnfill(length, 'a');
    g_autofree char *into = g_malloc(65536);

    pipe->to_socket = lines_filter(&freed);
    pipe_open(pipe, "vm");
    text[length - 1] = '\n';
    gint64 late_us = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    while (came < length) {
        ssize_t put = at < length ? send(pipe->near, text + at, length - at, MSG_DONTWAIT) : 0;
        at += put > 0 ? (gsize)put : 0;
        ssize_t got = recv(pipe->program, into, 65536, MSG_DONTWAIT);
        came += got > 0 ? (gsize)got : 0;
        gw_loop_turn(bench->world->loop, 1);
        assert_true(g_get_monotonic_time() < late_us);
    }
    assert_int_equal(came, length);
}

/* Ends without a socket ----------------------------------------------------------------------- */

static void test_echo(void **state)
{
    Bench *bench = *state;
    Pipe *pipe = pipe_new(bench);
    Half writer = WRITES(&pipe->near, 5, 8 * MIB), reader = READS(&pipe->near, 5);

    pipe->echo = TRUE;
    pipe_open(pipe, NULL);
    run(bench, &writer, 1, &reader, 1);
    assert_int_equal(reader.at, 8 * MIB);
    world_until(bench->world, is_done, &pipe->seen);
    assert_int_equal(pipe->seen.code, -1);
    assert_int_equal(pipe->seen.written_bytes, 8 * MIB);
    assert_int_equal(pipe->seen.read_bytes, 8 * MIB);
}

static void test_discard(void **state)
{
    Bench *bench = *state;
    Pipe *pipe = pipe_new(bench);
    Half writer = WRITES(&pipe->near, 5, 8 * MIB), reader = READS(&pipe->near, 5);

    pipe->discard = TRUE;
    pipe_open(pipe, NULL);
    run(bench, &writer, 1, &reader, 1);
    assert_int_equal(reader.at, 0);
    world_until(bench->world, is_done, &pipe->seen);
    assert_int_equal(pipe->seen.code, -1);
    assert_int_equal(pipe->seen.written_bytes, 8 * MIB);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_both_ways),
        CASE(test_half_close),
        CASE(test_nothing_at_all),
        CASE(test_written_and_gone),
        CASE(test_killed),
        CASE(test_reader_killed),
        CASE(test_copy_sees_the_end),
        CASE(test_refused),
        CASE(test_session_ends),
        CASE(test_stalled_reader),
        CASE(test_no_busy_loop),
        CASE(test_filter_holds_back_and_refuses),
        CASE(test_filter_on_the_way_out),
        CASE(test_filter_larger_than_window),
        CASE(test_echo),
        CASE(test_discard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
