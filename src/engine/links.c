/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "engine/engine_internal.h"
#include "engine/inventory.h"

/* The paths between agents, measured so that predictions and people know them: each pair once a
 * day, from one of the two, at most 16 MiB or a second in the class that everything else goes
 * before. Never while a job uses either host, never two at one host, few at a time. What was
 * measured is kept by the measuring host's agent and comes with its facts. */

#define AGAIN_US (G_GINT64_CONSTANT(86400) * G_USEC_PER_SEC)
#define SETTLE_US (30 * G_USEC_PER_SEC) /* after a host came: it has better to do */
#define PAUSE_US (2 * G_USEC_PER_SEC)   /* between looks at the queue */
#define AT_ONCE 8
#define MEASURE_TIMEOUT_US (30 * G_USEC_PER_SEC)

typedef struct {
    char *from, *to; /* host ids */
    gint64 due_us;
} Pair;

struct GwLinks {
    GHashTable *known; /* "from to" -> Pair */
    GQueue queue;      /* Pair, by the time they are due; lent */
    GHashTable *busy;  /* host ids that a measurement runs at; lent */
    gint64 look_us;    /* when to look at the queue; 0: when the first is due */
};

static void pair_free(gpointer data)
{
    Pair *pair = data;

    g_free(pair->from);
    g_free(pair->to);
    g_free(pair);
}

GwLinks *gw_links_new(void)
{
    GwLinks *links = g_new0(GwLinks, 1);

    links->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, pair_free);
    links->busy = g_hash_table_new(g_str_hash, g_str_equal);
    g_queue_init(&links->queue);
    return links;
}

void gw_links_free(GwLinks *links)
{
    if (links == NULL)
        return;
    g_queue_clear(&links->queue);
    g_hash_table_unref(links->busy);
    g_hash_table_unref(links->known);
    g_free(links);
}

static gboolean is_ready(GwEngine *engine, const char *host_id)
{
    const GwHost *host = gw_fabric_host(gw_engine_now(engine), host_id);
    const HostRun *run = g_hash_table_lookup(engine->hosts, host_id);

    return host != NULL && run != NULL && run->listed && gw_host_has_agent(host);
}

static int by_due(gconstpointer a, gconstpointer b, gpointer unused)
{
    gint64 left = ((const Pair *)a)->due_us, right = ((const Pair *)b)->due_us;
    return left < right ? -1 : left > right;
}

static void want(GwEngine *engine, const char *one, const char *other)
{
    GwLinks *links = engine->links;
    gboolean first = strcmp(one, other) < 0;
    g_autofree char *key = g_strdup_printf("%s %s", first ? one : other, first ? other : one);

    if (g_hash_table_contains(links->known, key))
        return;
    Pair *pair = g_new0(Pair, 1);
    pair->from = g_strdup(first ? one : other);
    pair->to = g_strdup(first ? other : one);
    pair->due_us = gw_clock_now_us(engine->clock) + SETTLE_US;
    g_hash_table_insert(links->known, g_steal_pointer(&key), pair);
    g_queue_insert_sorted(&links->queue, pair, by_due, NULL);
}

void gw_links_host_up(GwEngine *engine, const char *host_id)
{
    GHashTableIter iter;
    gpointer other;

    if (!is_ready(engine, host_id))
        return;
    g_hash_table_iter_init(&iter, engine->hosts);
    while (g_hash_table_iter_next(&iter, &other, NULL)) {
        if (strcmp(other, host_id) != 0 && is_ready(engine, other))
            want(engine, host_id, other);
    }
}

static void again(GwEngine *engine, Pair *pair, gint64 span_us)
{
    pair->due_us = gw_clock_now_us(engine->clock) + span_us;
    g_queue_insert_sorted(&engine->links->queue, pair, by_due, NULL);
}

static void measured(GwEngine *engine, const GwReply *reply, const char *key, gint64 unused)
{
    Pair *pair = g_hash_table_lookup(engine->links->known, key);

    (void)unused;
    if (pair == NULL)
        return;
    g_hash_table_remove(engine->links->busy, pair->from);
    g_hash_table_remove(engine->links->busy, pair->to);
    again(engine, pair, AGAIN_US);
    if (reply->error == NULL)
        gw_inventory_ask_facts(engine, pair->from);
    else
        g_info("the path from %s to %s was not measured: %s", pair->from, pair->to,
               reply->error->message);
}

static void measure(GwEngine *engine, Pair *pair)
{
    GwRequest *request = gw_request_new(GW_OP_MEASURE, pair->from, NULL);
    g_autofree char *key = g_strdup_printf("%s %s", pair->from, pair->to);

    request->text = g_strdup(pair->to);
    request->timeout_us = MEASURE_TIMEOUT_US;
    g_hash_table_add(engine->links->busy, pair->from);
    g_hash_table_add(engine->links->busy, pair->to);
    gw_engine_ask(engine, request, measured, key, 0);
}

static gboolean is_in_use(GwEngine *engine, const char *host_id)
{
    return g_hash_table_contains(engine->links->busy, host_id) ||
           gw_fabric_job_of_host(gw_engine_now(engine), host_id) != NULL;
}

/* Forgotten where a host is no longer managed, or has no agent now; it counts anew when it comes
 * back. */
static void forget(GwEngine *engine, const Pair *pair)
{
    g_autofree char *key = g_strdup_printf("%s %s", pair->from, pair->to);
    g_hash_table_remove(engine->links->known, key);
}

gint64 gw_links_next_us(GwEngine *engine)
{
    const Pair *first = g_queue_peek_head(&engine->links->queue);

    if (first == NULL)
        return 0;
    return MAX(first->due_us, engine->links->look_us);
}

void gw_links_timers(GwEngine *engine, gint64 now_us)
{
    GwLinks *links = engine->links;
    GList *next = NULL;

    if (gw_links_next_us(engine) == 0 || gw_links_next_us(engine) > now_us)
        return;
    links->look_us = now_us + PAUSE_US;
    for (GList *link = links->queue.head; link != NULL; link = next) {
        Pair *pair = link->data;
        next = link->next;
        if (pair->due_us > now_us || g_hash_table_size(links->busy) >= 2 * AT_ONCE)
            break;
        if (!is_ready(engine, pair->from) || !is_ready(engine, pair->to)) {
            g_queue_delete_link(&links->queue, link);
            forget(engine, pair);
        } else if (!is_in_use(engine, pair->from) && !is_in_use(engine, pair->to)) {
            g_queue_delete_link(&links->queue, link);
            measure(engine, pair);
        }
    }
}
