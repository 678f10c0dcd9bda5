/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/moves_internal.h"
#include "engine/plans_internal.h"
#include "plan/rule.h"

/* Jobs that carry out a plan of many moves: which of them begin now, and what became of them.
 * What is decided is in job/plan_job; what is left is planned anew in plan_anew.c. */

#define DRIFT_AGAIN_US (5 * G_USEC_PER_SEC)

/* So that the whole shows progress while large VMs are on their way. */
static gint64 sent_bytes(GwEngine *engine, const PlanRun *run)
{
    const GPtrArray *moves = run->self->job->plan->moves;
    gint64 sum = 0;

    for (guint i = 0; moves != NULL && i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        if (move->state != (int)GW_PLANNED_RUNNING || move->job_id == NULL)
            continue;
        const GwJob *child = gw_fabric_find_job(gw_engine_now(engine), move->job_id, NULL);
        if (child != NULL && child->progress != NULL &&
            !gw_job_state_is_final((GwJobState)child->state))
            sum += MIN(MAX(child->progress->processed_bytes, 0), MAX(move->bytes, 0));
    }
    return sum;
}

static gboolean step(GwEngine *engine, PlanRun *run, GwPlanJobEvent event, GError **error)
{
    GwLifeOutcome outcome;

    run->self->sent_bytes = sent_bytes(engine, run);
    run->self->must_wait = gw_plans_is_closing_changed(engine, run);
    event.now_us = gw_clock_now_us(engine->clock);
    event.wall_us = gw_clock_wall_us(engine->clock);
    if (!gw_plan_job_step(run->self, &event, &outcome, error))
        return FALSE;
    gw_jobs_follow(engine, &run->base, &outcome, event.now_us, event.wall_us);
    return TRUE;
}

void gw_plans_step(GwEngine *engine, PlanRun *run, GwPlanJobEvent event)
{
    g_autoptr(GError) late = NULL;

    if (!step(engine, run, event, &late))
        g_debug("job %s: %s", run->self->job->id, late->message);
}

/* Moves ---------------------------------------------------------------------------------------- */

static GPtrArray *moves_of(const PlanRun *run)
{
    return run->self->job->plan->moves;
}

/* The move of that VM that is in @state; its index in *@index. */
static const GwPlannedMove *find_move(const PlanRun *run, const char *vm_uuid, GwPlannedState state,
                                      guint *index)
{
    const GPtrArray *moves = moves_of(run);

    for (guint i = 0; moves != NULL && i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        if (move->state != (int)state || g_strcmp0(move->vm_uuid, vm_uuid) != 0)
            continue;
        *index = i;
        return move;
    }
    return NULL;
}

typedef struct {
    char *job_id; /* the plan's */
    char *vm_uuid;
} Beginning;

static void begun(GwEngine *engine, const GwJob *child, const GError *error, gpointer user)
{
    Beginning *beginning = user;
    PlanRun *run = gw_plans_find(engine, beginning->job_id);
    guint index = 0;

    if (run != NULL) {
        g_hash_table_remove(run->beginning, beginning->vm_uuid);
        run->self->beginning = g_hash_table_size(run->beginning);
        engine->schedule = TRUE;
        const GwPlannedMove *move = find_move(run, beginning->vm_uuid, GW_PLANNED_WAITING, &index);
        if (move != NULL && child != NULL)
            gw_plans_step(
                engine, run,
                (GwPlanJobEvent){ .kind = GW_PLAN_JOB_BEGUN, .move = index, .job_id = child->id });
        else if (child != NULL) /* planned anew meanwhile, without it */
            gw_plan_job_adopt(run->self, child);
        else if (move != NULL)
            gw_plans_step(
                engine, run,
                (GwPlanJobEvent){ .kind = GW_PLAN_JOB_REFUSED, .move = index, .error = error });
    }
    g_free(beginning->job_id);
    g_free(beginning->vm_uuid);
    g_free(beginning);
}

/* Whether both ends have slots for it now; what waits for some has its place in the plan. */
static gboolean has_slots(GwEngine *engine, const PlanRun *run, const GwPlannedMove *move)
{
    GwJob would_be = { .id = run->self->job->id,
                       .state = GW_JOB_QUEUED,
                       .transfer = move->transfer,
                       .source_host_id = move->source_host_id,
                       .destination_host_id = move->destination_host_id };

    return gw_slots_fit(gw_engine_now(engine), &would_be, NULL);
}

gboolean gw_plans_is_answering(GwEngine *engine, const char *host_id)
{
    const HostRun *host = g_hash_table_lookup(engine->hosts, host_id);
    return host == NULL || host->listed;
}

static void begin(GwEngine *engine, PlanRun *run, const GwPlannedMove *move)
{
    const GwJob *job = run->self->job;
    const GwPlanRequest *request = job->plan->request;
    Beginning *beginning = g_new0(Beginning, 1);
    g_autoptr(GwMoveOptions) options = request != NULL && request->options != NULL
                                           ? gw_move_options_copy(request->options)
                                           : gw_move_options_new();

    if (move->storage != NULL) {
        g_free(options->storage);
        options->storage = g_strdup(move->storage);
    }
    beginning->job_id = g_strdup(job->id);
    beginning->vm_uuid = g_strdup(move->vm_uuid);
    g_hash_table_add(run->beginning, g_strdup(move->vm_uuid));
    run->self->beginning = g_hash_table_size(run->beginning);
    gw_moves_begin_part(engine,
                        &(BeginPart){ .vm_uuid = move->vm_uuid,
                                      .source_host_id = move->source_host_id,
                                      .destination_host_id = move->destination_host_id,
                                      .options = options,
                                      .part_of = job->id,
                                      .user = job->user },
                        begun, beginning);
}

/* One that is being begun takes slots when the queue has seen it, so of each host one at a time.
 * One that the queue has seen and that waits for something (it says for what) is in nobody's way.
 */
static gboolean is_beginning(GwEngine *engine, const PlanRun *run, const GwPlannedMove *move)
{
    if (move->state != (int)GW_PLANNED_RUNNING)
        return g_hash_table_contains(run->beginning, move->vm_uuid);
    const GwJob *child = gw_fabric_find_job(gw_engine_now(engine), move->job_id, NULL);
    /* None: it was accepted just now, and is shown when this is over. */
    return child == NULL || (child->state == (int)GW_JOB_QUEUED && child->waiting_for == NULL);
}

static gboolean is_beginning_at(GwEngine *engine, const PlanRun *run, const char *host_id)
{
    const GPtrArray *moves = moves_of(run);

    for (guint i = 0; i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        if ((g_strcmp0(move->source_host_id, host_id) == 0 ||
             g_strcmp0(move->destination_host_id, host_id) == 0) &&
            is_beginning(engine, run, move))
            return TRUE;
    }
    return FALSE;
}

/* A move that began is queued until its preflight on fresh facts is over; then it holds its slots.
 * Begun one after the other at each host, no more begin than there are slots. */
static void do_begin(GwEngine *engine, PlanRun *run)
{
    GPtrArray *moves = moves_of(run);

    for (guint i = 0; moves != NULL && i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        if (!gw_plan_job_is_ready(run->self, i) ||
            gw_fabric_job_of_vm(gw_engine_now(engine), move->vm_uuid) != NULL ||
            is_beginning_at(engine, run, move->source_host_id) ||
            is_beginning_at(engine, run, move->destination_host_id) ||
            /* What does not answer just now must not cost the move one of its tries. */
            !gw_plans_is_answering(engine, move->source_host_id) ||
            !gw_plans_is_answering(engine, move->destination_host_id) ||
            !has_slots(engine, run, move) ||
            !gw_plan_move_ready_from(run->self->job->plan, run->self->history, i, run->beginning,
                                     NULL))
            continue;
        begin(engine, run, move);
    }
}

static void do_cancel(GwEngine *engine, PlanRun *run)
{
    const GPtrArray *moves = moves_of(run);

    for (guint i = 0; moves != NULL && i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        const GwJob *child = gw_fabric_find_job(gw_engine_now(engine), move->job_id, NULL);
        if (move->state == (int)GW_PLANNED_RUNNING && child != NULL && !child->cancel_requested)
            gw_moves_cancel(engine, move->job_id);
    }
}

static void carry_out(GwEngine *engine, JobRun *base, guint effect, JobDecision decided)
{
    PlanRun *run = (PlanRun *)base;

    (void)decided; /* what begins is checked on fresh facts anyway */
    switch ((GwPlanJobDo)effect) {
    case GW_PLAN_JOB_DO_BEGIN: /* by gw_plans_schedule, after a look at whether the plan holds */
        engine->schedule = TRUE;
        break;
    case GW_PLAN_JOB_DO_PLAN:
        run->wants_plan = TRUE;
        break;
    case GW_PLAN_JOB_DO_CANCEL:
        do_cancel(engine, run);
        break;
    case GW_PLAN_JOB_DO_FINISH: /* what it was to leave is durable with its end */
        break;
    case GW_PLAN_JOB_DO_COUNT:
        break;
    }
}

/* News ------------------------------------------------------------------------------------------
 */

static GError *error_of(const GwJob *child)
{
    GError *error = NULL;
    const GwJobError *said = child->error;

    gw_error_set(&error, said != NULL ? gw_error_code_from_word(said->code) : GW_ERR_OPERATION,
                 said != NULL ? said->remedy : NULL, "%s",
                 said != NULL ? said->message : "it was cancelled");
    return error;
}

/* Whether the move with that index is over by its own job; *@error: how it failed. */
static gboolean is_over(GwEngine *engine, const GwPlannedMove *move, GError **error)
{
    if (move->state != (int)GW_PLANNED_RUNNING)
        return FALSE;
    const GwJob *child = gw_fabric_find_job(gw_engine_now(engine), move->job_id, NULL);
    if (child == NULL) { /* so old that it is not remembered */
        gw_error_set(error, GW_ERR_NOT_FOUND, NULL, "its job is not remembered");
        return TRUE;
    }
    if (!gw_job_state_is_final((GwJobState)child->state))
        return FALSE;
    if (child->state != (int)GW_JOB_DONE)
        *error = error_of(child);
    return TRUE;
}

static void look_at_moves(GwEngine *engine, PlanRun *run)
{
    /* A step may make another list of moves. */
    for (guint i = 0; moves_of(run) != NULL && i < moves_of(run)->len; i++) {
        g_autoptr(GError) error = NULL;
        if (is_over(engine, moves_of(run)->pdata[i], &error))
            gw_plans_step(engine, run,
                          (GwPlanJobEvent){ .kind = GW_PLAN_JOB_ENDED, .move = i, .error = error });
    }
}

/* A move that waits in the queue for a host which is gone would wait as long as that is: another
 * host may take its VM. */
static void cancel_stranded(GwEngine *engine, const PlanRun *run)
{
    const GwFabric *fabric = gw_engine_now(engine);
    const GPtrArray *moves = moves_of(run);

    for (guint i = 0; moves != NULL && i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        const GwHost *to = gw_fabric_host(fabric, move->destination_host_id);
        if (move->state != (int)GW_PLANNED_RUNNING || to == NULL ||
            to->status != (int)GW_HOST_NOT_RESPONDING)
            continue;
        const GwJob *child = gw_fabric_find_job(fabric, move->job_id, NULL);
        if (child != NULL && child->state == (int)GW_JOB_QUEUED)
            gw_moves_cancel(engine, child->id);
    }
}

static gboolean is_live_transfer(const GwPlannedMove *move)
{
    return move->transfer == (int)GW_TRANSFER_LIVE || move->transfer == (int)GW_TRANSFER_LIVE_VSM;
}

/* What was planned for a VM that is not there any more, or moves by another's hand, does not hold.
 * The rest (room, rules) is checked on fresh facts when the move begins. */
static GError *drift_of(GwEngine *engine, const PlanRun *run)
{
    const GwFabric *fabric = gw_engine_now(engine);
    const GPtrArray *moves = moves_of(run);
    GError *error = NULL;

    for (guint i = 0; moves != NULL && i < moves->len && error == NULL; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        if (move->state != (int)GW_PLANNED_WAITING || move->after > 0)
            continue;
        const GwHost *destination = gw_fabric_host(fabric, move->destination_host_id);
        const GwVm *vm = gw_fabric_vm(fabric, move->source_host_id, move->vm_uuid);
        if (vm == NULL)
            gw_error_set(&error, GW_ERR_CONFLICT, NULL, "'%s' is not on %s any more", move->vm_name,
                         move->source_host_name);
        else if (gw_plan_is_live(vm) != is_live_transfer(move))
            gw_error_set(&error, GW_ERR_CONFLICT, NULL, "'%s' was %s since", move->vm_name,
                         gw_plan_is_live(vm) ? "started" : "shut down");
        else if (destination == NULL || destination->status == (int)GW_HOST_NOT_RESPONDING ||
                 destination->maintenance != (int)GW_MAINTENANCE_NONE)
            gw_error_set(&error, GW_ERR_CONFLICT, NULL, "%s takes no VMs any more",
                         move->destination_host_name);
    }
    return error;
}

/* What drift_of finds the planner heeds, so the next plan does not have it. Should that ever not be
 * so, the controller must not do nothing else any more: the same is not answered at once again. */
static gboolean is_answered(GwEngine *engine, PlanRun *run, const GError *drift)
{
    gint64 now_us = gw_clock_now_us(engine->clock);

    if (g_strcmp0(run->drift, drift->message) == 0 && now_us - run->drifted_us < DRIFT_AGAIN_US)
        return TRUE;
    g_free(run->drift);
    run->drift = g_strdup(drift->message);
    run->drifted_us = now_us;
    return FALSE;
}

void gw_plans_schedule(GwEngine *engine)
{
    g_autoptr(GPtrArray) runs = gw_plans_list(engine);

    for (guint i = 0; i < runs->len; i++) {
        PlanRun *run = runs->pdata[i];
        if (run->self->job->state != (int)GW_JOB_COPYING)
            continue;
        look_at_moves(engine, run);
        if (run->self->job->cancel_requested) {
            do_cancel(engine, run); /* also what was being begun when that was asked */
            if (run->self->must_wait && !gw_plans_is_closing_changed(engine, run))
                gw_plans_step(engine, run, (GwPlanJobEvent){ .kind = GW_PLAN_JOB_TIMER });
            continue;
        }
        cancel_stranded(engine, run);
        if (run->self->planning || run->self->job->pause_requested)
            continue;
        g_autoptr(GError) drift = drift_of(engine, run);
        if (drift == NULL)
            do_begin(engine, run);
        else if (!is_answered(engine, run, drift))
            gw_plans_step(engine, run,
                          (GwPlanJobEvent){ .kind = GW_PLAN_JOB_DRIFTED, .error = drift });
    }
}

/* As a kind of job ------------------------------------------------------------------------------
 */

static void run_free(JobRun *base)
{
    PlanRun *run = (PlanRun *)base;

    gw_plan_job_free(run->self);
    g_hash_table_unref(run->beginning);
    g_free(run->drift);
    g_free(run);
}

static void begin_plan(GwEngine *engine, JobRun *base)
{
    PlanRun *run = (PlanRun *)base;

    g_clear_pointer(&run->self->job->waiting_for, g_free);
    gw_plans_step(engine, run, (GwPlanJobEvent){ .kind = GW_PLAN_JOB_BEGIN });
}

static int by_id(gconstpointer a, gconstpointer b)
{
    return strcmp((*(GwJob *const *)a)->id, (*(GwJob *const *)b)->id);
}

/* Its moves' jobs that are remembered, the oldest first: of a VM that made a detour the first move
 * says where it came from. Borrowed. */
static GPtrArray *list_children(GwEngine *engine, const char *job_id)
{
    GPtrArray *children = g_ptr_array_new();
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, gw_engine_now(engine)->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (g_strcmp0(((GwJob *)value)->part_of, job_id) == 0)
            g_ptr_array_add(children, value);
    }
    g_ptr_array_sort(children, by_id);
    return children;
}

static void name_host(GwEngine *engine, char **name, const char *host_id)
{
    const GwHost *host = gw_fabric_host(gw_engine_now(engine), host_id);

    if (*name == NULL && host != NULL)
        *name = g_strdup(host->name);
}

static void restart(GwEngine *engine, JobRun *base)
{
    PlanRun *run = (PlanRun *)base;
    g_autoptr(GPtrArray) children = list_children(engine, base->job->id);

    for (guint i = 0; i < children->len; i++)
        gw_plan_job_adopt(run->self, children->pdata[i]);
    for (guint i = 0; moves_of(run) != NULL && i < moves_of(run)->len; i++) {
        GwPlannedMove *move = moves_of(run)->pdata[i]; /* a job knows no names */
        name_host(engine, &move->source_host_name, move->source_host_id);
        name_host(engine, &move->destination_host_name, move->destination_host_id);
    }
    /* What is durable with its begin is so already, and a person may have said otherwise since. */
    run->maintained = run->self->job->state != (int)GW_JOB_QUEUED;
    run->restarted_us = gw_clock_now_us(engine->clock);
    gw_plans_step(engine, run, (GwPlanJobEvent){ .kind = GW_PLAN_JOB_RESTART });
}

static void host_back(GwEngine *engine, JobRun *run)
{
    (void)run;
    engine->schedule = TRUE;
}

static gint64 next_us(const JobRun *run)
{
    return gw_plan_job_next_us(((const PlanRun *)run)->self);
}

static void timers(GwEngine *engine, JobRun *base, gint64 now_us)
{
    PlanRun *run = (PlanRun *)base;
    gint64 due = next_us(base);

    if (due == 0 || due > now_us)
        return;
    gw_plans_step(engine, run, (GwPlanJobEvent){ .kind = GW_PLAN_JOB_TIMER });
    engine->schedule = TRUE;
}

static const JobKind plan_kind = {
    .rank = 2,
    .free = run_free,
    .restart = restart,
    .waits = gw_plans_waits,
    .begin = begin_plan,
    .host_back = host_back,
    .record = gw_plans_record,
    .carry_out = carry_out,
    .next_us = next_us,
    .timers = timers,
};

PlanRun *gw_plans_find(GwEngine *engine, const char *job_id)
{
    return (PlanRun *)gw_jobs_find_of(engine, job_id, &plan_kind);
}

GPtrArray *gw_plans_list(GwEngine *engine)
{
    GPtrArray *list = gw_jobs_list(engine);

    for (guint i = list->len; i > 0; i--) {
        if (((JobRun *)list->pdata[i - 1])->kind != &plan_kind)
            g_ptr_array_remove_index(list, i - 1);
    }
    return list;
}

gboolean gw_plans_is_kind(const char *kind)
{
    static const char *const kinds[] = { GW_JOB_KIND_DRAIN, GW_JOB_KIND_UNDRAIN, GW_JOB_KIND_MOVES,
                                         GW_JOB_KIND_BALANCE, NULL };
    return kind != NULL && g_strv_contains(kinds, kind);
}

void gw_plans_restore(GwEngine *engine, GwJob *job)
{
    PlanRun *run = g_new0(PlanRun, 1);

    if (job->plan == NULL)
        job->plan = gw_migration_plan_new();
    if (job->plan->request == NULL)
        job->plan->request = gw_plan_request_new();
    run->self = gw_plan_job_new(job, gw_clock_now_us(engine->clock));
    run->beginning = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    gw_jobs_add(engine, &run->base, &plan_kind, job);
}

GwJob *gw_plans_event(GwEngine *engine, const char *job_id, GwPlanJobEventKind kind, GError **error)
{
    PlanRun *run = gw_plans_find(engine, job_id);

    if (run == NULL) {
        gw_error_set(error, GW_ERR_CONFLICT, "Look at it: godwit job show.",
                     "the job is over, or carries out no plan");
        return NULL;
    }
    if (!step(engine, run, (GwPlanJobEvent){ .kind = kind }, error))
        return NULL;
    engine->schedule = TRUE;
    return gw_job_copy(run->self->job);
}
