/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/plan.h"

/* What a speed method comes to between two hosts (R24). */
typedef struct {
    const char *compression; /* libvirt's name; NULL: none */
    gint64 channels;         /* 0: a single connection */
    char *words;             /* owned by the caller */
} GwMethodChoice;

GwMethodChoice gw_method_choose(const GwPlanInput *input);

/* decide.c: whether a proved cross-host lock covers every writable disk, so that the two ends
 * cannot both run the VM. A VM without writable disks has nothing to lock: FALSE. Needs
 * input->reaches and input->storage. */
gboolean gw_plan_locks_cover(const GwPlanInput *input);
