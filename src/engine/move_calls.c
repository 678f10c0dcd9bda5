/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/moves_internal.h"
#include "engine/works_internal.h"

/* Moves as persons ask for them: dry runs, candidates, beginning one, and what can be said to one
 * that is under way. */

/* Resolves the VM and the destination that a person named. */
static gboolean resolve(GwEngine *engine, const char *vm_name, const char *host_name,
                        const GwVm **vm, const GwHost **host, GError **error)
{
    *vm = gw_fabric_find_vm(gw_engine_now(engine), vm_name, error);
    if (*vm == NULL)
        return FALSE;
    *host = gw_engine_find_host(engine, host_name, error);
    return *host != NULL;
}

static void planned(GwEngine *engine, CheckResult *result, gpointer user)
{
    (void)engine;
    /* A dry run shows a refusal as the plan's findings; only what could not be asked is an error.
     */
    if (result->plan != NULL)
        gw_engine_answer(user, g_steal_pointer(&result->plan), NULL);
    else
        gw_engine_answer(user, NULL, g_steal_pointer(&result->error));
}

static void plan_now(GwEngine *engine, gpointer user)
{
    Call *call = user;
    const GwMoveRequest *request = call->in[1];
    const GwVm *vm;
    const GwHost *host;
    GError *error = NULL;

    if (!resolve(engine, call->in[0], request->destination, &vm, &host, &error)) {
        gw_engine_answer(call, NULL, error);
        return;
    }
    gw_check_begin(engine, vm->uuid, vm->host_id, host->id, request->options, NULL, planned, call);
}

/* Who asks what a move would be waits for the sample that the prediction wants; who asks for the
 * move does not. */
static void call_plan(GwEngine *engine, Call *call)
{
    const GwVm *vm = gw_fabric_find_vm(gw_engine_now(engine), call->in[0], NULL);

    if (vm != NULL)
        gw_dirty_sample(engine, vm, plan_now, call);
    else
        plan_now(engine, call);
}

GwMovePlan *gw_engine_plan_move(GwEngine *engine, const char *vm, const GwMoveRequest *request,
                                GError **error)
{
    g_autoptr(GwMoveRequest) chosen = gw_placement_choose(engine, vm, request, error);

    return chosen != NULL ? gw_engine_call(engine, call_plan, vm, chosen, NULL, NULL, error) : NULL;
}

/* One that is off is moved by tasks alone, and so is storage within its host (works.c). */
static const char *kind_of(int transfer)
{
    gboolean live = transfer == (int)GW_TRANSFER_LIVE || transfer == (int)GW_TRANSFER_LIVE_VSM;

    if (transfer == (int)GW_TRANSFER_STORAGE)
        return GW_JOB_KIND_STORAGE;
    return live ? GW_JOB_KIND_MIGRATE : GW_JOB_KIND_TRANSFER;
}

static GwJob *new_job(GwEngine *engine, const CheckResult *check, const BeginMove *begin)
{
    const GwMoveOptions *options = begin->request->options;
    const GwMovePlan *plan = check->plan;
    const GwHost *source = gw_fabric_host(gw_engine_now(engine), plan->source_host_id);
    GwJob *job = gw_jobs_new(engine, kind_of(plan->candidate->transfer), begin->user);

    job->title = plan->candidate->transfer == (int)GW_TRANSFER_STORAGE
                     ? g_strdup_printf("Move storage of %s on %s", plan->vm_name, source->name)
                     : g_strdup_printf("Migrate %s from %s to %s", plan->vm_name, source->name,
                                       plan->candidate->host_name);
    job->vm_uuid = g_strdup(plan->vm_uuid);
    job->vm_name = g_strdup(plan->vm_name);
    job->source_host_id = g_strdup(plan->source_host_id);
    job->destination_host_id = g_strdup(plan->candidate->host_id);
    job->transfer = plan->candidate->transfer;
    job->options = options != NULL ? gw_move_options_copy(options) : gw_move_options_new();
    job->undoes = g_strdup(begin->undoes);
    job->vm_persistent = check->vm->persistent;
    job->vm_autostart = check->vm->autostart;
    job->vm_memory_kib = check->vm->max_memory_kib;
    return job;
}

static void checked(GwEngine *engine, CheckResult *result, gpointer user)
{
    Call *call = user;

    if (result->error != NULL) {
        call->extra = g_steal_pointer(&result->plan);
        gw_engine_answer(call, NULL, g_steal_pointer(&result->error));
        return;
    }
    if (!g_hash_table_add(engine->accepting, g_strdup(result->vm->uuid))) {
        GError *error = NULL;
        gw_error_set(&error, GW_ERR_CONFLICT, "Wait for that job, or cancel it.",
                     "another move of '%s' is being accepted", result->vm->name);
        gw_engine_answer(call, NULL, error);
        return;
    }
    GwBatch *batch = gw_batch_new();
    GwJob *job = new_job(engine, result, call->in[0]);
    job->epoch = gw_moves_next_epoch(engine, job->vm_uuid, batch);
    gw_jobs_accept(engine, call, batch, job, NULL, NULL);
}

static void call_migrate(GwEngine *engine, Call *call)
{
    const BeginMove *begin = call->in[0];
    const GwMoveRequest *request = begin->request;
    const GwVm *vm;
    const GwHost *host;
    GError *error = NULL;

    if (!resolve(engine, begin->vm, request->destination, &vm, &host, &error)) {
        gw_engine_answer(call, NULL, error);
        return;
    }
    gw_check_begin(engine, vm->uuid, vm->host_id, host->id, request->options, NULL, checked, call);
}

GwJob *gw_moves_begin(GwEngine *engine, const BeginMove *begin, GwMovePlan **plan, GError **error)
{
    gpointer refused = NULL;
    GwJob *job = gw_engine_call(engine, call_migrate, begin, NULL, NULL, &refused, error);

    if (plan != NULL)
        *plan = refused;
    else
        gw_move_plan_free(refused);
    return job;
}

GwJob *gw_engine_migrate(GwEngine *engine, const char *vm, const GwMoveRequest *request,
                         const char *user, GwMovePlan **plan, GError **error)
{
    g_autoptr(GwMoveRequest) chosen = gw_placement_choose(engine, vm, request, error);
    BeginMove begin = { .vm = vm, .request = chosen, .user = user };

    if (plan != NULL)
        *plan = NULL;
    return chosen != NULL ? gw_moves_begin(engine, &begin, plan, error) : NULL;
}

static void call_candidates(GwEngine *engine, Call *call)
{
    GError *error = NULL;
    const GwVm *vm = gw_fabric_find_vm(gw_engine_now(engine), call->in[0], &error);

    if (vm == NULL)
        gw_engine_answer(call, NULL, error);
    else
        gw_engine_answer(call, gw_plan_candidates(gw_engine_now(engine), vm, call->in[1]), NULL);
}

GPtrArray *gw_engine_candidates(GwEngine *engine, const char *vm, const GwMoveOptions *options,
                                GError **error)
{
    return gw_engine_call(engine, call_candidates, vm, options, NULL, NULL, error);
}

/* Persons' events -------------------------------------------------------------------------- */

static MoveRun *find_move(GwEngine *engine, const char *which, GError **error)
{
    const GwJob *job = gw_fabric_find_job(gw_engine_now(engine), which, error);
    if (job == NULL)
        return NULL;

    MoveRun *run = gw_moves_find(engine, job->id);
    if (run == NULL)
        gw_error_set(error, GW_ERR_CONFLICT, "Nothing is left to do.", "the job is already %s",
                     gw_enum_word(&gw_job_state_enum, job->state));
    return run;
}

static void take_change(GwMoveOptions *options, const GwJobChange *change)
{
    if (change->bandwidth_mibps >= 0)
        options->bandwidth_mibps = change->bandwidth_mibps;
    if (change->max_downtime_ms >= 0)
        options->max_downtime_ms = change->max_downtime_ms;
}

/* A job of tasks knows fewer of them. */
static void work_event(GwEngine *engine, Call *call, const char *job_id)
{
    GwMoveEventKind kind = (GwMoveEventKind)GPOINTER_TO_INT(call->in[1]);
    GError *error = NULL;
    GwJob *job = NULL;

    if (kind == GW_MOVE_CANCEL || kind == GW_MOVE_CHANGE)
        job =
            gw_works_event(engine, job_id, kind == GW_MOVE_CANCEL ? GW_WORK_CANCEL : GW_WORK_CHANGE,
                           call->in[2], &error);
    else
        gw_error_set(&error, GW_ERR_CONFLICT, "Look at it: godwit job show.",
                     "'%s' is for live moves; this job's VM is not one", gw_move_event_word(kind));
    gw_engine_answer(call, job, error);
}

static void call_event(GwEngine *engine, Call *call)
{
    GwMoveEventKind kind = (GwMoveEventKind)GPOINTER_TO_INT(call->in[1]);
    const GwJobChange *change = call->in[2];
    GError *error = NULL;
    const GwJob *named = gw_fabric_find_job(gw_engine_now(engine), call->in[0], NULL);
    if (named != NULL && gw_works_find(engine, named->id) != NULL) {
        work_event(engine, call, named->id);
        return;
    }
    MoveRun *run = find_move(engine, call->in[0], &error);

    if (run != NULL && kind == GW_MOVE_POST_COPY && !run->move->job->options->post_copy) {
        gw_error_set(&error, GW_ERR_CONFLICT, "Begin the move with --post-copy.",
                     "this move was not begun with post-copy allowed");
        run = NULL;
    }
    /* In no other state will the table take it. */
    if (run != NULL && change != NULL && run->move->job->state == GW_JOB_COPYING)
        take_change(run->move->job->options, change);
    if (run == NULL || !gw_moves_step(engine, run, (GwMoveEvent){ .kind = kind }, &error))
        gw_engine_answer(call, NULL, error);
    else
        gw_engine_answer(call, gw_job_copy(run->move->job), NULL);
}

static GwJob *send_event(GwEngine *engine, const char *job, GwMoveEventKind kind,
                         const GwJobChange *change, GError **error)
{
    return gw_engine_call(engine, call_event, job, GINT_TO_POINTER(kind), change, NULL, error);
}

GwJob *gw_engine_cancel_job(GwEngine *engine, const char *job, GError **error)
{
    return send_event(engine, job, GW_MOVE_CANCEL, NULL, error);
}

GwJob *gw_engine_change_job(GwEngine *engine, const char *job, const GwJobChange *change,
                            GError **error)
{
    return send_event(engine, job, GW_MOVE_CHANGE, change, error);
}

GwJob *gw_engine_post_copy(GwEngine *engine, const char *job, GError **error)
{
    return send_event(engine, job, GW_MOVE_POST_COPY, NULL, error);
}

GwJob *gw_engine_settle_job(GwEngine *engine, const char *job, GwKeep keep, GError **error)
{
    return send_event(engine, job,
                      keep == GW_KEEP_SOURCE ? GW_MOVE_KEEP_SOURCE : GW_MOVE_KEEP_DESTINATION, NULL,
                      error);
}
