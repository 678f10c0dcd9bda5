/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "job/work.h"

/* What work.c (the table), work_copy.c and work_ends.c share. */

#define GW_WORK_COMMIT_TRIES 12 /* some five minutes */
#define GW_WORK_UNDO_TRIES 5

/* work_copy.c */
void gw_work_begin_copy(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome);
/* Whether anything moved since it was looked at last (R60). */
void gw_work_watch(GwWork *work, const GwWorkEvent *event);
void gw_work_stop(GwWork *work, GwWorkOutcome *outcome);
void gw_work_stop_started(GwWork *work, GwWorkOutcome *outcome);
void gw_work_stop_too_long(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome);
void gw_work_stop_stalled(GwWork *work, GwWorkOutcome *outcome);

/* work_ends.c */
GwLifeMoment gw_work_moment(const GwWorkEvent *event);
/* The job's result, made where there is none. */
GwMoveResult *gw_work_result(GwJob *job);
/* What was said first stays: the rest follows from it. */
void gw_work_take_error(GwJob *job, const GError *error);
void gw_work_finish(GwWork *work, GwJobState state, const GwWorkEvent *event, const char *why,
                    GwWorkOutcome *outcome);
void gw_work_undo(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome);
void gw_work_undo_again(GwWork *work, GwWorkOutcome *outcome);
/* Later again, or the end. */
void gw_work_pause_undo(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome);
void gw_work_end_undone(GwWork *work, const GwWorkEvent *event, const char *why,
                        GwWorkOutcome *outcome);
void gw_work_commit(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome);
void gw_work_pause_or_give_up(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome);
void gw_work_end_done(GwWork *work, const GwWorkEvent *event, const char *why,
                      GwWorkOutcome *outcome);
