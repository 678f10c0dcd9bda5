/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/xml.h"
#include "model/libvirt_xml.h"

/* What the files that read definitions share. */

/* One definition being read, and what in it could not be used. */
typedef struct {
    GwXml *xml;
    char *problem;
} GwLibvirtReader;

/* A value that is there and of a usable length, or NULL. Free with g_free. */
char *gw_libvirt_value(GwLibvirtReader *reader, xmlNode *node, const char *path);

/* libvirt_xml_network.c: an <interface>, but for what is the host's hardware. */
GwNic *gw_libvirt_read_nic(GwLibvirtReader *reader, xmlNode *node);
