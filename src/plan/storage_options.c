/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/plan.h"

/* What is asked of a move within one host, as options of a move (R14). */

GwMoveOptions *gw_plan_storage_options(const GwVm *vm, const GwStorageRequest *request)
{
    GwMoveOptions *options = gw_move_options_new();

    options->transfer = (int)GW_TRANSFER_STORAGE;
    options->storage = g_strdup(request->storage);
    options->flatten = request->flatten;
    options->add_default_storage = request->add_default_storage;
    options->wait_for_merge = request->wait_for_merge;
    options->bandwidth_mibps = request->bandwidth_mibps;
    options->keep_source_s = request->keep_source_s;
    options->disks = gw_record_array(&gw_disk_choice_record);
    for (guint i = 0; request->disks != NULL && i < request->disks->len; i++) {
        GwDiskChoice *choice = gw_disk_choice_copy(request->disks->pdata[i]);
        if (choice->format == NULL)
            choice->format = g_strdup(request->format);
        g_ptr_array_add(options->disks, choice);
    }
    /* A format for all is a choice for each that moves. */
    gboolean all = request->storage != NULL || options->disks->len == 0;
    for (guint i = 0; request->format != NULL && all && i < vm->disks->len; i++) {
        const GwDisk *disk = vm->disks->pdata[i];
        if (disk->source == NULL || g_strcmp0(disk->device, "cdrom") == 0 ||
            g_strcmp0(disk->device, "floppy") == 0 ||
            gw_record_find(&gw_disk_choice_record, options->disks, "target", disk->target) != NULL)
            continue;
        GwDiskChoice *choice = gw_disk_choice_new();
        choice->target = g_strdup(disk->target);
        choice->format = g_strdup(request->format);
        g_ptr_array_add(options->disks, choice);
    }
    return options;
}
