/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/fabric.h"
#include "model/rule_conflict.h"

/* placement_check.c. The required rules that cannot be kept any more, by name, since hosts, tags or
 * networks have changed (R57): GwRuleConflict, owned. VMs and hosts that have gone are in nobody's
 * way. */
GPtrArray *gw_plan_rule_conflicts(const GwFabric *fabric);
