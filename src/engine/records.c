/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/inventory.h"
#include "engine/records_internal.h"

/* How any record of the fabric is changed: hosts (fabric_commands.c), groups (groups.c), rules
 * (placement.c). */

/* A change of one record that waits for the journal before it is seen. */
typedef struct {
    Call *call;
    GwKind kind;
    gpointer record; /* owned; NULL: a removal */
    char *id;
    MessageFn after; /* gets @id */
} Change;

static const GwRecord *record_of(GwKind kind)
{
    if (kind == GW_KIND_PLACEMENT_RULE)
        return &gw_placement_rule_record;
    return kind == GW_KIND_GROUP ? &gw_group_record : &gw_host_record;
}

/* Whether a change of it waits for the journal: what is written of it meanwhile would be lost. */
gboolean gw_records_is_changing(const GwEngine *engine, const char *id)
{
    for (guint i = 0; i < engine->changing->len; i++) {
        if (strcmp(engine->changing->pdata[i], id) == 0)
            return TRUE;
    }
    return FALSE;
}

gboolean gw_records_check_settled(const GwEngine *engine, const char *id, GError **error)
{
    if (!gw_records_is_changing(engine, id))
        return TRUE;
    gw_error_set(error, GW_ERR_CONFLICT, "Look at it, then ask again.",
                 "its settings are being changed just now");
    return FALSE;
}

/* What waits until the changes under way are stored, or refused. */
typedef struct {
    MessageFn fn;
    gpointer data;
} Waiting;

void gw_records_in_turn(GwEngine *engine, MessageFn fn, gpointer data)
{
    if (engine->changing->len == 0) {
        fn(engine, data);
        return;
    }
    Waiting *waiting = g_new(Waiting, 1);
    waiting->fn = fn;
    waiting->data = data;
    g_queue_push_tail(engine->changes, waiting);
}

static void take_turns(GwEngine *engine)
{
    Waiting *waiting;

    while (engine->changing->len == 0 && (waiting = g_queue_pop_head(engine->changes)) != NULL) {
        waiting->fn(engine, waiting->data);
        g_free(waiting);
    }
}

void gw_records_begin_change(GwEngine *engine, char *id)
{
    g_ptr_array_add(engine->changing, id);
}

void gw_records_end_change(GwEngine *engine, char *id)
{
    g_ptr_array_remove(engine->changing, id);
    engine->schedule = TRUE; /* a drain may wait for it */
    take_turns(engine);
}

static void change_free(gpointer data)
{
    Change *change = data;

    gw_record_free(record_of(change->kind), change->record);
    g_free(change->id);
    g_free(change);
}

/* Kept copies go with the host that they are on. */
static void tell_kept(GwEngine *engine, const char *host_id)
{
    g_autoptr(GPtrArray) all = gw_fabric_list_kept(gw_engine_now(engine));

    for (guint i = 0; i < all->len; i++) {
        const GwKeptVolume *kept = all->pdata[i];
        if (g_strcmp0(kept->host_id, host_id) == 0)
            gw_engine_tell(engine, "kept", kept->id, NULL);
    }
}

static void put(GwFabric *fabric, const Change *change)
{
    if (change->kind == GW_KIND_GROUP)
        gw_fabric_put_group(fabric, gw_group_copy(change->record));
    else if (change->kind == GW_KIND_PLACEMENT_RULE)
        gw_fabric_put_rule(fabric, gw_placement_rule_copy(change->record));
    else
        gw_fabric_put_host(fabric, gw_host_copy(change->record));
}

static void forget(GwEngine *engine, GwFabric *fabric, const Change *change)
{
    if (change->kind == GW_KIND_GROUP) {
        gw_fabric_remove_group(fabric, change->id);
    } else if (change->kind == GW_KIND_PLACEMENT_RULE) {
        gw_fabric_remove_rule(fabric, change->id);
    } else {
        tell_kept(engine, change->id);
        gw_fabric_remove_host(fabric, change->id);
    }
}

/* What a host said of itself while its change was being stored is not taken back. Behind another
 * URI nothing of it holds. */
static void keep_news(GwEngine *engine, Change *change)
{
    GwHost *host = change->kind == GW_KIND_HOST ? change->record : NULL;
    const GwHost *now = host != NULL ? gw_fabric_host(gw_engine_now(engine), host->id) : NULL;

    if (now == NULL || g_strcmp0(now->uri, host->uri) != 0)
        return;
    change->record = gw_host_copy(now);
    gw_record_take_settings(&gw_host_record, change->record, host);
    ((GwHost *)change->record)->maintenance = host->maintenance; /* nobody else wrote it */
    gw_host_free(host);
}

static void apply(GwEngine *engine, const Change *change)
{
    static const char *const words[GW_KIND_COUNT] = {
        [GW_KIND_GROUP] = "group", [GW_KIND_HOST] = "host", [GW_KIND_PLACEMENT_RULE] = "rule"
    };

    if (change->record != NULL)
        put(gw_engine_change(engine), change);
    else
        forget(engine, gw_engine_change(engine), change);
    gw_engine_tell(engine, words[change->kind], change->id, NULL);
}

static const char revoked_why[] = "the host is no longer managed through its agent";

static gpointer changed(GwEngine *engine, gpointer data)
{
    Change *change = data;

    g_ptr_array_remove(engine->changing, change->id);
    keep_news(engine, change);
    apply(engine, change);
    if (change->kind == GW_KIND_HOST &&
        (change->record == NULL || !gw_host_has_agent(change->record)))
        gw_certificates_revoke(engine, change->id, revoked_why);
    if (change->after != NULL)
        change->after(engine, change->id);
    engine->schedule = TRUE;
    take_turns(engine);
    if (change->after == gw_hosts_begin_managing) {
        gw_inventory_answer_when_listed(engine, change->id, change->call);
        return NULL;
    }
    /* A removal answers with its id: anything but NULL is success. */
    return change->record != NULL ? g_steal_pointer(&change->record) : g_steal_pointer(&change->id);
}

static void not_changed(GwEngine *engine, gpointer data)
{
    gw_records_end_change(engine, ((Change *)data)->id);
}

static const CallCommit change_commit = {
    .done = changed,
    .failed = not_changed,
    .free = change_free,
};

void gw_records_commit(GwEngine *engine, Call *call, GwKind kind, gpointer record, const char *id,
                       MessageFn after)
{
    Change *change = g_new0(Change, 1);
    GwBatch *batch = gw_batch_new();

    change->call = call;
    change->kind = kind;
    change->record = record;
    change->id = g_strdup(id);
    change->after = after;
    gw_records_begin_change(engine, change->id);
    if (record != NULL)
        gw_batch_put(batch, kind, id, gw_record_to_json(record_of(kind), record));
    else
        gw_batch_remove(batch, kind, id);
    if (kind == GW_KIND_HOST && (record == NULL || !gw_host_has_agent(record)))
        gw_certificates_put_revoked(engine, batch, id, revoked_why);
    if (kind == GW_KIND_HOST && record == NULL) {
        gw_joins_forget_host(engine, batch, id);
        gw_kept_forget_host(engine, batch, id);
    }
    gw_call_commit(engine, call, batch, &change_commit, change);
}

gpointer gw_records_edit(const GwRecord *record, gconstpointer now, const RecordEdit *edit,
                         GError **error)
{
    gpointer copy = gw_record_copy(record, now);

    if (edit->edit(copy, edit->user, error))
        return copy;
    gw_record_free(record, copy);
    return NULL;
}
