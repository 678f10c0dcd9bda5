/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/cpu_baseline.h"
#include "plan/plan.h"

/* What a CPU for all VMs of some hosts would cost, from what the hosts answered. */
typedef struct {
    const GwFabric *fabric;
    const GPtrArray *hosts; /* GwHost, by name */
    const char *virt_type;
    const GwCpu *cpu;     /* the common one, all its features named; NULL: there is none */
    GHashTable *expanded; /* text of a VM's <cpu> -> GwCpu with all its features named */
} GwCpuBaselineInput;

/* Hosts, VMs and machines; the CPU itself and the pairs are the caller's to add. Owned. */
GwCpuBaseline *gw_plan_cpu_baseline(const GwCpuBaselineInput *input);
/* What most of the VMs that run on @hosts (GwHost) run with; where none do kvm, if a host tells of
 * it. */
const char *gw_plan_cpu_kind(const GwFabric *fabric, const GPtrArray *hosts);
