/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Odd domain XML in bulk: read, judged and rewritten (domain_checks.h). GODWIT_DOMAINS: how many;
 * GODWIT_DOMAIN: the one seed to try, whose XML is printed. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "domain_checks.h"
#include "model/libvirt_xml.h"
#include "odd_xml.h"

#define DOMAINS 200 /* some seconds; a soak takes more */

static guint number(const char *name, guint fallback)
{
    const char *text = g_getenv(name);
    return text != NULL ? (guint)strtoul(text, NULL, 10) : fallback;
}

static void check_seed(guint32 seed, GwDomainTally *tally)
{
    g_autofree char *text = odd_domain_xml(seed);
    g_autofree char *wrong = gw_check_domain(text, tally);

    if (wrong != NULL)
        fail_msg("GODWIT_DOMAIN=%u: %s", seed, wrong);
}

static void odd_domains(void **state)
{
    guint count = number("GODWIT_DOMAINS", unit_trials(DOMAINS));
    GwDomainTally tally = { 0 };

    if (g_getenv("GODWIT_DOMAIN") != NULL) {
        guint32 seed = number("GODWIT_DOMAIN", 0);
        g_autofree char *text = odd_domain_xml(seed);
        print_message("%s\n", text);
        check_seed(seed, &tally);
        return;
    }
    for (guint32 seed = 0; seed < count; seed++)
        check_seed(seed, &tally);
    if (count < DOMAINS)
        return;
    /* The generator makes what it says: much that can be read, and much that cannot. */
    assert_in_range(tally.unreadable, count / 20, count / 2);
    assert_true(tally.partly > 0);
    assert_true(tally.errors > count);
    assert_true(tally.warnings > count);
    assert_true(tally.suitable > 0);
    assert_true(tally.rewritten > count);
    print_message("# %u domains, %u unreadable, %u in part; %u verdicts, %u suitable, %u errors, "
                  "%u warnings; %u rewritten, %u compared\n",
                  tally.domains, tally.unreadable, tally.partly, tally.verdicts, tally.suitable,
                  tally.errors, tally.warnings, tally.rewritten, tally.nodes);
}

static void one_seed_is_one_text(void **state)
{
    g_autofree char *a = odd_domain_xml(7);
    g_autofree char *b = odd_domain_xml(7);
    g_autofree char *c = odd_domain_xml(8);

    assert_string_equal(a, b);
    assert_string_not_equal(a, c);
}

static const char whole[] =
    "<domain xmlns:q='urn:q'><name>web1</name><q:line q:a='1' b='2'>text</q:line><devices>"
    "<disk type='block' device='disk'><driver type='qcow2' iothread='1' discard_no_unref='on'>"
    "<unheard/></driver><source dev='/d' startupPolicy='optional'><encryption/></source>"
    "<target dev='vda'/><iotune><total_bytes_sec>1</total_bytes_sec></iotune></disk>"
    "</devices></domain>";

typedef struct {
    const char *what, *with;
    const char *lost; /* part of what is said of it; NULL: it is meant */
} Planted;

static const Planted planted[] = {
    { "<name>web1</name>", "", "/domain/name" },
    { "web1", "web2", "another text" },
    { " b='2'", "", ": b" },
    { "q:a='1'", "q:a='2'", ": a" },
    { "q:a='1'", "a='1'", ": a" },
    { "xmlns:q='urn:q'", "xmlns:q='urn:r'", "namespace" },
    { "<name>", "<name new='1'>", "not there" },
    { "</devices>", "<more/></devices>", "not there" },
    { "<unheard/>", "", "unheard" },
    { "iothread='1'", "", "iothread" },
    { "<encryption/>", "", "encryption" },
    { " startupPolicy='optional'", "", "startupPolicy" },
    { "<target dev='vda'/><iotune><total_bytes_sec>1</total_bytes_sec></iotune>",
      "<iotune><total_bytes_sec>1</total_bytes_sec></iotune><target dev='vda'/>", "place" },
    { "dev='/d'", "file='/f'", NULL },
    { "type='block'", "type='file'", NULL },
    { "type='qcow2'", "type='raw'", NULL },
    { " discard_no_unref='on'", "", NULL },
    { "<target", "<backingStore/><target", NULL },
    { "><name>", ">\n  <name>", NULL },
};

/* The comparison itself finds what is lost, and lets pass what is meant. */
static void losses_are_found(void **state)
{
    static const char *const moved[] = { "vda", NULL };
    static const char *const none[] = { NULL };

    for (guint i = 0; i < G_N_ELEMENTS(planted); i++) {
        const char *at = strstr(whole, planted[i].what);
        g_autofree char *before = g_strndup(whole, (gsize)(at - whole));
        g_autofree char *is =
            g_strconcat(before, planted[i].with, at + strlen(planted[i].what), NULL);
        g_autofree char *wrong = gw_check_rewritten(whole, is, "raw", moved);
        if (planted[i].lost == NULL ? wrong != NULL
                                    : wrong == NULL || strstr(wrong, planted[i].lost) == NULL)
            fail_msg("%s -> %s: %s", planted[i].what, planted[i].with,
                     wrong != NULL ? wrong : "not found");
    }
    /* Of a disk that did not move nothing is meant. */
    g_autofree char *same = gw_check_rewritten(whole, whole, "raw", none);
    assert_null(same);
    const char *at = strstr(whole, "dev='/d'");
    g_autofree char *before = g_strndup(whole, (gsize)(at - whole));
    g_autofree char *other = g_strconcat(before, "dev='/e'", at + strlen("dev='/d'"), NULL);
    g_autofree char *wrong = gw_check_rewritten(whole, other, "raw", none);
    assert_non_null(wrong);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_seed_is_one_text),
        cmocka_unit_test(losses_are_found),
        cmocka_unit_test(odd_domains),
    };
    return cmocka_run_group_tests_name("domains", tests, NULL, NULL);
}
