/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/error.h"
#include "hyper/libvirt_volume_xml.h"
#include "hyper/qcow2.h"

#define KIB 1024
#define MIB (1024 * 1024)
#define GIB (1024 * MIB)

/* XML ----------------------------------------------------------------------------------------- */

/* As libvirt 11.3 writes it. */
static const char volume_xml[] =
    "<volume type='file'>\n  <name>web1.qcow2</name>\n  <key>/var/lib/images/web1.qcow2</key>\n"
    "  <capacity unit='bytes'>1000000512</capacity>\n"
    "  <allocation unit='bytes'>397312</allocation>\n"
    "  <physical unit='bytes'>393224</physical>\n  <target>\n"
    "    <path>/var/lib/images/web1.qcow2</path>\n    <format type='qcow2'/>\n    <permissions>\n"
    "      <mode>0600</mode>\n      <owner>107</owner>\n      <group>108</group>\n"
    "      <label>system_u:object_r:virt_image_t:s0</label>\n    </permissions>\n    <timestamps>\n"
    "      <atime>1700000000.1</atime>\n      <mtime>1700000001.25</mtime>\n    </timestamps>\n"
    "    <compat>1.1</compat>\n    <clusterSize unit='B'>131072</clusterSize>\n    <features>\n"
    "      <lazy_refcounts/>\n      <extended_l2/>\n    </features>\n  </target>\n"
    "  <backingStore>\n    <path>/var/lib/images/base.img</path>\n    <format type='raw'/>\n"
    "  </backingStore>\n</volume>\n";

static void a_volume_is_read(void **state)
{
    g_autoptr(GwVolume) volume = gw_libvirt_volume_from_xml(volume_xml, NULL);
    g_autofree char *mtime = gw_libvirt_volume_mtime(volume_xml);

    assert_non_null(volume);
    assert_null(volume->pool);
    assert_string_equal(volume->name, "web1.qcow2");
    assert_string_equal(volume->path, "/var/lib/images/web1.qcow2");
    assert_string_equal(volume->kind, "file");
    assert_string_equal(volume->format, "qcow2");
    assert_int_equal(volume->capacity_bytes, 1000000512);
    assert_int_equal(volume->allocation_bytes, 397312);
    assert_int_equal(volume->length_bytes, 393224);
    assert_int_equal(volume->cluster_bytes, 131072);
    assert_string_equal(volume->compat, "1.1");
    assert_true(volume->lazy_refcounts);
    assert_true(volume->extended_l2);
    assert_false(volume->encrypted);
    assert_int_equal(volume->internal_snapshots, -1);
    assert_string_equal(volume->backing_path, "/var/lib/images/base.img");
    assert_string_equal(volume->backing_format, "raw");
    assert_string_equal(volume->owner, "107");
    assert_string_equal(volume->group, "108");
    assert_string_equal(volume->mode, "0600");
    assert_string_equal(volume->label, "system_u:object_r:virt_image_t:s0");
    assert_string_equal(mtime, "1700000001.25");
    assert_string_equal(volume->modified, "1700000001.25");
}

static void a_hostile_volume_is_refused_or_empty(void **state)
{
    g_autofree char *name = g_strnfill(5000, 'n');
    g_autofree char *longest =
        g_strdup_printf("<volume><name>%s</name><target><path>/x</path></target></volume>", name);
    g_autoptr(GwVolume) sizes = gw_libvirt_volume_from_xml(
        "<volume type='tape'><name>a</name><capacity unit='GiB'>4</capacity>"
        "<physical>-1</physical><target><path>/a</path></target></volume>",
        NULL);

    assert_null(gw_libvirt_volume_from_xml("<volume", NULL));
    assert_null(gw_libvirt_volume_from_xml("<volume><name>a</name></volume>", NULL));
    assert_null(gw_libvirt_volume_from_xml(longest, NULL));
    assert_non_null(sizes);
    assert_null(sizes->kind);
    assert_int_equal(sizes->capacity_bytes, 0);
    assert_int_equal(sizes->length_bytes, 0);
    assert_null(gw_libvirt_volume_mtime("<volume/>"));
}

static GwVolume *wish(const char *format, gint64 capacity)
{
    GwVolume *volume = gw_volume_new();

    volume->name = g_strdup("a&b'<.img");
    volume->format = g_strdup(format);
    volume->capacity_bytes = capacity;
    return volume;
}

static void a_wish_is_written_exactly(void **state)
{
    g_autoptr(GwVolume) volume = wish("qcow2", 1000000001);
    volume->cluster_bytes = 131072;
    volume->compat = g_strdup("1.1");
    volume->extended_l2 = TRUE;
    volume->owner = g_strdup("107");
    volume->mode = g_strdup("0600");
    volume->backing_path = g_strdup("/a/b&c");
    volume->backing_format = g_strdup("raw");
    g_autofree char *xml = gw_libvirt_volume_to_xml(volume, "dir", NULL);

    assert_string_equal(
        xml, "<volume><name>a&amp;b&apos;&lt;.img</name>"
             "<capacity unit='bytes'>1000000001</capacity><allocation unit='bytes'>0</allocation>"
             "<target><format type='qcow2'/><permissions><mode>0600</mode><owner>107</owner>"
             "</permissions><compat>1.1</compat><clusterSize unit='B'>131072</clusterSize>"
             "<features><extended_l2/></features></target>"
             "<backingStore><path>/a/b&amp;c</path><format type='raw'/></backingStore></volume>");
    g_clear_pointer(&volume->backing_format, g_free);
    assert_null(gw_libvirt_volume_to_xml(volume, "dir", NULL));
}

static void storage_is_taken_at_once_only_where_asked(void **state)
{
    g_autoptr(GwVolume) volume = wish("raw", MIB);
    g_autofree char *sparse = gw_libvirt_volume_to_xml(volume, "netfs", NULL);
    volume->allocation_bytes = MIB;
    g_autofree char *full = gw_libvirt_volume_to_xml(volume, "dir", NULL);
    volume->allocation_bytes = 0;
    g_autofree char *lvm = gw_libvirt_volume_to_xml(volume, "logical", NULL);

    assert_non_null(strstr(sparse, "<allocation unit='bytes'>0<"));
    assert_non_null(strstr(full, "<allocation unit='bytes'>1048576<"));
    /* LVM would make less a snapshot; and knows no formats. */
    assert_non_null(strstr(lvm, "<allocation unit='bytes'>1048576<"));
    assert_null(strstr(lvm, "<format"));
}

static void what_cannot_be_made_is_refused(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwVolume) qcow2 = wish("qcow2", MIB);
    g_autoptr(GwVolume) nothing = wish(NULL, MIB);

    assert_null(gw_libvirt_volume_to_xml(qcow2, "logical", &error));
    assert_int_equal(error->code, GW_ERR_UNSUPPORTED);
    qcow2->encrypted = TRUE;
    assert_null(gw_libvirt_volume_to_xml(qcow2, "dir", NULL));
    assert_null(gw_libvirt_volume_to_xml(nothing, "dir", NULL));
}

/* Paths --------------------------------------------------------------------------------------- */

static void paths_are_of_one_file(void **state)
{
    static const char *const bad[] = { "",      "a",     "a/b",   "/",       "/a/", "/a//b", "/a/.",
                                       "/../a", "/a/..", "/a\nb", "/a/\x7f", "//a", "/\xff" };

    assert_true(gw_libvirt_path_check("/var/lib/images/a b.img", NULL));
    assert_true(gw_libvirt_path_check("/a/..b/c...", NULL));
    assert_false(gw_libvirt_path_check(NULL, NULL));
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        assert_false(gw_libvirt_path_check(bad[i], NULL));
}

static void backing_names_are_of_the_images_folder(void **state)
{
    static const char *const files[][2] = {
        { "base.img", "/pool/base.img" }, { "../x/b", "/x/b" },        { "./b", "/pool/b" },
        { "/abs//b", "/abs/b" },          { "file:/abs/b", "/abs/b" }, { "./a:b", "/pool/a:b" },
        { "dir/a:b", "/pool/dir/a:b" }
    };
    static const char *const others[] = {
        "nbd://x/y", "json:{\"driver\":\"file\"}", "fat:/etc", "rbd:a/b", "x:y", "a\nb", ""
    };

    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = gw_libvirt_backing_path("/pool/top", files[i][0], NULL);
        assert_string_equal(path, files[i][1]);
    }
    for (gsize i = 0; i + 1 < G_N_ELEMENTS(others); i++)
        assert_null(gw_libvirt_backing_path("/pool/top", others[i], NULL));
}

/* Fresh --------------------------------------------------------------------------------------- */

static GwVolume *found(const char *format, gint64 capacity, gint64 length, gint64 cluster)
{
    GwVolume *volume = gw_volume_new();

    volume->kind = g_strdup("file");
    volume->format = g_strdup(format);
    volume->capacity_bytes = capacity;
    volume->length_bytes = length;
    volume->cluster_bytes = cluster;
    return volume;
}

/* Lengths as qemu-img 10 made them; one cluster written adds its own and a second-level table. */
static void a_fresh_qcow2_is_told_by_its_length(void **state)
{
    static const struct {
        gint64 capacity, cluster, fresh, written;
        gboolean extended_l2;
    } images[] = {
        { 5 * MIB, 64 * KIB, 196616, 393216, FALSE },
        { 1000000001, 128 * KIB, 393224, 786432, TRUE },
        { 100LL * GIB, 64 * KIB, 198208, 393216, FALSE },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(images); i++) {
        g_autoptr(GwVolume) asked = wish("qcow2", images[i].capacity);
        gint64 capacity = (images[i].capacity + 511) / 512 * 512;
        g_autoptr(GwVolume) image = found("qcow2", capacity, images[i].fresh, images[i].cluster);
        image->extended_l2 = images[i].extended_l2;
        assert_true(gw_libvirt_volume_is_fresh(image, asked));
        image->length_bytes = images[i].written;
        assert_false(gw_libvirt_volume_is_fresh(image, asked));
    }
}

static void a_fresh_raw_has_no_storage(void **state)
{
    g_autoptr(GwVolume) asked = wish("raw", 12345677);
    g_autoptr(GwVolume) image = found("raw", 12345677, 12345677, 0);

    assert_true(gw_libvirt_volume_is_fresh(image, asked));
    image->allocation_bytes = 4096;
    assert_false(gw_libvirt_volume_is_fresh(image, asked));
    image->allocation_bytes = 0;
    image->capacity_bytes++;
    assert_false(gw_libvirt_volume_is_fresh(image, asked));
    asked->capacity_bytes++;
    g_free(asked->format);
    asked->format = g_strdup("qcow2");
    assert_false(gw_libvirt_volume_is_fresh(image, asked));
}

/* Uses ---------------------------------------------------------------------------------------- */

static gboolean names(const char *inside, const char *path, const char *pool, const char *name)
{
    g_autofree char *xml = g_strdup_printf(
        "<domain type='kvm'><name>web1</name><uuid>6b3b6b8e-0000-4000-8000-000000000001</uuid>"
        "<metadata><x note='/pool/noted'>/pool/noted</x></metadata>%s</domain>",
        inside);
    g_autofree char *vm = NULL;
    gboolean named = gw_libvirt_domain_names(xml, path, pool, name, &vm);

    if (named)
        assert_string_equal(vm, "web1");
    return named;
}

static void every_use_of_an_image_is_seen(void **state)
{
    static const char *const uses[] = {
        "<devices><disk><source file='/pool/a'/></disk></devices>",
        "<devices><disk><source dev='/pool/a'/></disk></devices>",
        "<devices><disk><source file='/pool/x/../a'/></disk></devices>",
        "<devices><disk><source file='/pool//a'/></disk></devices>",
        ("<devices><disk><source file='/o'/><backingStore type='file'><format type='qcow2'/>"
         "<source file='/p'/><backingStore><source file='/pool/a'/></backingStore></backingStore>"
         "</disk></devices>"),
        ("<devices><disk><source file='/o'/><mirror type='file' file='/pool/a' job='copy'>"
         "<source file='/b'/></mirror></disk></devices>"),
        "<os><nvram template='/t'>/pool/a</nvram></os>",
        "<os><nvram> /pool/a\n</nvram></os>",
        "<os><nvram type='file'><source file='/pool/a'/></nvram></os>",
        "<os><kernel>/pool/a</kernel></os>",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(uses); i++) {
        assert_true(names(uses[i], "/pool/a", "p", "a"));
        assert_false(names(uses[i], "/pool/ab", "p", "ab"));
    }
    assert_false(names("", "/pool/noted", NULL, "noted"));
}

static void volumes_and_tpms_are_seen(void **state)
{
    static const char disk[] = "<devices><disk type='volume'><source pool='p' volume='v'/></disk>"
                               "</devices>";
    static const char tpm[] = "<devices><tpm><backend type='emulator'/></tpm></devices>";
    static const char state_path[] =
        "/var/lib/libvirt/swtpm/6b3b6b8e-0000-4000-8000-000000000001/tpm2/tpm2-00.permall";

    assert_true(names(disk, "/x", "p", "v"));
    assert_false(names(disk, "/x", "q", "v"));
    assert_false(names(disk, "/x", NULL, "v"));
    assert_true(names(tpm, state_path, NULL, "tpm2-00.permall"));
    assert_false(names("", state_path, NULL, "tpm2-00.permall"));
}

static void devices_of_disks_are_listed(void **state)
{
    g_auto(GStrv) found = gw_libvirt_domain_devices(
        "<domain><devices><disk><source dev='/dev/mapper/vg-lv'/><backingStore>"
        "<source dev='/dev/vg/base'/></backingStore><mirror><source "
        "dev='/dev/sdx'/></mirror></disk>"
        "<disk><source file='/images/a'/></disk><disk><source file='/dev/sdb'/></disk>"
        "<disk><source protocol='iscsi' name='/dev/none'/></disk>"
        "<rng><backend>/dev/urandom</backend></rng></devices></domain>");
    g_auto(GStrv) none = gw_libvirt_domain_devices("<domain");
    GString *many = g_string_new("<domain><devices>");

    for (guint i = 0; i < 300; i++)
        g_string_append(many, "<disk><source dev='/dev/sda'/></disk>");
    g_string_append(many, "</devices></domain>");
    g_auto(GStrv) bounded = gw_libvirt_domain_devices(many->str);
    g_string_free(many, TRUE);
    assert_true(g_strv_contains((const char *const *)found, "/dev/mapper/vg-lv"));
    assert_true(g_strv_contains((const char *const *)found, "/dev/vg/base"));
    assert_true(g_strv_contains((const char *const *)found, "/dev/sdx"));
    assert_true(g_strv_contains((const char *const *)found, "/dev/sdb"));
    assert_false(g_strv_contains((const char *const *)found, "/images/a"));
    assert_false(g_strv_contains((const char *const *)found, "/dev/urandom"));
    assert_int_equal(g_strv_length(none), 0);
    assert_int_equal(g_strv_length(bounded), 256);
}

static void what_cannot_be_read_counts_as_use(void **state)
{
    g_autofree char *vm = NULL;

    assert_true(gw_libvirt_domain_names("<domain", "/pool/a", NULL, "a", &vm));
    assert_non_null(vm);
}

static void targets_are_found_in_sources(void **state)
{
    g_autoptr(GPtrArray) two = gw_libvirt_sources_targets(
        "<sources><source><host name='h'/><device path='iqn.2026-01.org.example:a'/></source>"
        "<source><device path='iqn.2026-01.org.example:b'/></source><source/></sources>");
    g_autoptr(GPtrArray) none = gw_libvirt_sources_targets("<sources");

    assert_int_equal(two->len, 2);
    assert_string_equal(two->pdata[1], "iqn.2026-01.org.example:b");
    assert_int_equal(none->len, 0);
}

/* qcow2 --------------------------------------------------------------------------------------- */

static void put32(guint8 *at, guint32 value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (guint8)(value >> (24 - 8 * i));
}

static void put64(guint8 *at, guint64 value)
{
    put32(at, (guint32)(value >> 32));
    put32(at + 4, (guint32)value);
}

/* A version 3 header of clusters of 64 KiB, 5 MiB long, two snapshots; with the backing file
 * @backing and, unless NULL, its format. */
static guint8 *header(const char *backing, const char *format)
{
    guint8 *bytes = g_malloc0(64 * KIB);
    guint8 *at = bytes + 104;

    put32(bytes, 0x514649fb);
    put32(bytes + 4, 3);
    put32(bytes + 20, 16);
    put64(bytes + 24, 5 * MIB);
    put32(bytes + 60, 2);
    put64(bytes + 72, 1 << 4);
    put64(bytes + 80, 1);
    put32(bytes + 100, 104);
    if (format != NULL) {
        put32(at, 0xe2792aca);
        put32(at + 4, (guint32)strlen(format));
        memcpy(at + 8, format, strlen(format));
        at += 8 + (strlen(format) + 7) / 8 * 8;
    }
    at += 8; /* the end of extensions */
    if (backing != NULL) {
        put64(bytes + 8, (guint64)(at - bytes));
        put32(bytes + 16, (guint32)strlen(backing));
        memcpy(at, backing, strlen(backing));
    }
    return bytes;
}

static gboolean reads(const guint8 *bytes, gsize length)
{
    g_auto(GwQcow2) head = { .version = 0 };
    g_autoptr(GError) error = NULL;
    gboolean well = gw_qcow2_read(bytes, length, &head, NULL, &error);

    assert_true(well == (error == NULL));
    return well;
}

static void a_header_is_read(void **state)
{
    g_autofree guint8 *bytes = header("base.img", "raw");
    g_autofree guint8 *bare = header("base.img", NULL);
    g_auto(GwQcow2) head = { .version = 0 };
    g_auto(GwQcow2) unstated = { .version = 0 };

    assert_true(gw_qcow2_read(bytes, 64 * KIB, &head, NULL, NULL));
    assert_int_equal(head.version, 3);
    assert_int_equal(head.capacity_bytes, 5 * MIB);
    assert_int_equal(head.cluster_bytes, 64 * KIB);
    assert_int_equal(head.snapshots, 2);
    assert_true(head.extended_l2);
    assert_true(head.lazy_refcounts);
    assert_false(head.data_file);
    assert_false(head.encrypted);
    assert_string_equal(head.backing, "base.img");
    assert_string_equal(head.backing_format, "raw");
    assert_true(gw_qcow2_read(bare, 64 * KIB, &unstated, NULL, NULL));
    assert_string_equal(unstated.backing, "base.img");
    assert_null(unstated.backing_format);
}

static void a_hostile_header_is_refused(void **state)
{
    static const struct {
        gsize at;
        guint32 value;
    } wrong[] = {
        { 0, 0x12345678 },  /* another file */
        { 4, 4 },           /* a later version */
        { 20, 40 },         /* clusters of a terabyte */
        { 20, 0 },          /* or of a byte */
        { 24, 0xffffffff }, /* larger than can be */
        { 8, 0xffffffff },  /* a name far behind the header */
        { 16, 0xffffffff }, /* a long one */
        { 16, 2000 },
        { 100, 0xffffffff },     /* a long header */
        { 100, 8 },              /* a short one */
        { 104 + 4, 0xfffffff0 }, /* a long extension */
        { 104 + 4, 100 },        /* a long name of a format */
    };

    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree guint8 *bytes = header("base.img", "raw");
        put32(bytes + wrong[i].at, wrong[i].value);
        assert_false(reads(bytes, 64 * KIB));
    }
    g_autofree guint8 *nul = header("base\nimg", "raw");
    nul[104 + 8 + 8 + 8 + 4] = 0;
    assert_false(reads(nul, 64 * KIB));
}

/* However much of it there is, nothing is read beyond. */
static void a_short_header_says_what_it_needs(void **state)
{
    g_autofree guint8 *bytes = header("base.img", "raw");

    for (gsize length = 0; length < 200; length++) {
        g_autofree guint8 *exact = g_memdup2(bytes, length);
        g_auto(GwQcow2) head = { .version = 0 };
        gsize need = 1;
        gboolean well = gw_qcow2_read(exact, length, &head, &need, NULL);
        assert_int_equal(well, length >= 104 + 16 + 8 + 8);
        if (!well && length >= 104)
            assert_int_equal(need, 64 * KIB);
        if (length < 104)
            assert_int_equal(need, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_volume_is_read),
        cmocka_unit_test(a_hostile_volume_is_refused_or_empty),
        cmocka_unit_test(a_wish_is_written_exactly),
        cmocka_unit_test(storage_is_taken_at_once_only_where_asked),
        cmocka_unit_test(what_cannot_be_made_is_refused),
        cmocka_unit_test(paths_are_of_one_file),
        cmocka_unit_test(backing_names_are_of_the_images_folder),
        cmocka_unit_test(a_fresh_qcow2_is_told_by_its_length),
        cmocka_unit_test(a_fresh_raw_has_no_storage),
        cmocka_unit_test(every_use_of_an_image_is_seen),
        cmocka_unit_test(volumes_and_tpms_are_seen),
        cmocka_unit_test(devices_of_disks_are_listed),
        cmocka_unit_test(what_cannot_be_read_counts_as_use),
        cmocka_unit_test(targets_are_found_in_sources),
        cmocka_unit_test(a_header_is_read),
        cmocka_unit_test(a_hostile_header_is_refused),
        cmocka_unit_test(a_short_header_says_what_it_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
