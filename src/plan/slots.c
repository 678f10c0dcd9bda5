/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/rule.h"

/* From when the queue gives it slots (it is checked only then, and the next in the queue must not
 * be given the same ones meanwhile) until the last side effect, and while a person is asked. */
static gboolean holds_slots(const GwJob *job)
{
    return job->state != (int)GW_JOB_QUEUED && job->state <= (int)GW_JOB_HELD;
}

GwSlots gw_slots_of_transfer(GwTransfer transfer)
{
    static const GwSlots slots[] = {
        [GW_TRANSFER_NONE] = { 0, 0 },     [GW_TRANSFER_LIVE] = { 1, 0 },
        [GW_TRANSFER_LIVE_VSM] = { 1, 1 }, /* R22 */
        [GW_TRANSFER_NETWORK] = { 0, 1 },  [GW_TRANSFER_FAST_COPY] = { 0, 1 },
        [GW_TRANSFER_SAN] = { 0, 0 }, /* nothing is copied */
        [GW_TRANSFER_REGISTER] = { 0, 0 }, [GW_TRANSFER_STORAGE] = { 0, 1 },
    };
    return (guint)transfer < G_N_ELEMENTS(slots) ? slots[transfer] : slots[GW_TRANSFER_NONE];
}

/* Both ends count (R20); a move within one host counts there once. */
static gboolean touches(const GwJob *job, const char *host_id)
{
    return g_strcmp0(job->source_host_id, host_id) == 0 ||
           g_strcmp0(job->destination_host_id, host_id) == 0;
}

static GwSlots in_use(const GwFabric *fabric, const char *host_id, const GwJob *except)
{
    GwSlots used = { 0, 0 };
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (!holds_slots(job) || !touches(job, host_id) ||
            (except != NULL && g_strcmp0(job->id, except->id) == 0))
            continue;
        GwSlots takes = gw_slots_of_transfer((GwTransfer)job->transfer);
        used.live += takes.live;
        used.storage += takes.storage;
    }
    return used;
}

GwSlots gw_slots_in_use(const GwFabric *fabric, const char *host_id)
{
    return in_use(fabric, host_id, NULL);
}

static void add_slots(GHashTable *table, char *host_id, GwSlots takes)
{
    GwSlots *used = host_id != NULL ? g_hash_table_lookup(table, host_id) : NULL;

    if (used == NULL && host_id != NULL) {
        used = g_new0(GwSlots, 1);
        g_hash_table_insert(table, host_id, used);
    }
    if (used == NULL)
        return;
    used->live += takes.live;
    used->storage += takes.storage;
}

GHashTable *gw_slots_table(const GwFabric *fabric)
{
    GHashTable *table = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (!holds_slots(job))
            continue;
        GwSlots takes = gw_slots_of_transfer((GwTransfer)job->transfer);
        add_slots(table, job->source_host_id, takes);
        if (g_strcmp0(job->source_host_id, job->destination_host_id) != 0)
            add_slots(table, job->destination_host_id, takes);
    }
    return table;
}

static gboolean fits(const GwHost *host, const char *kind, gint64 takes, gint64 used, gint64 limit,
                     char **why)
{
    if (takes == 0 || used + takes <= limit)
        return TRUE;
    if (why != NULL && limit == 0)
        *why = g_strdup_printf("%s allows no %s migrations (its limit is 0)",
                               gw_plan_host_name(host), kind);
    else if (why != NULL)
        *why = g_strdup_printf("%s runs %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " %s migrations",
                               gw_plan_host_name(host), used, limit, kind);
    return FALSE;
}

static gboolean host_fits(const GwFabric *fabric, const GwJob *job, const char *host_id,
                          GwSlots takes, char **why)
{
    const GwHost *host = gw_fabric_host(fabric, host_id);
    if (host == NULL) {
        if (why != NULL)
            *why = g_strdup_printf("host %s is no longer managed", gw_plan_text(host_id));
        return FALSE;
    }
    GwSlots used = in_use(fabric, host_id, job);
    return fits(host, "live", takes.live, used.live, host->live_limit, why) &&
           fits(host, "storage", takes.storage, used.storage, host->storage_limit, why);
}

gboolean gw_slots_fit(const GwFabric *fabric, const GwJob *job, char **why)
{
    GwSlots takes = gw_slots_of_transfer((GwTransfer)job->transfer);

    if (takes.live == 0 && takes.storage == 0)
        return TRUE;
    return host_fits(fabric, job, job->source_host_id, takes, why) &&
           host_fits(fabric, job, job->destination_host_id, takes, why);
}
