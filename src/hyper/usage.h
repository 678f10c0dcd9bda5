/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Counters that only go up, as a host tells them, and what two readings of them come to. */

typedef enum {
    GW_COUNT_CPU_NS, /* of a VM: CPU time used; of a host: time that its CPUs were busy */
    GW_COUNT_IDLE_NS,
    GW_COUNT_READ,    /* bytes */
    GW_COUNT_WRITTEN, /* bytes */
    GW_COUNT_NETWORK, /* bytes, in and out */
    GW_COUNTS
} GwCount;

typedef struct {
    gint64 at_us;             /* monotonic */
    gint64 values[GW_COUNTS]; /* -1: not told */
} GwUsageCounts;

void gw_usage_counts_init(GwUsageCounts *counts, gint64 at_us);
/* Adds what a host told to a counter; never overflows. */
void gw_usage_count(GwUsageCounts *counts, GwCount which, guint64 amount);
/* How much one went up each second; -1 where that cannot be said: no earlier reading (@before may
 * be NULL), not told, less than before (the VM was started anew), no time between. */
gint64 gw_usage_rate(const GwUsageCounts *before, const GwUsageCounts *now, GwCount which);
/* CPU time used by the time that went by, in thousandths of one CPU; -1 as above. */
gint64 gw_usage_cpu_permille(const GwUsageCounts *before, const GwUsageCounts *now);
/* Busy by busy and idle, in thousandths; -1 as above. */
gint64 gw_usage_busy_permille(const GwUsageCounts *before, const GwUsageCounts *now);
