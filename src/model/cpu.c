/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/cpu.h"

#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 12 /* features named in a sentence */

GW_DEFINE_RECORD(GwHostCpu, gw_host_cpu, "HostCpu", "What a host can give VMs as a CPU.",
                 GW_F(GwHostCpu, virt_type, GW_STRING, .doc = "kvm or qemu."),
                 GW_F(GwHostCpu, model, GW_STRING, .doc = "The model that host-model gets."),
                 GW_F(GwHostCpu, xml, GW_STRING, .doc = "That CPU as a VM's."),
                 GW_F(GwHostCpu, features, GW_STRINGS, .doc = "All its features."),
                 GW_F(GwHostCpu, extra, GW_STRINGS, .doc = "Those beside the model's."),
                 GW_F(GwHostCpu, missing, GW_STRINGS, .doc = "Features of the model it lacks."),
                 GW_F(GwHostCpu, usable, GW_STRINGS, .doc = "Models it can give whole."),
                 GW_F(GwHostCpu, blocked, GW_STRINGS, .doc = "Others, and what they lack."));

GW_DEFINE_RECORD(GwCpu, gw_cpu, "Cpu", "A CPU as it is defined.",
                 GW_F(GwCpu, mode, GW_STRING, .doc = "custom, host-model, host-passthrough, …"),
                 GW_F(GwCpu, model, GW_STRING, .doc = "Model."),
                 GW_F(GwCpu, exact, GW_BOOL, .doc = "No other model may stand in for it."),
                 GW_F(GwCpu, xml, GW_STRING, .doc = "libvirt's XML of it."),
                 GW_F(GwCpu, features, GW_STRINGS, .doc = "Features beside the model's."),
                 GW_F(GwCpu, disabled, GW_STRINGS, .doc = "Features of the model left out."));

GW_DEFINE_RECORD(GwVmNext, gw_vm_next, "VmNext", "What a VM's definition asks for at next start.",
                 GW_F(GwVmNext, machine, GW_STRING, .doc = "Machine type."),
                 GW_F(GwVmNext, cpu, GW_OBJECT, .of = &gw_cpu_record, .doc = "CPU."));

GW_DEFINE_RECORD(GwRestartChange, gw_restart_change, "RestartChange",
                 "Something of a VM that its next start would change (R11).",
                 GW_F(GwRestartChange, what, GW_STRING,
                      .doc = "machine, cpu-model or cpu-features."),
                 GW_F(GwRestartChange, now, GW_STRING, .doc = "As it was booted."),
                 GW_F(GwRestartChange, after, GW_STRING, .doc = "As it would be booted now."),
                 GW_F(GwRestartChange, why, GW_STRING, .doc = "Where the difference comes from."));

GW_DEFINE_RECORD(GwRestart, gw_restart, "Restart",
                 "What a restart of a VM would change, and what that means for moves (R11).",
                 GW_F(GwRestart, changes, GW_ARRAY, .of = &gw_restart_change_record,
                      .doc = "The changes; empty: no restart is pending."),
                 GW_F(GwRestart, gains, GW_STRINGS,
                      .doc = "Hosts it cannot move to now, and could after the restart."),
                 GW_F(GwRestart, loses, GW_STRINGS,
                      .doc = "Hosts it can move to now, and could not after the restart."),
                 GW_F(GwRestart, commands, GW_STRINGS, .doc = "How to restart it."));

/* Lists --------------------------------------------------------------------------------------- */

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void gw_cpu_features_sort(char **names)
{
    guint count = names != NULL ? g_strv_length(names) : 0;
    guint kept = 0;

    if (count == 0)
        return;
    qsort(names, count, sizeof *names, compare_names);
    for (guint i = 0; i < count; i++) {
        if (kept > 0 && strcmp(names[kept - 1], names[i]) == 0)
            g_free(names[i]);
        else
            names[kept++] = names[i];
    }
    names[kept] = NULL;
}

gboolean gw_cpu_has(char *const *features, const char *name)
{
    return features != NULL && g_strv_contains((const char *const *)features, name);
}

char **gw_cpu_features_without(char *const *a, char *const *b)
{
    g_autoptr(GStrvBuilder) left = g_strv_builder_new();

    for (; a != NULL && *a != NULL; a++) {
        while (b != NULL && *b != NULL && strcmp(*b, *a) < 0)
            b++;
        if (b == NULL || *b == NULL || strcmp(*b, *a) != 0)
            g_strv_builder_add(left, *a);
    }
    return g_strv_builder_end(left);
}

char *gw_cpu_features_words(char *const *features)
{
    guint count = features != NULL ? g_strv_length((char **)features) : 0;
    GString *words = g_string_new(NULL);

    for (guint i = 0; i < MIN(count, WORDS_MAX); i++)
        g_string_append_printf(words, "%s%s", i > 0 ? ", " : "", features[i]);
    if (count > WORDS_MAX)
        g_string_append_printf(words, " and %u more", count - WORDS_MAX);
    return g_string_free(words, FALSE);
}

gboolean gw_cpu_feature_is_fixed(const char *name)
{
    return strcmp(name, "invtsc") == 0;
}

const GwHostCpu *gw_host_cpu_of(const GPtrArray *cpus, const char *virt_type)
{
    return gw_record_find(&gw_host_cpu_record, cpus, "virt_type", virt_type);
}

/* The verdict --------------------------------------------------------------------------------- */

/* The blockers of @model, "" where they are not told; NULL: it is not a blocked one. */
static const char *blockers_of(const GwHostCpu *host, const char *model)
{
    gsize length = strlen(model);

    for (guint i = 0; host->blocked != NULL && host->blocked[i] != NULL; i++) {
        const char *line = host->blocked[i];
        if (strncmp(line, model, length) != 0)
            continue;
        if (line[length] == ' ')
            return line + length + 1;
        if (line[length] == '\0')
            return line + length;
    }
    return NULL;
}

/* Whether @name is one of the words of @list, "a,b,c". */
static gboolean is_listed(const char *list, const char *name)
{
    gsize length = strlen(name);

    for (const char *at = list; (at = strstr(at, name)) != NULL; at++) {
        if ((at == list || at[-1] == ',' || at[-1] == ' ') &&
            (at[length] == ',' || at[length] == '\0'))
            return TRUE;
    }
    return FALSE;
}

/* QEMU says of it that the host cannot give it. What the host-model CPU merely does not name may be
 * had nevertheless (what cannot move is not in it), so that is no proof. */
static gboolean is_refused(const GwHostCpu *host, const char *feature)
{
    if (gw_cpu_has(host->features, feature))
        return FALSE;
    if (gw_cpu_has(host->missing, feature))
        return TRUE;
    for (guint i = 0; host->blocked != NULL && host->blocked[i] != NULL; i++) {
        const char *blockers = strchr(host->blocked[i], ' ');
        if (blockers != NULL && is_listed(blockers, feature))
            return TRUE;
    }
    return FALSE;
}

static void add_lacking_of_model(const GwCpu *cpu, const char *blockers, GStrvBuilder *lacking)
{
    g_auto(GStrv) names = g_strsplit(blockers, ",", GW_CPU_FEATURES_MAX);

    for (guint i = 0; names[i] != NULL; i++) {
        if (*names[i] != '\0' && !gw_cpu_has(cpu->disabled, names[i]))
            g_strv_builder_add(lacking, names[i]);
    }
}

/* Whether the features beside the model's are all had; those surely not are added to @lacking. */
static gboolean has_further(const GwHostCpu *host, const GwCpu *cpu, GStrvBuilder *lacking)
{
    gboolean all = TRUE;

    for (guint i = 0; cpu->features != NULL && cpu->features[i] != NULL; i++) {
        const char *name = cpu->features[i];
        if (gw_cpu_has(host->features, name))
            continue;
        all = FALSE;
        if (is_refused(host, name))
            g_strv_builder_add(lacking, name);
    }
    return all;
}

static void say(char **why, char *text)
{
    if (why != NULL)
        *why = text;
    else
        g_free(text);
}

static GwCpuVerdict judge_model(const GwHostCpu *host, const GwCpu *cpu, GStrvBuilder *lacking,
                                char **why)
{
    const char *blockers = NULL;

    if (gw_cpu_has(host->usable, cpu->model))
        return GW_CPU_COMPATIBLE;
    blockers = blockers_of(host, cpu->model);
    /* The host tells of no models, or libvirt may take another one that comes to the same. */
    if (blockers == NULL && (host->usable == NULL || *host->usable == NULL || !cpu->exact))
        return GW_CPU_UNKNOWN;
    if (blockers == NULL) {
        say(why, g_strdup_printf("its libvirt does not know the CPU model %s", cpu->model));
        return GW_CPU_INCOMPATIBLE;
    }
    add_lacking_of_model(cpu, blockers, lacking);
    /* An older libvirt says that something is missing, but not what: who leaves nothing out of the
     * model needs that, too. */
    if (*blockers == '\0' && (cpu->disabled == NULL || *cpu->disabled == NULL)) {
        say(why, g_strdup_printf("it cannot give a VM the whole CPU model %s", cpu->model));
        return GW_CPU_INCOMPATIBLE;
    }
    return *blockers == '\0' ? GW_CPU_UNKNOWN : GW_CPU_COMPATIBLE;
}

GwCpuVerdict gw_cpu_judge(const GwHostCpu *host, const GwCpu *cpu, char **why)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    if (host == NULL || cpu == NULL || cpu->model == NULL ||
        (cpu->mode != NULL && strcmp(cpu->mode, "custom") != 0))
        return GW_CPU_UNKNOWN;
    GwCpuVerdict verdict = judge_model(host, cpu, builder, why);
    if (verdict == GW_CPU_INCOMPATIBLE)
        return verdict;
    gboolean all = has_further(host, cpu, builder);
    g_auto(GStrv) lacking = g_strv_builder_end(builder);
    gw_cpu_features_sort(lacking);
    if (lacking[0] != NULL) {
        g_autofree char *words = gw_cpu_features_words(lacking);
        say(why, g_strdup_printf("it lacks %s", words));
        return GW_CPU_INCOMPATIBLE;
    }
    return all ? verdict : GW_CPU_UNKNOWN;
}
