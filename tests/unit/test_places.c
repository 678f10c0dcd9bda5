/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Places for disks: which there are, which is meant, what others were promised of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "plan/plan.h"
#include "plan/shared.h"

#define GIB ((gint64)1 << 30)

static void add_pool(GwHost *host, const char *name, const char *type, const char *path,
                     const char *source, gint64 available)
{
    GwPool *pool = gw_pool_new();

    pool->name = g_strdup(name);
    pool->type = g_strdup(type);
    pool->target_path = g_strdup(path);
    pool->source = g_strdup(source);
    pool->active = TRUE;
    pool->capacity_bytes = 100 * GIB;
    pool->available_bytes = available;
    g_ptr_array_add(host->facts->pools, pool);
}

static GwFabric *one_host(GwHost **out)
{
    GwFabric *fabric = gw_fabric_new();
    GwHost *host = gw_host_new_default();

    host->id = g_strdup("kvm1");
    host->name = g_strdup("kvm1");
    host->facts = gw_host_facts_new();
    host->facts->pools = gw_record_array(&gw_pool_record);
    add_pool(host, "small", "dir", "/srv/small", NULL, 10 * GIB);
    add_pool(host, "large", "fs", "/srv/large", NULL, 90 * GIB);
    add_pool(host, "lun", "iscsi", "/dev/disk/by-path", "san:iqn.x", 0);
    add_pool(host, "nas", "netfs", "/srv/nas", "nas.example.org:/export", 20 * GIB);
    add_pool(host, "gl", "gluster", NULL, "gl1.example.org:/vol1", 20 * GIB);
    gw_fabric_put_host(fabric, host);
    *out = host;
    return fabric;
}

static GwJob *add_job(GwFabric *fabric, const char *id, GwJobState state, const char *pool,
                      gint64 need)
{
    GwJob *job = gw_job_new();
    GwDiskMove *move = gw_disk_move_new();
    GwImageMove *image = gw_image_move_new();

    job->id = g_strdup(id);
    job->state = (int)state;
    job->destination_host_id = g_strdup("kvm1");
    job->disks = gw_record_array(&gw_disk_move_record);
    move->need_bytes = need;
    move->images = gw_record_array(&gw_image_move_record);
    image->to = gw_volume_new();
    image->to->pool = g_strdup(pool);
    g_ptr_array_add(move->images, image);
    g_ptr_array_add(job->disks, move);
    gw_fabric_put_job(fabric, job);
    return job;
}

static void locations_in_order(void **state)
{
    GwHost *host = NULL;
    g_autoptr(GwFabric) fabric = one_host(&host);
    static const char *const plain[] = { "large", "gl", "nas", "small" };
    static const char *const chosen[] = { "small", "large", "gl", "nas" };

    ((GwPool *)host->facts->pools->pdata[0])->available_bytes = -5; /* no host is trusted */
    g_autoptr(GPtrArray) first = gw_plan_locations(fabric, host);
    assert_int_equal(first->len, 4);
    for (guint i = 0; i < first->len; i++) {
        const GwStorageLocation *location = first->pdata[i];
        assert_string_equal(location->pool, plain[i]);
        assert_false(location->is_default);
        assert_true(location->available_bytes >= 0);
    }
    /* A default location comes first, by name or by path, and promises count. */
    host->default_storage = g_strsplit("/srv/small/", ",", -1);
    add_job(fabric, "J1", GW_JOB_QUEUED, "nas", 5 * GIB);
    g_autoptr(GPtrArray) second = gw_plan_locations(fabric, host);
    for (guint i = 0; i < second->len; i++)
        assert_string_equal(((GwStorageLocation *)second->pdata[i])->pool, chosen[i]);
    const GwStorageLocation *nas = second->pdata[3];
    assert_true(((GwStorageLocation *)second->pdata[0])->is_default);
    assert_int_equal(nas->promised_bytes, 5 * GIB);
    assert_string_equal(nas->type, "netfs");
    assert_string_equal(nas->path, "/srv/nas");
}

static void what_is_meant(void **state)
{
    GwHost *host = NULL;
    G_GNUC_UNUSED g_autoptr(GwFabric) fabric = one_host(&host);
    static const struct {
        const char *given, *pool;
        int code; /* where there is none */
    } rows[] = {
        { "small", "small", 0 },
        { "/srv/small", "small", 0 },
        { "//srv//small/", NULL, GW_ERR_INVALID }, /* that is a share of the server srv */
        { "/srv/./large/", "large", 0 },
        { "/srv/large/below", NULL, GW_ERR_NOT_FOUND },
        { "nas.example.org:/export", "nas", 0 },
        { "NAS.example.org:/export/", "nas", 0 },
        { "nas.example.org:/other", NULL, GW_ERR_NOT_FOUND },
        { "nas:/export", NULL, GW_ERR_INVALID },
        { "localhost:/export", NULL, GW_ERR_INVALID },
        { "127.0.0.1:/export", NULL, GW_ERR_INVALID },
        { "\\\\fileserver1\\share", NULL, GW_ERR_INVALID },
        { "\\\\", NULL, GW_ERR_INVALID },
        { "gl1.example.org:/vol1", "gl", 0 },
        { "gluster://gl1.example.org/vol1", "gl", 0 },
        { "lun", NULL, GW_ERR_INVALID },
        { "none", NULL, GW_ERR_NOT_FOUND },
        { "", NULL, GW_ERR_NOT_FOUND },
        { "../small", NULL, GW_ERR_NOT_FOUND },
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        const GwPool *pool = gw_plan_find_storage(host, rows[i].given, &error);
        if (rows[i].pool != NULL) {
            if (pool == NULL)
                fail_msg("%s: %s", rows[i].given, error->message);
            assert_string_equal(pool->name, rows[i].pool);
            continue;
        }
        if (pool != NULL)
            fail_msg("%s means %s", rows[i].given, pool->name);
        assert_int_equal(error->code, rows[i].code);
        assert_non_null(gw_error_remedy(error));
    }
    ((GwPool *)host->facts->pools->pdata[0])->active = FALSE;
    g_autoptr(GError) error = NULL;
    assert_null(gw_plan_find_storage(host, "small", &error));
    assert_int_equal(error->code, GW_ERR_CONFLICT);
    assert_string_equal(gw_error_remedy(error), "Start it on kvm1: virsh pool-start small.");
}

static void promises(void **state)
{
    GwHost *host = NULL;
    g_autoptr(GwFabric) fabric = one_host(&host);

    add_job(fabric, "J1", GW_JOB_QUEUED, "small", 2 * GIB);
    add_job(fabric, "J2", GW_JOB_DONE, "small", 4 * GIB);
    add_job(fabric, "J3", GW_JOB_QUEUED, "large", 8 * GIB);
    GwJob *half = add_job(fabric, "J4", GW_JOB_COPYING, "small", 100 * GIB);
    half->progress = gw_progress_new();
    half->progress->percent = 75;
    assert_int_equal(gw_plan_promised_bytes(fabric, "kvm1", "small", NULL), 27 * GIB);
    assert_int_equal(gw_plan_promised_bytes(fabric, "kvm2", "small", NULL), 0);
    /* The first in the queue waits for none behind it; whoever copies counts for all but itself. */
    assert_int_equal(gw_plan_promised_bytes(fabric, "kvm1", "small", "J1"), 25 * GIB);
    assert_int_equal(gw_plan_promised_bytes(fabric, "kvm1", "small", "J4"), 2 * GIB);
    assert_int_equal(gw_plan_promised_bytes(fabric, "kvm1", "small", "J5"), 27 * GIB);
    /* Nothing that a job says overflows. */
    add_job(fabric, "J6", GW_JOB_QUEUED, "large", G_MAXINT64);
    add_job(fabric, "J7", GW_JOB_QUEUED, "large", -7);
    assert_true(gw_plan_promised_bytes(fabric, "kvm1", "large", NULL) > 8 * GIB - 100);
    half->progress->percent = 7000;
    assert_int_equal(gw_plan_promised_bytes(fabric, "kvm1", "small", NULL), 2 * GIB);
}

static void a_request_as_options(void **state)
{
    g_autoptr(GwVm) vm = gw_vm_new();
    g_autoptr(GwStorageRequest) request = gw_storage_request_new();
    static const char *const targets[] = { "vda", "vdb", "sda" };

    vm->disks = gw_record_array(&gw_disk_record);
    for (guint i = 0; i < G_N_ELEMENTS(targets); i++) {
        GwDisk *disk = gw_disk_new();
        disk->target = g_strdup(targets[i]);
        disk->device = g_strdup(i < 2 ? "disk" : "cdrom");
        disk->source = g_strdup("/x");
        g_ptr_array_add(vm->disks, disk);
    }
    request->disks = gw_record_array(&gw_disk_choice_record);
    GwDiskChoice *choice = gw_disk_choice_new();
    choice->target = g_strdup("vdb");
    choice->format = g_strdup("raw");
    g_ptr_array_add(request->disks, choice);
    request->format = g_strdup("qcow2");
    request->keep_source_s = -1;
    g_autoptr(GwMoveOptions) chosen = gw_plan_storage_options(vm, request);
    assert_int_equal(chosen->transfer, GW_TRANSFER_STORAGE);
    assert_int_equal(chosen->keep_source_s, -1);
    assert_int_equal(chosen->disks->len, 1); /* only what was chosen moves */
    assert_string_equal(((GwDiskChoice *)chosen->disks->pdata[0])->format, "raw");

    request->storage = g_strdup("fast");
    g_autoptr(GwMoveOptions) all = gw_plan_storage_options(vm, request);
    assert_string_equal(all->storage, "fast");
    assert_int_equal(all->disks->len, 2);
    assert_string_equal(((GwDiskChoice *)all->disks->pdata[1])->target, "vda");
    assert_string_equal(((GwDiskChoice *)all->disks->pdata[1])->format, "qcow2");
}

static void merges(void **state)
{
    static const struct {
        gboolean running;
        const char *kind;
        gboolean merge;
    } rows[] = { { TRUE, "commit", TRUE },  { TRUE, "active-commit", TRUE }, { TRUE, "pull", TRUE },
                 { TRUE, "copy", FALSE },   { TRUE, "backup", FALSE },       { TRUE, NULL, FALSE },
                 { FALSE, "commit", FALSE } };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GwVm) vm = gw_vm_new();
        g_autofree char *why = NULL;
        GwDisk *disk = gw_disk_new();
        vm->disks = gw_record_array(&gw_disk_record);
        disk->target = g_strdup("vda");
        disk->block_job = rows[i].running;
        disk->block_job_kind = g_strdup(rows[i].kind);
        g_ptr_array_add(vm->disks, disk);
        assert_int_equal(gw_plan_merge_running(vm, NULL), rows[i].merge);
        assert_int_equal(gw_plan_merge_running(vm, &why), rows[i].merge);
        assert_int_equal(why != NULL, rows[i].merge);
    }
}

/* A share has its room once: what goes to it through another host, and by another pool's name. */
static void promises_of_a_share(void **state)
{
    GwHost *host = NULL;
    g_autoptr(GwFabric) fabric = one_host(&host);
    GwHost *second = gw_host_copy(host);

    (void)state;
    g_free(second->id);
    second->id = g_strdup("kvm2");
    add_pool(second, "nas-again", "netfs", "/srv/again", "nas.example.org:/export", 20 * GIB);
    add_pool(second, "other", "netfs", "/srv/other", "nas.example.org:/other", 20 * GIB);
    gw_fabric_put_host(fabric, second);
    add_job(fabric, "J1", GW_JOB_QUEUED, "nas", 2 * GIB);
    static const char *const pools[] = { "nas", "nas-again", "other", "small" };
    for (guint i = 0; i < G_N_ELEMENTS(pools); i++) {
        g_autofree char *id = g_strdup_printf("K%u", i);
        GwJob *job = add_job(fabric, id, GW_JOB_QUEUED, pools[i], 4 * GIB);
        g_free(job->destination_host_id);
        job->destination_host_id = g_strdup("kvm2");
    }
    assert_int_equal(gw_plan_promised_bytes(fabric, "kvm1", "nas", NULL), 10 * GIB);
    assert_int_equal(gw_plan_promised_bytes(fabric, "kvm2", "nas", NULL), 10 * GIB);
    assert_int_equal(gw_plan_promised_bytes(fabric, "kvm2", "nas-again", NULL), 10 * GIB);
    assert_int_equal(gw_plan_promised_bytes(fabric, "kvm2", "other", NULL), 4 * GIB);
    /* What is local is each host's own. */
    assert_int_equal(gw_plan_promised_bytes(fabric, "kvm1", "small", NULL), 0);
    assert_int_equal(gw_plan_promised_bytes(fabric, "kvm2", "small", NULL), 4 * GIB);

    /* Preflight of one move counts as a plan of many does. */
    static const char *const asked[] = { "nas", "nas-again", "other", "small", "nowhere" };
    static const char *const askers[] = { NULL, "J1", "K0", "K3" };
    g_autoptr(GwPlanShared) shared = gw_plan_shared_new(fabric);
    GwPlanInput input = { .fabric = fabric, .shared = shared };
    for (guint i = 0; i < 2 * G_N_ELEMENTS(asked) * G_N_ELEMENTS(askers); i++) {
        input.destination = i % 2 == 0 ? host : second;
        input.job_id = askers[i / 2 % G_N_ELEMENTS(askers)];
        const char *pool = asked[i / 2 / G_N_ELEMENTS(askers)];
        assert_int_equal(gw_shared_promised_bytes(&input, pool),
                         gw_plan_promised_bytes(fabric, input.destination->id, pool, input.job_id));
    }
    input.destination = host;
    input.job_id = NULL;
    assert_int_equal(gw_shared_promised_bytes(&input, "nas"), 10 * GIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(locations_in_order),
        cmocka_unit_test(what_is_meant),
        cmocka_unit_test(promises),
        cmocka_unit_test(promises_of_a_share),
        cmocka_unit_test(a_request_as_options),
        cmocka_unit_test(merges),
    };
    return cmocka_run_group_tests_name("places", tests, NULL, NULL);
}
