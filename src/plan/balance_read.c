/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/error.h"
#include "plan/many.h"
#include "plan/rule.h"
#include "plan/shared.h"

/* Who takes part in a balance: the hosts of the group that can give and take VMs, and of their VMs
 * those that run and that nothing holds where they are. The others are load that stays. */

#define DEPTH_MAX 64   /* a tree of groups is never deeper; a damaged one may be a ring */
#define TIME_LENGTH 19 /* of "2026-03-01T10:00:00", which sorts as text */

static const GwGroup *group_of(const GwFabric *fabric, const char *id)
{
    return g_hash_table_lookup(fabric->groups, id != NULL ? id : GW_GROUP_ROOT);
}

const GwBalanceSettings *gw_plan_balance_settings(const GwFabric *fabric, const GwGroup *group)
{
    static const GwBalanceSettings products = {
        .mode = GW_BALANCE_OFF,
        .threshold = GW_BALANCE_THRESHOLD_DEFAULT,
        .minimum_gain = GW_BALANCE_GAIN_DEFAULT,
        .vm_cool_down_s = GW_BALANCE_COOL_DOWN_DEFAULT_S,
        .cool_down_s = GW_BALANCE_PAUSE_DEFAULT_S,
        .moves_at_most = GW_BALANCE_MOVES_DEFAULT,
    };

    for (guint depth = 0; group != NULL && depth < DEPTH_MAX; depth++) {
        if (group->balance != NULL)
            return group->balance;
        group = group->parent_id != NULL ? group_of(fabric, group->parent_id) : NULL;
    }
    return &products;
}

gboolean gw_plan_is_balanced_with(const GwFabric *fabric, const GwHost *host, const GwGroup *group)
{
    const GwGroup *at = group_of(fabric, host->group_id);

    for (guint depth = 0; at != NULL && depth < DEPTH_MAX; depth++) {
        if (strcmp(at->id, group->id) == 0)
            return TRUE;
        if (at->balance != NULL || at->parent_id == NULL)
            return FALSE;
        at = group_of(fabric, at->parent_id);
    }
    return FALSE;
}

/* Hosts ----------------------------------------------------------------------------------------
 */

/* Ids of hosts that a drain or an undrain is about, which is not over. */
static GHashTable *busy_hosts(const GwFabric *fabric)
{
    GHashTable *busy = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        char **hosts =
            job->plan != NULL && job->plan->request != NULL ? job->plan->request->hosts : NULL;
        if (gw_job_state_is_final((GwJobState)job->state))
            continue;
        for (guint i = 0; hosts != NULL && hosts[i] != NULL; i++)
            g_hash_table_add(busy, hosts[i]);
    }
    return busy;
}

/* NULL: it takes part. */
static const char *left_out(const GwHost *host, GHashTable *busy)
{
    if (host->status != (int)GW_HOST_OK && host->status != (int)GW_HOST_OK_LIMITED)
        return "does not answer";
    if (host->facts == NULL || host->facts->memory_kib <= 0)
        return "has not said yet what it has";
    if (host->maintenance != (int)GW_MAINTENANCE_NONE)
        return "is in maintenance";
    if (!host->live_migration_enabled)
        return "has live migration switched off";
    if (g_hash_table_contains(busy, host->id))
        return "is the subject of a plan that is under way";
    return NULL;
}

static guint read_hosts(Many *many, const GwGroup *group)
{
    g_autoptr(GHashTable) busy = busy_hosts(many->fabric);
    guint count = 0;

    for (guint h = 0; h < many->hosts->len; h++) {
        ManyHost *item = many_host(many, h);
        gboolean with = gw_plan_is_balanced_with(many->fabric, item->host, group);
        const char *why = with ? left_out(item->host, busy) : NULL;
        item->allowed = with && why == NULL;
        count += item->allowed;
        if (why != NULL)
            many_note(many, "%s %s: it is left out.", gw_plan_host_name(item->host), why);
    }
    return count;
}

/* VMs ------------------------------------------------------------------------------------------
 */

typedef struct {
    GHashTable *held;    /* UUIDs: another job has them */
    GHashTable *resting; /* UUIDs: moved not long ago */
    GHashTable *only;    /* UUIDs; NULL: all */
} Chosen;

/* The time of which everything later is in the cool-down; NULL: nothing is. */
static char *rests_since(const GwPlanRequest *request, gint64 cool_down_s)
{
    g_autoptr(GDateTime) now =
        request->as_of != NULL ? g_date_time_new_from_iso8601(request->as_of, NULL) : NULL;
    g_autoptr(GDateTime) utc = now != NULL ? g_date_time_to_utc(now) : NULL;
    g_autoptr(GDateTime) since =
        utc != NULL
            ? g_date_time_add_seconds(utc, -(double)CLAMP(cool_down_s, 0, GW_BALANCE_SECONDS_MAX))
            : NULL;

    return since != NULL && cool_down_s > 0 ? g_date_time_format(since, "%Y-%m-%dT%H:%M:%SZ")
                                            : NULL;
}

/* Whether the job leaves its VM alone for a while: it has moved it, by whomever; or a balance tried
 * to, and is over: the next one is not to try the same again and again. */
static gboolean makes_rest(const GwFabric *fabric, const GwJob *job)
{
    const GwJob *whole =
        job->part_of != NULL ? g_hash_table_lookup(fabric->jobs, job->part_of) : NULL;

    if (g_strcmp0(job->source_host_id, job->destination_host_id) == 0)
        return FALSE;
    if (job->state == (int)GW_JOB_DONE)
        return TRUE;
    return whole != NULL && whole->plan != NULL && whole->plan->kind == (int)GW_PLAN_BALANCE &&
           gw_job_state_is_final((GwJobState)whole->state);
}

static gboolean is_later(const char *finished_at, const char *since)
{
    return finished_at != NULL && strncmp(finished_at, since, TIME_LENGTH) > 0;
}

/* The jobs of a plan's moves are forgotten before the plan's own is: when a move that was done, or
 * that a balance tried, ended is known to be no later than the whole did. */
static void read_moves(const Many *many, const GwJob *whole, const Chosen *chosen)
{
    const GwMigrationPlan *plan = whole->plan;

    for (guint i = 0; plan->moves != NULL && i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        gboolean counts =
            move->state == (int)GW_PLANNED_DONE ||
            (move->state == (int)GW_PLANNED_FAILED && plan->kind == (int)GW_PLAN_BALANCE);
        if (counts && move->vm_uuid != NULL && move->job_id != NULL &&
            !g_hash_table_contains(many->fabric->jobs, move->job_id))
            g_hash_table_add(chosen->resting, move->vm_uuid);
    }
}

static void read_jobs(const Many *many, const char *since, Chosen *chosen)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, many->fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        gboolean over = gw_job_state_is_final((GwJobState)job->state);
        gboolean rests = over && since != NULL && is_later(job->finished_at, since);
        if (job->plan != NULL && rests)
            read_moves(many, job, chosen);
        if (job->vm_uuid == NULL)
            continue;
        if (!over)
            g_hash_table_add(chosen->held, job->vm_uuid);
        else if (rests && makes_rest(many->fabric, job))
            g_hash_table_add(chosen->resting, job->vm_uuid);
    }
}

static gboolean read_only(const Many *many, Chosen *chosen, GError **error)
{
    char **names = many->request->vms;

    if (names == NULL || names[0] == NULL)
        return TRUE;
    chosen->only = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; names[i] != NULL; i++) {
        const GwVm *vm = gw_fabric_find_vm(many->fabric, names[i], error);
        if (vm == NULL)
            return FALSE;
        if (vm->uuid != NULL)
            g_hash_table_add(chosen->only, vm->uuid);
    }
    return TRUE;
}

static void read_vms(Many *many, const Chosen *chosen)
{
    guint resting = 0, unknown = 0;

    for (guint h = 0; h < many->hosts->len; h++) {
        if (!many_host(many, h)->allowed)
            continue;
        g_autoptr(GPtrArray) vms = gw_fabric_list_vms(many->fabric, many_host(many, h)->host->id);
        for (guint i = 0; i < vms->len; i++) {
            const GwVm *vm = vms->pdata[i];
            gboolean known = FALSE;
            if (!gw_plan_is_live(vm) || vm->uuid == NULL ||
                g_hash_table_contains(chosen->held, vm->uuid) ||
                (chosen->only != NULL && !g_hash_table_contains(chosen->only, vm->uuid)))
                continue;
            gw_plan_cpu_permille(vm, &known);
            unknown += !known;
            if (g_hash_table_contains(chosen->resting, vm->uuid))
                resting++;
            else
                many_add_vm(many, vm, MANY_NONE);
        }
    }
    if (resting > 0)
        many_note(many, "%u VM%s moved not long ago, and %s left alone (cool-down).", resting,
                  resting == 1 ? "" : "s", resting == 1 ? "is" : "are");
    if (unknown > 0)
        many_note(many, "What %u VM%s use%s of CPU is not known: they are not moved for that.",
                  unknown, unknown == 1 ? "" : "s", unknown == 1 ? "s" : "");
}

gboolean many_read_balance(Many *many, GError **error)
{
    const GwGroup *group = gw_fabric_find_group(many->fabric, many->request->group);
    g_autoptr(GHashTable) held = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) resting = g_hash_table_new(g_str_hash, g_str_equal);
    Chosen chosen = { held, resting, NULL };

    if (group == NULL) {
        gw_error_set(error, GW_ERR_NOT_FOUND, "See the host groups: godwit group list.",
                     "there is no host group '%s'", many->request->group);
        return FALSE;
    }
    if (read_hosts(many, group) < 2)
        many_note(many, "Fewer than two hosts of '%s' take part: there is nothing to balance.",
                  group->name);
    g_autofree char *since =
        rests_since(many->request, gw_plan_balance_settings(many->fabric, group)->vm_cool_down_s);
    read_jobs(many, since, &chosen);
    gboolean fine = read_only(many, &chosen, error);
    if (fine)
        read_vms(many, &chosen);
    g_clear_pointer(&chosen.only, g_hash_table_unref);
    return fine;
}
