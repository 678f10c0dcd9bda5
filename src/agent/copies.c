/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/copies.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/copy_open.h"
#include "agent/copy_starter.h"
#include "agent/volume_access.h"
#include "base/error.h"

#define RUNNING_MAX 16
#define KEPT_MAX 256 /* that are over */
#define KEPT_US (3600 * G_TIME_SPAN_SECOND)
#define STALL_US (10 * G_TIME_SPAN_MINUTE)
#define ID_MAX 64
#define RATE_MIN 65536 /* bytes per second: a block must not take as long as a stall */

typedef enum { OPENING, RUNNING, DONE, FAILED } State;

/* One copy. It lives in the table; what comes late finds it by its id and number. */
typedef struct {
    GwWarden *warden;
    char *id, *path, *to_path; /* @to_path: of a local one */
    guint64 number;
    GwTicket *ticket; /* NULL: a local one */
    char *ticket_text;
    json_t *peer; /* of the source: where the destination is */
    GwCopierTask task;
    State state;
    int front_fd; /* of an expected one: until its stream has come; -1 */
    int pidfd, report_fd;
    GwWatch *process, *reports;
    GwTimer *stall;
    GwCopierFigures figures;
    GError *why;
    GError *link_why; /* why its stream ended, as the front says */
    gint64 over_us;
    GArray *waiting; /* guint64: calls that wait for its end */
} FileCopy;

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void free_copy(gpointer data)
{
    FileCopy *copy = data;

    g_clear_pointer(&copy->process, gw_watch_free);
    g_clear_pointer(&copy->reports, gw_watch_free);
    g_clear_pointer(&copy->stall, gw_timer_free);
    if (copy->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, copy->pidfd, SIGKILL, NULL, 0);
    close_fd(&copy->pidfd);
    close_fd(&copy->report_fd);
    close_fd(&copy->front_fd);
    for (guint i = 0; i < copy->waiting->len; i++)
        gw_warden_answer(copy->warden, g_array_index(copy->waiting, guint64, i), json_object(), -1,
                         NULL);
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

void gw_copies_init(GwWarden *warden)
{
    warden->copies = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_copy);
}

void gw_copies_free(GwWarden *warden)
{
    g_clear_pointer(&warden->copies, g_hash_table_unref);
}

static FileCopy *find(GwWarden *warden, const char *id, guint64 number)
{
    FileCopy *copy =
        warden->copies != NULL && id != NULL ? g_hash_table_lookup(warden->copies, id) : NULL;
    return copy != NULL && (number == 0 || copy->number == number) ? copy : NULL;
}

/* Its end -------------------------------------------------------------------------------------- */

static void end(FileCopy *copy, State state)
{
    copy->state = state;
    copy->over_us = g_get_monotonic_time();
    g_clear_pointer(&copy->process, gw_watch_free);
    g_clear_pointer(&copy->reports, gw_watch_free);
    g_clear_pointer(&copy->stall, gw_timer_free);
    close_fd(&copy->pidfd);
    close_fd(&copy->report_fd);
    close_fd(&copy->front_fd);
    for (guint i = 0; i < copy->waiting->len; i++)
        gw_warden_answer(copy->warden, g_array_index(copy->waiting, guint64, i), json_object(), -1,
                         NULL);
    g_array_set_size(copy->waiting, 0);
}

static void kill_copier(FileCopy *copy)
{
    if (copy->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, copy->pidfd, SIGKILL, NULL, 0);
}

/* Each report is a sign of life. TRUE: it was the last. */
static void take_report(FileCopy *copy, const char *bytes, gsize length)
{
    const char *state = NULL;
    g_autoptr(GError) error = NULL;

    if (!gw_copier_report_get(bytes, length, &state, &copy->figures, &copy->why, &error)) {
        g_warning("copy %s: %s", copy->id, error->message);
        kill_copier(copy);
        return;
    }
    gw_timer_set(copy->stall, g_get_monotonic_time() + STALL_US);
    /* Done only once its process has gone, and with it its hold of the file. */
    if (strcmp(state, "done") == 0)
        copy->state = DONE;
}

static void read_reports(FileCopy *copy)
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
    FileCopy *copy = user;

    read_reports(copy);
    gboolean done = copy->state == DONE;
    if (!done && copy->why == NULL)
        gw_error_set(&copy->why, GW_ERR_OPERATION, "Look at the host's journal and memory.",
                     "the copier ended without a word");
    if (!done)
        g_prefix_error(&copy->why, "%s: ", copy->to_path != NULL ? copy->to_path : copy->path);
    g_message("copy %s of %s: %s%s", copy->id, copy->path,
              done ? "done" : "failed: ", done ? "" : copy->why->message);
    end(copy, done ? DONE : FAILED);
}

static void on_stall(gpointer user)
{
    FileCopy *copy = user;

    if (copy->why == NULL)
        gw_error_set(&copy->why, GW_ERR_TIMEOUT,
                     "Look at the storage of both ends; then copy again: it goes on where it was.",
                     "nothing was copied for %d minutes", (int)(STALL_US / G_TIME_SPAN_MINUTE));
    kill_copier(copy);
}

/* Starting ------------------------------------------------------------------------------------- */

static void forget_old(GwWarden *warden)
{
    gint64 now_us = g_get_monotonic_time();
    GHashTableIter iter;
    gpointer value = NULL;
    guint over = 0;

    g_hash_table_iter_init(&iter, warden->copies);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const FileCopy *copy = value;
        if (copy->over_us == 0)
            continue;
        if (copy->over_us + KEPT_US < now_us || ++over > KEPT_MAX)
            g_hash_table_iter_remove(&iter);
    }
}

static guint count_running(GwWarden *warden)
{
    GHashTableIter iter;
    gpointer value = NULL;
    guint running = 0;

    g_hash_table_iter_init(&iter, warden->copies);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        running += ((const FileCopy *)value)->over_us == 0;
    return running;
}

static gboolean is_id(const char *id)
{
    return id != NULL && *id != '\0' && strlen(id) <= ID_MAX &&
           strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               strlen(id);
}

static gboolean may_begin(GwWarden *warden, const char *id, GError **error)
{
    if (!is_id(id)) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "a copy needs an id");
        return FALSE;
    }
    if (warden->starter_fd < 0) {
        gw_error_set(error, GW_ERR_UNSUPPORTED, "Restart the agent.",
                     "this agent has nothing to start copies with");
        return FALSE;
    }
    forget_old(warden);
    const FileCopy *old = find(warden, id, 0);
    if (old != NULL && old->over_us == 0) {
        gw_error_set(error, GW_ERR_CONFLICT, "Stop it first.", "copy %s is under way here", id);
        return FALSE;
    }
    if (count_running(warden) >= RUNNING_MAX) {
        gw_error_set(error, GW_ERR_CONFLICT, "Wait for copies to end.",
                     "%d files are being copied from or to this host already", RUNNING_MAX);
        return FALSE;
    }
    return TRUE;
}

static FileCopy *new_copy(GwWarden *warden, const char *id)
{
    FileCopy *copy = g_new0(FileCopy, 1);

    copy->warden = warden;
    copy->id = g_strdup(id);
    copy->number = ++warden->last_copy;
    copy->front_fd = copy->pidfd = copy->report_fd = -1;
    copy->waiting = g_array_new(FALSE, FALSE, sizeof(guint64));
    return copy;
}

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
    close_fd(&opening->from_fd);
    close_fd(&opening->to_fd);
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
    FileCopy *copy = find(carry->warden, carry->id, carry->number);

    if (fd >= 0)
        close(fd);
    if (copy != NULL && error != NULL)
        copy->link_why = g_error_copy(error);
    g_free(carry->id);
}

static void carry(FileCopy *copy, int fd)
{
    Carried *user = g_new0(Carried, 1);

    *user = (Carried){ copy->warden, g_strdup(copy->id), copy->number };
    gw_warden_ask_front(copy->warden, "carry",
                        json_pack("{s:{s:s, s:s, s:s}, s:s, s:O}", "what", "kind", "file", "ticket",
                                  copy->ticket_text, "copy", copy->id, "group",
                                  copy->ticket->vm_uuid, "peer", copy->peer),
                        fd, carried, user);
}

static gboolean start(FileCopy *copy, const Opening *opening, GError **error)
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
    close_fd(&pair[0]);
    if (copy->pidfd < 0) {
        close_fd(&pair[1]);
        return FALSE;
    }
    copy->state = RUNNING;
    copy->process = gw_watch_new(warden->loop, copy->pidfd, EPOLLIN, on_process_over, copy);
    copy->reports = gw_watch_new(warden->loop, copy->report_fd, EPOLLIN, on_report, copy);
    copy->stall = gw_timer_new(warden->loop, on_stall, copy);
    gw_timer_set(copy->stall, g_get_monotonic_time() + STALL_US);
    if (copy->task.role == GW_COPIER_RECEIVE) {
        copy->front_fd = pair[1];
    } else if (!local) {
        carry(copy, pair[1]);
        close_fd(&pair[1]);
    }
    return TRUE;
}

static void opened(gpointer data)
{
    g_autoptr(Opening) opening = data;
    GwWarden *warden = opening->warden;
    FileCopy *copy = find(warden, opening->id, opening->number);

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

/* Takes @copy. */
static void begin(GwWarden *warden, guint64 call, FileCopy *copy, gboolean create)
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

/* The controller's calls ----------------------------------------------------------------------- */

gboolean gw_copies_is_leave(const GwTicket *ticket)
{
    return ticket->kinds == GW_STREAM_FILE;
}

/* Both ends by name; the kind; the time; and no older than what this host has seen of the VM. */
gboolean gw_copies_check_ticket(const GwWarden *warden, const GwTicket *ticket, GError **error)
{
    gint64 seen = gw_epochs_seen(warden->epochs, ticket->vm_uuid);

    if (!gw_ticket_check(ticket, warden->state->fabric_id, ticket->source_id,
                         ticket->destination_id, GW_STREAM_FILE, gw_warden_now_s(warden), error))
        return FALSE;
    /* A copy begins no VM, so it raises no epoch; but it is none of a move that is over. */
    return seen < ticket->epoch ||
           gw_epochs_check(warden->epochs, ticket->vm_uuid, ticket->epoch, ticket->job_id, error);
}

static gboolean read_ticket(FileCopy *copy, const json_t *params, GError **error)
{
    GwWarden *warden = copy->warden;
    const json_t *text = json_object_get(params, "ticket");
    gboolean sends = copy->task.role == GW_COPIER_SEND;

    copy->ticket = gw_permits_ticket(warden, text, error);
    if (copy->ticket == NULL || !gw_copies_check_ticket(warden, copy->ticket, error))
        return FALSE;
    copy->ticket_text = g_strdup(json_string_value(text));
    if (strcmp(sends ? copy->ticket->source_id : copy->ticket->destination_id,
               warden->state->host_id) == 0)
        return TRUE;
    gw_error_set(error, GW_ERR_UNAUTHORIZED, "Ask the controller for a ticket of this copy.",
                 "the ticket is from host %s to %s, this is %s", copy->ticket->source_id,
                 copy->ticket->destination_id, warden->state->host_id);
    return FALSE;
}

static gboolean read_number(const json_t *params, const char *key, guint64 max, guint64 *out,
                            GError **error)
{
    const json_t *value = json_object_get(params, key);

    *out = json_is_integer(value) && json_integer_value(value) > 0
               ? (guint64)json_integer_value(value)
               : 0;
    if ((value == NULL || json_is_null(value) ||
         (json_is_integer(value) && json_integer_value(value) >= 0)) &&
        *out <= max)
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID, NULL, "'%s' must be a number from 0 to %" G_GUINT64_FORMAT,
                 key, max);
    return FALSE;
}

static gboolean read_task(FileCopy *copy, const json_t *params, GError **error)
{
    GwCopierTask *task = &copy->task;

    task->delta = json_is_true(json_object_get(params, "delta"));
    if (!read_number(params, "length", GW_COPY_LENGTH_MAX, &task->length, error) ||
        !read_number(params, "resume_bytes", GW_COPY_LENGTH_MAX, &task->resume_bytes, error) ||
        !read_number(params, "bytes_per_s", GW_COPY_LENGTH_MAX, &task->bytes_per_s, error))
        return FALSE;
    if (task->bytes_per_s > 0)
        task->bytes_per_s = MAX(task->bytes_per_s, RATE_MIN);
    return TRUE;
}

static gboolean read_path(const json_t *params, const char *key, char **out, GError **error)
{
    const char *path = json_string_value(json_object_get(params, key));

    if (!gw_copy_check_path(path, error))
        return FALSE;
    *out = g_strdup(path);
    return TRUE;
}

static gboolean read_how(FileCopy *copy, const json_t *params, GError **error)
{
    static const char *const words[] = { "fast", "reflink", "copy" };
    const char *how = json_string_value(json_object_get(params, "how"));

    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        if (g_strcmp0(how, words[i]) == 0) {
            copy->task.how = (int)i;
            return TRUE;
        }
    }
    gw_error_set(error, GW_ERR_INVALID, NULL, "'how' must be fast, reflink or copy");
    return FALSE;
}

static gboolean read_peer(FileCopy *copy, const json_t *params, GError **error)
{
    const json_t *peer = json_object_get(params, "peer");

    copy->peer = gw_permits_peer(peer, copy->ticket->destination_id, error);
    return copy->peer != NULL;
}

static gboolean read_copy(FileCopy *copy, const json_t *params, GError **error)
{
    if (!read_task(copy, params, error))
        return FALSE;
    if (copy->task.role == GW_COPIER_LOCAL)
        return read_path(params, "from", &copy->path, error) &&
               read_path(params, "to", &copy->to_path, error) && read_how(copy, params, error);
    return read_path(params, "path", &copy->path, error) && read_ticket(copy, params, error) &&
           (copy->task.role != GW_COPIER_SEND || read_peer(copy, params, error));
}

static void call(GwWarden *warden, guint64 id, const json_t *params, GwCopierRole role)
{
    const char *name = json_string_value(json_object_get(params, "copy"));
    gboolean create = json_is_true(json_object_get(params, "create"));
    g_autoptr(GError) error = NULL;

    if (may_begin(warden, name, &error)) {
        FileCopy *copy = new_copy(warden, name);
        copy->task.role = role;
        if (read_copy(copy, params, &error)) {
            begin(warden, id, copy, create);
            return;
        }
        free_copy(copy);
    }
    gw_warden_answer(warden, id, NULL, -1, error);
}

void gw_copies_expect(GwWarden *warden, guint64 id, const json_t *params)
{
    call(warden, id, params, GW_COPIER_RECEIVE);
}

void gw_copies_send(GwWarden *warden, guint64 id, const json_t *params)
{
    call(warden, id, params, GW_COPIER_SEND);
}

void gw_copies_local(GwWarden *warden, guint64 id, const json_t *params)
{
    call(warden, id, params, GW_COPIER_LOCAL);
}

/* Status and stop ------------------------------------------------------------------------------ */

/* Of a copier that only saw its socket close, the front knows more. */
static const GError *why_of(const FileCopy *copy)
{
    gboolean broke = g_error_matches(copy->why, GW_ERROR, GW_ERR_UNREACHABLE);

    return broke && copy->link_why != NULL ? copy->link_why : copy->why;
}

static json_t *status_of(const FileCopy *copy)
{
    static const char *const words[] = { "running", "running", "done", "failed" };
    State state = copy->over_us == 0 ? RUNNING : copy->state;
    g_autofree char *text =
        gw_copier_report_put(state == FAILED ? "failed" : words[state], &copy->figures,
                             state == FAILED ? why_of(copy) : NULL);

    return gw_json_parse(text, strlen(text), GW_COPIER_REPORT_MAX * 2, NULL);
}

static FileCopy *named(GwWarden *warden, const json_t *params, GError **error)
{
    const char *id = json_string_value(json_object_get(params, "copy"));
    FileCopy *copy = find(warden, id, 0);

    if (copy == NULL)
        gw_error_set(error, GW_ERR_NOT_FOUND, "Begin it again: it goes on where it was.",
                     "unknown copy: this agent has none of that name since it was started");
    return copy;
}

void gw_copies_status(GwWarden *warden, guint64 id, const json_t *params)
{
    g_autoptr(GError) error = NULL;
    const FileCopy *copy = named(warden, params, &error);

    gw_warden_answer(warden, id, copy != NULL ? status_of(copy) : NULL, -1, error);
}

static void stop(FileCopy *copy)
{
    if (copy->why == NULL)
        gw_error_set(&copy->why, GW_ERR_CANCELLED, "Copy again: it goes on where it was.",
                     "it was stopped");
    if (copy->pidfd < 0) /* still opening: what comes back finds nothing */
        g_hash_table_remove(copy->warden->copies, copy->id);
    else
        kill_copier(copy);
}

void gw_copies_stop(GwWarden *warden, guint64 id, const json_t *params)
{
    FileCopy *copy = named(warden, params, NULL);

    if (copy == NULL || copy->over_us != 0) {
        gw_warden_answer(warden, id, json_object(), -1, NULL);
        return;
    }
    g_array_append_val(copy->waiting, id);
    stop(copy);
}

void gw_copies_close(GwWarden *warden, const char *vm_uuid, gint64 epoch)
{
    GHashTableIter iter;
    gpointer value = NULL;

    g_hash_table_iter_init(&iter, warden->copies);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const FileCopy *copy = value;
        if (copy->ticket != NULL && g_strcmp0(copy->ticket->vm_uuid, vm_uuid) == 0 &&
            copy->ticket->epoch <= epoch)
            g_hash_table_iter_remove(&iter);
    }
}

/* The stream ----------------------------------------------------------------------------------- */

static gboolean check_stream(GwWarden *warden, const FileCopy *copy, const char *host_id,
                             const json_t *what, GError **error)
{
    g_autoptr(GwTicket) shown = gw_permits_ticket(warden, json_object_get(what, "ticket"), error);

    if (shown == NULL ||
        !gw_ticket_check(shown, warden->state->fabric_id, host_id, warden->state->host_id,
                         GW_STREAM_FILE, gw_warden_now_s(warden), error))
        return FALSE;
    if (copy != NULL && copy->ticket != NULL && copy->task.role == GW_COPIER_RECEIVE &&
        strcmp(copy->ticket->job_id, shown->job_id) == 0 &&
        strcmp(copy->ticket->vm_uuid, shown->vm_uuid) == 0 && copy->ticket->epoch == shown->epoch)
        return gw_copies_check_ticket(warden, copy->ticket, error);
    gw_error_set(error, GW_ERR_FORBIDDEN, "Let the controller begin the copy.",
                 "this host expects no such copy");
    return FALSE;
}

int gw_copies_open(GwWarden *warden, const char *host_id, const json_t *what, char **vm_uuid,
                   GError **error)
{
    FileCopy *copy = find(warden, json_string_value(json_object_get(what, "copy")), 0);

    if (!check_stream(warden, copy, host_id, what, error))
        return -1;
    if (copy->front_fd < 0) {
        gw_error_set(error, GW_ERR_CONFLICT, "Stop the copy and begin it again.",
                     "the stream of that copy has come already, or it is over");
        return -1;
    }
    int fd = copy->front_fd;
    copy->front_fd = -1;
    *vm_uuid = g_strdup(copy->ticket->vm_uuid);
    return fd;
}

/* Access --------------------------------------------------------------------------------------- */

typedef struct {
    GwWarden *warden;
    guint64 call;
    char *path;
    json_t *set, *others, *answer;
    GError *error;
} Access;

static void do_access(gpointer data)
{
    Access *access = data;

    access->answer = gw_volume_access(access->path, access->set, access->others, &access->error);
}

static void free_access(Access *access)
{
    g_free(access->path);
    json_decref(access->set);
    json_decref(access->others);
    json_decref(access->answer);
    g_clear_error(&access->error);
    g_free(access);
}

static void access_done(gpointer data)
{
    Access *access = data;

    gw_warden_answer(access->warden, access->call, g_steal_pointer(&access->answer), -1,
                     access->error);
    free_access(access);
}

void gw_copies_access(GwWarden *warden, guint64 id, const json_t *params)
{
    const json_t *set = json_object_get(params, "set");
    const json_t *others = json_object_get(params, "others");
    const char *path = json_string_value(json_object_get(params, "path"));
    g_autoptr(GError) error = NULL;

    if (gw_copy_check_path(path, &error)) {
        Access *access = g_new0(Access, 1);
        access->warden = warden;
        access->call = id;
        access->path = g_strdup(path);
        access->set = json_is_object(set) ? json_deep_copy(set) : NULL;
        access->others = json_is_array(others) ? json_deep_copy(others) : NULL;
        if (gw_errand(warden, do_access, access_done, access, &error))
            return;
        free_access(access);
    }
    gw_warden_answer(warden, id, NULL, -1, error);
}
