/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/jobs_internal.h"
#include "job/move.h"

/* What the files about jobs of the kind vm-migrate share. */

typedef struct {
    JobRun base;
    GwMove *move;
    GwMoveDecision *decision;
    guint looks; /* generation of the look under way */
    gboolean have_source, have_destination;
    GwSeen seen_source, seen_destination;
    gboolean progress_busy;
    gboolean storing; /* a settling step of storage is under way: it takes long, and says when it is
                         over; until then nothing else is decided */
    gint64 merge_us;  /* queued, and a merge runs on a disk: when to look again; 0: none */
    int merge_percent;                /* -1: not told */
    GwPaths *paths;                   /* through agents: what the source's libvirt is told */
    ReplyFn leave_done;               /* who asked the agents gets their answer */
    guint fence_round, fence_missing; /* of the two answers that a fence waits for */
} MoveRun;

/* moves.c */
/* NULL: it is over, or of another kind. */
MoveRun *gw_moves_find(GwEngine *engine, const char *job_id);
/* Feeds one event to a move and carries out what follows. FALSE where the state refuses it. */
gboolean gw_moves_step(GwEngine *engine, MoveRun *run, GwMoveEvent event, GError **error);
/* The same with news, which may come too late to be of use. */
void gw_moves_news(GwEngine *engine, MoveRun *run, GwMoveEvent event);

/* move_merge.c (R31) */
/* Whether a queued move is to wait for one; @why says for which (owned). */
gboolean gw_moves_wait_for_merge(GwEngine *engine, MoveRun *run, char **why);
/* run->merge_us has come. */
void gw_moves_look_at_merge(GwEngine *engine, MoveRun *run);

/* move_effects.c */
void gw_moves_carry_out(GwEngine *engine, MoveRun *run, GwMoveDo effect);
/* Asks a host about the move's VM. */
void gw_moves_ask(GwEngine *engine, const MoveRun *run, GwRequest *request, ReplyFn done,
                  gint64 number);
/* Whether disks of it are copied, by QEMU or as files before. */
gboolean gw_moves_copies_disks(const GwJob *job);

/* move_calls.c: a move that a plan wants begun; borrowed. */
typedef struct {
    const char *vm_uuid, *source_host_id, *destination_host_id;
    const GwMoveOptions *options;
    const char *part_of; /* the plan's job */
    const char *user;
} BeginPart;
/* @job: the move's, as it was accepted (borrowed), or NULL with @error. Called once. */
typedef void (*PartBegun)(GwEngine *engine, const GwJob *job, const GError *error, gpointer user);
void gw_moves_begin_part(GwEngine *engine, const BeginPart *part, PartBegun done, gpointer user);
/* job_calls.c: cancels the job of a VM, of any kind; one that is over, or cannot be cancelled, goes
 * on. */
void gw_moves_cancel(GwEngine *engine, const char *job_id);

/* move_prepare.c: GW_DO_CHECK, GW_DO_PREPARE */
void gw_moves_check(GwEngine *engine, MoveRun *run);
void gw_moves_prepare(GwEngine *engine, MoveRun *run);

/* move_settle.c: GW_DO_LOOK, GW_DO_SETTLE, GW_DO_STATS */
void gw_moves_look(GwEngine *engine, MoveRun *run);
void gw_moves_settle(GwEngine *engine, MoveRun *run);
void gw_moves_stats(GwEngine *engine, MoveRun *run);

/* move_agents.c: leave for moves through agents, and its end. */
/* Asks the destination's agent, then the source's, keeps the paths in @run, and calls @done with
 * the last answer, or with the first that is an error. */
void gw_moves_ask_leave(GwEngine *engine, MoveRun *run, ReplyFn done);
/* Ends the leave at both ends, and calls @done once both said so, or with the first error. */
void gw_moves_fence(GwEngine *engine, MoveRun *run, ReplyFn done);
/* The same as best it can be, without waiting for it. */
void gw_moves_close_leave(GwEngine *engine, const GwJob *job);
