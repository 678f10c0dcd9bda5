/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/explain.h"

#include "base/error.h"
#include "cli/columns.h"
#include "cli/dumps.h"
#include "cli/format.h"
#include "cli/hba_words.h"
#include "cli/network_words.h"
#include "cli/plan.h"
#include "cli/prediction.h"
#include "cli/rating.h"

/* One VM ---------------------------------------------------------------------------------- */

void gw_print_candidate(GwSession *session, const char *heading, json_t *candidate)
{
    g_autofree char *name = gw_format_line(heading);
    g_autofree char *disks = g_strdup_printf("%s: disks", name);
    g_autofree char *hbas = g_strdup_printf("%s: virtual HBAs", name);
    g_autofree char *networks = g_strdup_printf("%s: networks", name);
    g_autofree char *rating = g_strdup_printf("%s: Rating Explanation", name);

    if (json_array_size(gw_at(candidate, "findings")) > 0) {
        gw_print_heading(session, name);
        gw_print_findings(session, gw_at(candidate, "findings"), FALSE);
    }
    gw_print_rating(session, rating, gw_at(candidate, "rating"), gw_at(candidate, "findings"));
    gw_print_basis(session, gw_at(candidate, "prediction"));
    gw_print_disk_moves(session, disks, gw_at(candidate, "disks"));
    gw_print_hba_moves(session, hbas, gw_at(candidate, "hbas"));
    gw_print_nic_moves(session, networks, gw_at(candidate, "nics"));
    gw_print_transfers(session, gw_at(candidate, "transfers"));
}

static void print_all(GwSession *session, json_t *placements)
{
    gw_print_table(session, gw_candidate_columns, placements);
    for (gsize i = 0; i < json_array_size(placements); i++) {
        json_t *candidate = json_array_get(placements, i);
        gw_print_candidate(session, gw_at_text(candidate, "host_name"), candidate);
    }
}

static int explain_all(GwSession *session, const char *vm, GError **error)
{
    g_autofree char *segment = gw_client_segment(vm);
    g_autofree char *path = g_strdup_printf("/vms/%s/placements", segment);
    g_autoptr(GwJson) placements = gw_client_list(session->client, path, error);

    if (placements != NULL && !gw_print_document(session, placements))
        print_all(session, placements);
    return GW_EXIT_OK;
}

/* A dry run asks both hosts anew; the list is by what is known. */
static int explain_one(GwSession *session, const char *vm, const char *host, GError **error)
{
    g_autofree char *segment = gw_client_segment(vm);
    g_autofree char *path = g_strdup_printf("/vms/%s/migrate?dry_run=true", segment);
    g_autoptr(GwJson) body = json_pack("{s:s}", "destination", host);
    g_autoptr(GwJson) plan = gw_client_call(session->client, "POST", path, body, NULL, error);

    if (plan == NULL || gw_print_document(session, plan))
        return GW_EXIT_OK;
    gw_print_sheet(session, gw_plan_sheet, plan);
    gw_print_candidate(session, gw_at_text(plan, "candidate.host_name"), gw_at(plan, "candidate"));
    return GW_EXIT_OK;
}

/* An option that means nothing without a dump. */
static const char *only_of_dumps(const GwArgs *args)
{
    static const char *const options[] = { "capabilities", "domain-capabilities",
                                           "source-capabilities", "off" };

    for (guint i = 0; i < G_N_ELEMENTS(options); i++) {
        if (gw_args_has(args, options[i]))
            return options[i];
    }
    return NULL;
}

int gw_explain_vm(GwSession *session, const GwArgs *args, GError **error)
{
    const char *vm = gw_args_word(args, 0);
    const char *host = gw_args_word(args, 1);
    const char *only = only_of_dumps(args);

    if (gw_args_has(args, "domain-xml"))
        return gw_explain_dumps(session, args, error);
    if (only != NULL) {
        gw_error_set(error, GW_ERR_INVALID, "Give the VM's dump: --domain-xml FILE.",
                     "--%s is for dumps, and no VM's is given", only);
        return GW_EXIT_USAGE;
    }
    return host != NULL ? explain_one(session, vm, host, error) : explain_all(session, vm, error);
}

/* One host -------------------------------------------------------------------------------- */

/* Where it could go; of what stays the host that comes nearest is no answer. */
static char *show_best(GwSession *session, json_t *row, const char *path)
{
    return gw_at_true(row, "leaves") ? gw_show_text(session, row, path) : g_strdup("");
}

static char *show_best_stars(GwSession *session, json_t *row, const char *path)
{
    return gw_at_true(row, "leaves") ? gw_show_stars(session, row, path) : g_strdup("");
}

const GwColumn gw_leaving_columns[] = {
    { "VM", "vm_name", .cut = TRUE },
    { "STATE", "state", .state = TRUE },
    { "LEAVES", "leaves", gw_show_yes_no },
    { "HOSTS", "hosts", .right = TRUE },
    { "BEST", "nearest.host_name", show_best, .cut = TRUE },
    { "RATING", "nearest.rating.stars", show_best_stars, .color = gw_color_of_stars },
    { "WHY NOT", "why", .wrap = TRUE },
    { .header = NULL },
};

static void print_stays(GwSession *session, json_t *rows)
{
    for (gsize i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        json_t *findings = gw_at(row, "nearest.findings");
        if (gw_at_true(row, "leaves") || json_array_size(findings) == 0)
            continue;
        g_autofree char *vm = gw_format_line(gw_at_text(row, "vm_name"));
        g_autofree char *host = gw_format_line(gw_at_text(row, "nearest.host_name"));
        g_autofree char *heading = g_strdup_printf("%s: %s comes nearest", vm, host);
        gw_print_heading(session, heading);
        gw_print_findings(session, findings, FALSE);
    }
}

static void print_leaving(GwSession *session, const char *host, json_t *rows)
{
    gsize leave = 0;

    for (gsize i = 0; i < json_array_size(rows); i++)
        leave += gw_at_true(json_array_get(rows, i), "leaves") ? 1 : 0;
    gw_print_table(session, gw_leaving_columns, rows);
    if (json_array_size(rows) == 0)
        gw_say(session, "No VM is on %s.", host);
    else
        gw_say(session, "%" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT " VMs could leave %s now.", leave,
               json_array_size(rows), host);
    print_stays(session, rows);
}

int gw_explain_host(GwSession *session, const GwArgs *args, GError **error)
{
    g_autofree char *path =
        gw_session_find_path(session, "/hosts", "host", gw_args_word(args, 0), error);
    if (path == NULL)
        return GW_EXIT_FAILED;
    g_autofree char *leaving = g_strconcat(path, "/leaving", NULL);
    g_autoptr(GwJson) rows = gw_client_list(session->client, leaving, error);

    if (rows != NULL && !gw_print_document(session, rows))
        print_leaving(session, gw_args_word(args, 0), rows);
    return GW_EXIT_OK;
}
