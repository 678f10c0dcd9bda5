/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/migration_plan.h"

#include <string.h>

#include "cli/balance.h"
#include "cli/columns.h"
#include "cli/format.h"
#include "cli/plan_progress.h"

/* A plan of many moves, and the job that carries one out, as people read them (R49). A plan may
 * come from a file, with no controller to ask: names are those that it says itself. */

static char *show_interval(GwSession *session, json_t *row, const char *path)
{
    gint64 low = gw_at_int(gw_at(row, path), "low", -1);
    gint64 high = gw_at_int(gw_at(row, path), "high", -1);
    gint64 likely = gw_at_int(gw_at(row, path), "likely", -1);

    (void)session;
    if (likely < 0 || json_array_size(gw_at(row, "moves")) == 0)
        return g_strdup("");
    g_autofree char *middle = gw_format_about_ms(likely), *from = gw_format_about_ms(low);
    g_autofree char *to = gw_format_about_ms(high);
    if (low < 0 || high < 0 || strcmp(from, to) == 0)
        return g_strdup_printf("about %s", middle);
    return g_strdup_printf("about %s (%s to %s)", middle, from, to);
}

static char *show_about(GwSession *session, json_t *row, const char *path)
{
    gint64 value = gw_at_int(row, path, 0);

    (void)session;
    return value > 0 ? gw_format_about_ms(value) : g_strdup("");
}

/* "3 s – 12 s", from the plan's begin. */
static char *show_span(GwSession *session, json_t *row, const char *path)
{
    g_autofree char *starts = gw_format_about_ms(gw_at_int(row, path, 0));
    g_autofree char *ends = gw_format_about_ms(gw_at_int(row, "ends_ms", 0));

    return g_strdup_printf("%s %s %s", starts, session->utf8 ? "–" : "-", ends);
}

static char *show_way(GwSession *session, json_t *row, const char *path)
{
    g_autofree char *from = gw_format_line(gw_at_text(row, path));
    g_autofree char *to = gw_format_line(gw_at_text(row, "destination_host_name"));

    return g_strdup_printf("%s %s %s", from, session->utf8 ? "→" : "->", to);
}

/* Why it goes there; of one that failed, what went wrong. */
static char *show_why(GwSession *session, json_t *row, const char *path)
{
    const char *error = gw_at_text(row, "error");
    gboolean failed = g_strcmp0(gw_at_text(row, "state"), "failed") == 0;

    if (failed && error != NULL && *error != '\0')
        return gw_format_line(error);
    return gw_show_text(session, row, path);
}

/* What the nearest host lacks. */
static char *show_remedy(GwSession *session, json_t *row, const char *path)
{
    json_t *findings = gw_at(row, path);

    (void)session;
    for (gsize i = 0; i < json_array_size(findings); i++) {
        const char *remedy = gw_at_text(json_array_get(findings, i), "remedy");
        if (remedy != NULL && *remedy != '\0')
            return gw_format_line(remedy);
    }
    return g_strdup("");
}

/* The name that the plan's rows know a host by; else the word itself. */
static const char *name_of(json_t *plan, const char *host)
{
    static const struct {
        const char *rows, *id, *name;
    } places[] = { { "moves", "source_host_id", "source_host_name" },
                   { "moves", "destination_host_id", "destination_host_name" },
                   { "stays", "host_id", "host_name" } };

    for (guint p = 0; p < G_N_ELEMENTS(places); p++) {
        json_t *rows = gw_at(plan, places[p].rows);
        for (gsize i = 0; i < json_array_size(rows); i++) {
            json_t *row = json_array_get(rows, i);
            const char *name = gw_at_text(row, places[p].name);
            if (name != NULL && g_strcmp0(gw_at_text(row, places[p].id), host) == 0)
                return name;
        }
    }
    return host;
}

/* "drain kvm1, kvm2" */
static char *show_what(GwSession *session, json_t *row, const char *path)
{
    json_t *hosts = gw_at(row, "request.hosts");
    g_autofree char *kind = gw_show_text(session, row, path);
    g_autofree char *group = gw_format_line(gw_at_text(row, "balance.group_name"));
    GString *text = g_string_new(kind);

    if (*group != '\0')
        g_string_append_printf(text, " %s", group);
    for (gsize i = 0; i < json_array_size(hosts); i++) {
        const char *host = json_string_value(json_array_get(hosts, i));
        g_autofree char *name = gw_format_line(name_of(row, host));
        g_string_append_printf(text, "%s%s", i > 0 ? ", " : " ", name);
    }
    return g_string_free(text, FALSE);
}

/* "5 in 1 wave" */
static char *show_moves(GwSession *session, json_t *row, const char *path)
{
    gint64 waves = gw_at_int(row, "waves", 0);
    gsize count = json_array_size(gw_at(row, path));

    (void)session;
    if (count == 0)
        return g_strdup("none");
    return g_strdup_printf("%" G_GSIZE_FORMAT " in %" G_GINT64_FORMAT " wave%s", count, waves,
                           waves == 1 ? "" : "s");
}

static char *show_stays(GwSession *session, json_t *row, const char *path)
{
    gsize count = json_array_size(gw_at(row, path));

    (void)session;
    if (count == 0)
        return g_strdup("");
    return g_strdup_printf("%" G_GSIZE_FORMAT " VM%s", count, count == 1 ? "" : "s");
}

/* Only where it is. */
static char *show_pressure(GwSession *session, json_t *row, const char *path)
{
    json_t *before = gw_at(row, path);
    return json_number_value(before) > 0 ? gw_show_points(session, row, path) : g_strdup("");
}

#define MOVE_COLUMNS                                                                               \
    { "WAVE", "wave", .right = TRUE }, { "VM", "vm_name", .cut = TRUE },                           \
        { "MOVE", "source_host_name", show_way, .cut = TRUE }, { "TRANSFER", "transfer" },         \
    {                                                                                              \
        "WHEN", "starts_ms", show_span                                                             \
    }

/* Of a plan that is only looked at, every state is "waiting". */
const GwColumn gw_planned_move_columns[] = {
    MOVE_COLUMNS,
    { "WHY", "why", .wrap = TRUE },
    { .header = NULL },
};

const GwColumn gw_carried_move_columns[] = {
    MOVE_COLUMNS,
    { "STATE", "state", .state = TRUE },
    { "WHY", "why", show_why, .wrap = TRUE },
    { .header = NULL },
};

const GwColumn gw_planned_stay_columns[] = {
    { "VM", "vm_name", .cut = TRUE },
    { "HOST", "host_name", .cut = TRUE },
    { "WHY IT STAYS", "why", .wrap = TRUE },
    { "REMEDY", "findings", show_remedy, .wrap = TRUE },
    { .header = NULL },
};

const GwColumn gw_migration_plan_sheet[] = {
    { "Plan", "kind", show_what },
    { "Moves", "moves", show_moves },
    { "Cannot leave", "stays", show_stays },
    { "Takes", "total_ms", show_interval },
    { "At best", "lower_bound_ms", show_about },
    { "Imbalance", "balance.imbalance_before", gw_show_points },
    { "Memory that is short", "balance.pressure_before", show_pressure },
    { .header = NULL },
};

static void print_rows(GwSession *session, json_t *plan, const GwColumn *move_columns)
{
    json_t *moves = gw_at(plan, "moves"), *stays = gw_at(plan, "stays"), *note;
    size_t i;

    if (json_array_size(moves) > 0) {
        gw_print_heading(session, "Moves");
        gw_print_table(session, move_columns, moves);
    }
    if (json_array_size(stays) > 0) {
        gw_print_heading(session, "What cannot leave");
        gw_print_table(session, gw_planned_stay_columns, stays);
    }
    json_array_foreach (gw_at(plan, "notes"), i, note) {
        g_autofree char *line = gw_format_line(json_string_value(note));
        gw_say(session, "Note: %s", line);
    }
}

void gw_print_migration_plan(GwSession *session, json_t *plan)
{
    gw_print_sheet(session, gw_migration_plan_sheet, plan);
    if (json_array_size(gw_at(plan, "moves")) == 0)
        gw_say(session, "Nothing is to be moved.");
    print_rows(session, plan, gw_planned_move_columns);
    gw_print_balance_hosts(session, plan);
}

/* Its job ---------------------------------------------------------------------------------------
 */

static char *show_yes(GwSession *session, json_t *row, const char *path)
{
    (void)session;
    return g_strdup(gw_at_true(row, path) ? "yes" : "");
}

static char *show_count(GwSession *session, json_t *row, const char *path)
{
    (void)session;
    (void)path;
    return gw_plan_progress_count(row);
}

static char *show_moving(GwSession *session, json_t *row, const char *path)
{
    g_autofree char *moving = gw_plan_progress_moving(row);

    (void)session;
    (void)path;
    return g_strdup(moving != NULL ? moving : "");
}

/* While it goes on. */
static char *show_left(GwSession *session, json_t *row, const char *path)
{
    if (g_strcmp0(gw_at_text(row, "state"), "copying") != 0)
        return g_strdup("");
    return show_about(session, row, path);
}

static char *show_planned(GwSession *session, json_t *row, const char *path)
{
    (void)path;
    return show_interval(session, gw_at(row, "plan"), "total_ms");
}

const GwColumn gw_plan_job_sheet[] = {
    { "Id", "id" },
    { "Title", "title" },
    { "Kind", "kind" },
    { "State", "state", .state = TRUE },
    { "Error", "error.message" },
    { "Remedy", "error.remedy" },
    { "Asked by", "user" },
    { "Created", "created_at" },
    { "Started", "started_at" },
    { "Finished", "finished_at" },
    { "Pause requested", "pause_requested", show_yes },
    { "Cancel requested", "cancel_requested", show_yes },
    { "Moved", "plan_progress", show_count },
    { "Moving now", "plan_progress", show_moving },
    { "Time left", "progress.eta_ms", show_left },
    { "Planned to take", "plan", show_planned },
    { "Took", "result.total_ms", show_about },
    { .header = NULL },
};

void gw_print_plan_job(GwSession *session, json_t *job)
{
    gw_print_sheet(session, gw_plan_job_sheet, job);
    print_rows(session, gw_at(job, "plan"), gw_carried_move_columns);
}
