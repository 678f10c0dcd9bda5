/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/jobs_internal.h"

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
    gboolean at_source, at_destination; /* the VM is there, in whatever state */
    gboolean active;                    /* at the destination, with a process */
    GError *error;
} Repair;

static void repair_free(Repair *repair)
{
    g_free(repair->job_id);
    g_clear_error(&repair->error);
    g_free(repair);
}

/* It was made, or may have been, and was not taken back. */
static gboolean is_left(const GwTask *task)
{
    if (task->turn != (int)GW_TASK_BEFORE)
        return FALSE;
    return task->state == (int)GW_TASK_DOING || task->state == (int)GW_TASK_UNDOING ||
           (task->made && (task->state == (int)GW_TASK_DONE || task->state == (int)GW_TASK_FAILED));
}

/* What takes it back; -1: nothing does. */
static int task_against(GwTaskKind kind)
{
    switch (kind) {
    case GW_TASK_VOLUME_CREATE:
        return GW_TASK_VOLUME_DELETE;
    case GW_TASK_DEFINE:
        return GW_TASK_UNDEFINE;
    case GW_TASK_SNAPSHOTS_FORGET:
        return GW_TASK_SNAPSHOTS_REMEMBER;
    case GW_TASK_OVERLAY:
        return GW_TASK_MERGE;
    default:
        return -1;
    }
}

/* Whether another job has made a volume of that name since: what @job left is gone then, and what
 * is there is that one's, be it an old copy that is kept. */
static gboolean is_others(const GwFabric *fabric, const GwJob *job, const GwTask *left)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *other = value;
        gboolean over = gw_job_state_is_final((GwJobState)other->state);
        if (other->tasks == NULL || strcmp(other->id, job->id) == 0 ||
            (over && strcmp(other->id, job->id) < 0))
            continue;
        for (guint i = 0; i < other->tasks->len; i++) {
            const GwTask *task = other->tasks->pdata[i];
            if (task->kind == (int)GW_TASK_VOLUME_CREATE &&
                (task->made || task->state == (int)GW_TASK_DONE) &&
                g_strcmp0(task->host_id, left->host_id) == 0 &&
                gw_same_volume(task->volume, left->volume))
                return TRUE;
        }
    }
    return FALSE;
}

/* In reverse: what was made last goes first. */
static GPtrArray *leftovers(const GwFabric *fabric, const GwJob *job)
{
    GPtrArray *tasks = gw_record_array(&gw_task_record);

    for (guint i = job->tasks != NULL ? job->tasks->len : 0; i > 0; i--) {
        const GwTask *left = job->tasks->pdata[i - 1];
        int kind = is_left(left) ? task_against((GwTaskKind)left->kind) : -1;
        if (kind < 0 || (kind == (int)GW_TASK_VOLUME_DELETE && is_others(fabric, job, left)))
            continue;
        GwTask *task = gw_task_new();
        task->kind = kind;
        task->turn = GW_TASK_BEFORE;
        task->host_id = g_strdup(left->host_id);
        task->target = g_strdup(left->target);
        task->made = left->made; /* else it proves first that it is ours */
        task->volume = left->volume != NULL ? gw_volume_copy(left->volume) : NULL;
        if (kind == GW_TASK_MERGE)
            task->from = gw_volume_copy(left->from);
        g_ptr_array_add(tasks, task);
    }
    return tasks;
}

static GwJob *repair_job(GwEngine *engine, const GwJob *failed, const char *user, GwBatch *batch)
{
    GwJob *job = gw_jobs_new(engine, GW_JOB_KIND_REPAIR, user);

    job->title = g_strdup_printf("Remove what is left of: %s", failed->title);
    job->vm_uuid = g_strdup(failed->vm_uuid);
    job->vm_name = g_strdup(failed->vm_name);
    job->source_host_id = g_strdup(failed->source_host_id);
    job->destination_host_id = g_strdup(failed->destination_host_id);
    job->options = gw_move_options_new();
    job->undoes = g_strdup(failed->id);
    job->snapshots = g_strdupv(failed->snapshots);
    job->snapshot_current = g_strdup(failed->snapshot_current);
    job->tasks = leftovers(gw_engine_now(engine), failed);
    job->epoch = gw_moves_next_epoch(engine, job->vm_uuid, batch);
    return job;
}

/* Whether the definition at the destination is one that the job left. */
static gboolean left_defined(const GwJob *job)
{
    for (guint i = 0; job->tasks != NULL && i < job->tasks->len; i++) {
        const GwTask *task = job->tasks->pdata[i];
        if (task->kind == (int)GW_TASK_DEFINE && is_left(task))
            return TRUE;
    }
    return FALSE;
}

/* Whether anything of what is left could be what the VM lives on. */
static gboolean check_unused(GwEngine *engine, const Repair *repair, const GwJob *failed,
                             GError **error)
{
    const GwFabric *fabric = gw_engine_now(engine);
    const GwHost *host = gw_fabric_host(fabric, failed->destination_host_id);
    const GwJob *holder = gw_fabric_job_of_vm(fabric, failed->vm_uuid);
    gboolean one_host = g_strcmp0(failed->source_host_id, failed->destination_host_id) == 0;

    if (holder != NULL) {
        gw_error_set(error, GW_ERR_CONFLICT, "Wait for that job, or cancel it.",
                     "a job of '%s' is under way: %s", failed->vm_name, holder->title);
        return FALSE;
    }
    gboolean remnant = repair->at_source && !repair->active && left_defined(failed);
    if (!one_host && (repair->active || (repair->at_destination && !remnant))) {
        gw_error_set(error, GW_ERR_CONFLICT,
                     "See which of its disks it uses; undefine it there if it is a remnant.",
                     "'%s' is at '%s', where the volumes that the job left are: they may be in use",
                     failed->vm_name, host != NULL ? host->name : "its destination");
        return FALSE;
    }
    if (!one_host && !repair->at_source) {
        gw_error_set(error, GW_ERR_CONFLICT, "Look where it is now: godwit vm list.",
                     "'%s' is on neither host of the job: its only data may be what the job left",
                     failed->vm_name);
        return FALSE;
    }
    return TRUE;
}

static void hosts_looked(GwEngine *engine, Repair *repair)
{
    const GwJob *failed = g_hash_table_lookup(gw_engine_now(engine)->jobs, repair->job_id);
    GError *error = g_steal_pointer(&repair->error);

    if (error == NULL && failed == NULL)
        gw_error_set(&error, GW_ERR_NOT_FOUND, NULL, "the job is not there any more");
    if (error == NULL)
        check_unused(engine, repair, failed, &error);
    if (error == NULL && !g_hash_table_add(engine->accepting, g_strdup(failed->vm_uuid)))
        gw_error_set(&error, GW_ERR_CONFLICT, "Wait for that job, or cancel it.",
                     "another job of '%s' is being accepted", failed->vm_name);
    if (error != NULL) {
        gw_engine_answer(repair->call, NULL, error);
        repair_free(repair);
        return;
    }
    GwBatch *batch = gw_batch_new();
    GwJob *job = repair_job(engine, failed, repair->call->in[1], batch);
    gw_jobs_accept(engine, repair->call, batch, job, NULL, NULL);
    repair_free(repair);
}

static void take_destination(Repair *repair, const GwLook *look)
{
    repair->at_destination = look->present;
    repair->active =
        (look->present && look->state != (int)GW_VM_OFF) || (look->attested && look->processes > 0);
}

static void looked(GwEngine *engine, const GwReply *reply, const char *end, gint64 number)
{
    Repair *repair = GSIZE_TO_POINTER((gsize)number);

    if (reply->error != NULL && repair->error == NULL)
        repair->error = g_error_copy(reply->error);
    else if (reply->error == NULL && g_strcmp0(end, "source") == 0)
        repair->at_source = reply->look->present;
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
