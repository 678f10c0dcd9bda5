/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/request.h"

GW_DEFINE_RECORD(
    GwMoveRequest, gw_move_request, "MoveRequest", "Where to move a VM, and how.",
    GW_F(GwMoveRequest, destination, GW_STRING, .flags = GW_REQUIRED,
         .doc = "Destination host, or host group: its best host (R46). By id or name."),
    GW_F(GwMoveRequest, best_storage, GW_BOOL,
         .doc = "Onto a host: disks that are copied go to the pool of it that has the most space "
                "left, and the move is refused where the host has no stars (R26, R45). A host "
                "group is always placed on so."),
    GW_F(GwMoveRequest, options, GW_OBJECT, .of = &gw_move_options_record,
         .doc = "Options; default: the hosts'."));

GW_DEFINE_RECORD(GwMaintenanceRequest, gw_maintenance_request, "MaintenanceRequest",
                 "Whether a host is to be empty for maintenance (R49).",
                 GW_F(GwMaintenanceRequest, on, GW_BOOL, .flags = GW_REQUIRED,
                      .doc = "true: it gets no VM any more; false: it takes VMs again."));

GW_DEFINE_RECORD(GwStorageLocation, gw_storage_location, "StorageLocation",
                 "A pool of a host, as a place to choose (R16).",
                 GW_F(GwStorageLocation, pool, GW_STRING, .doc = "Name of the pool."),
                 GW_F(GwStorageLocation, path, GW_STRING, .doc = "Its path on the host."),
                 GW_F(GwStorageLocation, type, GW_STRING, .doc = "libvirt's type of the pool."),
                 GW_F(GwStorageLocation, is_default, GW_BOOL,
                      .doc = "One of the host's default locations."),
                 GW_F(GwStorageLocation, capacity_bytes, GW_INT, .doc = "Size, bytes."),
                 GW_F(GwStorageLocation, available_bytes, GW_INT,
                      .doc = "Free, bytes, as the host says."),
                 GW_F(GwStorageLocation, promised_bytes, GW_INT,
                      .doc = "Of them, what jobs that are not over still need, bytes."));

GW_DEFINE_RECORD(GwJobChange, gw_job_change, "JobChange", "What to change while a move copies.",
                 GW_F(GwJobChange, bandwidth_mibps, GW_INT, .min = -1, .max = 1000000,
                      .doc = "Bandwidth limit in MiB/s; 0: none; -1: leave it."),
                 GW_F(GwJobChange, max_downtime_ms, GW_INT, .min = -1, .max = 60000,
                      .doc = "Longest pause to aim at, in ms; -1: leave it."));

const GwEnum gw_keep_enum = { "Keep", (const char *const[]){ "source", "destination", NULL } };

GW_DEFINE_RECORD(GwSettleRequest, gw_settle_request, "SettleRequest",
                 "Which side of a held move to keep; the other one is destroyed.",
                 GW_F(GwSettleRequest, keep, GW_ENUM, .of_enum = &gw_keep_enum,
                      .flags = GW_REQUIRED, .doc = "source or destination."));
