/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/copy_starter.h"
#include "agent/front.h"
#include "agent/listen.h"
#include "agent/log.h"
#include "agent/options.h"
#include "agent/sandbox.h"
#include "agent/warden.h"
#include "base/error.h"

#define DESCRIPTORS 65536

static gboolean make_empty_folder(const char *path, GError **error)
{
    mode_t before = umask(0022);
    int made = g_mkdir_with_parents(path, 0755);
    int problem = errno;

    umask(before);
    if (made == 0)
        return TRUE;
    gw_error_set(error, GW_ERR_OPERATION, "Name another folder with --empty-dir.",
                 "cannot make %s: %s", path, g_strerror(problem));
    return FALSE;
}

/* SIGTERM and SIGINT are the warden's to take, in a call of its own; the front ends with it. */
static void block_signals(void)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static G_NORETURN void be_front(const RunOptions *options, const GArray *listen_fds, int ipc_fd)
{
    const GwFrontConfig config = { .ipc_fd = ipc_fd,
                                   .listen_fds = (const int *)(gconstpointer)listen_fds->data,
                                   .n_listen_fds = listen_fds->len,
                                   .threads = (guint)options->threads,
                                   .user = options->user,
                                   .empty_folder = options->empty_dir };
    sigset_t set;

    prctl(PR_SET_NAME, "godwit-front", 0, 0, 0);
    signal(SIGINT, SIG_IGN); /* of a terminal, to both */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    agent_log_init("front", FALSE);
    _exit(gw_front_main(&config));
}

static int be_warden(const RunOptions *options, int ipc_fd, pid_t front, int starter_fd)
{
    const GwWardenConfig config = { .state_folder = options->state_dir,
                                    .run_folder = options->run_dir,
                                    .libvirt_socket = options->libvirt_socket,
                                    .qemu_conf = options->qemu_conf,
                                    .emulator_group = options->emulator_group,
                                    .proc_folder = options->proc_dir,
                                    .sys_folder = options->sys_dir,
                                    .shared_kernel = options->shared_kernel,
                                    .starter_fd = starter_fd };
    g_autoptr(GError) error = NULL;

    if (gw_sandbox_warden(&error))
        return gw_warden_main(&config, ipc_fd, front);
    g_warning("%s", error->message);
    close(ipc_fd); /* the front ends with it */
    return 1;
}

/* Each stream has a descriptor, and a drain has many. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= DESCRIPTORS)
        return;
    limit.rlim_cur = MIN(limit.rlim_max, DESCRIPTORS);
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* -1 with @error. The forks are before any thread, and what each does not need is not open. */
static int start(const RunOptions *options, GError **error)
{
    g_autoptr(GArray) listen_fds = NULL;
    int pair[2];

    if (geteuid() != 0) {
        gw_error_set(error, GW_ERR_FORBIDDEN, "Start it as root, or by its unit.",
                     "the agent needs root to begin with, to give it up where it is not needed");
        return -1;
    }
    if (!make_empty_folder(options->empty_dir, error))
        return -1;
    listen_fds = agent_listen((const char *const *)options->listen, (guint16)options->port, error);
    if (listen_fds == NULL)
        return -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
        gw_error_set(error, GW_ERR_OPERATION, NULL, "socketpair: %s", g_strerror(errno));
        return -1;
    }
    pid_t front = fork();
    if (front < 0) {
        gw_error_set(error, GW_ERR_OPERATION, NULL, "fork: %s", g_strerror(errno));
        return -1;
    }
    close(pair[front == 0 ? 0 : 1]);
    if (front == 0)
        be_front(options, listen_fds, pair[1]);
    for (guint i = 0; i < listen_fds->len; i++)
        close(g_array_index(listen_fds, int, i));
    const GwCopyStarterConfig config = { options->user, options->empty_dir };
    int starter = gw_copy_starter_fork(&config, pair[0], error);
    if (starter < 0) {
        close(pair[0]); /* the front ends with it */
        return -1;
    }
    return be_warden(options, pair[0], front, starter);
}

int agent_run(int argc, char **argv)
{
    g_auto(RunOptions) options = { 0 };
    g_autoptr(GError) error = NULL;
    int status = -1;

    agent_log_init("warden", TRUE);
    if (run_options_parse(&options, &argc, &argv, &error)) {
        block_signals();
        raise_descriptors();
        status = start(&options, &error);
    }
    if (error == NULL)
        return status;
    const char *remedy = gw_error_remedy(error);
    g_printerr("godwit-agent: %s\n%s%s", error->message, remedy != NULL ? remedy : "",
               remedy != NULL ? "\n" : "");
    return error->code == GW_ERR_INVALID ? 2 : 1;
}
