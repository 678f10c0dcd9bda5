/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/moves_internal.h"

/* What a move wants done, as requests to hosts; and their replies as events of the move. What comes
 * before the copy is in move_prepare.c, what after it in move_settle.c, and what is asked of agents
 * alone in move_agents.c. */

void gw_moves_ask(GwEngine *engine, const MoveRun *run, GwRequest *request, ReplyFn done,
                  gint64 number)
{
    gw_engine_ask(engine, request, done, run->move->job->id, number);
}

/* For requests whose answer decides nothing. */
static void noted(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 op)
{
    (void)engine;
    if (reply->error != NULL)
        g_info("job %s: %s: %s", job_id, gw_op_word((GwOp)op), reply->error->message);
}

static void tell(GwEngine *engine, const MoveRun *run, GwOp op, const char *host_id, gint64 number)
{
    GwRequest *request = gw_request_new(op, host_id, run->move->job->vm_uuid);
    request->number = number;
    gw_moves_ask(engine, run, request, noted, op);
}

/* A read-only disk is copied as a file: QEMU mirrors none. */
gboolean gw_moves_copies_disks(const GwJob *job)
{
    for (guint i = 0; job->disks != NULL && i < job->disks->len; i++) {
        int how = ((const GwDiskMove *)job->disks->pdata[i])->how;
        if (how == (int)GW_DISK_MIRROR || how == (int)GW_DISK_NETWORK ||
            how == (int)GW_DISK_FAST_COPY)
            return TRUE;
    }
    return FALSE;
}

/* Copy ------------------------------------------------------------------------------------- */

static void returned(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 unused)
{
    MoveRun *run = gw_moves_find(engine, job_id);

    (void)unused;
    if (run != NULL)
        gw_moves_news(engine, run,
                      (GwMoveEvent){ .kind = GW_MOVE_RETURNED, .error = reply->error });
}

static char *migration_uri(const GwHost *destination)
{
    g_autofree char *address = destination->migration_address != NULL
                                   ? g_strdup(destination->migration_address)
                                   : gw_host_uri_address(destination->uri);
    if (address == NULL)
        return NULL;
    gboolean v6 = strchr(address, ':') != NULL && address[0] != '[';
    return g_strdup_printf(v6 ? "tcp://[%s]" : "tcp://%s", address);
}

/* The driver's own, which nobody changes while it works. NULL: all stay. */
static GPtrArray *disks_of(const GwJob *job)
{
    if (!gw_moves_copies_disks(job))
        return NULL;
    GPtrArray *disks = gw_record_array(&gw_disk_move_record);
    for (guint i = 0; i < job->disks->len; i++)
        g_ptr_array_add(disks, gw_disk_move_copy(job->disks->pdata[i]));
    return disks;
}

static GPtrArray *nics_of(const GwJob *job)
{
    if (!gw_nic_moves_change(job->nics))
        return NULL;
    GPtrArray *nics = gw_record_array(&gw_nic_move_record);
    for (guint i = 0; i < job->nics->len; i++)
        g_ptr_array_add(nics, gw_nic_move_copy(job->nics->pdata[i]));
    return nics;
}

static GwMigrate *how(GwEngine *engine, const MoveRun *run)
{
    const GwJob *job = run->move->job;
    const GwMoveDecision *decision = run->decision;
    const GwHost *destination = gw_fabric_host(gw_engine_now(engine), job->destination_host_id);
    GwMigrate *migrate = g_new0(GwMigrate, 1);

    migrate->destination_host_id = g_strdup(destination->id);
    if (job->through_agents) {
        migrate->peer_uri = g_strdup(run->paths->peer_uri);
        migrate->migration_uri = g_strdup(run->paths->migration_uri);
        migrate->disks_uri = g_strdup(run->paths->disks_uri);
    } else {
        migrate->peer_uri = gw_host_peer_uri(destination);
        migrate->migration_uri = migration_uri(destination);
    }
    migrate->peer_to_peer = job->peer_to_peer;
    migrate->paused = decision->commit_by_resume;
    migrate->persist = job->vm_persistent;
    migrate->unsafe = decision->unsafe;
    migrate->auto_converge = decision->auto_converge;
    migrate->post_copy = decision->post_copy;
    migrate->tls = decision->tls;
    migrate->bandwidth_mibps = decision->bandwidth_mibps;
    migrate->max_downtime_ms = decision->max_downtime_ms;
    migrate->channels = decision->channels;
    migrate->compression = g_strdup(decision->compression);
    migrate->disks = disks_of(job);
    migrate->nics = nics_of(job);
    migrate->nics_xml = g_strdup(gw_jobs_nics_xml(engine, job));
    return migrate;
}

static void do_migrate(GwEngine *engine, MoveRun *run)
{
    GwRequest *request =
        gw_request_new(GW_OP_MIGRATE, run->move->job->source_host_id, run->move->job->vm_uuid);
    request->migrate = how(engine, run);
    gw_moves_ask(engine, run, request, returned, 0);
}

static void progress_came(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 unused)
{
    MoveRun *run = gw_moves_find(engine, job_id);

    (void)unused;
    if (run == NULL)
        return;
    run->progress_busy = FALSE;
    if (reply->error != NULL)
        return; /* the next one may come through; time-outs watch over it */
    if (reply->progress == NULL)
        gw_moves_news(engine, run, (GwMoveEvent){ .kind = GW_MOVE_NO_JOB });
    else
        gw_moves_news(engine, run,
                      (GwMoveEvent){ .kind = GW_MOVE_PROGRESS, .progress = reply->progress });
}

static void do_progress(GwEngine *engine, MoveRun *run)
{
    const GwJob *job = run->move->job;

    if (run->progress_busy)
        return;
    run->progress_busy = TRUE;
    gw_moves_ask(engine, run, gw_request_new(GW_OP_PROGRESS, job->source_host_id, job->vm_uuid),
                 progress_came, 0);
}

static void do_apply_change(GwEngine *engine, MoveRun *run)
{
    const GwJob *job = run->move->job;

    tell(engine, run, GW_OP_SET_BANDWIDTH, job->source_host_id, job->options->bandwidth_mibps);
    if (job->options->max_downtime_ms > 0)
        tell(engine, run, GW_OP_SET_DOWNTIME, job->source_host_id, job->options->max_downtime_ms);
}

static void alarm_double(const GwJob *job)
{
    g_critical("VM %s (%s) was seen RUNNING ON BOTH HOSTS of job %s; its source is being paused. "
               "Check its disks before going on.",
               job->vm_name, job->vm_uuid, job->id);
}

void gw_moves_carry_out(GwEngine *engine, MoveRun *run, GwMoveDo effect)
{
    const GwJob *job = run->move->job;

    switch (effect) {
    case GW_DO_CHECK:
        gw_moves_check(engine, run);
        break;
    case GW_DO_PREPARE:
        gw_moves_prepare(engine, run);
        break;
    case GW_DO_MIGRATE:
        do_migrate(engine, run);
        break;
    case GW_DO_PROGRESS:
        do_progress(engine, run);
        break;
    case GW_DO_ABORT:
        tell(engine, run, GW_OP_ABORT, job->source_host_id, 0);
        break;
    case GW_DO_APPLY_CHANGE:
        do_apply_change(engine, run);
        break;
    case GW_DO_POST_COPY:
        tell(engine, run, GW_OP_POST_COPY, job->source_host_id, 0);
        break;
    case GW_DO_LOOK:
        gw_moves_look(engine, run);
        break;
    case GW_DO_SETTLE:
        gw_moves_settle(engine, run);
        break;
    case GW_DO_STATS:
        gw_moves_stats(engine, run);
        break;
    case GW_DO_ALARM:
        alarm_double(job);
        break;
    case GW_DO_CLOSE:
        gw_moves_close_leave(engine, job);
        break;
    case GW_DO_STOP:
        gw_tasks_stop(engine, job->id);
        break;
    case GW_DO_COUNT:
        break;
    }
}
