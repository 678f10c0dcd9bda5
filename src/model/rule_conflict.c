/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/rule_conflict.h"

GW_DEFINE_RECORD(GwRuleConflict, gw_rule_conflict, "RuleConflict",
                 "A required placement rule that cannot be kept as things are now.",
                 GW_F(GwRuleConflict, rule_id, GW_STRING, .doc = "The rule."),
                 GW_F(GwRuleConflict, rule_name, GW_STRING, .doc = "Its name."),
                 GW_F(GwRuleConflict, observed, GW_STRING,
                      .doc = "Why it cannot be kept, and with which other rule."),
                 GW_F(GwRuleConflict, remedy, GW_STRING, .doc = "What to do about it."),
                 GW_F(GwRuleConflict, vms, GW_STRINGS,
                      .doc = "UUIDs of the first VMs that it leaves without a host."));
