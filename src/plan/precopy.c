/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/precopy.h"

#include <math.h>

#define ROUNDS_MAX 200
#define SECONDS_MAX 1e9
#define BYTES_MAX 1e18
#define STUCK_ROUNDS 5 /* in which nothing was gained: more of them will not help */
#define STUCK 0.97

/* QEMU's defaults (migration/options.c): if more than half of what was sent, as the wire counts it,
 * is dirty again after a second at least, that counts; every second time it slows the guest down
 * further. */
#define TRIGGER 0.5
#define TRIGGER_ROUNDS 2
#define TRIGGER_S 1.0
#define THROTTLE_FIRST 0.2
#define THROTTLE_STEP 0.1
#define THROTTLE_MAX 0.99
#define CPU_LEAST 0.01
/* It looks whether the rest would fit into the downtime every so often (MAX_WAIT of
 * migration/ram.c), and goes over to it only if hardly anything was dirtied meanwhile. */
#define GRAIN_S 0.05

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
    const GwPrecopyInput *in; /* sane */
    double first, again;      /* still to be sent */
    double keep;              /* what QEMU leaves to the downtime */
    double throttle;
    double period_s, period_wire, period_dirtied; /* since QEMU looked at them last */
    guint high;                                   /* periods that counted */
    guint stuck;
    gboolean outrun; /* what was dirtied last would slow the guest down further */
} Copy;

static double wire_of(const Copy *copy, double first, double again)
{
    return first * copy->in->wire_first + again * copy->in->wire_again;
}

static void slow_down(Copy *copy)
{
    if (copy->period_s < TRIGGER_S)
        return;
    gboolean counts = copy->period_dirtied > copy->period_wire * TRIGGER;
    copy->period_s = copy->period_wire = copy->period_dirtied = 0;
    if (!counts || ++copy->high < TRIGGER_ROUNDS)
        return;
    copy->high = 0;
    copy->throttle = copy->throttle <= 0 ? THROTTLE_FIRST : copy->throttle + THROTTLE_STEP;
    copy->throttle = MIN(copy->throttle, THROTTLE_MAX);
}

/* Of a guest that is idle for half of its time, taking half of its time takes nothing. */
static double dirty_bps(const Copy *copy)
{
    return copy->in->dirty_bps * MIN((1 - copy->throttle) / copy->in->cpu, 1);
}

/* What of @left is sent before QEMU looks for dirty pages again, the oldest first. */
static double send(Copy *copy, GwPrecopy *result)
{
    double most = copy->first + copy->again - copy->keep;
    double rate = copy->in->wire_bps;
    /* Never before all of it was sent once; and it tells only where it slows the guest down. */
    if (copy->in->sync_s > 0 && copy->outrun && copy->throttle < THROTTLE_MAX)
        most = MIN(most, copy->in->sync_s * rate / copy->in->wire_again);
    most = MAX(most, 0);
    double first = MIN(copy->first, most);
    double again = MIN(copy->again, most - first);
    double wire = wire_of(copy, first, again);

    copy->first -= first;
    copy->again -= again;
    result->first_bytes += first;
    result->again_bytes += again;
    copy->period_s += wire / rate;
    copy->period_wire += wire;
    return wire / rate;
}

/* Pages that are to be sent anyway are not dirtied once more. */
static double dirty(Copy *copy, double seconds)
{
    double clean = MAX(copy->in->written_bytes - copy->again, 0);
    double part = gw_precopy_dirtied(dirty_bps(copy), copy->in->written_bytes, seconds) /
                  MAX(copy->in->written_bytes, 1);
    double dirtied = clean * part;

    copy->again += dirtied;
    copy->period_dirtied += dirtied;
    return dirtied;
}

/* FALSE: it never ends. */
static gboolean goes_on(Copy *copy, double sent, double wire, double dirtied)
{
    copy->outrun = copy->in->auto_converge && dirtied > wire * TRIGGER;
    if (copy->in->auto_converge)
        slow_down(copy);
    gboolean can_slow = copy->in->auto_converge && copy->throttle < THROTTLE_MAX;
    gboolean gained = dirtied <= sent * STUCK;
    copy->stuck = !gained && !can_slow ? copy->stuck + 1 : 0;
    return copy->stuck < STUCK_ROUNDS;
}

static GwPrecopyInput make_sane(const GwPrecopyInput *input)
{
    GwPrecopyInput in = *input;

    in.memory_bytes = sane(in.memory_bytes, 0, BYTES_MAX);
    in.written_bytes = sane(in.written_bytes, 0, in.memory_bytes);
    in.dirty_bps = sane(in.dirty_bps, 0, BYTES_MAX);
    in.wire_bps = sane(in.wire_bps, 1, BYTES_MAX);
    in.wire_first = sane(in.wire_first, 0.001, 10);
    in.wire_again = sane(in.wire_again, 0.001, 10);
    in.downtime_s = sane(in.downtime_s, 0.001, 3600);
    in.cpu = sane(in.cpu, CPU_LEAST, 1);
    in.sync_s = sane(in.sync_s, 0, 3600);
    return in;
}

static void finish(const Copy *copy, GwPrecopy *result)
{
    double last = wire_of(copy, copy->first, copy->again) / copy->in->wire_bps;

    result->last_s = MIN(last, SECONDS_MAX);
    result->first_bytes = MIN(result->first_bytes + copy->first, BYTES_MAX);
    result->again_bytes = MIN(result->again_bytes + copy->again, BYTES_MAX);
    result->seconds = MIN(result->seconds, SECONDS_MAX);
    result->throttle = copy->throttle;
}

GwPrecopy gw_precopy_run(const GwPrecopyInput *input)
{
    GwPrecopyInput in = make_sane(input);
    /* As many bytes of memory as the wire takes within the downtime, compressed or not. */
    double most = in.wire_bps * in.downtime_s;
    double grain = MIN(in.wire_bps * GRAIN_S, most / 2);
    Copy copy = { .in = &in, .first = in.memory_bytes, .keep = most - grain };
    GwPrecopy result = { 0 };

    while (result.rounds < ROUNDS_MAX && result.seconds < SECONDS_MAX) {
        double before = copy.first + copy.again;
        double span = send(&copy, &result);
        double sent = before - copy.first - copy.again;
        double dirtied = dirty(&copy, span);
        result.rounds++;
        result.seconds += span;
        result.converges = copy.first + copy.again <= most;
        if (result.converges || !goes_on(&copy, sent, span * in.wire_bps, dirtied))
            break;
    }
    finish(&copy, &result);
    return result;
}
