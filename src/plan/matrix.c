/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/matrix.h"

#include "plan/rule.h"

const char *const gw_matrix_changes[] = { "memory",      "storage-space",
                                          "vm-twin",     "volume-there",
                                          "vm-affinity", "vm-anti-affinity",
                                          "maintenance", NULL };

struct GwMatrix {
    const GwFabric *fabric;
    const GwMoveOptions *options;
    GwPlanShared *shared;
    GwShapes *shapes;
    GHashTable *vm_keys; /* text -> its number, from 1 */
    GHashTable *vms;     /* GwVm -> number of its shape */
    GHashTable *hosts;   /* GwHost -> number of its shape, from 1 */
    GPtrArray *rows;     /* of a VM's shape: GPtrArray of GwMatrixCell by the host's shape */
    guint verdicts;
};

gboolean gw_matrix_is_changing(const char *rule)
{
    return rule != NULL && g_strv_contains(gw_matrix_changes, rule);
}

static void cell_free(gpointer data)
{
    GwMatrixCell *cell = data;

    if (cell == NULL)
        return;
    gw_candidate_free(cell->candidate);
    g_free(cell);
}

GwMatrix *gw_matrix_new(const GwFabric *fabric, const GwMoveOptions *options, GwKnownHosts *known)
{
    GwMatrix *matrix = g_new0(GwMatrix, 1);

    matrix->fabric = fabric;
    matrix->options = options;
    matrix->shared = gw_plan_shared_new(fabric);
    matrix->shapes = gw_shapes_new(fabric, options, known);
    gw_shapes_note_vports(matrix->shapes, matrix->shared);
    matrix->vm_keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    matrix->vms = g_hash_table_new(NULL, NULL);
    matrix->hosts = g_hash_table_new(NULL, NULL);
    matrix->rows = g_ptr_array_new_with_free_func((GDestroyNotify)g_ptr_array_unref);
    return matrix;
}

void gw_matrix_free(GwMatrix *matrix)
{
    if (matrix == NULL)
        return;
    gw_plan_shared_free(matrix->shared);
    gw_shapes_free(matrix->shapes);
    g_hash_table_unref(matrix->vm_keys);
    g_hash_table_unref(matrix->vms);
    g_hash_table_unref(matrix->hosts);
    g_ptr_array_unref(matrix->rows);
    g_free(matrix);
}

/* The number of @key (taken over) in @keys, from 1. */
static guint number_of(GHashTable *keys, char *key)
{
    guint number = GPOINTER_TO_UINT(g_hash_table_lookup(keys, key));

    if (number != 0) {
        g_free(key);
        return number;
    }
    number = g_hash_table_size(keys) + 1;
    g_hash_table_insert(keys, key, GUINT_TO_POINTER(number));
    return number;
}

guint gw_matrix_host_shape(GwMatrix *matrix, const GwHost *host)
{
    guint number = GPOINTER_TO_UINT(g_hash_table_lookup(matrix->hosts, host));

    if (number == 0) {
        number = gw_shapes_number_of_host(matrix->shapes, host) + 1;
        g_hash_table_insert(matrix->hosts, (gpointer)host, GUINT_TO_POINTER(number));
    }
    return number - 1;
}

static guint number_of_vm(GwMatrix *matrix, char *key)
{
    guint number = number_of(matrix->vm_keys, key);

    if (matrix->rows->len < number)
        g_ptr_array_add(matrix->rows, g_ptr_array_new_with_free_func(cell_free));
    return number;
}

guint gw_matrix_vm_alone(GwMatrix *matrix, const GwVm *vm)
{
    return number_of_vm(matrix, g_strdup_printf("alone %s", gw_plan_text(vm->uuid))) - 1;
}

guint gw_matrix_vm_shape(GwMatrix *matrix, const GwVm *vm)
{
    guint number = GPOINTER_TO_UINT(g_hash_table_lookup(matrix->vms, vm));
    const GwHost *source = number == 0 ? gw_fabric_host(matrix->fabric, vm->host_id) : NULL;

    if (number == 0) {
        /* Where it is now is a part of it: a move has two ends. */
        guint from = source != NULL ? gw_matrix_host_shape(matrix, source) + 1 : 0;
        g_autofree char *own = gw_shapes_of_vm(matrix->shapes, vm);
        number = number_of_vm(matrix, g_strdup_printf("%u %s", from, own));
        g_hash_table_insert(matrix->vms, (gpointer)vm, GUINT_TO_POINTER(number));
    }
    return number - 1;
}

static gboolean is_possible(const GwCandidate *candidate)
{
    for (guint i = 0; i < candidate->findings->len; i++) {
        const GwFinding *finding = candidate->findings->pdata[i];
        if (finding->severity == (int)GW_SEVERITY_ERROR && !gw_matrix_is_changing(finding->rule))
            return FALSE;
    }
    return candidate->transfer != (int)GW_TRANSFER_NONE;
}

static guint count_warnings(const GwCandidate *candidate)
{
    guint count = 0;

    for (guint i = 0; i < candidate->findings->len; i++) {
        const GwFinding *finding = candidate->findings->pdata[i];
        count +=
            finding->severity == (int)GW_SEVERITY_WARNING && !gw_matrix_is_changing(finding->rule);
    }
    return count;
}

static void sum_up_disks(GwMatrixCell *cell)
{
    const GPtrArray *disks = cell->candidate->disks;

    for (guint i = 0; disks != NULL && i < disks->len; i++) {
        const GwDiskMove *move = disks->pdata[i];
        if (!gw_plan_is_copied(move))
            continue;
        cell->copies = TRUE;
        cell->copy_bytes += CLAMP(move->copy_bytes, 0, G_MAXINT64 / 4 - cell->copy_bytes);
    }
}

static GwMatrixCell *make_cell(GwMatrix *matrix, const GwVm *vm, const GwHost *destination)
{
    GwMatrixCell *cell = g_new0(GwMatrixCell, 1);
    GwPlanInput input = { .fabric = matrix->fabric,
                          .vm = vm,
                          .source = gw_fabric_host(matrix->fabric, vm->host_id),
                          .destination = destination,
                          .options = matrix->options,
                          .shared = matrix->shared,
                          .brief = TRUE };

    cell->vm = vm;
    matrix->verdicts++;
    cell->candidate = gw_plan_candidate(&input);
    cell->possible = is_possible(cell->candidate);
    cell->warnings = count_warnings(cell->candidate);
    sum_up_disks(cell);
    return cell;
}

const GwMatrixCell *gw_matrix_cell(GwMatrix *matrix, const GwVm *vm, guint vm_shape,
                                   const GwHost *destination, guint host_shape)
{
    GPtrArray *row = matrix->rows->pdata[vm_shape];

    if (row->len <= host_shape)
        g_ptr_array_set_size(row, (int)host_shape + 1);
    if (row->pdata[host_shape] == NULL)
        row->pdata[host_shape] = make_cell(matrix, vm, destination);
    return row->pdata[host_shape];
}

guint gw_matrix_verdicts(const GwMatrix *matrix)
{
    return matrix->verdicts;
}

GwPlanShared *gw_matrix_shared(const GwMatrix *matrix)
{
    return matrix->shared;
}

GwShapes *gw_matrix_shapes(const GwMatrix *matrix)
{
    return matrix->shapes;
}
