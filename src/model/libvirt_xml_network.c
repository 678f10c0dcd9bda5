/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/address.h"
#include "base/error.h"
#include "base/text.h"
#include "model/libvirt_xml_internal.h"

/* Networks, bridges, and the adapters that are on them (formatnetwork.html, formatdomain.html). */

#define VLAN_MAX 4095
#define MTU_MAX 65536

static char *value(GwXml *xml, xmlNode *node, const char *path)
{
    GwLibvirtReader reader = { .xml = xml };
    char *text = gw_libvirt_value(&reader, node, path);

    g_free(reader.problem);
    return text;
}

static gint64 read_mtu(GwXml *xml, xmlNode *node, const char *path)
{
    gint64 mtu = gw_xml_int(xml, node, path, 0);

    return mtu <= MTU_MAX ? mtu : 0;
}

static int compare_numbers(gconstpointer a, gconstpointer b)
{
    gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;

    return x < y ? -1 : x > y;
}

/* Sorted and each once, so that equal ones are equal lists; NULL: none. */
static char **read_vlans(GwXml *xml, xmlNode *node)
{
    g_autoptr(GPtrArray) tags = gw_xml_nodes(xml, node, "vlan/tag");
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(gint64));
    g_autoptr(GStrvBuilder) list = g_strv_builder_new();
    gint64 last = -1;

    for (guint i = 0; i < tags->len && ids->len < GW_VLANS_MAX; i++) {
        gint64 id = gw_xml_int(xml, tags->pdata[i], "@id", -1);
        if (id >= 0 && id <= VLAN_MAX)
            g_array_append_val(ids, id);
    }
    if (ids->len == 0)
        return NULL;
    g_array_sort(ids, compare_numbers);
    for (guint i = 0; i < ids->len; i++) {
        gint64 id = g_array_index(ids, gint64, i);
        g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, id);
        if (id != last)
            g_strv_builder_add(list, text);
        last = id;
    }
    return g_strv_builder_end(list);
}

/* Of elements with address and prefix, or netmask; sorted and each once. */
static char **read_subnets(GwXml *xml, const char *path)
{
    g_autoptr(GPtrArray) nodes = gw_xml_nodes(xml, NULL, path);
    g_autoptr(GStrvBuilder) list = g_strv_builder_new();

    for (guint i = 0; i < nodes->len && i < GW_SUBNETS_MAX; i++) {
        g_autofree char *address = value(xml, nodes->pdata[i], "@address");
        g_autofree char *netmask = value(xml, nodes->pdata[i], "@netmask");
        gint64 prefix = gw_xml_int(xml, nodes->pdata[i], "@prefix", 0);
        g_autofree char *subnet =
            gw_subnet_of(address, prefix > 0 ? (guint)MIN(prefix, 128) : gw_prefix_of(netmask));
        if (subnet != NULL)
            g_strv_builder_add(list, subnet);
    }
    char **subnets = g_strv_builder_end(list);
    gw_text_sort(subnets);
    return subnets;
}

/* Networks -------------------------------------------------------------------------------- */

/* Without <forward> nothing leaves the host; libvirt's own default of a mode is nat. */
static char *read_forward(GwXml *xml)
{
    g_autofree char *mode = value(xml, NULL, "/network/forward/@mode");

    if (mode != NULL)
        return gw_text_printable(mode, GW_TEXT_NAME_MAX);
    return g_strdup(gw_xml_has(xml, NULL, "/network/forward") ? "nat" : "isolated");
}

static GPtrArray *read_port_groups(GwXml *xml)
{
    g_autoptr(GPtrArray) nodes = gw_xml_nodes(xml, NULL, "/network/portgroup");
    GPtrArray *groups = gw_record_array(&gw_port_group_record);

    for (guint i = 0; i < nodes->len && i < GW_PORT_GROUPS_MAX; i++) {
        g_autofree char *name = value(xml, nodes->pdata[i], "@name");
        g_autofree char *is_default = value(xml, nodes->pdata[i], "@default");
        if (name == NULL)
            continue;
        GwPortGroup *group = gw_port_group_new();
        group->name = gw_text_printable(name, GW_TEXT_NAME_MAX);
        group->is_default = g_strcmp0(is_default, "yes") == 0;
        group->vlans = read_vlans(xml, nodes->pdata[i]);
        g_ptr_array_add(groups, group);
    }
    return groups;
}

GwNetwork *gw_libvirt_network_from_xml(const char *text, GError **error)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text, error);
    if (xml == NULL)
        return NULL;
    g_autofree char *name = value(xml, NULL, "/network/name");
    if (name == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "the network's definition has no usable name");
        return NULL;
    }

    GwNetwork *network = gw_network_new();
    network->name = gw_text_printable(name, GW_TEXT_NAME_MAX);
    network->kind = g_strdup("libvirt");
    network->bridge = value(xml, NULL, "/network/bridge/@name");
    network->forward = read_forward(xml);
    network->mtu = read_mtu(xml, NULL, "/network/mtu/@size");
    network->vlans = read_vlans(xml, gw_xml_root(xml));
    network->subnets = read_subnets(xml, "/network/ip");
    network->port_groups = read_port_groups(xml);
    network->virtual_port = value(xml, NULL, "/network/virtualport/@type");
    return network;
}

GwNetwork *gw_libvirt_bridge_from_xml(const char *text)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text, NULL);
    g_autofree char *name =
        xml != NULL ? value(xml, NULL, "/interface[@type='bridge']/@name") : NULL;

    if (name == NULL)
        return NULL;
    GwNetwork *bridge = gw_network_new();
    bridge->name = g_strdup(name);
    bridge->kind = g_strdup("bridge");
    bridge->bridge = g_steal_pointer(&name);
    bridge->active = TRUE;
    bridge->mtu = read_mtu(xml, NULL, "/interface/mtu/@size");
    bridge->subnets = read_subnets(xml, "/interface/protocol/ip");
    return bridge;
}

/* Adapters -------------------------------------------------------------------------------- */

/* Where each type of adapter says what it is attached to. */
static const struct {
    const char *type;
    const char *path;
} nic_sources[] = {
    { "network", "source/@network" }, { "bridge", "source/@bridge" },
    { "direct", "source/@dev" },      { "vdpa", "source/@dev" },
    { "vhostuser", "source/@path" },  { "ethernet", "target/@dev" },
    { "internal", "source/@name" },   { "udp", "source/@address" },
    { "mcast", "source/@address" },   { "server", "source/@address" },
    { "client", "source/@address" },
};

/* libvirt shows a running adapter of a network that forwards to a bridge as one of that bridge,
 * with its network beside it. */
static void read_network_of_bridge(GwLibvirtReader *reader, xmlNode *node, GwNic *nic)
{
    g_autofree char *network = g_strcmp0(nic->type, "bridge") == 0
                                   ? gw_libvirt_value(reader, node, "source/@network")
                                   : NULL;

    if (network == NULL)
        return;
    g_free(nic->type);
    nic->type = g_strdup("network");
    nic->bridge = g_steal_pointer(&nic->source);
    nic->source = g_steal_pointer(&network);
}

GwNic *gw_libvirt_read_nic(GwLibvirtReader *reader, xmlNode *node)
{
    GwNic *nic = gw_nic_new();
    g_autofree char *link = gw_libvirt_value(reader, node, "link/@state");

    nic->mac = gw_libvirt_value(reader, node, "mac/@address");
    nic->type = gw_libvirt_value(reader, node, "@type");
    nic->model = gw_libvirt_value(reader, node, "model/@type");
    for (guint i = 0; i < G_N_ELEMENTS(nic_sources); i++) {
        if (g_strcmp0(nic->type, nic_sources[i].type) == 0)
            nic->source = gw_libvirt_value(reader, node, nic_sources[i].path);
    }
    read_network_of_bridge(reader, node, nic);
    nic->target = gw_libvirt_value(reader, node, "target/@dev");
    nic->link_down = g_strcmp0(link, "down") == 0;
    nic->mtu = read_mtu(reader->xml, node, "mtu/@size");
    nic->vlans = read_vlans(reader->xml, node);
    nic->port_group = gw_libvirt_value(reader, node, "source/@portgroup");
    nic->virtual_port = gw_libvirt_value(reader, node, "virtualport/@type");
    return nic;
}
