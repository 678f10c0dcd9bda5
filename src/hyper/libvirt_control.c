/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "hyper/libvirt_internal.h"
#include "model/libvirt_xml.h"

/* Small acts on one VM. Each may be asked for again after its answer was lost, so each succeeds
 * where what it asks for is already so. */

static gboolean checked(int result, GError **error)
{
    if (result < 0)
        gw_lv_error(error);
    return result >= 0;
}

static gboolean state_of(virDomainPtr domain, int *state, GError **error)
{
    return checked(virDomainGetState(domain, state, NULL, 0), error);
}

gboolean gw_lv_op_resume(GwLvTask *task, GwReply *reply, GError **error)
{
    g_autoptr(virDomain) domain = gw_lv_need(task, error);
    int state = 0;

    if (domain == NULL || !state_of(domain, &state, error))
        return FALSE;
    if (state == VIR_DOMAIN_RUNNING || state == VIR_DOMAIN_BLOCKED)
        return TRUE;
    if (virDomainResume(domain) == 0)
        return TRUE;
    /* It may have begun to run between the look and the call. */
    g_autoptr(GError) why = NULL;
    gw_lv_error(&why);
    if (virDomainGetState(domain, &state, NULL, 0) == 0 && state == VIR_DOMAIN_RUNNING)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&why));
    return FALSE;
}

gboolean gw_lv_op_pause(GwLvTask *task, GwReply *reply, GError **error)
{
    g_autoptr(virDomain) domain = gw_lv_need(task, error);
    int state = 0;

    if (domain == NULL || !state_of(domain, &state, error))
        return FALSE;
    return state == VIR_DOMAIN_PAUSED || checked(virDomainSuspend(domain), error);
}

gboolean gw_lv_op_destroy(GwLvTask *task, GwReply *reply, GError **error)
{
    GError *why = NULL;
    g_autoptr(virDomain) domain = gw_lv_find(task, &why);

    if (why != NULL) {
        g_propagate_error(error, why);
        return FALSE;
    }
    if (domain == NULL || virDomainIsActive(domain) == 0)
        return TRUE;
    /* SIGTERM first, then SIGKILL; an error means that the process is still there. */
    if (virDomainDestroyFlags(domain, VIR_DOMAIN_DESTROY_DEFAULT) == 0)
        return TRUE;
    gw_lv_error(&why);
    int active = virDomainIsActive(domain); /* it may have ended by itself */
    if (active == 0 || (active < 0 && gw_lv_last_code() == VIR_ERR_NO_DOMAIN)) {
        g_error_free(why);
        return TRUE;
    }
    g_propagate_error(error, why);
    return FALSE;
}

/* Undefining ---------------------------------------------------------------------------------- */

static gboolean put_back(virConnectPtr ptr, const char *xml, gboolean autostart, GError **error)
{
    g_autoptr(virDomain) defined = virDomainDefineXMLFlags(ptr, xml, 0);

    if (defined == NULL || (autostart && virDomainSetAutostart(defined, 1) < 0)) {
        gw_error_set(error, GW_ERR_OPERATION,
                     "Define it before it stops: virsh dumpxml VM > vm.xml; virsh define vm.xml.",
                     "the VM was started while its definition was being removed, and that could "
                     "not be put back: %s",
                     virGetLastErrorMessage());
        return FALSE;
    }
    return TRUE;
}

/* libvirt removes the definition of a VM that was started since it was seen to be off: the VM would
 * end with its process. */
gboolean gw_lv_undefined(virConnectPtr ptr, const char *uuid, const char *xml, gboolean autostart,
                         GError **error)
{
    g_autoptr(virDomain) domain = virDomainLookupByUUIDString(ptr, uuid);

    if (domain == NULL && gw_lv_last_code() == VIR_ERR_NO_DOMAIN)
        return TRUE;
    int persistent = domain != NULL ? virDomainIsPersistent(domain) : -1;
    if (persistent < 0)
        return checked(persistent, error);
    if (persistent == 0 && !put_back(ptr, xml, autostart, error))
        return FALSE;
    gw_error_set(error, GW_ERR_CONFLICT, "Shut it down, or leave its definition.",
                 persistent == 0
                     ? "the VM was started while its definition was being removed; it "
                       "runs on, and its definition was put back"
                     : "the VM was defined anew while its definition was being removed");
    return FALSE;
}

/* NVRAM and TPM state stay. Snapshots and a saved state are not in the flags: with one of them
 * libvirt refuses, rather than that they vanish unseen. */
static gboolean undefine(virConnectPtr ptr, virDomainPtr domain, const char *uuid, GError **error)
{
    guint secure = VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE;
    guint flags = VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | VIR_DOMAIN_UNDEFINE_KEEP_TPM;
    int autostart = 0;
    g_autofree char *xml = gw_lv_xml(domain, secure, error);

    if (xml == NULL || !checked(virDomainGetAutostart(domain, &autostart), error))
        return FALSE;
    int result = virDomainUndefineFlags(domain, flags);
    if (result < 0 && gw_lv_last_code() != VIR_ERR_NO_DOMAIN)
        return checked(result, error);
    return gw_lv_undefined(ptr, uuid, xml, autostart != 0, error);
}

gboolean gw_lv_op_undefine(GwLvTask *task, GwReply *reply, GError **error)
{
    GError *why = NULL;
    g_autoptr(virDomain) domain = gw_lv_find(task, &why);

    if (why != NULL) {
        g_propagate_error(error, why);
        return FALSE;
    }
    if (domain == NULL)
        return TRUE;
    int active = virDomainIsActive(domain);
    if (active < 0)
        return checked(active, error);
    if (active > 0) {
        /* libvirt would make a running VM transient, so that its definition ends with it. */
        gw_error_set(error, GW_ERR_CONFLICT, "Shut it down, or leave its definition.",
                     "the VM is active on this host");
        return FALSE;
    }
    return undefine(task->conn->ptr, domain, task->request->vm_uuid, error);
}

gboolean gw_lv_op_define(GwLvTask *task, GwReply *reply, GError **error)
{
    const char *xml = task->request->text != NULL ? task->request->text : "";
    g_autofree char *uuid = gw_libvirt_uuid_from_xml(xml, error);
    if (uuid == NULL)
        return FALSE;

    /* A definition that is there may have been changed since @text was read: it stays. */
    g_autoptr(virDomain) there = virDomainLookupByUUIDString(task->conn->ptr, uuid);
    if (there == NULL && gw_lv_last_code() != VIR_ERR_NO_DOMAIN)
        return checked(-1, error);
    if (there != NULL && virDomainIsPersistent(there) == 1)
        return TRUE;
    g_autoptr(virDomain) defined = virDomainDefineXMLFlags(task->conn->ptr, xml, 0);
    return checked(defined != NULL ? 0 : -1, error);
}

gboolean gw_lv_op_autostart(GwLvTask *task, GwReply *reply, GError **error)
{
    g_autoptr(virDomain) domain = gw_lv_need(task, error);

    return domain != NULL &&
           checked(virDomainSetAutostart(domain, task->request->number != 0 ? 1 : 0), error);
}

gboolean gw_lv_op_start(GwLvTask *task, GwReply *reply, GError **error)
{
    g_autoptr(virDomain) domain = gw_lv_need(task, error);

    if (domain == NULL)
        return FALSE;
    if (virDomainIsActive(domain) == 1) {
        gw_error_set(error, GW_ERR_CONFLICT, NULL, "the VM is already active on this host");
        return FALSE;
    }
    return checked(virDomainCreateWithFlags(domain, VIR_DOMAIN_NONE), error);
}
