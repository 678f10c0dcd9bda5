/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job/move_internal.h"
#include "job/tasks.h"

/* What is still to be done when the hosts say that a move is over, and how it ends. */

#define AUTOSTART_TRIES 5
#define STORAGE_TRIES 5

/* A peer-to-peer move that broke before a byte was copied most likely means that the hosts cannot
 * reach each other; the controller can reach both, so it drives the second try itself. */
static gboolean try_direct(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome)
{
    GwJob *job = move->job;

    /* Between agents the controller would have to take the same way. */
    if (!job->peer_to_peer || job->through_agents || !move->called || move->copied ||
        job->cancel_requested || job->error == NULL || g_strcmp0(job->error->code, "timeout") == 0)
        return FALSE;
    job->peer_to_peer = FALSE;
    job->source_old = job->destination_old = FALSE; /* what was copied is gone */
    g_autofree char *why = g_strdup_printf(
        "peer-to-peer broke before anything was copied (%s): driven by the controller now",
        job->error->message);
    g_clear_pointer(&job->error, gw_job_error_free);
    gw_move_enter(move, GW_JOB_COPYING, event, why, outcome);
    gw_move_begin_copy(move, event, outcome);
    move->calling = TRUE;
    gw_life_add_effect(outcome, GW_DO_MIGRATE);
    return TRUE;
}

/* Autostart was off while the VM might have been on either host. It is put back before the job is
 * over, so that no restart of the controller can come between. A host that refuses is asked a few
 * times: it is no reason to hold a move. */
static gboolean restore_autostart(GwMove *move, GwSettle settle, GwSeen keeper,
                                  const GwMoveEvent *event, GwMoveOutcome *outcome)
{
    if (!move->job->vm_autostart || !keeper.persistent || keeper.autostart ||
        move->autostarts++ >= AUTOSTART_TRIES)
        return FALSE;
    gw_move_act(move, settle,
                settle == GW_SETTLE_AUTOSTART_SOURCE ? GW_JOB_SETTLING : GW_JOB_CLEANING, event,
                "the VM starts with its host, as before the move", outcome);
    return TRUE;
}

/* Storage --------------------------------------------------------------------------------- */

/* The volumes that the move made go before it ends, where the VM stayed; where it moved, its old
 * copies are kept then. A host that does not answer is waited for; one that refuses is asked a few
 * times, and then what is left is said. */
static gboolean settle_storage(GwMove *move, GwSettle settle, const GwMoveEvent *event,
                               GwMoveOutcome *outcome)
{
    GwJob *job = move->job;
    gboolean back = settle == GW_SETTLE_STORAGE_BACK;

    if (move->storages >= STORAGE_TRIES)
        return FALSE;
    if (back)
        gw_tasks_undo_again(job); /* those that were refused */
    if (back ? gw_tasks_next_undo(job) == NULL : gw_tasks_next(job, GW_TASK_AFTER) == NULL)
        return FALSE;
    move->storages++;
    gw_move_act(move, settle, back ? GW_JOB_SETTLING : GW_JOB_CLEANING, event,
                back ? "what was made at the destination is removed"
                     : "the VM is at the destination: its old copies are dealt with",
                outcome);
    return TRUE;
}

/* A task that a host would not do, or undo. */
static const GwTask *left_behind(const GwJob *job)
{
    for (guint i = 0; job->tasks != NULL && i < job->tasks->len; i++) {
        const GwTask *task = job->tasks->pdata[i];
        if (task->state == (int)GW_TASK_UNDOING ||
            (task->turn == (int)GW_TASK_AFTER && task->state == (int)GW_TASK_FAILED))
            return task;
    }
    return NULL;
}

/* Moved is moved: what else did not work is told beside it. */
static void say_remarks(GwJob *job)
{
    const GwTask *left = left_behind(job);
    g_autofree char *remarks = left == NULL ? gw_tasks_remarks(job) : g_strdup(left->why);

    if (left == NULL && remarks == NULL)
        return;
    g_autofree char *message =
        g_strdup_printf("done, but: %s", remarks != NULL ? remarks : "a host refused what follows");
    gw_life_set_error(job, "operation-failed", message, GW_TASKS_REMARKS_REMEDY);
}

/* Says in the job's error what is still there of it. */
static void say_left_behind(GwJob *job)
{
    const GwTask *task = left_behind(job);
    if (task == NULL)
        return;

    g_autofree char *code = g_strdup(job->error->code);
    g_autofree char *remedy = g_strdup_printf(
        "When its host allows it, have the rest removed: godwit job undo %s.", job->id);
    g_autofree char *message =
        g_strdup_printf("%s; what the move made is still there, since it could not be removed (%s)",
                        job->error->message, task->why != NULL ? task->why : "no reason given");
    gw_life_set_error(job, code, message, remedy);
}

static const char look_remedy[] =
    "The VM runs on its source host. Look at the job's history and both hosts' libvirt logs, then "
    "try again.";

void gw_move_settle_kept(GwMove *move, const GwMoveEvent *event, const char *why,
                         GwMoveOutcome *outcome)
{
    GwJob *job = move->job;

    if (try_direct(move, event, outcome))
        return;
    if (restore_autostart(move, GW_SETTLE_AUTOSTART_SOURCE, move->source, event, outcome))
        return;
    if (settle_storage(move, GW_SETTLE_STORAGE_BACK, event, outcome))
        return;
    if (job->cancel_requested) {
        gw_life_set_error(job, "cancelled", "cancelled on request; the VM runs on its source host",
                          NULL);
        gw_tasks_say_replaced(job);
        say_left_behind(job);
        gw_move_finish(move, GW_JOB_CANCELLED, event, why, outcome);
        return;
    }
    if (job->error == NULL)
        gw_life_set_error(job, "operation-failed",
                          "the move did not happen; the VM runs on its source host", look_remedy);
    else if (job->error->remedy == NULL)
        job->error->remedy = g_strdup(look_remedy);
    gw_tasks_say_replaced(job);
    say_left_behind(job);
    gw_move_finish(move, GW_JOB_FAILED, event, why, outcome);
}

/* The VM has moved, but goes on with more images than it had. */
static void say_not_merged(GwJob *job)
{
    for (guint i = 0; job->tasks != NULL && i < job->tasks->len; i++) {
        const GwTask *task = job->tasks->pdata[i];
        if (task->kind != (int)GW_TASK_MERGE || task->state != (int)GW_TASK_DONE ||
            task->why == NULL)
            continue;
        g_autofree char *message =
            g_strdup_printf("done, but the disk goes on with the image above it: %s", task->why);
        gw_life_set_error(job, "operation-failed", message,
                          "It is whole. Merge it when its host allows it: virsh blockcommit VM "
                          "TARGET --active --pivot.");
    }
}

/* What the mirrors read they sent, and they are gone before the move is over, so the most that was
 * told of them counts; what was copied as files is counted there already. */
static void count_disks(const GwMove *move, GwMoveResult *result)
{
    result->disk_bytes += MIN(move->mirrored_bytes, G_MAXINT64 - result->disk_bytes);
    result->disk_sent_bytes += MIN(move->mirrored_bytes, G_MAXINT64 - result->disk_sent_bytes);
}

void gw_move_settle_committed(GwMove *move, const GwMoveEvent *event, const char *why,
                              GwMoveOutcome *outcome)
{
    GwJob *job = move->job;

    if (restore_autostart(move, GW_SETTLE_AUTOSTART_DESTINATION, move->destination, event, outcome))
        return;
    if (settle_storage(move, GW_SETTLE_STORAGE_ON, event, outcome))
        return;
    g_clear_pointer(&job->error, gw_job_error_free);
    say_remarks(job);
    if (job->result == NULL)
        job->result = gw_move_result_new();
    gboolean seen = move->paused_us > 0 && move->resumed_us >= move->paused_us;
    job->result->downtime_ms = seen ? (move->resumed_us - move->paused_us) / 1000 : -1;
    if (move->times.started_us != 0 && job->result->copy_ms == 0)
        job->result->copy_ms = (event->now_us - move->times.started_us) / 1000;
    count_disks(move, job->result);
    if (job->result->transferred_bytes == 0)
        job->result->transferred_bytes =
            MAX(job->progress->processed_bytes - job->progress->disk_processed_bytes, 0);
    if (job->result->iterations == 0)
        job->result->iterations = job->progress->iteration;
    say_not_merged(job);
    gw_life_replace(&job->result->drive, job->peer_to_peer ? "peer-to-peer" : "controller");
    gw_move_finish(move, GW_JOB_DONE, event, why, outcome);
    job->progress->percent = 100;
    job->progress->remaining_bytes = job->progress->disk_remaining_bytes = 0;
    job->progress->eta_ms = 0;
}

/* Whether it is known already, or a controller, maybe an earlier one, began to commit this move:
 * that is written down before it is done. */
gboolean gw_move_was_committed(const GwJob *job)
{
    const char *word = gw_enum_word(&gw_job_state_enum, GW_JOB_COMMITTING);

    for (guint i = 0; job->steps != NULL && i < job->steps->len; i++) {
        const GwJobStep *step = job->steps->pdata[i];
        if (g_strcmp0(step->state, word) == 0 ||
            g_strcmp0(step->why, GW_MOVE_BY_DESTINATIONS_AGENT) == 0)
            return TRUE;
    }
    return FALSE;
}

/* A VM that does not run tells nothing of its disks. Only one that ended by itself at the source,
 * and never ran at the destination, surely has its data at the source. */
static gboolean surely_at_source(const GwMove *move)
{
    const GwJob *job = move->job;

    return move->source.side == GW_SIDE_OFF && move->destination.side == GW_SIDE_ABSENT &&
           !job->source_old && !job->keep_destination && !gw_move_was_committed(job);
}

static const char stopped_remedy[] =
    "Start it where it is defined, after looking at why it stopped.";
static const char both_remedy[] =
    "Nothing was removed, since either host's disks may be the newer ones: look at both before it "
    "is started.";

void gw_move_settle_stopped(GwMove *move, const GwMoveEvent *event, const char *why,
                            GwMoveOutcome *outcome)
{
    gboolean at_destination = move->source.side == GW_SIDE_ABSENT && move->destination.persistent;
    if (restore_autostart(
            move, at_destination ? GW_SETTLE_AUTOSTART_DESTINATION : GW_SETTLE_AUTOSTART_SOURCE,
            at_destination ? move->destination : move->source, event, outcome))
        return;
    gboolean at_source = surely_at_source(move);
    if ((at_source || at_destination) &&
        settle_storage(move, at_source ? GW_SETTLE_STORAGE_BACK : GW_SETTLE_STORAGE_ON, event,
                       outcome))
        return;
    gboolean unclear = !at_source && !at_destination && gw_tasks_next_undo(move->job) != NULL;
    g_autofree char *message =
        g_strdup_printf("the VM does not run any more: %s; it is defined on %s", why,
                        at_destination            ? "the destination"
                        : move->source.persistent ? "the source"
                                                  : "no host");
    gw_life_set_error(move->job, "operation-failed", message,
                      unclear ? both_remedy : stopped_remedy);
    if (!unclear)
        say_left_behind(move->job);
    gw_move_finish(move, GW_JOB_FAILED, event, why, outcome);
}
