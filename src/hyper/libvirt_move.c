/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/libvirt_internal.h"

/* Migration. The call blocks for as long as the move takes, so it has a thread and connections of
 * its own: on the control connection it would hold up everything else of the host, its pings
 * included. */

/* What libvirt takes for "no limit": QEMU counts bytes in 63 bits. */
#define BANDWIDTH_NONE_MIBPS (G_MAXINT64 / (1024 * 1024))
#define DOWNTIME_DEFAULT_MS 300
#define ABORT_PATIENCE_US (5 * G_TIME_SPAN_SECOND)

void gw_lv_close_connection(virConnectPtr ptr)
{
    virConnectClose(ptr);
}

/* What to ask for ----------------------------------------------------------------------------- */

/* Never VIR_MIGRATE_UNDEFINE_SOURCE: the source's definition goes only after the destination was
 * seen to run, and that is the engine's to see.
 *
 * Never VIR_MIGRATE_ABORT_ON_ERROR: it gives the move up when a guest's disk fails during it. Often
 * the source's path to its storage is what fails, and leaving that host is the cure: QEMU takes the
 * failed requests along and repeats them at the destination. */
static guint flags_of(const GwMigrate *move)
{
    gboolean multifd_compression =
        g_strcmp0(move->compression, "zstd") == 0 || g_strcmp0(move->compression, "zlib") == 0;
    guint flags = VIR_MIGRATE_LIVE;

    flags |= move->peer_to_peer ? VIR_MIGRATE_PEER2PEER : 0;
    flags |= move->paused ? VIR_MIGRATE_PAUSED : 0;
    flags |= move->persist ? VIR_MIGRATE_PERSIST_DEST : 0;
    flags |= move->unsafe ? VIR_MIGRATE_UNSAFE : 0;
    flags |= move->auto_converge ? VIR_MIGRATE_AUTO_CONVERGE : 0;
    flags |= move->post_copy ? VIR_MIGRATE_POSTCOPY : 0;
    flags |= move->tls ? VIR_MIGRATE_TLS : 0;
    flags |= move->compression != NULL ? VIR_MIGRATE_COMPRESSED : 0;
    /* These methods work on multifd's channels only. */
    flags |= move->channels > 0 || multifd_compression ? VIR_MIGRATE_PARALLEL : 0;
    return flags;
}

/* libvirt limits each mirror by it, and then the memory: several that run at once share it. */
static guint64 bandwidth_of(const GwMigrate *move)
{
    guint64 disks = MAX(gw_lv_copied_disks(move), 1);

    return MAX((guint64)move->bandwidth_mibps / disks, 1);
}

static gboolean add_params(const GwMigrate *move, GwLvParams *params)
{
    int size = params->count;
    gboolean well = TRUE;

    if (move->migration_uri != NULL)
        well = virTypedParamsAddString(&params->list, &params->count, &size, VIR_MIGRATE_PARAM_URI,
                                       move->migration_uri) == 0;
    if (well && move->disks_uri != NULL)
        well = virTypedParamsAddString(&params->list, &params->count, &size,
                                       VIR_MIGRATE_PARAM_DISKS_URI, move->disks_uri) == 0;
    if (well && move->bandwidth_mibps > 0)
        well = virTypedParamsAddULLong(&params->list, &params->count, &size,
                                       VIR_MIGRATE_PARAM_BANDWIDTH, bandwidth_of(move)) == 0;
    if (well && move->channels > 0)
        well = virTypedParamsAddInt(&params->list, &params->count, &size,
                                    VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS,
                                    (int)MIN(move->channels, 255)) == 0;
    if (well && move->compression != NULL)
        well = virTypedParamsAddString(&params->list, &params->count, &size,
                                       VIR_MIGRATE_PARAM_COMPRESSION, move->compression) == 0;
    return well;
}

/* libvirt keeps both limits with the VM from move to move, so each move sets its own, and the
 * defaults where it has none. */
static gboolean set_limits(virDomainPtr domain, const GwMigrate *move, GError **error)
{
    guint64 downtime =
        move->max_downtime_ms > 0 ? (guint64)move->max_downtime_ms : DOWNTIME_DEFAULT_MS;
    unsigned long speed = 0;

    if (virDomainMigrateSetMaxDowntime(domain, downtime, 0) < 0 && move->max_downtime_ms > 0) {
        gw_lv_error(error);
        g_prefix_error(error, "the longest downtime cannot be set: ");
        return FALSE;
    }
    if (move->bandwidth_mibps == 0 && virDomainMigrateGetMaxSpeed(domain, &speed, 0) == 0 &&
        speed != BANDWIDTH_NONE_MIBPS && speed != 0)
        virDomainMigrateSetMaxSpeed(domain, BANDWIDTH_NONE_MIBPS, 0);
    return TRUE;
}

/* Asking -------------------------------------------------------------------------------------- */

/* The URI a host was connected by, or NULL. */
static char *uri_of(GwLvDriver *driver, const char *host_id)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&driver->lock);
    GwLvHost *host = host_id != NULL ? gw_lv_host(driver, host_id) : NULL;

    return host != NULL ? g_strdup(host->uri) : NULL;
}

virConnectPtr gw_lv_dial_host(GwLvTask *task, const char *host_id, const char *which,
                              GError **error)
{
    g_autofree char *uri = uri_of(task->driver, host_id);
    virConnectPtr ptr = NULL;

    if (uri == NULL)
        gw_error_set(error, GW_ERR_UNREACHABLE, NULL, "never connected");
    else
        ptr = gw_lv_dial(task, uri, error);
    if (ptr == NULL)
        g_prefix_error(error, "%s: ", which);
    return ptr;
}

/* What went wrong. Where the connection to the driving end broke, nobody knows yet. */
static void migrate_error(virConnectPtr source, virConnectPtr destination, GError **error)
{
    g_autoptr(GError) why = NULL;
    gw_lv_error(&why);
    GwErrorCode code = GW_ERR_OPERATION;

    if (!gw_lv_alive(source) || (destination != NULL && !gw_lv_alive(destination)))
        code = GW_ERR_UNKNOWN_OUTCOME;
    else if (why->code == GW_ERR_CANCELLED || why->code == GW_ERR_UNSUPPORTED)
        code = (GwErrorCode)why->code;
    gw_error_set(error, code, gw_error_remedy(why), "%s", why->message);
}

/* libvirt's version at the destination, or 0. */
static guint64 version_of(GwLvDriver *driver, const char *host_id)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&driver->lock);
    GwLvHost *host = host_id != NULL ? gw_lv_host(driver, host_id) : NULL;

    return host != NULL ? host->libvirt_version : 0;
}

/* All that libvirt is given: before it, nothing was done. */
static gboolean prepare(GwLvTask *task, virDomainPtr domain, GwLvParams *params, guint *flags,
                        GError **error)
{
    const GwMigrate *move = task->request->migrate;
    guint64 there = version_of(task->driver, move->destination_host_id);
    GError *why = NULL;

    if (!gw_lv_disk_flags(move, flags, error))
        return FALSE;
    *flags |= flags_of(move);
    if (add_params(move, params) && gw_lv_add_disks(domain, move, there, params, &why))
        return TRUE;
    if (why != NULL)
        g_propagate_error(error, why);
    else
        gw_lv_error(error);
    return FALSE;
}

static gboolean perform(virDomainPtr domain, virConnectPtr source, virConnectPtr destination,
                        const GwMigrate *move, const GwLvParams *params, guint flags,
                        GError **error)
{
    g_autoptr(virDomain) arrived = NULL;
    gboolean well = FALSE;

    if (move->peer_to_peer) {
        g_autofree char *peer = gw_lv_quiet_uri(move->peer_uri);
        well = virDomainMigrateToURI3(domain, peer, params->list, (guint)params->count, flags) == 0;
    } else {
        arrived = virDomainMigrate3(domain, destination, params->list, (guint)params->count, flags);
        well = arrived != NULL;
    }
    if (!well)
        migrate_error(source, destination, error);
    return well;
}

static gboolean check_move(const GwRequest *request, GError **error)
{
    const GwMigrate *move = request->migrate;

    if (move == NULL || request->vm_uuid == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "no VM, or not said how");
        return FALSE;
    }
    if (!move->peer_to_peer)
        return TRUE;
    if (move->peer_uri == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "no URI by which the source reaches the other");
        return FALSE;
    }
    return gw_host_check_uri(move->peer_uri, error);
}

gboolean gw_lv_op_migrate(GwLvTask *task, GwReply *reply, GError **error)
{
    const GwMigrate *move = task->request->migrate;
    g_autoptr(virConnect) destination = NULL;

    if (!check_move(task->request, error))
        return FALSE;
    g_autoptr(virConnect) source = gw_lv_dial_host(task, task->host->id, "source", error);
    if (source == NULL)
        return FALSE;
    if (!move->peer_to_peer) {
        destination = gw_lv_dial_host(task, move->destination_host_id, "destination", error);
        if (destination == NULL)
            return FALSE;
    }
    g_autoptr(virDomain) domain = virDomainLookupByUUIDString(source, task->request->vm_uuid);
    if (domain == NULL) {
        gw_lv_error(error);
        return FALSE;
    }
    g_auto(GwLvParams) params = { 0 };
    guint flags = 0;
    return prepare(task, domain, &params, &flags, error) && set_limits(domain, move, error) &&
           gw_lv_begin(task, error) &&
           perform(domain, source, destination, move, &params, flags, error);
}

/* While it runs ------------------------------------------------------------------------------- */

typedef enum { MOVE_NONE, MOVE_CANCELLED, MOVE_BEGUN } MoveHere;

/* The migration of the task's VM that this driver runs; needs the lock. */
static GwLvTask *find_move(GwLvTask *task)
{
    for (guint i = 0; i < task->host->running->len; i++) {
        GwLvTask *other = task->host->running->pdata[i];
        if (other->request->op == GW_OP_MIGRATE && other->request->migrate != NULL &&
            g_strcmp0(other->request->vm_uuid, task->request->vm_uuid) == 0)
            return other;
    }
    return NULL;
}

/* One that libvirt was not yet asked for is
 * cancelled: libvirt would answer that there is no job, and then start it. */
static MoveHere cancel_move(GwLvTask *task)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&task->driver->lock);
    GwLvTask *move = find_move(task);

    if (move == NULL)
        return MOVE_NONE;
    if (move->began)
        return MOVE_BEGUN;
    move->cancelled = TRUE;
    return MOVE_CANCELLED;
}

/* What is to limit the memory of @task's VM and does not yet, in MiB/s, or 0. Asked once. */
static gint64 take_limit(GwLvTask *task)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker G_GNUC_UNUSED =
        g_mutex_locker_new(&task->driver->lock);
    GwLvTask *move = find_move(task);

    if (move == NULL || move->limited || gw_lv_copied_disks(move->request->migrate) < 2)
        return 0;
    move->limited = TRUE;
    return move->request->migrate->bandwidth_mibps;
}

void gw_lv_limit_memory(GwLvTask *task, virDomainPtr domain)
{
    gint64 mibps = take_limit(task);

    if (mibps > 0 && virDomainMigrateSetMaxSpeed(domain, (unsigned long)mibps, 0) < 0)
        g_debug("the limit of disks stays on the memory: %s", virGetLastErrorMessage());
}

/* libvirt was asked to migrate, but its job may take a moment to begin: an abort that comes in that
 * moment is repeated, or it would be lost. */
static gboolean abort_begun(GwLvTask *task, virDomainPtr domain, GError **error)
{
    gint64 until = g_get_monotonic_time() + ABORT_PATIENCE_US;

    while (virDomainAbortJob(domain) < 0) {
        gboolean early = gw_lv_last_code() == VIR_ERR_OPERATION_INVALID &&
                         g_get_monotonic_time() < until && cancel_move(task) == MOVE_BEGUN;
        if (!early) {
            gw_lv_error(error);
            return FALSE;
        }
        g_usleep(100 * 1000);
    }
    return TRUE;
}

gboolean gw_lv_op_abort(GwLvTask *task, GwReply *reply, GError **error)
{
    if (cancel_move(task) == MOVE_CANCELLED)
        return TRUE;
    g_autoptr(virDomain) domain = gw_lv_need(task, error);

    return domain != NULL && abort_begun(task, domain, error);
}

static gboolean checked(int result, GError **error)
{
    if (result < 0)
        gw_lv_error(error);
    return result >= 0;
}

gboolean gw_lv_op_set_bandwidth(GwLvTask *task, GwReply *reply, GError **error)
{
    g_autoptr(virDomain) domain = gw_lv_need(task, error);
    gint64 mibps = task->request->number;

    if (mibps <= 0 || mibps > BANDWIDTH_NONE_MIBPS)
        mibps = BANDWIDTH_NONE_MIBPS;
    take_limit(task); /* this one holds from now on */
    return domain != NULL &&
           checked(virDomainMigrateSetMaxSpeed(domain, (unsigned long)mibps, 0), error);
}

gboolean gw_lv_op_set_downtime(GwLvTask *task, GwReply *reply, GError **error)
{
    g_autoptr(virDomain) domain = gw_lv_need(task, error);
    gint64 ms = task->request->number > 0 ? task->request->number : DOWNTIME_DEFAULT_MS;

    return domain != NULL && checked(virDomainMigrateSetMaxDowntime(domain, (guint64)ms, 0), error);
}

gboolean gw_lv_op_post_copy(GwLvTask *task, GwReply *reply, GError **error)
{
    g_autoptr(virDomain) domain = gw_lv_need(task, error);

    return domain != NULL && checked(virDomainMigrateStartPostCopy(domain, 0), error);
}
