/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/sim_storage.h"

/* Virtual HBAs (R41): pools with a WWPN, of which every host that is logged in with it sees the
 * same LUNs. Two that are logged in with one WWPN are what must never be. A host whose file says
 * which servers it reaches sees the LUNs of a WWPN only where that is among them. */

static void fail(GwReply *reply, GwErrorCode code, const char *words, const char *name)
{
    gw_error_set(&reply->error, code, NULL, "%s: %s", words, name != NULL ? name : "?");
}

static GwPool *find(const SimHost *host, const char *name)
{
    return name != NULL ? gw_record_find(&gw_pool_record, host->facts->pools, "name", name) : NULL;
}

/* The virtual HBA that @hba means, or NULL: there is none of it here. */
static GwPool *find_same(const SimHost *host, const GwHbaMove *hba)
{
    GwPool *pool = find(host, hba->pool);
    return pool != NULL && gw_hba_same_wwn(pool->wwpn, hba->source_wwpn) ? pool : NULL;
}

static void count_port(const SimHost *host, const char *parent, gint64 more)
{
    GwHba *carrier =
        parent != NULL ? gw_record_find(&gw_hba_record, host->facts->hbas, "name", parent) : NULL;
    if (carrier != NULL)
        carrier->vports = MAX(carrier->vports + more, 0);
}

/* As libvirt's events of pools. */
static void tell(GwSim *sim, const SimHost *host)
{
    gw_sim_event(sim, gw_hyper_event_new(GW_EVENT_FACTS_CHANGED, host->id, NULL));
}

static void add_luns(GwSim *sim, const SimHost *host, const GwPool *pool, GPtrArray *luns)
{
    const SimStore *store = gw_sim_store_of_pool(sim, host, pool);
    GHashTableIter iter;
    gpointer name, image;

    if (host->reaches != NULL && !g_strv_contains((const char *const *)host->reaches, pool->wwpn))
        return;
    g_hash_table_iter_init(&iter, store->images);
    while (g_hash_table_iter_next(&iter, &name, &image)) {
        GwLun *lun = gw_lun_new();
        lun->name = g_strdup(name);
        lun->id = g_strdup_printf("%s/%s", store->key, (const char *)name);
        lun->capacity_bytes = ((const SimImage *)image)->volume->capacity_bytes;
        g_ptr_array_add(luns, lun);
    }
}

static void look(GwSim *sim, const SimHost *host, const GwRequest *request, GwReply *reply)
{
    const GwPool *pool = find(host, request->text);

    if (pool == NULL || pool->wwpn == NULL) {
        fail(reply, pool == NULL ? GW_ERR_NOT_FOUND : GW_ERR_CONFLICT,
             pool == NULL ? "there is no such pool" : "the pool is no virtual HBA", request->text);
        return;
    }
    reply->hba = gw_virtual_hba_new();
    reply->hba->pool = g_strdup(pool->name);
    reply->hba->wwpn = g_strdup(pool->wwpn);
    reply->hba->active = pool->active;
    reply->hba->luns = gw_record_array(&gw_lun_record);
    if (pool->active)
        add_luns(sim, host, pool, reply->hba->luns);
}

/* Another VM of the host, or @uuid as it runs, that has a disk behind it; NULL: none. */
static const char *user_of(const SimHost *host, const char *pool, const char *uuid)
{
    g_autofree char *prefix = g_strconcat(pool, "/", NULL);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, host->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwVm *vm = ((const SimVm *)value)->vm;
        gboolean own = g_strcmp0(vm->uuid, uuid) == 0 && !gw_vm_is_active(vm);
        for (guint i = 0; !own && vm->disks != NULL && i < vm->disks->len; i++) {
            const GwDisk *disk = vm->disks->pdata[i];
            if (disk->source != NULL && g_str_has_prefix(disk->source, prefix))
                return vm->name;
        }
    }
    return NULL;
}

static void stop(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply)
{
    GwPool *pool = find_same(host, request->hba);
    const char *user =
        pool != NULL && pool->active ? user_of(host, pool->name, request->vm_uuid) : NULL;

    if (user != NULL) {
        fail(reply, GW_ERR_CONFLICT, "a VM has disks behind it", user);
        return;
    }
    if (pool == NULL)
        return;
    if (pool->active)
        count_port(host, pool->parent_hba, -1);
    pool->active = FALSE;
    if (request->number == 1)
        g_ptr_array_remove(host->facts->pools, pool);
    tell(sim, host);
}

static void note_login(GwSim *sim, const SimHost *host, const GwPool *pool)
{
    for (guint i = 0; i < sim->hosts->len; i++) {
        const SimHost *other = sim->hosts->pdata[i];
        const GPtrArray *pools = other->facts->pools;
        for (guint k = 0; other != host && pools != NULL && k < pools->len; k++) {
            const GwPool *its = pools->pdata[k];
            if (its->active && gw_hba_same_wwn(its->wwpn, pool->wwpn))
                gw_sim_violation(sim, "WWPN %s is logged in on %s beside %s", pool->wwpn, host->uri,
                                 other->uri);
        }
    }
}

/* As @peer defines it. */
static GwPool *add_pool(SimHost *host, const GwPool *from, const char *parent)
{
    GwPool *pool = gw_pool_copy(from);

    pool->active = FALSE;
    g_free(pool->parent_hba);
    pool->parent_hba = g_strdup(parent);
    if (host->facts->pools == NULL)
        host->facts->pools = gw_record_array(&gw_pool_record);
    g_ptr_array_add(host->facts->pools, pool);
    return pool;
}

static void start(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply)
{
    const GwHbaMove *hba = request->hba;
    const SimHost *peer = gw_sim_host_by_name(sim, request->peer_host_id);
    GwPool *pool = find_same(host, hba);

    if (peer == NULL || peer->down) {
        fail(reply, GW_ERR_UNREACHABLE, "the other host does not answer", request->peer_host_id);
        return;
    }
    if (pool != NULL && pool->active)
        return;
    if (pool == NULL && find(host, hba->pool) != NULL) {
        fail(reply, GW_ERR_CONFLICT, "another pool has the name", hba->pool);
        return;
    }
    const GwPool *from = find_same(peer, hba);
    if (pool == NULL && (from == NULL || peer == host)) {
        fail(reply, GW_ERR_NOT_FOUND, "no definition of it is left", hba->pool);
        return;
    }
    if (pool == NULL)
        pool = add_pool(host, from, hba->to);
    note_login(sim, host, pool);
    pool->active = TRUE;
    count_port(host, pool->parent_hba, 1);
    tell(sim, host);
}

void gw_sim_hba_serve(GwSim *sim, SimHost *host, const GwRequest *request, GwReply *reply)
{
    if (request->op == GW_OP_HBA_LOOK)
        look(sim, host, request, reply);
    else if (request->hba == NULL)
        fail(reply, GW_ERR_INVALID, "no virtual HBA", NULL);
    else if (request->op == GW_OP_HBA_STOP)
        stop(sim, host, request, reply);
    else
        start(sim, host, request, reply);
}
