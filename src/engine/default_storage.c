/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "engine/engine_internal.h"

/* R18, R37: "Add this path to the list of default storage locations on the host". */

static gboolean is_listed(const GwHost *host, const GwVolume *to)
{
    const GwPool *pool = host->facts != NULL
                             ? gw_record_find(&gw_pool_record, host->facts->pools, "name", to->pool)
                             : NULL;
    const char *path = pool != NULL ? pool->target_path : NULL;

    for (guint i = 0; host->default_storage != NULL && host->default_storage[i] != NULL; i++) {
        if (g_strcmp0(host->default_storage[i], to->pool) == 0 ||
            (path != NULL && strcmp(host->default_storage[i], path) == 0))
            return TRUE;
    }
    return FALSE;
}

static void add(GwHost *host, const char *pool)
{
    guint count = host->default_storage != NULL ? g_strv_length(host->default_storage) : 0;

    host->default_storage = g_renew(char *, host->default_storage, count + 2);
    host->default_storage[count] = g_strdup(pool);
    host->default_storage[count + 1] = NULL;
}

static void add_of_disk(GwHost *host, const GwDiskMove *disk)
{
    for (guint i = 0; disk->images != NULL && i < disk->images->len; i++) {
        const GwVolume *to = ((const GwImageMove *)disk->images->pdata[i])->to;
        if (to != NULL && to->pool != NULL && !is_listed(host, to))
            add(host, to->pool);
    }
}

static void add_all(GwEngine *engine, GwBatch *batch, const GwHost *old, const GPtrArray *disks)
{
    GwHost *host = gw_host_copy(old);

    for (guint i = 0; i < disks->len; i++)
        add_of_disk(host, disks->pdata[i]);
    gw_batch_put(batch, GW_KIND_HOST, host->id, gw_record_to_json(&gw_host_record, host));
    gw_engine_tell(engine, "host", host->id, NULL);
    gw_fabric_put_host(gw_engine_change(engine), host);
}

gboolean gw_default_storage_is_wanted(const GwJob *job)
{
    return job->options != NULL && job->options->add_default_storage && job->disks != NULL;
}

void gw_default_storage_add(GwEngine *engine, GwBatch *batch, const GwJob *job)
{
    const GwHost *host = gw_fabric_host(gw_engine_now(engine), job->destination_host_id);

    if (host != NULL && gw_default_storage_is_wanted(job))
        add_all(engine, batch, host, job->disks);
}
