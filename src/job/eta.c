/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job/eta.h"

#define MAX_MS ((gint64)30 * 24 * 3600 * 1000)

/* A lower limit than the one that it was predicted with makes what is left longer. */
static double predicted_left(const GwEta *eta)
{
    double left = (double)MAX(eta->predicted_ms - MAX(eta->elapsed_ms, 0), 0);

    if (eta->limit_bps > 0 && eta->link_bps > eta->limit_bps)
        left *= (double)eta->link_bps / (double)eta->limit_bps;
    return left;
}

/* How much what is measured counts, 0 to 1: nothing at first, when a rate is of one moment; all
 * once half of the copy is over, or as much time as all of it was to take. */
static double trust(const GwEta *eta)
{
    double copied = 2 * CLAMP(eta->done, 0.0, 1.0);
    double overdue =
        eta->predicted_ms > 0 ? (double)MAX(eta->elapsed_ms, 0) / (double)eta->predicted_ms : 1;

    return MIN(MAX(copied, overdue), 1.0);
}

gint64 gw_eta_left_ms(const GwEta *eta)
{
    double left = predicted_left(eta);

    if (eta->measured_ms < 0 || (eta->predicted_ms <= 0 && eta->done <= 0)) {
        if (left <= 0)
            return -1;
    } else {
        double share = trust(eta);
        left = left * (1 - share) + (double)eta->measured_ms * share;
    }
    return left <= (double)MAX_MS ? (gint64)left : -1;
}

/* Since the job began, by the clock on the wall: it may have been set meanwhile. */
static gint64 elapsed_ms(const GwJob *job, gint64 wall_us)
{
    g_autoptr(GDateTime) at =
        job->started_at != NULL ? g_date_time_new_from_iso8601(job->started_at, NULL) : NULL;

    if (at == NULL)
        return 0;
    gint64 began_us = g_date_time_to_unix(at) * G_USEC_PER_SEC + g_date_time_get_microsecond(at);
    return MAX(wall_us - began_us, 0) / 1000;
}

gint64 gw_eta_of_job(const GwJob *job, gint64 wall_us, double done, double whole,
                     gint64 measured_ms)
{
    const GwPrediction *said = job->prediction;
    gint64 limit_mibps = job->options != NULL ? job->options->bandwidth_mibps : 0;
    GwEta eta = {
        .predicted_ms = said != NULL && said->total_ms != NULL ? said->total_ms->likely : 0,
        .elapsed_ms = elapsed_ms(job, wall_us),
        .done = whole > 0 ? done / whole : 0,
        .measured_ms = measured_ms,
        .link_bps = said != NULL ? said->link_bps : 0,
        .limit_bps = CLAMP(limit_mibps, 0, G_MAXINT64 >> 20) << 20,
    };

    return gw_eta_left_ms(&eta);
}
