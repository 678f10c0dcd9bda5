/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/moves_internal.h"

/* Moves as persons and plans ask for them: dry runs, candidates, beginning one. What can be said to
 * one that is under way is in job_calls.c. */

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
    if (result->plan == NULL) {
        gw_engine_answer(user, NULL, g_steal_pointer(&result->error));
        return;
    }
    gw_check_explain(result);
    gw_engine_answer(user, g_steal_pointer(&result->plan), NULL);
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

/* Who asks what a move would be waits for the sample that the prediction wants. */
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
    /* The vports that it takes are promised from here on (R41). */
    job->hbas = check->hbas != NULL ? g_ptr_array_ref(check->hbas) : NULL;
    return job;
}

static void checked(GwEngine *engine, CheckResult *result, gpointer user)
{
    Call *call = user;

    if (result->error != NULL) {
        if (result->plan != NULL)
            gw_check_explain(result);
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
    /* Nobody waits for it here, but the job will. */
    gw_dirty_sample_briefly(engine, vm, NULL, NULL);
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

/* Moves of a plan --------------------------------------------------------------------------- */

typedef struct {
    GwMoveRequest *request;
    char *part_of, *user_name;
    PartBegun done;
    gpointer user;
} Part;

static void part_over(GwEngine *engine, Part *part, const GwJob *job, const GError *error)
{
    part->done(engine, job, error, part->user);
    gw_move_request_free(part->request);
    g_free(part->part_of);
    g_free(part->user_name);
    g_free(part);
}

static void part_accepted(GwEngine *engine, const GwJob *job, const GError *error, gpointer user)
{
    part_over(engine, user, error == NULL ? job : NULL, error);
}

static void part_checked(GwEngine *engine, CheckResult *result, gpointer user)
{
    Part *part = user;
    const BeginMove begin = { .request = part->request, .user = part->user_name };
    g_autoptr(GError) held = NULL;

    gw_check_reserve(result);
    if (result->error == NULL && !g_hash_table_add(engine->accepting, g_strdup(result->vm->uuid)))
        gw_error_set(&held, GW_ERR_CONFLICT, "Wait for that job, or cancel it.",
                     "another move of '%s' is being accepted", result->vm->name);
    if (result->error != NULL || held != NULL) {
        part_over(engine, part, NULL, held != NULL ? held : result->error);
        return;
    }
    GwBatch *batch = gw_batch_new();
    GwJob *job = new_job(engine, result, &begin);
    job->part_of = g_strdup(part->part_of);
    job->epoch = gw_moves_next_epoch(engine, job->vm_uuid, batch);
    gw_jobs_accept(engine, NULL, batch, job, part_accepted, part);
}

void gw_moves_begin_part(GwEngine *engine, const BeginPart *wanted, PartBegun done, gpointer user)
{
    Part *part = g_new0(Part, 1);
    const GwVm *vm = gw_fabric_vm(gw_engine_now(engine), wanted->source_host_id, wanted->vm_uuid);

    part->request = gw_move_request_new();
    part->request->options = gw_move_options_copy(wanted->options);
    part->part_of = g_strdup(wanted->part_of);
    part->user_name = g_strdup(wanted->user);
    part->done = done;
    part->user = user;
    if (vm != NULL)
        gw_dirty_sample_briefly(engine, vm, NULL, NULL);
    gw_check_begin(engine, wanted->vm_uuid, wanted->source_host_id, wanted->destination_host_id,
                   part->request->options, NULL, part_checked, part);
}

/* Candidates -------------------------------------------------------------------------------- */

/* For who asks next: a list waits for no host. */
static void sample_later(GwEngine *engine, gpointer data)
{
    g_autofree char *uuid = data;
    const GwVm *vm = uuid == NULL || g_atomic_int_get(&engine->stopping)
                         ? NULL
                         : gw_fabric_find_vm(gw_engine_now(engine), uuid, NULL);

    if (vm != NULL)
        gw_dirty_sample(engine, vm, NULL, NULL);
}

/* What is known of hosts is kept for the next list; who meets another list does without. */
static GPtrArray *rank(GwEngine *engine, const GwFabric *fabric, const GwVm *vm,
                       const GwMoveOptions *options)
{
    gboolean free = g_mutex_trylock(&engine->known_lock);
    GPtrArray *candidates =
        gw_plan_ranking(fabric, vm, options, GW_TOLD_MAX, free ? engine->known : NULL);

    if (free)
        g_mutex_unlock(&engine->known_lock);
    return candidates;
}

/* On the caller's thread, over a picture: a thousand hosts would hold the loop up. */
GPtrArray *gw_engine_candidates(GwEngine *engine, const char *vm, const GwMoveOptions *options,
                                gboolean brief, GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    const GwVm *found = gw_fabric_find_vm(fabric, vm, error);

    if (found == NULL)
        return NULL;
    GPtrArray *candidates =
        brief ? rank(engine, fabric, found, options) : gw_plan_candidates(fabric, found, options);
    gw_predictions_add_all(fabric, found, options, candidates);
    gw_engine_post(engine, sample_later, g_strdup(found->uuid));
    return candidates;
}
