/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/definition_hba.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "base/xml.h"

#define ADAPTER "/pool[@type='scsi']/source/adapter[@type='fc_host']"

static char *value(GwXml *xml, const char *path)
{
    g_autofree char *text = gw_xml_string(xml, NULL, path);

    return text != NULL && *text != '\0' ? gw_text_printable(text, GW_TEXT_NAME_MAX) : NULL;
}

static GwXml *parse(const char *text, GError **error)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text != NULL ? text : "", error);

    if (xml == NULL || gw_xml_has(xml, NULL, ADAPTER))
        return g_steal_pointer(&xml);
    gw_error_set(error, GW_ERR_CONFLICT, "Look at its definition: virsh pool-dumpxml.",
                 "the pool is no virtual HBA (of type scsi, with an fc_host adapter)");
    return NULL;
}

/* How libvirt is told which HBA carries it; and "managed" says whether the virtual HBA was made by
 * hand on that very host. */
char *gw_definition_hba_on(const char *text, const char *parent, GError **error)
{
    static const char *const of_host[] = { "parent_wwnn", "parent_wwpn", "parent_fabric_wwn",
                                           "managed" };
    g_autoptr(GwXml) xml = parse(text, error);
    g_autoptr(GPtrArray) adapters = xml != NULL ? gw_xml_nodes(xml, NULL, ADAPTER) : NULL;

    if (adapters == NULL)
        return NULL;
    for (guint i = 0; i < G_N_ELEMENTS(of_host); i++)
        gw_xml_set_attribute(adapters->pdata[0], of_host[i], NULL);
    gw_xml_set_attribute(adapters->pdata[0], "parent", parent);
    return gw_xml_dump(xml, gw_xml_root(xml));
}

GwVirtualHba *gw_virtual_hba_from_xml(const char *text, GError **error)
{
    g_autoptr(GwXml) xml = parse(text, error);

    if (xml == NULL)
        return NULL;
    GwVirtualHba *hba = gw_virtual_hba_new();
    hba->pool = value(xml, "/pool/name");
    hba->uuid = value(xml, "/pool/uuid");
    hba->wwpn = value(xml, ADAPTER "/@wwpn");
    hba->luns = gw_record_array(&gw_lun_record);
    return hba;
}

/* "SERIAL_PORT5" through a virtual HBA; "/dev/disk/by-path/pci-…-fc-0xTARGET-lun-0" or the like
 * where the host has no program that reads serial numbers. */
char *gw_lun_id(const char *key)
{
    const char *port = key != NULL ? g_strrstr(key, "_PORT") : NULL;
    const char *fabric = key != NULL ? strstr(key, "-fc-0x") : NULL;

    if (key == NULL || *key == '\0')
        return NULL;
    if (g_str_has_prefix(key, "/dev/disk/by-path/"))
        return fabric != NULL ? gw_text_printable(fabric + 1, GW_TEXT_NAME_MAX) : NULL;
    if (*key == '/' && !g_str_has_prefix(key, "/dev/disk/by-id/wwn-"))
        return NULL;
    g_autofree char *serial =
        port != NULL && port != key ? g_strndup(key, (gsize)(port - key)) : g_strdup(key);
    return gw_text_printable(serial, GW_TEXT_NAME_MAX);
}

char *gw_virtual_hba_wwpn(const char *text, GError **error)
{
    static const char host[] = "/device/capability[@type='scsi_host']";
    g_autoptr(GwXml) xml = gw_xml_parse(text != NULL ? text : "", error);
    g_autofree char *ports = g_strconcat(host, "/capability[@type='vport_ops']", NULL);
    g_autofree char *wwpn = g_strconcat(host, "/capability[@type='fc_host']/wwpn", NULL);

    return xml != NULL && !gw_xml_has(xml, NULL, ports) ? value(xml, wwpn) : NULL;
}
