/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/storage_images.h"

/* Onto a kept copy, while the VM runs: what differs goes first, while the guest writes to an image
 * above its disk; that one is mirrored, and merged in the end. */

/* QEMU writes a qcow2 anew wherever it mirrors it: the guest's data then lies at other places of
 * the file, and of two such files next to nothing is the same. One that came as a file's copy is
 * the same but for what was written since. */
gboolean gw_plan_is_comparable(const GwFabric *fabric, const GwKeptVolume *kept)
{
    const GwJob *job =
        kept->job_id != NULL ? g_hash_table_lookup(fabric->jobs, kept->job_id) : NULL;
    const GwDiskMove *move =
        job != NULL ? gw_record_find(&gw_disk_move_record, job->disks, "target", kept->target)
                    : NULL;

    if (!gw_images_is_qcow2(kept->volume))
        return g_strcmp0(kept->volume->format, "raw") == 0;
    return move != NULL && (move->how == (int)GW_DISK_NETWORK ||
                            move->how == (int)GW_DISK_FAST_COPY || gw_disk_move_is_delta(move));
}

/* One image, in a file, without anything in it that a mirror would not take along. */
static gboolean is_plain(const GwVolume *volume)
{
    return volume->backing_path == NULL && !volume->encrypted && volume->internal_snapshots <= 0 &&
           volume->capacity_bytes > 0 && g_strcmp0(volume->kind, "block") != 0 &&
           g_strcmp0(volume->kind, "network") != 0;
}

static gboolean is_of_files(const GwHost *host, const char *name)
{
    const GPtrArray *pools = gw_plan_facts(host)->pools;
    const GwPool *pool = name != NULL ? gw_record_find(&gw_pool_record, pools, "name", name) : NULL;

    return pool != NULL && pool->active && gw_storage_holds_images(pool) &&
           strcmp(gw_storage_kind_of(pool), "file") == 0;
}

static GwVolume *named_above(const GwVolume *below)
{
    g_autofree char *name = g_strconcat(below->name, ".delta", NULL);
    g_autofree char *folder = below->path != NULL ? g_path_get_dirname(below->path) : NULL;

    if (folder == NULL || !g_path_is_absolute(folder) || !gw_volume_check_name(name, NULL))
        return NULL;
    GwVolume *above = gw_volume_new();
    above->pool = g_strdup(below->pool);
    above->path = g_build_filename(folder, name, NULL);
    above->name = g_steal_pointer(&name);
    above->kind = g_strdup("file");
    above->format = g_strdup("qcow2");
    above->capacity_bytes = below->capacity_bytes;
    above->backing_path = g_strdup(below->path);
    above->backing_format = g_strdup(below->format);
    above->owner = g_strdup(below->owner);
    above->group = g_strdup(below->group);
    above->mode = g_strdup(below->mode);
    above->label = g_strdup(below->label);
    above->acl = g_strdup(below->acl);
    return above;
}

static gboolean fits(const GwStorage *st, const GwDiskWay *way, const GwVolume *from,
                     const GwVolume *to)
{
    const GwKeptVolume *kept = gw_images_kept(st, way->disk->target, to);
    const GwVolume *old = gw_images_there(st, to);

    return kept != NULL && old != NULL && gw_images_user(st->input, to->path) == NULL &&
           gw_plan_is_comparable(st->input->fabric, kept) && is_plain(from) && is_plain(old) &&
           g_strcmp0(old->format, from->format) == 0 && g_strcmp0(to->format, from->format) == 0 &&
           old->capacity_bytes == from->capacity_bytes &&
           is_of_files(st->input->source, from->pool) &&
           is_of_files(st->input->destination, to->pool);
}

static GwImageMove *image_of(GwVolume *from, GwVolume *to)
{
    GwImageMove *image = gw_image_move_new();

    image->from = from;
    image->to = to;
    return image;
}

gboolean gw_images_move_delta(GwStorage *st, const GwDiskWay *way, const GwPlace *place,
                              const GPtrArray *chain)
{
    const GwVolume *from = chain->pdata[0];
    GwDiskMove *move = way->move;

    if (move->how != (int)GW_DISK_MIRROR || way->images == NULL || way->images->images == NULL ||
        chain->len != 1 || place->device != NULL || st->options->flatten ||
        st->input->vm->snapshots > 0 || from->name == NULL)
        return FALSE;
    g_autoptr(GwVolume) to = gw_images_like(from, place->format, FALSE);
    gw_images_address(place, to, place->name);
    if (!fits(st, way, from, to))
        return FALSE;
    g_autoptr(GwVolume) above = named_above(from);
    g_autoptr(GwVolume) above_there = named_above(to);
    if (above == NULL || above_there == NULL || gw_images_there(st, above_there) != NULL)
        return FALSE;
    const GwVolume *old = gw_images_there(st, to);
    gint64 data = gw_images_bounded(from->allocation_bytes);
    GwImageMove *top = image_of(g_steal_pointer(&above), g_steal_pointer(&above_there));
    GwImageMove *base = image_of(gw_volume_copy(from), g_steal_pointer(&to));
    top->create = TRUE;
    base->delta = TRUE;
    g_ptr_array_add(move->images, top);
    g_ptr_array_add(move->images, base);
    gw_images_take_name(st, way, base);
    gw_images_take_name(st, way, top);
    move->need_bytes = MAX(data - gw_images_bounded(old->allocation_bytes), 0);
    move->copy_bytes = data;
    g_autofree char *why = g_steal_pointer(&move->why);
    move->why = g_strdup_printf(
        "%s; onto the copy that is kept there: what differs goes first, while the guest writes to "
        "an image above its disk; that one is mirrored, and merged in the end",
        gw_plan_text(why));
    return TRUE;
}
