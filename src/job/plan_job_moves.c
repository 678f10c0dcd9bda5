/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job/plan_job_internal.h"

/* The moves of a job that carries out a plan: what has begun of them stays in its list as history,
 * what has not is replaced when the rest is planned anew. */

GwPlannedMove *gw_plan_job_move(const GwPlanJob *self, guint index)
{
    GPtrArray *moves = self->job->plan->moves;
    return moves != NULL && index < moves->len ? moves->pdata[index] : NULL;
}

guint gw_plan_job_count(const GwPlanJob *self, GwPlannedState state)
{
    const GwPlannedMove *move = NULL;
    guint n = 0;

    for (guint i = 0; (move = gw_plan_job_move(self, i)) != NULL; i++)
        n += move->state == (int)state;
    return n;
}

/* How far it is ------------------------------------------------------------------------------- */

static void count_move(GwMigrationPlanProgress *progress, const GwPlannedMove *move)
{
    gint64 *const counts[] = { [GW_PLANNED_WAITING] = &progress->waiting,
                               [GW_PLANNED_RUNNING] = &progress->running,
                               [GW_PLANNED_DONE] = &progress->done,
                               [GW_PLANNED_FAILED] = &progress->failed,
                               [GW_PLANNED_SKIPPED] = &progress->skipped };

    if (move->state >= 0 && (guint)move->state < G_N_ELEMENTS(counts))
        ++*counts[move->state];
}

/* A VM that steps aside first moves twice, and counts once. */
static void count_vms(const GwMigrationPlan *plan, GwMigrationPlanProgress *progress)
{
    g_autoptr(GHashTable) all = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) moved = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; plan->moves != NULL && i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        if (move->state == (int)GW_PLANNED_SKIPPED || move->vm_uuid == NULL)
            continue;
        g_hash_table_add(all, move->vm_uuid);
        if (move->state == (int)GW_PLANNED_DONE && !move->detour)
            g_hash_table_add(moved, move->vm_uuid);
    }
    for (guint i = 0; plan->stays != NULL && i < plan->stays->len; i++) {
        const GwPlannedStay *stay = plan->stays->pdata[i];
        if (stay->vm_uuid != NULL)
            g_hash_table_add(all, stay->vm_uuid);
    }
    progress->vms = g_hash_table_size(all);
    progress->vms_moved = g_hash_table_size(moved);
    progress->stays = plan->stays != NULL ? plan->stays->len : 0;
}

void gw_plan_job_tally(GwJob *job)
{
    const GPtrArray *moves = job->plan->moves;
    GwMigrationPlanProgress *progress = gw_migration_plan_progress_new();
    g_autoptr(GStrvBuilder) moving = g_strv_builder_new();

    progress->planned_again = job->plan_progress != NULL ? job->plan_progress->planned_again : 0;
    for (guint i = 0; moves != NULL && i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        count_move(progress, move);
        if (move->state == (int)GW_PLANNED_RUNNING && progress->running <= GW_PLAN_MOVING_SHOWN)
            g_strv_builder_add(moving, move->vm_name != NULL ? move->vm_name : "");
    }
    count_vms(job->plan, progress);
    progress->moving = g_strv_builder_end(moving);
    gw_migration_plan_progress_free(job->plan_progress);
    job->plan_progress = progress;
}

/* Stays ---------------------------------------------------------------------------------------- */

static GwPlannedStay *add_stay(GPtrArray *stays, const GwPlannedMove *move, const char *why)
{
    GwPlannedStay *stay = gw_planned_stay_new();

    stay->vm_uuid = g_strdup(move->vm_uuid);
    stay->vm_name = g_strdup(move->vm_name);
    stay->host_id = g_strdup(move->source_host_id);
    stay->host_name = g_strdup(move->source_host_name);
    stay->why = g_strdup(why);
    g_ptr_array_add(stays, stay);
    return stay;
}

static GwPlannedStay *find_stay(const GPtrArray *stays, const char *vm_uuid)
{
    return gw_record_find(&gw_planned_stay_record, stays, "vm_uuid", vm_uuid);
}

/* What it was to follow is given up, and so is it: by the words of the stay that says why. */
static void add_orphan(GPtrArray *stays, const GwPlannedMove *move, const GwPlannedMove *before)
{
    const GwPlannedStay *first = find_stay(stays, before->vm_uuid);
    g_autofree char *why =
        first != NULL ? g_strdup_printf("it was to follow '%s', whose move is given up: %s",
                                        first->vm_name, first->why)
                      : g_strdup("the move that it was to follow is given up");

    add_stay(stays, move, why);
}

/* A new plan ----------------------------------------------------------------------------------- */

/* How often moves of a VM failed, and the last time's words. */
typedef struct {
    guint count;
    gboolean timed_out;
    const char *error, *job_id;
} Failures;

static GHashTable *failures_of(const GwPlanJob *self)
{
    GHashTable *table = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    const GwPlannedMove *move = NULL;

    for (guint i = 0; (move = gw_plan_job_move(self, i)) != NULL; i++) {
        if (move->state != (int)GW_PLANNED_FAILED || move->vm_uuid == NULL)
            continue;
        Failures *failures = g_hash_table_lookup(table, move->vm_uuid);
        if (failures == NULL) {
            failures = g_new0(Failures, 1);
            g_hash_table_insert(table, move->vm_uuid, failures);
        }
        failures->count++;
        failures->error = move->error;
        failures->timed_out = move->timed_out;
        failures->job_id = move->job_id;
    }
    return table;
}

/* Tried often enough; or by its time-out already, and by the new prediction it would end so again:
 * each try costs the guest, and the links, the whole of that time. */
static gboolean is_enough(const Failures *failures, const GwPlannedMove *next)
{
    return failures != NULL &&
           (failures->count >= GW_PLAN_JOB_TRIES || (failures->timed_out && next->doubt != NULL));
}

static char *remedy_of(const GwPlannedMove *move, const Failures *failures)
{
    if (failures->timed_out && move->doubt != NULL)
        return g_strdup_printf("%s A longer time-out (R59) helps where it is only slow. Then ask "
                               "again.",
                               move->doubt);
    if (failures->job_id != NULL)
        return g_strdup_printf("See what it needs: godwit job show %s. Then ask again.",
                               failures->job_id);
    return g_strdup("See what it needs: godwit job list. Then ask again.");
}

/* What a move lacks, its own job knows best (I8). */
static void give_up(GPtrArray *stays, const GwPlannedMove *move, const Failures *failures)
{
    GwPlannedStay *stay = add_stay(stays, move, failures->error);
    GwFinding *finding = gw_finding_new();

    finding->rule = g_strdup("move-failed");
    finding->requirement = g_strdup("R49");
    finding->severity = (int)GW_SEVERITY_ERROR;
    gboolean endless = failures->timed_out && move->doubt != NULL;
    finding->observed = g_strdup_printf(
        "%u move%s of %s failed%s", failures->count, failures->count == 1 ? "" : "s", move->vm_name,
        endless ? " by a time-out, and the next one is not predicted to arrive either" : "");
    finding->required = g_strdup("One that succeeds.");
    finding->remedy = remedy_of(move, failures);
    stay->findings = gw_record_array(&gw_finding_record);
    g_ptr_array_add(stay->findings, finding);
}

/* The moves of @plan that are still tried go behind those of the job's that have begun; numbers in
 * @after move along. Whose move is given up is in @stays. Returns how many were taken. */
static guint append(const GwPlanJob *self, GPtrArray *moves, const GwMigrationPlan *plan,
                    GPtrArray *stays)
{
    guint len = plan->moves != NULL ? plan->moves->len : 0, taken = 0;
    g_autofree guint *place = g_new0(guint, len + 1); /* number in @plan -> number in @moves */
    g_autoptr(GHashTable) failed = failures_of(self);

    for (guint i = 0; i < len; i++) {
        const GwPlannedMove *planned = plan->moves->pdata[i];
        const Failures *failures =
            planned->vm_uuid != NULL ? g_hash_table_lookup(failed, planned->vm_uuid) : NULL;
        guint after = (guint)CLAMP(planned->after, 0, len);
        if (find_stay(stays, planned->vm_uuid) != NULL)
            continue; /* the rest of its way */
        if (is_enough(failures, planned)) {
            give_up(stays, planned, failures);
            continue;
        }
        if (after > 0 && place[after] == 0) {
            add_orphan(stays, planned, plan->moves->pdata[after - 1]);
            continue;
        }
        GwPlannedMove *move = gw_planned_move_copy(planned);
        move->state = GW_PLANNED_WAITING;
        move->tries = failures != NULL ? failures->count : 0;
        move->after = place[after];
        g_ptr_array_add(moves, move);
        place[i + 1] = moves->len;
        taken++;
    }
    return taken;
}

/* What is on its way stays for the planner, not for who looks at the job. */
static gboolean is_moving(const GwPlanJob *self, const char *vm_uuid)
{
    const GwPlannedMove *move = NULL;

    for (guint i = 0; (move = gw_plan_job_move(self, i)) != NULL; i++) {
        if (move->state == (int)GW_PLANNED_RUNNING && g_strcmp0(move->vm_uuid, vm_uuid) == 0)
            return TRUE;
    }
    return FALSE;
}

/* FALSE: it is there already, or has none. */
static gboolean add_name(GHashTable *names, char *vm_uuid)
{
    return vm_uuid != NULL && g_hash_table_add(names, vm_uuid);
}

static void add_names(GHashTable *names, const GPtrArray *moves, const GPtrArray *stays)
{
    for (guint i = 0; moves != NULL && i < moves->len; i++)
        add_name(names, ((GwPlannedMove *)moves->pdata[i])->vm_uuid);
    for (guint i = 0; stays != NULL && i < stays->len; i++)
        add_name(names, ((GwPlannedStay *)stays->pdata[i])->vm_uuid);
}

/* Of a VM the first move says where it came from, the last where it is, and those that failed how
 * often it was tried; what else it did is told by its own jobs. */
static gboolean is_passed_over(const GPtrArray *moves, guint index, GHashTable *first,
                               GHashTable *last)
{
    const GwPlannedMove *move = moves->pdata[index];

    return move->vm_uuid != NULL && move->state == (int)GW_PLANNED_DONE &&
           GPOINTER_TO_UINT(g_hash_table_lookup(first, move->vm_uuid)) != index + 1 &&
           GPOINTER_TO_UINT(g_hash_table_lookup(last, move->vm_uuid)) != index + 1;
}

/* A VM that others bring back again and again is moved again and again: the oldest of that goes
 * where there is too much of it. */
static void trim_history(GPtrArray *moves)
{
    g_autoptr(GHashTable) first = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) last = g_hash_table_new(g_str_hash, g_str_equal);
    guint over = moves->len > GW_PLAN_HISTORY_MAX ? moves->len - GW_PLAN_HISTORY_MAX : 0;
    guint left = 0;

    for (guint i = 0; over > 0 && i < moves->len; i++) {
        GwPlannedMove *move = moves->pdata[i];
        if (move->vm_uuid == NULL)
            continue;
        if (!g_hash_table_contains(first, move->vm_uuid))
            g_hash_table_insert(first, move->vm_uuid, GUINT_TO_POINTER(i + 1));
        g_hash_table_insert(last, move->vm_uuid, GUINT_TO_POINTER(i + 1));
    }
    g_autofree gboolean *goes = g_new0(gboolean, moves->len + 1);
    for (guint i = 0; over > 0 && i < moves->len; i++) {
        goes[i] = is_passed_over(moves, i, first, last);
        over -= goes[i];
    }
    /* The tables' keys are the moves': nothing is freed before. */
    for (guint i = 0; i < moves->len; i++) {
        GwPlannedMove *move = moves->pdata[i];
        if (goes[i])
            gw_planned_move_free(move);
        else
            moves->pdata[left++] = move;
    }
    for (guint i = left; i < moves->len; i++)
        moves->pdata[i] = NULL;
    g_ptr_array_set_size(moves, (gint)left);
}

/* What has begun is history. What never did is gone from the plan; where that was the last word of
 * a VM, it says that the VM is not to be moved any more: it went, or stays, by another's hand. */
static GPtrArray *keep_history(const GwPlanJob *self, const GwMigrationPlan *plan)
{
    GPtrArray *kept = gw_record_array(&gw_planned_move_record);
    g_autoptr(GHashTable) named = g_hash_table_new(g_str_hash, g_str_equal);
    const GwPlannedMove *move = NULL;

    for (guint i = 0; (move = gw_plan_job_move(self, i)) != NULL; i++) {
        if (move->state == (int)GW_PLANNED_WAITING)
            continue;
        GwPlannedMove *copy = gw_planned_move_copy(move);
        copy->after = 0; /* it has begun */
        g_ptr_array_add(kept, copy);
    }
    trim_history(kept);
    add_names(named, kept, NULL);
    add_names(named, plan->moves, plan->stays);
    for (guint i = 0; (move = gw_plan_job_move(self, i)) != NULL; i++) {
        if (!add_name(named, move->vm_uuid))
            continue;
        GwPlannedMove *copy = gw_planned_move_copy(move);
        copy->after = 0;
        copy->state = (int)GW_PLANNED_SKIPPED;
        g_ptr_array_add(kept, copy);
    }
    return kept;
}

guint gw_plan_job_take(GwPlanJob *self, const GwMigrationPlan *plan)
{
    GwMigrationPlan *own = self->job->plan;
    GPtrArray *moves = keep_history(self, plan);
    GPtrArray *stays = gw_record_array(&gw_planned_stay_record);

    self->history = moves->len;
    guint taken = append(self, moves, plan, stays);
    for (guint i = 0; plan->stays != NULL && i < plan->stays->len; i++) {
        const GwPlannedStay *stay = plan->stays->pdata[i];
        if (!is_moving(self, stay->vm_uuid))
            g_ptr_array_add(stays, gw_planned_stay_copy(stay));
    }
    g_clear_pointer(&own->moves, g_ptr_array_unref);
    g_clear_pointer(&own->stays, g_ptr_array_unref);
    own->moves = moves;
    own->stays = stays;
    g_free(own->fingerprint);
    own->fingerprint = g_strdup(plan->fingerprint);
    return taken;
}

/* The end ------------------------------------------------------------------------------------ */

/* @move is the last of its VM, of which no stay tells. */
static void settle(GwPlanJob *self, GwPlannedMove *move)
{
    GwMigrationPlan *plan = self->job->plan;
    gboolean waits = move->state == (int)GW_PLANNED_WAITING;

    if (!waits && move->state != (int)GW_PLANNED_FAILED)
        return;
    /* What failed, and is not to be moved any more by the last plan, went by another's hand. */
    if (waits || !self->job->cancel_requested)
        move->state = (int)GW_PLANNED_SKIPPED;
    if (self->job->cancel_requested)
        add_stay(plan->stays, move,
                 waits || move->error == NULL ? "the plan was cancelled before its move began"
                                              : move->error);
}

void gw_plan_job_settle(GwPlanJob *self)
{
    GwMigrationPlan *plan = self->job->plan;
    g_autoptr(GHashTable) stays = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    if (plan->stays == NULL)
        plan->stays = gw_record_array(&gw_planned_stay_record);
    add_names(stays, NULL, plan->stays);
    for (guint i = plan->moves != NULL ? plan->moves->len : 0; i-- > 0;) {
        GwPlannedMove *move = plan->moves->pdata[i];
        if (add_name(seen, move->vm_uuid) && !g_hash_table_contains(stays, move->vm_uuid))
            settle(self, move);
    }
}

/* What became of the move, by its own job. */
static void take_state(GwPlannedMove *move, const GwJob *child)
{
    if (!gw_job_state_is_final(child->state)) {
        move->state = GW_PLANNED_RUNNING;
    } else if (child->state == (int)GW_JOB_DONE) {
        move->state = GW_PLANNED_DONE;
    } else {
        move->state = GW_PLANNED_FAILED;
        g_free(move->error);
        move->error = g_strdup(child->error != NULL ? child->error->message : "it failed");
    }
}

gboolean gw_plan_job_may_be_trimmed(const GwJob *job)
{
    return job->plan != NULL && job->plan->moves != NULL &&
           job->plan->moves->len >= GW_PLAN_HISTORY_MAX;
}

/* Its move went with the oldest history (trim_history). */
static gboolean is_trimmed(const GwPlanJob *self, const GwJob *child)
{
    const GwPlannedMove *move = NULL;

    if (child->state != (int)GW_JOB_DONE || !gw_plan_job_may_be_trimmed(self->job))
        return FALSE;
    for (guint i = 0; (move = gw_plan_job_move(self, i)) != NULL; i++) {
        if (g_strcmp0(move->job_id, child->id) == 0)
            return FALSE;
    }
    return TRUE;
}

static GwPlannedMove *move_of(GwPlanJob *self, const GwJob *child)
{
    GwPlannedMove *found = NULL;
    GwPlannedMove *move = NULL;

    for (guint i = 0; (move = gw_plan_job_move(self, i)) != NULL; i++) {
        if (g_strcmp0(move->job_id, child->id) == 0)
            return move;
        if (found == NULL && move->job_id == NULL &&
            g_strcmp0(move->vm_uuid, child->vm_uuid) == 0 &&
            g_strcmp0(move->destination_host_id, child->destination_host_id) == 0)
            found = move;
    }
    return found;
}

void gw_plan_job_adopt(GwPlanJob *self, const GwJob *child)
{
    GwMigrationPlan *plan = self->job->plan;

    if (is_trimmed(self, child))
        return;
    GwPlannedMove *move = move_of(self, child);
    if (move == NULL) {
        move = gw_planned_move_new();
        move->vm_uuid = g_strdup(child->vm_uuid);
        move->vm_name = g_strdup(child->vm_name);
        move->source_host_id = g_strdup(child->source_host_id);
        move->destination_host_id = g_strdup(child->destination_host_id);
        move->transfer = child->transfer;
        move->memory_kib = child->vm_memory_kib;
        if (plan->moves == NULL)
            plan->moves = gw_record_array(&gw_planned_move_record);
        g_ptr_array_add(plan->moves, move);
    }
    if (move->job_id == NULL)
        move->job_id = g_strdup(child->id);
    take_state(move, child);
}
