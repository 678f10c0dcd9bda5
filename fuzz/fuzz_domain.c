/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions as a hostile libvirtd could send them: domains, pools, networks, capabilities. */
#include <stdint.h>
#include <stdlib.h>

#include "model/libvirt_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is kept must be fit to be stored, and read back as it was. */
static void check_record(const GwRecord *record, gconstpointer self)
{
    g_autoptr(GwJson) json = gw_record_to_json(record, self);
    g_autoptr(GError) error = NULL;
    gpointer copy = gw_record_from_stored(record, json, &error);

    if (copy == NULL || !gw_record_equal(record, self, copy))
        abort();
    gw_record_free(record, copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autoptr(GwHostFacts) facts = gw_host_facts_new();
    g_autoptr(GwVm) vm = gw_libvirt_vm_from_xml(text, NULL);
    g_autoptr(GwPool) pool = gw_libvirt_pool_from_xml(text, NULL);
    g_autoptr(GwNetwork) network = gw_libvirt_network_from_xml(text, NULL);
    g_autoptr(GwNetwork) bridge = gw_libvirt_bridge_from_xml(text);
    g_autoptr(GwHostCpu) host_cpu = gw_libvirt_host_cpu_from_xml(text);
    g_autoptr(GwCpu) cpu = gw_libvirt_cpu_from_xml(text, NULL);
    g_autoptr(GwVmNext) next = gw_libvirt_next_from_xml(text, NULL);

    if (bridge != NULL && *bridge->name == '\0')
        abort();
    if (host_cpu != NULL)
        check_record(&gw_host_cpu_record, host_cpu);
    if (cpu != NULL)
        check_record(&gw_cpu_record, cpu);
    if (next != NULL)
        check_record(&gw_vm_next_record, next);
    if (vm != NULL)
        check_record(&gw_vm_record, vm);
    if (pool != NULL)
        check_record(&gw_pool_record, pool);
    if (network != NULL)
        check_record(&gw_network_record, network);
    if (bridge != NULL)
        check_record(&gw_network_record, bridge);
    if (gw_libvirt_capabilities_into(facts, text, NULL))
        check_record(&gw_host_facts_record, facts);
    return 0;
}
