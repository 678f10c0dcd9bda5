/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "undo_world.h"

#include <string.h>

#include "base/error.h"

/* What is taken back when hosts refuse, and what a job's undo makes good of it later. */

static char *begin_undo(World *world, const char *id)
{
    GError *error = NULL;
    g_autoptr(GwJob) job = gw_engine_undo(world->engine, id, "tester", NULL, &error);

    if (job == NULL)
        fail_msg("not undone: %s", error->message);
    return g_strdup(job->id);
}

/* A VM that arrives -------------------------------------------------------------------------- */

/* UNDO_RUN is on its way to b, 4 GiB long; its definition there cannot be read meanwhile. */
static char *begin_to_arrive(World *world, gint64 mibps)
{
    g_autoptr(GwMoveRequest) request = storage_request_to("b");

    request->options->bandwidth_mibps = mibps;
    request->options->progress_timeout_s = 100000;
    request->options->completion_timeout_s_per_gib = 100000;
    g_autofree char *id = storage_begin(world, "run", request);
    world_run(world, SECONDS(5));
    assert_true(undo_is_at(world, 1, UNDO_RUN, GW_VM_PAUSED));
    return g_steal_pointer(&id);
}

static void an_undo_waits_for_a_vm_that_arrives(void **state)
{
    World world;
    (void)state;

    undo_open(&world);
    g_autofree char *id = undo_begin(&world, "web", "b");
    world_run(&world, SECONDS(4));
    assert_int_not_equal(undo_content(&world, 1, "/vms/web.raw"), 0);
    g_autofree char *other = begin_to_arrive(&world, 20);
    undo_cancel(&world, id);
    world_run(&world, SECONDS(20));
    g_autoptr(GwJob) waiting = world_job(&world, id);
    assert_int_equal(waiting->state, GW_JOB_SETTLING);
    assert_non_null(strstr(waiting->waiting_for, "VM 'run' is arriving"));
    g_autoptr(GwJob) job = undo_await_end(&world, id, GW_JOB_CANCELLED);
    assert_null(strstr(job->error->message, "something is left"));
    undo_ends(&world, other, GW_JOB_DONE);
    assert_int_equal(undo_content(&world, 1, "/vms/web.raw"), 0);
    undo_check(&world, "cancelled while another VM arrived");
    world_free(&world);
}

static void a_removal_waits_for_a_vm_that_arrives(void **state)
{
    World world;
    GError *error = NULL;
    (void)state;

    undo_open(&world);
    g_autofree char *there = undo_begin(&world, "web", "b");
    undo_ends(&world, there, GW_JOB_DONE);
    g_autofree char *on = undo_begin(&world, "web", "c");
    undo_ends(&world, on, GW_JOB_DONE);
    g_autofree char *other = begin_to_arrive(&world, 20);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    g_autoptr(GPtrArray) kept = gw_fabric_list_kept(fabric);
    for (guint i = 0; i < kept->len; i++) {
        const GwKeptVolume *copy = kept->pdata[i];
        if (strcmp(copy->job_id, on) != 0)
            continue;
        g_autoptr(GwJob) removal = gw_engine_remove_kept(world.engine, copy->id, "me", &error);
        assert_null(error);
        undo_ends(&world, removal->id, GW_JOB_DONE);
    }
    assert_int_equal(undo_content(&world, 1, "/vms/web.raw"), 0);
    undo_ends(&world, other, GW_JOB_DONE);
    undo_check(&world, "removed while another VM arrived");
    world_free(&world);
}

/* One that arrives for ever does not hold up the job for ever: what is left is said. */
static void a_vm_that_never_arrives_is_not_waited_for(void **state)
{
    World world;
    (void)state;

    undo_open(&world);
    g_autofree char *id = undo_begin(&world, "web", "b");
    world_run(&world, SECONDS(4));
    G_GNUC_UNUSED g_autofree char *other = begin_to_arrive(&world, 1);
    undo_cancel(&world, id);
    g_autoptr(GwJob) job = undo_await_end(&world, id, GW_JOB_CANCELLED);
    assert_non_null(strstr(job->error->message, "something is left"));
    assert_non_null(strstr(job->error->message, "VM 'run' is arriving"));
    assert_true(job->result->total_ms > 240000);
    assert_true(job->result->total_ms < 1800000);
    world_free(&world);
}

/* The commit --------------------------------------------------------------------------------- */

/* What a host refuses may be done all the same: it is asked, before anything is taken back. */
static void a_definition_that_went_although_refused(void **state)
{
    World world;
    (void)state;

    undo_open(&world);
    undo_plant(&world, "undefine", "do-and-fail", 1);
    g_autofree char *id = undo_begin(&world, "web", "b");
    undo_ends(&world, id, GW_JOB_DONE);
    assert_true(undo_is_at(&world, 1, UNDO_WEB, GW_VM_OFF));
    undo_check(&world, "undefined although it was refused");
    world_free(&world);
}

/* The same with a lost answer before it, and with a controller that dies. */
static void a_definition_that_went_unheard(void **state)
{
    (void)state;
    for (guint i = 0; i < 8; i++) {
        World world;
        undo_open(&world);
        undo_plant(&world, "undefine", "lose-reply", 1);
        undo_plant(&world, "undefine", "fail", 1);
        g_autofree char *id = undo_begin(&world, "web", "b");
        for (int k = 0; k < 3000 && gw_sim_definitions(world.sim, UNDO_WEB) < 2; k++)
            world_run(&world, G_USEC_PER_SEC / 50);
        world_run(&world, (gint64)i * G_USEC_PER_SEC / 5);
        if (i % 2 == 1) {
            world_kill(&world);
            world_start(&world);
        }
        undo_ends(&world, id, GW_JOB_DONE);
        assert_true(undo_is_at(&world, 1, UNDO_WEB, GW_VM_OFF));
        undo_check(&world, "undefined, and nobody heard of it");
        world_free(&world);
    }
}

/* A person starts it at the very moment at which its definition goes: it must not end with its
 * process, nor be started from the copy. */
static void a_vm_that_was_started_meanwhile_is_defined_again(void **state)
{
    (void)state;
    for (guint i = 0; i < 4; i++) {
        World world;
        undo_open(&world);
        undo_plant(&world, "undefine", "boot", 1);
        g_autofree char *id = undo_begin(&world, "web", "b");
        for (int k = 0; k < 3000 && !undo_is_at(&world, 0, UNDO_WEB, GW_VM_RUNNING); k++)
            world_run(&world, G_USEC_PER_SEC / 50);
        if (i > 0) {
            world_run(&world, (gint64)i * G_USEC_PER_SEC / 2);
            world_kill(&world);
            world_start(&world);
        }
        g_autoptr(GwJob) job = undo_await_end(&world, id, GW_JOB_FAILED);
        assert_non_null(strstr(job->error->message, "active"));
        assert_null(strstr(job->error->message, "something is left"));
        g_autofree char *uri = world_uri(0);
        g_autoptr(GwLook) look = gw_sim_look(world.sim, uri, UNDO_WEB);
        assert_int_equal(look->state, GW_VM_RUNNING);
        assert_true(look->persistent);
        assert_int_equal(undo_content(&world, 1, "/vms/web.raw"), 0);
        undo_check(&world, "started while its definition went");
        world_free(&world);
    }
}

static void a_definition_that_stays_is_taken_back(void **state)
{
    World world;
    (void)state;

    undo_open(&world);
    undo_plant(&world, "undefine", "break", 1);
    undo_plant(&world, "undefine", "fail", 1);
    g_autofree char *id = undo_begin(&world, "web", "b");
    undo_ends(&world, id, GW_JOB_FAILED);
    assert_true(undo_is_at(&world, 0, UNDO_WEB, GW_VM_OFF));
    undo_check(&world, "not undefined");
    world_free(&world);
}

/* What is left ------------------------------------------------------------------------------- */

static gboolean has_left(World *world)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    g_autoptr(GPtrArray) kept = gw_fabric_list_kept(fabric);
    g_auto(GStrv) list = gw_sim_leaks(world->sim, kept);
    return list[0] != NULL;
}

static void steps_are(World *world, const char *id, const char *steps)
{
    GError *error = NULL;
    g_autoptr(GwUndoPlan) plan = gw_engine_plan_undo(world->engine, id, &error);

    assert_null(error);
    if (!plan->possible)
        fail_msg("not possible: %s", plan->why_not);
    assert_string_equal(plan->kind, GW_JOB_KIND_REPAIR);
    g_autofree char *all = g_strjoinv("\n", plan->steps);
    assert_string_equal(all, steps);
}

static void refused_with(World *world, const char *id, const char *remedy)
{
    GError *error = NULL;
    g_autoptr(GwUndoPlan) plan = gw_engine_plan_undo(world->engine, id, &error);

    assert_null(error);
    assert_false(plan->possible);
    if (strstr(plan->remedy, remedy) == NULL)
        fail_msg("'%s' is not in: %s", remedy, plan->remedy);
}

/* UNDO_WEB was to go to b; its volume there could not be removed again. */
static char *leave_a_volume(World *world)
{
    g_autofree char *id = undo_begin(world, "web", "b");

    world_run(world, SECONDS(4));
    undo_plant(world, "volume-delete", "fail", 5);
    undo_cancel(world, id);
    g_autoptr(GwJob) job = undo_await_end(world, id, GW_JOB_CANCELLED);
    assert_non_null(strstr(job->error->message, "something is left"));
    assert_true(has_left(world));
    return g_steal_pointer(&id);
}

static void what_was_left_is_removed_after_the_vm_moved_on(void **state)
{
    World world;
    (void)state;

    undo_open(&world);
    g_autofree char *id = leave_a_volume(&world);
    g_autofree char *on = undo_begin(&world, "web", "c");
    undo_ends(&world, on, GW_JOB_DONE);
    steps_are(&world, id,
              "Delete local/web.raw of b, made for vda, if no VM of any host that reaches it uses "
              "it: web has moved on since");
    assert_true(has_left(&world)); /* to say so does nothing */
    g_autofree char *repair = begin_undo(&world, id);
    undo_ends(&world, repair, GW_JOB_DONE);
    assert_int_equal(undo_content(&world, 1, "/vms/web.raw"), 0);
    assert_int_not_equal(undo_content(&world, 2, "/vms/web.raw"), 0);
    undo_check(&world, "left at b, repaired from c");
    world_free(&world);
}

/* It came to the same host after all, under another name; where it came from is managed no more. */
static void what_was_left_is_removed_beside_the_vm(void **state)
{
    (void)state;
    for (guint i = 0; i < 2; i++) {
        World world;
        undo_open(&world);
        g_autofree char *id = leave_a_volume(&world);
        g_autoptr(GwMoveRequest) request = storage_request_to("b");
        GwDiskChoice *choice = gw_disk_choice_new();
        choice->target = g_strdup("vda");
        choice->name = g_strdup("web2.raw");
        request->options->disks = gw_record_array(&gw_disk_choice_record);
        g_ptr_array_add(request->options->disks, choice);
        g_autofree char *on = storage_begin(&world, "web", request);
        g_autoptr(GwJob) there = undo_await_end(&world, on, GW_JOB_DONE);
        if (i == 1)
            UNIT_OK(gw_engine_remove_host(world.engine, there->source_host_id, error));
        g_autofree char *repair = begin_undo(&world, id);
        undo_ends(&world, repair, GW_JOB_DONE);
        assert_int_equal(undo_content(&world, 1, "/vms/web.raw"), 0);
        assert_int_not_equal(undo_content(&world, 1, "/vms/web2.raw"), 0);
        if (i == 0)
            undo_check(&world, "left at b, repaired at b");
        world_free(&world);
    }
}

/* What was left may be the VM's only data as long as nobody sees it anywhere. */
static void what_was_left_stays_while_the_vm_is_nowhere(void **state)
{
    World world;
    GError *error = NULL;
    (void)state;

    undo_open(&world);
    g_autofree char *id = leave_a_volume(&world);
    g_autofree char *on = undo_begin(&world, "web", "c");
    undo_ends(&world, on, GW_JOB_DONE);
    g_autofree char *uri = world_uri(2);
    gw_sim_undefine_by_hand(world.sim, uri, UNDO_WEB);
    world_run(&world, SECONDS(5));
    refused_with(&world, id, "Look where it is now");
    assert_null(gw_engine_undo(world.engine, id, "tester", NULL, &error));
    unit_assert_error(error, GW_ERR_CONFLICT, "only data");
    g_clear_error(&error);
    assert_int_not_equal(undo_content(&world, 1, "/vms/web.raw"), 0);
    world_free(&world);
}

/* Neither of two definitions would go. */
static char *leave_two_definitions(World *world)
{
    undo_plant(world, "undefine", "fail", 6); /* at a, then five times at b */
    g_autofree char *id = undo_begin(world, "web", "b");
    g_autoptr(GwJob) job = undo_await_end(world, id, GW_JOB_FAILED);
    assert_non_null(
        strstr(job->error->message, "something is left: undoing: defining the VM at b"));
    assert_non_null(strstr(job->error->remedy, "godwit job undo"));
    assert_int_equal(gw_sim_definitions(world->sim, UNDO_WEB), 2);
    /* What is defined finds its disks. */
    assert_int_not_equal(undo_content(world, 0, "/vms/web.raw"), 0);
    assert_int_not_equal(undo_content(world, 1, "/vms/web.raw"), 0);
    return g_steal_pointer(&id);
}

static void two_definitions_become_one(void **state)
{
    World world;
    (void)state;

    undo_open(&world);
    g_autofree char *id = leave_two_definitions(&world);
    steps_are(&world, id,
              "Remove the definition of web from b\nDelete local/web.raw of b, made for vda");
    g_autofree char *repair = begin_undo(&world, id);
    undo_ends(&world, repair, GW_JOB_DONE);
    assert_true(undo_is_at(&world, 0, UNDO_WEB, GW_VM_OFF));
    undo_check(&world, "two definitions, one taken back");
    world_free(&world);
}

/* A person ended the other one: what is left is what was to follow. */
static void the_move_is_finished_where_it_went(void **state)
{
    World world;
    (void)state;

    undo_open(&world);
    g_autofree char *id = leave_two_definitions(&world);
    g_autofree char *a = world_uri(0);
    g_autofree char *b = world_uri(1);
    gw_sim_boot(world.sim, b, UNDO_WEB);
    world_run(&world, SECONDS(5));
    refused_with(&world, id, "Say which one stays. The one on a: virsh destroy web on b.");
    gw_sim_undefine_by_hand(world.sim, a, UNDO_WEB);
    world_run(&world, SECONDS(5));
    steps_are(&world, id,
              "Let web start with b\n"
              "Keep local/web.raw of a as the old copy of vda for as long as its policy says");
    g_autofree char *repair = begin_undo(&world, id);
    undo_ends(&world, repair, GW_JOB_DONE);
    assert_true(undo_is_at(&world, 1, UNDO_WEB, GW_VM_RUNNING));
    g_autoptr(GwLook) look = gw_sim_look(world.sim, b, UNDO_WEB);
    assert_true(look->autostart);
    assert_int_not_equal(undo_content(&world, 0, "/vms/web.raw"), 0);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    assert_int_equal(g_hash_table_size(fabric->kept), 1);
    undo_check(&world, "finished where it went");
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_undo_waits_for_a_vm_that_arrives),
        cmocka_unit_test(a_removal_waits_for_a_vm_that_arrives),
        cmocka_unit_test(a_vm_that_never_arrives_is_not_waited_for),
        cmocka_unit_test(a_definition_that_went_although_refused),
        cmocka_unit_test(a_definition_that_went_unheard),
        cmocka_unit_test(a_vm_that_was_started_meanwhile_is_defined_again),
        cmocka_unit_test(a_definition_that_stays_is_taken_back),
        cmocka_unit_test(what_was_left_is_removed_after_the_vm_moved_on),
        cmocka_unit_test(what_was_left_is_removed_beside_the_vm),
        cmocka_unit_test(what_was_left_stays_while_the_vm_is_nowhere),
        cmocka_unit_test(two_definitions_become_one),
        cmocka_unit_test(the_move_is_finished_where_it_went),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
