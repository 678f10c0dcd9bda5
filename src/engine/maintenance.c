/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/inventory.h"
#include "engine/records_internal.h"

/* Maintenance of a host (R49): it gets no VM any more, and is in maintenance once nothing runs
 * there. VMs that are off do not hold it up: whatever is done to the host, nothing of theirs
 * stops. */

static gboolean is_empty(GwEngine *engine, const GwHost *host)
{
    const GwFabric *fabric = gw_engine_now(engine);
    const HostRun *run = g_hash_table_lookup(engine->hosts, host->id);
    GHashTable *vms = g_hash_table_lookup(fabric->vms, host->id);
    GHashTableIter iter;
    gpointer vm;

    /* What has not been listed since the connection came up is not known. */
    if (run == NULL || !run->listed)
        return FALSE;
    if (vms != NULL)
        g_hash_table_iter_init(&iter, vms);
    while (vms != NULL && g_hash_table_iter_next(&iter, NULL, &vm)) {
        if (gw_vm_is_active(vm))
            return FALSE;
    }
    return gw_fabric_job_of_host(fabric, host->id) == NULL; /* looks at all jobs: last */
}

GwMaintenance gw_maintenance_on(GwEngine *engine, const GwHost *host)
{
    if (host->maintenance == (int)GW_MAINTENANCE_IN)
        return GW_MAINTENANCE_IN;
    return is_empty(engine, host) ? GW_MAINTENANCE_IN : GW_MAINTENANCE_ENTERING;
}

void gw_maintenance_put(GwEngine *engine, GwBatch *batch, const GwHost *old,
                        GwMaintenance maintenance)
{
    GwHost *host = gw_host_copy(old);

    host->maintenance = (int)maintenance;
    gw_batch_put(batch, GW_KIND_HOST, host->id, gw_record_to_json(&gw_host_record, host));
    gw_engine_tell(engine, "host", host->id, NULL);
    gw_fabric_put_host(gw_engine_change(engine), host);
}

/* Where the store refuses, the journal tries again: what it says is true whenever it is read. */
static void enter(GwEngine *engine, const GwHost *empty)
{
    GwBatch *batch = gw_batch_new();

    gw_maintenance_put(engine, batch, empty, GW_MAINTENANCE_IN);
    gw_engine_journal(engine, batch, NULL, NULL, NULL);
}

void gw_maintenance_look(GwEngine *engine)
{
    g_autoptr(GPtrArray) empty = g_ptr_array_new();
    GHashTableIter iter;
    gpointer host;

    g_hash_table_iter_init(&iter, gw_engine_now(engine)->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &host)) {
        if (((GwHost *)host)->maintenance == (int)GW_MAINTENANCE_ENTERING &&
            !gw_records_is_changing(engine, ((GwHost *)host)->id) && is_empty(engine, host))
            g_ptr_array_add(empty, host);
    }
    for (guint i = 0; i < empty->len; i++)
        enter(engine, empty->pdata[i]);
}

static void call_set(GwEngine *engine, Call *call)
{
    const GwHost *old = gw_call_find_host(engine, call, call->in[0]);
    GError *error = NULL;

    if (old == NULL)
        return;
    if (!gw_records_check_settled(engine, old->id, &error)) {
        gw_engine_answer(call, NULL, error);
        return;
    }
    GwHost *host = gw_host_copy(old);
    host->maintenance =
        (int)(call->in[1] != NULL ? gw_maintenance_on(engine, old) : GW_MAINTENANCE_NONE);
    gw_records_commit(engine, call, GW_KIND_HOST, host, host->id, gw_plans_maintenance_said);
}

GwHost *gw_engine_set_maintenance(GwEngine *engine, const char *id, gboolean on, GError **error)
{
    return gw_engine_call(engine, call_set, id, GINT_TO_POINTER(on ? 1 : 0), NULL, NULL, error);
}
