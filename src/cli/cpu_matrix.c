/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/cpu_matrix.h"

#include <string.h>

#include "cli/format.h"

#define DRAWN_MAX 16   /* hosts; more do not fit a terminal */
#define NAME_COLUMNS 8 /* of a host's name above its column */
#define LISTED_MAX 40

static json_t *find_pair(json_t *pairs, const char *from, const char *to)
{
    for (gsize i = 0; i < json_array_size(pairs); i++) {
        json_t *pair = json_array_get(pairs, i);
        if (g_strcmp0(gw_at_text(pair, "source_host_id"), from) == 0 &&
            g_strcmp0(gw_at_text(pair, "destination_host_id"), to) == 0)
            return pair;
    }
    return NULL;
}

typedef enum { SIGN_SAME, SIGN_YES, SIGN_NO, SIGN_UNKNOWN, SIGN_COUNT } Sign;

static Sign sign_of(json_t *from, json_t *to, json_t *pairs)
{
    const char *a = gw_at_text(from, "host_id"), *b = gw_at_text(to, "host_id");
    json_t *pair = find_pair(pairs, a, b);

    if (from == to)
        return SIGN_SAME;
    if (gw_at_text(from, "error") != NULL || gw_at_text(to, "error") != NULL)
        return SIGN_UNKNOWN;
    if (pair == NULL)
        return SIGN_YES;
    return gw_at_true(pair, "unknown") ? SIGN_UNKNOWN : SIGN_NO;
}

static const char *text_of(const GwSession *session, Sign sign)
{
    static const char *const plain[SIGN_COUNT] = { ".", "yes", "no", "?" };
    static const char *const signs[SIGN_COUNT] = { "·", "✓", "✗", "?" };

    return session->utf8 ? signs[sign] : plain[sign];
}

static const char *color_of(const GwSession *session, Sign sign)
{
    static const char *const colors[SIGN_COUNT] = { "", "\033[32m", "\033[31m", "\033[33m" };

    return session->color ? colors[sign] : "";
}

static void pad(GString *line, int columns)
{
    for (int i = 0; i < columns; i++)
        g_string_append_c(line, ' ');
}

static char *short_name(const GwSession *session, json_t *host, int columns)
{
    g_autofree char *name = gw_format_line(gw_at_text(host, "host_name"));
    return gw_format_cut(name, columns, session->utf8);
}

static void add_cell(const GwSession *session, GString *line, Sign sign)
{
    const char *text = text_of(session, sign), *color = color_of(session, sign);

    g_string_append_printf(line, "  %s%s%s", color, text, *color != '\0' ? "\033[0m" : "");
    pad(line, NAME_COLUMNS - gw_format_width(text));
}

static void print_line(GString *line)
{
    g_strchomp(line->str);
    g_print("%s\n", line->str);
    g_string_free(line, TRUE);
}

static void draw(const GwSession *session, json_t *hosts, json_t *pairs)
{
    static const int left = 2 * NAME_COLUMNS;
    GString *head = g_string_new("FROM / TO");

    pad(head, left - 9);
    for (gsize i = 0; i < json_array_size(hosts); i++) {
        g_autofree char *name = short_name(session, json_array_get(hosts, i), NAME_COLUMNS);
        g_string_append_printf(head, "  %s", name);
        pad(head, NAME_COLUMNS - gw_format_width(name));
    }
    print_line(head);
    for (gsize f = 0; f < json_array_size(hosts); f++) {
        json_t *from = json_array_get(hosts, f);
        g_autofree char *name = short_name(session, from, left);
        GString *line = g_string_new(name);
        pad(line, left - gw_format_width(name));
        for (gsize t = 0; t < json_array_size(hosts); t++)
            add_cell(session, line, sign_of(from, json_array_get(hosts, t), pairs));
        print_line(line);
    }
}

/* Why not: one line for each. */
static void list(GwSession *session, json_t *pairs)
{
    gsize count = json_array_size(pairs);

    for (gsize i = 0; i < MIN(count, LISTED_MAX); i++) {
        json_t *pair = json_array_get(pairs, i);
        g_autofree char *from =
            gw_format_line(gw_session_host_name(session, gw_at_text(pair, "source_host_id")));
        g_autofree char *to =
            gw_format_line(gw_session_host_name(session, gw_at_text(pair, "destination_host_id")));
        g_autofree char *why = gw_format_line(gw_at_text(pair, "why"));
        g_print("%s -> %s: %s%s%s\n", from, to,
                gw_at_true(pair, "unknown") ? "not known" : "cannot", *why != '\0' ? ": " : "",
                why);
    }
    if (count > LISTED_MAX)
        g_print("and %" G_GSIZE_FORMAT " more pairs; --output json has all\n", count - LISTED_MAX);
}

void gw_print_cpu_matrix(GwSession *session, json_t *hosts, json_t *pairs)
{
    gsize count = json_array_size(hosts);

    if (count < 2)
        return;
    gw_print_heading(session, "Where a VM with its host's CPU (host-model) can move now");
    if (count <= DRAWN_MAX)
        draw(session, hosts, pairs);
    if (json_array_size(pairs) == 0 && count > DRAWN_MAX)
        g_print("Between all of the hosts.\n");
    if (json_array_size(pairs) > 0)
        g_print("\n");
    list(session, pairs);
}
