/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/storage_images.h"

/* What becomes of each image of a disk: as it was (R30), one for each or all in one, and how much
 * room it needs. */

#define DEFAULT_CLUSTER 65536

gint64 gw_images_bounded(gint64 bytes)
{
    return CLAMP(bytes, 0, GW_IMAGES_BYTES_MAX);
}

gboolean gw_images_is_qcow2(const GwVolume *volume)
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

GwVolume *gw_images_like(const GwVolume *from, const char *format, gboolean device)
{
    GwVolume *to = gw_volume_new();

    to->format = g_strdup(format != NULL ? format : from->format);
    to->capacity_bytes = gw_images_bounded(from->capacity_bytes);
    to->encrypted = from->encrypted;
    if (gw_images_is_qcow2(to) && gw_images_is_qcow2(from)) {
        to->cluster_bytes = gw_images_bounded(from->cluster_bytes);
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
    if (!gw_images_is_qcow2(to))
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
        sum += MIN(gw_images_bounded(((const GwVolume *)chain->pdata[i])->allocation_bytes),
                   GW_IMAGES_BYTES_MAX - sum);
    return top->capacity_bytes > 0 && count > 1 ? MIN(sum, gw_images_bounded(top->capacity_bytes))
                                                : sum;
}

static gboolean is_whole_device(const GwVolume *to)
{
    return g_strcmp0(to->kind, "block") == 0;
}

static void add_need(GwDiskMove *move, const GwImageMove *image, gint64 data, gint64 freed)
{
    const GwVolume *to = image->to;
    gboolean same_form = g_strcmp0(image->from->format, to->format) == 0 && !image->flatten;
    gint64 need = is_whole_device(to) ? gw_images_bounded(to->capacity_bytes)
                                      : data + (same_form && data > 0 ? 0 : tables(to, data));

    /* A kept copy's room is there already; a clone takes none until it is written to. */
    if (data == 0 && to->capacity_bytes == 0)
        need = 0; /* not known */
    if (move->how == (int)GW_DISK_FAST_COPY || image->delta || !image->create)
        need = 0;
    need = MAX(need - freed, 0);
    move->need_bytes = MIN(move->need_bytes + need, GW_IMAGES_BYTES_MAX);
    move->copy_bytes = MIN(move->copy_bytes + data, GW_IMAGES_BYTES_MAX);
}

void gw_images_address(const GwPlace *place, GwVolume *to, const char *name)
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
    image->to = gw_images_like(from, depth == 0 ? place->format : NULL, place->device != NULL);
    image->flatten = flatten;
    image->create = place->device == NULL;
    gw_images_address(place, image->to, name);
    if (!gw_images_take_name(st, way, image)) {
        gw_image_move_free(image);
        return NULL;
    }
    if (place->device != NULL)
        gw_images_check_device(st, way, image->to);
    else if (depth == 0 || gw_volume_check_name(image->to->name, NULL))
        gw_images_check_free(st, way, image, way->choice != NULL && way->choice->name != NULL);
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
        if (g_hash_table_contains(gw_storage_taken(st), key)) {
            g_free(key); /* it is below another disk, too */
            continue;
        }
        g_hash_table_insert(gw_storage_taken(st), key, NULL);
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
            gw_images_address(place, shared, name);
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
            image->replace ? gw_images_kept(st, way->disk->target, image->to) : NULL;
        add_need(way->move, image, data,
                 kept != NULL ? gw_images_bounded(kept->volume->allocation_bytes) : 0);
        above = image;
        if (i + 1 == moving && !flatten) {
            image->to->backing_path = g_strdup(from->backing_path);
            image->to->backing_format = g_strdup(from->backing_format);
        }
    }
}

void gw_storage_images(GwStorage *st, const GwDiskWay *way, const GwPlace *place)
{
    g_autoptr(GPtrArray) chain = chain_of(way);

    if (!gw_images_move_delta(st, way, place, chain))
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
    image->to = gw_images_like(image->from, NULL, FALSE);
    image->create = TRUE;
    if (pool != NULL) {
        g_autofree char *name = name_below(image->from);
        gw_storage_address(image->to, pool, name);
    } else {
        image->to->path = g_strdup(path);
        image->to->kind = g_strdup(kind);
    }
    image->replace = gw_images_kept(st, move->target, image->to) != NULL;
    const GwVm *user = gw_images_user(st->input, image->to->path);
    if (!image->replace && gw_images_there(st, image->to) != NULL)
        gw_images_find_there(st, move->target, image->to,
                             user != NULL ? gw_plan_vm_name(user) : NULL);
    gint64 data = gw_images_bounded(image->from->allocation_bytes);
    move->need_bytes = data;
    move->copy_bytes = data;
    g_ptr_array_add(move->images, image);
}
