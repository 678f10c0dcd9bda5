/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/copy_starter.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/sandbox.h"
#include "base/error.h"

#define REQUEST_MAX 1024
#define REQUEST_FDS 3 /* file, other, report */
#define PATIENCE_S 10 /* a fork takes milliseconds */
#define REAP_MS 1000

static gboolean failed(GError **error, const char *what)
{
    gw_error_set(error, GW_ERR_OPERATION, "Look at the host's memory and limits of processes.",
                 "a copier cannot be started: %s: %s", what, g_strerror(errno));
    return FALSE;
}

/* Packets with descriptors --------------------------------------------------------------------- */

typedef union {
    struct cmsghdr header; /* for its alignment */
    char bytes[CMSG_SPACE(REQUEST_FDS * sizeof(int))];
} Control;

static gboolean send_packet(int fd, const char *text, gsize length, const int *fds, guint n_fds)
{
    struct iovec part = { (void *)text, length };
    Control control = { 0 };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

    if (n_fds > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        *head = (struct cmsghdr){ CMSG_LEN(n_fds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
        memcpy(CMSG_DATA(head), fds, n_fds * sizeof(int));
    }
    ssize_t sent = -1;
    do
        sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)length;
}

static void close_all(const int *fds, guint n_fds)
{
    for (guint i = 0; i < n_fds; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

/* The length; 0: the other is gone, or said nothing of use. */
static gsize receive_packet(int fd, char *text, gsize max, int *fds, guint *n_fds)
{
    struct iovec part = { text, max };
    Control control = { 0 };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof control.bytes };
    ssize_t got = -1;

    *n_fds = 0;
    do
        got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return 0;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) {
        *n_fds = (guint)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(head), *n_fds * sizeof(int));
    }
    return (gsize)got;
}

/* Requests ------------------------------------------------------------------------------------- */

static char *put_task(const GwCopierTask *task)
{
    g_autoptr(GwJson) json =
        json_pack("{s:i, s:i, s:I, s:I, s:b, s:I}", "role", task->role, "how", task->how, "length",
                  (json_int_t)task->length, "resume", (json_int_t)task->resume_bytes, "delta",
                  task->delta, "rate", (json_int_t)task->bytes_per_s);
    return gw_json_text(json);
}

static gboolean get_task(const char *text, gsize length, GwCopierTask *task)
{
    g_autoptr(GwJson) json = gw_json_parse(text, length, REQUEST_MAX, NULL);
    json_int_t size = 0, resume = 0, rate = 0;
    int delta = 0;

    *task = (GwCopierTask){ 0 };
    if (json == NULL ||
        json_unpack(json, "{s:i, s:i, s:I, s:I, s:b, s:I}", "role", &task->role, "how", &task->how,
                    "length", &size, "resume", &resume, "delta", &delta, "rate", &rate) != 0)
        return FALSE;
    task->length = (guint64)size;
    task->resume_bytes = (guint64)resume;
    task->bytes_per_s = (guint64)rate;
    task->delta = delta;
    return TRUE;
}

/* The copier ----------------------------------------------------------------------------------- */

/* What the warden has no time to read is not said; the next says more. */
static void on_progress(const GwCopierFigures *figures, gpointer user)
{
    g_autofree char *text = gw_copier_report_put("running", figures, NULL);

    if (send(GPOINTER_TO_INT(user), text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
        errno == EPIPE)
        _exit(1); /* nobody wants it any more */
}

static G_NORETURN void be_copier(const GwCopyStarterConfig *config, const GwCopierTask *task,
                                 const int *fds, pid_t parent)
{
    const GwCopierWatch watch = { on_progress, GINT_TO_POINTER(fds[2]) };
    g_auto(GwCopierFigures) figures = { 0 };
    g_autoptr(GError) error = NULL;

    prctl(PR_SET_NAME, "godwit-copier", 0, 0, 0);
    gw_digest_free(gw_digest_new()); /* while the kernel may still be asked for random numbers */
    gboolean ok = (config->user == NULL ||
                   gw_sandbox_copier(config->user, config->empty_folder, parent, &error)) &&
                  gw_copier_run(task, fds[0], fds[1], &watch, &figures, &error);
    g_autofree char *text = gw_copier_report_put(ok ? "done" : "failed", &figures, error);
    gboolean told = send(fds[2], text, strlen(text), MSG_NOSIGNAL) > 0;
    _exit(ok && told ? 0 : 1);
}

/* The starter ---------------------------------------------------------------------------------- */

static void reap(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

static void serve(const GwCopyStarterConfig *config, int fd)
{
    char text[REQUEST_MAX];
    int fds[REQUEST_FDS];
    guint n_fds = 0;
    GwCopierTask task;
    gsize length = receive_packet(fd, text, sizeof text, fds, &n_fds);

    if (length == 0)
        _exit(0);
    reap(); /* only here: until a process was waited for, its number is nobody else's */
    pid_t self = getpid(), copier = -1;
    if (n_fds == REQUEST_FDS && get_task(text, length, &task))
        copier = fork();
    if (copier == 0) {
        close(fd);
        be_copier(config, &task, fds, self);
    }
    int pidfd = copier > 0 ? (int)syscall(SYS_pidfd_open, copier, 0) : -1;
    g_autofree char *answer = g_strdup_printf("%d", pidfd >= 0 ? 0 : errno);
    if (copier > 0 && pidfd < 0)
        kill(copier, SIGKILL);
    send_packet(fd, answer, strlen(answer), &pidfd, pidfd >= 0 ? 1 : 0);
    close_all(fds, n_fds);
    if (pidfd >= 0)
        close(pidfd);
}

static G_NORETURN void be_starter(const GwCopyStarterConfig *config, int fd, pid_t parent)
{
    g_autoptr(GError) error = NULL;

    prctl(PR_SET_NAME, "godwit-starter", 0, 0, 0);
    signal(SIGPIPE, SIG_IGN);
    if (config->user != NULL && !gw_sandbox_starter(parent, &error)) {
        g_critical("%s", error->message);
        _exit(1);
    }
    for (;;) {
        struct pollfd look = { .fd = fd, .events = POLLIN };
        int ready = poll(&look, 1, REAP_MS);
        if (ready == 0)
            reap();
        else if (ready > 0)
            serve(config, fd);
    }
}

int gw_copy_starter_fork(const GwCopyStarterConfig *config, int keep_out, GError **error)
{
    const struct timeval patience = { .tv_sec = PATIENCE_S };
    int pair[2];
    pid_t parent = getpid();

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        failed(error, "socketpair");
        return -1;
    }
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    pid_t child = fork();
    if (child == 0) {
        close(pair[0]);
        if (keep_out >= 0)
            close(keep_out);
        be_starter(config, pair[1], parent);
    }
    close(pair[1]);
    if (child > 0)
        return pair[0];
    failed(error, "fork");
    close(pair[0]);
    return -1;
}

/* Asking --------------------------------------------------------------------------------------- */

static int ask(int starter, const GwCopierTask *task, const int fds[REQUEST_FDS], GError **error)
{
    g_autofree char *text = put_task(task);
    char answer[REQUEST_MAX + 1];
    int pidfds[REQUEST_FDS];
    guint n_fds = 0;

    if (!send_packet(starter, text, strlen(text), fds, REQUEST_FDS)) {
        failed(error, "what starts them does not listen");
        return -1;
    }
    gsize length = receive_packet(starter, answer, REQUEST_MAX, pidfds, &n_fds);
    answer[length] = '\0';
    if (n_fds == 1)
        return pidfds[0];
    close_all(pidfds, n_fds);
    errno = length > 0 ? atoi(answer) : ETIMEDOUT;
    failed(error, "fork");
    /* A late answer would be taken for that of the next question. */
    if (length == 0)
        shutdown(starter, SHUT_RDWR);
    return -1;
}

int gw_copy_starter_ask(int starter, const GwCopierTask *task, int file, int other, int *report,
                        GError **error)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        failed(error, "socketpair");
        return -1;
    }
    int pidfd = ask(starter, task, (const int[]){ file, other, pair[1] }, error);
    close(pair[1]);
    if (pidfd < 0) {
        close(pair[0]);
        return -1;
    }
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    *report = pair[0];
    return pidfd;
}
