/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/plan.h"

/* What is asked of a move within one host, as options of a move (R14). */

static gboolean is_floppy(const GwDisk *disk)
{
    return g_strcmp0(disk->device, "floppy") == 0;
}

/* The planner knows formats by disk alone: one for all is a choice for each that moves. What is
 * only read has no format of its own to choose, it is copied as it is. */
static void spread_format(const GwVm *vm, const GwStorageRequest *request, GPtrArray *choices)
{
    gboolean all = request->storage != NULL || choices->len == 0;

    for (guint i = 0; vm->disks != NULL && i < vm->disks->len; i++) {
        const GwDisk *disk = vm->disks->pdata[i];
        GwDiskChoice *choice =
            gw_record_find(&gw_disk_choice_record, choices, "target", disk->target);
        if ((choice == NULL && !all) || !gw_disk_is_writable(disk) || is_floppy(disk))
            continue;
        if (choice == NULL) {
            choice = gw_disk_choice_new();
            choice->target = g_strdup(disk->target);
            g_ptr_array_add(choices, choice);
        }
        if (choice->format == NULL)
            choice->format = g_strdup(request->format);
    }
}

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
    for (guint i = 0; request->disks != NULL && i < request->disks->len; i++)
        g_ptr_array_add(options->disks, gw_disk_choice_copy(request->disks->pdata[i]));
    if (request->format != NULL)
        spread_format(vm, request, options->disks);
    return options;
}
