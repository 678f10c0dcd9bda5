/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/engine_internal.h"
#include "job/life.h"

/* What jobs of all kinds that have a table (job/life.h) share: their steps, the queue, the timers.
 * A kind says in a const struct what is its own; its runs begin with a JobRun. */

typedef struct JobRun JobRun;

/* When something was decided: once the store has it, it may be old. */
typedef struct {
    guint number; /* of the run's decisions */
    gint64 at_us; /* monotonic */
} JobDecision;

typedef struct {
    guint rank; /* jobs of a lower one leave the queue first */
    void (*free)(JobRun *run);
    /* The controller has started, and the job was in its store. */
    void (*restart)(GwEngine *engine, JobRun *run);
    /* QUEUED: whether it waits for something beside hosts and slots; *@why (owned) says for what.
     * NULL: for nothing. */
    gboolean (*waits)(GwEngine *engine, JobRun *run, char **why);
    /* It leaves the queue. */
    void (*begin)(GwEngine *engine, JobRun *run);
    /* A host of the job answers again. */
    void (*host_back)(GwEngine *engine, JobRun *run);
    /* What else is to be durable with a step that is journaled, all of it or nothing: changes the
     * picture, and puts the same into @batch. NULL: nothing. */
    void (*record)(GwEngine *engine, JobRun *run, GwBatch *batch);
    /* An effect of a step. */
    void (*carry_out)(GwEngine *engine, JobRun *run, guint effect, JobDecision decided);
    gint64 (*next_us)(const JobRun *run); /* 0: nothing is due */
    void (*timers)(GwEngine *engine, JobRun *run, gint64 now_us);
} JobKind;

struct JobRun {
    const JobKind *kind;
    GwJob *job; /* which the kind's run owns */
    guint decisions;
};

/* jobs.c */
/* The run of a job that is not over, of whatever kind; NULL: there is none. */
JobRun *gw_jobs_find(GwEngine *engine, const char *job_id);
/* The same of one kind alone. */
JobRun *gw_jobs_find_of(GwEngine *engine, const char *job_id, const JobKind *kind);
/* Takes @run, which is of @kind and for @job. */
void gw_jobs_add(GwEngine *engine, JobRun *run, const JobKind *kind, GwJob *job);
/* Begins a job that was made and journaled: it is taken, shown, and queued. */
void gw_jobs_begin(GwEngine *engine, GwJob *job);
/* In the order in which they begin: by rank, then the oldest first; borrowed. */
GPtrArray *gw_jobs_list(GwEngine *engine);
void gw_jobs_show(GwEngine *engine, const GwJob *job);
/* How long its old copies are kept: as asked for, else as its source host has it. */
gint64 gw_jobs_keep_source_s(GwEngine *engine, const GwJob *job);
/* What a step of the job's table came to: it is shown, journaled if it is to be, and then its
 * effects are carried out (I5). A job that is over has no run after that. */
void gw_jobs_follow(GwEngine *engine, JobRun *run, const GwLifeOutcome *outcome, gint64 now_us,
                    gint64 wall_us);

/* accept.c */
/* A job that is QUEUED from now on, with an id and its times. */
GwJob *gw_jobs_new(GwEngine *engine, const char *kind, const char *user);
/* @error: why it is not begun, and goes; NULL: it begins. */
typedef void (*JobAccepted)(GwEngine *engine, const GwJob *job, const GError *error, gpointer user);
/* Makes a new job durable, with what else is in @batch, once changes of records that are being
 * journaled are over; then lets go of its VM (engine->accepting), calls @over (may be NULL), begins
 * it, and answers @call (NULL: nobody waits) with it. Takes @batch and @job. */
void gw_jobs_accept(GwEngine *engine, Call *call, GwBatch *batch, GwJob *job, JobAccepted over,
                    gpointer user);
/* One that is being journaled and is for that host, or NULL; nobody else sees it yet. */
const GwJob *gw_jobs_coming_for(const GwEngine *engine, const char *host_id);

/* queue.c */
/* Lets begin what may: whose hosts answer, whose slots are free (R23). */
void gw_queue_schedule(GwEngine *engine);

/* The VM's definition before the job that @job undoes, where adapters come back to what they were
 * then; borrowed, NULL: none does. */
const char *gw_jobs_nics_xml(GwEngine *engine, const GwJob *job);
