/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/cpu_baseline.h"

#include <string.h>

#include "plan/restart.h"
#include "plan/rule.h"

/* @a without @b, and without what no two hosts are compared by. */
static char **beyond(char *const *a, char *const *b)
{
    g_auto(GStrv) all = gw_cpu_features_without(a, b);
    g_autoptr(GStrvBuilder) left = g_strv_builder_new();

    for (guint i = 0; all[i] != NULL; i++) {
        if (!gw_cpu_feature_is_fixed(all[i]))
            g_strv_builder_add(left, all[i]);
    }
    return g_strv_builder_end(left);
}

static gboolean is_told(char *const *features)
{
    return features != NULL && *features != NULL;
}

const char *gw_plan_cpu_kind(const GwFabric *fabric, const GPtrArray *hosts)
{
    guint kvm = 0, qemu = 0;
    gboolean told = FALSE;

    for (guint i = 0; i < hosts->len; i++) {
        const GwHost *host = hosts->pdata[i];
        g_autoptr(GPtrArray) vms = gw_fabric_list_vms(fabric, host->id);
        told = told || gw_host_cpu_of(gw_plan_facts(host)->vm_cpus, "kvm") != NULL;
        for (guint v = 0; v < vms->len; v++) {
            const GwVm *vm = vms->pdata[v];
            kvm += gw_vm_is_active(vm) && g_strcmp0(vm->virt_type, "kvm") == 0;
            qemu += gw_vm_is_active(vm) && g_strcmp0(vm->virt_type, "qemu") == 0;
        }
    }
    if (kvm == 0 && qemu == 0)
        return told ? "kvm" : "qemu";
    return qemu > kvm ? "qemu" : "kvm";
}

/* Hosts ------------------------------------------------------------------------------------- */

static GwCpuBaselineHost *judge_host(const GwCpuBaselineInput *input, const GwHost *host)
{
    const GwHostCpu *given = gw_host_cpu_of(gw_plan_facts(host)->vm_cpus, input->virt_type);
    GwCpuBaselineHost *row = gw_cpu_baseline_host_new();

    row->host_id = g_strdup(host->id);
    row->host_name = g_strdup(gw_plan_host_name(host));
    if (given == NULL) {
        row->model = g_strdup(gw_plan_facts(host)->cpu_model);
        row->error = host->facts == NULL
                         ? g_strdup("It has not told anything of itself yet.")
                         : g_strdup_printf("Its libvirt does not tell what CPU it can give %s VMs.",
                                           input->virt_type);
        return row;
    }
    row->model = g_strdup(given->model);
    if (input->cpu != NULL && is_told(given->features))
        row->loses = beyond(given->features, input->cpu->features);
    return row;
}

/* VMs --------------------------------------------------------------------------------------- */

static gboolean is_whole_host(const GwCpu *cpu)
{
    return g_strcmp0(cpu->mode, "host-passthrough") == 0 || g_strcmp0(cpu->mode, "maximum") == 0;
}

/* Whether @cpu surely has nothing beyond @base, without anybody expanding it: the same model, with
 * at least as much left out and no more added. */
static gboolean is_within(const GwCpu *cpu, const GwCpu *base)
{
    g_auto(GStrv) above = beyond(cpu->features, base->features);
    g_auto(GStrv) kept = gw_cpu_features_without(base->disabled, cpu->disabled);

    return g_strcmp0(cpu->model, base->model) == 0 && *above == NULL && *kept == NULL;
}

/* Whether a start of @vm where it is would surely give it a CPU within the baseline. */
static gboolean next_fits(const GwCpuBaselineInput *input, const GwVm *vm)
{
    const GwHost *host = gw_fabric_host(input->fabric, vm->host_id);
    const GwCpu *asked = vm->next != NULL ? vm->next->cpu : NULL;
    const GwHostCpu *given =
        host != NULL ? gw_host_cpu_of(gw_plan_facts(host)->vm_cpus, input->virt_type) : NULL;

    if (asked == NULL || asked->mode == NULL)
        return FALSE;
    if (strcmp(asked->mode, "host-model") == 0 && given != NULL && is_told(given->features)) {
        g_auto(GStrv) more = beyond(given->features, input->cpu->features);
        return *more == NULL;
    }
    return strcmp(asked->mode, "custom") == 0 && is_within(asked, input->cpu);
}

/* Whether a start could give it more than it has: what is the host's grows with the host. */
static gboolean next_grows(const GwCpuBaselineInput *input, const GwVm *vm)
{
    const GwCpu *asked = vm->next != NULL ? vm->next->cpu : NULL;
    gboolean hosts_own = asked != NULL && asked->mode != NULL && strcmp(asked->mode, "custom") != 0;

    return hosts_own && !next_fits(input, vm);
}

static void set_commands(const GwCpuBaselineInput *input, const GwVm *vm, GwCpuBaselineVm *row)
{
    const GwHost *host = gw_fabric_host(input->fabric, vm->host_id);
    g_autofree char *name = gw_plan_virsh_vm(vm);
    g_autofree char *own = gw_plan_quote(gw_plan_vm_name(vm));
    g_autofree char *uri = gw_plan_quote(gw_plan_text(host != NULL ? host->uri : NULL));
    gboolean direct = host != NULL && !gw_host_has_agent(host);
    g_autofree char *virsh =
        direct ? g_strdup_printf("virsh -c %s", uri) : g_strdup("virsh"); /* on the host itself */
    g_autoptr(GStrvBuilder) commands = g_strv_builder_new();
    g_autofree char *edit = g_strdup_printf("%s edit %s", virsh, name);
    g_autofree char *down = g_strdup_printf("%s shutdown %s", virsh, name);
    g_autofree char *up = g_strdup_printf("godwit vm start %s", own);

    if (row->fit == (int)GW_CPU_FIT_CHANGE)
        g_strv_builder_add(commands, edit);
    g_strv_builder_add(commands, down);
    g_strv_builder_add(commands, up);
    row->commands = g_strv_builder_end(commands);
}

static void say(GwCpuBaselineVm *row, GwCpuFit fit, char *why)
{
    row->fit = (int)fit;
    row->why = why;
}

static void say_above(const GwCpuBaselineInput *input, const GwVm *vm, GwCpuBaselineVm *row)
{
    if (next_fits(input, vm))
        say(row, GW_CPU_FIT_RESTART,
            g_strdup("It has more than the common CPU, but its definition asks for no more: a "
                     "restart is enough."));
    else
        say(row, GW_CPU_FIT_CHANGE,
            g_strdup("It has more than the common CPU: put that into its definition, and restart "
                     "it."));
}

/* Above, within, or not known. */
static void compare(const GwCpuBaselineInput *input, const GwVm *vm, GwCpuBaselineVm *row)
{
    const GwCpu *full =
        vm->cpu_xml != NULL ? g_hash_table_lookup(input->expanded, vm->cpu_xml) : NULL;
    gboolean within = is_within(vm->cpu, input->cpu);

    if (full != NULL) {
        row->above = beyond(full->features, input->cpu->features);
        within = within || *row->above == NULL;
    }
    if (!within && full == NULL)
        say(row, GW_CPU_FIT_UNKNOWN, g_strdup("Its host could not tell all features of its CPU."));
    else if (!within)
        say_above(input, vm, row);
    else if (next_grows(input, vm))
        say(row, GW_CPU_FIT_CHANGE,
            g_strdup_printf(
                "It fits now. But its definition asks for %s, which takes what its host "
                "gives: after a restart it would have more.",
                vm->next->cpu->mode));
    else
        say(row, GW_CPU_FIT_FITS, NULL);
}

static GwCpuBaselineVm *judge_vm(const GwCpuBaselineInput *input, const GwVm *vm)
{
    GwCpuBaselineVm *row = gw_cpu_baseline_vm_new();
    const GwCpu *cpu = vm->cpu;

    row->vm_uuid = g_strdup(vm->uuid);
    row->vm_name = g_strdup(vm->name);
    row->host_id = g_strdup(vm->host_id);
    if (cpu != NULL)
        row->cpu = g_strdup(cpu->model != NULL && !is_whole_host(cpu) ? cpu->model : cpu->mode);
    if (input->cpu == NULL)
        say(row, GW_CPU_FIT_UNKNOWN, g_strdup("There is no common CPU to hold it against."));
    else if (cpu == NULL || cpu->mode == NULL)
        say(row, GW_CPU_FIT_UNKNOWN, g_strdup("Its definition does not say what CPU it has."));
    else if (is_whole_host(cpu))
        say(row, GW_CPU_FIT_CHANGE,
            g_strdup_printf("It sees its host's own CPU (%s), whatever that is.", cpu->mode));
    else
        compare(input, vm, row);
    if (row->fit == (int)GW_CPU_FIT_RESTART || row->fit == (int)GW_CPU_FIT_CHANGE)
        set_commands(input, vm, row);
    return row;
}

/* What is to be done first, then by name. */
static int by_fit(gconstpointer left, gconstpointer right)
{
    static const int order[] = { [GW_CPU_FIT_CHANGE] = 0,
                                 [GW_CPU_FIT_RESTART] = 1,
                                 [GW_CPU_FIT_UNKNOWN] = 2,
                                 [GW_CPU_FIT_FITS] = 3 };
    const GwCpuBaselineVm *a = *(GwCpuBaselineVm *const *)left;
    const GwCpuBaselineVm *b = *(GwCpuBaselineVm *const *)right;

    if (order[a->fit] != order[b->fit])
        return order[a->fit] - order[b->fit];
    int by_name = g_strcmp0(a->vm_name, b->vm_name);
    return by_name != 0 ? by_name : g_strcmp0(a->vm_uuid, b->vm_uuid);
}

static void add_vms(const GwCpuBaselineInput *input, const GwHost *host, GPtrArray *rows)
{
    g_autoptr(GPtrArray) vms = gw_fabric_list_vms(input->fabric, host->id);

    for (guint i = 0; i < vms->len; i++) {
        const GwVm *vm = vms->pdata[i];
        if (gw_vm_is_active(vm) && g_strcmp0(vm->virt_type, input->virt_type) == 0)
            g_ptr_array_add(rows, judge_vm(input, vm));
    }
}

/* Machines ---------------------------------------------------------------------------------- */

static gboolean all_know(const GPtrArray *hosts, const char *machine)
{
    for (guint i = 0; i < hosts->len; i++) {
        char **machines = gw_plan_facts(hosts->pdata[i])->machines;
        if (machines == NULL || !g_strv_contains((const char *const *)machines, machine))
            return FALSE;
    }
    return TRUE;
}

static char **common_machines(const GPtrArray *hosts)
{
    char **first = hosts->len > 0 ? gw_plan_facts(hosts->pdata[0])->machines : NULL;
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_autoptr(GStrvBuilder) newest = g_strv_builder_new();

    for (guint i = 0; first != NULL && first[i] != NULL; i++) {
        if (all_know(hosts, first[i]))
            g_strv_builder_add(builder, first[i]);
    }
    g_auto(GStrv) common = g_strv_builder_end(builder);
    for (guint i = 0; common[i] != NULL; i++) {
        if (gw_plan_newest_machine(common, common[i]) == common[i])
            g_strv_builder_add(newest, common[i]);
    }
    return g_strv_builder_end(newest);
}

GwCpuBaseline *gw_plan_cpu_baseline(const GwCpuBaselineInput *input)
{
    GwCpuBaseline *baseline = gw_cpu_baseline_new();

    baseline->virt_type = g_strdup(input->virt_type);
    baseline->hosts = gw_record_array(&gw_cpu_baseline_host_record);
    baseline->vms = gw_record_array(&gw_cpu_baseline_vm_record);
    baseline->pairs = gw_record_array(&gw_cpu_pair_record);
    for (guint i = 0; i < input->hosts->len; i++) {
        g_ptr_array_add(baseline->hosts, judge_host(input, input->hosts->pdata[i]));
        add_vms(input, input->hosts->pdata[i], baseline->vms);
    }
    g_ptr_array_sort(baseline->vms, by_fit);
    baseline->machines = common_machines(input->hosts);
    return baseline;
}
