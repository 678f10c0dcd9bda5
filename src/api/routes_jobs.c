/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/route.h"
#include "base/error.h"

#define COLLECTION "jobs"

static void keys(gconstpointer item, const char *out[3])
{
    out[0] = ((const GwJob *)item)->id;
}

/* A list leaves the history, the tasks and the plan out: they can be long, and each job has its own
 * address.
 */
static void write_brief(gconstpointer item, GString *out)
{
    GwJob brief = *(const GwJob *)item;
    brief.steps = NULL;
    brief.tasks = NULL;
    brief.plan = NULL;
    gw_record_write(&gw_job_record, &brief, GW_INTERNAL, out);
}

typedef struct {
    int state; /* -1: any */
    gboolean active;
    const char *vm; /* UUID or name; NULL: any */
} Filter;

static gboolean keeps(const Filter *f, const GwJob *job)
{
    return (f->state < 0 || job->state == f->state) &&
           (!f->active || !gw_job_state_is_final(job->state)) &&
           (f->vm == NULL || g_strcmp0(job->vm_uuid, f->vm) == 0 ||
            g_strcmp0(job->vm_name, f->vm) == 0);
}

static gboolean read_filter(const GwCall *call, Filter *f, GError **error)
{
    const char *word = gw_call_query(call, "state");

    f->vm = gw_call_query(call, "vm");
    f->state = word != NULL ? gw_enum_value(&gw_job_state_enum, word) : -1;
    if (word == NULL || f->state >= 0)
        return gw_call_query_bool(call, "active", &f->active, error);
    g_autofree char *words = g_strjoinv(", ", (char **)gw_job_state_enum.words);
    gw_error_set(error, GW_ERR_INVALID, NULL, "'state' must be one of: %s", words);
    return FALSE;
}

static gboolean list_jobs(GwCall *call, GError **error)
{
    static const GwPageKind kind = {
        .record = &gw_job_record, .keys = keys, .write = write_brief, .descending = TRUE
    };
    Filter f = { .state = -1 };
    guint kept = 0;

    if (!read_filter(call, &f, error))
        return FALSE;
    GPtrArray *jobs = gw_fabric_list_jobs(call->fabric);
    for (guint i = 0; i < jobs->len; i++) {
        if (keeps(&f, jobs->pdata[i]))
            jobs->pdata[kept++] = jobs->pdata[i];
    }
    g_ptr_array_set_size(jobs, (int)kept);
    return gw_call_answer_page(call, &kind, jobs, error);
}

static gboolean get_job(GwCall *call, GError **error)
{
    const GwJob *job = gw_fabric_find_job(call->fabric, call->id, error);
    gboolean plan = TRUE;

    if (job == NULL ||
        (gw_call_query(call, "plan") != NULL && !gw_call_query_bool(call, "plan", &plan, error)))
        return FALSE;
    GwJob brief = *job;
    if (!plan)
        brief.plan = NULL;
    return gw_call_answer(call, 200, &gw_job_record, &brief);
}

/* Takes @job (NULL: the error is set). */
static gboolean answer_accepted(GwCall *call, GwJob *job)
{
    g_autoptr(GwJob) owned = job;
    return owned != NULL &&
           gw_call_answer_at(call, 202, COLLECTION, owned->id, &gw_job_record, owned);
}

static gboolean cancel_job(GwCall *call, GError **error)
{
    const GwJob *job = gw_fabric_find_job(call->fabric, call->id, error);
    return job != NULL && answer_accepted(call, gw_engine_cancel_job(call->engine, job->id, error));
}

static gboolean post_copy(GwCall *call, GError **error)
{
    const GwJob *job = gw_fabric_find_job(call->fabric, call->id, error);
    return job != NULL && answer_accepted(call, gw_engine_post_copy(call->engine, job->id, error));
}

static gboolean settle_job(GwCall *call, GError **error)
{
    const GwSettleRequest *request = call->record;
    const GwJob *job = gw_fabric_find_job(call->fabric, call->id, error);
    return job != NULL && answer_accepted(call, gw_engine_settle_job(call->engine, job->id,
                                                                     (GwKeep)request->keep, error));
}

static gboolean undo_job(GwCall *call, GError **error)
{
    const GwJob *job = gw_fabric_find_job(call->fabric, call->id, error);
    gboolean dry_run = FALSE;
    g_autoptr(GwMovePlan) refused = NULL;

    if (job == NULL || !gw_call_query_bool(call, "dry_run", &dry_run, error))
        return FALSE;
    if (!dry_run)
        return answer_accepted(
                   call, gw_engine_undo(call->engine, job->id, call->user, &refused, error)) ||
               gw_call_refused(call, refused);
    g_autoptr(GwUndoPlan) plan = gw_engine_plan_undo(call->engine, job->id, error);
    return plan != NULL && gw_call_answer(call, 200, &gw_undo_plan_record, plan);
}

static gboolean change_job(GwCall *call, GError **error)
{
    const GwJob *job = gw_fabric_find_job(call->fabric, call->id, error);
    g_autoptr(GwJobChange) change = gw_job_change_new();

    change->bandwidth_mibps = -1;
    change->max_downtime_ms = -1;
    if (job == NULL || !gw_call_check_match(call, &gw_job_record, job, error) ||
        !gw_record_patch(&gw_job_change_record, change, call->json, error))
        return FALSE;
    g_autoptr(GwJob) changed = gw_engine_change_job(call->engine, job->id, change, error);
    return changed != NULL && gw_call_answer(call, 200, &gw_job_record, changed);
}

static const GwParam list_params[] = {
    { "state", "string", "Only those in this state, e.g. held." },
    { "active", "boolean", "true: only those that are not final." },
    { "vm", "string", "Only those of this VM, by UUID or name." },
    GW_PAGE_PARAMS,
    { .name = NULL },
};

static const GwParam job_params[] = {
    { "plan", "boolean", "false: without the plan, which can be long; plan_progress sums it up." },
    { .name = NULL },
};

static const GwParam undo_params[] = {
    { "dry_run", "boolean", "true: say what undoing would do, and do nothing." },
    { .name = NULL },
};

const GwRoute gw_job_routes[] = {
    {
        .method = "GET",
        .path = "/api/v1/jobs",
        .operation = "listJobs",
        .role = GW_ROLE_READ,
        .query = list_params,
        .answers = { { 200, GW_ANSWER_PAGE, &gw_job_record,
                       "Jobs, newest first, no steps, tasks or plans." } },
        .summary = "List the jobs.",
        .requirement = "R6",
        .handler = list_jobs,
    },
    {
        .method = "GET",
        .path = "/api/v1/jobs/{id}",
        .operation = "getJob",
        .role = GW_ROLE_READ,
        .query = job_params,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_job_record,
                       "The job, its history, and all of its plan." } },
        .summary = "Read a job, by id or the last six or more characters of it.",
        .requirement = "R6",
        .handler = get_job,
    },
    {
        .method = "PATCH",
        .path = "/api/v1/jobs/{id}",
        .operation = "changeJob",
        .role = GW_ROLE_OPERATE,
        .body = &gw_job_change_record,
        .merge = TRUE,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_job_record, "The job." } },
        .summary = "Change bandwidth or longest downtime while a move copies.",
        .requirement = "R24",
        .handler = change_job,
    },
    {
        .method = "POST",
        .path = "/api/v1/jobs/{id}/cancel",
        .operation = "cancelJob",
        .role = GW_ROLE_OPERATE,
        .answers = { { 202, GW_ANSWER_RECORD, &gw_job_record, "The job; it ends soon." } },
        .summary = "Abort a move that is queued or in progress.",
        .requirement = "R58",
        .handler = cancel_job,
    },
    {
        .method = "POST",
        .path = "/api/v1/jobs/{id}/post-copy",
        .operation = "postCopyJob",
        .role = GW_ROLE_OPERATE,
        .answers = { { 202, GW_ANSWER_RECORD, &gw_job_record, "The job." } },
        .summary = "Switch a move that allows it to post-copy.",
        .requirement = "R24",
        .handler = post_copy,
    },
    {
        .method = "POST",
        .path = "/api/v1/jobs/{id}/settle",
        .operation = "settleJob",
        .role = GW_ROLE_ADMINISTER,
        .body = &gw_settle_request_record,
        .answers = { { 202, GW_ANSWER_RECORD, &gw_job_record, "The job." } },
        .summary = "Answer a held job: which side to keep; the other is destroyed.",
        .requirement = "R31",
        .handler = settle_job,
    },
    {
        .method = "POST",
        .path = "/api/v1/jobs/{id}/undo",
        .operation = "undoJob",
        .role = GW_ROLE_OPERATE,
        .query = undo_params,
        .answers = { { 202, GW_ANSWER_RECORD, &gw_job_record, "The job that undoes it." },
                     { 200, GW_ANSWER_RECORD, &gw_undo_plan_record,
                       "What it would do (dry_run)." } },
        .summary = "Move back what a finished job moved, or clean up after one that failed.",
        .requirement = "R14",
        .handler = undo_job,
    },
    { .method = NULL },
};
