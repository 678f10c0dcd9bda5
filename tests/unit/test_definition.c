/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "definition_words.h"
#include "model/definition.h"

/* A running VM as libvirt 11.3 shows it, shortened: a chain of three, a raw disk, a volume of a
 * pool, a disk on a server, and an empty drive. */
static const char running[] =
    "<domain type='kvm' id='3' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
    "  <name>web1</name>\n"
    "  <os>\n    <type arch='x86_64'>hvm</type>\n    <loader type='pflash'>/code.fd</loader>\n"
    "    <nvram template='/vars.fd'>/var/lib/libvirt/qemu/nvram/web1.fd</nvram>\n  </os>\n"
    "  <devices>\n"
    "    <disk type='file' device='disk'>\n"
    "      <driver name='qemu' type='qcow2' cache='none' discard_no_unref='on'>\n"
    "        <metadata_cache><max_size unit='bytes'>1048576</max_size></metadata_cache>\n"
    "      </driver>\n"
    "      <source file='/pool1/web1.snap2' index='3' startupPolicy='optional'>\n"
    "        <seclabel model='selinux' labelskip='yes'/>\n"
    "        <seclabel model='dac' relabel='no'/>\n"
    "        <slices><slice type='storage' offset='0' size='1024'/></slices>\n"
    "        <privateData><nodenames/></privateData>\n"
    "        <future knob='7'/>\n      </source>\n"
    "      <backingStore type='file' index='2'>\n        <format type='qcow2'/>\n"
    "        <source file='/pool1/web1.snap1' index='2'/>\n"
    "        <backingStore type='file' index='1'>\n          <format type='raw'/>\n"
    "          <source file='/pool1/base.img' index='1'/>\n          <backingStore/>\n"
    "        </backingStore>\n      </backingStore>\n"
    "      <mirror type='file' job='copy'><source file='/else'/></mirror>\n"
    "      <target dev='vda' bus='virtio'/>\n      <serial>A1</serial>\n"
    "      <unheard a='b'>of</unheard>\n"
    "    </disk>\n"
    "    <disk type='block' device='lun'>\n      <driver name='qemu' type='raw'/>\n"
    "      <source dev='/dev/sdx' index='4'><reservations managed='yes'/></source>\n"
    "      <backingStore/>\n      <target dev='sda' bus='scsi'/>\n    </disk>\n"
    "    <disk type='volume' device='disk'>\n      <driver name='qemu' type='raw'/>\n"
    "      <source pool='fast' volume='web1-2' mode='host' index='5'/>\n      <backingStore/>\n"
    "      <target dev='vdb' bus='virtio'/>\n    </disk>\n"
    "    <disk type='network' device='disk'>\n      <driver name='qemu' type='raw'/>\n"
    "      <auth username='u'><secret type='iscsi' usage='s'/></auth>\n"
    "      <source protocol='iscsi' name='iqn.2026-01.test:a/1' tls='no' index='6'>\n"
    "        <host name='san1' port='3260'/>\n        <initiator><iqn name='i'/></initiator>\n"
    "      </source>\n      <target dev='vdc' bus='virtio'/>\n    </disk>\n"
    "    <disk type='file' device='cdrom'>\n      <target dev='sdb' bus='sata'/>\n    </disk>\n"
    "    <graphics type='vnc' passwd='a&lt;b&amp;&quot;c'/>\n"
    "    <tpm model='tpm-crb'><backend type='emulator' version='2.0'>\n"
    "      <source type='dir' path='/tpm/old'/></backend></tpm>\n"
    "  </devices>\n"
    "  <qemu:commandline>\n    <qemu:arg value='-a'/>\n  </qemu:commandline>\n"
    "</domain>";

static GwVolume *file(const char *path, const char *format)
{
    GwVolume *volume = gw_volume_new();

    volume->path = g_strdup(path);
    volume->kind = g_strdup("file");
    volume->format = g_strdup(format);
    return volume;
}

static GwDiskMove *add(GPtrArray *disks, const char *target, GwVolume *to)
{
    GwDiskMove *move = gw_disk_move_new();
    GwImageMove *image = gw_image_move_new();

    move->target = g_strdup(target);
    move->how = GW_DISK_MIRROR;
    if (move->images == NULL)
        move->images = gw_record_array(&gw_image_move_record);
    image->to = to;
    g_ptr_array_add(move->images, image);
    g_ptr_array_add(disks, move);
    return move;
}

static GwImageMove *below(GwDiskMove *move, GwVolume *to)
{
    GwImageMove *image = gw_image_move_new();

    image->to = to;
    g_ptr_array_add(move->images, image);
    return image;
}

static GPtrArray *moves(void)
{
    return gw_record_array(&gw_disk_move_record);
}

static char *changed(const GPtrArray *disks)
{
    g_autoptr(GError) error = NULL;
    char *text = gw_definition_with_disks(running, disks, &error);

    if (text == NULL)
        fail_msg("%s", error->message);
    return tight(text);
}

/* Nothing moves: what is written is what was read, but for quotes. */
static void test_nothing(void **state)
{
    g_autoptr(GPtrArray) disks = moves();
    g_autofree char *none = gw_definition_with_disks(running, NULL, NULL);
    GwDiskMove *stays = add(disks, "vda", file("/pool2/web1", "qcow2"));
    stays->how = GW_DISK_STAYS;
    GwDiskMove *empty = gw_disk_move_new();
    empty->target = g_strdup("sdb");
    empty->how = GW_DISK_LEFT;
    g_ptr_array_add(disks, empty);
    g_autofree char *same = gw_definition_with_disks(running, disks, NULL);

    assert_non_null(none);
    assert_string_equal(none, same);
    assert_has(none, "passwd=\"a&lt;b&amp;&quot;c\"");
    assert_has(none, "<qemu:arg value=\"-a\"/>");
    assert_has(none, "xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\"");
}

static void test_flattened(void **state)
{
    g_autoptr(GPtrArray) disks = moves();
    GwDiskMove *move = add(disks, "vda", file("/pool2/we\"b<1>", "qcow2"));
    ((GwImageMove *)move->images->pdata[0])->flatten = TRUE;
    g_autofree char *text = changed(disks);

    assert_has(text, "file=\"/pool2/we&quot;b&lt;1&gt;\"");
    assert_has(text, "startupPolicy=\"optional\"");
    assert_has(text, "<seclabel model=\"dac\" relabel=\"no\"/><future knob=\"7\"/></source>"
                     "<backingStore/><target dev=\"vda\" bus=\"virtio\"/>");
    assert_has(text, "<serial>A1</serial><unheard a=\"b\">of</unheard>");
    assert_has(text, "<metadata_cache>");
    assert_has(text, "discard_no_unref=\"on\"");
    assert_lacks(text, "index=\"3\"");
    assert_lacks(text, "labelskip");
    assert_lacks(text, "mirror");
    assert_lacks(text, "slices");
    assert_lacks(text, "privateData");
    assert_lacks(text, "pool1");
    assert_has(text, "index=\"4\""); /* of a disk that stays */
}

static void test_chain_moves(void **state)
{
    g_autoptr(GPtrArray) disks = moves();
    GwDiskMove *move = add(disks, "vda", file("/pool2/a", "qcow2"));
    below(move, file("/pool2/b", "qcow2"));
    GwVolume *device = file("/dev/vg/c", "raw");
    g_free(device->kind);
    device->kind = g_strdup("block");
    below(move, device);
    g_autofree char *text = changed(disks);

    assert_has(text, "<backingStore type=\"file\"><format type=\"qcow2\"/>"
                     "<source file=\"/pool2/b\"/><backingStore type=\"block\">"
                     "<format type=\"raw\"/><source dev=\"/dev/vg/c\"/><backingStore/>"
                     "</backingStore></backingStore><target dev=\"vda\" bus=\"virtio\"/>");
    assert_lacks(text, "pool1");
}

/* The lowest image is one that both hosts reach. */
static void test_chain_keeps_its_base(void **state)
{
    g_autoptr(GPtrArray) disks = moves();
    GwDiskMove *move = add(disks, "vda", file("/pool2/a", "qcow2"));
    GwImageMove *image = below(move, file("/pool2/b", "qcow2"));
    image->to->backing_path = g_strdup("/pool1/base.img");
    g_autofree char *kept = changed(disks);

    assert_has(kept, "<source file=\"/pool2/b\"/><backingStore type=\"file\">"
                     "<format type=\"raw\"/><source file=\"/pool1/base.img\"/><backingStore/>"
                     "</backingStore></backingStore>");

    /* The same for the top alone, and for one that has other images below it now. */
    g_ptr_array_set_size(move->images, 1);
    image = move->images->pdata[0];
    image->to->backing_path = g_strdup("/pool1/web1.snap1");
    g_autofree char *top = changed(disks);
    assert_has(top, "<backingStore type=\"file\"><format type=\"qcow2\"/>"
                    "<source file=\"/pool1/web1.snap1\"/><backingStore type=\"file\">"
                    "<format type=\"raw\"/><source file=\"/pool1/base.img\"/>");
    g_free(image->to->backing_path);
    image->to->backing_path = g_strdup("/pool2/other");
    image->to->backing_format = g_strdup("qcow2");
    g_autofree char *other = changed(disks);
    assert_has(other, "<backingStore type=\"file\"><format type=\"qcow2\"/>"
                      "<source file=\"/pool2/other\"/></backingStore><target");
    assert_lacks(other, "pool1");
}

/* An inactive definition says nothing of the chain, and is not made to. */
static void test_chain_unsaid(void **state)
{
    g_autoptr(GPtrArray) disks = moves();
    GwDiskMove *move = add(disks, "vda", file("/pool2/a", "qcow2"));
    below(move, file("/pool2/b", "qcow2"));
    g_autofree char *text = gw_definition_with_disks(
        "<domain><devices><disk type='file'><source file='/a'/><target dev='vda'/></disk>"
        "</devices></domain>",
        disks, NULL);

    assert_string_equal(text, "<domain><devices><disk type=\"file\">"
                              "<driver name=\"qemu\" type=\"qcow2\"/><source file=\"/pool2/a\"/>"
                              "<target dev=\"vda\"/></disk></devices></domain>");
}

static void test_volume(void **state)
{
    g_autoptr(GPtrArray) disks = moves();
    GwVolume *to = file("/pool2/web1-2.qcow2", "qcow2");
    to->pool = g_strdup("slow");
    to->name = g_strdup("web1-2.qcow2");
    GwVolume *pathless = gw_volume_new();
    pathless->pool = g_strdup("slow");
    pathless->name = g_strdup("b");
    add(disks, "vdb", to);
    add(disks, "vdc", pathless);
    g_autofree char *text = changed(disks);

    /* Named by its pool where it was so before; by its path where it was not. */
    assert_has(text, "<disk type=\"volume\" device=\"disk\"><driver name=\"qemu\" type=\"qcow2\"/>"
                     "<source pool=\"slow\" volume=\"web1-2.qcow2\"/><backingStore/>");
    assert_has(text, "<source pool=\"slow\" volume=\"b\">");
    /* And what was for the server it was on has gone. */
    assert_lacks(text, "<auth");
    assert_lacks(text, "initiator");
    assert_lacks(text, "san1");
}

static void test_server(void **state)
{
    g_autoptr(GPtrArray) disks = moves();
    GwVolume *to = gw_volume_new();
    to->kind = g_strdup("network");
    to->path = g_strdup("iscsi:iqn.2026-01.test:b/2");
    to->server = g_strdup("san2:3260,[2001:db8::1]:3261,2001:db8::2,/run/s");
    add(disks, "vdc", to);
    g_autofree char *text = changed(disks);

    assert_has(text, "<auth username=\"u\">");
    assert_has(text, "<initiator>");
    assert_has(text, "protocol=\"iscsi\" name=\"iqn.2026-01.test:b/2\"");
    assert_has(text, "tls=\"no\"");
    assert_has(text, "<host name=\"san2\" port=\"3260\"/>"
                     "<host name=\"2001:db8::1\" port=\"3261\"/><host name=\"2001:db8::2\"/>"
                     "<host transport=\"unix\" socket=\"/run/s\"/>");
    assert_lacks(text, "san1");

    g_free(to->path);
    to->path = g_strdup("nbd:export");
    g_autofree char *other = changed(disks);
    assert_lacks(other, "<initiator>");
    assert_lacks(other, "tls=\"no\"");

    g_free(to->path);
    to->path = g_strdup("/no/protocol");
    g_autoptr(GError) error = NULL;
    assert_null(gw_definition_with_disks(running, disks, &error));
    assert_has(error->message, "disk vdc: ");
}

static void test_raw_and_block(void **state)
{
    g_autoptr(GPtrArray) disks = moves();
    GwVolume *to = file("/dev/vg/a", "raw");
    g_free(to->kind);
    to->kind = g_strdup("block");
    add(disks, "vda", to);
    g_autofree char *text = changed(disks);

    assert_has(text, "<disk type=\"block\" device=\"disk\">"
                     "<driver name=\"qemu\" type=\"raw\" cache=\"none\">");
    assert_has(text, "dev=\"/dev/vg/a\"");
    assert_lacks(text, "discard_no_unref");
    assert_lacks(text, "metadata_cache");
}

static void test_lun(void **state)
{
    g_autoptr(GPtrArray) disks = moves();
    g_autoptr(GError) error = NULL;
    add(disks, "sda", file("/pool2/a", "raw"));

    assert_null(gw_definition_with_disks(running, disks, &error));
    unit_assert_error(error, GW_ERR_REFUSED, "disk sda: it is a LUN");
}

static void test_nvram_and_tpm(void **state)
{
    g_autoptr(GPtrArray) disks = moves();
    GwDiskMove *move = add(disks, "nvram", file("/nv/web1.fd", "raw"));
    move->how = GW_DISK_WITH_MEMORY;
    add(disks, "tpm", file("/tpm/new", NULL));
    g_autofree char *text = changed(disks);

    assert_has(text, "<nvram template=\"/vars.fd\">/nv/web1.fd</nvram>");
    assert_has(text, "path=\"/tpm/new\"");

    g_free(((GwImageMove *)move->images->pdata[0])->to->format);
    ((GwImageMove *)move->images->pdata[0])->to->format = g_strdup("qcow2");
    g_ptr_array_set_size(disks, 1);
    g_autofree char *sourced = gw_definition_with_disks(
        "<domain><os><nvram type='file' format='raw'><source file='/x'/></nvram></os></domain>",
        disks, NULL);
    assert_string_equal(sourced, "<domain><os><nvram type=\"file\" format=\"qcow2\">"
                                 "<source file=\"/nv/web1.fd\"/></nvram></os></domain>");
    g_autofree char *unsaid =
        gw_definition_with_disks("<domain><os firmware='efi'><loader/></os></domain>", disks, NULL);
    assert_has(unsaid, "<nvram format=\"qcow2\">/nv/web1.fd</nvram></os>");

    g_autoptr(GError) error = NULL;
    assert_null(gw_definition_with_disks("<domain><os/></domain>", disks, &error));
    assert_has(error->message, "disk nvram: the definition has no UEFI variables");
}

static void test_bad(void **state)
{
    g_autoptr(GPtrArray) disks = moves();
    g_autoptr(GError) error = NULL;
    GwDiskMove *move = add(disks, "vdz", file("/a", "raw"));

    assert_null(gw_definition_with_disks(running, disks, &error));
    unit_assert_error(error, GW_ERR_NOT_FOUND, "disk vdz: the definition has no such disk");
    g_clear_error(&error);

    g_free(move->target);
    move->target = g_strdup("vda'] | //*['"); /* a path is not made of it */
    assert_null(gw_definition_with_disks(running, disks, &error));
    assert_int_equal(error->code, GW_ERR_NOT_FOUND);
    g_clear_error(&error);

    g_free(move->target);
    move->target = g_strdup("vda");
    GwImageMove *image = move->images->pdata[0];
    g_free(image->to->path);
    image->to->path = g_strdup("relative");
    assert_null(gw_definition_with_disks(running, disks, &error));
    assert_has(error->message, "disk vda: its new image is 'relative'");
    g_clear_error(&error);

    g_clear_pointer(&image->to, gw_volume_free);
    assert_null(gw_definition_with_disks(running, disks, &error));
    assert_has(error->message, "disk vda: ");
    g_clear_error(&error);

    static const char *const texts[] = {
        "", "<domain>", "<pool/>",
        "<!DOCTYPE d [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><domain>&e;</domain>"
    };
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        assert_null(gw_definition_with_disks(texts[i], NULL, &error));
        assert_int_equal(error->code, GW_ERR_INVALID);
        g_clear_error(&error);
    }
}

/* Each disk of a VM that has many, in two lists, and each of two with one target: the first goes,
 * as libvirt would find it. */
static void test_many_disks(void **state)
{
    enum { COUNT = 16000 };
    g_autoptr(GString) text = g_string_new("<domain><devices>");
    g_autoptr(GPtrArray) disks = moves();

    for (guint i = 0; i < COUNT; i++) {
        g_string_append_printf(text,
                               "<disk type='file'><source file='/old/%u'/>"
                               "<target dev='sd%u'/></disk>%s",
                               i, i, i == COUNT / 2 ? "</devices><devices>" : "");
        g_autofree char *target = g_strdup_printf("sd%u", COUNT - 1 - i);
        g_autofree char *path = g_strdup_printf("/new/%u.raw", COUNT - 1 - i);
        add(disks, target, file(path, "raw"));
    }
    g_string_append(text, "<disk type='file'><source file='/twin'/><target dev='sd0'/></disk>"
                          "</devices></domain>");
    g_autofree char *changed_text = gw_definition_with_disks(text->str, disks, NULL);
    assert_non_null(changed_text);
    assert_null(strstr(changed_text, "/old/"));
    const char *at = changed_text;
    for (guint i = 0; i < COUNT; i++) {
        g_autofree char *path = g_strdup_printf("\"/new/%u.raw\"", i);
        g_autofree char *target = g_strdup_printf("\"sd%u\"", i);
        at = strstr(at, path);
        assert_non_null(at);
        at = strstr(at, "dev=");
        assert_non_null(at);
        assert_memory_equal(at + strlen("dev="), target, strlen(target));
    }
    assert_non_null(strstr(at, "file=\"/twin\""));
}

static void test_one_disk(void **state)
{
    g_autoptr(GwVolume) to = file("/pool2/web1", "raw");
    g_autoptr(GError) error = NULL;
    to->pool = g_strdup("pool2");
    to->name = g_strdup("web1");
    g_autofree char *text = tight(gw_definition_disk(running, "vdb", to, NULL));

    assert_string_equal(text, "<disk type=\"file\" device=\"disk\">"
                              "<driver name=\"qemu\" type=\"raw\"/>"
                              "<source file=\"/pool2/web1\"/><backingStore/>"
                              "<target dev=\"vdb\" bus=\"virtio\"/></disk>");
    assert_null(gw_definition_disk(running, "vdz", to, &error));
    unit_assert_error(error, GW_ERR_NOT_FOUND, "disk vdz: ");
}

static void test_unmap(void **state)
{
    static const char *const targets[] = { "vdb", "vdz", NULL };
    g_autofree char *text = gw_definition_unmap(running, targets, NULL);
    const char *first = strstr(text, "discard=\"unmap\"");

    assert_non_null(first);
    assert_null(strstr(first + 1, "discard=\"unmap\""));
    assert_has(text, "type=\"raw\" discard=\"unmap\"");
}

static void test_snapshot(void **state)
{
    g_autoptr(GPtrArray) disks = moves();
    add(disks, "vda", file("/pool2/a", "qcow2"));
    add(disks, "nvram", file("/nv/a", "raw"));
    g_autofree char *text = gw_definition_snapshot(
        "<domainsnapshot><name>s</name><disks><disk name='vda' snapshot='internal'/></disks>"
        "<domain><devices><disk type='file'><source file='/old'/><target dev='vda'/></disk>"
        "</devices></domain>"
        "<inactiveDomain><devices><disk type='file'><source file='/old'/><target dev='vdx'/>"
        "</disk></devices></inactiveDomain></domainsnapshot>",
        disks, NULL);

    assert_has(text, "<source file=\"/pool2/a\"/><target dev=\"vda\"/>");
    assert_has(text, "<source file=\"/old\"/><target dev=\"vdx\"/>");
    assert_has(text, "<disk name=\"vda\" snapshot=\"internal\"/>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),      cmocka_unit_test(test_flattened),
        cmocka_unit_test(test_chain_moves),  cmocka_unit_test(test_chain_keeps_its_base),
        cmocka_unit_test(test_chain_unsaid), cmocka_unit_test(test_volume),
        cmocka_unit_test(test_server),       cmocka_unit_test(test_raw_and_block),
        cmocka_unit_test(test_lun),          cmocka_unit_test(test_nvram_and_tpm),
        cmocka_unit_test(test_bad),          cmocka_unit_test(test_many_disks),
        cmocka_unit_test(test_one_disk),     cmocka_unit_test(test_unmap),
        cmocka_unit_test(test_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
