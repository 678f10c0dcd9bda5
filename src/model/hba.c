/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/hba.h"

#include <string.h>

#include "base/error.h"

GW_DEFINE_RECORD(GwHba, gw_hba, "Hba", "A Fibre Channel HBA that can carry virtual ones (NPIV).",
                 GW_F(GwHba, name, GW_STRING, .flags = GW_REQUIRED,
                      .doc = "libvirt's name of it, e.g. scsi_host5."),
                 GW_F(GwHba, wwnn, GW_STRING, .doc = "World-wide node name."),
                 GW_F(GwHba, wwpn, GW_STRING, .doc = "World-wide port name."),
                 GW_F(GwHba, fabric_wwn, GW_STRING,
                      .doc = "Name of the SAN that it is logged in to; absent: not told."),
                 GW_F(GwHba, max_vports, GW_INT, .doc = "Virtual HBAs that it can carry."),
                 GW_F(GwHba, vports, GW_INT, .doc = "Virtual HBAs that it carries."));

const GwEnum gw_hba_how_enum = { "HbaHow", (const char *const[]){ "not", "own", "none", NULL } };

GW_DEFINE_RECORD(
    GwHbaMove, gw_hba_move, "HbaMove", "Where one virtual HBA of a VM goes (R41).",
    GW_F(GwHbaMove, pool, GW_STRING, .doc = "The pool that it is."),
    GW_F(GwHbaMove, source_wwpn, GW_STRING, .doc = "World-wide port name that it has."),
    GW_F(GwHbaMove, wwpn, GW_STRING,
         .doc = "World-wide port name that is logged in at the destination; absent: none is."),
    GW_F(GwHbaMove, how, GW_ENUM, .of_enum = &gw_hba_how_enum,
         .doc = "not: it does not get there; own: the destination has one for the same pool; none: "
                "it is on no HBA, or is not to come along."),
    GW_F(GwHbaMove, chosen, GW_BOOL, .doc = "A person chose so."),
    GW_F(GwHbaMove, from, GW_STRING, .doc = "The HBA of the source that carries it."),
    GW_F(GwHbaMove, to, GW_STRING,
         .doc = "The HBA of the destination that carries its own, or that suits best."),
    GW_F(GwHbaMove, why, GW_STRING, .doc = "Why so."),
    GW_F(GwHbaMove, remedy, GW_STRING, .doc = "What would get it there."));

GW_DEFINE_RECORD(
    GwHbaChoice, gw_hba_choice, "HbaChoice", "What is chosen for one virtual HBA (R41).",
    GW_F(GwHbaChoice, wwpn, GW_STRING, .flags = GW_REQUIRED,
         .doc = "World-wide port name that it has at the source, 16 hexadecimal digits."),
    GW_F(GwHbaChoice, parent, GW_STRING,
         .doc = "The HBA of the destination that is to carry it, e.g. scsi_host5."),
    GW_F(GwHbaChoice, none, GW_BOOL, .doc = "It does not come along: its LUNs are copied."));

static gboolean is_wwn(const char *text)
{
    gsize length = text != NULL ? strlen(text) : 0;

    for (gsize i = 0; i < length; i++) {
        if (!g_ascii_isxdigit(text[i]))
            return FALSE;
    }
    return length == 16;
}

gboolean gw_hba_choice_check(const GwHbaChoice *choice, GError **error)
{
    gboolean named = choice->parent != NULL && *choice->parent != '\0';
    const char *why = !is_wwn(choice->wwpn)     ? "its WWPN is not 16 hexadecimal digits"
                      : !named && !choice->none ? "it names no HBA, nor says none"
                      : named && choice->none   ? "it says none, and an HBA"
                                                : NULL;

    if (why == NULL)
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID,
                 "Give the WWPN of the virtual HBA and an HBA of the destination, or none: --hba "
                 "5001a4a0d2aa0001=scsi_host5.",
                 "the choice of an HBA for virtual HBA '%.40s': %s",
                 choice->wwpn != NULL ? choice->wwpn : "", why);
    return FALSE;
}

gboolean gw_hba_same_wwn(const char *a, const char *b)
{
    return a != NULL && b != NULL && g_ascii_strcasecmp(a, b) == 0;
}
