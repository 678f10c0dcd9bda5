/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/libvirt_xml.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "model/libvirt_xml_internal.h"

typedef GwLibvirtReader Reader;

static void complain(Reader *reader, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void complain(Reader *reader, const char *format, ...)
{
    if (reader->problem != NULL) /* the first is enough to distrust the rest */
        return;
    va_list args;
    va_start(args, format);
    reader->problem = g_strdup_vprintf(format, args);
    va_end(args);
}

/* A shortened path or name would be another path or name, so a long one is left out instead. */
static char *value(Reader *reader, xmlNode *node, const char *path)
{
    g_autofree char *text = gw_xml_string(reader->xml, node, path);

    if (text == NULL || *text == '\0')
        return NULL;
    if (strlen(text) > GW_LIBVIRT_VALUE_MAX) {
        complain(reader, "a value of %" G_GSIZE_FORMAT " bytes at %s is left out", strlen(text),
                 path);
        return NULL;
    }
    return g_steal_pointer(&text);
}

char *gw_libvirt_value(GwLibvirtReader *reader, xmlNode *node, const char *path)
{
    return value(reader, node, path);
}

static GPtrArray *devices(Reader *reader, const char *path)
{
    GPtrArray *nodes = gw_xml_nodes(reader->xml, NULL, path);

    if (nodes->len > GW_LIBVIRT_DEVICES_MAX) {
        complain(reader, "%u devices at %s, the first %d are shown", nodes->len, path,
                 GW_LIBVIRT_DEVICES_MAX);
        g_ptr_array_set_size(nodes, GW_LIBVIRT_DEVICES_MAX);
    }
    return nodes;
}

/* Joins the strings that are there; NULL where none is. */
static char *join(const char *separator, char *first, char *second)
{
    g_autofree char *a = first;
    g_autofree char *b = second;

    if (a == NULL || b == NULL)
        return g_strdup(a != NULL ? a : b);
    return g_strconcat(a, separator, b, NULL);
}

/* host[:port] of each <host> below <source>, in the order given, with commas. */
static char *source_hosts(Reader *reader, xmlNode *source)
{
    g_autoptr(GPtrArray) hosts = gw_xml_nodes(reader->xml, source, "host");
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < hosts->len && out->len < GW_LIBVIRT_VALUE_MAX; i++) {
        xmlNode *host = hosts->pdata[i];
        g_autofree char *socket = value(reader, host, "@socket");
        g_autofree char *name =
            join(":", value(reader, host, "@name"), value(reader, host, "@port"));
        if (socket != NULL || name != NULL)
            g_string_append_printf(out, "%s%s", out->len > 0 ? "," : "",
                                   socket != NULL ? socket : name);
    }
    return g_string_free(out, out->len == 0);
}

/* The <source>'s attribute that names the image, for each type of source but network. */
static const struct {
    const char *type;
    const char *path;
} disk_sources[] = {
    { "file", "@file" },      { "block", "@dev" },     { "dir", "@dir" },
    { "vhostuser", "@path" }, { "vhostvdpa", "@dev" }, { "nvme", "address/@bus" },
};

static char *disk_source(Reader *reader, const char *type, xmlNode *source)
{
    if (g_strcmp0(type, "network") == 0)
        return join(":", value(reader, source, "@protocol"), value(reader, source, "@name"));
    if (g_strcmp0(type, "volume") == 0)
        return join("/", value(reader, source, "@pool"), value(reader, source, "@volume"));
    for (guint i = 0; i < G_N_ELEMENTS(disk_sources); i++) {
        if (g_strcmp0(type, disk_sources[i].type) == 0)
            return value(reader, source, disk_sources[i].path);
    }
    return NULL;
}

/* Counts <backingStore> elements nested in one another. The innermost, empty one says that the
 * chain ends there. */
static gint64 backing_depth(Reader *reader, xmlNode *disk)
{
    gint64 depth = 0;

    for (xmlNode *node = disk; node != NULL; depth++) {
        g_autoptr(GPtrArray) next = gw_xml_nodes(reader->xml, node, "backingStore[source]");
        if (next->len == 0)
            break;
        node = next->pdata[0];
    }
    return depth;
}

/* The image right below: named like a disk's. */
static char *backing_path(Reader *reader, xmlNode *disk)
{
    g_autoptr(GPtrArray) next = gw_xml_nodes(reader->xml, disk, "backingStore[source]");

    if (next->len == 0)
        return NULL;
    g_autoptr(GPtrArray) sources = gw_xml_nodes(reader->xml, next->pdata[0], "source");
    g_autofree char *type = value(reader, next->pdata[0], "@type");
    return disk_source(reader, type, sources->pdata[0]);
}

static void read_disk_details(Reader *reader, xmlNode *node, GwDisk *disk)
{
    disk->format = value(reader, node, "driver/@type");
    disk->cache = value(reader, node, "driver/@cache");
    disk->io = value(reader, node, "driver/@io");
    disk->discard = value(reader, node, "driver/@discard");
    disk->detect_zeroes = value(reader, node, "driver/@detect_zeroes");
    disk->serial = value(reader, node, "serial");
    disk->wwn = value(reader, node, "wwn");
    disk->readonly = gw_xml_has(reader->xml, node, "readonly");
    disk->shareable = gw_xml_has(reader->xml, node, "shareable");
    disk->transient = gw_xml_has(reader->xml, node, "transient");
    disk->block_job = gw_xml_has(reader->xml, node, "mirror");
    if (disk->block_job) {
        disk->block_job_kind = value(reader, node, "mirror/@job");
        if (disk->block_job_kind == NULL) /* as older libvirt left it unsaid */
            disk->block_job_kind = g_strdup("copy");
    }
    disk->backing_depth = backing_depth(reader, node);
    disk->backing_path = backing_path(reader, node);
}

static GwDisk *read_disk(Reader *reader, xmlNode *node)
{
    g_autoptr(GPtrArray) sources = gw_xml_nodes(reader->xml, node, "source");
    GwDisk *disk = gw_disk_new();

    disk->target = value(reader, node, "target/@dev");
    disk->bus = value(reader, node, "target/@bus");
    disk->device = value(reader, node, "@device");
    if (disk->device == NULL)
        disk->device = g_strdup("disk");
    disk->type = value(reader, node, "@type");
    if (sources->len > 0) {
        disk->source = disk_source(reader, disk->type, sources->pdata[0]);
        disk->source_host = source_hosts(reader, sources->pdata[0]);
        /* A source of a kind not known here is still a medium, and nobody may take it for none. */
        if (disk->source == NULL && strcmp(disk->device, "cdrom") != 0 &&
            strcmp(disk->device, "floppy") != 0)
            disk->source = g_strdup_printf("(%s)", disk->type != NULL ? disk->type : "unknown");
    }
    read_disk_details(reader, node, disk);
    return disk;
}

static char *pci_address(Reader *reader, xmlNode *node, const char *path)
{
    static const char *const parts[] = { "@domain", "@bus", "@slot", "@function" };
    g_autoptr(GPtrArray) found = gw_xml_nodes(reader->xml, node, path);
    guint64 numbers[4] = { 0 };

    if (found->len == 0)
        return NULL;
    for (int i = 0; i < 4; i++) {
        g_autofree char *text = value(reader, found->pdata[0], parts[i]);
        numbers[i] = text != NULL ? g_ascii_strtoull(text, NULL, 0) : 0;
    }
    return g_strdup_printf("%04x:%02x:%02x.%x", (guint)numbers[0] & 0xffffffff,
                           (guint)numbers[1] & 0xff, (guint)numbers[2] & 0xff,
                           (guint)numbers[3] & 0xf);
}

static GwNic *read_nic(Reader *reader, xmlNode *node)
{
    GwNic *nic = gw_libvirt_read_nic(reader, node);

    if (g_strcmp0(nic->type, "hostdev") == 0)
        nic->source = pci_address(reader, node, "source/address");
    return nic;
}

static char *usb_address(Reader *reader, xmlNode *node)
{
    char *id = join(":", value(reader, node, "source/vendor/@id"),
                    value(reader, node, "source/product/@id"));
    char *place = join(".", value(reader, node, "source/address/@bus"),
                       value(reader, node, "source/address/@device"));
    return join(" at ", id, place);
}

static GwHostdev *read_hostdev(Reader *reader, xmlNode *node)
{
    GwHostdev *hostdev = gw_hostdev_new();

    hostdev->type = value(reader, node, "@type");
    if (g_strcmp0(hostdev->type, "pci") == 0)
        hostdev->address = pci_address(reader, node, "source/address");
    else if (g_strcmp0(hostdev->type, "usb") == 0)
        hostdev->address = usb_address(reader, node);
    else if (g_strcmp0(hostdev->type, "mdev") == 0)
        hostdev->address = value(reader, node, "source/address/@uuid");
    else if (g_strcmp0(hostdev->type, "scsi") == 0)
        hostdev->address = join(":", value(reader, node, "source/adapter/@name"),
                                value(reader, node, "source/@name"));
    else if (g_strcmp0(hostdev->type, "scsi_host") == 0)
        hostdev->address = value(reader, node, "source/@wwpn");
    else /* capabilities: a device of a container */
        hostdev->address = value(reader, node, "source/*");
    return hostdev;
}

/* libvirt's units of memory: bytes, powers of 1000 (KB) and of 1024 (KiB, and k, M, G, T). */
static gint64 memory_kib(Reader *reader, const char *path)
{
    static const struct {
        const char *unit;
        guint64 bytes;
    } units[] = {
        { "b", 1 },           { "bytes", 1 },        { "KB", 1000 },     { "k", 1 << 10 },
        { "KiB", 1 << 10 },   { "MB", 1000000 },     { "M", 1 << 20 },   { "MiB", 1 << 20 },
        { "GB", 1000000000 }, { "G", 1 << 30 },      { "GiB", 1 << 30 }, { "TB", 1000000000000 },
        { "T", 1ull << 40 },  { "TiB", 1ull << 40 },
    };
    g_autofree char *unit_path = g_strconcat(path, "/@unit", NULL);
    g_autofree char *unit = value(reader, NULL, unit_path);
    guint64 amount = (guint64)gw_xml_int(reader->xml, NULL, path, 0);
    guint64 bytes = unit == NULL ? 1 << 10 : 0;

    for (guint i = 0; unit != NULL && i < G_N_ELEMENTS(units); i++) {
        if (strcmp(unit, units[i].unit) == 0)
            bytes = units[i].bytes;
    }
    if (bytes == 0 || amount > (guint64)G_MAXINT64 / bytes) {
        complain(reader, "memory size at %s cannot be read", path);
        return 0;
    }
    return (gint64)(amount * bytes / 1024);
}

static char *read_uuid(GwXml *xml, GError **error)
{
    g_autofree char *text = gw_xml_string(xml, NULL, "/domain/uuid");

    if (text == NULL || !g_uuid_string_is_valid(text)) {
        gw_error_set(error, GW_ERR_INVALID, "Give it as libvirt has it: virsh dumpxml VM.",
                     "the definition has no valid UUID");
        return NULL;
    }
    return g_ascii_strdown(text, -1);
}

char *gw_libvirt_uuid_from_xml(const char *text, GError **error)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text, error);

    return xml != NULL ? read_uuid(xml, error) : NULL;
}

static void read_cpu(Reader *reader, GwVm *vm)
{
    g_autoptr(GPtrArray) found = gw_xml_nodes(reader->xml, NULL, "/domain/cpu");

    if (found->len == 0)
        return;
    xmlNode *cpu = found->pdata[0];
    vm->cpu_mode = value(reader, cpu, "@mode");
    vm->cpu_model = value(reader, cpu, "model");
    if (vm->cpu_mode == NULL && vm->cpu_model != NULL)
        vm->cpu_mode = g_strdup("custom"); /* what libvirt takes a model without a mode for */

    g_autofree char *dump = gw_xml_dump(reader->xml, cpu);
    if (strlen(dump) <= GW_LIBVIRT_CPU_XML_MAX)
        vm->cpu_xml = g_steal_pointer(&dump);
    else
        complain(reader, "a <cpu> of %" G_GSIZE_FORMAT " bytes is left out", strlen(dump));
    if (vm->cpu_xml != NULL)
        vm->cpu = gw_libvirt_cpu_read(reader->xml, cpu);
}

static void read_devices(Reader *reader, GwVm *vm)
{
    g_autoptr(GPtrArray) disks = devices(reader, "/domain/devices/disk");
    g_autoptr(GPtrArray) nics = devices(reader, "/domain/devices/interface");
    g_autoptr(GPtrArray) hostdevs = devices(reader, "/domain/devices/hostdev");

    vm->disks = gw_record_array(&gw_disk_record);
    for (guint i = 0; i < disks->len; i++)
        g_ptr_array_add(vm->disks, read_disk(reader, disks->pdata[i]));
    vm->nics = gw_record_array(&gw_nic_record);
    for (guint i = 0; i < nics->len; i++)
        g_ptr_array_add(vm->nics, read_nic(reader, nics->pdata[i]));
    vm->hostdevs = gw_record_array(&gw_hostdev_record);
    for (guint i = 0; i < hostdevs->len; i++)
        g_ptr_array_add(vm->hostdevs, read_hostdev(reader, hostdevs->pdata[i]));
}

/* What of the VM's state on its host is no disk. */
static void read_state(Reader *reader, GwVm *vm)
{
    /* Something outside QEMU that writes to the VM's memory. Memory that could be shared, and is
     * shared with nobody, is not meant. */
    static const char outside[] =
        "/domain/devices/interface[@type='vhostuser'] | /domain/devices/disk[@type='vhostuser'] | "
        "/domain/devices/filesystem[driver/@type='virtiofs'] | "
        "/domain/devices/video[driver/@name='vhostuser']";
    g_autoptr(GPtrArray) nvram = gw_xml_nodes(reader->xml, NULL, "/domain/os/nvram");

    vm->tpm = value(reader, NULL, "/domain/devices/tpm/backend/@type");
    vm->shared_memory = gw_xml_has(reader->xml, NULL, outside);
    if (nvram->len == 0)
        return;
    g_autoptr(GPtrArray) sources = gw_xml_nodes(reader->xml, nvram->pdata[0], "source");
    g_autofree char *type = value(reader, nvram->pdata[0], "@type");
    if (sources->len > 0)
        vm->nvram = disk_source(reader, type != NULL ? type : "file", sources->pdata[0]);
    else
        vm->nvram = value(reader, nvram->pdata[0], ".");
    vm->nvram_format = value(reader, nvram->pdata[0], "@format");
    if (vm->nvram != NULL && vm->nvram_format == NULL)
        vm->nvram_format = g_strdup("raw");
}

static void read_vm(Reader *reader, GwVm *vm)
{
    g_autofree char *name = gw_xml_string(reader->xml, NULL, "/domain/name");

    vm->name = gw_text_printable(name, GW_TEXT_NAME_MAX);
    vm->vcpus = gw_xml_int(reader->xml, NULL, "/domain/vcpu/@current", -1);
    if (vm->vcpus < 0)
        vm->vcpus = gw_xml_int(reader->xml, NULL, "/domain/vcpu", 1);
    vm->max_memory_kib = memory_kib(reader, "/domain/memory");
    vm->memory_kib = gw_xml_has(reader->xml, NULL, "/domain/currentMemory")
                         ? memory_kib(reader, "/domain/currentMemory")
                         : vm->max_memory_kib;
    vm->virt_type = value(reader, NULL, "/domain/@type");
    vm->arch = value(reader, NULL, "/domain/os/type/@arch");
    vm->machine = value(reader, NULL, "/domain/os/type/@machine");
    read_cpu(reader, vm);
    read_devices(reader, vm);
    read_state(reader, vm);
}

GwVm *gw_libvirt_vm_from_xml(const char *text, GError **error)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text, error);
    if (xml == NULL)
        return NULL;
    g_autofree char *uuid = read_uuid(xml, error);
    if (uuid == NULL)
        return NULL;

    Reader reader = { .xml = xml };
    GwVm *vm = gw_vm_new();
    vm->uuid = g_steal_pointer(&uuid);
    read_vm(&reader, vm);
    vm->error = reader.problem;
    return vm;
}

/* Block jobs ---------------------------------------------------------------------------------- */

void gw_libvirt_disk_clear(GwLibvirtDisk *disk)
{
    g_clear_pointer(&disk->source, g_free);
    g_clear_pointer(&disk->backing_path, g_free);
    g_clear_pointer(&disk->mirror, g_free);
    g_clear_pointer(&disk->job, g_free);
}

static void read_mirror(Reader *reader, xmlNode *node, GwLibvirtDisk *disk)
{
    g_autoptr(GPtrArray) mirrors = gw_xml_nodes(reader->xml, node, "mirror");

    if (mirrors->len == 0)
        return;
    g_autoptr(GPtrArray) sources = gw_xml_nodes(reader->xml, mirrors->pdata[0], "source");
    g_autofree char *type = value(reader, mirrors->pdata[0], "@type");
    g_autofree char *ready = value(reader, mirrors->pdata[0], "@ready");
    disk->job = value(reader, mirrors->pdata[0], "@job");
    disk->ready = g_strcmp0(ready, "yes") == 0;
    if (sources->len > 0)
        disk->mirror = disk_source(reader, type, sources->pdata[0]);
    if (disk->mirror == NULL)
        disk->mirror = g_strdup("(unknown)");
}

static void read_block(Reader *reader, xmlNode *node, GwLibvirtDisk *disk)
{
    g_autoptr(GPtrArray) sources = gw_xml_nodes(reader->xml, node, "source");
    g_autofree char *type = value(reader, node, "@type");

    if (sources->len > 0)
        disk->source = disk_source(reader, type, sources->pdata[0]);
    disk->backing_path = backing_path(reader, node);
    read_mirror(reader, node, disk);
}

gboolean gw_libvirt_disk_from_xml(const char *text, const char *target, GwLibvirtDisk *disk,
                                  GError **error)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text, error);
    if (xml == NULL)
        return FALSE;
    Reader reader = { .xml = xml };
    g_autoptr(GPtrArray) disks = devices(&reader, "/domain/devices/disk");
    for (guint i = 0; i < disks->len; i++) {
        g_autofree char *dev = value(&reader, disks->pdata[i], "target/@dev");
        if (g_strcmp0(dev, target) != 0)
            continue;
        read_block(&reader, disks->pdata[i], disk);
        g_free(reader.problem);
        return TRUE;
    }
    g_free(reader.problem);
    gw_error_set(error, GW_ERR_NOT_FOUND, "Plan anew: the VM's disks have changed.",
                 "the VM has no disk %s", target);
    return FALSE;
}

char **gw_libvirt_targets_from_xml(const char *text, GError **error)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text, error);
    if (xml == NULL)
        return NULL;
    Reader reader = { .xml = xml };
    g_autoptr(GPtrArray) disks = devices(&reader, "/domain/devices/disk");
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    for (guint i = 0; i < disks->len; i++) {
        g_autofree char *dev = value(&reader, disks->pdata[i], "target/@dev");
        if (dev != NULL)
            g_strv_builder_add(builder, dev);
    }
    g_free(reader.problem);
    return g_strv_builder_end(builder);
}

char *gw_libvirt_snapshot_from_xml(const char *text, GError **error)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text, error);
    if (xml == NULL)
        return NULL;
    Reader reader = { .xml = xml };
    char *name = value(&reader, NULL, "/domainsnapshot/name");
    g_free(reader.problem);
    if (name == NULL)
        gw_error_set(error, GW_ERR_INVALID, NULL, "not the definition of a snapshot with a name");
    return name;
}
