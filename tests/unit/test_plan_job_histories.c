/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan_job_world.h"

#include "plan/plan.h"

/* Random histories of a job that carries a plan out (R49): hosts with VMs that fail, go and come by
 * another's hand, checks that take their time, people who pause, resume and cancel. Whatever comes,
 * no more moves begin than were asked for, none after a pause, it comes to an end, and at the end
 * it is known what became of each VM. */

#define HOSTS 3
#define VMS 9

typedef struct {
    guint32 seed;
    GRand *rand;
    GwPlanJob *self;
    gint64 now_us;
    gboolean gone[VMS]; /* it has left its host, by a move or by another's hand */
    gboolean stuck[VMS];
    gboolean checking[VMS]; /* its move is being begun: BEGUN or REFUSED is due */
    gboolean known[VMS];    /* it was in a plan */
    GwMigrationPlan *anew;  /* PLANNED is due; NULL: it is not */
    gboolean stop;          /* paused or cancelled: nothing begins */
} History;

static gboolean chance(History *h, int of)
{
    return g_rand_int_range(h->rand, 0, of) == 0;
}

static guint vm_of(const GwPlannedMove *move)
{
    return (guint)atoi(move->vm_uuid);
}

/* The number of the last move from the same host: hosts are emptied one by one. */
static gint64 one_before(const GwMigrationPlan *plan, guint vm)
{
    for (guint i = plan->moves->len; i > 0; i--) {
        if (vm_of(plan->moves->pdata[i - 1]) % HOSTS == vm % HOSTS)
            return i;
    }
    return 0;
}

/* What a planner would say of it now: VMs stay by and by, and some wait for another. */
static GwMigrationPlan *plan_now(History *h)
{
    GwMigrationPlan *plan = job_plan(0);

    for (guint v = 0; v < VMS; v++) {
        g_autofree char *uuid = g_strdup_printf("%u", v);
        gboolean runs = FALSE;
        for (guint i = 0; job_move_at(h->self, i) != NULL; i++)
            runs = runs || (job_move_at(h->self, i)->state == (int)GW_PLANNED_RUNNING &&
                            vm_of(job_move_at(h->self, i)) == v);
        if (h->gone[v] || runs)
            continue;
        h->known[v] = TRUE;
        GwPlannedMove *move = job_move(uuid, chance(h, 3) ? one_before(plan, v) : 0);
        g_free(move->source_host_id);
        move->source_host_id = g_strdup_printf("h%u", v % HOSTS);
        g_free(move->destination_host_id);
        move->destination_host_id = g_strdup("elsewhere");
        move->wave = move->after + 1;
        if (!chance(h, 12)) {
            g_ptr_array_add(plan->moves, move);
            continue;
        }
        GwPlannedStay *stay = gw_planned_stay_new();
        stay->vm_uuid = g_strdup(uuid);
        stay->vm_name = g_strdup(uuid);
        stay->host_name = g_strdup("h");
        stay->why = g_strdup("there is no room");
        g_ptr_array_add(plan->stays, stay);
        gw_planned_move_free(move);
    }
    return plan;
}

static void check_limits(History *h)
{
    const GwPlanRequest *request = h->self->job->plan->request;
    gint64 moves = 0, hosts = 0;
    gboolean open[HOSTS] = { FALSE };

    for (guint v = 0; v < VMS; v++) {
        gboolean under_way = h->checking[v];
        for (guint i = 0; job_move_at(h->self, i) != NULL; i++) {
            const GwPlannedMove *move = job_move_at(h->self, i);
            under_way = under_way || (vm_of(move) == v && move->state == (int)GW_PLANNED_RUNNING);
        }
        moves += under_way;
        hosts += under_way && !open[v % HOSTS];
        open[v % HOSTS] = open[v % HOSTS] || under_way;
    }
    if (request->moves_at_once > 0 && moves > request->moves_at_once)
        fail_msg("seed %u: %d moves at once", h->seed, (int)moves);
    if (request->hosts_at_once > 0 && hosts > request->hosts_at_once)
        fail_msg("seed %u: %d hosts at once", h->seed, (int)hosts);
}

static void carry_out(History *h, const GwLifeOutcome *outcome);

static void feed(History *h, GwPlanJobEvent event)
{
    GwLifeOutcome outcome;
    g_autoptr(GError) error = NULL;

    event.now_us = event.wall_us = h->now_us;
    if (gw_plan_job_step(h->self, &event, &outcome, &error))
        carry_out(h, &outcome);
    check_limits(h);
}

#define FEED(h, ...) feed(h, (GwPlanJobEvent){ .kind = GW_PLAN_JOB_##__VA_ARGS__ })

static void count_beginning(History *h)
{
    h->self->beginning = 0;
    for (guint v = 0; v < VMS; v++)
        h->self->beginning += h->checking[v];
}

static gboolean is_ready(const History *h, guint index, GHashTable *beginning)
{
    g_autoptr(GwPlanTurns) turns =
        gw_plan_turns_new(h->self->job->plan, h->self->history, beginning);
    return gw_plan_turns_ready(turns, index, NULL);
}

/* As an engine does it: each is checked and journaled first, which takes time. */
static void begin_ready(History *h)
{
    g_autoptr(GHashTable) beginning = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; job_move_at(h->self, i) != NULL; i++) {
        if (h->checking[vm_of(job_move_at(h->self, i))])
            g_hash_table_add(beginning, job_move_at(h->self, i)->vm_uuid);
    }
    for (guint i = 0; job_move_at(h->self, i) != NULL; i++) {
        const GwPlannedMove *move = job_move_at(h->self, i);
        if (!gw_plan_job_is_ready(h->self, i) || h->checking[vm_of(move)] ||
            !is_ready(h, i, beginning))
            continue;
        if (h->stop)
            fail_msg("seed %u: a move begins after a pause or a cancel", h->seed);
        h->checking[vm_of(move)] = TRUE;
        g_hash_table_add(beginning, move->vm_uuid);
        count_beginning(h);
        check_limits(h);
    }
}

static void carry_out(History *h, const GwLifeOutcome *outcome)
{
    for (guint i = 0; i < outcome->count; i++) {
        if (outcome->effects[i] == GW_PLAN_JOB_DO_BEGIN)
            begin_ready(h);
        else if (outcome->effects[i] == GW_PLAN_JOB_DO_PLAN)
            h->self->planning = TRUE;
    }
}

/* One of those that are being begun has its job, or is refused. */
static void end_a_check(History *h)
{
    g_autoptr(GError) why = job_refusal("preflight");

    for (guint i = 0; job_move_at(h->self, i) != NULL; i++) {
        GwPlannedMove *move = job_move_at(h->self, i);
        if (move->state != (int)GW_PLANNED_WAITING || !h->checking[vm_of(move)] || chance(h, 2))
            continue;
        h->checking[vm_of(move)] = FALSE;
        count_beginning(h);
        if (chance(h, 6))
            FEED(h, REFUSED, .move = i, .error = why);
        else
            FEED(h, BEGUN, .move = i, .job_id = "J");
        return;
    }
}

static void end_a_move(History *h)
{
    g_autoptr(GError) why = job_refusal("it did not converge");

    for (guint i = 0; job_move_at(h->self, i) != NULL; i++) {
        GwPlannedMove *move = job_move_at(h->self, i);
        if (move->state != (int)GW_PLANNED_RUNNING || chance(h, 2))
            continue;
        gboolean ok = !h->stuck[vm_of(move)] && !chance(h, 6);
        h->gone[vm_of(move)] = h->gone[vm_of(move)] || ok;
        FEED(h, ENDED, .move = i, .error = ok ? NULL : why);
        return; /* the array may be another one now */
    }
}

/* A plan is made when nothing is being begun, over what is there then; it is taken later. */
static void plan_some(History *h)
{
    if (h->anew != NULL) {
        g_autoptr(GwMigrationPlan) plan = g_steal_pointer(&h->anew);
        FEED(h, PLANNED, .plan = plan, .held = chance(h, 10));
    } else if (h->self->planning && h->self->beginning == 0) {
        h->anew = plan_now(h);
    }
}

static void others_act(History *h)
{
    g_autoptr(GError) why = job_refusal("something changed");
    guint vm = (guint)g_rand_int_range(h->rand, 0, VMS);
    gboolean moves = h->checking[vm];

    for (guint i = 0; job_move_at(h->self, i) != NULL; i++)
        moves = moves || (vm_of(job_move_at(h->self, i)) == vm &&
                          job_move_at(h->self, i)->state == (int)GW_PLANNED_RUNNING);
    if (moves)
        return;
    h->gone[vm] = TRUE; /* by another's hand */
    FEED(h, DRIFTED, .error = why);
}

static void people_act(History *h)
{
    switch (g_rand_int_range(h->rand, 0, 12)) {
    case 0:
        FEED(h, CANCEL);
        h->stop = TRUE;
        break;
    case 1:
    case 2:
    case 3:
    case 4:
        FEED(h, PAUSE);
        h->stop = TRUE;
        break;
    default:
        h->stop = h->self->job->cancel_requested;
        FEED(h, RESUME);
    }
}

static void turn(History *h, gboolean restless)
{
    h->now_us += g_rand_int_range(h->rand, 1, 15) * SECOND;
    end_a_check(h);
    end_a_move(h);
    plan_some(h);
    if (restless && chance(h, 5))
        people_act(h);
    if (restless && chance(h, 12))
        others_act(h);
    if (gw_plan_job_next_us(h->self) != 0 && gw_plan_job_next_us(h->self) <= h->now_us)
        FEED(h, TIMER);
}

/* Each VM that the job ever had to do with went away, or is said to stay, and why. */
static void check_end(const History *h)
{
    const GwMigrationPlan *plan = h->self->job->plan;

    for (guint v = 0; v < VMS; v++) {
        g_autofree char *uuid = g_strdup_printf("%u", v);
        const GwPlannedStay *stay =
            gw_record_find(&gw_planned_stay_record, plan->stays, "vm_uuid", uuid);
        guint failed = 0;
        int last = -1;
        for (guint i = 0; job_move_at(h->self, i) != NULL; i++) {
            if (vm_of(job_move_at(h->self, i)) != v)
                continue;
            last = job_move_at(h->self, i)->state;
            failed += last == (int)GW_PLANNED_FAILED;
            if (last == (int)GW_PLANNED_WAITING || last == (int)GW_PLANNED_RUNNING)
                fail_msg("seed %u: vm %u is not over", h->seed, v);
        }
        assert_true(failed <= GW_PLAN_JOB_TRIES);
        if (stay != NULL && (stay->why == NULL || *stay->why == '\0'))
            fail_msg("seed %u: vm %u stays for no reason", h->seed, v);
        /* By another's hand: what had a move is skipped, what only stayed is no word any more. */
        gboolean left = h->gone[v] && (last == (int)GW_PLANNED_SKIPPED || last < 0);
        if (h->known[v] && stay == NULL && last != (int)GW_PLANNED_DONE && !left)
            fail_msg("seed %u: vm %u has state %d, stays not, and is %s", h->seed, v, last,
                     h->gone[v] ? "gone" : "there");
        if (h->self->job->state == (int)GW_JOB_DONE && !h->gone[v])
            fail_msg("seed %u: done, and vm %u is there", h->seed, v);
    }
}

static GwJobState run(guint32 seed)
{
    History h = { .seed = seed, .rand = g_rand_new_with_seed(seed), .now_us = SECOND };
    GwMigrationPlan *first;

    for (guint v = 0; v < VMS; v++)
        h.stuck[v] = chance(&h, 12);
    h.self = job_for(GW_JOB_QUEUED, job_plan(0));
    first = plan_now(&h);
    first->kind = first->request->kind = GW_PLAN_DRAIN;
    first->request->moves_at_once = g_rand_int_range(h.rand, 0, 4);
    first->request->hosts_at_once = g_rand_int_range(h.rand, 0, 3);
    gw_plan_job_free(h.self);
    h.self = job_for(GW_JOB_QUEUED, first);
    if (chance(&h, 30))
        FEED(&h, CANCEL);
    else
        FEED(&h, BEGIN);
    for (guint i = 0; i < 800 && !gw_job_state_is_final(h.self->job->state); i++) {
        turn(&h, i < 60);
        if (i == 60) {
            h.stop = h.self->job->cancel_requested;
            FEED(&h, RESUME);
        }
    }
    GwJobState state = (GwJobState)h.self->job->state;
    if (!gw_job_state_is_final(state))
        fail_msg("seed %u has no end", seed);
    check_end(&h);
    gw_migration_plan_free(h.anew);
    gw_plan_job_free(h.self);
    g_rand_free(h.rand);
    return state;
}

static void whatever_comes(void **unused)
{
    guint ends[GW_JOB_CANCELLED + 1] = { 0 };

    (void)unused;
    for (guint32 seed = 1; seed <= 4000; seed++)
        ends[run(seed)]++;
    print_message("# %u done, %u incomplete, %u cancelled\n", ends[GW_JOB_DONE],
                  ends[GW_JOB_FAILED], ends[GW_JOB_CANCELLED]);
    assert_true(ends[GW_JOB_DONE] > 100 && ends[GW_JOB_FAILED] > 100);
    assert_true(ends[GW_JOB_CANCELLED] > 100);
}

/* What people say twice --------------------------------------------------------------------- */

static GwLifeOutcome say(GwPlanJob *self, GwPlanJobEventKind kind)
{
    GwPlanJobEvent event = { .kind = kind, .now_us = SECOND, .wall_us = SECOND };
    GwLifeOutcome outcome;

    UNIT_OK(gw_plan_job_step(self, &event, &outcome, error));
    return outcome;
}

static void assert_no_step(GwPlanJob *self, GwPlanJobEventKind kind)
{
    guint steps = self->job->steps->len;
    GwLifeOutcome outcome = say(self, kind);

    assert_int_equal(outcome.count, 0);
    assert_false(outcome.journal);
    assert_int_equal(self->job->steps->len, steps);
}

static void said_twice_is_said_once(void **unused)
{
    g_autoptr(GwPlanJob) self = job_for(GW_JOB_QUEUED, job_plan(2, "0", "1"));
    g_autoptr(GError) error = NULL;
    GwLifeOutcome outcome;
    (void)unused;

    say(self, GW_PLAN_JOB_BEGIN);
    assert_no_step(self, GW_PLAN_JOB_RESUME); /* it goes on already */
    say(self, GW_PLAN_JOB_PAUSE);
    assert_no_step(self, GW_PLAN_JOB_PAUSE);
    job_move_at(self, 0)->state = GW_PLANNED_RUNNING;
    /* What is paused can be cancelled; what is being cancelled is not paused, nor goes on. */
    outcome = say(self, GW_PLAN_JOB_CANCEL);
    assert_true(outcome.journal);
    assert_no_step(self, GW_PLAN_JOB_CANCEL);
    GwPlanJobEvent pause = { .kind = GW_PLAN_JOB_PAUSE }, resume = { .kind = GW_PLAN_JOB_RESUME };
    assert_false(gw_plan_job_step(self, &pause, &outcome, &error));
    unit_assert_error(error, GW_ERR_CONFLICT, "cancel");
    g_clear_error(&error);
    assert_false(gw_plan_job_step(self, &resume, &outcome, &error));
    unit_assert_error(error, GW_ERR_CONFLICT, "cancel");
    job_move_at(self, 0)->state = GW_PLANNED_DONE;
    say(self, GW_PLAN_JOB_TIMER);
    assert_int_equal(self->job->state, GW_JOB_CANCELLED);
}

/* A plan that does not hold is made anew every few seconds, for as long as that lasts. */
static void history_has_an_end(void **unused)
{
    g_autoptr(GwPlanJob) self = job_for(GW_JOB_QUEUED, job_plan(1, "0"));
    g_autoptr(GError) why = job_refusal("something changed");
    GwLifeOutcome outcome;
    (void)unused;

    say(self, GW_PLAN_JOB_BEGIN);
    for (guint i = 0; i < 3000; i++) {
        g_autoptr(GwMigrationPlan) anew = job_plan(1, "0");
        GwPlanJobEvent drifted = { .kind = GW_PLAN_JOB_DRIFTED, .error = why };
        GwPlanJobEvent planned = { .kind = GW_PLAN_JOB_PLANNED, .plan = anew };
        UNIT_OK(gw_plan_job_step(self, &drifted, &outcome, error));
        UNIT_OK(gw_plan_job_step(self, &planned, &outcome, error));
    }
    const GPtrArray *steps = self->job->steps;
    assert_int_equal(steps->len, GW_LIFE_STEPS_MAX);
    assert_int_equal(self->job->steps_dropped, 6001 - GW_LIFE_STEPS_MAX);
    assert_string_equal(((GwJobStep *)steps->pdata[0])->event, "begin");
    assert_string_equal(((GwJobStep *)steps->pdata[steps->len - 1])->event, "planned");
    assert_int_equal(self->job->plan->moves->len, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_comes),
        cmocka_unit_test(said_twice_is_said_once),
        cmocka_unit_test(history_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
