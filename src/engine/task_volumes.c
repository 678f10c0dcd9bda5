/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/tasks_internal.h"

/* Tasks that make, remove and keep volumes. */

static GwRequest *volume_request(GwEngine *engine, const TaskRun *run, GwOp op)
{
    GwRequest *request = gw_task_request(engine, run, op);
    request->timeout_us = GW_TASK_LONG_US;
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
    const GwJob *job = gw_task_job(engine, run);
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
    gw_task_ask(engine, run, request, gw_task_replied);
}

static void delete_now(GwEngine *engine, TaskRun *run)
{
    g_autoptr(GError) used = NULL;

    if (gw_tasks_stands_on(gw_task_job(engine, run), run->task)) {
        gw_error_set(&used, GW_ERR_CONFLICT, "Merge it first: virsh blockcommit --active --pivot.",
                     "it was not merged into the image below it: the disk still is on it");
        gw_task_over(engine, run, used);
        return;
    }
    /* What this very job made nobody else has yet. */
    if (run->task->kind != (int)GW_TASK_VOLUME_CREATE)
        gw_task_delete(engine, run);
    else
        gw_task_ask(engine, run, volume_request(engine, run, GW_OP_VOLUME_DELETE), gw_task_replied);
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
    const char *kind = gw_task_job(engine, run)->kind;
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

    if (kept != NULL && g_strcmp0(kept->vm_uuid, gw_task_job(engine, run)->vm_uuid) == 0) {
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

const TaskEffect gw_task_volume_create = { .act = create, .undo = undo_create };
const TaskEffect gw_task_volume_replace = { .act = replace };
const TaskEffect gw_task_volume_keep = { .act = keep };
const TaskEffect gw_task_volume_delete = { .act = delete_volume };
