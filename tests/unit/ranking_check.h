/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/plan.h"

/* gw_plan_ranking says what gw_plan_candidates says, for every host and in the same order; in words
 * of the first @told only; and so it does with what is kept in @known (may be NULL) of other
 * pictures. Fails the test that asks otherwise. The explained list; the caller's. */
GPtrArray *ranking_check(const GwFabric *fabric, const GwVm *vm, const GwMoveOptions *options,
                         guint told, GwKnownHosts *known);

/* The same with two more hosts for each, alike but for what is a host's own, and with more or less
 * of everything: one verdict is to hold for them. */
void ranking_check_alike(GwFabric *fabric, const GwVm *vm, const GwMoveOptions *options);
