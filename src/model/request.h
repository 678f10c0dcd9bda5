/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/job.h"

/* Bodies of API requests that are not themselves records of the fabric. */

typedef struct {
    char *destination; /* host id or name */
    GwMoveOptions *options;
} GwMoveRequest;
GW_DECLARE_RECORD(GwMoveRequest, gw_move_request)

/* What can be changed while a move copies. -1: leave it. */
typedef struct {
    gint64 bandwidth_mibps;
    gint64 max_downtime_ms;
} GwJobChange;
GW_DECLARE_RECORD(GwJobChange, gw_job_change)

typedef enum {
    GW_KEEP_SOURCE,
    GW_KEEP_DESTINATION,
} GwKeep;
extern const GwEnum gw_keep_enum;

/* A person's answer to a job that is held. */
typedef struct {
    int keep; /* GwKeep */
} GwSettleRequest;
GW_DECLARE_RECORD(GwSettleRequest, gw_settle_request)
