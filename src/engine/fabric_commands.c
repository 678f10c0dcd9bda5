/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/engine_internal.h"

/* Adding, changing and removing hosts, and how any record of the fabric is changed; groups.c and
 * placement.c do it with groups and rules. */

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

static void begin_managing(GwEngine *engine, gpointer id)
{
    gw_inventory_start_host(engine, id);
}

static const char revoked_why[] = "the host is no longer managed through its agent";

static gpointer changed(GwEngine *engine, gpointer data)
{
    Change *change = data;

    g_ptr_array_remove(engine->changing, change->id);
    apply(engine, change);
    if (change->kind == GW_KIND_HOST &&
        (change->record == NULL || !gw_host_has_agent(change->record)))
        gw_certificates_revoke(engine, change->id, revoked_why);
    if (change->after != NULL)
        change->after(engine, change->id);
    engine->schedule = TRUE;
    take_turns(engine);
    if (change->after == begin_managing) {
        gw_inventory_answer_when_listed(engine, change->id, change->call);
        return NULL;
    }
    /* A removal answers with its id: anything but NULL is success. */
    return change->record != NULL ? g_steal_pointer(&change->record) : g_steal_pointer(&change->id);
}

static void not_changed(GwEngine *engine, gpointer data)
{
    g_ptr_array_remove(engine->changing, ((Change *)data)->id);
    engine->schedule = TRUE; /* a drain may wait for it */
    take_turns(engine);
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
    g_ptr_array_add(engine->changing, change->id);
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

/* Hosts ------------------------------------------------------------------------------------ */

/* A URI is tried under a name of its own before anything is stored. */
#define TRIAL_PREFIX "trial:"

typedef struct {
    Call *call;
    GwHost *host;
    gboolean is_new;
    char *trial_id;
    GError *error; /* why it cannot be reached */
} Trial;

static void trial_free(Trial *trial)
{
    gw_host_free(trial->host);
    g_free(trial->trial_id);
    g_clear_error(&trial->error);
    g_free(trial);
}

static gboolean conflict(GError **error, const char *what, const GwHost *other, const char *value)
{
    gw_error_set(error, GW_ERR_CONFLICT, "Look at it: godwit host list.",
                 "host '%s' has the %s '%s' already", other->name, what, value);
    return FALSE;
}

/* Whether no other managed host has this URI, name or libvirt UUID. */
static gboolean check_unique(const GwFabric *fabric, const GwHost *host, GError **error)
{
    const char *uuid = host->facts != NULL ? host->facts->host_uuid : NULL;
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwHost *other = value;
        if (g_strcmp0(other->id, host->id) == 0)
            continue;
        if (g_strcmp0(other->uri, host->uri) == 0)
            return conflict(error, "URI", other, host->uri);
        if (host->name != NULL && g_strcmp0(other->name, host->name) == 0)
            return conflict(error, "name", other, host->name);
        if (uuid != NULL && other->facts != NULL && g_strcmp0(other->facts->host_uuid, uuid) == 0)
            return conflict(error, "libvirt host UUID", other, uuid);
    }
    return TRUE;
}

/* An agent is who its certificate says; under another host's record it would be taken for that
 * host. In a simulated fabric nobody has one. */
static gboolean check_agent(GwEngine *engine, const GwHost *host, GError **error)
{
    g_autofree char *agent = NULL;

    if (engine->authority == NULL || !gw_host_agent_uri(host->uri, NULL, NULL, &agent) ||
        strcmp(agent, host->id) == 0)
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID,
                 "Install it, which also makes the host: godwit host add NAME --install. Of a host "
                 "that has one, only the address and the port may change.",
                 "the agent of that URI is not this host's: it would be '%s', this is '%s'", agent,
                 host->id);
    return FALSE;
}

gboolean gw_hosts_check(GwEngine *engine, GwHost *host, GError **error)
{
    const GwFabric *fabric = gw_engine_now(engine);
    const GwGroup *group =
        gw_fabric_find_group(fabric, host->group_id != NULL ? host->group_id : GW_GROUP_ROOT);

    if (group == NULL) {
        gw_error_set(error, GW_ERR_NOT_FOUND, "List them: godwit group list.", "no host group '%s'",
                     host->group_id);
        return FALSE;
    }
    g_free(host->group_id);
    host->group_id = g_strdup(group->id);
    if (!gw_host_check_uri(host->uri, error) || !check_agent(engine, host, error))
        return FALSE;
    if (host->peer_uri != NULL && *host->peer_uri != '\0' &&
        !gw_host_check_uri(host->peer_uri, error))
        return FALSE;
    if (host->name != NULL && !gw_text_check_name("the host's name", host->name, error))
        return FALSE;
    if (!gw_tags_check(host->tags, error) || !gw_network_tags_check(host->network_tags, error))
        return FALSE;
    return check_unique(fabric, host, error);
}

/* A new URI needs a new connection; anything else does not. */
static void go_on_managing(GwEngine *engine, gpointer id)
{
    gw_inventory_stop_host(engine, id);
    gw_inventory_start_host(engine, id);
}

/* In turn. */
static void end_trial(GwEngine *engine, gpointer data)
{
    Trial *trial = data;
    Call *call = trial->call;
    GError *error = g_steal_pointer(&trial->error);
    const GwFabric *now = gw_engine_now(engine);
    const GwHost *old = gw_fabric_host(now, trial->host->id);

    if (old != NULL)
        trial->host->maintenance = old->maintenance; /* which may have been said meanwhile */
    else if (!trial->is_new && error == NULL)
        gw_error_set(&error, GW_ERR_NOT_FOUND, "Add it again: godwit host add.",
                     "it was removed meanwhile");
    if (error == NULL && check_unique(now, trial->host, &error))
        gw_hosts_check_storage(trial->host, old, trial->host->facts, &error);
    if (error != NULL) {
        g_prefix_error(&error, "host '%s': ", trial->host->uri);
        gw_engine_answer(call, NULL, error);
    } else {
        GwHost *host = g_steal_pointer(&trial->host);
        gw_records_commit(engine, call, GW_KIND_HOST, host, host->id,
                          trial->is_new ? begin_managing : go_on_managing);
    }
    trial_free(trial);
}

static void tried(GwEngine *engine, const GwReply *reply, const char *key, gint64 number)
{
    Trial *trial = GSIZE_TO_POINTER((gsize)number);
    GwHost *host = trial->host;

    (void)key;
    gw_engine_ask(engine, gw_request_new(GW_OP_DISCONNECT, trial->trial_id, NULL), NULL, NULL, 0);
    if (reply->error != NULL) {
        trial->error = g_error_copy(reply->error);
    } else {
        gw_host_facts_free(host->facts);
        host->facts = gw_host_facts_copy(reply->facts);
        if (host->name == NULL)
            host->name = gw_text_printable(host->facts->hostname, GW_TEXT_NAME_MAX);
        host->status = GW_HOST_CONNECTING;
    }
    gw_records_in_turn(engine, end_trial, trial);
}

static void try_host(GwEngine *engine, Call *call, GwHost *host, gboolean is_new)
{
    Trial *trial = g_new0(Trial, 1);

    trial->call = call;
    trial->host = host;
    trial->is_new = is_new;
    trial->trial_id = g_strconcat(TRIAL_PREFIX, host->id, NULL);
    GwRequest *request = gw_request_new(GW_OP_CONNECT, trial->trial_id, NULL);
    request->text = g_strdup(host->uri);
    request->timeout_us = 15 * G_USEC_PER_SEC;
    gw_engine_ask(engine, request, tried, NULL, (gint64)GPOINTER_TO_SIZE(trial));
}

/* A host that is only simulated has nothing to join with: where it has an agent, its URI says who
 * it is. */
static char *new_host_id(GwEngine *engine, const GwHost *host)
{
    gboolean simulated = strcmp(engine->hyper->driver->name, "sim") == 0;
    char *agent = NULL;

    if (simulated && host->uri != NULL && gw_host_agent_uri(host->uri, NULL, NULL, &agent)) {
        if (gw_fabric_host(gw_engine_now(engine), agent) == NULL)
            return agent;
        g_free(agent); /* it is refused as another host's */
    }
    return gw_engine_new_id(engine);
}

static void call_add_host(GwEngine *engine, Call *call)
{
    GwHost *host = gw_host_copy(call->in[0]);
    GError *error = NULL;

    g_free(host->id);
    host->id = new_host_id(engine, host);
    if (gw_hosts_check(engine, host, &error)) {
        try_host(engine, call, host, TRUE);
        return;
    }
    gw_host_free(host);
    gw_engine_answer(call, NULL, error);
}

gboolean gw_hosts_check_unused(GwEngine *engine, const GwHost *host, GError **error)
{
    const GwJob *job = gw_fabric_job_of_host(gw_engine_now(engine), host->id);

    if (job == NULL)
        job = gw_plans_job_for(engine, host->id);
    if (job == NULL)
        return TRUE;
    gw_error_set(error, GW_ERR_CONFLICT, "Wait for the job, or cancel it.",
                 "job '%s' uses host '%s'", job->title, host->name);
    return FALSE;
}

/* In turn. */
static void change_host(GwEngine *engine, gpointer data)
{
    Call *call = data;
    const GwHost *wanted = call->in[0];
    const GwHost *old = gw_fabric_host(gw_engine_now(engine), wanted->id);
    GError *error = NULL;

    if (old == NULL) {
        gw_error_set(&error, GW_ERR_NOT_FOUND, "List them: godwit host list.", "no host '%s'",
                     wanted->id);
        gw_engine_answer(call, NULL, error);
        return;
    }
    GwHost *host = gw_host_copy(wanted);
    host->maintenance = old->maintenance; /* it may have become empty meanwhile */
    gboolean moved = g_strcmp0(host->uri, old->uri) != 0;
    /* Behind a new URI may be another machine, which knows nothing of the job's VM. */
    if (!gw_hosts_check(engine, host, &error) ||
        (moved ? !gw_hosts_check_unused(engine, old, &error)
               : !gw_hosts_check_storage(host, old, old->facts, &error))) {
        gw_host_free(host);
        gw_engine_answer(call, NULL, error);
    } else if (moved) {
        try_host(engine, call, host, FALSE);
    } else {
        gw_records_commit(engine, call, GW_KIND_HOST, host, host->id, NULL);
    }
}

/* It waits for changes of others; one of the same host must be looked at before. */
static void call_change_host(GwEngine *engine, Call *call)
{
    const GwHost *wanted = call->in[0];
    GError *error = NULL;

    if (gw_records_check_settled(engine, wanted->id, &error))
        gw_records_in_turn(engine, change_host, call);
    else
        gw_engine_answer(call, NULL, error);
}

static void stop_managing(GwEngine *engine, gpointer id)
{
    gw_inventory_stop_host(engine, id);
}

static void call_remove_host(GwEngine *engine, Call *call)
{
    const GwHost *host = gw_call_find_host(engine, call, call->in[0]);
    GError *error = NULL;

    if (host == NULL)
        return;
    if (!gw_hosts_check_unused(engine, host, &error)) {
        gw_engine_answer(call, NULL, error);
        return;
    }
    gw_records_commit(engine, call, GW_KIND_HOST, NULL, host->id, stop_managing);
}

static void call_refresh_host(GwEngine *engine, Call *call)
{
    const GwHost *host = gw_call_find_host(engine, call, call->in[0]);

    if (host == NULL)
        return;
    g_autofree char *id = g_strdup(host->id);
    go_on_managing(engine, id);
    gw_engine_answer(call, g_steal_pointer(&id), NULL);
}

GwHost *gw_engine_add_host(GwEngine *engine, const GwHost *host, GError **error)
{
    return gw_engine_call_in_turn(engine, call_add_host, host, NULL, error);
}

GwHost *gw_engine_change_host(GwEngine *engine, const GwHost *host, GError **error)
{
    return gw_engine_call(engine, call_change_host, host, NULL, NULL, NULL, error);
}

gboolean gw_engine_remove_host(GwEngine *engine, const char *id, GError **error)
{
    g_autofree char *removed = gw_engine_call_in_turn(engine, call_remove_host, id, NULL, error);
    return removed != NULL;
}

gboolean gw_engine_refresh_host(GwEngine *engine, const char *id, GError **error)
{
    g_autofree char *refreshed =
        gw_engine_call(engine, call_refresh_host, id, NULL, NULL, NULL, error);
    return refreshed != NULL;
}
