/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/tasks_internal.h"

/* Copies of files: within a host, from host to host, and between agents. */

#define POLL_US (G_USEC_PER_SEC / 2)
#define ABORT_AGAIN_US (2 * G_USEC_PER_SEC)
#define LEAVE_TIMEOUT_US (15 * G_USEC_PER_SEC)
#define LEAVE_MARGIN_S 3600
#define LEAVE_MAX_S (30 * 24 * 3600)

static void told(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 op)
{
    (void)engine;
    if (reply->error != NULL)
        g_info("job %s: %s: %s", job_id, gw_op_word((GwOp)op), reply->error->message);
}

static guint index_of(const GwJob *job, const GwTask *task)
{
    guint index = 0;
    g_ptr_array_find(job->tasks, task, &index);
    return index;
}

static char *copy_id(const GwJob *job, const GwTask *task)
{
    return g_strdup_printf("%s-%u", job->id, index_of(job, task));
}

static GwPermit *file_permit(GwEngine *engine, const GwJob *job, const GwTask *task)
{
    GwPermit *permit = g_new0(GwPermit, 1);

    permit->job_id = g_strdup(job->id);
    permit->vm_uuid = g_strdup(job->vm_uuid);
    permit->vm_name = g_strdup(job->vm_name);
    permit->epoch = job->epoch;
    permit->source_host_id = g_strdup(task->peer_host_id);
    permit->destination_host_id = g_strdup(task->host_id);
    permit->destination_address = gw_agent_address(engine, task->host_id);
    permit->lifetime_s = job->completion_timeout_s > 0
                             ? MIN(job->completion_timeout_s + LEAVE_MARGIN_S, LEAVE_MAX_S)
                             : LEAVE_MAX_S;
    permit->files = TRUE;
    return permit;
}

static void copied(GwEngine *engine, TaskRun *run, const GwReply *reply);

static void begin_copy(GwEngine *engine, TaskRun *run)
{
    const GwJob *job = gw_task_job(engine, run);
    const GwTask *task = run->task;
    GwRequest *request = gw_request_new(GW_OP_VOLUME_COPY, task->host_id, job->vm_uuid);
    GwCopy *copy = request->copy = g_new0(GwCopy, 1);

    copy->id = copy_id(job, task);
    copy->from_host_id = g_strdup(task->peer_host_id != NULL ? task->peer_host_id : task->host_id);
    copy->from = gw_volume_copy(task->from);
    copy->to_host_id = g_strdup(task->host_id);
    copy->to = gw_volume_copy(task->volume);
    copy->how = task->how;
    copy->delta = task->delta;
    copy->resume_bytes = run->from_scratch ? 0 : task->copied_bytes;
    run->resumed = copy->resume_bytes > 0;
    copy->bandwidth_mibps = job->options != NULL ? job->options->bandwidth_mibps : 0;
    copy->permit = run->in_agent ? file_permit(engine, job, task) : NULL;
    run->noted_us = gw_clock_now_us(engine->clock);
    run->rate_us = 0;
    run->poll_us = run->noted_us + POLL_US;
    gw_task_ask(engine, run, request, copied);
}

static void ask_leave(GwEngine *engine, TaskRun *run, const char *host_id,
                      void (*then)(GwEngine *, TaskRun *, const GwReply *))
{
    const GwJob *job = gw_task_job(engine, run);
    GwRequest *request = gw_request_new(GW_OP_PERMIT, host_id, job->vm_uuid);

    request->permit = file_permit(engine, job, run->task);
    request->timeout_us = LEAVE_TIMEOUT_US;
    gw_task_ask(engine, run, request, then);
}

static void source_gave_leave(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    if (reply->error != NULL) {
        gw_task_over(engine, run, reply->error);
        return;
    }
    run->leave = TRUE;
    begin_copy(engine, run);
}

static void destination_gave_leave(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    if (reply->error != NULL)
        gw_task_over(engine, run, reply->error);
    else
        ask_leave(engine, run, run->task->peer_host_id, source_gave_leave);
}

/* Between two agents the destination's is asked for leave first: from the source's answer on, bytes
 * may come. It ends with the job's. */
static void copy(GwEngine *engine, TaskRun *run)
{
    const GwFabric *fabric = gw_engine_now(engine);
    const GwTask *task = run->task;

    if (!gw_task_hosts_ready(engine, run, task->host_id, task->peer_host_id))
        return;
    run->in_agent = task->peer_host_id != NULL &&
                    gw_plan_through_agents(gw_fabric_host(fabric, task->peer_host_id),
                                           gw_fabric_host(fabric, task->host_id));
    if (run->in_agent && !run->leave)
        ask_leave(engine, run, task->host_id, destination_gave_leave);
    else
        begin_copy(engine, run);
}

static void sum_up(GwEngine *engine, TaskRun *run, const GwCopyResult *result)
{
    GwJob *job = gw_task_job(engine, run);
    GwMoveResult *sum = gw_task_result(engine, run);

    sum->disk_bytes += result->read_bytes;
    sum->disk_sent_bytes += result->sent_bytes;
    sum->disk_same_bytes += result->same_bytes;
    g_autofree char *why =
        g_strdup_printf("%s: %" G_GINT64_FORMAT " MiB read, %" G_GINT64_FORMAT
                        " MiB sent, %" G_GINT64_FORMAT " MiB were there%s%s%s",
                        run->task->target, result->read_bytes >> 20, result->sent_bytes >> 20,
                        result->same_bytes >> 20, result->how != NULL ? "; " : "",
                        result->how != NULL ? result->how : "",
                        result->verified ? "; read back, and equal at both ends" : "");
    gw_task_note(engine, job, "copied", why);
}

static gboolean is_cancelled(const GwReply *reply)
{
    return g_error_matches(reply->error, GW_ERROR, GW_ERR_CANCELLED);
}

static void copied(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    run->poll_us = run->abort_us = 0;
    if (is_cancelled(reply) && run->again && !run->stopping) {
        run->again = FALSE;
        begin_copy(engine, run);
        return;
    }
    if (reply->error == NULL && reply->copied != NULL)
        sum_up(engine, run, reply->copied);
    /* What was taken to be right may not have been: once more, trusting nothing. */
    if (g_error_matches(reply->error, GW_ERROR, GW_ERR_OPERATION) && run->resumed) {
        run->from_scratch = TRUE;
        run->task->copied_bytes = 0;
        begin_copy(engine, run);
        return;
    }
    gw_task_over(engine, run, reply->error);
}

void gw_task_abort_copy(GwEngine *engine, TaskRun *run)
{
    const GwJob *job = gw_task_job(engine, run);
    GwRequest *request = gw_request_new(GW_OP_COPY_ABORT, run->task->host_id, job->vm_uuid);

    request->text = copy_id(job, run->task);
    run->abort_us = gw_clock_now_us(engine->clock) + ABORT_AGAIN_US;
    gw_engine_ask(engine, request, told, job->id, GW_OP_COPY_ABORT);
}

/* One that may be under way is broken off; what was made for it is undone by its own task. */
static void undo_copy(GwEngine *engine, TaskRun *run)
{
    const GwJob *job = gw_task_job(engine, run);
    GwRequest *request = gw_request_new(GW_OP_COPY_ABORT, run->task->host_id, job->vm_uuid);

    request->text = copy_id(job, run->task);
    gw_task_ask(engine, run, request, gw_task_replied);
}

static GwRequest *ask_progress(GwEngine *engine, const TaskRun *run)
{
    const GwJob *job = gw_task_job(engine, run);
    GwRequest *request = gw_request_new(GW_OP_COPY_PROGRESS, run->task->host_id, job->vm_uuid);

    request->text = copy_id(job, run->task);
    return request;
}

static void said(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    if (reply->progress != NULL)
        gw_task_progress(engine, run, reply->progress);
}

const TaskEffect gw_task_volume_copy = {
    .act = copy,
    .undo = undo_copy,
    .poll = ask_progress,
    .said = said,
};
