/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/hbas.h"
#include "plan/rule.h"

/* Rules on the VM's virtual HBAs (R41). */

/* Whether a disk of it is to be reached through it; else its LUNs are copied. */
static gboolean is_needed(const GwPlanInput *input, const GwHbaMove *hba)
{
    const GPtrArray *disks = input->vm->disks;

    for (guint i = 0; disks != NULL && i < disks->len; i++) {
        const GwDisk *disk = disks->pdata[i];
        if (gw_plan_hba_of(input->hbas, disk) == hba &&
            !gw_plan_is_copied(gw_plan_disk_move(input, disk->target)))
            return TRUE;
    }
    return FALSE;
}

static void check_reaches(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    for (guint i = 0; i < input->hbas->len; i++) {
        const GwHbaMove *hba = input->hbas->pdata[i];
        if (hba->how != (int)GW_HBA_NOT)
            continue;
        gboolean needed = is_needed(input, hba);
        gw_rule_add_as(self, needed ? GW_SEVERITY_ERROR : GW_SEVERITY_WARNING, findings,
                       g_strdup_printf("Virtual HBA '%s' does not get to %s: %s%s", hba->pool,
                                       gw_plan_host_name(input->destination), hba->why,
                                       needed ? "" : "; its LUNs are copied"),
                       g_strdup("A way into the same SAN at the destination."),
                       g_strdup(hba->remedy));
    }
}

const GwRule gw_rule_virtual_hba = {
    "virtual-hba",     "R41",
    GW_SEVERITY_ERROR, "Each virtual HBA must get to the destination, or its LUNs be copied.",
    GW_RULE_MOVES,     check_reaches
};

static const char *fabric_of(const GwHost *host, const char *name)
{
    const GwHba *hba = name != NULL
                           ? gw_record_find(&gw_hba_record, gw_plan_facts(host)->hbas, "name", name)
                           : NULL;
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
        if (hba->how != (int)GW_HBA_OWN || here == NULL || there == NULL ||
            g_ascii_strcasecmp(here, there) == 0)
            continue;
        gw_rule_add(self, findings,
                    g_strdup_printf("Virtual HBA '%s' is on SAN %s, and that of %s (%s) on %s",
                                    hba->pool, here, to, hba->to, there),
                    g_strdup("Both on the same SAN."),
                    g_strdup_printf("See that the SANs are joined, or let an HBA of the same SAN "
                                    "carry the one on %s.",
                                    to));
    }
}

const GwRule gw_rule_virtual_hba_san = {
    "virtual-hba-san",   "R41",
    GW_SEVERITY_WARNING, "The virtual HBAs of both hosts are on the same SAN.",
    GW_RULE_MOVES,       check_san
};
