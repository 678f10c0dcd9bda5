/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/job.h"

/* Bodies of API requests that are not themselves records of the fabric. */

typedef struct {
    char *destination;     /* id or name of a host, or of a host group: the best of it (R46) */
    gboolean best_storage; /* of a host: its best pool, as in a group (R26) */
    GwMoveOptions *options;
} GwMoveRequest;
GW_DECLARE_RECORD(GwMoveRequest, gw_move_request)

/* Whether a host is to take VMs (R49). */
typedef struct {
    gboolean on; /* it gets no VM any more */
} GwMaintenanceRequest;
GW_DECLARE_RECORD(GwMaintenanceRequest, gw_maintenance_request)

/* An answer to "where can disks go": a pool of a host, as a place to choose. */
typedef struct {
    char *pool;
    char *path;
    char *type;
    gboolean is_default;
    gint64 capacity_bytes;
    gint64 available_bytes; /* as the host says */
    gint64 promised_bytes;  /* of them, what jobs that are not over still need */
} GwStorageLocation;
GW_DECLARE_RECORD(GwStorageLocation, gw_storage_location)

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
