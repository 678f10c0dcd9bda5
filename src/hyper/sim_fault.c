/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/sim_storage.h"

/* What strikes single requests, and copies once they have come so far; and hosts that go away. */

/* Beside each request's own word: when a mirror, or a merge, could be ended. */
static const char *const moments[] = { "block-ready" };

static const char *const strikes[] = { "fail",        "break",      "lose-reply", "host-down",
                                       "peer-down",   "power-loss", "full",       "slow",
                                       "do-and-fail", "boot" };

void gw_sim_fault_free(gpointer data)
{
    SimFault *fault = data;
    g_free(fault->at);
    g_free(fault->what);
    g_free(fault);
}

static gboolean is_op(const char *word)
{
    for (guint op = 0; op < GW_OP_COUNT; op++) {
        if (op != GW_OP_CONNECT && op != GW_OP_DISCONNECT && op != GW_OP_MIGRATE &&
            strcmp(gw_op_word(op), word) == 0)
            return TRUE;
    }
    return FALSE;
}

static gboolean is_one_of(const char *word, const char *const *words, guint count)
{
    for (guint i = 0; i < count; i++) {
        if (strcmp(words[i], word) == 0)
            return TRUE;
    }
    return FALSE;
}

gboolean gw_sim_op_fault_known(const char *at, const char *what)
{
    return at != NULL && what != NULL &&
           (is_op(at) || is_one_of(at, moments, G_N_ELEMENTS(moments))) &&
           is_one_of(what, strikes, G_N_ELEMENTS(strikes));
}

SimFault *gw_sim_take_fault(GwSim *sim, const char *at, gint64 percent)
{
    for (guint i = 0; i < sim->faults->len; i++) {
        const SimFault *fault = sim->faults->pdata[i];
        if (strcmp(fault->at, at) == 0 && fault->percent <= percent &&
            is_one_of(fault->what, strikes, G_N_ELEMENTS(strikes)))
            return g_ptr_array_steal_index(sim->faults, i);
    }
    return NULL;
}

/* Hosts that are away ------------------------------------------------------------------------ */

static void host_back(GwSim *sim, gpointer data)
{
    SimHost *host = data;
    host->down = FALSE;
    (void)sim;
}

void gw_sim_host_down(GwSim *sim, SimHost *host, gint64 ms)
{
    gw_sim_tell_lost(sim, host);
    host->down = TRUE;
    gw_sim_copies_host_lost(sim, host);
    gw_sim_later(sim, ms * 1000, host_back, host);
}

void gw_sim_libvirtd_down(GwSim *sim, SimHost *host, gint64 ms)
{
    host->libvirtd_down_until_us =
        MAX(host->libvirtd_down_until_us, gw_clock_now_us(sim->clock) + ms * 1000);
    gw_sim_host_down(sim, host, ms);
}

void gw_sim_take_away(GwSim *sim, SimHost *host, gint64 ms)
{
    if (gw_sim_has_agent(host))
        gw_sim_agent_dies(sim, host, ms);
    else
        gw_sim_libvirtd_down(sim, host, ms);
}

/* Nobody is told: who asks finds the host away. */
void gw_sim_lose_power(GwSim *sim, SimHost *host, gint64 ms)
{
    GHashTableIter iter;
    gpointer value;
    g_autoptr(GPtrArray) active = g_ptr_array_new_with_free_func(g_free);

    gw_sim_libvirtd_down(sim, host, ms);
    if (gw_sim_has_agent(host))
        gw_sim_agent_dies(sim, host, ms);
    g_hash_table_iter_init(&iter, host->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const SimVm *vm = value;
        if (gw_vm_is_active(vm->vm))
            g_ptr_array_add(active, g_strdup(vm->vm->uuid));
    }
    for (guint i = 0; i < active->len; i++)
        gw_sim_end_process(sim, host, active->pdata[i], "crashed");
}

void gw_sim_fill(GwSim *sim, SimStore *store, gint64 ms)
{
    store->full_until_us =
        MAX(store->full_until_us, gw_clock_now_us(sim->clock) + MAX(ms, 1) * 1000);
}

/* Requests -------------------------------------------------------------------------------- */

static void answer(GwSim *sim, const GwRequest *request, GwErrorCode code, const char *words)
{
    GwReply *reply = gw_reply_new(request->id);

    gw_error_set(&reply->error, code, NULL, "%s", words);
    gw_sim_reply(sim, reply);
}

static void fill_for(GwSim *sim, SimHost *host, const GwRequest *request, gint64 ms)
{
    g_autofree char *name = NULL;
    g_autofree char *path = request->volume != NULL ? gw_sim_path_of(host, request->volume) : NULL;

    if (path != NULL)
        gw_sim_fill(sim, gw_sim_resolve(sim, host, path, request->volume->server, &name), ms);
}

/* A person starts the VM while its definition goes: it runs on without one. */
static void boot_without(GwSim *sim, SimHost *host, const GwRequest *request)
{
    SimVm *vm = request->op == GW_OP_UNDEFINE ? gw_sim_find(host, request->vm_uuid) : NULL;

    if (vm == NULL || gw_vm_is_active(vm->vm))
        return;
    vm->vm->persistent = FALSE;
    gw_sim_set_state(sim, host, vm, GW_VM_RUNNING, "booted");
}

static void strike(GwSim *sim, SimHost *host, GwRequest *request, const SimFault *fault)
{
    SimHost *peer = gw_sim_host_by_name(sim, request->peer_host_id);

    if (strcmp(fault->what, "slow") == 0) {
        gw_sim_later(sim, fault->ms * 1000, gw_sim_serve, request);
        return;
    }
    if (strcmp(fault->what, "fail") == 0) {
        answer(sim, request, GW_ERR_OPERATION, "simulated failure");
    } else if (strcmp(fault->what, "full") == 0) {
        fill_for(sim, host, request, fault->ms);
        answer(sim, request, GW_ERR_OPERATION, "no space left on device");
    } else {
        if (strcmp(fault->what, "boot") == 0)
            boot_without(sim, host, request);
        else if (strcmp(fault->what, "power-loss") == 0)
            gw_sim_lose_power(sim, host, fault->ms);
        else if (strcmp(fault->what, "host-down") == 0)
            gw_sim_take_away(sim, host, fault->ms);
        else if (strcmp(fault->what, "peer-down") == 0 && peer != NULL)
            gw_sim_take_away(sim, peer, fault->ms);
        answer(sim, request, GW_ERR_UNREACHABLE, "connection lost");
    }
    gw_request_free(request);
}

/* Copies and mirrors that are under way have their own moments: see there. */
static gboolean strikes_later(const SimFault *fault, const GwRequest *request)
{
    return request->op == GW_OP_VOLUME_COPY ||
           ((request->op == GW_OP_BLOCK_COPY || request->op == GW_OP_MERGE) && fault->percent > 0);
}

/* It is done, which no other fault keeps it from, and something else is answered. */
static void do_and_answer(GwSim *sim, GwRequest *request, GwErrorCode code, const char *words)
{
    struct SimDriver *driver = sim->driver;
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    GPtrArray *faults = sim->faults;
    guint64 id = request->id;

    sim->driver = NULL;
    sim->faults = none;
    gw_sim_serve(sim, request);
    sim->driver = driver;
    sim->faults = faults;
    GwRequest lost = { .id = id };
    answer(sim, &lost, code, words);
}

gboolean gw_sim_op_struck(GwSim *sim, SimHost *host, GwRequest *request)
{
    for (guint i = 0; i < sim->faults->len; i++) {
        SimFault *fault = sim->faults->pdata[i];
        if (strcmp(fault->at, gw_op_word(request->op)) != 0 || strikes_later(fault, request) ||
            !is_one_of(fault->what, strikes, G_N_ELEMENTS(strikes)))
            continue;
        g_ptr_array_steal_index(sim->faults, i);
        if (strcmp(fault->what, "lose-reply") == 0)
            do_and_answer(sim, request, GW_ERR_UNREACHABLE, "connection lost");
        else if (strcmp(fault->what, "do-and-fail") == 0)
            do_and_answer(sim, request, GW_ERR_OPERATION, "simulated failure");
        else
            strike(sim, host, request, fault);
        gw_sim_fault_free(fault);
        return TRUE;
    }
    return FALSE;
}

/* From outside ----------------------------------------------------------------------------- */

void gw_sim_cut_power(GwSim *sim, const char *uri, gint64 ms)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    SimHost *host = gw_sim_host_by_uri(sim, uri);

    if (host != NULL)
        gw_sim_lose_power(sim, host, ms);
}

void gw_sim_fill_pool(GwSim *sim, const char *uri, const char *pool, gint64 ms)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&sim->lock);
    const SimHost *host = gw_sim_host_by_uri(sim, uri);
    const GwPool *named = host != NULL ? gw_sim_pool(host, pool) : NULL;

    if (named != NULL)
        gw_sim_fill(sim, gw_sim_store_of_pool(sim, host, named), ms);
}
