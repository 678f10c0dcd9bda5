/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/hbas.h"
#include "plan/rating.h"
#include "plan/reach.h"

/* A move to the host that it is on, not one within it. */
static gboolean goes_nowhere(const GwPlanInput *input)
{
    return gw_plan_is_within(input) && gw_plan_options(input)->transfer != (int)GW_TRANSFER_STORAGE;
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

static guint kind_of(const GwPlanInput *input)
{
    gboolean live = gw_plan_is_live(input->vm);

    if (gw_plan_is_within(input))
        return live ? GW_RULE_WITHIN_LIVE : GW_RULE_WITHIN_OFF;
    return live ? GW_RULE_LIVE : GW_RULE_OFF;
}

static void run_rules(const GwPlanInput *input, GPtrArray *findings)
{
    guint kind = kind_of(input);

    for (guint i = 0; gw_rules[i] != NULL; i++) {
        const GwRule *rule = gw_rules[i];
        guint before = findings->len;
        if ((rule->when & kind) == 0)
            continue;
        rule->check(rule, input, findings);
        for (guint f = before;
             kind == GW_RULE_OFF && (rule->when & GW_RULE_MILD_OFF) != 0 && f < findings->len; f++)
            ((GwFinding *)findings->pdata[f])->severity = (int)GW_SEVERITY_WARNING;
    }
}

/* What there is to say of the host that it is on: its storage can move there. */
static GPtrArray *transfers_nowhere(const GwPlanInput *input)
{
    GPtrArray *transfers = gw_record_array(&gw_transfer_option_record);

    for (int t = GW_TRANSFER_LIVE; t <= (int)GW_TRANSFER_STORAGE; t++) {
        GwTransferOption *option = gw_transfer_option_new();
        option->transfer = t;
        option->available = t == (int)GW_TRANSFER_STORAGE;
        option->explanation =
            g_strdup_printf(option->available ? "Its storage can move within %s: godwit vm "
                                                "migrate-storage."
                                              : "It is on %s already.",
                            gw_plan_host_name(input->destination));
        g_ptr_array_add(transfers, option);
    }
    return transfers;
}

static void judge(GwCandidate *candidate, GwPlanInput *own, GPtrArray *found)
{
    g_autoptr(GPtrArray) hbas = gw_plan_hbas(own);
    own->hbas = hbas;
    g_autoptr(GPtrArray) reaches = gw_reach_all(own);
    own->reaches = reaches;
    g_autoptr(GwStoragePlan) storage = gw_plan_storage(own);
    own->storage = storage;
    gw_plan_hbas_settle(own, hbas);

    candidate->transfer = (int)storage->transfer;
    g_clear_pointer(&candidate->transfers, g_ptr_array_unref);
    g_clear_pointer(&candidate->disks, g_ptr_array_unref);
    candidate->transfers = g_ptr_array_ref(storage->transfers);
    candidate->disks = g_ptr_array_ref(storage->disks);
    g_clear_pointer(&candidate->hbas, g_ptr_array_unref);
    candidate->hbas = g_ptr_array_ref(hbas);
    g_autoptr(GPtrArray) nics = !gw_plan_is_within(own) ? gw_plan_networks(own) : NULL;
    own->nics = nics;
    if (nics != NULL)
        candidate->nics = g_ptr_array_ref(nics);
    run_rules(own, found);
    own->nics = NULL;
}

GwCandidate *gw_plan_candidate(const GwPlanInput *input)
{
    GwPlanInput own = *input;
    g_autoptr(GPtrArray) found = g_ptr_array_new();
    g_autoptr(GwPlanShared) shared =
        input->shared == NULL ? gw_plan_shared_new(input->fabric) : NULL;
    GwCandidate *candidate = gw_candidate_new();

    if (shared != NULL)
        own.shared = shared;
    candidate->host_id = g_strdup(input->destination->id);
    candidate->host_name = g_strdup(gw_plan_host_name(input->destination));
    /* To the host it is on there is no move, and nothing else worth saying of it. */
    if (goes_nowhere(input)) {
        gw_rule_same_host.check(&gw_rule_same_host, &own, found);
        candidate->transfers = transfers_nowhere(input);
    } else {
        judge(candidate, &own, found);
    }
    candidate->findings = errors_first(found, &candidate->suitable);
    return candidate;
}

static int compare_candidates(gconstpointer pa, gconstpointer pb)
{
    return gw_rating_compare(*(GwCandidate *const *)pa, *(GwCandidate *const *)pb);
}

static GPtrArray *list(const GwFabric *fabric, const GwVm *vm, const GwMoveOptions *options,
                       gboolean brief)
{
    GPtrArray *candidates = gw_record_array(&gw_candidate_record);
    g_autoptr(GwPlanShared) shared = gw_plan_shared_new(fabric);
    GwPlanInput input = {
        .fabric = fabric, .vm = vm, .options = options, .shared = shared, .brief = brief
    };
    GHashTableIter iter;
    gpointer value;

    input.source = gw_fabric_host(fabric, vm->host_id);
    if (input.source == NULL)
        return candidates; /* its host has just been removed */
    g_hash_table_iter_init(&iter, fabric->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        input.destination = value;
        GwCandidate *candidate = gw_plan_candidate(&input);
        gw_plan_rate(&input, candidate);
        g_ptr_array_add(candidates, candidate);
    }
    g_ptr_array_sort(candidates, compare_candidates);
    return candidates;
}

GPtrArray *gw_plan_candidates(const GwFabric *fabric, const GwVm *vm, const GwMoveOptions *options)
{
    return list(fabric, vm, options, FALSE);
}

GPtrArray *gw_plan_ranking(const GwFabric *fabric, const GwVm *vm, const GwMoveOptions *options)
{
    return list(fabric, vm, options, TRUE);
}
