/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/inventory.h"
#include "engine/tasks_internal.h"

/* Tasks as requests to hosts: which file does which, and what all of them need. */

static const TaskEffect *const effects[] = {
    [GW_TASK_VOLUME_CREATE] = &gw_task_volume_create,
    [GW_TASK_VOLUME_REPLACE] = &gw_task_volume_replace,
    [GW_TASK_VOLUME_COPY] = &gw_task_volume_copy,
    [GW_TASK_BLOCK_COPY] = &gw_task_block_copy,
    [GW_TASK_BLOCK_PIVOT] = &gw_task_block_pivot,
    [GW_TASK_DEFINE] = &gw_task_define,
    [GW_TASK_UNDEFINE] = &gw_task_undefine,
    [GW_TASK_SNAPSHOTS_FORGET] = &gw_task_snapshots_forget,
    [GW_TASK_SNAPSHOTS_REMEMBER] = &gw_task_snapshots_remember,
    [GW_TASK_START] = &gw_task_start,
    [GW_TASK_AUTOSTART] = &gw_task_autostart,
    [GW_TASK_VOLUME_KEEP] = &gw_task_volume_keep,
    [GW_TASK_VOLUME_DELETE] = &gw_task_volume_delete,
    [GW_TASK_OVERLAY] = &gw_task_overlay,
    [GW_TASK_MERGE] = &gw_task_merge,
    [GW_TASK_HBA_STOP] = &gw_task_hba_stop,
    [GW_TASK_HBA_START] = &gw_task_hba_start,
    [GW_TASK_HBA_CHECK] = &gw_task_hba_check,
    [GW_TASK_HBA_FORGET] = &gw_task_hba_forget,
};

GwJob *gw_task_job(GwEngine *engine, const TaskRun *run)
{
    return gw_tasks_job(engine, run->job_id);
}

GwRequest *gw_task_request(GwEngine *engine, const TaskRun *run, GwOp op)
{
    GwRequest *request = gw_request_new(op, run->task->host_id, gw_task_job(engine, run)->vm_uuid);

    if (run->task->volume != NULL)
        request->volume = gw_volume_copy(run->task->volume);
    return request;
}

void gw_task_replied(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    gw_task_over(engine, run, reply->error);
}

GwMoveResult *gw_task_result(GwEngine *engine, const TaskRun *run)
{
    GwJob *job = gw_task_job(engine, run);

    if (job->result == NULL)
        job->result = gw_move_result_new();
    return job->result;
}

static gboolean is_ready(GwEngine *engine, TaskRun *run, const char *host_id)
{
    const HostRun *host = g_hash_table_lookup(engine->hosts, host_id);

    if (host == NULL) {
        g_autoptr(GError) gone = NULL;
        gw_error_set(&gone, GW_ERR_NOT_FOUND, "Add the host again, then repair the job.",
                     "the host is no longer managed");
        gw_task_over(engine, run, gone);
        return FALSE;
    }
    if (host->listed)
        return TRUE;
    g_autofree char *why =
        g_strdup_printf("host '%s' to answer", gw_engine_host_name(engine, host_id));
    gw_task_wait(engine, run, why);
    return FALSE;
}

gboolean gw_task_hosts_ready(GwEngine *engine, TaskRun *run, const char *host_id,
                             const char *peer_host_id)
{
    return is_ready(engine, run, host_id) &&
           (peer_host_id == NULL || is_ready(engine, run, peer_host_id));
}

static void answered(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 number)
{
    TaskRun *run = g_hash_table_lookup(engine->task_runs, job_id);

    if (run == NULL || (guint64)number != run->asked || gw_tasks_job(engine, job_id) == NULL)
        return;
    run->asked = 0;
    run->then(engine, run, reply);
}

void gw_task_ask(GwEngine *engine, TaskRun *run, GwRequest *request,
                 void (*then)(GwEngine *, TaskRun *, const GwReply *))
{
    run->asked = ++engine->last_task_question;
    run->then = then;
    gw_engine_ask(engine, request, answered, run->job_id, (gint64)run->asked);
}

static void polled(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 number)
{
    TaskRun *run = g_hash_table_lookup(engine->task_runs, job_id);

    if (run == NULL || (guint64)number != run->polled)
        return;
    run->polling = FALSE;
    /* What does not come may come next time; time-outs watch over it. */
    if (reply->error != NULL || run->poll_us == 0 || gw_task_job(engine, run) == NULL)
        return;
    effects[run->task->kind]->said(engine, run, reply);
}

void gw_task_poll(GwEngine *engine, TaskRun *run)
{
    GwRequest *request = effects[run->task->kind]->poll(engine, run);

    run->polling = TRUE;
    run->polled = ++engine->last_task_question;
    gw_engine_ask(engine, request, polled, run->job_id, (gint64)run->polled);
}

/* Whether what is there under the name of @task's volume is being removed just now. */
static gboolean must_wait(GwEngine *engine, const TaskRun *run)
{
    const GwTask *task = run->task;
    gboolean puts = task->kind == GW_TASK_VOLUME_CREATE || task->kind == GW_TASK_VOLUME_REPLACE ||
                    task->kind == GW_TASK_VOLUME_COPY;

    return puts && !run->undo && gw_kept_is_going(engine, task->host_id, task->volume);
}

void gw_task_act(GwEngine *engine, TaskRun *run)
{
    gboolean by_itself = run->task->kind == GW_TASK_VOLUME_KEEP;

    if (must_wait(engine, run)) {
        gw_task_wait(engine, run, "the removal of the old copy that is there");
        return;
    }
    if (by_itself || gw_task_hosts_ready(engine, run, run->task->host_id, NULL)) {
        if (run->undo)
            effects[run->task->kind]->undo(engine, run);
        else
            effects[run->task->kind]->act(engine, run);
    }
}
