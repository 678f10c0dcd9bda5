/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/call.h"

#include <poll.h>
#include <string.h>

#include "api/internal.h"
#include "api/route.h"
#include "api/target.h"
#include "base/error.h"
#include "base/text.h"

#define DISCARD_FACTOR 16 /* of the body's ceiling: what is read and thrown away to answer 413 */
#define TOKEN_MAX 512

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

static void drop_body(GwCall *call)
{
    if (call->body != NULL)
        g_string_free(call->body, TRUE);
    call->body = NULL;
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
    drop_body(call);
    g_strfreev(call->segments);
    g_free(call->method);
    g_free(call->target);
    g_free(call->path);
    g_free(call->id);
    g_free(call->user);
    g_free(call);
}

/* What can be refused by the headers alone -------------------------------------------------- */

static gboolean refuse(GwCall *call, guint status, GwErrorCode code, const char *remedy,
                       const char *format, ...) G_GNUC_PRINTF(5, 6);

static gboolean refuse(GwCall *call, guint status, GwErrorCode code, const char *remedy,
                       const char *format, ...)
{
    g_autoptr(GError) error = NULL;
    va_list args;

    va_start(args, format);
    g_autofree char *message = g_strdup_vprintf(format, args);
    va_end(args);
    gw_error_set(&error, code, remedy, "%s", message);
    gw_call_problem_status(call, status, error);
    return FALSE;
}

static gboolean find_route(GwCall *call)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *allow = NULL;

    if (!gw_target_parse(call->target, &call->segments, &call->query, &error)) {
        gboolean long_url = g_error_matches(error, GW_ERROR, GW_ERR_TOO_LARGE);
        gw_call_problem_status(call, long_url ? 414 : 400, error);
        return FALSE;
    }
    call->route = gw_route_find(call->method, call->segments, &call->id, &allow);
    if (call->route != NULL)
        return TRUE;
    if (allow == NULL)
        return refuse(call, 404, GW_ERR_NOT_FOUND, "See /api/v1/openapi.json for what there is.",
                      "there is nothing at this path");
    refuse(call, 405, GW_ERR_UNSUPPORTED, "See /api/v1/openapi.json for what there is.",
           "this path takes only %s", allow);
    call->reply.allow = g_steal_pointer(&allow);
    return FALSE;
}

/* Whether the authority (host[:port]) of a browser's request is a name of ours. Else a foreign name
 * may have been pointed at this address to reach us from a foreign page (DNS rebinding). */
static gboolean is_own_name(const GwApi *api, const char *authority)
{
    gsize length = *authority == '[' ? strcspn(authority, "]") : strcspn(authority, ":");
    const char *start = *authority == '[' ? authority + 1 : authority;
    g_autofree char *raw = g_strndup(start, (gsize)(authority + length - start));
    g_autofree char *name = g_ascii_strdown(raw, -1);

    return g_hostname_is_ip_address(name) || g_strv_contains((const char *const *)api->names, name);
}

/* Other sites' pages have nothing to do here: no CORS, and what they send is refused. */
static gboolean check_origin(GwCall *call)
{
    const char *origin = call->headers[GW_HEADER_ORIGIN];
    const char *host = call->headers[GW_HEADER_HOST];

    if (origin == NULL)
        return TRUE;
    const char *authority = strstr(origin, "://");
    if (authority != NULL && host != NULL && g_ascii_strcasecmp(authority + 3, host) == 0 &&
        is_own_name(call->api, host))
        return TRUE;
    return refuse(call, 403, GW_ERR_FORBIDDEN,
                  "Use the console of this controller under a name it knows (names in its "
                  "configuration).",
                  "the request comes from a page of another origin");
}

static const char *bearer(const char *authorization)
{
    if (authorization == NULL || g_ascii_strncasecmp(authorization, "Bearer ", 7) != 0)
        return NULL;
    const char *token = authorization + 7;
    while (*token == ' ')
        token++;
    for (const char *p = token; *p != '\0'; p++) {
        if (!g_ascii_isgraph(*p) || p - token >= TOKEN_MAX)
            return NULL;
    }
    return *token != '\0' ? token : NULL;
}

static gboolean authenticate(GwCall *call)
{
    static const char remedy[] =
        "Log in again: send a valid token as 'Authorization: Bearer TOKEN' (R47).";
    g_autoptr(GError) error = NULL;

    if (call->route->role == GW_ROLE_PUBLIC)
        return TRUE;
    const char *token = bearer(call->headers[GW_HEADER_AUTHORIZATION]);
    if (token == NULL)
        return refuse(call, 401, GW_ERR_UNAUTHORIZED, remedy, "the request has no token");
    call->user = gw_engine_check_token(call->api->engine, token, &error);
    if (call->user != NULL)
        return TRUE;
    if (!g_error_matches(error, GW_ERROR, GW_ERR_UNAUTHORIZED)) {
        gw_call_problem(call, error);
        return FALSE;
    }
    const char *said = gw_error_remedy(error);
    return refuse(call, 401, GW_ERR_UNAUTHORIZED, said != NULL ? said : remedy, "%s",
                  error->message);
}

static gboolean is_param(const GwParam *params, const char *name)
{
    for (const GwParam *p = params; p != NULL && p->name != NULL; p++) {
        if (strcmp(p->name, name) == 0)
            return TRUE;
    }
    return FALSE;
}

static gboolean check_query(GwCall *call)
{
    GHashTableIter iter;
    gpointer name;

    g_hash_table_iter_init(&iter, call->query);
    while (g_hash_table_iter_next(&iter, &name, NULL)) {
        if (!is_param(call->route->query, name))
            return refuse(call, 400, GW_ERR_INVALID, "Remove it, or check its spelling.",
                          "unknown query parameter '%.100s'", (char *)name);
    }
    return TRUE;
}

static gboolean too_large(GwCall *call)
{
    return refuse(call, 413, GW_ERR_TOO_LARGE, "Send less in one request.",
                  "the body is larger than the %" G_GSIZE_FORMAT " bytes that are accepted",
                  call->api->config.body_max);
}

gboolean gw_call_check_head(GwCall *call, gint64 length)
{
    if (!find_route(call) || !check_origin(call) || !authenticate(call) || !check_query(call))
        return FALSE;
    if (length > 0 && (guint64)length > call->api->config.body_max)
        return too_large(call);
    return TRUE;
}

/* The body ----------------------------------------------------------------------------------- */

gboolean gw_call_add_body(GwCall *call, const char *data, gsize length)
{
    gsize max = call->api->config.body_max;

    call->body_seen += length;
    if (call->body_seen > (guint64)max * DISCARD_FACTOR)
        return FALSE;
    if (call->reply.status != 0)
        return TRUE; /* refused already; read only so that the client can read why */
    if (call->body_seen > max) {
        too_large(call);
        drop_body(call);
        return TRUE;
    }
    if (call->body == NULL)
        call->body = g_string_new(NULL);
    g_string_append_len(call->body, data, (gssize)length);
    return TRUE;
}

static gboolean is_json(const char *type)
{
    static const char *const taken[] = { "application/json", "application/merge-patch+json", NULL };

    if (type == NULL)
        return FALSE;
    g_autofree char *name = g_ascii_strdown(type, (gssize)strcspn(type, ";"));
    return g_strv_contains(taken, g_strstrip(name));
}

/* No name or option holds control characters; refusing them here keeps them out of everything. */
static gboolean has_control(json_t *json)
{
    const char *key;
    json_t *value;
    gsize i;

    if (json_is_string(json)) {
        for (const char *p = json_string_value(json); *p != '\0'; p = g_utf8_next_char(p)) {
            if (g_unichar_iscntrl(g_utf8_get_char(p)))
                return TRUE;
        }
    }
    json_object_foreach (json, key, value) {
        if (has_control(value))
            return TRUE;
    }
    json_array_foreach (json, i, value) {
        if (has_control(value))
            return TRUE;
    }
    return FALSE;
}

static gboolean no_body_wanted(GwCall *call, GError **error)
{
    if (call->body == NULL || json_object_size(call->json) == 0)
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID, "Send no body.", "this request takes no body");
    return FALSE;
}

static gboolean decode_body(GwCall *call, GError **error)
{
    gboolean have_body = call->body != NULL && call->body->len > 0;

    if (!have_body && call->route->body == NULL)
        return TRUE;
    if (!have_body) {
        gw_error_set(error, GW_ERR_INVALID, "Send a JSON object, see /api/v1/openapi.json.",
                     "this request needs a body (%s)", call->route->body->name);
        return FALSE;
    }
    if (!is_json(call->headers[GW_HEADER_CONTENT_TYPE])) {
        call->problem_status = 415;
        gw_error_set(error, GW_ERR_INVALID, "Send 'Content-Type: application/json'.",
                     "the body must be JSON");
        return FALSE;
    }
    call->json = gw_json_parse(call->body->str, call->body->len, call->api->config.body_max, error);
    if (call->json == NULL)
        return FALSE;
    if (has_control(call->json)) {
        gw_error_set(error, GW_ERR_INVALID, "Remove them.",
                     "a string of the body has control characters");
        return FALSE;
    }
    if (call->route->body == NULL)
        return no_body_wanted(call, error);
    if (call->route->merge)
        return TRUE;
    call->record = gw_record_from_request(call->route->body, call->json, error);
    return call->record != NULL;
}

/* Running ------------------------------------------------------------------------------------ */

static gboolean run(GwCall *call, GError **error)
{
    if (!decode_body(call, error))
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
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&api->claims_lock);

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
