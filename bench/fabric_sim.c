/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fabric.h"

#include <string.h>

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

/* The rest: what only a controller is told ---------------------------------------------------- */

/* A body of the request that makes it: without what only the controller says of it. */
static json_t *body_of(const GwRecord *record, gconstpointer item, const char *const *keys)
{
    g_autoptr(GwJson) whole = gw_record_to_public_json(record, item);
    json_t *body = json_object();

    for (guint i = 0; keys[i] != NULL; i++) {
        json_t *value = json_object_get(whole, keys[i]);
        if (value != NULL)
            json_object_set(body, keys[i], value);
    }
    return body;
}

static json_t *bodies_of(const GwRecord *record, const GPtrArray *items, const char *const *keys)
{
    json_t *list = json_array();

    for (guint i = 0; i < items->len; i++)
        json_array_append_new(list, body_of(record, items->pdata[i], keys));
    return list;
}

static json_t *groups_json(const GwFabric *fabric)
{
    static const char *const keys[] = { "name", "placement", NULL };
    g_autoptr(GPtrArray) groups = gw_fabric_list_groups(fabric);
    guint root = 0;

    while (root < groups->len && strcmp(((GwGroup *)groups->pdata[root])->id, GW_GROUP_ROOT) != 0)
        root++;
    if (root < groups->len) /* is always there */
        g_ptr_array_remove_index(groups, root);
    return bodies_of(&gw_group_record, groups, keys);
}

json_t *fabric_setup_json(const GwFabric *fabric)
{
    static const char *const of_host[] = { "uri",        "name",          "group_id", "tags",
                                           "live_limit", "storage_limit", NULL };
    static const char *const of_rule[] = { "name", "kind", "required", "vms", "host_tags", NULL };
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(fabric);
    g_autoptr(GPtrArray) rules = gw_fabric_list_rules(fabric);

    return json_pack("{s:o, s:o, s:o}", "host-groups", groups_json(fabric), "hosts",
                     bodies_of(&gw_host_record, hosts, of_host), "rules",
                     bodies_of(&gw_placement_rule_record, rules, of_rule));
}
