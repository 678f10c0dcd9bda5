/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/call.h"

#include <poll.h>
#include <string.h>

#include "api/internal.h"
#include "api/route.h"
#include "base/error.h"
#include "base/text.h"

const char *const gw_header_names[GW_HEADER_COUNT] = {
    [GW_HEADER_AUTHORIZATION] = "Authorization",
    [GW_HEADER_CONTENT_TYPE] = "Content-Type",
    [GW_HEADER_HOST] = "Host",
    [GW_HEADER_ORIGIN] = "Origin",
    [GW_HEADER_IF_MATCH] = "If-Match",
    [GW_HEADER_IF_NONE_MATCH] = "If-None-Match",
    [GW_HEADER_IDEMPOTENCY_KEY] = "Idempotency-Key",
    [GW_HEADER_LAST_EVENT_ID] = "Last-Event-ID",
};

GwCall *gw_call_new(GwApi *api, const char *method, const char *target)
{
    GwCall *call = g_new0(GwCall, 1);

    call->api = api;
    call->engine = api->engine;
    call->socket = -1;
    call->method = g_strdup(strcmp(method, "HEAD") == 0 ? "GET" : method);
    call->target = g_strdup(target);
    g_autofree char *path = g_strndup(target, strcspn(target, "?"));
    call->path = gw_text_printable(path, 500);
    call->began_us = g_get_monotonic_time();
    return call;
}

static void release_claims(GwCall *call)
{
    if (call->claims == NULL)
        return;
    g_mutex_lock(&call->api->claims_lock);
    for (guint i = 0; i < call->claims->len; i++)
        g_hash_table_remove(call->api->claims, call->claims->pdata[i]);
    g_cond_broadcast(&call->api->claims_freed);
    g_mutex_unlock(&call->api->claims_lock);
    g_clear_pointer(&call->claims, g_ptr_array_unref);
}

static void free_reply(GwReply *reply)
{
    if (reply->body != NULL)
        g_string_free(reply->body, TRUE);
    if (reply->stream.free != NULL)
        reply->stream.free(reply->stream.self);
    g_free(reply->etag);
    g_free(reply->location);
    g_free(reply->allow);
}

void gw_call_free(GwCall *call)
{
    if (call == NULL)
        return;
    release_claims(call);
    free_reply(&call->reply);
    if (call->headers[GW_HEADER_AUTHORIZATION] != NULL)
        explicit_bzero(call->headers[GW_HEADER_AUTHORIZATION],
                       strlen(call->headers[GW_HEADER_AUTHORIZATION]));
    for (int i = 0; i < GW_HEADER_COUNT; i++)
        g_free(call->headers[i]);
    if (call->record != NULL)
        gw_record_free(call->route->body, call->record);
    json_decref(call->json);
    gw_fabric_unref(call->fabric);
    g_clear_pointer(&call->query, g_hash_table_unref);
    g_clear_pointer(&call->findings, g_ptr_array_unref);
    gw_call_drop_body(call);
    g_strfreev(call->segments);
    g_free(call->method);
    g_free(call->target);
    g_free(call->path);
    g_free(call->id);
    g_free(call->user);
    g_free(call);
}

/* Running ------------------------------------------------------------------------------------ */

static gboolean run(GwCall *call, GError **error)
{
    if (!gw_call_decode_body(call, error))
        return FALSE;
    if (gw_call_replay(call))
        return TRUE;
    gw_call_refresh(call);
    if (!call->route->handler(call, error))
        return FALSE;
    gw_call_keep_reply(call);
    return TRUE;
}

void gw_call_run(GwCall *call)
{
    g_autoptr(GError) error = NULL;

    if (call->reply.status == 0 && !run(call, &error)) {
        if (call->problem_status != 0)
            gw_call_problem_status(call, call->problem_status, error);
        else
            gw_call_problem(call, error);
    }
    release_claims(call);
    g_debug("api: %s %s: %u, %" G_GINT64_FORMAT " us, %s", call->method, call->path,
            call->reply.status, g_get_monotonic_time() - call->began_us,
            call->user != NULL ? call->user : "no user");
}

void gw_call_refresh(GwCall *call)
{
    gw_fabric_unref(call->fabric);
    call->fabric = gw_engine_fabric(call->api->engine);
}

gboolean gw_call_gone(const GwCall *call)
{
    struct pollfd fd = { .fd = call->socket, .events = POLLRDHUP };

    if (g_atomic_int_get(&call->api->stopping) != 0)
        return TRUE;
    return call->socket >= 0 && poll(&fd, 1, 0) > 0 &&
           (fd.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

gboolean gw_call_claim(GwCall *call, const char *what, GError **error)
{
    GwApi *api = call->api;
    gint64 deadline = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&api->claims_lock);

    while (g_hash_table_contains(api->claims, what)) {
        if (g_cond_wait_until(&api->claims_freed, &api->claims_lock, deadline))
            continue;
        gw_error_set(error, GW_ERR_CONFLICT, "Try again.",
                     "another request is still changing the same thing");
        return FALSE;
    }
    g_hash_table_add(api->claims, g_strdup(what));
    if (call->claims == NULL)
        call->claims = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(call->claims, g_strdup(what));
    return TRUE;
}

const char *gw_call_query(const GwCall *call, const char *name)
{
    return g_hash_table_lookup(call->query, name);
}

gboolean gw_call_query_bool(const GwCall *call, const char *name, gboolean *value, GError **error)
{
    const char *text = gw_call_query(call, name);

    if (text == NULL || strcmp(text, "false") == 0 || strcmp(text, "true") == 0) {
        *value = text != NULL && *text == 't';
        return TRUE;
    }
    gw_error_set(error, GW_ERR_INVALID, NULL, "'%s' must be true or false", name);
    return FALSE;
}

gboolean gw_call_not_found(const GwCall *call, const char *what, const char *list, GError **error)
{
    g_autofree char *remedy = g_strdup_printf("List them: GET /api/v1/%s.", list);

    gw_error_set(error, GW_ERR_NOT_FOUND, remedy, "no %s '%.300s'", what, call->id);
    return FALSE;
}
