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

/* Changing a document. Text is taken as it is: it is escaped where it is written. */
xmlNode *gw_xml_root(GwXml *xml);
/* The first child element of @node called @name, or NULL. */
xmlNode *gw_xml_child(xmlNode *node, const char *name);
/* A new child element, the last of @node, or right before @before (NULL: the last). @text may be
 * NULL. Belongs to the document. */
xmlNode *gw_xml_add(xmlNode *node, xmlNode *before, const char *name, const char *text);
void gw_xml_set_text(xmlNode *node, const char *text);
/* An attribute, or NULL where it is not there. Free with g_free. */
char *gw_xml_attribute(xmlNode *node, const char *name);
/* @value NULL: takes it away. */
void gw_xml_set_attribute(xmlNode *node, const char *name, const char *value);
/* Takes @node, and what is below it, out of the document, and the white space before it. */
void gw_xml_remove(xmlNode *node);
/* Its elements of these names, each as above. */
void gw_xml_remove_children(xmlNode *node, const char *const *names);
