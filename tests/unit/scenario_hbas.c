/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scenario_hbas.h"

gboolean scenario_has_hbas(const GwCandidate *candidate)
{
    return candidate->hbas != NULL && candidate->hbas->len > 0;
}

/* "vhba1 (5001a4a0d2aa0001) scsi_host5 to scsi_host3: not, chosen" */
static char *hba_words(const GwHbaMove *move)
{
    return g_strdup_printf("%s (%s) %s to %s: %s%s", move->pool, move->source_wwpn,
                           move->from != NULL ? move->from : "-", move->to != NULL ? move->to : "-",
                           gw_enum_word(&gw_hba_how_enum, move->how),
                           move->chosen ? ", chosen" : "");
}

json_t *scenario_hbas_json(const GwCandidate *candidate)
{
    json_t *hbas = json_array();

    for (guint i = 0; i < candidate->hbas->len; i++) {
        g_autofree char *words = hba_words(candidate->hbas->pdata[i]);
        json_array_append_new(hbas, json_string(words));
    }
    return hbas;
}

void scenario_why_hbas(GString *out, const GwCandidate *candidate)
{
    for (guint i = 0; scenario_has_hbas(candidate) && i < candidate->hbas->len; i++) {
        const GwHbaMove *move = candidate->hbas->pdata[i];
        g_autofree char *words = hba_words(move);
        g_string_append_printf(out, "  virtual HBA %s\n    %s\n", words, move->why);
    }
}
