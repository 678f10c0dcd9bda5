/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "job/move.h"

/* What move.c (the table), move_copy.c, move_settle.c and move_over.c share. */

#define MS(n) ((gint64)(n)*1000)
#define SECONDS(n) ((gint64)(n)*G_USEC_PER_SEC)

/* gw_life_enter and gw_life_finish, by an event of a move. */
void gw_move_enter(GwMove *move, GwJobState next, const GwMoveEvent *event, const char *why,
                   GwMoveOutcome *outcome);
void gw_move_finish(GwMove *move, GwJobState state, const GwMoveEvent *event, const char *why,
                    GwMoveOutcome *outcome);
/* The hypervisor's figures of the whole move: while the source still has its definition. */
void gw_move_ask_figures(GwMove *move, GwMoveOutcome *outcome);

/* move_copy.c */
void gw_move_begin_copy(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome);
void gw_move_take_progress(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome);
void gw_move_ask_progress(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome);
void gw_move_abort_copy(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome);
void gw_move_abort_too_long(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome);
void gw_move_abort_stalled(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome);
/* The completion time-out, before anything of the VM went over. */
void gw_move_stop_too_long(GwMove *move, GwMoveOutcome *outcome);
/* The copy is over, or never began: both hosts are asked. */
void gw_move_look(GwMove *move, GwMoveOutcome *outcome);

/* move_settle.c */
/* A settling step is taken, or, where it was taken too often, a person asked. */
void gw_move_act(GwMove *move, GwSettle settle, GwJobState state, const GwMoveEvent *event,
                 const char *why, GwMoveOutcome *outcome);

/* move_over.c: the hosts say that it is over, but for what is still to be put right. */
void gw_move_settle_kept(GwMove *move, const GwMoveEvent *event, const char *why,
                         GwMoveOutcome *outcome);
void gw_move_settle_committed(GwMove *move, const GwMoveEvent *event, const char *why,
                              GwMoveOutcome *outcome);
void gw_move_settle_stopped(GwMove *move, const GwMoveEvent *event, const char *why,
                            GwMoveOutcome *outcome);
#define GW_MOVE_BY_DESTINATIONS_AGENT                                                              \
    "the destination was resumed by its agent, once the source was gone"
/* Whether the VM may have run at the destination, by the job's history. */
gboolean gw_move_was_committed(const GwJob *job);

void gw_move_decide(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome);
/* A person's answer to a held move, as the step it comes to. */
void gw_move_answered(GwMove *move, GwSettle settle, const GwMoveEvent *event,
                      GwMoveOutcome *outcome);
/* A settling step came back: look again, at once or later where it is being repeated. */
void gw_move_step_taken(GwMove *move, const GwMoveEvent *event, GwMoveOutcome *outcome);
