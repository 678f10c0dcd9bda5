/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/records_internal.h"
#include "plan/rule_conflicts.h"

/* Adding, changing and removing placement rules (R57), and automatic placement (R46). */

#define RULES_MAX 1000 /* each is looked at for every VM and host */

/* What is named twice is meant once. */
static void remove_doubles(char **strings)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    guint kept = 0;

    for (guint i = 0; strings != NULL && strings[i] != NULL; i++) {
        char *string = strings[i];
        strings[i] = NULL;
        if (g_hash_table_add(seen, string))
            strings[kept++] = string;
        else
            g_free(string);
    }
}

/* libvirt writes UUIDs in lower case. */
static void lower(char **strings)
{
    for (guint i = 0; strings != NULL && strings[i] != NULL; i++) {
        char *word = g_ascii_strdown(strings[i], -1);
        g_free(strings[i]);
        strings[i] = word;
    }
}

static void put_in_order(GwPlacementRule *rule)
{
    lower(rule->vms);
    remove_doubles(rule->vms);
    remove_doubles(rule->hosts);
    remove_doubles(rule->networks);
    remove_doubles(rule->host_tags);
}

static gboolean check_name(const GwFabric *fabric, const GwPlacementRule *rule, GError **error)
{
    const GwPlacementRule *other = gw_fabric_find_rule(fabric, rule->name);

    if (other == NULL || g_strcmp0(other->id, rule->id) == 0)
        return TRUE;
    gw_error_set(error, GW_ERR_CONFLICT, "Choose another name, or change that one.",
                 "a placement rule '%s' exists already", rule->name);
    return FALSE;
}

typedef gboolean (*IsThere)(const GwFabric *fabric, const char *id);

static gboolean is_host_there(const GwFabric *fabric, const char *id)
{
    return gw_fabric_host(fabric, id) != NULL;
}

static gboolean is_vm_there(const GwFabric *fabric, const char *uuid)
{
    GHashTableIter iter;
    gpointer vms;

    g_hash_table_iter_init(&iter, fabric->vms);
    while (g_hash_table_iter_next(&iter, NULL, &vms)) {
        if (g_hash_table_contains(vms, uuid))
            return TRUE;
    }
    return FALSE;
}

/* Leaves out what @old named already and has gone since: nobody names it anew. */
static void leave_out_gone(const GwFabric *fabric, char **ids, char *const *old, IsThere is_there)
{
    guint kept = 0;

    for (guint i = 0; ids != NULL && old != NULL && ids[i] != NULL; i++) {
        char *id = ids[i];
        ids[i] = NULL;
        if (is_there(fabric, id) || !g_strv_contains((const char *const *)old, id))
            ids[kept++] = id;
        else
            g_free(id);
    }
}

/* Whether it can be kept beside the others. A VM or host that has gone is not in the way of another
 * change of the rule: it may come back, so it stays in the rule. */
static gboolean check_others(const GwFabric *fabric, const GwPlacementRule *rule, GError **error)
{
    const GwPlacementRule *old = g_hash_table_lookup(fabric->rules, rule->id);

    if (old == NULL)
        return gw_plan_check_rule(fabric, rule, error);
    g_autoptr(GwPlacementRule) left = gw_placement_rule_copy(rule);
    leave_out_gone(fabric, left->vms, old->vms, is_vm_there);
    leave_out_gone(fabric, left->hosts, old->hosts, is_host_there);
    return !gw_placement_rule_check(left, NULL) || gw_plan_check_rule(fabric, left, error);
}

static gboolean check(GwEngine *engine, const GwPlacementRule *rule, GError **error)
{
    const GwFabric *fabric = gw_engine_now(engine);

    return gw_text_check_name("the rule's name", rule->name, error) &&
           check_name(fabric, rule, error) && gw_placement_rule_check(rule, error) &&
           check_others(fabric, rule, error);
}

/* Takes @rule. */
static void commit_checked(GwEngine *engine, Call *call, GwPlacementRule *rule)
{
    GError *error = NULL;

    put_in_order(rule);
    if (check(engine, rule, &error)) {
        gw_records_commit(engine, call, GW_KIND_PLACEMENT_RULE, rule, rule->id, NULL);
        return;
    }
    gw_placement_rule_free(rule);
    gw_engine_answer(call, NULL, error);
}

static void call_add(GwEngine *engine, Call *call)
{
    GwPlacementRule *rule = gw_placement_rule_copy(call->in[0]);
    GError *error = NULL;

    if (g_hash_table_size(gw_engine_now(engine)->rules) >= RULES_MAX) {
        gw_error_set(&error, GW_ERR_CONFLICT, "Remove some, or join them: a rule takes many VMs.",
                     "there are %d placement rules already, and no more are kept", RULES_MAX);
        gw_placement_rule_free(rule);
        gw_engine_answer(call, NULL, error);
        return;
    }
    g_free(rule->id);
    rule->id = gw_engine_new_id(engine);
    commit_checked(engine, call, rule);
}

/* The rule that @call names; NULL: it has been answered. */
static const GwPlacementRule *find(GwEngine *engine, Call *call, const char *which)
{
    const GwPlacementRule *rule =
        which != NULL ? gw_fabric_find_rule(gw_engine_now(engine), which) : NULL;
    GError *error = NULL;

    if (rule != NULL)
        return rule;
    gw_error_set(&error, GW_ERR_NOT_FOUND, "List them: godwit rule list.", "no placement rule '%s'",
                 which != NULL ? which : "");
    gw_engine_answer(call, NULL, error);
    return NULL;
}

static void call_change(GwEngine *engine, Call *call)
{
    const GwPlacementRule *now = find(engine, call, call->in[0]);
    GError *error = NULL;

    if (now == NULL)
        return;
    GwPlacementRule *rule = gw_records_edit(&gw_placement_rule_record, now, call->in[1], &error);
    if (rule != NULL)
        commit_checked(engine, call, rule);
    else
        gw_engine_answer(call, NULL, error);
}

static void call_remove(GwEngine *engine, Call *call)
{
    const GwPlacementRule *rule = find(engine, call, call->in[0]);

    if (rule != NULL)
        gw_records_commit(engine, call, GW_KIND_PLACEMENT_RULE, NULL, rule->id, NULL);
}

GwPlacementRule *gw_engine_add_rule(GwEngine *engine, const GwPlacementRule *rule, GError **error)
{
    return gw_engine_call_in_turn(engine, call_add, rule, NULL, error);
}

GwPlacementRule *gw_engine_change_rule(GwEngine *engine, const char *id, GwEdit edit, gpointer user,
                                       GError **error)
{
    const RecordEdit wanted = { edit, user };
    return gw_engine_call_in_turn(engine, call_change, id, &wanted, error);
}

gboolean gw_engine_remove_rule(GwEngine *engine, const char *id, GError **error)
{
    g_autofree char *removed = gw_engine_call_in_turn(engine, call_remove, id, NULL, error);
    return removed != NULL;
}

GPtrArray *gw_engine_rule_conflicts(GwEngine *engine)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    return gw_plan_rule_conflicts(fabric);
}

/* Automatic placement ---------------------------------------------------------------------- */

GwMoveRequest *gw_placement_choose(GwEngine *engine, const char *vm, const GwMoveRequest *request,
                                   GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    g_autoptr(GwMoveRequest) chosen = gw_move_request_copy(request);
    GwMoveOptions *options = NULL;

    /* Whoever names a host gets that one, and the pool of the same name, unless the best is asked
     * for; what is neither is said by who looks for the host. */
    gboolean host = gw_fabric_find_host(fabric, request->destination) != NULL;
    if (host ? !request->best_storage : gw_fabric_find_group(fabric, request->destination) == NULL)
        return g_steal_pointer(&chosen);
    const GwVm *found = gw_fabric_find_vm(fabric, vm, error);
    if (found == NULL)
        return NULL;
    g_autoptr(GwCandidate) best =
        gw_plan_place(fabric, found, request->destination, request->options, &options, error);
    if (best == NULL)
        return NULL;
    g_free(chosen->destination);
    chosen->destination = g_strdup(best->host_id);
    gw_move_options_free(chosen->options);
    chosen->options = options;
    return g_steal_pointer(&chosen);
}
