/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/records_internal.h"

/* Adding, changing and removing host groups. */

static gboolean check_schedule(const GwGroup *group, GError **error)
{
    if (group->balance == NULL || gw_schedule_check(group->balance->schedule, error))
        return TRUE;
    g_prefix_error(error, "group '%s': ", group->name);
    return FALSE;
}

static gboolean check_group(const GwFabric *fabric, const GwGroup *group, GError **error)
{
    GHashTableIter iter;
    gpointer value;

    if (!gw_text_check_name("the group's name", group->name, error) ||
        !check_schedule(group, error))
        return FALSE;
    if (g_hash_table_lookup(fabric->groups, group->parent_id) == NULL) {
        gw_error_set(error, GW_ERR_NOT_FOUND, "List them: godwit group list.",
                     "no host group '%s' to be its parent", group->parent_id);
        return FALSE;
    }
    g_hash_table_iter_init(&iter, fabric->groups);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwGroup *other = value;
        if (g_strcmp0(other->id, group->id) != 0 && g_strcmp0(other->name, group->name) == 0) {
            gw_error_set(error, GW_ERR_CONFLICT, "Choose another name.",
                         "a host group '%s' exists already", group->name);
            return FALSE;
        }
    }
    for (const GwGroup *up = group; up != NULL && up->parent_id != NULL;
         up = g_hash_table_lookup(fabric->groups, up->parent_id)) {
        if (g_strcmp0(up->parent_id, group->id) == 0) {
            gw_error_set(error, GW_ERR_CONFLICT, "Choose a parent outside of it.",
                         "group '%s' would lie inside itself", group->name);
            return FALSE;
        }
    }
    return TRUE;
}

/* Takes @group. */
static void put_group(GwEngine *engine, Call *call, GwGroup *group)
{
    GError *error = NULL;
    const GwGroup *parent = gw_fabric_find_group(
        gw_engine_now(engine), group->parent_id != NULL ? group->parent_id : GW_GROUP_ROOT);

    if (parent != NULL) {
        g_free(group->parent_id);
        group->parent_id = g_strdup(parent->id);
    }
    if (!check_group(gw_engine_now(engine), group, &error)) {
        gw_group_free(group);
        gw_engine_answer(call, NULL, error);
        return;
    }
    gw_records_commit(engine, call, GW_KIND_GROUP, group, group->id, NULL);
}

static gboolean known_group(GwEngine *engine, const char *id, GError **error)
{
    if (g_strcmp0(id, GW_GROUP_ROOT) == 0) {
        gw_error_set(error, GW_ERR_CONFLICT, NULL, "All Hosts is the root and stays where it is");
        return FALSE;
    }
    if (id == NULL || g_hash_table_lookup(gw_engine_now(engine)->groups, id) == NULL) {
        gw_error_set(error, GW_ERR_NOT_FOUND, "List them: godwit group list.", "no host group '%s'",
                     id != NULL ? id : "");
        return FALSE;
    }
    return TRUE;
}

static void call_add_group(GwEngine *engine, Call *call)
{
    GwGroup *group = gw_group_copy(call->in[0]);

    g_free(group->id);
    group->id = gw_engine_new_id(engine);
    put_group(engine, call, group);
}

/* Of All Hosts only how VMs are placed and balanced may be said. */
static gboolean is_root_placed_anew(GwEngine *engine, const GwGroup *group)
{
    const GwGroup *root = g_hash_table_lookup(gw_engine_now(engine)->groups, GW_GROUP_ROOT);

    return strcmp(group->id, GW_GROUP_ROOT) == 0 && group->parent_id == NULL &&
           g_strcmp0(group->name, root->name) == 0;
}

static void call_change_group(GwEngine *engine, Call *call)
{
    const GwGroup *now = g_hash_table_lookup(gw_engine_now(engine)->groups, call->in[0]);
    GError *error = NULL;
    GwGroup *group =
        now != NULL ? gw_records_edit(&gw_group_record, now, call->in[1], &error) : NULL;

    if (group != NULL && is_root_placed_anew(engine, group)) {
        if (check_schedule(group, &error)) {
            gw_records_commit(engine, call, GW_KIND_GROUP, group, group->id, NULL);
            return;
        }
    } else if (error == NULL && known_group(engine, call->in[0], &error)) {
        put_group(engine, call, group);
        return;
    }
    gw_group_free(group);
    gw_engine_answer(call, NULL, error);
}

static gboolean group_is_empty(const GwFabric *fabric, const char *id)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->groups);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (g_strcmp0(((GwGroup *)value)->parent_id, id) == 0)
            return FALSE;
    }
    g_hash_table_iter_init(&iter, fabric->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (g_strcmp0(((GwHost *)value)->group_id, id) == 0)
            return FALSE;
    }
    return TRUE;
}

static void call_remove_group(GwEngine *engine, Call *call)
{
    const GwGroup *group = gw_fabric_find_group(gw_engine_now(engine), call->in[0]);
    GError *error = NULL;

    if (!known_group(engine, group != NULL ? group->id : call->in[0], &error)) {
        gw_engine_answer(call, NULL, error);
    } else if (!group_is_empty(gw_engine_now(engine), group->id)) {
        gw_error_set(&error, GW_ERR_CONFLICT, "Move its hosts and groups elsewhere first.",
                     "host group '%s' is not empty", group->name);
        gw_engine_answer(call, NULL, error);
    } else {
        gw_records_commit(engine, call, GW_KIND_GROUP, NULL, group->id, NULL);
    }
}

GwGroup *gw_engine_add_group(GwEngine *engine, const GwGroup *group, GError **error)
{
    return gw_engine_call_in_turn(engine, call_add_group, group, NULL, error);
}

GwGroup *gw_engine_change_group(GwEngine *engine, const char *id, GwEdit edit, gpointer user,
                                GError **error)
{
    const RecordEdit wanted = { edit, user };
    return gw_engine_call_in_turn(engine, call_change_group, id, &wanted, error);
}

gboolean gw_engine_remove_group(GwEngine *engine, const char *id, GError **error)
{
    g_autofree char *removed = gw_engine_call_in_turn(engine, call_remove_group, id, NULL, error);
    return removed != NULL;
}
