/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Odd domain XML in bulk: read, judged and rewritten (domain_checks.h). GODWIT_DOMAINS: how many;
 * GODWIT_DOMAIN: the one seed to try, whose XML is printed. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "domain_checks.h"
#include "model/libvirt_xml.h"
#include "odd_xml.h"

#define DOMAINS 300 /* some seconds; a soak takes more */

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
    guint count = number("GODWIT_DOMAINS", DOMAINS);
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
    /* The generator makes what it says: most can be read, some not, and all rules of thumb. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_seed_is_one_text),
        cmocka_unit_test(odd_domains),
    };
    return cmocka_run_group_tests_name("domains", tests, NULL, NULL);
}
