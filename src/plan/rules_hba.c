/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/hbas.h"
#include "plan/rules_choice.h"

/* Rules on the VM's virtual HBAs (R41). */

/* Whether a disk of it is to be reached through it; else its LUNs are copied. */
static gboolean is_needed(const GwPlanInput *input, const GwHbaMove *hba)
{
    guint stay = 0, copied = 0;

    gw_plan_hba_disks(input, hba, &stay, &copied);
    return stay > 0;
}

/* While it is copied a LUN is read through the very virtual HBA that is to leave, and its old copy
 * would leave with it. */
static void check_all(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                      const GwHbaMove *hba)
{
    guint stay = 0, copied = 0;

    gw_plan_hba_disks(input, hba, &stay, &copied);
    if (copied == 0 || stay == 0)
        return;
    gw_rule_add(self, findings,
                g_strdup_printf("Virtual HBA '%s' is handed over to %s, and %u of the %u disks "
                                "behind it are copied",
                                hba->pool, gw_plan_host_name(input->destination), copied,
                                copied + stay),
                g_strdup("All disks behind it go along, or all are copied."),
                g_strdup_printf("Let all be copied (--hba %s=none), or leave the disks' choices "
                                "out.",
                                hba->source_wwpn));
}

static void check_reaches(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    for (guint i = 0; i < input->hbas->len; i++) {
        const GwHbaMove *hba = input->hbas->pdata[i];
        gboolean needed = is_needed(input, hba);
        gboolean meant = hba->how == (int)GW_HBA_NONE && hba->remedy == NULL && !needed;
        if (hba->how == (int)GW_HBA_HANDED_OVER)
            check_all(self, input, findings, hba);
        if (hba->how == (int)GW_HBA_OWN || hba->how == (int)GW_HBA_HANDED_OVER || meant)
            continue;
        gw_rule_add_as(self, needed ? GW_SEVERITY_ERROR : GW_SEVERITY_WARNING, findings,
                       g_strdup_printf("Virtual HBA '%s' does not get to %s: %s%s", hba->pool,
                                       gw_plan_host_name(input->destination), hba->why,
                                       needed ? "" : "; its LUNs are copied"),
                       g_strdup("A way into the same SAN at the destination."),
                       g_strdup(hba->remedy != NULL
                                    ? hba->remedy
                                    : "Let its LUNs be copied, or leave the choice out."));
    }
}

const GwRule gw_rule_virtual_hba = {
    "virtual-hba",     "R41",
    GW_SEVERITY_ERROR, "Each virtual HBA must get to the destination, or its LUNs be copied.",
    GW_RULE_MOVES,     check_reaches
};

static const char *fabric_of(const GwHost *host, const char *name)
{
    const GwHba *hba = gw_plan_hba_called(host, name);
    return hba != NULL ? hba->fabric_wwn : NULL;
}

static void check_san(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const char *to = gw_plan_host_name(input->destination);

    for (guint i = 0; i < input->hbas->len; i++) {
        const GwHbaMove *hba = input->hbas->pdata[i];
        const char *here = fabric_of(input->source, hba->from);
        const char *there = fabric_of(input->destination, hba->to);
        /* One that is not told says nothing. */
        gboolean there_too = hba->how == (int)GW_HBA_OWN || hba->how == (int)GW_HBA_HANDED_OVER;
        if (!there_too || here == NULL || there == NULL || g_ascii_strcasecmp(here, there) == 0)
            continue;
        gw_rule_add(self, findings,
                    g_strdup_printf(
                        "Virtual HBA '%s' is on SAN %s, and %s %s (%s) on %s", hba->pool, here,
                        hba->how == (int)GW_HBA_OWN ? "that of" : "the HBA of", to, hba->to, there),
                    g_strdup("Both on the same SAN."),
                    g_strdup_printf("See that the SANs are joined, or let an HBA of the same SAN "
                                    "carry %s on %s.",
                                    hba->how == (int)GW_HBA_OWN ? "the one" : "it (--hba)", to));
    }
}

const GwRule gw_rule_virtual_hba_san = {
    "virtual-hba-san",   "R41",
    GW_SEVERITY_WARNING, "The virtual HBAs of both hosts are on the same SAN.",
    GW_RULE_MOVES,       check_san
};

/* Choices -------------------------------------------------------------------------------------- */

static const GwChoiceWords words = { "An HBA", "HBAs", "virtual HBA", "A WWPN, and an HBA or none.",
                                     "The WWPN of one of the VM's virtual HBAs." };

static const GwHbaMove *move_of(const GwPlanInput *input, const char *wwpn)
{
    for (guint i = 0; i < input->hbas->len; i++) {
        const GwHbaMove *move = input->hbas->pdata[i];
        if (gw_hba_same_wwn(move->source_wwpn, wwpn))
            return move;
    }
    return NULL;
}

/* "5001a4a0d2aa0001 (vhba1), …" */
static char *list_virtual(const GwPlanInput *input)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < MIN(input->hbas->len, 12); i++) {
        const GwHbaMove *move = input->hbas->pdata[i];
        g_string_append_printf(out, "%s%s (%s)", i > 0 ? ", " : "", move->source_wwpn, move->pool);
    }
    return gw_plan_list_end(out);
}

static void choice_of_parent(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                             const GwHbaMove *move, const GwHbaChoice *choice)
{
    const char *to = gw_plan_host_name(input->destination);
    const GwHba *hba = gw_plan_hba_called(input->destination, choice->parent);
    g_autofree char *list = gw_plan_list_hbas(input);

    if (hba == NULL || !gw_plan_hba_has_room(input, hba))
        gw_rule_add(self, findings,
                    g_strdup_printf(hba == NULL
                                        ? "HBA '%s' was chosen for virtual HBA %s, and %s has none "
                                          "of that name that carries virtual ones"
                                        : "HBA '%s' was chosen for virtual HBA %s, and that of %s "
                                          "has no room for another",
                                    choice->parent, choice->wwpn, to),
                    g_strdup_printf("One of %s with room: %s.", to, list),
                    g_strdup("Correct the choice, or leave it out."));
    else if (move->how == (int)GW_HBA_NOT)
        gw_rule_add(self, findings,
                    g_strdup_printf("HBA '%s' was chosen for virtual HBA %s, which does not get "
                                    "there: %s",
                                    choice->parent, choice->wwpn, move->why),
                    g_strdup("A virtual HBA that can be handed over."), g_strdup(move->remedy));
    else if (move->how == (int)GW_HBA_NONE && move->remedy != NULL)
        gw_rule_add(self, findings,
                    g_strdup_printf("HBA '%s' was chosen for virtual HBA %s, and %s",
                                    choice->parent, choice->wwpn, move->why),
                    g_strdup("A virtual HBA that is logged in."), g_strdup(move->remedy));
    else if (move->how == (int)GW_HBA_OWN && g_strcmp0(move->to, choice->parent) != 0)
        gw_rule_add(self, findings,
                    g_strdup_printf("HBA '%s' was chosen for virtual HBA %s, and %s has one of its "
                                    "own for pool '%s', carried by %s",
                                    choice->parent, choice->wwpn, to, move->pool,
                                    gw_plan_text(move->to)),
                    g_strdup("One virtual HBA for a pool."),
                    g_strdup("Leave the choice out, or remove that pool there."));
}

static void check_choice(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                         const GwHbaChoice *choice)
{
    const GwHbaMove *move = move_of(input, choice->wwpn);
    g_autoptr(GError) shape = NULL;

    if (!gw_hba_choice_check(choice, &shape)) {
        gw_rule_choice_shape(self, findings, &words, shape);
    } else if (move == NULL) {
        gw_rule_choice_unknown(self, input, findings, &words, choice->wwpn, list_virtual(input));
    } else if (!choice->none) {
        choice_of_parent(self, input, findings, move, choice);
    }
}

static void check_choices(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GPtrArray *choices = gw_plan_options(input)->hbas;

    for (guint i = 0; choices != NULL && i < choices->len; i++) {
        const GwHbaChoice *choice = choices->pdata[i];
        if (choice->wwpn == NULL || gw_plan_hba_choice(input, choice->wwpn) == choice)
            check_choice(self, input, findings, choice);
        else
            gw_rule_choice_twice(self, findings, &words, choice->wwpn);
    }
}

const GwRule gw_rule_hba_choice = {
    "hba-choice",      "R41",
    GW_SEVERITY_ERROR, "An HBA that is chosen for a virtual HBA must be there.",
    GW_RULE_MOVES,     check_choices
};
