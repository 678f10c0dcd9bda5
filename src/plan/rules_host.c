/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/shared.h"

/* Rules on the two hosts: may they, can they, is there room. */

static void check_same_host(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const char *uuid = gw_plan_facts(input->source)->host_uuid;
    gboolean same = g_strcmp0(input->source->id, input->destination->id) == 0;
    gboolean twice =
        !same && uuid != NULL && g_strcmp0(uuid, gw_plan_facts(input->destination)->host_uuid) == 0;

    if (same)
        gw_rule_add(self, findings,
                    g_strdup_printf("%s already runs on %s", gw_plan_vm_name(input->vm),
                                    gw_plan_host_name(input->destination)),
                    g_strdup("Another host."), g_strdup("Choose another destination."));
    else if (twice)
        gw_rule_add(self, findings,
                    g_strdup_printf("%s and %s have the same host UUID %s",
                                    gw_plan_host_name(input->source),
                                    gw_plan_host_name(input->destination), uuid),
                    g_strdup("Two hosts; libvirt refuses to migrate a VM to its own host."),
                    g_strdup("If they are two machines, give one a host_uuid of its own in "
                             "/etc/libvirt/libvirtd.conf; else remove one of the two entries."));
}

const GwRule gw_rule_same_host = { "same-host",       "R4",
                                   GW_SEVERITY_ERROR, "The destination must be another host.",
                                   GW_RULE_MOVES,     check_same_host };

static void check_one_status(const GwRule *self, const GwHost *host, GPtrArray *findings)
{
    gboolean answers = host->status == (int)GW_HOST_OK || host->status == (int)GW_HOST_OK_LIMITED;
    const char *name = gw_plan_host_name(host);

    if (answers && host->facts != NULL)
        return;
    if (answers)
        gw_rule_add(self, findings, g_strdup_printf("%s has not yet said what it is", name),
                    g_strdup("A host whose CPU, memory, storage and networks are known."),
                    g_strdup("Wait a moment, or refresh the host."));
    else
        gw_rule_add(
            self, findings,
            g_strdup_printf("%s: %s%s%s", name, gw_enum_word(&gw_host_status_enum, host->status),
                            host->status_reason != NULL ? ", " : "",
                            host->status_reason != NULL ? host->status_reason : ""),
            g_strdup("Status OK or OK (Limited) at both ends."),
            host->status_remedy != NULL ? g_strdup(host->status_remedy)
                                        : g_strdup_printf("See that libvirt answers on %s.", name));
}

static void check_status(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    check_one_status(self, input->source, findings);
    if (!gw_plan_is_within(input))
        check_one_status(self, input->destination, findings);
}

const GwRule gw_rule_host_status = { "host-status",     "R32",
                                     GW_SEVERITY_ERROR, "Both hosts must answer.",
                                     GW_RULE_ALWAYS,    check_status };

static void check_one_enabled(const GwRule *self, const GwHost *host, GPtrArray *findings)
{
    if (host->live_migration_enabled)
        return;
    gw_rule_add(self, findings,
                g_strdup_printf("Live migration is disabled on %s", gw_plan_host_name(host)),
                g_strdup("Live migration enabled at both ends."),
                g_strdup_printf("Enable it in the settings of %s.", gw_plan_host_name(host)));
}

static void check_live_enabled(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    check_one_enabled(self, input->source, findings);
    check_one_enabled(self, input->destination, findings);
}

const GwRule gw_rule_live_enabled = {
    "live-enabled",    "R1",
    GW_SEVERITY_ERROR, "Live migration must be enabled at both ends.",
    GW_RULE_LIVE,      check_live_enabled
};

static void check_one_limit(const GwRule *self, const GwHost *host, GPtrArray *findings)
{
    if (host->live_limit > 0)
        return;
    gw_rule_add(
        self, findings,
        g_strdup_printf("%s allows 0 simultaneous live migrations", gw_plan_host_name(host)),
        g_strdup("A limit of 1 or more at both ends: the move would wait for ever."),
        g_strdup_printf("Raise the limit in the settings of %s (the default is %d).",
                        gw_plan_host_name(host), GW_LIMIT_DEFAULT));
}

static void check_live_limit(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    check_one_limit(self, input->source, findings);
    check_one_limit(self, input->destination, findings);
}

const GwRule gw_rule_live_limit = {
    "live-limit",      "R20",
    GW_SEVERITY_ERROR, "Both hosts must allow at least one live migration.",
    GW_RULE_LIVE,      check_live_limit
};

static void check_one_storage_limit(const GwRule *self, const GwPlanInput *input,
                                    const GwHost *host, GPtrArray *findings)
{
    if (host->storage_limit > 0)
        return;
    gw_rule_add(self, findings,
                g_strdup_printf("%s allows 0 simultaneous storage migrations, and this move (%s) "
                                "is one",
                                gw_plan_host_name(host),
                                gw_enum_word(&gw_transfer_enum, (int)input->storage->transfer)),
                g_strdup("A limit of 1 or more at both ends: the move would wait for ever."),
                g_strdup_printf("Raise the limit in the settings of %s (the default is %d).",
                                gw_plan_host_name(host), GW_LIMIT_DEFAULT));
}

static void check_storage_limit(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    if (gw_slots_of_transfer(input->storage->transfer).storage == 0)
        return;
    check_one_storage_limit(self, input, input->source, findings);
    if (!gw_plan_is_within(input))
        check_one_storage_limit(self, input, input->destination, findings);
}

const GwRule gw_rule_storage_limit = { "storage-limit",
                                       "R21",
                                       GW_SEVERITY_ERROR,
                                       "A move that copies disks needs room for a storage "
                                       "migration at both ends.",
                                       GW_RULE_ALWAYS,
                                       check_storage_limit };

static void check_architecture(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const char *theirs = gw_plan_facts(input->destination)->arch;
    const char *ours = input->vm->arch;

    if (ours == NULL || theirs == NULL || g_strcmp0(ours, theirs) == 0)
        return;
    /* An x86_64 host runs 32-bit guests as well. */
    if (g_strcmp0(ours, "i686") == 0 && g_strcmp0(theirs, "x86_64") == 0)
        return;
    gboolean emulated = g_strcmp0(input->vm->virt_type, "qemu") == 0;
    gw_rule_add_as(self, emulated ? GW_SEVERITY_WARNING : GW_SEVERITY_ERROR, findings,
                   g_strdup_printf("%s is a %s machine, %s is %s%s", gw_plan_vm_name(input->vm),
                                   ours, gw_plan_host_name(input->destination), theirs,
                                   emulated ? "; it would be emulated" : ""),
                   g_strdup_printf("A host of architecture %s.", ours),
                   emulated ? g_strdup_printf("See that %s has an emulator for %s.",
                                              gw_plan_host_name(input->destination), ours)
                            : g_strdup_printf("Choose a host that is %s.", ours));
}

const GwRule gw_rule_architecture = {
    "architecture",    "R45",
    GW_SEVERITY_ERROR, "The destination must have the VM's architecture.",
    GW_RULE_MOVES,     check_architecture
};

static void check_virt_type(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const char *type = input->vm->virt_type;

    if (type == NULL || g_strcmp0(type, "kvm") == 0 || g_strcmp0(type, "qemu") == 0)
        return;
    gw_rule_add(
        self, findings,
        g_strdup_printf("%s is a VM of type '%s'", gw_plan_vm_name(input->vm), type),
        g_strdup("A VM of type kvm or qemu."),
        g_strdup_printf("Move %s by the means of its own hypervisor.", gw_plan_vm_name(input->vm)));
}

const GwRule gw_rule_virt_type = { "virt-type",       "R45",
                                   GW_SEVERITY_ERROR, "The VM must be QEMU's, with or without KVM.",
                                   GW_RULE_ALWAYS,    check_virt_type };

/* What QEMU itself takes, and what the host needs to go on. */
static gint64 headroom_kib(gint64 memory_kib)
{
    return 256 * 1024 + memory_kib / 16;
}

static void check_memory(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GwHostFacts *facts = gw_plan_facts(input->destination);
    gint64 need = CLAMP(gw_plan_memory_kib(input->vm), 0, G_MAXINT64 / 4);

    if (facts->memory_kib == 0 || need == 0)
        return; /* not known: host-status says so */
    GwArrivals arrivals = gw_shared_arrivals(input);
    gint64 left = MAX(facts->free_memory_kib, 0) - arrivals.memory_kib;
    if (left >= need + headroom_kib(need))
        return;

    const char *to = gw_plan_host_name(input->destination);
    g_autofree char *free_text = gw_plan_size(facts->free_memory_kib);
    g_autofree char *expected_text = gw_plan_size(arrivals.memory_kib);
    g_autofree char *need_text = gw_plan_size(need);
    g_autofree char *spare_text = gw_plan_size(headroom_kib(need));
    g_autofree char *promised =
        arrivals.jobs > 0
            ? g_strdup_printf(", of which %u other move%s will take %s", arrivals.jobs,
                              arrivals.jobs == 1 ? "" : "s", expected_text)
            : g_strdup("");
    gw_rule_add_as(self, left < need ? GW_SEVERITY_ERROR : GW_SEVERITY_WARNING, findings,
                   g_strdup_printf("%s has %s of memory free%s", to, free_text, promised),
                   g_strdup_printf("%s for %s, and %s to spare.", need_text,
                                   gw_plan_vm_name(input->vm), spare_text),
                   g_strdup_printf("Choose a host with more free memory, or move a VM away from "
                                   "%s first.",
                                   to));
}

const GwRule gw_rule_memory = {
    "memory",          "R45",
    GW_SEVERITY_ERROR, "The VM must fit into the destination's free memory.",
    GW_RULE_STARTS,    check_memory
};

static void check_version(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                          const char *what, gint64 from, gint64 to)
{
    if (from == 0 || to == 0 || to >= from)
        return;
    g_autofree char *from_text = gw_plan_version(from);
    g_autofree char *to_text = gw_plan_version(to);
    gw_rule_add(self, findings,
                g_strdup_printf("%s has %s %s, %s has the older %s",
                                gw_plan_host_name(input->source), what, from_text,
                                gw_plan_host_name(input->destination), to_text),
                g_strdup_printf("%s at the destination at least as new as at the source.", what),
                g_strdup_printf("A move to an older version often works, but nobody promises it; "
                                "if it fails, %s stays on %s. Update %s.",
                                gw_plan_vm_name(input->vm), gw_plan_host_name(input->source),
                                gw_plan_host_name(input->destination)));
}

static void check_older_version(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GwHostFacts *from = gw_plan_facts(input->source);
    const GwHostFacts *to = gw_plan_facts(input->destination);

    check_version(self, input, findings, "QEMU", from->qemu_version, to->qemu_version);
    check_version(self, input, findings, "libvirt", from->libvirt_version, to->libvirt_version);
}

const GwRule gw_rule_older_version = {
    "older-version",     "R65",
    GW_SEVERITY_WARNING, "Moves to older QEMU or libvirt are not guaranteed.",
    GW_RULE_LIVE,        check_older_version
};
