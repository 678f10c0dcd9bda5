/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/sim_storage.h"
#include "job/reconcile.h"

/* The hosts' agents: leave for moves, and the commit that they make by themselves, whether or not
 * a controller lives (docs/agent-protocol.md). Leave and epochs outlive an agent's death, as what
 * is on disk does. */

#define POLL_US G_USEC_PER_SEC
#define FOLDER "/run/libvirt/godwit/"

struct SimLeave {
    GwPermit *permit;
    SimHost *host; /* whose leave this is */
    SimHost *source, *destination;
    gint64 expires_us;
    gboolean closed;
    gboolean moved;    /* at the source: its process ended because it moved */
    gboolean replaced; /* a later epoch has taken its place, or the host is gone */
    gboolean asking;   /* the other agent is being asked */
    /* What the other agent said, on its way. */
    GwSeen seen;
    gboolean seen_moved, seen_closed;
};

void gw_sim_leave_free(gpointer data)
{
    SimLeave *leave = data;
    gw_permit_free(leave->permit);
    g_free(leave);
}

static SimLeave *leave_of(const SimHost *host, const char *vm_uuid)
{
    return g_hash_table_lookup(host->leaves, vm_uuid);
}

/* What an agent can see and do ------------------------------------------------------------- */

gboolean gw_sim_has_agent(const SimHost *host)
{
    return host->leaves != NULL;
}

static SimHost *other_end(const SimLeave *leave)
{
    return leave->host == leave->source ? leave->destination : leave->source;
}

static GwSeen own_look(const GwSim *sim, const SimHost *host, const char *uuid)
{
    if (gw_clock_now_us(sim->clock) < host->libvirtd_down_until_us)
        return (GwSeen){ .side = GW_SIDE_UNKNOWN };
    g_autoptr(GwLook) look = gw_sim_look_of(sim, host, uuid);
    GwSeen seen = {
        .side = gw_side_of(look->present, look->state, look->reason),
        .job_active = look->job_active,
        .persistent = look->persistent,
    };
    return gw_seen_attested(seen, look->processes);
}

static gboolean has_nothing(GwSeen seen)
{
    return seen.side == GW_SIDE_ABSENT || seen.side == GW_SIDE_OFF || seen.side == GW_SIDE_MIGRATED;
}

/* A slow host does late what it is asked. */
static gint64 delay_of(const GwSim *sim, const SimHost *host)
{
    return MAX(GW_SIM_LINK_US, host->stalled_until_us - gw_clock_now_us(sim->clock));
}

static gboolean commits(const GwSim *sim, const SimLeave *leave)
{
    return !leave->replaced && !leave->closed && leave->permit->commit_by_resume &&
           gw_clock_now_us(sim->clock) < leave->expires_us && gw_sim_agent_is_up(sim, leave->host);
}

/* Commit ----------------------------------------------------------------------------------- */

static void resume(GwSim *sim, gpointer data)
{
    SimLeave *leave = data;
    SimVm *vm = gw_sim_find(leave->host, leave->permit->vm_uuid);

    if (commits(sim, leave) && vm != NULL && vm->vm->state == GW_VM_PAUSED && !vm->job &&
        gw_clock_now_us(sim->clock) >= leave->host->libvirtd_down_until_us) {
        sim->agent_resumes++;
        gw_sim_set_state(sim, leave->host, vm, GW_VM_RUNNING, "unpaused");
    }
}

/* What the other agent attested, with this host's own fresh look. */
static void decide(GwSim *sim, SimLeave *leave, GwSeen other, gboolean moved, gboolean closed)
{
    gboolean at_source = leave->host == leave->source;
    GwSeen own = own_look(sim, leave->host, leave->permit->vm_uuid);
    GwIntent intent = { .vm_persistent = own.persistent || other.persistent };
    const char *why = NULL;

    if (!commits(sim, leave))
        return;
    GwSettle settle = gw_reconcile(at_source ? own : other, at_source ? other : own, intent, &why);
    if ((at_source && settle == GW_SETTLE_RESUME_SOURCE && closed) ||
        (!at_source && settle == GW_SETTLE_RESUME_DESTINATION && moved))
        gw_sim_later(sim, delay_of(sim, leave->host), resume, leave);
}

static void attested(GwSim *sim, gpointer data)
{
    SimLeave *leave = data;

    leave->asking = FALSE;
    if (gw_sim_is_linked(sim, leave->source, leave->destination))
        decide(sim, leave, leave->seen, leave->seen_moved, leave->seen_closed);
}

/* At the other host. With nothing there its epoch is closed before it says so. */
static void attest(GwSim *sim, gpointer data)
{
    SimLeave *asks = data;
    SimHost *host = other_end(asks);
    SimLeave *leave = leave_of(host, asks->permit->vm_uuid);

    asks->seen = (GwSeen){ .side = GW_SIDE_UNKNOWN };
    asks->seen_moved = asks->seen_closed = FALSE;
    if (gw_sim_is_linked(sim, host, asks->host) && leave != NULL &&
        leave->permit->epoch == asks->permit->epoch) {
        asks->seen = own_look(sim, host, leave->permit->vm_uuid);
        leave->moved = leave->moved || asks->seen.side == GW_SIDE_MIGRATED;
        leave->closed = leave->closed || (host == leave->destination && has_nothing(asks->seen));
        asks->seen_moved = leave->moved;
        asks->seen_closed = leave->closed;
    }
    gw_sim_later(sim, GW_SIM_LINK_US, attested, asks);
}

/* Whether this host's VM waits for what the other agent has to say. */
static gboolean wonders(const GwSim *sim, const SimLeave *leave)
{
    GwSeen own = own_look(sim, leave->host, leave->permit->vm_uuid);
    GwSide waiting = leave->host == leave->source ? GW_SIDE_MIGRATING : GW_SIDE_PAUSED;

    return commits(sim, leave) && !leave->asking && own.side == waiting && !own.job_active;
}

static void poll(GwSim *sim, gpointer data)
{
    SimLeave *leave = data;

    if (wonders(sim, leave) && gw_sim_is_linked(sim, leave->source, leave->destination)) {
        leave->asking = TRUE;
        gw_sim_later(sim, delay_of(sim, other_end(leave)), attest, leave);
    }
    if (!leave->replaced && !leave->closed && gw_clock_now_us(sim->clock) < leave->expires_us)
        gw_sim_later(sim, POLL_US, poll, leave);
}

static void source_gone(GwSim *sim, gpointer data)
{
    SimLeave *leave = data; /* the destination's */

    if (gw_sim_is_linked(sim, leave->source, leave->destination))
        decide(sim, leave, (GwSeen){ .side = GW_SIDE_MIGRATED, .persistent = TRUE }, TRUE, FALSE);
}

void gw_sim_agent_ended(GwSim *sim, SimHost *host, const char *vm_uuid, const char *reason)
{
    SimLeave *leave = gw_sim_has_agent(host) ? leave_of(host, vm_uuid) : NULL;

    if (leave == NULL || leave->host != leave->source || !commits(sim, leave) ||
        strcmp(reason, "migrated") != 0)
        return;
    leave->moved = TRUE;
    SimLeave *theirs = leave_of(leave->destination, vm_uuid);
    if (sim->lost_notices > 0)
        sim->lost_notices--;
    else if (theirs != NULL && theirs->permit->epoch == leave->permit->epoch)
        gw_sim_later(sim, delay_of(sim, leave->destination), source_gone, theirs);
}

/* Streams ---------------------------------------------------------------------------------- */

/* The source's leave for the move whose libvirt is told @peer_uri; NULL: it goes another way. */
SimLeave *gw_sim_agent_way(const SimHost *source, const GwMigrate *how, const char *vm_uuid)
{
    gboolean through = how->peer_uri != NULL && strstr(how->peer_uri, FOLDER) != NULL;
    return through && gw_sim_has_agent(source) ? leave_of(source, vm_uuid) : NULL;
}

const char *gw_sim_agent_refuses(const GwSim *sim, const SimHost *source, const SimHost *to,
                                 const GwMigrate *how, const char *vm_uuid)
{
    const SimLeave *ours = gw_sim_agent_way(source, how, vm_uuid);
    const SimLeave *theirs = to != NULL && gw_sim_has_agent(to) ? leave_of(to, vm_uuid) : NULL;
    gint64 now = gw_clock_now_us(sim->clock);

    if (how->peer_uri == NULL || strstr(how->peer_uri, FOLDER) == NULL)
        return NULL;
    if (ours == NULL || theirs == NULL || ours->destination != to || theirs->source != source ||
        strstr(how->peer_uri, ours->permit->job_id) == NULL ||
        ours->permit->epoch != theirs->permit->epoch)
        return "there is no socket of that name";
    if (gw_sim_copies_disks(how) && (!ours->permit->disks || !theirs->permit->disks))
        return "the leave for this move is not for disks";
    if (ours->closed || theirs->closed || now >= ours->expires_us || now >= theirs->expires_us)
        return "the leave for this move has ended";
    return gw_sim_is_linked(sim, source, to) ? NULL : "the agents do not reach each other";
}

/* Requests --------------------------------------------------------------------------------- */

static gboolean may_begin(const SimLeave *old, const GwPermit *permit, GError **error)
{
    gboolean again = old != NULL && old->permit->epoch == permit->epoch && !old->closed &&
                     g_strcmp0(old->permit->job_id, permit->job_id) == 0;

    if (old == NULL || old->permit->epoch < permit->epoch || again)
        return TRUE;
    gw_error_set(error, GW_ERR_CONFLICT,
                 "Another controller, or a later state of this one, has moved this VM since. See "
                 "which controller manages the host.",
                 "epoch %" G_GINT64_FORMAT " of the VM is not above %" G_GINT64_FORMAT
                 ", which this host has seen%s",
                 permit->epoch, old->permit->epoch, old->closed ? " and closed" : "");
    return FALSE;
}

gboolean gw_sim_agents_may_copy(GwSim *sim, const SimHost *from, const SimHost *to,
                                const GwPermit *permit, GError **error)
{
    if (!gw_sim_has_agent(from) || !gw_sim_has_agent(to)) {
        gw_error_set(error, GW_ERR_UNSUPPORTED, NULL, "a host of the two has no agent");
        return FALSE;
    }
    if (!gw_sim_is_linked(sim, from, to)) {
        gw_error_set(error, GW_ERR_UNREACHABLE, NULL, "the agents do not reach each other");
        return FALSE;
    }
    if (!permit->files) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "this leave is not for files");
        return FALSE;
    }
    return permit->vm_uuid == NULL || (may_begin(leave_of(from, permit->vm_uuid), permit, error) &&
                                       may_begin(leave_of(to, permit->vm_uuid), permit, error));
}

static GwPaths *paths_of(const GwPermit *permit)
{
    GwPaths *paths = g_new0(GwPaths, 1);

    paths->peer_uri =
        g_strdup_printf("qemu+unix:///system?socket=" FOLDER "%s.rpc", permit->job_id);
    paths->migration_uri = g_strdup_printf("unix://" FOLDER "%s.tunnelmigrate.dest.%s",
                                           permit->job_id, permit->vm_name);
    paths->disks_uri = g_strdup_printf("unix://" FOLDER "%s.disk.tunnelmigrate.dest.%s",
                                       permit->job_id, permit->vm_name);
    return paths;
}

/* All there ever were are kept, as moves are: what is due may name one that was replaced. */
static SimLeave *new_leave(GwSim *sim, SimHost *host, const char *vm_uuid)
{
    SimLeave *leave = g_new0(SimLeave, 1);
    SimLeave *old = leave_of(host, vm_uuid);

    if (old != NULL)
        old->replaced = TRUE;
    leave->host = host;
    g_ptr_array_add(sim->leaves, leave);
    g_hash_table_replace(host->leaves, g_strdup(vm_uuid), leave);
    return leave;
}

static void take_leave(GwSim *sim, SimHost *host, const GwPermit *permit)
{
    SimLeave *leave = leave_of(host, permit->vm_uuid);
    gint64 expires = gw_clock_now_us(sim->clock) + permit->lifetime_s * G_USEC_PER_SEC;

    if (leave != NULL && leave->permit->epoch == permit->epoch) {
        gw_permit_free(leave->permit);
        leave->permit = gw_permit_copy(permit);
        leave->expires_us = expires;
        return;
    }
    leave = new_leave(sim, host, permit->vm_uuid);
    leave->permit = gw_permit_copy(permit);
    leave->source = gw_sim_host_by_name(sim, permit->source_host_id);
    leave->destination = gw_sim_host_by_name(sim, permit->destination_host_id);
    leave->expires_us = expires;
    gw_sim_later(sim, POLL_US, poll, leave);
}

static void do_permit(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply)
{
    const GwPermit *permit = request->permit;
    const SimHost *source =
        permit != NULL ? gw_sim_host_by_name(sim, permit->source_host_id) : NULL;
    const SimHost *to =
        permit != NULL ? gw_sim_host_by_name(sim, permit->destination_host_id) : NULL;

    if (source == NULL || to == NULL || source == to || (host != source && host != to) ||
        permit->job_id == NULL || permit->vm_uuid == NULL || permit->vm_name == NULL) {
        gw_error_set(&reply->error, GW_ERR_INVALID, NULL, "leave for no move of this host");
        return;
    }
    if (!may_begin(leave_of(host, permit->vm_uuid), permit, &reply->error))
        return;
    if (host == source && !gw_sim_is_linked(sim, source, to)) {
        gw_error_set(&reply->error, GW_ERR_UNREACHABLE,
                     "See that the port of the destination's agent is open to the source: godwit "
                     "host check.",
                     "the agent of the destination does not answer");
        return;
    }
    /* Leave for copies is in the ticket that each of them brings: nothing listens for them, and a
     * move's leave beside it stays as it is. */
    if (permit->files)
        return;
    take_leave(sim, host, permit);
    if (host == source)
        reply->paths = paths_of(permit);
}

/* Also of what was never begun: leave that is still on its way then comes too late. TRUE: there was
 * leave, and it has ended now. */
static gboolean close_epoch(GwSim *sim, SimHost *host, const char *vm_uuid, gint64 epoch)
{
    SimLeave *leave = leave_of(host, vm_uuid);

    if (leave != NULL && leave->permit->epoch > epoch)
        return FALSE;
    gboolean ended = leave != NULL && leave->permit->epoch == epoch && !leave->closed;
    if (leave == NULL || leave->permit->epoch < epoch) {
        leave = new_leave(sim, host, vm_uuid);
        leave->permit = g_new0(GwPermit, 1);
        leave->permit->vm_uuid = g_strdup(vm_uuid);
        leave->permit->epoch = epoch;
        leave->source = leave->destination = host;
    }
    leave->closed = TRUE;
    return ended;
}

static void do_close(GwSim *sim, SimHost *host, const GwRequest *request)
{
    if (close_epoch(sim, host, request->vm_uuid, request->number))
        gw_sim_break_moves(sim, host, NULL, request->vm_uuid);
    if (leave_of(host, request->vm_uuid)->permit->epoch == request->number)
        gw_sim_break_copies(sim, host, NULL, request->vm_uuid);
}

void gw_sim_agent_serve(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply)
{
    if (!gw_sim_has_agent(host)) {
        gw_error_set(&reply->error, GW_ERR_UNSUPPORTED, "Install one: godwit host add --install.",
                     "this host has no agent");
        return;
    }
    switch (request->op) {
    case GW_OP_PERMIT:
        do_permit(sim, host, request, reply);
        break;
    case GW_OP_CLOSE:
        do_close(sim, host, request);
        break;
    case GW_OP_MEASURE:
        gw_sim_measure_link(sim, host, request, reply);
        break;
    case GW_OP_CHECK:
        gw_sim_check_agent(sim, host, request, reply);
        break;
    case GW_OP_RENEW:
        if (request->text == NULL)
            reply->text = g_strdup("-----BEGIN CERTIFICATE REQUEST-----\nc2ltdWxhdGVk\n"
                                   "-----END CERTIFICATE REQUEST-----\n");
        break;
    default: /* REVOKED: there are no certificates here */
        break;
    }
}

/* From outside ----------------------------------------------------------------------------- */

void gw_sim_agent_dies(GwSim *sim, SimHost *host, gint64 ms)
{
    gint64 until = gw_clock_now_us(sim->clock) + ms * 1000;

    if (!gw_sim_has_agent(host))
        return;
    gw_sim_tell_lost(sim, host);
    host->agent_down_until_us = MAX(host->agent_down_until_us, until);
    gw_sim_break_moves(sim, host, NULL, NULL);
    gw_sim_break_copies(sim, host, NULL, NULL);
}

void gw_sim_kill_agent(GwSim *sim, const char *uri, gint64 ms)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    SimHost *host = gw_sim_host_by_uri(sim, uri);
    if (host != NULL)
        gw_sim_agent_dies(sim, host, ms);
}

void gw_sim_lose_notice(GwSim *sim)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    sim->lost_notices++;
}

void gw_sim_alarm(GwSim *sim, const char *uri, const char *vm_uuid, const char *text)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    const SimHost *host = gw_sim_host_by_uri(sim, uri);

    if (host == NULL || !gw_sim_agent_is_up(sim, host))
        return;
    GwHyperEvent *event = gw_hyper_event_new(GW_EVENT_ALARM, host->id, vm_uuid);
    event->text = g_strdup(text);
    gw_sim_event(sim, event);
}

void gw_sim_raise_epoch(GwSim *sim, const char *uri, const char *vm_uuid, gint64 epoch)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    SimHost *host = gw_sim_host_by_uri(sim, uri);

    if (host != NULL && gw_sim_has_agent(host))
        close_epoch(sim, host, vm_uuid, epoch);
}

guint gw_sim_agent_resumes(GwSim *sim)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    return sim->agent_resumes;
}

gboolean gw_sim_has_leave(GwSim *sim, const char *uri, const char *vm_uuid)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    const SimHost *host = gw_sim_host_by_uri(sim, uri);
    const SimLeave *leave = host != NULL && gw_sim_has_agent(host) ? leave_of(host, vm_uuid) : NULL;
    return leave != NULL && !leave->closed;
}
