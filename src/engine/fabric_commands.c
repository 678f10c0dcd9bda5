/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/inventory.h"
#include "engine/jobs_internal.h"
#include "engine/records_internal.h"

/* Adding, changing and removing hosts; how any record is changed is in records.c. */

/* A URI is tried before anything is stored, under an id of its own: the end of one trial must not
 * take the connection of another, of the same host. */
#define TRIAL_PREFIX "trial:"

typedef struct {
    Call *call;
    GwHost *host;
    const RecordEdit *edit; /* the caller's; NULL: the host is new */
    char *uri;
    char *trial_id;
    GError *error; /* why it cannot be reached */
} Trial;

static void trial_free(Trial *trial)
{
    gw_host_free(trial->host);
    g_free(trial->uri);
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

void gw_hosts_begin_managing(GwEngine *engine, gpointer id)
{
    gw_inventory_start_host(engine, id);
}

/* A new URI needs a new connection; anything else does not. */
static void go_on_managing(GwEngine *engine, gpointer id)
{
    gw_inventory_stop_host(engine, id);
    gw_inventory_start_host(engine, id);
}

/* What a person wants of the host as it is by now, where the new URI was found to lead to. */
static GwHost *edit_anew(GwEngine *engine, const Trial *trial, GError **error)
{
    const GwHost *old = gw_fabric_host(gw_engine_now(engine), trial->host->id);

    if (old == NULL) {
        gw_error_set(error, GW_ERR_NOT_FOUND, "Add it again: godwit host add.",
                     "it was removed meanwhile");
        return NULL;
    }
    GwHost *host = gw_records_edit(&gw_host_record, old, trial->edit, error);
    if (host == NULL)
        return NULL;
    gw_host_facts_free(host->facts);
    host->facts = gw_host_facts_copy(trial->host->facts);
    host->status = GW_HOST_CONNECTING;
    if (host->name == NULL)
        host->name = g_strdup(trial->host->name);
    if (gw_hosts_check_unused(engine, old, error))
        return host;
    gw_host_free(host);
    return NULL;
}

/* In turn. What was checked before the trial is checked anew: it took a while. */
static void end_trial(GwEngine *engine, gpointer data)
{
    Trial *trial = data;
    Call *call = trial->call;
    GError *error = g_steal_pointer(&trial->error);
    g_autoptr(GwHost) host = NULL;

    if (error == NULL)
        host =
            trial->edit != NULL ? edit_anew(engine, trial, &error) : g_steal_pointer(&trial->host);
    const GwHost *old = host != NULL ? gw_fabric_host(gw_engine_now(engine), host->id) : NULL;
    if (host != NULL && gw_hosts_check(engine, host, &error))
        gw_hosts_check_storage(host, old, host->facts, &error);
    if (error != NULL) {
        g_prefix_error(&error, "host '%s': ", trial->uri);
        gw_engine_answer(call, NULL, error);
    } else {
        const char *id = host->id;
        gw_records_commit(engine, call, GW_KIND_HOST, g_steal_pointer(&host), id,
                          trial->edit == NULL ? gw_hosts_begin_managing : go_on_managing);
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

static void try_host(GwEngine *engine, Call *call, GwHost *host, const RecordEdit *edit)
{
    Trial *trial = g_new0(Trial, 1);

    trial->call = call;
    trial->host = host;
    trial->edit = edit;
    trial->uri = g_strdup(host->uri);
    g_autofree char *own = gw_engine_new_id(engine);
    trial->trial_id = g_strconcat(TRIAL_PREFIX, own, NULL);
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
        try_host(engine, call, host, NULL);
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
        job = gw_jobs_coming_for(engine, host->id);
    if (job == NULL)
        return TRUE;
    gw_error_set(error, GW_ERR_CONFLICT, "Wait for the job, or cancel it.",
                 "job '%s' uses host '%s'", job->title, host->name);
    return FALSE;
}

static void call_change_host(GwEngine *engine, Call *call)
{
    const RecordEdit *edit = call->in[1];
    const GwHost *old = gw_call_find_host(engine, call, call->in[0]);
    GError *error = NULL;

    if (old == NULL)
        return;
    GwHost *host = gw_records_edit(&gw_host_record, old, edit, &error);
    gboolean moved = host != NULL && g_strcmp0(host->uri, old->uri) != 0;
    /* Behind a new URI may be another machine, which knows nothing of the job's VM. */
    if (host == NULL || !gw_hosts_check(engine, host, &error) ||
        (moved ? !gw_hosts_check_unused(engine, old, &error)
               : !gw_hosts_check_storage(host, old, old->facts, &error))) {
        gw_host_free(host);
        gw_engine_answer(call, NULL, error);
    } else if (moved) {
        try_host(engine, call, host, edit);
    } else {
        gw_records_commit(engine, call, GW_KIND_HOST, host, host->id, NULL);
    }
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

GwHost *gw_engine_change_host(GwEngine *engine, const char *id, GwEdit edit, gpointer user,
                              GError **error)
{
    const RecordEdit wanted = { edit, user };
    return gw_engine_call_in_turn(engine, call_change_host, id, &wanted, error);
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
