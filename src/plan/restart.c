/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/restart.h"

#include <string.h>

#include "plan/rule.h"

/* What libvirt does at a start: a custom CPU is taken as it is defined, host-model becomes the
 * model and features of the host (its domain capabilities tell them), and the machine is the one
 * that is defined, which libvirt has made canonical when it took the definition. */

static gboolean is_mode(const GwCpu *cpu, const char *mode)
{
    return cpu != NULL && g_strcmp0(cpu->mode, mode) == 0;
}

static const GwHostCpu *host_cpu(const GwHost *host, const GwVm *vm)
{
    return gw_host_cpu_of(gw_plan_facts(host)->vm_cpus, vm->virt_type);
}

gboolean gw_plan_knows_machine(const GwHost *host, const char *machine)
{
    char **machines = gw_plan_facts(host)->machines;

    return machine == NULL || machines == NULL || *machines == NULL ||
           g_strv_contains((const char *const *)machines, machine);
}

GwCpuVerdict gw_plan_cpu_on(const GwHost *host, const GwVm *vm, const GwCpu *cpu, char **why)
{
    const char *arch = gw_plan_facts(host)->arch;

    if (vm->arch != NULL && arch != NULL && strcmp(vm->arch, arch) != 0)
        return GW_CPU_UNKNOWN; /* told of the host's own architecture only */
    return gw_cpu_judge(host_cpu(host, vm), cpu, why);
}

GwCpu *gw_plan_next_cpu(const GwHost *host, const GwVm *vm)
{
    const GwCpu *asked = vm->next != NULL ? vm->next->cpu : NULL;
    const GwHostCpu *given = host_cpu(host, vm);

    if (is_mode(asked, "custom") && asked->model != NULL)
        return gw_cpu_copy(asked);
    if (!is_mode(asked, "host-model") || given == NULL || given->model == NULL)
        return NULL;
    GwCpu *cpu = gw_cpu_new();
    cpu->mode = g_strdup("custom");
    cpu->model = g_strdup(given->model);
    cpu->exact = TRUE;
    cpu->xml = g_strdup(given->xml);
    cpu->features = g_strdupv(given->extra);
    cpu->disabled = g_strdupv(given->missing);
    return cpu;
}

/* Changes --------------------------------------------------------------------------------- */

static void add(GPtrArray *changes, const char *what, const char *now, const char *after, char *why)
{
    GwRestartChange *change = gw_restart_change_new();

    change->what = g_strdup(what);
    change->now = g_strdup(now);
    change->after = g_strdup(after);
    change->why = why;
    g_ptr_array_add(changes, change);
}

/* A name that the host does not know may be an alias, which comes to any machine. */
static void compare_machines(const GwHost *host, const GwVm *vm, GPtrArray *changes)
{
    const char *next = vm->next->machine;

    if (next == NULL || vm->machine == NULL || strcmp(next, vm->machine) == 0 ||
        !gw_plan_knows_machine(host, next))
        return;
    add(changes, "machine", vm->machine, next,
        g_strdup_printf("The definition was changed to %s after the VM was booted as %s. Only "
                        "hosts whose QEMU knows the machine can take the VM.",
                        next, vm->machine));
}

static const char *origin_words(const GwVm *vm)
{
    return is_mode(vm->next->cpu, "host-model")
               ? "host-model takes what the host gives at boot, and this host gives another CPU "
                 "than the one it was booted with, there or here"
               : "The definition asks for another CPU than the one it was booted with";
}

static gboolean is_named(const GwCpu *cpu, const char *feature)
{
    return gw_cpu_has(cpu->features, feature) || gw_cpu_has(cpu->disabled, feature);
}

/* What the start would switch on: named by @next and not by what runs; or off in what runs although
 * the host can give it now. libvirt keeps in a running VM's definition all that was named at boot,
 * and adds what QEMU made of it, so that what @next does not name says nothing. */
static char **switched_on(const GwHostCpu *host, const GwCpu *live, const GwCpu *next)
{
    g_autoptr(GStrvBuilder) on = g_strv_builder_new();

    for (guint i = 0; next->features != NULL && next->features[i] != NULL; i++) {
        const char *name = next->features[i];
        gboolean off =
            gw_cpu_has(live->disabled, name) && host != NULL && gw_cpu_has(host->features, name);
        if (!gw_cpu_feature_is_fixed(name) && (off || !is_named(live, name)))
            g_strv_builder_add(on, name);
    }
    return g_strv_builder_end(on);
}

static char **switched_off(const GwCpu *live, const GwCpu *next)
{
    g_autoptr(GStrvBuilder) off = g_strv_builder_new();

    for (guint i = 0; next->disabled != NULL && next->disabled[i] != NULL; i++) {
        const char *name = next->disabled[i];
        if (!gw_cpu_feature_is_fixed(name) && !gw_cpu_has(live->disabled, name))
            g_strv_builder_add(off, name);
    }
    return g_strv_builder_end(off);
}

static void compare_features(const GwHost *host, const GwVm *vm, const GwCpu *next,
                             GPtrArray *changes)
{
    g_auto(GStrv) on = switched_on(host_cpu(host, vm), vm->cpu, next);
    g_auto(GStrv) off = switched_off(vm->cpu, next);
    g_autofree char *on_words = gw_cpu_features_words(on);
    g_autofree char *off_words = gw_cpu_features_words(off);

    if (*on == NULL && *off == NULL)
        return;
    g_autofree char *now = g_strdup_printf(
        "%s%s%s%s", *on != NULL ? "without " : "", on_words,
        *on != NULL && *off != NULL ? ", with " : (*off != NULL ? "with " : ""), off_words);
    g_autofree char *after = g_strdup_printf(
        "%s%s%s%s", *on != NULL ? "with " : "", on_words,
        *on != NULL && *off != NULL ? ", without " : (*off != NULL ? "without " : ""), off_words);
    add(changes, "cpu-features", now, after, g_strdup_printf("%s.", origin_words(vm)));
}

static void compare_cpus(const GwHost *host, const GwVm *vm, GPtrArray *changes)
{
    const GwCpu *live = vm->cpu, *asked = vm->next->cpu;
    g_autoptr(GwCpu) next = gw_plan_next_cpu(host, vm);

    if (live == NULL || asked == NULL || asked->mode == NULL || live->mode == NULL)
        return;
    gboolean whole = is_mode(asked, "host-passthrough") || is_mode(asked, "maximum");
    if (whole || !is_mode(live, "custom")) { /* one of them is the host's own */
        if (strcmp(asked->mode, live->mode) != 0)
            add(changes, "cpu-model", live->model != NULL ? live->model : live->mode,
                next != NULL ? next->model : asked->mode, g_strdup_printf("%s.", origin_words(vm)));
        return;
    }
    if (next == NULL || live->model == NULL)
        return;
    if (strcmp(next->model, live->model) == 0) {
        compare_features(host, vm, next, changes);
        return;
    }
    /* Another model may stand in for one that need not be exact, at every start again. */
    const GwHostCpu *given = host_cpu(host, vm);
    if (is_mode(asked, "custom") && !asked->exact &&
        (given == NULL || !gw_cpu_has(given->usable, asked->model)))
        return;
    add(changes, "cpu-model", live->model, next->model, g_strdup_printf("%s.", origin_words(vm)));
}

GPtrArray *gw_plan_restart_changes(const GwHost *host, const GwVm *vm)
{
    GPtrArray *changes = gw_record_array(&gw_restart_change_record);

    if (host == NULL || vm->next == NULL || !gw_vm_is_active(vm) || vm->incoming)
        return changes;
    compare_machines(host, vm, changes);
    compare_cpus(host, vm, changes);
    return changes;
}

/* What they mean for moves ------------------------------------------------------------------ */

static GwCpuVerdict both(GwCpuVerdict cpu, gboolean machine)
{
    return machine ? cpu : GW_CPU_INCOMPATIBLE;
}

static GwCpuVerdict verdict_now(const GwVm *vm, const GwHost *destination)
{
    return both(gw_plan_cpu_on(destination, vm, vm->cpu, NULL),
                gw_plan_knows_machine(destination, vm->machine));
}

static GwCpuVerdict verdict_after(const GwHost *source, const GwVm *vm, const GwHost *destination)
{
    g_autoptr(GwCpu) next = gw_plan_next_cpu(source, vm);
    const char *machine = vm->next != NULL ? vm->next->machine : NULL;

    return both(gw_plan_cpu_on(destination, vm, next, NULL),
                gw_plan_knows_machine(destination, machine));
}

gboolean gw_plan_restart_helps(const GwHost *source, const GwVm *vm, const GwHost *destination)
{
    return vm->restart_changes != NULL && vm->restart_changes->len > 0 &&
           verdict_after(source, vm, destination) == GW_CPU_COMPATIBLE;
}

GwRestart *gw_plan_restart(const GwFabric *fabric, const GwVm *vm)
{
    const GwHost *source = gw_fabric_host(fabric, vm->host_id);
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(fabric);
    g_autoptr(GStrvBuilder) gains = g_strv_builder_new();
    g_autoptr(GStrvBuilder) loses = g_strv_builder_new();
    GwRestart *restart = gw_restart_new();

    restart->changes = source != NULL ? gw_plan_restart_changes(source, vm)
                                      : gw_record_array(&gw_restart_change_record);
    for (guint i = 0; restart->changes->len > 0 && i < hosts->len; i++) {
        const GwHost *host = hosts->pdata[i];
        GwCpuVerdict now = verdict_now(vm, host), after = verdict_after(source, vm, host);
        if (host == source || now == after)
            continue;
        if (now == GW_CPU_INCOMPATIBLE && after == GW_CPU_COMPATIBLE)
            g_strv_builder_add(gains, gw_plan_host_name(host));
        else if (now == GW_CPU_COMPATIBLE && after == GW_CPU_INCOMPATIBLE)
            g_strv_builder_add(loses, gw_plan_host_name(host));
    }
    restart->gains = g_strv_builder_end(gains);
    restart->loses = g_strv_builder_end(loses);
    if (restart->changes->len > 0) {
        g_autofree char *name = gw_plan_virsh_vm(vm);
        g_autofree char *uri = gw_plan_quote(source->uri);
        g_autofree char *own = gw_plan_quote(gw_plan_vm_name(vm));
        g_autoptr(GStrvBuilder) commands = g_strv_builder_new();
        g_autofree char *down = gw_host_has_agent(source)
                                    ? g_strdup_printf("virsh shutdown %s", name)
                                    : g_strdup_printf("virsh -c %s shutdown %s", uri, name);
        g_autofree char *up = g_strdup_printf("godwit vm start %s", own);
        g_strv_builder_add(commands, down);
        g_strv_builder_add(commands, up);
        restart->commands = g_strv_builder_end(commands);
    }
    return restart;
}
