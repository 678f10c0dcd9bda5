/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What holds for every plan of many moves, on fabrics made by chance: the checker, which shares
 * nothing with the planner, finds nothing; and what cannot leave really cannot. */
#include "unit.h"

#include <string.h>

#include "fabric.h"
#include "plan/matrix.h"
#include "plan/plan.h"
#include "plan_words.h"

static GwPlanRequest *request_new(GwPlanKind kind)
{
    GwPlanRequest *request = gw_plan_request_new();
    request->kind = (int)kind;
    return request;
}

static GwPlanRequest *drain_of(guint first, guint count)
{
    GwPlanRequest *request = request_new(GW_PLAN_DRAIN);
    g_autoptr(GStrvBuilder) hosts = g_strv_builder_new();

    for (guint i = 0; i < count; i++) {
        g_autofree char *id = fabric_host_id(first + i);
        g_strv_builder_add(hosts, id);
    }
    request->hosts = g_strv_builder_end(hosts);
    return request;
}

static GwPlanRequest *moves_of(guint32 seed, guint vms)
{
    GwPlanRequest *request = request_new(GW_PLAN_MOVES);
    g_autoptr(GStrvBuilder) uuids = g_strv_builder_new();
    GRand *rand = g_rand_new_with_seed(seed);
    guint count = 0;

    for (guint i = 0; i < vms; i++) {
        g_autofree char *uuid = fabric_vm_uuid(i);
        if (g_rand_int_range(rand, 0, 3) == 0 && i + 1 < vms)
            continue;
        g_strv_builder_add(uuids, uuid);
        count++;
    }
    g_rand_free(rand);
    assert_true(count > 0);
    request->vms = g_strv_builder_end(uuids);
    return request;
}

static GwMigrationPlan *plan_of(const GwFabric *fabric, const GwPlanRequest *request)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwPredictor) predictor = gw_predictor_new(fabric);
    /* Half of them without, as where nothing has been learned. */
    gboolean blind = g_hash_table_size(fabric->hosts) % 2 == 0;
    GwMigrationPlan *plan = gw_plan_many(fabric, request, blind ? NULL : predictor, &error);

    if (plan == NULL)
        fail_msg("%s", error->message);
    return plan;
}

static char *plan_text(const GwMigrationPlan *plan)
{
    g_autoptr(GwJson) json = gw_record_to_json(&gw_migration_plan_record, plan);
    return gw_json_pretty(json);
}

/* Line by line: long messages are cut. */
static void show(const GwMigrationPlan *plan)
{
    g_autofree char *words = plan_words(plan);
    g_auto(GStrv) lines = g_strsplit(words, "\n", -1);

    for (guint i = 0; lines[i] != NULL; i++)
        print_message("# %s\n", lines[i]);
}

static void assert_sound(const GwFabric *fabric, const GwMigrationPlan *plan, const char *what,
                         guint32 seed)
{
    g_autoptr(GError) error = NULL;

    if (!gw_plan_many_check(fabric, plan, &error)) {
        show(plan);
        fail_msg("%s, seed %u: %s", what, seed, error->message);
    }
    assert_true(plan->lower_bound_ms <= plan->total_ms->likely + 1);
    assert_true(plan->total_ms->low <= plan->total_ms->likely);
    assert_true(plan->total_ms->likely <= plan->total_ms->high);
    for (guint i = 0; i < plan->stays->len; i++) {
        const GwPlannedStay *stay = plan->stays->pdata[i];
        assert_true(stay->why != NULL && *stay->why != '\0');
        /* Nothing both moves and stays. */
        assert_null(gw_record_find(&gw_planned_move_record, plan->moves, "vm_uuid", stay->vm_uuid));
    }
}

static FabricOptions options_of(guint32 seed)
{
    return (FabricOptions){ .seed = seed,
                            .hosts = 2 + seed % 9,
                            .vms = 1 + seed % 37,
                            .hosts_per_share = seed % 3 == 0 ? 4 : 0,
                            .rules = seed % 6,
                            .full_percent = 40 + seed % 61,
                            .local_percent = seed % 4 == 0 ? 20 : 0,
                            .off_percent = 10,
                            .odd_percent = seed % 5 == 0 ? 15 : 0,
                            .small = TRUE };
}

static guint count_moved(const GwMigrationPlan *plan)
{
    guint count = 0;

    for (guint i = 0; i < plan->moves->len; i++)
        count += !((const GwPlannedMove *)plan->moves->pdata[i])->detour;
    return count;
}

static void plans_are_sound(void **state)
{
    guint moves = 0, stays = 0, waves = 0;

    for (guint32 seed = 1; seed <= unit_trials(3000); seed++) {
        FabricOptions options = options_of(seed);
        g_autoptr(GwFabric) fabric = fabric_make(&options);
        guint first = seed % options.hosts;
        g_autoptr(GwPlanRequest) request =
            seed % 3 == 0 ? moves_of(seed, options.vms)
                          : drain_of(first, 1 + seed % (options.hosts - first));
        request->hosts_at_once = request->kind == (int)GW_PLAN_DRAIN ? seed % 3 : 0;
        request->moves_at_once = seed % 4;
        request->cold = seed % 2;
        request->storage = seed % 2;
        g_autoptr(GwMigrationPlan) plan = plan_of(fabric, request);
        assert_sound(fabric, plan, "a plan", seed);
        moves += plan->moves->len;
        stays += plan->stays->len;
        waves += plan->waves > 1;
    }
    /* The test would show nothing if nothing moved, or everything could. */
    assert_true(moves > unit_trials(1000));
    assert_true(stays > unit_trials(1000));
    assert_true(waves > unit_trials(100));
}

/* The fabric as it is when the plan was carried out, and the job that did it. */
static GwFabric *after_plan(const GwFabric *fabric, const GwMigrationPlan *plan)
{
    GwFabric *next = gw_fabric_next(fabric);
    GwJob *job = gw_job_new();

    job->id = g_strdup("01DRAIN");
    job->kind = g_strdup(GW_JOB_KIND_DRAIN);
    job->state = (int)GW_JOB_DONE;
    job->plan = gw_migration_plan_copy(plan);
    for (guint i = 0; i < plan->moves->len; i++) {
        const GwPlannedMove *move = plan->moves->pdata[i];
        GwVm *vm = gw_vm_copy(gw_fabric_vm(next, move->source_host_id, move->vm_uuid));
        GwHost *from = gw_host_copy(gw_fabric_host(next, move->source_host_id));
        GwHost *to = gw_host_copy(gw_fabric_host(next, move->destination_host_id));
        ((GwPlannedMove *)job->plan->moves->pdata[i])->state = (int)GW_PLANNED_DONE;
        from->facts->free_memory_kib += move->memory_kib;
        to->facts->free_memory_kib -= move->memory_kib;
        g_free(vm->host_id);
        vm->host_id = g_strdup(move->destination_host_id);
        gw_fabric_put_host(next, from);
        gw_fabric_put_host(next, to);
        gw_fabric_remove_vm(next, move->source_host_id, move->vm_uuid);
        gw_fabric_put_vm(next, vm);
    }
    gw_fabric_put_job(next, job);
    return next;
}

/* What a drain took away comes back to where it was, and nowhere else. */
static void undrains_bring_back(void **state)
{
    guint back = 0;

    for (guint32 seed = 1; seed <= unit_trials(600); seed++) {
        FabricOptions options = options_of(seed);
        options.odd_percent = options.local_percent = 0;
        g_autoptr(GwFabric) fabric = fabric_make(&options);
        g_autoptr(GwPlanRequest) drain = drain_of(0, 1);
        g_autoptr(GwMigrationPlan) away = plan_of(fabric, drain);
        g_autoptr(GwFabric) later = after_plan(fabric, away);
        g_autoptr(GwPlanRequest) request = request_new(GW_PLAN_UNDRAIN);
        request->hosts = g_strdupv(drain->hosts);
        g_autoptr(GwMigrationPlan) plan = plan_of(later, request);
        assert_sound(later, plan, "an undrain", seed);
        assert_int_equal(count_moved(plan) + plan->stays->len, away->moves->len);
        for (guint i = 0; i < plan->moves->len; i++) {
            const GwPlannedMove *move = plan->moves->pdata[i];
            if (!move->detour)
                assert_string_equal(move->destination_host_id, drain->hosts[0]);
        }
        back += count_moved(plan);
    }
    assert_true(back > unit_trials(300));
}

/* The same input gives the same plan, whatever order tables have. */
static void plans_are_repeatable(void **state)
{
    for (guint32 seed = 1; seed <= 50; seed++) {
        FabricOptions options = options_of(seed);
        g_autoptr(GwFabric) one = fabric_make(&options);
        g_autoptr(GwFabric) two = fabric_make(&options);
        g_autoptr(GwPlanRequest) request = drain_of(0, 1);
        g_autoptr(GwMigrationPlan) a = plan_of(one, request);
        g_autoptr(GwMigrationPlan) b = plan_of(two, request);
        g_autofree char *text_a = plan_text(a);
        g_autofree char *text_b = plan_text(b);
        assert_string_equal(text_a, text_b);
    }
}

/* Every way there is ------------------------------------------------------------------------ */

/* A fabric for it: what a VM needs and what a host has is all in whole numbers of memory, and in
 * rules. Deliberately nothing of the planner's. */
typedef struct {
    const GwFabric *fabric;
    guint hosts, vms;
    guint home[8];
    guint at[8];
    gint64 memory[8]; /* of VMs */
    gint64 frees[8];
    gint64 free_kib[8];  /* of hosts */
    gboolean moves[8];   /* VMs that are to move */
    gboolean goal[8][8]; /* of a VM: hosts that it may end on */
    gboolean drained[8];
    guint best;
    GHashTable *seen;
} Brute;

static gboolean brute_apart(const Brute *b, guint vm, guint host)
{
    GHashTableIter iter;
    gpointer value;
    g_autofree char *uuid = fabric_vm_uuid(vm);

    g_hash_table_iter_init(&iter, b->fabric->rules);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const GwPlacementRule *rule = value;
        if (!rule->required || rule->disabled || rule->kind != (int)GW_RULE_KIND_APART ||
            !g_strv_contains((const char *const *)rule->vms, uuid))
            continue;
        for (guint v = 0; v < b->vms; v++) {
            g_autofree char *other = fabric_vm_uuid(v);
            if (v != vm && b->at[v] == host &&
                g_strv_contains((const char *const *)rule->vms, other))
                return TRUE;
        }
    }
    return FALSE;
}

static guint brute_count(const Brute *b)
{
    guint count = 0;

    for (guint v = 0; v < b->vms; v++) {
        if (!b->moves[v])
            continue;
        if (b->goal[v][b->at[v]])
            count++;
        else if (b->at[v] != b->home[v])
            return 0;
    }
    return count;
}

/* Depth first over all placements that one move after another reaches. */
static void brute_search(Brute *b)
{
    guint64 code = 0;

    for (guint v = 0; v < b->vms; v++)
        code = code * 8 + b->at[v];
    if (g_hash_table_contains(b->seen, GSIZE_TO_POINTER(code + 1)))
        return;
    g_hash_table_add(b->seen, GSIZE_TO_POINTER(code + 1));
    b->best = MAX(b->best, brute_count(b));
    for (guint v = 0; v < b->vms; v++) {
        for (guint h = 0; b->moves[v] && h < b->hosts; h++) {
            guint from = b->at[v];
            gint64 need = h == b->home[v] ? b->frees[v] : b->memory[v];
            gint64 freed = from == b->home[v] ? b->frees[v] : b->memory[v];
            if (h == from || b->drained[h] || b->free_kib[h] < b->memory[v] || brute_apart(b, v, h))
                continue;
            b->free_kib[h] -= need;
            b->free_kib[from] += freed;
            b->at[v] = h;
            brute_search(b);
            b->at[v] = from;
            b->free_kib[from] -= freed;
            b->free_kib[h] += need;
        }
    }
}

static guint brute_best(const GwFabric *fabric, const FabricOptions *options,
                        const GwPlanRequest *request)
{
    Brute b = { .fabric = fabric, .hosts = options->hosts, .vms = options->vms };

    for (guint h = 0; h < b.hosts; h++) {
        g_autofree char *id = fabric_host_id(h);
        b.free_kib[h] = gw_fabric_host(fabric, id)->facts->free_memory_kib;
        b.drained[h] =
            request->hosts != NULL && g_strv_contains((const char *const *)request->hosts, id);
    }
    for (guint v = 0; v < b.vms; v++) {
        g_autofree char *uuid = fabric_vm_uuid(v);
        for (guint h = 0; h < b.hosts; h++) {
            g_autofree char *id = fabric_host_id(h);
            const GwVm *vm = gw_fabric_vm(fabric, id, uuid);
            if (vm == NULL)
                continue;
            b.home[v] = b.at[v] = h;
            b.memory[v] = vm->max_memory_kib;
            b.frees[v] = vm->usage != NULL ? MIN(vm->memory_kib, vm->usage->memory_used_kib)
                                           : vm->memory_kib;
        }
        b.moves[v] =
            b.drained[b.home[v]] ||
            (request->vms != NULL && g_strv_contains((const char *const *)request->vms, uuid));
        for (guint h = 0; h < b.hosts; h++)
            b.goal[v][h] = h != b.home[v] && !b.drained[h];
    }
    b.seen = g_hash_table_new(NULL, NULL);
    brute_search(&b);
    g_hash_table_unref(b.seen);
    return b.best;
}

/* Rules that keep together make moves of several: left out, as are CPUs. */
static GwFabric *plain_fabric(const FabricOptions *options)
{
    GwFabric *fabric = fabric_make(options);
    g_autoptr(GPtrArray) rules = gw_fabric_list_rules(fabric);

    for (guint i = 0; i < rules->len; i++) {
        GwPlacementRule *rule = gw_placement_rule_copy(rules->pdata[i]);
        rule->kind = (int)GW_RULE_KIND_APART;
        gw_fabric_put_rule(fabric, rule);
    }
    for (guint h = 0; h < options->hosts; h++) {
        g_autofree char *id = fabric_host_id(h);
        GwHost *host = gw_host_copy(gw_fabric_host(fabric, id));
        g_clear_pointer(&host->facts->usage, gw_host_usage_free);
        gw_fabric_put_host(fabric, host);
    }
    return fabric;
}

static void what_stays_cannot_leave(void **state)
{
    guint stays = 0, detours = 0;

    for (guint32 seed = 1; seed <= unit_trials(1500); seed++) {
        FabricOptions options = { .seed = seed,
                                  .hosts = 2 + seed % 3,
                                  .vms = 2 + seed % 5,
                                  .rules = seed % 4,
                                  .full_percent = 100,
                                  .small = TRUE };
        g_autoptr(GwFabric) fabric = plain_fabric(&options);
        g_autoptr(GwPlanRequest) request =
            seed % 2 == 0 ? moves_of(seed, options.vms) : drain_of(0, 1);
        g_autoptr(GwMigrationPlan) plan = plan_of(fabric, request);
        assert_sound(fabric, plan, "a small plan", seed);
        guint best = brute_best(fabric, &options, request);
        if (count_moved(plan) != best) {
            show(plan);
            fail_msg("seed %u: %u of %u move", seed, count_moved(plan), best);
        }
        stays += plan->stays->len;
        detours += plan->moves->len - count_moved(plan);
    }
    assert_true(stays > unit_trials(100));
    assert_true(detours > 0 || unit_effort() < 100); /* they are rare */
}

/* The checker sees what is wrong -------------------------------------------------------------- */

/* Three VMs of 4 GiB each on h0000, room for two on each of the others. */
static GwFabric *checked_fabric(void)
{
    FabricOptions options = { .seed = 7, .hosts = 3, .vms = 3, .full_percent = 100, .small = TRUE };
    GwFabric *fabric = fabric_make(&options);

    for (guint h = 0; h < 3; h++) {
        g_autofree char *id = fabric_host_id(h);
        GwHost *host = gw_host_copy(gw_fabric_host(fabric, id));
        host->live_limit = host->storage_limit = 2;
        g_clear_pointer(&host->facts->usage, gw_host_usage_free);
        host->facts->memory_kib = 16 << 20;
        host->facts->free_memory_kib = 9 << 20;
        gw_fabric_put_host(fabric, host);
    }
    for (guint v = 0; v < 3; v++) {
        g_autofree char *uuid = fabric_vm_uuid(v);
        for (guint h = 0; h < 3; h++) {
            g_autofree char *id = fabric_host_id(h);
            const GwVm *found = gw_fabric_vm(fabric, id, uuid);
            if (found == NULL)
                continue;
            GwVm *vm = gw_vm_copy(found);
            g_free(vm->host_id);
            vm->host_id = fabric_host_id(0);
            vm->memory_kib = vm->max_memory_kib = 4 << 20;
            g_clear_pointer(&vm->usage, gw_vm_usage_free);
            gw_fabric_remove_vm(fabric, id, uuid);
            gw_fabric_put_vm(fabric, vm);
            break;
        }
    }
    return fabric;
}

static GwPlannedMove *move_at(GwMigrationPlan *plan, guint index)
{
    return plan->moves->pdata[index];
}

static void set_destination(GwPlannedMove *move, guint host)
{
    g_free(move->destination_host_id);
    move->destination_host_id = fabric_host_id(host);
}

static void assert_unsound(const GwFabric *fabric, const GwMigrationPlan *plan, const char *words)
{
    g_autoptr(GError) error = NULL;

    assert_false(gw_plan_many_check(fabric, plan, &error));
    assert_non_null(strstr(error->message, words));
}

static void checker_finds_memory(void **state)
{
    g_autoptr(GwFabric) fabric = checked_fabric();
    g_autoptr(GwPlanRequest) request = drain_of(0, 1);
    g_autoptr(GwMigrationPlan) plan = plan_of(fabric, request);

    assert_int_equal(plan->moves->len, 3);
    assert_sound(fabric, plan, "three moves", 0);
    for (guint i = 0; i < 3; i++)
        set_destination(move_at(plan, i), 1);
    assert_unsound(fabric, plan, "runs out of memory");
    set_destination(move_at(plan, 0), 0);
    assert_unsound(fabric, plan, "it goes nowhere");
}

static void checker_finds_slots_and_order(void **state)
{
    g_autoptr(GwFabric) fabric = checked_fabric();
    g_autoptr(GwPlanRequest) request = drain_of(0, 1);
    g_autoptr(GwMigrationPlan) plan = plan_of(fabric, request);

    move_at(plan, 2)->starts_ms = 0;
    assert_unsound(fabric, plan, "slots");
    move_at(plan, 1)->starts_ms = 100;
    assert_unsound(fabric, plan, "before the one above");
    move_at(plan, 1)->starts_ms = 0;
    move_at(plan, 2)->after = 1;
    assert_unsound(fabric, plan, "to wait for");
    move_at(plan, 2)->after = 3;
    assert_unsound(fabric, plan, "comes later");
}

static void checker_finds_rules(void **state)
{
    g_autoptr(GwFabric) fabric = checked_fabric();
    g_autoptr(GwPlanRequest) request = drain_of(0, 1);
    g_autoptr(GwMigrationPlan) plan = plan_of(fabric, request);
    GwPlacementRule *rule = gw_placement_rule_new();
    g_autoptr(GStrvBuilder) vms = g_strv_builder_new();

    for (guint i = 0; i < 3; i++)
        g_strv_builder_add(vms, move_at(plan, i)->vm_uuid);
    rule->id = g_strdup("r1");
    rule->name = g_strdup("apart");
    rule->kind = (int)GW_RULE_KIND_APART;
    rule->required = TRUE;
    rule->vms = g_strv_builder_end(vms);
    gw_fabric_put_rule(fabric, rule);
    assert_unsound(fabric, plan, "rule 'apart' keeps it apart");
    /* And the planner keeps it: three VMs, two hosts. */
    g_autoptr(GwMigrationPlan) kept = plan_of(fabric, request);
    assert_sound(fabric, kept, "apart", 0);
    assert_int_equal(kept->moves->len, 2);
    assert_int_equal(kept->stays->len, 1);
    GwPlacementRule *together = gw_placement_rule_copy(rule);
    together->kind = (int)GW_RULE_KIND_TOGETHER;
    gw_fabric_put_rule(fabric, together);
    assert_unsound(fabric, plan, "together");
    g_autoptr(GwMigrationPlan) none = plan_of(fabric, request);
    assert_int_equal(none->moves->len, 0);
    assert_int_equal(none->stays->len, 3);
}

/* Another VM is one with another UUID, and a name is what the fabric says that it is: what a plan
 * calls a VM is for people, cut and printable, and may have been changed by hand. */
static void checker_finds_names(void **state)
{
    g_autoptr(GwFabric) fabric = checked_fabric();
    g_autoptr(GwPlanRequest) request = drain_of(0, 1);
    g_autoptr(GwMigrationPlan) plan = plan_of(fabric, request);
    GwPlannedMove *move = move_at(plan, 0);
    g_autofree char *from = fabric_host_id(0);

    /* What is left of the VM itself at its destination, off. */
    g_autoptr(GwFabric) left = gw_fabric_next(fabric);
    GwVm *remnant = gw_vm_copy(gw_fabric_vm(fabric, from, move->vm_uuid));
    g_free(remnant->host_id);
    remnant->host_id = g_strdup(move->destination_host_id);
    remnant->state = GW_VM_OFF;
    gw_fabric_put_vm(left, remnant);
    assert_sound(left, plan, "a remnant", 0);

    /* Another one, of the same name. */
    g_autoptr(GwFabric) taken = gw_fabric_next(fabric);
    GwVm *other = gw_vm_copy(gw_fabric_vm(fabric, from, move->vm_uuid));
    g_free(other->uuid);
    other->uuid = g_strdup("6d0b6b0e-0000-4000-8000-00000000ffff");
    g_free(other->host_id);
    other->host_id = g_strdup(move->destination_host_id);
    other->state = GW_VM_OFF;
    gw_fabric_put_vm(taken, other);
    assert_unsound(taken, plan, "another VM of that name");
    g_free(move->vm_name);
    move->vm_name = g_strdup("called otherwise");
    assert_unsound(taken, plan, "another VM of that name");
}

static void checker_finds_hosts(void **state)
{
    g_autoptr(GwFabric) fabric = checked_fabric();
    g_autoptr(GwPlanRequest) request = drain_of(0, 1);
    g_autoptr(GwMigrationPlan) plan = plan_of(fabric, request);
    g_autofree char *id = g_strdup(move_at(plan, 0)->destination_host_id);
    GwHost *host = gw_host_copy(gw_fabric_host(fabric, id));

    host->maintenance = (int)GW_MAINTENANCE_ENTERING;
    gw_fabric_put_host(fabric, host);
    assert_unsound(fabric, plan, "maintenance");
    gw_fabric_remove_host(fabric, id);
    assert_unsound(fabric, plan, "is gone");
    /* A file that somebody wrote. */
    g_clear_pointer(&plan->request, gw_plan_request_free);
    assert_unsound(fabric, plan, "what was asked for");
}

/* The request ----------------------------------------------------------------------------------
 */

static void assert_refused(const GwFabric *fabric, const GwPlanRequest *request, GwErrorCode code)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GwMigrationPlan) plan = gw_plan_many(fabric, request, NULL, &error);

    assert_null(plan);
    assert_true(g_error_matches(error, GW_ERROR, (int)code));
    assert_true(gw_error_remedy(error) != NULL);
}

static void wrong_requests_are_refused(void **state)
{
    static const char *const nobody[] = { "nobody", NULL };
    static const char *const first[] = { "h0000", NULL };
    g_autoptr(GwFabric) fabric = checked_fabric();
    g_autoptr(GwPlanRequest) request = request_new(GW_PLAN_DRAIN);

    assert_refused(fabric, request, GW_ERR_INVALID);
    request->hosts = g_strdupv((char **)nobody);
    assert_refused(fabric, request, GW_ERR_NOT_FOUND);
    g_strfreev(request->hosts);
    request->hosts = g_strdupv((char **)first);
    request->destinations = g_strdupv((char **)first);
    assert_refused(fabric, request, GW_ERR_INVALID);
    g_strfreev(request->destinations);
    request->destinations = g_strdupv((char **)nobody);
    assert_refused(fabric, request, GW_ERR_NOT_FOUND);
    g_clear_pointer(&request->destinations, g_strfreev);
    request->group = g_strdup("no such group");
    assert_refused(fabric, request, GW_ERR_NOT_FOUND);
    g_clear_pointer(&request->group, g_free);
    request->hosts_at_once = -1;
    assert_refused(fabric, request, GW_ERR_INVALID);
    request->hosts_at_once = 0;
    request->kind = 77;
    assert_refused(fabric, request, GW_ERR_INVALID);
    request->kind = (int)GW_PLAN_MOVES;
    assert_refused(fabric, request, GW_ERR_INVALID);
    request->kind = (int)GW_PLAN_UNDRAIN;
    request->undoes = g_strdup("01ABCDEFGHJKMNPQRSTVWXYZ00");
    assert_refused(fabric, request, GW_ERR_NOT_FOUND);
    g_autoptr(GStrvBuilder) many = g_strv_builder_new();
    for (guint i = 0; i <= GW_PLAN_HOSTS_MAX; i++)
        g_strv_builder_add(many, "h0000");
    g_strfreev(request->hosts);
    request->hosts = g_strv_builder_end(many);
    assert_refused(fabric, request, GW_ERR_TOO_LARGE);
}

/* Drift --------------------------------------------------------------------------------------- */

static char *fingerprint(const GwFabric *fabric, const GwMigrationPlan *plan)
{
    return gw_plan_fingerprint(fabric, plan);
}

static void fingerprint_shows_drift(void **state)
{
    g_autoptr(GwFabric) fabric = checked_fabric();
    g_autoptr(GwPlanRequest) request = drain_of(0, 1);
    g_autoptr(GwMigrationPlan) plan = plan_of(fabric, request);
    g_autofree char *host_id = g_strdup(move_at(plan, 0)->destination_host_id);
    const char *uuid = move_at(plan, 0)->vm_uuid;

    g_autofree char *same = fingerprint(fabric, plan);
    assert_string_equal(same, plan->fingerprint);
    /* What changes all the time is none. */
    GwHost *host = gw_host_copy(gw_fabric_host(fabric, host_id));
    host->facts->free_memory_kib -= 1024;
    gw_fabric_put_host(fabric, host);
    g_autofree char *memory = fingerprint(fabric, plan);
    assert_string_equal(memory, plan->fingerprint);
    /* Nor is the drain's own maintenance, or a move of its own that is done. */
    g_autofree char *first = fabric_host_id(0);
    GwHost *source = gw_host_copy(gw_fabric_host(fabric, first));
    source->maintenance = (int)GW_MAINTENANCE_ENTERING;
    gw_fabric_put_host(fabric, source);
    GwVm *vm = gw_vm_copy(gw_fabric_vm(fabric, first, uuid));
    g_free(vm->host_id);
    vm->host_id = g_strdup(host_id);
    gw_fabric_remove_vm(fabric, first, uuid);
    gw_fabric_put_vm(fabric, vm);
    g_autofree char *moved_by_others = fingerprint(fabric, plan);
    assert_string_not_equal(moved_by_others, plan->fingerprint);
    move_at(plan, 0)->state = (int)GW_PLANNED_DONE;
    g_autofree char *done = fingerprint(fabric, plan);
    assert_string_equal(done, plan->fingerprint);
    /* A VM that grows is. */
    GwVm *grown = gw_vm_copy(gw_fabric_vm(fabric, host_id, uuid));
    grown->max_memory_kib *= 2;
    gw_fabric_put_vm(fabric, grown);
    g_autofree char *larger = fingerprint(fabric, plan);
    assert_string_not_equal(larger, plan->fingerprint);
}

/* What may begin ------------------------------------------------------------------------------ */

static void moves_become_ready(void **state)
{
    g_autoptr(GwFabric) fabric = checked_fabric();
    g_autoptr(GwPlanRequest) request = drain_of(0, 1);
    g_autoptr(GwMigrationPlan) plan = plan_of(fabric, request);
    g_autofree char *why = NULL;

    for (guint i = 0; i < 3; i++)
        assert_true(gw_plan_move_ready(plan, i, NULL));
    move_at(plan, 2)->after = 1;
    assert_false(gw_plan_move_ready(plan, 2, &why));
    assert_non_null(strstr(why, move_at(plan, 0)->vm_name));
    move_at(plan, 0)->state = (int)GW_PLANNED_DONE;
    assert_true(gw_plan_move_ready(plan, 2, NULL));
    assert_false(gw_plan_move_ready(plan, 0, NULL));
    assert_false(gw_plan_move_ready(plan, 3, NULL));
}

/* Whatever time moves really take, what is ready is sound: they are ended in an order of chance,
 * and the books are kept here. */
static void any_order_of_ends_is_sound(void **state)
{
    for (guint32 seed = 1; seed <= unit_trials(400); seed++) {
        FabricOptions options = {
            .seed = seed, .hosts = 3 + seed % 4, .vms = 8, .full_percent = 100, .small = TRUE
        };
        g_autoptr(GwFabric) fabric = plain_fabric(&options);
        g_autoptr(GwPlanRequest) request = moves_of(seed, options.vms);
        g_autoptr(GwMigrationPlan) plan = plan_of(fabric, request);
        g_autoptr(GHashTable) left = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
        GRand *rand = g_rand_new_with_seed(seed);
        GHashTableIter iter;
        gpointer value;
        guint done = 0;

        g_hash_table_iter_init(&iter, fabric->hosts);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
            GwHost *host = value;
            gint64 *kib = g_new(gint64, 1);
            *kib = host->facts->free_memory_kib;
            g_hash_table_insert(left, host->id, kib);
        }
        while (done < plan->moves->len) {
            gboolean changed = FALSE;
            for (guint i = 0; i < plan->moves->len; i++) {
                GwPlannedMove *move = move_at(plan, i);
                gint64 *to = g_hash_table_lookup(left, move->destination_host_id);
                if (!gw_plan_move_ready(plan, i, NULL))
                    continue;
                const GwVm *home = gw_fabric_vm(fabric, move->destination_host_id, move->vm_uuid);
                assert_null(home); /* kind moves: none comes back */
                *to -= move->memory_kib;
                if (*to < 0) {
                    show(plan);
                    fail_msg("seed %u: move %u finds no room", seed, i + 1);
                }
                move->state = (int)GW_PLANNED_RUNNING;
                changed = TRUE;
            }
            for (guint i = 0; i < plan->moves->len; i++) {
                GwPlannedMove *move = move_at(plan, i);
                gint64 *from = g_hash_table_lookup(left, move->source_host_id);
                const GwVm *vm = gw_fabric_vm(fabric, move->source_host_id, move->vm_uuid);
                if (move->state != (int)GW_PLANNED_RUNNING || g_rand_boolean(rand))
                    continue;
                *from += vm == NULL          ? move->memory_kib
                         : vm->usage != NULL ? MIN(vm->usage->memory_used_kib, vm->memory_kib)
                                             : vm->memory_kib;
                move->state = (int)GW_PLANNED_DONE;
                done++;
                changed = TRUE;
            }
            gboolean running = FALSE;
            for (guint i = 0; i < plan->moves->len; i++)
                running = running || move_at(plan, i)->state == (int)GW_PLANNED_RUNNING;
            if (!changed && !running)
                fail_msg("seed %u: nothing may begin any more", seed);
        }
        g_rand_free(rand);
    }
}

/* One verdict for a shape ------------------------------------------------------------------------
 */

static gboolean is_possible(const GwCandidate *candidate)
{
    for (guint i = 0; i < candidate->findings->len; i++) {
        const GwFinding *f = candidate->findings->pdata[i];
        if (f->severity == (int)GW_SEVERITY_ERROR && !gw_matrix_is_changing(f->rule))
            return FALSE;
    }
    return candidate->transfer != (int)GW_TRANSFER_NONE;
}

/* The matrix says what gw_plan_candidate says, for each VM and host. */
static void matrix_is_exact(void **state)
{
    guint pairs = 0, verdicts = 0, possible = 0;

    for (guint32 seed = 1; seed <= unit_trials(120); seed++) {
        FabricOptions options = options_of(seed);
        options.odd_percent = 20;
        options.local_percent = 20;
        g_autoptr(GwFabric) fabric = fabric_make(&options);
        g_autoptr(GwMatrix) matrix = gw_matrix_new(fabric, NULL, NULL);
        g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(fabric);
        for (guint s = 0; s < hosts->len; s++) {
            const GwHost *source = hosts->pdata[s];
            g_autoptr(GPtrArray) vms = gw_fabric_list_vms(fabric, source->id);
            for (guint v = 0; v < vms->len; v++) {
                for (guint h = 0; h < hosts->len; h++) {
                    GwPlanInput input = { .fabric = fabric,
                                          .vm = vms->pdata[v],
                                          .source = source,
                                          .destination = hosts->pdata[h] };
                    if (s == h)
                        continue;
                    g_autoptr(GwCandidate) candidate = gw_plan_candidate(&input);
                    const GwMatrixCell *cell = gw_matrix_cell(
                        matrix, input.vm, gw_matrix_vm_shape(matrix, input.vm), input.destination,
                        gw_matrix_host_shape(matrix, input.destination));
                    assert_int_equal(cell->possible, is_possible(candidate));
                    assert_int_equal(cell->candidate->transfer, candidate->transfer);
                    possible += cell->possible;
                    pairs++;
                }
            }
        }
        verdicts += gw_matrix_verdicts(matrix);
    }
    assert_true(possible > unit_trials(100) && possible < pairs);
    assert_true(verdicts < pairs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_are_sound),
        cmocka_unit_test(undrains_bring_back),
        cmocka_unit_test(plans_are_repeatable),
        cmocka_unit_test(what_stays_cannot_leave),
        cmocka_unit_test(checker_finds_memory),
        cmocka_unit_test(checker_finds_slots_and_order),
        cmocka_unit_test(checker_finds_rules),
        cmocka_unit_test(checker_finds_names),
        cmocka_unit_test(checker_finds_hosts),
        cmocka_unit_test(wrong_requests_are_refused),
        cmocka_unit_test(fingerprint_shows_drift),
        cmocka_unit_test(moves_become_ready),
        cmocka_unit_test(any_order_of_ends_is_sound),
        cmocka_unit_test(matrix_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
