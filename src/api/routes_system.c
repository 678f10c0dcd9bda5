/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/events.h"
#include "api/internal.h"
#include "api/route.h"

static gboolean get_health(GwCall *call, GError **error)
{
    GwHealth health = { (char *)"ok" };
    return gw_call_answer(call, 200, &gw_health_record, &health);
}

static gboolean get_openapi(GwCall *call, GError **error)
{
    g_autofree char *hash =
        g_compute_checksum_for_string(G_CHECKSUM_SHA256, call->api->openapi, -1);
    g_autofree char *etag = g_strdup_printf("\"%.16s\"", hash);

    if (gw_call_not_modified(call, etag))
        return TRUE;
    call->reply.status = 200;
    call->reply.content_type = "application/json";
    call->reply.body = g_string_new(call->api->openapi);
    return TRUE;
}

static void count_hosts(const GwFabric *fabric, GwStatus *status)
{
    GHashTableIter iter;
    gpointer value;

    status->groups = g_hash_table_size(fabric->groups);
    status->hosts = g_hash_table_size(fabric->hosts);
    status->shares = g_hash_table_size(fabric->shares);
    g_hash_table_iter_init(&iter, fabric->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        status->hosts_not_responding += ((GwHost *)value)->status == GW_HOST_NOT_RESPONDING;
}

static void count_vms(const GwFabric *fabric, GwStatus *status)
{
    GHashTableIter hosts, iter;
    gpointer table, value;

    g_hash_table_iter_init(&hosts, fabric->vms);
    while (g_hash_table_iter_next(&hosts, NULL, &table)) {
        status->vms += g_hash_table_size(table);
        g_hash_table_iter_init(&iter, table);
        while (g_hash_table_iter_next(&iter, NULL, &value))
            status->vms_running += gw_vm_is_running(value);
    }
}

static void count_jobs(const GwFabric *fabric, GwStatus *status)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        status->jobs_active += !gw_job_state_is_final(((GwJob *)value)->state);
        status->jobs_held += ((GwJob *)value)->state == GW_JOB_HELD;
    }
}

static gboolean get_status(GwCall *call, GError **error)
{
    g_autoptr(GwStatus) status = gw_status_new();

    status->version = g_strdup(GW_VERSION);
    status->started_at = g_strdup(call->api->started_at);
    status->user = g_strdup(call->user);
    status->fingerprint = g_strdup(call->api->fingerprint);
    status->revision = (gint64)call->fabric->revision;
    count_hosts(call->fabric, status);
    count_vms(call->fabric, status);
    count_jobs(call->fabric, status);
    return gw_call_answer(call, 200, &gw_status_record, status);
}

const GwRoute gw_system_routes[] = {
    {
        .method = "GET",
        .path = "/healthz",
        .operation = "getHealth",
        .role = GW_ROLE_PUBLIC,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_health_record, "It answers." } },
        .summary = "Say that the controller answers.",
        .requirement = "R49",
        .handler = get_health,
    },
    {
        .method = "GET",
        .path = "/api/v1/openapi.json",
        .operation = "getOpenapi",
        .role = GW_ROLE_PUBLIC,
        .answers = { { 200, GW_ANSWER_JSON, NULL, "OpenAPI 3.1." } },
        .summary = "Describe this API.",
        .requirement = "R43",
        .handler = get_openapi,
    },
    {
        .method = "GET",
        .path = "/api/v1/status",
        .operation = "getStatus",
        .role = GW_ROLE_READ,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_status_record, "Numbers." } },
        .summary = "Count what there is, and say whose token this is.",
        .requirement = "R47",
        .handler = get_status,
    },
    {
        .method = "GET",
        .path = "/api/v1/events",
        .operation = "followEvents",
        .role = GW_ROLE_READ,
        .answers = { { 200, GW_ANSWER_EVENTS, NULL,
                       "Events host, group, vm, share, job (data: the record, of a job without its "
                       "plan, or its id and removed), ready once, reset where events were "
                       "missed." } },
        .summary = "Follow all changes (server-sent events); Last-Event-ID resumes.",
        .requirement = "R6",
        .handler = gw_events_answer,
    },
    { .method = NULL },
};
