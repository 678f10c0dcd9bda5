/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/sim_storage.h"

/* Block jobs of running VMs: a disk is mirrored to another image, or its top image merged into the
 * one below, until it is ready; then the VM goes on there, or the job ends and it stays. QEMU has
 * them: they outlive libvirtd and controllers, and end with the process. */

typedef struct {
    const SimHost *host;
    char *vm_uuid;
    char *target;
    SimImage *to;
    char *to_path;
    char *to_format;
    gboolean merge;
    gint64 limit_mibps;
    gint64 total_bytes, done_bytes;
    gint64 began_us;
    gboolean ready;
    gboolean over;
    const char *why; /* it ended, in QEMU's words; NULL: it did not fail */
    guint refs;
} SimBlockJob;

static void tick(GwSim *sim, gpointer data);

void gw_sim_block_unref(gpointer data)
{
    SimBlockJob *job = data;
    if (--job->refs > 0)
        return;
    g_free(job->vm_uuid);
    g_free(job->target);
    gw_sim_image_unref(job->to);
    g_free(job->to_path);
    g_free(job->to_format);
    g_free(job);
}

void gw_sim_block_alone(gpointer job)
{
    ((SimBlockJob *)job)->refs = 1;
}

static SimBlockJob *find(const GwSim *sim, const SimHost *host, const char *uuid,
                         const char *target)
{
    for (guint i = 0; i < sim->block_jobs->len; i++) {
        SimBlockJob *job = sim->block_jobs->pdata[i];
        if (!job->over && job->host == host && strcmp(job->vm_uuid, uuid) == 0 &&
            (target == NULL || g_strcmp0(job->target, target) == 0))
            return job;
    }
    return NULL;
}

gboolean gw_sim_has_block_job(const GwSim *sim, const SimHost *host, const char *vm_uuid)
{
    return find(sim, host, vm_uuid, NULL) != NULL;
}

gboolean gw_sim_is_mirrored_to(const GwSim *sim, const SimImage *image)
{
    for (guint i = 0; i < sim->block_jobs->len; i++) {
        const SimBlockJob *job = sim->block_jobs->pdata[i];
        if (!job->over && job->to == image)
            return TRUE;
    }
    return FALSE;
}

/* Why the last job of the disk ended; NULL: it did not fail. */
static const char *why_ended(const GwSim *sim, const SimHost *host, const char *uuid,
                             const char *target)
{
    const char *why = NULL;

    for (guint i = 0; i < sim->block_jobs->len; i++) {
        const SimBlockJob *job = sim->block_jobs->pdata[i];
        if (job->over && job->host == host && strcmp(job->vm_uuid, uuid) == 0 &&
            g_strcmp0(job->target, target) == 0)
            why = job->why;
    }
    return why;
}

static GwDisk *disk_of(const SimVm *vm, const char *target)
{
    return gw_record_find(&gw_disk_record, vm->vm->disks, "target", target);
}

static void tell(GwSim *sim, const SimHost *host, const char *uuid)
{
    if (!host->down && host->id != NULL && gw_clock_now_us(sim->clock) >= host->agent_down_until_us)
        gw_sim_event(sim, gw_hyper_event_new(GW_EVENT_VM_CHANGED, host->id, uuid));
}

/* The end ---------------------------------------------------------------------------------- */

static void end(GwSim *sim, SimBlockJob *job, const char *why)
{
    SimVm *vm = gw_sim_find(job->host, job->vm_uuid);
    GwDisk *disk = vm != NULL ? disk_of(vm, job->target) : NULL;

    job->over = TRUE;
    job->why = why;
    job->to->busy--;
    if (disk != NULL) {
        disk->block_job = FALSE;
        g_clear_pointer(&disk->block_job_kind, g_free);
    }
    tell(sim, job->host, job->vm_uuid);
}

void gw_sim_block_ended(GwSim *sim, const SimHost *host, const char *vm_uuid)
{
    for (SimBlockJob *job = find(sim, host, vm_uuid, NULL); job != NULL;
         job = find(sim, host, vm_uuid, NULL))
        end(sim, job, NULL);
}

/* Progress --------------------------------------------------------------------------------- */

static void next(GwSim *sim, SimBlockJob *job, gint64 extra_us)
{
    gint64 part = MIN(job->total_bytes - job->done_bytes, gw_sim_slice(job->total_bytes));

    job->refs++;
    gw_sim_later(sim, gw_sim_span(part, sim->disk_bps, job->limit_mibps) + extra_us, tick, job);
}

/* A strike that leaves it going may take time. */
static void strike(GwSim *sim, SimBlockJob *job, const SimFault *fault, gint64 *extra_us)
{
    SimHost *host = gw_sim_host_by_uri(sim, job->host->uri);

    if (strcmp(fault->what, "slow") == 0)
        *extra_us = fault->ms * 1000;
    else if (strcmp(fault->what, "full") == 0)
        gw_sim_fill(sim, job->to->store, fault->ms);
    else if (strcmp(fault->what, "host-down") == 0)
        gw_sim_take_away(sim, host, fault->ms);
    else if (strcmp(fault->what, "power-loss") == 0)
        gw_sim_lose_power(sim, host, fault->ms);
    else if (strcmp(fault->what, "fail") == 0 || strcmp(fault->what, "break") == 0)
        end(sim, job, "Input/output error (write)");
}

static void struck(GwSim *sim, SimBlockJob *job, gint64 *extra_us)
{
    gint64 percent = job->total_bytes > 0 ? job->done_bytes * 100 / job->total_bytes : 100;
    const char *at = job->ready ? "block-ready" : job->merge ? "merge" : "block-copy";
    SimFault *fault = gw_sim_take_fault(sim, at, percent);

    if (fault == NULL)
        return;
    strike(sim, job, fault, extra_us);
    gw_sim_fault_free(fault);
}

static void copy_part(GwSim *sim, SimBlockJob *job, gint64 extra_us)
{
    gint64 part = MIN(job->total_bytes - job->done_bytes, gw_sim_slice(job->total_bytes));
    gint64 taken = job->merge ? job->to->volume->allocation_bytes + part
                              : MAX(job->to->volume->allocation_bytes, job->done_bytes + part);

    if (part > 0 && !gw_sim_allocate(sim, job->to, taken)) {
        /* QEMU ends the job, and the VM stays where it is. */
        end(sim, job, "No space left on device (write)");
        return;
    }
    job->done_bytes += part;
    job->to->written = TRUE;
    if (!job->merge) {
        job->to->content = gw_sim_new_content(sim);
        job->to->part_of = 0;
    }
    job->ready = job->done_bytes >= job->total_bytes;
    if (job->ready)
        tell(sim, job->host, job->vm_uuid);
    next(sim, job, extra_us); /* once more when it is ready: that is a moment as well */
}

static void tick(GwSim *sim, gpointer data)
{
    SimBlockJob *job = data;
    gint64 extra_us = 0;

    if (!job->over)
        struck(sim, job, &extra_us);
    if (!job->over && !job->ready)
        copy_part(sim, job, extra_us);
    gw_sim_block_unref(job);
}

/* Requests --------------------------------------------------------------------------------- */

static void fail(GwReply *reply, GwErrorCode code, const char *words)
{
    gw_error_set(&reply->error, code, NULL, "%s", words);
}

static SimBlockJob *add(GwSim *sim, const SimHost *host, SimVm *vm, GwDisk *disk, SimImage *to)
{
    SimBlockJob *job = g_new0(SimBlockJob, 1);

    job->refs = 1;
    job->host = host;
    job->vm_uuid = g_strdup(vm->vm->uuid);
    job->target = g_strdup(disk->target);
    job->to = gw_sim_image_ref(to);
    job->began_us = gw_clock_now_us(sim->clock);
    to->busy++;
    disk->block_job = TRUE;
    g_ptr_array_add(sim->block_jobs, job);
    return job;
}

/* Whether a job may begin on a disk of @vm that nothing else works on. */
static gboolean is_free(const SimVm *vm, const GwDisk *disk, GwReply *reply)
{
    if (vm->job || disk->block_job)
        fail(reply, GW_ERR_CONFLICT, "another job works on this VM's disk");
    return reply->error == NULL;
}

static void begin_copy(GwSim *sim, SimHost *host, SimVm *vm, GwDisk *disk, const GwRequest *request,
                       GwReply *reply)
{
    const SimBlockJob *there = find(sim, host, request->vm_uuid, request->text);
    SimImage *from = gw_sim_image_of_disk(sim, host, disk);
    SimImage *to = request->volume != NULL ? gw_sim_image_of(sim, host, request->volume) : NULL;

    if (to != NULL && (to == from || (there != NULL && there->to == to && !there->merge)))
        return;
    if (!is_free(vm, disk, reply))
        return;
    if (to == NULL || from == NULL) {
        fail(reply, GW_ERR_NOT_FOUND, "no such volume");
        return;
    }
    if (to->writers > 0 || to->busy > 0 || gw_sim_is_used(sim, host, to)) {
        fail(reply, GW_ERR_CONFLICT, "the destination is in use");
        return;
    }
    if (to->volume->capacity_bytes < from->volume->capacity_bytes) {
        fail(reply, GW_ERR_INVALID, "the destination is shorter than the disk");
        return;
    }
    SimBlockJob *job = add(sim, host, vm, disk, to);
    job->to_path = gw_sim_path_of(host, request->volume);
    job->to_format = g_strdup(to->volume->format);
    job->limit_mibps = request->number;
    job->total_bytes = to->volume->backing_path == NULL ? gw_sim_chain_bytes(sim, host, from)
                                                        : from->volume->allocation_bytes;
    disk->block_job_kind = g_strdup("copy");
    next(sim, job, 0);
}

static void begin_merge(GwSim *sim, SimHost *host, SimVm *vm, GwDisk *disk,
                        const GwRequest *request, GwReply *reply)
{
    const SimBlockJob *there = find(sim, host, request->vm_uuid, request->text);
    const SimImage *top = gw_sim_image_of_disk(sim, host, disk);
    SimImage *lower = top != NULL ? gw_sim_image_below(sim, host, top) : NULL;

    if (there != NULL && there->merge)
        return;
    if (request->volume != NULL && gw_sim_image_of(sim, host, request->volume) != top)
        return; /* it is the disk's top no more */
    if (!is_free(vm, disk, reply))
        return;
    if (lower == NULL) {
        fail(reply, GW_ERR_CONFLICT, "there is no image below this one");
        return;
    }
    SimBlockJob *job = add(sim, host, vm, disk, lower);
    job->merge = TRUE;
    job->to_path = g_strdup(top->volume->backing_path);
    job->to_format = g_strdup(lower->volume->format);
    job->total_bytes = top->volume->allocation_bytes;
    disk->block_job_kind = g_strdup("active-commit");
    next(sim, job, 0);
}

static void set_source(GwDisk *disk, const char *path, const char *format, const SimImage *image)
{
    g_autofree char *copy = g_strdup(path);

    g_free(disk->source);
    disk->source = g_steal_pointer(&copy);
    if (format != NULL) {
        g_free(disk->format);
        disk->format = g_strdup(format);
    }
    g_free(disk->type);
    disk->type = g_strdup(g_strcmp0(image->volume->kind, "block") == 0 ? "block" : "file");
    g_free(disk->backing_path);
    disk->backing_path = g_strdup(image->volume->backing_path);
    disk->backing_depth = image->volume->backing_path != NULL ? 1 : 0;
}

/* The process goes on with @image. Its definition follows where it named the same. */
static void go_on_with(GwSim *sim, const SimHost *host, SimVm *vm, GwDisk *disk, const char *path,
                       const SimImage *image)
{
    GwDisk *defined = vm->defined != NULL
                          ? gw_record_find(&gw_disk_record, vm->defined, "target", disk->target)
                          : NULL;

    if (defined != NULL && g_strcmp0(defined->source, disk->source) == 0)
        set_source(defined, path, image->volume->format, image);
    set_source(disk, path, image->volume->format, image);
    gw_sim_runs_elsewhere(sim, host, vm);
}

static void pivot(GwSim *sim, SimHost *host, SimVm *vm, GwDisk *disk, const GwRequest *request,
                  GwReply *reply)
{
    SimBlockJob *job = find(sim, host, request->vm_uuid, request->text);
    const SimImage *from = gw_sim_image_of_disk(sim, host, disk);
    const SimImage *wanted =
        request->volume != NULL ? gw_sim_image_of(sim, host, request->volume) : NULL;

    if (wanted != NULL && wanted == from && (job == NULL || job->to != wanted))
        return;
    if (job == NULL || (wanted != NULL && job->to != wanted)) {
        fail(reply, GW_ERR_CONFLICT, "no such block job is active");
        return;
    }
    if (!job->ready) {
        fail(reply, GW_ERR_CONFLICT, "the block job is not ready to be pivoted");
        return;
    }
    gw_sim_settle_content(sim, from);
    job->to->content = from->content;
    if (!job->merge)
        job->to->below = job->to->volume->backing_path != NULL ? from->below : 0;
    end(sim, job, NULL);
    go_on_with(sim, host, vm, disk, job->to_path, job->to);
}

/* An image that was made before, for this: empty, unused, and above what the disk is on. */
static SimImage *made_before(GwSim *sim, const SimHost *host, const GwDisk *disk,
                             const SimStore *store, const char *name, GwReply *reply)
{
    SimImage *top = g_hash_table_lookup(store->images, name);

    if (top == NULL)
        fail(reply, GW_ERR_NOT_FOUND, "no such volume");
    else if (top->written || top->busy > 0 || gw_sim_is_used(sim, host, top) ||
             g_strcmp0(top->volume->backing_path, disk->source) != 0)
        fail(reply, GW_ERR_CONFLICT, "the volume is in use, or not made for this disk");
    return reply->error == NULL ? top : NULL;
}

static SimImage *make_overlay(GwSim *sim, SimStore *store, const char *name, const GwDisk *disk,
                              const SimImage *below, GwReply *reply)
{
    g_autoptr(GwVolume) like = gw_volume_new();

    if (g_hash_table_contains(store->images, name)) {
        fail(reply, GW_ERR_CONFLICT, "a volume of this name is there");
        return NULL;
    }
    like->kind = g_strdup("file");
    like->format = g_strdup("qcow2");
    like->capacity_bytes = below->volume->capacity_bytes;
    like->backing_path = g_strdup(disk->source);
    like->backing_format = g_strdup(below->volume->format);
    return gw_sim_add_image(sim, store, name, like);
}

static void overlay(GwSim *sim, SimHost *host, SimVm *vm, GwDisk *disk, const GwRequest *request,
                    GwReply *reply)
{
    SimImage *below = gw_sim_image_of_disk(sim, host, disk);
    g_autofree char *path = request->volume != NULL ? gw_sim_path_of(host, request->volume) : NULL;
    g_autofree char *name = NULL;
    gboolean before = request->number == 1;

    if (path == NULL || below == NULL) {
        fail(reply, GW_ERR_NOT_FOUND, "no such pool, or no such volume");
        return;
    }
    if (strcmp(path, disk->source) == 0)
        return;
    if (!is_free(vm, disk, reply))
        return;
    SimStore *store = gw_sim_resolve(sim, host, path, NULL, &name);
    SimImage *top = before ? made_before(sim, host, disk, store, name, reply)
                           : make_overlay(sim, store, name, disk, below, reply);
    if (top == NULL)
        return;
    gw_sim_settle_content(sim, below);
    top->content = below->content;
    top->below = below->content;
    top->written = TRUE;
    if (!gw_sim_allocate(sim, top, 196608)) {
        if (before)
            top->written = FALSE;
        else
            gw_sim_remove_image(top);
        fail(reply, GW_ERR_OPERATION, "no space left on device");
        return;
    }
    go_on_with(sim, host, vm, disk, path, top);
}

static void tell_progress(GwSim *sim, const SimHost *host, const GwDisk *disk,
                          const GwRequest *request, GwReply *reply)
{
    const SimBlockJob *job = find(sim, host, request->vm_uuid, request->text);

    reply->text = g_strdup(disk->source);
    if (job == NULL) {
        const char *why = why_ended(sim, host, request->vm_uuid, request->text);
        reply->why = why != NULL ? g_strconcat("QEMU says: ", why, NULL) : NULL;
        return;
    }
    GwProgress *progress = reply->progress = gw_progress_new();
    progress->phase = g_strdup(job->ready ? "ready" : "disks");
    progress->total_bytes = progress->disk_total_bytes = job->total_bytes;
    progress->processed_bytes = progress->disk_processed_bytes = job->done_bytes;
    progress->remaining_bytes = progress->disk_remaining_bytes = job->total_bytes - job->done_bytes;
    progress->percent = job->total_bytes > 0 ? job->done_bytes * 100 / job->total_bytes : 100;
    progress->bandwidth_bps = sim->disk_bps;
    progress->elapsed_ms = (gw_clock_now_us(sim->clock) - job->began_us) / 1000;
    progress->eta_ms =
        gw_sim_span(progress->remaining_bytes, sim->disk_bps, job->limit_mibps) / 1000;
    progress->converging = TRUE;
}

void gw_sim_block_serve(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply)
{
    SimVm *vm = gw_sim_find(host, request->vm_uuid);
    GwDisk *disk = vm != NULL ? disk_of(vm, request->text) : NULL;
    SimBlockJob *job = vm != NULL ? find(sim, host, request->vm_uuid, request->text) : NULL;

    if (request->op == GW_OP_BLOCK_ABORT) {
        if (job != NULL)
            end(sim, job, NULL);
        return;
    }
    if (disk == NULL) {
        fail(reply, GW_ERR_NOT_FOUND, vm == NULL ? "no such VM" : "the VM has no such disk");
        return;
    }
    if (request->op == GW_OP_BLOCK_PROGRESS) {
        tell_progress(sim, host, disk, request, reply);
        return;
    }
    if (!gw_vm_is_active(vm->vm)) {
        fail(reply, GW_ERR_CONFLICT, "the VM has no process here");
        return;
    }
    if (request->op == GW_OP_BLOCK_COPY)
        begin_copy(sim, host, vm, disk, request, reply);
    else if (request->op == GW_OP_BLOCK_PIVOT)
        pivot(sim, host, vm, disk, request, reply);
    else if (request->op == GW_OP_OVERLAY)
        overlay(sim, host, vm, disk, request, reply);
    else
        begin_merge(sim, host, vm, disk, request, reply);
}
