/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/placement_words.h"

#include <string.h>

#include "base/error.h"

/* Sizes ----------------------------------------------------------------------------------- */

/* The power of 1024 that @word stands for; -1: none. */
static int power_of(const char *word)
{
    static const char units[] = "KMGTP";
    const char *found = *word != '\0' ? strchr(units, g_ascii_toupper(*word)) : NULL;

    if (*word == '\0' || g_ascii_strcasecmp(word, "B") == 0)
        return 0;
    if (found == NULL || (word[1] != '\0' && g_ascii_strcasecmp(word + 1, "iB") != 0))
        return -1;
    return (int)(found - units) + 1;
}

/* "4GiB", "512 MiB", "1T", "0" in bytes; binary units only, as everything here is shown. */
static gboolean read_size(const char *option, const char *text, gint64 *bytes, GError **error)
{
    char *end = NULL;
    guint64 number = g_ascii_isdigit(*text) ? g_ascii_strtoull(text, &end, 10) : 0;

    while (end != NULL && *end == ' ')
        end++;
    int power = end != NULL ? power_of(end) : -1;
    gboolean named = end != NULL && (*end != '\0' || number == 0);
    if (power >= 0 && named && number <= (guint64)(G_MAXINT64 >> (10 * power))) {
        *bytes = (gint64)(number << (10 * power));
        return TRUE;
    }
    gw_error_set(error, GW_ERR_INVALID,
                 "Give a whole number with KiB, MiB, GiB or TiB: 4GiB; or 0.",
                 "--%s is '%.100s', which is no size", option, text);
    return FALSE;
}

/* Lists ----------------------------------------------------------------------------------- */

void gw_put_list(const GwArgs *args, const char *option, const char *key, json_t *body)
{
    const GPtrArray *given = gw_args_all(args, option);
    json_t *all = json_array();

    for (guint i = 0; given != NULL && i < given->len; i++) {
        g_auto(GStrv) words = g_strsplit(given->pdata[i], ",", -1);
        for (guint k = 0; words[k] != NULL; k++) {
            if (*words[k] != '\0')
                json_array_append_new(all, json_string(words[k]));
        }
    }
    if (given != NULL)
        json_object_set(body, key, all);
    json_decref(all);
}

/* Reserves -------------------------------------------------------------------------------- */

static gboolean put_size(const GwArgs *args, const char *option, const char *key, gint64 unit,
                         json_t *body, GError **error)
{
    const char *text = gw_args_text(args, option);
    gint64 bytes = 0;

    if (text == NULL)
        return TRUE;
    if (!read_size(option, text, &bytes, error))
        return FALSE;
    json_object_set_new(body, key, json_integer(bytes / unit + (bytes % unit != 0 ? 1 : 0)));
    return TRUE;
}

gboolean gw_put_reserves(const GwArgs *args, json_t *body, GError **error)
{
    gint64 cpu = gw_args_int(args, "reserve-cpu", -1);

    if (cpu >= 0)
        json_object_set_new(body, "cpu_reserve_percent", json_integer(cpu));
    return put_size(args, "reserve-memory", "memory_reserve_kib", 1024, body, error) &&
           put_size(args, "reserve-disk", "disk_reserve_bytes", 1, body, error);
}
