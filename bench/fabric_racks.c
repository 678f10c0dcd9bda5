/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fabric.h"

#include <string.h>

/* What a data centre has beside hosts and VMs: racks, which are host groups; tags; generations of
 * software; and rules that somebody made for VMs as they are. */

#define GIB_KIB ((gint64)1024 * 1024)
#define SEED 0x5ac4 /* of another sequence than the fabric's own */
#define TRIES 40

typedef struct {
    const FabricOptions *options;
    GRand *rand;
    GwFabric *fabric;
    GPtrArray *vms; /* by name, which is by number; borrowed */
} Racks;

static guint below(Racks *racks, guint count)
{
    return (guint)g_rand_int_range(racks->rand, 0, (gint32)count);
}

static guint rack_of(const Racks *racks, guint host)
{
    return host / racks->options->hosts_per_rack;
}

/* Every third rack leaves something alone; every fifth is to be filled before the others. */
static GwPlacementPolicy *policy_of(guint rack)
{
    if (rack % 3 != 0 && rack % 5 != 0)
        return NULL;
    GwPlacementPolicy *policy = gw_placement_policy_new_default();
    policy->goal = (int)(rack % 5 == 0 ? GW_GOAL_FILL : GW_GOAL_BALANCE);
    policy->memory_reserve_kib = rack % 3 == 0 ? 4 * GIB_KIB : 0;
    policy->cpu_reserve_percent = rack % 6 == 0 ? 10 : 0;
    return policy;
}

static void add_group(Racks *racks, guint rack)
{
    GwGroup *group = gw_group_new();

    group->id = g_strdup_printf("rack%02u", rack);
    group->name = g_strdup(group->id);
    group->parent_id = g_strdup(GW_GROUP_ROOT);
    group->placement = policy_of(rack);
    gw_fabric_put_group(racks->fabric, group);
}

static gboolean is_old(const Racks *racks, guint rack)
{
    /* The same for all hosts of a rack, without another table. */
    return (rack * 37 + 11) % 100 < racks->options->old_percent;
}

static void dress_host(Racks *racks, guint number)
{
    static const char *const old_machines[] = { "pc-q35-7.2", NULL };
    g_autofree char *id = fabric_host_id(number);
    GwHost *host = gw_host_copy(gw_fabric_host(racks->fabric, id));
    guint rack = rack_of(racks, number);
    g_autoptr(GStrvBuilder) tags = g_strv_builder_new();
    g_autofree char *where = g_strdup_printf("rack=%u", rack);

    g_free(host->group_id);
    host->group_id = g_strdup_printf("rack%02u", rack);
    g_strv_builder_add(tags, where);
    if (below(racks, 100) < 50)
        g_strv_builder_add(tags, "ssd");
    g_strv_builder_add(tags, is_old(racks, rack) ? "generation=1" : "generation=2");
    host->tags = g_strv_builder_end(tags);
    if (is_old(racks, rack)) {
        host->facts->libvirt_version = 9000000;
        host->facts->qemu_version = 7002000;
        g_strfreev(host->facts->machines);
        host->facts->machines = g_strdupv((char **)old_machines);
    }
    if (below(racks, 100) < racks->options->agent_percent) {
        g_free(host->uri);
        host->uri = g_strdup_printf("godwit://h%04u.example.org/01J0000000000000000000%04u", number,
                                    number);
    }
    gw_fabric_put_host(racks->fabric, host);
}

static void dress_vm(Racks *racks, guint number)
{
    const GwVm *known = racks->vms->pdata[number];
    const GwHost *host = gw_fabric_host(racks->fabric, known->host_id);
    gboolean newest = below(racks, 5) == 0;

    if (!newest || g_strcmp0(known->machine, "pc-q35-7.2") != 0 ||
        !g_strv_contains((const char *const *)host->facts->machines, "pc-q35-10.0"))
        return;
    GwVm *vm = gw_vm_copy(known);
    g_free(vm->machine);
    vm->machine = g_strdup("pc-q35-10.0");
    gw_fabric_put_vm(racks->fabric, vm);
}

/* Rules ------------------------------------------------------------------------------------ */

static gboolean is_apart(const GPtrArray *members, const GwVm *vm)
{
    for (guint i = 0; i < members->len; i++) {
        const GwVm *member = members->pdata[i];
        if (strcmp(member->host_id, vm->host_id) == 0 || member == vm)
            return FALSE;
    }
    return TRUE;
}

static gboolean is_beside(const GPtrArray *members, const GwVm *vm)
{
    const GwVm *first = members->len > 0 ? members->pdata[0] : NULL;
    return first == NULL || (first != vm && strcmp(first->host_id, vm->host_id) == 0);
}

static gboolean has_tag(const Racks *racks, const GwVm *vm, const char *tag)
{
    const GwHost *host = gw_fabric_host(racks->fabric, vm->host_id);
    return host->tags != NULL && g_strv_contains((const char *const *)host->tags, tag);
}

static gboolean suits(const Racks *racks, GwPlacementRuleKind kind, GPtrArray *members,
                      const GwVm *vm)
{
    if (g_ptr_array_find(members, vm, NULL))
        return FALSE;
    switch (kind) {
    case GW_RULE_KIND_APART:
        return is_apart(members, vm);
    case GW_RULE_KIND_TOGETHER:
        return is_beside(members, vm);
    case GW_RULE_KIND_RUN_ON:
        return has_tag(racks, vm, "ssd");
    case GW_RULE_KIND_KEEP_OFF:
        return !has_tag(racks, vm, "generation=1");
    case GW_RULE_KIND_NETWORK:
        break;
    }
    return FALSE;
}

/* Of one VM each; an array of VMs that are in no rule yet, which @taken remembers. */
static void add_rule(Racks *racks, guint number, GHashTable *taken)
{
    static const GwPlacementRuleKind kinds[] = { GW_RULE_KIND_APART, GW_RULE_KIND_APART,
                                                 GW_RULE_KIND_TOGETHER, GW_RULE_KIND_RUN_ON,
                                                 GW_RULE_KIND_KEEP_OFF };
    static const char *const ssd[] = { "ssd", NULL };
    static const char *const old[] = { "generation=1", NULL };
    GwPlacementRuleKind kind = kinds[number % G_N_ELEMENTS(kinds)];
    guint wanted = kind == GW_RULE_KIND_TOGETHER ? 2 : 2 + below(racks, 2);
    g_autoptr(GPtrArray) members = g_ptr_array_new();
    g_autoptr(GStrvBuilder) uuids = g_strv_builder_new();

    for (guint i = 0; i < TRIES && members->len < wanted; i++) {
        const GwVm *vm = racks->vms->pdata[below(racks, racks->vms->len)];
        if (!g_hash_table_contains(taken, vm->uuid) && suits(racks, kind, members, vm))
            g_ptr_array_add(members, (gpointer)vm);
    }
    if (members->len < 2)
        return;
    for (guint i = 0; i < members->len; i++) {
        g_hash_table_add(taken, ((GwVm *)members->pdata[i])->uuid);
        g_strv_builder_add(uuids, ((GwVm *)members->pdata[i])->uuid);
    }
    GwPlacementRule *rule = gw_placement_rule_new();
    rule->id = g_strdup_printf("rack-rule%04u", number);
    rule->name = g_strdup_printf("rack rule %u", number);
    rule->kind = (int)kind;
    rule->required = below(racks, 100) < 80;
    rule->vms = g_strv_builder_end(uuids);
    if (kind == GW_RULE_KIND_RUN_ON)
        rule->host_tags = g_strdupv((char **)ssd);
    if (kind == GW_RULE_KIND_KEEP_OFF)
        rule->host_tags = g_strdupv((char **)old);
    gw_fabric_put_rule(racks->fabric, rule);
}

void fabric_add_racks(GwFabric *fabric, const FabricOptions *options)
{
    Racks racks = { options, g_rand_new_with_seed(options->seed ^ SEED), fabric, NULL };
    g_autoptr(GHashTable) taken = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < options->hosts; i += options->hosts_per_rack)
        add_group(&racks, rack_of(&racks, i));
    for (guint i = 0; i < options->hosts; i++)
        dress_host(&racks, i);
    racks.vms = gw_fabric_list_vms(fabric, NULL);
    for (guint i = 0; i < racks.vms->len; i++)
        dress_vm(&racks, i);
    g_ptr_array_unref(racks.vms);
    racks.vms = gw_fabric_list_vms(fabric, NULL); /* as they are now */
    for (guint i = 0; i < options->rack_rules && options->vms > 1; i++)
        add_rule(&racks, i, taken);
    g_ptr_array_unref(racks.vms);
    g_rand_free(racks.rand);
}
