/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/shared.h"
#include "plan/storage.h"

/* Rules on where disks are copied to: is there such a place, is there room, can what is there hold
 * them as they are. The first of them were found while the places were looked for. */

const GwRule gw_rule_storage_place = { "storage-place",   "R16",
                                       GW_SEVERITY_ERROR, "Each disk that is copied needs a place.",
                                       GW_RULE_ALWAYS,    gw_storage_show };

const GwRule gw_rule_share_path = { "share-path",      "R17",
                                    GW_SEVERITY_ERROR, "A share path must name its server by FQDN.",
                                    GW_RULE_ALWAYS,    gw_storage_show };

const GwRule gw_rule_volume_name = {
    "volume-name",     "R38",
    GW_SEVERITY_ERROR, "A volume's name must be one file name, and its own.",
    GW_RULE_ALWAYS,    gw_storage_show
};

const GwRule gw_rule_volume_there = {
    "volume-there", "I4",           GW_SEVERITY_ERROR, "What is there already is not overwritten.",
    GW_RULE_ALWAYS, gw_storage_show
};

const GwRule gw_rule_disk_choice = {
    "disk-choice",     "R38",
    GW_SEVERITY_ERROR, "What is chosen for single disks must make sense.",
    GW_RULE_ALWAYS,    gw_storage_show
};

const GwRule gw_rule_disk_format = {
    "disk-format",     "R14",
    GW_SEVERITY_ERROR, "A format that is asked for must be possible there.",
    GW_RULE_ALWAYS,    gw_storage_show
};

const GwRule gw_rule_storage_moves = { "storage-moves",   "R14",
                                       GW_SEVERITY_ERROR, "Moving storage must change something.",
                                       GW_RULE_ALWAYS,    gw_storage_show };

const GwRule gw_rule_chain_path = {
    "chain-path",      "R14",
    GW_SEVERITY_ERROR, "A copied image must find what lies below it.",
    GW_RULE_ALWAYS,    gw_storage_show
};

static const GwVolume *target_of(const GwDiskMove *move)
{
    if (!gw_plan_is_copied(move) || move->images->len == 0)
        return NULL;
    return ((const GwImageMove *)move->images->pdata[0])->to;
}

static const GwPool *pool_of(const GwPlanInput *input, const GwVolume *volume)
{
    return volume != NULL && volume->pool != NULL
               ? gw_record_find(&gw_pool_record, gw_plan_facts(input->destination)->pools, "name",
                                volume->pool)
               : NULL;
}

/* What this move needs of @pool, and what its disks there may grow to. */
static void sum_up(const GwPlanInput *input, const GwPool *pool, gint64 *need, gint64 *capacity)
{
    *need = *capacity = 0;
    for (guint i = 0; i < input->storage->disks->len; i++) {
        const GwDiskMove *move = input->storage->disks->pdata[i];
        const GwVolume *to = target_of(move);
        if (to == NULL || pool_of(input, to) != pool)
            continue;
        *need += MIN(move->need_bytes, G_MAXINT64 / 4 - *need);
        *capacity += MIN(to->capacity_bytes, G_MAXINT64 / 4 - *capacity);
    }
}

static void check_pool(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                       const GwPool *pool)
{
    gint64 need = 0;
    gint64 capacity = 0;
    const char *on = gw_plan_host_name(input->destination);

    if (pool->capacity_bytes <= 0)
        return; /* not told */
    sum_up(input, pool, &need, &capacity);
    gint64 promised = gw_shared_promised_bytes(input, pool->name);
    gint64 left = MAX(pool->available_bytes, 0) - promised;
    gboolean short_of = need > left;
    if (!short_of && capacity <= left)
        return;
    g_autofree char *free_text = gw_storage_size(MAX(pool->available_bytes, 0));
    g_autofree char *promised_text = gw_storage_size(promised);
    g_autofree char *need_text = gw_storage_size(short_of ? need : capacity);
    gw_rule_add_as(
        self, short_of ? GW_SEVERITY_ERROR : GW_SEVERITY_WARNING, findings,
        g_strdup_printf("Pool '%s' of %s has %s free%s%s", gw_plan_text(pool->name), on, free_text,
                        promised > 0 ? ", of which other jobs will take " : "",
                        promised > 0 ? promised_text : ""),
        short_of
            ? g_strdup_printf("%s for what is copied there.", need_text)
            : g_strdup_printf("%s, to which the disks that are copied there can grow.", need_text),
        short_of ? g_strdup_printf("Make room in it, or choose another pool of %s.", on)
                 : g_strdup("Watch it: a disk that finds no room stops its VM."));
}

static void check_space(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    g_autoptr(GHashTable) others = NULL; /* in most lists all that is copied goes to one pool */
    const GwPool *first = NULL;

    for (guint i = 0; i < input->storage->disks->len; i++) {
        const GwPool *pool = pool_of(input, target_of(input->storage->disks->pdata[i]));
        if (pool == NULL || pool == first)
            continue;
        if (first != NULL && others == NULL)
            others = g_hash_table_new(NULL, NULL);
        if (first == NULL || g_hash_table_add(others, (gpointer)pool))
            check_pool(self, input, findings, pool);
        first = first == NULL ? pool : first;
    }
}

const GwRule gw_rule_storage_space = {
    "storage-space",   "R26",
    GW_SEVERITY_ERROR, "What is copied must fit into the pools that it goes to.",
    GW_RULE_ALWAYS,    check_space
};

typedef struct {
    const char *type;
    gint64 bytes;
} FileLimit;

#define GIB ((gint64)1 << 30)

static const FileLimit file_limits[] = {
    { "vfat", 4 * GIB - 1 }, { "ext2", 2048 * GIB }, { "ext3", 2048 * GIB }, { "ext4", 16384 * GIB }
};

static const FileLimit *limit_of(const GwFileSystem *fs)
{
    for (guint i = 0; fs != NULL && i < G_N_ELEMENTS(file_limits); i++) {
        if (g_strcmp0(fs->type, file_limits[i].type) == 0)
            return &file_limits[i];
    }
    return NULL;
}

static void check_one_size(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                           const GwDiskMove *move)
{
    const GwVolume *to = target_of(move);
    const FileLimit *limit = to != NULL && g_strcmp0(to->kind, "file") == 0
                                 ? limit_of(gw_storage_file_system(input->destination, to->path))
                                 : NULL;

    if (limit == NULL || to->capacity_bytes <= limit->bytes)
        return;
    /* A raw file is as long as the disk at once; a qcow2 grows. */
    gboolean now = g_strcmp0(to->format, "qcow2") != 0 || move->need_bytes > limit->bytes;
    g_autofree char *size = gw_storage_size(to->capacity_bytes);
    g_autofree char *most = gw_storage_size(limit->bytes);
    gw_rule_add_as(self, now ? GW_SEVERITY_ERROR : GW_SEVERITY_WARNING, findings,
                   g_strdup_printf("Disk %s of %s goes to a file system of type %s, whose files "
                                   "are at most %s long",
                                   gw_plan_text(move->target), size, limit->type, most),
                   g_strdup("A file system that can hold a file as long as the disk."),
                   g_strdup("Choose a pool on another file system, xfs for example."));
}

static void check_size(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    for (guint i = 0; i < input->storage->disks->len; i++)
        check_one_size(self, input, findings, input->storage->disks->pdata[i]);
}

const GwRule gw_rule_file_size = {
    "file-size",       "R26",
    GW_SEVERITY_ERROR, "The file system must take files as long as the disks.",
    GW_RULE_ALWAYS,    check_size
};

/* A network disk that is in no pool has its size from the VM's own QEMU alone. Where its host did
 * not tell, nothing can be made that holds it: of size 0 the copy would break off at its first
 * block. Before the host was asked, it is no matter. */
static void check_known(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    for (guint i = 0; input->images != NULL && i < input->storage->disks->len; i++) {
        const GwDiskMove *move = input->storage->disks->pdata[i];
        const GwImageMove *top = target_of(move) != NULL ? move->images->pdata[0] : NULL;
        if (top == NULL || g_strcmp0(top->from->kind, "network") != 0 ||
            top->from->capacity_bytes > 0)
            continue;
        const char *target = gw_plan_text(move->target);
        g_autofree char *vm = gw_plan_quote(gw_plan_vm_name(input->vm));
        gw_rule_add(self, findings,
                    g_strdup_printf("Disk %s is at %s, and %s does not tell how large that is",
                                    target, gw_plan_text(top->from->path),
                                    gw_plan_host_name(input->source)),
                    g_strdup("The size of the disk: its copy is made as large."),
                    g_strdup_printf("Try again when the VM has booted and no job runs on it; see "
                                    "what 'virsh domblkinfo %s %s' says on %s.",
                                    vm, target, gw_plan_host_name(input->source)));
    }
}

const GwRule gw_rule_disk_size = { "disk-size",       "R12",
                                   GW_SEVERITY_ERROR, "A disk must tell its size to be copied.",
                                   GW_RULE_ALWAYS,    check_known };

static gboolean wants_direct(const GwDisk *disk)
{
    return g_strcmp0(disk->cache, "none") == 0 || g_strcmp0(disk->cache, "directsync") == 0 ||
           g_strcmp0(disk->io, "native") == 0;
}

static void check_direct(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GPtrArray *disks = input->vm->disks;

    for (guint i = 0; disks != NULL && i < disks->len; i++) {
        const GwDisk *disk = disks->pdata[i];
        const GwVolume *to = target_of(gw_plan_disk_move(input, disk->target));
        const GwFileSystem *fs = to != NULL && g_strcmp0(to->kind, "file") == 0
                                     ? gw_storage_file_system(input->destination, to->path)
                                     : NULL;
        if (fs == NULL || fs->direct_io || fs->block_bytes == 0 || !wants_direct(disk))
            continue;
        gw_rule_add(self, findings,
                    g_strdup_printf("Disk %s has cache mode '%s'%s, and the file system %s of %s "
                                    "(%s) does no direct I/O, as was tried",
                                    gw_plan_text(disk->target),
                                    disk->cache != NULL ? disk->cache : "default",
                                    g_strcmp0(disk->io, "native") == 0 ? " with native I/O" : "",
                                    gw_plan_text(fs->path), gw_plan_host_name(input->destination),
                                    gw_plan_text(fs->type)),
                    g_strdup("A file system that takes direct I/O: QEMU cannot open it otherwise."),
                    g_strdup("Choose another pool, or set cache='writeback' without io='native' in "
                             "the disk's <driver> and restart the VM."));
    }
}

const GwRule gw_rule_direct_io = {
    "direct-io",       "I9",
    GW_SEVERITY_ERROR, "The file system must do what the cache mode needs.",
    GW_RULE_ALWAYS,    check_direct
};

/* What of owner, group, mode, label and access list cannot be made anew there; NULL: nothing. */
static char *lost_rights(const GwPlanInput *input, const GwImageMove *image)
{
    const GwVolume *from = image->from;
    const GwVolume *to = image->to;
    const GwFileSystem *fs = gw_storage_file_system(input->destination, to->path);

    if (!image->create || g_strcmp0(from->kind, "file") != 0)
        return NULL;
    gboolean none =
        g_strcmp0(to->kind, "file") != 0 || (fs != NULL && g_strcmp0(fs->type, "vfat") == 0);
    if (none && from->owner != NULL)
        return g_strdup_printf("owner %s:%s and mode %s of %s are not re-created: %s keeps none",
                               from->owner, gw_plan_text(from->group), gw_plan_text(from->mode),
                               gw_plan_text(from->path),
                               fs != NULL ? gw_plan_text(fs->type) : gw_plan_text(to->pool));
    if (from->acl != NULL && !gw_host_has_agent(input->destination))
        return g_strdup_printf("the access list of %s (%s) is not re-created: %s has no agent, "
                               "and libvirt sets none",
                               gw_plan_text(from->path), from->acl,
                               gw_plan_host_name(input->destination));
    return NULL;
}

static void check_rights(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    for (guint i = 0; i < input->storage->disks->len; i++) {
        const GwDiskMove *move = input->storage->disks->pdata[i];
        for (guint k = 0; gw_plan_is_copied(move) && k < move->images->len; k++) {
            g_autofree char *lost = lost_rights(input, move->images->pdata[k]);
            if (lost == NULL)
                continue;
            gw_rule_add(self, findings,
                        g_strdup_printf("Disk %s: %s", gw_plan_text(move->target), lost),
                        g_strdup("Owner, mode, label and access list as they are now."),
                        g_strdup("If something beside the VM opens the image, give it access there "
                                 "after the move."));
        }
    }
}

const GwRule gw_rule_permissions = {
    "permissions",       "R30",
    GW_SEVERITY_WARNING, "Permissions are made anew; what cannot be is said.",
    GW_RULE_ALWAYS,      check_rights
};
