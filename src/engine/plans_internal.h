/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/jobs_internal.h"
#include "job/plan_job.h"

/* plans.c: a person's event (PAUSE, RESUME, CANCEL); a copy of the job, or an error. */
GwJob *gw_plans_event(GwEngine *engine, const char *job_id, GwPlanJobEventKind kind,
                      GError **error);
