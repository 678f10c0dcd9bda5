/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "cli/columns.h"
#include "cli/format.h"
#include "cli/migrate.h"
#include "model/job.h"
#include "model/vm.h"

const GwColumn gw_vm_columns[] = {
    { "NAME", "name", .cut = TRUE },
    { "STATE", "state", .state = TRUE },
    { "HOST", "host_id", gw_show_host, .cut = TRUE },
    { "VCPUS", "vcpus", .right = TRUE },
    { "MEMORY", "memory_kib", gw_show_kib, .right = TRUE },
    { "DISKS", "disks", gw_show_count, .right = TRUE },
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
    { "Snapshots", "snapshots" },
    { .header = NULL },
};

const GwColumn gw_disk_columns[] = {
    { "DISK", "target" },
    { "BUS", "bus" },
    { "DEVICE", "device" },
    { "FORMAT", "format" },
    { "SIZE", "capacity_bytes", gw_show_bytes, .right = TRUE },
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

/* The first thing that blocks; of a suitable host the first warning. */
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
    return gw_format_line(gw_at_text(first, "observed"));
}

const GwColumn gw_candidate_columns[] = {
    { "HOST", "host_name", .cut = TRUE },
    { "TRANSFER", "transfer" },
    { "SUITABLE", "suitable", gw_show_yes_no },
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
    g_autoptr(GwJson) vms = gw_client_list(session->client, path->str, error);
    if (vms != NULL && !gw_print_document(session, vms)) {
        gw_print_table(session, gw_vm_columns, vms);
        if (json_array_size(vms) == 0)
            gw_say(session, "No VMs.");
    }
    return GW_EXIT_OK;
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
    return GW_EXIT_OK;
}

static void print_details(GwSession *session, json_t *rows)
{
    for (gsize i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        g_autofree char *name = gw_format_line(gw_at_text(row, "host_name"));
        if (json_array_size(gw_at(row, "findings")) == 0)
            continue;
        gw_print_heading(session, name);
        gw_print_findings(session, gw_at(row, "findings"), FALSE);
    }
}

static int candidates(GwSession *session, const GwArgs *args, GError **error)
{
    g_autofree char *path = vm_path(gw_args_word(args, 0), "/candidates");
    g_autoptr(GwJson) rows = gw_client_list(session->client, path, error);

    if (rows == NULL || gw_print_document(session, rows))
        return GW_EXIT_OK;
    gw_print_table(session, gw_candidate_columns, rows);
    if (gw_args_has(args, "verbose"))
        print_details(session, rows);
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
    { "HOST", "hosts", "The destination's name or id.", GW_ARGUMENT_ANY },
    { .name = NULL },
};
static const GwOption list_options[] = {
    { "host", GW_OPTION_TEXT, "HOST", "Only VMs on this host.", .complete = "hosts" },
    { "state", GW_OPTION_CHOICE, "STATE", "Only VMs in this state: running, off, paused, …",
      .of_enum = &gw_vm_state_enum },
    { .name = NULL },
};
static const GwOption candidates_options[] = {
    { "verbose", GW_OPTION_FLAG, NULL, "Every finding with what is required and the remedy.",
      .letter = 'v' },
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
      "Every host is shown with its transfer type: Live (both hosts reach the VM's storage), "
      "Live (VSM) (the disks are copied too) or Network (the VM is off).",
      vm_argument, candidates_options,
      (const GwExample[]){ { "godwit vm candidates web1", "One line for each host." },
                           { "godwit vm candidates web1 -v", "With all findings and remedies." },
                           { NULL, NULL } },
      "R4 R13 R33 R57", NULL, candidates },
    { "vm migrate", "VM HOST [options] | --to HOST VM… [options]", "Move VMs to another host",
      "The VM keeps running. Preflight is asked first; where it refuses, nothing is touched, and "
      "each finding says what was observed, what is required and the remedy.\n\n"
      "The progress is shown until the job ends: a bar on a terminal, lines with a time stamp "
      "elsewhere, one JSON record for each change with -o json. Ctrl-C ends only the watching: "
      "the move goes on.\n\n"
      "Several VMs are queued at once; the hosts' limits decide how many move at a time.",
      migrate_arguments, gw_migrate_options,
      (const GwExample[]){
          { "godwit vm migrate web1 kvm2", "Move web1 to kvm2 and watch." },
          { "godwit vm migrate --to kvm2 web1 web2 db1", "Three VMs, as the slots allow." },
          { "godwit vm migrate web1 kvm2 --dry-run", "What would be done, and whether it may." },
          { "godwit vm migrate web1 kvm2 --show-script=virsh",
            "The virsh commands that do the same." },
          { "godwit vm migrate db1 kvm2 --method multichannel --channels 4 --max-downtime 1000",
            "Four connections, and a pause of up to a second." },
          { "godwit vm migrate web1 kvm2 --no-wait", "Only begin; the job's id is printed." },
          { NULL, NULL } },
      "R1 R5 R6 R19 R24 R43 R45 R48 R59 R60", &gw_move_options_record, gw_migrate },
    { .name = NULL },
};
