/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/xml.h"

#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/tree.h>
#include <string.h>

#include "base/error.h"
#include "base/xml_scan.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* editors write it before UTF-8 */

struct GwXml {
    xmlDoc *doc;
    xmlXPathContext *xpath;
};

static void ignore_error(void *context, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void ignore_error(void *context, const char *format, ...)
{
    (void)context;
    (void)format;
}

/* Pushed to the parser, which then ends at the first thing that is not well-formed. When it reads
 * by itself it goes on to the end, and finds elements in what gw_xml_scan() rightly skipped. */
static xmlDoc *parse(const char *text)
{
    xmlParserCtxt *parser = xmlCreatePushParserCtxt(NULL, NULL, NULL, 0, NULL);
    xmlDoc *doc = NULL;

    xmlResetLastError();
    if (parser == NULL)
        return NULL;
    /* Whatever encoding it declares: libvirt writes UTF-8, and what was looked at is what is read.
     */
    xmlCtxtUseOptions(parser, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
                                  XML_PARSE_IGNORE_ENC);
    if (g_str_has_prefix(text, BYTE_ORDER_MARK))
        text += strlen(BYTE_ORDER_MARK);
    xmlSwitchEncoding(parser, XML_CHAR_ENCODING_UTF8);
    xmlParseChunk(parser, text, (int)strlen(text), TRUE);
    if (parser->wellFormed)
        doc = g_steal_pointer(&parser->myDoc);
    xmlFreeDoc(parser->myDoc);
    xmlFreeParserCtxt(parser);
    return doc;
}

GwXml *gw_xml_parse(const char *text, GError **error)
{
    gsize length = strlen(text);

    if (length > GW_XML_MAX) {
        gw_error_set(error, GW_ERR_TOO_LARGE,
                     "Reduce the definition's size (metadata, snapshots, devices) on its host.",
                     "XML of %" G_GSIZE_FORMAT " bytes, at most %d are read", length, GW_XML_MAX);
        return NULL;
    }

    if (!gw_xml_scan(text, error))
        return NULL;

    g_autoptr(GwXml) xml = g_new0(GwXml, 1);
    xml->doc = parse(text);
    if (xml->doc == NULL) {
        const xmlError *last = xmlGetLastError();
        const char *said = last != NULL && last->message != NULL ? last->message : "unreadable";
        const char *why = text[strspn(text, " \t\r\n")] == '\0' ? "empty" : said;
        g_autofree char *line = g_strchomp(g_strdup(why));
        gw_error_set(error, GW_ERR_INVALID, "Correct the definition on its host (virsh edit).",
                     "not usable XML: %s", line);
        return NULL;
    }
    xml->xpath = xmlXPathNewContext(xml->doc);
    xmlSetGenericErrorFunc(NULL, ignore_error);
    return g_steal_pointer(&xml);
}

void gw_xml_free(GwXml *xml)
{
    if (xml == NULL)
        return;
    if (xml->xpath != NULL)
        xmlXPathFreeContext(xml->xpath);
    if (xml->doc != NULL)
        xmlFreeDoc(xml->doc);
    g_free(xml);
}

static xmlXPathObject *eval(GwXml *xml, xmlNode *node, const char *path)
{
    xml->xpath->node = node != NULL ? node : xmlDocGetRootElement(xml->doc);
    return xmlXPathEvalExpression((const xmlChar *)path, xml->xpath);
}

GPtrArray *gw_xml_nodes(GwXml *xml, xmlNode *node, const char *path)
{
    GPtrArray *nodes = g_ptr_array_new();
    xmlXPathObject *found = eval(xml, node, path);

    if (found != NULL && found->type == XPATH_NODESET && found->nodesetval != NULL) {
        for (int i = 0; i < found->nodesetval->nodeNr; i++)
            g_ptr_array_add(nodes, found->nodesetval->nodeTab[i]);
    }
    xmlXPathFreeObject(found);
    return nodes;
}

char *gw_xml_string(GwXml *xml, xmlNode *node, const char *path)
{
    g_autoptr(GPtrArray) nodes = gw_xml_nodes(xml, node, path);
    if (nodes->len == 0)
        return NULL;

    xmlChar *content = xmlNodeGetContent(nodes->pdata[0]);
    char *copy = g_strdup((const char *)content);
    xmlFree(content);
    return copy;
}

gint64 gw_xml_int(GwXml *xml, xmlNode *node, const char *path, gint64 fallback)
{
    g_autofree char *text = gw_xml_string(xml, node, path);
    guint64 value = 0;

    if (text == NULL)
        return fallback;
    if (!g_ascii_string_to_unsigned(g_strstrip(text), 10, 0, G_MAXINT64, &value, NULL))
        return fallback;
    return (gint64)value;
}

gboolean gw_xml_has(GwXml *xml, xmlNode *node, const char *path)
{
    g_autoptr(GPtrArray) nodes = gw_xml_nodes(xml, node, path);
    return nodes->len > 0;
}

char *gw_xml_dump(GwXml *xml, xmlNode *node)
{
    xmlBuffer *buffer = xmlBufferCreate();
    xmlNodeDump(buffer, xml->doc, node, 0, 0);
    char *copy = g_strdup((const char *)xmlBufferContent(buffer));
    xmlBufferFree(buffer);
    return copy;
}

xmlNode *gw_xml_root(GwXml *xml)
{
    return xmlDocGetRootElement(xml->doc);
}

xmlNode *gw_xml_child(xmlNode *node, const char *name)
{
    for (xmlNode *child = node->children; child != NULL; child = child->next) {
        if (child->type == XML_ELEMENT_NODE && strcmp((const char *)child->name, name) == 0)
            return child;
    }
    return NULL;
}

xmlNode *gw_xml_add(xmlNode *node, xmlNode *before, const char *name, const char *text)
{
    xmlNode *child = xmlNewDocNode(node->doc, NULL, (const xmlChar *)name, NULL);

    if (text != NULL)
        gw_xml_set_text(child, text);
    if (before != NULL)
        return xmlAddPrevSibling(before, child);
    return xmlAddChild(node, child);
}

void gw_xml_set_text(xmlNode *node, const char *text)
{
    xmlNodeSetContent(node, NULL);
    xmlAddChild(node, xmlNewDocText(node->doc, (const xmlChar *)text));
}

char *gw_xml_attribute(xmlNode *node, const char *name)
{
    xmlChar *value = xmlGetNoNsProp(node, (const xmlChar *)name);
    char *copy = g_strdup((const char *)value);

    xmlFree(value);
    return copy;
}

void gw_xml_set_attribute(xmlNode *node, const char *name, const char *value)
{
    if (value != NULL)
        xmlSetProp(node, (const xmlChar *)name, (const xmlChar *)value);
    else
        xmlUnsetProp(node, (const xmlChar *)name);
}

void gw_xml_remove(xmlNode *node)
{
    xmlNode *space = node->prev;

    if (space != NULL && xmlIsBlankNode(space)) {
        xmlUnlinkNode(space);
        xmlFreeNode(space);
    }
    xmlUnlinkNode(node);
    xmlFreeNode(node);
}

void gw_xml_remove_children(xmlNode *node, const char *const *names)
{
    xmlNode *next = NULL;

    for (xmlNode *child = node->children; child != NULL; child = next) {
        next = child->next;
        if (child->type == XML_ELEMENT_NODE && g_strv_contains(names, (const char *)child->name))
            gw_xml_remove(child);
    }
}
