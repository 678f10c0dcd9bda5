/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hyper/sim_storage.h"

/* What people do past the controller, and what a day does to guests; and the whole world as a
 * witness sees it. */

#define UNDEFINE_US (G_USEC_PER_SEC / 4)

static gint64 memory_of(const GwVm *vm)
{
    return MAX(MAX(vm->memory_kib, vm->max_memory_kib), 0);
}

/* What has come of a VM that is on its way to @host; all of one that is not. */
static gint64 taken_kib(const GwSim *sim, const SimHost *host, const SimVm *vm)
{
    gint64 all = memory_of(vm->vm);

    for (guint i = 0; vm->job && i < sim->moves->len; i++) {
        const SimMove *move = sim->moves->pdata[i];
        if (!move->over && move->destination == host && move->phase <= SIM_COPY &&
            strcmp(move->vm_uuid, vm->vm->uuid) == 0)
            return MIN(all, move->sent_bytes / 1024);
    }
    return all;
}

gint64 gw_sim_free_kib(const GwSim *sim, const SimHost *host)
{
    gint64 left = host->facts->memory_kib;
    GHashTableIter iter;
    gpointer value;

    if (!sim->counted)
        return host->facts->free_memory_kib;
    g_hash_table_iter_init(&iter, host->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const SimVm *vm = value;
        left -= gw_vm_is_active(vm->vm) ? taken_kib(sim, host, vm) : 0;
    }
    return MAX(left, 0);
}

void gw_sim_count_usage(const GwSim *sim, const SimHost *host, GwHostUsage *usage)
{
    GHashTableIter iter;
    gpointer value;
    gint64 sum = 0;

    if (!sim->counted)
        return;
    g_hash_table_iter_init(&iter, host->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwVm *vm = ((SimVm *)value)->vm;
        sum += gw_vm_is_running(vm) && vm->usage != NULL ? MAX(vm->usage->cpu_permille, 0) : 0;
    }
    usage->cpu_permille = MIN(sum / MAX(host->facts->cpus, 1), 1000);
    usage->memory_used_kib = host->facts->memory_kib - gw_sim_free_kib(sim, host);
}

/* By hand ---------------------------------------------------------------------------------- */

gboolean gw_sim_define_by_hand(GwSim *sim, const char *uri, const GwVm *like)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    SimHost *host = gw_sim_host_by_uri(sim, uri);

    for (guint i = 0; i < sim->hosts->len; i++) {
        if (gw_sim_find(sim->hosts->pdata[i], like->uuid) != NULL)
            return FALSE;
    }
    if (host == NULL)
        return FALSE;
    SimVm *vm = gw_sim_add_vm(host, like);
    vm->vm->state = GW_VM_OFF;
    vm->vm->persistent = TRUE;
    gw_sim_load_disks_of(sim, host, vm);
    gw_sim_lifecycle(sim, host, like->uuid, "defined", NULL);
    if (gw_vm_is_running(like))
        gw_sim_set_state(sim, host, vm, GW_VM_RUNNING, "booted");
    return TRUE;
}

/* One that runs, and that no migration holds. */
static SimVm *find_running(GwSim *sim, const char *vm_uuid, SimHost **at)
{
    for (guint i = 0; i < sim->hosts->len; i++) {
        SimVm *vm = gw_sim_find(sim->hosts->pdata[i], vm_uuid);
        if (vm == NULL || vm->job || !gw_vm_is_running(vm->vm))
            continue;
        *at = sim->hosts->pdata[i];
        return vm;
    }
    return NULL;
}

static gboolean is_undefined(gpointer uuid, gpointer value, gpointer user)
{
    (void)uuid;
    (void)user;
    return ((SimVm *)value)->undefined;
}

static void forget_undefined(GwSim *sim, gpointer host)
{
    (void)sim;
    g_hash_table_foreach_remove(((SimHost *)host)->vms, is_undefined, NULL);
}

/* The guest goes on, so its disks go with it. As after virsh migrate --undefinesource, the last
 * that is heard of the source is that it stopped: its definition goes a moment later, and libvirt
 * tells nobody. */
gboolean gw_sim_move_by_hand(GwSim *sim, const char *vm_uuid, const char *uri)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    SimHost *from = NULL, *to = gw_sim_host_by_uri(sim, uri);
    SimVm *vm = find_running(sim, vm_uuid, &from);

    if (vm == NULL || to == NULL || to == from || gw_sim_find(to, vm_uuid) != NULL)
        return FALSE;
    SimVm *moved = gw_sim_add_vm(to, vm->vm);
    moved->vm->state = GW_VM_PAUSED;
    moved->memory = vm->memory;
    gw_sim_set_state(sim, from, vm, GW_VM_PAUSED, "migration");
    vm->undefined = TRUE;
    gw_sim_end_process(sim, from, vm_uuid, "migrated");
    gw_sim_later(sim, UNDEFINE_US, forget_undefined, from);
    gw_sim_lifecycle(sim, to, vm_uuid, "started", "migrated");
    gw_sim_set_state(sim, to, moved, GW_VM_RUNNING, "migrated");
    return TRUE;
}

static void changed_by_hand(GwSim *sim, const SimHost *host, const char *vm_uuid)
{
    if (host->id != NULL && !host->down)
        gw_sim_event(sim, gw_hyper_event_new(GW_EVENT_VM_CHANGED, host->id, vm_uuid));
}

gboolean gw_sim_resize_by_hand(GwSim *sim, const char *vm_uuid, gint64 memory_kib)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    SimHost *host = NULL;
    SimVm *vm = find_running(sim, vm_uuid, &host);

    if (vm == NULL)
        return FALSE;
    vm->vm->memory_kib = vm->vm->max_memory_kib = memory_kib;
    changed_by_hand(sim, host, vm_uuid);
    return TRUE;
}

gboolean gw_sim_attach_by_hand(GwSim *sim, const char *vm_uuid, const GwDisk *disk)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    SimHost *host = NULL;
    SimVm *vm = find_running(sim, vm_uuid, &host);

    if (vm == NULL)
        return FALSE;
    g_ptr_array_add(vm->vm->disks, gw_disk_copy(disk));
    gw_sim_load_disks_of(sim, host, vm);
    changed_by_hand(sim, host, vm_uuid);
    return TRUE;
}

void gw_sim_use(GwSim *sim, GwSimUse use, gpointer user)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);

    for (guint i = 0; i < sim->hosts->len; i++) {
        const SimHost *host = sim->hosts->pdata[i];
        GHashTableIter iter;
        gpointer value;

        g_hash_table_iter_init(&iter, host->vms);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
            GwVm *vm = ((SimVm *)value)->vm;
            if (vm->usage == NULL)
                vm->usage = gw_vm_usage_new_unknown();
            use(vm, vm->usage, user);
        }
    }
}

void gw_sim_survey(GwSim *sim, GwSimSee see, gpointer user)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);

    for (guint i = 0; i < sim->hosts->len; i++) {
        const SimHost *host = sim->hosts->pdata[i];
        GHashTableIter iter;
        gpointer value;

        g_hash_table_iter_init(&iter, host->vms);
        while (g_hash_table_iter_next(&iter, NULL, &value))
            see(host->uri, ((SimVm *)value)->vm, user);
    }
}
