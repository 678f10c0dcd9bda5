/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "model/fabric.h"

static GwVm *new_vm(const char *host_id, const char *uuid, const char *name, GwVmState state)
{
    GwVm *vm = gw_vm_new();
    vm->host_id = g_strdup(host_id);
    vm->uuid = g_strdup(uuid);
    vm->name = g_strdup(name);
    vm->state = state;
    return vm;
}

static GwHost *new_host(const char *id, const char *name)
{
    GwHost *host = gw_host_new_default();
    host->id = g_strdup(id);
    host->name = g_strdup(name);
    return host;
}

static GwJob *new_job(const char *id, const char *uuid, GwJobState state)
{
    GwJob *job = gw_job_new();
    job->id = g_strdup(id);
    job->vm_uuid = g_strdup(uuid);
    job->state = state;
    return job;
}

static GwFabric *two_hosts(void)
{
    GwFabric *fabric = gw_fabric_new();
    gw_fabric_put_host(fabric, new_host("H2", "kvm2"));
    gw_fabric_put_host(fabric, new_host("H1", "kvm1"));
    gw_fabric_put_vm(fabric, new_vm("H1", "u-web", "web", GW_VM_RUNNING));
    gw_fabric_put_vm(fabric, new_vm("H1", "u-db", "db", GW_VM_OFF));
    gw_fabric_put_vm(fabric, new_vm("H2", "u-mail", "mail", GW_VM_RUNNING));
    return fabric;
}

static void test_pictures_do_not_change(void **state)
{
    g_autoptr(GwFabric) first = two_hosts();
    g_autoptr(GwFabric) second = gw_fabric_next(first);
    assert_int_equal(second->revision, first->revision + 1);
    assert_ptr_equal(gw_fabric_vm(first, "H1", "u-web"), gw_fabric_vm(second, "H1", "u-web"));

    gw_fabric_put_vm(second, new_vm("H1", "u-web", "web renamed", GW_VM_PAUSED));
    gw_fabric_remove_vm(second, "H2", "u-mail");
    gw_fabric_remove_host(second, "H2");
    assert_string_equal(gw_fabric_vm(first, "H1", "u-web")->name, "web");
    assert_non_null(gw_fabric_vm(first, "H2", "u-mail"));
    assert_non_null(gw_fabric_host(first, "H2"));
    assert_string_equal(gw_fabric_vm(second, "H1", "u-web")->name, "web renamed");
    assert_null(gw_fabric_vm(second, "H2", "u-mail"));
    assert_null(gw_fabric_host(second, "H2"));
}

/* Each kind of table is shared until it is changed, whatever is changed in it. */
static void test_tables_are_copied_when_changed(void **state)
{
    g_autoptr(GwFabric) first = two_hosts();
    gw_fabric_put_job(first, new_job("J1", "u-web", GW_JOB_DONE));
    g_autoptr(GwFabric) second = gw_fabric_next(first);
    assert_ptr_equal(first->hosts, second->hosts);
    assert_ptr_equal(first->jobs, second->jobs);
    assert_ptr_equal(first->vms, second->vms);

    gw_fabric_put_host(second, new_host("H3", "kvm3"));
    gw_fabric_remove_job(second, "J1");
    gw_fabric_remove_group(second, "none");
    gw_fabric_remove_share(second, "none");
    assert_null(gw_fabric_host(first, "H3"));
    assert_non_null(gw_fabric_host(second, "H3"));
    assert_non_null(gw_fabric_find_job(first, "J1", NULL));
    assert_int_equal(g_hash_table_size(second->jobs), 0);
    assert_ptr_equal(first->vms, second->vms);

    /* Of the VMs only those of the host that changed; its second change copies nothing. */
    gw_fabric_put_vm(second, new_vm("H1", "u-new", "new", GW_VM_OFF));
    GHashTable *own = g_hash_table_lookup(second->vms, "H1");
    gw_fabric_remove_vm(second, "H1", "u-db");
    assert_ptr_equal(g_hash_table_lookup(second->vms, "H1"), own);
    assert_ptr_equal(g_hash_table_lookup(second->vms, "H2"), g_hash_table_lookup(first->vms, "H2"));
    assert_non_null(gw_fabric_vm(first, "H1", "u-db"));
    assert_null(gw_fabric_vm(first, "H1", "u-new"));
}

/* ASan watches that an old picture's records outlive newer pictures, and the other way round. */
static void test_pictures_live_as_long_as_they_are_held(void **state)
{
    GwFabric *first = two_hosts();
    GwFabric *second = gw_fabric_next(first);
    GwFabric *third = gw_fabric_next(second);
    gw_fabric_put_host(third, new_host("H1", "kvm1 renamed"));
    GwFabric *held = gw_fabric_ref(first);
    gw_fabric_unref(first);
    gw_fabric_unref(second);
    assert_string_equal(gw_fabric_host(held, "H1")->name, "kvm1");
    gw_fabric_unref(held);
    assert_string_equal(gw_fabric_vm(third, "H1", "u-web")->name, "web");
    gw_fabric_unref(third);
}

static void test_all_vms_of_a_host_are_replaced(void **state)
{
    g_autoptr(GwFabric) fabric = two_hosts();
    g_autoptr(GPtrArray) before = gw_fabric_list_vms(fabric, "H1");
    for (guint i = 0; i < before->len; i++)
        gw_fabric_remove_vm(fabric, "H1", ((GwVm *)before->pdata[i])->uuid);
    gw_fabric_put_vm(fabric, new_vm("H1", "u-new", "new", GW_VM_RUNNING));
    g_autoptr(GPtrArray) list = gw_fabric_list_vms(fabric, "H1");
    assert_int_equal(list->len, 1);
    assert_string_equal(((GwVm *)list->pdata[0])->name, "new");
    assert_non_null(gw_fabric_vm(fabric, "H2", "u-mail"));
}

static void test_lists_are_sorted(void **state)
{
    g_autoptr(GwFabric) fabric = two_hosts();
    gw_fabric_put_job(fabric, new_job("01A", "u", GW_JOB_DONE));
    gw_fabric_put_job(fabric, new_job("01C", "u", GW_JOB_DONE));
    gw_fabric_put_job(fabric, new_job("01B", "u", GW_JOB_DONE));
    g_autoptr(GPtrArray) hosts = gw_fabric_list_hosts(fabric);
    g_autoptr(GPtrArray) vms = gw_fabric_list_vms(fabric, NULL);
    g_autoptr(GPtrArray) jobs = gw_fabric_list_jobs(fabric);
    assert_string_equal(((GwHost *)hosts->pdata[0])->name, "kvm1");
    assert_int_equal(vms->len, 3);
    assert_string_equal(((GwVm *)vms->pdata[0])->name, "db");
    assert_string_equal(((GwVm *)vms->pdata[2])->name, "web");
    assert_string_equal(((GwJob *)jobs->pdata[0])->id, "01C");
    assert_string_equal(((GwJob *)jobs->pdata[2])->id, "01A");
}

static void assert_found(const GwFabric *fabric, const char *which, const char *host_id,
                         const char *uuid)
{
    g_autoptr(GError) error = NULL;
    const GwVm *vm = gw_fabric_find_vm(fabric, which, &error);
    if (vm == NULL)
        fail_msg("%s: %s", which, error->message);
    assert_string_equal(vm->host_id, host_id);
    assert_string_equal(vm->uuid, uuid);
}

static void assert_not_found(const GwFabric *fabric, const char *which, GwErrorCode code)
{
    g_autoptr(GError) error = NULL;
    assert_null(gw_fabric_find_vm(fabric, which, &error));
    unit_assert_error(error, code, which);
}

static void test_finding_vms(void **state)
{
    g_autoptr(GwFabric) fabric = two_hosts();
    gw_fabric_put_vm(fabric, new_vm("H2", "u-db2", "db", GW_VM_OFF));
    assert_found(fabric, "web", "H1", "u-web");
    assert_found(fabric, "u-web", "H1", "u-web");
    assert_found(fabric, "kvm2/db", "H2", "u-db2");
    assert_found(fabric, "H1/db", "H1", "u-db");
    assert_not_found(fabric, "db", GW_ERR_CONFLICT);
    assert_not_found(fabric, "nobody", GW_ERR_NOT_FOUND);
    assert_not_found(fabric, "kvm9/web", GW_ERR_NOT_FOUND);

    /* During a move two hosts hold it: the one that runs answers for it, not the incoming one. */
    GwVm *incoming = new_vm("H2", "u-web", "web", GW_VM_PAUSED);
    incoming->incoming = TRUE;
    gw_fabric_put_vm(fabric, incoming);
    assert_found(fabric, "web", "H1", "u-web");
}

/* How many hosts' tables hold it, and that each is named once. */
static void assert_places(const GwFabric *fabric, const char *uuid)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_direct_hash, g_direct_equal);
    guint at = 0, count = 0;
    const GwVm *vm;

    for (guint h = 0; h < 8; h++) {
        g_autofree char *id = g_strdup_printf("H%u", h);
        count += gw_fabric_vm(fabric, id, uuid) != NULL;
    }
    while ((vm = gw_fabric_next_vm(fabric, uuid, &at)) != NULL) {
        assert_string_equal(vm->uuid, uuid);
        assert_true(g_hash_table_add(seen, (gpointer)vm));
    }
    assert_int_equal(g_hash_table_size(seen), count);
}

/* Whatever comes and goes, of each picture, also while a newer one is made of it. */
static void test_places_are_those_of_the_tables(void **state)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    GwFabric *fabric = gw_fabric_new();
    guint copies = 0;

    for (guint round = 0; round < 400; round++) {
        GwFabric *next = gw_fabric_next(fabric);
        for (guint i = 0; i < 8; i++) {
            g_autofree char *host = g_strdup_printf("H%d", g_rand_int_range(rand, 0, 8));
            g_autofree char *uuid = g_strdup_printf("u-%d", g_rand_int_range(rand, 0, 400));
            guint roll = (guint)g_rand_int_range(rand, 0, 20);
            if (roll == 0)
                gw_fabric_remove_host(next, host);
            else if (roll < 6)
                gw_fabric_remove_vm(next, host, uuid);
            else
                gw_fabric_put_vm(next, new_vm(host, uuid, "x", GW_VM_RUNNING));
        }
        for (guint i = 0; i < 400 && round % 20 == 0; i++) {
            g_autofree char *uuid = g_strdup_printf("u-%u", i);
            guint at = 0;
            assert_places(fabric, uuid);
            assert_places(next, uuid);
            while (gw_fabric_next_vm(next, uuid, &at) != NULL)
                copies++;
        }
        gw_fabric_unref(fabric);
        fabric = next;
    }
    assert_true(copies > 400);
    gw_fabric_unref(fabric);
}

static void test_finding_jobs(void **state)
{
    g_autoptr(GwFabric) fabric = gw_fabric_new();
    g_autoptr(GError) error = NULL;
    gw_fabric_put_job(fabric, new_job("01ABCDEF000001", "u-done", GW_JOB_DONE));
    gw_fabric_put_job(fabric, new_job("01ABCDEF000002", "u-now", GW_JOB_COPYING));
    gw_fabric_put_job(fabric, new_job("01XXCDEF000002", "u-other", GW_JOB_QUEUED));
    assert_non_null(gw_fabric_find_job(fabric, "01ABCDEF000001", NULL));
    assert_non_null(gw_fabric_find_job(fabric, "000001", NULL));
    assert_null(gw_fabric_find_job(fabric, "00001", &error));
    unit_assert_error(error, GW_ERR_NOT_FOUND, "00001");
    g_clear_error(&error);
    assert_null(gw_fabric_find_job(fabric, "CDEF000002", &error));
    unit_assert_error(error, GW_ERR_CONFLICT, "CDEF000002");

    assert_string_equal(gw_fabric_job_of_vm(fabric, "u-now")->id, "01ABCDEF000002");
    assert_null(gw_fabric_job_of_vm(fabric, "u-done"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pictures_do_not_change),
        cmocka_unit_test(test_tables_are_copied_when_changed),
        cmocka_unit_test(test_pictures_live_as_long_as_they_are_held),
        cmocka_unit_test(test_all_vms_of_a_host_are_replaced),
        cmocka_unit_test(test_lists_are_sorted),
        cmocka_unit_test(test_finding_vms),
        cmocka_unit_test(test_places_are_those_of_the_tables),
        cmocka_unit_test(test_finding_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
