/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/works_internal.h"

/* What a job of tasks wants done; the tasks themselves are in tasks.c. */

#define LOOK_TIMEOUT_US (15 * G_USEC_PER_SEC)
#define LOOK_AGAIN_US (2 * G_USEC_PER_SEC)
#define LOOK_FRESH_US (5 * G_USEC_PER_SEC)

static void step(GwEngine *engine, WorkRun *run, GwWorkEventKind kind, const GError *error)
{
    g_autoptr(GError) late = NULL;
    if (!gw_works_step(engine, run, (GwWorkEvent){ .kind = kind, .error = error }, &late))
        g_debug("job %s: %s", run->work->job->id, late->message);
}

static gboolean is_kind(const GwJob *job, const char *kind)
{
    return g_strcmp0(job->kind, kind) == 0;
}

/* Check ------------------------------------------------------------------------------------ */

static gint64 keep_source_s(GwEngine *engine, const GwJob *job)
{
    const GwHost *source = gw_fabric_host(gw_engine_now(engine), job->source_host_id);

    if (job->options->keep_source_s != 0)
        return MAX(job->options->keep_source_s, 0); /* -1: not at all */
    return source != NULL ? source->keep_source_s : 0;
}

/* R59 counts what is to be copied, where a live move counts its memory. */
static gint64 completion_timeout_s(GwEngine *engine, const GwJob *job)
{
    const GwHost *source = gw_fabric_host(gw_engine_now(engine), job->source_host_id);
    gint64 per_gib = job->options->completion_timeout_s_per_gib;
    gint64 bytes = 0;

    if (per_gib == 0 && source != NULL)
        per_gib = source->completion_timeout_s_per_gib;
    gw_tasks_progress(job, NULL, &bytes);
    gint64 gib = MAX((bytes >> 30) + 1, 1);
    return per_gib > G_MAXINT64 / G_USEC_PER_SEC / gib ? 0 : per_gib * gib;
}

static void take_check(GwJob *job, CheckResult *result)
{
    g_clear_pointer(&job->disks, g_ptr_array_unref);
    job->disks = g_steal_pointer(&result->disks);
    job->transfer = result->plan->candidate->transfer;
    job->through_agents = result->decision->through_agents;
    job->progress_timeout_s = result->decision->progress_timeout_us / G_USEC_PER_SEC;
    job->vm_persistent = result->vm->persistent;
    job->vm_autostart = result->vm->autostart;
    job->vm_memory_kib = result->vm->max_memory_kib;
}

static void saved_xml(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 unused)
{
    WorkRun *run = gw_works_find(engine, job_id);

    (void)unused;
    if (run == NULL)
        return;
    GwJob *job = run->work->job;
    if (reply->error != NULL) {
        step(engine, run, GW_WORK_REFUSED, reply->error);
        return;
    }
    g_free(job->saved_xml);
    job->saved_xml = g_strdup(reply->text);
    step(engine, run, GW_WORK_CHECKED, NULL);
}

/* It was accepted for what the VM was then. */
static gboolean check_still(const GwJob *job, const GwVm *vm, GError **error)
{
    if (!is_kind(job, GW_JOB_KIND_TRANSFER) || !gw_vm_is_active(vm))
        return TRUE;
    gw_error_set(error, GW_ERR_CONFLICT,
                 "Move it as it runs: godwit vm migrate; or shut it down and try again.",
                 "'%s' was off when this was asked for, and runs now", job->vm_name);
    return FALSE;
}

static void checked(GwEngine *engine, CheckResult *result, gpointer user)
{
    g_autofree char *job_id = user;
    g_autoptr(GError) error = NULL;
    WorkRun *run = gw_works_find(engine, job_id);

    if (run == NULL || run->work->job->state != (int)GW_JOB_CHECKING)
        return;
    GwJob *job = run->work->job;
    if (result->error != NULL) {
        step(engine, run, GW_WORK_REFUSED, result->error);
        return;
    }
    if (!check_still(job, result->vm, &error)) {
        step(engine, run, GW_WORK_REFUSED, error);
        return;
    }
    take_check(job, result);
    gw_predictions_note(job, result->plan);
    job->keep_source_s = keep_source_s(engine, job);
    gw_tasks_make(job, result->vm);
    gw_kept_spare_shared(engine, job, result->vm);
    job->completion_timeout_s = completion_timeout_s(engine, job);
    gw_engine_ask(engine, gw_request_new(GW_OP_GET_XML, job->source_host_id, job->vm_uuid),
                  saved_xml, job->id, 0);
}

/* What only removes was made with its tasks, and each of them proves its own. */
static void do_check(GwEngine *engine, WorkRun *run)
{
    GwJob *job = run->work->job;

    if (!is_kind(job, GW_JOB_KIND_TRANSFER) && !is_kind(job, GW_JOB_KIND_STORAGE)) {
        gw_tasks_make(job, NULL);
        step(engine, run, GW_WORK_CHECKED, NULL);
        return;
    }
    gw_check_begin(engine, job->vm_uuid, job->source_host_id, job->destination_host_id,
                   job->options, job->id, checked, g_strdup(job->id));
}

/* Look ------------------------------------------------------------------------------------- */

static void commit(GwEngine *engine, WorkRun *run);

static void look_over(GwEngine *engine, WorkRun *run)
{
    GwJob *job = run->work->job;
    g_autoptr(GError) disturbed = g_steal_pointer(&run->disturbed);
    gboolean commits = run->look_commits;

    if (disturbed == NULL && run->look_open) {
        run->look_us = gw_clock_now_us(engine->clock) + LOOK_AGAIN_US;
        g_free(job->waiting_for);
        job->waiting_for = g_strdup("its hosts to say whether all is as it was");
        return;
    }
    g_clear_pointer(&job->waiting_for, g_free);
    if (disturbed != NULL) {
        step(engine, run, commits ? GW_WORK_TAKEN_BACK : GW_WORK_DISTURBED, disturbed);
        return;
    }
    run->unchanged_us = gw_clock_now_us(engine->clock);
    if (commits)
        commit(engine, run);
    else
        step(engine, run, GW_WORK_UNCHANGED, NULL);
}

static gboolean is_open(const GError *error)
{
    return g_error_matches(error, GW_ERROR, GW_ERR_UNREACHABLE) ||
           g_error_matches(error, GW_ERROR, GW_ERR_TIMEOUT) ||
           g_error_matches(error, GW_ERROR, GW_ERR_UNKNOWN_OUTCOME);
}

static WorkRun *look_of(GwEngine *engine, const char *job_id, gint64 number)
{
    WorkRun *run = gw_works_find(engine, job_id);
    return run != NULL && run->looks == (guint)number && run->look_missing > 0 ? run : NULL;
}

static void one_answered(GwEngine *engine, WorkRun *run, const GwReply *reply)
{
    if (reply->error != NULL && is_open(reply->error))
        run->look_open = TRUE;
    else if (reply->error != NULL && run->disturbed == NULL &&
             !g_error_matches(reply->error, GW_ERROR, GW_ERR_UNSUPPORTED)) {
        run->disturbed = g_error_copy(reply->error);
        g_prefix_error(&run->disturbed, "asking whether all is as it was: ");
    }
    if (--run->look_missing == 0)
        look_over(engine, run);
}

static void vm_looked(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 number)
{
    WorkRun *run = look_of(engine, job_id, number);

    if (run == NULL)
        return;
    const GwLook *look = reply->look;
    gboolean runs = reply->error == NULL && look->present && look->state != (int)GW_VM_OFF &&
                    look->state != (int)GW_VM_CRASHED;
    gboolean has_process = reply->error == NULL && look->attested && look->processes > 0;
    if ((runs || has_process) && run->disturbed == NULL)
        gw_error_set(&run->disturbed, GW_ERR_CONFLICT,
                     "Move it as it runs (Live, or Live (VSM)), or shut it down and try again.",
                     "'%s' was started while its disks were being copied, which must not change "
                     "meanwhile",
                     run->work->job->vm_name);
    one_answered(engine, run, reply);
}

/* The volume as it was when it was checked. */
static const GwVolume *as_it_was(const GwJob *job, const char *path)
{
    for (guint i = 0; i < job->tasks->len; i++) {
        const GwTask *task = job->tasks->pdata[i];
        if (task->kind == (int)GW_TASK_VOLUME_COPY && task->from != NULL &&
            g_strcmp0(task->from->path, path) == 0)
            return task->from;
    }
    return NULL;
}

static void volume_looked(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 number)
{
    WorkRun *run = look_of(engine, job_id, number);

    if (run == NULL)
        return;
    const GwVolume *now = reply->error == NULL && reply->volumes != NULL && reply->volumes->len > 0
                              ? reply->volumes->pdata[0]
                              : NULL;
    const GwVolume *then = now != NULL ? as_it_was(run->work->job, now->path) : NULL;
    gboolean written = then != NULL && then->modified != NULL && now->modified != NULL &&
                       g_strcmp0(then->modified, now->modified) != 0;
    if ((written || (then != NULL && then->length_bytes > 0 && now->length_bytes > 0 &&
                     then->length_bytes != now->length_bytes)) &&
        run->disturbed == NULL)
        gw_error_set(&run->disturbed, GW_ERR_CONFLICT, "Find out what writes to it, and try again.",
                     "%s was written to while it was being copied", now->path);
    one_answered(engine, run, reply);
}

static void ask_vm(GwEngine *engine, WorkRun *run, const char *host_id)
{
    GwRequest *request = gw_request_new(GW_OP_LOOK, host_id, run->work->job->vm_uuid);
    request->timeout_us = LOOK_TIMEOUT_US;
    gw_engine_ask(engine, request, vm_looked, run->work->job->id, run->looks);
}

static void ask_volume(GwEngine *engine, WorkRun *run, const GwTask *task)
{
    const GwJob *job = run->work->job;
    const char *host = task->peer_host_id != NULL ? task->peer_host_id : job->source_host_id;
    GwRequest *request = gw_request_new(GW_OP_VOLUME_LOOK, host, job->vm_uuid);

    request->volume = gw_volume_copy(task->from);
    request->timeout_us = LOOK_TIMEOUT_US;
    gw_engine_ask(engine, request, volume_looked, job->id, run->looks);
}

static gboolean is_file_copy(const GwTask *task)
{
    return task->kind == (int)GW_TASK_VOLUME_COPY && task->from != NULL && task->from->path != NULL;
}

static gboolean is_mirrored(const GwJob *job)
{
    for (guint i = 0; i < job->tasks->len; i++) {
        if (((const GwTask *)job->tasks->pdata[i])->kind == (int)GW_TASK_BLOCK_COPY)
            return TRUE;
    }
    return FALSE;
}

/* A mirror follows what the guest writes, and what removes proves its own. */
static gboolean needs_look(const GwJob *job)
{
    return is_kind(job, GW_JOB_KIND_TRANSFER) ||
           (is_kind(job, GW_JOB_KIND_STORAGE) && !is_mirrored(job));
}

void gw_works_look(GwEngine *engine, WorkRun *run)
{
    const GwJob *job = run->work->job;
    gboolean one_host = g_strcmp0(job->source_host_id, job->destination_host_id) == 0;

    run->looks++;
    run->look_us = 0;
    run->look_open = FALSE;
    g_clear_error(&run->disturbed);
    if (!needs_look(job)) {
        look_over(engine, run);
        return;
    }
    run->look_missing = one_host ? 1 : 2;
    for (guint i = 0; i < job->tasks->len; i++)
        run->look_missing += is_file_copy(job->tasks->pdata[i]);
    /* Answers come in turns of their own. */
    ask_vm(engine, run, job->source_host_id);
    if (!one_host)
        ask_vm(engine, run, job->destination_host_id);
    for (guint i = 0; i < job->tasks->len; i++) {
        if (is_file_copy(job->tasks->pdata[i]))
            ask_volume(engine, run, job->tasks->pdata[i]);
    }
}

/* Tasks ------------------------------------------------------------------------------------ */

static void copied(GwEngine *engine, const char *job_id, const GError *error)
{
    WorkRun *run = gw_works_find(engine, job_id);
    if (run != NULL)
        step(engine, run, error == NULL ? GW_WORK_COPIED : GW_WORK_NOT_COPIED, error);
}

static void know_definition(GwEngine *engine, WorkRun *run, GwTask *refused, gboolean there)
{
    g_autoptr(GError) refusal = g_steal_pointer(&run->refusal);

    refused->lost = !there;
    step(engine, run,
         gw_tasks_take_back(run->work->job) ? GW_WORK_TAKEN_BACK : GW_WORK_NOT_COMMITTED, refusal);
}

static void defined_again(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 number)
{
    WorkRun *run = gw_works_find(engine, job_id);
    GwTask *refused = run != NULL ? gw_tasks_refused(run->work->job) : NULL;

    if (refused != NULL && run->looks == (guint)number && run->refusal != NULL)
        know_definition(engine, run, refused, reply->error == NULL);
}

/* It was started while its definition was being removed, and whoever removed it could not put it
 * back: it runs, and would end with its process. What was saved of it has no passwords. */
static void define_again(GwEngine *engine, WorkRun *run, const GwTask *refused)
{
    const GwJob *job = run->work->job;
    GwRequest *request = gw_request_new(GW_OP_DEFINE, refused->host_id, job->vm_uuid);

    request->text = g_strdup(job->saved_xml);
    gw_engine_ask(engine, request, defined_again, job->id, run->looks);
}

/* An error is an unknown outcome: the host that refused to give the definition up says whether it
 * has it. Where it has not, what follows is done, and where it does not say it is asked again. */
static void undefine_looked(GwEngine *engine, const GwReply *reply, const char *job_id,
                            gint64 number)
{
    WorkRun *run = gw_works_find(engine, job_id);
    GwTask *refused = run != NULL ? gw_tasks_refused(run->work->job) : NULL;

    if (refused == NULL || run->looks != (guint)number || run->refusal == NULL)
        return;
    const GwLook *look = reply->error == NULL ? reply->look : NULL;
    if (look != NULL && look->present && !look->persistent)
        define_again(engine, run, refused);
    else
        know_definition(engine, run, refused, look != NULL && look->present);
}

static void ask_definition(GwEngine *engine, WorkRun *run, const GwTask *refused,
                           const GError *error)
{
    GwRequest *request = gw_request_new(GW_OP_LOOK, refused->host_id, run->work->job->vm_uuid);

    request->timeout_us = LOOK_TIMEOUT_US;
    g_clear_error(&run->refusal);
    run->refusal = g_error_copy(error);
    run->looks++;
    gw_engine_ask(engine, request, undefine_looked, run->work->job->id, run->looks);
}

static void committed(GwEngine *engine, const char *job_id, const GError *error)
{
    WorkRun *run = gw_works_find(engine, job_id);

    if (run == NULL)
        return;
    const GwTask *refused = error != NULL ? gw_tasks_refused(run->work->job) : NULL;
    if (error == NULL)
        step(engine, run, GW_WORK_COMMITTED, NULL);
    else if (refused != NULL && refused->kind == (int)GW_TASK_UNDEFINE)
        ask_definition(engine, run, refused, error);
    else if (gw_tasks_take_back(run->work->job))
        step(engine, run, GW_WORK_TAKEN_BACK, error);
    else
        step(engine, run, GW_WORK_NOT_COMMITTED, error);
}

static void undone(GwEngine *engine, const char *job_id, const GError *error)
{
    WorkRun *run = gw_works_find(engine, job_id);
    if (run != NULL)
        step(engine, run, error == NULL ? GW_WORK_UNDONE : GW_WORK_NOT_UNDONE, error);
}

static void commit(GwEngine *engine, WorkRun *run)
{
    run->look_commits = FALSE;
    gw_tasks_run(engine, run->work->job->id, GW_TASK_AFTER, FALSE, committed);
}

/* The store may take long, and the controller may have been away: what was seen is to be fresh
 * where nothing was done yet that cannot be undone. */
static void do_commit(GwEngine *engine, WorkRun *run)
{
    gint64 age = gw_clock_now_us(engine->clock) - run->unchanged_us;

    if (gw_tasks_committed(run->work->job) || (run->unchanged_us != 0 && age < LOOK_FRESH_US)) {
        commit(engine, run);
        return;
    }
    run->look_commits = TRUE;
    gw_works_look(engine, run);
}

/* Where no task runs there is none to stop: the look that is under way is dropped. */
static void do_stop(GwEngine *engine, WorkRun *run)
{
    if (!run->work->looking) {
        gw_tasks_stop(engine, run->work->job->id);
        return;
    }
    run->looks++;
    run->look_us = 0;
    step(engine, run, GW_WORK_NOT_COPIED, NULL);
}

static void close_answered(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 round)
{
    WorkRun *run = gw_works_find(engine, job_id);

    if (run == NULL || (guint)round != run->close_round || run->close_missing == 0)
        return; /* of an earlier try, or after a refusal */
    run->close_missing = reply->error != NULL ? 0 : run->close_missing - 1;
    if (run->close_missing == 0)
        step(engine, run, GW_WORK_CLOSED, reply->error);
}

static void do_close(GwEngine *engine, WorkRun *run)
{
    run->close_missing = 2; /* the source's answer and the destination's */
    run->close_round++;
    gw_moves_ask_close(engine, run->work->job, close_answered, run->close_round);
}

void gw_works_carry_out(GwEngine *engine, WorkRun *run, GwWorkDo effect)
{
    const char *id = run->work->job->id;

    switch (effect) {
    case GW_WORK_DO_CHECK:
        do_check(engine, run);
        break;
    case GW_WORK_DO_COPY:
        gw_tasks_run(engine, id, GW_TASK_BEFORE, FALSE, copied);
        break;
    case GW_WORK_DO_LOOK:
        run->look_commits = FALSE;
        gw_works_look(engine, run);
        break;
    case GW_WORK_DO_COMMIT:
        do_commit(engine, run);
        break;
    case GW_WORK_DO_UNDO:
        gw_tasks_run(engine, id, GW_TASK_BEFORE, TRUE, undone);
        break;
    case GW_WORK_DO_STOP:
        do_stop(engine, run);
        break;
    case GW_WORK_DO_CHANGE:
        gw_tasks_change(engine, id);
        break;
    case GW_WORK_DO_CLOSE:
        do_close(engine, run);
        break;
    case GW_WORK_DO_COUNT:
        break;
    }
}
