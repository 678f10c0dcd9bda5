/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/plan.h"

/* What the rules share. Names and words from hosts may hold anything: findings are cleaned as they
 * are added, and what goes into a command is quoted. */

/* Adds a finding with the rule's own severity, or a given one. Take ownership of the three texts.
 */
void gw_rule_add(const GwRule *self, GPtrArray *findings, char *observed, char *required,
                 char *remedy);
void gw_rule_add_as(const GwRule *self, GwSeverity severity, GPtrArray *findings, char *observed,
                    char *required, char *remedy);

/* candidate.c. Asks @rule, where it is about moves of @kind (one of GwRuleWhen). */
void gw_rule_run(const GwRule *rule, guint kind, const GwPlanInput *input, GPtrArray *findings);
/* Errors first, each kind in its order. TRUE: there are none. */
gboolean gw_findings_sort(GPtrArray *findings);

/* Never NULL. Borrowed. */
const char *gw_plan_text(const char *text);
const char *gw_plan_host_name(const GwHost *host);
const char *gw_plan_vm_name(const GwVm *vm);
const GwMoveOptions *gw_plan_options(const GwPlanInput *input);
const GwHostFacts *gw_plan_facts(const GwHost *host);

/* The text of a list, "none" where it is empty. Takes over @list. */
char *gw_plan_list_end(GString *list);
/* @text as one word of a shell command, quoted only where it must be. */
char *gw_plan_quote(const char *text);
/* The VM as virsh takes it: its name where that can mean nothing else, else its UUID; quoted. */
char *gw_plan_virsh_vm(const GwVm *vm);
/* 11003000 -> "11.3.0". */
char *gw_plan_version(gint64 version);
/* KiB in words: "8.0 GiB". */
char *gw_plan_size(gint64 kib);
/* What the VM's memory can come to, KiB. */
gint64 gw_plan_memory_kib(const GwVm *vm);
/* Whether @job, not final, is another than the one planned. */
gboolean gw_plan_is_other_job(const GwPlanInput *input, const GwJob *job);

/* The VM moves as one that runs: by QEMU, not by copies of files. */
gboolean gw_plan_is_live(const GwVm *vm);
/* Where @target goes; NULL: not known. */
const GwDiskMove *gw_plan_disk_move(const GwPlanInput *input, const char *target);
/* Whether a running VM's disk can be compared with @kept block by block, to any use. */
gboolean gw_plan_is_comparable(const GwFabric *fabric, const GwKeptVolume *kept);
/* Whether anything of it is copied to another place. */
gboolean gw_plan_is_copied(const GwDiskMove *move);
/* Whether source and destination are one host. */
gboolean gw_plan_is_within(const GwPlanInput *input);

/* The rules, by subject. */
extern const GwRule gw_rule_vm_readable, gw_rule_vm_running, gw_rule_vm_libvirt_job,
    gw_rule_vm_godwit_job, gw_rule_vm_twin, gw_rule_snapshots, gw_rule_pci_passthrough,
    gw_rule_device_passthrough, gw_rule_tpm_kind, gw_rule_state_copied, gw_rule_transient_vm,
    gw_rule_autostart;
extern const GwRule gw_rule_same_host, gw_rule_host_status, gw_rule_live_enabled,
    gw_rule_live_limit, gw_rule_storage_limit, gw_rule_architecture, gw_rule_virt_type,
    gw_rule_memory, gw_rule_older_version;
extern const GwRule gw_rule_cpu_compatible, gw_rule_cpu_passthrough, gw_rule_machine_type,
    gw_rule_way_back;
extern const GwRule gw_rule_network, gw_rule_bridge, gw_rule_management_network, gw_rule_nic_choice,
    gw_rule_nic_passthrough, gw_rule_nic_kind, gw_rule_network_mtu, gw_rule_network_forward,
    gw_rule_network_vlan;
extern const GwRule gw_rule_virtual_hba, gw_rule_virtual_hba_san, gw_rule_hba_choice;
extern const GwRule gw_rule_storage_reach, gw_rule_storage_path, gw_rule_san_reach,
    gw_rule_share_server, gw_rule_backing_chain, gw_rule_transfer_type, gw_rule_san_override;
extern const GwRule gw_rule_storage_place, gw_rule_share_path, gw_rule_volume_name,
    gw_rule_volume_there, gw_rule_disk_choice, gw_rule_disk_format, gw_rule_storage_moves,
    gw_rule_chain_path, gw_rule_storage_space, gw_rule_disk_size, gw_rule_file_size,
    gw_rule_direct_io, gw_rule_permissions;
extern const GwRule gw_rule_cdrom, gw_rule_floppy, gw_rule_transient_disk, gw_rule_shareable_disk,
    gw_rule_disk_cache, gw_rule_block_job, gw_rule_internal_snapshots, gw_rule_encrypted_image,
    gw_rule_image_chain, gw_rule_disk_serial;
extern const GwRule gw_rule_maintenance, gw_rule_vm_affinity, gw_rule_vm_anti_affinity,
    gw_rule_run_on, gw_rule_keep_off, gw_rule_network_hosts;
extern const GwRule gw_rule_option_conflict, gw_rule_tls_certificates;
