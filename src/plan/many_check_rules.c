/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "plan/many_check.h"
#include "plan/matrix.h"
#include "plan/vports.h"

/* What forbids a move of a plan that is replayed: rules, preflight, and room for what it copies. */

gboolean check_broken(GError **error, guint number, const GwPlannedMove *move, const char *format,
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

/* What is left there of the VM itself is preflight's to judge. */
gboolean check_apart(const Check *r, guint number, const GwPlannedMove *move, const GwVm *vm,
                     const CheckPlace *to, GError **error)
{
    g_autoptr(GPtrArray) rules = gw_fabric_list_rules(r->fabric);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, to->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwVm *there = value;
        if (g_strcmp0(there->uuid, vm->uuid) == 0)
            continue;
        if (vm->name != NULL && g_strcmp0(there->name, vm->name) == 0)
            return check_broken(error, number, move, "another VM of that name is there");
        for (guint i = 0; i < rules->len; i++) {
            if (holds(rules->pdata[i], GW_RULE_KIND_APART) && names(rules->pdata[i], vm->uuid) &&
                names(rules->pdata[i], there->uuid) && gw_vm_is_active(there))
                return check_broken(error, number, move, "rule '%s' keeps it apart from %s",
                                    ((GwPlacementRule *)rules->pdata[i])->name,
                                    gw_plan_vm_name(there));
        }
    }
    return TRUE;
}

/* At the end: VMs that belong together are, where the plan moves any of them. */
gboolean check_together(const Check *r, GError **error)
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
            return check_broken(error, number, moved,
                                "rule '%s' keeps it together with VMs elsewhere",
                                gw_plan_text(rule->name));
    }
    return TRUE;
}

/* Storage --------------------------------------------------------------------------------------
 */

static gint64 *space_left(Check *r, const GwHost *host, const GwPool *pool)
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
    *left =
        pool->capacity_bytes <= 0
            ? G_MAXINT64 / 2
            : MAX(pool->available_bytes, 0) - CLAMP(host->disk_reserve_bytes, 0, G_MAXINT64 / 4) -
                  CLAMP(gw_plan_policy(r->fabric, host)->disk_reserve_bytes, 0, G_MAXINT64 / 4) -
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

static gboolean check_space(Check *r, guint number, const GwPlannedMove *move, const GwVm *vm,
                            const CheckPlace *to, const GwCandidate *candidate, GError **error)
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
            return check_broken(error, number, move,
                                "disk %s would be copied, which was not asked for",
                                gw_plan_text(disk->target));
        if (pool == NULL)
            continue;
        gint64 *left = space_left(r, to->host, pool);
        *left -= need_of(vm, disk, top->to);
        if (*left < 0)
            return check_broken(error, number, move, "pool '%s' has too little room then",
                                gw_plan_text(pool->name));
    }
    return TRUE;
}

/* What is handed over takes a vport there, beside what came before it (R41). */
static gboolean check_vports(Check *r, guint number, const GwPlannedMove *move,
                             const CheckPlace *from, const CheckPlace *to,
                             const GwCandidate *candidate, GError **error)
{
    const GwVports vports = { .shared = r->shared, .booked = r->vports };
    g_autoptr(GPtrArray) found = gw_vports_find(&vports, from->host, to->host, candidate->hbas);

    if (found == NULL)
        return check_broken(error, number, move, "the HBAs of %s have no vport left for it then",
                            gw_plan_host_name(to->host));
    gw_vports_book(r->vports, found, 1);
    return TRUE;
}

/* Preflight as it is for a VM that is where the plan has brought it. */
gboolean check_verdict(Check *r, guint number, const GwPlannedMove *move, const GwVm *vm,
                       const CheckPlace *from, const CheckPlace *to, GError **error)
{
    g_autoptr(GwVm) there = gw_vm_copy(vm);
    g_free(there->host_id);
    there->host_id = g_strdup(from->host->id);
    const GwMoveOptions *asked = r->plan->request->options;
    g_autoptr(GwMoveOptions) options =
        asked != NULL ? gw_move_options_copy(asked) : gw_move_options_new();
    if (move->storage != NULL) { /* as its job has it */
        g_free(options->storage);
        options->storage = g_strdup(move->storage);
    }
    GwPlanInput input = { .fabric = r->fabric,
                          .vm = there,
                          .source = from->host,
                          .destination = to->host,
                          .options = options,
                          .shared = r->shared };
    g_autoptr(GwCandidate) candidate = gw_plan_candidate(&input);

    for (guint i = 0; i < candidate->findings->len; i++) {
        const GwFinding *f = candidate->findings->pdata[i];
        if (f->severity == (int)GW_SEVERITY_ERROR && !gw_matrix_is_changing(f->rule))
            return check_broken(error, number, move, "%s: %s", f->rule, f->observed);
    }
    if (candidate->transfer != move->transfer)
        return check_broken(error, number, move, "its transfer type would be %s",
                            gw_enum_word(&gw_transfer_enum, candidate->transfer));
    return check_vports(r, number, move, from, to, candidate, error) &&
           check_space(r, number, move, vm, to, candidate, error);
}
