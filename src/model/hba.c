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

GW_DEFINE_RECORD(GwLun, gw_lun, "Lun", "A LUN that a virtual HBA shows its host.",
                 GW_F(GwLun, name, GW_STRING, .flags = GW_REQUIRED,
                      .doc = "Name of the volume in the pool."),
                 GW_F(GwLun, id, GW_STRING, .doc = "By which it is the same on every host."),
                 GW_F(GwLun, capacity_bytes, GW_INT, .doc = "Size."));

GW_DEFINE_RECORD(GwVirtualHba, gw_virtual_hba, "VirtualHba", "A virtual HBA as its host has it.",
                 GW_F(GwVirtualHba, pool, GW_STRING, .flags = GW_REQUIRED,
                      .doc = "The pool that it is."),
                 GW_F(GwVirtualHba, uuid, GW_STRING, .doc = "UUID of the pool's definition."),
                 GW_F(GwVirtualHba, wwpn, GW_STRING, .doc = "World-wide port name."),
                 GW_F(GwVirtualHba, active, GW_BOOL, .doc = "It is logged in."),
                 GW_F(GwVirtualHba, autostart, GW_BOOL, .doc = "It logs in when its host boots."),
                 GW_F(GwVirtualHba, luns, GW_ARRAY, .of = &gw_lun_record, .max = GW_HBA_LUNS_MAX,
                      .doc = "What it shows."));

const GwEnum gw_hba_how_enum = { "HbaHow", (const char *const[]){ "not", "own", "none",
                                                                  "handed-over", NULL } };

GW_DEFINE_RECORD(
    GwHbaMove, gw_hba_move, "HbaMove", "Where one virtual HBA of a VM goes (R41).",
    GW_F(GwHbaMove, pool, GW_STRING, .doc = "The pool that it is."),
    GW_F(GwHbaMove, source_wwpn, GW_STRING, .doc = "World-wide port name that it has."),
    GW_F(GwHbaMove, wwpn, GW_STRING,
         .doc = "World-wide port name that is logged in at the destination; absent: none is."),
    GW_F(GwHbaMove, how, GW_ENUM, .of_enum = &gw_hba_how_enum,
         .doc =
             "not: it does not get there; own: the destination has one for the same pool; none: "
             "it is on no HBA, or is not to come along; handed-over: the VM is off, and it leaves "
             "the source and comes to the destination."),
    GW_F(GwHbaMove, chosen, GW_BOOL, .doc = "A person chose so."),
    GW_F(GwHbaMove, from, GW_STRING, .doc = "The HBA of the source that carries it."),
    GW_F(GwHbaMove, to, GW_STRING,
         .doc = "The HBA of the destination that carries its own, or that suits best."),
    GW_F(GwHbaMove, why, GW_STRING, .doc = "Why so."),
    GW_F(GwHbaMove, remedy, GW_STRING, .doc = "What would get it there."),
    GW_F(GwHbaMove, volumes, GW_STRINGS, .doc = "What the VM has behind it."),
    GW_F(GwHbaMove, was, GW_OBJECT, .of = &gw_virtual_hba_record,
         .doc = "As the source had it right before it was stopped; absent: not read yet."));

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

/* By name, the first of each: a virtual HBA may show thousands, and a VM have a thousand. */
static GHashTable *table_of_luns(const GwVirtualHba *hba)
{
    GHashTable *table = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = hba->luns != NULL ? hba->luns->len : 0; i > 0; i--) {
        GwLun *lun = hba->luns->pdata[i - 1];
        if (lun->name != NULL)
            g_hash_table_replace(table, lun->name, lun);
    }
    return table;
}

static gboolean not_behind(const char *name, GError **error)
{
    gw_error_set(error, GW_ERR_BUSY,
                 "See that the SAN lets the WWPN in from this host too, and that the HBA that "
                 "carries it is on that SAN.",
                 "the LUN '%s' is not seen behind it", name);
    return FALSE;
}

static gboolean check_lun(const GwLun *was, const GwLun *now, GError **error)
{
    gboolean told = was->id != NULL && now->id != NULL;
    gboolean same =
        told && strcmp(was->id, now->id) == 0 && was->capacity_bytes == now->capacity_bytes;

    if (same)
        return TRUE;
    gw_error_set(
        error, GW_ERR_CONFLICT,
        "Number the LUNs alike on both hosts, or name them in the VM's definition by their "
        "world-wide names (/dev/disk/by-id/wwn-…).",
        told ? "the volume '%s' is another LUN here (%s, and was %s)"
             : "it cannot be told whether the volume '%s' is the same LUN here (%s, and "
               "was %s)",
        was->name, now->id != NULL ? now->id : "not told", was->id != NULL ? was->id : "not told");
    return FALSE;
}

gboolean gw_virtual_hba_check(const GwVirtualHba *was, const GwVirtualHba *now,
                              char *const *volumes, GError **error)
{
    g_autoptr(GHashTable) then = table_of_luns(was);
    g_autoptr(GHashTable) shown = table_of_luns(now);

    for (guint i = 0; volumes != NULL && volumes[i] != NULL; i++) {
        const GwLun *before = g_hash_table_lookup(then, volumes[i]);
        const GwLun *there = g_hash_table_lookup(shown, volumes[i]);
        if (before == NULL || there == NULL)
            return not_behind(volumes[i], error);
        if (!check_lun(before, there, error))
            return FALSE;
    }
    return TRUE;
}

GwVirtualHba *gw_virtual_hba_with(const GwVirtualHba *seen, char *const *volumes)
{
    g_autoptr(GHashTable) shown = table_of_luns(seen);
    GwVirtualHba *kept = gw_virtual_hba_copy(seen);

    g_clear_pointer(&kept->luns, g_ptr_array_unref);
    kept->luns = gw_record_array(&gw_lun_record);
    for (guint i = 0; volumes != NULL && volumes[i] != NULL; i++) {
        const GwLun *lun = g_hash_table_lookup(shown, volumes[i]);
        if (lun != NULL)
            g_ptr_array_add(kept->luns, gw_lun_copy(lun));
    }
    return kept;
}
