/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/placement_words.h"
#include "plan/shared.h"

/* Rules on where VMs may run: those that people make, and maintenance (R49, R57). */

static void check_maintenance(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    const GwHost *host = input->destination;
    const char *name = gw_plan_host_name(host);

    if (host->maintenance == (int)GW_MAINTENANCE_NONE)
        return;
    g_autofree char *quoted = gw_plan_quote(name);
    gw_rule_add(self, findings,
                host->maintenance == (int)GW_MAINTENANCE_ENTERING
                    ? g_strdup_printf("%s is entering maintenance: it is being emptied", name)
                    : g_strdup_printf("%s is in maintenance", name),
                g_strdup("A host that takes VMs."),
                g_strdup_printf("Choose another host, or end its maintenance: godwit host "
                                "maintenance %s off.",
                                quoted));
}

const GwRule gw_rule_maintenance = {
    "maintenance",     "R49",
    GW_SEVERITY_ERROR, "A host in maintenance, or entering it, takes no VM.",
    GW_RULE_MOVES,     check_maintenance
};

/* "hosts kvm1, kvm2, or hosts tagged ssd, rack=3" */
static char *places_words(const GwPlanInput *input, const GwPlacementRule *rule, const char *each)
{
    enum { SHOWN = 5 };
    GString *out = g_string_new(NULL);
    guint hosts = 0, tags = 0;

    for (; rule->hosts != NULL && rule->hosts[hosts] != NULL; hosts++) {
        if (hosts >= SHOWN)
            continue;
        const GwHost *host = gw_fabric_host(input->fabric, rule->hosts[hosts]);
        g_string_append_printf(out, "%s%s", hosts > 0 ? ", " : "",
                               host != NULL ? gw_plan_host_name(host) : rule->hosts[hosts]);
    }
    if (hosts > SHOWN)
        g_string_append_printf(out, " and %u more", hosts - SHOWN);
    for (; rule->host_tags != NULL && rule->host_tags[tags] != NULL; tags++) {
        if (tags == 0)
            g_string_append_printf(out, "%shosts with %s of the tags ", hosts > 0 ? ", or " : "",
                                   each);
        if (tags < SHOWN)
            g_string_append_printf(out, "%s%s", tags > 0 ? ", " : "", rule->host_tags[tags]);
    }
    if (tags > SHOWN)
        g_string_append_printf(out, " and %u more", tags - SHOWN);
    return g_string_free(out, FALSE);
}

/* The host that comes first by name where another VM of the rule is. */
static const GwHost *nearest(const GwPlanInput *input, const GwAppliedRule *applied)
{
    const GwHost *best = NULL;
    GHashTableIter iter;
    gpointer id;

    g_hash_table_iter_init(&iter, applied->peers);
    while (g_hash_table_iter_next(&iter, &id, NULL)) {
        const GwHost *host = gw_fabric_host(input->fabric, id);
        if (host != NULL &&
            (best == NULL || g_strcmp0(gw_plan_host_name(host), gw_plan_host_name(best)) < 0))
            best = host;
    }
    return best;
}

static gboolean breaks_together(const GwPlanInput *input, const GwAppliedRule *applied,
                                GwBrokenRule *broken)
{
    if (g_hash_table_contains(applied->peers, input->destination->id))
        return FALSE;
    const GwHost *there = nearest(input, applied);
    if (there == NULL)
        return FALSE; /* no other of them runs */
    const GwPeer *peer = g_hash_table_lookup(applied->peers, there->id);
    gboolean here = g_strcmp0(there->id, input->vm->host_id) == 0;
    broken->observed =
        g_strdup_printf("%s %s %s, not %s", peer->name, peer->coming ? "moves to" : "runs on",
                        gw_plan_host_name(there), gw_plan_host_name(input->destination));
    broken->required = g_strdup_printf("Rule '%s': its VMs run on one host.",
                                       gw_plan_text(applied->view->rule->name));
    broken->remedy = g_strdup_printf(
        "%s %s %s %s, move them together in one plan, or change the rule.", here ? "Leave" : "Move",
        gw_plan_vm_name(input->vm), here ? "on" : "to", gw_plan_host_name(there));
    return TRUE;
}

static gboolean breaks_apart(const GwPlanInput *input, const GwAppliedRule *applied,
                             GwBrokenRule *broken)
{
    const GwPeer *peer = g_hash_table_lookup(applied->peers, input->destination->id);
    const char *to = gw_plan_host_name(input->destination);

    if (peer == NULL)
        return FALSE;
    broken->observed =
        g_strdup_printf("%s %s %s", peer->name, peer->coming ? "moves to" : "runs on", to);
    broken->required = g_strdup_printf("Rule '%s': no two of its VMs run on one host.",
                                       gw_plan_text(applied->view->rule->name));
    broken->remedy = g_strdup_printf("Choose another host, move %s away from %s first, or change "
                                     "the rule.",
                                     peer->name, to);
    return TRUE;
}

static gboolean breaks_places(const GwPlanInput *input, const GwAppliedRule *applied,
                              GwBrokenRule *broken)
{
    const GwPlacementRule *rule = applied->view->rule;
    gboolean off = rule->kind == (int)GW_RULE_KIND_KEEP_OFF;
    const char *to = gw_plan_host_name(input->destination);
    gboolean meant = gw_placement_means(applied->view, input->destination);

    if (off ? !meant : meant)
        return FALSE;
    g_autofree char *places = places_words(input, rule, off ? "any" : "all");
    const char *who = rule->kind == (int)GW_RULE_KIND_NETWORK ? "VMs on its networks" : "Its VMs";
    broken->observed = g_strdup_printf(off ? "%s is one of the hosts that rule '%s' means"
                                           : "%s is none of the hosts that rule '%s' means",
                                       to, gw_plan_text(rule->name));
    broken->required =
        g_strdup_printf(off ? "%s run on none of: %s." : "%s run only on: %s.", who, places);
    broken->remedy = g_strdup_printf("Choose another host, change the tags of %s, or change the "
                                     "rule.",
                                     to);
    return TRUE;
}

static gboolean breaks(const GwPlanInput *input, const GwAppliedRule *applied, GwBrokenRule *broken)
{
    switch ((GwPlacementRuleKind)applied->view->rule->kind) {
    case GW_RULE_KIND_TOGETHER:
        return breaks_together(input, applied, broken);
    case GW_RULE_KIND_APART:
        return breaks_apart(input, applied, broken);
    case GW_RULE_KIND_RUN_ON:
    case GW_RULE_KIND_KEEP_OFF:
    case GW_RULE_KIND_NETWORK:
        return breaks_places(input, applied, broken);
    }
    return FALSE;
}

static void broken_free(gpointer data)
{
    GwBrokenRule *broken = data;

    g_free(broken->observed);
    g_free(broken->required);
    g_free(broken->remedy);
    g_free(broken);
}

GPtrArray *gw_placement_broken(const GwPlanInput *input, gboolean required, int kind)
{
    const GPtrArray *all = gw_placement_applied(input);
    GPtrArray *found = NULL;

    for (guint i = 0; all != NULL && i < all->len; i++) {
        const GwAppliedRule *applied = all->pdata[i];
        GwBrokenRule broken = { 0 };
        if (!applied->view->rule->required != !required ||
            (kind != -1 && applied->view->rule->kind != kind) || !breaks(input, applied, &broken))
            continue;
        broken.rule = applied->view->rule;
        if (found == NULL)
            found = g_ptr_array_new_with_free_func(broken_free);
        g_ptr_array_add(found, g_memdup2(&broken, sizeof(broken)));
    }
    return found;
}

static void check_kind(const GwRule *self, const GwPlanInput *input, GPtrArray *findings,
                       GwPlacementRuleKind kind)
{
    g_autoptr(GPtrArray) broken = gw_placement_broken(input, TRUE, (int)kind);

    for (guint i = 0; broken != NULL && i < broken->len; i++) {
        GwBrokenRule *rule = broken->pdata[i];
        gw_rule_add(self, findings, g_steal_pointer(&rule->observed),
                    g_steal_pointer(&rule->required), g_steal_pointer(&rule->remedy));
    }
}

static void check_together(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    check_kind(self, input, findings, GW_RULE_KIND_TOGETHER);
}

const GwRule gw_rule_vm_affinity = {
    "vm-affinity", "R57",         GW_SEVERITY_ERROR, "VMs that are to run together stay together.",
    GW_RULE_MOVES, check_together
};

static void check_apart(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    check_kind(self, input, findings, GW_RULE_KIND_APART);
}

const GwRule gw_rule_vm_anti_affinity = {
    "vm-anti-affinity", "R57",      GW_SEVERITY_ERROR, "VMs that are to run apart stay apart.",
    GW_RULE_MOVES,      check_apart
};

static void check_run_on(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    check_kind(self, input, findings, GW_RULE_KIND_RUN_ON);
}

const GwRule gw_rule_run_on = { "run-on",          "R57",
                                GW_SEVERITY_ERROR, "A VM runs only where its rules let it.",
                                GW_RULE_MOVES,     check_run_on };

static void check_keep_off(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    check_kind(self, input, findings, GW_RULE_KIND_KEEP_OFF);
}

const GwRule gw_rule_keep_off = { "keep-off",        "R57",
                                  GW_SEVERITY_ERROR, "A VM keeps off where its rules forbid it.",
                                  GW_RULE_MOVES,     check_keep_off };

static void check_network_hosts(const GwRule *self, const GwPlanInput *input, GPtrArray *findings)
{
    check_kind(self, input, findings, GW_RULE_KIND_NETWORK);
}

const GwRule gw_rule_network_hosts = {
    "network-hosts",   "R57",
    GW_SEVERITY_ERROR, "A VM runs only on hosts that its networks allow.",
    GW_RULE_MOVES,     check_network_hosts
};
