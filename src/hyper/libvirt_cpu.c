/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "base/xml.h"
#include "hyper/libvirt_internal.h"

/* Whether a VM's CPU can run on a host. Only libvirt's own comparison answers; where it cannot, the
 * answer is an error (unknown), never a verdict. */

static gboolean cannot_tell(GError **error, const char *why)
{
    gw_error_set(error, GW_ERR_UNSUPPORTED, NULL, "the host cannot compare this CPU: %s", why);
    return FALSE;
}

static gboolean judge(int result, GwReply *reply, GError **error)
{
    switch (result) {
    case VIR_CPU_COMPARE_IDENTICAL:
    case VIR_CPU_COMPARE_SUPERSET:
        reply->verdict = TRUE;
        return TRUE;
    case VIR_CPU_COMPARE_INCOMPATIBLE:
        reply->verdict = FALSE;
        reply->text = g_strdup("the host's CPU lacks features that the VM's CPU has");
        return TRUE;
    default:
        return cannot_tell(error, virGetLastErrorMessage());
    }
}

/* A libvirt that is older than the VM's may not know a feature or model by name: it can run no VM
 * that has it. It is all that it says of that. */
static gboolean is_unknown_name(void)
{
    const char *message = virGetLastErrorMessage();

    return strstr(message, "Unknown CPU feature") != NULL ||
           strstr(message, "Unknown CPU model") != NULL;
}

/* With FAIL_INCOMPATIBLE libvirt names the features that are missing, as an error. */
static int compare(virConnectPtr ptr, const GwRequest *request, gboolean of_host, char **why)
{
    const guint flags = VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE;
    const char *virt = request->number == 1 ? "qemu" : "kvm";
    const char *machine = request->text2 != NULL && *request->text2 != '\0' ? request->text2 : NULL;
    /* A host's own CPU (what host-passthrough is there) is compared with this host's; a VM's with
     * what QEMU offers here. */
    int result = of_host ? virConnectCompareCPU(ptr, request->text, flags)
                         : virConnectCompareHypervisorCPU(ptr, NULL, NULL, machine, virt,
                                                          request->text, flags);

    if (result < 0 && (gw_lv_last_code() == VIR_ERR_CPU_INCOMPATIBLE || is_unknown_name())) {
        *why = gw_text_printable(virGetLastErrorMessage(), GW_TEXT_MESSAGE_MAX);
        return VIR_CPU_COMPARE_INCOMPATIBLE;
    }
    return result;
}

gboolean gw_lv_op_cpu_compare(GwLvTask *task, GwReply *reply, GError **error)
{
    const GwRequest *request = task->request;
    g_autofree char *why = NULL;

    if (request->text == NULL)
        return cannot_tell(error, "no CPU was given");
    g_autoptr(GwXml) xml = gw_xml_parse(request->text, error);
    if (xml == NULL)
        return FALSE;
    g_autofree char *mode = gw_xml_string(xml, NULL, "/cpu/@mode");
    /* These stand for whatever the source host has, which is not in the text. */
    if (mode != NULL && strcmp(mode, "custom") != 0)
        return cannot_tell(error, "its mode does not name a model");
    if (!gw_xml_has(xml, NULL, "/cpu/model"))
        return cannot_tell(error, "it names no model");

    gboolean of_host = gw_xml_has(xml, NULL, "/cpu/arch");
    int result = compare(task->conn->ptr, request, of_host, &why);
    if (!judge(result, reply, error))
        return FALSE;
    if (!reply->verdict && why != NULL) {
        g_free(reply->text);
        reply->text = g_steal_pointer(&why);
    }
    return TRUE;
}
