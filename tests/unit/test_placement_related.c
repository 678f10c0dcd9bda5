/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "plan/placement_index.h"

/* A rule is looked at beside the few that it has to do with, and the verdict is the one that all of
 * them together would give: the same word for word, in fabrics and sets of rules made by chance. */

#define HOSTS 5
#define VMS 12
#define TAGS 3
#define NETWORKS 3
#define WORLDS 400
#define RULES 30

static char *name_of(char letter, guint number)
{
    return g_strdup_printf("%c%u", letter, number);
}

static void add_word(char ***words, char *word)
{
    guint count = *words != NULL ? g_strv_length(*words) : 0;

    *words = g_renew(char *, *words, count + 2);
    (*words)[count] = word;
    (*words)[count + 1] = NULL;
}

static void add_host(GwFabric *fabric, GRand *chance, guint number)
{
    GwHost *host = gw_host_new();

    host->id = name_of('h', number);
    host->name = g_strdup(host->id);
    for (guint i = 0; i < TAGS; i++) {
        if (g_rand_boolean(chance))
            add_word(&host->tags, name_of('t', i));
    }
    gw_fabric_put_host(fabric, host);
}

static void add_vm(GwFabric *fabric, GRand *chance, guint number)
{
    GwVm *vm = gw_vm_new();

    vm->uuid = name_of('v', number);
    vm->name = name_of('n', number);
    vm->host_id = name_of('h', (guint)g_rand_int_range(chance, 0, HOSTS));
    vm->nics = gw_record_array(&gw_nic_record);
    for (gint i = g_rand_int_range(chance, 0, 3); i > 0; i--) {
        GwNic *nic = gw_nic_new();
        char **at = g_rand_boolean(chance) ? &nic->source : &nic->bridge;
        *at = name_of('w', (guint)g_rand_int_range(chance, 0, NETWORKS));
        g_ptr_array_add(vm->nics, nic);
    }
    gw_fabric_put_vm(fabric, vm);
}

static void choose(GRand *chance, char ***words, char letter, gint most, gint of)
{
    for (gint i = g_rand_int_range(chance, 1, most + 1); i > 0; i--)
        add_word(words, name_of(letter, (guint)g_rand_int_range(chance, 0, of)));
}

static GwPlacementRule *a_rule(GRand *chance, guint number)
{
    GwPlacementRule *rule = gw_placement_rule_new();

    rule->id = name_of('r', number);
    rule->name = name_of('a' + (char)g_rand_int_range(chance, 0, 26), number);
    rule->kind = g_rand_int_range(chance, 0, GW_RULE_KIND_NETWORK + 1);
    rule->required = g_rand_int_range(chance, 0, 8) > 0;
    rule->disabled = g_rand_int_range(chance, 0, 12) == 0;
    if (rule->kind == (int)GW_RULE_KIND_NETWORK)
        choose(chance, &rule->networks, 'w', 2, NETWORKS);
    else
        choose(chance, &rule->vms, 'v', 3, VMS);
    if (rule->kind == (int)GW_RULE_KIND_TOGETHER || rule->kind == (int)GW_RULE_KIND_APART)
        return rule;
    if (g_rand_int_range(chance, 0, 3) > 0)
        choose(chance, &rule->hosts, 'h', 3, HOSTS);
    else
        choose(chance, &rule->host_tags, 't', 2, TAGS);
    return rule;
}

typedef struct {
    guint kept, refused, left_out;
} Tally;

/* Takes @rule, which becomes one of the fabric's where it can be kept. */
static void check_rule(GwFabric *fabric, GwPlacementRule *rule, Tally *tally)
{
    g_autoptr(GError) whole_error = NULL, error = NULL;
    g_autoptr(GPtrArray) all = gw_placement_required(fabric, rule);
    gboolean whole = gw_placement_check_among(fabric, rule, all, &whole_error);
    gboolean kept = gw_plan_check_rule(fabric, rule, &error);

    if (kept != whole || (!kept && strcmp(error->message, whole_error->message) != 0))
        fail_msg("rule %s beside %u others: '%s', not '%s'", rule->name, all->len,
                 kept ? "kept" : error->message, whole ? "kept" : whole_error->message);
    tally->kept += kept;
    tally->refused += !kept;
    if (kept)
        gw_fabric_put_rule(fabric, rule);
    else
        gw_placement_rule_free(rule);
}

static GHashTable *vms_of(const GwFabric *fabric)
{
    GHashTable *table = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTableIter hosts, iter;
    gpointer vms, uuid, vm;

    g_hash_table_iter_init(&hosts, fabric->vms);
    while (g_hash_table_iter_next(&hosts, NULL, &vms)) {
        g_hash_table_iter_init(&iter, vms);
        while (g_hash_table_iter_next(&iter, &uuid, &vm))
            g_hash_table_insert(table, uuid, vm);
    }
    return table;
}

static void the_verdict_is_that_of_all(void **state)
{
    Tally tally = { 0, 0, 0 };
    (void)state;

    for (guint seed = 0; seed < WORLDS; seed++) {
        g_autoptr(GRand) chance = g_rand_new_with_seed(seed);
        g_autoptr(GwFabric) fabric = gw_fabric_new();
        for (guint i = 0; i < HOSTS; i++)
            add_host(fabric, chance, i);
        for (guint i = 0; i < VMS; i++)
            add_vm(fabric, chance, i);
        for (guint i = 0; i < RULES; i++) {
            /* Some change a rule that is there. */
            guint number = (guint)g_rand_int_range(chance, 0, RULES);
            GwPlacementRule *rule = a_rule(chance, number);
            g_autoptr(GPtrArray) all = gw_placement_required(fabric, rule);
            g_autoptr(GHashTable) vms = vms_of(fabric);
            g_autoptr(GPtrArray) related = gw_placement_related(rule, all, vms);
            tally.left_out += all->len - related->len;
            check_rule(fabric, rule, &tally);
        }
    }
    /* It is not shown by nothing. */
    print_message("# %u kept, %u refused, %u others not looked at\n", tally.kept, tally.refused,
                  tally.left_out);
    assert_true(tally.kept > WORLDS && tally.refused > WORLDS && tally.left_out > WORLDS);
}

/* 10,000 rules, each for one VM of its own: a further one has to do with that VM's, and with those
 * of the VM that it is tied to. */
static void few_of_many_are_looked_at(void **state)
{
    enum { MANY = 10000 };
    g_autoptr(GwFabric) fabric = gw_fabric_new();
    g_autoptr(GRand) chance = g_rand_new_with_seed(1);
    g_autoptr(GError) error = NULL;
    (void)state;

    for (guint i = 0; i < HOSTS; i++)
        add_host(fabric, chance, i);
    for (guint i = 0; i < MANY; i++) {
        GwPlacementRule *rule = gw_placement_rule_new();
        add_vm(fabric, chance, i);
        rule->id = name_of('r', i);
        rule->name = g_strdup(rule->id);
        rule->kind = GW_RULE_KIND_RUN_ON;
        rule->required = TRUE;
        add_word(&rule->vms, name_of('v', i));
        add_word(&rule->hosts, name_of('h', i % HOSTS));
        gw_fabric_put_rule(fabric, rule);
    }
    g_autoptr(GwPlacementRule) rule = gw_placement_rule_new();
    rule->id = g_strdup("new");
    rule->name = g_strdup("new");
    rule->kind = GW_RULE_KIND_TOGETHER;
    rule->required = TRUE;
    rule->vms = g_strsplit("v5 v10", " ", -1);
    g_autoptr(GPtrArray) all = gw_placement_required(fabric, rule);
    g_autoptr(GHashTable) vms = vms_of(fabric);
    g_autoptr(GPtrArray) related = gw_placement_related(rule, all, vms);
    assert_int_equal(all->len, MANY);
    assert_int_equal(related->len, 2);
    assert_true(gw_plan_check_rule(fabric, rule, &error)); /* both are to be on h0 */
    g_free(rule->vms[1]);
    rule->vms[1] = g_strdup("v11");
    assert_false(gw_plan_check_rule(fabric, rule, &error));
    assert_non_null(strstr(error->message, "rule 'new' leaves no host for 'n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_verdict_is_that_of_all),
        cmocka_unit_test(few_of_many_are_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
