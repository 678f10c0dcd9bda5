/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "cli/columns.h"
#include "cli/explain.h"
#include "cli/format.h"
#include "cli/migrate.h"
#include "cli/plan.h"
#include "cli/prediction.h"
#include "cli/rating.h"
#include "model/request.h"
#include "model/vm.h"

static char *show_pending(GwSession *session, json_t *row, const char *path)
{
    (void)session;
    return g_strdup(json_array_size(gw_at(row, path)) > 0 ? "pending" : "");
}

const GwColumn gw_vm_columns[] = {
    { "NAME", "name", .cut = TRUE },
    { "STATE", "state", .state = TRUE },
    { "HOST", "host_id", gw_show_host, .cut = TRUE },
    { "VCPUS", "vcpus", .right = TRUE },
    { "MEMORY", "memory_kib", gw_show_kib, .right = TRUE },
    { "DISKS", "disks", gw_show_count, .right = TRUE },
    { "RESTART", "restart_changes", show_pending },
    { "UUID", "uuid", .cut = TRUE },
    { .header = NULL },
};

const GwColumn gw_vm_sheet[] = {
    { "Name", "name" },
    { "UUID", "uuid" },
    { "Host", "host_id", gw_show_host },
    { "State", "state", .state = TRUE },
    { "Reason", "state_reason" },
    { "Error", "error" },
    { "Job", "job_id" },
    { "Persistent", "persistent", gw_show_yes_no },
    { "Autostart", "autostart", gw_show_yes_no },
    { "Incoming", "incoming", gw_show_yes_no },
    { "vCPUs", "vcpus" },
    { "Memory", "memory_kib", gw_show_kib },
    { "Maximum memory", "max_memory_kib", gw_show_kib },
    { "Virtualization", "virt_type" },
    { "Architecture", "arch" },
    { "Machine", "machine" },
    { "CPU mode", "cpu_mode" },
    { "CPU model", "cpu_model" },
    { "Restart", "restart_changes", show_pending },
    { "Snapshots", "snapshots" },
    { "CPU used", "usage.cpu_permille", gw_show_permille },
    { "Memory used", "usage.memory_used_kib", gw_show_known_kib },
    { "Dirties", "usage.dirty_bps", gw_show_known_rate },
    { "Reads", "usage.disk_read_bps", gw_show_known_rate },
    { "Writes", "usage.disk_write_bps", gw_show_known_rate },
    { "Network", "usage.network_bps", gw_show_known_rate },
    { "Disks take", "usage.disk_allocated_bytes", gw_show_known_bytes },
    { "UEFI variables", "nvram" },
    { "TPM", "tpm" },
    { .header = NULL },
};

const GwColumn gw_disk_columns[] = {
    { "DISK", "target" },
    { "BUS", "bus" },
    { "DEVICE", "device" },
    { "FORMAT", "format" },
    { "SIZE", "capacity_bytes", gw_show_bytes, .right = TRUE },
    { "BELOW", "backing_depth", .right = TRUE },
    { "CACHE", "cache" },
    { "SHARED", "shareable", gw_show_yes_no },
    { "SOURCE", "source", .cut = TRUE },
    { .header = NULL },
};

const GwColumn gw_nic_columns[] = {
    { "MAC", "mac" },     { "TYPE", "type" }, { "SOURCE", "source", .cut = TRUE },
    { "MODEL", "model" }, { .header = NULL },
};

const GwColumn gw_hostdev_columns[] = {
    { "TYPE", "type" },
    { "ADDRESS", "address", .cut = TRUE },
    { .header = NULL },
};

/* The first thing that blocks; of a suitable host the first warning. Far down in a long list it is
 * said by what is required. */
static char *show_first_reason(GwSession *session, json_t *row, const char *path)
{
    json_t *findings = gw_at(row, path);
    json_t *first = json_array_get(findings, 0);

    for (gsize i = 0; i < json_array_size(findings); i++) {
        json_t *finding = json_array_get(findings, i);
        if (g_strcmp0(gw_at_text(finding, "severity"), "error") == 0) {
            first = finding;
            break;
        }
    }
    const char *observed = gw_at_text(first, "observed");
    return gw_format_line(observed != NULL ? observed : gw_at_text(first, "required"));
}

const GwColumn gw_candidate_columns[] = {
    { "HOST", "host_name", .cut = TRUE },
    { "RATING", "rating.stars", gw_show_stars, .color = gw_color_of_stars },
    { "TRANSFER", "transfer" },
    { "SUITABLE", "suitable", gw_show_yes_no },
    { "TIME", "prediction.total_ms", gw_show_likely_ms, .right = TRUE },
    { "DOWNTIME", "prediction.downtime_ms", gw_show_likely_ms, .right = TRUE },
    { "FIRST REASON", "findings", show_first_reason, .cut = TRUE },
    { .header = NULL },
};

static char *vm_path(const char *vm, const char *action)
{
    g_autofree char *segment = gw_client_segment(vm);
    return g_strconcat("/vms/", segment, action, NULL);
}

static gboolean add_filter(GwSession *session, const GwArgs *args, GString *path, GError **error)
{
    const char *host = gw_args_text(args, "host");
    const char *state = gw_args_text(args, "state");

    if (state != NULL) {
        g_autofree char *segment = gw_client_segment(state);
        g_string_append_printf(path, "&state=%s", segment);
    }
    if (host == NULL)
        return TRUE;
    g_autoptr(GwJson) record = gw_session_find(session, "/hosts", "host", host, error);
    if (record == NULL)
        return FALSE;
    const char *id = gw_at_text(record, "id");
    g_autofree char *segment = gw_client_segment(id != NULL ? id : host);
    g_string_append_printf(path, "&host=%s", segment);
    return TRUE;
}

static int list(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GString) path = g_string_new("/vms?limit=500");

    if (!add_filter(session, args, path, error))
        return GW_EXIT_FAILED;
    return gw_print_list(session, path->str, gw_vm_columns, "No VMs.", error);
}

static void print_part(GwSession *session, const char *heading, const GwColumn *columns,
                       json_t *rows)
{
    if (json_array_size(rows) == 0)
        return;
    gw_print_heading(session, heading);
    gw_print_table(session, columns, rows);
}

static int show(GwSession *session, const GwArgs *args, GError **error)
{
    g_autofree char *path = vm_path(gw_args_word(args, 0), "");
    g_autoptr(GwJson) vm = gw_client_get(session->client, path, error);

    if (vm == NULL || gw_print_document(session, vm))
        return GW_EXIT_OK;
    gw_print_sheet(session, gw_vm_sheet, vm);
    print_part(session, "Disks", gw_disk_columns, gw_at(vm, "disks"));
    print_part(session, "Network adapters", gw_nic_columns, gw_at(vm, "nics"));
    print_part(session, "Passed-through devices", gw_hostdev_columns, gw_at(vm, "hostdevs"));
    if (json_array_size(gw_at(vm, "restart_changes")) > 0)
        gw_print_restart(session, gw_at_text(vm, "uuid"), gw_at_text(vm, "host_id"));
    return GW_EXIT_OK;
}

/* @all: not only the rating. */
static void print_details(GwSession *session, json_t *rows, gboolean all)
{
    for (gsize i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        g_autofree char *name = gw_format_line(gw_at_text(row, "host_name"));
        if (all)
            gw_print_candidate(session, name, row);
        else
            gw_print_rating(session, name, gw_at(row, "rating"), NULL);
    }
}

static int candidates(GwSession *session, const GwArgs *args, GError **error)
{
    const char *storage = gw_args_text(args, "storage");
    gboolean details = gw_args_has(args, "verbose") || gw_args_has(args, "explain");
    g_autofree char *segment = storage != NULL ? gw_client_segment(storage) : NULL;
    g_autofree char *query =
        g_strconcat("/candidates?copy_all=", gw_args_has(args, "copy-all") ? "true" : "false",
                    details || session->settings->output != GW_OUTPUT_TABLE ? "" : "&brief=true",
                    storage != NULL ? "&storage=" : "", segment, NULL);
    g_autofree char *path = vm_path(gw_args_word(args, 0), query);
    g_autoptr(GwJson) rows = gw_client_list(session->client, path, error);

    if (rows == NULL || gw_print_document(session, rows))
        return GW_EXIT_OK;
    gw_print_table(session, gw_candidate_columns, rows);
    if (details)
        print_details(session, rows, gw_args_has(args, "verbose"));
    return GW_EXIT_OK;
}

static int start(GwSession *session, const GwArgs *args, GError **error)
{
    g_autofree char *path = vm_path(gw_args_word(args, 0), "/start");
    g_autoptr(GwJson) vm = gw_client_call(session->client, "POST", path, NULL, NULL, error);

    if (vm == NULL || gw_print_document(session, vm))
        return GW_EXIT_OK;
    g_autofree char *name = gw_format_line(gw_at_text(vm, "name"));
    gw_say(session, "%s is %s", name, gw_at_text(vm, "state"));
    return GW_EXIT_OK;
}

static const GwArgument vm_argument[] = {
    { "VM", "vms", "The VM's UUID, name, or HOST/NAME.", GW_ARGUMENT_ONE },
    { .name = NULL },
};
static const GwArgument migrate_arguments[] = {
    { "VM", "vms", "The VM's UUID, name, or HOST/NAME; several with --to.", GW_ARGUMENT_ONE },
    { "HOST", "destinations",
      "The destination's name or id; of a host group the best host is chosen (R46).",
      GW_ARGUMENT_ANY },
    { .name = NULL },
};
static const GwArgument migrate_storage_arguments[] = {
    { "VM", "vms", "The VM's UUID, name, or HOST/NAME.", GW_ARGUMENT_ONE },
    { "STORAGE", "pools",
      "Where all of it goes: a pool of the VM's host, its path, or a share path whose server is an "
      "FQDN; none: only the disks that --disk names move, or all to the host's first default "
      "location where it names none.",
      GW_ARGUMENT_OPTIONAL },
    { .name = NULL },
};
static const GwOption list_options[] = {
    { "host", GW_OPTION_TEXT, "HOST", "Only VMs on this host.", .complete = "hosts" },
    { "state", GW_OPTION_CHOICE, "STATE", "Only VMs in this state: running, off, paused, …",
      .of_enum = &gw_vm_state_enum },
    { .name = NULL },
};
static const GwOption candidates_options[] = {
    { "verbose", GW_OPTION_FLAG, NULL,
      "Every finding with what is required and the remedy, what each rating rests on (R33), and "
      "why "
      "each transfer type is or is not there (R34).",
      .letter = 'v' },
    { "explain", GW_OPTION_FLAG, NULL, "What each rating rests on: every factor (R33)." },
    { "storage", GW_OPTION_TEXT, "POOL|PATH", "As if disks that cannot stay went there.",
      .complete = "pools" },
    { "copy-all", GW_OPTION_FLAG, NULL, "As if disks that both hosts reach were copied too." },
    { .name = NULL },
};

const GwCommand gw_vm_commands[] = {
    { "vm list", NULL, "List the VMs of all hosts", "", NULL, list_options,
      (const GwExample[]){ { "godwit vm list --host kvm1 --state running", "What runs on kvm1." },
                           { "godwit vm list -o yaml", "All that is known, for a program." },
                           { NULL, NULL } },
      "R32", NULL, list },
    { "vm show", NULL, "Show a VM with its disks and devices", "", vm_argument, NULL,
      (const GwExample[]){ { "godwit vm show web1", "By name." },
                           { "godwit vm show kvm1/web1", "Where two hosts have a web1." },
                           { NULL, NULL } },
      "R32", NULL, show },
    { "vm start", NULL, "Start a VM that is off or paused",
      "It is refused while a job holds the VM, and where a copy of it on another host runs or "
      "cannot be seen: a VM never runs twice.",
      vm_argument, NULL,
      (const GwExample[]){ { "godwit vm start web1", "So that it can be moved while it runs." },
                           { NULL, NULL } },
      "R3", NULL, start },
    { "vm candidates", NULL, "Show where a VM can be moved, and why not elsewhere",
      "Every host is rated with 0 to 5 stars, the best first, and shown with its transfer type: "
      "Live (both hosts reach the VM's storage), "
      "Live (VSM) (the disks are copied too), or of a VM that is off Register (both hosts reach "
      "its disks), SAN (its LUNs are handed over), Fast file copy or Network (its disks are "
      "copied).",
      vm_argument, candidates_options,
      (const GwExample[]){ { "godwit vm candidates web1", "One line for each host." },
                           { "godwit vm candidates web1 -v", "With all findings and remedies." },
                           { "godwit vm candidates web1 --explain", "Why each has its stars." },
                           { "godwit vm candidates web1 --copy-all --storage fast",
                             "Were all its disks copied to the pool fast." },
                           { NULL, NULL } },
      "R4 R13 R33 R34 R57", NULL, candidates },
    { "vm migrate", "VM HOST|GROUP | --to HOST VM… | --to-group GROUP VM… [options]",
      "Move VMs to another host",
      "The VM keeps running. Preflight is asked first; where it refuses, nothing is touched, and "
      "each finding says what was observed, what is required and the remedy.\n\n"
      "Disks that the destination does not reach are copied while the VM runs, before its memory "
      "moves; a VM that is off moves with them too. --storage says where they go, --disk where a "
      "single one goes: TARGET:POOL, TARGET:POOL/NAME, or TARGET:/PATH with the path of a pool or "
      "of an existing block device. After a path (and a share path, which holds a colon) the "
      "volume's name is said by ,name=NAME. The old copies are kept for a while: see 'job undo' "
      "and 'kept list'.\n\n"
      "The progress is shown until the job ends: a bar on a terminal, lines with a time stamp "
      "elsewhere, one JSON record for each change with -o json. Ctrl-C ends only the watching: "
      "the move goes on.\n\n"
      "To a host group each VM goes to the best host of it, and its disks to that host's best "
      "storage; with --dry-run the choice is shown, and what it rests on.\n\n"
      "Several VMs are queued at once; the hosts' limits decide how many move at a time.",
      migrate_arguments, gw_migrate_options,
      (const GwExample[]){
          { "godwit vm migrate web1 kvm2", "Move web1 to kvm2 and watch." },
          { "godwit vm migrate --to kvm2 web1 web2 db1", "Three VMs, as the slots allow." },
          { "godwit vm migrate web1 kvm2 --dry-run", "What would be done, and whether it may." },
          { "godwit vm migrate --to-group 'Rack 1' web1 web2",
            "Each to the best host of a group." },
          { "godwit vm migrate web1 kvm2 --show-script=virsh",
            "The virsh commands that do the same." },
          { "godwit vm migrate db1 kvm2 --method multichannel --channels 4 --max-downtime 1000",
            "Four connections, and a pause of up to a second." },
          { "godwit vm migrate web1 kvm2 --no-wait", "Only begin; the job's id is printed." },
          { "godwit vm migrate web1 kvm2 --storage fast --keep-source 7d",
            "With its disks, to the pool fast; the old ones stay for a week." },
          { "godwit vm migrate db1 kvm2 --disk vda:fast --disk "
            "vdb:/srv/big,name=db1.raw,format=raw",
            "Each disk somewhere else, one of them written anew." },
          { "godwit vm migrate web1 kvm2 --nic 52:54:00:12:34:56=dmz",
            "An adapter onto another network of kvm2." },
          { "godwit vm migrate web1 kvm2 --nic 52:54:00:12:34:56=none",
            "That adapter has no network there, and its link is down." },
          { "godwit vm migrate old1 kvm2 --network --start",
            "A VM that is off: over the network, then started." },
          { NULL, NULL } },
      "R1 R5 R6 R13 R17 R18 R19 R24 R31 R34 R37 R38 R39 R40 R42 R43 R45 R46 R48 R59 R60",
      &gw_move_options_record, gw_migrate },
    { "vm migrate-storage", NULL, "Move a VM's disks within its host",
      "Whether it runs or not. Of a running VM each disk is mirrored to its new place, and the VM "
      "then goes on with that; of one that is off the disks are copied. Preflight, progress, "
      "Ctrl-C and exit status are those of 'vm migrate', as is what --disk takes. The old copies "
      "are kept for a while: see 'job undo' and 'kept list'.",
      migrate_storage_arguments, gw_migrate_storage_options,
      (const GwExample[]){
          { "godwit vm migrate-storage web1 fast", "All its disks, to the pool fast." },
          { "godwit vm migrate-storage web1", "To the host's first default location." },
          { "godwit vm migrate-storage web1 --disk vdb:big/web1-data.qcow2", "Only one of them." },
          { "godwit vm migrate-storage web1 /srv/images --format qcow2 --dry-run",
            "What writing them anew as qcow2 would take." },
          { NULL, NULL } },
      "R14 R15 R16 R17 R18 R31", &gw_storage_request_record, gw_migrate_storage },
    { .name = NULL },
};
