/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/libvirt_internal.h"

/* libvirt's job statistics as progress and as the figures of a finished move. */

static gint64 number(const GwLvParams *params, const char *name, gint64 fallback)
{
    virTypedParameterPtr param = virTypedParamsGet(params->list, params->count, name);

    if (param == NULL)
        return fallback;
    switch (param->type) {
    case VIR_TYPED_PARAM_INT:
        return param->value.i;
    case VIR_TYPED_PARAM_UINT:
        return param->value.ui;
    case VIR_TYPED_PARAM_LLONG:
        return param->value.l;
    case VIR_TYPED_PARAM_ULLONG:
        return (gint64)MIN(param->value.ul, (guint64)G_MAXINT64);
    default:
        return fallback;
    }
}

/* Disks are whole at the destination, and are kept so, before QEMU begins with the memory. */
static gboolean is_mirroring(const GwLvParams *params)
{
    return number(params, VIR_DOMAIN_JOB_DISK_TOTAL, 0) > 0 &&
           number(params, VIR_DOMAIN_JOB_MEMORY_TOTAL, 0) == 0;
}

static const char *phase_of(virDomainPtr domain, int type, const GwLvParams *params)
{
    int state = 0, reason = 0;

    if (virDomainGetState(domain, &state, &reason, 0) < 0)
        state = VIR_DOMAIN_NOSTATE;
    if (strstr(gw_lv_reason(state, reason), "post-copy") != NULL)
        return "post-copy";
    if (type == VIR_DOMAIN_JOB_COMPLETED ||
        (state == VIR_DOMAIN_PAUSED && reason == VIR_DOMAIN_PAUSED_MIGRATION))
        return "switchover";
    if (number(params, VIR_DOMAIN_JOB_DATA_TOTAL, 0) == 0)
        return "setup";
    return is_mirroring(params) ? "disks" : "memory";
}

/* Guest memory sent per second. The wire's figure is smaller by as much as compression saves, and
 * must not be held against what the guest dirties. */
static gdouble memory_rate(const GwLvParams *params, gint64 wire_bps)
{
    gdouble page = (gdouble)number(params, VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE, 4096);
    gdouble sent = (gdouble)number(params, VIR_DOMAIN_JOB_MEMORY_PROCESSED, 0);
    gdouble guest = (gdouble)number(params, VIR_DOMAIN_JOB_MEMORY_NORMAL_BYTES, 0) +
                    (gdouble)number(params, VIR_DOMAIN_JOB_COMPRESSION_PAGES, 0) * page;
    gdouble saving = sent > 0 ? CLAMP(guest / sent, 1.0, 100.0) : 1.0;

    return (gdouble)wire_bps * saving;
}

static void estimate(GwProgress *progress, const GwLvParams *params)
{
    gdouble rate = memory_rate(params, progress->bandwidth_bps);
    gboolean post_copy = strcmp(progress->phase, "post-copy") == 0;
    /* The guest runs elsewhere in post-copy: what is dirtied there needs no sending. */
    gdouble dirty = post_copy ? 0 : (gdouble)progress->dirty_rate_bps;

    /* The first pass sends everything once; only from the second on does it race the guest. */
    progress->converging = progress->iteration < 2 || rate <= 0 || dirty < rate;
    progress->eta_ms = -1;
    if (rate > dirty && progress->total_bytes > 0)
        progress->eta_ms =
            (gint64)MIN((gdouble)progress->remaining_bytes * 1000.0 / (rate - dirty), 1e15);
    if (!progress->converging)
        progress->note = g_strdup("the guest changes its memory as fast as it is copied");
}

/* While disks are copied libvirt tells no rate, and not yet of the memory that follows. */
static void add_disks(virDomainPtr domain, GwProgress *progress, const GwLvParams *params)
{
    virDomainInfo info = { 0 };

    progress->disk_total_bytes = number(params, VIR_DOMAIN_JOB_DISK_TOTAL, 0);
    progress->disk_processed_bytes = number(params, VIR_DOMAIN_JOB_DISK_PROCESSED, 0);
    progress->disk_remaining_bytes = number(params, VIR_DOMAIN_JOB_DISK_REMAINING, 0);
    if (strcmp(progress->phase, "disks") != 0)
        return;
    if (progress->bandwidth_bps == 0 && progress->elapsed_ms > 0)
        progress->bandwidth_bps = (gint64)((gdouble)progress->disk_processed_bytes * 1000.0 /
                                           (gdouble)progress->elapsed_ms);
    if (virDomainGetInfo(domain, &info) < 0)
        return;
    gint64 memory = (gint64)MIN(info.memory, (guint64)G_MAXINT64 / 4096) * 1024;
    progress->total_bytes += memory;
    progress->remaining_bytes += memory;
}

static GwProgress *make_progress(virDomainPtr domain, int type, const GwLvParams *params)
{
    GwProgress *progress = gw_progress_new();
    gint64 page = number(params, VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE, 4096);
    gint64 dirty_pages = number(params, VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE, 0);

    progress->phase = g_strdup(phase_of(domain, type, params));
    progress->iteration = number(params, VIR_DOMAIN_JOB_MEMORY_ITERATION, 0);
    progress->processed_bytes = number(params, VIR_DOMAIN_JOB_DATA_PROCESSED, 0);
    progress->remaining_bytes = number(params, VIR_DOMAIN_JOB_DATA_REMAINING, 0);
    progress->total_bytes = number(params, VIR_DOMAIN_JOB_DATA_TOTAL, 0);
    progress->bandwidth_bps =
        number(params, VIR_DOMAIN_JOB_MEMORY_BPS, 0) + number(params, VIR_DOMAIN_JOB_DISK_BPS, 0);
    progress->dirty_rate_bps = page > 0 && dirty_pages < G_MAXINT64 / page ? dirty_pages * page : 0;
    progress->elapsed_ms = number(params, VIR_DOMAIN_JOB_TIME_ELAPSED, 0);
    progress->expected_downtime_ms = number(params, VIR_DOMAIN_JOB_DOWNTIME, 0);
    progress->throttle_percent = number(params, VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE, 0);
    add_disks(domain, progress, params);
    gdouble all = (gdouble)progress->processed_bytes + (gdouble)progress->remaining_bytes;
    progress->percent = all > 0 ? (gint64)((gdouble)progress->processed_bytes * 100.0 / all) : 0;
    estimate(progress, params);
    return progress;
}

/* No migration out of here, for whatever reason, is no progress; that is an answer, too. */
gboolean gw_lv_op_progress(GwLvTask *task, GwReply *reply, GError **error)
{
    GError *why = NULL;
    g_autoptr(virDomain) domain = gw_lv_find(task, &why);
    g_auto(GwLvParams) params = { 0 };
    int type = VIR_DOMAIN_JOB_NONE;

    if (why != NULL) {
        g_propagate_error(error, why);
        return FALSE;
    }
    if (domain == NULL)
        return TRUE;
    if (virDomainGetJobStats(domain, &type, &params.list, &params.count, 0) < 0) {
        int code = gw_lv_last_code();
        if (code == VIR_ERR_OPERATION_INVALID || code == VIR_ERR_NO_DOMAIN ||
            code == VIR_ERR_OPERATION_UNSUPPORTED)
            return TRUE;
        gw_lv_error(error);
        return FALSE;
    }
    if (type != VIR_DOMAIN_JOB_NONE &&
        number(&params, VIR_DOMAIN_JOB_OPERATION, VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT) ==
            VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT)
        reply->progress = make_progress(domain, type, &params);
    if (reply->progress != NULL && strcmp(reply->progress->phase, "memory") == 0)
        gw_lv_limit_memory(task, domain);
    return TRUE;
}

gboolean gw_lv_op_stats(GwLvTask *task, GwReply *reply, GError **error)
{
    g_autoptr(virDomain) domain = gw_lv_need(task, error);
    g_auto(GwLvParams) params = { 0 };
    int type = VIR_DOMAIN_JOB_NONE;
    /* Without KEEP the first reader would take the figures away from all others. */
    guint flags = VIR_DOMAIN_JOB_STATS_COMPLETED | VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED;

    if (domain == NULL)
        return FALSE;
    if (virDomainGetJobStats(domain, &type, &params.list, &params.count, flags) < 0) {
        gw_lv_error(error);
        return FALSE;
    }
    if (type == VIR_DOMAIN_JOB_NONE) {
        gw_error_set(error, GW_ERR_NOT_FOUND, NULL, "the host has no figures of a finished move");
        return FALSE;
    }
    GwMoveResult *result = gw_move_result_new();
    result->downtime_ms = -1; /* as the controller saw it: not ours to tell */
    result->copy_ms = number(&params, VIR_DOMAIN_JOB_TIME_ELAPSED, 0);
    result->downtime_libvirt_ms = number(&params, VIR_DOMAIN_JOB_DOWNTIME, -1);
    result->disk_bytes = number(&params, VIR_DOMAIN_JOB_DISK_TOTAL, 0);
    result->disk_sent_bytes = number(&params, VIR_DOMAIN_JOB_DISK_PROCESSED, 0);
    result->transferred_bytes =
        MAX(number(&params, VIR_DOMAIN_JOB_DATA_PROCESSED, 0) - result->disk_sent_bytes, 0);
    result->iterations = number(&params, VIR_DOMAIN_JOB_MEMORY_ITERATION, 0);
    reply->result = result;
    return TRUE;
}
