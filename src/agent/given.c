/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/warden_internal.h"
#include "base/error.h"

/* The sockets that the front was given for a leave. A copy of each is kept here: a peer's libvirt
 * that still has a connection when the leave is closed could otherwise begin the VM after it was
 * said that nothing does. They are counted by it, too, whatever the front says. */

typedef struct {
    GwLeave *leave;
    guint kind;
    int fd;
    GwWatch *watch;
} Given;

void gw_given_free(gpointer data)
{
    Given *given = data;

    gw_watch_free(given->watch);
    close(given->fd);
    g_free(given);
}

/* The front shuts both ways before it closes; where the other end closes it is the same. */
static void on_over(gpointer user, guint32 events)
{
    Given *given = user;

    if ((events & (EPOLLHUP | EPOLLERR)) != 0)
        g_ptr_array_remove_fast(given->leave->given, given);
}

/* What ended in this very turn of the loop is not to count against what begins in it. */
static void sweep(GPtrArray *list)
{
    for (guint i = list->len; i-- > 0;) {
        struct pollfd look = { ((const Given *)list->pdata[i])->fd, 0, 0 };
        if (poll(&look, 1, 0) == 1)
            g_ptr_array_remove_index_fast(list, i);
    }
}

gboolean gw_given_add(GwLeave *leave, guint kind, int fd, GError **error)
{
    if (leave->given->len >= leave->ticket->streams_max)
        sweep(leave->given);
    if (leave->given->len >= leave->ticket->streams_max) {
        gw_error_set(error, GW_ERR_CONFLICT, "Move with fewer channels.",
                     "the ticket allows %u streams at one time", leave->ticket->streams_max);
        return FALSE;
    }
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) {
        gw_error_set(error, GW_ERR_OPERATION, "Give the agent more descriptors (LimitNOFILE).",
                     "a stream's socket cannot be kept: %s", g_strerror(errno));
        return FALSE;
    }
    Given *given = g_new0(Given, 1);
    *given = (Given){ leave, kind, copy, NULL };
    given->watch = gw_watch_new(leave->warden->loop, copy, EPOLLHUP, on_over, given);
    g_ptr_array_add(leave->given, given);
    return TRUE;
}

/* What began already is the controller's to settle: a copy in its last phase, or post-copy, whose
 * streams broke would cost the VM. */
void gw_given_cut(GwLeave *leave)
{
    if (leave->given->len == 0 || gw_warden_count(leave->warden, leave->ticket->vm_uuid, NULL) != 0)
        return;
    for (guint i = 0; i < leave->given->len; i++) {
        const Given *given = leave->given->pdata[i];
        if (given->kind == GW_STREAM_RPC)
            shutdown(given->fd, SHUT_RDWR);
    }
}
