/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/text.h"
#include "plan/rule.h"

const GwRule *const gw_rules[] = {
    &gw_rule_same_host,
    &gw_rule_host_status,
    &gw_rule_maintenance,
    &gw_rule_live_enabled,
    &gw_rule_live_limit,
    &gw_rule_storage_limit,
    &gw_rule_vm_readable,
    &gw_rule_vm_running,
    &gw_rule_vm_godwit_job,
    &gw_rule_vm_libvirt_job,
    &gw_rule_vm_twin,
    &gw_rule_transfer_type,
    &gw_rule_disk_choice,
    &gw_rule_storage_reach,
    &gw_rule_storage_path,
    &gw_rule_storage_place,
    &gw_rule_share_path,
    &gw_rule_volume_name,
    &gw_rule_volume_there,
    &gw_rule_disk_format,
    &gw_rule_storage_moves,
    &gw_rule_chain_path,
    &gw_rule_image_chain,
    &gw_rule_block_job,
    &gw_rule_internal_snapshots,
    &gw_rule_cdrom,
    &gw_rule_floppy,
    &gw_rule_transient_disk,
    &gw_rule_shareable_disk,
    &gw_rule_disk_cache,
    &gw_rule_direct_io,
    &gw_rule_storage_space,
    &gw_rule_disk_size,
    &gw_rule_file_size,
    &gw_rule_permissions,
    &gw_rule_encrypted_image,
    &gw_rule_disk_serial,
    &gw_rule_san_reach,
    &gw_rule_san_override,
    &gw_rule_virtual_hba,
    &gw_rule_virtual_hba_san,
    &gw_rule_hba_choice,
    &gw_rule_share_server,
    &gw_rule_backing_chain,
    &gw_rule_pci_passthrough,
    &gw_rule_device_passthrough,
    &gw_rule_nic_passthrough,
    &gw_rule_tpm_kind,
    &gw_rule_state_copied,
    &gw_rule_management_network,
    &gw_rule_nic_choice,
    &gw_rule_network,
    &gw_rule_bridge,
    &gw_rule_nic_kind,
    &gw_rule_network_mtu,
    &gw_rule_network_forward,
    &gw_rule_network_vlan,
    &gw_rule_vm_affinity,
    &gw_rule_vm_anti_affinity,
    &gw_rule_run_on,
    &gw_rule_keep_off,
    &gw_rule_network_hosts,
    &gw_rule_architecture,
    &gw_rule_virt_type,
    &gw_rule_cpu_compatible,
    &gw_rule_cpu_passthrough,
    &gw_rule_machine_type,
    &gw_rule_memory,
    &gw_rule_older_version,
    &gw_rule_way_back,
    &gw_rule_snapshots,
    &gw_rule_option_conflict,
    &gw_rule_tls_certificates,
    &gw_rule_transient_vm,
    &gw_rule_autostart,
    NULL,
};

void gw_rule_add_as(const GwRule *self, GwSeverity severity, GPtrArray *findings, char *observed,
                    char *required, char *remedy)
{
    GwFinding *finding = gw_finding_new();

    finding->rule = g_strdup(self->name);
    finding->requirement = g_strdup(self->requirement);
    finding->severity = (int)severity;
    finding->observed = gw_text_printable(observed, GW_TEXT_MESSAGE_MAX);
    finding->required = gw_text_printable(required, GW_TEXT_MESSAGE_MAX);
    finding->remedy = gw_text_printable(remedy, GW_TEXT_MESSAGE_MAX);
    g_free(observed);
    g_free(required);
    g_free(remedy);
    g_ptr_array_add(findings, finding);
}

void gw_rule_add(const GwRule *self, GPtrArray *findings, char *observed, char *required,
                 char *remedy)
{
    gw_rule_add_as(self, self->severity, findings, observed, required, remedy);
}

const char *gw_plan_text(const char *text)
{
    return text != NULL && *text != '\0' ? text : "(unknown)";
}

char *gw_plan_list_end(GString *list)
{
    if (list->len == 0)
        g_string_append(list, "none");
    return g_string_free(list, FALSE);
}

const char *gw_plan_host_name(const GwHost *host)
{
    return gw_plan_text(host->name != NULL ? host->name : host->id);
}

const char *gw_plan_vm_name(const GwVm *vm)
{
    return gw_plan_text(vm->name != NULL ? vm->name : vm->uuid);
}

const GwMoveOptions *gw_plan_options(const GwPlanInput *input)
{
    static const GwMoveOptions none;
    return input->options != NULL ? input->options : &none;
}

const GwHostFacts *gw_plan_facts(const GwHost *host)
{
    static const GwHostFacts none;
    return host->facts != NULL ? host->facts : &none;
}

char *gw_plan_quote(const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./:@%+,=";

    if (text == NULL || *text == '\0' || *text == '=' || text[strspn(text, plain)] != '\0')
        return g_shell_quote(text != NULL ? text : "");
    return g_strdup(text);
}

char *gw_plan_virsh_vm(const GwVm *vm)
{
    /* virsh takes a number for an id and a UUID for a UUID before it looks at names. */
    gboolean plain =
        vm->name != NULL && g_ascii_isalpha(*vm->name) && !g_uuid_string_is_valid(vm->name);
    return gw_plan_quote(plain ? vm->name : vm->uuid);
}

char *gw_plan_version(gint64 version)
{
    return g_strdup_printf("%" G_GINT64_FORMAT ".%" G_GINT64_FORMAT ".%" G_GINT64_FORMAT,
                           version / 1000000, version / 1000 % 1000, version % 1000);
}

char *gw_plan_size(gint64 kib)
{
    if (kib < 1024 * 1024)
        return g_strdup_printf("%" G_GINT64_FORMAT " MiB", kib / 1024);
    return g_strdup_printf("%.1f GiB", (double)kib / (1024 * 1024));
}

gint64 gw_plan_memory_kib(const GwVm *vm)
{
    return MAX(vm->max_memory_kib, vm->memory_kib);
}

gboolean gw_plan_is_other_job(const GwPlanInput *input, const GwJob *job)
{
    return !gw_job_state_is_final((GwJobState)job->state) && g_strcmp0(job->id, input->job_id) != 0;
}

gboolean gw_plan_is_live(const GwVm *vm)
{
    return vm->state != (int)GW_VM_OFF;
}

gboolean gw_plan_is_within(const GwPlanInput *input)
{
    return g_strcmp0(input->source->id, input->destination->id) == 0;
}

const GwDiskMove *gw_plan_disk_move(const GwPlanInput *input, const char *target)
{
    return gw_record_find(&gw_disk_move_record, input->storage->disks, "target", target);
}

gboolean gw_plan_is_copied(const GwDiskMove *move)
{
    static const gboolean copied[] = {
        [GW_DISK_MIRROR] = TRUE,    [GW_DISK_BLOCK_COPY] = TRUE, [GW_DISK_NETWORK] = TRUE,
        [GW_DISK_FAST_COPY] = TRUE, [GW_DISK_CONVERT] = TRUE,    [GW_DISK_LEFT] = FALSE,
    };
    return move != NULL && (guint)move->how < G_N_ELEMENTS(copied) && copied[move->how];
}
