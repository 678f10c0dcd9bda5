/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/tasks_internal.h"

/* Tasks as requests to hosts, and their replies as outcomes. */

#define POLL_US (G_USEC_PER_SEC / 2)
#define ABORT_AGAIN_US (2 * G_USEC_PER_SEC)
#define LEAVE_TIMEOUT_US (15 * G_USEC_PER_SEC)
#define LEAVE_MARGIN_S 3600
#define LEAVE_MAX_S (30 * 24 * 3600)
/* Deleting a large file, or making all of a volume at once, takes its time. */
#define VOLUME_TIMEOUT_US (120 * G_USEC_PER_SEC)

static GwJob *job_of(GwEngine *engine, const TaskRun *run)
{
    return gw_tasks_job(engine, run->job_id);
}

static GwRequest *request_of(GwEngine *engine, const TaskRun *run, GwOp op)
{
    GwRequest *request = gw_request_new(op, run->task->host_id, job_of(engine, run)->vm_uuid);

    if (run->task->volume != NULL)
        request->volume = gw_volume_copy(run->task->volume);
    return request;
}

/* For what needs nothing but an answer. */
static void over(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    gw_task_over(engine, run, reply->error);
}

static void told(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 op)
{
    (void)engine;
    if (reply->error != NULL)
        g_info("job %s: %s: %s", job_id, gw_op_word((GwOp)op), reply->error->message);
}

/* Volumes ---------------------------------------------------------------------------------- */

static GwRequest *volume_request(GwEngine *engine, const TaskRun *run, GwOp op)
{
    GwRequest *request = request_of(engine, run, op);
    request->timeout_us = VOLUME_TIMEOUT_US;
    return request;
}

/* Whether @other, of a job that is not over, makes the same volume, or may have; of two that have
 * not begun the older job goes first. */
static gboolean makes_it(const GwJob *job, const GwTask *task, const GwJob *other)
{
    for (guint i = 0; other->tasks != NULL && i < other->tasks->len; i++) {
        const GwTask *its = other->tasks->pdata[i];
        gboolean waits = its->state == (int)GW_TASK_TODO && g_strcmp0(other->id, job->id) < 0;
        gboolean begun = its->made || its->state == (int)GW_TASK_DOING ||
                         its->state == (int)GW_TASK_DONE || its->state == (int)GW_TASK_UNDOING;
        if (its->kind == (int)GW_TASK_VOLUME_CREATE && (waits || begun) &&
            g_strcmp0(its->host_id, task->host_id) == 0 &&
            gw_same_volume(its->volume, task->volume))
            return TRUE;
    }
    return FALSE;
}

/* Two that make one volume: where an answer is lost, each would take what the other made for its
 * own. */
static gboolean is_only_ours(GwEngine *engine, const TaskRun *run, GError **error)
{
    const GwJob *job = job_of(engine, run);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, gw_engine_now(engine)->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *other = value;
        if (g_strcmp0(other->id, job->id) == 0 || gw_job_state_is_final((GwJobState)other->state) ||
            !makes_it(job, run->task, other))
            continue;
        gw_error_set(error, GW_ERR_CONFLICT, "Choose another name or place, or wait for that job.",
                     "another job makes a volume of that name: %s", other->title);
        return FALSE;
    }
    return TRUE;
}

/* A file that is in no pool (NVRAM, TPM state) is made by its copy. */
static void create(GwEngine *engine, TaskRun *run)
{
    g_autoptr(GError) error = NULL;

    if (!run->unsure && !is_only_ours(engine, run, &error)) {
        gw_task_over(engine, run, error);
        return;
    }
    if (run->task->volume->pool == NULL) {
        gw_task_over(engine, run, NULL);
        return;
    }
    GwRequest *request = volume_request(engine, run, GW_OP_VOLUME_CREATE);
    request->number = run->unsure ? 1 : 0;
    gw_task_ask(engine, run, request, over);
}

static void delete_now(GwEngine *engine, TaskRun *run)
{
    g_autoptr(GError) used = NULL;

    if (gw_tasks_stands_on(job_of(engine, run), run->task)) {
        gw_error_set(&used, GW_ERR_CONFLICT, "Merge it first: virsh blockcommit --active --pivot.",
                     "it was not merged into the image below it: the disk still is on it");
        gw_task_over(engine, run, used);
        return;
    }
    /* What this very job made nobody else has yet. */
    if (run->task->kind != GW_TASK_VOLUME_CREATE)
        gw_task_delete(engine, run);
    else
        gw_task_ask(engine, run, volume_request(engine, run, GW_OP_VOLUME_DELETE), over);
}

/* What is there now is ours if it could be made as if by us. */
static void claimed(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    if (g_error_matches(reply->error, GW_ERROR, GW_ERR_CONFLICT))
        gw_task_over(engine, run, NULL); /* not ours: it stays */
    else if (reply->error != NULL)
        gw_task_over(engine, run, reply->error);
    else
        delete_now(engine, run);
}

/* Where it is not known whether it was made, making it (as a restart would) tells: one that is not
 * ours is left alone. */
static void undo_create(GwEngine *engine, TaskRun *run)
{
    if (run->task->made || run->task->volume->pool == NULL) {
        delete_now(engine, run);
        return;
    }
    GwRequest *request = volume_request(engine, run, GW_OP_VOLUME_CREATE);
    request->number = 1;
    gw_task_ask(engine, run, request, claimed);
}

/* A repair removes what another job made, or may have made. */
static void delete_volume(GwEngine *engine, TaskRun *run)
{
    const char *kind = job_of(engine, run)->kind;
    g_autoptr(GError) error = NULL;

    if (g_strcmp0(kind, GW_JOB_KIND_REPAIR) == 0)
        undo_create(engine, run);
    else if (g_strcmp0(kind, GW_JOB_KIND_VOLUME_REMOVE) != 0 ||
             gw_kept_may_remove(engine, run->task, &error))
        delete_now(engine, run);
    else
        gw_task_over(engine, run, error);
}

/* Only what is known here as an old copy is removed (I4). */
static void replace(GwEngine *engine, TaskRun *run)
{
    const GwKeptVolume *kept = gw_kept_find(engine, run->task->host_id, run->task->volume);
    g_autoptr(GError) other = NULL;

    if (kept != NULL && g_strcmp0(kept->vm_uuid, job_of(engine, run)->vm_uuid) == 0) {
        delete_now(engine, run);
        return;
    }
    gw_error_set(&other, GW_ERR_CONFLICT, "Choose another name or another pool.",
                 "what is there is not, or no longer, a kept copy of this disk");
    gw_task_over(engine, run, other);
}

static void keep(GwEngine *engine, TaskRun *run)
{
    gw_task_over(engine, run, NULL); /* it is all in the commit of its end */
}

/* Copies of files -------------------------------------------------------------------------- */

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
    const GwJob *job = job_of(engine, run);
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
    const GwJob *job = job_of(engine, run);
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

static GwMoveResult *result_of(GwEngine *engine, const TaskRun *run)
{
    GwJob *job = job_of(engine, run);

    if (job->result == NULL)
        job->result = gw_move_result_new();
    return job->result;
}

static void sum_up(GwEngine *engine, TaskRun *run, const GwCopyResult *result)
{
    GwJob *job = job_of(engine, run);
    GwMoveResult *sum = result_of(engine, run);

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
    const GwJob *job = job_of(engine, run);
    GwRequest *request = gw_request_new(GW_OP_COPY_ABORT, run->task->host_id, job->vm_uuid);

    request->text = copy_id(job, run->task);
    run->abort_us = gw_clock_now_us(engine->clock) + ABORT_AGAIN_US;
    gw_engine_ask(engine, request, told, job->id, GW_OP_COPY_ABORT);
}

/* One that may be under way is broken off; what was made for it is undone by its own task. */
static void undo_copy(GwEngine *engine, TaskRun *run)
{
    const GwJob *job = job_of(engine, run);
    GwRequest *request = gw_request_new(GW_OP_COPY_ABORT, run->task->host_id, job->vm_uuid);

    request->text = copy_id(job, run->task);
    gw_task_ask(engine, run, request, over);
}

/* Mirrors ---------------------------------------------------------------------------------- */

static GwRequest *block_request(GwEngine *engine, const TaskRun *run, GwOp op)
{
    GwRequest *request = request_of(engine, run, op);
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
    const GwJob *job = job_of(engine, run);
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
    request->timeout_us = VOLUME_TIMEOUT_US;
    gw_task_ask(engine, run, request, over);
}

static void undo_mirror(GwEngine *engine, TaskRun *run)
{
    gw_task_ask(engine, run, block_request(engine, run, GW_OP_BLOCK_ABORT), over);
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
    gw_task_ask(engine, run, request, over);
}

/* No mirror runs any more: either the VM has gone over, or it was broken off. */
static void mirror_ended(GwEngine *engine, TaskRun *run, const char *live)
{
    g_autoptr(GError) error = NULL;

    run->poll_us = 0;
    gboolean above = g_strcmp0(live, run->task->volume->path) == 0;
    if (is_merge(run) && above)
        gw_error_set(&error, GW_ERR_OPERATION,
                     "See whether its storage is full or failed (the VM's log), then try again.",
                     "the merge ended before it was complete; the VM goes on with %s", live);
    else if (!is_merge(run) && !above)
        gw_error_set(&error, GW_ERR_OPERATION,
                     "See whether its storage is full or failed (the VM's log), then try again.",
                     "the mirror ended before it was complete; the VM goes on with %s",
                     live != NULL ? live : "the disk that it had");
    gw_task_over(engine, run, error);
}

static void mirror_said(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    const GwProgress *progress = reply->progress;

    if (progress == NULL) {
        mirror_ended(engine, run, reply->text);
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
    result_of(engine, run)->disk_bytes += run->task->copied_bytes;
    gw_task_over(engine, run, NULL);
}

/* Statistics ------------------------------------------------------------------------------- */

static void polled(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 number)
{
    TaskRun *run = g_hash_table_lookup(engine->task_runs, job_id);

    if (run == NULL || (guint64)number != run->polled)
        return;
    run->polling = FALSE;
    /* What does not come may come next time; time-outs watch over it. */
    if (reply->error != NULL || run->poll_us == 0 || job_of(engine, run) == NULL)
        return;
    if (run->task->kind != GW_TASK_VOLUME_COPY)
        mirror_said(engine, run, reply);
    else if (reply->progress != NULL)
        gw_task_progress(engine, run, reply->progress);
}

void gw_task_poll(GwEngine *engine, TaskRun *run)
{
    const GwJob *job = job_of(engine, run);
    GwRequest *request;

    if (run->task->kind == GW_TASK_VOLUME_COPY) {
        request = gw_request_new(GW_OP_COPY_PROGRESS, run->task->host_id, job->vm_uuid);
        request->text = copy_id(job, run->task);
    } else {
        request = block_request(engine, run, GW_OP_BLOCK_PROGRESS);
    }
    run->polling = TRUE;
    run->polled = ++engine->last_task_question;
    gw_engine_ask(engine, request, polled, job->id, (gint64)run->polled);
}

/* The VM ----------------------------------------------------------------------------------- */

static void define(GwEngine *engine, TaskRun *run)
{
    const GwJob *job = job_of(engine, run);
    const GwTask *task = run->task;

    if (!gw_task_hosts_ready(engine, run, task->host_id, task->peer_host_id))
        return;
    GwRequest *request = request_of(engine, run, GW_OP_DEFINE_FROM);
    request->peer_host_id =
        g_strdup(task->peer_host_id != NULL ? task->peer_host_id : task->host_id);
    request->disks = g_ptr_array_ref(job->disks);
    gw_task_ask(engine, run, request, over);
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
        gw_task_ask(engine, run, request_of(engine, run, GW_OP_UNDEFINE), over);
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
        gw_task_ask(engine, run, request_of(engine, run, GW_OP_UNDEFINE), over);
        return;
    }
    if (gw_task_hosts_ready(engine, run, task->host_id, task->peer_host_id))
        gw_task_ask(engine, run,
                    gw_request_new(GW_OP_LOOK, task->peer_host_id, job_of(engine, run)->vm_uuid),
                    twin_looked);
}

/* What a repair undefined was a remnant, and is not put back: it saved none. */
static void undo_undefine(GwEngine *engine, TaskRun *run)
{
    if (job_of(engine, run)->saved_xml == NULL) {
        gw_task_over(engine, run, NULL);
        return;
    }
    GwRequest *request = request_of(engine, run, GW_OP_DEFINE);
    request->text = g_strdup(job_of(engine, run)->saved_xml);
    gw_task_ask(engine, run, request, over);
}

static void set_autostart(GwEngine *engine, TaskRun *run, gboolean on)
{
    GwRequest *request = request_of(engine, run, GW_OP_AUTOSTART);
    request->number = on ? 1 : 0;
    gw_task_ask(engine, run, request, over);
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
    GwRequest *request = request_of(engine, run, GW_OP_START);
    request->timeout_us = VOLUME_TIMEOUT_US;
    gw_task_ask(engine, run, request, over);
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
        gw_task_ask(engine, run, request_of(engine, run, GW_OP_LOOK), looked);
    else
        boot(engine, run);
}

/* Snapshots -------------------------------------------------------------------------------- */

static void remember(GwEngine *engine, TaskRun *run)
{
    const GwJob *job = job_of(engine, run);

    if (job->snapshots == NULL || job->snapshots[0] == NULL) {
        gw_task_over(engine, run, NULL);
        return;
    }
    GwRequest *request = request_of(engine, run, GW_OP_SNAPSHOTS_REMEMBER);
    request->definitions = g_strdupv(job->snapshots);
    request->text = g_strdup(job->snapshot_current);
    request->timeout_us = VOLUME_TIMEOUT_US;
    gw_task_ask(engine, run, request, over);
}

static void forget_now(GwEngine *engine, gpointer data)
{
    g_autofree char *job_id = data;
    TaskRun *run = g_hash_table_lookup(engine->task_runs, job_id);

    if (run == NULL || run->task == NULL || run->task->kind != GW_TASK_SNAPSHOTS_FORGET ||
        run->undo || job_of(engine, run) == NULL)
        return;
    GwRequest *request = request_of(engine, run, GW_OP_SNAPSHOTS_FORGET);
    request->timeout_us = VOLUME_TIMEOUT_US;
    gw_task_ask(engine, run, request, over);
}

static void snapshots_came(GwEngine *engine, TaskRun *run, const GwReply *reply)
{
    GwJob *job = job_of(engine, run);
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
    const GwJob *job = job_of(engine, run);

    if (job->snapshots == NULL || job->snapshots[0] == NULL)
        gw_task_ask(engine, run, request_of(engine, run, GW_OP_SNAPSHOTS), snapshots_came);
    else
        forget_now(engine, g_strdup(job->id));
}

/* Which is which --------------------------------------------------------------------------- */

static const struct {
    void (*act)(GwEngine *engine, TaskRun *run);
    void (*undo)(GwEngine *engine, TaskRun *run);
} effects[] = {
    [GW_TASK_VOLUME_CREATE] = { create, undo_create },
    [GW_TASK_VOLUME_REPLACE] = { replace, NULL },
    [GW_TASK_VOLUME_COPY] = { copy, undo_copy },
    [GW_TASK_BLOCK_COPY] = { mirror, undo_mirror },
    [GW_TASK_BLOCK_PIVOT] = { pivot, NULL },
    [GW_TASK_DEFINE] = { define, undefine },
    [GW_TASK_UNDEFINE] = { undefine, undo_undefine },
    [GW_TASK_SNAPSHOTS_FORGET] = { forget, remember },
    [GW_TASK_SNAPSHOTS_REMEMBER] = { remember, NULL },
    [GW_TASK_START] = { start, NULL },
    [GW_TASK_AUTOSTART] = { autostart, undo_autostart },
    [GW_TASK_VOLUME_KEEP] = { keep, NULL },
    [GW_TASK_VOLUME_DELETE] = { delete_volume, NULL },
    [GW_TASK_OVERLAY] = { overlay, merge },
    [GW_TASK_MERGE] = { merge, NULL },
};

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
            effects[run->task->kind].undo(engine, run);
        else
            effects[run->task->kind].act(engine, run);
    }
}
