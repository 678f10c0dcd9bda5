/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/hba.h"

/* A virtual HBA's definition (storage pool XML) as it is to be elsewhere, through libxml2: what is
 * not known here is kept as it is. */

/* @xml, a pool of type scsi with an fc_host adapter, carried by @parent and nothing else that the
 * definition said of who carries it. Free with g_free. */
char *gw_definition_hba_on(const char *xml, const char *parent, GError **error);
/* What libvirt knows of the pool by its definition; its LUNs are not in it. */
GwVirtualHba *gw_virtual_hba_from_xml(const char *xml, GError **error);
/* By what a LUN is the same on every host, of the key that libvirt gives its volume: a world-wide
 * name without the port it was seen through, or target and number on the fabric without the PCI
 * address of the HBA. NULL: the key is of that host alone. Free with g_free. */
char *gw_lun_id(const char *key);
/* The WWPN that a node device is logged in with, where it is a virtual HBA; else NULL, with @error
 * unset where it is none. */
char *gw_virtual_hba_wwpn(const char *xml, GError **error);
