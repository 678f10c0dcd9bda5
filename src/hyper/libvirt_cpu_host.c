/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "hyper/libvirt_internal.h"
#include "model/libvirt_xml.h"

/* What a host can give VMs as a CPU (facts), and the baseline of several. */

/* The same CPU with every feature named, those of its model too. NULL: libvirt cannot tell. */
static GwCpu *expand(virConnectPtr ptr, const char *arch, const char *virt, const char *xml)
{
    const char *cpus[] = { xml };
    char *text = virConnectBaselineHypervisorCPU(ptr, NULL, arch, NULL, virt, cpus, 1,
                                                 VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES |
                                                     VIR_CONNECT_BASELINE_CPU_MIGRATABLE);
    GwCpu *cpu = text != NULL ? gw_libvirt_cpu_from_xml(text, NULL) : NULL;

    free(text);
    return cpu;
}

static void read_cpu(virConnectPtr ptr, const char *virt, GwHostFacts *facts)
{
    char *text = virConnectGetDomainCapabilities(ptr, NULL, facts->arch, NULL, virt, 0);
    GwHostCpu *host = text != NULL ? gw_libvirt_host_cpu_from_xml(text) : NULL;

    free(text);
    if (host == NULL)
        return;
    g_autoptr(GwCpu) full = host->xml != NULL ? expand(ptr, facts->arch, virt, host->xml) : NULL;
    if (full != NULL)
        host->features = g_steal_pointer(&full->features);
    g_ptr_array_add(facts->vm_cpus, host);
}

/* The model that a host-model CPU gets here says more than the host's own, which can be an odd
 * baseline; of KVM alone, since without it the answer is about emulation. */
void gw_lv_read_cpus(virConnectPtr ptr, GwHostFacts *facts)
{
    facts->vm_cpus = gw_record_array(&gw_host_cpu_record);
    read_cpu(ptr, "kvm", facts);
    read_cpu(ptr, "qemu", facts);

    const GwHostCpu *host = gw_host_cpu_of(facts->vm_cpus, "kvm");
    if (host == NULL || host->model == NULL)
        return;
    g_free(facts->cpu_model);
    facts->cpu_model = g_strdup(host->model);
}

/* Baseline ------------------------------------------------------------------------------------ */

/* Never an empty text, which libvirt would take for a broken <cpu>. */
static gboolean check_cpus(char *const *cpus, GError **error)
{
    guint count = cpus != NULL ? g_strv_length((char **)cpus) : 0;

    if (count == 0 || count > GW_HYPER_BASELINE_MAX) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "a baseline is made of 1 to %d CPUs, not of %u",
                     GW_HYPER_BASELINE_MAX, count);
        return FALSE;
    }
    for (guint i = 0; i < count; i++) {
        g_autoptr(GwCpu) cpu = gw_libvirt_cpu_from_xml(cpus[i], error);
        if (cpu == NULL)
            return FALSE;
    }
    return TRUE;
}

static char *baseline(virConnectPtr ptr, const GwRequest *request, guint flags)
{
    const char *virt = request->number == 1 ? "qemu" : "kvm";
    const char **cpus = (const char **)request->definitions;
    guint count = g_strv_length(request->definitions);

    flags |= VIR_CONNECT_BASELINE_CPU_MIGRATABLE;
    if (request->number == 2)
        return virConnectBaselineCPU(ptr, cpus, count, flags);
    return virConnectBaselineHypervisorCPU(ptr, NULL, NULL, NULL, virt, cpus, count, flags);
}

gboolean gw_lv_op_cpu_baseline(GwLvTask *task, GwReply *reply, GError **error)
{
    virConnectPtr ptr = task->conn->ptr;

    if (!check_cpus(task->request->definitions, error))
        return FALSE;
    char *text = baseline(ptr, task->request, 0);
    char *all = text != NULL
                    ? baseline(ptr, task->request, VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES)
                    : NULL;
    if (all == NULL)
        gw_lv_error(error);
    g_autoptr(GwCpu) full = all != NULL ? gw_libvirt_cpu_from_xml(all, error) : NULL;
    reply->cpu = full != NULL ? gw_libvirt_cpu_from_xml(text, error) : NULL;
    free(text);
    free(all);
    if (reply->cpu == NULL)
        return FALSE;
    g_strfreev(reply->cpu->features);
    reply->cpu->features = g_steal_pointer(&full->features);
    return TRUE;
}
