/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/libvirt_storage.h"
#include "hyper/libvirt_volume_xml.h"

/* Copies within one host, by its libvirt: as a reflink, or by qemu-img into another format. libvirt
 * makes the volume by the same call that fills it, so what is there under its name, which the
 * contract says is only there to be filled, is removed first; where the call fails it is made
 * again, empty. Whatever a crash leaves, the same copy asked for again begins anew. */

static gboolean refuse(GError **error, const char *remedy, const char *why)
{
    gw_error_set(error, GW_ERR_UNSUPPORTED, remedy, "%s", why);
    return FALSE;
}

/* libvirt goes by what it saw in the content. Where that is not what the VM's definition says, it
 * may be the guest's doing, and qemu-img would follow what it wrote there (CVE-2022-47951). */
static gboolean check_source(const GwLvPlace *from, const GwCopy *copy, GError **error)
{
    g_autoptr(GwVolume) seen = gw_lv_volume_read(from, NULL, error);

    if (seen == NULL)
        return FALSE;
    if (copy->from->format != NULL && g_strcmp0(copy->from->format, seen->format) != 0) {
        gw_error_set(error, GW_ERR_UNSUPPORTED, "Copy it over the network, as it is.",
                     "'%s' is %s by its definition, and libvirt takes its content for %s",
                     seen->path, copy->from->format, seen->format);
        return FALSE;
    }
    if (seen->encrypted)
        return refuse(error, "Copy it over the network, as it is.",
                      "an encrypted image cannot be converted without its secret");
    if (copy->how == GW_DISK_FAST_COPY &&
        (g_strcmp0(seen->format, "raw") != 0 || g_strcmp0(copy->to->format, "raw") != 0))
        return refuse(error, "Copy it over the network, or install the agent on the host.",
                      "libvirt makes reflinks of raw images only");
    return TRUE;
}

/* Every image that qemu-img would read through must be what it is said to be. */
static gboolean check_chain(GwLvTask *task, virConnectPtr ptr, const GwCopy *copy, GError **error)
{
    g_autoptr(GPtrArray) chain = gw_lv_chain(task->host, ptr, copy->from, error);

    if (chain != NULL && chain->len == 0)
        gw_error_set(error, GW_ERR_NOT_FOUND, NULL, "what is to be copied is not there");
    return chain != NULL && chain->len > 0;
}

static char *xml_of(const GwLvPlace *to, const GwCopy *copy, GError **error)
{
    g_autoptr(GwVolume) wanted = gw_volume_copy(copy->to);

    g_free(wanted->name);
    wanted->name = g_strdup(to->name);
    return gw_libvirt_volume_to_xml(wanted, to->pool_type, error);
}

static gboolean call_failed(const GwCopy *copy, GError **error)
{
    g_autoptr(GError) why = NULL;

    gw_lv_error(&why);
    if (copy->how != GW_DISK_FAST_COPY) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    gw_error_set(error, GW_ERR_UNSUPPORTED,
                 "Copy it over the network; reflinks need both on one file system, XFS or Btrfs.",
                 "the file system makes no reflink: %s", why->message);
    return FALSE;
}

/* Makes the empty volume again that was removed, so that another way can be tried. */
static void make_again(GwLvPlace *to, const char *xml)
{
    g_clear_pointer(&to->volume, virStorageVolFree);
    to->volume = virStorageVolCreateXML(to->pool, xml, 0);
}

static gboolean make_from(GwLvTask *task, const GwCopy *copy, GwLvPlace *from, GwLvPlace *to,
                          GError **error)
{
    guint flags = copy->how == GW_DISK_FAST_COPY ? VIR_STORAGE_VOL_CREATE_REFLINK : 0;
    g_autofree char *xml = xml_of(to, copy, error);

    if (xml == NULL || !gw_lv_volume_remove(to, error))
        return FALSE;
    to->volume = virStorageVolCreateXMLFrom(to->pool, xml, from->volume, flags);
    gboolean well = to->volume != NULL ? gw_lv_copy_wanted(task, error) : call_failed(copy, error);
    if (!well && to->volume != NULL)
        virStorageVolDelete(to->volume, 0);
    if (!well)
        make_again(to, xml);
    return well;
}

static gboolean copy_here(GwLvTask *task, virConnectPtr ptr, const GwCopy *copy, GError **error)
{
    g_auto(GwLvPlace) from = { .host = NULL };
    g_auto(GwLvPlace) to = { .host = NULL };

    if (!check_chain(task, ptr, copy, error) ||
        !gw_lv_place_open(task->host, ptr, copy->from, 0, &from, error) ||
        !gw_lv_place_open(task->host, ptr, copy->to, GW_LV_PLACE_MAKE_FOLDER, &to, error))
        return FALSE;
    if (from.volume == NULL || g_strcmp0(from.path, to.path) == 0) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "there is nothing to copy, or it is the same");
        return FALSE;
    }
    return check_source(&from, copy, error) && make_from(task, copy, &from, &to, error);
}

gboolean gw_lv_copy_local(GwLvTask *task, const GwCopy *copy, GwCopyResult *result, GError **error)
{
    if (g_strcmp0(copy->from_host_id, copy->to_host_id) != 0) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "only within one host");
        return FALSE;
    }
    g_autoptr(virConnect) ptr = gw_lv_dial_host(task, task->host->id, "host", error);
    if (ptr == NULL || !gw_lv_begin(task, error) || !copy_here(task, ptr, copy, error))
        return FALSE;
    result->how = g_strdup(copy->how == GW_DISK_FAST_COPY ? "reflink" : "converted on its host");
    return TRUE;
}
