/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/job.h"

/* What a job does on hosts beside libvirt's migration, as a list of tasks: made once, from where
 * each disk goes, before the first of them; then done in order, and undone in reverse. Pure: who
 * carries them out marks them here, journals the job, and only then acts (I5). */

/* The tasks of @job, by its kind, its transfer and its disks, into job->tasks. @kept: GwKeptVolume
 * of this VM, whose delta and replacement job->disks already speak of. */
void gw_tasks_make(GwJob *job, const GwVm *vm);

/* The task of @turn whose turn it is: one that is under way (after a restart: to be done again), or
 * the first that is to do. NULL: all are done. */
GwTask *gw_tasks_next(const GwJob *job, GwTaskTurn turn);
/* The last task that is to be undone: done (or begun, or failed half-way) and not undone. Only what
 * stood before the first AFTER task was begun; NULL: nothing is left to undo. */
GwTask *gw_tasks_next_undo(const GwJob *job);
/* Whether any AFTER task was begun: there is no way back but a new job. */
gboolean gw_tasks_committed(const GwJob *job);

/* Marks. Each asks for the journal before whatever follows. */
void gw_task_begin(GwTask *task, gboolean undo);
/* @error: it failed. */
void gw_task_end(GwTask *task, const GError *error);

/* "copying vda to pool2 of kvm2": for the job's history and progress. Free with g_free. */
char *gw_task_words(const GwTask *task, const char *host, const char *peer);
/* How much of all copies of @job is done, 0 to 100, and in bytes; any may be NULL. */
int gw_tasks_progress(const GwJob *job, gint64 *done_bytes, gint64 *total_bytes);
