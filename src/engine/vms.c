/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "engine/engine_internal.h"
#include "engine/inventory.h"

/* Starting a VM, so that it can be moved while it runs (R3). A VM that another host holds is
 * started only where that other copy is known not to run (I1). */

static gboolean held_by_job(const GwFabric *fabric, const GwVm *vm, GError **error)
{
    const GwJob *job = gw_fabric_job_of_vm(fabric, vm->uuid);

    if (job == NULL)
        return FALSE;
    gw_error_set(error, GW_ERR_CONFLICT, "Wait for the job, or look at it: godwit job show.",
                 "'%s' is held by the job '%s'", vm->name, job->title);
    return TRUE;
}

static gboolean may_run_elsewhere(const GwFabric *fabric, const GwVm *vm, GError **error)
{
    GHashTableIter iter;
    gpointer id;

    g_hash_table_iter_init(&iter, fabric->hosts);
    while (g_hash_table_iter_next(&iter, &id, NULL)) {
        const GwHost *host = gw_fabric_host(fabric, id);
        const GwVm *other = gw_fabric_vm(fabric, id, vm->uuid);
        gboolean silent = host->status == GW_HOST_NOT_RESPONDING;
        if (other == NULL || g_strcmp0(id, vm->host_id) == 0)
            continue;
        if (gw_vm_is_active(other) || silent) {
            gw_error_set(error, GW_ERR_CONFLICT,
                         "Find out which copy is the right one, and undefine the other.",
                         silent ? "host '%s', which holds a copy of '%s', does not answer"
                                : "a copy on host '%s' has a process of '%s'",
                         host->name, vm->name);
            return TRUE;
        }
    }
    return FALSE;
}

static void vm_read(GwEngine *engine, const GwReply *reply, const char *key, gint64 number)
{
    Call *call = GSIZE_TO_POINTER((gsize)number);
    const char *slash = strchr(key, '/');
    g_autofree char *host_id = g_strndup(key, (gsize)(slash - key));
    GError *error = reply->error != NULL ? g_error_copy(reply->error) : NULL;

    if (error == NULL)
        gw_inventory_put_vm(engine, host_id, slash + 1, reply->vms);
    const GwVm *vm = gw_fabric_vm(gw_engine_now(engine), host_id, slash + 1);
    if (vm == NULL && error == NULL)
        gw_error_set(&error, GW_ERR_NOT_FOUND, "Look where it is: godwit vm list.",
                     "the VM vanished after it was started");
    gw_engine_answer(call, error == NULL ? gw_vm_copy(vm) : NULL, error);
}

static void started(GwEngine *engine, const GwReply *reply, const char *key, gint64 number)
{
    const char *slash = strchr(key, '/');
    g_autofree char *host_id = g_strndup(key, (gsize)(slash - key));

    if (reply->error != NULL) {
        gw_engine_answer(GSIZE_TO_POINTER((gsize)number), NULL, g_error_copy(reply->error));
        return;
    }
    gw_engine_ask(engine, gw_request_new(GW_OP_GET_VM, host_id, slash + 1), vm_read, key, number);
}

static void call_start(GwEngine *engine, Call *call)
{
    const GwFabric *fabric = gw_engine_now(engine);
    GError *error = NULL;
    const GwVm *vm = gw_fabric_find_vm(fabric, call->in[0], &error);

    if (vm == NULL || held_by_job(fabric, vm, &error) || may_run_elsewhere(fabric, vm, &error)) {
        gw_engine_answer(call, NULL, error);
        return;
    }
    GwOp op = vm->state == GW_VM_PAUSED ? GW_OP_RESUME : GW_OP_START;
    g_autofree char *key = g_strdup_printf("%s/%s", vm->host_id, vm->uuid);
    gw_engine_ask(engine, gw_request_new(op, vm->host_id, vm->uuid), started, key,
                  (gint64)GPOINTER_TO_SIZE(call));
}

GwVm *gw_engine_start_vm(GwEngine *engine, const char *vm, GError **error)
{
    return gw_engine_call(engine, call_start, vm, NULL, NULL, NULL, error);
}
