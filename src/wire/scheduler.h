/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "wire/session.h"

/* Whose turn it is to send: strictly by class, then by deficit round robin among the groups of a
 * class (by their weight), then by turns of bytes among the streams of a group. It counts only what
 * was really sent. */
typedef struct GwScheduler GwScheduler;
typedef struct GwGroup GwGroup;

/* One that takes turns; embedded in a stream. */
typedef struct {
    GwGroup *group; /* NULL: does not take part */
    gpointer owner;
    GList link;
    gboolean active;
    gint64 left; /* bytes of its present turn within the group */
} GwTurn;

GwScheduler *gw_scheduler_new(void);
void gw_scheduler_free(GwScheduler *scheduler);
void gw_scheduler_join(GwScheduler *scheduler, GwTurn *turn, const GwStreamShare *share);
void gw_scheduler_leave(GwTurn *turn);
/* Has something to send, or not now. */
void gw_scheduler_set(GwTurn *turn, gboolean active);
/* Who is next, among the classes up to @last, and how many bytes it may send (at least 1); NULL:
 * nobody. */
GwTurn *gw_scheduler_next(GwScheduler *scheduler, GwClass last, gsize *room);
void gw_scheduler_sent(GwTurn *turn, gsize bytes);
GwClass gw_turn_class(const GwTurn *turn);
