/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/columns.h"
#include "cli/cpu_matrix.h"
#include "cli/format.h"
#include "model/cpu_baseline.h"

/* CPUs of hosts and VMs (R11). */

const GwColumn gw_restart_columns[] = {
    { "WHAT", "what" },
    { "NOW", "now", .cut = TRUE },
    { "AFTER A RESTART", "after", .cut = TRUE },
    { .header = NULL },
};

const GwColumn gw_cpu_host_columns[] = {
    { "HOST", "host_name", .cut = TRUE },
    { "CPU", "model" },
    { "LOSES", "loses", gw_show_list, .cut = TRUE },
    { "NOT COUNTED IN", "error", .cut = TRUE },
    { .header = NULL },
};

const GwColumn gw_cpu_vm_columns[] = {
    { "VM", "vm_name", .cut = TRUE },
    { "HOST", "host_id", gw_show_host, .cut = TRUE },
    { "CPU", "cpu" },
    { "NEEDS", "fit" },
    { "ABOVE", "above", gw_show_list, .cut = TRUE },
    { .header = NULL },
};

/* Texts of a list, each on a line. */
static void print_lines(json_t *list, const char *before)
{
    for (gsize i = 0; i < json_array_size(list); i++) {
        g_autofree char *line = gw_format_line(json_string_value(json_array_get(list, i)));
        g_print("%s%s\n", before, line);
    }
}

static void print_hosts(json_t *names, const char *words)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (gsize i = 0; i < json_array_size(names); i++) {
        g_autofree char *name = gw_format_line(json_string_value(json_array_get(names, i)));
        g_string_append_printf(text, "%s%s", i > 0 ? ", " : "", name);
    }
    if (text->len > 0)
        g_print("%s%s\n", words, text->str);
}

void gw_print_restart(GwSession *session, const char *uuid, const char *host_id)
{
    g_autofree char *name = g_strdup_printf("%s/%s", host_id, uuid);
    g_autofree char *segment = gw_client_segment(uuid != NULL ? uuid : name);
    g_autofree char *path = g_strconcat("/vms/", segment, "/restart", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(GwJson) restart = gw_client_get(session->client, path, &error);
    json_t *changes = gw_at(restart, "changes");

    if (json_array_size(changes) == 0)
        return; /* restarted meanwhile, or not to be told: the mark stays */
    gw_print_heading(session, "Restart pending");
    gw_print_table(session, gw_restart_columns, changes);
    for (gsize i = 0; i < json_array_size(changes); i++) {
        g_autofree char *why = gw_format_line(gw_at_text(json_array_get(changes, i), "why"));
        g_print("%s\n", why);
    }
    print_hosts(gw_at(restart, "gains"), "It could then move to: ");
    print_hosts(gw_at(restart, "loses"), "It could then move no more to: ");
    g_print("A reboot within the guest is not enough:\n");
    print_lines(gw_at(restart, "commands"), "  ");
}

/* cpu baseline ------------------------------------------------------------------------------- */

static void print_cpu(GwSession *session, json_t *baseline)
{
    const char *xml = gw_at_text(baseline, "xml");
    g_autofree char *model = gw_format_line(gw_at_text(baseline, "model"));
    g_autofree char *kind = gw_format_line(gw_at_text(baseline, "virt_type"));
    g_autofree char *why = gw_format_line(gw_at_text(baseline, "error"));

    if (xml == NULL) {
        g_print("There is no CPU that all of them can give a VM (%s): %s\n", kind, why);
        return;
    }
    g_print("Common CPU (%s, of %s): %s\n", kind,
            g_strcmp0(gw_at_text(baseline, "kind"), "host") == 0
                ? "the hosts' own CPUs: one of them does not tell what it can give VMs"
                : "what the hosts can give VMs",
            model);
    g_auto(GStrv) lines = g_strsplit(xml, "\n", -1);
    for (guint i = 0; lines[i] != NULL; i++) {
        g_autofree char *line = gw_format_line(lines[i]);
        if (*line != '\0')
            g_print("  %s\n", line);
    }
    print_hosts(gw_at(baseline, "machines"), "Machine types that all of them know: ");
    (void)session;
}

static void print_needs(json_t *vms)
{
    for (gsize i = 0; i < json_array_size(vms); i++) {
        json_t *vm = json_array_get(vms, i);
        g_autofree char *name = gw_format_line(gw_at_text(vm, "vm_name"));
        g_autofree char *why = gw_format_line(gw_at_text(vm, "why"));
        if (*why == '\0')
            continue;
        g_print("\n%s: %s\n", name, why);
        print_lines(gw_at(vm, "commands"), "  ");
    }
}

static char *baseline_path(const GwArgs *args)
{
    const char *virt_type = gw_args_text(args, "virt-type");
    GString *path = g_string_new("/cpu-baseline");
    const char *before = "?hosts=";

    for (guint i = 0; gw_args_word(args, i) != NULL; i++) {
        g_autofree char *name = gw_client_segment(gw_args_word(args, i));
        g_string_append_printf(path, "%s%s", before, name);
        before = ",";
    }
    if (virt_type != NULL)
        g_string_append_printf(path, "%svirt_type=%s", *before == ',' ? "&" : "?", virt_type);
    return g_string_free(path, FALSE);
}

static int baseline(GwSession *session, const GwArgs *args, GError **error)
{
    g_autofree char *path = baseline_path(args);
    g_autoptr(GwJson) answer = gw_client_get(session->client, path, error);
    if (answer == NULL)
        return GW_EXIT_FAILED;
    if (gw_print_document(session, answer))
        return GW_EXIT_OK;
    print_cpu(session, answer);
    gw_print_heading(session, "What it would cost the hosts");
    gw_print_table(session, gw_cpu_host_columns, gw_at(answer, "hosts"));
    if (json_array_size(gw_at(answer, "vms")) > 0) {
        gw_print_heading(session, "What the VMs that run need to have it, or less");
        gw_print_table(session, gw_cpu_vm_columns, gw_at(answer, "vms"));
        print_needs(gw_at(answer, "vms"));
    }
    gw_print_cpu_matrix(session, gw_at(answer, "hosts"), gw_at(answer, "pairs"));
    return GW_EXIT_OK;
}

static const char *const virt_words[] = { "kvm", "qemu", NULL };
static const GwArgument baseline_arguments[] = {
    { "HOST", "destinations", "Hosts and host groups by name or id; none: all hosts.",
      GW_ARGUMENT_ANY },
    { .name = NULL },
};
static const GwOption baseline_options[] = {
    { "virt-type", GW_OPTION_CHOICE, "TYPE",
      "For VMs of this kind; default: what most VMs of the hosts run with.", .words = virt_words },
    { .name = NULL },
};

const GwCommand gw_cpu_commands[] = {
    { "cpu baseline", NULL, "Find a CPU that lets VMs move between all hosts",
      "The hosts are asked which CPU they can all give a VM, and each kind of host whether it "
      "could "
      "run what the others give now. Nothing is changed.\n\n"
      "Shown are the CPU as libvirt's XML, for the definitions of VMs; which features each host "
      "would not use with it; what has to be done to each VM that runs; and the pairs of hosts "
      "between which a VM with its host's CPU cannot move now.",
      baseline_arguments, baseline_options,
      (const GwExample[]){ { "godwit cpu baseline", "Of all hosts." },
                           { "godwit cpu baseline kvm1 kvm2", "Of these two." },
                           { "godwit cpu baseline rack1 --virt-type kvm -o json",
                             "Of a host group, for a program." },
                           { NULL, NULL } },
      "R11", NULL, baseline },
    { .name = NULL },
};
