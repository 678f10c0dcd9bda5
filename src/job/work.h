/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "job/life.h"
#include "job/tasks.h"

/* The life of a job that is nothing but tasks (vm-transfer, vm-migrate-storage, job-repair,
 * volume-remove) as a table (job/life.h).
 *
 *   queued -> checking -> copying (BEFORE tasks) -> committing (AFTER tasks) -> done
 *                            | failed, cancelled, started under us
 *                            v
 *                         settling (tasks undone) -> failed / cancelled
 *
 * What a host refuses to undo is tried again a few times; then it is said that it is left.
 *
 * From the first AFTER task on it only goes forward: what a host refuses is tried again with
 * growing pauses, and given up in the end with the truth told; nothing is undone. */

typedef enum {
    GW_WORK_SLOTS,         /* slots are free */
    GW_WORK_CHECKED,       /* preflight on fresh facts passed; the tasks are made */
    GW_WORK_REFUSED,       /* preflight refused, or a host could not be asked */
    GW_WORK_COPIED,        /* all BEFORE tasks are done */
    GW_WORK_NOT_COPIED,    /* one failed, or they were stopped */
    GW_WORK_UNCHANGED,     /* the VM and what was copied are as they were */
    GW_WORK_DISTURBED,     /* they are not */
    GW_WORK_STARTED,       /* news: the VM was started */
    GW_WORK_COMMITTED,     /* all AFTER tasks are done */
    GW_WORK_NOT_COMMITTED, /* one failed */
    GW_WORK_TAKEN_BACK,    /* the first was refused, and nothing was done by it */
    GW_WORK_UNDONE,        /* all is undone */
    GW_WORK_NOT_UNDONE,    /* all that could be; the error says what was refused */
    GW_WORK_CLOSED,        /* the agents were asked to end the leave */
    GW_WORK_TIMER,
    GW_WORK_TOO_LONG, /* completion time-out (R59) */
    GW_WORK_STALLED,  /* progress time-out (R60) */
    GW_WORK_CANCEL,   /* asked by a person (R58) */
    GW_WORK_CHANGE,   /* another limit */
    GW_WORK_RESTART,
    GW_WORK_EVENT_COUNT
} GwWorkEventKind;

typedef struct {
    GwWorkEventKind kind;
    const GError *error;
    gint64 now_us; /* monotonic */
    gint64 wall_us;
} GwWorkEvent;

typedef enum {
    GW_WORK_DO_CHECK,  /* -> CHECKED or REFUSED */
    GW_WORK_DO_COPY,   /* BEFORE tasks -> COPIED or NOT_COPIED */
    GW_WORK_DO_LOOK,   /* -> UNCHANGED or DISTURBED */
    GW_WORK_DO_COMMIT, /* AFTER tasks -> COMMITTED, NOT_COMMITTED or TAKEN_BACK */
    GW_WORK_DO_UNDO,   /* BEFORE tasks -> UNDONE or NOT_UNDONE */
    GW_WORK_DO_STOP,   /* nothing comes back but NOT_COPIED */
    GW_WORK_DO_CHANGE, /* nothing comes back */
    GW_WORK_DO_CLOSE,  /* the agents' leave ends -> CLOSED */
    GW_WORK_DO_COUNT
} GwWorkDo;

typedef GwLifeOutcome GwWorkOutcome; /* its effects: GwWorkDo */

typedef struct {
    GwJob *job; /* the durable part; owned */
    GwLifeTimes times;
    /* Volatile, like those. */
    gint64 done_bytes; /* high-water mark that progress is measured by */
    guint done_tasks;  /* likewise */
    guint tries;       /* of committing */
    guint undos;       /* likewise, of undoing */
    gboolean looking;  /* tasks are over, and it is being asked whether all is as it was */
    gboolean closing;  /* the agents' leave ends before the job does, with the event that follows */
    gboolean closed;
    guint closes; /* how often that was refused */
    GwWorkEventKind last;
    GError *last_error;
} GwWork;

/* Takes ownership of @job. */
GwWork *gw_work_new(GwJob *job, gint64 now_us);
void gw_work_free(GwWork *work);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GwWork, gw_work_free)

/* Carries one event in; one that the state does not know is refused (GW_ERR_CONFLICT) and changes
 * nothing. */
gboolean gw_work_step(GwWork *work, const GwWorkEvent *event, GwWorkOutcome *outcome,
                      GError **error);
gint64 gw_work_next_us(const GwWork *work);
gboolean gw_work_due(const GwWork *work, gint64 now_us, GwWorkEventKind *kind);

const char *gw_work_event_word(GwWorkEventKind kind);
const char *gw_work_do_word(GwWorkDo effect);

typedef GwLifeRow GwWorkRow; /* its events: GwWorkEventKind */
const GwWorkRow *gw_work_rows(guint *count);
