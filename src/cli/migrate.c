/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/migrate.h"

#include "base/error.h"
#include "cli/columns.h"
#include "cli/follow.h"
#include "cli/format.h"
#include "model/job.h"

static const char *const script_words[] = { "cli", "virsh", NULL };

const GwOption gw_migrate_options[] = {
    { "to", GW_OPTION_TEXT, "HOST", "The destination; every argument is then a VM.",
      .complete = "hosts" },
    { "dry-run", GW_OPTION_FLAG, NULL, "Only check and plan." },
    { "method", GW_OPTION_CHOICE, NULL, "Speed method; default: the source host's.",
      .key = "method", .of_enum = &gw_method_enum },
    { "bandwidth", GW_OPTION_INT, "MIBPS", "Bandwidth limit in MiB/s; 0: the host's.",
      .key = "bandwidth_mibps", .max = 1000000 },
    { "max-downtime", GW_OPTION_INT, "MS", "Longest pause QEMU may aim at, in ms; 0: its default.",
      .key = "max_downtime_ms", .max = 60000 },
    { "channels", GW_OPTION_INT, "N", "Connections of multichannel; 0: the default (2).",
      .key = "channels", .max = 64 },
    { "post-copy", GW_OPTION_FLAG, NULL,
      "Allow a switch to post-copy (godwit job post-copy) where it does not converge.",
      .key = "post_copy" },
    { "tls", GW_OPTION_FLAG, NULL, "Encrypt the migration stream by QEMU's own TLS.",
      .key = "tls" },
    { "no-auto-converge", GW_OPTION_FLAG, NULL, "Never slow the guest down to converge.",
      .key = "no_auto_converge" },
    { "completion-timeout", GW_OPTION_INT, "S",
      "Give up after so many seconds per GiB to move; 0: the host's.",
      .key = "completion_timeout_s_per_gib", .max = 1000000 },
    { "progress-timeout", GW_OPTION_INT, "S",
      "Give up after so many seconds without progress; 0: the host's.", .key = "progress_timeout_s",
      .max = 1000000 },
    GW_NO_WAIT_OPTION,
    { "show-script", GW_OPTION_CHOICE, NULL,
      "Print the commands that do this move, and do nothing.", .words = script_words },
    { .name = NULL },
};

const GwColumn gw_plan_sheet[] = {
    { "VM", "vm_name" },
    { "From", "source_host_name" },
    { "To", "candidate.host_name" },
    { "Transfer", "candidate.transfer" },
    { "Suitable", "candidate.suitable", gw_show_yes_no },
    { "Method", "method" },
    { "Resume only once the source is gone", "commit_by_resume", gw_show_yes_no },
    { .header = NULL },
};

typedef struct {
    const char *destination;
    guint first; /* the VMs among the arguments: from first up to end */
    guint end;
} Targets;

static gboolean read_targets(const GwArgs *args, Targets *targets, GError **error)
{
    guint words = args->words->len;
    const char *to = gw_args_text(args, "to");

    if (to != NULL) {
        *targets = (Targets){ to, 0, words };
        return TRUE;
    }
    if (words == 2) {
        *targets = (Targets){ gw_args_word(args, 1), 0, 1 };
        return TRUE;
    }
    gw_error_set(error, GW_ERR_INVALID,
                 "Usage: godwit vm migrate VM HOST, or godwit vm migrate --to HOST VM VM…",
                 words < 2 ? "vm migrate: the destination host is missing"
                           : "vm migrate: several VMs need --to HOST");
    return FALSE;
}

static json_t *post(GwSession *session, const char *vm, json_t *body, gboolean dry_run,
                    GError **error)
{
    g_autofree char *segment = gw_client_segment(vm);
    g_autofree char *path =
        g_strdup_printf("/vms/%s/migrate%s", segment, dry_run ? "?dry_run=true" : "");

    return gw_client_call(session->client, "POST", path, body, NULL, error);
}

/* Plans ----------------------------------------------------------------------------------- */

static void print_script(json_t *lines)
{
    for (gsize i = 0; i < json_array_size(lines); i++) {
        g_autofree char *line = gw_format_line(json_string_value(json_array_get(lines, i)));
        g_print("%s\n", line);
    }
}

static void print_plan(GwSession *session, const GwArgs *args, json_t *plan)
{
    const char *script = gw_args_text(args, "show-script");
    json_t *findings = gw_at(plan, "candidate.findings");

    if (gw_print_record(session, plan))
        return;
    if (script != NULL) {
        print_script(gw_at(plan, g_str_equal(script, "cli") ? "script_cli" : "script_virsh"));
        return;
    }
    gw_print_sheet(session, gw_plan_sheet, plan);
    if (json_array_size(findings) > 0) {
        gw_print_heading(session, "Findings");
        gw_print_findings(session, findings, FALSE);
    }
}

static int plan_one(GwSession *session, const GwArgs *args, const char *vm, json_t *body,
                    GError **error)
{
    g_autoptr(GwJson) plan = post(session, vm, body, TRUE, error);

    if (plan == NULL)
        return GW_EXIT_FAILED;
    print_plan(session, args, plan);
    if (gw_at_true(plan, "candidate.suitable"))
        return GW_EXIT_OK;
    if (gw_args_has(args, "show-script")) /* the sheet above says it already */
        gw_print_findings(session, gw_at(plan, "candidate.findings"), TRUE);
    return GW_EXIT_REFUSED;
}

/* Moves ----------------------------------------------------------------------------------- */

/* Interrupted before the answer: the controller may have begun, and must not be guessed about. */
static int interrupted_early(const char *vm)
{
    g_autofree char *name = gw_format_line(vm);

    g_printerr("Interrupted before the controller answered; the move of %s may have begun. "
               "See: godwit job list --active\n",
               name);
    return GW_EXIT_INTERRUPTED;
}

static int begin_one(GwSession *session, const GwArgs *args, const char *vm, json_t *body,
                     json_t *jobs, GError **error)
{
    json_t *job = post(session, vm, body, FALSE, error);

    if (job == NULL)
        return GW_EXIT_FAILED;
    json_array_append_new(jobs, job);
    /* At once, not after the others: each job has begun whatever becomes of the rest. */
    if (gw_args_has(args, "no-wait"))
        return gw_wait_for_job(session, args, job, error);
    return GW_EXIT_OK;
}

static gboolean plans_only(const GwArgs *args)
{
    return gw_args_has(args, "dry-run") || gw_args_has(args, "show-script");
}

/* One VM after another; what hinders one does not hinder the next. */
static int begin_all(GwSession *session, const GwArgs *args, const Targets *targets, json_t *body,
                     json_t *jobs)
{
    gboolean several = targets->end - targets->first > 1;
    int status = GW_EXIT_OK;

    for (guint i = targets->first; i < targets->end; i++) {
        const char *vm = gw_args_word(args, i);
        g_autoptr(GError) why = NULL;
        int own = plans_only(args) ? plan_one(session, args, vm, body, &why)
                                   : begin_one(session, args, vm, body, jobs, &why);
        if (why != NULL && gw_session_interrupted(session))
            return interrupted_early(vm);
        if (why != NULL) {
            own = gw_exit_of_error(why, gw_client_problem(session->client) != NULL);
            if (several)
                g_prefix_error(&why, "%s: ", vm);
            gw_complain(session, why);
        }
        status = gw_exit_worse(status, own);
        if (own == GW_EXIT_CONTROLLER)
            break;
    }
    return status;
}

int gw_migrate(GwSession *session, const GwArgs *args, GError **error)
{
    Targets targets;

    if (!read_targets(args, &targets, error))
        return GW_EXIT_USAGE;
    g_autoptr(GwJson) options = gw_args_body(args);
    g_autoptr(GwJson) body =
        json_pack("{s:s,s:O}", "destination", targets.destination, "options", options);
    g_autoptr(GwJson) jobs = json_array();

    gw_session_catch_interrupt(session);
    int status = begin_all(session, args, &targets, body, jobs);
    if (json_array_size(jobs) == 0 || gw_args_has(args, "no-wait"))
        return status;
    return gw_exit_worse(status, gw_follow_jobs(session, jobs, error));
}
