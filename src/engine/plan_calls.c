/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/plans_internal.h"

/* What people ask of plans of many moves: make one, carry one out, pause it, let it go on. */

/* Any thread: a picture is all that it needs, so it never holds the loop up. */
GwMigrationPlan *gw_engine_plan(GwEngine *engine, const GwPlanRequest *request, GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    g_autoptr(GwPredictor) predictor = gw_predictor_new(fabric);
    GwMigrationPlan *plan = gw_plan_many(fabric, request, predictor, error);

    if (plan != NULL) {
        g_free(plan->made_at);
        plan->made_at = gw_engine_rfc3339(engine);
    }
    return plan;
}

/* A plan may come from a file that somebody reviewed, and changed. ------------------------------
 */

/* @number: of a move, from 1; 0: the plan itself. */
static gboolean is_wrong(GError **error, guint number, const char *what)
{
    g_autofree char *move = g_strdup_printf("move %u ", number);

    gw_error_set(error, GW_ERR_INVALID, "Make the plan again.", "%s%s", number > 0 ? move : "",
                 what);
    return FALSE;
}

static gboolean check_move(const GwFabric *fabric, const GwPlannedMove *move, guint number,
                           GError **error)
{
    if (move->after < 0 || move->after >= (gint64)number)
        return is_wrong(error, number, "comes after one that is not before it");
    if (gw_fabric_host(fabric, move->source_host_id) == NULL ||
        gw_fabric_host(fabric, move->destination_host_id) == NULL)
        return is_wrong(error, number, "names a host that is not managed");
    if (strcmp(move->source_host_id, move->destination_host_id) == 0)
        return is_wrong(error, number, "goes to the host that it is on");
    /* What a detour moves on is not at its second source yet. */
    if (move->after > 0 || gw_fabric_vm(fabric, move->source_host_id, move->vm_uuid) != NULL)
        return TRUE;
    gw_error_set(error, GW_ERR_CONFLICT, "Make the plan again.",
                 "move %u: '%s' is not on %s any more", number,
                 move->vm_name != NULL ? move->vm_name : "the VM",
                 gw_fabric_host(fabric, move->source_host_id)->name);
    return FALSE;
}

static gboolean check_plan(const GwFabric *fabric, const GwMigrationPlan *plan, GError **error)
{
    if (plan->request == NULL)
        return is_wrong(error, 0, "the plan does not say what was asked for");
    if (plan->moves != NULL && plan->moves->len > GW_PLAN_VMS_MAX)
        return is_wrong(error, 0, "the plan has too many moves");
    for (guint i = 0; plan->moves != NULL && i < plan->moves->len; i++) {
        if (!check_move(fabric, plan->moves->pdata[i], i + 1, error))
            return FALSE;
    }
    g_autofree char *now = gw_plan_fingerprint(fabric, plan);
    if (g_strcmp0(now, plan->fingerprint) == 0)
        return TRUE;
    gw_error_set(error, GW_ERR_CONFLICT, "Make the plan again, and look at what is different.",
                 "hosts, VMs or rules that the plan rests on have changed since it was made");
    return FALSE;
}

/* Carrying out ----------------------------------------------------------------------------------
 */

typedef struct {
    const GwMigrationPlan *plan;
    const char *user;
} Apply;

static char *names_of(const GwFabric *fabric, char **hosts)
{
    GString *names = g_string_new(NULL);
    guint count = hosts != NULL ? g_strv_length(hosts) : 0;

    for (guint i = 0; i < count && i < 3; i++) {
        const GwHost *host = gw_fabric_find_host(fabric, hosts[i]);
        g_string_append_printf(names, "%s%s", i > 0 ? ", " : "",
                               host != NULL ? host->name : hosts[i]);
    }
    if (count > 3)
        g_string_append_printf(names, " and %u more", count - 3);
    return g_string_free(names, FALSE);
}

static GwJob *new_job(GwEngine *engine, const Apply *apply)
{
    static const struct {
        const char *kind, *title;
    } kinds[] = {
        [GW_PLAN_DRAIN] = { GW_JOB_KIND_DRAIN, "Drain %s" },
        [GW_PLAN_UNDRAIN] = { GW_JOB_KIND_UNDRAIN, "Bring VMs back to %s" },
        [GW_PLAN_MOVES] = { GW_JOB_KIND_MOVES, "Move %s" },
        [GW_PLAN_BALANCE] = { GW_JOB_KIND_BALANCE, "Balance %s" },
    };
    const GwPlanRequest *request = apply->plan->request;
    const GwFabric *fabric = gw_engine_now(engine);
    g_autofree char *names = names_of(fabric, request->hosts);
    g_autofree char *vms =
        g_strdup_printf("%u VMs", apply->plan->moves != NULL ? apply->plan->moves->len : 0);
    const char *what = request->kind == (int)GW_PLAN_MOVES ? vms
                       : request->kind == (int)GW_PLAN_BALANCE && request->group != NULL
                           ? request->group
                           : names;
    GwJob *job = gw_jobs_new(engine, kinds[request->kind].kind, apply->user);
    GString *title = g_string_new(kinds[request->kind].title);

    g_string_replace(title, "%s", what, 1);
    job->title = g_string_free(title, FALSE);
    job->plan = gw_migration_plan_copy(apply->plan);
    for (guint i = 0; job->plan->moves != NULL && i < job->plan->moves->len; i++) {
        GwPlannedMove *move = job->plan->moves->pdata[i];
        move->state = GW_PLANNED_WAITING; /* whatever the file says */
        move->tries = 0;
        g_clear_pointer(&move->job_id, g_free);
        g_clear_pointer(&move->error, g_free);
    }
    return job;
}

/* Two plans for one host would undo each other's work. */
static gboolean is_alone(const GwFabric *fabric, const GwMigrationPlan *plan, GError **error)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (job->plan == NULL || job->plan->request == NULL ||
            gw_job_state_is_final((GwJobState)job->state))
            continue;
        char **hosts = job->plan->request->hosts;
        for (guint i = 0; plan->request->hosts != NULL && plan->request->hosts[i] != NULL; i++) {
            if (hosts == NULL ||
                !g_strv_contains((const char *const *)hosts, plan->request->hosts[i]))
                continue;
            gw_error_set(error, GW_ERR_CONFLICT, "Wait for it, or cancel it: godwit job list.",
                         "the job '%s' is under way for that host", job->title);
            return FALSE;
        }
    }
    return TRUE;
}

static void call_apply(GwEngine *engine, Call *call)
{
    const Apply *apply = call->in[0];
    const GwFabric *fabric = gw_engine_now(engine);
    GError *error = NULL;

    if (!check_plan(fabric, apply->plan, &error) || !is_alone(fabric, apply->plan, &error)) {
        gw_engine_answer(call, NULL, error);
        return;
    }
    gw_jobs_accept(engine, call, gw_batch_new(), new_job(engine, apply), NULL, NULL);
}

GwJob *gw_engine_apply_plan(GwEngine *engine, const GwMigrationPlan *plan, const char *user,
                            GError **error)
{
    Apply apply = { .plan = plan, .user = user };
    return gw_engine_call(engine, call_apply, &apply, NULL, NULL, NULL, error);
}

static void call_pause(GwEngine *engine, Call *call)
{
    GError *error = NULL;
    const GwJob *job = gw_fabric_find_job(gw_engine_now(engine), call->in[0], &error);
    GwJob *answer = NULL;

    if (job != NULL)
        answer = gw_plans_event(
            engine, job->id, call->in[1] != NULL ? GW_PLAN_JOB_PAUSE : GW_PLAN_JOB_RESUME, &error);
    gw_engine_answer(call, answer, error);
}

GwJob *gw_engine_pause_job(GwEngine *engine, const char *job, gboolean on, GError **error)
{
    return gw_engine_call(engine, call_pause, job, GINT_TO_POINTER(on ? 1 : 0), NULL, NULL, error);
}
