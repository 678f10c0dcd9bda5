/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/route.h"

#define COLLECTION "hosts"

static void keys(gconstpointer item, const char *out[3])
{
    const GwHost *host = item;
    out[0] = host->name != NULL ? host->name : "";
    out[1] = host->id;
}

static gboolean list_hosts(GwCall *call, GError **error)
{
    static const GwPageKind kind = { .record = &gw_host_record, .keys = keys };
    return gw_call_answer_page(call, &kind, gw_fabric_list_hosts(call->fabric), error);
}

static const GwHost *find(GwCall *call, GError **error)
{
    const GwHost *host = gw_fabric_find_host(call->fabric, call->id);

    if (host == NULL)
        gw_call_not_found(call, "host", COLLECTION, error);
    return host;
}

static gboolean get_host(GwCall *call, GError **error)
{
    const GwHost *host = find(call, error);
    return host != NULL && gw_call_answer(call, 200, &gw_host_record, host);
}

/* What the body does not say keeps the product's default, which is not always zero. */
static gboolean add_host(GwCall *call, GError **error)
{
    g_autoptr(GwHost) wanted = gw_host_new_default();

    if (!gw_record_patch(&gw_host_record, wanted, call->json, error))
        return FALSE;
    g_autoptr(GwHost) added = gw_engine_add_host(call->engine, wanted, error);
    return added != NULL &&
           gw_call_answer_at(call, 201, COLLECTION, added->id, &gw_host_record, added);
}

/* The host, claimed and as If-Match wants it. */
static const GwHost *find_for_change(GwCall *call, GError **error)
{
    const GwHost *host = find(call, error);
    if (host == NULL)
        return NULL;
    g_autofree char *claim = g_strconcat("host:", host->id, NULL);
    if (!gw_call_claim(call, claim, error))
        return NULL;
    gw_call_refresh(call);
    host = find(call, error);
    return host != NULL && gw_call_check_match(call, &gw_host_record, host, error) ? host : NULL;
}

static gboolean edit(gpointer host, gpointer user, GError **error)
{
    GwCall *call = user;

    return gw_call_check_match(call, &gw_host_record, host, error) &&
           gw_record_patch(&gw_host_record, host, call->json, error);
}

static gboolean change_host(GwCall *call, GError **error)
{
    const GwHost *host = find_for_change(call, error);
    if (host == NULL)
        return FALSE;
    g_autoptr(GwHost) changed = gw_engine_change_host(call->engine, host->id, edit, call, error);
    return changed != NULL && gw_call_answer(call, 200, &gw_host_record, changed);
}

static gboolean remove_host(GwCall *call, GError **error)
{
    const GwHost *host = find_for_change(call, error);
    return host != NULL && gw_engine_remove_host(call->engine, host->id, error) &&
           gw_call_answer_empty(call);
}

static gboolean refresh_host(GwCall *call, GError **error)
{
    const GwHost *host = find(call, error);
    if (host == NULL || !gw_engine_refresh_host(call->engine, host->id, error))
        return FALSE;
    gw_call_refresh(call);
    host = find(call, error);
    return host != NULL && gw_call_answer(call, 200, &gw_host_record, host);
}

static gboolean check_host(GwCall *call, GError **error)
{
    const GwCheckRequest *wanted = call->record;
    const GwHost *host = find(call, error);
    const char *peer = wanted->peer != NULL && *wanted->peer != '\0' ? wanted->peer : NULL;

    if (host == NULL)
        return FALSE;
    g_autoptr(GPtrArray) lines = gw_engine_check_host(call->engine, host->id, peer, error);
    return lines != NULL && gw_call_answer_items(call, &gw_check_line_record, lines);
}

static gboolean set_maintenance(GwCall *call, GError **error)
{
    const GwMaintenanceRequest *wanted = call->record;
    const GwHost *host = find_for_change(call, error);

    if (host == NULL)
        return FALSE;
    g_autoptr(GwHost) changed =
        gw_engine_set_maintenance(call->engine, host->id, wanted->on, error);
    return changed != NULL && gw_call_answer(call, 200, &gw_host_record, changed);
}

static gboolean list_leaving(GwCall *call, GError **error)
{
    const GwHost *host = find(call, error);
    if (host == NULL)
        return FALSE;
    g_autoptr(GPtrArray) all = gw_engine_leaving(call->engine, host->id, error);
    return all != NULL && gw_call_answer_items(call, &gw_leaving_record, all);
}

static gboolean list_locations(GwCall *call, GError **error)
{
    const GwHost *host = find(call, error);
    if (host == NULL)
        return FALSE;
    g_autoptr(GPtrArray) locations = gw_engine_locations(call->engine, host->id, error);
    return locations != NULL && gw_call_answer_items(call, &gw_storage_location_record, locations);
}

static const GwParam page_params[] = { GW_PAGE_PARAMS, { .name = NULL } };

const GwRoute gw_host_routes[] = {
    {
        .method = "GET",
        .path = "/api/v1/hosts",
        .operation = "listHosts",
        .role = GW_ROLE_READ,
        .query = page_params,
        .answers = { { 200, GW_ANSWER_PAGE, &gw_host_record, "Hosts by name." } },
        .summary = "List the managed hosts, with their limits and current use.",
        .requirement = "R23",
        .handler = list_hosts,
    },
    {
        .method = "POST",
        .path = "/api/v1/hosts",
        .operation = "addHost",
        .role = GW_ROLE_ADMINISTER,
        .body = &gw_host_record,
        .answers = { { 201, GW_ANSWER_RECORD, &gw_host_record, "The host." } },
        .summary = "Add a host by its libvirt URI; it is connected to first.",
        .requirement = "R51",
        .handler = add_host,
    },
    {
        .method = "GET",
        .path = "/api/v1/hosts/{id}",
        .operation = "getHost",
        .role = GW_ROLE_READ,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_host_record, "The host." } },
        .summary = "Read a host, by id or name.",
        .requirement = "R32",
        .handler = get_host,
    },
    {
        .method = "PATCH",
        .path = "/api/v1/hosts/{id}",
        .operation = "changeHost",
        .role = GW_ROLE_ADMINISTER,
        .body = &gw_host_record,
        .merge = TRUE,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_host_record, "The host as it is now." } },
        .summary =
            "Change a host's settings: limits, speed, default storage, tags, reserves, URI, group.",
        .requirement = "R20",
        .handler = change_host,
    },
    {
        .method = "DELETE",
        .path = "/api/v1/hosts/{id}",
        .operation = "removeHost",
        .role = GW_ROLE_ADMINISTER,
        .answers = { { 204, GW_ANSWER_EMPTY, NULL, "It is no longer managed." } },
        .summary = "End the management of a host; its VMs go on running.",
        .requirement = "R51",
        .handler = remove_host,
    },
    {
        .method = "POST",
        .path = "/api/v1/hosts/{id}/refresh",
        .operation = "refreshHost",
        .role = GW_ROLE_OPERATE,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_host_record, "The host as read anew." } },
        .summary = "Ask the host anew for everything it has.",
        .requirement = "R32",
        .handler = refresh_host,
    },
    {
        .method = "POST",
        .path = "/api/v1/hosts/{id}/check",
        .operation = "checkHost",
        .role = GW_ROLE_OPERATE,
        .body = &gw_check_request_record,
        .answers = { { 200, GW_ANSWER_ITEMS, &gw_check_line_record, "What was tried." } },
        .summary = "Try for real what a move between this host and a peer needs.",
        .requirement = "R51",
        .handler = check_host,
    },
    {
        .method = "POST",
        .path = "/api/v1/hosts/{id}/maintenance",
        .operation = "setHostMaintenance",
        .role = GW_ROLE_OPERATE,
        .body = &gw_maintenance_request_record,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_host_record, "The host as it is now." } },
        .summary = "Give a host no VM any more, or let it take VMs again; nothing is moved.",
        .requirement = "R49",
        .handler = set_maintenance,
    },
    {
        .method = "GET",
        .path = "/api/v1/hosts/{id}/leaving",
        .operation = "listLeaving",
        .role = GW_ROLE_READ,
        .answers = { { 200, GW_ANSWER_ITEMS, &gw_leaving_record,
                       "Its VMs, those that stay first." } },
        .summary = "What could not leave this host now, and why.",
        .requirement = "R49",
        .handler = list_leaving,
    },
    {
        .method = "GET",
        .path = "/api/v1/hosts/{id}/storage-locations",
        .operation = "listStorageLocations",
        .role = GW_ROLE_READ,
        .answers = { { 200, GW_ANSWER_ITEMS, &gw_storage_location_record,
                       "Default locations first, then by free space." } },
        .summary = "List where disks can go on a host, and how much room is left there.",
        .requirement = "R16",
        .handler = list_locations,
    },
    { .method = NULL },
};
