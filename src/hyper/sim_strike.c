/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/sim_move.h"
#include "hyper/sim_storage.h"

/* What is left when something dies in a phase of a move: the failure catalogue of RECOVERY.md, row
 * by row. */

static const char *const phase_words[] = {
    [SIM_SETUP] = "setup",           [SIM_DISKS] = "disks",   [SIM_COPY] = "copy",
    [SIM_SWITCHOVER] = "switchover", [SIM_FINISH] = "finish", [SIM_CONFIRM] = "confirm",
};

void gw_sim_break_moves(GwSim *sim, const SimHost *host, const SimHost *other, const char *vm_uuid)
{
    for (guint i = 0; i < sim->moves->len; i++) {
        SimMove *move = sim->moves->pdata[i];
        gboolean of_host =
            (move->source == host && (other == NULL || move->destination == other)) ||
            (move->destination == host && (other == NULL || move->source == other));
        if (move->over || !move->through_agents || !of_host || move->phase > SIM_FINISH ||
            (vm_uuid != NULL && strcmp(move->vm_uuid, vm_uuid) != 0))
            continue;
        gw_sim_move_roll_back(sim, move, "the agents' stream broke");
    }
}

static void fault_fail(GwSim *sim, SimMove *move, const SimFault *fault)
{
    (void)fault;
    gw_sim_move_roll_back(sim, move, "simulated failure");
}

static void fault_kill_source(GwSim *sim, SimMove *move, const SimFault *fault)
{
    (void)fault;
    if (move->phase <= SIM_FINISH)
        gw_sim_move_drop_destination(sim, move);
    gw_sim_end_process(sim, move->source, move->vm_uuid, "crashed");
    gw_sim_move_answer(sim, move, "the source process died");
}

static void fault_kill_destination(GwSim *sim, SimMove *move, const SimFault *fault)
{
    (void)fault;
    gw_sim_move_roll_back(sim, move, "the destination process died");
}

/* libvirtd of the source: before the switchover its restart cancels the job; at its end the VM is
 * left paused. */
static void fault_source_down(GwSim *sim, SimMove *move, const SimFault *fault)
{
    if (move->phase <= SIM_COPY)
        gw_sim_move_source_goes_on(sim, move);
    else
        gw_sim_move_source_job_over(move);
    SimVm *vm = gw_sim_find(move->source, move->vm_uuid);
    if (move->phase == SIM_SWITCHOVER && vm != NULL && gw_vm_is_running(vm->vm))
        gw_sim_set_state(sim, move->source, vm, GW_VM_PAUSED, "migration");
    if (move->phase <= SIM_SWITCHOVER)
        gw_sim_move_drop_destination(sim, move);
    gw_sim_move_answer(sim, move, "connection to the source lost");
    gw_sim_libvirtd_down(sim, move->source, fault->ms);
}

static void fault_destination_down(GwSim *sim, SimMove *move, const SimFault *fault)
{
    gw_sim_libvirtd_down(sim, move->destination, fault->ms);
    gw_sim_move_roll_back(sim, move, "connection to the destination lost");
}

static void late_resume(GwSim *sim, gpointer data)
{
    SimMove *move = data;
    gw_sim_move_source_goes_on(sim, move);
    gw_sim_move_answer(sim, move, "no answer from the destination");
    gw_sim_move_unref(move);
}

/* The destination finishes, its reply is lost, and the source goes on 30 s later: libvirt's own way
 * of running a VM twice. */
static void fault_lose_finish(GwSim *sim, SimMove *move, const SimFault *fault)
{
    gw_sim_move_arrive(sim, move);
    gw_sim_host_down(sim, move->destination, fault->ms);
    move->refs++;
    gw_sim_later(sim, 30 * G_USEC_PER_SEC, late_resume, move);
}

/* The reply to the controller is lost although all went well. */
static void fault_lose_reply(GwSim *sim, SimMove *move, const SimFault *fault)
{
    (void)fault;
    gw_sim_move_arrive(sim, move);
    gw_sim_end_process(sim, move->source, move->vm_uuid, "migrated");
    gw_sim_move_answer(sim, move, "connection lost");
}

/* Streams break between all that was sent and the answer that it arrived: the destination is
 * complete and the source goes on. Where that would double the VM (the destination runs by itself)
 * libvirt's own rollback came first. After the answer the source ends as it would have. */
static void break_off(GwSim *sim, SimMove *move, const char *failure)
{
    if (move->phase == SIM_CONFIRM) {
        gw_sim_end_process(sim, move->source, move->vm_uuid, "migrated");
    } else if (move->phase == SIM_FINISH && move->how->paused) {
        gw_sim_move_arrive(sim, move);
        gw_sim_move_source_goes_on(sim, move);
    } else {
        gw_sim_move_drop_destination(sim, move);
        gw_sim_move_source_goes_on(sim, move);
    }
    gw_sim_move_answer(sim, move, failure);
}

/* All of that host dies, and is away for a while. */
static void fault_source_power(GwSim *sim, SimMove *move, const SimFault *fault)
{
    fault_kill_source(sim, move, fault);
    gw_sim_lose_power(sim, move->source, fault->ms);
}

static void fault_destination_power(GwSim *sim, SimMove *move, const SimFault *fault)
{
    if (move->phase == SIM_CONFIRM) { /* the source was told that it arrived */
        gw_sim_end_process(sim, move->source, move->vm_uuid, "migrated");
        gw_sim_move_answer(sim, move, NULL);
    } else {
        gw_sim_move_roll_back(sim, move, "connection to the destination lost");
    }
    gw_sim_lose_power(sim, move->destination, fault->ms);
}

static void fault_source_agent_dies(GwSim *sim, SimMove *move, const SimFault *fault)
{
    move->through_agents = FALSE; /* dealt with here */
    gw_sim_agent_dies(sim, move->source, fault->ms);
    break_off(sim, move, "connection to the source lost");
}

static void fault_destination_agent_dies(GwSim *sim, SimMove *move, const SimFault *fault)
{
    gboolean late = move->phase == SIM_CONFIRM;

    move->through_agents = FALSE;
    gw_sim_agent_dies(sim, move->destination, fault->ms);
    break_off(sim, move, late ? NULL : "connection to the destination lost");
}

static void fault_link_cut(GwSim *sim, SimMove *move, const SimFault *fault)
{
    gboolean late = move->phase == SIM_CONFIRM;

    move->through_agents = FALSE;
    gw_sim_link_cut(sim, move->source, move->destination, fault->ms);
    break_off(sim, move, late ? NULL : "connection to the destination lost");
}

static void fault_lose_notice(GwSim *sim, SimMove *move, const SimFault *fault)
{
    (void)fault;
    sim->lost_notices++;
    gw_sim_move_again(sim, move);
}

static void fault_linger(GwSim *sim, SimMove *move, const SimFault *fault)
{
    if (gw_sim_has_agent(move->source)) /* nobody else could tell */
        move->linger_ms = fault->ms;
    gw_sim_move_again(sim, move);
}

/* The storage at the destination is full from here on: the next part does not fit. */
static void fault_full(GwSim *sim, SimMove *move, const SimFault *fault)
{
    gw_sim_disks_fill(sim, move, fault->ms);
    gw_sim_move_again(sim, move);
}

static const struct {
    const char *what;
    void (*strike)(GwSim *sim, SimMove *move, const SimFault *fault);
} strikes[] = {
    { "fail", fault_fail },
    { "kill-source", fault_kill_source },
    { "kill-destination", fault_kill_destination },
    { "source-down", fault_source_down },
    { "destination-down", fault_destination_down },
    { "lose-finish", fault_lose_finish },
    { "lose-reply", fault_lose_reply },
    { "source-agent-dies", fault_source_agent_dies },
    { "destination-agent-dies", fault_destination_agent_dies },
    { "link-cut", fault_link_cut },
    { "lose-notice", fault_lose_notice },
    { "linger", fault_linger },
    { "full", fault_full },
    { "source-power-loss", fault_source_power },
    { "destination-power-loss", fault_destination_power },
};

gboolean gw_sim_fault_known(const char *at, const char *what)
{
    gboolean phase = FALSE, strike = FALSE;

    if (gw_sim_op_fault_known(at, what))
        return TRUE;

    for (guint i = 0; i < G_N_ELEMENTS(phase_words); i++)
        phase = phase || g_strcmp0(phase_words[i], at) == 0;
    for (guint i = 0; i < G_N_ELEMENTS(strikes); i++)
        strike = strike || g_strcmp0(strikes[i].what, what) == 0;
    return phase && strike;
}

gboolean gw_sim_move_struck(GwSim *sim, SimMove *move)
{
    for (guint i = 0; i < sim->faults->len; i++) {
        SimFault *fault = sim->faults->pdata[i];
        if (strcmp(fault->at, phase_words[move->phase]) != 0 ||
            gw_sim_disks_percent(move) < fault->percent)
            continue;
        for (guint k = 0; k < G_N_ELEMENTS(strikes); k++) {
            if (strcmp(strikes[k].what, fault->what) == 0) {
                strikes[k].strike(sim, move, fault);
                g_ptr_array_remove_index(sim->faults, i);
                return TRUE;
            }
        }
    }
    return FALSE;
}
