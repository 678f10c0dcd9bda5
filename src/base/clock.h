/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* The one door for time. Everything that reads a clock does it through one of these, so that a
 * whole fabric can run under a virtual clock. Microseconds throughout. */
typedef struct GwClock GwClock;

GwClock *gw_clock_new_system(void);
/* A clock that stands still until it is advanced; it starts at @wall_us and monotonic 0. */
GwClock *gw_clock_new_virtual(gint64 wall_us);
void gw_clock_free(GwClock *clock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwClock, gw_clock_free)

gboolean gw_clock_is_virtual(const GwClock *clock);
/* Monotonic time, the only one that time-outs are counted in (clocks jump). */
gint64 gw_clock_now_us(const GwClock *clock);
/* Time of day since 1970 UTC, for people and records only. */
gint64 gw_clock_wall_us(const GwClock *clock);
/* Moves a virtual clock on to @monotonic_us; never back. */
void gw_clock_advance_to(GwClock *clock, gint64 monotonic_us);

/* The earlier of two times at which something is due; 0: never. */
static inline gint64 gw_earlier(gint64 a_us, gint64 b_us)
{
    if (a_us == 0 || b_us == 0)
        return a_us + b_us;
    return MIN(a_us, b_us);
}
