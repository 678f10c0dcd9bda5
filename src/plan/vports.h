/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/shared.h"

/* Room for virtual HBAs (R41): each takes a vport of the HBA that carries it. What jobs hand
 * over takes one from the moment they are accepted until the host shows it. */

/* Who asks, and what is taken beside what the host shows. All borrowed, and may be NULL, but
 * @shared. */
typedef struct {
    GwPlanShared *shared;
    const char *job_id;     /* whose own does not count, nor that of jobs which wait behind it */
    GHashTable *booked;     /* GwHba -> how many a plan has handed over to it */
    const GPtrArray *taken; /* GwHba, for each of the VM's own that is handed over beside it */
} GwVports;

/* How many more virtual ones @hba can carry: as the host says, and with what is taken. */
gint64 gw_plan_hba_room(const GwHba *hba);
gint64 gw_vports_left(const GwVports *vports, const GwHba *hba);
/* Which HBA of @host carries another one best, that of the source being @from (NULL: not told): the
 * same SAN first, then the one with most room, then by name. NULL: none has room. */
const GwHba *gw_vports_best(const GwVports *vports, const GwHost *host, const GwHba *from);
gboolean gw_plan_hba_same_fabric(const GwHba *a, const GwHba *b);

/* The HBAs of @to that carry those of @hbas (GwHbaMove) that are handed over from @from: GwHba, one
 * for each, or NULL where they have no room; the caller's. */
GPtrArray *gw_vports_find(const GwVports *vports, const GwHost *from, const GwHost *to,
                          const GPtrArray *hbas);
/* Books them, or gives them back. */
void gw_vports_book(GHashTable *booked, const GPtrArray *found, int by);

/* For each vport that jobs take and no host shows yet; by job. */
typedef void (*GwVportsNote)(const GwHost *host, const GwHba *hba, gpointer user);
void gw_vports_each_promised(GwPlanShared *shared, GwVportsNote note, gpointer user);
