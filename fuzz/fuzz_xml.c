/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hostile XML as a host could send it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever the document's encoding was. */
static void check_text(const char *text)
{
    if (text != NULL && !g_utf8_validate(text, -1, NULL))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autoptr(GwXml) xml = gw_xml_parse(text, NULL);

    if (xml == NULL)
        return 0;
    g_autofree char *name = gw_xml_string(xml, NULL, "name");
    check_text(name);
    g_autoptr(GPtrArray) disks = gw_xml_nodes(xml, NULL, "devices/disk");
    for (guint i = 0; i < disks->len; i++) {
        g_autofree char *source = gw_xml_string(xml, disks->pdata[i], "source/@file");
        check_text(source);
        g_autofree char *dump = gw_xml_dump(xml, disks->pdata[i]);
        if (dump == NULL)
            abort();
    }
    if (gw_xml_int(xml, NULL, "vcpu", 1) < 0)
        abort();
    return 0;
}
