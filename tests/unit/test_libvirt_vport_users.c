/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vport_world.h"

#include <dlfcn.h>

#include "hyper/libvirt_volume_xml.h"

/* Who has disks behind a virtual HBA (R41): what another VM's definition does not tell, because it
 * cannot be read, or not to its end, or not yet, is not taken for nothing. */

#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))
#define OTHER "44444444-0000-4000-8000-000000000001"
#define DOMAIN(disks)                                                                              \
    "<domain type='test'><name>db1</name><uuid>" OTHER "</uuid><memory>8192</memory><os>"          \
    "<type>hvm</type></os><devices>" disks "</devices></domain>"
#define DISK(path)                                                                                 \
    "<disk type='block' device='disk'><source dev='" path "'/><target dev='vda' bus='virtio'/>"    \
    "</disk>"

static const char *other_xml; /* what it defines by its host's words; NULL: as it is */
static gboolean unread;       /* libvirt does not give it */
static gboolean arriving;
static gboolean blind; /* libvirt does not say whose a path is */

static gboolean is_other(virDomainPtr domain)
{
    return strcmp(virDomainGetName(domain), "db1") == 0;
}

char *virDomainGetXMLDesc(virDomainPtr domain, unsigned int flags)
{
    if (is_other(domain) && unread)
        return REAL(virDomainGetXMLDesc)(NULL, flags);
    return is_other(domain) && other_xml != NULL ? strdup(other_xml)
                                                 : REAL(virDomainGetXMLDesc)(domain, flags);
}

int virDomainGetJobStats(virDomainPtr domain, int *type, virTypedParameterPtr *params, int *count,
                         unsigned int flags)
{
    int room = 0;

    if (!is_other(domain) || !arriving)
        return REAL(virDomainGetJobStats)(domain, type, params, count, flags);
    *type = VIR_DOMAIN_JOB_UNBOUNDED;
    return virTypedParamsAddInt(params, count, &room, VIR_DOMAIN_JOB_OPERATION,
                                VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN);
}

virStorageVolPtr virStorageVolLookupByPath(virConnectPtr ptr, const char *path)
{
    return REAL(virStorageVolLookupByPath)(blind ? NULL : ptr, path);
}

static void open_with_other(World *world)
{
    vport_open(world);
    virDomainPtr other = virDomainCreateXML(world->a, DOMAIN(""), 0);
    assert_non_null(other);
    virDomainFree(other);
}

static void check_refused(const char *what)
{
    World world;
    g_autoptr(GError) why = NULL;
    open_with_other(&world);

    assert_false(gw_lv_hba_stop(world.a, world.hba, VM, FALSE, &why));
    other_xml = NULL;
    unread = arriving = blind = FALSE;
    unit_assert_error(why, GW_ERR_BUSY, what);
    assert_non_null(strstr(why->message, "'db1'"));
    assert_int_equal(vport_logins(world.a), 1);
    g_autoptr(GwVirtualHba) still = gw_lv_hba_look(world.a, "vhba1", NULL);
    assert_true(still->active && still->autostart);
    UNIT_OK(gw_lv_hba_stop(world.a, world.hba, VM, FALSE, error));
    vport_close(&world);
}

static void a_definition_that_cannot_be_read_may_name_it(void **state)
{
    static const char *const texts[] = { "<domain", "<domain/>", "" };

    unread = TRUE;
    check_refused("cannot be told");
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        other_xml = texts[i];
        check_refused("cannot be told");
    }
}

static void nor_one_that_is_too_long(void **state)
{
    g_autoptr(GString) disks = g_string_new(NULL);

    for (guint i = 0; i <= GW_LIBVIRT_BLOCK_DEVICES_MAX; i++)
        g_string_append_printf(disks, DISK("/dev/disk/by-path/x%u"), i);
    g_autofree char *text = g_strdup_printf(DOMAIN("%s"), disks->str);
    other_xml = text;
    check_refused("to its end");
}

static void nor_one_that_arrives(void **state)
{
    arriving = TRUE;
    check_refused("arriving");
}

static void nor_a_path_of_which_nothing_is_said(void **state)
{
    other_xml = DOMAIN(DISK("/dev/sdb"));
    blind = TRUE;
    check_refused("cannot be told");
}

static void a_device_that_is_a_volume_of_it_is_used(void **state)
{
    World world;
    g_autoptr(GError) why = NULL;
    open_with_other(&world);
    g_autoptr(virStoragePool) pool = virStoragePoolLookupByName(world.a, "vhba1");
    g_autoptr(virStorageVol) volume = virStorageVolLookupByName(pool, LUN);
    char *path = virStorageVolGetPath(volume);
    g_autofree char *text = g_strdup_printf(DOMAIN(DISK("%s")), path);

    other_xml = text;
    assert_false(gw_lv_hba_stop(world.a, world.hba, VM, FALSE, &why));
    unit_assert_error(why, GW_ERR_CONFLICT, "'db1' has disks behind it");
    assert_int_equal(vport_logins(world.a), 1);
    other_xml = DOMAIN(DISK("/dev/sdb"));
    UNIT_OK(gw_lv_hba_stop(world.a, world.hba, VM, FALSE, error));
    other_xml = NULL;
    free(path);
    vport_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_definition_that_cannot_be_read_may_name_it),
        cmocka_unit_test(nor_one_that_is_too_long),
        cmocka_unit_test(nor_one_that_arrives),
        cmocka_unit_test(nor_a_path_of_which_nothing_is_said),
        cmocka_unit_test(a_device_that_is_a_volume_of_it_is_used),
    };

    virSetErrorFunc(NULL, vport_silent);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
