/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/precopy.h"

#include <math.h>

#define ROUNDS_MAX 200
#define SECONDS_MAX 1e9
#define BYTES_MAX 1e18
#define STUCK_ROUNDS 5 /* in which nothing was gained: more of them will not help */
#define STUCK 0.97

/* QEMU's defaults (migration/options.c): a round in which more than half of what was sent is dirty
 * again counts; every second of them slows the guest down further. */
#define TRIGGER 0.5
#define TRIGGER_ROUNDS 2
#define THROTTLE_FIRST 0.2
#define THROTTLE_STEP 0.1
#define THROTTLE_MAX 0.99

static double sane(double value, double least, double most)
{
    return isnan(value) ? least : CLAMP(value, least, most);
}

double gw_precopy_dirtied(double dirty_bps, double memory_bytes, double seconds)
{
    double memory = sane(memory_bytes, 0, BYTES_MAX);
    double written = sane(dirty_bps, 0, BYTES_MAX) * sane(seconds, 0, SECONDS_MAX);

    return memory < 1 ? 0 : memory * -expm1(-written / memory);
}

double gw_precopy_unsaturate(double found_bps, double memory_bytes, double seconds)
{
    double memory = sane(memory_bytes, 1, BYTES_MAX);
    double span = sane(seconds, 0.001, SECONDS_MAX);
    /* A sample that found all of it dirty says only that it is a lot. */
    double part = sane(sane(found_bps, 0, BYTES_MAX) * span / memory, 0, 0.98);

    return -log1p(-part) * memory / span;
}

typedef struct {
    double throttle;
    guint high; /* rounds that counted */
    guint stuck;
} Converging;

static void slow_down(Converging *state, double sent, double dirtied)
{
    if (dirtied <= sent * TRIGGER || ++state->high < TRIGGER_ROUNDS)
        return;
    state->high = 0;
    state->throttle = state->throttle <= 0 ? THROTTLE_FIRST : state->throttle + THROTTLE_STEP;
    state->throttle = MIN(state->throttle, THROTTLE_MAX);
}

/* FALSE: it never ends. */
static gboolean goes_on(Converging *state, const GwPrecopyInput *input, double sent, double dirtied)
{
    if (input->auto_converge)
        slow_down(state, sent, dirtied);
    gboolean can_slow = input->auto_converge && state->throttle < THROTTLE_MAX;
    state->stuck = dirtied > sent * STUCK && !can_slow ? state->stuck + 1 : 0;
    return state->stuck < STUCK_ROUNDS;
}

GwPrecopy gw_precopy_run(const GwPrecopyInput *input)
{
    double memory = sane(input->memory_bytes, 0, BYTES_MAX);
    double rate = sane(input->guest_bps, 1, BYTES_MAX);
    double dirty = sane(input->dirty_bps, 0, BYTES_MAX);
    double downtime = sane(input->downtime_s, 0.001, 3600);
    double left = memory;
    Converging state = { 0 };
    GwPrecopy result = { 0 };

    while (result.rounds < ROUNDS_MAX && result.seconds < SECONDS_MAX) {
        double span = left / rate;
        double dirtied = gw_precopy_dirtied(dirty * (1 - state.throttle), memory, span);
        result.rounds++;
        result.seconds += span;
        result.bytes += left;
        result.last_s = MIN(dirtied / rate, SECONDS_MAX);
        result.converges = dirtied / rate <= downtime;
        if (result.converges || !goes_on(&state, input, left, dirtied))
            break;
        left = dirtied;
    }
    result.throttle = state.throttle;
    result.seconds = MIN(result.seconds, SECONDS_MAX);
    result.bytes = MIN(result.bytes + result.last_s * rate, BYTES_MAX);
    return result;
}
