/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bulk-xml PATH…: checks every domain XML in files and folders (*.xml, at any depth) as
 * tests/unit/domain_checks.h says, and prints what it came to. For sets of XML that are not ours to
 * keep, such as libvirt's own test data:
 *   build/tests/bulk-xml libvirt/tests/qemuxmlconfdata libvirt/tests/domainschemadata
 * Exit status: 0 all holds, 1 something does not, 2 nothing was found. */
#include <stdio.h>
#include <string.h>

#include "unit/domain_checks.h"

typedef struct {
    GwDomainTally tally;
    guint files, passed_over, failed;
} Bulk;

/* Sets hold pools, networks and QEMU's answers as well. */
static gboolean is_domain(const char *text)
{
    return strstr(text, "<domain>") != NULL || strstr(text, "<domain ") != NULL ||
           strstr(text, "<domain\n") != NULL;
}

static void check_file(Bulk *bulk, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;

    bulk->files++;
    if (!g_file_get_contents(path, &text, NULL, &error)) {
        printf("%s: %s\n", path, error->message);
        bulk->failed++;
        return;
    }
    if (!is_domain(text)) {
        bulk->passed_over++;
        return;
    }
    g_autofree char *wrong = gw_check_domain(text, &bulk->tally);
    if (wrong != NULL) {
        printf("%s: %s\n", path, wrong);
        bulk->failed++;
    }
}

static void check_path(Bulk *bulk, const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name = NULL;

    if (dir == NULL) {
        check_file(bulk, path);
        return;
    }
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *inside = g_build_filename(path, name, NULL);
        /* A folder behind a symbolic link may be the one that it is in. */
        if (g_str_has_suffix(name, ".xml") || (g_file_test(inside, G_FILE_TEST_IS_DIR) &&
                                               !g_file_test(inside, G_FILE_TEST_IS_SYMLINK)))
            check_path(bulk, inside);
    }
}

static void print_rules(GHashTable *rules)
{
    g_autoptr(GList) names = g_list_sort(g_hash_table_get_keys(rules), (GCompareFunc)strcmp);

    for (GList *item = names; item != NULL; item = item->next)
        printf("  %-22s %u\n", (char *)item->data,
               GPOINTER_TO_UINT(g_hash_table_lookup(rules, item->data)));
}

int main(int argc, char **argv)
{
    g_autoptr(GHashTable) rules = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    Bulk bulk = { .tally = { .rules = rules } };
    const GwDomainTally *t = &bulk.tally;

    for (int i = 1; i < argc; i++)
        check_path(&bulk, argv[i]);
    printf("%u files: %u domains, %u passed over; %u of the domains unreadable, %u read in part\n",
           bulk.files, t->domains, bulk.passed_over, t->unreadable, t->partly);
    printf("%u verdicts: %u suitable; %u errors, %u warnings\n", t->verdicts, t->suitable,
           t->errors, t->warnings);
    printf("%u rewritten, %u refused, %u elements and attributes compared\n", t->rewritten,
           t->refused, t->nodes);
    print_rules(rules);
    printf("%u failed\n", bulk.failed);
    return t->domains == 0 ? 2 : bulk.failed > 0;
}
