/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "hyper/sim_internal.h"

/* What simulated hosts and VMs use: what their file says, whatever they do. */

gint64 gw_sim_dirty_bps(const GwSim *sim, const SimVm *vm)
{
    const GwVmUsage *usage = vm != NULL ? vm->vm->usage : NULL;

    return usage != NULL && usage->dirty_bps >= 0 ? usage->dirty_bps : sim->dirty_bps;
}

gint64 gw_sim_memory_bytes(const SimVm *vm)
{
    const GwVmUsage *usage = vm->vm->usage;
    gint64 all = vm->vm->memory_kib;

    return (usage != NULL && usage->memory_used_kib > 0 ? MIN(usage->memory_used_kib, all) : all) *
           1024;
}

void gw_sim_usage_unsaid(const GwRecord *record, gpointer usage, json_t *json)
{
    json_t *said = json_object_get(json, "usage");

    for (const GwField *field = record->fields; usage != NULL && field->name != NULL; field++) {
        if (field->type == GW_INT && json_object_get(said, field->name) == NULL)
            *(gint64 *)G_STRUCT_MEMBER_P(usage, field->offset) = -1;
    }
}

static void answer_usage(const GwSim *sim, const SimHost *host, GwReply *reply)
{
    GHashTableIter iter;
    gpointer value;

    reply->usage = host->facts->usage != NULL ? gw_host_usage_copy(host->facts->usage)
                                              : gw_host_usage_new_unknown();
    gw_sim_count_usage(sim, host, reply->usage);
    reply->vms = gw_record_array(&gw_vm_record);
    g_hash_table_iter_init(&iter, host->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwVm *known = ((SimVm *)value)->vm;
        if (!gw_vm_is_active(known))
            continue;
        GwVm *vm = gw_vm_new();
        vm->uuid = g_strdup(known->uuid);
        vm->usage =
            known->usage != NULL ? gw_vm_usage_copy(known->usage) : gw_vm_usage_new_unknown();
        vm->usage->dirty_bps = -1; /* that is asked for by itself */
        g_ptr_array_add(reply->vms, vm);
    }
}

static void sample_dirty(GwSim *sim, const SimHost *host, const GwRequest *request, GwReply *reply)
{
    const SimVm *vm = gw_sim_find(host, request->vm_uuid);

    if (vm == NULL || !gw_vm_is_active(vm->vm))
        gw_error_set(&reply->error, GW_ERR_NOT_FOUND, NULL, "the VM has no process here");
    else if (vm->job)
        gw_error_set(&reply->error, GW_ERR_CONFLICT, NULL, "a migration is under way");
    else if (request->op == GW_OP_DIRTY_READ)
        reply->dirty_bps = gw_sim_dirty_bps(sim, vm);
}

void gw_sim_usage_serve(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply)
{
    if (request->op == GW_OP_USAGE)
        answer_usage(sim, host, reply);
    else
        sample_dirty(sim, host, request, reply);
}

typedef struct {
    const char *uuid;
    gint64 permille;
} CpuOf;

static void set_vm_cpu(GwSim *sim, const SimHost *host, SimVm *vm, gpointer user)
{
    const CpuOf *cpu = user;

    (void)sim;
    (void)host;
    if (g_strcmp0(vm->vm->uuid, cpu->uuid) != 0)
        return;
    if (vm->vm->usage == NULL)
        vm->vm->usage = gw_vm_usage_new_unknown();
    vm->vm->usage->cpu_permille = cpu->permille;
}

void gw_sim_set_cpu(GwSim *sim, const char *uri, const char *vm_uuid, gint64 permille)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    CpuOf cpu = { vm_uuid, permille };
    SimHost *host = vm_uuid == NULL ? gw_sim_host_by_uri(sim, uri) : NULL;

    if (host != NULL && host->facts->usage == NULL)
        host->facts->usage = gw_host_usage_new_unknown();
    if (host != NULL)
        host->facts->usage->cpu_permille = permille;
    else if (vm_uuid != NULL)
        gw_sim_each_vm(sim, set_vm_cpu, &cpu);
}
