/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fabric.h"

/* What the controller alone knows of a VM is not in the file. */
static json_t *vm_json(const GwVm *vm)
{
    json_t *json = gw_record_to_json(&gw_vm_record, vm);

    json_object_del(json, "host_id");
    return json;
}

static json_t *host_json(const GwFabric *fabric, const GwHost *host)
{
    g_autoptr(GPtrArray) vms = gw_fabric_list_vms(fabric, host->id);
    json_t *list = json_array();

    for (guint i = 0; i < vms->len; i++)
        json_array_append_new(list, vm_json(vms->pdata[i]));
    return json_pack("{s:s, s:o, s:o}", "uri", host->uri, "facts",
                     gw_record_to_json(&gw_host_facts_record, host->facts), "vms", list);
}

json_t *fabric_sim_json(const GwFabric *fabric, gint64 link_mibps)
{
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(fabric);
    json_t *list = json_array();

    for (guint i = 0; i < hosts->len; i++)
        json_array_append_new(list, host_json(fabric, hosts->pdata[i]));
    return json_pack("{s:o, s:I, s:b}", "hosts", list, "link_mibps", (json_int_t)link_mibps,
                     "counted", 1);
}
