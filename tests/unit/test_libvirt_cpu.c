/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>

#include "model/libvirt_xml.h"

/* CPUs in libvirt's words, and what is sure about them (R11). */

#define CAPABILITIES                                                                               \
    "<domainCapabilities><domain>kvm</domain><cpu>"                                                \
    "<mode name='host-model' supported='yes'><model fallback='forbid'>Skylake</model>"             \
    "<vendor>Intel</vendor><feature policy='require' name='umip'/>"                                \
    "<feature policy='require' name='pku'/><feature policy='disable' name='hle'/></mode>"          \
    "<mode name='custom' supported='yes'><model usable='yes'>Haswell</model>"                      \
    "<model usable='no'>Skylake</model><blockers model='Skylake'><feature name='hle'/>"            \
    "<feature name='rtm'/></blockers><model usable='no'>EPYC</model>"                              \
    "</mode></cpu></domainCapabilities>"

static GwHostCpu *host_of(const char *text)
{
    GwHostCpu *host = gw_libvirt_host_cpu_from_xml(text);

    assert_non_null(host);
    return host;
}

static void test_host_cpu(void **state)
{
    g_autoptr(GwHostCpu) host = host_of(CAPABILITIES);

    assert_string_equal(host->virt_type, "kvm");
    assert_string_equal(host->model, "Skylake");
    assert_string_equal(host->xml,
                        "<cpu mode='custom' match='exact'><model fallback='forbid'>Skylake</model>"
                        "<vendor>Intel</vendor><feature policy='require' name='pku'/>"
                        "<feature policy='require' name='umip'/>"
                        "<feature policy='disable' name='hle'/></cpu>");
    g_autofree char *usable = g_strjoinv(";", host->usable);
    g_autofree char *blocked = g_strjoinv(";", host->blocked);
    assert_string_equal(usable, "Haswell");
    assert_string_equal(blocked, "EPYC;Skylake hle,rtm");
    assert_null(gw_libvirt_host_cpu_from_xml("<domainCapabilities><domain>kvm</domain><cpu>"
                                             "<mode name='host-model' supported='no'/></cpu>"
                                             "</domainCapabilities>"));
    assert_null(gw_libvirt_host_cpu_from_xml("not XML"));
    assert_null(gw_libvirt_host_cpu_from_xml("<domainCapabilities/>"));
}

/* A name that could end an element, a list or a line is no name; what is left stays true. */
static void test_hostile_names(void **state)
{
    g_autofree char *long_name = g_strnfill(GW_CPU_NAME_MAX + 1, 'x');
    g_autofree char *text = g_strdup_printf(
        "<domainCapabilities><domain>kvm</domain><cpu><mode name='host-model' supported='yes'>"
        "<model>A</model><vendor>&lt;x&gt;</vendor><feature policy='require' name='a,b'/>"
        "<feature policy='require' name='a b'/><feature policy='require' name=\"'/&gt;\"/>"
        "<feature policy='require' name='%s'/><feature policy='require' name='good'/></mode>"
        "<mode name='custom' supported='yes'><model usable='yes'>&lt;evil/&gt;</model>"
        "<model usable='no'>B</model><blockers model='B'><feature name='x,y z'/></blockers></mode>"
        "</cpu></domainCapabilities>",
        long_name);
    g_autoptr(GwHostCpu) host = host_of(text);

    assert_string_equal(host->xml, "<cpu mode='custom' match='exact'><model fallback='forbid'>A"
                                   "</model><feature policy='require' name='good'/></cpu>");
    assert_int_equal(g_strv_length(host->usable), 0);
    assert_string_equal(host->blocked[0], "B");
}

/* Of a list that is too long, or says of a model neither yes nor no, nothing is taken: a model that
 * is not in it would be taken for one that the host does not know. */
static void test_ceilings(void **state)
{
    GString *text = g_string_new("<domainCapabilities><domain>kvm</domain><cpu>"
                                 "<mode name='host-model' supported='yes'><model>A</model>");

    for (guint i = 0; i < GW_CPU_FEATURES_MAX + 10; i++)
        g_string_append_printf(text, "<feature policy='require' name='f%u'/>", i);
    g_string_append(text, "</mode><mode name='custom' supported='yes'>");
    for (guint i = 0; i < GW_CPU_MODELS_MAX + 1; i++)
        g_string_append_printf(text, "<model usable='yes'>M%u</model>", i);
    g_string_append(text, "</mode></cpu></domainCapabilities>");
    g_autofree char *long_list = g_string_free(text, FALSE);
    g_autoptr(GwHostCpu) host = host_of(long_list);
    assert_int_equal(g_strv_length(host->extra), GW_CPU_FEATURES_MAX);
    assert_null(host->xml); /* longer than any CPU is */
    assert_null(host->usable);

    g_autoptr(GwHostCpu) vague = host_of(
        "<domainCapabilities><domain>qemu</domain><cpu><mode name='host-model' supported='yes'>"
        "<model>A</model></mode><mode name='custom'><model usable='unknown'>A</model></mode></cpu>"
        "</domainCapabilities>");
    assert_null(vague->usable);
    assert_null(vague->blocked);
}

static GwCpu *cpu_of(const char *text)
{
    g_autoptr(GError) error = NULL;
    GwCpu *cpu = gw_libvirt_cpu_from_xml(text, &error);

    if (cpu == NULL)
        fail_msg("%s", error->message);
    return cpu;
}

static void test_cpu(void **state)
{
    g_autoptr(GwCpu) cpu = cpu_of("<cpu check='full'><model fallback='forbid'>Haswell</model>"
                                  "<feature name='vmx'/><feature policy='force' name='a'/>"
                                  "<feature policy='require' name='a'/>"
                                  "<feature policy='optional' name='o'/>"
                                  "<feature policy='forbid' name='f'/>"
                                  "<feature policy='disable' name='d'/></cpu>");
    g_autofree char *features = g_strjoinv(",", cpu->features);
    g_autofree char *disabled = g_strjoinv(",", cpu->disabled);
    g_autoptr(GError) error = NULL;

    assert_string_equal(cpu->mode, "custom"); /* what libvirt takes a model without one for */
    assert_string_equal(features, "a,vmx");
    assert_string_equal(disabled, "d,f");
    assert_true(cpu->exact);
    assert_null(gw_libvirt_cpu_from_xml("<domain/>", &error));
    unit_assert_error(error, GW_ERR_INVALID, "<cpu>");

    g_autoptr(GwVmNext) next = gw_libvirt_next_from_xml(
        "<domain><os><type machine='pc-q35-7.2'>hvm</type></os><cpu mode='host-model'/></domain>",
        NULL);
    assert_string_equal(next->machine, "pc-q35-7.2");
    assert_string_equal(next->cpu->mode, "host-model");
    assert_null(next->cpu->model);
}

/* What is sure ------------------------------------------------------------------------------ */

static void expect(const GwHostCpu *host, const char *cpu, GwCpuVerdict verdict, const char *why)
{
    g_autofree char *text = g_strdup_printf("<cpu mode='custom'>%s</cpu>", cpu);
    g_autoptr(GwCpu) wanted = cpu_of(text);
    g_autofree char *said = NULL;

    assert_int_equal(gw_cpu_judge(host, wanted, &said), verdict);
    if (why == NULL)
        assert_null(said);
    else
        assert_string_equal(said, why);
}

static void test_judge(void **state)
{
    g_autoptr(GwHostCpu) host = host_of(CAPABILITIES);
    g_auto(GStrv) features = g_strsplit("aes,avx,avx2,pku,umip", ",", -1);

    host->features = g_steal_pointer(&features);
    expect(host, "<model>Haswell</model>", GW_CPU_COMPATIBLE, NULL);
    expect(host, "<model>Haswell</model><feature policy='require' name='pku'/>", GW_CPU_COMPATIBLE,
           NULL);
    expect(host, "<model>Haswell</model><feature policy='require' name='hle'/>",
           GW_CPU_INCOMPATIBLE, "it lacks hle");
    /* Nobody said that it is not available. */
    expect(host, "<model>Haswell</model><feature policy='require' name='invtsc'/>", GW_CPU_UNKNOWN,
           NULL);
    expect(host, "<model>Skylake</model>", GW_CPU_INCOMPATIBLE, "it lacks hle, rtm");
    expect(host, "<model>Skylake</model><feature policy='disable' name='hle'/>",
           GW_CPU_INCOMPATIBLE, "it lacks rtm");
    expect(host,
           "<model>Skylake</model><feature policy='disable' name='hle'/>"
           "<feature policy='disable' name='rtm'/>",
           GW_CPU_COMPATIBLE, NULL);
    /* An older libvirt: it cannot be had, and nothing says why. */
    expect(host, "<model>EPYC</model>", GW_CPU_INCOMPATIBLE,
           "it cannot give a VM the whole CPU model EPYC");
    expect(host, "<model>EPYC</model><feature policy='disable' name='sha-ni'/>", GW_CPU_UNKNOWN,
           NULL);
    expect(host, "<model fallback='forbid'>Zen9</model>", GW_CPU_INCOMPATIBLE,
           "its libvirt does not know the CPU model Zen9");
    expect(host, "<model fallback='allow'>Zen9</model>", GW_CPU_UNKNOWN, NULL);
}

static void test_judge_not_told(void **state)
{
    g_autoptr(GwHostCpu) host = host_of(CAPABILITIES);
    g_autoptr(GwCpu) passed = cpu_of("<cpu mode='host-passthrough'/>");
    g_autoptr(GwCpu) haswell = cpu_of("<cpu mode='custom'><model>Haswell</model></cpu>");
    g_autoptr(GwHostCpu) silent = gw_host_cpu_new();

    assert_int_equal(gw_cpu_judge(host, passed, NULL), GW_CPU_UNKNOWN);
    assert_int_equal(gw_cpu_judge(NULL, haswell, NULL), GW_CPU_UNKNOWN);
    assert_int_equal(gw_cpu_judge(host, NULL, NULL), GW_CPU_UNKNOWN);
    assert_int_equal(gw_cpu_judge(silent, haswell, NULL), GW_CPU_UNKNOWN);
}

static void test_lists(void **state)
{
    g_auto(GStrv) a = g_strsplit("c,a,b,a", ",", -1);
    g_auto(GStrv) b = g_strsplit("b,d", ",", -1);

    gw_cpu_features_sort(a);
    g_autofree char *sorted = g_strjoinv(",", a);
    assert_string_equal(sorted, "a,b,c");
    g_auto(GStrv) left = gw_cpu_features_without(a, b);
    g_autofree char *words = gw_cpu_features_words(left);
    assert_string_equal(words, "a, c");
    g_auto(GStrv) all = gw_cpu_features_without(a, NULL);
    assert_int_equal(g_strv_length(all), 3);
    g_auto(GStrv) none = gw_cpu_features_without(NULL, a);
    assert_int_equal(g_strv_length(none), 0);
    gw_cpu_features_sort(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_cpu), cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_ceilings), cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_judge),    cmocka_unit_test(test_judge_not_told),
        cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
