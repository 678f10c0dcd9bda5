/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/joins_internal.h"

/* Join tokens: a person makes them, an agent shows one once. */

#define TOKENS_MAX 1000 /* good at one time */

static gint64 now_s(GwEngine *engine)
{
    return gw_clock_wall_us(engine->clock) / G_USEC_PER_SEC;
}

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
void gw_joins_forget_expired(GwEngine *engine)
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

gboolean gw_joins_refuse_unknown(GError **error)
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
    return known || gw_joins_refuse_unknown(error);
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

gboolean gw_joins_no_authority(GError **error)
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
    gw_joins_forget_expired(engine);
    g_mutex_unlock(&engine->tokens_lock);
    if ((engine->authority != NULL || gw_joins_no_authority(&error)) &&
        settle_token(engine, token, &error))
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
    gw_joins_forget_expired(engine);
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
