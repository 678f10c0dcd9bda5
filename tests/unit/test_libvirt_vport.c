/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vport_world.h"

#include "model/definition_hba.h"

/* Virtual HBAs that are handed over (R41). */

static void what_it_is_is_read(void **state)
{
    World world;
    vport_open(&world);
    const GwVirtualHba *was = world.hba->was;

    assert_string_equal(was->pool, "vhba1");
    assert_string_equal(was->uuid, "22222222-0000-4000-8000-000000000001");
    assert_string_equal(was->wwpn, WWPN);
    assert_true(was->active && was->autostart);
    assert_int_equal(was->luns->len, 1);
    const GwLun *lun = was->luns->pdata[0];
    assert_string_equal(lun->name, LUN);
    assert_string_equal(lun->id, "fc-0x203400a0b85ad1d7-lun-0");
    assert_int_equal(lun->capacity_bytes, 64 << 20);
    assert_int_equal(vport_logins(world.a), 1);
    vport_close(&world);
}

static void what_is_none_is_refused(void **state)
{
    World world;
    g_autoptr(GError) none = NULL, other = NULL;
    vport_open(&world);
    g_autoptr(virStoragePool) dir = virStoragePoolDefineXML(
        world.b, "<pool type='dir'><name>files</name><target><path>/f</path></target></pool>", 0);

    assert_non_null(dir);
    assert_null(gw_lv_hba_look(world.b, "vhba1", &none));
    assert_non_null(none);
    assert_null(gw_lv_hba_look(world.b, "files", &other));
    assert_true(g_error_matches(other, GW_ERROR, GW_ERR_CONFLICT));
    assert_non_null(gw_error_remedy(other));
    vport_close(&world);
}

/* It leaves a, and is on the HBA that was chosen at b; each step can be taken twice. */
static void it_is_handed_over(void **state)
{
    World world;
    vport_open(&world);

    for (int i = 0; i < 2; i++)
        UNIT_OK(gw_lv_hba_stop(world.a, world.hba, VM, FALSE, error));
    assert_int_equal(vport_logins(world.a), 0);
    g_autoptr(GwVirtualHba) left = gw_lv_hba_look(world.a, "vhba1", NULL);
    assert_false(left->active || left->autostart); /* its definition is kept */
    for (int i = 0; i < 2; i++)
        UNIT_OK(gw_lv_hba_start(world.b, world.a, world.hba, error));
    assert_int_equal(vport_logins(world.b), 1);
    g_autofree char *parent = vport_parent(world.b);
    assert_string_equal(parent, "scsi_host2");
    g_autoptr(GwVirtualHba) there = gw_lv_hba_look(world.b, "vhba1", NULL);
    assert_true(there->active && there->autostart);
    assert_string_equal(there->uuid, world.hba->was->uuid);
    g_autoptr(GError) unseen = NULL;
    assert_false(gw_virtual_hba_check(world.hba->was, there, world.hba->volumes, &unseen));
    assert_true(g_error_matches(unseen, GW_ERROR, GW_ERR_BUSY));
    vport_add_lun(world.b, LUN, 64); /* the SAN shows it */
    g_autoptr(GwVirtualHba) seen = gw_lv_hba_look(world.b, "vhba1", NULL);
    UNIT_OK(gw_virtual_hba_check(world.hba->was, seen, world.hba->volumes, error));
    for (int i = 0; i < 2; i++)
        UNIT_OK(gw_lv_hba_stop(world.a, world.hba, VM, TRUE, error));
    assert_null(gw_lv_hba_look(world.a, "vhba1", NULL));
    vport_close(&world);
}

static void and_is_taken_back(void **state)
{
    World world;
    vport_open(&world);

    UNIT_OK(gw_lv_hba_stop(world.a, world.hba, VM, FALSE, error));
    UNIT_OK(gw_lv_hba_start(world.b, world.a, world.hba, error));
    for (int i = 0; i < 2; i++)
        UNIT_OK(gw_lv_hba_stop(world.b, world.hba, VM, TRUE, error));
    assert_int_equal(vport_logins(world.b), 0);
    assert_null(gw_lv_hba_look(world.b, "vhba1", NULL));
    for (int i = 0; i < 2; i++)
        UNIT_OK(gw_lv_hba_start(world.a, world.a, world.hba, error));
    g_autoptr(GwVirtualHba) back = gw_lv_hba_look(world.a, "vhba1", NULL);
    assert_true(back->active && back->autostart);
    vport_close(&world);
}

static void it_is_not_logged_in_twice(void **state)
{
    World world;
    g_autoptr(GError) error = NULL;
    vport_open(&world);

    assert_false(gw_lv_hba_start(world.b, world.a, world.hba, &error));
    assert_true(g_error_matches(error, GW_ERROR, GW_ERR_CONFLICT));
    assert_non_null(strstr(error->message, "is logged in at the other host"));
    assert_int_equal(vport_logins(world.b), 0);
    vport_close(&world);
}

/* Of one that no pool of ours carries nobody knows who uses it. */
static void what_was_made_by_hand_is_not_ours_to_end(void **state)
{
    World world;
    g_autoptr(GError) error = NULL;
    vport_open(&world);

    vport_log_in(world.b);
    assert_int_equal(vport_logins(world.b), 1);
    assert_false(gw_lv_hba_stop(world.b, world.hba, VM, TRUE, &error));
    unit_assert_error(error, GW_ERR_BUSY, "is logged in");
    assert_int_equal(vport_logins(world.b), 1);
    vport_close(&world);
}

static void whoever_uses_it_keeps_it(void **state)
{
    World world;
    g_autoptr(GError) other = NULL, runs = NULL;
    vport_open(&world);

    /* Of another VM's own, off or not. */
    assert_false(
        gw_lv_hba_stop(world.a, world.hba, "44444444-0000-4000-8000-000000000001", FALSE, &other));
    assert_true(g_error_matches(other, GW_ERROR, GW_ERR_CONFLICT));
    assert_non_null(strstr(other->message, "'web1'"));
    vport_set_running(world.a);
    assert_false(gw_lv_hba_stop(world.a, world.hba, VM, FALSE, &runs));
    assert_true(g_error_matches(runs, GW_ERROR, GW_ERR_CONFLICT));
    g_autoptr(GwVirtualHba) still = gw_lv_hba_look(world.a, "vhba1", NULL);
    assert_true(still->active && still->autostart);
    assert_int_equal(vport_logins(world.a), 1);
    vport_close(&world);
}

static void what_is_another_one_stays(void **state)
{
    World world;
    g_autoptr(GError) taken = NULL, still = NULL;
    vport_open(&world);
    g_autoptr(virStoragePool) own = virStoragePoolCreateXML(
        world.b,
        "<pool type='scsi'><name>vhba1</name><source><adapter type='fc_host' parent='scsi_host1' "
        "wwnn='5001a4a0d2aa0000' wwpn='" WWPN "'/></source><target><path>/dev/disk/by-path</path>"
        "</target></pool>",
        0);

    assert_non_null(own);
    /* Another UUID: not ours; but as long as it is there the WWPN has not left. */
    assert_false(gw_lv_hba_stop(world.b, world.hba, VM, TRUE, &still));
    unit_assert_error(still, GW_ERR_BUSY, "is logged in");
    assert_int_equal(virStoragePoolIsActive(own), 1);
    UNIT_OK(gw_lv_hba_stop(world.a, world.hba, VM, FALSE, error));
    assert_false(gw_lv_hba_start(world.b, world.a, world.hba, &taken));
    assert_true(g_error_matches(taken, GW_ERROR, GW_ERR_CONFLICT));
    vport_close(&world);
}

static void an_hba_that_is_not_there_leaves_nothing(void **state)
{
    World world;
    g_autoptr(GError) why = NULL;
    vport_open(&world);

    UNIT_OK(gw_lv_hba_stop(world.a, world.hba, VM, FALSE, error));
    g_free(world.hba->to);
    world.hba->to = NULL;
    assert_false(gw_lv_hba_start(world.b, world.a, world.hba, &why));
    assert_non_null(why);
    assert_null(gw_lv_hba_look(world.b, "vhba1", NULL));
    assert_int_equal(vport_logins(world.b), 0);
    vport_close(&world);
}

/* Words ----------------------------------------------------------------------------------------
 */

static void the_definition_is_carried_by_another(void **state)
{
    g_autofree char *there = gw_definition_hba_on(
        "<pool type='scsi'><name>v</name><x:own xmlns:x='u'>kept</x:own><source><adapter "
        "type='fc_host' parent='scsi_host5' parent_wwnn='1' parent_wwpn='2' parent_fabric_wwn='3' "
        "managed='no' wwnn='4' wwpn='5'/></source></pool>",
        "scsi<3>", NULL);
    g_autoptr(GError) error = NULL;

    assert_non_null(strstr(there, "parent=\"scsi&lt;3&gt;\""));
    assert_non_null(strstr(there, "wwpn=\"5\""));
    assert_non_null(strstr(there, "kept"));
    assert_null(strstr(there, "parent_"));
    assert_null(strstr(there, "managed"));
    assert_null(gw_definition_hba_on("<pool type='dir'><name>v</name></pool>", "h", &error));
    assert_true(g_error_matches(error, GW_ERROR, GW_ERR_CONFLICT));
    assert_null(gw_definition_hba_on("<pool", "h", NULL));
    assert_null(gw_virtual_hba_from_xml(NULL, NULL));
}

static void luns_have_names_of_the_world(void **state)
{
    static const char *const rows[][2] = {
        { "3600a0b80005adb0b0000ab2d4cae9254", "3600a0b80005adb0b0000ab2d4cae9254" },
        { "3600a0b80005adb0b0000ab2d4cae9254_PORT5", "3600a0b80005adb0b0000ab2d4cae9254" },
        { "/dev/disk/by-path/" LUN, "fc-0x203400a0b85ad1d7-lun-0" },
        { "/dev/disk/by-path/pci-0000:00:17.0-ata-1", NULL },
        { "/dev/disk/by-id/wwn-0x5000c500155a2d7f", "/dev/disk/by-id/wwn-0x5000c500155a2d7f" },
        { "/dev/sdb", NULL },
        { "", NULL },
        { NULL, NULL },
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *id = gw_lun_id(rows[i][0]);
        if (g_strcmp0(id, rows[i][1]) != 0)
            fail_msg("%s: %s", rows[i][0], id);
    }
}

static GwVirtualHba *shows(const char *id, gint64 bytes)
{
    GwVirtualHba *hba = gw_virtual_hba_new();
    GwLun *lun = gw_lun_new();

    lun->name = g_strdup("unit:0:0:1");
    lun->id = g_strdup(id);
    lun->capacity_bytes = bytes;
    hba->luns = gw_record_array(&gw_lun_record);
    g_ptr_array_add(hba->luns, lun);
    return hba;
}

static void another_lun_is_not_taken(void **state)
{
    static const struct {
        const char *was, *now;
        gint64 bytes;
        const char *volume;
        int code; /* -1: well */
    } rows[] = {
        { "36a", "36a", 10, "unit:0:0:1", -1 },
        { "36a", "36b", 10, "unit:0:0:1", GW_ERR_CONFLICT },
        { "36a", "36a", 20, "unit:0:0:1", GW_ERR_CONFLICT },
        { NULL, NULL, 10, "unit:0:0:1", GW_ERR_CONFLICT }, /* nobody can tell */
        { "36a", NULL, 10, "unit:0:0:1", GW_ERR_CONFLICT },
        { "36a", "36a", 10, "unit:0:0:2", GW_ERR_BUSY },
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        char *volumes[] = { (char *)rows[i].volume, NULL };
        g_autoptr(GwVirtualHba) was = shows(rows[i].was, 10);
        g_autoptr(GwVirtualHba) now = shows(rows[i].now, rows[i].bytes);
        g_autoptr(GError) error = NULL;
        assert_int_equal(gw_virtual_hba_check(was, now, volumes, &error), rows[i].code < 0);
        if (rows[i].code >= 0) {
            assert_true(g_error_matches(error, GW_ERROR, rows[i].code));
            assert_non_null(gw_error_remedy(error));
        }
    }
}

/* As many as there may be: each volume is found, whatever stands before it, and of two LUNs of one
 * name the first counts. */
static void of_many_luns_each_is_found(void **state)
{
    g_autoptr(GwVirtualHba) was = shows("first", 10);
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    (void)state;

    for (guint i = 2; i <= GW_HBA_LUNS_MAX; i++) {
        GwLun *lun = gw_lun_new();
        lun->name = i == 9 ? g_strdup("unit:0:0:8") : g_strdup_printf("unit:0:0:%u", i);
        lun->id = g_strdup_printf("36%u", i);
        lun->capacity_bytes = i;
        g_ptr_array_add(was->luns, lun);
        if (i % 4 == 0)
            g_strv_builder_add(names, lun->name);
    }
    g_auto(GStrv) volumes = g_strv_builder_end(names);
    assert_int_equal(g_strv_length(volumes), 1024);
    g_autoptr(GwVirtualHba) now = gw_virtual_hba_copy(was);
    UNIT_OK(gw_virtual_hba_check(was, now, volumes, error));
    g_autoptr(GwVirtualHba) kept = gw_virtual_hba_with(was, volumes);
    assert_int_equal(kept->luns->len, 1024);
    assert_string_equal(((GwLun *)kept->luns->pdata[0])->id, "364");
    assert_string_equal(((GwLun *)kept->luns->pdata[1])->id, "368");
    UNIT_OK(gw_virtual_hba_check(kept, now, volumes, error));
    ((GwLun *)now->luns->pdata[GW_HBA_LUNS_MAX - 1])->capacity_bytes++;
    g_autoptr(GError) changed = NULL;
    assert_false(gw_virtual_hba_check(kept, now, volumes, &changed));
    unit_assert_error(changed, GW_ERR_CONFLICT, "'unit:0:0:4096' is another LUN");
    g_ptr_array_set_size(now->luns, 4000);
    g_autoptr(GError) unseen = NULL;
    assert_false(gw_virtual_hba_check(kept, now, volumes, &unseen));
    unit_assert_error(unseen, GW_ERR_BUSY, "'unit:0:0:4004' is not seen");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_is_is_read),
        cmocka_unit_test(what_is_none_is_refused),
        cmocka_unit_test(it_is_handed_over),
        cmocka_unit_test(and_is_taken_back),
        cmocka_unit_test(it_is_not_logged_in_twice),
        cmocka_unit_test(what_was_made_by_hand_is_not_ours_to_end),
        cmocka_unit_test(whoever_uses_it_keeps_it),
        cmocka_unit_test(what_is_another_one_stays),
        cmocka_unit_test(an_hba_that_is_not_there_leaves_nothing),
        cmocka_unit_test(the_definition_is_carried_by_another),
        cmocka_unit_test(luns_have_names_of_the_world),
        cmocka_unit_test(another_lun_is_not_taken),
        cmocka_unit_test(of_many_luns_each_is_found),
    };

    virSetErrorFunc(NULL, vport_silent);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
