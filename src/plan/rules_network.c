/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/rule.h"

/* Rules on the VM's network adapters. libvirt attaches each at the destination by the same name. */

typedef void (*NicCheck)(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                         const GwNic *nic);

static void each_nic(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                     NicCheck check)
{
    const GPtrArray *nics = input->vm->nics;

    for (guint i = 0; nics != NULL && i < nics->len; i++)
        check(self, input, findings, nics->pdata[i]);
}

static gboolean is_type(const GwNic *nic, const char *type)
{
    return g_strcmp0(nic->type, type) == 0;
}

/* The libvirt network @name of @host, or NULL. */
static const GwNetwork *find_network(const GwHost *host, const char *name)
{
    const GPtrArray *networks = gw_plan_facts(host)->networks;

    for (guint i = 0; networks != NULL && i < networks->len; i++) {
        const GwNetwork *network = networks->pdata[i];
        if (g_strcmp0(network->name, name) == 0 && g_strcmp0(network->kind, "bridge") != 0)
            return network;
    }
    return NULL;
}

static void nic_network(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                        const GwNic *nic)
{
    const char *to = gw_plan_host_name(input->destination);

    if (!is_type(nic, "network") || input->destination->facts == NULL)
        return;
    const GwNetwork *network = find_network(input->destination, nic->source);
    if (network != NULL && network->active)
        return;
    const char *name = gw_plan_text(nic->source);
    g_autofree char *quoted = gw_plan_quote(nic->source);
    gw_rule_add(self, findings,
                g_strdup_printf("Adapter %s is on network '%s', which %s on %s",
                                gw_plan_text(nic->mac), name,
                                network == NULL ? "does not exist" : "is not active", to),
                g_strdup_printf("An active network '%s' on %s.", name, to),
                network == NULL
                    ? g_strdup_printf("Define it there as on %s: virsh net-dumpxml %s, then virsh "
                                      "net-define and virsh net-start %s on %s.",
                                      gw_plan_host_name(input->source), quoted, quoted, to)
                    : g_strdup_printf("Start it on %s: virsh net-start %s.", to, quoted));
}

static void check_network(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    each_nic(self, input, findings, nic_network);
}

const GwRule gw_rule_network = {
    "network",         "R40",
    GW_SEVERITY_ERROR, "The destination must have the VM's libvirt networks, active.",
    GW_RULE_STARTS,    check_network
};

static void nic_bridge(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                       const GwNic *nic)
{
    char **bridges = gw_plan_facts(input->destination)->bridges;
    const char *to = gw_plan_host_name(input->destination);

    /* An empty list means that the host could not tell. */
    if (!is_type(nic, "bridge") || nic->source == NULL || bridges == NULL || bridges[0] == NULL ||
        g_strv_contains((const char *const *)bridges, nic->source))
        return;
    g_autofree char *have = g_strjoinv(", ", bridges);
    gw_rule_add(
        self, findings,
        g_strdup_printf("Adapter %s is on bridge '%s', which does not exist on %s (it has "
                        "%s)",
                        gw_plan_text(nic->mac), nic->source, to, have),
        g_strdup_printf("A bridge '%s' on %s that leads to the same network.", nic->source, to),
        g_strdup_printf("Create the bridge on %s as it is on %s.", to,
                        gw_plan_host_name(input->source)));
}

static void check_bridge(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    each_nic(self, input, findings, nic_bridge);
}

const GwRule gw_rule_bridge = { "bridge",          "R40",
                                GW_SEVERITY_ERROR, "The destination must have the VM's bridges.",
                                GW_RULE_STARTS,    check_bridge };

/* The bridge of @host that @nic is on, directly or through a libvirt network; or NULL. */
static const char *bridge_of(const GwHost *host, const GwNic *nic)
{
    if (is_type(nic, "bridge"))
        return nic->source;
    const GwNetwork *network = is_type(nic, "network") ? find_network(host, nic->source) : NULL;
    return network != NULL ? network->bridge : NULL;
}

static gboolean on_management(const GwHost *host, const GwNic *nic)
{
    const char *bridge = bridge_of(host, nic);
    return bridge != NULL && host->management_bridge != NULL && *bridge != '\0' &&
           g_strcmp0(bridge, host->management_bridge) == 0;
}

static void nic_management(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                           const GwNic *nic)
{
    const GwHost *host = on_management(input->source, nic)        ? input->source
                         : on_management(input->destination, nic) ? input->destination
                                                                  : NULL;
    if (host == NULL)
        return;
    gw_rule_add(self, findings,
                g_strdup_printf("Adapter %s is on bridge '%s', which carries the management "
                                "address of %s",
                                gw_plan_text(nic->mac), host->management_bridge,
                                gw_plan_host_name(host)),
                g_strdup("No adapter on a management network of bridge type."),
                g_strdup_printf("Move the adapter to another bridge or network (virsh edit, then "
                                "virsh update-device), or correct the management bridge in the "
                                "settings of %s.",
                                gw_plan_host_name(host)));
}

static void check_management(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    each_nic(self, input, findings, nic_management);
}

const GwRule gw_rule_management_network = {
    "management-network",
    "R52",
    GW_SEVERITY_ERROR,
    "No adapter may be on the bridge that carries a host's management address.",
    GW_RULE_STARTS,
    check_management
};

static void nic_passthrough(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                            const GwNic *nic)
{
    if (!is_type(nic, "hostdev") && !is_type(nic, "vdpa"))
        return;
    g_autofree char *vm = gw_plan_virsh_vm(input->vm);
    g_autofree char *mac = gw_plan_quote(nic->mac);
    gw_rule_add(self, findings,
                g_strdup_printf("Adapter %s is a device of %s (%s)", gw_plan_text(nic->mac),
                                gw_plan_host_name(input->source), nic->type),
                g_strdup("No adapter that is hardware of the host: it cannot follow."),
                g_strdup_printf("Detach it: virsh detach-interface %s %s --mac %s --live.", vm,
                                nic->type, mac));
}

static void check_nic_passthrough(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    each_nic(self, input, findings, nic_passthrough);
}

const GwRule gw_rule_nic_passthrough = {
    "nic-passthrough", "R55",
    GW_SEVERITY_ERROR, "No adapter may be a passed-through device.",
    GW_RULE_STARTS,    check_nic_passthrough
};

/* Adapters that depend on what neither host tells. */
typedef struct {
    const char *type;
    const char *depends;
    const char *remedy;
} NicKind;

static const NicKind kinds[] = {
    { "direct", "the host's network device of that name",
      "See that the destination has a device of this name on the same network." },
    { "user", "connections kept by the source's QEMU",
      "Its open connections break at the move. Use a network or bridge to keep them." },
    { "ethernet", "a tap device made outside libvirt",
      "See that the same set-up exists at the destination." },
    { "vhostuser", "a socket of a switch on the host",
      "See that the destination's switch offers the same socket." },
    { "udp", "addresses of the host", "See that they hold at the destination." },
    { "client", "addresses of the host", "See that they hold at the destination." },
    { "server", "addresses of the host", "See that they hold at the destination." },
    { "mcast", "the network's multicast", "See that the destination gets it." },
    { "internal", "a link within libvirt", "See that it means the same at the destination." },
};

static void nic_kind(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                     const GwNic *nic)
{
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (!is_type(nic, kinds[i].type))
            continue;
        gw_rule_add(self, findings,
                    g_strdup_printf("Adapter %s is of type %s%s%s: it depends on %s",
                                    gw_plan_text(nic->mac), nic->type,
                                    nic->source != NULL ? " on " : "",
                                    nic->source != NULL ? nic->source : "", kinds[i].depends),
                    g_strdup("The same network behind the adapter on both hosts."),
                    g_strdup(kinds[i].remedy));
    }
}

static void check_nic_kind(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    each_nic(self, input, findings, nic_kind);
}

const GwRule gw_rule_nic_kind = {
    "nic-kind",          "R48",
    GW_SEVERITY_WARNING, "Macvtap, user and hand-made adapters are said.",
    GW_RULE_STARTS,      check_nic_kind
};
