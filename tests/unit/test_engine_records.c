/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine_world.h"

#include "engine/records_internal.h"

/* Changes of one record at once: neither takes back what the other said, whichever comes last. */

typedef struct {
    const GwRecord *record;
    json_t *body;
} Patch;

static gboolean patch(gpointer self, gpointer user, GError **error)
{
    const Patch *wanted = user;
    return gw_record_patch(wanted->record, self, wanted->body, error);
}

/* What another one says, who comes first: it is being stored while ours is asked for. */
typedef struct {
    GwKind kind;
    char *id;
    Patch patch;
} Other;

static void commit_other(GwEngine *engine, Call *call)
{
    const Other *other = call->in[0];
    const GwFabric *now = gw_engine_now(engine);
    GHashTable *table = other->kind == GW_KIND_HOST    ? now->hosts
                        : other->kind == GW_KIND_GROUP ? now->groups
                                                       : now->rules;
    RecordEdit edit = { patch, (gpointer)&other->patch };
    gpointer record = NULL;

    UNIT_OK((record = gw_records_edit(other->patch.record, g_hash_table_lookup(table, other->id),
                                      &edit, error)) != NULL);
    gw_records_commit(engine, call, other->kind, record, other->id, NULL);
}

static void committed(GwEngine *engine, gpointer result, const GError *error, gpointer user)
{
    const Other *other = user;

    (void)engine;
    assert_null(error);
    gw_record_free(other->patch.record, result);
}

static void say_other(GwEngine *engine, gpointer other)
{
    gw_call_from_loop(engine, commit_other, other, committed, other);
}

static void open_world(World *world)
{
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)),
               json_pack("{s:[o,o,o]}", "hosts", world_host_json(0), world_host_json(1),
                         world_host_json(2)));
    world_start(world);
    world_add_host(world, 0);
    world_add_host(world, 1);
}

static GwHost *host_now(World *world, const char *name)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    return gw_host_copy(gw_fabric_find_host(fabric, name));
}

static void of_a_host_both_hold(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    g_autoptr(GwHost) read = host_now(&world, "a");
    Other other = { GW_KIND_HOST,
                    read->id,
                    { &gw_host_record, json_pack("{s:i}", "storage_limit", 7) } };
    Patch ours = { &gw_host_record, json_pack("{s:i}", "live_limit", 9) };
    gw_engine_post(world.engine, say_other, &other);
    g_autoptr(GwHost) changed = NULL;
    UNIT_OK((changed = gw_engine_change_host(world.engine, read->id, patch, &ours, error)) != NULL);
    assert_int_equal(changed->live_limit, 9);
    assert_int_equal(changed->storage_limit, 7);
    world_kill(&world);
    world_start(&world);
    g_autoptr(GwHost) stored = host_now(&world, "a");
    assert_int_equal(stored->live_limit, 9);
    assert_int_equal(stored->storage_limit, 7);
    json_decref(other.patch.body);
    json_decref(ours.body);
    world_free(&world);
}

static void of_a_group_both_hold(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    g_autoptr(GwGroup) wanted = gw_group_new();
    wanted->name = g_strdup("lab");
    g_autoptr(GwGroup) lab = gw_engine_add_group(world.engine, wanted, NULL);
    Other other = { GW_KIND_GROUP,
                    lab->id,
                    { &gw_group_record, json_pack("{s:{s:s}}", "placement", "goal", "fill") } };
    Patch ours = { &gw_group_record, json_pack("{s:s}", "name", "rack") };
    gw_engine_post(world.engine, say_other, &other);
    g_autoptr(GwGroup) changed = NULL;
    UNIT_OK((changed = gw_engine_change_group(world.engine, lab->id, patch, &ours, error)) != NULL);
    assert_string_equal(changed->name, "rack");
    assert_non_null(changed->placement);
    assert_int_equal(changed->placement->goal, GW_GOAL_FILL);
    json_decref(other.patch.body);
    json_decref(ours.body);
    world_free(&world);
}

static void of_a_rule_both_hold(void **unused)
{
    World world;
    (void)unused;

    open_world(&world);
    g_autoptr(GwPlacementRule) wanted = gw_placement_rule_new();
    wanted->name = g_strdup("apart");
    wanted->kind = (int)GW_RULE_KIND_APART;
    wanted->vms = g_strsplit("6d0b6b0e-0000-4000-8000-000000000001 "
                             "6d0b6b0e-0000-4000-8000-000000000002",
                             " ", 0);
    /* Of VMs that nobody has it is refused, so it is put there as if they had been. */
    wanted->id = g_strdup("01JD4ZQ6T5J8S0M3E9V7B2K101");
    gw_fabric_put_rule(gw_engine_change(world.engine), gw_placement_rule_copy(wanted));
    Other other = { GW_KIND_PLACEMENT_RULE,
                    wanted->id,
                    { &gw_placement_rule_record, json_pack("{s:b}", "required", 1) } };
    Patch ours = { &gw_placement_rule_record, json_pack("{s:b}", "disabled", 1) };
    gw_engine_post(world.engine, say_other, &other);
    g_autoptr(GwPlacementRule) changed = NULL;
    UNIT_OK((changed = gw_engine_change_rule(world.engine, wanted->id, patch, &ours, error)) !=
            NULL);
    assert_true(changed->disabled);
    assert_true(changed->required);
    json_decref(other.patch.body);
    json_decref(ours.body);
    world_free(&world);
}

/* While something is under way ----------------------------------------------------------------- */

typedef struct {
    const char *name; /* of the host */
    void (*change)(GwEngine *engine, GwHost *host);
    guint turns;
} Later;

static void later(GwEngine *engine, gpointer data)
{
    Later *what = data;

    if (what->turns-- > 0) {
        gw_engine_post(engine, later, what);
        return;
    }
    GwHost *host = gw_host_copy(gw_fabric_find_host(gw_engine_now(engine), what->name));
    what->change(engine, host);
    gw_fabric_put_host(gw_engine_change(engine), host);
}

static void set_storage_limit(GwEngine *engine, GwHost *host)
{
    (void)engine;
    host->storage_limit = 7;
}

/* As a host that does not answer any more. */
static void lose(GwEngine *engine, GwHost *host)
{
    (void)engine;
    host->status = (int)GW_HOST_NOT_RESPONDING;
    g_free(host->status_reason);
    host->status_reason = g_strdup("gone");
}

static void begin_job(GwEngine *engine, GwHost *host)
{
    GwJob *job = gw_job_new();

    job->id = g_strdup("01JD4ZQ6T5J8S0M3E9V7B2K102");
    job->kind = g_strdup(GW_JOB_KIND_MIGRATE);
    job->title = g_strdup("Migrate web1");
    job->state = (int)GW_JOB_COPYING;
    job->source_host_id = g_strdup(host->id);
    gw_fabric_put_job(gw_engine_change(engine), job);
}

/* The URI of a third host, which nobody manages. */
static GwHost *move_to_third(World *world, GError **error)
{
    g_autoptr(GwHost) read = host_now(world, "b");
    g_autofree char *third = world_uri(2);
    Patch ours = { &gw_host_record, json_pack("{s:s}", "uri", third) };
    GwHost *changed = gw_engine_change_host(world->engine, read->id, patch, &ours, error);

    json_decref(ours.body);
    return changed;
}

static void what_is_set_while_a_uri_is_tried_holds(void **unused)
{
    World world;
    Later set = { "b", set_storage_limit, 1 };
    (void)unused;

    open_world(&world);
    gw_engine_post(world.engine, later, &set);
    g_autoptr(GwHost) changed = NULL;
    UNIT_OK((changed = move_to_third(&world, error)) != NULL);
    g_autofree char *third = world_uri(2);
    assert_string_equal(changed->uri, third);
    assert_int_equal(changed->storage_limit, 7);
    world_free(&world);
}

/* I1: behind the new URI may be another machine, which knows nothing of that VM. */
static void a_job_that_begins_while_a_uri_is_tried_keeps_it(void **unused)
{
    World world;
    g_autoptr(GError) error = NULL;
    Later begin = { "b", begin_job, 1 };
    (void)unused;

    open_world(&world);
    gw_engine_post(world.engine, later, &begin);
    assert_null(move_to_third(&world, &error));
    unit_assert_error(error, GW_ERR_CONFLICT, "uses host 'b'");
    g_autoptr(GwHost) left = host_now(&world, "b");
    g_autofree char *second = world_uri(1);
    assert_string_equal(left->uri, second);
    world_free(&world);
}

static void what_a_host_says_while_it_is_stored_holds(void **unused)
{
    World world;
    Later loses = { "b", lose, 1 };
    (void)unused;

    open_world(&world);
    g_autoptr(GwHost) read = host_now(&world, "b");
    assert_int_not_equal(read->status, GW_HOST_NOT_RESPONDING);
    Patch ours = { &gw_host_record, json_pack("{s:i}", "live_limit", 9) };
    gw_engine_post(world.engine, later, &loses);
    g_autoptr(GwHost) changed = NULL;
    UNIT_OK((changed = gw_engine_change_host(world.engine, read->id, patch, &ours, error)) != NULL);
    assert_int_equal(changed->status, GW_HOST_NOT_RESPONDING);
    g_autoptr(GwHost) now = host_now(&world, "b");
    assert_int_equal(now->status, GW_HOST_NOT_RESPONDING);
    assert_string_equal(now->status_reason, "gone");
    assert_int_equal(now->live_limit, 9);
    json_decref(ours.body);
    world_free(&world);
}

/* R18: a job that ends just then has put disks into a pool that is to be a default location. */
static GwJob *job_to(const GwHost *host)
{
    GwJob *job = gw_job_new();
    GwDiskMove *disk = gw_disk_move_new();
    GwImageMove *image = gw_image_move_new();

    image->to = gw_volume_new();
    image->to->pool = g_strdup("local");
    disk->images = gw_record_array(&gw_image_move_record);
    g_ptr_array_add(disk->images, image);
    job->disks = gw_record_array(&gw_disk_move_record);
    g_ptr_array_add(job->disks, disk);
    job->destination_host_id = g_strdup(host->id);
    job->options = gw_move_options_new();
    job->options->add_default_storage = TRUE;
    return job;
}

typedef struct {
    Other *other;
    GwJob *job;
} JobEnds;

static void end_in_turn(GwEngine *engine, gpointer data)
{
    const JobEnds *ends = data;
    GwBatch *batch = gw_batch_new();

    gw_default_storage_add(engine, batch, ends->job);
    gw_engine_journal(engine, batch, NULL, NULL, NULL);
}

static void end_job(GwEngine *engine, gpointer data)
{
    const JobEnds *ends = data;

    if (ends->other != NULL)
        say_other(engine, ends->other);
    gw_records_in_turn(engine, end_in_turn, data);
}

static void assert_added(World *world, gint64 storage_limit)
{
    g_autoptr(GwHost) host = host_now(world, "b");

    assert_non_null(host->default_storage);
    assert_int_equal(g_strv_length(host->default_storage), 1);
    assert_string_equal(host->default_storage[0], "local");
    assert_int_equal(host->storage_limit, storage_limit);
}

static void default_storage_is_added_beside_a_change(void **unused)
{
    (void)unused;
    for (guint changes = 0; changes < 2; changes++) {
        World world;
        open_world(&world);
        g_autoptr(GwHost) read = host_now(&world, "b");
        g_autoptr(GwJob) job = job_to(read);
        Other other = { GW_KIND_HOST,
                        read->id,
                        { &gw_host_record, json_pack("{s:i}", "storage_limit", 7) } };
        JobEnds ends = { changes == 1 ? &other : NULL, job };
        gint64 limit = changes == 1 ? 7 : read->storage_limit;
        gw_engine_post(world.engine, end_job, &ends);
        world_run(&world, SECONDS(1));
        assert_added(&world, limit);
        world_kill(&world);
        world_start(&world);
        assert_added(&world, limit);
        json_decref(other.patch.body);
        world_free(&world);
    }
}

/* What is refused changes nothing, and what is wanted of nobody is said to be. */
static void what_is_refused_changes_nothing(void **unused)
{
    World world;
    g_autoptr(GError) error = NULL;
    (void)unused;

    open_world(&world);
    g_autoptr(GwHost) read = host_now(&world, "a");
    Patch ours = { &gw_host_record, json_pack("{s:i,s:s}", "live_limit", 9, "status", "ok") };
    assert_null(gw_engine_change_host(world.engine, read->id, patch, &ours, &error));
    assert_true(g_error_matches(error, GW_ERROR, GW_ERR_INVALID));
    g_clear_error(&error);
    g_autoptr(GwHost) now = host_now(&world, "a");
    assert_int_equal(now->live_limit, read->live_limit);
    assert_null(gw_engine_change_host(world.engine, "nobody", patch, &ours, &error));
    unit_assert_error(error, GW_ERR_NOT_FOUND, "no host 'nobody'");
    json_decref(ours.body);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_host_both_hold),
        cmocka_unit_test(of_a_group_both_hold),
        cmocka_unit_test(of_a_rule_both_hold),
        cmocka_unit_test(what_is_set_while_a_uri_is_tried_holds),
        cmocka_unit_test(a_job_that_begins_while_a_uri_is_tried_keeps_it),
        cmocka_unit_test(what_a_host_says_while_it_is_stored_holds),
        cmocka_unit_test(default_storage_is_added_beside_a_change),
        cmocka_unit_test(what_is_refused_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
