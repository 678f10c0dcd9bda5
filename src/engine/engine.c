/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/engine_internal.h"
#include "engine/inventory.h"

#include "base/error.h"
#include "base/text.h"
#include "engine/engine_config.h"
#include "engine/jobs_internal.h"

#define FEED_ITEMS 20000
#define REQUEST_TIMEOUT_US (30 * G_USEC_PER_SEC)

/* Messages -------------------------------------------------------------------------------- */

typedef struct {
    MessageFn fn;
    gpointer data;
} Message;

void gw_engine_post(GwEngine *engine, MessageFn fn, gpointer data)
{
    Message *message = g_new(Message, 1);
    message->fn = fn;
    message->data = data;
    g_async_queue_push(engine->inbox, message);
}

/* Requests to drivers ---------------------------------------------------------------------- */

typedef struct {
    ReplyFn done;
    char *key;
    gint64 number;
    gint64 deadline_us; /* 0: waits for as long as the driver does */
    GwOp op;
    char *host_id;
} Pending;

static void pending_free(gpointer data)
{
    Pending *pending = data;
    g_free(pending->key);
    g_free(pending->host_id);
    g_free(pending);
}

void gw_engine_ask(GwEngine *engine, GwRequest *request, ReplyFn done, const char *key,
                   gint64 number)
{
    Pending *pending = g_new0(Pending, 1);
    gint64 span = request->timeout_us > 0 ? request->timeout_us : REQUEST_TIMEOUT_US;

    request->id = ++engine->last_request;
    pending->done = done;
    pending->key = g_strdup(key);
    pending->number = number;
    pending->op = request->op;
    pending->host_id = g_strdup(request->host_id);
    /* These end by themselves: keep-alive turns a dead host into an error. */
    gboolean endless = request->op == GW_OP_MIGRATE || request->op == GW_OP_VOLUME_COPY;
    pending->deadline_us = endless ? 0 : gw_clock_now_us(engine->clock) + span;
    g_hash_table_insert(engine->pending, GSIZE_TO_POINTER(request->id), pending);
    if (g_atomic_int_get(&engine->stopping))
        gw_request_free(request); /* drain() answers it */
    else
        gw_hyper_submit(engine->hyper, request);
}

static void deliver(GwEngine *engine, const GwReply *reply)
{
    gpointer value = NULL;

    if (!g_hash_table_steal_extended(engine->pending, GSIZE_TO_POINTER(reply->id), NULL, &value))
        return; /* its deadline passed before */
    Pending *pending = value;
    if (pending->done != NULL)
        pending->done(engine, reply, pending->key, pending->number);
    pending_free(pending);
}

static void reply_arrived(GwEngine *engine, gpointer data)
{
    g_autoptr(GwReply) reply = data;
    deliver(engine, reply);
}

static void event_arrived(GwEngine *engine, gpointer data)
{
    g_autoptr(GwHyperEvent) event = data;
    gw_inventory_event(engine, event);
}

static void sink_reply(GwReply *reply, gpointer user)
{
    gw_engine_post(user, reply_arrived, reply);
}

static void sink_event(GwHyperEvent *event, gpointer user)
{
    gw_engine_post(user, event_arrived, event);
}

static void expire_requests(GwEngine *engine, gint64 now_us)
{
    g_autoptr(GArray) late = g_array_new(FALSE, FALSE, sizeof(guint64));
    GHashTableIter iter;
    gpointer id, value;

    g_hash_table_iter_init(&iter, engine->pending);
    while (g_hash_table_iter_next(&iter, &id, &value)) {
        const Pending *pending = value;
        guint64 number = GPOINTER_TO_SIZE(id);
        if (pending->deadline_us != 0 && pending->deadline_us <= now_us)
            g_array_append_val(late, number);
    }
    for (guint i = 0; i < late->len; i++) {
        guint64 number = g_array_index(late, guint64, i);
        const Pending *pending = g_hash_table_lookup(engine->pending, GSIZE_TO_POINTER(number));
        g_autoptr(GwReply) reply = gw_reply_new(number);
        const GwHost *host = gw_fabric_host(gw_engine_now(engine), pending->host_id);
        gw_error_set(&reply->error, GW_ERR_TIMEOUT,
                     "Check the host and its libvirtd; it is slow or stuck.",
                     "host '%s' did not answer '%s' in time",
                     host != NULL ? host->name : pending->host_id, gw_op_word(pending->op));
        reply->at_us = now_us;
        deliver(engine, reply);
    }
}

/* Turns ------------------------------------------------------------------------------------ */

char *gw_engine_rfc3339(GwEngine *engine)
{
    gint64 wall = gw_clock_wall_us(engine->clock);
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(wall / G_USEC_PER_SEC);
    return g_date_time_format(time, "%Y-%m-%dT%H:%M:%SZ");
}

char *gw_engine_new_id(GwEngine *engine)
{
    return gw_text_new_id(gw_clock_wall_us(engine->clock));
}

static gint64 next_deadline(GwEngine *engine)
{
    gint64 next = gw_earlier(gw_inventory_next_us(engine), gw_jobs_next_us(engine));
    next = gw_earlier(next, gw_tasks_next_us(engine));
    next = gw_earlier(next, gw_links_next_us(engine));
    next = gw_earlier(next, gw_kept_next_us(engine));
    next = gw_earlier(next, gw_usage_next_us(engine));
    next = gw_earlier(next, gw_dirty_next_us(engine));
    next = gw_earlier(next, gw_balance_next_us(engine));
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, engine->pending);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        next = gw_earlier(next, ((Pending *)value)->deadline_us);
    if (engine->hyper->driver->next_us != NULL && gw_clock_is_virtual(engine->clock))
        next = gw_earlier(next, engine->hyper->driver->next_us(engine->hyper));
    return next;
}

static void end_turn(GwEngine *engine)
{
    if (engine->schedule) {
        engine->schedule = FALSE;
        gw_queue_schedule(engine);
        gw_plans_schedule(engine);
    }
    gw_picture_publish(engine);
    gw_plans_published(engine);
    gw_balance_published(engine);
    gw_calls_deliver(engine);
}

gboolean gw_engine_turn(GwEngine *engine, gint64 wait_us)
{
    Message *message = g_async_queue_try_pop(engine->inbox);
    gboolean did = message != NULL;

    if (message == NULL) {
        gint64 now = gw_clock_now_us(engine->clock);
        gint64 next = next_deadline(engine);
        gint64 span = next == 0 ? wait_us : CLAMP(next - now, 0, wait_us);
        if (gw_clock_is_virtual(engine->clock))
            gw_clock_advance_to(engine->clock, now + span);
        else
            message = g_async_queue_timeout_pop(engine->inbox, (guint64)MAX(span, 1));
    }
    /* A bounded number, so that readers see changes also under a flood. */
    for (int i = 0; message != NULL && i < 1000; i++) {
        message->fn(engine, message->data);
        g_free(message);
        did = TRUE;
        message = i < 999 ? g_async_queue_try_pop(engine->inbox) : NULL;
    }

    gint64 now = gw_clock_now_us(engine->clock);
    if (gw_clock_is_virtual(engine->clock) && engine->hyper->driver->run != NULL)
        engine->hyper->driver->run(engine->hyper, now);
    expire_requests(engine, now);
    gw_inventory_timers(engine, now);
    gw_links_timers(engine, now);
    gw_tasks_timers(engine, now);
    gw_jobs_timers(engine, now);
    gw_kept_timers(engine, now);
    gw_usage_timers(engine, now);
    gw_dirty_timers(engine, now);
    gw_balance_timers(engine, now);
    end_turn(engine);
    return did;
}

void gw_engine_run_until(GwEngine *engine, gint64 until_us)
{
    g_return_if_fail(gw_clock_is_virtual(engine->clock));
    for (;;) {
        gint64 now = gw_clock_now_us(engine->clock);
        gboolean did = gw_engine_turn(engine, MAX(until_us - now, 0));
        if (!did && gw_clock_now_us(engine->clock) >= until_us &&
            g_async_queue_length(engine->inbox) <= 0)
            return;
    }
}

static gpointer loop_thread(gpointer data)
{
    GwEngine *engine = data;
    while (!g_atomic_int_get(&engine->stopping))
        gw_engine_turn(engine, 10 * G_USEC_PER_SEC);
    return NULL;
}

/* Beginning and end ------------------------------------------------------------------------ */

static void start(GwEngine *engine, gpointer data)
{
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(gw_engine_now(engine));

    for (guint i = 0; i < hosts->len; i++)
        gw_inventory_start_host(engine, ((GwHost *)hosts->pdata[i])->id);
    gw_jobs_start_restored(engine);
    engine->schedule = TRUE;
    (void)data;
}

GwEngine *gw_engine_new(const GwEngineConfig *config, GError **error)
{
    GwEngine *engine = g_new0(GwEngine, 1);
    GwHyperSink sink = { sink_reply, sink_event, engine };

    g_mutex_init(&engine->lock);
    g_mutex_init(&engine->tokens_lock);
    g_mutex_init(&engine->known_lock);
    engine->clock = config->clock;
    engine->authority = config->authority;
    engine->store = config->store;
    engine->inbox = g_async_queue_new();
    engine->journal_inbox = g_async_queue_new();
    engine->feed = gw_feed_new(FEED_ITEMS);
    engine->published = gw_fabric_new();
    engine->news = gw_picture_news_new();
    engine->answered = g_ptr_array_new();
    engine->pending = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, pending_free);
    engine->hosts = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, gw_host_run_free);
    engine->planners = g_hash_table_new(g_direct_hash, g_direct_equal);
    engine->runs = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, gw_job_run_free);
    engine->task_runs = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, gw_task_run_free);
    engine->accepting = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    engine->jobs_stored = g_queue_new();
    engine->jobs_stored_max = config->job_history == 0
                                  ? GW_JOB_HISTORY_DEFAULT
                                  : (guint)CLAMP(config->job_history, 0, GW_JOB_HISTORY_MAX);
    engine->changing = g_ptr_array_new();
    engine->coming = g_ptr_array_new();
    engine->changes = g_queue_new();
    engine->links = gw_links_new();
    engine->usage = gw_usage_new(config->usage_interval_us);
    engine->usage_wanted = config->usage_interval_us >= 0;
    engine->dirty = gw_dirty_new();
    engine->dirty_later = g_queue_new();
    engine->predictions = gw_predictions_new();
    engine->known = gw_known_hosts_new();
    engine->balance = gw_balance_new();
    engine->kept = gw_kept_new();
    engine->epochs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    engine->tokens = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    engine->joins =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)gw_join_token_free);
    engine->certificates =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)gw_issued_free);

    engine->hyper = config->open_hyper(sink, config->user, error);
    if (engine->hyper == NULL || !gw_startup_load(engine, error) ||
        !gw_tokens_load(engine, config->admin_token_path, error) || !gw_joins_load(engine, error) ||
        !gw_certificates_load(engine, error) || !gw_kept_load(engine, error)) {
        gw_engine_free(engine);
        return NULL;
    }
    gw_picture_publish(engine);
    gw_engine_post(engine, start, NULL);
    if (!gw_clock_is_virtual(engine->clock)) {
        engine->journal = g_thread_new("journal", gw_journal_thread, engine);
        engine->loop = g_thread_new("engine", loop_thread, engine);
    }
    return engine;
}

static void nothing(GwEngine *engine, gpointer data)
{
    (void)engine;
    (void)data;
}

/* Answers one request that nobody will answer any more. FALSE: there was none. */
static gboolean cancel_request(GwEngine *engine)
{
    GHashTableIter iter;
    gpointer id;

    g_hash_table_iter_init(&iter, engine->pending);
    if (!g_hash_table_iter_next(&iter, &id, NULL))
        return FALSE;
    g_autoptr(GwReply) reply = gw_reply_new(GPOINTER_TO_SIZE(id));
    gw_error_set(&reply->error, GW_ERR_CANCELLED, "Try again when it runs.",
                 "the controller is stopping");
    deliver(engine, reply);
    return TRUE;
}

/* Driver and journal are closed: nothing done here reaches a host or the store. Who still waits is
 * answered, and what messages and requests carry is freed by those who know it. Without hosts and
 * moves, late news concerns nobody. */
static void drain(GwEngine *engine)
{
    gw_inventory_stop(engine);
    gw_plans_stop(engine);
    gw_dirty_stop(engine);
    g_hash_table_remove_all(engine->task_runs);
    g_hash_table_remove_all(engine->runs);
    do {
        Message *message;
        while ((message = g_async_queue_try_pop(engine->inbox)) != NULL) {
            message->fn(engine, message->data);
            g_free(message);
        }
    } while (cancel_request(engine));
}

void gw_engine_free(GwEngine *engine)
{
    if (engine == NULL)
        return;
    g_atomic_int_set(&engine->stopping, TRUE);
    gw_feed_close(engine->feed);
    if (engine->loop != NULL) {
        gw_engine_post(engine, nothing, NULL);
        g_thread_join(engine->loop);
        gw_journal_stop(engine);
    }
    gw_hyper_close(engine->hyper);
    drain(engine);
    g_async_queue_unref(engine->inbox);
    g_async_queue_unref(engine->journal_inbox);
    g_hash_table_unref(engine->pending);
    g_hash_table_unref(engine->hosts);
    g_hash_table_unref(engine->task_runs);
    g_hash_table_unref(engine->runs);
    g_hash_table_unref(engine->planners);
    g_hash_table_unref(engine->accepting);
    g_queue_free_full(engine->jobs_stored, g_free);
    g_ptr_array_unref(engine->changing);
    g_ptr_array_unref(engine->coming);
    g_queue_free(engine->changes); /* all were run: their callers are answered */
    gw_links_free(engine->links);
    gw_usage_free(engine->usage);
    g_hash_table_unref(engine->dirty);
    g_queue_free_full(engine->dirty_later, g_free);
    gw_predictions_free(engine->predictions);
    gw_known_hosts_free(engine->known);
    gw_balance_free(engine->balance);
    g_hash_table_unref(engine->kept);
    g_hash_table_unref(engine->epochs);
    g_hash_table_unref(engine->tokens);
    g_hash_table_unref(engine->joins);
    g_hash_table_unref(engine->certificates);
    gw_fabric_unref(engine->draft);
    gw_fabric_unref(engine->published);
    g_ptr_array_unref(engine->news);
    g_clear_pointer(&engine->slotted, g_hash_table_unref);
    g_ptr_array_unref(engine->answered);
    gw_feed_free(engine->feed);
    g_free(engine->store_trouble);
    g_mutex_clear(&engine->lock);
    g_mutex_clear(&engine->tokens_lock);
    g_mutex_clear(&engine->known_lock);
    g_free(engine);
}
