/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/engine_internal.h"
#include "model/definition.h"

/* What a move wants done, as requests to hosts; and their replies as events of the move. What is
 * asked of agents alone is in move_agents.c. */

#define LOOK_TIMEOUT_US (15 * G_USEC_PER_SEC)

static MoveRun *find_run(GwEngine *engine, const char *job_id)
{
    return g_hash_table_lookup(engine->moves, job_id);
}

static void step(GwEngine *engine, MoveRun *run, GwMoveEvent event)
{
    g_autoptr(GError) late = NULL;
    if (!gw_moves_step(engine, run, event, &late))
        g_debug("job %s: %s", run->move->job->id, late->message);
}

static void ask(GwEngine *engine, const MoveRun *run, GwRequest *request, ReplyFn done,
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
    ask(engine, run, request, noted, op);
}

/* Check ------------------------------------------------------------------------------------ */

static gint64 keep_source_s(GwEngine *engine, const GwJob *job)
{
    const GwHost *source = gw_fabric_host(gw_engine_now(engine), job->source_host_id);

    if (job->options->keep_source_s != 0)
        return MAX(job->options->keep_source_s, 0); /* -1: not at all */
    return source != NULL ? source->keep_source_s : 0;
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

/* Where disks are copied no lock holds both ends together, and half of a memory at either end could
 * not be told from the disks that belong to it: such a move always commits by resume. */
static void take_disks(GwEngine *engine, MoveRun *run, CheckResult *result)
{
    GwJob *job = run->move->job;

    g_clear_pointer(&job->disks, g_ptr_array_unref);
    job->disks = g_steal_pointer(&result->disks);
    job->transfer = result->plan->candidate->transfer;
    job->keep_source_s = keep_source_s(engine, job);
    if (!gw_moves_copies_disks(job))
        return;
    run->decision->commit_by_resume = TRUE;
    run->decision->post_copy = FALSE;
}

static void checked(GwEngine *engine, CheckResult *result, gpointer user)
{
    g_autofree char *job_id = user;
    MoveRun *run = find_run(engine, job_id);

    if (run == NULL)
        return;
    if (result->error != NULL) {
        step(engine, run, (GwMoveEvent){ .kind = GW_MOVE_REFUSED, .error = result->error });
        return;
    }
    GwMove *move = run->move;
    if (gw_moves_is_merging(result->vm) && move->job->options->wait_for_merge) {
        step(engine, run, (GwMoveEvent){ .kind = GW_MOVE_MERGING });
        return;
    }
    gw_move_decision_free(run->decision);
    run->decision = g_steal_pointer(&result->decision);
    take_disks(engine, run, result);
    gw_predictions_note(move->job, result->plan);
    move->job->commit_by_resume = run->decision->commit_by_resume;
    move->job->through_agents = run->decision->through_agents;
    move->job->vm_persistent = result->vm->persistent;
    move->job->vm_autostart = result->vm->autostart;
    move->job->completion_timeout_s = run->decision->completion_timeout_us / G_USEC_PER_SEC;
    move->job->progress_timeout_s = run->decision->progress_timeout_us / G_USEC_PER_SEC;
    move->job->result->downtime_ms = move->job->result->downtime_libvirt_ms = -1;
    g_free(move->job->result->method);
    move->job->result->method = g_strdup(run->decision->method_words);

    const GwHost *destination =
        gw_fabric_host(gw_engine_now(engine), move->job->destination_host_id);
    g_autofree char *peer = destination != NULL ? gw_host_peer_uri(destination) : NULL;
    move->job->peer_to_peer = peer != NULL || move->job->through_agents;
    gw_tasks_make(move->job, result->vm);
    gw_kept_spare_shared(engine, move->job, result->vm);
    step(engine, run, (GwMoveEvent){ .kind = GW_MOVE_CHECKED });
}

static void do_check(GwEngine *engine, MoveRun *run)
{
    const GwJob *job = run->move->job;

    gw_check_begin(engine, job->vm_uuid, job->source_host_id, job->destination_host_id,
                   job->options, job->id, checked, g_strdup(job->id));
}

/* Prepare ---------------------------------------------------------------------------------- */

static void prepared(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 unused)
{
    MoveRun *run = find_run(engine, job_id);

    (void)unused;
    if (run == NULL)
        return;
    GwMoveEventKind kind = reply->error == NULL ? GW_MOVE_PREPARED : GW_MOVE_NOT_PREPARED;
    step(engine, run, (GwMoveEvent){ .kind = kind, .error = reply->error });
}

static void epoch_stored(GwEngine *engine, gpointer data)
{
    g_autofree char *job_id = data;
    MoveRun *run = find_run(engine, job_id);

    if (run != NULL)
        gw_moves_ask_leave(engine, run, prepared);
}

/* Copies of files between the agents had leave of their own, of this epoch; leave that is given is
 * not turned into another kind of leave, but replaced by that of a later epoch. */
static void take_next_epoch(GwEngine *engine, MoveRun *run)
{
    GwJob *job = run->move->job;
    GwBatch *batch = gw_batch_new();

    job->epoch = gw_moves_next_epoch(engine, job->vm_uuid, batch);
    gw_batch_put(batch, GW_KIND_JOB, job->id, gw_record_to_json(&gw_job_record, job));
    gw_engine_journal(engine, batch, epoch_stored, NULL, g_strdup(job->id));
}

static gboolean copied_files(const GwJob *job)
{
    for (guint i = 0; job->tasks != NULL && i < job->tasks->len; i++) {
        const GwTask *task = job->tasks->pdata[i];
        if (task->kind == (int)GW_TASK_VOLUME_COPY && task->peer_host_id != NULL)
            return TRUE;
    }
    return FALSE;
}

/* The last thing that preparing does: nothing is to be undone where it is refused. */
static void autostart_off(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 unused)
{
    MoveRun *run = find_run(engine, job_id);

    if (run == NULL || reply->error != NULL || !run->move->job->through_agents)
        prepared(engine, reply, job_id, unused);
    else if (copied_files(run->move->job))
        take_next_epoch(engine, run);
    else
        gw_moves_ask_leave(engine, run, prepared);
}

/* The volumes are there. With autostart on, a source host that boots at the wrong moment would
 * start a second copy. */
static void ready(GwEngine *engine, MoveRun *run)
{
    const GwJob *job = run->move->job;

    if (job->vm_autostart) {
        ask(engine, run, gw_request_new(GW_OP_AUTOSTART, job->source_host_id, job->vm_uuid),
            autostart_off, 0);
        return;
    }
    g_autoptr(GwReply) nothing = gw_reply_new(0);
    autostart_off(engine, nothing, job->id, 0);
}

static void take_xml(GwJob *job, const GwReply *reply)
{
    g_free(job->saved_xml);
    job->saved_xml = g_strdup(reply->text);
}

static void saved_again(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 unused)
{
    MoveRun *run = find_run(engine, job_id);

    if (run == NULL)
        return;
    if (reply->error != NULL) {
        prepared(engine, reply, job_id, unused);
        return;
    }
    take_xml(run->move->job, reply);
    ready(engine, run);
}

static gboolean has_overlay(const GwJob *job)
{
    for (guint i = 0; job->disks != NULL && i < job->disks->len; i++) {
        if (gw_disk_move_is_delta(job->disks->pdata[i]))
            return TRUE;
    }
    return FALSE;
}

/* Where the guest writes above its disks by now, the definition that was saved is an old one: a VM
 * that started from it would lose what was written since. */
static void tasks_done(GwEngine *engine, const char *job_id, const GError *error)
{
    MoveRun *run = find_run(engine, job_id);

    if (run == NULL)
        return;
    const GwJob *job = run->move->job;
    if (error != NULL)
        step(engine, run, (GwMoveEvent){ .kind = GW_MOVE_NOT_PREPARED, .error = error });
    else if (has_overlay(job))
        ask(engine, run, gw_request_new(GW_OP_GET_XML, job->source_host_id, job->vm_uuid),
            saved_again, 0);
    else
        ready(engine, run);
}

static void saved_xml(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 unused)
{
    MoveRun *run = find_run(engine, job_id);

    if (run == NULL)
        return;
    if (reply->error != NULL) {
        prepared(engine, reply, job_id, unused);
        return;
    }
    GwJob *job = run->move->job;
    take_xml(job, reply);
    if (gw_tasks_next(job, GW_TASK_BEFORE) == NULL)
        tasks_done(engine, job_id, NULL);
    else
        gw_tasks_run(engine, job_id, GW_TASK_BEFORE, FALSE, tasks_done);
}

static void do_prepare(GwEngine *engine, MoveRun *run)
{
    const GwJob *job = run->move->job;
    ask(engine, run, gw_request_new(GW_OP_GET_XML, job->source_host_id, job->vm_uuid), saved_xml,
        0);
}

/* Copy ------------------------------------------------------------------------------------- */

static void returned(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 unused)
{
    MoveRun *run = find_run(engine, job_id);

    (void)unused;
    if (run != NULL)
        step(engine, run, (GwMoveEvent){ .kind = GW_MOVE_RETURNED, .error = reply->error });
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
    return migrate;
}

static void do_migrate(GwEngine *engine, MoveRun *run)
{
    GwRequest *request =
        gw_request_new(GW_OP_MIGRATE, run->move->job->source_host_id, run->move->job->vm_uuid);
    request->migrate = how(engine, run);
    ask(engine, run, request, returned, 0);
}

static void progress_came(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 unused)
{
    MoveRun *run = find_run(engine, job_id);

    (void)unused;
    if (run == NULL)
        return;
    run->progress_busy = FALSE;
    if (reply->error != NULL)
        return; /* the next one may come through; time-outs watch over it */
    if (reply->progress == NULL)
        step(engine, run, (GwMoveEvent){ .kind = GW_MOVE_NO_JOB });
    else
        step(engine, run, (GwMoveEvent){ .kind = GW_MOVE_PROGRESS, .progress = reply->progress });
}

static void do_progress(GwEngine *engine, MoveRun *run)
{
    const GwJob *job = run->move->job;

    if (run->progress_busy)
        return;
    run->progress_busy = TRUE;
    ask(engine, run, gw_request_new(GW_OP_PROGRESS, job->source_host_id, job->vm_uuid),
        progress_came, 0);
}

static void do_apply_change(GwEngine *engine, MoveRun *run)
{
    const GwJob *job = run->move->job;

    tell(engine, run, GW_OP_SET_BANDWIDTH, job->source_host_id, job->options->bandwidth_mibps);
    if (job->options->max_downtime_ms > 0)
        tell(engine, run, GW_OP_SET_DOWNTIME, job->source_host_id, job->options->max_downtime_ms);
}

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
    MoveRun *run = find_run(engine, job_id);

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
    step(engine, run,
         (GwMoveEvent){ .kind = GW_MOVE_LOOKED,
                        .source = run->seen_source,
                        .destination = run->seen_destination });
}

static void do_look(GwEngine *engine, MoveRun *run)
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
        ask(engine, run, request, looked, number);
    }
}

/* Settle ----------------------------------------------------------------------------------- */

static void acted(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 settle)
{
    MoveRun *run = find_run(engine, job_id);

    if (run == NULL || run->storing)
        return; /* an earlier step's, which was overtaken */
    /* The event of the resume may come later than its answer. */
    if (settle == GW_SETTLE_RESUME_DESTINATION && reply->error == NULL &&
        run->move->resumed_us < run->move->paused_us)
        run->move->resumed_us = reply->at_us;
    step(engine, run, (GwMoveEvent){ .kind = GW_MOVE_ACTED, .error = reply->error });
}

/* Storage has come to rest, or a host refused. */
static void stored(GwEngine *engine, const char *job_id, const GError *error)
{
    MoveRun *run = find_run(engine, job_id);

    if (run == NULL || !run->storing)
        return;
    run->storing = FALSE;
    step(engine, run, (GwMoveEvent){ .kind = GW_MOVE_ACTED, .error = error });
}

static void do_store(GwEngine *engine, MoveRun *run)
{
    gboolean back = run->move->settle == GW_SETTLE_STORAGE_BACK;

    run->storing = TRUE;
    gw_tasks_run(engine, run->move->job->id, back ? GW_TASK_BEFORE : GW_TASK_AFTER, back, stored);
}

/* What was saved before the move names the disks where they were. */
static char *definition_for(const GwJob *job, gboolean at_source)
{
    g_autoptr(GError) error = NULL;
    gboolean moved = !at_source && job->disks != NULL && job->saved_xml != NULL;
    g_autofree char *there =
        moved ? gw_definition_inactive(job->saved_xml, job->disks, &error) : NULL;

    if (error != NULL)
        g_warning("job %s: its definition: %s", job->id, error->message);
    return g_strdup(there != NULL ? there : job->saved_xml);
}

static void do_settle(GwEngine *engine, MoveRun *run)
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
        request->text = definition_for(job, steps[settle].at_source);
    ask(engine, run, request, acted, settle);
}

/* The hypervisor's own figures complete the result; without them the job is no less done. */
static void stats_came(GwEngine *engine, const GwReply *reply, const char *job_id, gint64 unused)
{
    MoveRun *run = find_run(engine, job_id);

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
static void do_stats(GwEngine *engine, MoveRun *run)
{
    const GwJob *job = run->move->job;
    ask(engine, run, gw_request_new(GW_OP_STATS, job->source_host_id, job->vm_uuid), stats_came, 0);
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
        do_check(engine, run);
        break;
    case GW_DO_PREPARE:
        do_prepare(engine, run);
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
        do_look(engine, run);
        break;
    case GW_DO_SETTLE:
        do_settle(engine, run);
        break;
    case GW_DO_STATS:
        do_stats(engine, run);
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
