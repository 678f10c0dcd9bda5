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

gboolean gw_findings_sort(GPtrArray *findings)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new();
    guint errors = 0;

    for (guint i = 0; i < findings->len; i++) {
        if (((GwFinding *)findings->pdata[i])->severity == (int)GW_SEVERITY_ERROR)
            findings->pdata[errors++] = findings->pdata[i];
        else
            g_ptr_array_add(warnings, findings->pdata[i]);
    }
    for (guint i = 0; i < warnings->len; i++)
        findings->pdata[errors + i] = warnings->pdata[i];
    return errors == 0;
}

static guint kind_of(const GwPlanInput *input)
{
    gboolean live = gw_plan_is_live(input->vm);

    if (gw_plan_is_within(input))
        return live ? GW_RULE_WITHIN_LIVE : GW_RULE_WITHIN_OFF;
    return live ? GW_RULE_LIVE : GW_RULE_OFF;
}

void gw_rule_run(const GwRule *rule, guint kind, const GwPlanInput *input, GPtrArray *findings)
{
    guint before = findings->len;

    if ((rule->when & kind) == 0)
        return;
    rule->check(rule, input, findings);
    for (guint f = before;
         kind == GW_RULE_OFF && (rule->when & GW_RULE_MILD_OFF) != 0 && f < findings->len; f++)
        ((GwFinding *)findings->pdata[f])->severity = (int)GW_SEVERITY_WARNING;
}

static void run_rules(const GwPlanInput *input, GPtrArray *findings)
{
    guint kind = kind_of(input);

    for (guint i = 0; gw_rules[i] != NULL; i++)
        gw_rule_run(gw_rules[i], kind, input, findings);
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
    GPtrArray *found = gw_record_array(&gw_finding_record);
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
    candidate->suitable = gw_findings_sort(found);
    candidate->findings = found;
    return candidate;
}

static int compare_candidates(gconstpointer pa, gconstpointer pb)
{
    return gw_rating_compare(*(GwCandidate *const *)pa, *(GwCandidate *const *)pb);
}

void gw_candidates_sort(GPtrArray *candidates)
{
    g_ptr_array_sort(candidates, compare_candidates);
}

GPtrArray *gw_plan_candidates(const GwFabric *fabric, const GwVm *vm, const GwMoveOptions *options)
{
    GPtrArray *candidates = gw_record_array(&gw_candidate_record);
    g_autoptr(GwPlanShared) shared = gw_plan_shared_new(fabric);
    GwPlanInput input = { .fabric = fabric, .vm = vm, .options = options, .shared = shared };
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
    gw_candidates_sort(candidates);
    return candidates;
}
