/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/inventory.h"
#include "engine/moves_internal.h"
#include "model/definition.h"
#include "model/definition_nics.h"

/* Looks at both hosts, and the steps that a move settles by. */

#define LOOK_TIMEOUT_US (15 * G_USEC_PER_SEC)

/* Look ------------------------------------------------------------------------------------- */

static GwSeen seen_of(const GwReply *reply)
{
    if (reply->error != NULL)
        return (GwSeen){ .side = GW_SIDE_UNKNOWN };
    const GwLook *look = reply->look;
    GwSeen seen = {
        .side = gw_side_of(look->present, look->state, look->reason),
        .job_active = look->job_active,
        .persistent = look->persistent,
        .autostart = look->autostart,
        .by_guest = look->present && look->state == (int)GW_VM_OFF &&
                    g_strcmp0(look->reason, "shutdown") == 0,
    };
    return look->attested ? gw_seen_attested(seen, look->processes) : seen;
}

/* Before a host's list was read since it connected, it may be another machine, or know less than it
 * will: nothing destructive before a full resync. */
static gboolean is_in_sync(GwEngine *engine, const char *host_id)
{
    const HostRun *host = g_hash_table_lookup(engine->hosts, host_id);
    return host != NULL && host->listed;
}

enum { SIDE_SOURCE, SIDE_DESTINATION };

static void looked(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 number)
{
    MoveRun *run = gw_moves_find(engine, job_id);

    if (run == NULL || (guint)(number >> 1) != run->looks)
        return; /* a later look has taken its place */
    if ((number & 1) == SIDE_SOURCE) {
        run->seen_source = seen_of(reply);
        run->have_source = TRUE;
    } else {
        run->seen_destination = seen_of(reply);
        run->have_destination = TRUE;
    }
    if (!run->have_source || !run->have_destination)
        return;
    gw_moves_news(engine, run,
                  (GwMoveEvent){ .kind = GW_MOVE_LOOKED,
                                 .source = run->seen_source,
                                 .destination = run->seen_destination });
}

void gw_moves_look(GwEngine *engine, MoveRun *run)
{
    const GwJob *job = run->move->job;
    const char *const hosts[] = { job->source_host_id, job->destination_host_id };

    run->looks++;
    run->have_source = run->have_destination = FALSE;
    for (gint64 side = SIDE_SOURCE; side <= SIDE_DESTINATION; side++) {
        gint64 number = (gint64)run->looks * 2 + side;
        if (!is_in_sync(engine, hosts[side])) {
            g_autoptr(GwReply) none = gw_reply_new(0);
            gw_error_set(&none->error, GW_ERR_UNREACHABLE, NULL, "the host is not connected");
            looked(engine, none, job->id, number);
            continue;
        }
        GwRequest *request = gw_request_new(GW_OP_LOOK, hosts[side], job->vm_uuid);
        request->timeout_us = LOOK_TIMEOUT_US;
        gw_moves_ask(engine, run, request, looked, number);
    }
}

/* Settle ----------------------------------------------------------------------------------- */

static void acted(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 settle)
{
    MoveRun *run = gw_moves_find(engine, job_id);

    if (run == NULL || run->storing)
        return; /* an earlier step's, which was overtaken */
    /* The event of the resume may come later than its answer. */
    if (settle == GW_SETTLE_RESUME_DESTINATION && reply->error == NULL &&
        run->move->resumed_us < run->move->paused_us)
        run->move->resumed_us = reply->at_us;
    gw_moves_news(engine, run, (GwMoveEvent){ .kind = GW_MOVE_ACTED, .error = reply->error });
}

/* Storage has come to rest, or a host refused. */
static void stored(GwEngine *engine, const char *job_id, const GError *error)
{
    MoveRun *run = gw_moves_find(engine, job_id);

    if (run == NULL || !run->storing)
        return;
    run->storing = FALSE;
    gw_moves_news(engine, run, (GwMoveEvent){ .kind = GW_MOVE_ACTED, .error = error });
}

static void do_store(GwEngine *engine, MoveRun *run)
{
    gboolean back = run->move->settle == GW_SETTLE_STORAGE_BACK;

    run->storing = TRUE;
    gw_tasks_run(engine, run->move->job->id, back ? GW_TASK_BEFORE : GW_TASK_AFTER, back, stored);
}

/* What was saved before the move names disks and networks where they were. */
static char *definition_for(GwEngine *engine, const GwJob *job, gboolean at_source)
{
    g_autoptr(GError) error = NULL;
    gboolean moved = !at_source && job->saved_xml != NULL;
    g_autofree char *disks =
        moved ? gw_definition_inactive(job->saved_xml, job->disks, &error) : NULL;
    g_autofree char *there =
        disks != NULL ? gw_definition_inactive_nics(disks, job->nics, &error) : NULL;
    const char *before = there != NULL ? gw_jobs_nics_xml(engine, job) : NULL;
    g_autofree char *back =
        before != NULL ? gw_definition_restore_nics(there, before, job->nics, &error) : NULL;

    if (error != NULL)
        g_warning("job %s: its definition: %s", job->id, error->message);
    /* Never with the source's disks where those of the destination are known. */
    return g_strdup(back != NULL    ? back
                    : there != NULL ? there
                    : disks != NULL ? disks
                                    : job->saved_xml);
}

void gw_moves_settle(GwEngine *engine, MoveRun *run)
{
    static const struct {
        GwOp op;
        gboolean at_source;
    } steps[GW_SETTLE_COUNT] = {
        [GW_SETTLE_RESUME_SOURCE] = { GW_OP_RESUME, TRUE },
        [GW_SETTLE_RESUME_DESTINATION] = { GW_OP_RESUME, FALSE },
        [GW_SETTLE_DESTROY_SOURCE] = { GW_OP_DESTROY, TRUE },
        [GW_SETTLE_DESTROY_DESTINATION] = { GW_OP_DESTROY, FALSE },
        [GW_SETTLE_UNDEFINE_SOURCE] = { GW_OP_UNDEFINE, TRUE },
        [GW_SETTLE_UNDEFINE_DESTINATION] = { GW_OP_UNDEFINE, FALSE },
        [GW_SETTLE_DEFINE_SOURCE] = { GW_OP_DEFINE, TRUE },
        [GW_SETTLE_DEFINE_DESTINATION] = { GW_OP_DEFINE, FALSE },
        [GW_SETTLE_AUTOSTART_SOURCE] = { GW_OP_AUTOSTART, TRUE },
        [GW_SETTLE_AUTOSTART_DESTINATION] = { GW_OP_AUTOSTART, FALSE },
        [GW_SETTLE_PAUSE_SOURCE] = { GW_OP_PAUSE, TRUE },
    };
    const GwJob *job = run->move->job;
    GwSettle settle = run->move->settle;

    if (settle == GW_SETTLE_FENCE) {
        gw_moves_fence(engine, run, acted);
        return;
    }
    if (settle == GW_SETTLE_STORAGE_BACK || settle == GW_SETTLE_STORAGE_ON) {
        do_store(engine, run);
        return;
    }
    const char *host = steps[settle].at_source ? job->source_host_id : job->destination_host_id;
    GwRequest *request = gw_request_new(steps[settle].op, host, job->vm_uuid);

    request->number = request->op == GW_OP_AUTOSTART ? 1 : 0;
    if (request->op == GW_OP_DEFINE)
        request->text = definition_for(engine, job, steps[settle].at_source);
    gw_moves_ask(engine, run, request, acted, settle);
}

/* The hypervisor's own figures complete the result; without them the job is no less done. */
static void stats_came(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 unused)
{
    MoveRun *run = gw_moves_find(engine, job_id);

    (void)unused;
    if (run == NULL || reply->error != NULL)
        return;
    GwMoveResult *result = run->move->job->result;
    result->downtime_libvirt_ms = reply->result->downtime_libvirt_ms;
    result->copy_ms = reply->result->copy_ms;
    result->transferred_bytes = reply->result->transferred_bytes;
    result->iterations = reply->result->iterations;
    run->move->mirrored_bytes = MAX(run->move->mirrored_bytes, reply->result->disk_sent_bytes);
}

/* Asked of the source before its definition goes: the figures go with it. */
void gw_moves_stats(GwEngine *engine, MoveRun *run)
{
    const GwJob *job = run->move->job;
    gw_moves_ask(engine, run, gw_request_new(GW_OP_STATS, job->source_host_id, job->vm_uuid),
                 stats_came, 0);
}
