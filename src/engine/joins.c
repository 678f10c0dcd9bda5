/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/inventory.h"
#include "engine/joins_internal.h"
#include "engine/records_internal.h"

/* How a host gets its agent: a person makes a token, the agent shows it once, with a request for a
 * certificate, and is a managed host from then on. */

#define REQUEST_MAX (16 * 1024)
/* The agent starts after it has joined; until then it is not missed. */
#define START_US (120 * G_USEC_PER_SEC)

/* A join on its way through the journal. Its token is out of the table, so that nobody else can use
 * it meanwhile, and comes back where nothing was stored. */
typedef struct {
    Call *call;
    char *hash;
    GwJoinToken *token;
    GwHost *host;
    GwIssued *issued;
    GwJoinAnswer *answer;
} Join;

static void join_free(gpointer data)
{
    Join *join = data;

    g_free(join->hash);
    gw_join_token_free(join->token);
    gw_host_free(join->host);
    gw_issued_free(join->issued);
    gw_join_answer_free(join->answer);
    g_free(join);
}

static gboolean is_loopback(const char *address)
{
    return g_str_has_prefix(address, "127.") || strcmp(address, "::1") == 0 ||
           strcmp(address, "localhost") == 0;
}

/* An agent beside the controller joins from the loopback address, by which nobody else finds it. */
static const char *outside_address(const GwJoinRequest *request)
{
    for (char **a = request->addresses; a != NULL && *a != NULL; a++) {
        if (g_hostname_is_ip_address(*a) && !is_loopback(*a) && !g_str_has_prefix(*a, "fe80:"))
            return *a;
    }
    return NULL;
}

static const char *agent_address(const GwJoinToken *token, const GwJoinRequest *request,
                                 const char *peer)
{
    if (token->address != NULL)
        return token->address;
    if (peer != NULL && (!is_loopback(peer) || outside_address(request) == NULL))
        return peer;
    return peer != NULL ? outside_address(request) : request->hostname;
}

static char *name_of(const GwJoinToken *token, const GwJoinRequest *request, const char *address)
{
    if (token->name != NULL)
        return g_strdup(token->name);
    return gw_text_printable(request->hostname != NULL ? request->hostname : address,
                             GW_TEXT_NAME_MAX);
}

/* The host as it will be; NULL where it cannot be. */
static GwHost *joined_host(GwEngine *engine, const GwJoinToken *token, const GwJoinRequest *request,
                           const char *peer, GError **error)
{
    const char *address = agent_address(token, request, peer);
    const GwHost *known = gw_fabric_host(gw_engine_now(engine), token->host_id);
    g_autoptr(GwHost) host = known != NULL ? gw_host_copy(known) : gw_host_new_default();

    if (address == NULL || !gw_join_check_address(address, error)) {
        g_prefix_error(error, "the agent's address: ");
        if (address == NULL)
            gw_error_set(error, GW_ERR_INVALID, "Make the token with an address (--address).",
                         "it cannot be told at which address the agent is reached");
        return NULL;
    }
    if (known == NULL) {
        host->id = g_strdup(token->host_id);
        host->name = name_of(token, request, address);
        g_free(host->group_id);
        host->group_id = g_strdup(token->group_id);
    }
    g_free(host->uri);
    host->uri = gw_join_uri(address, request->port, host->id);
    g_clear_pointer(&host->peer_uri, g_free); /* of the way without an agent */
    host->status = GW_HOST_CONNECTING;
    if ((known != NULL && !gw_hosts_check_unused(engine, known, error)) ||
        !gw_hosts_check(engine, host, error))
        return NULL;
    return g_steal_pointer(&host);
}

static GwJoinAnswer *make_answer(GwEngine *engine, const GwHost *host, char *certificate)
{
    GwJoinAnswer *answer = gw_join_answer_new();

    answer->host_id = g_strdup(host->id);
    answer->fabric_id = g_strdup(gw_authority_fabric_id(engine->authority));
    answer->certificate = certificate;
    answer->authority = g_strdup(gw_authority_ca_pem(engine->authority));
    answer->ticket_key = g_base64_encode(gw_authority_ticket_public(engine->authority), 32);
    answer->wall_us = gw_clock_wall_us(engine->clock);
    return answer;
}

static gpointer joined(GwEngine *engine, gpointer data)
{
    Join *join = data;
    const char *id = join->host->id;

    gw_fabric_put_host(gw_engine_change(engine), gw_host_copy(join->host));
    gw_engine_tell(engine, "host", id, NULL);
    g_message("host '%s' joined with an agent: %s", join->host->name, join->host->uri);
    /* Whatever an agent of this host had before is worth nothing from here on. */
    gw_certificates_revoke(engine, id, "the host joined anew");
    gw_certificates_add(engine, g_steal_pointer(&join->issued));
    if (g_hash_table_contains(engine->hosts, id))
        gw_inventory_stop_host(engine, id);
    gw_inventory_await_agent(engine, id, START_US);
    gw_records_end_change(engine, join->host->id);
    return g_steal_pointer(&join->answer);
}

/* Nothing that went wrong costs the token. */
static void give_back(GwEngine *engine, Join *join)
{
    g_mutex_lock(&engine->tokens_lock);
    g_hash_table_replace(engine->joins, g_steal_pointer(&join->hash),
                         g_steal_pointer(&join->token));
    g_mutex_unlock(&engine->tokens_lock);
}

static void not_joined(GwEngine *engine, gpointer data)
{
    Join *join = data;

    give_back(engine, join);
    gw_records_end_change(engine, join->host->id);
}

static const CallCommit join_commit = { .done = joined, .failed = not_joined, .free = join_free };

static void store_join(GwEngine *engine, Join *join)
{
    GwBatch *batch = gw_batch_new();

    gw_batch_put(batch, GW_KIND_HOST, join->host->id,
                 gw_record_to_json(&gw_host_record, join->host));
    gw_certificates_put_revoked(engine, batch, join->host->id, "the host joined anew");
    gw_batch_put(batch, GW_KIND_CERTIFICATE, join->issued->serial,
                 gw_record_to_json(&gw_issued_record, join->issued));
    gw_batch_remove(batch, GW_KIND_JOIN_TOKEN, join->hash);
    gw_records_begin_change(engine, join->host->id);
    gw_call_commit(engine, join->call, batch, &join_commit, join);
}

/* The token of @request, out of the table. */
static GwJoinToken *take_token(GwEngine *engine, const GwJoinRequest *request, char **hash,
                               GError **error)
{
    gpointer token = NULL, key = NULL;
    g_autofree char *wanted = gw_tokens_hash(request->token);

    g_mutex_lock(&engine->tokens_lock);
    gw_joins_forget_expired(engine);
    g_hash_table_steal_extended(engine->joins, wanted, &key, &token);
    g_mutex_unlock(&engine->tokens_lock);
    if (token == NULL)
        gw_joins_refuse_unknown(error);
    *hash = key;
    return token;
}

static gboolean begin_join(GwEngine *engine, Join *join, const GwJoinRequest *request,
                           const char *peer, GError **error)
{
    join->token = take_token(engine, request, &join->hash, error);
    if (join->token == NULL)
        return FALSE;
    join->host = joined_host(engine, join->token, request, peer, error);
    if (join->host == NULL)
        return FALSE;
    char *certificate =
        gw_certificates_issue(engine, request->request, join->host->id, &join->issued, error);
    if (certificate == NULL)
        return FALSE;
    gw_certificates_note(join->host, join->issued);
    join->answer = make_answer(engine, join->host, certificate);
    return TRUE;
}

static void call_join(GwEngine *engine, Call *call)
{
    Join *join = g_new0(Join, 1);
    GError *error = NULL;

    join->call = call;
    if (begin_join(engine, join, call->in[0], call->in[1], &error)) {
        store_join(engine, join);
        return;
    }
    if (join->token != NULL)
        give_back(engine, join);
    gw_engine_answer(call, NULL, error);
    join_free(join);
}

GwJoinAnswer *gw_engine_join(GwEngine *engine, const GwJoinRequest *request, const char *peer,
                             GError **error)
{
    if (engine->authority == NULL) {
        gw_joins_no_authority(error);
        return NULL;
    }
    if (strlen(request->request) > REQUEST_MAX) {
        gw_error_set(error, GW_ERR_TOO_LARGE, "Send a PKCS #10 request of one key.",
                     "the certificate request is larger than %d bytes", REQUEST_MAX);
        return NULL;
    }
    if (!gw_engine_knows_join_token(engine, request->token, error))
        return NULL;
    return gw_engine_call_in_turn(engine, call_join, request, peer, error);
}
