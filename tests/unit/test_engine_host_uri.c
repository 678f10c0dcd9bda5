/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine_world.h"

#include "base/error.h"
#include "engine/moves_internal.h"
#include "engine/records_internal.h"

/* A host's URI is changed while jobs begin there. Behind the new one may be another machine (I1):
 * whichever comes first holds, and the other is refused, or waits. */

#define VM "6d0b6b0e-0000-4000-8000-000000000001"

/* Before the simulated fabric: whom the controller connects. */
typedef struct {
    GwHyper hyper;
    GwHyper *inner;
} Listening;

static GPtrArray *connected; /* ids, in order */

static void submit(GwHyper *hyper, GwRequest *request)
{
    GwHyper *inner = ((Listening *)hyper)->inner;

    if (request->op == GW_OP_CONNECT)
        g_ptr_array_add(connected, g_strdup(request->host_id));
    inner->driver->submit(inner, request);
}

static void close_hyper(GwHyper *hyper)
{
    gw_hyper_close(((Listening *)hyper)->inner);
    g_free(hyper);
}

static gint64 next_us(GwHyper *hyper)
{
    GwHyper *inner = ((Listening *)hyper)->inner;
    return inner->driver->next_us(inner);
}

static void run(GwHyper *hyper, gint64 now_us)
{
    GwHyper *inner = ((Listening *)hyper)->inner;
    inner->driver->run(inner, now_us);
}

static const GwHyperDriver listening_driver = {
    .name = "listening",
    .submit = submit,
    .close = close_hyper,
    .next_us = next_us,
    .run = run,
};

static GwHyper *open_listening(GwHyperSink sink, gpointer user, GError **error)
{
    Listening *listening = g_new0(Listening, 1);

    (void)error;
    listening->hyper.driver = &listening_driver;
    listening->hyper.sink = sink;
    listening->inner = gw_sim_attach(((World *)user)->sim, sink);
    return &listening->hyper;
}

/* Hosts a, which has the VM, and b; c and d are managed by nobody. */
static void open_world(World *world)
{
    json_t *hosts = json_pack("[o,o,o,o]", world_host_json(0), world_host_json(1),
                              world_host_json(2), world_host_json(3));

    json_object_set_new(json_array_get(hosts, 0), "vms",
                        json_pack("[o]", world_vm_json(VM, "web1")));
    world_make(world, gw_clock_new_virtual(SECONDS(1700000000)),
               json_pack("{s:o}", "hosts", hosts));
    world->open_hyper = open_listening;
    connected = g_ptr_array_new_with_free_func(g_free);
    world_start(world);
    world_add_host(world, 0);
    world_add_host(world, 1);
    world_run(world, SECONDS(1));
}

static void close_world(World *world)
{
    world_free(world);
    g_clear_pointer(&connected, g_ptr_array_unref);
}

static GwHost *host_now(GwEngine *engine, const char *name)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    return gw_host_copy(gw_fabric_find_host(fabric, name));
}

/* b, to where the host of that index is. */
static GwHost *move_b(GwEngine *engine, guint index, GError **error)
{
    g_autoptr(GwHost) wanted = host_now(engine, "b");

    g_free(wanted->uri);
    wanted->uri = world_uri(index);
    return world_change_host(engine, wanted, error);
}

/* Something that happens some turns of the loop later. */
typedef struct Later Later;
struct Later {
    void (*what)(GwEngine *engine, Later *later);
    guint turns;
    char *job_id;
    GwHost *changed;
    GError *error, *in_use;
};

static void later(GwEngine *engine, gpointer data)
{
    Later *self = data;

    if (self->turns-- > 0)
        gw_engine_post(engine, later, self);
    else
        self->what(engine, self);
}

static void later_clear(Later *self)
{
    g_clear_pointer(&self->job_id, g_free);
    g_clear_pointer(&self->changed, gw_host_free);
    g_clear_error(&self->error);
    g_clear_error(&self->in_use);
}

/* A move, whenever it begins ------------------------------------------------------------------- */

static void begun(GwEngine *engine, const GwJob *job, const GError *error, gpointer user)
{
    Later *self = user;

    (void)engine;
    self->job_id = g_strdup(job != NULL ? job->id : NULL);
    self->error = error != NULL ? g_error_copy(error) : NULL;
}

static void begin_move(GwEngine *engine, Later *self)
{
    const GwFabric *now = gw_engine_now(engine);
    g_autoptr(GwMoveOptions) options = gw_move_options_new();

    gw_moves_begin_part(engine,
                        &(BeginPart){ .vm_uuid = VM,
                                      .source_host_id = gw_fabric_find_host(now, "a")->id,
                                      .destination_host_id = gw_fabric_find_host(now, "b")->id,
                                      .options = options,
                                      .user = "tester" },
                        begun, self);
}

typedef struct {
    guint moved, refused;
} Outcomes;

/* The URI is new: no job has begun by what was behind the old one. */
static void assert_nothing_began(World *world, const GwHost *changed)
{
    g_autofree char *third = world_uri(2);
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->engine);
    const GwJob *job = gw_fabric_job_of_host(fabric, changed->id);

    assert_string_equal(changed->uri, third);
    if (job != NULL)
        assert_int_equal(job->state, GW_JOB_QUEUED);
}

static gboolean runs_at(World *world, guint index)
{
    g_autofree char *uri = world_uri(index);
    g_autoptr(GwLook) look = gw_sim_look(world->sim, uri, VM);

    return look != NULL && look->state == (int)GW_VM_RUNNING;
}

static void try_move_at(guint turns, Outcomes *outcomes)
{
    World world;
    Later begins = { .what = begin_move, .turns = turns };
    g_autoptr(GError) error = NULL;

    open_world(&world);
    gw_engine_post(world.engine, later, &begins);
    g_autoptr(GwHost) changed = move_b(world.engine, 2, &error);
    if (changed != NULL)
        assert_nothing_began(&world, changed);
    else
        unit_assert_error(error, GW_ERR_CONFLICT, "job 'Migrate web1 from a to b' uses host 'b'");
    outcomes->moved += changed != NULL;
    outcomes->refused += changed == NULL;
    world_run(&world, SECONDS(30));
    assert_int_equal(gw_sim_most_running(world.sim, VM), 1);
    if (begins.job_id != NULL) {
        g_autoptr(GwJob) job = world_job(&world, begins.job_id);
        assert_int_equal(job->state, GW_JOB_DONE);
        assert_true(runs_at(&world, changed != NULL ? 2 : 1));
    } else {
        assert_non_null(begins.error);
        assert_true(runs_at(&world, 0));
    }
    later_clear(&begins);
    close_world(&world);
}

static void a_move_and_a_new_uri_do_not_cross(void **unused)
{
    Outcomes outcomes = { 0 };
    (void)unused;

    for (guint turns = 0; turns < 24; turns++)
        try_move_at(turns, &outcomes);
    /* Both ways were met: the job was first, and the change was. */
    assert_int_not_equal(outcomes.moved, 0);
    assert_int_not_equal(outcomes.refused, 0);
}

/* A job that is being accepted ------------------------------------------------------------------
 */

static GwJob *new_job(GwEngine *engine, const GwHost *host)
{
    GwJob *job = gw_jobs_new(engine, GW_JOB_KIND_REPAIR, "tester");

    job->title = g_strdup("Repair web1");
    job->vm_uuid = g_strdup(VM);
    job->source_host_id = g_strdup(host->id);
    job->destination_host_id = g_strdup(host->id);
    job->options = gw_move_options_new();
    return job;
}

static void accepted(GwEngine *engine, const GwJob *job, const GError *error, gpointer user)
{
    begun(engine, error == NULL ? job : NULL, error, user);
}

/* Before the store has the job nobody sees it, and its host is used all the same. */
static void accept_and_check(GwEngine *engine, Later *self)
{
    const GwHost *b = gw_fabric_find_host(gw_engine_now(engine), "b");

    assert_true(gw_hosts_check_unused(engine, b, NULL));
    gw_jobs_accept(engine, NULL, gw_batch_new(), new_job(engine, b), accepted, self);
    assert_null(gw_fabric_job_of_host(gw_engine_now(engine), b->id));
    assert_false(gw_hosts_check_unused(engine, b, &self->in_use));
}

static void a_job_that_is_being_accepted_uses_its_host(void **unused)
{
    World world;
    Later accepts = { .what = accept_and_check };
    (void)unused;

    open_world(&world);
    gw_engine_post(world.engine, later, &accepts);
    world_run(&world, SECONDS(1));
    unit_assert_error(accepts.in_use, GW_ERR_CONFLICT, "job 'Repair web1' uses host 'b'");
    assert_non_null(accepts.job_id);
    assert_null(accepts.error);
    later_clear(&accepts);
    close_world(&world);
}

static void removed(GwEngine *engine, gpointer id, const GError *error, gpointer unused)
{
    (void)engine;
    (void)unused;
    assert_null(error);
    g_free(id);
}

static void remove_b(GwEngine *engine, Call *call)
{
    gw_records_commit(engine, call, GW_KIND_HOST, NULL, call->in[0], NULL);
}

static void remove_and_accept(GwEngine *engine, Later *self)
{
    g_autofree char *id = g_strdup(gw_fabric_find_host(gw_engine_now(engine), "b")->id);
    GwJob *job = new_job(engine, gw_fabric_host(gw_engine_now(engine), id));

    gw_call_from_loop(engine, remove_b, id, removed, NULL);
    gw_jobs_accept(engine, NULL, gw_batch_new(), job, accepted, self);
}

/* Its removal is being stored: who asks for a job there is told so, and nothing is left of it. */
static void a_job_at_a_host_that_is_being_removed_is_refused(void **unused)
{
    World world;
    Later accepts = { .what = remove_and_accept };
    (void)unused;

    open_world(&world);
    gw_engine_post(world.engine, later, &accepts);
    world_run(&world, SECONDS(1));
    assert_null(accepts.job_id);
    unit_assert_error(accepts.error, GW_ERR_NOT_FOUND,
                      "a host of the job 'Repair web1' was removed just now");
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world.engine);
    assert_null(gw_fabric_job_of_vm(fabric, VM));
    later_clear(&accepts);
    close_world(&world);
}

/* Two trials ----------------------------------------------------------------------------------- */

static void move_b_elsewhere(GwEngine *engine, Later *self)
{
    self->changed = move_b(engine, 3, &self->error);
}

static guint count_trials(void)
{
    g_autoptr(GHashTable) trials = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < connected->len; i++) {
        if (g_str_has_prefix(connected->pdata[i], "trial:"))
            assert_true(g_hash_table_add(trials, connected->pdata[i]));
    }
    return g_hash_table_size(trials);
}

/* Two persons, each with a URI of one host: the end of one trial is not the end of the other's
 * connection, and the host is where the last one wants it. */
static void two_trials_of_a_host_are_two_connections(void **unused)
{
    World world;
    Later second = { .what = move_b_elsewhere };
    g_autoptr(GError) error = NULL;
    (void)unused;

    open_world(&world);
    guint before = count_trials();
    gw_engine_post(world.engine, later, &second);
    g_autoptr(GwHost) changed = move_b(world.engine, 2, &error);
    assert_null(error);
    assert_null(second.error);
    assert_non_null(changed);
    assert_non_null(second.changed);
    assert_int_equal(count_trials(), before + 2);
    world_run(&world, SECONDS(5));
    g_autoptr(GwHost) b = host_now(world.engine, "b");
    assert_int_equal(b->status, GW_HOST_OK_LIMITED);
    assert_true(g_strcmp0(b->uri, changed->uri) == 0 ||
                g_strcmp0(b->uri, second.changed->uri) == 0);
    assert_int_equal(strncmp(b->facts->hostname, strstr(b->uri, "//") + 2, 13), 0);
    later_clear(&second);
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_move_and_a_new_uri_do_not_cross),
        cmocka_unit_test(a_job_that_is_being_accepted_uses_its_host),
        cmocka_unit_test(a_job_at_a_host_that_is_being_removed_is_refused),
        cmocka_unit_test(two_trials_of_a_host_are_two_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
