/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "hyper/sim_storage.h"
#include "model/libvirt_xml.h"

/* CPUs of simulated hosts and VMs: a few models, each with all of an older one's features and some
 * more. Only hosts that say "vm_cpu" have any; the others take every CPU. */

static const struct {
    const char *name, *older, *more;
} models[] = {
    { "Westmere", NULL, "aes,sse4.2" },
    { "SandyBridge", "Westmere", "avx,tsc-deadline" },
    { "Haswell", "SandyBridge", "avx2,fma,invpcid" },
    { "Skylake-Server", "Haswell", "avx512f,clwb,pku" },
    { "Cascadelake-Server", "Skylake-Server", "avx512vnni" },
    { "Opteron_G3", NULL, "misalignsse,sse4a" },
    { "EPYC", "Opteron_G3", "aes,avx,avx2,fma,sha-ni,sse4.2" },
};

static int index_of(const char *name)
{
    for (guint i = 0; name != NULL && i < G_N_ELEMENTS(models); i++) {
        if (strcmp(models[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

static void add_features(GStrvBuilder *builder, const char *model)
{
    for (int i = index_of(model); i >= 0; i = index_of(models[i].older)) {
        g_auto(GStrv) more = g_strsplit(models[i].more, ",", -1);
        g_strv_builder_addv(builder, (const char **)more);
    }
}

static char **sorted(GStrvBuilder *builder)
{
    char **features = g_strv_builder_end(builder);

    gw_cpu_features_sort(features);
    return features;
}

static char **features_of(const char *model)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    add_features(builder, model);
    return sorted(builder);
}

/* All that a CPU has; NULL: its model is none of ours. */
static char **expand(const GwCpu *cpu)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    if (index_of(cpu->model) < 0)
        return NULL;
    add_features(builder, cpu->model);
    if (cpu->features != NULL)
        g_strv_builder_addv(builder, (const char **)cpu->features);
    g_auto(GStrv) all = sorted(builder);
    return gw_cpu_features_without(all, cpu->disabled);
}

/* Hosts --------------------------------------------------------------------------------------- */

static GwHostCpu *host_cpu(const char *model, const char *virt_type)
{
    GwHostCpu *cpu = gw_host_cpu_new();
    g_autoptr(GStrvBuilder) usable = g_strv_builder_new();
    g_autoptr(GStrvBuilder) blocked = g_strv_builder_new();

    cpu->virt_type = g_strdup(virt_type);
    cpu->model = g_strdup(model);
    cpu->xml = g_strdup_printf("<cpu mode='custom' match='exact'><model fallback='forbid'>%s"
                               "</model></cpu>",
                               model);
    cpu->features = features_of(model);
    for (guint i = 0; i < G_N_ELEMENTS(models); i++) {
        g_auto(GStrv) wanted = features_of(models[i].name);
        g_auto(GStrv) lacking = gw_cpu_features_without(wanted, cpu->features);
        g_autofree char *words = g_strjoinv(",", lacking);
        g_autofree char *line = g_strdup_printf("%s %s", models[i].name, words);
        if (*lacking == NULL)
            g_strv_builder_add(usable, models[i].name);
        else
            g_strv_builder_add(blocked, line);
    }
    cpu->usable = sorted(usable);
    cpu->blocked = sorted(blocked);
    return cpu;
}

gboolean gw_sim_load_cpu(SimHost *host, json_t *json, GError **error)
{
    json_t *said = json_object_get(json, "vm_cpu");
    const char *model = json_string_value(said);

    if (said == NULL)
        return TRUE;
    if (index_of(model) < 0) {
        gw_error_set(error, GW_ERR_INVALID, "See docs/simulator.md.",
                     "'vm_cpu' must be a CPU model that the simulator has");
        return FALSE;
    }
    g_clear_pointer(&host->facts->vm_cpus, g_ptr_array_unref);
    host->facts->vm_cpus = gw_record_array(&gw_host_cpu_record);
    g_ptr_array_add(host->facts->vm_cpus, host_cpu(model, "kvm"));
    g_ptr_array_add(host->facts->vm_cpus, host_cpu(model, "qemu"));
    g_free(host->facts->cpu_model);
    host->facts->cpu_model = g_strdup(model);
    return TRUE;
}

/* VMs ----------------------------------------------------------------------------------------- */

static char *xml_of(const GwCpu *cpu)
{
    GString *text = g_string_new("<cpu mode='custom' match='exact'>");

    g_string_append_printf(text, "<model fallback='forbid'>%s</model>", cpu->model);
    for (guint i = 0; cpu->features != NULL && cpu->features[i] != NULL; i++)
        g_string_append_printf(text, "<feature policy='require' name='%s'/>", cpu->features[i]);
    for (guint i = 0; cpu->disabled != NULL && cpu->disabled[i] != NULL; i++)
        g_string_append_printf(text, "<feature policy='disable' name='%s'/>", cpu->disabled[i]);
    g_string_append(text, "</cpu>");
    return g_string_free(text, FALSE);
}

static void set_cpu(GwVm *vm, const GwCpu *cpu)
{
    GwCpu *own = gw_cpu_copy(cpu);

    gw_cpu_free(vm->cpu);
    vm->cpu = own;
    g_free(vm->cpu_mode);
    vm->cpu_mode = g_strdup(own->mode);
    g_free(vm->cpu_model);
    vm->cpu_model = g_strdup(own->model);
    g_free(vm->cpu_xml);
    vm->cpu_xml = own->model != NULL ? xml_of(own) : NULL;
}

void gw_sim_load_vm_cpu(GwVm *vm)
{
    if (vm->cpu != NULL)
        set_cpu(vm, vm->cpu);
}

void gw_sim_boot_cpu(const SimHost *host, GwVm *vm)
{
    const GwHostCpu *given = gw_host_cpu_of(host->facts->vm_cpus, vm->virt_type);

    if (vm->next == NULL)
        return;
    if (vm->next->machine != NULL) {
        g_free(vm->machine);
        vm->machine = g_strdup(vm->next->machine);
    }
    if (vm->next->cpu == NULL)
        return;
    g_autoptr(GwCpu) cpu = gw_cpu_copy(vm->next->cpu);
    if (g_strcmp0(cpu->mode, "host-model") == 0 && given != NULL) {
        g_free(cpu->mode);
        g_free(cpu->model);
        cpu->mode = g_strdup("custom");
        cpu->model = g_strdup(given->model);
    }
    set_cpu(vm, cpu);
}

/* Questions ----------------------------------------------------------------------------------- */

static void compare(SimHost *host, const GwRequest *request, GwReply *reply)
{
    const char *virt_type = request->number == 1 ? "qemu" : "kvm";
    const GwHostCpu *given = gw_host_cpu_of(host->facts->vm_cpus, virt_type);
    g_autoptr(GwCpu) cpu =
        request->text != NULL ? gw_libvirt_cpu_from_xml(request->text, &reply->error) : NULL;

    reply->verdict = TRUE;
    if (given == NULL || cpu == NULL)
        return;
    reply->verdict = gw_cpu_judge(given, cpu, &reply->text) != GW_CPU_INCOMPATIBLE;
}

/* What both have. */
static char **common(char **a, char **b)
{
    g_auto(GStrv) only = gw_cpu_features_without(a, b);
    return gw_cpu_features_without(a, only);
}

/* The model that holds the most of @features and nothing else. */
static const char *best_model(char **features)
{
    const char *best = NULL;
    guint most = 0;

    for (guint i = 0; i < G_N_ELEMENTS(models); i++) {
        g_auto(GStrv) wanted = features_of(models[i].name);
        g_auto(GStrv) lacking = gw_cpu_features_without(wanted, features);
        if (*lacking == NULL && g_strv_length(wanted) > most) {
            best = models[i].name;
            most = g_strv_length(wanted);
        }
    }
    return best;
}

static void baseline(const GwRequest *request, GwReply *reply)
{
    g_auto(GStrv) all = NULL;

    for (guint i = 0; request->definitions != NULL && request->definitions[i] != NULL; i++) {
        g_autoptr(GwCpu) cpu = gw_libvirt_cpu_from_xml(request->definitions[i], &reply->error);
        g_auto(GStrv) features = cpu != NULL ? expand(cpu) : NULL;
        if (features == NULL)
            break;
        char **both = all != NULL ? common(all, features) : g_steal_pointer(&features);
        g_strfreev(all);
        all = both;
    }
    const char *model = all != NULL ? best_model(all) : NULL;
    if (model == NULL) {
        if (reply->error == NULL)
            gw_error_set(&reply->error, GW_ERR_UNSUPPORTED, NULL,
                         "the CPUs have no model in common");
        return;
    }
    g_auto(GStrv) of_model = features_of(model);
    GwCpu *cpu = gw_cpu_new();
    cpu->mode = g_strdup("custom");
    cpu->model = g_strdup(model);
    cpu->exact = TRUE;
    cpu->features = gw_cpu_features_without(all, of_model);
    cpu->xml = xml_of(cpu);
    g_strfreev(cpu->features);
    cpu->features = g_steal_pointer(&all);
    reply->cpu = cpu;
}

void gw_sim_cpu_serve(SimHost *host, const GwRequest *request, GwReply *reply)
{
    if (request->op == GW_OP_CPU_BASELINE)
        baseline(request, reply);
    else
        compare(host, request, reply);
}
