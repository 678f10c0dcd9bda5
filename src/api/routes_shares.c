/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/route.h"

#define COLLECTION "shares"

static void keys(gconstpointer item, const char *out[3])
{
    const GwShare *share = item;
    out[0] = share->name;
    out[1] = share->id;
}

static gboolean list_shares(GwCall *call, GError **error)
{
    static const GwPageKind kind = { .record = &gw_share_record, .keys = keys };
    return gw_call_answer_page(call, &kind, gw_fabric_list_shares(call->fabric), error);
}

static const GwShare *find(GwCall *call, GError **error)
{
    const GwShare *share = gw_fabric_find_share(call->fabric, call->id);

    if (share == NULL)
        gw_call_not_found(call, "share", COLLECTION, error);
    return share;
}

static gboolean get_share(GwCall *call, GError **error)
{
    const GwShare *share = find(call, error);
    return share != NULL && gw_call_answer(call, 200, &gw_share_record, share);
}

static gboolean add_share(GwCall *call, GError **error)
{
    g_autoptr(GwJob) job = gw_engine_add_share(call->engine, call->record, call->user, error);
    return job != NULL && gw_call_answer_at(call, 202, "jobs", job->id, &gw_job_record, job);
}

static gboolean prove_share(GwCall *call, GError **error)
{
    const GwShare *share = find(call, error);
    if (share == NULL)
        return FALSE;
    g_autoptr(GwJob) job = gw_engine_prove_share(call->engine, share->id, call->user, error);
    return job != NULL && gw_call_answer_at(call, 202, "jobs", job->id, &gw_job_record, job);
}

static gboolean remove_share(GwCall *call, GError **error)
{
    const GwShare *share = find(call, error);
    return share != NULL && gw_call_check_match(call, &gw_share_record, share, error) &&
           gw_engine_remove_share(call->engine, share->id, error) && gw_call_answer_empty(call);
}

static const GwParam page_params[] = { GW_PAGE_PARAMS, { .name = NULL } };

const GwRoute gw_share_routes[] = {
    {
        .method = "GET",
        .path = "/api/v1/shares",
        .operation = "listShares",
        .role = GW_ROLE_READ,
        .query = page_params,
        .answers = { { 200, GW_ANSWER_PAGE, &gw_share_record, "Shares by name." } },
        .summary = "List the directories declared shared.",
        .requirement = "R2",
        .handler = list_shares,
    },
    {
        .method = "POST",
        .path = "/api/v1/shares",
        .operation = "addShare",
        .role = GW_ROLE_ADMINISTER,
        .body = &gw_share_record,
        .answers = { { 202, GW_ANSWER_RECORD, &gw_job_record, "The job that proves it." } },
        .summary = "Declare a directory shared between hosts, and prove it.",
        .requirement = "R2",
        .handler = add_share,
    },
    {
        .method = "GET",
        .path = "/api/v1/shares/{id}",
        .operation = "getShare",
        .role = GW_ROLE_READ,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_share_record, "The share." } },
        .summary = "Read a share, by id or name.",
        .requirement = "R2",
        .handler = get_share,
    },
    {
        .method = "DELETE",
        .path = "/api/v1/shares/{id}",
        .operation = "removeShare",
        .role = GW_ROLE_ADMINISTER,
        .answers = { { 204, GW_ANSWER_EMPTY, NULL, "It is no longer taken as shared." } },
        .summary = "Withdraw the declaration; no file is touched.",
        .requirement = "R2",
        .handler = remove_share,
    },
    {
        .method = "POST",
        .path = "/api/v1/shares/{id}/prove",
        .operation = "proveShare",
        .role = GW_ROLE_OPERATE,
        .answers = { { 202, GW_ANSWER_RECORD, &gw_job_record, "The job that proves it." } },
        .summary = "Prove a share again.",
        .requirement = "R2",
        .handler = prove_share,
    },
    { .method = NULL },
};
