/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "api/call.h"
#include "api/internal.h"
#include "api/route.h"
#include "base/error.h"

/* The body ----------------------------------------------------------------------------------- */

void gw_call_drop_body(GwCall *call)
{
    if (call->body != NULL)
        g_string_free(call->body, TRUE);
    call->body = NULL;
}

gboolean gw_call_add_body(GwCall *call, const char *data, gsize length)
{
    gsize max = gw_call_body_max(call);

    call->body_seen += length;
    if (call->body_seen > (guint64)call->api->config.body_max * GW_CALL_DISCARD_FACTOR)
        return FALSE;
    if (call->reply.status != 0)
        return TRUE; /* refused already; read only so that the client can read why */
    if (call->body_seen > max) {
        gw_call_too_large(call);
        gw_call_drop_body(call);
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

static gboolean is_refused(gunichar character, gboolean lines)
{
    return g_unichar_iscntrl(character) && !(lines && (character == '\n' || character == '\r'));
}

/* No name or option holds control characters; refusing them here keeps them out of everything. */
static gboolean has_control(json_t *json, gboolean lines)
{
    const char *key;
    json_t *value;
    gsize i;

    if (json_is_string(json)) {
        for (const char *p = json_string_value(json); *p != '\0'; p = g_utf8_next_char(p)) {
            if (is_refused(g_utf8_get_char(p), lines))
                return TRUE;
        }
    }
    json_object_foreach (json, key, value) {
        if (has_control(value, lines))
            return TRUE;
    }
    json_array_foreach (json, i, value) {
        if (has_control(value, lines))
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

gboolean gw_call_decode_body(GwCall *call, GError **error)
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
    if (has_control(call->json, call->route->lines)) {
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
