/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "cli/columns.h"
#include "model/migration_plan.h"

/* Plans of many moves: draining hosts and bringing their VMs back, several VMs at once (R19, R49).
 * All are made by the controller, may be kept as a file, looked at, and applied. */

#define PLAN_FILE_MAX (32 * 1024 * 1024)

/* Making and carrying out ------------------------------------------------------------------------
 */

static void take_words(json_t *body, const char *key, const GwArgs *args)
{
    json_t *list = json_array();

    for (guint i = 0; gw_args_word(args, i) != NULL; i++)
        json_array_append_new(list, json_string(gw_args_word(args, i)));
    json_object_set_new(body, key, list);
}

static void take_destinations(json_t *body, const GwArgs *args)
{
    const GPtrArray *all = gw_args_all(args, "to");
    json_t *list = json_array();

    for (guint i = 0; all != NULL && i < all->len; i++)
        json_array_append_new(list, json_string(all->pdata[i]));
    json_object_set_new(body, "destinations", list);
}

static gboolean write_file(const char *path, json_t *plan, GError **error)
{
    g_autofree char *text = json_dumps(plan, JSON_INDENT(2));
    g_autoptr(GError) trouble = NULL;

    if (g_file_set_contents(path, text, -1, &trouble))
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID, "Choose a path that can be written.", "%s",
                 trouble->message);
    return FALSE;
}

static int apply(GwSession *session, const GwArgs *args, json_t *plan, GError **error)
{
    g_autoptr(GwJson) job =
        gw_client_call(session->client, "POST", "/plans/apply", plan, NULL, error);

    return job != NULL ? gw_wait_for_job(session, args, job, error) : GW_EXIT_FAILED;
}

/* Made first, shown or kept where that was asked for, else carried out. */
static int run_plan(GwSession *session, const GwArgs *args, json_t *body, GError **error)
{
    const char *file = gw_args_text(args, "plan-file");
    g_autoptr(GwJson) plan = gw_client_call(session->client, "POST", "/plans", body, NULL, error);

    if (plan == NULL)
        return GW_EXIT_FAILED;
    if (file != NULL) {
        if (!write_file(file, plan, error))
            return GW_EXIT_FAILED;
        gw_say(session, "The plan is in %s; carry it out: godwit plan apply %s", file, file);
        return GW_EXIT_OK;
    }
    if (gw_args_has(args, "dry-run")) {
        if (!gw_print_document(session, plan))
            gw_print_migration_plan(session, plan);
        return GW_EXIT_OK;
    }
    return apply(session, args, plan, error);
}

int gw_run_plan(GwSession *session, const GwArgs *args, json_t *body, GError **error)
{
    return run_plan(session, args, body, error);
}

static int drain(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) body = gw_args_body(args);

    json_object_set_new(body, "kind", json_string("drain"));
    json_object_set_new(body, "maintenance", json_boolean(!gw_args_has(args, "no-maintenance")));
    take_words(body, "hosts", args);
    take_destinations(body, args);
    return run_plan(session, args, body, error);
}

static int undrain(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) body = gw_args_body(args);

    json_object_set_new(body, "kind", json_string("undrain"));
    take_words(body, "hosts", args);
    return run_plan(session, args, body, error);
}

static int move_many(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) body = gw_args_body(args);

    json_object_set_new(body, "kind", json_string("moves"));
    take_words(body, "vms", args);
    take_destinations(body, args);
    return run_plan(session, args, body, error);
}

static json_t *read_plan(const char *path, GError **error)
{
    json_error_t where;
    g_autoptr(GError) trouble = NULL;
    g_autofree char *text = NULL;
    gsize length = 0;

    if (!g_file_get_contents(path, &text, &length, &trouble)) {
        gw_error_set(error, GW_ERR_NOT_FOUND, "Make one: godwit host drain HOST --plan-file FILE.",
                     "%s", trouble->message);
        return NULL;
    }
    g_autoptr(GwJson) json = length <= PLAN_FILE_MAX ? json_loadb(text, length, 0, &where) : NULL;
    if (json == NULL) {
        gw_error_set(error, GW_ERR_INVALID, "Make it again.", "'%s' is no plan: %s", path,
                     length <= PLAN_FILE_MAX ? where.text : "it is too long");
        return NULL;
    }
    /* What is of another shape would be shown as if it were not there. */
    g_autoptr(GwMigrationPlan) plan =
        gw_record_from_json(&gw_migration_plan_record, json, &trouble);
    if (plan == NULL) {
        gw_error_set(error, GW_ERR_INVALID, "Make it again.", "'%s' is no plan: %s", path,
                     trouble->message);
        return NULL;
    }
    return json_incref(json);
}

static int plan_show(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) plan = read_plan(gw_args_word(args, 0), error);

    if (plan != NULL && !gw_print_document(session, plan))
        gw_print_migration_plan(session, plan);
    return GW_EXIT_OK;
}

static int plan_apply(GwSession *session, const GwArgs *args, GError **error)
{
    g_autoptr(GwJson) plan = read_plan(gw_args_word(args, 0), error);
    return plan != NULL ? apply(session, args, plan, error) : GW_EXIT_FAILED;
}

static int change_pause(GwSession *session, const GwArgs *args, const char *what, GError **error)
{
    g_autofree char *segment = gw_client_segment(gw_args_word(args, 0));
    g_autofree char *path = g_strdup_printf("/jobs/%s/%s", segment, what);
    g_autoptr(GwJson) job = gw_client_call(session->client, "POST", path, NULL, NULL, error);

    if (job != NULL && !gw_print_document(session, job))
        gw_say(session,
               strcmp(what, "pause") == 0
                   ? "No further move begins; those under way end. Go on: godwit job resume %s"
                   : "It goes on: godwit job show %s",
               gw_args_word(args, 0));
    return GW_EXIT_OK;
}

static int job_pause(GwSession *session, const GwArgs *args, GError **error)
{
    return change_pause(session, args, "pause", error);
}

static int job_resume(GwSession *session, const GwArgs *args, GError **error)
{
    return change_pause(session, args, "resume", error);
}

/* The table -------------------------------------------------------------------------------------
 */

static const GwArgument hosts_argument[] = {
    { "HOST", "hosts", "Hosts, by name or id.", GW_ARGUMENT_MANY },
    { .name = NULL },
};
static const GwArgument vms_argument[] = {
    { "VM", "vms", "VMs, by name or UUID.", GW_ARGUMENT_MANY },
    { .name = NULL },
};
static const GwArgument file_argument[] = {
    { "FILE", "files", "A plan that --plan-file wrote.", GW_ARGUMENT_ONE },
    { .name = NULL },
};
static const GwArgument job_argument[] = {
    { "JOB", "jobs", "The job's id, or the last six or more characters of it.", GW_ARGUMENT_ONE },
    { .name = NULL },
};

#define TO_OPTION                                                                                  \
    {                                                                                              \
        "to", GW_OPTION_TEXT, "HOST", "Only to this host; may be given several times.",            \
            .complete = "hosts", .many = TRUE                                                      \
    }
#define GROUP_OPTION                                                                               \
    {                                                                                              \
        "group", GW_OPTION_TEXT, "GROUP", "Only to hosts of this group.", .key = "group",          \
                                                                          .complete = "groups"     \
    }
#define PLAN_OPTIONS                                                                               \
    { "dry-run", GW_OPTION_FLAG, NULL, "Show the plan, and change nothing." },                     \
        { "plan-file", GW_OPTION_TEXT, "FILE",                                                     \
          "Write the plan to this file to be reviewed, and change nothing.",                       \
          .complete = "files" },                                                                   \
        { "moves-at-once",                                                                         \
          GW_OPTION_INT,                                                                           \
          "N",                                                                                     \
          "At most so many moves at a time, beside the hosts' own limits.",                        \
          .key = "moves_at_once",                                                                  \
          .min = 1,                                                                                \
          .max = GW_PLAN_VMS_MAX },                                                                \
        { "storage", GW_OPTION_FLAG, NULL, "Disks that are not shared may be copied.",             \
          .key = "storage" },                                                                      \
        { "cold", GW_OPTION_FLAG, NULL, "Move VMs that are off as well.", .key = "cold" },         \
        { "method",                                                                                \
          GW_OPTION_CHOICE,                                                                        \
          NULL,                                                                                    \
          "Speed method of each move; default: the hosts'.",                                       \
          .key = "options.method",                                                                 \
          .of_enum = &gw_method_enum },                                                            \
        { "bandwidth",                                                                             \
          GW_OPTION_INT,                                                                           \
          "MIBPS",                                                                                 \
          "Bandwidth limit of each move in MiB/s; 0: the hosts'.",                                 \
          .key = "options.bandwidth_mibps",                                                        \
          .max = 1000000 },                                                                        \
        { "post-copy", GW_OPTION_FLAG, NULL,                                                       \
          "Allow a switch to post-copy (godwit job post-copy) of each move.",                      \
          .key = "options.post_copy" },                                                            \
        GW_NO_WAIT_OPTION

static const GwOption drain_options[] = {
    TO_OPTION,
    GROUP_OPTION,
    { "hosts-at-once", GW_OPTION_INT, "N", "Empty at most so many hosts at a time.",
      .key = "hosts_at_once", .min = 1, .max = GW_PLAN_HOSTS_MAX },
    { "no-maintenance", GW_OPTION_FLAG, NULL, "Move the VMs away, but let new ones come." },
    PLAN_OPTIONS,
    { .name = NULL },
};
static const GwOption undrain_options[] = {
    { "job", GW_OPTION_TEXT, "JOB",
      "Bring back what this drain alone moved; default: all since VMs were last brought back.",
      .key = "undoes", .complete = "past-jobs" },
    PLAN_OPTIONS,
    { .name = NULL },
};
static const GwOption many_options[] = {
    TO_OPTION,
    GROUP_OPTION,
    PLAN_OPTIONS,
    { .name = NULL },
};
static const GwOption wait_options[] = { GW_NO_WAIT_OPTION, { .name = NULL } };

const GwCommand gw_plan_commands[] = {
    { "host drain", NULL, "Move all VMs away from hosts, by a plan",
      "The controller plans it whole before anything moves: which VM goes where, how, when, with "
      "room and slots proven at every step and placement rules kept. What cannot leave is named "
      "with its reason and stays; nothing is ever powered off. The hosts enter maintenance: they "
      "get no new VM, and are in maintenance once nothing runs there.\n\n"
      "Where the world changes meanwhile (a host dies, a VM comes, a move fails), what is left is "
      "planned anew. The job can be paused, resumed and cancelled; host undrain brings the VMs "
      "back.",
      hosts_argument, drain_options,
      (const GwExample[]){
          { "godwit host drain kvm1 --dry-run", "What would move where, when, and what not." },
          { "godwit host drain kvm1 --plan-file kvm1.json", "The same as a file, to be reviewed." },
          { "godwit host drain kvm1 kvm2 kvm3 --hosts-at-once 2", "A rack, two hosts at a time." },
          { NULL, NULL } },
      "R49", &gw_plan_request_record, drain },
    { "host undrain", NULL, "Bring back the VMs that a drain moved away",
      "The hosts leave maintenance first; then what drains moved away since VMs were last brought "
      "back comes back, by a plan, to where it was first. What was moved on since comes back from "
      "there; what is gone is named.",
      hosts_argument, undrain_options,
      (const GwExample[]){ { "godwit host undrain kvm1", "After the maintenance." },
                           { NULL, NULL } },
      "R49", &gw_plan_request_record, undrain },
    { "plan moves", NULL, "Move several VMs, by a plan",
      "The best host is chosen for each (--to and --group say among which), and they move as slots "
      "allow.",
      vms_argument, many_options,
      (const GwExample[]){ { "godwit plan moves web1 web2 db1 --group rack2", "To other hosts." },
                           { NULL, NULL } },
      "R19 R26 R46", &gw_plan_request_record, move_many },
    { "plan show", NULL, "Show a plan from a file", "", file_argument, NULL,
      (const GwExample[]){ { "godwit plan show kvm1.json", "What --plan-file wrote." },
                           { NULL, NULL } },
      "R49", NULL, plan_show, .offline = TRUE },
    { "plan apply", NULL, "Carry out a plan from a file",
      "A plan as somebody changed it is carried out as well: another order of its moves, other "
      "destinations, moves left out (their VMs stay). After taking moves out, or putting them in "
      "another order, see that the numbers in \"after\" name moves above. What was changed is "
      "proven: the first move that breaks capacity, a rule, or what the plan was asked for is "
      "named. It is refused where hosts, VMs or rules that it rests on have changed since it was "
      "made.",
      file_argument, wait_options,
      (const GwExample[]){ { "godwit plan apply kvm1.json", "What was reviewed." },
                           { NULL, NULL } },
      "R49", NULL, plan_apply },
    { "job pause", NULL, "Let a drain or another plan begin no further move",
      "What is under way ends.", job_argument, NULL,
      (const GwExample[]){ { "godwit job pause 9V7K3M", "Not now." }, { NULL, NULL } }, "R49", NULL,
      job_pause },
    { "job resume", NULL, "Let a paused drain or other plan go on", "", job_argument, NULL,
      (const GwExample[]){ { "godwit job resume 9V7K3M", "Now." }, { NULL, NULL } }, "R49", NULL,
      job_resume },
    { .name = NULL },
};
