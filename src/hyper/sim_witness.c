/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper/sim_internal.h"

/* What a witness outside of the engine sees and does; and what the simulator keeps count of for it.
 */

static guint running(const GwSim *sim, const char *vm_uuid)
{
    guint count = 0;

    for (guint i = 0; i < sim->hosts->len; i++) {
        const SimVm *vm = gw_sim_find(sim->hosts->pdata[i], vm_uuid);
        count += vm != NULL && gw_vm_is_running(vm->vm);
    }
    return count;
}

static guint number_of(GHashTable *table, const char *vm_uuid)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(table, vm_uuid));
}

/* A process that libvirt has lost sight of might run as well: who starts another one beside it
 * takes that risk. */
static guint lingering(const GwSim *sim, const char *uuid)
{
    guint count = 0;

    for (guint i = 0; i < sim->hosts->len; i++)
        count += gw_sim_lingers(sim, sim->hosts->pdata[i], uuid);
    return count;
}

void gw_sim_count_running(GwSim *sim, const char *uuid)
{
    guint now = running(sim, uuid) + lingering(sim, uuid);
    if (now > number_of(sim->most_running, uuid))
        g_hash_table_replace(sim->most_running, g_strdup(uuid), GUINT_TO_POINTER(now));
}

void gw_sim_note_running(GwSim *sim, SimVm *vm, gboolean booted)
{
    guint disk = number_of(sim->disks, vm->vm->uuid);

    if (!booted && vm->memory != disk)
        sim->stale_runs++;
    vm->memory = disk + 1;
    g_hash_table_replace(sim->disks, g_strdup(vm->vm->uuid), GUINT_TO_POINTER(vm->memory));
}

guint gw_sim_running(GwSim *sim, const char *vm_uuid)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    return running(sim, vm_uuid);
}

guint gw_sim_most_running(GwSim *sim, const char *vm_uuid)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    return number_of(sim->most_running, vm_uuid);
}

guint gw_sim_definitions(GwSim *sim, const char *vm_uuid)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    guint count = 0;

    for (guint i = 0; i < sim->hosts->len; i++) {
        const SimVm *vm = gw_sim_find(sim->hosts->pdata[i], vm_uuid);
        count += vm != NULL && vm->vm->persistent;
    }
    return count;
}

guint gw_sim_most_moves(GwSim *sim, const char *uri)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    const SimHost *host = gw_sim_host_by_uri(sim, uri);
    return host != NULL ? host->most_moves : 0;
}

guint gw_sim_stale_runs(GwSim *sim)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    return sim->stale_runs;
}

gboolean gw_sim_lingers(const GwSim *sim, const SimHost *host, const char *uuid)
{
    const gint64 *until = g_hash_table_lookup(host->lingering, uuid);
    return until != NULL && gw_clock_now_us(sim->clock) < *until;
}

GwLook *gw_sim_look_of(const GwSim *sim, const SimHost *host, const char *uuid)
{
    const SimVm *vm = gw_sim_find(host, uuid);
    GwLook *look = g_new0(GwLook, 1);

    look->attested = gw_sim_has_agent(host);
    look->processes = look->attested &&
                      ((vm != NULL && gw_vm_is_active(vm->vm)) || gw_sim_lingers(sim, host, uuid));

    look->present = vm != NULL;
    if (vm != NULL) {
        look->state = vm->vm->state;
        look->reason = g_strdup(vm->reason);
        look->persistent = vm->vm->persistent;
        look->autostart = vm->vm->autostart;
        look->job_active = vm->job;
    }
    return look;
}

GwLook *gw_sim_look(GwSim *sim, const char *uri, const char *vm_uuid)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    const SimHost *host = gw_sim_host_by_uri(sim, uri);
    const SimVm *vm = host != NULL ? gw_sim_find(host, vm_uuid) : NULL;
    return vm != NULL ? gw_sim_look_of(sim, host, vm_uuid) : NULL;
}

void gw_sim_cut_off(GwSim *sim, const char *uri, gint64 ms)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    SimHost *host = gw_sim_host_by_uri(sim, uri);
    if (host != NULL && !host->down)
        gw_sim_host_down(sim, host, ms);
}

void gw_sim_stall(GwSim *sim, const char *uri, gint64 ms)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    SimHost *host = gw_sim_host_by_uri(sim, uri);
    if (host != NULL)
        host->stalled_until_us = gw_clock_now_us(sim->clock) + ms * 1000;
}

void gw_sim_boot(GwSim *sim, const char *uri, const char *vm_uuid)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    SimHost *host = gw_sim_host_by_uri(sim, uri);
    SimVm *vm = host != NULL ? gw_sim_find(host, vm_uuid) : NULL;

    if (vm != NULL && !gw_vm_is_active(vm->vm))
        gw_sim_set_state(sim, host, vm, GW_VM_RUNNING, "booted");
}

void gw_sim_shut_down(GwSim *sim, const char *vm_uuid)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);

    for (guint i = 0; i < sim->hosts->len; i++) {
        const SimVm *vm = gw_sim_find(sim->hosts->pdata[i], vm_uuid);
        if (vm == NULL || !gw_vm_is_running(vm->vm))
            continue;
        gw_sim_end_process(sim, sim->hosts->pdata[i], vm_uuid, "shutdown");
        return;
    }
}

static const SimVm *find_anywhere(const GwSim *sim, const char *vm_uuid)
{
    const SimVm *vm = NULL;

    for (guint i = 0; i < sim->hosts->len && vm == NULL; i++)
        vm = gw_sim_find(sim->hosts->pdata[i], vm_uuid);
    return vm;
}

void gw_sim_plant(GwSim *sim, const char *uri, const char *vm_uuid, GwVmState state)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    const SimVm *like = find_anywhere(sim, vm_uuid);
    SimHost *host = gw_sim_host_by_uri(sim, uri);

    g_return_if_fail(like != NULL && host != NULL);
    SimVm *vm = gw_sim_add_vm(host, like->vm);
    vm->vm->persistent = TRUE;
    gw_sim_set_state(sim, host, vm, state, state == GW_VM_OFF ? "unknown" : "user");
}

void gw_sim_undefine_by_hand(GwSim *sim, const char *uri, const char *vm_uuid)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    SimHost *host = gw_sim_host_by_uri(sim, uri);

    if (host != NULL && g_hash_table_remove(host->vms, vm_uuid))
        gw_sim_lifecycle(sim, host, vm_uuid, "undefined", NULL);
}

void gw_sim_exchange(GwSim *sim, const char *uri, const char *host_uuid)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    SimHost *host = gw_sim_host_by_uri(sim, uri);

    if (host == NULL)
        return;
    g_free(host->facts->host_uuid);
    host->facts->host_uuid = g_strdup(host_uuid);
}
