/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/plan.h"

/* What finished moves teach: how long a move takes beside its copy, how fast the copy goes, and how
 * far from the truth a prediction by that is. Of two hosts by their own moves, and where those are
 * few by the fabric's (R66). */

/* Moves of one class are alike. */
typedef enum {
    GW_CLASS_LIVE,     /* Live */
    GW_CLASS_VSM,      /* Live (VSM): volumes are made, disks mirrored */
    GW_CLASS_DELTA,    /* the same, onto old copies that are compared first */
    GW_CLASS_NETWORK,  /* off: its disks over the network */
    GW_CLASS_FAST,     /* off: reflinks, server-side copies */
    GW_CLASS_STORAGE,  /* within one host */
    GW_CLASS_REGISTER, /* only a definition, or LUNs handed over */
    GW_CLASSES
} GwMoveClass;

/* @disks: GwDiskMove, may be NULL. */
GwMoveClass gw_class_of(int transfer, const GPtrArray *disks);
/* Whether memory is moved. */
gboolean gw_class_is_live(GwMoveClass class);

/* What is known of a move before it begins. */
typedef struct {
    double use_bytes;  /* of its memory that hold something; 0: none is moved */
    double dirty_bps;  /* -1: unknown */
    double disk_bytes; /* to be copied */
    double wire;       /* what of a byte of memory goes over the wire, by its speed method */
    double limit_bps;  /* that a person set; 0: none */
    double downtime_s; /* the longest */
    double share;      /* how many moves share the hosts, itself included */
    gboolean auto_converge;
    gboolean by_resume; /* the destination waits until the source is gone */
} GwKnown;

/* A finished move: what was known, where that was written down, and what came of it. */
typedef struct {
    char *pair; /* of its hosts */
    GwMoveClass class;
    gboolean has_known;
    GwKnown known; /* share, limit and by_resume hold in any case */
    double fixed_s, copy_s;
    double downtime_s;               /* -1: not seen */
    double memory_bytes, disk_bytes; /* on the wire */
} GwTaught;

/* How a move goes: seconds are fixed + setup + those that memory and disks take. */
typedef struct {
    double fixed_s;       /* before and after the copy */
    double setup_s;       /* of the copy itself */
    double memory_s;      /* for each byte of memory on the wire */
    double disk_s;        /* for each byte of disks */
    double downtime_s[2]; /* beside what is sent meanwhile; [1]: where it commits by resume */
    /* Corrections, logarithms of what came to what had been said; and how they scatter. */
    double wire, wire_sd;
    double total, total_sd;
    double downtime_sd;
    double weight; /* of the moves it learned from, recent ones counting more */
    guint moves;
} GwFit;

/* The product's own guess. */
GwFit gw_fit_prior(GwMoveClass class);
/* Learns from those of @taught (GwTaught, the newest first) that are of @class and of @pair (NULL:
 * of all), on top of @prior, which counts like a few of them. */
GwFit gw_fit_learn(const GArray *taught, GwMoveClass class, const char *pair, const GwFit *prior);

typedef struct {
    double seconds, bytes; /* bytes: of memory and disks, on the wire */
    double downtime_s;     /* -1: no memory is moved */
    double copy_part;      /* of the seconds, 0 to 1: what depends on link and guest */
    gboolean converges;
    double throttle; /* 0 to 1 */
} GwModelled;
GwModelled gw_fit_apply(const GwFit *fit, GwMoveClass class, const GwKnown *known);

/* taught.c: the finished moves of @fabric as GwTaught, the newest first, as many as are of use. */
GArray *gw_taught_jobs(const GwFabric *fabric);
/* The two hosts, in either direction. Owned. */
char *gw_taught_pair(const char *one, const char *other);
/* What of a byte of memory is taken to go over the wire, by the method's words. */
double gw_taught_wire(const char *method);
