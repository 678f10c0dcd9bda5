/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job/tasks.h"

/* Which tasks a job has, by its kind and by how each disk gets where it goes. */

static gboolean same_volume(const GwVolume *a, const GwVolume *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    if (a->path != NULL && b->path != NULL)
        return g_strcmp0(a->path, b->path) == 0;
    return g_strcmp0(a->pool, b->pool) == 0 && g_strcmp0(a->name, b->name) == 0;
}

/* Two disks above one image: what is done with that one is done once. */
static gboolean has_task(const GwJob *job, GwTaskKind kind, const char *host_id,
                         const GwVolume *volume)
{
    for (guint i = 0; i < job->tasks->len; i++) {
        const GwTask *task = job->tasks->pdata[i];
        if (task->kind == (int)kind && g_strcmp0(task->host_id, host_id) == 0 &&
            same_volume(task->volume, volume))
            return TRUE;
    }
    return FALSE;
}

static GwTask *add(GwJob *job, GwTaskKind kind, GwTaskTurn turn, const char *host_id)
{
    GwTask *task = gw_task_new();

    task->kind = (int)kind;
    task->turn = (int)turn;
    task->host_id = g_strdup(host_id);
    g_ptr_array_add(job->tasks, task);
    return task;
}

/* NULL: there is one already. */
static GwTask *add_volume(GwJob *job, GwTaskKind kind, GwTaskTurn turn, const char *host_id,
                          const GwDiskMove *disk, const GwVolume *volume)
{
    if (has_task(job, kind, host_id, volume))
        return NULL;
    GwTask *task = add(job, kind, turn, host_id);
    task->target = g_strdup(disk->target);
    task->volume = gw_volume_copy(volume);
    task->how = disk->how;
    return task;
}

static gboolean is_copied(const GwDiskMove *disk)
{
    switch ((GwDiskHow)disk->how) {
    case GW_DISK_MIRROR:
    case GW_DISK_BLOCK_COPY:
    case GW_DISK_NETWORK:
    case GW_DISK_FAST_COPY:
    case GW_DISK_CONVERT:
        return disk->images != NULL;
    case GW_DISK_STAYS:
    case GW_DISK_WITH_MEMORY:
    case GW_DISK_SAN:
    case GW_DISK_LEFT:
        break;
    }
    return FALSE;
}

/* QEMU fills the top image of a running VM's disk; nothing writes to those below it. */
static gboolean is_filled_by_qemu(const GwDiskMove *disk, guint level)
{
    return level == 0 && (disk->how == GW_DISK_MIRROR || disk->how == GW_DISK_BLOCK_COPY);
}

/* How a file is copied that QEMU does not fill. */
static GwDiskHow file_how(const GwDiskMove *disk)
{
    if (disk->how == GW_DISK_MIRROR)
        return GW_DISK_NETWORK;
    return disk->how == GW_DISK_BLOCK_COPY ? GW_DISK_FAST_COPY : (GwDiskHow)disk->how;
}

/* Before --------------------------------------------------------------------------------- */

/* A mirror copies all of a disk, so a kept copy is of no use to it, and one made anew stays
 * sparse. */
static gboolean is_made_anew(const GwDiskMove *disk, guint level)
{
    const GwImageMove *image = disk->images->pdata[level];
    return image->delta && is_filled_by_qemu(disk, level);
}

/* Kept copies go the top first: no host removes one that another stands on. The lowest is made
 * first: an image is made above one that is there. */
static void add_creates(GwJob *job, const GwDiskMove *disk, const char *host_id)
{
    for (guint i = 0; i < disk->images->len; i++) {
        const GwImageMove *image = disk->images->pdata[i];
        if (image->to != NULL && (image->replace || is_made_anew(disk, i)))
            add_volume(job, GW_TASK_VOLUME_REPLACE, GW_TASK_BEFORE, host_id, disk, image->to);
    }
    for (guint i = disk->images->len; i > 0; i--) {
        const GwImageMove *image = disk->images->pdata[i - 1];
        if (image->to != NULL && (image->create || is_made_anew(disk, i - 1)))
            add_volume(job, GW_TASK_VOLUME_CREATE, GW_TASK_BEFORE, host_id, disk, image->to);
    }
}

static gint64 size_to_copy(const GwDiskMove *disk, const GwImageMove *image)
{
    gint64 size = image->from != NULL ? image->from->allocation_bytes : 0;

    if (size == 0 && disk->images->len == 1)
        size = disk->copy_bytes;
    return size;
}

static void add_copies(GwJob *job, const GwDiskMove *disk, const char *host_id,
                       const char *source_id)
{
    for (guint i = disk->images->len; i > 0; i--) {
        const GwImageMove *image = disk->images->pdata[i - 1];
        if (image->to == NULL || image->from == NULL || is_filled_by_qemu(disk, i - 1))
            continue;
        GwTask *task =
            add_volume(job, GW_TASK_VOLUME_COPY, GW_TASK_BEFORE, host_id, disk, image->to);
        if (task == NULL)
            continue;
        task->how = (int)file_how(disk);
        task->from = gw_volume_copy(image->from);
        task->delta = image->delta;
        task->total_bytes = size_to_copy(disk, image);
        /* Any other way is gone on one host, which reaches both. */
        if (task->how == GW_DISK_NETWORK && g_strcmp0(host_id, source_id) != 0)
            task->peer_host_id = g_strdup(source_id);
    }
}

/* Of a delta: from here on the guest writes above the image that is copied, which is quiet. */
static void add_overlay(GwJob *job, const GwDiskMove *disk, const char *host_id)
{
    const GwImageMove *above = disk->images->pdata[0];
    const GwImageMove *below = disk->images->pdata[1];

    add_volume(job, GW_TASK_VOLUME_CREATE, GW_TASK_BEFORE, host_id, disk, above->from);
    GwTask *task = add_volume(job, GW_TASK_OVERLAY, GW_TASK_BEFORE, host_id, disk, above->from);
    if (task != NULL)
        task->from = gw_volume_copy(below->from);
}

static void add_before(GwJob *job)
{
    const char *host = job->destination_host_id;

    for (guint i = 0; i < job->disks->len; i++) {
        if (is_copied(job->disks->pdata[i]))
            add_creates(job, job->disks->pdata[i], host);
    }
    for (guint i = 0; i < job->disks->len; i++) {
        if (gw_disk_move_is_delta(job->disks->pdata[i]))
            add_overlay(job, job->disks->pdata[i], job->source_host_id);
    }
    for (guint i = 0; i < job->disks->len; i++) {
        if (is_copied(job->disks->pdata[i]))
            add_copies(job, job->disks->pdata[i], host, job->source_host_id);
    }
}

/* After ---------------------------------------------------------------------------------- */

/* A device that is in no pool was not made by us, and is nobody's to remove. */
static gboolean can_leave(const GwVolume *volume)
{
    return volume != NULL && (volume->pool != NULL || (g_strcmp0(volume->kind, "block") != 0 &&
                                                       g_strcmp0(volume->kind, "network") != 0));
}

/* Of a delta: the disk becomes one image again. */
static void add_merges(GwJob *job)
{
    for (guint i = 0; i < job->disks->len; i++) {
        const GwDiskMove *disk = job->disks->pdata[i];
        if (!gw_disk_move_is_delta(disk))
            continue;
        const GwImageMove *above = disk->images->pdata[0];
        const GwImageMove *below = disk->images->pdata[1];
        GwTask *task = add_volume(job, GW_TASK_MERGE, GW_TASK_AFTER, job->destination_host_id, disk,
                                  above->to);
        if (task == NULL)
            continue;
        task->from = gw_volume_copy(below->to);
        add_volume(job, GW_TASK_VOLUME_DELETE, GW_TASK_AFTER, job->destination_host_id, disk,
                   above->to);
    }
}

/* What a delta laid above the old copy is no copy of anything by itself: what is kept is the disk
 * as it was when that was done. */
static gboolean is_kept(const GwDiskMove *disk, guint level)
{
    return level > 0 || !gw_disk_move_is_delta(disk);
}

/* The top first: none is removed below another. */
static void add_old_copies(GwJob *job)
{
    GwTaskKind kind = job->keep_source_s > 0 ? GW_TASK_VOLUME_KEEP : GW_TASK_VOLUME_DELETE;

    for (guint i = 0; i < job->disks->len; i++) {
        const GwDiskMove *disk = job->disks->pdata[i];
        for (guint j = 0; is_copied(disk) && j < disk->images->len; j++) {
            const GwImageMove *image = disk->images->pdata[j];
            if (image->to != NULL && can_leave(image->from))
                add_volume(job, is_kept(disk, j) ? kind : GW_TASK_VOLUME_DELETE, GW_TASK_AFTER,
                           job->source_host_id, disk, image->from);
        }
        for (guint j = 0; disk->left != NULL && j < disk->left->len; j++) {
            if (is_copied(disk) && can_leave(disk->left->pdata[j]))
                add_volume(job, kind, GW_TASK_AFTER, job->source_host_id, disk,
                           disk->left->pdata[j]);
        }
    }
}

/* The kinds ------------------------------------------------------------------------------ */

static void make_migrate(GwJob *job, const GwVm *vm)
{
    gboolean snapshots = vm != NULL && vm->snapshots > 0;

    add_before(job);
    if (snapshots) {
        add(job, GW_TASK_SNAPSHOTS_FORGET, GW_TASK_BEFORE, job->source_host_id);
        add(job, GW_TASK_SNAPSHOTS_REMEMBER, GW_TASK_AFTER, job->destination_host_id);
    }
    add_merges(job);
    add_old_copies(job);
}

static void add_hba(GwJob *job, GwTaskKind kind, GwTaskTurn turn, const char *host_id,
                    const GwHbaMove *hba)
{
    GwTask *task = add(job, kind, turn, host_id);

    task->volume = gw_volume_new();
    task->volume->pool = g_strdup(hba->pool);
    if (kind == GW_TASK_HBA_START)
        task->peer_host_id = g_strdup(job->source_host_id);
}

static gboolean is_handed_over(const GwHbaMove *hba)
{
    return hba->how == (int)GW_HBA_HANDED_OVER;
}

/* R41: a WWPN leaves the source before it comes to the destination; what it shows there is looked
 * at before the VM is defined on it. */
static void add_hbas(GwJob *job)
{
    for (guint i = 0; job->hbas != NULL && i < job->hbas->len; i++) {
        const GwHbaMove *hba = job->hbas->pdata[i];
        if (!is_handed_over(hba))
            continue;
        add_hba(job, GW_TASK_HBA_STOP, GW_TASK_BEFORE, job->source_host_id, hba);
        add_hba(job, GW_TASK_HBA_START, GW_TASK_BEFORE, job->destination_host_id, hba);
        add_hba(job, GW_TASK_HBA_CHECK, GW_TASK_BEFORE, job->destination_host_id, hba);
    }
}

static void forget_hbas(GwJob *job)
{
    for (guint i = 0; job->hbas != NULL && i < job->hbas->len; i++) {
        if (is_handed_over(job->hbas->pdata[i]))
            add_hba(job, GW_TASK_HBA_FORGET, GW_TASK_AFTER, job->source_host_id,
                    job->hbas->pdata[i]);
    }
}

/* Autostart goes off first: a source host that boots between the two definitions must not start
 * what is being moved. The source's definition goes only once the destination's is there (I2). */
static void make_transfer(GwJob *job, const GwVm *vm)
{
    gboolean snapshots = vm != NULL && vm->snapshots > 0;

    if (job->vm_autostart)
        add(job, GW_TASK_AUTOSTART, GW_TASK_BEFORE, job->source_host_id);
    add_before(job);
    add_hbas(job);
    GwTask *define = add(job, GW_TASK_DEFINE, GW_TASK_BEFORE, job->destination_host_id);
    define->peer_host_id = g_strdup(job->source_host_id);
    if (snapshots)
        add(job, GW_TASK_SNAPSHOTS_FORGET, GW_TASK_BEFORE, job->source_host_id);

    GwTask *undefine = add(job, GW_TASK_UNDEFINE, GW_TASK_AFTER, job->source_host_id);
    undefine->peer_host_id = g_strdup(job->destination_host_id);
    forget_hbas(job);
    if (snapshots)
        add(job, GW_TASK_SNAPSHOTS_REMEMBER, GW_TASK_AFTER, job->destination_host_id);
    if (job->vm_autostart)
        add(job, GW_TASK_AUTOSTART, GW_TASK_AFTER, job->destination_host_id);
    if (job->options != NULL && job->options->start)
        add(job, GW_TASK_START, GW_TASK_AFTER, job->destination_host_id);
    add_old_copies(job);
}

/* All disks are mirrored until they are ready before the first is switched: until then one word
 * leaves the VM where it was. */
static void make_storage(GwJob *job)
{
    const char *host = job->source_host_id;
    gboolean redefine = FALSE;

    add_before(job);
    for (guint i = 0; i < job->disks->len; i++) {
        const GwDiskMove *disk = job->disks->pdata[i];
        redefine = redefine || (is_copied(disk) && disk->how != GW_DISK_BLOCK_COPY);
        if (!is_copied(disk) || disk->how != GW_DISK_BLOCK_COPY || disk->images->len == 0)
            continue;
        const GwImageMove *top = disk->images->pdata[0];
        GwTask *task = add_volume(job, GW_TASK_BLOCK_COPY, GW_TASK_BEFORE, host, disk, top->to);
        if (task != NULL)
            task->total_bytes = top->from != NULL ? top->from->capacity_bytes : disk->copy_bytes;
    }
    for (guint i = 0; i < job->disks->len; i++) {
        const GwDiskMove *disk = job->disks->pdata[i];
        if (is_copied(disk) && disk->how == GW_DISK_BLOCK_COPY && disk->images->len > 0)
            add_volume(job, GW_TASK_BLOCK_PIVOT, GW_TASK_AFTER, host, disk,
                       ((GwImageMove *)disk->images->pdata[0])->to);
    }
    if (redefine) {
        GwTask *define = add(job, GW_TASK_DEFINE, GW_TASK_AFTER, host);
        define->peer_host_id = g_strdup(host);
    }
    add_old_copies(job);
}

/* Nothing of it can be undone, and where it is refused the job fails: it is all of one turn. */
static void make_removal(GwJob *job)
{
    for (guint i = 0; i < job->disks->len; i++) {
        const GwDiskMove *disk = job->disks->pdata[i];
        for (guint j = 0; disk->images != NULL && j < disk->images->len; j++) {
            const GwImageMove *image = disk->images->pdata[j];
            if (image->from != NULL)
                add_volume(job, GW_TASK_VOLUME_DELETE, GW_TASK_BEFORE, job->source_host_id, disk,
                           image->from);
        }
    }
}

void gw_tasks_make(GwJob *job, const GwVm *vm)
{
    gboolean given = job->tasks != NULL && job->tasks->len > 0;

    if (job->disks == NULL)
        job->disks = gw_record_array(&gw_disk_move_record);
    if (given && (g_strcmp0(job->kind, GW_JOB_KIND_REPAIR) == 0 ||
                  g_strcmp0(job->kind, GW_JOB_KIND_VOLUME_REMOVE) == 0))
        return;
    g_clear_pointer(&job->tasks, g_ptr_array_unref);
    job->tasks = gw_record_array(&gw_task_record);
    if (g_strcmp0(job->kind, GW_JOB_KIND_MIGRATE) == 0)
        make_migrate(job, vm);
    else if (g_strcmp0(job->kind, GW_JOB_KIND_TRANSFER) == 0)
        make_transfer(job, vm);
    else if (g_strcmp0(job->kind, GW_JOB_KIND_STORAGE) == 0)
        make_storage(job);
    else if (g_strcmp0(job->kind, GW_JOB_KIND_VOLUME_REMOVE) == 0)
        make_removal(job);
}
