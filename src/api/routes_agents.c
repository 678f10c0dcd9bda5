/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "api/internal.h"
#include "api/route.h"
#include "base/error.h"

#define COLLECTION "join-tokens"
#define JOIN_BODY_MAX (64 * 1024) /* anybody may send one */
#define FAILURES_MAX 20           /* of one address in a minute */
#define ADDRESSES_MAX 1000
#define MINUTE_US (60 * G_USEC_PER_SEC)

/* Join tokens -------------------------------------------------------------------------------- */

static gboolean add_token(GwCall *call, GError **error)
{
    g_autoptr(GwJoinToken) token =
        gw_engine_add_join_token(call->engine, call->record, call->user, error);

    if (token == NULL)
        return FALSE;
    token->fingerprint = g_strdup(call->api->fingerprint);
    gw_call_answer_at(call, 201, COLLECTION, token->id, &gw_join_token_record, token);
    explicit_bzero(token->token, strlen(token->token));
    return TRUE;
}

static GPtrArray *tokens_of(GwCall *call, GError **error)
{
    GPtrArray *tokens = gw_engine_join_tokens(call->engine, error);

    for (guint i = 0; tokens != NULL && i < tokens->len; i++)
        ((GwJoinToken *)tokens->pdata[i])->fingerprint = g_strdup(call->api->fingerprint);
    return tokens;
}

static gboolean list_tokens(GwCall *call, GError **error)
{
    g_autoptr(GPtrArray) tokens = tokens_of(call, error);
    return tokens != NULL && gw_call_answer_items(call, &gw_join_token_record, tokens);
}

static gboolean get_token(GwCall *call, GError **error)
{
    g_autoptr(GPtrArray) tokens = tokens_of(call, error);
    if (tokens == NULL)
        return FALSE;
    const GwJoinToken *token = gw_record_find(&gw_join_token_record, tokens, "id", call->id);
    if (token == NULL)
        return gw_call_not_found(call, "join token", COLLECTION, error);
    return gw_call_answer(call, 200, &gw_join_token_record, token);
}

static gboolean remove_token(GwCall *call, GError **error)
{
    return gw_engine_remove_join_token(call->engine, call->id, error) && gw_call_answer_empty(call);
}

/* Joining ------------------------------------------------------------------------------------ */

/* Where the request comes from, as a number; NULL: it cannot be told. */
static char *peer_address(const GwCall *call)
{
    struct sockaddr_storage from = { 0 };
    socklen_t size = sizeof(from);
    char text[INET6_ADDRSTRLEN] = "";

    if (call->socket < 0 || getpeername(call->socket, (struct sockaddr *)&from, &size) != 0)
        return NULL;
    if (from.ss_family == AF_INET) {
        inet_ntop(AF_INET, &((struct sockaddr_in *)&from)->sin_addr, text, sizeof(text));
    } else if (from.ss_family == AF_INET6) {
        const struct in6_addr *v6 = &((struct sockaddr_in6 *)&from)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(v6))
            inet_ntop(AF_INET, v6->s6_addr + 12, text, sizeof(text));
        else
            inet_ntop(AF_INET6, v6, text, sizeof(text));
    }
    return *text != '\0' ? g_strdup(text) : NULL;
}

/* Tokens cannot be guessed; this keeps who tries from costing us more than that. Whether @address
 * failed too often in this minute; @failed counts one more. */
static gboolean too_often(GwApi *api, const char *address, gboolean failed)
{
    const char *key = address != NULL ? address : "";
    gint64 now = g_get_monotonic_time();
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&api->joins_lock);

    if (now - api->joins_since_us > MINUTE_US ||
        g_hash_table_size(api->join_failures) >= ADDRESSES_MAX) {
        g_hash_table_remove_all(api->join_failures);
        api->joins_since_us = now;
    }
    guint count = GPOINTER_TO_UINT(g_hash_table_lookup(api->join_failures, key));
    if (failed)
        g_hash_table_replace(api->join_failures, g_strdup(key), GUINT_TO_POINTER(++count));
    return count >= FAILURES_MAX;
}

static gboolean refuse_for_now(GwCall *call, GError **error)
{
    call->problem_status = 429;
    call->reply.retry_after_s = 60;
    gw_error_set(error, GW_ERR_CONFLICT, "Wait a minute, and make a new token.",
                 "too many requests to join failed from this address");
    return FALSE;
}

static void wipe(char *secret)
{
    explicit_bzero(secret, strlen(secret));
}

static gboolean join(GwCall *call, GError **error)
{
    GwJoinRequest *request = call->record;
    g_autofree char *peer = peer_address(call);

    if (too_often(call->api, peer, FALSE))
        return refuse_for_now(call, error);
    gboolean known = gw_engine_knows_join_token(call->engine, request->token, error);
    g_autoptr(GwJoinAnswer) answer =
        known ? gw_engine_join(call->engine, request, peer, error) : NULL;
    wipe(request->token);
    if (answer == NULL) {
        too_often(call->api, peer, TRUE);
        return FALSE;
    }
    return gw_call_answer(call, 200, &gw_join_answer_record, answer);
}

const GwRoute gw_agent_routes[] = {
    {
        .method = "GET",
        .path = "/api/v1/join-tokens",
        .operation = "listJoinTokens",
        .role = GW_ROLE_READ,
        .answers = { { 200, GW_ANSWER_ITEMS, &gw_join_token_record, "Those that are good." } },
        .summary = "List the join tokens that are good, without the tokens themselves.",
        .requirement = "R29",
        .handler = list_tokens,
    },
    {
        .method = "POST",
        .path = "/api/v1/join-tokens",
        .operation = "addJoinToken",
        .role = GW_ROLE_ADMINISTER,
        .body = &gw_join_token_record,
        .secret = TRUE,
        .answers = { { 201, GW_ANSWER_RECORD, &gw_join_token_record,
                       "The token; it is shown this once." } },
        .summary = "Make a token with which one host's agent may join, once.",
        .requirement = "R29",
        .handler = add_token,
    },
    {
        .method = "GET",
        .path = "/api/v1/join-tokens/{id}",
        .operation = "getJoinToken",
        .role = GW_ROLE_READ,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_join_token_record, "What it is for." } },
        .summary = "Read what a join token is for.",
        .requirement = "R29",
        .handler = get_token,
    },
    {
        .method = "DELETE",
        .path = "/api/v1/join-tokens/{id}",
        .operation = "removeJoinToken",
        .role = GW_ROLE_ADMINISTER,
        .answers = { { 204, GW_ANSWER_EMPTY, NULL, "It is good for nothing any more." } },
        .summary = "Take a join token back.",
        .requirement = "R29",
        .handler = remove_token,
    },
    {
        .method = "POST",
        .path = "/api/v1/agents/join",
        .operation = "joinAgent",
        .role = GW_ROLE_PUBLIC,
        .body = &gw_join_request_record,
        .secret = TRUE,
        .lines = TRUE,
        .body_max = JOIN_BODY_MAX,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_join_answer_record,
                       "Who the agent is, and its certificate." } },
        .summary = "Join the fabric with a join token, which is all that proves the caller.",
        .requirement = "R29",
        .handler = join,
    },
    { .method = NULL },
};
