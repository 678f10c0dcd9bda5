/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/moves_internal.h"
#include "engine/plans_internal.h"

/* Moves of a plan begin: those that are ready, whose hosts answer and have slots. A plan may have
 * thousands of moves, and is looked at whenever any job changes, so what depends on a host or a VM
 * is found out once for all of them. */

typedef struct {
    char *job_id; /* the plan's */
    guint index;  /* in the plan, as it was then */
    char *vm_uuid, *source_id, *destination_id;
} Beginning;

static void beginning_free(Beginning *beginning)
{
    g_free(beginning->job_id);
    g_free(beginning->vm_uuid);
    g_free(beginning->source_id);
    g_free(beginning->destination_id);
    g_free(beginning);
}

static gboolean is_it(const GwPlannedMove *move, const Beginning *beginning)
{
    return move->state == (int)GW_PLANNED_WAITING &&
           g_strcmp0(move->vm_uuid, beginning->vm_uuid) == 0 &&
           g_strcmp0(move->source_host_id, beginning->source_id) == 0 &&
           g_strcmp0(move->destination_host_id, beginning->destination_id) == 0;
}

/* A VM may have several moves, which a new plan may have changed. FALSE: it is not in the plan. */
static gboolean find_move(const PlanRun *run, const Beginning *beginning, guint *index)
{
    const GPtrArray *moves = run->self->job->plan->moves;
    guint len = moves != NULL ? moves->len : 0;

    if (beginning->index < len && is_it(moves->pdata[beginning->index], beginning)) {
        *index = beginning->index;
        return TRUE;
    }
    for (guint i = 0; i < len; i++) {
        if (!is_it(moves->pdata[i], beginning))
            continue;
        *index = i;
        return TRUE;
    }
    return FALSE;
}

static void note(GwEngine *engine, PlanRun *run, const Beginning *beginning, const GwJob *child,
                 const GError *error)
{
    guint index = 0;
    gboolean found = find_move(run, beginning, &index);

    if (found && child != NULL)
        gw_plans_step(
            engine, run,
            (GwPlanJobEvent){ .kind = GW_PLAN_JOB_BEGUN, .move = index, .job_id = child->id });
    else if (child != NULL) /* planned anew meanwhile, without it */
        gw_plan_job_adopt(run->self, child);
    else if (found)
        gw_plans_step(
            engine, run,
            (GwPlanJobEvent){ .kind = GW_PLAN_JOB_REFUSED, .move = index, .error = error });
}

static void begun(GwEngine *engine, const GwJob *child, const GError *error, gpointer user)
{
    Beginning *beginning = user;
    PlanRun *run = gw_plans_find(engine, beginning->job_id);

    if (run != NULL) {
        g_hash_table_remove(run->beginning, beginning->vm_uuid);
        run->self->beginning = g_hash_table_size(run->beginning);
        engine->schedule = TRUE;
        note(engine, run, beginning, child, error);
    }
    beginning_free(beginning);
}

/* Where copying disks was not asked for, the move keeps the plan's transfer type, which copies
 * none: a VM that got a disk since which its destination does not reach is refused, and planned
 * anew (R13). Left to itself the move would copy that disk. */
static GwMoveOptions *options_of(const GwPlanRequest *request, const GwPlannedMove *move)
{
    GwMoveOptions *options = request != NULL && request->options != NULL
                                 ? gw_move_options_copy(request->options)
                                 : gw_move_options_new();

    if (move->storage != NULL) {
        g_free(options->storage);
        options->storage = g_strdup(move->storage);
    }
    if (request != NULL && !request->storage)
        options->transfer = move->transfer;
    return options;
}

static void begin(GwEngine *engine, PlanRun *run, guint index)
{
    const GwJob *job = run->self->job;
    const GwPlannedMove *move = job->plan->moves->pdata[index];
    Beginning *beginning = g_new0(Beginning, 1);
    g_autoptr(GwMoveOptions) options = options_of(job->plan->request, move);

    beginning->job_id = g_strdup(job->id);
    beginning->index = index;
    beginning->vm_uuid = g_strdup(move->vm_uuid);
    beginning->source_id = g_strdup(move->source_host_id);
    beginning->destination_id = g_strdup(move->destination_host_id);
    g_hash_table_insert(run->beginning, g_strdup(move->vm_uuid), beginning);
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

/* What may begin now ----------------------------------------------------------------------------
 */

/* As all of it is before the first of this look begins. All borrowed. */
typedef struct {
    GHashTable *busy;  /* ids of hosts at which a move is beginning */
    GHashTable *held;  /* UUIDs of VMs that a job has */
    GHashTable *slots; /* host id -> GwSlots in use */
} Look;

static void make_busy(Look *look, const GwPlannedMove *move)
{
    g_hash_table_add(look->busy, move->source_host_id);
    g_hash_table_add(look->busy, move->destination_host_id);
}

/* One that is being begun takes slots when the queue has seen it, so of each host one at a time.
 * One that the queue has seen and that waits for something (it says for what) is in nobody's way.
 */
static void find_busy(GwEngine *engine, const PlanRun *run, Look *look)
{
    const GPtrArray *moves = run->self->job->plan->moves;
    GHashTableIter iter;
    gpointer value;

    for (guint i = 0; moves != NULL && i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        if (move->state != (int)GW_PLANNED_RUNNING || move->job_id == NULL)
            continue;
        const GwJob *child = g_hash_table_lookup(gw_engine_now(engine)->jobs, move->job_id);
        /* None: it was accepted just now, and is shown when this is over. */
        if (child == NULL || (child->state == (int)GW_JOB_QUEUED && child->waiting_for == NULL))
            make_busy(look, move);
    }
    g_hash_table_iter_init(&iter, run->beginning);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Beginning *beginning = value;
        g_hash_table_add(look->busy, beginning->source_id);
        g_hash_table_add(look->busy, beginning->destination_id);
    }
}

static void find_held(GwEngine *engine, Look *look)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, gw_engine_now(engine)->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (job->vm_uuid != NULL && !gw_job_state_is_final((GwJobState)job->state))
            g_hash_table_add(look->held, job->vm_uuid);
    }
}

static gboolean host_fits(GwEngine *engine, const Look *look, const char *host_id, GwSlots takes)
{
    const GwHost *host = gw_fabric_host(gw_engine_now(engine), host_id);
    const GwSlots *used = g_hash_table_lookup(look->slots, host_id);

    return host != NULL &&
           (takes.live == 0 || takes.live + (used != NULL ? used->live : 0) <= host->live_limit) &&
           (takes.storage == 0 ||
            takes.storage + (used != NULL ? used->storage : 0) <= host->storage_limit);
}

/* Whether it may begin as far as one of its hosts goes. What does not answer just now must not cost
 * the move one of its tries; what waits for slots has its place in the plan. */
static gboolean may_at(GwEngine *engine, const Look *look, const GwPlannedMove *move,
                       const char *host_id)
{
    return !g_hash_table_contains(look->busy, host_id) &&
           host_fits(engine, look, host_id, gw_slots_of_transfer((GwTransfer)move->transfer)) &&
           gw_plans_is_answering(engine, host_id);
}

/* A move that began is queued until its preflight on fresh facts is over; then it holds its slots.
 * Begun one after the other at each host, no more begin than there are slots. What is cheap to know
 * comes first: most moves of a large plan wait for slots. */
void gw_plans_begin_moves(GwEngine *engine, PlanRun *run)
{
    GPtrArray *moves = run->self->job->plan->moves;
    g_autoptr(GHashTable) busy = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) held = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) slots = gw_slots_table(gw_engine_now(engine));
    Look look = { .busy = busy, .held = held, .slots = slots };

    if (moves == NULL)
        return;
    find_busy(engine, run, &look);
    find_held(engine, &look);
    g_autoptr(GwPlanTurns) turns =
        gw_plan_turns_new(run->self->job->plan, run->self->history, run->beginning);
    for (guint i = 0; i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        if (move->state != (int)GW_PLANNED_WAITING ||
            !may_at(engine, &look, move, move->source_host_id) ||
            !may_at(engine, &look, move, move->destination_host_id) ||
            g_hash_table_contains(look.held, move->vm_uuid) ||
            !gw_plan_job_is_ready(run->self, i) || !gw_plan_turns_ready(turns, i, NULL))
            continue;
        make_busy(&look, move);
        begin(engine, run, i);
        gw_plan_turns_free(turns);
        turns = gw_plan_turns_new(run->self->job->plan, run->self->history, run->beginning);
    }
}
