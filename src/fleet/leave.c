/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "fleet/fleet_internal.h"

/* Tickets, kept by job: source and destination must get the very same bytes, whichever is asked
 * first and however often. A host that asks again in the second half of the ticket's life gets a
 * new one, which the other then gets as well. */

#define BACK_S 60 /* clocks differ */
#define LIFETIME_S 3600
#define LIFETIME_MAX_S (30 * 24 * 3600)
#define RPC_STREAMS 4
#define DISK_STREAMS 64 /* one for each disk that is copied: how many the permit does not say */
#define TRIAL_STREAMS 16
#define TRIAL_MIN_S 60
#define TRIAL_MAX_S 3600
#define CHANNELS_MAX 255

typedef enum { SOURCE = 1, DESTINATION = 2 } Side;

typedef struct {
    GBytes *ticket;
    GwPermit *permit;
    gint64 half_s, expires_s;
    guint given;  /* Side, or-ed: who has this ticket */
    guint closed; /* and who is through with the job */
} Leave;

void gw_fleet_leave_free(gpointer data)
{
    Leave *leave = data;

    g_clear_pointer(&leave->ticket, g_bytes_unref);
    gw_permit_free(leave->permit);
    g_free(leave);
}

static gint64 now_s(void)
{
    return g_get_real_time() / G_USEC_PER_SEC;
}

/* A job's leave for files is beside that for its move: neither replaces the other. */
static char *key_of(const char *job_id, gboolean files)
{
    return g_strconcat(job_id, files ? "/files" : "", NULL);
}

/* What a host is called in certificates and tickets. */
static char *name_of(GwFleet *fleet, const char *host_id)
{
    const GwFleetHost *host = gw_fleet_host(fleet, host_id);
    return g_strdup(host != NULL && host->agent_id != NULL ? host->agent_id : host_id);
}

static guint streams_of(const GwPermit *permit)
{
    gint64 channels = CLAMP(permit->channels, 0, CHANNELS_MAX);
    gint64 disks = permit->disks ? DISK_STREAMS : 0;

    /* Besides multifd's: the main channel and post-copy's. */
    return permit->trial ? TRIAL_STREAMS : (guint)(RPC_STREAMS + 2 + channels + disks);
}

/* No more than the move needs: without a migration's streams the filter lets an RPC prepare
 * nothing, and without those of disks none that copies them. */
static guint kinds_of(const GwPermit *permit)
{
    if (permit->trial)
        return GW_STREAM_ECHO | GW_STREAM_DISCARD | GW_STREAM_RPC;
    if (permit->files)
        return GW_STREAM_FILE;
    return GW_STREAM_RPC | GW_STREAM_MIGRATION | (permit->disks ? (guint)GW_STREAM_DISK : 0);
}

static GBytes *sign(GwFleet *fleet, const GwPermit *permit, gint64 now, gint64 expires,
                    GError **error)
{
    g_autofree char *source = name_of(fleet, permit->source_host_id);
    g_autofree char *destination = name_of(fleet, permit->destination_host_id);
    GwTicket ticket = {
        .fabric_id = (char *)gw_authority_fabric_id(fleet->authority),
        .job_id = permit->job_id,
        .vm_uuid = permit->vm_uuid,
        .vm_name = permit->vm_name,
        .epoch = permit->epoch,
        .source_id = source,
        .destination_id = destination,
        .not_before_s = now - BACK_S,
        .expires_s = expires,
        .kinds = kinds_of(permit),
        .streams_max = streams_of(permit),
        .commit_by_resume = permit->commit_by_resume && !permit->trial && !permit->files,
        .post_copy = permit->post_copy && !permit->trial && !permit->files,
    };

    if (ticket.post_copy && permit->disks) {
        gw_error_set(error, GW_ERR_INVALID, "Move it without post-copy.",
                     "post-copy and a copy of disks exclude each other");
        return NULL;
    }
    if (ticket.commit_by_resume && ticket.post_copy) {
        gw_error_set(error, GW_ERR_INVALID, NULL,
                     "post-copy and commit by resume exclude each other");
        return NULL;
    }
    return gw_ticket_sign(&ticket, gw_authority_ticket_secret(fleet->authority), error);
}

static gboolean is_same(const GwPermit *a, const GwPermit *b)
{
    return g_strcmp0(a->vm_uuid, b->vm_uuid) == 0 && g_strcmp0(a->vm_name, b->vm_name) == 0 &&
           g_strcmp0(a->source_host_id, b->source_host_id) == 0 &&
           g_strcmp0(a->destination_host_id, b->destination_host_id) == 0 && a->epoch == b->epoch &&
           a->channels == b->channels && !a->commit_by_resume == !b->commit_by_resume &&
           !a->post_copy == !b->post_copy && !a->trial == !b->trial && !a->disks == !b->disks;
}

static void forget_expired(GwFleet *fleet, gint64 now)
{
    GHashTableIter iter;
    gpointer value = NULL;

    g_hash_table_iter_init(&iter, fleet->leaves);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (((Leave *)value)->expires_s <= now)
            g_hash_table_iter_remove(&iter);
    }
}

static Leave *make_leave(GwFleet *fleet, const GwPermit *permit, gint64 now, GError **error)
{
    gint64 lifetime = permit->lifetime_s > 0 ? MIN(permit->lifetime_s, LIFETIME_MAX_S) : LIFETIME_S;
    GBytes *ticket = sign(fleet, permit, now, now + lifetime, error);

    if (ticket == NULL)
        return NULL;
    Leave *leave = g_new0(Leave, 1);
    leave->ticket = ticket;
    leave->permit = gw_permit_copy(permit);
    leave->half_s = now + lifetime / 2;
    leave->expires_s = now + lifetime;
    g_hash_table_replace(fleet->leaves, key_of(permit->job_id, permit->files), leave);
    return leave;
}

static Side side_of(const GwPermit *permit, const char *host_id)
{
    return g_strcmp0(permit->source_host_id, host_id) == 0 ? SOURCE : DESTINATION;
}

static char *encode(GBytes *ticket)
{
    gsize length = 0;
    const guint8 *bytes = g_bytes_get_data(ticket, &length);

    return g_base64_encode(bytes, length);
}

char *gw_fleet_trial(GwFleet *fleet, const GwPermit *permit, const char *from, const char *to,
                     GError **error)
{
    g_autoptr(GwPermit) trial = gw_permit_copy(permit);
    gint64 now = now_s();

    g_free(trial->source_host_id);
    g_free(trial->destination_host_id);
    trial->source_host_id = g_strdup(from);
    trial->destination_host_id = g_strdup(to);
    trial->trial = TRUE;
    g_autoptr(GBytes) ticket =
        sign(fleet, trial, now, now + CLAMP(trial->lifetime_s, TRIAL_MIN_S, TRIAL_MAX_S), error);
    return ticket != NULL ? encode(ticket) : NULL;
}

char *gw_fleet_leave(GwFleet *fleet, const GwPermit *permit, const char *host_id, GError **error)
{
    gint64 now = now_s();

    if (permit->job_id == NULL || permit->source_host_id == NULL ||
        permit->destination_host_id == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "leave without a job or its hosts");
        return NULL;
    }
    forget_expired(fleet, now);
    g_autofree char *key = key_of(permit->job_id, permit->files);
    Leave *leave = g_hash_table_lookup(fleet->leaves, key);
    Side side = side_of(permit, host_id);
    if (leave == NULL || !is_same(leave->permit, permit) || (leave->closed & side) != 0 ||
        ((leave->given & side) != 0 && now >= leave->half_s))
        leave = make_leave(fleet, permit, now, error);
    if (leave == NULL)
        return NULL;
    leave->given |= side;
    return encode(leave->ticket);
}

static void close_one(GwFleet *fleet, const char *key, const char *host_id)
{
    Leave *leave = g_hash_table_lookup(fleet->leaves, key);

    if (leave == NULL)
        return;
    leave->closed |= side_of(leave->permit, host_id);
    if (leave->closed == (SOURCE | DESTINATION))
        g_hash_table_remove(fleet->leaves, key);
}

void gw_fleet_leave_closed(GwFleet *fleet, const char *job_id, const char *host_id)
{
    for (gboolean files = FALSE; job_id != NULL && files <= TRUE; files++) {
        g_autofree char *key = key_of(job_id, files);
        close_one(fleet, key, host_id);
    }
}
