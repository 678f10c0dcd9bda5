/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/many_check.h"

#include "base/error.h"

/* Replays a plan against a picture of the fabric, by itself: nothing here is the planner's but the
 * preflight rules. What a plan promises is looked at, move by move, in the order in which moves
 * begin and end. */

/* Begin and end --------------------------------------------------------------------------------
 */

static gboolean take_slots(CheckPlace *place, GwSlots takes)
{
    place->used.live += takes.live;
    place->used.storage += takes.storage;
    return (takes.live == 0 || place->used.live <= place->host->live_limit) &&
           (takes.storage == 0 || place->used.storage <= place->host->storage_limit);
}

static gboolean check_open(const Check *r, guint number, const GwPlannedMove *move, GError **error)
{
    gint64 most = r->plan->request->hosts_at_once, open = 0;
    GHashTableIter iter;
    gpointer value;

    if (r->plan->kind != (int)GW_PLAN_DRAIN || most <= 0)
        return TRUE;
    g_hash_table_iter_init(&iter, r->places);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const CheckPlace *place = value;
        open += place->begun > 0 && place->ended < place->moves;
    }
    return open <= most || check_broken(error, number, move,
                                        "%" G_GINT64_FORMAT " hosts are emptied at once", open);
}

static gboolean check_places(const Check *r, guint number, const GwPlannedMove *move,
                             const GwVm *vm, const CheckPlace *from, const CheckPlace *to,
                             GError **error)
{
    if (vm == NULL || from == NULL || to == NULL)
        return check_broken(error, number, move, "the VM, or one of the hosts, is gone");
    if (from == to)
        return check_broken(error, number, move, "it goes nowhere");
    if (g_strcmp0(g_hash_table_lookup(r->at, move->vm_uuid), from->host->id) != 0)
        return check_broken(error, number, move, "it is not there");
    if (g_hash_table_contains(r->sources, to->host->id))
        return check_broken(error, number, move, "the destination is to be emptied itself");
    if (to->host->maintenance != (int)GW_MAINTENANCE_NONE && r->plan->kind != (int)GW_PLAN_UNDRAIN)
        return check_broken(error, number, move, "the destination is in maintenance");
    return TRUE;
}

static gboolean begin(Check *r, guint index, GError **error)
{
    const GwPlannedMove *move = r->plan->moves->pdata[index];
    GwVm *vm = g_hash_table_lookup(r->vms, gw_plan_text(move->vm_uuid));
    CheckPlace *from = g_hash_table_lookup(r->places, gw_plan_text(move->source_host_id));
    CheckPlace *to = g_hash_table_lookup(r->places, gw_plan_text(move->destination_host_id));
    GwSlots takes = gw_slots_of_transfer((GwTransfer)move->transfer);
    gint64 most = r->plan->request->moves_at_once;
    guint number = index + 1;

    if (!check_places(r, number, move, vm, from, to, error) ||
        !check_apart(r, number, move, vm, to, error) ||
        !check_verdict(r, number, move, vm, from, to, error))
        return FALSE;
    if (!take_slots(from, takes) || !take_slots(to, takes))
        return check_broken(error, number, move, "more moves at once than a host has slots for");
    if (++r->running > most && most > 0)
        return check_broken(error, number, move, "more moves at once than the plan allows");
    to->memory_kib -= g_strcmp0(vm->host_id, to->host->id) == 0 ? check_freed(r, vm, to->host->id)
                                                                : check_memory(r, vm);
    if (check_memory(r, vm) > 0 && to->memory_kib < 0)
        return check_broken(error, number, move, "the destination runs out of memory");
    if (to->cpu != G_MAXINT64)
        to->cpu -= check_cpu(vm);
    if (check_cpu(vm) > 0 && to->cpu < 0)
        return check_broken(error, number, move, "the destination's CPUs are too busy");
    g_hash_table_insert(to->vms, vm->uuid, vm);
    from->begun++;
    return check_open(r, number, move, error);
}

static void end(Check *r, guint index)
{
    const GwPlannedMove *move = r->plan->moves->pdata[index];
    GwVm *vm = g_hash_table_lookup(r->vms, move->vm_uuid);
    CheckPlace *from = g_hash_table_lookup(r->places, move->source_host_id);
    CheckPlace *to = g_hash_table_lookup(r->places, move->destination_host_id);
    GwSlots takes = gw_slots_of_transfer((GwTransfer)move->transfer);

    from->memory_kib += check_freed(r, vm, from->host->id);
    if (from->cpu != G_MAXINT64)
        from->cpu += check_cpu(vm);
    g_hash_table_remove(from->vms, move->vm_uuid);
    g_hash_table_insert(r->at, vm->uuid, to->host->id);
    from->used.live -= takes.live;
    from->used.storage -= takes.storage;
    to->used.live -= takes.live;
    to->used.storage -= takes.storage;
    from->ended++;
    r->running--;
}

/* The whole plan ------------------------------------------------------------------------------ */

static gboolean check_order(const Check *r, GError **error)
{
    const GPtrArray *moves = r->plan->moves;

    for (guint i = 0; i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        const GwPlannedMove *before = i > 0 ? moves->pdata[i - 1] : NULL;
        if (move->ends_ms <= move->starts_ms || move->starts_ms < 0)
            return check_broken(error, i + 1, move, "it ends before it begins");
        if (before != NULL && before->starts_ms > move->starts_ms)
            return check_broken(error, i + 1, move, "it begins before the one above it");
        if (move->wave < 1 || move->wave > r->plan->waves)
            return check_broken(error, i + 1, move, "it is in no wave");
        if (move->after < 0 || move->after > i)
            return check_broken(error, i + 1, move, "it is to wait for one that comes later");
        const GwPlannedMove *after = move->after > 0 ? moves->pdata[move->after - 1] : NULL;
        if (after != NULL && (after->ends_ms > move->starts_ms || after->wave >= move->wave))
            return check_broken(error, i + 1, move,
                                "it begins before the one that it is to wait for");
    }
    return TRUE;
}

typedef struct {
    gint64 at;
    gboolean begins;
    guint index;
} Moment;

static int compare_moments(gconstpointer pa, gconstpointer pb)
{
    const Moment *a = pa, *b = pb;

    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    if (!a->begins != !b->begins)
        return a->begins ? 1 : -1;
    return a->index < b->index ? -1 : 1;
}

static gboolean replay(Check *r, GError **error)
{
    g_autoptr(GArray) moments = g_array_new(FALSE, FALSE, sizeof(Moment));

    for (guint i = 0; i < r->plan->moves->len; i++) {
        const GwPlannedMove *move = r->plan->moves->pdata[i];
        Moment begins = { move->starts_ms, TRUE, i }, ends = { move->ends_ms, FALSE, i };
        CheckPlace *from = g_hash_table_lookup(r->places, gw_plan_text(move->source_host_id));
        if (move->state != (int)GW_PLANNED_WAITING)
            continue;
        if (from != NULL)
            from->moves++;
        g_array_append_val(moments, begins);
        g_array_append_val(moments, ends);
    }
    g_array_sort(moments, compare_moments);
    for (guint i = 0; i < moments->len; i++) {
        const Moment *m = &g_array_index(moments, Moment, i);
        if (!m->begins)
            end(r, m->index);
        else if (!begin(r, m->index, error))
            return FALSE;
    }
    return check_together(r, error);
}

/* No VM is left half way. */
static gboolean check_ends(const Check *r, GError **error)
{
    g_autoptr(GHashTable) last = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = r->plan->moves->len; i-- > 0;) {
        GwPlannedMove *move = r->plan->moves->pdata[i];
        if (g_hash_table_add(last, move->vm_uuid) && move->detour)
            return check_broken(error, i + 1, move, "its detour leads nowhere");
    }
    return TRUE;
}

gboolean gw_plan_many_check(const GwFabric *fabric, const GwMigrationPlan *plan, GError **error)
{
    g_autoptr(GHashTable) places =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, check_place_free);
    g_autoptr(GHashTable) at = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) vms = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) space = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GHashTable) vports = g_hash_table_new(NULL, NULL);
    g_autoptr(GHashTable) sources = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GwPlanShared) shared = NULL;

    if (plan->request == NULL || plan->moves == NULL) {
        gw_error_set(error, GW_ERR_INVALID, "Make the plan again.",
                     "the plan says no more what was asked for, or has no list of moves");
        return FALSE;
    }
    shared = gw_plan_shared_new(fabric);
    Check r = { fabric, plan, places, at, vms, space, vports, sources, shared, 0 };

    check_read(&r);
    for (guint i = 0; plan->kind == (int)GW_PLAN_DRAIN && plan->request->hosts != NULL &&
                      plan->request->hosts[i] != NULL;
         i++) {
        const GwHost *host = gw_fabric_find_host(fabric, plan->request->hosts[i]);
        if (host != NULL)
            g_hash_table_add(sources, host->id);
    }
    return check_order(&r, error) && check_any_order(&r, error) && replay(&r, error) &&
           check_ends(&r, error);
}
