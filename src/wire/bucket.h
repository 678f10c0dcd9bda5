/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "wire/session.h"

/* How a session asks a bucket: it takes a slice and is told from when on it may send it. Slices are
 * dealt in the order of asking, so that of several sessions none is left out, whatever their loops.
 * Time is monotonic and given, so that tests need not wait. */
typedef struct {
    GwBucket *bucket;
    gint64 left;   /* bytes of the slice that is held */
    gint64 at_us;  /* from when on */
    guint version; /* of the bucket's rate when it was taken */
} GwGrant;

/* Bytes that may be sent now; 0: not before *@when_us (G_MAXINT64 is "no limit" for the return). */
gint64 gw_grant_room(GwGrant *grant, gint64 now_us, gint64 *when_us);
/* So many were sent, with leave or (latency before all) without. */
void gw_grant_spend(GwGrant *grant, gint64 bytes);
void gw_grant_set(GwGrant *grant, GwBucket *bucket); /* takes a reference; NULL: none */
