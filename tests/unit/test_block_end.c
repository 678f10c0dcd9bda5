/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "hyper/libvirt_block_end.h"

/* QEMU's events about block jobs, as libvirt hands them on. */

/* As QEMU 10.0 sends it of a mirror whose destination is full. */
static const char completed[] =
    "{\"device\":\"copy-vda-libvirt-3-storage\",\"len\":67108864,\"offset\":12582912,\"speed\":0,"
    "\"type\":\"mirror\",\"error\":\"No space left on device\"}";

static void the_words_of_a_failed_job_are_read(void **state)
{
    g_auto(GwBlockNews) news = { .job = NULL };

    assert_true(gw_block_news_read("BLOCK_JOB_COMPLETED", completed, &news));
    assert_string_equal(news.job, "copy-vda-libvirt-3-storage");
    assert_string_equal(news.error, "No space left on device");
    assert_null(news.operation);
    assert_true(news.over);
}

static void what_failed_is_told_before(void **state)
{
    g_auto(GwBlockNews) news = { .job = NULL };

    assert_true(gw_block_news_read("BLOCK_JOB_ERROR",
                                   "{\"device\":\"commit-vdb-libvirt-1-format\","
                                   "\"operation\":\"write\",\"action\":\"report\"}",
                                   &news));
    assert_string_equal(news.operation, "write");
    assert_null(news.error);
    assert_false(news.over);
}

static void a_job_that_went_well_has_no_words(void **state)
{
    g_auto(GwBlockNews) news = { .job = NULL };

    assert_true(gw_block_news_read("BLOCK_JOB_COMPLETED",
                                   "{\"device\":\"copy-vda-libvirt-3-storage\",\"error\":\"\"}",
                                   &news));
    assert_null(news.error);
    assert_true(news.over);
}

static void one_that_somebody_cancelled_says_so(void **state)
{
    g_auto(GwBlockNews) news = { .job = NULL };

    assert_true(gw_block_news_read("BLOCK_JOB_CANCELLED", completed, &news));
    assert_non_null(strstr(news.error, "cancelled"));
    assert_true(news.over);
}

static void a_job_is_of_one_disk(void **state)
{
    static const struct {
        const char *job, *target;
        gboolean is;
    } rows[] = {
        { "copy-vda-libvirt-3-storage", "vda", TRUE },
        { "commit-vda-libvirt-1-format", "vda", TRUE },
        { "copy-vdaa-libvirt-3-storage", "vda", FALSE },
        { "copy-vda-libvirt-3-storage", "vdaa", FALSE },
        { "copy-vda-libvirt-3-storage", "vdb", FALSE },
        { "drive-virtio-disk0", "vda", FALSE }, /* named by somebody else */
        { "backup-vda-libvirt-3-storage", "vda", FALSE },
        { "copy-vda", "vda", FALSE },
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        GwBlockNews news = { .job = (char *)rows[i].job };
        assert_int_equal(gw_block_news_is_of(&news, rows[i].target), rows[i].is);
    }
}

static void hostile_events_are_no_news(void **state)
{
    g_autofree char *filler = g_strnfill(20000, ' ');
    g_autofree char *too_long = g_strconcat(filler, completed, NULL);
    const struct {
        const char *event, *details;
    } rows[] = {
        { "BLOCK_JOB_READY", completed },    { "BLOCK_JOB_COMPLETED", NULL },
        { "BLOCK_JOB_COMPLETED", "" },       { "BLOCK_JOB_COMPLETED", "{\"device\":" },
        { "BLOCK_JOB_COMPLETED", "[]" },     { "BLOCK_JOB_COMPLETED", "{\"device\":7}" },
        { "BLOCK_JOB_COMPLETED", "{}" },     { NULL, completed },
        { "BLOCK_JOB_COMPLETED", too_long }, { "BLOCK_JOB_COMPLETED", "{\"device\":\"\"}" },
    };
    GwBlockNews news = { .job = NULL };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        assert_false(gw_block_news_read(rows[i].event, rows[i].details, &news));
        assert_null(news.job);
    }
}

/* They end up in a person's terminal. */
static void words_are_printable(void **state)
{
    g_auto(GwBlockNews) news = { .job = NULL };

    assert_true(gw_block_news_read(
        "BLOCK_JOB_COMPLETED", "{\"device\":\"copy-vda-x\",\"error\":\"a\\u001b[2Jb\"}", &news));
    assert_null(strchr(news.error, '\033'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_words_of_a_failed_job_are_read),
        cmocka_unit_test(what_failed_is_told_before),
        cmocka_unit_test(a_job_that_went_well_has_no_words),
        cmocka_unit_test(one_that_somebody_cancelled_says_so),
        cmocka_unit_test(a_job_is_of_one_disk),
        cmocka_unit_test(hostile_events_are_no_news),
        cmocka_unit_test(words_are_printable),
    };
    return cmocka_run_group_tests_name("block_end", tests, NULL, NULL);
}
