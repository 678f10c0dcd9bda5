/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/job.h"

/* What a job does on hosts beside libvirt's migration, as a list of tasks: made once, from where
 * each disk goes, before the first of them; then done in order, and undone in reverse. Pure: who
 * carries them out marks them here, journals the job, and only then acts (I5). */

/* The tasks of @job, by its kind, its transfer and its disks, into job->tasks; @vm is needed only
 * for vm-migrate and vm-transfer (its snapshots). Tasks that a repair or a removal was made with
 * are left as they are. job->keep_source_s 0: the old copies are deleted instead of kept. */
void gw_tasks_make(GwJob *job, const GwVm *vm);

/* The task of @turn whose turn it is: one that is under way (after a restart: to be done again),
 * one that failed, or the first that is to do. NULL: all are done. */
GwTask *gw_tasks_next(const GwJob *job, GwTaskTurn turn);
/* The last task that is to be undone: it is known, or it may be, that it did something, and that
 * was not undone. Only what stood before the first AFTER task was begun; NULL: nothing is left to
 * undo. One whose undo failed (UNDOING, with a reason) is passed over: see gw_tasks_undo_again; and
 * so are the volumes that a definition names which its host did not give up. */
GwTask *gw_tasks_next_undo(const GwJob *job);
/* Whether the volume of @task is what the guest wrote to last, since merging it into the image
 * below failed: whatever its host says, it is not deleted. */
gboolean gw_tasks_stands_on(const GwJob *job, const GwTask *task);
/* Undos that failed are to be tried again. */
void gw_tasks_undo_again(const GwJob *job);
/* Whether any AFTER task was begun: there is no way back but a new job. */
gboolean gw_tasks_committed(const GwJob *job);
/* The first AFTER task, where its host refused it and none other was begun; else NULL. */
GwTask *gw_tasks_refused(const GwJob *job);
/* The first AFTER task was refused by its host, which left all as it was: the job is not committed
 * yet after all. FALSE: it is, or that task may have done something, as where the answer to an
 * earlier try was lost. */
gboolean gw_tasks_take_back(const GwJob *job);

/* Marks. Each asks for the journal before whatever follows. */
void gw_task_begin(GwTask *task, gboolean undo);
/* @error: it failed. An undo that fails stays UNDOING, with the reason. */
void gw_task_end(GwTask *task, const GError *error);
/* It is over, and need not be repeated, but this is to be said of it: an old copy that is in use, a
 * VM that does not boot. */
void gw_task_pass(GwTask *task, const GError *remark);

/* "copying vda to pool2 of kvm2": for the job's history and progress. Free with g_free. */
char *gw_task_words(const GwTask *task, const char *host, const char *peer);
/* What is to be said of tasks that were passed (gw_task_pass), one a line; NULL: nothing. Free with
 * g_free. */
char *gw_tasks_remarks(const GwJob *job);
/* Adds to the job's error which kept copies gave way to what it then did not come to: they are
 * gone, whatever is undone. */
void gw_tasks_say_replaced(GwJob *job);
#define GW_TASKS_REMARKS_REMEDY "See to that by hand: godwit vm show."
/* How much of all copies of @job is done, 0 to 100 (of a live move: of all that it sends), and the
 * copies in bytes; any may be NULL. */
int gw_tasks_progress(const GwJob *job, gint64 *done_bytes, gint64 *total_bytes);
