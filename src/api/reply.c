/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "api/call.h"
#include "base/error.h"
#include "base/text.h"

static const char json_media[] = "application/json";
static const char problem_media[] = "application/problem+json";

/* Problems ----------------------------------------------------------------------------------- */

static const guint status_of_code[] = {
    [GW_ERR_INTERNAL] = 500,    [GW_ERR_INVALID] = 400,   [GW_ERR_NOT_FOUND] = 404,
    [GW_ERR_CONFLICT] = 409,    [GW_ERR_REFUSED] = 422,   [GW_ERR_UNAUTHORIZED] = 401,
    [GW_ERR_FORBIDDEN] = 403,   [GW_ERR_TOO_LARGE] = 413, [GW_ERR_UNREACHABLE] = 502,
    [GW_ERR_TIMEOUT] = 504,     [GW_ERR_CANCELLED] = 409, [GW_ERR_UNKNOWN_OUTCOME] = 500,
    [GW_ERR_UNSUPPORTED] = 422, [GW_ERR_STORE] = 503,     [GW_ERR_OPERATION] = 502,
    [GW_ERR_BUSY] = 503,
};

static const struct {
    guint status;
    const char *title;
} titles[] = {
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 409, "Conflict" },
    { 412, "Precondition Failed" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 415, "Unsupported Media Type" },
    { 422, "Unprocessable Content" },
    { 429, "Too Many Requests" },
    { 500, "Internal Server Error" },
    { 502, "Bad Gateway" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
};

static const char *title_of(guint status)
{
    for (gsize i = 0; i < G_N_ELEMENTS(titles); i++) {
        if (titles[i].status == status)
            return titles[i].title;
    }
    return "Error";
}

static void set_body(GwCall *call, guint status, const char *type)
{
    GwReply *reply = &call->reply;

    reply->status = status;
    reply->content_type = type;
    if (reply->body == NULL)
        reply->body = g_string_new(NULL);
    else
        g_string_truncate(reply->body, 0);
}

void gw_call_problem_status(GwCall *call, guint status, const GError *error)
{
    g_autoptr(GwProblem) problem = gw_problem_new();
    gboolean ours = error->domain == GW_ERROR;

    problem->type = g_strdup("about:blank");
    problem->title = g_strdup(title_of(status));
    problem->status = status;
    problem->detail = gw_text_printable(error->message, GW_TEXT_MESSAGE_MAX);
    problem->code = g_strdup(gw_error_code_word(ours ? (GwErrorCode)error->code : GW_ERR_INTERNAL));
    problem->remedy = g_strdup(gw_error_remedy(error));
    problem->instance = g_strdup(call->path);
    if (call->findings != NULL)
        problem->errors = g_ptr_array_ref(call->findings);
    set_body(call, status, problem_media);
    gw_record_write(&gw_problem_record, problem, GW_INTERNAL, call->reply.body);
}

void gw_call_problem(GwCall *call, const GError *error)
{
    gboolean known = error->domain == GW_ERROR && (guint)error->code < G_N_ELEMENTS(status_of_code);

    gw_call_problem_status(call, known ? status_of_code[error->code] : 500, error);
}

/* ETags -------------------------------------------------------------------------------------- */

/* "CONFIGURATION-CONTENT": the second part changes with anything, also with what the host reports
 * every few seconds; If-Match compares only the first, which is what a person may set. */

static void append_hash(GString *etag, const char *text, gsize length)
{
    g_autofree char *hash =
        g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)text, length);
    g_string_append_len(etag, hash, 16);
}

static void append_configuration(GString *etag, const GwRecord *record, gconstpointer self)
{
    g_autoptr(GString) text = g_string_new(NULL);

    if (record == &gw_job_record) {
        /* A job is not configured; what a change depends on is its state. */
        const GwJob *job = self;
        g_string_printf(text, "%s %d %d", job->id, job->state, job->cancel_requested);
    } else {
        gw_record_write(record, self, GW_INTERNAL | GW_READ_ONLY, text);
    }
    append_hash(etag, text->str, text->len);
}

static char *make_etag(const GwRecord *record, gconstpointer self, const GString *body)
{
    g_autoptr(GString) etag = g_string_new("\"");

    append_configuration(etag, record, self);
    g_string_append_c(etag, '-');
    append_hash(etag, body->str, body->len);
    g_string_append_c(etag, '"');
    return g_string_free(g_steal_pointer(&etag), FALSE);
}

/* Whether one of the header's tags begins with @prefix, which is at least the opening quote. */
static gboolean any_tag(const char *header, const char *prefix, gboolean weak_too)
{
    g_auto(GStrv) tags = g_strsplit(header, ",", 50);

    for (guint i = 0; tags[i] != NULL; i++) {
        const char *tag = g_strstrip(tags[i]);
        if (strcmp(tag, "*") == 0)
            return TRUE;
        if (weak_too && g_str_has_prefix(tag, "W/") && !g_str_has_prefix(prefix, "W/"))
            tag += 2;
        if (g_str_has_prefix(tag, prefix))
            return TRUE;
    }
    return FALSE;
}

gboolean gw_call_not_modified(GwCall *call, const char *etag)
{
    const char *header = call->headers[GW_HEADER_IF_NONE_MATCH];

    g_free(call->reply.etag);
    call->reply.etag = g_strdup(etag);
    if (header == NULL || strcmp(call->method, "GET") != 0 || !any_tag(header, etag, TRUE))
        return FALSE;
    call->reply.status = 304;
    call->reply.content_type = NULL;
    return TRUE;
}

gboolean gw_call_check_match(GwCall *call, const GwRecord *record, gconstpointer self,
                             GError **error)
{
    const char *header = call->headers[GW_HEADER_IF_MATCH];
    g_autoptr(GString) prefix = g_string_new("\"");

    if (header == NULL)
        return TRUE;
    append_configuration(prefix, record, self);
    g_string_append_c(prefix, '-');
    if (any_tag(header, prefix->str, FALSE))
        return TRUE;
    call->problem_status = 412;
    gw_error_set(error, GW_ERR_CONFLICT, "Read it again, and decide anew.",
                 "it was changed since it was read");
    return FALSE;
}

/* Answers ------------------------------------------------------------------------------------ */

gboolean gw_call_answer(GwCall *call, guint status, const GwRecord *record, gconstpointer self)
{
    set_body(call, status, json_media);
    gw_record_write(record, self, GW_INTERNAL, call->reply.body);
    if (strcmp(call->method, "POST") == 0 || strcmp(call->method, "DELETE") == 0)
        return TRUE;
    g_autofree char *etag = make_etag(record, self, call->reply.body);
    if (gw_call_not_modified(call, etag))
        g_string_truncate(call->reply.body, 0);
    return TRUE;
}

gboolean gw_call_answer_at(GwCall *call, guint status, const char *collection, const char *id,
                           const GwRecord *record, gconstpointer self)
{
    g_autofree char *escaped = g_uri_escape_string(id, NULL, FALSE);

    call->reply.location = g_strdup_printf("/api/v1/%s/%s", collection, escaped);
    return gw_call_answer(call, status, record, self);
}

gboolean gw_call_answer_empty(GwCall *call)
{
    call->reply.status = 204;
    return TRUE;
}

gboolean gw_call_refused(GwCall *call, const GwMovePlan *refused)
{
    if (refused != NULL && refused->candidate != NULL && refused->candidate->findings != NULL)
        call->findings = g_ptr_array_ref(refused->candidate->findings);
    return FALSE;
}

gboolean gw_call_answer_items(GwCall *call, const GwRecord *record, const GPtrArray *items)
{
    set_body(call, 200, json_media);
    GString *body = call->reply.body;
    g_string_append(body, "{\"items\":[");
    for (guint i = 0; i < items->len; i++) {
        if (i > 0)
            g_string_append_c(body, ',');
        gw_record_write(record, items->pdata[i], GW_INTERNAL, body);
    }
    g_string_append(body, "]}");
    return TRUE;
}
