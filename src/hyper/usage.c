/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper/usage.h"

void gw_usage_counts_init(GwUsageCounts *counts, gint64 at_us)
{
    counts->at_us = at_us;
    for (guint i = 0; i < GW_COUNTS; i++)
        counts->values[i] = -1;
}

void gw_usage_count(GwUsageCounts *counts, GwCount which, guint64 amount)
{
    guint64 sum = (guint64)MAX(counts->values[which], 0);

    counts->values[which] = (gint64)(sum + MIN(amount, (guint64)G_MAXINT64 - sum));
}

/* How much it went up; -1: it cannot be said. */
static gint64 difference(const GwUsageCounts *before, const GwUsageCounts *now, GwCount which)
{
    if (before == NULL || now->at_us <= before->at_us || before->values[which] < 0 ||
        now->values[which] < before->values[which])
        return -1;
    return now->values[which] - before->values[which];
}

/* Counters are the host's word: whatever they hold, the result fits. */
static gint64 bounded(double value)
{
    return value < 1e18 ? (gint64)value : (gint64)1e18;
}

gint64 gw_usage_rate(const GwUsageCounts *before, const GwUsageCounts *now, GwCount which)
{
    gint64 more = difference(before, now, which);

    if (more < 0)
        return -1;
    return bounded((double)more * G_USEC_PER_SEC / (double)(now->at_us - before->at_us));
}

gint64 gw_usage_cpu_permille(const GwUsageCounts *before, const GwUsageCounts *now)
{
    gint64 more_ns = difference(before, now, GW_COUNT_CPU_NS);

    /* ns by us is thousandths. */
    return more_ns < 0 ? -1 : bounded((double)more_ns / (double)(now->at_us - before->at_us));
}

gint64 gw_usage_busy_permille(const GwUsageCounts *before, const GwUsageCounts *now)
{
    gint64 busy = difference(before, now, GW_COUNT_CPU_NS);
    gint64 idle = difference(before, now, GW_COUNT_IDLE_NS);
    double all = (double)busy + (double)idle;

    return busy < 0 || idle < 0 || all <= 0 ? -1 : (gint64)((double)busy * 1000 / all);
}
