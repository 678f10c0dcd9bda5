/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/engine_internal.h"

/* What tasks.c (whose turn it is, the journal, waiting) and the task_*.c that ask hosts share. */

/* One run over a job's tasks. */
struct TaskRun {
    char *job_id;
    guint64 serial; /* of the run */
    GwTaskTurn turn;
    gboolean undo;
    TasksDone done;
    GwTask *task;  /* the job's, whose turn it is; NULL: between two */
    guint64 asked; /* the question whose answer is waited for; 0: none. Other answers are late */
    void (*then)(GwEngine *engine, TaskRun *run, const GwReply *reply);
    gboolean polling;      /* statistics are asked for: */
    guint64 polled;        /* the question */
    gint64 poll_us;        /* when next; 0: not */
    gint64 retry_us;       /* when to try the task again; 0: it does not wait */
    gint64 abort_us;       /* a copy is broken off: when to say so again */
    gint64 noted_us;       /* when the copy's progress was journaled last */
    gint64 rate_us;        /* when the rate was measured last, */
    gint64 rate_bytes;     /* at how many bytes of the job */
    guint tries;           /* of this task, in a row */
    guint refusals;        /* of this task: it could not be done just then */
    gboolean unsure;       /* an earlier try may have done it */
    gboolean stopping;     /* asked to stop */
    gboolean again;        /* the copy is broken off only to go on with another limit */
    gboolean leave;        /* both agents gave leave for copies of files */
    gboolean in_agent;     /* this copy goes between the agents */
    gboolean resumed;      /* it goes on where an earlier try was */
    gboolean from_scratch; /* a copy that went on where it was did not fit: all of it anew */
    GPtrArray *provers;    /* of a removal: char *, ids of hosts that are asked before */
    guint proved;          /* how many of them said that they do not use it */
    GError *trouble;       /* the first undo that failed */
};

/* How a kind of task is done; gw_task_over follows. */
typedef struct {
    void (*act)(GwEngine *engine, TaskRun *run);
    void (*undo)(GwEngine *engine, TaskRun *run); /* NULL: there is nothing to take back */
    /* Of what takes long (run->poll_us): what asks for statistics, and takes them. */
    GwRequest *(*poll)(GwEngine *engine, const TaskRun *run);
    void (*said)(GwEngine *engine, TaskRun *run, const GwReply *reply);
} TaskEffect;

/* task_volumes.c */
extern const TaskEffect gw_task_volume_create, gw_task_volume_replace, gw_task_volume_keep,
    gw_task_volume_delete;
/* task_copies.c */
extern const TaskEffect gw_task_volume_copy;
/* Breaks off the copy of a file. */
void gw_task_abort_copy(GwEngine *engine, TaskRun *run);
/* task_mirrors.c */
extern const TaskEffect gw_task_block_copy, gw_task_block_pivot, gw_task_overlay, gw_task_merge;
/* task_vm.c */
extern const TaskEffect gw_task_define, gw_task_undefine, gw_task_snapshots_forget,
    gw_task_snapshots_remember, gw_task_start, gw_task_autostart;

/* task_hbas.c */
extern const TaskEffect gw_task_hba_stop, gw_task_hba_start, gw_task_hba_check, gw_task_hba_forget;

/* Deleting a large file, or making all of a volume at once, takes its time. */
#define GW_TASK_LONG_US (120 * G_USEC_PER_SEC)

/* task_effects.c: does run->task, or undoes it; gw_task_over follows. */
void gw_task_act(GwEngine *engine, TaskRun *run);
/* Statistics of the copy or mirror are due. */
void gw_task_poll(GwEngine *engine, TaskRun *run);
/* The job that it is a task of. */
GwJob *gw_task_job(GwEngine *engine, const TaskRun *run);
/* A request to the task's host, about the job's VM and the task's volume. */
GwRequest *gw_task_request(GwEngine *engine, const TaskRun *run, GwOp op);
/* For what needs nothing but an answer. */
void gw_task_replied(GwEngine *engine, TaskRun *run, const GwReply *reply);
/* Where the job's figures are summed up. */
GwMoveResult *gw_task_result(GwEngine *engine, const TaskRun *run);
/* Asks for run->task; an answer that another question has overtaken is dropped. */
void gw_task_ask(GwEngine *engine, TaskRun *run, GwRequest *request,
                 void (*then)(GwEngine *, TaskRun *, const GwReply *));
/* Whether those hosts of the task that are needed answer; else it waits for them. */
gboolean gw_task_hosts_ready(GwEngine *engine, TaskRun *run, const char *host_id,
                             const char *peer_host_id);

/* task_delete.c: removes run->task->volume once every host that reaches it has proved that no VM of
 * it uses it. */
void gw_task_delete(GwEngine *engine, TaskRun *run);

/* tasks.c */
/* run->task is done, or failed; @error is the host's. What leaves the outcome open is tried again.
 */
void gw_task_over(GwEngine *engine, TaskRun *run, const GError *error);
/* run->task cannot be done yet, for @why: it is tried again later. */
void gw_task_wait(GwEngine *engine, TaskRun *run, const char *why);

/* task_journal.c */
/* Makes the job and @batch durable with a row of its history, shows it, and then runs @then, unless
 * @run was replaced meanwhile. */
typedef void (*TaskFn)(GwEngine *engine, TaskRun *run);
void gw_task_journal(GwEngine *engine, TaskRun *run, GwJob *job, GwBatch *batch, const char *event,
                     const char *why, TaskFn then);
/* A line of the job's history: shown now, stored with the next change. */
void gw_task_note(GwEngine *engine, GwJob *job, const char *event, const char *why);
/* gw_task_words with the names of its hosts. */
char *gw_task_words_of(GwEngine *engine, const GwTask *task);
/* With what was being done, and where, before what the host said of it. */
GError *gw_task_error_of(GwEngine *engine, const GwTask *task, const GError *error);
/* What the job waits for, to be seen; NULL: nothing. */
void gw_task_set_waiting(GwEngine *engine, GwJob *job, const char *why);
/* How far the copy under way is: into the job's progress, and from time to time the journal. */
void gw_task_progress(GwEngine *engine, TaskRun *run, const GwProgress *progress);
