/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/libvirt_storage.h"
#include "model/libvirt_xml.h"

/* What a host says of itself.
 *
 * Pools and disk sizes are read by a thread of their own, one for each host, since libvirtd may
 * hang there with its storage: the facts wait for it a while, and take what was read last if it is
 * not back by then. When it comes back with something new, the engine is told to ask again. */

#define STORAGE_PATIENCE_US (4 * G_TIME_SPAN_SECOND)
#define INTERFACES_MAX 4096

/* Storage ------------------------------------------------------------------------------------- */

GwPool *gw_lv_read_pool(virStoragePoolPtr handle)
{
    virStoragePoolInfo info = { 0 };
    char *xml = virStoragePoolGetXMLDesc(handle, 0);
    GwPool *pool = xml != NULL ? gw_libvirt_pool_from_xml(xml, NULL) : NULL;

    free(xml);
    if (pool == NULL || virStoragePoolGetInfo(handle, &info) < 0)
        return pool;
    pool->active = info.state == VIR_STORAGE_POOL_RUNNING;
    pool->capacity_bytes = (gint64)MIN(info.capacity, (guint64)G_MAXINT64);
    pool->available_bytes = (gint64)MIN(info.available, (guint64)G_MAXINT64);
    return pool;
}

static int by_name(gconstpointer a, gconstpointer b)
{
    const GwPool *x = *(const GwPool *const *)a, *y = *(const GwPool *const *)b;

    return g_strcmp0(x->name, y->name);
}

/* By name: libvirt has no order. NULL where the host has no storage driver, or cannot be asked. */
static GPtrArray *read_pools(virConnectPtr ptr)
{
    virStoragePoolPtr *handles = NULL;
    int count = virConnectListAllStoragePools(ptr, &handles, 0);
    if (count < 0)
        return NULL;

    GPtrArray *pools = gw_record_array(&gw_pool_record);
    for (int i = 0; i < count; i++) {
        gboolean passing = gw_lv_pool_is_passing(virStoragePoolGetName(handles[i]));
        GwPool *pool = passing ? NULL : gw_lv_read_pool(handles[i]);
        if (pool != NULL)
            g_ptr_array_add(pools, pool);
        virStoragePoolFree(handles[i]);
    }
    free(handles);
    g_ptr_array_sort(pools, by_name);
    return pools;
}

static void add_sizes(GHashTable *sizes, const virDomainStatsRecord *record)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    guint count = 0;

    virDomainGetUUIDString(record->dom, uuid);
    virTypedParamsGetUInt(record->params, record->nparams, "block.count", &count);
    for (guint i = 0; i < MIN(count, GW_LIBVIRT_DEVICES_MAX); i++) {
        g_autofree char *name_key = g_strdup_printf("block.%u.name", i);
        g_autofree char *size_key = g_strdup_printf("block.%u.capacity", i);
        const char *name = NULL;
        unsigned long long size = 0;
        if (virTypedParamsGetString(record->params, record->nparams, name_key, &name) <= 0 ||
            virTypedParamsGetULLong(record->params, record->nparams, size_key, &size) <= 0)
            continue;
        gint64 *kept = g_new(gint64, 1);
        *kept = (gint64)MIN(size, (guint64)G_MAXINT64);
        g_hash_table_insert(sizes, g_strconcat(uuid, "/", name, NULL), kept);
    }
}

/* Virtual sizes of all disks of the host; NOWAIT passes over VMs that a job keeps busy. */
static GHashTable *read_sizes(virConnectPtr ptr)
{
    virDomainStatsRecordPtr *records = NULL;
    int count = virConnectGetAllDomainStats(ptr, VIR_DOMAIN_STATS_BLOCK, &records,
                                            VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT);
    if (count < 0)
        return NULL;

    GHashTable *sizes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (int i = 0; i < count; i++)
        add_sizes(sizes, records[i]);
    virDomainStatsRecordListFree(records);
    return sizes;
}

static gboolean pools_equal(const GPtrArray *a, const GPtrArray *b)
{
    if (a == NULL || b == NULL || a->len != b->len)
        return FALSE;
    for (guint i = 0; i < a->len; i++) {
        if (!gw_record_equal(&gw_pool_record, a->pdata[i], b->pdata[i]))
            return FALSE;
    }
    return TRUE;
}

static void publish_sizes(GwLvHost *host, GHashTable *sizes)
{
    g_mutex_lock(&host->driver->lock);
    GHashTable *old = host->sizes;
    host->sizes = sizes;
    g_mutex_unlock(&host->driver->lock);
    g_clear_pointer(&old, g_hash_table_unref);
}

/* Whether the pools are news to somebody. */
static gboolean publish_pools(GwLvHost *host, GPtrArray *pools)
{
    GPtrArray *old = pools;

    g_mutex_lock(&host->driver->lock);
    gboolean news = host->storage_late && pools != NULL && !pools_equal(host->pools, pools);
    if (pools != NULL) { /* or the last that could be read stay */
        old = host->pools;
        host->pools = pools;
    }
    host->storage_busy = FALSE;
    host->storage_late = FALSE;
    g_cond_broadcast(&host->driver->changed);
    g_mutex_unlock(&host->driver->lock);
    g_clear_pointer(&old, g_ptr_array_unref);
    return news;
}

static gboolean read_storage(GwLvTask *task, GwReply *reply, GError **error)
{
    GwLvHost *host = task->host;
    GHashTable *sizes = read_sizes(task->conn->ptr);

    if (sizes != NULL)
        publish_sizes(host, sizes);
    if (publish_pools(host, read_pools(task->conn->ptr)))
        gw_lv_emit(host->driver, gw_hyper_event_new(GW_EVENT_FACTS_CHANGED, host->id, NULL));
    return TRUE;
}

/* A copy of the host's pools, as fresh as can be had in time. */
static GPtrArray *storage_pools(GwLvHost *host)
{
    static const GwLvOp storage = { read_storage, GW_LV_SLOW };
    GwLvDriver *driver = host->driver;
    gint64 until = g_get_monotonic_time() + STORAGE_PATIENCE_US;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&driver->lock);

    if (!host->storage_busy && !driver->closing) {
        host->storage_busy = TRUE;
        gw_lv_task_spawn(host, &storage);
    }
    while (host->storage_busy && !driver->closing) {
        if (!g_cond_wait_until(&driver->changed, &driver->lock, until))
            break;
    }
    host->storage_late = host->storage_busy;
    GPtrArray *copy = gw_record_array(&gw_pool_record);
    for (guint i = 0; host->pools != NULL && i < host->pools->len; i++)
        g_ptr_array_add(copy, gw_pool_copy(host->pools->pdata[i]));
    return copy;
}

void gw_lv_fill_sizes(GwLvHost *host, GwVm *vm)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&host->driver->lock);

    for (guint i = 0; host->sizes != NULL && vm->disks != NULL && i < vm->disks->len; i++) {
        GwDisk *disk = vm->disks->pdata[i];
        if (disk->target == NULL)
            continue;
        g_autofree char *key = g_strconcat(vm->uuid, "/", disk->target, NULL);
        const gint64 *size = g_hash_table_lookup(host->sizes, key);
        if (size != NULL)
            disk->capacity_bytes = *size;
    }
}

/* A network disk that is in no pool is opened by its VM's QEMU alone, and its copy is made as large
 * as that says: what was read with the facts knows nothing of a VM that has just come, nor of a LUN
 * that has grown. */
void gw_lv_ask_sizes(virDomainPtr domain, GwVm *vm)
{
    for (guint i = 0; vm->disks != NULL && i < vm->disks->len; i++) {
        GwDisk *disk = vm->disks->pdata[i];
        virDomainBlockInfo info = { 0 };
        if (disk->target == NULL || g_strcmp0(disk->type, "network") != 0)
            continue;
        int result = virDomainGetBlockInfo(domain, disk->target, &info, 0);
        if (result < 0 && gw_lv_last_code() == VIR_ERR_OPERATION_TIMEOUT)
            break; /* a job that lets no question through */
        if (result == 0 && info.capacity > 0)
            disk->capacity_bytes = (gint64)MIN(info.capacity, (guint64)G_MAXINT64);
    }
}

/* Networks ------------------------------------------------------------------------------------ */

static GwNetwork *read_network(virNetworkPtr handle)
{
    char *xml = virNetworkGetXMLDesc(handle, 0);
    GwNetwork *network = xml != NULL ? gw_libvirt_network_from_xml(xml, NULL) : NULL;

    free(xml);
    if (network != NULL)
        network->active = virNetworkIsActive(handle) == 1;
    return network;
}

static void read_networks(virConnectPtr ptr, GPtrArray *networks)
{
    virNetworkPtr *handles = NULL;
    int count = virConnectListAllNetworks(ptr, &handles, 0);

    for (int i = 0; i < count; i++) {
        GwNetwork *network = i < GW_NETWORKS_MAX ? read_network(handles[i]) : NULL;
        if (network != NULL)
            g_ptr_array_add(networks, network);
        virNetworkFree(handles[i]);
    }
    if (count >= 0)
        free(handles);
}

/* Bridges come from libvirt's interface driver, which some hosts lack (it needs udev or netcf),
 * and from the networks that name one. Node devices show network cards but not which of them is a
 * bridge, so a bridge that neither knows is not told: nothing is guessed. FALSE: the host has no
 * such driver. */
static gboolean read_interfaces(virConnectPtr ptr, GHashTable *bridges)
{
    virInterfacePtr *handles = NULL;
    /* "Active" means that a link has carrier: a bridge whose uplink is not up yet, or that only VMs
     * are on, is there all the same. */
    int count = virConnectListAllInterfaces(ptr, &handles, 0);

    for (int i = 0; i < count; i++) {
        const char *name = virInterfaceGetName(handles[i]);
        /* libvirt's own taps, one for each adapter of each VM, are no bridges. */
        if (i < INTERFACES_MAX && name != NULL && !g_str_has_prefix(name, "vnet")) {
            char *xml = virInterfaceGetXMLDesc(handles[i], 0);
            GwNetwork *bridge = xml != NULL ? gw_libvirt_bridge_from_xml(xml) : NULL;
            if (bridge != NULL)
                g_hash_table_replace(bridges, bridge->name, bridge);
            free(xml);
        }
        virInterfaceFree(handles[i]);
    }
    if (count >= 0)
        free(handles);
    return count >= 0;
}

/* A network that forwards to a bridge is active whether or not that is there. */
static gboolean may_be_missing(const GwNetwork *network)
{
    return g_strcmp0(network->forward, "bridge") == 0 && network->virtual_port == NULL;
}

/* A network's bridge that the interface driver does not know; its MTU is the network's, where that
 * says one. @told: the driver knows all that are a bridge of Linux. */
static void add_bridge_of(GHashTable *bridges, const GwNetwork *network, gboolean told)
{
    if (network->bridge == NULL || !network->active || (told && may_be_missing(network)) ||
        g_hash_table_contains(bridges, network->bridge))
        return;
    GwNetwork *bridge = gw_network_new();
    bridge->name = g_strdup(network->bridge);
    bridge->kind = g_strdup("bridge");
    bridge->bridge = g_strdup(network->bridge);
    bridge->active = TRUE;
    bridge->mtu = network->mtu;
    g_hash_table_insert(bridges, bridge->name, bridge);
}

static void read_bridges(virConnectPtr ptr, GwHostFacts *facts)
{
    g_autoptr(GHashTable) bridges =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)gw_network_free);

    gboolean told = read_interfaces(ptr, bridges);
    for (guint i = 0; i < facts->networks->len; i++)
        add_bridge_of(bridges, facts->networks->pdata[i], told);

    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(bridges), (GCompareFunc)strcmp);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    for (GList *item = names; item != NULL; item = item->next) {
        g_ptr_array_add(facts->networks, gw_record_ref(g_hash_table_lookup(bridges, item->data)));
        g_strv_builder_add(builder, item->data);
    }
    facts->bridges = g_strv_builder_end(builder);
    gw_networks_sort(facts->networks);
}

/* The host itself ----------------------------------------------------------------------------- */

/* What virNodeGetMemoryStats calls by these names, added up; 0 where it does not tell. */
static gint64 memory_stats_kib(virConnectPtr ptr, const char *const *names)
{
    virNodeMemoryStats stats[32] = { 0 };
    int count = 0;
    guint64 sum = 0;

    if (virNodeGetMemoryStats(ptr, VIR_NODE_MEMORY_STATS_ALL_CELLS, NULL, &count, 0) < 0 ||
        count <= 0)
        return 0;
    count = MIN(count, (int)G_N_ELEMENTS(stats));
    if (virNodeGetMemoryStats(ptr, VIR_NODE_MEMORY_STATS_ALL_CELLS, stats, &count, 0) < 0)
        return 0;
    for (int i = 0; i < count; i++) {
        if (g_strv_contains(names, stats[i].field))
            sum += MIN(stats[i].value, (guint64)G_MAXINT64 / 4);
    }
    return (gint64)sum;
}

/* Memory that can be had: free, and what the kernel gives back of buffers and page cache. Free
 * memory alone (virNodeGetFreeMemory) is near zero on any host that has run for a while. This is a
 * little too much where "cached" holds shared memory; libvirt does not tell the kernel's own
 * estimate. */
void gw_lv_read_memory(virConnectPtr ptr, gint64 *total_kib, gint64 *available_kib)
{
    static const char *const total[] = { VIR_NODE_MEMORY_STATS_TOTAL, NULL };
    static const char *const available[] = { VIR_NODE_MEMORY_STATS_FREE,
                                             VIR_NODE_MEMORY_STATS_BUFFERS,
                                             VIR_NODE_MEMORY_STATS_CACHED, NULL };

    /* Of one source where there is one: the node's own figure can be that of another moment. */
    *total_kib = memory_stats_kib(ptr, total);
    *available_kib = memory_stats_kib(ptr, available);
}

static void read_memory(virConnectPtr ptr, const virNodeInfo *node, GwHostFacts *facts)
{
    gw_lv_read_memory(ptr, &facts->memory_kib, &facts->free_memory_kib);
    if (facts->memory_kib == 0)
        facts->memory_kib = (gint64)node->memory;
    if (facts->free_memory_kib == 0)
        facts->free_memory_kib = (gint64)(virNodeGetFreeMemory(ptr) / 1024);
}

static gboolean read_node(virConnectPtr ptr, GwHostFacts *facts, GError **error)
{
    virNodeInfo node = { 0 };
    unsigned long version = 0;

    if (virNodeGetInfo(ptr, &node) < 0) {
        gw_lv_error(error);
        return FALSE;
    }
    facts->cpus = node.cpus;
    read_memory(ptr, &node, facts);
    if (virConnectGetLibVersion(ptr, &version) == 0)
        facts->libvirt_version = (gint64)version;
    if (virConnectGetVersion(ptr, &version) == 0)
        facts->qemu_version = (gint64)version;
    char *hostname = virConnectGetHostname(ptr);
    facts->hostname = g_strdup(hostname);
    free(hostname);
    return TRUE;
}

GwHostFacts *gw_lv_facts(GwLvHost *host, virConnectPtr ptr, GError **error)
{
    g_autoptr(GwHostFacts) facts = gw_host_facts_new();
    char *capabilities = virConnectGetCapabilities(ptr);

    if (capabilities == NULL) {
        gw_lv_error(error);
        return NULL;
    }
    gboolean well = gw_libvirt_capabilities_into(facts, capabilities, error);
    free(capabilities);
    if (!well || !read_node(ptr, facts, error))
        return NULL;
    gw_lv_read_cpus(ptr, facts);
    facts->networks = gw_record_array(&gw_network_record);
    read_networks(ptr, facts->networks);
    read_bridges(ptr, facts);
    gw_lv_read_hbas(ptr, facts);
    facts->pools = storage_pools(host);
    g_mutex_lock(&host->driver->lock);
    host->libvirt_version = (guint64)facts->libvirt_version;
    g_mutex_unlock(&host->driver->lock);
    return g_steal_pointer(&facts);
}

gboolean gw_lv_op_facts(GwLvTask *task, GwReply *reply, GError **error)
{
    reply->facts = gw_lv_facts(task->host, task->conn->ptr, error);
    return reply->facts != NULL;
}
