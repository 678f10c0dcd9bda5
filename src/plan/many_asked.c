/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/many.h"

#include "base/error.h"
#include "plan/rule.h"

/* Whether a plan does what its request asks for, and nothing else: a plan may come from a file that
 * somebody changed, and its job makes what is left anew by the request alone. */

typedef struct {
    const Many *many;
    GHashTable *vms;  /* uuid -> index + 1, of many->vms */
    GHashTable *last; /* uuid -> index + 1 of its last move */
} Asked;

static gboolean refuse(GError **error, guint number, const GwPlannedMove *move, const char *what,
                       const char *remedy)
{
    gw_error_set(error, GW_ERR_INVALID, remedy, "move %u (%s from %s to %s): %s", number,
                 gw_plan_text(move->vm_name), gw_plan_text(move->source_host_name),
                 gw_plan_text(move->destination_host_name), what);
    return FALSE;
}

static gboolean check_destination(const Asked *asked, guint number, const GwPlannedMove *move,
                                  const ManyVm *item, GError **error)
{
    guint index = many_host_index(asked->many, move->destination_host_id);
    const ManyHost *to = index != MANY_NONE ? many_host(asked->many, index) : NULL;
    gboolean last = GPOINTER_TO_UINT(g_hash_table_lookup(asked->last, move->vm_uuid)) == number;

    if (to == NULL)
        return refuse(error, number, move, "the destination is not managed",
                      "See the hosts: godwit host list.");
    if (to->emptied)
        return refuse(error, number, move, "the destination is to be emptied itself",
                      "Choose another destination.");
    if (!to->allowed && index != item->target)
        return refuse(error, number, move,
                      "the destination is none of those that the plan's request allows",
                      "Choose another one, or make a plan that allows it.");
    if (last && item->target != MANY_NONE && index != item->target)
        return refuse(error, number, move,
                      "it is to be brought back to where the drain took it from",
                      "Leave that move out, and move the VM by itself.");
    return TRUE;
}

static gboolean check_moves(const Asked *asked, const GwMigrationPlan *plan, GError **error)
{
    for (guint i = 0; i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        guint number = move->vm_uuid != NULL
                           ? GPOINTER_TO_UINT(g_hash_table_lookup(asked->vms, move->vm_uuid))
                           : 0;
        if (number == 0)
            return refuse(error, i + 1, move, "the plan's request does not ask for that VM",
                          plan->kind == (int)GW_PLAN_MOVES
                              ? "Name it among the request's VMs as well, or leave the move out."
                              : "Leave the move out, and move the VM by itself.");
        if (!check_destination(asked, i + 1, move, many_vm(asked->many, number - 1), error))
            return FALSE;
    }
    return TRUE;
}

gboolean gw_plan_many_asked(const GwFabric *fabric, const GwMigrationPlan *plan, GError **error)
{
    g_autoptr(GHashTable) vms = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) last = g_hash_table_new(g_str_hash, g_str_equal);
    Many many;
    const Asked asked = { &many, vms, last };

    if (!many_check_request(plan->request, error))
        return FALSE;
    many_prepare(&many, fabric, plan->request, NULL);
    gboolean good = many_read(&many, error);
    for (guint i = 0; good && i < many.vms->len; i++) {
        if (many_vm(&many, i)->vm->uuid != NULL)
            g_hash_table_insert(vms, many_vm(&many, i)->vm->uuid, GUINT_TO_POINTER(i + 1));
    }
    for (guint i = 0; i < plan->moves->len; i++) {
        char *uuid = ((GwPlannedMove *)plan->moves->pdata[i])->vm_uuid;
        if (uuid != NULL)
            g_hash_table_insert(last, uuid, GUINT_TO_POINTER(i + 1));
    }
    good = good && check_moves(&asked, plan, error);
    many_clear(&many);
    return good;
}
