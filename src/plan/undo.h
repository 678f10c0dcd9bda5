/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/plan.h"

/* undo_left.c: what is done about what a job left. */
typedef enum {
    GW_LEFT_STAYS,  /* nothing: it may be what the VM lives on */
    GW_LEFT_BACK,   /* the VM is where it was: what was made is taken back */
    GW_LEFT_ON,     /* it is only where it was to go: what was to follow is done */
    GW_LEFT_BEHIND, /* it has moved on since: its volumes are removed where nothing uses them */
} GwLeftWay;

/* The VM on the job's hosts, in whatever state. */
typedef struct {
    gboolean at_source, at_destination;
    gboolean active; /* at the destination, with a process */
} GwLeftSeen;

GwLeftWay gw_left_way(const GwFabric *fabric, const GwJob *job, const GwLeftSeen *seen);
/* GwTask, in the order in which a repair does them. */
GPtrArray *gw_left_tasks(const GwFabric *fabric, const GwJob *job, GwLeftWay way);
/* Whether taking @job back does anything about that task of it. */
gboolean gw_left_is_repaired(const GwFabric *fabric, const GwJob *job, const GwTask *left);
/* Whether the definition at the destination is one that the job left. */
gboolean gw_left_defined(const GwJob *job);
/* Whether a later job moved the VM away from where @job was to move it from, and it is somewhere.
 */
gboolean gw_left_moved_on(const GwFabric *fabric, const GwJob *job);

/* undo_words.c: what undoing does, step by step, for people. */

/* "Copy vda back from …, to … of …, onto the copy kept there: only what changed since". @live: the
 * VM runs. */
char *gw_undo_copy_words(const GwFabric *fabric, const GwJob *job, const GwDiskMove *move,
                         const GwVm *vm);
/* What a failed job left: what takes @task back; NULL: nothing is left of it. */
char *gw_undo_left_words(const GwFabric *fabric, const GwJob *job, const GwTask *task);
/* A task of a repair that does not take the job back but goes @way. */
char *gw_undo_task_words(const GwFabric *fabric, const GwJob *job, const GwTask *task,
                         GwLeftWay way);
/* Of a job that carries out a plan: the command that makes the plan back, with its hosts. */
char *gw_undo_plan_remedy(const GwFabric *fabric, const GwJob *job);
/* A host's name, or its id where it is not managed any more. */
const char *gw_undo_host(const GwFabric *fabric, const char *host_id);
/* Where the disk was before, and is to be again; NULL: nothing of it was copied. */
const GwVolume *gw_undo_old_place(const GwDiskMove *move);
