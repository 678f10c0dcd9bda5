/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/known_hosts.h"
#include "ranking_check.h"
#include "unit.h"

#include "fabric.h"
#include "plan/matrix.h"
#include "plan/rule.h"

/* The quick ranking is the explained list, whatever there is in the fabric: of fabrics that chance
 * made, with what sets one host apart from others that are alike. */

#define HOSTS 24
#define VMS 90
#define SEEDS 30
#define PICTURES 3
#define QUESTIONS 6

typedef struct {
    GwFabric *fabric;
    GRand *rand;
} Chance;

static guint below(Chance *c, guint count)
{
    return (guint)g_rand_int_range(c->rand, 0, (gint32)count);
}

/* Of a host, since one UUID may be on several. */
static const GwVm *any_vm(Chance *c)
{
    for (;;) {
        g_autofree char *id = fabric_host_id(below(c, HOSTS));
        g_autoptr(GPtrArray) vms = gw_fabric_list_vms(c->fabric, id);
        if (vms->len > 0)
            return vms->pdata[below(c, vms->len)];
    }
}

static GwFabric *make_fabric(guint32 seed)
{
    const FabricOptions options = { .seed = seed,
                                    .hosts = HOSTS,
                                    .vms = VMS,
                                    .hosts_per_share = 4 + seed % 3 * 8,
                                    .rules = seed % 2 * 30,
                                    .full_percent = 30 + seed % 4 * 20,
                                    .local_percent = 30,
                                    .off_percent = 20,
                                    .odd_percent = 15,
                                    .small = seed % 2 == 0,
                                    .hosts_per_rack = seed % 3 == 0 ? 6 : 0,
                                    .old_percent = 30,
                                    .rack_rules = 10,
                                    .agent_percent = seed % 5 * 20 };
    return fabric_make(&options);
}

/* Jobs under way, and over: they promise room, hold VMs, and bring VMs of rules somewhere. */
static void add_job(Chance *c, guint number)
{
    const GwVm *vm = any_vm(c);
    GwJob *job = gw_job_new();

    job->id = g_strdup_printf("job%04u", number);
    job->kind = g_strdup(GW_JOB_KIND_MIGRATE);
    job->vm_uuid = g_strdup(vm->uuid);
    job->vm_name = g_strdup(vm->name);
    job->vm_memory_kib = vm->max_memory_kib;
    job->source_host_id = g_strdup(vm->host_id);
    job->destination_host_id = fabric_host_id(below(c, HOSTS));
    job->state = (int)(below(c, 3) == 0 ? GW_JOB_DONE : GW_JOB_COPYING);
    gw_fabric_put_job(c->fabric, job);
}

static void add_kept(Chance *c, guint number)
{
    const GwVm *vm = any_vm(c);
    const GwDisk *disk = vm->disks->pdata[0];
    GwKeptVolume *kept = gw_kept_volume_new();

    kept->id = g_strdup_printf("kept%04u", number);
    kept->vm_uuid = g_strdup(vm->uuid);
    kept->vm_name = g_strdup(vm->name);
    kept->target = g_strdup(disk->target);
    kept->host_id = fabric_host_id(below(c, HOSTS));
    kept->volume = gw_volume_new();
    kept->volume->pool = g_strdup(below(c, 2) == 0 ? "images" : "vms");
    kept->volume->name = g_path_get_basename(disk->source);
    kept->volume->format = g_strdup("qcow2");
    kept->volume->kind = g_strdup("file");
    kept->volume->capacity_bytes = disk->capacity_bytes;
    kept->volume->allocation_bytes = disk->capacity_bytes / 2;
    gw_fabric_put_kept(c->fabric, kept);
}

/* Another VM, elsewhere, that has the same name, or whose disk is where this one's would go. */
static void add_rival(Chance *c, guint number)
{
    GwVm *vm = gw_vm_copy(any_vm(c));
    guint what = below(c, 3);

    g_free(vm->host_id);
    vm->host_id = fabric_host_id(below(c, HOSTS));
    if (what > 0) { /* else it is the same VM, once more */
        g_free(vm->uuid);
        vm->uuid = g_strdup_printf("30000000-0000-4000-8000-%012u", number);
    }
    if (what == 2) {
        g_free(vm->name);
        vm->name = g_strdup_printf("rival%u", number);
    }
    gw_fabric_put_vm(c->fabric, vm);
}

static void add_pool(GwHost *host, guint number)
{
    GwPool *pool = gw_pool_new();

    pool->name = g_strdup_printf("pool%u", number);
    pool->type = g_strdup("dir");
    pool->target_path = g_strdup_printf("/srv/pool%u", number);
    pool->active = number % 3 != 0;
    g_ptr_array_add(host->facts->pools, pool);
}

/* Room in pools and default places, more and less of both. */
static void change_host(Chance *c, guint number)
{
    g_autofree char *id = fabric_host_id(number);
    GwHost *host = gw_host_copy(gw_fabric_host(c->fabric, id));
    static const char *const places[] = { "images", "vms", "pool1", "nowhere" };
    const char *place[] = { places[below(c, G_N_ELEMENTS(places))], NULL };

    if (host->facts != NULL && below(c, 4) == 0)
        add_pool(host, below(c, 3));
    for (guint i = 0; host->facts != NULL && i < host->facts->pools->len; i++) {
        GwPool *pool = host->facts->pools->pdata[i];
        pool->capacity_bytes = (gint64)below(c, 4) << 38;
        pool->available_bytes = pool->capacity_bytes / (1 + below(c, 40));
    }
    if (below(c, 2) == 0) {
        g_strfreev(host->default_storage);
        host->default_storage = g_strdupv((char **)place);
    }
    if (below(c, 3) == 0)
        host->disk_reserve_bytes = (gint64)below(c, 300) << 30;
    if (below(c, 20) == 0)
        host->maintenance = (int)GW_MAINTENANCE_ENTERING;
    if (below(c, 30) == 0)
        gw_host_facts_free(g_steal_pointer(&host->facts));
    gw_fabric_put_host(c->fabric, host);
}

/* The first picture is all new, of the later ones a part. */
static void stir(Chance *c, guint picture)
{
    guint first = picture * 6;

    for (guint i = 0; i < HOSTS; i++) {
        if (picture == 0 || below(c, 4) == 0)
            change_host(c, i);
    }
    for (guint i = first; i < first + 6; i++) {
        add_job(c, i);
        add_kept(c, i);
        add_rival(c, i);
    }
}

static GwMoveOptions *any_options(Chance *c)
{
    GwMoveOptions *options = gw_move_options_new();

    options->copy_all = below(c, 2) == 0;
    options->storage = g_strdup(below(c, 2) == 0 ? "images" : NULL);
    options->transfer = (int)(below(c, 6) == 0 ? GW_TRANSFER_LIVE_VSM : GW_TRANSFER_NONE);
    return options;
}

typedef struct {
    guint hosts, suitable, errors, warnings, stored;
} Seen;

static void look(const GPtrArray *candidates, Seen *seen)
{
    for (guint i = 0; i < candidates->len; i++) {
        const GwCandidate *candidate = candidates->pdata[i];
        gboolean error = !candidate->suitable;
        seen->hosts++;
        seen->suitable += candidate->suitable;
        seen->errors += error;
        seen->warnings += candidate->findings->len > 0 && !error;
        seen->stored += candidate->rating->storage != NULL;
    }
}

static void ask(Chance *c, guint told, GwKnownHosts *known, Seen *seen)
{
    g_autoptr(GwMoveOptions) options = told % 2 == 0 ? any_options(c) : NULL;
    g_autoptr(GPtrArray) full = ranking_check(c->fabric, any_vm(c), options, told, known);

    look(full, seen);
}

/* Stars, points, order, chosen pool, whether it is allowed, the transfer type and what was found:
 * all of it, for every host, and also with what is kept of the pictures before. */
static void ranking_is_the_list(void **state)
{
    Seen seen = { 0 };

    for (guint32 seed = 1; seed <= SEEDS; seed++) {
        g_autoptr(GwKnownHosts) known = gw_known_hosts_new();
        Chance c = { make_fabric(seed), g_rand_new_with_seed(seed) };
        for (guint picture = 0; picture < PICTURES; picture++) {
            GwFabric *next = gw_fabric_next(c.fabric);
            gw_fabric_unref(c.fabric);
            c.fabric = next;
            stir(&c, picture);
            if (picture % 2 == 1)
                gw_known_hosts_drop_old(known, c.fabric);
            for (guint i = 0; i < QUESTIONS; i++)
                ask(&c, i, known, &seen);
        }
        gw_fabric_unref(c.fabric);
        g_rand_free(c.rand);
    }
    assert_int_equal(seen.hosts, SEEDS * PICTURES * QUESTIONS * HOSTS);
    assert_true(seen.suitable > seen.hosts / 10);
    assert_true(seen.errors > seen.hosts / 10);
    assert_true(seen.warnings > seen.hosts / 50);
    assert_true(seen.stored > seen.hosts / 10);
}

/* What a later picture has no more is let go, and what it has is kept: nothing is read twice. */
static void what_is_old_is_dropped(void **state)
{
    const guint32 nothing = gw_known_mark("/nowhere.qcow2");
    g_autoptr(GwKnownHosts) known = gw_known_hosts_new();
    GwFabric *fabric = make_fabric(1);
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(fabric);
    GwFabric *next = gw_fabric_next(fabric);
    guint with_vms = 0;
    (void)state;

    gw_known_look(known, fabric);
    for (guint i = 0; i < hosts->len; i++) {
        const GwHost *host = hosts->pdata[i];
        GHashTable *vms = g_hash_table_lookup(fabric->vms, host->id);
        assert_false(gw_known_may_have(known, host, vms, nothing));
        if (i % 2 == 0)
            gw_fabric_put_host(next, gw_host_copy(host));
    }
    gw_known_hosts_drop_old(known, next);
    for (guint i = 0; i < hosts->len; i++) {
        const GwHost *host = hosts->pdata[i];
        GHashTable *vms = g_hash_table_lookup(fabric->vms, host->id);
        with_vms += vms != NULL;
        /* Of whom nothing was read, anything may be. */
        assert_int_equal(gw_known_may_have(known, host, vms, nothing), vms != NULL && i % 2 == 0);
    }
    assert_true(with_vms > 2);
    gw_fabric_unref(next);
    gw_fabric_unref(fabric);
}

/* The same picture put together in another order gives the same list. */
static void order_of_hosts_is_no_matter(void **state)
{
    for (guint32 seed = 1; seed <= 10; seed++) {
        g_autoptr(GwFabric) fabric = make_fabric(seed);
        g_autoptr(GwFabric) turned = gw_fabric_next(fabric);
        for (guint i = HOSTS; i > 0; i--) {
            g_autofree char *id = fabric_host_id(i - 1);
            g_autoptr(GwHost) host = gw_host_copy(gw_fabric_host(fabric, id));
            g_autoptr(GPtrArray) vms = gw_fabric_list_vms(fabric, id);
            gw_fabric_remove_host(turned, id);
            gw_fabric_put_host(turned, g_steal_pointer(&host));
            for (guint v = vms->len; v > 0; v--)
                gw_fabric_put_vm(turned, gw_vm_copy(vms->pdata[v - 1]));
        }
        g_autofree char *uuid = fabric_vm_uuid(seed);
        g_autoptr(GPtrArray) a =
            gw_plan_ranking(fabric, gw_fabric_find_vm(fabric, uuid, NULL), NULL, 0, NULL);
        g_autoptr(GPtrArray) b =
            gw_plan_ranking(turned, gw_fabric_find_vm(turned, uuid, NULL), NULL, 0, NULL);
        assert_int_equal(a->len, HOSTS);
        assert_int_equal(b->len, HOSTS);
        for (guint i = 0; i < HOSTS; i++)
            assert_true(gw_record_equal(&gw_candidate_record, a->pdata[i], b->pdata[i]));
    }
}

/* A VM whose host has just been removed goes nowhere. */
static void without_a_host_there_is_no_list(void **state)
{
    g_autoptr(GwFabric) fabric = make_fabric(1);
    g_autofree char *uuid = fabric_vm_uuid(0);
    g_autoptr(GwVm) vm = gw_vm_copy(gw_fabric_find_vm(fabric, uuid, NULL));

    gw_fabric_remove_host(fabric, vm->host_id);
    g_autoptr(GPtrArray) ranking = gw_plan_ranking(fabric, vm, NULL, GW_TOLD_MAX, NULL);
    assert_int_equal(ranking->len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranking_is_the_list),
        cmocka_unit_test(what_is_old_is_dropped),
        cmocka_unit_test(order_of_hosts_is_no_matter),
        cmocka_unit_test(without_a_host_there_is_no_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
