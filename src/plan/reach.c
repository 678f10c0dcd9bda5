/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/reach.h"

#include <string.h>

#include "plan/hbas.h"
#include "plan/shared.h"

typedef struct {
    GwPlanShared *shared;
    const GwHost *source, *destination;
    const GPtrArray *hbas; /* NULL: nobody worked them out */
} Ends;

static void not_reached(GwReach *reach, char *why, char *remedy)
{
    reach->how = GW_REACH_NOT;
    reach->why = why;
    reach->remedy = remedy;
}

static void not_shown(GwReach *reach, char *why, char *remedy)
{
    reach->how = GW_REACH_UNSHOWN;
    reach->why = why;
    reach->remedy = remedy;
}

/* What is called alike has one identity, which need not be looked up. */
static gboolean is_same_id(const Ends *ends, const GwPool *a, const char *id_a, const GwPool *b)
{
    if (g_strcmp0(a->source, b->source) == 0 && g_strcmp0(a->type, b->type) == 0)
        return TRUE;
    return g_strcmp0(id_a, gw_shared_pool_id(ends->shared, b)) == 0;
}

/* Whether two pools are one storage; notes how in @reach where they are. */
static gboolean same_storage(GwReach *reach, const Ends *ends, const GwPool *a, const GwPool *b)
{
    const char *id_a = gw_shared_pool_id(ends->shared, a);
    gboolean equal = id_a != NULL && is_same_id(ends, a, id_a, b);
    const GwShare *share =
        gw_shared_share(ends->shared, TRUE, ends->source, a, ends->destination, b);

    if (!equal && share == NULL)
        return FALSE;
    reach->how = equal ? GW_REACH_SAME : GW_REACH_PROVED;
    reach->source = a;
    reach->destination = b;
    reach->share = share;
    return TRUE;
}

/* The depth of the deepest pool that holds @path: no shallower one counts, it is hidden. */
static gssize deepest(const GPtrArray *pools, const char *path)
{
    gssize best = -1;

    for (guint i = 0; pools != NULL && i < pools->len; i++)
        best = MAX(best, gw_share_pool_depth(pools->pdata[i], path));
    return best;
}

/* Looks for a pool of the destination that is @pool's storage; at the same depth of the same path
 * or, with @anywhere, at any. */
static gboolean find_counterpart(GwReach *reach, const Ends *ends, const GwPool *pool,
                                 const char *path, gssize depth, gboolean anywhere)
{
    const GPtrArray *pools = gw_plan_facts(ends->destination)->pools;

    if (!anywhere && deepest(pools, path) != depth)
        return FALSE;
    for (guint i = 0; pools != NULL && i < pools->len; i++) {
        const GwPool *other = pools->pdata[i];
        if (anywhere ? !other->active : gw_share_pool_depth(other, path) != depth)
            continue;
        if (same_storage(reach, ends, pool, other)) {
            reach->other_path = anywhere;
            if (anywhere && gw_share_pool_depth(other, path) == depth)
                reach->hidden_by = gw_share_pool_of_path(ends->destination, path);
            return TRUE;
        }
    }
    return FALSE;
}

/* A declared but unproved share that would make @pool common to both hosts. */
static const GwShare *unproved_share(const Ends *ends, const GwPool *pool)
{
    const GPtrArray *pools = gw_plan_facts(ends->destination)->pools;

    for (guint i = 0; pools != NULL && i < pools->len; i++) {
        const GwShare *share = gw_shared_share(ends->shared, FALSE, ends->source, pool,
                                               ends->destination, pools->pdata[i]);
        if (share != NULL)
            return share;
    }
    return NULL;
}

static char *why_local(const GwPool *pool, const char *on)
{
    if (gw_share_has_server(pool))
        return g_strdup_printf("its pool '%s' of %s is from '%s', which names no server that is "
                               "the same one for another host",
                               gw_plan_text(pool->name), on, gw_plan_text(pool->source));
    return g_strdup_printf("it is in pool '%s' of %s (type %s), which is local as far as can be "
                           "seen",
                           gw_plan_text(pool->name), on, gw_plan_text(pool->type));
}

static void explain_local_pool(GwReach *reach, const Ends *ends, const GwPool *pool)
{
    const char *on = gw_plan_host_name(ends->source);
    const char *to = gw_plan_host_name(ends->destination);
    const GwShare *unproved = unproved_share(ends, pool);
    const GwShare *proved =
        gw_shared_share(ends->shared, TRUE, ends->source, pool, ends->source, pool);
    const char *id = gw_shared_pool_id(ends->shared, pool);

    if (unproved != NULL) {
        g_autofree char *name = gw_plan_quote(unproved->name);
        not_reached(reach,
                    g_strdup_printf("it is in share '%s', which is not proved: %s",
                                    gw_plan_text(unproved->name), gw_plan_text(unproved->reason)),
                    g_strdup_printf("Prove it: godwit share prove %s.", name));
    } else if (proved != NULL) {
        not_reached(reach,
                    g_strdup_printf("it is in share '%s', of which %s is no member with an active "
                                    "pool",
                                    gw_plan_text(proved->name), to),
                    g_strdup_printf("If %s shows the share at %s, start its pool there and declare "
                                    "it: godwit share add. It is then proved.",
                                    to, gw_plan_text(pool->target_path)));
    } else if (id != NULL) {
        not_reached(reach,
                    g_strdup_printf("%s has no active pool of %s, which pool '%s' of %s shows", to,
                                    id, gw_plan_text(pool->name), on),
                    g_strdup_printf("Define and start a pool of it on %s, at %s.", to,
                                    gw_plan_text(pool->target_path)));
    } else {
        not_reached(reach, why_local(pool, on),
                    g_strdup_printf("If %s shows the same storage at %s, make it a pool there and "
                                    "declare both shared: godwit share add. It is then proved.",
                                    to, gw_plan_text(pool->target_path)));
    }
}

static void reach_path(GwReach *reach, const Ends *ends, const char *path)
{
    const GwSourcePath *seen = gw_shared_path(ends->shared, ends->source, path);

    if (seen->home == NULL) {
        g_autofree char *dir = g_path_get_dirname(path);
        not_reached(reach,
                    g_strdup_printf("%s is in no active storage pool of %s", path,
                                    gw_plan_host_name(ends->source)),
                    g_strdup_printf("Make %s a pool on both hosts (virsh pool-define-as); if it "
                                    "is shared, declare that: godwit share add.",
                                    dir));
        return;
    }
    for (int anywhere = 0; anywhere <= 1; anywhere++) {
        for (guint i = 0; i < seen->pools->len; i++) {
            if (find_counterpart(reach, ends, seen->pools->pdata[i], seen->clean, seen->depth,
                                 anywhere))
                return;
        }
    }
    reach->source = seen->home;
    explain_local_pool(reach, ends, seen->home);
}

/* A virtual HBA sees what its WWPN is zoned to, which the SAN alone knows. */
static void reach_by_hba(GwReach *reach, const Ends *ends, const GwHbaMove *hba)
{
    const char *to = gw_plan_host_name(ends->destination);
    g_autofree char *pool = gw_plan_quote(hba->pool);

    reach->by_hba = hba->how == (int)GW_HBA_HANDED_OVER;
    if (reach->by_hba) /* the zones are of its WWPN, and what it shows is compared when it is there
                        */
        reach->how = GW_REACH_SAME;
    else if (hba->how == (int)GW_HBA_NOT || hba->how == (int)GW_HBA_NONE)
        not_reached(
            reach,
            g_strdup_printf("its virtual HBA '%s' does not get there: %s", hba->pool, hba->why),
            g_strdup(hba->remedy != NULL ? hba->remedy : "Leave that choice out (--hba)."));
    else
        not_shown(
            reach,
            g_strdup_printf("nothing that %s tells shows that its own virtual HBA %s sees the "
                            "LUN %s",
                            to, hba->wwpn, reach->disk->source),
            g_strdup_printf("Look for it on %s: virsh vol-list %s; zone the LUN to that WWPN "
                            "if it is missing.",
                            to, pool));
}

/* libvirt looks a volume up by the names of its pool and itself, on each host anew. */
static void reach_volume(GwReach *reach, const Ends *ends)
{
    const GwHbaMove *hba = ends->hbas != NULL ? gw_plan_hba_of(ends->hbas, reach->disk) : NULL;
    g_autofree char *name = g_strndup(reach->disk->source, strcspn(reach->disk->source, "/"));
    const GwPool *a =
        gw_record_find(&gw_pool_record, gw_plan_facts(ends->source)->pools, "name", name);
    const GwPool *b =
        gw_record_find(&gw_pool_record, gw_plan_facts(ends->destination)->pools, "name", name);

    if (a != NULL && b != NULL && b->active && same_storage(reach, ends, a, b))
        return;
    if (hba != NULL && a != NULL) {
        reach->source = a;
        reach_by_hba(reach, ends, hba);
        return;
    }
    if (a != NULL) {
        explain_local_pool(reach, ends, a);
        return;
    }
    not_reached(
        reach,
        g_strdup_printf("its pool '%s' is not known on %s", name, gw_plan_host_name(ends->source)),
        g_strdup_printf("Refresh %s, or define the pool.", gw_plan_host_name(ends->source)));
}

/* Whether a device's path names the same LUN on every host: by world-wide name, or by the portal
 * and target of iSCSI. /dev/sdb and the like may be any other disk there. */
gboolean gw_reach_is_world_wide(const char *path)
{
    static const char *const prefixes[] = { "/dev/disk/by-id/wwn-",
                                            "/dev/disk/by-id/scsi-3",
                                            "/dev/disk/by-id/nvme-eui.",
                                            "/dev/disk/by-id/nvme-uuid.",
                                            "/dev/disk/by-id/dm-uuid-mpath-",
                                            "/dev/mapper/36",
                                            NULL };

    for (guint i = 0; prefixes[i] != NULL; i++) {
        if (g_str_has_prefix(path, prefixes[i]))
            return TRUE;
    }
    if (!g_str_has_prefix(path, "/dev/disk/by-path/ip-") || strstr(path, "-iscsi-") == NULL)
        return FALSE;
    const char *portal = path + strlen("/dev/disk/by-path/ip-");
    g_autofree char *server = g_strndup(portal, (gsize)(strstr(path, "-iscsi-") - portal));
    return !gw_share_is_loopback(server);
}

static void reach_block(GwReach *reach, const Ends *ends)
{
    const char *path = reach->disk->source;
    const char *to = gw_plan_host_name(ends->destination);

    reach_path(reach, ends, path);
    if (reach->how != GW_REACH_NOT)
        return;
    g_clear_pointer(&reach->why, g_free);
    g_clear_pointer(&reach->remedy, g_free);
    g_autofree char *clean = gw_share_clean_path(path);
    if (gw_reach_is_world_wide(clean)) {
        not_shown(
            reach, g_strdup_printf("nothing that %s tells shows that it sees the LUN %s", to, path),
            g_strdup_printf("Look on %s for %s; map the LUN to it if it is missing.", to, path));
        return;
    }
    not_reached(reach,
                g_strdup_printf("%s is a device of %s, and may be another one on %s", path,
                                gw_plan_host_name(ends->source), to),
                g_strdup("If it is a LUN that both hosts see, name it in the definition by its "
                         "world-wide name (/dev/disk/by-id/wwn-…)."));
}

static gboolean shown_by_pool(GwReach *reach, const Ends *ends, const char *id)
{
    const GPtrArray *pools = gw_plan_facts(ends->destination)->pools;

    for (guint i = 0; id != NULL && pools != NULL && i < pools->len; i++) {
        const GwPool *pool = pools->pdata[i];
        if (pool->active && g_strcmp0(gw_shared_pool_id(ends->shared, pool), id) == 0) {
            reach->how = GW_REACH_SAME;
            reach->destination = pool;
            return TRUE;
        }
    }
    return FALSE;
}

/* Both hosts' QEMU open it by the same address. */
static void reach_network(GwReach *reach, const Ends *ends)
{
    const GwDisk *disk = reach->disk;
    const char *to = gw_plan_host_name(ends->destination);
    const char *colon = strchr(disk->source, ':');
    g_autofree char *protocol =
        g_strndup(disk->source, colon != NULL ? (gsize)(colon - disk->source) : 0);
    g_autofree char *id =
        colon != NULL ? gw_share_id_of_network(protocol, disk->source_host, colon + 1) : NULL;

    if (shown_by_pool(reach, ends, id))
        return;
    /* Ceph's monitors may come from each host's own ceph.conf. */
    gboolean configured = strcmp(protocol, "rbd") == 0 && disk->source_host == NULL;
    if (!configured && !gw_share_servers_known(disk->source_host)) {
        not_reached(reach,
                    g_strdup_printf("its server is '%s', which %s would look for on itself",
                                    gw_plan_text(disk->source_host), to),
                    g_strdup("Name the server by an address or FQDN that holds on both hosts."));
        return;
    }
    not_shown(reach,
              g_strdup_printf("nothing that %s tells shows that it reaches %s on %s", to,
                              disk->source,
                              configured ? "the monitors of its ceph.conf" : disk->source_host),
              g_strdup_printf("Define and start a pool of the same storage on %s, or see by hand "
                              "that it gets there.",
                              to));
}

void gw_reach_disk(GwReach *reach, const GwPlanInput *input, const GwDisk *disk)
{
    g_autoptr(GwPlanShared) own = input->shared == NULL ? gw_plan_shared_new(input->fabric) : NULL;
    Ends ends = { own != NULL ? own : input->shared, input->source, input->destination,
                  input->hbas };

    reach->disk = disk;
    if (disk->source == NULL) {
        reach->how = GW_REACH_SAME; /* no medium */
    } else if (g_strcmp0(disk->type, "network") == 0) {
        reach_network(reach, &ends);
    } else if (g_strcmp0(disk->type, "block") == 0) {
        reach_block(reach, &ends);
    } else if (*disk->source == '/' &&
               (g_strcmp0(disk->type, "file") == 0 || g_strcmp0(disk->type, "volume") == 0)) {
        reach_path(reach, &ends, disk->source);
    } else if (g_strcmp0(disk->type, "volume") == 0) {
        reach_volume(reach, &ends);
    } else {
        not_reached(reach,
                    g_strdup_printf("it is of type %s, which lives in %s", gw_plan_text(disk->type),
                                    gw_plan_host_name(ends.source)),
                    g_strdup("Move its content to a disk on shared storage, and detach it."));
    }
}

gboolean gw_reach_same_path(const GwPlanInput *input, const char *type, const char *path,
                            const char *server, char **why)
{
    const GwDisk disk = { .device = (char *)"disk",
                          .type = (char *)(type != NULL ? type : "file"),
                          .source = (char *)path,
                          .source_host = (char *)server };
    GwReach *reach = g_new0(GwReach, 1);

    gw_reach_disk(reach, input, &disk);
    gboolean same = reach->how != GW_REACH_NOT && !reach->other_path;
    if (!same && why != NULL)
        *why = reach->why != NULL ? g_steal_pointer(&reach->why)
                                  : g_strdup("it is seen at another path there");
    gw_reach_free(reach);
    return same;
}

void gw_reach_free(gpointer data)
{
    GwReach *reach = data;

    g_free(reach->why);
    g_free(reach->remedy);
    g_free(reach);
}

gboolean gw_reach_is_known(const GwPlanInput *input)
{
    return input->vm->error == NULL && input->source->facts != NULL &&
           input->destination->facts != NULL;
}

GPtrArray *gw_reach_all(const GwPlanInput *input)
{
    GPtrArray *all = g_ptr_array_new_with_free_func(gw_reach_free);
    const GPtrArray *disks = gw_reach_is_known(input) ? input->vm->disks : NULL;
    GwPlanInput own = *input;
    g_autoptr(GPtrArray) hbas = input->hbas == NULL && disks != NULL ? gw_plan_hbas(input) : NULL;

    if (hbas != NULL)
        own.hbas = hbas;
    for (guint i = 0; disks != NULL && i < disks->len; i++) {
        const GwDisk *disk = disks->pdata[i];
        if (disk->source == NULL || g_strcmp0(disk->device, "cdrom") == 0 ||
            g_strcmp0(disk->device, "floppy") == 0)
            continue;
        GwReach *reach = g_new0(GwReach, 1);
        gw_reach_disk(reach, &own, disk);
        g_ptr_array_add(all, reach);
    }
    return all;
}
