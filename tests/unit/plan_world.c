/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan_world.h"

#include "plan/plan.h"

#define STEP_US ((gint64)20000)

json_t *plan_fabric(guint hosts, const char *places)
{
    json_t *list = json_array();

    for (guint i = 0; i < hosts; i++) {
        json_t *host = world_host_json(i);
        json_object_set_new(host, "vms", json_array());
        json_array_append_new(list, host);
    }
    for (guint i = 0; places[i] != '\0'; i++) {
        g_autofree char *uuid = trial_uuid(i);
        g_autofree char *name = g_strdup_printf("vm%u", i);
        json_t *host = json_array_get(list, (gsize)(places[i] - 'a'));
        json_array_append_new(json_object_get(host, "vms"), world_vm_json(uuid, name));
    }
    return json_pack("{s:o, s:i, s:i}", "hosts", list, "link_mibps", 200, "dirty_mibps", 10);
}

json_t *plan_vm_json(json_t *fabric, guint vm)
{
    g_autofree char *uuid = trial_uuid(vm);
    json_t *host, *found;
    size_t h, v;

    json_array_foreach (json_object_get(fabric, "hosts"), h, host) {
        json_array_foreach (json_object_get(host, "vms"), v, found) {
            if (g_strcmp0(json_string_value(json_object_get(found, "uuid")), uuid) == 0)
                return found;
        }
    }
    fail_msg("no vm%u", vm);
    return NULL;
}

void plan_open(PlanWorld *world, json_t *fabric, guint hosts, guint vms)
{
    *world = (PlanWorld){ .hosts = hosts, .vms = vms };
    world->drained = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    world_make(&world->world, gw_clock_new_virtual(SECONDS(1700000000)), fabric);
    world_start(&world->world);
    for (guint i = 0; i < hosts; i++)
        world_add_host(&world->world, i);
    world_run(&world->world, SECONDS(2));
}

void plan_open_default(PlanWorld *world)
{
    plan_open(world, plan_fabric(4, PLAN_PLACES), 4, 8);
}

void plan_close_drained(PlanWorld *world)
{
    assert_int_equal(plan_running_at(world, 'a'), 0);
    plan_check_vms(world);
    plan_close(world);
}

void plan_close(PlanWorld *world)
{
    g_hash_table_unref(world->drained);
    world_free(&world->world);
}

/* What holds at every instant --------------------------------------------------------------- */

static gboolean is_active_at(PlanWorld *world, guint vm, guint host)
{
    g_autofree char *uuid = trial_uuid(vm);
    g_autofree char *uri = world_uri(host);
    g_autoptr(GwLook) look = gw_sim_look(world->world.sim, uri, uuid);

    return look != NULL && look->state != (int)GW_VM_OFF;
}

static void check_slots(PlanWorld *world)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->world.engine);
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(fabric);

    for (guint i = 0; i < hosts->len; i++) { /* R20 */
        const GwHost *host = hosts->pdata[i];
        if (gw_slots_in_use(fabric, host->id).live > host->live_limit)
            fail_msg("more moves at once than slots on %s", host->name);
    }
    for (guint i = 0; i < world->hosts; i++) {
        g_autofree char *uri = world_uri(i);
        if (gw_sim_most_moves(world->world.sim, uri) > GW_LIMIT_DEFAULT)
            fail_msg("%u moves at once on host %u", gw_sim_most_moves(world->world.sim, uri), i);
    }
}

/* From arrival to departure, so what comes in counts. */
static void check_apart(PlanWorld *world)
{
    for (guint i = 0; i < world->hosts && world->apart[0] != world->apart[1]; i++) {
        if (is_active_at(world, world->apart[0], i) && is_active_at(world, world->apart[1], i))
            fail_msg("vm%u and vm%u are both on host %u", world->apart[0], world->apart[1], i);
    }
}

/* A drain that says it is done leaves nothing behind, and nothing on its way there; to a host that
 * a person opened meanwhile others may be on their way by then. */
static void check_drained(PlanWorld *world)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->world.engine);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (job->state != (int)GW_JOB_DONE || g_strcmp0(job->kind, GW_JOB_KIND_DRAIN) != 0 ||
            !g_hash_table_add(world->drained, g_strdup(job->id)))
            continue;
        for (guint i = 0; job->plan->request->hosts[i] != NULL; i++) {
            const GwHost *host = gw_fabric_host(fabric, job->plan->request->hosts[i]);
            if (host->maintenance != (int)GW_MAINTENANCE_NONE &&
                plan_running_at(world, *host->name) > 0)
                fail_msg("'%s' is done, and VMs run on %s", job->title, host->name);
        }
    }
}

void plan_check_vms(PlanWorld *world)
{
    GwSim *sim = world->world.sim;

    for (guint i = 0; i < world->vms; i++) {
        g_autofree char *uuid = trial_uuid(i);
        if (gw_sim_most_running(sim, uuid) > 1)
            fail_msg("vm%u ran twice", i);
        if (gw_sim_running(sim, uuid) != 1)
            fail_msg("vm%u runs %u times", i, gw_sim_running(sim, uuid));
        if (gw_sim_definitions(sim, uuid) != 1)
            fail_msg("vm%u: %u definitions", i, gw_sim_definitions(sim, uuid));
    }
}

void plan_run(PlanWorld *world, gint64 span_us)
{
    for (gint64 passed = 0; passed < span_us; passed += STEP_US) {
        world_run(&world->world, MIN(STEP_US, span_us - passed));
        check_slots(world);
        check_apart(world);
        check_drained(world);
    }
}

GwJob *plan_run_job(PlanWorld *world, const char *job_id)
{
    for (guint i = 0; i < 3600; i++) {
        g_autoptr(GwJob) job = world_job(&world->world, job_id);
        if (gw_job_state_is_final((GwJobState)job->state))
            return g_steal_pointer(&job);
        plan_run(world, SECONDS(1) / 2);
    }
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->world.engine);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);
    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *other = jobs->pdata[i];
        if (!gw_job_state_is_final((GwJobState)other->state))
            print_error("'%s' is %s, waiting for %s\n", other->title,
                        gw_enum_word(&gw_job_state_enum, other->state), other->waiting_for);
    }
    g_autoptr(GwJob) job = world_job(&world->world, job_id);
    fail_msg("'%s' is still %s: %s, %s", job->title, gw_enum_word(&gw_job_state_enum, job->state),
             job->progress != NULL ? job->progress->phase : "-",
             job->progress != NULL ? job->progress->note : "-");
    return NULL;
}

GwJob *plan_run_done(PlanWorld *world, const char *job_id)
{
    GwJob *job = plan_run_job(world, job_id);

    if (job->state != (int)GW_JOB_DONE)
        fail_msg("'%s' is %s: %s", job->title, gw_enum_word(&gw_job_state_enum, job->state),
                 job->error != NULL ? job->error->message : "-");
    return job;
}

void plan_end_done(PlanWorld *world, const char *job_id)
{
    gw_job_free(plan_run_done(world, job_id));
}

/* Plans ------------------------------------------------------------------------------------ */

GwPlanRequest *plan_request(GwPlanKind kind, const char *hosts)
{
    GwPlanRequest *request = gw_plan_request_new();

    request->kind = (int)kind;
    request->hosts = hosts != NULL ? g_strsplit(hosts, " ", -1) : NULL;
    request->maintenance = kind == GW_PLAN_DRAIN;
    return request;
}

GwMigrationPlan *plan_make(PlanWorld *world, GwPlanRequest *request)
{
    g_autoptr(GwPlanRequest) own = request;
    g_autoptr(GError) error = NULL;
    GwMigrationPlan *plan = gw_engine_plan(world->world.engine, own, &error);

    if (plan == NULL)
        fail_msg("%s", error->message);
    return plan;
}

GwJob *plan_apply(PlanWorld *world, const GwMigrationPlan *plan)
{
    g_autoptr(GError) error = NULL;
    GwJob *job = gw_engine_apply_plan(world->world.engine, plan, "tester", &error);

    if (job == NULL)
        fail_msg("%s", error->message);
    return job;
}

static char *begin(PlanWorld *world, GwPlanKind kind, const char *hosts)
{
    g_autoptr(GwMigrationPlan) plan = plan_make(world, plan_request(kind, hosts));
    g_autoptr(GwJob) job = plan_apply(world, plan);

    return g_strdup(job->id);
}

char *plan_drain(PlanWorld *world, const char *hosts)
{
    return begin(world, GW_PLAN_DRAIN, hosts);
}

char *plan_undrain(PlanWorld *world, const char *hosts)
{
    return begin(world, GW_PLAN_UNDRAIN, hosts);
}

char *plan_open_draining(PlanWorld *world)
{
    plan_open_default(world);
    char *id = plan_drain(world, "a");
    plan_run(world, SECONDS(1) / 2);
    return id;
}

GwPlannedMove *plan_move_at(const GwMigrationPlan *plan, guint index)
{
    return plan->moves->pdata[index];
}

guint plan_count(const GwJob *job, GwPlannedState state)
{
    guint n = 0;

    for (guint i = 0; job->plan->moves != NULL && i < job->plan->moves->len; i++)
        n += ((GwPlannedMove *)job->plan->moves->pdata[i])->state == (int)state;
    return n;
}

/* Where they are ---------------------------------------------------------------------------- */

int plan_maintenance(PlanWorld *world, char host)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->world.engine);
    char name[] = { host, '\0' };

    return gw_fabric_find_host(fabric, name)->maintenance;
}

guint plan_running_at(PlanWorld *world, char host)
{
    guint n = 0;

    for (guint i = 0; i < world->vms; i++)
        n += is_active_at(world, i, (guint)(host - 'a'));
    return n;
}

char plan_where(PlanWorld *world, guint vm)
{
    char where = '\0';

    for (guint i = 0; i < world->hosts; i++) {
        if (!is_active_at(world, vm, i))
            continue;
        if (where != '\0')
            fail_msg("vm%u is active on %c and on %c", vm, where, (char)('a' + i));
        where = (char)('a' + i);
    }
    if (where == '\0')
        fail_msg("vm%u runs nowhere", vm);
    return where;
}

void plan_check_places(PlanWorld *world, const char *places)
{
    for (guint i = 0; places[i] != '\0'; i++)
        assert_int_equal(plan_where(world, i), places[i]);
}

guint plan_unfinished(PlanWorld *world)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(world->world.engine);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);
    guint n = 0;

    for (guint i = 0; i < jobs->len; i++)
        n += !gw_job_state_is_final((GwJobState)((GwJob *)jobs->pdata[i])->state);
    return n;
}

void plan_kill_at(PlanWorld *world, gint64 ms, gint64 away_ms)
{
    plan_run(world, ms * 1000);
    world_kill(&world->world);
    world_pass(&world->world, away_ms * 1000);
    world_start(&world->world);
}
