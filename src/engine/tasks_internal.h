/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/engine_internal.h"

/* What tasks.c (whose turn it is, the journal, waiting) and task_effects.c (requests) share. */

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

/* task_effects.c: does run->task, or undoes it; gw_task_over follows. */
void gw_task_act(GwEngine *engine, TaskRun *run);
/* Statistics of the copy or mirror are due. */
void gw_task_poll(GwEngine *engine, TaskRun *run);
/* Breaks off the copy of a file. */
void gw_task_abort_copy(GwEngine *engine, TaskRun *run);

/* task_delete.c: removes run->task->volume once every host that reaches it has proved that no VM of
 * it uses it. */
void gw_task_delete(GwEngine *engine, TaskRun *run);

/* tasks.c */
/* Asks for run->task; an answer that another question has overtaken is dropped. */
void gw_task_ask(GwEngine *engine, TaskRun *run, GwRequest *request,
                 void (*then)(GwEngine *, TaskRun *, const GwReply *));
/* run->task is done, or failed; @error is the host's. What leaves the outcome open is tried again.
 */
void gw_task_over(GwEngine *engine, TaskRun *run, const GError *error);
/* run->task cannot be done yet, for @why: it is tried again later. */
void gw_task_wait(GwEngine *engine, TaskRun *run, const char *why);
/* Whether those hosts of the task that are needed answer; else it waits for them. */
gboolean gw_task_hosts_ready(GwEngine *engine, TaskRun *run, const char *host_id,
                             const char *peer_host_id);
/* A line of the job's history: shown now, stored with the next change. */
void gw_task_note(GwEngine *engine, GwJob *job, const char *event, const char *why);
void gw_task_show(GwEngine *engine, const GwJob *job);
/* How far the copy under way is: into the job's progress, and from time to time the journal. */
void gw_task_progress(GwEngine *engine, TaskRun *run, const GwProgress *progress);
