/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "hyper/libvirt_internal.h"
#include "model/definition_hba.h"

/* With which WWPNs a host is logged in (R41), whatever made the virtual HBAs: node devices. What
 * cannot be looked at counts as logged in. */

#define LOGOUT_TRIES 20
#define LOGOUT_PAUSE_US (G_USEC_PER_SEC / 4)

gboolean gw_lv_cannot_tell(virConnectPtr ptr, const char *what, const char *name, const char *why,
                           GError **error)
{
    gw_error_set(error, gw_lv_alive(ptr) ? GW_ERR_BUSY : GW_ERR_UNREACHABLE,
                 "Look at libvirtd on the host; it is asked again.", "%s '%s' cannot be told: %s",
                 what, name, why);
    return FALSE;
}

/* The WWPN that @device is logged in with, or NULL: none, it is no virtual HBA, or it has gone. */
static char *wwpn_of(virNodeDevicePtr device, GError **error)
{
    g_autoptr(GError) why = NULL;
    char *xml = virNodeDeviceGetXMLDesc(device, 0);
    gboolean gone = xml == NULL && gw_lv_last_code() == VIR_ERR_NO_NODE_DEVICE;
    char *wwpn = xml != NULL ? gw_virtual_hba_wwpn(xml, &why) : NULL;

    if ((xml == NULL && !gone) || why != NULL)
        gw_error_set(error, GW_ERR_BUSY, NULL, "%s: %s", virNodeDeviceGetName(device),
                     why != NULL ? why->message : virGetLastErrorMessage());
    free(xml);
    return wwpn;
}

/* The first of @devices that is logged in with @wwpn; the others are freed. */
static virNodeDevicePtr pick_login(virNodeDevicePtr *devices, int count, const char *wwpn,
                                   GError **error)
{
    virNodeDevicePtr found = NULL;

    for (int i = 0; i < count; i++) {
        g_autofree char *its = wwpn_of(devices[i], error != NULL && *error == NULL ? error : NULL);
        if (found == NULL && gw_hba_same_wwn(its, wwpn))
            found = devices[i];
        else
            virNodeDeviceFree(devices[i]);
    }
    return found;
}

virNodeDevicePtr gw_lv_hba_login(virConnectPtr ptr, const char *wwpn, GError **error)
{
    g_autoptr(GError) why = NULL;
    virNodeDevicePtr *devices = NULL;
    int count =
        virConnectListAllNodeDevices(ptr, &devices, VIR_CONNECT_LIST_NODE_DEVICES_CAP_FC_HOST);

    if (count < 0 && gw_lv_last_code() != VIR_ERR_NO_SUPPORT)
        gw_lv_error(&why);
    virNodeDevicePtr found = pick_login(devices, count, wwpn, &why);
    if (count >= 0)
        free(devices);
    if (found == NULL && why != NULL)
        gw_lv_cannot_tell(ptr, "who is logged in with WWPN", wwpn, why->message, error);
    return found;
}

gboolean gw_lv_hba_logged_out(virConnectPtr ptr, const char *wwpn, GError **error)
{
    GError *why = NULL;
    g_autoptr(virNodeDevice) device = gw_lv_hba_login(ptr, wwpn, &why);

    if (why != NULL)
        g_propagate_error(error, why);
    else if (device != NULL)
        gw_error_set(error, GW_ERR_BUSY,
                     "Look at who uses it on the host (virsh nodedev-list --cap fc_host), and end "
                     "it there: its pool, or virsh nodedev-destroy.",
                     "WWPN %s is logged in, as %s, but not through the pool", wwpn,
                     virNodeDeviceGetName(device));
    return why == NULL && device == NULL;
}

/* The kernel takes a moment, and the news of it another. */
gboolean gw_lv_hba_log_out(virConnectPtr ptr, const char *wwpn, GError **error)
{
    for (int i = 0; i < LOGOUT_TRIES; i++) {
        GError *why = NULL;
        g_autoptr(virNodeDevice) device = gw_lv_hba_login(ptr, wwpn, &why);
        if (why != NULL)
            g_propagate_error(error, why);
        if (device == NULL)
            return why == NULL;
        virNodeDeviceDestroy(device);
        g_usleep(LOGOUT_PAUSE_US);
    }
    gw_error_set(error, GW_ERR_BUSY, "Look at it on the host: virsh nodedev-list --cap fc_host.",
                 "WWPN %s is still logged in", wwpn);
    return FALSE;
}
