/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "odd_xml.h"

typedef struct {
    GString *out;
    GRand *rand;
    guint depth;
} Odd;

static gboolean chance(Odd *o, gint32 percent)
{
    return g_rand_int_range(o->rand, 0, 100) < percent;
}

static gint32 below(Odd *o, guint limit)
{
    return g_rand_int_range(o->rand, 0, (gint32)limit);
}

#define PICK(o, words) ((words)[below((o), G_N_ELEMENTS(words))])

/* Values that fit anywhere and nowhere, escaped as they stand. */
static const char *const values[] = {
    "",
    "0",
    "-1",
    "1",
    "18446744073709551616",
    "9223372036854775807",
    "1e9",
    "0x10",
    "yes",
    "no",
    " blank ",
    "/var/lib/libvirt/images/a.qcow2",
    "/srv/nas/b.raw",
    "/dev/disk/by-id/wwn-0x5000c500a1b2c3d4",
    "/dev/sdb",
    "../../etc/shadow",
    "rel/ative",
    "iqn.2026-01.org.example:t/1",
    "a&amp;b&lt;c&quot;d&apos;e",
    "&#xFFFD;&#10;&#9;",
    "&#x1F600; \xc3\xbc\xe2\x80\xae",
    "$(reboot)`id`;&apos;",
    "%s%n%d",
    "default",
    "br0",
    "nosuch",
    "pc-q35-8.2",
    "x86_64",
    "52:54:00:00:00:01",
};

static const char *const names[] = {
    "source",      "target",       "driver",       "address",
    "model",       "alias",        "backend",      "host",
    "auth",        "secret",       "mirror",       "format",
    "serial",      "wwn",          "iotune",       "boot",
    "unheard",     "of",           "readonly",     "shareable",
    "transient",   "encryption",   "reservations", "slices",
    "seclabel",    "backingStore", "privateData",  "metadata",
    "product",     "vendor",       "mac",          "vlan",
    "virtualport", "odd:thing",    "qemu:arg",     "\xc3\xa9l\xc3\xa9ment",
    "x-1.y_z",
};

static const char *const attributes[] = {
    "file",          "dev",   "dir",  "pool",     "volume", "protocol",      "name",
    "type",          "bus",   "mode", "network",  "path",   "index",         "value",
    "model",         "id",    "uuid", "unit",     "port",   "slot",          "bridge",
    "socket",        "cache", "io",   "ready",    "job",    "startupPolicy", "discard_no_unref",
    "odd:attribute", "x.y-z", "wwpn", "function", "domain", "managed",       "labelskip",
};

/* One attribute of each name at most: else it would be no XML. */
static void put_attributes(Odd *o, guint most)
{
    guint first = (guint)below(o, G_N_ELEMENTS(attributes));
    guint count = (guint)below(o, most + 1);

    for (guint i = 0; i < count; i++)
        g_string_append_printf(o->out, " %s='%s'",
                               attributes[(first + i) % G_N_ELEMENTS(attributes)], PICK(o, values));
}

static void put_text(Odd *o)
{
    switch (below(o, 8)) {
    case 0:
        g_string_append(o->out, "<![CDATA[ <not> & markup ]]>");
        break;
    case 1:
        g_string_append(o->out, "<!-- a remark -->");
        break;
    case 2:
        g_string_append(o->out, "<?odd processing?>");
        break;
    default:
        g_string_append(o->out, PICK(o, values));
    }
}

static void put_element(Odd *o, const char *name)
{
    guint children = o->depth < 6 ? (guint)below(o, 4) : 0;

    o->depth++;
    g_string_append_printf(o->out, "<%s", name);
    put_attributes(o, 4);
    g_string_append_c(o->out, '>');
    if (chance(o, 30))
        put_text(o);
    for (guint i = 0; i < children; i++)
        put_element(o, PICK(o, names));
    g_string_append_printf(o->out, "</%s>%s", name, chance(o, 50) ? "\n  " : "");
    o->depth--;
}

static void put_some(Odd *o, guint most)
{
    for (guint i = (guint)below(o, most + 1); i > 0; i--)
        put_element(o, PICK(o, names));
}

/* Disks --------------------------------------------------------------------------------------- */

static void put_source(Odd *o)
{
    g_string_append(o->out, "<source");
    put_attributes(o, 6);
    g_string_append_c(o->out, '>');
    for (guint i = (guint)below(o, 3); i > 0; i--)
        g_string_append_printf(o->out, "<host name='%s' port='%s' transport='%s'/>",
                               PICK(o, values), PICK(o, values), PICK(o, values));
    put_some(o, 3);
    g_string_append(o->out, "</source>");
}

static void put_chain(Odd *o, guint depth)
{
    static const char *const types[] = { "file", "block", "network", "volume", "odd" };

    if (depth == 0) {
        g_string_append(o->out, chance(o, 70) ? "<backingStore/>" : "");
        return;
    }
    g_string_append_printf(o->out, "<backingStore type='%s'><format type='qcow2'/>",
                           PICK(o, types));
    put_source(o);
    put_chain(o, depth - 1);
    g_string_append(o->out, "</backingStore>");
}

static void put_disk(Odd *o, guint number)
{
    static const char *const types[] = { "file", "block",     "network",   "volume", "dir",
                                         "nvme", "vhostuser", "vhostvdpa", "",       "odd" };
    static const char *const kinds[] = { "disk", "cdrom", "floppy", "lun", "odd" };

    g_string_append_printf(o->out, "<disk type='%s' device='%s'>\n", PICK(o, types),
                           chance(o, 70) ? "disk" : PICK(o, kinds));
    if (chance(o, 80))
        g_string_append_printf(o->out,
                               "<driver name='qemu' type='qcow2' cache='%s' discard_no_unref='on' "
                               "iothread='1'><metadata_cache><max_size>1</max_size>"
                               "</metadata_cache><unheard/></driver>",
                               PICK(o, values));
    if (chance(o, 85))
        put_source(o);
    if (chance(o, 50))
        put_chain(o, (guint)below(o, chance(o, 3) ? 100 : 4));
    if (chance(o, 95))
        g_string_append_printf(o->out, "<target dev='vd%u' bus='virtio'/>",
                               chance(o, 95) ? number : 0);
    if (chance(o, 10))
        g_string_append(o->out, "<mirror type='file' job='copy' ready='yes'>"
                                "<source file='/m'/></mirror>");
    put_some(o, 4);
    g_string_append(o->out, "</disk>\n");
}

/* Other devices ------------------------------------------------------------------------------- */

static void put_device(Odd *o)
{
    static const char *const kinds[] = {
        "interface", "hostdev", "controller",  "filesystem", "lease",      "redirdev", "smartcard",
        "input",     "hub",     "graphics",    "video",      "sound",      "audio",    "channel",
        "console",   "serial",  "parallel",    "memballoon", "rng",        "panic",    "shmem",
        "memory",    "iommu",   "vsock",       "crypto",     "nvram",      "watchdog", "tpm",
        "emulator",  "unheard", "redirfilter", "pstore",     "odd:device",
    };
    static const char *const types[] = { "network",   "bridge", "direct",   "user", "ethernet",
                                         "vhostuser", "udp",    "hostdev",  "vdpa", "pci",
                                         "usb",       "mdev",   "scsi",     "null", "server",
                                         "client",    "mcast",  "internal", "odd",  "" };
    const char *kind = PICK(o, kinds);

    g_string_append_printf(o->out, "<%s", kind);
    if (chance(o, 90))
        g_string_append_printf(o->out, " mode='subsystem' managed='yes' type='%s'", PICK(o, types));
    g_string_append_c(o->out, '>');
    if (chance(o, 60))
        put_source(o);
    if (chance(o, 40))
        g_string_append_printf(o->out, "<mac address='%s'/>", PICK(o, values));
    if (chance(o, 30))
        g_string_append_printf(o->out, "<backend type='%s'/>", PICK(o, values));
    put_some(o, 4);
    g_string_append_printf(o->out, "</%s>\n", kind);
}

/* The domain itself --------------------------------------------------------------------------- */

static void put_amounts(Odd *o)
{
    static const char *const units[] = { "KiB", "b", "GiB", "TB", "parsec", "" };

    if (chance(o, 90))
        g_string_append_printf(o->out, "<memory unit='%s'>%s</memory>\n",
                               chance(o, 60) ? "KiB" : PICK(o, units),
                               chance(o, 60) ? "2097152" : PICK(o, values));
    if (chance(o, 60))
        g_string_append_printf(o->out, "<currentMemory>%s</currentMemory>\n", PICK(o, values));
    if (chance(o, 80))
        g_string_append_printf(o->out, "<vcpu current='%s'>%s</vcpu>\n", PICK(o, values),
                               PICK(o, values));
}

static void put_os(Odd *o)
{
    g_string_append_printf(o->out, "<os><type arch='%s' machine='%s'>hvm</type>",
                           chance(o, 70) ? "x86_64" : PICK(o, values),
                           chance(o, 70) ? "pc-q35-8.2" : PICK(o, values));
    if (chance(o, 30))
        g_string_append_printf(o->out,
                               "<loader type='pflash'>/c.fd</loader>"
                               "<nvram template='/v.fd'>%s</nvram>",
                               PICK(o, values));
    put_some(o, 2);
    g_string_append(o->out, "</os>\n<cpu mode='host-model'>");
    put_some(o, 5);
    g_string_append(o->out, "</cpu>\n");
}

/* Much of one thing. */
static void put_bulk(Odd *o)
{
    switch (below(o, 40)) {
    case 0: /* tags, as inventories keep them */
        g_string_append(o->out, "<metadata><odd:tags>");
        for (guint i = 0; i < 10000; i++)
            g_string_append_printf(o->out, "<odd:tag n='%u'>t%u</odd:tag>", i, i);
        g_string_append(o->out, "</odd:tags></metadata>");
        break;
    case 1: { /* at the edge of what libxml2 takes, and beyond */
        guint levels = chance(o, 50) ? 200 : 400;
        for (guint i = 0; i < levels; i++)
            g_string_append(o->out, "<deep>");
        for (guint i = 0; i < levels; i++)
            g_string_append(o->out, "</deep>");
        break;
    }
    case 2: {
        g_autofree char *long_value = g_strnfill(200000, 'A');
        g_string_append_printf(o->out, "<description huge='%s'>%s</description>", long_value,
                               long_value);
        break;
    }
    case 3:
        g_string_append(o->out, "<devices>");
        for (guint i = 0; i < 300; i++)
            g_string_append_printf(o->out, "<disk type='file'><target dev='x%u'/></disk>", i);
        g_string_append(o->out, "</devices>");
        break;
    default:
        put_element(o, "metadata");
    }
}

static void put_devices(Odd *o)
{
    g_string_append(o->out, "<devices>\n");
    for (guint i = 0, count = (guint)below(o, 6); i < count; i++)
        put_disk(o, i);
    for (guint i = 0, count = (guint)below(o, 12); i < count; i++)
        put_device(o);
    g_string_append(o->out, "</devices>\n");
}

static void put_domain(Odd *o)
{
    static const char *const types[] = { "kvm", "qemu", "kvm", "xen", "", "&lt;kvm&gt;" };
    static const char *const roots[] = { "domain", "domain", "domain",         "domain",
                                         "domain", "domain", "domainsnapshot", "odd" };
    const char *root = PICK(o, roots);

    g_string_append_printf(o->out,
                           "<%s type='%s' xmlns:odd='urn:odd' "
                           "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n",
                           root, PICK(o, types));
    if (chance(o, 90))
        g_string_append_printf(o->out, "<name>%s</name>\n",
                               chance(o, 60) ? "web1" : PICK(o, values));
    if (chance(o, 97))
        g_string_append(o->out, chance(o, 50) ? "<uuid>6F1B1C1E-0000-4000-8000-000000000001</uuid>"
                                              : "<uuid>6f1b1c1e-0000-4000-8000-000000000001"
                                                "</uuid>");
    put_amounts(o);
    put_os(o);
    put_devices(o);
    put_some(o, 3);
    put_bulk(o);
    if (chance(o, 40))
        g_string_append(o->out, "<qemu:commandline><qemu:arg value='-a'/><qemu:env name='A' "
                                "value='B'/></qemu:commandline>\n"
                                "<other xmlns='urn:default'><inside a='1'/></other>");
    g_string_append_printf(o->out, "</%s>\n", root);
}

/* What an unlucky disk, or an attacker, makes of it. */
static void damage(Odd *o)
{
    static const char bytes[] = "<>&'\"/=\xff\xc3 ]";
    static const char bomb[] = "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;'>"
                               "<!ENTITY c '&b;&b;&b;&b;&b;'><!ENTITY x SYSTEM '/etc/passwd'>]>";

    switch (below(o, 4)) {
    case 0:
        g_string_truncate(o->out, (gsize)below(o, (guint)o->out->len));
        break;
    case 1:
        for (guint i = (guint)below(o, 5) + 1; i > 0; i--)
            o->out->str[below(o, (guint)o->out->len)] = bytes[below(o, sizeof(bytes) - 1)];
        break;
    case 2:
        g_string_prepend(o->out, bomb);
        break;
    default: /* an entity that is used, and perhaps was never declared */
        g_string_insert(o->out, (gssize)o->out->len / 2, "&c;");
        if (chance(o, 50))
            g_string_prepend(o->out, bomb);
    }
}

char *odd_domain_xml(guint32 seed)
{
    Odd o = { .out = g_string_new(NULL), .rand = g_rand_new_with_seed(seed) };

    put_domain(&o);
    if (chance(&o, 12))
        damage(&o);
    g_rand_free(o.rand);
    return g_string_free(o.out, FALSE);
}
