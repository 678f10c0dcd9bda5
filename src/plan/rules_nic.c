/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/networks.h"

/* Rules on the VM's network adapters themselves, and on what is different for them at the
 * destination. Where they are attached is in rules_network.c. */

void gw_nic_each(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                 GwNicCheck check)
{
    for (guint i = 0; input->nics != NULL && i < input->nics->len; i++)
        check(self, input, findings, input->nics->pdata[i]);
}

static void nic_passthrough(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                            const GwNicMove *move)
{
    const GwNic *nic = move->from;

    if (!gw_nic_is_type(nic, "hostdev") && !gw_nic_is_type(nic, "vdpa"))
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
    gw_nic_each(self, input, findings, nic_passthrough);
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
                     const GwNicMove *move)
{
    const GwNic *nic = move->to;

    if (nic == NULL || gw_nic_is_none(nic))
        return;
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (!gw_nic_is_type(nic, kinds[i].type))
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
    gw_nic_each(self, input, findings, nic_kind);
}

const GwRule gw_rule_nic_kind = {
    "nic-kind",          "R48",
    GW_SEVERITY_WARNING, "Macvtap, user and hand-made adapters are said.",
    GW_RULE_STARTS,      check_nic_kind
};

/* What is different there -------------------------------------------------------------------- */

/* Where it is and where it goes; FALSE: one of them is no network that its host tells. */
static gboolean both_ends(const GwPlanInput *input, const GwNicMove *move, GwNetPlace *from,
                          GwNetPlace *to)
{
    if (move->to == NULL)
        return FALSE;
    *from = gw_net_of_nic(input->source, move->from);
    *to = gw_net_of_nic(input->destination, move->to);
    return from->name != NULL && to->name != NULL;
}

static void nic_mtu(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                    const GwNicMove *move)
{
    GwNetPlace from, to;

    if (!both_ends(input, move, &from, &to))
        return;
    gint64 needs = MAX(move->from->mtu, gw_net_mtu(&from)), there = gw_net_mtu(&to);
    if (there <= 0 || there >= needs)
        return;
    gw_rule_add(self, findings,
                g_strdup_printf("Adapter %s has an MTU of %" G_GINT64_FORMAT " on '%s' of %s, and "
                                "'%s' of %s has one of %" G_GINT64_FORMAT,
                                gw_plan_text(move->mac), needs, from.name,
                                gw_plan_host_name(input->source), to.name,
                                gw_plan_host_name(input->destination), there),
                g_strdup_printf("An MTU of %" G_GINT64_FORMAT " at the destination: larger packets "
                                "of the guest are lost there.",
                                needs),
                g_strdup_printf("Raise it there (ip link set dev %s mtu %" G_GINT64_FORMAT
                                "), lower the guest's, or choose another network.",
                                gw_plan_text(gw_net_bridge(&to)), needs));
}

static void check_mtu(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    gw_nic_each(self, input, findings, nic_mtu);
}

const GwRule gw_rule_network_mtu = { "network-mtu",       "R40",
                                     GW_SEVERITY_WARNING, "The MTU should be no smaller there.",
                                     GW_RULE_MOVES,       check_mtu };

static void nic_forward(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                        const GwNicMove *move)
{
    GwNetPlace from, to;

    if (!both_ends(input, move, &from, &to))
        return;
    const char *here = gw_net_forward(&from), *there = gw_net_forward(&to);
    gboolean differs = here != NULL && there != NULL && g_strcmp0(here, there) != 0;
    gboolean translated =
        gw_plan_is_live(input->vm) && g_strcmp0(here, "nat") == 0 && g_strcmp0(there, "nat") == 0;
    if (!differs && !translated)
        return;
    gw_rule_add(
        self, findings,
        differs
            ? g_strdup_printf("Adapter %s leaves '%s' of %s by %s, and '%s' of %s by %s",
                              gw_plan_text(move->mac), from.name, gw_plan_host_name(input->source),
                              here, to.name, gw_plan_host_name(input->destination), there)
            : g_strdup_printf("Adapter %s is on '%s' of %s, which translates addresses (nat), as "
                              "'%s' of %s does by itself",
                              gw_plan_text(move->mac), from.name, gw_plan_host_name(input->source),
                              to.name, gw_plan_host_name(input->destination)),
        g_strdup("The same network behind the adapter on both hosts."),
        g_strdup("Its open connections break at the move, and it may need another address. Choose "
                 "a network that leads to the same to keep them."));
}

static void check_forward(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    gw_nic_each(self, input, findings, nic_forward);
}

const GwRule gw_rule_network_forward = {
    "network-forward",   "R40",
    GW_SEVERITY_WARNING, "Networks that lead out otherwise, or by translation, are said.",
    GW_RULE_MOVES,       check_forward
};

static char *vlan_words(char *const *vlans)
{
    g_autofree char *list =
        vlans != NULL && vlans[0] != NULL ? g_strjoinv(", ", (char **)vlans) : NULL;
    return list != NULL ? g_strdup_printf("in VLAN %s", list) : g_strdup("in no VLAN");
}

static void differing_vlans(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                            const GwNicMove *move, const GwNetPlace *from, const GwNetPlace *to)
{
    char **own = gw_net_own_vlans(from, input->vm, move->from);
    char **here = gw_net_vlans(from), **there = gw_net_vlans(to);

    if ((own != NULL && own[0] != NULL) || gw_net_same_vlans(here, there))
        return;
    g_autofree char *is = vlan_words(here);
    g_autofree char *will = vlan_words(there);
    gw_rule_add(self, findings,
                g_strdup_printf("Adapter %s is %s on '%s' of %s, and would be %s on '%s' of %s",
                                gw_plan_text(move->mac), is, from->name,
                                gw_plan_host_name(input->source), will, to->name,
                                gw_plan_host_name(input->destination)),
                g_strdup("The same VLANs on both hosts."),
                g_strdup("Choose a port group or a network of the same VLANs, or give the adapter "
                         "its own (virsh edit)."));
}

/* A port group that a person chose, and that is missing, is an error of nic-choice; what Undo goes
 * back to is not. */
static gboolean is_refused(const GwPlanInput *input, const GwNicMove *move)
{
    const GwNicChoice *choice = gw_plan_nic_choice(input, move->mac);

    return move->match == (int)GW_NIC_CHOSEN && choice != NULL &&
           !gw_net_was_chosen(input, choice, FALSE);
}

static void nic_vlan(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                     const GwNicMove *move)
{
    GwNetPlace from, to;

    if (!both_ends(input, move, &from, &to))
        return;
    differing_vlans(self, input, findings, move, &from, &to);
    if (move->to->port_group != NULL && to.group == NULL && !is_refused(input, move))
        gw_rule_add(self, findings,
                    g_strdup_printf("Adapter %s is in port group '%s', which network '%s' of %s "
                                    "does not have",
                                    gw_plan_text(move->mac), move->to->port_group, to.name,
                                    gw_plan_host_name(input->destination)),
                    g_strdup("The same port group: it gives the adapter VLANs and limits."),
                    g_strdup_printf("Define it there, or choose one: --nic %s=%s,port-group=GROUP.",
                                    gw_plan_text(move->mac), to.name));
    if (move->from->virtual_port != NULL && move->to->virtual_port == NULL)
        gw_rule_add(
            self, findings,
            g_strdup_printf("Adapter %s is a port of a switch (%s), and '%s' of %s is none",
                            gw_plan_text(move->mac), move->from->virtual_port, to.name,
                            gw_plan_host_name(input->destination)),
            g_strdup("A switch of the same kind: what it knows of the port is left behind."),
            g_strdup("Choose a network of such a switch, or see that the port needs none of "
                     "it."));
}

static void check_vlan(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    gw_nic_each(self, input, findings, nic_vlan);
}

const GwRule gw_rule_network_vlan = {
    "network-vlan",      "R40",
    GW_SEVERITY_WARNING, "Other VLANs, port groups and switches are said.",
    GW_RULE_MOVES,       check_vlan
};
