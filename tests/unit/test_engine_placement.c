/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine_world.h"

#include "base/error.h"

/* What people say of placement: rules, policies of host groups, tags, maintenance. It is durable
 * once it was answered, refused where it makes no sense, and told in the feed. */

#define WEB1 "6d0b6b0e-0000-4000-8000-000000000001"
#define WEB2 "6d0b6b0e-0000-4000-8000-000000000002"
#define DB1 "6d0b6b0e-0000-4000-8000-000000000003" /* off */

static json_t *off(const char *uuid, const char *name)
{
    json_t *vm = world_vm_json(uuid, name);
    json_object_set_new(vm, "state", json_string("off"));
    return vm;
}

static void open_world(World *world)
{
    json_t *a = world_host_json(0);

    json_object_set_new(a, "vms",
                        json_pack("[o,o,o]", world_vm_json(WEB1, "web1"),
                                  world_vm_json(WEB2, "web2"), off(DB1, "db1")));
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)),
               json_pack("{s:[o,o], s:i}", "hosts", a, world_host_json(1), "link_mibps", 500));
    world_start(world);
    world_add_host(world, 0);
    world_add_host(world, 1);
    world_run(world, SECONDS(1));
}

static void start_again(World *world)
{
    world_kill(world);
    world_start(world);
    world_run(world, SECONDS(2));
}

static char **words(const char *text)
{
    return g_strsplit(text, " ", -1);
}

static GwPlacementRule *apart(const char *name, const char *vms)
{
    GwPlacementRule *rule = gw_placement_rule_new();

    rule->name = g_strdup(name);
    rule->kind = GW_RULE_KIND_APART;
    rule->required = TRUE;
    rule->vms = words(vms);
    return rule;
}

static GwPlacementRule *add_rule(World *world, const char *name, const char *vms)
{
    g_autoptr(GwPlacementRule) wanted = apart(name, vms);
    GError *error = NULL;
    GwPlacementRule *rule = gw_engine_add_rule(world->engine, wanted, &error);

    if (error != NULL)
        fail_msg("%s", error->message);
    return rule;
}

/* @error is of that code; it is cleared. */
static void is_refused(GError **error, GwErrorCode code)
{
    assert_true(g_error_matches(*error, GW_ERROR, (int)code));
    g_clear_error(error);
}

static guint rules(World *world)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    return g_hash_table_size(fabric->rules);
}

/* How often the feed told of @type since @after. */
static guint told(World *world, const char *type, guint64 after)
{
    gboolean lost = FALSE;
    g_autoptr(GPtrArray) items = gw_feed_wait(gw_engine_feed(world->engine), after, 1000, 0, &lost);
    guint count = 0;

    assert_false(lost);
    for (guint i = 0; i < items->len; i++) {
        if (strcmp(((GwFeedItem *)items->pdata[i])->type, type) == 0)
            count++;
    }
    return count;
}

static GwHost *host_now(World *world, const char *name)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    return gw_record_ref((gpointer)gw_fabric_find_host(fabric, name));
}

static int maintenance(World *world, const char *name)
{
    g_autoptr(GwHost) host = host_now(world, name);
    return host->maintenance;
}

/* Rules ------------------------------------------------------------------------------------ */

static void test_rules_last(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    open_world(&world);
    guint64 before = gw_feed_last(gw_engine_feed(world.engine));
    /* What is named twice is meant once, and libvirt's UUIDs are of lower case. */
    g_autoptr(GwPlacementRule) rule =
        add_rule(&world, "webs", WEB1 " " WEB2 " 6D0B6B0E-0000-4000-8000-000000000002");
    assert_int_equal(g_strv_length(rule->vms), 2);
    assert_int_equal(told(&world, "rule", before), 1);

    start_again(&world);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    const GwPlacementRule *kept = gw_fabric_find_rule(fabric, "webs");
    assert_non_null(kept);
    assert_true(gw_record_equal(&gw_placement_rule_record, kept, rule));

    before = gw_feed_last(gw_engine_feed(world.engine));
    rule->disabled = TRUE;
    g_autoptr(GwPlacementRule) changed = world_change_rule(world.engine, rule, &error);
    assert_null(error);
    assert_true(changed->disabled);
    assert_true(gw_engine_remove_rule(world.engine, "webs", &error));
    assert_int_equal(told(&world, "rule", before), 2);
    assert_int_equal(rules(&world), 0);
    start_again(&world);
    assert_int_equal(rules(&world), 0);
    world_free(&world);
}

static void refuse(World *world, const GwPlacementRule *rule, GwErrorCode code, const char *word)
{
    GError *error = NULL;
    g_autoptr(GwPlacementRule) added = gw_engine_add_rule(world->engine, rule, &error);

    assert_null(added);
    if (!g_error_matches(error, GW_ERROR, (int)code) || strstr(error->message, word) == NULL)
        fail_msg("'%s' is not about '%s'", error->message, word);
    g_error_free(error);
}

static void test_rules_are_checked(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    open_world(&world);
    g_autoptr(GwPlacementRule) first = add_rule(&world, "webs", WEB1 " " WEB2);
    g_autoptr(GwPlacementRule) same = apart("webs", WEB1 " " DB1);
    refuse(&world, same, GW_ERR_CONFLICT, "exists already");
    g_autoptr(GwPlacementRule) alone = apart("alone", WEB1 " " WEB1);
    refuse(&world, alone, GW_ERR_INVALID, "between VMs");
    g_autoptr(GwPlacementRule) nameless = apart("", WEB1 " " WEB2);
    refuse(&world, nameless, GW_ERR_INVALID, "name");

    /* A change is checked like a new one, and leaves what is there. */
    g_autoptr(GwPlacementRule) broken = gw_placement_rule_copy(first);
    g_strfreev(broken->vms);
    broken->vms = NULL;
    assert_null(world_change_rule(world.engine, broken, &error));
    is_refused(&error, GW_ERR_INVALID);
    assert_false(gw_engine_remove_rule(world.engine, "none", &error));
    is_refused(&error, GW_ERR_NOT_FOUND);
    assert_int_equal(rules(&world), 1);
    world_free(&world);
}

static void test_what_a_rule_names_may_go(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    open_world(&world);
    g_autoptr(GwHost) b = host_now(&world, "b");
    g_autoptr(GwPlacementRule) wanted = apart("on b", WEB1);
    wanted->kind = GW_RULE_KIND_RUN_ON;
    wanted->hosts = words(b->id);
    g_autoptr(GwPlacementRule) rule = gw_engine_add_rule(world.engine, wanted, &error);
    assert_null(error);
    assert_true(gw_engine_remove_host(world.engine, "b", &error));

    /* The rule can still be changed, and still names it; a new one cannot. */
    rule->required = FALSE;
    g_autoptr(GwPlacementRule) changed = world_change_rule(world.engine, rule, &error);
    assert_null(error);
    assert_string_equal(changed->hosts[0], b->id);
    g_free(wanted->name);
    wanted->name = g_strdup("on b too");
    refuse(&world, wanted, GW_ERR_NOT_FOUND, "no host");
    g_strfreev(rule->hosts);
    rule->hosts = words("nobody");
    assert_null(world_change_rule(world.engine, rule, &error));
    is_refused(&error, GW_ERR_NOT_FOUND);
    world_free(&world);
}

/* Policies and tags ------------------------------------------------------------------------ */

static void test_all_hosts_has_a_policy(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    open_world(&world);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    g_autoptr(GwGroup) root = gw_group_copy(gw_fabric_find_group(fabric, GW_GROUP_ROOT));
    root->placement = gw_placement_policy_new_default();
    root->placement->goal = GW_GOAL_FILL;
    g_autoptr(GwGroup) changed = world_change_group(world.engine, root, &error);
    assert_null(error);
    assert_int_equal(changed->placement->goal, GW_GOAL_FILL);

    start_again(&world);
    g_autoptr(GwFabric) after = gw_engine_fabric(world.engine);
    const GwGroup *kept = gw_fabric_find_group(after, GW_GROUP_ROOT);
    assert_non_null(kept->placement);
    assert_int_equal(kept->placement->goal, GW_GOAL_FILL);

    g_free(root->name);
    root->name = g_strdup("Elsewhere");
    assert_null(world_change_group(world.engine, root, &error));
    is_refused(&error, GW_ERR_CONFLICT);
    world_free(&world);
}

static void test_tags_are_checked(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    open_world(&world);
    g_autoptr(GwHost) old = host_now(&world, "a");
    g_autoptr(GwHost) host = gw_host_copy(old);
    host->tags = words("ssd rack=3");
    g_autoptr(GwHost) changed = world_change_host(world.engine, host, &error);
    assert_null(error);
    assert_string_equal(changed->tags[1], "rack=3");
    g_strfreev(host->tags);
    host->tags = words("ssd =3");
    assert_null(world_change_host(world.engine, host, &error));
    is_refused(&error, GW_ERR_INVALID);
    world_free(&world);
}

/* Maintenance ------------------------------------------------------------------------------ */

static int set(World *world, const char *name, gboolean on)
{
    GError *error = NULL;
    g_autoptr(GwHost) host = gw_engine_set_maintenance(world->engine, name, on, &error);

    if (error != NULL)
        fail_msg("%s", error->message);
    return host->maintenance;
}

static void move(World *world, const char *vm)
{
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    GError *error = NULL;

    request->destination = g_strdup("b");
    g_autoptr(GwJob) job = gw_engine_migrate(world->engine, vm, request, "tester", NULL, &error);
    if (error != NULL)
        fail_msg("%s", error->message);
    world_run(world, SECONDS(20));
    g_autoptr(GwJob) over = world_job(world, job->id);
    assert_int_equal(over->state, GW_JOB_DONE);
}

static void test_a_host_is_in_maintenance_once_nothing_runs_there(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    open_world(&world);
    assert_int_equal(set(&world, "b", TRUE), GW_MAINTENANCE_IN); /* it is empty */
    assert_int_equal(set(&world, "b", FALSE), GW_MAINTENANCE_NONE);
    assert_int_equal(set(&world, "a", TRUE), GW_MAINTENANCE_ENTERING);
    move(&world, "web1");
    assert_int_equal(maintenance(&world, "a"), GW_MAINTENANCE_ENTERING);

    /* A controller that has just started knows nothing of the host's VMs yet. */
    world_kill(&world);
    world_start(&world);
    assert_int_equal(maintenance(&world, "a"), GW_MAINTENANCE_ENTERING);
    world_run(&world, SECONDS(2));
    assert_int_equal(maintenance(&world, "a"), GW_MAINTENANCE_ENTERING);

    /* db1, which is off, stays, and does not hold it up. */
    guint64 before = gw_feed_last(gw_engine_feed(world.engine));
    move(&world, "web2");
    assert_int_equal(maintenance(&world, "a"), GW_MAINTENANCE_IN);
    assert_true(told(&world, "host", before) > 0);
    start_again(&world);
    assert_int_equal(maintenance(&world, "a"), GW_MAINTENANCE_IN);

    /* Settings of the host are changed from a picture that may be older. */
    g_autoptr(GwHost) host = host_now(&world, "a");
    g_autoptr(GwHost) older = gw_host_copy(host);
    older->maintenance = GW_MAINTENANCE_ENTERING;
    older->live_limit = 3;
    g_autoptr(GwHost) changed = world_change_host(world.engine, older, &error);
    assert_null(error);
    assert_int_equal(changed->maintenance, GW_MAINTENANCE_IN);
    assert_int_equal(set(&world, "a", FALSE), GW_MAINTENANCE_NONE);
    assert_null(gw_engine_set_maintenance(world.engine, "none", TRUE, &error));
    is_refused(&error, GW_ERR_NOT_FOUND);
    world_free(&world);
}

/* Where VMs go ----------------------------------------------------------------------------- */

static GwMovePlan *plan(World *world, const char *vm, const char *destination)
{
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    GError *error = NULL;

    request->destination = g_strdup(destination);
    GwMovePlan *made = gw_engine_plan_move(world->engine, vm, request, &error);
    if (error != NULL)
        fail_msg("%s", error->message);
    return made;
}

static const GwFinding *error_of(const GwMovePlan *made)
{
    for (guint i = 0; i < made->candidate->findings->len; i++) {
        const GwFinding *finding = made->candidate->findings->pdata[i];
        if (finding->severity == (int)GW_SEVERITY_ERROR)
            return finding;
    }
    return NULL;
}

static void test_a_rule_refuses_until_it_is_removed(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    open_world(&world);
    move(&world, "web1");
    g_autoptr(GwPlacementRule) rule = add_rule(&world, "webs", WEB1 " " WEB2);
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    g_autoptr(GwMovePlan) refused = NULL;
    request->destination = g_strdup("b");
    assert_null(gw_engine_migrate(world.engine, "web2", request, "tester", &refused, &error));
    assert_true(g_error_matches(error, GW_ERROR, GW_ERR_REFUSED));
    assert_non_null(strstr(error->message, "R57"));
    assert_non_null(gw_error_remedy(error));
    g_clear_error(&error);
    assert_string_equal(error_of(refused)->requirement, "R57");
    assert_true(refused->candidate->rating->stars == 0);

    /* A rule that contradicts it is refused, and the other named. */
    g_autoptr(GwPlacementRule) together = apart("pair", WEB1 " " WEB2);
    together->kind = GW_RULE_KIND_TOGETHER;
    refuse(&world, together, GW_ERR_CONFLICT, "webs");

    assert_true(gw_engine_remove_rule(world.engine, rule->id, &error));
    g_autoptr(GwMovePlan) allowed = plan(&world, "web2", "b");
    assert_true(allowed->candidate->suitable);
    assert_true(allowed->candidate->rating->stars > 0);
    move(&world, "web2");
    world_free(&world);
}

static GwGroup *add_group(World *world, const char *name)
{
    g_autoptr(GwGroup) group = gw_group_new();
    GError *error = NULL;

    group->name = g_strdup(name);
    GwGroup *added = gw_engine_add_group(world->engine, group, &error);
    assert_null(error);
    return added;
}

static void refuse_place(World *world, const char *vm, const char *destination, GwErrorCode code)
{
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    g_autoptr(GwMovePlan) left = NULL;
    GError *error = NULL;

    request->destination = g_strdup(destination);
    assert_null(gw_engine_migrate(world->engine, vm, request, "tester", &left, &error));
    assert_true(g_error_matches(error, GW_ERROR, (int)code));
    assert_non_null(gw_error_remedy(error));
    assert_null(left);
    g_error_free(error);
}

static void test_to_the_best_host_of_a_group(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    open_world(&world);
    g_autoptr(GwMoveRequest) request = gw_move_request_new();
    request->destination = g_strdup("All Hosts");
    g_autoptr(GwMovePlan) dry = plan(&world, "web1", "All Hosts");
    assert_string_equal(dry->candidate->host_name, "b");
    assert_true(dry->candidate->rating->stars > 0);
    assert_true(dry->candidate->rating->factors->len > 0);
    g_autoptr(GwJob) job = gw_engine_migrate(world.engine, "web1", request, "tester", NULL, &error);
    assert_null(error);
    world_run(&world, SECONDS(20));
    g_autoptr(GwJob) over = world_job(&world, job->id);
    assert_int_equal(over->state, GW_JOB_DONE);
    g_autoptr(GwHost) b = host_now(&world, "b");
    assert_string_equal(over->destination_host_id, b->id);

    /* A host in maintenance is chosen by nobody, named or not (R49). */
    set(&world, "b", TRUE);
    g_autoptr(GwMovePlan) named = plan(&world, "web2", "b");
    assert_string_equal(error_of(named)->requirement, "R49");
    refuse_place(&world, "web2", "All Hosts", GW_ERR_REFUSED);
    G_GNUC_UNUSED g_autoptr(GwGroup) empty = add_group(&world, "Rack 1");
    refuse_place(&world, "web2", "Rack 1", GW_ERR_REFUSED);
    refuse_place(&world, "web2", "nowhere", GW_ERR_NOT_FOUND);
    world_free(&world);
}

static void test_what_could_not_leave(void **unused)
{
    World world;
    GError *error = NULL;
    (void)unused;

    open_world(&world);
    move(&world, "web1");
    g_autoptr(GwPlacementRule) rule = add_rule(&world, "webs", WEB1 " " WEB2);
    g_autoptr(GPtrArray) all = gw_engine_leaving(world.engine, "a", &error);
    assert_null(error);
    assert_int_equal(all->len, 2);
    const GwLeaving *stays = all->pdata[0], *leaves = all->pdata[1]; /* those that stay first */
    assert_string_equal(stays->vm_name, "web2");
    assert_false(stays->leaves);
    assert_int_equal(stays->hosts, 0);
    assert_string_equal(stays->nearest->host_name, "b");
    assert_non_null(strstr(stays->why, "b: "));
    assert_string_equal(leaves->vm_name, "db1");
    assert_true(leaves->leaves);
    assert_int_equal(leaves->hosts, 1);
    assert_null(leaves->why);
    assert_true(leaves->nearest->rating->stars > 0);

    /* Without another host nothing leaves. */
    assert_true(gw_engine_remove_rule(world.engine, rule->id, &error));
    assert_true(gw_engine_remove_host(world.engine, "a", &error));
    g_autoptr(GPtrArray) alone = gw_engine_leaving(world.engine, "b", &error);
    assert_int_equal(alone->len, 1);
    const GwLeaving *stuck = alone->pdata[0];
    assert_false(stuck->leaves);
    assert_null(stuck->nearest);
    assert_string_equal(stuck->why, "There is no other host.");
    assert_null(gw_engine_leaving(world.engine, "none", &error));
    is_refused(&error, GW_ERR_NOT_FOUND);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_last),
        cmocka_unit_test(test_rules_are_checked),
        cmocka_unit_test(test_what_a_rule_names_may_go),
        cmocka_unit_test(test_all_hosts_has_a_policy),
        cmocka_unit_test(test_tags_are_checked),
        cmocka_unit_test(test_a_host_is_in_maintenance_once_nothing_runs_there),
        cmocka_unit_test(test_a_rule_refuses_until_it_is_removed),
        cmocka_unit_test(test_to_the_best_host_of_a_group),
        cmocka_unit_test(test_what_could_not_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
