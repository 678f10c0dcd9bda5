/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/facts.h"
#include "folder.h"

/* What a machine says of itself, from files that the test writes. */

static char *folder;

static void put(const char *path, const char *text)
{
    g_autofree char *full = g_build_filename(folder, path, NULL);
    g_autofree char *dir = g_path_get_dirname(full);

    g_mkdir_with_parents(dir, 0755);
    assert_true(g_file_set_contents(full, text, -1, NULL));
}

static int setup(void **state)
{
    folder = g_dir_make_tmp("godwit-machine-XXXXXX", NULL);
    return folder == NULL;
}

static int teardown(void **state)
{
    folder_remove(folder);
    g_clear_pointer(&folder, g_free);
    return 0;
}

static const GwInterface *find(const GPtrArray *list, const char *name)
{
    return gw_record_find(&gw_interface_record, list, "name", name);
}

static void test_interfaces(void **state)
{
    put("class/net/eth7/speed", "25000\n");
    put("class/net/eth7/mtu", "9000\n");
    put("class/net/eth7/operstate", "up\n");
    put("class/net/down0/speed", "-1\n");
    put("class/net/down0/mtu", "junk\n");
    put("class/net/down0/operstate", "down\n");
    put("class/net/bare/mtu", "-5\n");
    put("class/net/lo/mtu", "65536\n");
    put("class/net/bonding_masters", "bond0\n");
    g_autoptr(GPtrArray) list = gw_facts_interfaces(folder);
    assert_int_equal(list->len, 3);
    for (guint i = 0; i < list->len; i++) {
        static const char *const names[] = { "bare", "down0", "eth7" };
        assert_string_equal(((GwInterface *)list->pdata[i])->name, names[i]);
    }
    assert_int_equal(find(list, "eth7")->speed_mbps, 25000);
    assert_int_equal(find(list, "eth7")->mtu, 9000);
    assert_true(find(list, "eth7")->up);
    assert_int_equal(find(list, "down0")->speed_mbps, -1);
    assert_int_equal(find(list, "down0")->mtu, 0);
    assert_false(find(list, "down0")->up);
    assert_int_equal(find(list, "bare")->speed_mbps, -1);
    assert_int_equal(find(list, "bare")->mtu, 0);
}

static const GwFileSystem *only(const GPtrArray *list)
{
    assert_int_equal(list->len, 1);
    return list->pdata[0];
}

static void test_file_systems(void **state)
{
    g_autofree char *inner = g_build_filename(folder, "my pool", NULL);
    g_autofree char *escaped = g_strconcat(folder, "/my\\040pool", NULL);
    g_autofree char *table =
        g_strdup_printf("nonsense\n22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
                        "23 22 0:5 / %s rw shared:2 master:3 - nfs4 store:/vms rw,vers=4.2\n"
                        "24 22 0:6 / %s-other rw - xfs /dev/sdb rw\n25 22 0:7 / /short\n",
                        escaped, escaped);
    g_autofree char *mounts = g_build_filename(folder, "mountinfo", NULL);

    put("mountinfo", table);
    g_mkdir(inner, 0755);
    g_autofree char *below = g_build_filename(inner, "deep", NULL);
    const char *const paths[] = { inner, below, NULL };
    g_autoptr(GPtrArray) list = gw_facts_file_systems(mounts, paths);
    assert_string_equal(only(list)->path, inner);
    assert_string_equal(only(list)->type, "nfs4");
    assert_string_equal(only(list)->source, "store:/vms");
    assert_true(only(list)->network);
    assert_false(only(list)->read_only);
    assert_true(only(list)->capacity_bytes > 0);
    assert_true(only(list)->block_bytes >= 512);
    assert_string_equal(only(list)->id, "nfs4:store:/vms");
    /* What lies under nothing else lies under the root; a name that only begins alike does not. */
    g_autofree char *alike = g_strconcat(inner, "2", NULL);
    const char *const others[] = { alike, NULL };
    g_autoptr(GPtrArray) root = gw_facts_file_systems(mounts, others);
    assert_string_equal(only(root)->path, "/");
    assert_false(only(root)->network);
    assert_null(only(root)->id); /* a cloned host has its UUID as well */
    /* Nothing was left behind by the try. */
    g_autoptr(GDir) dir = g_dir_open(inner, 0, NULL);
    assert_null(g_dir_read_name(dir));
    g_autoptr(GPtrArray) none = gw_facts_file_systems("/nonexistent", paths);
    assert_int_equal(none->len, 0);
}

static void test_read_only(void **state)
{
    g_autofree char *table =
        g_strdup_printf("23 22 0:5 / %s ro,nosuid - xfs /dev/sdb rw\n", folder);
    g_autofree char *mounts = g_build_filename(folder, "mountinfo", NULL);
    const char *const paths[] = { folder, NULL };

    put("mountinfo", table);
    g_autoptr(GPtrArray) list = gw_facts_file_systems(mounts, paths);
    assert_true(only(list)->read_only);
    assert_false(only(list)->reflink); /* not tried on it */
    assert_false(only(list)->direct_io);
}

static void test_others(void **state)
{
    put("sys/kernel/random/boot_id", "0b6d3e2c-3f29-4d9f-8a52-1d2a3b4c5d6e\n");
    put("77/statm", "1000 25 3 4 5\n");
    put("78/statm", "junk");
    g_autofree char *boot = gw_facts_boot_id(folder);
    assert_string_equal(boot, "0b6d3e2c-3f29-4d9f-8a52-1d2a3b4c5d6e");
    assert_int_equal(gw_facts_resident(folder, 77), 25 * sysconf(_SC_PAGESIZE));
    assert_int_equal(gw_facts_resident(folder, 78), 0);
    assert_int_equal(gw_facts_resident(folder, 79), 0);
    assert_null(gw_facts_boot_id("/nonexistent"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_interfaces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_systems, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_others, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
