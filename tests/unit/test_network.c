/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "model/network.h"

static void assert_subnet(const char *address, guint prefix, const char *expected)
{
    g_autofree char *subnet = gw_subnet_of(address, prefix);

    if (expected == NULL)
        assert_null(subnet);
    else
        assert_string_equal(subnet, expected);
}

static void test_subnets(void **state)
{
    assert_subnet("10.1.2.3", 16, "10.1.0.0/16");
    assert_subnet("192.168.122.1", 24, "192.168.122.0/24");
    assert_subnet("10.255.255.255", 9, "10.128.0.0/9");
    assert_subnet("fd00:1::7", 64, "fd00:1::/64");
    assert_subnet("2001:db8:0:0::1", 61, "2001:db8::/61");
    /* They say nothing of where one is. */
    assert_subnet("169.254.3.4", 16, NULL);
    assert_subnet("fe80::1", 64, NULL);
    assert_subnet("127.0.0.1", 8, NULL);
    assert_subnet("10.0.0.1", 32, NULL);
    assert_subnet("fd00::1", 128, NULL);
    assert_subnet("10.0.0.1", 0, NULL);
    assert_subnet("10.0.0.1", 4000, NULL);
    assert_subnet("10.0.0", 8, NULL);
    assert_subnet("br0", 8, NULL);
    assert_subnet("", 8, NULL);
    assert_subnet(NULL, 8, NULL);
}

static void test_tags(void **state)
{
    char *tags[] = { "br0=dmz", "a=b=lan", "default=nat", NULL };

    UNIT_OK(gw_network_tags_check(tags, error));
    UNIT_OK(gw_network_tags_check(NULL, error));
    assert_string_equal(gw_network_tag(tags, "br0"), "dmz");
    assert_string_equal(gw_network_tag(tags, "a=b"), "lan");
    assert_null(gw_network_tag(tags, "a"));
    assert_null(gw_network_tag(tags, "br"));
    assert_null(gw_network_tag(tags, ""));
    assert_null(gw_network_tag(tags, NULL));
    assert_null(gw_network_tag(NULL, "br0"));
}

static void refuse_tags(char *const *tags, const char *why)
{
    g_autoptr(GError) error = NULL;

    assert_false(gw_network_tags_check(tags, &error));
    unit_assert_error(error, GW_ERR_INVALID, why);
}

static void test_bad_tags(void **state)
{
    g_autofree char *longest = g_strnfill(300, 'x');
    char *many[GW_NETWORK_TAGS_MAX + 2] = { NULL };

    refuse_tags((char *[]){ "br0", NULL }, "not NAME=TAG");
    refuse_tags((char *[]){ "=dmz", NULL }, "not NAME=TAG");
    refuse_tags((char *[]){ "br0=", NULL }, "not NAME=TAG");
    refuse_tags((char *[]){ "br0=a", "br1=a", "br0=b", NULL }, "tag 3: that network has a tag");
    refuse_tags((char *[]){ "br0=d mz", NULL }, "blank");
    refuse_tags((char *[]){ "br0=\033[2J", NULL }, "control");
    refuse_tags((char *[]){ "br0=\xff", NULL }, "too long, or has");
    refuse_tags((char *[]){ longest, NULL }, "too long");
    for (guint i = 0; i <= GW_NETWORK_TAGS_MAX; i++)
        many[i] = g_strdup_printf("br%u=x", i);
    refuse_tags(many, "more than 256");
    for (guint i = 0; i <= GW_NETWORK_TAGS_MAX; i++)
        g_free(many[i]);
}

static void add_network(GPtrArray *networks, const char *kind, const char *name)
{
    GwNetwork *network = gw_network_new();

    network->kind = g_strdup(kind);
    network->name = g_strdup(name);
    g_ptr_array_add(networks, network);
}

static void test_order(void **state)
{
    static const char *const names[] = { "lab", "lan", "br0", "lan", "odd" };
    g_autoptr(GPtrArray) networks = gw_record_array(&gw_network_record);

    gw_networks_sort(networks);
    add_network(networks, "bridge", "lan");
    add_network(networks, NULL, "odd");
    add_network(networks, "libvirt", "lan");
    add_network(networks, "bridge", "br0");
    add_network(networks, "libvirt", "lab");
    gw_networks_sort(networks);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        assert_string_equal(((GwNetwork *)networks->pdata[i])->name, names[i]);
    (void)state;
}

static void test_none(void **state)
{
    static const struct {
        const char *type, *source;
        gboolean down, none;
    } rows[] = {
        { "null", NULL, FALSE, TRUE },        { "ethernet", "vnet3", TRUE, TRUE },
        { "ethernet", "tap0", FALSE, FALSE }, { "user", NULL, TRUE, TRUE },
        { "user", NULL, FALSE, FALSE },       { "bridge", "br0", TRUE, FALSE },
        { "network", NULL, TRUE, TRUE },      { "hostdev", "0000:01:00.0", TRUE, FALSE },
        { "direct", "eth0", TRUE, FALSE },    { NULL, NULL, TRUE, TRUE },
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        GwNic nic = { .type = (char *)rows[i].type,
                      .source = (char *)rows[i].source,
                      .link_down = rows[i].down };
        if (!gw_nic_is_none(&nic) != !rows[i].none)
            fail_msg("row %u", i);
    }
}

static void test_choices(void **state)
{
    const GwNicChoice good[] = {
        { .mac = "52:54:00:ab:CD:01", .network = "lan" },
        { .mac = "52:54:00:00:00:01", .none = TRUE },
        { .mac = "52:54:00:00:00:01", .network = "none", .kind = "libvirt", .port_group = "x" },
    };
    const GwNicChoice bad[] = {
        { .network = "lan" },
        { .mac = "52:54:00:00:00", .network = "lan" },
        { .mac = "52-54-00-00-00-01", .network = "lan" },
        { .mac = "52:54:00:00:00:01" },
        { .mac = "52:54:00:00:00:01", .network = "" },
        { .mac = "52:54:00:00:00:01", .network = "lan", .none = TRUE },
        { .mac = "52:54:00:00:00:01", .network = "lan", .kind = "vmnet" },
        { .mac = "52:54:00:00:00:01", .network = "br0", .kind = "bridge", .port_group = "x" },
    };

    for (guint i = 0; i < G_N_ELEMENTS(good); i++)
        UNIT_OK(gw_nic_choice_check(&good[i], error));
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        assert_false(gw_nic_choice_check(&bad[i], &error));
        unit_assert_error(error, GW_ERR_INVALID, "choice of a network");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subnets),  cmocka_unit_test(test_tags),
        cmocka_unit_test(test_bad_tags), cmocka_unit_test(test_none),
        cmocka_unit_test(test_order),    cmocka_unit_test(test_choices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
