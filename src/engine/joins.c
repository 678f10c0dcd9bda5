/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/engine_internal.h"

/* How a host gets its agent: a person makes a token, the agent shows it once, with a request for a
 * certificate, and is a managed host from then on. */

#define TOKENS_MAX 1000 /* good at one time */
#define REQUEST_MAX (16 * 1024)
/* The agent starts after it has joined; until then it is not missed. */
#define START_US (120 * G_USEC_PER_SEC)

static gint64 now_s(GwEngine *engine)
{
    return gw_clock_wall_us(engine->clock) / G_USEC_PER_SEC;
}

/* Tokens ----------------------------------------------------------------------------------- */

static gboolean load_one(const char *id, json_t *body, gpointer user, GError **error)
{
    GwEngine *engine = user;
    GwJoinToken *token = gw_record_from_stored(&gw_join_token_record, body, error);

    if (token != NULL)
        g_hash_table_replace(engine->joins, g_strdup(id), token);
    return token != NULL;
}

gboolean gw_joins_load(GwEngine *engine, GError **error)
{
    return gw_store_each(engine->store, GW_KIND_JOIN_TOKEN, load_one, engine, error);
}

/* What has expired is of no use to anybody: it goes when somebody comes by. Locked by the caller.
 */
static void forget_expired(GwEngine *engine)
{
    GwBatch *batch = gw_batch_new();
    GHashTableIter iter;
    gpointer hash, value;

    g_hash_table_iter_init(&iter, engine->joins);
    while (g_hash_table_iter_next(&iter, &hash, &value)) {
        if (((GwJoinToken *)value)->expires_s > now_s(engine))
            continue;
        gw_batch_remove(batch, GW_KIND_JOIN_TOKEN, hash);
        g_hash_table_iter_remove(&iter);
    }
    if (gw_batch_is_empty(batch))
        gw_batch_free(batch);
    else
        gw_engine_journal(engine, batch, NULL, NULL, NULL);
}

static gboolean refuse_unknown(GError **error)
{
    gw_error_set(error, GW_ERR_UNAUTHORIZED,
                 "Make a new one: godwit host add NAME --join. Each is good once and for a limited "
                 "time.",
                 "the join token is unknown, used or expired");
    return FALSE;
}

/* Any thread; by its hash, so that whether a guess is near tells nothing. */
gboolean gw_engine_knows_join_token(GwEngine *engine, const char *token, GError **error)
{
    gboolean known = FALSE;

    if (g_str_has_prefix(token, GW_JOIN_TOKEN_PREFIX) && strlen(token) <= GW_TOKEN_MAX) {
        g_autofree char *hash = gw_tokens_hash(token);
        g_mutex_lock(&engine->tokens_lock);
        const GwJoinToken *found = g_hash_table_lookup(engine->joins, hash);
        known = found != NULL && found->expires_s > now_s(engine);
        g_mutex_unlock(&engine->tokens_lock);
    }
    return known || refuse_unknown(error);
}

/* What the journal is waited for with. */
typedef struct {
    char *hash;
    GwJoinToken *token;
} Adding;

static void adding_free(gpointer data)
{
    Adding *adding = data;

    gw_join_token_free(adding->token);
    g_free(adding->hash);
    g_free(adding);
}

static gpointer token_added(GwEngine *engine, gpointer data)
{
    Adding *adding = data;
    GwJoinToken *kept = gw_join_token_copy(adding->token);

    g_clear_pointer(&kept->token, g_free);
    g_mutex_lock(&engine->tokens_lock);
    g_hash_table_replace(engine->joins, g_steal_pointer(&adding->hash), kept);
    g_mutex_unlock(&engine->tokens_lock);
    return g_steal_pointer(&adding->token);
}

static const CallCommit adding_commit = { .done = token_added, .free = adding_free };

static gboolean no_authority(GError **error)
{
    gw_error_set(error, GW_ERR_UNSUPPORTED,
                 "Start the controller without --simulate, with a state folder of its own.",
                 "this controller has no authority that could make certificates for agents");
    return FALSE;
}

/* Whom the token is for: a managed host, or one to be. */
static gboolean settle_host(GwEngine *engine, GwJoinToken *token, GError **error)
{
    const GwFabric *fabric = gw_engine_now(engine);
    const GwHost *host = NULL;

    if (token->host != NULL && *token->host != '\0') {
        host = gw_fabric_find_host(fabric, token->host);
        if (host == NULL) {
            gw_error_set(error, GW_ERR_NOT_FOUND, "List them: godwit host list.", "no host '%s'",
                         token->host);
            return FALSE;
        }
        token->host_id = g_strdup(host->id);
        g_free(token->name);
        token->name = g_strdup(host->name);
        return TRUE;
    }
    token->host_id = gw_engine_new_id(engine);
    if (token->name == NULL)
        return TRUE;
    if (!gw_text_check_name("the host's name", token->name, error))
        return FALSE;
    host = gw_fabric_find_host(fabric, token->name);
    if (host != NULL)
        gw_error_set(error, GW_ERR_CONFLICT,
                     "To give that host an agent, make the token for it (host); else choose "
                     "another name.",
                     "a host '%s' is managed already", token->name);
    return host == NULL;
}

static gboolean settle_token(GwEngine *engine, GwJoinToken *token, GError **error)
{
    const GwGroup *group = gw_fabric_find_group(
        gw_engine_now(engine), token->group_id != NULL ? token->group_id : GW_GROUP_ROOT);

    if (group == NULL) {
        gw_error_set(error, GW_ERR_NOT_FOUND, "List them: godwit group list.", "no host group '%s'",
                     token->group_id);
        return FALSE;
    }
    g_free(token->group_id);
    token->group_id = g_strdup(group->id);
    if (token->address != NULL && !gw_join_check_address(token->address, error))
        return FALSE;
    if (g_hash_table_size(engine->joins) >= TOKENS_MAX) {
        gw_error_set(error, GW_ERR_TOO_LARGE, "Delete those that are not needed.",
                     "%d join tokens are good already", TOKENS_MAX);
        return FALSE;
    }
    return settle_host(engine, token, error);
}

static void date_token(GwEngine *engine, GwJoinToken *token, const char *user)
{
    if (token->lifetime_s == 0)
        token->lifetime_s = GW_JOIN_LIFETIME_S;
    token->id = gw_engine_new_id(engine);
    token->created_at = gw_engine_rfc3339(engine);
    token->created_by = g_strdup(user);
    token->fabric_id = g_strdup(gw_authority_fabric_id(engine->authority));
    token->expires_s = now_s(engine) + token->lifetime_s;
    token->expires_at = gw_certificates_date(token->expires_s);
}

static void call_add_token(GwEngine *engine, Call *call)
{
    g_autoptr(GwJoinToken) token = gw_join_token_copy(call->in[0]);
    GError *error = NULL;

    g_mutex_lock(&engine->tokens_lock);
    forget_expired(engine);
    g_mutex_unlock(&engine->tokens_lock);
    if ((engine->authority != NULL || no_authority(&error)) && settle_token(engine, token, &error))
        token->token = gw_tokens_draw(GW_JOIN_TOKEN_PREFIX, &error);
    if (token->token == NULL) {
        gw_engine_answer(call, NULL, error);
        return;
    }
    date_token(engine, token, call->in[1]);

    Adding *adding = g_new0(Adding, 1);
    GwBatch *batch = gw_batch_new();
    json_t *body = gw_record_to_json(&gw_join_token_record, token);
    json_object_del(body, "token");
    adding->hash = gw_tokens_hash(token->token);
    adding->token = g_steal_pointer(&token);
    gw_batch_put(batch, GW_KIND_JOIN_TOKEN, adding->hash, body);
    gw_call_commit(engine, call, batch, &adding_commit, adding);
}

static gint by_id(gconstpointer a, gconstpointer b)
{
    return strcmp((*(GwJoinToken *const *)a)->id, (*(GwJoinToken *const *)b)->id);
}

static void call_list_tokens(GwEngine *engine, Call *call)
{
    GPtrArray *tokens = gw_record_array(&gw_join_token_record);
    GHashTableIter iter;
    gpointer value;

    g_mutex_lock(&engine->tokens_lock);
    forget_expired(engine);
    g_hash_table_iter_init(&iter, engine->joins);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        g_ptr_array_add(tokens, gw_join_token_copy(value));
    g_mutex_unlock(&engine->tokens_lock);
    g_ptr_array_sort(tokens, by_id);
    gw_engine_answer(call, tokens, NULL);
}

/* Takes the tokens that @wanted chooses out of memory and, by @batch, out of the store. */
static guint take_out(GwEngine *engine, GwBatch *batch, const char *id, const char *host_id)
{
    GHashTableIter iter;
    gpointer hash, value;
    guint count = 0;

    g_mutex_lock(&engine->tokens_lock);
    g_hash_table_iter_init(&iter, engine->joins);
    while (g_hash_table_iter_next(&iter, &hash, &value)) {
        const GwJoinToken *token = value;
        if ((id == NULL || strcmp(token->id, id) != 0) &&
            (host_id == NULL || strcmp(token->host_id, host_id) != 0))
            continue;
        gw_batch_remove(batch, GW_KIND_JOIN_TOKEN, hash);
        g_hash_table_iter_remove(&iter);
        count++;
    }
    g_mutex_unlock(&engine->tokens_lock);
    return count;
}

void gw_joins_forget_host(GwEngine *engine, GwBatch *batch, const char *host_id)
{
    take_out(engine, batch, NULL, host_id);
}

static gpointer token_removed(GwEngine *engine, gpointer unused)
{
    (void)engine;
    (void)unused;
    return GINT_TO_POINTER(1);
}

static const CallCommit removal_commit = { .done = token_removed };

static void call_remove_token(GwEngine *engine, Call *call)
{
    g_autoptr(GwBatch) batch = gw_batch_new();
    GError *error = NULL;

    if (take_out(engine, batch, call->in[0], NULL) > 0) {
        gw_call_commit(engine, call, g_steal_pointer(&batch), &removal_commit, NULL);
        return;
    }
    gw_error_set(&error, GW_ERR_NOT_FOUND, "List them: GET /api/v1/join-tokens.",
                 "no join token '%s'", (const char *)call->in[0]);
    gw_engine_answer(call, NULL, error);
}

GwJoinToken *gw_engine_add_join_token(GwEngine *engine, const GwJoinToken *token, const char *user,
                                      GError **error)
{
    return gw_engine_call(engine, call_add_token, token, user, NULL, NULL, error);
}

GPtrArray *gw_engine_join_tokens(GwEngine *engine, GError **error)
{
    return gw_engine_call(engine, call_list_tokens, NULL, NULL, NULL, NULL, error);
}

gboolean gw_engine_remove_join_token(GwEngine *engine, const char *id, GError **error)
{
    return gw_engine_call(engine, call_remove_token, id, NULL, NULL, NULL, error) != NULL;
}

/* Joining ---------------------------------------------------------------------------------- */

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
    return g_steal_pointer(&join->answer);
}

/* Nothing that went wrong costs the token. */
static void give_back(GwEngine *engine, gpointer data)
{
    Join *join = data;

    g_mutex_lock(&engine->tokens_lock);
    g_hash_table_replace(engine->joins, g_steal_pointer(&join->hash),
                         g_steal_pointer(&join->token));
    g_mutex_unlock(&engine->tokens_lock);
}

static const CallCommit join_commit = { .done = joined, .failed = give_back, .free = join_free };

static void store_join(GwEngine *engine, Join *join)
{
    GwBatch *batch = gw_batch_new();

    gw_batch_put(batch, GW_KIND_HOST, join->host->id,
                 gw_record_to_json(&gw_host_record, join->host));
    gw_certificates_put_revoked(engine, batch, join->host->id, "the host joined anew");
    gw_batch_put(batch, GW_KIND_CERTIFICATE, join->issued->serial,
                 gw_record_to_json(&gw_issued_record, join->issued));
    gw_batch_remove(batch, GW_KIND_JOIN_TOKEN, join->hash);
    gw_call_commit(engine, join->call, batch, &join_commit, join);
}

/* The token of @request, out of the table. */
static GwJoinToken *take_token(GwEngine *engine, const GwJoinRequest *request, char **hash,
                               GError **error)
{
    gpointer token = NULL, key = NULL;
    g_autofree char *wanted = gw_tokens_hash(request->token);

    g_mutex_lock(&engine->tokens_lock);
    forget_expired(engine);
    g_hash_table_steal_extended(engine->joins, wanted, &key, &token);
    g_mutex_unlock(&engine->tokens_lock);
    if (token == NULL)
        refuse_unknown(error);
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
        no_authority(error);
        return NULL;
    }
    if (strlen(request->request) > REQUEST_MAX) {
        gw_error_set(error, GW_ERR_TOO_LARGE, "Send a PKCS #10 request of one key.",
                     "the certificate request is larger than %d bytes", REQUEST_MAX);
        return NULL;
    }
    if (!gw_engine_knows_join_token(engine, request->token, error))
        return NULL;
    return gw_engine_call(engine, call_join, request, peer, NULL, NULL, error);
}
