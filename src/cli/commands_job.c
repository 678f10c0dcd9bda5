/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "cli/columns.h"
#include "cli/follow.h"
#include "cli/format.h"
#include "cli/hba_words.h"
#include "cli/network_words.h"
#include "cli/plan.h"
#include "cli/plan_progress.h"
#include "cli/prediction.h"
#include "cli/progress.h"
#include "model/request.h"

/* Percent only where it says something: while it copies. */
static char *show_percent(GwSession *session, json_t *row, const char *path)
{
    gint64 percent = gw_at_int(row, path, -1);

    if (percent < 0 || g_strcmp0(gw_at_text(row, "state"), "copying") != 0)
        return g_strdup("");
    return g_strdup_printf("%d %%", (int)CLAMP(percent, 0, 100));
}

/* Only of jobs that move disks is there anything. */
static char *show_some(GwSession *session, json_t *row, const char *path)
{
    return gw_at_int(row, path, 0) > 0 ? gw_show_bytes(session, row, path) : g_strdup("");
}

static char *show_keep(GwSession *session, json_t *row, const char *path)
{
    gint64 seconds = gw_at_int(row, path, 0);
    return seconds > 0 ? gw_format_seconds(seconds) : g_strdup("");
}

/* "1.2 GiB of 4 GiB" */
static char *show_copied(GwSession *session, json_t *row, const char *path)
{
    gint64 total = gw_at_int(row, "total_bytes", 0);
    g_autofree char *copied = gw_format_bytes(MAX(gw_at_int(row, path, 0), 0));
    g_autofree char *all = gw_format_bytes(MAX(total, 0));

    return total > 0 ? g_strdup_printf("%s of %s", copied, all) : g_strdup("");
}

/* Without the queue: what the prediction is about. Nothing before it is over. */
static char *show_took(GwSession *session, json_t *row, const char *path)
{
    gint64 total = gw_at_int(row, path, 0);
    gint64 queued = gw_at_int(row, "result.queued_ms", 0);

    (void)session;
    if (total <= 0 || gw_at(row, "prediction") == NULL)
        return g_strdup("");
    return gw_format_ms(MAX(total - MAX(queued, 0), 0));
}

/* Of a job that is done its error is what did not work beside it. */
static char *show_error(GwSession *session, json_t *row, const char *path)
{
    return gw_progress_is_warned(row) ? g_strdup("") : gw_show_text(session, row, path);
}

static char *show_warning(GwSession *session, json_t *row, const char *path)
{
    return gw_progress_is_warned(row) ? gw_show_text(session, row, path) : g_strdup("");
}

const GwColumn gw_job_columns[] = {
    { "ID", "id" },
    { "STATE", "state", .state = TRUE },
    { "DONE", "progress.percent", show_percent, .right = TRUE },
    { "TITLE", "title", .cut = TRUE },
    { "CREATED", "created_at" },
    { "WAITS FOR", "waiting_for", .cut = TRUE },
    { .header = NULL },
};

const GwColumn gw_job_sheet[] = {
    { "Id", "id" },
    { "Title", "title" },
    { "Kind", "kind" },
    { "State", "state", .state = TRUE },
    { "Waits for", "waiting_for" },
    { "Error", "error.message", show_error },
    { "Warning", "error.message", show_warning },
    { "Remedy", "error.remedy" },
    { "VM", "vm_name" },
    { "VM UUID", "vm_uuid" },
    { "From", "source_host_id", gw_show_host },
    { "To", "destination_host_id", gw_show_host },
    { "Transfer", "transfer" },
    { "Undoes", "undoes" },
    { "Undone by", "undone_by" },
    { "Asked by", "user" },
    { "Created", "created_at" },
    { "Started", "started_at" },
    { "Finished", "finished_at" },
    { "Cancel requested", "cancel_requested", gw_show_yes_no },
    { "Phase", "progress.phase" },
    { "Percent", "progress.percent" },
    { "Pass", "progress.iteration" },
    { "Sent", "progress.processed_bytes", gw_show_bytes },
    { "Left", "progress.remaining_bytes", gw_show_bytes },
    { "Disks, so far", "progress.disk_processed_bytes", show_some },
    { "Disks, in all", "progress.disk_total_bytes", show_some },
    { "Rate", "progress.bandwidth_bps", gw_show_rate },
    { "Dirtied", "progress.dirty_rate_bps", gw_show_rate },
    { "Time left", "progress.eta_ms", gw_show_ms },
    { "Expected downtime", "progress.expected_downtime_ms", gw_show_ms },
    { "Note", "progress.note" },
    { "Predicted time", "prediction.total_ms", gw_show_interval_ms },
    { "Predicted downtime", "prediction.downtime_ms", gw_show_interval_ms },
    { "Predicted to send", "prediction.bytes", gw_show_interval_bytes },
    { "Predicted to converge", "prediction.converges", gw_show_converges },
    { "Took", "result.total_ms", show_took },
    { "Downtime, measured", "result.downtime_ms", gw_show_ms },
    { "Downtime, QEMU's count", "result.downtime_libvirt_ms", gw_show_ms },
    { "Total", "result.total_ms", gw_show_ms },
    { "Queued", "result.queued_ms", gw_show_ms },
    { "Copying", "result.copy_ms", gw_show_ms },
    { "Copied", "result.transferred_bytes", gw_show_bytes },
    { "Read of disks", "result.disk_bytes", show_some },
    { "Sent of disks", "result.disk_sent_bytes", show_some },
    { "There already of disks", "result.disk_same_bytes", show_some },
    { "Old copies are kept", "keep_source_s", show_keep },
    { "Passes", "result.iterations" },
    { "Method", "result.method" },
    { "Driven by", "result.drive" },
    { .header = NULL },
};

const GwColumn gw_step_columns[] = {
    { "AT", "at" },       { "STATE", "state", .state = TRUE },
    { "EVENT", "event" }, { "WHY", "why", .cut = TRUE },
    { .header = NULL },
};

const GwColumn gw_task_columns[] = {
    { "TASK", "kind" },
    { "STATE", "state", .state = TRUE },
    { "DISK", "target" },
    { "HOST", "host_id", gw_show_host, .cut = TRUE },
    { "COPIED", "copied_bytes", show_copied, .right = TRUE },
    { "WHY", "why", .cut = TRUE },
    { .header = NULL },
};

static char *job_path(const char *id, const char *action)
{
    g_autofree char *segment = gw_client_segment(id);
    return g_strconcat("/jobs/", segment, action, NULL);
}

static int list(GwSession *session, const GwArgs *args, GError **error)
{
    const char *vm = gw_args_text(args, "vm");
    g_autofree char *segment = vm != NULL ? gw_client_segment(vm) : NULL;
    g_autofree char *path =
        g_strconcat("/jobs?limit=500", gw_args_has(args, "active") ? "&active=true" : "",
                    vm != NULL ? "&vm=" : "", segment, NULL);
    return gw_print_list(session, path, gw_job_columns, "No jobs.", error);
}

static int show(GwSession *session, const GwArgs *args, GError **error)
{
    g_autofree char *path = job_path(gw_args_word(args, 0), "");
    g_autoptr(GwJson) job = gw_client_get(session->client, path, error);

    if (job == NULL || gw_print_document(session, job))
        return GW_EXIT_OK;
    if (gw_plan_progress_is(job))
        gw_print_plan_job(session, job);
    else
        gw_print_sheet(session, gw_job_sheet, job);
    gw_print_disk_moves(session, "Disks", gw_at(job, "disks"));
    gw_print_nic_moves(session, "Networks", gw_at(job, "nics"));
    gw_print_hba_moves(session, "Virtual HBAs", gw_at(job, "hbas"));
    if (json_array_size(gw_at(job, "tasks")) > 0) {
        gw_print_heading(session, "Tasks");
        gw_print_table(session, gw_task_columns, gw_at(job, "tasks"));
    }
    if (json_array_size(gw_at(job, "steps")) > 0) {
        gint64 dropped = gw_at_int(job, "steps_dropped", 0);
        g_autofree char *heading = dropped > 0
                                       ? g_strdup_printf("Steps (after the first, %" G_GINT64_FORMAT
                                                         " older ones are not kept)",
                                                         dropped)
                                       : g_strdup("Steps");
        gw_print_heading(session, heading);
        gw_print_table(session, gw_step_columns, gw_at(job, "steps"));
    }
    return GW_EXIT_OK;
}

static int watch(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) jobs = json_array();

    for (guint i = 0; gw_args_word(args, i) != NULL; i++) {
        g_autofree char *path = job_path(gw_args_word(args, i), "");
        json_t *job = gw_client_get(session->client, path, error);
        if (job == NULL)
            return GW_EXIT_FAILED;
        json_array_append_new(jobs, job);
    }
    return gw_follow_jobs(session, jobs, error);
}

/* One call about one job, whose record is the answer. */
static int act(GwSession *session, const GwArgs *args, const char *method, const char *action,
               json_t *body, const char *said, GError **error)
{
    g_autofree char *path = job_path(gw_args_word(args, 0), action);
    g_autoptr(GwJson) job = gw_client_call(session->client, method, path, body, NULL, error);

    if (job != NULL && !gw_print_document(session, job))
        gw_say(session, "%s: %s", said,
               gw_at_text(job, "title") != NULL ? gw_at_text(job, "title") : gw_args_word(args, 0));
    return GW_EXIT_OK;
}

static int cancel(GwSession *session, const GwArgs *args, GError **error)
{
    return act(session, args, "POST", "/cancel", NULL, "Cancelling", error);
}

static int set(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) body = gw_args_body(args);

    if (!gw_require_change(body, error))
        return GW_EXIT_FAILED;
    return act(session, args, "PATCH", "", body, "Changed", error);
}

static int post_copy(GwSession *session, const GwArgs *args, GError **error)
{
    return act(session, args, "POST", "/post-copy", NULL, "Switching to post-copy", error);
}

static int settle(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) body = gw_args_body(args);

    if (!gw_args_has(args, "keep"))
        return gw_missing_option("settle", "keep",
                                 "--keep source or --keep destination: the other one is destroyed.",
                                 error);
    return act(session, args, "POST", "/settle", body, "Settled", error);
}

/* What it will do is said before it is done; of a stream of records the job's own steps tell. */
static void print_undo_plan(GwSession *session, json_t *plan, gboolean asked)
{
    if (!asked && (session->quiet || session->settings->output != GW_OUTPUT_TABLE))
        return;
    g_autofree char *id = gw_format_line(gw_at_text(plan, "job_id"));
    g_autofree char *kind = gw_format_line(gw_at_text(plan, "kind"));
    json_t *steps = gw_at(plan, "steps");

    g_print("To undo job %s, a job of the kind %s will:\n", id, kind);
    for (gsize i = 0; i < json_array_size(steps); i++) {
        g_autofree char *step = gw_format_line(json_string_value(json_array_get(steps, i)));
        g_print("%2" G_GSIZE_FORMAT ". %s\n", i + 1, step);
    }
}

static int not_possible(json_t *plan, GError **error)
{
    const char *why = gw_at_text(plan, "why_not");

    gw_error_set(error, GW_ERR_REFUSED, gw_at_text(plan, "remedy"), "the job cannot be undone: %s",
                 why != NULL ? why : "the controller does not say why");
    return GW_EXIT_REFUSED;
}

static int undo(GwSession *session, const GwArgs *args, GError **error)
{
    g_autofree char *dry_path = job_path(gw_args_word(args, 0), "/undo?dry_run=true");
    g_autofree char *path = job_path(gw_args_word(args, 0), "/undo");
    gboolean dry_run = gw_args_has(args, "dry-run");
    g_autoptr(GwJson) plan = gw_client_call(session->client, "POST", dry_path, NULL, NULL, error);

    if (plan == NULL)
        return GW_EXIT_FAILED;
    gboolean printed = dry_run && gw_print_document(session, plan);
    if (!gw_at_true(plan, "possible"))
        return printed ? GW_EXIT_REFUSED : not_possible(plan, error);
    if (!printed)
        print_undo_plan(session, plan, dry_run);
    if (dry_run)
        return GW_EXIT_OK;
    g_autoptr(GwJson) job = gw_client_call(session->client, "POST", path, NULL, NULL, error);
    return job != NULL ? gw_wait_for_job(session, args, job, error) : GW_EXIT_FAILED;
}

static const GwArgument past_job_argument[] = {
    { "JOB", "past-jobs", "The job's id.", GW_ARGUMENT_ONE },
    { .name = NULL },
};
static const GwOption undo_options[] = {
    { "dry-run", GW_OPTION_FLAG, NULL, "Only say what it would do." },
    GW_NO_WAIT_OPTION,
    { .name = NULL },
};
static const GwArgument job_argument[] = {
    { "JOB", "jobs", "The job's id.", GW_ARGUMENT_ONE },
    { .name = NULL },
};
static const GwArgument jobs_argument[] = {
    { "JOB", "jobs", "Ids of the jobs.", GW_ARGUMENT_MANY },
    { .name = NULL },
};
static const GwOption list_options[] = {
    { "active", GW_OPTION_FLAG, NULL, "Only jobs that are not finished." },
    { "vm", GW_OPTION_TEXT, "VM", "Only jobs of this VM.", .complete = "vms" },
    { .name = NULL },
};
static const GwOption set_options[] = {
    { "bandwidth", GW_OPTION_INT, "MIBPS", "Bandwidth limit in MiB/s; 0: none.",
      .key = "bandwidth_mibps", .max = 1000000 },
    { "max-downtime", GW_OPTION_INT, "MS", "Longest pause to aim at, in ms.",
      .key = "max_downtime_ms", .max = 60000 },
    { .name = NULL },
};
static const GwOption settle_options[] = {
    { "keep", GW_OPTION_CHOICE, NULL, "Which side of the move to keep.", .key = "keep",
      .of_enum = &gw_keep_enum },
    { .name = NULL },
};

const GwCommand gw_job_commands[] = {
    { "job list", NULL, "List the jobs, newest first", "", NULL, list_options,
      (const GwExample[]){ { "godwit job list --active", "What is going on now." },
                           { "godwit job list --vm web1", "The moves of one VM." },
                           { NULL, NULL } },
      "R6 R23 R44", NULL, list },
    { "job show", NULL, "Show a job with its disks, tasks and history", "", job_argument, NULL,
      (const GwExample[]){ { "godwit job show 01JD4ZQ6T5J8S0M3E9V7B2K1XC", "Figures and steps." },
                           { NULL, NULL } },
      "R6 R48", NULL, show },
    { "job watch", NULL, "Follow jobs until they end",
      "Shows the progress as 'vm migrate' does, and ends with the same exit status.", jobs_argument,
      NULL,
      (const GwExample[]){ { "godwit job watch 01JD4ZQ6T5J8S0M3E9V7B2K1XC",
                             "Until it is done, failed, cancelled or held." },
                           { NULL, NULL } },
      "R6 R23", NULL, watch },
    { "job cancel", NULL, "Cancel a job, queued or in progress",
      "Returns when the cancellation is accepted; 'job watch' shows how it ends. A move that is "
      "past its switchover can only finish.",
      job_argument, NULL,
      (const GwExample[]){
          { "godwit job cancel 01JD4ZQ6T5J8S0M3E9V7B2K1XC", "The VM stays on its source." },
          { NULL, NULL } },
      "R58", NULL, cancel },
    { "job set", NULL, "Change the limits of a move while it copies", "", job_argument, set_options,
      (const GwExample[]){ { "godwit job set 01JD4ZQ6T5J8S0M3E9V7B2K1XC --bandwidth 200",
                             "At most 200 MiB/s from now on." },
                           { "godwit job set 01JD4ZQ6T5J8S0M3E9V7B2K1XC --max-downtime 1000",
                             "Let it converge with a pause of up to a second." },
                           { NULL, NULL } },
      "R24 R48", &gw_job_change_record, set },
    { "job post-copy", NULL, "Switch a move to post-copy",
      "For moves that were begun with --post-copy and do not converge. From then on the VM "
      "depends on both hosts until the rest of its memory has arrived.",
      job_argument, NULL,
      (const GwExample[]){ { "godwit job post-copy 01JD4ZQ6T5J8S0M3E9V7B2K1XC",
                             "Run on the destination now, fetch the rest from there." },
                           { NULL, NULL } },
      "R48", NULL, post_copy },
    { "job settle", NULL, "Answer a held job: which side of the move to keep",
      "A move is held where neither host can tell which copy is the right one. Look at both "
      "first: the side that is not kept is destroyed.",
      job_argument, settle_options,
      (const GwExample[]){ { "godwit job settle 01JD4ZQ6T5J8S0M3E9V7B2K1XC --keep destination",
                             "Keep the copy on the destination." },
                           { NULL, NULL } },
      "R7", &gw_settle_request_record, settle },
    { "job undo", NULL, "Undo a job that has ended",
      "A move that is done is moved back; of a VM that is off only what changed since is sent, "
      "where the old copies are still kept. Of a job that failed, what it left is cleaned up. A "
      "drain is taken back by host undrain. What will be done is printed first; "
      "where it cannot be done, the reason and the remedy are, and the exit status is 3.",
      past_job_argument, undo_options,
      (const GwExample[]){
          { "godwit job undo 01JD4ZQ6T5J8S0M3E9V7B2K1XC --dry-run", "Only say what it would do." },
          { "godwit job undo 01JD4ZQ6T5J8S0M3E9V7B2K1XC", "Do it, and watch." },
          { NULL, NULL } },
      "R14", NULL, undo },
    { .name = NULL },
};
