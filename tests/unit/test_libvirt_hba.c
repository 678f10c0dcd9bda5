/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include "hyper/libvirt_internal.h"
#include "model/libvirt_xml.h"

/* HBAs and virtual ones (R41): what libvirt says of them as XML, and its own test driver, which has
 * two HBAs. */

#define HBA(ports)                                                                                 \
    "<device><name>scsi_host5</name><parent>pci_0000_04_00_1</parent>"                             \
    "<capability type='scsi_host'><host>5</host>"                                                  \
    "<capability type='fc_host'><wwnn>20000000c9848141</wwnn><wwpn>10000000c9848141</wwpn>"        \
    "<fabric_wwn>2001000dec9877c1</fabric_wwn></capability>" ports "</capability></device>"
#define PORTS                                                                                      \
    "<capability type='vport_ops'><max_vports>127</max_vports><vports>2</vports></capability>"

static void an_hba_is_read(void **state)
{
    g_autoptr(GwHba) hba = gw_libvirt_hba_from_xml(HBA(PORTS), NULL);

    assert_non_null(hba);
    assert_string_equal(hba->name, "scsi_host5");
    assert_string_equal(hba->wwnn, "20000000c9848141");
    assert_string_equal(hba->wwpn, "10000000c9848141");
    assert_string_equal(hba->fabric_wwn, "2001000dec9877c1");
    assert_int_equal(hba->max_vports, 127);
    assert_int_equal(hba->vports, 2);
}

static void other_devices_are_none(void **state)
{
    static const char *const texts[] = {
        HBA(""), /* it carries no virtual ones */
        "<device><name>net_eth0</name><capability type='net'/></device>",
        "<device><capability type='scsi_host'><capability type='fc_host'/>" PORTS
        "</capability></device>", /* it has no name to ask for it by */
        "<device",
        "",
    };

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        assert_null(gw_libvirt_hba_from_xml(texts[i], NULL));
}

static void numbers_are_never_negative(void **state)
{
    g_autoptr(GwHba) hba =
        gw_libvirt_hba_from_xml(HBA("<capability type='vport_ops'><max_vports>-3</max_vports>"
                                    "<vports>99999999999999999999</vports></capability>"),
                                NULL);

    assert_non_null(hba);
    assert_int_equal(hba->max_vports, 0);
    assert_true(hba->vports >= 0);
}

static void a_pool_may_be_a_virtual_hba(void **state)
{
    g_autoptr(GwPool) pool = gw_libvirt_pool_from_xml(
        "<pool type='scsi'><name>vhba1</name><source><adapter type='fc_host' parent='scsi_host5' "
        "wwnn='5001a4a0d2aa0000' wwpn='5001a4a0d2aa0001'/></source></pool>",
        NULL);
    g_autoptr(GwPool) plain = gw_libvirt_pool_from_xml(
        "<pool type='scsi'><name>local</name><source><adapter type='scsi_host' "
        "name='scsi_host0'/></source></pool>",
        NULL);

    assert_string_equal(pool->wwpn, "5001a4a0d2aa0001");
    assert_string_equal(pool->parent_hba, "scsi_host5");
    assert_null(plain->wwpn);
    assert_null(plain->parent_hba);
}

static void the_test_driver_has_two(void **state)
{
    virConnectPtr ptr = virConnectOpen("test:///default");
    g_autoptr(GwHostFacts) facts = gw_host_facts_new();

    assert_non_null(ptr);
    gw_lv_read_hbas(ptr, facts);
    virConnectClose(ptr);
    assert_non_null(facts->hbas);
    assert_int_equal(facts->hbas->len, 2);
    const GwHba *first = facts->hbas->pdata[0];
    const GwHba *second = facts->hbas->pdata[1];
    assert_string_equal(first->name, "scsi_host1");
    assert_string_equal(first->fabric_wwn, "2000000043214321");
    assert_string_equal(second->name, "scsi_host2");
    assert_string_equal(second->wwpn, "1000000056785678");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_hba_is_read),
        cmocka_unit_test(other_devices_are_none),
        cmocka_unit_test(numbers_are_never_negative),
        cmocka_unit_test(a_pool_may_be_a_virtual_hba),
        cmocka_unit_test(the_test_driver_has_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
