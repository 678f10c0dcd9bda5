/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/plan.h"

/* How long the moves of a plan take in its own order, and in those that people use without one: by
 * one model of links and guests for all. Seconds, into @out: "planned_s", "two_s", "all_s",
 * "one_s", "bound_s". */
void makespan_compare(const GwFabric *fabric, const GwMigrationPlan *plan, json_t *out);
