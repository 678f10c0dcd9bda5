/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job/tasks.h"

#include "base/error.h"
#include "job/life.h"

/* Which tasks a job has is in task_list.c; here is what becomes of them. */

/* Marks ------------------------------------------------------------------------------------ */

void gw_task_begin(GwTask *task, gboolean undo)
{
    task->state = undo ? GW_TASK_UNDOING : GW_TASK_DOING;
    g_clear_pointer(&task->why, g_free);
}

/* A copy is undone too: where it may still be under way it is broken off, and a kept copy that it
 * wrote to is a kept copy again. */
static gboolean has_undo(const GwTask *task)
{
    switch ((GwTaskKind)task->kind) {
    case GW_TASK_VOLUME_CREATE:
    case GW_TASK_VOLUME_COPY:
    case GW_TASK_BLOCK_COPY:
    case GW_TASK_DEFINE:
    case GW_TASK_UNDEFINE:
    case GW_TASK_SNAPSHOTS_FORGET:
    case GW_TASK_AUTOSTART:
    case GW_TASK_OVERLAY:
    case GW_TASK_HBA_STOP:
    case GW_TASK_HBA_START:
        return TRUE;
    case GW_TASK_VOLUME_REPLACE:
    case GW_TASK_BLOCK_PIVOT:
    case GW_TASK_SNAPSHOTS_REMEMBER:
    case GW_TASK_START:
    case GW_TASK_VOLUME_KEEP:
    case GW_TASK_VOLUME_DELETE:
    case GW_TASK_MERGE:
    case GW_TASK_HBA_CHECK:
    case GW_TASK_HBA_FORGET:
        break;
    }
    return FALSE;
}

/* What is there once it is done, and is taken back by its undo. A copy makes nothing; but a kept
 * copy that it wrote to is ours to look after. */
static gboolean makes_something(const GwTask *task)
{
    return has_undo(task) && (task->kind != GW_TASK_VOLUME_COPY || task->delta);
}

static void say(GwTask *task, const GError *error)
{
    g_free(task->why);
    task->why = g_strdup(error->message);
}

void gw_task_end(GwTask *task, const GError *error)
{
    gboolean undo = task->state == GW_TASK_UNDOING;

    g_clear_pointer(&task->why, g_free);
    if (error != NULL)
        say(task, error);
    /* All that is asked succeeds where it is done already, so a host that looked, and says what is
     * in the way, has not done it. */
    if (error == NULL || g_error_matches(error, GW_ERROR, GW_ERR_CONFLICT))
        task->lost = FALSE;
    if (error == NULL)
        task->made = !undo && makes_something(task);
    if (error == NULL)
        task->state = undo ? GW_TASK_UNDONE : GW_TASK_DONE;
    else if (!undo)
        task->state = GW_TASK_FAILED;
    if (error == NULL && !undo && task->total_bytes > 0)
        task->copied_bytes = task->total_bytes;
}

void gw_task_pass(GwTask *task, const GError *remark)
{
    task->state = GW_TASK_DONE;
    say(task, remark);
}

/* Whose turn it is ------------------------------------------------------------------------- */

static guint count(const GwJob *job)
{
    return job->tasks != NULL ? job->tasks->len : 0;
}

GwTask *gw_tasks_next(const GwJob *job, GwTaskTurn turn)
{
    for (guint i = 0; i < count(job); i++) {
        GwTask *task = job->tasks->pdata[i];
        if (task->turn == (int)turn && task->state != GW_TASK_DONE &&
            task->state != GW_TASK_UNDOING && task->state != GW_TASK_UNDONE)
            return task;
    }
    return NULL;
}

gboolean gw_tasks_committed(const GwJob *job)
{
    for (guint i = 0; i < count(job); i++) {
        const GwTask *task = job->tasks->pdata[i];
        if (task->turn == GW_TASK_AFTER && task->state != GW_TASK_TODO)
            return TRUE;
    }
    return FALSE;
}

GwTask *gw_tasks_refused(const GwJob *job)
{
    GwTask *begun = NULL;

    for (guint i = 0; i < count(job); i++) {
        GwTask *task = job->tasks->pdata[i];
        if (task->turn != GW_TASK_AFTER || task->state == GW_TASK_TODO)
            continue;
        if (begun != NULL || task->state != GW_TASK_FAILED)
            return NULL;
        begun = task;
    }
    return begun;
}

gboolean gw_tasks_take_back(const GwJob *job)
{
    GwTask *refused = gw_tasks_refused(job);

    if (refused == NULL)
        return !gw_tasks_committed(job);
    if (refused->lost)
        return FALSE;
    refused->state = GW_TASK_TODO;
    return TRUE;
}

static gboolean is_same(const GwVolume *a, const GwVolume *b)
{
    if (a == NULL || b == NULL)
        return FALSE;
    if (a->path != NULL && b->path != NULL)
        return g_strcmp0(a->path, b->path) == 0;
    return a->name != NULL && g_strcmp0(a->pool, b->pool) == 0 && g_strcmp0(a->name, b->name) == 0;
}

/* It was tried, and failed. */
static gboolean was_not_merged(const GwTask *task)
{
    if (task->kind == GW_TASK_OVERLAY)
        return task->state == GW_TASK_UNDOING;
    return task->kind == GW_TASK_MERGE && task->state == GW_TASK_DONE && task->why != NULL;
}

gboolean gw_tasks_stands_on(const GwJob *job, const GwTask *task)
{
    for (guint i = 0; i < count(job); i++) {
        const GwTask *other = job->tasks->pdata[i];
        if (was_not_merged(other) && g_strcmp0(other->host_id, task->host_id) == 0 &&
            is_same(other->volume, task->volume))
            return TRUE;
    }
    return FALSE;
}

/* A host that keeps the definition that was made there needs what it names. */
static gboolean is_named(const GwJob *job, const GwTask *task)
{
    gboolean storage = task->kind == GW_TASK_VOLUME_CREATE || task->kind == GW_TASK_VOLUME_COPY;

    for (guint i = 0; storage && i < count(job); i++) {
        const GwTask *other = job->tasks->pdata[i];
        if (other->kind == GW_TASK_DEFINE && other->state == GW_TASK_UNDOING &&
            other->why != NULL && g_strcmp0(other->host_id, task->host_id) == 0)
            return TRUE;
    }
    return FALSE;
}

/* A WWPN that may still be logged in at the destination does not log in at the source again. */
static gboolean is_elsewhere(const GwJob *job, const GwTask *task)
{
    for (guint i = 0; task->kind == GW_TASK_HBA_STOP && i < count(job); i++) {
        const GwTask *other = job->tasks->pdata[i];
        if (other->kind == GW_TASK_HBA_START && other->state == GW_TASK_UNDOING &&
            g_strcmp0(other->volume->pool, task->volume->pool) == 0)
            return TRUE;
    }
    return FALSE;
}

/* Of a virtual HBA both ways can be taken twice, so what its host said of a failure need not be
 * relied upon. */
static gboolean may_be_done(const GwTask *task)
{
    return task->made || task->kind == GW_TASK_HBA_STOP || task->kind == GW_TASK_HBA_START;
}

/* One that is under way may have been done, whatever is known; one that failed made what it is
 * marked to have made, and nothing else. */
static gboolean is_to_undo(const GwTask *task)
{
    if (task->turn != GW_TASK_BEFORE || !has_undo(task))
        return FALSE;
    if (task->state == GW_TASK_UNDOING)
        return task->why == NULL;
    return task->state == GW_TASK_DOING ||
           (may_be_done(task) && (task->state == GW_TASK_DONE || task->state == GW_TASK_FAILED));
}

/* What removes what is left has nothing to take back. */
static gboolean is_removal(const GwJob *job)
{
    return g_strcmp0(job->kind, GW_JOB_KIND_REPAIR) == 0 ||
           g_strcmp0(job->kind, GW_JOB_KIND_VOLUME_REMOVE) == 0;
}

GwTask *gw_tasks_next_undo(const GwJob *job)
{
    if (is_removal(job) || gw_tasks_committed(job))
        return NULL;
    for (guint i = count(job); i > 0; i--) {
        GwTask *task = job->tasks->pdata[i - 1];
        gboolean volume = task->kind == GW_TASK_VOLUME_CREATE;
        if (is_to_undo(task) && !(volume && gw_tasks_stands_on(job, task)) &&
            !is_named(job, task) && !is_elsewhere(job, task))
            return task;
    }
    return NULL;
}

void gw_tasks_undo_again(const GwJob *job)
{
    for (guint i = 0; i < count(job); i++) {
        GwTask *task = job->tasks->pdata[i];
        if (task->state == GW_TASK_UNDOING)
            g_clear_pointer(&task->why, g_free);
    }
}

/* Words ------------------------------------------------------------------------------------ */

static const char *short_name(const GwVolume *volume)
{
    if (volume == NULL)
        return "?";
    return volume->name != NULL ? volume->name : volume->path != NULL ? volume->path : "?";
}

/* "pool2 of kvm2", or "/dev/vg/web1 of kvm2" where it is in no pool. */
static char *place(const GwTask *task, const char *host)
{
    const GwVolume *volume = task->volume;
    const char *where = volume != NULL && volume->pool != NULL ? volume->pool : short_name(volume);
    return g_strdup_printf("%s of %s", where, host);
}

static const char *disk_of(const GwTask *task)
{
    return task->target != NULL ? task->target : "the VM";
}

static char *copy_words(const GwTask *task, const char *where, const char *peer)
{
    const char *verb = task->how == GW_DISK_CONVERT ? "converting" : "copying";
    const char *what = task->delta ? "what differs of " : "";

    if (task->peer_host_id != NULL && peer != NULL)
        return g_strdup_printf("%s %s%s (%s) from %s to %s", verb, what, disk_of(task),
                               short_name(task->volume), peer, where);
    return g_strdup_printf("%s %s%s (%s) to %s", verb, what, disk_of(task),
                           short_name(task->volume), where);
}

static char *volume_words(const GwTask *task, const char *host, const char *peer)
{
    g_autofree char *where = place(task, host);
    const char *name = short_name(task->volume);

    switch ((GwTaskKind)task->kind) {
    case GW_TASK_VOLUME_CREATE:
        return g_strdup_printf("making %s for %s in %s", name, disk_of(task), where);
    case GW_TASK_VOLUME_REPLACE:
        return g_strdup_printf("removing the kept copy %s of %s in %s", name, disk_of(task), where);
    case GW_TASK_VOLUME_COPY:
        return copy_words(task, where, peer);
    case GW_TASK_BLOCK_COPY:
        return g_strdup_printf("mirroring %s to %s in %s", disk_of(task), name, where);
    case GW_TASK_BLOCK_PIVOT:
        return g_strdup_printf("switching %s to %s in %s", disk_of(task), name, where);
    case GW_TASK_VOLUME_KEEP:
        return g_strdup_printf("keeping the old copy %s of %s in %s", name, disk_of(task), where);
    case GW_TASK_VOLUME_DELETE:
        return g_strdup_printf("deleting %s of %s in %s", name, disk_of(task), where);
    case GW_TASK_HBA_STOP:
        return g_strdup_printf("logging virtual HBA %s out at %s", task->volume->pool, host);
    case GW_TASK_HBA_START:
        return g_strdup_printf("logging virtual HBA %s in at %s", task->volume->pool, host);
    case GW_TASK_HBA_CHECK:
        return g_strdup_printf("looking for the LUNs behind virtual HBA %s at %s",
                               task->volume->pool, host);
    case GW_TASK_HBA_FORGET:
        return g_strdup_printf("removing the definition of virtual HBA %s at %s",
                               task->volume->pool, host);
    case GW_TASK_OVERLAY:
        return g_strdup_printf("putting %s above %s in %s", name, disk_of(task), where);
    default:
        return g_strdup_printf("merging %s back at %s", disk_of(task), host);
    }
}

static char *plain_words(const GwTask *task, const char *host, const char *peer)
{
    switch ((GwTaskKind)task->kind) {
    case GW_TASK_DEFINE:
        return g_strdup_printf("defining the VM at %s", host);
    case GW_TASK_UNDEFINE:
        return g_strdup_printf("removing the definition at %s", host);
    case GW_TASK_SNAPSHOTS_FORGET:
        return g_strdup_printf("taking the snapshots' records from %s", host);
    case GW_TASK_SNAPSHOTS_REMEMBER:
        return g_strdup_printf("giving the snapshots' records to %s", host);
    case GW_TASK_START:
        return g_strdup_printf("starting the VM at %s", host);
    case GW_TASK_AUTOSTART:
        return g_strdup_printf("turning autostart %s at %s",
                               task->turn == GW_TASK_BEFORE ? "off" : "on", host);
    default:
        return volume_words(task, host, peer);
    }
}

char *gw_task_words(const GwTask *task, const char *host, const char *peer)
{
    g_autofree char *words = plain_words(task, host, peer);

    if (task->state == GW_TASK_UNDOING || task->state == GW_TASK_UNDONE)
        return g_strdup_printf("undoing: %s", words);
    return g_steal_pointer(&words);
}

char *gw_tasks_remarks(const GwJob *job)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < count(job); i++) {
        const GwTask *task = job->tasks->pdata[i];
        if (task->state == GW_TASK_DONE && task->why != NULL)
            g_string_append_printf(text, "%s%s", text->len > 0 ? "\n" : "", task->why);
    }
    gboolean any = text->len > 0;
    char *remarks = g_string_free(text, !any);
    return any ? remarks : NULL;
}

/* "vda.img of vda"; NULL: none. */
static char *replaced_by(const GwJob *job)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < count(job); i++) {
        const GwTask *task = job->tasks->pdata[i];
        if (task->kind == GW_TASK_VOLUME_REPLACE && task->state == GW_TASK_DONE)
            g_string_append_printf(text, "%s%s of %s", text->len > 0 ? ", " : "",
                                   short_name(task->volume), disk_of(task));
    }
    gboolean any = text->len > 0;
    char *replaced = g_string_free(text, !any);
    return any ? replaced : NULL;
}

void gw_tasks_say_replaced(GwJob *job)
{
    g_autofree char *replaced = replaced_by(job);
    if (replaced == NULL)
        return;

    g_autofree char *message = g_strdup_printf(
        "%s; the kept copy %s, which was in its place, is gone", job->error->message, replaced);
    gw_life_replace(&job->error->message, message);
}

#define COPY_MAX ((gint64)1 << 56) /* bytes: what a host says is only added up below this */

/* In bytes; either may be NULL. */
static void copied(const GwJob *job, gint64 *done_bytes, gint64 *total_bytes)
{
    gint64 done = 0, total = 0;

    for (guint i = 0; i < count(job); i++) {
        const GwTask *task = job->tasks->pdata[i];
        if (task->kind != GW_TASK_VOLUME_COPY && task->kind != GW_TASK_BLOCK_COPY)
            continue;
        gint64 all = CLAMP(task->total_bytes, 0, COPY_MAX);
        total += all;
        done += task->state == GW_TASK_DONE ? all : CLAMP(task->copied_bytes, 0, all);
    }
    if (done_bytes != NULL)
        *done_bytes = done;
    if (total_bytes != NULL)
        *total_bytes = total;
}

/* What a live move sends beside these copies: the disks that QEMU fills, and the memory. */
static gint64 rest_of_move(const GwJob *job)
{
    gint64 rest = 0, below = 0;

    if (g_strcmp0(job->kind, GW_JOB_KIND_MIGRATE) != 0)
        return 0;
    for (guint i = 0; job->disks != NULL && i < job->disks->len; i++) {
        const GwDiskMove *disk = job->disks->pdata[i];
        rest += disk->how == (int)GW_DISK_MIRROR ? MAX(disk->copy_bytes, 0) : 0;
    }
    copied(job, NULL, &below); /* the images below are part of their disks */
    return MAX(rest - below, 0) + (job->vm_memory_kib << 10);
}

int gw_tasks_progress(const GwJob *job, gint64 *done_bytes, gint64 *total_bytes)
{
    gint64 done = 0, total = 0;

    copied(job, &done, &total);
    if (done_bytes != NULL)
        *done_bytes = done;
    if (total_bytes != NULL)
        *total_bytes = total;
    total += rest_of_move(job);
    return total > 0 ? (int)(((double)done / (double)total) * 100.0) : 100;
}
