/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/record.h"

/* How long a move will take, said before it begins (R66), as an interval: of 100 moves 10 are below
 * the first figure, and 10 above the last. */
typedef struct {
    gint64 low, likely, high; /* 10, 50 and 90 % */
} GwInterval;
GW_DECLARE_RECORD(GwInterval, gw_interval)

typedef enum {
    GW_CONVERGES_UNKNOWN,   /* how fast the guest dirties its memory has not been seen */
    GW_CONVERGES_YES,       /* copied faster than dirtied */
    GW_CONVERGES_THROTTLED, /* only with the guest slowed down (auto-converge), or by post-copy */
    GW_CONVERGES_NO,        /* not with these options: what to choose is in @remedy */
    GW_CONVERGES_NOTHING,   /* the VM is off, or only its definition moves */
} GwConverges;
extern const GwEnum gw_converges_enum;

typedef struct {
    GwInterval *total_ms;    /* from the job's start (not counting the queue) to its end */
    GwInterval *downtime_ms; /* absent: the VM is off */
    GwInterval *bytes;       /* over the network, or between the pools of one host */
    int converges;           /* GwConverges */
    char *remedy;
    gint64 link_bps;     /* what the copy is taken to get, bytes per second */
    gint64 dirty_bps;    /* what the guest is taken to dirty; -1: unknown */
    gint64 cpu_permille; /* how busy the guest is taken to keep its CPUs; 0: unknown */
    gint64 memory_bytes; /* what of its memory is taken to hold something */
    gint64 disk_bytes;   /* what is taken to be copied of its disks */
    gint64 samples;      /* moves between these two hosts that it learned from */
    char **basis;        /* what each figure rests on, in words */
} GwPrediction;
GW_DECLARE_RECORD(GwPrediction, gw_prediction)

/* What was seen of a running VM, for ratings and predictions. */
typedef struct {
    gint64 cpu_permille;         /* of one CPU, over the last interval; -1: unknown */
    gint64 memory_used_kib;      /* resident, of the emulator; -1: unknown */
    gint64 dirty_bps;            /* memory dirtied, bytes per second; -1: unknown */
    gint64 disk_read_bps;        /* -1: unknown */
    gint64 disk_write_bps;       /* -1: unknown */
    gint64 network_bps;          /* in and out; -1: unknown */
    gint64 disk_allocated_bytes; /* of all its disks; -1: unknown */
    char *sampled_at;            /* RFC 3339 */
    char *dirty_sampled_at;
} GwVmUsage;
GW_DECLARE_RECORD(GwVmUsage, gw_vm_usage)
/* One of which nothing is known yet. */
GwVmUsage *gw_vm_usage_new_unknown(void);

/* What was seen of a host. */
typedef struct {
    gint64 cpu_permille; /* of all its CPUs together; -1: unknown */
    gint64 memory_used_kib;
    gint64 network_bps; /* -1: unknown */
    char *sampled_at;
} GwHostUsage;
GW_DECLARE_RECORD(GwHostUsage, gw_host_usage)
GwHostUsage *gw_host_usage_new_unknown(void);
