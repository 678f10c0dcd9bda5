/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/moves_internal.h"

/* Moves between two hosts with agents need both agents' leave, which names job, VM, epoch and both
 * hosts. With it the agents carry every stream, and commit by themselves, whether or not a
 * controller lives (docs/agent-protocol.md). When the move is over it is taken back. */

#define LIFETIME_MARGIN_S 3600          /* for preparing, and for settling after the copy */
#define LIFETIME_MAX_S (30 * 24 * 3600) /* also of a move that has no time-out */
#define LEAVE_TIMEOUT_US (15 * G_USEC_PER_SEC)

enum { AT_DESTINATION, AT_SOURCE };

/* Leave ------------------------------------------------------------------------------------ */

static gboolean is_mirrored(const GwJob *job)
{
    for (guint i = 0; job->disks != NULL && i < job->disks->len; i++) {
        if (((const GwDiskMove *)job->disks->pdata[i])->how == (int)GW_DISK_MIRROR)
            return TRUE;
    }
    return FALSE;
}

static GwPermit *permit_of(const MoveRun *run)
{
    const GwJob *job = run->move->job;
    GwPermit *permit = g_new0(GwPermit, 1);

    permit->job_id = g_strdup(job->id);
    permit->vm_uuid = g_strdup(job->vm_uuid);
    permit->vm_name = g_strdup(job->vm_name);
    permit->epoch = job->epoch;
    permit->source_host_id = g_strdup(job->source_host_id);
    permit->destination_host_id = g_strdup(job->destination_host_id);
    permit->lifetime_s = job->completion_timeout_s > 0
                             ? MIN(job->completion_timeout_s + LIFETIME_MARGIN_S, LIFETIME_MAX_S)
                             : LIFETIME_MAX_S;
    permit->channels = run->decision->channels;
    permit->commit_by_resume = run->decision->commit_by_resume;
    permit->post_copy = run->decision->post_copy;
    permit->disks = is_mirrored(job);
    return permit;
}

/* Where the source is told to reach the destination's agent: at its own address for migration data,
 * where that is an address. Else (NULL) as the controller does. */
char *gw_agent_address(GwEngine *engine, const char *host_id)
{
    const GwHost *host = gw_fabric_host(gw_engine_now(engine), host_id);
    const char *address = host != NULL ? host->migration_address : NULL;
    guint16 port = GW_AGENT_PORT;

    if (address == NULL || !g_hostname_is_ip_address(address))
        return NULL;
    gw_host_agent_uri(host->uri, NULL, &port, NULL);
    return g_strdup_printf(strchr(address, ':') != NULL ? "[%s]:%u" : "%s:%u", address, port);
}

static void ask_one(GwEngine *engine, MoveRun *run, gint64 end, ReplyFn then)
{
    const GwJob *job = run->move->job;
    const char *host = end == AT_SOURCE ? job->source_host_id : job->destination_host_id;
    GwRequest *request = gw_request_new(GW_OP_PERMIT, host, job->vm_uuid);

    request->permit = permit_of(run);
    request->permit->destination_address = gw_agent_address(engine, job->destination_host_id);
    request->timeout_us = LEAVE_TIMEOUT_US;
    gw_engine_ask(engine, request, then, job->id, end);
}

/* A refusal keeps the agent's reason and remedy, and names the host that it comes from. */
static void refused(GwEngine *engine, const MoveRun *run, gint64 end, const GwReply *reply)
{
    const GwJob *job = run->move->job;
    const GwHost *host = gw_fabric_host(
        gw_engine_now(engine), end == AT_SOURCE ? job->source_host_id : job->destination_host_id);
    g_autoptr(GwReply) named = gw_reply_new(reply->id);
    GwErrorCode code =
        reply->error->domain == GW_ERROR ? (GwErrorCode)reply->error->code : GW_ERR_INTERNAL;

    gw_error_set(&named->error, code, gw_error_remedy(reply->error),
                 "the agent of '%s' gives no leave for this move: %s",
                 host != NULL ? host->name : "a host that was removed", reply->error->message);
    run->leave_done(engine, named, job->id, 0);
}

static void leave_came(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 end)
{
    MoveRun *run = gw_moves_find(engine, job_id);

    if (run == NULL)
        return;
    if (reply->error != NULL) {
        refused(engine, run, end, reply);
        return;
    }
    if (end == AT_DESTINATION) {
        ask_one(engine, run, AT_SOURCE, leave_came);
        return;
    }
    const GwPaths *paths = reply->paths;
    if (paths == NULL || paths->peer_uri == NULL || paths->migration_uri == NULL) {
        g_autoptr(GwReply) none = gw_reply_new(reply->id);
        gw_error_set(&none->error, GW_ERR_INTERNAL, "Update the agent of the source.",
                     "the source's agent gave leave, but no sockets");
        run->leave_done(engine, none, job_id, 0);
        return;
    }
    gw_paths_free(run->paths);
    run->paths = g_new0(GwPaths, 1);
    run->paths->peer_uri = g_strdup(paths->peer_uri);
    run->paths->migration_uri = g_strdup(paths->migration_uri);
    run->paths->disks_uri = g_strdup(paths->disks_uri);
    run->leave_done(engine, reply, job_id, 0);
}

/* The destination first: from the source's answer on, streams may come. */
void gw_moves_ask_leave(GwEngine *engine, MoveRun *run, ReplyFn done)
{
    run->leave_done = done;
    ask_one(engine, run, AT_DESTINATION, leave_came);
}

/* Its end ---------------------------------------------------------------------------------- */

static GwRequest *close_request(const char *host_id, const char *job_id, const char *vm_uuid,
                                gint64 epoch)
{
    GwRequest *request = gw_request_new(GW_OP_CLOSE, host_id, vm_uuid);

    request->text = g_strdup(job_id);
    request->number = epoch;
    request->timeout_us = LEAVE_TIMEOUT_US;
    return request;
}

void gw_moves_ask_close(GwEngine *engine, const GwJob *job, ReplyFn answered, gint64 round)
{
    const char *const hosts[] = { job->source_host_id, job->destination_host_id };

    for (guint i = 0; i < G_N_ELEMENTS(hosts); i++)
        gw_engine_ask(engine, close_request(hosts[i], job->id, job->vm_uuid, job->epoch), answered,
                      job->id, round);
}

static void closed(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 unused)
{
    (void)engine;
    (void)unused;
    if (reply->error != NULL)
        g_info("job %s: end of leave: %s", job_id, reply->error->message);
}

void gw_moves_close_leave(GwEngine *engine, const GwJob *job)
{
    gw_moves_ask_close(engine, job, closed, 0);
}

static void fence_answered(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 round)
{
    MoveRun *run = gw_moves_find(engine, job_id);

    if (run == NULL || (guint)round != run->fence_round || run->fence_missing == 0)
        return; /* of an earlier try, or after a refusal */
    run->fence_missing = reply->error != NULL ? 0 : run->fence_missing - 1;
    if (run->fence_missing == 0)
        run->leave_done(engine, reply, job_id, GW_SETTLE_FENCE);
}

void gw_moves_fence(GwEngine *engine, MoveRun *run, ReplyFn done)
{
    run->leave_done = done;
    run->fence_missing = 2; /* the source's answer and the destination's */
    run->fence_round++;
    gw_moves_ask_close(engine, run->move->job, fence_answered, run->fence_round);
}
