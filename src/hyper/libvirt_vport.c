/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/libvirt_internal.h"
#include "hyper/libvirt_volume_xml.h"
#include "model/definition_hba.h"
#include "model/libvirt_xml.h"

/* Virtual HBAs that log out of a host and in at another (R41): storage pools of type scsi whose
 * fc_host adapter has a WWPN of its own (formatstorage.html). libvirt makes the virtual HBA as the
 * pool starts, and removes it as the pool ends unless somebody had made it by hand; so it is looked
 * for, and removed, as a node device too: what counts is that the WWPN is gone. */

#define LOGOUT_TRIES 20
#define LOGOUT_PAUSE_US (G_USEC_PER_SEC / 4)

/* Pools --------------------------------------------------------------------------------------- */

/* NULL with @error unset: there is none. */
static virStoragePoolPtr find_pool(virConnectPtr ptr, const char *name, GError **error)
{
    virStoragePoolPtr pool = virStoragePoolLookupByName(ptr, name);

    if (pool == NULL && gw_lv_last_code() != VIR_ERR_NO_STORAGE_POOL)
        gw_lv_error(error);
    return pool;
}

/* Of one that is stopped: as it is defined. */
static char *pool_xml(virStoragePoolPtr pool, GError **error)
{
    char *xml = virStoragePoolGetXMLDesc(pool, 0);
    char *copy = g_strdup(xml);

    if (xml == NULL)
        gw_lv_error(error);
    free(xml);
    return copy;
}

/* Whether the pool of that name is the virtual HBA that is meant. */
static gboolean is_same(const GwVirtualHba *found, const GwHbaMove *hba)
{
    const char *uuid = hba->was != NULL ? hba->was->uuid : NULL;

    return found != NULL && gw_hba_same_wwn(found->wwpn, hba->source_wwpn) &&
           (uuid == NULL || g_strcmp0(found->uuid, uuid) == 0);
}

static gboolean is_pool_same(virStoragePoolPtr pool, const GwHbaMove *hba)
{
    g_autofree char *xml = pool_xml(pool, NULL);
    g_autoptr(GwVirtualHba) found = xml != NULL ? gw_virtual_hba_from_xml(xml, NULL) : NULL;

    return is_same(found, hba);
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
    hba->active = virStoragePoolIsActive(pool) == 1;
    hba->autostart = virStoragePoolGetAutostart(pool, &autostart) == 0 && autostart != 0;
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

/* Who has disks behind it --------------------------------------------------------------------- */

/* Whether the device at @path is a volume of the pool called @name. */
static gboolean is_in_pool(virConnectPtr ptr, const char *path, const char *name)
{
    g_autoptr(virStorageVol) volume = virStorageVolLookupByPath(ptr, path);
    g_autoptr(virStoragePool) pool = volume != NULL ? virStoragePoolLookupByVolume(volume) : NULL;

    return pool != NULL && g_strcmp0(virStoragePoolGetName(pool), name) == 0;
}

static gboolean names_pool(virConnectPtr ptr, const char *xml, const char *name)
{
    g_autofree char *prefix = g_strconcat(name, "/", NULL);
    g_auto(GStrv) devices = gw_libvirt_domain_devices(xml);
    g_autoptr(GwVm) vm = gw_libvirt_vm_from_xml(xml, NULL);

    for (guint i = 0; vm != NULL && vm->disks != NULL && i < vm->disks->len; i++) {
        const GwDisk *disk = vm->disks->pdata[i];
        if (disk->source != NULL && g_str_has_prefix(disk->source, prefix))
            return TRUE;
    }
    for (guint i = 0; devices[i] != NULL; i++) {
        if (is_in_pool(ptr, devices[i], name))
            return TRUE;
    }
    return FALSE;
}

static gboolean check_definition(virDomainPtr domain, guint flags, const char *pool, GError **error)
{
    char *xml = virDomainGetXMLDesc(domain, flags);
    gboolean gone = xml == NULL && gw_lv_last_code() == VIR_ERR_NO_DOMAIN;
    gboolean names = xml != NULL && names_pool(virDomainGetConnect(domain), xml, pool);
    gboolean unread = xml == NULL && !gone;

    free(xml);
    if (unread)
        gw_error_set(error, GW_ERR_BUSY, "Try again when the VM can be asked.",
                     "whether VM '%s' has disks behind it cannot be told: %s",
                     virDomainGetName(domain), virGetLastErrorMessage());
    if (names)
        gw_error_set(error, GW_ERR_CONFLICT,
                     "Move that VM's disks elsewhere first, or give the host it goes to a virtual "
                     "HBA of its own.",
                     "VM '%s' has disks behind it", virDomainGetName(domain));
    return !unread && !names;
}

/* The VM that it goes along with does not stand in its way while it is off. */
static gboolean check_domain(virDomainPtr domain, const char *own, const char *pool, GError **error)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    gboolean active = virDomainIsActive(domain) == 1;

    if (virDomainGetUUIDString(domain, uuid) == 0 && g_strcmp0(uuid, own) == 0 && !active)
        return TRUE;
    return check_definition(domain, 0, pool, error) &&
           (!active || check_definition(domain, VIR_DOMAIN_XML_INACTIVE, pool, error));
}

static gboolean check_unused(virConnectPtr ptr, const char *own, const char *pool, GError **error)
{
    virDomainPtr *domains = NULL;
    int count = virConnectListAllDomains(ptr, &domains, 0);
    gboolean well = count >= 0;

    if (count < 0)
        gw_lv_error(error);
    for (int i = 0; i < count; i++) {
        well = well && check_domain(domains[i], own, pool, error);
        virDomainFree(domains[i]);
    }
    if (count >= 0)
        free(domains);
    return well;
}

/* Stop ---------------------------------------------------------------------------------------- */

/* The virtual HBA that is logged in with @wwpn, by whoever made it; NULL: none is, or the host does
 * not tell its devices. */
static virNodeDevicePtr find_login(virConnectPtr ptr, const char *wwpn)
{
    virNodeDevicePtr *devices = NULL;
    int count =
        virConnectListAllNodeDevices(ptr, &devices, VIR_CONNECT_LIST_NODE_DEVICES_CAP_FC_HOST);
    virNodeDevicePtr found = NULL;

    for (int i = 0; i < count; i++) {
        char *xml = virNodeDeviceGetXMLDesc(devices[i], 0);
        g_autofree char *its = xml != NULL ? gw_virtual_hba_wwpn(xml) : NULL;
        free(xml);
        if (found == NULL && gw_hba_same_wwn(its, wwpn))
            found = devices[i];
        else
            virNodeDeviceFree(devices[i]);
    }
    if (count >= 0)
        free(devices);
    return found;
}

/* The kernel takes a moment, and the news of it another. */
static gboolean log_out(virConnectPtr ptr, const char *wwpn, GError **error)
{
    for (int i = 0; i < LOGOUT_TRIES; i++) {
        virNodeDevicePtr device = find_login(ptr, wwpn);
        if (device == NULL)
            return TRUE;
        virNodeDeviceDestroy(device);
        virNodeDeviceFree(device);
        g_usleep(LOGOUT_PAUSE_US);
    }
    gw_error_set(error, GW_ERR_BUSY, "Look at it on the host: virsh nodedev-list --cap fc_host.",
                 "WWPN %s is still logged in", wwpn);
    return FALSE;
}

static gboolean said(int result, GError **error)
{
    if (result < 0)
        gw_lv_error(error);
    return result == 0;
}

/* Its definition outlives its end, and does not start it. */
static gboolean keep_definition(virConnectPtr ptr, virStoragePoolPtr pool, GError **error)
{
    if (virStoragePoolIsPersistent(pool) == 1)
        return said(virStoragePoolSetAutostart(pool, 0), error);
    g_autofree char *xml = pool_xml(pool, error);
    g_autoptr(virStoragePool) defined = xml != NULL ? virStoragePoolDefineXML(ptr, xml, 0) : NULL;
    if (xml != NULL && defined == NULL)
        gw_lv_error(error);
    return defined != NULL;
}

static gboolean stop_pool(virConnectPtr ptr, virStoragePoolPtr pool, const char *own,
                          gboolean forget, GError **error)
{
    gboolean active = virStoragePoolIsActive(pool) == 1;

    if (active && !check_unused(ptr, own, virStoragePoolGetName(pool), error))
        return FALSE;
    gboolean persistent = virStoragePoolIsPersistent(pool) == 1;
    if (!(forget && !persistent) && !keep_definition(ptr, pool, error))
        return FALSE;
    if (active && !said(virStoragePoolDestroy(pool), error))
        return FALSE;
    return !forget || !persistent || said(virStoragePoolUndefine(pool), error);
}

gboolean gw_lv_hba_stop(virConnectPtr ptr, const GwHbaMove *hba, const char *own, gboolean forget,
                        GError **error)
{
    GError *why = NULL;
    g_autoptr(virStoragePool) pool = find_pool(ptr, hba->pool, &why);

    if (why != NULL) {
        g_propagate_error(error, why);
        return FALSE;
    }
    if (pool != NULL && !is_pool_same(pool, hba))
        return TRUE; /* none of ours is here */
    return (pool == NULL || stop_pool(ptr, pool, own, forget, error)) &&
           log_out(ptr, hba->source_wwpn, error);
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

/* What @there defines, as it is to be here. */
static char *definition_from(virConnectPtr there, const GwHbaMove *hba, GError **error)
{
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByName(there, hba->pool);

    if (pool == NULL) {
        gw_lv_error(error);
        return NULL;
    }
    if (!is_pool_same(pool, hba) || hba->to == NULL) {
        gw_error_set(error, GW_ERR_CONFLICT, "Try again: the plan is made anew then.",
                     "the pool '%s' of the other host is another one by now", hba->pool);
        return NULL;
    }
    if (virStoragePoolIsActive(pool) != 0) {
        gw_error_set(error, GW_ERR_CONFLICT, "Stop it there: virsh pool-destroy.",
                     "WWPN %s is logged in at the other host", hba->source_wwpn);
        return NULL;
    }
    g_autofree char *xml = pool_xml(pool, error);
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

    if (virStoragePoolIsPersistent(pool) != 1) {
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

static gboolean start_here(virConnectPtr here, virStoragePoolPtr pool, const GwHbaMove *hba,
                           GError **error)
{
    if (!is_pool_same(pool, hba)) {
        gw_error_set(error, GW_ERR_CONFLICT, "Call that pool otherwise, or remove it.",
                     "another pool has the name '%s'", hba->pool);
        return FALSE;
    }
    if (virStoragePoolIsActive(pool) != 1 && !said(virStoragePoolCreate(pool, 0), error))
        return FALSE;
    return settle(here, pool, hba, error);
}

gboolean gw_lv_hba_start(virConnectPtr here, virConnectPtr there, const GwHbaMove *hba,
                         GError **error)
{
    GError *why = NULL;
    g_autoptr(virStoragePool) pool = find_pool(here, hba->pool, &why);

    if (why != NULL) {
        g_propagate_error(error, why);
        return FALSE;
    }
    if (pool != NULL)
        return start_here(here, pool, hba, error);
    if (here != there)
        return start_there(here, there, hba, error);
    gw_error_set(error, GW_ERR_NOT_FOUND, "Define it again, with the same WWNN and WWPN.",
                 "the pool '%s' is not defined any more", hba->pool);
    return FALSE;
}

gboolean gw_lv_op_hba_start(GwLvTask *task, GwReply *reply, GError **error)
{
    const GwRequest *request = task->request;
    const char *peer = request->peer_host_id;

    if (!is_askable(request, error))
        return FALSE;
    g_autoptr(virConnect) here = gw_lv_dial_host(task, task->host->id, "this host", error);
    if (here == NULL)
        return FALSE;
    if (peer == NULL || strcmp(peer, task->host->id) == 0)
        return gw_lv_hba_start(here, here, request->hba, error);
    g_autoptr(virConnect) there = gw_lv_dial_host(task, peer, "the other host", error);
    return there != NULL && gw_lv_hba_start(here, there, request->hba, error);
}
