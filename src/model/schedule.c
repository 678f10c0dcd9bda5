/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "model/balance.h"

/* Times of the week: "mon-fri 20:00-06:00, sat sun 00:00-24:00 UTC". Parts are split by commas; a
 * part has days or spans of days (none: all days), one span of time, and UTC where that is meant
 * and not the controller's own zone. "always" is no limit. */

#define DAY_MINUTES (24 * 60)
#define ALL_DAYS 0x7f
#define WORDS_MAX 16

typedef struct {
    guint days;     /* bit 0: Monday */
    guint from, to; /* minutes; to <= from: on the next day */
    gboolean utc;
} Part;

static int day_of(const char *word, gsize length)
{
    static const char *const names[] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" };

    for (int i = 0; length == 3 && i < 7; i++) {
        if (g_ascii_strncasecmp(word, names[i], 3) == 0)
            return i;
    }
    return -1;
}

/* "mon", "fri-mon" */
static gboolean read_days(const char *word, guint *days)
{
    const char *dash = strchr(word, '-');
    int first = day_of(word, dash != NULL ? (gsize)(dash - word) : strlen(word));
    int last = dash != NULL ? day_of(dash + 1, strlen(dash + 1)) : first;

    if (first < 0 || last < 0)
        return FALSE;
    for (int day = first;; day = (day + 1) % 7) {
        *days |= 1U << day;
        if (day == last)
            return TRUE;
    }
}

/* "20:00"; 24:00 only where a span ends. */
static gboolean read_minute(const char **text, guint most, guint *minute)
{
    const char *at = *text;
    guint parts[2];

    for (int i = 0; i < 2; i++) {
        if (!g_ascii_isdigit(at[0]) || !g_ascii_isdigit(at[1]))
            return FALSE;
        parts[i] = (guint)(g_ascii_digit_value(at[0]) * 10 + g_ascii_digit_value(at[1]));
        at += 2;
        if (i == 0 && *at++ != ':')
            return FALSE;
    }
    *minute = parts[0] * 60 + parts[1];
    *text = at;
    return parts[1] < 60 && *minute <= most;
}

static gboolean read_span(const char *word, Part *part)
{
    const char *at = word;

    return read_minute(&at, DAY_MINUTES - 1, &part->from) && *at++ == '-' &&
           read_minute(&at, DAY_MINUTES, &part->to) && *at == '\0' && part->from != part->to;
}

/* One word of a part, after those that are in @part already; @span: whether its time is. */
static gboolean read_word(const char *word, Part *part, gboolean *span)
{
    if (part->utc)
        return FALSE; /* that is the last one */
    if (*span) {
        part->utc = g_ascii_strcasecmp(word, "UTC") == 0;
        return part->utc;
    }
    if (read_days(word, &part->days))
        return TRUE;
    *span = read_span(word, part);
    return *span;
}

static gboolean read_part(const char *text, Part *part)
{
    g_auto(GStrv) words = g_strsplit_set(text, " \t", WORDS_MAX + 1);
    gboolean span = FALSE;

    *part = (Part){ .days = 0 };
    if (g_strv_length(words) > WORDS_MAX)
        return FALSE;
    for (guint i = 0; words[i] != NULL; i++) {
        if (*words[i] != '\0' && !read_word(words[i], part, &span))
            return FALSE;
    }
    part->days = part->days != 0 ? part->days : ALL_DAYS;
    return span;
}

static gboolean is_always(const char *schedule)
{
    return schedule == NULL || strcmp(schedule, GW_SCHEDULE_ALWAYS) == 0;
}

gboolean gw_schedule_check(const char *schedule, GError **error)
{
    gsize length = schedule != NULL ? strnlen(schedule, GW_SCHEDULE_LENGTH_MAX + 1) : 0;
    g_auto(GStrv) parts = NULL;
    Part part;

    if (is_always(schedule))
        return TRUE;
    if (length <= GW_SCHEDULE_LENGTH_MAX)
        parts = g_strsplit(schedule, ",", -1);
    for (guint i = 0; parts != NULL && parts[i] != NULL; i++) {
        if (read_part(parts[i], &part))
            continue;
        gw_error_set(error, GW_ERR_INVALID,
                     "Write days, a span of time and, where it is meant, UTC: "
                     "\"mon-fri 20:00-06:00, sat sun 00:00-24:00 UTC\".",
                     "part %u of the schedule is no time of the week", i + 1);
        return FALSE;
    }
    if (parts != NULL && parts[0] != NULL)
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID, "Write days and spans of time: \"mon-fri 20:00-06:00\".",
                 "the schedule is empty, or longer than %d characters", GW_SCHEDULE_LENGTH_MAX);
    return FALSE;
}

/* A span after midnight is that of the day before. */
static gboolean is_in(const Part *part, GDateTime *time)
{
    guint day = (guint)g_date_time_get_day_of_week(time) - 1;
    guint before = (day + 6) % 7;
    guint minute = (guint)(g_date_time_get_hour(time) * 60 + g_date_time_get_minute(time));
    gboolean today = (part->days >> day) & 1, yesterday = (part->days >> before) & 1;

    if (part->from < part->to)
        return today && minute >= part->from && minute < part->to;
    return (today && minute >= part->from) || (yesterday && minute < part->to);
}

gboolean gw_schedule_is_open(const char *schedule, gint64 wall_us, GTimeZone *zone)
{
    if (is_always(schedule))
        return TRUE;
    g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc(wall_us / G_USEC_PER_SEC);
    g_autoptr(GDateTime) local =
        utc != NULL && zone != NULL ? g_date_time_to_timezone(utc, zone) : NULL;
    g_auto(GStrv) parts = g_strsplit(schedule, ",", -1);
    Part part;

    for (guint i = 0; utc != NULL && parts[i] != NULL; i++) {
        if (read_part(parts[i], &part) && is_in(&part, part.utc || local == NULL ? utc : local))
            return TRUE;
    }
    return FALSE;
}
