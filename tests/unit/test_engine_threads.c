/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine_world.h"

#include "engine/engine_internal.h"

/* The engine on real threads and a real clock: callers, readers and followers at once while moves
 * run, then its end. It asserts little; it is for the sanitizers to watch. */

#define VM_COUNT 4
#define CALLERS 3
#define ROUNDS 25

typedef struct {
    World *world;
    gint stop;
    gint answers;
} Shared;

static char *uuid_of(guint vm)
{
    return g_strdup_printf("6d0b6b0e-0000-4000-8000-%012u", vm + 1);
}

static json_t *fabric_json(void)
{
    json_t *a = world_host_json(0);
    json_t *vms = json_array();

    for (guint i = 0; i < VM_COUNT; i++) {
        g_autofree char *uuid = uuid_of(i);
        g_autofree char *name = g_strdup_printf("vm%u", i);
        json_array_append_new(vms, world_vm_json(uuid, name));
    }
    json_object_set_new(a, "vms", vms);
    return json_pack("{s:[o,o], s:i, s:i, s:i}", "hosts", a, world_host_json(1), "link_mibps",
                     20000, "dirty_mibps", 10, "confirm_ms", 5);
}

static void change_host(GwEngine *engine)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    g_autoptr(GwHost) host = gw_host_copy(gw_fabric_find_host(fabric, "b"));

    host->live_limit = g_random_int_range(1, 4);
    G_GNUC_UNUSED g_autoptr(GwHost) changed = world_change_host(engine, host, NULL);
}

static gpointer call(gpointer data)
{
    Shared *shared = data;
    GwEngine *engine = shared->world->engine;

    for (guint i = 0; i < ROUNDS; i++) {
        g_autofree char *vm = uuid_of((guint)g_random_int_range(0, VM_COUNT));
        g_autoptr(GwMoveRequest) request = gw_move_request_new();
        request->destination = g_strdup(g_random_boolean() ? "a" : "b");
        G_GNUC_UNUSED g_autoptr(GwMovePlan) plan = gw_engine_plan_move(engine, vm, request, NULL);
        g_autoptr(GwJob) job = gw_engine_migrate(engine, vm, request, "tester", NULL, NULL);
        if (job != NULL && i % 4 == 0) {
            G_GNUC_UNUSED g_autoptr(GwJob) cancelled = gw_engine_cancel_job(engine, job->id, NULL);
        }
        if (i % 5 == 0)
            change_host(engine);
        if (i % 9 == 0)
            gw_engine_refresh_host(engine, "a", NULL);
        g_atomic_int_inc(&shared->answers);
        g_usleep(5000);
    }
    return NULL;
}

static gpointer read_pictures(gpointer data)
{
    Shared *shared = data;
    guint64 after = gw_feed_last(gw_engine_feed(shared->world->engine));

    while (!g_atomic_int_get(&shared->stop)) {
        g_autoptr(GwFabric) fabric = gw_engine_fabric(shared->world->engine);
        G_GNUC_UNUSED g_autoptr(GPtrArray) vms = gw_fabric_list_vms(fabric, NULL);
        gboolean lost = FALSE;
        G_GNUC_UNUSED g_autoptr(GPtrArray) items =
            gw_feed_wait(gw_engine_feed(shared->world->engine), after, 100, 20000, &lost);
        after = gw_feed_last(gw_engine_feed(shared->world->engine));
        g_autofree char *user = gw_engine_check_token(shared->world->engine, "no such", NULL);
        assert_null(user);
    }
    return NULL;
}

static void test_many_threads_and_an_end(void **unused)
{
    World world;
    Shared shared = { .world = &world };
    GThread *threads[CALLERS];
    (void)unused;

    world_make(&world, gw_clock_new_system(), fabric_json());
    world_start(&world);
    world_add_host(&world, 0);
    world_add_host(&world, 1);
    GThread *reader = g_thread_new("reader", read_pictures, &shared);
    for (guint i = 0; i < CALLERS; i++)
        threads[i] = g_thread_new("caller", call, &shared);
    for (guint i = 0; i < CALLERS; i++)
        g_thread_join(threads[i]);
    g_atomic_int_set(&shared.stop, 1);
    g_thread_join(reader);

    /* Every call was answered, and no VM ran twice; moves may still be under way at the end. */
    assert_int_equal(shared.answers, CALLERS * ROUNDS);
    for (guint i = 0; i < VM_COUNT; i++) {
        g_autofree char *uuid = uuid_of(i);
        assert_int_equal(gw_sim_most_running(world.sim, uuid), 1);
        assert_true(gw_sim_definitions(world.sim, uuid) >= 1);
    }
    world_free(&world);
}

/* Changes at once ---------------------------------------------------------------------------- */

/* Holds the loop until the calls of so many threads wait for it: they all run in its next turn. */
static void hold(GwEngine *engine, gpointer calls)
{
    while (g_async_queue_length(engine->inbox) < GPOINTER_TO_INT(calls))
        g_usleep(100);
}

typedef struct {
    GwEngine *engine;
    GwPlacementRuleKind kind;
    gboolean added;
} Change;

static gpointer add_rule(gpointer data)
{
    Change *change = data;
    g_autoptr(GwPlacementRule) rule = gw_placement_rule_new();

    rule->name = g_strdup_printf("rule %d", (int)change->kind);
    rule->kind = (int)change->kind;
    rule->required = TRUE;
    rule->vms = g_new0(char *, 3);
    rule->vms[0] = uuid_of(0);
    rule->vms[1] = uuid_of(1);
    g_autoptr(GwPlacementRule) added = gw_engine_add_rule(change->engine, rule, NULL);
    change->added = added != NULL;
    return NULL;
}

static gpointer add_group(gpointer data)
{
    Change *change = data;
    g_autoptr(GwGroup) group = gw_group_new();

    group->name = g_strdup("lab");
    g_autoptr(GwGroup) added = gw_engine_add_group(change->engine, group, NULL);
    change->added = added != NULL;
    return NULL;
}

static gpointer rename_host(gpointer data)
{
    Change *change = data;
    g_autoptr(GwFabric) fabric = gw_engine_fabric(change->engine);
    const char *which = change->kind == GW_RULE_KIND_APART ? "a" : "b";
    g_autoptr(GwHost) host = gw_host_copy(gw_fabric_find_host(fabric, which));

    g_free(host->name);
    host->name = g_strdup("c");
    g_autoptr(GwHost) changed = world_change_host(change->engine, host, NULL);
    change->added = changed != NULL;
    return NULL;
}

/* What is checked against the others is checked against what is just being stored as well: two
 * rules that cannot both be kept, two records of one name. */
static void test_changes_at_once_are_checked_against_each_other(void **unused)
{
    static const GThreadFunc whats[] = { add_rule, add_group, rename_host };
    World world;
    (void)unused;

    world_make(&world, gw_clock_new_system(), fabric_json());
    world_start(&world);
    world_add_host(&world, 0);
    world_add_host(&world, 1);
    for (guint i = 0; i < G_N_ELEMENTS(whats); i++) {
        Change one = { .engine = world.engine, .kind = GW_RULE_KIND_APART };
        Change two = { .engine = world.engine, .kind = GW_RULE_KIND_TOGETHER };
        gw_engine_post(world.engine, hold, GINT_TO_POINTER(2));
        GThread *other = g_thread_new("change", whats[i], &two);
        whats[i](&one);
        g_thread_join(other);
        assert_int_equal(one.added + two.added, 1);
    }
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_threads_and_an_end),
        cmocka_unit_test(test_changes_at_once_are_checked_against_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
