/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "plan/many.h"
#include "plan/predict.h"
#include "plan/rule.h"
#include "plan/shared.h"

/* What a plan of many moves is about: the request checked, hosts and VMs by number. */

#define LINK_BPS_DEFAULT 117e6 /* what 1 Gbit/s comes to */
#define KIB_MAX ((gint64)1 << 50)

void many_note(Many *many, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_ptr_array_add(many->notes, g_strdup_vprintf(format, args));
    va_end(args);
}

guint many_host_index(const Many *many, const char *id)
{
    guint number = id != NULL ? GPOINTER_TO_UINT(g_hash_table_lookup(many->host_index, id)) : 0;
    return number != 0 ? number - 1 : MANY_NONE;
}

static void expect(GHashTable *table, char *host_id, gint64 kib)
{
    gint64 *sum = host_id != NULL ? g_hash_table_lookup(table, host_id) : NULL;

    if (sum == NULL && host_id != NULL) {
        sum = g_new0(gint64, 1);
        g_hash_table_insert(table, host_id, sum);
    }
    if (sum != NULL)
        *sum += CLAMP(kib, 0, KIB_MAX / 1000);
}

/* What the moves of other jobs will still take of each host: all while they wait, what is left to
 * copy while they copy, as the preflight rule on memory counts it (R45); and what other plans still
 * have to begin. */
static GHashTable *expected_kib(const GwFabric *fabric)
{
    GHashTable *table = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, fabric->jobs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwJob *job = value;
        const GPtrArray *moves = job->plan != NULL ? job->plan->moves : NULL;
        if (gw_job_state_is_final((GwJobState)job->state))
            continue;
        if (job->state <= (int)GW_JOB_COPYING)
            expect(table, job->destination_host_id, MIN(gw_job_arriving_kib(job), KIB_MAX / 1000));
        for (guint i = 0; moves != NULL && i < moves->len; i++) {
            const GwPlannedMove *move = moves->pdata[i];
            if (move->state == (int)GW_PLANNED_WAITING)
                expect(table, move->destination_host_id, move->memory_kib);
        }
    }
    return table;
}

/* Slots that others hold come back some time; one is enough to go on with meanwhile. */
static gint64 slots_left(gint64 limit, gint64 used)
{
    return limit <= 0 ? 0 : MAX(limit - used, 1);
}

/* What predictions take a link for of which nothing is known, so that what no order can beat is by
 * the same rates as the times. */
static double unknown_link(const Many *many)
{
    return many->predictor != NULL ? gw_predictor_link_bps(many->predictor) : LINK_BPS_DEFAULT;
}

static double link_of(const Many *many, const GwHost *host, gboolean *measured)
{
    const GwAgentFacts *agent = gw_plan_facts(host)->agent;
    gint64 best = 0;

    for (guint i = 0; agent != NULL && agent->links != NULL && i < agent->links->len; i++)
        best = MAX(best, ((const GwLinkFacts *)agent->links->pdata[i])->bytes_per_s);
    *measured = best > 0;
    return best > 0 ? (double)best : unknown_link(many);
}

/* In percent, the host's and its group's together. */
static gint64 cpu_reserve(const ManyHost *item)
{
    return MIN(CLAMP(item->host->cpu_reserve_percent, 0, 100) +
                   CLAMP(item->policy->cpu_reserve_percent, 0, 100),
               100);
}

static gint64 cpu_free(const ManyHost *item)
{
    const GwHostFacts *facts = gw_plan_facts(item->host);
    gint64 cpus = CLAMP(facts->cpus, 0, MANY_CPUS_MAX);

    if (facts->usage == NULL || facts->usage->cpu_permille < 0 || cpus == 0)
        return MANY_UNKNOWN;
    return cpus * (1000 - MIN(facts->usage->cpu_permille, 1000) - 10 * cpu_reserve(item));
}

static void add_host(Many *many, const GwHost *host, const gint64 *expected)
{
    const GwHostFacts *facts = gw_plan_facts(host);
    GwSlots used = { 0, 0 };
    gboolean measured = FALSE;
    ManyHost item = { .host = host, .shape = gw_matrix_host_shape(many->matrix, host) };

    if (g_hash_table_size(many->fabric->jobs) > 0)
        used = gw_slots_in_use(many->fabric, host->id);
    item.policy = gw_plan_policy(many->fabric, host);
    item.free_kib =
        CLAMP(facts->free_memory_kib, 0, KIB_MAX) - CLAMP(host->memory_reserve_kib, 0, KIB_MAX) -
        CLAMP(item.policy->memory_reserve_kib, 0, KIB_MAX) - (expected != NULL ? *expected : 0);
    item.cpu_free = cpu_free(&item);
    item.cpu_hard = cpu_reserve(&item) > 0;
    item.slots.live = slots_left(host->live_limit, used.live);
    item.slots.storage = slots_left(host->storage_limit, used.storage);
    item.link_bps = link_of(many, host, &measured);
    many->measured = many->measured || measured;
    g_array_append_val(many->hosts, item);
    g_hash_table_insert(many->host_index, host->id, GUINT_TO_POINTER(many->hosts->len));
}

static void read_hosts(Many *many)
{
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(many->fabric);
    g_autoptr(GHashTable) expected = expected_kib(many->fabric);

    for (guint i = 0; i < hosts->len; i++) {
        const GwHost *host = hosts->pdata[i];
        add_host(many, host, g_hash_table_lookup(expected, host->id));
    }
    many_vports_read(many);
}

/* Whether @group is @root or below it. Bounded: a picture may hold a circle for a moment. */
static gboolean is_below(const GwFabric *fabric, const char *group, const char *root)
{
    for (guint depth = 0; group != NULL && depth < 1000; depth++) {
        if (g_strcmp0(group, root) == 0)
            return TRUE;
        const GwGroup *record = g_hash_table_lookup(fabric->groups, group);
        group = record != NULL ? record->parent_id : NULL;
    }
    return FALSE;
}

static const GwHost *find_host(const Many *many, const char *which, GError **error)
{
    const GwHost *host = gw_fabric_find_host(many->fabric, which);

    if (host == NULL)
        gw_error_set(error, GW_ERR_NOT_FOUND, "See the hosts: godwit host list.",
                     "there is no host '%s'", which);
    return host;
}

static gboolean allow_named(Many *many, GError **error)
{
    char **names = many->request->destinations;

    for (guint i = 0; i < many->hosts->len; i++)
        many_host(many, i)->allowed = FALSE;
    for (guint i = 0; names[i] != NULL; i++) {
        const GwHost *host = find_host(many, names[i], error);
        if (host == NULL)
            return FALSE;
        ManyHost *item = many_host(many, many_host_index(many, host->id));
        if (item->emptied) {
            gw_error_set(error, GW_ERR_INVALID, "Name it as one of the two.",
                         "host '%s' is to be emptied, and a destination as well",
                         gw_plan_host_name(host));
            return FALSE;
        }
        item->allowed = TRUE;
    }
    return TRUE;
}

static gboolean allow_group(Many *many, GError **error)
{
    const GwGroup *group = gw_fabric_find_group(many->fabric, many->request->group);

    if (group == NULL) {
        gw_error_set(error, GW_ERR_NOT_FOUND, "See the host groups: godwit group list.",
                     "there is no host group '%s'", many->request->group);
        return FALSE;
    }
    for (guint i = 0; i < many->hosts->len; i++) {
        ManyHost *item = many_host(many, i);
        item->allowed = item->allowed && is_below(many->fabric, item->host->group_id, group->id);
    }
    return TRUE;
}

static gboolean read_destinations(Many *many, GError **error)
{
    char **names = many->request->destinations;

    for (guint i = 0; i < many->hosts->len; i++)
        many_host(many, i)->allowed = !many_host(many, i)->emptied;
    if (names != NULL && names[0] != NULL && !allow_named(many, error))
        return FALSE;
    return many->request->group == NULL || allow_group(many, error);
}

/* Its memory moves where it runs, or is to be started there. */
static gboolean takes_memory(const Many *many, const GwVm *vm)
{
    return gw_plan_is_live(vm) || (many->request->options != NULL && many->request->options->start);
}

static void add_stay(Many *many, const GwVm *vm, char *why)
{
    GwPlannedStay *stay = gw_planned_stay_new();
    const GwHost *host = gw_fabric_host(many->fabric, vm->host_id);

    stay->vm_uuid = g_strdup(vm->uuid);
    stay->vm_name = g_strdup(gw_plan_vm_name(vm));
    stay->host_id = g_strdup(vm->host_id);
    stay->host_name = g_strdup(host != NULL ? gw_plan_host_name(host) : "(unknown)");
    stay->why = why;
    stay->findings = gw_record_array(&gw_finding_record);
    g_ptr_array_add(many->stays, stay);
}

/* A host that is to be empty is not without it; of chosen VMs it is one less. */
static void leave(Many *many, const GwVm *vm)
{
    if (many->request->kind == (int)GW_PLAN_DRAIN)
        add_stay(many, vm,
                 g_strdup_printf("The move of %s was left out by hand.", gw_plan_vm_name(vm)));
    else
        many_note(many, "The move of %s was left out by hand.", gw_plan_vm_name(vm));
}

void many_add_vm(Many *many, const GwVm *vm, guint target)
{
    guint home = many_host_index(many, vm->host_id);
    const GwVmUsage *usage = vm->usage;
    ManyVm item = { .vm = vm, .home = home, .target = target, .similar = MANY_NONE };

    if (home == MANY_NONE || g_hash_table_contains(many->vm_index, vm))
        return;
    if (vm->uuid != NULL && g_hash_table_contains(many->left, vm->uuid)) {
        leave(many, vm);
        return;
    }
    item.shape = gw_matrix_vm_shape(many->matrix, vm);
    item.memory_kib = takes_memory(many, vm) ? CLAMP(gw_plan_memory_kib(vm), 0, KIB_MAX) : 0;
    if (gw_plan_is_live(vm))
        item.frees_kib = CLAMP(vm->memory_kib, 0, item.memory_kib);
    if (usage != NULL && usage->memory_used_kib >= 0)
        item.frees_kib = MIN(item.frees_kib, usage->memory_used_kib);
    item.cpu = gw_plan_is_live(vm) ? MIN(gw_plan_cpu_permille(vm, NULL), 1000000) : 0;
    item.groups = g_array_new(FALSE, FALSE, sizeof(guint));
    g_array_append_val(many->vms, item);
    g_hash_table_insert(many->vm_index, (gpointer)vm, GUINT_TO_POINTER(many->vms->len));
}

static gboolean is_left_off(const Many *many, const GwVm *vm)
{
    return !gw_plan_is_live(vm) && !many->request->cold;
}

static void note_left_off(Many *many, const GwHost *host, const GPtrArray *vms)
{
    guint count = 0;
    const char *first = NULL;

    for (guint i = 0; i < vms->len; i++) {
        if (!is_left_off(many, vms->pdata[i]))
            continue;
        first = first != NULL ? first : gw_plan_vm_name(vms->pdata[i]);
        count++;
    }
    if (count == 1)
        many_note(many, "%s is off and stays on %s; --cold moves it as well.", first,
                  gw_plan_host_name(host));
    else if (count > 1)
        many_note(many, "%s and %u other VMs that are off stay on %s; --cold moves them as well.",
                  first, count - 1, gw_plan_host_name(host));
}

static gboolean read_drain(Many *many, GError **error)
{
    char **names = many->request->hosts;

    for (guint i = 0; names[i] != NULL; i++) {
        const GwHost *host = find_host(many, names[i], error);
        if (host == NULL)
            return FALSE;
        many_host(many, many_host_index(many, host->id))->emptied = TRUE;
    }
    for (guint h = 0; h < many->hosts->len; h++) {
        const GwHost *host = many_host(many, h)->host;
        if (!many_host(many, h)->emptied)
            continue;
        g_autoptr(GPtrArray) vms = gw_fabric_list_vms(many->fabric, host->id);
        note_left_off(many, host, vms);
        for (guint i = 0; i < vms->len; i++) {
            if (!is_left_off(many, vms->pdata[i]))
                many_add_vm(many, vms->pdata[i], MANY_NONE);
        }
    }
    return TRUE;
}

/* Where it is the only destination that was asked for: there is nothing to move. A name that is no
 * host is refused later. */
static gboolean is_there_already(const Many *many, const GwVm *vm)
{
    char **names = many->request->destinations;
    gboolean there = names != NULL && names[0] != NULL;

    for (guint i = 0; there && names[i] != NULL; i++) {
        const GwHost *host = gw_fabric_find_host(many->fabric, names[i]);
        there = host != NULL && g_strcmp0(host->id, vm->host_id) == 0;
    }
    return there;
}

static gboolean read_moves(Many *many, GError **error)
{
    char **names = many->request->vms;

    for (guint i = 0; names[i] != NULL; i++) {
        const GwVm *vm = gw_fabric_find_vm(many->fabric, names[i], error);
        if (vm == NULL)
            return FALSE;
        if (is_there_already(many, vm))
            many_note(many, "%s is on %s already.", gw_plan_vm_name(vm),
                      gw_plan_host_name(gw_fabric_host(many->fabric, vm->host_id)));
        else if (is_left_off(many, vm))
            add_stay(many, vm,
                     g_strdup_printf("%s is off, and VMs that are off were not asked for (--cold).",
                                     gw_plan_vm_name(vm)));
        else
            many_add_vm(many, vm, MANY_NONE);
    }
    return TRUE;
}

gboolean many_read(Many *many, GError **error)
{
    read_hosts(many);
    switch ((GwPlanKind)many->request->kind) {
    case GW_PLAN_DRAIN:
        if (!read_drain(many, error))
            return FALSE;
        break;
    case GW_PLAN_MOVES:
        if (!read_moves(many, error))
            return FALSE;
        break;
    case GW_PLAN_BALANCE: /* its destinations are the hosts of the group */
        if (!many_read_balance(many, error))
            return FALSE;
        many_read_rules(many);
        return TRUE;
    default:
        if (!many_read_undrain(many, error))
            return FALSE;
    }
    if (!read_destinations(many, error))
        return FALSE;
    many_read_rules(many);
    return TRUE;
}

void many_clear(Many *many)
{
    for (guint i = 0; i < many->vms->len; i++) {
        g_array_unref(many_vm(many, i)->groups);
        g_free(many_vm(many, i)->why);
    }
    for (guint i = 0; i < many->units->len; i++) {
        g_array_unref(many_unit(many, i)->vms);
        g_free(many_unit(many, i)->impossible);
    }
    g_array_unref(many->hosts);
    g_array_unref(many->vms);
    g_array_unref(many->units);
    g_array_unref(many->groups);
    g_array_unref(many->others);
    g_array_unref(many->steps);
    g_hash_table_unref(many->host_index);
    g_hash_table_unref(many->vm_index);
    g_hash_table_unref(many->left);
    g_hash_table_unref(many->vports);
    g_hash_table_unref(many->elsewhere);
    g_ptr_array_unref(many->notes);
    g_ptr_array_unref(many->stays);
    gw_balance_figures_free(many->figures);
    gw_matrix_free(many->matrix);
}
