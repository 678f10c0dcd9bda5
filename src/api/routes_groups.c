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
 * not always zero. */
static gboolean merge_placement(const GwCall *call, const GwGroup *old, GwGroup *wanted,
                                GError **error)
{
    json_t *part = json_object_get(call->json, "placement");

    if (!json_is_object(part))
        return TRUE;
    g_autoptr(GwPlacementPolicy) policy = old != NULL && old->placement != NULL
                                              ? gw_placement_policy_copy(old->placement)
                                              : gw_placement_policy_new_default();
    if (!gw_record_patch(&gw_placement_policy_record, policy, part, error)) {
        g_prefix_error(error, "'placement': ");
        return FALSE;
    }
    gw_placement_policy_free(wanted->placement);
    wanted->placement = g_steal_pointer(&policy);
    return TRUE;
}

static gboolean add_group(GwCall *call, GError **error)
{
    g_autoptr(GwGroup) wanted = gw_group_copy(call->record);

    if (!merge_placement(call, NULL, wanted, error))
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

static gboolean change_group(GwCall *call, GError **error)
{
    const GwGroup *group = find_for_change(call, error);
    if (group == NULL)
        return FALSE;
    g_autoptr(GwGroup) wanted = gw_group_copy(group);
    if (!gw_record_patch(&gw_group_record, wanted, call->json, error) ||
        !merge_placement(call, group, wanted, error))
        return FALSE;
    g_autoptr(GwGroup) changed = gw_engine_change_group(call->engine, wanted, error);
    return changed != NULL && gw_call_answer(call, 200, &gw_group_record, changed);
}

static gboolean remove_group(GwCall *call, GError **error)
{
    const GwGroup *group = find_for_change(call, error);
    return group != NULL && gw_engine_remove_group(call->engine, group->id, error) &&
           gw_call_answer_empty(call);
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
        .summary = "Rename or move a host group, or say how VMs are placed in it.",
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
    { .method = NULL },
};
