/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "cli/columns.h"
#include "cli/explain.h"
#include "cli/format.h"
#include "cli/host_check.h"
#include "cli/host_show.h"
#include "cli/install.h"
#include "cli/placement_words.h"
#include "cli/session.h"
#include "cli/storage_words.h"
#include "model/host.h"

/* --group takes a name; the API wants the id. */
static gboolean resolve_group(GwSession *session, const GwArgs *args, json_t *body, GError **error)
{
    const char *group = gw_args_text(args, "group");

    return group == NULL ||
           gw_session_put_id(session, body, "group_id", "/host-groups", "group", group, error);
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
    return gw_print_list(session, "/hosts", gw_host_columns,
                         "No hosts. Add one: godwit host add qemu+ssh://root@kvm1/system", error);
}

/* "POOL,POOL" as an array; an empty text: none. */
static void put_default_storage(const GwArgs *args, json_t *body)
{
    const char *text = gw_args_text(args, "default-storage");
    g_auto(GStrv) words = text != NULL ? g_strsplit(text, ",", -1) : NULL;
    json_t *all = json_array();

    for (guint i = 0; words != NULL && words[i] != NULL; i++) {
        if (*words[i] != '\0')
            json_array_append_new(all, json_string(words[i]));
    }
    if (text != NULL)
        json_object_set(body, "default_storage", all);
    json_decref(all);
}

static int set(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) body = gw_args_body(args);

    put_default_storage(args, body);
    gw_put_list(args, "tag", "tags", body);
    gw_put_list(args, "network-tag", "network_tags", body);
    if (!gw_put_keep_source(args, 0, body, error) || !gw_put_reserves(args, body, error))
        return GW_EXIT_USAGE;
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

static void say_maintenance(GwSession *session, const char *name, json_t *host)
{
    const char *state = gw_at_text(host, "maintenance");

    if (g_strcmp0(state, gw_enum_word(&gw_maintenance_enum, GW_MAINTENANCE_NONE)) == 0)
        gw_say(session, "Host %s takes VMs", name);
    else if (g_strcmp0(state, gw_enum_word(&gw_maintenance_enum, GW_MAINTENANCE_IN)) == 0)
        gw_say(session, "Host %s is in maintenance", name);
    else
        gw_say(session, "Host %s gets no VM any more; it is in maintenance once none runs there",
               name);
}

static int maintenance(GwSession *session, const GwArgs *args, GError **error)
{
    const char *word = gw_args_word(args, 1);
    gboolean on = strcmp(word, "on") == 0;

    if (!on && strcmp(word, "off") != 0) {
        gw_error_set(error, GW_ERR_INVALID, "Say on or off.",
                     "host maintenance: '%.100s' is neither on nor off", word);
        return GW_EXIT_USAGE;
    }
    g_autoptr(GwJson) body = json_pack("{s:b}", "on", on ? 1 : 0);
    g_autoptr(GwJson) host = gw_post_action(session, "/hosts", "host", gw_args_word(args, 0),
                                            "/maintenance", body, error);

    if (host != NULL && !gw_print_document(session, host))
        say_maintenance(session, gw_args_word(args, 0), host);
    return GW_EXIT_OK;
}

static int host_remove(GwSession *session, const GwArgs *args, GError **error)
{
    return gw_remove_record(session, "/hosts", "host", gw_args_word(args, 0), error);
}

static int refresh(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) answer =
        gw_post_action(session, "/hosts", "host", gw_args_word(args, 0), "/refresh", NULL, error);

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
static const GwArgument maintenance_arguments[] = {
    { "HOST", "hosts", "The host's name or id.", GW_ARGUMENT_ONE },
    { "on|off", NULL, "Whether it gets no VM any more.", GW_ARGUMENT_ONE },
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
    { "default-storage", GW_OPTION_TEXT, "POOL[,POOL…]",
      "Where VMs' disks go by default: storage pools of the host, or their paths; empty: none "
      "(R16).",
      .complete = "pools" },
    { "keep-source", GW_OPTION_TEXT, "DURATION",
      "How long old copies of disks that moved away are kept for Undo: 30min, 24h, 7d; none: not "
      "at all." },
    { "tag", GW_OPTION_TEXT, "TAG[,TAG…]",
      "All of its tags, for placement rules: words and key=value; may be given several times; "
      "empty: none (R57).",
      .many = TRUE },
    { "network-tag", GW_OPTION_TEXT, "NAME=TAG[,…]",
      "All of its declarations of which physical network is behind a network or bridge of it, by "
      "which adapters are matched; may be given several times; empty: none (R40).",
      .many = TRUE },
    GW_RESERVE_OPTIONS,
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
      "R23 R32", NULL, gw_show_host_record },
    { "host set", NULL, "Change a host's settings",
      "Only what is given changes. A new URI is tried before it is stored.", host_argument,
      set_options,
      (const GwExample[]){
          { "godwit host set kvm1 --live-limit 4 --method multichannel",
            "More moves at a time, over several connections each." },
          { "godwit host set kvm1 --live-migration no", "Allow no live moves from and to kvm1." },
          { "godwit host set kvm1 --default-storage fast,/srv/images --keep-source 7d",
            "Where disks go by default, and how long old copies stay." },
          { "godwit host set kvm1 --tag ssd --tag rack=3 --reserve-memory 4GiB",
            "For placement: what it has, and what is left alone there." },
          { "godwit host set kvm1 --network-tag br0=dmz --network-tag lan=office",
            "What is behind its networks, so that adapters find the same elsewhere." },
          { NULL, NULL } },
      "R1 R16 R20 R21 R24 R33 R40 R57 R59 R60", &gw_host_record, set },
    { "host storage", NULL, "List where disks can go on a host",
      "The active storage pools that can hold disks, default locations first. PROMISED is what "
      "of the free space moves that are not over still need.",
      host_argument, NULL,
      (const GwExample[]){ { "godwit host storage kvm2", "Before a move with disks to kvm2." },
                           { NULL, NULL } },
      "R16", NULL, gw_show_host_storage },
    { "host maintenance", "HOST on|off", "Give a host no VM any more, or let it take VMs again",
      "Nothing is moved. The host is entering maintenance while VMs run there, and in maintenance "
      "once none does; VMs that are off do not hold it up.",
      maintenance_arguments, NULL,
      (const GwExample[]){ { "godwit host maintenance kvm1 on", "Before it is switched off." },
                           { "godwit host maintenance kvm1 off", "It takes VMs again." },
                           { NULL, NULL } },
      "R49", NULL, maintenance },
    { "host explain", NULL, "Show what could not leave a host now, and why",
      "Each VM of it is checked against every other host, by what is known. Those that stay come "
      "first, each with what is in the way on the host that comes nearest.",
      host_argument, NULL,
      (const GwExample[]){ { "godwit host explain kvm1", "Could kvm1 be emptied today?" },
                           { NULL, NULL } },
      "R33 R45 R49", NULL, gw_explain_host },
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
