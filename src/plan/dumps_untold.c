/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/text.h"
#include "plan/dumps.h"
#include "plan/restart.h"
#include "plan/rule.h"

/* What dumps do not tell: by subject, with the rules that rest on it. A test sees that each rule of
 * the planner is in this list. */

typedef enum {
    SUBJECT_NONE,
    SUBJECT_MACHINE,
    SUBJECT_CPU,
    SUBJECT_HOSTS,
    SUBJECT_MEMORY,
    SUBJECT_NETWORKS,
    SUBJECT_IMAGES,
    SUBJECT_VM,
    SUBJECT_SETTINGS,
    SUBJECTS
} Subject;

static const struct {
    const char *rule;
    GwToldBy by;
    Subject subject;
} rules[] = {
    { "vm-readable", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "transfer-type", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "disk-choice", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "storage-reach", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "storage-place", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "share-path", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "volume-name", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "disk-format", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "storage-moves", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "chain-path", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "block-job", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "cdrom", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "floppy", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "transient-disk", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "shareable-disk", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "disk-cache", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "disk-serial", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "san-override", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "backing-chain", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "pci-passthrough", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "device-passthrough", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "nic-passthrough", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "nic-choice", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "nic-kind", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "tpm-kind", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "state-copied", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "virt-type", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "option-conflict", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "storage-path", GW_TOLD_BY_DISKS, SUBJECT_NONE },
    { "san-reach", GW_TOLD_BY_DISKS, SUBJECT_NONE },
    { "virtual-hba", GW_TOLD_BY_DISKS, SUBJECT_NONE },
    { "virtual-hba-san", GW_TOLD_BY_DISKS, SUBJECT_NONE },
    { "hba-choice", GW_TOLD_BY_DOMAIN, SUBJECT_NONE },
    { "share-server", GW_TOLD_BY_DISKS, SUBJECT_NONE },
    { "storage-space", GW_TOLD_BY_DISKS, SUBJECT_NONE },
    { "volume-there", GW_TOLD_BY_DISKS, SUBJECT_NONE },
    { "disk-size", GW_TOLD_BY_DISKS, SUBJECT_NONE },
    { "file-size", GW_TOLD_BY_DISKS, SUBJECT_NONE },
    { "direct-io", GW_TOLD_BY_DISKS, SUBJECT_NONE },
    { "permissions", GW_TOLD_BY_DISKS, SUBJECT_NONE },
    { "architecture", GW_TOLD_BY_ARCHITECTURE, SUBJECT_MACHINE },
    { "machine-type", GW_TOLD_BY_MACHINES, SUBJECT_MACHINE },
    { "cpu-compatible", GW_TOLD_BY_VM_CPUS, SUBJECT_CPU },
    { "cpu-passthrough", GW_TOLD_BY_CPU_MODELS, SUBJECT_CPU },
    { "same-host", GW_TOLD_BY_HOST_UUIDS, SUBJECT_HOSTS },
    { "older-version", GW_TOLD_BY_NOBODY, SUBJECT_HOSTS },
    { "way-back", GW_TOLD_BY_NOBODY, SUBJECT_HOSTS },
    { "memory", GW_TOLD_BY_NOBODY, SUBJECT_MEMORY },
    { "network", GW_TOLD_BY_NOBODY, SUBJECT_NETWORKS },
    { "bridge", GW_TOLD_BY_NOBODY, SUBJECT_NETWORKS },
    { "management-network", GW_TOLD_BY_NOBODY, SUBJECT_NETWORKS },
    { "network-mtu", GW_TOLD_BY_NOBODY, SUBJECT_NETWORKS },
    { "network-forward", GW_TOLD_BY_NOBODY, SUBJECT_NETWORKS },
    { "network-vlan", GW_TOLD_BY_NOBODY, SUBJECT_NETWORKS },
    { "image-chain", GW_TOLD_BY_NOBODY, SUBJECT_IMAGES },
    { "internal-snapshots", GW_TOLD_BY_NOBODY, SUBJECT_IMAGES },
    { "encrypted-image", GW_TOLD_BY_NOBODY, SUBJECT_IMAGES },
    { "vm-running", GW_TOLD_BY_NOBODY, SUBJECT_VM },
    { "vm-libvirt-job", GW_TOLD_BY_NOBODY, SUBJECT_VM },
    { "snapshots", GW_TOLD_BY_NOBODY, SUBJECT_VM },
    { "transient-vm", GW_TOLD_BY_NOBODY, SUBJECT_VM },
    { "autostart", GW_TOLD_BY_NOBODY, SUBJECT_VM },
    { "vm-twin", GW_TOLD_BY_NOBODY, SUBJECT_VM },
    { "host-status", GW_TOLD_BY_NOBODY, SUBJECT_SETTINGS },
    { "maintenance", GW_TOLD_BY_NOBODY, SUBJECT_SETTINGS },
    { "live-enabled", GW_TOLD_BY_NOBODY, SUBJECT_SETTINGS },
    { "live-limit", GW_TOLD_BY_NOBODY, SUBJECT_SETTINGS },
    { "storage-limit", GW_TOLD_BY_NOBODY, SUBJECT_SETTINGS },
    { "vm-godwit-job", GW_TOLD_BY_NOBODY, SUBJECT_SETTINGS },
    { "vm-affinity", GW_TOLD_BY_NOBODY, SUBJECT_SETTINGS },
    { "vm-anti-affinity", GW_TOLD_BY_NOBODY, SUBJECT_SETTINGS },
    { "run-on", GW_TOLD_BY_NOBODY, SUBJECT_SETTINGS },
    { "keep-off", GW_TOLD_BY_NOBODY, SUBJECT_SETTINGS },
    { "network-hosts", GW_TOLD_BY_NOBODY, SUBJECT_SETTINGS },
    { "tls-certificates", GW_TOLD_BY_NOBODY, SUBJECT_SETTINGS },
};

gboolean gw_dumps_told_by(const char *rule, GwToldBy *by)
{
    *by = GW_TOLD_BY_DOMAIN;
    for (guint i = 0; i < G_N_ELEMENTS(rules); i++) {
        if (strcmp(rules[i].rule, rule) == 0) {
            *by = rules[i].by;
            return TRUE;
        }
    }
    return FALSE;
}

/* Without a version it is an alias, which stands for another machine on each host; libvirt writes
 * none into a definition, but people do. */
static gboolean is_alias(const char *machine)
{
    const char *dash = strrchr(machine, '-');
    return dash == NULL || !g_ascii_isdigit(dash[1]);
}

static gboolean are_machines_told(const GwVm *vm, const GwHostFacts *facts)
{
    if (facts->arch == NULL || facts->machines == NULL || facts->machines[0] == NULL ||
        vm->machine == NULL || g_strcmp0(vm->arch, facts->arch) != 0)
        return FALSE;
    return !is_alias(vm->machine) ||
           g_strv_contains((const char *const *)facts->machines, vm->machine);
}

static gboolean sees_host_cpu(const GwVm *vm)
{
    return g_strcmp0(vm->cpu_mode, "host-passthrough") == 0 ||
           g_strcmp0(vm->cpu_mode, "maximum") == 0;
}

/* What stands for whatever the source has is not told by its name. */
static gboolean is_cpu_told(const GwVm *vm, const GwHostFacts *facts)
{
    const GwHost host = { .facts = (GwHostFacts *)facts };
    return gw_plan_cpu_on(&host, vm, vm->cpu, NULL) != GW_CPU_UNKNOWN;
}

gboolean gw_dumps_is_told(const GwDumps *dumps, const char *rule)
{
    static const GwHostFacts none;
    const GwHostFacts *from = dumps->source != NULL ? dumps->source : &none;
    const GwHostFacts *to = dumps->destination != NULL ? dumps->destination : &none;
    GwToldBy by = GW_TOLD_BY_DOMAIN;

    gw_dumps_told_by(rule, &by);
    switch (by) {
    case GW_TOLD_BY_DOMAIN:
        return TRUE;
    case GW_TOLD_BY_ARCHITECTURE:
        return to->arch != NULL && dumps->vm->arch != NULL;
    case GW_TOLD_BY_MACHINES:
        return are_machines_told(dumps->vm, to);
    case GW_TOLD_BY_VM_CPUS:
        return is_cpu_told(dumps->vm, to);
    case GW_TOLD_BY_CPU_MODELS: /* asked of VMs that see their host's own CPU */
        return !sees_host_cpu(dumps->vm) || (from->cpu_model != NULL && to->cpu_model != NULL);
    case GW_TOLD_BY_HOST_UUIDS:
        return from->host_uuid != NULL && to->host_uuid != NULL;
    case GW_TOLD_BY_DISKS:
    case GW_TOLD_BY_NOBODY:
        break;
    }
    return FALSE;
}

/* The rules of a subject that could not judge. */
static char **untold_rules(const GwDumps *dumps, Subject subject)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    for (guint i = 0; i < G_N_ELEMENTS(rules); i++) {
        if (rules[i].subject == subject && !gw_dumps_is_told(dumps, rules[i].rule))
            g_strv_builder_add(builder, rules[i].rule);
    }
    return g_strv_builder_end(builder);
}

/* What has to be so, by subject; NULL: nothing of this VM rests on it. */
typedef char *(*Required)(const GwDumps *dumps, char **tells);

static char *require_machine(const GwDumps *dumps, char **tells)
{
    const GwVm *vm = dumps->vm;

    *tells = g_strdup(dumps->destination == NULL || dumps->destination->machines == NULL
                          ? "virsh capabilities on the destination: --capabilities FILE."
                          : "virsh dumpxml of the VM as libvirt has it, and virsh domcapabilities "
                            "on the destination.");
    return g_strdup_printf("The destination knows machine type %s of architecture %s.",
                           gw_plan_text(vm->machine), gw_plan_text(vm->arch));
}

static char *require_cpu(const GwDumps *dumps, char **tells)
{
    const GwVm *vm = dumps->vm;
    const char *mode = vm->cpu_mode != NULL ? vm->cpu_mode : "default";

    *tells = g_strdup("virsh domcapabilities on the destination (--domain-capabilities FILE); for "
                      "certain, there: virsh hypervisor-cpu-compare FILE, with the dump of the "
                      "running VM as FILE.");
    return g_strdup_printf("The destination provides every feature of its CPU (%s%s%s).", mode,
                           vm->cpu_model != NULL ? ", " : "",
                           vm->cpu_model != NULL ? vm->cpu_model : "");
}

static char *require_versions(const GwDumps *dumps, char **tells)
{
    (void)dumps;
    *tells = g_strdup("virsh version on both hosts.");
    return g_strdup("Two hosts, and libvirt and QEMU at the destination as new as at the source; "
                    "for a move back, no newer.");
}

static char *require_memory(const GwDumps *dumps, char **tells)
{
    g_autofree char *size = gw_plan_size(gw_plan_memory_kib(dumps->vm));

    *tells = g_strdup("virsh nodememstats on the destination.");
    return g_strdup_printf("The destination has %s of memory free, and some to spare.", size);
}

static void add_network(GString *out, const GwNic *nic)
{
    const char *kind = g_strcmp0(nic->type, "network") == 0  ? "network"
                       : g_strcmp0(nic->type, "bridge") == 0 ? "bridge"
                                                             : NULL;
    if (kind == NULL)
        return;
    g_autofree char *one = g_strdup_printf("%s '%s'", kind, gw_plan_text(nic->source));
    /* Several adapters may be on one. */
    if (strstr(out->str, one) == NULL)
        g_string_append_printf(out, "%s%s", out->len > 0 ? ", " : "", one);
}

static char *require_networks(const GwDumps *dumps, char **tells)
{
    g_autoptr(GString) all = g_string_new(NULL);
    const GPtrArray *nics = dumps->vm->nics;

    for (guint i = 0; nics != NULL && i < nics->len; i++)
        add_network(all, nics->pdata[i]);
    if (all->len == 0)
        return NULL;
    *tells = g_strdup("On the destination: virsh net-list, and ip link show type bridge.");
    return g_strdup_printf("The destination has, active and on the same network: %s.", all->str);
}

static char *require_images(const GwDumps *dumps, char **tells)
{
    if (dumps->vm->disks == NULL || dumps->vm->disks->len == 0)
        return NULL;
    *tells = g_strdup("On the source: qemu-img info -U --backing-chain FILE for each image; on the "
                      "destination: virsh secret-list.");
    return g_strdup("Every image is readable to the last of its chain, has no snapshots inside "
                    "where it is copied, and its secrets are at the destination.");
}

static char *require_vm(const GwDumps *dumps, char **tells)
{
    g_autofree char *vm = gw_plan_virsh_vm(dumps->vm);

    *tells = g_strdup_printf("On the source: virsh domstate %s, virsh domjobinfo %s and virsh "
                             "snapshot-list %s; on the destination: virsh list --all.",
                             vm, vm, vm);
    return g_strdup_printf("It is %s, no job of libvirt works on it, and the destination has no VM "
                           "of its name or UUID.",
                           dumps->off ? "off" : "running");
}

static char *require_settings(const GwDumps *dumps, char **tells)
{
    (void)dumps;
    *tells = g_strdup("A controller that manages both hosts: godwit explain VM HOST.");
    return g_strdup("Both hosts answer, take part in live migration, are not in maintenance, and "
                    "no placement rule is against it.");
}

static const struct {
    const char *subject;
    Required required;
} subjects[SUBJECTS] = {
    [SUBJECT_MACHINE] = { "machine", require_machine },
    [SUBJECT_CPU] = { "CPU", require_cpu },
    [SUBJECT_HOSTS] = { "versions", require_versions },
    [SUBJECT_MEMORY] = { "memory", require_memory },
    [SUBJECT_NETWORKS] = { "networks", require_networks },
    [SUBJECT_IMAGES] = { "images", require_images },
    [SUBJECT_VM] = { "state", require_vm },
    [SUBJECT_SETTINGS] = { "settings", require_settings },
};

static char *printable(char *text)
{
    char *clean = gw_text_printable(text, GW_TEXT_MESSAGE_MAX);

    g_free(text);
    return clean;
}

GPtrArray *gw_dumps_untold(const GwDumps *dumps)
{
    GPtrArray *all = gw_record_array(&gw_untold_record);

    for (int i = SUBJECT_NONE + 1; i < (int)SUBJECTS; i++) {
        g_auto(GStrv) names = untold_rules(dumps, (Subject)i);
        char *tells = NULL;
        char *required = names[0] != NULL ? subjects[i].required(dumps, &tells) : NULL;
        if (required == NULL)
            continue;
        GwUntold *untold = gw_untold_new();
        untold->subject = g_strdup(subjects[i].subject);
        untold->rules = g_steal_pointer(&names);
        untold->required = printable(required);
        untold->tells = printable(tells);
        g_ptr_array_add(all, untold);
    }
    return all;
}
