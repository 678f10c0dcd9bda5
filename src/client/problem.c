/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "base/text.h"
#include "client/transfer.h"

/* For answers without a code of ours: a proxy's, or a newer controller's. */
static GwErrorCode code_of_status(int status)
{
    static const struct {
        int status;
        GwErrorCode code;
    } rows[] = {
        { 400, GW_ERR_INVALID },     { 401, GW_ERR_UNAUTHORIZED }, { 403, GW_ERR_FORBIDDEN },
        { 404, GW_ERR_NOT_FOUND },   { 409, GW_ERR_CONFLICT },     { 412, GW_ERR_CONFLICT },
        { 413, GW_ERR_TOO_LARGE },   { 415, GW_ERR_INVALID },      { 422, GW_ERR_REFUSED },
        { 429, GW_ERR_UNREACHABLE }, { 501, GW_ERR_UNSUPPORTED },  { 502, GW_ERR_UNREACHABLE },
        { 503, GW_ERR_UNREACHABLE }, { 504, GW_ERR_TIMEOUT },
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (rows[i].status == status)
            return rows[i].code;
    }
    return GW_ERR_INTERNAL;
}

static const char *default_remedy(GwErrorCode code)
{
    switch (code) {
    case GW_ERR_UNAUTHORIZED:
        return "Check that the token file (--token-file) holds a token of this controller.";
    case GW_ERR_FORBIDDEN:
        return "Use a token whose role allows it.";
    default:
        return NULL;
    }
}

static const char *string_member(json_t *problem, const char *key)
{
    const char *text = json_string_value(json_object_get(problem, key));
    return text != NULL && *text != '\0' ? text : NULL;
}

static void set_from_problem(int status, json_t *problem, GError **error)
{
    const char *word = string_member(problem, "code");
    GwErrorCode code = word != NULL ? gw_error_code_from_word(word) : code_of_status(status);
    const char *text = string_member(problem, "detail");
    if (text == NULL)
        text = string_member(problem, "title");
    const char *said = string_member(problem, "remedy");
    g_autofree char *remedy = said != NULL ? gw_text_printable(said, GW_TEXT_MESSAGE_MAX)
                                           : g_strdup(default_remedy(code));

    if (text != NULL)
        gw_error_set(error, code, remedy, "%s", text);
    else
        gw_error_set(error, code, remedy, "the controller answered %d", status);
}

json_t *gw_problem_read(int status, const char *content_type, const char *text, gsize length,
                        GError **error)
{
    g_autoptr(GwJson) problem = NULL;

    if (g_str_has_suffix(content_type, "json"))
        problem = gw_json_parse(text, length, GW_JSON_TEXT_MAX, NULL);
    if (json_is_object(problem)) {
        set_from_problem(status, problem, error);
        return g_steal_pointer(&problem);
    }

    GwErrorCode code = code_of_status(status);
    const char *remedy = default_remedy(code);
    if (remedy == NULL)
        remedy = "Check that --server names a Godwit controller and not another service.";
    g_autofree char *start = g_strndup(text, MIN(length, 200));
    gw_error_set(error, code, remedy, "the controller answered %d (%s): %s", status,
                 *content_type != '\0' ? content_type : "no content type", start);
    return NULL;
}
