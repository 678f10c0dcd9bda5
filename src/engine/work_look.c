/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/works_internal.h"

/* Whether the VM of a job of tasks, and what was copied of it, are as they were. */

#define LOOK_AGAIN_US (2 * G_USEC_PER_SEC)

static gboolean is_kind(const GwJob *job, const char *kind)
{
    return g_strcmp0(job->kind, kind) == 0;
}

static void look_over(GwEngine *engine, WorkRun *run)
{
    GwJob *job = run->work->job;
    g_autoptr(GError) disturbed = g_steal_pointer(&run->disturbed);
    gboolean commits = run->look_commits;

    if (disturbed == NULL && run->look_open) {
        run->look_us = gw_clock_now_us(engine->clock) + LOOK_AGAIN_US;
        g_free(job->waiting_for);
        job->waiting_for = g_strdup("its hosts to say whether all is as it was");
        return;
    }
    g_clear_pointer(&job->waiting_for, g_free);
    if (disturbed != NULL) {
        gw_works_news(engine, run, commits ? GW_WORK_TAKEN_BACK : GW_WORK_DISTURBED, disturbed);
        return;
    }
    run->unchanged_us = gw_clock_now_us(engine->clock);
    if (commits)
        gw_works_commit(engine, run);
    else
        gw_works_news(engine, run, GW_WORK_UNCHANGED, NULL);
}

static WorkRun *look_of(GwEngine *engine, const char *job_id, gint64 number)
{
    WorkRun *run = gw_works_find(engine, job_id);
    return run != NULL && run->looks == (guint)number && run->look_missing > 0 ? run : NULL;
}

static void one_answered(GwEngine *engine, WorkRun *run, const GwReply *reply)
{
    if (reply->error != NULL && gw_error_leaves_open(reply->error))
        run->look_open = TRUE;
    else if (reply->error != NULL && run->disturbed == NULL &&
             !g_error_matches(reply->error, GW_ERROR, GW_ERR_UNSUPPORTED)) {
        run->disturbed = g_error_copy(reply->error);
        g_prefix_error(&run->disturbed, "asking whether all is as it was: ");
    }
    if (--run->look_missing == 0)
        look_over(engine, run);
}

static void vm_looked(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 number)
{
    WorkRun *run = look_of(engine, job_id, number);

    if (run == NULL)
        return;
    const GwLook *look = reply->look;
    gboolean runs = reply->error == NULL && look->present && look->state != (int)GW_VM_OFF &&
                    look->state != (int)GW_VM_CRASHED;
    gboolean has_process = reply->error == NULL && look->attested && look->processes > 0;
    if ((runs || has_process) && run->disturbed == NULL)
        gw_error_set(&run->disturbed, GW_ERR_CONFLICT,
                     "Move it as it runs (Live, or Live (VSM)), or shut it down and try again.",
                     "'%s' was started while its disks were being copied, which must not change "
                     "meanwhile",
                     run->work->job->vm_name);
    one_answered(engine, run, reply);
}

/* The volume as it was when it was checked. */
static const GwVolume *as_it_was(const GwJob *job, const char *path)
{
    for (guint i = 0; i < job->tasks->len; i++) {
        const GwTask *task = job->tasks->pdata[i];
        if (task->kind == (int)GW_TASK_VOLUME_COPY && task->from != NULL &&
            g_strcmp0(task->from->path, path) == 0)
            return task->from;
    }
    return NULL;
}

static void volume_looked(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 number)
{
    WorkRun *run = look_of(engine, job_id, number);

    if (run == NULL)
        return;
    const GwVolume *now = reply->error == NULL && reply->volumes != NULL && reply->volumes->len > 0
                              ? reply->volumes->pdata[0]
                              : NULL;
    const GwVolume *then = now != NULL ? as_it_was(run->work->job, now->path) : NULL;
    gboolean written = then != NULL && then->modified != NULL && now->modified != NULL &&
                       g_strcmp0(then->modified, now->modified) != 0;
    if ((written || (then != NULL && then->length_bytes > 0 && now->length_bytes > 0 &&
                     then->length_bytes != now->length_bytes)) &&
        run->disturbed == NULL)
        gw_error_set(&run->disturbed, GW_ERR_CONFLICT, "Find out what writes to it, and try again.",
                     "%s was written to while it was being copied", now->path);
    one_answered(engine, run, reply);
}

static void ask_vm(GwEngine *engine, WorkRun *run, const char *host_id)
{
    GwRequest *request = gw_request_new(GW_OP_LOOK, host_id, run->work->job->vm_uuid);
    request->timeout_us = GW_WORKS_LOOK_TIMEOUT_US;
    gw_engine_ask(engine, request, vm_looked, run->work->job->id, run->looks);
}

static void ask_volume(GwEngine *engine, WorkRun *run, const GwTask *task)
{
    const GwJob *job = run->work->job;
    const char *host = task->peer_host_id != NULL ? task->peer_host_id : job->source_host_id;
    GwRequest *request = gw_request_new(GW_OP_VOLUME_LOOK, host, job->vm_uuid);

    request->volume = gw_volume_copy(task->from);
    request->timeout_us = GW_WORKS_LOOK_TIMEOUT_US;
    gw_engine_ask(engine, request, volume_looked, job->id, run->looks);
}

static gboolean is_file_copy(const GwTask *task)
{
    return task->kind == (int)GW_TASK_VOLUME_COPY && task->from != NULL && task->from->path != NULL;
}

static gboolean is_mirrored(const GwJob *job)
{
    for (guint i = 0; i < job->tasks->len; i++) {
        if (((const GwTask *)job->tasks->pdata[i])->kind == (int)GW_TASK_BLOCK_COPY)
            return TRUE;
    }
    return FALSE;
}

/* A mirror follows what the guest writes, and what removes proves its own. */
static gboolean needs_look(const GwJob *job)
{
    return is_kind(job, GW_JOB_KIND_TRANSFER) ||
           (is_kind(job, GW_JOB_KIND_STORAGE) && !is_mirrored(job));
}

void gw_works_look(GwEngine *engine, WorkRun *run)
{
    const GwJob *job = run->work->job;
    gboolean one_host = g_strcmp0(job->source_host_id, job->destination_host_id) == 0;

    run->looks++;
    run->look_us = 0;
    run->look_open = FALSE;
    g_clear_error(&run->disturbed);
    if (!needs_look(job)) {
        look_over(engine, run);
        return;
    }
    run->look_missing = one_host ? 1 : 2;
    for (guint i = 0; i < job->tasks->len; i++)
        run->look_missing += is_file_copy(job->tasks->pdata[i]);
    /* Answers come in turns of their own. */
    ask_vm(engine, run, job->source_host_id);
    if (!one_host)
        ask_vm(engine, run, job->destination_host_id);
    for (guint i = 0; i < job->tasks->len; i++) {
        if (is_file_copy(job->tasks->pdata[i]))
            ask_volume(engine, run, job->tasks->pdata[i]);
    }
}
