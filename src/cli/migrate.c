/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/migrate.h"

#include "base/error.h"
#include "cli/columns.h"
#include "cli/follow.h"
#include "cli/format.h"
#include "cli/hba_words.h"
#include "cli/network_words.h"
#include "cli/plan.h"
#include "cli/storage_words.h"
#include "model/job.h"

static const char *const script_words[] = { "cli", "virsh", NULL };
static const char *const format_words[] = { "raw", "qcow2", NULL };

#define SCRIPT_OPTION                                                                              \
    {                                                                                              \
        "show-script", GW_OPTION_CHOICE, NULL,                                                     \
            "Print the commands that do this move, and do nothing.", .words = script_words         \
    }

/* Of both: how disks are moved. */
#define DISK_OPTIONS                                                                               \
    { "disk", GW_OPTION_TEXT, "TARGET:STORAGE[/NAME][,name=NAME][,format=raw|qcow2]",              \
      "Where a single disk goes; may be given for each (R38).", .many = TRUE },                    \
        { "flatten", GW_OPTION_FLAG, NULL,                                                         \
          "One image for each disk; else backing chains are kept as they are.",                    \
          .key = "flatten" },                                                                      \
        { "wait-for-merge", GW_OPTION_FLAG, NULL,                                                  \
          "Wait for a running merge of a disk instead of refusing (R31).",                         \
          .key = "wait_for_merge" },                                                               \
        { "keep-source", GW_OPTION_TEXT, "DURATION",                                               \
          "How long the old copies are kept for Undo: 30min, 24h, 7d; none: not at all; default: " \
          "the host's policy." },                                                                  \
    {                                                                                              \
        "add-default-storage", GW_OPTION_FLAG, NULL,                                               \
            "Add the path to the host's default storage locations (R18, R37).",                    \
            .key = "add_default_storage"                                                           \
    }

const GwOption gw_migrate_options[] = {
    { "to", GW_OPTION_TEXT, "HOST", "The destination; every argument is then a VM.",
      .complete = "hosts" },
    { "to-group", GW_OPTION_TEXT, "GROUP",
      "The best host of this host group (R46); every argument is then a VM.",
      .complete = "groups" },
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
    SCRIPT_OPTION,
    { "storage", GW_OPTION_TEXT, "POOL|PATH",
      "Where disks go that cannot stay: a pool of the destination, its path, or a share path whose "
      "server is an FQDN (R16, R17); default: the pool of the same name, or the first default "
      "location.",
      .key = "storage", .complete = "pools" },
    { "best-storage", GW_OPTION_FLAG, NULL,
      "Disks that cannot stay go to the pool of the destination that has the most space left "
      "(R26); "
      "refused where the destination has no stars. To a host group always." },
    { "transfer", GW_OPTION_CHOICE, NULL, "This transfer type and no other; default: the best.",
      .words = gw_transfer_words },
    { "copy-all", GW_OPTION_FLAG, NULL, "Copy also the disks that both hosts reach.",
      .key = "copy_all" },
    { "network", GW_OPTION_FLAG, NULL,
      "Transfer over the network even if a SAN transfer is available (R39).", .key = "network" },
    { "start", GW_OPTION_FLAG, NULL, "Start a VM that is off immediately after its move (R42).",
      .key = "start" },
    { "nic", GW_OPTION_TEXT, "MAC=NETWORK|none[,port-group=GROUP][,link=down]",
      "The network or bridge of the destination that an adapter gets, or none; may be given for "
      "each; default: the best match (R40).",
      .many = TRUE, .complete = "nics" },
    { "hba", GW_OPTION_TEXT, "WWPN=HBA|none",
      "The HBA of the destination that a virtual HBA gets, or none: then its LUNs are copied; may "
      "be given for each; default: the best match (R41).",
      .many = TRUE, .complete = "hbas" },
    DISK_OPTIONS,
    { .name = NULL },
};

const GwOption gw_migrate_storage_options[] = {
    { "dry-run", GW_OPTION_FLAG, NULL, "Only check and plan." },
    { "format", GW_OPTION_CHOICE, NULL, "Write all disks anew in this format.", .key = "format",
      .words = format_words },
    { "bandwidth", GW_OPTION_INT, "MIBPS", "Bandwidth limit in MiB/s; 0: none.",
      .key = "bandwidth_mibps", .max = 1000000 },
    GW_NO_WAIT_OPTION,
    SCRIPT_OPTION,
    DISK_OPTIONS,
    { .name = NULL },
};

typedef struct {
    const char *action; /* "migrate", "migrate-storage" */
    char *destination;  /* owned */
    guint first;        /* the VMs among the arguments: from first up to end */
    guint end;
} Targets;

/* A name may be a host's and a group's: what was said to be a group is named by its id. */
static char *id_of_group(GwSession *session, const char *group, GError **error)
{
    g_autoptr(GwJson) record = gw_session_find(session, "/host-groups", "group", group, error);
    return g_strdup(gw_at_text(record, "id"));
}

static gboolean read_targets(GwSession *session, const GwArgs *args, Targets *targets,
                             GError **error)
{
    guint words = args->words->len;
    const char *to = gw_args_text(args, "to");
    const char *group = gw_args_text(args, "to-group");

    *targets = (Targets){ "migrate", NULL, 0, words };
    if (to != NULL && group != NULL) {
        gw_error_set(error, GW_ERR_INVALID, "Give one of them.",
                     "vm migrate: --to and --to-group name two destinations");
    } else if (group != NULL) {
        targets->destination = id_of_group(session, group, error);
    } else if (to != NULL) {
        targets->destination = g_strdup(to);
    } else if (words == 2) {
        targets->destination = g_strdup(gw_args_word(args, 1));
        targets->end = 1;
    } else {
        gw_error_set(error, GW_ERR_INVALID,
                     "Usage: godwit vm migrate VM HOST, or godwit vm migrate --to HOST VM VM…",
                     words < 2 ? "vm migrate: the destination host is missing"
                               : "vm migrate: several VMs need --to HOST");
    }
    return targets->destination != NULL;
}

static json_t *post(GwSession *session, const char *action, const char *vm, json_t *body,
                    gboolean dry_run, GError **error)
{
    g_autofree char *segment = gw_client_segment(vm);
    g_autofree char *path =
        g_strdup_printf("/vms/%s/%s%s", segment, action, dry_run ? "?dry_run=true" : "");

    return gw_client_call(session->client, "POST", path, body, NULL, error);
}

/* Plans ----------------------------------------------------------------------------------- */

static void print_plan(GwSession *session, const GwArgs *args, json_t *plan)
{
    const char *script = gw_args_text(args, "show-script");

    if (gw_print_record(session, plan))
        return;
    if (script != NULL)
        gw_print_lines(gw_at(plan, g_str_equal(script, "cli") ? "script_cli" : "script_virsh"));
    else
        gw_print_plan(session, plan);
}

static int plan_one(GwSession *session, const GwArgs *args, const char *action, const char *vm,
                    json_t *body, GError **error)
{
    g_autoptr(GwJson) plan = post(session, action, vm, body, TRUE, error);

    if (plan == NULL)
        return GW_EXIT_FAILED;
    print_plan(session, args, plan);
    if (gw_at_true(plan, "candidate.suitable"))
        return GW_EXIT_OK;
    if (gw_args_has(args, "show-script")) /* the sheet above says it already */
        gw_print_findings(session, gw_at(plan, "candidate.findings"), TRUE);
    return GW_EXIT_REFUSED;
}

/* A refusal says what is in the way; which ways there are, and where each disk would go, says the
 * plan. A comfort: where it cannot be had, the findings were said all the same. */
static void explain_refusal(GwSession *session, const char *action, const char *vm, json_t *body)
{
    if (session->quiet || session->settings->output != GW_OUTPUT_TABLE)
        return;
    g_autoptr(GwJson) plan = post(session, action, vm, body, TRUE, NULL);
    gw_print_refused_plan(session, plan);
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

static int begin_one(GwSession *session, const GwArgs *args, const char *action, const char *vm,
                     json_t *body, json_t *jobs, GError **error)
{
    json_t *job = post(session, action, vm, body, FALSE, error);

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
        int own = plans_only(args)
                      ? plan_one(session, args, targets->action, vm, body, &why)
                      : begin_one(session, args, targets->action, vm, body, jobs, &why);
        if (why != NULL && gw_session_interrupted(session))
            return interrupted_early(vm);
        if (why != NULL) {
            own = gw_exit_of_error(why, gw_client_problem(session->client) != NULL);
            if (several)
                g_prefix_error(&why, "%s: ", vm);
            gw_complain(session, why);
            if (g_error_matches(why, GW_ERROR, GW_ERR_REFUSED))
                explain_refusal(session, targets->action, vm, body);
        }
        status = gw_exit_worse(status, own);
        if (own == GW_EXIT_CONTROLLER)
            break;
    }
    return status;
}

static int move_all(GwSession *session, const GwArgs *args, const Targets *targets, json_t *body,
                    GError **error)
{
    g_autoptr(GwJson) jobs = json_array();

    gw_session_catch_interrupt(session);
    int status = begin_all(session, args, targets, body, jobs);
    if (json_array_size(jobs) == 0 || gw_args_has(args, "no-wait"))
        return status;
    return gw_exit_worse(status, gw_follow_jobs(session, jobs, error));
}

/* What both requests take beside the fields that options name. */
static json_t *read_options(const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) options = gw_args_body(args);
    g_autoptr(GwJson) disks = gw_disk_choices(args, error);
    g_autoptr(GwJson) nics = disks != NULL ? gw_nic_choices(args, error) : NULL;
    g_autoptr(GwJson) hbas = nics != NULL ? gw_hba_choices(args, error) : NULL;
    const char *transfer = gw_args_text(args, "transfer");

    if (hbas == NULL || !gw_put_keep_source(args, -1, options, error))
        return NULL;
    if (json_array_size(disks) > 0)
        json_object_set(options, "disks", disks);
    if (json_array_size(nics) > 0)
        json_object_set(options, "nics", nics);
    if (json_array_size(hbas) > 0)
        json_object_set(options, "hbas", hbas);
    if (transfer != NULL)
        json_object_set_new(options, "transfer", json_string(gw_transfer_of_word(transfer)));
    return g_steal_pointer(&options);
}

int gw_migrate(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) options = read_options(args, error);
    Targets targets;

    if (options == NULL || !read_targets(session, args, &targets, error))
        return GW_EXIT_USAGE;
    g_autofree char *destination = targets.destination;
    g_autoptr(GwJson) body = json_pack("{s:s,s:O}", "destination", destination, "options", options);
    if (gw_args_has(args, "best-storage"))
        json_object_set_new(body, "best_storage", json_true());
    return move_all(session, args, &targets, body, error);
}

int gw_migrate_storage(GwSession *session, const GwArgs *args, GError **error)
{
    Targets targets = { "migrate-storage", NULL, 0, 1 };
    const char *storage = gw_args_word(args, 1);
    g_autoptr(GwJson) body = read_options(args, error);

    if (body == NULL)
        return GW_EXIT_USAGE;
    if (storage != NULL)
        json_object_set_new(body, "storage", json_string(storage));
    return move_all(session, args, &targets, body, error);
}
