/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "agent/copies_internal.h"
#include "base/error.h"

/* Those there are: what is told of them, their end, and the streams that come for them. */

void gw_copies_init(GwWarden *warden)
{
    warden->copies = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, gw_file_copy_free);
}

void gw_copies_free(GwWarden *warden)
{
    g_clear_pointer(&warden->copies, g_hash_table_unref);
}

GwFileCopy *gw_copies_find(GwWarden *warden, const char *id, guint64 number)
{
    GwFileCopy *copy =
        warden->copies != NULL && id != NULL ? g_hash_table_lookup(warden->copies, id) : NULL;
    return copy != NULL && (number == 0 || copy->number == number) ? copy : NULL;
}

/* Status and stop ------------------------------------------------------------------------------ */

/* Of a copier that only saw its socket close, the front knows more. */
static const GError *why_of(const GwFileCopy *copy)
{
    gboolean broke = g_error_matches(copy->why, GW_ERROR, GW_ERR_UNREACHABLE);

    return broke && copy->link_why != NULL ? copy->link_why : copy->why;
}

static json_t *status_of(const GwFileCopy *copy)
{
    static const char *const words[] = { "running", "running", "done", "failed" };
    GwFileCopyState state = copy->over_us == 0 ? GW_FILE_COPY_RUNNING : copy->state;
    g_autofree char *text =
        gw_copier_report_put(state == GW_FILE_COPY_FAILED ? "failed" : words[state], &copy->figures,
                             state == GW_FILE_COPY_FAILED ? why_of(copy) : NULL);

    return gw_json_parse(text, strlen(text), GW_COPIER_REPORT_MAX * 2, NULL);
}

static GwFileCopy *named(GwWarden *warden, const json_t *params, GError **error)
{
    const char *id = json_string_value(json_object_get(params, "copy"));
    GwFileCopy *copy = gw_copies_find(warden, id, 0);

    if (copy == NULL)
        gw_error_set(error, GW_ERR_NOT_FOUND, "Begin it again: it goes on where it was.",
                     "unknown copy: this agent has none of that name since it was started");
    return copy;
}

void gw_copies_status(GwWarden *warden, guint64 id, const json_t *params)
{
    g_autoptr(GError) error = NULL;
    const GwFileCopy *copy = named(warden, params, &error);

    gw_warden_answer(warden, id, copy != NULL ? status_of(copy) : NULL, -1, error);
}

static void stop(GwFileCopy *copy)
{
    if (copy->why == NULL)
        gw_error_set(&copy->why, GW_ERR_CANCELLED, "Copy again: it goes on where it was.",
                     "it was stopped");
    if (copy->pidfd < 0) /* still opening: what comes back finds nothing */
        g_hash_table_remove(copy->warden->copies, copy->id);
    else
        gw_file_copy_kill(copy);
}

void gw_copies_stop(GwWarden *warden, guint64 id, const json_t *params)
{
    GwFileCopy *copy = named(warden, params, NULL);

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
        const GwFileCopy *copy = value;
        if (copy->ticket != NULL && g_strcmp0(copy->ticket->vm_uuid, vm_uuid) == 0 &&
            copy->ticket->epoch <= epoch)
            g_hash_table_iter_remove(&iter);
    }
}

/* The stream ----------------------------------------------------------------------------------- */

static gboolean check_stream(GwWarden *warden, const GwFileCopy *copy, const char *host_id,
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
    GwFileCopy *copy = gw_copies_find(warden, json_string_value(json_object_get(what, "copy")), 0);

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
