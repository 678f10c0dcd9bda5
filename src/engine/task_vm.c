/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/jobs_internal.h"
#include "engine/tasks_internal.h"

/* Tasks about the VM itself: its definition, autostart, start, and the records of its snapshots. */

/* Definitions ------------------------------------------------------------------------------ */

static void define(GwEngine *engine, TaskRun *run)
{
    const GwJob *job = gw_task_job(engine, run);
    const GwTask *task = run->task;

    if (!gw_task_hosts_ready(engine, run, task->host_id, task->peer_host_id))
        return;
    GwRequest *request = gw_task_request(engine, run, GW_OP_DEFINE_FROM);
    request->peer_host_id =
        g_strdup(task->peer_host_id != NULL ? task->peer_host_id : task->host_id);
    request->disks = g_ptr_array_ref(job->disks);
    if (job->nics != NULL)
        request->nics = g_ptr_array_ref(job->nics);
    request->nics_xml = g_strdup(gw_jobs_nics_xml(engine, job));
    gw_task_ask(engine, run, request, gw_task_replied);
}

/* The last definition of a VM is not removed, whatever was seen before (I2). */
static void twin_looked(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    g_autoptr(GError) only = NULL;

    if (reply->error != NULL) {
        gw_task_over(engine, run, reply->error);
        return;
    }
    if (reply->look->present && reply->look->persistent) {
        gw_task_ask(engine, run, gw_task_request(engine, run, GW_OP_UNDEFINE), gw_task_replied);
        return;
    }
    gw_error_set(&only, GW_ERR_CONFLICT, "See what can be done: godwit job undo JOB --dry-run.",
                 "it is the VM's only definition: the other host has none any more");
    gw_task_over(engine, run, only);
}

static void undefine(GwEngine *engine, TaskRun *run)
{
    const GwTask *task = run->task;

    if (task->peer_host_id == NULL) {
        gw_task_ask(engine, run, gw_task_request(engine, run, GW_OP_UNDEFINE), gw_task_replied);
        return;
    }
    if (gw_task_hosts_ready(engine, run, task->host_id, task->peer_host_id))
        gw_task_ask(
            engine, run,
            gw_request_new(GW_OP_LOOK, task->peer_host_id, gw_task_job(engine, run)->vm_uuid),
            twin_looked);
}

/* What a repair undefined was a remnant, and is not put back: it saved none. */
static void undo_undefine(GwEngine *engine, TaskRun *run)
{
    if (gw_task_job(engine, run)->saved_xml == NULL) {
        gw_task_over(engine, run, NULL);
        return;
    }
    GwRequest *request = gw_task_request(engine, run, GW_OP_DEFINE);
    request->text = g_strdup(gw_task_job(engine, run)->saved_xml);
    gw_task_ask(engine, run, request, gw_task_replied);
}

static void set_autostart(GwEngine *engine, TaskRun *run, gboolean on)
{
    GwRequest *request = gw_task_request(engine, run, GW_OP_AUTOSTART);
    request->number = on ? 1 : 0;
    gw_task_ask(engine, run, request, gw_task_replied);
}

static void autostart(GwEngine *engine, TaskRun *run)
{
    set_autostart(engine, run, run->task->turn == GW_TASK_AFTER);
}

static void undo_autostart(GwEngine *engine, TaskRun *run)
{
    set_autostart(engine, run, run->task->turn == GW_TASK_BEFORE);
}

static void boot(GwEngine *engine, TaskRun *run)
{
    GwRequest *request = gw_task_request(engine, run, GW_OP_START);
    request->timeout_us = GW_TASK_LONG_US;
    gw_task_ask(engine, run, request, gw_task_replied);
}

static void looked(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    const GwLook *look = reply->look;

    if (reply->error != NULL)
        gw_task_over(engine, run, reply->error);
    else if (look->present && look->state != (int)GW_VM_OFF && look->state != (int)GW_VM_CRASHED)
        gw_task_over(engine, run, NULL);
    else
        boot(engine, run);
}

/* A start whose answer was lost may have come through, and cannot be repeated blindly. */
static void start(GwEngine *engine, TaskRun *run)
{
    if (run->unsure)
        gw_task_ask(engine, run, gw_task_request(engine, run, GW_OP_LOOK), looked);
    else
        boot(engine, run);
}

/* Snapshots -------------------------------------------------------------------------------- */

static void remember(GwEngine *engine, TaskRun *run)
{
    const GwJob *job = gw_task_job(engine, run);

    if (job->snapshots == NULL || job->snapshots[0] == NULL) {
        gw_task_over(engine, run, NULL);
        return;
    }
    GwRequest *request = gw_task_request(engine, run, GW_OP_SNAPSHOTS_REMEMBER);
    request->definitions = g_strdupv(job->snapshots);
    request->text = g_strdup(job->snapshot_current);
    if (job->nics != NULL && !run->undo)
        request->nics = g_ptr_array_ref(job->nics);
    request->timeout_us = GW_TASK_LONG_US;
    gw_task_ask(engine, run, request, gw_task_replied);
}

static void forget_now(GwEngine *engine, gpointer data)
{
    g_autofree char *job_id = data;
    TaskRun *run = g_hash_table_lookup(engine->task_runs, job_id);

    if (run == NULL || run->task == NULL || run->task->kind != GW_TASK_SNAPSHOTS_FORGET ||
        run->undo || gw_task_job(engine, run) == NULL)
        return;
    GwRequest *request = gw_task_request(engine, run, GW_OP_SNAPSHOTS_FORGET);
    request->timeout_us = GW_TASK_LONG_US;
    gw_task_ask(engine, run, request, gw_task_replied);
}

static void snapshots_came(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    GwJob *job = gw_task_job(engine, run);
    GwBatch *batch;

    if (reply->error != NULL) {
        gw_task_over(engine, run, reply->error);
        return;
    }
    job->snapshots = g_strdupv(reply->definitions);
    g_free(job->snapshot_current);
    job->snapshot_current = g_strdup(reply->text);
    batch = gw_batch_new();
    gw_batch_put(batch, GW_KIND_JOB, job->id, gw_record_to_json(&gw_job_record, job));
    gw_engine_journal(engine, batch, forget_now, NULL, g_strdup(job->id));
}

/* They are in the store before they are nowhere else; what was read once is not read again, when
 * half of them may be gone. */
static void forget(GwEngine *engine, TaskRun *run)
{
    const GwJob *job = gw_task_job(engine, run);

    if (job->snapshots == NULL || job->snapshots[0] == NULL)
        gw_task_ask(engine, run, gw_task_request(engine, run, GW_OP_SNAPSHOTS), snapshots_came);
    else
        forget_now(engine, g_strdup(job->id));
}

const TaskEffect gw_task_define = { .act = define, .undo = undefine };
const TaskEffect gw_task_undefine = { .act = undefine, .undo = undo_undefine };
const TaskEffect gw_task_snapshots_forget = { .act = forget, .undo = remember };
const TaskEffect gw_task_snapshots_remember = { .act = remember };
const TaskEffect gw_task_start = { .act = start };
const TaskEffect gw_task_autostart = { .act = autostart, .undo = undo_autostart };
