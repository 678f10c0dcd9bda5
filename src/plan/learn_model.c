/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>

#include "plan/learn.h"

/* What a move takes by what was learned, and how far that may be off for what its guest does. */

#define MIB 1048576.0
#define DIRTY_GUESS 0.02        /* of the memory in use, each second, where it was not sampled */
#define CPU_GUESS 0.5           /* of its CPUs' time, where it is not known */
#define WRITTEN_PART 0.7        /* of the memory in use that a guest writes to */
#define SAMPLE_S 2.0            /* how long what a VM dirties is sampled for */
#define SAMPLED_BYTES (2 * MIB) /* for each page that QEMU compares (512 of a GiB) */
#define PACE_SD 0.1             /* of what a guest dirties from one minute to the next */
#define PACE_UNKNOWN_SD 0.7

GwFit gw_fit_prior(GwMoveClass class)
{
    GwFit fit = { .fixed_s = 1.0,
                  .setup_s = 0.2,
                  .memory_s = 1 / (110 * MIB), /* 1 Gbit/s */
                  .disk_s = 1 / (80 * MIB),
                  .downtime_s = { 0.04, 0.25 },
                  .last = 0.7,
                  .wire_sd = 0.3,
                  .total_sd = 0.25,
                  .downtime_sd = 0.45 };

    if (gw_class_is_live(class)) {
        fit.fixed_s = class == GW_CLASS_LIVE ? 0.4 : class == GW_CLASS_VSM ? 0.6 : 2.0;
        fit.setup_s = 0.7;
    }
    if (class == GW_CLASS_FAST)
        fit.disk_s = 1 / (1024 * MIB);
    if (class == GW_CLASS_STORAGE)
        fit.disk_s = 1 / (150 * MIB);
    return fit;
}

/* The model ---------------------------------------------------------------------------------- */

static double wire_bps(const GwFit *fit, const GwKnown *known)
{
    double bps = 1 / (fit->memory_s * MAX(known->share, 1));

    return known->limit_bps > 0 ? MIN(bps, known->limit_bps) : bps;
}

static double disk_seconds(const GwFit *fit, const GwKnown *known)
{
    double each = fit->disk_s * MAX(known->share, 1);

    if (known->limit_bps > 0)
        each = MAX(each, 1 / known->limit_bps);
    return each * known->disk_bytes;
}

static double dirty_bps(const GwKnown *known)
{
    return known->dirty_bps >= 0 ? known->dirty_bps : known->use_bytes * DIRTY_GUESS;
}

GwPrecopy gw_fit_precopy(const GwFit *fit, const GwKnown *known)
{
    double sampled = gw_precopy_dirtied(dirty_bps(known), known->use_bytes, SAMPLE_S);

    return gw_precopy_run(&(GwPrecopyInput){
        .memory_bytes = known->use_bytes,
        .written_bytes = MAX(known->use_bytes * WRITTEN_PART, sampled),
        .dirty_bps = dirty_bps(known),
        .wire_bps = wire_bps(fit, known),
        .wire_first = known->wire[0] * exp(fit->wire[0]),
        .wire_again = known->wire[1] * exp(fit->wire[1]),
        .downtime_s = known->downtime_s,
        .cpu = known->cpu >= 0 ? known->cpu : CPU_GUESS,
        .sync_s = known->sync_s,
        .auto_converge = known->auto_converge,
    });
}

GwModelled gw_fit_apply(const GwFit *fit, GwMoveClass class, const GwKnown *known)
{
    GwModelled out = { .downtime_s = -1, .converges = TRUE };
    double before = fit->fixed_s + fit->setup_s;
    double copy = disk_seconds(fit, known);

    out.bytes = known->disk_bytes;
    if (gw_class_is_live(class)) {
        GwPrecopy precopy = gw_fit_precopy(fit, known);
        copy += precopy.seconds + precopy.last_s;
        out.bytes += precopy.first_bytes * known->wire[0] * exp(fit->wire[0]) +
                     precopy.again_bytes * known->wire[1] * exp(fit->wire[1]);
        out.downtime_s = fit->downtime_s[known->by_resume ? 1 : 0] +
                         fit->last * MIN(precopy.last_s, known->downtime_s);
        out.converges = precopy.converges;
        out.throttle = precopy.throttle;
    }
    out.seconds = (before + copy) * exp(fit->total);
    out.copy_part = copy / MAX(before + copy, 1e-9);
    return out;
}

double gw_fit_doubt(const GwFit *fit, double memory_bytes, double disk_bytes, double share)
{
    double row[3] = { 1, memory_bytes * share, disk_bytes * share };
    double sum = 0;

    for (int k = 0; k < 3; k++) {
        for (int l = 0; l < 3; l++)
            sum += row[k] * fit->doubt[k][l] * row[l];
    }
    return sqrt(MAX(sum, 0));
}

/* A sample compares few pages, and the fewer it finds dirty the less it says. */
double gw_known_pace_sd(const GwKnown *known)
{
    if (known->dirty_bps < 0)
        return PACE_UNKNOWN_SD;
    double part =
        gw_precopy_dirtied(known->dirty_bps, known->use_bytes, SAMPLE_S) / MAX(known->use_bytes, 1);
    double found = MAX(part * known->use_bytes / SAMPLED_BYTES, 1);

    return sqrt(PACE_SD * PACE_SD + (1 - CLAMP(part, 0, 1)) / found);
}

GwKnown gw_known_at_pace(const GwKnown *known, double times)
{
    GwKnown other = *known;

    other.dirty_bps = dirty_bps(known) * times;
    return other;
}
