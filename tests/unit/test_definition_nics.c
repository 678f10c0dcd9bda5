/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "definition_words.h"
#include "model/definition_nics.h"

/* A running VM as libvirt shows it, shortened: an adapter on a network of NAT, one on a bridge of
 * Open vSwitch with a VLAN, one that libvirt put on a network's bridge, a user's, and two with one
 * MAC address. */
static const char running[] =
    "<domain type='kvm' id='3' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
    "  <name>web1</name>\n  <devices>\n"
    "    <interface type='network'>\n      <mac address='52:54:00:00:00:01'/>\n"
    "      <source network='default' portid='7d3e' portgroup='slow' bridge='virbr0'>\n"
    "        <future knob='7'/>\n      </source>\n"
    "      <bandwidth><inbound average='1000' floor='200'/><outbound average='9'/></bandwidth>\n"
    "      <vlan><tag id='7'/></vlan>\n"
    "      <target dev='vnet0'/>\n      <model type='virtio'/>\n"
    "      <driver name='vhost' queues='4'/>\n      <filterref filter='clean-traffic'/>\n"
    "      <unheard a='b'>of</unheard>\n"
    "      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>\n"
    "    </interface>\n"
    "    <interface type='bridge'>\n      <mac address='52:54:00:00:00:0A'/>\n"
    "      <source bridge='ovsbr0'/>\n      <vlan><tag id='42'/></vlan>\n"
    "      <virtualport type='openvswitch'>\n"
    "        <parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/>\n"
    "      </virtualport>\n      <script path='/etc/host-only'/>\n"
    "      <port isolated='yes'/>\n      <link state='up'/>\n    </interface>\n"
    "    <interface type='bridge'>\n      <mac address='52:54:00:00:00:03'/>\n"
    "      <source network='lan' portid='1' bridge='br0'/>\n    </interface>\n"
    "    <interface type='user'>\n      <mac address='52:54:00:00:00:04'/>\n"
    "      <ip address='10.0.2.15' family='ipv4'/>\n"
    "      <backend type='passt' logFile='/x'/>\n"
    "      <portForward proto='tcp'><range start='22'/></portForward>\n    </interface>\n"
    "    <interface type='bridge'>\n      <mac address='52:54:00:00:00:05'/>\n"
    "      <source bridge='brA'/>\n    </interface>\n"
    "    <interface type='bridge'>\n      <mac address='52:54:00:00:00:05'/>\n"
    "      <source bridge='brB'/>\n    </interface>\n"
    "  </devices>\n"
    "  <qemu:commandline><qemu:arg value='&lt;-a&amp;&quot;'/></qemu:commandline>\n"
    "</domain>";

static GPtrArray *moves(void)
{
    return gw_record_array(&gw_nic_move_record);
}

static GwNic *add(GPtrArray *nics, const char *mac, const char *type, const char *source)
{
    GwNicMove *move = gw_nic_move_new();

    move->mac = g_strdup(mac);
    move->match = GW_NIC_CHOSEN;
    move->changes = TRUE;
    move->to = gw_nic_new();
    move->to->type = g_strdup(type);
    move->to->source = g_strdup(source);
    g_ptr_array_add(nics, move);
    return move->to;
}

static GwNic *add_none(GPtrArray *nics, const char *mac)
{
    GwNic *to = add(nics, mac, "ethernet", NULL);

    to->link_down = TRUE;
    return to;
}

static char *changed(const GPtrArray *nics)
{
    g_autoptr(GError) error = NULL;
    char *text = gw_definition_with_nics(running, nics, &error);

    if (text == NULL)
        fail_msg("%s", error->message);
    return tight(text);
}

static void test_nothing(void **state)
{
    g_autoptr(GPtrArray) nics = moves();
    g_autofree char *none = gw_definition_with_nics(running, NULL, NULL);

    add(nics, "52:54:00:00:00:01", "network", "other");
    ((GwNicMove *)nics->pdata[0])->changes = FALSE;
    g_autofree char *same = gw_definition_with_nics(running, nics, NULL);
    assert_string_equal(none, same);
    g_autofree char *packed = tight(g_strdup(same));
    assert_has(packed, "portid=\"7d3e\"");
}

/* The attachment is another; all else of the adapter is as it was (I9), unknown elements too. */
static void test_other_network(void **state)
{
    g_autoptr(GPtrArray) nics = moves();
    GwNic *to = add(nics, "52:54:00:00:00:01", "network", "guests");
    to->port_group = g_strdup("fast");
    g_autofree char *text = changed(nics);

    assert_has(text, "<interface type=\"network\"><mac address=\"52:54:00:00:00:01\"/>"
                     "<source network=\"guests\" portgroup=\"fast\"><future knob=\"7\"/></source>"
                     "<bandwidth><inbound average=\"1000\" floor=\"200\"/><outbound average=\"9\"/>"
                     "</bandwidth><target dev=\"vnet0\"/><model type=\"virtio\"/>"
                     "<driver name=\"vhost\" queues=\"4\"/><filterref filter=\"clean-traffic\"/>"
                     "<unheard a=\"b\">of</unheard><address type=\"pci\"");
    assert_has(text, "<qemu:arg value=\"&lt;-a&amp;&quot;\"/>");
    assert_has(text, "<source bridge=\"ovsbr0\"/><vlan><tag id=\"42\"/></vlan><virtualport");
}

static void test_network_to_bridge(void **state)
{
    g_autoptr(GPtrArray) nics = moves();
    add(nics, "52:54:00:00:00:01", "bridge", "br<9>");
    g_autofree char *text = changed(nics);

    assert_has(text, "<interface type=\"bridge\"><mac address=\"52:54:00:00:00:01\"/>"
                     "<source bridge=\"br&lt;9&gt;\"><future knob=\"7\"/></source>"
                     "<bandwidth><inbound average=\"1000\"/><outbound average=\"9\"/></bandwidth>"
                     "<model type=\"virtio\"/>");
}

/* A port of the same kind of switch keeps its identity, on another it means nothing. */
static void test_virtual_port(void **state)
{
    g_autoptr(GPtrArray) nics = moves();
    GwNic *to = add(nics, "52:54:00:00:00:0a", "bridge", "ovsbr1");
    to->virtual_port = g_strdup("openvswitch");
    to->vlans = g_strsplit("42", ",", -1);
    g_autofree char *kept = changed(nics);

    assert_has(kept, "<source bridge=\"ovsbr1\"/><vlan><tag id=\"42\"/></vlan>"
                     "<virtualport type=\"openvswitch\"><parameters interfaceid=\"09b11c53-8b5c-"
                     "4eeb-8f00-d84eaa0aaa4f\"/></virtualport><script path=\"/etc/host-only\"/>"
                     "<port isolated=\"yes\"/>");
    g_clear_pointer(&to->virtual_port, g_free);
    g_autofree char *dropped = changed(nics);
    assert_has(dropped, "<source bridge=\"ovsbr1\"/><vlan><tag id=\"42\"/></vlan><script");
    assert_lacks(dropped, "interfaceid");
}

/* Two of one address, each in a <devices> of its own: both are read, and both are changed. */
static void test_several_devices(void **state)
{
    static const char split[] =
        "<domain><devices><interface type='bridge'><mac address='52:54:00:00:00:01'/>"
        "<source bridge='br0'/></interface></devices><devices/>"
        "<devices><interface type='bridge'><mac address='52:54:00:00:00:01'/>"
        "<source bridge='br1'/></interface></devices></domain>";
    g_autoptr(GPtrArray) nics = moves();
    g_autoptr(GError) error = NULL;

    add(nics, "52:54:00:00:00:01", "bridge", "brA");
    add(nics, "52:54:00:00:00:01", "bridge", "brB");
    char *text = gw_definition_with_nics(split, nics, &error);
    if (text == NULL)
        fail_msg("%s", error->message);
    g_autofree char *packed = tight(text);
    assert_has(packed, "<source bridge=\"brA\"/></interface></devices><devices/><devices>");
    assert_has(packed, "<source bridge=\"brB\"/></interface></devices></domain>");
}

/* Nothing of what it was is left in it. */
static void assert_becomes_lan(const char *mac)
{
    g_autoptr(GPtrArray) nics = moves();
    add(nics, mac, "network", "lan");
    g_autofree char *text = changed(nics);
    g_autofree char *wanted = g_strdup_printf("<interface type=\"network\"><mac address=\"%s\"/>"
                                              "<source network=\"lan\"/></interface>",
                                              mac);

    assert_has(text, wanted);
}

/* libvirt shows an adapter of such a network as one of the bridge itself. */
static void test_bridge_of_network(void **state)
{
    assert_becomes_lan("52:54:00:00:00:03");
}

static void test_none(void **state)
{
    g_autoptr(GPtrArray) nics = moves();
    add_none(nics, "52:54:00:00:00:01");
    add_none(nics, "52:54:00:00:00:0a");
    g_autofree char *text = changed(nics);

    assert_has(text, "<interface type=\"ethernet\"><mac address=\"52:54:00:00:00:01\"/>"
                     "<bandwidth>");
    assert_has(text, "<interface type=\"ethernet\"><mac address=\"52:54:00:00:00:0A\"/>"
                     "<link state=\"down\"/></interface>");
    assert_has(text, "<unheard a=\"b\">of</unheard>");
    assert_lacks(text, "ovsbr0");
    assert_lacks(text, "host-only");
    assert_lacks(text, "floor");
}

static void test_user_to_network(void **state)
{
    assert_becomes_lan("52:54:00:00:00:04");
}

static void test_two_of_one_address(void **state)
{
    g_autoptr(GPtrArray) nics = moves();
    add(nics, "52:54:00:00:00:05", "bridge", "br1");
    add(nics, "52:54:00:00:00:05", "bridge", "br2");
    g_autofree char *both = changed(nics);
    assert_has(both, "<source bridge=\"br1\"/></interface><interface type=\"bridge\"><mac "
                     "address=\"52:54:00:00:00:05\"/><source bridge=\"br2\"/>");
    ((GwNicMove *)nics->pdata[0])->changes = FALSE;
    g_autofree char *second = changed(nics);
    assert_has(second, "<source bridge=\"brA\"/>");
    assert_has(second, "<source bridge=\"br2\"/>");
}

/* There and back again: what the way there took is put back, what a person changed since stays. */
static void test_restore(void **state)
{
    g_autoptr(GPtrArray) there = moves(), back = moves();
    add_none(there, "52:54:00:00:00:0a");
    add(there, "52:54:00:00:00:01", "bridge", "br9");
    g_autofree char *away = gw_definition_with_nics(running, there, NULL);
    GString *edited = g_string_new(away);
    g_string_replace(edited, "average=\"1000\"", "average=\"50\"", 0);
    add(back, "52:54:00:00:00:0A", "bridge", "ovsbr0");
    add(back, "52:54:00:00:00:01", "network", "default");
    g_autofree char *near = gw_definition_with_nics(edited->str, back, NULL);
    g_autofree char *text = tight(gw_definition_restore_nics(near, running, back, NULL));
    g_string_free(edited, TRUE);

    assert_has(text, "interfaceid=\"09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f\"");
    assert_has(text, "<vlan><tag id=\"42\"/></vlan>");
    assert_has(text, "<script path=\"/etc/host-only\"/>");
    assert_has(text, "<port isolated=\"yes\"/>");
    assert_has(text, "<link state=\"up\"/>");
    assert_has(text, "<source network=\"default\" portid=\"7d3e\" portgroup=\"slow\"");
    assert_has(text, "<inbound average=\"50\" floor=\"200\"/>");
    assert_lacks(text, "down");

    /* Elsewhere than it was: nothing is put back. */
    g_autoptr(GPtrArray) other = moves();
    add(other, "52:54:00:00:00:0a", "bridge", "br5");
    g_autofree char *moved = gw_definition_with_nics(away, other, NULL);
    g_autofree char *same = gw_definition_restore_nics(moved, running, other, NULL);
    assert_string_equal(moved, same);
}

/* An inactive definition may lack an adapter that was plugged in; its VLANs are all its own. */
static void test_inactive(void **state)
{
    g_autoptr(GPtrArray) nics = moves();
    add(nics, "52:54:00:00:00:77", "bridge", "br1");
    add(nics, "52:54:00:00:00:01", "network", "guests");
    g_autoptr(GError) error = NULL;
    g_autofree char *text = tight(gw_definition_inactive_nics(running, nics, &error));

    assert_null(error);
    assert_has(text, "<source network=\"guests\"><future knob=\"7\"/></source>");
    assert_has(text, "<vlan><tag id=\"7\"/></vlan>");
    assert_null(gw_definition_with_nics(running, nics, &error));
    unit_assert_error(error, GW_ERR_NOT_FOUND, "network adapter 52:54:00:00:00:77: ");
}

static void test_snapshot(void **state)
{
    g_autoptr(GPtrArray) nics = moves();
    add(nics, "52:54:00:00:00:01", "bridge", "br1");
    g_autofree char *text = tight(gw_definition_inactive_nics(
        "<domainsnapshot><name>s</name>"
        "<domain><devices><interface type='bridge'><mac address='52:54:00:00:00:01'/>"
        "<source bridge='br0'/></interface></devices></domain>"
        "<inactiveDomain><devices><interface type='bridge'><mac address='52:54:00:00:00:01'/>"
        "<source bridge='br0'/></interface></devices></inactiveDomain></domainsnapshot>",
        nics, NULL));

    assert_lacks(text, "br0");
    assert_has(text, "<source bridge=\"br1\"/></interface></devices></inactiveDomain>");
}

static void test_bad(void **state)
{
    static const char *const texts[] = { "", "<domain>", "<pool/>", "<!DOCTYPE x []><domain/>" };
    g_autoptr(GPtrArray) nics = moves();
    GwNic *to = add(nics, "52:54:00:00:00:01", "hostdev", "0000:01:00.0");

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(gw_definition_with_nics(texts[i], NULL, &error));
        assert_non_null(error);
        assert_null(gw_definition_restore_nics(running, texts[i], NULL, NULL));
        assert_null(gw_definition_inactive_nics(texts[i], NULL, NULL));
    }
    assert_null(gw_definition_with_nics(NULL, NULL, NULL));
    g_autoptr(GError) type = NULL, name = NULL;
    assert_null(gw_definition_with_nics(running, nics, &type));
    assert_non_null(strstr(type->message, "not type 'hostdev'"));
    g_free(to->type);
    g_free(to->source);
    to->type = g_strdup("bridge");
    to->source = NULL;
    assert_null(gw_definition_with_nics(running, nics, &name));
    assert_non_null(name);
    /* No devices at all, and an adapter without an address. */
    to->source = g_strdup("br0");
    assert_null(gw_definition_with_nics("<domain/>", nics, NULL));
    assert_null(gw_definition_with_nics(
        "<domain><devices><interface type='bridge'/></devices></domain>", nics, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),           cmocka_unit_test(test_other_network),
        cmocka_unit_test(test_network_to_bridge), cmocka_unit_test(test_virtual_port),
        cmocka_unit_test(test_bridge_of_network), cmocka_unit_test(test_none),
        cmocka_unit_test(test_user_to_network),   cmocka_unit_test(test_two_of_one_address),
        cmocka_unit_test(test_restore),           cmocka_unit_test(test_inactive),
        cmocka_unit_test(test_snapshot),          cmocka_unit_test(test_bad),
        cmocka_unit_test(test_several_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
