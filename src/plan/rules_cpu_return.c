/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/restart.h"
#include "plan/rule.h"

/* Whether a VM could come back after this move (R11). Only what would hinder it is said, and only
 * where it is sure: the VM itself came from there, so that what it was booted with is not in the
 * way. A restart at the destination is, and a QEMU or libvirt there that is newer. */

static const char *asked_mode(const GwVm *vm)
{
    if (vm->next == NULL || vm->next->cpu == NULL)
        return vm->cpu_mode;
    return vm->next->cpu->mode;
}

/* What the destination would give it at a start that the source surely does not have. */
static void check_restart(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const char *mode = asked_mode(input->vm);
    const char *virt = input->vm->virt_type;
    const GwHostCpu *there = gw_host_cpu_of(gw_plan_facts(input->destination)->vm_cpus, virt);
    const GwHostCpu *here = gw_host_cpu_of(gw_plan_facts(input->source)->vm_cpus, virt);

    if (g_strcmp0(mode, "host-model") != 0 && g_strcmp0(mode, "host-passthrough") != 0 &&
        g_strcmp0(mode, "maximum") != 0)
        return;
    if (there == NULL || here == NULL || there->features == NULL || here->features == NULL ||
        *there->features == NULL || *here->features == NULL)
        return; /* not told */
    g_auto(GStrv) lacking = gw_cpu_features_without(there->features, here->features);
    if (*lacking == NULL)
        return;
    const char *to = gw_plan_host_name(input->destination);
    const char *from = gw_plan_host_name(input->source);
    const char *name = gw_plan_vm_name(input->vm);
    g_autofree char *words = gw_cpu_features_words(lacking);
    gw_rule_add(self, findings,
                g_strdup_printf("After a restart on %s, %s could not come back to %s: its CPU is "
                                "%s, and would have %s there, which %s cannot give",
                                to, name, from, mode, words, from),
                g_strdup_printf("A CPU that %s and %s can both give.", from, to),
                g_strdup_printf("While it is not restarted, its CPU is in no way of a move back. "
                                "Give it a CPU that both have: godwit cpu baseline %s %s shows "
                                "one.",
                                from, to));
}

/* Releases that differ in the last number only hold corrections. */
static gboolean is_older(gint64 a, gint64 b)
{
    return a > 0 && b > 0 && a / 1000 < b / 1000;
}

static void check_versions(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GwHostFacts *here = gw_plan_facts(input->source);
    const GwHostFacts *there = gw_plan_facts(input->destination);
    gboolean qemu = is_older(here->qemu_version, there->qemu_version);

    if (!qemu && !is_older(here->libvirt_version, there->libvirt_version))
        return;
    const char *to = gw_plan_host_name(input->destination);
    const char *from = gw_plan_host_name(input->source);
    g_autofree char *older = gw_plan_version(qemu ? here->qemu_version : here->libvirt_version);
    g_autofree char *newer = gw_plan_version(qemu ? there->qemu_version : there->libvirt_version);
    const char *what = qemu ? "QEMU" : "libvirt";
    const char *machine = input->vm->machine;
    gw_rule_add(self, findings,
                g_strdup_printf("A move back to %s would be one from %s %s to the older %s", from,
                                what, newer, older),
                g_strdup_printf("Both hosts know the machine %s, which is what QEMU keeps moves "
                                "between versions working by; to an older one it is expected to "
                                "work, and promised by nobody.",
                                gw_plan_text(machine)),
                g_strdup_printf("Update %s before %s has to come back. Leave its machine type as "
                                "it is until then: one that only %s knows could not come back.",
                                from, gw_plan_vm_name(input->vm), to));
}

/* A machine that the definition asks for, and that only the destination knows. */
static void check_machine(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const char *next = input->vm->next != NULL ? input->vm->next->machine : NULL;

    if (next == NULL || g_strcmp0(next, input->vm->machine) == 0 ||
        !gw_plan_knows_machine(input->destination, next) ||
        gw_plan_knows_machine(input->source, next))
        return;
    gw_rule_add(
        self, findings,
        g_strdup_printf("The definition of %s asks for the machine %s: after a restart on "
                        "%s it could not come back to %s, whose QEMU does not know it",
                        gw_plan_vm_name(input->vm), next, gw_plan_host_name(input->destination),
                        gw_plan_host_name(input->source)),
        g_strdup("A machine type that both hosts know."),
        g_strdup_printf("Update QEMU on %s, or set the machine back to %s before the VM is "
                        "restarted.",
                        gw_plan_host_name(input->source), gw_plan_text(input->vm->machine)));
}

static void check_return(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    check_restart(self, input, findings);
    check_machine(self, input, findings);
    check_versions(self, input, findings);
}

const GwRule gw_rule_way_back = { "way-back",          "R11",
                                  GW_SEVERITY_WARNING, "What could keep the VM from coming back.",
                                  GW_RULE_LIVE,        check_return };
