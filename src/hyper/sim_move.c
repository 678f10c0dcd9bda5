/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/sim_move.h"
#include "hyper/sim_storage.h"

/* A move as libvirt does it, in five phases. */

#define SETUP_US 20000
#define DOWNTIME_US 300000
#define FINISH_US 5000

void gw_sim_move_unref(gpointer data)
{
    SimMove *move = data;
    if (--move->refs > 0)
        return;
    g_free(move->vm_uuid);
    gw_migrate_free(move->how);
    g_clear_pointer(&move->mirrors, g_ptr_array_unref);
    g_free(move);
}

SimMove *gw_sim_move_of(GwSim *sim, const SimHost *source, const char *uuid)
{
    for (guint i = 0; i < sim->moves->len; i++) {
        SimMove *move = sim->moves->pdata[i];
        if (!move->over && move->source == source && strcmp(move->vm_uuid, uuid) == 0)
            return move;
    }
    return NULL;
}

/* Ends ------------------------------------------------------------------------------------- */

static void count_end(SimMove *move)
{
    gw_sim_disks_over(move);
    if (!move->counted)
        return;
    move->counted = FALSE;
    move->source->moves--;
    move->destination->moves--;
}

void gw_sim_move_answer(GwSim *sim, SimMove *move, const char *failure)
{
    move->over = TRUE;
    count_end(move);
    if (move->orphan)
        return;
    GwReply *reply = gw_reply_new(move->request_id);
    if (failure != NULL)
        gw_error_set(&reply->error, GW_ERR_OPERATION, NULL, "%s", failure);
    gw_sim_reply(sim, reply);
}

void gw_sim_move_drop_destination(GwSim *sim, SimMove *move)
{
    SimVm *vm = gw_sim_find(move->destination, move->vm_uuid);

    if (vm == NULL)
        return;
    vm->vm->persistent = FALSE;
    gw_sim_end_process(sim, move->destination, move->vm_uuid, "failed");
}

void gw_sim_move_source_job_over(SimMove *move)
{
    SimVm *vm = gw_sim_find(move->source, move->vm_uuid);
    if (vm != NULL)
        vm->job = FALSE;
}

void gw_sim_move_source_goes_on(GwSim *sim, SimMove *move)
{
    SimVm *vm = gw_sim_find(move->source, move->vm_uuid);

    if (vm == NULL)
        return;
    vm->job = FALSE;
    if (vm->vm->state == GW_VM_PAUSED)
        gw_sim_set_state(sim, move->source, vm, GW_VM_RUNNING, "migration-canceled");
}

void gw_sim_move_roll_back(GwSim *sim, SimMove *move, const char *failure)
{
    gw_sim_move_drop_destination(sim, move);
    gw_sim_move_source_goes_on(sim, move);
    gw_sim_move_answer(sim, move, failure);
}

/* Phases ----------------------------------------------------------------------------------- */

static void advance(GwSim *sim, gpointer data);

static void next_phase(GwSim *sim, SimMove *move, SimPhase phase, gint64 span_us)
{
    move->phase = phase;
    move->refs++;
    gw_sim_later(sim, span_us, advance, move);
}

void gw_sim_move_again(GwSim *sim, SimMove *move)
{
    next_phase(sim, move, move->phase, 0);
}

/* libvirt says that the process ended, and it takes its time. */
static void linger(GwSim *sim, SimMove *move)
{
    gint64 *until = g_new(gint64, 1);

    *until = gw_clock_now_us(sim->clock) + move->linger_ms * 1000;
    g_hash_table_replace(move->source->lingering, g_strdup(move->vm_uuid), until);
}

static gint64 send_us(const GwSim *sim, const SimMove *move)
{
    gint64 limit = move->how->bandwidth_mibps * 1024 * 1024;
    gint64 bps = limit > 0 ? MIN(limit, sim->link_bps) : sim->link_bps;
    return move->remaining_bytes * G_USEC_PER_SEC / bps;
}

static void copy_round(GwSim *sim, SimMove *move)
{
    gint64 span = send_us(sim, move);
    gint64 limit = move->how->max_downtime_ms > 0 ? move->how->max_downtime_ms * 1000 : DOWNTIME_US;

    if (span <= limit && move->iteration > 0) {
        next_phase(sim, move, SIM_SWITCHOVER, 0);
        return;
    }
    move->iteration++;
    move->sent_bytes += move->remaining_bytes;
    SimVm *vm = gw_sim_find(move->source, move->vm_uuid);
    gint64 memory = gw_sim_memory_bytes(vm);
    move->remaining_bytes =
        MIN(memory, (gint64)((double)span * (double)gw_sim_dirty_bps(sim, vm) / G_USEC_PER_SEC));
    next_phase(sim, move, SIM_COPY, MAX(span, 1000));
}

/* Until the destination has the disks; then memory follows. */
static void disk_round(GwSim *sim, SimMove *move)
{
    const char *why = NULL;
    gint64 span = gw_sim_disks_round(sim, move, &why);

    if (span < 0)
        gw_sim_move_roll_back(sim, move, why);
    else if (span > 0)
        next_phase(sim, move, SIM_DISKS, span);
    else
        copy_round(sim, move);
}

static void switch_over(GwSim *sim, SimMove *move)
{
    SimVm *vm = gw_sim_find(move->source, move->vm_uuid);
    gw_sim_set_state(sim, move->source, vm, GW_VM_PAUSED, "migration");
    gw_sim_disks_final(sim, move);
    next_phase(sim, move, SIM_FINISH, send_us(sim, move) + FINISH_US);
}

void gw_sim_move_arrive(GwSim *sim, SimMove *move)
{
    SimVm *vm = gw_sim_find(move->destination, move->vm_uuid);
    const SimVm *source = gw_sim_find(move->source, move->vm_uuid);

    if (vm == NULL || !vm->job)
        return;
    vm->job = FALSE;
    gw_sim_disks_arrive(sim, move, vm);
    vm->memory = source != NULL ? source->memory : 0;
    vm->vm->persistent = move->how->persist;
    gw_sim_set_state(sim, move->destination, vm, move->how->paused ? GW_VM_PAUSED : GW_VM_RUNNING,
                     move->how->paused ? "user" : "migrated");
}

static void finish_move(GwSim *sim, SimMove *move)
{
    gw_sim_move_arrive(sim, move);
    next_phase(sim, move, SIM_CONFIRM, sim->confirm_us);
}

/* A process ended under the move: its guest shut down, or somebody destroyed it. */
static gboolean lost_an_end(const SimMove *move)
{
    const SimVm *source = gw_sim_find(move->source, move->vm_uuid);
    const SimVm *destination = gw_sim_find(move->destination, move->vm_uuid);

    return move->phase <= SIM_FINISH && (source == NULL || !gw_vm_is_active(source->vm) ||
                                         destination == NULL || !gw_vm_is_active(destination->vm));
}

static void advance(GwSim *sim, gpointer data)
{
    SimMove *move = data;

    if (!move->over && !gw_sim_move_struck(sim, move)) {
        if (lost_an_end(move))
            gw_sim_move_roll_back(sim, move, "the destination process died");
        else if (move->aborted && move->phase <= SIM_SWITCHOVER)
            gw_sim_move_roll_back(sim, move,
                                  "operation aborted: migration job: canceled by client");
        else if (move->phase <= SIM_DISKS && move->mirrors != NULL)
            disk_round(sim, move);
        else if (move->phase <= SIM_COPY)
            copy_round(sim, move);
        else if (move->phase == SIM_SWITCHOVER)
            switch_over(sim, move);
        else if (move->phase == SIM_FINISH)
            finish_move(sim, move);
        else {
            if (move->linger_ms > 0)
                linger(sim, move);
            gw_sim_end_process(sim, move->source, move->vm_uuid, "migrated");
            gw_sim_move_answer(sim, move, NULL);
        }
    }
    gw_sim_move_unref(move);
}

static void count_begin(SimMove *move)
{
    SimHost *const ends[] = { move->source, move->destination };

    move->counted = TRUE;
    for (guint i = 0; i < G_N_ELEMENTS(ends); i++) {
        ends[i]->moves++;
        ends[i]->most_moves = MAX(ends[i]->most_moves, ends[i]->moves);
    }
}

/* Over, and nothing that is due holds it: a day of moves must not pile up. */
static void forget_old(GwSim *sim)
{
    for (guint i = sim->moves->len; i > 0; i--) {
        const SimMove *move = sim->moves->pdata[i - 1];
        if (move->over && move->refs == 1)
            g_ptr_array_remove_index(sim->moves, i - 1);
    }
}

/* libvirt makes the taps before anything is sent. */
static gboolean attach(const SimMove *move, const GwVm *vm, GError **error)
{
    g_autoptr(GwVm) there = gw_vm_copy(vm);

    return gw_sim_apply_nics(there, move->how->nics, error) &&
           gw_sim_has_networks(move->destination, there, error);
}

void gw_sim_begin_move(GwSim *sim, SimHost *source, const GwRequest *request)
{
    SimVm *vm = gw_sim_find(source, request->vm_uuid);
    SimHost *destination = gw_sim_host_by_id(sim, request->migrate->destination_host_id);
    const SimVm *there = destination != NULL ? gw_sim_find(destination, request->vm_uuid) : NULL;
    gboolean possible = vm != NULL && (there == NULL || !gw_vm_is_active(there->vm)) &&
                        gw_vm_is_running(vm->vm) && !vm->job && destination != NULL &&
                        !destination->down && destination != source &&
                        gw_clock_now_us(sim->clock) >= destination->libvirtd_down_until_us &&
                        !gw_sim_has_block_job(sim, source, request->vm_uuid);

    forget_old(sim);
    SimMove *move = g_new0(SimMove, 1);
    move->refs = 1;
    move->request_id = request->id;
    move->source = source;
    move->destination = destination;
    move->vm_uuid = g_strdup(request->vm_uuid);
    move->how = gw_migrate_copy(request->migrate);
    move->began_us = gw_clock_now_us(sim->clock);
    g_ptr_array_add(sim->moves, move);
    const char *refusal =
        gw_sim_agent_refuses(sim, source, destination, move->how, request->vm_uuid);
    move->through_agents = gw_sim_agent_way(source, move->how, request->vm_uuid) != NULL;
    if (possible && refusal != NULL) {
        gw_sim_move_answer(sim, move, refusal);
        return;
    }
    if (!possible) {
        gw_sim_move_answer(sim, move,
                           "the VM cannot be moved: not running here, or the destination is away");
        return;
    }
    g_autoptr(GError) error = NULL;
    if (!attach(move, vm->vm, &error) || !gw_sim_disks_begin(sim, move, vm, &error)) {
        gw_sim_move_answer(sim, move, error->message);
        return;
    }
    count_begin(move);
    vm->job = TRUE;
    move->remaining_bytes = gw_sim_memory_bytes(vm);
    SimVm *incoming = gw_sim_add_vm(destination, vm->vm);
    incoming->vm->persistent = FALSE;
    incoming->vm->autostart = FALSE;
    incoming->vm->state = GW_VM_PAUSED;
    incoming->job = TRUE;
    incoming->memory = 0;
    gw_sim_apply_moves(destination, incoming->vm, incoming->vm->disks, move->how->disks, NULL);
    gw_sim_apply_nics(incoming->vm, move->how->nics, NULL);
    g_free(incoming->reason);
    incoming->reason = g_strdup("migration");
    next_phase(sim, move, SIM_SETUP, SETUP_US);
}

void gw_sim_abort(GwSim *sim, SimMove *move)
{
    if (move->phase > SIM_COPY)
        return; /* too late: libvirt says yes and finishes */
    move->aborted = TRUE;
    next_phase(sim, move, move->phase, 1000);
}

/* The client's end: nothing to a peer-to-peer move; a direct one is left in the phase it was in. */
static void orphan(GwSim *sim, SimMove *move)
{
    move->orphan = TRUE;
    if (move->how->peer_to_peer)
        return;
    switch (move->phase) {
    case SIM_SETUP:
    case SIM_DISKS:
    case SIM_COPY:
        gw_sim_move_roll_back(sim, move, NULL);
        break;
    case SIM_SWITCHOVER:
    case SIM_FINISH:
        gw_sim_move_drop_destination(sim, move);
        gw_sim_move_source_job_over(move);
        move->over = TRUE;
        count_end(move);
        break;
    case SIM_CONFIRM:
    case SIM_OVER:
        gw_sim_move_source_job_over(move);
        move->over = TRUE;
        count_end(move);
        break;
    }
}

void gw_sim_client_lost(GwSim *sim)
{
    for (guint i = 0; i < sim->moves->len; i++) {
        SimMove *move = sim->moves->pdata[i];
        if (!move->over)
            orphan(sim, move);
    }
    gw_sim_copies_client_lost(sim);
    for (guint i = 0; i < sim->hosts->len; i++)
        g_clear_pointer(&((SimHost *)sim->hosts->pdata[i])->id, g_free);
}

GwProgress *gw_sim_progress(GwSim *sim, const SimMove *move)
{
    GwProgress *progress = gw_progress_new();

    progress->phase = g_strdup(move->phase >= SIM_SWITCHOVER ? "switchover"
                               : move->phase == SIM_DISKS    ? "disks"
                                                             : "memory");
    progress->iteration = move->iteration;
    progress->disk_total_bytes = move->disk_bytes;
    progress->disk_processed_bytes = move->disk_done_bytes;
    progress->disk_remaining_bytes = move->disk_bytes - move->disk_done_bytes;
    progress->processed_bytes = move->sent_bytes + move->disk_done_bytes;
    progress->remaining_bytes = move->remaining_bytes + progress->disk_remaining_bytes;
    progress->total_bytes = progress->processed_bytes + progress->remaining_bytes;
    progress->bandwidth_bps = sim->link_bps;
    progress->dirty_rate_bps = gw_sim_dirty_bps(sim, gw_sim_find(move->source, move->vm_uuid));
    progress->elapsed_ms = (gw_clock_now_us(sim->clock) - move->began_us) / 1000;
    progress->converging = progress->dirty_rate_bps < sim->link_bps || move->iteration < 2;
    progress->eta_ms = progress->converging ? send_us(sim, move) / 1000 : -1;
    return progress;
}
