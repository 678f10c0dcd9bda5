/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan_world.h"

#include "engine/plans_internal.h"

/* Looks at host groups that are balanced come one after another, and what one of them proved over
 * its picture is begun only where what is cheap to see is still so. */

#define GROUPS 5
static const char *const names[GROUPS] = { "east", "north", "south", "west", "yard" };

static void add_group(PlanWorld *world, const char *name)
{
    g_autoptr(GwGroup) group = gw_group_new();
    g_autoptr(GError) error = NULL;

    group->name = g_strdup(name);
    group->balance = gw_balance_settings_new_default();
    group->balance->mode = GW_BALANCE_RECOMMEND;
    g_autoptr(GwGroup) added = gw_engine_add_group(world->world.engine, group, &error);
    if (added == NULL)
        fail_msg("%s", error->message);
}

/* Each question is a turn of its own at least. Owned; NULL: not yet. */
static char *looked_at(PlanWorld *world, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwBalanceStatus) status = gw_engine_balance(world->world.engine, name, &error);

    if (status == NULL)
        fail_msg("%s", error->message);
    return g_steal_pointer(&status->looked_at);
}

/* Until the first of the groups has been looked at. */
static char *wait_for_first(PlanWorld *world)
{
    for (guint s = 0; s < 600; s++) {
        char *at = looked_at(world, names[0]);
        if (at != NULL)
            return at;
        gw_engine_turn(world->world.engine, SECONDS(1));
    }
    fail_msg("nobody looks");
    return NULL;
}

/* By name. However long a look takes, there is no other one beside it. */
static void test_groups_take_turns(void **unused)
{
    PlanWorld world;
    (void)unused;

    plan_open_default(&world);
    for (guint i = GROUPS; i > 0; i--)
        add_group(&world, names[i - 1]);
    g_autofree char *first = wait_for_first(&world);
    g_autofree char *last_yet = looked_at(&world, names[GROUPS - 1]);
    assert_null(last_yet); /* the second one's look ended in this turn, and the third one's began */
    for (guint i = 1; i < GROUPS; i++) {
        g_autofree char *at = looked_at(&world, names[i]);
        assert_non_null(at);
        assert_string_equal(at, first); /* nothing else was waited for */
    }

    world_run(&world.world, SECONDS(301));
    for (guint i = 0; i < GROUPS; i++) { /* and all of them again */
        g_autofree char *again = looked_at(&world, names[i]);
        assert_string_not_equal(again, first);
    }
    plan_close(&world);
}

/* A group that goes while it waits for its look is passed over, and those behind it are not. */
static void test_a_group_that_goes_is_passed_over(void **unused)
{
    PlanWorld world;
    g_autoptr(GError) error = NULL;
    (void)unused;

    plan_open_default(&world);
    for (guint i = 0; i < GROUPS; i++)
        add_group(&world, names[i]);
    g_autofree char *first = wait_for_first(&world);
    assert_true(gw_engine_remove_group(world.world.engine, names[GROUPS - 2], &error));
    world_run(&world.world, SECONDS(1));
    g_autofree char *last = looked_at(&world, names[GROUPS - 1]);
    assert_non_null(last);
    assert_string_equal(last, first);
    assert_null(gw_engine_balance(world.world.engine, names[GROUPS - 2], &error));
    unit_assert_error(error, GW_ERR_NOT_FOUND, "west");
    plan_close(&world);
}

/* What was proven ------------------------------------------------------------------------------ */

typedef struct {
    gboolean over;
    GwJob *job;
    GError *error;
} Answer;

static void answered(GwEngine *engine, gpointer result, const GError *error, gpointer user)
{
    Answer *answer = user;

    (void)engine;
    answer->over = TRUE;
    answer->job = result;
    answer->error = error != NULL ? g_error_copy(error) : NULL;
}

static void answer_clear(Answer *answer)
{
    gw_job_free(answer->job);
    g_clear_error(&answer->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Answer, answer_clear)

/* As a look does, over the picture that is there now. */
static GwMigrationPlan *make_proven(PlanWorld *world)
{
    GwPlanRequest *request = plan_request(GW_PLAN_MOVES, NULL);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->world.engine);
    g_autoptr(GError) error = NULL;

    request->vms = g_strsplit("vm0 vm1", " ", -1);
    GwMigrationPlan *plan = plan_make(world, request);
    assert_int_equal(plan->moves->len, 2);
    if (!gw_plans_prove(fabric, plan, &error))
        fail_msg("%s", error->message);
    return plan;
}

static void apply(PlanWorld *world, const GwMigrationPlan *plan, Answer *answer)
{
    gw_plans_apply(world->world.engine, plan, "balance", answered, answer);
    for (guint i = 0; i < 100 && !answer->over; i++)
        gw_engine_turn(world->world.engine, SECONDS(1));
    assert_true(answer->over);
}

static void test_what_still_holds_begins(void **unused)
{
    PlanWorld world;
    g_auto(Answer) answer = { 0 };
    (void)unused;

    plan_open_default(&world);
    g_autoptr(GwMigrationPlan) plan = make_proven(&world);
    apply(&world, plan, &answer);
    assert_non_null(answer.job);
    plan_end_done(&world, answer.job->id);
    plan_close(&world);
}

/* The loop has gone on since the look's picture. */
static void test_what_has_moved_meanwhile_is_seen(void **unused)
{
    PlanWorld world;
    g_auto(Answer) answer = { 0 };
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *uuid = trial_uuid(1);
    (void)unused;

    plan_open_default(&world);
    g_autoptr(GwMigrationPlan) plan = make_proven(&world);
    request->destination = g_strdup("d");
    request->options = gw_move_options_new();
    g_autoptr(GwJob) job =
        gw_engine_migrate(world.world.engine, uuid, request, "tester", NULL, &error);
    assert_non_null(job);
    plan_end_done(&world, job->id);
    apply(&world, plan, &answer);
    assert_null(answer.job);
    unit_assert_error(answer.error, GW_ERR_CONFLICT, "'vm1' is not on a any more");
    assert_int_equal(plan_unfinished(&world), 0);
    plan_close(&world);
}

/* So is what begins meanwhile for its hosts and VMs. */
static void test_what_is_under_way_meanwhile_is_seen(void **unused)
{
    PlanWorld world;
    g_auto(Answer) answer = { 0 };
    (void)unused;

    plan_open_default(&world);
    g_autoptr(GwMigrationPlan) plan = make_proven(&world);
    g_autofree char *drain = plan_drain(&world, "a");
    apply(&world, plan, &answer);
    assert_null(answer.job);
    unit_assert_error(answer.error, GW_ERR_CONFLICT, "Drain a");
    plan_end_done(&world, drain);
    plan_close_drained(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_take_turns),
        cmocka_unit_test(test_a_group_that_goes_is_passed_over),
        cmocka_unit_test(test_what_still_holds_begins),
        cmocka_unit_test(test_what_has_moved_meanwhile_is_seen),
        cmocka_unit_test(test_what_is_under_way_meanwhile_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
