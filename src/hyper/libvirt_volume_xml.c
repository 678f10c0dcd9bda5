/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hyper/libvirt_volume_xml.h"

#include <string.h>

#include "base/error.h"
#include "base/xml.h"
#include "model/libvirt_xml.h"

#define SECTOR_BYTES 512
#define TARGETS_MAX 10000

/* Reading ------------------------------------------------------------------------------------- */

/* A shortened path or name would be another's, so a long one is left out. */
static char *value(GwXml *xml, const char *path)
{
    g_autofree char *text = gw_xml_string(xml, NULL, path);

    if (text == NULL || *text == '\0' || strlen(text) > GW_LIBVIRT_VALUE_MAX)
        return NULL;
    return g_steal_pointer(&text);
}

/* libvirt writes sizes of volumes in bytes always; anything else is not understood. */
static gint64 size_at(GwXml *xml, const char *path)
{
    g_autofree char *unit_path = g_strconcat(path, "/@unit", NULL);
    g_autofree char *unit = value(xml, unit_path);

    if (unit != NULL && strcmp(unit, "bytes") != 0 && strcmp(unit, "B") != 0)
        return 0;
    return gw_xml_int(xml, NULL, path, 0);
}

static char *kind_of(const char *type)
{
    static const char *const kinds[][2] = { { "file", "file" },
                                            { "block", "block" },
                                            { "network", "network" },
                                            { "dir", "directory" },
                                            { "netdir", "directory" } };

    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (g_strcmp0(type, kinds[i][0]) == 0)
            return g_strdup(kinds[i][1]);
    }
    return NULL;
}

static void read_target(GwXml *xml, GwVolume *volume)
{
    volume->path = value(xml, "/volume/target/path");
    volume->format = value(xml, "/volume/target/format/@type");
    volume->compat = value(xml, "/volume/target/compat");
    volume->cluster_bytes = size_at(xml, "/volume/target/clusterSize");
    volume->lazy_refcounts = gw_xml_has(xml, NULL, "/volume/target/features/lazy_refcounts");
    volume->extended_l2 = gw_xml_has(xml, NULL, "/volume/target/features/extended_l2");
    volume->encrypted = gw_xml_has(xml, NULL, "/volume/target/encryption");
    volume->modified = value(xml, "/volume/target/timestamps/mtime");
    volume->mode = value(xml, "/volume/target/permissions/mode");
    volume->owner = value(xml, "/volume/target/permissions/owner");
    volume->group = value(xml, "/volume/target/permissions/group");
    volume->label = value(xml, "/volume/target/permissions/label");
    volume->backing_path = value(xml, "/volume/backingStore/path");
    if (volume->backing_path != NULL)
        volume->backing_format = value(xml, "/volume/backingStore/format/@type");
}

GwVolume *gw_libvirt_volume_from_xml(const char *text, GError **error)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text, error);
    if (xml == NULL)
        return NULL;
    g_autoptr(GwVolume) volume = gw_volume_new();
    g_autofree char *type = value(xml, "/volume/@type");

    volume->name = value(xml, "/volume/name");
    read_target(xml, volume);
    if (volume->name == NULL || volume->path == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL,
                     "the volume's definition has no usable name or path");
        return NULL;
    }
    volume->kind = kind_of(type);
    volume->capacity_bytes = size_at(xml, "/volume/capacity");
    volume->allocation_bytes = size_at(xml, "/volume/allocation");
    volume->length_bytes = size_at(xml, "/volume/physical");
    if (volume->length_bytes == 0 && g_strcmp0(volume->kind, "file") != 0)
        volume->length_bytes = volume->capacity_bytes;
    volume->internal_snapshots = -1;
    return g_steal_pointer(&volume);
}

char *gw_libvirt_volume_mtime(const char *text)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text, NULL);

    return xml != NULL ? value(xml, "/volume/target/timestamps/mtime") : NULL;
}

/* Writing ------------------------------------------------------------------------------------- */

/* <name>text</name>, where there is a text. */
static void element(GString *out, const char *name, const char *text)
{
    g_autofree char *piece =
        text != NULL ? g_markup_printf_escaped("<%s>%s</%s>", name, text, name) : NULL;

    g_string_append(out, piece != NULL ? piece : "");
}

static void format_element(GString *out, const char *format)
{
    g_autofree char *piece = g_markup_printf_escaped("<format type='%s'/>", format);

    g_string_append(out, piece);
}

static gboolean holds_files(const char *pool_type)
{
    static const char *const types[] = { "dir", "fs", "netfs", "gluster", "vstorage", NULL };

    return pool_type != NULL && g_strv_contains(types, pool_type);
}

static gboolean check_wish(const GwVolume *volume, gboolean files, GError **error)
{
    const char *why = NULL;

    if (volume->format == NULL || volume->capacity_bytes < 0)
        why = "neither format nor size of the new volume is told";
    else if (!files && strcmp(volume->format, "raw") != 0)
        why = "a pool of this type holds raw volumes only";
    else if (volume->encrypted && strcmp(volume->format, "raw") != 0)
        why = "an encrypted image is only copied as it is, into a raw volume of its length";
    if (why != NULL)
        gw_error_set(error, GW_ERR_UNSUPPORTED, "Choose another pool, or another format.", "%s",
                     why);
    return why == NULL;
}

static void append_target(GString *out, const GwVolume *volume, gboolean files)
{
    gboolean qcow2 = strcmp(volume->format, "qcow2") == 0;

    g_string_append(out, "<target>");
    if (files) /* of a block device libvirt would take it for the type of a partition */
        format_element(out, volume->format);
    g_string_append(out, "<permissions>");
    element(out, "mode", volume->mode);
    element(out, "owner", volume->owner);
    element(out, "group", volume->group);
    element(out, "label", volume->label);
    g_string_append(out, "</permissions>");
    if (qcow2) {
        element(out, "compat", volume->compat);
        if (volume->cluster_bytes > 0)
            g_string_append_printf(out, "<clusterSize unit='B'>%" G_GINT64_FORMAT "</clusterSize>",
                                   volume->cluster_bytes);
        if (volume->lazy_refcounts || volume->extended_l2)
            g_string_append_printf(out, "<features>%s%s</features>",
                                   volume->lazy_refcounts ? "<lazy_refcounts/>" : "",
                                   volume->extended_l2 ? "<extended_l2/>" : "");
    }
    g_string_append(out, "</target>");
}

char *gw_libvirt_volume_to_xml(const GwVolume *volume, const char *pool_type, GError **error)
{
    gboolean files = holds_files(pool_type);

    if (!check_wish(volume, files, error))
        return NULL;
    if (volume->backing_path != NULL && volume->backing_format == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "the format of the backing file '%s' is not told",
                     volume->backing_path);
        return NULL;
    }
    /* Less than its capacity would make a snapshot of it on LVM, which a guest can fill up. */
    gboolean full = !files || (strcmp(volume->format, "raw") == 0 &&
                               volume->allocation_bytes >= volume->capacity_bytes);
    GString *out = g_string_new("<volume>");
    element(out, "name", volume->name);
    g_string_append_printf(out,
                           "<capacity unit='bytes'>%" G_GINT64_FORMAT "</capacity>"
                           "<allocation unit='bytes'>%" G_GINT64_FORMAT "</allocation>",
                           volume->capacity_bytes, full ? volume->capacity_bytes : 0);
    append_target(out, volume, files);
    if (volume->backing_path != NULL) {
        g_string_append(out, "<backingStore>");
        element(out, "path", volume->backing_path);
        format_element(out, volume->backing_format);
        g_string_append(out, "</backingStore>");
    }
    g_string_append(out, "</volume>");
    return g_string_free(out, FALSE);
}

char *gw_libvirt_folder_xml(const char *name, const char *folder)
{
    return g_markup_printf_escaped("<pool type='dir'><name>%s</name>"
                                   "<target><path>%s</path></target></pool>",
                                   name, folder);
}

/* Paths --------------------------------------------------------------------------------------- */

gboolean gw_libvirt_path_check(const char *path, GError **error)
{
    gboolean well = path != NULL && path[0] == '/' && path[1] != '\0' &&
                    strlen(path) <= GW_LIBVIRT_VALUE_MAX && g_utf8_validate(path, -1, NULL);
    g_auto(GStrv) parts = well ? g_strsplit(path + 1, "/", -1) : NULL;

    for (guint i = 0; well && parts[i] != NULL; i++)
        well = *parts[i] != '\0' && strcmp(parts[i], ".") != 0 && strcmp(parts[i], "..") != 0;
    for (const char *p = path; well && *p != '\0'; p++)
        well = !g_ascii_iscntrl(*p);
    if (!well)
        gw_error_set(error, GW_ERR_INVALID, "Give the absolute path of a file, without '..'.",
                     "'%s' is not the path of a file", path != NULL ? path : "");
    return well;
}

/* QEMU takes what stands before a colon for a protocol unless there is a slash before that. */
static gboolean has_protocol(const char *backing)
{
    return strcspn(backing, ":") < strcspn(backing, "/") && strchr(backing, ':') != NULL;
}

char *gw_libvirt_backing_path(const char *image, const char *backing, GError **error)
{
    static const char file[] = "file:";

    if (g_str_has_prefix(backing, file))
        backing += strlen(file);
    if (has_protocol(backing) || !g_utf8_validate(backing, -1, NULL)) {
        gw_error_set(error, GW_ERR_UNSUPPORTED,
                     "Give it a backing file of the host (qemu-img rebase), or merge the two.",
                     "the backing file of '%s' is '%s', which is no file of the host", image,
                     backing);
        return NULL;
    }
    g_autofree char *folder = g_path_get_dirname(image);
    g_autofree char *path = g_canonicalize_filename(backing, folder);
    return gw_libvirt_path_check(path, error) ? g_steal_pointer(&path) : NULL;
}

/* Fresh --------------------------------------------------------------------------------------- */

static gint64 round_up(gint64 bytes, gint64 unit)
{
    return (bytes + unit - 1) / unit * unit;
}

/* Header, table of reference counts, block of these, and the first-level table; the first write of
 * a guest adds two clusters at least. */
static gint64 fresh_qcow2_bytes(const GwVolume *found)
{
    gint64 cluster = found->cluster_bytes > 0 ? found->cluster_bytes : 65536;
    gint64 reach = cluster / (found->extended_l2 ? 16 : 8) * cluster; /* of one entry of it */
    gint64 entries = found->capacity_bytes / reach + 1;

    return 3 * cluster + round_up(entries * 8, cluster);
}

gboolean gw_libvirt_volume_is_fresh(const GwVolume *found, const GwVolume *volume)
{
    gboolean qcow2 = g_strcmp0(volume->format, "qcow2") == 0;
    gint64 capacity = volume->capacity_bytes;

    if (g_strcmp0(found->format, volume->format) != 0 || g_strcmp0(found->kind, "file") != 0 ||
        found->capacity_bytes != (qcow2 ? round_up(capacity, SECTOR_BYTES) : capacity))
        return FALSE;
    if (g_strcmp0(found->backing_path, volume->backing_path) != 0)
        return FALSE;
    if (qcow2)
        return found->length_bytes <= fresh_qcow2_bytes(found);
    return g_strcmp0(volume->format, "raw") == 0 && found->allocation_bytes == 0;
}

/* Uses ---------------------------------------------------------------------------------------- */

/* Paths of one file can be written in several ways. */
static gboolean same_path(const char *text, const char *path)
{
    if (*text != '/' || strlen(text) > GW_LIBVIRT_VALUE_MAX)
        return FALSE;
    g_autofree char *plain = g_canonicalize_filename(text, "/");
    return strcmp(plain, path) == 0;
}

static gboolean names_path(GwXml *xml, const char *path)
{
    g_autoptr(GPtrArray) nodes =
        gw_xml_nodes(xml, NULL,
                     "/domain/*[name() != 'metadata']/descendant-or-self::*/@*"
                     "|/domain/*[name() != 'metadata']//text()");

    for (guint i = 0; i < nodes->len; i++) {
        g_autofree char *text = gw_xml_string(xml, nodes->pdata[i], ".");
        if (text != NULL && same_path(g_strstrip(text), path))
            return TRUE;
    }
    return FALSE;
}

static gboolean names_volume(GwXml *xml, const char *pool, const char *name)
{
    g_autoptr(GPtrArray) nodes = gw_xml_nodes(xml, NULL, "//source[@pool and @volume]");

    for (guint i = 0; pool != NULL && i < nodes->len; i++) {
        g_autofree char *its_pool = gw_xml_string(xml, nodes->pdata[i], "@pool");
        g_autofree char *its_name = gw_xml_string(xml, nodes->pdata[i], "@volume");
        if (g_strcmp0(its_pool, pool) == 0 && g_strcmp0(its_name, name) == 0)
            return TRUE;
    }
    return FALSE;
}

/* A TPM's state is in a folder called by the VM's UUID, which the definition does not name. */
static gboolean names_tpm(GwXml *xml, const char *path)
{
    g_autofree char *uuid = gw_xml_string(xml, NULL, "/domain/uuid");

    if (uuid == NULL || *uuid == '\0' || !gw_xml_has(xml, NULL, "/domain/devices/tpm"))
        return FALSE;
    g_autofree char *part = g_strconcat("/", uuid, "/", NULL);
    return strstr(path, part) != NULL;
}

gboolean gw_libvirt_domain_names(const char *text, const char *path, const char *pool,
                                 const char *name, char **vm)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text, NULL);
    gboolean named = xml == NULL ||
                     (path != NULL && (names_path(xml, path) || names_tpm(xml, path))) ||
                     names_volume(xml, pool, name);

    if (named && vm != NULL)
        *vm = xml != NULL ? gw_xml_string(xml, NULL, "/domain/name") : g_strdup("…");
    return named;
}

char **gw_libvirt_domain_devices(const char *text)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text, NULL);
    g_autoptr(GPtrArray) nodes =
        xml != NULL ? gw_xml_nodes(xml, NULL, "/domain/devices/disk/descendant::source/@*") : NULL;
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    for (guint i = 0, count = 0;
         nodes != NULL && i < nodes->len && count < GW_LIBVIRT_BLOCK_DEVICES_MAX; i++) {
        g_autofree char *path = gw_xml_string(xml, nodes->pdata[i], ".");
        if (path == NULL || !g_str_has_prefix(path, "/dev/") || strlen(path) > GW_LIBVIRT_VALUE_MAX)
            continue;
        g_strv_builder_add(builder, path);
        count++;
    }
    return g_strv_builder_end(builder);
}

/* Sources ------------------------------------------------------------------------------------- */

GPtrArray *gw_libvirt_sources_targets(const char *text)
{
    GPtrArray *targets = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GwXml) xml = gw_xml_parse(text, NULL);
    g_autoptr(GPtrArray) nodes =
        xml != NULL ? gw_xml_nodes(xml, NULL, "/sources/source/device[@path]") : NULL;

    for (guint i = 0; nodes != NULL && i < MIN(nodes->len, TARGETS_MAX); i++)
        g_ptr_array_add(targets, gw_xml_string(xml, nodes->pdata[i], "@path"));
    return targets;
}
