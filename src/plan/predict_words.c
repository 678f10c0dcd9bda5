/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>

#include "plan/predict.h"
#include "plan/rule.h"

/* What each figure of a prediction rests on, for people. */

static char *size_words(double bytes)
{
    return gw_plan_size((gint64)(CLAMP(bytes, 0, 1e18) / 1024));
}

/* Ends with "/s". */
static char *rate_words(double bps)
{
    g_autofree char *size = size_words(bps);
    return g_strconcat(size, "/s", NULL);
}

static char *moves_words(double moves)
{
    return g_strdup_printf(moves > 1 ? "%.0f moves" : "%.0f move", moves);
}

static char *link_words(const GwForecast *forecast)
{
    double each = gw_class_is_live(forecast->class) ? forecast->fit.memory_s : forecast->fit.disk_s;
    g_autofree char *rate = rate_words(1 / each);
    g_autofree char *own = moves_words(forecast->fit.rate_moves);
    g_autofree char *all = moves_words(forecast->fabric_moves);
    gboolean within = gw_plan_is_within(forecast->input);

    switch (forecast->link) {
    case GW_LINK_MOVES:
        return g_strdup_printf("rate: %s, as %s %s showed", rate, own,
                               within ? "on this host" : "between these two hosts");
    case GW_LINK_FABRIC:
        return g_strdup_printf("rate: %s, as %s between other hosts showed; none between these",
                               rate, all);
    case GW_LINK_MEASURED:
        return g_strdup_printf("rate: %s, as the agents measured; no move between these two hosts "
                               "has shown it",
                               rate);
    case GW_LINK_GUESSED:
        break;
    }
    return g_strdup_printf("rate: not known, taken as %s: the intervals are wide until a move has "
                           "shown it",
                           rate);
}

static char *memory_words(const GwForecast *forecast)
{
    g_autofree char *size = size_words(forecast->known.use_bytes);
    const GwVmUsage *usage = forecast->input->vm->usage;

    if (!forecast->use_known)
        return g_strdup_printf("memory: all %s, since how much is in use is not known", size);
    return g_strdup_printf("memory: %s in use (seen %s)", size,
                           usage->sampled_at != NULL ? usage->sampled_at : "at some time");
}

static char *dirty_words(const GwForecast *forecast, const GwModelled *said)
{
    const GwVmUsage *usage = forecast->input->vm->usage;

    if (!forecast->dirty_known)
        return g_strdup("dirtied: not sampled, taken as little");
    if (forecast->dirty_found < 0)
        return g_strdup("dirtied: nothing, since the VM does not run");
    g_autofree char *rate = rate_words((double)forecast->dirty_found);
    g_autofree char *slowed =
        said->throttle > 0
            ? g_strdup_printf("; the guest is slowed down by up to %.0f %%", said->throttle * 100)
            : g_strdup("");
    return g_strdup_printf(
        "dirtied: %s (sampled %s)%s", rate,
        usage->dirty_sampled_at != NULL ? usage->dirty_sampled_at : "at some time", slowed);
}

static char *disk_words(const GwForecast *forecast)
{
    g_autofree char *size = size_words(forecast->known.disk_bytes);

    return g_strdup_printf("disks: %s to copy%s", size,
                           forecast->disks_known ? "" : ", by what is known without asking");
}

static char *spread_words(const GwForecast *forecast)
{
    g_autofree char *own = moves_words(forecast->fit.moves);
    double percent = (exp(forecast->fit.total_sd) - 1) * 100;

    return g_strdup_printf("checked against %s: they were off by %.0f %% or less, mostly", own,
                           CLAMP(percent, 1, 1000));
}

char **gw_forecast_basis(const GwForecast *forecast, const GwModelled *said)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new();
    double fixed = forecast->fit.fixed_s + forecast->fit.setup_s;

    if (forecast->class != GW_CLASS_REGISTER)
        g_ptr_array_add(lines, link_words(forecast));
    if (gw_class_is_live(forecast->class)) {
        g_ptr_array_add(lines, memory_words(forecast));
        g_ptr_array_add(lines, dirty_words(forecast, said));
    }
    if (forecast->known.disk_bytes > 0)
        g_ptr_array_add(lines, disk_words(forecast));
    if (forecast->others > 0)
        g_ptr_array_add(lines, g_strdup_printf("%" G_GINT64_FORMAT " other move%s the hosts now",
                                               forecast->others,
                                               forecast->others > 1 ? "s share" : " shares"));
    if (forecast->known.limit_bps > 0)
        g_ptr_array_add(lines, g_strdup_printf("limit: %" G_GINT64_FORMAT " MiB/s",
                                               forecast->decision->bandwidth_mibps));
    g_ptr_array_add(lines, g_strdup_printf("beside the copy: %.1f s", fixed));
    if (forecast->fit.moves > 0)
        g_ptr_array_add(lines, spread_words(forecast));
    g_ptr_array_add(lines, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&lines), FALSE);
}

gboolean gw_forecast_is_too_long(const GwForecast *forecast, const GwModelled *said)
{
    double limit = (double)forecast->decision->completion_timeout_us / G_USEC_PER_SEC;

    return limit > 0 && said->seconds * said->copy_part > limit;
}

char *gw_forecast_remedy(const GwForecast *forecast, const GwModelled *said)
{
    if (gw_forecast_is_too_long(forecast, said))
        return g_strdup("It would be broken off by its completion time-out (R59): raise that, "
                        "raise the bandwidth limit, or choose another time.");
    if (!gw_class_is_live(forecast->class) || said->converges)
        return NULL;
    if (!forecast->decision->auto_converge)
        return g_strdup("Let the guest be slowed down (without --no-auto-converge), allow a longer "
                        "downtime (--max-downtime), or post-copy (--post-copy).");
    return g_strdup("Allow a longer downtime (--max-downtime) or post-copy (--post-copy), or move "
                    "it when it writes less.");
}
