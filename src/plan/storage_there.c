/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/storage_images.h"

/* What is there already where images go, and who uses it. */

static gboolean is_volume(const GwVolume *volume, const GwVolume *to)
{
    if (to->pool != NULL)
        return g_strcmp0(volume->pool, to->pool) == 0 && g_strcmp0(volume->name, to->name) == 0;
    return to->path != NULL && g_strcmp0(volume->path, to->path) == 0;
}

const GwKeptVolume *gw_images_kept(const GwStorage *st, const char *target, const GwVolume *to)
{
    const GwKeptVolume *found = NULL;
    GHashTableIter iter;
    gpointer value;

    if (g_hash_table_size(st->input->fabric->kept) == 0)
        return NULL;
    g_hash_table_iter_init(&iter, st->input->fabric->kept);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwKeptVolume *kept = value;
        if (kept->volume != NULL && g_strcmp0(kept->vm_uuid, st->input->vm->uuid) == 0 &&
            g_strcmp0(kept->host_id, st->input->destination->id) == 0 &&
            g_strcmp0(kept->target, target) == 0 && g_strcmp0(kept->volume->pool, to->pool) == 0 &&
            g_strcmp0(kept->volume->name, to->name) == 0 &&
            (found == NULL || g_strcmp0(kept->id, found->id) < 0))
            found = kept;
    }
    return found;
}

const GwVolume *gw_images_there(const GwStorage *st, const GwVolume *to)
{
    const GPtrArray *there = st->input->there;

    for (guint i = 0; there != NULL && i < there->len; i++) {
        const GwVolume *volume = there->pdata[i];
        if (is_volume(volume, to))
            return volume;
    }
    return NULL;
}

static gboolean is_disk_of(const GwVm *vm, const char *path)
{
    for (guint i = 0; path != NULL && vm->disks != NULL && i < vm->disks->len; i++) {
        const GwDisk *disk = vm->disks->pdata[i];
        if (g_strcmp0(disk->source, path) == 0 || g_strcmp0(disk->backing_path, path) == 0)
            return TRUE;
    }
    return FALSE;
}

/* What the VM itself has left there is in nobody's way; what another has is. */
const GwVm *gw_images_user(const GwPlanInput *input, const char *path)
{
    GHashTable *vms = g_hash_table_lookup(input->fabric->vms, input->destination->id);
    const GwVm *own = NULL, *other = NULL;
    GHashTableIter iter;
    gpointer value;

    if (vms == NULL)
        return NULL;
    g_hash_table_iter_init(&iter, vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwVm *vm = value;
        if (!is_disk_of(vm, path))
            continue;
        if (g_strcmp0(vm->uuid, input->vm->uuid) == 0)
            own = vm;
        else
            other = gw_fabric_first_vm(other, vm);
    }
    return other != NULL ? other : own;
}

void gw_images_find_there(GwStorage *st, const char *disk, const GwVolume *to, const char *user)
{
    const char *target = gw_plan_text(disk);

    gw_storage_find(
        st, &gw_rule_volume_there,
        g_strdup_printf("Disk %s would become %s, which is already there on %s%s%s", target,
                        gw_plan_text(to->path != NULL ? to->path : to->name),
                        gw_plan_host_name(st->input->destination),
                        user != NULL ? ", in use by " : "", user != NULL ? user : ""),
        g_strdup("A name that is free: what Godwit did not make it does not overwrite."),
        g_strdup_printf("Choose another name or place (--disk %s:POOL/NAME), or remove what is "
                        "there by hand if nothing needs it. If both hosts see one storage there, "
                        "declare it: godwit share add.",
                        target));
}

void gw_images_check_free(GwStorage *st, const GwDiskWay *way, GwImageMove *image, gboolean named)
{
    const GwVolume *to = image->to;
    const GwVolume *there = gw_images_there(st, to);
    const GwKeptVolume *kept = gw_images_kept(st, way->disk->target, to);
    const GwVm *user = gw_images_user(st->input, to->path);
    gboolean same_vm = user != NULL && g_strcmp0(user->uuid, st->input->vm->uuid) == 0;

    if (user != NULL && (!same_vm || st->within)) {
        gw_images_find_there(st, way->disk->target, to, gw_plan_vm_name(user));
        return;
    }
    if (kept == NULL) {
        if (there != NULL)
            gw_images_find_there(st, way->disk->target, to, NULL);
        return;
    }
    /* It may have been removed by hand since. */
    if (st->input->there != NULL && there == NULL)
        return;
    const GwVolume *old = there != NULL ? there : kept->volume;
    image->delta = named && way->move->how == (int)GW_DISK_NETWORK && !image->flatten &&
                   g_strcmp0(old->format, to->format) == 0 &&
                   (old->backing_path == NULL) == (image->from->backing_path == NULL) &&
                   old->capacity_bytes == to->capacity_bytes;
    image->create = !image->delta;
    image->replace = !image->delta;
}

void gw_images_check_device(GwStorage *st, const GwDiskWay *way, const GwVolume *to)
{
    const GwVolume *there = gw_images_there(st, to);
    const GwVm *user = gw_images_user(st->input, to->path);
    const char *target = gw_plan_text(way->disk->target);
    const char *on = gw_plan_host_name(st->input->destination);

    if (user != NULL) {
        gw_images_find_there(st, way->disk->target, to, gw_plan_vm_name(user));
        return;
    }
    if (st->input->there == NULL)
        return;                                    /* not asked */
    if (there != NULL && there->used_by != NULL) { /* under another of its names */
        gw_images_find_there(st, way->disk->target, to, there->used_by);
        return;
    }
    if (there == NULL || (there->kind != NULL && strcmp(there->kind, "block") != 0)) {
        gw_storage_find(st, &gw_rule_storage_place,
                        g_strdup_printf("Disk %s is to go to %s, which is %s on %s", target,
                                        to->path, there == NULL ? "not there" : "no block device",
                                        on),
                        g_strdup("A block device that exists: Godwit makes none."),
                        g_strdup_printf("Make it on %s, or choose another place.", on));
        return;
    }
    gint64 size = MAX(there->capacity_bytes, there->length_bytes);
    if (size >= to->capacity_bytes)
        return;
    g_autofree char *has = gw_storage_size(size);
    g_autofree char *needs = gw_storage_size(to->capacity_bytes);
    gw_storage_find(
        st, &gw_rule_storage_place,
        g_strdup_printf("Disk %s is to go to %s, which holds %s", target, to->path, has),
        g_strdup_printf("A device of at least %s.", needs),
        g_strdup_printf("Enlarge it on %s, or choose another place.", on));
}

gboolean gw_images_take_name(GwStorage *st, const GwDiskWay *way, GwImageMove *image)
{
    const GwVolume *to = image->to;
    g_autofree char *key =
        to->pool != NULL ? g_strconcat(to->pool, "\n", to->name, NULL) : g_strdup(to->path);
    const GwImageMove *first = g_hash_table_lookup(gw_storage_taken(st), key);

    if (first == NULL) {
        g_hash_table_insert(gw_storage_taken(st), g_steal_pointer(&key), image);
        return TRUE;
    }
    if (g_strcmp0(first->from->path, image->from->path) == 0)
        return FALSE;
    gw_storage_find(st, &gw_rule_volume_name,
                    g_strdup_printf("Disk %s and another disk would both become %s",
                                    gw_plan_text(way->disk->target),
                                    gw_plan_text(to->name != NULL ? to->name : to->path)),
                    g_strdup("A name of its own for each image."),
                    g_strdup_printf("Choose another name: --disk %s:POOL/NAME.",
                                    gw_plan_text(way->disk->target)));
    return TRUE;
}
