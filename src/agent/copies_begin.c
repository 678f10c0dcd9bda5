/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "agent/copies_internal.h"
#include "agent/copy_open.h"
#include "base/error.h"

/* What the controller asks to be copied: whether it may begin, and what it says of it. */

#define RUNNING_MAX 16
#define KEPT_MAX 256 /* that are over */
#define KEPT_US (3600 * G_TIME_SPAN_SECOND)
#define ID_MAX 64
#define RATE_MIN 65536 /* bytes per second: a block must not take as long as a stall */

static void forget_old(GwWarden *warden)
{
    gint64 now_us = g_get_monotonic_time();
    GHashTableIter iter;
    gpointer value = NULL;
    guint over = 0;

    g_hash_table_iter_init(&iter, warden->copies);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwFileCopy *copy = value;
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
        running += ((const GwFileCopy *)value)->over_us == 0;
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
    const GwFileCopy *old = gw_copies_find(warden, id, 0);
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

static GwFileCopy *new_copy(GwWarden *warden, const char *id)
{
    GwFileCopy *copy = g_new0(GwFileCopy, 1);

    copy->warden = warden;
    copy->id = g_strdup(id);
    copy->number = ++warden->last_copy;
    copy->front_fd = copy->pidfd = copy->report_fd = -1;
    copy->waiting = g_array_new(FALSE, FALSE, sizeof(guint64));
    return copy;
}

/* What it says --------------------------------------------------------------------------------- */

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

static gboolean read_ticket(GwFileCopy *copy, const json_t *params, GError **error)
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

static gboolean read_task(GwFileCopy *copy, const json_t *params, GError **error)
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

static gboolean read_how(GwFileCopy *copy, const json_t *params, GError **error)
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

static gboolean read_peer(GwFileCopy *copy, const json_t *params, GError **error)
{
    const json_t *peer = json_object_get(params, "peer");

    copy->peer = gw_permits_peer(peer, copy->ticket->destination_id, error);
    return copy->peer != NULL;
}

static gboolean read_copy(GwFileCopy *copy, const json_t *params, GError **error)
{
    if (!read_task(copy, params, error))
        return FALSE;
    if (copy->task.role == GW_COPIER_LOCAL)
        return read_path(params, "from", &copy->path, error) &&
               read_path(params, "to", &copy->to_path, error) && read_how(copy, params, error);
    return read_path(params, "path", &copy->path, error) && read_ticket(copy, params, error) &&
           (copy->task.role != GW_COPIER_SEND || read_peer(copy, params, error));
}

/* The calls ------------------------------------------------------------------------------------ */

static void call(GwWarden *warden, guint64 id, const json_t *params, GwCopierRole role)
{
    const char *name = json_string_value(json_object_get(params, "copy"));
    gboolean create = json_is_true(json_object_get(params, "create"));
    g_autoptr(GError) error = NULL;

    if (may_begin(warden, name, &error)) {
        GwFileCopy *copy = new_copy(warden, name);
        copy->task.role = role;
        if (read_copy(copy, params, &error)) {
            gw_file_copy_begin(warden, id, copy, create);
            return;
        }
        gw_file_copy_free(copy);
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
