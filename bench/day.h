/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/json.h"

/* A day of a data centre in the simulator: the whole controller (engine, store, planner, jobs)
 * under a virtual clock, while guests' load follows the hour, VMs come and go, people move and
 * change some past the controller, hosts lose power, and racks are emptied, patched and filled
 * again. What must hold is looked at all along, by a witness that asks the simulated world and not
 * the controller. */

typedef struct {
    guint32 seed;
    guint hosts, vms;
    guint minutes;       /* of the day; disturbances end an eighth of it before its end */
    guint step_s;        /* between two looks */
    guint pause_minutes; /* of a team, between two racks */
    gboolean verbose;
} DayOptions;

#define DAY_MINUTES (24 * 60)

/* The report; @broken gets what was wrong, in words (char *). New reference. */
json_t *day_run(const DayOptions *options, GPtrArray *broken);
