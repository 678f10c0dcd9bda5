/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/plans_internal.h"

/* Carrying out a plan that somebody reviewed, and perhaps changed: what it rests on must be as it
 * was, and what it does now is proven as the planner's own plans are. */

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

static gboolean check_form(const GwFabric *fabric, const GwMigrationPlan *plan, GError **error)
{
    g_autoptr(GHashTable) stops = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    if (!check_kind(plan, error))
        return FALSE;
    for (guint i = 0; i < plan->moves->len; i++) {
        if (!check_move(fabric, plan->moves->pdata[i], i + 1, stops, error))
            return FALSE;
    }
    return TRUE;
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
        if (move->detour || !g_hash_table_add(seen, move->destination_host_id))
            continue;
        if (gw_fabric_host(fabric, move->destination_host_id) == NULL) {
            gw_error_set(error, GW_ERR_CONFLICT, "Make the plan again.",
                         "a host that gets VMs back is not managed any more");
            return NULL;
        }
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
    g_clear_pointer(&job->plan->closed, g_strfreev);   /* nothing yet */
    g_clear_pointer(&job->plan->rests_on, g_strfreev); /* compared once */
    gw_plan_job_tally(job);
    return job;
}

/* Beside others ---------------------------------------------------------------------------------
 */

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

/* One of @vms (UUIDs) that the job moves, or still has to; NULL: there is none. */
static const char *shared_vm(const GwJob *job, GHashTable *vms)
{
    const GPtrArray *moves = job->plan->moves;

    for (guint i = 0; moves != NULL && i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        if ((move->state == (int)GW_PLANNED_WAITING || move->state == (int)GW_PLANNED_RUNNING) &&
            move->vm_uuid != NULL && g_hash_table_contains(vms, move->vm_uuid))
            return move->vm_name != NULL ? move->vm_name : move->vm_uuid;
    }
    return NULL;
}

/* Two plans for one host, or for one VM, would undo each other's work. */
static gboolean is_alone(const GwFabric *fabric, const GwMigrationPlan *plan, char **hosts,
                         GError **error)
{
    static const char remedy[] = "Wait for it, or cancel it: godwit job list.";
    g_autoptr(GHashTable) vms = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTableIter iter;
    gpointer value;

    for (guint i = 0; i < plan->moves->len; i++)
        g_hash_table_add(vms, ((GwPlannedMove *)plan->moves->pdata[i])->vm_uuid);
    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (job->plan == NULL || job->plan->request == NULL ||
            gw_job_state_is_final((GwJobState)job->state))
            continue;
        const char *vm = shared_vm(job, vms);
        if (is_for(job, hosts)) {
            gw_error_set(error, GW_ERR_CONFLICT, remedy, "the job '%s' is under way for that host",
                         job->title);
            return FALSE;
        }
        if (vm != NULL) {
            gw_error_set(error, GW_ERR_CONFLICT, remedy,
                         "the job '%s' is under way, and moves '%s' as well", job->title, vm);
            return FALSE;
        }
    }
    return TRUE;
}

/* Until the store has the job, nobody sees it: its hosts and VMs are kept (engine->accepting) from
 * another plan that is asked for meanwhile. The keys are none of a move's, which is a VM's UUID:
 * that one is held when the move begins, as ever. */
static GPtrArray *keys_of(const GwMigrationPlan *plan, char **hosts)
{
    GPtrArray *keys = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; hosts[i] != NULL; i++)
        g_ptr_array_add(keys, g_strdup_printf("host/%s", hosts[i]));
    for (guint i = 0; i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        g_ptr_array_add(keys, g_strdup_printf("plan/%s", move->vm_uuid));
        if (plan->kind != (int)GW_PLAN_BALANCE)
            continue;
        /* It names no hosts, and is for all that it moves between. */
        g_ptr_array_add(keys, g_strdup_printf("host/%s", move->source_host_id));
        g_ptr_array_add(keys, g_strdup_printf("host/%s", move->destination_host_id));
    }
    return keys;
}

static gboolean is_kept(GwEngine *engine, const GPtrArray *keys, const GwMigrationPlan *plan,
                        GError **error)
{
    for (guint i = 0; i < keys->len; i++) {
        const char *key = keys->pdata[i];
        if (!g_hash_table_contains(engine->accepting, key))
            continue;
        const char *id = strchr(key, '/') + 1;
        const GwPlannedMove *move =
            gw_record_find(&gw_planned_move_record, plan->moves, "vm_uuid", id);
        const GwHost *host = gw_fabric_host(gw_engine_now(engine), id);
        gw_error_set(error, GW_ERR_CONFLICT, "Wait for it, or cancel it: godwit job list.",
                     move != NULL ? "another plan that moves '%s' is being accepted"
                                  : "another plan for that host, '%s', is being accepted",
                     move != NULL && move->vm_name != NULL ? move->vm_name
                     : host != NULL                        ? host->name
                                                           : id);
        return TRUE;
    }
    for (guint i = 0; i < keys->len; i++)
        g_hash_table_add(engine->accepting, g_strdup(keys->pdata[i]));
    return FALSE;
}

static void let_go(GwEngine *engine, const GwJob *job, const GError *error, gpointer user)
{
    g_autoptr(GPtrArray) keys = user;

    (void)job;
    (void)error;
    for (guint i = 0; i < keys->len; i++)
        g_hash_table_remove(engine->accepting, keys->pdata[i]);
}

/* What was proven a moment ago, over another picture: that its hosts are managed, its VMs where
 * they were, and nothing else is under way for either, is looked at again. */
static void call_apply(GwEngine *engine, Call *call)
{
    const Apply *apply = call->in[0];
    const GwFabric *fabric = gw_engine_now(engine);
    GError *error = NULL;
    g_auto(GStrv) hosts =
        check_form(fabric, apply->plan, &error) ? hosts_of(fabric, apply->plan, &error) : NULL;
    g_autoptr(GPtrArray) keys = hosts != NULL ? keys_of(apply->plan, hosts) : NULL;

    if (hosts == NULL || !is_alone(fabric, apply->plan, hosts, &error) ||
        is_kept(engine, keys, apply->plan, &error)) {
        gw_engine_answer(call, NULL, error);
        return;
    }
    gw_jobs_accept(engine, call, gw_batch_new(), new_job(engine, apply, g_steal_pointer(&hosts)),
                   let_go, g_steal_pointer(&keys));
}

/* What somebody changed ---------------------------------------------------------------------- */

/* Nothing of it has begun, whatever the file says. */
static void begin_anew(GwMigrationPlan *plan)
{
    for (guint i = 0; plan->moves != NULL && i < plan->moves->len; i++) {
        GwPlannedMove *move = plan->moves->pdata[i];
        move->state = GW_PLANNED_WAITING;
        move->tries = 0;
        g_clear_pointer(&move->job_id, g_free);
        g_clear_pointer(&move->error, g_free);
        move->timed_out = FALSE;
    }
}

/* What people are shown is what the ids mean, whatever the file says. */
static void name_anew(const GwFabric *fabric, GwMigrationPlan *plan)
{
    for (guint i = 0; i < plan->moves->len; i++) {
        GwPlannedMove *move = plan->moves->pdata[i];
        const GwVm *vm = gw_fabric_find_vm(fabric, move->vm_uuid, NULL);
        g_free(move->source_host_name);
        g_free(move->destination_host_name);
        move->source_host_name = g_strdup(gw_fabric_host(fabric, move->source_host_id)->name);
        move->destination_host_name =
            g_strdup(gw_fabric_host(fabric, move->destination_host_id)->name);
        if (vm == NULL)
            continue;
        g_free(move->vm_name);
        move->vm_name = g_strdup(vm->name);
    }
}

/* A move that somebody left out is not made by the plan's job either, which makes a plan of what is
 * left by the request alone: the VMs that the plan rests on, and does not move. */
static void leave_out(GwMigrationPlan *plan)
{
    g_autoptr(GStrvBuilder) leave = g_strv_builder_new();
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < plan->moves->len; i++)
        g_hash_table_add(seen, ((GwPlannedMove *)plan->moves->pdata[i])->vm_uuid);
    for (guint i = 0; plan->rests_on != NULL && plan->rests_on[i] != NULL; i++) {
        g_auto(GStrv) words = g_strsplit(plan->rests_on[i], " ", 3);
        if (words[0] != NULL && words[1] != NULL && strcmp(words[0], "vm") == 0 &&
            !g_hash_table_contains(seen, words[1]))
            g_strv_builder_add(leave, words[1]);
    }
    if (plan->request->leave != NULL)
        g_strv_builder_addv(leave, (const char **)plan->request->leave);
    g_strfreev(plan->request->leave);
    plan->request->leave = g_strv_builder_end(leave);
}

/* As it stands; or, where somebody changed its order, with times that fit it. */
static gboolean prove(const GwFabric *fabric, GwMigrationPlan *plan, GError **error)
{
    if (gw_plan_many_check(fabric, plan, NULL))
        return TRUE;
    gw_plan_many_retime(fabric, plan);
    return gw_plan_many_check(fabric, plan, error);
}

static gboolean check(const GwFabric *fabric, GwMigrationPlan *plan, GError **error)
{
    if (!check_form(fabric, plan, error))
        return FALSE;
    name_anew(fabric, plan);
    g_auto(GStrv) hosts = hosts_of(fabric, plan, error);

    /* What is under way for a host changes it: that is what to say. */
    if (hosts == NULL || !is_alone(fabric, plan, hosts, error) ||
        !gw_plan_check_drift(fabric, plan, error) || !gw_plan_many_asked(fabric, plan, error) ||
        !prove(fabric, plan, error))
        return FALSE;
    leave_out(plan);
    return TRUE;
}

gboolean gw_plans_prove(const GwFabric *fabric, GwMigrationPlan *plan, GError **error)
{
    begin_anew(plan);
    return check(fabric, plan, error);
}

/* It is proven on the caller's thread, over a picture: thousands of moves take a second. What
 * changes until the loop takes it is as what changes right after: its moves are checked on fresh
 * facts when they begin, and what is left is planned anew. */
GwJob *gw_engine_apply_plan(GwEngine *engine, const GwMigrationPlan *plan, const char *user,
                            GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    g_autoptr(GwMigrationPlan) proven = gw_migration_plan_copy(plan);
    Apply apply = { .plan = proven, .user = user };

    return gw_plans_prove(fabric, proven, error)
               ? gw_engine_call(engine, call_apply, &apply, NULL, NULL, NULL, error)
               : NULL;
}

void gw_plans_apply(GwEngine *engine, const GwMigrationPlan *plan, const char *user, CallOver over,
                    gpointer data)
{
    Apply apply = { .plan = plan, .user = user };
    gw_call_from_loop(engine, call_apply, &apply, over, data);
}
