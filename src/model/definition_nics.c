/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/definition_nics.h"

#include <string.h>

#include "base/error.h"
#include "base/xml.h"

/* libvirt's domain XML (formatdomain.html, "Network interfaces"). Only what belongs to the old
 * attachment is changed or taken away; an adapter keeps its MAC address, model, address, driver,
 * limits, filters and whatever is not known here. */

#define NICS_CHANGED "Plan the move anew: the VM's network adapters have changed."

/* What a <source> says of the attachment itself: none of it holds for another. */
static const char *const source_attributes[] = { "network", "bridge",  "portgroup", "portid",
                                                 "dev",     "mode",    "path",      "type",
                                                 "name",    "address", "port",      "managed" };
static const char *const source_elements[] = {
    "address", "local", "reconnect", "ip", "route", NULL
};
/* Of an adapter that was on something else than a network or a bridge. */
static const char *const foreign_elements[] = { "backend", "portForward", "ip", "route", NULL };
/* A host's own program, and a device's name there. */
static const char *const host_elements[] = { "script", "downscript", "target", NULL };

static void remove_child(xmlNode *node, const char *name)
{
    const char *const names[] = { name, NULL };
    gw_xml_remove_children(node, names);
}

static gboolean is_type(const char *type, const char *other)
{
    return g_strcmp0(type, other) == 0;
}

static gboolean is_of_host(const char *type)
{
    return is_type(type, "network") || is_type(type, "bridge");
}

/* The interface of @mac, after those that *@skip counts down. */
static xmlNode *find_nic_among(xmlNode *devices, const char *mac, guint *skip)
{
    for (xmlNode *child = devices->children; child != NULL; child = child->next) {
        if (child->type != XML_ELEMENT_NODE || strcmp((const char *)child->name, "interface") != 0)
            continue;
        xmlNode *node = gw_xml_child(child, "mac");
        g_autofree char *address = node != NULL ? gw_xml_attribute(node, "address") : NULL;
        if (address != NULL && g_ascii_strcasecmp(address, mac) == 0 && (*skip)-- == 0)
            return child;
    }
    return NULL;
}

/* The interface of @mac, the one that @skip others of the same address come before. libvirt reads,
 * as libvirt_xml.c does, every <devices> that there is. */
static xmlNode *find_nic(xmlNode *domain, const char *mac, guint skip)
{
    xmlNode *nic = NULL;

    for (xmlNode *child = domain->children; child != NULL && mac != NULL && nic == NULL;
         child = child->next) {
        if (child->type == XML_ELEMENT_NODE && strcmp((const char *)child->name, "devices") == 0)
            nic = find_nic_among(child, mac, &skip);
    }
    return nic;
}

/* How many adapters before @index have the same address: two may. */
static guint twins_before(const GPtrArray *nics, guint index)
{
    const GwNicMove *move = nics->pdata[index];
    guint count = 0;

    for (guint i = 0; i < index && move->mac != NULL; i++) {
        const GwNicMove *other = nics->pdata[i];
        count += other->mac != NULL && g_ascii_strcasecmp(other->mac, move->mac) == 0 ? 1 : 0;
    }
    return count;
}

/* Parts of an adapter ------------------------------------------------------------------------ */

static void set_source(xmlNode *nic, const char *was, const GwNic *to)
{
    xmlNode *source = gw_xml_child(nic, "source");

    if (!is_of_host(to->type)) {
        remove_child(nic, "source");
        return;
    }
    if (source == NULL) {
        xmlNode *mac = gw_xml_child(nic, "mac");
        source = gw_xml_add(nic, mac != NULL ? mac->next : NULL, "source", NULL);
    }
    for (guint i = 0; i < G_N_ELEMENTS(source_attributes); i++)
        gw_xml_set_attribute(source, source_attributes[i], NULL);
    if (!is_of_host(was))
        gw_xml_remove_children(source, source_elements);
    gw_xml_set_attribute(source, to->type, to->source);
    if (is_type(to->type, "network"))
        gw_xml_set_attribute(source, "portgroup", to->port_group);
}

/* A switch of another kind knows nothing of the port's parameters. */
static void set_virtual_port(xmlNode *nic, const GwNic *to)
{
    xmlNode *port = gw_xml_child(nic, "virtualport");
    g_autofree char *type = port != NULL ? gw_xml_attribute(port, "type") : NULL;

    if (port != NULL && (to->virtual_port == NULL || g_strcmp0(type, to->virtual_port) != 0))
        gw_xml_remove(port);
    if (to->virtual_port != NULL && gw_xml_child(nic, "virtualport") == NULL &&
        is_type(to->type, "bridge")) {
        port = gw_xml_add(nic, NULL, "virtualport", NULL);
        gw_xml_set_attribute(port, "type", to->virtual_port);
    }
}

static void set_vlans(xmlNode *nic, const GwNic *to, gboolean inactive)
{
    gboolean none = to->vlans == NULL || to->vlans[0] == NULL;

    /* What a network gave the running adapter, the next one gives itself, or not. */
    if (!is_of_host(to->type) || (none && !inactive))
        remove_child(nic, "vlan");
}

static void set_link(xmlNode *nic, const GwNic *to)
{
    xmlNode *link = gw_xml_child(nic, "link");
    g_autofree char *state = link != NULL ? gw_xml_attribute(link, "state") : NULL;

    if ((g_strcmp0(state, "down") == 0) == !!to->link_down)
        return;
    if (link == NULL)
        link = gw_xml_add(nic, NULL, "link", NULL);
    gw_xml_set_attribute(link, "state", to->link_down ? "down" : "up");
}

/* What libvirt allows on some attachments only: it would refuse the whole definition. */
static void drop_limited(xmlNode *nic, const GwNic *to)
{
    xmlNode *bandwidth = gw_xml_child(nic, "bandwidth");
    xmlNode *inbound = bandwidth != NULL ? gw_xml_child(bandwidth, "inbound") : NULL;

    if (inbound != NULL && !is_type(to->type, "network"))
        gw_xml_set_attribute(inbound, "floor", NULL);
    if (!is_of_host(to->type))
        remove_child(nic, "port"); /* isolated from other ports of its bridge */
}

static void move_nic(xmlNode *nic, const GwNic *to, gboolean inactive)
{
    g_autofree char *was = gw_xml_attribute(nic, "type");

    if (!is_of_host(was) && !is_type(was, "ethernet"))
        gw_xml_remove_children(nic, foreign_elements);
    if (!is_type(was, to->type))
        gw_xml_remove_children(nic, host_elements);
    gw_xml_set_attribute(nic, "type", to->type);
    set_source(nic, was, to);
    set_virtual_port(nic, to);
    set_vlans(nic, to, inactive);
    set_link(nic, to);
    drop_limited(nic, to);
}

/* Definitions -------------------------------------------------------------------------------- */

static gboolean is_changed(const GwNicMove *move)
{
    return move->changes && move->to != NULL;
}

static gboolean check_move(const GwNicMove *move, GError **error)
{
    const GwNic *to = move->to;
    gboolean named = to->source != NULL && *to->source != '\0';

    if (is_of_host(to->type) ? named : is_type(to->type, "ethernet"))
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID, NULL,
                 "required is a network, a bridge or none, not type '%s' of '%s'",
                 to->type != NULL ? to->type : "", named ? to->source : "");
    return FALSE;
}

static gboolean move_all(xmlNode *domain, const GPtrArray *nics, gboolean inactive, GError **error)
{
    for (guint i = 0; nics != NULL && i < nics->len; i++) {
        const GwNicMove *move = nics->pdata[i];
        xmlNode *nic = is_changed(move) ? find_nic(domain, move->mac, twins_before(nics, i)) : NULL;
        gboolean well = !is_changed(move) || check_move(move, error);
        if (well && is_changed(move) && nic == NULL && !inactive) {
            gw_error_set(error, GW_ERR_NOT_FOUND, NICS_CHANGED,
                         "the definition has no such adapter");
            well = FALSE;
        }
        if (!well) {
            g_prefix_error(error, "network adapter %s: ", move->mac != NULL ? move->mac : "(none)");
            return FALSE;
        }
        if (nic != NULL)
            move_nic(nic, move->to, inactive);
    }
    return TRUE;
}

static GwXml *parse(const char *text, gboolean snapshot, GError **error)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text != NULL ? text : "", error);
    const char *root = xml != NULL ? (const char *)gw_xml_root(xml)->name : NULL;

    if (root == NULL)
        return NULL;
    if (strcmp(root, "domain") == 0 || (snapshot && strcmp(root, "domainsnapshot") == 0))
        return g_steal_pointer(&xml);
    gw_error_set(error, GW_ERR_INVALID, NULL, "not a <domain> but a <%.100s>", root);
    return NULL;
}

char *gw_definition_with_nics(const char *text, const GPtrArray *nics, GError **error)
{
    g_autoptr(GwXml) xml = parse(text, FALSE, error);

    if (xml == NULL || !move_all(gw_xml_root(xml), nics, FALSE, error))
        return NULL;
    return gw_xml_dump(xml, gw_xml_root(xml));
}

char *gw_definition_inactive_nics(const char *text, const GPtrArray *nics, GError **error)
{
    static const char *const inside[] = { "domain", "inactiveDomain" };
    g_autoptr(GwXml) xml = parse(text, TRUE, error);

    if (xml == NULL)
        return NULL;
    xmlNode *root = gw_xml_root(xml);
    if (strcmp((const char *)root->name, "domain") == 0) {
        if (!move_all(root, nics, TRUE, error))
            return NULL;
        return gw_xml_dump(xml, root);
    }
    for (guint i = 0; i < G_N_ELEMENTS(inside); i++) {
        xmlNode *domain = gw_xml_child(root, inside[i]);
        if (domain != NULL && !move_all(domain, nics, TRUE, error))
            return NULL;
    }
    return gw_xml_dump(xml, root);
}

/* Back as it was ----------------------------------------------------------------------------- */

/* Whether the saved adapter is on the network or bridge that @to names. */
static gboolean is_on(xmlNode *nic, const GwNic *to)
{
    g_autofree char *type = gw_xml_attribute(nic, "type");
    xmlNode *source = gw_xml_child(nic, "source");
    g_autofree char *name =
        source != NULL && is_of_host(type) ? gw_xml_attribute(source, type) : NULL;

    return name != NULL && is_type(type, to->type) && g_strcmp0(name, to->source) == 0;
}

/* Bandwidth that was promised on the old network, where the rest of the limits still hold. */
static void take_back_floor(xmlNode *nic, xmlNode *saved)
{
    xmlNode *now = gw_xml_child(nic, "bandwidth"), *then = gw_xml_child(saved, "bandwidth");

    now = now != NULL ? gw_xml_child(now, "inbound") : NULL;
    then = then != NULL ? gw_xml_child(then, "inbound") : NULL;
    g_autofree char *floor = then != NULL ? gw_xml_attribute(then, "floor") : NULL;
    if (now != NULL && floor != NULL)
        gw_xml_set_attribute(now, "floor", floor);
}

static void take_back(xmlNode *nic, xmlNode *saved)
{
    static const char *const parts[] = { "source",     "virtualport", "vlan", "script",
                                         "downscript", "port",        NULL };

    gw_xml_remove_children(nic, parts);
    for (xmlNode *child = saved->children; child != NULL; child = child->next) {
        if (child->type == XML_ELEMENT_NODE && g_strv_contains(parts, (const char *)child->name))
            xmlAddChild(nic, xmlDocCopyNode(child, nic->doc, 1));
    }
    take_back_floor(nic, saved);
}

char *gw_definition_restore_nics(const char *text, const char *saved_text, const GPtrArray *nics,
                                 GError **error)
{
    g_autoptr(GwXml) xml = parse(text, FALSE, error);
    g_autoptr(GwXml) saved = xml != NULL ? parse(saved_text, FALSE, error) : NULL;

    if (saved == NULL)
        return NULL;
    for (guint i = 0; nics != NULL && i < nics->len; i++) {
        const GwNicMove *move = nics->pdata[i];
        guint skip = twins_before(nics, i);
        xmlNode *nic = is_changed(move) ? find_nic(gw_xml_root(xml), move->mac, skip) : NULL;
        xmlNode *old = nic != NULL ? find_nic(gw_xml_root(saved), move->mac, skip) : NULL;
        if (old != NULL && is_on(old, move->to))
            take_back(nic, old);
    }
    return gw_xml_dump(xml, gw_xml_root(xml));
}
