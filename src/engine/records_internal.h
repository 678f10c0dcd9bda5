/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/engine_internal.h"

/* records.c: how records of the fabric are changed, one change of each at a time. */

/* What a person wants of a record. */
typedef struct {
    GwEdit edit;
    gpointer user;
} RecordEdit;
/* A copy of @now, changed so; NULL: it is refused. */
gpointer gw_records_edit(const GwRecord *record, gconstpointer now, const RecordEdit *edit,
                         GError **error);
/* Journals a group, host or rule (takes @record; NULL: @id is removed), then shows it, runs @after
 * with the id, and answers @call with the record; of a removal with the id. */
void gw_records_commit(GwEngine *engine, Call *call, GwKind kind, gpointer record, const char *id,
                       MessageFn after);
gboolean gw_records_is_changing(const GwEngine *engine, const char *id);
/* Another way of journaling one begins and ends; @id: the very same pointer. */
void gw_records_begin_change(GwEngine *engine, char *id);
void gw_records_end_change(GwEngine *engine, char *id);
/* FALSE: it is; who would write it meanwhile is told to come again. */
gboolean gw_records_check_settled(const GwEngine *engine, const char *id, GError **error);
/* Runs @fn once no such change is being journaled, at once where none is: what is checked against
 * other records must see those that are stored just now. In the order of these calls. */
void gw_records_in_turn(GwEngine *engine, MessageFn fn, gpointer data);
