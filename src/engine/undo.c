/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/jobs_internal.h"
#include "plan/undo.h"

/* Undo. What a job did is taken back by a job that goes the other way (the planner says which);
 * what a failed one left is removed by a job of its own, after both hosts were looked at again. */

/* The link between the two ------------------------------------------------------------------- */

/* The undone job is over, so nobody else changes its record. */
static GwJob *linked(GwEngine *engine, const GwJob *job)
{
    const GwJob *other =
        job->undoes != NULL ? g_hash_table_lookup(gw_engine_now(engine)->jobs, job->undoes) : NULL;
    if (other == NULL)
        return NULL;
    GwJob *copy = gw_job_copy(other);
    g_free(copy->undone_by);
    copy->undone_by = g_strdup(job->id);
    return copy;
}

void gw_undo_put_link(GwEngine *engine, GwBatch *batch, const GwJob *job)
{
    g_autoptr(GwJob) other = linked(engine, job);

    if (other != NULL)
        gw_batch_put(batch, GW_KIND_JOB, other->id, gw_record_to_json(&gw_job_record, other));
}

void gw_undo_show_link(GwEngine *engine, const GwJob *job)
{
    GwJob *other = linked(engine, job);

    if (other == NULL)
        return;
    gw_fabric_put_job(gw_engine_change(engine), other);
    gw_engine_tell(engine, "job", other->id, NULL);
}

/* What it would do --------------------------------------------------------------------------- */

typedef struct {
    char *job_id, *vm_uuid;
    char *kind; /* of the job that does it */
    GwMoveRequest *move;
    GwStorageRequest *storage;
} Way;

static void way_free(Way *way)
{
    if (way == NULL)
        return;
    g_free(way->job_id);
    g_free(way->vm_uuid);
    g_free(way->kind);
    gw_move_request_free(way->move);
    gw_storage_request_free(way->storage);
    g_free(way);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Way, way_free)

static void call_plan(GwEngine *engine, Call *call)
{
    g_autoptr(GwMoveRequest) move = NULL;
    g_autoptr(GwStorageRequest) storage = NULL;
    GError *error = NULL;
    const GwJob *job = gw_fabric_find_job(gw_engine_now(engine), call->in[0], &error);

    if (job == NULL)
        gw_engine_answer(call, NULL, error);
    else
        gw_engine_answer(call, gw_plan_undo(gw_engine_now(engine), job, &move, &storage), NULL);
}

GwUndoPlan *gw_engine_plan_undo(GwEngine *engine, const char *job, GError **error)
{
    return gw_engine_call(engine, call_plan, job, NULL, NULL, NULL, error);
}

static Way *find_way(GwEngine *engine, const char *which, GError **error)
{
    g_autoptr(Way) way = g_new0(Way, 1);
    const GwJob *job = gw_fabric_find_job(gw_engine_now(engine), which, error);

    if (job == NULL)
        return NULL;
    g_autoptr(GwUndoPlan) plan =
        gw_plan_undo(gw_engine_now(engine), job, &way->move, &way->storage);
    if (!plan->possible) {
        gw_error_set(error, GW_ERR_CONFLICT, plan->remedy, "'%s' cannot be undone: %s", job->title,
                     plan->why_not != NULL ? plan->why_not : "the planner gives no reason");
        return NULL;
    }
    way->job_id = g_strdup(job->id);
    way->vm_uuid = g_strdup(job->vm_uuid);
    way->kind = g_strdup(plan->kind);
    return g_steal_pointer(&way);
}

static void call_way(GwEngine *engine, Call *call)
{
    GError *error = NULL;
    Way *way = find_way(engine, call->in[0], &error);
    gw_engine_answer(call, way, error);
}

/* Repair ------------------------------------------------------------------------------------- */

typedef struct {
    Call *call;
    char *job_id; /* of the one that failed */
    guint outstanding;
    GwLeftSeen seen;
    GError *error;
} Repair;

static void repair_free(Repair *repair)
{
    g_free(repair->job_id);
    g_clear_error(&repair->error);
    g_free(repair);
}

/* A job's own, which its tasks write in. */
static GPtrArray *copy_hbas(const GPtrArray *hbas)
{
    GPtrArray *copies = hbas != NULL ? gw_record_array(&gw_hba_move_record) : NULL;

    for (guint i = 0; hbas != NULL && i < hbas->len; i++)
        g_ptr_array_add(copies, gw_hba_move_copy(hbas->pdata[i]));
    return copies;
}

static GwJob *repair_job(GwEngine *engine, const GwJob *failed, GwLeftWay way, const char *user,
                         GwBatch *batch)
{
    GwJob *job = gw_jobs_new(engine, GW_JOB_KIND_REPAIR, user);

    job->title = g_strdup_printf(way == GW_LEFT_ON ? "Finish what is left of: %s"
                                                   : "Remove what is left of: %s",
                                 failed->title);
    job->vm_uuid = g_strdup(failed->vm_uuid);
    job->vm_name = g_strdup(failed->vm_name);
    job->source_host_id = g_strdup(failed->source_host_id);
    job->destination_host_id = g_strdup(failed->destination_host_id);
    job->options = gw_move_options_new();
    job->undoes = g_strdup(failed->id);
    job->snapshots = g_strdupv(failed->snapshots);
    job->snapshot_current = g_strdup(failed->snapshot_current);
    job->tasks = gw_left_tasks(gw_engine_now(engine), failed, way);
    job->hbas = copy_hbas(failed->hbas);
    job->keep_source_s = failed->keep_source_s;
    job->epoch = gw_moves_next_epoch(engine, job->vm_uuid, batch);
    return job;
}

/* @way: whether anything of what is left could be what the VM lives on. */
static gboolean check_unused(GwEngine *engine, const Repair *repair, const GwJob *failed,
                             GwLeftWay way, GError **error)
{
    const GwFabric *fabric = gw_engine_now(engine);
    const GwHost *host = gw_fabric_host(fabric, failed->destination_host_id);
    const GwJob *holder = gw_fabric_job_of_vm(fabric, failed->vm_uuid);

    if (holder != NULL)
        gw_error_set(error, GW_ERR_CONFLICT, "Wait for that job, or cancel it.",
                     "a job of '%s' is under way: %s", failed->vm_name, holder->title);
    else if (way == GW_LEFT_STAYS && (repair->seen.active || repair->seen.at_destination))
        gw_error_set(error, GW_ERR_CONFLICT,
                     "See which of its disks it uses; undefine it there if it is a remnant.",
                     "'%s' is at '%s', where the volumes that the job left are: they may be in use",
                     failed->vm_name, host != NULL ? host->name : "its destination");
    else if (way == GW_LEFT_STAYS)
        gw_error_set(error, GW_ERR_CONFLICT, "Look where it is now: godwit vm list.",
                     "'%s' is on neither host of the job: its only data may be what the job left",
                     failed->vm_name);
    else
        return TRUE;
    return FALSE;
}

static void hosts_looked(GwEngine *engine, Repair *repair)
{
    const GwJob *failed = g_hash_table_lookup(gw_engine_now(engine)->jobs, repair->job_id);
    GError *error = g_steal_pointer(&repair->error);

    if (error == NULL && failed == NULL)
        gw_error_set(&error, GW_ERR_NOT_FOUND, NULL, "the job is not there any more");
    /* Where the VM went on to somewhere else, its old hosts need not be there to be asked. */
    if (failed != NULL && gw_left_moved_on(gw_engine_now(engine), failed))
        g_clear_error(&error);
    GwLeftWay way =
        error == NULL ? gw_left_way(gw_engine_now(engine), failed, &repair->seen) : GW_LEFT_STAYS;
    if (error == NULL)
        check_unused(engine, repair, failed, way, &error);
    if (error == NULL && !g_hash_table_add(engine->accepting, g_strdup(failed->vm_uuid)))
        gw_error_set(&error, GW_ERR_CONFLICT, "Wait for that job, or cancel it.",
                     "another job of '%s' is being accepted", failed->vm_name);
    if (error != NULL) {
        gw_engine_answer(repair->call, NULL, error);
        repair_free(repair);
        return;
    }
    GwBatch *batch = gw_batch_new();
    GwJob *job = repair_job(engine, failed, way, repair->call->in[1], batch);
    gw_jobs_accept(engine, repair->call, batch, job, NULL, NULL);
    repair_free(repair);
}

static void take_destination(Repair *repair, const GwLook *look)
{
    repair->seen.at_destination = look->present;
    repair->seen.active =
        (look->present && look->state != (int)GW_VM_OFF) || (look->attested && look->processes > 0);
}

static void looked(GwEngine *engine, const GwReply *reply, const char *end, gint64 number)
{
    Repair *repair = GSIZE_TO_POINTER((gsize)number);

    if (reply->error != NULL && repair->error == NULL)
        repair->error = g_error_copy(reply->error);
    else if (reply->error == NULL && g_strcmp0(end, "source") == 0)
        repair->seen.at_source = reply->look->present;
    else if (reply->error == NULL)
        take_destination(repair, reply->look);
    if (--repair->outstanding == 0)
        hosts_looked(engine, repair);
}

static void call_repair(GwEngine *engine, Call *call)
{
    const GwJob *failed = g_hash_table_lookup(gw_engine_now(engine)->jobs, call->in[0]);
    GError *error = NULL;

    if (failed == NULL) {
        gw_error_set(&error, GW_ERR_NOT_FOUND, NULL, "the job is not there any more");
        gw_engine_answer(call, NULL, error);
        return;
    }
    Repair *repair = g_new0(Repair, 1);
    repair->call = call;
    repair->job_id = g_strdup(failed->id);
    repair->outstanding = 2;
    gw_engine_ask(engine, gw_request_new(GW_OP_LOOK, failed->source_host_id, failed->vm_uuid),
                  looked, "source", (gint64)GPOINTER_TO_SIZE(repair));
    gw_engine_ask(engine, gw_request_new(GW_OP_LOOK, failed->destination_host_id, failed->vm_uuid),
                  looked, "destination", (gint64)GPOINTER_TO_SIZE(repair));
}

/* Doing it ----------------------------------------------------------------------------------- */

GwJob *gw_engine_undo(GwEngine *engine, const char *job, const char *user, GwMovePlan **refused,
                      GError **error)
{
    g_autoptr(Way) way = gw_engine_call(engine, call_way, job, NULL, NULL, NULL, error);

    if (refused != NULL)
        *refused = NULL;
    if (way == NULL)
        return NULL;
    if (g_strcmp0(way->kind, GW_JOB_KIND_REPAIR) == 0)
        return gw_engine_call(engine, call_repair, way->job_id, user, NULL, NULL, error);
    if (way->storage != NULL)
        return gw_storage_begin(engine, way->vm_uuid, way->storage, user, way->job_id, refused,
                                error);
    if (way->move == NULL) {
        gw_error_set(error, GW_ERR_INTERNAL, NULL, "the planner gave no way back");
        return NULL;
    }
    BeginMove begin = {
        .vm = way->vm_uuid,
        .request = way->move,
        .user = user,
        .undoes = way->job_id,
    };
    return gw_moves_begin(engine, &begin, refused, error);
}
