/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "store/store.h"

/* A batch as the drivers of this room see it. */

typedef struct {
    GwKind kind;
    char *id;
    json_t *body; /* NULL: remove */
} GwChange;

typedef struct {
    char *job_id;
    gint64 wall_us;
    char *state, *event, *why;
} GwJournalEntry;

struct GwBatch {
    GPtrArray *changes; /* GwChange, at most one for each kind and id */
    GHashTable *index;  /* "kind/id" -> GwChange of @changes */
    GPtrArray *journal; /* GwJournalEntry */
};
