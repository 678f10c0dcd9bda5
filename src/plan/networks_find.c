/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/networks.h"
#include "plan/networks_index.h"

#define SHOWN 12 /* names of one kind in a list for people */

static gboolean is_bridge(const GwNetwork *network)
{
    return g_strcmp0(network->kind, "bridge") == 0;
}

static const GwNetwork *find_record(const GwHost *host, gboolean bridge, const char *name)
{
    const GPtrArray *networks = gw_plan_facts(host)->networks;
    const GwNetIndex *index = gw_net_index(host);

    if (index != NULL) {
        const GwNetName *found = gw_net_index_find(index, name);
        return bridge ? found->bridge : found->network;
    }
    for (guint i = 0; name != NULL && networks != NULL && i < networks->len; i++) {
        const GwNetwork *network = networks->pdata[i];
        if (is_bridge(network) == bridge && g_strcmp0(network->name, name) == 0)
            return network;
    }
    return NULL;
}

static gboolean lists_bridge(const GwHost *host, const char *name)
{
    char **bridges = gw_plan_facts(host)->bridges;
    const GwNetIndex *index = gw_net_index(host);

    if (index != NULL)
        return gw_net_index_find(index, name)->listed;
    return bridges != NULL && g_strv_contains((const char *const *)bridges, name);
}

GwNetPlace gw_net_find(const GwHost *host, gboolean bridge, const char *name)
{
    GwNetPlace place = { .host = host,
                         .network = find_record(host, bridge, name),
                         .is_bridge = bridge };

    if (place.network != NULL)
        place.name = place.network->name;
    else if (bridge && name != NULL && lists_bridge(host, name))
        place.name = name;
    return place;
}

gboolean gw_net_next(const GwHost *host, guint *at, GwNetPlace *place)
{
    const GPtrArray *networks = gw_plan_facts(host)->networks;
    char **bridges = gw_plan_facts(host)->bridges;
    guint records = networks != NULL ? networks->len : 0;

    *place = (GwNetPlace){ .host = host };
    if (*at < records) {
        place->network = networks->pdata[(*at)++];
        place->name = place->network->name;
        place->is_bridge = is_bridge(place->network);
        return TRUE;
    }
    for (guint i = *at - records; bridges != NULL && bridges[i] != NULL; i++) {
        *at = records + i + 1;
        if (find_record(host, TRUE, bridges[i]) != NULL)
            continue;
        place->name = bridges[i];
        place->is_bridge = TRUE;
        return TRUE;
    }
    return FALSE;
}

/* Whether bridge @name may be known of a libvirt network that names it, and of nothing else: its
 * MTU is that network's, if any. What a host sees of a bridge has an MTU of its own. */
static gboolean is_of_network(const GwHost *host, const char *name)
{
    const GPtrArray *networks = gw_plan_facts(host)->networks;
    const GwNetwork *bridge = find_record(host, TRUE, name);
    const GwNetIndex *index = gw_net_index(host);

    if (index != NULL)
        return gw_net_index_find(index, name)->of_network;
    for (guint i = 0; networks != NULL && i < networks->len; i++) {
        const GwNetwork *network = networks->pdata[i];
        if (!is_bridge(network) && g_strcmp0(network->bridge, name) == 0 &&
            (bridge == NULL || bridge->mtu <= 0 || bridge->mtu == network->mtu))
            return TRUE;
    }
    return FALSE;
}

/* That one is not listed is told, too: where nobody sees bridges, those of all active networks are
 * taken to be there (libvirt_facts.c). Nobody tells of a switch's. */
static gboolean is_missing(const GwHost *host, const GwNetwork *network)
{
    char **bridges = gw_plan_facts(host)->bridges;

    return bridges != NULL && bridges[0] != NULL && !is_bridge(network) && network->active &&
           network->bridge != NULL && network->virtual_port == NULL &&
           g_strcmp0(network->forward, "bridge") == 0 && !lists_bridge(host, network->bridge);
}

gboolean gw_net_tells_bridges(const GwHost *host)
{
    const GPtrArray *networks = gw_plan_facts(host)->networks;
    char **bridges = gw_plan_facts(host)->bridges;

    for (guint i = 0; bridges != NULL && bridges[i] != NULL; i++) {
        if (!is_of_network(host, bridges[i]))
            return TRUE;
    }
    for (guint i = 0; networks != NULL && i < networks->len; i++) {
        if (is_missing(host, networks->pdata[i]))
            return TRUE;
    }
    return FALSE;
}

const char *gw_net_missing_bridge(const GwNetPlace *place)
{
    const GwNetwork *network = place->is_bridge ? NULL : place->network;

    return network != NULL && is_missing(place->host, network) ? network->bridge : NULL;
}

gboolean gw_net_is_active(const GwNetPlace *place)
{
    return place->name != NULL && (place->network == NULL || place->network->active) &&
           gw_net_missing_bridge(place) == NULL;
}

const char *gw_net_bridge(const GwNetPlace *place)
{
    if (place->is_bridge)
        return place->name;
    return place->network != NULL ? place->network->bridge : NULL;
}

/* The libvirt network that keeps @bridge for itself; NULL: none. */
static const GwNetwork *owner_of(const GwHost *host, const char *bridge)
{
    const GPtrArray *networks = gw_plan_facts(host)->networks;
    const GwNetIndex *index = gw_net_index(host);

    if (index != NULL)
        return gw_net_index_find(index, bridge)->owner;
    for (guint i = 0; networks != NULL && i < networks->len; i++) {
        const GwNetwork *network = networks->pdata[i];
        if (!is_bridge(network) && network->forward != NULL &&
            strcmp(network->forward, "bridge") != 0 && g_strcmp0(network->bridge, bridge) == 0)
            return network;
    }
    return NULL;
}

const char *gw_net_forward(const GwNetPlace *place)
{
    if (!place->is_bridge)
        return place->network != NULL ? place->network->forward : NULL;
    const GwNetwork *owner = owner_of(place->host, place->name);
    return owner != NULL ? owner->forward : "bridge";
}

/* The record of the bridge behind it: what the host sees there. */
static const GwNetwork *behind(const GwNetPlace *place)
{
    const char *bridge = gw_net_bridge(place);
    return bridge != NULL ? find_record(place->host, TRUE, bridge) : NULL;
}

gint64 gw_net_mtu(const GwNetPlace *place)
{
    if (place->network != NULL && place->network->mtu > 0)
        return place->network->mtu;
    const GwNetwork *bridge = behind(place);
    return bridge != NULL ? bridge->mtu : 0;
}

char **gw_net_vlans(const GwNetPlace *place)
{
    if (place->group != NULL && place->group->vlans != NULL && place->group->vlans[0] != NULL)
        return place->group->vlans;
    return place->network != NULL ? place->network->vlans : NULL;
}

const char *gw_net_tag(const GwNetPlace *place)
{
    const char *own = gw_network_tag(place->host->network_tags, place->name);
    return own != NULL ? own : gw_network_tag(place->host->network_tags, gw_net_bridge(place));
}

static const char *common(char *const *a, char *const *b)
{
    for (guint i = 0; a != NULL && b != NULL && a[i] != NULL; i++) {
        if (g_strv_contains((const char *const *)b, a[i]))
            return a[i];
    }
    return NULL;
}

const char *gw_net_common_subnet(const GwNetPlace *a, const GwNetPlace *b)
{
    const GwNetwork *of_a[] = { a->network, behind(a) };
    const GwNetwork *of_b[] = { b->network, behind(b) };

    for (guint i = 0; i < G_N_ELEMENTS(of_a); i++) {
        for (guint k = 0; of_a[i] != NULL && k < G_N_ELEMENTS(of_b); k++) {
            const char *subnet =
                of_b[k] != NULL ? common(of_a[i]->subnets, of_b[k]->subnets) : NULL;
            if (subnet != NULL)
                return subnet;
        }
    }
    return NULL;
}

gboolean gw_net_is_management(const GwNetPlace *place)
{
    const char *bridge = gw_net_bridge(place), *management = place->host->management_bridge;

    return bridge != NULL && *bridge != '\0' && g_strcmp0(bridge, management) == 0;
}

gboolean gw_net_same_vlans(char *const *a, char *const *b)
{
    static char *const none[] = { NULL };

    return g_strv_equal((const char *const *)(a != NULL ? a : none),
                        (const char *const *)(b != NULL ? b : none));
}

static void list_kind(const GwHost *host, gboolean bridges, GString *out)
{
    GwNetPlace place;
    guint at = 0, count = 0;

    while (gw_net_next(host, &at, &place)) {
        if (place.is_bridge != bridges || !gw_net_is_active(&place))
            continue;
        const char *begin = count > 0       ? ", "
                            : out->len == 0 ? bridges ? "bridges " : "networks "
                            : bridges       ? "; bridges "
                                            : "; networks ";
        if (count < SHOWN)
            g_string_append_printf(out, "%s%s", begin, gw_plan_text(place.name));
        count++;
    }
    if (count > SHOWN)
        g_string_append_printf(out, " and %u more", count - SHOWN);
}

char *gw_net_list(const GwHost *host)
{
    GString *out = g_string_new(NULL);

    list_kind(host, FALSE, out);
    list_kind(host, TRUE, out);
    if (out->len == 0)
        g_string_append(out, "no active network");
    return g_string_free(out, FALSE);
}

/* Adapters -------------------------------------------------------------------------------- */

/* The port group that an adapter which names @name gets; NULL: none. */
static const GwPortGroup *group_of(const GwNetwork *network, const char *name)
{
    const GPtrArray *groups = network->port_groups;

    for (guint i = 0; groups != NULL && i < groups->len; i++) {
        const GwPortGroup *group = groups->pdata[i];
        if (name != NULL ? g_strcmp0(group->name, name) == 0 : group->is_default)
            return group;
    }
    return NULL;
}

GwNetPlace gw_net_of_nic(const GwHost *host, const GwNic *nic)
{
    gboolean bridge = g_strcmp0(nic->type, "bridge") == 0;

    if (!bridge && g_strcmp0(nic->type, "network") != 0)
        return (GwNetPlace){ .host = host };
    GwNetPlace place = gw_net_find(host, bridge, nic->source);
    if (place.network != NULL && !bridge)
        place.group = group_of(place.network, nic->port_group);
    return place;
}

char **gw_net_own_vlans(const GwNetPlace *at, const GwVm *vm, const GwNic *nic)
{
    /* libvirt shows a running adapter's VLANs wherever they come from. */
    if (!at->is_bridge && at->name != NULL && gw_plan_is_live(vm) &&
        gw_net_same_vlans(nic->vlans, gw_net_vlans(at)))
        return NULL;
    return nic->vlans;
}
