/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/reach.h"
#include "plan/rule.h"

static gboolean is_same_host(const GwPlanInput *input)
{
    return g_strcmp0(input->source->id, input->destination->id) == 0;
}

/* R4, R13: by where the storage is, whatever else stands in the way. */
static GwTransfer transfer_of(const GwPlanInput *input)
{
    if (is_same_host(input) || !gw_reach_is_known(input))
        return GW_TRANSFER_NONE;
    for (guint i = 0; i < input->reaches->len; i++) {
        if (((const GwReach *)input->reaches->pdata[i])->how == GW_REACH_NOT)
            return GW_TRANSFER_LIVE_VSM;
    }
    return GW_TRANSFER_LIVE;
}

/* Errors first, each kind in the rules' order. Takes the findings over. */
static GPtrArray *errors_first(GPtrArray *found, gboolean *suitable)
{
    GPtrArray *sorted = gw_record_array(&gw_finding_record);

    *suitable = TRUE;
    for (int severity = GW_SEVERITY_ERROR; severity <= (int)GW_SEVERITY_WARNING; severity++) {
        for (guint i = 0; i < found->len; i++) {
            if (((GwFinding *)found->pdata[i])->severity == severity)
                g_ptr_array_add(sorted, found->pdata[i]);
        }
        if (severity == (int)GW_SEVERITY_ERROR)
            *suitable = sorted->len == 0;
    }
    return sorted;
}

static void run_rules(const GwPlanInput *input, GPtrArray *findings)
{
    for (guint i = 0; gw_rules[i] != NULL; i++)
        gw_rules[i]->check(gw_rules[i], input, findings);
}

GwCandidate *gw_plan_candidate(const GwPlanInput *input)
{
    GwPlanInput own = *input;
    g_autoptr(GPtrArray) reaches = gw_reach_all(input);
    g_autoptr(GPtrArray) found = g_ptr_array_new();
    GwCandidate *candidate = gw_candidate_new();

    own.reaches = reaches;
    candidate->host_id = g_strdup(input->destination->id);
    candidate->host_name = g_strdup(gw_plan_host_name(input->destination));
    candidate->transfer = (int)transfer_of(&own);
    /* To the host it is on there is no move, and nothing else worth saying of it. */
    if (is_same_host(input))
        gw_rule_same_host.check(&gw_rule_same_host, &own, found);
    else
        run_rules(&own, found);
    candidate->findings = errors_first(found, &candidate->suitable);
    return candidate;
}

static int compare_candidates(gconstpointer pa, gconstpointer pb)
{
    const GwCandidate *a = *(GwCandidate *const *)pa;
    const GwCandidate *b = *(GwCandidate *const *)pb;

    if (!a->suitable != !b->suitable)
        return a->suitable ? -1 : 1;
    int by_name = g_strcmp0(a->host_name, b->host_name);
    return by_name != 0 ? by_name : g_strcmp0(a->host_id, b->host_id);
}

GPtrArray *gw_plan_candidates(const GwFabric *fabric, const GwVm *vm, const GwMoveOptions *options)
{
    GPtrArray *candidates = gw_record_array(&gw_candidate_record);
    GwPlanInput input = { .fabric = fabric, .vm = vm, .options = options };
    GHashTableIter iter;
    gpointer value;

    input.source = gw_fabric_host(fabric, vm->host_id);
    if (input.source == NULL)
        return candidates; /* its host has just been removed */
    g_hash_table_iter_init(&iter, fabric->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        input.destination = value;
        g_ptr_array_add(candidates, gw_plan_candidate(&input));
    }
    g_ptr_array_sort(candidates, compare_candidates);
    return candidates;
}
