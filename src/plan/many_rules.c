/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "plan/many.h"
#include "plan/rule.h"

/* Which VMs must be apart from each other at each step, and which go as one (R57). Required rules
 * only: preferred ones are the rating's. Rules about hosts are in the verdicts of the matrix. */

static gboolean holds(const GwPlacementRule *rule, GwPlacementRuleKind kind)
{
    return rule->kind == (int)kind && rule->required && !rule->disabled && rule->vms != NULL;
}

static void join_group(Many *many, guint vm, guint group)
{
    GArray *groups = many_vm(many, vm)->groups;

    for (guint i = 0; i < groups->len; i++) {
        if (g_array_index(groups, guint, i) == group)
            return;
    }
    g_array_append_val(groups, group);
}

/* uuid -> GArray of the numbers of the VMs that are to move. */
static GHashTable *by_uuid(const Many *many)
{
    GHashTable *table =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_array_unref);

    for (guint i = 0; i < many->vms->len; i++) {
        char *uuid = many_vm(many, i)->vm->uuid;
        GArray *list = uuid != NULL ? g_hash_table_lookup(table, uuid) : NULL;
        if (uuid == NULL)
            continue;
        if (list == NULL) {
            list = g_array_new(FALSE, FALSE, sizeof(guint));
            g_hash_table_insert(table, uuid, list);
        }
        g_array_append_val(list, i);
    }
    return table;
}

static void read_apart(Many *many, GHashTable *moving, const GwPlacementRule *rule)
{
    ManyGroup group = { .rule = rule, .name = gw_plan_text(rule->name) };
    guint number = many->groups->len;
    gboolean used = FALSE;

    for (guint i = 0; rule->vms[i] != NULL; i++) {
        GArray *list = g_hash_table_lookup(moving, rule->vms[i]);
        for (guint k = 0; list != NULL && k < list->len; k++) {
            join_group(many, g_array_index(list, guint, k), number);
            used = TRUE;
        }
    }
    if (used)
        g_array_append_val(many->groups, group);
}

/* VMs of one name, or one UUID, exclude each other as well: libvirt takes only one (R7). */
static void read_twins(Many *many)
{
    g_autoptr(GHashTable) first = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) twice = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTableIter hosts, iter;
    gpointer vms, value;

    g_hash_table_iter_init(&hosts, many->fabric->vms);
    while (g_hash_table_iter_next(&hosts, NULL, &vms)) {
        g_hash_table_iter_init(&iter, vms);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
            char *name = ((const GwVm *)value)->name;
            if (name != NULL && !g_hash_table_add(first, name))
                g_hash_table_add(twice, name);
        }
    }
    if (g_hash_table_size(twice) == 0)
        return;
    g_autoptr(GHashTable) numbers = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < many->vms->len; i++) {
        char *name = many_vm(many, i)->vm->name;
        if (name == NULL || !g_hash_table_contains(twice, name))
            continue;
        guint number = GPOINTER_TO_UINT(g_hash_table_lookup(numbers, name));
        if (number == 0) {
            ManyGroup group = { .rule = NULL, .name = name };
            g_array_append_val(many->groups, group);
            number = many->groups->len;
            g_hash_table_insert(numbers, name, GUINT_TO_POINTER(number));
        }
        join_group(many, i, number - 1);
    }
}

/* uuid, or name for twins -> GArray of the groups that it is in. */
static void add_groups(GHashTable *table, const char *key, guint group)
{
    GArray *list = g_hash_table_lookup(table, key);

    if (list == NULL) {
        list = g_array_new(FALSE, FALSE, sizeof(guint));
        g_hash_table_insert(table, (gpointer)key, list);
    }
    g_array_append_val(list, group);
}

static void add_other(Many *many, GHashTable *table, const char *key, const char *host_id)
{
    const GArray *list = key != NULL ? g_hash_table_lookup(table, key) : NULL;
    guint host = list != NULL ? many_host_index(many, host_id) : MANY_NONE;

    for (guint i = 0; host != MANY_NONE && i < list->len; i++) {
        ManyOther other = { g_array_index(list, guint, i), host };
        g_array_append_val(many->others, other);
    }
}

/* Those that do not move, and those that other jobs bring. */
static void read_others(Many *many)
{
    g_autoptr(GHashTable) uuids =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_array_unref);
    g_autoptr(GHashTable) names =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)g_array_unref);
    GHashTableIter hosts, iter;
    gpointer vms, value;

    for (guint g = 0; g < many->groups->len; g++) {
        const ManyGroup *group = &g_array_index(many->groups, ManyGroup, g);
        if (group->rule == NULL)
            add_groups(names, group->name, g);
        for (guint i = 0; group->rule != NULL && group->rule->vms[i] != NULL; i++)
            add_groups(uuids, group->rule->vms[i], g);
    }
    g_hash_table_iter_init(&hosts, many->fabric->vms);
    while (many->groups->len > 0 && g_hash_table_iter_next(&hosts, NULL, &vms)) {
        g_hash_table_iter_init(&iter, vms);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
            const GwVm *vm = value;
            if (g_hash_table_contains(many->vm_index, vm))
                continue;
            /* A rule is about VMs that run; a name is taken by one that is off as well. */
            if (gw_vm_is_active(vm))
                add_other(many, uuids, vm->uuid, vm->host_id);
            add_other(many, names, vm->name, vm->host_id);
        }
    }
    g_hash_table_iter_init(&iter, many->fabric->jobs);
    while (many->groups->len > 0 && g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        if (gw_job_state_is_final((GwJobState)job->state))
            continue;
        add_other(many, uuids, job->vm_uuid, job->destination_host_id);
        add_other(many, names, job->vm_name, job->destination_host_id);
        for (guint i = 0; job->plan != NULL && i < job->plan->moves->len; i++) {
            const GwPlannedMove *move = job->plan->moves->pdata[i];
            if (move->state == (int)GW_PLANNED_WAITING)
                add_other(many, uuids, move->vm_uuid, move->destination_host_id);
        }
    }
}

/* Union-find over VMs that rules keep together. */
static guint root_of(guint *parent, guint vm)
{
    while (parent[vm] != vm) {
        parent[vm] = parent[parent[vm]];
        vm = parent[vm];
    }
    return vm;
}

static void join_together(GHashTable *moving, const GwPlacementRule *rule, guint *parent)
{
    guint first = MANY_NONE;

    for (guint i = 0; rule->vms[i] != NULL; i++) {
        GArray *list = g_hash_table_lookup(moving, rule->vms[i]);
        for (guint k = 0; list != NULL && k < list->len; k++) {
            guint vm = g_array_index(list, guint, k);
            if (first == MANY_NONE)
                first = vm;
            guint a = root_of(parent, first), b = root_of(parent, vm);
            parent[MAX(a, b)] = MIN(a, b);
        }
    }
}

static void make_units(Many *many, guint *parent)
{
    for (guint i = 0; i < many->vms->len; i++) {
        ManyVm *item = many_vm(many, i);
        guint root = root_of(parent, i);
        if (root == i) {
            ManyUnit unit = { .vms = g_array_new(FALSE, FALSE, sizeof(guint)), .must = MANY_NONE };
            item->unit = many->units->len;
            g_array_append_val(many->units, unit);
        } else {
            item->unit = many_vm(many, root)->unit;
        }
        ManyUnit *unit = many_unit(many, item->unit);
        g_array_append_val(unit->vms, i);
        unit->memory_kib += item->memory_kib;
    }
}

static void note_partner(Many *many, ManyUnit *unit, const GwPlacementRule *rule,
                         const GwVm *partner)
{
    guint on = many_host_index(many, partner->host_id);
    const ManyVm *one = many_vm(many, g_array_index(unit->vms, guint, 0));

    if (unit->impossible != NULL)
        return;
    if (on == one->home || (unit->must != MANY_NONE && unit->must != on))
        unit->impossible = g_strdup_printf(
            "rule '%s' keeps it together with %s, which is on %s and does not move",
            gw_plan_text(rule->name), gw_plan_vm_name(partner),
            on != MANY_NONE ? gw_plan_host_name(many_host(many, on)->host) : "(unknown)");
    else
        unit->must = on;
}

/* Rules that cannot be kept beside each other: no room would help. */
static void find_contradictions(Many *many)
{
    for (guint u = 0; u < many->units->len; u++) {
        ManyUnit *unit = many_unit(many, u);
        g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
        for (guint i = 0; unit->vms->len > 1 && i < unit->vms->len; i++) {
            const GArray *groups = many_vm(many, g_array_index(unit->vms, guint, i))->groups;
            for (guint k = 0; groups != NULL && k < groups->len; k++) {
                guint number = g_array_index(groups, guint, k);
                const ManyGroup *group = &g_array_index(many->groups, ManyGroup, number);
                if (g_hash_table_add(seen, GUINT_TO_POINTER(number)) || unit->impossible != NULL)
                    continue;
                unit->impossible = g_strdup_printf(
                    "%s%s%s keeps apart what another rule keeps together",
                    group->rule != NULL ? "rule '" : "the name ",
                    gw_plan_text(group->rule != NULL ? group->rule->name : group->name),
                    group->rule != NULL ? "'" : "");
            }
        }
    }
}

/* VMs of the rule that do not move themselves say where the others may go. */
static void read_partners(Many *many, GHashTable *moving, GHashTable *where,
                          const GwPlacementRule *rule)
{
    ManyUnit *unit = NULL;

    for (guint i = 0; rule->vms[i] != NULL && unit == NULL; i++) {
        GArray *list = g_hash_table_lookup(moving, rule->vms[i]);
        if (list != NULL)
            unit = many_unit(many, many_vm(many, g_array_index(list, guint, 0))->unit);
    }
    for (guint i = 0; unit != NULL && rule->vms[i] != NULL; i++) {
        const GwVm *vm = g_hash_table_lookup(where, rule->vms[i]);
        if (vm != NULL && gw_vm_is_active(vm) && !g_hash_table_contains(moving, rule->vms[i]))
            note_partner(many, unit, rule, vm);
    }
}

/* uuid -> GwVm, the one that runs where there are several. */
static GHashTable *find_all(const GwFabric *fabric)
{
    GHashTable *where = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTableIter hosts, iter;
    gpointer vms, value;

    g_hash_table_iter_init(&hosts, fabric->vms);
    while (g_hash_table_iter_next(&hosts, NULL, &vms)) {
        g_hash_table_iter_init(&iter, vms);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
            GwVm *vm = value;
            if (vm->uuid != NULL &&
                (gw_vm_is_active(vm) || !g_hash_table_contains(where, vm->uuid)))
                g_hash_table_replace(where, vm->uuid, vm);
        }
    }
    return where;
}

/* The image that a VM's first disk was made from; else nothing is known of what it has in common
 * with others. */
static void read_similar(Many *many)
{
    g_autoptr(GHashTable) bases = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < many->vms->len; i++) {
        ManyVm *item = many_vm(many, i);
        const GwDisk *disk =
            item->vm->disks != NULL && item->vm->disks->len > 0 ? item->vm->disks->pdata[0] : NULL;
        if (disk == NULL || disk->backing_path == NULL)
            continue;
        guint number = GPOINTER_TO_UINT(g_hash_table_lookup(bases, disk->backing_path));
        if (number == 0) {
            number = i + 1;
            g_hash_table_insert(bases, disk->backing_path, GUINT_TO_POINTER(number));
        }
        item->similar = number - 1;
    }
}

void many_read_rules(Many *many)
{
    g_autoptr(GPtrArray) rules = gw_fabric_list_rules(many->fabric);
    g_autoptr(GHashTable) moving = by_uuid(many);
    g_autofree guint *parent = g_new(guint, MAX(many->vms->len, 1));
    g_autoptr(GHashTable) where = NULL;

    for (guint i = 0; i < many->vms->len; i++)
        parent[i] = i;
    for (guint i = 0; i < rules->len; i++) {
        if (holds(rules->pdata[i], GW_RULE_KIND_APART))
            read_apart(many, moving, rules->pdata[i]);
        else if (holds(rules->pdata[i], GW_RULE_KIND_TOGETHER))
            join_together(moving, rules->pdata[i], parent);
    }
    read_twins(many);
    read_others(many);
    make_units(many, parent);
    find_contradictions(many);
    for (guint i = 0; i < rules->len; i++) {
        if (!holds(rules->pdata[i], GW_RULE_KIND_TOGETHER))
            continue;
        if (where == NULL)
            where = find_all(many->fabric);
        read_partners(many, moving, where, rules->pdata[i]);
    }
    read_similar(many);
}
