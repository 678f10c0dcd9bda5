/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "model/libvirt_xml.h"

/* CPUs as libvirt writes them: of a domain, of domain capabilities, of a baseline. */

#define MODE_PATH "/domainCapabilities/cpu/mode"

/* What can be a model's or feature's name. libvirt's have no blank and no comma, which part names
 * from each other here. */
static gboolean is_name(const char *name)
{
    gsize length = name != NULL ? strlen(name) : 0;

    if (length == 0 || length > GW_CPU_NAME_MAX)
        return FALSE;
    for (const char *p = name; *p != '\0'; p++) {
        if (!g_ascii_isalnum(*p) && strchr("._-+", *p) == NULL)
            return FALSE;
    }
    return TRUE;
}

/* NULL: none that can be one. */
static char *name_at(GwXml *xml, xmlNode *node, const char *path)
{
    g_autofree char *text = gw_xml_string(xml, node, path);

    if (text != NULL)
        g_strstrip(text);
    return is_name(text) ? g_steal_pointer(&text) : NULL;
}

/* The names that @path selects below @node, sorted. */
static char **names_at(GwXml *xml, xmlNode *node, const char *path)
{
    g_autoptr(GPtrArray) nodes = gw_xml_nodes(xml, node, path);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    for (guint i = 0; i < MIN(nodes->len, GW_CPU_FEATURES_MAX); i++) {
        g_autofree char *name = name_at(xml, nodes->pdata[i], ".");
        if (name != NULL)
            g_strv_builder_add(builder, name);
    }
    char **names = g_strv_builder_end(builder);
    gw_cpu_features_sort(names);
    return names;
}

GwCpu *gw_libvirt_cpu_read(GwXml *xml, xmlNode *node)
{
    GwCpu *cpu = gw_cpu_new();

    cpu->mode = name_at(xml, node, "@mode");
    cpu->model = name_at(xml, node, "model");
    if (cpu->mode == NULL && cpu->model != NULL)
        cpu->mode = g_strdup("custom");
    cpu->exact = gw_xml_has(xml, node, "model[@fallback='forbid']");
    /* A feature without a policy is required. */
    cpu->features =
        names_at(xml, node, "feature[not(@policy) or @policy='require' or @policy='force']/@name");
    cpu->disabled = names_at(xml, node, "feature[@policy='disable' or @policy='forbid']/@name");
    return cpu;
}

GwCpu *gw_libvirt_cpu_from_xml(const char *text, GError **error)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text, error);

    if (xml == NULL)
        return NULL;
    if (strlen(text) > GW_LIBVIRT_CPU_XML_MAX || !gw_xml_has(xml, NULL, "/cpu")) {
        gw_error_set(error, GW_ERR_INVALID, "Give libvirt's XML of one CPU.",
                     "no <cpu> that can be used");
        return NULL;
    }
    GwCpu *cpu = gw_libvirt_cpu_read(xml, gw_xml_root(xml));
    cpu->xml = g_strdup(text);
    return cpu;
}

GwVmNext *gw_libvirt_next_from_xml(const char *text, GError **error)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text, error);

    if (xml == NULL)
        return NULL;
    g_autoptr(GPtrArray) found = gw_xml_nodes(xml, NULL, "/domain/cpu");
    GwVmNext *next = gw_vm_next_new();
    next->machine = name_at(xml, NULL, "/domain/os/type/@machine");
    if (found->len > 0)
        next->cpu = gw_libvirt_cpu_read(xml, found->pdata[0]);
    return next;
}

/* Domain capabilities ------------------------------------------------------------------------- */

static void append_each(GString *text, const char *policy, char *const *names)
{
    for (guint i = 0; names[i] != NULL; i++)
        g_string_append_printf(text, "<feature policy='%s' name='%s'/>", policy, names[i]);
}

/* The host-model CPU as a VM's definition has it. Written anew from what was read: names are such
 * that nothing needs escaping. */
static char *host_model_xml(GwXml *xml, xmlNode *mode, const GwHostCpu *host)
{
    g_autofree char *vendor = name_at(xml, mode, "vendor");
    GString *text = g_string_new("<cpu mode='custom' match='exact'>");

    g_string_append_printf(text, "<model fallback='forbid'>%s</model>", host->model);
    if (vendor != NULL)
        g_string_append_printf(text, "<vendor>%s</vendor>", vendor);
    append_each(text, "require", host->extra);
    append_each(text, "disable", host->missing);
    g_string_append(text, "</cpu>");
    return g_string_free(text, FALSE);
}

static void read_host_model(GwXml *xml, GwHostCpu *host)
{
    g_autoptr(GPtrArray) modes =
        gw_xml_nodes(xml, NULL, MODE_PATH "[@name='host-model' and @supported='yes'][model]");

    if (modes->len == 0)
        return;
    xmlNode *mode = modes->pdata[0];
    host->model = name_at(xml, mode, "model");
    host->extra = names_at(xml, mode, "feature[@policy='require']/@name");
    host->missing = names_at(xml, mode, "feature[@policy='disable']/@name");
    if (host->model == NULL)
        return;
    host->xml = host_model_xml(xml, mode, host);
    if (strlen(host->xml) > GW_LIBVIRT_CPU_XML_MAX)
        g_clear_pointer(&host->xml, g_free);
}

/* "MODEL FEATURE,FEATURE". libvirt before 10.2 does not tell which. */
static char *blocked_line(const char *model, GHashTable *blockers)
{
    const char *which = g_hash_table_lookup(blockers, model);

    return which != NULL && *which != '\0' ? g_strdup_printf("%s %s", model, which)
                                           : g_strdup(model);
}

/* model -> "FEATURE,FEATURE" */
static GHashTable *read_blockers(GwXml *xml)
{
    GHashTable *table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GPtrArray) nodes = gw_xml_nodes(xml, NULL, MODE_PATH "[@name='custom']/blockers");

    for (guint i = 0; i < MIN(nodes->len, GW_CPU_MODELS_MAX); i++) {
        char *model = name_at(xml, nodes->pdata[i], "@model");
        g_auto(GStrv) names = names_at(xml, nodes->pdata[i], "feature/@name");
        if (model != NULL)
            g_hash_table_replace(table, model, g_strjoinv(",", names));
    }
    return table;
}

static void read_models(GwXml *xml, GwHostCpu *host)
{
    g_autoptr(GHashTable) blockers = read_blockers(xml);
    g_autoptr(GPtrArray) nodes =
        gw_xml_nodes(xml, NULL, MODE_PATH "[@name='custom']/model[@usable='no' or @usable='yes']");
    g_autoptr(GStrvBuilder) usable = g_strv_builder_new();
    g_autoptr(GStrvBuilder) blocked = g_strv_builder_new();

    for (guint i = 0; i < MIN(nodes->len, GW_CPU_MODELS_MAX); i++) {
        g_autofree char *name = name_at(xml, nodes->pdata[i], ".");
        g_autofree char *line = name != NULL ? blocked_line(name, blockers) : NULL;
        if (name == NULL)
            continue;
        if (gw_xml_has(xml, nodes->pdata[i], "self::*[@usable='yes']"))
            g_strv_builder_add(usable, name);
        else
            g_strv_builder_add(blocked, line);
    }
    host->usable = g_strv_builder_end(usable);
    host->blocked = g_strv_builder_end(blocked);
    gw_cpu_features_sort(host->usable);
    gw_cpu_features_sort(host->blocked);
}

/* Whether every model has been read with its use. */
static gboolean tells_of_all_models(GwXml *xml)
{
    g_autoptr(GPtrArray) nodes = gw_xml_nodes(xml, NULL, MODE_PATH "[@name='custom']/model");

    return nodes->len <= GW_CPU_MODELS_MAX &&
           !gw_xml_has(xml, NULL,
                       MODE_PATH "[@name='custom']/model[not(@usable='yes' or @usable='no')]");
}

GwHostCpu *gw_libvirt_host_cpu_from_xml(const char *text)
{
    g_autoptr(GwXml) xml = gw_xml_parse(text, NULL);

    if (xml == NULL)
        return NULL;
    g_autoptr(GwHostCpu) host = gw_host_cpu_new();
    host->virt_type = name_at(xml, NULL, "/domainCapabilities/domain");
    read_host_model(xml, host);
    if (tells_of_all_models(xml))
        read_models(xml, host);
    if (host->virt_type == NULL ||
        (host->model == NULL && (host->usable == NULL || *host->usable == NULL)))
        return NULL;
    return g_steal_pointer(&host);
}
