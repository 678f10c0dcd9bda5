/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "undo_world.h"

#include <string.h>

#include "base/error.h"

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
        cmocka_unit_test(a_proof_is_asked_for_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
