/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/copies_internal.h"
#include "agent/copy_open.h"
#include "agent/copy_starter.h"
#include "base/error.h"
#include "base/fd.h"

/* One copy while it runs: its files, its process, what that reports, and its end. */

#define STALL_US (10 * G_TIME_SPAN_MINUTE)

/* Its end -------------------------------------------------------------------------------------- */

void gw_file_copy_kill(GwFileCopy *copy)
{
    if (copy->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, copy->pidfd, SIGKILL, NULL, 0);
}

/* Its process has ended, or shall: nothing of it is watched any more, and who waits is answered. */
static void let_go(GwFileCopy *copy)
{
    g_clear_pointer(&copy->process, gw_watch_free);
    g_clear_pointer(&copy->reports, gw_watch_free);
    g_clear_pointer(&copy->stall, gw_timer_free);
    gw_fd_close(&copy->pidfd);
    gw_fd_close(&copy->report_fd);
    gw_fd_close(&copy->front_fd);
    for (guint i = 0; i < copy->waiting->len; i++)
        gw_warden_answer(copy->warden, g_array_index(copy->waiting, guint64, i), json_object(), -1,
                         NULL);
    g_array_set_size(copy->waiting, 0);
}

void gw_file_copy_free(gpointer data)
{
    GwFileCopy *copy = data;

    gw_file_copy_kill(copy);
    let_go(copy);
    g_array_unref(copy->waiting);
    gw_copier_figures_clear(&copy->figures);
    g_clear_error(&copy->why);
    g_clear_error(&copy->link_why);
    gw_ticket_free(copy->ticket);
    g_free(copy->ticket_text);
    json_decref(copy->peer);
    g_free(copy->id);
    g_free(copy->path);
    g_free(copy->to_path);
    g_free(copy);
}

static void end(GwFileCopy *copy, GwFileCopyState state)
{
    copy->state = state;
    copy->over_us = g_get_monotonic_time();
    let_go(copy);
}

/* Each report is a sign of life. */
static void take_report(GwFileCopy *copy, const char *bytes, gsize length)
{
    const char *state = NULL;
    g_autoptr(GError) error = NULL;

    if (!gw_copier_report_get(bytes, length, &state, &copy->figures, &copy->why, &error)) {
        g_warning("copy %s: %s", copy->id, error->message);
        gw_file_copy_kill(copy);
        return;
    }
    gw_timer_set(copy->stall, g_get_monotonic_time() + STALL_US);
    /* Done only once its process has gone, and with it its hold of the file. */
    if (strcmp(state, "done") == 0)
        copy->state = GW_FILE_COPY_DONE;
}

static void read_reports(GwFileCopy *copy)
{
    char bytes[GW_COPIER_REPORT_MAX];
    ssize_t got = 0;

    while (copy->report_fd >= 0 &&
           (got = recv(copy->report_fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        take_report(copy, bytes, (gsize)got);
    if (got == 0 && copy->reports != NULL)
        gw_watch_set(copy->reports, 0);
}

static void on_report(gpointer user, guint32 events)
{
    read_reports(user);
}

static void on_process_over(gpointer user, guint32 events)
{
    GwFileCopy *copy = user;

    read_reports(copy);
    gboolean done = copy->state == GW_FILE_COPY_DONE;
    if (!done && copy->why == NULL)
        gw_error_set(&copy->why, GW_ERR_OPERATION, "Look at the host's journal and memory.",
                     "the copier ended without a word");
    if (!done)
        g_prefix_error(&copy->why, "%s: ", copy->to_path != NULL ? copy->to_path : copy->path);
    g_message("copy %s of %s: %s%s", copy->id, copy->path,
              done ? "done" : "failed: ", done ? "" : copy->why->message);
    end(copy, done ? GW_FILE_COPY_DONE : GW_FILE_COPY_FAILED);
}

static void on_stall(gpointer user)
{
    GwFileCopy *copy = user;

    if (copy->why == NULL)
        gw_error_set(&copy->why, GW_ERR_TIMEOUT,
                     "Look at the storage of both ends; then copy again: it goes on where it was.",
                     "nothing was copied for %d minutes", (int)(STALL_US / G_TIME_SPAN_MINUTE));
    gw_file_copy_kill(copy);
}

/* Its beginning -------------------------------------------------------------------------------- */

/* What may hang: opening, in a thread. */
typedef struct {
    GwWarden *warden;
    guint64 call;
    char *id;
    guint64 number;
    char *proc, *from, *to; /* either may be NULL */
    gboolean create;
    int from_fd, to_fd;
    GError *error;
} Opening;

static void free_opening(Opening *opening)
{
    gw_fd_close(&opening->from_fd);
    gw_fd_close(&opening->to_fd);
    g_clear_error(&opening->error);
    g_free(opening->id);
    g_free(opening->proc);
    g_free(opening->from);
    g_free(opening->to);
    g_free(opening);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Opening, free_opening)

static void open_files(gpointer data)
{
    Opening *opening = data;

    if (opening->from != NULL)
        opening->from_fd =
            gw_copy_open(opening->proc, opening->from, GW_COPY_OPEN_SOURCE, FALSE, &opening->error);
    if (opening->error == NULL && opening->to != NULL)
        opening->to_fd = gw_copy_open(opening->proc, opening->to, GW_COPY_OPEN_DESTINATION,
                                      opening->create, &opening->error);
}

typedef struct {
    GwWarden *warden;
    char *id;
    guint64 number;
} Carried;

static void carried(const json_t *result, int fd, const GError *error, gpointer user)
{
    g_autofree Carried *carry = user;
    GwFileCopy *copy = gw_copies_find(carry->warden, carry->id, carry->number);

    if (fd >= 0)
        close(fd);
    if (copy != NULL && error != NULL)
        copy->link_why = g_error_copy(error);
    g_free(carry->id);
}

static void carry(GwFileCopy *copy, int fd)
{
    Carried *user = g_new0(Carried, 1);

    *user = (Carried){ copy->warden, g_strdup(copy->id), copy->number };
    gw_warden_ask_front(copy->warden, "carry",
                        json_pack("{s:{s:s, s:s, s:s}, s:s, s:O}", "what", "kind", "file", "ticket",
                                  copy->ticket_text, "copy", copy->id, "group",
                                  copy->ticket->vm_uuid, "peer", copy->peer),
                        fd, carried, user);
}

static gboolean start(GwFileCopy *copy, const Opening *opening, GError **error)
{
    GwWarden *warden = copy->warden;
    gboolean local = copy->task.role == GW_COPIER_LOCAL;
    int file = copy->task.role == GW_COPIER_RECEIVE ? opening->to_fd : opening->from_fd;
    int pair[2] = { -1, -1 };

    if (!local && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        gw_error_set(error, GW_ERR_OPERATION, "Give the agent more descriptors (LimitNOFILE).",
                     "socketpair: %s", g_strerror(errno));
        return FALSE;
    }
    copy->pidfd = gw_copy_starter_ask(warden->starter_fd, &copy->task, file,
                                      local ? opening->to_fd : pair[0], &copy->report_fd, error);
    gw_fd_close(&pair[0]);
    if (copy->pidfd < 0) {
        gw_fd_close(&pair[1]);
        return FALSE;
    }
    copy->state = GW_FILE_COPY_RUNNING;
    copy->process = gw_watch_new(warden->loop, copy->pidfd, EPOLLIN, on_process_over, copy);
    copy->reports = gw_watch_new(warden->loop, copy->report_fd, EPOLLIN, on_report, copy);
    copy->stall = gw_timer_new(warden->loop, on_stall, copy);
    gw_timer_set(copy->stall, g_get_monotonic_time() + STALL_US);
    if (copy->task.role == GW_COPIER_RECEIVE) {
        copy->front_fd = pair[1];
    } else if (!local) {
        carry(copy, pair[1]);
        gw_fd_close(&pair[1]);
    }
    return TRUE;
}

static void opened(gpointer data)
{
    g_autoptr(Opening) opening = data;
    GwWarden *warden = opening->warden;
    GwFileCopy *copy = gw_copies_find(warden, opening->id, opening->number);

    if (copy == NULL) /* stopped, or the agent ends */
        gw_error_set(&opening->error, GW_ERR_CANCELLED, "Copy again.",
                     "the copy was stopped before it began");
    else if (opening->error == NULL && start(copy, opening, &opening->error))
        g_message("copy %s of %s begins", copy->id, copy->path);
    if (copy != NULL && opening->error != NULL)
        g_hash_table_remove(warden->copies, copy->id);
    gw_warden_answer(warden, opening->call, opening->error == NULL ? json_object() : NULL, -1,
                     opening->error);
}

void gw_file_copy_begin(GwWarden *warden, guint64 call, GwFileCopy *copy, gboolean create)
{
    g_autoptr(Opening) opening = g_new0(Opening, 1);
    gboolean receives = copy->task.role == GW_COPIER_RECEIVE;

    *opening = (Opening){ .warden = warden,
                          .call = call,
                          .id = g_strdup(copy->id),
                          .number = copy->number,
                          .proc = g_strdup(warden->paths.proc_folder),
                          .from = receives ? NULL : g_strdup(copy->path),
                          .to = g_strdup(receives ? copy->path : copy->to_path),
                          .create = create,
                          .from_fd = -1,
                          .to_fd = -1 };
    g_hash_table_replace(warden->copies, copy->id, copy);
    if (gw_errand(warden, open_files, opened, opening, &opening->error)) {
        g_steal_pointer(&opening);
        return;
    }
    g_hash_table_remove(warden->copies, opening->id);
    gw_warden_answer(warden, call, NULL, -1, opening->error);
}
