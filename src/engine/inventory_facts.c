/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/inventory.h"

/* What hosts say of themselves: asked for, and put into the picture. */

#define FACTS_DELAY_US (G_USEC_PER_SEC / 2) /* events come in bursts: ask once for a burst */

static void derive_share_ids(const GwFabric *fabric, GwHost *host)
{
    for (guint i = 0; host->facts->pools != NULL && i < host->facts->pools->len; i++) {
        GwPool *pool = host->facts->pools->pdata[i];
        g_free(pool->share_id);
        pool->share_id = gw_share_id_of_pool(fabric, host, pool);
    }
}

void gw_inventory_put_facts(GwEngine *engine, const char *host_id, const GwHostFacts *facts)
{
    const GwHost *old = gw_fabric_host(gw_engine_now(engine), host_id);
    if (old == NULL)
        return;

    GwHost *host = gw_host_copy(old);
    gw_host_facts_free(host->facts);
    host->facts = gw_host_facts_copy(facts);
    if (host->facts->usage == NULL && old->facts != NULL) /* read by itself: usage.c */
        host->facts->usage = gw_host_usage_copy(old->facts->usage);
    derive_share_ids(gw_engine_now(engine), host);
    gboolean news = gw_restart_is_news(old->facts, facts);
    gw_fabric_put_host(gw_engine_change(engine), host);
    gw_engine_tell(engine, "host", host_id, NULL);
    if (news)
        gw_restart_derive_all(engine, host_id);
}

void gw_inventory_put_pool(GwEngine *engine, const char *host_id, const char *name,
                           const GwPool *pool)
{
    const GwHost *host = gw_fabric_host(gw_engine_now(engine), host_id);
    if (host == NULL || host->facts == NULL)
        return;

    g_autoptr(GwHostFacts) facts = gw_host_facts_copy(host->facts);
    GwPool *known = gw_record_find(&gw_pool_record, facts->pools, "name", name);
    if (known == NULL)
        return; /* who lists pools is the host's facts */
    known->active = pool->active;
    known->capacity_bytes = pool->capacity_bytes;
    known->available_bytes = pool->available_bytes;
    gw_inventory_put_facts(engine, host_id, facts);
}

void gw_inventory_derive_shares(GwEngine *engine)
{
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(gw_engine_now(engine));

    for (guint i = 0; i < hosts->len; i++) {
        const GwHost *host = hosts->pdata[i];
        if (host->facts != NULL) {
            g_autoptr(GwHostFacts) facts = gw_host_facts_copy(host->facts);
            gw_inventory_put_facts(engine, host->id, facts);
        }
    }
}

static gboolean has_agent(GwEngine *engine, const char *host_id)
{
    const GwHost *host = gw_fabric_host(gw_engine_now(engine), host_id);
    return host != NULL && gw_host_has_agent(host);
}

static void facts_came(GwEngine *engine, const GwReply *reply, const char *host_id, gint64 unused)
{
    HostRun *run = gw_inventory_find(engine, host_id);

    (void)unused;
    if (run == NULL)
        return;
    run->facts_busy = FALSE;
    gw_inventory_due(engine, run->facts_us); /* asked for meanwhile */
    if (reply->error == NULL) {
        gw_inventory_put_facts(engine, host_id, reply->facts);
        if (has_agent(engine, host_id))
            gw_inventory_show_up(engine, host_id);
    } else
        g_debug("facts of %s: %s", host_id, reply->error->message);
}

void gw_inventory_ask_facts(GwEngine *engine, const char *host_id)
{
    HostRun *run = gw_inventory_find(engine, host_id);
    if (run == NULL || !run->connected || run->facts_us != 0)
        return;
    run->facts_us = gw_clock_now_us(engine->clock) + FACTS_DELAY_US;
    gw_inventory_due(engine, run->facts_us);
}

void gw_inventory_facts_timers(GwEngine *engine, HostRun *run, gint64 now_us)
{
    if (run->facts_us == 0 || run->facts_us > now_us || run->facts_busy)
        return;
    run->facts_us = 0;
    run->facts_busy = TRUE;
    gw_engine_ask(engine, gw_request_new(GW_OP_FACTS, run->id, NULL), facts_came, run->id, 0);
}
