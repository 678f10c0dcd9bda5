/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/restart.h"
#include "plan/rule.h"

/* CPU model and machine type are fixed when the VM boots (R11). */

/* What is to be done: a restart alone where that is sure, or another CPU. */
static char *remedy_of(const GwPlanInput *input)
{
    const char *from = gw_plan_host_name(input->source);
    const char *to = gw_plan_host_name(input->destination);
    const char *name = gw_plan_vm_name(input->vm);

    if (gw_plan_restart_helps(input->source, input->vm, input->destination)) {
        g_autofree char *own = gw_plan_quote(name);
        g_autofree char *virsh = gw_plan_virsh_vm(input->vm);
        return g_strdup_printf("Restart pending: after a restart with its definition %s could move "
                               "there. Shut it down (virsh shutdown %s) and start it again (godwit "
                               "vm start %s): a reboot within the guest is not enough.",
                               name, virsh, own);
    }
    return g_strdup_printf("Choose a host with as new a CPU. Or give %s a CPU that both hosts have "
                           "(godwit cpu baseline %s %s) and restart it: its CPU is fixed at boot.",
                           name, from, to);
}

static void refuse(const GwRule *self, const GwPlanInput *input, const char *why,
                   GPtrArray *findings)
{
    gw_rule_add(self, findings,
                g_strdup_printf("%s cannot provide the CPU that %s %s with: %s",
                                gw_plan_host_name(input->destination), gw_plan_vm_name(input->vm),
                                gw_plan_is_live(input->vm) ? "was booted" : "is defined", why),
                g_strdup("Every feature of the VM's CPU at the destination."), remedy_of(input));
}

/* Where nobody was asked (a list of candidates, a drain plan) what the destination tells of its
 * models decides where that is sure (docs/cpu.md). */
static void check_compatible(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const char *to = gw_plan_host_name(input->destination);
    const char *name = gw_plan_vm_name(input->vm);
    g_autofree char *told = NULL;

    if (input->cpu == GW_CPU_INCOMPATIBLE)
        refuse(self, input, gw_plan_text(input->cpu_why), findings);
    else if (input->cpu == GW_CPU_UNKNOWN && input->cpu_why == NULL &&
             gw_plan_cpu_on(input->destination, input->vm, input->vm->cpu, &told) ==
                 GW_CPU_INCOMPATIBLE)
        refuse(self, input, told, findings);
    else if (input->cpu == GW_CPU_UNKNOWN && input->cpu_why != NULL)
        gw_rule_add_as(self, GW_SEVERITY_WARNING, findings,
                       g_strdup_printf("%s could not tell whether it can provide the CPU of %s: "
                                       "%s",
                                       to, name, input->cpu_why),
                       g_strdup("Every feature of the VM's CPU at the destination."),
                       g_strdup_printf("The destination checks it again before anything is copied; "
                                       "if it refuses, %s stays on %s.",
                                       name, gw_plan_host_name(input->source)));
}

const GwRule gw_rule_cpu_compatible = {
    "cpu-compatible",  "R11",
    GW_SEVERITY_ERROR, "The destination must provide the VM's CPU.",
    GW_RULE_STARTS,    check_compatible
};

static void check_passthrough(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const char *mode = input->vm->cpu_mode;
    const char *from = gw_plan_facts(input->source)->cpu_model;
    const char *to = gw_plan_facts(input->destination)->cpu_model;

    if (g_strcmp0(mode, "host-passthrough") != 0 && g_strcmp0(mode, "maximum") != 0)
        return;
    if (g_strcmp0(input->vm->virt_type, "qemu") == 0)
        return; /* emulated: the host's CPU does not matter */
    if (from == NULL || to == NULL || g_strcmp0(from, to) == 0)
        return;
    gw_rule_add(self, findings,
                g_strdup_printf("%s sees the CPU of %s itself (%s): %s there, %s on %s",
                                gw_plan_vm_name(input->vm), gw_plan_host_name(input->source), mode,
                                from, to, gw_plan_host_name(input->destination)),
                g_strdup("The same CPU model and microcode at both ends for such a VM."),
                g_strdup("The guest may crash or misbehave after the move. Set its CPU to "
                         "host-model, or to a model that both hosts have, and restart it."));
}

const GwRule gw_rule_cpu_passthrough = { "cpu-passthrough",   "R11",
                                         GW_SEVERITY_WARNING, "host-passthrough wants equal CPUs.",
                                         GW_RULE_LIVE,        check_passthrough };

/* The numbers in a machine type's version, for comparing: "7.2" < "10.0". */
static gboolean is_newer(const char *version, const char *than)
{
    char *end_a = NULL;
    char *end_b = NULL;
    guint64 a = g_ascii_strtoull(version, &end_a, 10);
    guint64 b = g_ascii_strtoull(than, &end_b, 10);

    if (a != b || *end_a != '.' || *end_b != '.')
        return a > b;
    return g_ascii_strtoull(end_a + 1, NULL, 10) > g_ascii_strtoull(end_b + 1, NULL, 10);
}

const char *gw_plan_newest_machine(char **machines, const char *machine)
{
    const char *dash = strrchr(machine, '-');
    gsize family = dash != NULL ? (gsize)(dash - machine) + 1 : 0;
    const char *best = NULL;

    for (guint i = 0; family > 0 && machines[i] != NULL; i++) {
        if (strncmp(machines[i], machine, family) == 0 &&
            (best == NULL || is_newer(machines[i] + family, best + family)))
            best = machines[i];
    }
    return best;
}

static void check_machine(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GwHostFacts *facts = gw_plan_facts(input->destination);
    const char *machine = input->vm->machine;
    const char *to = gw_plan_host_name(input->destination);

    if (machine == NULL || facts->machines == NULL || facts->machines[0] == NULL)
        return;
    if (input->vm->arch != NULL && facts->arch != NULL &&
        g_strcmp0(input->vm->arch, facts->arch) != 0)
        return; /* the list is of the host's own architecture */
    if (g_strv_contains((const char *const *)facts->machines, machine))
        return;
    const char *best = gw_plan_newest_machine(facts->machines, machine);
    g_autofree char *hint =
        best != NULL ? g_strdup_printf(" (the newest of its kind there: %s)", best) : g_strdup("");
    g_autofree char *quoted = gw_plan_virsh_vm(input->vm);
    gw_rule_add(self, findings,
                g_strdup_printf("%s was booted as machine %s, which the QEMU of %s does not know",
                                gw_plan_vm_name(input->vm), machine, to),
                g_strdup("A machine type that both hosts know."),
                g_strdup_printf("Update QEMU on %s. Or set a machine type that it knows%s with "
                                "virsh edit %s and restart the VM: its machine is fixed at boot.",
                                to, hint, quoted));
}

const GwRule gw_rule_machine_type = {
    "machine-type",    "R11",
    GW_SEVERITY_ERROR, "The destination must know the VM's machine type.",
    GW_RULE_MOVES,     check_machine
};
