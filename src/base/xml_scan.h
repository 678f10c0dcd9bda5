/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Of one element, those that declare namespaces included. libvirt writes some ten at most. */
#define GW_XML_ATTRIBUTES_MAX 512

/* What has to be known of a text in UTF-8 before it is parsed at all: that it has no DTD, and no
 * element with more attributes than that. libxml2 compares each attribute with all before it, so
 * that 40,000 of them, 400 KB, keep it busy for half a minute. What is not well formed otherwise
 * is left to the parser. */
gboolean gw_xml_scan(const char *text, GError **error);
