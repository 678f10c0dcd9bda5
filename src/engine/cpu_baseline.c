/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/cpu_baseline.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "engine/engine_internal.h"

/* "godwit cpu baseline": which CPU every VM of some hosts could have, and between which of them a
 * VM cannot move as they are now. Hosts that are alike are asked once: one of each kind works for
 * all. Everything is asked at once; the last answer ends it. */

#define KINDS_MAX 16 /* of hosts; each is compared with each */
#define ASK_TIMEOUT_US (30 * G_USEC_PER_SEC)

typedef struct {
    const char *cpu; /* text of it, borrowed from @host */
    GwHost *host;    /* one of them, of the picture that was asked of */
    GPtrArray *ids;  /* of all of them */
    gboolean asked;  /* for the common CPU */
} Kind;

typedef struct {
    Call *call;
    char *virt_type;
    gboolean of_hosts; /* the hosts' own CPUs, where one does not tell what it gives VMs */
    GPtrArray *ids;    /* of hosts, by name */
    GPtrArray *kinds;  /* Kind */
    GHashTable *expanded;
    GPtrArray *pairs; /* GwCpuPair, by kinds: source and destination are indexes */
    GPtrArray *texts; /* of VMs' CPUs that were asked for, by index */
    char *asked_host_id;
    GwCpu *cpu;
    GError *why; /* there is none */
    guint outstanding;
} Baseline;

static void kind_free(gpointer data)
{
    Kind *kind = data;

    gw_host_free(kind->host);
    g_ptr_array_unref(kind->ids);
    g_free(kind);
}

static void cpu_free(gpointer cpu)
{
    gw_cpu_free(cpu);
}

static void baseline_free(Baseline *baseline)
{
    g_free(baseline->virt_type);
    g_ptr_array_unref(baseline->ids);
    g_ptr_array_unref(baseline->kinds);
    g_hash_table_unref(baseline->expanded);
    g_ptr_array_unref(baseline->pairs);
    g_ptr_array_unref(baseline->texts);
    g_free(baseline->asked_host_id);
    gw_cpu_free(baseline->cpu);
    g_clear_error(&baseline->why);
    g_free(baseline);
}

/* The answer -------------------------------------------------------------------------------- */

/* Of each pair of kinds, a pair for each two hosts of them. */
static void add_pairs(const Baseline *baseline, GPtrArray *pairs)
{
    for (guint i = 0; i < baseline->pairs->len; i++) {
        const GwCpuPair *found = baseline->pairs->pdata[i];
        const Kind *from = baseline->kinds->pdata[atoi(found->source_host_id)];
        const Kind *to = baseline->kinds->pdata[atoi(found->destination_host_id)];
        for (guint f = 0; f < from->ids->len; f++) {
            for (guint t = 0; t < to->ids->len; t++) {
                GwCpuPair *pair = gw_cpu_pair_copy(found);
                g_free(pair->source_host_id);
                g_free(pair->destination_host_id);
                pair->source_host_id = g_strdup(from->ids->pdata[f]);
                pair->destination_host_id = g_strdup(to->ids->pdata[t]);
                g_ptr_array_add(pairs, pair);
            }
        }
    }
}

static void put_cpu(const Baseline *baseline, GwCpuBaseline *result)
{
    result->kind = g_strdup(baseline->of_hosts ? "host" : "hypervisor");
    result->asked_host_id = g_strdup(baseline->asked_host_id);
    if (baseline->cpu == NULL) {
        result->error = g_strdup(baseline->why != NULL ? baseline->why->message
                                                       : "no host tells what CPU it has");
        return;
    }
    result->model = g_strdup(baseline->cpu->model);
    result->xml = g_strdup(baseline->cpu->xml);
    result->features = g_strdupv(baseline->cpu->features);
}

static void finish(GwEngine *engine, Baseline *baseline)
{
    const GwFabric *fabric = gw_engine_now(engine);
    g_autoptr(GPtrArray) hosts = g_ptr_array_new();

    for (guint i = 0; i < baseline->ids->len; i++) {
        const GwHost *host = gw_fabric_host(fabric, baseline->ids->pdata[i]);
        if (host != NULL) /* or it was removed meanwhile */
            g_ptr_array_add(hosts, (gpointer)host);
    }
    const GwCpuBaselineInput input = { .fabric = fabric,
                                       .hosts = hosts,
                                       .virt_type = baseline->virt_type,
                                       .cpu = baseline->cpu,
                                       .expanded = baseline->expanded };
    GwCpuBaseline *result = gw_plan_cpu_baseline(&input);
    put_cpu(baseline, result);
    add_pairs(baseline, result->pairs);
    gw_engine_answer(baseline->call, result, NULL);
    baseline_free(baseline);
}

static void one_less(GwEngine *engine, Baseline *baseline)
{
    if (--baseline->outstanding == 0)
        finish(engine, baseline);
}

/* Questions --------------------------------------------------------------------------------- */

static void ask(GwEngine *engine, Baseline *baseline, GwRequest *request, ReplyFn came,
                const char *key)
{
    request->timeout_us = ASK_TIMEOUT_US;
    baseline->outstanding++;
    gw_engine_ask(engine, request, came, key, (gint64)GPOINTER_TO_SIZE(baseline));
}

static void ask_baseline(GwEngine *engine, Baseline *baseline);

/* One that does not know all that the newer ones have by name fails: then it is a newer one's turn.
 */
static void baseline_came(GwEngine *engine, const GwReply *reply, const char *key, gint64 number)
{
    Baseline *baseline = GSIZE_TO_POINTER((gsize)number);

    (void)key;
    g_clear_error(&baseline->why);
    if (reply->error != NULL) {
        baseline->why = g_error_copy(reply->error);
        ask_baseline(engine, baseline);
    } else if (reply->cpu != NULL) {
        baseline->cpu = gw_cpu_copy(reply->cpu);
    }
    one_less(engine, baseline);
}

static gboolean answers(const GwHost *host)
{
    return host->status == (int)GW_HOST_OK || host->status == (int)GW_HOST_OK_LIMITED;
}

/* The oldest libvirt that was not asked yet: what it names the newer ones know, too. */
static Kind *whom_to_ask(const Baseline *baseline)
{
    Kind *oldest = NULL;

    for (guint i = 0; i < baseline->kinds->len; i++) {
        Kind *kind = baseline->kinds->pdata[i];
        if (!kind->asked && answers(kind->host) &&
            (oldest == NULL ||
             kind->host->facts->libvirt_version < oldest->host->facts->libvirt_version))
            oldest = kind;
    }
    return oldest;
}

static gint64 how(const Baseline *baseline)
{
    return strcmp(baseline->virt_type, "qemu") == 0 ? 1 : 0;
}

static void ask_baseline(GwEngine *engine, Baseline *baseline)
{
    Kind *asked = whom_to_ask(baseline);
    g_autoptr(GStrvBuilder) cpus = g_strv_builder_new();

    if (asked == NULL)
        return;
    asked->asked = TRUE;
    for (guint i = 0; i < baseline->kinds->len; i++)
        g_strv_builder_add(cpus, ((const Kind *)baseline->kinds->pdata[i])->cpu);
    GwRequest *request = gw_request_new(GW_OP_CPU_BASELINE, asked->host->id, NULL);
    request->definitions = g_strv_builder_end(cpus);
    request->number = baseline->of_hosts ? 2 : how(baseline);
    g_free(baseline->asked_host_id);
    baseline->asked_host_id = g_strdup(asked->host->id);
    ask(engine, baseline, request, baseline_came, NULL);
}

static void pair_came(GwEngine *engine, const GwReply *reply, const char *key, gint64 number)
{
    Baseline *baseline = GSIZE_TO_POINTER((gsize)number);
    const char *to = strchr(key, ' ') + 1;

    if (reply->error != NULL || !reply->verdict) {
        GwCpuPair *pair = gw_cpu_pair_new();
        pair->source_host_id = g_strndup(key, (gsize)(to - key) - 1);
        pair->destination_host_id = g_strdup(to);
        pair->unknown = reply->error != NULL;
        pair->why = g_strdup(reply->error != NULL ? reply->error->message : reply->text);
        g_ptr_array_add(baseline->pairs, pair);
    }
    one_less(engine, baseline);
}

static void ask_pair(GwEngine *engine, Baseline *baseline, guint from, guint to)
{
    const Kind *source = baseline->kinds->pdata[from], *destination = baseline->kinds->pdata[to];
    GwRequest *request = gw_request_new(GW_OP_CPU_COMPARE, destination->host->id, NULL);
    g_autofree char *key = g_strdup_printf("%u %u", from, to);

    request->text = g_strdup(source->cpu);
    request->number = how(baseline);
    ask(engine, baseline, request, pair_came, key);
}

static void ask_pairs(GwEngine *engine, Baseline *baseline)
{
    for (guint from = 0; from < baseline->kinds->len; from++) {
        for (guint to = 0; to < baseline->kinds->len; to++) {
            if (from != to)
                ask_pair(engine, baseline, from, to);
        }
    }
}

static void expanded(GwEngine *engine, const GwReply *reply, const char *key, gint64 number)
{
    Baseline *baseline = GSIZE_TO_POINTER((gsize)number);
    const char *text = baseline->texts->pdata[atoi(key)];

    if (reply->error == NULL && reply->cpu != NULL)
        g_hash_table_replace(baseline->expanded, g_strdup(text), gw_cpu_copy(reply->cpu));
    one_less(engine, baseline);
}

static gboolean is_asked(const Baseline *baseline, const char *text)
{
    return g_ptr_array_find_with_equal_func(baseline->texts, text, g_str_equal, NULL);
}

/* Each CPU that VMs have, once: where it runs, since there it is known to be whole. */
static void ask_vm(GwEngine *engine, Baseline *baseline, const GwVm *vm)
{
    if (!gw_vm_is_active(vm) || vm->cpu_xml == NULL || vm->cpu == NULL || vm->cpu->model == NULL ||
        g_strcmp0(vm->cpu->mode, "custom") != 0 ||
        g_strcmp0(vm->virt_type, baseline->virt_type) != 0 ||
        baseline->texts->len >= GW_HYPER_BASELINE_MAX || is_asked(baseline, vm->cpu_xml))
        return;
    g_autofree char *key = g_strdup_printf("%u", baseline->texts->len);
    g_autoptr(GStrvBuilder) cpus = g_strv_builder_new();
    GwRequest *request = gw_request_new(GW_OP_CPU_BASELINE, vm->host_id, NULL);
    g_strv_builder_add(cpus, vm->cpu_xml);
    request->definitions = g_strv_builder_end(cpus);
    request->number = how(baseline);
    g_ptr_array_add(baseline->texts, g_strdup(vm->cpu_xml));
    ask(engine, baseline, request, expanded, key);
}

static void ask_vms(GwEngine *engine, Baseline *baseline)
{
    for (guint i = 0; i < baseline->ids->len; i++) {
        g_autoptr(GPtrArray) vms =
            gw_fabric_list_vms(gw_engine_now(engine), baseline->ids->pdata[i]);
        for (guint v = 0; v < vms->len; v++)
            ask_vm(engine, baseline, vms->pdata[v]);
    }
}

/* Which hosts ------------------------------------------------------------------------------- */

static gboolean is_in_group(const GwFabric *fabric, const GwHost *host, const char *group_id)
{
    const GwGroup *group =
        host->group_id != NULL ? g_hash_table_lookup(fabric->groups, host->group_id) : NULL;

    for (guint depth = 0; group != NULL && depth < 64; depth++) {
        if (g_strcmp0(group->id, group_id) == 0)
            return TRUE;
        group =
            group->parent_id != NULL ? g_hash_table_lookup(fabric->groups, group->parent_id) : NULL;
    }
    return FALSE;
}

static gboolean add_named(const GwFabric *fabric, const char *name, GHashTable *ids, GError **error)
{
    const GwHost *host = gw_fabric_find_host(fabric, name);
    const GwGroup *group = host == NULL ? gw_fabric_find_group(fabric, name) : NULL;

    if (host == NULL && group == NULL) {
        gw_error_set(error, GW_ERR_NOT_FOUND, "List them: godwit host list, or godwit group list.",
                     "there is no host or host group '%.300s'", name);
        return FALSE;
    }
    g_autoptr(GPtrArray) all = gw_fabric_list_hosts(fabric);
    for (guint i = 0; i < all->len; i++) {
        const GwHost *other = all->pdata[i];
        if (other == host || (group != NULL && is_in_group(fabric, other, group->id)))
            g_hash_table_add(ids, other->id);
    }
    return TRUE;
}

/* By name; NULL with @error. */
static GPtrArray *hosts_of(const GwFabric *fabric, char *const *names, GError **error)
{
    g_autoptr(GHashTable) wanted = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) all = gw_fabric_list_hosts(fabric);
    g_autoptr(GPtrArray) hosts = g_ptr_array_new();
    gboolean every = names == NULL || *names == NULL;

    for (guint i = 0; !every && names[i] != NULL; i++) {
        if (!add_named(fabric, names[i], wanted, error))
            return NULL;
    }
    for (guint i = 0; i < all->len; i++) {
        const GwHost *host = all->pdata[i];
        if (every || g_hash_table_contains(wanted, host->id))
            g_ptr_array_add(hosts, (gpointer)host);
    }
    if (hosts->len > 0 && hosts->len <= GW_CPU_BASELINE_HOSTS_MAX)
        return g_steal_pointer(&hosts);
    gw_error_set(error, GW_ERR_INVALID, "Name hosts, or a group that has some.",
                 "a common CPU is of 1 to %d hosts, not of %u", GW_CPU_BASELINE_HOSTS_MAX,
                 hosts->len);
    return NULL;
}

static const char *cpu_of(const Baseline *baseline, const GwHost *host)
{
    const GwHostCpu *given =
        host->facts != NULL ? gw_host_cpu_of(host->facts->vm_cpus, baseline->virt_type) : NULL;

    if (host->facts == NULL)
        return NULL;
    return baseline->of_hosts ? host->facts->cpu_xml : (given != NULL ? given->xml : NULL);
}

/* Equal CPUs under equal software answer alike. */
static gboolean is_alike(const Baseline *baseline, const Kind *kind, const GwHost *host)
{
    return strcmp(kind->cpu, cpu_of(baseline, host)) == 0 &&
           kind->host->facts->qemu_version == host->facts->qemu_version &&
           kind->host->facts->libvirt_version == host->facts->libvirt_version &&
           answers(kind->host) == answers(host);
}

static void add_to_kind(Baseline *baseline, const GwHost *host)
{
    if (cpu_of(baseline, host) == NULL)
        return;
    for (guint i = 0; i < baseline->kinds->len; i++) {
        Kind *kind = baseline->kinds->pdata[i];
        if (is_alike(baseline, kind, host)) {
            g_ptr_array_add(kind->ids, g_strdup(host->id));
            return;
        }
    }
    Kind *kind = g_new0(Kind, 1);
    kind->host = gw_host_copy(host);
    kind->cpu = cpu_of(baseline, kind->host);
    kind->ids = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(kind->ids, g_strdup(host->id));
    g_ptr_array_add(baseline->kinds, kind);
}

/* Where one that is known does not tell what it gives VMs, the hosts' own CPUs must do. */
static gboolean all_tell(const Baseline *baseline, const GPtrArray *hosts)
{
    for (guint i = 0; i < hosts->len; i++) {
        const GwHost *host = hosts->pdata[i];
        if (host->facts != NULL && cpu_of(baseline, host) == NULL)
            return FALSE;
    }
    return TRUE;
}

static Baseline *baseline_new(Call *call, const GwFabric *fabric, const GPtrArray *hosts)
{
    const GwCpuBaselineRequest *wanted = call->in[0];
    Baseline *baseline = g_new0(Baseline, 1);

    baseline->call = call;
    baseline->virt_type =
        g_strdup(wanted->virt_type != NULL ? wanted->virt_type : gw_plan_cpu_kind(fabric, hosts));
    baseline->ids = g_ptr_array_new_with_free_func(g_free);
    baseline->kinds = g_ptr_array_new_with_free_func(kind_free);
    baseline->expanded = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, cpu_free);
    baseline->pairs = gw_record_array(&gw_cpu_pair_record);
    baseline->texts = g_ptr_array_new_with_free_func(g_free);
    baseline->of_hosts = !all_tell(baseline, hosts);
    for (guint i = 0; i < hosts->len; i++) {
        g_ptr_array_add(baseline->ids, g_strdup(((const GwHost *)hosts->pdata[i])->id));
        add_to_kind(baseline, hosts->pdata[i]);
    }
    return baseline;
}

static gboolean check_kind(const char *virt_type, GError **error)
{
    if (virt_type == NULL || strcmp(virt_type, "kvm") == 0 || strcmp(virt_type, "qemu") == 0)
        return TRUE;
    gw_error_set(error, GW_ERR_INVALID, "Say kvm or qemu.", "'%.100s' is no kind of virtualization",
                 virt_type);
    return FALSE;
}

static void call_baseline(GwEngine *engine, Call *call)
{
    const GwCpuBaselineRequest *wanted = call->in[0];
    const GwFabric *fabric = gw_engine_now(engine);
    GError *error = NULL;
    g_autoptr(GPtrArray) hosts =
        check_kind(wanted->virt_type, &error) ? hosts_of(fabric, wanted->hosts, &error) : NULL;
    Baseline *baseline = hosts != NULL ? baseline_new(call, fabric, hosts) : NULL;

    if (baseline != NULL && baseline->kinds->len > KINDS_MAX) {
        gw_error_set(&error, GW_ERR_CONFLICT, "Name fewer hosts, or a host group.",
                     "the hosts are of %u kinds, and at most %d are compared with each other",
                     baseline->kinds->len, KINDS_MAX);
        baseline_free(baseline);
    }
    if (error != NULL) {
        gw_engine_answer(call, NULL, error);
        return;
    }
    baseline->outstanding = 1;
    ask_baseline(engine, baseline);
    ask_pairs(engine, baseline);
    ask_vms(engine, baseline);
    one_less(engine, baseline);
}

GwCpuBaseline *gw_engine_cpu_baseline(GwEngine *engine, const GwCpuBaselineRequest *request,
                                      GError **error)
{
    return gw_engine_call(engine, call_baseline, request, NULL, NULL, NULL, error);
}
