/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/plan.h"

/* Preflight of many VMs against many hosts. Most VMs, and most hosts, of a fabric are alike in all
 * that the rules look at: one verdict of gw_plan_candidate holds for a whole shape of VM and a
 * whole shape of host, and 10,000 VMs against 1,000 hosts cost a few thousand of them.
 *
 * What differs between alike ones is not in the verdict: the rules of gw_matrix_changes, about
 * room, names, and which VMs are beside each other. They are exactly those whose answer changes
 * while VMs move, so a plan keeps books of its own for them. */

typedef struct GwMatrix GwMatrix;
typedef struct GwShapes GwShapes;

/* One verdict: of one VM and one host, for all of the same shapes. */
typedef struct {
    GwCandidate *candidate; /* brief; names in its words are those of the first of the shape */
    const GwVm *vm;         /* which that is */
    gboolean possible;      /* only rules of gw_matrix_changes may find errors */
    gboolean copies;        /* disks are copied, or created */
    gint64 copy_bytes;      /* of disks */
    guint warnings;         /* of the rules that are not left out */
} GwMatrixCell;

/* The rules, by name, that are left out of a cell's verdict; ends with NULL. */
extern const char *const gw_matrix_changes[];
gboolean gw_matrix_is_changing(const char *rule);

/* @options may be NULL, and so may @known, what is kept of hosts. All must outlive the matrix. */
GwMatrix *gw_matrix_new(const GwFabric *fabric, const GwMoveOptions *options, GwKnownHosts *known);
void gw_matrix_free(GwMatrix *matrix);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwMatrix, gw_matrix_free)

/* The shape of a VM where it is now, and of a host of the fabric; each is computed once for each VM
 * and host, so callers that ask often keep the answer. */
guint gw_matrix_vm_shape(GwMatrix *matrix, const GwVm *vm);
guint gw_matrix_host_shape(GwMatrix *matrix, const GwHost *host);
/* The same for who asks about this one VM: a shape that it shares with none, and that costs nothing
 * to find. */
guint gw_matrix_vm_alone(GwMatrix *matrix, const GwVm *vm);

/* @vm must not be on @destination. Borrowed. */
const GwMatrixCell *gw_matrix_cell(GwMatrix *matrix, const GwVm *vm, guint vm_shape,
                                   const GwHost *destination, guint host_shape);
/* Borrowed: for other questions about the same picture. */
GwPlanShared *gw_matrix_shared(const GwMatrix *matrix);
/* The same, for who asks about each host once: gw_shapes_number_of_host is gw_matrix_host_shape. */
GwShapes *gw_matrix_shapes(const GwMatrix *matrix);
/* How many verdicts were really made. */
guint gw_matrix_verdicts(const GwMatrix *matrix);

/* shape.c: all of a VM that rules see and that it can have in common with others, in one text (the
 * caller's); and of a host, as bytes that are valid until the next of them are asked for, or as a
 * number, from 0. @options (may be NULL): what is chosen for all of them; @known as of a matrix.
 */
GwShapes *gw_shapes_new(const GwFabric *fabric, const GwMoveOptions *options, GwKnownHosts *known);
/* Hosts that jobs under way hand virtual HBAs over to have less room than they show. Before any of
 * them is asked for. */
void gw_shapes_note_vports(GwShapes *shapes, GwPlanShared *shared);
void gw_shapes_free(GwShapes *shapes);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwShapes, gw_shapes_free)
char *gw_shapes_of_vm(GwShapes *shapes, const GwVm *vm);
gconstpointer gw_shapes_of_host(GwShapes *shapes, const GwHost *host, gsize *length);
guint gw_shapes_number_of_host(GwShapes *shapes, const GwHost *host);
