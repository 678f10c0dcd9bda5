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
    g_autoptr(GwPlanRequest) own = gw_plan_request_copy(request);
    g_free(own->as_of);
    own->as_of = own->kind == (int)GW_PLAN_BALANCE ? gw_engine_rfc3339(engine) : NULL;
    GwMigrationPlan *plan = gw_plan_many(fabric, own, predictor, error);

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

/* Where a VM is once an earlier move of the plan is done. */
static char *stop_of(const char *vm_uuid, const char *host_id)
{
    return g_strdup_printf("%s\n%s", vm_uuid, host_id);
}

/* @stops: where earlier moves of the plan take VMs. */
static gboolean check_move(const GwFabric *fabric, const GwPlannedMove *move, guint number,
                           GHashTable *stops, GError **error)
{
    if (move->after < 0 || move->after >= (gint64)number)
        return is_wrong(error, number, "comes after one that is not before it");
    if (gw_fabric_host(fabric, move->source_host_id) == NULL ||
        gw_fabric_host(fabric, move->destination_host_id) == NULL)
        return is_wrong(error, number, "names a host that is not managed");
    if (strcmp(move->source_host_id, move->destination_host_id) == 0)
        return is_wrong(error, number, "goes to the host that it is on");
    if (move->vm_uuid == NULL)
        return is_wrong(error, number, "names no VM");
    /* What a detour moves on is not at its second source yet. */
    g_autofree char *from = stop_of(move->vm_uuid, move->source_host_id);
    if (gw_fabric_vm(fabric, move->source_host_id, move->vm_uuid) == NULL &&
        !g_hash_table_contains(stops, from)) {
        gw_error_set(error, GW_ERR_CONFLICT, "Make the plan again.",
                     "move %u: '%s' is not on %s any more", number,
                     move->vm_name != NULL ? move->vm_name : "the VM",
                     gw_fabric_host(fabric, move->source_host_id)->name);
        return FALSE;
    }
    g_hash_table_add(stops, stop_of(move->vm_uuid, move->destination_host_id));
    return TRUE;
}

static gboolean check_kind(const GwMigrationPlan *plan, GError **error)
{
    if (plan->request == NULL)
        return is_wrong(error, 0, "the plan does not say what was asked for");
    if (plan->kind != plan->request->kind || plan->kind < 0 || plan->kind > (int)GW_PLAN_BALANCE)
        return is_wrong(error, 0, "the plan is not of the kind that was asked for");
    if (plan->moves == NULL)
        return is_wrong(error, 0, "the plan has no list of moves");
    if (plan->moves->len > GW_PLAN_VMS_MAX)
        return is_wrong(error, 0, "the plan has too many moves");
    return TRUE;
}

static gboolean check_plan(const GwFabric *fabric, const GwMigrationPlan *plan, GError **error)
{
    g_autoptr(GHashTable) stops = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    if (!check_kind(plan, error))
        return FALSE;
    for (guint i = 0; i < plan->moves->len; i++) {
        if (!check_move(fabric, plan->moves->pdata[i], i + 1, stops, error))
            return FALSE;
    }
    g_autofree char *now = gw_plan_fingerprint(fabric, plan);
    if (g_strcmp0(now, plan->fingerprint) == 0)
        return TRUE;
    gw_error_set(error, GW_ERR_CONFLICT, "Make the plan again, and look at what is different.",
                 "hosts, VMs or rules that the plan rests on have changed since it was made");
    return FALSE;
}

/* The hosts that the plan is for, by id: those that were named, or, for a drain that is taken back
 * without a word of hosts, those that get VMs back. They are left to no other plan meanwhile. */
static char **hosts_of(const GwFabric *fabric, const GwMigrationPlan *plan, GError **error)
{
    g_autoptr(GStrvBuilder) ids = g_strv_builder_new();
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    char **names = plan->request->hosts;
    gboolean named = names != NULL && names[0] != NULL;

    if (plan->kind == (int)GW_PLAN_BALANCE && !gw_balance_may_begin(fabric, plan, error))
        return NULL;
    for (guint i = 0; named && names[i] != NULL; i++) {
        const GwHost *host = gw_fabric_find_host(fabric, names[i]);
        if (host == NULL) {
            gw_error_set(error, GW_ERR_NOT_FOUND, "See the hosts: godwit host list.",
                         "there is no host '%s'", names[i]);
            return NULL;
        }
        if (g_hash_table_add(seen, host->id))
            g_strv_builder_add(ids, host->id);
    }
    for (guint i = 0; !named && plan->kind == (int)GW_PLAN_UNDRAIN && i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        if (!move->detour && g_hash_table_add(seen, move->destination_host_id))
            g_strv_builder_add(ids, move->destination_host_id);
    }
    return g_strv_builder_end(ids);
}

/* Carrying out ----------------------------------------------------------------------------------
 */

typedef struct {
    const GwMigrationPlan *plan;
    const char *user;
} Apply;

#define NAMES_SHOWN 3 /* of hosts, in a title */

static char *names_of(const GwFabric *fabric, char **hosts)
{
    GString *names = g_string_new(NULL);
    guint count = g_strv_length(hosts);

    for (guint i = 0; i < count && i < NAMES_SHOWN; i++)
        g_string_append_printf(names, "%s%s", i > 0 ? ", " : "",
                               gw_fabric_host(fabric, hosts[i])->name);
    if (count > NAMES_SHOWN)
        g_string_append_printf(names, " and %u more", count - NAMES_SHOWN);
    return g_string_free(names, FALSE);
}

/* @hosts: by id; stolen. */
static GwJob *new_job(GwEngine *engine, const Apply *apply, char **hosts)
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
    g_autofree char *names = names_of(fabric, hosts);
    g_autofree char *vms = g_strdup_printf("%u VMs", apply->plan->moves->len);
    const GwGroup *group =
        request->group != NULL ? gw_fabric_find_group(fabric, request->group) : NULL;
    const char *what = request->kind == (int)GW_PLAN_MOVES                      ? vms
                       : request->kind == (int)GW_PLAN_BALANCE && group != NULL ? group->name
                                                                                : names;
    GwJob *job = gw_jobs_new(engine, kinds[request->kind].kind, apply->user);
    GString *title = g_string_new(kinds[request->kind].title);

    g_string_replace(title, "%s", what, 1);
    job->title = g_string_free(title, FALSE);
    job->plan = gw_migration_plan_copy(apply->plan);
    g_strfreev(job->plan->request->hosts);
    job->plan->request->hosts = hosts;
    for (guint i = 0; i < job->plan->moves->len; i++) {
        GwPlannedMove *move = job->plan->moves->pdata[i];
        move->state = GW_PLANNED_WAITING; /* whatever the file says */
        move->tries = 0;
        g_clear_pointer(&move->job_id, g_free);
        g_clear_pointer(&move->error, g_free);
    }
    return job;
}

/* Whether the job, which is under way, is for one of the hosts. */
static gboolean is_for(const GwJob *job, char **hosts)
{
    char **own = job->plan->request->hosts;

    for (guint i = 0; own != NULL && own[i] != NULL; i++) {
        if (g_strv_contains((const char *const *)hosts, own[i]))
            return TRUE;
    }
    return FALSE;
}

/* Two plans for one host would undo each other's work. */
static gboolean is_alone(const GwFabric *fabric, char **hosts, GError **error)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (job->plan == NULL || job->plan->request == NULL ||
            gw_job_state_is_final((GwJobState)job->state) || !is_for(job, hosts))
            continue;
        gw_error_set(error, GW_ERR_CONFLICT, "Wait for it, or cancel it: godwit job list.",
                     "the job '%s' is under way for that host", job->title);
        return FALSE;
    }
    return TRUE;
}

static void call_apply(GwEngine *engine, Call *call)
{
    const Apply *apply = call->in[0];
    const GwFabric *fabric = gw_engine_now(engine);
    GError *error = NULL;
    g_auto(GStrv) hosts =
        check_plan(fabric, apply->plan, &error) ? hosts_of(fabric, apply->plan, &error) : NULL;

    if (hosts == NULL || !is_alone(fabric, hosts, &error)) {
        gw_engine_answer(call, NULL, error);
        return;
    }
    gw_jobs_accept(engine, call, gw_batch_new(), new_job(engine, apply, g_steal_pointer(&hosts)),
                   NULL, NULL);
}

GwJob *gw_engine_apply_plan(GwEngine *engine, const GwMigrationPlan *plan, const char *user,
                            GError **error)
{
    Apply apply = { .plan = plan, .user = user };
    return gw_engine_call(engine, call_apply, &apply, NULL, NULL, NULL, error);
}

void gw_plans_apply(GwEngine *engine, const GwMigrationPlan *plan, const char *user, CallOver over,
                    gpointer data)
{
    Apply apply = { .plan = plan, .user = user };
    gw_call_from_loop(engine, call_apply, &apply, over, data);
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
