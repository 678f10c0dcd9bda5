/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "base/text.h"
#include "engine/engine_internal.h"

/* Jobs of the kind vm-migrate: the queue, the timers, and the way between the pure table (job/move)
 * and the world. What a move wants done is in move_effects.c. */

#define DECISION_FRESH_US (5 * G_USEC_PER_SEC)
#define STEPS_MAX 1000 /* of a job's history, before a host's alarms no longer count */

void gw_move_run_free(gpointer data)
{
    MoveRun *run = data;
    gw_move_free(run->move);
    gw_move_decision_free(run->decision);
    gw_paths_free(run->paths);
    g_free(run);
}

static void show_job(GwEngine *engine, const GwJob *job)
{
    gw_fabric_put_job(gw_engine_change(engine), gw_job_copy(job));
    gw_engine_tell(engine, "job", job->id, NULL);
}

/* The VM's rows in lists name the job that moves it. */
static void mark_vm(GwEngine *engine, const GwJob *job)
{
    const char *const hosts[] = { job->source_host_id, job->destination_host_id };

    for (guint i = 0; i < G_N_ELEMENTS(hosts); i++)
        gw_inventory_ask_vm(engine, hosts[i], job->vm_uuid);
}

/* Steps ------------------------------------------------------------------------------------ */

/* Effects that wait for the journal. */
typedef struct {
    char *job_id;
    GwMoveOutcome outcome;
    guint decisions;   /* of the move, when this was decided */
    gint64 decided_us; /* monotonic */
} Deferred;

/* The store may take long (a full disk: hours), and others may have acted meanwhile. What was
 * decided from a look that is old by now, or was overtaken by a later one, is not done: the hosts
 * are asked anew. */
static gboolean is_stale(GwEngine *engine, const MoveRun *run, const Deferred *deferred)
{
    return deferred->decisions != run->decisions ||
           gw_clock_now_us(engine->clock) - deferred->decided_us > DECISION_FRESH_US;
}

static void step_kind(GwEngine *engine, MoveRun *run, GwMoveEventKind kind)
{
    g_autoptr(GError) late = NULL;
    if (!gw_moves_step(engine, run, (GwMoveEvent){ .kind = kind }, &late))
        g_debug("job %s: %s", run->move->job->id, late->message);
}

static void journaled(GwEngine *engine, gpointer data)
{
    Deferred *deferred = data;
    MoveRun *run = g_hash_table_lookup(engine->moves, deferred->job_id);

    for (guint i = 0; run != NULL && i < deferred->outcome.count; i++) {
        if (deferred->outcome.effects[i] == GW_DO_SETTLE && is_stale(engine, run, deferred))
            step_kind(engine, run, GW_MOVE_TIMER);
        else
            gw_moves_carry_out(engine, run, deferred->outcome.effects[i]);
    }
    if (run != NULL && gw_job_state_is_final(run->move->job->state))
        g_hash_table_remove(engine->moves, deferred->job_id);
    g_free(deferred->job_id);
    g_free(deferred);
}

static GwBatch *job_batch(GwEngine *engine, const GwJob *job, gint64 wall_us)
{
    GwBatch *batch = gw_batch_new();
    const GwJobStep *step = job->steps->pdata[job->steps->len - 1];

    if (job->state == GW_JOB_DONE) {
        gw_kept_forget_live(engine, batch, job);
        gw_default_storage_add(engine, batch, job);
    }
    gw_batch_put(batch, GW_KIND_JOB, job->id, gw_record_to_json(&gw_job_record, job));
    gw_batch_journal(batch, job->id, wall_us, step->state, step->event, step->why);
    return batch;
}

gboolean gw_moves_step(GwEngine *engine, MoveRun *run, GwMoveEvent event, GError **error)
{
    GwMove *move = run->move;
    GwMoveOutcome outcome;

    if (run->storing && (event.kind == GW_MOVE_LOOKED || event.kind == GW_MOVE_TIMER ||
                         event.kind == GW_MOVE_HOST_BACK))
        return TRUE;
    event.now_us = gw_clock_now_us(engine->clock);
    event.wall_us = gw_clock_wall_us(engine->clock);
    if (!gw_move_step(move, &event, &outcome, error))
        return FALSE;

    run->decisions += event.kind != GW_MOVE_CANCEL;
    if (outcome.changed || outcome.journal)
        show_job(engine, move->job);
    if (outcome.journal) {
        Deferred *deferred = g_new0(Deferred, 1);
        deferred->job_id = g_strdup(move->job->id);
        deferred->outcome = outcome;
        deferred->decisions = run->decisions;
        deferred->decided_us = event.now_us;
        engine->schedule = TRUE;
        if (gw_job_state_is_final(move->job->state))
            mark_vm(engine, move->job);
        gw_engine_journal(engine, job_batch(engine, move->job, event.wall_us), journaled, NULL,
                          deferred);
        return TRUE;
    }
    for (guint i = 0; i < outcome.count; i++)
        gw_moves_carry_out(engine, run, outcome.effects[i]);
    return TRUE;
}

/* The queue -------------------------------------------------------------------------------- */

static void show_waiting(GwEngine *engine, MoveRun *run, char *why)
{
    GwJob *job = run->move->job;

    if (g_strcmp0(job->waiting_for, why) == 0) {
        g_free(why);
        return;
    }
    g_free(job->waiting_for);
    job->waiting_for = why;
    show_job(engine, job);
}

static int by_age(gconstpointer a, gconstpointer b)
{
    const MoveRun *left = *(MoveRun *const *)a;
    const MoveRun *right = *(MoveRun *const *)b;
    return strcmp(left->move->job->id, right->move->job->id);
}

static GPtrArray *runs(GwEngine *engine)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter iter;
    gpointer run;

    g_hash_table_iter_init(&iter, engine->moves);
    while (g_hash_table_iter_next(&iter, NULL, &run))
        g_ptr_array_add(list, run);
    g_ptr_array_sort(list, by_age);
    return list;
}

/* Whether both hosts answer: a move that waited must not fail because a host restarts just then. */
static gboolean hosts_ready(GwEngine *engine, const GwJob *job, char **why)
{
    const char *const hosts[] = { job->source_host_id, job->destination_host_id };

    for (guint i = 0; i < G_N_ELEMENTS(hosts); i++) {
        const GwHost *host = gw_fabric_host(gw_engine_now(engine), hosts[i]);
        const HostRun *run = g_hash_table_lookup(engine->hosts, hosts[i]);
        if (run != NULL && !run->listed) {
            *why = g_strdup_printf("host '%s' to answer", host->name);
            return FALSE;
        }
    }
    return TRUE;
}

void gw_moves_schedule(GwEngine *engine)
{
    g_autoptr(GPtrArray) list = runs(engine);

    for (guint i = 0; i < list->len; i++) {
        MoveRun *run = list->pdata[i];
        char *why = NULL;
        if (run->move->job->state != GW_JOB_QUEUED)
            continue;
        if (hosts_ready(engine, run->move->job, &why) &&
            !gw_moves_wait_for_merge(engine, run, &why) &&
            gw_slots_fit(gw_engine_now(engine), run->move->job, &why))
            step_kind(engine, run, GW_MOVE_SLOTS);
        else
            show_waiting(engine, run, why);
    }
}

/* News ------------------------------------------------------------------------------------- */

void gw_moves_host_back(GwEngine *engine, const char *host_id)
{
    g_autoptr(GPtrArray) list = runs(engine);

    for (guint i = 0; i < list->len; i++) {
        MoveRun *run = list->pdata[i];
        if (g_strcmp0(run->move->job->source_host_id, host_id) == 0 ||
            g_strcmp0(run->move->job->destination_host_id, host_id) == 0)
            step_kind(engine, run, GW_MOVE_HOST_BACK);
    }
    engine->schedule = TRUE;
}

/* The pause and the resume that downtime is measured between (R48): the first of each, since with
 * post-copy both come again when the last page is over. A source that runs again was not the one.
 * Where an agent was faster than our own resume, the answer to ours may be in before the event of
 * its. */
void gw_moves_lifecycle(GwEngine *engine, const GwHyperEvent *event)
{
    const GwJob *job = gw_fabric_job_of_vm(gw_engine_now(engine), event->vm_uuid);
    MoveRun *run = job != NULL ? g_hash_table_lookup(engine->moves, job->id) : NULL;

    if (run == NULL)
        return;
    GwMove *move = run->move;
    gboolean at_source = g_strcmp0(event->host_id, move->job->source_host_id) == 0;
    gboolean paused = g_strcmp0(event->text, "suspended") == 0;
    gboolean resumed = g_strcmp0(event->text, "resumed") == 0;
    if (at_source && resumed)
        move->paused_us = 0;
    else if (at_source && paused && move->paused_us == 0)
        move->paused_us = event->at_us;
    else if (!at_source && resumed && event->at_us >= move->paused_us &&
             (move->resumed_us == 0 || event->at_us < move->resumed_us))
        move->resumed_us = event->at_us;
}

/* What an agent says of a VM while it is moved belongs into the move's history. It is stored with
 * the next step. */
void gw_moves_alarm(GwEngine *engine, const GwHyperEvent *event)
{
    const GwJob *job =
        event->vm_uuid != NULL ? gw_fabric_job_of_vm(gw_engine_now(engine), event->vm_uuid) : NULL;
    MoveRun *run = job != NULL ? g_hash_table_lookup(engine->moves, job->id) : NULL;

    if (run == NULL || run->move->job->steps == NULL || run->move->job->steps->len > STEPS_MAX)
        return;
    const GwHost *host = gw_fabric_host(gw_engine_now(engine), event->host_id);
    g_autofree char *text = gw_text_printable(event->text, GW_TEXT_MESSAGE_MAX);
    GwJobStep *step = gw_job_step_new();
    step->at = gw_engine_rfc3339(engine);
    step->state = g_strdup(gw_enum_word(&gw_job_state_enum, run->move->job->state));
    step->event = g_strdup("alarm");
    step->why = g_strdup_printf("the agent of '%s': %s", host != NULL ? host->name : "?", text);
    g_ptr_array_add(run->move->job->steps, step);
    show_job(engine, run->move->job);
}

gint64 gw_moves_next_us(GwEngine *engine)
{
    GHashTableIter iter;
    gpointer value;
    gint64 next = 0;

    g_hash_table_iter_init(&iter, engine->moves);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const gint64 times[] = { gw_move_next_us(((MoveRun *)value)->move),
                                 ((MoveRun *)value)->merge_us };
        for (guint i = 0; i < G_N_ELEMENTS(times); i++) {
            if (times[i] != 0 && (next == 0 || times[i] < next))
                next = times[i];
        }
    }
    return next;
}

void gw_moves_timers(GwEngine *engine, gint64 now_us)
{
    if (gw_moves_next_us(engine) == 0 || gw_moves_next_us(engine) > now_us)
        return;
    g_autoptr(GPtrArray) list = runs(engine);
    for (guint i = 0; i < list->len; i++) {
        MoveRun *run = list->pdata[i];
        GwMoveEventKind kind;
        if (run->merge_us != 0 && run->merge_us <= now_us)
            gw_moves_look_at_merge(engine, run);
        if (gw_move_due(run->move, now_us, &kind)) {
            run->move->times.wake_us = kind == GW_MOVE_TIMER ? 0 : run->move->times.wake_us;
            step_kind(engine, run, kind);
        }
    }
}

/* Restart ---------------------------------------------------------------------------------- */

static MoveRun *add_run(GwEngine *engine, GwJob *job)
{
    MoveRun *run = g_new0(MoveRun, 1);
    run->move = gw_move_new(job, gw_clock_now_us(engine->clock));
    run->merge_percent = -1;
    g_hash_table_replace(engine->moves, run->move->job->id, run);
    return run;
}

void gw_moves_restore(GwEngine *engine, GwJob *job)
{
    add_run(engine, job);
}

void gw_moves_start_restored(GwEngine *engine)
{
    g_autoptr(GPtrArray) list = runs(engine);

    for (guint i = 0; i < list->len; i++)
        step_kind(engine, list->pdata[i], GW_MOVE_RESTART);
}

/* Calls ------------------------------------------------------------------------------------ */

/* Resolves the VM and the destination that a person named. */
static gboolean resolve(GwEngine *engine, const char *vm_name, const char *host_name,
                        const GwVm **vm, const GwHost **host, GError **error)
{
    const GwFabric *fabric = gw_engine_now(engine);

    *vm = gw_fabric_find_vm(fabric, vm_name, error);
    if (*vm == NULL)
        return FALSE;
    *host = gw_fabric_find_host(fabric, host_name);
    if (*host == NULL) {
        gw_error_set(error, GW_ERR_NOT_FOUND, "List them: godwit host list.", "no host '%s'",
                     host_name);
        return FALSE;
    }
    return TRUE;
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
    return gw_engine_call(engine, call_plan, vm, request, NULL, NULL, error);
}

gint64 gw_moves_next_epoch(GwEngine *engine, const char *uuid, GwBatch *batch)
{
    gint64 *known = g_hash_table_lookup(engine->epochs, uuid);
    gint64 epoch = known != NULL ? *known + 1 : 1;
    gint64 *kept = g_new(gint64, 1);

    *kept = epoch;
    g_hash_table_replace(engine->epochs, g_strdup(uuid), kept);
    gw_batch_put(batch, GW_KIND_EPOCH, uuid, json_pack("{s:I}", "epoch", (json_int_t)epoch));
    return epoch;
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
    GwJob *job = gw_job_new();

    job->id = gw_engine_new_id(engine);
    job->kind = g_strdup(kind_of(plan->candidate->transfer));
    job->title = plan->candidate->transfer == (int)GW_TRANSFER_STORAGE
                     ? g_strdup_printf("Move storage of %s on %s", plan->vm_name, source->name)
                     : g_strdup_printf("Migrate %s from %s to %s", plan->vm_name, source->name,
                                       plan->candidate->host_name);
    job->state = GW_JOB_QUEUED;
    job->vm_uuid = g_strdup(plan->vm_uuid);
    job->vm_name = g_strdup(plan->vm_name);
    job->source_host_id = g_strdup(plan->source_host_id);
    job->destination_host_id = g_strdup(plan->candidate->host_id);
    job->transfer = plan->candidate->transfer;
    job->options = options != NULL ? gw_move_options_copy(options) : gw_move_options_new();
    job->user = g_strdup(begin->user);
    job->undoes = g_strdup(begin->undoes);
    job->created_at = gw_engine_rfc3339(engine);
    job->wall_created_us = gw_clock_wall_us(engine->clock);
    job->vm_persistent = check->vm->persistent;
    job->vm_autostart = check->vm->autostart;
    job->vm_memory_kib = check->vm->max_memory_kib;
    return job;
}

typedef struct {
    Call *call;
    GwJob *job;
} Accepting;

static void accepted(GwEngine *engine, gpointer data)
{
    Accepting *accepting = data;
    GwJob *job = g_steal_pointer(&accepting->job);

    gw_engine_answer(accepting->call, gw_job_copy(job), NULL);
    gw_undo_show_link(engine, job);
    g_hash_table_remove(engine->accepting, job->vm_uuid);
    g_free(accepting);
    if (strcmp(job->kind, GW_JOB_KIND_MIGRATE) != 0) {
        gw_works_add(engine, job);
        return;
    }
    show_job(engine, job);
    add_run(engine, job);
    mark_vm(engine, job);
    engine->schedule = TRUE;
}

static void not_accepted(GwEngine *engine, gpointer data)
{
    Accepting *accepting = data;
    GError *error = NULL;

    gw_error_set(&error, GW_ERR_STORE,
                 "Free space under the controller's database, then try again.",
                 "the move was not begun, since it cannot be recorded: %s", engine->store_trouble);
    g_hash_table_remove(engine->accepting, accepting->job->vm_uuid);
    gw_engine_answer(accepting->call, NULL, error);
    gw_job_free(accepting->job);
    g_free(accepting);
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
    Accepting *accepting = g_new0(Accepting, 1);
    GwBatch *batch = gw_batch_new();
    GwJob *job = new_job(engine, result, call->in[0]);
    job->epoch = gw_moves_next_epoch(engine, job->vm_uuid, batch);
    accepting->call = call;
    accepting->job = job;
    gw_batch_put(batch, GW_KIND_JOB, job->id, gw_record_to_json(&gw_job_record, job));
    gw_batch_journal(batch, job->id, job->wall_created_us, "queued", "accepted", job->title);
    gw_undo_put_link(engine, batch, job);
    gw_engine_journal(engine, batch, accepted, not_accepted, accepting);
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
    BeginMove begin = { .vm = vm, .request = request, .user = user };
    return gw_moves_begin(engine, &begin, plan, error);
}

static void call_candidates(GwEngine *engine, Call *call)
{
    GError *error = NULL;
    const GwVm *vm = gw_fabric_find_vm(gw_engine_now(engine), call->in[0], &error);

    if (vm == NULL) {
        gw_engine_answer(call, NULL, error);
        return;
    }
    GPtrArray *candidates = gw_plan_candidates(gw_engine_now(engine), vm, call->in[1]);
    gw_predictions_add_all(engine, vm, call->in[1], candidates);
    gw_engine_answer(call, candidates, NULL);
    gw_dirty_sample(engine, vm, NULL, NULL); /* for who asks next: a list waits for no host */
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

    MoveRun *run = g_hash_table_lookup(engine->moves, job->id);
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
    if (named != NULL && g_hash_table_contains(engine->works, named->id)) {
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
