/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/route.h"

#define COLLECTION "host-groups"

static void keys(gconstpointer item, const char *out[3])
{
    const GwGroup *group = item;
    out[0] = group->name;
    out[1] = group->id;
}

static gboolean list_groups(GwCall *call, GError **error)
{
    static const GwPageKind kind = { .record = &gw_group_record, .keys = keys };
    return gw_call_answer_page(call, &kind, gw_fabric_list_groups(call->fabric), error);
}

static const GwGroup *find(GwCall *call, GError **error)
{
    const GwGroup *group = gw_fabric_find_group(call->fabric, call->id);

    if (group == NULL)
        gw_call_not_found(call, "host group", COLLECTION, error);
    return group;
}

static gboolean get_group(GwCall *call, GError **error)
{
    const GwGroup *group = find(call, error);
    return group != NULL && gw_call_answer(call, 200, &gw_group_record, group);
}

/* What a body leaves out of a policy keeps what was said before, or the product's default, which is
 * not always zero. Takes @base; NULL: the body does not speak of it, or it is wrong. */
static gpointer merge(const GwCall *call, const char *key, const GwRecord *record, gpointer base,
                      GError **error)
{
    json_t *part = json_object_get(call->json, key);

    if (json_is_object(part) && gw_record_patch(record, base, part, error))
        return base;
    if (error != NULL && *error != NULL)
        g_prefix_error(error, "'%s': ", key);
    gw_record_free(record, base);
    return NULL;
}

static gboolean merge_parts(const GwCall *call, const GwGroup *old, GwGroup *wanted, GError **error)
{
    GError *trouble = NULL;
    gboolean placed = old != NULL && old->placement != NULL;
    gboolean balanced = old != NULL && old->balance != NULL;
    GwPlacementPolicy *policy =
        merge(call, "placement", &gw_placement_policy_record,
              placed ? gw_placement_policy_copy(old->placement) : gw_placement_policy_new_default(),
              &trouble);
    GwBalanceSettings *settings = NULL;

    if (trouble == NULL)
        settings = merge(call, "balance", &gw_balance_settings_record,
                         balanced ? gw_balance_settings_copy(old->balance)
                                  : gw_balance_settings_new_default(),
                         &trouble);
    if (policy != NULL) {
        gw_placement_policy_free(wanted->placement);
        wanted->placement = policy;
    }
    if (settings != NULL) {
        gw_balance_settings_free(wanted->balance);
        wanted->balance = settings;
    }
    if (trouble == NULL)
        return TRUE;
    g_propagate_error(error, trouble);
    return FALSE;
}

static gboolean add_group(GwCall *call, GError **error)
{
    g_autoptr(GwGroup) wanted = gw_group_copy(call->record);

    if (!merge_parts(call, NULL, wanted, error))
        return FALSE;
    g_autoptr(GwGroup) added = gw_engine_add_group(call->engine, wanted, error);
    return added != NULL &&
           gw_call_answer_at(call, 201, COLLECTION, added->id, &gw_group_record, added);
}

/* The group, claimed and as If-Match wants it. */
static const GwGroup *find_for_change(GwCall *call, GError **error)
{
    const GwGroup *group = find(call, error);
    if (group == NULL)
        return NULL;
    g_autofree char *claim = g_strconcat("group:", group->id, NULL);
    if (!gw_call_claim(call, claim, error))
        return NULL;
    gw_call_refresh(call);
    group = find(call, error);
    return group != NULL && gw_call_check_match(call, &gw_group_record, group, error) ? group
                                                                                      : NULL;
}

static gboolean edit(gpointer group, gpointer user, GError **error)
{
    GwCall *call = user;
    g_autoptr(GwGroup) old = gw_group_copy(group);

    return gw_call_check_match(call, &gw_group_record, group, error) &&
           gw_record_patch(&gw_group_record, group, call->json, error) &&
           merge_parts(call, old, group, error);
}

static gboolean change_group(GwCall *call, GError **error)
{
    const GwGroup *group = find_for_change(call, error);
    if (group == NULL)
        return FALSE;
    g_autoptr(GwGroup) changed = gw_engine_change_group(call->engine, group->id, edit, call, error);
    return changed != NULL && gw_call_answer(call, 200, &gw_group_record, changed);
}

static gboolean remove_group(GwCall *call, GError **error)
{
    const GwGroup *group = find_for_change(call, error);
    return group != NULL && gw_engine_remove_group(call->engine, group->id, error) &&
           gw_call_answer_empty(call);
}

static gboolean get_balance(GwCall *call, GError **error)
{
    const GwGroup *group = find(call, error);
    if (group == NULL)
        return FALSE;
    g_autoptr(GwBalanceStatus) status = gw_engine_balance(call->engine, group->id, error);
    return status != NULL && gw_call_answer(call, 200, &gw_balance_status_record, status);
}

static const GwParam page_params[] = { GW_PAGE_PARAMS, { .name = NULL } };

const GwRoute gw_group_routes[] = {
    {
        .method = "GET",
        .path = "/api/v1/host-groups",
        .operation = "listHostGroups",
        .role = GW_ROLE_READ,
        .query = page_params,
        .answers = { { 200, GW_ANSWER_PAGE, &gw_group_record, "Host groups by name." } },
        .summary = "List the host groups.",
        .requirement = "R46",
        .handler = list_groups,
    },
    {
        .method = "POST",
        .path = "/api/v1/host-groups",
        .operation = "addHostGroup",
        .role = GW_ROLE_ADMINISTER,
        .body = &gw_group_record,
        .answers = { { 201, GW_ANSWER_RECORD, &gw_group_record, "The group." } },
        .summary = "Add a host group; its parent is All Hosts unless told.",
        .requirement = "R46",
        .handler = add_group,
    },
    {
        .method = "GET",
        .path = "/api/v1/host-groups/{id}",
        .operation = "getHostGroup",
        .role = GW_ROLE_READ,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_group_record, "The group." } },
        .summary = "Read a host group, by id or name.",
        .requirement = "R46",
        .handler = get_group,
    },
    {
        .method = "PATCH",
        .path = "/api/v1/host-groups/{id}",
        .operation = "changeHostGroup",
        .role = GW_ROLE_ADMINISTER,
        .body = &gw_group_record,
        .merge = TRUE,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_group_record, "The group as it is now." } },
        .summary =
            "Rename or move a host group, or say how VMs are placed in it, and how it is balanced.",
        .requirement = "R46",
        .handler = change_group,
    },
    {
        .method = "DELETE",
        .path = "/api/v1/host-groups/{id}",
        .operation = "removeHostGroup",
        .role = GW_ROLE_ADMINISTER,
        .answers = { { 204, GW_ANSWER_EMPTY, NULL, "It is gone." } },
        .summary = "Remove an empty host group.",
        .requirement = "R46",
        .handler = remove_group,
    },
    {
        .method = "GET",
        .path = "/api/v1/host-groups/{id}/balance",
        .operation = "getHostGroupBalance",
        .role = GW_ROLE_READ,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_balance_status_record,
                       "How even the hosts are, what is recommended, what it waits for." } },
        .summary = "Read how a host group is balanced just now, with its recommendation.",
        .requirement = "R46",
        .handler = get_balance,
    },
    { .method = NULL },
};
