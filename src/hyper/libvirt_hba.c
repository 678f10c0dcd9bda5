/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper/libvirt_internal.h"
#include "model/libvirt_xml.h"

/* The host's Fibre Channel HBAs that can carry virtual ones (R41). */

#define HBAS_MAX 256

static int by_name(gconstpointer a, gconstpointer b)
{
    return g_strcmp0((*(GwHba *const *)a)->name, (*(GwHba *const *)b)->name);
}

void gw_lv_read_hbas(virConnectPtr ptr, GwHostFacts *facts)
{
    virNodeDevicePtr *devices = NULL;
    /* Not every host has libvirt's driver of node devices: then none is told. */
    int count =
        virConnectListAllNodeDevices(ptr, &devices, VIR_CONNECT_LIST_NODE_DEVICES_CAP_VPORTS);

    facts->hbas = gw_record_array(&gw_hba_record);
    for (int i = 0; i < count; i++) {
        char *xml = i < HBAS_MAX ? virNodeDeviceGetXMLDesc(devices[i], 0) : NULL;
        GwHba *hba = xml != NULL ? gw_libvirt_hba_from_xml(xml, NULL) : NULL;
        if (hba != NULL)
            g_ptr_array_add(facts->hbas, hba);
        free(xml);
        virNodeDeviceFree(devices[i]);
    }
    if (count >= 0)
        free(devices);
    g_ptr_array_sort(facts->hbas, by_name); /* libvirt has no order: facts would seem to change */
}
