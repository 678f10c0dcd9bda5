/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "cli/balance.h"
#include "cli/columns.h"
#include "cli/format.h"
#include "cli/placement_words.h"
#include "model/host.h"
#include "model/migration_plan.h"

const GwColumn gw_group_columns[] = {
    { "NAME", "name", .cut = TRUE },
    { "GOAL", "placement.goal" },
    { "ID", "id" },
    { .header = NULL },
};

static char *show_seconds(GwSession *session, json_t *row, const char *path)
{
    gint64 seconds = gw_at_int(row, path, 0);

    (void)session;
    return seconds > 0 ? gw_format_seconds(seconds) : g_strdup("none");
}

static char *show_schedule(GwSession *session, json_t *row, const char *path)
{
    return gw_at(row, path) != NULL ? gw_show_text(session, row, path) : g_strdup("always");
}

static const GwColumn policy_sheet[] = {
    { "Name", "name" },
    { "Id", "id" },
    { "Parent", "parent" },
    { "Placement", "from" },
    { "Goal", "policy.goal" },
    { "Weight of CPU", "policy.cpu_weight" },
    { "Weight of memory", "policy.memory_weight" },
    { "Weight of disk space", "policy.disk_weight" },
    { "Weight of network", "policy.network_weight" },
    { "CPU reserve, %", "policy.cpu_reserve_percent" },
    { "Memory reserve", "policy.memory_reserve_kib", gw_show_kib },
    { "Disk reserve", "policy.disk_reserve_bytes", gw_show_bytes },
    { "Balancing", "balance.mode" },
    { "Balanced", "by" },
    { "Balance threshold, points", "balance.threshold" },
    { "Balance gain, points", "balance.minimum_gain" },
    { "Balance moves", "balance.moves_at_most" },
    { "Balance cool-down", "balance.vm_cool_down_s", show_seconds },
    { "Balance pause", "balance.cool_down_s", show_seconds },
    { "Balance schedule", "balance.schedule", show_schedule },
    { .header = NULL },
};

/* Of @groups; NULL where there is none of that id. */
static json_t *group_of(json_t *groups, const char *id)
{
    for (gsize i = 0; id != NULL && i < json_array_size(groups); i++) {
        if (g_strcmp0(gw_at_text(json_array_get(groups, i), "id"), id) == 0)
            return json_array_get(groups, i);
    }
    return NULL;
}

static int list(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) groups = gw_client_list(session->client, "/host-groups", error);

    if (groups != NULL && !gw_print_document(session, groups))
        gw_print_tree(session, gw_group_columns, groups, "parent_id");
    return GW_EXIT_OK;
}

/* The group's own policy, or the nearest parent's that has one; where none has, the product's. A
 * tree of groups is never deeper than it has groups. */
static json_t *policy_of(json_t *groups, json_t *group, char **from)
{
    json_t *at = group;

    for (gsize i = 0; at != NULL && i <= json_array_size(groups); i++) {
        json_t *policy = gw_at(at, "placement");
        if (policy != NULL) {
            g_autofree char *name = gw_format_line(gw_at_text(at, "name"));
            *from = at == group ? g_strdup("its own") : g_strdup_printf("as in %s", name);
            return json_incref(policy);
        }
        at = group_of(groups, gw_at_text(at, "parent_id"));
    }
    g_autoptr(GwPlacementPolicy) fallback = gw_placement_policy_new_default();
    *from = g_strdup("the product's");
    return gw_record_to_public_json(&gw_placement_policy_record, fallback);
}

/* What holds of balancing: the group's own settings, or a parent's, with which it is balanced. */
static json_t *balance_of(json_t *groups, json_t *group, char **by)
{
    json_t *at = group;

    for (gsize i = 0; at != NULL && i <= json_array_size(groups); i++) {
        json_t *settings = gw_at(at, "balance");
        if (settings != NULL) {
            g_autofree char *name = gw_format_line(gw_at_text(at, "name"));
            *by = at == group ? g_strdup("by itself") : g_strdup_printf("together with %s", name);
            return json_incref(settings);
        }
        at = group_of(groups, gw_at_text(at, "parent_id"));
    }
    g_autoptr(GwBalanceSettings) fallback = gw_balance_settings_new_default();
    *by = g_strdup("the product's settings");
    return gw_record_to_public_json(&gw_balance_settings_record, fallback);
}

static gboolean has_no_weights(json_t *policy)
{
    return gw_at_int(policy, "cpu_weight", 1) == 0 && gw_at_int(policy, "memory_weight", 1) == 0 &&
           gw_at_int(policy, "disk_weight", 1) == 0 && gw_at_int(policy, "network_weight", 1) == 0;
}

static void print_group(GwSession *session, json_t *groups, json_t *group)
{
    g_autofree char *from = NULL;
    g_autofree char *by = NULL;
    g_autoptr(GwJson) policy = policy_of(groups, group, &from);
    g_autoptr(GwJson) balance = balance_of(groups, group, &by);
    json_t *parent = group_of(groups, gw_at_text(group, "parent_id"));
    g_autoptr(GwJson) row = json_pack("{s:s*,s:s*,s:s*,s:s,s:O,s:s,s:O}", "name",
                                      gw_at_text(group, "name"), "id", gw_at_text(group, "id"),
                                      "parent", parent != NULL ? gw_at_text(parent, "name") : NULL,
                                      "from", from, "policy", policy, "by", by, "balance", balance);

    gw_print_sheet(session, policy_sheet, row);
    if (has_no_weights(policy))
        gw_say(session, "All weights are 0: CPU, memory, disk space and network count alike.");
}

static int show(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) group =
        gw_session_find(session, "/host-groups", "group", gw_args_word(args, 0), error);

    if (group == NULL || gw_print_document(session, group))
        return GW_EXIT_OK;
    g_autoptr(GwJson) groups = gw_client_list(session->client, "/host-groups", error);
    if (groups != NULL)
        print_group(session, groups, group);
    return GW_EXIT_OK;
}

/* --parent takes a name; the API wants the id. */
static gboolean resolve_parent(GwSession *session, const char *parent, json_t *body, GError **error)
{
    return gw_session_put_id(session, body, "parent_id", "/host-groups", "group", parent, error);
}

static int add(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) body = json_pack("{s:s}", "name", gw_args_word(args, 0));
    const char *parent = gw_args_text(args, "parent");

    if (!resolve_parent(session, parent != NULL ? parent : GW_GROUP_ROOT, body, error))
        return GW_EXIT_FAILED;
    g_autoptr(GwJson) group =
        gw_client_call(session->client, "POST", "/host-groups", body, NULL, error);
    if (group != NULL && !gw_print_document(session, group))
        gw_say(session, "Group %s added, %s", gw_at_text(group, "name"), gw_at_text(group, "id"));
    return GW_EXIT_OK;
}

/* What was given of a policy, and nothing else: the controller keeps the rest. */
static gboolean put_policy(const GwArgs *args, json_t *body, GError **error)
{
    static const char *const weights[][2] = { { "weight-cpu", "cpu_weight" },
                                              { "weight-memory", "memory_weight" },
                                              { "weight-disk", "disk_weight" },
                                              { "weight-network", "network_weight" } };
    g_autoptr(GwJson) policy = json_object();

    if (gw_args_has(args, "goal"))
        json_object_set_new(policy, "goal", json_string(gw_args_text(args, "goal")));
    for (guint i = 0; i < G_N_ELEMENTS(weights); i++) {
        if (gw_args_has(args, weights[i][0]))
            json_object_set_new(policy, weights[i][1],
                                json_integer(gw_args_int(args, weights[i][0], 0)));
    }
    if (!gw_put_reserves(args, policy, error))
        return FALSE;
    gboolean given = json_object_size(policy) > 0;
    if (given && gw_args_has(args, "inherit")) {
        gw_error_set(error, GW_ERR_INVALID, "Give one or the other.",
                     "group set: --inherit takes the group's own placement away");
        return FALSE;
    }
    if (given)
        json_object_set(body, "placement", policy);
    else if (gw_args_has(args, "inherit"))
        json_object_set_new(body, "placement", json_null());
    return TRUE;
}

static int set(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) body = gw_args_body(args);
    const char *parent = gw_args_text(args, "parent");

    if (!put_policy(args, body, error) || !gw_put_balance(args, body, error))
        return GW_EXIT_USAGE;
    g_autofree char *path =
        gw_session_find_path(session, "/host-groups", "group", gw_args_word(args, 0), error);

    if (path == NULL || (parent != NULL && !resolve_parent(session, parent, body, error)) ||
        !gw_require_change(body, error))
        return GW_EXIT_FAILED;
    g_autoptr(GwJson) group = gw_client_call(session->client, "PATCH", path, body, NULL, error);
    if (group != NULL && !gw_print_document(session, group))
        gw_say(session, "Group %s changed", gw_args_word(args, 0));
    return GW_EXIT_OK;
}

static int group_remove(GwSession *session, const GwArgs *args, GError **error)
{
    return gw_remove_record(session, "/host-groups", "group", gw_args_word(args, 0), error);
}

/* How it is just now, before what would be done about it. */
static gboolean print_balance(GwSession *session, const char *group, GError **error)
{
    g_autofree char *path = gw_session_find_path(session, "/host-groups", "group", group, error);
    g_autofree char *whole = path != NULL ? g_strconcat(path, "/balance", NULL) : NULL;
    g_autoptr(GwJson) status =
        whole != NULL ? gw_client_call(session->client, "GET", whole, NULL, NULL, error) : NULL;

    if (status != NULL)
        gw_print_balance(session, status);
    return status != NULL;
}

/* Without a word of what to do with it the plan is only shown. */
static int balance(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) body = gw_args_body(args);
    const char *group = gw_args_word(args, 0);
    gboolean table = session->settings->output == GW_OUTPUT_TABLE;

    json_object_set_new(body, "kind", json_string("balance"));
    json_object_set_new(body, "group", json_string(group));
    if (gw_args_has(args, "apply") && gw_args_has(args, "dry-run")) {
        gw_error_set(error, GW_ERR_INVALID, "Give one or the other.",
                     "group balance: --dry-run shows what --apply does");
        return GW_EXIT_USAGE;
    }
    if (gw_args_has(args, "apply") || gw_args_has(args, "plan-file"))
        return gw_run_plan(session, args, body, error);
    if (table && !print_balance(session, group, error))
        return GW_EXIT_FAILED;
    g_autoptr(GwJson) plan = gw_client_call(session->client, "POST", "/plans", body, NULL, error);
    if (plan != NULL && !gw_print_document(session, plan))
        gw_print_migration_plan(session, plan);
    return plan != NULL ? GW_EXIT_OK : GW_EXIT_FAILED;
}

static const GwArgument name_argument[] = {
    { "NAME", NULL, "The new group's name.", GW_ARGUMENT_ONE },
    { .name = NULL },
};
static const GwArgument group_argument[] = {
    { "GROUP", "groups", "The group's name or id.", GW_ARGUMENT_ONE },
    { .name = NULL },
};
static const GwOption add_options[] = {
    { "parent", GW_OPTION_TEXT, "GROUP", "The group it is put under; default: All Hosts.",
      .complete = "groups" },
    { .name = NULL },
};
#define WEIGHT_OPTION(what, text)                                                                  \
    {                                                                                              \
        "weight-" what, GW_OPTION_INT, "N", text, .max = GW_WEIGHT_MAX                             \
    }
static const GwOption set_options[] = {
    { "name", GW_OPTION_TEXT, "NAME", "A new name.", .key = "name" },
    { "parent", GW_OPTION_TEXT, "GROUP", "The group to move it under.", .complete = "groups" },
    { "goal", GW_OPTION_CHOICE, NULL,
      "What is best: balance (the host with the most left) or fill (the fullest with room).",
      .of_enum = &gw_goal_enum },
    WEIGHT_OPTION("cpu", "How much CPU counts in ratings, 0 to 100."),
    WEIGHT_OPTION("memory", "How much memory counts, 0 to 100."),
    WEIGHT_OPTION("disk", "How much free disk space counts, 0 to 100."),
    WEIGHT_OPTION("network", "How much the load of the network counts, 0 to 100."),
    GW_RESERVE_OPTIONS,
    GW_BALANCE_OPTIONS,
    { "inherit", GW_OPTION_FLAG, NULL, "Place VMs as in its parent again." },
    { .name = NULL },
};

static const GwOption balance_options[] = {
    { "apply", GW_OPTION_FLAG, NULL, "Carry the plan out." },
    { "dry-run", GW_OPTION_FLAG, NULL, "Show the plan, and change nothing; the default." },
    { "plan-file", GW_OPTION_TEXT, "FILE",
      "Write the plan to this file to be reviewed, and change nothing.", .complete = "files" },
    { "moves-at-once", GW_OPTION_INT, "N",
      "At most so many moves at a time, beside the hosts' own limits.", .key = "moves_at_once",
      .min = 1, .max = GW_PLAN_VMS_MAX },
    { "storage", GW_OPTION_FLAG, NULL, "Disks that are not shared may be copied.",
      .key = "storage" },
    GW_NO_WAIT_OPTION,
    { .name = NULL },
};

const GwCommand gw_group_commands[] = {
    { "group list", NULL, "Show the tree of host groups", "", NULL, NULL,
      (const GwExample[]){ { "godwit group list", "The tree, from All Hosts down." },
                           { NULL, NULL } },
      "R46", NULL, list },
    { "group show", NULL, "Show a host group, and how VMs are placed in it",
      "A group without a placement of its own has its parent's.", group_argument, NULL,
      (const GwExample[]){ { "godwit group show Rack1", "What ratings weigh there." },
                           { NULL, NULL } },
      "R33 R46", NULL, show },
    { "group add", NULL, "Add a host group", "", name_argument, add_options,
      (const GwExample[]){ { "godwit group add Berlin", "Below All Hosts." },
                           { "godwit group add Rack1 --parent Berlin", "Below another group." },
                           { NULL, NULL } },
      "R46", &gw_group_record, add },
    { "group remove", NULL, "Remove a host group", "Refused while hosts or groups are in it.",
      group_argument, NULL,
      (const GwExample[]){ { "godwit group remove Rack1", "Remove an empty group." },
                           { NULL, NULL } },
      "R46", NULL, group_remove },
    { "group set", NULL, "Change a host group: its name, its place, how VMs are placed in it",
      "Only what is given changes. The goal, the weights and the reserves are what hosts of the "
      "group are rated by. With --balance it is balanced: recommend shows what to move, automatic "
      "moves it as well, from the threshold on, within the schedule (in the controller's time "
      "zone, "
      "or UTC where that is its last word). A group with such settings of its own is balanced by "
      "itself, one without together with its parent. Of All Hosts nothing else can be changed.",
      group_argument, set_options,
      (const GwExample[]){
          { "godwit group set Rack1 --name 'Rack 1'", "Rename." },
          { "godwit group set 'Rack 1' --parent Hamburg", "Move." },
          { "godwit group set Lab --goal fill --weight-memory 100",
            "Fill one host after the other; memory counts most." },
          { "godwit group set Lab --reserve-cpu 10 --reserve-memory 4GiB",
            "Leave that alone on each of its hosts." },
          { "godwit group set Lab --inherit", "As its parent again." },
          { "godwit group set Lab --balance automatic --balance-cool-down 12h",
            "Balance it by itself; no VM twice in half a day." },
          { "godwit group set Lab --balance-schedule 'mon-fri 20:00-06:00'", "Only at night." },
          { NULL, NULL } },
      "R33 R46", &gw_group_record, set },
    { "group balance", NULL, "Show what would even out the load of a host group, or do it",
      "The plan says which VMs to move where, why, what that gains and what it costs. Memory that "
      "is short comes first; with the goal fill the least used host is emptied. Without --apply "
      "nothing is moved. Rules, reserves, maintenance and cool-downs hold as ever.\n\n"
      "Shown before it: how the group is balanced by itself just now, and what that waits for.",
      group_argument, balance_options,
      (const GwExample[]){
          { "godwit group balance Lab", "How even it is, and what would move." },
          { "godwit group balance Lab --apply", "Move it now." },
          { "godwit group balance Lab --plan-file lab.json", "As a file, to be reviewed." },
          { NULL, NULL } },
      "R46 R49", &gw_plan_request_record, balance },
    { .name = NULL },
};
