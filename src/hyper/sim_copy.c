/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/sim_storage.h"

/* Copies of files: between two agents, which go on without a controller; through the controller,
 * which do not; within one host. */

#define SLICES 20
#define REFLINK_US 10000
#define REMEMBERED_US (3600 * (gint64)G_USEC_PER_SEC)
#define DELTA_PART 10 /* of an old copy, one in so many bytes differs */
#define SPAN_MAX_US ((gint64)1000000 * G_USEC_PER_SEC)

typedef struct {
    GwCopy *how;
    GArray *asked; /* guint64: requests that wait for its end */
    SimHost *from_host, *to_host;
    SimImage *from, *to;
    gint64 began_us, ended_us;
    gint64 total_bytes, done_bytes, begun_bytes;
    guint content, below; /* of @from when it began */
    guint resumed_of;     /* what @to held a part of */
    gboolean by_agents;
    gboolean lose_reply;
    gboolean aborted;
    gboolean over;
    GwCopyResult *result; /* over, and all is well */
    guint refs;
} SimCopy;

static void tick(GwSim *sim, gpointer data);

void gw_sim_copy_unref(gpointer data)
{
    SimCopy *copy = data;
    if (--copy->refs > 0)
        return;
    gw_copy_free(copy->how);
    g_array_unref(copy->asked);
    gw_sim_image_unref(copy->from);
    gw_sim_image_unref(copy->to);
    gw_copy_result_free(copy->result);
    g_free(copy);
}

void gw_sim_copy_alone(gpointer copy)
{
    ((SimCopy *)copy)->refs = 1;
}

gint64 gw_sim_slice(gint64 bytes)
{
    return MAX(1, (bytes + SLICES - 1) / SLICES);
}

gint64 gw_sim_span(gint64 bytes, gint64 bps, gint64 limit_mibps)
{
    gint64 limit = limit_mibps > 0 ? MIN(limit_mibps, G_MAXINT32) * 1024 * 1024 : bps;
    double span = (double)bytes * G_USEC_PER_SEC / (double)MIN(limit, bps);
    return (gint64)MIN(span, (double)SPAN_MAX_US);
}

static gboolean is_away(const GwSim *sim, const SimHost *host)
{
    return host->down || gw_clock_now_us(sim->clock) < host->agent_down_until_us;
}

/* The end ---------------------------------------------------------------------------------- */

static void answer(GwSim *sim, guint64 id, const GError *error, const GwCopyResult *result)
{
    GwReply *reply = gw_reply_new(id);

    if (error != NULL)
        reply->error = g_error_copy(error);
    else
        reply->copied = gw_copy_result_copy(result);
    gw_sim_reply(sim, reply);
}

static void answer_all(GwSim *sim, SimCopy *copy, const GError *error)
{
    for (guint i = 0; i < copy->asked->len; i++)
        answer(sim, g_array_index(copy->asked, guint64, i), error, copy->result);
    g_array_set_size(copy->asked, 0);
}

static void end(GwSim *sim, SimCopy *copy, GwErrorCode code, const char *failure)
{
    g_autoptr(GError) error = NULL;

    copy->over = TRUE;
    copy->ended_us = gw_clock_now_us(sim->clock);
    copy->from->busy--;
    copy->to->busy--;
    if (failure != NULL)
        gw_error_set(&error, code, NULL, "%s", failure);
    else if (copy->lose_reply)
        gw_error_set(&error, GW_ERR_UNREACHABLE, NULL, "connection lost");
    answer_all(sim, copy, error);
}

static const char *way_of(const SimCopy *copy)
{
    if (copy->from_host == copy->to_host)
        return copy->how->how == GW_DISK_CONVERT      ? "written anew by the host"
               : copy->from->store == copy->to->store ? "reflink"
                                                      : "within the host";
    return copy->by_agents ? "between the agents" : "through the controller";
}

static void succeed(GwSim *sim, SimCopy *copy)
{
    GwCopyResult *result = copy->result = gw_copy_result_new();
    gint64 sent = copy->total_bytes - copy->begun_bytes;

    copy->to->content = copy->content;
    copy->to->below = copy->below;
    copy->to->part_of = 0;
    result->read_bytes = copy->total_bytes;
    result->sent_bytes = copy->how->delta ? sent / DELTA_PART : sent;
    result->same_bytes = copy->total_bytes - result->sent_bytes;
    result->written_bytes = result->sent_bytes;
    result->digest = g_strdup_printf("blake2b:%064x", copy->content);
    result->verified = TRUE;
    result->how = g_strdup(way_of(copy));
    end(sim, copy, GW_ERR_INTERNAL, NULL);
}

/* Byte for byte: what the file says of the image below it comes along, as it was written there. */
static void take_header(SimCopy *copy)
{
    const GwVolume *from = copy->from->volume;
    GwVolume *to = copy->to->volume;

    g_free(to->backing_path);
    g_free(to->backing_format);
    to->backing_path = g_strdup(from->backing_path);
    to->backing_format = g_strdup(from->backing_format);
}

static void finish(GwSim *sim, SimCopy *copy)
{
    gboolean flat = copy->how->how == GW_DISK_CONVERT && copy->how->to->backing_path == NULL;

    gw_sim_settle_content(sim, copy->from);
    if (copy->from->content != copy->content) {
        gw_sim_violation(sim, "%s of %s was written to while it was copied", copy->from->name,
                         copy->from->store->key);
        end(sim, copy, GW_ERR_OPERATION, "the source changed while it was copied");
        return;
    }
    if (copy->begun_bytes > 0 && copy->resumed_of != copy->content) {
        end(sim, copy, GW_ERR_OPERATION, "the copy is not equal to its source: digests differ");
        return;
    }
    if (copy->how->how == GW_DISK_CONVERT)
        copy->below = flat ? 0 : copy->below;
    else
        take_header(copy);
    succeed(sim, copy);
}

/* Under way -------------------------------------------------------------------------------- */

static gint64 rate(const GwSim *sim, const SimCopy *copy)
{
    if (copy->from_host == copy->to_host || copy->how->delta)
        return sim->disk_bps;
    return MIN(sim->link_bps, sim->disk_bps);
}

static void next(GwSim *sim, SimCopy *copy, gint64 extra_us)
{
    gint64 rest = copy->total_bytes - copy->done_bytes;
    gint64 part = MIN(rest, gw_sim_slice(copy->total_bytes));
    gboolean reflink = copy->from_host == copy->to_host && copy->from->store == copy->to->store &&
                       copy->how->how == GW_DISK_FAST_COPY;
    gint64 span = reflink ? REFLINK_US / SLICES
                          : gw_sim_span(part, rate(sim, copy), copy->how->bandwidth_mibps);

    copy->refs++;
    gw_sim_later(sim, span + extra_us, tick, copy);
}

/* TRUE: it ended. */
static gboolean struck(GwSim *sim, SimCopy *copy, gint64 *extra_us)
{
    gint64 percent = copy->total_bytes > 0 ? copy->done_bytes * 100 / copy->total_bytes : 100;
    SimFault *fault = gw_sim_take_fault(sim, "volume-copy", percent);
    if (fault == NULL)
        return FALSE;
    const char *what = fault->what;
    GwErrorCode code = GW_ERR_UNREACHABLE;
    const char *failure = "connection lost";

    if (strcmp(what, "slow") == 0) {
        *extra_us = fault->ms * 1000;
        failure = NULL;
    } else if (strcmp(what, "lose-reply") == 0) {
        copy->lose_reply = TRUE;
        failure = NULL;
    } else if (strcmp(what, "full") == 0) {
        gw_sim_fill(sim, copy->to->store, fault->ms);
        failure = NULL;
    } else if (strcmp(what, "fail") == 0) {
        code = GW_ERR_OPERATION;
        failure = "simulated failure";
    } else if (strcmp(what, "host-down") == 0) {
        gw_sim_take_away(sim, copy->to_host, fault->ms);
    } else if (strcmp(what, "peer-down") == 0) {
        gw_sim_take_away(sim, copy->from_host, fault->ms);
    } else if (strcmp(what, "power-loss") == 0) {
        gw_sim_lose_power(sim, copy->to_host, fault->ms);
    }
    gw_sim_fault_free(fault);
    if (failure != NULL && !copy->over)
        end(sim, copy, code, failure);
    return copy->over;
}

static void write_part(GwSim *sim, SimCopy *copy, gint64 extra_us)
{
    gint64 part = MIN(copy->total_bytes - copy->done_bytes, gw_sim_slice(copy->total_bytes));
    gint64 taken = MAX(copy->to->volume->allocation_bytes, copy->done_bytes + part);

    if (part > 0 && !gw_sim_allocate(sim, copy->to, taken)) {
        end(sim, copy, GW_ERR_OPERATION, "no space left on device");
        return;
    }
    if (part > 0 && copy->to->writers > 0)
        gw_sim_violation(sim, "%s of %s was overwritten while a VM ran on it", copy->to->name,
                         copy->to->store->key);
    copy->done_bytes += part;
    copy->to->written = TRUE;
    copy->to->content = gw_sim_new_content(sim);
    copy->to->part_of = copy->content;
    copy->to->part_bytes = copy->done_bytes;
    if (copy->done_bytes >= copy->total_bytes)
        finish(sim, copy);
    else
        next(sim, copy, extra_us);
}

static void tick(GwSim *sim, gpointer data)
{
    SimCopy *copy = data;
    gint64 extra_us = 0;

    if (!copy->over && !struck(sim, copy, &extra_us)) {
        if (copy->aborted)
            end(sim, copy, GW_ERR_CANCELLED, "the copy was stopped");
        else if (copy->from->gone || copy->to->gone)
            end(sim, copy, GW_ERR_NOT_FOUND, "the volume is gone");
        else
            write_part(sim, copy, extra_us);
    }
    gw_sim_copy_unref(copy);
}

/* The beginning ---------------------------------------------------------------------------- */

static SimCopy *find(const GwSim *sim, const char *id, const SimHost *host)
{
    for (guint i = sim->copies->len; i > 0; i--) {
        SimCopy *copy = sim->copies->pdata[i - 1];
        if (g_strcmp0(copy->how->id, id) == 0 && copy->to_host == host)
            return copy;
    }
    return NULL;
}

/* A file that is in no pool is made by its copy. */
static SimImage *destination(GwSim *sim, const SimHost *host, const GwVolume *volume,
                             const SimImage *from)
{
    g_autofree char *name = NULL;
    SimImage *to = gw_sim_image_of(sim, host, volume);

    if (to != NULL || from == NULL || volume->pool != NULL || volume->path == NULL ||
        g_strcmp0(volume->kind, "block") == 0)
        return to;
    SimStore *store = gw_sim_resolve(sim, host, volume->path, volume->server, &name);
    return gw_sim_add_image(sim, store, name, from->volume);
}

static gboolean may_copy(GwSim *sim, const SimHost *host, const GwCopy *how, GError **error)
{
    SimHost *from_host = gw_sim_host_by_name(sim, how->from_host_id);

    if (from_host == NULL || is_away(sim, from_host)) {
        gw_error_set(error, GW_ERR_UNREACHABLE, NULL, "the other host does not answer");
        return FALSE;
    }
    const SimImage *from = gw_sim_image_of(sim, from_host, how->from);
    const SimImage *to = destination(sim, host, how->to, from);
    if (from == NULL || to == NULL || from == to) {
        gw_error_set(error, GW_ERR_NOT_FOUND, NULL, "no such volume: %s",
                     from == NULL ? how->from->path : how->to->name);
        return FALSE;
    }
    if (to->volume->capacity_bytes < from->volume->capacity_bytes) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "the destination is shorter than its source");
        return FALSE;
    }
    if (to->busy > 0 || to->writers > 0) {
        gw_error_set(error, GW_ERR_CONFLICT, NULL, "the destination is in use");
        return FALSE;
    }
    return how->permit == NULL || gw_sim_agents_may_copy(sim, from_host, host, how->permit, error);
}

static void begin(GwSim *sim, SimHost *host, const GwRequest *request)
{
    SimCopy *copy = g_new0(SimCopy, 1);
    GwCopy *how = copy->how = gw_copy_copy(request->copy);

    copy->refs = 1;
    copy->asked = g_array_new(FALSE, FALSE, sizeof(guint64));
    g_array_append_val(copy->asked, request->id);
    copy->to_host = host;
    copy->from_host = gw_sim_host_by_name(sim, how->from_host_id);
    copy->from = gw_sim_image_ref(gw_sim_image_of(sim, copy->from_host, how->from));
    copy->to = gw_sim_image_ref(gw_sim_image_of(sim, host, how->to));
    copy->by_agents = how->permit != NULL;
    copy->began_us = gw_clock_now_us(sim->clock);
    gw_sim_settle_content(sim, copy->from);
    copy->content = copy->from->content;
    copy->below = copy->from->below;
    copy->resumed_of = copy->to->part_bytes >= how->resume_bytes ? copy->to->part_of : 0;
    copy->total_bytes = how->how == GW_DISK_CONVERT && how->to->backing_path == NULL
                            ? gw_sim_chain_bytes(sim, copy->from_host, copy->from)
                            : copy->from->volume->allocation_bytes;
    copy->begun_bytes = copy->done_bytes = MIN(MAX(0, how->resume_bytes), copy->total_bytes);
    copy->from->busy++;
    copy->to->busy++;
    g_ptr_array_add(sim->copies, copy);
    next(sim, copy, 0);
}

void gw_sim_begin_copy(GwSim *sim, SimHost *host, const GwRequest *request)
{
    const GwCopy *how = request->copy;
    SimCopy *there = how != NULL ? find(sim, how->id, host) : NULL;
    g_autoptr(GError) error = NULL;

    if (how == NULL || how->id == NULL || how->from == NULL || how->to == NULL) {
        gw_error_set(&error, GW_ERR_INVALID, NULL, "a copy has an id, a source and a destination");
        answer(sim, request->id, error, NULL);
    } else if (there != NULL && !there->over) {
        g_array_append_val(there->asked, request->id);
    } else if (there != NULL && there->by_agents && there->result != NULL && !there->to->gone &&
               gw_clock_now_us(sim->clock) < there->ended_us + REMEMBERED_US) {
        answer(sim, request->id, NULL, there->result);
    } else if (!may_copy(sim, host, how, &error)) {
        answer(sim, request->id, error, NULL);
    } else {
        begin(sim, host, request);
    }
}

void gw_sim_copy_serve(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply)
{
    SimCopy *copy = find(sim, request->text, host);

    if (copy == NULL || copy->over)
        return;
    if (request->op == GW_OP_COPY_ABORT) {
        copy->aborted = TRUE;
        end(sim, copy, GW_ERR_CANCELLED, "the copy was stopped");
        return;
    }
    GwProgress *progress = reply->progress = gw_progress_new();
    progress->phase = g_strdup("disks");
    progress->total_bytes = progress->disk_total_bytes = copy->total_bytes;
    progress->processed_bytes = progress->disk_processed_bytes = copy->done_bytes;
    progress->remaining_bytes = progress->disk_remaining_bytes =
        copy->total_bytes - copy->done_bytes;
    progress->percent = copy->total_bytes > 0 ? copy->done_bytes * 100 / copy->total_bytes : 100;
    progress->bandwidth_bps = rate(sim, copy);
    progress->elapsed_ms = (gw_clock_now_us(sim->clock) - copy->began_us) / 1000;
    progress->eta_ms =
        gw_sim_span(progress->remaining_bytes, rate(sim, copy), copy->how->bandwidth_mibps) / 1000;
    progress->converging = TRUE;
}

/* What ends copies ------------------------------------------------------------------------- */

void gw_sim_copies_client_lost(GwSim *sim)
{
    for (guint i = 0; i < sim->copies->len; i++) {
        SimCopy *copy = sim->copies->pdata[i];
        g_array_set_size(copy->asked, 0);
        if (!copy->over && !copy->by_agents && copy->from_host != copy->to_host)
            end(sim, copy, GW_ERR_UNREACHABLE, "the controller is gone");
    }
}

/* Agents go on with theirs: who asks again for the same copy hears of its end. */
void gw_sim_copies_host_lost(GwSim *sim, const SimHost *host)
{
    g_autoptr(GError) lost = NULL;

    gw_error_set(&lost, GW_ERR_UNREACHABLE, NULL, "connection lost");
    for (guint i = 0; i < sim->copies->len; i++) {
        SimCopy *copy = sim->copies->pdata[i];
        if (copy->over || (copy->to_host != host && (copy->by_agents || copy->from_host != host)))
            continue;
        if (copy->by_agents)
            answer_all(sim, copy, lost);
        else
            end(sim, copy, GW_ERR_UNREACHABLE, "connection lost");
    }
}

void gw_sim_break_copies(GwSim *sim, const SimHost *host, const SimHost *other, const char *vm_uuid)
{
    for (guint i = 0; i < sim->copies->len; i++) {
        SimCopy *copy = sim->copies->pdata[i];
        gboolean of_host = (copy->from_host == host && (other == NULL || copy->to_host == other)) ||
                           (copy->to_host == host && (other == NULL || copy->from_host == other));
        if (!copy->over && copy->by_agents && of_host &&
            (vm_uuid == NULL || g_strcmp0(copy->how->permit->vm_uuid, vm_uuid) == 0))
            end(sim, copy, GW_ERR_UNREACHABLE, "the agents' stream broke");
    }
}
