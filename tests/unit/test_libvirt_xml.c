/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "base/xml.h"
#include "model/libvirt_xml.h"

#define UUID "1ef55118-9eaa-5af2-ae37-22d0b0de1f41"

/* A domain of what a test is about: elements of <domain>, then devices. */
static GwVm *parse(const char *elements, const char *devices)
{
    g_autofree char *text =
        g_strdup_printf("<domain type='kvm'><name>web1</name><uuid>" UUID "</uuid>"
                        "<memory unit='KiB'>1048576</memory>%s<devices>%s</devices></domain>",
                        elements, devices);
    g_autoptr(GError) error = NULL;
    GwVm *vm = gw_libvirt_vm_from_xml(text, &error);

    if (vm == NULL)
        fail_msg("%s", error->message);
    return vm;
}

static const GwDisk *disk(const GwVm *vm, guint i)
{
    assert_true(i < vm->disks->len);
    return vm->disks->pdata[i];
}

static void test_recorded_running(void **state)
{
    /* As libvirt 11.3 wrote it, shortened. */
    g_autoptr(GwVm) vm = gw_libvirt_vm_from_xml(
        "<domain type='qemu' id='3' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
        "  <name>demo</name>\n  <uuid>1EF55118-9eaa-5af2-ae37-22d0b0de1f41</uuid>\n"
        "  <memory unit='KiB'>262144</memory>\n"
        "  <currentMemory unit='KiB'>131072</currentMemory>\n"
        "  <vcpu placement='static' current='1'>4</vcpu>\n"
        "  <os>\n    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>\n  </os>\n"
        "  <cpu mode='custom' match='exact' check='full'>\n"
        "    <model fallback='forbid'>qemu64</model>\n"
        "    <feature policy='require' name='hypervisor'/>\n  </cpu>\n"
        "  <devices>\n    <emulator>/usr/bin/qemu-system-x86_64</emulator>\n"
        "    <disk type='file' device='disk'>\n"
        "      <driver name='qemu' type='raw' cache='none'/>\n"
        "      <source file='/var/lib/shared/demo.img' index='1'/>\n      <backingStore/>\n"
        "      <target dev='vda' bus='virtio'/>\n      <alias name='virtio-disk0'/>\n"
        "    </disk>\n"
        "    <interface type='bridge'>\n      <mac address='52:54:00:cc:2d:a9'/>\n"
        "      <source bridge='br0'/>\n      <target dev='vnet2'/>\n"
        "      <model type='virtio'/>\n    </interface>\n  </devices>\n</domain>\n",
        NULL);

    assert_non_null(vm);
    assert_string_equal(vm->uuid, UUID);
    assert_string_equal(vm->name, "demo");
    assert_string_equal(vm->virt_type, "qemu");
    assert_string_equal(vm->arch, "x86_64");
    assert_string_equal(vm->machine, "pc-q35-7.2");
    assert_int_equal(vm->vcpus, 1);
    assert_int_equal(vm->memory_kib, 131072);
    assert_int_equal(vm->max_memory_kib, 262144);
    assert_string_equal(vm->cpu_mode, "custom");
    assert_string_equal(vm->cpu_model, "qemu64");
    assert_true(g_str_has_prefix(vm->cpu_xml, "<cpu "));
    assert_non_null(strstr(vm->cpu_xml, "hypervisor"));
    assert_null(vm->error);
    assert_string_equal(disk(vm, 0)->source, "/var/lib/shared/demo.img");
    assert_string_equal(disk(vm, 0)->cache, "none");
    assert_int_equal(disk(vm, 0)->backing_depth, 0);
    const GwNic *nic = vm->nics->pdata[0];
    assert_string_equal(nic->mac, "52:54:00:cc:2d:a9");
    assert_string_equal(nic->source, "br0");
    assert_string_equal(nic->model, "virtio");
}

static void test_defaults(void **state)
{
    g_autoptr(GwVm) vm = parse("", "");

    assert_int_equal(vm->vcpus, 1);
    assert_int_equal(vm->memory_kib, 1048576);
    assert_null(vm->cpu_mode);
    assert_null(vm->cpu_xml);
    assert_int_equal(vm->disks->len, 0);
    assert_null(vm->error);
}

static void test_memory_units(void **state)
{
    static const struct {
        const char *memory;
        gint64 kib;
        gboolean error;
    } rows[] = {
        { "<memory>2048</memory>", 2048, FALSE },
        { "<memory unit='b'>1048576</memory>", 1024, FALSE },
        { "<memory unit='KB'>1024</memory>", 1000, FALSE },
        { "<memory unit='M'>3</memory>", 3072, FALSE },
        { "<memory unit='GiB'>2</memory>", 2097152, FALSE },
        { "<memory unit='TiB'>1</memory>", 1073741824, FALSE },
        { "<memory unit='furlong'>1</memory>", 0, TRUE },
        { "<memory unit='TiB'>9223372036854775807</memory>", 0, TRUE },
        { "<memory>-5</memory>", 0, FALSE },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = g_strdup_printf(
            "<domain><name>a</name><uuid>" UUID "</uuid>%s</domain>", rows[i].memory);
        g_autoptr(GwVm) vm = gw_libvirt_vm_from_xml(text, NULL);
        assert_non_null(vm);
        assert_int_equal(vm->max_memory_kib, rows[i].kib);
        assert_int_equal(vm->error != NULL, rows[i].error);
    }
}

static void test_cpu_modes(void **state)
{
    g_autoptr(GwVm) passthrough = parse("<cpu mode='host-passthrough' migratable='on'/>", "");
    assert_string_equal(passthrough->cpu_mode, "host-passthrough");
    assert_null(passthrough->cpu_model);

    g_autoptr(GwVm) bare = parse("<cpu match='exact'><model>Haswell</model></cpu>", "");
    assert_string_equal(bare->cpu_mode, "custom");
    assert_string_equal(bare->cpu_model, "Haswell");

    /* A topology alone leaves the model to the hypervisor. */
    g_autoptr(GwVm) topology =
        parse("<cpu><topology sockets='1' cores='2' threads='1'/></cpu>", "");
    assert_null(topology->cpu_mode);

    g_autofree char *padding = g_strnfill(GW_LIBVIRT_CPU_XML_MAX, 'x');
    g_autofree char *huge = g_strdup_printf("<cpu><vendor>%s</vendor></cpu>", padding);
    g_autoptr(GwVm) large = parse(huge, "");
    assert_null(large->cpu_xml);
    assert_non_null(large->error);
}

static void test_disk_kinds(void **state)
{
    g_autoptr(GwVm) vm = parse(
        "",
        "<disk type='file' device='cdrom'><source file='/iso/a.iso'/><target dev='sda' bus='sata'/>"
        "<readonly/></disk>"
        "<disk type='file' device='cdrom'><target dev='sdb' bus='sata'/><readonly/></disk>"
        "<disk type='block'><source dev='/dev/vg/a'/><target dev='vda'/><shareable/></disk>"
        "<disk type='network'><source protocol='rbd' name='pool/img'><host name='m1' port='6789'/>"
        "<host name='m2'/></source><target dev='vdb'/></disk>"
        "<disk type='network'><source protocol='nbd' name='e'><host transport='unix' "
        "socket='/run/n.sock'/></source><target dev='vdc'/></disk>"
        "<disk type='network'><source protocol='iscsi' name='iqn.2013-07.org.example:t/1'>"
        "<host name='san' port='3260'/></source><target dev='vdd'/></disk>"
        "<disk type='volume'><source pool='p' volume='v'/><target dev='vde'/><transient/></disk>"
        "<disk type='holographic'><source crystal='c'/><target dev='vdf'/></disk>"
        "<disk type='nvme'><source type='pci' namespace='1'><address domain='0x0000' bus='0x01' "
        "slot='0x00' function='0x0'/></source><target dev='vdg'/></disk>");

    assert_int_equal(vm->disks->len, 9);
    assert_string_equal(disk(vm, 0)->device, "cdrom");
    assert_string_equal(disk(vm, 0)->source, "/iso/a.iso");
    assert_true(disk(vm, 0)->readonly);
    assert_null(disk(vm, 1)->source);
    assert_string_equal(disk(vm, 2)->source, "/dev/vg/a");
    assert_string_equal(disk(vm, 2)->device, "disk");
    assert_true(disk(vm, 2)->shareable);
    assert_string_equal(disk(vm, 3)->source, "rbd:pool/img");
    assert_string_equal(disk(vm, 3)->source_host, "m1:6789,m2");
    assert_string_equal(disk(vm, 4)->source_host, "/run/n.sock");
    assert_string_equal(disk(vm, 5)->source, "iscsi:iqn.2013-07.org.example:t/1");
    assert_string_equal(disk(vm, 5)->source_host, "san:3260");
    assert_string_equal(disk(vm, 6)->source, "p/v");
    assert_true(disk(vm, 6)->transient);
    /* A kind that is not known is a medium all the same, or a writable disk would count as none. */
    assert_string_equal(disk(vm, 7)->source, "(holographic)");
    assert_true(gw_disk_is_writable(disk(vm, 7)));
    assert_non_null(disk(vm, 8)->source);
}

static void test_backing_chain_and_mirror(void **state)
{
    g_autoptr(GwVm) vm = parse(
        "", "<disk type='file'><driver name='qemu' type='qcow2'/><source file='/a/top.qcow2'/>"
            "<backingStore type='file'><format type='qcow2'/><source file='/a/mid.qcow2'/>"
            "<backingStore type='network'><format type='raw'/><source protocol='nbd' name='b'/>"
            "<backingStore/></backingStore></backingStore>"
            "<mirror type='file' job='copy' ready='yes'><source file='/b/top.qcow2'/>"
            "<backingStore type='file'><source file='/b/x'/></backingStore></mirror>"
            "<target dev='vda'/></disk>");

    assert_int_equal(disk(vm, 0)->backing_depth, 2);
    assert_true(disk(vm, 0)->block_job);
    assert_string_equal(disk(vm, 0)->block_job_kind, "copy");
    assert_string_equal(disk(vm, 0)->backing_path, "/a/mid.qcow2");
    assert_string_equal(disk(vm, 0)->source, "/a/top.qcow2");
    assert_string_equal(disk(vm, 0)->format, "qcow2");
}

static void test_block_jobs(void **state)
{
    static const char text[] =
        "<domain><devices>"
        "<disk type='volume'><source pool='p' volume='v'/><backingStore/>"
        "<mirror type='file' job='copy'><format type='raw'/><source file='/b'/></mirror>"
        "<target dev='vda'/></disk>"
        "<disk type='file'><source file='/t'/><backingStore type='file'><source file='/m'/>"
        "</backingStore><mirror type='block' job='active-commit' ready='yes'>"
        "<source dev='/dev/m'/></mirror><target dev='vdb'/></disk>"
        "<disk type='file'><source file='/x'/><mirror ready='abort'/><target dev='vdc'/></disk>"
        "<disk type='file' device='cdrom'><target dev='sda'/></disk></devices></domain>";
    g_auto(GwLibvirtDisk) copy = { 0 };
    g_auto(GwLibvirtDisk) commit = { 0 };
    g_auto(GwLibvirtDisk) odd = { 0 };
    g_auto(GwLibvirtDisk) empty = { 0 };
    g_auto(GwLibvirtDisk) none = { 0 };
    g_autoptr(GError) missing = NULL;

    UNIT_OK(gw_libvirt_disk_from_xml(text, "vda", &copy, error));
    assert_string_equal(copy.source, "p/v");
    assert_string_equal(copy.mirror, "/b");
    assert_string_equal(copy.job, "copy");
    assert_false(copy.ready);
    assert_null(copy.backing_path);
    UNIT_OK(gw_libvirt_disk_from_xml(text, "vdb", &commit, error));
    assert_string_equal(commit.backing_path, "/m");
    assert_string_equal(commit.mirror, "/dev/m");
    assert_true(commit.ready);
    UNIT_OK(gw_libvirt_disk_from_xml(text, "vdc", &odd, error));
    assert_non_null(odd.mirror); /* a job all the same */
    assert_false(odd.ready);
    UNIT_OK(gw_libvirt_disk_from_xml(text, "sda", &empty, error));
    assert_null(empty.source);
    assert_false(gw_libvirt_disk_from_xml(text, "vdz", &none, &missing));
    unit_assert_error(missing, GW_ERR_NOT_FOUND, "no disk vdz");

    g_auto(GStrv) targets = gw_libvirt_targets_from_xml(text, NULL);
    g_autofree char *all = g_strjoinv(" ", targets);
    assert_string_equal(all, "vda vdb vdc sda");
}

static void test_snapshot_name(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *name = gw_libvirt_snapshot_from_xml(
        "<domainsnapshot><name>a &amp; b</name><parent><name>p</name></parent></domainsnapshot>",
        NULL);

    assert_string_equal(name, "a & b");
    assert_null(gw_libvirt_snapshot_from_xml("<domain><name>a</name></domain>", &error));
    assert_int_equal(error->code, GW_ERR_INVALID);
}

static void test_disk_details(void **state)
{
    g_autoptr(GwVm) vm =
        parse("", "<disk type='file'><driver name='qemu' type='raw' io='native' discard='unmap' "
                  "detect_zeroes='on'/><source file='/a'/><backingStore/><target dev='vda'/>"
                  "<serial>S1</serial><wwn>5000c50015ea71ad</wwn></disk>"
                  "<disk type='file'><source file='/b'/><mirror><source file='/c'/></mirror>"
                  "<target dev='vdb'/></disk>"
                  "<disk type='file'><source file='/b'/><mirror job='active-commit'/>"
                  "<backingStore type='network'><source protocol='rbd' name='p/i'/></backingStore>"
                  "<target dev='vdc'/></disk>");

    assert_string_equal(disk(vm, 0)->io, "native");
    assert_string_equal(disk(vm, 0)->discard, "unmap");
    assert_string_equal(disk(vm, 0)->detect_zeroes, "on");
    assert_string_equal(disk(vm, 0)->serial, "S1");
    assert_string_equal(disk(vm, 0)->wwn, "5000c50015ea71ad");
    assert_null(disk(vm, 0)->backing_path);
    assert_null(disk(vm, 0)->block_job_kind);
    assert_string_equal(disk(vm, 1)->block_job_kind, "copy");
    assert_null(disk(vm, 1)->serial);
    assert_string_equal(disk(vm, 2)->block_job_kind, "active-commit");
    assert_string_equal(disk(vm, 2)->backing_path, "rbd:p/i");
}

static void test_nvram_and_tpm(void **state)
{
    g_autoptr(GwVm) none = parse("<os><type>hvm</type></os>", "");
    g_autoptr(GwVm) path =
        parse("<os><nvram template='/t.fd'>/nv/web1.fd</nvram></os>",
              "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>");
    g_autoptr(GwVm) source = parse("<os><nvram type='network' format='qcow2'>"
                                   "<source protocol='rbd' name='p/nv'/></nvram></os>",
                                   "");
    g_autoptr(GwVm) file = parse("<os><nvram type='file'><source file='/nv/b'/></nvram></os>", "");

    assert_null(none->nvram);
    assert_null(none->nvram_format);
    assert_null(none->tpm);
    assert_string_equal(path->nvram, "/nv/web1.fd");
    assert_string_equal(path->nvram_format, "raw");
    assert_string_equal(path->tpm, "emulator");
    assert_string_equal(source->nvram, "rbd:p/nv");
    assert_string_equal(source->nvram_format, "qcow2");
    assert_string_equal(file->nvram, "/nv/b");
}

/* Memory that somebody outside QEMU writes to; that it could be shared is not enough. */
static void test_shared_memory(void **state)
{
    static const struct {
        const char *elements, *devices;
        gboolean shared;
    } rows[] = {
        { "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>", "",
          FALSE },
        { "", "<interface type='vhostuser'><source type='unix' path='/s'/></interface>", TRUE },
        { "", "<disk type='vhostuser'><source type='unix' path='/s'/><target dev='vda'/></disk>",
          TRUE },
        { "", "<filesystem type='mount'><driver type='virtiofs'/></filesystem>", TRUE },
        { "", "<filesystem type='mount'><driver type='path'/></filesystem>", FALSE },
        { "", "<video><driver name='vhostuser'/></video>", TRUE },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GwVm) vm = parse(rows[i].elements, rows[i].devices);
        assert_int_equal(vm->shared_memory, rows[i].shared);
    }
}

static void test_nics_and_hostdevs(void **state)
{
    g_autoptr(GwVm) vm = parse(
        "", "<interface type='network'><source network='lab' portid='x' bridge='br0'/></interface>"
            "<interface type='direct'><source dev='eth1' mode='bridge'/></interface>"
            "<interface type='user'/>"
            "<interface type='hostdev'><source><address type='pci' domain='0x0000' bus='0x02' "
            "slot='0x10' function='0x1'/></source></interface>"
            "<hostdev mode='subsystem' type='pci'><source><address domain='0x0000' bus='0x06' "
            "slot='0x12' function='0x5'/></source></hostdev>"
            "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/>"
            "<product id='0xbeef'/></source></hostdev>"
            "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address "
            "uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>"
            "<hostdev mode='subsystem' type='pci'><source/></hostdev>");
    const GwHostdev *const *hostdevs = (const GwHostdev *const *)vm->hostdevs->pdata;
    const GwNic *const *nics = (const GwNic *const *)vm->nics->pdata;

    assert_int_equal(vm->nics->len, 4);
    assert_string_equal(nics[0]->source, "lab");
    assert_string_equal(nics[1]->source, "eth1");
    assert_null(nics[2]->source);
    assert_string_equal(nics[3]->source, "0000:02:10.1");
    assert_int_equal(vm->hostdevs->len, 4);
    assert_string_equal(hostdevs[0]->address, "0000:06:12.5");
    assert_string_equal(hostdevs[1]->address, "0x1234:0xbeef");
    assert_string_equal(hostdevs[2]->address, "c2177883-f1bb-47f0-914d-32a22e3a8804");
    assert_string_equal(hostdevs[3]->type, "pci");
    assert_null(hostdevs[3]->address);
}

static void test_hostile_names(void **state)
{
    g_autoptr(GwVm) markup = gw_libvirt_vm_from_xml(
        "<domain><name>&lt;script&gt;alert(1)&lt;/script&gt;</name><uuid>" UUID "</uuid></domain>",
        NULL);
    assert_string_equal(markup->name, "<script>alert(1)</script>");

    /* U+009B begins a terminal's control sequence. */
    g_autoptr(GwVm) control = gw_libvirt_vm_from_xml(
        "<domain><name>a&#x9b;31m&#x7f;b</name><uuid>" UUID "</uuid></domain>", NULL);
    assert_string_equal(control->name, "a\xef\xbf\xbd"
                                       "31m\xef\xbf\xbd"
                                       "b");

    g_autofree char *longest = g_strnfill(5000, 'n');
    g_autofree char *text =
        g_strdup_printf("<domain><name>%s</name><uuid>" UUID "</uuid></domain>", longest);
    g_autoptr(GwVm) cut = gw_libvirt_vm_from_xml(text, NULL);
    assert_true(strlen(cut->name) <= 255);

    g_autoptr(GwVm) nameless =
        gw_libvirt_vm_from_xml("<domain><uuid>" UUID "</uuid></domain>", NULL);
    assert_string_equal(nameless->name, "");
}

static void test_long_path_is_left_out(void **state)
{
    g_autofree char *path = g_strnfill(GW_LIBVIRT_VALUE_MAX + 1, 'p');
    g_autofree char *devices =
        g_strdup_printf("<disk type='file'><source file='/%s'/><target dev='vda'/></disk>", path);
    g_autoptr(GwVm) vm = parse("", devices);

    assert_non_null(vm->error);
    assert_string_equal(disk(vm, 0)->source, "(file)"); /* still a writable medium */
}

static void test_many_devices(void **state)
{
    GString *devices = g_string_new(NULL);
    for (int i = 0; i < GW_LIBVIRT_DEVICES_MAX + 10; i++)
        g_string_append(devices, "<interface type='user'/>");
    g_autofree char *text = g_string_free(devices, FALSE);
    g_autoptr(GwVm) vm = parse("", text);

    assert_int_equal(vm->nics->len, GW_LIBVIRT_DEVICES_MAX);
    assert_non_null(vm->error);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text;
        GwErrorCode code;
    } rows[] = {
        { "", GW_ERR_INVALID },
        { "<domain>", GW_ERR_INVALID },
        { "not XML at all", GW_ERR_INVALID },
        { "<domain><name>a</name></domain>", GW_ERR_INVALID },
        { "<domain><name>a</name><uuid>no-uuid</uuid></domain>", GW_ERR_INVALID },
        { "<network><uuid>" UUID "</uuid></network>", GW_ERR_INVALID },
        { "<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><domain><name>&a;</name>"
          "<uuid>" UUID "</uuid></domain>",
          GW_ERR_INVALID },
        { "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>"
          "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'><!ENTITY d '&c;&c;&c;&c;&c;&c;&c;&c;'>]>"
          "<domain><name>&d;</name><uuid>" UUID "</uuid></domain>",
          GW_ERR_INVALID },
        { "<domain><name>&undeclared;</name><uuid>" UUID "</uuid></domain>", GW_ERR_INVALID },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GwVm) vm = gw_libvirt_vm_from_xml(rows[i].text, &error);
        if (vm != NULL)
            fail_msg("accepted: %s", rows[i].text);
        assert_int_equal(error->code, rows[i].code);
    }
}

static void test_huge(void **state)
{
    g_autofree char *padding = g_strnfill(10 * 1024 * 1024, ' ');
    g_autofree char *text =
        g_strdup_printf("<domain><name>a</name><uuid>" UUID "</uuid>%s</domain>", padding);
    g_autoptr(GError) error = NULL;
    g_autoptr(GwVm) vm = gw_libvirt_vm_from_xml(text, &error);

    assert_null(vm);
    unit_assert_error(error, GW_ERR_TOO_LARGE, "bytes");
}

static void test_pools(void **state)
{
    static const struct {
        const char *type, *source, *expected;
    } rows[] = {
        { "netfs", "<host name='nas.example.org'/><dir path='/export/vm'/><format type='nfs'/>",
          "nas.example.org:/export/vm" },
        { "gluster", "<host name='g1'/><name>vol</name><dir path='/sub'/>", "g1:vol/sub" },
        { "gluster", "<host name='g1'/><name>vol</name>", "g1:vol" },
        { "iscsi", "<host name='san' port='3260'/><device path='iqn.2013-07.org.example:t'/>",
          "san:3260:iqn.2013-07.org.example:t" },
        { "rbd", "<host name='m2' port='6789'/><host name='m1'/><name>pool</name>",
          "m1,m2:6789:pool" },
        { "logical", "<device path='/dev/sda'/><name>vg0</name>", "vg0" },
        { "fs", "<device path='/dev/sdb1'/>", "/dev/sdb1" },
        { "dir", "", NULL },
        { "holographic", "<name>x</name>", NULL },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = g_strdup_printf(
            "<pool type='%s'><name>p</name><source>%s</source><target><path>/t</path></target>"
            "</pool>",
            rows[i].type, rows[i].source);
        g_autoptr(GwPool) pool = gw_libvirt_pool_from_xml(text, NULL);
        assert_non_null(pool);
        assert_string_equal(pool->type, rows[i].type);
        assert_string_equal(pool->target_path, "/t");
        if (g_strcmp0(pool->source, rows[i].expected) != 0)
            fail_msg("%s: '%s', not '%s'", rows[i].type, pool->source, rows[i].expected);
    }
    g_autoptr(GError) error = NULL;
    assert_null(gw_libvirt_pool_from_xml("<pool type='dir'/>", &error));
    assert_int_equal(error->code, GW_ERR_INVALID);
}

static void test_networks(void **state)
{
    g_autoptr(GwNetwork) bridged = gw_libvirt_network_from_xml(
        "<network><name>lab</name><forward mode='bridge'/><bridge name='br0'/></network>", NULL);
    assert_string_equal(bridged->name, "lab");
    assert_string_equal(bridged->kind, "libvirt");
    assert_string_equal(bridged->bridge, "br0");

    g_autoptr(GwNetwork) direct = gw_libvirt_network_from_xml(
        "<network><name>d</name><forward mode='passthrough'/></network>", NULL);
    assert_null(direct->bridge);
    assert_null(gw_libvirt_network_from_xml("<network/>", NULL));

    g_autoptr(GwNetwork) bridge =
        gw_libvirt_bridge_from_xml("<interface type='bridge' name='br0'><bridge/></interface>");
    assert_string_equal(bridge->name, "br0");
    assert_string_equal(bridge->kind, "bridge");
    assert_string_equal(bridge->bridge, "br0");
    assert_int_equal(bridge->mtu, 0);
    assert_null(gw_libvirt_bridge_from_xml("<interface type='ethernet' name='eth0'/>"));
    assert_null(gw_libvirt_bridge_from_xml("rubbish"));
}

static void assert_list(char *const *list, const char *expected)
{
    g_autofree char *joined = list != NULL ? g_strjoinv(" ", (char **)list) : g_strdup("");
    assert_string_equal(joined, expected);
}

/* What networks are told apart by (R40). */
static void test_network_facts(void **state)
{
    g_autoptr(GwNetwork) guests = gw_libvirt_network_from_xml(
        "<network><name>guests</name><forward mode='bridge'/><bridge name='ovsbr0'/>"
        "<virtualport type='openvswitch'/><mtu size='9000'/>"
        "<vlan trunk='yes'><tag id='42'/><tag id='7'/><tag id='42'/><tag id='99999'/></vlan>"
        "<portgroup name='a' default='yes'/><portgroup><vlan/></portgroup>"
        "<portgroup name='b'><vlan><tag id='100'/></vlan></portgroup></network>",
        NULL);
    assert_string_equal(guests->forward, "bridge");
    assert_string_equal(guests->virtual_port, "openvswitch");
    assert_int_equal(guests->mtu, 9000);
    assert_list(guests->vlans, "7 42");
    assert_int_equal(guests->port_groups->len, 2);
    assert_true(((GwPortGroup *)guests->port_groups->pdata[0])->is_default);
    assert_list(((GwPortGroup *)guests->port_groups->pdata[0])->vlans, "");
    assert_string_equal(((GwPortGroup *)guests->port_groups->pdata[1])->name, "b");
    assert_list(((GwPortGroup *)guests->port_groups->pdata[1])->vlans, "100");

    g_autoptr(GwNetwork) nat = gw_libvirt_network_from_xml(
        "<network><name>n</name><forward/><mtu size='-1'/>"
        "<ip family='ipv6' address='fd00:1::1' prefix='64'/><ip address='x' prefix='8'/>"
        "<ip address='192.168.122.1' netmask='255.255.255.0'/>"
        "<ip address='192.168.122.9' prefix='24'/></network>",
        NULL);
    assert_string_equal(nat->forward, "nat");
    assert_int_equal(nat->mtu, 0);
    assert_list(nat->subnets, "192.168.122.0/24 fd00:1::/64");
    g_autoptr(GwNetwork) alone =
        gw_libvirt_network_from_xml("<network><name>n</name></network>", NULL);
    assert_string_equal(alone->forward, "isolated");

    g_autoptr(GwNetwork) bridge = gw_libvirt_bridge_from_xml(
        "<interface type='bridge' name='br0'><mtu size='1500'/><protocol family='ipv4'>"
        "<ip address='10.1.2.3' prefix='16'/></protocol><bridge stp='off'/></interface>");
    assert_int_equal(bridge->mtu, 1500);
    assert_list(bridge->subnets, "10.1.0.0/16");
}

static void test_nic_facts(void **state)
{
    g_autoptr(GwVm) vm = parse(
        "", "<interface type='bridge'><source network='lan' portid='x' portgroup='b' bridge='br0'/>"
            "<mtu size='1400'/><target dev='vnet3'/><link state='down'/>"
            "<vlan><tag id='42'/></vlan><virtualport type='openvswitch'/></interface>"
            "<interface type='bridge'><source bridge='br1'/><link state='up'/></interface>");
    const GwNic *const *nics = (const GwNic *const *)vm->nics->pdata;

    assert_string_equal(nics[0]->type, "network");
    assert_string_equal(nics[0]->source, "lan");
    assert_string_equal(nics[0]->bridge, "br0");
    assert_string_equal(nics[0]->port_group, "b");
    assert_string_equal(nics[0]->target, "vnet3");
    assert_string_equal(nics[0]->virtual_port, "openvswitch");
    assert_int_equal(nics[0]->mtu, 1400);
    assert_true(nics[0]->link_down);
    assert_list(nics[0]->vlans, "42");
    assert_string_equal(nics[1]->type, "bridge");
    assert_string_equal(nics[1]->source, "br1");
    assert_null(nics[1]->bridge);
    assert_false(nics[1]->link_down);
    assert_list(nics[1]->vlans, "");
}

static void test_capabilities(void **state)
{
    g_autoptr(GwHostFacts) facts = gw_host_facts_new();

    UNIT_OK(gw_libvirt_capabilities_into(
        facts,
        "<capabilities><host><uuid>" UUID "</uuid><cpu><arch>x86_64</arch>"
        "<model>Icelake-Server-v2</model><feature name='ht'/></cpu></host>"
        "<guest><os_type>hvm</os_type><arch name='i686'><machine>isapc</machine></arch></guest>"
        "<guest><os_type>hvm</os_type><arch name='x86_64'>"
        "<machine maxCpus='255'>pc-q35-7.2</machine>"
        "<machine canonical='pc-q35-7.2' maxCpus='255'>q35</machine>"
        "<machine canonical='pc-i440fx-7.2' maxCpus='255'>pc</machine>"
        "<domain type='qemu'/><domain type='kvm'><machine>microvm</machine></domain>"
        "</arch></guest></capabilities>",
        error));
    assert_string_equal(facts->host_uuid, UUID);
    assert_string_equal(facts->arch, "x86_64");
    assert_string_equal(facts->cpu_model, "Icelake-Server-v2");
    assert_non_null(strstr(facts->cpu_xml, "<feature name=\"ht\"/>"));
    assert_int_equal(g_strv_length(facts->machines), 3);
    assert_true(g_strv_contains((const char *const *)facts->machines, "pc-q35-7.2"));
    assert_true(g_strv_contains((const char *const *)facts->machines, "pc-i440fx-7.2"));
    assert_true(g_strv_contains((const char *const *)facts->machines, "microvm"));

    g_autoptr(GwHostFacts) none = gw_host_facts_new();
    g_autoptr(GError) error = NULL;
    assert_false(
        gw_libvirt_capabilities_into(none, "<capabilities><host/></capabilities>", &error));
    unit_assert_error(error, GW_ERR_INVALID, "UUID");
}

static void test_uuid(void **state)
{
    g_autofree char *uuid = gw_libvirt_uuid_from_xml(
        "<domain><uuid>1EF55118-9EAA-5AF2-AE37-22D0B0DE1F41</uuid></domain>", NULL);
    g_autoptr(GError) error = NULL;

    assert_string_equal(uuid, UUID);
    assert_null(gw_libvirt_uuid_from_xml("<domain/>", &error));
    assert_int_equal(error->code, GW_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded_running),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_memory_units),
        cmocka_unit_test(test_cpu_modes),
        cmocka_unit_test(test_disk_kinds),
        cmocka_unit_test(test_backing_chain_and_mirror),
        cmocka_unit_test(test_block_jobs),
        cmocka_unit_test(test_snapshot_name),
        cmocka_unit_test(test_disk_details),
        cmocka_unit_test(test_nvram_and_tpm),
        cmocka_unit_test(test_shared_memory),
        cmocka_unit_test(test_nics_and_hostdevs),
        cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_long_path_is_left_out),
        cmocka_unit_test(test_many_devices),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_network_facts),
        cmocka_unit_test(test_nic_facts),
        cmocka_unit_test(test_capabilities),
        cmocka_unit_test(test_uuid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
