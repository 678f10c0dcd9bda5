/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/libvirt_internal.h"
#include "model/definition_hba.h"

/* Virtual HBAs that log out of a host and in at another (R41): storage pools of type scsi whose
 * fc_host adapter has a WWPN of its own (formatstorage.html). libvirt makes the virtual HBA as the
 * pool starts, and removes it as the pool ends unless somebody had made it by hand; so it is looked
 * for, and removed, as a node device too: what counts is that the WWPN is gone. What cannot be
 * looked at counts as logged in (I1, I6): BUSY, and it is asked again. */

/* Pools --------------------------------------------------------------------------------------- */

/* Of what libvirt was asked and did not answer. */
static int pool_unread(virStoragePoolPtr pool, const char *what, GError **error)
{
    gw_lv_cannot_tell(virStoragePoolGetConnect(pool), what, virStoragePoolGetName(pool),
                      virGetLastErrorMessage(), error);
    return -1;
}

/* NULL with @error unset: there is none. */
static virStoragePoolPtr find_pool(virConnectPtr ptr, const char *name, GError **error)
{
    virStoragePoolPtr pool = virStoragePoolLookupByName(ptr, name);

    if (pool == NULL && gw_lv_last_code() != VIR_ERR_NO_STORAGE_POOL)
        gw_lv_cannot_tell(ptr, "whether there is a pool", name, virGetLastErrorMessage(), error);
    return pool;
}

/* Of one that is stopped: as it is defined. */
static char *pool_xml(virStoragePoolPtr pool, GError **error)
{
    char *xml = virStoragePoolGetXMLDesc(pool, 0);
    char *copy = g_strdup(xml);

    if (xml == NULL)
        pool_unread(pool, "the definition of pool", error);
    free(xml);
    return copy;
}

/* 1, 0, or -1 with @error: it does not say. */
static int is_active(virStoragePoolPtr pool, GError **error)
{
    int active = virStoragePoolIsActive(pool);

    return active >= 0 ? active : pool_unread(pool, "the state of pool", error);
}

static int is_persistent(virStoragePoolPtr pool, GError **error)
{
    int persistent = virStoragePoolIsPersistent(pool);

    return persistent >= 0 ? persistent
                           : pool_unread(pool, "whether there is a definition of pool", error);
}

/* Whether the pool of that name is the virtual HBA that is meant. */
static gboolean is_same(const GwVirtualHba *found, const GwHbaMove *hba)
{
    const char *uuid = hba->was != NULL ? hba->was->uuid : NULL;

    return found != NULL && gw_hba_same_wwn(found->wwpn, hba->source_wwpn) &&
           (uuid == NULL || g_strcmp0(found->uuid, uuid) == 0);
}

/* 1, 0, or -1 with @error: what it is cannot be read. */
static int is_pool_same(virStoragePoolPtr pool, const GwHbaMove *hba, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autofree char *xml = pool_xml(pool, error);

    if (xml == NULL)
        return -1;
    g_autoptr(GwVirtualHba) found = gw_virtual_hba_from_xml(xml, &why);
    if (found != NULL || g_error_matches(why, GW_ERROR, GW_ERR_CONFLICT)) /* of another kind */
        return is_same(found, hba) ? 1 : 0;
    gw_lv_cannot_tell(virStoragePoolGetConnect(pool), "what kind of pool is", hba->pool,
                      why->message, error);
    return -1;
}

/* Look ---------------------------------------------------------------------------------------- */

static void add_lun(virStorageVolPtr volume, GPtrArray *luns)
{
    virStorageVolInfo info = { 0 };
    GwLun *lun = gw_lun_new();

    lun->name = g_strdup(virStorageVolGetName(volume));
    lun->id = gw_lun_id(virStorageVolGetKey(volume));
    if (virStorageVolGetInfo(volume, &info) == 0)
        lun->capacity_bytes = (gint64)MIN(info.capacity, (guint64)G_MAXINT64);
    g_ptr_array_add(luns, lun);
}

static gboolean add_luns(virStoragePoolPtr pool, GPtrArray *luns, GError **error)
{
    virStorageVolPtr *volumes = NULL;
    int count =
        virStoragePoolRefresh(pool, 0) == 0 ? virStoragePoolListAllVolumes(pool, &volumes, 0) : -1;

    if (count < 0) {
        gw_lv_error(error);
        return FALSE;
    }
    for (int i = 0; i < count; i++) {
        if (i < GW_HBA_LUNS_MAX)
            add_lun(volumes[i], luns);
        virStorageVolFree(volumes[i]);
    }
    free(volumes);
    return TRUE;
}

GwVirtualHba *gw_lv_hba_look(virConnectPtr ptr, const char *name, GError **error)
{
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByName(ptr, name);
    int autostart = 0;

    if (pool == NULL) {
        gw_lv_error(error);
        return NULL;
    }
    g_autofree char *xml = pool_xml(pool, error);
    g_autoptr(GwVirtualHba) hba = xml != NULL ? gw_virtual_hba_from_xml(xml, error) : NULL;
    if (hba == NULL)
        return NULL;
    int active = is_active(pool, error);
    if (active < 0)
        return NULL;
    if (virStoragePoolGetAutostart(pool, &autostart) < 0) {
        pool_unread(pool, "the autostart of pool", error);
        return NULL;
    }
    hba->active = active == 1;
    hba->autostart = autostart != 0;
    if (hba->active && !add_luns(pool, hba->luns, error))
        return NULL;
    return g_steal_pointer(&hba);
}

gboolean gw_lv_op_hba_look(GwLvTask *task, GwReply *reply, GError **error)
{
    if (task->request->text == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "no pool");
        return FALSE;
    }
    reply->hba = gw_lv_hba_look(task->conn->ptr, task->request->text, error);
    return reply->hba != NULL;
}

/* Stop ---------------------------------------------------------------------------------------- */

static gboolean said(int result, GError **error)
{
    if (result < 0)
        gw_lv_error(error);
    return result == 0;
}

/* Its definition outlives its end, and does not start it. */
static gboolean keep_definition(virConnectPtr ptr, virStoragePoolPtr pool, gboolean persistent,
                                GError **error)
{
    if (persistent)
        return said(virStoragePoolSetAutostart(pool, 0), error);
    g_autofree char *xml = pool_xml(pool, error);
    g_autoptr(virStoragePool) defined = xml != NULL ? virStoragePoolDefineXML(ptr, xml, 0) : NULL;
    if (xml != NULL && defined == NULL)
        gw_lv_error(error);
    return defined != NULL;
}

/* Of one that is not active nobody can tell who uses it: then a login is not ours to end. Its
 * definition goes last, so that what is repeated still knows that it is ours. */
static gboolean stop_pool(virConnectPtr ptr, virStoragePoolPtr pool, const GwHbaMove *hba,
                          const char *own, gboolean forget, GError **error)
{
    int active = is_active(pool, error);
    int persistent = active >= 0 ? is_persistent(pool, error) : -1;

    if (persistent < 0 || (active && !gw_lv_hba_unused(ptr, own, hba->pool, error)))
        return FALSE;
    if (!(forget && !persistent) && !keep_definition(ptr, pool, persistent, error))
        return FALSE;
    if (active && !said(virStoragePoolDestroy(pool), error))
        return FALSE;
    gboolean out = active ? gw_lv_hba_log_out(ptr, hba->source_wwpn, error)
                          : gw_lv_hba_logged_out(ptr, hba->source_wwpn, error);
    return out && (!forget || !persistent || said(virStoragePoolUndefine(pool), error));
}

gboolean gw_lv_hba_stop(virConnectPtr ptr, const GwHbaMove *hba, const char *own, gboolean forget,
                        GError **error)
{
    GError *why = NULL;
    g_autoptr(virStoragePool) pool = find_pool(ptr, hba->pool, &why);
    int same = pool != NULL ? is_pool_same(pool, hba, &why) : 0;

    if (why != NULL) {
        g_propagate_error(error, why);
        return FALSE;
    }
    return same == 1 ? stop_pool(ptr, pool, hba, own, forget, error)
                     : gw_lv_hba_logged_out(ptr, hba->source_wwpn, error);
}

static gboolean is_askable(const GwRequest *request, GError **error)
{
    const GwHbaMove *hba = request->hba;

    if (hba != NULL && hba->pool != NULL && hba->source_wwpn != NULL)
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID, NULL, "no virtual HBA");
    return FALSE;
}

gboolean gw_lv_op_hba_stop(GwLvTask *task, GwReply *reply, GError **error)
{
    const GwRequest *request = task->request;

    return is_askable(request, error) &&
           gw_lv_hba_stop(task->conn->ptr, request->hba, request->vm_uuid, request->number == 1,
                          error);
}

/* Start --------------------------------------------------------------------------------------- */

/* The other host has let go of the WWPN: one is logged in at one host at a time (I1). */
static gboolean check_left(virConnectPtr there, const GwHbaMove *hba, GError **error)
{
    GError *why = NULL;
    g_autoptr(virStoragePool) pool = find_pool(there, hba->pool, &why);
    int same = pool != NULL ? is_pool_same(pool, hba, &why) : 0;
    int active = same == 1 ? is_active(pool, &why) : 0;
    g_autoptr(virNodeDevice) device =
        why == NULL && active == 0 ? gw_lv_hba_login(there, hba->source_wwpn, &why) : NULL;

    if (why != NULL)
        g_propagate_prefixed_error(error, why, "the other host: ");
    else if (active == 1 || device != NULL)
        gw_error_set(error, GW_ERR_CONFLICT,
                     "Stop it there: virsh pool-destroy, or nodedev-destroy.",
                     "WWPN %s is logged in at the other host", hba->source_wwpn);
    return why == NULL && active == 0 && device == NULL;
}

/* What @there defines, as it is to be here. */
static char *definition_from(virConnectPtr there, const GwHbaMove *hba, GError **error)
{
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByName(there, hba->pool);

    if (pool == NULL) {
        gw_lv_error(error);
        return NULL;
    }
    int same = is_pool_same(pool, hba, error);
    if (same == 0 || (same == 1 && hba->to == NULL))
        gw_error_set(error, GW_ERR_CONFLICT, "Try again: the plan is made anew then.",
                     "the pool '%s' of the other host is another one by now", hba->pool);
    g_autofree char *xml = same == 1 && hba->to != NULL ? pool_xml(pool, error) : NULL;
    return xml != NULL ? gw_definition_hba_on(xml, hba->to, error) : NULL;
}

/* It logs in first: where that fails nothing is left. */
static virStoragePoolPtr make_pool(virConnectPtr here, const char *xml, GError **error)
{
    virStoragePoolPtr pool = virStoragePoolCreateXML(here, xml, 0);

    if (pool == NULL)
        gw_lv_error(error);
    return pool;
}

/* It is logged in; the rest of what it is to be. */
static gboolean settle(virConnectPtr here, virStoragePoolPtr pool, const GwHbaMove *hba,
                       GError **error)
{
    gboolean autostart = hba->was != NULL && hba->was->autostart;
    int persistent = is_persistent(pool, error);

    if (persistent < 0)
        return FALSE;
    if (!persistent) {
        g_autofree char *xml = pool_xml(pool, error);
        g_autoptr(virStoragePool) defined =
            xml != NULL ? virStoragePoolDefineXML(here, xml, 0) : NULL;
        if (xml != NULL && defined == NULL)
            gw_lv_error(error);
        if (defined == NULL)
            return FALSE;
    }
    return said(virStoragePoolSetAutostart(pool, autostart ? 1 : 0), error);
}

static gboolean start_there(virConnectPtr here, virConnectPtr there, const GwHbaMove *hba,
                            GError **error)
{
    g_autofree char *xml = definition_from(there, hba, error);
    g_autoptr(virStoragePool) pool = xml != NULL ? make_pool(here, xml, error) : NULL;

    if (pool == NULL)
        return FALSE;
    if (settle(here, pool, hba, error))
        return TRUE;
    gw_lv_hba_stop(here, hba, NULL, TRUE, NULL); /* where it fails, the job undoes it */
    return FALSE;
}

/* Of the pool of that name here: 1: it is logged in, 0: not, or there is none, -1: @error. */
static int is_started(virStoragePoolPtr pool, const GwHbaMove *hba, GError **error)
{
    int same = pool != NULL ? is_pool_same(pool, hba, error) : 0;

    if (pool != NULL && same == 0) {
        gw_error_set(error, GW_ERR_CONFLICT, "Call that pool otherwise, or remove it.",
                     "another pool has the name '%s'", hba->pool);
        return -1;
    }
    return same == 1 ? is_active(pool, error) : same;
}

gboolean gw_lv_hba_start(virConnectPtr here, virConnectPtr there, const GwHbaMove *hba,
                         GError **error)
{
    GError *why = NULL;
    g_autoptr(virStoragePool) pool = find_pool(here, hba->pool, &why);
    int started = why == NULL ? is_started(pool, hba, &why) : -1;

    if (why != NULL) {
        g_propagate_error(error, why);
        return FALSE;
    }
    if (here != there && !started && !check_left(there, hba, error))
        return FALSE;
    if (pool != NULL)
        return (started || said(virStoragePoolCreate(pool, 0), error)) &&
               settle(here, pool, hba, error);
    if (here != there)
        return start_there(here, there, hba, error);
    gw_error_set(error, GW_ERR_NOT_FOUND, "Define it again, with the same WWNN and WWPN.",
                 "the pool '%s' is not defined any more", hba->pool);
    return FALSE;
}

/* On the line that HBA_STOP has as well: one that hangs is not overtaken, and what comes after it
 * too late is not begun. */
gboolean gw_lv_op_hba_start(GwLvTask *task, GwReply *reply, GError **error)
{
    const GwRequest *request = task->request;
    const char *peer = request->peer_host_id;
    virConnectPtr here = task->conn->ptr;

    if (!is_askable(request, error))
        return FALSE;
    if (peer == NULL || strcmp(peer, task->host->id) == 0)
        return gw_lv_hba_start(here, here, request->hba, error);
    g_autoptr(virConnect) there = gw_lv_dial_host(task, peer, "the other host", error);
    return there != NULL && gw_lv_hba_start(here, there, request->hba, error);
}
