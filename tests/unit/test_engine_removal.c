/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "undo_world.h"

#include <string.h>

#include "base/error.h"
#include "engine/engine_internal.h"

/* An old copy on a share goes only where no host that may reach it uses it (I4), also as seen by a
 * controller that has just begun. */

/* Of UNDO_RUN, moved off the share with its disk, at a; its time is over in ten minutes. */
static void leave_on_the_share(World *world)
{
    g_autoptr(GwMoveRequest) request = storage_request_to("b");

    request->options->copy_all = TRUE;
    request->options->storage = g_strdup("local");
    request->options->keep_source_s = 600;
    g_autofree char *id = storage_begin(world, "run", request);
    undo_ends(world, id, GW_JOB_DONE);
    assert_int_not_equal(undo_content(world, 0, "/nas/run.raw"), 0);
}

static char *trouble_of(World *world)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    g_autoptr(GPtrArray) kept = gw_fabric_list_kept(fabric);

    if (kept->len == 0)
        return NULL;
    assert_int_equal(kept->len, 1);
    return g_strdup(((GwKeptVolume *)kept->pdata[0])->trouble);
}

/* A person made a VM of it there, of which the old copy's own host knows nothing. */
static void what_another_host_uses_stays(void **state)
{
    World world;
    (void)state;

    undo_open_with(&world, "/nas/run.raw");
    leave_on_the_share(&world);
    world_run(&world, SECONDS(1200));
    g_autofree char *trouble = trouble_of(&world);
    assert_non_null(strstr(trouble, "on 'c', the volume is in use"));
    assert_int_not_equal(undo_content(&world, 0, "/nas/run.raw"), 0);
    storage_none_of(gw_sim_violations(world.sim), "violated", "used by another host");
    world_free(&world);
}

/* A host that reaches the share and says nothing may use it. */
static void what_nobody_can_tell_stays(void **state)
{
    World world;
    (void)state;

    undo_open(&world);
    leave_on_the_share(&world);
    g_autofree char *uri = world_uri(2);
    gw_sim_cut_off(world.sim, uri, 3000 * 1000);
    world_run(&world, SECONDS(1800));
    g_autofree char *trouble = trouble_of(&world);
    assert_non_null(strstr(trouble, "whether a VM of 'c', which reaches it too, uses it"));
    assert_int_not_equal(undo_content(&world, 0, "/nas/run.raw"), 0);
    world_run(&world, SECONDS(3600));
    assert_null(trouble_of(&world));
    assert_int_equal(undo_content(&world, 0, "/nas/run.raw"), 0);
    undo_check(&world, "a kept copy on a share");
    world_free(&world);
}

/* As a host that has not mounted the share yet. */
static void unmount(GwEngine *engine, gpointer name)
{
    GwHost *host = gw_host_copy(gw_fabric_find_host(gw_engine_now(engine), name));

    g_ptr_array_set_size(host->facts->pools, 0);
    gw_fabric_put_host(gw_engine_change(engine), host);
}

/* What was seen of a host holds for as long as it answers: it may have mounted the share since, and
 * a VM there may run on what is about to be removed. */
static void what_a_host_had_before_it_went_proves_nothing(void **state)
{
    World world;
    (void)state;

    undo_open_with(&world, "/nas/run.raw");
    leave_on_the_share(&world);
    gw_engine_post(world.engine, unmount, (gpointer) "c");
    g_autofree char *uri = world_uri(2);
    gw_sim_cut_off(world.sim, uri, 3000 * 1000);
    world_run(&world, SECONDS(1800));
    g_autofree char *trouble = trouble_of(&world);
    assert_non_null(trouble);
    assert_non_null(strstr(trouble, "whether a VM of 'c', which may reach it too, uses it"));
    assert_non_null(strstr(trouble, "it does not answer"));
    assert_non_null(strstr(trouble, "remove it from the fabric"));
    assert_int_not_equal(undo_content(&world, 0, "/nas/run.raw"), 0);
    world_run(&world, SECONDS(3600)); /* it is back, and says that it uses it */
    g_autofree char *used = trouble_of(&world);
    assert_non_null(strstr(used, "on 'c', the volume is in use"));
    assert_int_not_equal(undo_content(&world, 0, "/nas/run.raw"), 0);
    storage_none_of(gw_sim_violations(world.sim), "violated", "seen without the share");
    world_free(&world);
}

/* A controller that has just begun ----------------------------------------------------------- */

static char *id_of(World *world, const char *name)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    const GwHost *host = gw_fabric_find_host(fabric, name);

    assert_non_null(host);
    return g_strdup(host->id);
}

static void forget_pools(json_t *host)
{
    json_object_del(json_object_get(host, "facts"), "pools");
}

static void forget_facts(json_t *host)
{
    json_object_del(host, "facts");
}

static void change_stored(World *world, const char *id, void (*change)(json_t *host))
{
    g_autoptr(GwBatch) batch = gw_batch_new();
    GError *trouble = NULL;
    g_autoptr(GwJson) host = gw_store_get(world->store, GW_KIND_HOST, id, &trouble);

    assert_non_null(host);
    change(host);
    gw_batch_put(batch, GW_KIND_HOST, id, json_incref(host));
    UNIT_OK(gw_store_commit(world->store, batch, error));
}

/* Another controller begins, for which host c was stored as @change leaves it: what was stored of a
 * host may be older than its pools. */
static void restart_with(World *world, void (*change)(json_t *host))
{
    g_autofree char *id = id_of(world, "c");

    change_stored(world, id, change);
    world_kill(world);
    world_start(world);
}

/* The only old copy there is, as the store has it. */
static void put_kept_into(World *world, const char *pool)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    g_autoptr(GPtrArray) kept = gw_fabric_list_kept(fabric);
    g_autoptr(GwBatch) batch = gw_batch_new();

    assert_int_equal(kept->len, 1);
    g_autoptr(GwKeptVolume) copy = gw_kept_volume_copy(kept->pdata[0]);
    g_free(copy->volume->pool);
    copy->volume->pool = g_strdup(pool);
    gw_batch_put(batch, GW_KIND_KEPT_VOLUME, copy->id,
                 gw_record_to_json(&gw_kept_volume_record, copy));
    UNIT_OK(gw_store_commit(world->store, batch, error));
}

static GwShareMember *member(World *world, const char *host)
{
    GwShareMember *one = gw_share_member_new();

    one->host_id = id_of(world, host);
    one->pool = g_strdup("local");
    return one;
}

/* Says that a and b have one directory, which they have not; the share's id, owned. */
static char *declare_local(World *world)
{
    g_autoptr(GwShare) share = gw_share_new();
    GError *error = NULL;

    share->name = g_strdup("none");
    share->members = gw_record_array(&gw_share_member_record);
    g_ptr_array_add(share->members, member(world, "a"));
    g_ptr_array_add(share->members, member(world, "b"));
    g_autoptr(GwJob) job = gw_engine_add_share(world->engine, share, "tester", &error);
    assert_null(error);
    undo_ends(world, job->id, GW_JOB_FAILED);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    const GwShare *there = gw_fabric_find_share(fabric, "none");
    assert_false(there->proved);
    return g_strdup(there->id);
}

/* An old copy is left, and another controller begins while c is away. */
static void leave_and_restart(World *world, void (*change)(json_t *host))
{
    g_autofree char *uri = world_uri(2);

    leave_on_the_share(world);
    gw_sim_cut_off(world->sim, uri, 3000 * 1000);
    restart_with(world, change);
}

static void check_named(World *world)
{
    g_autofree char *trouble = trouble_of(world);

    assert_non_null(trouble);
    assert_non_null(strstr(trouble, "whether a VM of 'c', which may reach it too, uses it"));
    assert_non_null(strstr(trouble, "since this controller began"));
    assert_non_null(strstr(trouble, "remove it from the fabric"));
    assert_int_not_equal(undo_content(world, 0, "/nas/run.raw"), 0);
}

static void what_was_stored_of_a_host_proves_nothing(void **state)
{
    void (*const changes[])(json_t *) = { forget_pools, forget_facts };
    (void)state;

    for (guint i = 0; i < G_N_ELEMENTS(changes); i++) {
        World world;
        undo_open_with(&world, "/nas/run.raw");
        leave_and_restart(&world, changes[i]);
        world_run(&world, SECONDS(1800));
        check_named(&world);
        world_run(&world, SECONDS(3600)); /* c is back, and says that it uses it */
        g_autofree char *trouble = trouble_of(&world);
        assert_non_null(strstr(trouble, "on 'c', the volume is in use"));
        assert_int_not_equal(undo_content(&world, 0, "/nas/run.raw"), 0);
        storage_none_of(gw_sim_violations(world.sim), "violated", "stored facts");
        world_free(&world);
    }
}

static void a_host_that_comes_back_is_asked(void **state)
{
    World world;
    (void)state;

    undo_open(&world);
    leave_and_restart(&world, forget_pools);
    world_run(&world, SECONDS(1800));
    check_named(&world);
    world_run(&world, SECONDS(3600));
    assert_null(trouble_of(&world));
    assert_int_equal(undo_content(&world, 0, "/nas/run.raw"), 0);
    undo_check(&world, "removed once all hosts were seen");
    world_free(&world);
}

/* One that is gone for good holds nothing up once a person said so. */
static void a_host_that_was_removed_is_not_waited_for(void **state)
{
    World world;
    (void)state;

    undo_open(&world);
    leave_and_restart(&world, forget_facts);
    world_run(&world, SECONDS(1800));
    check_named(&world);
    g_autofree char *id = id_of(&world, "c");
    UNIT_OK(gw_engine_remove_host(world.engine, id, error));
    world_run(&world, SECONDS(4000));
    assert_null(trouble_of(&world));
    assert_int_equal(undo_content(&world, 0, "/nas/run.raw"), 0);
    world_free(&world);
}

/* What is on a host's own storage is nobody else's, whoever is away. */
static void what_is_local_goes_without_the_others(void **state)
{
    World world;
    (void)state;

    undo_open(&world);
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    request->options->keep_source_s = 600;
    g_autofree char *id = storage_begin(&world, "web", request);
    undo_ends(&world, id, GW_JOB_DONE);
    g_autofree char *uri = world_uri(2);
    gw_sim_cut_off(world.sim, uri, 3000 * 1000);
    restart_with(&world, forget_facts);
    world_run(&world, SECONDS(1200));
    assert_null(trouble_of(&world));
    assert_int_equal(undo_content(&world, 0, "/vms/web.raw"), 0);
    world_free(&world);
}

/* Nobody can say who reaches the storage of a pool that is not there. */
static void what_is_in_an_unknown_pool_stays(void **state)
{
    World world;
    (void)state;

    undo_open(&world);
    leave_on_the_share(&world);
    put_kept_into(&world, "gone");
    world_kill(&world);
    world_start(&world);
    world_run(&world, SECONDS(1800));
    g_autofree char *trouble = trouble_of(&world);
    assert_non_null(strstr(trouble, "'a' does not tell of a pool 'gone'"));
    assert_int_not_equal(undo_content(&world, 0, "/nas/run.raw"), 0);
    world_free(&world);
}

/* Of a share that could not be proved nobody knows who reaches it; hosts' own directories were
 * declared to be one here. */
static void what_is_in_an_unproved_share_stays(void **state)
{
    World world;
    (void)state;

    undo_open(&world);
    g_autofree char *share = declare_local(&world);
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    request->options->keep_source_s = 600;
    g_autofree char *id = storage_begin(&world, "web", request);
    undo_ends(&world, id, GW_JOB_DONE);
    world_run(&world, SECONDS(1800));
    g_autofree char *trouble = trouble_of(&world);
    assert_non_null(strstr(trouble, "pool 'local' is in share 'none', which is not proved"));
    assert_int_not_equal(undo_content(&world, 0, "/vms/web.raw"), 0);
    UNIT_OK(gw_engine_remove_share(world.engine, share, error));
    world_run(&world, SECONDS(4000));
    assert_null(trouble_of(&world));
    assert_int_equal(undo_content(&world, 0, "/vms/web.raw"), 0);
    undo_check(&world, "removed once nobody says that it is shared");
    world_free(&world);
}

/* What asks, asks again ------------------------------------------------------------------------ */

/* A lost answer of one that is asked first is no answer. */
static void a_proof_is_asked_for_again(void **state)
{
    static const char *const whats[] = { "lose-reply", "break", "fail" };
    (void)state;

    for (guint i = 0; i < G_N_ELEMENTS(whats); i++) {
        World world;
        undo_open(&world);
        undo_plant(&world, "volume-prove", whats[i], 2);
        g_autoptr(GwMoveRequest) request = storage_request_to("b");
        request->options->copy_all = TRUE;
        request->options->storage = g_strdup("local");
        request->options->keep_source_s = -1;
        g_autofree char *id = storage_begin(&world, "run", request);
        undo_ends(&world, id, GW_JOB_DONE);
        assert_int_equal(undo_content(&world, 0, "/nas/run.raw"), 0);
        undo_check(&world, whats[i]);
        world_free(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_another_host_uses_stays),
        cmocka_unit_test(what_nobody_can_tell_stays),
        cmocka_unit_test(what_a_host_had_before_it_went_proves_nothing),
        cmocka_unit_test(what_was_stored_of_a_host_proves_nothing),
        cmocka_unit_test(a_host_that_comes_back_is_asked),
        cmocka_unit_test(a_host_that_was_removed_is_not_waited_for),
        cmocka_unit_test(what_is_in_an_unknown_pool_stays),
        cmocka_unit_test(what_is_in_an_unproved_share_stays),
        cmocka_unit_test(what_is_local_goes_without_the_others),
        cmocka_unit_test(a_proof_is_asked_for_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
