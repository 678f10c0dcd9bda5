/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/record.h"

/* A required placement rule that cannot be kept as hosts, tags and other rules are now: what was
 * checked when it was made has changed since (R57). */
typedef struct {
    char *rule_id;
    char *rule_name;
    char *observed; /* with which other rule, where there is one */
    char *remedy;
    char **vms; /* UUIDs of the first GW_CONFLICT_VMS_MAX that it leaves without a host */
} GwRuleConflict;
GW_DECLARE_RECORD(GwRuleConflict, gw_rule_conflict)

#define GW_CONFLICT_VMS_MAX 100
