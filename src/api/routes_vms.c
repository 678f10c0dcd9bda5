/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/route.h"
#include "base/error.h"

static void keys(gconstpointer item, const char *out[3])
{
    const GwVm *vm = item;
    out[0] = vm->name != NULL ? vm->name : "";
    out[1] = vm->uuid;
    out[2] = vm->host_id;
}

static gboolean read_state(const GwCall *call, int *state, GError **error)
{
    const char *word = gw_call_query(call, "state");

    *state = word != NULL ? gw_enum_value(&gw_vm_state_enum, word) : -1;
    if (word == NULL || *state >= 0)
        return TRUE;
    g_autofree char *words = g_strjoinv(", ", (char **)gw_vm_state_enum.words);
    gw_error_set(error, GW_ERR_INVALID, NULL, "'state' must be one of: %s", words);
    return FALSE;
}

/* Keeps of @vms what name (a pattern with * and ?) and state ask for. */
static gboolean filter(const GwCall *call, GPtrArray *vms, GError **error)
{
    const char *name = gw_call_query(call, "name");
    g_autoptr(GPatternSpec) pattern = name != NULL ? g_pattern_spec_new(name) : NULL;
    int state = -1;
    guint kept = 0;

    if (!read_state(call, &state, error))
        return FALSE;
    for (guint i = 0; i < vms->len; i++) {
        const GwVm *vm = vms->pdata[i];
        if ((state < 0 || vm->state == state) &&
            (pattern == NULL || g_pattern_spec_match_string(pattern, vm->name)))
            vms->pdata[kept++] = vms->pdata[i];
    }
    g_ptr_array_set_size(vms, (int)kept);
    return TRUE;
}

static gboolean list_vms(GwCall *call, GError **error)
{
    static const GwPageKind kind = { .record = &gw_vm_record, .keys = keys };
    const char *which = gw_call_query(call, "host");
    const GwHost *host = which != NULL ? gw_fabric_find_host(call->fabric, which) : NULL;

    if (which != NULL && host == NULL) {
        gw_error_set(error, GW_ERR_NOT_FOUND, "List them: GET /api/v1/hosts.", "no host '%.300s'",
                     which);
        return FALSE;
    }
    g_autoptr(GPtrArray) vms = gw_fabric_list_vms(call->fabric, host != NULL ? host->id : NULL);
    return filter(call, vms, error) &&
           gw_call_answer_page(call, &kind, g_steal_pointer(&vms), error);
}

static gboolean get_vm(GwCall *call, GError **error)
{
    const GwVm *vm = gw_fabric_find_vm(call->fabric, call->id, error);
    return vm != NULL && gw_call_answer(call, 200, &gw_vm_record, vm);
}

static gboolean get_restart(GwCall *call, GError **error)
{
    g_autoptr(GwRestart) restart = gw_engine_restart(call->engine, call->id, error);
    return restart != NULL && gw_call_answer(call, 200, &gw_restart_record, restart);
}

static gboolean start(GwCall *call, GError **error)
{
    g_autoptr(GwVm) vm = gw_engine_start_vm(call->engine, call->id, error);
    return vm != NULL && gw_call_answer(call, 200, &gw_vm_record, vm);
}

/* Of placements, which has no brief, everything. */
static gboolean list_candidates(GwCall *call, GError **error)
{
    g_autoptr(GwMoveOptions) options = gw_move_options_new();
    gboolean brief = FALSE;

    if (!gw_call_query_bool(call, "copy_all", &options->copy_all, error) ||
        !gw_call_query_bool(call, "brief", &brief, error))
        return FALSE;
    options->storage = g_strdup(gw_call_query(call, "storage"));
    g_autoptr(GPtrArray) candidates =
        gw_engine_candidates(call->engine, call->id, options, brief, error);
    return candidates != NULL && gw_call_answer_items(call, &gw_candidate_record, candidates);
}

static gboolean plan(GwCall *call, GError **error)
{
    g_autoptr(GwMovePlan) planned =
        gw_engine_plan_move(call->engine, call->id, call->record, error);
    return planned != NULL && gw_call_answer(call, 200, &gw_move_plan_record, planned);
}

static gboolean migrate(GwCall *call, GError **error)
{
    gboolean dry_run = FALSE;
    g_autoptr(GwMovePlan) refused = NULL;

    if (!gw_call_query_bool(call, "dry_run", &dry_run, error))
        return FALSE;
    if (dry_run)
        return plan(call, error);
    g_autoptr(GwJob) job =
        gw_engine_migrate(call->engine, call->id, call->record, call->user, &refused, error);
    if (job != NULL)
        return gw_call_answer_at(call, 202, "jobs", job->id, &gw_job_record, job);
    return gw_call_refused(call, refused);
}

static gboolean migrate_storage(GwCall *call, GError **error)
{
    gboolean dry_run = FALSE;
    g_autoptr(GwMovePlan) refused = NULL;

    if (!gw_call_query_bool(call, "dry_run", &dry_run, error))
        return FALSE;
    if (dry_run) {
        g_autoptr(GwMovePlan) planned =
            gw_engine_plan_storage(call->engine, call->id, call->record, error);
        return planned != NULL && gw_call_answer(call, 200, &gw_move_plan_record, planned);
    }
    g_autoptr(GwJob) job = gw_engine_migrate_storage(call->engine, call->id, call->record,
                                                     call->user, &refused, error);
    if (job != NULL)
        return gw_call_answer_at(call, 202, "jobs", job->id, &gw_job_record, job);
    return gw_call_refused(call, refused);
}

static const GwParam list_params[] = {
    { "host", "string", "Only those of this host, by id or name." },
    { "name", "string", "Only those whose name matches this pattern (* and ?)." },
    { "state", "string", "Only those in this state, e.g. running." },
    GW_PAGE_PARAMS,
    { .name = NULL },
};

#define AS_IF_PARAMS                                                                               \
    { "storage", "string", "As if disks that cannot stay went there: a pool, or its path." },      \
    {                                                                                              \
        "copy_all", "boolean", "true: as if disks that both hosts reach were copied too."          \
    }

static const GwParam placements_params[] = {
    AS_IF_PARAMS,
    { .name = NULL },
};

static const GwParam candidates_params[] = {
    AS_IF_PARAMS,
    { "brief", "boolean",
      "true: without what only explains, the factors of ratings and the transfer types; and of "
      "long lists only the first 64 suitable hosts and the first 64 others in full: of the rest "
      "without disks, adapters and HBAs, and what is found alike on hosts that are alike has its "
      "rule and what that requires, but not what was observed." },
    { .name = NULL },
};

static const GwParam migrate_params[] = {
    { "dry_run", "boolean", "true: plan and check the move, and do nothing." },
    { .name = NULL },
};

const GwRoute gw_vm_routes[] = {
    {
        .method = "GET",
        .path = "/api/v1/vms",
        .operation = "listVms",
        .role = GW_ROLE_READ,
        .query = list_params,
        .answers = { { 200, GW_ANSWER_PAGE, &gw_vm_record, "VMs by name." } },
        .summary = "List the VMs of all hosts.",
        .requirement = "R7",
        .handler = list_vms,
    },
    {
        .method = "GET",
        .path = "/api/v1/vms/{id}",
        .operation = "getVm",
        .role = GW_ROLE_READ,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_vm_record, "The VM." } },
        .summary = "Read a VM, by UUID, by name, or as HOST%2FNAME (one path segment).",
        .requirement = "R7",
        .handler = get_vm,
    },
    {
        .method = "GET",
        .path = "/api/v1/vms/{id}/candidates",
        .operation = "listCandidates",
        .role = GW_ROLE_READ,
        .query = candidates_params,
        .answers = { { 200, GW_ANSWER_ITEMS, &gw_candidate_record, "Hosts, best first." } },
        .summary =
            "Check and rate every host as a destination: stars, transfer type, what forbids it.",
        .requirement = "R4",
        .handler = list_candidates,
    },
    {
        .method = "GET",
        .path = "/api/v1/vms/{id}/placements",
        .operation = "listPlacements",
        .role = GW_ROLE_READ,
        .query = placements_params,
        .answers = { { 200, GW_ANSWER_ITEMS, &gw_candidate_record, "Hosts, best first." } },
        .summary = "Explain every host as a place for a VM: every factor of its rating, every "
                   "finding, every transfer type. The same as candidates, which can be brief.",
        .requirement = "R33",
        .handler = list_candidates,
    },
    {
        .method = "GET",
        .path = "/api/v1/vms/{id}/restart",
        .operation = "getRestart",
        .role = GW_ROLE_READ,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_restart_record, "What it would change." } },
        .summary = "What a restart of a VM would change of its CPU and machine, and which hosts "
                   "that opens or closes to it; nothing is restarted.",
        .requirement = "R11",
        .handler = get_restart,
    },
    {
        .method = "POST",
        .path = "/api/v1/vms/{id}/start",
        .operation = "startVm",
        .role = GW_ROLE_OPERATE,
        .answers = { { 200, GW_ANSWER_RECORD, &gw_vm_record, "The VM, as it is now." } },
        .summary = "Boot a VM that is off, or let a paused one go on.",
        .requirement = "R3",
        .handler = start,
    },
    {
        .method = "POST",
        .path = "/api/v1/vms/{id}/migrate",
        .operation = "migrateVm",
        .role = GW_ROLE_OPERATE,
        .body = &gw_move_request_record,
        .query = migrate_params,
        .answers = { { 202, GW_ANSWER_RECORD, &gw_job_record, "The job that moves it." },
                     { 200, GW_ANSWER_RECORD, &gw_move_plan_record, "The plan (dry_run)." } },
        .summary =
            "Move a VM to another host, or to the best of a host group: live with or without its "
            "disks, or as it is off.",
        .requirement = "R1",
        .handler = migrate,
    },
    {
        .method = "POST",
        .path = "/api/v1/vms/{id}/migrate-storage",
        .operation = "migrateVmStorage",
        .role = GW_ROLE_OPERATE,
        .body = &gw_storage_request_record,
        .query = migrate_params,
        .answers = { { 202, GW_ANSWER_RECORD, &gw_job_record, "The job that moves it." },
                     { 200, GW_ANSWER_RECORD, &gw_move_plan_record, "The plan (dry_run)." } },
        .summary = "Move a VM's disks within its host, whether it runs or not.",
        .requirement = "R14",
        .handler = migrate_storage,
    },
    { .method = NULL },
};
