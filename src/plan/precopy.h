/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Pre-copy as QEMU does it, round by round: all of memory, then what was dirtied meanwhile, until
 * the rest can be sent within the longest downtime. */

typedef struct {
    double memory_bytes;    /* that hold something: the first round */
    double written_bytes;   /* of those that the guest writes to */
    double dirty_bps;       /* what the guest dirties, before it is slowed down */
    double wire_bps;        /* of the link */
    double wire_first;      /* what of a byte goes over the wire, the first time */
    double wire_again;      /* and of one that was dirtied since */
    double downtime_s;      /* the longest */
    double cpu;             /* how busy the guest keeps its CPUs, 0 to 1 */
    double sync_s;          /* how long what is dirty is not looked at, at most; 0: a whole round */
    gboolean auto_converge; /* the guest is slowed down where rounds do not get shorter */
} GwPrecopyInput;

typedef struct {
    double seconds;     /* of all rounds, without the downtime */
    double first_bytes; /* of guest memory: sent for the first time, */
    double again_bytes; /* and sent again; both with those of the downtime */
    double last_s;      /* of what is sent while the guest stands still */
    double throttle;    /* how far the guest was slowed down at the end, 0 to 1 */
    guint rounds;
    gboolean converges;
} GwPrecopy;

/* Whatever is in @input: the result has no NaN, nothing negative and nothing endless. */
GwPrecopy gw_precopy_run(const GwPrecopyInput *input);

/* What a guest that rewrites its memory at random dirties in @seconds: pages that are dirtied twice
 * count once, so it never exceeds @memory_bytes. And the rate that a sample of @seconds which found
 * @found_bps stands for. */
double gw_precopy_dirtied(double dirty_bps, double memory_bytes, double seconds);
double gw_precopy_unsaturate(double found_bps, double memory_bytes, double seconds);
