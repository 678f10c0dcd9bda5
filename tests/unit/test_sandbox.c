/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/sandbox.h"
#include "base/error.h"

/* Each try is made twice, in processes of their own: as it is, where it must succeed (or the test
 * would prove nothing), and after the sandbox was entered, where it must fail or kill. */

#define USER "nobody"
#define SUCCEEDED 0
#define FAILED 1
#define NOT_ENTERED 2

static char *folder; /* empty, of root */

typedef struct {
    const char *name;
    int (*try)(void); /* 0 where it can be done */
} Try;

static int in_child(int (*try)(void), gboolean sandboxed)
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        g_autoptr(GError) error = NULL;
        if (sandboxed && !gw_sandbox_enter(USER, folder, &error)) {
            g_printerr("# %s\n", error->message);
            _exit(NOT_ENTERED);
        }
        _exit(try() == 0 ? SUCCEEDED : FAILED);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static int open_passwd(void)
{
    return open("/etc/passwd", O_RDONLY) >= 0 ? 0 : -1;
}
static int open_root(void)
{
    return open("/", O_RDONLY | O_DIRECTORY) >= 0 ? 0 : -1;
}
static int make_file(void)
{
    return creat("/tmp/godwit-sandbox-try", 0600) >= 0 ? unlink("/tmp/godwit-sandbox-try") : -1;
}
static int be_root(void)
{
    return setuid(0);
}
static int be_root_by_number(void)
{
    return (int)syscall(SYS_setresuid, 0, 0, 0);
}
static int run_program(void)
{
    char *const argv[] = { "true", NULL };

    return execve("/bin/true", argv, NULL); /* succeeds by not coming back, with status 0 */
}
static int trace(void)
{
    return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}
static int packet_socket(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0) >= 0 ? 0 : -1;
}
static int raw_socket(void)
{
    return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) >= 0 ? 0 : -1;
}
static int udp_socket(void)
{
    return socket(AF_INET, SOCK_DGRAM, 0) >= 0 ? 0 : -1;
}
static int unix_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ? 0 : -1;
}
static int bind_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    return bind(fd, (struct sockaddr *)&address, sizeof address);
}
static int new_process(void)
{
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    return child > 0 ? 0 : -1;
}
static int new_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) != MAP_FAILED
               ? 0
               : -1;
}
static int code_later(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return mprotect(page, 4096, PROT_READ | PROT_EXEC);
}
static int kill_parent(void)
{
    return kill(getppid(), 0);
}
static int own_mounts(void)
{
    return (int)syscall(SYS_unshare, 0x00020000 /* CLONE_NEWNS */);
}
static int change_root(void)
{
    return chroot("/");
}
static int raise_limit(void)
{
    const struct rlimit limit = { 64, 64 };

    return setrlimit(RLIMIT_NOFILE, &limit);
}
static int dump_again(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}
static int other_memory(void)
{
    char byte = 0;
    struct iovec here = { &byte, 1 };

    return syscall(SYS_process_vm_readv, getpid(), &here, 1UL, &here, 1UL, 0UL) == 1 ? 0 : -1;
}

static const Try forbidden[] = {
    { "open /etc/passwd", open_passwd },
    { "open the root folder", open_root },
    { "make a file", make_file },
    { "setuid(0)", be_root },
    { "setresuid(0)", be_root_by_number },
    { "execve", run_program },
    { "ptrace", trace },
    { "a packet socket", packet_socket },
    { "a raw socket", raw_socket },
    { "a UDP socket", udp_socket },
    { "a unix socket", unix_socket },
    { "bind", bind_port },
    { "fork", new_process },
    { "memory that is written and run", new_code },
    { "memory that becomes code", code_later },
    { "kill another", kill_parent },
    { "namespaces", own_mounts },
    { "chroot", change_root },
    { "setrlimit", raise_limit },
    { "be dumpable again", dump_again },
    { "read another's memory", other_memory },
};

static void test_forbidden(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(forbidden); i++) {
        int before = in_child(forbidden[i].try, FALSE);
        int after = in_child(forbidden[i].try, TRUE);
        gboolean killed = WIFSIGNALED(after) && WTERMSIG(after) == SIGSYS;
        gboolean refused = WIFEXITED(after) && WEXITSTATUS(after) == FAILED;
        if (!WIFEXITED(before) || WEXITSTATUS(before) != SUCCEEDED)
            fail_msg("%s: does not even work outside (%x)", forbidden[i].name, before);
        if (!killed && !refused)
            fail_msg("%s: possible inside (%x)", forbidden[i].name, after);
    }
}

/* What a forwarder does all day, inside. */

static gpointer in_thread(gpointer data)
{
    return g_strdup("from a thread");
}

static int forward(void)
{
    int pair[2] = { -1, -1 }, epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN };
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int tcp6 = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in nowhere = { .sin_family = AF_INET, .sin_port = htons(9) };

    nowhere.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (epoll < 0 || tcp < 0 || (tcp6 < 0 && errno != EAFNOSUPPORT))
        return -1;
    if (connect(tcp, (struct sockaddr *)&nowhere, sizeof nowhere) == 0 ||
        (errno != EINPROGRESS && errno != ECONNREFUSED))
        return -1;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, tcp, &event) != 0 || epoll_wait(epoll, &event, 1, 100) < 0)
        return -1;
    g_autofree char *big = g_malloc(64 * 1024 * 1024);
    memset(big, 1, 64 * 1024 * 1024);
    GThread *thread = g_thread_new("forward", in_thread, NULL);
    g_autofree char *word = g_thread_join(thread);
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    return pair[0] == -1 && word != NULL && now != NULL && big[77] == 1 ? 0 : -1;
}

static void test_allowed(void **state)
{
    int status = in_child(forward, TRUE);

    if (!WIFEXITED(status) || WEXITSTATUS(status) != SUCCEEDED)
        fail_msg("a forwarder cannot work inside (%x)", status);
}

/* From outside: /proc tells what the child kept, while it waits. */
static void test_seen_from_outside(void **state)
{
    int ready[2], go[2];
    char byte = 0;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (!gw_sandbox_enter(USER, folder, NULL) || write(ready[1], "r", 1) != 1)
            _exit(NOT_ENTERED);
        close(go[1]);
        _exit(read(go[0], &byte, 1) == 1 ? 0 : 1);
    }
    close(ready[1]);
    close(go[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    g_autofree char *path = g_strdup_printf("/proc/%d/status", child);
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_autofree char *root_link = g_strdup_printf("/proc/%d/root", child);
    g_autofree char *root = g_file_read_link(root_link, NULL);
    assert_int_equal(write(go[1], "g", 1), 1);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    close(ready[0]);
    close(go[1]);
    assert_null(strstr(text, "\nUid:\t0"));
    assert_null(strstr(text, "\nGid:\t0"));
    assert_non_null(strstr(text, "\nCapInh:\t0000000000000000\n"));
    assert_non_null(strstr(text, "\nCapPrm:\t0000000000000000\n"));
    assert_non_null(strstr(text, "\nCapEff:\t0000000000000000\n"));
    assert_non_null(strstr(text, "\nCapBnd:\t0000000000000000\n"));
    assert_non_null(strstr(text, "\nCapAmb:\t0000000000000000\n"));
    assert_non_null(strstr(text, "\nNoNewPrivs:\t1\n"));
    assert_non_null(strstr(text, "\nSeccomp:\t2\n"));
    assert_non_null(strstr(text, "\nGroups:\t \n"));
    assert_string_equal(root, folder);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Refused where it would be no prison. */

static int enter_as(const char *user, const char *where, const char *wanted)
{
    g_autoptr(GError) error = NULL;

    if (gw_sandbox_enter(user, where, &error))
        return -1;
    return strstr(error->message, wanted) != NULL && gw_error_remedy(error) != NULL ? 0 : -1;
}
static int no_such_user(void)
{
    return enter_as("godwit-nobody-is-called-so", folder, "there is none");
}
static int root_user(void)
{
    return enter_as("root", folder, "is root");
}
static int no_folder(void)
{
    return enter_as(USER, "/nowhere/at/all", "/nowhere/at/all");
}
static int full_folder(void)
{
    return enter_as(USER, "/etc", "not empty");
}
static int open_folder(void)
{
    g_autofree char *path = g_strdup("/tmp/godwit-sandbox-XXXXXX");

    if (g_mkdtemp(path) == NULL || chmod(path, 0777) != 0)
        return -1;
    int outcome = enter_as(USER, path, "not root's own");
    return rmdir(path) == 0 ? outcome : -1;
}

static void test_refused(void **state)
{
    int (*const tries[])(void) = { no_such_user, root_user, no_folder, full_folder, open_folder };

    for (guint i = 0; i < G_N_ELEMENTS(tries); i++)
        assert_int_equal(in_child(tries[i], FALSE), 0);
}

/* The warden keeps what it needs, and no more. */
static int warden_keeps(void)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = { { 0 } };

    if (!gw_sandbox_warden(NULL) || syscall(SYS_capget, &head, data) != 0)
        return -1;
    gboolean chowns = data[0].effective & 1u << CAP_CHOWN;
    gboolean admin = data[0].permitted & 1u << CAP_SYS_ADMIN;
    return chowns && !admin && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 &&
                   prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 0 &&
                   prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 &&
                   mount("none", "/mnt", "tmpfs", 0, "") != 0
               ? 0
               : -1;
}

static void test_warden(void **state)
{
    assert_int_equal(in_child(warden_keeps, FALSE), 0);
}

static int set_up(void **state)
{
    folder = g_strdup("/tmp/godwit-empty-XXXXXX");
    return g_mkdtemp(folder) != NULL && chmod(folder, 0755) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    int removed = rmdir(folder);

    g_free(folder);
    return removed;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forbidden),
        cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_seen_from_outside),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_warden),
    };

    if (geteuid() != 0) {
        g_print("1..0 # SKIP only root has something to give up\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
