/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/engine_internal.h"

/* Intent becomes durable here, on a thread of its own, before the loop carries it out (I5). */

#define RETRY_US (G_USEC_PER_SEC / 2)

typedef struct {
    GwBatch *batch;
    MessageFn then, failed;
    gpointer data;
    char *trouble;
} JournalItem;

static void journal_item_free(gpointer data)
{
    JournalItem *item = data;
    gw_batch_free(item->batch);
    g_free(item->trouble);
    g_free(item);
}

static void journal_done(GwEngine *engine, gpointer data)
{
    JournalItem *item = data;

    if (item->then != NULL)
        item->then(engine, item->data);
    journal_item_free(item);
}

static void journal_failed(GwEngine *engine, gpointer data)
{
    JournalItem *item = data;

    g_free(engine->store_trouble);
    engine->store_trouble = g_strdup(item->trouble);
    g_warning("database: %s", item->trouble);
    item->failed(engine, item->data);
    journal_item_free(item);
}

/* At the end: @then only frees what it was given, since the moves are gone before it runs. */
static void journal_dropped(GwEngine *engine, gpointer data)
{
    JournalItem *item = data;
    MessageFn fn = item->failed != NULL ? item->failed : item->then;

    g_free(engine->store_trouble);
    engine->store_trouble = g_strdup("the controller is stopping");
    if (fn != NULL)
        fn(engine, item->data);
    journal_item_free(item);
}

/* Any thread. FALSE: not stored; item->trouble says why. */
static gboolean journal_commit(GwEngine *engine, JournalItem *item)
{
    g_autoptr(GError) error = NULL;

    g_clear_pointer(&item->trouble, g_free);
    if (gw_store_commit(engine->store, item->batch, &error))
        return TRUE;
    g_debug("journal: %s", error->message);
    item->trouble = g_strdup(error->message);
    return FALSE;
}

/* What may not fail waits in @backlog until the store takes it, in order: an effect whose intent is
 * not durable must not happen (I5). Meanwhile what may fail, fails at once. */
static void journal_one(GwEngine *engine, JournalItem *item, GQueue *backlog)
{
    gboolean stored = g_queue_is_empty(backlog) && journal_commit(engine, item);

    if (stored)
        gw_engine_post(engine, journal_done, item);
    else if (item->failed == NULL)
        g_queue_push_tail(backlog, item);
    else {
        if (item->trouble == NULL)
            item->trouble = g_strdup("the database refuses changes at the moment");
        gw_engine_post(engine, journal_failed, item);
    }
}

gpointer gw_journal_thread(gpointer data)
{
    GwEngine *engine = data;
    g_auto(GQueue) backlog = G_QUEUE_INIT;

    for (;;) {
        JournalItem *item = g_queue_is_empty(&backlog)
                                ? g_async_queue_pop(engine->journal_inbox)
                                : g_async_queue_timeout_pop(engine->journal_inbox, RETRY_US);
        if (item != NULL && item->batch == NULL) {
            journal_item_free(item);
            while (!g_queue_is_empty(&backlog))
                gw_engine_post(engine, journal_dropped, g_queue_pop_head(&backlog));
            return NULL;
        }
        while (!g_queue_is_empty(&backlog) && journal_commit(engine, g_queue_peek_head(&backlog)))
            gw_engine_post(engine, journal_done, g_queue_pop_head(&backlog));
        if (item != NULL)
            journal_one(engine, item, &backlog);
    }
}

void gw_engine_journal(GwEngine *engine, GwBatch *batch, MessageFn then, MessageFn failed,
                       gpointer data)
{
    JournalItem *item = g_new0(JournalItem, 1);

    item->batch = batch;
    item->then = then;
    item->failed = failed;
    item->data = data;
    if (g_atomic_int_get(&engine->stopping) && engine->journal == NULL) {
        gw_engine_post(engine, journal_dropped, item);
        return;
    }
    if (engine->journal != NULL) {
        g_async_queue_push(engine->journal_inbox, item);
        return;
    }
    gboolean stored = journal_commit(engine, item);
    g_assert(stored || failed != NULL); /* no retries under a virtual clock */
    gw_engine_post(engine, stored ? journal_done : journal_failed, item);
}

void gw_journal_stop(GwEngine *engine)
{
    g_async_queue_push(engine->journal_inbox, g_new0(JournalItem, 1));
    g_thread_join(g_steal_pointer(&engine->journal));
}
