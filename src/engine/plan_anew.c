/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/plans_internal.h"

/* What is left of a plan, planned anew. That may take a second for thousands of VMs, so it is done
 * on a thread of its own, over a picture that nobody changes. */

#define PATIENCE_US (30 * G_USEC_PER_SEC) /* with hosts that connect after a restart */

typedef struct {
    GwEngine *engine;
    GThread *thread; /* NULL: done on the loop */
    char *job_id;
    GwFabric *fabric;
    GwPlanRequest *request;
    GwMigrationPlan *plan;
} Planning;

/* Whether what the job found is not for ever: another job holds a VM that stays, or brings one to a
 * host that is to be empty. */
static gboolean is_held(GwEngine *engine, const PlanRun *run, const GwMigrationPlan *plan)
{
    const GwFabric *fabric = gw_engine_now(engine);
    const GwJob *self = run->self->job;
    char **hosts = self->plan->request->hosts;
    gboolean drain = self->plan->request->kind == (int)GW_PLAN_DRAIN && hosts != NULL;
    g_autoptr(GHashTable) stays = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTableIter iter;
    gpointer value;

    for (guint i = 0; plan->stays != NULL && i < plan->stays->len; i++) {
        const GwPlannedStay *stay = plan->stays->pdata[i];
        if (stay->vm_uuid != NULL)
            g_hash_table_add(stays, stay->vm_uuid);
    }
    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (gw_job_state_is_final((GwJobState)job->state) || job->vm_uuid == NULL ||
            g_strcmp0(job->part_of, self->id) == 0)
            continue;
        if (drain && job->destination_host_id != NULL &&
            g_strv_contains((const char *const *)hosts, job->destination_host_id))
            return TRUE;
        if (g_hash_table_contains(stays, job->vm_uuid))
            return TRUE;
    }
    return FALSE;
}

/* Takes @why; NULL: for nothing. */
static void show_waiting(GwEngine *engine, GwJob *job, char *why)
{
    gboolean same = g_strcmp0(job->waiting_for, why) == 0;

    g_free(job->waiting_for);
    job->waiting_for = why;
    if (!same)
        gw_jobs_show(engine, job);
}

static void take(GwEngine *engine, PlanRun *run, GwMigrationPlan *plan)
{
    gboolean held = is_held(engine, run, plan);

    gw_plans_step(engine, run,
                  (GwPlanJobEvent){ .kind = GW_PLAN_JOB_PLANNED, .plan = plan, .held = held });
    if (held && plan->moves->len == 0)
        show_waiting(engine, run->self->job, g_strdup("the job of another VM of these hosts"));
}

static void planned(GwEngine *engine, gpointer data)
{
    Planning *planning = data;
    PlanRun *run = gw_plans_find(engine, planning->job_id);

    if (planning->thread != NULL && g_hash_table_remove(engine->planners, planning->thread))
        g_thread_join(planning->thread);
    if (run != NULL && !gw_job_state_is_final((GwJobState)run->self->job->state))
        take(engine, run, planning->plan);
    gw_migration_plan_free(planning->plan);
    gw_plan_request_free(planning->request);
    gw_fabric_unref(planning->fabric);
    g_free(planning->job_id);
    g_free(planning);
}

/* A plan that cannot be made any more (a host was removed) leaves nothing to do. */
static void plan_now(Planning *planning)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwPredictor) predictor = gw_predictor_new(planning->fabric);
    char **vms = planning->request->vms;
    gboolean chosen = planning->request->kind == (int)GW_PLAN_MOVES ||
                      planning->request->kind == (int)GW_PLAN_BALANCE;
    gboolean moved = chosen && vms != NULL && vms[0] == NULL;

    if (!moved)
        planning->plan = gw_plan_many(planning->fabric, planning->request, predictor, &error);
    if (planning->plan != NULL)
        return;
    planning->plan = gw_migration_plan_new();
    planning->plan->moves = gw_record_array(&gw_planned_move_record);
    planning->plan->stays = gw_record_array(&gw_planned_stay_record);
    if (moved)
        return;
    GwPlannedStay *stay = gw_planned_stay_new();
    stay->vm_name = g_strdup("all that is left");
    stay->host_name = g_strdup("its host");
    stay->why = g_strdup(error->message);
    g_ptr_array_add(planning->plan->stays, stay);
}

static gpointer plan_thread(gpointer data)
{
    Planning *planning = data;

    plan_now(planning);
    gw_engine_post(planning->engine, planned, planning);
    return NULL;
}

/* The picture without what this plan itself still has to move: that is to be planned, and takes no
 * room beside it. */
static GwFabric *without_waiting(GwEngine *engine, const PlanRun *run)
{
    GwFabric *fabric = gw_fabric_next(engine->published);
    GwJob *job = gw_job_copy(run->self->job);
    GPtrArray *moves = job->plan->moves;

    for (guint i = moves != NULL ? moves->len : 0; i > 0; i--) {
        if (((GwPlannedMove *)moves->pdata[i - 1])->state == (int)GW_PLANNED_WAITING)
            g_ptr_array_remove_index(moves, i - 1);
    }
    gw_fabric_put_job(fabric, job);
    return fabric;
}

static gboolean has_left(const GwMigrationPlan *plan, const char *vm_uuid)
{
    for (guint i = 0; plan->moves != NULL && i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        gboolean begun = move->state == (int)GW_PLANNED_RUNNING ||
                         (move->state == (int)GW_PLANNED_DONE && !move->detour);
        if (begun && g_strcmp0(move->vm_uuid, vm_uuid) == 0)
            return TRUE;
    }
    return FALSE;
}

/* VMs that were chosen by hand, and have moved, are not to be moved on. */
static void leave_out_moved(const GwFabric *fabric, const GwMigrationPlan *plan,
                            GwPlanRequest *request)
{
    guint left = 0;

    for (guint i = 0; request->vms != NULL && request->vms[i] != NULL; i++) {
        char *name = request->vms[i];
        const GwVm *vm = gw_fabric_find_vm(fabric, name, NULL);
        request->vms[i] = NULL;
        if (has_left(plan, vm != NULL ? vm->uuid : name))
            g_free(name);
        else
            request->vms[left++] = name;
    }
}

static void begin_planning(GwEngine *engine, const PlanRun *run)
{
    Planning *planning = g_new0(Planning, 1);

    planning->engine = engine;
    planning->job_id = g_strdup(run->self->job->id);
    planning->fabric = without_waiting(engine, run);
    planning->request = gw_plan_request_copy(run->self->job->plan->request);
    if (planning->request->kind == (int)GW_PLAN_MOVES)
        leave_out_moved(planning->fabric, run->self->job->plan, planning->request);
    if (planning->request->kind == (int)GW_PLAN_BALANCE) {
        gw_balance_leave_rest(planning->fabric, run->self->job->plan, planning->request);
        g_free(planning->request->as_of);
        planning->request->as_of = gw_engine_rfc3339(engine);
    }
    if (gw_clock_is_virtual(engine->clock)) { /* the same order of events each time */
        plan_now(planning);
        gw_engine_post(engine, planned, planning);
        return;
    }
    planning->thread = g_thread_new("plan", plan_thread, planning);
    g_hash_table_add(engine->planners, planning->thread);
}

/* What a host that has not answered yet holds is not known: a plan without it would take a full
 * host for an empty one. The others are given up after a while, since a plan can do without them.
 */
static gboolean are_hosts_known(GwEngine *engine, const PlanRun *run, char **why)
{
    const GwPlanRequest *request = run->self->job->plan->request;
    gboolean patient =
        run->restarted_us != 0 && gw_clock_now_us(engine->clock) < run->restarted_us + PATIENCE_US;
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, gw_engine_now(engine)->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwHost *host = value;
        gboolean needed = request->kind == (int)GW_PLAN_DRAIN && request->hosts != NULL &&
                          g_strv_contains((const char *const *)request->hosts, host->id);
        if (gw_plans_is_answering(engine, host->id) ||
            (!needed && (!patient || host->status == (int)GW_HOST_NOT_RESPONDING)))
            continue;
        *why = g_strdup_printf("host '%s' to answer", host->name);
        return FALSE;
    }
    return TRUE;
}

void gw_plans_published(GwEngine *engine)
{
    g_autoptr(GPtrArray) runs = gw_plans_list(engine);

    for (guint i = 0; i < runs->len; i++) {
        PlanRun *run = runs->pdata[i];
        char *why = NULL;
        if (!run->wants_plan ||
            run->self->beginning > 0) /* whose VMs are not to be planned twice */
            continue;
        run->wants_plan = !are_hosts_known(engine, run, &why);
        show_waiting(engine, run->self->job, why);
        if (!run->wants_plan)
            begin_planning(engine, run);
    }
}

void gw_plans_stop(GwEngine *engine)
{
    GHashTableIter iter;
    gpointer thread;

    g_hash_table_iter_init(&iter, engine->planners);
    while (g_hash_table_iter_next(&iter, &thread, NULL)) {
        g_hash_table_iter_remove(&iter);
        g_thread_join(thread);
    }
}
