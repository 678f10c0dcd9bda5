/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/rules_choice.h"

#include "base/error.h"

void gw_rule_choice_shape(const GwRule *rule, GPtrArray *findings, const GwChoiceWords *words,
                          const GError *error)
{
    gw_rule_add(rule, findings, g_strdup(error->message), g_strdup(words->shape),
                g_strdup(gw_error_remedy(error)));
}

void gw_rule_choice_unknown(const GwRule *rule, const GwPlanInput *input, GPtrArray *findings,
                            const GwChoiceWords *words, const char *name, char *parts)
{
    gw_rule_add(rule, findings,
                g_strdup_printf("%s was chosen for %s %s, which %s does not have (it has %s)",
                                words->chosen, words->part, name, gw_plan_vm_name(input->vm),
                                parts),
                g_strdup(words->name), g_strdup("Correct the choice, or leave it out."));
    g_free(parts);
}

void gw_rule_choice_twice(const GwRule *rule, GPtrArray *findings, const GwChoiceWords *words,
                          const char *name)
{
    gw_rule_add(
        rule, findings,
        g_strdup_printf("%s were chosen twice for %s %s", words->chosen_many, words->part, name),
        g_strdup_printf("One choice for each %s.", words->part),
        g_strdup("Leave one of them out."));
}
