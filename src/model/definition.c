/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/definition.h"

#include <string.h>

#include "base/error.h"
#include "base/xml.h"
#include "model/definition_source.h"

/* libvirt's domain XML (formatdomain.html, "Hard drives, floppy disks, CDROMs"). Only what belongs
 * to the old image is changed or taken away; a disk keeps its address, its serial, its limits, its
 * driver's tuning and whatever is not known here. */

#define DISKS_CHANGED "Plan the move anew: the VM's disks have changed."
#define CHAIN_MAX 200 /* as libvirt's own ceiling of images one below the other */

/* Chains -------------------------------------------------------------------------------------- */

/* <backingStore> of one image below another, with what lies below that. */
static xmlNode *add_backing(xmlNode *above, xmlNode *before, const GwVolume *to, GError **error)
{
    const char *type = gw_definition_source_type(NULL, to);
    xmlNode *backing = gw_xml_add(above, before, "backingStore", NULL);

    gw_xml_set_attribute(backing, "type", type);
    xmlNode *format = gw_xml_add(backing, NULL, "format", NULL);
    gw_xml_set_attribute(format, "type", to->format != NULL ? to->format : "raw");
    return gw_definition_source_name(gw_xml_add(backing, NULL, "source", NULL), type, to, error)
               ? backing
               : NULL;
}

/* The <backingStore> that lies @depth images below the disk's top: 1 is the first. */
static xmlNode *backing_at(xmlNode *disk, guint depth)
{
    xmlNode *node = disk;

    for (guint i = 0; node != NULL && i < depth; i++)
        node = gw_xml_child(node, "backingStore");
    return node;
}

/* Numbers and notes that libvirt gave the images of the running VM. */
static void prune_chain(xmlNode *backing)
{
    for (guint i = 0; backing != NULL && i < CHAIN_MAX; i++) {
        xmlNode *source = gw_xml_child(backing, "source");
        gw_xml_set_attribute(backing, "index", NULL);
        if (source != NULL)
            gw_xml_set_attribute(source, "index", NULL);
        backing = gw_xml_child(backing, "backingStore");
    }
}

/* The lowest image that moves, where it keeps one below itself that does not. */
static const GwVolume *last_kept_above(const GPtrArray *images)
{
    const GwImageMove *last = images->pdata[images->len - 1];

    return !last->flatten && last->to->backing_path != NULL ? last->to : NULL;
}

/* Whether @backing is of the image at @path; one that is named otherwise is taken for it. */
static gboolean is_image(xmlNode *backing, const char *path)
{
    xmlNode *source = gw_xml_child(backing, "source");
    g_autofree char *file = source != NULL ? gw_xml_attribute(source, "file") : NULL;
    g_autofree char *dev = source != NULL ? gw_xml_attribute(source, "dev") : NULL;

    return (file == NULL && dev == NULL) || g_strcmp0(file, path) == 0 || g_strcmp0(dev, path) == 0;
}

/* What lies below the images that moved: as it was (@rest), or only the next, from which libvirt
 * reads on, or nothing. */
static void end_chain(xmlNode *above, xmlNode *before, xmlNode *rest, const GwVolume *last)
{
    if (rest != NULL) {
        prune_chain(rest);
        xmlAddChild(above, rest);
        return;
    }
    xmlNode *backing = gw_xml_add(above, before, "backingStore", NULL);
    if (last == NULL)
        return;
    gw_xml_set_attribute(backing, "type", "file");
    xmlNode *format = gw_xml_add(backing, NULL, "format", NULL);
    gw_xml_set_attribute(format, "type",
                         last->backing_format != NULL ? last->backing_format : "raw");
    xmlNode *source = gw_xml_add(backing, NULL, "source", NULL);
    gw_xml_set_attribute(source, "file", last->backing_path);
}

/* A definition that does not speak of the chain leaves it to libvirt to read the images, and goes
 * on so. One that does (a running VM's always does) has it named anew: the images that moved, then
 * what their last keeps below itself, then, with an empty element, the end. */
static gboolean rename_chain(xmlNode *disk, const GPtrArray *images, GError **error)
{
    xmlNode *old = gw_xml_child(disk, "backingStore");
    if (old == NULL)
        return TRUE;

    const GwVolume *last = last_kept_above(images);
    xmlNode *rest = last != NULL ? backing_at(disk, images->len) : NULL;
    xmlNode *above = disk, *before = old;
    if (rest != NULL && !is_image(rest, last->backing_path))
        rest = NULL;
    if (rest == old) { /* only the top moved */
        prune_chain(rest);
        return TRUE;
    }
    if (rest != NULL)
        xmlUnlinkNode(rest);
    for (guint i = 1; i < images->len && above != NULL; i++) {
        const GwImageMove *image = images->pdata[i];
        above = add_backing(above, before, image->to, error);
        before = NULL;
    }
    if (above != NULL)
        end_chain(above, before, rest, last);
    else if (rest != NULL)
        xmlFreeNode(rest);
    gw_xml_remove(old);
    return above != NULL;
}

/* Disks --------------------------------------------------------------------------------------- */

static xmlNode *driver_of(xmlNode *disk)
{
    xmlNode *driver = gw_xml_child(disk, "driver");

    if (driver != NULL)
        return driver;
    driver = gw_xml_add(disk, disk->children, "driver", NULL);
    gw_xml_set_attribute(driver, "name", "qemu");
    return driver;
}

static void set_format(xmlNode *disk, const char *format)
{
    static const char *const of_qcow2[] = { "metadata_cache", NULL };

    if (format == NULL)
        return;
    xmlNode *driver = driver_of(disk);
    gw_xml_set_attribute(driver, "type", format);
    if (strcmp(format, "qcow2") == 0)
        return;
    gw_xml_set_attribute(driver, "discard_no_unref", NULL);
    gw_xml_remove_children(driver, of_qcow2);
}

static gboolean is_local(const char *type)
{
    return g_strcmp0(type, "network") != 0 && g_strcmp0(type, "nvme") != 0;
}

static gboolean check_device(xmlNode *disk, const char *type, GError **error)
{
    g_autofree char *device = gw_xml_attribute(disk, "device");

    if (g_strcmp0(device, "lun") != 0 || strcmp(type, "file") != 0)
        return TRUE;
    gw_error_set(error, GW_ERR_REFUSED, "Choose a block device or a LUN for it.",
                 "it is a LUN that the guest sends SCSI commands to, and a file takes none");
    return FALSE;
}

static gboolean move_disk(xmlNode *disk, const GPtrArray *images, GError **error)
{
    static const char *const notes[] = { "mirror", "privateData", NULL };
    static const char *const of_server[] = { "auth", NULL };
    const GwVolume *to = ((const GwImageMove *)images->pdata[0])->to;
    g_autofree char *was = gw_xml_attribute(disk, "type");
    const char *type = gw_definition_source_type(was, to);
    xmlNode *source = gw_xml_child(disk, "source");

    if (!check_device(disk, type, error))
        return FALSE;
    if (source == NULL)
        source = gw_xml_add(disk, gw_xml_child(disk, "target"), "source", NULL);
    gw_definition_source_prune(source, to, is_local(was) == is_local(type));
    gw_xml_set_attribute(disk, "type", type);
    if (!gw_definition_source_name(source, type, to, error))
        return FALSE;
    gw_xml_remove_children(disk, notes);
    if (strcmp(type, "network") != 0) /* where older definitions have it */
        gw_xml_remove_children(disk, of_server);
    set_format(disk, to->format);
    return rename_chain(disk, images, error);
}

static void add_disks(GHashTable *disks, xmlNode *devices)
{
    for (xmlNode *child = devices->children; child != NULL; child = child->next) {
        if (child->type != XML_ELEMENT_NODE || strcmp((const char *)child->name, "disk") != 0)
            continue;
        xmlNode *node = gw_xml_child(child, "target");
        g_autofree char *dev = node != NULL ? gw_xml_attribute(node, "dev") : NULL;
        if (dev != NULL && !g_hash_table_contains(disks, dev))
            g_hash_table_insert(disks, g_steal_pointer(&dev), child);
    }
}

/* target -> <disk>: of two with one target the first. libvirt reads, as libvirt_xml.c does, every
 * <devices> that there is. */
static GHashTable *read_disks(xmlNode *domain)
{
    GHashTable *disks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (xmlNode *child = domain->children; child != NULL; child = child->next) {
        if (child->type == XML_ELEMENT_NODE && strcmp((const char *)child->name, "devices") == 0)
            add_disks(disks, child);
    }
    return disks;
}

static xmlNode *find_disk(GHashTable *disks, const char *target)
{
    return target != NULL ? g_hash_table_lookup(disks, target) : NULL;
}

/* The VM's other state ------------------------------------------------------------------------ */

/* <nvram>PATH</nvram>, or with a <source> like a disk's. */
static gboolean move_nvram(xmlNode *domain, const GwVolume *to, GError **error)
{
    xmlNode *os = gw_xml_child(domain, "os");
    xmlNode *nvram = os != NULL ? gw_xml_child(os, "nvram") : NULL;

    if (os == NULL || (nvram == NULL && gw_xml_child(os, "loader") == NULL)) {
        gw_error_set(error, GW_ERR_NOT_FOUND, NULL, "the definition has no UEFI variables");
        return FALSE;
    }
    if (nvram == NULL) /* libvirt finds a place for them when it starts the VM */
        nvram = gw_xml_add(os, NULL, "nvram", NULL);
    g_autofree char *format = gw_xml_attribute(nvram, "format");
    if (to->format != NULL && (format != NULL || strcmp(to->format, "raw") != 0))
        gw_xml_set_attribute(nvram, "format", to->format);
    xmlNode *source = gw_xml_child(nvram, "source");
    if (source != NULL || g_strcmp0(to->kind, "network") == 0) {
        g_autofree char *was = gw_xml_attribute(nvram, "type");
        const char *type = gw_definition_source_type(was, to);
        if (source == NULL) {
            gw_xml_set_text(nvram, "");
            source = gw_xml_add(nvram, NULL, "source", NULL);
        }
        gw_definition_source_prune(source, to, is_local(was) == is_local(type));
        gw_xml_set_attribute(nvram, "type", type);
        return gw_definition_source_name(source, type, to, error);
    }
    if (to->path == NULL || !g_path_is_absolute(to->path)) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "the new path is not absolute: '%s'",
                     to->path != NULL ? to->path : "");
        return FALSE;
    }
    gw_xml_set_text(nvram, to->path);
    return TRUE;
}

/* Only libvirt 10.10 and later can say where it is; else it lies where the UUID says. */
static void move_tpm(GwXml *xml, xmlNode *domain, const GwVolume *to)
{
    g_autoptr(GPtrArray) sources =
        gw_xml_nodes(xml, domain, "./devices/tpm/backend[@type='emulator']/source");

    if (sources->len > 0 && to->path != NULL && g_path_is_absolute(to->path))
        gw_xml_set_attribute(sources->pdata[0], "path", to->path);
}

/* Definitions --------------------------------------------------------------------------------- */

static gboolean stays(const GwDiskMove *move)
{
    return move->how == GW_DISK_STAYS || move->how == GW_DISK_LEFT || move->images == NULL ||
           move->images->len == 0;
}

static gboolean check_images(const GPtrArray *images, GError **error)
{
    gboolean well = images->len <= CHAIN_MAX;

    for (guint i = 0; well && i < images->len; i++)
        well = ((const GwImageMove *)images->pdata[i])->to != NULL;
    if (!well)
        gw_error_set(error, GW_ERR_INVALID, NULL,
                     "%u images, each with a place where it goes, are required to be 1 to %d",
                     images->len, CHAIN_MAX);
    return well;
}

/* @lenient: a disk that is not there is none of this definition's. */
static gboolean move_one(GwXml *xml, xmlNode *domain, GHashTable *there, const GwDiskMove *move,
                         gboolean lenient, GError **error)
{
    if (!check_images(move->images, error))
        return FALSE;
    const GwVolume *to = ((const GwImageMove *)move->images->pdata[0])->to;

    if (g_strcmp0(move->target, "nvram") == 0)
        return move_nvram(domain, to, lenient ? NULL : error) || lenient;
    if (g_strcmp0(move->target, "tpm") == 0) {
        move_tpm(xml, domain, to);
        return TRUE;
    }
    xmlNode *disk = find_disk(there, move->target);
    if (disk != NULL)
        return move_disk(disk, move->images, error);
    if (!lenient)
        gw_error_set(error, GW_ERR_NOT_FOUND, DISKS_CHANGED, "the definition has no such disk");
    return lenient;
}

static gboolean move_all(GwXml *xml, xmlNode *domain, const GPtrArray *disks, gboolean lenient,
                         GError **error)
{
    g_autoptr(GHashTable) there = read_disks(domain);

    for (guint i = 0; disks != NULL && i < disks->len; i++) {
        const GwDiskMove *move = disks->pdata[i];
        if (!stays(move) && !move_one(xml, domain, there, move, lenient, error)) {
            g_prefix_error(error, "disk %s: ", move->target != NULL ? move->target : "(none)");
            return FALSE;
        }
    }
    return TRUE;
}

static GwXml *parse(const char *text, const char *root, GError **error)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text != NULL ? text : "", error);

    if (xml == NULL)
        return NULL;
    if (strcmp((const char *)gw_xml_root(xml)->name, root) != 0) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "not a <%s> but a <%.100s>", root,
                     (const char *)gw_xml_root(xml)->name);
        return NULL;
    }
    return g_steal_pointer(&xml);
}

char *gw_definition_with_disks(const char *text, const GPtrArray *disks, GError **error)
{
    g_autoptr(GwXml) xml = parse(text, "domain", error);

    if (xml == NULL || !move_all(xml, gw_xml_root(xml), disks, FALSE, error))
        return NULL;
    return gw_xml_dump(xml, gw_xml_root(xml));
}

char *gw_definition_inactive(const char *text, const GPtrArray *disks, GError **error)
{
    g_autoptr(GwXml) xml = parse(text, "domain", error);

    if (xml == NULL || !move_all(xml, gw_xml_root(xml), disks, TRUE, error))
        return NULL;
    return gw_xml_dump(xml, gw_xml_root(xml));
}

char *gw_definition_snapshot(const char *text, const GPtrArray *disks, GError **error)
{
    static const char *const definitions[] = { "domain", "inactiveDomain" };
    g_autoptr(GwXml) xml = parse(text, "domainsnapshot", error);

    if (xml == NULL)
        return NULL;
    for (guint i = 0; i < G_N_ELEMENTS(definitions); i++) {
        xmlNode *domain = gw_xml_child(gw_xml_root(xml), definitions[i]);
        if (domain != NULL && !move_all(xml, domain, disks, TRUE, error))
            return NULL;
    }
    return gw_xml_dump(xml, gw_xml_root(xml));
}

char *gw_definition_unmap(const char *text, const char *const *targets, GError **error)
{
    g_autoptr(GwXml) xml = parse(text, "domain", error);
    g_autoptr(GHashTable) there = xml != NULL ? read_disks(gw_xml_root(xml)) : NULL;

    for (guint i = 0; xml != NULL && targets[i] != NULL; i++) {
        xmlNode *disk = find_disk(there, targets[i]);
        if (disk != NULL)
            gw_xml_set_attribute(driver_of(disk), "discard", "unmap");
    }
    return xml != NULL ? gw_xml_dump(xml, gw_xml_root(xml)) : NULL;
}

char *gw_definition_disk(const char *text, const char *target, const GwVolume *volume,
                         GError **error)
{
    g_autoptr(GwXml) xml = parse(text, "domain", error);

    if (xml == NULL)
        return NULL;
    g_autoptr(GHashTable) there = read_disks(gw_xml_root(xml));
    xmlNode *disk = find_disk(there, target);
    if (disk == NULL) {
        gw_error_set(error, GW_ERR_NOT_FOUND, DISKS_CHANGED,
                     "disk %s: the definition has no such disk", target);
        return NULL;
    }
    g_autoptr(GPtrArray) images = gw_record_array(&gw_image_move_record);
    GwImageMove *image = gw_image_move_new();
    image->to = gw_volume_copy(volume);
    if (volume->path != NULL) /* a block job takes no volume of a pool */
        g_clear_pointer(&image->to->pool, g_free);
    g_ptr_array_add(images, image);
    if (!move_disk(disk, images, error)) {
        g_prefix_error(error, "disk %s: ", target);
        return NULL;
    }
    return gw_xml_dump(xml, disk);
}
