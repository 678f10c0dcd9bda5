/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/sim_storage.h"

typedef struct {
    gint64 at_us;
    guint64 order;
    SimFn fn;
    gpointer data;
} SimDue;

/* Time ------------------------------------------------------------------------------------- */

static int by_time(gconstpointer pa, gconstpointer pb, gpointer unused)
{
    const SimDue *a = pa;
    const SimDue *b = pb;

    (void)unused;
    if (a->at_us != b->at_us)
        return a->at_us < b->at_us ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

void gw_sim_later(GwSim *sim, gint64 span_us, SimFn fn, gpointer data)
{
    SimDue *due = g_new(SimDue, 1);
    due->at_us = gw_clock_now_us(sim->clock) + span_us;
    due->order = ++sim->order;
    due->fn = fn;
    due->data = data;
    g_queue_insert_sorted(&sim->due, due, by_time, NULL);
    g_cond_signal(&sim->cond);
}

static void run_due(GwSim *sim, gint64 now_us)
{
    while (!g_queue_is_empty(&sim->due) &&
           ((SimDue *)g_queue_peek_head(&sim->due))->at_us <= now_us) {
        g_autofree SimDue *due = g_queue_pop_head(&sim->due);
        due->fn(sim, due->data);
    }
}

/* Replies and events ----------------------------------------------------------------------- */

void gw_sim_reply(GwSim *sim, GwReply *reply)
{
    if (sim->driver == NULL) {
        gw_reply_free(reply);
        return;
    }
    reply->at_us = gw_clock_now_us(sim->clock);
    sim->driver->hyper.sink.reply(reply, sim->driver->hyper.sink.user);
}

void gw_sim_event(GwSim *sim, GwHyperEvent *event)
{
    if (sim->driver == NULL || event->host_id == NULL) {
        gw_hyper_event_free(event);
        return;
    }
    event->at_us = gw_clock_now_us(sim->clock);
    sim->driver->hyper.sink.event(event, sim->driver->hyper.sink.user);
}

void gw_sim_lifecycle(GwSim *sim, const SimHost *host, const char *uuid, const char *what,
                      const char *detail)
{
    if (host->down || host->id == NULL || gw_clock_now_us(sim->clock) < host->agent_down_until_us)
        return;
    GwHyperEvent *event = gw_hyper_event_new(GW_EVENT_VM_LIFECYCLE, host->id, uuid);
    event->text = g_strdup(what);
    event->text2 = g_strdup(detail);
    gw_sim_event(sim, event);
}

void gw_sim_tell_lost(GwSim *sim, const SimHost *host)
{
    if (host->id == NULL)
        return;
    GwHyperEvent *event = gw_hyper_event_new(GW_EVENT_HOST_LOST, host->id, NULL);
    event->text = g_strdup("connection lost");
    gw_sim_event(sim, event);
}

/* The world -------------------------------------------------------------------------------- */

static void sim_vm_free(gpointer data)
{
    SimVm *vm = data;
    gw_vm_free(vm->vm);
    g_free(vm->reason);
    g_clear_pointer(&vm->defined, g_ptr_array_unref);
    gw_sim_close_images(vm);
    g_clear_pointer(&vm->snapshots, g_ptr_array_unref);
    g_free(vm->snapshot);
    g_free(vm);
}

static void sim_host_free(gpointer data)
{
    SimHost *host = data;
    g_free(host->uri);
    g_free(host->id);
    gw_host_facts_free(host->facts);
    g_hash_table_unref(host->vms);
    g_hash_table_unref(host->markers);
    g_hash_table_unref(host->lingering);
    g_hash_table_unref(host->files);
    g_hash_table_unref(host->storages);
    g_strfreev(host->reaches);
    g_clear_pointer(&host->leaves, g_hash_table_unref);
    g_free(host->name);
    g_free(host);
}

SimHost *gw_sim_add_host(GwSim *sim, const char *uri)
{
    SimHost *host = g_new0(SimHost, 1);

    host->uri = g_strdup(uri);
    host->vms = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, sim_vm_free);
    host->markers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    host->lingering = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    host->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    host->storages = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    if (uri != NULL && gw_host_agent_uri(uri, NULL, NULL, NULL))
        host->leaves = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_ptr_array_add(sim->hosts, host);
    return host;
}

SimVm *gw_sim_find(const SimHost *host, const char *uuid)
{
    return g_hash_table_lookup(host->vms, uuid);
}

SimHost *gw_sim_host_by_id(GwSim *sim, const char *id)
{
    for (guint i = 0; i < sim->hosts->len; i++) {
        SimHost *host = sim->hosts->pdata[i];
        if (g_strcmp0(host->id, id) == 0)
            return host;
    }
    return NULL;
}

SimHost *gw_sim_host_by_name(GwSim *sim, const char *name)
{
    for (guint i = 0; name != NULL && i < sim->hosts->len; i++) {
        SimHost *host = sim->hosts->pdata[i];
        if (g_strcmp0(host->name, name) == 0)
            return host;
    }
    return NULL;
}

SimHost *gw_sim_host_by_uri(GwSim *sim, const char *uri)
{
    for (guint i = 0; i < sim->hosts->len; i++) {
        SimHost *host = sim->hosts->pdata[i];
        if (g_strcmp0(host->uri, uri) == 0)
            return host;
    }
    return NULL;
}

void gw_sim_each_vm(GwSim *sim, SimVmFn fn, gpointer user)
{
    for (guint i = 0; i < sim->hosts->len; i++) {
        const SimHost *host = sim->hosts->pdata[i];
        GHashTableIter iter;
        gpointer vm;

        g_hash_table_iter_init(&iter, host->vms);
        while (g_hash_table_iter_next(&iter, NULL, &vm))
            fn(sim, host, vm, user);
    }
}

void gw_sim_set_state(GwSim *sim, const SimHost *host, SimVm *vm, GwVmState state,
                      const char *reason)
{
    static const char *const words[] = {
        [GW_VM_RUNNING] = "resumed",
        [GW_VM_PAUSED] = "suspended",
        [GW_VM_OFF] = "stopped",
    };
    if (state == GW_VM_RUNNING && vm->vm->state != GW_VM_RUNNING) {
        gw_sim_note_running(sim, vm, g_strcmp0(reason, "booted") == 0);
        gw_sim_runs(sim, host, vm);
    } else if (state != GW_VM_RUNNING) {
        gw_sim_stops(sim, host, vm);
    }
    vm->vm->state = state;
    g_free(vm->reason);
    vm->reason = g_strdup(reason);
    g_free(vm->vm->state_reason);
    vm->vm->state_reason = g_strdup(reason);
    gw_sim_count_running(sim, vm->vm->uuid);
    gw_sim_lifecycle(sim, host, vm->vm->uuid, words[state], reason);
}

void gw_sim_end_process(GwSim *sim, SimHost *host, const char *uuid, const char *reason)
{
    SimVm *vm = gw_sim_find(host, uuid);

    if (vm == NULL)
        return;
    vm->job = FALSE;
    gw_sim_block_ended(sim, host, uuid);
    if (vm->vm->persistent) {
        gw_sim_set_state(sim, host, vm, GW_VM_OFF, reason);
        gw_sim_forget_live(vm);
    } else {
        gw_sim_stops(sim, host, vm);
        g_hash_table_remove(host->vms, uuid);
        gw_sim_lifecycle(sim, host, uuid, "stopped", reason);
    }
    if (!gw_sim_lingers(sim, host, uuid))
        gw_sim_agent_ended(sim, host, uuid, reason);
}

SimVm *gw_sim_add_vm(SimHost *host, const GwVm *like)
{
    SimVm *vm = g_new0(SimVm, 1);
    vm->vm = gw_vm_copy(like);
    vm->reason = g_strdup(like->state_reason);
    g_hash_table_replace(host->vms, g_strdup(like->uuid), vm);
    return vm;
}

/* Beginning and end ----------------------------------------------------------------------- */

GwSim *gw_sim_new(GwClock *clock, json_t *fabric, GError **error)
{
    g_autoptr(GwSim) sim = g_new0(GwSim, 1);

    g_mutex_init(&sim->lock);
    g_cond_init(&sim->cond);
    g_queue_init(&sim->due);
    sim->clock = clock;
    sim->hosts = g_ptr_array_new_with_free_func(sim_host_free);
    sim->faults = g_ptr_array_new_with_free_func(gw_sim_fault_free);
    sim->moves = g_ptr_array_new_with_free_func(gw_sim_move_unref);
    sim->leaves = g_ptr_array_new_with_free_func(gw_sim_leave_free);
    sim->most_running = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    sim->disks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    sim->stores = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, gw_sim_store_free);
    sim->copies = g_ptr_array_new_with_free_func(gw_sim_copy_unref);
    sim->block_jobs = g_ptr_array_new_with_free_func(gw_sim_block_unref);
    sim->contents = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    sim->violations = g_ptr_array_new_with_free_func(g_free);
    if (!gw_sim_load(sim, fabric, error))
        return NULL;
    return g_steal_pointer(&sim);
}

/* What is due holds what it is about. */
static void drop_due(GwSim *sim)
{
    g_queue_clear_full(&sim->due, g_free);
    for (guint i = 0; sim->moves != NULL && i < sim->moves->len; i++)
        ((SimMove *)sim->moves->pdata[i])->refs = 1;
    for (guint i = 0; sim->copies != NULL && i < sim->copies->len; i++)
        gw_sim_copy_alone(sim->copies->pdata[i]);
    for (guint i = 0; sim->block_jobs != NULL && i < sim->block_jobs->len; i++)
        gw_sim_block_alone(sim->block_jobs->pdata[i]);
}

void gw_sim_free(GwSim *sim)
{
    if (sim == NULL)
        return;
    drop_due(sim);
    g_clear_pointer(&sim->moves, g_ptr_array_unref);
    g_clear_pointer(&sim->copies, g_ptr_array_unref);
    g_clear_pointer(&sim->block_jobs, g_ptr_array_unref);
    g_clear_pointer(&sim->leaves, g_ptr_array_unref);
    g_clear_pointer(&sim->faults, g_ptr_array_unref);
    g_clear_pointer(&sim->hosts, g_ptr_array_unref);
    g_clear_pointer(&sim->most_running, g_hash_table_unref);
    g_clear_pointer(&sim->disks, g_hash_table_unref);
    g_clear_pointer(&sim->stores, g_hash_table_unref);
    g_clear_pointer(&sim->contents, g_hash_table_unref);
    g_clear_pointer(&sim->violations, g_ptr_array_unref);
    g_mutex_clear(&sim->lock);
    g_cond_clear(&sim->cond);
    g_free(sim);
}

/* The driver ------------------------------------------------------------------------------- */

static void submit(GwHyper *hyper, GwRequest *request)
{
    GwSim *sim = ((SimDriver *)hyper)->sim;

    g_mutex_lock(&sim->lock);
    const SimHost *host = gw_sim_host_by_id(sim, request->host_id);
    gint64 span = host != NULL ? host->latency_us : 1000;
    if (host != NULL)
        span = MAX(span, host->stalled_until_us - gw_clock_now_us(sim->clock));
    gw_sim_later(sim, span, gw_sim_serve, request);
    g_mutex_unlock(&sim->lock);
}

void gw_sim_pass(GwSim *sim, gint64 until_us)
{
    g_mutex_lock(&sim->lock);
    for (;;) {
        const SimDue *first = g_queue_peek_head(&sim->due);
        if (first == NULL || first->at_us > until_us)
            break;
        gw_clock_advance_to(sim->clock, MAX(first->at_us, gw_clock_now_us(sim->clock)));
        run_due(sim, gw_clock_now_us(sim->clock));
    }
    gw_clock_advance_to(sim->clock, until_us);
    g_mutex_unlock(&sim->lock);
}

static gint64 next_us(GwHyper *hyper)
{
    GwSim *sim = ((SimDriver *)hyper)->sim;

    g_mutex_lock(&sim->lock);
    const SimDue *first = g_queue_peek_head(&sim->due);
    gint64 at = first != NULL ? first->at_us : 0;
    g_mutex_unlock(&sim->lock);
    return at;
}

static void run(GwHyper *hyper, gint64 now_us)
{
    GwSim *sim = ((SimDriver *)hyper)->sim;

    g_mutex_lock(&sim->lock);
    run_due(sim, now_us);
    g_mutex_unlock(&sim->lock);
}

static gpointer real_time(gpointer data)
{
    SimDriver *driver = data;
    GwSim *sim = driver->sim;

    g_mutex_lock(&sim->lock);
    while (!driver->closing) {
        run_due(sim, gw_clock_now_us(sim->clock));
        const SimDue *first = g_queue_peek_head(&sim->due);
        gint64 until = first != NULL ? first->at_us : gw_clock_now_us(sim->clock) + G_USEC_PER_SEC;
        g_cond_wait_until(&sim->cond, &sim->lock, until);
    }
    g_mutex_unlock(&sim->lock);
    return NULL;
}

/* What the driver's owner had asked and not got goes with it. */
static void drop_requests(GwSim *sim)
{
    for (GList *link = sim->due.head, *next; link != NULL; link = next) {
        SimDue *due = link->data;
        next = link->next;
        if (due->fn == gw_sim_serve) {
            gw_request_free(due->data);
            g_free(due);
            g_queue_delete_link(&sim->due, link);
        }
    }
}

static void close_driver(GwHyper *hyper)
{
    SimDriver *driver = (SimDriver *)hyper;
    GwSim *sim = driver->sim;

    g_mutex_lock(&sim->lock);
    driver->closing = TRUE;
    g_cond_signal(&sim->cond);
    g_mutex_unlock(&sim->lock);
    if (driver->thread != NULL)
        g_thread_join(driver->thread);
    g_mutex_lock(&sim->lock);
    sim->driver = NULL;
    drop_requests(sim);
    gw_sim_client_lost(sim);
    g_mutex_unlock(&sim->lock);
    if (driver->owns_sim)
        gw_sim_free(sim);
    g_free(driver);
}

static const GwHyperDriver sim_driver = { "sim", submit, close_driver, next_us, run };

GwHyper *gw_sim_attach(GwSim *sim, GwHyperSink sink)
{
    SimDriver *driver = g_new0(SimDriver, 1);

    driver->hyper.driver = &sim_driver;
    driver->hyper.sink = sink;
    driver->sim = sim;
    g_mutex_lock(&sim->lock);
    sim->driver = driver;
    g_mutex_unlock(&sim->lock);
    if (!gw_clock_is_virtual(sim->clock))
        driver->thread = g_thread_new("sim", real_time, driver);
    return &driver->hyper;
}

GwHyper *gw_sim_open(GwHyperSink sink, GwClock *clock, json_t *fabric, GError **error)
{
    GwSim *sim = gw_sim_new(clock, fabric, error);
    if (sim == NULL)
        return NULL;
    GwHyper *hyper = gw_sim_attach(sim, sink);
    ((SimDriver *)hyper)->owns_sim = TRUE;
    return hyper;
}
