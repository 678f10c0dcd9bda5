/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "cli/columns.h"
#include "cli/format.h"
#include "cli/host_check.h"
#include "cli/install.h"
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
    { "Agent", "facts.agent.version" },
    { "Agent's protocol", "facts.agent.wire_version" },
    { "Certificate", "agent_certificate_serial" },
    { "Certificate ends", "agent_certificate_expires_at" },
    { "Clock ahead, ms", "facts.agent.clock_offset_ms" },
    { "Agent's memory", "facts.agent.resident_bytes", gw_show_bytes },
    { "Agent's sessions", "facts.agent.sessions" },
    { "Agent's streams", "facts.agent.streams" },
    { "Agent's warnings", "facts.agent.warnings", gw_show_list },
    { .header = NULL },
};

/* "10000 Mbit/s"; what the kernel does not tell is not shown as a number. */
static char *show_speed(GwSession *session, json_t *row, const char *path)
{
    gint64 speed = gw_at_int(row, path, -1);
    return speed < 0 ? g_strdup("") : g_strdup_printf("%" G_GINT64_FORMAT " Mbit/s", speed);
}

static char *show_us(GwSession *session, json_t *row, const char *path)
{
    return g_strdup_printf("%.2f ms", (double)gw_at_int(row, path, 0) / 1000);
}

const GwColumn gw_interface_columns[] = {
    { "INTERFACE", "name" },
    { "UP", "up", gw_show_yes_no },
    { "SPEED", "speed_mbps", show_speed, .right = TRUE },
    { "MTU", "mtu", .right = TRUE },
    { "ADDRESSES", "addresses", gw_show_list, .cut = TRUE },
    { .header = NULL },
};

const GwColumn gw_file_system_columns[] = {
    { "MOUNTED AT", "path", .cut = TRUE },
    { "TYPE", "type" },
    { "SIZE", "capacity_bytes", gw_show_bytes, .right = TRUE },
    { "FREE", "available_bytes", gw_show_bytes, .right = TRUE },
    { "REFLINK", "reflink", gw_show_yes_no },
    { "NETWORK", "network", gw_show_yes_no },
    { "SOURCE", "source", .cut = TRUE },
    { .header = NULL },
};

const GwColumn gw_link_columns[] = {
    { "TO", "host_id", gw_show_host, .cut = TRUE },
    { "AT LEAST", "bytes_per_s", gw_show_rate, .right = TRUE },
    { "ROUND TRIP", "round_trip_us", show_us, .right = TRUE },
    { "LONGEST", "round_trip_max_us", show_us, .right = TRUE },
    { "MEASURED", "measured_at" },
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

static void print_part(GwSession *session, json_t *host, const char *path, const char *heading,
                       const GwColumn *columns)
{
    json_t *rows = gw_at(host, path);

    if (json_array_size(rows) == 0)
        return;
    gw_print_heading(session, heading);
    gw_print_table(session, columns, rows);
}

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
    print_part(session, host, "facts.agent.interfaces", "Interfaces", gw_interface_columns);
    print_part(session, host, "facts.agent.file_systems", "File systems", gw_file_system_columns);
    print_part(session, host, "facts.agent.links", "Links to other agents", gw_link_columns);
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

/* The options of the one way have no meaning for the other. */
static gboolean check_way(const GwArgs *args, GError **error)
{
    static const char *const of_agents[] = { "address",     "controller", "ssh-command", "user",
                                             "agent-files", "wait",       NULL };
    gboolean agent = gw_args_has(args, "install") || gw_args_has(args, "join");

    if (gw_args_has(args, "install") && gw_args_has(args, "join")) {
        gw_error_set(error, GW_ERR_INVALID, "Give one of them.",
                     "--install does what --join prints");
        return FALSE;
    }
    for (guint i = 0; !agent && of_agents[i] != NULL; i++) {
        if (gw_args_has(args, of_agents[i])) {
            gw_error_set(error, GW_ERR_INVALID, "Give --install or --join too.",
                         "--%s is for a host that gets an agent", of_agents[i]);
            return FALSE;
        }
    }
    return TRUE;
}

static int add(GwSession *session, const GwArgs *args, GError **error)
{
    if (!check_way(args, error))
        return GW_EXIT_USAGE;
    if (gw_args_has(args, "install"))
        return gw_install_agent(session, args, error);
    if (gw_args_has(args, "join"))
        return gw_print_join(session, args, error);
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
    { "HOST", "hosts",
      "libvirt URI by which the controller reaches the host; with --install or --join its name or "
      "address.",
      GW_ARGUMENT_ONE },
    { .name = NULL },
};
static const GwArgument check_arguments[] = {
    { "HOST", "hosts", "The host's name or id.", GW_ARGUMENT_ONE },
    { "PEER", "hosts", "The other host of a move; default: the host alone.", GW_ARGUMENT_OPTIONAL },
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

static const GwOption add_options[] = {
    IDENTITY_OPTIONS,
    { "install", GW_OPTION_FLAG, NULL, "Install the agent there, over ssh." },
    { "join", GW_OPTION_FLAG, NULL,
      "Print what lets an agent join that was installed by hand, with a fresh token." },
    { "address", GW_OPTION_TEXT, "ADDRESS",
      "Where controller and hosts reach its agent; default: where it joins from." },
    { "controller", GW_OPTION_TEXT, "ADDRESS[:PORT]",
      "Where the host reaches the controller; default: as --server says." },
    { "ssh-command", GW_OPTION_TEXT, "CMD",
      "A whole command that leads there; default: ssh -o BatchMode=yes USER@HOST." },
    { "user", GW_OPTION_TEXT, "USER",
      "Whom ssh becomes there, with sudo unless root; default: "
      "root." },
    { "agent-files", GW_OPTION_TEXT, "PREFIX",
      "Where the agent's files are here (PREFIX/sbin/godwit-agent, …); default: where this program "
      "is "
      "installed.",
      .complete = "files" },
    { "wait", GW_OPTION_INT, "S",
      "How long the controller may take to reach the installed agent, in seconds; default: 90.",
      .max = 3600 },
    { .name = NULL },
};

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
    { "host add", "URI | NAME --install | NAME --join", "Add a host to the fabric",
      "By a libvirt URI the controller connects first and stores nothing where that fails. Its "
      "VMs are listed at once; none is touched.\n\n"
      "With --install the host gets the agent: ssh leads there once, copies godwit-agent to "
      "/usr/local where it is not there in this version, lets it join with a token that is good "
      "once, and starts it. A host that is managed already, by this name, keeps its settings. "
      "With --join nothing is copied; the command to run there is printed.",
      uri_argument, add_options,
      (const GwExample[]){
          { "godwit host add qemu+ssh://root@kvm1/system", "A host reached by ssh." },
          { "godwit host add qemu+tls://kvm2.example.org/system --name kvm2 --group Lab",
            "By TLS, into a group." },
          { "godwit host add qemu+ssh://root@kvm3/system --migration-address 10.0.9.3",
            "With a network of its own for migration data." },
          { "godwit host add kvm1 --install", "With the agent, over ssh as root." },
          { "godwit host add kvm1 --install --ssh-command \"ssh -p 2222 -J jump root@kvm1\"",
            "By way of another machine." },
          { "godwit host add kvm1 --join", "With an agent that was installed by hand." },
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
    { "host check", NULL, "Try what a move needs",
      "With two hosts, what a move from the first to the second needs; with one, what all of its "
      "moves need. Agents try it for real: sockets, streams, rates, clocks. Without agents the "
      "controller checks what it can find out by itself. Each line that is not ok comes with its "
      "remedy; the exit status is 3 where one failed.",
      check_arguments, NULL,
      (const GwExample[]){ { "godwit host check kvm1 kvm2", "Before the first move between them." },
                           { "godwit host check kvm1", "The host and its agent alone." },
                           { NULL, NULL } },
      "R43 R51", NULL, gw_check_host },
    { .name = NULL },
};
