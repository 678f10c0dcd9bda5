/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/shared.h"

/* Rules on the VM itself: its state, its jobs, its devices of the host. */

static void check_readable(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    if (input->vm->error == NULL)
        return;
    g_autofree char *vm = gw_plan_virsh_vm(input->vm);
    gw_rule_add(self, findings,
                g_strdup_printf("The definition of %s cannot be read: %s",
                                gw_plan_vm_name(input->vm), input->vm->error),
                g_strdup("A definition that can be checked in full."),
                g_strdup_printf("Look at it on %s (virsh dumpxml %s) and correct it.",
                                gw_plan_host_name(input->source), vm));
}

const GwRule gw_rule_vm_readable = { "vm-readable",     "I8",
                                     GW_SEVERITY_ERROR, "The VM's definition must be readable.",
                                     GW_RULE_ALWAYS,    check_readable };

/* What to do about a VM in a state that cannot be moved live; %s is the VM as virsh takes it. */
static const char *const state_remedies[] = {
    [GW_VM_UNKNOWN] = "Refresh the host; see virsh domstate %s --reason.",
    [GW_VM_PAUSED] = "Resume it first: godwit vm start %s.",
    [GW_VM_SHUTDOWN] = "It is going off. Start it again afterwards: godwit vm start %s.",
    [GW_VM_CRASHED] = "Find out why it crashed, then start it: godwit vm start %s.",
    [GW_VM_SUSPENDED] = "Wake it first: virsh dompmwakeup %s.",
};

static void check_running(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GwVm *vm = input->vm;
    const char *name = gw_plan_vm_name(vm);

    if (vm->incoming) {
        gw_rule_add(self, findings,
                    g_strdup_printf("%s on %s is the receiving side of a move that is under way",
                                    name, gw_plan_host_name(input->source)),
                    g_strdup("A running VM."), g_strdup("Wait until that move has ended."));
        return;
    }
    if (gw_vm_is_running(vm) || !gw_plan_is_live(vm))
        return;
    guint state = (guint)vm->state < G_N_ELEMENTS(state_remedies) ? (guint)vm->state : 0;
    g_autofree char *quoted = gw_plan_virsh_vm(vm);
    g_auto(GStrv) parts = g_strsplit(state_remedies[state], "%s", 2);
    gw_rule_add(self, findings,
                g_strdup_printf("%s is %s%s%s%s", name,
                                state == GW_VM_UNKNOWN ? "in an unknown state"
                                                       : gw_enum_word(&gw_vm_state_enum, vm->state),
                                vm->state_reason != NULL ? " (" : "",
                                vm->state_reason != NULL ? vm->state_reason : "",
                                vm->state_reason != NULL ? ")" : ""),
                g_strdup("A VM that runs, or one that is off."),
                g_strjoin(quoted, parts[0], parts[1], NULL));
}

const GwRule gw_rule_vm_running = {
    "vm-running",      "R3",
    GW_SEVERITY_ERROR, "The VM must run, or be off: one in between does not move.",
    GW_RULE_ALWAYS,    check_running
};

static void check_libvirt_job(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    if (!input->vm->job_active)
        return;
    g_autofree char *vm = gw_plan_virsh_vm(input->vm);
    gw_rule_add(self, findings,
                g_strdup_printf("libvirt is working on %s (save, dump, backup or a migration that "
                                "Godwit did not start)",
                                gw_plan_vm_name(input->vm)),
                g_strdup("No other job on the VM: libvirt runs one at a time."),
                g_strdup_printf("Wait for it, or end it on %s: virsh domjobabort %s.",
                                gw_plan_host_name(input->source), vm));
}

const GwRule gw_rule_vm_libvirt_job = {
    "vm-libvirt-job",  "R31",
    GW_SEVERITY_ERROR, "No other libvirt job may run on the VM.",
    GW_RULE_ALWAYS,    check_libvirt_job
};

static void check_godwit_job(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GPtrArray *jobs = gw_shared_jobs_of(input, input->vm->uuid);

    for (guint i = 0; jobs != NULL && i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        if (!gw_plan_is_other_job(input, job))
            continue;
        gboolean held = job->state == (int)GW_JOB_HELD;
        gw_rule_add(
            self, findings,
            g_strdup_printf("Job %s is %s on %s", job->id,
                            gw_enum_word(&gw_job_state_enum, job->state),
                            gw_plan_vm_name(input->vm)),
            g_strdup("No other job of Godwit on the VM."),
            held ? g_strdup_printf("Answer it: godwit job settle %s.", job->id)
                 : g_strdup_printf("Wait for it, or cancel it: godwit job cancel %s.", job->id));
        return;
    }
}

const GwRule gw_rule_vm_godwit_job = { "vm-godwit-job",   "I1",
                                       GW_SEVERITY_ERROR, "Only one job may hold a VM.",
                                       GW_RULE_ALWAYS,    check_godwit_job };

static void add_twin(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                     const GwVm *twin)
{
    const char *to = gw_plan_host_name(input->destination);
    const char *name = gw_plan_vm_name(twin);
    g_autofree char *quoted = gw_plan_virsh_vm(twin);

    if (gw_vm_is_active(twin))
        gw_rule_add(self, findings,
                    g_strdup_printf("%s also holds %s, and it is %s there", to, name,
                                    gw_enum_word(&gw_vm_state_enum, twin->state)),
                    g_strdup("The VM on one host only."),
                    g_strdup_printf("Find out which of the two is the right one before anything "
                                    "else; on the other host: virsh destroy %s.",
                                    quoted));
    else
        gw_rule_add_as(self, GW_SEVERITY_WARNING, findings,
                       g_strdup_printf("%s keeps a definition of %s, which is off there", to, name),
                       g_strdup("The VM on one host only."),
                       g_strdup_printf("The move replaces that definition. If it is another VM, "
                                       "look at it first: virsh dumpxml %s on %s.",
                                       quoted, to));
}

static void check_twin(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const char *to = gw_plan_host_name(input->destination);
    GHashTable *vms = g_hash_table_lookup(input->fabric->vms, input->destination->id);
    GHashTableIter iter;
    gpointer value;

    if (vms == NULL)
        return;
    const GwVm *twin = input->vm->uuid != NULL ? g_hash_table_lookup(vms, input->vm->uuid) : NULL;
    if (twin != NULL) {
        /* While this very move runs, its own receiving side is there. */
        if (input->job_id == NULL || g_strcmp0(twin->job_id, input->job_id) != 0)
            add_twin(self, input, findings, twin);
        return;
    }
    g_hash_table_iter_init(&iter, vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwVm *other = value;
        if (g_strcmp0(other->name, input->vm->name) != 0)
            continue;
        gw_rule_add(self, findings,
                    g_strdup_printf("%s already holds another VM named %s (UUID %s)", to,
                                    gw_plan_vm_name(other), gw_plan_text(other->uuid)),
                    g_strdup("A name that is free at the destination."),
                    g_strdup("Rename one of the two while it is off: virsh domrename."));
        return;
    }
}

const GwRule gw_rule_vm_twin = {
    "vm-twin",         "R7",
    GW_SEVERITY_ERROR, "The destination must not hold the VM, or its name, already.",
    GW_RULE_MOVES,     check_twin
};

/* Whether an image below a disk would be merged into it. */
static gboolean flattens(const GwPlanInput *input)
{
    for (guint i = 0; i < input->storage->disks->len; i++) {
        const GwDiskMove *move = input->storage->disks->pdata[i];
        if (move->images != NULL && move->images->len > 0 &&
            ((const GwImageMove *)move->images->pdata[0])->flatten)
            return TRUE;
    }
    return FALSE;
}

static gboolean moves_images(const GwPlanInput *input)
{
    for (guint i = 0; i < input->storage->disks->len; i++) {
        if (gw_plan_is_copied(input->storage->disks->pdata[i]))
            return TRUE;
    }
    return FALSE;
}

static void check_snapshots(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const char *name = gw_plan_vm_name(input->vm);
    gint64 count = input->vm->snapshots;
    const char *plural = count == 1 ? "" : "s";

    if (count == 0)
        return;
    if (flattens(input))
        gw_rule_add_as(self, GW_SEVERITY_ERROR, findings,
                       g_strdup_printf("%s has %" G_GINT64_FORMAT " snapshot%s, and its images are "
                                       "to become one for each disk",
                                       name, count, plural),
                       g_strdup("The images that its snapshots speak of."),
                       g_strdup("Move without --flatten, or delete the snapshots first."));
    else
        gw_rule_add(self, findings,
                    g_strdup_printf("%s has %" G_GINT64_FORMAT " snapshot%s", name, count, plural),
                    g_strdup("libvirt moves no VM with snapshots: what it knows of them is taken "
                             "along by Godwit."),
                    g_strdup(moves_images(input)
                                 ? "Nothing to do. External snapshots go on naming the images "
                                   "where they were: see virsh snapshot-dumpxml before reverting."
                                 : "Nothing to do."));
}

const GwRule gw_rule_snapshots = {
    "snapshots",         "R31",
    GW_SEVERITY_WARNING, "Snapshots move with the VM, with the images that they need.",
    GW_RULE_ALWAYS,      check_snapshots
};

static void add_device(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                       const GwHostdev *device)
{
    g_autofree char *vm = gw_plan_virsh_vm(input->vm);
    gw_rule_add(self, findings,
                g_strdup_printf("The %s device %s of %s is passed through to %s",
                                gw_plan_text(device->type), gw_plan_text(device->address),
                                gw_plan_host_name(input->source), gw_plan_vm_name(input->vm)),
                g_strdup("No device of the host in the VM: it cannot follow."),
                g_strdup_printf("Detach it: virsh detach-device %s FILE --live, with its <hostdev> "
                                "in FILE.",
                                vm));
}

static gboolean is_pci(const GwHostdev *device)
{
    return g_strcmp0(device->type, "pci") == 0;
}

static void check_devices(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                          gboolean pci)
{
    const GPtrArray *devices = input->vm->hostdevs;

    for (guint i = 0; devices != NULL && i < devices->len; i++) {
        if (is_pci(devices->pdata[i]) == pci)
            add_device(self, input, findings, devices->pdata[i]);
    }
}

static void check_pci(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    check_devices(self, input, findings, TRUE);
}

const GwRule gw_rule_pci_passthrough = { "pci-passthrough", "R55",
                                         GW_SEVERITY_ERROR, "No PCI device may be passed through.",
                                         GW_RULE_STARTS,    check_pci };

static void check_other_devices(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    check_devices(self, input, findings, FALSE);
}

const GwRule gw_rule_device_passthrough = {
    "device-passthrough", "R55",
    GW_SEVERITY_ERROR,    "No USB, mediated, SCSI or other device may be passed through.",
    GW_RULE_STARTS,       check_other_devices
};

static void check_tpm(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const char *tpm = input->vm->tpm;

    if (tpm == NULL || g_strcmp0(tpm, "emulator") == 0)
        return;
    gw_rule_add(self, findings,
                g_strdup_printf("The TPM of %s is of kind '%s', whose state is not the VM's own",
                                gw_plan_vm_name(input->vm), tpm),
                g_strdup("An emulated TPM: its state moves with the VM."),
                g_strdup("Give it an emulated TPM while it is off; what is sealed in the present "
                         "one is lost with it."));
}

const GwRule gw_rule_tpm_kind = { "tpm-kind",        "R55",
                                  GW_SEVERITY_ERROR, "A TPM must be emulated.",
                                  GW_RULE_STARTS,    check_tpm };

static gboolean is_copied(const GwPlanInput *input, const char *target)
{
    const GwDiskMove *move = gw_plan_disk_move(input, target);
    return move != NULL && move->how == (int)GW_DISK_NETWORK;
}

/* The state of a VM that is off lies in files of its host's own that no pool shows. */
static void check_state_copied(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GwVm *vm = input->vm;

    if (g_strcmp0(vm->tpm, "emulator") == 0 && is_copied(input, "tpm"))
        gw_rule_add(self, findings,
                    g_strdup_printf("The state of the TPM of %s is in a folder of %s, which is not "
                                    "copied while the VM is off",
                                    gw_plan_vm_name(vm), gw_plan_host_name(input->source)),
                    g_strdup("A VM that runs: its TPM's state travels with its memory."),
                    g_strdup("Start the VM and move it live (Live (VSM))."));
    else if (vm->nvram != NULL && is_copied(input, "nvram") &&
             !gw_plan_through_agents(input->source, input->destination))
        gw_rule_add(self, findings,
                    g_strdup_printf("The UEFI variables of %s are a file of %s, which is copied "
                                    "between agents only while the VM is off",
                                    gw_plan_vm_name(vm), gw_plan_host_name(input->source)),
                    g_strdup("Agents on both hosts; or a VM that runs: its variables travel with "
                             "its memory."),
                    g_strdup("Install the agents (godwit host add HOST --install), or start the VM "
                             "and move it live (Live (VSM))."));
}

const GwRule gw_rule_state_copied = { "state-copied",
                                      "R14",
                                      GW_SEVERITY_ERROR,
                                      "UEFI variables and TPM state of a VM that is off must be "
                                      "within reach.",
                                      GW_RULE_OFF,
                                      check_state_copied };

static void check_transient_vm(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    if (input->vm->persistent || input->vm->error != NULL)
        return;
    g_autofree char *vm = gw_plan_virsh_vm(input->vm);
    if (!gw_plan_is_live(input->vm)) {
        gw_rule_add_as(self, GW_SEVERITY_ERROR, findings,
                       g_strdup_printf("%s is off, and %s keeps no definition of it",
                                       gw_plan_vm_name(input->vm),
                                       gw_plan_host_name(input->source)),
                       g_strdup("A persistent definition: it is what moves."),
                       g_strdup("Define it first: virsh define FILE."));
        return;
    }
    gw_rule_add(self, findings,
                g_strdup_printf("%s is transient: no host keeps its definition",
                                gw_plan_vm_name(input->vm)),
                g_strdup("A definition that outlives the VM's process."),
                g_strdup_printf("It stays transient at the destination. To keep it: virsh dumpxml "
                                "--migratable %s, then virsh define.",
                                vm));
}

const GwRule gw_rule_transient_vm = { "transient-vm",      "I2",
                                      GW_SEVERITY_WARNING, "A transient VM stays transient.",
                                      GW_RULE_MOVES,       check_transient_vm };

static void check_autostart(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    if (!input->vm->autostart)
        return;
    gw_rule_add(self, findings,
                g_strdup_printf("%s starts together with %s", gw_plan_vm_name(input->vm),
                                gw_plan_host_name(input->source)),
                g_strdup("Autostart on the host that holds the VM, and nowhere else."),
                g_strdup_printf("Nothing to do: the move takes autostart along to %s.",
                                gw_plan_host_name(input->destination)));
}

const GwRule gw_rule_autostart = { "autostart",         "R7",
                                   GW_SEVERITY_WARNING, "Autostart moves with the VM.",
                                   GW_RULE_MOVES,       check_autostart };
