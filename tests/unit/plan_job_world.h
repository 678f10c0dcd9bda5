/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "unit.h"

#include "base/error.h"
#include "job/plan_job.h"

/* Plans and their jobs by hand, for the table of a job that carries a plan out. */

#define SECOND ((gint64)G_USEC_PER_SEC)

/* Of VM @vm (its UUID) from host h1 to h2. */
GwPlannedMove *job_move(const char *vm, gint64 after);
/* Of @count moves, for the VMs that follow. */
GwMigrationPlan *job_plan(guint count, ...);
/* Takes @plan. */
GwPlanJob *job_for(GwJobState state, GwMigrationPlan *plan);
/* NULL: there are not so many. */
GwPlannedMove *job_move_at(const GwPlanJob *self, guint index);
GError *job_refusal(const char *words);
