/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/learn.h"
#include "plan/rule.h"

/* Finished jobs as examples to learn from. */

#define JOBS_MAX 1000 /* the newest: older ones say little of today's links */
#define DOWNTIME_DEFAULT_S 0.3
#define QEMU_SYNCS 9002000
#define SYNC_S 5.0

char *gw_taught_pair(const char *one, const char *other)
{
    gboolean first = g_strcmp0(one, other) <= 0;
    return g_strdup_printf("%s %s", first ? one : other, first ? other : one);
}

static gboolean has_delta(const GPtrArray *disks)
{
    for (guint i = 0; disks != NULL && i < disks->len; i++) {
        if (gw_disk_move_is_delta(disks->pdata[i]))
            return TRUE;
    }
    return FALSE;
}

GwMoveClass gw_class_of(int transfer, const GPtrArray *disks)
{
    switch ((GwTransfer)transfer) {
    case GW_TRANSFER_LIVE:
        return GW_CLASS_LIVE;
    case GW_TRANSFER_LIVE_VSM:
        return has_delta(disks) ? GW_CLASS_DELTA : GW_CLASS_VSM;
    case GW_TRANSFER_NETWORK:
        return GW_CLASS_NETWORK;
    case GW_TRANSFER_FAST_COPY:
        return GW_CLASS_FAST;
    case GW_TRANSFER_STORAGE:
        return GW_CLASS_STORAGE;
    case GW_TRANSFER_NONE:
    case GW_TRANSFER_SAN:
    case GW_TRANSFER_REGISTER:
        break;
    }
    return GW_CLASS_REGISTER;
}

gboolean gw_class_is_live(GwMoveClass class)
{
    return class <= GW_CLASS_DELTA;
}

/* Guests' memory is text, tables, code and holes; what they write is no hole. */
void gw_taught_wire(const char *method, double wire[2])
{
    wire[0] = wire[1] = 1;
    if (method != NULL && strstr(method, "zstd") != NULL) {
        wire[0] = 0.6;
        wire[1] = 0.75;
    } else if (method != NULL && strstr(method, "xbzrle") != NULL) {
        wire[1] = 0.8;
    }
}

/* It looks in between as well since 9.2 (cpu_throttle_dirty_sync_timer). */
double gw_taught_sync(const GwHost *source)
{
    return source != NULL && gw_plan_facts(source)->qemu_version >= QEMU_SYNCS ? SYNC_S : 0;
}

static gboolean is_lesson(const GwJob *job)
{
    return job->state == (int)GW_JOB_DONE && job->result != NULL && job->transfer != 0 &&
           job->source_host_id != NULL && job->destination_host_id != NULL &&
           job->result->total_ms > 0 && job->result->total_ms >= job->result->queued_ms;
}

static int newest_first(gconstpointer a, gconstpointer b)
{
    return -g_strcmp0((*(GwJob *const *)a)->id, (*(GwJob *const *)b)->id);
}

static GPtrArray *lessons(const GwFabric *fabric)
{
    GPtrArray *jobs = g_ptr_array_new();
    GHashTableIter iter;
    gpointer job;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &job)) {
        if (is_lesson(job))
            g_ptr_array_add(jobs, job);
    }
    g_ptr_array_sort(jobs, newest_first);
    if (jobs->len > JOBS_MAX)
        g_ptr_array_set_size(jobs, JOBS_MAX);
    return jobs;
}

/* Others ----------------------------------------------------------------------------------- */

typedef struct {
    const GwJob *job;
    gint64 from_s, to_s; /* whole seconds: what ends as another begins does not overlap it */
} Span;

static gint64 seconds_of(const char *text)
{
    g_autoptr(GDateTime) at = text != NULL ? g_date_time_new_from_iso8601(text, NULL) : NULL;
    return at != NULL ? g_date_time_to_unix(at) : 0;
}

static gboolean meet(const GwJob *a, const GwJob *b)
{
    return g_strcmp0(a->source_host_id, b->source_host_id) == 0 ||
           g_strcmp0(a->source_host_id, b->destination_host_id) == 0 ||
           g_strcmp0(a->destination_host_id, b->source_host_id) == 0 ||
           g_strcmp0(a->destination_host_id, b->destination_host_id) == 0;
}

/* How many moves there were at its hosts while it ran, on average. */
static double share_of(const GArray *spans, guint index)
{
    const Span *own = &g_array_index(spans, Span, index);
    double length = (double)MAX(own->to_s - own->from_s, 1);
    double share = 1;

    for (guint i = 0; i < spans->len; i++) {
        const Span *other = &g_array_index(spans, Span, i);
        gint64 both = MIN(own->to_s, other->to_s) - MAX(own->from_s, other->from_s);
        if (i != index && both > 0 && meet(own->job, other->job))
            share += MIN((double)both / length, 1);
    }
    return share;
}

/* One ---------------------------------------------------------------------------------------- */

static double ms(gint64 value)
{
    return (double)MAX(value, 0) / 1000;
}

static void take_known(GwTaught *taught, const GwJob *job)
{
    const GwMoveOptions *options = job->options;
    const GwPrediction *said = job->prediction;
    GwKnown *known = &taught->known;

    known->limit_bps = options != NULL ? (double)MAX(options->bandwidth_mibps, 0) * 1048576 : 0;
    known->downtime_s = options != NULL && options->max_downtime_ms > 0
                            ? ms(options->max_downtime_ms)
                            : DOWNTIME_DEFAULT_S;
    known->auto_converge = options == NULL || !options->no_auto_converge;
    known->by_resume = job->commit_by_resume;
    gw_taught_wire(job->result->method, known->wire);
    taught->has_known =
        said != NULL && (!gw_class_is_live(taught->class) || said->memory_bytes > 0);
    if (!taught->has_known)
        return;
    known->use_bytes = (double)said->memory_bytes;
    known->disk_bytes = (double)said->disk_bytes;
    if (gw_class_is_live(taught->class)) /* of a mirror libvirt counts the holes as well */
        taught->disk_bytes = known->disk_bytes;
    known->dirty_bps = (double)said->dirty_bps;
    known->cpu = said->cpu_permille > 0 ? MIN((double)said->cpu_permille / 1000, 1) : -1;
}

static GwTaught teach(const GwFabric *fabric, const GwJob *job, double share)
{
    const GwMoveResult *result = job->result;
    GwTaught taught = { .pair = gw_taught_pair(job->source_host_id, job->destination_host_id),
                        .class = gw_class_of(job->transfer, job->disks) };
    double total = MAX(ms(result->total_ms) - ms(result->queued_ms), 0);

    taught.copy_s = MIN(ms(result->copy_ms), total);
    taught.fixed_s = total - taught.copy_s;
    taught.downtime_s = result->downtime_ms >= 0 ? ms(result->downtime_ms) : -1;
    taught.memory_bytes = (double)MAX(result->transferred_bytes, 0);
    taught.disk_bytes = (double)MAX(result->disk_sent_bytes, 0);
    if (!gw_class_is_live(taught.class)) { /* what is counted there are disks */
        taught.disk_bytes = MAX(taught.disk_bytes, taught.memory_bytes);
        taught.memory_bytes = 0;
    }
    take_known(&taught, job);
    taught.known.share = share;
    taught.known.sync_s = gw_taught_sync(gw_fabric_host(fabric, job->source_host_id));
    return taught;
}

static void taught_clear(gpointer data)
{
    g_free(((GwTaught *)data)->pair);
}

GArray *gw_taught_jobs(const GwFabric *fabric)
{
    g_autoptr(GPtrArray) jobs = lessons(fabric);
    g_autoptr(GArray) spans = g_array_new(FALSE, FALSE, sizeof(Span));
    GArray *all = g_array_new(FALSE, FALSE, sizeof(GwTaught));

    g_array_set_clear_func(all, taught_clear);
    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        Span span = { job, seconds_of(job->started_at), seconds_of(job->finished_at) };
        g_array_append_val(spans, span);
    }
    for (guint i = 0; i < jobs->len; i++) {
        GwTaught one = teach(fabric, jobs->pdata[i], share_of(spans, i));
        g_array_append_val(all, one);
    }
    return all;
}
