/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/request.h"

GW_DEFINE_RECORD(GwMoveRequest, gw_move_request, "MoveRequest", "Where to move a VM, and how.",
                 GW_F(GwMoveRequest, destination, GW_STRING, .flags = GW_REQUIRED,
                      .doc = "Destination host, by id or name."),
                 GW_F(GwMoveRequest, options, GW_OBJECT, .of = &gw_move_options_record,
                      .doc = "Options; default: the hosts'."));

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
