/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/copy_starter.h"

/* Copiers as they are: processes of their own, as root in their sandbox. */

#define LENGTH (3 * 1024 * 1024 + 17)

typedef struct {
    char *folder, *empty;
    int from, to;
} World;

static World world;
static int starter;

static int new_file(const char *name)
{
    g_autofree char *path = g_build_filename(world.folder, name, NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    return fd;
}

typedef struct {
    int pidfd, report;
} Copier;

static Copier begin(const GwCopierTask *task, int file, int other)
{
    g_autoptr(GError) error = NULL;
    Copier copier = { .report = -1 };

    copier.pidfd = gw_copy_starter_ask(starter, task, file, other, &copier.report, &error);
    if (copier.pidfd < 0)
        fail_msg("%s", error->message);
    return copier;
}

/* To world.to, from a socket whose other end is *@other. */
static Copier begin_to_receive(const GwCopierTask *task, int *other)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    Copier copier = begin(task, world.to, pair[0]);
    close(pair[0]);
    *other = pair[1];
    return copier;
}

/* The last report; "" where it ended without one. */
static const char *await(Copier *copier, GwCopierFigures *figures, GError **why)
{
    const char *state = "";
    char bytes[GW_COPIER_REPORT_MAX];
    struct pollfd look = { .fd = copier->report, .events = POLLIN };
    ssize_t got = 0;

    while (poll(&look, 1, 20000) == 1 && (got = recv(copier->report, bytes, sizeof bytes, 0)) > 0)
        assert_true(gw_copier_report_get(bytes, (gsize)got, &state, figures, why, NULL));
    look = (struct pollfd){ .fd = copier->pidfd, .events = POLLIN };
    assert_int_equal(poll(&look, 1, 20000), 1);
    close(copier->pidfd);
    close(copier->report);
    return state;
}

static void between_two(void **state)
{
    GwCopierTask send_task = { .role = GW_COPIER_SEND },
                 receive_task = { .role = GW_COPIER_RECEIVE, .length = LENGTH };
    g_auto(GwCopierFigures) sent = { 0 }, received = { 0 };
    g_autoptr(GError) why = NULL;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    Copier sender = begin(&send_task, world.from, pair[0]);
    Copier receiver = begin(&receive_task, world.to, pair[1]);
    close(pair[0]);
    close(pair[1]);
    const char *word = await(&sender, &sent, &why);
    if (strcmp(word, "done") != 0)
        fail_msg("%s: %s", word, why != NULL ? why->message : "no word why");
    assert_string_equal(await(&receiver, &received, &why), "done");
    assert_true(sent.verified && received.verified);
    assert_string_equal(sent.digest, received.digest);
    assert_int_equal(received.written, LENGTH);
    assert_int_equal(lseek(world.to, 0, SEEK_END), LENGTH);
}

static void within_one(void **state)
{
    GwCopierTask task = { .role = GW_COPIER_LOCAL, .how = GW_COPIER_FAST };
    g_auto(GwCopierFigures) figures = { 0 };
    g_autoptr(GError) why = NULL;
    Copier copier = begin(&task, world.from, world.to);
    const char *word = await(&copier, &figures, &why);

    if (strcmp(word, "done") != 0)
        fail_msg("%s: %s", word, why != NULL ? why->message : "no word why");
    assert_int_equal(figures.total, LENGTH);
}

static void says_why_not(void **state)
{
    GwCopierTask task = { .role = GW_COPIER_RECEIVE };
    g_auto(GwCopierFigures) figures = { 0 };
    g_autoptr(GError) why = NULL;
    int other;

    Copier copier = begin_to_receive(&task, &other);
    close(other);
    assert_string_equal(await(&copier, &figures, &why), "failed");
    unit_assert_error(why, GW_ERR_UNREACHABLE, "broke");
}

/* It waits for the other end, which says nothing; it is killed. */
static void can_be_killed(void **state)
{
    GwCopierTask task = { .role = GW_COPIER_RECEIVE };
    g_auto(GwCopierFigures) figures = { 0 };
    int other;

    Copier copier = begin_to_receive(&task, &other);
    assert_int_equal(syscall(SYS_pidfd_send_signal, copier.pidfd, SIGKILL, NULL, 0), 0);
    assert_string_equal(await(&copier, &figures, NULL), "");
    close(other);
}

/* Of what the kernel tells of it: no rights, and its parent's end is its own. */
static void has_no_rights(void **state)
{
    GwCopierTask task = { .role = GW_COPIER_RECEIVE };
    g_auto(GwCopierFigures) figures = { 0 };
    int other;
    char byte = 0;

    if (geteuid() != 0)
        skip();
    Copier copier = begin_to_receive(&task, &other);
    /* Its complaint shows that it is past its sandbox. */
    assert_int_equal(send(other, "\377\0\0\0\0\0\0\0", 8, MSG_NOSIGNAL), 8);
    assert_int_equal(recv(other, &byte, 1, 0), 1);
    g_autofree char *info = g_strdup_printf("/proc/self/fdinfo/%d", copier.pidfd);
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(info, &text, NULL, NULL));
    const char *pid = strstr(text, "Pid:\t");
    assert_non_null(pid);
    g_autofree char *path = g_strdup_printf("/proc/%d/status", atoi(pid + 5));
    g_autofree char *status = NULL;
    assert_true(g_file_get_contents(path, &status, NULL, NULL));
    g_autofree char *link = g_strdup_printf("/proc/%d/root", atoi(pid + 5));
    g_autofree char *root = g_file_read_link(link, NULL);
    assert_null(strstr(status, "\nUid:\t0"));
    assert_non_null(strstr(status, "\nCapPrm:\t0000000000000000\n"));
    assert_non_null(strstr(status, "\nCapBnd:\t0000000000000000\n"));
    assert_non_null(strstr(status, "\nNoNewPrivs:\t1\n"));
    assert_non_null(strstr(status, "\nSeccomp:\t2\n"));
    assert_string_equal(root, world.empty);
    close(other);
    assert_string_equal(await(&copier, &figures, NULL), "failed");
}

/* Last: the starter's end is that of all copiers. */
static void ends_with_its_parent(void **state)
{
    GwCopierTask task = { .role = GW_COPIER_RECEIVE };
    g_auto(GwCopierFigures) figures = { 0 };
    g_autoptr(GError) why = NULL;
    int other, report = -1;
    guint8 bytes[GW_COPY_PUT_MAX];
    char byte = 0;

    if (geteuid() != 0)
        skip();
    Copier copier = begin_to_receive(&task, &other);
    /* Until it answers it may still be on its way into its sandbox. */
    gsize length = gw_copy_put_begin(bytes, 5);
    assert_int_equal(send(other, bytes, length, MSG_NOSIGNAL), length);
    assert_int_equal(recv(other, bytes, GW_COPY_HEADER + 8, MSG_WAITALL), GW_COPY_HEADER + 8);
    close(starter);
    assert_string_equal(await(&copier, &figures, &why), "");
    assert_int_equal(recv(other, &byte, 1, 0), 0);
    close(other);
    assert_int_equal(gw_copy_starter_ask(-1, &task, world.to, world.from, &report, &why), -1);
    unit_assert_error(why, GW_ERR_OPERATION, "cannot be started");
}

static int set_up(void **state)
{
    g_autofree guint8 *bytes = g_malloc(LENGTH);

    memset(bytes, 'x', LENGTH);
    world.from = new_file("from");
    world.to = new_file("to");
    return pwrite(world.from, bytes, LENGTH, 0) == LENGTH ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(between_two),   cmocka_unit_test(within_one),
        cmocka_unit_test(says_why_not),  cmocka_unit_test(can_be_killed),
        cmocka_unit_test(has_no_rights), cmocka_unit_test(ends_with_its_parent),
    };
    g_autoptr(GError) error = NULL;

    world.folder = g_dir_make_tmp("godwit-starter-XXXXXX", NULL);
    world.empty = g_strconcat(world.folder, "/empty", NULL);
    if (g_mkdir(world.empty, 0755) != 0 || g_chmod(world.folder, 0755) != 0)
        return 1;
    const GwCopyStarterConfig config = { .user = geteuid() == 0 ? "nobody" : NULL,
                                         .empty_folder = world.empty };
    starter = gw_copy_starter_fork(&config, -1, &error);
    if (starter < 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, set_up, NULL);
    while (waitpid(-1, NULL, 0) > 0) /* the starter */
        ;
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", world.folder);
    return system(command) == 0 ? failed : 1;
}
