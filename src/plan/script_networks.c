/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/rule.h"
#include "plan/script.h"

/* Network adapters in virsh's words, and in our own (R40, R43). */

void gw_script_say_nics(GStrvBuilder *lines, const GwPlanInput *input)
{
    for (guint i = 0; input->nics != NULL && i < input->nics->len; i++) {
        const GwNicMove *move = input->nics->pdata[i];
        const GwNic *to = move->to;
        const char *mac = gw_plan_text(move->mac);
        if (!move->changes || to == NULL)
            continue;
        if (gw_nic_is_none(to)) {
            gw_script_comment(
                lines, g_strdup_printf("In vm.xml, let the interface of %s be of type='ethernet', "
                                       "without <source>, with <link state='down'/>.",
                                       mac));
            continue;
        }
        gboolean bridge = g_strcmp0(to->type, "bridge") == 0;
        gw_script_comment(
            lines,
            g_strdup_printf("In vm.xml, let the interface of %s be of type='%s', with "
                            "<source %s='%s'%s%s%s/>%s.",
                            mac, bridge ? "bridge" : "network", bridge ? "bridge" : "network",
                            gw_plan_text(to->source), to->port_group != NULL ? " portgroup='" : "",
                            to->port_group != NULL ? to->port_group : "",
                            to->port_group != NULL ? "'" : "",
                            !to->link_down == !move->from->link_down ? ""
                            : to->link_down                          ? " and <link state='down'/>"
                                                                     : " and <link state='up'/>"));
    }
}

/* What a name could be taken for. */
static gboolean needs_kind(const GwNicChoice *choice)
{
    return choice->kind != NULL || strcmp(choice->network, "none") == 0 ||
           g_str_has_prefix(choice->network, "network:") ||
           g_str_has_prefix(choice->network, "bridge:");
}

static char *choice_words(const GwNicChoice *choice)
{
    if (choice->none || choice->network == NULL)
        return g_strdup_printf("%s=none", gw_plan_text(choice->mac));
    const char *kind = !needs_kind(choice)                      ? ""
                       : g_strcmp0(choice->kind, "bridge") == 0 ? "bridge:"
                                                                : "network:";
    return g_strdup_printf("%s=%s%s%s%s%s", gw_plan_text(choice->mac), kind, choice->network,
                           choice->port_group != NULL ? ",port-group=" : "",
                           choice->port_group != NULL ? choice->port_group : "",
                           choice->link_down ? ",link=down" : "");
}

void gw_script_add_nics(GString *line, const GwMoveOptions *options)
{
    for (guint i = 0; options->nics != NULL && i < options->nics->len; i++) {
        g_autofree char *words = choice_words(options->nics->pdata[i]);
        g_string_append(line, " --nic");
        gw_script_add_word(line, words);
    }
}
