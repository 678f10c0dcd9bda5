/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "scenario.h"

/* A scenario of which less is known: what hosts and VMs are need not be told, by an older libvirt,
 * by a host that was asked for some of it only, by a definition that leaves things to defaults. */
typedef struct {
    GRand *random;
    guint percent;  /* of what may be absent is */
    guint extremes; /* percent of numbers that are the smallest or the largest there may be */
} LessTold;

/* Replaces hosts, VMs, jobs and the rest by copies of which less is told; who they are stays. */
void less_told(Scenario *scenario, const LessTold *how);
