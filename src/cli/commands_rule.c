/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "cli/columns.h"
#include "cli/format.h"
#include "cli/placement_words.h"
#include "model/placement.h"

static char *show_force(GwSession *session, json_t *row, const char *path)
{
    if (gw_at_true(row, "disabled"))
        return g_strdup("disabled");
    if (gw_at(row, "conflict") != NULL)
        return g_strdup("required!");
    return g_strdup(gw_at_true(row, path) ? "required" : "preferred");
}

const GwColumn gw_rule_columns[] = {
    { "NAME", "name", .cut = TRUE },
    { "KIND", "kind" },
    { "FORCE", "required", show_force },
    { "VMS", "vms", gw_show_count, .right = TRUE },
    { "NETWORKS", "networks", gw_show_list, .cut = TRUE },
    { "HOSTS", "hosts", gw_show_count, .right = TRUE },
    { "TAGS", "host_tags", gw_show_list, .cut = TRUE },
    { "COMMENT", "comment", .cut = TRUE },
    { .header = NULL },
};

const GwColumn gw_rule_sheet[] = {
    { "Name", "name" },
    { "Id", "id" },
    { "Kind", "kind" },
    { "Force", "required", show_force },
    { "Networks", "networks", gw_show_list },
    { "Tags of hosts", "host_tags", gw_show_list },
    { "Comment", "comment" },
    { .header = NULL },
};

static const GwColumn conflict_sheet[] = {
    { "Cannot be kept", "observed" },
    { "Remedy", "remedy" },
    { .header = NULL },
};

static const GwColumn rule_vm_columns[] = {
    { "VM", "name", .cut = TRUE },
    { "HOST", "host_id", gw_show_host, .cut = TRUE },
    { "STATE", "state", .state = TRUE },
    { "UUID", "uuid" },
    { .header = NULL },
};

static const GwColumn rule_host_columns[] = {
    { "HOST", "id", gw_show_host, .cut = TRUE },
    { "ID", "id" },
    { .header = NULL },
};

/* Gives each of @rules that cannot be kept any more its "conflict"; a controller that is older
 * knows of none. Returns how many there are. */
static guint mark_conflicts(GwSession *session, json_t *rules)
{
    g_autoptr(GwJson) conflicts = gw_client_list(session->client, "/rule-conflicts", NULL);
    g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);
    guint count = 0;

    for (gsize i = 0; i < json_array_size(conflicts); i++) {
        json_t *conflict = json_array_get(conflicts, i);
        if (gw_at_text(conflict, "rule_id") != NULL)
            g_hash_table_insert(known, (gpointer)gw_at_text(conflict, "rule_id"), conflict);
    }
    for (gsize i = 0; i < json_array_size(rules); i++) {
        json_t *rule = json_array_get(rules, i);
        const char *id = gw_at_text(rule, "id");
        json_t *conflict = id != NULL ? g_hash_table_lookup(known, id) : NULL;
        if (conflict != NULL && json_object_set(rule, "conflict", conflict) == 0)
            count++;
    }
    return count;
}

static int list(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) rules = gw_client_list(session->client, "/rules?limit=500", error);

    if (rules != NULL && !gw_print_document(session, rules)) {
        guint conflicts = mark_conflicts(session, rules);
        gw_print_table(session, gw_rule_columns, rules);
        if (conflicts > 0)
            gw_say(session, "required! cannot be kept as things are: godwit rule show RULE.");
        if (json_array_size(rules) == 0)
            gw_say(session, "No placement rules.");
    }
    return GW_EXIT_OK;
}

/* The VMs of @uuids, with names where they are known. */
static json_t *vms_of(GwSession *session, json_t *uuids)
{
    g_autoptr(GwJson) all = gw_client_list(session->client, "/vms?limit=500", NULL);
    g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);
    json_t *rows = json_array();

    for (gsize i = 0; i < json_array_size(all); i++) {
        json_t *vm = json_array_get(all, i);
        if (gw_at_text(vm, "uuid") != NULL)
            g_hash_table_insert(known, (gpointer)gw_at_text(vm, "uuid"), vm);
    }
    for (gsize i = 0; i < json_array_size(uuids); i++) {
        const char *uuid = json_string_value(json_array_get(uuids, i));
        json_t *vm = uuid != NULL ? g_hash_table_lookup(known, uuid) : NULL;
        if (vm != NULL)
            json_array_append(rows, vm);
        else
            json_array_append_new(rows, json_pack("{s:s*}", "uuid", uuid));
    }
    return rows;
}

static json_t *hosts_of(json_t *ids)
{
    json_t *rows = json_array();

    for (gsize i = 0; i < json_array_size(ids); i++)
        json_array_append_new(rows, json_pack("{s:O}", "id", json_array_get(ids, i)));
    return rows;
}

static int show(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) rule =
        gw_session_find(session, "/rules", "rule", gw_args_word(args, 0), error);

    if (rule == NULL || gw_print_document(session, rule))
        return GW_EXIT_OK;
    g_autoptr(GwJson) alone = json_pack("[O]", rule);
    mark_conflicts(session, alone);
    gw_print_sheet(session, gw_rule_sheet, rule);
    if (gw_at(rule, "conflict") != NULL)
        gw_print_sheet(session, conflict_sheet, gw_at(rule, "conflict"));
    if (json_array_size(gw_at(rule, "conflict.vms")) > 0) {
        g_autoptr(GwJson) rows = vms_of(session, gw_at(rule, "conflict.vms"));
        gw_print_heading(session, "VMs without a host");
        gw_print_table(session, rule_vm_columns, rows);
    }
    if (json_array_size(gw_at(rule, "vms")) > 0) {
        g_autoptr(GwJson) rows = vms_of(session, gw_at(rule, "vms"));
        gw_print_heading(session, "VMs");
        gw_print_table(session, rule_vm_columns, rows);
    }
    if (json_array_size(gw_at(rule, "hosts")) > 0) {
        g_autoptr(GwJson) rows = hosts_of(gw_at(rule, "hosts"));
        gw_print_heading(session, "Hosts");
        gw_print_table(session, rule_host_columns, rows);
    }
    return GW_EXIT_OK;
}

/* Making and changing ---------------------------------------------------------------------- */

/* A rule holds on to the VM, whatever it is called later. */
static json_t *uuid_of(GwSession *session, const char *vm, GError **error)
{
    g_autofree char *segment = gw_client_segment(vm);
    g_autofree char *path = g_strconcat("/vms/", segment, NULL);
    g_autoptr(GwJson) record = gw_client_get(session->client, path, error);
    const char *uuid = gw_at_text(record, "uuid");

    if (record != NULL && uuid == NULL)
        gw_error_set(error, GW_ERR_INTERNAL, NULL, "the controller's VM '%.255s' has no UUID", vm);
    return uuid != NULL ? json_string(uuid) : NULL;
}

static json_t *id_of_host(GwSession *session, const char *host, GError **error)
{
    g_autoptr(GwJson) record = gw_session_find(session, "/hosts", "host", host, error);
    return record != NULL ? json_string(gw_at_text(record, "id")) : NULL;
}

typedef json_t *(*Resolve)(GwSession *session, const char *name, GError **error);

static gboolean append(GwSession *session, json_t *list, const char *name, Resolve resolve,
                       GError **error)
{
    json_t *id = resolve(session, name, error);

    return id != NULL && json_array_append_new(list, id) == 0;
}

/* All of @option, by what the API wants, instead of what the rule has. */
static gboolean put_resolved(GwSession *session, const GwArgs *args, const char *option,
                             const char *key, Resolve resolve, json_t *body, GError **error)
{
    const GPtrArray *given = gw_args_all(args, option);
    g_autoptr(GwJson) list = json_array();

    for (guint i = 0; given != NULL && i < given->len; i++) {
        if (*(const char *)given->pdata[i] != '\0' &&
            !append(session, list, given->pdata[i], resolve, error))
            return FALSE;
    }
    if (given != NULL)
        json_object_set(body, key, list);
    return TRUE;
}

/* What both "add" and "set" take. */
static gboolean put_places(GwSession *session, const GwArgs *args, json_t *body, GError **error)
{
    gw_put_list(args, "tag", "host_tags", body);
    gw_put_list(args, "network", "networks", body);
    return put_resolved(session, args, "host", "hosts", id_of_host, body, error);
}

static gboolean check_kind(const char *kind, GError **error)
{
    if (gw_enum_value(&gw_placement_rule_kind_enum, kind) >= 0)
        return TRUE;
    g_autofree char *words = g_strjoinv(", ", (char **)gw_placement_rule_kind_enum.words);
    g_autofree char *remedy = g_strdup_printf("Choose one of: %s.", words);
    gw_error_set(error, GW_ERR_INVALID, remedy, "'%.100s' is no kind of rule", kind);
    return FALSE;
}

static int add(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) body = gw_args_body(args);
    g_autoptr(GwJson) vms = json_array();

    if (!check_kind(gw_args_word(args, 1), error))
        return GW_EXIT_USAGE;
    for (guint i = 2; gw_args_word(args, i) != NULL; i++) {
        if (!append(session, vms, gw_args_word(args, i), uuid_of, error))
            return GW_EXIT_FAILED;
    }
    json_object_set_new(body, "name", json_string(gw_args_word(args, 0)));
    json_object_set_new(body, "kind", json_string(gw_args_word(args, 1)));
    json_object_set_new(body, "required", json_boolean(!gw_args_has(args, "preferred")));
    if (json_array_size(vms) > 0)
        json_object_set(body, "vms", vms);
    if (!put_places(session, args, body, error))
        return GW_EXIT_FAILED;
    g_autoptr(GwJson) rule = gw_client_call(session->client, "POST", "/rules", body, NULL, error);
    if (rule != NULL && !gw_print_document(session, rule))
        gw_say(session, "Rule %s added, %s", gw_at_text(rule, "name"), gw_at_text(rule, "id"));
    return GW_EXIT_OK;
}

static int set(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) body = gw_args_body(args);
    g_autofree char *path =
        gw_session_find_path(session, "/rules", "rule", gw_args_word(args, 0), error);

    if (path == NULL || !put_resolved(session, args, "vm", "vms", uuid_of, body, error) ||
        !put_places(session, args, body, error) || !gw_require_change(body, error))
        return GW_EXIT_FAILED;
    g_autoptr(GwJson) rule = gw_client_call(session->client, "PATCH", path, body, NULL, error);
    if (rule != NULL && !gw_print_document(session, rule))
        gw_say(session, "Rule %s changed", gw_args_word(args, 0));
    return GW_EXIT_OK;
}

static int rule_remove(GwSession *session, const GwArgs *args, GError **error)
{
    return gw_remove_record(session, "/rules", "rule", gw_args_word(args, 0), error);
}

static const GwArgument rule_argument[] = {
    { "RULE", "rules", "The rule's name or id.", GW_ARGUMENT_ONE },
    { .name = NULL },
};
static const GwArgument add_arguments[] = {
    { "NAME", NULL, "The new rule's name.", GW_ARGUMENT_ONE },
    { "KIND", NULL,
      "together (on one host), apart (no two on one host), run-on (these hosts), keep-off (not "
      "these hosts), or network (VMs of these networks on these hosts).",
      GW_ARGUMENT_ONE },
    { "VM", "vms", "The VMs: UUID, name, or HOST/NAME.", GW_ARGUMENT_ANY },
    { .name = NULL },
};

#define PLACE_OPTIONS                                                                              \
    { "host",                                                                                      \
      GW_OPTION_TEXT,                                                                              \
      "HOST",                                                                                      \
      "A host of the rule; may be given several times.",                                           \
      .complete = "hosts",                                                                         \
      .many = TRUE },                                                                              \
        { "tag", GW_OPTION_TEXT, "TAG[,TAG…]",                                                     \
          "Hosts with all of these tags (keep-off: with one of them); may be given several "       \
          "times.",                                                                                \
          .many = TRUE },                                                                          \
        { "network", GW_OPTION_TEXT, "NETWORK[,NETWORK…]",                                         \
          "Networks of a rule of kind network; may be given several times.", .many = TRUE },       \
    {                                                                                              \
        "comment", GW_OPTION_TEXT, "TEXT", "Why the rule is there.", .key = "comment"              \
    }

static const GwOption add_options[] = {
    { "preferred", GW_OPTION_FLAG, NULL,
      "It lowers ratings where it is not kept; else it is required, and excludes hosts." },
    PLACE_OPTIONS,
    { .name = NULL },
};
static const GwOption set_options[] = {
    { "name", GW_OPTION_TEXT, "NAME", "A new name.", .key = "name" },
    { "required", GW_OPTION_SWITCH, NULL, "Whether it excludes hosts, or only lowers ratings.",
      .key = "required" },
    { "disabled", GW_OPTION_SWITCH, NULL, "Whether it is kept, but not applied.",
      .key = "disabled" },
    { "vm", GW_OPTION_TEXT, "VM", "A VM of the rule; may be given several times.",
      .complete = "vms", .many = TRUE },
    PLACE_OPTIONS,
    { .name = NULL },
};

const GwCommand gw_rule_commands[] = {
    { "rule list", NULL, "List the placement rules",
      "A required rule that cannot be kept as hosts, tags and other rules are now is marked "
      "(required!); \"rule show\" says why.",
      NULL, NULL,
      (const GwExample[]){ { "godwit rule list", "All rules, in force or not." }, { NULL, NULL } },
      "R57", NULL, list },
    { "rule show", NULL, "Show a placement rule with its VMs and hosts",
      "Where a required rule cannot be kept any more, it says with which other rule, and which VMs "
      "have no host left.",
      rule_argument, NULL,
      (const GwExample[]){ { "godwit rule show webs", "Which VMs it is about." }, { NULL, NULL } },
      "R57", NULL, show },
    { "rule add", NULL, "Make a rule about where VMs may run",
      "A required rule excludes hosts as destinations; a preferred one lowers their rating. A "
      "rule moves nothing by itself: it counts when a VM is moved. One that contradicts another is "
      "refused, and the other is named.",
      add_arguments, add_options,
      (const GwExample[]){
          { "godwit rule add webs apart web1 web2 web3", "No two of them on one host." },
          { "godwit rule add shop together shop-app shop-db --preferred",
            "On one host where that can be had." },
          { "godwit rule add licence run-on db1 --host kvm1 --host kvm2",
            "Only where it is licensed." },
          { "godwit rule add fast run-on db1 --tag ssd,rack=3", "Only on hosts with these tags." },
          { "godwit rule add dmz network --network dmz --tag dmz",
            "VMs of the network dmz only on hosts that are tagged so." },
          { NULL, NULL } },
      "R57", &gw_placement_rule_record, add },
    { "rule set", NULL, "Change a placement rule",
      "Only what is given changes. VMs, hosts, tags and networks that are given replace those that "
      "the rule has; an empty text takes them away.",
      rule_argument, set_options,
      (const GwExample[]){
          { "godwit rule set webs --vm web1 --vm web2", "It is about these two from now on." },
          { "godwit rule set webs --disabled yes", "Keep it, but do not apply it." },
          { NULL, NULL } },
      "R57", &gw_placement_rule_record, set },
    { "rule remove", NULL, "Remove a placement rule", "No VM is moved for it.", rule_argument, NULL,
      (const GwExample[]){ { "godwit rule remove webs", "They may share a host again." },
                           { NULL, NULL } },
      "R57", NULL, rule_remove },
    { .name = NULL },
};
