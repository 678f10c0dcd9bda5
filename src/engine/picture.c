/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "engine/engine_internal.h"

/* The picture of the fabric that readers see, and the feed of what changed in it. */

typedef struct {
    char *type, *id, *host_id;
} News;

static void news_free(gpointer data)
{
    News *news = data;
    g_free(news->type);
    g_free(news->id);
    g_free(news->host_id);
    g_free(news);
}

GPtrArray *gw_picture_news_new(void)
{
    return g_ptr_array_new_with_free_func(news_free);
}

const GwFabric *gw_engine_now(GwEngine *engine)
{
    return engine->draft != NULL ? engine->draft : engine->published;
}

GwFabric *gw_engine_change(GwEngine *engine)
{
    if (engine->draft == NULL)
        engine->draft = gw_fabric_next(engine->published);
    return engine->draft;
}

GwFabric *gw_engine_fabric(GwEngine *engine)
{
    g_mutex_lock(&engine->lock);
    GwFabric *fabric = gw_fabric_ref(engine->published);
    g_mutex_unlock(&engine->lock);
    return fabric;
}

GwFeed *gw_engine_feed(GwEngine *engine)
{
    return engine->feed;
}

const char *gw_engine_host_name(GwEngine *engine, const char *host_id)
{
    const GwHost *host = gw_fabric_host(gw_engine_now(engine), host_id);
    return host != NULL ? host->name : host_id;
}

void gw_engine_tell(GwEngine *engine, const char *type, const char *id, const char *host_id)
{
    for (guint i = engine->news->len; i > 0 && i + 16 > engine->news->len; i--) {
        const News *known = engine->news->pdata[i - 1];
        if (g_strcmp0(known->type, type) == 0 && g_strcmp0(known->id, id) == 0 &&
            g_strcmp0(known->host_id, host_id) == 0)
            return;
    }
    News *news = g_new0(News, 1);
    news->type = g_strdup(type);
    news->id = g_strdup(id);
    news->host_id = g_strdup(host_id);
    g_ptr_array_add(engine->news, news);
}

static json_t *news_body(const GwFabric *fabric, const News *news)
{
    gconstpointer record = NULL;
    const GwRecord *type = NULL;

    if (strcmp(news->type, "vm") == 0) {
        record = gw_fabric_vm(fabric, news->host_id, news->id);
        type = &gw_vm_record;
    } else if (strcmp(news->type, "host") == 0) {
        record = gw_fabric_host(fabric, news->id);
        type = &gw_host_record;
    } else if (strcmp(news->type, "job") == 0) {
        record = g_hash_table_lookup(fabric->jobs, news->id);
        type = &gw_job_record;
    } else if (strcmp(news->type, "group") == 0) {
        record = g_hash_table_lookup(fabric->groups, news->id);
        type = &gw_group_record;
    } else if (strcmp(news->type, "kept") == 0) {
        record = g_hash_table_lookup(fabric->kept, news->id);
        type = &gw_kept_volume_record;
    } else if (strcmp(news->type, "rule") == 0) {
        record = g_hash_table_lookup(fabric->rules, news->id);
        type = &gw_placement_rule_record;
    } else {
        record = g_hash_table_lookup(fabric->shares, news->id);
        type = &gw_share_record;
    }
    if (record != NULL)
        return gw_record_to_public_json(type, record);
    json_t *gone = json_pack("{s:s,s:b}", "id", news->id, "removed", 1);
    if (news->host_id != NULL)
        json_object_set_new(gone, "host_id", json_string(news->host_id));
    return gone;
}

static void show_slots(GwEngine *engine, const char *host_id)
{
    const GwHost *host = gw_fabric_host(engine->draft, host_id);
    if (host == NULL)
        return;

    GwSlots used = gw_slots_in_use(engine->draft, host_id);
    if (host->live_in_use == used.live && host->storage_in_use == used.storage)
        return;
    GwHost *shown = gw_host_copy(host);
    shown->live_in_use = used.live;
    shown->storage_in_use = used.storage;
    gw_fabric_put_host(engine->draft, shown);
    gw_engine_tell(engine, "host", host_id, NULL);
}

/* R23: what jobs use of their hosts is shown with the hosts. Only the hosts of jobs that changed
 * are counted anew. */
static void show_use(GwEngine *engine)
{
    GHashTableIter iter;
    gpointer id, value;

    if (engine->draft->jobs == engine->published->jobs)
        return;
    g_hash_table_iter_init(&iter, engine->draft->jobs);
    while (g_hash_table_iter_next(&iter, &id, &value)) {
        const GwJob *job = value;
        if (g_hash_table_lookup(engine->published->jobs, id) == value)
            continue;
        show_slots(engine, job->source_host_id);
        show_slots(engine, job->destination_host_id);
    }
}

void gw_picture_publish(GwEngine *engine)
{
    if (engine->draft == NULL)
        return;
    gw_jobs_trim(engine);
    show_use(engine);
    gw_maintenance_look(engine);
    g_mutex_lock(&engine->lock);
    GwFabric *old = engine->published;
    engine->published = g_steal_pointer(&engine->draft);
    g_mutex_unlock(&engine->lock);
    gw_fabric_unref(old);

    for (guint i = 0; i < engine->news->len; i++) {
        const News *news = engine->news->pdata[i];
        g_autoptr(GwJson) body = news_body(engine->published, news);
        gw_feed_push(engine->feed, news->type, gw_json_text(body));
    }
    g_ptr_array_set_size(engine->news, 0);
}
