/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/hbas.h"
#include "plan/rule.h"
#include "plan/script.h"

/* Virtual HBAs in virsh's words, and in our own (R41). */

void gw_script_add_hbas(GString *line, const GwMoveOptions *options)
{
    for (guint i = 0; options->hbas != NULL && i < options->hbas->len; i++) {
        const GwHbaChoice *choice = options->hbas->pdata[i];
        const char *parent = choice->none ? "none" : gw_plan_text(choice->parent);
        g_autofree char *words = g_strdup_printf("%s=%s", gw_plan_text(choice->wwpn), parent);
        g_string_append(line, " --hba");
        gw_script_add_word(line, words);
    }
}

static void say_handed_over(GStrvBuilder *lines, const GwPlanInput *input, const GwHbaMove *hba)
{
    g_autofree char *pool = gw_plan_quote(hba->pool);
    g_autofree char *file = g_strdup_printf(" %s --inactive > pool.xml", pool);
    g_autofree char *stay = g_strdup_printf(" %s --disable", pool);
    g_autofree char *only = g_strconcat(" ", pool, NULL);
    const struct {
        const GwHost *host;
        const char *command, *rest;
    } rows[] = {
        { input->source, "pool-dumpxml", file },
        { input->source, "pool-autostart", stay },
        { input->source, "pool-destroy", only },
        { NULL, NULL, NULL }, /* the comment */
        { input->destination, "pool-define", " pool.xml" },
        { input->destination, "pool-start", only },
        { input->source, "pool-undefine", only },
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (rows[i].host == NULL) {
            gw_script_comment(lines, g_strdup_printf("In pool.xml, let the adapter of WWPN %s have "
                                                     "parent='%s'.",
                                                     hba->source_wwpn, gw_plan_text(hba->to)));
            continue;
        }
        GString *line = gw_script_virsh(input, rows[i].host, rows[i].command);
        g_string_append(line, rows[i].rest);
        gw_script_take(lines, g_string_free(line, FALSE));
    }
}

void gw_script_say_hbas(GStrvBuilder *lines, const GwPlanInput *input)
{
    g_autoptr(GPtrArray) hbas = gw_plan_hbas(input);

    gw_plan_hbas_settle(input, hbas);
    for (guint i = 0; i < hbas->len; i++) {
        const GwHbaMove *hba = hbas->pdata[i];
        if (hba->how == (int)GW_HBA_HANDED_OVER)
            say_handed_over(lines, input, hba);
    }
}
