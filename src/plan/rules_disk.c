/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/storage.h"

/* Rules on the VM's disks themselves: what they are, and what is done with them now. */

typedef void (*DiskCheck)(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                          const GwDisk *disk);

static void each_disk(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                      DiskCheck check)
{
    const GPtrArray *disks = input->vm->disks;

    for (guint i = 0; disks != NULL && i < disks->len; i++)
        check(self, input, findings, disks->pdata[i]);
}

static void disk_medium(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                        const GwDisk *disk, const char *device, const char *words)
{
    if (g_strcmp0(disk->device, device) != 0 || disk->source == NULL)
        return;
    g_autofree char *vm = gw_plan_virsh_vm(input->vm);
    g_autofree char *target = gw_plan_quote(disk->target);
    gw_rule_add(self, findings,
                g_strdup_printf("%s %s holds %s", words, gw_plan_text(disk->target), disk->source),
                g_strdup("An empty drive."),
                g_strdup_printf("Eject it: virsh change-media %s %s --eject.", vm, target));
}

static void disk_cdrom(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                       const GwDisk *disk)
{
    disk_medium(self, input, findings, disk, "cdrom", "CD-ROM");
}

static void check_cdrom(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    each_disk(self, input, findings, disk_cdrom);
}

const GwRule gw_rule_cdrom = { "cdrom",           "R53",
                               GW_SEVERITY_ERROR, "No CD-ROM may be in the drive.",
                               GW_RULE_MOVES,     check_cdrom };

static void disk_floppy(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                        const GwDisk *disk)
{
    disk_medium(self, input, findings, disk, "floppy", "Floppy");
}

static void check_floppy(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    each_disk(self, input, findings, disk_floppy);
}

const GwRule gw_rule_floppy = { "floppy",          "R53",
                                GW_SEVERITY_ERROR, "No floppy may be in the drive.",
                                GW_RULE_MOVES,     check_floppy };

static void disk_transient(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                           const GwDisk *disk)
{
    if (!disk->transient)
        return;
    g_autofree char *vm = gw_plan_virsh_vm(input->vm);
    g_autofree char *target = gw_plan_quote(disk->target);
    gw_rule_add(self, findings,
                g_strdup_printf("Disk %s is transient: what is written to it exists only on %s",
                                gw_plan_text(disk->target), gw_plan_host_name(input->source)),
                g_strdup("No ephemeral disk."),
                g_strdup_printf("Remove it: virsh detach-disk %s %s --live; or take <transient/> "
                                "out of the definition and restart the VM.",
                                vm, target));
}

static void check_transient(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    each_disk(self, input, findings, disk_transient);
}

const GwRule gw_rule_transient_disk = { "transient-disk",
                                        "R54",
                                        GW_SEVERITY_ERROR,
                                        "No disk may be ephemeral.",
                                        GW_RULE_LIVE | GW_RULE_WITHIN_LIVE,
                                        check_transient };

/* A VM, running or paused, other than this one that has the disk too; the first by name. */
static const GwVm *other_user(const GwPlanInput *input, const GwDisk *disk)
{
    GHashTable *vms = g_hash_table_lookup(input->fabric->vms, input->source->id);
    const GwVm *user = NULL;
    GHashTableIter iter;
    gpointer value;

    if (vms == NULL)
        return NULL;
    g_hash_table_iter_init(&iter, vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwVm *vm = value;
        if (gw_vm_is_active(vm) && g_strcmp0(vm->uuid, input->vm->uuid) != 0 &&
            gw_record_find(&gw_disk_record, vm->disks, "source", disk->source) != NULL)
            user = gw_fabric_first_vm(user, vm);
    }
    return user;
}

static void add_shared_copy(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                            const GwDisk *disk)
{
    const GwVm *user = other_user(input, disk);
    gboolean live = gw_plan_is_live(input->vm);

    gw_rule_add_as(self, live || user != NULL ? GW_SEVERITY_ERROR : GW_SEVERITY_WARNING, findings,
                   g_strdup_printf("Disk %s is shared with other VMs (<shareable/>)%s%s%s",
                                   gw_plan_text(disk->target), user != NULL ? ", and " : "",
                                   user != NULL ? gw_plan_vm_name(user) : "",
                                   user != NULL ? " uses it now" : ""),
                   live ? g_strdup("A shared disk stays where it is: its storage cannot be "
                                   "moved live.")
                        : g_strdup("All VMs that share it off, and named anew afterwards."),
                   live ? g_strdup("Shut all VMs that share it down before moving it; the "
                                   "VM's other disks can move live.")
                        : g_strdup("Shut down all VMs that share it; after the move, change the "
                                   "disk in the definitions of the others (virsh edit)."));
}

static void disk_shareable(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                           const GwDisk *disk)
{
    if (!disk->shareable || disk->readonly || disk->source == NULL)
        return;
    if (gw_plan_is_copied(gw_plan_disk_move(input, disk->target)))
        add_shared_copy(self, input, findings, disk);
    else if (gw_plan_is_live(input->vm) && !gw_plan_is_within(input))
        gw_rule_add_as(self, GW_SEVERITY_WARNING, findings,
                       g_strdup_printf("Disk %s is shared with other VMs (<shareable/>)",
                                       gw_plan_text(disk->target)),
                       g_strdup("Storage that both hosts reach at the same time, as here."),
                       g_strdup("Nothing to do. No lock protects such a disk, so the move "
                                "commits by resume."));
}

static void check_shareable(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    each_disk(self, input, findings, disk_shareable);
}

const GwRule gw_rule_shareable_disk = {
    "shareable-disk",  "R15",
    GW_SEVERITY_ERROR, "A disk shared between VMs cannot be copied live.",
    GW_RULE_ALWAYS,    check_shareable
};

#define QEMU_DROPS_CACHE 4000000 /* drop-cache of its file driver, which libvirt relies on */

/* Why the host's page cache could show the destination old blocks, or NULL (libvirt's own test of
 * safety, made here because a proved share switches it off as a whole). */
static const char *cache_danger(const GwPlanInput *input, const GwDisk *disk)
{
    gint64 from = gw_plan_facts(input->source)->qemu_version;
    gint64 to = gw_plan_facts(input->destination)->qemu_version;

    if (!gw_disk_is_writable(disk))
        return NULL;
    if (g_strcmp0(disk->cache, "unsafe") == 0)
        return "which ignores the guest's flushes, so the destination could read old blocks";
    /* libvirt holds a shareable disk to be safe: it is written around the cache. */
    if (disk->shareable || g_strcmp0(disk->type, "network") == 0 ||
        g_strcmp0(disk->cache, "none") == 0 || g_strcmp0(disk->cache, "directsync") == 0)
        return NULL;
    if ((from != 0 && from < QEMU_DROPS_CACHE) || (to != 0 && to < QEMU_DROPS_CACHE))
        return "and a QEMU older than 4.0 does not drop the host's cache when a VM moves";
    return NULL;
}

static void disk_cache(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                       const GwDisk *disk)
{
    const char *danger = cache_danger(input, disk);

    /* A copy is written by the destination alone. */
    if (danger == NULL || gw_plan_is_copied(gw_plan_disk_move(input, disk->target)))
        return;
    gw_rule_add(self, findings,
                g_strdup_printf("Disk %s has cache mode '%s', %s", gw_plan_text(disk->target),
                                disk->cache != NULL ? disk->cache : "default", danger),
                g_strdup("A cache mode that is safe to move with: none or directsync."),
                g_strdup("Set cache='none' in the disk's <driver> and restart the VM."));
}

static void check_cache(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    each_disk(self, input, findings, disk_cache);
}

const GwRule gw_rule_disk_cache = {
    "disk-cache", "I9",       GW_SEVERITY_ERROR, "No disk's cache mode may endanger its content.",
    GW_RULE_LIVE, check_cache
};

/* A merge is what follows the deletion of a snapshot: it ends by itself. */
static gboolean is_merge(const GwDisk *disk)
{
    static const char *const kinds[] = { "commit", "active-commit", "pull", NULL };
    return disk->block_job && disk->block_job_kind != NULL &&
           g_strv_contains(kinds, disk->block_job_kind);
}

gboolean gw_plan_merge_running(const GwVm *vm, char **why)
{
    for (guint i = 0; vm->disks != NULL && i < vm->disks->len; i++) {
        const GwDisk *disk = vm->disks->pdata[i];
        if (!is_merge(disk))
            continue;
        if (why != NULL)
            *why = g_strdup_printf("disk %s is being merged (%s)", gw_plan_text(disk->target),
                                   disk->block_job_kind);
        return TRUE;
    }
    return FALSE;
}

static void disk_block_job(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                           const GwDisk *disk)
{
    gboolean merge = is_merge(disk);

    if (!disk->block_job || (merge && gw_plan_options(input)->wait_for_merge))
        return;
    g_autofree char *vm = gw_plan_virsh_vm(input->vm);
    g_autofree char *target = gw_plan_quote(disk->target);
    gw_rule_add(self, findings,
                g_strdup_printf("A block job (%s) runs on disk %s",
                                disk->block_job_kind != NULL ? disk->block_job_kind
                                                             : "merge, copy or backup",
                                gw_plan_text(disk->target)),
                g_strdup("No block job: libvirt refuses to migrate or copy while one runs."),
                merge ? g_strdup("Let the move wait for it: --wait-for-merge.")
                      : g_strdup_printf("Wait for it (virsh blockjob %s %s), or undo it: virsh "
                                        "blockjob %s %s --abort.",
                                        vm, target, vm, target));
}

static void check_block_job(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    each_disk(self, input, findings, disk_block_job);
}

const GwRule gw_rule_block_job = { "block-job",       "R31",
                                   GW_SEVERITY_ERROR, "No block job may run on a disk.",
                                   GW_RULE_ALWAYS,    check_block_job };

/* An image of a disk that is copied, by QEMU or otherwise. */
typedef void (*ImageCheck)(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                           const GwDiskMove *move, const GwImageMove *image);

static void each_copied(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                        ImageCheck check)
{
    for (guint i = 0; i < input->storage->disks->len; i++) {
        const GwDiskMove *move = input->storage->disks->pdata[i];
        for (guint k = 0; gw_plan_is_copied(move) && k < move->images->len; k++)
            check(self, input, findings, move, move->images->pdata[k]);
    }
}

static void image_snapshots(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                            const GwDiskMove *move, const GwImageMove *image)
{
    /* Only the guest's data goes through a mirror or a conversion; a file's copy is the file. */
    gboolean content = move->how == (int)GW_DISK_MIRROR || move->how == (int)GW_DISK_BLOCK_COPY ||
                       move->how == (int)GW_DISK_CONVERT;

    if (!content || image->from->internal_snapshots <= 0)
        return;
    g_autofree char *vm = gw_plan_virsh_vm(input->vm);
    gw_rule_add(self, findings,
                g_strdup_printf("Disk %s has %" G_GINT64_FORMAT " snapshot%s inside its image, "
                                "which a copy by QEMU does not take along",
                                gw_plan_text(move->target), image->from->internal_snapshots,
                                image->from->internal_snapshots == 1 ? "" : "s"),
                g_strdup("No internal snapshots in an image that is mirrored or converted."),
                g_strdup_printf("Delete them (virsh snapshot-delete %s NAME), or move while the VM "
                                "is off and without conversion: the file is copied whole.",
                                vm));
}

static void check_internal(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    each_copied(self, input, findings, image_snapshots);
}

const GwRule gw_rule_internal_snapshots = {
    "internal-snapshots", "R31",
    GW_SEVERITY_ERROR,    "Snapshots inside an image are lost by a mirror.",
    GW_RULE_ALWAYS,       check_internal
};

static void image_encrypted(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                            const GwDiskMove *move, const GwImageMove *image)
{
    if (!image->from->encrypted)
        return;
    gw_rule_add(self, findings, g_strdup_printf("Disk %s is encrypted", gw_plan_text(move->target)),
                g_strdup_printf("Its secret on %s, by the same UUID.",
                                gw_plan_host_name(input->destination)),
                g_strdup("See that it is there: virsh secret-list; without it the VM does not "
                         "start there, and stays where it is."));
}

static void check_encrypted(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    each_copied(self, input, findings, image_encrypted);
}

const GwRule gw_rule_encrypted_image = { "encrypted-image",
                                         "R30",
                                         GW_SEVERITY_WARNING,
                                         "The destination must have the secret of an encrypted "
                                         "image.",
                                         GW_RULE_MOVES,
                                         check_encrypted };

#define CHAIN_MAX 200 /* libvirt follows no longer ones */

static void check_chains(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    for (guint i = 0; input->images != NULL && i < input->images->len; i++) {
        const GwDiskImages *told = input->images->pdata[i];
        const char *target = gw_plan_text(told->target);
        if (told->error != NULL)
            gw_rule_add(
                self, findings,
                g_strdup_printf("The images of disk %s cannot be read: %s", target, told->error),
                g_strdup("Every image of its chain, down to the last."),
                g_strdup_printf("Look on %s: qemu-img info --backing-chain FILE.",
                                gw_plan_host_name(input->source)));
        else if (told->images != NULL && told->images->len > CHAIN_MAX)
            gw_rule_add(
                self, findings,
                g_strdup_printf("Disk %s is a chain of %u images", target, told->images->len),
                g_strdup_printf("At most %d.", CHAIN_MAX),
                g_strdup("Merge some of them: virsh blockcommit."));
    }
}

const GwRule gw_rule_image_chain = {
    "image-chain",     "I9",
    GW_SEVERITY_ERROR, "Every image of a disk must be there and readable.",
    GW_RULE_ALWAYS,    check_chains
};

static void check_serials(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GPtrArray *disks = input->vm->disks;

    for (guint i = 0; disks != NULL && i < disks->len; i++) {
        const GwDisk *disk = disks->pdata[i];
        const GwDisk *first = disk->serial != NULL
                                  ? gw_record_find(&gw_disk_record, disks, "serial", disk->serial)
                                  : NULL;
        if (first == NULL || first == disk)
            continue;
        gw_rule_add(self, findings,
                    g_strdup_printf("Disks %s and %s have the same serial number '%s'",
                                    gw_plan_text(first->target), gw_plan_text(disk->target),
                                    disk->serial),
                    g_strdup("A serial number of its own for each: the guest tells disks apart by "
                             "it."),
                    g_strdup("Change <serial> of one of them while the VM is off."));
    }
}

const GwRule gw_rule_disk_serial = {
    "disk-serial",       "I9",
    GW_SEVERITY_WARNING, "Two disks should not have one serial number.",
    GW_RULE_ALWAYS,      check_serials
};
