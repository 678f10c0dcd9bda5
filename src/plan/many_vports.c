/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/hbas.h"
#include "plan/many.h"
#include "plan/vports.h"

/* Vports that a plan's moves take (R41): each virtual HBA that is handed over takes one for good,
 * and what it leaves is not counted upon, since the host says only later that it is free. */

static gpointer key_of(guint vm, guint host)
{
    return GSIZE_TO_POINTER((((gsize)vm + 1) << 32) | host);
}

/* Only of a VM that is off, and only what is behind a pool. */
static gboolean may_hand_over(const GwVm *vm)
{
    gboolean volumes = FALSE;

    for (guint i = 0; vm->disks != NULL && i < vm->disks->len; i++)
        volumes |= g_strcmp0(((GwDisk *)vm->disks->pdata[i])->type, "volume") == 0;
    return volumes && !gw_plan_is_live(vm);
}

static void book_planned(const Many *many, const GwJob *job, const GwPlannedMove *move)
{
    const GwVm *vm = gw_fabric_vm(many->fabric, move->source_host_id, move->vm_uuid);
    GwPlanInput input = { .fabric = many->fabric,
                          .vm = vm,
                          .source = gw_fabric_host(many->fabric, move->source_host_id),
                          .destination = gw_fabric_host(many->fabric, move->destination_host_id),
                          .options =
                              job->plan->request != NULL ? job->plan->request->options : NULL,
                          .shared = gw_matrix_shared(many->matrix) };

    if (vm == NULL || input.source == NULL || input.destination == NULL || !may_hand_over(vm))
        return;
    g_autoptr(GPtrArray) hbas = gw_plan_hbas(&input);
    const GwVports vports = { .shared = input.shared, .booked = many->vports };
    g_autoptr(GPtrArray) found = gw_vports_find(&vports, input.source, input.destination, hbas);
    if (found != NULL)
        gw_vports_book(many->vports, found, 1);
}

/* What the moves of other plans that have not begun will take. */
void many_vports_read(Many *many)
{
    const GPtrArray *jobs = gw_shared_jobs(gw_matrix_shared(many->matrix));

    for (guint i = 0; i < jobs->len; i++) {
        const GwJob *job = jobs->pdata[i];
        const GPtrArray *moves = job->plan != NULL ? job->plan->moves : NULL;
        for (guint k = 0; moves != NULL && k < moves->len; k++) {
            const GwPlannedMove *move = moves->pdata[k];
            if (move->state == (int)GW_PLANNED_WAITING)
                book_planned(many, job, move);
        }
    }
}

static void copy_count(gpointer hba, gpointer count, gpointer booked)
{
    g_hash_table_insert(booked, hba, count);
}

void many_vports_open(ManyBooks *books)
{
    books->vports = g_hash_table_new(NULL, NULL);
    books->carriers = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_ptr_array_unref);
    g_hash_table_foreach(books->many->vports, copy_count, books->vports);
}

void many_vports_close(ManyBooks *books)
{
    g_hash_table_unref(books->vports);
    g_hash_table_unref(books->carriers);
}

/* What of the verdict is handed over. */
static GPtrArray *find(const ManyBooks *books, guint vm, guint host)
{
    const Many *many = books->many;
    const GwMatrixCell *cell = many_cell(many, vm, books->at[vm], host);
    const GwVports vports = { .shared = gw_matrix_shared(many->matrix), .booked = books->vports };

    return gw_vports_find(&vports, many_host(many, books->at[vm])->host,
                          many_host(many, host)->host, cell != NULL ? cell->candidate->hbas : NULL);
}

gboolean many_vports_fit(const ManyBooks *books, guint vm, guint host)
{
    g_autoptr(GPtrArray) found = find(books, vm, host);
    return found != NULL;
}

void many_vports_take(ManyBooks *books, guint vm, guint host)
{
    g_autoptr(GPtrArray) found = find(books, vm, host);

    if (found == NULL || found->len == 0)
        return;
    gw_vports_book(books->vports, found, 1);
    g_hash_table_replace(books->carriers, key_of(vm, host), g_ptr_array_ref(found));
}

void many_vports_give_back(ManyBooks *books, guint vm, guint host)
{
    const GPtrArray *found = g_hash_table_lookup(books->carriers, key_of(vm, host));

    if (found == NULL)
        return;
    gw_vports_book(books->vports, found, -1);
    g_hash_table_remove(books->carriers, key_of(vm, host));
}
