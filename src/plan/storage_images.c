/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/storage.h"

/* What becomes of each image of a disk: as it was (R30), one for each or all in one, what is in the
 * way, and how much room it needs. */

#define DEFAULT_CLUSTER 65536
#define BYTES_MAX (G_MAXINT64 / 1024) /* of anything a host says, so that sums do not overflow */

static gint64 bounded(gint64 bytes)
{
    return CLAMP(bytes, 0, BYTES_MAX);
}

static gboolean is_qcow2(const GwVolume *volume)
{
    return g_strcmp0(volume->format, "qcow2") == 0;
}

/* The images of the disk as far as they are known: at least the top one. */
static GPtrArray *chain_of(const GwDiskWay *way)
{
    const GwDisk *disk = way->disk;

    if (way->images != NULL && way->images->images != NULL && way->images->images->len > 0)
        return g_ptr_array_ref(way->images->images);
    GPtrArray *chain = gw_record_array(&gw_volume_record);
    GwVolume *top = gw_volume_new();
    top->path = g_strdup(disk->source);
    top->server = g_strdup(disk->source_host);
    top->kind = g_strdup(g_strcmp0(disk->type, "volume") == 0 ? "file" : disk->type);
    top->format = g_strdup(disk->format);
    top->capacity_bytes = MAX(disk->capacity_bytes, 0);
    top->backing_path = g_strdup(disk->backing_path);
    top->internal_snapshots = -1;
    g_ptr_array_add(chain, top);
    return chain;
}

static gboolean has_backing(const GwDiskWay *way)
{
    if (way->images != NULL && way->images->images != NULL && way->images->images->len > 0)
        return way->images->images->len > 1;
    return way->disk->backing_depth > 0;
}

gboolean gw_storage_converts(const GwStorage *st, const GwDiskWay *way, const GwPlace *place)
{
    gboolean other_format = place->format != NULL && way->disk->format != NULL &&
                            strcmp(place->format, way->disk->format) != 0;

    return other_format || (st->options->flatten && has_backing(way));
}

/* Whether the destination gets to an image below the top where it is, so that it need not move. */
static gboolean stays_below(const GwStorage *st, const GwVolume *image)
{
    if (st->within || st->options->copy_all || image->path == NULL)
        return FALSE;
    return gw_reach_same_path(st->input, image->kind, image->path, image->server, NULL);
}

/* Created exactly like it (R30), but for where it is. */
static GwVolume *like(const GwVolume *from, const char *format, gboolean device)
{
    GwVolume *to = gw_volume_new();

    to->format = g_strdup(format != NULL ? format : from->format);
    to->capacity_bytes = bounded(from->capacity_bytes);
    to->encrypted = from->encrypted;
    if (is_qcow2(to) && is_qcow2(from)) {
        to->cluster_bytes = bounded(from->cluster_bytes);
        to->compat = g_strdup(from->compat);
        to->lazy_refcounts = from->lazy_refcounts;
        to->extended_l2 = from->extended_l2;
    }
    if (device)
        return to; /* what is there has an owner of its own */
    to->owner = g_strdup(from->owner);
    to->group = g_strdup(from->group);
    to->mode = g_strdup(from->mode);
    to->label = g_strdup(from->label);
    to->acl = g_strdup(from->acl);
    return to;
}

/* What a qcow2 of @capacity needs beside the guest's data: the tables that say where it is. */
static gint64 tables(const GwVolume *to, gint64 data)
{
    if (!is_qcow2(to))
        return 0;
    gint64 cluster = to->cluster_bytes > 0 ? to->cluster_bytes : DEFAULT_CLUSTER;
    gint64 clusters = data / cluster + 1;
    return clusters * (to->extended_l2 ? 16 : 8) + clusters * 2 + 4 * cluster;
}

/* What the guest's data in these images takes, at most. */
static gint64 data_in(const GPtrArray *chain, guint first, guint count)
{
    const GwVolume *top = chain->pdata[first];
    gint64 sum = 0;

    for (guint i = first; i < first + count; i++)
        sum += MIN(bounded(((const GwVolume *)chain->pdata[i])->allocation_bytes), BYTES_MAX - sum);
    return top->capacity_bytes > 0 && count > 1 ? MIN(sum, bounded(top->capacity_bytes)) : sum;
}

static gboolean is_whole_device(const GwVolume *to)
{
    return g_strcmp0(to->kind, "block") == 0;
}

static void add_need(GwDiskMove *move, const GwImageMove *image, gint64 data, gint64 freed)
{
    const GwVolume *to = image->to;
    gboolean same_form = g_strcmp0(image->from->format, to->format) == 0 && !image->flatten;
    gint64 need = is_whole_device(to) ? bounded(to->capacity_bytes)
                                      : data + (same_form && data > 0 ? 0 : tables(to, data));

    /* A kept copy's room is there already; a clone takes none until it is written to. */
    if (data == 0 && to->capacity_bytes == 0)
        need = 0; /* not known */
    if (move->how == (int)GW_DISK_FAST_COPY || image->delta || !image->create)
        need = 0;
    need = MAX(need - freed, 0);
    move->need_bytes = MIN(move->need_bytes + need, BYTES_MAX);
    move->copy_bytes = MIN(move->copy_bytes + data, BYTES_MAX);
}

static gboolean is_volume(const GwVolume *volume, const GwVolume *to)
{
    if (to->pool != NULL)
        return g_strcmp0(volume->pool, to->pool) == 0 && g_strcmp0(volume->name, to->name) == 0;
    return to->path != NULL && g_strcmp0(volume->path, to->path) == 0;
}

static const GwKeptVolume *kept_here(const GwStorage *st, const char *target, const GwVolume *to)
{
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
            g_strcmp0(kept->volume->name, to->name) == 0)
            return kept;
    }
    return NULL;
}

static const GwVolume *volume_there(const GwStorage *st, const GwVolume *to)
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

/* The VM of the destination whose disk is at @path; NULL: none that is known. */
static const GwVm *user_of(const GwStorage *st, const char *path)
{
    GHashTable *vms = g_hash_table_lookup(st->input->fabric->vms, st->input->destination->id);
    GHashTableIter iter;
    gpointer value;

    if (vms == NULL)
        return NULL;
    g_hash_table_iter_init(&iter, vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (is_disk_of(value, path))
            return value;
    }
    return NULL;
}

/* @user: who has it, in words; NULL: nobody that is known. */
static void add_there(GwStorage *st, const char *disk, const GwVolume *to, const char *user)
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

/* What is in the way of a new volume: nothing, a kept copy of this disk, or something else. */
static void check_free(GwStorage *st, const GwDiskWay *way, GwImageMove *image, gboolean named)
{
    const GwVolume *to = image->to;
    const GwVolume *there = volume_there(st, to);
    const GwKeptVolume *kept = kept_here(st, way->disk->target, to);
    const GwVm *user = user_of(st, to->path);
    gboolean same_vm = user != NULL && g_strcmp0(user->uuid, st->input->vm->uuid) == 0;

    if (user != NULL && (!same_vm || st->within)) {
        add_there(st, way->disk->target, to, gw_plan_vm_name(user));
        return;
    }
    if (kept == NULL) {
        if (there != NULL)
            add_there(st, way->disk->target, to, NULL);
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

static void check_device(GwStorage *st, const GwDiskWay *way, const GwVolume *to)
{
    const GwVolume *there = volume_there(st, to);
    const GwVm *user = user_of(st, to->path);
    const char *target = gw_plan_text(way->disk->target);
    const char *on = gw_plan_host_name(st->input->destination);

    if (user != NULL) {
        add_there(st, way->disk->target, to, gw_plan_vm_name(user));
        return;
    }
    if (st->input->there == NULL)
        return;                                    /* not asked */
    if (there != NULL && there->used_by != NULL) { /* under another of its names */
        add_there(st, way->disk->target, to, there->used_by);
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

/* Two images of one VM must not become one; an image that lies below two of its disks does. FALSE:
 * it is moved with another disk already. */
static gboolean take_name(GwStorage *st, const GwDiskWay *way, GwImageMove *image)
{
    const GwVolume *to = image->to;
    g_autofree char *key =
        to->pool != NULL ? g_strconcat(to->pool, "\n", to->name, NULL) : g_strdup(to->path);
    const GwImageMove *first = g_hash_table_lookup(st->taken, key);

    if (first == NULL) {
        g_hash_table_insert(st->taken, g_steal_pointer(&key), image);
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

static void address(const GwPlace *place, GwVolume *to, const char *name)
{
    if (place->device != NULL) {
        to->path = g_strdup(place->device);
        to->kind = g_strdup("block");
    } else {
        gw_storage_address(to, place->pool, name);
    }
}

static char *name_below(const GwVolume *from)
{
    const char *name = from->pool != NULL && from->name != NULL ? from->name : from->path;
    const char *slash = name != NULL ? strrchr(name, '/') : NULL;
    return g_strdup(slash != NULL ? slash + 1 : name);
}

/* The images that move with the disk: up to the first that stays below it. */
static guint count_moving(const GwStorage *st, const GPtrArray *chain)
{
    guint count = 1;

    while (count < chain->len && !stays_below(st, chain->pdata[count]))
        count++;
    return count;
}

static GwImageMove *add_image(GwStorage *st, const GwDiskWay *way, const GwPlace *place,
                              const GwVolume *from, guint depth, gboolean flatten)
{
    GwImageMove *image = gw_image_move_new();
    g_autofree char *name = depth == 0 ? g_strdup(place->name) : name_below(from);

    image->from = gw_volume_copy(from);
    image->to = like(from, depth == 0 ? place->format : NULL, place->device != NULL);
    image->flatten = flatten;
    image->create = place->device == NULL;
    address(place, image->to, name);
    if (!take_name(st, way, image)) {
        gw_image_move_free(image);
        return NULL;
    }
    if (place->device != NULL)
        check_device(st, way, image->to);
    else if (depth == 0 || gw_volume_check_name(image->to->name, NULL))
        check_free(st, way, image, way->choice != NULL && way->choice->name != NULL);
    else
        gw_storage_find(st, &gw_rule_volume_name,
                        g_strdup_printf("An image below disk %s is called '%s'",
                                        gw_plan_text(way->disk->target), gw_plan_text(name)),
                        g_strdup("A file name that a volume can have."),
                        g_strdup("Move with --flatten: the disk then is one image."));
    g_ptr_array_add(way->move->images, image);
    return image;
}

/* Only a qcow2 has images below it, and a conversion leaves none. */
static gboolean loses_chain(const GwDiskWay *way, const GwPlace *place)
{
    return way->move->how == (int)GW_DISK_CONVERT ||
           (place->format != NULL && strcmp(place->format, "qcow2") != 0);
}

/* A file's copy names what lies below it as the file did; nobody writes it anew on the way. */
static void check_chain_path(GwStorage *st, const GwDiskWay *way, const GwImageMove *image,
                             gboolean top)
{
    const char *was = image->from->backing_path;
    const char *is = image->to->backing_path;
    int how = way->move->how;
    gboolean by_qemu = top && (how == (int)GW_DISK_MIRROR || how == (int)GW_DISK_BLOCK_COPY);

    if (by_qemu || image->flatten || was == NULL || is == NULL || strcmp(was, is) == 0)
        return;
    gw_storage_find(st, &gw_rule_chain_path,
                    g_strdup_printf("%s, of disk %s, names in itself what lies below it: %s, which "
                                    "would be %s",
                                    gw_plan_text(image->from->path),
                                    gw_plan_text(way->disk->target), was, is),
                    g_strdup("The images below it at the same path: a copy is byte for byte."),
                    g_strdup("Move to a pool at the same path, or make one image of the chain on "
                             "its host first: godwit vm migrate-storage VM --flatten."));
}

/* What lay below a disk that becomes one image: old copies like the image itself. One that both
 * hosts reach, and what is below it, may be anybody's. */
static void leave_below(GwStorage *st, const GwDiskWay *way, const GPtrArray *chain)
{
    way->move->left = gw_record_array(&gw_volume_record);
    for (guint i = 1; i < chain->len && !stays_below(st, chain->pdata[i]); i++) {
        const GwVolume *image = chain->pdata[i];
        char *key = g_strconcat("left\n", gw_plan_text(image->path), NULL);
        if (g_hash_table_contains(st->taken, key)) {
            g_free(key); /* it is below another disk, too */
            continue;
        }
        g_hash_table_insert(st->taken, key, NULL);
        g_ptr_array_add(way->move->left, gw_volume_copy(image));
    }
}

static void move_images(GwStorage *st, const GwDiskWay *way, const GwPlace *place,
                        const GPtrArray *chain)
{
    gboolean flatten = has_backing(way) && (st->options->flatten || loses_chain(way, place));
    guint moving = flatten ? 1 : count_moving(st, chain);
    GwImageMove *above = NULL;

    if (flatten)
        leave_below(st, way, chain);
    for (guint i = 0; i < moving; i++) {
        const GwVolume *from = chain->pdata[i];
        GwImageMove *image = add_image(st, way, place, from, i, flatten);
        g_autofree char *name = image == NULL ? name_below(from) : NULL;
        g_autoptr(GwVolume) shared = image == NULL ? gw_volume_new() : NULL;
        if (shared != NULL)
            address(place, shared, name);
        const GwVolume *to = image != NULL ? image->to : shared;
        if (above != NULL) {
            above->to->backing_path = g_strdup(to->path);
            above->to->backing_format = g_strdup(from->format);
            check_chain_path(st, way, above, i == 1);
        }
        if (image == NULL)
            break; /* this one, and all below it, go with another disk */
        gint64 data = data_in(chain, i, flatten ? chain->len : 1);
        const GwKeptVolume *kept =
            image->replace ? kept_here(st, way->disk->target, image->to) : NULL;
        add_need(way->move, image, data,
                 kept != NULL ? bounded(kept->volume->allocation_bytes) : 0);
        above = image;
        if (i + 1 == moving && !flatten) {
            image->to->backing_path = g_strdup(from->backing_path);
            image->to->backing_format = g_strdup(from->backing_format);
        }
    }
}

/* Onto a kept copy, while the VM runs --------------------------------------------------------- */

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

    if (!is_qcow2(kept->volume))
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
    const GwKeptVolume *kept = kept_here(st, way->disk->target, to);
    const GwVolume *old = volume_there(st, to);

    return kept != NULL && old != NULL && user_of(st, to->path) == NULL &&
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

/* FALSE: it is mirrored whole. */
static gboolean move_as_delta(GwStorage *st, const GwDiskWay *way, const GwPlace *place,
                              const GPtrArray *chain)
{
    const GwVolume *from = chain->pdata[0];
    GwDiskMove *move = way->move;

    if (move->how != (int)GW_DISK_MIRROR || way->images == NULL || way->images->images == NULL ||
        chain->len != 1 || place->device != NULL || st->options->flatten ||
        st->input->vm->snapshots > 0 || from->name == NULL)
        return FALSE;
    g_autoptr(GwVolume) to = like(from, place->format, FALSE);
    address(place, to, place->name);
    if (!fits(st, way, from, to))
        return FALSE;
    g_autoptr(GwVolume) above = named_above(from);
    g_autoptr(GwVolume) above_there = named_above(to);
    if (above == NULL || above_there == NULL || volume_there(st, above_there) != NULL)
        return FALSE;
    const GwVolume *old = volume_there(st, to);
    gint64 data = bounded(from->allocation_bytes);
    GwImageMove *top = image_of(g_steal_pointer(&above), g_steal_pointer(&above_there));
    GwImageMove *base = image_of(gw_volume_copy(from), g_steal_pointer(&to));
    top->create = TRUE;
    base->delta = TRUE;
    g_ptr_array_add(move->images, top);
    g_ptr_array_add(move->images, base);
    take_name(st, way, base);
    take_name(st, way, top);
    move->need_bytes = MAX(data - bounded(old->allocation_bytes), 0);
    move->copy_bytes = data;
    g_autofree char *why = g_steal_pointer(&move->why);
    move->why = g_strdup_printf(
        "%s; onto the copy that is kept there: what differs goes first, while the guest writes to "
        "an image above its disk; that one is mirrored, and merged in the end",
        gw_plan_text(why));
    return TRUE;
}

void gw_storage_images(GwStorage *st, const GwDiskWay *way, const GwPlace *place)
{
    g_autoptr(GPtrArray) chain = chain_of(way);

    if (!move_as_delta(st, way, place, chain))
        move_images(st, way, place, chain);
}

void gw_storage_state_file(GwStorage *st, GwDiskMove *move, const char *path, const char *format,
                           const char *kind, const GwPool *pool)
{
    const GwDiskImages *told =
        gw_record_find(&gw_disk_images_record, st->input->images, "target", move->target);
    GwImageMove *image = gw_image_move_new();

    if (told != NULL && told->images != NULL && told->images->len > 0) {
        image->from = gw_volume_copy(told->images->pdata[0]);
    } else {
        image->from = gw_volume_new();
        image->from->path = g_strdup(path);
        image->from->format = g_strdup(format);
        image->from->internal_snapshots = -1;
    }
    g_free(image->from->kind);
    image->from->kind = g_strdup(kind);
    image->to = like(image->from, NULL, FALSE);
    image->create = TRUE;
    if (pool != NULL) {
        g_autofree char *name = name_below(image->from);
        gw_storage_address(image->to, pool, name);
    } else {
        image->to->path = g_strdup(path);
        image->to->kind = g_strdup(kind);
    }
    image->replace = kept_here(st, move->target, image->to) != NULL;
    const GwVm *user = user_of(st, image->to->path);
    if (!image->replace && volume_there(st, image->to) != NULL)
        add_there(st, move->target, image->to, user != NULL ? gw_plan_vm_name(user) : NULL);
    gint64 data = bounded(image->from->allocation_bytes);
    move->need_bytes = data;
    move->copy_bytes = data;
    g_ptr_array_add(move->images, image);
}
