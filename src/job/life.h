/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "model/job.h"

/* The life of a job of any kind is a table: (state, event) -> (next state, action, why). Rows,
 * events, actions and effects are the kind's own (move.h, work.h); what enters a state, writes the
 * history, tells errors, keeps the timers and ends a job is the same for all, and is here. Pure:
 * what a kind wants done comes out as effects, what was done comes back as events. The engine
 * journals the job before it carries the effects out (I5). */

typedef struct {
    GwJobState state;
    guint event; /* of the kind's events */
    GwJobState next;
    guint action; /* of the kind's actions */
    const char *why;
} GwLifeRow;

#define GW_LIFE_EFFECTS_MAX 4
/* Of a job's history; of a longer one the first step stays, and the oldest after it go. What is
 * planned anew every few seconds for days must not grow with it: each change writes all of it. */
#define GW_LIFE_STEPS_MAX 1000

/* What an event came to. */
typedef struct {
    guint effects[GW_LIFE_EFFECTS_MAX]; /* of the kind's effects */
    guint count;
    gboolean journal; /* the job changed in a way that must be durable before the effects */
    gboolean changed; /* readers should see it */
} GwLifeOutcome;

/* Volatile: rebuilt after a restart. Times are monotonic; 0: none. */
typedef struct {
    gint64 created_us, started_us;
    gint64 wake_us;     /* when the job is to be looked at again */
    gint64 too_long_us; /* when its completion time-out is due (R59) */
    gint64 stalled_us;  /* when its progress time-out is due (R60) */
} GwLifeTimes;

/* What the history says of an event. */
typedef struct {
    const char *event; /* the kind's word for it */
    gint64 now_us;     /* monotonic */
    gint64 wall_us;
} GwLifeMoment;

/* NULL: the state does not know the event. */
const GwLifeRow *gw_life_find(const GwLifeRow *rows, guint count, GwJobState state, guint event);
/* What to answer to one that it does not know (GW_ERR_CONFLICT). */
void gw_life_refuse(const GwJob *job, const char *event, GError **error);

void gw_life_add_effect(GwLifeOutcome *outcome, guint effect);
/* The one setter of a job's state: it writes the history and asks for the journal. */
void gw_life_enter(GwJob *job, GwJobState next, GwLifeMoment at, const char *why,
                   GwLifeOutcome *outcome);
void gw_life_set_phase(GwJob *job, const char *phase);
/* The time at which it started is this. */
void gw_life_start(GwJob *job, GwLifeMoment at);
/* It leaves the queue: what is asked first is whether it may. */
void gw_life_begin(GwJob *job, const GwLifeTimes *times, GwLifeMoment at);
/* Enters the final state @state. */
void gw_life_finish(GwJob *job, GwLifeTimes *times, GwJobState state, GwLifeMoment at,
                    const char *why, GwLifeOutcome *outcome);

void gw_life_replace(char **slot, const char *text);
void gw_life_set_error(GwJob *job, const char *code, const char *message, const char *remedy);
/* @remedy: where @error has none; may be NULL. */
void gw_life_take_error(GwJob *job, const GError *error, const char *remedy);

/* When a time-out of @span_s is due; 0: there is none. */
gint64 gw_life_due_after(gint64 now_us, gint64 span_s);
/* No timer is due any more. */
void gw_life_disarm(GwLifeTimes *times);
/* The earliest of them; 0: none. */
gint64 gw_life_next_us(const GwLifeTimes *times);
