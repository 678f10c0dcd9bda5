/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/reach.h"
#include "plan/rule.h"

/* Rules on the VM's disks, and on whether the destination reaches what they live on. */

#define EACH_REACH(input, reach)                                                                   \
    for (guint i_ = 0;                                                                             \
         i_ < (input)->reaches->len && ((reach) = (input)->reaches->pdata[i_], TRUE); i_++)

static void check_reach(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GwReach *reach = NULL;

    EACH_REACH(input, reach)
    {
        if (reach->how != GW_REACH_NOT)
            continue;
        gw_rule_add(self, findings,
                    g_strdup_printf("Disk %s would have to be copied (Live (VSM)): %s",
                                    gw_plan_text(reach->disk->target), reach->why),
                    g_strdup_printf("Storage that %s and %s both reach; moving with the disks is "
                                    "not in this version.",
                                    gw_plan_host_name(input->source),
                                    gw_plan_host_name(input->destination)),
                    g_strdup(reach->remedy));
    }
}

const GwRule gw_rule_storage_reach = { "storage-reach", "R2", GW_SEVERITY_ERROR,
                                       "Both hosts must reach the storage of every disk.",
                                       check_reach };

/* The storage is at the right place, but the destination has another pool over the disk's path. */
static void add_hidden(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                       const GwReach *reach)
{
    const char *to = gw_plan_host_name(input->destination);
    const char *pool = gw_plan_text(reach->hidden_by->name);
    g_autofree char *quoted = gw_plan_quote(pool);

    gw_rule_add(self, findings,
                g_strdup_printf("Disk %s is at %s, over which %s has its pool '%s' (%s)",
                                gw_plan_text(reach->disk->target), reach->disk->source, to, pool,
                                gw_plan_text(reach->hidden_by->target_path)),
                g_strdup("The same storage at the disk's path on both hosts."),
                g_strdup_printf("If that pool is only a folder of the same storage, remove it on "
                                "%s (virsh pool-destroy %s, virsh pool-undefine %s); that leaves "
                                "the files.",
                                to, quoted, quoted));
}

static void check_path(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GwReach *reach = NULL;

    EACH_REACH(input, reach)
    {
        if (!reach->other_path)
            continue;
        if (reach->hidden_by != NULL) {
            add_hidden(self, input, findings, reach);
            continue;
        }
        gw_rule_add(self, findings,
                    g_strdup_printf("Disk %s is at %s; %s shows the same storage at %s (pool '%s')",
                                    gw_plan_text(reach->disk->target), reach->disk->source,
                                    gw_plan_host_name(input->destination),
                                    gw_plan_text(reach->destination->target_path),
                                    gw_plan_text(reach->destination->name)),
                    g_strdup("The same path on both hosts: the VM opens its disks by path."),
                    g_strdup_printf("Mount the storage at %s on %s too, as a pool of that path.",
                                    gw_plan_text(reach->source->target_path),
                                    gw_plan_host_name(input->destination)));
    }
}

const GwRule gw_rule_storage_path = { "storage-path", "R4", GW_SEVERITY_ERROR,
                                      "Shared storage must be at the same path on both hosts.",
                                      check_path };

static void check_san(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GwReach *reach = NULL;

    EACH_REACH(input, reach)
    {
        if (reach->how != GW_REACH_UNSHOWN)
            continue;
        gw_rule_add(self, findings,
                    g_strdup_printf("Disk %s: %s", gw_plan_text(reach->disk->target), reach->why),
                    g_strdup_printf("%s reaches the same target as %s.",
                                    gw_plan_host_name(input->destination),
                                    gw_plan_host_name(input->source)),
                    g_strdup(reach->remedy));
    }
}

const GwRule gw_rule_san_reach = { "san-reach", "R28", GW_SEVERITY_WARNING,
                                   "The destination should be seen to reach the VM's SAN.",
                                   check_san };

/* The server's part of an NFS pool's source: up to the export. */
static char *server_of(const GwPool *pool)
{
    const char *source = pool->source != NULL ? pool->source : "";
    source += strspn(source, "/");
    gsize length = strcspn(source, "/");
    while (length > 0 && source[length - 1] == ':')
        length--;
    return g_strndup(source, length);
}

static void check_server(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GwReach *reach = NULL;
    const GwPool *said = NULL;

    EACH_REACH(input, reach)
    {
        const GwPool *pool = reach->source;
        if (reach->how != GW_REACH_SAME || pool == NULL || pool == said ||
            g_strcmp0(pool->type, "netfs") != 0)
            continue;
        g_autofree char *server = server_of(pool);
        if (strpbrk(server, ".:") != NULL) /* a domain, or an address */
            continue;
        said = pool;
        gw_rule_add(self, findings,
                    g_strdup_printf("Pool '%s' of %s names its server '%s'",
                                    gw_plan_text(pool->name), gw_plan_host_name(input->source),
                                    server),
                    g_strdup("The server's FQDN or address: a short name may be another machine "
                             "on another host."),
                    g_strdup("Define the pool with the server's FQDN on all hosts."));
    }
}

const GwRule gw_rule_share_server = { "share-server", "R17", GW_SEVERITY_WARNING,
                                      "A share should name its server by FQDN or address.",
                                      check_server };

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

const GwRule gw_rule_cdrom = { "cdrom", "R53", GW_SEVERITY_ERROR, "No CD-ROM may be in the drive.",
                               check_cdrom };

static void disk_floppy(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                        const GwDisk *disk)
{
    disk_medium(self, input, findings, disk, "floppy", "Floppy");
}

static void check_floppy(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    each_disk(self, input, findings, disk_floppy);
}

const GwRule gw_rule_floppy = { "floppy", "R53", GW_SEVERITY_ERROR,
                                "No floppy may be in the drive.", check_floppy };

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

const GwRule gw_rule_transient_disk = { "transient-disk", "R54", GW_SEVERITY_ERROR,
                                        "No disk may be ephemeral.", check_transient };

static void check_shareable(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GwReach *reach = NULL;

    EACH_REACH(input, reach)
    {
        if (!reach->disk->shareable || reach->disk->readonly)
            continue;
        gboolean copied = reach->how == GW_REACH_NOT;
        gw_rule_add_as(self, copied ? GW_SEVERITY_ERROR : GW_SEVERITY_WARNING, findings,
                       g_strdup_printf("Disk %s is shared with other VMs (<shareable/>)",
                                       gw_plan_text(reach->disk->target)),
                       copied
                           ? g_strdup("A shared disk stays where it is: its storage cannot be "
                                      "moved live.")
                           : g_strdup("Storage that both hosts reach at the same time, as here."),
                       copied ? g_strdup("Shut all VMs that share it down before moving it; the "
                                         "VM's other disks can move live.")
                              : g_strdup("Nothing to do. No lock protects such a disk, so the move "
                                         "commits by resume."));
    }
}

const GwRule gw_rule_shareable_disk = { "shareable-disk", "R15", GW_SEVERITY_ERROR,
                                        "A disk shared between VMs cannot be copied live.",
                                        check_shareable };

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

    if (danger == NULL)
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

const GwRule gw_rule_disk_cache = { "disk-cache", "I9", GW_SEVERITY_ERROR,
                                    "No disk's cache mode may endanger its content.", check_cache };

static void disk_block_job(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                           const GwDisk *disk)
{
    if (!disk->block_job)
        return;
    g_autofree char *vm = gw_plan_virsh_vm(input->vm);
    g_autofree char *target = gw_plan_quote(disk->target);
    gw_rule_add(self, findings,
                g_strdup_printf("A block job (merge, copy or backup) runs on disk %s",
                                gw_plan_text(disk->target)),
                g_strdup("No block job: libvirt refuses to migrate while one runs."),
                g_strdup_printf("Wait for it (virsh blockjob %s %s), or undo it: virsh blockjob %s "
                                "%s --abort.",
                                vm, target, vm, target));
}

static void check_block_job(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    each_disk(self, input, findings, disk_block_job);
}

const GwRule gw_rule_block_job = { "block-job", "R31", GW_SEVERITY_ERROR,
                                   "No block job may run on a disk.", check_block_job };

static void check_backing(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GwReach *reach = NULL;

    EACH_REACH(input, reach)
    {
        const GwDisk *disk = reach->disk;
        if (disk->backing_depth == 0 || reach->how == GW_REACH_NOT)
            continue;
        gw_rule_add(self, findings,
                    g_strdup_printf("Disk %s has %" G_GINT64_FORMAT " image%s below %s, which "
                                    "Godwit does not follow",
                                    gw_plan_text(disk->target), disk->backing_depth,
                                    disk->backing_depth == 1 ? "" : "s", disk->source),
                    g_strdup_printf("The whole chain reached by %s.",
                                    gw_plan_host_name(input->destination)),
                    g_strdup("See that the backing images are on the shared storage too (qemu-img "
                             "info --backing-chain)."));
    }
}

const GwRule gw_rule_backing_chain = { "backing-chain", "R2", GW_SEVERITY_WARNING,
                                       "Backing images must be reached as well.", check_backing };
