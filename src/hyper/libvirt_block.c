/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/libvirt_internal.h"
#include "model/definition.h"
#include "model/libvirt_xml.h"

/* Disks of a running VM that move within their host (R14), and images laid above and merged into
 * others. What is true is in the live definition: each act reads it first, and succeeds where what
 * it asks for is so already. */

#define ABORT_FIRST "Wait for that job, or abort it (virsh blockjob --abort)."

/* Looking ------------------------------------------------------------------------------------- */

typedef struct {
    virDomainPtr domain;
    gboolean active;
    char *xml; /* live, where it is active; without secrets */
    GwLibvirtDisk disk;
} Seen;

static void clear_seen(Seen *seen)
{
    if (seen->domain != NULL)
        virDomainFree(seen->domain);
    g_free(seen->xml);
    gw_libvirt_disk_clear(&seen->disk);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Seen, clear_seen)

static gboolean see_disk(GwLvTask *task, Seen *seen, GError **error)
{
    const char *target = task->request->text;

    if (target == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "no disk is named");
        return FALSE;
    }
    seen->domain = gw_lv_need(task, error);
    if (seen->domain == NULL)
        return FALSE;
    seen->active = virDomainIsActive(seen->domain) == 1;
    seen->xml = gw_lv_xml(seen->domain, 0, error);
    return seen->xml != NULL && gw_libvirt_disk_from_xml(seen->xml, target, &seen->disk, error);
}

static gboolean need_active(const Seen *seen, GError **error)
{
    if (!seen->active)
        gw_error_set(error, GW_ERR_CONFLICT, "Plan anew: the VM was shut down.",
                     "the VM is not running: its disks are not QEMU's to copy");
    return seen->active;
}

/* Where a volume of a pool is: libvirt's block jobs are told paths alone. */
static gboolean find_path(const Seen *seen, GwVolume *volume, GError **error)
{
    virConnectPtr ptr = virDomainGetConnect(seen->domain);
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByName(ptr, volume->pool);
    g_autoptr(virStorageVol) found =
        pool != NULL ? virStorageVolLookupByName(pool, volume->name) : NULL;
    char *path = found != NULL ? virStorageVolGetPath(found) : NULL;

    if (path == NULL) {
        gw_lv_error(error);
        g_prefix_error(error, "volume %s of pool %s: ", volume->name, volume->pool);
    }
    volume->path = g_strdup(path);
    free(path);
    return volume->path != NULL;
}

/* The request's volume, with a path. */
static gboolean need_volume(const GwRequest *request, const Seen *seen, GError **error)
{
    GwVolume *volume = request->volume;
    gboolean named =
        volume != NULL && (volume->path != NULL || (volume->pool != NULL && volume->name != NULL));

    if (named)
        return volume->path != NULL || find_path(seen, volume, error);
    gw_error_set(error, GW_ERR_INVALID, NULL, "disk %s: no image is named for it", request->text);
    return FALSE;
}

/* Whether @source, as a definition names it, is @volume. */
static gboolean is_volume(const char *source, const GwVolume *volume)
{
    g_autofree char *name = volume->pool != NULL && volume->name != NULL
                                ? g_strconcat(volume->pool, "/", volume->name, NULL)
                                : NULL;

    return source != NULL && (g_strcmp0(source, volume->path) == 0 || g_strcmp0(source, name) == 0);
}

/* The definition that outlives the process ---------------------------------------------------- */

static GPtrArray *as_move(const char *target, const GwVolume *volume)
{
    GPtrArray *disks = gw_record_array(&gw_disk_move_record);
    GwDiskMove *move = gw_disk_move_new();
    GwImageMove *image = gw_image_move_new();

    move->target = g_strdup(target);
    move->how = GW_DISK_BLOCK_COPY;
    move->images = gw_record_array(&gw_image_move_record);
    image->to = gw_volume_copy(volume);
    g_ptr_array_add(move->images, image);
    g_ptr_array_add(disks, move);
    return disks;
}

/* libvirt writes the new image into the inactive definition where that named the same old one as
 * the running VM; a disk that is named there by its pool is another to it. Were it left so, the VM
 * would start from the old image. */
static gboolean persist(virDomainPtr domain, const char *target, const GwVolume *volume,
                        GError **error)
{
    g_auto(GwLibvirtDisk) disk = { 0 };

    if (virDomainIsPersistent(domain) != 1)
        return TRUE;
    g_autofree char *xml =
        gw_lv_xml(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE, error);
    if (xml == NULL)
        return FALSE;
    if (!gw_libvirt_disk_from_xml(xml, target, &disk, NULL) || is_volume(disk.source, volume))
        return TRUE; /* plugged in for as long as it runs, or done */
    g_autoptr(GPtrArray) disks = as_move(target, volume);
    g_autofree char *changed = gw_definition_with_disks(xml, disks, error);
    if (changed == NULL)
        return FALSE;
    g_autoptr(virDomain) defined = virDomainDefineXMLFlags(virDomainGetConnect(domain), changed, 0);
    if (defined == NULL)
        gw_lv_error(error);
    return defined != NULL;
}

/* Copies -------------------------------------------------------------------------------------- */

/* A job that the task did not begin is left alone. */
static gboolean check_free(const Seen *seen, const char *target, GError **error)
{
    virDomainBlockJobInfo info = { 0 };

    if (seen->disk.mirror != NULL) {
        gw_error_set(error, GW_ERR_CONFLICT, ABORT_FIRST, "disk %s: a %s to %s runs on it already",
                     target, seen->disk.job != NULL ? seen->disk.job : "copy", seen->disk.mirror);
        return FALSE;
    }
    int result = virDomainGetBlockJobInfo(seen->domain, target, &info, 0);
    if (result > 0)
        gw_error_set(error, GW_ERR_CONFLICT, ABORT_FIRST, "disk %s: a %s runs on it already",
                     target, gw_lv_block_job(info.type));
    else if (result < 0)
        gw_lv_error(error);
    return result == 0;
}

static gboolean begin_copy(GwLvTask *task, const Seen *seen, GError **error)
{
    const GwRequest *request = task->request;
    g_auto(GwLvParams) params = { 0 };
    int size = 0;
    /* The image was made before. That the mirror does not outlive the process is how it is: a VM
     * that was shut down is on its old image, which is whole. */
    guint flags = VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB;
    g_autofree char *disk = gw_definition_disk(seen->xml, request->text, request->volume, error);

    if (disk == NULL)
        return FALSE;
    if (request->volume->backing_path != NULL)
        flags |= VIR_DOMAIN_BLOCK_COPY_SHALLOW;
    if (request->number > 0 &&
        virTypedParamsAddULLong(&params.list, &params.count, &size, VIR_DOMAIN_BLOCK_COPY_BANDWIDTH,
                                (guint64)MIN(request->number, G_MAXINT64 >> 20) << 20) < 0) {
        gw_lv_error(error);
        return FALSE;
    }
    gw_lv_block_begins(task->host, request->vm_uuid, request->text);
    if (virDomainBlockCopy(seen->domain, request->text, disk, params.list, params.count, flags) ==
        0)
        return TRUE;
    gw_lv_error(error);
    g_prefix_error(error, "disk %s: ", request->text);
    return FALSE;
}

gboolean gw_lv_op_block_copy(GwLvTask *task, GwReply *reply, GError **error)
{
    const GwRequest *request = task->request;
    g_auto(Seen) seen = { 0 };

    if (!see_disk(task, &seen, error) || !need_volume(request, &seen, error) ||
        !need_active(&seen, error))
        return FALSE;
    if (is_volume(seen.disk.source, request->volume))
        return TRUE;
    if (is_volume(seen.disk.mirror, request->volume) && g_strcmp0(seen.disk.job, "copy") == 0)
        return TRUE;
    return check_free(&seen, request->text, error) && begin_copy(task, &seen, error);
}

/* @info: of a job that runs. */
static GwProgress *progress_of(const Seen *seen, const virDomainBlockJobInfo *info)
{
    GwProgress *progress = gw_progress_new();
    gint64 end = (gint64)MIN(info->end, (guint64)G_MAXINT64);
    gint64 at = MIN((gint64)MIN(info->cur, (guint64)G_MAXINT64), end);

    progress->phase = g_strdup(seen->disk.ready ? "ready" : "disks");
    progress->disk_total_bytes = progress->total_bytes = end;
    progress->disk_processed_bytes = progress->processed_bytes = at;
    progress->disk_remaining_bytes = progress->remaining_bytes = end - at;
    progress->percent = end > 0 ? (gint64)((gdouble)at * 100.0 / (gdouble)end) : 0;
    progress->converging = TRUE;
    progress->eta_ms = -1;
    return progress;
}

/* Why no job runs, where anybody said. */
static char *why_none(GwLvTask *task, const Seen *seen)
{
    const GwRequest *request = task->request;

    return seen->active ? gw_lv_block_why(task->host, request->vm_uuid, request->text)
                        : g_strdup("the VM was shut down");
}

gboolean gw_lv_op_block_progress(GwLvTask *task, GwReply *reply, GError **error)
{
    virDomainBlockJobInfo info = { 0 };
    g_auto(Seen) seen = { 0 };

    if (!see_disk(task, &seen, error))
        return FALSE;
    int result =
        seen.active ? virDomainGetBlockJobInfo(seen.domain, task->request->text, &info, 0) : 0;
    /* Shut down in between: no job runs. */
    if (result < 0 && gw_lv_last_code() != VIR_ERR_OPERATION_INVALID) {
        gw_lv_error(error);
        return FALSE;
    }
    reply->text = g_strdup(seen.disk.source);
    if (result > 0)
        reply->progress = progress_of(&seen, &info);
    else
        reply->why = why_none(task, &seen);
    return TRUE;
}

/* Ends ---------------------------------------------------------------------------------------- */

/* libvirt's answer may come before the definition shows it, or be lost: what is there counts. */
static gboolean pivoted(GwLvTask *task, GError **error)
{
    const GwRequest *request = task->request;
    g_auto(Seen) seen = { 0 };

    if (!see_disk(task, &seen, error))
        return FALSE;
    if (is_volume(seen.disk.source, request->volume)) {
        gw_lv_block_forget(task->host, request->vm_uuid, request->text);
        return persist(seen.domain, request->text, request->volume, error);
    }
    gw_error_set(error, GW_ERR_OPERATION, "Look at the VM on its host; the disk is still whole.",
                 "disk %s: it is on %s after the pivot, required is %s", request->text,
                 seen.disk.source != NULL ? seen.disk.source : "nothing", request->volume->path);
    return FALSE;
}

gboolean gw_lv_op_block_pivot(GwLvTask *task, GwReply *reply, GError **error)
{
    const GwRequest *request = task->request;
    g_auto(Seen) seen = { 0 };

    if (!see_disk(task, &seen, error) || !need_volume(request, &seen, error))
        return FALSE;
    if (is_volume(seen.disk.source, request->volume))
        return persist(seen.domain, request->text, request->volume, error);
    if (!need_active(&seen, error))
        return FALSE;
    if (!is_volume(seen.disk.mirror, request->volume) || !seen.disk.ready) {
        gboolean none = seen.disk.mirror == NULL;
        g_autofree char *why = none ? why_none(task, &seen) : NULL;
        gw_error_set(error, GW_ERR_CONFLICT, "Begin the copy again, and wait until it is ready.",
                     "disk %s: %s%s%s, required is a copy to %s that is ready", request->text,
                     none ? "no copy of it runs" : "its copy is not ready", why != NULL ? ": " : "",
                     why != NULL ? why : "", request->volume->path);
        return FALSE;
    }
    if (virDomainBlockJobAbort(seen.domain, request->text, VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT) < 0) {
        gw_lv_error(error);
        g_prefix_error(error, "disk %s: ", request->text);
        return FALSE;
    }
    return pivoted(task, error);
}

gboolean gw_lv_op_block_abort(GwLvTask *task, GwReply *reply, GError **error)
{
    virDomainBlockJobInfo info = { 0 };
    g_auto(Seen) seen = { 0 };

    if (!see_disk(task, &seen, error))
        return FALSE;
    gw_lv_block_forget(task->host, task->request->vm_uuid, task->request->text);
    if (!seen.active || seen.disk.mirror == NULL)
        return TRUE;
    if (virDomainBlockJobAbort(seen.domain, task->request->text, 0) == 0)
        return TRUE;
    gw_lv_error(error);
    if (virDomainGetBlockJobInfo(seen.domain, task->request->text, &info, 0) == 0 ||
        virDomainIsActive(seen.domain) == 0) { /* it ended by itself */
        g_clear_error(error);
        return TRUE;
    }
    g_prefix_error(error, "disk %s: ", task->request->text);
    return FALSE;
}

/* Overlays ------------------------------------------------------------------------------------ */

/* <domainsnapshot> of one disk; all others are left as they are. */
static char *overlay_xml(const Seen *seen, const GwRequest *request, GError **error)
{
    g_auto(GStrv) targets = gw_libvirt_targets_from_xml(seen->xml, error);
    GString *xml = g_string_new("<domainsnapshot><disks>");

    for (guint i = 0; targets != NULL && targets[i] != NULL; i++) {
        g_autofree char *other =
            g_markup_printf_escaped("<disk name='%s' snapshot='no'/>", targets[i]);
        g_autofree char *this = g_markup_printf_escaped(
            "<disk name='%s' snapshot='external' type='file'><driver type='qcow2'/>"
            "<source file='%s'/></disk>",
            targets[i], request->volume->path);
        g_string_append(xml, strcmp(targets[i], request->text) == 0 ? this : other);
    }
    g_string_append(xml, "</disks></domainsnapshot>");
    return g_string_free(xml, targets == NULL);
}

gboolean gw_lv_op_overlay(GwLvTask *task, GwReply *reply, GError **error)
{
    const GwRequest *request = task->request;
    guint flags = VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA |
                  VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC;
    g_auto(Seen) seen = { 0 };

    if (!see_disk(task, &seen, error) || !need_volume(request, &seen, error) ||
        !need_active(&seen, error))
        return FALSE;
    if (is_volume(seen.disk.source, request->volume))
        return persist(seen.domain, request->text, request->volume, error);
    if (request->volume->path == NULL || !g_path_is_absolute(request->volume->path)) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "disk %s: its overlay has no absolute path",
                     request->text);
        return FALSE;
    }
    if (request->number == 1)
        flags |= VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT;
    if (!check_free(&seen, request->text, error))
        return FALSE;
    g_autofree char *xml = overlay_xml(&seen, request, error);
    if (xml == NULL)
        return FALSE;
    g_autoptr(virDomainSnapshot) made = virDomainSnapshotCreateXML(seen.domain, xml, flags);
    if (made == NULL) {
        gw_lv_error(error);
        g_prefix_error(error, "disk %s: ", request->text);
        return FALSE;
    }
    return pivoted(task, error);
}

gboolean gw_lv_op_merge(GwLvTask *task, GwReply *reply, GError **error)
{
    const GwRequest *request = task->request;
    guint flags = VIR_DOMAIN_BLOCK_COMMIT_ACTIVE | VIR_DOMAIN_BLOCK_COMMIT_SHALLOW;
    g_auto(Seen) seen = { 0 };

    if (!see_disk(task, &seen, error) || !need_active(&seen, error))
        return FALSE;
    if (seen.disk.mirror != NULL && g_strcmp0(seen.disk.job, "active-commit") == 0)
        return TRUE;
    /* The image that was laid above is no more the disk's: it was merged. Another chain of the
     * disk's owner is not ours to shorten. */
    if (request->volume != NULL && !is_volume(seen.disk.source, request->volume))
        return TRUE;
    if (seen.disk.backing_path == NULL)
        return TRUE;
    if (!check_free(&seen, request->text, error))
        return FALSE;
    gw_lv_block_begins(task->host, request->vm_uuid, request->text);
    if (virDomainBlockCommit(seen.domain, request->text, NULL, NULL, 0, flags) == 0)
        return TRUE;
    gw_lv_error(error);
    g_prefix_error(error, "disk %s: ", request->text);
    return FALSE;
}
