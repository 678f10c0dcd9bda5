/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan_job_world.h"

/* The table of a job that carries out a plan: every row, its ends, and many plans run against hosts
 * that refuse, fail and change (R19, R49, R58). */

static GwLifeOutcome step_with(GwPlanJob *self, GwPlanJobEvent event)
{
    GwLifeOutcome outcome;

    if (event.now_us == 0)
        event.now_us = SECOND;
    event.wall_us = event.now_us;
    UNIT_OK(gw_plan_job_step(self, &event, &outcome, error));
    return outcome;
}

#define STEP(self, ...) step_with(self, (GwPlanJobEvent){ .kind = GW_PLAN_JOB_##__VA_ARGS__ })

static gboolean has_effect(const GwLifeOutcome *outcome, GwPlanJobDo effect)
{
    for (guint i = 0; i < outcome->count; i++) {
        if (outcome->effects[i] == effect)
            return TRUE;
    }
    return FALSE;
}

static const GwLifeRow *row_of(int state, int kind)
{
    const GwLifeRow *found = NULL;
    guint count;
    const GwLifeRow *rows = gw_plan_job_rows(&count);

    for (guint i = 0; i < count; i++) {
        if ((int)rows[i].state != state || (int)rows[i].event != kind)
            continue;
        assert_null(found); /* one row for each pair */
        found = &rows[i];
    }
    return found;
}

static void every_row_and_every_gap(void **state)
{
    guint count, walked = 0;

    (void)state;
    gw_plan_job_rows(&count);
    for (int from = GW_JOB_CHECKING; from <= (int)GW_JOB_CANCELLED; from++) {
        for (int kind = 0; kind < GW_PLAN_JOB_EVENT_COUNT; kind++) {
            const GwLifeRow *row = row_of(from, kind);
            /* One more is under way, so that nothing ends at once. */
            g_autoptr(GwPlanJob) self = job_for((GwJobState)from, job_plan(2, "a", "r"));
            job_move_at(self, 1)->state = GW_PLANNED_RUNNING;
            g_autoptr(GwMigrationPlan) anew = job_plan(1, "b");
            g_autoptr(GError) why = job_refusal("no room"), refused = NULL;
            GwLifeOutcome outcome;
            GwPlanJobEvent event = { .kind = (GwPlanJobEventKind)kind,
                                     .job_id = "J",
                                     .error = why,
                                     .plan = anew,
                                     .now_us = SECOND,
                                     .wall_us = SECOND };
            if (kind == GW_PLAN_JOB_ENDED)
                job_move_at(self, 0)->state = GW_PLANNED_RUNNING;
            gboolean taken = gw_plan_job_step(self, &event, &outcome, &refused);
            assert_int_equal(taken, row != NULL);
            if (row == NULL) {
                assert_true(g_error_matches(refused, GW_ERROR, GW_ERR_CONFLICT));
                assert_int_equal(self->job->state, from);
                assert_int_equal(outcome.count, 0);
                continue;
            }
            assert_int_equal(self->job->state, row->next);
            assert_true(row->why[0] != '\0');
            if ((int)row->next != from)
                assert_true(outcome.journal);
            walked++;
        }
    }
    assert_int_equal(walked, count);
}

static void all_go_well(void **state)
{
    g_autoptr(GwPlanJob) self = job_for(GW_JOB_QUEUED, job_plan(2, "a", "b"));
    g_autoptr(GwMigrationPlan) nothing = job_plan(0);

    (void)state;
    GwLifeOutcome outcome = STEP(self, BEGIN);
    assert_true(has_effect(&outcome, GW_PLAN_JOB_DO_BEGIN));
    assert_true(gw_plan_job_is_ready(self, 0));
    STEP(self, BEGUN, .move = 0, .job_id = "A");
    STEP(self, BEGUN, .move = 1, .job_id = "B");
    assert_false(gw_plan_job_is_ready(self, 0)); /* it is under way */
    STEP(self, ENDED, .move = 0);
    assert_int_equal(self->job->progress->percent, 50);
    outcome = STEP(self, ENDED, .move = 1);
    /* Whether a VM came meanwhile is seen by planning once more. */
    assert_true(has_effect(&outcome, GW_PLAN_JOB_DO_PLAN));
    outcome = STEP(self, PLANNED, .plan = nothing);
    assert_true(has_effect(&outcome, GW_PLAN_JOB_DO_FINISH));
    assert_int_equal(self->job->state, GW_JOB_DONE);
    assert_int_equal(self->job->progress->percent, 100);
    assert_null(self->job->error);
    assert_int_equal(gw_plan_job_next_us(self), 0);
}

/* Large VMs take long: what has gone over of them counts, and what a file says is no overflow. */
static void shows_what_is_under_way(void **state)
{
    g_autoptr(GwPlanJob) self = job_for(GW_JOB_QUEUED, job_plan(2, "a", "b"));
    const GwProgress *progress;

    (void)state;
    self->job->plan->total_ms = gw_interval_new();
    self->job->plan->total_ms->likely = 10000;
    job_move_at(self, 0)->bytes = job_move_at(self, 1)->bytes = 1000;
    STEP(self, BEGIN);
    progress = self->job->progress;
    assert_int_equal(progress->eta_ms, 10000);
    self->sent_bytes = 600; /* of a move that has not begun: nothing */
    STEP(self, TIMER);
    assert_int_equal(progress->percent, 0);
    STEP(self, BEGUN, .move = 0, .job_id = "A");
    assert_int_equal(progress->percent, 30);
    assert_int_equal(progress->eta_ms, 7000);
    self->sent_bytes = G_MAXINT64;
    job_move_at(self, 0)->bytes = job_move_at(self, 1)->bytes = G_MAXINT64;
    self->job->plan->total_ms->likely = G_MAXINT64;
    STEP(self, TIMER);
    assert_int_equal(progress->percent, 100);
    assert_int_equal(progress->eta_ms, 0);
}

/* In few words, however long the plan: VMs once each, moves by their state, a few names. */
static void says_how_far_the_plan_is(void **state)
{
    g_autoptr(GwPlanJob) self =
        job_for(GW_JOB_QUEUED, job_plan(8, "a", "b", "b", "c", "d", "e", "f", "g"));
    g_autoptr(GwMigrationPlan) rest = job_plan(2, "e", "h");
    const GwMigrationPlanProgress *p = self->job->plan_progress;

    (void)state;
    assert_int_equal(p->vms, 7);
    assert_int_equal(p->waiting, 8);
    assert_int_equal(g_strv_length(p->moving), 0);
    job_move_at(self, 1)->detour = TRUE;
    STEP(self, BEGIN);
    for (guint i = 0; i < 8; i++)
        STEP(self, BEGUN, .move = i, .job_id = "J");
    p = self->job->plan_progress;
    assert_int_equal(p->running, 8);
    assert_int_equal(g_strv_length(p->moving), GW_PLAN_MOVING_SHOWN);
    STEP(self, ENDED, .move = 0);
    STEP(self, ENDED, .move = 1); /* the detour: it is on its way still */
    g_autoptr(GError) why = job_refusal("no");
    STEP(self, ENDED, .move = 5, .error = why);
    p = self->job->plan_progress;
    assert_int_equal(p->done, 2);
    assert_int_equal(p->vms_moved, 1);
    assert_int_equal(p->failed, 1);
    assert_int_equal(p->running, 5);
    assert_int_equal(p->vms, 7);
    assert_int_equal(p->planned_again, 0);
    STEP(self, DRIFTED, .error = why);
    STEP(self, PLANNED, .plan = rest);
    p = self->job->plan_progress;
    assert_int_equal(p->planned_again, 1);
    assert_int_equal(p->waiting, 2);
    assert_int_equal(p->vms, 8);
}

static void one_waits_for_the_other(void **state)
{
    g_autoptr(GwPlanJob) self = job_for(GW_JOB_QUEUED, job_plan(3, "a", "b", "c"));

    (void)state;
    job_move_at(self, 1)->after = 1;
    self->job->plan->request->moves_at_once = 1;
    STEP(self, BEGIN);
    assert_true(gw_plan_job_is_ready(self, 0));
    assert_false(gw_plan_job_is_ready(self, 1));
    assert_true(gw_plan_job_is_ready(self, 2));
    STEP(self, BEGUN, .move = 0, .job_id = "A");
    assert_false(gw_plan_job_is_ready(self, 2)); /* one at a time */
    STEP(self, ENDED, .move = 0);
    assert_true(gw_plan_job_is_ready(self, 1));
    assert_false(gw_plan_job_is_ready(self, 3)); /* there is none */
}

static void a_failure_is_tried_again_elsewhere(void **state)
{
    g_autoptr(GwPlanJob) self = job_for(GW_JOB_QUEUED, job_plan(1, "a"));
    g_autoptr(GError) why = job_refusal("the destination died");
    gint64 now_us = SECOND;

    (void)state;
    STEP(self, BEGIN);
    for (guint i = 0; i < GW_PLAN_JOB_TRIES; i++) {
        g_autoptr(GwMigrationPlan) anew = job_plan(1, "a");
        guint last = self->job->plan->moves->len - 1;
        STEP(self, BEGUN, .move = last, .job_id = "A", .now_us = now_us);
        GwLifeOutcome outcome = STEP(self, ENDED, .move = last, .error = why, .now_us = now_us);
        assert_false(has_effect(&outcome, GW_PLAN_JOB_DO_PLAN)); /* hosts need a moment */
        now_us += 600 * SECOND;
        outcome = STEP(self, TIMER, .now_us = now_us);
        assert_true(has_effect(&outcome, GW_PLAN_JOB_DO_PLAN));
        STEP(self, PLANNED, .plan = anew, .now_us = now_us);
    }
    /* Three times is enough: it stays, with the reason, and that is what the job says. */
    assert_int_equal(self->job->state, GW_JOB_FAILED);
    assert_non_null(strstr(self->job->error->message, "vm-a"));
    assert_non_null(strstr(self->job->error->message, "the destination died"));
    assert_int_equal(self->job->plan->stays->len, 1);
    const GwPlannedStay *given_up = self->job->plan->stays->pdata[0];
    assert_int_equal(given_up->findings->len, 1);
    const GwFinding *finding = given_up->findings->pdata[0];
    assert_non_null(strstr(finding->observed, "3 moves of "));
    assert_non_null(strstr(finding->remedy, "godwit job show "));
}

static GwPlanJob *after_one_failure(GwPlanJob *self, GError *why, const char *doubt)
{
    g_autoptr(GwMigrationPlan) anew = job_plan(1, "a");

    ((GwPlannedMove *)anew->moves->pdata[0])->doubt = g_strdup(doubt);
    STEP(self, BEGIN);
    STEP(self, BEGUN, .move = 0, .job_id = "A");
    STEP(self, ENDED, .move = 0, .error = why);
    STEP(self, TIMER, .now_us = 600 * SECOND);
    STEP(self, PLANNED, .plan = anew, .now_us = 600 * SECOND);
    return self;
}

/* The same time-out would end it again: it stays, with what to choose. */
static void what_would_time_out_again_is_not_tried(void **state)
{
    g_autoptr(GError) why = NULL;

    (void)state;
    gw_error_set(&why, GW_ERR_TIMEOUT, NULL, "no progress for 30 s");
    g_autoptr(GwPlanJob) self = after_one_failure(job_for(GW_JOB_QUEUED, job_plan(1, "a")), why,
                                                  "Allow post-copy (--post-copy).");
    assert_int_equal(self->job->state, GW_JOB_FAILED);
    assert_int_equal(self->job->plan->moves->len, 1);
    assert_int_equal(self->job->plan->stays->len, 1);
    const GwPlannedStay *stay = self->job->plan->stays->pdata[0];
    assert_string_equal(stay->why, "no progress for 30 s");
    const GwFinding *finding = stay->findings->pdata[0];
    assert_non_null(strstr(finding->observed, "1 move of vm-a failed by a time-out"));
    assert_non_null(strstr(finding->remedy, "post-copy"));
    assert_non_null(strstr(finding->remedy, "longer time-out"));
}

/* One that would arrive by now, and one that failed otherwise, are tried again. */
static void other_failures_are_tried_again(void **state)
{
    g_autoptr(GError) timeout = NULL;
    g_autoptr(GError) other = job_refusal("the destination died");

    (void)state;
    gw_error_set(&timeout, GW_ERR_TIMEOUT, NULL, "no progress for 30 s");
    g_autoptr(GwPlanJob) calm =
        after_one_failure(job_for(GW_JOB_QUEUED, job_plan(1, "a")), timeout, NULL);
    g_autoptr(GwPlanJob) died =
        after_one_failure(job_for(GW_JOB_QUEUED, job_plan(1, "a")), other, "Move it later.");
    GwPlanJob *const both[] = { calm, died };
    for (guint i = 0; i < G_N_ELEMENTS(both); i++) {
        assert_false(gw_job_state_is_final((GwJobState)both[i]->job->state));
        assert_int_equal(both[i]->job->plan->moves->len, 2);
        assert_int_equal(job_move_at(both[i], 1)->state, GW_PLANNED_WAITING);
        assert_int_equal(job_move_at(both[i], 1)->tries, 1);
    }
}

static void what_cannot_leave_is_named(void **state)
{
    g_autoptr(GwMigrationPlan) anew = job_plan(0);
    g_autoptr(GwPlanJob) self = job_for(GW_JOB_QUEUED, job_plan(1, "a"));
    GwPlannedStay *stay = gw_planned_stay_new();

    (void)state;
    stay->vm_name = g_strdup("gpu1");
    stay->host_name = g_strdup("kvm1");
    stay->why = g_strdup("it has a PCI device");
    g_ptr_array_add(anew->stays, stay);
    STEP(self, BEGIN);
    STEP(self, BEGUN, .move = 0, .job_id = "A");
    STEP(self, ENDED, .move = 0);
    STEP(self, PLANNED, .plan = anew);
    assert_int_equal(self->job->state, GW_JOB_FAILED);
    assert_non_null(strstr(self->job->error->message, "'gpu1' stays on kvm1: it has a PCI device"));
}

static void pause_and_resume(void **state)
{
    g_autoptr(GwPlanJob) self = job_for(GW_JOB_QUEUED, job_plan(2, "a", "b"));

    (void)state;
    STEP(self, BEGIN);
    STEP(self, BEGUN, .move = 0, .job_id = "A");
    GwLifeOutcome outcome = STEP(self, PAUSE);
    assert_true(outcome.journal);
    assert_false(gw_plan_job_is_ready(self, 1));
    outcome = STEP(self, ENDED, .move = 0); /* what is under way ends */
    assert_int_equal(outcome.count, 0);
    assert_string_equal(self->job->progress->phase, "paused");
    outcome = STEP(self, RESUME);
    assert_true(has_effect(&outcome, GW_PLAN_JOB_DO_BEGIN));
    assert_true(gw_plan_job_is_ready(self, 1));
}

static void cancel_waits_for_what_is_under_way(void **state)
{
    g_autoptr(GwPlanJob) self = job_for(GW_JOB_QUEUED, job_plan(2, "a", "b"));
    g_autoptr(GError) why = job_refusal("cancelled");

    (void)state;
    STEP(self, BEGIN);
    STEP(self, BEGUN, .move = 0, .job_id = "A");
    GwLifeOutcome outcome = STEP(self, CANCEL);
    assert_true(has_effect(&outcome, GW_PLAN_JOB_DO_CANCEL));
    assert_int_equal(self->job->state, GW_JOB_COPYING);
    assert_false(gw_plan_job_is_ready(self, 1));
    STEP(self, ENDED, .move = 0, .error = why);
    assert_int_equal(self->job->state, GW_JOB_CANCELLED);
    assert_string_equal(self->job->error->code, "cancelled");
}

static GwJob *child_of(const char *vm, GwJobState state)
{
    GwJob *child = gw_job_new();

    child->id = g_strdup_printf("J%s", vm);
    child->vm_uuid = g_strdup(vm);
    child->destination_host_id = g_strdup("h2");
    child->state = (int)state;
    return child;
}

static void a_restart_finds_its_moves(void **state)
{
    g_autoptr(GwPlanJob) self = job_for(GW_JOB_COPYING, job_plan(3, "a", "b", "c"));
    g_autoptr(GwJob) done = child_of("a", GW_JOB_DONE), runs = child_of("b", GW_JOB_COPYING);
    g_autoptr(GwJob) other = child_of("x", GW_JOB_FAILED);
    g_autoptr(GwMigrationPlan) anew = job_plan(1, "c");

    (void)state;
    gw_plan_job_adopt(self, done);
    gw_plan_job_adopt(self, runs);
    gw_plan_job_adopt(self, other);
    assert_int_equal(self->job->plan->moves->len, 4);
    assert_int_equal(job_move_at(self, 0)->state, GW_PLANNED_DONE);
    assert_int_equal(job_move_at(self, 1)->state, GW_PLANNED_RUNNING);
    assert_string_equal(job_move_at(self, 1)->job_id, "Jb");
    assert_int_equal(job_move_at(self, 3)->state, GW_PLANNED_FAILED);
    GwLifeOutcome outcome = STEP(self, RESTART);
    assert_true(has_effect(&outcome, GW_PLAN_JOB_DO_PLAN));
    outcome = STEP(self, PLANNED, .plan = anew);
    assert_true(has_effect(&outcome, GW_PLAN_JOB_DO_BEGIN));
    assert_int_equal(self->job->plan->moves->len, 4); /* what was done, runs and failed; and c */

    g_autoptr(GwPlanJob) cancelled = job_for(GW_JOB_COPYING, job_plan(1, "a"));
    cancelled->job->cancel_requested = TRUE;
    gw_plan_job_adopt(cancelled, runs);
    outcome = STEP(cancelled, RESTART);
    assert_true(has_effect(&outcome, GW_PLAN_JOB_DO_CANCEL));
}

/* Its move went from a list that is full: it does not come back, nor take another one's place. */
static void a_restart_leaves_trimmed_moves_out(void **state)
{
    g_autoptr(GwPlanJob) self = job_for(GW_JOB_COPYING, job_plan(1, "a"));
    g_autoptr(GwJob) trimmed = child_of("a", GW_JOB_DONE), runs = child_of("y", GW_JOB_COPYING);

    (void)state;
    while (self->job->plan->moves->len < GW_PLAN_HISTORY_MAX)
        g_ptr_array_add(self->job->plan->moves, job_move("x", 0));
    gw_plan_job_adopt(self, trimmed);
    assert_int_equal(self->job->plan->moves->len, GW_PLAN_HISTORY_MAX);
    assert_int_equal(job_move_at(self, 0)->state, GW_PLANNED_WAITING);
    gw_plan_job_adopt(self, runs);
    assert_int_equal(self->job->plan->moves->len, GW_PLAN_HISTORY_MAX + 1);
    job_move_at(self, 0)->job_id = g_strdup(trimmed->id);
    gw_plan_job_adopt(self, trimmed);
    assert_int_equal(job_move_at(self, 0)->state, GW_PLANNED_DONE);
}

static void a_new_plan_keeps_its_links(void **state)
{
    g_autoptr(GwPlanJob) self = job_for(GW_JOB_QUEUED, job_plan(1, "a"));
    g_autoptr(GwMigrationPlan) anew = job_plan(2, "b", "c");
    g_autoptr(GError) why = job_refusal("a host came back");

    (void)state;
    ((GwPlannedMove *)anew->moves->pdata[1])->after = 1;
    STEP(self, BEGIN);
    STEP(self, BEGUN, .move = 0, .job_id = "A");
    STEP(self, DRIFTED, .error = why);
    STEP(self, PLANNED, .plan = anew);
    assert_int_equal(self->job->plan->moves->len, 3);
    assert_int_equal(job_move_at(self, 2)->after, 2); /* the same move under its new number */
}

/* A VM that others bring back to the host that is emptied, again and again. */
static void history_has_a_ceiling(void **state)
{
    enum { OVER = 10 };
    g_autoptr(GwPlanJob) self = job_for(GW_JOB_COPYING, job_plan(1, "b"));
    g_autoptr(GwMigrationPlan) anew = job_plan(2, "a", "b");
    g_autoptr(GError) why = job_refusal("it is back");

    (void)state;
    GwPlannedMove *failed = job_move("f", 0);
    failed->state = GW_PLANNED_FAILED;
    g_ptr_array_add(self->job->plan->moves, failed);
    for (guint i = 0; i < GW_PLAN_HISTORY_MAX - 1 + OVER; i++) {
        GwPlannedMove *move = job_move("a", 0);
        move->state = GW_PLANNED_DONE;
        move->job_id = g_strdup_printf("J%u", i);
        g_ptr_array_add(self->job->plan->moves, move);
    }
    STEP(self, DRIFTED, .error = why);
    STEP(self, PLANNED, .plan = anew);
    assert_int_equal(self->history, GW_PLAN_HISTORY_MAX);
    assert_int_equal(self->job->plan_progress->waiting, 2);
    assert_int_equal(self->job->plan_progress->done, GW_PLAN_HISTORY_MAX - 1);
    assert_string_equal(job_move_at(self, 0)->vm_uuid, "f"); /* what failed counts as a try */
    assert_string_equal(job_move_at(self, 1)->job_id, "J0"); /* where it came from */
    assert_string_equal(job_move_at(self, 2)->job_id, "J11");
    g_autofree char *last = g_strdup_printf("J%u", GW_PLAN_HISTORY_MAX - 2 + OVER);
    assert_string_equal(job_move_at(self, GW_PLAN_HISTORY_MAX - 1)->job_id, last);
}

/* Worlds ------------------------------------------------------------------------------------ */

#define VMS 6

typedef struct {
    GRand *rand;
    gboolean gone[VMS]; /* it has left the host */
    gboolean stuck[VMS];
} World;

/* What a planner would say of it now. */
static GwMigrationPlan *plan_world(World *world, const GwPlanJob *self)
{
    GwMigrationPlan *plan = job_plan(0);

    for (int v = 0; v < VMS; v++) {
        g_autofree char *name = g_strdup_printf("%d", v);
        gboolean runs = FALSE;
        for (guint i = 0; i < self->job->plan->moves->len; i++)
            runs = runs || (job_move_at(self, i)->state == (int)GW_PLANNED_RUNNING &&
                            g_str_equal(job_move_at(self, i)->vm_uuid, name));
        if (world->gone[v] || runs)
            continue;
        gint64 after = plan->moves->len > 0 && g_rand_int_range(world->rand, 0, 3) == 0
                           ? (gint64)plan->moves->len
                           : 0;
        g_ptr_array_add(plan->moves, job_move(name, after));
    }
    return plan;
}

static void carry_out(World *world, GwPlanJob *self, const GwLifeOutcome *outcome, gint64 now_us);

static void feed(World *world, GwPlanJob *self, GwPlanJobEvent event)
{
    GwLifeOutcome outcome;
    g_autoptr(GError) error = NULL;

    event.wall_us = event.now_us;
    if (gw_plan_job_step(self, &event, &outcome, &error))
        carry_out(world, self, &outcome, event.now_us);
}

static void begin_ready(World *world, GwPlanJob *self, gint64 now_us)
{
    g_autoptr(GError) why = job_refusal("preflight");

    for (guint i = 0; i < self->job->plan->moves->len; i++) {
        if (!gw_plan_job_is_ready(self, i))
            continue;
        if (g_rand_int_range(world->rand, 0, 8) == 0)
            feed(world, self,
                 (GwPlanJobEvent){
                     .kind = GW_PLAN_JOB_REFUSED, .move = i, .error = why, .now_us = now_us });
        else
            feed(world, self,
                 (GwPlanJobEvent){
                     .kind = GW_PLAN_JOB_BEGUN, .move = i, .job_id = "J", .now_us = now_us });
    }
}

static void carry_out(World *world, GwPlanJob *self, const GwLifeOutcome *outcome, gint64 now_us)
{
    for (guint i = 0; i < outcome->count; i++) {
        if (outcome->effects[i] == GW_PLAN_JOB_DO_BEGIN) {
            begin_ready(world, self, now_us);
        } else if (outcome->effects[i] == GW_PLAN_JOB_DO_PLAN) {
            g_autoptr(GwMigrationPlan) plan = plan_world(world, self);
            feed(world, self,
                 (GwPlanJobEvent){ .kind = GW_PLAN_JOB_PLANNED, .plan = plan, .now_us = now_us });
        }
    }
}

static void end_some(World *world, GwPlanJob *self, gint64 now_us)
{
    g_autoptr(GError) why = job_refusal("it did not converge");

    for (guint i = 0; i < self->job->plan->moves->len; i++) {
        GwPlannedMove *move = job_move_at(self, i);
        if (move->state != (int)GW_PLANNED_RUNNING || g_rand_int_range(world->rand, 0, 2) == 0)
            continue;
        int vm = atoi(move->vm_uuid);
        gboolean ok = !world->stuck[vm] && g_rand_int_range(world->rand, 0, 6) != 0;
        world->gone[vm] = world->gone[vm] || ok;
        feed(
            world, self,
            (GwPlanJobEvent){
                .kind = GW_PLAN_JOB_ENDED, .move = i, .error = ok ? NULL : why, .now_us = now_us });
        return; /* the array may be another one now */
    }
}

/* Every plan comes to an end, says the truth in it, and no VM is tried more than three times. */
static void every_world_comes_to_an_end(void **state)
{
    guint done = 0, failed = 0;

    (void)state;
    for (guint32 seed = 1; seed <= 3000; seed++) {
        World world = { .rand = g_rand_new_with_seed(seed) };
        for (int v = 0; v < VMS; v++)
            world.stuck[v] = g_rand_int_range(world.rand, 0, 10) == 0;
        g_autoptr(GwPlanJob) self = job_for(GW_JOB_QUEUED, job_plan(0));
        g_autoptr(GError) why = job_refusal("something changed");
        gint64 now_us = SECOND;
        feed(&world, self, (GwPlanJobEvent){ .kind = GW_PLAN_JOB_BEGIN, .now_us = now_us });
        for (guint turn = 0; turn < 500 && !gw_job_state_is_final(self->job->state); turn++) {
            static const GwPlanJobEventKind asked[] = { GW_PLAN_JOB_DRIFTED, GW_PLAN_JOB_PAUSE,
                                                        GW_PLAN_JOB_RESUME, GW_PLAN_JOB_RESTART };
            now_us += 15 * SECOND;
            end_some(&world, self, now_us);
            if (turn < 40 && g_rand_int_range(world.rand, 0, 5) == 0)
                feed(&world, self,
                     (GwPlanJobEvent){
                         .kind = asked[g_rand_int_range(world.rand, 0, G_N_ELEMENTS(asked))],
                         .error = why,
                         .now_us = now_us });
            else if (turn == 40)
                feed(&world, self,
                     (GwPlanJobEvent){ .kind = GW_PLAN_JOB_RESUME, .now_us = now_us });
            if (gw_plan_job_next_us(self) != 0 && gw_plan_job_next_us(self) <= now_us)
                feed(&world, self, (GwPlanJobEvent){ .kind = GW_PLAN_JOB_TIMER, .now_us = now_us });
        }
        if (!gw_job_state_is_final(self->job->state))
            fail_msg("seed %u has no end", seed);
        for (int v = 0; v < VMS; v++) {
            guint tries = 0;
            for (guint i = 0; i < self->job->plan->moves->len; i++)
                tries += atoi(job_move_at(self, i)->vm_uuid) == v &&
                         job_move_at(self, i)->state == (int)GW_PLANNED_FAILED;
            assert_true(tries <= GW_PLAN_JOB_TRIES);
            if (self->job->state == (int)GW_JOB_DONE)
                assert_true(world.gone[v]);
        }
        done += self->job->state == (int)GW_JOB_DONE;
        failed += self->job->state == (int)GW_JOB_FAILED;
        g_rand_free(world.rand);
    }
    print_message("# %u plans done, %u incomplete\n", done, failed);
    assert_true(done > 100 && failed > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_and_every_gap),
        cmocka_unit_test(all_go_well),
        cmocka_unit_test(shows_what_is_under_way),
        cmocka_unit_test(says_how_far_the_plan_is),
        cmocka_unit_test(one_waits_for_the_other),
        cmocka_unit_test(a_failure_is_tried_again_elsewhere),
        cmocka_unit_test(what_would_time_out_again_is_not_tried),
        cmocka_unit_test(other_failures_are_tried_again),
        cmocka_unit_test(what_cannot_leave_is_named),
        cmocka_unit_test(pause_and_resume),
        cmocka_unit_test(cancel_waits_for_what_is_under_way),
        cmocka_unit_test(a_restart_finds_its_moves),
        cmocka_unit_test(a_restart_leaves_trimmed_moves_out),
        cmocka_unit_test(a_new_plan_keeps_its_links),
        cmocka_unit_test(history_has_a_ceiling),
        cmocka_unit_test(every_world_comes_to_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
