/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "api/call.h"
#include "api/internal.h"
#include "api/route.h"
#include "api/target.h"
#include "base/error.h"

#define TOKEN_MAX 512

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

gsize gw_call_body_max(const GwCall *call)
{
    gsize max = call->api->config.body_max;
    gsize own = call->route != NULL ? call->route->body_max : 0;

    return own != 0 ? MIN(own, max) : max;
}

gboolean gw_call_too_large(GwCall *call)
{
    return refuse(call, 413, GW_ERR_TOO_LARGE, "Send less in one request.",
                  "the body is larger than the %" G_GSIZE_FORMAT " bytes that are accepted",
                  gw_call_body_max(call));
}

gboolean gw_call_check_head(GwCall *call, gint64 length)
{
    if (!find_route(call) || !check_origin(call) || !authenticate(call) || !check_query(call))
        return FALSE;
    if (length > 0 && (guint64)length > gw_call_body_max(call))
        return gw_call_too_large(call);
    return TRUE;
}
