/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/engine_internal.h"
#include "job/plan_job.h"

/* What the store holds becomes the first picture of the fabric. */

typedef struct {
    GwEngine *engine;
    const GwRecord *record;
    void (*put)(GwEngine *engine, gpointer record);
} Loading;

static gboolean load_one(const char *id, json_t *body, gpointer user, GError **error)
{
    Loading *loading = user;
    gpointer record = gw_record_from_stored(loading->record, body, error);

    if (record == NULL) {
        g_prefix_error(error, "%s '%s' in the database: ", loading->record->name, id);
        return FALSE;
    }
    loading->put(loading->engine, record);
    return TRUE;
}

static void put_group(GwEngine *engine, gpointer record)
{
    gw_fabric_put_group(gw_engine_change(engine), record);
}

static void put_share(GwEngine *engine, gpointer record)
{
    gw_fabric_put_share(gw_engine_change(engine), record);
}

static void put_rule(GwEngine *engine, gpointer record)
{
    gw_fabric_put_rule(gw_engine_change(engine), record);
}

static void put_host(GwEngine *engine, gpointer record)
{
    GwHost *host = record;
    host->status = GW_HOST_CONNECTING;
    gw_fabric_put_host(gw_engine_change(engine), host);
}

static void put_job(GwEngine *engine, gpointer record)
{
    GwJob *job = record;

    /* One of before there was such a count. */
    if (job->plan != NULL && job->plan_progress == NULL)
        gw_plan_job_tally(job);
    gw_fabric_put_job(gw_engine_change(engine), gw_job_copy(job));
    if (gw_job_state_is_final(job->state))
        gw_job_free(job);
    else if (g_strcmp0(job->kind, GW_JOB_KIND_PROVE) == 0)
        gw_shares_restore(engine, job);
    else
        gw_jobs_restore(engine, job);
}

static gboolean load_epoch(const char *id, json_t *body, gpointer user, GError **error)
{
    GwEngine *engine = user;
    gint64 *epoch = g_new(gint64, 1);

    *epoch = json_integer_value(json_object_get(body, "epoch"));
    g_hash_table_replace(engine->epochs, g_strdup(id), epoch);
    (void)error;
    return TRUE;
}

gboolean gw_startup_load(GwEngine *engine, GError **error)
{
    const struct {
        GwKind kind;
        Loading loading;
    } kinds[] = {
        { GW_KIND_GROUP, { engine, &gw_group_record, put_group } },
        { GW_KIND_HOST, { engine, &gw_host_record, put_host } },
        { GW_KIND_SHARE, { engine, &gw_share_record, put_share } },
        { GW_KIND_PLACEMENT_RULE, { engine, &gw_placement_rule_record, put_rule } },
        { GW_KIND_JOB, { engine, &gw_job_record, put_job } },
    };

    GwGroup *root = gw_group_new();
    root->id = g_strdup(GW_GROUP_ROOT);
    root->name = g_strdup("All Hosts");
    gw_fabric_put_group(gw_engine_change(engine), root);
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        Loading loading = kinds[i].loading;
        if (!gw_store_each(engine->store, kinds[i].kind, load_one, &loading, error))
            return FALSE;
    }
    if (!gw_store_each(engine->store, GW_KIND_EPOCH, load_epoch, engine, error))
        return FALSE;
    gw_jobs_trim(engine);
    return TRUE;
}
