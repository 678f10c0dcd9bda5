/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/many.h"
#include "plan/rule.h"

/* What a plan rests on, in one word: the moves that are still to come, where their VMs are and how
 * large, what their hosts are and allow, the rules. Free memory and the like are not in it: they
 * change all the time, and are looked at before each move. */

static void add_text(GChecksum *sum, const char *text)
{
    const char *word = text != NULL ? text : "-";

    g_checksum_update(sum, (const guchar *)word, -1);
    g_checksum_update(sum, (const guchar *)"\n", 1);
}

static void add_number(GChecksum *sum, gint64 number)
{
    g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, number);
    add_text(sum, text);
}

static void add_host(GChecksum *sum, const GwFabric *fabric, const GwShapes *shapes, const char *id,
                     gboolean maintained)
{
    const GwHost *host = gw_fabric_host(fabric, id);

    add_text(sum, id);
    if (host == NULL) {
        add_text(sum, "gone");
        return;
    }
    /* A drain itself puts its hosts into maintenance, and an undrain opens them. */
    g_autoptr(GwHost) copy = gw_host_copy(host);
    if (maintained)
        copy->maintenance = (int)GW_MAINTENANCE_NONE;
    g_autofree char *shape = gw_shapes_of_host(shapes, copy);
    add_text(sum, shape);
    add_number(sum, host->live_limit);
    add_number(sum, host->storage_limit);
    add_number(sum, host->memory_reserve_kib);
    add_number(sum, gw_plan_facts(host)->memory_kib);
}

static const GwVm *find_vm(const GwFabric *fabric, const char *uuid)
{
    const GwVm *found = NULL;
    GHashTableIter iter;
    gpointer vms;

    g_hash_table_iter_init(&iter, fabric->vms);
    while (uuid != NULL && g_hash_table_iter_next(&iter, NULL, &vms)) {
        const GwVm *vm = g_hash_table_lookup(vms, uuid);
        if (vm != NULL && (found == NULL || gw_vm_is_active(vm)))
            found = vm;
    }
    return found;
}

/* uuid -> host id where the plan takes the VM to be now: after its last move that is done, else
 * where its first one begins. "" where it may be anywhere: a move that runs has a job, which knows
 * better. */
static GHashTable *expected_hosts(const GwMigrationPlan *plan)
{
    GHashTable *table = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        const char *at = g_hash_table_lookup(table, move->vm_uuid);
        if (move->state == (int)GW_PLANNED_DONE && (at == NULL || *at != '\0'))
            at = move->destination_host_id;
        else if (move->state != (int)GW_PLANNED_WAITING)
            at = "";
        else if (at == NULL)
            at = move->source_host_id;
        g_hash_table_insert(table, move->vm_uuid, (gpointer)at);
    }
    return table;
}

static void add_vm(GChecksum *sum, const GwFabric *fabric, GHashTable *expected_at,
                   const GwPlannedMove *move)
{
    const GwVm *vm = find_vm(fabric, move->vm_uuid);
    const char *expected = g_hash_table_lookup(expected_at, move->vm_uuid);

    add_text(sum, move->vm_uuid);
    add_text(sum, move->source_host_id);
    add_text(sum, move->destination_host_id);
    add_text(sum, vm == NULL                                                   ? "gone"
                  : *expected == '\0' || g_strcmp0(vm->host_id, expected) == 0 ? "as planned"
                                                                               : vm->host_id);
    add_number(sum, vm != NULL ? gw_plan_memory_kib(vm) : 0);
    add_number(sum, vm != NULL && gw_plan_is_live(vm));
}

static void add_rules(GChecksum *sum, const GwFabric *fabric)
{
    g_autoptr(GPtrArray) rules = gw_fabric_list_rules(fabric);

    for (guint i = 0; i < rules->len; i++) {
        const GwPlacementRule *rule = rules->pdata[i];
        if (!rule->required || rule->disabled)
            continue;
        GString *text = g_string_new(NULL);
        gw_record_write(&gw_placement_rule_record, rule, 0, text);
        add_text(sum, text->str);
        g_string_free(text, TRUE);
    }
}

/* New VMs on a host that is being emptied, too: the drain would not be one. */
static void add_newcomers(GChecksum *sum, const GwFabric *fabric, const GwMigrationPlan *plan,
                          GHashTable *expected_at, const char *host_id)
{
    g_autoptr(GPtrArray) vms = gw_fabric_list_vms(fabric, host_id);

    for (guint i = 0; i < vms->len; i++) {
        const GwVm *vm = vms->pdata[i];
        if (gw_plan_is_live(vm) && vm->uuid != NULL &&
            !g_hash_table_contains(expected_at, vm->uuid) &&
            gw_record_find(&gw_planned_stay_record, plan->stays, "vm_uuid", vm->uuid) == NULL)
            add_text(sum, vm->uuid);
    }
}

char *gw_plan_fingerprint(const GwFabric *fabric, const GwMigrationPlan *plan)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_autoptr(GwShapes) shapes = gw_shapes_new(fabric);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) expected_at = expected_hosts(plan);
    gboolean drain = plan->kind == (int)GW_PLAN_DRAIN;
    gboolean undrain = plan->kind == (int)GW_PLAN_UNDRAIN;

    add_number(sum, plan->kind);
    for (guint i = 0; i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        add_vm(sum, fabric, expected_at, move);
        if (g_hash_table_add(seen, move->source_host_id)) {
            add_host(sum, fabric, shapes, move->source_host_id, drain);
            if (drain)
                add_newcomers(sum, fabric, plan, expected_at, move->source_host_id);
        }
        if (g_hash_table_add(seen, move->destination_host_id))
            add_host(sum, fabric, shapes, move->destination_host_id, undrain && !move->detour);
    }
    add_rules(sum, fabric);
    return g_strdup(g_checksum_get_string(sum));
}
