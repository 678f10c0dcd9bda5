/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/undo.h"

#include <string.h>

/* What a job that failed left on its hosts, and what a repair does about it. What the plan says and
 * what the repair does come from here both. */

/* Which way ---------------------------------------------------------------------------------- */

static gboolean is_within(const GwJob *job)
{
    return g_strcmp0(job->source_host_id, job->destination_host_id) == 0;
}

/* It was made, or may have been, and was not taken back. */
static gboolean is_left(const GwTask *task)
{
    if (task->turn != (int)GW_TASK_BEFORE)
        return FALSE;
    return task->state == (int)GW_TASK_DOING || task->state == (int)GW_TASK_UNDOING ||
           (task->made && (task->state == (int)GW_TASK_DONE || task->state == (int)GW_TASK_FAILED));
}

gboolean gw_left_defined(const GwJob *job)
{
    for (guint i = 0; job->tasks != NULL && i < job->tasks->len; i++) {
        const GwTask *task = job->tasks->pdata[i];
        if (task->kind == (int)GW_TASK_DEFINE && is_left(task))
            return TRUE;
    }
    return FALSE;
}

/* The definition was made, so all copies were complete; and all of them are still there. */
static gboolean is_whole(const GwJob *job)
{
    for (guint i = 0; job->tasks != NULL && i < job->tasks->len; i++) {
        const GwTask *task = job->tasks->pdata[i];
        gboolean volume = task->kind == (int)GW_TASK_VOLUME_CREATE;
        if (volume && task->turn == (int)GW_TASK_BEFORE && task->state != (int)GW_TASK_DONE)
            return FALSE;
    }
    return gw_left_defined(job);
}

static gboolean is_on_a_host(const GwFabric *fabric, const char *uuid)
{
    GHashTableIter iter;
    gpointer host;

    g_hash_table_iter_init(&iter, fabric->hosts);
    while (uuid != NULL && g_hash_table_iter_next(&iter, &host, NULL)) {
        if (gw_fabric_vm(fabric, host, uuid) != NULL)
            return TRUE;
    }
    return FALSE;
}

gboolean gw_left_moved_on(const GwFabric *fabric, const GwJob *job)
{
    static const char *const moves[] = { GW_JOB_KIND_MIGRATE, GW_JOB_KIND_TRANSFER, NULL };
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *later = value;
        if (later->state == (int)GW_JOB_DONE && later->kind != NULL &&
            g_strv_contains(moves, later->kind) && g_strcmp0(later->vm_uuid, job->vm_uuid) == 0 &&
            g_strcmp0(later->id, job->id) > 0 &&
            g_strcmp0(later->source_host_id, job->source_host_id) == 0)
            return is_on_a_host(fabric, job->vm_uuid);
    }
    return FALSE;
}

GwLeftWay gw_left_way(const GwFabric *fabric, const GwJob *job, const GwLeftSeen *seen)
{
    gboolean remnant = seen->at_destination && !seen->active && gw_left_defined(job);

    if (is_within(job) ||
        (seen->at_source && (remnant || (!seen->at_destination && !seen->active))))
        return GW_LEFT_BACK;
    if (seen->at_source)
        return GW_LEFT_STAYS;
    if (gw_left_moved_on(fabric, job))
        return GW_LEFT_BEHIND;
    return seen->at_destination && is_whole(job) ? GW_LEFT_ON : GW_LEFT_STAYS;
}

/* Whose it is -------------------------------------------------------------------------------- */

/* Whether another job has made a volume of that name since: what @job left is gone then, and what
 * is there is that one's, be it an old copy that is kept. */
static gboolean is_others(const GwFabric *fabric, const GwJob *job, const GwTask *left)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *other = value;
        gboolean over = gw_job_state_is_final((GwJobState)other->state);
        if (other->tasks == NULL || strcmp(other->id, job->id) == 0 ||
            (over && strcmp(other->id, job->id) < 0))
            continue;
        for (guint i = 0; i < other->tasks->len; i++) {
            const GwTask *task = other->tasks->pdata[i];
            if (task->kind == (int)GW_TASK_VOLUME_CREATE &&
                (task->made || task->state == (int)GW_TASK_DONE) &&
                g_strcmp0(task->host_id, left->host_id) == 0 &&
                gw_same_volume(task->volume, left->volume))
                return TRUE;
        }
    }
    return FALSE;
}

/* An old copy by now, which has a time of its own. */
static gboolean is_kept(const GwFabric *fabric, const GwTask *left)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->kept);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwKeptVolume *kept = value;
        if (g_strcmp0(kept->host_id, left->host_id) == 0 &&
            gw_same_volume(kept->volume, left->volume))
            return TRUE;
    }
    return FALSE;
}

/* What is done ------------------------------------------------------------------------------- */

/* What takes it back; -1: nothing does. */
static int task_against(GwTaskKind kind)
{
    switch (kind) {
    case GW_TASK_VOLUME_CREATE:
        return GW_TASK_VOLUME_DELETE;
    case GW_TASK_DEFINE:
        return GW_TASK_UNDEFINE;
    case GW_TASK_SNAPSHOTS_FORGET:
        return GW_TASK_SNAPSHOTS_REMEMBER;
    case GW_TASK_OVERLAY:
        return GW_TASK_MERGE;
    case GW_TASK_HBA_START:
        return GW_TASK_HBA_FORGET;
    case GW_TASK_HBA_STOP:
        return GW_TASK_HBA_START; /* as its own host defines it */
    default:
        return -1;
    }
}

static int task_for(const GwFabric *fabric, const GwJob *job, const GwTask *left, GwLeftWay way)
{
    int kind = is_left(left) ? task_against((GwTaskKind)left->kind) : -1;
    gboolean removes = kind == (int)GW_TASK_VOLUME_DELETE;

    if (removes && (is_others(fabric, job, left) || is_kept(fabric, left)))
        return -1;
    return way == GW_LEFT_BACK || removes ? kind : -1;
}

/* NULL: nothing is to be done about @left. The other host of a definition is asked whether it has
 * one, so that the last is not removed. */
static GwTask *task_back(const GwFabric *fabric, const GwJob *job, const GwTask *left,
                         GwLeftWay way)
{
    int kind = task_for(fabric, job, left, way);
    if (kind < 0)
        return NULL;

    GwTask *task = gw_task_new();
    task->kind = kind;
    task->turn = GW_TASK_BEFORE;
    task->host_id = g_strdup(left->host_id);
    task->target = g_strdup(left->target);
    task->made = left->made; /* else it proves first that it is ours */
    task->volume = left->volume != NULL ? gw_volume_copy(left->volume) : NULL;
    if (kind == (int)GW_TASK_MERGE)
        task->from = gw_volume_copy(left->from);
    if (kind == (int)GW_TASK_UNDEFINE)
        task->peer_host_id = g_strdup(job->source_host_id);
    if (kind == (int)GW_TASK_HBA_START)
        task->peer_host_id = g_strdup(left->host_id);
    return task;
}

gboolean gw_left_is_repaired(const GwFabric *fabric, const GwJob *job, const GwTask *left)
{
    return task_for(fabric, job, left, GW_LEFT_BACK) >= 0;
}

/* What was to follow the move, and did not; but who starts it by now is its owner. */
static GwTask *task_on(const GwTask *left)
{
    if (left->turn != (int)GW_TASK_AFTER || left->state == (int)GW_TASK_DONE ||
        left->kind == (int)GW_TASK_START || left->kind == (int)GW_TASK_UNDEFINE)
        return NULL;
    GwTask *task = gw_task_copy(left);

    task->state = GW_TASK_TODO;
    g_clear_pointer(&task->why, g_free);
    task->made = task->lost = FALSE;
    return task;
}

GPtrArray *gw_left_tasks(const GwFabric *fabric, const GwJob *job, GwLeftWay way)
{
    GPtrArray *tasks = gw_record_array(&gw_task_record);
    guint count = job->tasks != NULL ? job->tasks->len : 0;

    for (guint i = 0; way == GW_LEFT_ON && i < count; i++) {
        GwTask *task = task_on(job->tasks->pdata[i]);
        if (task != NULL)
            g_ptr_array_add(tasks, task);
    }
    /* In reverse: what was made last goes first. */
    for (guint i = count; (way == GW_LEFT_BACK || way == GW_LEFT_BEHIND) && i > 0; i--) {
        GwTask *task = task_back(fabric, job, job->tasks->pdata[i - 1], way);
        if (task != NULL)
            g_ptr_array_add(tasks, task);
    }
    return tasks;
}
