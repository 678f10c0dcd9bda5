/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/json.h"

/* A job that carries out a plan of many moves, in words; pure. Strings are owned by the caller. */

gboolean gw_plan_progress_is(json_t *job);
/* It does, and its plan was left out. */
gboolean gw_plan_progress_is_brief(json_t *job);
/* "moving VMs", "paused", "cancelling"; the state where it is not under way. */
char *gw_plan_progress_phase(json_t *job);
/* "3 of 5 VMs": moved; those that cannot move are among all. */
char *gw_plan_progress_count(json_t *job);
/* "web1, db1 and 4 more": those that are on their way; NULL: none is. */
char *gw_plan_progress_moving(json_t *job);
/* Adds what is known of one under way, the most wanted first; strings, owned by @facts. */
void gw_plan_progress_facts(json_t *job, GPtrArray *facts);
/* What came of it: rows of a name and what it says; called for each. */
typedef void (*GwPlanProgressRow)(GString *out, const char *name, const char *value);
void gw_plan_progress_result(json_t *job, GString *out, GwPlanProgressRow put);
