/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/libvirt_storage.h"
#include "hyper/libvirt_volume_xml.h"
#include "model/libvirt_xml.h"

/* Who on its host uses an image: any VM's definition, live or stored, that names it, any disk of a
 * VM that stands on it, and any other volume that has it as its backing file. What cannot be read
 * counts as using it. */

#define CHAIN_MAX 64

static gboolean used_by(const char *what, const char *who, GError **error)
{
    gw_error_set(error, GW_ERR_CONFLICT, "Take it out of that VM first, or keep it.",
                 "%s is used by %s", what, who);
    return FALSE;
}

/* Below disks ---------------------------------------------------------------------------------- */

/* What a pool of the host's shows is looked at with all its volumes. */
static gboolean is_in_pool(virConnectPtr ptr, const char *path)
{
    g_autoptr(virStorageVol) volume = virStorageVolLookupByPath(ptr, path);
    g_autoptr(virStoragePool) pool = volume != NULL ? virStoragePoolLookupByVolume(volume) : NULL;

    return pool != NULL && !gw_lv_pool_is_passing(virStoragePoolGetName(pool));
}

/* The image at @path, whose format is @format; NULL with @error unset: it is not there. */
static GwVolume *read_image(const GwLvPlace *place, const char *path, const char *format,
                            GError **error)
{
    const GwVolume wanted = { .path = (char *)path };
    g_auto(GwLvPlace) found = { .host = NULL };

    if (!gw_lv_place_open(place->host, place->ptr, &wanted, 0, &found, error) ||
        found.volume == NULL)
        return NULL;
    return gw_lv_volume_read(&found, format, error);
}

/* The definition of a VM that is off names no more than the topmost image, and what lies below it
 * need not be in any pool. */
static gboolean check_below(const GwLvPlace *place, const char *what, const char *who,
                            const GwDisk *disk, GError **error)
{
    g_autofree char *path = g_strdup(disk->source);
    g_autofree char *format = g_strdup(disk->format);

    for (int i = 0; i < CHAIN_MAX && !is_in_pool(place->ptr, path); i++) {
        g_autoptr(GError) why = NULL;
        g_autoptr(GwVolume) image = read_image(place, path, format, &why);
        if (why != NULL) {
            gw_error_set(error, GW_ERR_CONFLICT, "See to that disk, or keep the image.",
                         "whether disk %s of %s stands on %s cannot be told: %s", disk->target, who,
                         what, why->message);
            return FALSE;
        }
        if (image == NULL || image->backing_path == NULL)
            return TRUE;
        if (strcmp(image->backing_path, place->path) == 0)
            return used_by(what, who, error);
        g_free(path);
        path = g_steal_pointer(&image->backing_path);
        g_free(format);
        format = g_steal_pointer(&image->backing_format);
        if (*path != '/')
            return TRUE; /* no file of the host */
    }
    return TRUE;
}

static gboolean check_disks(const GwLvPlace *place, const char *what, const char *who,
                            const char *xml, GError **error)
{
    g_autoptr(GwVm) vm = place->path != NULL ? gw_libvirt_vm_from_xml(xml, NULL) : NULL;

    for (guint i = 0; vm != NULL && vm->disks != NULL && i < vm->disks->len; i++) {
        const GwDisk *disk = vm->disks->pdata[i];
        gboolean chained =
            disk->source != NULL && *disk->source == '/' && g_strcmp0(disk->format, "raw") != 0;
        if (chained && !check_below(place, what, who, disk, error))
            return FALSE;
    }
    return TRUE;
}

/* Devices -------------------------------------------------------------------------------------- */

/* A block device has several paths: /dev/vg/lv and /dev/mapper/vg-lv, /dev/sda and the links of
 * /dev/disk. libvirt finds a pool's volume by any that leads to it; of a device in no pool it knows
 * the one path alone (an agent knows more). Free with g_free. */
static char *device_of(virConnectPtr ptr, const char *path)
{
    g_autoptr(virStorageVol) volume = virStorageVolLookupByPath(ptr, path);
    char *found = volume != NULL ? virStorageVolGetPath(volume) : NULL;
    char *device = g_strdup(found != NULL ? found : path);

    free(found);
    return device;
}

static gboolean names_device(const GwLvPlace *place, const char *xml)
{
    if (place->path == NULL || !g_str_has_prefix(place->path, "/dev/"))
        return FALSE;
    g_autofree char *own = device_of(place->ptr, place->path);
    g_auto(GStrv) devices = gw_libvirt_domain_devices(xml);
    for (guint i = 0; devices[i] != NULL; i++) {
        g_autofree char *other = device_of(place->ptr, devices[i]);
        if (strcmp(other, own) == 0)
            return TRUE;
    }
    return FALSE;
}

static gboolean has_device(const GwLvPlace *place, virDomainPtr domain, guint flags)
{
    char *xml = virDomainGetXMLDesc(domain, flags);
    gboolean has = xml != NULL && names_device(place, xml);

    free(xml);
    return has;
}

char *gw_lv_device_user(const GwLvPlace *place)
{
    virDomainPtr *domains = NULL;
    int count = virConnectListAllDomains(place->ptr, &domains, 0);
    char *user = NULL;

    for (int i = 0; i < count; i++) {
        if (user == NULL && !gw_lv_is_arriving(domains[i]) &&
            (has_device(place, domains[i], 0) ||
             has_device(place, domains[i], VIR_DOMAIN_XML_INACTIVE)))
            user = g_strdup_printf("VM '%s'", virDomainGetName(domains[i]));
        virDomainFree(domains[i]);
    }
    if (count >= 0)
        free(domains);
    return user;
}

/* VMs ------------------------------------------------------------------------------------------ */

/* The definition that @flags select, or NULL with @error unset where the VM has gone, or has none
 * of that kind. */
static gboolean check_definition(const GwLvPlace *place, const char *what, virDomainPtr domain,
                                 guint flags, GError **error)
{
    g_autofree char *vm = NULL;
    char *xml = virDomainGetXMLDesc(domain, flags);

    if (xml == NULL && gw_lv_last_code() == VIR_ERR_NO_DOMAIN)
        return TRUE;
    gboolean unread = xml == NULL;
    gboolean named =
        !unread && (gw_libvirt_domain_names(xml, place->path, place->pool_name, place->name, &vm) ||
                    names_device(place, xml));
    g_autofree char *who = g_strdup_printf("VM '%s'", virDomainGetName(domain));
    gboolean stored = !unread && !named && (flags & VIR_DOMAIN_XML_INACTIVE) != 0;
    gboolean below = stored && !check_disks(place, what, who, xml, error);
    free(xml);
    if (below)
        return FALSE;
    if (unread) {
        gw_error_set(error, GW_ERR_BUSY, "Try again when the VM can be asked.",
                     "whether VM '%s' uses %s cannot be told: %s", virDomainGetName(domain), what,
                     virGetLastErrorMessage());
        return FALSE;
    }
    if (!named)
        return TRUE;
    return used_by(what, who, error);
}

static gboolean check_domain(const GwLvPlace *place, const char *what, virDomainPtr domain,
                             GError **error)
{
    if (gw_lv_is_arriving(domain)) {
        gw_error_set(error, GW_ERR_BUSY, "Try again when it has arrived.",
                     "VM '%s' is arriving; whether it uses %s cannot be told yet",
                     virDomainGetName(domain), what);
        return FALSE;
    }
    return check_definition(place, what, domain, 0, error) &&
           check_definition(place, what, domain, VIR_DOMAIN_XML_INACTIVE, error);
}

static gboolean check_domains(const GwLvPlace *place, const char *what, GError **error)
{
    virDomainPtr *domains = NULL;
    int count = virConnectListAllDomains(place->ptr, &domains, 0);
    gboolean well = count >= 0;

    if (count < 0)
        gw_lv_error(error);
    for (int i = 0; i < count; i++) {
        well = well && check_domain(place, what, domains[i], error);
        virDomainFree(domains[i]);
    }
    if (count >= 0)
        free(domains);
    return well;
}

/* Other images on it ------------------------------------------------------------------------- */

static gboolean check_volume(const GwLvPlace *place, const char *what, virStorageVolPtr other,
                             GError **error)
{
    char *xml = virStorageVolGetXMLDesc(other, 0);
    g_autoptr(GwVolume) volume = xml != NULL ? gw_libvirt_volume_from_xml(xml, NULL) : NULL;

    free(xml);
    if (volume == NULL || volume->backing_path == NULL)
        return TRUE; /* one that has gone, or is no image */
    g_autofree char *backing = gw_libvirt_backing_path(volume->path, volume->backing_path, NULL);
    if (g_strcmp0(backing, place->path) != 0)
        return TRUE;
    g_autofree char *who = g_strdup_printf("the image '%s', which stands on it", volume->path);
    return used_by(what, who, error);
}

static gboolean check_pool(const GwLvPlace *place, const char *what, virStoragePoolPtr pool,
                           GError **error)
{
    virStorageVolPtr *volumes = NULL;
    int count = virStoragePoolListAllVolumes(pool, &volumes, 0);
    gboolean well = TRUE;

    for (int i = 0; i < count; i++) {
        well = well && check_volume(place, what, volumes[i], error);
        virStorageVolFree(volumes[i]);
    }
    if (count >= 0)
        free(volumes);
    return well;
}

/* An image that somebody made since libvirt looked is on no list. A share that hangs is not waited
 * for, nor a pool in which something is under way. */
static void look_again(virStoragePoolPtr pool)
{
    g_autoptr(GwPool) record = gw_lv_read_pool(pool);

    if (record != NULL && record->type != NULL &&
        (strcmp(record->type, "dir") == 0 || strcmp(record->type, "fs") == 0) &&
        virStoragePoolRefresh(pool, 0) < 0)
        virResetLastError();
}

static gboolean check_pools(const GwLvPlace *place, const char *what, GError **error)
{
    virStoragePoolPtr *pools = NULL;
    int count =
        virConnectListAllStoragePools(place->ptr, &pools, VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE);
    gboolean well = count >= 0;

    if (count < 0)
        gw_lv_error(error);
    for (int i = 0; i < count; i++) {
        if (well)
            look_again(pools[i]);
        well = well && check_pool(place, what, pools[i], error);
        virStoragePoolFree(pools[i]);
    }
    if (count >= 0)
        free(pools);
    return well;
}

gboolean gw_lv_unused(const GwLvPlace *place, GError **error)
{
    g_autofree char *what = place->path != NULL ? g_strdup_printf("'%s'", place->path)
                                                : g_strdup_printf("'%s'", place->name);

    return check_domains(place, what, error) && check_pools(place, what, error);
}

/* Images that stand on it are seen by the host that it is removed from: this is of its storage. */
gboolean gw_lv_op_volume_prove(GwLvTask *task, GwReply *reply, GError **error)
{
    const GwVolume *volume = task->request->volume;

    if (volume == NULL || volume->path == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "no path of a volume");
        return FALSE;
    }
    const GwLvPlace place = { .host = task->host,
                              .ptr = task->conn->ptr,
                              .pool_name = volume->pool,
                              .name = volume->name,
                              .path = volume->path };
    g_autofree char *what = g_strdup_printf("'%s'", volume->path);
    return check_domains(&place, what, error);
}
