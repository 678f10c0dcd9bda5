/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/columns.h"
#include "cli/format.h"
#include "model/storage.h"

const GwColumn gw_kept_columns[] = {
    { "ID", "id" },
    { "VM", "vm_name", .cut = TRUE },
    { "DISK", "target" },
    { "HOST", "host_id", gw_show_host, .cut = TRUE },
    { "POOL", "volume.pool", .cut = TRUE },
    { "VOLUME", "volume.name", .cut = TRUE },
    { "SIZE", "volume.allocation_bytes", gw_show_bytes, .right = TRUE },
    { "KEPT UNTIL", "expires_at" },
    { "TROUBLE", "trouble", .cut = TRUE },
    { .header = NULL },
};

const GwColumn gw_kept_sheet[] = {
    { "Id", "id" },
    { "VM", "vm_name" },
    { "VM UUID", "vm_uuid" },
    { "Disk", "target" },
    { "Host", "host_id", gw_show_host },
    { "Pool", "volume.pool" },
    { "Volume", "volume.name" },
    { "Path", "volume.path" },
    { "Format", "volume.format" },
    { "Capacity", "volume.capacity_bytes", gw_show_bytes },
    { "Allocated", "volume.allocation_bytes", gw_show_bytes },
    { "Left by job", "job_id" },
    { "Kept since", "kept_at" },
    { "Kept until", "expires_at" },
    { "Trouble", "trouble" },
    { .header = NULL },
};

static void add_query(GString *path, const char *name, const char *value)
{
    g_autofree char *segment = value != NULL ? gw_client_segment(value) : NULL;

    if (segment != NULL)
        g_string_append_printf(path, "&%s=%s", name, segment);
}

static int list(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GString) path = g_string_new("/kept-volumes?limit=500");

    add_query(path, "vm", gw_args_text(args, "vm"));
    add_query(path, "host", gw_args_text(args, "host"));
    return gw_print_list(session, path->str, gw_kept_columns, "No old copies are kept.", error);
}

static char *kept_path(const GwArgs *args)
{
    g_autofree char *segment = gw_client_segment(gw_args_word(args, 0));
    return g_strconcat("/kept-volumes/", segment, NULL);
}

static int show(GwSession *session, const GwArgs *args, GError **error)
{
    g_autofree char *path = kept_path(args);
    g_autoptr(GwJson) kept = gw_client_get(session->client, path, error);

    if (kept != NULL && !gw_print_document(session, kept))
        gw_print_sheet(session, gw_kept_sheet, kept);
    return GW_EXIT_OK;
}

static int kept_remove(GwSession *session, const GwArgs *args, GError **error)
{
    g_autofree char *path = kept_path(args);
    g_autoptr(GwJson) job = gw_client_call(session->client, "DELETE", path, NULL, NULL, error);

    return job != NULL ? gw_wait_for_job(session, args, job, error) : GW_EXIT_FAILED;
}

static const GwArgument kept_argument[] = {
    { "ID", "kept", "The kept copy's id.", GW_ARGUMENT_ONE },
    { .name = NULL },
};
static const GwOption list_options[] = {
    { "vm", GW_OPTION_TEXT, "VM", "Only those of this VM, by UUID or name.", .complete = "vms" },
    { "host", GW_OPTION_TEXT, "HOST", "Only those on this host.", .complete = "hosts" },
    { .name = NULL },
};
static const GwOption wait_options[] = { GW_NO_WAIT_OPTION, { .name = NULL } };

const GwCommand gw_kept_commands[] = {
    { "kept list", NULL, "List the old copies of moved disks",
      "A move that copies disks leaves the old copies where they were, for as long as the source "
      "host's policy or the move itself says (--keep-source), so that it can be undone. Then they "
      "are removed; TROUBLE says why one could not be.",
      NULL, list_options,
      (const GwExample[]){ { "godwit kept list", "All of them, newest first." },
                           { "godwit kept list --host kvm1", "What takes room on kvm1." },
                           { NULL, NULL } },
      "R14", NULL, list },
    { "kept show", NULL, "Show an old copy: where it is, and until when", "", kept_argument, NULL,
      (const GwExample[]){ { "godwit kept show 01JD4ZQ6T5J8S0M3E9V7KEPT01", "One of them." },
                           { NULL, NULL } },
      "R14", NULL, show },
    { "kept remove", NULL, "Remove an old copy before its time",
      "The host proves first that nothing uses it. The move that left it can still be undone, but "
      "then the whole disk is copied.",
      kept_argument, wait_options,
      (const GwExample[]){ { "godwit kept remove 01JD4ZQ6T5J8S0M3E9V7KEPT01", "Make room now." },
                           { NULL, NULL } },
      "R14", NULL, kept_remove },
    { .name = NULL },
};
