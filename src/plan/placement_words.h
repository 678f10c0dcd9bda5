/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/placement_index.h"

/* A placement rule that a move would not keep. */
typedef struct {
    const GwPlacementRule *rule;
    char *observed, *required, *remedy;
} GwBrokenRule;

/* GwBrokenRule, owned by the caller; NULL: none. Those that are @required, or those that are
 * preferred; of @kind (GwPlacementRuleKind), or of all where it is -1. */
GPtrArray *gw_placement_broken(const GwPlanInput *input, gboolean required, int kind);
