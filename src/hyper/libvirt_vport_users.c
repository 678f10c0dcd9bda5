/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "hyper/libvirt_internal.h"
#include "hyper/libvirt_volume_xml.h"
#include "model/libvirt_xml.h"

/* Who has disks behind a virtual HBA (R41): any VM's definition, live or stored, that names a
 * volume of its pool, or the device of one. A definition that cannot be read, or not to its end,
 * may name one. What a host itself lays above LUNs (LVM, multipath), and a VM's own SCSI devices,
 * libvirt does not tell. */

typedef enum { NAMES_NONE, NAMES_IT, NAMES_UNKNOWN } Names;

/* Whether the device at @path is a volume of the pool called @name. */
static Names is_in_pool(virConnectPtr ptr, const char *path, const char *name)
{
    g_autoptr(virStorageVol) volume = virStorageVolLookupByPath(ptr, path);
    if (volume == NULL)
        return gw_lv_last_code() == VIR_ERR_NO_STORAGE_VOL ? NAMES_NONE : NAMES_UNKNOWN;
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByVolume(volume);
    if (pool == NULL)
        return NAMES_UNKNOWN;
    return g_strcmp0(virStoragePoolGetName(pool), name) == 0 ? NAMES_IT : NAMES_NONE;
}

static gboolean names_volume(const GwVm *vm, const char *name)
{
    g_autofree char *prefix = g_strconcat(name, "/", NULL);

    for (guint i = 0; vm != NULL && vm->disks != NULL && i < vm->disks->len; i++) {
        const GwDisk *disk = vm->disks->pdata[i];
        if (disk->source != NULL && g_str_has_prefix(disk->source, prefix))
            return TRUE;
    }
    return FALSE;
}

static Names names_pool(virConnectPtr ptr, const char *xml, const char *name)
{
    g_auto(GStrv) devices = gw_libvirt_domain_devices(xml);
    g_autoptr(GwVm) vm = gw_libvirt_vm_from_xml(xml, NULL);
    Names names = NAMES_NONE;

    if (names_volume(vm, name))
        return NAMES_IT;
    if (vm == NULL || vm->error != NULL || g_strv_length(devices) >= GW_LIBVIRT_BLOCK_DEVICES_MAX)
        names = NAMES_UNKNOWN;
    for (guint i = 0; devices[i] != NULL; i++) {
        Names its = is_in_pool(ptr, devices[i], name);
        if (its == NAMES_IT)
            return its;
        names = MAX(names, its);
    }
    return names;
}

static gboolean unknown(virDomainPtr domain, const char *why, GError **error)
{
    gw_error_set(error, GW_ERR_BUSY, "Try again when the VM can be asked.",
                 "whether VM '%s' has disks behind it cannot be told: %s", virDomainGetName(domain),
                 why);
    return FALSE;
}

static gboolean check_definition(virDomainPtr domain, guint flags, const char *pool, GError **error)
{
    char *xml = virDomainGetXMLDesc(domain, flags);

    if (xml == NULL)
        return gw_lv_last_code() == VIR_ERR_NO_DOMAIN ||
               unknown(domain, virGetLastErrorMessage(), error);
    Names names = names_pool(virDomainGetConnect(domain), xml, pool);
    free(xml);
    if (names == NAMES_UNKNOWN)
        return unknown(domain, "its definition cannot be read to its end", error);
    if (names == NAMES_IT)
        gw_error_set(error, GW_ERR_CONFLICT,
                     "Move that VM's disks elsewhere first, or give the host it goes to a virtual "
                     "HBA of its own.",
                     "VM '%s' has disks behind it", virDomainGetName(domain));
    return names == NAMES_NONE;
}

/* The VM that it goes along with does not stand in its way while it is off. */
static gboolean check_domain(virDomainPtr domain, const char *own, const char *pool, GError **error)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    int active = virDomainIsActive(domain); /* -1: perhaps */

    if (virDomainGetUUIDString(domain, uuid) == 0 && g_strcmp0(uuid, own) == 0 && active == 0)
        return TRUE;
    if (gw_lv_is_arriving(domain))
        return unknown(domain, "it is arriving", error);
    return check_definition(domain, 0, pool, error) &&
           (active == 0 || check_definition(domain, VIR_DOMAIN_XML_INACTIVE, pool, error));
}

gboolean gw_lv_hba_unused(virConnectPtr ptr, const char *own, const char *pool, GError **error)
{
    virDomainPtr *domains = NULL;
    int count = virConnectListAllDomains(ptr, &domains, 0);
    gboolean well = count >= 0;

    if (count < 0)
        gw_lv_cannot_tell(ptr, "which VMs have disks behind", pool, virGetLastErrorMessage(),
                          error);
    for (int i = 0; i < count; i++) {
        well = well && check_domain(domains[i], own, pool, error);
        virDomainFree(domains[i]);
    }
    if (count >= 0)
        free(domains);
    return well;
}
