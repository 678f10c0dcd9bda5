/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/rating.h"

#include "cli/format.h"

#define STARS_MAX 5

/* In halves, whatever was answered. */
static int halves_of(double stars)
{
    return stars > 0 ? (int)(MIN(stars, STARS_MAX) * 2 + 0.5) : 0;
}

/* "★★★½☆", in ASCII "***+."; five columns wide. Free with g_free. */
static char *stars_text(double stars, gboolean utf8)
{
    static const char *const signs[2][3] = { { ".", "+", "*" }, { "☆", "½", "★" } };
    GString *text = g_string_new(NULL);
    int halves = halves_of(stars);

    for (int i = 0; i < STARS_MAX; i++) {
        g_string_append(text, signs[utf8 ? 1 : 0][CLAMP(halves, 0, 2)]);
        halves -= 2;
    }
    return g_string_free(text, FALSE);
}

char *gw_show_stars(GwSession *session, json_t *row, const char *path)
{
    json_t *stars = gw_at(row, path);

    return json_is_number(stars) ? stars_text(json_number_value(stars), session->utf8)
                                 : g_strdup("");
}

const char *gw_color_of_stars(json_t *row, const char *path)
{
    json_t *stars = gw_at(row, path);

    if (!json_is_number(stars))
        return NULL;
    if (json_number_value(stars) >= 3.5)
        return "green";
    return json_number_value(stars) >= 1 ? "brown" : "red";
}

/* The same colour where no table is drawn. */
static const char *escape_of_stars(const GwSession *session, json_t *row)
{
    const char *color = session->color ? gw_color_of_stars(row, "stars") : NULL;

    if (color == NULL)
        return "";
    if (*color == 'g')
        return "\033[32m";
    return *color == 'r' ? "\033[31m" : "\033[33m";
}

static void print_stars(GwSession *session, json_t *row)
{
    g_autofree char *stars = gw_show_stars(session, row, "stars");
    const char *escape = escape_of_stars(session, row);

    g_print("%s%s%s", escape, stars, *escape != '\0' ? "\033[0m" : "");
}

/* "weight 50", "excludes the host", "lowers the rating" */
static char *effect_of(json_t *factor)
{
    gint64 weight = gw_at_int(factor, "weight", 0);

    if (gw_at_true(factor, "excludes"))
        return g_strdup(", excludes the host");
    if (weight > 0)
        return g_strdup_printf(", weight %" G_GINT64_FORMAT, weight);
    return g_strdup(gw_at_true(factor, "lowers") ? ", lowers the rating" : "");
}

static void print_line(json_t *row, const char *label, const char *path)
{
    g_autofree char *text = gw_format_line(gw_at_text(row, path));

    if (*text != '\0')
        g_print("       %s: %s\n", label, text);
}

static gboolean is_found(json_t *findings, json_t *factor)
{
    const char *observed = gw_at_text(factor, "observed");

    for (gsize i = 0; observed != NULL && i < json_array_size(findings); i++) {
        if (g_strcmp0(gw_at_text(json_array_get(findings, i), "observed"), observed) == 0)
            return TRUE;
    }
    return FALSE;
}

static void print_factor(GwSession *session, json_t *factor, json_t *findings)
{
    g_autofree char *name = gw_format_line(gw_at_text(factor, "name"));
    g_autofree char *observed = gw_format_line(gw_at_text(factor, "observed"));
    g_autofree char *requirement = gw_format_line(gw_at_text(factor, "requirement"));
    g_autofree char *effect = effect_of(factor);

    print_stars(session, factor);
    g_print("  %s%s%s%s%s%s%s\n", name, effect, *observed != '\0' ? ": " : "", observed,
            *requirement != '\0' ? " [" : "", requirement, *requirement != '\0' ? "]" : "");
    /* What takes nothing away needs no remedy. */
    if ((!gw_at_true(factor, "lowers") && !gw_at_true(factor, "excludes")) ||
        is_found(findings, factor))
        return;
    print_line(factor, "required", "required");
    print_line(factor, "remedy", "remedy");
}

void gw_print_rating(GwSession *session, const char *heading, json_t *rating, json_t *findings)
{
    json_t *factors = gw_at(rating, "factors");
    g_autofree char *storage = gw_format_line(gw_at_text(rating, "storage"));
    g_autofree char *why = gw_format_line(gw_at_text(rating, "storage_why"));

    if (rating == NULL)
        return;
    gw_print_heading(session, heading);
    print_stars(session, rating);
    g_print("  of %d stars%s\n", STARS_MAX, json_array_size(factors) > 0 ? ", from:" : "");
    for (gsize i = 0; i < json_array_size(factors); i++)
        print_factor(session, json_array_get(factors, i), findings);
    if (*storage != '\0' || *why != '\0')
        g_print("Best storage: %s%s%s\n", *storage != '\0' ? storage : "none",
                *why != '\0' ? ": " : "", why);
}
