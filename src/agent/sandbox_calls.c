/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/sandbox_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/error.h"

typedef struct {
    const char *name;
    int error; /* 0: allowed */
} Call;

static const Call calls[] = {
    /* descriptors that are there, and what waits on them */
    { "read", 0 },
    { "write", 0 },
    { "readv", 0 },
    { "writev", 0 },
    { "pread64", 0 },
    { "recvmsg", 0 },
    { "recvfrom", 0 },
    { "recv", 0 },
    { "sendmsg", 0 },
    { "sendto", 0 },
    { "send", 0 },
    { "shutdown", 0 },
    { "close", 0 },
    { "fcntl", 0 },
    { "fcntl64", 0 },
    { "poll", 0 },
    { "ppoll", 0 },
    { "ppoll_time64", 0 },
    /* threads, memory, time, signals */
    { "futex", 0 },
    { "futex_time64", 0 },
    { "set_robust_list", 0 },
    { "rseq", 0 },
    { "sched_yield", 0 },
    { "sched_getaffinity", 0 },
    { "gettid", 0 },
    { "getpid", 0 },
    { "munmap", 0 },
    { "mremap", 0 },
    { "madvise", 0 },
    { "brk", 0 },
    { "getrandom", 0 },
    { "clock_gettime", 0 },
    { "clock_gettime64", 0 },
    { "clock_getres", 0 },
    { "clock_nanosleep", 0 },
    { "clock_nanosleep_time64", 0 },
    { "nanosleep", 0 },
    { "gettimeofday", 0 },
    { "time", 0 },
    { "getrusage", 0 },
    { "rt_sigaction", 0 },
    { "rt_sigprocmask", 0 },
    { "rt_sigreturn", 0 },
    { "sigaltstack", 0 },
    { "sigreturn", 0 },
    { "restart_syscall", 0 },
    { "tgkill", 0 },
    { "exit", 0 },
    { "exit_group", 0 },
    { "fstat", 0 },
    { "fstat64", 0 },
    { "lseek", 0 },
    { "getuid", 0 },
    { "geteuid", 0 },
    { "getgid", 0 },
    { "getegid", 0 },
    { "getppid", 0 },
    /* what libraries try, and do without */
    { "open", EACCES },
    { "openat", EACCES },
    { "openat2", EACCES },
    { "stat", EACCES },
    { "stat64", EACCES },
    { "lstat", EACCES },
    { "statx", EACCES },
    { "access", EACCES },
    { "faccessat", EACCES },
    { "faccessat2", EACCES },
    { "readlink", EACCES },
    { "readlinkat", EACCES },
    { "getcwd", EACCES },
    { "clone3", ENOSYS }, /* its flags cannot be looked at: glibc goes back to clone */
    { "sysinfo", EPERM },
    { "uname", EPERM },
    { "setuid", EPERM },
    { "setgid", EPERM },
    { "setresuid", EPERM },
    { "setresgid", EPERM },
    { "setgroups", EPERM },
};

static const Call front_calls[] = {
    { "accept", 0 },          { "accept4", 0 },
    { "connect", 0 },         { "getsockopt", 0 },
    { "setsockopt", 0 },      { "getsockname", 0 },
    { "getpeername", 0 },     { "epoll_create1", 0 },
    { "epoll_ctl", 0 },       { "epoll_wait", 0 },
    { "epoll_pwait", 0 },     { "epoll_pwait2", 0 },
    { "eventfd2", 0 },        { "timerfd_create", 0 },
    { "timerfd_settime", 0 }, { "timerfd_settime64", 0 },
    { "ioctl", ENOTTY },      { "newfstatat", EACCES },
    { "fstatat64", EACCES },
};

static const Call copier_calls[] = {
    { "pwrite64", 0 },        { "fallocate", 0 },    { "ftruncate", 0 },
    { "ftruncate64", 0 },     { "fsync", 0 },        { "fdatasync", 0 },
    { "fadvise64", 0 },       { "fadvise64_64", 0 }, { "arm_fadvise64_64", 0 },
    { "copy_file_range", 0 }, { "fstatfs", 0 },      { "fstatfs64", 0 },
    { "_llseek", 0 },         { "socket", EACCES },  { "connect", EACCES },
};

static gboolean failed(GError **error, const char *what, int code)
{
    gw_error_set(error, GW_ERR_OPERATION,
                 "The kernel must have seccomp filters (CONFIG_SECCOMP_FILTER).",
                 "sandbox: system call filter: %s: %s", what, g_strerror(-code));
    return FALSE;
}

static gboolean add_calls(scmp_filter_ctx filter, const Call *list, gsize length, GError **error)
{
    for (gsize i = 0; i < length; i++) {
        int number = seccomp_syscall_resolve_name(list[i].name);
        guint32 action =
            list[i].error == 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO((guint32)list[i].error);
        if (number < 0) /* not of this architecture */
            continue;
        int code = seccomp_rule_add(filter, action, number, 0);
        if (code != 0)
            return failed(error, list[i].name, code);
    }
    return TRUE;
}

/* Calls that are allowed, or fail, by one or two arguments. */
typedef struct {
    int number;
    guint32 action;
    guint n_compared;
    struct scmp_arg_cmp compared[2];
} Rule;

#define EQ(argument, value)                                                                        \
    {                                                                                              \
        argument, SCMP_CMP_EQ, value, 0                                                            \
    }
#define NE(argument, value)                                                                        \
    {                                                                                              \
        argument, SCMP_CMP_NE, value, 0                                                            \
    }
#define BITS(argument, mask, value)                                                                \
    {                                                                                              \
        argument, SCMP_CMP_MASKED_EQ, mask, value                                                  \
    }
#define TYPE_BITS 0xf /* of socket's type, beside its flags */

static gboolean add_rules(scmp_filter_ctx filter, const Rule *rules, gsize length, GError **error)
{
    for (gsize i = 0; i < length; i++) {
        const Rule *rule = &rules[i];
        int code = seccomp_rule_add_array(filter, rule->action, rule->number, rule->n_compared,
                                          rule->compared);
        if (code != 0)
            return failed(error, "a rule", code);
    }
    return TRUE;
}

static gboolean add_common(scmp_filter_ctx filter, GError **error)
{
    const guint32 allow = SCMP_ACT_ALLOW, refuse = SCMP_ACT_ERRNO(EPERM);
    const Rule rules[] = {
        /* No new code. */
        { SCMP_SYS(mmap), allow, 1, { BITS(2, PROT_EXEC, 0) } },
        { SCMP_SYS(mmap), refuse, 1, { BITS(2, PROT_EXEC, PROT_EXEC) } },
        { SCMP_SYS(mprotect), allow, 1, { BITS(2, PROT_EXEC, 0) } },
        { SCMP_SYS(mprotect), refuse, 1, { BITS(2, PROT_EXEC, PROT_EXEC) } },
        /* A thread's name. */
        { SCMP_SYS(prctl), allow, 1, { EQ(0, PR_SET_NAME) } },
        { SCMP_SYS(prctl), refuse, 1, { NE(0, PR_SET_NAME) } },
        /* Limits are read (a thread's stack), never set. */
        { SCMP_SYS(prlimit64), allow, 1, { EQ(2, 0) } },
        { SCMP_SYS(prlimit64), refuse, 1, { NE(2, 0) } },
    };

    return add_calls(filter, calls, G_N_ELEMENTS(calls), error) &&
           add_rules(filter, rules, G_N_ELEMENTS(rules), error);
}

static gboolean add_front(scmp_filter_ctx filter, GError **error)
{
    const guint64 thread = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND;
    const guint32 allow = SCMP_ACT_ALLOW, no_family = SCMP_ACT_ERRNO(EAFNOSUPPORT);
    const Rule rules[] = {
        /* The agents' connections, nothing else. */
        { SCMP_SYS(socket), allow, 2, { EQ(0, AF_INET), BITS(1, TYPE_BITS, SOCK_STREAM) } },
        { SCMP_SYS(socket), allow, 2, { EQ(0, AF_INET6), BITS(1, TYPE_BITS, SOCK_STREAM) } },
        { SCMP_SYS(socket), no_family, 1, { { 0, SCMP_CMP_GT, AF_INET6, 0 } } },
        { SCMP_SYS(socket), no_family, 1, { EQ(0, AF_UNIX) } },
        /* Threads, no processes. */
        { SCMP_SYS(clone), allow, 1, { BITS(0, thread, thread) } },
    };

    return add_calls(filter, front_calls, G_N_ELEMENTS(front_calls), error) &&
           add_rules(filter, rules, G_N_ELEMENTS(rules), error);
}

static gboolean add_copier(scmp_filter_ctx filter, GError **error)
{
    const Rule rules[] = {
        /* Of all that can be asked of a file: to share another's blocks. */
        { SCMP_SYS(ioctl), SCMP_ACT_ALLOW, 1, { EQ(1, FICLONE) } },
        { SCMP_SYS(ioctl), SCMP_ACT_ERRNO(ENOTTY), 1, { NE(1, FICLONE) } },
        /* What the C library makes of fstat. */
        { SCMP_SYS(newfstatat), SCMP_ACT_ALLOW, 1, { EQ(3, AT_EMPTY_PATH) } },
        { SCMP_SYS(newfstatat), SCMP_ACT_ERRNO(EACCES), 1, { NE(3, AT_EMPTY_PATH) } },
    };

    return add_calls(filter, copier_calls, G_N_ELEMENTS(copier_calls), error) &&
           add_rules(filter, rules, G_N_ELEMENTS(rules), error);
}

gboolean gw_sandbox_filter_calls(GwSandboxKind kind, GError **error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int code = 0;

    if (filter == NULL)
        return failed(error, "begin", -ENOMEM);
    gboolean good = add_common(filter, error) &&
                    (kind == GW_SANDBOX_FRONT ? add_front : add_copier)(filter, error);
    if (good && (code = seccomp_load(filter)) != 0)
        good = failed(error, "load", code);
    seccomp_release(filter);
    return good;
}
