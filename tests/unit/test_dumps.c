/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A move judged from dumps alone: nothing that they do not tell is taken for met or refused. */
#include "unit.h"

#include <string.h>

#include "plan/dumps.h"

static GwDisk *add_disk(GwVm *vm, const char *target, const char *type, const char *source)
{
    GwDisk *disk = gw_disk_new();

    disk->target = g_strdup(target);
    disk->bus = g_strdup("virtio");
    disk->device = g_strdup("disk");
    disk->type = g_strdup(type);
    disk->source = g_strdup(source);
    disk->format = g_strdup("qcow2");
    g_ptr_array_add(vm->disks, disk);
    return disk;
}

static GwVm *some_vm(void)
{
    GwVm *vm = gw_vm_new();
    GwNic *nic = gw_nic_new();

    vm->uuid = g_strdup("6f1b1c1e-0000-4000-8000-000000000001");
    vm->name = g_strdup("web1");
    vm->virt_type = g_strdup("kvm");
    vm->arch = g_strdup("x86_64");
    vm->machine = g_strdup("pc-q35-10.0");
    vm->memory_kib = vm->max_memory_kib = 4 * 1024 * 1024;
    vm->disks = gw_record_array(&gw_disk_record);
    vm->hostdevs = gw_record_array(&gw_hostdev_record);
    vm->nics = gw_record_array(&gw_nic_record);
    nic->mac = g_strdup("52:54:00:00:00:01");
    nic->type = g_strdup("network");
    nic->source = g_strdup("default");
    g_ptr_array_add(vm->nics, nic);
    return vm;
}

static GwHostFacts *some_host(const char *uuid, const char *machine)
{
    GwHostFacts *facts = gw_host_facts_new();
    const char *const machines[] = { machine, NULL };

    facts->host_uuid = g_strdup(uuid);
    facts->arch = g_strdup("x86_64");
    facts->cpu_model = g_strdup("Skylake");
    facts->machines = g_strdupv((char **)machines);
    return facts;
}

static const GwFinding *found(const GPtrArray *findings, const char *rule)
{
    return gw_record_find(&gw_finding_record, findings, "rule", rule);
}

static const GwUntold *untold_of(const GwExplanation *e, const char *subject)
{
    return gw_record_find(&gw_untold_record, e->untold, "subject", subject);
}

static const GwTransferOutlook *outlook(const GwExplanation *e, GwTransfer type)
{
    const GwTransferOutlook *o = e->transfers->pdata[type - GW_TRANSFER_LIVE];

    assert_int_equal(o->transfer, type);
    assert_true(*o->explanation != '\0');
    return o;
}

/* A rule that is new has to be put into the list, by whoever makes it. */
static void every_rule_is_told_by_something(void **state)
{
    for (guint i = 0; gw_rules[i] != NULL; i++) {
        GwToldBy by = GW_TOLD_BY_NOBODY;
        if (!gw_dumps_told_by(gw_rules[i]->name, &by))
            fail_msg("%s is not in src/plan/dumps_untold.c", gw_rules[i]->name);
    }
}

static void alone_it_refuses_nothing(void **state)
{
    static const char *const subjects[] = { "machine",  "CPU",    "versions", "memory",
                                            "networks", "images", "state",    "settings" };
    g_autoptr(GwVm) vm = some_vm();
    const GwDumps dumps = { .vm = vm };

    add_disk(vm, "vda", "file", "/data/web1.qcow2");
    g_autoptr(GwExplanation) e = gw_plan_explain_dumps(&dumps);
    assert_false(e->refused);
    assert_int_equal(e->state, GW_VM_RUNNING);
    assert_int_equal(e->findings->len, 0);
    assert_int_equal(e->untold->len, G_N_ELEMENTS(subjects));
    for (guint i = 0; i < G_N_ELEMENTS(subjects); i++)
        assert_non_null(untold_of(e, subjects[i]));
    assert_non_null(strstr(untold_of(e, "networks")->required, "network 'default'"));
    assert_non_null(strstr(untold_of(e, "memory")->required, "4.0 GiB"));

    const GwTransferOutlook *live = outlook(e, GW_TRANSFER_LIVE);
    assert_true(live->possible);
    assert_int_equal(g_strv_length(live->depends), 1);
    assert_string_equal(live->depends[0], "The destination has the same /data/web1.qcow2 at the "
                                          "same path (disk vda).");
    const GwTransferOutlook *vsm = outlook(e, GW_TRANSFER_LIVE_VSM);
    assert_true(vsm->possible);
    assert_non_null(strstr(vsm->depends[0], "room for disk vda"));
    assert_false(outlook(e, GW_TRANSFER_REGISTER)->possible);
    assert_false(outlook(e, GW_TRANSFER_NETWORK)->possible);
}

static void without_disks_only_memory_moves(void **state)
{
    g_autoptr(GwVm) vm = some_vm();
    const GwDumps dumps = { .vm = vm };

    g_autoptr(GwExplanation) e = gw_plan_explain_dumps(&dumps);
    assert_false(e->refused);
    assert_true(outlook(e, GW_TRANSFER_LIVE)->possible);
    assert_null(outlook(e, GW_TRANSFER_LIVE)->depends[0]);
    assert_false(outlook(e, GW_TRANSFER_LIVE_VSM)->possible);
    assert_null(untold_of(e, "images"));
}

static void devices_of_the_host_refuse_it(void **state)
{
    g_autoptr(GwVm) vm = some_vm();
    GwHostdev *hostdev = gw_hostdev_new();
    const GwDumps dumps = { .vm = vm };

    hostdev->type = g_strdup("pci");
    hostdev->address = g_strdup("0000:3b:00.0");
    g_ptr_array_add(vm->hostdevs, hostdev);
    g_autoptr(GwExplanation) e = gw_plan_explain_dumps(&dumps);
    assert_true(e->refused);
    assert_non_null(found(e->findings, "pci-passthrough"));
    assert_string_equal(found(e->findings, "pci-passthrough")->requirement, "R55");
    assert_false(outlook(e, GW_TRANSFER_LIVE)->possible);
    assert_true(g_str_has_prefix(outlook(e, GW_TRANSFER_LIVE)->explanation, "Not with what was"));
}

static void capabilities_tell_machines(void **state)
{
    g_autoptr(GwVm) vm = some_vm();
    g_autoptr(GwHostFacts) older = some_host("u2", "pc-q35-8.2");
    g_autoptr(GwHostFacts) same = some_host("u2", "pc-q35-10.0");
    const GwDumps to_older = { .vm = vm, .destination = older };
    const GwDumps to_same = { .vm = vm, .destination = same };

    g_autoptr(GwExplanation) refused = gw_plan_explain_dumps(&to_older);
    assert_true(refused->refused);
    const GwFinding *finding = found(refused->findings, "machine-type");
    assert_non_null(finding);
    assert_non_null(strstr(finding->observed, "the destination"));
    assert_non_null(strstr(finding->remedy, "pc-q35-8.2"));

    g_autoptr(GwExplanation) fine = gw_plan_explain_dumps(&to_same);
    assert_false(fine->refused);
    assert_null(untold_of(fine, "machine"));
}

static void machines_that_are_not_told_refuse_nothing(void **state)
{
    g_autoptr(GwVm) vm = some_vm();
    g_autoptr(GwHostFacts) host = some_host("u2", "pc-q35-8.2");
    const GwDumps dumps = { .vm = vm, .destination = host };

    /* An alias is not what libvirt calls it, on whichever host. */
    g_free(vm->machine);
    vm->machine = g_strdup("q35");
    g_autoptr(GwExplanation) alias = gw_plan_explain_dumps(&dumps);
    assert_false(alias->refused);
    assert_string_equal(untold_of(alias, "machine")->rules[0], "machine-type");
    assert_null(untold_of(alias, "machine")->rules[1]);

    g_free(vm->machine);
    vm->machine = g_strdup("pc-q35-10.0");
    g_clear_pointer(&host->machines, g_strfreev);
    g_autoptr(GwExplanation) none = gw_plan_explain_dumps(&dumps);
    assert_false(none->refused);
    assert_non_null(untold_of(none, "machine"));
}

static void both_hosts_are_compared(void **state)
{
    g_autoptr(GwVm) vm = some_vm();
    g_autoptr(GwHostFacts) here = some_host("u1", "pc-q35-10.0");
    g_autoptr(GwHostFacts) there = some_host("u2", "pc-q35-10.0");
    const GwDumps dumps = { .vm = vm, .source = here, .destination = there };
    const GwDumps itself = { .vm = vm, .source = here, .destination = here };
    const GwDumps half = { .vm = vm, .destination = there };

    vm->cpu_mode = g_strdup("host-passthrough");
    g_free(there->cpu_model);
    there->cpu_model = g_strdup("Broadwell");
    g_autoptr(GwExplanation) e = gw_plan_explain_dumps(&dumps);
    assert_false(e->refused);
    assert_int_equal(found(e->findings, "cpu-passthrough")->severity, GW_SEVERITY_WARNING);
    g_autoptr(GwExplanation) same = gw_plan_explain_dumps(&itself);
    assert_true(same->refused);
    assert_non_null(found(same->findings, "same-host"));
    g_autoptr(GwExplanation) one = gw_plan_explain_dumps(&half);
    assert_null(found(one->findings, "cpu-passthrough"));
    assert_true(
        g_strv_contains((const char *const *)untold_of(one, "CPU")->rules, "cpu-passthrough"));
}

static GwHostFacts *host_with_models(const char *usable, const char *blocked)
{
    GwHostFacts *facts = gw_host_facts_new();
    GwHostCpu *cpu = gw_host_cpu_new();
    const char *const can[] = { usable, NULL };
    const char *const cannot[] = { blocked, NULL };

    facts->vm_cpus = gw_record_array(&gw_host_cpu_record);
    cpu->virt_type = g_strdup("kvm");
    cpu->model = g_strdup(usable);
    cpu->usable = g_strdupv((char **)can);
    cpu->blocked = g_strdupv((char **)cannot);
    g_ptr_array_add(facts->vm_cpus, cpu);
    return facts;
}

static void domain_capabilities_tell_cpus(void **state)
{
    g_autoptr(GwVm) vm = some_vm();
    g_autoptr(GwHostFacts) can = host_with_models("Skylake-Server", "EPYC svm");
    g_autoptr(GwHostFacts) cannot = host_with_models("EPYC", "Skylake-Server avx512f");
    const GwDumps to_can = { .vm = vm, .destination = can };
    const GwDumps to_cannot = { .vm = vm, .destination = cannot };

    vm->cpu_mode = g_strdup("custom");
    vm->cpu_model = g_strdup("Skylake-Server");
    vm->cpu = gw_cpu_new();
    vm->cpu->mode = g_strdup("custom");
    vm->cpu->model = g_strdup("Skylake-Server");
    vm->cpu->exact = TRUE;
    g_autoptr(GwExplanation) fine = gw_plan_explain_dumps(&to_can);
    assert_false(fine->refused);
    assert_null(untold_of(fine, "CPU"));
    g_autoptr(GwExplanation) refused = gw_plan_explain_dumps(&to_cannot);
    assert_true(refused->refused);
    assert_non_null(strstr(found(refused->findings, "cpu-compatible")->observed, "avx512f"));

    /* What the source made of host-model is not in its name. */
    g_clear_pointer(&vm->cpu, gw_cpu_free);
    vm->cpu = gw_cpu_new();
    vm->cpu->mode = g_strdup("host-model");
    g_autoptr(GwExplanation) unknown = gw_plan_explain_dumps(&to_cannot);
    assert_false(unknown->refused);
    assert_true(
        g_strv_contains((const char *const *)untold_of(unknown, "CPU")->rules, "cpu-compatible"));
}

/* What holds only if the disk is copied is said of that type alone. */
static void a_type_has_findings_of_its_own(void **state)
{
    g_autoptr(GwVm) vm = some_vm();
    const GwDumps dumps = { .vm = vm };

    add_disk(vm, "vda", "file", "/data/shared.raw")->shareable = TRUE;
    g_autoptr(GwExplanation) e = gw_plan_explain_dumps(&dumps);
    assert_false(e->refused);
    assert_null(found(e->findings, "shareable-disk"));
    const GwTransferOutlook *live = outlook(e, GW_TRANSFER_LIVE);
    const GwTransferOutlook *vsm = outlook(e, GW_TRANSFER_LIVE_VSM);
    assert_true(live->possible);
    assert_int_equal(found(live->findings, "shareable-disk")->severity, GW_SEVERITY_WARNING);
    assert_false(vsm->possible);
    assert_int_equal(found(vsm->findings, "shareable-disk")->severity, GW_SEVERITY_ERROR);
    assert_null(vsm->depends[0]);
}

static void servers_and_luns_are_depended_on(void **state)
{
    g_autoptr(GwVm) vm = some_vm();
    const GwDumps dumps = { .vm = vm };

    add_disk(vm, "vda", "network", "rbd:vms/web1")->source_host = g_strdup("mon1.example.org");
    add_disk(vm, "vdb", "block", "/dev/disk/by-id/wwn-0x5000c500a1b2c3d4");
    g_autoptr(GwExplanation) e = gw_plan_explain_dumps(&dumps);
    const GwTransferOutlook *live = outlook(e, GW_TRANSFER_LIVE);
    assert_true(live->possible);
    assert_int_equal(g_strv_length(live->depends), 2);
    assert_non_null(strstr(live->depends[0], "rbd:vms/web1"));
    assert_non_null(strstr(live->depends[1], "wwn-0x5000c500a1b2c3d4"));
    assert_null(found(e->findings, "san-reach")); /* it is not told, and so no finding */
    assert_false(outlook(e, GW_TRANSFER_LIVE_VSM)->possible);
}

/* An NVMe disk of the host can neither be reached nor copied, whatever else is so. */
static void what_cannot_follow_refuses_it(void **state)
{
    g_autoptr(GwVm) vm = some_vm();
    const GwDumps dumps = { .vm = vm };

    add_disk(vm, "vda", "nvme", "0x3b");
    g_autoptr(GwExplanation) e = gw_plan_explain_dumps(&dumps);
    assert_true(e->refused);
    assert_non_null(found(e->findings, "storage-reach"));
}

static void one_that_is_off_is_registered_or_copied(void **state)
{
    g_autoptr(GwVm) vm = some_vm();
    const GwDumps dumps = { .vm = vm, .off = TRUE };

    add_disk(vm, "vda", "file", "/data/web1.qcow2");
    add_disk(vm, "vdb", "volume", "fast/web1-2");
    g_autoptr(GwExplanation) e = gw_plan_explain_dumps(&dumps);
    assert_false(e->refused);
    assert_int_equal(e->state, GW_VM_OFF);
    assert_false(outlook(e, GW_TRANSFER_LIVE)->possible);
    assert_true(outlook(e, GW_TRANSFER_REGISTER)->possible);
    assert_int_equal(g_strv_length(outlook(e, GW_TRANSFER_REGISTER)->depends), 2);
    assert_non_null(strstr(outlook(e, GW_TRANSFER_REGISTER)->depends[1], "same pool"));
    assert_true(outlook(e, GW_TRANSFER_NETWORK)->possible);
    assert_true(outlook(e, GW_TRANSFER_FAST_COPY)->possible);
    assert_non_null(strstr(outlook(e, GW_TRANSFER_FAST_COPY)->depends[2], "clones"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_is_told_by_something),
        cmocka_unit_test(alone_it_refuses_nothing),
        cmocka_unit_test(without_disks_only_memory_moves),
        cmocka_unit_test(devices_of_the_host_refuse_it),
        cmocka_unit_test(capabilities_tell_machines),
        cmocka_unit_test(machines_that_are_not_told_refuse_nothing),
        cmocka_unit_test(both_hosts_are_compared),
        cmocka_unit_test(domain_capabilities_tell_cpus),
        cmocka_unit_test(a_type_has_findings_of_its_own),
        cmocka_unit_test(servers_and_luns_are_depended_on),
        cmocka_unit_test(what_cannot_follow_refuses_it),
        cmocka_unit_test(one_that_is_off_is_registered_or_copied),
    };
    return cmocka_run_group_tests_name("dumps", tests, NULL, NULL);
}
