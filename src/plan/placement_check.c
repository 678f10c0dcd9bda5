/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "plan/placement_index.h"
#include "plan/rule.h"
#include "plan/rule_conflicts.h"

/* Whether a placement rule can be kept at all (R57). It is looked at beside the rules that are
 * required: those that are preferred give way. Each thing is counted once, since a rule may name
 * 10,000 VMs. */

/* A VM that some rule is about; those that are to be together have one leader. */
typedef struct {
    const char *uuid;
    guint above;                   /* the next on the way to the leader; itself: it is the leader */
    const GwPlacementRule *joined; /* the rule that put it below @above */
    GPtrArray *terms;              /* Term: of a leader, those about any of its VMs */
    gboolean own;                  /* of a leader: the rule that is checked is about one of them */
} Node;

/* A rule, and the hosts that it leaves. */
typedef struct {
    GwRuleView *view;
    guint8 *allowed; /* by the number of the host; NULL: a rule between VMs */
} Term;

typedef struct {
    const GwFabric *fabric;
    const GwPlacementRule *rule;
    GPtrArray *hosts;  /* GwHost */
    GPtrArray *terms;  /* Term: the rule's own first, then the others, by name */
    GHashTable *vms;   /* UUID -> GwVm */
    GHashTable *nodes; /* UUID -> its number in @all, from 1 */
    GArray *all;       /* Node */
} Check;

static void term_free(gpointer data)
{
    Term *term = data;

    gw_rule_view_free(term->view);
    g_free(term->allowed);
    g_free(term);
}

static void node_clear(gpointer data)
{
    g_clear_pointer(&((Node *)data)->terms, g_ptr_array_unref);
}

static gboolean is_between_vms(const GwPlacementRule *rule)
{
    return rule->kind == (int)GW_RULE_KIND_TOGETHER || rule->kind == (int)GW_RULE_KIND_APART;
}

static Term *term_new(const Check *check, const GwPlacementRule *rule)
{
    Term *term = g_new0(Term, 1);
    gboolean off = rule->kind == (int)GW_RULE_KIND_KEEP_OFF;

    term->view = gw_rule_view_new(rule);
    if (is_between_vms(rule))
        return term;
    term->allowed = g_new0(guint8, check->hosts->len + 1);
    for (guint i = 0; i < check->hosts->len; i++) {
        gboolean meant = gw_placement_means(term->view, check->hosts->pdata[i]);
        term->allowed[i] = off ? !meant : meant;
    }
    return term;
}

static void find_terms(Check *check, const GPtrArray *others)
{
    g_ptr_array_add(check->terms, term_new(check, check->rule));
    for (guint i = 0; i < others->len; i++)
        g_ptr_array_add(check->terms, term_new(check, others->pdata[i]));
}

static void find_vms(Check *check)
{
    GHashTableIter hosts, iter;
    gpointer vms, uuid, vm;

    g_hash_table_iter_init(&hosts, check->fabric->vms);
    while (g_hash_table_iter_next(&hosts, NULL, &vms)) {
        g_hash_table_iter_init(&iter, vms);
        while (g_hash_table_iter_next(&iter, &uuid, &vm))
            g_hash_table_insert(check->vms, uuid, vm);
    }
}

static const char *name_of(const Check *check, const char *uuid)
{
    const GwVm *vm = g_hash_table_lookup(check->vms, uuid);
    return vm != NULL ? gw_plan_vm_name(vm) : uuid;
}

static gboolean check_exist(const Check *check, GError **error)
{
    const GwPlacementRule *rule = check->rule;

    for (guint i = 0; rule->vms != NULL && rule->vms[i] != NULL; i++) {
        if (g_hash_table_contains(check->vms, rule->vms[i]))
            continue;
        gw_error_set(error, GW_ERR_NOT_FOUND, "List them: godwit vm list.",
                     "no managed host has a VM %s, which rule '%s' names", rule->vms[i],
                     gw_plan_text(rule->name));
        return FALSE;
    }
    for (guint i = 0; rule->hosts != NULL && rule->hosts[i] != NULL; i++) {
        if (gw_fabric_host(check->fabric, rule->hosts[i]) != NULL)
            continue;
        gw_error_set(error, GW_ERR_NOT_FOUND, "List them: godwit host list.",
                     "there is no host %s, which rule '%s' names", rule->hosts[i],
                     gw_plan_text(rule->name));
        return FALSE;
    }
    return TRUE;
}

/* Together and apart ---------------------------------------------------------------------- */

static Node *node_at(const Check *check, guint number)
{
    return &g_array_index(check->all, Node, number);
}

static guint node_of(Check *check, const char *uuid)
{
    guint known = GPOINTER_TO_UINT(g_hash_table_lookup(check->nodes, uuid));

    if (known == 0) {
        Node node = { .uuid = uuid, .above = check->all->len };
        g_array_append_val(check->all, node);
        known = check->all->len;
        g_hash_table_insert(check->nodes, (gpointer)uuid, GUINT_TO_POINTER(known));
    }
    return known - 1;
}

/* Without shortening the way, so that it tells which rule joined whom; the lower number leads, and
 * a rule's VMs all hang on its first, so that ways stay short. */
static guint leader_of(const Check *check, guint number)
{
    while (node_at(check, number)->above != number)
        number = node_at(check, number)->above;
    return number;
}

static void join(Check *check, guint a, guint b, const GwPlacementRule *rule)
{
    guint lead_a = leader_of(check, a), lead_b = leader_of(check, b);

    if (lead_a == lead_b)
        return;
    node_at(check, MAX(lead_a, lead_b))->joined = rule;
    node_at(check, MAX(lead_a, lead_b))->above = MIN(lead_a, lead_b);
}

/* The others' joins come first, so that the rule's own are blamed for what only they do. */
static void join_all(Check *check)
{
    for (guint i = check->terms->len; i > 0; i--) {
        const GwPlacementRule *rule = ((Term *)check->terms->pdata[i - 1])->view->rule;
        guint first = rule->vms != NULL && rule->vms[0] != NULL ? node_of(check, rule->vms[0]) : 0;
        for (guint k = 0; rule->vms != NULL && rule->vms[k] != NULL; k++) {
            guint number = node_of(check, rule->vms[k]);
            if (rule->kind == (int)GW_RULE_KIND_TOGETHER)
                join(check, first, number, rule);
        }
    }
}

/* A rule, other than the one that is checked, on the ways of both up to their leader. */
static const GwPlacementRule *joined_by(const Check *check, guint a, guint b)
{
    const guint from[] = { a, b };

    for (guint i = 0; i < G_N_ELEMENTS(from); i++) {
        guint number = from[i];
        for (; node_at(check, number)->above != number; number = node_at(check, number)->above) {
            if (node_at(check, number)->joined != check->rule)
                return node_at(check, number)->joined;
        }
    }
    return check->rule;
}

static void contradicts(const Check *check, const GwPlacementRule *apart, guint a, guint b,
                        GError **error)
{
    gboolean own = apart == check->rule;
    const GwPlacementRule *other = own ? joined_by(check, a, b) : apart;

    gw_error_set(error, GW_ERR_CONFLICT, "Change, disable or remove one of the two rules.",
                 "rule '%s' would have '%s' and '%s' run %s, and rule '%s' %s",
                 gw_plan_text(check->rule->name), name_of(check, node_at(check, a)->uuid),
                 name_of(check, node_at(check, b)->uuid), own ? "apart" : "together",
                 gw_plan_text(other->name), own ? "together" : "apart");
}

/* Whether the rule keeps two apart that are to be together. */
static gboolean check_pairs(Check *check, const GwPlacementRule *apart, GError **error)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL); /* leader + 1 -> number + 1 */

    for (guint i = 0; apart->vms != NULL && apart->vms[i] != NULL; i++) {
        guint number = node_of(check, apart->vms[i]);
        gpointer key = GUINT_TO_POINTER(leader_of(check, number) + 1);
        guint before = GPOINTER_TO_UINT(g_hash_table_lookup(seen, key));
        if (before != 0 && before != number + 1) {
            contradicts(check, apart, before - 1, number, error);
            return FALSE;
        }
        g_hash_table_insert(seen, key, GUINT_TO_POINTER(number + 1));
    }
    return TRUE;
}

/* Only where the rule has a part in it: what others do to each other was said of them. */
static gboolean check_apart(Check *check, GError **error)
{
    if (!is_between_vms(check->rule))
        return TRUE;
    for (guint i = 0; i < check->terms->len; i++) {
        const GwPlacementRule *rule = ((Term *)check->terms->pdata[i])->view->rule;
        if (rule->kind == (int)GW_RULE_KIND_APART &&
            (rule == check->rule || check->rule->kind == (int)GW_RULE_KIND_TOGETHER) &&
            !check_pairs(check, rule, error))
            return FALSE;
    }
    return TRUE;
}

/* Hosts that are left --------------------------------------------------------------------- */

static void add_term(Check *check, guint number, Term *term)
{
    Node *lead = node_at(check, leader_of(check, number));

    lead->own = lead->own || term == check->terms->pdata[0];
    if (term->allowed == NULL)
        return;
    if (lead->terms == NULL)
        lead->terms = g_ptr_array_new();
    if (lead->terms->len == 0 || lead->terms->pdata[lead->terms->len - 1] != term)
        g_ptr_array_add(lead->terms, term);
}

static void spread_network(Check *check, Term *term)
{
    GHashTableIter iter;
    gpointer uuid, vm;

    g_hash_table_iter_init(&iter, check->vms);
    while (g_hash_table_iter_next(&iter, &uuid, &vm)) {
        if (gw_placement_is_attached(vm, term->view))
            add_term(check, node_of(check, uuid), term);
    }
}

static void spread_terms(Check *check)
{
    for (guint i = 0; i < check->terms->len; i++) {
        Term *term = check->terms->pdata[i];
        char *const *vms = term->view->rule->vms;
        if (term->view->rule->kind == (int)GW_RULE_KIND_NETWORK)
            spread_network(check, term);
        for (guint k = 0; vms != NULL && vms[k] != NULL; k++)
            add_term(check, node_of(check, vms[k]), term);
    }
}

/* The hosts that are left for @lead's VMs, as marks; *@by gets the rule that took the last. Owned.
 */
static guint8 *left_for(const Check *check, const Node *lead, const GwPlacementRule **by)
{
    guint8 *left = g_malloc(check->hosts->len + 1);
    guint count = check->hosts->len;

    for (guint h = 0; h < check->hosts->len; h++)
        left[h] = 1;
    for (guint i = 0; lead->terms != NULL && i < lead->terms->len; i++) {
        const Term *term = lead->terms->pdata[i];
        for (guint h = 0; h < check->hosts->len; h++) {
            count -= left[h] && !term->allowed[h];
            left[h] = left[h] && term->allowed[h];
        }
        if (count == 0 && by != NULL && *by == NULL)
            *by = term->view->rule;
    }
    return left;
}

/* One of the others that leaves no host by itself, since tags have changed; NULL: none. */
static const GwPlacementRule *find_empty(const Check *check, const Node *lead)
{
    for (guint i = 0; lead->terms != NULL && i < lead->terms->len; i++) {
        const Term *term = lead->terms->pdata[i];
        if (term->view->rule != check->rule && memchr(term->allowed, 1, check->hosts->len) == NULL)
            return term->view->rule;
    }
    return NULL;
}

static gboolean check_left(const Check *check, const Node *lead, GError **error)
{
    const GwPlacementRule *by = NULL;
    const char *name = gw_plan_text(check->rule->name);
    g_autofree guint8 *left G_GNUC_UNUSED = left_for(check, lead, &by);
    const GwPlacementRule *empty = by != check->rule ? find_empty(check, lead) : NULL;

    if (by == NULL || !lead->own)
        return TRUE;
    if (by == check->rule)
        gw_error_set(error, GW_ERR_CONFLICT, "Name hosts that there are, or tags that hosts have.",
                     "rule '%s' leaves no host: none of the %u hosts is what it asks for", name,
                     check->hosts->len);
    else if (empty != NULL)
        gw_error_set(error, GW_ERR_CONFLICT, "Change, disable or remove that rule first.",
                     "rule '%s' leaves no host for '%s' already: none of the %u hosts is what it "
                     "asks for, whatever rule '%s' says",
                     gw_plan_text(empty->name), name_of(check, lead->uuid), check->hosts->len,
                     name);
    else
        gw_error_set(error, GW_ERR_CONFLICT, "Change, disable or remove one of the two rules.",
                     "rule '%s' leaves no host for '%s' beside rule '%s'", name,
                     name_of(check, lead->uuid), gw_plan_text(by->name));
    return FALSE;
}

/* VMs that are to be apart need as many hosts as they are. */
static gboolean check_enough(Check *check, const GwPlacementRule *apart, GError **error)
{
    g_autofree guint8 *any = g_new0(guint8, check->hosts->len + 1);
    g_autoptr(GHashTable) leaders = g_hash_table_new(NULL, NULL);
    gboolean own = apart == check->rule;
    guint hosts = 0;

    for (guint i = 0; apart->vms != NULL && apart->vms[i] != NULL; i++) {
        guint lead = leader_of(check, node_of(check, apart->vms[i]));
        if (!g_hash_table_add(leaders, GUINT_TO_POINTER(lead + 1)))
            continue;
        g_autofree guint8 *left = left_for(check, node_at(check, lead), NULL);
        own = own || node_at(check, lead)->own;
        for (guint h = 0; h < check->hosts->len; h++) {
            hosts += left[h] && !any[h];
            any[h] = any[h] || left[h];
        }
    }
    guint vms = g_hash_table_size(leaders);
    if (!own || vms <= hosts)
        return TRUE;
    if (apart == check->rule)
        gw_error_set(error, GW_ERR_CONFLICT, "Name fewer VMs, or make the rule a preference.",
                     "rule '%s' keeps %u VMs apart, and there are %u hosts on which they may run",
                     gw_plan_text(apart->name), vms, hosts);
    else
        gw_error_set(error, GW_ERR_CONFLICT, "Change, disable or remove one of the two rules.",
                     "rule '%s' leaves %u hosts for the %u VMs that rule '%s' keeps apart",
                     gw_plan_text(check->rule->name), hosts, vms, gw_plan_text(apart->name));
    return FALSE;
}

static gboolean check_hosts(Check *check, GError **error)
{
    Node alone = { .own = TRUE, .terms = g_ptr_array_new() };
    const Term *own = check->terms->pdata[0];

    /* Even a network on which no VM is yet. */
    if (own->allowed != NULL)
        g_ptr_array_add(alone.terms, check->terms->pdata[0]);
    gboolean good = check_left(check, &alone, error);
    node_clear(&alone);
    spread_terms(check);
    /* Rules that keep VMs apart take no host from any of them alone. */
    gboolean apart = check->rule->kind == (int)GW_RULE_KIND_APART;
    for (guint i = 0; good && !apart && i < check->all->len; i++) {
        if (leader_of(check, i) == i)
            good = check_left(check, node_at(check, i), error);
    }
    for (guint i = 0; good && i < check->terms->len; i++) {
        const GwPlacementRule *rule = ((Term *)check->terms->pdata[i])->view->rule;
        if (rule->kind == (int)GW_RULE_KIND_APART)
            good = check_enough(check, rule, error);
    }
    return good;
}

/* Whatever VMs and hosts the rule names that are not there. */
static gboolean is_kept(Check *check, const GPtrArray *related, GError **error)
{
    find_terms(check, related);
    join_all(check);
    return check_apart(check, error) && check_hosts(check, error);
}

/* @others: NULL: those of the fabric that it has to do with. */
static gboolean check_rule(const GwFabric *fabric, const GwPlacementRule *rule, GPtrArray *others,
                           GError **error)
{
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(fabric);
    g_autoptr(GPtrArray) terms = g_ptr_array_new_with_free_func(term_free);
    g_autoptr(GHashTable) vms = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) nodes = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GArray) all = g_array_new(FALSE, TRUE, sizeof(Node));
    Check check = { fabric, rule, hosts, terms, vms, nodes, all };

    if (!gw_placement_rule_check(rule, error))
        return FALSE;
    g_array_set_clear_func(all, node_clear);
    find_vms(&check);
    if (!check_exist(&check, error))
        return FALSE;
    if (rule->disabled)
        return TRUE;
    g_autoptr(GPtrArray) required = others == NULL ? gw_placement_required(fabric, rule) : NULL;
    g_autoptr(GPtrArray) related =
        others == NULL ? gw_placement_related(rule, required, vms) : g_ptr_array_ref(others);
    return is_kept(&check, related, error);
}

gboolean gw_placement_check_among(const GwFabric *fabric, const GwPlacementRule *rule,
                                  GPtrArray *others, GError **error)
{
    return check_rule(fabric, rule, others, error);
}

gboolean gw_plan_check_rule(const GwFabric *fabric, const GwPlacementRule *rule, GError **error)
{
    return check_rule(fabric, rule, NULL, error);
}

/* Conflicts of rules that are there -------------------------------------------------------- */

/* The rule's VMs for which no host is left. */
static char **list_without(const Check *check)
{
    g_autoptr(GStrvBuilder) uuids = g_strv_builder_new();
    g_autofree gint8 *known = g_new0(gint8, check->all->len + 1); /* of leaders: 1: some, 2: none */
    guint count = 0;

    for (guint i = 0; i < check->all->len && count < GW_CONFLICT_VMS_MAX; i++) {
        guint number = leader_of(check, i);
        const Node *lead = node_at(check, number);
        if (!lead->own || !g_hash_table_contains(check->vms, node_at(check, i)->uuid))
            continue;
        if (known[number] == 0) {
            g_autofree guint8 *left = left_for(check, lead, NULL);
            known[number] = memchr(left, 1, check->hosts->len) != NULL ? 1 : 2;
        }
        if (known[number] == 2) {
            g_strv_builder_add(uuids, node_at(check, i)->uuid);
            count++;
        }
    }
    return g_strv_builder_end(uuids);
}

static GwRuleConflict *find_conflict(const Check *like, const GwPlacementRule *rule)
{
    g_autoptr(GPtrArray) terms = g_ptr_array_new_with_free_func(term_free);
    g_autoptr(GHashTable) nodes = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GArray) all = g_array_new(FALSE, TRUE, sizeof(Node));
    Check check = { like->fabric, rule, like->hosts, terms, like->vms, nodes, all };
    g_autoptr(GPtrArray) required = gw_placement_required(like->fabric, rule);
    g_autoptr(GPtrArray) related = gw_placement_related(rule, required, like->vms);
    g_autoptr(GError) error = NULL;

    g_array_set_clear_func(all, node_clear);
    if (!rule->required || rule->disabled || is_kept(&check, related, &error))
        return NULL;
    GwRuleConflict *conflict = gw_rule_conflict_new();
    conflict->rule_id = g_strdup(rule->id);
    conflict->rule_name = g_strdup(rule->name);
    conflict->observed = g_strdup(error->message);
    conflict->remedy = g_strdup(gw_error_remedy(error));
    conflict->vms = list_without(&check);
    return conflict;
}

GPtrArray *gw_plan_rule_conflicts(const GwFabric *fabric)
{
    GPtrArray *conflicts = gw_record_array(&gw_rule_conflict_record);
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(fabric);
    g_autoptr(GPtrArray) rules = gw_fabric_list_rules(fabric);
    g_autoptr(GHashTable) vms = g_hash_table_new(g_str_hash, g_str_equal);
    Check like = { .fabric = fabric, .hosts = hosts, .vms = vms };

    find_vms(&like);
    for (guint i = 0; i < rules->len; i++) {
        GwRuleConflict *conflict = find_conflict(&like, rules->pdata[i]);
        if (conflict != NULL)
            g_ptr_array_add(conflicts, conflict);
    }
    return conflicts;
}
