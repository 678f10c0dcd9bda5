/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include "base/error.h"
#include "hyper/libvirt_internal.h"

/* Small acts on one VM, over libvirt's own test driver: its one VM is called test, and runs. */

typedef struct {
    virConnectPtr ptr;
    virDomainPtr domain;
    char uuid[VIR_UUID_STRING_BUFLEN];
    char *xml;
} World;

static void open_world(World *world)
{
    world->ptr = virConnectOpen("test:///default");
    assert_non_null(world->ptr);
    world->domain = virDomainLookupByName(world->ptr, "test");
    assert_non_null(world->domain);
    assert_int_equal(virDomainGetUUIDString(world->domain, world->uuid), 0);
    world->xml = gw_lv_xml(world->domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE, NULL);
    assert_non_null(world->xml);
}

static void close_world(World *world)
{
    g_free(world->xml);
    virDomainFree(world->domain);
    virConnectClose(world->ptr);
}

/* It was off when it was looked at; libvirt makes one that runs by now transient. */
static void a_vm_that_was_started_keeps_its_definition(void **state)
{
    (void)state;
    for (int autostart = 0; autostart <= 1; autostart++) {
        World world;
        GError *error = NULL;
        int now = -1;
        open_world(&world);
        assert_int_equal(virDomainUndefine(world.domain), 0);
        assert_int_equal(virDomainIsPersistent(world.domain), 0);
        assert_false(gw_lv_undefined(world.ptr, world.uuid, world.xml, autostart == 1, &error));
        unit_assert_error(error, GW_ERR_CONFLICT, "was started while its definition");
        g_clear_error(&error);
        assert_int_equal(virDomainIsPersistent(world.domain), 1);
        assert_int_equal(virDomainIsActive(world.domain), 1);
        assert_int_equal(virDomainGetAutostart(world.domain, &now), 0);
        assert_int_equal(now, autostart);
        close_world(&world);
    }
}

static void what_cannot_be_put_back_is_said(void **state)
{
    World world;
    GError *error = NULL;
    (void)state;

    open_world(&world);
    assert_int_equal(virDomainUndefine(world.domain), 0);
    assert_false(gw_lv_undefined(world.ptr, world.uuid, "<domain/>", FALSE, &error));
    unit_assert_error(error, GW_ERR_OPERATION, "could not be put back");
    g_clear_error(&error);
    close_world(&world);
}

static void one_that_was_defined_anew_is_left(void **state)
{
    World world;
    GError *error = NULL;
    (void)state;

    open_world(&world);
    assert_false(gw_lv_undefined(world.ptr, world.uuid, world.xml, FALSE, &error));
    unit_assert_error(error, GW_ERR_CONFLICT, "was defined anew");
    g_clear_error(&error);
    close_world(&world);
}

static void one_that_has_gone_is_undefined(void **state)
{
    World world;
    (void)state;

    open_world(&world);
    assert_int_equal(virDomainDestroy(world.domain), 0);
    assert_int_equal(virDomainUndefine(world.domain), 0);
    UNIT_OK(gw_lv_undefined(world.ptr, world.uuid, world.xml, FALSE, error));
    close_world(&world);
}

static void quiet(void *unused, virErrorPtr error)
{
    (void)unused;
    (void)error;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vm_that_was_started_keeps_its_definition),
        cmocka_unit_test(what_cannot_be_put_back_is_said),
        cmocka_unit_test(one_that_was_defined_anew_is_left),
        cmocka_unit_test(one_that_has_gone_is_undefined),
    };
    virSetErrorFunc(NULL, quiet);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
