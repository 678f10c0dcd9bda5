/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/hba.h"

GW_DEFINE_RECORD(GwHba, gw_hba, "Hba", "A Fibre Channel HBA that can carry virtual ones (NPIV).",
                 GW_F(GwHba, name, GW_STRING, .flags = GW_REQUIRED,
                      .doc = "libvirt's name of it, e.g. scsi_host5."),
                 GW_F(GwHba, wwnn, GW_STRING, .doc = "World-wide node name."),
                 GW_F(GwHba, wwpn, GW_STRING, .doc = "World-wide port name."),
                 GW_F(GwHba, fabric_wwn, GW_STRING,
                      .doc = "Name of the SAN that it is logged in to; absent: not told."),
                 GW_F(GwHba, max_vports, GW_INT, .doc = "Virtual HBAs that it can carry."),
                 GW_F(GwHba, vports, GW_INT, .doc = "Virtual HBAs that it carries."));

const GwEnum gw_hba_how_enum = { "HbaHow", (const char *const[]){ "not", "own", NULL } };

GW_DEFINE_RECORD(
    GwHbaMove, gw_hba_move, "HbaMove", "Where one virtual HBA of a VM goes (R41).",
    GW_F(GwHbaMove, pool, GW_STRING, .doc = "The pool that it is."),
    GW_F(GwHbaMove, wwpn, GW_STRING,
         .doc = "World-wide port name that is logged in at the destination; absent: none is."),
    GW_F(GwHbaMove, how, GW_ENUM, .of_enum = &gw_hba_how_enum,
         .doc = "not: it does not get there; own: the destination has one for the same pool."),
    GW_F(GwHbaMove, from, GW_STRING, .doc = "The HBA of the source that carries it."),
    GW_F(GwHbaMove, to, GW_STRING,
         .doc = "The HBA of the destination that carries its own, or that suits best."),
    GW_F(GwHbaMove, why, GW_STRING, .doc = "Why so."),
    GW_F(GwHbaMove, remedy, GW_STRING, .doc = "What would get it there."));
