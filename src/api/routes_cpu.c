/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/route.h"

static gboolean get_baseline(GwCall *call, GError **error)
{
    g_autoptr(GwCpuBaselineRequest) wanted = gw_cpu_baseline_request_new();
    const char *hosts = gw_call_query(call, "hosts");

    wanted->virt_type = g_strdup(gw_call_query(call, "virt_type"));
    if (hosts != NULL && *hosts != '\0')
        wanted->hosts = g_strsplit(hosts, ",", GW_CPU_BASELINE_HOSTS_MAX + 1);
    g_autoptr(GwCpuBaseline) baseline = gw_engine_cpu_baseline(call->engine, wanted, error);
    return baseline != NULL && gw_call_answer(call, 200, &gw_cpu_baseline_record, baseline);
}

static const GwParam baseline_params[] = {
    { "hosts", "string", "Hosts and host groups by id or name, parted by commas; none: all." },
    { "virt_type", "string", "kvm or qemu; default: what most of their VMs run with." },
    { .name = NULL },
};

const GwRoute gw_cpu_routes[] = {
    {
        .method = "GET",
        .path = "/api/v1/cpu-baseline",
        .operation = "getCpuBaseline",
        .role = GW_ROLE_READ,
        .query = baseline_params,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_cpu_baseline_record,
                       "The CPU, and what it would cost." } },
        .summary = "Ask hosts which CPU all their VMs could have, so that they can move anywhere.",
        .requirement = "R11",
        .handler = get_baseline,
    },
    { .method = NULL },
};
