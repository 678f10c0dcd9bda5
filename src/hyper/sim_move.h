/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "hyper/sim_internal.h"

/* How moves go (sim_move.c), and what strikes them (sim_strike.c). */

/* The move is over; @failure: why it failed, or NULL. Nobody hears of it whose client is gone. */
void gw_sim_move_answer(GwSim *sim, SimMove *move, const char *failure);
void gw_sim_move_drop_destination(GwSim *sim, SimMove *move);
void gw_sim_move_source_job_over(SimMove *move);
void gw_sim_move_source_goes_on(GwSim *sim, SimMove *move);
/* The destination has everything: it runs, or waits for the commit. */
void gw_sim_move_arrive(GwSim *sim, SimMove *move);
/* The three that follow from a failure: no destination, the source goes on, and the answer. */
void gw_sim_move_roll_back(GwSim *sim, SimMove *move, const char *failure);
/* What struck changes only what comes later. */
void gw_sim_move_again(GwSim *sim, SimMove *move);

/* TRUE: the move ended, or goes its own way from here. Each fault strikes once. */
gboolean gw_sim_move_struck(GwSim *sim, SimMove *move);
