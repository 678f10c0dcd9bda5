/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/text.h"
#include "base/xml.h"
#include "model/libvirt_xml.h"

/* HBAs as libvirt's node devices show them (formatnode.html, "scsi_host"). */

static char *value(GwXml *xml, const char *path)
{
    g_autofree char *text = gw_xml_string(xml, NULL, path);

    return text != NULL && *text != '\0' ? gw_text_printable(text, GW_TEXT_NAME_MAX) : NULL;
}

GwHba *gw_libvirt_hba_from_xml(const char *text, GError **error)
{
    static const char host[] = "/device/capability[@type='scsi_host']";
    g_autoptr(GwXml) xml = gw_xml_parse(text, error);
    g_autofree char *fc = g_strconcat(host, "/capability[@type='fc_host']", NULL);
    g_autofree char *ports = g_strconcat(host, "/capability[@type='vport_ops']", NULL);

    if (xml == NULL || !gw_xml_has(xml, NULL, fc) || !gw_xml_has(xml, NULL, ports))
        return NULL;
    g_autofree char *wwnn = g_strconcat(fc, "/wwnn", NULL);
    g_autofree char *wwpn = g_strconcat(fc, "/wwpn", NULL);
    g_autofree char *fabric = g_strconcat(fc, "/fabric_wwn", NULL);
    g_autofree char *max = g_strconcat(ports, "/max_vports", NULL);
    g_autofree char *used = g_strconcat(ports, "/vports", NULL);
    g_autoptr(GwHba) hba = gw_hba_new();

    hba->name = value(xml, "/device/name");
    if (hba->name == NULL)
        return NULL; /* nothing could be asked of it */
    hba->wwnn = value(xml, wwnn);
    hba->wwpn = value(xml, wwpn);
    hba->fabric_wwn = value(xml, fabric);
    hba->max_vports = gw_xml_int(xml, NULL, max, 0);
    hba->vports = gw_xml_int(xml, NULL, used, 0);
    return g_steal_pointer(&hba);
}
