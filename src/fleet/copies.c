/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "fleet/copies_internal.h"

/* The requests about copies of files. */

void gw_fleet_copy_free(gpointer data)
{
    GwFleetCopy *copy = data;

    gw_timer_free(copy->timer);
    gw_copy_result_free(copy->result);
    g_clear_error(&copy->why);
    g_free(copy->id);
    g_free(copy);
}

static gboolean has_agent(const GwFleetHost *host)
{
    return host != NULL && host->has_agent;
}

gboolean gw_fleet_copies_it(GwFleet *fleet, const GwRequest *request)
{
    const GwCopy *copy = request->copy;

    if (request->op == GW_OP_COPY_PROGRESS || request->op == GW_OP_COPY_ABORT)
        return request->text != NULL && g_hash_table_contains(fleet->copies, request->text);
    if (request->op != GW_OP_VOLUME_COPY || copy == NULL || copy->to == NULL ||
        copy->from == NULL || copy->from_host_id == NULL || request->host_id == NULL)
        return FALSE;
    if (!has_agent(gw_fleet_host(fleet, request->host_id)) ||
        !has_agent(gw_fleet_host(fleet, copy->from_host_id)))
        return FALSE;
    return strcmp(copy->from_host_id, request->host_id) == 0 ? copy->how == GW_DISK_FAST_COPY
                                                             : copy->permit != NULL;
}

static gboolean check(const GwFleet *fleet, const GwCopy *wish, GError **error)
{
    if (wish->id == NULL || *wish->id == '\0' || wish->from->path == NULL ||
        wish->to->path == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "a copy needs an id, and the paths of both ends");
        return FALSE;
    }
    if (!g_hash_table_contains(fleet->copies, wish->id))
        return TRUE;
    gw_error_set(error, GW_ERR_CONFLICT, "Wait until it is over, or abort it.",
                 "copy %s is under way", wish->id);
    return FALSE;
}

static void begin_request(GwFleetTask *task)
{
    GwFleet *fleet = task->fleet;
    const GwCopy *wish = task->request->copy;
    GError *error = NULL;

    if (!check(fleet, wish, &error)) {
        gw_fleet_task_fail(task, error);
        return;
    }
    GwFleetCopy *copy = g_new0(GwFleetCopy, 1);
    copy->fleet = fleet;
    copy->serial = task->serial;
    copy->id = g_strdup(wish->id);
    copy->to = task->host;
    copy->from = gw_fleet_host(fleet, wish->from_host_id);
    copy->result = gw_copy_result_new();
    copy->resume_bytes = wish->resume_bytes;
    copy->began_us = copy->seen_us = g_get_monotonic_time();
    copy->timer = gw_timer_new(fleet->loop, gw_fleet_copy_due, copy);
    g_hash_table_insert(fleet->copies, copy->id, copy);
    if (task->request->timeout_us > 0)
        gw_fleet_task_set_deadline(task, task->request->timeout_us);
    gw_fleet_copy_begin(copy);
}

static void tell_progress(GwFleetTask *task, const GwFleetCopy *copy)
{
    GwReply *reply = gw_reply_new(task->id);
    GwProgress *progress = gw_progress_new();
    gint64 elapsed_ms = (g_get_monotonic_time() - copy->began_us) / 1000;
    gint64 done = copy->position - MIN(copy->resume_bytes, copy->position);

    progress->phase = g_strdup("copying");
    progress->total_bytes = progress->disk_total_bytes = copy->total;
    progress->processed_bytes = progress->disk_processed_bytes = copy->position;
    progress->remaining_bytes = progress->disk_remaining_bytes =
        MAX(copy->total - copy->position, 0);
    progress->percent = copy->total > 0 ? copy->position * 100 / copy->total : 0;
    progress->elapsed_ms = elapsed_ms;
    progress->bandwidth_bps = elapsed_ms > 0 ? done * 1000 / elapsed_ms : 0;
    progress->eta_ms = progress->bandwidth_bps > 0
                           ? progress->remaining_bytes * 1000 / progress->bandwidth_bps
                           : -1;
    progress->converging = TRUE;
    reply->progress = progress;
    gw_fleet_task_answer(task, reply);
}

static void abort_request(GwFleetTask *task, GwFleetCopy *copy)
{
    g_autoptr(GError) why = NULL;

    gw_error_set(&why, GW_ERR_CANCELLED, "Copy again: it goes on where it was.",
                 "the copy was stopped");
    gw_fleet_task_answer(task, gw_reply_new(task->id));
    if (!copy->aborted) {
        copy->aborted = TRUE;
        gw_fleet_copy_fail(copy, why);
    }
}

void gw_fleet_copy_op(GwFleetTask *task)
{
    GwFleetCopy *copy = task->op != GW_OP_VOLUME_COPY
                            ? g_hash_table_lookup(task->fleet->copies, task->request->text)
                            : NULL;

    if (task->op == GW_OP_VOLUME_COPY)
        begin_request(task);
    else if (task->op == GW_OP_COPY_PROGRESS)
        tell_progress(task, copy);
    else
        abort_request(task, copy);
}
