/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/tasks_internal.h"

/* Virtual HBAs that go along with a VM that is off (R41): the WWPN logs out at the source, then in
 * at the destination, which has to show the same LUNs before the VM is defined on them. What it
 * showed is journaled before it is stopped: afterwards nobody can tell. */

#define PATIENCE 6 /* looks for LUNs, with growing pauses: a minute */

/* Where the task's virtual HBA goes; NULL and the task is over: the job does not say. */
static GwHbaMove *hba_of(GwEngine *engine, TaskRun *run)
{
    const GwJob *job = gw_task_job(engine, run);
    GwHbaMove *hba = gw_record_find(&gw_hba_move_record, job->hbas, "pool",
                                    run->task->volume != NULL ? run->task->volume->pool : NULL);
    g_autoptr(GError) unknown = NULL;

    if (hba != NULL)
        return hba;
    gw_error_set(&unknown, GW_ERR_INTERNAL, NULL, "the job does not say where it goes");
    gw_task_over(engine, run, unknown);
    return NULL;
}

static void ask(GwEngine *engine, TaskRun *run, GwOp op, const GwHbaMove *hba, gint64 number,
                const char *peer_id)
{
    GwRequest *request = gw_task_request(engine, run, op);

    request->hba = gw_hba_move_copy(hba);
    request->number = number;
    request->peer_host_id = g_strdup(peer_id);
    request->timeout_us = GW_TASK_LONG_US; /* a SAN may take its time */
    gw_task_ask(engine, run, request, gw_task_replied);
}

static void look(GwEngine *engine, TaskRun *run, const GwHbaMove *hba,
                 void (*then)(GwEngine *, TaskRun *, const GwReply *))
{
    GwRequest *request = gw_task_request(engine, run, GW_OP_HBA_LOOK);

    request->text = g_strdup(hba->pool);
    request->timeout_us = GW_TASK_LONG_US;
    gw_task_ask(engine, run, request, then);
}

/* Stop ------------------------------------------------------------------------------------- */

/* Cancelled while what it shows was being journaled: it is as it was, which its undo sees to. */
static void stop_now(GwEngine *engine, TaskRun *run)
{
    g_autoptr(GError) cancelled = NULL;
    const GwHbaMove *hba = hba_of(engine, run);

    if (hba == NULL)
        return;
    if (!run->stopping) {
        ask(engine, run, GW_OP_HBA_STOP, hba, 0, NULL);
        return;
    }
    gw_error_set(&cancelled, GW_ERR_CANCELLED, NULL, "cancelled before it logged out");
    gw_task_over(engine, run, cancelled);
}

/* It is as the plan had it, and shows what the VM has behind it. */
static gboolean check_seen(const GwHbaMove *hba, const GwVirtualHba *seen, GError **error)
{
    if (seen->active && gw_hba_same_wwn(seen->wwpn, hba->source_wwpn))
        return gw_virtual_hba_check(seen, seen, hba->volumes, error);
    gw_error_set(error, GW_ERR_CONFLICT, "Try again: the plan is made anew then.",
                 "it is not logged in with WWPN %s any more", hba->source_wwpn);
    return FALSE;
}

static void source_looked(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    GwJob *job = gw_task_job(engine, run);
    GwHbaMove *hba = hba_of(engine, run);
    g_autoptr(GError) error = NULL;

    if (hba == NULL)
        return;
    if (reply->error != NULL || !check_seen(hba, reply->hba, &error)) {
        gw_task_over(engine, run, reply->error != NULL ? reply->error : error);
        return;
    }
    gw_virtual_hba_free(hba->was);
    hba->was = gw_virtual_hba_with(reply->hba, hba->volumes);
    gw_task_journal(engine, run, job, gw_batch_new(), "virtual HBA read", hba->pool, stop_now);
}

static void stop(GwEngine *engine, TaskRun *run)
{
    const GwHbaMove *hba = hba_of(engine, run);

    if (hba == NULL)
        return;
    if (hba->was == NULL)
        look(engine, run, hba, source_looked);
    else
        stop_now(engine, run);
}

/* What was never read was never asked to stop. */
static void undo_stop(GwEngine *engine, TaskRun *run)
{
    const GwHbaMove *hba = hba_of(engine, run);

    if (hba == NULL)
        return;
    if (hba->was == NULL)
        gw_task_over(engine, run, NULL);
    else
        ask(engine, run, GW_OP_HBA_START, hba, 0, run->task->host_id);
}

/* Start ------------------------------------------------------------------------------------ */

static void start(GwEngine *engine, TaskRun *run)
{
    const GwHbaMove *hba = hba_of(engine, run);
    const GwTask *task = run->task;

    if (hba != NULL && gw_task_hosts_ready(engine, run, task->host_id, task->peer_host_id))
        ask(engine, run, GW_OP_HBA_START, hba, 0, task->peer_host_id);
}

/* Its definition goes as well: of what came along nothing stays. */
static void forget(GwEngine *engine, TaskRun *run)
{
    const GwHbaMove *hba = hba_of(engine, run);

    if (hba != NULL)
        ask(engine, run, GW_OP_HBA_STOP, hba, 1, NULL);
}

/* Check ------------------------------------------------------------------------------------ */

/* What the SAN shows at all it shows within a minute; where it does not, its remedy is said. */
static void lose_patience(const TaskRun *run, GError **error)
{
    g_autoptr(GError) busy = NULL;

    if (!g_error_matches(*error, GW_ERROR, GW_ERR_BUSY) || run->refusals < PATIENCE)
        return;
    busy = g_steal_pointer(error);
    gw_error_set(error, GW_ERR_OPERATION, gw_error_remedy(busy), "%s", busy->message);
}

static void destination_looked(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    const GwHbaMove *hba = hba_of(engine, run);
    g_autoptr(GError) error = NULL;

    if (hba == NULL)
        return;
    if (reply->error == NULL && hba->was != NULL)
        gw_virtual_hba_check(hba->was, reply->hba, hba->volumes, &error);
    lose_patience(run, &error);
    gw_task_over(engine, run, reply->error != NULL ? reply->error : error);
}

static void check(GwEngine *engine, TaskRun *run)
{
    const GwHbaMove *hba = hba_of(engine, run);

    if (hba != NULL)
        look(engine, run, hba, destination_looked);
}

const TaskEffect gw_task_hba_stop = { .act = stop, .undo = undo_stop };
const TaskEffect gw_task_hba_start = { .act = start, .undo = forget };
const TaskEffect gw_task_hba_check = { .act = check };
const TaskEffect gw_task_hba_forget = { .act = forget };
