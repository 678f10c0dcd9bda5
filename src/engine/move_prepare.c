/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/moves_internal.h"

/* What is done before a move copies: its check on fresh facts, and what preparing makes and saves.
 */

/* Check ------------------------------------------------------------------------------------ */

/* Where disks are copied no lock holds both ends together, and half of a memory at either end could
 * not be told from the disks that belong to it: such a move always commits by resume. */
static void take_disks(GwEngine *engine, MoveRun *run, CheckResult *result)
{
    GwJob *job = run->move->job;

    gw_check_take(result, job);
    job->keep_source_s = gw_jobs_keep_source_s(engine, job);
    if (!gw_moves_copies_disks(job))
        return;
    run->decision->commit_by_resume = TRUE;
    run->decision->post_copy = FALSE;
}

static void checked(GwEngine *engine, CheckResult *result, gpointer user)
{
    g_autofree char *job_id = user;
    MoveRun *run = gw_moves_find(engine, job_id);

    if (run == NULL)
        return;
    if (run->move->job->part_of != NULL)
        gw_check_reserve(result);
    if (result->error != NULL) {
        gw_moves_news(engine, run,
                      (GwMoveEvent){ .kind = GW_MOVE_REFUSED, .error = result->error });
        return;
    }
    GwMove *move = run->move;
    if (gw_moves_is_merging(result->vm) && move->job->options->wait_for_merge) {
        gw_moves_news(engine, run, (GwMoveEvent){ .kind = GW_MOVE_MERGING });
        return;
    }
    gw_move_decision_free(run->decision);
    run->decision = g_steal_pointer(&result->decision);
    take_disks(engine, run, result);
    gw_predictions_note(move->job, result->plan);
    move->job->commit_by_resume = run->decision->commit_by_resume;
    move->job->through_agents = run->decision->through_agents;
    move->job->vm_persistent = result->vm->persistent;
    move->job->vm_autostart = result->vm->autostart;
    move->job->completion_timeout_s = run->decision->completion_timeout_us / G_USEC_PER_SEC;
    move->job->progress_timeout_s = run->decision->progress_timeout_us / G_USEC_PER_SEC;
    move->job->result->downtime_ms = move->job->result->downtime_libvirt_ms = -1;
    g_free(move->job->result->method);
    move->job->result->method = g_strdup(run->decision->method_words);

    const GwHost *destination =
        gw_fabric_host(gw_engine_now(engine), move->job->destination_host_id);
    g_autofree char *peer = destination != NULL ? gw_host_peer_uri(destination) : NULL;
    move->job->peer_to_peer = peer != NULL || move->job->through_agents;
    gw_tasks_make(move->job, result->vm);
    gw_kept_spare_shared(engine, move->job, result->vm);
    gw_moves_news(engine, run, (GwMoveEvent){ .kind = GW_MOVE_CHECKED });
}

/* It may have been cancelled meanwhile. */
static void sampled(GwEngine *engine, gpointer user)
{
    g_autofree char *job_id = user;
    const MoveRun *run = gw_moves_find(engine, job_id);
    const GwJob *job = run != NULL ? run->move->job : NULL;

    if (job == NULL || job->state != GW_JOB_CHECKING)
        return;
    gw_check_begin(engine, job->vm_uuid, job->source_host_id, job->destination_host_id,
                   job->options, job->id, checked, g_strdup(job_id));
}

/* The check comes after the sample, so that it rests on fresh facts. */
void gw_moves_check(GwEngine *engine, MoveRun *run)
{
    const GwJob *job = run->move->job;
    const GwVm *vm = gw_fabric_vm(gw_engine_now(engine), job->source_host_id, job->vm_uuid);

    if (vm != NULL)
        gw_dirty_sample_briefly(engine, vm, sampled, g_strdup(job->id));
    else
        sampled(engine, g_strdup(job->id));
}

/* Prepare ---------------------------------------------------------------------------------- */

static void prepared(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 unused)
{
    MoveRun *run = gw_moves_find(engine, job_id);

    (void)unused;
    if (run == NULL)
        return;
    GwMoveEventKind kind = reply->error == NULL ? GW_MOVE_PREPARED : GW_MOVE_NOT_PREPARED;
    gw_moves_news(engine, run, (GwMoveEvent){ .kind = kind, .error = reply->error });
}

static void epoch_stored(GwEngine *engine, gpointer data)
{
    g_autofree char *job_id = data;
    MoveRun *run = gw_moves_find(engine, job_id);

    if (run != NULL)
        gw_moves_ask_leave(engine, run, prepared);
}

/* Copies of files between the agents had leave of their own, of this epoch; leave that is given is
 * not turned into another kind of leave, but replaced by that of a later epoch. */
static void take_next_epoch(GwEngine *engine, MoveRun *run)
{
    GwJob *job = run->move->job;
    GwBatch *batch = gw_batch_new();

    job->epoch = gw_moves_next_epoch(engine, job->vm_uuid, batch);
    gw_batch_put(batch, GW_KIND_JOB, job->id, gw_record_to_json(&gw_job_record, job));
    gw_engine_journal(engine, batch, epoch_stored, NULL, g_strdup(job->id));
}

static gboolean copied_files(const GwJob *job)
{
    for (guint i = 0; job->tasks != NULL && i < job->tasks->len; i++) {
        const GwTask *task = job->tasks->pdata[i];
        if (task->kind == (int)GW_TASK_VOLUME_COPY && task->peer_host_id != NULL)
            return TRUE;
    }
    return FALSE;
}

/* The last thing that preparing does: nothing is to be undone where it is refused. */
static void autostart_off(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 unused)
{
    MoveRun *run = gw_moves_find(engine, job_id);

    if (run == NULL || reply->error != NULL || !run->move->job->through_agents)
        prepared(engine, reply, job_id, unused);
    else if (copied_files(run->move->job))
        take_next_epoch(engine, run);
    else
        gw_moves_ask_leave(engine, run, prepared);
}

/* The volumes are there. With autostart on, a source host that boots at the wrong moment would
 * start a second copy. */
static void ready(GwEngine *engine, MoveRun *run)
{
    const GwJob *job = run->move->job;

    if (job->vm_autostart) {
        gw_moves_ask(engine, run,
                     gw_request_new(GW_OP_AUTOSTART, job->source_host_id, job->vm_uuid),
                     autostart_off, 0);
        return;
    }
    g_autoptr(GwReply) nothing = gw_reply_new(0);
    autostart_off(engine, nothing, job->id, 0);
}

/* The move whose definition it is, which is saved; NULL: it is over, or its host refused. */
static MoveRun *take_xml(GwEngine *engine, const GwReply *reply, const char *job_id)
{
    MoveRun *run = gw_moves_find(engine, job_id);

    if (run != NULL && reply->error != NULL)
        prepared(engine, reply, job_id, 0);
    if (run == NULL || reply->error != NULL)
        return NULL;
    g_free(run->move->job->saved_xml);
    run->move->job->saved_xml = g_strdup(reply->text);
    return run;
}

static void saved_again(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 unused)
{
    MoveRun *run = take_xml(engine, reply, job_id);

    (void)unused;
    if (run != NULL)
        ready(engine, run);
}

static gboolean has_overlay(const GwJob *job)
{
    for (guint i = 0; job->disks != NULL && i < job->disks->len; i++) {
        if (gw_disk_move_is_delta(job->disks->pdata[i]))
            return TRUE;
    }
    return FALSE;
}

/* Where the guest writes above its disks by now, the definition that was saved is an old one: a VM
 * that started from it would lose what was written since. */
static void tasks_done(GwEngine *engine, const char *job_id, const GError *error)
{
    MoveRun *run = gw_moves_find(engine, job_id);

    if (run == NULL)
        return;
    const GwJob *job = run->move->job;
    if (error != NULL)
        gw_moves_news(engine, run, (GwMoveEvent){ .kind = GW_MOVE_NOT_PREPARED, .error = error });
    else if (has_overlay(job))
        gw_moves_ask(engine, run, gw_request_new(GW_OP_GET_XML, job->source_host_id, job->vm_uuid),
                     saved_again, 0);
    else
        ready(engine, run);
}

static void saved_xml(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 unused)
{
    MoveRun *run = take_xml(engine, reply, job_id);

    (void)unused;
    if (run == NULL)
        return;
    if (gw_tasks_next(run->move->job, GW_TASK_BEFORE) == NULL)
        tasks_done(engine, job_id, NULL);
    else
        gw_tasks_run(engine, job_id, GW_TASK_BEFORE, FALSE, tasks_done);
}

void gw_moves_prepare(GwEngine *engine, MoveRun *run)
{
    const GwJob *job = run->move->job;
    gw_moves_ask(engine, run, gw_request_new(GW_OP_GET_XML, job->source_host_id, job->vm_uuid),
                 saved_xml, 0);
}
