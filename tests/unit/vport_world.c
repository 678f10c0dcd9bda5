/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vport_world.h"

#include <unistd.h>

#define DEVICE(name, wwn, parent, more)                                                            \
    "<device><name>" name "</name><parent>" parent "</parent><capability type='scsi_host'>"        \
    "<host>1</host><unique_id>0</unique_id><capability type='fc_host'><wwnn>20000000" wwn          \
    "</wwnn><wwpn>10000000" wwn "</wwpn><fabric_wwn>2000000043214321</fabric_wwn></capability>"    \
    "" more "</capability></device>"
#define PORTS                                                                                      \
    "<capability type='vport_ops'><max_vports>8</max_vports><vports>0</vports></capability>"
/* scsi_host11 is what the driver makes others like. */
static const char node_xml[] =
    "<node><domain type='test'><name>web1</name><uuid>" VM
    "</uuid><memory>8192</memory><os><type>hvm</type>"
    "</os><devices><disk type='volume' device='disk'><source pool='vhba1' volume='" LUN "'/>"
    "<target dev='vda' bus='virtio'/></disk></devices></domain>"
    "<device><name>computer</name><capability type='system'><hardware><uuid>"
    "33333333-0000-4000-8000-000000000001</uuid></hardware><firmware/></capability></"
    "device>" DEVICE("scsi_host1", "12341234", "computer", PORTS)
        DEVICE("scsi_host2", "56785678", "computer", PORTS)
            DEVICE("scsi_host11", "34563456", "scsi_host1", "") "</node>";

static virConnectPtr open_host(gboolean has_vm)
{
    g_autofree char *folder = g_dir_make_tmp("godwit-vport-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "node.xml", NULL);
    g_autofree char *uri = g_strconcat("test://", path, NULL);

    assert_true(g_file_set_contents(path, node_xml, -1, NULL));
    virConnectPtr ptr = virConnectOpen(uri);
    unlink(path);
    rmdir(folder);
    assert_non_null(ptr);
    virDomainPtr vm = virDomainLookupByUUIDString(ptr, VM);
    assert_non_null(vm);
    virDomainDestroy(vm); /* the driver starts what is in the file */
    if (!has_vm)
        virDomainUndefine(vm);
    virDomainFree(vm);
    return ptr;
}

void vport_add_lun(virConnectPtr ptr, const char *name, int mib)
{
    g_autofree char *xml = g_strdup_printf("<volume><name>%s</name><capacity unit='MiB'>%d"
                                           "</capacity></volume>",
                                           name, mib);
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByName(ptr, "vhba1");
    g_autoptr(virStorageVol) volume = virStorageVolCreateXML(pool, xml, 0);

    assert_non_null(volume);
}

void vport_open(World *world)
{
    static const char *const volumes[] = { LUN, NULL };
    world->a = open_host(TRUE);
    world->b = open_host(FALSE);
    g_autoptr(virStoragePool) pool =
        virStoragePoolCreateXML(world->a, POOL("scsi_host1", "managed='yes' "), 0);
    assert_non_null(pool);
    g_autoptr(virStoragePool) defined =
        virStoragePoolDefineXML(world->a, POOL("scsi_host1", "managed='yes' "), 0);
    assert_non_null(defined);
    assert_int_equal(virStoragePoolSetAutostart(pool, 1), 0);
    vport_add_lun(world->a, LUN, 64);
    world->hba = gw_hba_move_new();
    world->hba->pool = g_strdup("vhba1");
    world->hba->source_wwpn = g_strdup(WWPN);
    world->hba->to = g_strdup("scsi_host2");
    world->hba->volumes = g_strdupv((char **)volumes);
    world->hba->was = gw_lv_hba_look(world->a, "vhba1", NULL);
    assert_non_null(world->hba->was);
}

void vport_close(World *world)
{
    gw_hba_move_free(world->hba);
    virConnectClose(world->a);
    virConnectClose(world->b);
}

int vport_logins(virConnectPtr ptr)
{
    virNodeDevicePtr *devices = NULL;
    int count = virConnectListAllNodeDevices(ptr, &devices, 0);

    for (int i = 0; i < count; i++)
        virNodeDeviceFree(devices[i]);
    free(devices);
    return count - 4;
}

char *vport_parent(virConnectPtr ptr)
{
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByName(ptr, "vhba1");
    g_autoptr(GwPool) record = gw_lv_read_pool(pool);

    return g_strdup(record->parent_hba);
}

void vport_set_running(virConnectPtr ptr)
{
    virDomainPtr vm = virDomainLookupByUUIDString(ptr, VM);

    assert_int_equal(virDomainCreate(vm), 0);
    virDomainFree(vm);
}

void vport_log_in(virConnectPtr ptr)
{
    virNodeDevicePtr device = virNodeDeviceCreateXML(
        ptr,
        "<device><parent>scsi_host2</parent><capability type='scsi_host'><capability "
        "type='fc_host'><wwnn>5001a4a0d2aa0000</wwnn><wwpn>" WWPN "</wwpn></capability>"
        "</capability></device>",
        0);

    assert_non_null(device);
    virNodeDeviceFree(device);
}

void vport_silent(void *user, virErrorPtr error)
{
}
