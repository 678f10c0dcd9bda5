/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/json.h"

#include <string.h>

#include "base/error.h"

/* The parser recurses for each level, on threads with small stacks. */
static gboolean is_too_deep(const char *text, gsize length)
{
    gsize depth = 0;
    gboolean in_string = FALSE;

    for (gsize i = 0; i < length && depth <= GW_JSON_DEPTH_MAX; i++) {
        if (text[i] == '"')
            in_string = !in_string;
        else if (in_string)
            i += text[i] == '\\';
        else if (text[i] == '{' || text[i] == '[')
            depth++;
        else if ((text[i] == '}' || text[i] == ']') && depth > 0)
            depth--;
    }
    return depth > GW_JSON_DEPTH_MAX;
}

json_t *gw_json_parse(const char *text, gsize length, gsize max, GError **error)
{
    if (length > max) {
        gw_error_set(error, GW_ERR_TOO_LARGE, "Send less in one request.",
                     "JSON of %" G_GSIZE_FORMAT " bytes, at most %" G_GSIZE_FORMAT " are accepted",
                     length, max);
        return NULL;
    }
    /* jansson skips NUL bytes between tokens. */
    if (length > 0 && memchr(text, '\0', length) != NULL) {
        gw_error_set(error, GW_ERR_INVALID, "Send one valid JSON value.",
                     "not valid JSON: it holds a NUL byte");
        return NULL;
    }
    if (is_too_deep(text, length)) {
        gw_error_set(error, GW_ERR_INVALID, "Nest less.", "JSON of more than %d levels",
                     GW_JSON_DEPTH_MAX);
        return NULL;
    }
    json_error_t where;
    json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    if (json == NULL)
        gw_error_set(error, GW_ERR_INVALID, "Send one valid JSON value.",
                     "not valid JSON, line %d column %d: %s", where.line, where.column, where.text);
    return json;
}

json_t *gw_json_load(const char *path, GError **error)
{
    g_autofree char *text = NULL;
    gsize length = 0;

    g_autoptr(GError) unreadable = NULL;

    if (!g_file_get_contents(path, &text, &length, &unreadable)) {
        gw_error_set(error, GW_ERR_INVALID, "Give the path of a file that can be read.", "%s",
                     unreadable->message);
        return NULL;
    }
    json_t *json = gw_json_parse(text, length, (gsize)GW_JSON_TEXT_MAX * 64, error);
    if (json == NULL)
        g_prefix_error(error, "%s: ", path);
    return json;
}

static char *dump(const json_t *json, size_t flags, const char *tail)
{
    /* jansson may be told to use other allocators; a copy keeps g_free right. */
    char *raw = json_dumps(json, flags | JSON_ENCODE_ANY);
    char *text = g_strconcat(raw != NULL ? raw : "null", tail, NULL);
    free(raw);
    return text;
}

char *gw_json_text(const json_t *json)
{
    return dump(json, JSON_COMPACT, "");
}

char *gw_json_pretty(const json_t *json)
{
    return dump(json, JSON_INDENT(2), "\n");
}
