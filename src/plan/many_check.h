/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/shared.h"

/* What the parts of gw_plan_many_check share: it shares nothing with the planner but the preflight
 * rules. */

typedef struct {
    const GwHost *host;
    gint64 memory_kib; /* left */
    gint64 cpu;        /* permille of one CPU left; G_MAXINT64: not known, or nothing is reserved */
    GwSlots used;
    guint moves, begun, ended; /* that leave it */
    GHashTable *vms;           /* uuid -> GwVm: both ends of a move hold it */
} CheckPlace;

typedef struct {
    const GwFabric *fabric;
    const GwMigrationPlan *plan;
    GHashTable *places;  /* host id -> CheckPlace */
    GHashTable *at;      /* uuid -> host id */
    GHashTable *vms;     /* uuid -> GwVm: as the fabric has it */
    GHashTable *space;   /* storage -> gint64 left */
    GHashTable *vports;  /* GwHba -> how many are handed over to it */
    GHashTable *sources; /* host ids that a drain empties */
    GwPlanShared *shared;
    guint running;
} Check;

/* many_check_places.c: who is where, and what is left. */
void check_place_free(gpointer place);
void check_read(Check *c);
/* KiB that the VM takes where it goes. */
gint64 check_memory(const Check *c, const GwVm *vm);
/* What @host_id gets back when it leaves. */
gint64 check_freed(const Check *c, const GwVm *vm, const char *host_id);
gint64 check_cpu(const GwVm *vm);

/* many_check_rules.c: what forbids a move, and what it copies. */
/* Sets @error: move @number (from 1) breaks something. FALSE. */
gboolean check_broken(GError **error, guint number, const GwPlannedMove *move, const char *format,
                      ...) G_GNUC_PRINTF(4, 5);
gboolean check_apart(const Check *c, guint number, const GwPlannedMove *move, const GwVm *vm,
                     const CheckPlace *to, GError **error);
gboolean check_together(const Check *c, GError **error);
gboolean check_verdict(Check *c, guint number, const GwPlannedMove *move, const GwVm *vm,
                       const CheckPlace *from, const CheckPlace *to, GError **error);

/* many_check_order.c: whether there is room however long moves take. Before anything is replayed.
 */
gboolean check_any_order(const Check *c, GError **error);
