/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/plan.h"

#include "cli/columns.h"
#include "cli/format.h"
#include "cli/hba_words.h"
#include "cli/network_words.h"
#include "cli/prediction.h"
#include "cli/rating.h"

/* Disks ----------------------------------------------------------------------------------- */

/* "web1.qcow2 in default", or the path of what is in no pool. */
static char *volume_words(json_t *volume)
{
    g_autofree char *pool = gw_format_line(gw_at_text(volume, "pool"));
    g_autofree char *name = gw_format_line(gw_at_text(volume, "name"));

    if (*pool != '\0' && *name != '\0')
        return g_strdup_printf("%s in %s", name, pool);
    if (*pool != '\0')
        return g_steal_pointer(&pool);
    return gw_format_line(gw_at_text(volume, "path"));
}

static json_t *top_image(json_t *disk, const char *path)
{
    return json_array_get(gw_at(disk, path), 0);
}

/* The top of a chain says where it is; how many lie below is said beside it. */
static char *image_words(json_t *disk, const char *path, const char *end)
{
    gsize below = MAX(json_array_size(gw_at(disk, path)), 1) - 1;
    g_autofree char *words = volume_words(gw_at(top_image(disk, path), end));

    if (below == 0 || *words == '\0')
        return g_steal_pointer(&words);
    return g_strdup_printf("%s, %" G_GSIZE_FORMAT " below", words, below);
}

static char *show_from(GwSession *session, json_t *row, const char *path)
{
    return image_words(row, path, "from");
}

static char *show_to(GwSession *session, json_t *row, const char *path)
{
    return image_words(row, path, "to");
}

/* "qcow2", "qcow2 → raw" */
static char *show_format(GwSession *session, json_t *row, const char *path)
{
    g_autofree char *from = gw_format_line(gw_at_text(top_image(row, path), "from.format"));
    g_autofree char *to = gw_format_line(gw_at_text(top_image(row, path), "to.format"));

    if (*to == '\0' || g_strcmp0(from, to) == 0)
        return g_steal_pointer(&from);
    return g_strdup_printf("%s %s %s", from, session->utf8 ? "→" : "->", to);
}

/* Nothing is what most disks of a plain move need. */
static char *show_size(GwSession *session, json_t *row, const char *path)
{
    return gw_at_int(row, path, 0) > 0 ? gw_show_bytes(session, row, path) : g_strdup("");
}

const GwColumn gw_disk_move_columns[] = {
    { "DISK", "target" },
    { "HOW", "how" },
    { "FROM", "images", show_from, .cut = TRUE },
    { "TO", "images", show_to, .cut = TRUE },
    { "FORMAT", "images", show_format },
    { "COPY", "copy_bytes", show_size, .right = TRUE },
    { "NEED", "need_bytes", show_size, .right = TRUE },
    { "WHY", "why", .wrap = TRUE },
    { .header = NULL },
};

const GwColumn gw_transfer_columns[] = {
    { "TRANSFER", "transfer" },
    { "AVAILABLE", "available", gw_show_yes_no },
    { "EXPLANATION", "explanation", .wrap = TRUE },
    { .header = NULL },
};

void gw_print_disk_moves(GwSession *session, const char *heading, json_t *disks)
{
    if (json_array_size(disks) == 0)
        return;
    gw_print_heading(session, heading);
    gw_print_table(session, gw_disk_move_columns, disks);
}

/* Transfer types -------------------------------------------------------------------------- */

static void print_transfers(GwSession *session, const char *heading, json_t *transfers,
                            gboolean san)
{
    g_autoptr(GwJson) rows = json_array();

    for (gsize i = 0; i < json_array_size(transfers); i++) {
        json_t *row = json_array_get(transfers, i);
        if ((g_strcmp0(gw_at_text(row, "transfer"), "SAN") == 0) == san)
            json_array_append(rows, row);
    }
    if (json_array_size(rows) == 0)
        return;
    gw_print_heading(session, heading);
    gw_print_table(session, gw_transfer_columns, rows);
}

void gw_print_transfers(GwSession *session, json_t *transfers)
{
    print_transfers(session, "Deployment and Transfer Explanation", transfers, FALSE);
    print_transfers(session, "SAN Explanation", transfers, TRUE);
}

/* Plans ----------------------------------------------------------------------------------- */

static char *show_sum(json_t *plan, const char *path, const char *member)
{
    json_t *disks = gw_at(plan, path);
    gint64 sum = 0;

    for (gsize i = 0; i < json_array_size(disks); i++) {
        gint64 bytes = MAX(gw_at_int(json_array_get(disks, i), member, 0), 0);
        sum = bytes > G_MAXINT64 - sum ? G_MAXINT64 : sum + bytes;
    }
    return sum > 0 ? gw_format_bytes(sum) : g_strdup("");
}

static char *show_copy(GwSession *session, json_t *row, const char *path)
{
    return show_sum(row, path, "copy_bytes");
}

static char *show_need(GwSession *session, json_t *row, const char *path)
{
    return show_sum(row, path, "need_bytes");
}

/* Whether memory goes over. */
static gboolean is_live(json_t *plan)
{
    const char *transfer = gw_at_text(plan, "candidate.transfer");
    return transfer != NULL && g_str_has_prefix(transfer, "Live");
}

static char *show_resume(GwSession *session, json_t *row, const char *path)
{
    return is_live(row) ? gw_show_yes_no(session, row, path) : g_strdup("");
}

/* The speed method is how memory is sent. */
static char *show_method(GwSession *session, json_t *row, const char *path)
{
    return is_live(row) ? gw_show_text(session, row, path) : g_strdup("");
}

const GwColumn gw_plan_sheet[] = {
    { "VM", "vm_name" },
    { "From", "source_host_name" },
    { "To", "candidate.host_name" },
    { "Transfer", "candidate.transfer" },
    { "Suitable", "candidate.suitable", gw_show_yes_no },
    { "Rating", "candidate.rating.stars", gw_show_stars, .color = gw_color_of_stars },
    { "To copy of disks", "candidate.disks", show_copy },
    { "Space needed", "candidate.disks", show_need },
    { "Time", "candidate.prediction.total_ms", gw_show_interval_ms },
    { "Downtime", "candidate.prediction.downtime_ms", gw_show_interval_ms },
    { "To send", "candidate.prediction.bytes", gw_show_interval_bytes },
    { "Converges", "candidate.prediction.converges", gw_show_converges },
    { "Remedy", "candidate.prediction.remedy" },
    { "Method", "method", show_method },
    { "Resume only once the source is gone", "commit_by_resume", show_resume },
    { .header = NULL },
};

void gw_print_lines(json_t *lines)
{
    for (gsize i = 0; i < json_array_size(lines); i++) {
        g_autofree char *line = gw_format_line(json_string_value(json_array_get(lines, i)));
        g_print("%s\n", line);
    }
}

static void print_script(GwSession *session, const char *heading, json_t *lines)
{
    if (json_array_size(lines) == 0)
        return;
    gw_print_heading(session, heading);
    gw_print_lines(lines);
}

/* Within a host there is one way. */
static void print_choice(GwSession *session, json_t *plan)
{
    if (g_strcmp0(gw_at_text(plan, "candidate.transfer"), "Storage") != 0)
        gw_print_transfers(session, gw_at(plan, "candidate.transfers"));
}

void gw_print_plan(GwSession *session, json_t *plan)
{
    json_t *findings = gw_at(plan, "candidate.findings");

    gw_print_sheet(session, gw_plan_sheet, plan);
    gw_print_disk_moves(session, "Disks", gw_at(plan, "candidate.disks"));
    gw_print_nic_moves(session, "Networks", gw_at(plan, "candidate.nics"));
    gw_print_hba_moves(session, "Virtual HBAs", gw_at(plan, "candidate.hbas"));
    print_choice(session, plan);
    gw_print_rating(session, "Rating Explanation", gw_at(plan, "candidate.rating"), findings);
    if (json_array_size(findings) > 0) {
        gw_print_heading(session, "Findings");
        gw_print_findings(session, findings, FALSE);
    }
    gw_print_basis(session, gw_at(plan, "candidate.prediction"));
    /* What may not be done is no script. */
    if (!gw_at_true(plan, "candidate.suitable"))
        return;
    print_script(session, "Script", gw_at(plan, "script_cli"));
    print_script(session, "Equivalent virsh commands", gw_at(plan, "script_virsh"));
}

void gw_print_refused_plan(GwSession *session, json_t *plan)
{
    session->to_stderr = TRUE;
    gw_print_disk_moves(session, "Disks", gw_at(plan, "candidate.disks"));
    gw_print_nic_moves(session, "Networks", gw_at(plan, "candidate.nics"));
    gw_print_hba_moves(session, "Virtual HBAs", gw_at(plan, "candidate.hbas"));
    print_choice(session, plan);
    session->to_stderr = FALSE;
}
