/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job/eta.h"
#include "job/move_internal.h"
#include "job/tasks.h"

/* The copy of a live move: its progress, its time-outs, and how it is broken off. */

#define POLL_US MS(500)           /* statistics: libvirt has no event for them */
#define ABORT_AGAIN_US SECONDS(2) /* an abort that did not abort is asked for again */

void gw_move_begin_copy(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome)
{
    gint64 now = event->now_us;

    move->times.wake_us = now + POLL_US;
    if (move->times.too_long_us == 0) /* the images below its disks were part of it */
        move->times.too_long_us = gw_life_due_after(now, move->job->completion_timeout_s);
    move->times.stalled_us = gw_life_due_after(now, move->job->progress_timeout_s);
    move->least_disk_bytes = move->least_memory_bytes = G_MAXINT64;
    move->times.started_us = now;
    move->abort_again_us = 0;
    gw_life_set_phase(move->job, "setup");
    move->job->progress->eta_ms = gw_eta_of_job(move->job, event->wall_us, 0, 0, -1);
    (void)outcome;
}

static gint64 memory_left(const GwProgress *progress)
{
    return MAX(progress->remaining_bytes - progress->disk_remaining_bytes, 0);
}

/* The disks go first, and until they are there nothing is told of the memory. */
static gboolean is_at_disks(const GwProgress *progress)
{
    return progress->disk_total_bytes > 0 && memory_left(progress) == 0 &&
           progress->processed_bytes <= progress->disk_processed_bytes;
}

/* R60: less left than ever before, be it of the disks or of the memory. Between two passes QEMU
 * says 0, below which nothing could ever count as progress. */
static gboolean took_a_step(GwMove *move, const GwProgress *fresh)
{
    gint64 disks = fresh->disk_remaining_bytes, memory = memory_left(fresh);
    gboolean less_disks = disks > 0 && disks < move->least_disk_bytes;
    gboolean less_memory = memory > 0 && memory < move->least_memory_bytes;

    if (less_disks)
        move->least_disk_bytes = disks;
    if (less_memory)
        move->least_memory_bytes = memory;
    return less_disks || less_memory;
}

/* What the host tells is of what it copies now: of the disks, not yet of the memory after them. */
static gint64 measured_ms(const GwProgress *fresh, double left)
{
    if (!is_at_disks(fresh))
        return fresh->eta_ms;
    return fresh->bandwidth_bps > 0
               ? (gint64)MIN(left * 1000.0 / (double)fresh->bandwidth_bps, 1e15)
               : -1;
}

/* Percent never goes back, though the guest dirties disks and memory behind the copy. */
void gw_move_take_progress(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome)
{
    const GwProgress *old = move->job->progress;
    gint64 percent_before = old != NULL ? old->percent : 0;
    GwProgress *fresh = gw_progress_copy(event->progress);

    gint64 below = 0;
    gw_tasks_progress(move->job, &below, NULL); /* the images below its disks went before */
    double done = (double)below + (double)fresh->processed_bytes;
    double whole = done + (double)fresh->remaining_bytes;
    if (is_at_disks(fresh)) {
        whole += (double)move->job->vm_memory_kib * 1024.0;
        gw_life_replace(&fresh->phase, "disks");
    }
    gint64 percent = whole > 0 ? (gint64)(done * 100.0 / whole) : 0;
    fresh->percent = CLAMP(MAX(percent, percent_before), 0, 99);
    fresh->eta_ms =
        gw_eta_of_job(move->job, event->wall_us, done, whole, measured_ms(fresh, whole - done));
    if (!fresh->converging) {
        fresh->eta_ms = -1;
        gw_life_replace(&fresh->note, "not converging: dirtied as fast as it is copied");
    }
    gw_progress_free(move->job->progress);
    move->job->progress = fresh;

    move->copied = move->copied || fresh->processed_bytes > 0;
    move->mirrored_bytes = MAX(move->mirrored_bytes, fresh->disk_processed_bytes);
    if (took_a_step(move, fresh) && move->times.stalled_us != 0)
        move->times.stalled_us = gw_life_due_after(event->now_us, move->job->progress_timeout_s);
    if (move->times.wake_us == 0)
        move->times.wake_us = event->now_us + POLL_US;
    outcome->changed = TRUE;
}

void gw_move_ask_progress(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome)
{
    move->times.wake_us = event->now_us + POLL_US;
    gw_life_add_effect(outcome, GW_DO_PROGRESS);
    /* An abort can come before libvirt's job exists, or be overheard: it is asked for until the
     * call returns. */
    if (move->abort_again_us != 0 && move->abort_again_us <= event->now_us) {
        move->abort_again_us = event->now_us + ABORT_AGAIN_US;
        gw_life_add_effect(outcome, GW_DO_ABORT);
    }
}

void gw_move_abort_copy(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome)
{
    move->times.too_long_us = move->times.stalled_us = 0;
    move->abort_again_us = event->now_us + ABORT_AGAIN_US;
    gw_life_add_effect(outcome, GW_DO_ABORT);
}

static void abort_with(GwMove *move, const GwMoveEvent *event, const char *message,
                       const char *remedy, GwMoveOutcome *outcome)
{
    if (!move->job->cancel_requested && move->job->error == NULL)
        gw_life_set_error(move->job, "timeout", message, remedy);
    gw_move_abort_copy(move, event, outcome);
}

void gw_move_abort_too_long(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome)
{
    const GwProgress *p = move->job->progress;
    g_autofree char *message = g_strdup_printf(
        "not complete after %" G_GINT64_FORMAT " s (completion time-out); pass %" G_GINT64_FORMAT
        ", %" G_GINT64_FORMAT " MiB left, copying %" G_GINT64_FORMAT
        " MiB/s, the guest dirties %" G_GINT64_FORMAT " MiB/s",
        (event->now_us - move->times.started_us) / G_USEC_PER_SEC, p->iteration,
        p->remaining_bytes >> 20, p->bandwidth_bps >> 20, p->dirty_rate_bps >> 20);
    abort_with(move, event, message,
               "Give it more bandwidth, a longer downtime (--max-downtime), or a longer completion "
               "time-out; or move it when it is less busy.",
               outcome);
}

/* Nothing of the VM has gone over yet, and nobody needs to be asked for figures. */
void gw_move_stop_too_long(GwMove *move, GwMoveOutcome *outcome)
{
    g_autofree char *message =
        g_strdup_printf("not complete after %" G_GINT64_FORMAT
                        " s (completion time-out): the images below its disks are being copied",
                        move->job->completion_timeout_s);
    if (!move->job->cancel_requested)
        gw_life_set_error(move->job, "timeout", message,
                          "Give it more bandwidth or a longer completion time-out.");
    move->times.too_long_us = 0;
    gw_life_add_effect(outcome, GW_DO_STOP);
}

/* What was never told counts as nothing. */
static gint64 least_left(const GwMove *move)
{
    gint64 disks = move->least_disk_bytes, memory = move->least_memory_bytes;
    return (disks < G_MAXINT64 ? disks : 0) + (memory < G_MAXINT64 ? memory : 0);
}

void gw_move_abort_stalled(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome)
{
    g_autofree char *message =
        g_strdup_printf("no progress for %" G_GINT64_FORMAT
                        " s (progress time-out): never less than %" G_GINT64_FORMAT " MiB left",
                        move->job->progress_timeout_s, least_left(move) >> 20);
    abort_with(move, event, message,
               "Check the network between the hosts and the storage of the destination; a busy "
               "guest needs more bandwidth, a longer "
               "downtime or post-copy.",
               outcome);
}

void gw_move_look(GwMove *move, GwMoveOutcome *outcome)
{
    gw_life_disarm(&move->times); /* the copy is over */
    gw_life_set_phase(move->job, "settling");
    gw_life_add_effect(outcome, GW_DO_LOOK);
}
