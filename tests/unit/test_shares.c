/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "plan/reach.h"

static GwPool *new_pool(const char *name, const char *type, const char *path, const char *source)
{
    GwPool *pool = gw_pool_new();

    pool->name = g_strdup(name);
    pool->type = g_strdup(type);
    pool->target_path = g_strdup(path);
    pool->source = g_strdup(source);
    pool->active = TRUE;
    return pool;
}

static GwHost *new_host(const char *id)
{
    GwHost *host = gw_host_new_default();

    host->id = g_strdup(id);
    host->name = g_strdup(id);
    host->facts = gw_host_facts_new();
    host->facts->pools = gw_record_array(&gw_pool_record);
    return host;
}

static GwShare *new_share(const char *id, gboolean proved, gboolean locks)
{
    GwShare *share = gw_share_new();

    share->id = g_strdup(id);
    share->name = g_strdup(id);
    share->members = gw_record_array(&gw_share_member_record);
    share->proved = proved;
    share->locks_proved = locks;
    return share;
}

static void add_member(GwShare *share, const char *host, const char *pool)
{
    GwShareMember *member = gw_share_member_new();

    member->host_id = g_strdup(host);
    member->pool = g_strdup(pool);
    g_ptr_array_add(share->members, member);
}

/* The identity is what decides between a move and a VM that opens another one's disk. */
static void identities(void **state)
{
    static const struct {
        const char *type, *source, *id; /* NULL: none */
    } rows[] = {
        { "netfs", "nas.example.org:/export/vms", "nfs:nas.example.org:/export/vms" },
        { "netfs", "NAS.Example.org:/export//vms/", "nfs:nas.example.org:/export/vms" },
        { "netfs", "nas.example.org:2049:/export/vms", "nfs:nas.example.org:/export/vms" },
        { "netfs", "nas.example.org:/", "nfs:nas.example.org:/" },
        { "netfs", "nas.example.org:/Export", "nfs:nas.example.org:/Export" },
        { "netfs", "//nas.example.org/vms", "nfs:nas.example.org:/vms" },
        { "netfs", "[2001:db8::5]:/vms", "nfs:[2001:db8::5]:/vms" },
        { "netfs", "localhost:/vms", NULL },
        { "netfs", "LOCALHOST.localdomain:/vms", NULL },
        { "netfs", "127.0.1.1:/vms", NULL },
        { "netfs", "[::1]:/vms", NULL },
        { "netfs", "::1:/vms", NULL },
        { "netfs", "[::1:/vms", NULL },
        { "netfs", ":/vms", NULL },
        { "netfs", "/vms", NULL },
        { "netfs", "", NULL },
        { "netfs", "nas:", NULL },
        { "netfs", NULL, NULL },
        { "gluster", "g1.example.org:vol", "gluster:g1.example.org:vol" },
        { "gluster", "g1.example.org:24007:vol/", "gluster:g1.example.org:vol" },
        { "gluster", "g1.example.org:24008:vol/dir", "gluster:g1.example.org:24008:vol/dir" },
        { "gluster", "localhost:vol", NULL },
        { "rbd", "mon2:6789,mon1:3300:vms", "rbd:mon1,mon2:vms" },
        { "rbd", "mon1, mon2:vms", "rbd:mon1,mon2:vms" },
        { "rbd", "mon1:123", "rbd:mon1:123" },
        { "rbd", "mon1,localhost:vms", NULL },
        { "rbd", "vms", NULL },
        { "iscsi", "san.example.org:3260:iqn.2024-01.org.example:a",
          "iscsi:san.example.org:iqn.2024-01.org.example:a" },
        { "iscsi-direct", "san.example.org:iqn.2024-01.org.example:a",
          "iscsi:san.example.org:iqn.2024-01.org.example:a" },
        { "iscsi", "iqn.2024-01.org.example:a", NULL },
        { "logical", "nas:/vg0", NULL },
        { "disk", "/dev/sdb", NULL },
        { "fs", "/dev/sdb1", NULL },
        { "dir", NULL, NULL },
        { NULL, "nas:/vms", NULL },
    };
    g_autoptr(GwFabric) fabric = gw_fabric_new();
    g_autoptr(GwHost) host = new_host("kvm1");

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GwPool) pool = new_pool("p", rows[i].type, "/p", rows[i].source);
        g_autofree char *id = gw_share_id_of_pool(fabric, host, pool);
        if (g_strcmp0(id, rows[i].id) != 0)
            fail_msg("%s %s: got %s, wanted %s", rows[i].type, rows[i].source, id, rows[i].id);
    }
}

static void only_proved_shares_make_a_directory_common(void **state)
{
    g_autoptr(GwFabric) fabric = gw_fabric_new();
    g_autoptr(GwHost) kvm1 = new_host("kvm1");
    g_autoptr(GwHost) kvm3 = new_host("kvm3");
    g_autoptr(GwPool) dir = new_pool("images", "dir", "/images", NULL);
    g_autoptr(GwPool) other = new_pool("other", "dir", "/other", NULL);
    g_autoptr(GwPool) lvm = new_pool("images", "logical", "/dev/vg", NULL);
    GwShare *share = new_share("S2", FALSE, FALSE);

    add_member(share, "kvm1", "images");
    add_member(share, "kvm2", "images");
    gw_fabric_put_share(fabric, share);
    assert_null(gw_share_id_of_pool(fabric, kvm1, dir));
    share->proved = TRUE;
    g_autofree char *id = gw_share_id_of_pool(fabric, kvm1, dir);
    assert_string_equal(id, "share:S2");
    assert_null(gw_share_id_of_pool(fabric, kvm3, dir));
    assert_null(gw_share_id_of_pool(fabric, kvm1, other));
    assert_null(gw_share_id_of_pool(fabric, kvm1, lvm));

    /* Of several, always the same one: with locks first, then by id. */
    GwShare *first = new_share("S1", TRUE, FALSE);
    add_member(first, "kvm1", "images");
    gw_fabric_put_share(fabric, first);
    g_autofree char *by_id = gw_share_id_of_pool(fabric, kvm1, dir);
    assert_string_equal(by_id, "share:S1");
    GwShare *locked = new_share("S3", TRUE, TRUE);
    add_member(locked, "kvm1", "images");
    gw_fabric_put_share(fabric, locked);
    g_autofree char *with_locks = gw_share_id_of_pool(fabric, kvm1, dir);
    assert_string_equal(with_locks, "share:S3");
}

static void the_deepest_pool_holds_a_path(void **state)
{
    static const struct {
        const char *path, *pool; /* NULL: none */
    } rows[] = {
        { "/srv/vms/a.img", "vms" },
        { "/srv/vms/deep/a.img", "deep" },
        { "/srv/vms/deeper/a.img", "vms" },
        { "/srv/vms/deep/../a.img", "vms" },
        { "/srv/vms/../../etc/shadow", "root" },
        { "//srv///vms/a.img", "vms" },
        { "/srv/vmsx/a.img", "root" },
        { "/srv/vms", "root" },
        { "/srv/off/a.img", "root" },
        { "/dev/disk/by-path/ip-192.0.2.5:3260-iscsi-iqn.x:a-lun-1", "lun-a" },
        { "/dev/disk/by-path/ip-192.0.2.5:3260-iscsi-iqn.x:b-lun-1", "lun-b" },
        { "/dev/disk/by-path/ip-192.0.2.5:3260-iscsi-iqn.x:bb-lun-1", "root" },
        { "srv/vms/a.img", NULL },
        { "", NULL },
        { NULL, NULL },
    };
    g_autoptr(GwHost) host = new_host("kvm1");
    GPtrArray *pools = host->facts->pools;
    GwPool *off = new_pool("off", "dir", "/srv/off", NULL);

    off->active = FALSE;
    g_ptr_array_add(pools, off);
    g_ptr_array_add(pools, new_pool("root", "dir", "/", NULL));
    g_ptr_array_add(pools, new_pool("vms", "netfs", "/srv/vms/", "nas:/vms"));
    g_ptr_array_add(pools, new_pool("deep", "dir", "/srv/vms/deep", NULL));
    g_ptr_array_add(pools, new_pool("lun-a", "iscsi", "/dev/disk/by-path", "san:iqn.x:a"));
    g_ptr_array_add(pools, new_pool("lun-b", "iscsi", "/dev/disk/by-path", "san:iqn.x:b"));
    g_ptr_array_add(pools, new_pool("lun-?", "iscsi", "/dev/disk/by-path", NULL));
    g_ptr_array_add(pools, new_pool("rbd", "rbd", NULL, "mon:vms"));
    g_ptr_array_add(pools, new_pool("odd", "dir", "srv/vms", NULL));

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const GwPool *pool = gw_share_pool_of_path(host, rows[i].path);
        if (g_strcmp0(pool != NULL ? pool->name : NULL, rows[i].pool) != 0)
            fail_msg("%s: got %s, wanted %s", rows[i].path, pool != NULL ? pool->name : "none",
                     rows[i].pool);
    }
    gw_host_facts_free(g_steal_pointer(&host->facts));
    assert_null(gw_share_pool_of_path(host, "/srv/vms/a.img"));
}

/* Whether both hosts reach what @disk lives on; @why gets the reason where not (owned). */
static gboolean reaches(const GwFabric *fabric, const GwHost *source, const GwHost *destination,
                        const GwDisk *disk, char **why)
{
    GwReach *reach = g_new0(GwReach, 1);
    GwPlanInput input = { .fabric = fabric, .source = source, .destination = destination };

    gw_reach_disk(reach, &input, disk);
    gboolean reached = reach->how != GW_REACH_NOT;
    if (!reached && why != NULL)
        *why = g_steal_pointer(&reach->why);
    gw_reach_free(reach);
    return reached;
}

static void a_disk_is_reached_or_the_reason_said(void **state)
{
    g_autoptr(GwFabric) fabric = gw_fabric_new();
    g_autoptr(GwHost) kvm1 = new_host("kvm1");
    g_autoptr(GwHost) kvm2 = new_host("kvm2");
    g_autoptr(GwDisk) disk = gw_disk_new();
    g_autofree char *why = NULL;

    /* An empty drive lives nowhere. */
    assert_true(reaches(fabric, kvm1, kvm2, disk, &why));
    disk->source = g_strdup("/srv/vms/a.img");
    disk->type = g_strdup("file");
    assert_false(reaches(fabric, kvm1, kvm2, disk, NULL));
    assert_false(reaches(fabric, kvm1, kvm2, disk, &why));
    assert_string_equal(why, "/srv/vms/a.img is in no active storage pool of kvm1");
    g_clear_pointer(&why, g_free);
    g_ptr_array_add(kvm1->facts->pools, new_pool("vms", "netfs", "/srv/vms", "nas.x:/vms"));
    g_ptr_array_add(kvm2->facts->pools, new_pool("mine", "netfs", "/srv/vms", "nas.x:/vms"));
    assert_true(reaches(fabric, kvm1, kvm2, disk, &why));
    assert_null(why);
    /* A relative path is no place at all. */
    g_free(disk->source);
    disk->source = g_strdup("srv/vms/a.img");
    assert_false(reaches(fabric, kvm1, kvm2, disk, NULL));
}

/* Devices that may be another disk on another host must never pass for shared. */
static void block_devices(void **state)
{
    static const struct {
        const char *path;
        gboolean reached;
    } rows[] = {
        { "/dev/sdb", FALSE },
        { "/dev/vg0/web1", FALSE },
        { "/dev/mapper/mpatha", FALSE },
        { "/dev/disk/by-id/ata-QEMU_HARDDISK_1", FALSE },
        { "/dev/disk/by-path/pci-0000:00:1f.2-ata-1", FALSE },
        { "/dev/disk/by-path/ip-127.0.0.1:3260-iscsi-iqn.x:a-lun-1", FALSE },
        { "/dev/disk/by-path/ip-192.0.2.5:3260-nonsense", FALSE },
        { "/dev/disk/by-id/wwn-0x6001/../../../sdb", FALSE },
        { "/dev/disk/by-path/ip-192.0.2.5:3260-iscsi-iqn.x:a-lun-1", TRUE },
        { "/dev/disk/by-id/wwn-0x600140500000000a", TRUE },
        { "/dev/disk/by-id/dm-uuid-mpath-3600140500000000a", TRUE },
        { "/dev/mapper/3600140500000000a", TRUE },
    };
    g_autoptr(GwFabric) fabric = gw_fabric_new();
    g_autoptr(GwHost) kvm1 = new_host("kvm1");
    g_autoptr(GwHost) kvm2 = new_host("kvm2");

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GwDisk) disk = gw_disk_new();
        disk->type = g_strdup("block");
        disk->source = g_strdup(rows[i].path);
        if (reaches(fabric, kvm1, kvm2, disk, NULL) != rows[i].reached)
            fail_msg("%s", rows[i].path);
    }
}

static void network_disks(void **state)
{
    static const struct {
        const char *source, *host;
        gboolean reached;
    } rows[] = {
        { "rbd:vms/web1", "mon1,mon2", TRUE },
        { "rbd:vms/web1", NULL, TRUE }, /* each host's own ceph.conf */
        { "rbd:vms/web1", "mon1,localhost", FALSE },
        { "nbd:web1", "nbd.example.org:10809", TRUE },
        { "nbd:web1", "/run/nbd.sock", FALSE },
        { "nbd:web1", NULL, FALSE },
        { "nbd", "nbd.example.org", TRUE },
        { "iscsi:iqn.x:a/1", "[::1]:3260", FALSE },
        { "iscsi:iqn.x:a/1", "::ffff:127.0.0.1", FALSE },
        { "gluster:vol/a.img", "0.0.0.0:24007", FALSE },
    };
    g_autoptr(GwFabric) fabric = gw_fabric_new();
    g_autoptr(GwHost) kvm1 = new_host("kvm1");
    g_autoptr(GwHost) kvm2 = new_host("kvm2");

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GwDisk) disk = gw_disk_new();
        disk->type = g_strdup("network");
        disk->source = g_strdup(rows[i].source);
        disk->source_host = g_strdup(rows[i].host);
        if (reaches(fabric, kvm1, kvm2, disk, NULL) != rows[i].reached)
            fail_msg("%s on %s", rows[i].source, rows[i].host);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identities),
        cmocka_unit_test(only_proved_shares_make_a_directory_common),
        cmocka_unit_test(the_deepest_pool_holds_a_path),
        cmocka_unit_test(a_disk_is_reached_or_the_reason_said),
        cmocka_unit_test(block_devices),
        cmocka_unit_test(network_disks),
    };
    return cmocka_run_group_tests_name("shares", tests, NULL, NULL);
}
