/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Control characters drive a terminal; those of writing direction make what follows look like
 * something else, in a browser as well. */
static gboolean is_unsafe(gunichar c)
{
    return g_unichar_iscntrl(c) || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

/* Whether it is ASCII that can stay as it is: nearly every text is, and the planner cleans
 * thousands at a time. */
static gboolean is_plain(const char *text, gsize max_chars)
{
    gsize length = 0;

    while (text[length] >= ' ' && text[length] <= '~')
        length++;
    return text[length] == '\0' && length <= max_chars;
}

char *gw_text_printable(const char *text, gsize max_chars)
{
    if (text != NULL && is_plain(text, max_chars))
        return g_strdup(text);
    g_autofree char *valid = g_utf8_make_valid(text != NULL ? text : "", -1);
    GString *out = g_string_new(NULL);
    gsize chars = 0;

    for (const char *p = valid; *p != '\0' && chars < max_chars; p = g_utf8_next_char(p), chars++) {
        gunichar c = g_utf8_get_char(p);
        gboolean blank = c == '\n' || c == '\t';
        g_string_append_unichar(out, !blank && is_unsafe(c) ? 0xFFFD : c);
    }
    return g_string_free(out, FALSE);
}

gboolean gw_text_check_name(const char *what, const char *name, GError **error)
{
    static const char remedy[] = "Choose a name of 1 to 255 printable characters.";

    if (name == NULL || *name == '\0') {
        gw_error_set(error, GW_ERR_INVALID, remedy, "%s is empty", what);
        return FALSE;
    }
    if (!g_utf8_validate(name, -1, NULL)) {
        gw_error_set(error, GW_ERR_INVALID, remedy, "%s is not valid UTF-8", what);
        return FALSE;
    }
    if (g_utf8_strlen(name, -1) > GW_TEXT_NAME_MAX) {
        gw_error_set(error, GW_ERR_INVALID, remedy, "%s has %ld characters, at most %d are allowed",
                     what, g_utf8_strlen(name, -1), GW_TEXT_NAME_MAX);
        return FALSE;
    }
    for (const char *p = name; *p != '\0'; p = g_utf8_next_char(p)) {
        if (is_unsafe(g_utf8_get_char(p))) {
            gw_error_set(error, GW_ERR_INVALID, remedy, "%s contains a control character", what);
            return FALSE;
        }
    }
    const char *last = g_utf8_find_prev_char(name, name + strlen(name));
    if (g_unichar_isspace(g_utf8_get_char(name)) || g_unichar_isspace(g_utf8_get_char(last))) {
        gw_error_set(error, GW_ERR_INVALID, remedy, "%s begins or ends with a blank", what);
        return FALSE;
    }
    return TRUE;
}

char *gw_text_new_id(gint64 wall_us)
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    char id[27] = { 0 };
    guint64 ms = (guint64)(wall_us / 1000);

    for (int i = 9; i >= 0; i--, ms >>= 5)
        id[i] = digits[ms & 31];
    for (int i = 10; i < 26; i++)
        id[i] = digits[g_random_int_range(0, 32)];
    return g_strdup(id);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void gw_text_sort(char **list)
{
    guint count = list != NULL ? g_strv_length(list) : 0, kept = 0;

    if (count > 1)
        qsort(list, count, sizeof *list, compare);
    for (guint i = 0; i < count; i++) {
        if (kept > 0 && strcmp(list[kept - 1], list[i]) == 0)
            g_free(list[i]);
        else
            list[kept++] = list[i];
    }
    if (list != NULL)
        list[kept] = NULL;
}
