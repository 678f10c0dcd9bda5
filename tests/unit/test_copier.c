/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/copier.h"

/* Copies of real files between two copiers on a socket pair, each in a thread of its own; and other
 * ends that do as they please. */

#define MIB ((guint64)1024 * 1024)

typedef struct {
    char *folder;
    int from, to; /* files */
} World;

/* Files ---------------------------------------------------------------------------------------- */

static int new_file(const World *world, const char *name, guint64 length)
{
    g_autofree char *path = g_build_filename(world->folder, name, NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)length), 0);
    return fd;
}

static guint8 *some_bytes(gsize length, guint32 seed)
{
    guint8 *bytes = g_malloc(length);

    for (gsize i = 0; i < length; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (guint8)(seed >> 24) | 1; /* no zeros */
    }
    return bytes;
}

static void put(int fd, guint64 offset, gsize length, guint32 seed)
{
    g_autofree guint8 *bytes = some_bytes(length, seed);

    assert_int_equal(pwrite(fd, bytes, length, (off_t)offset), length);
}

static guint64 allocated(int fd)
{
    struct stat st;

    assert_int_equal(fsync(fd), 0); /* delayed allocation counts late */
    assert_int_equal(fstat(fd, &st), 0);
    return (guint64)st.st_blocks * 512;
}

static guint64 length_of(int fd)
{
    return (guint64)lseek(fd, 0, SEEK_END);
}

static void assert_same(int a, int b)
{
    g_autofree guint8 *one = g_malloc(MIB), *two = g_malloc(MIB);
    guint64 length = length_of(a);

    assert_int_equal(length_of(b), length);
    for (guint64 at = 0; at < length; at += MIB) {
        ssize_t n = pread(a, one, MIB, (off_t)at);
        assert_true(n > 0);
        assert_int_equal(pread(b, two, MIB, (off_t)at), n);
        assert_memory_equal(one, two, (gsize)n);
    }
}

/* Two ends ------------------------------------------------------------------------------------- */

typedef struct {
    GwCopierTask task;
    int file, other;
    GwCopierWatch watch;
    GwCopierFigures figures;
    GError *error;
    gboolean ok;
    guint told;
    int cut; /* a socket that is broken when so much was done; -1 */
    guint64 cut_at;
} End;

static void on_progress(const GwCopierFigures *figures, gpointer user)
{
    End *end = user;

    end->told++;
    if (end->cut >= 0 && figures->position >= end->cut_at)
        shutdown(end->cut, SHUT_RDWR);
}

static gpointer run_end(gpointer data)
{
    End *end = data;

    end->watch = (GwCopierWatch){ on_progress, end };
    end->ok =
        gw_copier_run(&end->task, end->file, end->other, &end->watch, &end->figures, &end->error);
    if (end->task.role != GW_COPIER_LOCAL)
        close(end->other);
    return NULL;
}

static void clear_end(End *end)
{
    gw_copier_figures_clear(&end->figures);
    g_clear_error(&end->error);
}

typedef struct {
    End send, receive;
} Copy;

static void init(Copy *copy, const World *world)
{
    *copy = (Copy){ .send = { .task = { .role = GW_COPIER_SEND }, .file = world->from, .cut = -1 },
                    .receive = {
                        .task = { .role = GW_COPIER_RECEIVE }, .file = world->to, .cut = -1 } };
}

static void run(Copy *copy)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    copy->send.other = pair[0];
    copy->receive.other = pair[1];
    GThread *sender = g_thread_new("send", run_end, &copy->send);
    run_end(&copy->receive);
    g_thread_join(sender);
}

static void assert_copied(const Copy *copy, const World *world)
{
    if (!copy->send.ok || !copy->receive.ok)
        fail_msg("%s / %s", copy->send.error != NULL ? copy->send.error->message : "sent",
                 copy->receive.error != NULL ? copy->receive.error->message : "received");
    assert_true(copy->receive.figures.verified && copy->send.figures.verified);
    assert_string_equal(copy->send.figures.digest, copy->receive.figures.digest);
    assert_same(world->from, world->to);
}

static void done(Copy *copy)
{
    clear_end(&copy->send);
    clear_end(&copy->receive);
}

static int setup(void **state)
{
    World *world = g_new0(World, 1);

    world->folder = g_dir_make_tmp("godwit-copier-XXXXXX", NULL);
    assert_non_null(world->folder);
    world->from = new_file(world, "from", 0);
    world->to = new_file(world, "to", 0);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    World *world = *state;
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", world->folder);

    close(world->from);
    close(world->to);
    assert_int_equal(system(command), 0);
    g_free(world->folder);
    g_free(world);
    return 0;
}

/* Content -------------------------------------------------------------------------------------- */

/* 200 MiB, of which 3 MiB and a bit are data, in pieces that lie across blocks and windows. */
static void fill_sparse(int fd)
{
    assert_int_equal(ftruncate(fd, (off_t)(200 * MIB + 777)), 0);
    put(fd, 0, 4096, 1);
    put(fd, 5 * MIB - 8192, 16384, 2);
    put(fd, 64 * MIB - 1, MIB + 2, 3);
    put(fd, 130 * MIB, 2 * MIB, 4);
    put(fd, 200 * MIB + 700, 77, 5);
}

static void sparse_stays_sparse(void **state)
{
    World *world = *state;
    Copy copy;

    fill_sparse(world->from);
    init(&copy, world);
    run(&copy);
    assert_copied(&copy, world);
    assert_true(allocated(world->to) <= allocated(world->from) * 105 / 100);
    assert_true(copy.send.figures.sent < 4 * MIB);
    assert_true(copy.receive.figures.written < 4 * MIB);
    assert_int_equal(copy.send.figures.total, 200 * MIB + 777);
    assert_int_equal(copy.receive.figures.position, 200 * MIB + 777);
    done(&copy);
}

/* Zeros that are stored become a hole, and old content where there are none now is gone. */
static void zeros_become_holes(void **state)
{
    World *world = *state;
    g_autofree guint8 *zeros = g_malloc0(8 * MIB);
    Copy copy;

    assert_int_equal(pwrite(world->from, zeros, 8 * MIB, 0), 8 * MIB);
    put(world->from, 3 * MIB + 4096, 4096, 7);
    put(world->to, 0, 12 * MIB, 8); /* longer, and full */
    init(&copy, world);
    run(&copy);
    assert_copied(&copy, world);
    assert_true(allocated(world->to) <= 64 * 1024);
    assert_int_equal(copy.receive.figures.written, 4096);
    done(&copy);
}

static void sizes_at_edges(void **state)
{
    static const guint64 sizes[] = {
        0, 1, 4095, 4096, MIB - 1, MIB, MIB + 1, 64 * MIB, 64 * MIB + 1
    };
    World *world = *state;

    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        Copy copy;
        assert_int_equal(ftruncate(world->from, 0), 0);
        if (sizes[i] > 0)
            put(world->from, 0, sizes[i], i);
        init(&copy, world);
        copy.receive.task.length = sizes[i];
        run(&copy);
        assert_copied(&copy, world);
        done(&copy);
    }
}

/* Only what differs goes over the wire; what is behind the new end goes. */
static void delta_sends_what_differs(void **state)
{
    World *world = *state;
    Copy copy;

    for (guint i = 0; i < 300; i++) { /* several windows of digests, and more than go ahead */
        put(world->from, i * MIB, MIB, i);
        put(world->to, i * MIB, MIB, i == 17 || i == 299 ? 1000 + i : i);
    }
    put(world->from, 300 * MIB, 100, 5);
    put(world->to, 300 * MIB, 100, 5);
    init(&copy, world);
    copy.receive.task.delta = TRUE;
    run(&copy);
    assert_copied(&copy, world);
    assert_int_equal(copy.send.figures.same, 298 * MIB + 100);
    assert_int_equal(copy.receive.figures.same, 298 * MIB + 100);
    assert_int_equal(copy.receive.figures.written, 2 * MIB);
    assert_true(copy.send.figures.sent < 2 * MIB + 65536);
    done(&copy);
}

/* The old copy is shorter, longer, or has a hole where there is content now, and the reverse. */
static void delta_of_another_shape(void **state)
{
    static const guint64 had[] = { 0, MIB / 2, 3 * MIB, 5 * MIB + 3, 9 * MIB };
    World *world = *state;

    fill_sparse(world->from);
    for (guint i = 0; i < G_N_ELEMENTS(had); i++) {
        Copy copy;
        assert_int_equal(ftruncate(world->to, 0), 0);
        if (had[i] > 0)
            put(world->to, 0, had[i], 40 + i);
        init(&copy, world);
        copy.receive.task.delta = TRUE;
        run(&copy);
        assert_copied(&copy, world);
        assert_true(allocated(world->to) <= allocated(world->from) * 105 / 100);
        done(&copy);
    }
}

/* Broken half-way; begun again it goes on, and is right even where the idea of how far it got is
 * wrong. */
static void resumes(void **state)
{
    World *world = *state;
    Copy copy;

    for (guint i = 0; i < 96; i++)
        put(world->from, i * MIB, MIB, i);
    init(&copy, world);
    copy.send.task.bytes_per_s = 160 * MIB; /* so that the watch is asked on the way */
    copy.send.cut_at = 32 * MIB;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    copy.send.other = copy.send.cut = pair[0];
    copy.receive.other = pair[1];
    GThread *sender = g_thread_new("send", run_end, &copy.send);
    run_end(&copy.receive);
    g_thread_join(sender);
    assert_false(copy.send.ok);
    assert_false(copy.receive.ok);
    unit_assert_error(copy.receive.error, GW_ERR_UNREACHABLE, "broke");
    guint64 reached = copy.receive.figures.position;
    assert_true(reached >= 16 * MIB && reached < 96 * MIB);
    done(&copy);

    put(world->to, 3 * MIB + 5, 10, 99); /* a wrong idea of what is there */
    init(&copy, world);
    copy.receive.task.resume_bytes = reached;
    run(&copy);
    assert_copied(&copy, world);
    assert_true(copy.send.figures.same >= reached - 2 * MIB);
    assert_true(copy.send.figures.sent <= 96 * MIB - reached + 3 * MIB);
    done(&copy);
}

static void limit_is_kept(void **state)
{
    World *world = *state;
    Copy copy;

    put(world->from, 0, 6 * MIB, 1);
    init(&copy, world);
    copy.send.task.bytes_per_s = 12 * MIB;
    gint64 began_us = g_get_monotonic_time();
    run(&copy);
    assert_copied(&copy, world);
    /* Half a second's worth, less the burst; slower is nobody's fault. */
    assert_true(g_get_monotonic_time() - began_us >= 350 * 1000);
    done(&copy);
}

/* Failures ------------------------------------------------------------------------------------- */

static void length_is_checked(void **state)
{
    World *world = *state;
    Copy copy;

    put(world->from, 0, 5000, 1);
    init(&copy, world);
    copy.receive.task.length = 6000;
    run(&copy);
    assert_false(copy.send.ok || copy.receive.ok);
    unit_assert_error(copy.receive.error, GW_ERR_CONFLICT, "6000 were expected");
    /* The sender hears why. */
    unit_assert_error(copy.send.error, GW_ERR_CONFLICT, "the other host: ");
    assert_int_equal(length_of(world->to), 0);
    done(&copy);
}

static void destination_runs_full(void **state)
{
    World *world = *state;
    g_autofree char *mounted = g_build_filename(world->folder, "small", NULL);
    Copy copy;

    assert_int_equal(g_mkdir(mounted, 0700), 0);
    if (mount("none", mounted, "tmpfs", 0, "size=8m") != 0) {
        print_message("cannot mount a small file system: %s\n", g_strerror(errno));
        skip();
    }
    int full = new_file(world, "small/to", 0);
    for (guint i = 0; i < 64; i++)
        put(world->from, i * MIB, MIB, i);
    init(&copy, world);
    copy.receive.file = full;
    run(&copy);
    close(full);
    umount2(mounted, MNT_DETACH);
    assert_false(copy.send.ok || copy.receive.ok);
    unit_assert_error(copy.receive.error, GW_ERR_OPERATION, g_strerror(ENOSPC));
    unit_assert_error(copy.send.error, GW_ERR_OPERATION, g_strerror(ENOSPC));
    done(&copy);
}

typedef struct {
    int fd;
    guint64 at;
} Meddler;

static void meddle(const GwCopierFigures *figures, gpointer user)
{
    const Meddler *meddler = user;
    put(meddler->fd, meddler->at, 10, 123);
}

static void source_changes(void **state)
{
    World *world = *state;
    Copy copy;
    int pair[2];

    for (guint i = 0; i < 80; i++)
        put(world->from, i * MIB, MIB, i);
    init(&copy, world);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    copy.receive.other = pair[0];
    GThread *receiver = g_thread_new("receive", run_end, &copy.receive);
    Meddler meddler = { world->from, 2 * MIB };
    const GwCopierWatch watch = { meddle, &meddler };
    copy.send.ok = gw_copier_run(&copy.send.task, world->from, pair[1], &watch, &copy.send.figures,
                                 &copy.send.error);
    close(pair[1]);
    g_thread_join(receiver);
    assert_false(copy.send.ok || copy.receive.ok);
    unit_assert_error(copy.send.error, GW_ERR_CONFLICT, "changed while it was copied");
    unit_assert_error(copy.receive.error, GW_ERR_CONFLICT, "changed while it was copied");
    done(&copy);
}

static void no_files_of_other_kinds(void **state)
{
    World *world = *state;
    Copy copy;

    init(&copy, world);
    copy.send.file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    run(&copy);
    close(copy.send.file);
    assert_false(copy.send.ok || copy.receive.ok);
    unit_assert_error(copy.send.error, GW_ERR_INVALID, "neither a regular file nor");
    done(&copy);
}

/* Hostile ends --------------------------------------------------------------------------------- */

static void run_against(End *end, const guint8 *bytes, gsize length)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(send(pair[1], bytes, length, MSG_NOSIGNAL), length);
    shutdown(pair[1], SHUT_WR);
    end->other = pair[0];
    run_end(end);
    close(pair[1]);
}

typedef struct {
    const char *what, *says;
    GwErrorCode code;
    guint8 bytes[256];
    gsize length;
} Hostile;

#define BEGIN(length)                                                                              \
    1, 0, 0, 0, 0, 0, 0, 16, 0, 1, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, length

static void hostile_senders(void **state)
{
    static const Hostile cases[] = {
        { "nothing", "broke", GW_ERR_UNREACHABLE, { 0 }, 0 },
        { "a cut header", "broke", GW_ERR_UNREACHABLE, { 1, 0, 0 }, 3 },
        { "no type", "unknown type", GW_ERR_INVALID, { 77, 0, 0, 0, 0, 0, 0, 0 }, 8 },
        { "a reserved byte", "reserved", GW_ERR_INVALID, { 1, 0, 1, 0, 0, 0, 0, 16 }, 8 },
        { "too long", "length that it cannot", GW_ERR_INVALID, { 4, 0, 0, 0, 0x7f, 0, 0, 0 }, 8 },
        { "no begin", "does not begin", GW_ERR_INVALID, { 8, 0, 0, 0, 0, 0, 0, 8 }, 16 },
        { "another version",
          "version 9",
          GW_ERR_UNSUPPORTED,
          { 1, 0, 0, 0, 0, 0, 0, 16, 0, 9, 0, 0, 0, 0x10, 0, 0 },
          24 },
        { "an endless file",
          "too long",
          GW_ERR_INVALID,
          { 1, 0, 0, 0, 0, 0, 0, 16, 0, 1, 0, 0, 0, 0x10, 0, 0, 0xff },
          24 },
        { "a gap",
          "a gap",
          GW_ERR_INVALID,
          { BEGIN(100), 4, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 5, 'x' },
          24 + 17 },
        { "behind the end",
          "more than the file",
          GW_ERR_INVALID,
          { BEGIN(100), 5, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 101 },
          48 },
        { "an offset that wraps",
          "outside of any file",
          GW_ERR_INVALID,
          { BEGIN(100), 5, 0, 0, 0,   0,   0,   0,   16,  0,   0,   0,  0,
            0,          0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255 },
          48 },
        { "the same as nothing",
          "no digest of",
          GW_ERR_INVALID,
          { BEGIN(100), 6, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100 },
          48 },
        { "a receiver's frame",
          "not its turn",
          GW_ERR_INVALID,
          { BEGIN(100), 2, 0, 0, 0, 0, 0, 0, 8 },
          24 + 16 },
        { "a reason",
          "the other host: it burns",
          GW_ERR_OPERATION,
          { BEGIN(100), 10,  0,   0,   0,   0,   0,   0, 12,  255, 'i',
            't',        ' ', 'b', 'u', 'r', 'n', 's', 0, 'r', 'u' },
          24 + 8 + 12 },
    };
    World *world = *state;

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        End end = { .task = { .role = GW_COPIER_RECEIVE }, .file = world->to, .cut = -1 };
        run_against(&end, cases[i].bytes, cases[i].length);
        if (end.ok || end.error->code != (int)cases[i].code ||
            strstr(end.error->message, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].what, end.ok ? "taken" : end.error->message);
        clear_end(&end);
    }
}

/* It says that it has what it was sent, with a digest of something else. */
static void lying_receiver(void **state)
{
    World *world = *state;
    End end = { .task = { .role = GW_COPIER_SEND }, .file = world->from, .cut = -1 };
    guint8 bytes[2 * GW_COPY_PUT_MAX];
    g_autofree char *zeros = g_strnfill(64, '0'), *digest = g_strconcat("blake2b:", zeros, NULL);

    put(world->from, 0, 1000, 1);
    gsize length = gw_copy_put_number(bytes, GW_COPY_READY, 0);
    length += gw_copy_put_digest(bytes + length, GW_COPY_DONE, 1000, digest);
    run_against(&end, bytes, length);
    assert_false(end.ok);
    assert_false(end.figures.verified);
    /* Heard before its turn, or after: never taken for success. */
    assert_true(end.error->code == GW_ERR_OPERATION || end.error->code == GW_ERR_INVALID);
    clear_end(&end);
}

static void hostile_receivers(void **state)
{
    World *world = *state;
    guint8 bytes[GW_COPY_PUT_MAX + 32];
    End end = { .task = { .role = GW_COPIER_SEND }, .file = world->from, .cut = -1 };

    put(world->from, 0, 3 * MIB, 1);
    run_against(&end, bytes, gw_copy_put_number(bytes, GW_COPY_READY, 5)); /* no block's end */
    unit_assert_error(end.error, GW_ERR_INVALID, "breaks the protocol");
    clear_end(&end);
    run_against(&end, bytes, gw_copy_put_number(bytes, GW_COPY_READY, 99 * MIB));
    unit_assert_error(end.error, GW_ERR_INVALID, "breaks the protocol");
    clear_end(&end);
    /* One digest where two were announced. */
    gsize length = gw_copy_put_number(bytes, GW_COPY_READY, 2 * MIB);
    length += gw_copy_put_bytes(bytes + length, GW_COPY_DIGESTS, 0, 32);
    memset(bytes + length, 7, 32);
    run_against(&end, bytes, length + 32);
    unit_assert_error(end.error, GW_ERR_INVALID, "breaks the protocol");
    clear_end(&end);
}

/* Within one host ------------------------------------------------------------------------------ */

static void run_local(World *world, End *end, int how)
{
    end->task = (GwCopierTask){ .role = GW_COPIER_LOCAL, .how = how, .delta = end->task.delta };
    end->file = world->from;
    end->other = world->to;
    end->cut = -1;
    run_end(end);
}

static void local_copy(void **state)
{
    World *world = *state;
    End end = { 0 };

    fill_sparse(world->from);
    put(world->to, 0, 7 * MIB, 9);
    run_local(world, &end, GW_COPIER_COPY);
    if (!end.ok)
        fail_msg("%s", end.error->message);
    assert_same(world->from, world->to);
    assert_true(end.figures.verified);
    assert_non_null(end.figures.digest);
    assert_true(allocated(world->to) <= allocated(world->from) * 105 / 100);
    clear_end(&end);

    put(world->from, 130 * MIB + 5, 10, 77);
    end.task.delta = TRUE;
    run_local(world, &end, GW_COPIER_FAST);
    assert_true(end.ok);
    assert_same(world->from, world->to);
    assert_true(end.figures.same > 2 * MIB);
    assert_true(end.figures.written <= MIB);
    clear_end(&end);
}

/* On a file system that can: shared. On one that cannot: what the kernel said; and the best there
 * is gives a true copy either way. */
static void reflink_or_not(void **state)
{
    World *world = *state;
    End end = { 0 };

    fill_sparse(world->from);
    run_local(world, &end, GW_COPIER_REFLINK);
    if (end.ok) {
        assert_string_equal(end.figures.how, "reflink");
        assert_same(world->from, world->to);
    } else {
        unit_assert_error(end.error, GW_ERR_UNSUPPORTED, "no reflink: ");
    }
    gboolean can = end.ok;
    clear_end(&end);
    run_local(world, &end, GW_COPIER_FAST);
    assert_true(end.ok);
    assert_same(world->from, world->to);
    assert_string_equal(end.figures.how, can ? "reflink" : "read and written on the host");
    clear_end(&end);
}

/* Reports -------------------------------------------------------------------------------------- */

static void reports_come_back(void **state)
{
    GwCopierFigures out = { .read = 1,
                            .sent = 2,
                            .written = 3,
                            .same = 4,
                            .total = 5,
                            .position = 6,
                            .digest = (char *)"blake2b:00",
                            .verified = TRUE,
                            .how = (char *)"x" };
    g_auto(GwCopierFigures) in = { 0 };
    g_autoptr(GError) error = NULL, why = NULL;
    const char *word = NULL;

    gw_error_set(&error, GW_ERR_CONFLICT, "wait", "busy");
    g_autofree char *text = gw_copier_report_put("failed", &out, error);
    assert_true(gw_copier_report_get(text, strlen(text), &word, &in, &why, NULL));
    assert_string_equal(word, "failed");
    assert_true(in.read == 1 && in.sent == 2 && in.written == 3 && in.same == 4 && in.total == 5 &&
                in.position == 6 && in.verified);
    assert_string_equal(in.digest, "blake2b:00");
    unit_assert_error(why, GW_ERR_CONFLICT, "busy");

    static const char negative[] = "{\"state\":\"done\",\"read\":-1,\"sent\":0,\"written\":0,"
                                   "\"same\":0,\"total\":0,\"position\":0}";
    const char *const bad[] = { "",      "[]", "{}", "{\"state\":\"odd\"}", "{\"state\":\"done\"}",
                                negative };
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) refused = NULL;
        assert_false(gw_copier_report_get(bad[i], strlen(bad[i]), &word, &in, &why, &refused));
        assert_non_null(refused);
    }
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(sparse_stays_sparse),
        CASE(zeros_become_holes),
        CASE(sizes_at_edges),
        CASE(delta_sends_what_differs),
        CASE(delta_of_another_shape),
        CASE(resumes),
        CASE(limit_is_kept),
        CASE(length_is_checked),
        CASE(destination_runs_full),
        CASE(source_changes),
        CASE(no_files_of_other_kinds),
        CASE(hostile_senders),
        CASE(lying_receiver),
        CASE(hostile_receivers),
        CASE(local_copy),
        CASE(reflink_or_not),
        CASE(reports_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
