/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/storage.h"

/* Rules on the VM's disks, and on whether the destination reaches what they live on. */

#define EACH_REACH(input, reach)                                                                   \
    for (guint i_ = 0;                                                                             \
         i_ < (input)->reaches->len && ((reach) = (input)->reaches->pdata[i_], TRUE); i_++)

const GwRule gw_rule_storage_reach = { "storage-reach",
                                       "R2",
                                       GW_SEVERITY_ERROR,
                                       "Each disk must be reached by both hosts, or be of a kind "
                                       "that can be copied.",
                                       GW_RULE_ALWAYS,
                                       gw_storage_show };

const GwRule gw_rule_transfer_type = {
    "transfer-type",   "R34",
    GW_SEVERITY_ERROR, "A transfer type that is asked for must be there.",
    GW_RULE_ALWAYS,    gw_storage_show
};

const GwRule gw_rule_san_override = {
    "san-override",      "R39",
    GW_SEVERITY_WARNING, "The network is chosen over a SAN only where there is one.",
    GW_RULE_ALWAYS,      gw_storage_show
};

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

static gboolean is_copied(const GwPlanInput *input, const GwReach *reach)
{
    return gw_plan_is_copied(gw_plan_disk_move(input, reach->disk->target));
}

static void check_path(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GwReach *reach = NULL;

    EACH_REACH(input, reach)
    {
        if (!reach->other_path || is_copied(input, reach))
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

const GwRule gw_rule_storage_path = {
    "storage-path",    "R4",
    GW_SEVERITY_ERROR, "Shared storage must be at the same path on both hosts.",
    GW_RULE_MOVES,     check_path
};

/* The destination was asked, and did not get there: it is copied instead, if at all. */
static void add_tried(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                      const GwReach *reach, const GwDiskReached *tried)
{
    const char *to = gw_plan_host_name(input->destination);

    gw_rule_add(self, findings,
                g_strdup_printf("Disk %s: %s tried to reach %s in vain: %s",
                                gw_plan_text(reach->disk->target), to, reach->disk->source,
                                gw_plan_text(tried->why)),
                g_strdup_printf("%s reaches the same target as %s, or the disk is copied, as here.",
                                to, gw_plan_host_name(input->source)),
                g_strdup_printf("Give %s access to it (initiator name, zone, LUN mapping) if it is "
                                "not to be copied.",
                                to));
}

static void check_san(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GwReach *reach = NULL;

    EACH_REACH(input, reach)
    {
        const GwDiskReached *tried =
            gw_record_find(&gw_disk_reached_record, input->reached, "target", reach->disk->target);
        if (reach->how == GW_REACH_NOT)
            continue;
        if (tried != NULL && tried->told) {
            if (!tried->reached)
                add_tried(self, input, findings, reach, tried);
            continue;
        }
        if (reach->how != GW_REACH_UNSHOWN || is_copied(input, reach))
            continue;
        gw_rule_add(self, findings,
                    g_strdup_printf("Disk %s: %s", gw_plan_text(reach->disk->target), reach->why),
                    g_strdup_printf("%s reaches the same target as %s.",
                                    gw_plan_host_name(input->destination),
                                    gw_plan_host_name(input->source)),
                    g_strdup(reach->remedy));
    }
}

const GwRule gw_rule_san_reach = {
    "san-reach",         "R28",
    GW_SEVERITY_WARNING, "The destination should be seen to reach the VM's SAN.",
    GW_RULE_MOVES,       check_san
};

/* The server's part of an NFS pool's source: up to the export; @length gets its length. */
static const char *server_of(const GwPool *pool, gsize *length)
{
    const char *source = pool->source != NULL ? pool->source : "";
    source += strspn(source, "/");
    *length = strcspn(source, "/");
    while (*length > 0 && source[*length - 1] == ':')
        (*length)--;
    return source;
}

static void check_server(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GwReach *reach = NULL;
    const GwPool *said = NULL;

    EACH_REACH(input, reach)
    {
        const GwPool *pool = reach->source;
        if (reach->how != GW_REACH_SAME || is_copied(input, reach) || pool == NULL ||
            pool == said || g_strcmp0(pool->type, "netfs") != 0)
            continue;
        gsize length = 0;
        const char *begin = server_of(pool, &length);
        if (strcspn(begin, ".:") < length) /* a domain, or an address */
            continue;
        said = pool;
        g_autofree char *server = g_strndup(begin, length);
        gw_rule_add(self, findings,
                    g_strdup_printf("Pool '%s' of %s names its server '%s'",
                                    gw_plan_text(pool->name), gw_plan_host_name(input->source),
                                    server),
                    g_strdup("The server's FQDN or address: a short name may be another machine "
                             "on another host."),
                    g_strdup("Define the pool with the server's FQDN on all hosts."));
    }
}

const GwRule gw_rule_share_server = {
    "share-server",      "R17",
    GW_SEVERITY_WARNING, "A share should name its server by FQDN or address.",
    GW_RULE_MOVES,       check_server
};

/* The chain is known: is each image below the disk reached as well? */
static void check_chain(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                        const GwDisk *disk)
{
    const GwDiskImages *told =
        gw_record_find(&gw_disk_images_record, input->images, "target", disk->target);

    for (guint i = 1; told->images != NULL && i < told->images->len; i++) {
        const GwVolume *image = told->images->pdata[i];
        g_autofree char *why = NULL;
        if (image->path != NULL &&
            gw_reach_same_path(input, image->kind, image->path, image->server, &why))
            continue;
        gw_rule_add_as(self, GW_SEVERITY_ERROR, findings,
                       g_strdup_printf("Disk %s stays where both hosts reach it, but not %s below "
                                       "it: %s",
                                       gw_plan_text(disk->target), gw_plan_text(image->path),
                                       gw_plan_text(why)),
                       g_strdup_printf("The whole chain reached by %s.",
                                       gw_plan_host_name(input->destination)),
                       g_strdup_printf("Copy the disk as well (--disk %s:POOL), or bring that "
                                       "image to the shared storage.",
                                       gw_plan_text(disk->target)));
    }
}

static void check_backing(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GwReach *reach = NULL;

    EACH_REACH(input, reach)
    {
        const GwDisk *disk = reach->disk;
        if (disk->backing_depth == 0 || reach->how == GW_REACH_NOT || is_copied(input, reach))
            continue;
        if (gw_record_find(&gw_disk_images_record, input->images, "target", disk->target) != NULL) {
            check_chain(self, input, findings, disk);
            continue;
        }
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

const GwRule gw_rule_backing_chain = {
    "backing-chain", "R2",         GW_SEVERITY_WARNING, "Backing images must be reached as well.",
    GW_RULE_MOVES,   check_backing
};
