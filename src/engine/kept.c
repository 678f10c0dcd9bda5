/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/inventory.h"
#include "engine/jobs_internal.h"
#include "plan/reach.h"

/* Old copies of disks, which are kept for Undo until their time is over (I4). Time is the wall's,
 * since it spans restarts. Then a job of its own removes the copy: journaled before it acts, and
 * its host refuses what any VM there uses. Where it cannot, it says so and is tried again. */

#define WALL_LOOK_US (10 * 60 * G_USEC_PER_SEC) /* how late a set clock is noticed, at most */
#define BUSY_LOOK_US (5 * G_USEC_PER_SEC)
#define AWAY_LOOK_US (60 * G_USEC_PER_SEC)
#define TROUBLE_US ((gint64)3600 * G_USEC_PER_SEC)

/* What is known of a copy beyond its record, since this controller began. */
typedef struct {
    char *job_id;    /* that removes it; NULL: none */
    gint64 retry_us; /* not before */
} KeptRun;

static void kept_run_free(gpointer data)
{
    KeptRun *run = data;
    g_free(run->job_id);
    g_free(run);
}

static KeptRun *run_of(GwEngine *engine, const char *id)
{
    KeptRun *run = g_hash_table_lookup(engine->kept, id);

    if (run == NULL) {
        run = g_new0(KeptRun, 1);
        g_hash_table_insert(engine->kept, g_strdup(id), run);
    }
    return run;
}

GHashTable *gw_kept_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, kept_run_free);
}

/* Records ---------------------------------------------------------------------------------- */

const GwKeptVolume *gw_kept_find(GwEngine *engine, const char *host_id, const GwVolume *volume)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, gw_engine_now(engine)->kept);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwKeptVolume *kept = value;
        if (g_strcmp0(kept->host_id, host_id) == 0 && gw_same_volume(kept->volume, volume))
            return kept;
    }
    return NULL;
}

static void put(GwEngine *engine, GwBatch *batch, GwKeptVolume *kept)
{
    gw_batch_put(batch, GW_KIND_KEPT_VOLUME, kept->id,
                 gw_record_to_json(&gw_kept_volume_record, kept));
    gw_engine_tell(engine, "kept", kept->id, NULL);
    gw_fabric_put_kept(gw_engine_change(engine), kept);
}

static void forget(GwEngine *engine, GwBatch *batch, const GwKeptVolume *kept)
{
    g_autofree char *id = g_strdup(kept->id);

    gw_batch_remove(batch, GW_KIND_KEPT_VOLUME, id);
    g_hash_table_remove(engine->kept, id);
    gw_fabric_remove_kept(gw_engine_change(engine), id);
    gw_engine_tell(engine, "kept", id, NULL);
}

void gw_kept_add(GwEngine *engine, GwBatch *batch, const GwJob *job, const GwTask *task)
{
    const GwVolume *volume = task->volume != NULL ? task->volume : task->from;
    const GwKeptVolume *known = gw_kept_find(engine, task->host_id, volume);
    GwKeptVolume *kept = gw_kept_volume_new();

    /* The task may be done again after a restart: it is one copy all the same. */
    kept->id = known != NULL ? g_strdup(known->id) : gw_engine_new_id(engine);
    kept->job_id = g_strdup(job->id);
    kept->vm_uuid = g_strdup(job->vm_uuid);
    kept->vm_name = g_strdup(job->vm_name);
    kept->target = g_strdup(task->target);
    kept->host_id = g_strdup(task->host_id);
    kept->volume = gw_volume_copy(volume);
    kept->kept_at = gw_engine_rfc3339(engine);
    kept->expires_s = gw_clock_wall_us(engine->clock) / G_USEC_PER_SEC + MAX(job->keep_source_s, 0);
    kept->expires_at = gw_certificates_date(kept->expires_s);
    put(engine, batch, kept);
    engine->kept_us = gw_clock_now_us(engine->clock);
}

void gw_kept_forget(GwEngine *engine, GwBatch *batch, const char *host_id, const GwVolume *volume)
{
    const GwKeptVolume *kept = gw_kept_find(engine, host_id, volume);

    if (kept != NULL)
        forget(engine, batch, kept);
}

void gw_kept_forget_live(GwEngine *engine, GwBatch *batch, const GwJob *job)
{
    for (guint i = 0; job->disks != NULL && i < job->disks->len; i++) {
        const GwDiskMove *disk = job->disks->pdata[i];
        for (guint j = 0; disk->images != NULL && j < disk->images->len; j++) {
            const GwImageMove *image = disk->images->pdata[j];
            const GwKeptVolume *kept = gw_kept_find(engine, job->destination_host_id, image->to);
            if (kept != NULL)
                forget(engine, batch, kept);
        }
    }
}

void gw_kept_forget_host(GwEngine *engine, GwBatch *batch, const char *host_id)
{
    g_autoptr(GPtrArray) all = gw_fabric_list_kept(gw_engine_now(engine));

    for (guint i = 0; i < all->len; i++) {
        const GwKeptVolume *kept = all->pdata[i];
        if (g_strcmp0(kept->host_id, host_id) == 0)
            gw_batch_remove(batch, GW_KIND_KEPT_VOLUME, kept->id);
    }
}

static gboolean load_one(const char *id, json_t *body, gpointer user, GError **error)
{
    GwEngine *engine = user;
    GwKeptVolume *kept = gw_record_from_stored(&gw_kept_volume_record, body, error);

    if (kept == NULL) {
        g_prefix_error(error, "kept copy '%s' in the database: ", id);
        return FALSE;
    }
    gw_fabric_put_kept(gw_engine_change(engine), kept);
    return TRUE;
}

gboolean gw_kept_load(GwEngine *engine, GError **error)
{
    engine->kept_us = gw_clock_now_us(engine->clock) + BUSY_LOOK_US;
    return gw_store_each(engine->store, GW_KIND_KEPT_VOLUME, load_one, engine, error);
}

/* What is not only ours ---------------------------------------------------------------------- */

static gboolean is_top(const GwJob *job, const GwTask *task)
{
    for (guint i = 0; job->disks != NULL && i < job->disks->len; i++) {
        const GwDiskMove *disk = job->disks->pdata[i];
        const GwImageMove *top =
            disk->images != NULL && disk->images->len > 0 ? disk->images->pdata[0] : NULL;
        if (top != NULL && gw_same_volume(top->from, task->volume))
            return TRUE;
    }
    return FALSE;
}

static gboolean is_shareable(const GwVm *vm, const char *target)
{
    const GwDisk *disk =
        vm->disks != NULL ? gw_record_find(&gw_disk_record, vm->disks, "target", target) : NULL;
    return disk != NULL && disk->shareable;
}

/* Whether the storage that @volume of @host is on is seen by others, as far as it can be told. */
static gboolean is_seen_elsewhere(GwEngine *engine, const GwHost *host, const GwVolume *volume)
{
    const GPtrArray *pools = host->facts != NULL ? host->facts->pools : NULL;
    const GwPool *pool = NULL;

    if (volume->pool != NULL && pools != NULL)
        pool = gw_record_find(&gw_pool_record, pools, "name", volume->pool);
    else if (volume->path != NULL)
        pool = gw_share_pool_of_path(host, volume->path);
    g_autofree char *share =
        pool != NULL ? gw_share_id_of_pool(gw_engine_now(engine), host, pool) : NULL;
    return pool == NULL || share != NULL;
}

void gw_kept_spare_shared(GwEngine *engine, GwJob *job, const GwVm *vm)
{
    const GwHost *host = gw_fabric_host(gw_engine_now(engine), job->source_host_id);

    for (guint i = job->tasks->len; host != NULL && i > 0; i--) {
        const GwTask *task = job->tasks->pdata[i - 1];
        gboolean old =
            task->turn == (int)GW_TASK_AFTER &&
            (task->kind == (int)GW_TASK_VOLUME_KEEP || task->kind == (int)GW_TASK_VOLUME_DELETE);
        if (old && (!is_top(job, task) || is_shareable(vm, task->target)) &&
            is_seen_elsewhere(engine, host, task->volume))
            g_ptr_array_remove_index(job->tasks, i - 1);
    }
}

/* Removing --------------------------------------------------------------------------------- */

static GwJob *removal_job(GwEngine *engine, const GwKeptVolume *kept, const char *user)
{
    GwJob *job = gw_jobs_new(engine, GW_JOB_KIND_VOLUME_REMOVE, user);
    GwTask *task = gw_task_new();

    job->title = g_strdup_printf("Remove the old copy of %s of %s at %s", kept->target,
                                 kept->vm_name, gw_engine_host_name(engine, kept->host_id));
    /* It does not hold the VM, which lives elsewhere and may move meanwhile. */
    job->vm_name = g_strdup(kept->vm_name);
    job->source_host_id = g_strdup(kept->host_id);
    job->destination_host_id = g_strdup(kept->host_id);
    job->options = gw_move_options_new();
    task->kind = GW_TASK_VOLUME_DELETE;
    task->turn = GW_TASK_BEFORE;
    task->host_id = g_strdup(kept->host_id);
    task->target = g_strdup(kept->target);
    task->volume = gw_volume_copy(kept->volume);
    job->tasks = gw_record_array(&gw_task_record);
    g_ptr_array_add(job->tasks, task);
    return job;
}

/* @user: the copy's id. */
static void removal_accepted(GwEngine *engine, const GwJob *job, const GError *error, gpointer user)
{
    g_autofree char *kept_id = user;
    gint64 now = gw_clock_now_us(engine->clock);

    (void)job;
    if (error == NULL) {
        engine->kept_us = now + BUSY_LOOK_US;
        return;
    }
    KeptRun *run = run_of(engine, kept_id);
    g_clear_pointer(&run->job_id, g_free);
    run->retry_us = now + AWAY_LOOK_US;
}

/* @call: NULL: its time is over. */
static void begin_removal(GwEngine *engine, const GwKeptVolume *kept, const char *user, Call *call)
{
    GwJob *job = removal_job(engine, kept, user);
    KeptRun *run = run_of(engine, kept->id);

    g_free(run->job_id);
    run->job_id = g_strdup(job->id);
    gw_jobs_accept(engine, call, gw_batch_new(), job, removal_accepted, g_strdup(kept->id));
}

/* Whether a job under way could still need the copy. */
static const GwJob *user_of(GwEngine *engine, const GwKeptVolume *kept)
{
    return kept->vm_uuid != NULL ? gw_fabric_job_of_vm(gw_engine_now(engine), kept->vm_uuid) : NULL;
}

/* Another old copy that stands on this one, and goes first; NULL: none. */
static const GwKeptVolume *above(GwEngine *engine, const GwKeptVolume *kept)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, gw_engine_now(engine)->kept);
    while (kept->volume->path != NULL && g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwKeptVolume *other = value;
        if (other != kept && g_strcmp0(other->host_id, kept->host_id) == 0 &&
            g_strcmp0(other->volume->backing_path, kept->volume->path) == 0)
            return other;
    }
    return NULL;
}

/* A removal of it that is not over: of this controller's, or one that was found in the store. */
static const GwJob *removal_of(GwEngine *engine, const GwKeptVolume *kept)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, gw_engine_now(engine)->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (gw_job_state_is_final((GwJobState)job->state) ||
            g_strcmp0(job->kind, GW_JOB_KIND_VOLUME_REMOVE) != 0 || job->tasks == NULL ||
            job->tasks->len == 0)
            continue;
        const GwTask *task = job->tasks->pdata[0];
        if (g_strcmp0(task->host_id, kept->host_id) == 0 &&
            gw_same_volume(task->volume, kept->volume))
            return job;
    }
    return NULL;
}

/* A removal may wait long for its host, and be repeated: meanwhile a job of the VM may have taken
 * the copy over, or put another volume in its place. */
gboolean gw_kept_may_remove(GwEngine *engine, const GwTask *task, GError **error)
{
    const GwKeptVolume *kept = gw_kept_find(engine, task->host_id, task->volume);

    if (kept == NULL)
        gw_error_set(error, GW_ERR_CONFLICT, "There is nothing to do.",
                     "it is no old copy any more: another job took its place, or removed it");
    else if (user_of(engine, kept) != NULL)
        gw_error_set(error, GW_ERR_CONFLICT, "Wait for that job; then it is tried again.",
                     "a job of '%s' is under way, which may need the copy", kept->vm_name);
    else
        return TRUE;
    return FALSE;
}

gboolean gw_kept_is_going(GwEngine *engine, const char *host_id, const GwVolume *volume)
{
    const GwKeptVolume like = { .host_id = (char *)host_id, .volume = (GwVolume *)volume };
    const GwJob *removal = volume != NULL ? removal_of(engine, &like) : NULL;
    const GwTask *task = removal != NULL ? removal->tasks->pdata[0] : NULL;

    return task != NULL && task->state == (int)GW_TASK_DOING;
}

/* The sweep -------------------------------------------------------------------------------- */

static void say_trouble(GwEngine *engine, const GwKeptVolume *kept, const char *trouble)
{
    if (g_strcmp0(kept->trouble, trouble) == 0)
        return;
    GwKeptVolume *changed = gw_kept_volume_copy(kept);
    GwBatch *batch = gw_batch_new();

    g_free(changed->trouble);
    changed->trouble = g_strdup(trouble);
    put(engine, batch, changed);
    gw_engine_journal(engine, batch, NULL, NULL, NULL);
}

/* With the remedy: nobody looks for the job that failed. */
static char *trouble_of(const GwJobError *error)
{
    if (error == NULL)
        return g_strdup("it could not be removed; no reason was given");
    return g_strjoin(". ", error->message, error->remedy, NULL);
}

/* The job that was to remove it is over. */
static void take_outcome(GwEngine *engine, const GwKeptVolume *kept, KeptRun *run, gint64 now_us)
{
    const GwJob *job = g_hash_table_lookup(gw_engine_now(engine)->jobs, run->job_id);

    if (job != NULL && job->state == (int)GW_JOB_DONE) {
        GwBatch *batch = gw_batch_new();
        forget(engine, batch, kept);
        gw_engine_journal(engine, batch, NULL, NULL, NULL);
        return;
    }
    g_clear_pointer(&run->job_id, g_free);
    run->retry_us = now_us + TROUBLE_US;
    g_autofree char *why = trouble_of(job != NULL ? job->error : NULL);
    say_trouble(engine, kept, why);
}

static gboolean is_there(GwEngine *engine, const char *host_id)
{
    const HostRun *run = g_hash_table_lookup(engine->hosts, host_id);
    return run != NULL && run->listed;
}

/* When to look at it again. */
static gint64 look_at(GwEngine *engine, const GwKeptVolume *kept, gint64 now_us)
{
    gint64 wall_s = gw_clock_wall_us(engine->clock) / G_USEC_PER_SEC;
    KeptRun *run = run_of(engine, kept->id);

    if (removal_of(engine, kept) != NULL)
        return now_us + BUSY_LOOK_US;
    if (run->job_id != NULL) {
        /* Accepted, but not journaled yet, or over. */
        if (g_hash_table_lookup(gw_engine_now(engine)->jobs, run->job_id) != NULL)
            take_outcome(engine, kept, run, now_us);
        return now_us + BUSY_LOOK_US;
    }
    if (kept->expires_s > wall_s)
        return now_us + MIN((kept->expires_s - wall_s) * G_USEC_PER_SEC, WALL_LOOK_US);
    if (run->retry_us > now_us)
        return run->retry_us;
    if (user_of(engine, kept) != NULL || above(engine, kept) != NULL)
        return now_us + BUSY_LOOK_US;
    if (!is_there(engine, kept->host_id)) {
        g_autofree char *why = g_strdup_printf("host '%s' does not answer",
                                               gw_engine_host_name(engine, kept->host_id));
        say_trouble(engine, kept, why);
        run->retry_us = now_us + AWAY_LOOK_US;
        return run->retry_us;
    }
    begin_removal(engine, kept, NULL, NULL);
    return now_us + BUSY_LOOK_US;
}

gint64 gw_kept_next_us(GwEngine *engine)
{
    return g_hash_table_size(gw_engine_now(engine)->kept) > 0 ? engine->kept_us : 0;
}

void gw_kept_timers(GwEngine *engine, gint64 now_us)
{
    if (gw_kept_next_us(engine) == 0 || engine->kept_us > now_us)
        return;
    gint64 next = now_us + WALL_LOOK_US;
    g_autoptr(GPtrArray) all = gw_fabric_list_kept(gw_engine_now(engine));

    for (guint i = 0; i < all->len; i++) {
        gint64 due = look_at(engine, all->pdata[i], now_us);
        next = MIN(next, due);
    }
    engine->kept_us = next;
}

/* By hand ---------------------------------------------------------------------------------- */

static void call_remove(GwEngine *engine, Call *call)
{
    const char *id = call->in[0];
    const GwKeptVolume *kept = g_hash_table_lookup(gw_engine_now(engine)->kept, id);
    GError *error = NULL;

    if (kept == NULL)
        gw_error_set(&error, GW_ERR_NOT_FOUND, "List them: godwit kept list.", "no kept copy '%s'",
                     id);
    else if (removal_of(engine, kept) != NULL || run_of(engine, id)->job_id != NULL)
        gw_error_set(&error, GW_ERR_CONFLICT, "Wait for that job.",
                     "the copy is being removed already");
    else if (user_of(engine, kept) != NULL)
        gw_error_set(&error, GW_ERR_CONFLICT, "Wait for that job, or cancel it.",
                     "a job of '%s' is under way, which may need the copy", kept->vm_name);
    else if (above(engine, kept) != NULL)
        gw_error_set(&error, GW_ERR_CONFLICT, "Remove that one first: godwit kept remove.",
                     "the kept copy '%s' stands on it", above(engine, kept)->id);
    if (error != NULL)
        gw_engine_answer(call, NULL, error);
    else
        begin_removal(engine, kept, call->in[1], call);
}

GwJob *gw_engine_remove_kept(GwEngine *engine, const char *id, const char *user, GError **error)
{
    return gw_engine_call(engine, call_remove, id, user, NULL, NULL, error);
}
