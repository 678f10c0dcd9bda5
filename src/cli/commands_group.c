/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/columns.h"
#include "cli/format.h"
#include "model/host.h"

const GwColumn gw_group_columns[] = {
    { "NAME", "name", .cut = TRUE },
    { "ID", "id" },
    { .header = NULL },
};

static int list(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) groups = gw_client_list(session->client, "/host-groups", error);

    if (groups != NULL && !gw_print_document(session, groups))
        gw_print_tree(session, gw_group_columns, groups, "parent_id");
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

static int set(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) body = gw_args_body(args);
    const char *parent = gw_args_text(args, "parent");
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
static const GwOption set_options[] = {
    { "name", GW_OPTION_TEXT, "NAME", "A new name.", .key = "name" },
    { "parent", GW_OPTION_TEXT, "GROUP", "The group to move it under.", .complete = "groups" },
    { .name = NULL },
};

const GwCommand gw_group_commands[] = {
    { "group list", NULL, "Show the tree of host groups", "", NULL, NULL,
      (const GwExample[]){ { "godwit group list", "The tree, from All Hosts down." },
                           { NULL, NULL } },
      "R46", NULL, list },
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
    { "group set", NULL, "Rename a host group, or move it in the tree", "", group_argument,
      set_options,
      (const GwExample[]){ { "godwit group set Rack1 --name 'Rack 1'", "Rename." },
                           { "godwit group set 'Rack 1' --parent Hamburg", "Move." },
                           { NULL, NULL } },
      "R46", &gw_group_record, set },
    { .name = NULL },
};
