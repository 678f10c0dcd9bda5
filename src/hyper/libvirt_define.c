/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/libvirt_internal.h"
#include "model/definition.h"
#include "model/definition_nics.h"
#include "model/libvirt_xml.h"

/* Definitions that go from host to host: a VM's own, read with its secrets and written by the same
 * thread, and those of its snapshots. */

/* Definitions --------------------------------------------------------------------------------- */

/* NULL with @error unset: there is none. */
static virDomainPtr find(virConnectPtr ptr, const char *uuid, GError **error)
{
    virDomainPtr domain = virDomainLookupByUUIDString(ptr, uuid);

    if (domain == NULL && gw_lv_last_code() != VIR_ERR_NO_DOMAIN)
        gw_lv_error(error);
    return domain;
}

static gboolean is_here(virConnectPtr ptr, const char *uuid, GError **error)
{
    GError *why = NULL;
    g_autoptr(virDomain) domain = find(ptr, uuid, &why);

    if (why == NULL && (domain == NULL || virDomainIsPersistent(domain) != 1))
        gw_error_set(&why, GW_ERR_NOT_FOUND, "Look for the VM on both hosts.",
                     "neither host has a definition of the VM with UUID %s", uuid);
    if (why != NULL)
        g_propagate_error(error, why);
    return why == NULL;
}

char *gw_lv_with_nics(char *xml, const GPtrArray *nics, const char *saved, gboolean inactive,
                      GError **error)
{
    g_autofree char *before = xml;

    if (before == NULL || !gw_nic_moves_change(nics))
        return g_steal_pointer(&before);
    g_autofree char *there = inactive ? gw_definition_inactive_nics(before, nics, error)
                                      : gw_definition_with_nics(before, nics, error);
    if (there == NULL || saved == NULL)
        return g_steal_pointer(&there);
    return gw_definition_restore_nics(there, saved, nics, error);
}

/* The definition of @domain as it is to be, secrets included. Of a running VM it may lack disks
 * that were plugged in; one that is off has no others. */
static char *definition_of(virDomainPtr domain, const GwRequest *request, GError **error)
{
    guint flags = VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_MIGRATABLE;

    if (virDomainIsPersistent(domain) != 1) {
        gw_error_set(error, GW_ERR_CONFLICT, "Define the VM on its host (virsh define).",
                     "the VM has no definition that outlives it on its host");
        return NULL;
    }
    g_autofree char *xml = gw_lv_xml(domain, flags, error);
    if (xml == NULL)
        return NULL;
    gboolean active = virDomainIsActive(domain) == 1;
    char *there = active ? gw_definition_inactive(xml, request->disks, error)
                         : gw_definition_with_disks(xml, request->disks, error);
    return gw_lv_with_nics(there, request->nics, request->nics_xml, active, error);
}

/* Whether the process has @move's disk where that says; also what does not come into it. */
static gboolean is_moved(const char *live, const GwDiskMove *move)
{
    const GwImageMove *top =
        move->images != NULL && move->images->len > 0 ? move->images->pdata[0] : NULL;
    g_auto(GwLibvirtDisk) disk = { 0 };

    /* QEMU copied the others, and the process is on them. */
    if (top == NULL || top->to == NULL ||
        (move->how != GW_DISK_NETWORK && move->how != GW_DISK_FAST_COPY &&
         move->how != GW_DISK_CONVERT))
        return TRUE;
    if (!gw_libvirt_disk_from_xml(live, move->target, &disk, NULL))
        return FALSE;
    g_autofree char *name = top->to->pool != NULL && top->to->name != NULL
                                ? g_strconcat(top->to->pool, "/", top->to->name, NULL)
                                : NULL;
    return disk.source != NULL &&
           (g_strcmp0(disk.source, top->to->path) == 0 || g_strcmp0(disk.source, name) == 0);
}

/* A VM that was started since its disks were copied writes to the old ones. Were it defined with
 * the copies, it would lose that when it starts next. Where it runs on the copies, an earlier try
 * came through. */
static gboolean may_redefine(virDomainPtr domain, const GPtrArray *disks, gboolean *done,
                             GError **error)
{
    int active = virDomainIsActive(domain);

    *done = FALSE;
    if (active < 0)
        gw_lv_error(error);
    if (active <= 0)
        return active == 0;
    g_autofree char *live = gw_lv_xml(domain, 0, error);
    if (live == NULL)
        return FALSE;
    *done = disks != NULL && disks->len > 0;
    for (guint i = 0; disks != NULL && i < disks->len; i++) {
        const GwDiskMove *move = disks->pdata[i];
        if (is_moved(live, move))
            continue;
        gw_error_set(error, GW_ERR_CONFLICT,
                     "Move it as it runs, or shut it down and try again: its copies are old.",
                     "the VM was started, and runs on the old image of %s", move->target);
        return FALSE;
    }
    return TRUE;
}

static gboolean define_from(virConnectPtr here, virConnectPtr there, const GwRequest *request,
                            GError **error)
{
    GError *why = NULL;
    gboolean done = FALSE;
    g_autoptr(virDomain) domain = find(there, request->vm_uuid, &why);

    if (why != NULL) {
        g_propagate_error(error, why);
        return FALSE;
    }
    if (domain == NULL)
        return is_here(here, request->vm_uuid, error);
    if (here == there && !may_redefine(domain, request->disks, &done, error))
        return FALSE;
    if (done)
        return TRUE;
    g_autofree char *xml = definition_of(domain, request, error);
    if (xml == NULL)
        return FALSE;
    g_autoptr(virDomain) defined = virDomainDefineXMLFlags(here, xml, 0);
    if (defined == NULL)
        gw_lv_error(error);
    return defined != NULL;
}

gboolean gw_lv_op_define_from(GwLvTask *task, GwReply *reply, GError **error)
{
    const GwRequest *request = task->request;
    const char *peer = request->peer_host_id;

    if (request->vm_uuid == NULL || peer == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "no VM, or not said from which host");
        return FALSE;
    }
    g_autoptr(virConnect) here = gw_lv_dial_host(task, task->host->id, "this host", error);
    if (here == NULL)
        return FALSE;
    if (strcmp(peer, task->host->id) == 0)
        return define_from(here, here, request, error);
    g_autoptr(virConnect) there = gw_lv_dial_host(task, peer, "the other host", error);
    return there != NULL && define_from(here, there, request, error);
}

/* Snapshots ----------------------------------------------------------------------------------- */

static void free_snapshot(gpointer snapshot)
{
    virDomainSnapshotFree(snapshot);
}

/* virDomainSnapshotPtr, parents first; NULL with @error. */
static GPtrArray *list_snapshots(virDomainPtr domain, GError **error)
{
    virDomainSnapshotPtr *list = NULL;
    int count = virDomainListAllSnapshots(domain, &list, VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL);

    if (count < 0) {
        gw_lv_error(error);
        return NULL;
    }
    GPtrArray *snapshots = g_ptr_array_new_with_free_func(free_snapshot);
    for (int i = 0; i < count; i++)
        g_ptr_array_add(snapshots, list[i]);
    free(list);
    return snapshots;
}

static char *snapshot_xml(virDomainSnapshotPtr snapshot, guint flags, GError **error)
{
    char *xml = virDomainSnapshotGetXMLDesc(snapshot, flags);
    char *copy = g_strdup(xml);

    if (xml == NULL)
        gw_lv_error(error);
    free(xml);
    return copy;
}

/* What is answered is written down elsewhere, so it holds no password; and one that would be lost
 * would open what it guards when somebody goes back to the snapshot. */
static char *read_snapshot(virDomainSnapshotPtr snapshot, GError **error)
{
    g_autofree char *all = snapshot_xml(snapshot, VIR_DOMAIN_SNAPSHOT_XML_SECURE, error);
    g_autofree char *plain = all != NULL ? snapshot_xml(snapshot, 0, error) : NULL;

    if (plain == NULL)
        return NULL;
    if (strcmp(all, plain) == 0)
        return g_steal_pointer(&plain);
    gw_error_set(error, GW_ERR_UNSUPPORTED,
                 "Delete the snapshot, or define it anew without the password (virsh "
                 "snapshot-edit).",
                 "the definition inside snapshot '%s' has a password, which is not taken from its "
                 "host",
                 virDomainSnapshotGetName(snapshot));
    return NULL;
}

/* The name of the current one, or NULL. */
static char *current_name(virDomainPtr domain)
{
    g_autoptr(virDomainSnapshot) current =
        virDomainHasCurrentSnapshot(domain, 0) == 1 ? virDomainSnapshotCurrent(domain, 0) : NULL;

    return current != NULL ? g_strdup(virDomainSnapshotGetName(current)) : NULL;
}

gboolean gw_lv_op_snapshots(GwLvTask *task, GwReply *reply, GError **error)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_autoptr(virDomain) domain = gw_lv_need(task, error);
    g_autoptr(GPtrArray) snapshots = domain != NULL ? list_snapshots(domain, error) : NULL;

    if (snapshots == NULL)
        return FALSE;
    for (guint i = 0; i < snapshots->len; i++) {
        g_autofree char *xml = read_snapshot(snapshots->pdata[i], error);
        if (xml == NULL)
            return FALSE;
        g_strv_builder_add(builder, xml);
    }
    reply->definitions = g_strv_builder_end(builder);
    reply->text = current_name(domain);
    return TRUE;
}

gboolean gw_lv_op_snapshots_forget(GwLvTask *task, GwReply *reply, GError **error)
{
    GError *why = NULL;
    g_autoptr(virDomain) domain = gw_lv_find(task, &why);
    g_autoptr(GPtrArray) snapshots = domain != NULL ? list_snapshots(domain, &why) : NULL;

    /* Children first: the metadata of one that others grew from would hold them up. */
    for (guint i = snapshots != NULL ? snapshots->len : 0; i > 0 && why == NULL; i--) {
        virDomainSnapshotPtr snapshot = snapshots->pdata[i - 1];
        if (virDomainSnapshotDelete(snapshot, VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY) < 0 &&
            gw_lv_last_code() != VIR_ERR_NO_DOMAIN_SNAPSHOT)
            gw_lv_error(&why);
    }
    if (why != NULL)
        g_propagate_error(error, why);
    return why == NULL;
}

/* Whether @name is there, and current where it has to be. */
static gboolean is_remembered(virDomainPtr domain, const char *name, gboolean current)
{
    g_autoptr(virDomainSnapshot) there = virDomainSnapshotLookupByName(domain, name, 0);

    return there != NULL && (!current || virDomainSnapshotIsCurrent(there, 0) == 1);
}

static gboolean remember(virDomainPtr domain, const GwRequest *request, const char *text,
                         GError **error)
{
    guint flags = VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE;
    g_autofree char *name = gw_libvirt_snapshot_from_xml(text, error);
    gboolean current = name != NULL && g_strcmp0(name, request->text) == 0;

    if (name == NULL)
        return FALSE;
    if (is_remembered(domain, name, current))
        return TRUE;
    g_autofree char *xml = gw_lv_with_nics(gw_definition_snapshot(text, request->disks, error),
                                           request->nics, NULL, TRUE, error);
    if (xml == NULL) {
        g_prefix_error(error, "snapshot %s: ", name);
        return FALSE;
    }
    flags |= current ? VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT : 0;
    g_autoptr(virDomainSnapshot) made = virDomainSnapshotCreateXML(domain, xml, flags);
    if (made == NULL) {
        gw_lv_error(error);
        g_prefix_error(error, "snapshot %s: ", name);
    }
    return made != NULL;
}

gboolean gw_lv_op_snapshots_remember(GwLvTask *task, GwReply *reply, GError **error)
{
    const GwRequest *request = task->request;
    g_autoptr(virDomain) domain = gw_lv_need(task, error);

    if (domain == NULL)
        return FALSE;
    for (guint i = 0; request->definitions != NULL && request->definitions[i] != NULL; i++) {
        if (!remember(domain, request, request->definitions[i], error))
            return FALSE;
    }
    return TRUE;
}
