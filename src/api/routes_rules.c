/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/route.h"
#include "model/rule_conflict.h"

#define COLLECTION "rules"

static void keys(gconstpointer item, const char *out[3])
{
    const GwPlacementRule *rule = item;
    out[0] = rule->name;
    out[1] = rule->id;
}

static gboolean list_rules(GwCall *call, GError **error)
{
    static const GwPageKind kind = { .record = &gw_placement_rule_record, .keys = keys };
    return gw_call_answer_page(call, &kind, gw_fabric_list_rules(call->fabric), error);
}

static gboolean list_conflicts(GwCall *call, GError **error)
{
    g_autoptr(GPtrArray) conflicts = gw_engine_rule_conflicts(call->engine);

    (void)error;
    return gw_call_answer_items(call, &gw_rule_conflict_record, conflicts);
}

static const GwPlacementRule *find(GwCall *call, GError **error)
{
    const GwPlacementRule *rule = gw_fabric_find_rule(call->fabric, call->id);

    if (rule == NULL)
        gw_call_not_found(call, "placement rule", COLLECTION, error);
    return rule;
}

static gboolean get_rule(GwCall *call, GError **error)
{
    const GwPlacementRule *rule = find(call, error);
    return rule != NULL && gw_call_answer(call, 200, &gw_placement_rule_record, rule);
}

static gboolean add_rule(GwCall *call, GError **error)
{
    g_autoptr(GwPlacementRule) added = gw_engine_add_rule(call->engine, call->record, error);
    return added != NULL &&
           gw_call_answer_at(call, 201, COLLECTION, added->id, &gw_placement_rule_record, added);
}

/* The rule, claimed and as If-Match wants it. */
static const GwPlacementRule *find_for_change(GwCall *call, GError **error)
{
    const GwPlacementRule *rule = find(call, error);
    if (rule == NULL)
        return NULL;
    g_autofree char *claim = g_strconcat("rule:", rule->id, NULL);
    if (!gw_call_claim(call, claim, error))
        return NULL;
    gw_call_refresh(call);
    rule = find(call, error);
    if (rule == NULL || !gw_call_check_match(call, &gw_placement_rule_record, rule, error))
        return NULL;
    return rule;
}

static gboolean edit(gpointer rule, gpointer user, GError **error)
{
    GwCall *call = user;

    return gw_call_check_match(call, &gw_placement_rule_record, rule, error) &&
           gw_record_patch(&gw_placement_rule_record, rule, call->json, error);
}

static gboolean change_rule(GwCall *call, GError **error)
{
    const GwPlacementRule *rule = find_for_change(call, error);
    if (rule == NULL)
        return FALSE;
    g_autoptr(GwPlacementRule) changed =
        gw_engine_change_rule(call->engine, rule->id, edit, call, error);
    return changed != NULL && gw_call_answer(call, 200, &gw_placement_rule_record, changed);
}

static gboolean remove_rule(GwCall *call, GError **error)
{
    const GwPlacementRule *rule = find_for_change(call, error);
    return rule != NULL && gw_engine_remove_rule(call->engine, rule->id, error) &&
           gw_call_answer_empty(call);
}

static const GwParam page_params[] = { GW_PAGE_PARAMS, { .name = NULL } };

const GwRoute gw_rule_routes[] = {
    {
        .method = "GET",
        .path = "/api/v1/rules",
        .operation = "listRules",
        .role = GW_ROLE_READ,
        .query = page_params,
        .answers = { { 200, GW_ANSWER_PAGE, &gw_placement_rule_record, "Rules by name." } },
        .summary = "List the placement rules: what runs together, apart, or only somewhere.",
        .requirement = "R57",
        .handler = list_rules,
    },
    {
        .method = "GET",
        .path = "/api/v1/rule-conflicts",
        .operation = "listRuleConflicts",
        .role = GW_ROLE_READ,
        .answers = { { 200, GW_ANSWER_ITEMS, &gw_rule_conflict_record,
                       "Required rules that cannot be kept, by name." } },
        .summary = "Which required rules contradict others, or leave a VM no host, as hosts, tags "
                   "and rules are now.",
        .requirement = "R57",
        .handler = list_conflicts,
    },
    {
        .method = "POST",
        .path = "/api/v1/rules",
        .operation = "addRule",
        .role = GW_ROLE_ADMINISTER,
        .body = &gw_placement_rule_record,
        .answers = { { 201, GW_ANSWER_RECORD, &gw_placement_rule_record, "The rule." } },
        .summary = "Make a placement rule; refused where it contradicts another.",
        .requirement = "R57",
        .handler = add_rule,
    },
    {
        .method = "GET",
        .path = "/api/v1/rules/{id}",
        .operation = "getRule",
        .role = GW_ROLE_READ,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_placement_rule_record, "The rule." } },
        .summary = "Read a placement rule, by id or name.",
        .requirement = "R57",
        .handler = get_rule,
    },
    {
        .method = "PATCH",
        .path = "/api/v1/rules/{id}",
        .operation = "changeRule",
        .role = GW_ROLE_ADMINISTER,
        .body = &gw_placement_rule_record,
        .merge = TRUE,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_placement_rule_record,
                       "The rule as it is now." } },
        .summary = "Change a placement rule, or disable it; a list replaces the old one.",
        .requirement = "R57",
        .handler = change_rule,
    },
    {
        .method = "DELETE",
        .path = "/api/v1/rules/{id}",
        .operation = "removeRule",
        .role = GW_ROLE_ADMINISTER,
        .answers = { { 204, GW_ANSWER_EMPTY, NULL, "It is gone." } },
        .summary = "Remove a placement rule; no VM is moved for it.",
        .requirement = "R57",
        .handler = remove_rule,
    },
    { .method = NULL },
};
