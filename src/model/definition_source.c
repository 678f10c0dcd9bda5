/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/definition_source.h"

#include <string.h>

#include "base/error.h"

/* What a <source> says of the image itself: none of it holds for another image. */
static const char *const image_attributes[] = {
    "file", "dev",   "dir",  "pool",    "volume",  "mode",      "protocol", "name",   "query",
    "tls",  "index", "type", "managed", "fdgroup", "namespace", "path",     "driver", "tlsHostname"
};
/* The attributes of those that say how a server is talked to, which holds as long as the protocol
 * does. */
static const char *const server_attributes[] = { "query", "tls", "tlsHostname" };
/* Of the image: what part of its file it is, where its data are, and at which of its server's
 * snapshots. */
static const char *const image_elements[] = { "host",    "slices",      "dataStore", "snapshot",
                                              "address", "privateData", NULL };
/* Of how a server is talked to. */
static const char *const server_elements[] = { "auth",     "initiator",  "config",  "cookies",
                                               "ssl",      "readahead",  "timeout", "reconnect",
                                               "identity", "knownHosts", NULL };

static gboolean is_server(const GwVolume *volume)
{
    return g_strcmp0(volume->kind, "network") == 0;
}

/* The protocol of "rbd:pool/image". */
static char *protocol_of(const GwVolume *volume)
{
    const char *colon = volume->path != NULL ? strchr(volume->path, ':') : NULL;

    return colon != NULL ? g_strndup(volume->path, (gsize)(colon - volume->path)) : NULL;
}

const char *gw_definition_source_type(const char *was, const GwVolume *to)
{
    if (to->pool != NULL && to->name != NULL && !is_server(to) &&
        (g_strcmp0(was, "volume") == 0 || to->path == NULL))
        return "volume";
    if (is_server(to))
        return "network";
    if (g_strcmp0(to->kind, "block") == 0)
        return "block";
    return g_strcmp0(to->kind, "directory") == 0 ? "dir" : "file";
}

/* A label that could not be set ("labelskip") is libvirt's note on the old image. What a person
 * wrote stays where the image is of the same nature still: its owner and label are made the same
 * (R30). */
static void prune_labels(xmlNode *source, gboolean same_nature)
{
    xmlNode *next = NULL;

    for (xmlNode *child = source->children; child != NULL; child = next) {
        next = child->next;
        if (child->type != XML_ELEMENT_NODE || strcmp((const char *)child->name, "seclabel") != 0)
            continue;
        g_autofree char *skipped = gw_xml_attribute(child, "labelskip");
        if (!same_nature || g_strcmp0(skipped, "yes") == 0)
            gw_xml_remove(child);
    }
}

void gw_definition_source_prune(xmlNode *source, const GwVolume *to, gboolean same_nature)
{
    static const char *const reservations[] = { "reservations", NULL };
    g_autofree char *was = gw_xml_attribute(source, "protocol");
    g_autofree char *is = is_server(to) ? protocol_of(to) : NULL;
    gboolean same_protocol = was != NULL && g_strcmp0(was, is) == 0;

    for (guint i = 0; i < G_N_ELEMENTS(image_attributes); i++) {
        gboolean keep = FALSE;
        for (guint k = 0; same_protocol && k < G_N_ELEMENTS(server_attributes); k++)
            keep = keep || strcmp(image_attributes[i], server_attributes[k]) == 0;
        if (!keep)
            gw_xml_set_attribute(source, image_attributes[i], NULL);
    }
    gw_xml_remove_children(source, image_elements);
    if (!same_protocol)
        gw_xml_remove_children(source, server_elements);
    if (g_strcmp0(to->kind, "block") != 0)
        gw_xml_remove_children(source, reservations);
    prune_labels(source, same_nature);
}

/* "host", "host:port", "[::1]:port", "/socket" as source_hosts of the driver wrote them. */
static void add_host(xmlNode *source, const char *text)
{
    xmlNode *host = gw_xml_add(source, source->children, "host", NULL);
    const char *bracket = *text == '[' ? strchr(text, ']') : NULL;
    const char *colon = strrchr(bracket != NULL ? bracket : text, ':');
    gboolean bare_six = bracket == NULL && colon != NULL && strchr(text, ':') != colon;

    if (*text == '/') {
        gw_xml_set_attribute(host, "transport", "unix");
        gw_xml_set_attribute(host, "socket", text);
        return;
    }
    if (bare_six) /* an IPv6 address; its port, if any, cannot be told from it */
        colon = NULL;
    gsize length = colon != NULL ? (gsize)(colon - text) : strlen(text);
    g_autofree char *name = bracket != NULL ? g_strndup(text + 1, (gsize)(bracket - text) - 1)
                                            : g_strndup(text, length);
    gw_xml_set_attribute(host, "name", name);
    gw_xml_set_attribute(host, "port", colon != NULL ? colon + 1 : NULL);
}

static gboolean name_server(xmlNode *source, const GwVolume *to, GError **error)
{
    g_autofree char *protocol = protocol_of(to);

    if (protocol == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL,
                     "its new image '%s' is on a server, required is PROTOCOL:NAME",
                     to->path != NULL ? to->path : "");
        return FALSE;
    }
    gw_xml_set_attribute(source, "protocol", protocol);
    gw_xml_set_attribute(source, "name", to->path + strlen(protocol) + 1);
    g_auto(GStrv) hosts = g_strsplit(to->server != NULL ? to->server : "", ",", -1);
    for (guint i = g_strv_length(hosts); i > 0; i--) {
        if (*hosts[i - 1] != '\0')
            add_host(source, hosts[i - 1]);
    }
    return TRUE;
}

gboolean gw_definition_source_name(xmlNode *source, const char *type, const GwVolume *to,
                                   GError **error)
{
    if (strcmp(type, "network") == 0)
        return name_server(source, to, error);
    if (strcmp(type, "volume") == 0) {
        gw_xml_set_attribute(source, "pool", to->pool);
        gw_xml_set_attribute(source, "volume", to->name);
        return TRUE;
    }
    if (to->path == NULL || !g_path_is_absolute(to->path)) {
        gw_error_set(error, GW_ERR_INVALID, NULL,
                     "its new image is '%s', required is an absolute path or a pool's volume",
                     to->path != NULL ? to->path : "");
        return FALSE;
    }
    gw_xml_set_attribute(source, strcmp(type, "block") == 0 ? "dev" : type, to->path);
    return TRUE;
}
