/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "plan/networks.h"

/* Hosts with many networks are read by a table, which says the same as reading them one after the
 * other does: also of names that are missing, that come twice, and that are another kind's. */

#define NAMES 60
#define ROUNDS 40

static const char *name_of(GRand *rand)
{
    static char names[NAMES][16];
    gint which = g_rand_int_range(rand, -1, NAMES);

    if (which < 0)
        return NULL;
    g_snprintf(names[which], sizeof names[which], "n%d", which);
    return names[which];
}

static GwHost *host_of(GRand *rand, guint count)
{
    static const char *const forwards[] = { NULL, "bridge", "nat", "isolated" };
    GwHost *host = gw_host_new_default();
    g_autoptr(GStrvBuilder) bridges = g_strv_builder_new();

    host->id = g_strdup("h");
    host->facts = gw_host_facts_new();
    host->facts->networks = gw_record_array(&gw_network_record);
    for (guint i = 0; i < count; i++) {
        GwNetwork *network = gw_network_new();
        network->name = g_strdup(name_of(rand));
        network->kind = g_strdup(g_rand_boolean(rand) ? "bridge" : "libvirt");
        network->bridge = g_strdup(name_of(rand));
        network->forward = g_strdup(forwards[g_rand_int_range(rand, 0, 4)]);
        network->active = g_rand_int_range(rand, 0, 4) > 0;
        network->mtu = 1500 * g_rand_int_range(rand, 0, 3);
        g_ptr_array_add(host->facts->networks, network);
    }
    for (guint i = 0; i < NAMES / 4; i++) {
        const char *name = name_of(rand);
        if (name != NULL)
            g_strv_builder_add(bridges, name);
    }
    host->facts->bridges = g_strv_builder_end(bridges);
    return host;
}

static gboolean is_bridge(const GwNetwork *network)
{
    return strcmp(network->kind, "bridge") == 0;
}

/* One after the other. */
static const GwNetwork *record(const GwHost *host, gboolean bridge, const char *name)
{
    for (guint i = 0; name != NULL && i < host->facts->networks->len; i++) {
        const GwNetwork *network = host->facts->networks->pdata[i];
        if (!is_bridge(network) == !bridge && g_strcmp0(network->name, name) == 0)
            return network;
    }
    return NULL;
}

static gboolean is_listed(const GwHost *host, const char *name)
{
    return g_strv_contains((const char *const *)host->facts->bridges, name);
}

static const char *forward_of_bridge(const GwHost *host, const char *name)
{
    for (guint i = 0; i < host->facts->networks->len; i++) {
        const GwNetwork *network = host->facts->networks->pdata[i];
        if (!is_bridge(network) && network->forward != NULL &&
            strcmp(network->forward, "bridge") != 0 && g_strcmp0(network->bridge, name) == 0)
            return network->forward;
    }
    return "bridge";
}

static gboolean is_of_network(const GwHost *host, const char *name)
{
    const GwNetwork *bridge = record(host, TRUE, name);

    for (guint i = 0; i < host->facts->networks->len; i++) {
        const GwNetwork *network = host->facts->networks->pdata[i];
        if (!is_bridge(network) && g_strcmp0(network->bridge, name) == 0 &&
            (bridge == NULL || bridge->mtu <= 0 || bridge->mtu == network->mtu))
            return TRUE;
    }
    return FALSE;
}

static gboolean is_missing(const GwHost *host, const GwNetwork *network)
{
    return host->facts->bridges[0] != NULL && !is_bridge(network) && network->active &&
           network->bridge != NULL && g_strcmp0(network->forward, "bridge") == 0 &&
           !is_listed(host, network->bridge);
}

static gboolean tells_bridges(const GwHost *host)
{
    for (char **bridge = host->facts->bridges; *bridge != NULL; bridge++) {
        if (!is_of_network(host, *bridge))
            return TRUE;
    }
    for (guint i = 0; i < host->facts->networks->len; i++) {
        if (is_missing(host, host->facts->networks->pdata[i]))
            return TRUE;
    }
    return FALSE;
}

static void check_name(const GwHost *host, const char *name, gboolean bridge)
{
    const GwNetwork *expected = record(host, bridge, name);
    GwNetPlace place = gw_net_find(host, bridge, name);

    assert_ptr_equal(place.network, expected);
    assert_int_equal(place.name != NULL, expected != NULL || (bridge && is_listed(host, name)));
    if (place.name == NULL)
        return;
    assert_string_equal(place.name, name);
    if (bridge)
        assert_string_equal(gw_net_forward(&place), forward_of_bridge(host, name));
    else
        assert_int_equal(gw_net_missing_bridge(&place) != NULL, is_missing(host, expected));
}

static void check_host(const GwHost *host)
{
    for (guint i = 0; i < NAMES + 5; i++) {
        g_autofree char *name = g_strdup_printf("n%u", i);
        check_name(host, name, TRUE);
        check_name(host, name, FALSE);
    }
    assert_null(gw_net_find(host, TRUE, NULL).name);
    assert_null(gw_net_find(host, FALSE, NULL).name);
    assert_int_equal(gw_net_tells_bridges(host), tells_bridges(host));
}

/* Three hosts in turn: of each what is its own, whatever was kept of the others. */
static void the_table_says_the_same(void **unused)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    guint tells = 0;

    (void)unused;
    for (guint round = 0; round < ROUNDS; round++) {
        g_autoptr(GwHost) a = host_of(rand, 65 + round);
        g_autoptr(GwHost) b = host_of(rand, 66);
        g_autoptr(GwHost) few = host_of(rand, 3);
        const GwHost *const order[] = { a, b, a, few, b, a };
        for (guint i = 0; i < G_N_ELEMENTS(order); i++)
            check_host(order[i]);
        tells += gw_net_tells_bridges(a) + gw_net_tells_bridges(few);
    }
    assert_in_range(tells, 1, 2 * ROUNDS); /* both answers are among them, or nothing was shown */
}

/* A network that was added is found, though much of the host is the same. */
static void a_host_that_changed_is_read_anew(void **unused)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(8);
    g_autoptr(GwHost) before = host_of(rand, 100);
    g_autoptr(GwHost) after = gw_host_copy(before);
    GwNetwork *network = gw_network_new();

    (void)unused;
    network->name = g_strdup("added");
    network->kind = g_strdup("libvirt");
    network->active = TRUE;
    g_ptr_array_add(after->facts->networks, network);
    assert_null(gw_net_find(before, FALSE, "added").name);
    assert_ptr_equal(gw_net_find(after, FALSE, "added").network, network);
    assert_null(gw_net_find(before, FALSE, "added").name);
}

/* All 256 adapters are held against as many networks and bridges as a host may have, of which none
 * will do: it ends. */
static void the_most_that_there_can_be(void **unused)
{
    g_autoptr(GwFabric) fabric = gw_fabric_new();
    g_autoptr(GwVm) vm = gw_vm_new();
    GwHost *hosts[2];

    (void)unused;
    for (guint h = 0; h < G_N_ELEMENTS(hosts); h++) {
        GwHost *host = hosts[h] = gw_host_new_default();
        g_autoptr(GStrvBuilder) bridges = g_strv_builder_new();
        host->id = g_strdup_printf("h%u", h);
        host->facts = gw_host_facts_new();
        host->facts->networks = gw_record_array(&gw_network_record);
        for (guint i = 0; i < GW_NETWORKS_MAX; i++) {
            GwNetwork *network = gw_network_new();
            g_autofree char *bridge = g_strdup_printf("br%u-%u", h, i);
            network->name = g_strdup_printf("net%u-%u", h, i);
            network->kind = g_strdup("libvirt");
            network->forward = g_strdup("bridge");
            network->active = TRUE;
            network->bridge = g_strdup(bridge);
            g_ptr_array_add(host->facts->networks, network);
            g_strv_builder_add(bridges, bridge);
        }
        host->facts->bridges = g_strv_builder_end(bridges);
        gw_fabric_put_host(fabric, host);
    }
    vm->nics = gw_record_array(&gw_nic_record);
    for (guint i = 0; i < GW_NET_NICS_MAX; i++) {
        GwNic *nic = gw_nic_new();
        nic->mac = g_strdup_printf("52:54:00:00:00:%02x", i);
        nic->type = g_strdup("network");
        nic->source = g_strdup_printf("net0-%u", GW_NETWORKS_MAX - 1 - i);
        g_ptr_array_add(vm->nics, nic);
    }
    const GwPlanInput input = {
        .fabric = fabric, .vm = vm, .source = hosts[0], .destination = hosts[1]
    };
    g_autoptr(GPtrArray) moves = gw_plan_networks(&input);
    assert_int_equal(moves->len, GW_NET_NICS_MAX);
    for (guint i = 0; i < moves->len; i++)
        assert_null(((GwNicMove *)moves->pdata[i])->to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_says_the_same),
        cmocka_unit_test(a_host_that_changed_is_read_anew),
        cmocka_unit_test(the_most_that_there_can_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
