/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "plan/matrix.h"
#include "plan/shared.h"

/* Replays a plan against a picture of the fabric, by itself: nothing here is the planner's but the
 * preflight rules. What a plan promises is looked at, move by move, in the order in which moves
 * begin and end. */

typedef struct {
    const GwHost *host;
    gint64 memory_kib; /* left */
    gint64 cpu;        /* permille of one CPU left; G_MAXINT64: not known, or nothing is reserved */
    GwSlots used;
    guint moves, begun, ended; /* that leave it */
    GHashTable *vms;           /* uuid -> GwVm: both ends of a move hold it */
} Place;

typedef struct {
    const GwFabric *fabric;
    const GwMigrationPlan *plan;
    GHashTable *places;  /* host id -> Place */
    GHashTable *at;      /* uuid -> host id */
    GHashTable *vms;     /* uuid -> GwVm: as the fabric has it */
    GHashTable *space;   /* storage -> gint64 left */
    GHashTable *sources; /* host ids that a drain empties */
    GwPlanShared *shared;
    guint running;
} Replay;

static void place_free(gpointer data)
{
    Place *place = data;

    g_hash_table_unref(place->vms);
    g_free(place);
}

/* What others bring there: jobs, and plans but for @plan. */
static gint64 other_jobs_kib(const GwFabric *fabric, const GwMigrationPlan *plan,
                             const char *host_id)
{
    gint64 sum = 0;
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        gint64 percent = job->state == (int)GW_JOB_COPYING && job->progress != NULL
                             ? CLAMP(job->progress->percent, 0, 100)
                             : 0;
        if (job->state <= (int)GW_JOB_COPYING && g_strcmp0(job->destination_host_id, host_id) == 0)
            sum += CLAMP(job->vm_memory_kib, 0, (gint64)1 << 40) * (100 - percent) / 100;
    }
    return sum;
}

static gint64 cpu_left(const GwHost *host, const GwPlacementPolicy *policy)
{
    const GwHostFacts *facts = gw_plan_facts(host);
    gint64 reserve = MIN(
        CLAMP(host->cpu_reserve_percent, 0, 100) + CLAMP(policy->cpu_reserve_percent, 0, 100), 100);

    if (reserve == 0 || facts->usage == NULL || facts->usage->cpu_permille < 0 || facts->cpus <= 0)
        return G_MAXINT64;
    return MIN(facts->cpus, 1000000) *
           (1000 - MIN(facts->usage->cpu_permille, 1000) - 10 * reserve);
}

static Place *place_new(const GwFabric *fabric, const GwMigrationPlan *plan, const GwHost *host)
{
    Place *place = g_new0(Place, 1);
    const GwHostFacts *facts = gw_plan_facts(host);
    GHashTable *vms = g_hash_table_lookup(fabric->vms, host->id);
    GHashTableIter iter;
    gpointer value;

    place->host = host;
    const GwPlacementPolicy *policy = gw_plan_policy(fabric, host);
    gint64 most = (gint64)1 << 50;
    place->memory_kib =
        CLAMP(facts->free_memory_kib, 0, most) - CLAMP(host->memory_reserve_kib, 0, most) -
        CLAMP(policy->memory_reserve_kib, 0, most) - other_jobs_kib(fabric, plan, host->id);
    place->cpu = cpu_left(host, policy);
    place->vms = g_hash_table_new(g_str_hash, g_str_equal);
    if (vms == NULL)
        return place;
    g_hash_table_iter_init(&iter, vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        GwVm *vm = value;
        if (vm->uuid != NULL)
            g_hash_table_insert(place->vms, vm->uuid, vm);
    }
    return place;
}

static void read_fabric(Replay *r)
{
    GHashTableIter iter, vms;
    gpointer value, vm;

    g_hash_table_iter_init(&iter, r->fabric->hosts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        GwHost *host = value;
        Place *place = place_new(r->fabric, r->plan, host);
        g_hash_table_insert(r->places, host->id, place);
        g_hash_table_iter_init(&vms, place->vms);
        while (g_hash_table_iter_next(&vms, NULL, &vm)) {
            GwVm *one = vm;
            if (gw_vm_is_active(one) || !g_hash_table_contains(r->vms, one->uuid)) {
                g_hash_table_insert(r->vms, one->uuid, one);
                g_hash_table_insert(r->at, one->uuid, host->id);
            }
        }
    }
}

static gboolean broken(GError **error, guint number, const GwPlannedMove *move, const char *format,
                       ...) G_GNUC_PRINTF(4, 5);

static gboolean broken(GError **error, guint number, const GwPlannedMove *move, const char *format,
                       ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    gw_error_set(error, GW_ERR_CONFLICT, "Make the plan again.", "move %u (%s from %s to %s): %s",
                 number, gw_plan_text(move->vm_name), gw_plan_text(move->source_host_name),
                 gw_plan_text(move->destination_host_name), text);
    return FALSE;
}

static gint64 memory_of(const Replay *r, const GwVm *vm)
{
    const GwMoveOptions *options = r->plan->request != NULL ? r->plan->request->options : NULL;

    if (gw_plan_is_live(vm) || (options != NULL && options->start))
        return CLAMP(gw_plan_memory_kib(vm), 0, (gint64)1 << 50);
    return 0;
}

/* What the host that it is on in the fabric gets back. */
static gint64 freed_by(const Replay *r, const GwVm *vm, const char *host_id)
{
    if (g_strcmp0(vm->host_id, host_id) != 0)
        return memory_of(r, vm);
    if (!gw_plan_is_live(vm))
        return 0;
    gint64 freed = CLAMP(vm->memory_kib, 0, memory_of(r, vm));
    return vm->usage != NULL && vm->usage->memory_used_kib >= 0
               ? MIN(freed, vm->usage->memory_used_kib)
               : freed;
}

static gint64 cpu_of(const GwVm *vm)
{
    return gw_plan_is_live(vm) ? MIN(gw_plan_cpu_permille(vm, NULL), 1000000) : 0;
}

/* Rules --------------------------------------------------------------------------------------- */

static gboolean names(const GwPlacementRule *rule, const char *uuid)
{
    return rule->vms != NULL && uuid != NULL &&
           g_strv_contains((const char *const *)rule->vms, uuid);
}

static gboolean holds(const GwPlacementRule *rule, GwPlacementRuleKind kind)
{
    return rule->kind == (int)kind && rule->required && !rule->disabled;
}

static gboolean check_apart(const Replay *r, guint number, const GwPlannedMove *move,
                            const Place *to, GError **error)
{
    g_autoptr(GPtrArray) rules = gw_fabric_list_rules(r->fabric);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, to->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwVm *there = value;
        if (g_strcmp0(there->name, move->vm_name) == 0)
            return broken(error, number, move, "another VM of that name is there");
        for (guint i = 0; i < rules->len; i++) {
            if (holds(rules->pdata[i], GW_RULE_KIND_APART) &&
                names(rules->pdata[i], move->vm_uuid) && names(rules->pdata[i], there->uuid) &&
                gw_vm_is_active(there))
                return broken(error, number, move, "rule '%s' keeps it apart from %s",
                              ((GwPlacementRule *)rules->pdata[i])->name, gw_plan_vm_name(there));
        }
    }
    return TRUE;
}

/* At the end: VMs that belong together are, where the plan moves any of them. */
static gboolean check_together(const Replay *r, GError **error)
{
    g_autoptr(GPtrArray) rules = gw_fabric_list_rules(r->fabric);

    for (guint i = 0; i < rules->len; i++) {
        const GwPlacementRule *rule = rules->pdata[i];
        const GwPlannedMove *moved = NULL;
        const char *on = NULL;
        gboolean apart = FALSE;
        guint number = 0;
        if (!holds(rule, GW_RULE_KIND_TOGETHER) || rule->vms == NULL)
            continue;
        for (guint k = 0; rule->vms[k] != NULL; k++) {
            const GwVm *vm = g_hash_table_lookup(r->vms, rule->vms[k]);
            const char *at = g_hash_table_lookup(r->at, rule->vms[k]);
            if (vm == NULL || !gw_vm_is_active(vm))
                continue;
            apart = apart || (on != NULL && g_strcmp0(on, at) != 0);
            on = at;
        }
        for (guint k = 0; apart && moved == NULL && k < r->plan->moves->len; k++) {
            const GwPlannedMove *move = r->plan->moves->pdata[k];
            if (names(rule, move->vm_uuid)) {
                moved = move;
                number = k + 1;
            }
        }
        if (moved != NULL)
            return broken(error, number, moved, "rule '%s' keeps it together with VMs elsewhere",
                          gw_plan_text(rule->name));
    }
    return TRUE;
}

/* Storage --------------------------------------------------------------------------------------
 */

static gint64 *space_left(Replay *r, const GwHost *host, const GwPool *pool)
{
    char *key = gw_share_id_of_pool(r->fabric, host, pool);

    if (key == NULL)
        key = g_strdup_printf("%s %s", host->id, pool->name);
    gint64 *left = g_hash_table_lookup(r->space, key);
    if (left != NULL) {
        g_free(key);
        return left;
    }
    left = g_new(gint64, 1);
    *left = pool->capacity_bytes <= 0
                ? G_MAXINT64 / 2
                : MAX(pool->available_bytes, 0) - MAX(host->disk_reserve_bytes, 0) -
                      gw_plan_promised_bytes(r->fabric, host->id, pool->name, NULL);
    g_hash_table_insert(r->space, key, left);
    return left;
}

static gint64 need_of(const GwVm *vm, const GwDiskMove *move, const GwVolume *to)
{
    const GwDisk *disk = gw_record_find(&gw_disk_record, vm->disks, "target", move->target);

    if (vm->disks != NULL && vm->disks->len == 1 && vm->usage != NULL &&
        vm->usage->disk_allocated_bytes > 0)
        return MAX(move->need_bytes, vm->usage->disk_allocated_bytes);
    return MAX(move->need_bytes, MAX(to->capacity_bytes, disk != NULL ? disk->capacity_bytes : 0));
}

static gboolean check_space(Replay *r, guint number, const GwPlannedMove *move, const GwVm *vm,
                            const Place *to, const GwCandidate *candidate, GError **error)
{
    for (guint i = 0; candidate->disks != NULL && i < candidate->disks->len; i++) {
        const GwDiskMove *disk = candidate->disks->pdata[i];
        const GwImageMove *top =
            gw_plan_is_copied(disk) && disk->images->len > 0 ? disk->images->pdata[0] : NULL;
        const GwPool *pool = top != NULL && top->to != NULL && top->to->pool != NULL
                                 ? gw_record_find(&gw_pool_record, gw_plan_facts(to->host)->pools,
                                                  "name", top->to->pool)
                                 : NULL;
        if (gw_plan_is_copied(disk) && !r->plan->request->storage)
            return broken(error, number, move, "disk %s would be copied, which was not asked for",
                          gw_plan_text(disk->target));
        if (pool == NULL)
            continue;
        gint64 *left = space_left(r, to->host, pool);
        *left -= need_of(vm, disk, top->to);
        if (*left < 0)
            return broken(error, number, move, "pool '%s' has too little room then",
                          gw_plan_text(pool->name));
    }
    return TRUE;
}

/* Preflight as it is for a VM that is where the plan has brought it. */
static gboolean check_verdict(Replay *r, guint number, const GwPlannedMove *move, const GwVm *vm,
                              const Place *from, const Place *to, GError **error)
{
    g_autoptr(GwVm) there = gw_vm_copy(vm);
    g_free(there->host_id);
    there->host_id = g_strdup(from->host->id);
    GwPlanInput input = { .fabric = r->fabric,
                          .vm = there,
                          .source = from->host,
                          .destination = to->host,
                          .options = r->plan->request->options,
                          .shared = r->shared };
    g_autoptr(GwCandidate) candidate = gw_plan_candidate(&input);

    for (guint i = 0; i < candidate->findings->len; i++) {
        const GwFinding *f = candidate->findings->pdata[i];
        if (f->severity == (int)GW_SEVERITY_ERROR && !gw_matrix_is_changing(f->rule))
            return broken(error, number, move, "%s: %s", f->rule, f->observed);
    }
    if (candidate->transfer != move->transfer)
        return broken(error, number, move, "its transfer type would be %s",
                      gw_enum_word(&gw_transfer_enum, candidate->transfer));
    return check_space(r, number, move, vm, to, candidate, error);
}

/* Begin and end --------------------------------------------------------------------------------
 */

static gboolean take_slots(Place *place, GwSlots takes)
{
    place->used.live += takes.live;
    place->used.storage += takes.storage;
    return (takes.live == 0 || place->used.live <= place->host->live_limit) &&
           (takes.storage == 0 || place->used.storage <= place->host->storage_limit);
}

static gboolean check_open(const Replay *r, guint number, const GwPlannedMove *move, GError **error)
{
    gint64 most = r->plan->request->hosts_at_once, open = 0;
    GHashTableIter iter;
    gpointer value;

    if (r->plan->kind != (int)GW_PLAN_DRAIN || most <= 0)
        return TRUE;
    g_hash_table_iter_init(&iter, r->places);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Place *place = value;
        open += place->begun > 0 && place->ended < place->moves;
    }
    return open <= most ||
           broken(error, number, move, "%" G_GINT64_FORMAT " hosts are emptied at once", open);
}

static gboolean check_places(const Replay *r, guint number, const GwPlannedMove *move,
                             const GwVm *vm, const Place *from, const Place *to, GError **error)
{
    if (vm == NULL || from == NULL || to == NULL)
        return broken(error, number, move, "the VM, or one of the hosts, is gone");
    if (from == to)
        return broken(error, number, move, "it goes nowhere");
    if (g_strcmp0(g_hash_table_lookup(r->at, move->vm_uuid), from->host->id) != 0)
        return broken(error, number, move, "it is not there");
    if (g_hash_table_contains(r->sources, to->host->id))
        return broken(error, number, move, "the destination is to be emptied itself");
    if (to->host->maintenance != (int)GW_MAINTENANCE_NONE && r->plan->kind != (int)GW_PLAN_UNDRAIN)
        return broken(error, number, move, "the destination is in maintenance");
    return TRUE;
}

static gboolean begin(Replay *r, guint index, GError **error)
{
    const GwPlannedMove *move = r->plan->moves->pdata[index];
    GwVm *vm = g_hash_table_lookup(r->vms, gw_plan_text(move->vm_uuid));
    Place *from = g_hash_table_lookup(r->places, gw_plan_text(move->source_host_id));
    Place *to = g_hash_table_lookup(r->places, gw_plan_text(move->destination_host_id));
    GwSlots takes = gw_slots_of_transfer((GwTransfer)move->transfer);
    gint64 most = r->plan->request->moves_at_once;
    guint number = index + 1;

    if (!check_places(r, number, move, vm, from, to, error) ||
        !check_apart(r, number, move, to, error) ||
        !check_verdict(r, number, move, vm, from, to, error))
        return FALSE;
    if (!take_slots(from, takes) || !take_slots(to, takes))
        return broken(error, number, move, "more moves at once than a host has slots for");
    if (++r->running > most && most > 0)
        return broken(error, number, move, "more moves at once than the plan allows");
    to->memory_kib -= g_strcmp0(vm->host_id, to->host->id) == 0 ? freed_by(r, vm, to->host->id)
                                                                : memory_of(r, vm);
    if (memory_of(r, vm) > 0 && to->memory_kib < 0)
        return broken(error, number, move, "the destination runs out of memory");
    if (to->cpu != G_MAXINT64)
        to->cpu -= cpu_of(vm);
    if (cpu_of(vm) > 0 && to->cpu < 0)
        return broken(error, number, move, "the destination's CPUs are too busy");
    g_hash_table_insert(to->vms, vm->uuid, vm);
    from->begun++;
    return check_open(r, number, move, error);
}

static void end(Replay *r, guint index)
{
    const GwPlannedMove *move = r->plan->moves->pdata[index];
    GwVm *vm = g_hash_table_lookup(r->vms, move->vm_uuid);
    Place *from = g_hash_table_lookup(r->places, move->source_host_id);
    Place *to = g_hash_table_lookup(r->places, move->destination_host_id);
    GwSlots takes = gw_slots_of_transfer((GwTransfer)move->transfer);

    from->memory_kib += freed_by(r, vm, from->host->id);
    if (from->cpu != G_MAXINT64)
        from->cpu += cpu_of(vm);
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

static gboolean check_order(const Replay *r, GError **error)
{
    const GPtrArray *moves = r->plan->moves;

    for (guint i = 0; i < moves->len; i++) {
        const GwPlannedMove *move = moves->pdata[i];
        const GwPlannedMove *before = i > 0 ? moves->pdata[i - 1] : NULL;
        if (move->ends_ms <= move->starts_ms || move->starts_ms < 0)
            return broken(error, i + 1, move, "it ends before it begins");
        if (before != NULL && before->starts_ms > move->starts_ms)
            return broken(error, i + 1, move, "it begins before the one above it");
        if (move->wave < 1 || move->wave > r->plan->waves)
            return broken(error, i + 1, move, "it is in no wave");
        if (move->after < 0 || move->after > i)
            return broken(error, i + 1, move, "it is to wait for one that comes later");
        const GwPlannedMove *after = move->after > 0 ? moves->pdata[move->after - 1] : NULL;
        if (after != NULL && (after->ends_ms > move->starts_ms || after->wave >= move->wave))
            return broken(error, i + 1, move, "it begins before the one that it is to wait for");
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

static gboolean replay(Replay *r, GError **error)
{
    g_autoptr(GArray) moments = g_array_new(FALSE, FALSE, sizeof(Moment));

    for (guint i = 0; i < r->plan->moves->len; i++) {
        const GwPlannedMove *move = r->plan->moves->pdata[i];
        Moment begins = { move->starts_ms, TRUE, i }, ends = { move->ends_ms, FALSE, i };
        Place *from = g_hash_table_lookup(r->places, gw_plan_text(move->source_host_id));
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
static gboolean check_ends(const Replay *r, GError **error)
{
    g_autoptr(GHashTable) last = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = r->plan->moves->len; i-- > 0;) {
        GwPlannedMove *move = r->plan->moves->pdata[i];
        if (g_hash_table_add(last, move->vm_uuid) && move->detour)
            return broken(error, i + 1, move, "its detour leads nowhere");
    }
    return TRUE;
}

gboolean gw_plan_many_check(const GwFabric *fabric, const GwMigrationPlan *plan, GError **error)
{
    g_autoptr(GHashTable) places = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, place_free);
    g_autoptr(GHashTable) at = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) vms = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) space = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GHashTable) sources = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GwPlanShared) shared = NULL;

    if (plan->request == NULL || plan->moves == NULL) {
        gw_error_set(error, GW_ERR_INVALID, "Make the plan again.",
                     "the plan says no more what was asked for, or has no list of moves");
        return FALSE;
    }
    shared = gw_plan_shared_new(fabric);
    Replay r = { fabric, plan, places, at, vms, space, sources, shared, 0 };

    read_fabric(&r);
    for (guint i = 0; plan->kind == (int)GW_PLAN_DRAIN && plan->request->hosts != NULL &&
                      plan->request->hosts[i] != NULL;
         i++) {
        const GwHost *host = gw_fabric_find_host(fabric, plan->request->hosts[i]);
        if (host != NULL)
            g_hash_table_add(sources, host->id);
    }
    return check_order(&r, error) && replay(&r, error) && check_ends(&r, error);
}
