/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/columns.h"
#include "cli/explain.h"
#include "cli/format.h"
#include "cli/help.h"
#include "client/events.h"

/* status ---------------------------------------------------------------------------------- */

#define DEPTH_MAX 8 /* of the status shown; the JSON output has all */

/* The controller's own words: what a newer one says too is shown without knowing it. */
static void flatten(json_t *json, const char *prefix, int depth, GPtrArray *names, json_t *values)
{
    const char *key = NULL;
    json_t *value = NULL;

    json_object_foreach (json, key, value) {
        g_autofree char *name =
            *prefix != '\0' ? g_strdup_printf("%s %s", prefix, key) : g_strdup(key);
        if (json_is_object(value) && depth < DEPTH_MAX) {
            flatten(value, name, depth + 1, names, values);
            continue;
        }
        g_autofree char *line = gw_format_line(name);
        g_ptr_array_add(names, g_strdelimit(g_steal_pointer(&line), "_.", ' '));
        json_array_append(values, value);
    }
}

static void print_flat(GwSession *session, json_t *status)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GwJson) values = json_array();
    g_autoptr(GArray) columns = g_array_new(TRUE, TRUE, sizeof(GwColumn));
    g_autoptr(GwJson) row = json_object();

    flatten(status, "", 0, names, values);
    for (guint i = 0; i < names->len; i++) {
        GwColumn column = { .header = names->pdata[i], .path = names->pdata[i] };
        json_object_set(row, names->pdata[i], json_array_get(values, i));
        g_array_append_val(columns, column);
    }
    gw_print_sheet(session, (const GwColumn *)(gpointer)columns->data, row);
}

static int status(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) answer = gw_client_get(session->client, "/status", error);

    if (answer != NULL && !gw_print_document(session, answer))
        print_flat(session, answer);
    return GW_EXIT_OK;
}

/* events ---------------------------------------------------------------------------------- */

static json_t *event_record(const GwStreamEvent *event)
{
    json_t *data = gw_json_parse(event->data, strlen(event->data), GW_JSON_TEXT_MAX, NULL);

    if (data == NULL)
        data = json_string(event->data);
    return json_pack("{s:s*,s:s,s:o}", "id", event->id, "type", event->type, "data", data);
}

/* What it is about, in the words of its record. */
static char *event_words(json_t *data)
{
    static const char *const paths[] = { "title", "name", "vm_name", "id" };
    const char *what = NULL;
    const char *state = gw_at_text(data, "state");

    for (guint i = 0; i < G_N_ELEMENTS(paths) && what == NULL; i++)
        what = gw_at_text(data, paths[i]);
    if (state == NULL)
        state = gw_at_text(data, "status");
    if (gw_at_true(data, "removed"))
        state = "removed";
    g_autofree char *words = g_strdup_printf("%s%s%s", what != NULL ? what : "",
                                             state != NULL ? ": " : "", state != NULL ? state : "");
    return gw_format_line(words);
}

static void print_event(GwSession *session, const GwStreamEvent *event)
{
    g_autoptr(GwJson) record = event_record(event);

    if (gw_print_record(session, record))
        return;
    g_autoptr(GDateTime) now =
        g_date_time_new_from_unix_local(gw_clock_wall_us(session->clock) / G_USEC_PER_SEC);
    g_autofree char *stamp = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S%:z");
    g_autofree char *type = gw_format_line(event->type);
    g_autofree char *words = event_words(gw_at(record, "data"));
    g_print("%s %-6s %s\n", stamp, type, words);
}

/* FALSE: the controller will not come back, or Ctrl-C. */
static gboolean go_on(GwSession *session, gint64 *down_since, const GError *why)
{
    gint64 now = gw_clock_now_us(session->clock);

    if (!g_error_matches(why, GW_ERROR, GW_ERR_UNREACHABLE) || gw_session_interrupted(session))
        return FALSE;
    if (*down_since < 0) {
        *down_since = now;
        g_printerr("godwit: %s; trying again for %" G_GINT64_FORMAT " s\n", why->message,
                   session->settings->retry_s);
    }
    return now - *down_since < session->settings->retry_s * G_USEC_PER_SEC;
}

/* "ready" only says that the stream has begun. */
static gboolean is_news(const GwStreamEvent *event)
{
    return strcmp(event->type, "ready") != 0;
}

static int follow_events(GwSession *session, GwEventStream *stream, const char *type, gint64 count,
                         GError **error)
{
    gint64 down_since = -1;

    for (gint64 seen = 0; count == 0 || seen < count;) {
        g_autoptr(GwStreamEvent) event = NULL;
        g_autoptr(GError) why = NULL;
        GwStreamWord word = gw_event_stream_next(stream, 1000, &event, &why);
        if (word == GW_STREAM_OPENED)
            down_since = -1;
        if (word == GW_STREAM_DOWN && !go_on(session, &down_since, why)) {
            if (gw_session_interrupted(session))
                return GW_EXIT_INTERRUPTED;
            g_propagate_error(error, g_steal_pointer(&why));
            return GW_EXIT_FAILED;
        }
        if (word == GW_STREAM_EVENT && is_news(event) &&
            (type == NULL || strcmp(type, event->type) == 0)) {
            print_event(session, event);
            seen++;
        }
    }
    return GW_EXIT_OK;
}

static int events(GwSession *session, const GwArgs *args, GError **error)
{
    gw_session_catch_interrupt(session);
    g_autoptr(GwEventStream) stream = gw_event_stream_new(session->client);

    return follow_events(session, stream, gw_args_text(args, "type"), gw_args_int(args, "count", 0),
                         error);
}

/* help, version, completion --------------------------------------------------------------- */

static int help(GwSession *session, const GwArgs *args, GError **error)
{
    const char *first = gw_args_word(args, 0);
    const char *second = gw_args_word(args, 1);
    g_autofree char *name =
        second != NULL ? g_strdup_printf("%s %s", first, second) : g_strdup(first);
    g_autofree char *text = NULL;

    if (first == NULL)
        text = gw_help_overview();
    else if (gw_command_find(name) != NULL)
        text = gw_help_command(gw_command_find(name));
    else if (gw_command_group_find(name) != NULL)
        text = gw_help_group(gw_command_group_find(name));
    if (text != NULL) {
        g_print("%s", text);
        return GW_EXIT_OK;
    }
    g_autofree char *near = gw_command_nearest(name);
    g_autofree char *remedy = near != NULL ? g_strdup_printf("Did you mean: godwit help %s?", near)
                                           : g_strdup("See: godwit help");
    gw_error_set(error, GW_ERR_INVALID, remedy, "no command '%.100s'", name);
    return GW_EXIT_USAGE;
}

static int version(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) record = json_pack("{s:s}", "version", GW_VERSION);

    if (!gw_print_document(session, record))
        g_print("godwit %s\n", GW_VERSION);
    return GW_EXIT_OK;
}

static int completion(GwSession *session, const GwArgs *args, GError **error)
{
    g_autofree char *script = gw_completion_script(gw_args_word(args, 0));

    if (script == NULL) {
        gw_error_set(error, GW_ERR_INVALID, "Use bash, zsh or fish.", "no completion for '%.100s'",
                     gw_args_word(args, 0));
        return GW_EXIT_USAGE;
    }
    fputs(script, stdout);
    return GW_EXIT_OK;
}

/* For our own completion ------------------------------------------------------------------ */

#define NIC_LINES_MAX 2000    /* of completion */
#define NAMES_TIMEOUT_MS 3000 /* somebody waits with a finger on the key */

/* A name that cannot be typed on a command line is no completion. */
static gboolean is_completable(const char *name)
{
    return name != NULL && *name != '\0' && *name != '-' && gw_text_check_name("name", name, NULL);
}

/* Those of all hosts: which one is meant is not known yet. */
static int pool_names(GwSession *session, GError **error)
{
    g_autoptr(GwJson) hosts = gw_client_list(session->client, "/hosts", error);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (gsize i = 0; i < json_array_size(hosts); i++) {
        json_t *pools = gw_at(json_array_get(hosts, i), "facts.pools");
        for (gsize k = 0; k < json_array_size(pools); k++) {
            const char *name = gw_at_text(json_array_get(pools, k), "name");
            if (is_completable(name) && g_hash_table_add(seen, (gpointer)name))
                g_print("%s\n", name);
        }
    }
    return GW_EXIT_OK;
}

/* What --nic takes: each adapter with none, and with each network of a host. */
static int nic_names(GwSession *session, GError **error)
{
    g_autoptr(GwJson) hosts = gw_client_list(session->client, "/hosts", error);
    g_autoptr(GwJson) vms = gw_client_list(session->client, "/vms?limit=500", error);
    g_autoptr(GHashTable) networks = g_hash_table_new(g_str_hash, g_str_equal);
    guint lines = 0;

    for (gsize i = 0; i < json_array_size(hosts); i++) {
        json_t *all = gw_at(json_array_get(hosts, i), "facts.networks");
        for (gsize k = 0; k < json_array_size(all); k++) {
            const char *name = gw_at_text(json_array_get(all, k), "name");
            if (is_completable(name))
                g_hash_table_add(networks, (gpointer)name);
        }
    }
    g_hash_table_add(networks, (gpointer) "none");
    g_autoptr(GList) sorted = g_list_sort(g_hash_table_get_keys(networks), (GCompareFunc)strcmp);
    for (gsize i = 0; i < json_array_size(vms); i++) {
        json_t *nics = gw_at(json_array_get(vms, i), "nics");
        for (gsize k = 0; k < json_array_size(nics); k++) {
            const char *mac = gw_at_text(json_array_get(nics, k), "mac");
            for (GList *at = sorted; is_completable(mac) && at != NULL; at = at->next) {
                if (lines++ < NIC_LINES_MAX)
                    g_print("%s=%s\n", mac, (const char *)at->data);
            }
        }
    }
    return GW_EXIT_OK;
}

/* What --hba takes: each virtual HBA with none, and with each HBA of a host. */
static int hba_names(GwSession *session, GError **error)
{
    g_autoptr(GwJson) hosts = gw_client_list(session->client, "/hosts", error);
    g_autoptr(GHashTable) hbas = g_hash_table_new(g_str_hash, g_str_equal);
    guint lines = 0;

    for (gsize i = 0; i < json_array_size(hosts); i++) {
        json_t *all = gw_at(json_array_get(hosts, i), "facts.hbas");
        for (gsize k = 0; k < json_array_size(all); k++) {
            const char *name = gw_at_text(json_array_get(all, k), "name");
            if (is_completable(name))
                g_hash_table_add(hbas, (gpointer)name);
        }
    }
    g_hash_table_add(hbas, (gpointer) "none");
    g_autoptr(GList) sorted = g_list_sort(g_hash_table_get_keys(hbas), (GCompareFunc)strcmp);
    for (gsize i = 0; i < json_array_size(hosts); i++) {
        json_t *pools = gw_at(json_array_get(hosts, i), "facts.pools");
        for (gsize k = 0; k < json_array_size(pools); k++) {
            const char *wwpn = gw_at_text(json_array_get(pools, k), "wwpn");
            for (GList *at = sorted; is_completable(wwpn) && at != NULL; at = at->next) {
                if (lines++ < NIC_LINES_MAX)
                    g_print("%s=%s\n", wwpn, (const char *)at->data);
            }
        }
    }
    return GW_EXIT_OK;
}

static int names(GwSession *session, const GwArgs *args, GError **error)
{
    static const char *const rows[][3] = {
        { "hosts", "/hosts", "name" },           { "groups", "/host-groups", "name" },
        { "vms", "/vms?limit=500", "name" },     { "jobs", "/jobs?active=true", "id" },
        { "shares", "/shares", "name" },         { "kept", "/kept-volumes?limit=500", "id" },
        { "rules", "/rules?limit=500", "name" }, { "past-jobs", "/jobs?limit=500", "id" },
    };

    const char *kind = gw_args_word(args, 0);
    gboolean both = strcmp(kind, "destinations") == 0; /* the first two */

    gw_client_set_timeout(session->client, NAMES_TIMEOUT_MS);
    if (strcmp(kind, "pools") == 0)
        return pool_names(session, error);
    if (strcmp(kind, "nics") == 0)
        return nic_names(session, error);
    if (strcmp(kind, "hbas") == 0)
        return hba_names(session, error);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        gboolean wanted = strcmp(rows[i][0], kind) == 0 || (i < 2 && both);
        if (!wanted)
            continue;
        g_autoptr(GwJson) all = gw_client_list(session->client, rows[i][1], error);
        for (gsize k = 0; k < json_array_size(all); k++) {
            const char *name = gw_at_text(json_array_get(all, k), rows[i][2]);
            if (is_completable(name))
                g_print("%s\n", name);
        }
    }
    return GW_EXIT_OK;
}

/* The build pipes this through scdoc. */
static int man_source(GwSession *session, const GwArgs *args, GError **error)
{
    const char *group = gw_args_word(args, 0);

    if (group != NULL && gw_command_group_find(group) == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "no group of commands '%.100s'", group);
        return GW_EXIT_USAGE;
    }
    g_autofree char *page = gw_man_page(group != NULL ? gw_command_group_find(group) : NULL);
    fputs(page, stdout);
    return GW_EXIT_OK;
}

static const char *const type_words[] = { "host", "group", "vm",   "share",
                                          "job",  "kept",  "rule", NULL };

static const GwOption event_options[] = {
    { "type", GW_OPTION_CHOICE, NULL, "Only events of this type.", .words = type_words },
    { "count", GW_OPTION_INT, "N", "End after so many events; 0: never.", .max = G_MAXINT },
    { .name = NULL },
};
static const GwArgument shell_argument[] = {
    { "SHELL", NULL, "bash, zsh or fish.", GW_ARGUMENT_ONE },
    { .name = NULL },
};
static const GwArgument kind_argument[] = {
    { "KIND", NULL,
      "hosts, groups, destinations, vms, pools, nics, hbas, jobs, past-jobs, kept, rules or "
      "shares.",
      GW_ARGUMENT_ONE },
    { .name = NULL },
};
static const GwArgument help_arguments[] = {
    { "COMMAND", NULL, "A command or a group of commands.", GW_ARGUMENT_ANY },
    { .name = NULL },
};
static const GwArgument page_argument[] = {
    { "GROUP", NULL, "The group of commands; none: the overview.", GW_ARGUMENT_OPTIONAL },
    { .name = NULL },
};

static const GwArgument explain_arguments[] = {
    { "VM", "vms", "The VM's UUID, name, or HOST/NAME.", GW_ARGUMENT_ONE },
    { "HOST", "destinations", "The destination, or a host group: the best host of it.",
      GW_ARGUMENT_OPTIONAL },
    { .name = NULL },
};

static const GwOption explain_options[] = {
    { "domain-xml", GW_OPTION_TEXT, "FILE",
      "The VM as virsh dumpxml printed it on its host; in place of VM and HOST.",
      .complete = "files" },
    { "capabilities", GW_OPTION_TEXT, "FILE",
      "The destination as virsh capabilities printed it there.", .complete = "files" },
    { "domain-capabilities", GW_OPTION_TEXT, "FILE",
      "The destination as virsh domcapabilities printed it there: its CPUs.", .complete = "files" },
    { "source-capabilities", GW_OPTION_TEXT, "FILE",
      "The source as virsh capabilities printed it there.", .complete = "files" },
    { "off", GW_OPTION_FLAG, NULL, "Judge the dump's VM as one that is off, not as running." },
    { .name = NULL },
};

const GwCommand gw_other_commands[] = {
    { "explain", "VM [HOST] | --domain-xml FILE [options]",
      "Explain where a VM can go, and why not elsewhere",
      "For every host, or for one: what forbids the move and what to do about it, each factor of "
      "the rating, where each disk would go, and why each transfer type is or is not there. With "
      "HOST both hosts are asked anew; without, it is by what is known.\n\n"
      "With --domain-xml no controller and no host is asked: the VM is judged by the same rules "
      "from "
      "what virsh printed of it and, where given, of the two hosts. What no dump tells (memory, "
      "networks, whether the destination has the disks) is neither taken for met nor for refused: "
      "it "
      "is listed, with how to learn it. A FILE of - is standard input. The exit status is 3 where "
      "the VM cannot move whatever the dumps do not tell, and 2 where a dump cannot be used.",
      explain_arguments, explain_options,
      (const GwExample[]){ { "godwit explain web1", "Against every host." },
                           { "godwit explain web1 kvm2", "Against one, on fresh facts." },
                           { "godwit explain web1 'Rack 1'", "The best host of a group, and why." },
                           { "virsh dumpxml web1 | godwit explain --domain-xml -",
                             "A VM of a host that no controller manages." },
                           { "godwit explain --domain-xml web1.xml --capabilities kvm2.xml",
                             "Against the capabilities of one host." },
                           { NULL, NULL } },
      "R4 R33 R34 R45 R46 R57", NULL, gw_explain_vm, .offline_with = "domain-xml" },
    { "status", NULL, "Show the controller's state", "", NULL, NULL,
      (const GwExample[]){ { "godwit status", "Is the controller there, and what does it hold?" },
                           { NULL, NULL } },
      NULL, NULL, status },
    { "events", NULL, "Follow what changes, as it happens",
      "Goes on until Ctrl-C. With -o json each event is a line: id, type and the record as it is "
      "now.",
      NULL, event_options,
      (const GwExample[]){ { "godwit events", "Everything." },
                           { "godwit events --type job -o json | jq .data.state",
                             "The states of jobs, for a program." },
                           { NULL, NULL } },
      "R6", NULL, events },
    { "completion", NULL, "Print the completion script of a shell", "", shell_argument, NULL,
      (const GwExample[]){ { "source <(godwit completion bash)", "In ~/.bashrc." },
                           { "godwit completion zsh > \"${fpath[1]}/_godwit\"", "For zsh." },
                           { "godwit completion fish | source", "For fish." },
                           { NULL, NULL } },
      NULL, NULL, completion, .offline = TRUE },
    { "help", NULL, "Show help on a command", "", help_arguments, NULL,
      (const GwExample[]){ { "godwit help vm migrate", "All about one command." }, { NULL, NULL } },
      NULL, NULL, help, .offline = TRUE },
    { "version", NULL, "Show the version", "", NULL, NULL,
      (const GwExample[]){ { "godwit version", "The program's version." }, { NULL, NULL } }, NULL,
      NULL, version, .offline = TRUE },
    { "names", NULL, "Print names, a line each, for completion", "", kind_argument, NULL,
      (const GwExample[]){ { "godwit names hosts", "All hosts." }, { NULL, NULL } }, NULL, NULL,
      names, .hidden = TRUE },
    { "man-source", NULL, "Print the scdoc source of a man page", "", page_argument, NULL,
      (const GwExample[]){ { "godwit man-source vm", "That of godwit-vm(1)." }, { NULL, NULL } },
      NULL, NULL, man_source, .offline = TRUE, .hidden = TRUE },
    { .name = NULL },
};
