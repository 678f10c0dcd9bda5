/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/target.h"

#include <string.h>

#include "base/error.h"

static gboolean bad(GError **error, const char *why)
{
    gw_error_set(error, GW_ERR_INVALID, "Percent-encode names in the URL as UTF-8.", "%s", why);
    return FALSE;
}

static char *decode(const char *text, gsize length, gboolean plus_is_blank, GError **error)
{
    g_autoptr(GString) out = g_string_sized_new(length);

    for (gsize i = 0; i < length; i++) {
        char c = text[i];
        if (c == '%') {
            if (i + 2 >= length || !g_ascii_isxdigit(text[i + 1]) ||
                !g_ascii_isxdigit(text[i + 2])) {
                bad(error, "the URL has a malformed percent-escape");
                return NULL;
            }
            c = (char)(g_ascii_xdigit_value(text[i + 1]) * 16 + g_ascii_xdigit_value(text[i + 2]));
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        if ((guchar)c < 0x20 || c == 0x7f) {
            bad(error, "the URL has a control character");
            return NULL;
        }
        g_string_append_c(out, c);
    }
    if (!g_utf8_validate(out->str, (gssize)out->len, NULL)) {
        bad(error, "the URL is not UTF-8");
        return NULL;
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}

static char **parse_path(const char *path, gsize length, GError **error)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    if (length == 0 || path[0] != '/') {
        bad(error, "the URL's path does not begin with '/'");
        return NULL;
    }
    for (gsize start = 1; start <= length;) {
        const char *slash = memchr(path + start, '/', length - start);
        gsize end = slash != NULL ? (gsize)(slash - path) : length;
        g_autofree char *segment = decode(path + start, end - start, FALSE, error);
        if (segment == NULL)
            return NULL;
        if (strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0) {
            bad(error, "the URL has a '.' or '..' segment");
            return NULL;
        }
        g_strv_builder_add(builder, segment);
        start = end + 1;
    }
    return g_strv_builder_end(builder);
}

static gboolean parse_pair(GHashTable *query, const char *pair, GError **error)
{
    const char *equals = strchr(pair, '=');
    gsize name_length = equals != NULL ? (gsize)(equals - pair) : strlen(pair);
    const char *text = equals != NULL ? equals + 1 : "";
    g_autofree char *name = decode(pair, name_length, TRUE, error);
    g_autofree char *value = name != NULL ? decode(text, strlen(text), TRUE, error) : NULL;

    if (value == NULL)
        return FALSE;
    if (g_hash_table_contains(query, name))
        return bad(error, "a query parameter is given twice");
    g_hash_table_insert(query, g_steal_pointer(&name), g_steal_pointer(&value));
    return TRUE;
}

static GHashTable *parse_query(const char *text, GError **error)
{
    g_autoptr(GHashTable) query = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_auto(GStrv) pairs = g_strsplit(text, "&", 64);

    for (guint i = 0; pairs[i] != NULL; i++) {
        if (*pairs[i] != '\0' && !parse_pair(query, pairs[i], error))
            return NULL;
    }
    return g_steal_pointer(&query);
}

/* The absolute form, which proxies send: what follows the authority. */
static const char *skip_authority(const char *target)
{
    const char *scheme_end = strstr(target, "://");

    if (*target == '/' || scheme_end == NULL)
        return target;
    const char *path = strchr(scheme_end + 3, '/');
    return path != NULL ? path : "/";
}

gboolean gw_target_parse(const char *target, char ***segments, GHashTable **query, GError **error)
{
    if (strlen(target) > GW_TARGET_MAX) {
        gw_error_set(error, GW_ERR_TOO_LARGE, "Ask for less in one request.",
                     "the URL has more than %d bytes", GW_TARGET_MAX);
        return FALSE;
    }
    const char *path = skip_authority(target);
    const char *mark = strchr(path, '?');
    gsize length = mark != NULL ? (gsize)(mark - path) : strlen(path);
    g_auto(GStrv) parsed = parse_path(path, length, error);
    if (parsed == NULL)
        return FALSE;
    GHashTable *pairs = parse_query(mark != NULL ? mark + 1 : "", error);
    if (pairs == NULL)
        return FALSE;
    *segments = g_steal_pointer(&parsed);
    *query = pairs;
    return TRUE;
}
