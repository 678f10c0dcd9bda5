/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/restart.h"

#include <string.h>

#include "base/error.h"
#include "engine/inventory.h"

/* "Restart pending" (R11): what a VM's next start would change follows from its definition and from
 * what its host can give now, and is worked out whenever one of the two is read anew. */

void gw_restart_derive(const GwFabric *fabric, GwVm *vm)
{
    g_clear_pointer(&vm->restart_changes, g_ptr_array_unref);
    vm->restart_changes = gw_plan_restart_changes(gw_fabric_host(fabric, vm->host_id), vm);
}

static gboolean same_cpus(const GPtrArray *a, const GPtrArray *b)
{
    guint count = a != NULL ? a->len : 0;

    if (count != (b != NULL ? b->len : 0))
        return FALSE;
    for (guint i = 0; i < count; i++) {
        if (!gw_record_equal(&gw_host_cpu_record, a->pdata[i], b->pdata[i]))
            return FALSE;
    }
    return TRUE;
}

static gboolean same_names(char *const *a, char *const *b)
{
    static char *const none[] = { NULL };

    return g_strv_equal((const char *const *)(a != NULL ? a : none),
                        (const char *const *)(b != NULL ? b : none));
}

gboolean gw_restart_is_news(const GwHostFacts *old, const GwHostFacts *facts)
{
    return old == NULL || !same_names(old->machines, facts->machines) ||
           !same_cpus(old->vm_cpus, facts->vm_cpus);
}

void gw_restart_derive_all(GwEngine *engine, const char *host_id)
{
    g_autoptr(GPtrArray) vms = gw_fabric_list_vms(gw_engine_now(engine), host_id);

    for (guint i = 0; i < vms->len; i++) {
        g_autoptr(GwVm) vm = gw_vm_copy(vms->pdata[i]);
        gw_restart_derive(gw_engine_now(engine), vm);
        if (gw_record_equal(&gw_vm_record, vms->pdata[i], vm))
            continue;
        g_autofree char *uuid = g_strdup(vm->uuid);
        gw_fabric_put_vm(gw_engine_change(engine), g_steal_pointer(&vm));
        gw_engine_tell(engine, "vm", uuid, host_id);
    }
}

GwRestart *gw_engine_restart(GwEngine *engine, const char *vm, GError **error)
{
    g_autoptr(GwFabric) fabric = gw_engine_fabric(engine);
    const GwVm *found = gw_fabric_find_vm(fabric, vm, error);

    return found != NULL ? gw_plan_restart(fabric, found) : NULL;
}
