/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/networks.h"

#include <string.h>

/* R40, "Select Networks": what a person chose, else None where it is None, else the first of these
 * rules that holds at the destination: same name and kind; same bridge and VLANs; same physical
 * network, as declared; same subnet seen. The same picture gives the same answer: of several that a
 * rule finds the one of the adapter's own kind is taken, then by name. docs/networks.md */

/* One adapter, and what is known of where it is. */
typedef struct {
    const GwPlanInput *input;
    const GwNic *nic;
    GwNetPlace at;    /* at the source */
    char **own_vlans; /* borrowed */
    char **vlans;     /* that it is in, its own or its network's; borrowed */
    const char *tag;
} Adapter;

static gboolean is_attached(const GwNic *nic)
{
    return g_strcmp0(nic->type, "network") == 0 || g_strcmp0(nic->type, "bridge") == 0;
}

static Adapter look_at(const GwPlanInput *input, const GwNic *nic)
{
    Adapter a = { .input = input, .nic = nic, .at = gw_net_of_nic(input->source, nic) };

    a.own_vlans = gw_net_own_vlans(&a.at, input->vm, nic);
    a.vlans = a.own_vlans != NULL && a.own_vlans[0] != NULL ? a.own_vlans : gw_net_vlans(&a.at);
    if (a.at.name != NULL)
        a.tag = gw_net_tag(&a.at);
    else if (is_attached(nic)) /* a tag may be declared for what the host does not tell */
        a.tag = gw_network_tag(input->source->network_tags, nic->source);
    return a;
}

static const char *to_name(const Adapter *a)
{
    return gw_plan_host_name(a->input->destination);
}

/* As it becomes ------------------------------------------------------------------------------ */

static void replace(char **text, const char *with)
{
    char *copy = g_strdup(with);
    g_free(*text);
    *text = copy;
}

static gboolean is_other(const char *a, const char *b)
{
    return g_strcmp0(a, b) != 0;
}

/* Ports are told apart by the switch's own parameters, which hold on one of the same kind only. */
static const char *virtual_port_on(const Adapter *a, const GwNetPlace *place)
{
    const char *own = a->nic->virtual_port;
    gboolean same_name = place->is_bridge == (g_strcmp0(a->nic->type, "bridge") == 0) &&
                         !is_other(place->name, a->nic->source);

    if (same_name)
        return own;
    if (!place->is_bridge && place->network != NULL && !is_other(own, place->network->virtual_port))
        return own;
    if (place->is_bridge && gw_net_find(place->host, TRUE, place->name).name == NULL)
        return own; /* a switch's, of which nobody tells */
    return NULL;
}

/* libvirt would go on naming the bridge of the source's network. */
static gboolean names_old_bridge(const Adapter *a, const GwNetPlace *place)
{
    return a->nic->bridge != NULL && is_other(a->nic->bridge, gw_net_bridge(place));
}

static GwNic *nic_on(const Adapter *a, const GwNetPlace *place)
{
    GwNic *to = gw_nic_copy(a->nic);

    replace(&to->type, place->is_bridge ? "bridge" : "network");
    replace(&to->source, place->name);
    replace(&to->port_group,
            place->group != NULL && !place->group->is_default ? place->group->name : NULL);
    replace(&to->virtual_port, virtual_port_on(a, place));
    replace(&to->bridge, NULL);
    replace(&to->target, NULL);
    g_strfreev(to->vlans);
    to->vlans = g_strdupv(a->own_vlans);
    if (gw_nic_is_none(a->nic))
        to->link_down = FALSE;
    return to;
}

static GwNic *nic_on_none(const GwNic *nic)
{
    GwNic *to = gw_nic_new();

    to->mac = g_strdup(nic->mac);
    to->model = g_strdup(nic->model);
    to->mtu = nic->mtu;
    to->type = g_strdup("ethernet");
    to->link_down = TRUE;
    return to;
}

static gboolean differs(const GwNic *from, const GwNic *to)
{
    return is_other(from->type, to->type) || is_other(from->source, to->source) ||
           is_other(from->port_group, to->port_group) ||
           is_other(from->virtual_port, to->virtual_port) || !from->link_down != !to->link_down;
}

static GwNicMove *move_of(const Adapter *a, GwNicMatch match, char *why)
{
    GwNicMove *move = gw_nic_move_new();

    move->mac = g_strdup(a->nic->mac);
    move->from = gw_record_ref((gpointer)a->nic);
    move->match = (int)match;
    move->why = why;
    return move;
}

/* It is where it was, by the same words. */
static GwNicMove *move_kept(const Adapter *a, GwNicMatch match, char *why)
{
    GwNicMove *move = move_of(a, match, why);

    move->to = gw_record_ref((gpointer)a->nic);
    return move;
}

static GwNicMove *move_to(const Adapter *a, const GwNetPlace *place, GwNicMatch match, char *why)
{
    GwNicMove *move = move_of(a, match, why);

    move->to = nic_on(a, place);
    move->changes = differs(a->nic, move->to) || names_old_bridge(a, place);
    return move;
}

/* The rules ---------------------------------------------------------------------------------- */

/* What an administrator declared is the truth: equal names of two physical networks are chance. */
static gboolean is_contradicted(const Adapter *a, const GwNetPlace *place)
{
    const char *tag = gw_net_tag(place);
    return a->tag != NULL && tag != NULL && strcmp(a->tag, tag) != 0;
}

/* Sets @place's port group to one that puts the adapter into the VLANs it is in; FALSE: none does.
 */
static gboolean fits_vlans(const Adapter *a, GwNetPlace *place)
{
    const GPtrArray *groups = place->network != NULL ? place->network->port_groups : NULL;

    place->group = NULL;
    if (a->own_vlans != NULL && a->own_vlans[0] != NULL)
        return TRUE; /* it takes them along */
    GwNetPlace by_default = *place;
    GwNic plain = { .type = (char *)"network", .source = (char *)place->name };
    if (!place->is_bridge)
        by_default.group = gw_net_of_nic(place->host, &plain).group;
    if (gw_net_same_vlans(a->vlans, gw_net_vlans(&by_default))) {
        place->group = by_default.group;
        return TRUE;
    }
    for (guint i = 0; groups != NULL && i < groups->len; i++) {
        place->group = groups->pdata[i];
        if (gw_net_same_vlans(a->vlans, gw_net_vlans(place)))
            return TRUE;
    }
    place->group = NULL;
    return FALSE;
}

static gboolean leads_out_by_bridge(const GwNetPlace *place)
{
    return g_strcmp0(gw_net_forward(place), "bridge") == 0;
}

static gboolean by_bridge(const Adapter *a, const GwNetPlace *place)
{
    const char *here = a->at.name != NULL ? gw_net_bridge(&a->at) : a->nic->bridge;
    const char *there = gw_net_bridge(place);

    return here != NULL && there != NULL && strcmp(here, there) == 0 &&
           leads_out_by_bridge(place) && (a->at.name == NULL || leads_out_by_bridge(&a->at));
}

static gboolean by_tag(const Adapter *a, const GwNetPlace *place)
{
    return a->tag != NULL && g_strcmp0(a->tag, gw_net_tag(place)) == 0;
}

static gboolean by_subnet(const Adapter *a, const GwNetPlace *place)
{
    const char *here = a->at.name != NULL ? gw_net_forward(&a->at) : NULL;

    /* A network of NAT has its subnet to itself, as every other of the same subnet has. */
    return here != NULL && g_strcmp0(here, gw_net_forward(place)) == 0 &&
           gw_net_common_subnet(&a->at, place) != NULL;
}

static gboolean is_better(const Adapter *a, const GwNetPlace *place, const GwNetPlace *than)
{
    gboolean bridge = g_strcmp0(a->nic->type, "bridge") == 0;

    if (than->name == NULL)
        return TRUE;
    if (place->is_bridge != than->is_bridge)
        return place->is_bridge == bridge;
    return g_strcmp0(place->name, than->name) < 0;
}

/* The best active place that @rule finds; its name is NULL where there is none. A host's own
 * management network is never guessed. */
static GwNetPlace best_by(const Adapter *a,
                          gboolean (*rule)(const Adapter *a, const GwNetPlace *place))
{
    GwNetPlace best = { .host = a->input->destination }, place;
    guint at = 0;

    while (gw_net_next(a->input->destination, &at, &place)) {
        if (gw_net_is_active(&place) && !gw_net_is_management(&place) && rule(a, &place) &&
            !is_contradicted(a, &place) && is_better(a, &place, &best) && fits_vlans(a, &place))
            best = place;
    }
    return best;
}

static char *vlan_words(const Adapter *a)
{
    if (a->vlans == NULL || a->vlans[0] == NULL)
        return g_strdup("");
    g_autofree char *list = g_strjoinv(", ", a->vlans);
    return g_strdup_printf(", VLAN %s", list);
}

static char *place_words(const GwNetPlace *place)
{
    return g_strdup_printf("%s '%s'", place->is_bridge ? "bridge" : "network", place->name);
}

static GwNicMove *match_name(const Adapter *a)
{
    const GwHost *destination = a->input->destination;
    GwNetPlace place = gw_net_of_nic(destination, a->nic);

    if (!gw_net_is_active(&place) || is_contradicted(a, &place))
        return NULL;
    g_autofree char *words = place_words(&place);
    char *why = g_strdup_printf("%s has a %s, too", gw_plan_host_name(destination), words);
    if (!names_old_bridge(a, &place))
        return move_kept(a, GW_NIC_NAME, why);
    GwNicMove *move = move_to(a, &place, GW_NIC_NAME, why);
    replace(&move->to->port_group, a->nic->port_group);
    return move;
}

static GwNicMove *match_bridge(const Adapter *a)
{
    GwNetPlace place = best_by(a, by_bridge);

    if (place.name == NULL)
        return NULL;
    g_autofree char *vlans = vlan_words(a);
    g_autofree char *words = place_words(&place);
    return move_to(a, &place, GW_NIC_BRIDGE,
                   g_strdup_printf("%s of %s is on the same bridge '%s'%s", words, to_name(a),
                                   gw_net_bridge(&place), vlans));
}

static GwNicMove *match_tag(const Adapter *a)
{
    GwNetPlace place = best_by(a, by_tag);

    if (place.name == NULL)
        return NULL;
    g_autofree char *vlans = vlan_words(a);
    g_autofree char *words = place_words(&place);
    return move_to(a, &place, GW_NIC_TAG,
                   g_strdup_printf("%s of %s is declared to lead to the same physical network "
                                   "'%s'%s",
                                   words, to_name(a), a->tag, vlans));
}

static GwNicMove *match_subnet(const Adapter *a)
{
    GwNetPlace place = best_by(a, by_subnet);

    if (place.name == NULL)
        return NULL;
    g_autofree char *words = place_words(&place);
    return move_to(a, &place, GW_NIC_SUBNET,
                   g_strdup_printf("%s sees the same subnet %s at its %s", to_name(a),
                                   gw_net_common_subnet(&a->at, &place), words));
}

/* What cannot be judged: libvirt attaches by the same name. */
static GwNicMove *match_untold(const Adapter *a)
{
    const GwHost *destination = a->input->destination;
    gboolean bridge = g_strcmp0(a->nic->type, "bridge") == 0;

    if (destination->facts == NULL)
        return move_kept(
            a, GW_NIC_NAME,
            g_strdup_printf("%s has not told its networks yet: by the same name", to_name(a)));
    if (bridge && a->nic->source == NULL)
        return move_kept(a, GW_NIC_KEPT, g_strdup("it names no bridge: it goes along as it is"));
    if (!bridge)
        return NULL;
    if (!gw_net_tells_bridges(destination))
        return move_kept(
            a, GW_NIC_NAME,
            g_strdup_printf("%s does not tell its bridges: by the same name", to_name(a)));
    return NULL;
}

/* Open vSwitch and its like. */
static GwNicMove *match_switch(const Adapter *a)
{
    if (g_strcmp0(a->nic->type, "bridge") != 0 || a->nic->virtual_port == NULL ||
        a->at.name != NULL)
        return NULL;
    return move_kept(
        a, GW_NIC_NAME,
        g_strdup_printf("a switch's (%s), of which hosts do not tell: by the same name",
                        a->nic->virtual_port));
}

/* What a person chose ------------------------------------------------------------------------ */

const GwNicChoice *gw_plan_nic_choice(const GwPlanInput *input, const char *mac)
{
    const GPtrArray *choices = gw_plan_options(input)->nics;

    for (guint i = 0; choices != NULL && mac != NULL && i < choices->len; i++) {
        const GwNicChoice *choice = choices->pdata[i];
        if (choice->mac != NULL && g_ascii_strcasecmp(choice->mac, mac) == 0)
            return choice;
    }
    return NULL;
}

/* Whether @job brought the VM from the destination to the source, so that what it was on is there.
 */
static gboolean came_by(const GwPlanInput *input, const GwJob *job)
{
    return job->nics != NULL && g_strcmp0(job->vm_uuid, input->vm->uuid) == 0 &&
           g_strcmp0(job->source_host_id, input->destination->id) == 0 &&
           g_strcmp0(job->destination_host_id, input->source->id) == 0;
}

static gboolean was_as_chosen(const GwJob *job, const GwNicChoice *choice, gboolean port)
{
    gboolean bridge = g_strcmp0(choice->kind, "bridge") == 0;

    for (guint i = 0; i < job->nics->len; i++) {
        const GwNicMove *move = job->nics->pdata[i];
        const GwNic *from = move->from;
        if (from != NULL && move->mac != NULL && g_ascii_strcasecmp(move->mac, choice->mac) == 0 &&
            g_strcmp0(from->type, bridge ? "bridge" : "network") == 0 &&
            !is_other(from->source, choice->network) &&
            !is_other(from->port_group, choice->port_group) &&
            (!port || from->virtual_port != NULL))
            return TRUE;
    }
    return FALSE;
}

gboolean gw_net_was_chosen(const GwPlanInput *input, const GwNicChoice *choice, gboolean port)
{
    GHashTableIter iter;
    gpointer job;

    if (choice->kind == NULL || choice->mac == NULL)
        return FALSE; /* Undo says which kind it was */
    g_hash_table_iter_init(&iter, input->fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &job)) {
        if (came_by(input, job) && was_as_chosen(job, choice, port))
            return TRUE;
    }
    return FALSE;
}

/* Whether a bridge that the destination does not list may be there all the same. */
static gboolean may_be_there(const GwPlanInput *input, const GwNic *nic, const GwNicChoice *choice)
{
    return choice->network != NULL && g_strcmp0(choice->kind, "bridge") == 0 &&
           (!gw_net_tells_bridges(input->destination) || nic->virtual_port != NULL ||
            gw_net_was_chosen(input, choice, TRUE));
}

GwNetPlace gw_net_chosen(const GwPlanInput *input, const GwNic *nic, const GwNicChoice *choice)
{
    gboolean own = g_strcmp0(nic->type, "bridge") == 0;
    gboolean first = choice->kind != NULL ? g_strcmp0(choice->kind, "bridge") == 0 : own;
    GwNetPlace place = gw_net_find(input->destination, first, choice->network);

    if (place.name == NULL && choice->kind == NULL)
        place = gw_net_find(input->destination, !first, choice->network);
    if (place.name == NULL && may_be_there(input, nic, choice))
        place.name = choice->network;
    if (place.network != NULL && !place.is_bridge) {
        GwNic named = { .type = (char *)"network",
                        .source = (char *)place.name,
                        .port_group = choice->port_group };
        place.group = gw_net_of_nic(input->destination, &named).group;
    }
    return place;
}

gboolean gw_plan_nic_can_change(const GwNic *nic)
{
    static const char *const hardware[] = { "hostdev", "vdpa", "vhostuser", NULL };
    return nic->type == NULL || !g_strv_contains(hardware, nic->type);
}

static GwNicMove *match_choice(const Adapter *a, const GwNicChoice *choice)
{
    if (choice->none && gw_nic_is_none(a->nic))
        return move_kept(a, GW_NIC_CHOSEN, g_strdup("chosen: none, as it is"));
    if (choice->none) {
        GwNicMove *move = move_of(a, GW_NIC_CHOSEN, g_strdup("chosen: none, its link goes down"));
        move->to = nic_on_none(a->nic);
        move->changes = TRUE;
        return move;
    }
    GwNetPlace place = gw_net_chosen(a->input, a->nic, choice);
    if (!gw_net_is_active(&place))
        return NULL;
    g_autofree char *words = place_words(&place);
    GwNicMove *move =
        move_to(a, &place, GW_NIC_CHOSEN, g_strdup_printf("chosen: %s of %s", words, to_name(a)));
    replace(&move->to->port_group, choice->port_group);
    move->to->link_down = move->to->link_down || choice->link_down;
    move->changes = move->changes || differs(a->nic, move->to);
    return move;
}

/* All of it ---------------------------------------------------------------------------------- */

static GwNicMove *match_by_rules(const Adapter *a)
{
    static GwNicMove *(*const rules[])(const Adapter *a) = {
        match_name, match_untold, match_bridge, match_tag, match_subnet, match_switch
    };
    GwNicMove *move = NULL;

    if (gw_nic_is_none(a->nic))
        return move_kept(a, GW_NIC_NONE, g_strdup("it has no network, and gets none"));
    if (!is_attached(a->nic))
        return move_kept(a, GW_NIC_KEPT,
                         g_strdup("it is on no network of the host: it goes along "
                                  "as it is"));
    for (guint i = 0; move == NULL && i < G_N_ELEMENTS(rules); i++)
        move = rules[i](a);
    return move;
}

static GwNicMove *match(const GwPlanInput *input, const GwNic *nic)
{
    Adapter a = look_at(input, nic);
    const GwNicChoice *choice = gw_plan_nic_choice(input, nic->mac);
    gboolean chosen = choice != NULL && gw_plan_nic_can_change(nic);
    GwNicMove *move = chosen ? match_choice(&a, choice) : match_by_rules(&a);

    if (move != NULL)
        return move;
    return move_of(
        &a, GW_NIC_UNMATCHED,
        chosen ? g_strdup_printf("the network that was chosen cannot be had on %s", to_name(&a))
               : g_strdup_printf("no network of %s matches: choose one, or none", to_name(&a)));
}

GPtrArray *gw_plan_networks(const GwPlanInput *input)
{
    const GPtrArray *nics = input->vm->nics;
    GPtrArray *moves = gw_record_array(&gw_nic_move_record);

    for (guint i = 0; nics != NULL && i < MIN(nics->len, GW_NET_NICS_MAX); i++)
        g_ptr_array_add(moves, match(input, nics->pdata[i]));
    return moves;
}
