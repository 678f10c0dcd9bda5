/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/route.h"
#include "base/error.h"

#define COLLECTION "kept-volumes"

/* Identifiers are in the order of time: newest first, as the list is sorted. */
static void keys(gconstpointer item, const char *out[3])
{
    out[0] = ((const GwKeptVolume *)item)->id;
}

static gboolean keeps(const GwKeptVolume *kept, const char *vm, const char *host_id)
{
    return (vm == NULL || g_strcmp0(kept->vm_uuid, vm) == 0 || g_strcmp0(kept->vm_name, vm) == 0) &&
           (host_id == NULL || g_strcmp0(kept->host_id, host_id) == 0);
}

static gboolean list_kept(GwCall *call, GError **error)
{
    static const GwPageKind kind = { .record = &gw_kept_volume_record,
                                     .keys = keys,
                                     .descending = TRUE };
    const char *vm = gw_call_query(call, "vm");
    const char *which = gw_call_query(call, "host");
    const GwHost *host = which != NULL ? gw_fabric_find_host(call->fabric, which) : NULL;
    guint left = 0;

    if (which != NULL && host == NULL) {
        gw_error_set(error, GW_ERR_NOT_FOUND, "List them: GET /api/v1/hosts.", "no host '%.300s'",
                     which);
        return FALSE;
    }
    GPtrArray *all = gw_fabric_list_kept(call->fabric);
    for (guint i = 0; i < all->len; i++) {
        if (keeps(all->pdata[i], vm, host != NULL ? host->id : NULL))
            all->pdata[left++] = all->pdata[i];
    }
    g_ptr_array_set_size(all, (int)left);
    return gw_call_answer_page(call, &kind, all, error);
}

static const GwKeptVolume *find(GwCall *call, GError **error)
{
    const GwKeptVolume *kept = g_hash_table_lookup(call->fabric->kept, call->id);

    if (kept == NULL)
        gw_call_not_found(call, "kept volume", COLLECTION, error);
    return kept;
}

static gboolean get_kept(GwCall *call, GError **error)
{
    const GwKeptVolume *kept = find(call, error);
    return kept != NULL && gw_call_answer(call, 200, &gw_kept_volume_record, kept);
}

static gboolean remove_kept(GwCall *call, GError **error)
{
    const GwKeptVolume *kept = find(call, error);

    if (kept == NULL || !gw_call_check_match(call, &gw_kept_volume_record, kept, error))
        return FALSE;
    g_autoptr(GwJob) job = gw_engine_remove_kept(call->engine, kept->id, call->user, error);
    return job != NULL && gw_call_answer_at(call, 202, "jobs", job->id, &gw_job_record, job);
}

static const GwParam list_params[] = {
    { "vm", "string", "Only those of this VM, by UUID or name." },
    { "host", "string", "Only those on this host, by id or name." },
    GW_PAGE_PARAMS,
    { .name = NULL },
};

const GwRoute gw_kept_routes[] = {
    {
        .method = "GET",
        .path = "/api/v1/kept-volumes",
        .operation = "listKeptVolumes",
        .role = GW_ROLE_READ,
        .query = list_params,
        .answers = { { 200, GW_ANSWER_PAGE, &gw_kept_volume_record, "Old copies, newest first." } },
        .summary = "List the old copies of moved disks that are kept for Undo.",
        .requirement = "R14",
        .handler = list_kept,
    },
    {
        .method = "GET",
        .path = "/api/v1/kept-volumes/{id}",
        .operation = "getKeptVolume",
        .role = GW_ROLE_READ,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_kept_volume_record, "The old copy." } },
        .summary = "Read which disk's old copy it is, where it is, and until when.",
        .requirement = "R14",
        .handler = get_kept,
    },
    {
        .method = "DELETE",
        .path = "/api/v1/kept-volumes/{id}",
        .operation = "removeKeptVolume",
        .role = GW_ROLE_OPERATE,
        .answers = { { 202, GW_ANSWER_RECORD, &gw_job_record, "The job that removes it." } },
        .summary = "Remove an old copy before its time; Undo must then copy the whole disk.",
        .requirement = "R14",
        .handler = remove_kept,
    },
    { .method = NULL },
};
