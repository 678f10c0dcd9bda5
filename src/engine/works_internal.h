/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/jobs_internal.h"
#include "job/work.h"

/* What the files about jobs that are nothing but tasks share. */

typedef struct {
    JobRun base;
    GwWork *work;
    guint looks;                      /* generation of the look under way */
    guint look_missing;               /* answers that it still waits for */
    GError *disturbed;                /* what it saw that must not be */
    gboolean look_open;               /* a host did not answer: look again */
    gboolean look_commits;            /* it is asked by the commit itself */
    gint64 look_us;                   /* when to look again; 0: no need */
    gint64 unchanged_us;              /* when all was seen to be as it was */
    gint64 merge_us;                  /* queued behind a merge: when to look again; 0: not */
    guint close_round, close_missing; /* of the two answers that the end of its leave waits for */
    GError *refusal; /* of a definition that its host would not give up: it is asked for it */
} WorkRun;

/* works.c */
/* NULL: it is over, or of another kind. */
WorkRun *gw_works_find(GwEngine *engine, const char *job_id);
/* A person's event (CANCEL, CHANGE) for the job with that id; a copy of it, or an error. */
GwJob *gw_works_event(GwEngine *engine, const char *job_id, GwWorkEventKind kind,
                      const GwJobChange *change, GError **error);
/* The same with news, which may come too late to be of use. */
void gw_works_news(GwEngine *engine, WorkRun *run, GwWorkEventKind kind, const GError *error);

/* work_effects.c */
void gw_works_carry_out(GwEngine *engine, WorkRun *run, GwWorkDo effect);
/* The AFTER tasks. */
void gw_works_commit(GwEngine *engine, WorkRun *run);

/* work_look.c */
#define GW_WORKS_LOOK_TIMEOUT_US (15 * G_USEC_PER_SEC)
/* Whether the VM and what was copied are as they were; again, where a host did not answer. Then
 * UNCHANGED or DISTURBED follows, or where the commit itself asks, that or TAKEN_BACK. */
void gw_works_look(GwEngine *engine, WorkRun *run);
