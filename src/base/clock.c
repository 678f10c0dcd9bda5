/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/clock.h"

struct GwClock {
    gboolean virtual;
    gint64 now_us;    /* virtual only */
    gint64 origin_us; /* virtual only: wall time at monotonic 0 */
};

GwClock *gw_clock_new_system(void)
{
    return g_new0(GwClock, 1);
}

GwClock *gw_clock_new_virtual(gint64 wall_us)
{
    GwClock *clock = g_new0(GwClock, 1);
    clock->virtual = TRUE;
    clock->origin_us = wall_us;
    return clock;
}

void gw_clock_free(GwClock *clock)
{
    g_free(clock);
}

gboolean gw_clock_is_virtual(const GwClock *clock)
{
    return clock->virtual;
}

gint64 gw_clock_now_us(const GwClock *clock)
{
    return clock->virtual ? clock->now_us : g_get_monotonic_time();
}

gint64 gw_clock_wall_us(const GwClock *clock)
{
    return clock->virtual ? clock->origin_us + clock->now_us : g_get_real_time();
}

void gw_clock_advance_to(GwClock *clock, gint64 monotonic_us)
{
    g_return_if_fail(clock->virtual);
    clock->now_us = MAX(clock->now_us, monotonic_us);
}
