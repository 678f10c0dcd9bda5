/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "engine/engine_internal.h"

/* The picture of the fabric that readers see, and the feed of what changed in it. */

#define KNOWN_DROP_US G_USEC_PER_SEC /* at most that often: pictures are published all the time */

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
    engine->draft->wall_us = gw_clock_wall_us(engine->clock);
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

/* NULL: it is gone. */
static gconstpointer find_record(const GwFabric *fabric, const News *news, const GwRecord **type)
{
    if (strcmp(news->type, "vm") == 0) {
        *type = &gw_vm_record;
        return gw_fabric_vm(fabric, news->host_id, news->id);
    }
    const struct {
        const char *name;
        const GwRecord *record;
        GHashTable *table;
    } kinds[] = {
        { "host", &gw_host_record, fabric->hosts },
        { "job", &gw_job_record, fabric->jobs },
        { "group", &gw_group_record, fabric->groups },
        { "kept", &gw_kept_volume_record, fabric->kept },
        { "rule", &gw_placement_rule_record, fabric->rules },
        { "share", &gw_share_record, fabric->shares },
    };
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        *type = kinds[i].record;
        if (strcmp(news->type, kinds[i].name) == 0)
            return g_hash_table_lookup(kinds[i].table, news->id);
    }
    g_return_val_if_reached(NULL);
}

/* A job that carries out a plan is told twice for each of its moves, which may be thousands: how
 * far it is, and not the plan. Each of its moves that begins is a job, and told by itself. */
static char *job_text(const GwJob *job)
{
    GString *text = g_string_new(NULL);
    GwJob brief = *job;

    brief.plan = NULL;
    gw_record_write(&gw_job_record, &brief, GW_INTERNAL, text);
    return g_string_free(text, FALSE);
}

/* Owned. What it says is written without a tree between. */
static char *news_text(const GwFabric *fabric, const News *news)
{
    const GwRecord *type = NULL;
    gconstpointer record = find_record(fabric, news, &type);
    GString *text = NULL;

    if (record != NULL && type == &gw_job_record)
        return job_text(record);
    if (record != NULL) {
        text = g_string_new(NULL);
        gw_record_write(type, record, GW_INTERNAL, text);
        return g_string_free(text, FALSE);
    }
    g_autoptr(GwJson) gone = json_pack("{s:s,s:b}", "id", news->id, "removed", 1);
    if (news->host_id != NULL)
        json_object_set_new(gone, "host_id", json_string(news->host_id));
    return gw_json_text(gone);
}

static void show_slots(GwEngine *engine, const char *host_id, const GwSlots *used)
{
    const GwHost *host = gw_fabric_host(engine->draft, host_id);

    if (host == NULL || (host->live_in_use == used->live && host->storage_in_use == used->storage))
        return;
    GwHost *shown = gw_host_copy(host);
    shown->live_in_use = used->live;
    shown->storage_in_use = used->storage;
    /* The host that was there goes, and @host_id with it where that is its own. */
    gw_fabric_put_host(engine->draft, shown);
    gw_engine_tell(engine, "host", shown->id, NULL);
}

static void show_unused(GwEngine *engine, GHashTable *used, GHashTable *ids)
{
    const GwSlots none = { 0, 0 };
    g_autoptr(GList) list = g_hash_table_get_keys(ids); /* it may be the hosts' own table */

    for (GList *item = list; item != NULL; item = item->next) {
        if (!g_hash_table_contains(used, item->data))
            show_slots(engine, item->data, &none);
    }
}

/* R23: what jobs use of their hosts is shown with the hosts. All jobs are counted, once, whenever
 * any changed; the hosts that are looked at are those where slots are in use, or were. */
static void show_use(GwEngine *engine)
{
    if (engine->slotted != NULL && engine->draft->jobs == engine->published->jobs)
        return;
    g_autoptr(GHashTable) used = gw_slots_table(engine->draft);
    GHashTable *slotted = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GHashTableIter iter;
    gpointer id, slots;

    g_hash_table_iter_init(&iter, used);
    while (g_hash_table_iter_next(&iter, &id, &slots)) {
        show_slots(engine, id, slots);
        g_hash_table_add(slotted, g_strdup(id));
    }
    /* At first all: what was stored with a host was so when it was stored. */
    show_unused(engine, used, engine->slotted != NULL ? engine->slotted : engine->draft->hosts);
    g_clear_pointer(&engine->slotted, g_hash_table_unref);
    engine->slotted = slotted;
}

/* What lists of candidates keep of hosts must not keep the picture alive that the last of them
 * looked at. Whoever makes a list just now has the lock: then it is for later. */
static void drop_old(GwEngine *engine)
{
    gint64 now = gw_clock_now_us(engine->clock);

    if (now - engine->known_us < KNOWN_DROP_US || !g_mutex_trylock(&engine->known_lock))
        return;
    engine->known_us = now;
    gw_known_hosts_drop_old(engine->known, engine->published);
    g_mutex_unlock(&engine->known_lock);
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
    drop_old(engine);

    for (guint i = 0; i < engine->news->len; i++) {
        const News *news = engine->news->pdata[i];
        gw_feed_push(engine->feed, news->type, news_text(engine->published, news));
    }
    g_ptr_array_set_size(engine->news, 0);
}
