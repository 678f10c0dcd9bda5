/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/inventory.h"
#include "engine/moves_internal.h"

/* R31: a move that is to wait for a merge waits in the queue until no block job runs on a disk. */

#define MERGE_LOOK_US (3 * G_USEC_PER_SEC)

static const GwDisk *merging_disk(const GwVm *vm)
{
    for (guint i = 0; vm != NULL && vm->disks != NULL && i < vm->disks->len; i++) {
        const GwDisk *disk = vm->disks->pdata[i];
        if (disk->block_job && gw_plan_merge_running(vm, NULL))
            return disk;
    }
    return NULL;
}

gboolean gw_moves_is_merging(const GwVm *vm)
{
    return merging_disk(vm) != NULL;
}

char *gw_moves_merge_words(const GwVm *vm, int percent)
{
    const GwDisk *disk = merging_disk(vm);
    const char *target = disk != NULL && disk->target != NULL ? disk->target : "a disk";

    return percent < 0 ? g_strdup_printf("a merge on %s", target)
                       : g_strdup_printf("a merge on %s, %d %%", target, percent);
}

static const GwDisk *disk_waited_for(GwEngine *engine, const GwJob *job)
{
    if (job->state != GW_JOB_QUEUED || job->options == NULL || !job->options->wait_for_merge)
        return NULL;
    return merging_disk(gw_fabric_vm(gw_engine_now(engine), job->source_host_id, job->vm_uuid));
}

gboolean gw_moves_wait_for_merge(GwEngine *engine, MoveRun *run, char **why)
{
    const GwDisk *disk = disk_waited_for(engine, run->move->job);

    if (disk == NULL) {
        run->merge_us = 0;
        run->merge_percent = -1;
        return FALSE;
    }
    if (run->merge_us == 0)
        run->merge_us = gw_clock_now_us(engine->clock) + MERGE_LOOK_US;
    *why = gw_moves_merge_words(gw_fabric_vm(gw_engine_now(engine), run->move->job->source_host_id,
                                             run->move->job->vm_uuid),
                                run->merge_percent);
    return TRUE;
}

static void merge_told(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 unused)
{
    MoveRun *run = gw_moves_find(engine, job_id);

    (void)unused;
    if (run == NULL || reply->error != NULL || reply->progress == NULL)
        return; /* the VM itself is asked as well: it says whether a job runs */
    run->merge_percent = (int)CLAMP(reply->progress->percent, 0, 100);
    engine->schedule = TRUE;
}

void gw_moves_look_at_merge(GwEngine *engine, MoveRun *run)
{
    const GwJob *job = run->move->job;
    const GwDisk *disk = disk_waited_for(engine, job);

    run->merge_us = 0;
    engine->schedule = TRUE; /* which comes back here, or goes on */
    if (disk == NULL)
        return;
    GwRequest *request = gw_request_new(GW_OP_BLOCK_PROGRESS, job->source_host_id, job->vm_uuid);
    request->text = g_strdup(disk->target);
    gw_engine_ask(engine, request, merge_told, job->id, 0);
    gw_inventory_ask_vm(engine, job->source_host_id, job->vm_uuid);
}
