/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/batch.h"

#include "base/text.h"

static void free_change(gpointer data)
{
    GwChange *change = data;

    g_free(change->id);
    json_decref(change->body);
    g_free(change);
}

static void free_entry(gpointer data)
{
    GwJournalEntry *entry = data;

    g_free(entry->job_id);
    g_free(entry->state);
    g_free(entry->event);
    g_free(entry->why);
    g_free(entry);
}

GwBatch *gw_batch_new(void)
{
    GwBatch *batch = g_new0(GwBatch, 1);

    batch->changes = g_ptr_array_new_with_free_func(free_change);
    batch->index = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    batch->journal = g_ptr_array_new_with_free_func(free_entry);
    return batch;
}

void gw_batch_free(GwBatch *batch)
{
    if (batch == NULL)
        return;
    g_hash_table_unref(batch->index);
    g_ptr_array_unref(batch->changes);
    g_ptr_array_unref(batch->journal);
    g_free(batch);
}

gboolean gw_batch_is_empty(const GwBatch *batch)
{
    return batch->changes->len == 0 && batch->journal->len == 0;
}

/* Steals @body. One change for each id, so that the order in which they are applied is free. */
static void set_change(GwBatch *batch, GwKind kind, const char *id, json_t *body)
{
    g_autofree char *key = g_strdup_printf("%d/%s", (int)kind, id);
    GwChange *change = g_hash_table_lookup(batch->index, key);

    if (change == NULL) {
        change = g_new0(GwChange, 1);
        change->kind = kind;
        change->id = g_strdup(id);
        g_ptr_array_add(batch->changes, change);
        g_hash_table_insert(batch->index, g_steal_pointer(&key), change);
    }
    json_decref(change->body);
    change->body = body;
}

void gw_batch_put(GwBatch *batch, GwKind kind, const char *id, json_t *body)
{
    g_return_if_fail((guint)kind < GW_KIND_COUNT && id != NULL && body != NULL);
    set_change(batch, kind, id, body);
}

void gw_batch_remove(GwBatch *batch, GwKind kind, const char *id)
{
    g_return_if_fail((guint)kind < GW_KIND_COUNT && id != NULL);
    set_change(batch, kind, id, NULL);
}

void gw_batch_journal(GwBatch *batch, const char *job_id, gint64 wall_us, const char *state,
                      const char *event, const char *why)
{
    g_return_if_fail(job_id != NULL);
    GwJournalEntry *entry = g_new0(GwJournalEntry, 1);

    entry->job_id = g_strdup(job_id);
    entry->wall_us = wall_us;
    /* Parts of these words come from hosts. */
    entry->state = gw_text_printable(state, GW_TEXT_MESSAGE_MAX);
    entry->event = gw_text_printable(event, GW_TEXT_MESSAGE_MAX);
    entry->why = gw_text_printable(why, GW_TEXT_MESSAGE_MAX);
    g_ptr_array_add(batch->journal, entry);
}
