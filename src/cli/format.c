/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/format.h"

#include "base/text.h"

#define LINE_MAX_CHARS 65536 /* a script's line is longer than a message, and must stay whole */

char *gw_format_bytes(gint64 bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double value = (double)bytes;
    guint unit = 0;

    /* 1023.96 KiB would round to 1024.0 KiB: the next unit says it better. */
    while (value >= 1023.95 && unit + 1 < G_N_ELEMENTS(units)) {
        value /= 1024;
        unit++;
    }
    gboolean whole = unit == 0 || value >= 99.95 || value == (double)(gint64)value;
    return g_strdup_printf(whole ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

char *gw_format_rate(gint64 bytes_per_second)
{
    g_autofree char *bytes = gw_format_bytes(bytes_per_second);
    return g_strconcat(bytes, "/s", NULL);
}

char *gw_format_ms(gint64 ms)
{
    gint64 s = ms / 1000;

    if (ms < 1000)
        return g_strdup_printf("%" G_GINT64_FORMAT " ms", ms);
    if (s < 60)
        return g_strdup_printf("%" G_GINT64_FORMAT ".%" G_GINT64_FORMAT " s", s, ms % 1000 / 100);
    if (s < 3600)
        return g_strdup_printf("%" G_GINT64_FORMAT " min %" G_GINT64_FORMAT " s", s / 60, s % 60);
    return g_strdup_printf("%" G_GINT64_FORMAT " h %" G_GINT64_FORMAT " min", s / 3600,
                           s % 3600 / 60);
}

char *gw_format_about_ms(gint64 ms)
{
    gint64 s = MAX(ms, 0) / 1000 + (ms > 0 && ms % 1000 >= 500);

    if (ms > 0 && s == 0)
        s = 1;
    if (s >= 600)
        s = (s + 30) / 60 * 60;
    if (s < 60)
        return g_strdup_printf("%" G_GINT64_FORMAT " s", s);
    gboolean hours = s >= 3600;
    gint64 large = hours ? s / 3600 : s / 60, small = hours ? s % 3600 / 60 : s % 60;
    if (small == 0)
        return g_strdup_printf("%" G_GINT64_FORMAT " %s", large, hours ? "h" : "min");
    return g_strdup_printf("%" G_GINT64_FORMAT " %s %" G_GINT64_FORMAT " %s", large,
                           hours ? "h" : "min", small, hours ? "min" : "s");
}

char *gw_format_seconds(gint64 seconds)
{
    static const struct {
        gint64 seconds;
        const char *word;
    } units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "min" }, { 1, "s" } };
    guint unit = 0;

    while (seconds % units[unit].seconds != 0)
        unit++;
    return g_strdup_printf("%" G_GINT64_FORMAT " %s", seconds / units[unit].seconds,
                           units[unit].word);
}

char *gw_format_version(gint64 version)
{
    return g_strdup_printf("%" G_GINT64_FORMAT ".%" G_GINT64_FORMAT ".%" G_GINT64_FORMAT,
                           version / 1000000, version / 1000 % 1000, version % 1000);
}

char *gw_format_line(const char *text)
{
    char *line = gw_text_printable(text, LINE_MAX_CHARS);
    return g_strdelimit(line, "\n\t", ' ');
}

static int char_width(gunichar c)
{
    if (g_unichar_iszerowidth(c))
        return 0;
    return g_unichar_iswide(c) ? 2 : 1;
}

int gw_format_width(const char *text)
{
    int width = 0;

    for (const char *p = text; *p != '\0'; p = g_utf8_next_char(p))
        width += char_width(g_utf8_get_char(p));
    return width;
}

char *gw_format_cut(const char *text, int columns, gboolean utf8)
{
    const char *ellipsis = utf8 ? "…" : "~";
    const char *end = text;
    int width = 0;

    if (gw_format_width(text) <= columns)
        return g_strdup(text);
    while (*end != '\0' && width + char_width(g_utf8_get_char(end)) <= columns - 1) {
        width += char_width(g_utf8_get_char(end));
        end = g_utf8_next_char(end);
    }
    g_autofree char *start = g_strndup(text, (gsize)(end - text));
    return g_strconcat(start, columns > 0 ? ellipsis : "", NULL);
}

json_t *gw_at(json_t *json, const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, ".", -1);

    for (guint i = 0; parts[i] != NULL && json != NULL; i++)
        json = json_object_get(json, parts[i]);
    return json;
}

const char *gw_at_text(json_t *json, const char *path)
{
    return json_string_value(gw_at(json, path));
}

gint64 gw_at_int(json_t *json, const char *path, gint64 fallback)
{
    json_t *value = gw_at(json, path);
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

gboolean gw_at_true(json_t *json, const char *path)
{
    return json_is_true(gw_at(json, path));
}
