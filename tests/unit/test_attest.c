/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/attest.h"
#include "folder.h"

/* The process table: a made-up one with everything that a real one shows once a year, and the real
 * one with real processes. */

#define VM "0b6d3e2c-3f29-4d9f-8a52-1d2a3b4c5d6e"
#define OTHER "1b6d3e2c-3f29-4d9f-8a52-1d2a3b4c5d6e"
#define QEMU "/usr/bin/qemu-system-x86_64"
#define ARGS(uuid) QEMU "\0-name\0guest=web1\0-uuid\0" uuid "\0-S"

static void put(const char *folder, int pid, const char *name, const char *text, gsize length)
{
    g_autofree char *dir = g_strdup_printf("%s/%d", folder, pid);
    g_autofree char *path = g_build_filename(dir, name, NULL);

    g_mkdir(dir, 0755);
    assert_true(g_file_set_contents(path, text, (gssize)length, NULL));
}

static void put_stat(const char *folder, int pid, const char *comm, char process_state, int threads,
                     int start)
{
    g_autofree char *text =
        g_strdup_printf("%d (%s) %c 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 %d 0 %d 1 1", pid, comm,
                        process_state, threads, start);
    put(folder, pid, "stat", text, strlen(text));
}

static void put_process(const char *folder, int pid, const char *comm, const char *line,
                        gsize length)
{
    put_stat(folder, pid, comm, 'S', 5, 1000 + pid);
    put(folder, pid, "cmdline", line, length);
}
#define PUT(folder, pid, comm, line) put_process(folder, pid, comm, line, sizeof(line))

static int setup(void **state)
{
    char *folder = g_dir_make_tmp("godwit-proc-XXXXXX", NULL);

    *state = folder;
    if (folder == NULL)
        return 1;
    PUT(folder, 1, "init", "/sbin/init");
    put_stat(folder, 2, "kthreadd", 'S', 1, 1);
    put(folder, 2, "cmdline", "", 0);
    PUT(folder, 300, "bash", "bash\0-c\0echo -uuid " VM);
    g_autofree char *odd = g_build_filename(folder, "self", NULL);
    g_mkdir(odd, 0755);
    return 0;
}

static int count(const char *folder, const char *uuid)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) found = gw_attest_processes(folder, uuid, &error);

    assert_true((found == NULL) == (error != NULL));
    return found != NULL ? (int)found->len : -1;
}

static void test_finds_its_vm(void **state)
{
    const char *folder = *state;

    assert_int_equal(count(folder, VM), 0);
    PUT(folder, 400, "qemu-system-x86", ARGS(VM));
    assert_int_equal(count(folder, VM), 1);
    assert_int_equal(count(folder, OTHER), 0);
    /* libvirt gives it in lower case; others may not. */
    PUT(folder, 401, "qemu-system-x86", ARGS("1B6D3E2C-3F29-4D9F-8A52-1D2A3B4C5D6E"));
    assert_int_equal(count(folder, OTHER), 1);
    PUT(folder, 402, "odd) S 1 (name", "qemu-kvm\0-uuid\0" VM);
    assert_int_equal(count(folder, VM), 2);
    g_autoptr(GArray) found = gw_attest_processes(folder, VM, NULL);
    for (guint i = 0; i < found->len; i++) {
        const GwVmProcess *each = &g_array_index(found, GwVmProcess, i);
        assert_int_equal(each->start_ticks, 1000 + each->pid);
    }
    /* The words alone, or as the value of something else, are not it. */
    PUT(folder, 403, "qemu-img", "qemu-img\0info\0-uuid");
    PUT(folder, 404, "qemu-system-x86", QEMU "\0-name\0" VM);
    assert_int_equal(count(folder, VM), 2);
}

static void test_zombies_run_nothing(void **state)
{
    const char *folder = *state;

    PUT(folder, 400, "qemu-system-x86", ARGS(VM));
    put_stat(folder, 400, "qemu-system-x86", 'Z', 1, 5);
    put(folder, 400, "cmdline", "", 0);
    assert_int_equal(count(folder, VM), 0);
    /* But one whose threads still live may be any VM. */
    put_stat(folder, 400, "qemu-system-x86", 'Z', 3, 5);
    assert_int_equal(count(folder, VM), -1);
    put_stat(folder, 400, "webserver", 'Z', 3, 5);
    assert_int_equal(count(folder, VM), 0);
}

static void test_cannot_tell_is_not_absence(void **state)
{
    const char *folder = *state;
    g_autofree char *path = g_build_filename(folder, "400", "stat", NULL);
    g_autofree char *exe = g_build_filename(folder, "400", "exe", NULL);
    g_autofree char *init = g_build_filename(folder, "1", NULL);

    /* An emulator that shows no arguments. */
    put_stat(folder, 400, "qemu-system-x86", 'S', 5, 5);
    put(folder, 400, "cmdline", "", 0);
    assert_int_equal(symlink(QEMU, exe), 0);
    assert_int_equal(count(folder, VM), -1);
    g_unlink(exe);
    assert_int_equal(count(folder, VM), -1); /* its leader gave the memory back, its threads not */
    put_stat(folder, 400, "qemu-system-x86", 'S', 1, 5);
    assert_int_equal(count(folder, VM), 0); /* a kernel thread, or one that is ending */
    /* A status that is none. */
    assert_true(g_file_set_contents(path, "400 (qemu", -1, NULL));
    assert_int_equal(count(folder, VM), -1);
    g_unlink(path);
    assert_int_equal(count(folder, VM), 0); /* it has gone */
    /* A file that cannot be read. */
    PUT(folder, 400, "qemu-system-x86", ARGS(VM));
    g_autofree char *line = g_build_filename(folder, "400", "cmdline", NULL);
    g_unlink(line);
    assert_int_equal(g_mkdir(line, 0755), 0);
    assert_int_equal(count(folder, VM), -1);
    g_rmdir(line);
    assert_int_equal(count(folder, VM), 0);
    /* A table that hides what others run. */
    folder_remove(init);
    assert_int_equal(count(folder, VM), -1);
    assert_int_equal(count("/nonexistent", VM), -1);
}

static void test_whose_listener(void **state)
{
    const char *folder = *state;

    PUT(folder, 400, "qemu-system-x86", ARGS(VM));
    assert_true(gw_attest_is_vm(folder, 400, VM));
    assert_false(gw_attest_is_vm(folder, 400, OTHER));
    assert_false(gw_attest_is_vm(folder, 300, VM));
    assert_false(gw_attest_is_vm(folder, 999, VM));
}

/* Real processes ------------------------------------------------------------------------------- */

/* A process that looks like a VM: this program's "sleep" under another name. */
static pid_t start_vm(const char *uuid)
{
    int ready[2];
    char byte = 0;

    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(ready[0]);
        /* Closed by exec: tells that the arguments are there. */
        fcntl(ready[1], F_SETFD, FD_CLOEXEC);
        execl("/bin/sh", "qemu-system-test", "-c", "read line", "-uuid", uuid, NULL);
        _exit(127);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 0);
    close(ready[0]);
    return pid;
}

static void end_vm(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void test_real(void **state)
{
    g_autofree char *uuid = g_uuid_string_random();
    int stdin_copy = dup(0), lock[2];

    /* So that the shell's read waits. */
    assert_int_equal(pipe(lock), 0);
    dup2(lock[0], 0);
    assert_int_equal(count("/proc", uuid), 0);
    pid_t pid = start_vm(uuid);
    dup2(stdin_copy, 0);
    close(stdin_copy);
    assert_int_equal(count("/proc", uuid), 1);
    g_autoptr(GArray) found = gw_attest_processes("/proc", uuid, NULL);
    GwVmProcess process = g_array_index(found, GwVmProcess, 0);
    assert_int_equal(process.pid, pid);

    gw_attest_keep_own("/proc", found); /* of our own namespace: stays */
    assert_int_equal(found->len, 1);

    int fd = gw_attest_watch("/proc", &process);
    assert_true(fd >= 0);
    struct pollfd wait = { fd, POLLIN, 0 };
    assert_int_equal(poll(&wait, 1, 50), 0);
    kill(pid, SIGKILL);
    assert_int_equal(poll(&wait, 1, 5000), 1);
    assert_int_equal(count("/proc", uuid), 0); /* a zombie until it is waited for */
    waitpid(pid, NULL, 0);
    close(fd);
    assert_int_equal(gw_attest_watch("/proc", &process), -1);
    assert_int_equal(errno, ESRCH);
    close(lock[0]);
    close(lock[1]);
}

static void test_pid_reuse(void **state)
{
    g_autofree char *uuid = g_uuid_string_random();
    int stdin_copy = dup(0), lock[2];

    assert_int_equal(pipe(lock), 0);
    dup2(lock[0], 0);
    pid_t pid = start_vm(uuid);
    dup2(stdin_copy, 0);
    close(stdin_copy);
    g_autoptr(GArray) found = gw_attest_processes("/proc", uuid, NULL);
    assert_int_equal(found->len, 1);
    GwVmProcess process = g_array_index(found, GwVmProcess, 0);
    /* The same number, of another process. */
    process.start_ticks--;
    assert_int_equal(gw_attest_watch("/proc", &process), -1);
    assert_int_equal(errno, ESRCH);
    end_vm(pid);
    close(lock[0]);
    close(lock[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_finds_its_vm, setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_zombies_run_nothing, setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_cannot_tell_is_not_absence, setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_whose_listener, setup, folder_teardown),
        cmocka_unit_test(test_real),
        cmocka_unit_test(test_pid_reuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
