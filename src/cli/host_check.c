/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/host_check.h"

#include <string.h>

#include "cli/columns.h"
#include "cli/format.h"

const GwColumn gw_check_columns[] = {
    { "CHECK", "name" },
    { "HOST", "host_id", gw_show_host, .cut = TRUE },
    { "RESULT", "outcome", .state = TRUE },
    { "OBSERVED", "observed", .cut = TRUE },
    { .header = NULL },
};

static gboolean is(json_t *line, const char *outcome)
{
    return g_strcmp0(gw_at_text(line, "outcome"), outcome) == 0;
}

/* Below the table, so that no remedy is cut: what is required, and what to do. */
static void print_remedies(GwSession *session, json_t *lines)
{
    gsize i;
    json_t *line;

    json_array_foreach (lines, i, line) {
        if (is(line, "ok"))
            continue;
        g_autofree char *name = gw_format_line(gw_at_text(line, "name"));
        g_autofree char *host =
            gw_at_text(line, "host_id") != NULL
                ? gw_format_line(gw_session_host_name(session, gw_at_text(line, "host_id")))
                : g_strdup("");
        g_autofree char *required = gw_format_line(gw_at_text(line, "required"));
        g_autofree char *remedy = gw_format_line(gw_at_text(line, "remedy"));
        g_print("\n%s%s%s: %s\n", name, *host != '\0' ? " on " : "", host,
                is(line, "failed") ? "failed" : "warning");
        if (*required != '\0')
            g_print("  Required: %s\n", required);
        if (*remedy != '\0')
            g_print("  Remedy:   %s\n", remedy);
    }
}

static gboolean any_failed(json_t *lines)
{
    gsize i;
    json_t *line;

    json_array_foreach (lines, i, line) {
        if (is(line, "failed"))
            return TRUE;
    }
    return FALSE;
}

int gw_check_host(GwSession *session, const GwArgs *args, GError **error)
{
    const char *peer = gw_args_word(args, 1);
    g_autoptr(GwJson) body = json_object();

    if (peer != NULL)
        json_object_set_new(body, "peer", json_string(peer));
    g_autoptr(GwJson) answer =
        gw_post_action(session, "/hosts", "host", gw_args_word(args, 0), "/check", body, error);
    json_t *lines = gw_at(answer, "items");
    if (answer == NULL)
        return GW_EXIT_FAILED;
    if (!gw_print_document(session, lines)) {
        gw_print_table(session, gw_check_columns, lines);
        print_remedies(session, lines);
    }
    return any_failed(lines) ? GW_EXIT_REFUSED : GW_EXIT_OK;
}
