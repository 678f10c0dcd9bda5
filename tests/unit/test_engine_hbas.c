/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "storage_world.h"

#include <string.h>

#include "base/error.h"
#include "engine/engine_internal.h"

/* Virtual HBAs that go along with a VM that is off (R41), over simulated hosts whose witness sees
 * a WWPN that is logged in twice. Whatever happens: it is logged in where the VM is defined, or
 * nowhere. */

#define VM "6d0b6b0e-0000-4000-8000-000000000001"
#define WWPN "5001a4a0d2aa0001"
#define SAN "2001000dec9877c1"
#define UNDO_TRIES 5 /* of a task that its host refuses */

static json_t *hba_json(const char *name, const char *san, int free)
{
    return json_pack("{s:s,s:s,s:s,s:i,s:i}", "name", name, "wwpn", name, "fabric_wwn", san,
                     "max_vports", 8, "vports", 8 - free);
}

static json_t *pool_json(void)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:[{s:s,s:I,s:s}]}", "name", "vhba1", "type",
                     "scsi", "target_path", "/dev/disk/by-path", "source", WWPN, "wwpn", WWPN,
                     "parent_hba", "scsi_host5", "active", 1, "volumes", "name", "unit:0:0:1",
                     "capacity_bytes", (json_int_t)1 << 30, "kind", "block");
}

static json_t *vm_json(void)
{
    json_t *vm = world_vm_json(VM, "web");

    json_object_set_new(vm, "state", json_string("off"));
    json_object_set_new(vm, "disks",
                        json_pack("[{s:s,s:s,s:s,s:s,s:s,s:s}]", "target", "vda", "device", "lun",
                                  "type", "volume", "source", "vhba1/unit:0:0:1", "format", "raw",
                                  "cache", "none"));
    return vm;
}

/* @zoned: the SAN lets the WWPN in from b as well. */
static void open_world_of(World *world, gboolean zoned)
{
    json_t *hosts = json_array();

    for (guint i = 0; i < 2; i++) {
        json_t *host = world_host_json(i);
        json_t *facts = json_object_get(host, "facts");
        json_object_set_new(facts, "hbas",
                            i == 0 ? json_pack("[o]", hba_json("scsi_host5", SAN, 7))
                                   : json_pack("[o,o]", hba_json("scsi_host2", "2001", 8),
                                               hba_json("scsi_host3", SAN, 2)));
        if (i == 0) {
            json_array_append_new(json_object_get(facts, "pools"), pool_json());
            json_object_set_new(host, "vms", json_pack("[o]", vm_json()));
        } else if (!zoned) {
            json_object_set_new(host, "reaches", json_pack("[s]", "nas"));
        }
        json_array_append_new(hosts, host);
    }
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)),
               json_pack("{s:o,s:i}", "hosts", hosts, "link_mibps", 100));
    world_start(world);
    for (guint i = 0; i < 2; i++)
        world_add_host(world, i);
    world_run(world, SECONDS(2));
}

static char *begin_off(World *world)
{
    open_world_of(world, TRUE);
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    return storage_begin(world, "web", request);
}

/* Which HBA of the host carries the pool: "" where it is not active, NULL where there is none. */
static char *carrier(World *world, const char *name)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    const GwHost *host = gw_fabric_find_host(fabric, name);
    const GwPool *pool = gw_record_find(&gw_pool_record, host->facts->pools, "name", "vhba1");

    if (pool == NULL)
        return NULL;
    return g_strdup(pool->active ? pool->parent_hba : "");
}

static gboolean is_defined(World *world, const char *name)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    return gw_fabric_vm(fabric, gw_fabric_find_host(fabric, name)->id, VM) != NULL;
}

static void look_again(World *world)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);

    for (guint i = 0; i < 2; i++) {
        GError *error = NULL;
        gw_engine_refresh_host(world->engine, gw_fabric_find_host(fabric, i == 0 ? "a" : "b")->id,
                               &error);
        assert_null(error);
    }
    world_run(world, SECONDS(5));
}

/* Where the VM is, its virtual HBA is logged in, and nothing of it is left at the other host. */
static void check_at(World *world, const char *at, const char *when)
{
    const char *other = strcmp(at, "a") == 0 ? "b" : "a";

    world_run(world, SECONDS(30));
    look_again(world); /* what a host did while nobody heard of it */
    g_autofree char *here = carrier(world, at), *there = carrier(world, other);
    g_auto(GStrv) violations = gw_sim_violations(world->sim);

    if (violations[0] != NULL)
        fail_msg("%s: %s", when, violations[0]);
    if (!is_defined(world, at) || is_defined(world, other))
        fail_msg("%s: the VM is not at %s alone", when, at);
    if (g_strcmp0(here, strcmp(at, "a") == 0 ? "scsi_host5" : "scsi_host3") != 0)
        fail_msg("%s: it is carried by '%s' at %s", when, here, at);
    if (there != NULL)
        fail_msg("%s: it is left at %s ('%s')", when, other, there);
}

static GwJob *ends(World *world, const char *id)
{
    for (int i = 0; i < 2000; i++) {
        g_autoptr(GwJob) job = world_job(world, id);
        if (gw_job_state_is_final((GwJobState)job->state))
            return g_steal_pointer(&job);
        world_run(world, SECONDS(1));
    }
    fail_msg("it does not end");
    return NULL;
}

static GwJob *ends_in(World *world, const char *id, GwJobState state)
{
    g_autoptr(GwJob) job = ends(world, id);

    if (job->state != (int)state)
        fail_msg("'%s' is %s: %s", job->title, gw_enum_word(&gw_job_state_enum, job->state),
                 job->error != NULL ? job->error->message : "?");
    return g_steal_pointer(&job);
}

static void there_and_back(void)
{
    World world;
    GError *error = NULL;
    g_autofree char *id = begin_off(&world);
    g_autoptr(GwJob) job = ends_in(&world, id, GW_JOB_DONE);

    assert_int_equal(job->hbas->len, 1);
    const GwHbaMove *move = job->hbas->pdata[0];
    assert_int_equal(move->how, GW_HBA_HANDED_OVER);
    assert_string_equal(move->from, "scsi_host5");
    assert_string_equal(move->to, "scsi_host3"); /* on the same SAN, though the other has room */
    assert_int_equal(move->was->luns->len, 1);
    assert_int_equal(job->transfer, GW_TRANSFER_SAN);
    check_at(&world, "b", "there");
    g_autoptr(GwJob) back = gw_engine_undo(world.engine, id, "tester", NULL, &error);
    if (back == NULL)
        fail_msg("not undone: %s", error->message);
    G_GNUC_UNUSED g_autoptr(GwJob) over = ends_in(&world, back->id, GW_JOB_DONE);
    check_at(&world, "a", "back");
    world_free(&world);
}

static void it_goes_along_and_comes_back(void **state)
{
    storage_for_both_ways(there_and_back);
}

static void an_hba_is_chosen(void **state)
{
    World world;
    GwHbaChoice *choice = gw_hba_choice_new();

    open_world_of(&world, TRUE);
    choice->wwpn = g_strdup(WWPN);
    choice->parent = g_strdup("scsi_host2");
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    request->options->hbas = gw_record_array(&gw_hba_choice_record);
    g_ptr_array_add(request->options->hbas, choice);
    g_autofree char *id = storage_begin(&world, "web", request);
    g_autoptr(GwJob) job = ends_in(&world, id, GW_JOB_DONE);
    world_run(&world, SECONDS(5));
    g_autofree char *there = carrier(&world, "b");
    assert_string_equal(there, "scsi_host2");
    assert_true(((GwHbaMove *)job->hbas->pdata[0])->chosen);
    world_free(&world);
}

/* A second VM that is off, with a virtual HBA of its own, and one vport at b. */
static void open_two(World *world)
{
    json_t *hosts = json_pack("[o,o]", world_host_json(0), world_host_json(1));
    json_t *facts = json_object_get(json_array_get(hosts, 0), "facts");
    json_t *pool = pool_json(), *vm = vm_json();

    json_object_set_new(pool, "name", json_string("vhba2"));
    json_object_set_new(pool, "source", json_string("5001a4a0d2aa0002"));
    json_object_set_new(pool, "wwpn", json_string("5001a4a0d2aa0002"));
    json_object_set_new(vm, "uuid", json_string("6d0b6b0e-0000-4000-8000-000000000002"));
    json_object_set_new(vm, "name", json_string("web2"));
    json_object_set_new(json_array_get(json_object_get(vm, "disks"), 0), "source",
                        json_string("vhba2/unit:0:0:1"));
    json_object_set_new(facts, "hbas", json_pack("[o]", hba_json("scsi_host5", SAN, 6)));
    json_array_append_new(json_object_get(facts, "pools"), pool_json());
    json_array_append_new(json_object_get(facts, "pools"), pool);
    json_object_set_new(json_array_get(hosts, 0), "vms", json_pack("[o,o]", vm_json(), vm));
    json_object_set_new(json_object_get(json_array_get(hosts, 1), "facts"), "hbas",
                        json_pack("[o]", hba_json("scsi_host3", SAN, 1)));
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)),
               json_pack("{s:o,s:i}", "hosts", hosts, "link_mibps", 100));
    world_start(world);
    for (guint i = 0; i < 2; i++)
        world_add_host(world, i);
    world_run(world, SECONDS(2));
}

/* From the moment that a job is accepted its vport is promised, though b shows it as free. */
static void the_last_vport_is_given_once(void **state)
{
    World world;
    g_autoptr(GError) error = NULL;
    GwMovePlan *plan = NULL;
    g_autoptr(GwMoveRequest) request = storage_request_to("b");

    open_two(&world);
    g_autofree char *id = storage_begin(&world, "web", request);
    g_autoptr(GwJob) queued = world_job(&world, id);
    assert_int_equal(queued->hbas->len, 1);
    g_autoptr(GwJob) second =
        gw_engine_migrate(world.engine, "web2", request, "tester", &plan, &error);
    assert_null(second);
    assert_non_null(error);
    assert_non_null(plan);
    const GwHbaMove *move = plan->candidate->hbas->pdata[0];
    assert_int_equal(move->how, GW_HBA_NOT);
    assert_non_null(strstr(move->why, "1 of 8 virtual ones free, 1 of them promised to jobs"));
    gw_move_plan_free(plan);
    G_GNUC_UNUSED g_autoptr(GwJob) over = ends_in(&world, id, GW_JOB_DONE);
    world_free(&world);
}

/* As b said it before. */
static void forget_news(GwEngine *engine, gpointer before)
{
    gw_fabric_put_host(gw_engine_change(engine), gw_host_copy(before));
}

/* What is said of web2's virtual HBA at b, as b is known just now: nobody asks it. */
static char *said_of_the_second(World *world)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    const char *b = gw_fabric_find_host(fabric, "b")->id;
    g_autoptr(GPtrArray) all = gw_engine_candidates(world->engine, "web2", NULL, FALSE, &error);

    assert_null(error);
    for (guint i = 0; i < all->len; i++) {
        const GwCandidate *candidate = all->pdata[i];
        if (g_strcmp0(candidate->host_id, b) == 0)
            return g_strdup(((GwHbaMove *)candidate->hbas->pdata[0])->why);
    }
    fail_msg("b is no candidate");
    return NULL;
}

/* Until b shows what a job that is done logged in there, it is taken by that job. */
static void a_vport_is_taken_before_it_is_shown(void **state)
{
    World world;
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    (void)state;

    open_two(&world);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    g_autoptr(GwHost) before = gw_host_copy(gw_fabric_find_host(fabric, "b"));
    g_autofree char *id = storage_begin(&world, "web", request);
    G_GNUC_UNUSED g_autoptr(GwJob) over = ends_in(&world, id, GW_JOB_DONE);
    world_run(&world, SECONDS(5));
    gw_engine_post(world.engine, forget_news, before);
    world_run(&world, SECONDS(1) / 10);
    g_autofree char *taken = said_of_the_second(&world);
    assert_non_null(strstr(taken, "1 of 8 virtual ones free, 1 of them promised to jobs"));
    /* Not for ever: somebody may have removed it there. */
    world_run(&world, SECONDS(90));
    gw_engine_post(world.engine, forget_news, before);
    world_run(&world, SECONDS(1) / 10);
    g_autofree char *later = said_of_the_second(&world);
    assert_null(strstr(later, "promised"));
    assert_null(strstr(later, "no HBA with room"));
    world_free(&world);
}

/* Each question fails, or its answer is lost, or its host is away: it goes on, or all is undone. */
static void whatever_fails_it_is_logged_in_once(void **state)
{
    static const char *const ops[] = { "hba-look", "hba-stop", "hba-start", "define-from",
                                       "undefine" };
    static const char *const strikes[] = { "fail", "do-and-fail", "lose-reply", "host-down" };

    for (guint i = 0; i < G_N_ELEMENTS(ops) * G_N_ELEMENTS(strikes); i++) {
        const char *op = ops[i / G_N_ELEMENTS(strikes)];
        const char *strike = strikes[i % G_N_ELEMENTS(strikes)];
        g_autofree char *when = g_strdup_printf("%s: %s", op, strike);
        World world;
        if (strcmp(op, "define-from") == 0 && strcmp(strike, "do-and-fail") == 0)
            continue; /* a host that says no to a definition did not take it */
        open_world_of(&world, TRUE);
        storage_plant(&world, op, strike, 0, 20000);
        g_autoptr(GwMoveRequest) request = storage_request_to("b");
        g_autofree char *id = storage_begin(&world, "web", request);
        g_autoptr(GwJob) job = ends(&world, id);
        check_at(&world, job->state == (int)GW_JOB_DONE ? "b" : "a", when);
        world_free(&world);
    }
}

/* The zones of the SAN let the WWPN in from its old host alone. */
static void luns_that_are_not_seen_undo_it(void **state)
{
    World world;

    open_world_of(&world, FALSE);
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    g_autofree char *id = storage_begin(&world, "web", request);
    g_autoptr(GwJob) job = ends_in(&world, id, GW_JOB_FAILED);
    assert_non_null(strstr(job->error->message, "the LUN 'unit:0:0:1' is not seen"));
    assert_non_null(strstr(job->error->remedy, "WWPN"));
    check_at(&world, "a", "not zoned");
    world_free(&world);
}

/* It may still be logged in at the destination, which does not let it go: then not at the source.
 */
static void what_is_stuck_there_does_not_log_in_here(void **state)
{
    World world;

    open_world_of(&world, FALSE);
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    g_autofree char *id = storage_begin(&world, "web", request);
    g_autofree char *there = NULL;
    for (int i = 0; i < 100 && g_strcmp0(there, "scsi_host3") != 0; i++) {
        world_run(&world, SECONDS(1));
        g_free(there);
        there = carrier(&world, "b");
    }
    assert_string_equal(there, "scsi_host3");
    for (int i = 0; i < UNDO_TRIES; i++)
        storage_plant(&world, "hba-stop", "fail", 0, 0);
    g_autoptr(GwJob) job = ends_in(&world, id, GW_JOB_FAILED);
    world_run(&world, SECONDS(5));
    g_autofree char *here = carrier(&world, "a"), *still = carrier(&world, "b");
    g_auto(GStrv) violations = gw_sim_violations(world.sim);
    assert_null(violations[0]);
    assert_string_equal(here, "");
    assert_string_equal(still, "scsi_host3");
    assert_non_null(strstr(job->error->message, "virtual HBA vhba1"));
    /* When the host lets it go, a repair puts it back. */
    GError *error = NULL;
    g_autoptr(GwJob) repair = gw_engine_undo(world.engine, id, "tester", NULL, &error);
    if (repair == NULL)
        fail_msg("not repaired: %s", error->message);
    G_GNUC_UNUSED g_autoptr(GwJob) over = ends_in(&world, repair->id, GW_JOB_DONE);
    check_at(&world, "a", "repaired");
    world_free(&world);
}

/* What its virtual HBA showed, as far as is shown of the job. */
static const GwVirtualHba *read_of(const GwJob *job)
{
    return job->hbas != NULL ? ((const GwHbaMove *)job->hbas->pdata[0])->was : NULL;
}

static int state_of(const GwJob *job, GwTaskKind kind)
{
    for (guint i = 0; job->tasks != NULL && i < job->tasks->len; i++) {
        const GwTask *task = job->tasks->pdata[i];
        if (task->kind == (int)kind)
            return task->state;
    }
    return -1;
}

/* What it showed is journaled, with a row of the history, and shown, before it is asked to stop. */
static void what_was_read_is_shown_before_it_stops(void **state)
{
    World world;
    gboolean noted = FALSE;

    open_world_of(&world, TRUE);
    g_autoptr(GwMoveRequest) request = storage_request_to("b");
    g_autofree char *id = storage_begin(&world, "web", request);
    g_autoptr(GwJob) job = world_job(&world, id);
    for (int i = 0; i < 20000 && read_of(job) == NULL; i++) {
        world_run(&world, SECONDS(1) / 1000);
        gw_job_free(job);
        job = world_job(&world, id);
    }
    assert_non_null(read_of(job));
    assert_int_equal(read_of(job)->luns->len, 1);
    assert_int_equal(state_of(job, GW_TASK_HBA_STOP), GW_TASK_DOING);
    g_autoptr(GPtrArray) rows = gw_store_journal(world.store, id, NULL);
    for (guint i = 0; i < rows->len; i++)
        noted = noted || strcmp(((GwJournalRow *)rows->pdata[i])->event, "virtual HBA read") == 0;
    assert_true(noted);
    G_GNUC_UNUSED g_autoptr(GwJob) over = ends_in(&world, id, GW_JOB_DONE);
    check_at(&world, "b", "shown");
    world_free(&world);
}

static void check_over(World *world, const char *id, gboolean called_off, const char *when)
{
    g_autoptr(GwJob) job = ends(world, id);

    if (job->state != (int)GW_JOB_DONE && !called_off)
        fail_msg("%s: %s", when, job->error != NULL ? job->error->message : "?");
    check_at(world, job->state == (int)GW_JOB_DONE ? "b" : "a", when);
}

/* A host that is away when the move is looked at may refuse it. */
static void check_settled(World *world, const char *id, gboolean called_off, const char *when)
{
    check_over(world, id, TRUE, when);
}

static const StorageMoments moments = { 40, G_USEC_PER_SEC / 50, begin_off, check_over };
static const StorageMoments cuts = { 40, G_USEC_PER_SEC / 50, begin_off, check_settled };

static void cancelled_at_every_moment(void **state)
{
    storage_cancel_at_every_moment(&moments);
}

static void killed_at_every_moment(void **state)
{
    storage_kill_at_every_moment(&moments);
}

static void cut_at_every_moment(void **state)
{
    storage_cut_at_every_moment(&cuts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_goes_along_and_comes_back),
        cmocka_unit_test(an_hba_is_chosen),
        cmocka_unit_test(the_last_vport_is_given_once),
        cmocka_unit_test(a_vport_is_taken_before_it_is_shown),
        cmocka_unit_test(whatever_fails_it_is_logged_in_once),
        cmocka_unit_test(luns_that_are_not_seen_undo_it),
        cmocka_unit_test(what_is_stuck_there_does_not_log_in_here),
        cmocka_unit_test(what_was_read_is_shown_before_it_stops),
        cmocka_unit_test(cancelled_at_every_moment),
        cmocka_unit_test(killed_at_every_moment),
        cmocka_unit_test(cut_at_every_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
