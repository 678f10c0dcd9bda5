/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/plan.h"
#include "plan/precopy.h"

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
    double cpu;        /* how busy its CPUs are, 0 to 1; -1: unknown */
    double disk_bytes; /* to be copied */
    double wire[2];   /* what of a byte of memory goes over the wire, by its speed method: the first
                         time, and of what was dirtied since */
    double limit_bps; /* that a person set; 0: none */
    double downtime_s; /* the longest */
    double share;      /* how many moves share the hosts, itself included */
    double sync_s;     /* how long QEMU does not look at what is dirty, at most; 0: a whole round */
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
    double last;          /* what of that QEMU really leaves to the downtime */
    double doubt[3][3];   /* of set-up, memory and disks: their covariance, for a spread of 1 */
    /* Corrections, logarithms of what came to what had been said; and how they scatter. */
    double wire[2], wire_sd;
    double total, total_sd;
    double downtime_sd;
    double weight; /* of the moves it learned from, recent ones counting more */
    guint moves;   /* those, and how many of them are of the very class */
    guint own_moves;
    guint rate_moves; /* of those, that showed how fast the copy goes: nobody limited them */
} GwFit;

/* The product's own guess. */
GwFit gw_fit_prior(GwMoveClass class);
/* Learns from those of @taught (GwTaught, the newest first) that are of @class and of @pair (NULL:
 * of all), on top of @prior, which counts like a few of them. Moves of memory share what the link
 * tells, whatever becomes of their disks. */
GwFit gw_fit_learn(const GArray *taught, GwMoveClass class, const char *pair, const GwFit *prior);

typedef struct {
    double seconds, bytes; /* bytes: of memory and disks, on the wire */
    double downtime_s;     /* -1: no memory is moved */
    double copy_part;      /* of the seconds, 0 to 1: what depends on link and guest */
    gboolean converges;
    double throttle; /* 0 to 1 */
} GwModelled;
/* learn_model.c */
GwModelled gw_fit_apply(const GwFit *fit, GwMoveClass class, const GwKnown *known);
/* What of a byte of memory @known's method sends, as @fit corrects it. */
GwPrecopy gw_fit_precopy(const GwFit *fit, const GwKnown *known);
/* How far off the fit itself may be for such a move, in seconds: little for one that is like those
 * it learned from, and a lot for one of another size. For a spread of 1. */
double gw_fit_doubt(const GwFit *fit, double memory_bytes, double disk_bytes, double share);
/* How surely it is known how fast the guest dirties memory for this link: one standard deviation of
 * the logarithm. What a move takes that many times more, or less, of it says how far off it may be:
 * little where the guest is far from the rate of the link, and a lot where it is near to it. */
double gw_known_pace_sd(const GwKnown *known);
/* The same of a guest that dirties @times as much. */
GwKnown gw_known_at_pace(const GwKnown *known, double times);

/* taught.c: the finished moves of @fabric as GwTaught, the newest first, as many as are of use. */
GArray *gw_taught_jobs(const GwFabric *fabric);
/* The two hosts, in either direction. Owned. */
char *gw_taught_pair(const char *one, const char *other);
/* What of a byte of memory is taken to go over the wire, by the method's words: the first time, and
 * again. */
void gw_taught_wire(const char *method, double wire[2]);
/* GwKnown's sync_s, by the version of the source's QEMU. */
double gw_taught_sync(const GwHost *source);
