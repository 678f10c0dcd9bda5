/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper/hyper.h"

static const char *const op_words[GW_OP_COUNT] = {
    [GW_OP_CONNECT] = "connect",
    [GW_OP_DISCONNECT] = "disconnect",
    [GW_OP_FACTS] = "facts",
    [GW_OP_LIST_VMS] = "list-vms",
    [GW_OP_GET_VM] = "get-vm",
    [GW_OP_USAGE] = "usage",
    [GW_OP_DIRTY_START] = "dirty-start",
    [GW_OP_DIRTY_READ] = "dirty-read",
    [GW_OP_GET_XML] = "get-xml",
    [GW_OP_LOOK] = "look",
    [GW_OP_CPU_COMPARE] = "cpu-compare",
    [GW_OP_CPU_BASELINE] = "cpu-baseline",
    [GW_OP_MIGRATE] = "migrate",
    [GW_OP_PROGRESS] = "progress",
    [GW_OP_STATS] = "stats",
    [GW_OP_ABORT] = "abort",
    [GW_OP_SET_BANDWIDTH] = "set-bandwidth",
    [GW_OP_SET_DOWNTIME] = "set-downtime",
    [GW_OP_POST_COPY] = "post-copy",
    [GW_OP_RESUME] = "resume",
    [GW_OP_PAUSE] = "pause",
    [GW_OP_DESTROY] = "destroy",
    [GW_OP_UNDEFINE] = "undefine",
    [GW_OP_DEFINE] = "define",
    [GW_OP_AUTOSTART] = "autostart",
    [GW_OP_START] = "start",
    [GW_OP_MARKER_WRITE] = "marker-write",
    [GW_OP_MARKER_READ] = "marker-read",
    [GW_OP_MARKER_REMOVE] = "marker-remove",
    [GW_OP_LOCK_HOLD] = "lock-hold",
    [GW_OP_LOCK_DROP] = "lock-drop",
    [GW_OP_POOL_LOOK] = "pool-look",
    [GW_OP_VOLUME_LOOK] = "volume-look",
    [GW_OP_VOLUME_CREATE] = "volume-create",
    [GW_OP_VOLUME_DELETE] = "volume-delete",
    [GW_OP_VOLUME_PROVE] = "volume-prove",
    [GW_OP_VOLUME_COPY] = "volume-copy",
    [GW_OP_COPY_PROGRESS] = "copy-progress",
    [GW_OP_COPY_ABORT] = "copy-abort",
    [GW_OP_BLOCK_COPY] = "block-copy",
    [GW_OP_BLOCK_PROGRESS] = "block-progress",
    [GW_OP_BLOCK_PIVOT] = "block-pivot",
    [GW_OP_BLOCK_ABORT] = "block-abort",
    [GW_OP_DEFINE_FROM] = "define-from",
    [GW_OP_REACH] = "reach",
    [GW_OP_SNAPSHOTS] = "snapshots",
    [GW_OP_SNAPSHOTS_FORGET] = "snapshots-forget",
    [GW_OP_SNAPSHOTS_REMEMBER] = "snapshots-remember",
    [GW_OP_OVERLAY] = "overlay",
    [GW_OP_MERGE] = "merge",
    [GW_OP_HBA_LOOK] = "hba-look",
    [GW_OP_HBA_STOP] = "hba-stop",
    [GW_OP_HBA_START] = "hba-start",
    [GW_OP_PERMIT] = "permit",
    [GW_OP_CLOSE] = "close",
    [GW_OP_MEASURE] = "measure",
    [GW_OP_CHECK] = "check",
    [GW_OP_REVOKED] = "revoked",
    [GW_OP_RENEW] = "renew",
};

const char *gw_op_word(GwOp op)
{
    return (guint)op < GW_OP_COUNT ? op_words[op] : "unknown";
}

GwRequest *gw_request_new(GwOp op, const char *host_id, const char *vm_uuid)
{
    GwRequest *request = g_new0(GwRequest, 1);
    request->op = op;
    request->host_id = g_strdup(host_id);
    request->vm_uuid = g_strdup(vm_uuid);
    return request;
}

void gw_request_free(GwRequest *request)
{
    if (request == NULL)
        return;
    g_free(request->host_id);
    g_free(request->vm_uuid);
    g_free(request->text);
    g_free(request->text2);
    gw_migrate_free(request->migrate);
    gw_permit_free(request->permit);
    gw_copy_free(request->copy);
    gw_volume_free(request->volume);
    gw_disk_free(request->disk);
    g_clear_pointer(&request->disks, g_ptr_array_unref);
    g_clear_pointer(&request->nics, g_ptr_array_unref);
    g_free(request->nics_xml);
    gw_hba_move_free(request->hba);
    g_free(request->peer_host_id);
    g_strfreev(request->definitions);
    g_free(request);
}

GwMigrate *gw_migrate_copy(const GwMigrate *migrate)
{
    GwMigrate *copy = g_memdup2(migrate, sizeof *migrate);
    copy->destination_host_id = g_strdup(migrate->destination_host_id);
    copy->peer_uri = g_strdup(migrate->peer_uri);
    copy->migration_uri = g_strdup(migrate->migration_uri);
    copy->disks_uri = g_strdup(migrate->disks_uri);
    copy->compression = g_strdup(migrate->compression);
    copy->disks = migrate->disks != NULL ? g_ptr_array_ref(migrate->disks) : NULL;
    copy->nics = migrate->nics != NULL ? g_ptr_array_ref(migrate->nics) : NULL;
    copy->nics_xml = g_strdup(migrate->nics_xml);
    return copy;
}

void gw_migrate_free(GwMigrate *migrate)
{
    if (migrate == NULL)
        return;
    g_free(migrate->destination_host_id);
    g_free(migrate->peer_uri);
    g_free(migrate->migration_uri);
    g_free(migrate->disks_uri);
    g_free(migrate->compression);
    g_clear_pointer(&migrate->disks, g_ptr_array_unref);
    g_clear_pointer(&migrate->nics, g_ptr_array_unref);
    g_free(migrate->nics_xml);
    g_free(migrate);
}

GwCopy *gw_copy_copy(const GwCopy *copy)
{
    GwCopy *other = g_memdup2(copy, sizeof *copy);
    other->id = g_strdup(copy->id);
    other->from_host_id = g_strdup(copy->from_host_id);
    other->from = gw_volume_copy(copy->from);
    other->to_host_id = g_strdup(copy->to_host_id);
    other->to = gw_volume_copy(copy->to);
    other->permit = copy->permit != NULL ? gw_permit_copy(copy->permit) : NULL;
    return other;
}

void gw_copy_free(GwCopy *copy)
{
    if (copy == NULL)
        return;
    g_free(copy->id);
    g_free(copy->from_host_id);
    gw_volume_free(copy->from);
    g_free(copy->to_host_id);
    gw_volume_free(copy->to);
    gw_permit_free(copy->permit);
    g_free(copy);
}

GwPermit *gw_permit_copy(const GwPermit *permit)
{
    GwPermit *copy = g_memdup2(permit, sizeof *permit);
    copy->job_id = g_strdup(permit->job_id);
    copy->vm_uuid = g_strdup(permit->vm_uuid);
    copy->vm_name = g_strdup(permit->vm_name);
    copy->source_host_id = g_strdup(permit->source_host_id);
    copy->destination_host_id = g_strdup(permit->destination_host_id);
    copy->destination_address = g_strdup(permit->destination_address);
    return copy;
}

void gw_permit_free(GwPermit *permit)
{
    if (permit == NULL)
        return;
    g_free(permit->job_id);
    g_free(permit->vm_uuid);
    g_free(permit->vm_name);
    g_free(permit->source_host_id);
    g_free(permit->destination_host_id);
    g_free(permit->destination_address);
    g_free(permit);
}

void gw_paths_free(GwPaths *paths)
{
    if (paths == NULL)
        return;
    g_free(paths->peer_uri);
    g_free(paths->migration_uri);
    g_free(paths->disks_uri);
    g_free(paths);
}

GwReply *gw_reply_new(guint64 id)
{
    GwReply *reply = g_new0(GwReply, 1);
    reply->id = id;
    reply->dirty_bps = -1;
    return reply;
}

void gw_look_free(GwLook *look)
{
    if (look == NULL)
        return;
    g_free(look->reason);
    g_free(look);
}

void gw_reply_free(GwReply *reply)
{
    if (reply == NULL)
        return;
    g_clear_error(&reply->error);
    gw_host_facts_free(reply->facts);
    gw_host_usage_free(reply->usage);
    g_clear_pointer(&reply->vms, g_ptr_array_unref);
    gw_look_free(reply->look);
    gw_progress_free(reply->progress);
    gw_move_result_free(reply->result);
    gw_paths_free(reply->paths);
    gw_link_facts_free(reply->link);
    g_clear_pointer(&reply->lines, g_ptr_array_unref);
    gw_pool_free(reply->pool);
    gw_cpu_free(reply->cpu);
    gw_virtual_hba_free(reply->hba);
    g_clear_pointer(&reply->volumes, g_ptr_array_unref);
    gw_copy_result_free(reply->copied);
    g_strfreev(reply->definitions);
    g_free(reply->text);
    g_free(reply->why);
    g_free(reply);
}

GwHyperEvent *gw_hyper_event_new(GwHyperEventKind kind, const char *host_id, const char *vm_uuid)
{
    GwHyperEvent *event = g_new0(GwHyperEvent, 1);
    event->kind = kind;
    event->host_id = g_strdup(host_id);
    event->vm_uuid = g_strdup(vm_uuid);
    return event;
}

void gw_hyper_event_free(GwHyperEvent *event)
{
    if (event == NULL)
        return;
    g_free(event->host_id);
    g_free(event->vm_uuid);
    g_free(event->text);
    g_free(event->text2);
    g_free(event);
}
