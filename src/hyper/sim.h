/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "hyper/hyper.h"

/* A simulated fabric: hosts and VMs from JSON, moves with times that follow from memory, link and
 * dirty rate, and faults that strike at named moments (docs/simulator.md). Deterministic under a
 * virtual clock. The world outlives its drivers, as real hosts outlive a controller: closing a
 * driver is what a controller's death is to libvirt. */
typedef struct GwSim GwSim;

GwSim *gw_sim_new(GwClock *clock, json_t *fabric, GError **error);
void gw_sim_free(GwSim *sim);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwSim, gw_sim_free)

/* A driver over @sim; one at a time. It belongs to who opened it, @sim does not. */
GwHyper *gw_sim_attach(GwSim *sim, GwHyperSink sink);

/* Virtual clock, no driver: the world goes on alone until then. */
void gw_sim_pass(GwSim *sim, gint64 until_us);

/* What a witness outside sees, whatever the hosts answer. Host by URI. */
/* How many unpaused processes of the VM there are in the whole fabric. */
guint gw_sim_running(GwSim *sim, const char *vm_uuid);
/* The most there ever were at once. */
guint gw_sim_most_running(GwSim *sim, const char *vm_uuid);
/* How many hosts hold a persistent definition. */
guint gw_sim_definitions(GwSim *sim, const char *vm_uuid);
/* NULL: the host has no such VM. Owned by the caller. */
GwLook *gw_sim_look(GwSim *sim, const char *uri, const char *vm_uuid);
/* Plants what a person could leave: a defined copy of a VM that another host has, in @state. */
void gw_sim_plant(GwSim *sim, const char *uri, const char *vm_uuid, GwVmState state);
/* The most moves that were under way at once on a host, in and out together. */
guint gw_sim_most_moves(GwSim *sim, const char *uri);
/* How often, in the whole fabric, a VM ran on with memory that was older than its disk. */
guint gw_sim_stale_runs(GwSim *sim);
/* Strikes from outside, at once. The host is cut off from the controller, its guests go on. */
void gw_sim_cut_off(GwSim *sim, const char *uri, gint64 ms);
/* Its libvirtd does nothing for a while; what it is asked meanwhile it does then. */
void gw_sim_stall(GwSim *sim, const char *uri, gint64 ms);
/* From now on the machine at @uri is another one. */
void gw_sim_exchange(GwSim *sim, const char *uri, const char *host_uuid);
/* A person starts it there, by virsh. */
void gw_sim_boot(GwSim *sim, const char *uri, const char *vm_uuid);
/* A person defines a VM there, with images of its own, and starts it where @like runs. FALSE: there
 * is one already. */
gboolean gw_sim_define_by_hand(GwSim *sim, const char *uri, const GwVm *like);
/* A person moves it there, at once. FALSE: it does not run, or a migration holds it. */
gboolean gw_sim_move_by_hand(GwSim *sim, const char *vm_uuid, const char *uri);
/* A person gives it so much memory while it runs. FALSE: as above. */
gboolean gw_sim_resize_by_hand(GwSim *sim, const char *vm_uuid, gint64 memory_kib);
/* A person gives it a disk more while it runs. FALSE: as above. */
gboolean gw_sim_attach_by_hand(GwSim *sim, const char *vm_uuid, const GwDisk *disk);
/* What VMs use from now on: called for each of them. */
typedef void (*GwSimUse)(const GwVm *vm, GwVmUsage *usage, gpointer user);
void gw_sim_use(GwSim *sim, GwSimUse use, gpointer user);
/* Every VM on every host, as it is there; neither adds nor removes one. */
typedef void (*GwSimSee)(const char *uri, const GwVm *vm, gpointer user);
void gw_sim_survey(GwSim *sim, GwSimSee see, gpointer user);
/* The guest shuts itself down, where it runs. */
void gw_sim_shut_down(GwSim *sim, const char *vm_uuid);
/* A person removes its definition there, by virsh. */
void gw_sim_undefine_by_hand(GwSim *sim, const char *uri, const char *vm_uuid);
/* From now on the VM uses so much CPU wherever it runs, permille of one CPU; with @vm_uuid NULL the
 * host @uri, permille of all that it has. What hosts use does not follow from their VMs. */
void gw_sim_set_cpu(GwSim *sim, const char *uri, const char *vm_uuid, gint64 permille);
/* Adds a fault, as an element of "faults" of the fabric's JSON. */
gboolean gw_sim_fault(GwSim *sim, json_t *fault, GError **error);

/* Storage. What must never have happened and did, in words: a VM ran on an image that is missing or
 * holds stale data, two wrote to one, a VM's image was deleted or overwritten. NULL-terminated. */
char **gw_sim_violations(GwSim *sim);
/* What is wrong just now, once all has settled: a VM is not where its definition says, or would
 * boot from a missing or stale image. */
char **gw_sim_check_disks(GwSim *sim);
/* Images that are neither a VM's, nor one of @kept (GwKeptVolume, may be NULL), nor there from the
 * start. */
char **gw_sim_leaks(GwSim *sim, const GPtrArray *kept);
/* Which data an image holds: equal numbers are equal data. 0: there is none. */
guint gw_sim_content(GwSim *sim, const char *uri, const char *path);
/* A person deletes an image. */
void gw_sim_remove_by_hand(GwSim *sim, const char *uri, const char *path);
/* The disk as the VM's process has it, or its definition where it is off. Owned; NULL: none. */
GwDisk *gw_sim_disk(GwSim *sim, const char *uri, const char *vm_uuid, const char *target);
/* All processes of the host end, and it is away. */
void gw_sim_cut_power(GwSim *sim, const char *uri, gint64 ms);
/* Nothing more fits into the pool for a while. */
void gw_sim_fill_pool(GwSim *sim, const char *uri, const char *pool, gint64 ms);

/* Agents. Its streams break, and nobody reaches the host until it is back; guests go on. */
void gw_sim_kill_agent(GwSim *sim, const char *uri, gint64 ms);
/* Two agents do not reach each other; the controller reaches both. */
void gw_sim_cut_link(GwSim *sim, const char *uri, const char *other_uri, gint64 ms);
/* The next "source-gone" is lost. */
void gw_sim_lose_notice(GwSim *sim);
/* The agent says something that people should see. */
void gw_sim_alarm(GwSim *sim, const char *uri, const char *vm_uuid, const char *text);
/* The agent has seen this epoch of the VM before, and closed it. */
void gw_sim_raise_epoch(GwSim *sim, const char *uri, const char *vm_uuid, gint64 epoch);
/* How often an agent resumed a VM by itself. */
guint gw_sim_agent_resumes(GwSim *sim);
/* Whether leave for a move of the VM is left open there. */
gboolean gw_sim_has_leave(GwSim *sim, const char *uri, const char *vm_uuid);
