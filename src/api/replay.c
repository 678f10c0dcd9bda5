/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "api/call.h"
#include "api/internal.h"
#include "api/route.h"
#include "base/error.h"

/* Idempotency-Key: a client that got no answer asks again with the same key, and gets the first
 * answer instead of a second move. */

#define KEY_MAX 255

static const char *wanted_key(const GwCall *call)
{
    const char *dry_run = gw_call_query(call, "dry_run");

    if (strcmp(call->method, "POST") != 0 || g_strcmp0(dry_run, "true") == 0 || call->route->secret)
        return NULL;
    return call->headers[GW_HEADER_IDEMPOTENCY_KEY];
}

static gboolean check_key(const char *key, GError **error)
{
    gsize length = strlen(key);
    gboolean right = length >= 1 && length <= KEY_MAX;

    for (gsize i = 0; right && i < length; i++)
        right = g_ascii_isprint(key[i]);
    if (!right)
        gw_error_set(error, GW_ERR_INVALID, "Use a random UUID.",
                     "Idempotency-Key must be 1 to %d printable characters", KEY_MAX);
    return right;
}

/* Keys of one user say nothing about those of another; and what is stored has a fixed form. */
static char *stored_key(const GwCall *call, const char *key)
{
    g_autofree char *text = g_strdup_printf("%s\n%s", call->user, key);
    return g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
}

static char *fingerprint(const GwCall *call)
{
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);

    g_checksum_update(checksum, (const guchar *)call->method, -1);
    g_checksum_update(checksum, (const guchar *)"\n", 1);
    g_checksum_update(checksum, (const guchar *)call->target, -1);
    g_checksum_update(checksum, (const guchar *)"\n", 1);
    if (call->body != NULL)
        g_checksum_update(checksum, (const guchar *)call->body->str, (gssize)call->body->len);
    return g_strdup(g_checksum_get_string(checksum));
}

static void send_again(GwCall *call, json_t *kept)
{
    GwReply *reply = &call->reply;
    json_t *body = json_object_get(kept, "body");

    reply->status = (guint)json_integer_value(json_object_get(kept, "status"));
    reply->location = g_strdup(json_string_value(json_object_get(kept, "location")));
    reply->replayed = TRUE;
    if (body == NULL)
        return;
    g_autofree char *text = gw_json_text(body);
    reply->content_type = "application/json";
    reply->body = g_string_new(text);
}

static gboolean replay(GwCall *call, const char *key, GError **error)
{
    g_autofree char *id = stored_key(call, key);
    g_autofree char *claim = g_strconcat("key:", id, NULL);

    /* The first request may still be running: its answer is waited for. */
    if (!gw_call_claim(call, claim, error))
        return FALSE;
    g_autoptr(GError) recall_error = NULL;
    g_autoptr(GwJson) kept = gw_engine_recall_reply(call->api->engine, id, &recall_error);
    if (recall_error != NULL) {
        g_propagate_error(error, g_steal_pointer(&recall_error));
        return FALSE;
    }
    if (kept == NULL)
        return TRUE;
    g_autofree char *now = fingerprint(call);
    if (g_strcmp0(json_string_value(json_object_get(kept, "fingerprint")), now) != 0) {
        call->problem_status = 422;
        gw_error_set(error, GW_ERR_CONFLICT, "Use a new key for a new request.",
                     "this Idempotency-Key was used for a different request");
        return FALSE;
    }
    send_again(call, kept);
    return TRUE;
}

gboolean gw_call_replay(GwCall *call)
{
    const char *key = wanted_key(call);
    g_autoptr(GError) error = NULL;

    if (key == NULL)
        return FALSE;
    if (check_key(key, &error) && replay(call, key, &error))
        return call->reply.status != 0;
    if (call->problem_status != 0)
        gw_call_problem_status(call, call->problem_status, error);
    else
        gw_call_problem(call, error);
    return TRUE;
}

void gw_call_keep_reply(GwCall *call)
{
    const char *key = wanted_key(call);
    GwReply *reply = &call->reply;
    g_autoptr(GError) error = NULL;

    /* What failed changed nothing, and may be asked again with the same key. */
    if (key == NULL || reply->status < 200 || reply->status > 299)
        return;
    g_autofree char *id = stored_key(call, key);
    g_autofree char *print = fingerprint(call);
    g_autoptr(GwJson) kept = json_pack("{s:s, s:i, s:s*}", "fingerprint", print, "status",
                                       (int)reply->status, "location", reply->location);
    if (reply->body != NULL && reply->body->len > 0)
        json_object_set_new(kept, "body",
                            gw_json_parse(reply->body->str, reply->body->len, G_MAXSIZE, NULL));
    if (!gw_engine_remember_reply(call->api->engine, id, kept, &error))
        g_warning("api: the answer to an Idempotency-Key is not kept: %s", error->message);
}
