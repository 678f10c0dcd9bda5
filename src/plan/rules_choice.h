/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/rule.h"

/* What is wrong with any choice for a part of the VM (a network for an adapter, an HBA for a
 * virtual HBA), whatever is chosen. */
typedef struct {
    const char *chosen, *chosen_many; /* "A network", "Networks" */
    const char *part;                 /* "adapter" */
    const char *shape;                /* what a choice consists of, a sentence */
    const char *name;                 /* what the part is known by, a sentence */
} GwChoiceWords;

/* @error: what is wrong with its form. */
void gw_rule_choice_shape(const GwRule *rule, GPtrArray *findings, const GwChoiceWords *words,
                          const GError *error);
/* The VM has no part of that @name; @parts (taken over): those that it has. */
void gw_rule_choice_unknown(const GwRule *rule, const GwPlanInput *input, GPtrArray *findings,
                            const GwChoiceWords *words, const char *name, char *parts);
void gw_rule_choice_twice(const GwRule *rule, GPtrArray *findings, const GwChoiceWords *words,
                          const char *name);
