/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "base/xml.h"
#include "model/libvirt_xml.h"

#define MACHINES_MAX 2000

static char *value(GwXml *xml, xmlNode *node, const char *path)
{
    g_autofree char *text = gw_xml_string(xml, node, path);

    if (text == NULL || *text == '\0' || strlen(text) > GW_LIBVIRT_VALUE_MAX)
        return NULL;
    return g_steal_pointer(&text);
}

/* Pools ----------------------------------------------------------------------------------- */

static int compare_strings(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The servers of a pool's source, sorted: two hosts may list the same monitors in another order. */
static char *source_hosts(GwXml *xml)
{
    g_autoptr(GPtrArray) nodes = gw_xml_nodes(xml, NULL, "/pool/source/host");
    g_autoptr(GPtrArray) hosts = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < nodes->len && i < 64; i++) {
        g_autofree char *name = value(xml, nodes->pdata[i], "@name");
        g_autofree char *port = value(xml, nodes->pdata[i], "@port");
        if (name != NULL)
            g_ptr_array_add(hosts, port != NULL ? g_strconcat(name, ":", port, NULL)
                                                : g_steal_pointer(&name));
    }
    if (hosts->len == 0)
        return NULL;
    g_ptr_array_sort(hosts, compare_strings);
    g_ptr_array_add(hosts, NULL);
    return g_strjoinv(",", (char **)hosts->pdata);
}

/* What the storage is, by type: the elements of <source> that name it after the server. */
static const struct {
    const char *type;
    const char *paths[3]; /* joined by "/" where several are there */
} pool_sources[] = {
    { "netfs", { "dir/@path" } },    { "gluster", { "name", "dir/@path" } },
    { "rbd", { "name" } },           { "sheepdog", { "name" } },
    { "iscsi", { "device/@path" } }, { "iscsi-direct", { "device/@path" } },
    { "fs", { "device/@path" } },    { "disk", { "device/@path" } },
    { "logical", { "name" } },       { "zfs", { "name" } },
    { "vstorage", { "name" } },      { "scsi", { "adapter/@wwpn", "adapter/@name" } },
};

static char *pool_source(GwXml *xml, const char *type)
{
    g_autofree char *hosts = source_hosts(xml);
    GString *name = g_string_new(NULL);

    for (guint i = 0; i < G_N_ELEMENTS(pool_sources); i++) {
        if (g_strcmp0(type, pool_sources[i].type) != 0)
            continue;
        for (int j = 0; j < 3 && pool_sources[i].paths[j] != NULL; j++) {
            g_autofree char *path = g_strconcat("/pool/source/", pool_sources[i].paths[j], NULL);
            g_autofree char *part = value(xml, NULL, path);
            gboolean slash = name->len > 0 && part != NULL && *part != '/';
            if (part != NULL)
                g_string_append_printf(name, "%s%s", slash ? "/" : "", part);
        }
    }
    g_autofree char *joined = g_string_free(name, FALSE);
    if (*joined == '\0')
        return NULL;
    return hosts != NULL ? g_strconcat(hosts, ":", joined, NULL) : g_steal_pointer(&joined);
}

GwPool *gw_libvirt_pool_from_xml(const char *text, GError **error)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text, error);
    if (xml == NULL)
        return NULL;
    g_autofree char *name = value(xml, NULL, "/pool/name");
    if (name == NULL) {
        gw_error_set(error, GW_ERR_INVALID, NULL, "the pool's definition has no usable name");
        return NULL;
    }

    GwPool *pool = gw_pool_new();
    pool->name = gw_text_printable(name, GW_TEXT_NAME_MAX);
    pool->type = value(xml, NULL, "/pool/@type");
    pool->target_path = value(xml, NULL, "/pool/target/path");
    pool->source = pool_source(xml, pool->type);
    if (gw_xml_has(xml, NULL, "/pool[@type='scsi']/source/adapter[@type='fc_host']")) {
        pool->wwpn = value(xml, NULL, "/pool/source/adapter/@wwpn");
        pool->parent_hba = value(xml, NULL, "/pool/source/adapter/@parent");
    }
    return pool;
}

/* Capabilities ---------------------------------------------------------------------------- */

/* An alias ("q35") stands for another machine on each version of QEMU, so only what it stands for
 * is told: its canonical attribute. */
static void add_machines(GwXml *xml, xmlNode *arch, GHashTable *machines)
{
    g_autoptr(GPtrArray) nodes = gw_xml_nodes(xml, arch, ".//machine");

    for (guint i = 0; i < nodes->len && g_hash_table_size(machines) < MACHINES_MAX; i++) {
        char *name = value(xml, nodes->pdata[i], "@canonical");
        if (name == NULL)
            name = value(xml, nodes->pdata[i], ".");
        if (name != NULL)
            g_hash_table_add(machines, name);
    }
}

static char **read_machines(GwXml *xml, const char *host_arch)
{
    g_autoptr(GHashTable) machines = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) arches =
        gw_xml_nodes(xml, NULL, "/capabilities/guest[os_type='hvm']/arch");

    for (guint i = 0; i < arches->len; i++) {
        g_autofree char *arch = value(xml, arches->pdata[i], "@name");
        if (g_strcmp0(arch, host_arch) == 0)
            add_machines(xml, arches->pdata[i], machines);
    }
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(machines), (GCompareFunc)strcmp);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    for (GList *item = names; item != NULL; item = item->next)
        g_strv_builder_add(builder, item->data);
    return g_strv_builder_end(builder);
}

gboolean gw_libvirt_capabilities_into(GwHostFacts *facts, const char *text, GError **error)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text, error);
    if (xml == NULL) {
        g_prefix_error(error, "capabilities: ");
        return FALSE;
    }
    g_autofree char *uuid = value(xml, NULL, "/capabilities/host/uuid");
    if (uuid == NULL || !g_uuid_string_is_valid(uuid)) {
        gw_error_set(error, GW_ERR_INVALID, "Set host_uuid in libvirtd.conf on the host.",
                     "the host's capabilities have no valid UUID");
        return FALSE;
    }

    facts->host_uuid = g_ascii_strdown(uuid, -1);
    facts->arch = value(xml, NULL, "/capabilities/host/cpu/arch");
    facts->cpu_model = value(xml, NULL, "/capabilities/host/cpu/model");
    g_autoptr(GPtrArray) cpu = gw_xml_nodes(xml, NULL, "/capabilities/host/cpu");
    g_autofree char *dump = cpu->len > 0 ? gw_xml_dump(xml, cpu->pdata[0]) : NULL;
    if (dump != NULL && strlen(dump) <= GW_LIBVIRT_CPU_XML_MAX)
        facts->cpu_xml = g_steal_pointer(&dump);
    facts->machines = read_machines(xml, facts->arch);
    return TRUE;
}
