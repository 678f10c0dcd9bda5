/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <libxml/xpath.h>

#define GW_XML_MAX (4 * 1024 * 1024) /* ceiling of a document from a host, bytes */

/* A parsed document with its XPath context. Hosts are not trusted: no network, no entities, no
 * DTD, a ceiling on the size. */
typedef struct GwXml GwXml;

GwXml *gw_xml_parse(const char *text, GError **error);
void gw_xml_free(GwXml *xml);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwXml, gw_xml_free)

/* The string value of the first node @path selects below @node (NULL: the root), or NULL. */
char *gw_xml_string(GwXml *xml, xmlNode *node, const char *path);
/* The same as a number; @fallback where absent, negative or malformed. */
gint64 gw_xml_int(GwXml *xml, xmlNode *node, const char *path, gint64 fallback);
gboolean gw_xml_has(GwXml *xml, xmlNode *node, const char *path);
/* The nodes @path selects, in document order: array of xmlNode* that belong to @xml. */
GPtrArray *gw_xml_nodes(GwXml *xml, xmlNode *node, const char *path);
/* The text of @node's subtree as XML. */
char *gw_xml_dump(GwXml *xml, xmlNode *node);
