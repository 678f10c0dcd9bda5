/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/networks.h"
#include "plan/rules_choice.h"

/* Rules on where the VM's network adapters are attached, as they will be there (R40). Those on the
 * adapters themselves are in rules_nic.c. */

/* Nothing matches ---------------------------------------------------------------------------- */

/* Why the network of the same name is not it. */
static char *why_not_by_name(const GwPlanInput *input, const GwNicMove *move)
{
    const char *to = gw_plan_host_name(input->destination);
    GwNetPlace place = gw_net_of_nic(input->destination, move->from);
    const char *tag = place.name != NULL ? gw_net_tag(&place) : NULL;

    if (place.name == NULL)
        return g_strdup_printf("does not exist on %s", to);
    if (place.network != NULL && !place.network->active)
        return g_strdup_printf("is not active on %s", to);
    if (gw_net_missing_bridge(&place) != NULL)
        return g_strdup_printf("names bridge '%s', which does not exist on %s",
                               gw_net_missing_bridge(&place), to);
    return g_strdup_printf("leads to another physical network on %s ('%s')", to, gw_plan_text(tag));
}

/* What was looked for beside the name: "tag 'dmz', subnet 10.1.0.0/16". */
static char *looked_for(const GwPlanInput *input, const GwNicMove *move)
{
    GwNetPlace at = gw_net_of_nic(input->source, move->from);
    GString *out = g_string_new(NULL);
    const char *bridge = at.name != NULL ? gw_net_bridge(&at) : NULL;
    const char *tag = at.name != NULL ? gw_net_tag(&at) : NULL;
    char **subnets = at.network != NULL ? at.network->subnets : NULL;
    g_autofree char *vlans = move->from->vlans != NULL && move->from->vlans[0] != NULL
                                 ? g_strjoinv(", ", move->from->vlans)
                                 : NULL;

    if (bridge != NULL && !at.is_bridge)
        g_string_append_printf(out, "bridge '%s'", bridge);
    if (vlans != NULL)
        g_string_append_printf(out, "%sVLAN %s", out->len > 0 ? ", " : "", vlans);
    if (tag != NULL)
        g_string_append_printf(out, "%sphysical network '%s'", out->len > 0 ? ", " : "", tag);
    for (guint i = 0; subnets != NULL && subnets[i] != NULL && i < 4; i++)
        g_string_append_printf(out, "%ssubnet %s", out->len > 0 ? ", " : "", subnets[i]);
    return g_string_free(out, FALSE);
}

static char *observe_unmatched(const GwPlanInput *input, const GwNicMove *move, const char *kind)
{
    g_autofree char *why = why_not_by_name(input, move);
    g_autofree char *sought = looked_for(input, move);
    g_autofree char *has = gw_net_list(input->destination);

    return g_strdup_printf("Adapter %s is on %s '%s', which %s, and nothing there matches it%s%s "
                           "(it has %s)",
                           gw_plan_text(move->mac), kind, gw_plan_text(move->from->source), why,
                           *sought != '\0' ? " by " : "", sought, has);
}

static gboolean is_unmatched(const GwPlanInput *input, const GwNicMove *move)
{
    return move->match == (int)GW_NIC_UNMATCHED && gw_plan_nic_choice(input, move->mac) == NULL;
}

static char *remedy_choice(const GwNicMove *move, const char *or_else)
{
    const char *mac = gw_plan_text(move->mac);
    return g_strdup_printf("Choose one of its networks, or none: --nic %s=NAME, --nic %s=none. %s",
                           mac, mac, or_else);
}

static void nic_network(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                        const GwNicMove *move)
{
    const char *to = gw_plan_host_name(input->destination);
    GwNetPlace place = gw_net_of_nic(input->destination, move->from);
    gboolean stopped = place.network != NULL && !place.network->active;
    const char *missing = gw_net_missing_bridge(&place);

    if (!gw_nic_is_type(move->from, "network") || !is_unmatched(input, move))
        return;
    g_autofree char *quoted = gw_plan_quote(move->from->source);
    g_autofree char *or_else =
        stopped ? g_strdup_printf("Or start it on %s: virsh net-start %s.", to, quoted)
        : missing != NULL
            ? g_strdup_printf("Or create that bridge on %s, or name another in it: virsh net-edit "
                              "%s.",
                              to, quoted)
            : g_strdup_printf("Or define it there as on %s: virsh net-dumpxml %s, then virsh "
                              "net-define and virsh net-start %s on %s.",
                              gw_plan_host_name(input->source), quoted, quoted, to);
    gw_rule_add(self, findings, observe_unmatched(input, move, "network"),
                g_strdup_printf("An active network '%s' on %s, or one that leads to the same.",
                                gw_plan_text(move->from->source), to),
                remedy_choice(move, or_else));
}

static void too_many(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    guint count = input->vm->nics != NULL ? input->vm->nics->len : 0;

    if (count > GW_NET_NICS_MAX)
        gw_rule_add(self, findings,
                    g_strdup_printf("%s has %u network adapters: those after the first %u were not "
                                    "matched",
                                    gw_plan_vm_name(input->vm), count, GW_NET_NICS_MAX),
                    g_strdup_printf("At most %u adapters.", GW_NET_NICS_MAX),
                    g_strdup("Detach those that it does not need (virsh detach-interface)."));
}

static void check_network(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    too_many(self, input, findings);
    gw_nic_each(self, input, findings, nic_network);
}

const GwRule gw_rule_network = {
    "network",         "R40",
    GW_SEVERITY_ERROR, "The destination must have networks that match the VM's, active.",
    GW_RULE_STARTS,    check_network
};

static void nic_bridge(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                       const GwNicMove *move)
{
    const char *to = gw_plan_host_name(input->destination);

    if (!gw_nic_is_type(move->from, "bridge") || !is_unmatched(input, move))
        return;
    g_autofree char *or_else = g_strdup_printf(
        "Or create the bridge on %s as it is on %s, or declare what is behind both: godwit host "
        "set HOST --network-tag BRIDGE=TAG.",
        to, gw_plan_host_name(input->source));
    gw_rule_add(self, findings, observe_unmatched(input, move, "bridge"),
                g_strdup_printf("A bridge '%s' on %s, or one that leads to the same network.",
                                gw_plan_text(move->from->source), to),
                remedy_choice(move, or_else));
}

static void check_bridge(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    gw_nic_each(self, input, findings, nic_bridge);
}

const GwRule gw_rule_bridge = {
    "bridge",          "R40",
    GW_SEVERITY_ERROR, "The destination must have bridges that match the VM's.",
    GW_RULE_STARTS,    check_bridge
};

/* Choices ------------------------------------------------------------------------------------ */

static const GwChoiceWords words = { "A network", "Networks", "adapter",
                                     "A MAC address, and a network or none.",
                                     "The MAC address of one of the VM's adapters." };

static const GwNic *find_nic(const GwVm *vm, const char *mac)
{
    for (guint i = 0; vm->nics != NULL && i < vm->nics->len; i++) {
        const GwNic *nic = vm->nics->pdata[i];
        if (nic->mac != NULL && mac != NULL && g_ascii_strcasecmp(nic->mac, mac) == 0)
            return nic;
    }
    return NULL;
}

static char *list_adapters(const GwVm *vm)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; vm->nics != NULL && i < vm->nics->len && i < 12; i++)
        g_string_append_printf(out, "%s%s", i > 0 ? ", " : "",
                               gw_plan_text(((GwNic *)vm->nics->pdata[i])->mac));
    return gw_plan_list_end(out);
}

static void choice_of_network(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                              const GwNic *nic, const GwNicChoice *choice)
{
    const char *to = gw_plan_host_name(input->destination);
    GwNetPlace place = gw_net_chosen(input, nic, choice);
    const char *kind = g_strcmp0(choice->kind, "bridge") == 0    ? "bridge"
                       : g_strcmp0(choice->kind, "libvirt") == 0 ? "libvirt network"
                                                                 : "network or bridge";
    gboolean stopped = place.network != NULL && !place.network->active;
    const char *missing = gw_net_missing_bridge(&place);
    gboolean no_group = place.name != NULL && choice->port_group != NULL && place.group == NULL &&
                        !gw_net_was_chosen(input, choice, FALSE); /* so it was there, too */
    gboolean untold =
        place.name == NULL && choice->kind == NULL && !gw_net_tells_bridges(input->destination);

    if (place.name != NULL && !stopped && !no_group && missing == NULL)
        return;
    g_autofree char *has = gw_net_list(input->destination);
    g_autofree char *quoted = gw_plan_quote(choice->network);
    const char *name = gw_plan_text(choice->network);
    gw_rule_add(
        self, findings,
        stopped ? g_strdup_printf("Network '%s', chosen for adapter %s, is not active on %s", name,
                                  choice->mac, to)
        : missing != NULL
            ? g_strdup_printf("Network '%s', chosen for adapter %s, names bridge '%s', which does "
                              "not exist on %s",
                              name, choice->mac, missing, to)
        : no_group ? g_strdup_printf("Network '%s' of %s, chosen for adapter %s, has no port group "
                                     "'%s'",
                                     name, to, choice->mac, choice->port_group)
                   : g_strdup_printf("%s has no %s '%s', which was chosen for adapter %s (it has "
                                     "%s)",
                                     to, kind, name, choice->mac, has),
        g_strdup("An active network of the destination, or none."),
        stopped  ? g_strdup_printf("Start it on %s: virsh net-start %s.", to, quoted)
        : untold ? g_strdup_printf("Choose one that it has, or none; or, as it does not tell its "
                                   "bridges, say that it is one: --nic %s=bridge:%s.",
                                   choice->mac, name)
                 : g_strdup("Choose one that it has, or none."));
}

static void check_one_choice(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                             const GwNicChoice *choice)
{
    const GwNic *nic = find_nic(input->vm, choice->mac);
    g_autoptr(GError) shape = NULL;

    if (!gw_nic_choice_check(choice, &shape)) {
        gw_rule_choice_shape(self, findings, &words, shape);
    } else if (nic == NULL) {
        gw_rule_choice_unknown(self, input, findings, &words, choice->mac,
                               list_adapters(input->vm));
    } else if (!gw_plan_nic_can_change(nic)) {
        gw_rule_add(self, findings,
                    g_strdup_printf("A network was chosen for adapter %s, which is hardware or a "
                                    "socket of its host (%s)",
                                    choice->mac, nic->type),
                    g_strdup("An adapter that can be attached to another network."),
                    g_strdup("Leave the choice out; detach the adapter instead (virsh "
                             "detach-interface)."));
    } else if (!choice->none) {
        choice_of_network(self, input, findings, nic, choice);
    }
}

static void check_choices(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GPtrArray *choices = gw_plan_options(input)->nics;

    for (guint i = 0; choices != NULL && i < choices->len; i++) {
        const GwNicChoice *choice = choices->pdata[i];
        if (choice->mac == NULL || gw_plan_nic_choice(input, choice->mac) == choice)
            check_one_choice(self, input, findings, choice);
        else
            gw_rule_choice_twice(self, findings, &words, choice->mac);
    }
}

const GwRule gw_rule_nic_choice = {
    "nic-choice",      "R40",
    GW_SEVERITY_ERROR, "A network that is chosen for an adapter must be there.",
    GW_RULE_MOVES,     check_choices
};

/* Management --------------------------------------------------------------------------------- */

/* Many a host does not list its bridges, or not those of a switch: what the adapter itself says
 * holds there. */
static gboolean is_on_management(const GwHost *host, const GwNic *nic)
{
    GwNetPlace place = gw_net_of_nic(host, nic);

    if (place.name != NULL)
        return gw_net_is_management(&place);
    const char *bridge = nic->bridge != NULL             ? nic->bridge
                         : gw_nic_is_type(nic, "bridge") ? nic->source
                                                         : NULL;
    return bridge != NULL && *bridge != '\0' && g_strcmp0(bridge, host->management_bridge) == 0;
}

/* A person who chose where it goes has said what becomes of it; else it is not moved from there
 * either. */
static const GwHost *management_host(const GwPlanInput *input, const GwNicMove *move)
{
    if (move->match != (int)GW_NIC_CHOSEN && is_on_management(input->source, move->from))
        return input->source;
    return move->to != NULL && is_on_management(input->destination, move->to) ? input->destination
                                                                              : NULL;
}

static void nic_management(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                           const GwNicMove *move)
{
    const GwHost *host = management_host(input, move);

    if (host == NULL)
        return;
    gw_rule_add(self, findings,
                g_strdup_printf("Adapter %s %s on bridge '%s', which carries the management "
                                "address of %s",
                                gw_plan_text(move->mac), host == input->source ? "is" : "would be",
                                host->management_bridge, gw_plan_host_name(host)),
                g_strdup("No adapter on a management network of bridge type."),
                g_strdup_printf("Choose another network for it: --nic %s=NAME, or none; or correct "
                                "the management bridge in the settings of %s.",
                                gw_plan_text(move->mac), gw_plan_host_name(host)));
}

static void check_management(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    gw_nic_each(self, input, findings, nic_management);
}

const GwRule gw_rule_management_network = {
    "management-network",
    "R52",
    GW_SEVERITY_ERROR,
    "No adapter may be on the bridge that carries a host's management address.",
    GW_RULE_STARTS,
    check_management
};
