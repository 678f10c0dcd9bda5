/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "hyper/sim_storage.h"

/* The world as its file describes it (docs/simulator.md). */

#define MIB (1024 * 1024)
#define NUMBER_MAX 1000000000 /* of ms and MiB/s: what is computed from them cannot overflow */

/* Reads an optional number into *@out, which holds the default. */
static gboolean read_number(json_t *object, const char *key, gint64 least, gint64 *out,
                            GError **error)
{
    json_t *value = json_object_get(object, key);

    if (value == NULL)
        return TRUE;
    if (!json_is_integer(value) || json_integer_value(value) < least ||
        json_integer_value(value) > NUMBER_MAX) {
        gw_error_set(error, GW_ERR_INVALID, "See docs/simulator.md.",
                     "'%s' must be a whole number from %" G_GINT64_FORMAT " to %d", key, least,
                     NUMBER_MAX);
        return FALSE;
    }
    *out = json_integer_value(value);
    return TRUE;
}

/* As count_running, without a look at every host for every VM of a large fabric. */
static void count_loaded(GwSim *sim, const GwVm *vm)
{
    guint now = gw_sim_most_running(sim, vm->uuid) + (gw_vm_is_running(vm) ? 1 : 0);
    if (now > 0)
        g_hash_table_replace(sim->most_running, g_strdup(vm->uuid), GUINT_TO_POINTER(now));
}

static gboolean load_vms(GwSim *sim, SimHost *host, json_t *vms, GError **error)
{
    for (gsize i = 0; i < json_array_size(vms); i++) {
        g_autoptr(GwVm) vm = gw_record_from_json(&gw_vm_record, json_array_get(vms, i), error);
        if (vm == NULL)
            return FALSE;
        gw_sim_usage_unsaid(&gw_vm_usage_record, vm->usage, json_array_get(vms, i));
        gw_sim_load_vm_cpu(vm);
        SimVm *added = gw_sim_add_vm(host, vm);
        if (gw_vm_is_active(vm))
            gw_sim_note_running(sim, added, TRUE);
        count_loaded(sim, vm);
    }
    return TRUE;
}

static GwAgentFacts *simulated_agent(void)
{
    GwAgentFacts *agent = gw_agent_facts_new();

    agent->version = g_strdup("simulated");
    agent->wire_version = 1;
    return agent;
}

/* What is beyond all its CPUs would be shown as it is, and planned with. */
static gboolean check_usage(const GwHostUsage *usage, GError **error)
{
    if (usage == NULL || usage->cpu_permille <= 1000)
        return TRUE;
    gw_error_set(
        error, GW_ERR_INVALID, "See docs/simulator.md.",
        "a host's 'cpu_permille' is of all its CPUs, from 0 to 1000, not %" G_GINT64_FORMAT,
        usage->cpu_permille);
    return FALSE;
}

static gboolean load_host(GwSim *sim, json_t *json, GError **error)
{
    const char *uri = json_string_value(json_object_get(json, "uri"));
    g_autoptr(GwJson) facts = json_deep_copy(json_object_get(json, "facts"));
    SimHost *host = gw_sim_add_host(sim, uri);

    if (uri == NULL || facts == NULL) {
        gw_error_set(error, GW_ERR_INVALID, "See docs/simulator.md.",
                     "a simulated host needs 'uri' and 'facts'");
        return FALSE;
    }
    gint64 latency_ms = 1;
    if (!read_number(json, "latency_ms", 0, &latency_ms, error))
        return FALSE;
    host->latency_us = latency_ms * 1000;
    host->down = json_is_true(json_object_get(json, "down"));
    json_t *agent = json_object_get(json, "agent");
    if (agent != NULL && json_is_true(agent) != gw_sim_has_agent(host)) {
        gw_error_set(error, GW_ERR_INVALID, "See docs/simulator.md.",
                     "a host has an agent where its URI is godwit://ADDRESS/ID, and only there");
        return FALSE;
    }
    if (!gw_sim_load_files(sim, host, json, error) || !gw_sim_load_pools(sim, host, facts, error))
        return FALSE;
    host->facts = gw_record_from_json(&gw_host_facts_record, facts, error);
    if (host->facts != NULL && !check_usage(host->facts->usage, error))
        return FALSE;
    if (host->facts != NULL)
        gw_sim_usage_unsaid(&gw_host_usage_record, host->facts->usage, facts);
    if (host->facts != NULL && gw_sim_has_agent(host) && host->facts->agent == NULL)
        host->facts->agent = simulated_agent();
    return host->facts != NULL && gw_sim_load_cpu(host, json, error) &&
           load_vms(sim, host, json_object_get(json, "vms"), error);
}

gboolean gw_sim_fault(GwSim *sim, json_t *json, GError **error)
{
    const char *at = json_string_value(json_object_get(json, "at"));
    const char *what = json_string_value(json_object_get(json, "do"));
    gint64 ms = 1000, percent = 0;

    if (!gw_sim_fault_known(at, what)) {
        gw_error_set(error, GW_ERR_INVALID, "See docs/simulator.md.",
                     "a fault needs 'at' and 'do', each one of the words there are");
        return FALSE;
    }
    if (!read_number(json, "ms", 0, &ms, error) ||
        !read_number(json, "percent", 0, &percent, error))
        return FALSE;
    SimFault *fault = g_new0(SimFault, 1);
    fault->at = g_strdup(at);
    fault->what = g_strdup(what);
    fault->ms = ms;
    fault->percent = MIN(percent, 100);
    g_ptr_array_add(sim->faults, fault);
    return TRUE;
}

static gboolean load_rates(GwSim *sim, json_t *fabric, GError **error)
{
    gint64 link = 1000, disk = 1000, dirty = 0, confirm = 200;

    if (!read_number(fabric, "link_mibps", 1, &link, error) ||
        !read_number(fabric, "disk_mibps", 1, &disk, error) ||
        !read_number(fabric, "dirty_mibps", 0, &dirty, error) ||
        !read_number(fabric, "confirm_ms", 0, &confirm, error))
        return FALSE;
    sim->link_bps = link * MIB;
    sim->disk_bps = disk * MIB;
    sim->dirty_bps = dirty * MIB;
    sim->confirm_us = confirm * 1000;
    sim->counted = json_is_true(json_object_get(fabric, "counted"));
    return TRUE;
}

gboolean gw_sim_load(GwSim *sim, json_t *fabric, GError **error)
{
    json_t *hosts = json_object_get(fabric, "hosts");
    json_t *faults = json_object_get(fabric, "faults");

    if (!json_is_array(hosts)) {
        gw_error_set(error, GW_ERR_INVALID, "See docs/simulator.md.",
                     "a simulated fabric needs a list 'hosts'");
        return FALSE;
    }
    for (gsize i = 0; i < json_array_size(hosts); i++) {
        if (!load_host(sim, json_array_get(hosts, i), error))
            return FALSE;
    }
    gw_sim_load_disks(sim);
    for (gsize i = 0; i < json_array_size(faults); i++) {
        if (!gw_sim_fault(sim, json_array_get(faults, i), error))
            return FALSE;
    }
    return load_rates(sim, fabric, error);
}
