/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/placement_index.h"

/* Which rules a rule has to be looked at beside (R57): of 10,000 mostly a few. They are those about
 * its own VMs, and about the VMs that rules tie to these: by being together with one of them, or
 * apart from one of them, since that takes hosts from each other. */

typedef struct {
    GHashTable *of_vm;      /* UUID -> GPtrArray of rules that name it */
    GHashTable *of_network; /* name -> GPtrArray of rules of kind network */
    GHashTable *vms;        /* UUID -> GwVm; borrowed */
    GHashTable *known;      /* UUIDs in @tied */
    GPtrArray *tied;        /* UUIDs */
    GHashTable *spread;     /* rules whose VMs are in @tied */
} Search;

static GHashTable *lists(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_ptr_array_unref);
}

static void add_to_list(GHashTable *table, char *const *keys, const GwPlacementRule *rule)
{
    for (guint i = 0; keys != NULL && keys[i] != NULL; i++) {
        GPtrArray *list = g_hash_table_lookup(table, keys[i]);
        if (list == NULL) {
            list = g_ptr_array_new();
            g_hash_table_insert(table, keys[i], list);
        }
        g_ptr_array_add(list, (gpointer)rule);
    }
}

static void tie(Search *search, const char *uuid)
{
    if (g_hash_table_add(search->known, (gpointer)uuid))
        g_ptr_array_add(search->tied, (gpointer)uuid);
}

static void tie_all(Search *search, const GwPlacementRule *rule)
{
    for (guint i = 0; rule->vms != NULL && rule->vms[i] != NULL; i++)
        tie(search, rule->vms[i]);
}

/* The rule's own: those that it names, or that are on its networks. */
static void tie_own(Search *search, const GwPlacementRule *rule)
{
    GwRuleView *view = rule->kind == (int)GW_RULE_KIND_NETWORK ? gw_rule_view_new(rule) : NULL;
    GHashTableIter iter;
    gpointer uuid, vm;

    tie_all(search, rule);
    g_hash_table_iter_init(&iter, search->vms);
    while (view != NULL && g_hash_table_iter_next(&iter, &uuid, &vm)) {
        if (gw_placement_is_attached(vm, view))
            tie(search, uuid);
    }
    gw_rule_view_free(view);
}

/* What rules of that kind tie to the first @count; to those that come by it as well, where @on. */
static void follow(Search *search, GwPlacementRuleKind kind, guint count, gboolean on)
{
    for (guint i = 0; i < (on ? search->tied->len : count); i++) {
        const GPtrArray *rules = g_hash_table_lookup(search->of_vm, search->tied->pdata[i]);
        for (guint k = 0; rules != NULL && k < rules->len; k++) {
            const GwPlacementRule *rule = rules->pdata[k];
            if (rule->kind == (int)kind && g_hash_table_add(search->spread, (gpointer)rule))
                tie_all(search, rule);
        }
    }
}

static void take_all(GHashTable *taken, const GPtrArray *rules)
{
    for (guint i = 0; rules != NULL && i < rules->len; i++)
        g_hash_table_add(taken, rules->pdata[i]);
}

static void take_networks(const Search *search, GHashTable *taken, const char *uuid)
{
    const GwVm *vm = g_hash_table_lookup(search->vms, uuid);

    for (guint i = 0; vm != NULL && vm->nics != NULL && i < vm->nics->len; i++) {
        const GwNic *nic = vm->nics->pdata[i];
        if (nic->source != NULL)
            take_all(taken, g_hash_table_lookup(search->of_network, nic->source));
        if (nic->bridge != NULL)
            take_all(taken, g_hash_table_lookup(search->of_network, nic->bridge));
    }
}

static GHashTable *find_related(Search *search, const GwPlacementRule *rule)
{
    GHashTable *taken = g_hash_table_new(NULL, NULL);

    tie_own(search, rule);
    follow(search, GW_RULE_KIND_TOGETHER, 0, TRUE);
    follow(search, GW_RULE_KIND_APART, search->tied->len, FALSE);
    follow(search, GW_RULE_KIND_TOGETHER, 0, TRUE);
    for (guint i = 0; i < search->tied->len; i++) {
        take_all(taken, g_hash_table_lookup(search->of_vm, search->tied->pdata[i]));
        take_networks(search, taken, search->tied->pdata[i]);
    }
    return taken;
}

GPtrArray *gw_placement_required(const GwFabric *fabric, const GwPlacementRule *rule)
{
    GPtrArray *rules = gw_fabric_list_rules(fabric);
    guint left = 0;

    for (guint i = 0; i < rules->len; i++) {
        const GwPlacementRule *other = rules->pdata[i];
        if (other->required && !other->disabled && g_strcmp0(other->id, rule->id) != 0)
            rules->pdata[left++] = rules->pdata[i];
    }
    g_ptr_array_set_size(rules, (gint)left);
    return rules;
}

GPtrArray *gw_placement_related(const GwPlacementRule *rule, GPtrArray *others, GHashTable *vms)
{
    g_autoptr(GHashTable) of_vm = lists(), of_network = lists();
    g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) spread = g_hash_table_new(NULL, NULL);
    g_autoptr(GPtrArray) tied = g_ptr_array_new();
    Search search = { of_vm, of_network, vms, known, tied, spread };
    GPtrArray *related = g_ptr_array_new();

    for (guint i = 0; i < others->len; i++) {
        const GwPlacementRule *other = others->pdata[i];
        add_to_list(of_vm, other->vms, other);
        if (other->kind == (int)GW_RULE_KIND_NETWORK)
            add_to_list(of_network, other->networks, other);
    }
    g_autoptr(GHashTable) taken = find_related(&search, rule);
    for (guint i = 0; i < others->len; i++) {
        if (g_hash_table_contains(taken, others->pdata[i]))
            g_ptr_array_add(related, others->pdata[i]);
    }
    return related;
}
