/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/cpu_baseline.h"

GW_DEFINE_RECORD(GwCpuBaselineRequest, gw_cpu_baseline_request, "CpuBaselineRequest",
                 "Of which hosts a common CPU is wanted.",
                 GW_F(GwCpuBaselineRequest, hosts, GW_STRINGS,
                      .doc = "Ids or names of hosts and host groups; empty: all hosts."),
                 GW_F(GwCpuBaselineRequest, virt_type, GW_STRING,
                      .doc = "kvm or qemu; default: what most of their VMs run with."));

GW_DEFINE_RECORD(GwCpuBaselineHost, gw_cpu_baseline_host, "CpuBaselineHost",
                 "What a host would lose with the common CPU.",
                 GW_F(GwCpuBaselineHost, host_id, GW_STRING, .doc = "Host."),
                 GW_F(GwCpuBaselineHost, host_name, GW_STRING, .doc = "Its name."),
                 GW_F(GwCpuBaselineHost, model, GW_STRING,
                      .doc = "The model that host-model gets there now."),
                 GW_F(GwCpuBaselineHost, loses, GW_STRINGS,
                      .doc = "Features of that CPU which the common one does not have."),
                 GW_F(GwCpuBaselineHost, error, GW_STRING,
                      .doc = "Why the host is not counted in."));

const GwEnum gw_cpu_fit_enum = { "CpuFit", (const char *const[]){ "fits", "restart", "change",
                                                                  "unknown", NULL } };

GW_DEFINE_RECORD(GwCpuBaselineVm, gw_cpu_baseline_vm, "CpuBaselineVm",
                 "What a VM needs to have the common CPU, or less.",
                 GW_F(GwCpuBaselineVm, vm_uuid, GW_STRING, .doc = "VM."),
                 GW_F(GwCpuBaselineVm, vm_name, GW_STRING, .doc = "Its name."),
                 GW_F(GwCpuBaselineVm, host_id, GW_STRING, .doc = "Where it is."),
                 GW_F(GwCpuBaselineVm, cpu, GW_STRING, .doc = "The CPU it runs with."),
                 GW_F(GwCpuBaselineVm, fit, GW_ENUM, .of_enum = &gw_cpu_fit_enum,
                      .doc = "fits; restart (its definition fits); change (and restart); unknown."),
                 GW_F(GwCpuBaselineVm, above, GW_STRINGS,
                      .doc = "Features it has beyond the common CPU, where told."),
                 GW_F(GwCpuBaselineVm, why, GW_STRING, .doc = "Why."),
                 GW_F(GwCpuBaselineVm, commands, GW_STRINGS, .doc = "How to make it fit."));

GW_DEFINE_RECORD(GwCpuPair, gw_cpu_pair, "CpuPair",
                 "Two hosts between which a VM with the first one's CPU cannot move.",
                 GW_F(GwCpuPair, source_host_id, GW_STRING, .doc = "From."),
                 GW_F(GwCpuPair, destination_host_id, GW_STRING, .doc = "To."),
                 GW_F(GwCpuPair, unknown, GW_BOOL, .doc = "It could not be told."),
                 GW_F(GwCpuPair, why, GW_STRING, .doc = "What the destination says."));

GW_DEFINE_RECORD(
    GwCpuBaseline, gw_cpu_baseline, "CpuBaseline",
    "A CPU that every VM of some hosts could have, and what it would cost (R11).",
    GW_F(GwCpuBaseline, virt_type, GW_STRING, .doc = "kvm or qemu."),
    GW_F(GwCpuBaseline, kind, GW_STRING,
         .doc = "hypervisor: of what QEMU can give VMs; host: of the hosts' own CPUs."),
    GW_F(GwCpuBaseline, asked_host_id, GW_STRING, .doc = "The host whose libvirt worked it out."),
    GW_F(GwCpuBaseline, model, GW_STRING, .doc = "Its model."),
    GW_F(GwCpuBaseline, xml, GW_STRING, .doc = "It, for a VM's definition."),
    GW_F(GwCpuBaseline, features, GW_STRINGS, .doc = "All its features."),
    GW_F(GwCpuBaseline, error, GW_STRING, .doc = "Why there is none."),
    GW_F(GwCpuBaseline, machines, GW_STRINGS,
         .doc = "The newest machine type of each family that all hosts know."),
    GW_F(GwCpuBaseline, hosts, GW_ARRAY, .of = &gw_cpu_baseline_host_record,
         .doc = "The hosts, by name."),
    GW_F(GwCpuBaseline, vms, GW_ARRAY, .of = &gw_cpu_baseline_vm_record,
         .doc = "Their VMs that run, those that do not fit first."),
    GW_F(GwCpuBaseline, pairs, GW_ARRAY, .of = &gw_cpu_pair_record,
         .doc = "Pairs of hosts that cannot move a VM with the first one's CPU, or of "
                "which it is not known."));
