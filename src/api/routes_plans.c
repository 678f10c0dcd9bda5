/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/route.h"

/* Some thousand moves, each with its reasons. */
#define PLAN_BODY_MAX (32 * 1024 * 1024)

static gboolean make_plan(GwCall *call, GError **error)
{
    g_autoptr(GwMigrationPlan) plan = gw_engine_plan(call->engine, call->record, error);
    return plan != NULL && gw_call_answer(call, 200, &gw_migration_plan_record, plan);
}

static gboolean apply_plan(GwCall *call, GError **error)
{
    g_autoptr(GwJob) job = gw_engine_apply_plan(call->engine, call->record, call->user, error);
    return job != NULL && gw_call_answer_at(call, 202, "jobs", job->id, &gw_job_record, job);
}

static gboolean pause_or_resume(GwCall *call, gboolean on, GError **error)
{
    const GwJob *job = gw_fabric_find_job(call->fabric, call->id, error);
    if (job == NULL)
        return FALSE;
    g_autoptr(GwJob) changed = gw_engine_pause_job(call->engine, job->id, on, error);
    return changed != NULL && gw_call_answer(call, 200, &gw_job_record, changed);
}

static gboolean pause_job(GwCall *call, GError **error)
{
    return pause_or_resume(call, TRUE, error);
}

static gboolean resume_job(GwCall *call, GError **error)
{
    return pause_or_resume(call, FALSE, error);
}

const GwRoute gw_plan_routes[] = {
    {
        .method = "POST",
        .path = "/api/v1/plans",
        .operation = "makePlan",
        .role = GW_ROLE_OPERATE,
        .body = &gw_plan_request_record,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_migration_plan_record,
                       "The plan; nothing is changed by it." } },
        .summary =
            "Plan many moves: drain hosts, bring VMs back, move several VMs, balance a group.",
        .requirement = "R49",
        .handler = make_plan,
    },
    {
        .method = "POST",
        .path = "/api/v1/plans/apply",
        .operation = "applyPlan",
        .role = GW_ROLE_OPERATE,
        .body = &gw_migration_plan_record,
        .body_max = PLAN_BODY_MAX,
        .answers = { { 202, GW_ANSWER_RECORD, &gw_job_record, "The job that carries it out." } },
        .summary =
            "Carry out a plan that was made before, also as somebody changed it, where that is "
            "sound and the world has not changed since.",
        .requirement = "R49",
        .handler = apply_plan,
    },
    {
        .method = "POST",
        .path = "/api/v1/jobs/{id}/pause",
        .operation = "pauseJob",
        .role = GW_ROLE_OPERATE,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_job_record, "The job." } },
        .summary = "Let a job that carries out a plan begin no further move.",
        .requirement = "R49",
        .handler = pause_job,
    },
    {
        .method = "POST",
        .path = "/api/v1/jobs/{id}/resume",
        .operation = "resumeJob",
        .role = GW_ROLE_OPERATE,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_job_record, "The job." } },
        .summary = "Let a paused job go on.",
        .requirement = "R49",
        .handler = resume_job,
    },
    { .method = NULL },
};
