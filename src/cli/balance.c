/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/balance.h"

#include <string.h>

#include "base/error.h"
#include "cli/columns.h"
#include "cli/format.h"
#include "cli/storage_words.h"
#include "model/migration_plan.h"

/* How a host group is balanced, as people say it and read it. */

/* Settings --------------------------------------------------------------------------------------
 */

static gboolean put_seconds(const GwArgs *args, const char *option, const char *key, json_t *body,
                            GError **error)
{
    const char *text = gw_args_text(args, option);
    gint64 seconds = 0;

    if (text == NULL)
        return TRUE;
    if (!gw_duration_read(option, text, 0, &seconds, error))
        return FALSE;
    json_object_set_new(body, key, json_integer(seconds));
    return TRUE;
}

/* Only what was given: the controller keeps the rest. */
gboolean gw_put_balance(const GwArgs *args, json_t *body, GError **error)
{
    static const char *const numbers[][2] = { { "balance-threshold", "threshold" },
                                              { "balance-gain", "minimum_gain" },
                                              { "balance-moves", "moves_at_most" } };
    g_autoptr(GwJson) settings = json_object();
    const char *schedule = gw_args_text(args, "balance-schedule");

    if (gw_args_has(args, "balance"))
        json_object_set_new(settings, "mode", json_string(gw_args_text(args, "balance")));
    for (guint i = 0; i < G_N_ELEMENTS(numbers); i++) {
        if (gw_args_has(args, numbers[i][0]))
            json_object_set_new(settings, numbers[i][1],
                                json_integer(gw_args_int(args, numbers[i][0], 0)));
    }
    if (schedule != NULL)
        json_object_set_new(settings, "schedule", json_string(schedule));
    if (!put_seconds(args, "balance-cool-down", "vm_cool_down_s", settings, error) ||
        !put_seconds(args, "balance-pause", "cool_down_s", settings, error))
        return FALSE;
    gboolean given = json_object_size(settings) > 0;
    if (given && gw_args_has(args, "balance-inherit")) {
        gw_error_set(error, GW_ERR_INVALID, "Give one or the other.",
                     "group set: --balance-inherit takes the group's own settings away");
        return FALSE;
    }
    if (given)
        json_object_set(body, "balance", settings);
    else if (gw_args_has(args, "balance-inherit"))
        json_object_set_new(body, "balance", json_null());
    return TRUE;
}

/* Figures ---------------------------------------------------------------------------------------
 */

static double number_at(json_t *row, const char *path)
{
    json_t *value = gw_at(row, path);
    return value != NULL ? json_number_value(value) : -1;
}

static char *change_words(GwSession *session, double before, double after, const char *unit)
{
    if (before < 0 || after < 0)
        return g_strdup("");
    return g_strdup_printf("%.1f %s %.1f%s", before, session->utf8 ? "→" : "->", after, unit);
}

/* @path: "…_before"; beside it is "…_after". */
static char *show_change(GwSession *session, json_t *row, const char *path, const char *unit)
{
    gsize stem = strlen(path) - strlen("before");
    g_autofree char *after = g_strdup_printf("%.*safter", (int)stem, path);

    return change_words(session, number_at(row, path), number_at(row, after), unit);
}

static char *show_percent(GwSession *session, json_t *row, const char *path)
{
    return show_change(session, row, path, " %");
}

static char *show_vms(GwSession *session, json_t *row, const char *path)
{
    (void)path;
    return g_strdup_printf("%" G_GINT64_FORMAT " %s %" G_GINT64_FORMAT,
                           gw_at_int(row, "vms_before", 0), session->utf8 ? "→" : "->",
                           gw_at_int(row, "vms_after", 0));
}

char *gw_show_points(GwSession *session, json_t *row, const char *path)
{
    return show_change(session, row, path, " points");
}

const GwColumn gw_balance_host_columns[] = {
    { "HOST", "host_name", .cut = TRUE },  { "MEMORY", "memory_before", show_percent },
    { "CPU", "cpu_before", show_percent }, { "NETWORK", "network_before", show_percent },
    { "VMS", "vms_before", show_vms },     { .header = NULL },
};

void gw_print_balance_hosts(GwSession *session, json_t *plan)
{
    json_t *hosts = gw_at(plan, "balance.hosts");

    if (json_array_size(hosts) == 0)
        return;
    gw_print_heading(session, "Hosts");
    gw_print_table(session, gw_balance_host_columns, hosts);
}

/* Now -------------------------------------------------------------------------------------------
 */

static char *show_moves(GwSession *session, json_t *row, const char *path)
{
    gsize count = json_array_size(gw_at(row, path));

    (void)session;
    if (gw_at(row, "recommendation") == NULL)
        return g_strdup(gw_at(row, "looked_at") != NULL ? "nothing" : "");
    return g_strdup_printf("%" G_GSIZE_FORMAT " move%s, since %s", count, count == 1 ? "" : "s",
                           gw_at_text(row, "recommendation.made_at"));
}

static char *show_imbalance(GwSession *session, json_t *row, const char *path)
{
    double value = number_at(row, path);

    (void)session;
    return value >= 0 ? g_strdup_printf("%.1f points", value) : g_strdup("");
}

const GwColumn gw_balance_sheet[] = {
    { "Group", "group_name" },
    { "Balancing", "mode" },
    { "Looked at", "looked_at" },
    { "Imbalance", "figures.imbalance_before", show_imbalance },
    { "Recommended", "recommendation.moves", show_moves },
    { "Waits for", "waiting_for" },
    { "Last round", "job_id" },
    { .header = NULL },
};

void gw_print_balance(GwSession *session, json_t *status)
{
    gw_print_sheet(session, gw_balance_sheet, status);
}
