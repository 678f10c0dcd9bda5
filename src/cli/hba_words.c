/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/hba_words.h"

#include <string.h>

#include "base/error.h"
#include "cli/columns.h"
#include "cli/format.h"
#include "model/hba.h"

/* Typed ----------------------------------------------------------------------------------- */

#define HBA_REMEDY                                                                                 \
    "Give WWPN=HBA or WWPN=none: 5001a4a0d2aa0001=scsi_host5, 5001a4a0d2aa0001=none. godwit vm "   \
    "candidates VM -v shows both."

static void bad_hba(GError **error, const char *text, const char *why)
{
    gw_error_set(error, GW_ERR_INVALID, HBA_REMEDY, "--hba '%.300s': %s", text, why);
}

json_t *gw_hba_choice_read(const char *text, GError **error)
{
    const char *equals = strchr(text, '=');
    g_autoptr(GwJson) hba = json_object();
    g_autoptr(GError) why = NULL;

    if (equals == NULL || equals == text) {
        bad_hba(error, text, "it does not begin with a WWPN and '='");
        return NULL;
    }
    g_autofree char *wwpn = g_strndup(text, (gsize)(equals - text));
    json_object_set_new(hba, "wwpn", json_string(wwpn));
    if (strcmp(equals + 1, "none") == 0)
        json_object_set_new(hba, "none", json_true());
    else if (equals[1] != '\0')
        json_object_set_new(hba, "parent", json_string(equals + 1));
    g_autoptr(GwHbaChoice) choice = gw_record_from_request(&gw_hba_choice_record, hba, &why);
    if (choice != NULL && gw_hba_choice_check(choice, &why))
        return g_steal_pointer(&hba);
    bad_hba(error, text, why->message);
    return NULL;
}

static gboolean is_chosen(json_t *hbas, json_t *hba)
{
    for (gsize i = 0; i < json_array_size(hbas); i++) {
        if (gw_hba_same_wwn(gw_at_text(json_array_get(hbas, i), "wwpn"), gw_at_text(hba, "wwpn")))
            return TRUE;
    }
    return FALSE;
}

json_t *gw_hba_choices(const GwArgs *args, GError **error)
{
    const GPtrArray *given = gw_args_all(args, "hba");
    g_autoptr(GwJson) hbas = json_array();

    for (guint i = 0; given != NULL && i < given->len; i++) {
        g_autoptr(GwJson) hba = gw_hba_choice_read(given->pdata[i], error);
        if (hba == NULL)
            return NULL;
        if (is_chosen(hbas, hba)) {
            bad_hba(error, given->pdata[i], "this virtual HBA is chosen twice");
            return NULL;
        }
        json_array_append(hbas, hba);
    }
    return g_steal_pointer(&hbas);
}

/* Shown ----------------------------------------------------------------------------------- */

const GwColumn gw_hba_move_columns[] = {
    { "VIRTUAL HBA", "pool" },
    { "WWPN", "source_wwpn" },
    { "FROM", "from" },
    { "TO", "to" },
    { "WWPN THERE", "wwpn" },
    { "BY", "how" },
    { "WHY", "why", .wrap = TRUE },
    { .header = NULL },
};

void gw_print_hba_moves(GwSession *session, const char *heading, json_t *hbas)
{
    if (json_array_size(hbas) == 0)
        return;
    gw_print_heading(session, heading);
    gw_print_table(session, gw_hba_move_columns, hbas);
}
