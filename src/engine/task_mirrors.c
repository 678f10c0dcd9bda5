/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/tasks_internal.h"

/* Block jobs of a running VM: mirrors of its disks, images laid above them, and merges. */

static GwRequest *block_request(GwEngine *engine, const TaskRun *run, GwOp op)
{
    GwRequest *request = gw_task_request(engine, run, op);
    request->text = g_strdup(run->task->target);
    return request;
}

static void mirror_began(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    if (reply->error != NULL) {
        gw_task_over(engine, run, reply->error);
        return;
    }
    gint64 now = gw_clock_now_us(engine->clock);
    run->task->made = TRUE;
    run->noted_us = now;
    run->rate_us = 0;
    run->poll_us = now;
}

static void mirror(GwEngine *engine, TaskRun *run)
{
    const GwJob *job = gw_task_job(engine, run);
    GwRequest *request = block_request(engine, run, GW_OP_BLOCK_COPY);

    run->poll_us = 0;
    request->number = job->options != NULL ? job->options->bandwidth_mibps : 0;
    gw_task_ask(engine, run, request, mirror_began);
}

static gboolean is_merge(const TaskRun *run)
{
    return run->task->kind == GW_TASK_MERGE || run->task->kind == GW_TASK_OVERLAY;
}

/* A merge ends in what lies below. */
static void pivot(GwEngine *engine, TaskRun *run)
{
    GwRequest *request = block_request(engine, run, GW_OP_BLOCK_PIVOT);

    if (is_merge(run)) {
        gw_volume_free(request->volume);
        request->volume = gw_volume_copy(run->task->from);
    }
    request->timeout_us = GW_TASK_LONG_US;
    gw_task_ask(engine, run, request, gw_task_replied);
}

static void undo_mirror(GwEngine *engine, TaskRun *run)
{
    gw_task_ask(engine, run, block_request(engine, run, GW_OP_BLOCK_ABORT), gw_task_replied);
}

static void merge_began(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    if (reply->error != NULL)
        gw_task_over(engine, run, reply->error);
    else
        run->poll_us = gw_clock_now_us(engine->clock);
}

static void merge(GwEngine *engine, TaskRun *run)
{
    run->poll_us = 0;
    gw_task_ask(engine, run, block_request(engine, run, GW_OP_MERGE), merge_began);
}

/* What is laid above was made as a volume before, so that its own task takes it away again. */
static void overlay(GwEngine *engine, TaskRun *run)
{
    GwRequest *request = block_request(engine, run, GW_OP_OVERLAY);
    request->number = 1;
    gw_task_ask(engine, run, request, gw_task_replied);
}

/* No mirror runs any more: either the VM has gone over, or it was broken off. */
static void mirror_ended(GwEngine *engine, TaskRun *run, const char *live, const char *why)
{
    g_autoptr(GError) error = NULL;
    const char *colon = why != NULL ? ": " : "";

    if (why == NULL)
        why = "";

    run->poll_us = 0;
    gboolean above = g_strcmp0(live, run->task->volume->path) == 0;
    if (is_merge(run) && above)
        gw_error_set(&error, GW_ERR_OPERATION,
                     "See whether its storage is full or failed (the VM's log), then try again.",
                     "the merge ended before it was complete%s%s; the VM goes on with %s", colon,
                     why, live);
    else if (!is_merge(run) && !above)
        gw_error_set(&error, GW_ERR_OPERATION,
                     "See whether its storage is full or failed (the VM's log), then try again.",
                     "the mirror ended before it was complete%s%s; the VM goes on with %s", colon,
                     why, live != NULL ? live : "the disk that it had");
    gw_task_over(engine, run, error);
}

static void mirror_said(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    const GwProgress *progress = reply->progress;

    if (progress == NULL) {
        mirror_ended(engine, run, reply->text, reply->why);
        return;
    }
    gw_task_progress(engine, run, progress);
    if (g_strcmp0(progress->phase, "ready") != 0)
        return;
    run->poll_us = 0;
    if (is_merge(run)) {
        pivot(engine, run);
        return;
    }
    /* Nothing is sent: it stays on its host. */
    gw_task_result(engine, run)->disk_bytes += run->task->copied_bytes;
    gw_task_over(engine, run, NULL);
}

static GwRequest *ask_progress(GwEngine *engine, const TaskRun *run)
{
    return block_request(engine, run, GW_OP_BLOCK_PROGRESS);
}

const TaskEffect gw_task_block_copy = {
    .act = mirror,
    .undo = undo_mirror,
    .poll = ask_progress,
    .said = mirror_said,
};
const TaskEffect gw_task_block_pivot = { .act = pivot };
const TaskEffect gw_task_overlay = {
    .act = overlay,
    .undo = merge,
    .poll = ask_progress,
    .said = mirror_said,
};
const TaskEffect gw_task_merge = {
    .act = merge,
    .poll = ask_progress,
    .said = mirror_said,
};
