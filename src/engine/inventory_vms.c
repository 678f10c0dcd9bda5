/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "engine/inventory.h"

/* Which VMs a host has, and what each is like: all of them once, each again when something is heard
 * of it. */

#define RELIST_US (5 * G_USEC_PER_SEC) /* after a host did not say how a VM is */

/* Usage is read by itself (usage.c). What was seen of a VM before it came here holds here, too. */
static void keep_usage(GwEngine *engine, GwVm *vm, const GwVm *old, const GwJob *job)
{
    const GwVm *source =
        job != NULL ? gw_fabric_vm(gw_engine_now(engine), job->source_host_id, vm->uuid) : NULL;
    const GwVm *known = old != NULL && old->usage != NULL ? old : source;

    if (vm->usage == NULL && gw_vm_is_active(vm) && known != NULL)
        vm->usage = gw_vm_usage_copy(known->usage);
}

void gw_inventory_relist(GwEngine *engine, HostRun *run)
{
    if (run->relist_us != 0)
        return;
    run->relist_us = gw_clock_now_us(engine->clock) + RELIST_US;
    gw_inventory_due(engine, run->relist_us);
}

/* The last that is heard of a VM that another tool moves is that it runs there, where libvirt lets
 * its definition be read only a moment later, and that it stopped here, where its definition goes a
 * moment later; of neither moment it tells anybody. Looked at once more for each news: one that
 * stays unreadable, or stays defined, is no reason to list for ever. */
static void look_again(GwEngine *engine, const GwVm *vm)
{
    HostRun *run = gw_inventory_find(engine, vm->host_id);
    gboolean comes = vm->error != NULL && vm->state == (int)GW_VM_RUNNING;
    gboolean goes = vm->state == (int)GW_VM_OFF && vm->job_id == NULL &&
                    g_strcmp0(vm->state_reason, "migrated") == 0;

    if (run != NULL && (comes || goes))
        gw_inventory_relist(engine, run);
}

/* Marks a VM with the job that moves it, so that lists can show it. */
static void put_vm(GwEngine *engine, const GwVm *fresh, const char *host_id)
{
    /* Our own throw-away VMs of a lock's proof are nobody's. */
    if (g_str_has_prefix(fresh->name, GW_LOCK_VM_PREFIX))
        return;
    const GwVm *old = gw_fabric_vm(gw_engine_now(engine), host_id, fresh->uuid);
    const GwJob *job = gw_fabric_job_of_vm(gw_engine_now(engine), fresh->uuid);
    GwVm *vm = gw_vm_copy(fresh);

    g_free(vm->host_id);
    vm->host_id = g_strdup(host_id);
    g_free(vm->job_id);
    vm->job_id = job != NULL ? g_strdup(job->id) : NULL;
    keep_usage(engine, vm, old, job);
    gw_restart_derive(gw_engine_now(engine), vm);
    if (old != NULL && gw_record_equal(&gw_vm_record, old, vm)) {
        gw_vm_free(vm);
        return;
    }
    look_again(engine, vm);
    gw_fabric_put_vm(gw_engine_change(engine), vm);
    gw_engine_tell(engine, "vm", fresh->uuid, host_id);
}

static void remove_vm(GwEngine *engine, const char *host_id, const char *uuid)
{
    if (gw_fabric_vm(gw_engine_now(engine), host_id, uuid) == NULL)
        return;
    gw_fabric_remove_vm(gw_engine_change(engine), host_id, uuid);
    gw_engine_tell(engine, "vm", uuid, host_id);
}

/* A list of many VMs takes seconds: what is heard of one meanwhile, or answered, may be newer. */
void gw_inventory_hear(HostRun *run, const char *uuid)
{
    if (run->listing && uuid != NULL)
        g_hash_table_add(run->heard, g_strdup(uuid));
}

void gw_inventory_put_vm(GwEngine *engine, const char *host_id, const char *uuid,
                         const GPtrArray *vms)
{
    HostRun *run = gw_inventory_find(engine, host_id);

    if (run != NULL)
        gw_inventory_hear(run, uuid);
    if (vms->len > 0)
        put_vm(engine, vms->pdata[0], host_id);
    else
        remove_vm(engine, host_id, uuid);
}

static void vm_came(GwEngine *engine, const GwReply *reply, const char *key, gint64 unused)
{
    const char *slash = strchr(key, '/');
    g_autofree char *host_id = g_strndup(key, (gsize)(slash - key));
    const char *uuid = slash + 1;
    HostRun *run = gw_inventory_find(engine, host_id);
    gpointer again = NULL;

    (void)unused;
    if (run == NULL || !g_hash_table_lookup_extended(run->asking, uuid, NULL, &again))
        return;
    gboolean ask_again = GPOINTER_TO_INT(again) != 0;
    g_hash_table_remove(run->asking, uuid);
    if (reply->error == NULL)
        gw_inventory_put_vm(engine, host_id, uuid, reply->vms);
    else
        gw_inventory_relist(engine, run); /* the event that made us ask does not come again */
    if (ask_again)
        gw_inventory_ask_vm(engine, host_id, uuid);
}

void gw_inventory_ask_vm(GwEngine *engine, const char *host_id, const char *uuid)
{
    HostRun *run = gw_inventory_find(engine, host_id);

    if (run == NULL || !run->connected)
        return;
    if (g_hash_table_contains(run->asking, uuid)) {
        /* The answer under way may be older than what was just heard. */
        g_hash_table_replace(run->asking, g_strdup(uuid), GINT_TO_POINTER(1));
        return;
    }
    g_hash_table_replace(run->asking, g_strdup(uuid), GINT_TO_POINTER(0));
    g_autofree char *key = g_strdup_printf("%s/%s", host_id, uuid);
    gw_engine_ask(engine, gw_request_new(GW_OP_GET_VM, host_id, uuid), vm_came, key, 0);
}

void gw_inventory_take_list(GwEngine *engine, const char *host_id, const GPtrArray *vms)
{
    HostRun *run = gw_inventory_find(engine, host_id);
    GHashTable *known = g_hash_table_lookup(gw_engine_now(engine)->vms, host_id);
    g_autoptr(GHashTable) gone = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GHashTableIter iter;
    gpointer uuid;

    if (known != NULL) {
        g_hash_table_iter_init(&iter, known);
        while (g_hash_table_iter_next(&iter, &uuid, NULL))
            g_hash_table_add(gone, g_strdup(uuid));
    }
    for (guint i = 0; i < vms->len; i++) {
        const GwVm *vm = vms->pdata[i];
        g_hash_table_remove(gone, vm->uuid);
        if (!g_hash_table_contains(run->heard, vm->uuid))
            put_vm(engine, vm, host_id);
    }
    g_hash_table_iter_init(&iter, gone);
    while (g_hash_table_iter_next(&iter, &uuid, NULL)) {
        if (!g_hash_table_contains(run->heard, uuid))
            remove_vm(engine, host_id, uuid);
    }
    run->listing = FALSE;
    g_hash_table_iter_init(&iter, run->heard);
    while (g_hash_table_iter_next(&iter, &uuid, NULL))
        gw_inventory_ask_vm(engine, host_id, uuid);
    g_hash_table_remove_all(run->heard);
}
