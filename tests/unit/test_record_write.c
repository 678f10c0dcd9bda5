/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "model/fabric.h"

typedef struct {
    char *text;
    double number;
    char **words;
} Odd;
extern const GwRecord odd_record;
GW_DEFINE_RECORD(Odd, odd, "Odd", "What the fabric's records do not have.",
                 GW_F(Odd, text, GW_STRING, .doc = "Text."),
                 GW_F(Odd, number, GW_DOUBLE, .doc = "Number."),
                 GW_F(Odd, words, GW_STRINGS, .doc = "Words."));

/* The text is exactly what the tree would give. */
static void assert_same(const GwRecord *record, gconstpointer self)
{
    g_autoptr(GwJson) tree = gw_record_to_public_json(record, self);
    g_autofree char *expected = gw_json_text(tree);
    g_autoptr(GString) text = g_string_new(NULL);

    gw_record_write(record, self, GW_INTERNAL, text);
    assert_string_equal(text->str, expected);
}

static GwVm *some_vm(void)
{
    GwVm *vm = gw_vm_new();
    vm->uuid = g_strdup("6f0b1a3e-0000-4000-8000-000000000001");
    vm->name = g_strdup("web \"1\" <b> \\ \x01\b\f\n\r\t\x7f \xe2\x82\xac \xf0\x9f\x90\xa6 /");
    vm->state = GW_VM_PAUSED;
    vm->memory_kib = G_MAXINT64;
    vm->cpu_xml = g_strdup("never served");
    vm->disks = gw_record_array(&gw_disk_record);
    for (int i = 0; i < 3; i++) {
        GwDisk *disk = gw_disk_new();
        disk->target = g_strdup_printf("vd%c", 'a' + i);
        disk->readonly = i == 1;
        g_ptr_array_add(vm->disks, disk);
    }
    return vm;
}

static void vms_are_written_as_the_tree(void **state)
{
    g_autoptr(GwVm) vm = some_vm();
    g_autoptr(GwVm) empty = gw_vm_new();

    assert_same(&gw_vm_record, vm);
    assert_same(&gw_vm_record, empty);
}

static void jobs_and_hosts_are_written_as_the_tree(void **state)
{
    g_autoptr(GwHost) host = gw_host_new_default();
    g_autoptr(GwJob) job = gw_job_new();

    host->facts = gw_host_facts_new();
    host->facts->bridges = g_strsplit("br0,br1", ",", 0);
    host->facts->machines = g_strsplit("never,served", ",", 0);
    job->progress = gw_progress_new();
    job->progress->eta_ms = -1;
    assert_same(&gw_host_record, host);
    assert_same(&gw_job_record, job);
}

static void numbers_are_written_as_the_tree(void **state)
{
    const double values[] = { 0, -0.0, 1, 1.5, -3e300, 1e-7, 0.1, 1e22 };

    for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
        Odd odd = { NULL, values[i], NULL };
        assert_same(&odd_record, &odd);
    }
    Odd nothing = { NULL, NAN, NULL };
    assert_same(&odd_record, &nothing);
}

static void bad_utf8_becomes_valid_json(void **state)
{
    Odd odd = { (char *)"a\xff\xc3z", 1, NULL };
    g_autoptr(GString) text = g_string_new(NULL);

    gw_record_write(&odd_record, &odd, 0, text);
    g_autoptr(GwJson) tree = gw_json_parse(text->str, text->len, 1000, NULL);
    assert_non_null(tree);
    assert_string_equal(json_string_value(json_object_get(tree, "text")),
                        "a\xef\xbf\xbd\xef\xbf\xbdz");
}

static void hidden_fields_are_left_out(void **state)
{
    g_autoptr(GwVm) vm = some_vm();
    g_autoptr(GString) all = g_string_new(NULL);
    g_autoptr(GString) served = g_string_new(NULL);

    gw_record_write(&gw_vm_record, vm, 0, all);
    gw_record_write(&gw_vm_record, vm, GW_INTERNAL, served);
    assert_non_null(strstr(all->str, "never served"));
    assert_null(strstr(served->str, "never served"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vms_are_written_as_the_tree),
        cmocka_unit_test(jobs_and_hosts_are_written_as_the_tree),
        cmocka_unit_test(numbers_are_written_as_the_tree),
        cmocka_unit_test(bad_utf8_becomes_valid_json),
        cmocka_unit_test(hidden_fields_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
