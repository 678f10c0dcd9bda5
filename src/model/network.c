/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/network.h"

#include <string.h>

#include "base/error.h"

GW_DEFINE_RECORD(GwPortGroup, gw_port_group, "PortGroup", "A port group of a libvirt network.",
                 GW_F(GwPortGroup, name, GW_STRING, .flags = GW_REQUIRED,
                      .doc = "Name in its network."),
                 GW_F(GwPortGroup, is_default, GW_BOOL, .doc = "For adapters that name none."),
                 GW_F(GwPortGroup, vlans, GW_STRINGS, .doc = "VLAN tags; several: a trunk."));

GW_DEFINE_RECORD(
    GwNetwork, gw_network, "Network", "A network that VMs on the host can attach to.",
    GW_F(GwNetwork, name, GW_STRING, .flags = GW_REQUIRED, .doc = "Name on the host."),
    GW_F(GwNetwork, kind, GW_STRING, .doc = "libvirt (a libvirt network) or bridge."),
    GW_F(GwNetwork, bridge, GW_STRING, .doc = "The bridge behind it."),
    GW_F(GwNetwork, active, GW_BOOL, .doc = "Whether it is up."),
    GW_F(GwNetwork, forward, GW_STRING,
         .doc = "Forward mode of a libvirt network: bridge, nat, route, open, isolated, …"),
    GW_F(GwNetwork, mtu, GW_INT, .doc = "Largest packet, bytes; 0: not told."),
    GW_F(GwNetwork, vlans, GW_STRINGS, .doc = "VLAN tags it gives its adapters."),
    GW_F(GwNetwork, subnets, GW_STRINGS, .doc = "Subnets that the host sees there (CIDR)."),
    GW_F(GwNetwork, port_groups, GW_ARRAY, .of = &gw_port_group_record, .doc = "Port groups."),
    GW_F(GwNetwork, virtual_port, GW_STRING, .doc = "Type of its virtual ports: openvswitch, …"));

const GwEnum gw_nic_match_enum = { "NicMatch", (const char *const[]){ "unmatched", "kept", "none",
                                                                      "name", "bridge", "tag",
                                                                      "subnet", "chosen", NULL } };

GW_DEFINE_RECORD(
    GwNicMove, gw_nic_move, "NicMove", "Where one network adapter goes (R40).",
    GW_F(GwNicMove, mac, GW_STRING, .doc = "MAC address of the adapter."),
    GW_F(GwNicMove, match, GW_ENUM, .of_enum = &gw_nic_match_enum,
         .doc = "By which rule: same name and kind, same bridge and VLANs, same physical network "
                "tag, same subnet seen, chosen; unmatched: choose a network, or none."),
    GW_F(GwNicMove, why, GW_STRING, .doc = "Why there."),
    GW_F(GwNicMove, from, GW_OBJECT, .of = &gw_nic_record, .doc = "As it is."),
    GW_F(GwNicMove, to, GW_OBJECT, .of = &gw_nic_record,
         .doc = "As it will be; absent: nothing matches."),
    GW_F(GwNicMove, changes, GW_BOOL, .doc = "The definition names something else there."));

GW_DEFINE_RECORD(
    GwNicChoice, gw_nic_choice, "NicChoice", "What is chosen for one network adapter (R40).",
    GW_F(GwNicChoice, mac, GW_STRING, .flags = GW_REQUIRED, .doc = "MAC address of the adapter."),
    GW_F(GwNicChoice, network, GW_STRING, .doc = "A network or bridge of the destination."),
    GW_F(GwNicChoice, kind, GW_STRING,
         .doc = "libvirt or bridge; default: by the name, the adapter's own kind first."),
    GW_F(GwNicChoice, port_group, GW_STRING, .doc = "Port group of that network."),
    GW_F(GwNicChoice, none, GW_BOOL, .doc = "No network: its link goes down."),
    GW_F(GwNicChoice, link_down, GW_BOOL, .doc = "On that network, with its link down."));

static int by_kind_and_name(gconstpointer a, gconstpointer b)
{
    const GwNetwork *x = *(const GwNetwork *const *)a, *y = *(const GwNetwork *const *)b;
    int kind = g_strcmp0(y->kind, x->kind);

    return kind != 0 ? kind : g_strcmp0(x->name, y->name);
}

void gw_networks_sort(GPtrArray *networks)
{
    g_ptr_array_sort(networks, by_kind_and_name);
}

/* Physical networks ----------------------------------------------------------------------- */

/* Where the tag of "NAME=TAG" begins, or NULL. A name may hold '=', a tag none. */
static const char *tag_of(const char *declared)
{
    const char *equals = strrchr(declared, '=');

    return equals != NULL && equals != declared && equals[1] != '\0' ? equals + 1 : NULL;
}

static gboolean is_of(const char *declared, const char *name)
{
    const char *tag = tag_of(declared);
    gsize length = strlen(name);

    return tag != NULL && (gsize)(tag - 1 - declared) == length &&
           strncmp(declared, name, length) == 0;
}

static gboolean is_printable(const char *text)
{
    gboolean well = strlen(text) <= 255 && g_utf8_validate(text, -1, NULL);

    for (const char *p = text; well && *p != '\0'; p++)
        well = !g_ascii_iscntrl(*p) && *p != ' ' && *p != ',';
    return well;
}

static gboolean is_twice(char *const *tags, guint index)
{
    g_autofree char *name = g_strndup(tags[index], (gsize)(tag_of(tags[index]) - 1 - tags[index]));

    for (guint i = 0; i < index; i++) {
        if (is_of(tags[i], name))
            return TRUE;
    }
    return FALSE;
}

gboolean gw_network_tags_check(char *const *tags, GError **error)
{
    for (guint i = 0; tags != NULL && tags[i] != NULL; i++) {
        const char *why = i >= GW_NETWORK_TAGS_MAX ? "there are more than 256"
                          : !is_printable(tags[i]) ? "it is too long, or has a blank, a comma or a "
                                                     "control character"
                          : tag_of(tags[i]) == NULL ? "it is not NAME=TAG"
                          : is_twice(tags, i)       ? "that network has a tag already"
                                                    : NULL;
        if (why == NULL)
            continue;
        gw_error_set(error, GW_ERR_INVALID,
                     "Give NAME=TAG, once for each network or bridge of the host: br0=dmz.",
                     "physical network tag %u: %s", i + 1, why);
        return FALSE;
    }
    return TRUE;
}

const char *gw_network_tag(char *const *tags, const char *name)
{
    for (; name != NULL && tags != NULL && *tags != NULL; tags++) {
        if (is_of(*tags, name))
            return tag_of(*tags);
    }
    return NULL;
}

/* Adapters -------------------------------------------------------------------------------- */

gboolean gw_nic_is_none(const GwNic *nic)
{
    static const char *const of_a_host[] = { "network", "bridge",    "direct", "hostdev",
                                             "vdpa",    "vhostuser", NULL };

    if (g_strcmp0(nic->type, "null") == 0)
        return TRUE;
    return nic->link_down &&
           (nic->type == NULL || !g_strv_contains(of_a_host, nic->type) || nic->source == NULL);
}

gboolean gw_nic_moves_change(const GPtrArray *nics)
{
    for (guint i = 0; nics != NULL && i < nics->len; i++) {
        const GwNicMove *move = nics->pdata[i];
        if (move->changes && move->to != NULL)
            return TRUE;
    }
    return FALSE;
}

static gboolean is_mac(const char *text)
{
    if (text == NULL || strlen(text) != 17)
        return FALSE;
    for (guint i = 0; i < 17; i++) {
        if (i % 3 == 2 ? text[i] != ':' : !g_ascii_isxdigit(text[i]))
            return FALSE;
    }
    return TRUE;
}

gboolean gw_nic_choice_check(const GwNicChoice *choice, GError **error)
{
    gboolean named = choice->network != NULL && *choice->network != '\0';
    const char *why =
        !is_mac(choice->mac)      ? "its MAC address is not six bytes in hexadecimal"
        : !named && !choice->none ? "it names no network, nor says none"
        : choice->none && (named || choice->kind != NULL || choice->port_group != NULL)
            ? "it says none, and a network"
        : choice->kind != NULL && strcmp(choice->kind, "libvirt") != 0 &&
                strcmp(choice->kind, "bridge") != 0
            ? "its kind is neither libvirt nor bridge"
        : choice->port_group != NULL && g_strcmp0(choice->kind, "bridge") == 0
            ? "a bridge has no port groups"
            : NULL;

    if (why == NULL)
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID,
                 "Give the adapter's MAC address and a network or bridge of the destination, or "
                 "none: --nic 52:54:00:12:34:56=lan.",
                 "the choice of a network for adapter '%.40s': %s",
                 choice->mac != NULL ? choice->mac : "", why);
    return FALSE;
}
