/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "job/plan_job.h"

/* plan_job_moves.c */
/* NULL: there is none of that index. */
GwPlannedMove *gw_plan_job_move(const GwPlanJob *self, guint index);
guint gw_plan_job_count(const GwPlanJob *self, GwPlannedState state);
/* What is left goes by @plan from now on. Returns how many moves that are. */
guint gw_plan_job_take(GwPlanJob *self, const GwMigrationPlan *plan);
/* At the end: of each VM that did not move it is said what became of it. */
void gw_plan_job_settle(GwPlanJob *self);
