/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/sim_storage.h"

/* Disks that a live move copies, as QEMU's mirrors do: they are read once, before memory, and kept
 * alike from then on. What a failed move has written stays. */

typedef struct {
    SimImage *from, *to;
    gint64 total_bytes, done_bytes;
} SimDiskCopy;

static void disk_copy_free(gpointer data)
{
    SimDiskCopy *disk = data;
    gw_sim_image_unref(disk->from);
    gw_sim_image_unref(disk->to);
    g_free(disk);
}

gboolean gw_sim_copies_disks(const GwMigrate *how)
{
    for (guint i = 0; how->disks != NULL && i < how->disks->len; i++) {
        if (((GwDiskMove *)how->disks->pdata[i])->how == GW_DISK_MIRROR)
            return TRUE;
    }
    return FALSE;
}

static gboolean add_disk(GwSim *sim, SimMove *move, const SimVm *vm, const GwDiskMove *how,
                         GError **error)
{
    const GwDisk *disk = gw_record_find(&gw_disk_record, vm->vm->disks, "target", how->target);
    const GwImageMove *top =
        how->images != NULL && how->images->len > 0 ? how->images->pdata[0] : NULL;
    SimImage *from = disk != NULL ? gw_sim_image_of_disk(sim, move->source, disk) : NULL;
    SimImage *to =
        top != NULL && top->to != NULL ? gw_sim_image_of(sim, move->destination, top->to) : NULL;

    if (from == NULL || to == NULL || from == to) {
        gw_error_set(error, GW_ERR_OPERATION, NULL, "no such volume, for disk %s", how->target);
        return FALSE;
    }
    if (to->writers > 0 || to->busy > 0 ||
        to->volume->capacity_bytes < from->volume->capacity_bytes) {
        gw_error_set(error, GW_ERR_OPERATION, NULL,
                     "the volume for disk %s is in use, or too short", how->target);
        return FALSE;
    }
    SimDiskCopy *copy = g_new0(SimDiskCopy, 1);
    copy->from = gw_sim_image_ref(from);
    copy->to = gw_sim_image_ref(to);
    to->busy++;
    copy->total_bytes = to->volume->backing_path == NULL
                            ? gw_sim_chain_bytes(sim, move->source, from)
                            : from->volume->allocation_bytes;
    move->disk_bytes += copy->total_bytes;
    g_ptr_array_add(move->mirrors, copy);
    return TRUE;
}

/* Every image that the destination will open is there. */
static gboolean is_all_there(GwSim *sim, const SimHost *host, const GwVm *vm, GError **error)
{
    for (guint i = 0; vm->disks != NULL && i < vm->disks->len; i++) {
        g_autofree char *missing = gw_sim_missing(sim, host, vm->disks->pdata[i]);
        if (missing != NULL) {
            gw_error_set(error, GW_ERR_OPERATION, NULL, "cannot access storage file '%s'", missing);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean gw_sim_disks_begin(GwSim *sim, SimMove *move, SimVm *vm, GError **error)
{
    const GPtrArray *disks = move->how->disks;
    g_autoptr(GwVm) there = gw_vm_copy(vm->vm);
    gboolean well = TRUE;

    for (guint i = 0; well && disks != NULL && i < disks->len; i++) {
        const GwDiskMove *how = disks->pdata[i];
        if (how->how != GW_DISK_MIRROR)
            continue;
        if (move->mirrors == NULL)
            move->mirrors = g_ptr_array_new_with_free_func(disk_copy_free);
        well = add_disk(sim, move, vm, how, error);
    }
    well = well &&
           gw_sim_apply_moves(move->destination, there, there->disks, move->how->disks, error) &&
           is_all_there(sim, move->destination, there, error);
    if (!well)
        gw_sim_disks_over(move);
    return well;
}

void gw_sim_disks_over(SimMove *move)
{
    for (guint i = 0; move->mirrors != NULL && i < move->mirrors->len; i++)
        ((SimDiskCopy *)move->mirrors->pdata[i])->to->busy--;
    g_clear_pointer(&move->mirrors, g_ptr_array_unref);
}

void gw_sim_disks_fill(GwSim *sim, const SimMove *move, gint64 ms)
{
    for (guint i = 0; move->mirrors != NULL && i < move->mirrors->len; i++)
        gw_sim_fill(sim, ((SimDiskCopy *)move->mirrors->pdata[i])->to->store, ms);
}

gint64 gw_sim_disks_percent(const SimMove *move)
{
    return move->disk_bytes > 0 ? move->disk_done_bytes * 100 / move->disk_bytes : 100;
}

gint64 gw_sim_disks_round(GwSim *sim, SimMove *move, const char **why)
{
    for (guint i = 0; move->mirrors != NULL && i < move->mirrors->len; i++) {
        SimDiskCopy *disk = move->mirrors->pdata[i];
        gint64 part = MIN(disk->total_bytes - disk->done_bytes, gw_sim_slice(disk->total_bytes));
        if (part == 0)
            continue;
        if (!gw_sim_allocate(sim, disk->to,
                             MAX(disk->to->volume->allocation_bytes, disk->done_bytes + part))) {
            *why = "no space left on device";
            return -1;
        }
        disk->to->written = TRUE;
        disk->to->content = gw_sim_new_content(sim);
        disk->done_bytes += part;
        move->disk_done_bytes += part;
        return MAX(
            1, gw_sim_span(part, MIN(sim->link_bps, sim->disk_bps), move->how->bandwidth_mibps));
    }
    return 0;
}

void gw_sim_disks_final(GwSim *sim, SimMove *move)
{
    for (guint i = 0; move->mirrors != NULL && i < move->mirrors->len; i++) {
        SimDiskCopy *disk = move->mirrors->pdata[i];
        gw_sim_settle_content(sim, disk->from);
        disk->to->content = disk->from->content;
        disk->to->below = disk->to->volume->backing_path != NULL ? disk->from->below : 0;
    }
}

static void bring_state(GwSim *sim, const SimMove *move, const SimVm *source, const SimVm *vm,
                        const char *target)
{
    g_autofree char *name = NULL;
    g_autofree char *old = gw_sim_state_path(source->vm, target);
    g_autofree char *path = gw_sim_state_path(vm->vm, target);
    SimImage *from = gw_sim_image_at(sim, move->source, old, NULL);
    SimImage *image = gw_sim_image_at(sim, move->destination, path, NULL);

    if (path == NULL || from == NULL || image == from)
        return;
    if (image == NULL) {
        SimStore *store = gw_sim_resolve(sim, move->destination, path, NULL, &name);
        image = gw_sim_add_image(sim, store, name, from->volume);
        image->libvirts = image->written = TRUE;
        gw_sim_allocate(sim, image, from->volume->allocation_bytes);
    }
    image->content = from->content;
    from->libvirts = TRUE; /* it leaves its own behind */
}

void gw_sim_disks_arrive(GwSim *sim, SimMove *move, const SimVm *vm)
{
    const SimVm *source = gw_sim_find(move->source, move->vm_uuid);

    for (guint i = 0; source != NULL && gw_sim_states[i] != NULL; i++)
        bring_state(sim, move, source, vm, gw_sim_states[i]);
}
