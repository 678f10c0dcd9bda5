/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/works_internal.h"

/* What a job of tasks wants done; the tasks themselves are in tasks.c, and how its hosts are asked
 * whether all is as it was in work_look.c. */

#define LOOK_FRESH_US (5 * G_USEC_PER_SEC)

static gboolean is_kind(const GwJob *job, const char *kind)
{
    return g_strcmp0(job->kind, kind) == 0;
}

/* Check ------------------------------------------------------------------------------------ */

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
    gw_check_take(result, job);
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
        gw_works_news(engine, run, GW_WORK_REFUSED, reply->error);
        return;
    }
    g_free(job->saved_xml);
    job->saved_xml = g_strdup(reply->text);
    gw_works_news(engine, run, GW_WORK_CHECKED, NULL);
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
        gw_works_news(engine, run, GW_WORK_REFUSED, result->error);
        return;
    }
    if (!check_still(job, result->vm, &error)) {
        gw_works_news(engine, run, GW_WORK_REFUSED, error);
        return;
    }
    take_check(job, result);
    gw_predictions_note(job, result->plan);
    job->keep_source_s = gw_jobs_keep_source_s(engine, job);
    gw_tasks_make(job, result->vm);
    gw_kept_spare_shared(engine, job, result->vm);
    job->completion_timeout_s = completion_timeout_s(engine, job);
    gw_jobs_show(engine, job); /* what it takes is promised from here on, for who is checked next */
    gw_engine_ask(engine, gw_request_new(GW_OP_GET_XML, job->source_host_id, job->vm_uuid),
                  saved_xml, job->id, 0);
}

/* What only removes was made with its tasks, and each of them proves its own. */
static void do_check(GwEngine *engine, WorkRun *run)
{
    GwJob *job = run->work->job;

    if (!is_kind(job, GW_JOB_KIND_TRANSFER) && !is_kind(job, GW_JOB_KIND_STORAGE)) {
        gw_tasks_make(job, NULL);
        gw_works_news(engine, run, GW_WORK_CHECKED, NULL);
        return;
    }
    gw_check_begin(engine, job->vm_uuid, job->source_host_id, job->destination_host_id,
                   job->options, job->id, checked, g_strdup(job->id));
}

/* Tasks ------------------------------------------------------------------------------------ */

static void copied(GwEngine *engine, const char *job_id, const GError *error)
{
    WorkRun *run = gw_works_find(engine, job_id);
    if (run != NULL)
        gw_works_news(engine, run, error == NULL ? GW_WORK_COPIED : GW_WORK_NOT_COPIED, error);
}

static void know_definition(GwEngine *engine, WorkRun *run, GwTask *refused, gboolean there)
{
    g_autoptr(GError) refusal = g_steal_pointer(&run->refusal);

    refused->lost = !there;
    gw_works_news(engine, run,
                  gw_tasks_take_back(run->work->job) ? GW_WORK_TAKEN_BACK : GW_WORK_NOT_COMMITTED,
                  refusal);
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

    request->timeout_us = GW_WORKS_LOOK_TIMEOUT_US;
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
        gw_works_news(engine, run, GW_WORK_COMMITTED, NULL);
    else if (refused != NULL && refused->kind == (int)GW_TASK_UNDEFINE)
        ask_definition(engine, run, refused, error);
    else if (gw_tasks_take_back(run->work->job))
        gw_works_news(engine, run, GW_WORK_TAKEN_BACK, error);
    else
        gw_works_news(engine, run, GW_WORK_NOT_COMMITTED, error);
}

static void undone(GwEngine *engine, const char *job_id, const GError *error)
{
    WorkRun *run = gw_works_find(engine, job_id);
    if (run != NULL)
        gw_works_news(engine, run, error == NULL ? GW_WORK_UNDONE : GW_WORK_NOT_UNDONE, error);
}

void gw_works_commit(GwEngine *engine, WorkRun *run)
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
        gw_works_commit(engine, run);
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
    gw_works_news(engine, run, GW_WORK_NOT_COPIED, NULL);
}

static void close_answered(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 round)
{
    WorkRun *run = gw_works_find(engine, job_id);

    if (run == NULL || (guint)round != run->close_round || run->close_missing == 0)
        return; /* of an earlier try, or after a refusal */
    run->close_missing = reply->error != NULL ? 0 : run->close_missing - 1;
    if (run->close_missing == 0)
        gw_works_news(engine, run, GW_WORK_CLOSED, reply->error);
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
