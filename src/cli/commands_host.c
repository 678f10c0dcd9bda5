/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/columns.h"
#include "cli/format.h"
#include "cli/session.h"
#include "model/host.h"

/* "1/2": slots in use and the limit (R23). */
static char *show_slots(json_t *row, const char *used, const char *limit)
{
    return g_strdup_printf("%" G_GINT64_FORMAT "/%" G_GINT64_FORMAT, gw_at_int(row, used, 0),
                           gw_at_int(row, limit, 0));
}

static char *show_live(GwSession *session, json_t *row, const char *path)
{
    return show_slots(row, path, "live_limit");
}

static char *show_storage(GwSession *session, json_t *row, const char *path)
{
    return show_slots(row, path, "storage_limit");
}

const GwColumn gw_host_columns[] = {
    { "NAME", "name", .cut = TRUE },
    { "STATUS", "status", .state = TRUE },
    { "CPUS", "facts.cpus", .right = TRUE },
    { "MEMORY", "facts.memory_kib", gw_show_kib, .right = TRUE },
    { "FREE", "facts.free_memory_kib", gw_show_kib, .right = TRUE },
    { "LIVE", "live_in_use", show_live, .right = TRUE },
    { "STORAGE", "storage_in_use", show_storage, .right = TRUE },
    { "URI", "uri", .cut = TRUE },
    { .header = NULL },
};

const GwColumn gw_host_sheet[] = {
    { "Name", "name" },
    { "Id", "id" },
    { "Status", "status", .state = TRUE },
    { "Reason", "status_reason" },
    { "Remedy", "status_remedy" },
    { "Last answer", "last_seen" },
    { "Group", "group_id" },
    { "URI", "uri" },
    { "Peer URI", "peer_uri" },
    { "Migration address", "migration_address" },
    { "Live migration", "live_migration_enabled", gw_show_yes_no },
    { "Live slots in use", "live_in_use", show_live },
    { "Storage slots in use", "storage_in_use", show_storage },
    { "Method", "method" },
    { "Bandwidth, MiB/s", "bandwidth_mibps" },
    { "Completion time-out, s/GiB", "completion_timeout_s_per_gib" },
    { "Progress time-out, s", "progress_timeout_s" },
    { "Host name", "facts.hostname" },
    { "Architecture", "facts.arch" },
    { "CPU", "facts.cpu_model" },
    { "CPUs", "facts.cpus" },
    { "Memory", "facts.memory_kib", gw_show_kib },
    { "Free memory", "facts.free_memory_kib", gw_show_kib },
    { "libvirt", "facts.libvirt_version", gw_show_version },
    { "QEMU", "facts.qemu_version", gw_show_version },
    { "Bridges", "facts.bridges", gw_show_list },
    { .header = NULL },
};

const GwColumn gw_pool_columns[] = {
    { "POOL", "name", .cut = TRUE },
    { "TYPE", "type" },
    { "ACTIVE", "active", gw_show_yes_no },
    { "SIZE", "capacity_bytes", gw_show_bytes, .right = TRUE },
    { "FREE", "available_bytes", gw_show_bytes, .right = TRUE },
    { "PATH", "target_path", .cut = TRUE },
    { "SHARED AS", "share_id", .cut = TRUE },
    { .header = NULL },
};

const GwColumn gw_network_columns[] = {
    { "NETWORK", "name", .cut = TRUE },  { "KIND", "kind" }, { "ACTIVE", "active", gw_show_yes_no },
    { "BRIDGE", "bridge", .cut = TRUE }, { .header = NULL },
};

static void print_host(GwSession *session, json_t *host)
{
    json_t *pools = gw_at(host, "facts.pools");
    json_t *networks = gw_at(host, "facts.networks");

    gw_print_sheet(session, gw_host_sheet, host);
    if (json_array_size(pools) > 0) {
        gw_print_heading(session, "Storage pools");
        gw_print_table(session, gw_pool_columns, pools);
    }
    if (json_array_size(networks) > 0) {
        gw_print_heading(session, "Networks");
        gw_print_table(session, gw_network_columns, networks);
    }
}

/* --group takes a name; the API wants the id. */
static gboolean resolve_group(GwSession *session, const GwArgs *args, json_t *body, GError **error)
{
    const char *group = gw_args_text(args, "group");

    if (group == NULL)
        return TRUE;
    g_autoptr(GwJson) record = gw_session_find(session, "/host-groups", "group", group, error);
    if (record == NULL)
        return FALSE;
    json_object_set_new(body, "group_id", json_string(gw_at_text(record, "id")));
    return TRUE;
}

static int add(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) body = gw_args_body(args);

    json_object_set_new(body, "uri", json_string(gw_args_word(args, 0)));
    if (!gw_host_check_uri(gw_args_word(args, 0), error) ||
        !resolve_group(session, args, body, error))
        return GW_EXIT_FAILED;
    g_autoptr(GwJson) host = gw_client_call(session->client, "POST", "/hosts", body, NULL, error);
    if (host != NULL && !gw_print_document(session, host))
        gw_say(session, "Host %s added, status %s, %s", gw_at_text(host, "name"),
               gw_at_text(host, "status"), gw_at_text(host, "id"));
    return GW_EXIT_OK;
}

static int list(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) hosts = gw_client_list(session->client, "/hosts", error);

    if (hosts != NULL && !gw_print_document(session, hosts)) {
        gw_print_table(session, gw_host_columns, hosts);
        if (json_array_size(hosts) == 0)
            gw_say(session, "No hosts. Add one: godwit host add qemu+ssh://root@kvm1/system");
    }
    return GW_EXIT_OK;
}

static int show(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) host =
        gw_session_find(session, "/hosts", "host", gw_args_word(args, 0), error);

    if (host != NULL && !gw_print_document(session, host))
        print_host(session, host);
    return GW_EXIT_OK;
}

static int set(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) body = gw_args_body(args);
    g_autofree char *path =
        gw_session_find_path(session, "/hosts", "host", gw_args_word(args, 0), error);

    if (path == NULL || !resolve_group(session, args, body, error) ||
        !gw_require_change(body, error))
        return GW_EXIT_FAILED;
    g_autoptr(GwJson) host = gw_client_call(session->client, "PATCH", path, body, NULL, error);
    if (host != NULL && !gw_print_document(session, host))
        gw_say(session, "Host %s changed", gw_args_word(args, 0));
    return GW_EXIT_OK;
}

static int host_remove(GwSession *session, const GwArgs *args, GError **error)
{
    return gw_remove_record(session, "/hosts", "host", gw_args_word(args, 0), error);
}

static int refresh(GwSession *session, const GwArgs *args, GError **error)
{
    g_autofree char *path =
        gw_session_find_path(session, "/hosts", "host", gw_args_word(args, 0), error);
    if (path == NULL)
        return GW_EXIT_FAILED;
    g_autofree char *action = g_strconcat(path, "/refresh", NULL);
    g_autoptr(GwJson) answer = gw_client_call(session->client, "POST", action, NULL, NULL, error);

    if (answer != NULL && !gw_print_document(session, answer))
        gw_say(session, "Host %s is being read again", gw_args_word(args, 0));
    return GW_EXIT_OK;
}

static const GwArgument uri_argument[] = {
    { "URI", NULL, "libvirt URI by which the controller reaches the host.", GW_ARGUMENT_ONE },
    { .name = NULL },
};
static const GwArgument host_argument[] = {
    { "HOST", "hosts", "The host's name or id.", GW_ARGUMENT_ONE },
    { .name = NULL },
};

#define IDENTITY_OPTIONS                                                                           \
    { "name", GW_OPTION_TEXT, "NAME", "Its name; default: the host's own.", .key = "name" },       \
        { "group", GW_OPTION_TEXT, "GROUP", "The host group to put it in, by name or id.",         \
          .complete = "groups" },                                                                  \
        { "peer-uri", GW_OPTION_TEXT, "URI",                                                       \
          "libvirt URI by which the other hosts reach it; default: from URI.",                     \
          .key = "peer_uri" },                                                                     \
    {                                                                                              \
        "migration-address", GW_OPTION_TEXT, "ADDRESS",                                            \
            "Address that receives migration data; default: the URI's host.",                      \
            .key = "migration_address"                                                             \
    }

static const GwOption add_options[] = { IDENTITY_OPTIONS, { .name = NULL } };

static const GwOption set_options[] = {
    IDENTITY_OPTIONS,
    { "uri", GW_OPTION_TEXT, "URI", "libvirt URI by which the controller reaches it.",
      .key = "uri" },
    { "live-migration", GW_OPTION_SWITCH, NULL, "Whether live moves are allowed (R1).",
      .key = "live_migration_enabled" },
    { "live-limit", GW_OPTION_INT, "N",
      "Simultaneous live migrations, in and out together, 0 to 64 (R20).", .key = "live_limit",
      .max = 64 },
    { "storage-limit", GW_OPTION_INT, "N",
      "Simultaneous storage migrations, in and out together, 0 to 64 (R21).",
      .key = "storage_limit", .max = 64 },
    { "method", GW_OPTION_CHOICE, NULL, "Speed method of moves from this host (R24).",
      .key = "method", .of_enum = &gw_method_enum },
    { "bandwidth", GW_OPTION_INT, "MIBPS", "Bandwidth limit of one move in MiB/s; 0: none.",
      .key = "bandwidth_mibps", .max = 1000000 },
    { "completion-timeout", GW_OPTION_INT, "S",
      "Completion time-out in seconds per GiB to move; 0: none (R59).",
      .key = "completion_timeout_s_per_gib", .max = 1000000 },
    { "progress-timeout", GW_OPTION_INT, "S", "Progress time-out in seconds; 0: none (R60).",
      .key = "progress_timeout_s", .max = 1000000 },
    { .name = NULL },
};

const GwCommand gw_host_commands[] = {
    { "host add", NULL, "Add a host to the fabric",
      "The controller connects first and stores nothing where that fails. Its VMs are listed at "
      "once; none is touched.",
      uri_argument, add_options,
      (const GwExample[]){
          { "godwit host add qemu+ssh://root@kvm1/system", "A host reached by ssh." },
          { "godwit host add qemu+tls://kvm2.example.org/system --name kvm2 --group Lab",
            "By TLS, into a group." },
          { "godwit host add qemu+ssh://root@kvm3/system --migration-address 10.0.9.3",
            "With a network of its own for migration data." },
          { NULL, NULL } },
      "R1 R29", &gw_host_record, add },
    { "host list", NULL, "List the hosts",
      "LIVE and STORAGE show the migration slots in use and their limit.", NULL, NULL,
      (const GwExample[]){
          { "godwit host list", "All hosts with their status." },
          { "godwit host list -o json | jq -r '.[].name'", "Only the names, for a script." },
          { NULL, NULL } },
      "R23 R32", NULL, list },
    { "host show", NULL, "Show a host with its storage and networks", "", host_argument, NULL,
      (const GwExample[]){ { "godwit host show kvm1", "All that is known of kvm1." },
                           { NULL, NULL } },
      "R23 R32", NULL, show },
    { "host set", NULL, "Change a host's settings",
      "Only what is given changes. A new URI is tried before it is stored.", host_argument,
      set_options,
      (const GwExample[]){
          { "godwit host set kvm1 --live-limit 4 --method multichannel",
            "More moves at a time, over several connections each." },
          { "godwit host set kvm1 --live-migration no", "Allow no live moves from and to kvm1." },
          { NULL, NULL } },
      "R1 R20 R21 R24 R59 R60", &gw_host_record, set },
    { "host remove", NULL, "End the management of a host",
      "Its VMs go on running. Refused while a job uses the host.", host_argument, NULL,
      (const GwExample[]){ { "godwit host remove kvm1", "Forget kvm1." }, { NULL, NULL } }, "R32",
      NULL, host_remove },
    { "host refresh", NULL, "Read a host anew",
      "Asks the host for its facts and VMs now instead of at the next turn.", host_argument, NULL,
      (const GwExample[]){ { "godwit host refresh kvm1", "After a change made by hand." },
                           { NULL, NULL } },
      "R32", NULL, refresh },
    { .name = NULL },
};
