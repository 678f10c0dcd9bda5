/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/sim_storage.h"

/* What a simulated host answers to each request. */

static void fail(GwReply *reply, GwErrorCode code, const char *message)
{
    gw_error_set(&reply->error, code, NULL, "%s", message);
}

static GwVm *vm_answer(const SimVm *vm)
{
    GwVm *copy = gw_vm_copy(vm->vm);
    g_clear_pointer(&copy->usage, gw_vm_usage_free); /* that is asked for by itself */
    copy->job_active = vm->job;
    copy->incoming = vm->job && g_strcmp0(vm->reason, "migration") == 0 &&
                     vm->vm->state == GW_VM_PAUSED && !vm->vm->persistent;
    return copy;
}

static void answer_vms(const SimHost *host, const char *uuid, GwReply *reply)
{
    GHashTableIter iter;
    gpointer value;

    reply->vms = gw_record_array(&gw_vm_record);
    g_hash_table_iter_init(&iter, host->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const SimVm *vm = value;
        if (uuid == NULL || strcmp(uuid, vm->vm->uuid) == 0)
            g_ptr_array_add(reply->vms, vm_answer(vm));
    }
}

static void answer_facts(GwSim *sim, const SimHost *host, GwReply *reply)
{
    GwHostFacts *facts = reply->facts = gw_host_facts_copy(host->facts);

    g_clear_pointer(&facts->usage, gw_host_usage_free);
    facts->free_memory_kib = gw_sim_free_kib(sim, host);
    for (guint i = 0; facts->pools != NULL && i < facts->pools->len; i++) {
        GwPool *pool = facts->pools->pdata[i];
        facts->pools->pdata[i] = gw_sim_pool_answer(sim, host, pool);
        gw_pool_free(pool);
    }
}

static void do_undefine(SimHost *host, const GwRequest *request, GwReply *reply)
{
    SimVm *vm = gw_sim_find(host, request->vm_uuid);

    if (vm != NULL && gw_vm_is_active(vm->vm))
        fail(reply, GW_ERR_CONFLICT, "the VM is active");
    else if (vm != NULL && vm->vm->snapshots > 0)
        fail(reply, GW_ERR_OPERATION, "cannot delete an inactive VM with snapshots");
    else if (vm != NULL)
        g_hash_table_remove(host->vms, request->vm_uuid);
}

static void set_running(GwSim *sim, SimHost *host, const GwRequest *request, GwVmState state,
                        const char *reason, GwReply *reply)
{
    SimVm *vm = gw_sim_find(host, request->vm_uuid);

    if (vm == NULL || !gw_vm_is_active(vm->vm))
        fail(reply, GW_ERR_CONFLICT, "the VM has no process here");
    else if (vm->job && state == GW_VM_RUNNING && g_strcmp0(vm->reason, "migration") == 0)
        fail(reply, GW_ERR_CONFLICT, "a migration is under way");
    else if (vm->vm->state != (int)state)
        gw_sim_set_state(sim, host, vm, state, reason);
}

static char *marker_key(const SimHost *host, const GwRequest *request)
{
    const GwPool *pool = gw_record_find(&gw_pool_record, host->facts->pools, "name", request->text);
    /* Pools with one source are one storage. */
    return g_strdup_printf("%s/%s", pool != NULL && pool->source != NULL ? pool->source : host->uri,
                           request->text2);
}

static void do_marker(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply)
{
    g_autofree char *key = marker_key(host, request);
    SimHost *keeper = sim->hosts->pdata[0]; /* one table for the whole fabric */

    if (request->op == GW_OP_MARKER_WRITE)
        g_hash_table_replace(keeper->markers, g_steal_pointer(&key),
                             g_strdup_printf("%" G_GINT64_FORMAT, request->number));
    else if (request->op == GW_OP_MARKER_REMOVE)
        g_hash_table_remove(keeper->markers, key);
    else {
        g_autofree char *wanted = g_strdup_printf("%" G_GINT64_FORMAT, request->number);
        reply->verdict = g_strcmp0(g_hash_table_lookup(keeper->markers, key), wanted) == 0;
    }
}

static void do_lock(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply)
{
    g_autofree char *marker = marker_key(host, request);
    g_autofree char *key = g_strconcat("lock:", marker, NULL);
    SimHost *keeper = sim->hosts->pdata[0];
    const char *holder = g_hash_table_lookup(keeper->markers, key);

    if (request->op == GW_OP_LOCK_DROP) {
        if (g_strcmp0(holder, host->uri) == 0)
            g_hash_table_remove(keeper->markers, key);
        return;
    }
    reply->verdict = holder == NULL || strcmp(holder, host->uri) == 0;
    if (reply->verdict)
        g_hash_table_replace(keeper->markers, g_steal_pointer(&key), g_strdup(host->uri));
}

static void do_progress(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply)
{
    const SimMove *move = gw_sim_move_of(sim, host, request->vm_uuid);
    reply->progress = move != NULL ? gw_sim_progress(sim, move) : NULL;
}

static void do_stats(SimHost *host, const GwRequest *request, GwReply *reply)
{
    if (gw_sim_find(host, request->vm_uuid) == NULL) {
        fail(reply, GW_ERR_NOT_FOUND, "no such VM");
        return;
    }
    reply->result = gw_move_result_new();
    reply->result->downtime_libvirt_ms = -1;
}

static void boot(GwSim *sim, const SimHost *host, SimVm *vm, GwReply *reply)
{
    for (guint i = 0; vm->vm->disks != NULL && i < vm->vm->disks->len; i++) {
        g_autofree char *missing = gw_sim_missing(sim, host, vm->vm->disks->pdata[i]);
        if (missing != NULL) {
            gw_error_set(&reply->error, GW_ERR_OPERATION, NULL, "cannot access storage file '%s'",
                         missing);
            return;
        }
    }
    gw_sim_boot_cpu(host, vm->vm);
    gw_sim_set_state(sim, host, vm, GW_VM_RUNNING, "booted");
}

static void do_start(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply)
{
    SimVm *vm = gw_sim_find(host, request->vm_uuid);

    if (vm == NULL)
        fail(reply, GW_ERR_NOT_FOUND, "no such VM");
    else if (!gw_vm_is_active(vm->vm))
        boot(sim, host, vm, reply);
}

static void do_autostart(SimHost *host, const GwRequest *request)
{
    SimVm *vm = gw_sim_find(host, request->vm_uuid);
    if (vm != NULL)
        vm->vm->autostart = request->number != 0;
}

static void do_abort(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply)
{
    SimMove *move = gw_sim_move_of(sim, host, request->vm_uuid);

    if (move == NULL)
        fail(reply, GW_ERR_CONFLICT, "no job is active");
    else
        gw_sim_abort(sim, move);
}

static void perform(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply)
{
    switch (request->op) {
    case GW_OP_CONNECT:
    case GW_OP_FACTS:
        answer_facts(sim, host, reply);
        break;
    case GW_OP_LIST_VMS:
        answer_vms(host, NULL, reply);
        break;
    case GW_OP_GET_VM:
        answer_vms(host, request->vm_uuid, reply);
        break;
    case GW_OP_USAGE:
    case GW_OP_DIRTY_START:
    case GW_OP_DIRTY_READ:
        gw_sim_usage_serve(sim, host, request, reply);
        break;
    case GW_OP_LOOK:
        reply->look = gw_sim_look_of(sim, host, request->vm_uuid);
        break;
    case GW_OP_CPU_COMPARE:
    case GW_OP_CPU_BASELINE:
        gw_sim_cpu_serve(host, request, reply);
        break;
    case GW_OP_PROGRESS:
        do_progress(sim, host, request, reply);
        break;
    case GW_OP_STATS:
        do_stats(host, request, reply);
        break;
    case GW_OP_ABORT:
        do_abort(sim, host, request, reply);
        break;
    case GW_OP_RESUME:
        set_running(sim, host, request, GW_VM_RUNNING, "unpaused", reply);
        break;
    case GW_OP_PAUSE:
        set_running(sim, host, request, GW_VM_PAUSED, "user", reply);
        break;
    case GW_OP_DESTROY:
        gw_sim_end_process(sim, host, request->vm_uuid, "destroyed");
        break;
    case GW_OP_UNDEFINE:
        do_undefine(host, request, reply);
        break;
    case GW_OP_GET_XML:
    case GW_OP_DEFINE:
    case GW_OP_DEFINE_FROM:
    case GW_OP_SNAPSHOTS:
    case GW_OP_SNAPSHOTS_FORGET:
    case GW_OP_SNAPSHOTS_REMEMBER:
        gw_sim_define_serve(sim, host, request, reply);
        break;
    case GW_OP_AUTOSTART:
        do_autostart(host, request);
        break;
    case GW_OP_START:
        do_start(sim, host, request, reply);
        break;
    case GW_OP_MARKER_WRITE:
    case GW_OP_MARKER_READ:
    case GW_OP_MARKER_REMOVE:
        do_marker(sim, host, request, reply);
        break;
    case GW_OP_LOCK_HOLD:
    case GW_OP_LOCK_DROP:
        do_lock(sim, host, request, reply);
        break;
    case GW_OP_PERMIT:
    case GW_OP_CLOSE:
    case GW_OP_MEASURE:
    case GW_OP_CHECK:
    case GW_OP_REVOKED:
    case GW_OP_RENEW:
        gw_sim_agent_serve(sim, host, request, reply);
        break;
    case GW_OP_POOL_LOOK:
    case GW_OP_VOLUME_LOOK:
    case GW_OP_VOLUME_CREATE:
    case GW_OP_VOLUME_DELETE:
    case GW_OP_VOLUME_PROVE:
    case GW_OP_REACH:
        gw_sim_volume_serve(sim, host, request, reply);
        break;
    case GW_OP_HBA_LOOK:
    case GW_OP_HBA_STOP:
    case GW_OP_HBA_START:
        gw_sim_hba_serve(sim, host, request, reply);
        break;
    case GW_OP_COPY_PROGRESS:
    case GW_OP_COPY_ABORT:
        gw_sim_copy_serve(sim, host, request, reply);
        break;
    case GW_OP_BLOCK_COPY:
    case GW_OP_BLOCK_PROGRESS:
    case GW_OP_BLOCK_PIVOT:
    case GW_OP_BLOCK_ABORT:
    case GW_OP_OVERLAY:
    case GW_OP_MERGE:
        gw_sim_block_serve(sim, host, request, reply);
        break;
    case GW_OP_VOLUME_COPY:
    case GW_OP_DISCONNECT:
    case GW_OP_MIGRATE:
    case GW_OP_SET_BANDWIDTH:
    case GW_OP_SET_DOWNTIME:
    case GW_OP_COUNT:
        break;
    case GW_OP_POST_COPY:
        fail(reply, GW_ERR_UNSUPPORTED, "the simulator has no post-copy");
        break;
    }
}

void gw_sim_serve(GwSim *sim, gpointer data)
{
    g_autoptr(GwRequest) request = data;
    g_autoptr(GwReply) reply = gw_reply_new(request->id);
    gboolean connecting = request->op == GW_OP_CONNECT;
    SimHost *host = connecting ? gw_sim_host_by_uri(sim, request->text)
                               : gw_sim_host_by_id(sim, request->host_id);

    if (request->op == GW_OP_DISCONNECT) {
        if (host != NULL)
            g_clear_pointer(&host->id, g_free);
    } else if (host == NULL || host->down ||
               gw_clock_now_us(sim->clock) < host->agent_down_until_us) {
        fail(reply, GW_ERR_UNREACHABLE, host == NULL ? "no such simulated host" : "host is down");
    } else if (gw_sim_op_struck(sim, host, request)) {
        g_steal_pointer(&request);
        return;
    } else if (request->op == GW_OP_MIGRATE || request->op == GW_OP_VOLUME_COPY) {
        if (request->op == GW_OP_MIGRATE)
            gw_sim_begin_move(sim, host, request);
        else
            gw_sim_begin_copy(sim, host, request);
        return; /* it answers when it is over */
    } else {
        if (connecting) {
            g_free(host->id);
            host->id = g_strdup(request->host_id);
            g_free(host->name);
            host->name = g_strdup(request->host_id);
        }
        perform(sim, host, request, reply);
    }
    gw_sim_reply(sim, g_steal_pointer(&reply));
}
