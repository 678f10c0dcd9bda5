/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/prediction.h"

#include "cli/columns.h"
#include "cli/format.h"
#include "cli/plan.h"

typedef char *(*Format)(gint64 value);

static char *interval_words(json_t *row, const char *path, Format format)
{
    json_t *interval = gw_at(row, path);

    if (interval == NULL)
        return g_strdup("");
    g_autofree char *low = format(MAX(gw_at_int(interval, "low", 0), 0));
    g_autofree char *likely = format(MAX(gw_at_int(interval, "likely", 0), 0));
    g_autofree char *high = format(MAX(gw_at_int(interval, "high", 0), 0));
    return g_strdup_printf("%s (%s to %s)", likely, low, high);
}

char *gw_show_interval_ms(GwSession *session, json_t *row, const char *path)
{
    (void)session;
    return interval_words(row, path, gw_format_ms);
}

char *gw_show_interval_bytes(GwSession *session, json_t *row, const char *path)
{
    (void)session;
    return interval_words(row, path, gw_format_bytes);
}

char *gw_show_likely_ms(GwSession *session, json_t *row, const char *path)
{
    json_t *interval = gw_at(row, path);

    (void)session;
    return interval != NULL ? gw_format_ms(MAX(gw_at_int(interval, "likely", 0), 0)) : g_strdup("");
}

char *gw_show_converges(GwSession *session, json_t *row, const char *path)
{
    static const struct {
        const char *word, *says;
    } words[] = {
        { "unknown", "not known: what the guest dirties was not sampled" },
        { "yes", "yes" },
        { "throttled", "only with the guest slowed down, or by post-copy" },
        { "no", "no" },
        { "nothing", "" }, /* no memory is copied */
    };
    const char *word = gw_at_text(row, path);

    (void)session;
    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        if (g_strcmp0(words[i].word, word) == 0)
            return g_strdup(words[i].says);
    }
    return gw_format_line(word);
}

char *gw_show_known_bytes(GwSession *session, json_t *row, const char *path)
{
    return gw_at_int(row, path, -1) >= 0 ? gw_show_bytes(session, row, path) : g_strdup("");
}

char *gw_show_known_kib(GwSession *session, json_t *row, const char *path)
{
    return gw_at_int(row, path, -1) >= 0 ? gw_show_kib(session, row, path) : g_strdup("");
}

char *gw_show_known_rate(GwSession *session, json_t *row, const char *path)
{
    return gw_at_int(row, path, -1) >= 0 ? gw_show_rate(session, row, path) : g_strdup("");
}

char *gw_show_permille(GwSession *session, json_t *row, const char *path)
{
    gint64 permille = gw_at_int(row, path, -1);

    (void)session;
    if (permille < 0)
        return g_strdup("");
    return g_strdup_printf("%.1f %%", (double)permille / 10);
}

void gw_print_basis(GwSession *session, json_t *prediction)
{
    json_t *basis = gw_at(prediction, "basis");

    if (json_array_size(basis) == 0)
        return;
    gw_print_heading(session, "Prediction rests on");
    gw_print_lines(basis);
}
