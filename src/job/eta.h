/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/job.h"

/* How long a job that copies still takes: what was predicted of it (R66), and what its copy shows
 * by now. Pure. */

typedef struct {
    gint64 predicted_ms; /* of the whole job, without the queue; 0: nothing was predicted */
    gint64 elapsed_ms;   /* since it began */
    double done;         /* the share of the copy that is over, 0 to 1 */
    gint64 measured_ms;  /* left, at the rate that is measured; -1: there is none yet */
    gint64 link_bps;     /* what the prediction took the copy to get; 0: not known */
    gint64 limit_bps;    /* what it may get by now; 0: no limit */
} GwEta;

/* In ms; -1: unknown. Never negative otherwise, and never more than a month: what is so slow says
 * nothing of how long it takes. */
gint64 gw_eta_left_ms(const GwEta *eta);

/* The same of @job, whose copy has @done of @whole bytes behind it. */
gint64 gw_eta_of_job(const GwJob *job, gint64 wall_us, double done, double whole,
                     gint64 measured_ms);
