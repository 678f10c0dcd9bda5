/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/libvirt_internal.h"
#include "hyper/usage.h"
#include "model/libvirt_xml.h"

/* What a host and its VMs use. One call reads the counters of all VMs, and those of the reading
 * before stay with the host, so that two of them make rates. */

#define HOST_KEY "" /* of the host's own counters, beside the VMs' UUIDs */
#define DIRTY_PAGES_MODE VIR_DOMAIN_DIRTYRATE_MODE_PAGE_SAMPLING

/* Numbers from libvirt's lists of parameters ------------------------------------------------- */

static gboolean read_number(const virDomainStatsRecord *record, const char *key, guint64 *out)
{
    unsigned long long value = 0;

    if (virTypedParamsGetULLong(record->params, record->nparams, key, &value) <= 0)
        return FALSE;
    *out = value;
    return TRUE;
}

/* Goes over block.0.NAME, block.1.NAME, … */
static void count_each(const virDomainStatsRecord *record, const char *group, const char *name,
                       GwUsageCounts *counts, GwCount which)
{
    g_autofree char *count_key = g_strconcat(group, ".count", NULL);
    guint count = 0;

    virTypedParamsGetUInt(record->params, record->nparams, count_key, &count);
    for (guint i = 0; i < MIN(count, GW_LIBVIRT_DEVICES_MAX); i++) {
        g_autofree char *key = g_strdup_printf("%s.%u.%s", group, i, name);
        guint64 amount = 0;
        if (read_number(record, key, &amount))
            gw_usage_count(counts, which, amount);
    }
}

static gint64 bounded(guint64 value)
{
    return (gint64)MIN(value, (guint64)G_MAXINT64);
}

static gint64 allocated(const virDomainStatsRecord *record)
{
    GwUsageCounts sum;

    gw_usage_counts_init(&sum, 0);
    count_each(record, "block", "allocation", &sum, GW_COUNT_READ);
    return sum.values[GW_COUNT_READ];
}

static void read_counts(const virDomainStatsRecord *record, GwUsageCounts *counts)
{
    guint64 cpu_ns = 0;

    if (read_number(record, "cpu.time", &cpu_ns))
        gw_usage_count(counts, GW_COUNT_CPU_NS, cpu_ns);
    count_each(record, "block", "rd.bytes", counts, GW_COUNT_READ);
    count_each(record, "block", "wr.bytes", counts, GW_COUNT_WRITTEN);
    count_each(record, "net", "rx.bytes", counts, GW_COUNT_NETWORK);
    count_each(record, "net", "tx.bytes", counts, GW_COUNT_NETWORK);
}

/* The reading before -------------------------------------------------------------------------- */

typedef struct {
    GwLvHost *host;
    gint64 now_us;
    GHashTable *kept; /* of the reading under way */
} Reading;

/* FALSE: there is none. */
static gboolean find_before(const Reading *reading, const char *key, GwUsageCounts *before)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&reading->host->driver->lock);
    GHashTable *counts = reading->host->counts;
    const GwUsageCounts *found = counts != NULL ? g_hash_table_lookup(counts, key) : NULL;

    if (found != NULL)
        *before = *found;
    return found != NULL;
}

static void keep(Reading *reading, const char *key, const GwUsageCounts *counts)
{
    g_hash_table_replace(reading->kept, g_strdup(key), g_memdup2(counts, sizeof *counts));
}

/* Of VMs that are gone nothing stays. */
static void publish(Reading *reading)
{
    g_mutex_lock(&reading->host->driver->lock);
    GHashTable *old = reading->host->counts;
    reading->host->counts = g_hash_table_ref(reading->kept);
    g_mutex_unlock(&reading->host->driver->lock);
    g_clear_pointer(&old, g_hash_table_unref);
}

/* VMs ----------------------------------------------------------------------------------------- */

static GwVmUsage *usage_of(const virDomainStatsRecord *record, const GwUsageCounts *before,
                           const GwUsageCounts *now)
{
    GwVmUsage *usage = gw_vm_usage_new_unknown();
    guint64 rss_kib = 0;

    usage->cpu_permille = gw_usage_cpu_permille(before, now);
    usage->disk_read_bps = gw_usage_rate(before, now, GW_COUNT_READ);
    usage->disk_write_bps = gw_usage_rate(before, now, GW_COUNT_WRITTEN);
    usage->network_bps = gw_usage_rate(before, now, GW_COUNT_NETWORK);
    usage->disk_allocated_bytes = allocated(record);
    if (read_number(record, "balloon.rss", &rss_kib))
        usage->memory_used_kib = bounded(rss_kib);
    return usage;
}

static GwVm *read_vm(Reading *reading, const virDomainStatsRecord *record)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    GwUsageCounts before, now;
    GwVm *vm = gw_vm_new();

    virDomainGetUUIDString(record->dom, uuid);
    gw_usage_counts_init(&now, reading->now_us);
    read_counts(record, &now);
    gboolean known = find_before(reading, uuid, &before);
    vm->uuid = g_strdup(uuid);
    vm->usage = usage_of(record, known ? &before : NULL, &now);
    keep(reading, uuid, &now);
    return vm;
}

/* NOWAIT: a VM that a job keeps busy tells what can be told without it. */
static GPtrArray *read_vms(virConnectPtr ptr, Reading *reading, GError **error)
{
    virDomainStatsRecordPtr *records = NULL;
    guint stats = VIR_DOMAIN_STATS_CPU_TOTAL | VIR_DOMAIN_STATS_BALLOON | VIR_DOMAIN_STATS_BLOCK |
                  VIR_DOMAIN_STATS_INTERFACE;
    int count = virConnectGetAllDomainStats(ptr, stats, &records,
                                            VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE |
                                                VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT);
    if (count < 0) {
        gw_lv_error(error);
        return NULL;
    }

    GPtrArray *vms = gw_record_array(&gw_vm_record);
    for (int i = 0; i < count; i++)
        g_ptr_array_add(vms, read_vm(reading, records[i]));
    virDomainStatsRecordListFree(records);
    return vms;
}

/* The host ------------------------------------------------------------------------------------ */

static gboolean is_any(const char *word, const char *const *words)
{
    return g_strv_contains(words, word);
}

static void read_cpu(virConnectPtr ptr, GwUsageCounts *counts)
{
    static const char *const busy[] = { VIR_NODE_CPU_STATS_KERNEL, VIR_NODE_CPU_STATS_USER,
                                        VIR_NODE_CPU_STATS_INTR, NULL };
    static const char *const idle[] = { VIR_NODE_CPU_STATS_IDLE, VIR_NODE_CPU_STATS_IOWAIT, NULL };
    virNodeCPUStats stats[16] = { 0 };
    int count = 0;

    if (virNodeGetCPUStats(ptr, VIR_NODE_CPU_STATS_ALL_CPUS, NULL, &count, 0) < 0 || count <= 0)
        return;
    count = MIN(count, (int)G_N_ELEMENTS(stats));
    if (virNodeGetCPUStats(ptr, VIR_NODE_CPU_STATS_ALL_CPUS, stats, &count, 0) < 0)
        return;
    for (int i = 0; i < count; i++) {
        if (is_any(stats[i].field, busy))
            gw_usage_count(counts, GW_COUNT_CPU_NS, stats[i].value);
        else if (is_any(stats[i].field, idle))
            gw_usage_count(counts, GW_COUNT_IDLE_NS, stats[i].value);
    }
}

/* libvirt does not tell what goes over the host's own adapters: its VMs' traffic stands for it. */
static gint64 traffic_of(const GPtrArray *vms)
{
    gint64 sum = -1;

    for (guint i = 0; i < vms->len; i++) {
        const GwVm *vm = vms->pdata[i];
        gint64 bps = vm->usage->network_bps;
        if (bps >= 0)
            sum = MAX(sum, 0) + MIN(bps, G_MAXINT64 - MAX(sum, 0));
    }
    return sum;
}

static GwHostUsage *read_host(virConnectPtr ptr, Reading *reading, const GPtrArray *vms)
{
    GwHostUsage *usage = gw_host_usage_new_unknown();
    GwUsageCounts before, now;
    gint64 total = 0, available = 0;

    gw_usage_counts_init(&now, reading->now_us);
    read_cpu(ptr, &now);
    gboolean known = find_before(reading, HOST_KEY, &before);
    usage->cpu_permille = gw_usage_busy_permille(known ? &before : NULL, &now);
    keep(reading, HOST_KEY, &now);
    gw_lv_read_memory(ptr, &total, &available);
    if (total > 0 && available <= total)
        usage->memory_used_kib = total - available;
    usage->network_bps = traffic_of(vms);
    return usage;
}

gboolean gw_lv_op_usage(GwLvTask *task, GwReply *reply, GError **error)
{
    g_autoptr(GHashTable) kept = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    Reading reading = { task->host, g_get_monotonic_time(), kept };

    reply->vms = read_vms(task->conn->ptr, &reading, error);
    if (reply->vms == NULL)
        return FALSE;
    reply->usage = read_host(task->conn->ptr, &reading, reply->vms);
    publish(&reading);
    return TRUE;
}

/* Dirty rate ---------------------------------------------------------------------------------- */

#define DIRTY_SECONDS_MAX 60 /* libvirt's own bound */

/* By sampled pages: it costs the guest nothing, and any QEMU from 5.2 on can do it. */
gboolean gw_lv_op_dirty_start(GwLvTask *task, GwReply *reply, GError **error)
{
    g_autoptr(virDomain) domain = gw_lv_need(task, error);
    gint64 seconds = CLAMP(task->request->number / 1000, 1, DIRTY_SECONDS_MAX);

    (void)reply;
    if (domain == NULL)
        return FALSE;
    if (gw_lv_job(domain) != GW_LV_JOB_NONE) {
        gw_error_set(error, GW_ERR_CONFLICT, "Ask again when it is over.",
                     "how much memory the VM dirties is not sampled while a job runs on it");
        return FALSE;
    }
    if (virDomainStartDirtyRateCalc(domain, (int)seconds, DIRTY_PAGES_MODE) == 0)
        return TRUE;
    gw_lv_error(error);
    return FALSE;
}

gboolean gw_lv_op_dirty_read(GwLvTask *task, GwReply *reply, GError **error)
{
    g_autoptr(virDomain) domain = gw_lv_need(task, error);
    virDomainPtr domains[] = { domain, NULL };
    virDomainStatsRecordPtr *records = NULL;

    if (domain == NULL)
        return FALSE;
    int count = virDomainListGetStats(domains, VIR_DOMAIN_STATS_DIRTYRATE, &records,
                                      VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT);
    if (count < 0) {
        gw_lv_error(error);
        return FALSE;
    }
    int status = VIR_DOMAIN_DIRTYRATE_UNSTARTED;
    long long mibps = -1;
    for (int i = 0; i < count; i++) {
        virTypedParamsGetInt(records[i]->params, records[i]->nparams, "dirtyrate.calc_status",
                             &status);
        virTypedParamsGetLLong(records[i]->params, records[i]->nparams,
                               "dirtyrate.megabytes_per_second", &mibps);
    }
    virDomainStatsRecordListFree(records);
    if (status == VIR_DOMAIN_DIRTYRATE_MEASURED && mibps >= 0)
        reply->dirty_bps = (gint64)MIN(mibps, G_MAXINT64 >> 20) << 20;
    return TRUE;
}
